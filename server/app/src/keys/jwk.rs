//! Public keys as JWKs: thumbprints, and what `jsonwebtoken` needs to verify with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use sha2::{Digest, Sha256};
use writ_core::{Algorithm, Kid, PublicJwk};

use super::KeyFault;

/// Smallest RSA modulus, in bytes (RFC 7518 §3.3).
pub(super) const RSA_BYTES_MIN: usize = 256;
/// Largest RSA modulus that is used, in bytes: 4096 bits; more would only cost time.
pub(super) const RSA_BYTES_MAX: usize = 512;

/// Bytes as a member of a JWK (RFC 7515 §2).
pub(super) fn base64url(bytes: &[u8]) -> Box<str> {
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// The thumbprint of a public key: SHA-256 over its required members in their order (RFC 7638
/// §3), base64url. It is the kid of every key that Writ makes.
#[must_use]
pub fn thumbprint(jwk: &PublicJwk) -> String {
    URL_SAFE_NO_PAD.encode(thumbprint_bytes(jwk))
}

/// The thumbprint of a public key as the 32 bytes of its SHA-256 (RFC 7638 §3).
#[must_use]
pub fn thumbprint_bytes(jwk: &PublicJwk) -> [u8; 32] {
    // Every value is base64url or a curve name: nothing in them needs an escape in JSON.
    let members = match jwk {
        PublicJwk::EC { crv, x, y } => {
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        PublicJwk::OKP { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        PublicJwk::RSA { e, n } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
    };
    Sha256::digest(members).into()
}

/// The key that `jsonwebtoken` verifies with: made once per kid, then held.
///
/// # Errors
/// The members are not a key for this algorithm, or not one of a fitting size.
pub fn decoding_key(
    kid: &Kid,
    algorithm: Algorithm,
    jwk: &PublicJwk,
) -> Result<DecodingKey, KeyFault> {
    let fault = || KeyFault::Public {
        kid: kid.clone(),
        algorithm,
    };
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| fault());
    match (algorithm, jwk) {
        (Algorithm::ES256, PublicJwk::EC { crv, x, y }) if &**crv == "P-256" => {
            if bytes(x)?.len() != 32 || bytes(y)?.len() != 32 {
                return Err(fault());
            }
            DecodingKey::from_ec_components(x, y).map_err(|_| fault())
        }
        (Algorithm::EdDSA, PublicJwk::OKP { crv, x }) if &**crv == "Ed25519" => {
            if bytes(x)?.len() != 32 {
                return Err(fault());
            }
            DecodingKey::from_ed_components(x).map_err(|_| fault())
        }
        (Algorithm::RS256 | Algorithm::PS256, PublicJwk::RSA { e, n }) => {
            let (n, e) = (bytes(n)?, bytes(e)?);
            if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len()) || e.is_empty() {
                return Err(fault());
            }
            Ok(DecodingKey::from_rsa_raw_components(&n, &e))
        }
        _ => Err(fault()),
    }
}

/// An algorithm by the name that `jsonwebtoken` has for it.
pub(super) fn foreign(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// RFC 7638 §3.1.
    const N: &str = concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc",
        "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ",
        "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF",
        "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    );

    #[test]
    fn the_thumbprints_of_the_specifications() {
        let rsa = PublicJwk::RSA {
            e: "AQAB".into(),
            n: N.into(),
        };
        assert_eq!(
            thumbprint(&rsa),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        // RFC 8037, appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let okp = PublicJwk::OKP {
            crv: "Ed25519".into(),
            x: x.into(),
        };
        assert_eq!(
            thumbprint(&okp),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_key_of_another_kind_or_size_is_refused() {
        let kid: Kid = "k".parse().unwrap();
        let rsa = PublicJwk::RSA {
            e: "AQAB".into(),
            n: N.into(),
        };
        assert!(decoding_key(&kid, Algorithm::RS256, &rsa).is_ok());
        assert!(decoding_key(&kid, Algorithm::PS256, &rsa).is_ok());
        assert!(decoding_key(&kid, Algorithm::ES256, &rsa).is_err());
        assert!(decoding_key(&kid, Algorithm::EdDSA, &rsa).is_err());
        let short = PublicJwk::RSA {
            e: "AQAB".into(),
            n: N[..170].into(),
        };
        assert!(decoding_key(&kid, Algorithm::RS256, &short).is_err());
        let p384 = PublicJwk::EC {
            crv: "P-384".into(),
            x: "AA".into(),
            y: "AA".into(),
        };
        assert!(decoding_key(&kid, Algorithm::ES256, &p384).is_err());
        let tiny = PublicJwk::EC {
            crv: "P-256".into(),
            x: "AA".into(),
            y: "AA".into(),
        };
        assert!(decoding_key(&kid, Algorithm::ES256, &tiny).is_err());
        let text = PublicJwk::OKP {
            crv: "Ed25519".into(),
            x: "not base64!".into(),
        };
        assert!(decoding_key(&kid, Algorithm::EdDSA, &text).is_err());
    }
}
