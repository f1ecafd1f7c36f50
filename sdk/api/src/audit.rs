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
