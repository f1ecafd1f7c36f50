//! `snapshot`: the index as it was at a size of the log, so that a start need not make it anew of
//! every event. It is a cache and can be deleted at any time.
//!
//! ```text
//! {"format":…,"version":…,"log":…,"size":…,"root":…}   what it is of
//! {"head":…} {"api":…} … {"application":…}             the index, a line each (writ-core)
//! {"mac":…}                                            HMAC-SHA256 of all before this line
//! ```
//!
//! An index that somebody made up would decide tokens, and no checkpoint would say a word: so a
//! snapshot is believed only with a MAC by a key that is derived from the master key, and only if
//! the log on the disk still begins with the events that it was made of, whose root it names. What
//! is wrong with it, whatever that is, makes it useless and the start longer, and nothing else.
//! `writ audit` never reads it.

use crate::disk::{self, DataDir};
use crate::merkle::Hash;
use crate::{Fault, Ledger, LogId, limits};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use writ_core::codec::hex32;
use writ_core::{Index, Restoring, SNAPSHOT_FORMAT};

/// The layout of the file around the lines of the index.
const FORMAT: u32 = 1;

/// Whose `apply` made the index: the release, and within it the form of its lines.
fn version() -> String {
    format!("{}+{FORMAT}.{SNAPSHOT_FORMAT}", env!("CARGO_PKG_VERSION"))
}

/// What a snapshot is of. Its first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    version: Cow<'a, str>,
    log: Cow<'a, str>,
    size: u64,
    #[serde(with = "hex32")]
    root: Hash,
}

/// Its last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    #[serde(with = "hex32")]
    mac: [u8; 32],
}

/// The snapshot of a data directory.
pub struct Snapshots {
    path: PathBuf,
    key: hmac::Key,
    reserve: u64,
    /// The size of the log when the last one was made, or was to be.
    last: AtomicU64,
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Where it is.
    #[must_use]
    pub fn path(data: &DataDir) -> PathBuf {
        data.join("snapshot")
    }

    /// That of a data directory. The key must be nobody's else: derived from the master key. No
    /// snapshot is written that would leave less than `reserve` bytes of the disk free.
    #[must_use]
    pub fn new(data: &DataDir, key: &[u8; 32], reserve: u64) -> Self {
        Self {
            path: Self::path(data),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            reserve,
            last: AtomicU64::new(0),
        }
    }

    /// The size of the log when the last one was made, or of the one that the start read; 0 when
    /// there was none of use.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether the log has grown so much since the last one that a start would be long: by
    /// [`limits::SNAPSHOT_EVERY`], and by an eighth, since writing costs by what there is.
    #[must_use]
    pub fn is_due(&self, ledger: &Ledger) -> bool {
        let size = ledger.index().next_position().0;
        let last = self.last();
        size.saturating_sub(last) >= limits::SNAPSHOT_EVERY.max(last / 8)
    }

    /// Writes the published index, and answers the size of the file. Blocks for seconds when it is
    /// large; commands and readers go on meanwhile. If it fails the one before is still there, and
    /// the next is due when the log has grown as much again.
    ///
    /// # Errors
    /// When the disk fails or has no room.
    pub fn write(&self, ledger: &Ledger) -> Result<u64, Fault> {
        let index = ledger.snapshot();
        let size = index.next_position().0;
        self.last.store(size, Ordering::Relaxed);
        let needed = limits::SNAPSHOT_BYTES_PER_APPLICATION
            .saturating_mul(index.application_count() as u64)
            .saturating_add(self.reserve);
        if disk::free_space(disk::parent_of(&self.path))? < needed {
            let path = self.path.clone();
            return Err(Fault::DiskFull { path });
        }
        let root = ledger.root_at(size).map_err(|error| {
            Fault::io("prove", &self.path)(std::io::Error::other(error.to_string()))
        })?;
        self.write_index(&index, ledger.log_id(), root)
    }

    pub(crate) fn write_index(
        &self,
        index: &Index,
        log_id: LogId,
        root: Hash,
    ) -> Result<u64, Fault> {
        let aside = disk::unfinished(&self.path);
        let written = self.write_file(&aside, index, log_id, root);
        if written.is_err() {
            // It may be what fills the disk.
            let _ = std::fs::remove_file(&aside);
        }
        let bytes = written?;
        disk::rename(&aside, &self.path)?;
        Ok(bytes)
    }

    fn write_file(
        &self,
        aside: &Path,
        index: &Index,
        log_id: LogId,
        root: Hash,
    ) -> Result<u64, Fault> {
        let file = disk::create_file(aside)?;
        let write = || -> std::io::Result<u64> {
            let mut out = Signed {
                file: BufWriter::with_capacity(limits::SNAPSHOT_BUFFER, &file),
                mac: hmac::Context::with_key(&self.key),
                bytes: 0,
            };
            let head = Head {
                version: version().into(),
                log: log_id.to_string().into(),
                size: index.next_position().0,
                root,
            };
            let mut line = Vec::new();
            out.line(&mut line, &head)?;
            for entry in index.snapshot_lines() {
                out.line(&mut line, &entry)?;
            }
            let Signed {
                mut file,
                mac,
                bytes,
            } = out;
            let seal = Seal { mac: tag(mac) };
            serde_json::to_writer(&mut file, &seal)?;
            file.write_all(b"\n")?;
            file.flush()?;
            Ok(bytes)
        };
        let bytes = write().map_err(Fault::io("write", aside))?;
        file.sync_all().map_err(Fault::io("sync", aside))?;
        Ok(bytes)
    }

    /// The snapshot that is there, if it is of this log and no longer than it, by its own word.
    pub(crate) fn find(&self, log_id: LogId, head: u64) -> Option<Found> {
        let file = File::open(&self.path).ok()?;
        let mut found = Found {
            input: BufReader::with_capacity(limits::SNAPSHOT_BUFFER, file),
            mac: hmac::Context::with_key(&self.key),
            size: 0,
            root: [0; 32],
        };
        match found.read_head(log_id, head) {
            Ok(()) => Some(found),
            Err(cause) => {
                self.ignored(&cause);
                None
            }
        }
    }

    /// Says that the snapshot is of no use.
    pub(crate) fn ignored(&self, cause: &str) {
        let path = self.path.display();
        tracing::warn!(%path, cause, "the snapshot is ignored, and every event replayed");
    }

    /// Notes that the snapshot of this size was used.
    pub(crate) fn used(&self, size: u64) {
        self.last.store(size, Ordering::Relaxed);
        tracing::info!(events = size, "the index was read from the snapshot");
    }
}

fn tag(mac: hmac::Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(mac.sign().as_ref());
    bytes
}

/// A file that is being written, and the MAC of it.
struct Signed<'a> {
    file: BufWriter<&'a File>,
    mac: hmac::Context,
    bytes: u64,
}

impl Signed<'_> {
    fn line(&mut self, line: &mut Vec<u8>, value: &impl Serialize) -> std::io::Result<()> {
        line.clear();
        serde_json::to_writer(&mut *line, value)?;
        line.push(b'\n');
        self.mac.update(line);
        self.bytes += line.len() as u64;
        self.file.write_all(line)
    }
}

/// A snapshot that may be of use. Nothing of it is believed yet.
pub(crate) struct Found {
    input: BufReader<File>,
    mac: hmac::Context,
    /// The size of the log that it says it is of.
    pub size: u64,
    /// The root that it says this log has.
    pub root: Hash,
}

impl Found {
    /// Reads a line with its end; false at the end of the file.
    fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, String> {
        line.clear();
        let most = limits::SNAPSHOT_LINE_BYTES;
        let read = (&mut self.input).take(most).read_until(b'\n', line);
        read.map_err(|error| error.to_string())?;
        match line.last() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => Err("its last line has no end: it was cut off".to_owned()),
        }
    }

    fn read_head(&mut self, log_id: LogId, log_size: u64) -> Result<(), String> {
        let mut line = Vec::new();
        if !self.next(&mut line)? {
            return Err("it is empty".to_owned());
        }
        self.mac.update(&line);
        let head: Head<'_> = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
        if head.version != version() {
            return Err(format!("it was written by version {}", head.version));
        }
        if head.log != log_id.to_string() {
            return Err(format!("it is of another log, {}", head.log));
        }
        if head.size == 0 || head.size > log_size {
            return Err(format!(
                "it is of {} events, and the log has {log_size}",
                head.size
            ));
        }
        (self.size, self.root) = (head.size, head.root);
        Ok(())
    }

    /// Reads the index, and believes it if the MAC is right.
    pub fn load(mut self) -> Result<Index, String> {
        let (mut restoring, mut line) = (Restoring::default(), Vec::new());
        while self.next(&mut line)? {
            if line.starts_with(b"{\"mac\":") {
                let seal: Seal =
                    serde_json::from_slice(&line).map_err(|error| error.to_string())?;
                if verify_slices_are_equal(&tag(self.mac.clone()), &seal.mac).is_err() {
                    return Err(
                        "its MAC is wrong: it was changed, or another master key made it"
                            .to_owned(),
                    );
                }
                if self.next(&mut line)? {
                    return Err("something stands behind its MAC".to_owned());
                }
                let index = restoring.finish().map_err(|error| error.to_string())?;
                return match index.next_position().0 == self.size {
                    true => Ok(index),
                    false => Err("its index is of another size than it says".to_owned()),
                };
            }
            self.mac.update(&line);
            restoring.line(&line).map_err(|error| error.to_string())?;
        }
        Err("it has no MAC: it was cut off".to_owned())
    }
}

#[cfg(test)]
mod tests;
