//! The admin log in sled 0.34: Cargo feature `sled`, chosen by `store.engine = "sled"`.
//!
//! One directory, `admin.sled`, with one tree. The first byte of a key says what it is:
//!
//! ```text
//! 'e' position (8 bytes, big-endian)  -> stored bytes
//! 'h' "format" | "log_id"             -> text
//! 'i' index_key(entity, position)     -> nothing
//! ```
//!
//! # Durability is made here
//! `flush()` of sled 0.34 promises an fsync and calls `sync_file_range`, which writes neither the
//! metadata of the file nor the cache of the disk; cut power then loses what was acknowledged. So
//! an append here is: one atomic batch, `flush`, and then an fsync of the log file, of every file
//! that is new, and of the directories when a name changed. Readers see an event only after that.
//! sled takes damage in its log for the end of the log and silently drops what follows. So the
//! head is also kept beside it, in the file `writ_head`: two slots of 512 bytes, written in turn,
//! each the head and its complement (8 bytes each, big-endian). It is synced after the events and
//! before the answer; a log that opens with fewer events than it says has lost some.
//!
//! What cannot be made good from outside: sled gives a segment free for reuse when the copy that
//! replaces it was flushed its way, which is before our fsync. That is one reason why this engine
//! is not the default; that it panics on a damaged file, where redb reports, is another (caught
//! here, and told as damage).

use crate::disk::{self, private_file, sync_dir};
use crate::engine::{self, AppendError, Engine, Entry, FORMAT, index_key, position_in};
use crate::{Fault, LogId, limits};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FORMAT_KEY: &[u8] = b"hformat";
const LOG_ID_KEY: &[u8] = b"hlog_id";

/// The distance of the two slots of the head file: one sector, so that they are never torn
/// together.
const SLOT: u64 = 512;

/// How often, and how many times, a lock is asked for again: two seconds in all.
const LOCK_POLL: Duration = Duration::from_millis(5);
const LOCK_TRIES: u32 = 400;

/// The admin log in one sled directory.
pub struct SledEngine {
    path: PathBuf,
    log_id: LogId,
    db: sled::Db,
    /// Events before this are durable; sled itself shows more after a failed sync.
    head: AtomicU64,
    /// Held for one append.
    files: Mutex<Files>,
}

/// What an append must sync.
struct Files {
    /// The head file.
    head: File,
    /// The other files that were there at the last sync.
    synced: BTreeSet<PathBuf>,
}

impl fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledEngine")
            .field("path", &self.path)
            .field("log_id", &self.log_id)
            .finish()
    }
}

impl SledEngine {
    /// Makes a new, empty log. The directory appears under its name only when it is whole.
    ///
    /// # Errors
    /// [`Fault::Exists`]; or when the disk fails.
    pub fn create(path: &Path, log_id: LogId) -> Result<Self, Fault> {
        if path.exists() {
            return Err(Fault::Exists {
                path: path.to_owned(),
            });
        }
        let temporary = disk::unfinished(path);
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(Fault::io("remove", &temporary))?;
        }
        disk::create_dir(&temporary)?;
        let db = open_db(&temporary)?;
        let mut batch = sled::Batch::default();
        batch.insert(FORMAT_KEY, FORMAT.to_string().as_bytes());
        batch.insert(LOG_ID_KEY, log_id.to_string().as_bytes());
        db.apply_batch(batch).map_err(fault(&temporary))?;
        db.flush().map_err(fault(&temporary))?;
        drop(db);
        let head_path = temporary.join("writ_head");
        let head = disk::create_file(&head_path)?;
        write_head(&head, 0).map_err(Fault::io("write", &head_path))?;
        sync_files(&temporary, &mut BTreeSet::new())?;
        disk::rename(&temporary, path)?;
        Self::open(path)
    }

    /// Opens a log that must exist.
    ///
    /// # Errors
    /// [`Fault::Damaged`], [`Fault::UnknownFormat`], [`Fault::Gap`].
    pub fn open(path: &Path) -> Result<Self, Fault> {
        if !path.join("db").is_file() {
            return Err(Fault::damaged(path, "there is no file db in it"));
        }
        engine::without_panic(path, || Self::open_files(path))
    }

    fn open_files(path: &Path) -> Result<Self, Fault> {
        let db = open_db(path)?;
        let text = |key: &[u8]| -> Result<String, Fault> {
            let value = db.get(key).map_err(fault(path))?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&value).into_owned())
        };
        let found = text(FORMAT_KEY)?;
        if found.is_empty() {
            return Err(Fault::damaged(path, "the header is lost"));
        }
        if found != FORMAT.to_string() {
            return Err(Fault::UnknownFormat {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        let log_id = LogId::parse(&text(LOG_ID_KEY)?)
            .ok_or_else(|| Fault::damaged(path, "the header names no log"))?;
        // Every event is read once here, so that damage and holes are found before the start.
        let mut head = 0;
        for row in db.scan_prefix(b"e") {
            let (key, _) = row.map_err(fault(path))?;
            let found = position_in(&key).unwrap_or(u64::MAX);
            if found != head {
                return Err(Fault::Gap {
                    path: path.to_owned(),
                    expected: head,
                    found,
                });
            }
            head += 1;
        }
        // What a killed process had written may still be in the cache of the system only: it will
        // be shown to readers from now on, so it is made durable first.
        let mut synced = BTreeSet::new();
        sync_files(path, &mut synced)?;
        let head_path = path.join("writ_head");
        let head_file = private_file()
            .open(&head_path)
            .map_err(Fault::io("open", &head_path))?;
        let promised = read_head(&head_file)
            .map_err(Fault::io("read", &head_path))?
            .ok_or_else(|| Fault::damaged(&head_path, "it names no head"))?;
        if head < promised {
            let detail = format!("{promised} events were written, {head} are left");
            return Err(Fault::damaged(path, detail));
        }
        Ok(Self {
            path: path.to_owned(),
            log_id,
            db,
            head: AtomicU64::new(head),
            files: Mutex::new(Files {
                head: head_file,
                synced,
            }),
        })
    }
}

impl Engine for SledEngine {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn head(&self) -> Result<u64, Fault> {
        Ok(self.head.load(Ordering::Acquire))
    }

    fn append(&self, expected: u64, entries: &[Entry]) -> Result<u64, AppendError> {
        engine::check(entries)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = self.head.load(Ordering::Acquire);
        if head != expected {
            return Err(AppendError::Conflict { head });
        }
        let mut batch = sled::Batch::default();
        for entry in entries {
            batch.insert(&event_key(head), entry.bytes.as_slice());
            for entity in &entry.entities {
                batch.insert(entity_key(entity, head), &[]);
            }
            head += 1;
        }
        self.db.apply_batch(batch).map_err(fault(&self.path))?;
        self.db.flush().map_err(fault(&self.path))?;
        sync_files(&self.path, &mut files.synced)?;
        write_head(&files.head, head).map_err(Fault::io("write", &self.path.join("writ_head")))?;
        self.head.store(head, Ordering::Release);
        Ok(head)
    }

    fn read(
        &self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let head = self.head()?;
        let mut events = Vec::new();
        let mut bytes = 0;
        if from >= head {
            return Ok(events);
        }
        for row in self
            .db
            .range(event_key(from)..event_key(head))
            .take(max_events)
        {
            let (key, value) = row.map_err(fault(&self.path))?;
            let expected = from + events.len() as u64;
            let found = position_in(&key).unwrap_or(u64::MAX);
            if found != expected {
                return Err(Fault::Gap {
                    path: self.path.clone(),
                    expected,
                    found,
                });
            }
            bytes += value.len();
            if bytes > max_bytes && !events.is_empty() {
                break;
            }
            events.push((found, value.to_vec()));
        }
        Ok(events)
    }

    fn positions(&self, entity: &str, range: Range<u64>, max: usize) -> Result<Vec<u64>, Fault> {
        let end = range.end.min(self.head()?);
        if range.start >= end {
            return Ok(Vec::new());
        }
        let mut positions = Vec::new();
        let keys = entity_key(entity, range.start)..entity_key(entity, end);
        for row in self.db.range(keys).take(max) {
            let (key, _) = row.map_err(fault(&self.path))?;
            positions.extend(position_in(&key));
        }
        Ok(positions)
    }
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        // Flushed by every append; a timer would only add writes at moments nobody chose.
        .flush_every_ms(None)
        .cache_capacity(limits::ADMIN_CACHE_BYTES as u64)
}

/// Opens the files. A thread of sled's may have the lock for a moment after the last handle of this
/// process is gone, so it is asked for again; other processes are kept out by the data directory.
fn open_db(path: &Path) -> Result<sled::Db, Fault> {
    let mut tries = LOCK_TRIES;
    loop {
        match config(path).open() {
            Err(error) if is_locked(&error) && tries > 0 => tries -= 1,
            result => return result.map_err(fault(path)),
        }
        std::thread::sleep(LOCK_POLL);
    }
}

/// sled wraps the error of the operating system in one of its own that has only the text.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source)
        if source.kind() == std::io::ErrorKind::WouldBlock
            || source.to_string().starts_with("could not acquire lock"))
}

fn event_key(position: u64) -> [u8; 9] {
    let mut key = [b'e'; 9];
    key[1..].copy_from_slice(&position.to_be_bytes());
    key
}

fn entity_key(entity: &str, position: u64) -> Vec<u8> {
    let mut key = vec![b'i'];
    key.extend(index_key(entity, position));
    key
}

/// Makes the head durable, in the slot that the one before is not in.
fn write_head(file: &File, head: u64) -> std::io::Result<()> {
    let mut slot = [0; 16];
    slot[..8].copy_from_slice(&head.to_be_bytes());
    slot[8..].copy_from_slice(&(!head).to_be_bytes());
    let last = read_slots(file)?;
    let turn = if last[0] > last[1] { SLOT } else { 0 };
    file.write_all_at(&slot, turn)?;
    file.sync_all()
}

/// The highest head that is whole.
fn read_head(file: &File) -> std::io::Result<Option<u64>> {
    Ok(read_slots(file)?.into_iter().max().flatten())
}

fn read_slots(file: &File) -> std::io::Result<[Option<u64>; 2]> {
    let mut slots = [None; 2];
    for (slot, at) in slots.iter_mut().zip([0, SLOT]) {
        let mut bytes = [0; 16];
        match file.read_exact_at(&mut bytes, at) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let value = u128::from_be_bytes(bytes);
                let (head, check) = ((value >> 64) as u64, value as u64);
                *slot = (head == !check).then_some(head);
            }
        }
    }
    Ok(slots)
}

/// Syncs the log file, each file that is not in `synced` yet, and the directories if a name came
/// or went.
fn sync_files(path: &Path, synced: &mut BTreeSet<PathBuf>) -> Result<(), Fault> {
    let mut found = BTreeSet::new();
    let mut directories = vec![path.to_owned()];
    let mut at = 0;
    while let Some(directory) = directories.get(at).cloned() {
        at += 1;
        for entry in std::fs::read_dir(&directory).map_err(Fault::io("read", &directory))? {
            let entry = entry.map_err(Fault::io("read", &directory))?;
            let kind = entry.file_type().map_err(Fault::io("read", &directory))?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                found.insert(entry.path());
            }
        }
    }
    let log = path.join("db");
    for file in found
        .iter()
        .filter(|file| **file == log || !synced.contains(*file))
    {
        match File::open(file).and_then(|file| file.sync_all()) {
            // A snapshot that sled replaced in the meantime.
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && *file != log => {}
            result => result.map_err(Fault::io("sync", file))?,
        }
    }
    if found != *synced {
        for directory in &directories {
            sync_dir(directory)?;
        }
        *synced = found;
    }
    Ok(())
}

fn fault(path: &Path) -> impl FnOnce(sled::Error) -> Fault {
    let path = path.to_owned();
    move |error| match error {
        locked if is_locked(&locked) => Fault::InUse { path },
        sled::Error::Io(source) => Fault::io("use", &path)(source),
        sled::Error::Corruption { .. } => Fault::Damaged {
            path,
            detail: error.to_string(),
        },
        other => Fault::io("use", &path)(std::io::Error::other(other)),
    }
}
