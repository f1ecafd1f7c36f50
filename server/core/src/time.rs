//! Time and place in the log. Time is a parameter everywhere in this crate: nothing here asks a
//! clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A moment in milliseconds since 1970-01-01T00:00:00Z. Shown and stored as RFC 3339 in UTC with
/// three decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The last moment that can be written. RFC 3339 has 26 hours more, to the end of the year
    /// 9999; `jiff` leaves them out, so that each moment can be told in every time zone.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// Later by whole seconds; saturates at the end of time.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole days since 1970 in UTC, rounded down.
    #[must_use]
    pub fn day(self) -> u64 {
        self.0 / 86_400_000
    }

    /// Whole seconds since 1970, rounded down: a NumericDate (RFC 7519 §2).
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.min(Self::MAX.0)).unwrap_or(0);
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        write!(f, "{at:.3}")
    }
}

/// The text is not an RFC 3339 time between 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between 1970 and 9999, such as 2026-03-03T09:00:00Z")]
pub struct ParseMillisError;

impl FromStr for Millis {
    type Err = ParseMillisError;

    fn from_str(text: &str) -> Result<Self, ParseMillisError> {
        if let Some(usual) = usual(text.as_bytes()) {
            return Ok(usual);
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| ParseMillisError)?;
        let ms = u64::try_from(at.as_millisecond()).map_err(|_| ParseMillisError)?;
        if ms > Self::MAX.0 {
            Err(ParseMillisError)
        } else {
            Ok(Self(ms))
        }
    }
}

/// A time as this crate writes it, `2026-03-03T09:00:00.000Z`: each event of a replay has one, and
/// reading every form there is takes ten times as long. `None` for any other form, or no time at all.
fn usual(text: &[u8]) -> Option<Millis> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let shape = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (23, b'Z'),
    ];
    if shape.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range]
            .iter()
            .try_fold(0u64, |number, digit| match digit {
                b'0'..=b'9' => Some(number * 10 + u64::from(digit - b'0')),
                _ => None,
            })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    let in_range = year >= 1970
        && (1..=days_in_month).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    // Days since 0000-03-01, when years are counted from March: the leap day is their last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let millis = Millis(seconds * 1000 + number(20..23)?);
    (millis <= Millis::MAX).then_some(millis)
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::codec::from_text(deserializer)
    }
}

/// The place of an event in the admin log: 0, 1, 2 … without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_written() {
        let at = Millis(1_763_930_165_123);
        assert_eq!(at.to_string(), "2025-11-23T20:36:05.123Z");
        assert_eq!("2025-11-23T20:36:05.123Z".parse(), Ok(at));
        assert_eq!("2025-11-23T21:36:05.123+01:00".parse(), Ok(at));
        assert_eq!(
            "1969-12-31T23:59:59Z".parse::<Millis>(),
            Err(ParseMillisError)
        );
        assert_eq!("yesterday".parse::<Millis>(), Err(ParseMillisError));
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_moment_reads_back_and_keeps_its_order(
            one in 0..=Millis::MAX.0,
            other in 0..=Millis::MAX.0,
        ) {
            let (one, other) = (Millis(one), Millis(other));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            prop_assert_eq!(one.to_string().len(), "2025-11-23T20:36:05.123Z".len());
            // As texts they sort as they follow: the log is read by people and by `sort`.
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
            let json = serde_json::to_string(&one).expect("a text is JSON");
            prop_assert_eq!(serde_json::from_str::<Millis>(&json).ok(), Some(one));
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_in_range(
            any: String,
            like in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|z|[+-][0-9]{2}:[0-9]{2})",
        ) {
            for text in [any, like] {
                if let Ok(at) = text.parse::<Millis>() {
                    prop_assert!(at <= Millis::MAX, "{}", text);
                    prop_assert_eq!(at.to_string().parse(), Ok(at), "{}", text);
                }
            }
        }

        /// The short way and the long way are one.
        #[test]
        fn the_usual_form_is_read_as_any_other(
            text in "(19[67]|20[0-9]|999)[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z",
        ) {
            let at: Option<jiff::Timestamp> = text.parse().ok();
            let long = at.and_then(|at| u64::try_from(at.as_millisecond()).ok()).map(Millis);
            let long = long.filter(|at| *at <= Millis::MAX);
            if let Some(short) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(short), long, "{}", text);
            }
            prop_assert_eq!(text.parse().ok(), long, "{}", text);
        }

        #[test]
        fn the_end_of_time_is_not_passed(at: u64, seconds: u64) {
            let later = Millis(at).plus_seconds(seconds);
            prop_assert!(later >= Millis(at));
            let shown = later.to_string();
            prop_assert_eq!(shown.parse::<Millis>(), Ok(later.min(Millis::MAX)));
        }
    }
}
