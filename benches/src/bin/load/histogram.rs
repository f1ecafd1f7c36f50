//! How long answers took: counts in buckets that grow with what is counted, so that each value is
//! known to a hundredth, and recording one is an addition.

use std::time::Duration;

/// Buckets for each doubling; a value is known to one part in so many.
const PER_DOUBLING: u64 = 128;
const BITS: u32 = PER_DOUBLING.trailing_zeros();

/// Counts of durations, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    greatest: u64,
}

fn bucket(nanoseconds: u64) -> usize {
    // Values below `PER_DOUBLING` have a bucket each, and so has each step of the same width above.
    let doublings = (u64::BITS - nanoseconds.leading_zeros()).saturating_sub(BITS + 1);
    let step = (nanoseconds >> doublings) + u64::from(doublings) * PER_DOUBLING;
    usize::try_from(step).unwrap_or(usize::MAX)
}

/// The greatest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doublings = (bucket / PER_DOUBLING).saturating_sub(1);
    let step = bucket - doublings * PER_DOUBLING;
    (step << doublings) + ((1 << doublings) - 1)
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, value: Duration) {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanoseconds);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.greatest = self.greatest.max(nanoseconds);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many it counted.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// The value that a share of all did not exceed: 0.5 is the median. Zero of nothing.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_end(bucket).min(self.greatest));
            }
        }
        Duration::from_nanos(self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_hold_what_falls_into_them() {
        let mut values: Vec<u64> = (0..63)
            .flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit >> 1])
            .collect();
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{pair:?}");
        }
        for value in values {
            let end = upper_end(bucket(value));
            assert!(value <= end, "{value} is above its bucket's end {end}");
            assert!(end - value <= value / PER_DOUBLING, "{value} to {end}");
            assert_eq!(bucket(end), bucket(value));
            assert_eq!(bucket(end + 1), bucket(value) + 1);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values_to_a_hundredth() {
        let mut histogram = Histogram::default();
        for value in (1..=10_000).rev() {
            histogram.record(Duration::from_micros(value));
        }
        for (share, expected) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let found = histogram.quantile(share).as_secs_f64() * 1e6;
            assert!((found / expected - 1.0).abs() < 0.01, "{share}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), Duration::from_millis(10));
        assert_eq!(histogram.len(), 10_000);
    }

    #[test]
    fn what_is_merged_is_as_if_it_had_been_counted_in_one() {
        let (mut one, mut other, mut all) = (
            Histogram::default(),
            Histogram::default(),
            Histogram::default(),
        );
        for value in 0..1_000_u64 {
            let value = Duration::from_nanos(value * value);
            all.record(value);
            if value.as_nanos().is_multiple_of(3) {
                &mut one
            } else {
                &mut other
            }
            .record(value);
        }
        one.merge(&other);
        assert_eq!((one.counts, one.total), (all.counts, all.total));
    }

    #[test]
    fn nothing_has_no_duration() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }
}
