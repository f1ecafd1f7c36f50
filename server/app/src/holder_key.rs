//! The key of a client of Writ, such as `writ` itself: it proves the client (`private_key_jwt`,
//! RFC 7523 §2.2), and its tokens are bound to it (DPoP, RFC 9449). The server never sees more of it
//! than the public part.

use crate::clock::{Random, SystemRandom};
use crate::keys::{KeyFault, SignFault, Signer, generate};
use crate::token::{compact, encode_as};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use writ_core::{Algorithm, Kid, Millis, PublicJwk};
use zeroize::Zeroizing;

/// How long an assertion is good, in seconds: it is made for one request.
const ASSERTION_SECONDS: u64 = 60;

/// A private key as a file of credentials has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateKeyText {
    /// Its name, by which the server knows the public part.
    pub kid: Kid,
    /// What it signs with: ES256, EdDSA or PS256; RS256 where a server takes it still.
    pub alg: Algorithm,
    /// The key: PKCS#8 in PEM (RFC 7468 §10), as `openssl genpkey` writes it.
    pub pem: String,
}

impl fmt::Debug for PrivateKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKeyText")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

impl PrivateKeyText {
    /// Makes a new key. ES256, which every server takes.
    ///
    /// # Errors
    /// The cryptographic library refused; this is not expected to happen.
    pub fn generate() -> Result<Self, KeyFault> {
        let made = generate(Algorithm::ES256)?;
        Ok(Self {
            kid: made.kid,
            alg: made.algorithm,
            pem: pem(&made.pkcs8),
        })
    }
}

/// PKCS#8 in the lines that RFC 7468 §2 asks for.
fn pem(pkcs8: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(pkcs8));
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

/// A key, ready to sign.
#[derive(Debug)]
pub struct HolderKey {
    signer: Signer,
    jwk: PublicJwk,
}

impl HolderKey {
    /// Parses a key.
    ///
    /// # Errors
    /// It is no private key for its algorithm.
    pub fn parse(text: &PrivateKeyText) -> Result<Self, KeyFault> {
        let fault = || KeyFault::Private {
            kid: text.kid.clone(),
            algorithm: text.alg,
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.pem.as_bytes()).map_err(|_| fault())?;
        let pkcs8 = der.secret_pkcs8_der();
        let signer = Signer::from_pkcs8(text.kid.clone(), text.alg, pkcs8)?;
        let jwk = signer.public_jwk().ok_or_else(fault)?;
        Ok(Self { signer, jwk })
    }

    /// The public part, with its name and what it is for: what a server registers.
    #[must_use]
    pub fn public(&self) -> Map<String, Value> {
        let mut members = self.bare();
        members.insert("kid".to_owned(), json!(self.signer.kid()));
        members.insert("alg".to_owned(), json!(self.signer.algorithm()));
        members.insert("use".to_owned(), json!("sig"));
        members
    }

    /// The public members alone, as a proof carries them.
    fn bare(&self) -> Map<String, Value> {
        match json!(self.jwk) {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// An assertion that this is the client, for one request (RFC 7523 §3). Its audience is the
    /// issuer and nothing else, so that no other server can present it.
    ///
    /// # Errors
    /// The cryptographic library refused.
    pub fn assertion(
        &self,
        client_id: &str,
        issuer: &str,
        now: Millis,
    ) -> Result<String, SignFault> {
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now.seconds(),
            "exp": now.seconds() + ASSERTION_SECONDS,
            "jti": jti(),
        });
        encode_as(&self.signer, "client-authentication+jwt", &claims)
    }

    /// A proof that a request comes from who holds the key (RFC 9449 §4.2): `htu` is its address
    /// without query and fragment. With a token it is for that token.
    ///
    /// # Errors
    /// The cryptographic library refused.
    pub fn proof(
        &self,
        method: &str,
        htu: &str,
        access_token: Option<&str>,
        nonce: Option<&str>,
        now: Millis,
    ) -> Result<String, SignFault> {
        let header = json!({
            "typ": "dpop+jwt",
            "alg": self.signer.algorithm(),
            "jwk": self.bare(),
        });
        let mut claims = json!({ "htm": method, "htu": htu, "iat": now.seconds(), "jti": jti() });
        if let Some(token) = access_token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(Sha256::digest(token)).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let (header, claims) = (header.to_string(), claims.to_string());
        compact(&self.signer, &header, claims.as_bytes())
    }
}

/// 128 random bits.
fn jti() -> String {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::assertion::{ASSERTION_BYTES_MAX, check_client_assertion};
    use crate::dpop::{NonceRule, Nonces, verify_proof};
    use crate::jose::{ForeignAlgorithm, ForeignKey, Unverified, verify_with};
    use writ_core::SecurityProfile;

    const NOW: Millis = Millis(1_772_528_400_123);
    const ISSUER: &str = "https://writ.example";

    fn text_of(algorithm: Algorithm) -> PrivateKeyText {
        let made = generate(algorithm).unwrap();
        PrivateKeyText {
            kid: made.kid,
            alg: algorithm,
            pem: pem(&made.pkcs8),
        }
    }

    #[test]
    fn what_it_signs_the_strict_profile_takes() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256] {
            let key = HolderKey::parse(&text_of(algorithm)).unwrap();
            let registered = ForeignKey::from_jwk(&Value::Object(key.public())).unwrap();
            let assertion = key.assertion("job", ISSUER, NOW).unwrap();
            let assertion = Unverified::parse(&assertion, ASSERTION_BYTES_MAX).unwrap();
            let signed = verify_with(&assertion, &registered, &ForeignAlgorithm::FAPI2).unwrap();
            let profile = SecurityProfile::Fapi2;
            check_client_assertion(&signed, "job", ISSUER, "unused", NOW, profile).unwrap();

            let htu = "https://writ.example/api/v1/roles";
            let nonces = Nonces::new(&[7; 32]);
            let nonce = nonces.current(NOW);
            let proof = key
                .proof("GET", htu, Some("token"), Some(&nonce), NOW)
                .unwrap();
            let rule = NonceRule::Required(&nonces);
            let proof = verify_proof(&proof, "GET", htu, NOW, Some("token"), rule).unwrap();
            assert_eq!(&proof.jkt, registered.thumbprint());
        }
    }

    #[test]
    fn no_two_are_alike_and_none_shows_the_key() {
        let text = PrivateKeyText::generate().unwrap();
        let key = HolderKey::parse(&text).unwrap();
        let one = key.assertion("job", ISSUER, NOW).unwrap();
        assert_ne!(one, key.assertion("job", ISSUER, NOW).unwrap());
        let secret = text.pem.lines().nth(1).unwrap();
        let shown = format!("{text:?} {key:?} {one} {:?}", key.public());
        assert!(!shown.contains(secret) && !key.public().contains_key("d"));
        assert!(text.pem.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let good = PrivateKeyText::generate().unwrap();
        let other = PrivateKeyText {
            alg: Algorithm::EdDSA,
            ..good.clone()
        };
        let none = PrivateKeyText {
            pem: "c4n4ry".to_owned(),
            ..good
        };
        for wrong in [other, none] {
            let error = HolderKey::parse(&wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("c4n4ry"));
        }
    }
}
