//! Why a token decision came out as it did: what is recorded of it, and the same decision made again.

use crate::{Grant, PolicyJudgement};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A recorded token decision, explained by making it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The id of the decision: the `jti` of the token, if there is one.
    pub id: String,
    /// What making it again came to.
    pub verdict: ExplanationVerdict,
    /// Where what came of it now is not what is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<RecordDifference>,
    /// What must be known to read this, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// How it ended: `granted`, `denied` or `fault`.
    pub outcome: String,
    /// Why there is no token, as a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision by which the token was taken back before it left, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    /// When it was decided, on the time line of the log.
    pub at: String,
    /// The clock at that moment: what policies were told.
    pub clock: String,
    /// The position of the last event that it rests on.
    pub as_of: u64,
    /// When that event happened.
    pub as_of_time: String,
    /// Who asked.
    pub application: ExplainedApplication,
    /// What the application proved itself with.
    pub credential: ExplainedCredential,
    /// The scopes that were asked for; absent where none were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Vec<String>>,
    /// The API resources that were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The grants of the application in force then.
    pub grants: Vec<Grant>,
    /// The names of its roles then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The most that could be granted before any policy was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitled: Option<ExplainedTerms>,
    /// Why nothing could be granted whatever policies say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<String>,
    /// What the policies were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<ExplainedQuestion>,
    /// The policies that judge it, in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<ExplainedPolicy>,
    /// What all policies together left of it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<ExplainedTerms>,
    /// The scopes in the token, as recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// When the token expires, as recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ExplainedKey>,
    /// The engines that ran the policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<ExplainedEngine>,
}

/// What making a decision again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplanationVerdict {
    /// The same, bit for bit.
    Equal,
    /// Something else.
    Differs,
    /// Something else, and what was decided on cannot all be had any more, which may be why.
    NotRebuilt,
}

/// A place in the record that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordDifference {
    /// Where: `policies[0].fuel`.
    pub path: String,
    /// What is recorded there; null for nothing.
    pub recorded: Value,
    /// What came of it now; null for nothing.
    pub now: Value,
    /// Why, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An application as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedApplication {
    /// Its id.
    pub id: String,
    /// Its name; absent where there was none with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A credential, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedCredential {
    /// The client authentication method.
    pub method: String,
    /// Its id.
    pub id: String,
    /// When it was made; absent where the application had no such credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// What a token may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedTerms {
    /// The scopes, sorted.
    pub scopes: Vec<String>,
    /// The values of `aud`.
    pub audience: Vec<String>,
    /// The lifetime.
    pub lifetime_seconds: u32,
    /// The claims that policies add.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub claims: serde_json::Map<String, Value>,
}

/// The question that policies were asked, built again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedQuestion {
    /// All of it, with the attributes that any policy reads; each policy gets those it reads itself.
    pub question: Value,
    /// The digest that is recorded of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_recorded: Option<String>,
    /// Its digest.
    pub digest_now: String,
}

/// What one policy answered, then and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedPolicy {
    /// The binding that brought it in.
    pub binding: String,
    /// What it is bound to.
    pub target: String,
    /// Asked, not obeyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// The policy, its settings and its claims.
    #[serde(flatten)]
    pub judgement: PolicyJudgement,
    /// Whether both answers are equal, bit for bit.
    pub equal: bool,
    /// Its answer as recorded: `verdict`, `notes`, `fuel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Value>,
    /// Its answer now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Value>,
    /// Why it could not be asked now, or was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

/// The key that signed a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedKey {
    /// Its name.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// What it was then: `published`, `active`, `retired`, `revoked`, or `unknown`.
    pub state: String,
}

/// The engines that ran the policies. Two with the same fingerprint answer the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedEngine {
    /// The one that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// This one.
    pub now: String,
}
