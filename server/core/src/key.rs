//! Signing keys as the log knows them: public parts and states. Private keys are never here.

use crate::{Millis, Position};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A signature algorithm for tokens (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: the default.
    #[default]
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ES256, Self::RS256, Self::PS256, Self::EdDSA];

    /// The name in `alg` (RFC 7515 §4.1.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a signing key (`kid`, RFC 7515 §4.1.4): 1 to 64 base64url characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Kid(Arc<str>);

impl Kid {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Kid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Kid {
    type Err = crate::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let clean = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if clean && (1..=64).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(crate::ParseIdError)
        }
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::codec::from_text(deserializer)
    }
}

/// The public part of a key as a JWK's own members (RFC 7518 §6, RFC 8037 §2), each base64url
/// without padding. `kid`, `alg` and `use` stand beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty", deny_unknown_fields)]
pub enum PublicJwk {
    /// A point on an elliptic curve.
    EC {
        /// The curve: `P-256`, and for the keys of others `P-384` too.
        crv: Box<str>,
        /// The x coordinate.
        x: Box<str>,
        /// The y coordinate.
        y: Box<str>,
    },
    /// An Edwards curve key.
    OKP {
        /// The curve: `Ed25519`.
        crv: Box<str>,
        /// The public key.
        x: Box<str>,
    },
    /// An RSA key.
    RSA {
        /// The public exponent.
        e: Box<str>,
        /// The modulus.
        n: Box<str>,
    },
}

/// Where a signing key is in its life. It moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyState {
    /// In the JWKS, not signing yet: validators get to know it first.
    Published,
    /// Signing, since then.
    Active {
        /// The moment of activation.
        since: Millis,
    },
    /// Not signing any more; in the JWKS until the last token signed by it has expired.
    Retired {
        /// When it leaves the JWKS.
        until: Millis,
    },
    /// Compromised: out of the JWKS, its tokens are dead.
    Revoked,
}

/// A signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Its name. One kid, one algorithm.
    pub kid: Kid,
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// Its public part.
    pub jwk: PublicJwk,
    /// When it was made, and so published.
    pub made_at: Millis,
    /// Where it is in its life.
    pub state: KeyState,
    /// The position of its last change.
    pub version: Position,
}

impl SigningKey {
    /// Whether tokens signed by it are valid, and it stands in the JWKS.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.state != KeyState::Revoked
    }
}
