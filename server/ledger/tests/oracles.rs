//! Trees, proofs, notes and checkpoints against other people's code: the crates `tlog_tiles` and
//! `signed_note` of Cloudflare's transparency logs. What one makes the other must take, and what was
//! altered both must refuse.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use proptest::collection::vec;
use proptest::prelude::*;
use signed_note::{Note, StandardSigner, StandardVerifier, Verifier, VerifierList};
use std::convert::Infallible;
use std::ops::Range;
use tlog_tiles::{HashReader, check_record, check_tree, prove_record, prove_tree, tree_hash};
use writ_ledger::merkle::{self, LogTree, leaf_hash};
use writ_ledger::note::{KeyKind, NoteKey, SignedCheckpoint, Vkey};

type Theirs = tlog_tiles::Hash;

/// A log as the crate keeps one.
#[derive(Default)]
struct Stored(Vec<Theirs>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Theirs>, tlog_tiles::Error> {
        let hash = |index: &u64| self.0.get(usize::try_from(*index).unwrap()).copied();
        let found = indexes.iter().map(hash).collect::<Option<_>>();
        found.ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}

/// The same log, twice.
struct Log {
    leaves: Vec<Vec<u8>>,
    ours: LogTree,
    theirs: Stored,
}

impl Log {
    fn of(leaves: Vec<Vec<u8>>) -> Self {
        let (mut ours, mut theirs) = (LogTree::default(), Stored::default());
        for (n, leaf) in (0u64..).zip(&leaves) {
            ours.push_hash(leaf_hash(leaf));
            let more = tlog_tiles::stored_hashes(n, leaf, &theirs).unwrap();
            theirs.0.extend(more);
        }
        Self {
            leaves,
            ours,
            theirs,
        }
    }

    fn hashes(&self) -> impl FnMut(Range<u64>) -> Result<Vec<merkle::Hash>, Infallible> {
        |range| {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            Ok(self.leaves[range]
                .iter()
                .map(|leaf| leaf_hash(leaf))
                .collect())
        }
    }

    fn root(&self, size: u64) -> merkle::Hash {
        self.ours.root_at(size, self.hashes()).unwrap()
    }
}

fn theirs(hashes: &[merkle::Hash]) -> Vec<Theirs> {
    hashes.iter().copied().map(tlog_tiles::Hash).collect()
}

fn ours(hashes: &[Theirs]) -> Vec<merkle::Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

/// What can be done to a proof.
#[derive(Clone, Debug)]
enum Doctored {
    Flip(prop::sample::Index, u8),
    Drop(prop::sample::Index),
    Put(prop::sample::Index, merkle::Hash),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn doctored() -> impl Strategy<Value = Doctored> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bit)| Doctored::Flip(at, bit)),
        at().prop_map(Doctored::Drop),
        (at(), any::<merkle::Hash>()).prop_map(|(at, hash)| Doctored::Put(at, hash)),
        (at(), at()).prop_map(|(one, other)| Doctored::Swap(one, other)),
    ]
}

impl Doctored {
    fn of(&self, proof: &[merkle::Hash]) -> Vec<merkle::Hash> {
        let mut proof = proof.to_vec();
        match self {
            Self::Put(at, hash) => proof.insert(at.index(proof.len() + 1), *hash),
            _ if proof.is_empty() => {}
            Self::Flip(at, bit) => {
                let at = at.index(proof.len());
                proof[at][usize::from(bit / 8)] ^= 1 << (bit % 8);
            }
            Self::Drop(at) => drop(proof.remove(at.index(proof.len()))),
            Self::Swap(one, other) => {
                let length = proof.len();
                proof.swap(one.index(length), other.index(length));
            }
        }
        proof
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn trees_and_proofs_are_the_same(
        leaves in vec(vec(any::<u8>(), 0..40), 1..900),
        size: prop::sample::Index, at: prop::sample::Index, old: prop::sample::Index, change in doctored(),
    ) {
        let log = Log::of(leaves);
        let size = size.index(log.leaves.len()) as u64 + 1;
        let at = at.index(usize::try_from(size).unwrap()) as u64;
        let old = old.index(usize::try_from(size).unwrap()) as u64 + 1;
        let root = log.root(size);
        prop_assert_eq!(root, tree_hash(size, &log.theirs).unwrap().0);

        let leaf = leaf_hash(&log.leaves[usize::try_from(at).unwrap()]);
        let path = log.ours.inclusion(at, size, log.hashes()).unwrap();
        prop_assert_eq!(&path, &ours(&prove_record(size, at, &log.theirs).unwrap()));
        let both = |path: &[merkle::Hash], size: u64, at: u64| {
            let ours = merkle::verify_inclusion(&leaf, at, size, &root, path);
            let checked = check_record(&theirs(path), size, tlog_tiles::Hash(root), at, tlog_tiles::Hash(leaf));
            assert_eq!(ours, checked.is_ok(), "{at} of {size}: {path:?}");
            ours
        };
        prop_assert!(both(&path, size, at));
        let other = change.of(&path);
        prop_assert_eq!(both(&other, size, at), other == path);
        both(&path, size + 1, at);
        both(&path, size, (at + 1) % size);

        let old_root = log.root(old);
        let proof = log.ours.consistency(old, size, log.hashes()).unwrap();
        prop_assert_eq!(&proof, &ours(&prove_tree(size, old, &log.theirs).unwrap()));
        let both = |proof: &[merkle::Hash], size: u64, old: u64| {
            let ours = merkle::verify_consistency((old, &old_root), (size, &root), proof);
            let checked = check_tree(&theirs(proof), size, tlog_tiles::Hash(root), old, tlog_tiles::Hash(old_root));
            assert_eq!(ours, checked.is_ok(), "{old} to {size}: {proof:?}");
            ours
        };
        prop_assert!(both(&proof, size, old));
        let other = change.of(&proof);
        prop_assert_eq!(both(&other, size, old), other == proof);
        both(&proof, size + 1, old);
        if old > 1 {
            both(&proof, size, old - 1);
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The same key as theirs. Both print the public part alike.
fn signer(name: &str, seed: &[u8; 32], vkey: &Vkey) -> StandardSigner {
    let shown = vkey.to_string();
    let id = shown.split('+').nth(1).unwrap();
    let secret = base64(&[&[1], &seed[..]].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id}+{secret}")).unwrap()
}

/// Whether they take a note for signed.
fn they_verify(bytes: &[u8], vkey: &Vkey) -> bool {
    let verifier = StandardVerifier::new(&vkey.to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(verifier)]);
    Note::from_bytes(bytes).is_ok_and(|note| {
        let text = tlog_tiles::Checkpoint::from_bytes(note.text());
        note.verify(&known).is_ok() && text.is_ok_and(|text| text.origin() == vkey.name())
    })
}

/// Whether we do.
fn we_verify(bytes: &[u8], vkey: &Vkey) -> bool {
    let text = std::str::from_utf8(bytes).ok();
    let signed = text.and_then(|text| text.parse::<SignedCheckpoint>().ok());
    signed.is_some_and(|signed| signed.is_signed_by(vkey))
}

const NAME: &str = "[a-z]{1,12}(\\.[a-z]{1,5}){0,2}(/[a-zA-Z0-9_é-]{1,9}){0,2}";

proptest! {
    #[test]
    fn checkpoints_are_read_both_ways(
        name in NAME, seed: [u8; 32], other: [u8; 32], size: u64, root: [u8; 32],
        extension in prop_oneof![Just(String::new()), "([a-z0-9 ]{1,30}\n){1,3}", "([a-z]{0,3}\n){1,3}"],
        at: prop::sample::Index, bit in 0u8..8,
    ) {
        let key = NoteKey::new(KeyKind::Log, &name, &seed).unwrap();
        let stranger = NoteKey::new(KeyKind::Log, &name, &other).unwrap();
        prop_assert_eq!(their_vkey(&name, &typed_key(1, &key)), key.vkey().to_string());
        let mine = SignedCheckpoint::sign(&key, size, root);
        let made = mine.to_string().into_bytes();
        let read = tlog_tiles::Checkpoint::from_bytes(mine.note.text.as_bytes()).unwrap();
        prop_assert_eq!((read.origin(), read.size(), read.hash().0), (&*name, size, root));
        prop_assert_eq!(read.to_bytes(), mine.note.text.as_bytes());
        prop_assert!(they_verify(&made, key.vkey()) && !they_verify(&made, stranger.vkey()));
        prop_assert!(we_verify(&made, key.vkey()) && !we_verify(&made, stranger.vkey()));

        // Theirs, by a key of the same name before ours.
        let text = format!("{}{extension}", mine.note.text);
        let mut note = Note::new(text.as_bytes(), &[]).unwrap();
        let both = [signer(&name, &other, stranger.vkey()), signer(&name, &seed, key.vkey())];
        note.add_sigs(&[&both[0], &both[1]]).unwrap();
        let made = note.to_bytes();
        for vkey in [key.vkey(), stranger.vkey()] {
            prop_assert_eq!(we_verify(&made, vkey), they_verify(&made, vkey), "{:?}", text);
        }
        if extension.lines().all(|line| !line.is_empty()) {
            prop_assert!(we_verify(&made, key.vkey()));
        }

        // One bit changed anywhere in a note with one signature.
        let mut altered = mine.to_string().into_bytes();
        let at = at.index(altered.len());
        altered[at] ^= 1 << bit;
        prop_assert!(!we_verify(&altered, key.vkey()), "{:?}", String::from_utf8_lossy(&altered));
        prop_assert!(!they_verify(&altered, key.vkey()));
    }

    /// A cosignature is by their Ed25519 over what tlog-cosignature says, and the name and id are as
    /// they read them.
    #[test]
    fn cosignatures_are_what_the_specification_says(
        name in NAME, seed: [u8; 32], seconds in 0u64..1 << 63, size: u64, root: [u8; 32], bit in 0usize..72 * 8,
    ) {
        let log = NoteKey::new(KeyKind::Log, "log.example/writ", &[7; 32]).unwrap();
        let key = NoteKey::new(KeyKind::Witness, &name, &seed).unwrap();
        let mut signed = SignedCheckpoint::sign(&log, size, root);
        let cosignature = key.sign(&signed.note.text, seconds);
        signed.note.signatures.push(cosignature);
        prop_assert!(they_verify(signed.to_string().as_bytes(), log.vkey()));

        let note = Note::from_bytes(signed.to_string().as_bytes()).unwrap();
        let verifier = Cosigner::of(&key);
        let known = VerifierList::new(vec![Box::new(verifier.clone())]);
        let (verified, others) = note.verify(&known).unwrap();
        prop_assert_eq!((verified.len(), others.len()), (1, 1));
        prop_assert_eq!(verified[0].name(), &name);
        prop_assert_eq!(verified[0].signature()[..8].to_vec(), seconds.to_be_bytes());
        prop_assert_eq!(signed.note.verify(key.vkey()).unwrap().time, Some(seconds));

        let mut bytes = verified[0].signature().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verifier.verify(note.text(), &bytes));
        let line = signed_note::Signature::new(name, verifier.key_id(), bytes).unwrap();
        let line = String::from_utf8(line.to_bytes()).unwrap();
        signed.note.signatures = vec![line.trim_end().parse().unwrap()];
        prop_assert_eq!(signed.note.verify(key.vkey()), None);
    }
}

/// A witness's key in their terms.
#[derive(Clone)]
struct Cosigner {
    name: String,
    id: u32,
    ed25519: StandardVerifier,
}

impl Cosigner {
    fn of(key: &NoteKey) -> Self {
        let name = key.vkey().name().to_owned();
        let id = signed_note::key_id(&name, &typed_key(4, key));
        let ed25519 = StandardVerifier::new(&their_vkey(&name, &typed_key(1, key))).unwrap();
        Self { name, id, ed25519 }
    }
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk() else {
            return false;
        };
        let time = u64::from_be_bytes(*time);
        let head = format!("cosignature/v1\ntime {time}\n");
        self.ed25519
            .verify(&[head.as_bytes(), text].concat(), signature)
    }
}

/// The public key behind a byte for what it signs, as a verifier key has it.
fn typed_key(kind: u8, key: &NoteKey) -> Vec<u8> {
    use base64::Engine as _;
    let shown = key.vkey().to_string();
    let encoded = shown.splitn(3, '+').nth(2).unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    let mut bytes = engine.decode(encoded).unwrap();
    bytes[0] = kind;
    bytes
}

/// A key that signs plain notes, as they write it.
fn their_vkey(name: &str, key: &[u8]) -> String {
    let id = signed_note::key_id(name, key);
    format!("{name}+{id:08x}+{}", base64(key))
}
