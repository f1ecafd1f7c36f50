//! Who is it? The one place that compares secrets.

use super::IssueError;
use crate::credentials::{digest, digests_match};
use std::fmt;
use std::sync::Arc;
use writ_core::{Application, ApplicationId, Index, Millis, SecretId};

/// Credentials as somebody presents them. Nothing in here is known to be true.
pub struct PresentedCredentials<'a> {
    /// What claims to be a `client_id`.
    pub client_id: &'a str,
    /// What claims to be its secret.
    pub presented_secret: &'a str,
    /// `client_secret_basic` or `client_secret_post` (RFC 6749 §2.3.1).
    pub method: &'static str,
}

impl fmt::Debug for PresentedCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedCredentials")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Evidence that an application proved who it is, and by which credential.
#[derive(Clone, Debug)]
pub struct AuthenticatedApplication {
    application: Arc<Application>,
    secret: SecretId,
    method: &'static str,
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

    /// The secret that it used.
    #[must_use]
    pub fn secret(&self) -> SecretId {
        self.secret
    }

    /// The method by which it authenticated.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }
}

/// Compared with in any case, so that an application that does not exist takes a hash and a
/// comparison too; each secret of one that does takes one more, some nanoseconds beside a request.
/// No secret has this digest.
const NOBODY: [u8; 32] = [0x5a; 32];

/// Checks a secret. An unknown application, a disabled one and a wrong secret are one answer, and
/// the same work but for the comparisons.
///
/// # Errors
/// [`IssueError::InvalidClient`], always the same.
pub fn authenticate(
    index: &Index,
    credentials: &PresentedCredentials<'_>,
    now: Millis,
) -> Result<AuthenticatedApplication, IssueError> {
    let presented = digest(credentials.presented_secret.as_bytes());
    let id = credentials.client_id.parse::<ApplicationId>().ok();
    let application = id.and_then(|id| index.application(id));
    let nobody = digests_match(&presented, &NOBODY);
    let secret = application.and_then(|app| app.secret_matching(&presented, now));
    match (application, secret) {
        (Some(application), Some(secret)) if application.enabled && !nobody => {
            Ok(AuthenticatedApplication {
                application: Arc::clone(application),
                secret: secret.id,
                method: credentials.method,
            })
        }
        _ => Err(IssueError::InvalidClient),
    }
}
