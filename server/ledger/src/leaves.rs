//! `admin.leaves`: the hash of each event, 32 bytes each, beside the log. It is a hint and nothing
//! rests on it: when the log is not what was signed, it tells which event is the first that
//! changed. It is not synced; what a crash took is added again at the next start.

use crate::disk::private_file;
use crate::merkle::Hash;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where it is.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("admin.leaves")
}

/// The hashes in a file, one after the other.
pub(crate) struct Reader(Option<BufReader<File>>);

impl Reader {
    /// Of a file that may not be there.
    pub fn open(path: &Path) -> Self {
        Self(File::open(path).ok().map(BufReader::new))
    }

    /// The next one; `None` at the end.
    pub fn next(&mut self) -> Option<Hash> {
        let mut hash = [0; 32];
        self.0.as_mut()?.read_exact(&mut hash).ok()?;
        Some(hash)
    }
}

/// The file, compared during a replay and written from then on.
pub(crate) struct Leaves {
    path: PathBuf,
    known: Reader,
    /// How many at its beginning are those of the log.
    same: u64,
    /// The first that is another one than the log's.
    differs: Option<u64>,
    /// What the file has not got yet.
    new: Vec<u8>,
}

impl Leaves {
    pub fn open(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: Reader::open(path),
            same: 0,
            differs: None,
            new: Vec::new(),
        }
    }

    /// Takes the hash of the next event of the log.
    pub fn compare(&mut self, hash: &Hash) {
        if self.new.is_empty() {
            match self.known.next() {
                Some(known) if known == *hash => {
                    self.same += 1;
                    return;
                }
                Some(_) if self.differs.is_none() => self.differs = Some(self.same),
                _ => {}
            }
        }
        self.new.extend_from_slice(hash);
    }

    /// The position of the first event that is not what it was.
    pub fn differs(&self) -> Option<u64> {
        self.differs
    }

    /// Brings the file up to date, for more to be added.
    pub fn into_file(self) -> LeafFile {
        let open = || -> std::io::Result<File> {
            let mut file = private_file()
                .create(true)
                .truncate(false)
                .open(&self.path)?;
            file.set_len(self.same * 32)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(&self.new)?;
            Ok(file)
        };
        LeafFile::of(open())
    }
}

/// The file, open to be added to.
pub(crate) struct LeafFile(Option<File>);

impl LeafFile {
    /// None: for a log that is not in a data directory.
    pub fn none() -> Self {
        Self(None)
    }

    fn of(opened: std::io::Result<File>) -> Self {
        match opened {
            Ok(file) => Self(Some(file)),
            Err(error) => {
                tracing::warn!(%error, "admin.leaves is not kept: damage could not be located");
                Self(None)
            }
        }
    }

    /// Adds hashes. If that fails the file is left alone until the next start.
    pub fn add(&mut self, hashes: &[Hash]) {
        if let Some(file) = &mut self.0
            && let Err(error) = file.write_all(hashes.as_flattened())
        {
            *self = Self::of(Err(error));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn replayed(path: &Path, hashes: &[Hash]) -> Leaves {
        let mut leaves = Leaves::open(path);
        hashes.iter().for_each(|hash| leaves.compare(hash));
        leaves
    }

    #[test]
    fn the_file_follows_the_log_and_tells_where_it_changed() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("leaves");
        let all: Vec<Hash> = (0..6).map(|n| [n; 32]).collect();
        let contents = || std::fs::read(&path).unwrap();

        let mut file = replayed(&path, &all[..2]).into_file();
        assert_eq!(contents(), all[..2].as_flattened());
        file.add(&all[2..4]);
        assert_eq!(contents(), all[..4].as_flattened());

        let same = replayed(&path, &all[..4]);
        assert_eq!(same.differs(), None);
        // A crash took what was not synced, and tore the last one.
        std::fs::write(&path, &contents()[..40]).unwrap();
        let longer = replayed(&path, &all);
        assert_eq!(longer.differs(), None);
        drop(longer.into_file());
        assert_eq!(contents(), all.as_flattened());

        let changed = [all[0], all[1], [9; 32], all[3], all[4]];
        let changed = replayed(&path, &changed);
        assert_eq!(changed.differs(), Some(2));
        drop(changed.into_file());
        assert_eq!(contents().len(), 5 * 32);
        assert_eq!(contents()[64..96], [9; 32]);
    }
}
