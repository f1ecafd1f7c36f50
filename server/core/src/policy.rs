//! Policies and their bindings, as held in the index. What a module does is not known here: its
//! descriptor is what it said about itself, and settings are values that somebody who runs modules
//! has checked.

use crate::id::{ParseIdError, text_serde};
use crate::{ApiId, ApplicationId, BindingId, Entity, Millis, Name, Position, codec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A policy's name: the SHA-256 of its module, as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest(pub [u8; 32]);

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&codec::hex(&self.0))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PolicyDigest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        codec::from_hex(text).map(Self).ok_or(ParseIdError)
    }
}

text_serde!(PolicyDigest);

/// What a binding attaches a policy to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyTarget {
    /// Every token but those of the management API.
    Server,
    /// Tokens that are for an API resource, among others perhaps.
    ApiResource(ApiId),
    /// Tokens of an application.
    Application(ApplicationId),
}

impl PolicyTarget {
    /// What it is about.
    #[must_use]
    pub fn entity(self) -> Entity {
        match self {
            Self::Server => Entity::Server,
            Self::ApiResource(id) => Entity::ApiResource(id),
            Self::Application(id) => Entity::Application(id),
        }
    }
}

impl fmt::Display for PolicyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entity().fmt(f)
    }
}

impl FromStr for PolicyTarget {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.parse()? {
            Entity::Server => Ok(Self::Server),
            Entity::ApiResource(id) => Ok(Self::ApiResource(id)),
            Entity::Application(id) => Ok(Self::Application(id)),
            _ => Err(ParseIdError),
        }
    }
}

text_serde!(PolicyTarget);

/// Whether a policy's answer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// It does.
    #[default]
    Enforce,
    /// It is asked and recorded, not obeyed.
    Shadow,
}

/// A value of a setting. In JSON: `true`, `7`, `"text"`, `["a","b"]`, and `{"json":"…"}` for what
/// nests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PolicyValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Box<str>),
    /// Several texts.
    Texts(Vec<Box<str>>),
    /// JSON text (RFC 8259).
    Json(JsonText),
}

/// JSON text as a value, so that it is never taken for a plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonText {
    /// The text.
    pub json: Box<str>,
}

/// The kind of value that a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as PolicyValue's variants")]
pub enum PolicyValueKind {
    Flag,
    Int,
    Text,
    Texts,
    Json,
}

/// Settings as somebody gave them, by name. Those that are absent have the policy's defaults.
pub type PolicySettings = BTreeMap<Box<str>, PolicyValue>;

/// What a policy said about itself when it was uploaded; it always says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDescriptor {
    /// Its name, for people. Versions of a policy share it.
    pub name: Name,
    /// The version that its author gave it.
    pub version: Box<str>,
    /// What it does, for people.
    pub doc: Box<str>,
    /// Its parameters.
    pub settings: Vec<PolicyParameter>,
    /// The facts about a request that it judges by.
    pub reads: Vec<Box<str>>,
    /// The codes that it denies with.
    pub codes: Vec<Box<str>>,
    /// The claims that it can add.
    pub claims: Vec<Box<str>>,
}

/// A parameter of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyParameter {
    /// Its name.
    pub name: Box<str>,
    /// What it takes.
    pub kind: PolicyValueKind,
    /// Whether a binding must give it.
    pub required: bool,
    /// What holds when a binding does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<PolicyValue>,
    /// What it means, for people.
    pub doc: Box<str>,
}

/// A policy that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its id.
    pub digest: PolicyDigest,
    /// The size of its module.
    pub bytes: u64,
    /// What it says about itself.
    pub descriptor: PolicyDescriptor,
    /// When it was uploaded.
    pub uploaded_at: Millis,
    /// The position of its upload.
    pub version: Position,
}

/// A policy as a binding uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The policy.
    pub policy: PolicyDigest,
    /// Its settings, as they were given.
    pub settings: PolicySettings,
    /// SHA-256 of the settings with defaults filled in: what records of issuances name.
    #[serde(with = "codec::hex32")]
    pub settings_digest: [u8; 32],
    /// The claims that it may add, sorted.
    pub claims: Vec<Box<str>>,
}

/// What attaches a policy to what it judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBinding {
    /// Its id.
    pub id: BindingId,
    /// What it is attached to.
    pub target: PolicyTarget,
    /// Whether its answer counts.
    pub mode: PolicyMode,
    /// Its place among those of its target.
    pub order: u32,
    /// The policy and its settings.
    pub judgement: Judgement,
    /// What they were before their last change: what a rollback brings back.
    pub previous: Option<Box<Judgement>>,
    /// When it was made.
    pub created_at: Millis,
    /// The position of its last change.
    pub version: Position,
}

impl PolicyBinding {
    /// Whether it asks a policy, or could by a rollback.
    #[must_use]
    pub fn uses(&self, policy: PolicyDigest) -> bool {
        self.judgements()
            .any(|judgement| judgement.policy == policy)
    }

    /// What it asks, and what it could by a rollback.
    pub fn judgements(&self) -> impl Iterator<Item = &Judgement> {
        std::iter::once(&self.judgement).chain(self.previous.as_deref())
    }
}
