//! What crosses the border between server and policy, as plain Rust: the records of
//! `sdk/policy/wit/policy.wit`, one for one. They are lifted from and lowered into a policy's
//! memory directly, and have a JSON form for the log, for people and for digests.
//!
//! The JSON of a type never contains a map, so the same value has the same bytes everywhere: that
//! is the canonical encoding that digests are made of.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{ComponentType, Lift, Lower};

/// A value. In JSON: `true`, `7`, `"text"`, `["a","b"]`, and `{"json":"…"}` for nested ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(untagged)]
#[component(variant)]
pub enum Value {
    /// Yes or no.
    #[component(name = "flag")]
    Flag(bool),
    /// A whole number.
    #[component(name = "int")]
    Int(i64),
    /// A text.
    #[component(name = "text")]
    Text(String),
    /// Several texts.
    #[component(name = "texts")]
    Texts(Vec<String>),
    /// Anything else, as JSON text (RFC 8259).
    #[serde(with = "json_text")]
    #[component(name = "json")]
    Json(String),
}

impl Value {
    /// The kind a setting with this value has.
    #[must_use]
    pub fn kind(&self) -> SettingKind {
        match self {
            Self::Flag(_) => SettingKind::Flag,
            Self::Int(_) => SettingKind::Int,
            Self::Text(_) => SettingKind::Text,
            Self::Texts(_) => SettingKind::Texts,
            Self::Json(_) => SettingKind::Json,
        }
    }
}

/// `{"json":"…"}`, so that a JSON value is never taken for a text.
mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<T> {
        json: T,
    }

    pub(super) fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        Wrapped { json: text }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        Ok(Wrapped::deserialize(from)?.json)
    }
}

/// A value with a name. Lists of these are sorted by name and have each name once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Named {
    /// A value with a name.
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        Self {
            name: name.into(),
            value,
        }
    }
}

/// Who asks for the token.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Application {
    /// Its id: the `client_id`.
    pub id: String,
    /// Its name, for people.
    #[serde(default)]
    pub name: String,
    /// What administrators attached to it.
    #[serde(default)]
    pub labels: Vec<Named>,
    /// The names of its roles, sorted.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Whom the token is about when that is not the application itself.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Subject {
    /// Its id at its issuer.
    pub id: String,
    /// Who says so.
    pub issuer: String,
    /// What the issuer says about it.
    #[serde(default)]
    pub claims: Vec<Named>,
}

/// An API resource that the token is for.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Api {
    /// Its id.
    pub id: String,
    /// Its identifier: the audience of its tokens.
    pub identifier: String,
    /// What administrators attached to it.
    #[serde(default)]
    pub labels: Vec<Named>,
}

/// All that a policy may know.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Request {
    /// The id of this issuance.
    pub id: String,
    /// The server's clock in milliseconds since 1970.
    pub at: u64,
    /// As in the token request: `client_credentials`.
    #[component(name = "grant-type")]
    pub grant_type: String,
    /// Who asks.
    pub application: Application,
    /// Whom the token is about, when not the application itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The API resources, sorted by identifier.
    #[serde(default)]
    pub apis: Vec<Api>,
    /// The most that can be granted, sorted.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The longest that can be granted.
    #[component(name = "lifetime-seconds")]
    pub lifetime_seconds: u32,
    /// Facts about the request: only those that the policy's descriptor reads.
    #[serde(default)]
    pub attributes: Vec<Named>,
    /// The claims that the token will have.
    #[serde(default)]
    pub claims: Vec<Named>,
}

impl Request {
    /// The canonical encoding: compact JSON, members in the order of the contract.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// The digest that the record of an issuance has of what the policy was asked.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest("request", self)
    }
}

/// What is granted at most. What is absent stays as in the request.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Grant {
    /// A subset of the request's, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// At most the request's.
    #[component(name = "lifetime-seconds")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// Claims to add, sorted by name.
    #[serde(default)]
    pub claims: Vec<Named>,
}

/// Why there is no token.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Denial {
    /// One of the descriptor's codes.
    pub code: String,
    /// For the audit log.
    #[serde(default)]
    pub reason: String,
    /// Sent to the application, if present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Yes with conditions, or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(rename_all = "snake_case")]
#[component(variant)]
pub enum Decision {
    /// There may be a token.
    #[component(name = "allow")]
    Allow(Grant),
    /// There is none.
    #[component(name = "deny")]
    Deny(Denial),
}

/// Something worth keeping with the issuance.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Note {
    /// What it is about.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// What a policy answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Outcome {
    /// Yes or no.
    pub decision: Decision,
    /// What it wants kept, in its order.
    #[serde(default)]
    pub notes: Vec<Note>,
}

impl Outcome {
    /// The canonical encoding: compact JSON, members in the order of the contract.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        canonical(self)
    }
}

/// The kind of value that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(rename_all = "snake_case")]
#[component(enum)]
#[repr(u8)]
pub enum SettingKind {
    /// Yes or no.
    #[component(name = "flag")]
    Flag,
    /// A whole number.
    #[component(name = "int")]
    Int,
    /// A text.
    #[component(name = "text")]
    Text,
    /// Several texts.
    #[component(name = "texts")]
    Texts,
    /// JSON text.
    #[component(name = "json")]
    Json,
}

impl SettingKind {
    /// Its name, as in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Int => "int",
            Self::Text => "text",
            Self::Texts => "texts",
            Self::Json => "json",
        }
    }
}

/// A parameter of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: SettingKind,
    /// Whether a binding must give it.
    pub required: bool,
    /// What holds when a binding does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it means, for people.
    #[serde(default)]
    pub doc: String,
}

/// What a policy says about itself.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Descriptor {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, for people.
    pub doc: String,
    /// Its parameters.
    pub settings: Vec<Setting>,
    /// The attributes that it judges by.
    pub reads: Vec<String>,
    /// Every code it can deny with.
    pub codes: Vec<String>,
    /// Every claim it can add.
    pub claims: Vec<String>,
}

/// What is wrong with a setting.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower,
)]
#[serde(deny_unknown_fields)]
#[component(record)]
pub struct Problem {
    /// Which one.
    pub setting: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The digest that bindings and records have of settings. Sort them first (`Descriptor::resolve`).
#[must_use]
pub fn settings_digest(settings: &[Named]) -> [u8; 32] {
    digest("settings", &settings)
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts, numbers and lists always have a JSON form")
}

fn digest(what: &str, value: &impl Serialize) -> [u8; 32] {
    Sha256::new()
        .chain_update(format!("writ:{what}:1\n"))
        .chain_update(canonical(value))
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_have_one_json_form_each() {
        for (value, json) in [
            (Value::Flag(true), "true"),
            (Value::Int(-7), "-7"),
            (Value::Text("a".into()), r#""a""#),
            (Value::Texts(vec!["a".into()]), r#"["a"]"#),
            (Value::Json(r#"{"a":1}"#.into()), r#"{"json":"{\"a\":1}"}"#),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), value);
        }
        assert!(serde_json::from_str::<Value>("1.5").is_err(), "no floats");
    }

    #[test]
    fn canonical_bytes_never_change() {
        let request = Request {
            id: "r1".into(),
            at: 7,
            grant_type: "client_credentials".into(),
            application: Application {
                id: "a".into(),
                labels: vec![Named::new("env", Value::Text("prod".into()))],
                ..Application::default()
            },
            scopes: vec!["x:read".into()],
            lifetime_seconds: 900,
            ..Request::default()
        };
        let golden = concat!(
            r#"{"id":"r1","at":7,"grant_type":"client_credentials","application":{"id":"a","#,
            r#""name":"","labels":[{"name":"env","value":"prod"}],"roles":[]},"apis":[],"#,
            r#""scopes":["x:read"],"lifetime_seconds":900,"attributes":[],"claims":[]}"#,
        );
        assert_eq!(
            String::from_utf8(request.canonical_bytes()).unwrap(),
            golden
        );
    }
}
