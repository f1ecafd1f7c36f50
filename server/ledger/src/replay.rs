//! What was presented once and must not be taken again: the `jti` of assertions and of DPoP proofs
//! (RFC 7523 §3, RFC 9449 §11.1), as digests, until they expire.
//!
//! `D/replay.redb` has two tables:
//!
//! ```text
//! seen    (until in milliseconds u64, first half of the digest u128) -> nothing
//! header  "format" | "log_id" | "forgotten"                          -> text
//! ```
//!
//! Whoever presents something is refused at once if it is known, and else waits until it is
//! durable: so it is taken once, also across a crash. One thread writes; while one commit is
//! synced the next gathers. All that lives is in memory too, some 70 bytes each.
//!
//! Something is forgotten when its end has passed by the latest moment that the store was told,
//! and from then on it has expired, also when the clock is set back: for the file by `forgotten`,
//! the latest end among the rows that were taken away. A restart with a clock set back knows the
//! rows that are still there, and refuses what may have been among the others.
//!
//! A file that is damaged is not opened, and no older copy helps: it lacks what was seen since. But
//! what is remembered is valid for an hour at most, so an operator who leaves the server stopped for
//! an hour can delete the file. The same holds for archives and backups: they leave it out.

use crate::disk::DataDir;
use crate::engine::without_panic;
use crate::redb_file::{self, fault};
use crate::{Fault, LogId};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writ_core::Millis;

const FORMAT: u32 = 1;
const SEEN: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("seen");
/// The latest end of what the file has forgotten, in the header.
const FORGOTTEN: &str = "forgotten";
/// Most expired rows that one commit takes away: more than it can add, so that they run out.
const FORGOTTEN_PER_COMMIT: usize = 4_096;
/// Most that is forgotten in memory when something is presented; some tens of microseconds.
const FORGOTTEN_AT_A_TIME: usize = 128;
/// Most rows that one commit adds.
const WRITTEN_PER_COMMIT: usize = 2_048;
/// Most that lives at a time, unless told otherwise: some 70 MB.
pub const REPLAYS_MAX: usize = 1_000_000;

/// Why something is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was presented before.
    #[error("it was presented before")]
    Replayed,
    /// It has expired, or the clock was set back behind the end of its life.
    #[error("it has expired")]
    Expired,
    /// Too much is remembered: more would mean to forget what lives.
    #[error("{0} are remembered, which is all there is room for")]
    Overloaded(usize),
    /// An earlier write failed: what is remembered may be less than what was seen.
    #[error("the store is read-only since a write failed ({0}): restart")]
    ReadOnly(Arc<str>),
}

/// What was seen, as it is in memory.
#[derive(Default)]
struct Seen {
    /// What lives.
    live: HashSet<u128>,
    /// What of it expires within each second.
    by_second: BTreeMap<u64, Vec<u128>>,
    /// The latest moment that anybody told: time never goes back here, or something would be
    /// forgotten early.
    now: u64,
    queue: Vec<Item>,
    commits: u64,
    fatal: Option<Arc<str>>,
    stopping: bool,
}

struct Item {
    until: u64,
    digest: u128,
    answer: oneshot::Sender<Result<(), ReplayError>>,
}

impl Seen {
    fn insert(&mut self, digest: u128, until: u64) {
        if self.live.insert(digest) {
            self.by_second.entry(until / 1000).or_default().push(digest);
        }
    }

    /// Forgets what has expired, a bounded part of it at a time: whoever presents something after
    /// an hour of silence does not wait until a million are forgotten. What is left is refused for
    /// that long still, and goes faster than anything comes.
    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        for _ in 0..FORGOTTEN_AT_A_TIME {
            let Some(mut second) = self.by_second.first_entry() else {
                break;
            };
            // The whole second must be over.
            if second.key().saturating_add(1).saturating_mul(1000) > self.now {
                break;
            }
            match second.get_mut().pop() {
                Some(digest) => drop(self.live.remove(&digest)),
                None => drop(second.remove()),
            }
        }
    }
}

struct Shared {
    path: PathBuf,
    seen: Mutex<Seen>,
    wake: Condvar,
    max: usize,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more, and says so to all that wait.
    fn fail(&self, cause: &str, group: Vec<Item>) {
        tracing::error!(
            cause,
            "nothing that counts once is taken from now on: restart"
        );
        let cause: Arc<str> = cause.into();
        let queued = {
            let mut seen = self.seen();
            seen.fatal = Some(Arc::clone(&cause));
            std::mem::take(&mut seen.queue)
        };
        for item in group.into_iter().chain(queued) {
            let error = ReplayError::ReadOnly(Arc::clone(&cause));
            // Whoever asked may be gone.
            let _ = item.answer.send(Err(error));
        }
    }
}

/// Remembers what was presented.
pub struct ReplayStore {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for ReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

/// How full a store is, and what it has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// How many live, or did when something was last presented.
    pub entries: usize,
    /// How many of them wait for the next commit.
    pub queued: usize,
    /// How many commits there were.
    pub commits: u64,
}

/// Something that is remembered, and soon durably. Await it before anything leaves the server that
/// rests on it.
#[derive(Debug)]
#[must_use = "what is not durable can be presented again after a crash"]
pub struct Remembering(oneshot::Receiver<Result<(), ReplayError>>);

impl Remembering {
    /// Waits on this thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn wait(self) -> Result<(), ReplayError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }
}

impl Future for Remembering {
    type Output = Result<(), ReplayError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

fn closed() -> ReplayError {
    ReplayError::ReadOnly("the server is stopping".into())
}

impl ReplayStore {
    /// Opens the store of a data directory, or begins one. `max` is how much may live at a time.
    ///
    /// # Errors
    /// [`Fault::ReplaysDamaged`]; when it is of another format or of another server, or the disk
    /// fails.
    pub fn open(data: &DataDir, log_id: LogId, now: Millis, max: usize) -> Result<Self, Fault> {
        let path = data.join("replay.redb");
        if !path.exists() {
            create(&path, log_id)?;
        }
        let (db, seen) = guarded(&path, || {
            let db = builder().open(&path).map_err(fault(&path))?;
            redb_file::check_header(&db, &path, FORMAT, log_id)?;
            let seen = read(&db, &path, now)?;
            Ok((db, seen))
        })?;
        Self::start(path, db, seen, max)
    }

    fn start(path: PathBuf, db: Database, seen: Seen, max: usize) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            path,
            seen: Mutex::new(seen),
            wake: Condvar::new(),
            max,
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("writ-replay".to_owned())
            .spawn(move || write(&writer, &db))
            .map_err(Fault::NoThread)?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Remembers a digest until a moment, unless it is remembered already. Never waits for the
    /// disk: the answer does.
    ///
    /// # Errors
    /// See [`ReplayError`]; nothing was changed.
    pub fn remember(
        &self,
        digest: &[u8; 32],
        until: Millis,
        now: Millis,
    ) -> Result<Remembering, ReplayError> {
        let digest = half(digest);
        let mut seen = self.shared.seen();
        seen.advance(now.0);
        if let Some(cause) = &seen.fatal {
            return Err(ReplayError::ReadOnly(Arc::clone(cause)));
        }
        if seen.stopping {
            return Err(closed());
        }
        if seen.live.contains(&digest) {
            return Err(ReplayError::Replayed);
        }
        if until.0 <= seen.now {
            return Err(ReplayError::Expired);
        }
        if seen.live.len() >= self.shared.max {
            return Err(ReplayError::Overloaded(self.shared.max));
        }
        seen.insert(digest, until.0);
        let (answer, receiver) = oneshot::channel();
        seen.queue.push(Item {
            until: until.0,
            digest,
            answer,
        });
        drop(seen);
        self.shared.wake.notify_one();
        Ok(Remembering(receiver))
    }

    /// How full it is, and what it has done.
    #[must_use]
    pub fn stats(&self) -> ReplayStats {
        let seen = self.shared.seen();
        ReplayStats {
            entries: seen.live.len(),
            queued: seen.queue.len(),
            commits: seen.commits,
        }
    }

    /// Why nothing is taken any more, or nothing.
    #[must_use]
    pub fn fatal_cause(&self) -> Option<Arc<str>> {
        self.shared.seen().fatal.clone()
    }

    /// Writes what is queued, and takes no more. Blocks.
    pub fn close(&self) {
        self.shared.seen().stopping = true;
        self.shared.wake.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A thread that panicked has said so; its answers are lost, and so errors.
            let _ = thread.join();
        }
    }
}

impl Drop for ReplayStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// The first half of a digest: finding another input for that takes 2^128 tries.
fn half(digest: &[u8; 32]) -> u128 {
    let first = digest.iter().take(16);
    first.fold(0, |all, byte| all << 8 | u128::from(*byte))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(1 << 20);
    builder
}

fn create(path: &Path, log_id: LogId) -> Result<(), Fault> {
    let (db, aside) = redb_file::create_aside(&builder(), path, |db| {
        redb_file::write_header(db, FORMAT, log_id, &[], |transaction| {
            transaction.open_table(SEEN)?;
            Ok(())
        })
    })?;
    drop(db);
    crate::disk::rename(&aside, path)
}

fn read(db: &Database, path: &Path, now: Millis) -> Result<Seen, Fault> {
    let forgotten = match redb_file::header(db, path, FORGOTTEN)?.as_str() {
        "" => 0,
        text => text
            .parse()
            .map_err(|_| Fault::damaged(path, "the header names no moment"))?,
    };
    let mut seen = Seen {
        now: now.0.max(forgotten),
        ..Seen::default()
    };
    let mut rows = || -> Result<(), redb::Error> {
        let table = db.begin_read()?.open_table(SEEN)?;
        // The latest first: what was presented again after its end lives until the later one.
        for row in table.range((seen.now, 0)..)?.rev() {
            let (until, digest) = row?.0.value();
            seen.insert(digest, until);
        }
        Ok(())
    };
    rows().map_err(fault(path))?;
    Ok(seen)
}

/// Runs what may find the file damaged, and says what to do then.
fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    without_panic(path, act).map_err(|fault| match fault {
        Fault::Damaged { path, detail } => Fault::ReplaysDamaged { path, detail },
        // It is shorter than it says.
        Fault::Io { path, source, .. } if source.kind() == ErrorKind::UnexpectedEof => {
            let detail = source.to_string();
            Fault::ReplaysDamaged { path, detail }
        }
        other => other,
    })
}

/// Writes what is queued, group by group, until it is told to stop.
fn write(shared: &Shared, db: &Database) {
    loop {
        let (group, now) = {
            let mut seen = shared.seen();
            while seen.queue.is_empty() && !seen.stopping {
                seen = shared
                    .wake
                    .wait(seen)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if seen.queue.is_empty() {
                return;
            }
            let many = seen.queue.len().min(WRITTEN_PER_COMMIT);
            let group: Vec<Item> = seen.queue.drain(..many).collect();
            (group, seen.now)
        };
        // A panic of redb must not leave anybody waiting.
        let path = &shared.path;
        match guarded(path, || commit(db, &group, now).map_err(fault(path))) {
            Ok(()) => {
                shared.seen().commits += 1;
                for item in group {
                    // Whoever asked may be gone.
                    let _ = item.answer.send(Ok(()));
                }
            }
            Err(fault) => {
                shared.fail(&fault.to_string(), group);
                return;
            }
        }
    }
}

fn commit(db: &Database, group: &[Item], now: u64) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    let mut forgotten = None;
    {
        let mut table = transaction.open_table(SEEN)?;
        for _ in 0..FORGOTTEN_PER_COMMIT {
            let first = table.first()?.map(|(key, _)| key.value());
            let Some(first) = first.filter(|(until, _)| *until < now) else {
                break;
            };
            table.remove(first)?;
            forgotten = Some(first.0);
        }
        for item in group {
            table.insert((item.until, item.digest), ())?;
        }
    }
    // Ends only grow: nothing is inserted with one that has passed.
    if let Some(until) = forgotten {
        redb_file::set_header(&transaction, FORGOTTEN, &until.to_string())?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
