//! Compiled modules on disk, so that a restart does not compile. Native code is run as it is, so a
//! file is believed only if its tag says that this server wrote it, for this module and this
//! engine. Everything here may be deleted at any time.
//!
//! `<digest of the module, in hexadecimal>.cwasm`: 32 bytes HMAC-SHA256, then the artefact. The tag
//! is over the artefact, the digest and the engine's fingerprint, each after its length.

use crate::limits;
use aws_lc_rs::hmac;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

const TAG_BYTES: usize = 32;
const EXTENSION: &str = "cwasm";

pub(crate) struct Cache {
    directory: PathBuf,
    key: hmac::Key,
    fingerprint: Arc<str>,
    bytes_max: u64,
}

impl Cache {
    /// Opens the cache, and makes its directory if there is none.
    pub(crate) fn open(
        directory: &Path,
        key: &[u8; 32],
        fingerprint: Arc<str>,
        bytes_max: u64,
    ) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            fingerprint,
            bytes_max,
        })
    }

    /// The artefact for a module, if there is one that verifies.
    pub(crate) fn load(&self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(digest)).ok()?;
        let limit = (TAG_BYTES + limits::ARTEFACT_BYTES) as u64 + 1;
        (&file).take(limit).read_to_end(&mut bytes).ok()?;
        let (tag, artefact) = bytes.split_at_checked(TAG_BYTES)?;
        if hmac::verify(&self.key, &self.tagged(artefact, digest), tag).is_err() {
            tracing::warn!(
                policy.digest = hex(digest),
                "a compiled policy in the cache does not verify; it is compiled again"
            );
            return None;
        }
        // What is in use is the last to be forgotten. If it cannot be said, it may be sooner.
        drop(touch(&file));
        Some(artefact.to_vec())
    }

    /// Keeps an artefact. A cache that cannot be written costs time, nothing else.
    pub(crate) fn store(&self, digest: &[u8; 32], artefact: &[u8]) {
        if let Err(error) = self
            .write(digest, artefact)
            .and_then(|()| self.shrink(digest))
        {
            tracing::warn!(
                policy.digest = hex(digest),
                %error,
                "a compiled policy could not be cached"
            );
        }
    }

    fn write(&self, digest: &[u8; 32], artefact: &[u8]) -> io::Result<()> {
        let tag = hmac::sign(&self.key, &self.tagged(artefact, digest));
        // One process has the data directory, and its sandbox stores one artefact at a time.
        let temporary = self.directory.join(format!("{}.part", hex(digest)));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(tag.as_ref())?;
        file.write_all(artefact)?;
        drop(file);
        fs::rename(&temporary, self.path(digest))
    }

    /// Deletes the oldest files beyond the limit, never the one just written.
    fn shrink(&self, newest: &[u8; 32]) -> io::Result<()> {
        let newest = self.path(newest);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == EXTENSION)
            {
                let meta = entry.metadata()?;
                let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((written, meta.len(), path));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if path != newest {
                fs::remove_file(path)?;
                total -= bytes;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &[u8; 32]) -> PathBuf {
        self.directory.join(hex(digest)).with_extension(EXTENSION)
    }

    fn tagged(&self, artefact: &[u8], digest: &[u8; 32]) -> Vec<u8> {
        let mut tagged = Vec::with_capacity(artefact.len() + 128);
        for part in [artefact, digest, self.fingerprint.as_bytes()] {
            tagged.extend_from_slice(&(part.len() as u64).to_be_bytes());
            tagged.extend_from_slice(part);
        }
        tagged
    }
}

/// Makes a file new again.
fn touch(file: &File) -> io::Result<()> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// A digest as it is written in file names, events and logs.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
