//! A deadline for what may stand still.

use std::sync::mpsc::channel;
use std::time::Duration;

/// Does it in a thread that is left behind when it takes a minute. sled has been seen to stand still
/// when it is opened.
#[track_caller]
pub fn within<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
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
