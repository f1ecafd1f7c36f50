//! Proofs of possession (DPoP, RFC 9449): who sends a request shows that it has the private key
//! that a token is, or will be, bound to.
//!
//! A proof is good for one request: method and address are in it, it is a minute old at most, and
//! its `jti` is taken once (by a store; [`DpopProof::replay`] says what it remembers). [`Nonces`]
//! bound how early a proof can have been made, without anything being stored.

use crate::assertion::JTI_BYTES_MAX;
use crate::jose::{
    ForeignAlgorithm, ForeignKey, JoseFault, Replay, Unverified, Verified, typ_is, verify_with,
};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use writ_core::Millis;

mod htu;

/// Longest proof that is read, in bytes: one with an RSA key of 4096 bits and a long address has
/// 3 KiB.
pub const PROOF_BYTES_MAX: usize = 8 * 1024;
/// How old a proof may be, in seconds: time for its way, and for clocks that are slow.
pub const PROOF_AGE_MAX_SECONDS: u64 = 60;
/// How long a nonce is the current one, in seconds. The one before it is taken too.
pub const NONCE_WINDOW_SECONDS: u64 = 300;

/// Algorithms of proofs (`dpop_signing_alg_values_supported`). RS256 is not one of them: every
/// client makes its key for this, none needs the old padding (FAPI 2.0 Security Profile §5.4.1).
pub const ALGORITHMS: [ForeignAlgorithm; 4] = [
    ForeignAlgorithm::ES256,
    ForeignAlgorithm::ES384,
    ForeignAlgorithm::EdDSA,
    ForeignAlgorithm::PS256,
];

/// Why a proof proves nothing. Nothing of the proof is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopFault {
    /// `ath` is absent, or of another access token.
    #[error("ath is not the hash of the access token")]
    AccessToken,
    /// `htu` is absent, or another address.
    #[error("htu is not the address of this request")]
    Address,
    /// It is past its own `exp`, or `nbf` is in the future.
    #[error("exp is past, or nbf in the future")]
    Expired,
    /// `iat` is absent, too old or in the future.
    #[error("iat is not of the last minute")]
    IssuedAt,
    /// Not a signed JWT, or one with an algorithm or header that is refused.
    #[error("not a proof: {0}")]
    Jose(#[from] JoseFault),
    /// `jti` is absent, empty, too long or no text.
    #[error("jti must be a text of 1 to 256 bytes")]
    Jti,
    /// `jwk` is absent, or not a public key that is fit.
    #[error("jwk in the header is not a public key that is fit")]
    Key,
    /// `htm` is absent, or another method.
    #[error("htm is not the method of this request")]
    Method,
    /// `nonce` is absent where it is required, or none of the last minutes.
    #[error("nonce is not one of the last minutes: repeat with the one in the DPoP-Nonce header")]
    Nonce,
    /// `typ` is not `dpop+jwt`.
    #[error("typ is not dpop+jwt")]
    Type,
}

impl DpopFault {
    /// Its name, for logs and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "ath",
            Self::Address => "htu",
            Self::Expired => "expired",
            Self::IssuedAt => "iat",
            Self::Jose(fault) => fault.as_str(),
            Self::Jti => "jti",
            Self::Key => "jwk",
            Self::Method => "htm",
            Self::Nonce => "nonce",
            Self::Type => "type",
        }
    }

    /// The `error` of the answer (RFC 9449 §5, §7.1, §8): a client that reads `use_dpop_nonce`
    /// repeats with the nonce that comes with it.
    #[must_use]
    pub fn oauth_error(self) -> &'static str {
        match self {
            Self::Nonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }
}

/// Whether a proof must have a nonce of ours. One that is there is checked in any case.
#[derive(Clone, Copy, Debug)]
pub enum NonceRule<'a> {
    /// A proof may come without.
    Optional(&'a Nonces),
    /// It must have one (RFC 9449 §8).
    Required(&'a Nonces),
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopProof {
    /// The thumbprint of the key (RFC 7638, SHA-256): what a token is bound to (RFC 9449 §6.1).
    pub jkt: [u8; 32],
    /// What it is signed with.
    pub algorithm: ForeignAlgorithm,
    /// Its name.
    pub jti: Box<str>,
    /// When it was made, by the clock of who made it.
    pub iat: Millis,
}

impl DpopProof {
    /// The thumbprint as it stands in `cnf.jkt` (RFC 9449 §6.1).
    #[must_use]
    pub fn jkt_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.jkt)
    }

    /// What must be remembered of it so that it is taken once (RFC 9449 §11.1).
    #[must_use]
    pub fn replay(&self) -> Replay {
        // It is still taken in the last second of its age, so one more must pass.
        let until = self.iat.plus_seconds(PROOF_AGE_MAX_SECONDS + 1);
        Replay::new("dpop", &self.jkt, &self.jti, until)
    }
}

/// Checks a proof (RFC 9449 §4.3) for a request of this method to this address, and with this
/// access token if one is presented. That there was one proof only is for the caller to see.
///
/// # Errors
/// The first thing that does not fit.
pub fn verify_proof(
    proof: &str,
    method: &str,
    htu: &str,
    now: Millis,
    access_token: Option<&str>,
    nonce: NonceRule<'_>,
) -> Result<DpopProof, DpopFault> {
    let proof = Unverified::parse(proof, PROOF_BYTES_MAX)?;
    if !proof.typ().is_some_and(|typ| typ_is(typ, "dpop+jwt")) {
        return Err(DpopFault::Type);
    }
    let jwk = proof.embedded_jwk().ok_or(DpopFault::Key)?;
    let key = ForeignKey::from_jwk(jwk).map_err(|_| DpopFault::Key)?;
    let proof = verify_with(&proof, &key, &ALGORITHMS)?;
    if proof.text("htm") != Some(method) {
        return Err(DpopFault::Method);
    }
    if !proof.text("htu").is_some_and(|said| htu::same(said, htu)) {
        return Err(DpopFault::Address);
    }
    let iat = check_times(&proof, now)?;
    let jti = proof.text("jti").ok_or(DpopFault::Jti)?;
    if !(1..=JTI_BYTES_MAX).contains(&jti.len()) {
        return Err(DpopFault::Jti);
    }
    if let Some(token) = access_token {
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        if !proof.text("ath").is_some_and(|said| equal(said, &ath)) {
            return Err(DpopFault::AccessToken);
        }
    }
    check_nonce(&proof, nonce, now)?;
    Ok(DpopProof {
        jkt: *proof.thumbprint(),
        algorithm: proof.algorithm(),
        jti: jti.into(),
        iat,
    })
}

/// When it was made: within the last minute. `exp` and `nbf` are nothing a proof needs, and
/// nothing that could be ignored where they are there.
fn check_times(proof: &Verified, now: Millis) -> Result<Millis, DpopFault> {
    let iat = proof.time("iat")?.ok_or(DpopFault::IssuedAt)?;
    let latest = now.plus_seconds(crate::jose::FUTURE_SECONDS);
    if iat.plus_seconds(PROOF_AGE_MAX_SECONDS) < now || latest < iat {
        return Err(DpopFault::IssuedAt);
    }
    let ended = proof.time("exp")?.is_some_and(|exp| exp <= now);
    if ended || !proof.has_begun(now)? {
        return Err(DpopFault::Expired);
    }
    Ok(iat)
}

fn check_nonce(proof: &Verified, rule: NonceRule<'_>, now: Millis) -> Result<(), DpopFault> {
    let (nonces, required) = match rule {
        NonceRule::Optional(nonces) => (nonces, false),
        NonceRule::Required(nonces) => (nonces, true),
    };
    let fits = match proof.claims().get("nonce") {
        None => !required,
        Some(nonce) => nonce
            .as_str()
            .is_some_and(|nonce| nonces.accepts(nonce, now)),
    };
    if fits { Ok(()) } else { Err(DpopFault::Nonce) }
}

fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// The nonces of this server (RFC 9449 §8): each is the HMAC of its window of time, so that nobody
/// else can make one of the future and nothing needs to be kept. Servers with the same key take
/// one another's.
pub struct Nonces(hmac::Key);

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Nonces {
    /// Those of a secret key, which is used for nothing else.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The one to give out now. It is taken for [`NONCE_WINDOW_SECONDS`] at least, and for twice
    /// that at most.
    #[must_use]
    pub fn current(&self, now: Millis) -> String {
        self.of_window(now.seconds() / NONCE_WINDOW_SECONDS)
    }

    /// Whether one was given out in this window of time or the one before.
    #[must_use]
    pub fn accepts(&self, nonce: &str, now: Millis) -> bool {
        let window = now.seconds() / NONCE_WINDOW_SECONDS;
        let is_of = |window| equal(nonce, &self.of_window(window));
        is_of(window) || window.checked_sub(1).is_some_and(is_of)
    }

    fn of_window(&self, window: u64) -> String {
        let mut message = *b"writ dpop nonce ........";
        message[16..].copy_from_slice(&window.to_be_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message))
    }
}

#[cfg(test)]
mod tests;
