//! What is counted of fetching. No series has a host: there may be thousands of them.

use super::error::FetchError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labels = [(&'static str, &'static str); 1];

/// The counters of [`super::RemoteKeys`]. A clone counts into the same.
#[derive(Clone, Debug)]
pub struct Counters {
    fetched: Counter,
    failed: Family<Labels, Counter>,
    served_stale: Counter,
}

impl Counters {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let failed = Family::default();
        for code in FetchError::CODES {
            // What is asked for is there from then on.
            drop(failed.get_or_create(&[("reason", code)]));
        }
        Self {
            fetched: Counter::default(),
            failed,
            served_stale: Counter::default(),
        }
    }

    /// Puts them among the metrics of a server.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "remote_keys_fetched",
            "Key sets and issuers' metadata fetched from others",
            self.fetched.clone(),
        );
        registry.register(
            "remote_keys_failed",
            "Fetches of key sets and issuers' metadata that failed, by reason",
            self.failed.clone(),
        );
        registry.register(
            "remote_keys_served_stale",
            "Times that keys were used past their freshness, since they could not be fetched anew",
            self.served_stale.clone(),
        );
    }

    /// How many fetches succeeded.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.get()
    }

    /// How many fetches failed for a reason of [`FetchError::CODES`].
    #[must_use]
    pub fn failed(&self, code: &'static str) -> u64 {
        let counter = self.failed.get(&[("reason", code)]);
        counter.map_or(0, |counter| counter.get())
    }

    /// How often something was served that is no longer fresh.
    #[must_use]
    pub fn served_stale(&self) -> u64 {
        self.served_stale.get()
    }

    pub(super) fn fetch_succeeded(&self) {
        self.fetched.inc();
    }

    pub(super) fn fetch_failed(&self, error: &FetchError) {
        self.failed.get_or_create(&[("reason", error.code())]).inc();
    }

    pub(super) fn stale_was_served(&self) {
        self.served_stale.inc();
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let counters = Counters::new();
        let mut registry = Registry::with_prefix("writ");
        counters.register(&mut registry);
        counters.clone().fetch_succeeded();
        counters.fetch_failed(&FetchError::TimedOut);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for series in [
            "writ_remote_keys_fetched_total 1",
            "writ_remote_keys_failed_total{reason=\"timed_out\"} 1",
            "writ_remote_keys_failed_total{reason=\"address_refused\"} 0",
            "writ_remote_keys_served_stale_total 0",
        ] {
            assert!(text.contains(series), "{series}\n{text}");
        }
        assert_eq!(counters.failed("timed_out"), 1);
    }
}
