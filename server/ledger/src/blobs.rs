//! Blobs: files named by the SHA-256 of their bytes, such as policy modules.
//!
//! `D/blobs/ab/cdef…`: the first two hexadecimal digits are the directory. A blob is whole and
//! durable before its name appears, so an event may name it as soon as [`Blobs::put`] returned.
//! Nothing is ever changed here, and nothing is believed: the bytes are hashed at every read.

use crate::disk::{self, DataDir};
use crate::{Fault, limits};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use writ_core::codec::{from_hex, hex};

/// The SHA-256 of a blob: its name.
pub type Digest = [u8; 32];

/// The blobs of a data directory.
#[derive(Debug)]
pub struct Blobs {
    path: PathBuf,
    /// One put at a time: two of one digest would share the unfinished file.
    putting: Mutex<()>,
}

impl Blobs {
    /// Opens the blobs, which may be none.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(data: &DataDir) -> Result<Self, Fault> {
        let path = data.join("blobs");
        disk::create_dir(&path)?;
        Ok(Self {
            path,
            putting: Mutex::default(),
        })
    }

    /// The blobs in a directory, to be read: of an export, or of a data directory in which nothing
    /// is to be changed. It need not be there.
    #[must_use]
    pub fn in_directory(path: PathBuf) -> Self {
        Self {
            path,
            putting: Mutex::default(),
        }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        let name = hex(digest);
        let (directory, file) = name.split_at(2);
        self.path.join(directory).join(file)
    }

    /// Stores bytes; durable when this returns. Storing them again costs one read.
    ///
    /// # Errors
    /// [`Fault::TooLarge`]; or when the disk fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Fault> {
        if bytes.len() as u64 > limits::BLOB_BYTES {
            let limit = limits::BLOB_BYTES as usize;
            return Err(Fault::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        let digest = Sha256::digest(bytes).into();
        let path = self.file(&digest);
        let _one = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        // A damaged one is replaced: here are the right bytes.
        if !matches!(self.get(&digest), Ok(Some(_))) {
            disk::create_dir(disk::parent_of(&path))?;
            disk::replace_file(&path, bytes)?;
        }
        Ok(digest)
    }

    /// The bytes of a blob, verified; `None` when there is no such blob.
    ///
    /// # Errors
    /// [`Fault::BlobDamaged`] when they are not the bytes that were stored.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.file(digest);
        let Some(bytes) = disk::read_file(&path, limits::BLOB_BYTES)? else {
            return Ok(None);
        };
        if Digest::from(Sha256::digest(&bytes)) == *digest {
            Ok(Some(bytes))
        } else {
            Err(Fault::BlobDamaged {
                path,
                digest: hex(digest),
            })
        }
    }

    /// The digests of all blobs, sorted.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self) -> Result<Vec<Digest>, Fault> {
        let mut digests = Vec::new();
        if !self.path.is_dir() {
            return Ok(digests);
        }
        for directory in disk::names(&self.path)? {
            for file in disk::names(&self.path.join(&directory))? {
                digests.extend(from_hex(&format!("{directory}{file}")));
            }
        }
        digests.sort_unstable();
        Ok(digests)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_blob_is_found_by_its_digest_and_verified() {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        let blobs = Blobs::open(&data).unwrap();
        let digest = blobs.put(b"module").unwrap();
        assert_eq!(digest, Digest::from(Sha256::digest(b"module")));
        assert_eq!(blobs.put(b"module").unwrap(), digest);
        let other = blobs.put(b"").unwrap();
        let mut both = vec![digest, other];
        both.sort_unstable();
        assert_eq!(Blobs::open(&data).unwrap().list().unwrap(), both);
        assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"module");
        assert_eq!(blobs.get(&[7; 32]).unwrap(), None);

        let path = blobs.file(&digest);
        std::fs::write(&path, b"mudole").unwrap();
        let refused = blobs.get(&digest).unwrap_err();
        assert!(matches!(refused, Fault::BlobDamaged { .. }), "{refused}");
        assert_eq!(blobs.put(b"module").unwrap(), digest);
        assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"module");
    }

    #[test]
    fn a_crash_while_storing_leaves_nothing_that_is_found() {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        let blobs = Blobs::open(&data).unwrap();
        let path = blobs.file(&Sha256::digest(b"module").into());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(disk::unfinished(&path), b"mod").unwrap();
        assert_eq!(blobs.list().unwrap(), Vec::<Digest>::new());
        let digest = blobs.put(b"module").unwrap();
        assert_eq!(blobs.list().unwrap(), [digest]);
    }
}
