//! What the admin log needs of a store, and nothing else.
//!
//! An engine keeps bytes by position and finds positions by entity. It knows neither events nor
//! rules. It does not assume that this process is the only one that appends: positions are given
//! by comparing the head, never by a counter or a clock, and whoever loses the race is told the
//! head that won.

use crate::{Fault, LogId, limits};
use std::fmt;
use std::ops::Range;

/// The version of the layout that every engine shares: positions from 0 without gaps, entity
/// index keys as in [`index_key`].
pub const FORMAT: u32 = 1;

/// One event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is stored, and later hashed, exactly as it is.
    pub bytes: Vec<u8>,
    /// The entities it is about, as text; they find it again.
    pub entities: Vec<String>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first. Nothing was written; catch up, decide again, try again.
    #[error("the head is {head}: another node appended first")]
    Conflict {
        /// The head that won.
        head: u64,
    },
    /// The write failed. It may or may not be on the disk: nothing more may be appended before
    /// the log was opened again.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A store for the admin log.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The name, as it is configured: `redb`, `sled`.
    fn name(&self) -> &'static str;

    /// The identity of the log, made when the log was.
    fn log_id(&self) -> LogId;

    /// The position that the next event gets: how many events are durable.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn head(&self) -> Result<u64, Fault>;

    /// Appends all entries at `expected`, or none. They are durable when this returns; the answer
    /// is the new head.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when the head is not `expected`.
    fn append(&self, expected: u64, entries: &[Entry]) -> Result<u64, AppendError>;

    /// Events from a position on, with their positions, in order and without gaps. Stops at the
    /// head, after `max_events`, or when `max_bytes` are reached; but is never empty when there
    /// is an event at `from` and `max_events` is not zero.
    ///
    /// # Errors
    /// When the store cannot be read, or has a gap.
    fn read(
        &self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Fault>;

    /// The positions in a range whose events are about an entity, in order, at most `max`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn positions(&self, entity: &str, range: Range<u64>, max: usize) -> Result<Vec<u64>, Fault>;
}

/// The key of one place in the entity index: entity, a zero byte, position (8 bytes, big-endian,
/// so that order is order).
#[must_use]
pub fn index_key(entity: &str, position: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(entity.len() + 9);
    key.extend_from_slice(entity.as_bytes());
    key.push(0);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// The position at the end of a key of the entity index.
pub(crate) fn position_in(key: &[u8]) -> Option<u64> {
    let at = key.len().checked_sub(8)?;
    Some(u64::from_be_bytes(key.get(at..)?.try_into().ok()?))
}

/// Entries that no engine takes. They are bugs: the codec and the rules have stricter limits.
pub(crate) fn check(entries: &[Entry]) -> Result<(), Fault> {
    for entry in entries {
        if entry.bytes.len() > limits::ENTRY_BYTES {
            let bytes = entry.bytes.len();
            return Err(Fault::TooLarge {
                bytes,
                limit: limits::ENTRY_BYTES,
            });
        }
        for entity in &entry.entities {
            if entity.len() > limits::ENTITY_BYTES || entity.contains('\0') {
                return Err(Fault::TooLarge {
                    bytes: entity.len(),
                    limit: limits::ENTITY_BYTES,
                });
            }
        }
    }
    Ok(())
}

/// Runs what may panic on a damaged file, and makes a fault of the panic: the storage crates
/// check some things with assertions, and a start must end in a message for the operator.
pub(crate) fn without_panic<T>(
    path: &std::path::Path,
    open: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let detail = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("the store panicked");
        Err(Fault::damaged(path, detail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_keys_sort_by_entity_then_position() {
        let keys = [
            index_key("application/a", 2),
            index_key("application/a", 256),
            index_key("application/aa", 1),
        ];
        assert!(keys.is_sorted());
        assert_eq!(position_in(&keys[1]), Some(256));
        assert_eq!(position_in(b"short"), None);
    }
}
