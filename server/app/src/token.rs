//! Access tokens as bytes: the JWT profile of RFC 9068, written by hand over keys that were parsed
//! once, and validated by `jsonwebtoken` like anything else that comes from outside.

mod verified;

pub use verified::{Fingerprint, VerifiedTokens};

use crate::issue::Holds;
use crate::keys::{KeyRing, SignFault, Signer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use writ_core::{Application, ApplicationId, Index, Jti, Millis, ScopeName, TokenType};

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<'a> {
    /// The issuer.
    pub iss: Cow<'a, str>,
    /// The subject: the application itself, or the one that it acts for (RFC 8693).
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
    /// Who acts for the subject (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// What it is bound to (RFC 7800 §3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// What was granted in finer words than scopes (RFC 9396 §9.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<Cow<'a, [serde_json::Value]>>,
    /// What policies added, by name. None of these is a claim above.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// Who acts for the subject of a token, and for whom that one acted before (RFC 8693 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The application that acts.
    pub sub: ApplicationId,
    /// Who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

impl Act {
    /// A chain of actors, of which the first acts now.
    #[must_use]
    pub fn chain(actors: &[ApplicationId]) -> Option<Self> {
        let (sub, before) = actors.split_first()?;
        Some(Self {
            sub: *sub,
            act: Self::chain(before).map(Box::new),
        })
    }
}

impl Claims<'_> {
    /// Who acts, the one who acts now first; nothing where there are more than a token can have.
    #[must_use]
    pub fn actors(&self) -> Option<Vec<ApplicationId>> {
        let mut actors = Vec::new();
        let mut next = self.act.as_ref();
        while let Some(act) = next {
            actors.push(act.sub);
            next = act.act.as_deref();
        }
        (actors.len() <= 64).then_some(actors)
    }
}

/// What a token is bound to: the one member of `cnf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirmation {
    /// The SHA-256 thumbprint of a key, in base64url (RFC 9449 §6.1).
    #[serde(rename = "jkt")]
    Jkt(Box<str>),
    /// The SHA-256 thumbprint of a certificate, in base64url (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256")]
    Certificate(Box<str>),
}

impl Confirmation {
    /// Bound to a key.
    #[must_use]
    pub fn jkt(thumbprint: [u8; 32]) -> Self {
        Self::Jkt(URL_SAFE_NO_PAD.encode(thumbprint).into())
    }

    /// Bound to a certificate.
    #[must_use]
    pub fn certificate(thumbprint: [u8; 32]) -> Self {
        Self::Certificate(URL_SAFE_NO_PAD.encode(thumbprint).into())
    }
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
    encode_as(signer, typ.as_str(), claims)
}

/// Writes and signs claims of any kind, under a `typ` that is no access token's.
///
/// # Errors
/// When the key cannot sign.
pub fn encode_as(signer: &Signer, typ: &str, claims: &impl Serialize) -> Result<String, SignFault> {
    let header = format!(
        r#"{{"alg":"{}","typ":"{typ}","kid":"{}"}}"#,
        signer.algorithm(),
        signer.kid()
    );
    let claims = serde_json::to_vec(claims).expect("claims are structs with text keys");
    compact(signer, &header, &claims)
}

/// Signs a payload under a header of its own: a JWS in compact form (RFC 7515 §3.1).
///
/// # Errors
/// When the key cannot sign.
pub fn compact(signer: &Signer, header: &str, claims: &[u8]) -> Result<String, SignFault> {
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
    /// Bound to something that whoever presents it does not hold.
    #[error("not held by whoever presents it")]
    Unheld,
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
    /// The key that signed it.
    kid: String,
}

impl ValidatedToken {
    /// The application that it is about.
    #[must_use]
    pub fn subject(&self) -> Option<ApplicationId> {
        self.claims.sub.parse().ok()
    }

    /// Whether a request that holds this may use it: a token that is bound to a key with a proof of
    /// it alone (RFC 9449 §7.1), one that is bound to a certificate with it alone (RFC 8705 §3), and
    /// one that is bound to nothing without a proof, which would be for another token.
    #[must_use]
    pub fn is_held_by(&self, holds: &Holds) -> bool {
        let jkt = holds.jkt.map(Confirmation::jkt);
        let certificate = holds.certificate.map(Confirmation::certificate);
        match &self.claims.cnf {
            None => jkt.is_none(),
            Some(bound @ Confirmation::Jkt(_)) => jkt.as_ref() == Some(bound),
            Some(bound @ Confirmation::Certificate(_)) => {
                jkt.is_none() && certificate.as_ref() == Some(bound)
            }
        }
    }

    /// When it has ended for the clock and for the log both: as long a revocation is kept.
    #[must_use]
    pub fn ends_at(&self) -> Millis {
        let lifetime = self.claims.exp.saturating_sub(self.claims.iat);
        let by_id = self.claims.jti.millis().seconds().saturating_add(lifetime);
        Millis(self.claims.exp.max(by_id).saturating_mul(1000))
    }
}

/// Longest token that is looked at, in bytes: more than all limits of a request together can make,
/// and with room beside it in a form.
const TOKEN_BYTES_MAX: usize = 62 * 1024;
/// How far the clock may have been set back since a token was made.
const NOT_BEFORE_LEEWAY_SECONDS: u64 = 60;

/// Validates a token that came from outside: signature, type, issuer, times, and against the
/// live index revocation, cut and the state of its application. A signature is verified once, as
/// long as `verified` has room.
///
/// # Errors
/// See [`TokenFault`].
pub fn validate(
    token: &str,
    verified: &VerifiedTokens,
    ring: &KeyRing,
    index: &Index,
    issuer: &str,
    now: Millis,
) -> Result<Arc<ValidatedToken>, TokenFault> {
    let fingerprint = Fingerprint::of(token);
    if let Some(known) = fingerprint.and_then(|it| verified.get(it)) {
        validate_again(&known, ring, index, now)?;
        return Ok(known);
    }
    let token = Arc::new(decode(token, ring, issuer)?);
    check(&token, index, now)?;
    if let Some(fingerprint) = fingerprint {
        verified.put(fingerprint, &token);
    }
    Ok(token)
}

/// Validates again a token that was valid once: all that can change, and not the signature anew.
///
/// # Errors
/// See [`TokenFault`].
pub fn validate_again(
    token: &ValidatedToken,
    ring: &KeyRing,
    index: &Index,
    now: Millis,
) -> Result<(), TokenFault> {
    match ring.trusted(&token.kid) {
        Some(_) => check(token, index, now),
        None => Err(TokenFault::Signature),
    }
}

fn check(token: &ValidatedToken, index: &Index, now: Millis) -> Result<(), TokenFault> {
    // Log time forgets revocations when it passes them, and it may be ahead of the clock after
    // that was set back: on the time line of the log the token must not have ended either.
    let ended = token.claims.exp <= now.seconds() || token.ends_at() <= index.last_at();
    if ended || now.seconds() + NOT_BEFORE_LEEWAY_SECONDS < token.claims.nbf {
        return Err(TokenFault::Expired);
    }
    let usable = |app: &Application| app.enabled && !app.has_cut(token.claims.jti.millis());
    // Who asked for it, whom it is about, and everybody who acted in between.
    let actors = token.claims.actors().unwrap_or_default().into_iter();
    let all = actors.chain([token.application]).chain(token.subject());
    let mut all = all.map(|id| index.application(id));
    let stands = all.all(|application| application.is_some_and(|app| usable(app)));
    if !stands || token.subject().is_none() || index.is_revoked(token.claims.jti) {
        return Err(TokenFault::Revoked);
    }
    Ok(())
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
            kid: data.header.kid.unwrap_or_default(),
        }),
        _ => Err(TokenFault::Profile),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::issue::{GrantType, PresentedCredentials, Request, issue};
    use crate::testing::TestServer;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};
    use writ_core::{Algorithm, Ask, AuthenticationMethod, TokenProfile};

    /// A server, and a token of it for each algorithm.
    fn tokens(runtime: &tokio::runtime::Runtime) -> (TestServer, Vec<String>) {
        runtime.block_on(async {
            let server = TestServer::new();
            let mut tokens = Vec::new();
            for algorithm in Algorithm::ALL {
                let identifier = format!("https://{algorithm}.example");
                let scope = format!("read:{algorithm}");
                let profile = TokenProfile {
                    algorithm,
                    ..TokenProfile::default()
                };
                let api = server.api(&identifier, &[&scope], profile).await;
                let job = server.application(api, &[&scope]).await;
                let request = Request {
                    credentials: PresentedCredentials::Secret {
                        client_id: &job.client_id,
                        presented_secret: &job.client_secret,
                        method: AuthenticationMethod::ClientSecretPost,
                    },
                    ask: Ask {
                        scope: Some(&scope),
                        resources: &[],
                        ..Ask::default()
                    },
                    source: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    user_agent: None,
                    grant_type: GrantType::default(),
                    exchange: None,
                    certificate: None,
                    proof: None,
                    details: None,
                    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                };
                let answer = issue(&server.app, &request).await.unwrap();
                tokens.push(answer.access_token().to_owned());
            }
            (server, tokens)
        })
    }

    /// What can happen to a token on its way.
    #[derive(Clone, Debug)]
    enum Change {
        /// A character becomes another one.
        Replace(prop::sample::Index, char),
        /// One is lost.
        Remove(prop::sample::Index),
        /// One is added.
        Insert(prop::sample::Index, char),
        /// The rest is lost.
        Cut(prop::sample::Index),
        /// A part is taken from the token of another algorithm.
        Part(usize, prop::sample::Index),
        /// A bit of what a part says is flipped, and the part is written well.
        Flip(usize, prop::sample::Index, u8),
    }

    fn changes() -> impl Strategy<Value = Change> {
        let index = any::<prop::sample::Index>;
        let letter = || {
            prop_oneof![
                prop::sample::select(
                    ('A'..='Z')
                        .chain('0'..='9')
                        .chain(['-', '_', '.', '=', '+'])
                        .collect::<Vec<char>>()
                ),
                any::<char>(),
            ]
        };
        prop_oneof![
            4 => (index(), letter()).prop_map(|(at, with)| Change::Replace(at, with)),
            1 => index().prop_map(Change::Remove),
            1 => (index(), letter()).prop_map(|(at, what)| Change::Insert(at, what)),
            1 => index().prop_map(Change::Cut),
            2 => (0usize..3, index()).prop_map(|(part, from)| Change::Part(part, from)),
            4 => (0usize..3, index(), 0u8..8).prop_map(|(part, at, bit)| Change::Flip(part, at, bit)),
        ]
    }

    fn changed(token: &str, change: &Change, all: &[String]) -> String {
        let mut letters: Vec<char> = token.chars().collect();
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        match change {
            Change::Replace(at, with) => {
                let at = at.index(letters.len());
                letters[at] = *with;
            }
            Change::Remove(at) => drop(letters.remove(at.index(letters.len()))),
            Change::Insert(at, what) => letters.insert(at.index(letters.len() + 1), *what),
            Change::Cut(at) => letters.truncate(at.index(letters.len())),
            Change::Part(part, from) => {
                let other = from.get(all).split('.').nth(*part).unwrap();
                parts[*part] = other.to_owned();
                return parts.join(".");
            }
            Change::Flip(part, at, bit) => {
                let mut bytes = URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                parts[*part] = URL_SAFE_NO_PAD.encode(bytes);
                return parts.join(".");
            }
        }
        letters.into_iter().collect()
    }

    #[test]
    fn a_token_is_taken_as_it_was_made_and_in_no_other_form() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let (server, tokens) = tokens(&runtime);
        let (ring, issuer) = (server.app.ring(), server.app.issuer.as_str());
        for token in &tokens {
            let read = decode(token, &ring, issuer).unwrap();
            assert_eq!(read.claims.iss, issuer);
            let [first, again] = [(); 2].map(|()| server.app.validate_token(token).unwrap());
            assert!(Arc::ptr_eq(&first, &again), "it is verified once");
            assert_eq!(
                decode(token, &ring, "https://other.example").err(),
                Some(TokenFault::Profile)
            );
        }
        let strategy = (
            0..tokens.len(),
            prop::collection::vec(changes(), 1..4),
            any::<String>(),
            "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        );
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 1_500,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        runner
            .run(&strategy, |(which, changes, any, like)| {
                let mut token = tokens[which].clone();
                for change in &changes {
                    // What is no token any more has no parts to be changed.
                    let whole = token.split('.').count() == 3
                        && token.split('.').all(|part| {
                            !part.is_empty()
                                && URL_SAFE_NO_PAD
                                    .decode(part)
                                    .is_ok_and(|bytes| !bytes.is_empty())
                        });
                    if whole {
                        token = changed(&token, change, &tokens);
                    }
                }
                for text in [token, any, like] {
                    let ours = tokens.contains(&text);
                    let read = decode(&text, &ring, issuer);
                    prop_assert_eq!(read.is_ok(), ours, "{}", text);
                    // Also where those that were made are known already.
                    let valid = server.app.validate_token(&text);
                    prop_assert_eq!(valid.is_ok(), ours, "{}", text);
                }
                Ok(())
            })
            .unwrap();
    }
}
