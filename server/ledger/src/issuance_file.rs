//! One file of the issuance log: making, opening, appending, searching, sealing.
//!
//! `D/issuance/0000000042.redb` has two tables:
//!
//! ```text
//! frames  (highest record id so far u128, frame number u64) -> frame (issuance_frame.rs)
//! header  "format" | "log_id" | "made_at"                   -> text
//! ```
//!
//! A sealed file has `0000000042.seal` beside it: a [`SealedFile`] as JSON. After that the redb
//! file is never written again.

use crate::disk;
use crate::engine::without_panic;
use crate::issuance_frame::{self as frame, Totals};
use crate::issuance_reader::Overlay;
use crate::issuance_record::IssuanceRecord;
use crate::merkle::Tree;
use crate::redb_file::{self, fault};
use crate::{Fault, LogId, limits};
use redb::{
    Builder, Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable,
    TableDefinition,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use writ_core::{Jti, Millis};

const FORMAT: u32 = 1;
const FRAMES: TableDefinition<'_, (u128, u64), &[u8]> = TableDefinition::new("frames");

/// How often a file on its way to be sealed is asked whether its last reader has gone.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// How many times more, when the log is stopping: a second in all.
const CLOSE_TRIES_STOPPING: u32 = 200;

/// What a sealed file is, for ever: entered into the admin log as one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    /// Its name in `D/issuance`.
    pub file: Box<str>,
    /// The lowest record id in it.
    pub first: Jti,
    /// The highest record id in it.
    pub last: Jti,
    /// How many records it has.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The Merkle root (RFC 6962 §2.1) over the records' bytes in the order of the file.
    #[serde(with = "writ_core::codec::hex32")]
    pub root: [u8; 32],
}

/// The name of a file.
pub(crate) fn name(number: u64) -> String {
    format!("{number:010}.redb")
}

/// The number in the name of an issuance file, as [`SealedFile::file`] and the admin log have it;
/// `None` when it is not the name of one.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".redb")?.parse().ok()?;
    (self::name(number) == name).then_some(number)
}

/// The file beside a file that says it is sealed.
pub(crate) fn seal_path(path: &Path) -> PathBuf {
    path.with_extension("seal")
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct Active {
    pub path: PathBuf,
    pub number: u64,
    pub made_at: Millis,
    pub totals: Totals,
    frames: u64,
    pub db: Arc<Database>,
}

impl Active {
    pub fn create(
        directory: &Path,
        number: u64,
        log_id: LogId,
        made_at: Millis,
    ) -> Result<Self, Fault> {
        let path = directory.join(name(number));
        let (db, aside) = redb_file::create_aside(&builder(), &path, |db| {
            let made_at = made_at.to_string();
            let more = [("made_at", made_at.as_str())];
            redb_file::write_header(db, FORMAT, log_id, &more, |transaction| {
                transaction.open_table(FRAMES)?;
                Ok(())
            })
        })?;
        // The open file keeps its identity through the rename.
        disk::rename(&aside, &path)?;
        let totals = Totals::default();
        Ok(Self {
            path,
            number,
            made_at,
            totals,
            frames: 0,
            db: Arc::new(db),
        })
    }

    /// Opens a file that was not sealed; after a crash it is repaired first.
    pub fn open(path: &Path, number: u64, log_id: LogId) -> Result<Self, Fault> {
        without_panic(path, || {
            let db = builder().open(path).map_err(fault(path))?;
            let made_at = read_header(&db, path, log_id)?;
            let last = || -> Result<Option<(u128, u64, Vec<u8>)>, redb::Error> {
                let frames = db.begin_read()?.open_table(FRAMES)?;
                let last = frames.last()?;
                Ok(last.map(|(key, value)| {
                    let (highest, number) = key.value();
                    (highest, number, value.value().to_vec())
                }))
            };
            let (totals, frames) = match last().map_err(fault(path))? {
                None => (Totals::default(), 0),
                Some((highest, last, bytes)) => {
                    let head = frame::head(highest, &bytes)
                        .map_err(|detail| Fault::damaged(path, detail))?;
                    (head.file, last + 1)
                }
            };
            let db = Arc::new(db);
            Ok(Self {
                path: path.to_owned(),
                number,
                made_at,
                totals,
                frames,
                db,
            })
        })
    }

    /// Appends records as frames in one commit; durable when this returns.
    pub fn append(&mut self, records: &[(u128, &[u8])]) -> Result<(), Fault> {
        let mut totals = self.totals;
        let mut frames = self.frames;
        let mut write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            {
                let mut table = transaction.open_table(FRAMES)?;
                for chunk in chunks(records) {
                    let (bytes, after) = frame::encode(totals, chunk);
                    table.insert((after.highest, frames), bytes.as_slice())?;
                    totals = after;
                    frames += 1;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(fault(&self.path))?;
        self.totals = totals;
        self.frames = frames;
        Ok(())
    }
}

/// When a file was made, if it is one of this format and of this log.
fn read_header(db: &impl ReadableDatabase, path: &Path, log_id: LogId) -> Result<Millis, Fault> {
    redb_file::check_header(db, path, FORMAT, log_id)?;
    redb_file::header(db, path, "made_at")?
        .parse()
        .map_err(|_| Fault::damaged(path, "the header has no time"))
}

/// Records in pieces that fit a frame.
fn chunks<'a, 'b>(
    mut records: &'a [(u128, &'b [u8])],
) -> impl Iterator<Item = &'a [(u128, &'b [u8])]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = records
            .iter()
            .take(limits::FRAME_RECORDS)
            .take_while(|(_, record)| {
                bytes += record.len();
                bytes <= limits::FRAME_BYTES
            });
        let count = fitting.count().max(1).min(records.len());
        let (chunk, rest) = records.split_at(count);
        records = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

type Frames = ReadOnlyTable<(u128, u64), &'static [u8]>;

/// A file that can be read.
pub(crate) enum Readable {
    /// The one that is written, or was until a moment ago.
    Live(Arc<Database>),
    /// A sealed one.
    Sealed(ReadOnlyDatabase),
}

impl Readable {
    pub fn open_sealed(path: &Path) -> Result<Self, Fault> {
        without_panic(path, || {
            let db = builder().open_read_only(path).map_err(fault(path))?;
            Ok(Self::Sealed(db))
        })
    }

    /// Opens a file that is not sealed and that nobody writes, without writing to it either: after a
    /// crash it is repaired in memory.
    pub fn open_unsealed(path: &Path, log_id: LogId) -> Result<Self, Fault> {
        without_panic(path, || match builder().open_read_only(path) {
            Err(redb::DatabaseError::RepairAborted) => {
                let overlay = Overlay::over(path).map_err(Fault::io("read", path))?;
                let opened = builder().create_with_backend(overlay);
                let db = opened.map_err(fault(path))?;
                read_header(&db, path, log_id)?;
                Ok(Self::Live(Arc::new(db)))
            }
            opened => {
                let db = opened.map_err(fault(path))?;
                read_header(&db, path, log_id)?;
                Ok(Self::Sealed(db))
            }
        })
    }

    /// What its records come to.
    pub fn totals(&self, path: &Path) -> Result<Totals, Fault> {
        totals(&self.frames().map_err(fault(path))?, path)
    }

    fn frames(&self) -> Result<Frames, redb::Error> {
        let transaction = match self {
            Self::Live(db) => db.begin_read()?,
            Self::Sealed(db) => db.begin_read()?,
        };
        Ok(transaction.open_table(FRAMES)?)
    }

    fn log_id(&self, path: &Path) -> Result<Option<LogId>, Fault> {
        let log = match self {
            Self::Live(db) => redb_file::header(&**db, path, "log_id"),
            Self::Sealed(db) => redb_file::header(db, path, "log_id"),
        };
        Ok(LogId::parse(&log?))
    }

    /// The bytes of a record.
    pub fn find(&self, path: &Path, id: u128) -> Result<Option<Vec<u8>>, Fault> {
        let frames = self.frames().map_err(fault(path))?;
        let damaged = |detail| Fault::damaged(path, detail);
        let lateness = totals(&frames, path)?.lateness;
        let stop = frame::millis(id).saturating_add(lateness);
        for row in frames.range((id, 0)..).map_err(fault(path))? {
            let (key, value) = row.map_err(fault(path))?;
            let highest = key.value().0;
            let head = frame::head(highest, value.value()).map_err(damaged)?;
            if (head.lowest..=head.highest).contains(&id) {
                let records = frame::records(value.value()).map_err(damaged)?;
                if let Some((_, bytes)) = records.iter().find(|(found, _)| *found == id) {
                    return Ok(Some(bytes.to_vec()));
                }
            }
            if frame::millis(highest) > stop {
                break;
            }
        }
        Ok(None)
    }

    /// Shows the records with ids from `from` on, in the order of the file.
    pub fn scan(
        &self,
        path: &Path,
        from: u128,
        visit: &mut dyn FnMut(Jti, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        self.walk(path, Spot::before(from), u64::MAX, &mut |_, id, bytes| {
            if id.0 >= from {
                visit(id, bytes)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Shows the records from a spot on, in the order of the file, until none can follow that is of
    /// `until` (milliseconds) or earlier.
    pub fn walk(
        &self,
        path: &Path,
        from: Spot,
        until: u64,
        visit: &mut IssuanceVisitor<'_, Spot>,
    ) -> Result<ControlFlow<()>, Fault> {
        let frames = self.frames().map_err(fault(path))?;
        let damaged = |detail| Fault::damaged(path, detail);
        let stop = until.saturating_add(totals(&frames, path)?.lateness);
        for row in frames
            .range((from.highest, from.frame)..)
            .map_err(fault(path))?
        {
            let (key, value) = row.map_err(fault(path))?;
            let (highest, frame) = key.value();
            // A spot in a frame that is not there (any more, or in another file) is before the next.
            let shown = match (from.highest, from.frame) == (highest, frame) {
                true => from.index as usize,
                false => 0,
            };
            let records = frame::records(value.value()).map_err(damaged)?;
            for (index, (id, bytes)) in records.into_iter().enumerate().skip(shown) {
                let spot = Spot {
                    highest,
                    frame,
                    index: index as u32,
                };
                if visit(spot, Jti(id), bytes).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if frame::millis(highest) > stop {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What the records of a file come to, as its last frame says.
fn totals(frames: &Frames, path: &Path) -> Result<Totals, Fault> {
    let Some((key, value)) = frames.last().map_err(fault(path))? else {
        return Ok(Totals::default());
    };
    let head = frame::head(key.value().0, value.value());
    Ok(head.map_err(|detail| Fault::damaged(path, detail))?.file)
}

/// The stored bytes of a record, from the files that may have it.
pub(crate) fn find(
    files: impl Iterator<Item = (PathBuf, Result<Option<Readable>, Fault>)>,
    id: Jti,
) -> Result<Option<Vec<u8>>, Fault> {
    for (path, readable) in files {
        if let Some(readable) = readable?
            && let Some(bytes) = readable.find(&path, id.0)?
        {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Shows the records of files with the ids of a moment and later ones, until the visitor breaks off.
pub(crate) fn scan(
    files: impl Iterator<Item = (PathBuf, Result<Option<Readable>, Fault>)>,
    from: Millis,
    visit: &mut dyn FnMut(Jti, &[u8]) -> ControlFlow<()>,
) -> Result<(), Fault> {
    let from = u128::from(from.0) << 80;
    for (path, readable) in files {
        if let Some(readable) = readable?
            && readable.scan(&path, from, visit)?.is_break()
        {
            break;
        }
    }
    Ok(())
}

/// Reads the stored bytes of a record in a directory of files.
pub(crate) fn decode(directory: &Path, id: Jti, bytes: &[u8]) -> Result<IssuanceRecord, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::damaged(directory, format!("record {id}: {error}")))
}

/// Is shown records: where each is, its id and its bytes.
pub type IssuanceVisitor<'v, Where> = dyn FnMut(Where, Jti, &[u8]) -> ControlFlow<()> + 'v;

/// Where a record is in its file: the key of its frame, and its number in it. Frames are only ever
/// added behind the last, so a spot stays what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub highest: u128,
    pub frame: u64,
    pub index: u32,
}

impl Spot {
    /// Before the first record that can have this id or a higher one.
    pub fn before(id: u128) -> Self {
        Self {
            highest: id,
            ..Self::default()
        }
    }
}

/// A place in the issuance log that stays what it is: nothing is ever put in before it, and
/// retention takes whole files away. As text it is a cursor for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuancePlace {
    pub(crate) file: u64,
    pub(crate) spot: Spot,
}

impl fmt::Display for IssuancePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, spot } = self;
        write!(f, "{file}.{}.{}.{}", spot.highest, spot.frame, spot.index)
    }
}

/// The text is no [`IssuancePlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the issuance log")]
pub struct ParsePlaceError;

impl FromStr for IssuancePlace {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        fn number<T: FromStr>(part: Option<&str>) -> Result<T, ParsePlaceError> {
            part.and_then(|part| part.parse().ok())
                .ok_or(ParsePlaceError)
        }
        let mut parts = text.split('.');
        let place = Self {
            file: number(parts.next())?,
            spot: Spot {
                highest: number(parts.next())?,
                frame: number(parts.next())?,
                index: number(parts.next())?,
            },
        };
        // One spelling: no signs, no leading zeros, nothing behind.
        match place.to_string() == text {
            true => Ok(place),
            false => Err(ParsePlaceError),
        }
    }
}

/// Computes what a file is. It has at least one record and is not written any more.
pub(crate) fn summary(active: &Active) -> Result<SealedFile, Fault> {
    let mut tree = Tree::default();
    let readable = Readable::Live(Arc::clone(&active.db));
    let _ = readable.scan(&active.path, 0, &mut |_, bytes| {
        tree.push(bytes);
        ControlFlow::Continue(())
    })?;
    if tree.size() != active.totals.records {
        let detail = format!(
            "{} records of {} are left",
            tree.size(),
            active.totals.records
        );
        return Err(Fault::damaged(&active.path, detail));
    }
    Ok(SealedFile {
        file: name(active.number).into(),
        first: Jti(active.totals.lowest),
        last: Jti(active.totals.highest),
        records: active.totals.records,
        bytes: active.totals.bytes,
        root: tree.root(),
    })
}

/// The tree over the records of a sealed file in a directory; `None` when there is no such file.
pub(crate) fn tree(directory: &Path, name: &str, log_id: LogId) -> Result<Option<Tree>, Fault> {
    let path = directory.join(name);
    if number(name).is_none() || !path.exists() {
        return Ok(None);
    }
    let readable = Readable::open_sealed(&path)?;
    let found = readable.log_id(&path)?;
    if found != Some(log_id) {
        return Err(Fault::damaged(&path, "it belongs to another log"));
    }
    let mut tree = Tree::default();
    let _ = readable.scan(&path, 0, &mut |_, bytes| {
        tree.push(bytes);
        ControlFlow::Continue(())
    })?;
    Ok(Some(tree))
}

/// Closes a file cleanly, once its last reader is done with it: after that it can be opened without
/// writing to it. A reader may take as long as it likes, so this waits as long, on the sealing
/// thread, where only further sealing waits with it; but once the log is `stopping` hardly any more.
/// The next start closes and seals what is left.
pub(crate) fn close(active: Active, stopping: impl Fn() -> bool) -> Result<(), Fault> {
    let mut db = active.db;
    let mut tries = CLOSE_TRIES_STOPPING;
    while tries > 0 {
        match Arc::try_unwrap(db) {
            Ok(db) => return db.close().map_err(fault(&active.path)),
            Err(shared) => db = shared,
        }
        std::thread::sleep(CLOSE_POLL);
        if stopping() {
            tries -= 1;
        }
    }
    let detail = "it is being read while the server stops; the next start seals it";
    let busy = std::io::Error::new(std::io::ErrorKind::ResourceBusy, detail);
    Err(Fault::io("close", &active.path)(busy))
}

/// Writes the summary of a closed file beside it, durably: from then on it is sealed.
// INVARIANT: comes after `close`, or a crash would leave a sealed file that needs a repair.
pub(crate) fn write_seal(path: &Path, sealed: &SealedFile) -> Result<(), Fault> {
    let path = seal_path(path);
    let bytes = serde_json::to_vec(sealed).map_err(|e| Fault::io("encode", &path)(e.into()))?;
    disk::replace_file(&path, &bytes)
}

/// What the seal beside a file says; `None` when it is not sealed.
pub(crate) fn read_seal(path: &Path) -> Result<Option<SealedFile>, Fault> {
    let path = seal_path(path);
    match disk::read_file(&path, 1 << 16)? {
        None => Ok(None),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Fault::damaged(&path, error.to_string())),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::ISSUANCE_CACHE_BYTES);
    builder
}
