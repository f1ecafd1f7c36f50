//! Signed tokens that others made: assertions, proofs, tokens of trusted issuers. They are read
//! strictly, and what is read is worth nothing until its signature was verified: [`Unverified`]
//! becomes [`Verified`] by a key that is trusted for it.
//!
//! `jsonwebtoken` verifies signatures; which texts are a JWS, which keys are fit, and what claims
//! mean is decided here, in `assertion.rs` and in `dpop.rs`. The rules are those of RFC 7515 (JWS,
//! compact form), RFC 7517 (JWK), RFC 7519 (JWT) and RFC 8725 (best practices).

pub(crate) mod json;
mod key;
#[cfg(test)]
pub(crate) mod mint;
mod replay;
mod set;
#[cfg(test)]
mod tests;

pub use key::{ForeignKey, ForeignKeyFault, KID_BYTES_MAX};
pub use replay::Replay;
pub use set::{ForeignKeys, KEY_SET_BYTES_MAX, KEY_SET_KEYS_MAX, KEYS_TRIED_MAX, KeySetFault};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::fmt;
use writ_core::{Millis, PublicJwk};

/// How far in the future `iat` and `nbf` may be, in seconds: clocks differ. FAPI 2.0 Security
/// Profile §5.3.2.1 asks to accept 10 and to refuse what is more than 60: this is between them.
pub const FUTURE_SECONDS: u64 = 30;

/// Members of a JWS header that would change what is signed, or where a key comes from. They are
/// refused by their presence (RFC 7515 §4.1.2, §4.1.5, §4.1.11, RFC 7797 §3, RFC 8725 §3.10);
/// `zip` is for encryption only.
const FORBIDDEN_MEMBERS: [&str; 5] = ["crit", "b64", "jku", "x5u", "zip"];

/// Algorithms that tokens of others may be signed with. `none` and HMAC are not among them, so
/// that no text with one of those ever parses (RFC 8725 §3.1, §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForeignAlgorithm {
    /// ECDSA with P-256 and SHA-256 (RFC 7518 §3.4).
    ES256,
    /// ECDSA with P-384 and SHA-384 (RFC 7518 §3.4).
    ES384,
    /// Ed25519 (RFC 8037 §3.1); `Ed25519` is another name of it (RFC 9864 §2.2).
    EdDSA,
    /// RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    PS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    RS256,
}

impl ForeignAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::PS256,
        Self::RS256,
    ];

    /// Those of FAPI 2.0 Security Profile §5.4.1.
    pub const FAPI2: [Self; 3] = [Self::ES256, Self::EdDSA, Self::PS256];

    /// The algorithm of this name (RFC 7515 §4.1.1: names are case-sensitive).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::ES256),
            "ES384" => Some(Self::ES384),
            "EdDSA" | "Ed25519" => Some(Self::EdDSA),
            "PS256" => Some(Self::PS256),
            "RS256" => Some(Self::RS256),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::PS256 => "PS256",
            Self::RS256 => "RS256",
        }
    }

    /// Whether keys of this kind can have signed with it.
    fn fits(self, jwk: &PublicJwk) -> bool {
        match (self, jwk) {
            (Self::ES256, PublicJwk::EC { crv, .. }) => &**crv == "P-256",
            (Self::ES384, PublicJwk::EC { crv, .. }) => &**crv == "P-384",
            (Self::EdDSA, PublicJwk::OKP { crv, .. }) => &**crv == "Ed25519",
            (Self::PS256 | Self::RS256, PublicJwk::RSA { .. }) => true,
            _ => false,
        }
    }

    fn foreign(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::ES384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

impl fmt::Display for ForeignAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no token that somebody trusted has signed. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseFault {
    /// An algorithm that is known, and not allowed for this.
    #[error("signed with an algorithm that is not allowed here")]
    AlgorithmForbidden,
    /// `none`, HMAC, or one that is not known.
    #[error("signed with an algorithm that is not supported")]
    AlgorithmUnknown,
    /// A member of the header that is refused whatever it says.
    #[error("the header has crit, b64, jku, x5u or zip")]
    HeaderForbidden,
    /// So many keys fit that not all were tried, and none of those that were has signed it.
    #[error("too many keys fit: name one by kid")]
    KeyAmbiguous,
    /// The key that it names is not for its algorithm.
    #[error("the key that it names is not for its algorithm")]
    KeyUnfit,
    /// None of the keys is the one that it names, or fits. A newer set of keys may have it.
    #[error("signed with a key that is not known")]
    KeyUnknown,
    /// Not three parts of base64url with a JSON object in the first two, each member once.
    #[error("not a JWT in the compact form")]
    Malformed,
    /// Longer than allowed.
    #[error("too long")]
    Oversized,
    /// The signature is of no key that was tried.
    #[error("the signature does not fit")]
    Signature,
    /// A claim that is a time says something else (RFC 7519 §2, NumericDate).
    #[error("exp, nbf or iat is not a time")]
    Time,
}

impl JoseFault {
    /// Its name, for logs and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlgorithmForbidden => "algorithm_forbidden",
            Self::AlgorithmUnknown => "algorithm_unknown",
            Self::HeaderForbidden => "header_forbidden",
            Self::KeyAmbiguous => "key_ambiguous",
            Self::KeyUnfit => "key_unfit",
            Self::KeyUnknown => "key_unknown",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Signature => "signature",
            Self::Time => "time_malformed",
        }
    }
}

/// A JWT in the compact form (RFC 7515 §7.1) that anybody may have made.
#[derive(Clone)]
pub struct Unverified<'a> {
    /// Header and payload, as they were signed.
    message: &'a str,
    /// In base64url.
    signature: &'a str,
    header: Header,
    jwk: Option<Value>,
    claims: Map<String, Value>,
}

#[derive(Clone)]
struct Header {
    algorithm: ForeignAlgorithm,
    kid: Option<Box<str>>,
    typ: Option<Box<str>>,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("algorithm", &self.header.algorithm)
            .finish_non_exhaustive()
    }
}

impl<'a> Unverified<'a> {
    /// Reads a token of at most so many bytes. Certificates in its header (`x5c`, `x5t`) and
    /// members that are not known are ignored (RFC 7515 §4).
    ///
    /// # Errors
    /// It is too long, malformed, or its header has what is refused.
    pub fn parse(token: &'a str, bytes_max: usize) -> Result<Self, JoseFault> {
        if token.len() > bytes_max {
            return Err(JoseFault::Oversized);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JoseFault::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(JoseFault::Malformed)?;
        // A fourth part would be in the claims, where a dot is no base64url. The decoder takes
        // the one canonical form only: no padding, no bits to spare.
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| JoseFault::Malformed)
        };
        let object = |part| json::object(&decode(part)?).ok_or(JoseFault::Malformed);
        let mut members = object(header)?;
        let header = Header::read(&members)?;
        let claims = object(claims)?;
        decode(signature)?;
        let jwk = members.remove("jwk");
        Ok(Self {
            message,
            signature,
            header,
            jwk,
            claims,
        })
    }

    /// Its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> ForeignAlgorithm {
        self.header.algorithm
    }

    /// The key that it names.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Its `typ`, as it stands there. See [`typ_is`].
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The key that came with it. Only a proof of possession (RFC 9449 §4.2) may be verified by
    /// it: everything else would prove itself.
    #[must_use]
    pub fn embedded_jwk(&self) -> Option<&Value> {
        self.jwk.as_ref()
    }

    /// A claim that is a text, to find out whose keys to try: anybody may have written it.
    #[must_use]
    pub fn unverified_text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    fn verified_by(&self, key: &ForeignKey) -> Option<Verified> {
        let algorithm = self.header.algorithm;
        key.has_signed(algorithm, self.message, self.signature)
            .then(|| Verified {
                algorithm,
                kid: self.header.kid.clone(),
                typ: self.header.typ.clone(),
                claims: self.claims.clone(),
                thumbprint: *key.thumbprint(),
            })
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, JoseFault> {
        if FORBIDDEN_MEMBERS
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return Err(JoseFault::HeaderForbidden);
        }
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(JoseFault::Malformed),
        };
        let algorithm = text("alg")?.ok_or(JoseFault::Malformed)?;
        let algorithm = ForeignAlgorithm::from_name(algorithm);
        let algorithm = algorithm.ok_or(JoseFault::AlgorithmUnknown)?;
        let (kid, typ) = (text("kid")?, text("typ")?);
        text("cty")?;
        if kid.is_some_and(|kid| !key::is_kid(kid)) {
            return Err(JoseFault::Malformed);
        }
        if members.get("jwk").is_some_and(|jwk| !jwk.is_object()) {
            return Err(JoseFault::Malformed);
        }
        Ok(Self {
            algorithm,
            kid: kid.map(Into::into),
            typ: typ.map(Into::into),
        })
    }
}

/// Whether a `typ` is this media type: `application/` may stand before it, and case says nothing
/// (RFC 7515 §4.1.9).
#[must_use]
pub fn typ_is(typ: &str, name: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    short.eq_ignore_ascii_case(name)
}

/// A JWT whose signature is of a key that was trusted for it. Nothing but [`verify`] and
/// [`verify_with`] makes one. Whether its claims fit is for others to say.
#[derive(Clone)]
pub struct Verified {
    algorithm: ForeignAlgorithm,
    kid: Option<Box<str>>,
    typ: Option<Box<str>>,
    claims: Map<String, Value>,
    thumbprint: [u8; 32],
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .field("typ", &self.typ)
            .finish_non_exhaustive()
    }
}

impl Verified {
    /// What it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> ForeignAlgorithm {
        self.algorithm
    }

    /// The key that its header names.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its `typ`, as it stands there.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// Whether it has no `typ`, or one of these (RFC 8725 §3.11).
    #[must_use]
    pub fn typ_is_absent_or(&self, names: &[&str]) -> bool {
        let typ = self.typ();
        typ.is_none_or(|typ| names.iter().any(|name| typ_is(typ, name)))
    }

    /// The thumbprint of the key that signed it (RFC 7638 §3, SHA-256).
    #[must_use]
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Its claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim, if it is there and a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A claim that is a time, if it is there (RFC 7519 §2, NumericDate: seconds since 1970, with
    /// fractions or without).
    ///
    /// # Errors
    /// [`JoseFault::Time`]: it is something else, or before 1970, or after the year 9999.
    pub fn time(&self, name: &str) -> Result<Option<Millis>, JoseFault> {
        let value = self.claims.get(name);
        value
            .map(|value| numeric_date(value).ok_or(JoseFault::Time))
            .transpose()
    }

    /// Whether neither `nbf` nor `iat` is more than [`FUTURE_SECONDS`] in the future, where they
    /// are there.
    ///
    /// # Errors
    /// [`JoseFault::Time`].
    pub fn has_begun(&self, now: Millis) -> Result<bool, JoseFault> {
        let latest = now.plus_seconds(FUTURE_SECONDS);
        let begun = |name| Ok(self.time(name)?.is_none_or(|at| at <= latest));
        Ok(begun("nbf")? && begun("iat")?)
    }
}

fn numeric_date(value: &Value) -> Option<Millis> {
    let ms = match value.as_u64() {
        Some(seconds) => seconds.checked_mul(1000)?,
        None => {
            let ms = value.as_f64()? * 1000.0;
            // Every whole number up to the end of time has a place in an f64.
            (0.0..=Millis::MAX.0 as f64)
                .contains(&ms)
                .then_some(ms as u64)?
        }
    };
    (ms <= Millis::MAX.0).then_some(Millis(ms))
}

/// Verifies the signature of a token, by the keys of those who may have signed it: those with the
/// name that its header says, or else those that fit. The first [`KEYS_TRIED_MAX`] are tried, in
/// the order of the set: a key that is added to it takes nothing from those before it.
///
/// # Errors
/// The algorithm is not allowed, there is no such key, none that was tried has signed it.
pub fn verify(
    token: &Unverified<'_>,
    keys: &ForeignKeys,
    allowed: &[ForeignAlgorithm],
) -> Result<Verified, JoseFault> {
    let algorithm = allowed_algorithm(token, allowed)?;
    let candidates = keys.candidates(token.kid(), algorithm)?;
    let tried = candidates.iter().take(KEYS_TRIED_MAX);
    let verified = tried.into_iter().find_map(|key| token.verified_by(key));
    verified.ok_or(match candidates.len() {
        0..=KEYS_TRIED_MAX => JoseFault::Signature,
        _ => JoseFault::KeyAmbiguous,
    })
}

/// Verifies the signature of a token by one key, whatever key its header names.
///
/// # Errors
/// The algorithm is not allowed, the key is for another one, or it has not signed it.
pub fn verify_with(
    token: &Unverified<'_>,
    key: &ForeignKey,
    allowed: &[ForeignAlgorithm],
) -> Result<Verified, JoseFault> {
    if !key.fits(allowed_algorithm(token, allowed)?) {
        return Err(JoseFault::KeyUnfit);
    }
    token.verified_by(key).ok_or(JoseFault::Signature)
}

fn allowed_algorithm(
    token: &Unverified<'_>,
    allowed: &[ForeignAlgorithm],
) -> Result<ForeignAlgorithm, JoseFault> {
    let algorithm = token.algorithm();
    if allowed.contains(&algorithm) {
        Ok(algorithm)
    } else {
        Err(JoseFault::AlgorithmForbidden)
    }
}
