//! The admin log as the rest of Writ sees it: ask for a change, read the index, follow the log.
//!
//! [`Ledger`] is the handle; the one place that writes is in `writer.rs`.

use crate::checkpoint::Anchor;
use crate::disk::DataDir;
use crate::leaves::{LeafFile, Leaves};
use crate::merkle::{Hash, LogTree, ProofError, leaf_hash};
use crate::snapshot::Snapshots;
use crate::writer::{self, Message, Replayed, Shared, Writer};
use crate::{Clock, Engine, Fault, Ids, LogId, RedbEngine, limits};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use writ_core::{
    CommandId, Entity, Index, Millis, Position, Recorded, Refusal, Repeatable, Submission, codec,
};

/// Which engine keeps the admin log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// redb, the default.
    #[default]
    Redb,
    /// sled 0.34, with durability made by its adapter.
    #[cfg(feature = "sled")]
    Sled,
}

impl EngineKind {
    /// The file or directory it keeps in the data directory.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Redb => "admin.redb",
            #[cfg(feature = "sled")]
            Self::Sled => "admin.sled",
        }
    }
}

/// Opens the admin log of a data directory; with `new`, makes one with that identity where none
/// is.
///
/// # Errors
/// [`Fault::NotADataDirectory`] when there is no log and none is to be made; [`Fault::Exists`]
/// when the log is one of another engine; else as the engine's `open`.
pub fn open_engine(
    data: &DataDir,
    kind: EngineKind,
    new: Option<LogId>,
) -> Result<Arc<dyn Engine>, Fault> {
    let path = data.join(kind.file_name());
    if !path.exists() {
        let Some(log_id) = new else {
            return Err(Fault::NotADataDirectory {
                path: data.path().to_owned(),
            });
        };
        for other in ["admin.redb", "admin.sled"].map(|name| data.join(name)) {
            if other.exists() {
                return Err(Fault::Exists { path: other });
            }
        }
        return Ok(match kind {
            EngineKind::Redb => Arc::new(RedbEngine::create(&path, log_id)?),
            #[cfg(feature = "sled")]
            EngineKind::Sled => Arc::new(crate::SledEngine::create(&path, log_id)?),
        });
    }
    Ok(match kind {
        EngineKind::Redb => Arc::new(RedbEngine::open(&path)?),
        #[cfg(feature = "sled")]
        EngineKind::Sled => Arc::new(crate::SledEngine::open(&path)?),
    })
}

/// Applies the events of a log to an index, from where it is until the event at `position` is its
/// last. One that is further already stays as it is.
///
/// # Errors
/// When the log cannot be read, or ends before.
pub fn replay_to(engine: &dyn Engine, index: &mut Index, position: Position) -> Result<(), Fault> {
    let wanted = position.0.saturating_add(1);
    while index.next_position().0 < wanted {
        let next = index.next_position();
        let max = usize::try_from(wanted - next.0).unwrap_or(usize::MAX);
        if !writer::apply_events(engine, index, max.min(limits::READ_EVENTS))? {
            return Err(Fault::Gap {
                path: engine.name().into(),
                expected: next.0,
                found: wanted,
            });
        }
    }
    Ok(())
}

/// Applies all events of a log to an index, from where it is, on this thread. `heard` is told of each
/// step.
///
/// # Errors
/// When the log cannot be read.
pub fn replay(
    engine: &dyn Engine,
    index: &mut Index,
    mut heard: impl FnMut(&Index),
) -> Result<(), Fault> {
    while writer::apply_events(engine, index, limits::REPLAY_EVENTS)? {
        heard(index);
    }
    Ok(())
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events applied.
    pub done: u64,
    /// Events in the log when it began.
    pub total: u64,
}

/// What a ledger is made of.
pub struct LedgerConfig {
    /// Keeps the log.
    pub engine: Arc<dyn Engine>,
    /// Tells the time of events.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids of events.
    pub ids: Arc<dyn Ids>,
    /// Where `admin.leaves` is kept, which tells what changed when something did.
    pub data: Option<PathBuf>,
    /// What was vouched for: the log must begin with these. Else it is not opened.
    pub anchors: Vec<Anchor>,
    /// Where the index may be read from, instead of being made of every event.
    pub snapshots: Option<Arc<Snapshots>>,
    /// Hears of a long replay, every [`limits::PROGRESS_EVERY`] events and at its end.
    pub progress: Option<Box<dyn FnMut(Progress)>>,
    /// Hears how long each append took until it was durable, on the writer's thread and before the
    /// answers, so it must be quick. For metrics.
    pub on_commit: Option<Box<dyn Fn(Duration) + Send>>,
}

impl fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerConfig")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// A command that was accepted. What it did is durable and published.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The command.
    pub command: CommandId,
    /// What it recorded. Empty when nothing had to change, or when it was done before.
    pub events: Vec<Recorded>,
    /// The command was done before: this is what it was.
    pub repeat: Option<Repeatable>,
    /// The published index that has it: what an answer is read from.
    pub index: Arc<Index>,
}

impl Receipt {
    /// The position of its last event; of the head, when it recorded nothing.
    #[must_use]
    pub fn position(&self) -> Position {
        match (&self.repeat, self.events.last()) {
            (Some(before), _) => before.last,
            (None, Some(last)) => last.position,
            (None, None) => self.index.head().unwrap_or_default(),
        }
    }
}

/// Why a command has no receipt.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The rules say no. Nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk, or this program, cannot. Whether the change is in the log is known only after a
    /// restart when the fault is [`Fault::ReadOnly`]; after any other, nothing changed.
    #[error(transparent)]
    Unavailable(#[from] Fault),
}

/// The answer to a command that was handed to the writer. Dropping it does not call the command
/// back.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Receipt, Rejection>>);

impl Pending {
    /// Waits on this thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// As [`Ledger::execute`].
    pub fn wait(self) -> Result<Receipt, Rejection> {
        self.0
            .blocking_recv()
            .unwrap_or(Err(Rejection::Unavailable(Fault::Closed)))
    }
}

impl Future for Pending {
    type Output = Result<Receipt, Rejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Rejection::Unavailable(Fault::Closed))))
    }
}

/// The admin log, open.
pub struct Ledger {
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    head: watch::Receiver<u64>,
    /// The last few past versions, and the leave to replay: one replay at a time.
    past: Mutex<Vec<Arc<Index>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("engine", &self.shared.engine)
            .field("head", &*self.head.borrow())
            .field("healthy", &self.is_healthy())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Replays the log and starts the writer.
    ///
    /// # Errors
    /// When the log cannot be read, or holds an event that this version does not understand.
    pub fn open(config: LedgerConfig) -> Result<Self, Fault> {
        let (ledger, mut writer) = Self::open_stepped(config)?;
        let thread = std::thread::Builder::new()
            .name("writ-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(Fault::NoThread)?;
        *ledger.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(ledger)
    }

    /// Replays the log and hands out the writer, to be driven by [`Writer::step`] on the caller's
    /// own thread: for simulations in which one seed gives one log.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_stepped(config: LedgerConfig) -> Result<(Self, Writer), Fault> {
        let LedgerConfig {
            engine,
            clock,
            ids,
            data,
            anchors,
            snapshots,
            mut progress,
            on_commit,
        } = config;
        let total = engine.head()?;
        let mut reported = 0;
        let replay = writer::Replay {
            engine: &*engine,
            anchors: &anchors,
            data: data.as_deref(),
            snapshots: snapshots.as_deref(),
        };
        let Replayed {
            index,
            tree,
            leaves,
        } = replay.run(|done| {
            if let Some(progress) = &mut progress
                && (done - reported >= limits::PROGRESS_EVERY || done >= total)
            {
                reported = done;
                progress(Progress { done, total });
            }
        })?;
        writer::check_log_id(&*engine, &index)?;
        let (shared, queue, receiver) = Shared::new(engine, index, tree);
        let leaves = leaves.map_or_else(LeafFile::none, Leaves::into_file);
        let shared_too = Arc::clone(&shared);
        let (writer, head) = Writer::new(shared_too, clock, ids, on_commit, receiver, leaves);
        let (past, thread) = (Mutex::default(), Mutex::default());
        Ok((
            Self {
                shared,
                queue,
                head,
                past,
                thread,
            },
            writer,
        ))
    }

    /// The published index: what every reader decides on. Never blocks; keep the guard for the
    /// length of one request, not longer.
    pub fn index(&self) -> arc_swap::Guard<Arc<Index>> {
        self.shared.index.load()
    }

    /// The published index, to keep.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Index> {
        self.shared.index.load_full()
    }

    /// The identity of the log: what `Command::Initialize` must name, as text.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.shared.engine.log_id()
    }

    /// The name of the engine.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        self.shared.engine.name()
    }

    /// Whether changes can be made. Once false, only a restart helps.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.shared.fatal.get().is_none()
    }

    /// What made the log read-only.
    #[must_use]
    pub fn fatal_cause(&self) -> Option<Arc<str>> {
        self.shared.fatal.get().cloned()
    }

    /// How many events are durable, and their root (RFC 6962 §2.1): what a checkpoint says.
    #[must_use]
    pub fn tree_head(&self) -> (u64, Hash) {
        let tree = self.shared.tree();
        (tree.size(), tree.root())
    }

    /// The root of the first `size` events. Reads at most [`crate::merkle::TILE`] of them.
    ///
    /// # Errors
    /// When there are not so many, or the log cannot be read.
    pub fn root_at(&self, size: u64) -> Result<Hash, ProofError<Fault>> {
        self.proving().root_at(size, |range| self.leaves(range))
    }

    /// The audit path of an event in the tree of the first `size` (RFC 6962 §2.1.1).
    ///
    /// # Errors
    /// When it is not among these, or the log cannot be read.
    pub fn inclusion(&self, event: Position, size: u64) -> Result<Vec<Hash>, ProofError<Fault>> {
        let tree = self.proving();
        tree.inclusion(event.0, size, |range| self.leaves(range))
    }

    /// The proof that the first `new` events begin with the first `old` (RFC 6962 §2.1.2).
    ///
    /// # Errors
    /// When there are not so many, or the log cannot be read.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ProofError<Fault>> {
        let tree = self.proving();
        tree.consistency(old, new, |range| self.leaves(range))
    }

    /// A copy, so that the writer does not wait for a proof.
    fn proving(&self) -> LogTree {
        self.shared.tree().clone()
    }

    /// The hashes of a range of events.
    fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, Fault> {
        let mut hashes = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let left = usize::try_from(range.end - next).unwrap_or(usize::MAX);
            let events = self.shared.engine.read(next, left, limits::READ_BYTES)?;
            if events.is_empty() {
                return Err(Fault::Gap {
                    path: self.engine_name().into(),
                    expected: next,
                    found: self.shared.engine.head()?,
                });
            }
            next += events.len() as u64;
            hashes.extend(events.iter().map(|(_, bytes)| leaf_hash(bytes)));
        }
        Ok(hashes)
    }

    /// Hands a command to the writer. It is queued when this returns; await the answer, or
    /// [`Pending::wait`] for it.
    pub fn execute(&self, submission: Submission) -> Pending {
        let (answer, pending) = oneshot::channel();
        self.send(Message::Submit(Box::new(submission), answer));
        Pending(pending)
    }

    /// Reads what other nodes appended, and publishes it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn catch_up(&self) -> Result<Position, Fault> {
        let (answer, pending) = oneshot::channel();
        self.send(Message::CatchUp(answer));
        pending.await.unwrap_or(Err(Fault::Closed))
    }

    fn send(&self, message: Message) {
        let (message, fault) = match (self.shared.read_only(), self.queue.try_send(message)) {
            // The writer answers that it is read-only; or has done so already.
            (_, Ok(())) => return,
            (Some(fault), Err(TrySendError::Full(message))) => (message, fault),
            (None, Err(TrySendError::Full(message))) => (
                message,
                Fault::Overloaded {
                    queued: limits::QUEUED_COMMANDS,
                },
            ),
            (_, Err(TrySendError::Disconnected(message))) => (message, Fault::Closed),
        };
        message.reject(fault);
    }

    /// Stored events from a position on: at most `max`, less when they are large. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read_events(
        &self,
        from: Position,
        max: usize,
    ) -> Result<Vec<(Position, Vec<u8>)>, Fault> {
        self.shared.read_events(from, max)
    }

    /// The positions of the events about an entity, in a range.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn positions(
        &self,
        entity: &Entity,
        range: Range<Position>,
        max: usize,
    ) -> Result<Vec<Position>, Fault> {
        let end = range.end.0.min(self.index().next_position().0);
        let found = self
            .shared
            .engine
            .positions(&entity.to_string(), range.start.0..end, max)?;
        Ok(found.into_iter().map(Position).collect())
    }

    /// The events about an entity, in a range: its history. Blocks on the disk.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn history(
        &self,
        entity: &Entity,
        range: Range<Position>,
        max: usize,
    ) -> Result<Vec<Recorded>, Fault> {
        let positions = self.positions(entity, range, max)?;
        positions
            .into_iter()
            .map(|position| self.event(position))
            .collect()
    }

    /// The event at a position below the head.
    fn event(&self, position: Position) -> Result<Recorded, Fault> {
        let found = self.shared.engine.read(position.0, 1, usize::MAX)?;
        let Some((_, bytes)) = found.first() else {
            let (expected, found) = (position.0, self.shared.engine.head()?);
            return Err(Fault::Gap {
                path: self.engine_name().into(),
                expected,
                found,
            });
        };
        codec::decode(position, bytes).map_err(|source| Fault::Undecodable { source })
    }

    /// The live tail: events from a position on, then those to come.
    #[must_use]
    pub fn follow(&self, from: Position) -> Follower {
        Follower {
            shared: Arc::clone(&self.shared),
            head: self.head.clone(),
            next: from,
        }
    }

    /// The index as it was when the event at `position` was its last; `None` when there is no such
    /// event yet.
    ///
    /// This blocks: call it where blocking is allowed, and let only a few calls in at a time, for
    /// past versions are replayed one after another and the others wait on their threads. A replay
    /// reads and applies every event since the nearest older version at hand, or since the first:
    /// about 3 µs each. The last [`limits::PAST_KEPT`] versions are kept, that in the making
    /// included; they share what is equal with one another but nothing with the published index, so
    /// each costs at most the memory of one index.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn index_as_of(&self, position: Position) -> Result<Option<Arc<Index>>, Fault> {
        let published = self.snapshot();
        let wanted = position.0.saturating_add(1);
        if wanted >= published.next_position().0 {
            return Ok((wanted == published.next_position().0).then_some(published));
        }
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = past
            .iter()
            .enumerate()
            .filter(|(_, index)| index.next_position().0 <= wanted)
            .max_by_key(|(_, index)| index.next_position());
        let (found, mut index) = match nearest {
            Some((at, index)) => (Some(at), Arc::clone(index)),
            None => (None, Arc::default()),
        };
        if index.next_position().0 == wanted {
            // The one used last is forgotten last.
            if let Some(at) = found {
                past[at..].rotate_left(1);
            }
            return Ok(Some(index));
        }
        // Room is made first: no more are ever held, not even during the replay.
        if past.len() >= limits::PAST_KEPT {
            past.remove(0);
        }
        let replayed = Arc::make_mut(&mut index);
        replay_to(&*self.shared.engine, replayed, position)?;
        past.push(Arc::clone(&index));
        Ok(Some(index))
    }

    /// The last position whose event is not later than `time`: what a moment means in the log.
    /// `None` before the first event. Blocks on the disk.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn position_at(&self, time: Millis) -> Result<Option<Position>, Fault> {
        let (mut low, mut high) = (0, self.index().next_position().0);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.event(Position(middle))?.at <= time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1).map(Position))
    }

    /// Waits until the published index has the event at a position (`Writ-Min-Position`).
    ///
    /// # Errors
    /// [`Fault::Closed`] when the server stops first.
    pub async fn wait_for(&self, position: Position) -> Result<(), Fault> {
        let mut head = self.head.clone();
        let reached = head.wait_for(|next| *next > position.0).await;
        reached.map(drop).map_err(|_| Fault::Closed)
    }

    /// Writes what is queued, then stops the writer; later commands are answered [`Fault::Closed`].
    /// Blocks until it is done. Reading goes on.
    pub fn close(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // An error means that the writer is gone already.
            let _ = self.queue.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads the log to its head, then waits for more.
pub struct Follower {
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
    next: Position,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// The next events, at least one: waits for it. Each event comes once, in order, and only when
    /// it is published. Safe to cancel.
    ///
    /// # Errors
    /// [`Fault::Closed`] when the server stops; or when the log cannot be read.
    pub async fn next(&mut self) -> Result<Vec<(Position, Vec<u8>)>, Fault> {
        let next = self.next.0;
        self.head
            .wait_for(|head| *head > next)
            .await
            .map_err(|_| Fault::Closed)?;
        let events = self.shared.read_events(self.next, limits::READ_EVENTS)?;
        if let Some((last, _)) = events.last() {
            self.next = Position(last.0 + 1);
        }
        Ok(events)
    }
}
