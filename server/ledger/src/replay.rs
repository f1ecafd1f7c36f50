//! What was presented once and must not be taken again: the `jti` of assertions and of DPoP proofs
//! (RFC 7523 §3, RFC 9449 §11.1), as digests, until they expire.
//!
//! `D/replay.redb` has two tables:
//!
//! ```text
//! seen    (until in milliseconds u64, digest u128) -> nothing
//! header  "format" | "log_id"                      -> text
//! ```
//!
//! Whoever presents something is refused at once if it is known, and else waits until it is
//! durable: so it is taken once, also across a crash. One thread writes; while one commit is
//! synced the next gathers. All that lives is in memory too, some 60 bytes each.

use crate::disk::DataDir;
use crate::engine::without_panic;
use crate::redb_file::{self, fault};
use crate::{Fault, LogId};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writ_core::Millis;

const FORMAT: u32 = 1;
const SEEN: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("seen");
/// Most expired rows that one commit takes away: more than it can add, so that they run out.
const FORGOTTEN_PER_COMMIT: usize = 4_096;
/// Most rows that one commit adds.
const WRITTEN_PER_COMMIT: usize = 2_048;
/// Most that lives at a time, unless told otherwise: some 60 MB.
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
    /// When each expires.
    until: HashMap<u128, u64>,
    /// What expires within each second.
    by_second: BTreeMap<u64, Vec<u128>>,
    /// The latest moment that anybody told: time never goes back here, or something would be
    /// forgotten early.
    now: u64,
    queue: Vec<Item>,
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
        self.until.insert(digest, until);
        self.by_second.entry(until / 1000).or_default().push(digest);
    }

    /// Forgets what has expired.
    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        while let Some(second) = self.by_second.first_entry() {
            // The whole second must be over.
            if (second.key() + 1) * 1000 > self.now {
                break;
            }
            for digest in second.remove() {
                self.until.remove(&digest);
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
    /// When it is damaged, of another format or of another server, or the disk fails.
    pub fn open(data: &DataDir, log_id: LogId, now: Millis, max: usize) -> Result<Self, Fault> {
        let path = data.join("replay.redb");
        if !path.exists() {
            create(&path, log_id)?;
        }
        let (db, seen) = without_panic(&path, || {
            let db = builder().open(&path).map_err(fault(&path))?;
            redb_file::check_header(&db, &path, FORMAT, log_id)?;
            let seen = read(&db, now).map_err(fault(&path))?;
            Ok((db, seen))
        })
        .map_err(|error| match error {
            Fault::Damaged { path, detail } => Fault::Damaged {
                path,
                detail: format!(
                    "{detail}; once the server has been stopped for an hour all that it \
                     remembers has expired, and it can be deleted"
                ),
            },
            other => other,
        })?;
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
        // Half of it tells as much apart as anybody can make.
        let (half, _) = digest.split_at(16);
        let digest = half
            .iter()
            .fold(0, |all, byte| all << 8 | u128::from(*byte));
        let mut seen = self.shared.seen();
        seen.advance(now.0);
        if let Some(cause) = &seen.fatal {
            return Err(ReplayError::ReadOnly(Arc::clone(cause)));
        }
        if seen.stopping {
            return Err(closed());
        }
        if seen.until.contains_key(&digest) {
            return Err(ReplayError::Replayed);
        }
        if until.0 <= seen.now {
            return Err(ReplayError::Expired);
        }
        if seen.until.len() >= self.shared.max {
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

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.seen().until.len()
    }

    /// Whether none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

fn read(db: &Database, now: Millis) -> Result<Seen, redb::Error> {
    let mut seen = Seen {
        now: now.0,
        ..Seen::default()
    };
    let table = db.begin_read()?.open_table(SEEN)?;
    for row in table.range((now.0, 0)..)? {
        let (until, digest) = row?.0.value();
        seen.insert(digest, until);
    }
    Ok(seen)
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
        match commit(db, &group, now) {
            Ok(()) => {
                for item in group {
                    // Whoever asked may be gone.
                    let _ = item.answer.send(Ok(()));
                }
            }
            Err(error) => {
                let cause: Arc<str> = error.to_string().into();
                let queued = {
                    let mut seen = shared.seen();
                    seen.fatal = Some(Arc::clone(&cause));
                    std::mem::take(&mut seen.queue)
                };
                for item in group.into_iter().chain(queued) {
                    let error = ReplayError::ReadOnly(Arc::clone(&cause));
                    let _ = item.answer.send(Err(error));
                }
                return;
            }
        }
    }
}

fn commit(db: &Database, group: &[Item], now: u64) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    {
        let mut table = transaction.open_table(SEEN)?;
        for _ in 0..FORGOTTEN_PER_COMMIT {
            let first = table.first()?.map(|(key, _)| key.value());
            let Some(first) = first.filter(|(until, _)| *until < now) else {
                break;
            };
            table.remove(first)?;
        }
        for item in group {
            table.insert((item.until, item.digest), ())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn log_id() -> LogId {
        LogId::parse("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn digest(number: u64) -> [u8; 32] {
        let mut digest = [7; 32];
        digest[8..16].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn open(data: &DataDir, now: u64, max: usize) -> ReplayStore {
        ReplayStore::open(data, log_id(), Millis(now), max).unwrap()
    }

    fn remember(store: &ReplayStore, number: u64, until: u64, now: u64) -> Result<(), ReplayError> {
        store
            .remember(&digest(number), Millis(until), Millis(now))
            .and_then(Remembering::wait)
    }

    #[test]
    fn rfc_7523_section_3_a_jti_is_taken_once_until_it_expires_also_across_a_restart() {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        let store = open(&data, 1_000, 10);
        assert_eq!(remember(&store, 1, 60_000, 1_000), Ok(()));
        let replayed = Err(ReplayError::Replayed);
        assert_eq!(remember(&store, 1, 60_000, 1_000), replayed);
        // With another end of its life it is the same.
        assert_eq!(remember(&store, 1, 90_000, 59_999), replayed);
        assert_eq!(remember(&store, 2, 1_000, 1_001), Err(ReplayError::Expired));
        drop(store);
        let store = open(&data, 2_000, 10);
        assert_eq!(remember(&store, 1, 60_000, 2_000), replayed);
        assert_eq!(remember(&store, 1, 120_000, 61_000), Ok(()));
        // A clock that is set back forgets nothing early.
        assert_eq!(remember(&store, 1, 120_000, 2_000), replayed);
        assert_eq!(
            remember(&store, 3, 50_000, 2_000),
            Err(ReplayError::Expired)
        );
    }

    #[test]
    fn a_full_store_takes_no_more_and_forgets_nothing_that_lives() {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        let store = open(&data, 0, 2);
        assert_eq!(remember(&store, 1, 5_000, 0), Ok(()));
        assert_eq!(remember(&store, 2, 9_000, 0), Ok(()));
        let full = Err(ReplayError::Overloaded(2));
        assert_eq!(remember(&store, 3, 9_000, 4_000), full);
        assert_eq!(remember(&store, 3, 9_000, 6_000), Ok(()));
        assert_eq!(
            remember(&store, 2, 9_000, 6_000),
            Err(ReplayError::Replayed)
        );
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn of_many_that_present_the_same_one_wins() {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        let store = open(&data, 0, 1_000);
        let won: usize = std::thread::scope(|scope| {
            let race = || {
                (0..50)
                    .filter(|n| remember(&store, *n, 9_000, 1).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(won, 50);
    }

    #[test]
    fn the_file_is_of_one_log_and_one_that_is_damaged_says_what_to_do() {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        drop(open(&data, 0, 10));
        let other = LogId::parse("ffffffffffffffffffffffffffffffff").unwrap();
        let opened = ReplayStore::open(&data, other, Millis(0), 10);
        assert!(
            matches!(opened, Err(Fault::ForeignLog { .. })),
            "{opened:?}"
        );
        let path = data.join("replay.redb");
        std::fs::write(&path, [0; 5_000]).unwrap();
        let error = ReplayStore::open(&data, log_id(), Millis(0), 10).unwrap_err();
        assert!(error.to_string().contains("can be deleted"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_remembers_what_a_map_would(
            steps in prop::collection::vec((0u64..6, 0u64..20, 0u64..4, any::<bool>()), 1..40)
        ) {
            let directory = TempDir::new().unwrap();
            let data = DataDir::create(&directory.path().join("d")).unwrap();
            let mut store = open(&data, 0, 4);
            let (mut model, mut now) = (BTreeMap::<u64, u64>::new(), 0);
            for (number, life, wait, reopen) in steps {
                if reopen && wait == 3 {
                    drop(store);
                    store = open(&data, now, 4);
                }
                now += wait * 1_000;
                let until = now + life * 1_000;
                // It forgets by whole seconds.
                model.retain(|_, until| *until + 1_000 > now);
                let expected = match () {
                    () if model.contains_key(&number) => Err(ReplayError::Replayed),
                    () if life == 0 => Err(ReplayError::Expired),
                    () if model.len() == 4 => Err(ReplayError::Overloaded(4)),
                    () => Ok(()),
                };
                prop_assert_eq!(remember(&store, number, until, now), expected.clone());
                if expected.is_ok() {
                    model.insert(number, until);
                }
            }
        }
    }
}
