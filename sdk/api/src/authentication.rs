//! How applications authenticate, and the issuers whose tokens can prove them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How an application may authenticate at the token endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// At least one of `client_secret_basic`, `client_secret_post`, `private_key_jwt`,
    /// `tls_client_auth`, `self_signed_tls_client_auth` and `workload_identity`.
    pub methods: Vec<String>,
    /// Its public keys, for `private_key_jwt` and `self_signed_tls_client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwkSet>,
    /// The `https` address where its public keys are, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// What its certificates name, for `tls_client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_subject: Option<CertificateSubject>,
    /// SHA-256 of its certificates in DER, as 64 hexadecimal digits, for
    /// `self_signed_tls_client_auth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Which tokens of trusted issuers prove it, for `workload_identity`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<TrustRule>,
    /// `none` (default), or `fapi2`: no shared secrets, no RS256, and only tokens that are bound to
    /// their sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Public keys (RFC 7517 §5). Of the members of a key those are kept that say what it is: `kty` and
/// its own, `kid`, `alg`, and of `x5c` the digest of the first certificate, as `x5t#S256`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Map<String, Value>>,
}

/// What a certificate must name: exactly one of these (RFC 8705 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSubject {
    /// The subject's distinguished name (RFC 4514).
    Dn(String),
    /// A DNS name.
    Dns(String),
    /// A URI, such as a SPIFFE id.
    Uri(String),
    /// An IP address.
    Ip(String),
    /// An e-mail address.
    Email(String),
}

/// Which tokens of a trusted issuer prove an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustRule {
    /// Its name, unique in the application: uses are recorded by it.
    pub name: String,
    /// The trusted issuer: its id, or the `iss` of its tokens.
    pub issuer: String,
    /// The audience that the tokens must be for, exactly.
    pub audience: String,
    /// What their `sub` must be: a text, of which the last segment (after the last `/` or `:`) may
    /// end with `*`.
    pub subject: String,
    /// Further claims that they must have: a text, a whole number or a boolean each. A claim that
    /// is a list of texts fits when the text is in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
    /// The longest lifetime that they may have, 1 to 86400; an hour where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
}

/// An issuer of tokens that applications can authenticate with, where a trust rule of theirs says
/// so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustedIssuer {
    /// Its id.
    pub id: String,
    /// The `iss` of its tokens, exactly. Unique.
    pub issuer: String,
    /// Its name.
    pub name: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Whether its tokens may come without `iss`, as those of SPIFFE do.
    pub omits_issuer: bool,
    /// When it was created.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// Where the keys of an issuer come from: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// `true`: from its metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
    Discovery(bool),
    /// From this `https` address.
    JwksUri(String),
    /// These, until they are changed here.
    Jwks(JwkSet),
}

/// Trusts an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTrustedIssuer {
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// Its name.
    pub name: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Whether its tokens may come without `iss`, as those of SPIFFE do.
    #[serde(default)]
    pub omits_issuer: bool,
}

/// Changes a trusted issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeTrustedIssuer {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where its keys come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<IssuerKeys>,
    /// Whether its tokens may come without `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omits_issuer: Option<bool>,
}
