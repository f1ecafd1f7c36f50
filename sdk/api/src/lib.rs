//! The JSON of Writ's admin API (`/api/v1`) as serde types, shared by the server, the command line
//! and client programs. No I/O, no rules: texts are checked by the server, which says what is
//! wrong with them.
//!
//! Requests refuse members they do not know. In a change (`PATCH`) an absent member stays as it
//! is. Times are RFC 3339 in UTC, lifetimes are seconds.

mod api_resource;
mod application;
mod audit;
mod authentication;
mod change;
mod explanation;
mod key;
mod policy;
mod registration;
mod role;
mod token;

pub use api_resource::*;
pub use application::*;
pub use audit::*;
pub use authentication::*;
pub use change::*;
pub use explanation::*;
pub use key::*;
pub use policy::*;
pub use registration::*;
pub use role::*;
pub use token::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items, in a stable order.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The body of a request that says everything in its path: nothing, or `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// What went wrong (RFC 9457). `code` is stable and made for programs; `detail` is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `about:blank`: the kind of problem is in `code`.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// A stable name for what is wrong.
    pub code: String,
    /// The request, to be found in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What uses the thing that was to be removed, with `code: "in_use"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Everything that is wrong with a policy's module or settings, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

fn about_blank() -> String {
    "about:blank".into()
}

/// Something that uses what was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// What it is, such as `application/01j…`.
    pub entity: String,
    /// Its name.
    pub name: String,
}

/// A member that can be absent (it stays), `null` (it is taken away) or a value.
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .and_then(Option::as_ref)
            .serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
