//! What was fetched, by its URI: bounded in number and in bytes, the least recently used goes
//! first. Of many who want the same at the same time one has it fetched, and all get it.

use super::counters::Counters;
use super::entry::{Decision, Entry, FRESH, FRESH_AT_LEAST};
use super::error::FetchError;
use super::uri::Uri;
use crate::clock::Clock;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How much a cache can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) uris: usize,
    /// Of all answers as they came.
    pub(super) bytes: usize,
    /// The longest that anything is fresh, whatever it says.
    pub(super) fresh_at_most: Duration,
}

/// A cache of one kind of things.
pub(super) struct Cache<V> {
    /// What they are, for log lines.
    what: &'static str,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    counters: Counters,
    state: Mutex<State<V>>,
}

struct State<V> {
    entries: HashMap<Arc<str>, Slot<V>>,
    /// The keys of `entries` by when they were used.
    order: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
    /// Who waits for what is being fetched.
    flights: HashMap<Arc<str>, Vec<oneshot::Sender<Landed<V>>>>,
}

struct Slot<V> {
    entry: Entry<V>,
    used: u64,
    bytes: usize,
}

/// What came of a fetch.
pub(super) struct Fetched<V> {
    pub(super) value: V,
    pub(super) bytes: usize,
    /// For how long it says that it is fresh.
    pub(super) fresh_for: Option<Duration>,
}

/// What came of a fetch, for those who waited.
pub(super) struct Landed<V> {
    fetched: Result<Arc<V>, FetchError>,
    /// What was there before and may still be used.
    before: Option<Arc<V>>,
}

// Derived, it would want `V: Clone`.
impl<V> Clone for Landed<V> {
    fn clone(&self) -> Self {
        Self {
            fetched: self.fetched.clone(),
            before: self.before.clone(),
        }
    }
}

/// What somebody gets who asks.
pub(super) enum Asked<V> {
    /// The answer.
    Answer(Result<Arc<V>, FetchError>),
    /// It is being fetched.
    Wait(oneshot::Receiver<Landed<V>>),
    /// It must be fetched, by the one who asked.
    Begin(Flight<V>, oneshot::Receiver<Landed<V>>),
}

impl<V> Cache<V> {
    pub(super) fn new(
        what: &'static str,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
        counters: Counters,
    ) -> Arc<Self> {
        let state = State {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            bytes: 0,
            flights: HashMap::new(),
        };
        Arc::new(Self {
            what,
            bounds,
            clock,
            counters,
            state: Mutex::new(state),
        })
    }

    /// What is at a URI, or how to get it. `known` says whether something has what is asked for.
    pub(super) fn ask(self: &Arc<Self>, uri: &Uri, known: impl Fn(&V) -> bool) -> Asked<V> {
        let now = self.clock.now();
        let mut state = self.lock();
        let entry = state.touch(&uri.text);
        let decision = match &entry {
            Some(entry) => entry.decide(now, known),
            None => Decision::Fetch { for_kid: false },
        };
        let for_kid = match decision {
            Decision::Serve(value) => return Asked::Answer(Ok(value)),
            Decision::Refuse(error) => return Asked::Answer(Err(error)),
            Decision::ServeStale(value) => {
                self.counters.stale_was_served();
                return Asked::Answer(Ok(value));
            }
            Decision::Fetch { for_kid } => for_kid,
        };
        let (tell, told) = oneshot::channel();
        if let Some(waiting) = state.flights.get_mut(&uri.text) {
            waiting.push(tell);
            return Asked::Wait(told);
        }
        if let Some(slot) = state.entries.get_mut(&uri.text).filter(|_| for_kid) {
            slot.entry.seek(now);
        }
        state.flights.insert(Arc::clone(&uri.text), vec![tell]);
        let flight = Flight {
            cache: Arc::clone(self),
            uri: uri.clone(),
            in_the_air: true,
        };
        Asked::Begin(flight, told)
    }

    /// The answer for one who has waited.
    pub(super) fn answer(
        &self,
        landed: Landed<V>,
        known: impl Fn(&V) -> bool,
    ) -> Result<Arc<V>, FetchError> {
        let error = match landed.fetched {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let before = landed.before.filter(|before| known(before)).ok_or(error)?;
        self.counters.stale_was_served();
        Ok(before)
    }

    fn land(&self, uri: &Uri, fetched: Result<Fetched<V>, FetchError>) {
        let now = self.clock.now();
        let (host, what) = (&*uri.host, self.what);
        let mut state = self.lock();
        let mut slot = state.take(&uri.text).unwrap_or_default();
        let before = slot.entry.usable(now);
        let fetched = match fetched {
            Ok(fetched) => {
                let value = Arc::new(fetched.value);
                let fresh_for = fetched.fresh_for.unwrap_or(FRESH);
                let fresh_for = fresh_for.clamp(FRESH_AT_LEAST, self.bounds.fresh_at_most);
                slot.bytes = fetched.bytes;
                let failures = slot.entry.succeeded(Arc::clone(&value), fresh_for, now);
                self.counters.fetch_succeeded();
                if failures > 0 {
                    tracing::info!(host, what, failures, "fetched again");
                }
                Ok(value)
            }
            Err(error) => {
                self.counters.fetch_failed(&error);
                if error.is_busy() {
                    slot.entry.not_made();
                    // The counter says it: a line for each would be one more load.
                    tracing::debug!(host, what, "cannot be fetched: {error}");
                } else if slot.entry.failed(error.clone(), now) {
                    let reason = error.code();
                    tracing::warn!(host, what, reason, "cannot be fetched: {error}");
                }
                Err(error)
            }
        };
        state.put(Arc::clone(&uri.text), slot, self.bounds);
        let waiting = state.flights.remove(&uri.text).unwrap_or_default();
        drop(state);
        let landed = Landed { fetched, before };
        for tell in waiting {
            // An error says that this one no longer waits.
            let _ = tell.send(landed.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        let state = self.lock();
        assert_eq!(state.entries.len(), state.order.len());
        assert!(state.flights.is_empty());
        let bytes: usize = state.entries.values().map(|slot| slot.bytes).sum();
        assert_eq!(state.bytes, bytes);
        (state.entries.len(), state.bytes)
    }
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self {
            entry: Entry::default(),
            used: 0,
            bytes: 0,
        }
    }
}

impl<V> State<V> {
    /// The entry, used now.
    fn touch(&mut self, key: &Arc<str>) -> Option<&Entry<V>> {
        let slot = self.entries.get_mut(key)?;
        self.order.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        self.order.insert(slot.used, Arc::clone(key));
        Some(&slot.entry)
    }

    fn take(&mut self, key: &str) -> Option<Slot<V>> {
        let slot = self.entries.remove(key)?;
        self.order.remove(&slot.used);
        self.bytes -= slot.bytes;
        Some(slot)
    }

    /// Keeps an entry, and lets others go until there is room for it.
    fn put(&mut self, key: Arc<str>, mut slot: Slot<V>, bounds: Bounds) {
        while self.entries.len() >= bounds.uris || self.bytes + slot.bytes > bounds.bytes {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.take(&oldest);
        }
        self.uses += 1;
        slot.used = self.uses;
        self.bytes += slot.bytes;
        self.order.insert(slot.used, Arc::clone(&key));
        self.entries.insert(key, slot);
    }
}

/// A fetch that somebody waits for. Whatever becomes of it, they are told.
pub(super) struct Flight<V> {
    cache: Arc<Cache<V>>,
    uri: Uri,
    in_the_air: bool,
}

impl<V> Flight<V> {
    /// Has it fetched, and tells those who wait.
    pub(super) fn run(mut self, fetch: impl FnOnce() -> Result<Fetched<V>, FetchError>) {
        let fetched = fetch();
        self.in_the_air = false;
        self.cache.land(&self.uri, fetched);
    }
}

impl<V> Drop for Flight<V> {
    fn drop(&mut self) {
        if self.in_the_air {
            let error = match std::thread::panicking() {
                true => FetchError::Internal,
                false => FetchError::Busy,
            };
            self.cache.land(&self.uri, Err(error));
        }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("what", &self.what)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::ManualClock;
    use crate::remote_keys::KeysUri;
    use writ_core::Millis;

    const BOUNDS: Bounds = Bounds {
        uris: 3,
        bytes: 100,
        fresh_at_most: Duration::from_secs(86_400),
    };

    fn cache() -> (Arc<ManualClock>, Arc<Cache<u8>>) {
        let clock = Arc::new(ManualClock::new(Millis(1_000_000_000)));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        (clock, Cache::new("test", BOUNDS, shared, Counters::new()))
    }

    fn uri(name: &str) -> Uri {
        let uri = KeysUri::parse(&format!("https://{name}.example/"));
        uri.unwrap().shared().clone()
    }

    /// Whether it had to be fetched, which succeeds.
    fn fetches(cache: &Arc<Cache<u8>>, name: &str, bytes: usize) -> bool {
        match cache.ask(&uri(name), |_| true) {
            Asked::Begin(flight, _) => {
                flight.run(|| {
                    Ok(Fetched {
                        value: 1,
                        bytes,
                        fresh_for: None,
                    })
                });
                true
            }
            Asked::Answer(answer) => {
                answer.unwrap();
                false
            }
            Asked::Wait(_) => panic!("nothing is in the air"),
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (_, cache) = cache();
        for name in ["a", "b", "c"] {
            assert!(fetches(&cache, name, 1));
        }
        assert!(!fetches(&cache, "a", 1));
        assert!(fetches(&cache, "d", 1));
        assert_eq!(cache.sizes(), (3, 3));
        for name in ["a", "c", "d"] {
            assert!(!fetches(&cache, name, 1), "{name}");
        }
        assert!(fetches(&cache, "b", 1));
        // Large ones push out several, and one that alone is too large is kept until the next.
        assert!(fetches(&cache, "e", 99));
        assert_eq!(cache.sizes(), (2, 100));
        assert!(fetches(&cache, "f", 500));
        assert_eq!(cache.sizes(), (1, 500));
        assert!(fetches(&cache, "g", 1));
        assert_eq!(cache.sizes(), (1, 1));
    }

    #[test]
    fn all_who_wait_are_told_whatever_happens() {
        let (_, cache) = cache();
        let begin = |name: &str| match cache.ask(&uri(name), |_| true) {
            Asked::Begin(flight, told) => (flight, told),
            _ => panic!("{name} is not to be fetched"),
        };
        let (flight, mut first) = begin("a");
        let Asked::Wait(mut second) = cache.ask(&uri("a"), |_| true) else {
            panic!("it is fetched twice");
        };
        assert!(first.try_recv().is_err());
        drop(flight);
        for told in [&mut first, &mut second] {
            let landed = told.try_recv().unwrap();
            assert_eq!(cache.answer(landed, |_| true), Err(FetchError::Busy));
        }
        // Nobody was asked, so that it may be tried again at once.
        let (flight, mut told) = begin("a");
        let panics = std::thread::spawn(move || flight.run(|| panic!("on purpose")));
        assert!(panics.join().is_err());
        let landed = told.try_recv().unwrap();
        assert_eq!(cache.answer(landed, |_| true), Err(FetchError::Internal));
        assert!(matches!(
            cache.ask(&uri("a"), |_| true),
            Asked::Answer(Err(FetchError::Internal))
        ));
    }

    #[test]
    fn freshness_is_clamped() {
        for (says, after, fetched) in [
            (Some(0), 59, false),
            (Some(0), 60, true),
            (None, 599, false),
            (None, 600, true),
            (Some(u64::from(u32::MAX)), 86_399, false),
            (Some(u64::from(u32::MAX)), 86_400, true),
        ] {
            let (clock, cache) = cache();
            let Asked::Begin(flight, _) = cache.ask(&uri("a"), |_| true) else {
                panic!("an empty cache serves nothing");
            };
            flight.run(|| {
                Ok(Fetched {
                    value: 1,
                    bytes: 1,
                    fresh_for: says.map(Duration::from_secs),
                })
            });
            clock.advance(Duration::from_secs(after));
            assert_eq!(fetches(&cache, "a", 1), fetched, "{says:?} after {after}");
        }
    }
}
