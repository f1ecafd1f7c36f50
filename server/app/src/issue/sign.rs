//! Sign it. Takes a permit and nothing less.

use super::{AuthenticatedApplication, Exchange, IssueError, Judged, Permit};
use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::token::{Claims, encode};
use writ_core::{Binding, Entitled, Kid, Millis, ScopeName};

/// A token that is signed and has not been recorded: it must not leave.
#[derive(Debug)]
pub struct SignedToken {
    pub(in crate::issue) application: AuthenticatedApplication,
    pub(in crate::issue) entitled: Entitled,
    pub(in crate::issue) exchange: Option<Exchange>,
    /// The scopes in the token, where policies left fewer than was entitled.
    pub(in crate::issue) shrunk: Option<Vec<ScopeName>>,
    pub(in crate::issue) judged: Judged,
    pub(in crate::issue) kid: Kid,
    pub(in crate::issue) expires_at: Millis,
    pub(in crate::issue) answer: TokenAnswer,
}

impl SignedToken {
    /// The scopes in the token.
    pub(in crate::issue) fn granted(&self) -> &[ScopeName] {
        self.shrunk.as_deref().unwrap_or(&self.entitled.scopes)
    }
}

/// What the application is answered (RFC 6749 §5.1). Only the token path makes one.
pub struct TokenAnswer {
    access_token: String,
    expires_in_seconds: u32,
    scope: String,
    token_type: &'static str,
    details: Option<AuthorizationDetails>,
    exchanged: bool,
}

impl TokenAnswer {
    /// The token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// Its lifetime.
    #[must_use]
    pub fn expires_in_seconds(&self) -> u32 {
        self.expires_in_seconds
    }

    /// `Bearer` (RFC 6750 §6.1.1), or `DPoP` where only proofs make it good (RFC 9449 §5).
    #[must_use]
    pub fn token_type(&self) -> &'static str {
        self.token_type
    }

    /// The authorization details that were granted (RFC 9396 §7).
    #[must_use]
    pub fn authorization_details(&self) -> Option<&AuthorizationDetails> {
        self.details.as_ref()
    }

    /// Whether it was got for another token (RFC 8693).
    #[must_use]
    pub fn is_exchanged(&self) -> bool {
        self.exchanged
    }

    /// The scopes that were granted: always said, for they may be fewer than asked.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }
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
    let ring = app.keys.load();
    let (entitled, allowed) = (permit.entitled(), permit.allowed());
    let signer = ring
        .signer(entitled.algorithm)
        .ok_or(IssueError::NoKey(entitled.algorithm))?;
    let issued_at = permit.judged().at.seconds();
    let expires_at = issued_at + u64::from(allowed.lifetime_seconds);
    let scope = join(allowed.scopes);
    let client_id = entitled.application.id.to_string();
    let claims = Claims {
        iss: app.issuer.as_str().into(),
        sub: match &entitled.subject {
            Some(subject) => subject.id.to_string().into(),
            None => client_id.as_str().into(),
        },
        aud: allowed
            .audience
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>()
            .into(),
        client_id: client_id.as_str().into(),
        iat: issued_at,
        nbf: issued_at,
        exp: expires_at,
        jti: permit.judged().id,
        scope: scope.as_str().into(),
        act: permit.act(),
        cnf: permit.confirmation(),
        authorization_details: permit.details().map(|details| details.objects().into()),
        more: allowed.claims.cloned().unwrap_or_default(),
    };
    let access_token = encode(signer, entitled.typ, &claims).map_err(|fault| {
        tracing::error!(kid = %signer.kid(), %fault, "a token could not be signed");
        IssueError::NoKey(entitled.algorithm)
    })?;
    let answer = TokenAnswer {
        access_token,
        expires_in_seconds: allowed.lifetime_seconds,
        scope,
        exchanged: entitled.subject.is_some(),
        token_type: match entitled.binding {
            Some(Binding::Dpop) => "DPoP",
            Some(Binding::Mtls) | None => "Bearer",
        },
        details: permit.details().cloned(),
    };
    let (entitlement, shrunk, judged) = permit.into_parts();
    Ok(SignedToken {
        kid: signer.kid().clone(),
        expires_at: Millis(expires_at * 1000),
        application: entitlement.application,
        exchange: entitlement.exchange,
        entitled: entitlement.entitled,
        shrunk,
        judged,
        answer,
    })
}

fn join(scopes: &[ScopeName]) -> String {
    let mut scope = String::new();
    for name in scopes {
        if !scope.is_empty() {
            scope.push(' ');
        }
        scope.push_str(name.as_str());
    }
    scope
}
