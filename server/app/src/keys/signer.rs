//! Signing, with a key parsed once: parsing at each call makes RS256 2.6 times slower.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use writ_core::{Algorithm, Kid, PublicJwk};

use super::generate::p256_jwk;
use super::jwk::{RSA_BYTES_MAX, RSA_BYTES_MIN, base64url};
use super::{KeyFault, SignFault};

/// A private key that is ready to sign. It shows nothing of itself but kid and algorithm.
pub struct Signer {
    kid: Kid,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl Signer {
    /// Parses a private key in PKCS#8 DER, once.
    ///
    /// # Errors
    /// The bytes are not a key for this algorithm, or an RSA key outside 2048 to 4096 bits.
    pub fn from_pkcs8(kid: Kid, algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let pair = match algorithm {
            Algorithm::ES256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                .ok()
                .map(Pair::Ecdsa),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Pair::Ed25519),
            Algorithm::RS256 => rsa(pkcs8).map(|pair| Pair::Rsa(pair, &RSA_PKCS1_SHA256)),
            Algorithm::PS256 => rsa(pkcs8).map(|pair| Pair::Rsa(pair, &RSA_PSS_SHA256)),
        };
        match pair {
            Some(pair) => Ok(Self {
                kid,
                algorithm,
                pair,
            }),
            None => Err(KeyFault::Private { kid, algorithm }),
        }
    }

    /// The name of the key.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public part, derived from the private one.
    #[must_use]
    pub fn public_jwk(&self) -> Option<PublicJwk> {
        match &self.pair {
            Pair::Ecdsa(pair) => p256_jwk(pair.public_key().as_ref()),
            Pair::Ed25519(pair) => Some(PublicJwk::OKP {
                crv: "Ed25519".into(),
                x: base64url(pair.public_key().as_ref()),
            }),
            Pair::Rsa(pair, _) => Some(PublicJwk::RSA {
                e: base64url(
                    pair.public_key()
                        .exponent()
                        .big_endian_without_leading_zero(),
                ),
                n: base64url(
                    pair.public_key()
                        .modulus()
                        .big_endian_without_leading_zero(),
                ),
            }),
        }
    }

    /// Appends the signature of a message to `out`, in the raw form of JWS (RFC 7518 §3.3 to 3.5,
    /// RFC 8037 §3.1); for ES256 that is r and s of 32 bytes each, not DER.
    ///
    /// # Errors
    /// The library refused; `out` is then as it was.
    pub fn sign(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), SignFault> {
        let fault = || SignFault(self.kid.clone());
        // AWS-LC takes its own randomness; the parameter is there for the API's sake.
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| fault())?;
                out.extend_from_slice(signature.as_ref());
            }
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(|_| fault())?;
                out.extend_from_slice(signature.as_ref());
            }
            Pair::Rsa(pair, padding) => {
                let start = out.len();
                out.resize(start + pair.public_modulus_len(), 0);
                if pair
                    .sign(*padding, &random, message, &mut out[start..])
                    .is_err()
                {
                    out.truncate(start);
                    return Err(fault());
                }
            }
        }
        Ok(())
    }
}

fn rsa(pkcs8: &[u8]) -> Option<RsaKeyPair> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
    (RSA_BYTES_MIN..=RSA_BYTES_MAX)
        .contains(&pair.public_modulus_len())
        .then_some(pair)
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::keys::jwk::foreign;
    use crate::keys::{decoding_key, generate, thumbprint};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Validation;

    /// A complete token over fixed claims, as the token path puts it together.
    fn token(signer: &Signer) -> String {
        let header = format!(
            r#"{{"alg":"{}","kid":"{}"}}"#,
            signer.algorithm(),
            signer.kid()
        );
        let claims = r#"{"aud":"https://courses.example/api","exp":4102444800,"sub":"a"}"#;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let mut signature = b"before".to_vec();
        signer.sign(message.as_bytes(), &mut signature).unwrap();
        assert!(signature.starts_with(b"before"), "it appends");
        format!("{message}.{}", encode(&signature[6..]))
    }

    #[test]
    fn what_we_sign_others_verify() {
        for algorithm in Algorithm::ALL {
            let made = generate(algorithm).unwrap();
            assert_eq!(made.kid.as_str(), thumbprint(&made.public_jwk));
            let signer = Signer::from_pkcs8(made.kid.clone(), algorithm, &made.pkcs8).unwrap();
            assert_eq!(signer.public_jwk().as_ref(), Some(&made.public_jwk));

            let token = token(&signer);
            let key = decoding_key(&made.kid, algorithm, &made.public_jwk).unwrap();
            let mut validation = Validation::new(foreign(algorithm));
            validation.set_audience(&["https://courses.example/api"]);
            let read =
                |token: &str| jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation);
            assert_eq!(
                read(&token).unwrap().header.kid.as_deref(),
                Some(made.kid.as_str())
            );
            let (message, signature) = token.rsplit_once('.').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            bytes[7] ^= 1;
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert!(read(&forged).is_err(), "{algorithm}");
            if algorithm == Algorithm::ES256 {
                assert_eq!(bytes.len(), 64, "fixed, not DER");
            }
        }
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_only() {
        for made_for in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
            let made = generate(made_for).unwrap();
            for other in Algorithm::ALL {
                let rsa = |a| matches!(a, Algorithm::RS256 | Algorithm::PS256);
                if other != made_for && !(rsa(other) && rsa(made_for)) {
                    let refused = Signer::from_pkcs8(made.kid.clone(), other, &made.pkcs8);
                    assert!(
                        matches!(refused, Err(KeyFault::Private { .. })),
                        "{made_for} {other}"
                    );
                }
            }
        }
        let kid: Kid = "k".parse().unwrap();
        let refused = Signer::from_pkcs8(kid, Algorithm::ES256, b"canary").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }

    #[test]
    fn debug_shows_no_key() {
        let made = generate(Algorithm::EdDSA).unwrap();
        let signer = Signer::from_pkcs8(made.kid.clone(), made.algorithm, &made.pkcs8).unwrap();
        let shown = format!("{made:?} {signer:?}");
        assert!(
            shown.contains(made.kid.as_str()) && !shown.contains("pkcs8"),
            "{shown}"
        );
    }
}
