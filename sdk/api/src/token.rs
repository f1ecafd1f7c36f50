//! Tokens: previews and revocation by administrators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks what token an application would get. Nothing is signed, nothing is issued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewToken {
    /// As in a token request: names separated by single spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// As in a token request: identifiers of API resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// As in a token request: the objects of `authorization_details` (RFC 9396 §2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<serde_json::Value>,
    /// Facts about the request, such as `{"net.ip": "192.0.2.1"}`, for the policies that read them.
    /// What follows from the time is always there.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// What token an application would get, or why none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenPreview {
    /// Whether there would be a token.
    pub granted: bool,
    /// The index it was judged by.
    pub as_of: u64,
    /// The header the token would have, but for what is made for each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<serde_json::Value>,
    /// The claims it would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
    /// How long it would live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// What the request must prove to hold, and what the token is bound to: `dpop` or `mtls`. The
    /// preview takes it as proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_constraint: Option<String>,
    /// Asked scopes that would be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// The `error` that the application would see (RFC 6749 §5.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// What each policy said, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<crate::PolicyVerdict>,
}

/// Revokes one token of any application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeToken {
    /// The token's `jti`.
    pub jti: String,
    /// Its application.
    pub application: String,
    /// Its `exp`; the revocation is forgotten then. At most 24 hours ahead, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}
