//! The way in: which route, who calls, what query and headers say; and then the handler.

use super::call::{Call, Caller, Headers, IfMatch, as_of};
use super::query::{Query, number};
use super::{Answer, Failure, Kind, Method, Outcome, Route, path, read, routes};
use crate::app::App;
use crate::form::{TokenScheme, parse_token};
use crate::issue::Holds;
use crate::telemetry::carried;
use crate::token::ValidatedToken;
use std::sync::Arc;
use writ_core::{Actor, MANAGEMENT_IDENTIFIER, Position};

/// Longest `Idempotency-Key`.
const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// Longest `Writ-Reason`.
const REASON_CHARS: usize = 500;

/// What came in, as bytes; nothing of it is checked.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Where the admin API is: `/api/v1`, below the path of the issuer.
    pub base: &'a str,
    /// The path below that, with its escapes.
    pub path: &'a str,
    /// The query, with its escapes.
    pub query: &'a str,
    /// The headers, with names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What it shows to hold beside its token.
    pub holds: Holds,
    /// The id of the request: that of its trace.
    pub request_id: &'a str,
}

impl std::fmt::Debug for Request<'_> {
    /// Without what was sent: there is a token in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Finds the route of a request and its caller, and reads all but the body.
///
/// # Errors
/// No such route, no valid token, a read that the token does not allow, a malformed query or
/// header.
pub fn open(app: &App, request: &Request<'_>) -> Result<Call, Failure> {
    let (route, parameters) = find(request)?;
    let caller = match route.scope {
        Some(_) => Some(authenticate(app, request)?),
        None => None,
    };
    let query = Query::parse(request.query, &route.query_names())?;
    let call = Call {
        route,
        base: request.base.to_owned(),
        caller,
        path: parameters,
        as_of: query
            .get("as_of")
            .map(|at| as_of("as_of", at))
            .transpose()?,
        query,
        headers: headers(request, route)?,
        target: format!(
            "{}\0{}\0{}\0",
            route.method.as_str(),
            request.path,
            request.query
        ),
        request_id: request.request_id.to_owned(),
        body: Vec::new(),
    };
    let read = matches!(
        route.kind,
        Kind::Read | Kind::Live | Kind::Records | Kind::Stream
    );
    if let (true, Some(scope)) = (read, route.scope) {
        call.require(scope)?;
    }
    Ok(call)
}

/// Does what a call asks. A change runs to its end even when nobody waits for it any more.
///
/// # Errors
/// See [`Failure`].
pub async fn run(app: Arc<App>, mut call: Call, body: Vec<u8>) -> Outcome {
    if call.route.body.is_none() && !body.is_empty() {
        return Err(Failure::malformed("body_malformed", "this takes no body"));
    }
    if call.route.needs_body || !body.is_empty() {
        let media = call.route.media;
        let declared = call.headers.content_type.as_deref();
        if !declared.is_some_and(|declared| media.is_declared_by(declared)) {
            return Err(Failure::MediaType(media.as_str()));
        }
    }
    call.body = body;
    if let Some(wanted) = call.headers.min_position {
        read::wait_for(&app, wanted).await?;
    }
    let status = call.route.status;
    let handler = (call.route.handler)(app, call);
    let answer = tokio::spawn(carried(handler)).await.map_err(|error| {
        tracing::error!(%error, "a handler of the admin API did not come to its end");
        Failure::Internal
    })??;
    Ok(match answer.status {
        0 => Answer { status, ..answer },
        _ => answer,
    })
}

type Found = (&'static Route, Vec<(&'static str, String)>);

fn find(request: &Request<'_>) -> Result<Found, Failure> {
    let segments = path::segments(request.path)?;
    let mut allow = Vec::new();
    for route in routes() {
        let Some(parameters) = path::fit(route.path, &segments) else {
            continue;
        };
        let head = request.method == "HEAD" && route.method == Method::Get;
        if head || request.method == route.method.as_str() {
            return Ok((route, parameters));
        }
        allow.push(route.method.as_str());
        if route.method == Method::Get {
            allow.push("HEAD");
        }
    }
    match allow.is_empty() {
        true => Err(Failure::NoRoute),
        false => Err(Failure::WrongMethod {
            allow: allow.join(", "),
        }),
    }
}

/// Checks the token, now: signature, times, that it is for the management API and nothing else,
/// not revoked; its scopes count as far as the application still has them.
fn authenticate(app: &App, request: &Request<'_>) -> Result<Caller, Failure> {
    let Some(header) = single(request, "authorization")? else {
        return Err(Failure::Unauthenticated { presented: false });
    };
    let invalid = Failure::Unauthenticated { presented: true };
    let Ok((scheme, token)) = parse_token(header) else {
        return Err(invalid);
    };
    let Ok(token) = app.validate_token(token) else {
        return Err(invalid);
    };
    // A proof is only there where the scheme says so (RFC 9449 §7.1).
    let proved = request.holds.jkt.is_some() == (scheme == TokenScheme::Dpop);
    if !proved || !token.is_held_by(&request.holds) {
        return Err(invalid);
    }
    caller(app, token).ok_or(invalid)
}

/// The same question again, about the token of a call that has begun: its caller now, if it may
/// still call.
pub(super) fn ask_again(app: &App, before: &Caller) -> Option<Caller> {
    app.revalidate_token(&before.token).ok()?;
    caller(app, Arc::clone(&before.token))
}

/// Who calls, by a token that is valid now.
fn caller(app: &App, token: Arc<ValidatedToken>) -> Option<Caller> {
    if !token.claims.aud.iter().eq([MANAGEMENT_IDENTIFIER]) {
        return None;
    }
    let index = app.ledger.index();
    let management = index.management()?;
    let application = index.application(token.application)?;
    let in_token = token
        .scopes
        .iter()
        .filter_map(|name| management.bit(name.as_str()))
        .collect();
    let scopes = index
        .granted(application, management.id)
        .intersection(&in_token);
    let actor = Actor::Application {
        id: token.application,
        auth: "bearer".into(),
        jti: Some(token.claims.jti),
        scopes: token.scopes.clone(),
    };
    Some(Caller {
        actor,
        scopes,
        token,
    })
}

fn headers(request: &Request<'_>, route: &Route) -> Result<Headers, Failure> {
    let text = |name| -> Result<Option<&str>, Failure> {
        let Some(value) = single(request, name)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value).ok();
        text.map(Some)
            .ok_or_else(|| header_malformed(&format!("{name} is not UTF-8")))
    };
    let mut headers = Headers {
        content_type: single(request, "content-type")?.map(<[u8]>::to_vec),
        ..Headers::default()
    };
    match route.kind {
        Kind::Read | Kind::Live => {
            headers.min_position = text("writ-min-position")?.map(min_position).transpose()?;
        }
        Kind::Change { conditional } => {
            headers.if_match = text("if-match")?.map(if_match).transpose()?;
            // A condition must not be overlooked.
            if headers.if_match.is_some() && !conditional {
                return Err(header_malformed(
                    "If-Match has no meaning where something is made",
                ));
            }
            headers.idempotency_key = text("idempotency-key")?.map(idempotency_key).transpose()?;
            headers.reason = text("writ-reason")?.map(reason).transpose()?;
        }
        Kind::Stream => {
            let seen = text("last-event-id")?.filter(|text| !text.is_empty());
            headers.last_event_id = seen.map(last_event_id).transpose()?;
        }
        Kind::Records | Kind::Document => {}
    }
    Ok(headers)
}

/// A header that may be there once.
fn single<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a [u8]>, Failure> {
    let mut values = request.headers.iter().filter(|(known, _)| *known == name);
    let first = values.next().map(|(_, value)| *value);
    match values.next() {
        None => Ok(first),
        Some(_) => Err(header_malformed(&format!("the header {name} is repeated"))),
    }
}

fn header_malformed(detail: &str) -> Failure {
    Failure::malformed("header_malformed", detail)
}

fn if_match(value: &str) -> Result<IfMatch, Failure> {
    if value == "*" {
        return Ok(IfMatch::Any);
    }
    let tag = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let version = tag
        .and_then(number)
        .map(|number| IfMatch::Version(Position(number)));
    version.ok_or_else(|| header_malformed("If-Match must be * or one ETag of this server"))
}

fn idempotency_key(value: &str) -> Result<String, Failure> {
    let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
    match visible && (1..=IDEMPOTENCY_KEY_CHARS).contains(&value.len()) {
        true => Ok(value.to_owned()),
        false => Err(header_malformed(
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )),
    }
}

fn reason(value: &str) -> Result<String, Failure> {
    match (1..=REASON_CHARS).contains(&value.chars().count()) {
        true => Ok(value.to_owned()),
        false => Err(header_malformed(
            "Writ-Reason must have 1 to 500 characters",
        )),
    }
}

fn min_position(value: &str) -> Result<Position, Failure> {
    let position = number(value).map(Position);
    position.ok_or_else(|| header_malformed("Writ-Min-Position must be a position"))
}

fn last_event_id(value: &str) -> Result<Position, Failure> {
    let position = number(value).map(Position);
    position.ok_or_else(|| header_malformed("Last-Event-ID must be a position"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn conditions_are_strong() {
        assert_eq!(if_match("*").unwrap(), IfMatch::Any);
        assert_eq!(if_match("\"17\"").unwrap(), IfMatch::Version(Position(17)));
        for bad in [
            "",
            "17",
            "W/\"17\"",
            "\"17\", \"18\"",
            "\"\"",
            "\"a\"",
            "\"+1\"",
        ] {
            assert!(if_match(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_and_reasons_have_limits() {
        assert!(idempotency_key(&"k".repeat(255)).is_ok());
        assert!(reason(&"é".repeat(500)).is_ok());
        for bad in ["", "a b", "é", "a\u{7f}", &"k".repeat(256)] {
            assert!(idempotency_key(bad).is_err(), "{bad}");
        }
        assert!(reason(&"é".repeat(501)).is_err());
        assert!(reason("").is_err());
    }
}
