//! How far something long is: one line on a terminal's standard error, rewritten a few times a
//! second. Where nobody watches it is quiet.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use writ::clock::Stopwatch;

/// How often the line is rewritten.
const EVERY: Duration = Duration::from_millis(200);

/// The line.
pub struct Progress {
    what: &'static str,
    started: Stopwatch,
    shown: Option<Duration>,
    watched: bool,
}

impl Progress {
    /// Of so many `what`: "events", "issuances".
    pub fn of(what: &'static str) -> Self {
        Self {
            what,
            started: Stopwatch::start(),
            shown: None,
            watched: stderr().is_terminal(),
        }
    }

    /// Shows how many are done, of how many where that is known.
    pub fn show(&mut self, done: u64, total: u64) {
        let elapsed = self.started.elapsed();
        let due = self.shown.is_none_or(|shown| elapsed >= shown + EVERY);
        if !self.watched || !due {
            return;
        }
        self.shown = Some(elapsed);
        // Nobody to tell is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[K{}", line(self.what, done, total));
    }

    /// Takes the line away; answers how many were done in a second.
    pub fn finish(self, done: u64) -> u64 {
        if self.shown.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        let micros = self.started.elapsed().as_micros().max(1);
        u64::try_from(u128::from(done) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

fn line(what: &str, done: u64, total: u64) -> String {
    const WIDTH: u64 = 30;
    if total == 0 {
        return format!("{} {what}", grouped(done));
    }
    let share = |of: u64| u128::from(done.min(total)) * u128::from(of) / u128::from(total);
    let full = usize::try_from(share(WIDTH)).unwrap_or_default();
    format!(
        "[{:-<30}] {:>3} %  {} of {} {what}",
        "#".repeat(full),
        share(100),
        grouped(done),
        grouped(total)
    )
}

/// A number as people read it: 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(
            line("events", 500_000, 1_000_000),
            "[###############---------------]  50 %  500,000 of 1,000,000 events"
        );
        assert_eq!(line("events", 12, 0), "12 events");
        assert_eq!(
            line("events", 3, 2),
            format!("[{}] 100 %  3 of 2 events", "#".repeat(30))
        );
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(0), "0");
    }
}
