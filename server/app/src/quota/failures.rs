//! How often somebody may fail to authenticate: counted by where they call from and whom they say
//! they are, so that nobody is kept out by the failures of others elsewhere. Over the budget nothing
//! that is presented is looked at, right or wrong, until the minute is over.

use super::Steady;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use writ_core::{ApplicationId, Millis};

/// Failures of one kind in a minute before nothing more is looked at: more than a rotation that went
/// wrong needs to be seen, and as good as nothing to whoever guesses 256 bits.
pub const FAILURES_PER_MINUTE: u32 = 30;
/// Most kinds that are told apart in a minute; of what comes after them nothing is counted.
const KINDS: usize = 16_384;
/// How long a count counts, in milliseconds.
const MINUTE: u64 = 60_000;

/// Where a call comes from: a network, and the application that is said to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// An address of IPv4, or the first half of one of IPv6: whoever has one of those has 2^64.
    network: u64,
    is_v6: bool,
    /// What is no id of an application counts as one kind.
    claimed: Option<ApplicationId>,
}

impl Origin {
    /// A call from an address in the name of an application. Nothing is kept of an id that is none.
    #[must_use]
    pub fn new(source: IpAddr, claimed: Option<ApplicationId>) -> Self {
        let (network, is_v6) = match source.to_canonical() {
            IpAddr::V4(address) => (u64::from(address.to_bits()), false),
            IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, true),
        };
        Self {
            network,
            is_v6,
            claimed,
        }
    }

    /// The network alone.
    #[must_use]
    pub fn network(self) -> Self {
        Self {
            claimed: None,
            ..self
        }
    }
}

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    kinds: HashMap<Origin, u32>,
}

impl Minute {
    fn go(&mut self, at: u64) {
        let number = at / MINUTE;
        if number > self.number {
            self.number = number;
            self.kinds.clear();
        }
    }
}

/// The failures of this minute.
#[derive(Debug, Default)]
pub struct FailureBudget {
    steady: Steady,
    minute: Mutex<Minute>,
    /// Whether there is one at all: what most requests look at.
    any: AtomicBool,
}

impl FailureBudget {
    /// Whether there is anything to check.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// For how many seconds nothing of a kind is looked at: nothing when it is.
    #[must_use]
    pub fn refuses(&self, key: Origin, now: Millis) -> Option<u64> {
        if self.is_untouched() {
            return None;
        }
        let at = self.steady.at(now);
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.go(at);
        self.any.store(!minute.kinds.is_empty(), Ordering::Relaxed);
        let over = minute
            .kinds
            .get(&key)
            .is_some_and(|count| *count >= FAILURES_PER_MINUTE);
        let end = (minute.number + 1) * MINUTE;
        over.then(|| end.saturating_sub(at).div_ceil(1_000).max(1))
    }

    /// Counts a failure.
    pub fn failed(&self, key: Origin, now: Millis) {
        let at = self.steady.at(now);
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.go(at);
        let full = minute.kinds.len() >= KINDS;
        match minute.kinds.get_mut(&key) {
            Some(count) => *count = count.saturating_add(1),
            None if full => {}
            None => drop(minute.kinds.insert(key, 1)),
        }
        self.any.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: Millis = Millis(1_772_528_400_000);

    fn key(source: &str, claimed: Option<u128>) -> Origin {
        Origin::new(source.parse().unwrap(), claimed.map(ApplicationId))
    }

    fn fails(budget: &FailureBudget, key: Origin, times: u32, now: Millis) {
        for _ in 0..times {
            assert_eq!(budget.refuses(key, now), None);
            budget.failed(key, now);
        }
    }

    #[test]
    fn only_who_fails_is_refused_and_only_until_the_minute_is_over() {
        let budget = FailureBudget::default();
        let bad = key("192.0.2.7", Some(7));
        fails(&budget, bad, FAILURES_PER_MINUTE, NOW);
        let later = Millis(NOW.0 + 1_500);
        assert_eq!(budget.refuses(bad, later), Some(59));
        for other in [
            key("192.0.2.8", Some(7)),
            key("192.0.2.7", Some(8)),
            key("192.0.2.7", None),
        ] {
            assert_eq!(budget.refuses(other, later), None);
        }
        assert!(budget.refuses(bad, Millis(NOW.0 + 59_999)).is_some());
        assert_eq!(budget.refuses(bad, Millis(NOW.0 + 60_000)), None);
        assert!(budget.is_untouched());
    }

    #[test]
    fn an_address_counts_as_its_network() {
        assert_eq!(key("2001:db8::1", None), key("2001:db8::ffff:1", None));
        assert_ne!(key("2001:db8::1", None), key("2001:db8:0:1::1", None));
        assert_eq!(key("::ffff:192.0.2.1", None), key("192.0.2.1", None));
        assert_ne!(key("0.0.0.1", None), key("::1:0:0:0:1", None));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_forgets_nor_keeps() {
        let budget = FailureBudget::default();
        let bad = key("192.0.2.7", Some(7));
        fails(&budget, bad, FAILURES_PER_MINUTE, NOW);
        let back = Millis(NOW.0 - 86_400_000);
        assert!(budget.refuses(bad, back).is_some());
        assert!(budget.refuses(bad, Millis(back.0 + 59_999)).is_some());
        assert_eq!(budget.refuses(bad, Millis(back.0 + 60_000)), None);
    }

    #[test]
    fn the_table_has_a_bound_and_who_was_there_first_stays() {
        let budget = FailureBudget::default();
        let bad = key("192.0.2.7", Some(7));
        fails(&budget, bad, FAILURES_PER_MINUTE, NOW);
        for number in 0..KINDS as u128 * 2 {
            budget.failed(key("192.0.2.9", Some(number)), NOW);
        }
        assert_eq!(budget.minute.lock().unwrap().kinds.len(), KINDS);
        assert!(budget.refuses(bad, NOW).is_some());
        let new = key("192.0.2.10", Some(1));
        for _ in 0..FAILURES_PER_MINUTE * 2 {
            budget.failed(new, NOW);
        }
        assert_eq!(budget.refuses(new, NOW), None);
    }
}
