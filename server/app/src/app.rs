//! What every request may use: the ledger, the keys, the clock, the limits of this node. It is
//! made once, by `bootstrap.rs`, and shared.

use crate::clock::{Clock, Ids, Random};
use crate::config::Issuer;
use crate::keys::{KeyFault, KeyRing, generate};
use crate::net::TrustedProxies;
use crate::telemetry::{CommandOutcome, Entity, Metrics};
use crate::token::{self, TokenFault, ValidatedToken};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use writ_core::{
    Algorithm, CommandId, Event, Index, KeyState, Kid, Millis, NewSigningKey, Refusal, Submission,
};
use writ_ledger::{DataDir, Fault, IssuanceLog, KeyStore, Ledger, Notes, Receipt, Rejection};
use zeroize::Zeroizing;

/// The parts of a running server.
#[derive(Debug)]
pub struct App {
    /// The issuer identifier (RFC 8414 §2).
    pub issuer: Issuer,
    /// The admin log and the index that it adds up to.
    pub ledger: Ledger,
    /// The records of issuances.
    pub issuances: IssuanceLog,
    /// Private keys, sealed.
    pub key_store: Arc<KeyStore>,
    /// The texts of reasons, which can be deleted.
    pub notes: Arc<Notes>,
    /// What counts and measures.
    pub metrics: Metrics,
    /// Whose word about client addresses is taken.
    pub proxies: TrustedProxies,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes identifiers.
    pub ids: Arc<Ids>,
    /// Makes secrets.
    pub random: Arc<dyn Random>,
    /// Keys parsed for use, of the published index.
    pub(crate) keys: ArcSwap<KeyRing>,
    pub(crate) draining: AtomicBool,
    /// One at a time, so that an older ring never replaces a newer one.
    pub(crate) refreshing: Mutex<()>,
    /// Holds the lock of the data directory as long as the server lives.
    pub(crate) _data: DataDir,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This server cannot.
    #[error(transparent)]
    Unavailable(#[from] Fault),
    /// A signing key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyFault),
}

impl From<Rejection> for ExecuteError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Refused(refusal) => Self::Refused(refusal),
            Rejection::Unavailable(fault) => Self::Unavailable(fault),
        }
    }
}

impl App {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// The published index. Never blocks.
    #[must_use]
    pub fn index(&self) -> Arc<Index> {
        self.ledger.snapshot()
    }

    /// The keys in use. Never blocks.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        self.keys.load_full()
    }

    /// A fresh id for a command.
    #[must_use]
    pub fn command_id(&self) -> CommandId {
        CommandId(self.ids.next_id())
    }

    /// Validates a token that somebody presents, against the live index.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn validate_token(&self, token: &str) -> Result<ValidatedToken, TokenFault> {
        let (ring, index) = (self.keys.load(), self.ledger.index());
        token::validate(token, &ring, &index, self.issuer.as_str(), self.now())
    }

    /// Carries out a command: durable, published, and in force on this node when it returns.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn execute(&self, submission: Submission) -> Result<Receipt, ExecuteError> {
        let outcome = self.ledger.execute(submission).await;
        self.metrics.command(match &outcome {
            Ok(receipt) if receipt.repeat.is_some() => CommandOutcome::Repeated,
            Ok(_) => CommandOutcome::Accepted,
            Err(Rejection::Refused(_)) => CommandOutcome::Refused,
            Err(Rejection::Unavailable(_)) => CommandOutcome::Failed,
        });
        let receipt = outcome?;
        let touches_keys = |event: &Event| {
            matches!(
                event,
                Event::SigningKeyMade(_)
                    | Event::SigningKeyActivated(_)
                    | Event::SigningKeyRetired(_)
                    | Event::SigningKeyRevoked(_)
                    | Event::SigningKeyRemoved(_)
            )
        };
        if receipt
            .events
            .iter()
            .any(|recorded| touches_keys(&recorded.event))
        {
            self.refresh_keys()?;
            for recorded in &receipt.events {
                self.destroy_private_key(&recorded.event);
            }
        }
        Ok(receipt)
    }

    /// Makes a signing key and seals its private part in the key store. It counts for nothing
    /// until a command names it.
    ///
    /// # Errors
    /// When it cannot be made or kept.
    pub async fn make_key(&self, algorithm: Algorithm) -> Result<NewSigningKey, ExecuteError> {
        let store = Arc::clone(&self.key_store);
        // An RSA key takes up to 0.2 s of CPU, and the store waits for the disk.
        let made = tokio::task::spawn_blocking(move || make_and_seal(&store, algorithm)).await;
        made.unwrap_or(Err(ExecuteError::Key(KeyFault::Generation(algorithm))))
    }

    /// Takes away a key that was made and then not wanted: its command was refused.
    pub fn discard_key(&self, kid: &Kid) {
        if let Err(fault) = self.key_store.delete(kid.as_str()) {
            tracing::warn!(%kid, %fault, "the private key of a refused command stays in the store");
        }
    }

    /// Builds the key ring anew from the published index. A key that cannot be used is left out,
    /// so that a compromised one is gone in any case.
    ///
    /// # Errors
    /// The first key that cannot be used; the others are in use.
    pub fn refresh_keys(&self) -> Result<(), KeyFault> {
        let _turn = self
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let index = self.index();
        let keys = index.keys().map(AsRef::as_ref);
        let load = |kid: &Kid| self.private_key(kid);
        let (ring, faults) = KeyRing::salvage(keys, self.now(), &self.keys.load(), load);
        self.keys.store(Arc::new(ring));
        faults.into_iter().next().map_or(Ok(()), Err)
    }

    fn private_key(&self, kid: &Kid) -> Result<Zeroizing<Vec<u8>>, String> {
        match self.key_store.get(kid.as_str()) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err("it is not in the key store".to_owned()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Private keys that no event names, or whose key will not sign again: what a crash between
    /// the store and the log left behind.
    pub(crate) fn forget_stray_keys(&self) {
        let index = self.index();
        for id in self.key_store.list() {
            let wanted = index.key(&id).is_some_and(|key| {
                matches!(key.state, KeyState::Published | KeyState::Active { .. })
            });
            if !wanted && let Err(fault) = self.key_store.delete(&id) {
                tracing::warn!(kid = id, %fault, "a private key could not be destroyed");
            }
        }
    }

    /// A key that never signs again has no private part any more.
    fn destroy_private_key(&self, event: &Event) {
        let kid = match event {
            Event::SigningKeyRetired(e) => &e.kid,
            Event::SigningKeyRevoked(e) => &e.kid,
            Event::SigningKeyRemoved(e) => &e.kid,
            _ => return,
        };
        if let Err(fault) = self.key_store.delete(kid.as_str()) {
            tracing::error!(%kid, %fault, "a private key could not be destroyed");
        }
    }

    /// Brings the metrics up to date that are read rather than counted.
    pub fn observe(&self) {
        let index = self.index();
        let sizes = [
            (Entity::ApiResources, index.api_count()),
            (Entity::Applications, index.application_count()),
            (Entity::RevokedTokens, index.revoked_count()),
            (Entity::Roles, index.role_count()),
            (Entity::SigningKeys, index.keys().count()),
        ];
        for (entity, count) in sizes {
            self.metrics.index_size(entity, count);
        }
        self.metrics.log_head(index.head().unwrap_or_default());
        self.metrics.writer_healthy(self.ledger.is_healthy());
        self.metrics
            .issuance_healthy(self.issuances.ready().is_ok());
    }

    /// From now on this node says that it is not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Why this node should get no requests, or nothing.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.draining.load(Ordering::SeqCst) {
            return Some("stopping".into());
        }
        if let Some(cause) = self.ledger.fatal_cause() {
            return Some(format!(
                "the admin log is read-only until a restart: {cause}"
            ));
        }
        if let Err(fault) = self.issuances.ready() {
            return Some(fault.to_string());
        }
        let ring = self.keys.load();
        let missing = Algorithm::ALL
            .into_iter()
            .find(|algorithm| ring.signer(*algorithm).is_none());
        missing.map(|algorithm| format!("no key signs with {algorithm}"))
    }
}

/// Makes a key and seals it; blocks.
pub(crate) fn make_and_seal(
    store: &KeyStore,
    algorithm: Algorithm,
) -> Result<NewSigningKey, ExecuteError> {
    let key = generate(algorithm)?;
    store.put(key.kid.as_str(), &key.pkcs8)?;
    Ok(NewSigningKey {
        kid: key.kid,
        algorithm,
        jwk: key.public_jwk,
    })
}
