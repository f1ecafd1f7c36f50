//! When something that was fetched may be used, and when it is fetched again. Pure: the moment is
//! a parameter, and nobody is asked here.
//!
//! Every span of time is one that begins at a moment and has a length. Before its beginning it is
//! as over as after its end: when the clock was set back nothing is known to be fresh, and nothing
//! waits for times that have been.

use super::error::FetchError;
use std::sync::Arc;
use std::time::Duration;
use writ_core::Millis;

/// How long something is fresh that does not say so itself.
pub(super) const FRESH: Duration = Duration::from_secs(600);
/// The least that anything is fresh, whatever it says: or a stranger could have it fetched for
/// every request.
pub(super) const FRESH_AT_LEAST: Duration = Duration::from_secs(60);
/// How long after it was fetched something may still be used when it cannot be fetched anew.
///
/// Longer, and one who keeps us from fetching can go on with a key that was taken back; shorter,
/// and an outage of those who publish keys is one of all that they vouch for. Whoever wants keys
/// gone at once publishes a set without them, which counts the moment it is fetched.
pub(super) const USABLE: Duration = Duration::from_secs(24 * 3600);
/// How long after an unknown `kid` has caused a fetch no other one does.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long nothing is fetched after a failure; doubled by each further one.
pub(super) const BACK_OFF: Duration = Duration::from_secs(10);
/// The longest that it can get.
pub(super) const BACK_OFF_AT_MOST: Duration = Duration::from_secs(300);

/// All that is known of one URI.
#[derive(Debug)]
pub(super) struct Entry<V> {
    good: Option<Good<V>>,
    failure: Option<Failure>,
    /// When an unknown `kid` has caused a fetch the last time.
    sought: Option<Millis>,
}

/// What was fetched last.
#[derive(Debug)]
struct Good<V> {
    value: Arc<V>,
    at: Millis,
    fresh_for: Duration,
}

/// That the last fetch failed.
#[derive(Debug)]
struct Failure {
    error: FetchError,
    at: Millis,
    /// How many did, one after the other.
    count: u32,
}

/// What to do for somebody who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision<V> {
    /// This is fresh.
    Serve(Arc<V>),
    /// This is no longer fresh, and cannot be fetched anew.
    ServeStale(Arc<V>),
    /// It could not be fetched lately.
    Refuse(FetchError),
    /// It must be fetched.
    Fetch {
        /// For nothing but a `kid` that is not known.
        for_kid: bool,
    },
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self {
            good: None,
            failure: None,
            sought: None,
        }
    }
}

impl<V> Entry<V> {
    /// What to do at a moment. `known` says whether something has what is asked for in it.
    pub(super) fn decide(&self, now: Millis, known: impl Fn(&V) -> bool) -> Decision<V> {
        let failing = self.failure.as_ref();
        let failing = failing.filter(|failure| within(failure.at, failure.back_off(), now));
        match self.good.as_ref().filter(|good| good.is_fresh(now)) {
            Some(good) if known(&good.value) => Decision::Serve(Arc::clone(&good.value)),
            Some(good) => match (failing, self.sought) {
                (Some(failure), _) => Decision::Refuse(failure.error.clone()),
                (None, Some(sought)) if within(sought, COOL_DOWN, now) => {
                    Decision::Serve(Arc::clone(&good.value))
                }
                (None, _) => Decision::Fetch { for_kid: true },
            },
            None => match (failing, self.usable(now)) {
                (Some(_), Some(value)) if known(&value) => Decision::ServeStale(value),
                (Some(failure), _) => Decision::Refuse(failure.error.clone()),
                (None, _) => Decision::Fetch { for_kid: false },
            },
        }
    }

    /// What may be used at a moment, fresh or not.
    pub(super) fn usable(&self, now: Millis) -> Option<Arc<V>> {
        let good = self.good.as_ref()?;
        within(good.at, USABLE, now).then(|| Arc::clone(&good.value))
    }

    /// An unknown `kid` causes a fetch.
    pub(super) fn seek(&mut self, now: Millis) {
        self.sought = Some(now);
    }

    /// The fetch was not made, so that the next may be.
    pub(super) fn not_made(&mut self) {
        self.sought = None;
    }

    /// It was fetched. Says how often it had failed before.
    pub(super) fn succeeded(&mut self, value: Arc<V>, fresh_for: Duration, now: Millis) -> u32 {
        self.good = Some(Good {
            value,
            at: now,
            fresh_for,
        });
        self.failure.take().map_or(0, |failure| failure.count)
    }

    /// It could not be fetched. Says whether that is news: the first time, or for another reason.
    pub(super) fn failed(&mut self, error: FetchError, now: Millis) -> bool {
        let before = self.failure.take();
        let is_news = before
            .as_ref()
            .is_none_or(|before| before.error.code() != error.code());
        let count = before.map_or(1, |before| before.count.saturating_add(1));
        let at = now;
        self.failure = Some(Failure { error, at, count });
        is_news
    }
}

impl<V> Good<V> {
    fn is_fresh(&self, now: Millis) -> bool {
        within(self.at, self.fresh_for, now)
    }
}

impl Failure {
    fn back_off(&self) -> Duration {
        let doubled = 1 << self.count.saturating_sub(1).min(16);
        BACK_OFF.saturating_mul(doubled).min(BACK_OFF_AT_MOST)
    }
}

/// Whether a moment is in the span that begins at another.
fn within(since: Millis, span: Duration, now: Millis) -> bool {
    let passed = now.0.checked_sub(since.0);
    passed.is_some_and(|passed| u128::from(passed) < span.as_millis())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    /// A set of keys is a list of their names.
    type Keys = Vec<&'static str>;

    fn keys(names: &[&'static str]) -> Arc<Keys> {
        Arc::new(names.to_vec())
    }

    fn at(seconds: u64) -> Millis {
        Millis(1_000_000_000).plus_seconds(seconds)
    }

    fn wants(kid: &'static str) -> impl Fn(&Keys) -> bool {
        move |keys| keys.contains(&kid)
    }

    const FETCH: Decision<Keys> = Decision::Fetch { for_kid: false };
    const SEEK: Decision<Keys> = Decision::Fetch { for_kid: true };

    #[test]
    fn what_is_fresh_is_served() {
        let mut entry = Entry::default();
        assert_eq!(entry.decide(at(0), wants("a")), FETCH);
        entry.succeeded(keys(&["a"]), FRESH, at(0));
        for seconds in [0, 599] {
            let served = Decision::Serve(keys(&["a"]));
            assert_eq!(entry.decide(at(seconds), wants("a")), served);
        }
        assert_eq!(entry.decide(at(600), wants("a")), FETCH);
    }

    #[test]
    fn an_unknown_kid_is_sought_once_in_a_cool_down() {
        let mut entry = Entry::default();
        entry.succeeded(keys(&["a"]), FRESH, at(0));
        assert_eq!(entry.decide(at(1), wants("b")), SEEK);
        entry.seek(at(1));
        entry.succeeded(keys(&["a"]), FRESH, at(1));
        for seconds in [1, 30] {
            let without = Decision::Serve(keys(&["a"]));
            assert_eq!(entry.decide(at(seconds), wants("b")), without);
        }
        assert_eq!(entry.decide(at(31), wants("b")), SEEK);
        entry.seek(at(31));
        entry.not_made();
        assert_eq!(entry.decide(at(31), wants("b")), SEEK);
    }

    #[test]
    fn known_kids_survive_an_outage_for_a_day() {
        let mut entry = Entry::default();
        entry.succeeded(keys(&["a"]), FRESH, at(0));
        assert!(entry.failed(FetchError::TimedOut, at(600)));
        let stale = Decision::ServeStale(keys(&["a"]));
        let refused = Decision::Refuse(FetchError::TimedOut);
        assert_eq!(entry.decide(at(601), wants("a")), stale);
        assert_eq!(entry.decide(at(601), wants("b")), refused);
        assert_eq!(entry.decide(at(610), wants("a")), FETCH);
        assert!(!entry.failed(FetchError::TimedOut, at(86_399)));
        assert_eq!(entry.decide(at(86_399), wants("a")), stale);
        assert_eq!(entry.decide(at(86_400), wants("a")), refused);
        assert_eq!(entry.succeeded(keys(&["b"]), FRESH, at(86_401)), 2);
        assert_eq!(entry.decide(at(86_402), wants("a")), SEEK);
        assert_eq!(
            entry.decide(at(86_402), wants("b")),
            Decision::Serve(keys(&["b"]))
        );
    }

    #[test]
    fn a_failed_search_for_a_kid_takes_nothing_away() {
        let mut entry = Entry::default();
        entry.succeeded(keys(&["a"]), FRESH, at(0));
        entry.seek(at(1));
        entry.failed(FetchError::TimedOut, at(1));
        assert_eq!(
            entry.decide(at(2), wants("a")),
            Decision::Serve(keys(&["a"]))
        );
        let refused = Decision::Refuse(FetchError::TimedOut);
        assert_eq!(entry.decide(at(2), wants("b")), refused);
    }

    #[test]
    fn failures_back_off_to_five_minutes() {
        let mut entry = Entry::<Keys>::default();
        let mut now = 0;
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            entry.failed(FetchError::Unresolved, at(now));
            let refused = Decision::Refuse(FetchError::Unresolved);
            assert_eq!(entry.decide(at(now + wait - 1), wants("a")), refused);
            now += wait;
            assert_eq!(entry.decide(at(now), wants("a")), FETCH);
        }
        assert!(
            entry.failed(FetchError::TimedOut, at(now)),
            "another reason"
        );
        entry.succeeded(keys(&[]), FRESH_AT_LEAST, at(now));
        entry.failed(FetchError::Unresolved, at(now + 60));
        assert_eq!(
            entry.decide(at(now + 70), wants("a")),
            FETCH,
            "from the start"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing() {
        let mut entry = Entry::default();
        entry.succeeded(keys(&["a"]), FRESH, at(1000));
        assert_eq!(entry.decide(at(999), wants("a")), FETCH);
        assert_eq!(entry.usable(at(999)), None);
        entry.seek(at(1000));
        entry.failed(FetchError::TimedOut, at(1000));
        assert_eq!(entry.decide(at(999), wants("b")), FETCH);
    }

    proptest! {
        /// Whatever happened: nothing is served that is older than a day, nothing is refused that
        /// was not tried within five minutes, and unknown kids cause one fetch in a cool-down.
        #[test]
        fn the_rules_hold_in_any_order(
            steps in prop::collection::vec((0u8..4, 0u64..40_000, 0u64..90_000), 0..60),
        ) {
            let mut entry = Entry::default();
            let (mut now, mut fetched, mut failed, mut sought) = (0, None, None, None);
            for (what, passes, fresh) in steps {
                now += passes >> (what * 3);
                let kid = if what % 2 == 0 { "a" } else { "b" };
                match entry.decide(at(now), wants(kid)) {
                    Decision::Serve(_) | Decision::ServeStale(_) => {
                        let fetched: u64 = fetched.unwrap();
                        prop_assert!(now - fetched < 86_400);
                    }
                    Decision::Refuse(_) => {
                        let failed: u64 = failed.unwrap();
                        prop_assert!(now - failed < 300);
                    }
                    Decision::Fetch { for_kid } => {
                        if for_kid {
                            let before: Option<u64> = sought.replace(now);
                            prop_assert!(before.is_none_or(|before| now - before >= 30));
                            entry.seek(at(now));
                        }
                        if what < 2 {
                            let fresh = Duration::from_secs(fresh).min(USABLE);
                            entry.succeeded(keys(&["a"]), fresh, at(now));
                            fetched = Some(now);
                            failed = None;
                        } else {
                            entry.failed(FetchError::TimedOut, at(now));
                            failed = Some(now);
                        }
                    }
                }
            }
        }
    }
}
