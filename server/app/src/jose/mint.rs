//! What others have, for tests: keys, and the tokens and proofs that they sign. AWS-LC signs, the
//! texts are put together here, so that wrong ones can be made too.

use super::ForeignAlgorithm;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use writ_core::Millis;

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair of somebody else.
pub(crate) struct MintKey {
    pub(crate) algorithm: ForeignAlgorithm,
    /// The key that headers of its tokens name.
    pub(crate) kid: Option<String>,
    pair: Pair,
}

/// A key pair of each algorithm, made once: RSA keys take their time.
pub(crate) fn key(algorithm: ForeignAlgorithm) -> &'static MintKey {
    static KEYS: LazyLock<Vec<MintKey>> =
        LazyLock::new(|| ForeignAlgorithm::ALL.map(MintKey::generate).into());
    KEYS.iter()
        .find(|key| key.algorithm == algorithm)
        .expect("there is one for each")
}

/// A text that was not there before.
pub(crate) fn jti() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("jti-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// JSON as a part of a token.
pub(crate) fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

impl MintKey {
    /// Makes one without a name.
    pub(crate) fn generate(algorithm: ForeignAlgorithm) -> Self {
        use ForeignAlgorithm as A;
        let ec = |kind| Pair::Ec(EcdsaKeyPair::generate(kind).expect("a key"));
        let pair = match algorithm {
            A::ES256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            A::ES384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            A::EdDSA => Pair::Ed(Ed25519KeyPair::generate().expect("a key")),
            A::PS256 | A::RS256 => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
            }
        };
        Self {
            algorithm,
            kid: None,
            pair,
        }
    }

    /// Makes one with a name.
    pub(crate) fn named(algorithm: ForeignAlgorithm, kid: &str) -> Self {
        Self {
            kid: Some(kid.to_owned()),
            ..Self::generate(algorithm)
        }
    }

    /// The public key, with `alg`, `use` and, where it has a name, `kid`.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["alg"] = self.algorithm.as_str().into();
        jwk["use"] = "sig".into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        jwk
    }

    /// The public key with its required members only, as proofs carry it.
    pub(crate) fn bare_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": crv, "x": text(x), "y": text(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": text(n), "e": text(e)})
            }
        }
    }

    /// A JWK Set with this key alone.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    /// Signs what is given, as it is, by the algorithm of the key.
    pub(crate) fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => {
                let signature = pair.sign(&random, message.as_bytes()).expect("it signs");
                signature.as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                let padding = match self.algorithm {
                    ForeignAlgorithm::RS256 => &RSA_PKCS1_SHA256,
                    _ => &RSA_PSS_SHA256,
                };
                let signed = pair.sign(padding, &random, message.as_bytes(), &mut out);
                signed.expect("it signs");
                out
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The header of its tokens: `alg`, and `kid` where it has a name.
    pub(crate) fn header(&self) -> Value {
        let mut header = json!({"alg": self.algorithm.as_str()});
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        header
    }

    /// A token with this header and these claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_parts(&header.to_string(), &claims.to_string())
    }

    /// A token with the usual header.
    pub(crate) fn jwt(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    /// The claims of an assertion of a client (RFC 7523 §3): for a minute, with a new `jti`.
    pub(crate) fn assertion_claims(client_id: &str, audience: &str, now: Millis) -> Value {
        json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now.seconds(),
            "exp": now.seconds() + 60,
            "jti": jti(),
        })
    }

    /// An assertion of a client.
    pub(crate) fn assertion(&self, client_id: &str, audience: &str, now: Millis) -> String {
        self.jwt(&Self::assertion_claims(client_id, audience, now))
    }

    /// The header of a proof (RFC 9449 §4.2).
    pub(crate) fn proof_header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": self.algorithm.as_str(), "jwk": self.bare_jwk()})
    }

    /// The claims of a proof, with a new `jti`.
    pub(crate) fn proof_claims(
        method: &str,
        htu: &str,
        now: Millis,
        access_token: Option<&str>,
        nonce: Option<&str>,
    ) -> Value {
        let mut claims = json!({"jti": jti(), "htm": method, "htu": htu, "iat": now.seconds()});
        if let Some(token) = access_token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(Sha256::digest(token)).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        claims
    }

    /// A proof of possession (RFC 9449 §4.2) of now.
    pub(crate) fn proof(
        &self,
        method: &str,
        htu: &str,
        now: Millis,
        access_token: Option<&str>,
        nonce: Option<&str>,
    ) -> String {
        let claims = Self::proof_claims(method, htu, now, access_token, nonce);
        self.sign(&self.proof_header(), &claims)
    }
}

/// A token with one change: a character is replaced, lost or added, or a bit of a part flipped.
pub(crate) fn changed(token: &str, kind: u8, at: prop::sample::Index, with: char) -> String {
    let mut letters: Vec<char> = token.chars().collect();
    match kind % 4 {
        0 => letters[at.index(token.len())] = with,
        1 => drop(letters.remove(at.index(token.len()))),
        2 => letters.insert(at.index(token.len() + 1), with),
        _ => {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let part = &mut parts[usize::from(kind / 4) % 3];
            let mut bytes = URL_SAFE_NO_PAD.decode(&*part).expect("a token");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << (with as u32 % 8);
            *part = URL_SAFE_NO_PAD.encode(bytes);
            return parts.join(".");
        }
    }
    letters.into_iter().collect()
}

/// Characters that tokens are made of, and others.
pub(crate) fn letters() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::sample::select("AQgwZaz09-_.=+ ".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ]
}
