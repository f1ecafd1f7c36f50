//! Policies and their bindings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A policy: a module that was uploaded, and what it says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// SHA-256 of the module, in hexadecimal: its id.
    pub digest: String,
    /// Its name. Several uploads may have it: they are versions of one policy.
    pub name: String,
    /// The version that its author gave it.
    pub version: String,
    /// What it does, for people.
    pub doc: String,
    /// Its parameters.
    pub settings: Vec<PolicySetting>,
    /// The facts about a request that it judges by; only these are given to it, and recorded.
    pub reads: Vec<String>,
    /// The codes that it denies with.
    pub codes: Vec<String>,
    /// The claims that it can add, where a binding permits them.
    pub claims: Vec<String>,
    /// The size of the module in bytes.
    pub bytes: u64,
    /// When it was uploaded.
    pub uploaded_at: String,
    /// The position of its upload: its ETag.
    pub position: u64,
}

/// A parameter of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySetting {
    /// Its name.
    pub name: String,
    /// `flag`, `int`, `text`, `texts` or `json`.
    pub kind: String,
    /// Whether a binding must give it.
    pub required: bool,
    /// What holds when a binding does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it means, for people.
    pub doc: String,
}

/// What attaches a policy, with settings, to what it judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyBinding {
    /// Its id.
    pub id: String,
    /// What it is attached to: `server`, `api_resource/{id}` or `application/{id}`.
    pub target: String,
    /// `enforce`, or `shadow`: asked and recorded, not obeyed.
    pub mode: String,
    /// The smaller is asked first among those of a target; all are asked in any case.
    pub order: u32,
    /// The policy, its settings and its claims.
    #[serde(flatten)]
    pub judgement: PolicyJudgement,
    /// The policy, settings and claims before the last change of them: what a rollback brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PolicyJudgement>,
    /// When it was made.
    pub created_at: String,
    /// The position of its last change: its ETag.
    pub version: u64,
}

/// A policy as a binding uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyJudgement {
    /// The policy's digest.
    pub policy: String,
    /// The policy's name.
    pub policy_name: String,
    /// The settings that were given, by name; for others the policy's defaults hold. Values are
    /// `true`, `7`, `"text"`, `["a", "b"]`, and `{"json": "…"}` for what nests.
    pub settings: Map<String, Value>,
    /// SHA-256 of the settings with defaults filled in, as records of issuances name them.
    pub settings_digest: String,
    /// The claims that it may add.
    pub claims: Vec<String>,
}

/// Binds a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePolicyBinding {
    /// The policy's digest.
    pub policy: String,
    /// `server`, `api_resource/{id or identifier}` or `application/{id}`.
    pub target: String,
    /// Its settings, by name; the policy says which there are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// The claims that it may add, of those that the policy declares. None, unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// `enforce`, which is the default, or `shadow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The smaller is asked first; 100, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
}

/// Changes a binding, at once for every token that is decided afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePolicyBinding {
    /// Another policy, or another version of it; the settings must suit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// All its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Map<String, Value>>,
    /// All claims that it may add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<String>>,
    /// `enforce` or `shadow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The smaller is asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
}

/// What a policy said in a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyVerdict {
    /// The binding.
    pub binding: String,
    /// The policy's digest.
    pub policy: String,
    /// The policy's name.
    pub policy_name: String,
    /// Asked, not obeyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Its answer: `permit`, `deny` or `fault`, each with what it said.
    pub verdict: Value,
    /// What it wants auditors to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<PolicyNote>,
    /// The fuel it used, of a million.
    pub fuel: u64,
    /// How long it took.
    pub micros: u32,
}

/// Something that a policy wants auditors to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyNote {
    /// What it is about.
    pub name: String,
    /// What it says.
    pub text: String,
}
