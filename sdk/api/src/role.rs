//! Roles and settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role: a named set of scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its name, unique.
    pub name: String,
    /// Its scopes, sorted.
    pub scopes: Vec<String>,
    /// When it was created.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// Creates a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRole {
    /// Its name.
    pub name: String,
    /// Its scopes, of any API resources.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// Changes a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All its scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

/// The settings of the server; as a change, those present change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `reject` or `drop`: what happens to an asked scope that is unknown or not granted.
    #[serde(
        rename = "scopes.unauthorized",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub scopes_unauthorized: Option<String>,
    /// `none` or `all`: what a request gets that names neither scope nor resource.
    #[serde(
        rename = "scopes.omitted",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub scopes_omitted: Option<String>,
    /// Whether one token may carry scopes of several API resources that `resource` does not name.
    #[serde(
        rename = "scopes.combine_apis",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub scopes_combine_apis: Option<bool>,
    /// The lifetime of tokens where nothing else says.
    #[serde(
        rename = "tokens.lifetime_seconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub tokens_lifetime_seconds: Option<u32>,
    /// `durable`, `buffered` or `off`.
    #[serde(
        rename = "issuance.record",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub issuance_record: Option<String>,
    /// Whether issuance records hold the caller's address.
    #[serde(
        rename = "issuance.source_address",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub issuance_source_address: Option<bool>,
    /// Age at which issuance records are deleted.
    #[serde(
        rename = "issuance.retention_days",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub issuance_retention_days: Option<u32>,
    /// Size at which the oldest issuance records are deleted.
    #[serde(
        rename = "issuance.retention_bytes",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub issuance_retention_bytes: Option<u64>,
    /// Age at which a signing key is replaced; 0 is never.
    #[serde(
        rename = "keys.rotate_after_days",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub keys_rotate_after_days: Option<u32>,
    /// How long a signing key is published before it signs.
    #[serde(
        rename = "keys.publish_ahead_seconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub keys_publish_ahead_seconds: Option<u32>,
    /// `Cache-Control: max-age` of the JWKS.
    #[serde(
        rename = "jwks.max_age_seconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub jwks_max_age_seconds: Option<u32>,
    /// `none`, or `fapi2`: no shared secrets, and only tokens that are bound to their sender.
    #[serde(
        rename = "security.profile",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub security_profile: Option<String>,
    /// Whether a DPoP proof must have a nonce of this server.
    #[serde(
        rename = "dpop.require_nonce",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub dpop_require_nonce: Option<bool>,
}
