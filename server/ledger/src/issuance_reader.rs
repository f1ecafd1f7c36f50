//! The issuance log of a server that is stopped, or a copy of one: read for audits, and nothing in it
//! is changed. A file that a crash left unclosed is repaired in memory; the next start repairs it on
//! the disk.

use crate::issuance_file::{self as file, Readable, SealedFile};
use crate::issuance_record::IssuanceRecord;
use crate::{Fault, LogId};
use redb::StorageBackend;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use writ_core::{Jti, Millis};

/// An issuance log that nobody writes.
#[derive(Debug)]
pub struct IssuanceReader {
    directory: PathBuf,
    log_id: LogId,
    files: BTreeMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    /// Lowest and highest record id; none where it has no record.
    ids: Option<(u128, u128)>,
    records: u64,
    sealed: Option<SealedFile>,
}

impl IssuanceReader {
    /// Opens the issuance log in a directory: `issuance` of a data directory, whose lock the caller
    /// has, or a copy of it. That there is no such directory means that there are no records.
    ///
    /// # Errors
    /// When a file is damaged or belongs to another log, or the disk fails.
    pub fn open(directory: &Path, log_id: LogId) -> Result<Self, Fault> {
        let mut files = BTreeMap::new();
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            entries => Some(entries.map_err(Fault::io("read", directory))?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(Fault::io("read", directory))?;
            let Some(number) = entry.file_name().to_str().and_then(file::number) else {
                continue;
            };
            let path = directory.join(file::name(number));
            let sealed = file::read_seal(&path)?;
            let (ids, records) = match &sealed {
                Some(sealed) => (Some((sealed.first.0, sealed.last.0)), sealed.records),
                None => {
                    let totals = Readable::open_unsealed(&path, log_id)?.totals(&path)?;
                    let ids = (totals.records > 0).then_some((totals.lowest, totals.highest));
                    (ids, totals.records)
                }
            };
            let known = Known {
                path,
                ids,
                records,
                sealed,
            };
            files.insert(number, known);
        }
        Ok(Self {
            directory: directory.to_owned(),
            log_id,
            files,
        })
    }

    /// Every sealed file, oldest first.
    #[must_use]
    pub fn sealed(&self) -> Vec<SealedFile> {
        let sealed = self.files.values();
        sealed.filter_map(|known| known.sealed.clone()).collect()
    }

    /// How many records a scan from a moment on may show at most: those of the files that have any.
    #[must_use]
    pub fn at_most(&self, from: Millis) -> u64 {
        let first = u128::from(from.0) << 80;
        let files = self.files.values();
        let fitting = files.filter(|known| known.ids.is_some_and(|ids| ids.1 >= first));
        fitting.map(|known| known.records).sum()
    }

    /// The stored bytes of a record.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn find_bytes(&self, id: Jti) -> Result<Option<Vec<u8>>, Fault> {
        file::find(self.files_with(|ids| ids.0 <= id.0 && id.0 <= ids.1), id)
    }

    /// A record.
    ///
    /// # Errors
    /// When a file cannot be read, or the record is damaged.
    pub fn find(&self, id: Jti) -> Result<Option<IssuanceRecord>, Fault> {
        let found = self.find_bytes(id)?;
        found
            .map(|bytes| file::decode(&self.directory, id, &bytes))
            .transpose()
    }

    /// Shows every record with the id of that moment or a later one, as
    /// [`IssuanceLog::scan`](crate::IssuanceLog::scan) does.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan(
        &self,
        from: Millis,
        visit: &mut dyn FnMut(Jti, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let first = u128::from(from.0) << 80;
        file::scan(self.files_with(|ids| ids.1 >= first), from, visit)
    }

    fn files_with(
        &self,
        fit: impl Fn((u128, u128)) -> bool,
    ) -> impl Iterator<Item = (PathBuf, Result<Option<Readable>, Fault>)> {
        let fitting = self
            .files
            .values()
            .filter(move |known| known.ids.is_some_and(&fit));
        fitting.map(|known| {
            let readable = match known.sealed {
                Some(_) => Readable::open_sealed(&known.path),
                None => Readable::open_unsealed(&known.path, self.log_id),
            };
            (known.path.clone(), readable.map(Some))
        })
    }
}

/// A file as it is, with what is written to it in memory only.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// How many bytes of the file count; what is behind them was cut off or never there.
    beneath: u64,
    len: u64,
    pages: HashMap<u64, Box<[u8]>>,
}

/// What is held in memory at least of what is written, in bytes.
const PAGE: u64 = 4096;

impl Overlay {
    pub fn over(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            written: Mutex::new(Written {
                beneath: len,
                len,
                pages: HashMap::new(),
            }),
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of the file from an offset on, and zeros where it has none.
    fn beneath(&self, written: &Written, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = written.beneath.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        let (read, zero) = out.split_at_mut(there);
        zero.fill(0);
        self.file.read_exact_at(read, offset)
    }
}

/// The parts of a range that lie in one page each: the page, where in it, and where in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = (at % PAGE) as usize;
        let size = (PAGE as usize - inside).min(len - done);
        let range = done..done + size;
        done += size;
        (size > 0).then_some((at / PAGE, inside, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset + out.len() as u64 > written.len {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        for (page, inside, range) in parts(offset, out.len()) {
            let out = &mut out[range];
            match written.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[inside..inside + out.len()]),
                None => self.beneath(&written, page * PAGE + inside as u64, out)?,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        if len < written.len {
            written.beneath = written.beneath.min(len);
            written.pages.retain(|page, _| page * PAGE < len);
            if let Some(last) = written.pages.get_mut(&(len / PAGE)) {
                last[(len % PAGE) as usize..].fill(0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        written.len = written.len.max(offset + data.len() as u64);
        for (page, inside, range) in parts(offset, data.len()) {
            if !written.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                self.beneath(&written, page * PAGE, &mut bytes)?;
                written.pages.insert(page, bytes);
            }
            if let Some(bytes) = written.pages.get_mut(&page) {
                bytes[inside..inside + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is read is what a file would hold that was written to, and the file is as it was.
        #[test]
        fn an_overlay_is_as_a_file(
            file in prop::collection::vec(any::<u8>(), 0..12_000),
            steps in prop::collection::vec((any::<bool>(), 0usize..14_000, 0usize..9_000, any::<u8>()), 0..12),
        ) {
            let temporary = tempfile::tempdir().unwrap();
            let path = temporary.path().join("f");
            std::fs::write(&path, &file).unwrap();
            let overlay = Overlay::over(&path).unwrap();
            let mut model = file.clone();
            for (resize, at, len, byte) in steps {
                if resize {
                    overlay.set_len(at as u64).unwrap();
                    model.resize(at, 0);
                } else {
                    model.resize(model.len().max(at + len), 0);
                    overlay.write(at as u64, &vec![byte; len]).unwrap();
                    model[at..at + len].fill(byte);
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut read = vec![0; model.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                prop_assert!(overlay.read(1, &mut read).is_err() || model.is_empty());
            }
            prop_assert!(std::fs::read(&path).unwrap() == file);
        }
    }
}
