//! End-to-end tests: the real binary, real clients, real signals. One binary, one module for each
//! promise; the harness is in `tests/support`. Nothing here is a stand-in for anything.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bad_input;
mod canaries;
mod cli;
mod clients;
mod failing_disk;
mod haproxy;
mod issuer_path;
mod listeners;
mod master_key;
mod mutual_tls;
mod policies;
mod processes;
mod proofs;
mod readme;
mod request_ids;
mod restart;
mod scenario;
mod shutdown;
mod tidy;
mod time_limits;
mod witness;
mod workloads;
