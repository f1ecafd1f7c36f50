//! What the log proves. All of it reads and nothing writes: no clock, no network, no server.

pub mod verify;

use sha2::{Digest, Sha256};
use std::fmt::Write;
use writ_core::Index;

/// SHA-256 of all that is in a grant index. It is that of the text which the index is for people who
/// debug it, and of the digests of secrets, which are left out there. So the same version of Writ gives the same for the same log, and another version may
/// not.
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
    }
    hashed.0.finalize().into()
}
