//! Sign it. Takes a permit and nothing less.

use super::{AuthenticatedApplication, IssueError, Permit};
use crate::app::App;
use crate::token::{Claims, encode};
use writ_core::{Entitled, Jti, Kid, Millis};

/// A token that is signed and has not been recorded: it must not leave.
#[derive(Debug)]
pub struct SignedToken {
    pub(in crate::issue) application: AuthenticatedApplication,
    pub(in crate::issue) entitled: Entitled,
    pub(in crate::issue) jti: Jti,
    pub(in crate::issue) kid: Kid,
    pub(in crate::issue) expires_at: Millis,
    pub(in crate::issue) answer: TokenAnswer,
}

/// What the application is answered (RFC 6749 §5.1).
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// Its lifetime.
    pub expires_in_seconds: u32,
    /// The scopes that were granted: always said, for they may be fewer than asked.
    pub scope: String,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Signs what a permit allows, with the active key of the algorithm.
///
/// # Errors
/// [`IssueError::NoKey`] when no key can sign with it.
pub fn sign(app: &App, permit: Permit) -> Result<SignedToken, IssueError> {
    let entitlement = permit.into_entitlement();
    let (application, entitled) = (entitlement.application, entitlement.entitled);
    let ring = app.ring();
    let signer = ring
        .signer(entitled.algorithm)
        .ok_or(IssueError::NoKey(entitled.algorithm))?;

    // The id is on the time line of the log, which never goes back: after every event that this
    // decision knows of, and after a cut, whose own millisecond belongs to what was cut. The times
    // in the claims are those of the clock, or one wrong clock would spoil all later tokens.
    let earliest = application
        .application()
        .tokens_cut_at
        .map_or(0, |cut| cut.0 + 1);
    let (now, log) = (app.now(), app.index().last_at());
    let jti = Jti(app.ids.next_at(Millis(now.0.max(earliest).max(log.0))));
    let issued_at = now.seconds();
    let expires_at = issued_at + u64::from(entitled.lifetime_seconds);
    let scope = join(&entitled);
    let client_id = application.id().to_string();
    let claims = Claims {
        iss: app.issuer.as_str().into(),
        sub: client_id.as_str().into(),
        aud: entitled
            .audience
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>()
            .into(),
        client_id: client_id.as_str().into(),
        iat: issued_at,
        nbf: issued_at,
        exp: expires_at,
        jti,
        scope: scope.as_str().into(),
    };
    let access_token = encode(signer, entitled.typ, &claims).map_err(|fault| {
        tracing::error!(kid = %signer.kid(), %fault, "a token could not be signed");
        IssueError::NoKey(entitled.algorithm)
    })?;
    Ok(SignedToken {
        jti,
        kid: signer.kid().clone(),
        expires_at: Millis(expires_at * 1000),
        answer: TokenAnswer {
            access_token,
            expires_in_seconds: entitled.lifetime_seconds,
            scope,
        },
        application,
        entitled,
    })
}

fn join(entitled: &Entitled) -> String {
    let mut scope = String::new();
    for name in &entitled.scopes {
        if !scope.is_empty() {
            scope.push(' ');
        }
        scope.push_str(name.as_str());
    }
    scope
}
