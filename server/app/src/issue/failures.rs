//! How often, and why, somebody did not prove who they are: counted in memory by the minute, and
//! written to the log of failures by the maintenance. Never one by one, so that strangers fill
//! neither memory nor disk, and never on the path of a request.
//!
//! Of what was presented nothing is kept: a `client_id` that is none of ours may be a secret in the
//! wrong place. Nothing is decided by these counts either: a right credential is taken however many
//! wrong ones came before it.

use super::authenticate::{AuthenticationFailure, FailureReason};
use crate::app::App;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use writ_core::{ApplicationId, Millis};
use writ_ledger::{FailureRow, Fault};

/// The length of a window, in milliseconds.
const WINDOW: u64 = 60_000;
/// Most kinds with an address that are told apart until they are written.
const ADDRESSED: usize = 256;
/// Most kinds without one. These only applications that exist can be many of.
const PLAIN: usize = 256;
/// How often readers can have what was counted written before its window is over, in milliseconds:
/// whoever asks sees what happens now, and does not fill the log by asking.
const EARLY_EVERY: u64 = 10_000;

/// Failures that were counted and not written yet.
#[derive(Debug)]
pub struct Failures {
    counts: Mutex<Counts>,
    early_at: AtomicU64,
}

#[derive(Debug)]
struct Counts {
    kinds: HashMap<Kind, Count>,
    /// How many kinds have an address.
    addressed: usize,
    /// What is of none of these kinds, by reason, with the window of the first.
    others: [Option<(u64, Count)>; FailureReason::ALL.len()],
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    window: u64,
    reason: FailureReason,
    application: Option<ApplicationId>,
    address: Option<IpAddr>,
    /// The address is left out because there were too many.
    mixed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    count: u64,
    first: Millis,
    last: Millis,
}

impl Count {
    fn one(now: Millis) -> Self {
        Self {
            count: 1,
            first: now,
            last: now,
        }
    }

    fn add(&mut self, now: Millis) {
        self.count += 1;
        self.first = self.first.min(now);
        self.last = self.last.max(now);
    }
}

impl Default for Failures {
    fn default() -> Self {
        let counts = Counts {
            // All the room that is ever needed: no request waits for memory.
            kinds: HashMap::with_capacity(ADDRESSED + PLAIN),
            addressed: 0,
            others: Default::default(),
        };
        Self {
            counts: Mutex::new(counts),
            early_at: AtomicU64::new(0),
        }
    }
}

impl Failures {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failure: a lock and three look-ups at most, in a table that does not grow, whatever
    /// the failure. The work depends on how many kinds there are, not on which kind it is.
    pub(super) fn count(
        &self,
        failure: &AuthenticationFailure,
        address: Option<IpAddr>,
        now: Millis,
    ) {
        let window = now.0 - now.0 % WINDOW;
        let kind = Kind {
            window,
            reason: failure.reason,
            application: failure.application,
            address,
            mixed: false,
        };
        let without_address = Kind {
            address: None,
            mixed: address.is_some(),
            ..kind
        };
        let mut counts = self.counts();
        if counts.counted(kind, now) || counts.counted(without_address, now) {
            return;
        }
        match &mut counts.others[failure.reason as usize] {
            Some((_, count)) => count.add(now),
            other @ None => *other = Some((window, Count::one(now))),
        }
    }

    /// Takes what was counted: of windows that are over, or all.
    fn take(&self, all: bool, now: Millis) -> Vec<FailureRow> {
        // Not `<`: after the clock was set back, a later window is over too.
        let over = |window: u64| all || window != now.0 - now.0 % WINDOW;
        let mut counts = self.counts();
        let kinds = counts.kinds.extract_if(|kind, _| over(kind.window));
        let mut taken: Vec<(Kind, Count)> = kinds.collect();
        counts.addressed = counts.kinds.keys().filter(|k| k.address.is_some()).count();
        for reason in FailureReason::ALL.iter().copied() {
            let other = &mut counts.others[reason as usize];
            if let Some((window, count)) = other.take_if(|(window, _)| over(*window)) {
                let kind = Kind {
                    window,
                    reason,
                    application: None,
                    address: None,
                    mixed: true,
                };
                taken.push((kind, count));
            }
        }
        drop(counts);
        taken.sort_by_key(|(kind, count)| (kind.window, count.first, kind.reason.as_str()));
        taken.into_iter().map(row).collect()
    }

    /// Whether a reader may have written now what is counted so far.
    fn may_be_early(&self, now: Millis) -> bool {
        let last = self.early_at.load(Ordering::Relaxed);
        let due = now.0 < last || now.0 - last >= EARLY_EVERY;
        // One of several readers does it.
        let claim = |order| self.early_at.compare_exchange(last, now.0, order, order);
        due && claim(Ordering::Relaxed).is_ok()
    }
}

impl Counts {
    /// Counts a kind that is there already, or for which there is room.
    fn counted(&mut self, kind: Kind, now: Millis) -> bool {
        if let Some(count) = self.kinds.get_mut(&kind) {
            count.add(now);
            return true;
        }
        let addressed = kind.address.is_some();
        let room = match addressed {
            true => self.addressed < ADDRESSED,
            false => self.kinds.len() - self.addressed < PLAIN,
        };
        if room {
            self.kinds.insert(kind, Count::one(now));
            self.addressed += usize::from(addressed);
        }
        room
    }
}

fn row((kind, count): (Kind, Count)) -> FailureRow {
    FailureRow {
        window: Millis(kind.window),
        reason: kind.reason.as_str().into(),
        application: kind.application,
        address: kind.address.map(|address| address.to_string().into()),
        mixed: kind.mixed,
        count: count.count,
        first: count.first,
        last: count.last,
    }
}

/// Which failures are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Those of windows that are over: in the course of things.
    Over,
    /// All, if a reader may have them early now.
    Early,
    /// All: the server is stopping.
    All,
}

/// Writes what was counted to the log of failures. Blocks on the disk.
///
/// # Errors
/// When they could not be written: they are lost.
pub fn write(app: &App, which: Written) -> Result<(), Fault> {
    let now = app.now();
    // What is left of a nearly full disk is for the admin log; what was counted waits in memory.
    if app.issuances.has_space().is_err()
        || which == Written::Early && !app.failures.may_be_early(now)
    {
        return Ok(());
    }
    let rows = app.failures.take(which != Written::Over, now);
    let days = app.index().settings().issuance_retention_days;
    let keep_from = Millis(now.0.saturating_sub(u64::from(days) * 86_400_000));
    if rows.is_empty() && which != Written::Over {
        return Ok(());
    }
    app.failure_log.append(&rows, now, keep_from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const NOW: Millis = Millis(1_772_528_400_000);

    fn failure(reason: FailureReason, application: Option<u128>) -> AuthenticationFailure {
        AuthenticationFailure {
            reason,
            application: application.map(ApplicationId),
        }
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn a_kind_is_a_row_of_its_window() {
        let failures = Failures::default();
        let wrong = failure(FailureReason::WrongSecret, Some(7));
        for (who, from, at) in [
            (&wrong, address(1), 5),
            (&wrong, address(1), 3),
            (&wrong, address(2), 9),
            (&wrong, None, 11),
            (
                &failure(FailureReason::UnknownApplication, None),
                address(1),
                12,
            ),
            (&wrong, address(1), WINDOW),
        ] {
            failures.count(who, from, Millis(NOW.0 + at));
        }
        let later = Millis(NOW.0 + WINDOW + 1);
        let rows = failures.take(false, later);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    &*row.reason,
                    row.address.as_deref(),
                    row.count,
                    row.first.0 - NOW.0,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("wrong_secret", Some("0.0.0.1"), 2, 3),
                ("wrong_secret", Some("0.0.0.2"), 1, 9),
                ("wrong_secret", None, 1, 11),
                ("unknown_application", Some("0.0.0.1"), 1, 12),
            ]
        );
        assert!(rows.iter().all(|row| row.window == NOW && !row.mixed));
        assert_eq!(rows[0].last, Millis(NOW.0 + 5));
        assert_eq!(failures.take(false, later), []);
        assert_eq!(failures.take(true, later).len(), 1);
    }

    #[test]
    fn many_addresses_are_mixed_and_the_application_is_still_known() {
        let failures = Failures::default();
        for n in 0..ADDRESSED as u32 * 2 {
            failures.count(
                &failure(FailureReason::UnknownApplication, None),
                address(n),
                NOW,
            );
        }
        failures.count(
            &failure(FailureReason::WrongSecret, Some(7)),
            address(1),
            NOW,
        );
        let rows = failures.take(true, NOW);
        assert_eq!(rows.len(), ADDRESSED + 2);
        let mixed: Vec<_> = rows.iter().filter(|row| row.mixed).collect();
        let of = |reason: &str| mixed.iter().find(|row| &*row.reason == reason);
        assert_eq!(of("unknown_application").map(|row| row.count), Some(256));
        let wrong = of("wrong_secret").map(|row| (row.count, row.application));
        assert_eq!(wrong, Some((1, Some(ApplicationId(7)))));
    }

    #[test]
    fn readers_get_theirs_early_now_and_then() {
        let failures = Failures::default();
        let early = |after: u64| failures.may_be_early(Millis(NOW.0 + after));
        assert!(early(0) && !early(1) && !early(9_999) && early(10_000) && !early(10_001));
        assert!(failures.may_be_early(Millis(5)), "the clock was set back");
    }

    proptest! {
        /// Nothing is lost or counted twice, and there is a bound, whatever comes.
        #[test]
        fn every_failure_is_in_one_row(
            all in prop::collection::vec(
                (0usize..4, prop::option::of(0u128..600), prop::option::of(0u32..600), 0u64..200_000),
                0..3_000,
            ),
        ) {
            let failures = Failures::default();
            for (reason, application, from, at) in &all {
                let who = failure(FailureReason::ALL[*reason], *application);
                failures.count(&who, from.and_then(address), Millis(NOW.0 + at));
            }
            let capacity = failures.counts().kinds.capacity();
            let rows = [failures.take(false, NOW), failures.take(true, NOW)].concat();
            prop_assert!(rows.len() <= ADDRESSED + PLAIN + FailureReason::ALL.len());
            prop_assert_eq!(capacity, Failures::default().counts().kinds.capacity());
            for reason in FailureReason::ALL.iter().copied() {
                let counted = rows.iter().filter(|row| &*row.reason == reason.as_str());
                let came = all.iter().filter(|(n, ..)| FailureReason::ALL[*n] == reason);
                prop_assert_eq!(counted.map(|row| row.count).sum::<u64>(), came.count() as u64);
            }
            prop_assert!(rows.iter().all(|row| row.first <= row.last && row.count > 0));
        }
    }
}
