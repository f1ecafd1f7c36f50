//! Days and hours of a point in time, as the server derives them from `request.at`.

use crate::{Named, attribute};

const DAY: u64 = 86_400_000;

/// The attributes `time.*` of this point in time, in milliseconds since 1970.
pub(super) fn facts(at: u64) -> [Named; 4] {
    let (days, rest) = (at / DAY, at % DAY);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (year, month, day) = date(days);
    [
        Named::new(
            attribute::TIME_DATE,
            format!("{year:04}-{month:02}-{day:02}"),
        ),
        Named::new(attribute::TIME_HOUR, number(rest / 3_600_000)),
        Named::new(attribute::TIME_MINUTE, number(rest / 60_000 % 60)),
        // 1970-01-01 was a Thursday.
        Named::new(attribute::TIME_WEEKDAY, number((days + 3) % 7 + 1)),
    ]
}

/// Year, month and day of a day since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years, years that begin in March: the leap day is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

/// `2026-11-23T09:30:00Z` as milliseconds since 1970. UTC only.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, mark: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(mark).map(|part| part.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let [year, month, day] = numbers(day, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Near enough from below, then the day itself: no second formula to get wrong.
    let near = (year - 1970) * 365;
    let days = (near..near + 3_000).find(|days| date(*days) == (year, month, day))?;
    Some(days * DAY + hour * 3_600_000 + minute * 60_000 + second * 1_000)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (20_780, (2026, 11, 23)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
        // Every day for 300 years follows the one before it.
        let mut before = date(0);
        for days in 1..110_000 {
            let (year, month, day) = date(days);
            let follows = (year, month, day - 1) == before
                || (day == 1 && (year, month - 1) == (before.0, before.1))
                || ((month, day) == (1, 1) && before == (year - 1, 12, 31));
            assert!(follows, "{before:?}, then {:?}", (year, month, day));
            before = (year, month, day);
        }
    }

    #[test]
    fn a_point_in_time_is_read_and_its_facts_are_right() {
        let at = parse("2026-11-23T22:05:59Z").unwrap();
        assert_eq!(at, 1_795_471_559_000);
        let [date, hour, minute, weekday] = facts(at).map(|fact| fact.value);
        assert_eq!((date, hour), ("2026-11-23".into(), 22.into()));
        assert_eq!((minute, weekday), (5.into(), 1.into()));
        for wrong in [
            "2026-02-30T00:00:00Z",
            "2026-11-23",
            "2026-11-23T24:00:00Z",
            "",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
