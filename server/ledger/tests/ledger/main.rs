//! The disk of Writ under test, in one binary: every engine against one contract, power cuts,
//! kill -9, and the admin log with the rules on top.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod engines;
mod issuances;
mod kill;
mod power;
mod random;

use std::sync::mpsc::channel;
use std::time::Duration;

/// Does what may stand still, in a thread that is left behind when it takes a minute. sled has been
/// seen to do so when it is opened.
#[track_caller]
fn within<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    let thread = std::thread::spawn(move || {
        let _ = sender.send(act());
    });
    match done.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(_) if thread.is_finished() => std::panic::resume_unwind(thread.join().unwrap_err()),
        Err(_) => panic!("{what} stands still"),
    }
}
