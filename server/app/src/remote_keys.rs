//! The keys of others: JWK Sets (RFC 7517 §5) by their `jwks_uri`, or by the metadata of an issuer
//! (OpenID Connect Discovery 1.0, RFC 8414), fetched safely and kept for a while. What a key is,
//! and what it may vouch for, is not known here.
//!
//! Whoever writes such a URI makes this server ask somebody. So `https` alone is spoken
//! (`remote_keys/uri.rs`), nobody is asked whose address is not public or allowed
//! (`remote_keys/address.rs`), no answer is followed, trusted, or read without a limit
//! (`remote_keys/fetch.rs`), and slow hosts delay themselves alone (`remote_keys/pool.rs`). What
//! is known of a URI at a moment, and what is done then, is in `remote_keys/entry.rs`.

mod address;
mod cache;
mod counters;
mod entry;
mod error;
mod fetch;
mod pool;
mod uri;

pub use address::{AllowedNetworks, is_public};
pub use counters::Counters;
pub use error::{Detail, FetchError};
pub use fetch::{ANSWER_BYTES, Lookup, system_lookup};
pub use uri::{IssuerUri, KeysUri, URI_BYTES, UriError, check_issuer_uri, check_keys_uri};

use crate::clock::Clock;
use crate::net::Cidr;
use cache::{Asked, Bounds, Cache, Fetched};
use fetch::Fetcher;
use pool::{Pool, Size};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The longest that keys are fresh, whatever those who publish them say.
const KEYS_FRESH_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// The longest that an issuer's metadata is fresh: where its keys are is asked more often than
/// most say, since nothing else finds out that they have moved.
const METADATA_FRESH_AT_MOST: Duration = Duration::from_secs(3600);

/// Whom this server may ask, and how it knows them: what a node's configuration says.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// Networks that may be asked besides those of the public internet (`outbound.allow`).
    pub allow: Vec<Cidr>,
    /// Certificates in PEM that are trusted besides those that the machine trusts.
    pub ca_file: Option<PathBuf>,
}

/// What fetching may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that one request may take, from the name of the host to the end of the answer.
    /// It is also the longest that a fetch may wait to begin. An issuer's metadata may take two
    /// requests.
    pub deadline: Duration,
    /// How many URIs are remembered, of keys and of issuers each.
    pub uris: usize,
    /// How many bytes of answers are remembered, of keys and of issuers each, as they came.
    pub bytes: usize,
    /// Threads that fetch, and as many that resolve names.
    pub threads: usize,
    /// How many of them one host can have.
    pub per_host: usize,
    /// How many fetches can wait for a thread; for one host a quarter of them.
    pub queued: usize,
}

impl Default for Limits {
    /// 3 s, 10,000 URIs of 64 MiB, 8 threads with 2 for a host, 256 in the queue.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            uris: 10_000,
            bytes: 64 * 1024 * 1024,
            threads: 8,
            per_host: 2,
            queued: 256,
        }
    }
}

/// How a JWK Set is read.
pub struct Format<T, E> {
    /// Reads the bytes of a document. It limits the number of keys itself.
    pub parse: fn(&[u8]) -> Result<T, E>,
    /// Whether a key of this `kid` is in it.
    pub has_kid: fn(&T, &str) -> bool,
}

/// Why keys cannot be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum RemoteKeysError {
    /// There is nothing to know servers by.
    #[error("{} holds no certificate in PEM to know other servers by", .0.display())]
    NoCertificate(PathBuf),
    /// The operating system gives no thread.
    #[error("cannot start a thread")]
    NoThread(#[source] io::Error),
}

/// Where the keys of somebody are found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeysSource {
    /// At this place.
    JwksUri(KeysUri),
    /// Where the metadata of this issuer says.
    Issuer(IssuerUri),
}

impl KeysSource {
    /// The host that is asked first: all that log lines may show of it.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::JwksUri(uri) => uri.host(),
            Self::Issuer(issuer) => issuer.host(),
        }
    }
}

/// The keys of others, each set a `T`.
pub struct RemoteKeys<T> {
    keys: Arc<Cache<T>>,
    /// Where the keys of issuers are.
    issuers: Arc<Cache<KeysUri>>,
    pool: Pool,
    fetcher: Arc<Fetcher>,
    parse: Arc<Parse<T>>,
    has_kid: fn(&T, &str) -> bool,
}

type Parse<T> = dyn Fn(&[u8]) -> Result<T, FetchError> + Send + Sync;

impl<T: Send + Sync + 'static> RemoteKeys<T> {
    /// Makes ready to fetch; nobody is asked yet. `lookup` is [`system_lookup`] outside of tests.
    ///
    /// # Errors
    /// See [`RemoteKeysError`].
    pub fn new<E: fmt::Display + 'static>(
        outbound: &Outbound,
        limits: Limits,
        clock: Arc<dyn Clock>,
        lookup: Lookup,
        format: &Format<T, E>,
        counters: Counters,
    ) -> Result<Self, RemoteKeysError> {
        let bounds = |fresh_at_most| Bounds {
            uris: limits.uris,
            bytes: limits.bytes,
            fresh_at_most,
        };
        let issuers = Cache::new(
            "metadata of an issuer",
            bounds(METADATA_FRESH_AT_MOST),
            Arc::clone(&clock),
            counters.clone(),
        );
        let keys = bounds(KEYS_FRESH_AT_MOST);
        let size = Size {
            threads: limits.threads,
            per_host: limits.per_host,
            queued: limits.queued,
            patience: limits.deadline,
        };
        let (parse, has_kid) = (format.parse, format.has_kid);
        let unusable = |error: E| FetchError::Unusable(Detail::of(&error));
        Ok(Self {
            keys: Cache::new("keys", keys, clock, counters),
            issuers,
            pool: Pool::start("writ-fetch", size).map_err(RemoteKeysError::NoThread)?,
            fetcher: Arc::new(Fetcher::new(outbound, &limits, lookup)?),
            parse: Arc::new(move |document| parse(document).map_err(unusable)),
            has_kid,
        })
    }

    /// The keys of a source, as fresh as they have to be. Where `wanted_kid` is given and not among
    /// them they are fetched anew, at most once in 30 seconds; it may be missing all the same. When
    /// they cannot be fetched, those of up to a day ago are served if the wanted one is among them.
    ///
    /// It waits for the deadline of [`Limits`] some times at most: for a thread, for the answer,
    /// and for both again where an issuer is asked first.
    ///
    /// # Errors
    /// The keys cannot be had, or could not be lately.
    pub async fn keys(
        &self,
        source: &KeysSource,
        wanted_kid: Option<&str>,
    ) -> Result<Arc<T>, FetchError> {
        match source {
            KeysSource::JwksUri(uri) => self.keys_at(uri, wanted_kid).await,
            KeysSource::Issuer(issuer) => {
                let uri = self.discover(issuer).await?;
                self.keys_at(&uri, wanted_kid).await
            }
        }
    }

    /// Where the keys of an issuer are: the `jwks_uri` of its metadata, whose `issuer` must be this
    /// one to the letter (OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3).
    ///
    /// # Errors
    /// The metadata cannot be had, or could not be lately, or it is of another issuer.
    pub async fn discover(&self, issuer: &IssuerUri) -> Result<Arc<KeysUri>, FetchError> {
        let fetcher = Arc::clone(&self.fetcher);
        let asked = issuer.clone();
        let fetch = move || metadata(&fetcher, &asked);
        self.have(&self.issuers, issuer.shared(), |_| true, fetch)
            .await
    }

    async fn keys_at(&self, uri: &KeysUri, wanted: Option<&str>) -> Result<Arc<T>, FetchError> {
        let (fetcher, parse) = (Arc::clone(&self.fetcher), Arc::clone(&self.parse));
        let at = uri.clone();
        let fetch = move || {
            let answer = fetcher.get(&at)?;
            Ok(Fetched {
                value: parse(&answer.body)?,
                bytes: answer.body.len(),
                fresh_for: answer.fresh_for,
            })
        };
        let known = |keys: &T| wanted.is_none_or(|kid| (self.has_kid)(keys, kid));
        self.have(&self.keys, uri.shared(), known, fetch).await
    }

    /// What a cache has, or gets by a fetch.
    async fn have<V: Send + Sync + 'static>(
        &self,
        cache: &Arc<Cache<V>>,
        uri: &uri::Uri,
        known: impl Fn(&V) -> bool,
        fetch: impl FnOnce() -> Result<Fetched<V>, FetchError> + Send + 'static,
    ) -> Result<Arc<V>, FetchError> {
        let told = match cache.ask(uri, &known) {
            Asked::Answer(answer) => return answer,
            Asked::Wait(told) => told,
            Asked::Begin(flight, told) => {
                let host = Arc::clone(&uri.host);
                self.pool.submit(host, move || flight.run(fetch));
                told
            }
        };
        match told.await {
            Ok(landed) => cache.answer(landed, known),
            // A flight always lands.
            Err(_) => Err(FetchError::Internal),
        }
    }
}

impl<T> fmt::Debug for RemoteKeys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("keys", &self.keys)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

/// What is read of an issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

fn metadata(fetcher: &Fetcher, issuer: &IssuerUri) -> Result<Fetched<KeysUri>, FetchError> {
    let [first, second] = issuer.metadata();
    let answer = match fetcher.get(&first) {
        // It is there, and has not got this: many stores say 403 for what they have not got.
        Err(FetchError::Status(400..=499)) => fetcher.get(&second)?,
        answer => answer?,
    };
    let unusable = |error: &dyn fmt::Display| FetchError::Unusable(Detail::of(error));
    let metadata: Metadata =
        serde_json::from_slice(&answer.body).map_err(|error| unusable(&error))?;
    if metadata.issuer != issuer.as_str() {
        return Err(FetchError::OtherIssuer);
    }
    let value = KeysUri::parse(&metadata.jwks_uri)
        .map_err(|error| unusable(&format_args!("jwks_uri {error}")))?;
    Ok(Fetched {
        value,
        bytes: answer.body.len(),
        fresh_for: answer.fresh_for,
    })
}

#[cfg(test)]
mod tests;
