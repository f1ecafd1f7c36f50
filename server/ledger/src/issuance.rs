//! The issuance log: a record of every token decision, written by the thousand, never replayed at
//! start.
//!
//! One thread writes. It takes whatever is queued, makes one frame and one commit of it, and then
//! answers: while one group is synced the next one gathers, so no timer is needed but for records
//! that nobody waits for. Files are closed by size and age; a second thread seals them (Merkle root,
//! summary) and unlinks whole files that are past retention.
//!
//! How much a record's answer promises is said with each record ([`RecordMode`]): *durable* answers
//! after the commit; *buffered* at once, so a crash loses at most what [`IssuanceStats::unsynced`]
//! shows; *off* writes nothing. When the disk fills up issuance stops first: below
//! [`IssuanceConfig::free_space_min`] nothing is recorded, and so nothing issued, but for tokens of
//! the management API ([`Reserve::Use`]): the admin log can still take a revocation, and somebody
//! can still ask for it.

use crate::disk::{self, DataDir, free_space};
use crate::issuance_file::{
    self as file, Active, IssuancePlace, IssuanceVisitor, Readable, SealedFile, Spot,
};
use crate::issuance_record::IssuanceRecord;
use crate::source::timed;
use crate::{Clock, Fault, LogId, limits};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard, Weak,
};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use writ_core::{Jti, Millis, RecordMode};

/// How long buffered records gather before they are written: a crash loses these, and a commit for
/// every few of them would cost more than all else that a token does.
const GATHERING: Duration = Duration::from_millis(5);

/// How the issuance log is kept.
pub struct IssuanceConfig {
    /// Tells the time, for the age of files.
    pub clock: Arc<dyn Clock>,
    /// A file is closed when its records have this many bytes …
    pub file_bytes: u64,
    /// … or when it is this old, in milliseconds.
    pub file_age_ms: u64,
    /// Sealed files whose last record is older than this are unlinked, in milliseconds.
    pub retention_age_ms: Option<u64>,
    /// The oldest sealed files are unlinked while all files have more bytes on disk than this.
    pub retention_bytes: Option<u64>,
    /// With less free space than this nothing is recorded but what may use the reserve
    /// ([`Reserve`]), in bytes.
    pub free_space_min: u64,
    /// No file with a lower number is begun or goes on. Give one more than the highest number among
    /// the sealed names in the admin log ([`crate::issuance_file_number`]), so that a directory that
    /// was wiped or restored does not give out their names again.
    pub number_min: u64,
    /// Hears of each commit, on the writing thread and before the answers, so it must be quick: how
    /// many records, and how long the commit took. For metrics.
    pub on_commit: Box<dyn Fn(usize, Duration) + Send>,
    /// Hears of each sealed file, on the sealing thread: to enter it into the admin log. A crash
    /// can come between: compare [`IssuanceLog::sealed`] with the log at start.
    pub on_sealed: Box<dyn Fn(&SealedFile) + Send>,
}

impl IssuanceConfig {
    /// Files of 128 MiB or an hour, kept for ever, with a reserve of 256 MiB.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            file_bytes: 128 << 20,
            file_age_ms: 3_600_000,
            retention_age_ms: None,
            retention_bytes: None,
            free_space_min: 256 << 20,
            number_min: 0,
            on_commit: Box::new(|_, _| {}),
            on_sealed: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for IssuanceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuanceConfig")
            .field("file_bytes", &self.file_bytes)
            .field("file_age_ms", &self.file_age_ms)
            .field("retention_age_ms", &self.retention_age_ms)
            .field("retention_bytes", &self.retention_bytes)
            .field("free_space_min", &self.free_space_min)
            .field("number_min", &self.number_min)
            .finish_non_exhaustive()
    }
}

/// Whether a record may use the space that is kept free on a filling disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// The reserve is kept: below [`IssuanceConfig::free_space_min`] the record is refused.
    #[default]
    Keep,
    /// The reserve is used. For tokens of the management API only: without one nobody could make
    /// room, or revoke.
    Use,
}

/// Why a decision is not recorded. In durable and buffered mode nothing may be issued then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuanceError {
    /// The reserve of the disk is for the admin log and those who write it: the record had
    /// [`Reserve::Keep`].
    #[error(
        "the disk has {free} bytes left and issuance stops below {min}: make room, or shorten retention"
    )]
    DiskLow {
        /// Free now, in bytes.
        free: u64,
        /// The configured minimum.
        min: u64,
    },
    /// An earlier write failed.
    #[error("the issuance log is read-only since a write failed ({cause}): restart")]
    ReadOnly {
        /// The failure.
        cause: Arc<str>,
    },
    /// More records wait than can be written soon.
    #[error("{queued} records are waiting to be written: try again later")]
    Overloaded {
        /// How many.
        queued: usize,
    },
    /// The record is over [`limits::ISSUANCE_RECORD_BYTES`]: cut what was asked before recording.
    #[error(
        "a record of {bytes} bytes is over the limit of {}",
        limits::ISSUANCE_RECORD_BYTES
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The process is stopping.
    #[error("the issuance log is closed: the server is stopping")]
    Closed,
}

/// The answer to a record. In buffered mode and when off it is there at once.
#[derive(Debug)]
pub struct Recording(State);

#[derive(Debug)]
enum State {
    Ready(Result<(), IssuanceError>),
    Waiting(oneshot::Receiver<Result<(), IssuanceError>>),
}

impl Recording {
    /// Waits on this thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// The decision is not recorded.
    pub fn wait(self) -> Result<(), IssuanceError> {
        match self.0 {
            State::Ready(answer) => answer,
            State::Waiting(answer) => answer.blocking_recv().unwrap_or(Err(IssuanceError::Closed)),
        }
    }
}

impl Future for Recording {
    type Output = Result<(), IssuanceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => Poll::Ready(answer.clone()),
            State::Waiting(answer) => Pin::new(answer)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(IssuanceError::Closed))),
        }
    }
}

/// Counters, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuanceStats {
    /// Records that are durable.
    pub recorded: u64,
    /// Commits that made them so.
    pub commits: u64,
    /// Buffered records that were answered and are not durable yet: a crash now loses these.
    pub unsynced: u64,
    /// Buffered records that were answered and could not be written.
    pub lost: u64,
    /// Records in the queue.
    pub queued: u64,
    /// Bytes of all files on disk, when the last one was closed.
    pub file_bytes: u64,
}

#[derive(Default)]
struct Counters {
    recorded: AtomicU64,
    commits: AtomicU64,
    unsynced: AtomicU64,
    lost: AtomicU64,
    file_bytes: AtomicU64,
}

struct Item {
    id: u128,
    bytes: Vec<u8>,
    reserve: Reserve,
    /// Nobody waits for a buffered record.
    answer: Option<oneshot::Sender<Result<(), IssuanceError>>>,
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    /// How many of them somebody waits for.
    waited_for: usize,
    /// What the writer sleeps until.
    asleep: Option<Until>,
    /// Look whether the file is old enough to be closed.
    rotate: Rotate,
    stopping: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Rotate {
    #[default]
    No,
    WhenDue,
    Now,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until there is anything.
    Anything,
    /// Until somebody waits, or there is enough for a commit.
    Enough,
}

impl Queue {
    /// Whether the writer has slept enough.
    fn is_due(&self, until: Until) -> bool {
        let enough = match until {
            Until::Anything => !self.items.is_empty(),
            Until::Enough => self.waited_for > 0 || self.items.len() >= limits::FRAME_RECORDS,
        };
        enough || self.rotate != Rotate::No || self.stopping
    }
}

/// A file, as readers find it.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    /// Lowest and highest record id.
    ids: (u128, u128),
    sealed: Option<SealedFile>,
    /// Open for writing, or on its way to be sealed.
    live: Option<Arc<redb::Database>>,
    /// Somebody may still read through the handle that was live.
    was_live: Weak<redb::Database>,
}

struct Shared {
    directory: PathBuf,
    log_id: LogId,
    queue: Mutex<Queue>,
    wake: Condvar,
    files: RwLock<BTreeMap<u64, Known>>,
    fatal: OnceLock<Arc<str>>,
    disk_low: AtomicBool,
    free_space_min: u64,
    retention: Mutex<Retention>,
    counters: Counters,
}

/// How long sealed files are kept: the settings can change it while the server runs.
#[derive(Clone, Copy)]
struct Retention {
    age_ms: Option<u64>,
    bytes: Option<u64>,
}

/// What a walk is to show.
#[derive(Clone, Copy, Debug)]
pub struct IssuanceSpan {
    /// The first moment, by the records' ids.
    pub from: Millis,
    /// The last moment, by the records' ids.
    pub until: Millis,
    /// Where an earlier walk ended.
    pub place: Option<IssuancePlace>,
}

/// The issuance log of this node.
pub struct IssuanceLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for IssuanceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuanceLog")
            .field("directory", &self.shared.directory)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl IssuanceLog {
    /// Opens the issuance log of a data directory, or begins one. Only the file that was written
    /// last is read (and repaired after a crash); others that are not sealed yet are sealed in the
    /// background.
    ///
    /// # Errors
    /// When a file is damaged or belongs to another log, or the disk fails.
    pub fn open(data: &DataDir, log_id: LogId, config: IssuanceConfig) -> Result<Self, Fault> {
        let directory = data.join("issuance");
        disk::create_dir(&directory)?;
        let mut files = BTreeMap::new();
        let mut unsealed = Vec::new();
        for (number, path) in listing(&directory)? {
            match file::read_seal(&path)? {
                Some(sealed) => {
                    let ids = (sealed.first.0, sealed.last.0);
                    let sealed = Some(sealed);
                    let (live, was_live) = (None, Weak::new());
                    files.insert(
                        number,
                        Known {
                            path,
                            ids,
                            sealed,
                            live,
                            was_live,
                        },
                    );
                }
                None => unsealed.push(Active::open(&path, number, log_id)?),
            }
        }
        let last = files.keys().next_back().copied();
        let active = match unsealed.pop() {
            // Only the newest file of all goes on, and only under a name that is still free.
            Some(active)
                if active.number >= config.number_min
                    && last.is_none_or(|last| last < active.number) =>
            {
                active
            }
            other => {
                unsealed.extend(other);
                let newest = unsealed.last().map(|a| a.number).max(last);
                let number = newest.map_or(0, |newest| newest + 1);
                let number = number.max(config.number_min);
                Active::create(&directory, number, log_id, config.clock.now())?
            }
        };
        for open in unsealed.iter().chain([&active]) {
            files.insert(open.number, known(open));
        }
        let shared = Arc::new(Shared {
            directory,
            log_id,
            queue: Mutex::default(),
            wake: Condvar::new(),
            files: RwLock::new(files),
            fatal: OnceLock::new(),
            disk_low: AtomicBool::new(false),
            free_space_min: config.free_space_min,
            retention: Mutex::new(Retention {
                age_ms: config.retention_age_ms,
                bytes: config.retention_bytes,
            }),
            counters: Counters::default(),
        });
        shared.count_bytes();
        let (to_seal, closed) = channel();
        for old in unsealed {
            // The receiver lives: its thread is started below.
            let _ = to_seal.send(old);
        }
        let writer = Writer {
            shared: Arc::clone(&shared),
            active,
            to_seal,
            clock: Arc::clone(&config.clock),
            file_bytes: config.file_bytes,
            file_age_ms: config.file_age_ms,
            on_commit: config.on_commit,
        };
        let sealer = Sealer {
            shared: Arc::clone(&shared),
            clock: config.clock,
            on_sealed: config.on_sealed,
        };
        let log = Self {
            shared,
            threads: Mutex::default(),
        };
        log.spawn("writ-issuance", move || writer.run())?;
        log.spawn("writ-seal", move || sealer.run(&closed))?;
        Ok(log)
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
                    shared.fail("a thread of the issuance log panicked");
                }
            })
            .map_err(Fault::NoThread)?;
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
        Ok(())
    }

    /// Records a decision. Await the answer before anything of the decision leaves the server.
    #[must_use]
    pub fn record(&self, record: &IssuanceRecord, mode: RecordMode, reserve: Reserve) -> Recording {
        if mode == RecordMode::Off {
            return Recording(State::Ready(Ok(())));
        }
        let Ok(bytes) = serde_json::to_vec(record) else {
            // A record has no map with keys that are not text, so this is never seen.
            let cause = "a record cannot be written as JSON".into();
            return Recording(State::Ready(Err(IssuanceError::ReadOnly { cause })));
        };
        match self.enqueue(record.id.0, bytes, mode, reserve) {
            Ok(Some(answer)) => Recording(State::Waiting(answer)),
            Ok(None) => Recording(State::Ready(Ok(()))),
            Err(error) => Recording(State::Ready(Err(error))),
        }
    }

    fn enqueue(
        &self,
        id: u128,
        bytes: Vec<u8>,
        mode: RecordMode,
        reserve: Reserve,
    ) -> Result<Option<oneshot::Receiver<Result<(), IssuanceError>>>, IssuanceError> {
        if bytes.len() > limits::ISSUANCE_RECORD_BYTES {
            return Err(IssuanceError::TooLarge { bytes: bytes.len() });
        }
        match reserve {
            Reserve::Keep => self.ready()?,
            Reserve::Use => self.shared.read_only()?,
        }
        let (answer, waiting) = match mode {
            RecordMode::Durable => {
                let (answer, waiting) = oneshot::channel();
                (Some(answer), Some(waiting))
            }
            RecordMode::Buffered | RecordMode::Off => (None, None),
        };
        let mut queue = self.shared.queue();
        if queue.stopping {
            return Err(IssuanceError::Closed);
        }
        // Again under the lock: the writer sets it, empties the queue, and never looks back.
        self.shared.read_only()?;
        if queue.items.len() >= limits::QUEUED_RECORDS {
            return Err(IssuanceError::Overloaded {
                queued: queue.items.len(),
            });
        }
        if answer.is_none() {
            self.shared
                .counters
                .unsynced
                .fetch_add(1, Ordering::Relaxed);
        }
        queue.waited_for += usize::from(answer.is_some());
        queue.items.push(Item {
            id,
            bytes,
            reserve,
            answer,
        });
        if queue.asleep.is_some_and(|until| queue.is_due(until)) {
            self.shared.wake.notify_one();
        }
        Ok(waiting)
    }

    /// Whether a decision that keeps the reserve could be recorded now: ask before signing.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), IssuanceError> {
        self.shared.read_only()?;
        if self.shared.disk_low.load(Ordering::Relaxed) {
            self.shared.check_space()?;
        }
        Ok(())
    }

    /// Whether the disk has more than the reserve now, for others who would take of it.
    ///
    /// # Errors
    /// It has not.
    pub fn has_space(&self) -> Result<(), IssuanceError> {
        self.shared.check_space()
    }

    /// Whether writing works. Once false, only a restart helps.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.shared.fatal.get().is_none()
    }

    /// Counters, for metrics.
    #[must_use]
    pub fn stats(&self) -> IssuanceStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IssuanceStats {
            recorded: read(&counters.recorded),
            commits: read(&counters.commits),
            unsynced: read(&counters.unsynced),
            lost: read(&counters.lost),
            queued: self.shared.queue().items.len() as u64,
            file_bytes: read(&counters.file_bytes),
        }
    }

    /// Changes how long sealed files are kept: an age in milliseconds, and bytes of all files
    /// together. It is enforced whenever a file has been sealed.
    pub fn retain(&self, age_ms: u64, bytes: u64) {
        let retention = Retention {
            age_ms: Some(age_ms),
            bytes: Some(bytes),
        };
        *self
            .shared
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// The highest record id in the log: where a clock that was set back must go on.
    #[must_use]
    pub fn last(&self) -> Option<Jti> {
        let files = self
            .shared
            .files
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        files
            .values()
            .filter(|known| known.ids.0 <= known.ids.1)
            .map(|known| Jti(known.ids.1))
            .max()
    }

    /// Closes the file if it is old enough. Call it every minute or so: without traffic nothing
    /// else would.
    pub fn rotate_if_due(&self) {
        self.ask_to_rotate(Rotate::WhenDue);
    }

    /// Closes the file now, if it has records.
    pub fn rotate(&self) {
        self.ask_to_rotate(Rotate::Now);
    }

    fn ask_to_rotate(&self, rotate: Rotate) {
        self.shared.queue().rotate = rotate;
        self.shared.wake.notify_one();
    }

    /// Every sealed file that is still there, oldest first.
    #[must_use]
    pub fn sealed(&self) -> Vec<SealedFile> {
        let files = self
            .shared
            .files
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        files
            .values()
            .filter_map(|known| known.sealed.clone())
            .collect()
    }

    /// The stored bytes of a record. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn find_bytes(&self, id: Jti) -> Result<Option<Vec<u8>>, Fault> {
        let fit = |_, ids: (u128, u128)| ids.0 <= id.0 && id.0 <= ids.1;
        let files = self.shared.files_with(fit);
        file::find(files.map(|(_, path, readable)| (path, readable)), id)
    }

    /// A record. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read, or the record is damaged.
    pub fn find(&self, id: Jti) -> Result<Option<IssuanceRecord>, Fault> {
        let found = self.find_bytes(id)?;
        found
            .map(|bytes| file::decode(&self.shared.directory, id, &bytes))
            .transpose()
    }

    /// Shows every record with the id of that moment or a later one, until the visitor breaks off:
    /// file by file and in each in the order of arrival, which is that of ids but for small
    /// differences. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan(
        &self,
        from: Millis,
        visit: &mut dyn FnMut(Jti, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let first = u128::from(from.0) << 80;
        let files = self.shared.files_with(|_, ids| ids.1 >= first);
        file::scan(
            files.map(|(_, path, readable)| (path, readable)),
            from,
            visit,
        )
    }

    /// Shows the records that a span may hold, and some beside it, in the order of arrival, until
    /// the visitor breaks off or [`limits::WALKED_FILES`] files were opened. Answers the place where
    /// a later walk goes on: that of the record at which the visitor broke off, which counts as not
    /// shown. `None` when there was no more.
    ///
    /// A walk in steps shows each record once, those that come meanwhile too, whatever is sealed in
    /// between. Of files that retention unlinks in between nothing more is shown. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn walk(
        &self,
        span: IssuanceSpan,
        visit: &mut IssuanceVisitor<'_, IssuancePlace>,
    ) -> Result<Option<IssuancePlace>, Fault> {
        let from = Spot::before(u128::from(span.from.0) << 80);
        let first = span.place.map_or(0, |place| place.file);
        let fit = |number, ids: (u128, u128)| {
            number >= first && ids.1 >= from.highest && Jti(ids.0).millis() <= span.until
        };
        for (opened, (file, path, readable)) in self.shared.files_with(fit).enumerate() {
            let begin = match span.place {
                Some(place) if place.file == file => place.spot.max(from),
                _ => from,
            };
            if opened == limits::WALKED_FILES {
                return Ok(Some(IssuancePlace { file, spot: begin }));
            }
            let Some(readable) = readable? else { continue };
            let mut stopped = None;
            let _ = readable.walk(&path, begin, span.until.0, &mut |spot, id, bytes| {
                let place = IssuancePlace { file, spot };
                let flow = visit(place, id, bytes);
                if flow.is_break() {
                    stopped = Some(place);
                }
                flow
            })?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }

    /// Writes what is queued and stops. Later records are refused; reading goes on. Blocks until it
    /// is done.
    pub fn close(&self) {
        self.shared.queue().stopping = true;
        self.shared.wake.notify_one();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
        // The file is closed with its last handle: the next start need not repair it.
        for known in self.shared.files_mut().values_mut() {
            known.live = None;
        }
    }
}

impl Drop for IssuanceLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// The files of a directory by number; what a crash left unfinished is removed.
fn listing(directory: &Path) -> Result<BTreeMap<u64, PathBuf>, Fault> {
    let mut files = BTreeMap::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Fault::io("read", directory))? {
        let entry = entry.map_err(Fault::io("read", directory))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    for name in &names {
        let path = directory.join(name);
        if let Some(number) = file::number(name) {
            files.insert(number, path);
        } else if name.ends_with(".new") {
            disk::unlink(&path)?;
        }
    }
    for name in names.iter().filter(|name| name.ends_with(".seal")) {
        // Retention unlinks the file before its seal.
        if !directory.join(name).with_extension("redb").exists() {
            disk::unlink(&directory.join(name))?;
        }
    }
    Ok(files)
}

fn known(active: &Active) -> Known {
    Known {
        path: active.path.clone(),
        ids: (active.totals.lowest, active.totals.highest),
        sealed: None,
        live: Some(Arc::clone(&active.db)),
        was_live: Arc::downgrade(&active.db),
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Known>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_only(&self) -> Result<(), IssuanceError> {
        match self.fatal.get() {
            Some(cause) => Err(IssuanceError::ReadOnly {
                cause: Arc::clone(cause),
            }),
            None => Ok(()),
        }
    }

    fn fail(&self, cause: &str) {
        if self.fatal.set(cause.into()).is_ok() {
            tracing::error!(cause, "the issuance log is read-only from now on: restart");
        }
        for item in std::mem::take(&mut self.queue().items) {
            self.answer(item.answer, self.read_only());
        }
    }

    fn answer(
        &self,
        answer: Option<oneshot::Sender<Result<(), IssuanceError>>>,
        result: Result<(), IssuanceError>,
    ) {
        match answer {
            // That nobody listens any more is fine.
            Some(answer) => drop(answer.send(result)),
            None => {
                self.counters.unsynced.fetch_sub(1, Ordering::Relaxed);
                if result.is_err() {
                    self.counters.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn check_space(&self) -> Result<(), IssuanceError> {
        let min = self.free_space_min;
        // A file system that cannot say how full it is will say so at the write.
        let free = free_space(&self.directory).unwrap_or(u64::MAX);
        let low = free < min;
        if self.disk_low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!(free, min, "the disk is nearly full: issuance stops");
            } else {
                tracing::info!(free, "the disk has room again: issuance goes on");
            }
        }
        if low {
            Err(IssuanceError::DiskLow { free, min })
        } else {
            Ok(())
        }
    }

    /// The files whose ids may fit, oldest first, opened one by one. A file that retention unlinks
    /// meanwhile is passed over.
    fn files_with(
        &self,
        fit: impl Fn(u64, (u128, u128)) -> bool,
    ) -> impl Iterator<Item = (u64, PathBuf, Result<Option<Readable>, Fault>)> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let fitting: Vec<u64> = files
            .iter()
            .filter(|(number, known)| fit(**number, known.ids))
            .map(|(number, _)| *number)
            .collect();
        drop(files);
        fitting.into_iter().map(|number| {
            let path = self.directory.join(file::name(number));
            let readable = self.open(number);
            (number, path, readable)
        })
    }

    fn open(&self, number: u64) -> Result<Option<Readable>, Fault> {
        // A file that has just been sealed is closed by whoever reads it last: wait for that.
        const TRIES: u32 = 200;
        for attempt in 0.. {
            let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
            let Some(known) = files.get(&number) else {
                return Ok(None);
            };
            if let Some(db) = known.live.clone().or_else(|| known.was_live.upgrade()) {
                return Ok(Some(Readable::Live(db)));
            }
            match Readable::open_sealed(&known.path) {
                Err(Fault::InUse { .. }) if attempt < TRIES => {}
                result => return result.map(Some),
            }
            drop(files);
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }

    fn count_bytes(&self) -> u64 {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let bytes = files.values().map(|known| size(&known.path)).sum();
        self.counters.file_bytes.store(bytes, Ordering::Relaxed);
        bytes
    }

    /// Unlinks what is past retention; the names of the unlinked files.
    fn enforce_retention(&self, now: Millis) -> Result<Vec<String>, Fault> {
        let retention = *self
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut total = self.count_bytes();
        let mut unlinked = Vec::new();
        loop {
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            let oldest = files.iter().find_map(|(number, known)| {
                let sealed = known.sealed.as_ref()?;
                Some((*number, sealed.last.millis(), known.path.clone()))
            });
            let Some((number, last, path)) = oldest else {
                break;
            };
            let too_old = retention
                .age_ms
                .is_some_and(|age| last.0.saturating_add(age) < now.0);
            let too_many = retention.bytes.is_some_and(|bytes| total > bytes);
            if !too_old && !too_many {
                break;
            }
            files.remove(&number);
            drop(files);
            total = total.saturating_sub(size(&path));
            // The seal goes last: without it the file would be taken for a new one and sealed anew.
            disk::unlink(&path)?;
            disk::unlink(&file::seal_path(&path))?;
            tracing::info!(file = %path.display(), "an issuance file is past retention and was unlinked");
            unlinked.push(file::name(number));
        }
        self.counters.file_bytes.store(total, Ordering::Relaxed);
        Ok(unlinked)
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    active: Active,
    to_seal: Sender<Active>,
    clock: Arc<dyn Clock>,
    file_bytes: u64,
    file_age_ms: u64,
    on_commit: Box<dyn Fn(usize, Duration) + Send>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let queue = self.shared.queue();
            let queue = self.sleep(queue, Until::Anything, Duration::MAX);
            // When nobody waits, what comes within a moment is one commit.
            let mut queue = self.sleep(queue, Until::Enough, GATHERING);
            let items = std::mem::take(&mut queue.items);
            queue.waited_for = 0;
            let rotate = std::mem::take(&mut queue.rotate);
            let stopping = queue.stopping;
            drop(queue);
            if !items.is_empty() {
                self.commit(items);
            } else if rotate == Rotate::No && stopping {
                return;
            }
            self.rotate(rotate);
        }
    }

    /// Sleeps until there is what to do, at most so long.
    fn sleep<'q>(
        &self,
        mut queue: MutexGuard<'q, Queue>,
        until: Until,
        most: Duration,
    ) -> MutexGuard<'q, Queue> {
        queue.asleep = Some(until);
        let asleep = |queue: &mut Queue| !queue.is_due(until);
        let slept = self.shared.wake.wait_timeout_while(queue, most, asleep);
        let (mut queue, _) = slept.unwrap_or_else(PoisonError::into_inner);
        queue.asleep = None;
        queue
    }

    fn commit(&mut self, mut items: Vec<Item>) {
        let mut result = self.shared.read_only();
        if result.is_ok()
            && let Err(low) = self.shared.check_space()
        {
            let keeping = |item: &mut Item| item.reserve == Reserve::Keep;
            for refused in items.extract_if(.., keeping) {
                self.shared.answer(refused.answer, Err(low.clone()));
            }
        }
        if result.is_ok() && !items.is_empty() {
            let records: Vec<(u128, &[u8])> = items
                .iter()
                .map(|item| (item.id, item.bytes.as_slice()))
                .collect();
            let (appended, took) = timed(|| self.active.append(&records));
            match appended {
                Ok(()) => {
                    self.note(records.len() as u64);
                    (self.on_commit)(records.len(), took);
                }
                Err(fault) => {
                    self.shared.fail(&fault.to_string());
                    result = self.shared.read_only();
                }
            }
        }
        for item in items {
            self.shared.answer(item.answer, result.clone());
        }
    }

    /// Tells readers and metrics.
    fn note(&self, records: u64) {
        self.shared
            .counters
            .recorded
            .fetch_add(records, Ordering::Relaxed);
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        let mut files = self.shared.files_mut();
        if let Some(known) = files.get_mut(&self.active.number) {
            known.ids = (self.active.totals.lowest, self.active.totals.highest);
        }
    }

    /// Closes the file when it is full, old, or told to, and begins the next.
    fn rotate(&mut self, asked: Rotate) {
        let totals = self.active.totals;
        let old = self.clock.now().0.saturating_sub(self.active.made_at.0) >= self.file_age_ms;
        let due = asked == Rotate::Now || old || totals.bytes >= self.file_bytes;
        if totals.records == 0 || !due || self.shared.fatal.get().is_some() {
            return;
        }
        let number = self.active.number + 1;
        let made = Active::create(
            &self.shared.directory,
            number,
            self.shared.log_id,
            self.clock.now(),
        );
        match made {
            Ok(next) => {
                let mut files = self.shared.files_mut();
                files.insert(number, known(&next));
                drop(files);
                let closed = std::mem::replace(&mut self.active, next);
                // An error means that the sealing thread panicked: the next start seals it.
                let _ = self.to_seal.send(closed);
            }
            // The old file can go on; the next commit tries again.
            Err(fault) => tracing::error!(%fault, "no new issuance file could be made"),
        }
    }
}

/// The thread that seals and unlinks.
struct Sealer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    on_sealed: Box<dyn Fn(&SealedFile) + Send>,
}

impl Sealer {
    fn run(&self, closed: &Receiver<Active>) {
        self.enforce_retention();
        while let Ok(active) = closed.recv() {
            let path = active.path.clone();
            let done = match active.totals.records {
                0 => self.discard(active),
                _ => self.seal(active),
            };
            if let Err(fault) = done {
                tracing::error!(%fault, file = %path.display(), "an issuance file cannot be sealed");
            }
            self.enforce_retention();
        }
    }

    /// One that a crash left empty has nothing to seal.
    fn discard(&self, active: Active) -> Result<(), Fault> {
        let (number, path) = (active.number, active.path.clone());
        self.shared.files_mut().remove(&number);
        file::close(active, || self.shared.queue().stopping)?;
        disk::unlink(&path)
    }

    fn seal(&self, active: Active) -> Result<(), Fault> {
        let (number, path) = (active.number, active.path.clone());
        let sealed = file::summary(&active)?;
        // Readers may still come through the weak handle; the last one closes the file for us.
        if let Some(known) = self.shared.files_mut().get_mut(&number) {
            known.live = None;
        }
        file::close(active, || self.shared.queue().stopping)?;
        file::write_seal(&path, &sealed)?;
        if let Some(known) = self.shared.files_mut().get_mut(&number) {
            known.sealed = Some(sealed.clone());
        }
        (self.on_sealed)(&sealed);
        Ok(())
    }

    fn enforce_retention(&self) {
        let now = self.clock.now();
        if let Err(fault) = self.shared.enforce_retention(now) {
            tracing::error!(%fault, "retention of issuance files failed");
        }
    }
}
