//! API resources and scopes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An API resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiResource {
    /// Its id.
    pub id: String,
    /// Its identifier: the audience of its tokens.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// Whether an application needs a grant for its scopes.
    pub requires_authorization: bool,
    /// What tokens for it look like.
    pub profile: TokenProfile,
    /// Its scopes, sorted by name.
    pub scopes: Vec<Scope>,
    /// Its types of authorization details (RFC 9396), sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<DetailsType>,
    /// The applications that are this API and may introspect its tokens.
    pub guards: Vec<String>,
    /// When it was created.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// A scope of an API resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Its name, unique in the server.
    pub name: String,
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A type of authorization details of an API resource (RFC 9396 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetailsType {
    /// Its name, unique in the server: the member `type` of its objects.
    pub name: String,
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema 2020-12 that each of its objects must fulfil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// Adds a type of authorization details, or changes one: this is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDetailsType {
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema 2020-12 that each of its objects must fulfil: an object, or a boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// What tokens for an API resource look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenProfile {
    /// `ES256`, `RS256`, `PS256` or `EdDSA`.
    pub algorithm: String,
    /// `at+jwt` or `JWT`.
    pub typ: String,
    /// The lifetime; the server's setting where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// What its tokens must be bound to: `none`, `dpop`, `mtls` or `any` of both.
    pub sender_constraint: String,
}

/// A token profile, or a change of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeTokenProfile {
    /// `ES256` (default), `RS256`, `PS256` or `EdDSA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// `at+jwt` (default) or `JWT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// The lifetime; `null` for the server's setting.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::double_option"
    )]
    #[schemars(with = "Option<u32>")]
    pub lifetime_seconds: Option<Option<u32>>,
    /// What its tokens must be bound to: `none` (default), `dpop` (RFC 9449), `mtls` (RFC 8705), or
    /// `any` of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_constraint: Option<String>,
}

/// Registers an API resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiResource {
    /// Its identifier, an absolute URI.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// Whether an application needs a grant for its scopes.
    #[serde(default = "crate::api_resource::yes")]
    pub requires_authorization: bool,
    /// What tokens for it look like.
    #[serde(default)]
    pub profile: ChangeTokenProfile,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// The applications that are this API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
}

pub(crate) fn yes() -> bool {
    true
}

/// Changes an API resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeApiResource {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether an application needs a grant for its scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_authorization: Option<bool>,
    /// What tokens for it look like.
    #[serde(default)]
    pub profile: ChangeTokenProfile,
    /// All applications that are this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<Vec<String>>,
}

/// Adds a scope, or changes one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutScope {
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
