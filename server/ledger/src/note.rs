//! Signed notes, checkpoints and proofs in the formats of C2SP, so that others can verify them
//! without Writ: signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1 (`cosignature/v1`),
//! tlog-proof@v1.

use crate::merkle::{self, Hash};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature as Ed25519, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Largest note that is read, in bytes: a checkpoint with some dozens of signatures.
pub const NOTE_BYTES: usize = 16 * 1024;
/// Most signatures of a note that are read.
const SIGNATURES: usize = 64;
/// Most hashes of a proof: the depth of a tree of 2⁶³ leaves, and one more.
const PROOF_HASHES: usize = 64;

/// Text that is no note, checkpoint, key or proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseNoteError(&'static str);

impl ParseNoteError {
    pub(crate) fn new(text: &'static str) -> Self {
        Self(text)
    }
}

/// A number as the formats write it: no sign, no zeros before it.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (u64::to_string(&number) == text).then_some(number)
}

/// A hash as the formats write it: base64 (RFC 4648 §4).
#[must_use]
pub fn parse_hash(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The hashes of a proof, one a line; `None` when one is none, or there are more than `max`.
pub(crate) fn parse_hashes<'a>(
    lines: impl Iterator<Item = &'a str>,
    max: usize,
) -> Option<Vec<Hash>> {
    let hashes: Option<Vec<Hash>> = lines.take(max + 1).map(parse_hash).collect();
    hashes.filter(|hashes| hashes.len() <= max)
}

/// What a key signs, by the signature type of signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The log itself: Ed25519 over the note (type 0x01).
    Log,
    /// A witness: Ed25519 over the note and the time at which it was seen (type 0x04).
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        [Self::Log, Self::Witness]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// A verifier key: `<name>+<key id in hexadecimal>+<base64 of type and public key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    name: Box<str>,
    kind: KeyKind,
    key: VerifyingKey,
}

/// Whether a name can be that of a key: not empty, no spaces, no plus.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && c != '+')
}

impl Vkey {
    /// The name: for a log its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.as_bytes())
            .finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Whether it is the one that signed a line, as the line says.
    pub(crate) fn made(&self, line: &Signature) -> bool {
        line.name == self.name && line.id == self.id()
    }

    /// What it says by its signature; `None` when the signature is wrong.
    fn verifies(&self, text: &str, line: &Signature) -> Option<Verified> {
        let (time, signature) = match self.kind {
            KeyKind::Log => (None, line.bytes.as_slice()),
            KeyKind::Witness => {
                let (time, signature) = line.bytes.split_first_chunk()?;
                (Some(u64::from_be_bytes(*time)), signature)
            }
        };
        let signature = Ed25519::from_slice(signature).ok()?;
        let signed = match time {
            None => text.to_owned(),
            Some(time) => cosigned(time, text),
        };
        self.key.verify_strict(signed.as_bytes(), &signature).ok()?;
        Some(Verified { time })
    }
}

/// What a witness signs (tlog-cosignature, "Format").
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        for byte in self.id() {
            write!(f, "{byte:02x}")?;
        }
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "+{}", BASE64.encode(key))
    }
}

impl FromStr for Vkey {
    type Err = ParseNoteError;

    fn from_str(text: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("not a verifier key: it should be name+id+key (C2SP signed-note)");
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad);
        };
        let key = BASE64.decode(key).map_err(|_| bad)?;
        let (kind, key) = key.split_first().ok_or(bad)?;
        let other = ParseNoteError("a verifier key of a type that is not Ed25519");
        let kind = KeyKind::of_byte(*kind).ok_or(other)?;
        let key = key.try_into().map_err(|_| bad)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| bad)?;
        let vkey = Self {
            name: name.into(),
            kind,
            key,
        };
        let same_id = vkey.to_string().split('+').nth(1) == Some(id);
        match is_name(name) && same_id {
            true => Ok(vkey),
            false => Err(bad),
        }
    }
}

/// What a verified signature says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// When a witness saw the note, in seconds since 1970.
    pub time: Option<u64>,
}

/// What a private key begins with.
const SECRET: &str = "PRIVATE+KEY+";

/// A key that signs: the log's own, or a witness's.
pub struct NoteKey {
    vkey: Vkey,
    key: SigningKey,
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({})", self.vkey)
    }
}

impl NoteKey {
    /// A key by its 32 secret bytes (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// When the name is empty or has spaces or a plus in it.
    pub fn new(kind: KeyKind, name: &str, seed: &[u8; 32]) -> Result<Self, ParseNoteError> {
        if !is_name(name) {
            return Err(ParseNoteError(
                "a key's name must not be empty and has no spaces and no plus",
            ));
        }
        let key = SigningKey::from_bytes(seed);
        let vkey = Vkey {
            name: name.into(),
            kind,
            key: key.verifying_key(),
        };
        Ok(Self { vkey, key })
    }

    /// From what [`Self::secret`] answers.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_secret(text: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("not a private key of a note");
        let rest = text.strip_prefix(SECRET).ok_or(bad)?;
        let (name, rest) = rest.split_once('+').ok_or(bad)?;
        let (_, encoded) = rest.split_once('+').ok_or(bad)?;
        let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| bad)?);
        let (kind, seed) = bytes.split_first().ok_or(bad)?;
        let kind = KeyKind::of_byte(*kind).ok_or(bad)?;
        let key = Self::new(kind, name, seed.try_into().map_err(|_| bad)?)?;
        match *key.secret() == *text {
            true => Ok(key),
            false => Err(bad),
        }
    }

    /// The private key as Go's `sumdb/note` writes one.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<String> {
        let Vkey { name, kind, .. } = &self.vkey;
        let id = u32::from_be_bytes(self.vkey.id());
        let mut bytes = Zeroizing::new(vec![kind.byte()]);
        bytes.extend_from_slice(&*Zeroizing::new(self.key.to_bytes()));
        let encoded = Zeroizing::new(BASE64.encode(&*bytes));
        Zeroizing::new(format!("{SECRET}{name}+{id:08x}+{}", *encoded))
    }

    /// 32 secret bytes for a new key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Zeroizing<[u8; 32]>, crate::Fault> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *seed)
            .map_err(|_| crate::Fault::NoRandomness)?;
        Ok(seed)
    }

    /// Its public part.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Adds its signature to a note. A witness says when it saw it, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, text: &str, seconds: u64) -> Signature {
        let bytes = match self.vkey.kind {
            KeyKind::Log => self.key.sign(text.as_bytes()).to_vec(),
            KeyKind::Witness => {
                let signature = self.key.sign(cosigned(seconds, text).as_bytes());
                [&seconds.to_be_bytes()[..], &signature.to_bytes()].concat()
            }
        };
        Signature {
            name: self.vkey.name.clone(),
            id: self.vkey.id(),
            bytes,
        }
    }
}

/// A line with a signature, by whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: Box<str>,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// Who it says signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the key that signed is the same, as both say.
    #[must_use]
    pub fn is_of_same_key(&self, other: &Self) -> bool {
        self.name == other.name && self.id == other.id
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "\u{2014} {} {}", self.name, BASE64.encode(bytes))
    }
}

impl FromStr for Signature {
    type Err = ParseNoteError;

    /// From one line, without its end.
    fn from_str(line: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("a line that is no signature");
        let rest = line.strip_prefix("\u{2014} ").ok_or(bad)?;
        let (name, bytes) = rest.split_once(' ').ok_or(bad)?;
        let bytes = BASE64.decode(bytes).map_err(|_| bad)?;
        let (id, bytes) = bytes.split_first_chunk().ok_or(bad)?;
        match is_name(name) && !bytes.is_empty() {
            true => Ok(Self {
                name: name.into(),
                id: *id,
                bytes: bytes.to_vec(),
            }),
            false => Err(bad),
        }
    }
}

/// A text with signatures under it (C2SP signed-note).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// The text, with the newline at its end.
    pub text: String,
    /// Who signed it, as they claim.
    pub signatures: Vec<Signature>,
}

impl SignedNote {
    /// What a key says about the note; `None` when it did not sign it, or the signature is wrong. Of
    /// several signatures of one key the first counts, as in other implementations.
    #[must_use]
    pub fn verify(&self, vkey: &Vkey) -> Option<Verified> {
        let line = self.signatures.iter().find(|line| vkey.made(line))?;
        vkey.verifies(&self.text, line)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text)?;
        for signature in &self.signatures {
            write!(f, "\n{signature}")?;
        }
        writeln!(f)
    }
}

impl FromStr for SignedNote {
    type Err = ParseNoteError;

    fn from_str(note: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("not a signed note (C2SP signed-note)");
        if note.len() > NOTE_BYTES || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(bad);
        }
        let at = note.rfind("\n\n").ok_or(bad)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(bad)?;
        let signatures: Vec<Signature> = lines
            .split('\n')
            .take(SIGNATURES + 1)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        match signatures.len() {
            1..=SIGNATURES => Ok(Self {
                text: text.to_owned(),
                signatures,
            }),
            _ => Err(bad),
        }
    }
}

/// What a checkpoint says: so many events, with this root (C2SP tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log: the name of its key.
    pub origin: Box<str>,
    /// How many events.
    pub size: u64,
    /// Their root (RFC 6962 §2.1).
    pub root: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(self.root);
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

impl FromStr for Checkpoint {
    type Err = ParseNoteError;

    /// From the text of a note. Lines after the third are allowed, are not empty, and mean nothing.
    fn from_str(text: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("not a checkpoint (C2SP tlog-checkpoint)");
        let mut lines = text.strip_suffix('\n').ok_or(bad)?.split('\n');
        let mut next = || lines.next().ok_or(bad);
        let (origin, size, root) = (next()?, next()?, next()?);
        let size = decimal(size).ok_or(bad)?;
        let root = parse_hash(root).ok_or(bad)?;
        match origin.is_empty() || lines.any(str::is_empty) {
            false => Ok(Self {
                origin: origin.into(),
                size,
                root,
            }),
            true => Err(bad),
        }
    }
}

/// A checkpoint with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it was signed.
    pub note: SignedNote,
}

impl SignedCheckpoint {
    /// Signs a checkpoint by the log's key. Its origin is the key's name.
    #[must_use]
    pub fn sign(key: &NoteKey, size: u64, root: Hash) -> Self {
        let checkpoint = Checkpoint {
            origin: key.vkey.name.clone(),
            size,
            root,
        };
        let text = checkpoint.to_string();
        let signatures = vec![key.sign(&text, 0)];
        Self {
            checkpoint,
            note: SignedNote { text, signatures },
        }
    }

    /// Whether the log that it is about signed it.
    #[must_use]
    pub fn is_signed_by(&self, vkey: &Vkey) -> bool {
        vkey.kind == KeyKind::Log
            && *vkey.name == *self.checkpoint.origin
            && self.note.verify(vkey).is_some()
    }

    /// Of the lines that a witness answered its signature, if it is right. Those of keys that
    /// nobody knows mean nothing.
    #[must_use]
    pub fn cosignature(&self, witness: &Vkey, lines: &str) -> Option<(Signature, Verified)> {
        let line = lines
            .lines()
            .take(SIGNATURES)
            .filter_map(|line| line.parse::<Signature>().ok())
            .find(|line| witness.made(line))?;
        let verified = witness.verifies(&self.note.text, &line)?;
        Some((line, verified))
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = ParseNoteError;

    fn from_str(note: &str) -> Result<Self, ParseNoteError> {
        let note: SignedNote = note.parse()?;
        let checkpoint = note.text.parse()?;
        Ok(Self { checkpoint, note })
    }
}

/// That an event is in a log, to be verified by whoever has the log's key (C2SP tlog-proof@v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The event's position.
    pub index: u64,
    /// The audit path (RFC 6962 §2.1.1).
    pub path: Vec<Hash>,
    /// The tree that it leads to.
    pub checkpoint: SignedCheckpoint,
}

/// The first line of a proof.
const PROOF: &str = "c2sp.org/tlog-proof@v1";

impl LogProof {
    /// Whether it proves that an event with these bytes is at its position in the log that signed
    /// with this key.
    #[must_use]
    pub fn proves(&self, event: &[u8], vkey: &Vkey) -> bool {
        let Checkpoint { size, root, .. } = &self.checkpoint.checkpoint;
        let leaf = merkle::leaf_hash(event);
        self.checkpoint.is_signed_by(vkey)
            && merkle::verify_inclusion(&leaf, self.index, *size, root, &self.path)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for LogProof {
    type Err = ParseNoteError;

    fn from_str(text: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError("not a proof (C2SP tlog-proof@v1)");
        let (head, checkpoint) = text.split_once("\n\n").ok_or(bad)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(PROOF) {
            return Err(bad);
        }
        let mut line = lines.next();
        // Data that the proof's maker added, which means nothing to us.
        if line.is_some_and(|line| line.starts_with("extra ")) {
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal).ok_or(bad)?;
        let path = parse_hashes(lines, PROOF_HASHES).ok_or(bad)?;
        let checkpoint = checkpoint.parse()?;
        Ok(Self {
            index,
            path,
            checkpoint,
        })
    }
}
