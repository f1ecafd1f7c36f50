//! Writ, an event-sourced OAuth 2.0 authorization server for machines: configuration, the token
//! path, HTTP. The rules are in `writ-core`, the disk in `writ-ledger`; their types meet here.
//!
//! Where to go next: `issue.rs` is one token from request to answer, `admin.rs` one change,
//! `bootstrap.rs` one start, `server.rs` the life of a process. `http.rs` has every route.

pub mod admin;
pub mod app;
pub mod assertion;
pub mod audit;
pub mod authorization_details;
pub mod bootstrap;
pub mod client_certificate;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod credentials_file;
pub mod demo;
pub mod dpop;
pub mod form;
pub mod holder_key;
pub mod http;
pub mod issue;
pub mod jose;
pub mod keys;
pub mod keys_of_others;
mod maintenance;
pub mod net;
pub mod overload;
pub mod policies;
pub mod quota;
pub mod registration;
pub mod remote_keys;
pub mod server;
pub mod telemetry;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod token;
pub mod usage;
mod witnesses;
