//! The master key: what the key store is sealed under. It comes from a file that nobody else can
//! read, or from the environment. It is 32 random bytes, written as base64 on one line.

use aws_lc_rs::hmac;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::clock::Random;

/// More than any master key file holds, in bytes.
const FILE_BYTES_MAX: u64 = 1024;

/// 32 secret bytes. Wiped when dropped; shown by nothing.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Why there is no master key. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file exists already and is not overwritten.
    #[error("{0} exists already; a new master key would make the keys sealed by it useless")]
    Exists(PathBuf),
    /// Others may read or write the file.
    #[error(
        "{path} has mode {mode:04o}, so others can get at the master key: run `chmod 600 {path}`"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file belongs to another user.
    #[error(
        "{path} belongs to user {owner} and writ runs as user {user}: run `chown {user} {path}`"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// There is something else there than a plain file.
    #[error("{0} is not a plain file")]
    Kind(PathBuf),
    /// The text is not 32 bytes in base64.
    #[error(
        "{origin} does not hold a master key: 32 random bytes as base64, as \
         `openssl rand -base64 32` prints them"
    )]
    Malformed {
        /// The file or the variable.
        origin: String,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} the master key {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl MasterKey {
    /// Parses the text of a master key. `origin` says in an error where the text came from.
    ///
    /// # Errors
    /// The text is not 32 bytes in base64.
    pub fn from_base64(text: &str, origin: &str) -> Result<Self, MasterKeyError> {
        let malformed = || MasterKeyError::Malformed {
            origin: origin.to_owned(),
        };
        // Room for the padding: the decoder wants to be sure before it begins.
        let mut bytes = Zeroizing::new([0u8; 36]);
        let length = STANDARD
            .decode_slice(text.trim_ascii(), bytes.as_mut())
            .map_err(|_| malformed())?;
        let key = bytes
            .get(..length)
            .and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.map(|key| Self(Zeroizing::new(key)))
            .ok_or_else(malformed)
    }

    /// Reads a master key from a file that belongs to us and that nobody else can read: mode 0600
    /// or 0400.
    ///
    /// # Errors
    /// There is no such file, others can read it, or it holds no master key.
    pub fn from_file(path: &Path) -> Result<Self, MasterKeyError> {
        let io = |source| MasterKeyError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        // The checks are made on what was opened, not on a name that may mean another file by then.
        let file = File::open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?;
        if !found.is_file() {
            return Err(MasterKeyError::Kind(path.to_owned()));
        }
        let mode = found.mode() & 0o7777;
        if !matches!(mode, 0o600 | 0o400) {
            return Err(MasterKeyError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user {
            let (path, owner) = (path.to_owned(), found.uid());
            return Err(MasterKeyError::Owner { path, owner, user });
        }
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(io)?;
        Self::from_base64(&text, &path.display().to_string())
    }

    /// Makes a master key and writes it to a new file of mode 0600, durably: what is sealed under
    /// it afterwards must not outlive it.
    ///
    /// # Errors
    /// The file exists already, or cannot be written.
    pub fn create_file(path: &Path, random: &dyn Random) -> Result<Self, MasterKeyError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => MasterKeyError::Exists(path.to_owned()),
            _ => MasterKeyError::Io {
                action: "write",
                path: path.to_owned(),
                source,
            },
        };
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut());
        let mut text = Zeroizing::new(String::with_capacity(48));
        STANDARD.encode_string(key.as_ref(), &mut text);
        text.push('\n');
        // Written beside and linked into place: after a crash there is a whole key or none.
        let beside = path.with_extension("unfinished");
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        let linked = std::fs::hard_link(&beside, path);
        std::fs::remove_file(&beside).map_err(io)?;
        linked.map_err(io)?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(io)?;
        directory.sync_all().map_err(io)?;
        Ok(Self(key))
    }

    /// A key that is derived from it, for one purpose (RFC 2104): who has it does not have this one.
    #[must_use]
    pub fn derive(master_key: &[u8; 32], purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, master_key);
        let tag = hmac::sign(&key, purpose.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// The bytes: for the key store.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::SystemRandom;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_made_key_reads_back_and_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let made = MasterKey::create_file(&path, &SystemRandom).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(MasterKey::from_file(&path).unwrap().expose(), made.expose());
        let again = MasterKey::create_file(&path, &SystemRandom);
        assert!(matches!(again, Err(MasterKeyError::Exists(_))), "{again:?}");
        assert_eq!(MasterKey::from_file(&path).unwrap().expose(), made.expose());
        assert_eq!(format!("{made:?}"), "MasterKey(redacted)");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        MasterKey::create_file(&path, &SystemRandom).unwrap();
        for mode in [0o400, 0o600] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(MasterKey::from_file(&path).is_ok(), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o660, 0o644, 0o700, 0o4600, 0o000] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(MasterKey::from_file(&path).is_err(), "{mode:o}");
        }
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0644"), "{error}");
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
        let error = MasterKey::from_file(directory.path()).unwrap_err();
        assert!(matches!(error, MasterKeyError::Kind(_)), "{error:?}");
    }

    #[test]
    fn only_32_bytes_in_base64_are_a_key() {
        let good = STANDARD.encode([7u8; 32]);
        assert!(MasterKey::from_base64(&format!(" {good}\n"), "x").is_ok());
        for bytes in [0usize, 16, 31, 33, 34, 64] {
            let text = STANDARD.encode(vec![7u8; bytes]);
            assert!(MasterKey::from_base64(&text, "x").is_err(), "{bytes}");
        }
        let error = MasterKey::from_base64("canary", "WRIT_MASTER_KEY").unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("WRIT_MASTER_KEY") && !shown.contains("canary"),
            "{shown}"
        );
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_reads_back_and_anything_else_is_refused_without_being_shown(
            bytes: [u8; 32],
            padding in "[ \\t\\r\\n]{0,3}",
            text in "[!-~]{8,80}|[A-Za-z0-9+/]{8,60}={0,3}",
            any: Vec<u8>,
        ) {
            let good = STANDARD.encode(bytes);
            let read = MasterKey::from_base64(&format!("{padding}{good}{padding}"), "x");
            let read = read.unwrap();
            prop_assert_eq!(read.expose(), &bytes);

            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("master.key");
            let mut file = OpenOptions::new();
            let mut file = file.write(true).create_new(true).mode(0o600).open(&path).unwrap();
            for wrong in [text.as_bytes(), &any] {
                file.set_len(0).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, wrong, 0).unwrap();
                file.flush().unwrap();
                let right = STANDARD.decode(wrong.trim_ascii()).is_ok_and(|key| key.len() == 32);
                match MasterKey::from_file(&path) {
                    Ok(_) => prop_assert!(right),
                    Err(error) => {
                        prop_assert!(!right);
                        let shown = format!("{error} {error:?}");
                        let hidden = wrong.len() < 8 || !shown.as_bytes().windows(wrong.len()).any(|part| part == wrong);
                        prop_assert!(hidden, "{}", shown);
                    }
                }
            }
        }
    }
}
