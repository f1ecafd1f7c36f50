//! Applications, their secrets and grants.

use crate::{Authentication, Registration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Application {
    /// Its id: its `client_id` on the OAuth wire.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it may authenticate.
    pub enabled: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its tokens look like.
    pub token_settings: TokenSettings,
    /// How it may authenticate.
    pub authentication: Authentication,
    /// How many tokens it may get; as many as it asks for where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Whose tokens it may exchange; nobody's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_exchange: Option<TokenExchange>,
    /// That it registered itself (RFC 7591) and can change that; absent where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// Its secrets that are not revoked, without the secrets themselves.
    pub secrets: Vec<Secret>,
    /// The API resources that it is authorized to.
    pub authorized_apis: Vec<Grant>,
    /// Its roles.
    pub roles: Vec<AssignedRole>,
    /// Tokens issued up to then are inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_cut_at: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// What the tokens of an application look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// `api` (default): `aud` names the API resources. `client_id`: it names the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Further audiences in every token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_audiences: Vec<String>,
    /// A shorter lifetime than the API resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// What its tokens must be bound to: `none` (default), `dpop` (RFC 9449), `mtls` (RFC 8705), or
    /// `any` of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_constraint: Option<String>,
}

/// How many tokens an application may get. What is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Tokens a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Tokens an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
    /// Tokens a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// `enforce` (default): no more tokens until there is room. `monitor`: it is counted and said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Whose tokens an application may exchange for its own use (RFC 8693).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenExchange {
    /// The ids of the applications whose tokens it may exchange.
    pub subjects: Vec<String>,
    /// `delegation` (default): the new token says in `act` who acts. `impersonation`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// A secret of an application; the secret itself is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: String,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last used, within a minute; absent when it was not, and in answers as of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// How often it was used; absent like `last_used_at`. Tokens are in the issuances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Whether a younger secret works that is to take its place. Absent when none does, and in answers
    /// as of the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
}

/// The use of a credential of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialUse {
    /// Which one, as issuances have it: a secret's id, the thumbprint of a key or of a certificate,
    /// the name of a trust rule.
    pub credential: String,
    /// How often it was used.
    pub used: u64,
    /// When it was last used.
    pub last_used_at: String,
}

/// A secret that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewSecret {
    /// Its id.
    pub id: String,
    /// The `client_id` it belongs to.
    pub application: String,
    /// The secret: shown now and never again. Absent when the request repeats an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `secret_already_shown` when the request repeats an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret")
            .field("id", &self.id)
            .field("secret", &"[redacted]")
            .finish()
    }
}

/// The authorization of an application to an API resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The id of the API resource.
    pub api: String,
    /// Its identifier.
    pub identifier: String,
    /// `none`: the application gets these scopes. `rbac`: those that its roles have too.
    pub mode: String,
    /// The scopes, sorted.
    pub scopes: Vec<String>,
    /// The types of authorization details that it may ask for (RFC 9396), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<String>,
}

/// Changes the types of authorization details of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutGrantDetails {
    /// All types of authorization details that it may ask for.
    pub authorization_details_types: Vec<String>,
}

/// A role of an application. Names of roles change without the application changing, so they are
/// asked for where the roles are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssignedRole {
    /// Its id.
    pub id: String,
}

/// Creates an application. It has no secret yet: one is added by itself, and shown once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApplication {
    /// Its name.
    pub name: String,
    /// Its labels. Permanent once recorded: no personal data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What its tokens look like.
    #[serde(default)]
    pub token_settings: TokenSettings,
}

/// Changes an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeApplication {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may authenticate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// All its token settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_settings: Option<TokenSettings>,
}

/// Adds a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSecret {
    /// When it stops working; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Adds a secret and lets the older ones end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// How long the older secrets go on working at most, 0 to 7776000 (90 days); a day where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u32>,
    /// When the new secret stops working; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Authorizes an application to an API resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGrant {
    /// The id or the identifier of the API resource.
    pub api: String,
    /// The scopes it may have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `none` (default) or `rbac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Changes a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeGrant {
    /// All scopes it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// `none` or `rbac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}
