//! `GET /oauth2/protected-resources/{id}`: the metadata of a protected resource (RFC 9728 §2), made
//! from its registration. An API serves it below its own identifier (§3), so that its clients find
//! out which server to ask, for what, and how tokens must be bound. The management API has none:
//! whoever may use it knows it.

use super::problem;
use crate::app::App;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use serde_json::{Map, Value, json};
use writ_core::{ApiResource, SenderConstraint};

/// Answers the document.
pub async fn metadata(id: Path<String>, app: Data<App>) -> HttpResponse {
    let index = app.index();
    let found = id.parse().ok().and_then(|id| index.api(id));
    match found.filter(|api| !api.is_management()) {
        Some(api) => {
            let max_age = index.settings().jwks_max_age_seconds;
            HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
                .json(document(app.issuer.as_str(), api))
        }
        None => {
            let detail = "there is no API resource of this id";
            problem::plain(StatusCode::NOT_FOUND, "api_resource_unknown", detail)
        }
    }
}

fn document(issuer: &str, api: &ApiResource) -> Value {
    let mut scopes: Vec<&str> = api.scopes().map(|(_, scope)| scope.name.as_str()).collect();
    scopes.sort_unstable();
    let mut document = Map::new();
    let mut say = |member: &str, value: Value| drop(document.insert(member.to_owned(), value));
    say("resource", json!(api.identifier.as_str()));
    say("authorization_servers", json!([issuer]));
    say("resource_name", json!(api.name.as_str()));
    // RFC 9728 §3.2: a member without values is left out.
    if !scopes.is_empty() {
        say("scopes_supported", json!(scopes));
    }
    // RFC 6750 §2.1 alone: a token in a form or a URL ends up in logs.
    say("bearer_methods_supported", json!(["header"]));
    match api.profile.sender_constraint {
        SenderConstraint::None | SenderConstraint::Any => {}
        SenderConstraint::Dpop => say("dpop_bound_access_tokens_required", json!(true)),
        SenderConstraint::Mtls => say("tls_client_certificate_bound_access_tokens", json!(true)),
    }
    document.into()
}
