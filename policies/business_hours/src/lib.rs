//! Gives scopes by the clock: outside of business hours the restricted ones are not there, and a
//! token that is given inside of them ends with them.
//!
//! Hours are of a fixed offset from UTC. A policy has no time zones: where the clocks change, so
//! does the setting.

use writ_policy::prelude::*;

/// Gives the restricted scopes on the given days between two times of day only.
#[writ_policy::policy(
    reads("time.hour", "time.minute", "time.weekday"),
    codes("outside_hours")
)]
pub fn evaluate(request: &Request, settings: &Hours) -> Result<Outcome, Fault> {
    let weekday = request.attributes.int("time.weekday")? - 1;
    let hour = request.attributes.int("time.hour")?;
    let minute = request.attributes.int("time.minute")?;
    // Minutes since Monday at midnight, where the office is.
    let now =
        (weekday * DAY + hour * 60 + minute + settings.utc_offset_minutes).rem_euclid(7 * DAY);
    let (day, time) = (now / DAY, now % DAY);

    let works = settings.days.iter().any(|one| one.0 == day);
    if works && (settings.from.0..settings.until.0).contains(&time) {
        let granted = allow(request);
        let restricted = granted
            .scopes()
            .iter()
            .any(|scope| settings.restricts(scope));
        if !restricted || !settings.end_with_hours {
            return granted.into();
        }
        let second = i64::try_from(request.at / 1_000 % 60).unwrap_or(0);
        let left = (settings.until.0 - time) * 60 - second;
        return granted.at_most(left).into();
    }
    let granted = allow(request).retain_scopes(|scope| !settings.restricts(scope));
    if granted.scopes().is_empty() {
        return deny("outside_hours")
            .reason(format!("minute {time} of day {}", day + 1))
            .description("these scopes are given in business hours only")
            .into();
    }
    granted.note("hours", "outside").into()
}

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// When, and what.
#[derive(Settings)]
#[settings(check = Hours::check)]
pub struct Hours {
    /// Working days.
    #[setting(default = ["mon", "tue", "wed", "thu", "fri"])]
    days: Vec<Weekday>,
    /// When they begin: 08:00.
    #[setting(default = "08:00")]
    from: TimeOfDay,
    /// When they end: 18:00. Up to 24:00; hours that go past midnight are two bindings.
    #[setting(default = "18:00")]
    until: TimeOfDay,
    /// How far the clock is ahead of UTC, in minutes: 60 for Central European Time, -300 for
    /// Eastern Standard Time.
    #[setting(default = 0)]
    utc_offset_minutes: i64,
    /// Scopes that are given in these hours only: `courses:publish`, `admin:*`.
    #[setting(default = ["*"])]
    restricted: Vec<ScopePattern>,
    /// Whether a token with restricted scopes ends when the hours do.
    #[setting(default = true)]
    end_with_hours: bool,
}

impl Hours {
    fn check(&self) -> Result<(), Problem> {
        if self.until.0 <= self.from.0 {
            return Err(Problem::new("until", "must be after `from`"));
        }
        if !(-DAY..=DAY).contains(&self.utc_offset_minutes) {
            return Err(Problem::new("utc_offset_minutes", "must be a day at most"));
        }
        Ok(())
    }

    fn restricts(&self, scope: &str) -> bool {
        self.restricted.iter().any(|pattern| pattern.matches(scope))
    }
}

/// 0 is Monday.
struct Weekday(i64);

impl FromText for Weekday {
    fn from_text(text: &str) -> Result<Self, String> {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let day = (0..).zip(NAMES).find(|(_, name)| *name == text);
        match day {
            Some((day, _)) => Ok(Self(day)),
            None => Err([text, " is not one of mon tue wed thu fri sat sun"].concat()),
        }
    }
}

/// Minutes since midnight.
struct TimeOfDay(i64);

impl FromText for TimeOfDay {
    fn from_text(text: &str) -> Result<Self, String> {
        let time = text.split_once(':').and_then(|(hour, minute)| {
            let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            if !digits(hour) || !digits(minute) {
                return None;
            }
            let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
            let time = hour * 60 + minute;
            (minute < 60 && time <= DAY).then_some(Self(time))
        });
        time.ok_or_else(|| [text, " is not a time of day like 08:00"].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn cases() {
        let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
        writ_policy::testing::check_cases::<Policy>(cases);
    }
}
