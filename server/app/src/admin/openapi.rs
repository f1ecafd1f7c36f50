//! The OpenAPI 3.1 document of the admin API, made from the table of routes and the types of
//! `writ-api`: it cannot say what the code does not do.

use super::{Answer, Call, Kind, Media, Method, Outcome, Parameter, Route, path, routes};
use crate::app::App;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use writ_core::{MANAGEMENT_IDENTIFIER, ManagementScope};

/// Stand for what differs from server to server. No URL has braces.
const ISSUER: &str = "{issuer}";
const BASE: &str = "{base}";

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    Ok(Answer {
        body: Some(text(app.issuer.as_str(), &call.base).into()),
        ..Answer::empty()
    })
}

/// The document of any server, with references relative to it.
#[must_use]
pub fn document() -> Value {
    serde_json::from_str(&text("", "/api/v1")).expect("it was written as JSON")
}

/// The document, for an issuer and the path of its admin API.
fn text(issuer: &str, base: &str) -> String {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());
    DOCUMENT.replace(ISSUER, issuer).replace(BASE, base)
}

fn build() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<writ_api::Problem>().to_value();
    let mut paths = Map::new();
    for route in routes() {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Writ admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Administration of a Writ server. Every change is an event at a \
                position of the log. Unknown members and query parameters are refused. In a PATCH, \
                members that are absent stay as they are.",
        },
        "servers": [{ "url": BASE }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "parameters": parameters(),
            "headers": headers(),
            "responses": responses(&problem),
            "securitySchemes": { "management": security() },
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [tag(route)],
        "parameters": route_parameters(route),
        "responses": route_responses(route, schemas),
        "security": match route.scope {
            Some(scope) => json!([{ "management": [scope.as_str()] }]),
            None => json!([]),
        },
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": route.needs_body,
            "content": { route.media.as_str(): { "schema": body(schemas).to_value() } },
        });
    }
    operation
}

/// The first segment of the path.
fn tag(route: &Route) -> &'static str {
    route.path.split('/').nth(1).unwrap_or_default()
}

fn route_parameters(route: &Route) -> Vec<Value> {
    let shared = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let in_path = path::names(route.path).map(|name| {
        let description = match (route.path, name) {
            (path, "id") if path.starts_with("/api-resources") => "Its id, or its identifier.",
            (_, "api_id") => "The API resource: its id, or its identifier.",
            (path, "id") if path.starts_with("/applications") => {
                "Its id, which is its `client_id`."
            }
            _ => "Its id or name.",
        };
        json!({ "name": name, "in": "path", "required": true, "description": description,
                "schema": { "type": "string" } })
    });
    let in_query = route.query.iter().map(
        |Parameter {
             name,
             description,
             schema,
         }| {
            json!({ "name": name, "in": "query", "description": description,
                "schema": { "type": schema } })
        },
    );
    let others: &[&str] = match route.kind {
        Kind::Read => &["AsOf", "WritMinPosition"],
        Kind::Live => &["WritMinPosition"],
        Kind::Change { conditional: true } => &["IfMatch", "IdempotencyKey", "WritReason"],
        Kind::Change { conditional: false } => &["IdempotencyKey", "WritReason"],
        Kind::Stream => &["LastEventId"],
        Kind::Records | Kind::Document => &[],
    };
    in_path
        .chain(in_query)
        .chain(others.iter().map(|name| shared(name)))
        .collect()
}

fn route_responses(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut success = json!({ "description": "Done." });
    if let Some(answer) = route.answer {
        let schema = answer(schemas).to_value();
        success["content"] = json!({ "application/json": { "schema": schema } });
    } else if route.media != Media::Json && route.body.is_none() {
        success["content"] = json!({ route.media.as_str(): {} });
    } else if route.kind == Kind::Document {
        success["content"] = json!({ "application/json": { "schema": { "type": "object" } } });
    }
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    if matches!(route.kind, Kind::Read | Kind::Change { .. }) {
        success["headers"]["Writ-Position"] = header("WritPosition");
    }
    if has_version(route) {
        success["headers"]["ETag"] = header("ETag");
    }
    if route.status == 201 {
        success["headers"]["Location"] = header("Location");
    }
    let mut responses = json!({});
    responses[route.status.to_string()] = success;
    for (status, name) in PROBLEMS {
        if can_fail(route, name) {
            responses[*status] = json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
    responses
}

/// Whether the answer is one thing, with an ETag. Lists, records and previews have none.
fn has_version(route: &Route) -> bool {
    let list = route
        .query
        .iter()
        .any(|parameter| parameter.name == "limit");
    let preview = route.kind == Kind::Read && route.method == Method::Post;
    let module = route.media == Media::Wasm;
    let of_log = tag(route) == "log" || route.kind == Kind::Records;
    (route.answer.is_some() || module) && !list && !preview && !of_log
}

/// Every problem that there can be, by status and name.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "Malformed"),
    ("401", "Unauthenticated"),
    ("403", "Forbidden"),
    ("404", "NotFound"),
    ("409", "Conflict"),
    ("410", "Gone"),
    ("412", "Stale"),
    ("413", "TooLarge"),
    ("415", "MediaType"),
    ("422", "Refused"),
    ("503", "Unavailable"),
];

fn can_fail(route: &Route, name: &str) -> bool {
    let change = matches!(route.kind, Kind::Change { .. });
    match name {
        "Malformed" => true,
        "Unauthenticated" | "Forbidden" => route.scope.is_some(),
        "NotFound" => route.path.contains('{'),
        "Conflict" | "Refused" => change,
        "Gone" => change && route.answer.is_some(),
        "Stale" => route.kind == Kind::Change { conditional: true },
        "TooLarge" | "MediaType" => route.body.is_some(),
        _ => route.kind != Kind::Document,
    }
}

fn responses(problem: &Value) -> Value {
    let texts = [
        (
            "Malformed",
            "The path, the query, a header or the JSON cannot be read.",
        ),
        (
            "Unauthenticated",
            "There is no token, or none that is valid now for this API.",
        ),
        ("Forbidden", "The caller may not do this."),
        ("NotFound", "The path names something that is not there."),
        (
            "Conflict",
            "It is taken, in use, or not in a state for this.",
        ),
        (
            "Gone",
            "What the call made, which this one repeats, was removed since.",
        ),
        ("Stale", "It has changed since the version in If-Match."),
        (
            "TooLarge",
            "The body is larger than `http.max_body` of the server, 1 MiB by default.",
        ),
        ("MediaType", "The content type is not that of the body."),
        (
            "Refused",
            "A value, a limit, or an Idempotency-Key that was used for something else.",
        ),
        (
            "Unavailable",
            "The server cannot now; try again after Retry-After.",
        ),
    ];
    let response = |(name, description): (&str, &str)| {
        let content = json!({ "application/problem+json": { "schema": problem } });
        (
            name.to_owned(),
            json!({ "description": description, "content": content }),
        )
    };
    Value::Object(texts.into_iter().map(response).collect())
}

fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "description": description, "schema": schema,
        })
    };
    json!({
        "AsOf": {
            "name": "as_of", "in": "query", "schema": { "type": "string" },
            "description": "The state to read: a position, or an RFC 3339 time in the past.",
        },
        "WritMinPosition": header(
            "Writ-Min-Position",
            "The answer must be from this position or later; the server waits shortly for it.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        "LastEventId": header(
            "Last-Event-ID",
            "The last position that was seen: the stream goes on after it, whatever the query says.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        "IfMatch": header(
            "If-Match",
            "The ETag of the version that the change is meant for, or `*`.",
            json!({ "type": "string" }),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Makes it safe to send the same call again, for 24 hours: it is carried out once. A \
             repeat answers the same ids, and a secret never twice.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
        ),
        "WritReason": header(
            "Writ-Reason",
            "Why, in words. The event has a hash of it; the text can be deleted.",
            json!({ "type": "string", "minLength": 1, "maxLength": 500 }),
        ),
    })
}

fn headers() -> Value {
    json!({
        "WritPosition": {
            "description": "The position that was read, or the position of the change.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "ETag": {
            "description": "The position of the last change of what is in the answer.",
            "schema": { "type": "string" },
        },
        "Location": {
            "description": "Where the new thing is.",
            "schema": { "type": "string" },
        },
    })
}

fn security() -> Value {
    let scopes = ManagementScope::ALL
        .iter()
        .map(|s| (s.as_str().to_owned(), json!(s.description())));
    json!({
        "type": "oauth2",
        "description": format!("An access token for resource={MANAGEMENT_IDENTIFIER}."),
        "flows": { "clientCredentials": {
            "tokenUrl": format!("{ISSUER}/oauth2/token"),
            "scopes": scopes.collect::<Map<_, _>>(),
        } },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeSet;

    fn refs(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|value| refs(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| refs(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_in_it_and_every_reference_resolves() {
        let text = text("https://writ.example/x", "/x/api/v1");
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut operations = BTreeSet::new();
        for route in routes() {
            let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], route.operation);
            assert!(
                operations.insert(route.operation),
                "{} twice",
                route.operation
            );
            assert!(operation["responses"][route.status.to_string()].is_object());
        }
        let mut found = BTreeSet::new();
        refs(&document, &mut found);
        assert!(found.len() > 30);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        assert_eq!(document["servers"][0]["url"], "/x/api/v1");
        let flow =
            &document["components"]["securitySchemes"]["management"]["flows"]["clientCredentials"];
        assert_eq!(flow["tokenUrl"], "https://writ.example/x/oauth2/token");
        assert!(!text.contains(ISSUER) && !text.contains(BASE));
        assert_eq!(super::document()["servers"][0]["url"], "/api/v1");
    }

    #[test]
    fn no_schema_is_left_that_nobody_names() {
        let document = build();
        let mut found = BTreeSet::new();
        refs(&document, &mut found);
        for part in ["schemas", "parameters", "headers", "responses"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                assert!(
                    found.contains(&format!("#/components/{part}/{name}")),
                    "{part}/{name}"
                );
            }
        }
    }
}
