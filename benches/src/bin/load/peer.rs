//! A peer beside: `oidc-provider` of npm with its production settings, in one process of Node.js. Its
//! package is installed below `target/`, as its lock file says.

use crate::fixture::Reference;
use crate::reference::{CLIENT_ID, CLIENT_SECRET, SCOPE};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use writ_core::Algorithm;

/// Where it gives tokens.
pub const TOKEN_PATH: &str = "/token";

/// Installs it; nothing where Node.js is missing, which is said aloud.
pub fn install() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer");
    writ_tests::outside::node_package(&source, "the comparison with oidc-provider")
}

/// Starts it.
///
/// # Errors
/// What it prints is no address.
pub fn start(place: &Path, algorithm: Algorithm) -> Result<Reference> {
    let mut node = Command::new("node");
    node.arg("server.mjs")
        .args([algorithm.as_str(), CLIENT_ID, CLIENT_SECRET, SCOPE])
        .env("NODE_ENV", "production")
        .current_dir(place);
    Reference::spawn("oidc-provider", node, "peer: listening on ")
}
