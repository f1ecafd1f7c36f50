//! Signing keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A signing key. The private part never leaves the key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKey {
    /// Its name in token headers and in the JWKS.
    pub kid: String,
    /// `ES256`, `RS256`, `PS256` or `EdDSA`.
    pub algorithm: String,
    /// `published`, `active`, `retired` or `revoked`.
    pub state: String,
    /// Its public part as a JWK.
    pub jwk: serde_json::Value,
    /// When it was made, and so published.
    pub created_at: String,
    /// When it became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_since: Option<String>,
    /// When a retired key leaves the JWKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_until: Option<String>,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// Makes a signing key and publishes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSigningKey {
    /// `ES256`, `RS256`, `PS256` or `EdDSA`.
    pub algorithm: String,
}
