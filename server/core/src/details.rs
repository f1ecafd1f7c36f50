//! Types of authorization details (RFC 9396): finer permissions than scopes, each of one API
//! resource.

use crate::name::{ParseNameError, text_type};
use crate::{Description, JsonText};
use serde::{Deserialize, Serialize};

/// A type of authorization details, as an API resource has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailsType {
    /// Its name, unique in the server: the member `type`.
    pub name: DetailsTypeName,
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// JSON Schema 2020-12 that each of its objects must fulfil. Whoever registers it has
    /// compiled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonText>,
}

text_type!(
    /// The name of a type of authorization details (RFC 9396 §2.1).
    DetailsTypeName,
    |text| {
        let fits = (1..=crate::limits::IDENTIFIER_BYTES).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b)) {
            return Ok(());
        }
        Err(ParseNameError(
            "a type of authorization details has 1 to 255 printable ASCII characters, without \
             space, quote and backslash",
        ))
    }
);
