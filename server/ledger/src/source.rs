//! Where time and identifiers come from. Both are parameters of everything in this crate, so that
//! a test with one seed writes one log.

use crate::Fault;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::time::{Duration, Instant};
use writ_core::Millis;

/// Tells the time. The real one lives in the program; a test has one that it turns by hand.
pub trait Clock: Send + Sync {
    /// Now. May step back: the writer takes the time of the last event then.
    fn now(&self) -> Millis;
}

impl<F: Fn() -> Millis + Send + Sync> Clock for F {
    fn now(&self) -> Millis {
        self()
    }
}

/// Does something and says how long it took: for metrics, nothing is decided by it.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one call to the monotonic clock in this crate"
    )]
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

/// Makes identifiers.
pub trait Ids: Send + Sync {
    /// A UUIDv7 (RFC 9562 §5.7) of this moment.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    fn next(&self, at: Millis) -> Result<u128, Fault>;
}

/// Identifiers from the randomness of the operating system.
#[derive(Debug, Default)]
pub struct RandomIds {
    random: SystemRandom,
}

impl Ids for RandomIds {
    fn next(&self, at: Millis) -> Result<u128, Fault> {
        let mut bytes = [0; 10];
        self.random
            .fill(&mut bytes)
            .map_err(|_| Fault::NoRandomness)?;
        Ok(uuid::Builder::from_unix_timestamp_millis(at.0, &bytes)
            .into_uuid()
            .as_u128())
    }
}

/// Identifiers that follow from a seed.
#[cfg(feature = "testkit")]
#[derive(Debug)]
pub struct SeededIds(std::sync::atomic::AtomicU64);

#[cfg(feature = "testkit")]
impl SeededIds {
    /// The same seed gives the same identifiers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }
}

#[cfg(feature = "testkit")]
impl Ids for SeededIds {
    fn next(&self, at: Millis) -> Result<u128, Fault> {
        // SplitMix64: its state is a counter, so it can be an atomic.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bytes = [0; 16];
        let state = self
            .0
            .fetch_add(STEP.wrapping_mul(2), std::sync::atomic::Ordering::Relaxed);
        for (half, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            let mut z = state.wrapping_add(STEP.wrapping_mul(half as u64 + 1));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
        }
        let mut random = [0; 10];
        random.copy_from_slice(&bytes[..10]);
        Ok(uuid::Builder::from_unix_timestamp_millis(at.0, &random)
            .into_uuid()
            .as_u128())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use writ_core::Jti;

    #[test]
    fn ids_carry_their_moment_and_differ() {
        let at = Millis(1_763_930_165_123);
        let (seeded, again) = (SeededIds::new(7), SeededIds::new(7));
        for ids in [&RandomIds::default() as &dyn Ids, &seeded] {
            let (a, b) = (ids.next(at).unwrap(), ids.next(at).unwrap());
            assert_ne!(a, b);
            assert_eq!(Jti(a).millis(), at);
            assert_eq!(uuid::Uuid::from_u128(a).get_version_num(), 7);
        }
        let first = SeededIds::new(7).next(at).unwrap();
        assert_eq!(again.next(at).unwrap(), first);
        assert_ne!(SeededIds::new(8).next(at).unwrap(), first);
    }
}
