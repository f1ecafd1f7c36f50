//! The log and the records beside it, as they are read over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An event and its place. `event` is the stored object itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its place in the log.
    pub position: u64,
    /// The object as it is stored.
    pub event: serde_json::Value,
    /// The text of the reason that was given, where it was asked for and not deleted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the log is now, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogCheckpoint {
    /// The log.
    pub log_id: String,
    /// The key that signs it, in the form of C2SP signed-note.
    pub vkey: String,
    /// How many events it has.
    pub size: u64,
    /// Their root (RFC 6962 §2.1), in hexadecimal.
    pub root: String,
    /// The same as a signed note (C2SP tlog-checkpoint): what is to be kept elsewhere.
    pub checkpoint: String,
}

/// That an event is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogProof {
    /// The event's place.
    pub position: u64,
    /// The event, as it is stored and hashed, byte for byte.
    pub event: String,
    /// The proof (C2SP tlog-proof@v1): with the event and the log's key it can be verified anywhere.
    pub proof: String,
}

/// That the log of now begins with the log of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogConsistency {
    /// How many events the older log had.
    pub old_size: u64,
    /// The proof (RFC 6962 §2.1.2): hashes in base64.
    pub hashes: Vec<String>,
    /// The log of now, as a signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
}

/// The digest of the whole grant index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexDigest {
    /// The last event in it.
    pub position: u64,
    /// SHA-256 of all that is in it, in hexadecimal. Only the same version of Writ gives the same.
    pub digest: String,
    /// The version of Writ that computed it.
    pub version: String,
}

/// A decision about a token of an application that had proved who it is. What is answered is the
/// stored object itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuance {
    /// The version of the record.
    pub v: u8,
    /// The id of the decision: the `jti` of the token, if there is one.
    pub id: String,
    /// When it was decided, on the time line of the log.
    pub at: String,
    /// The clock at that moment, where it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// The application.
    pub application: String,
    /// What it proved itself with.
    pub credential: UsedCredential,
    /// The last event that the decision rests on.
    pub as_of: u64,
    /// The scopes that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// The scopes in the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// The API resources that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Where the request came from, where the settings allow keeping it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What each policy said, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<RecordedVerdict>,
    /// SHA-256 of what the policies were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What of that question nothing else here says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
    /// The fingerprint of the engine that ran the policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Its algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// When the token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<String>,
    /// How it ended.
    pub outcome: IssuanceOutcome,
}

/// What an application proved itself with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsedCredential {
    /// The client authentication method, such as `client_secret_basic`.
    pub method: String,
    /// Which one: the id of a secret, say.
    pub id: String,
}

/// How a decision about a token ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssuanceOutcome {
    /// There is a token.
    Granted,
    /// The rules or a policy said no.
    Denied {
        /// Why.
        reason: String,
    },
    /// Something did not work.
    Fault {
        /// What.
        reason: String,
    },
}

/// What one policy said about a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedVerdict {
    /// The binding.
    pub binding: String,
    /// The policy's digest.
    pub policy: String,
    /// SHA-256 of the binding's settings.
    pub settings: String,
    /// Asked, not obeyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Its answer: `permit`, `deny` or `fault`, each with what it said.
    pub verdict: serde_json::Value,
    /// What it wants auditors to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<crate::PolicyNote>,
    /// The fuel it used.
    pub fuel: u64,
}

/// How often, in one minute, somebody did not prove who they are, of one kind. Several rows of one
/// kind add up. Nothing that was presented is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationFailures {
    /// When the minute began.
    pub window: String,
    /// Why: `unknown_application`, `wrong_secret`, `expired_secret`, `disabled_application`.
    pub reason: String,
    /// The application, if there is one of that id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Where the requests came from, where the settings allow keeping it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// There were too many kinds to tell all apart: what is absent is of several.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed: bool,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: String,
    /// The last time.
    pub last: String,
}

/// What one application can get of one API resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Access {
    /// The application.
    pub application: String,
    /// Its name.
    pub application_name: String,
    /// Why it gets nothing now: `disabled`, or `no_credential` that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// The API resource.
    pub api_resource: String,
    /// Its identifier.
    pub identifier: String,
    /// The scopes that a token can have, before any policy is asked.
    pub scopes: Vec<String>,
    /// Through what: `grant`, `roles` (a grant with the mode `rbac`), or `open` (no authorization is
    /// needed).
    pub through: String,
    /// The roles that give any of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
}

/// A role by id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What can be got and was not got since a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnusedAccess {
    /// The moment.
    pub since: String,
    /// When the first record of an issuance is from: nothing is known from before. Absent when there
    /// is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_from: Option<String>,
    /// Grants with scopes that were not got, and those without scopes that no token was for.
    pub grants: Vec<UnusedGrant>,
    /// Applications that got no token.
    pub applications: Vec<SilentApplication>,
    /// Credentials that nobody proved anything with.
    pub credentials: Vec<UnusedCredential>,
    /// What to give as `after` for the applications that follow; absent where these were the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A grant with scopes that were not got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnusedGrant {
    /// What can be got.
    #[serde(flatten)]
    pub access: Access,
    /// What was not.
    pub unused: Vec<UnusedScope>,
}

/// A scope that was not got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnusedScope {
    /// Its name.
    pub scope: String,
    /// When it last was, as far as the records reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// An application that got no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilentApplication {
    /// Its id.
    pub application: String,
    /// Its name.
    pub name: String,
    /// When it last got one, as far as the records reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_token: Option<String>,
}

/// A credential that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnusedCredential {
    /// Whose it is.
    pub application: String,
    /// Which one.
    pub credential: String,
    /// When it last was, as far as the records reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}
