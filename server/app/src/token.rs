//! Access tokens as bytes: the JWT profile of RFC 9068, written by hand over keys that were parsed
//! once, and validated by `jsonwebtoken` like anything else that comes from outside.

use crate::keys::{KeyRing, SignFault, Signer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use writ_core::{Application, ApplicationId, Index, Jti, Millis, ScopeName, TokenType};

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<'a> {
    /// The issuer.
    pub iss: Cow<'a, str>,
    /// The subject: the application itself.
    pub sub: Cow<'a, str>,
    /// The audience.
    pub aud: Audience<'a>,
    /// The application (RFC 8693 §4.3).
    pub client_id: Cow<'a, str>,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Not before, in seconds since 1970.
    pub nbf: u64,
    /// Expires at, in seconds since 1970.
    pub exp: u64,
    /// The id of the token.
    pub jti: Jti,
    /// The scopes, separated by spaces (RFC 8693 §4.2); left out when there are none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub scope: Cow<'a, str>,
    /// What policies added, by name. None of these is a claim above.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// `aud` (RFC 7519 §4.1.3): one value as a string, several as an array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience<'a> {
    /// One.
    One(Cow<'a, str>),
    /// Several.
    Several(Vec<Cow<'a, str>>),
}

impl<'a> From<Vec<&'a str>> for Audience<'a> {
    fn from(values: Vec<&'a str>) -> Self {
        match values.as_slice() {
            [one] => Self::One((*one).into()),
            _ => Self::Several(values.into_iter().map(Cow::Borrowed).collect()),
        }
    }
}

impl Audience<'_> {
    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several.as_slice(),
        }
        .iter()
        .map(AsRef::as_ref)
    }
}

/// Writes and signs a token (RFC 7515 §3.1).
///
/// # Errors
/// When the key cannot sign.
pub fn encode(signer: &Signer, typ: TokenType, claims: &Claims<'_>) -> Result<String, SignFault> {
    let header = format!(
        r#"{{"alg":"{}","typ":"{}","kid":"{}"}}"#,
        signer.algorithm(),
        typ.as_str(),
        signer.kid()
    );
    let claims = serde_json::to_vec(claims).expect("claims are strings and numbers");
    let mut token = String::with_capacity((header.len() + claims.len() + 256) * 4 / 3 + 8);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let mut signature = Vec::with_capacity(256);
    signer.sign(token.as_bytes(), &mut signature)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Why a token is not one of ours that is valid now. For the log and for tests: callers of the
/// server only ever hear that it is not active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not a JWS of ours: malformed, or signed by no key that we trust, or by another algorithm.
    #[error("not signed by a key of this server")]
    Signature,
    /// Signed by us and not an access token of this issuer.
    #[error("not an access token of this issuer")]
    Profile,
    /// Past its `exp`, or before its `nbf`.
    #[error("expired")]
    Expired,
    /// Revoked, cut, or its application is gone or disabled.
    #[error("revoked")]
    Revoked,
}

/// A token of ours that is valid now.
#[derive(Clone, Debug)]
pub struct ValidatedToken {
    /// Its claims.
    pub claims: Claims<'static>,
    /// Its application.
    pub application: ApplicationId,
    /// Its scopes.
    pub scopes: Vec<ScopeName>,
}

impl ValidatedToken {
    /// When it has ended for the clock and for the log both: as long a revocation is kept.
    #[must_use]
    pub fn ends_at(&self) -> Millis {
        let lifetime = self.claims.exp.saturating_sub(self.claims.iat);
        let by_id = self.claims.jti.millis().seconds().saturating_add(lifetime);
        Millis(self.claims.exp.max(by_id).saturating_mul(1000))
    }
}

/// Longest token that is looked at, in bytes: more than all limits of a request together can make.
const TOKEN_BYTES_MAX: usize = 48 * 1024;
/// How far the clock may have been set back since a token was made.
const NOT_BEFORE_LEEWAY_SECONDS: u64 = 60;

/// Validates a token that came from outside: signature, type, issuer, times, and against the
/// live index revocation, cut and the state of its application.
///
/// # Errors
/// See [`TokenFault`].
pub fn validate(
    token: &str,
    ring: &KeyRing,
    index: &Index,
    issuer: &str,
    now: Millis,
) -> Result<ValidatedToken, TokenFault> {
    let token = decode(token, ring, issuer)?;
    // Log time forgets revocations when it passes them, and it may be ahead of the clock after
    // that was set back: on the time line of the log the token must not have ended either.
    let ended = token.claims.exp <= now.seconds() || token.ends_at() <= index.last_at();
    if ended || now.seconds() + NOT_BEFORE_LEEWAY_SECONDS < token.claims.nbf {
        return Err(TokenFault::Expired);
    }
    let usable = |app: &Application| app.enabled && !app.has_cut(token.claims.jti.millis());
    let application = index.application(token.application);
    if !application.is_some_and(|app| usable(app)) || index.is_revoked(token.claims.jti) {
        return Err(TokenFault::Revoked);
    }
    Ok(token)
}

/// Reads a token of ours: signature, type, issuer. Says nothing about whether it is still valid.
///
/// # Errors
/// [`TokenFault::Signature`] or [`TokenFault::Profile`].
pub fn decode(token: &str, ring: &KeyRing, issuer: &str) -> Result<ValidatedToken, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::Signature);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Signature)?;
    let key = header.kid.as_deref().and_then(|kid| ring.trusted(kid));
    let key = key.ok_or(TokenFault::Signature)?;
    // The key says the algorithm, the header has no choice. Times and audience are checked by
    // whoever knows the clock and the question.
    let mut validation = jsonwebtoken::Validation::new(key.foreign_algorithm());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let data = jsonwebtoken::decode::<Claims<'static>>(token, &key.decoding, &validation).map_err(
        |error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => TokenFault::Profile,
            _ => TokenFault::Signature,
        },
    )?;
    let typ_fits = matches!(data.header.typ.as_deref(), Some("at+jwt" | "JWT"));
    let application = data
        .claims
        .client_id
        .parse()
        .map_err(|_| TokenFault::Profile)?;
    let names = data.claims.scope.split(' ').filter(|name| !name.is_empty());
    let scopes: Result<Vec<ScopeName>, _> = names.map(str::parse).collect();
    match scopes {
        Ok(scopes) if typ_fits && data.claims.iss == issuer => Ok(ValidatedToken {
            claims: data.claims,
            application,
            scopes,
        }),
        _ => Err(TokenFault::Profile),
    }
}
