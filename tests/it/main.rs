//! End-to-end tests: the real binary, real clients, real signals. One binary, one module for each
//! promise; the harness is in `tests/support`. Nothing here is a stand-in for anything.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bad_input;
mod canaries;
mod cli;
mod clients;
mod processes;
mod readme;
mod restart;
mod scenario;
mod shutdown;
mod tidy;
