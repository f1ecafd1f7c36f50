//! Health and metrics, on a listener of their own.

use crate::app::App;
use crate::telemetry::Metrics;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

/// Whether the process should live: false means that only a restart helps.
pub async fn healthz(app: Data<App>) -> HttpResponse {
    match app.broken() {
        None => text(StatusCode::OK, "ok\n"),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
    }
}

/// Whether it should get requests.
pub async fn readyz(app: Data<App>) -> HttpResponse {
    match app.unready() {
        None => text(StatusCode::OK, "ready\n"),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
    }
}

/// Prometheus metrics.
pub async fn metrics(app: Data<App>) -> HttpResponse {
    app.observe();
    HttpResponse::Ok()
        .content_type(Metrics::CONTENT_TYPE)
        .body(app.metrics.encode())
}

fn text(status: StatusCode, body: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .body(body.to_owned())
}
