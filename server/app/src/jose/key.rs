//! A public key of somebody else.

use super::ForeignAlgorithm;
use crate::keys::thumbprint_bytes;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use writ_core::{CertificateDigest, PublicJwk, RegisteredKey};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest `kid`, in bytes.
pub const KID_BYTES_MAX: usize = 256;
/// Members that only private and symmetric keys have (RFC 7518 §6.2.2, §6.3.2, §6.4.1; `priv`
/// of AKP: RFC 9964).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// Sizes of RSA keys, in bits. The least is of RFC 7518 §3.3. Larger ones cost time, and a stranger
/// chooses the key of a proof: 8192 bits take four times as long as 4096.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;
/// RSA exponents: FIPS 186-5 §5.4 has no smaller ones, AWS-LC no larger ones.
const RSA_EXPONENTS: std::ops::Range<u64> = 65_537..1 << 33;

/// Why a JWK is no key that can be used. No text has anything of the key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignKeyFault {
    /// Not a JWK at all, or members that contradict one another.
    #[error("not a JWK: see RFC 7517 §4 and RFC 7518 §6 for its members")]
    Malformed,
    /// It holds what must be kept secret.
    #[error("it has private or symmetric key material: give the public part, and replace this key")]
    Private,
    /// It is not for verifying signatures (`use`, `key_ops`; RFC 7517 §4.2, §4.3).
    #[error("its use or key_ops say that it is not for verifying signatures")]
    Purpose,
    /// An RSA key that is too small, too large, or has an exponent that nobody should have.
    #[error(
        "an RSA key needs a modulus of 2048 to 4096 bits and an odd exponent of at least 65537"
    )]
    Size,
    /// A `kty`, `crv` or `alg` that is not supported.
    #[error(
        "its kty, crv or alg is not supported: RSA, EC with P-256 or P-384, OKP with Ed25519, for RS256, PS256, ES256, ES384 or EdDSA"
    )]
    Unsupported,
}

/// A public key of somebody else, parsed and checked once.
#[derive(Clone)]
pub struct ForeignKey {
    kid: Option<Box<str>>,
    algorithm: Option<ForeignAlgorithm>,
    jwk: PublicJwk,
    certificate: Option<CertificateDigest>,
    thumbprint: [u8; 32],
    decoding: DecodingKey,
}

impl fmt::Debug for ForeignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("jwk", &self.jwk)
            .finish_non_exhaustive()
    }
}

impl ForeignKey {
    /// Reads a JWK (RFC 7517 §4). Members that are not known are ignored, as it says.
    ///
    /// # Errors
    /// It is no public key that signatures can be verified with.
    pub fn from_jwk(jwk: &Value) -> Result<Self, ForeignKeyFault> {
        let object = jwk.as_object().ok_or(ForeignKeyFault::Malformed)?;
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| object.contains_key(*name))
        {
            return Err(ForeignKeyFault::Private);
        }
        check_purpose(object)?;
        let required = |name| text(object, name)?.ok_or(ForeignKeyFault::Malformed);
        let public = match required("kty")? {
            "RSA" => PublicJwk::RSA {
                e: required("e")?.into(),
                n: required("n")?.into(),
            },
            "EC" => PublicJwk::EC {
                crv: required("crv")?.into(),
                x: required("x")?.into(),
                y: required("y")?.into(),
            },
            "OKP" => PublicJwk::OKP {
                crv: required("crv")?.into(),
                x: required("x")?.into(),
            },
            "oct" => return Err(ForeignKeyFault::Private),
            _ => return Err(ForeignKeyFault::Unsupported),
        };
        let mut key = Self::new(text(object, "kid")?, text(object, "alg")?, public)?;
        if let Some(chain) = object.get("x5c") {
            key.certificate = Some(key.certificate_in(chain)?);
        }
        Ok(key)
    }

    /// Reads a key that was registered.
    ///
    /// # Errors
    /// It is no public key that signatures can be verified with.
    pub fn from_registered(key: &RegisteredKey) -> Result<Self, ForeignKeyFault> {
        let mut parsed = Self::new(key.kid.as_deref(), key.alg.as_deref(), key.jwk.clone())?;
        parsed.certificate = key.certificate;
        Ok(parsed)
    }

    /// The key as it is registered.
    #[must_use]
    pub fn to_registered(&self) -> RegisteredKey {
        RegisteredKey {
            kid: self.kid.clone(),
            alg: self.algorithm.map(|algorithm| algorithm.as_str().into()),
            jwk: self.jwk.clone(),
            certificate: self.certificate,
        }
    }

    fn new(kid: Option<&str>, alg: Option<&str>, jwk: PublicJwk) -> Result<Self, ForeignKeyFault> {
        if kid.is_some_and(|kid| !is_kid(kid)) {
            return Err(ForeignKeyFault::Malformed);
        }
        let (decoding, _) = parse(&jwk)?;
        let named = |name| ForeignAlgorithm::from_name(name).ok_or(ForeignKeyFault::Unsupported);
        let algorithm = alg.map(named).transpose()?;
        if algorithm.is_some_and(|algorithm| !algorithm.fits(&jwk)) {
            return Err(ForeignKeyFault::Malformed);
        }
        Ok(Self {
            kid: kid.map(Into::into),
            algorithm,
            thumbprint: thumbprint_bytes(&jwk),
            jwk,
            certificate: None,
            decoding,
        })
    }

    /// The digest of the first certificate of an `x5c`, whose key is this one (RFC 7517 §4.7).
    fn certificate_in(&self, chain: &Value) -> Result<CertificateDigest, ForeignKeyFault> {
        let malformed = ForeignKeyFault::Malformed;
        let first = chain.as_array().and_then(|chain| chain.first()?.as_str());
        let der = STANDARD.decode(first.ok_or(malformed)?);
        let der = der.map_err(|_| malformed)?;
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| malformed)?;
        let (_, own) = parse(&self.jwk)?;
        let own: PublicKeyX509Der<'_> = own.as_der().map_err(|_| malformed)?;
        // Both are SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER, where one key has one form.
        if rest.is_empty() && certificate.public_key().raw == own.as_ref() {
            Ok(CertificateDigest(Sha256::digest(&der).into()))
        } else {
            Err(malformed)
        }
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it is for, if it says so.
    #[must_use]
    pub fn algorithm(&self) -> Option<ForeignAlgorithm> {
        self.algorithm
    }

    /// Its public members.
    #[must_use]
    pub fn jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    /// SHA-256 of the certificate that came with it.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateDigest> {
        self.certificate
    }

    /// Its thumbprint with SHA-256 (RFC 7638 §3): the `jkt` of RFC 9449 §6.1.
    #[must_use]
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Whether it verifies signatures of this algorithm.
    #[must_use]
    pub fn fits(&self, algorithm: ForeignAlgorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && algorithm.fits(&self.jwk)
    }

    /// Whether it goes by this name: its own, or its thumbprint where it has none.
    #[must_use]
    pub fn is_named(&self, kid: &str) -> bool {
        match &self.kid {
            Some(own) => **own == *kid,
            None => URL_SAFE_NO_PAD.encode(self.thumbprint) == kid,
        }
    }

    /// Whether a signature, in base64url, is of this key and algorithm.
    pub(super) fn has_signed(
        &self,
        algorithm: ForeignAlgorithm,
        message: &str,
        signature: &str,
    ) -> bool {
        let algorithm = algorithm.foreign();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }
}

/// Printable ASCII: it is kept in events and shown to people.
pub(super) fn is_kid(text: &str) -> bool {
    (1..=KID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// A member that is a text where it is there.
fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, ForeignKeyFault> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ForeignKeyFault::Malformed),
    }
}

/// `use` (RFC 7517 §4.2) and `key_ops` (§4.3) let it verify signatures, or are absent. The keys of a
/// SPIFFE trust domain that sign JWTs have a `use` of their own (SPIFFE Trust Domain and Bundle
/// §4.2.2); those that sign certificates (`x509-svid`) are for nothing else.
fn check_purpose(object: &Map<String, Value>) -> Result<(), ForeignKeyFault> {
    let usage = text(object, "use")?;
    let may_verify = match object.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|one| one == "verify"),
        Some(_) => return Err(ForeignKeyFault::Malformed),
    };
    if may_verify && usage.is_none_or(|usage| ["sig", "jwt-svid"].contains(&usage)) {
        Ok(())
    } else {
        Err(ForeignKeyFault::Purpose)
    }
}

/// Bytes of a member: base64url without padding, in the one form that they have (RFC 7515 §2).
fn base64url(text: &str) -> Result<Vec<u8>, ForeignKeyFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| ForeignKeyFault::Malformed)
}

/// What `jsonwebtoken` verifies with, and the same as AWS-LC has it. A key that passes has exactly
/// one form, so that one key has one thumbprint.
fn parse(jwk: &PublicJwk) -> Result<(DecodingKey, ParsedPublicKey), ForeignKeyFault> {
    let malformed = ForeignKeyFault::Malformed;
    match jwk {
        PublicJwk::RSA { e, n } => {
            let (n, e) = (base64url(n)?, base64url(e)?);
            let parsed = parse_rsa(&n, &e)?;
            Ok((DecodingKey::from_rsa_raw_components(&n, &e), parsed))
        }
        PublicJwk::EC { crv, x, y } => {
            let (size, algorithm): (_, &'static dyn VerificationAlgorithm) = match &**crv {
                "P-256" => (32, &ECDSA_P256_SHA256_FIXED),
                "P-384" => (48, &ECDSA_P384_SHA384_FIXED),
                _ => return Err(ForeignKeyFault::Unsupported),
            };
            let (left, right) = (base64url(x)?, base64url(y)?);
            // A coordinate has the full size of its curve (RFC 7518 §6.2.1.2).
            if left.len() != size || right.len() != size {
                return Err(malformed);
            }
            // AWS-LC refuses a point that is not on the curve (RFC 8725 §3.4).
            let point = [&[4], &*left, &*right].concat();
            let parsed = ParsedPublicKey::new(algorithm, point).map_err(|_| malformed)?;
            let decoding = DecodingKey::from_ec_components(x, y).map_err(|_| malformed)?;
            Ok((decoding, parsed))
        }
        PublicJwk::OKP { crv, x } if &**crv == "Ed25519" => {
            let point = base64url(x)?.try_into().map_err(|_| malformed)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(&point).map_err(|_| malformed)?;
            // For a point of small order there are signatures that fit any message.
            if key.is_weak() {
                return Err(malformed);
            }
            let parsed = ParsedPublicKey::new(&ED25519, point).map_err(|_| malformed)?;
            let decoding = DecodingKey::from_ed_components(x).map_err(|_| malformed)?;
            Ok((decoding, parsed))
        }
        PublicJwk::OKP { .. } => Err(ForeignKeyFault::Unsupported),
    }
}

fn parse_rsa(n: &[u8], e: &[u8]) -> Result<ParsedPublicKey, ForeignKeyFault> {
    let (Some(&first), Some(&last), Some(&first_of_e)) = (n.first(), n.last(), e.first()) else {
        return Err(ForeignKeyFault::Malformed);
    };
    // Numbers have no zero before them (RFC 7518 §2, Base64urlUInt); a modulus is odd.
    if first == 0 || first_of_e == 0 || last % 2 == 0 {
        return Err(ForeignKeyFault::Malformed);
    }
    let bits = u32::try_from(n.len()).unwrap_or(u32::MAX);
    let bits = bits.saturating_mul(8) - first.leading_zeros();
    let value = e.iter().try_fold(0_u64, |value, byte| {
        Some(value.checked_mul(256)? | u64::from(*byte))
    });
    let odd_and_fit = |value: &u64| value % 2 == 1 && RSA_EXPONENTS.contains(value);
    if !RSA_BITS.contains(&bits) || !value.as_ref().is_some_and(odd_and_fit) {
        return Err(ForeignKeyFault::Size);
    }
    let parts = RsaPublicKeyComponents { n, e };
    let parsed = parts.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256);
    parsed.map_err(|_| ForeignKeyFault::Malformed)
}
