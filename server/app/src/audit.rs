//! Audits: what the log proves, and recorded decisions made again, from the log alone.
//!
//! `verify.rs` holds a data directory against what was signed. `again.rs` makes one decision again, of
//! its record and the index it rests on; `explain.rs` compares what came of it with what is recorded.
//! `evidence.rs` is where both come from when no server runs; a server explains from what it has open.
//! `diff.rs` says what changed, `access.rs` who can get what and what nobody uses.
//! `backtest.rs` makes many decisions again with something changed.

pub mod access;
mod again;
pub mod backtest;
pub mod diff;
mod differences;
mod evidence;
mod explain;
mod modules;
#[cfg(test)]
mod tests;
pub mod verify;

pub use evidence::{Evidence, EvidenceError, Walk};
pub use explain::{Surroundings, explain, withdrawal_of, withdrawn_by};
pub use modules::{Askable, Modules};

use sha2::{Digest, Sha256};
use std::fmt::Write;
use writ_core::Index;

/// SHA-256 of all that is in a grant index. It is that of the text which the index is for people who
/// debug it, and of the digests of secrets and tokens, which are left out there. So the same
/// version of Writ gives the same for the same log, and another version may not.
#[must_use]
pub fn index_digest(index: &Index) -> [u8; 32] {
    struct Hashed(Sha256);
    impl Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(Sha256::new());
    // Neither the hash nor the index can fail.
    let _ = write!(hashed, "{index:?}");
    for application in index.applications(None) {
        for secret in &application.secrets {
            hashed.0.update(secret.digest);
        }
        if let Some(registration) = application.registration() {
            hashed.0.update(registration.digest.0);
        }
    }
    for token in index.initial_access_tokens(None) {
        hashed.0.update(token.digest.0);
    }
    hashed.0.finalize().into()
}
