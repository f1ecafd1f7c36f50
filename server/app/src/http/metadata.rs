//! The metadata documents (RFC 8414 §2, and the same under OpenID Connect's name for clients that
//! only know that one). They say what this server does and nothing that it does not.

use crate::app::App;
use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use serde_json::json;
use writ_core::Algorithm;

/// How an application can authenticate.
const AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// Answers the document.
pub async fn metadata(app: Data<App>) -> HttpResponse {
    let max_age = app.index().settings().jwks_max_age_seconds;
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
        .json(document(app.issuer.as_str()))
}

fn document(issuer: &str) -> serde_json::Value {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "grant_types_supported": ["client_credentials"],
        // There is no authorization endpoint, so no response type (RFC 8414 §2).
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": AUTHENTICATION,
        "introspection_endpoint_auth_methods_supported": AUTHENTICATION,
        "revocation_endpoint_auth_methods_supported": AUTHENTICATION,
        // Required by OpenID Connect Discovery §3; there are no ID tokens to be had.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
    })
}
