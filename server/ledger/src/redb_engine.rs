//! The admin log in redb, the default engine.
//!
//! One file, `admin.redb`, with three tables:
//!
//! ```text
//! events    position u64            -> stored bytes
//! entities  index_key(entity, pos)  -> nothing
//! header    "format" | "log_id"     -> text
//! ```
//!
//! One append is one write transaction: the head is compared, events and index are written, one
//! commit (one fdatasync) makes them durable. The file is made under another name and renamed
//! when its header is durable, so a crash in the first second leaves no half log behind.
//!
//! Opening always verifies the checksum of every page. That reads the whole file, which a start
//! reads anyway to replay it. Quick repair, which would save that walk after a crash, is off: it
//! makes an append two to three times as dear, and the walk is a third of the replay that follows
//! (figures in `README.md`).

use crate::disk;
use crate::engine::{self, AppendError, Engine, Entry, FORMAT, index_key, position_in};
use crate::redb_file::{self, fault};
use crate::{Fault, LogId, limits};
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const ENTITIES: TableDefinition<'_, &[u8], ()> = TableDefinition::new("entities");

/// The admin log in one redb file.
pub struct RedbEngine {
    path: PathBuf,
    log_id: LogId,
    db: Database,
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine")
            .field("path", &self.path)
            .field("log_id", &self.log_id)
            .finish()
    }
}

impl RedbEngine {
    /// Makes a new, empty log. The file appears under its name only when it is whole.
    ///
    /// # Errors
    /// [`Fault::Exists`]; or when the disk fails.
    pub fn create(path: &Path, log_id: LogId) -> Result<Self, Fault> {
        if path.exists() {
            return Err(Fault::Exists {
                path: path.to_owned(),
            });
        }
        let write = |db: &Database| write_header(db, log_id);
        let (db, aside) = redb_file::create_aside(&builder(), path, write)?;
        drop(db);
        disk::rename(&aside, path)?;
        Self::open(path)
    }

    /// Opens a log that must exist. After a crash the file is repaired first; every checksum is
    /// verified in any case.
    ///
    /// # Errors
    /// [`Fault::Damaged`], [`Fault::UnknownFormat`], [`Fault::Gap`].
    pub fn open(path: &Path) -> Result<Self, Fault> {
        engine::without_panic(path, || {
            let db = builder().open(path).map_err(fault(path))?;
            Self::check(db, path)
        })
    }

    /// Opens a log, or makes one, in a storage of the caller's: for tests that cut the power.
    ///
    /// # Errors
    /// As [`RedbEngine::open`]; the storage is called `label` in messages.
    #[cfg(feature = "testkit")]
    pub fn with_backend(
        backend: impl redb::StorageBackend,
        label: &Path,
        log_id: LogId,
    ) -> Result<Self, Fault> {
        engine::without_panic(label, || {
            let fresh = backend.len().map_err(Fault::io("read", label))? == 0;
            let db = builder()
                .create_with_backend(backend)
                .map_err(fault(label))?;
            if fresh {
                write_header(&db, log_id).map_err(fault(label))?;
            }
            Self::check(db, label)
        })
    }

    fn check(db: Database, path: &Path) -> Result<Self, Fault> {
        let ends = || -> Result<(u64, Option<(u64, u64)>), redb::Error> {
            let transaction = db.begin_read()?;
            let events = transaction.open_table(EVENTS)?;
            let ends = match (events.first()?, events.last()?) {
                (Some((first, _)), Some((last, _))) => Some((first.value(), last.value())),
                _ => None,
            };
            Ok((events.len()?, ends))
        };
        let log_id = redb_file::log_id(&db, path, FORMAT)?;
        let (count, ends) = ends().map_err(fault(path))?;
        if let Some((first, last)) = ends {
            let gap = |expected, found| Fault::Gap {
                path: path.to_owned(),
                expected,
                found,
            };
            if first != 0 {
                return Err(gap(0, first));
            }
            if last.checked_add(1) != Some(count) {
                return Err(gap(count, last));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            log_id,
            db,
        })
    }

    fn try_append(
        &self,
        expected: u64,
        entries: &[Entry],
    ) -> Result<Result<u64, u64>, redb::Error> {
        let transaction = self.db.begin_write()?;
        let mut head = expected;
        {
            let mut events = transaction.open_table(EVENTS)?;
            let found = events.last()?.map_or(0, |(last, _)| last.value() + 1);
            if found != expected {
                return Ok(Err(found));
            }
            let mut entities = transaction.open_table(ENTITIES)?;
            for entry in entries {
                events.insert(head, entry.bytes.as_slice())?;
                for entity in &entry.entities {
                    entities.insert(index_key(entity, head).as_slice(), ())?;
                }
                head += 1;
            }
        }
        transaction.commit()?;
        Ok(Ok(head))
    }
}

impl Engine for RedbEngine {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn head(&self) -> Result<u64, Fault> {
        let read = || -> Result<u64, redb::Error> {
            let events = self.db.begin_read()?.open_table(EVENTS)?;
            Ok(events.last()?.map_or(0, |(last, _)| last.value() + 1))
        };
        read().map_err(fault(&self.path))
    }

    fn append(&self, expected: u64, entries: &[Entry]) -> Result<u64, AppendError> {
        engine::check(entries)?;
        match self
            .try_append(expected, entries)
            .map_err(fault(&self.path))?
        {
            Ok(head) => Ok(head),
            Err(head) => Err(AppendError::Conflict { head }),
        }
    }

    fn read(
        &self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let read = || -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
            let table = self.db.begin_read()?.open_table(EVENTS)?;
            let mut events = Vec::new();
            let mut bytes = 0;
            for row in table.range(from..)?.take(max_events) {
                let (position, value) = row?;
                bytes += value.value().len();
                if bytes > max_bytes && !events.is_empty() {
                    break;
                }
                events.push((position.value(), value.value().to_vec()));
            }
            Ok(events)
        };
        let events = read().map_err(fault(&self.path))?;
        match events
            .iter()
            .zip(from..)
            .find(|((found, _), expected)| found != expected)
        {
            Some((&(found, _), expected)) => Err(Fault::Gap {
                path: self.path.clone(),
                expected,
                found,
            }),
            None => Ok(events),
        }
    }

    fn positions(&self, entity: &str, range: Range<u64>, max: usize) -> Result<Vec<u64>, Fault> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let read = || -> Result<Vec<u64>, redb::Error> {
            let table = self.db.begin_read()?.open_table(ENTITIES)?;
            let (from, to) = (index_key(entity, range.start), index_key(entity, range.end));
            let mut positions = Vec::new();
            for row in table.range(from.as_slice()..to.as_slice())?.take(max) {
                positions.extend(position_in(row?.0.value()));
            }
            Ok(positions)
        };
        read().map_err(fault(&self.path))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(limits::ADMIN_CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

fn write_header(db: &Database, log_id: LogId) -> Result<(), redb::Error> {
    redb_file::write_header(db, FORMAT, log_id, &[], |transaction| {
        transaction.open_table(EVENTS)?;
        transaction.open_table(ENTITIES)?;
        Ok(())
    })
}
