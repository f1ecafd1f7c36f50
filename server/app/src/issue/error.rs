//! Why there is no token. The top variant says whose fault it is; which status and RFC 6749 code
//! that is, `http/oauth_error.rs` says.

use writ_core::{Algorithm, Denial};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The application did not prove who it is. One text for every reason (RFC 6749 §5.2).
    #[error("the client authentication failed")]
    InvalidClient,
    /// The grant index does not allow it.
    #[error(transparent)]
    Denied(Denial),
    /// No key can sign with this algorithm.
    #[error("no key can sign with {0} now")]
    NoKey(Algorithm),
    /// The record could not be made durable, or the disk is nearly full: nothing was issued.
    #[error("the issuance could not be recorded: {0}")]
    Unrecorded(#[from] writ_ledger::IssuanceError),
    /// What the decision depends on changed each time it was made.
    #[error("what this token depends on keeps changing")]
    Unsettled,
}
