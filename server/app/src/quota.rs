//! How many tokens applications may get: counted in memory, by application and by minute, hour and
//! day. A restart forgets the counts.
//!
//! A window slides: it is twelve slots long, and what was taken counts until its slot has left
//! entirely. So there are never more tokens than the quota in any minute, hour or day, wherever it
//! begins, and one may count for a twelfth of a window too long. Windows that begin anew at the full
//! hour would let twice as many through around it and bring back all who wait in one moment; a bucket
//! that fills again would let twice as many through in a day; a list of all moments has no bound.

mod failures;
#[cfg(test)]
mod tests;

pub use failures::{FailureBudget, Origin};

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use writ_core::{ApplicationId, Index, Millis, Quota, QuotaMode};

/// Slots of a window that have ended and still count.
const SLOTS: usize = 12;
/// The lengths of the windows, in milliseconds: a minute, an hour, a day.
const WINDOWS: [u64; 3] = [60_000, 3_600_000, 86_400_000];
/// How often it is said of one application that it is over a quota that is only watched, in
/// milliseconds.
const SAID_EVERY: u64 = 3_600_000;
/// Locks, so that applications seldom wait for each other.
const SHARDS: usize = 16;

/// A clock that never goes back and never jumps to the past: it goes on when the machine's clock was
/// set back, so that nobody waits for a day that was already over, and nothing that counts is
/// forgotten by it.
#[derive(Debug, Default)]
pub struct Steady(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    /// What the machine's clock said last.
    seen: u64,
    /// What has passed since the first look, in milliseconds.
    passed: u64,
}

impl Steady {
    /// What has passed since the first look, in milliseconds.
    pub fn at(&self, now: Millis) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen != 0 {
            state.passed += now.0.saturating_sub(state.seen);
        }
        state.seen = now.0;
        state.passed
    }
}

/// What was taken in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The slot of the moment, counted from the first look.
    slot: u64,
    /// What was taken in each of the last slots, this one among them: by its number modulo theirs.
    taken: [u32; SLOTS + 1],
}

impl Window {
    fn slot_ms(length: u64) -> u64 {
        length / SLOTS as u64
    }

    fn go(&mut self, at: u64, length: u64) {
        let slot = at / Self::slot_ms(length);
        let passed = slot.saturating_sub(self.slot).min(SLOTS as u64 + 1);
        for ago in 0..passed {
            self.taken[place(slot - ago)] = 0;
        }
        self.slot = self.slot.max(slot);
    }

    fn count(&self) -> u64 {
        self.taken.iter().map(|taken| u64::from(*taken)).sum()
    }

    /// How long until one more is within a limit, in milliseconds: nothing when it is.
    fn wait(&self, limit: u32, at: u64, length: u64) -> Option<u64> {
        let mut count = self.count();
        if count < u64::from(limit) {
            return None;
        }
        let oldest = self.slot.saturating_sub(SLOTS as u64);
        for slot in oldest..=self.slot {
            count -= u64::from(self.taken[place(slot)]);
            if count < u64::from(limit) {
                let gone = (slot + SLOTS as u64 + 1) * Self::slot_ms(length);
                return Some(gone - at);
            }
        }
        // A limit of nothing.
        Some(length)
    }
}

fn place(slot: u64) -> usize {
    (slot % (SLOTS as u64 + 1)) as usize
}

/// What one application has taken.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    windows: [Window; 3],
    /// When it was last said that it is over what is only watched.
    said: Option<u64>,
}

impl Taken {
    fn go(&mut self, at: u64) {
        for (window, length) in self.windows.iter_mut().zip(WINDOWS) {
            window.go(at, length);
        }
    }

    /// How long until one more is within all limits, in milliseconds.
    fn wait(&self, quota: &Quota, at: u64) -> Option<u64> {
        let limits = [quota.per_minute, quota.per_hour, quota.per_day];
        let windows = self.windows.iter().zip(WINDOWS).zip(limits);
        let waits = windows.filter_map(|((window, length), limit)| window.wait(limit?, at, length));
        waits.max()
    }

    fn add(&mut self) {
        for window in &mut self.windows {
            let taken = &mut window.taken[place(window.slot)];
            *taken = taken.saturating_add(1);
        }
    }

    /// Gives back one that was taken in these slots, where they still count.
    fn give_back(&mut self, slots: [u64; 3]) {
        for (window, slot) in self.windows.iter_mut().zip(slots) {
            if window.slot.saturating_sub(slot) <= SLOTS as u64 {
                let taken = &mut window.taken[place(slot)];
                *taken = taken.saturating_sub(1);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.windows.iter().all(|window| window.count() == 0)
    }
}

/// What came of asking for one token.
#[derive(Debug)]
pub enum Asked<'q> {
    /// It is within the quota.
    Within(Reservation<'q>),
    /// It is over a quota that is only watched: `say` is true once an hour.
    Watched {
        /// The token counts all the same.
        reservation: Reservation<'q>,
        /// Whether it is time to say so.
        say: bool,
    },
    /// There is none now.
    UsedUp {
        /// After so many seconds there is one, if nobody takes it first.
        retry_after_seconds: u64,
    },
}

/// One token that counts: given back when this is dropped and not kept.
#[derive(Debug)]
#[must_use = "what is dropped is given back"]
pub struct Reservation<'q> {
    quotas: &'q Quotas,
    application: ApplicationId,
    slots: [u64; 3],
    kept: bool,
}

impl Reservation<'_> {
    /// There is a token for it.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut shard = self.quotas.shard(self.application);
        if let Some(taken) = shard.get_mut(&self.application) {
            taken.give_back(self.slots);
        }
    }
}

type Shard = HashMap<ApplicationId, Taken>;

/// What applications have taken. Only those that exist and have a quota are in it, so that it is as
/// large as their part of the index at most.
#[derive(Debug, Default)]
pub struct Quotas {
    steady: Steady,
    shards: [Mutex<Shard>; SHARDS],
}

impl Quotas {
    fn shard(&self, id: ApplicationId) -> MutexGuard<'_, Shard> {
        // The last bits of an id are random.
        let shard = (id.0 % SHARDS as u128) as usize;
        let shard = self.shards[shard].lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one token of an application. All windows are looked at before it counts in any.
    pub fn ask(&self, application: ApplicationId, quota: &Quota, now: Millis) -> Asked<'_> {
        let at = self.steady.at(now);
        let mut shard = self.shard(application);
        let taken = shard.entry(application).or_default();
        // Where another thread has looked at the clock later and been here earlier, this stays.
        taken.go(at);
        let wait = taken.wait(quota, at);
        if let (Some(wait), QuotaMode::Enforce) = (wait, quota.mode) {
            let retry_after_seconds = wait.div_ceil(1_000).max(1);
            return Asked::UsedUp {
                retry_after_seconds,
            };
        }
        taken.add();
        let reservation = Reservation {
            quotas: self,
            application,
            slots: taken.windows.map(|window| window.slot),
            kept: false,
        };
        if wait.is_none() {
            return Asked::Within(reservation);
        }
        let due = |said: u64| at.saturating_sub(said) >= SAID_EVERY;
        let say = taken.said.is_none_or(due);
        if say {
            taken.said = Some(at);
        }
        Asked::Watched { reservation, say }
    }

    /// Forgets those that have taken nothing for a day, and those that are gone or have no quota any
    /// more.
    pub fn tidy(&self, index: &Index, now: Millis) {
        let at = self.steady.at(now);
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|id, taken| {
                taken.go(at);
                let application = index.application(*id);
                let limited = application.is_some_and(|application| application.quota().is_some());
                limited && !taken.is_idle()
            });
            // What was needed once is not kept for ever.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    /// How many applications are counted.
    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.iter();
        let lengths = shards.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).len());
        lengths.sum()
    }
}
