//! The log, as it is read over HTTP.

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
