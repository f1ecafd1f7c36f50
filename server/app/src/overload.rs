//! More requests than a worker can serve.
//!
//! Nothing is limited by number: how many a worker can serve depends on what they ask for. What is
//! measured is how late it is: what requests have taken since something which was due has not had its
//! turn. A request that comes now waits as long. While that is below [`PATIENCE`] all are served,
//! however many connections there are: they wait in their sockets, which costs nothing. Above it
//! requests are refused by 503 (RFC 9110 §15.6.4) before anything costs time, and whose: those of who
//! asks more than others do. First networks are compared, then the applications that are said to call
//! from there, so that whoever floods is refused, and not whoever is in the flood; in the names of how
//! many applications a network calls makes it no smaller. The later the worker is, the smaller is the
//! share that is still served, down to nothing.
//!
//! Each worker is a thread with a gate of its own: no request waits for another one here.

use crate::clock::Stopwatch;
use crate::quota::Origin;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long requests may wait for their turn before some are refused.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// When it is so late everything is refused that can wait, before it is read.
const TOO_LATE: Duration = Duration::from_millis(400);
/// From when it is counted who asks, so that it is known when it matters.
const PRESSED: Duration = Duration::from_millis(25);
/// How often it is measured how late a worker is.
const EVERY: Duration = Duration::from_millis(50);
/// The most that counts of the time between two requests: where it is more, the machine stood still,
/// and nobody asked too much.
const STEP: Duration = Duration::from_millis(10);
/// Counters. Who shares one with somebody else shares what is served.
const COUNTERS: usize = 1024;
/// One request, in the unit of counters: they are halved often, and one must not be lost at once.
const ONE: u32 = 256;

/// Who asked how often lately.
struct Shares {
    counts: Box<[u32; COUNTERS]>,
    total: u64,
    kinds: u32,
    /// Nobody outside can know who shares a counter with whom.
    hasher: RandomState,
}

impl Shares {
    fn new() -> Self {
        Self {
            counts: Box::new([0; COUNTERS]),
            total: 0,
            kinds: 0,
            hasher: RandomState::new(),
        }
    }

    /// Counts one, and says whether that kind has more of all than `part` of an equal share.
    fn exceeds(&mut self, kind: Origin, part: f64) -> bool {
        let at = self.hasher.hash_one(kind) as usize % COUNTERS;
        let count = &mut self.counts[at];
        self.kinds += u32::from(*count == 0);
        *count = count.saturating_add(ONE);
        self.total += u64::from(ONE);
        let equal = self.total as f64 / f64::from(self.kinds);
        f64::from(*count) >= equal * part
    }

    /// What was counts half.
    fn fade(&mut self) {
        (self.total, self.kinds) = (0, 0);
        for count in self.counts.iter_mut() {
            *count /= 2;
            self.total += u64::from(*count);
            self.kinds += u32::from(*count != 0);
        }
    }
}

/// Who is let in by one worker.
struct Gate {
    networks: Shares,
    origins: Shares,
    /// Since the last request, or since what was due had its turn.
    last: Stopwatch,
    /// What requests have taken since that had its turn.
    busy: Duration,
}

impl Gate {
    fn new() -> Self {
        Self {
            networks: Shares::new(),
            origins: Shares::new(),
            last: Stopwatch::start(),
            busy: Duration::ZERO,
        }
    }

    /// What was due had its turn.
    fn on_time(&mut self) {
        self.last = Stopwatch::start();
        self.busy = Duration::ZERO;
        self.networks.fade();
        self.origins.fade();
    }

    /// The next request has its turn.
    fn comes(&mut self) {
        self.busy += self.last.elapsed().min(STEP);
        self.last = Stopwatch::start();
    }

    /// How late it is.
    fn late(&self) -> Duration {
        self.busy.saturating_sub(EVERY)
    }

    fn admits(&mut self, origin: Origin, late: Duration) -> bool {
        let times = late.as_secs_f64() / PATIENCE.as_secs_f64();
        let part = (times * times).recip();
        // Both are counted whatever comes of it.
        let crowded = self.networks.exceeds(origin.network(), part);
        let much = self.origins.exceeds(origin, part);
        !(times > 1.0 && crowded && much)
    }
}

thread_local! {
    /// That of this worker, where this thread is one.
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

fn with<T>(act: impl FnOnce(&mut Gate) -> T) -> Option<T> {
    GATE.with_borrow_mut(|gate| gate.as_mut().map(act))
}

/// Begins to measure on this thread, once: a worker's, within its local tasks.
pub fn watch() {
    if with(|_| ()).is_some() {
        return;
    }
    GATE.set(Some(Gate::new()));
    drop(tokio::task::spawn_local(async {
        loop {
            tokio::time::sleep(EVERY).await;
            let _ = with(Gate::on_time);
        }
    }));
}

/// A request comes: whether it must come again later, when it is one that can wait.
#[must_use]
pub fn comes_too_late() -> bool {
    let late = |gate: &mut Gate| {
        gate.comes();
        gate.late() >= TOO_LATE
    };
    with(late) == Some(true)
}

/// Whether a request is served, whose origin is told when it matters.
#[must_use]
pub fn admits(origin: impl FnOnce() -> Origin) -> bool {
    let asks = |gate: &mut Gate| {
        let late = gate.late();
        late < PRESSED || gate.admits(origin(), late)
    };
    with(asks) != Some(false)
}

/// Makes this thread a worker that is so late.
#[cfg(test)]
pub(crate) fn pretend(late: Duration) {
    GATE.set(Some(Gate {
        busy: EVERY + late,
        ..Gate::new()
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};
    use writ_core::ApplicationId;

    fn origin(network: u32, application: u128) -> Origin {
        let address = IpAddr::V4(Ipv4Addr::from_bits(network));
        Origin::new(address, Some(ApplicationId(application)))
    }

    /// How many of a thousand are served that come from these in turn, each so many at a time.
    fn served(late: Duration, crowd: &[(Origin, usize)]) -> Vec<f64> {
        let mut gate = Gate::new();
        let mut counts = vec![(0, 0); crowd.len()];
        for _ in 0..20 {
            gate.on_time();
            for ((origin, times), (served, all)) in crowd.iter().zip(&mut counts) {
                for _ in 0..*times {
                    *all += 1;
                    *served += u32::from(gate.admits(*origin, late));
                }
            }
        }
        let share = |(served, all): &(u32, u32)| f64::from(*served) / f64::from(*all);
        counts.iter().map(share).collect()
    }

    const LATE: Duration = Duration::from_millis(110);

    #[test]
    fn nobody_is_refused_before_it_is_late() {
        let crowd = [(origin(1, 1), 10_000), (origin(2, 2), 1)];
        for late in [Duration::ZERO, PRESSED, PATIENCE] {
            assert_eq!(served(late, &crowd), [1.0, 1.0]);
        }
    }

    #[test]
    fn the_one_who_is_alone_waits_until_it_is_not_late_any_more() {
        assert_eq!(served(LATE, &[(origin(1, 1), 100)]), [0.0]);
    }

    #[test]
    fn who_floods_is_refused_and_not_the_others_also_behind_one_address() {
        for network in [1, 2] {
            let crowd = [(origin(1, 1), 1_000), (origin(network, 2), 10)];
            let shares = served(LATE, &crowd);
            assert!(shares[0] < 0.1 && shares[1] == 1.0, "{shares:?}");
        }
    }

    #[test]
    fn the_names_of_many_applications_make_a_flood_no_smaller() {
        let flood = (0..500).map(|number| (origin(1, number), 4));
        let mut crowd: Vec<_> = flood.collect();
        crowd.push((origin(2, 7), 40));
        let shares = served(LATE, &crowd);
        assert_eq!(shares.last(), Some(&1.0));
        let flood: f64 = shares[..500].iter().sum::<f64>() / 500.0;
        assert!(flood < 0.8, "{flood}");
    }

    #[test]
    fn the_later_it_is_the_fewer_are_served() {
        let crowd: Vec<_> = (0..100).map(|it| (origin(it, it.into()), 8)).collect();
        let mut before = 1.0;
        for late in [105, 150, 200, 400] {
            let shares = served(Duration::from_millis(late), &crowd);
            let mean = shares.iter().sum::<f64>() / 100.0;
            assert!(mean <= before, "{late} ms: {mean} after {before}");
            before = mean;
        }
        assert!(before < 0.2, "{before}");
    }

    #[test]
    fn it_is_late_by_what_requests_take_until_what_is_due_has_its_turn() {
        let mut gate = Gate::new();
        let request = |gate: &mut Gate, took: Duration| {
            gate.last = Stopwatch::started_before(took);
            gate.comes();
        };
        for _ in 0..100 {
            request(&mut gate, Duration::from_millis(4));
        }
        assert!(gate.late() >= PATIENCE * 3, "{:?}", gate.late());
        gate.on_time();
        assert_eq!(gate.late(), Duration::ZERO);
        // The machine stood still, three times.
        for _ in 0..3 {
            request(&mut gate, Duration::from_secs(9));
        }
        assert!(gate.late() < PRESSED, "{:?}", gate.late());

        pretend(PATIENCE);
        assert!(!comes_too_late());
        pretend(TOO_LATE);
        assert!(comes_too_late());
    }

    proptest! {
        /// Sums are those of the counters, whatever comes.
        #[test]
        fn sums_are_kept(kinds in proptest::collection::vec((0u32..2_000, 0u8..8), 0..400)) {
            let mut shares = Shares::new();
            for (kind, rest) in kinds {
                let _ = shares.exceeds(origin(kind, 1), 1.0);
                if rest == 0 {
                    shares.fade();
                }
                let sum: u64 = shares.counts.iter().map(|count| u64::from(*count)).sum();
                prop_assert_eq!(shares.total, sum);
                let kinds = shares.counts.iter().filter(|count| **count != 0).count();
                prop_assert_eq!(shares.kinds as usize, kinds);
            }
        }
    }
}
