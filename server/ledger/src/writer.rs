//! The one place that writes to the admin log.
//!
//! INVARIANT: nothing is applied to the published index that is not durable, and nothing is
//! answered that is not applied. A batch of commands is decided against a private copy of the
//! index (a clone costs nothing: its maps are persistent), appended as one, published, and then
//! answered. If the append fails, the private copy is dropped with the events in it, and the
//! writer never writes again: nobody knows what of the batch is on the disk. A restart knows.
//!
//! Refusals wait for the append too, for they may rest on an event of the same batch.

use crate::checkpoint::Anchor;
use crate::engine::{AppendError, Engine, Entry};
use crate::leaves::{self, LeafFile, Leaves};
use crate::ledger::{Receipt, Rejection};
use crate::merkle::{Hash, LogTree, leaf_hash};
use crate::reading::each_batch;
use crate::snapshot::{self, Snapshots};
use crate::source::timed;
use crate::{Clock, Fault, Ids, LogId, limits};
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use writ_core::{
    Decision, Event, EventId, Facts, Index, Position, Recorded, Repeatable, Submission, codec,
    consider,
};

type Answer = oneshot::Sender<Result<Receipt, Rejection>>;

/// What the writer is asked.
pub(crate) enum Message {
    Submit(Box<Submission>, Answer),
    CatchUp(oneshot::Sender<Result<Position, Fault>>),
    Stop,
}

impl Message {
    /// Answers without doing it. That nobody listens any more is fine.
    pub(crate) fn reject(self, fault: Fault) {
        match self {
            Self::Submit(_, answer) => drop(answer.send(Err(fault.into()))),
            Self::CatchUp(answer) => drop(answer.send(Err(fault))),
            Self::Stop => {}
        }
    }
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) index: ArcSwap<Index>,
    /// The Merkle tree over what is durable: of the published index, or a batch ahead of it.
    tree: Mutex<LogTree>,
    /// Set once: why the log is read-only.
    pub(crate) fatal: OnceLock<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        index: Index,
        tree: LogTree,
    ) -> (Arc<Self>, SyncSender<Message>, Receiver<Message>) {
        let (sender, receiver) = sync_channel(limits::QUEUED_COMMANDS);
        let index = ArcSwap::from_pointee(index);
        (
            Arc::new(Self {
                engine,
                index,
                tree: Mutex::new(tree),
                fatal: OnceLock::new(),
            }),
            sender,
            receiver,
        )
    }

    /// Held for moments: some hashes are added, or its 32 bytes for each 256 events copied.
    pub(crate) fn tree(&self) -> MutexGuard<'_, LogTree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read_only(&self) -> Option<Fault> {
        self.fatal.get().map(|cause| Fault::ReadOnly {
            cause: Arc::clone(cause),
        })
    }

    /// Published events only: the engine may know of one that is not answered yet.
    pub(crate) fn read_events(
        &self,
        from: Position,
        max: usize,
    ) -> Result<Vec<(Position, Vec<u8>)>, Fault> {
        let head = self.index.load().next_position().0;
        let left = usize::try_from(head.saturating_sub(from.0)).unwrap_or(usize::MAX);
        let max = max.min(left).min(limits::READ_EVENTS);
        let events = self.engine.read(from.0, max, limits::READ_BYTES)?;
        Ok(events
            .into_iter()
            .map(|(position, bytes)| (Position(position), bytes))
            .collect())
    }
}

/// A log that is being opened: read to its head, and held against what was vouched for.
pub(crate) struct Replay<'a> {
    pub engine: &'a dyn Engine,
    pub anchors: &'a [Anchor],
    /// The directory of `admin.leaves`.
    pub data: Option<&'a Path>,
    pub snapshots: Option<&'a Snapshots>,
}

/// What a log adds up to.
#[derive(Default)]
pub(crate) struct Replayed {
    pub index: Index,
    pub tree: LogTree,
    pub leaves: Option<Leaves>,
}

/// Why a replay stopped.
enum Stop {
    Fault(Fault),
    /// The snapshot is of no use, and why.
    Snapshot(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A snapshot that another thread reads while this one comes to where it ends.
struct Loading<'scope> {
    size: u64,
    root: Hash,
    thread: ScopedJoinHandle<'scope, Result<Index, String>>,
}

impl Replay<'_> {
    /// Reads the whole log. The events that a snapshot is of are hashed like all others and not
    /// applied. `heard` is told of each step how many events are done.
    pub fn run(&self, mut heard: impl FnMut(u64)) -> Result<Replayed, Fault> {
        let head = self.engine.head()?;
        let found = self
            .snapshots
            .and_then(|snapshots| snapshots.find(self.engine.log_id(), head));
        match self.read(found, &mut heard) {
            Ok(replayed) => Ok(replayed),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Snapshot(cause)) => {
                self.snapshots
                    .inspect(|snapshots| snapshots.ignored(&cause));
                match self.read(None, &mut heard) {
                    Ok(replayed) => Ok(replayed),
                    Err(Stop::Fault(fault)) => Err(fault),
                    Err(Stop::Snapshot(_)) => Err(Fault::Closed),
                }
            }
        }
    }

    fn read(
        &self,
        snapshot: Option<snapshot::Found>,
        heard: &mut impl FnMut(u64),
    ) -> Result<Replayed, Stop> {
        std::thread::scope(|scope| {
            let mut loading = match snapshot {
                None => None,
                Some(found) => Some(Loading {
                    size: found.size,
                    root: found.root,
                    thread: std::thread::Builder::new()
                        .name("writ-snapshot".to_owned())
                        .spawn_scoped(scope, move || found.load())
                        .map_err(Fault::NoThread)?,
                }),
            };
            let mut replayed = Replayed {
                leaves: self.data.map(|data| Leaves::open(&leaves::path(data))),
                ..Replayed::default()
            };
            each_batch(self.engine, 0, |events| {
                for (position, bytes, hash) in events {
                    if let Some(loaded) = loading.take_if(|loading| loading.size == *position) {
                        self.resume(loaded, &mut replayed)?;
                    }
                    if loading.is_none() {
                        replayed.index.apply(&decode(*position, bytes)?);
                    }
                    self.hold(&mut replayed, hash)?;
                }
                heard(replayed.tree.size());
                Ok::<(), Stop>(())
            })?;
            if let Some(loaded) = loading {
                self.resume(loaded, &mut replayed)?;
            }
            let tree = &replayed.tree;
            self.anchors
                .iter()
                .filter(|anchor| anchor.size > tree.size())
                .try_for_each(|anchor| anchor.check(tree, None))?;
            Ok(replayed)
        })
    }

    /// Takes the hash of an event, and holds the log so far against what vouches for it.
    fn hold(&self, replayed: &mut Replayed, hash: &Hash) -> Result<(), Fault> {
        let Replayed { tree, leaves, .. } = replayed;
        tree.push_hash(*hash);
        if let Some(leaves) = leaves {
            leaves.compare(hash);
        }
        self.anchors
            .iter()
            .filter(|anchor| anchor.size == tree.size())
            .try_for_each(|anchor| anchor.check(tree, leaves.as_ref().and_then(Leaves::differs)))
    }

    /// Goes on with the index of a snapshot, if the log is the one that it was made of.
    fn resume(&self, loading: Loading<'_>, replayed: &mut Replayed) -> Result<(), Stop> {
        let (size, root) = (loading.size, loading.root);
        // The thread does not panic; if it did, nothing was loaded.
        let loaded = loading.thread.join();
        let loaded = loaded.unwrap_or_else(|_| Err("reading it failed".to_owned()));
        let index = loaded.map_err(Stop::Snapshot)?;
        if replayed.tree.size() != size || replayed.tree.root() != root {
            let cause = "the log does not begin with the events that it was made of";
            return Err(Stop::Snapshot(cause.to_owned()));
        }
        replayed.index = index;
        self.snapshots.inspect(|snapshots| snapshots.used(size));
        Ok(())
    }
}

fn read_decoded(
    engine: &dyn Engine,
    from: u64,
    max: usize,
) -> Result<Vec<(Hash, Recorded)>, Fault> {
    let events = engine.read(from, max, limits::READ_BYTES)?;
    events
        .iter()
        .map(|(position, bytes)| Ok((leaf_hash(bytes), decode(*position, bytes)?)))
        .collect()
}

fn decode(position: u64, bytes: &[u8]) -> Result<Recorded, Fault> {
    codec::decode(Position(position), bytes).map_err(|source| Fault::Undecodable { source })
}

/// Applies at most `max` events to an index; false when there were none.
pub(crate) fn apply_events(
    engine: &dyn Engine,
    index: &mut Index,
    max: usize,
) -> Result<bool, Fault> {
    let events = engine.read(index.next_position().0, max, limits::READ_BYTES)?;
    for (position, bytes) in &events {
        index.apply(&decode(*position, bytes)?);
    }
    Ok(!events.is_empty())
}

/// The log must be the one that its first event names.
pub(crate) fn check_log_id(engine: &dyn Engine, index: &Index) -> Result<(), Fault> {
    match index.log_id() {
        Some(id) => same_log(engine, id),
        None => Ok(()),
    }
}

fn same_log(engine: &dyn Engine, named: &str) -> Result<(), Fault> {
    let expected = engine.log_id();
    if expected.to_string() == named {
        return Ok(());
    }
    let found = LogId::parse(named).unwrap_or(LogId(0));
    Err(Fault::ForeignLog {
        path: engine.name().into(),
        found,
        expected,
    })
}

/// A command's part of a batch.
enum Outcome {
    Accepted(Vec<Recorded>),
    Repeated(Repeatable),
    Rejected(Rejection),
}

/// Decides commands and appends their events.
pub struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    on_commit: Option<Box<dyn Fn(Duration) + Send>>,
    queue: Receiver<Message>,
    leaves: LeafFile,
    /// The version that was published before. It is let go when the next is, so that as a rule it is
    /// this thread that frees it, and no reader that was about to finish a request.
    retired: Arc<Index>,
    /// The position of the next event, told to followers. Dropped with the writer: they stop.
    head: watch::Sender<u64>,
    waiting: VecDeque<(Box<Submission>, Answer)>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        on_commit: Option<Box<dyn Fn(Duration) + Send>>,
        queue: Receiver<Message>,
        leaves: LeafFile,
    ) -> (Self, watch::Receiver<u64>) {
        let (head, follower) = watch::channel(shared.index.load().next_position().0);
        let (waiting, retired) = (VecDeque::new(), shared.index.load_full());
        (
            Self {
                shared,
                clock,
                ids,
                on_commit,
                queue,
                leaves,
                retired,
                head,
                waiting,
            },
            follower,
        )
    }

    /// Serves until it is told to stop, or every handle is gone.
    pub(crate) fn run(&mut self) {
        while let Ok(message) = self.queue.recv() {
            // A panic in the rules must not look like a slow disk: it ends writing, loudly.
            let step = std::panic::AssertUnwindSafe(|| self.serve(message));
            match std::panic::catch_unwind(step) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    self.fail("the writer panicked");
                    self.drain();
                }
            }
        }
    }

    /// Does all that is queued now, on this thread, and returns. False once it was told to stop.
    pub fn step(&mut self) -> bool {
        match self.queue.try_recv() {
            Ok(message) => self.serve(message),
            Err(_) => true,
        }
    }

    /// Takes one message and those that wait behind it; false to stop.
    fn serve(&mut self, first: Message) -> bool {
        let mut next = Some(first);
        while let Some(message) = next.take().or_else(|| self.queue.try_recv().ok()) {
            match message {
                Message::Submit(submission, answer) => self.waiting.push_back((submission, answer)),
                Message::CatchUp(answer) => {
                    self.drain();
                    let result = self
                        .catch_up()
                        .map(|()| self.shared.index.load().head().unwrap_or_default());
                    let _ = answer.send(result);
                }
                Message::Stop => {
                    self.drain();
                    return false;
                }
            }
            if self.waiting.len() >= limits::BATCH_COMMANDS {
                self.drain();
            }
        }
        self.drain();
        true
    }

    /// Writes all that waits, in batches.
    fn drain(&mut self) {
        while !self.waiting.is_empty() {
            self.commit();
        }
    }

    /// Writes one batch: as many of the waiting commands as fit.
    fn commit(&mut self) {
        for _ in 0..limits::CONFLICT_RETRIES {
            if let Some(cause) = self.shared.fatal.get() {
                for (_, answer) in self.waiting.drain(..) {
                    let cause = Arc::clone(cause);
                    let _ = answer.send(Err(Fault::ReadOnly { cause }.into()));
                }
                return;
            }
            let published = self.shared.index.load_full();
            let mut index = (*published).clone();
            let (mut entries, mut outcomes, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (submission, _) in &self.waiting {
                if bytes >= limits::BATCH_BYTES {
                    break;
                }
                let before = entries.len();
                outcomes.push(self.decide(&mut index, submission, &mut entries));
                bytes += entries[before..]
                    .iter()
                    .map(|entry| entry.bytes.len())
                    .sum::<usize>();
            }
            if entries.is_empty() {
                return self.answer(outcomes, &published);
            }
            let engine = &self.shared.engine;
            let (appended, took) = timed(|| engine.append(published.next_position().0, &entries));
            match appended {
                Ok(_) => {
                    if let Some(on_commit) = &self.on_commit {
                        on_commit(took);
                    }
                    let hashes = entries.iter().map(|entry| leaf_hash(&entry.bytes));
                    let published = self.publish(index, &hashes.collect::<Vec<Hash>>());
                    return self.answer(outcomes, &published);
                }
                Err(AppendError::Conflict { .. }) => {
                    if let Err(fault) = self.catch_up() {
                        self.fail(&fault.to_string());
                    }
                }
                Err(AppendError::Fault(fault)) => self.fail(&fault.to_string()),
            }
        }
        for (_, answer) in self.waiting.drain(..) {
            let attempts = limits::CONFLICT_RETRIES;
            let _ = answer.send(Err(Fault::Contended { attempts }.into()));
        }
    }

    /// What one command means for the batch so far.
    fn decide(
        &self,
        index: &mut Index,
        submission: &Submission,
        entries: &mut Vec<Entry>,
    ) -> Outcome {
        let now = self.clock.now().max(index.last_at());
        let events = match consider(index, submission, Facts { now }) {
            Ok(Decision::Events(events)) => events,
            Ok(Decision::Repeat(before)) => return Outcome::Repeated(before),
            Err(refusal) => return Outcome::Rejected(refusal.into()),
        };
        let (before, first) = (index.clone(), entries.len());
        match self.record(index, submission, now, events, entries) {
            Ok(recorded) => Outcome::Accepted(recorded),
            Err(fault) => {
                *index = before;
                entries.truncate(first);
                Outcome::Rejected(fault.into())
            }
        }
    }

    /// Gives events their places, applies them to the private index and encodes them.
    fn record(
        &self,
        index: &mut Index,
        submission: &Submission,
        at: writ_core::Millis,
        events: Vec<Event>,
        entries: &mut Vec<Entry>,
    ) -> Result<Vec<Recorded>, Fault> {
        let of = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let mut all = Vec::with_capacity(events.len());
        for (event, sequence) in events.into_iter().zip(0..) {
            if let Event::LogCreated(created) = &event {
                same_log(&*self.shared.engine, &created.log_id)?;
            }
            let recorded = Recorded {
                position: index.next_position(),
                id: EventId(self.ids.next(at)?),
                at,
                actor: submission.actor.clone(),
                command: submission.command_id,
                sequence,
                of,
                idempotency: submission.idempotency,
                reason: submission.reason,
                correlation: submission.correlation.clone(),
                cause: submission.cause.clone(),
                event,
            };
            let bytes = codec::encode(&recorded).map_err(|error| match error {
                codec::EncodeError::TooLarge { bytes } => Fault::TooLarge {
                    bytes,
                    limit: limits::ENTRY_BYTES,
                },
                codec::EncodeError::Json(source) => {
                    Fault::io("encode", "event".as_ref())(source.into())
                }
            })?;
            let entities = recorded
                .event
                .entities()
                .iter()
                .map(ToString::to_string)
                .collect();
            entries.push(Entry { bytes, entities });
            index.apply(&recorded);
            all.push(recorded);
        }
        Ok(all)
    }

    /// Reads what other nodes appended, and publishes it.
    fn catch_up(&mut self) -> Result<(), Fault> {
        let mut index = (*self.shared.index.load_full()).clone();
        let mut hashes = Vec::new();
        loop {
            let from = index.next_position().0;
            let more = read_decoded(&*self.shared.engine, from, limits::READ_EVENTS)?;
            if more.is_empty() {
                break;
            }
            for (hash, recorded) in more {
                index.apply(&recorded);
                hashes.push(hash);
            }
        }
        check_log_id(&*self.shared.engine, &index)?;
        self.publish(index, &hashes);
        Ok(())
    }

    fn publish(&mut self, index: Index, hashes: &[Hash]) -> Arc<Index> {
        let mut tree = self.shared.tree();
        hashes.iter().for_each(|hash| tree.push_hash(*hash));
        drop(tree);
        self.leaves.add(hashes);
        let published = Arc::new(index);
        self.retired = self.shared.index.swap(Arc::clone(&published));
        self.head.send_replace(published.next_position().0);
        published
    }

    /// Answers the first commands that wait. That nobody listens any more is fine.
    fn answer(&mut self, outcomes: Vec<Outcome>, published: &Arc<Index>) {
        let answered = outcomes.len();
        for (outcome, (submission, answer)) in
            outcomes.into_iter().zip(self.waiting.drain(..answered))
        {
            let receipt = |events, repeat| Receipt {
                command: submission.command_id,
                events,
                repeat,
                index: Arc::clone(published),
            };
            let _ = answer.send(match outcome {
                Outcome::Accepted(events) => Ok(receipt(events, None)),
                Outcome::Repeated(before) => Ok(receipt(Vec::new(), Some(before))),
                Outcome::Rejected(rejection) => Err(rejection),
            });
        }
    }

    /// From here on, read-only.
    fn fail(&self, cause: &str) {
        if self.shared.fatal.set(cause.into()).is_ok() {
            tracing::error!(cause, "the log is read-only from now on: restart");
        }
    }
}
