//! One call: what was asked and by whom, parsed; and the answer to it.

use super::failure::{Failure, shortened};
use super::query::{Query, number};
use super::{Media, Outcome, Pieces, Route, body};
use crate::token::ValidatedToken;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use writ_core::{
    Actor, ApiId, ApplicationId, Idempotency, Index, ManagementScope, Millis, ParseMillisError,
    Position, Refusal, RoleId, ScopeBits,
};

/// The state of the log that a read asks for (`as_of`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// After the event at this position.
    Position(Position),
    /// After the last event up to this moment.
    Time(Millis),
}

/// Reads the position or time in a parameter.
///
/// # Errors
/// It is neither.
pub(super) fn as_of(parameter: &'static str, value: &str) -> Result<AsOf, Failure> {
    if let Some(position) = number(value) {
        return Ok(AsOf::Position(Position(position)));
    }
    // In a query a plus is a space; a time has no other use for one.
    let time = value.replace(' ', "+").parse().map(AsOf::Time);
    time.map_err(|error| {
        let detail = format!("{parameter} is not a position, and {error}");
        Failure::malformed("as_of_invalid", detail)
    })
}

/// The version that a change expects (`If-Match`, RFC 9110 §13.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Any, as long as there is one.
    Any,
    /// The one with this entity tag.
    Version(Position),
}

/// What the headers say.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub content_type: Option<Vec<u8>>,
    pub if_match: Option<IfMatch>,
    pub idempotency_key: Option<String>,
    pub reason: Option<String>,
    pub min_position: Option<Position>,
    pub last_event_id: Option<Position>,
}

/// Who calls: proved by a token, just now.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub actor: Actor,
    /// The scopes of the management API in its token that it still has.
    pub scopes: ScopeBits,
    pub token: Arc<ValidatedToken>,
}

/// One call of the admin API.
pub struct Call {
    /// The route it takes.
    pub route: &'static Route,
    pub(super) base: String,
    pub(super) caller: Option<Caller>,
    pub(super) path: Vec<(&'static str, String)>,
    pub(super) query: Query,
    pub(super) as_of: Option<AsOf>,
    pub(super) headers: Headers,
    /// Method, path and query as they came.
    pub(super) target: String,
    pub(super) request_id: String,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.route.operation)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Who calls.
    pub(super) fn actor(&self) -> Result<&Actor, Failure> {
        let caller = self
            .caller
            .as_ref()
            .ok_or(Failure::Unauthenticated { presented: false })?;
        Ok(&caller.actor)
    }

    /// Whether the caller has a scope now. For reads, and before work that costs much: what a
    /// change needs is decided with the change.
    pub(super) fn require(&self, scope: ManagementScope) -> Result<(), Failure> {
        match &self.caller {
            None => Err(Failure::Unauthenticated { presented: false }),
            Some(caller) if caller.scopes.contains(scope.bit()) => Ok(()),
            Some(_) => {
                let refusal = Refusal::ActorNotPermitted { scope };
                Err(Failure::Refused {
                    refusal,
                    in_path: false,
                })
            }
        }
    }

    /// A parameter of the path.
    pub(super) fn param(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a text stands in the path.
    pub(super) fn names(&self, text: &str) -> bool {
        self.path.iter().any(|(_, value)| value == text)
    }

    /// A parameter of the path as an identifier; one that cannot be one is not there.
    pub(super) fn id<T: FromStr>(
        &self,
        name: &str,
        code: &'static str,
        what: &'static str,
    ) -> Result<T, Failure> {
        let text = self.param(name);
        text.parse().map_err(|_| Failure::unknown(code, what, text))
    }

    /// `{id}` as an application.
    pub(super) fn application(&self) -> Result<ApplicationId, Failure> {
        self.id("id", "application_unknown", "application")
    }

    /// A parameter of the path as a role.
    pub(super) fn role(&self, name: &str) -> Result<RoleId, Failure> {
        self.id(name, "role_unknown", "role")
    }

    /// A parameter of the path as an API resource: its id or its identifier.
    pub(super) fn api(&self, index: &Index, name: &str) -> Result<ApiId, Failure> {
        let text = self.param(name);
        let found = index.api_identified(text).map(|api| api.id);
        match found.or_else(|| text.parse().ok()) {
            Some(id) => Ok(id),
            None => Err(Failure::unknown(
                "api_resource_unknown",
                "API resource",
                text,
            )),
        }
    }

    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    /// The application whose id is in the query.
    pub(super) fn application_asked(&self) -> Result<Option<ApplicationId>, Failure> {
        let parse = |text: &str| {
            let detail = "the query parameter application must be the id of an application";
            text.parse()
                .map_err(|_| Failure::malformed("query_malformed", detail))
        };
        self.query("application").map(parse).transpose()
    }

    /// A yes or no in the query; no where it is absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.query(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => {
                let detail = format!("the query parameter {name} must be true or false");
                Err(Failure::malformed("query_malformed", detail))
            }
        }
    }

    /// A time in the query.
    pub(super) fn time(&self, name: &str) -> Result<Option<Millis>, Failure> {
        let parse = |text: &str| {
            // In a query a plus is a space; a time has no other use for one.
            let time = text.replace(' ', "+").parse();
            time.map_err(|error: ParseMillisError| {
                let detail = format!("the query parameter {name} is {error}");
                Failure::malformed("query_malformed", detail)
            })
        };
        self.query(name).map(parse).transpose()
    }

    /// The body; nothing is `{}` where the route says that it may be left out.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.body.is_empty() && !self.route.needs_body {
            true => body::parse(b"{}"),
            false => body::parse(&self.body),
        }
    }

    /// The idempotency key and what it is for, hashed: the key belongs to the caller alone.
    pub(super) fn idempotency(&self) -> Result<Option<Idempotency>, Failure> {
        let Some(key) = &self.headers.idempotency_key else {
            return Ok(None);
        };
        let mut hash = Sha256::new();
        hash.update(key);
        hash.update([0]);
        hash.update(self.actor()?.label());
        let key = hash.finalize().into();
        let mut hash = Sha256::new();
        hash.update(&self.target);
        hash.update(&self.body);
        Ok(Some(Idempotency {
            key,
            body: hash.finalize().into(),
        }))
    }

    /// The version that the change expects.
    pub(super) fn expected(&self) -> Option<Position> {
        match self.headers.if_match {
            Some(IfMatch::Version(position)) => Some(position),
            // What is not there is refused by the rules anyway.
            Some(IfMatch::Any) | None => None,
        }
    }

    /// Where something of this server is, as a `Location`.
    pub(super) fn location(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// A text of the body as what it must be.
pub(super) fn text<T>(member: &str, text: &str) -> Result<T, Failure>
where
    T: FromStr<Err: fmt::Display>,
{
    text.parse()
        .map_err(|error: T::Err| value(member, error.to_string()))
}

/// A text of the body that may be absent.
pub(super) fn optional<T>(member: &str, given: Option<&str>) -> Result<Option<T>, Failure>
where
    T: FromStr<Err: fmt::Display>,
{
    given.map(|given| text(member, given)).transpose()
}

/// All texts of an array in the body.
pub(super) fn texts<T>(member: &str, given: &[String]) -> Result<Vec<T>, Failure>
where
    T: FromStr<Err: fmt::Display>,
{
    given
        .iter()
        .enumerate()
        .map(|(i, item)| text(&format!("{member}[{i}]"), item))
        .collect()
}

/// A text of the body as one of a few.
pub(super) fn choice<T: Copy>(
    member: &str,
    given: &str,
    choices: &[(&'static str, T)],
) -> Result<T, Failure> {
    let found = choices.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        value(
            member,
            format!(
                "must be one of {}, not {}",
                names.join(", "),
                shortened(given)
            ),
        )
    })
}

fn value(member: &str, expected: String) -> Failure {
    Failure::Value {
        member: member.to_owned(),
        expected,
    }
}

/// The answer to a call.
#[derive(Default)]
pub struct Answer {
    /// The body, if there is any.
    pub body: Option<Vec<u8>>,
    /// A body that comes in pieces, instead.
    pub stream: Option<Pieces>,
    /// What the body is.
    pub media: Media,
    /// The position of the last change of the thing in the body.
    pub version: Option<Position>,
    /// The position that the answer was read at, or that the change has.
    pub position: Option<Position>,
    /// Where the thing that was made is.
    pub location: Option<String>,
    /// The status, one of success: what the route says, unless the handler does.
    pub status: u16,
}

impl fmt::Debug for Answer {
    /// Without the body, which may show a secret for the one time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// An answer with JSON.
    pub(super) fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("answers are structs with text keys");
        Self {
            body: Some(body),
            ..Self::default()
        }
    }

    /// An answer with a module.
    pub(super) fn wasm(module: Vec<u8>) -> Self {
        Self {
            body: Some(module),
            media: Media::Wasm,
            ..Self::default()
        }
    }

    /// An answer that says: done.
    pub(super) fn empty() -> Self {
        Self::default()
    }

    /// With the version of what is in the body.
    pub(super) fn version(self, version: Position) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// With the place where the new thing is.
    pub(super) fn location(self, location: String) -> Self {
        Self {
            location: Some(location),
            ..self
        }
    }

    /// With the position it was read at.
    pub(super) fn at(self, position: Position) -> Outcome {
        Ok(Self {
            position: Some(position),
            ..self
        })
    }

    /// With the index it was read from.
    pub(super) fn from(self, index: &Index) -> Outcome {
        self.at(index.head().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_time_or_a_position() {
        assert_eq!(as_of("as_of", "17").unwrap(), AsOf::Position(Position(17)));
        let noon = AsOf::Time(Millis(1_772_528_400_000));
        assert_eq!(as_of("as_of", "2026-03-03T09:00:00Z").unwrap(), noon);
        assert_eq!(as_of("as_of", "2026-03-03T10:00:00 01:00").unwrap(), noon);
        for bad in ["", "-1", "now", "2026-03-03", "18446744073709551616"] {
            assert!(as_of("as_of", bad).is_err(), "{bad}");
        }
    }
}
