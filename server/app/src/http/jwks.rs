//! `GET /oauth2/jwks` (RFC 7517 §5): the keys that validators trust.

use crate::app::App;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

/// Answers the set, or 304 to who has it already.
pub async fn jwks(request: HttpRequest, app: Data<App>) -> HttpResponse {
    let ring = app.ring();
    let jwks = ring.jwks();
    let max_age = app.index().settings().jwks_max_age_seconds;
    let has_it = request
        .headers()
        .get(IF_NONE_MATCH)
        .map(HeaderValue::as_bytes)
        == Some(jwks.etag.as_bytes());
    let mut response = if has_it {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
        .insert_header((ETAG, jwks.etag.as_ref()));
    if has_it {
        return response.finish();
    }
    response
        .content_type("application/jwk-set+json")
        .body(jwks.body.to_vec())
}
