//! The admin API of `/api/v1` (all of it but HTTP itself): a table of routes, and a handler for
//! each that turns JSON into a command or reads the index. No actix here: `http/admin.rs` makes a
//! [`Request`] out of what came in, `http/problem.rs` says which status a [`Failure`] has.
//!
//! A request goes through [`open`] (which route, who calls, what the query and the headers say),
//! then its body is read, then [`run`] does it. Start at `admin/routes.rs`; `change.rs` has what
//! every change shares, `read.rs` what every read shares.

mod access;
mod api_resources;
mod applications;
mod authentication;
mod authentication_failures;
mod body;
mod bounds;
mod call;
mod change;
mod changes;
mod details_types;
mod events;
mod explanations;
mod failure;
mod grants;
mod initial_access_tokens;
mod issuances;
mod log;
mod open;
mod openapi;
mod page;
mod path;
mod policies;
mod query;
mod read;
mod roles;
mod routes;
mod secrets;
mod settings;
mod signing_keys;
mod stream;
mod tokens;
mod trusted_issuers;
mod views;

pub(crate) use authentication::{key_set, keys_uri, registered_keys};
pub(crate) use body::{is_json, parse as parse_json};
pub use call::{Answer, Call};
pub use failure::Failure;
pub(crate) use grants::view as grant_view;
pub use open::{Request, open, run};
pub use openapi::document;
pub(crate) use policies::judgement_view;
pub use routes::{Kind, Media, Method, Parameter, Route, routes};
pub use stream::Pieces;
pub(crate) use stream::Streams;
pub(crate) use views::entity_view;

/// What becomes of a call.
pub type Outcome = Result<Answer, Failure>;
