//! Trusted issuers: those whose tokens can prove an application, where one of its trust rules
//! says so.

use crate::authentication::{HttpsUri, RegisteredKey};
use crate::{Identifier, IssuerId, Millis, Name, Position};
use serde::{Deserialize, Serialize};

/// An issuer of tokens that applications can authenticate with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// Its id.
    pub id: IssuerId,
    /// The `iss` of its tokens, exactly. Unique.
    pub issuer: Identifier,
    /// Its name.
    pub name: Name,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Whether its tokens may come without `iss`, as those of SPIFFE do.
    pub omits_issuer: bool,
    /// When it was created.
    pub created_at: Millis,
    /// The position of its last change.
    pub version: Position,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// From its metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
    Discovery,
    /// From this address.
    JwksUri(HttpsUri),
    /// These, until they are changed here.
    Keys(Vec<RegisteredKey>),
}
