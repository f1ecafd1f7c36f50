//! Private keys, sealed, in a store that can forget: the log cannot.
//!
//! One file, `D/keys.json`, holds them all: a server has some dozens, so every change writes the
//! whole file anew (temporary file, fsync, rename, fsync of the directory). That makes a reseal
//! atomic for nothing: after a crash the store is whole under the old master key or whole under
//! the new one. And deletion is as real as a file can make it: the old file is overwritten with
//! zeros after the new one took its name, where a database would keep the old pages until it needs
//! the room. File systems and disks that copy on write may still hold them; so destroying a key
//! beyond doubt means deleting it, `writ keys reseal`, and destroying the old master key.
//!
//! ```text
//! {"format":1, "log_id":…, "check":sealed, "keys":{"<id>":sealed, …}}
//! sealed: hex of nonce (12 bytes) ‖ AES-256-GCM(master key, nonce, text) ‖ tag (16 bytes)
//! ```
//!
//! The associated data of a key is `writ key ‖ log id ‖ key id`, so a sealed key opens under its
//! own name and in its own server only. `check` seals the log id under the name of the store
//! itself: a wrong master key is noticed at open, not at the first signature. Nonces are random:
//! some thousand seals in the life of a master key are far from the 2^32 that are too many.

use crate::disk::{self, DataDir, private_file};
use crate::{Fault, LogId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

const FORMAT: u32 = 1;
const NONCE: usize = 12;
/// Far more than any server has: a larger file is not ours.
const FILE_BYTES: u64 = 16 << 20;

/// The key that seals all others. Wiped from memory when dropped; never shown.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// From 32 bytes of a file or the environment.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// [`Fault::NoRandomness`].
    pub fn generate() -> Result<Self, Fault> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| Fault::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// Its bytes, to write them to the operator's file.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for another purpose that follows from this one: HMAC-SHA-256 over the purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &*self.0);
        let tag = aws_lc_rs::hmac::sign(&key, purpose.as_bytes());
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(tag.as_ref());
        derived
    }
}

/// A private key: bytes that are wiped from memory when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    log_id: String,
    check: String,
    keys: BTreeMap<String, String>,
}

struct State {
    master: MasterKey,
    file: File,
}

/// The sealed private keys of a server.
pub struct KeyStore {
    path: PathBuf,
    random: SystemRandom,
    state: Mutex<State>,
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Opens the key store of a data directory, or makes an empty one with `create`.
    ///
    /// # Errors
    /// [`Fault::WrongMasterKey`]; [`Fault::ForeignLog`] when it belongs to another server;
    /// [`Fault::NotADataDirectory`] when there is none and none is to be made.
    pub fn open(
        data: &DataDir,
        log_id: LogId,
        master: MasterKey,
        create: bool,
    ) -> Result<Self, Fault> {
        let path = data.join("keys.json");
        let random = SystemRandom::new();
        let Some(bytes) = disk::read_file(&path, FILE_BYTES)? else {
            if !create {
                return Err(Fault::NotADataDirectory {
                    path: data.path().to_owned(),
                });
            }
            let log_id = log_id.to_string();
            let check = seal(&random, &master, &check_context(&log_id), log_id.as_bytes())?;
            let file = File {
                format: FORMAT,
                log_id,
                check,
                keys: BTreeMap::new(),
            };
            let store = Self {
                path,
                random,
                state: Mutex::new(State { master, file }),
            };
            store.write(&store.state().file)?;
            return Ok(store);
        };
        let file = parse(&path, &bytes)?;
        if file.log_id != log_id.to_string() {
            let found = LogId::parse(&file.log_id)
                .ok_or_else(|| Fault::damaged(&path, "it names no log"))?;
            return Err(Fault::ForeignLog {
                path,
                found,
                expected: log_id,
            });
        }
        match unseal(&master, &check_context(&file.log_id), &file.check) {
            Some(text) if *text == file.log_id.as_bytes() => {}
            _ => return Err(Fault::WrongMasterKey { path }),
        }
        Ok(Self {
            path,
            random,
            state: Mutex::new(State { master, file }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a private key under an id, in place of one that is there; durable when this returns.
    ///
    /// # Errors
    /// When the disk fails: then the store is as it was.
    pub fn put(&self, id: &str, key: &[u8]) -> Result<(), Fault> {
        let mut state = self.state();
        let mut file = state.file.clone();
        let sealed = seal(
            &self.random,
            &state.master,
            &key_context(&file.log_id, id),
            key,
        )?;
        file.keys.insert(id.to_owned(), sealed);
        self.write(&file)?;
        state.file = file;
        Ok(())
    }

    /// A private key; `None` when it is not there.
    ///
    /// # Errors
    /// [`Fault::KeyDamaged`] when it does not open: somebody changed the file.
    pub fn get(&self, id: &str) -> Result<Option<Secret>, Fault> {
        let state = self.state();
        let Some(sealed) = state.file.keys.get(id) else {
            return Ok(None);
        };
        match unseal(&state.master, &key_context(&state.file.log_id, id), sealed) {
            Some(key) => Ok(Some(key)),
            None => Err(Fault::KeyDamaged {
                path: self.path.clone(),
                id: id.to_owned(),
            }),
        }
    }

    /// Destroys a private key; gone from the disk when this returns, as far as a program can see
    /// to it. False when it was not there.
    ///
    /// # Errors
    /// When the disk fails: then the store is as it was.
    pub fn delete(&self, id: &str) -> Result<bool, Fault> {
        let mut state = self.state();
        let mut file = state.file.clone();
        if file.keys.remove(id).is_none() {
            return Ok(false);
        }
        self.write(&file)?;
        state.file = file;
        Ok(true)
    }

    /// The ids of all keys, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.state().file.keys.keys().cloned().collect()
    }

    /// Seals every key under a new master key. After a crash either all are under the new one or
    /// all under the old.
    ///
    /// # Errors
    /// [`Fault::KeyDamaged`] when a key does not open; or when the disk fails. Then all are under
    /// the old one.
    pub fn reseal(&self, master: MasterKey) -> Result<(), Fault> {
        let mut state = self.state();
        let log_id = state.file.log_id.clone();
        let check = seal(
            &self.random,
            &master,
            &check_context(&log_id),
            log_id.as_bytes(),
        )?;
        let mut keys = BTreeMap::new();
        for (id, sealed) in &state.file.keys {
            let context = key_context(&log_id, id);
            let Some(key) = unseal(&state.master, &context, sealed) else {
                return Err(Fault::KeyDamaged {
                    path: self.path.clone(),
                    id: id.clone(),
                });
            };
            keys.insert(id.clone(), seal(&self.random, &master, &context, &key)?);
        }
        let file = File {
            format: FORMAT,
            log_id,
            check,
            keys,
        };
        self.write(&file)?;
        *state = State { master, file };
        Ok(())
    }

    /// Puts a new file in place, durably, and overwrites the old one.
    fn write(&self, file: &File) -> Result<(), Fault> {
        let encode = |error: serde_json::Error| Fault::io("encode", &self.path)(error.into());
        let bytes = serde_json::to_vec_pretty(file).map_err(encode)?;
        // Held open over the rename: the name is gone then, the blocks are still ours to wipe.
        let old = private_file().open(&self.path);
        disk::replace_file(&self.path, &bytes)?;
        if let Ok(mut old) = old
            && let Err(error) = disk::wipe(&mut old)
        {
            tracing::warn!(%error, "the old key file could not be overwritten");
        }
        Ok(())
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<File, Fault> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let damaged = |error: serde_json::Error| Fault::damaged(path, error.to_string());
    let Version { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        let (path, found) = (path.to_owned(), format.to_string());
        return Err(Fault::UnknownFormat {
            path,
            found,
            known: FORMAT,
        });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

fn check_context(log_id: &str) -> String {
    format!("writ key store\0{log_id}")
}

fn key_context(log_id: &str, id: &str) -> String {
    format!("writ key\0{log_id}\0{id}")
}

fn cipher(master: &MasterKey) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &*master.0)
        .ok()
        .map(LessSafeKey::new)
}

fn seal(
    random: &SystemRandom,
    master: &MasterKey,
    context: &str,
    text: &[u8],
) -> Result<String, Fault> {
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce).map_err(|_| Fault::NoRandomness)?;
    let mut sealed = text.to_vec();
    cipher(master)
        .and_then(|cipher| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            cipher
                .seal_in_place_append_tag(nonce, Aad::from(context), &mut sealed)
                .ok()
        })
        .ok_or(Fault::NoRandomness)?;
    Ok(to_hex(&nonce) + &to_hex(&sealed))
}

fn unseal(master: &MasterKey, context: &str, sealed: &str) -> Option<Secret> {
    let mut bytes = Zeroizing::new(of_hex(sealed)?);
    let nonce: [u8; NONCE] = bytes.get(..NONCE)?.try_into().ok()?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = cipher(master)?
        .open_in_place(nonce, Aad::from(context), &mut bytes[NONCE..])
        .ok()?
        .len();
    Some(Zeroizing::new(bytes[NONCE..NONCE + length].to_vec()))
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.contains('+') {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LOG: LogId = LogId(7);

    fn master(n: u8) -> MasterKey {
        MasterKey::new([n; 32])
    }

    fn place() -> (tempfile::TempDir, DataDir) {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        (temporary, data)
    }

    #[test]
    fn keys_are_kept_sealed_and_forgotten() {
        let (_temporary, data) = place();
        assert!(KeyStore::open(&data, LOG, master(1), false).is_err());
        let store = KeyStore::open(&data, LOG, master(1), true).unwrap();
        store.put("k1", b"private part one").unwrap();
        store.put("k2", b"private part two").unwrap();
        store.put("k2", b"private part 2").unwrap();
        drop(store);
        let store = KeyStore::open(&data, LOG, master(1), false).unwrap();
        assert_eq!(store.list(), ["k1", "k2"]);
        assert_eq!(**store.get("k1").unwrap().unwrap(), *b"private part one");
        assert_eq!(**store.get("k2").unwrap().unwrap(), *b"private part 2");
        let path = data.join("keys.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("private") && !text.contains(&to_hex(b"private")));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        let mut old = private_file().open(&path).unwrap();
        assert!(store.delete("k1").unwrap());
        assert!(!store.delete("k1").unwrap());
        assert_eq!(store.get("k1").unwrap(), None);
        let mut left = Vec::new();
        std::io::Read::read_to_end(&mut old, &mut left).unwrap();
        assert!(
            left.iter().all(|byte| *byte == 0),
            "the old file is overwritten"
        );
        assert_eq!(
            KeyStore::open(&data, LOG, master(1), false).unwrap().list(),
            ["k2"]
        );
    }

    #[test]
    fn a_wrong_master_key_is_noticed_at_open() {
        let (_temporary, data) = place();
        drop(KeyStore::open(&data, LOG, master(1), true).unwrap());
        let refused = KeyStore::open(&data, LOG, master(2), true).unwrap_err();
        assert!(matches!(refused, Fault::WrongMasterKey { .. }), "{refused}");
        let refused = KeyStore::open(&data, LogId(8), master(1), true).unwrap_err();
        assert!(matches!(refused, Fault::ForeignLog { .. }), "{refused}");
    }

    #[test]
    fn resealing_is_all_or_nothing() {
        let (_temporary, data) = place();
        let store = KeyStore::open(&data, LOG, master(1), true).unwrap();
        for n in 0..20 {
            store.put(&format!("k{n:02}"), &[n; 100]).unwrap();
        }
        // A crash before the rename leaves the old file, whole, and a new one that nobody reads.
        let path = data.join("keys.json");
        std::fs::write(disk::unfinished(&path), b"{\"format\":1,").unwrap();
        let again = KeyStore::open(&data, LOG, master(1), false).unwrap();
        assert_eq!(again.list().len(), 20);

        store.reseal(master(2)).unwrap();
        assert!(KeyStore::open(&data, LOG, master(1), false).is_err());
        let again = KeyStore::open(&data, LOG, master(2), false).unwrap();
        for n in 0..20 {
            assert_eq!(**again.get(&format!("k{n:02}")).unwrap().unwrap(), [n; 100]);
        }
        store.put("later", b"x").unwrap();
        assert!(
            KeyStore::open(&data, LOG, master(2), false)
                .unwrap()
                .get("later")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_key_opens_under_its_own_name_only() {
        let (_temporary, data) = place();
        let store = KeyStore::open(&data, LOG, master(1), true).unwrap();
        store.put("a", b"one").unwrap();
        store.put("b", b"two").unwrap();
        let path = data.join("keys.json");
        let mut file = parse(&path, &std::fs::read(&path).unwrap()).unwrap();
        let one = file.keys["a"].clone();
        file.keys.insert("b".to_owned(), one);
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        let store = KeyStore::open(&data, LOG, master(1), false).unwrap();
        assert!(matches!(store.get("b"), Err(Fault::KeyDamaged { .. })));
        assert!(matches!(
            store.reseal(master(3)),
            Err(Fault::KeyDamaged { .. })
        ));
        assert_eq!(**store.get("a").unwrap().unwrap(), *b"one");
    }

    #[test]
    fn bad_files_are_refused() {
        let (_temporary, data) = place();
        let path = data.join("keys.json");
        for (text, expected) in [
            ("", "damaged"),
            ("{\"format\":2}", "has format 2"),
            ("{\"format\":1}", "damaged"),
            (
                "{\"format\":1,\"log_id\":\"x\",\"check\":\"\",\"keys\":{}}",
                "damaged",
            ),
            (
                "{\"format\":1,\"log_id\":\"00000000000000000000000000000007\",\"check\":\"+1é\",\"keys\":{}}",
                "master key",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = KeyStore::open(&data, LOG, master(1), true)
                .unwrap_err()
                .to_string();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn derived_keys_differ_by_purpose() {
        assert_ne!(master(1).derive("a"), master(1).derive("b"));
        assert_ne!(master(1).derive("a"), master(2).derive("a"));
        assert_eq!(master(1).derive("a"), master(1).derive("a"));
        assert_eq!(format!("{:?}", master(1)), "MasterKey(..)");
        assert_ne!(
            MasterKey::generate().unwrap().bytes(),
            MasterKey::generate().unwrap().bytes()
        );
    }
}
