//! Time, randomness and identifiers: the only file that asks the machine for any of them.
//!
//! Everything else gets them as parameters, so that a test can say what time it is and which
//! random bytes come next. `.clippy.toml` bans the ways around this file.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SecureRandom;
use sha2::{Digest, Sha256};
use writ_core::Millis;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment. It may go backwards when somebody sets the machine's clock.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        #[expect(clippy::disallowed_methods, reason = "the one call to the real time")]
        let now = SystemTime::now();
        // A machine whose clock is before 1970 is at 1970.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock for tests: it stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at a moment.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves it to a moment, which may be an earlier one.
    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// Measures how long something takes. It decides nothing: use a [`Clock`] for what is decided.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one call to the monotonic clock"
        )]
        let started = Instant::now();
        Self(started)
    }

    /// As if it had been started so long ago.
    #[cfg(test)]
    pub(crate) fn started_before(ago: Duration) -> Self {
        let Self(now) = Self::start();
        Self(now.checked_sub(ago).unwrap_or(now))
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the whole of `out`.
    fn fill(&self, out: &mut [u8]);

    /// Fills `out` with what everybody may see, such as ids: no easier to guess than other bytes, and
    /// got sooner. Nothing of a key or a secret is made of these.
    fn fill_public(&self, out: &mut [u8]) {
        self.fill(out);
    }

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

/// The generator of AWS-LC, seeded by the operating system: fit for keys and secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::SystemRandom::new()
            .fill(out)
            // AWS-LC aborts the process itself when the operating system has no entropy to give;
            // to go on with bytes that are not random would be worse than to stop.
            .expect("AWS-LC always gives random bytes");
    }

    fn fill_public(&self, out: &mut [u8]) {
        PUBLIC.with_borrow_mut(|public| public.fill(out));
    }
}

/// Random bytes that were fetched together: a call of the generator costs as much for eight bytes as
/// for hundreds.
struct Public {
    bytes: [u8; 1024],
    /// How many of them, at the end, were not given out.
    left: usize,
}

thread_local! {
    static PUBLIC: RefCell<Public> = const { RefCell::new(Public { bytes: [0; 1024], left: 0 }) };
}

impl Public {
    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > self.bytes.len() {
            return SystemRandom.fill(out);
        }
        if out.len() > self.left {
            SystemRandom.fill(&mut self.bytes);
            self.left = self.bytes.len();
        }
        let begin = self.bytes.len() - self.left;
        out.copy_from_slice(&self.bytes[begin..begin + out.len()]);
        self.left -= out.len();
    }
}

/// A source for tests: the same seed gives the same bytes. Whoever knows the seed knows them all.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    next_block: AtomicU64,
}

impl SeededRandom {
    /// The source that begins at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            next_block: AtomicU64::new(0),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = self.next_block.fetch_add(1, Ordering::SeqCst);
            let mut hash = Sha256::new();
            hash.update(self.seed.to_be_bytes());
            hash.update(block.to_be_bytes());
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
    }
}

/// Bits of the counter in `rand_a` (RFC 9562 §6.2, method 1).
const COUNTER_BITS: u32 = 12;

/// Makes identifiers: UUIDv7 (RFC 9562 §5.7), each larger than the last from the same maker.
///
/// The counter starts in the lower half of its range in each millisecond and then counts, which
/// leaves room for at least 2,048 identifiers a millisecond; past that it borrows from the next.
pub struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Milliseconds and counter of the newest identifier, in one number.
    newest: AtomicU64,
}

impl Ids {
    /// A maker that reads this clock and this source.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            clock,
            random,
            newest: AtomicU64::new(0),
        }
    }

    /// The next identifier, as the number that a UUID is.
    #[must_use]
    pub fn next_id(&self) -> u128 {
        self.next_at(self.clock.now())
    }

    /// The next identifier, made at a moment the caller has already read from the clock. The
    /// moment in it is that one, or that of [`Self::newest`] where this is later.
    #[must_use]
    pub fn next_at(&self, now: Millis) -> u128 {
        let mut bytes = [0u8; 10];
        self.random.fill_public(&mut bytes);
        let [a, b, rest @ ..] = bytes;
        // One bit less than the counter has.
        let seed = u64::from(u16::from_be_bytes([a, b]) >> 5);
        let fresh = (now.0 << COUNTER_BITS) | seed;
        let step = |newest: u64| {
            if newest >> COUNTER_BITS < now.0 {
                fresh
            } else {
                newest.wrapping_add(1)
            }
        };
        let newest = self
            .newest
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |newest| {
                Some(step(newest))
            });
        let this = step(newest.unwrap_or_else(|newest| newest));
        let millis = u128::from(this >> COUNTER_BITS) & 0xffff_ffff_ffff;
        let counter = u128::from(this & ((1 << COUNTER_BITS) - 1));
        let tail = u128::from(u64::from_be_bytes(rest)) >> 2;
        (millis << 80) | (7 << 76) | (counter << 64) | (0b10 << 62) | tail
    }

    /// The moment in the newest identifier. After the machine's clock was set back it is later
    /// than the clock: a cut "all tokens until now" must not fall behind it.
    #[must_use]
    pub fn newest(&self) -> Millis {
        Millis(self.newest.load(Ordering::SeqCst) >> COUNTER_BITS)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids")
            .field("newest", &self.newest())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_core::Jti;

    fn maker(now: u64) -> (Arc<ManualClock>, Ids) {
        let clock = Arc::new(ManualClock::new(Millis(now)));
        let ids = Ids::new(
            Arc::<ManualClock>::clone(&clock),
            Arc::new(SeededRandom::new(7)),
        );
        (clock, ids)
    }

    #[test]
    fn public_bytes_are_given_out_once() {
        let take = |length| {
            let mut bytes = vec![0u8; length];
            SystemRandom.fill_public(&mut bytes);
            bytes
        };
        let mut seen = std::collections::HashSet::new();
        for length in [16, 24, 1024, 16, 5_000, 1000, 32].repeat(40) {
            for chunk in take(length).chunks_exact(8) {
                assert!(seen.insert(chunk.to_vec()), "eight bytes came twice");
            }
        }
    }

    #[test]
    fn an_identifier_is_a_uuid_of_version_7() {
        let (_, ids) = maker(1_763_930_165_123);
        let id = uuid::Uuid::from_u128(ids.next_id());
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(Jti(id.as_u128()).millis(), Millis(1_763_930_165_123));
    }

    #[test]
    fn identifiers_grow_even_when_the_clock_goes_back() {
        let (clock, ids) = maker(1_000_000);
        let mut last = 0;
        for round in 0u64..30_000 {
            if round == 10_000 {
                clock.set(Millis(500_000));
            }
            if round == 20_000 {
                clock.set(Millis(2_000_000));
            }
            let id = ids.next_id();
            assert!(id > last);
            last = id;
        }
        assert!(ids.newest() >= Millis(2_000_000));
        assert_eq!(Jti(last).millis(), ids.newest());
    }

    #[test]
    fn threads_never_get_the_same_identifier() {
        let (_, ids) = maker(1_000_000);
        let mut all: Vec<u128> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..2_000).map(|_| ids.next_id() >> 64).collect()))
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap_or_else(|_| vec![0; 2]))
                .collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8_000, "time and counter alone tell them apart");
    }

    #[test]
    fn a_seed_repeats_itself_and_the_system_does_not() {
        let [a, b] = [SeededRandom::new(1), SeededRandom::new(1)];
        assert_eq!(a.next_u64(), b.next_u64());
        let mut long = [0; 70];
        a.fill(&mut long);
        assert_ne!(long[..32], long[32..64]);
        assert_ne!(SystemRandom.next_u64(), SystemRandom.next_u64());
        assert!(SystemClock.now() > Millis(1_700_000_000_000));
        assert!(Stopwatch::start().elapsed() < Duration::from_secs(60));
    }
}
