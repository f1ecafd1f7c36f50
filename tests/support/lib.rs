//! The harness of the end-to-end tests: a real Writ process ([`Writ`]), HTTP to it ([`Http`],
//! [`Call`], [`Answer`]), the parties that talk to it ([`Admin`], [`Application`]), other programs
//! ([`Process`]) and other people's tools ([`outside`]). What is tested, and what is expected,
//! lives in `tests/it`.
//!
//! The harness panics when the world fails it (no port, no file, no answer at all): each panic says
//! what was missing. An HTTP status is never a failure here: it is what the tests look at.

mod actors;
mod http;
pub mod outside;
mod process;
mod writ;

pub use actors::{Admin, Application};
pub use http::{Answer, Call, Exchange, Http, basic_credentials, exchange, raw};
pub use process::{Finished, Process};
pub(crate) use writ::built;
pub use writ::{Start, Writ, binary};

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take that takes a second or two on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free now, for a program that must be told one.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    let address = listener.local_addr().expect("it listens");
    address.port()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests live one level below the root")
        .to_path_buf()
}

/// Asks `probe` again and again until it answers `Some`.
///
/// # Panics
/// When [`PATIENCE`] has passed, naming what was waited for.
pub fn poll<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
