//! Applications that register themselves (RFC 7591), and the tokens by which they do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A token by which applications register themselves; the token itself is shown once, when it is
/// made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InitialAccessToken {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it stops working.
    pub expires_at: String,
    /// How many applications it may register in all.
    pub registrations: u32,
    /// How many it has registered, whatever became of them.
    pub registered: u32,
    /// The authentication methods that they may choose from.
    pub methods: Vec<String>,
    /// What their names must begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// The labels that they get.
    pub labels: BTreeMap<String, String>,
    /// The grants that they get at most.
    pub grants: Vec<BoundGrant>,
    /// When it was created.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// A grant that an application gets at most by registering itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundGrant {
    /// The id of the API resource; in a request its identifier too.
    pub api: String,
    /// The scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// Lets applications register themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInitialAccessToken {
    /// Its name.
    pub name: String,
    /// When it stops working, within 366 days; in a day where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// How many applications it may register in all, 1 to 10000; one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrations: Option<u32>,
    /// The authentication methods that they may choose from, each but `workload_identity`;
    /// `private_key_jwt` where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What their names must begin with, 64 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// The labels that they get. Permanent once recorded: no personal data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The grants that they get at most; none where absent, and an administrator grants afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<BoundGrant>,
}

/// An initial access token that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewInitialAccessToken {
    /// Its id.
    pub id: String,
    /// The token: shown now and never again. Absent when the request repeats an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `secret_already_shown` when the request repeats an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Where applications register by it.
    pub registration_endpoint: String,
    /// When it stops working.
    pub expires_at: String,
    /// How many applications it may register in all.
    pub registrations: u32,
}

impl std::fmt::Debug for NewInitialAccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewInitialAccessToken")
            .field("id", &self.id)
            .field("token", &"[redacted]")
            .finish()
    }
}

/// That an application registered itself, and may change what it said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// The id of the initial access token by which it did. It may be gone.
    pub initial_access_token: String,
    /// The authentication methods that it may choose from.
    pub methods: Vec<String>,
    /// What its name must begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
}
