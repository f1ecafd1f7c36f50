//! What the claims of a signed token must say so that it proves an application: those of an
//! assertion that the application signed itself, and those of a token that a trusted issuer gave
//! it. Signatures were verified before (`jose.rs`); whether a `jti` was seen before is for a store.

use crate::jose::{ForeignAlgorithm, Replay, Verified};
use serde_json::Value;
use writ_core::{ClaimValue, Millis, SecurityProfile, SubjectText, TrustRule, TrustedIssuer};

/// Longest assertion or foreign token that is read, in bytes: tokens of Kubernetes have 1 KiB,
/// those of GitHub Actions 2 KiB.
pub const ASSERTION_BYTES_MAX: usize = 16 * 1024;
/// Longest `jti`, in bytes.
pub const JTI_BYTES_MAX: usize = 256;
/// How far ahead `exp` of an assertion may be by the client's clock, in seconds (RFC 7523 §3 lets a server say). Clients
/// in use take up to an hour; a `jti` is remembered that long.
pub const LIFETIME_MAX_SECONDS: u64 = 3600;
/// The same under FAPI 2.0: an assertion is made for one request, and one that leaks before it is
/// used should not live for long. Clients of that profile take a minute.
pub const LIFETIME_MAX_FAPI2_SECONDS: u64 = 300;
/// How far clocks of clients and trusted issuers may be ahead, in seconds, when lifetimes are
/// measured from now; `iat` and `nbf` have the same leeway.
const SKEW_SECONDS: u64 = crate::jose::FUTURE_SECONDS;

/// Why a token does not prove an application. Nothing of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionFault {
    /// Signed with an algorithm that the profile forbids.
    #[error(
        "signed with an algorithm that the security profile forbids: use PS256, ES256 or EdDSA"
    )]
    Algorithm,
    /// `aud` is not what it must be, or more than that.
    #[error("aud does not name who it must, or names others too")]
    Audience,
    /// A claim that the trust rule demands is absent, or has another value.
    #[error("a claim that the trust rule demands is absent or different")]
    Claim,
    /// It is bound to its sender (`cnf`, RFC 7800 §3), which nobody checks here.
    #[error("cnf binds it to a key of its sender, which is not checked here")]
    Confirmation,
    /// `exp` is absent, or past.
    #[error("exp is absent or past")]
    Expired,
    /// `iss` is not who it must be.
    #[error("iss is not who it must be")]
    Issuer,
    /// `jti` is absent, empty, too long or no text.
    #[error("jti must be a text of 1 to 256 bytes")]
    Jti,
    /// It lives for longer than it may.
    #[error("exp is too far ahead")]
    Lifetime,
    /// `nbf` or `iat` is in the future.
    #[error("nbf or iat is in the future")]
    NotYetValid,
    /// `sub` is not who it must be.
    #[error("sub is not who it must be")]
    Subject,
    /// A time is something else.
    #[error("exp, nbf or iat is not a time")]
    Time,
    /// It is a token of another type (RFC 8725 §3.11).
    #[error("typ says that it is for something else")]
    Type,
}

impl AssertionFault {
    /// Its name, for logs and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm_forbidden",
            Self::Audience => "audience",
            Self::Claim => "claim",
            Self::Confirmation => "cnf",
            Self::Expired => "expired",
            Self::Issuer => "issuer",
            Self::Jti => "jti",
            Self::Lifetime => "lifetime",
            Self::NotYetValid => "not_yet_valid",
            Self::Subject => "subject",
            Self::Time => "time_malformed",
            Self::Type => "type",
        }
    }
}

/// What is left to do with an assertion of a client: its `jti` is taken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionFacts {
    /// Its name.
    pub jti: Box<str>,
    /// When it ends.
    pub exp: Millis,
}

impl AssertionFacts {
    /// What must be remembered of it so that it is taken once (RFC 7523 §3, item 7).
    #[must_use]
    pub fn replay(&self, client_id: &str) -> Replay {
        Replay::new(
            "client-assertion",
            client_id.as_bytes(),
            &self.jti,
            self.exp,
        )
    }
}

/// Checks the claims of an assertion that a client signed itself (RFC 7523 §3, OpenID Connect Core
/// §9, FAPI 2.0 Security Profile §5.3.2.1). Its signature is of one of the client's own keys.
///
/// Its one audience is this server, by its issuer identifier as a text: an assertion for several,
/// or for an address that somebody else's metadata says, can be carried from one server to another
/// (CVE-2025-27370, CVE-2025-27371). Many clients name the token endpoint, as RFC 7523 §3 lets
/// them; that is taken without `fapi2` only, because a server that a client trusts wrongly can ask
/// it for just such an assertion.
///
/// # Errors
/// The first claim that does not fit.
pub fn check_client_assertion(
    token: &Verified,
    client_id: &str,
    issuer: &str,
    token_endpoint: &str,
    now: Millis,
    profile: SecurityProfile,
) -> Result<AssertionFacts, AssertionFault> {
    let strict = profile == SecurityProfile::Fapi2;
    if strict && !ForeignAlgorithm::FAPI2.contains(&token.algorithm()) {
        return Err(AssertionFault::Algorithm);
    }
    if !token.typ_is_absent_or(&["JWT", "client-authentication+jwt"]) {
        return Err(AssertionFault::Type);
    }
    if token.text("iss") != Some(client_id) {
        return Err(AssertionFault::Issuer);
    }
    if token.text("sub") != Some(client_id) {
        return Err(AssertionFault::Subject);
    }
    let audience_fits = match token.claims().get("aud") {
        Some(Value::String(one)) => one == issuer || (!strict && one == token_endpoint),
        Some(Value::Array(list)) => !strict && matches!(&**list, [one] if one == issuer),
        _ => false,
    };
    if !audience_fits {
        return Err(AssertionFault::Audience);
    }
    let exp = live_until(token, now)?;
    let lifetime_max = match profile {
        SecurityProfile::None => LIFETIME_MAX_SECONDS,
        SecurityProfile::Fapi2 => LIFETIME_MAX_FAPI2_SECONDS,
    };
    if exp > now.plus_seconds(lifetime_max + SKEW_SECONDS) {
        return Err(AssertionFault::Lifetime);
    }
    let jti = jti(token)?.ok_or(AssertionFault::Jti)?;
    Ok(AssertionFacts { jti, exp })
}

/// What a token of a trusted issuer says of an application, for the record of its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedFacts {
    /// Its subject.
    pub subject: SubjectText,
    /// When it ends.
    pub exp: Millis,
    /// Its name, if it has one. Such a token is used again until it ends, so none is remembered.
    pub jti: Option<Box<str>>,
}

/// Checks the claims of a token of a trusted issuer by one trust rule of an application (RFC 7523
/// §3). Its signature is of one of the issuer's keys.
///
/// # Errors
/// The first claim that does not fit.
pub fn check_federated(
    token: &Verified,
    issuer: &TrustedIssuer,
    rule: &TrustRule,
    now: Millis,
) -> Result<FederatedFacts, AssertionFault> {
    // No access token, ID token for logout, proof or assertion: what proves a workload is a plain
    // JWT (SPIFFE JWT-SVID §2.3 has JWT and JOSE).
    if !token.typ_is_absent_or(&["JWT", "JOSE"]) {
        return Err(AssertionFault::Type);
    }
    // Whoever stole one could use it here: a key in `cnf` is not asked for, so none may be there.
    if token.claims().contains_key("cnf") {
        return Err(AssertionFault::Confirmation);
    }
    let issuer_fits = match token.claims().get("iss") {
        Some(iss) => iss == issuer.issuer.as_str(),
        None => issuer.omits_issuer,
    };
    if !issuer_fits || rule.issuer != issuer.id {
        return Err(AssertionFault::Issuer);
    }
    let audience = rule.audience.as_str();
    let audience_fits = match token.claims().get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string) && list.iter().any(|one| one == audience)
        }
        _ => false,
    };
    if !audience_fits {
        return Err(AssertionFault::Audience);
    }
    let subject = token.text("sub").filter(|sub| rule.subject.matches(sub));
    // It goes into records: what cannot stand there is nobody.
    let subject = subject.and_then(|subject| subject.parse().ok());
    let subject = subject.ok_or(AssertionFault::Subject)?;
    for (name, value) in &rule.claims {
        let claim = token.claims().get(&**name);
        if !claim.is_some_and(|claim| claim_fits(claim, value)) {
            return Err(AssertionFault::Claim);
        }
    }
    let exp = live_until(token, now)?;
    let cap = u64::from(rule.lifetime_seconds);
    let begun = token.time("iat").map_err(|_| AssertionFault::Time)?;
    let too_long = begun.is_some_and(|iat| exp > iat.plus_seconds(cap));
    if too_long || exp > now.plus_seconds(cap + SKEW_SECONDS) {
        return Err(AssertionFault::Lifetime);
    }
    let jti = jti(token)?;
    Ok(FederatedFacts { subject, exp, jti })
}

/// Whether a claim has a value, or is a list that has a text.
fn claim_fits(claim: &Value, value: &ClaimValue) -> bool {
    match value {
        ClaimValue::Flag(flag) => claim.as_bool() == Some(*flag),
        ClaimValue::Int(number) => claim.as_i64() == Some(*number),
        ClaimValue::Text(text) => match claim {
            Value::Array(list) => list.iter().any(|one| one == &**text),
            one => one == &**text,
        },
    }
}

/// When it ends, of a token that has begun and not ended (RFC 7519 §4.1.4 to §4.1.6).
fn live_until(token: &Verified, now: Millis) -> Result<Millis, AssertionFault> {
    let exp = token.time("exp").map_err(|_| AssertionFault::Time)?;
    let exp = exp
        .filter(|exp| now < *exp)
        .ok_or(AssertionFault::Expired)?;
    match token.has_begun(now) {
        Ok(true) => Ok(exp),
        Ok(false) => Err(AssertionFault::NotYetValid),
        Err(_) => Err(AssertionFault::Time),
    }
}

/// Its name, if it has one.
fn jti(token: &Verified) -> Result<Option<Box<str>>, AssertionFault> {
    match token.claims().get("jti") {
        None => Ok(None),
        Some(Value::String(jti)) if (1..=JTI_BYTES_MAX).contains(&jti.len()) => {
            Ok(Some(jti.as_str().into()))
        }
        Some(_) => Err(AssertionFault::Jti),
    }
}

#[cfg(test)]
mod tests;
