//! The keys of applications and of trusted issuers: registered here, or published by them.

use crate::clock::Clock;
use crate::config;
use crate::jose::{ForeignKeys, KeySetFault};
use crate::remote_keys::{
    Counters, FetchError, Format, IssuerUri, KeysSource, KeysUri, Limits, Outbound, RemoteKeys,
    system_lookup,
};
use std::fmt;
use std::sync::{Arc, OnceLock};
use writ_core::{HttpsUri, IssuerKeys, RegisteredKey, TrustedIssuer};

/// Why there are no keys to verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// Those that are registered cannot be used.
    #[error("registered keys cannot be used: {0}")]
    Registered(#[from] KeySetFault),
    /// Those that are published cannot be had.
    #[error("published keys cannot be had: {0}")]
    Published(#[from] FetchError),
    /// The address is none that this node asks.
    #[error("not an address that keys are fetched from")]
    Address,
    /// This node cannot fetch anything.
    #[error("this node cannot fetch keys: {0}")]
    Unready(Arc<str>),
}

/// Finds keys of others. Nothing is started before somebody has keys elsewhere.
pub struct KeysOfOthers {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    counters: Counters,
    remote: OnceLock<Result<RemoteKeys<ForeignKeys>, Arc<str>>>,
}

impl fmt::Debug for KeysOfOthers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysOfOthers")
            .field("outbound", &self.outbound)
            .finish_non_exhaustive()
    }
}

impl KeysOfOthers {
    /// As a node is configured. Fetches are counted in `counters`.
    #[must_use]
    pub fn new(outbound: &config::Outbound, clock: Arc<dyn Clock>, counters: Counters) -> Self {
        Self {
            outbound: Outbound {
                allow: outbound.allow.clone(),
                ca_file: outbound.ca_file.clone(),
            },
            clock,
            counters,
            remote: OnceLock::new(),
        }
    }

    /// The keys of an application. `wanted` is the `kid` of the token that is to be verified.
    ///
    /// # Errors
    /// See [`KeysFault`].
    pub async fn of_application(
        &self,
        registered: &[RegisteredKey],
        jwks_uri: Option<&HttpsUri>,
        wanted: Option<&str>,
    ) -> Result<Arc<ForeignKeys>, KeysFault> {
        match jwks_uri {
            Some(uri) => self.published(uri, wanted).await,
            None => Ok(Arc::new(ForeignKeys::from_registered(registered)?)),
        }
    }

    /// The keys of a trusted issuer.
    ///
    /// # Errors
    /// See [`KeysFault`].
    pub async fn of_issuer(
        &self,
        issuer: &TrustedIssuer,
        wanted: Option<&str>,
    ) -> Result<Arc<ForeignKeys>, KeysFault> {
        match &issuer.keys {
            IssuerKeys::Keys(keys) => Ok(Arc::new(ForeignKeys::from_registered(keys)?)),
            IssuerKeys::JwksUri(uri) => self.published(uri, wanted).await,
            IssuerKeys::Discovery => {
                let issuer = IssuerUri::parse(issuer.issuer.as_str());
                let issuer = issuer.map_err(|_| KeysFault::Address)?;
                self.fetched(&KeysSource::Issuer(issuer), wanted).await
            }
        }
    }

    async fn published(
        &self,
        uri: &HttpsUri,
        wanted: Option<&str>,
    ) -> Result<Arc<ForeignKeys>, KeysFault> {
        let uri = KeysUri::parse(uri.as_str()).map_err(|_| KeysFault::Address)?;
        self.fetched(&KeysSource::JwksUri(uri), wanted).await
    }

    async fn fetched(
        &self,
        source: &KeysSource,
        wanted: Option<&str>,
    ) -> Result<Arc<ForeignKeys>, KeysFault> {
        let remote = self.remote.get_or_init(|| self.start());
        let remote = remote
            .as_ref()
            .map_err(|why| KeysFault::Unready(Arc::clone(why)))?;
        Ok(remote.keys(source, wanted).await?)
    }

    fn start(&self) -> Result<RemoteKeys<ForeignKeys>, Arc<str>> {
        let format = Format {
            parse: ForeignKeys::parse,
            has_kid: ForeignKeys::has_kid,
        };
        let clock = Arc::clone(&self.clock);
        let (limits, counters) = (Limits::default(), self.counters.clone());
        RemoteKeys::new(
            &self.outbound,
            limits,
            clock,
            system_lookup(),
            &format,
            counters,
        )
        .map_err(|error| error.to_string().into())
    }
}
