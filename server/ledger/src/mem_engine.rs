//! The admin log in memory, for tests: it can fail and lose power at any write.
//!
//! A [`MemDisk`] is what survives; a [`MemEngine`] is one process that has it open. Several engines
//! on one disk are several nodes on one store.

use crate::engine::{self, AppendError, Engine, Entry, FORMAT};
use crate::{Fault, LogId};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong in an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The write is refused; nothing is on the disk.
    DiskFull,
    /// The write is made and the sync fails: a crash loses it.
    BeforeSync,
    /// All is durable, and the answer is an error all the same.
    AfterSync,
    /// The power fails between write and sync; the process is gone.
    PowerCutBeforeSync,
    /// The power fails after the sync, before anybody was told; the process is gone.
    PowerCutAfterSync,
}

/// A disk in memory.
#[derive(Debug)]
pub struct MemDisk {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log_id: LogId,
    format: u32,
    damaged: bool,
    events: Vec<Entry>,
    /// Events before this survive a crash.
    durable: usize,
    /// Counts power cuts: an engine opened before the last one is dead.
    epoch: u64,
    /// Appends until the planned failure, which is 0 for the next one.
    plan: Option<(u64, Failure)>,
}

impl MemDisk {
    /// An empty log.
    #[must_use]
    pub fn new(log_id: LogId) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                log_id,
                format: FORMAT,
                damaged: false,
                events: Vec::new(),
                durable: 0,
                epoch: 0,
                plan: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an append fail: the next one for `after` 0, the one after it for 1 …
    pub fn fail(&self, after: u64, failure: Failure) {
        self.state().plan = Some((after, failure));
    }

    /// Cuts the power: what was not synced is lost and every engine on this disk is dead.
    pub fn cut_power(&self) {
        self.state().cut_power();
    }

    /// Pretends that another version wrote the log.
    pub fn set_format(&self, format: u32) {
        self.state().format = format;
    }

    /// Damages the log so that it cannot be opened.
    pub fn damage(&self) {
        self.state().damaged = true;
    }

    /// Every durable event's bytes, in order.
    #[must_use]
    pub fn durable(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        state.events[..state.durable]
            .iter()
            .map(|entry| entry.bytes.clone())
            .collect()
    }
}

impl State {
    fn cut_power(&mut self) {
        self.events.truncate(self.durable);
        self.epoch += 1;
    }
}

/// One process with a [`MemDisk`] open.
#[derive(Debug)]
pub struct MemEngine {
    disk: Arc<MemDisk>,
    epoch: u64,
    log_id: LogId,
}

fn path() -> PathBuf {
    Path::new("memory").to_owned()
}

fn broken(detail: &str) -> Fault {
    Fault::io("use", Path::new("memory"))(std::io::Error::other(detail))
}

impl MemEngine {
    /// Opens the disk, as a process does after a start.
    ///
    /// # Errors
    /// When it was damaged, or has another format.
    pub fn open(disk: &Arc<MemDisk>) -> Result<Self, Fault> {
        let state = disk.state();
        if state.damaged {
            return Err(Fault::damaged(&path(), "as the test wanted"));
        }
        if state.format != FORMAT {
            let found = state.format.to_string();
            return Err(Fault::UnknownFormat {
                path: path(),
                found,
                known: FORMAT,
            });
        }
        Ok(Self {
            disk: Arc::clone(disk),
            epoch: state.epoch,
            log_id: state.log_id,
        })
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Fault> {
        let state = self.disk.state();
        if state.epoch == self.epoch {
            Ok(state)
        } else {
            Err(broken("the power is off"))
        }
    }
}

impl Engine for MemEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn head(&self) -> Result<u64, Fault> {
        Ok(self.state()?.durable as u64)
    }

    fn append(&self, expected: u64, entries: &[Entry]) -> Result<u64, AppendError> {
        engine::check(entries)?;
        let mut state = self.state()?;
        let head = state.durable as u64;
        if head != expected {
            return Err(AppendError::Conflict { head });
        }
        let failure = match state.plan.take() {
            Some((0, failure)) => Some(failure),
            Some((after, failure)) => {
                state.plan = Some((after - 1, failure));
                None
            }
            None => None,
        };
        if failure == Some(Failure::DiskFull) {
            return Err(Fault::DiskFull { path: path() }.into());
        }
        state.events.extend_from_slice(entries);
        match failure {
            Some(Failure::BeforeSync) => return Err(broken("the sync failed").into()),
            Some(Failure::PowerCutBeforeSync) => {
                state.cut_power();
                return Err(broken("the power is off").into());
            }
            _ => {}
        }
        state.durable = state.events.len();
        match failure {
            Some(Failure::AfterSync) => return Err(broken("the answer was lost").into()),
            Some(Failure::PowerCutAfterSync) => {
                state.cut_power();
                return Err(broken("the power is off").into());
            }
            _ => {}
        }
        Ok(state.durable as u64)
    }

    fn read(
        &self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let state = self.state()?;
        let from_index = usize::try_from(from).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let events = state.events[..state.durable]
            .iter()
            .skip(from_index)
            .take(max_events);
        Ok(events
            .zip(from..)
            .take_while(|(entry, position)| {
                bytes += entry.bytes.len();
                bytes <= max_bytes || *position == from
            })
            .map(|(entry, position)| (position, entry.bytes.clone()))
            .collect())
    }

    fn positions(&self, entity: &str, range: Range<u64>, max: usize) -> Result<Vec<u64>, Fault> {
        let state = self.state()?;
        let about = |position: &u64| {
            let entry = usize::try_from(*position)
                .ok()
                .and_then(|i| state.events.get(i));
            entry.is_some_and(|entry| entry.entities.iter().any(|e| e == entity))
        };
        let end = range.end.min(state.durable as u64);
        Ok((range.start..end).filter(about).take(max).collect())
    }
}
