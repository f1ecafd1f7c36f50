//! HTTP, the only module that names actix. Every route is on this page; the admin API's are one
//! catch-all into the table of `admin.rs`.

mod admin;
mod introspect;
mod jwks;
mod metadata;
mod oauth;
mod oauth_error;
mod ops;
mod possession;
pub(crate) mod problem;
mod protected_resource;
mod register;
mod registration_error;
mod request;
mod revoke;
mod token;
mod unread;
mod witness;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, guard};

#[cfg(test)]
mod tests;

pub use possession::PeerCertificate;
pub use request::{Manners, trace};
pub use token::token_answer;
pub use witness::{Witnessing, in_time, witness};

/// The public endpoints, below the path of the issuer.
pub fn public(config: &mut ServiceConfig, issuer_path: &str) {
    let at = |path: &str| format!("{issuer_path}{path}");
    config
        .service(post(&at("/oauth2/token"), web::post().to(token::token)))
        .service(post(
            &at("/oauth2/introspect"),
            web::post().to(introspect::introspect),
        ))
        .service(post(&at("/oauth2/revoke"), web::post().to(revoke::revoke)))
        .service(post(
            &at("/oauth2/register"),
            web::post().to(register::register),
        ))
        .service(
            only(
                &at("/oauth2/register/{id}"),
                web::get().to(register::show),
                "GET, PUT, DELETE",
            )
            .route(web::put().to(register::change))
            .route(web::delete().to(register::remove)),
        )
        .service(get(&at("/oauth2/jwks"), read().to(jwks::jwks)))
        .service(get(
            &at("/oauth2/protected-resources/{id}"),
            read().to(protected_resource::metadata),
        ))
        .service(get(
            &at("/.well-known/openid-configuration"),
            read().to(metadata::metadata),
        ));
    // RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect Discovery
    // §4 after it. With no path the two are the same place.
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let path = format!("/.well-known/{name}{issuer_path}");
        if path != at("/.well-known/openid-configuration") {
            config.service(get(&path, read().to(metadata::metadata)));
        }
    }
}

/// The admin API, below the path of the issuer.
pub fn admin(config: &mut ServiceConfig, issuer_path: &str) {
    admin::configure(config, issuer_path);
}

/// Health and metrics.
pub fn ops(config: &mut ServiceConfig) {
    config
        .service(get("/healthz", read().to(ops::healthz)))
        .service(get("/readyz", read().to(ops::readyz)))
        .service(get("/metrics", read().to(ops::metrics)));
}

/// What answers where nothing is.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let detail = format!("there is nothing at {}", request.path());
    problem::plain(StatusCode::NOT_FOUND, "not_found", &detail)
}

/// GET, and HEAD, by which some balancers ask for health.
fn read() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn get(path: &str, route: actix_web::Route) -> actix_web::Resource {
    only(path, route, "GET, HEAD")
}

fn post(path: &str, route: actix_web::Route) -> actix_web::Resource {
    only(path, route, "POST")
}

fn only(path: &str, route: actix_web::Route, allow: &'static str) -> actix_web::Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(move || async move {
            let detail = format!("this endpoint takes {allow}");
            let mut response = problem::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                &detail,
            );
            let allow = actix_web::http::header::HeaderValue::from_static(allow);
            response
                .headers_mut()
                .insert(actix_web::http::header::ALLOW, allow);
            response
        }))
}
