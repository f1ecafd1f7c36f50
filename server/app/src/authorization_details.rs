//! Authorization details (RFC 9396): what an application asks for in finer words than scopes, as a
//! JSON array of objects. Each object has a `type`, which an API resource registers with a JSON
//! Schema (`authorization_details/schema.rs`); what fits it stands in the token as it was asked.
//!
//! Of what somebody sent nothing is in an error but the place that it is about.

mod schema;
#[cfg(test)]
mod tests;

pub use schema::{Schema, SchemaFault, Schemas};

use crate::credentials::hides_own_secret;
use crate::jose::json;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use writ_core::{Entitled, limits};

/// Longest parameter, in bytes, as it came and as it is written again: it is in the token, and the
/// token in a header.
pub const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of arrays and objects, the outer array among them. The examples of RFC 9396
/// (appendix A) have five levels.
pub const DETAILS_DEPTH_MAX: usize = 8;
/// Most values in all objects together: what a schema costs is this often at most.
pub const DETAILS_VALUES_MAX: usize = 1_024;

/// The members of every type that are arrays of strings (RFC 9396 §2.2).
const LISTS: [&str; 4] = ["locations", "actions", "datatypes", "privileges"];

/// Why authorization details are not taken: `invalid_authorization_details` (RFC 9396 §5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailsFault {
    /// Longer than [`DETAILS_BYTES_MAX`].
    #[error("authorization_details is longer than {DETAILS_BYTES_MAX} bytes")]
    TooLong,
    /// Not one JSON array of objects that everybody reads alike.
    #[error(
        "authorization_details is not a JSON array of objects with each member once, nested at \
         most {DETAILS_DEPTH_MAX} deep"
    )]
    Malformed,
    /// More objects than a request may have, or none.
    #[error(
        "authorization_details has 1 to {} objects",
        limits::DETAILS_PER_REQUEST
    )]
    Count,
    /// More values than [`DETAILS_VALUES_MAX`].
    #[error("authorization_details has more than {DETAILS_VALUES_MAX} values")]
    TooManyValues,
    /// A number that has more digits than can be kept.
    #[error("a number in authorization_details has too many digits; write it as a string")]
    Number,
    /// A member that every type has, or may have, is of another kind (RFC 9396 §2.2).
    #[error("authorization_details[{object}].{member} must be {}", kind(.member))]
    Member {
        /// Which object, from 0.
        object: usize,
        /// Which member.
        member: &'static str,
    },
    /// A credential in the wrong place, which would be in the token and in the record.
    #[error("authorization_details has a secret or a token in it; if it is one, revoke it")]
    Secret,
    /// A location that is no API resource of the token.
    #[error(
        "authorization_details[{object}].locations names something that is not an API resource of \
         this token"
    )]
    Location {
        /// Which object, from 0.
        object: usize,
    },
    /// It does not fit the schema of its type.
    #[error("authorization_details[{object}] does not fit the schema of its type, at {place}")]
    Unfit {
        /// Which object, from 0.
        object: usize,
        /// Where in the schema.
        place: String,
    },
    /// The schema of the type cannot be used: whoever registered it must mend it.
    #[error("authorization_details[{object}] has a type whose schema cannot be used")]
    Unusable {
        /// Which object, from 0.
        object: usize,
    },
}

fn kind(member: &str) -> &'static str {
    match LISTS.contains(&member) {
        true => "an array of strings",
        false => "a string",
    }
}

/// Authorization details in form. Whether they are anybody's to have is for others to say.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationDetails {
    objects: Arc<[Value]>,
    /// The same as text.
    json: Arc<str>,
}

impl fmt::Debug for AuthorizationDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationDetails")
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

impl AuthorizationDetails {
    /// Reads the parameter.
    ///
    /// # Errors
    /// See [`DetailsFault`]; nothing that needs to be known of types.
    pub fn parse(text: &str) -> Result<Self, DetailsFault> {
        if text.len() > DETAILS_BYTES_MAX {
            return Err(DetailsFault::TooLong);
        }
        let Some(Value::Array(objects)) = json::value(text.as_bytes(), DETAILS_DEPTH_MAX) else {
            return Err(DetailsFault::Malformed);
        };
        if objects.is_empty() || objects.len() > limits::DETAILS_PER_REQUEST {
            return Err(DetailsFault::Count);
        }
        let mut values = 0;
        for (number, object) in objects.iter().enumerate() {
            let members = object.as_object().ok_or(DetailsFault::Malformed)?;
            check_members(number, members)?;
            values += count(object);
        }
        if values > DETAILS_VALUES_MAX {
            return Err(DetailsFault::TooManyValues);
        }
        let this = Self::of_objects(objects);
        // A number that is kept otherwise than it is written could not be shown again as it was.
        if serde_json::from_str::<Vec<Value>>(&this.json)
            .ok()
            .as_deref()
            != Some(&*this.objects)
        {
            return Err(DetailsFault::Number);
        }
        // A number may be longer than it was written.
        if this.json.len() > DETAILS_BYTES_MAX {
            return Err(DetailsFault::TooLong);
        }
        // A JWT has a payload that begins so. An identifier may well have the three letters in it
        // that other texts are not kept for.
        if hides_own_secret(&this.json) || this.json.contains(".eyJ") {
            return Err(DetailsFault::Secret);
        }
        Ok(this)
    }

    /// Those that a record has, whole.
    #[must_use]
    pub fn of_record(recorded: &[Value]) -> Option<Self> {
        (!recorded.is_empty()).then(|| Self::of_objects(recorded.to_vec()))
    }

    fn of_objects(objects: Vec<Value>) -> Self {
        let objects: Arc<[Value]> = objects.into_iter().map(sorted).collect();
        let json = serde_json::to_string(&objects).unwrap_or_default().into();
        Self { objects, json }
    }

    /// The types, in their order; as they came.
    #[must_use]
    pub fn types(&self) -> Vec<&str> {
        self.objects.iter().map(type_of).collect()
    }

    /// The objects: their members sorted, and otherwise as they came.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The array as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Whether an application that is entitled to the types may have these of them: locations must
    /// be API resources of the token, and each object must fit the schema of its type.
    ///
    /// # Errors
    /// [`DetailsFault::Location`], [`DetailsFault::Unfit`] or [`DetailsFault::Unusable`].
    pub fn check(&self, entitled: &Entitled, schemas: &Schemas) -> Result<(), DetailsFault> {
        for (number, object) in self.objects.iter().enumerate() {
            let is_api = |location: &Value| {
                let mut apis = entitled.apis.iter();
                apis.any(|api| location.as_str() == Some(api.identifier.as_str()))
            };
            let locations = object.get("locations").and_then(Value::as_array);
            if locations.is_some_and(|all| !all.iter().all(is_api)) {
                return Err(DetailsFault::Location { object: number });
            }
            let mut apis = entitled.apis.iter();
            let known = apis.find_map(|api| api.details_type(type_of(object)));
            let known = known.ok_or(DetailsFault::Unusable { object: number })?;
            let Some(text) = &known.schema else {
                continue;
            };
            let schema = schemas.of(&text.json).map_err(|fault| {
                let name = known.name.as_str();
                tracing::error!(r#type = name, %fault, "a registered schema cannot be used");
                DetailsFault::Unusable { object: number }
            })?;
            schema.check(object).map_err(|place| DetailsFault::Unfit {
                object: number,
                place,
            })?;
        }
        Ok(())
    }
}

fn type_of(object: &Value) -> &str {
    object
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn check_members(object: usize, members: &Map<String, Value>) -> Result<(), DetailsFault> {
    let wrong = |member| Err(DetailsFault::Member { object, member });
    if !members.get("type").is_some_and(Value::is_string) {
        return wrong("type");
    }
    if members.get("identifier").is_some_and(|it| !it.is_string()) {
        return wrong("identifier");
    }
    let texts = |value: &Value| {
        let values = value.as_array();
        values.is_some_and(|values| values.iter().all(Value::is_string))
    };
    for member in LISTS {
        if members.get(member).is_some_and(|value| !texts(value)) {
            return wrong(member);
        }
    }
    Ok(())
}

/// How many values there are, itself among them. It is not deep: it was read.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// With the members of every object sorted: what is read back from a record is the same text,
/// however the reader keeps members.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            let members = members.into_iter();
            Value::Object(members.map(|(name, value)| (name, sorted(value))).collect())
        }
        other => other,
    }
}
