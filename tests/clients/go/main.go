// Verifies what Writ's log says with Go's own packages for transparency logs, those of the checksum
// database: golang.org/x/mod/sumdb/note and golang.org/x/mod/sumdb/tlog. Nothing of Writ's is in here.
//
//	verify checkpoint VKEY CHECKPOINT             signed by the log
//	verify cosignature WITNESS-VKEY CHECKPOINT    signed by a witness (C2SP tlog-cosignature)
//	verify inclusion VKEY PROOF EVENT             an event is in the log (C2SP tlog-proof)
//	verify consistency VKEY OLD NEW HASHES        a checkpoint's log begins with that of an older one
//
// All but the keys are files. Every check that passed is a line `ok NAME`.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func ok(name string) { fmt.Println("ok " + name) }

func read(path string) string {
	bytes, err := os.ReadFile(path)
	must(err, path)
	return string(bytes)
}

// A checkpoint that this verifier signed. tlog.ParseTree wants the first line of Go's own database.
func open(signed string, verifier note.Verifier) (string, tlog.Tree) {
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	must(err, "note.Open")
	origin, rest, found := strings.Cut(opened.Text, "\n")
	if !found {
		fail("the note has one line")
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	must(err, "tlog.ParseTree")
	return origin, tree
}

func checkpoint(vkey, signed string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	must(err, "note.NewVerifier")
	origin, tree := open(signed, verifier)
	if origin != verifier.Name() {
		fail("the origin %s is not the name of the key", origin)
	}
	ok("checkpoint " + strconv.FormatInt(tree.N, 10))
	return tree
}

// A witness signs a header, the time and the note: type 4, which Go's packages do not know.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(w.key, []byte(signed), signature[8:])
}

func newWitness(vkey string) *witness {
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	hash, err := strconv.ParseUint(id, 16, 32)
	must(err, "the key's id")
	key, err := base64.StdEncoding.DecodeString(encoded)
	must(err, "the key")
	if len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		fail("not the key of a witness")
	}
	return &witness{name, uint32(hash), key[1:]}
}

func hashes(lines string) (all []tlog.Hash) {
	for _, line := range strings.Split(strings.TrimSuffix(lines, "\n"), "\n") {
		if line == "" {
			continue
		}
		hash, err := tlog.ParseHash(line)
		must(err, "tlog.ParseHash")
		all = append(all, hash)
	}
	return all
}

func inclusion(vkey, proof, event string) {
	head, signed, found := strings.Cut(proof, "\n\n")
	lines := strings.SplitN(head+"\n", "\n", 3)
	if !found || len(lines) != 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		fail("not a proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	must(err, "index")
	tree := checkpoint(vkey, signed)
	leaf := tlog.RecordHash([]byte(event))
	must(tlog.CheckRecord(hashes(lines[2]), tree.N, tree.Hash, index, leaf), "tlog.CheckRecord")
	ok("inclusion")
}

func consistency(vkey, older, newer, proof string) {
	was, is := checkpoint(vkey, older), checkpoint(vkey, newer)
	must(tlog.CheckTree(hashes(proof), is.N, is.Hash, was.N, was.Hash), "tlog.CheckTree")
	ok("consistency")
}

func main() {
	given := os.Args[1:]
	what := ""
	if len(given) > 0 {
		what = fmt.Sprint(given[0], " ", len(given)-1)
	}
	switch what {
	case "checkpoint 2":
		checkpoint(given[1], read(given[2]))
	case "cosignature 2":
		_, tree := open(read(given[2]), newWitness(given[1]))
		ok("cosignature " + strconv.FormatInt(tree.N, 10))
	case "inclusion 3":
		inclusion(given[1], read(given[2]), read(given[3]))
	case "consistency 4":
		consistency(given[1], read(given[2]), read(given[3]), read(given[4]))
	default:
		fail("wrong usage")
	}
}
