//! What changed in the log, event by event, with what it was before and after.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A part of what changed between two states of the log, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// The state before: that after the event at this position. Absent: the empty log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The state after: that after the event at this position.
    pub to: u64,
    /// The changes. There may be none in a part, and more in the next.
    pub items: Vec<Change>,
    /// What to give as `from` for the next part, with `to` as `as_of`; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one event changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The event's place in the log.
    pub position: u64,
    /// When.
    pub time: String,
    /// The event's kind, such as `grant.changed`.
    pub kind: String,
    /// Who.
    pub actor: ChangeActor,
    /// Why, where a reason was given and its text was not deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is about. Secrets, grants and roles of an application are parts of the application.
    pub entity: ChangedEntity,
    /// `created`, `changed` or `removed`; `recorded` where the admin API shows nothing of it.
    pub effect: String,
    /// What changed, in words.
    pub summary: String,
    /// The entity as the admin API showed it before; absent where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The entity as the admin API showed it after; absent where it was not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeActor {
    /// `application`, `operator` (a person at the machine) or `system` (Writ itself).
    pub kind: String,
    /// Which one.
    pub id: String,
    /// An application's name at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedEntity {
    /// Such as `application`, `api_resource`, `settings`.
    pub kind: String,
    /// Which one; empty where there is only one.
    pub id: String,
    /// Its name at that time: an API resource's identifier, a policy's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
