//! Makes signing keys. An RSA key takes up to 0.2 s: call it off the request threads.

use std::convert::Infallible;
use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts;
use writ_core::{Algorithm, Kid, PublicJwk};
use zeroize::Zeroizing;

use super::jwk::base64url;
use super::{KeyFault, thumbprint};
use crate::clock::{Random, SystemRandom};

/// Size of the RSA keys that are made (NIST SP 800-57: enough to 2030; keys rotate in months).
const RSA_BITS: usize = 2048;

/// A new key: its private part goes to the key store, all else into the log.
pub struct GeneratedKey {
    /// Its name: the thumbprint of the public part. One kid, one algorithm.
    pub kid: Kid,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The private key, in PKCS#8 DER. Wiped when dropped.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// The public part.
    pub public_jwk: PublicJwk,
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Makes a key for an algorithm, from the system's own randomness: keys are the one thing that no
/// test may want to repeat.
///
/// # Errors
/// The cryptographic library refused; this is not expected to happen.
pub fn generate(algorithm: Algorithm) -> Result<GeneratedKey, KeyFault> {
    let fault = || KeyFault::Generation(algorithm);
    let (pkcs8, public_jwk) = match algorithm {
        Algorithm::ES256 => p256().ok_or_else(fault)?,
        Algorithm::RS256 | Algorithm::PS256 => rsa().ok_or_else(fault)?,
        Algorithm::EdDSA => ed25519().ok_or_else(fault)?,
    };
    let kid = thumbprint(&public_jwk).parse().map_err(|_| fault())?;
    Ok(GeneratedKey {
        kid,
        algorithm,
        pkcs8,
        public_jwk,
    })
}

type Parts = (Zeroizing<Vec<u8>>, PublicJwk);

fn p256() -> Option<Parts> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let pkcs8 = pair.to_pkcs8v1().ok()?;
    let jwk = p256_jwk(pair.public_key().as_ref())?;
    Some((Zeroizing::new(pkcs8.as_ref().to_vec()), jwk))
}

/// The JWK of an uncompressed point (SEC 1 §2.3.3): 4, x, y.
pub(super) fn p256_jwk(point: &[u8]) -> Option<PublicJwk> {
    let coordinates = point.strip_prefix(&[4])?;
    let (x, y) = coordinates.split_at_checked(32)?;
    (y.len() == 32).then(|| PublicJwk::EC {
        crv: "P-256".into(),
        x: base64url(x),
        y: base64url(y),
    })
}

fn rsa() -> Option<Parts> {
    let key = rsa::PrivateKey::new(&mut System, RSA_BITS).ok()?;
    let pkcs8 = key.to_pkcs8_der().ok()?;
    let jwk = PublicJwk::RSA {
        e: base64url(&key.e_bytes()),
        n: base64url(&key.n_bytes()),
    };
    Some((Zeroizing::new(pkcs8.as_bytes().to_vec()), jwk))
}

fn ed25519() -> Option<Parts> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemRandom.fill(seed.as_mut());
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    let pkcs8 = key.to_pkcs8_der().ok()?;
    let x = base64url(key.verifying_key().as_bytes());
    let jwk = PublicJwk::OKP {
        crv: "Ed25519".into(),
        x,
    };
    Some((Zeroizing::new(pkcs8.as_bytes().to_vec()), jwk))
}

/// [`SystemRandom`] as the `rsa` crate wants it.
struct System;

impl TryRng for System {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        SystemRandom.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(SystemRandom.next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        SystemRandom.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for System {}
