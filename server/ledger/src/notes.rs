//! Notes: the free text of `Writ-Reason`, which people may have to have deleted.
//!
//! The log is read for ever, so an event has only SHA-256(salt ‖ text). Text and salt lie here,
//! in `D/notes/ab/cdef…` by that hash. Without the salt (16 random bytes) the hash says nothing,
//! not even to one who guesses the text; deleting the note deletes both, and every proof over the
//! log stays valid.
//!
//! Layout of a file: the salt (16 bytes), then the text (UTF-8).

use crate::disk::{self, DataDir, private_file};
use crate::{Fault, limits};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use writ_core::codec::hex;

const SALT: usize = 16;

/// The hash of a note, with its salt: what the event has.
pub type NoteHash = [u8; 32];

/// The notes of a data directory.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    random: SystemRandom,
    writing: Mutex<()>,
}

impl Notes {
    /// Opens the notes, which may be none.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(data: &DataDir) -> Result<Self, Fault> {
        let path = data.join("notes");
        disk::create_dir(&path)?;
        Ok(Self {
            path,
            random: SystemRandom::new(),
            writing: Mutex::default(),
        })
    }

    fn file(&self, hash: &NoteHash) -> PathBuf {
        let name = hex(hash);
        let (directory, file) = name.split_at(2);
        self.path.join(directory).join(file)
    }

    /// Stores a text; durable when this returns. The answer goes into the event
    /// (`Submission::reason`). If the command is refused, delete the note again.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] over [`limits::NOTE_BYTES`]; or when the disk fails.
    pub fn put(&self, text: &str) -> Result<NoteHash, Fault> {
        if text.len() > limits::NOTE_BYTES {
            return Err(Fault::TooLarge {
                bytes: text.len(),
                limit: limits::NOTE_BYTES,
            });
        }
        let mut bytes = vec![0; SALT];
        self.random
            .fill(&mut bytes)
            .map_err(|_| Fault::NoRandomness)?;
        bytes.extend_from_slice(text.as_bytes());
        let hash = Sha256::digest(&bytes).into();
        let path = self.file(&hash);
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        disk::create_dir(disk::parent_of(&path))?;
        disk::replace_file(&path, &bytes)?;
        Ok(hash)
    }

    /// The text of a note; `None` when it was deleted, or never was.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is not the text that the event vouches for.
    pub fn get(&self, hash: &NoteHash) -> Result<Option<String>, Fault> {
        let path = self.file(hash);
        let limit = (SALT + limits::NOTE_BYTES) as u64;
        let Some(bytes) = disk::read_file(&path, limit)? else {
            return Ok(None);
        };
        let text = bytes
            .get(SALT..)
            .and_then(|text| String::from_utf8(text.to_vec()).ok());
        match text {
            Some(text) if NoteHash::from(Sha256::digest(&bytes)) == *hash => Ok(Some(text)),
            _ => Err(Fault::damaged(&path, "its hash is another")),
        }
    }

    /// Deletes a note for good: its file is overwritten with zeros, then unlinked. No error when it
    /// is not there. What file systems and disks keep beneath is out of reach (see `key_store.rs`).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn delete(&self, hash: &NoteHash) -> Result<(), Fault> {
        let path = self.file(hash);
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match private_file().open(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Fault::io("open", &path)(source)),
            Ok(mut file) => {
                disk::wipe(&mut file).map_err(Fault::io("overwrite", &path))?;
                disk::unlink(&path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_note_can_be_read_and_forgotten() {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        let notes = Notes::open(&data).unwrap();
        let (one, two) = (
            notes.put("ticket 4711").unwrap(),
            notes.put("ticket 4711").unwrap(),
        );
        assert_ne!(one, two, "the salt differs");
        assert_eq!(
            Notes::open(&data).unwrap().get(&one).unwrap().unwrap(),
            "ticket 4711"
        );
        notes.delete(&one).unwrap();
        notes.delete(&one).unwrap();
        assert_eq!(notes.get(&one).unwrap(), None);
        assert_eq!(notes.get(&two).unwrap().unwrap(), "ticket 4711");
        let path = notes.file(&two);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SALT] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(notes.get(&two), Err(Fault::Damaged { .. })));
        assert!(notes.put(&"x".repeat(limits::NOTE_BYTES + 1)).is_err());
    }
}
