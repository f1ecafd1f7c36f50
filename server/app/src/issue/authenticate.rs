//! Who is it? The one place that compares secrets.

use super::IssueError;
use crate::app::App;
use crate::credentials::{digest, digests_match};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use writ_core::{
    Application, ApplicationId, AuthenticationMethod, Index, Millis, SecretId, SecretMatch,
};
use writ_ledger::Credential;

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
}

impl fmt::Debug for PresentedCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { method, .. } => f
                .debug_struct("Secret")
                .field("method", method)
                .finish_non_exhaustive(),
        }
    }
}

/// What proved an application.
#[derive(Clone, Debug)]
pub(in crate::issue) enum Proof {
    /// One of its secrets.
    Secret(SecretId),
}

impl Proof {
    /// As the record of an issuance has it.
    pub fn recorded(&self, method: AuthenticationMethod) -> Credential {
        let id = match self {
            Self::Secret(id) => id.to_string(),
        };
        Credential {
            method: method.as_str().into(),
            id: id.into(),
            token: None,
        }
    }

    /// Whether it would still prove the application, where nothing of that has changed.
    pub fn still_stands(&self, application: &Application, now: Millis) -> bool {
        match self {
            Self::Secret(id) => application
                .secrets
                .iter()
                .any(|secret| secret.id == *id && secret.is_valid(now)),
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

    /// The method by which it authenticated.
    #[must_use]
    pub fn method(&self) -> AuthenticationMethod {
        self.method
    }
}

/// Compared with in any case, so that an application that does not exist takes a hash and a
/// comparison too; each secret of one that does takes one more, some nanoseconds beside a request.
/// No secret has this digest.
const NOBODY: [u8; 32] = [0x5a; 32];

/// Why somebody did not prove who they are: for the log of failures alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FailureReason {
    UnknownApplication,
    WrongSecret,
    ExpiredSecret,
    DisabledApplication,
    MethodNotAllowed,
}

impl FailureReason {
    pub const ALL: [Self; 5] = [
        Self::UnknownApplication,
        Self::WrongSecret,
        Self::ExpiredSecret,
        Self::DisabledApplication,
        Self::MethodNotAllowed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownApplication => "unknown_application",
            Self::WrongSecret => "wrong_secret",
            Self::ExpiredSecret => "expired_secret",
            Self::DisabledApplication => "disabled_application",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }
}

/// A failure, with nothing of what was presented.
#[derive(Debug)]
pub(super) struct AuthenticationFailure {
    pub reason: FailureReason,
    /// The application, if there is one of that id.
    pub application: Option<ApplicationId>,
}

/// Checks a secret. An unknown application, a disabled one, an expired and a wrong secret are one
/// answer, and the same work but for the comparisons. Failures are counted (`failures.rs`), each in
/// the same way: the reason falls out of what every check finds anyway, and nothing that the caller
/// can see depends on it.
///
/// # Errors
/// [`IssueError::InvalidClient`], always the same.
pub fn authenticate(
    app: &App,
    index: &Index,
    credentials: &PresentedCredentials<'_>,
    source: IpAddr,
) -> Result<AuthenticatedApplication, IssueError> {
    let now = app.now();
    let PresentedCredentials::Secret {
        client_id,
        presented_secret,
        method,
    } = credentials;
    let checked = check_secret(index, client_id, presented_secret, *method, now);
    checked.map_err(|failure| {
        let kept = index.settings().issuance_source_address.then_some(source);
        app.failures.count(&failure, kept, now);
        IssueError::InvalidClient
    })
}

fn check_secret(
    index: &Index,
    client_id: &str,
    presented_secret: &str,
    method: AuthenticationMethod,
    now: Millis,
) -> Result<AuthenticatedApplication, AuthenticationFailure> {
    let presented = digest(presented_secret.as_bytes());
    let id = client_id.parse::<ApplicationId>().ok();
    let application = id.and_then(|id| index.application(id));
    let nobody = digests_match(&presented, &NOBODY);
    let found = application.map_or(SecretMatch::None, |app| app.match_secret(&presented, now));
    let reason = match (application, found) {
        (Some(application), SecretMatch::Valid(secret)) if application.enabled && !nobody => {
            if application.may_use(method, index.settings()) {
                return Ok(AuthenticatedApplication {
                    application: Arc::clone(application),
                    proof: Proof::Secret(secret.id),
                    method,
                });
            }
            FailureReason::MethodNotAllowed
        }
        (None, _) => FailureReason::UnknownApplication,
        (Some(_), SecretMatch::Valid(_)) => FailureReason::DisabledApplication,
        (Some(_), SecretMatch::Expired) => FailureReason::ExpiredSecret,
        (Some(_), SecretMatch::None) => FailureReason::WrongSecret,
    };
    Err(AuthenticationFailure {
        reason,
        application: application.map(|application| application.id),
    })
}
