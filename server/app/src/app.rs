//! What every request may use: the ledger, the keys, the clock, the limits of this node. It is
//! made once, by `bootstrap.rs`, and shared.

use crate::admin::Streams;
use crate::authorization_details::Schemas;
use crate::client_certificate::ClientAuthorities;
use crate::clock::{Clock, Ids, Random};
use crate::config::Issuer;
use crate::dpop::Nonces;
use crate::issue::failures::{self, Failures, Written};
use crate::keys::{KeyFault, KeyRing, Signer, generate};
use crate::keys_of_others::KeysOfOthers;
use crate::net::TrustedProxies;
use crate::policies::Policies;
use crate::quota::{FailureBudget, Quotas};
use crate::telemetry::{CommandOutcome, Entity, Metrics, carried_blocking};
use crate::token::{self, TokenFault, ValidatedToken, VerifiedTokens};
use crate::usage::Usage;
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use writ_core::{
    Algorithm, CommandId, Event, Index, KeyState, Kid, Millis, NewSigningKey, Refusal, Submission,
};
use writ_ledger::{
    Checkpoints, DataDir, FailureLog, Fault, IssuanceLog, KeyStore, Ledger, Notes, Receipt,
    Rejection, ReplayStore, Snapshots,
};
use zeroize::Zeroizing;

/// The parts of a running server.
#[derive(Debug)]
pub struct App {
    /// The issuer identifier (RFC 8414 §2).
    pub issuer: Issuer,
    /// The admin log and the index that it adds up to.
    pub ledger: Ledger,
    /// What the admin log was, signed.
    pub checkpoints: Arc<Checkpoints>,
    /// The index as a file, for the next start.
    pub snapshots: Arc<Snapshots>,
    /// The records of issuances.
    pub issuances: IssuanceLog,
    /// Authentication failures that are counted.
    pub failures: Failures,
    /// Those that are written.
    pub failure_log: FailureLog,
    /// Private keys, sealed.
    pub key_store: Arc<KeyStore>,
    /// The texts of reasons, which can be deleted.
    pub notes: Arc<Notes>,
    /// The policies, ready to be asked.
    pub policies: Arc<Policies>,
    /// Leave to have a module in memory that waits for the compiler.
    pub(crate) uploads: Semaphore,
    /// Leave to compile, or to try settings: one at a time, and the others wait without a thread.
    pub(crate) compiling: Semaphore,
    /// Leave to ask policies for a preview, so that tokens always find a sandbox.
    pub(crate) previews: Semaphore,
    /// What counts and measures.
    pub metrics: Arc<Metrics>,
    /// Whose word about client addresses is taken.
    pub proxies: TrustedProxies,
    /// The authorities of client certificates.
    pub client_ca: Arc<ClientAuthorities>,
    /// What counts once.
    pub once: ReplayStore,
    /// The schemas of types of authorization details, compiled.
    pub details_schemas: Schemas,
    /// How many tokens applications have taken.
    pub quotas: Quotas,
    /// How often somebody failed to authenticate lately.
    pub failure_budget: FailureBudget,
    /// When credentials were last used.
    pub usage: Usage,
    /// Nonces for DPoP proofs.
    pub nonces: Nonces,
    /// The keys of applications and trusted issuers.
    pub keys_of_others: KeysOfOthers,
    /// Tokens whose signature was verified.
    pub verified_tokens: VerifiedTokens,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes identifiers.
    pub ids: Arc<Ids>,
    /// Makes secrets.
    pub random: Arc<dyn Random>,
    /// Keys parsed for use, of the published index.
    pub(crate) keys: ArcSwap<KeyRing>,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) closed: AtomicBool,
    /// Those who follow the log.
    pub(crate) streams: Streams,
    /// Leave to search the records of issuances, and of authentication failures.
    pub(crate) scans: Semaphore,
    /// Leave to replay a past state for a reader.
    pub(crate) replays: Semaphore,
    pub(crate) in_flight: AtomicUsize,
    /// Lost records that metrics know of.
    pub(crate) lost_seen: AtomicU64,
    /// One at a time, so that an older ring never replaces a newer one.
    pub(crate) refreshing: Mutex<()>,
    /// The data directory: its lock is held as long as the server lives.
    pub(crate) data: DataDir,
}

/// The name of the log's own key in the key store. No kid has a slash.
pub(crate) const LOG_KEY: &str = "log/checkpoint";

/// The most requests that are answered at a time. A connection of HTTP/2 can open as many as it
/// likes for a few bytes each; what is over this is told to come back.
const IN_FLIGHT_MAX: usize = 8_192;

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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
    pub fn validate_token(&self, token: &str) -> Result<Arc<ValidatedToken>, TokenFault> {
        let (ring, index) = (self.keys.load(), self.ledger.index());
        let (verified, issuer) = (&self.verified_tokens, self.issuer.as_str());
        token::validate(token, verified, &ring, &index, issuer, self.now())
    }

    /// Validates again a token that was valid once.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn revalidate_token(&self, token: &ValidatedToken) -> Result<(), TokenFault> {
        let (ring, index) = (self.keys.load(), self.ledger.index());
        token::validate_again(token, &ring, &index, self.now())
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
        let events = || receipt.events.iter().map(|recorded| &recorded.event);
        if events().any(is_about_keys) {
            // The change is in force whatever becomes of this: a key that cannot be used is left
            // out of the ring, and readiness says so.
            if let Err(fault) = self.refresh_keys() {
                tracing::error!(%fault, "a signing key cannot be used");
            }
            for kid in events().filter_map(spent) {
                self.discard_key(kid).await;
            }
        }
        if events().any(is_about_bindings) {
            self.follow_bindings();
        }
        Ok(receipt)
    }

    /// Forgets policies that are not bound any more.
    pub(crate) fn follow_bindings(&self) {
        let missing = self.policies.follow(|| self.index());
        self.metrics.policies_unavailable(missing);
    }

    /// Signs what the admin log is now, if it has grown; blocks. What cannot be signed is said in
    /// the log of this node and tried again.
    pub fn checkpoint(&self) {
        if let Err(fault) = self.checkpoints.sign(&self.ledger) {
            tracing::error!(%fault, "the log could not be signed");
        }
    }

    /// Makes a signing key and seals its private part in the key store. It counts for nothing
    /// until a command names it.
    ///
    /// # Errors
    /// When it cannot be made or kept.
    pub async fn make_key(&self, algorithm: Algorithm) -> Result<NewSigningKey, ExecuteError> {
        let store = Arc::clone(&self.key_store);
        // An RSA key takes up to 0.2 s of CPU, and the store waits for the disk.
        let make = carried_blocking(move || make_and_seal(&store, algorithm));
        let made = tokio::task::spawn_blocking(make).await;
        made.unwrap_or(Err(ExecuteError::Key(KeyFault::Generation(algorithm))))
    }

    /// Destroys the private part of a key: it never signs again, or never did because its command
    /// was refused.
    pub async fn discard_key(&self, kid: &Kid) {
        let (store, id) = (Arc::clone(&self.key_store), kid.to_string());
        let delete = carried_blocking(move || store.delete(&id));
        let deleted = tokio::task::spawn_blocking(delete).await;
        if !matches!(deleted, Ok(Ok(_))) {
            tracing::error!(%kid, ?deleted, "a private key could not be destroyed");
        }
    }

    /// Whether the private part of a key is there and is what it should be.
    #[must_use]
    pub fn can_sign(&self, kid: &Kid, algorithm: Algorithm) -> bool {
        self.check_can_sign(kid, algorithm).is_ok()
    }

    /// The same, with what is wrong.
    ///
    /// # Errors
    /// The private part is gone, or is not what it should be.
    pub fn check_can_sign(&self, kid: &Kid, algorithm: Algorithm) -> Result<(), KeyFault> {
        let key = self.private_key(kid).map_err(|why| KeyFault::Load {
            kid: kid.clone(),
            source: why.into(),
        })?;
        Signer::from_pkcs8(kid.clone(), algorithm, &key).map(drop)
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
        let stored = self.key_store.list().into_iter();
        for id in stored.filter(|id| id != LOG_KEY) {
            let wanted = index.key(&id).is_some_and(|key| {
                matches!(key.state, KeyState::Published | KeyState::Active { .. })
            });
            if !wanted && let Err(fault) = self.key_store.delete(&id) {
                tracing::warn!(kid = id, %fault, "a private key could not be destroyed");
            }
        }
    }

    /// Brings the metrics up to date that are read rather than counted.
    pub fn observe(&self) {
        let index = self.index();
        let sizes = [
            (Entity::ApiResources, index.api_count()),
            (Entity::Applications, index.application_count()),
            (Entity::Policies, index.policy_count()),
            (Entity::PolicyBindings, index.policy_binding_count()),
            (Entity::RevokedTokens, index.revoked_count()),
            (Entity::Roles, index.role_count()),
            (Entity::SigningKeys, index.keys().count()),
        ];
        for (entity, count) in sizes {
            self.metrics.index_size(entity, count);
        }
        self.metrics.sandboxes_in_use(self.policies.in_use());
        self.metrics.log_head(index.head().unwrap_or_default());
        self.metrics.writer_healthy(self.ledger.is_healthy());
        self.metrics
            .issuance_healthy(self.issuances.ready().is_ok());
        let stats = self.issuances.stats();
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        self.metrics.issuance_waiting(size(stats.queued));
        let seen = self.lost_seen.swap(stats.lost, Ordering::SeqCst);
        self.metrics
            .issuance_lost(size(stats.lost.saturating_sub(seen)));
    }

    /// Lets a request in, unless too many are being answered already.
    #[must_use]
    pub fn enter(&self) -> Option<InFlight<'_>> {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let entered = InFlight(&self.in_flight);
        (before < IN_FLIGHT_MAX).then_some(entered)
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// From now on requests are told to go elsewhere.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether requests are told to go elsewhere.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// From now on this node says that it is not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.streams.end();
    }

    /// Writes what is queued, and takes no more. Blocks.
    pub fn finish(&self) {
        self.ledger.close();
        self.checkpoint();
        self.issuances.close();
        self.once.close();
        if let Err(fault) = self.usage.write(&self.data, self.now(), true) {
            tracing::error!(%fault, "when credentials were last used is not written");
        }
        if let Err(fault) = failures::write(self, Written::All) {
            tracing::error!(%fault, "counts of authentication failures are lost");
        }
    }

    /// Why only a restart of this node helps, or nothing.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        if let Some(cause) = self.ledger.fatal_cause() {
            return Some(format!(
                "the admin log is read-only until a restart: {cause}"
            ));
        }
        // A disk that is nearly full stops tokens and not administration: that mends itself.
        if !self.issuances.is_healthy() {
            return Some("the issuance log is read-only until a restart".into());
        }
        self.once
            .fatal_cause()
            .map(|_| "the store of what counts once is read-only until a restart".into())
    }

    /// Why this node should get no requests, or nothing.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.draining.load(Ordering::SeqCst) {
            return Some("stopping".into());
        }
        if let Some(why) = self.broken() {
            return Some(why);
        }
        let ring = self.keys.load();
        let missing = Algorithm::ALL
            .into_iter()
            .find(|algorithm| ring.signer(*algorithm).is_none());
        missing.map(|algorithm| format!("no key signs with {algorithm}"))
    }
}

fn is_about_keys(event: &Event) -> bool {
    matches!(
        event,
        Event::SigningKeyMade(_)
            | Event::SigningKeyActivated(_)
            | Event::SigningKeyRetired(_)
            | Event::SigningKeyRevoked(_)
            | Event::SigningKeyRemoved(_)
    )
}

fn is_about_bindings(event: &Event) -> bool {
    matches!(
        event,
        Event::PolicyBindingCreated(_)
            | Event::PolicyBindingChanged(_)
            | Event::PolicyBindingRemoved(_)
    )
}

/// The key that an event ends: it has no private part any more.
fn spent(event: &Event) -> Option<&Kid> {
    match event {
        Event::SigningKeyRetired(e) => Some(&e.kid),
        Event::SigningKeyRevoked(e) => Some(&e.kid),
        Event::SigningKeyRemoved(e) => Some(&e.kid),
        _ => None,
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
