//! Who is it? The one place where applications are told from those who only say so: by a secret
//! (`authenticate/secret.rs`), by a signed token (`authenticate/assertion.rs`), or by the
//! certificate of their connection (`authenticate/certificate.rs`).

mod assertion;
mod certificate;
mod secret;
mod spent;

pub use spent::Spent;

use super::IssueError;
use crate::app::App;
use crate::client_certificate::ClientCertificate;
use crate::jose::Replay;
use crate::overload;
use crate::quota::Origin;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use writ_core::{
    Application, ApplicationId, AuthenticationMethod, Index, IssuerId, Millis, Name, Position,
    SecretId,
};
use writ_ledger::{Credential, ForeignToken};

/// Credentials as somebody presents them. Nothing in here is known to be true.
pub enum PresentedCredentials<'a> {
    /// A secret (RFC 6749 §2.3.1).
    Secret {
        /// What claims to be a `client_id`.
        client_id: &'a str,
        /// What claims to be its secret.
        presented_secret: &'a str,
        /// `client_secret_basic` or `client_secret_post`.
        method: AuthenticationMethod,
    },
    /// A signed token: the application's own, or one of a trusted issuer (RFC 7523 §2).
    Assertion {
        /// What claims to be a `client_id`, where it is said beside the token.
        client_id: Option<&'a str>,
        /// The token.
        assertion: &'a str,
    },
    /// Nothing but the certificate of the connection (RFC 8705 §2).
    Certificate {
        /// What claims to be a `client_id`.
        client_id: &'a str,
    },
}

impl fmt::Debug for PresentedCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret { method, .. } => method.as_str(),
            Self::Assertion { .. } => "assertion",
            Self::Certificate { .. } => "certificate",
        })
    }
}

/// Who calls, as the request shows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// What they present.
    pub credentials: &'a PresentedCredentials<'a>,
    /// The certificate of their connection.
    pub certificate: Option<&'a ClientCertificate>,
    /// Where they call from, by the trusted proxies' word.
    pub source: IpAddr,
}

/// What proved an application.
#[derive(Clone, Debug)]
pub(in crate::issue) enum Proof {
    /// One of its secrets.
    Secret(SecretId),
    /// One of its keys, by an assertion that counts once.
    Key {
        thumbprint: [u8; 32],
        replay: Replay,
    },
    /// A certificate.
    Certificate([u8; 32]),
    /// A token of a trusted issuer, by one of its trust rules.
    Token {
        rule: Name,
        issuer: IssuerId,
        /// The last change of the issuer that was trusted.
        trusted: Position,
        token: ForeignToken,
        expires_at: Millis,
    },
}

impl Proof {
    /// What the credential is called: in records and where its use is counted.
    fn credential_id(&self) -> String {
        match self {
            Self::Secret(id) => id.to_string(),
            Self::Key { thumbprint, .. } | Self::Certificate(thumbprint) => {
                URL_SAFE_NO_PAD.encode(thumbprint)
            }
            Self::Token { rule, .. } => rule.to_string(),
        }
    }

    /// Whether it would still prove the application, of which nothing has changed.
    pub fn still_stands(&self, index: &Index, application: &Application, now: Millis) -> bool {
        match self {
            Self::Secret(id) => application
                .secrets
                .iter()
                .any(|secret| secret.id == *id && secret.is_valid(now)),
            Self::Key { .. } | Self::Certificate(_) => true,
            Self::Token {
                issuer,
                trusted,
                expires_at,
                ..
            } => {
                let issuer = index.trusted_issuer(*issuer);
                issuer.is_some_and(|issuer| issuer.version == *trusted) && now < *expires_at
            }
        }
    }
}

/// Evidence that an application proved who it is, and by which credential.
#[derive(Clone, Debug)]
pub struct AuthenticatedApplication {
    application: Arc<Application>,
    proof: Proof,
    method: AuthenticationMethod,
}

impl AuthenticatedApplication {
    /// The application, as the index had it.
    #[must_use]
    pub fn application(&self) -> &Arc<Application> {
        &self.application
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ApplicationId {
        self.application.id
    }

    /// What proved it.
    pub(in crate::issue) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The same as the record of an issuance has it.
    pub(in crate::issue) fn credential(&self) -> Credential {
        Credential {
            method: self.method.as_str().into(),
            id: self.proof.credential_id().into(),
            token: self.foreign_token().cloned(),
        }
    }

    /// The method by which it authenticated.
    #[must_use]
    pub fn method(&self) -> AuthenticationMethod {
        self.method
    }

    /// The token of a trusted issuer that proved it, if that did.
    pub(in crate::issue) fn foreign_token(&self) -> Option<&ForeignToken> {
        match &self.proof {
            Proof::Token { token, .. } => Some(token),
            Proof::Secret(_) | Proof::Key { .. } | Proof::Certificate(_) => None,
        }
    }

    /// Counts the use of its credential: once a request.
    pub fn used(&self, app: &App) {
        let credential = self.proof.credential_id();
        app.usage.used(self.id(), &credential, app.now());
    }

    /// What it presented and must not present again.
    pub(in crate::issue) fn replay(&self) -> Option<&Replay> {
        match &self.proof {
            Proof::Key { replay, .. } => Some(replay),
            Proof::Secret(_) | Proof::Certificate(_) | Proof::Token { .. } => None,
        }
    }
}

macro_rules! reasons {
    ($($variant:ident = $name:literal,)*) => {
        /// Why somebody did not prove who they are: for the log of failures alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum FailureReason {
            $($variant,)*
        }

        impl FailureReason {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    UnknownApplication = "unknown_application",
    WrongSecret = "wrong_secret",
    ExpiredSecret = "expired_secret",
    DisabledApplication = "disabled_application",
    MethodNotAllowed = "method_not_allowed",
    WrongAssertion = "wrong_assertion",
    ReplayedAssertion = "replayed_assertion",
    KeysUnavailable = "keys_unavailable",
    UntrustedToken = "untrusted_token",
    NoCertificate = "no_certificate",
    WrongCertificate = "wrong_certificate",
    WrongInitialAccessToken = "wrong_initial_access_token",
    SpentInitialAccessToken = "spent_initial_access_token",
    WrongRegistrationAccessToken = "wrong_registration_access_token",
}

/// A failure, with nothing of what was presented.
#[derive(Debug)]
pub(super) struct AuthenticationFailure {
    pub reason: FailureReason,
    /// The application, if there is one of that id.
    pub application: Option<ApplicationId>,
}

impl AuthenticationFailure {
    fn of(application: &Application, reason: FailureReason) -> Self {
        Self {
            reason,
            application: Some(application.id),
        }
    }
}

type Checked = Result<(Arc<Application>, Proof, AuthenticationMethod), AuthenticationFailure>;

/// Checks credentials. Whatever is wrong, it is one answer. Failures are counted (`failures.rs`),
/// each in the same way, and nothing that the caller can see depends on the reason.
///
/// An assertion that is good is not spent by this: [`Spent`] is for that.
///
/// # Errors
/// [`IssueError::InvalidClient`], always the same; or [`IssueError::TooManyFailures`] or
/// [`IssueError::Overloaded`] before anything is looked at.
pub async fn authenticate(
    app: &App,
    index: &Index,
    caller: Caller<'_>,
) -> Result<AuthenticatedApplication, IssueError> {
    let now = app.now();
    let origin = || {
        // Ids that are none are one kind, or each would be somebody who has asked for nothing yet.
        let known = |id: &ApplicationId| index.application(*id).is_some();
        Origin::new(caller.source, claimed(caller.credentials).filter(known))
    };
    if !overload::admits(origin) {
        app.metrics.shed();
        return Err(IssueError::Overloaded);
    }
    let budget = &app.failure_budget;
    let key = || Origin::new(caller.source, claimed(caller.credentials));
    if !budget.is_untouched()
        && let Some(retry_after_seconds) = budget.refuses(key(), now)
    {
        app.metrics.authentication_refused();
        return Err(IssueError::TooManyFailures {
            retry_after_seconds,
        });
    }
    let checked = match *caller.credentials {
        PresentedCredentials::Secret {
            client_id,
            presented_secret,
            method,
        } => secret::check(index, client_id, presented_secret, method, now),
        PresentedCredentials::Assertion {
            client_id,
            assertion,
        } => assertion::check(app, index, client_id, assertion, now).await,
        PresentedCredentials::Certificate { client_id } => {
            certificate::check(app, index, client_id, caller.certificate, now).await
        }
    };
    let allowed = checked.and_then(|(application, proof, method)| {
        // Last, so that a disabled application takes the same steps as one that is not.
        let reason = match () {
            () if !application.enabled => FailureReason::DisabledApplication,
            () if !application.may_use(method, index.settings()) => FailureReason::MethodNotAllowed,
            () => {
                return Ok(AuthenticatedApplication {
                    application,
                    proof,
                    method,
                });
            }
        };
        Err(AuthenticationFailure::of(&application, reason))
    });
    allowed.map_err(|failure| {
        count(app, index, &failure, caller.source, now);
        // That keys could not be had is nobody's attempt.
        if failure.reason != FailureReason::KeysUnavailable {
            budget.failed(key(), now);
        }
        IssueError::InvalidClient
    })
}

/// Who is said to call. Nothing of it is known to be true.
fn claimed(credentials: &PresentedCredentials<'_>) -> Option<ApplicationId> {
    match *credentials {
        PresentedCredentials::Secret { client_id, .. }
        | PresentedCredentials::Certificate { client_id }
        | PresentedCredentials::Assertion {
            client_id: Some(client_id),
            ..
        } => client_id.parse().ok(),
        PresentedCredentials::Assertion {
            client_id: None,
            assertion,
        } => assertion::claimed(assertion),
    }
}

fn count(app: &App, index: &Index, failure: &AuthenticationFailure, source: IpAddr, now: Millis) {
    let kept = index.settings().issuance_source_address.then_some(source);
    app.failures.count(failure, kept, now);
}

/// Counts a token of dynamic client registration that does not let in, as all failures are.
pub(crate) fn registration_failed(
    app: &App,
    index: &Index,
    reason: FailureReason,
    application: Option<ApplicationId>,
    source: IpAddr,
) {
    let failure = AuthenticationFailure {
        reason,
        application,
    };
    count(app, index, &failure, source, app.now());
}

/// The application of a presented id, if there is one.
fn presented<'a>(
    index: &'a Index,
    client_id: &str,
) -> Result<&'a Arc<Application>, AuthenticationFailure> {
    let id = client_id.parse::<ApplicationId>().ok();
    id.and_then(|id| index.application(id))
        .ok_or(AuthenticationFailure {
            reason: FailureReason::UnknownApplication,
            application: None,
        })
}
