//! `/api/v1`: one handler that turns a request into a call of the admin API and its answer into a
//! response. What the calls do is in `admin.rs` and below it.

use super::problem;
use super::request::Manners;
use crate::admin::{self, Answer, Failure, Pieces};
use crate::app::App;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue, LOCATION};
use actix_web::http::{StatusCode, Uri};
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where the admin API is, below the path of the issuer.
const PATH: &str = "/api/v1";

/// Takes every path of the admin API.
pub fn configure(config: &mut ServiceConfig, issuer_path: &str) {
    let base = format!("{issuer_path}{PATH}");
    let everything = format!("{base}{{tail:(/.*)?}}");
    let base: Arc<str> = base.into();
    let handler = move |request: HttpRequest, payload: Payload, app: Data<App>| {
        let base = Arc::clone(&base);
        async move { handle(&request, payload, app.into_inner(), &base).await }
    };
    config.service(web::resource(everything).to(handler));
}

async fn handle(
    request: &HttpRequest,
    payload: Payload,
    app: Arc<App>,
    base: &str,
) -> HttpResponse {
    let request_id = super::oauth::request_id(request);
    match answer(request, payload, app, base, &request_id).await {
        Ok(answer) => response(answer),
        Err(failure) => problem::failed(&failure, &request_id),
    }
}

/// Route and caller come first: a stranger's body is not read.
async fn answer(
    request: &HttpRequest,
    payload: Payload,
    app: Arc<App>,
    base: &str,
    request_id: &str,
) -> Result<Answer, Failure> {
    check_proxy(request, &app)?;
    let headers: Vec<(&str, &[u8])> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let asked = admin::Request {
        method: request.method().as_str(),
        base,
        path: below(request.uri(), base).ok_or(Failure::NoRoute)?,
        query: request.query_string(),
        headers: &headers,
        request_id,
    };
    let call = admin::open(&app, &asked)?;
    let limit = Manners::of(request).body_bytes_max;
    let body = match payload.to_bytes_limited(limit).await {
        Ok(Ok(bytes)) => bytes.to_vec(),
        Ok(Err(_)) => {
            let detail = "the body could not be read to its end".to_owned();
            return Err(Failure::Malformed {
                code: "body_malformed",
                detail,
            });
        }
        Err(_) => return Err(Failure::TooLarge(limit)),
    };
    admin::run(app, call, body).await
}

/// The path as it came, with its escapes, below that of the admin API.
fn below<'a>(uri: &'a Uri, base: &str) -> Option<&'a str> {
    uri.path()
        .strip_prefix(base)
        .filter(|rest| rest.starts_with('/'))
}

/// A client certificate by header comes from a trusted proxy only (RFC 9440 §3.1).
fn check_proxy(request: &HttpRequest, app: &App) -> Result<(), Failure> {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let certificates = request
        .headers()
        .get_all("client-cert")
        .map(HeaderValue::as_bytes);
    match app.proxies.client_certificate(peer, certificates) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Malformed {
            code: "header_malformed",
            detail: error.to_string(),
        }),
    }
}

fn response(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    if let Some(position) = answer.position {
        response.insert_header(("writ-position", position.to_string()));
    }
    if let Some(version) = answer.version {
        response.insert_header((ETAG, format!("\"{version}\"")));
    }
    if let Some(location) = answer.location {
        response.insert_header((LOCATION, location));
    }
    if let Some(pieces) = answer.stream {
        return response
            .content_type(answer.media.as_str())
            .body(BoxBody::new(Streamed(pieces)));
    }
    match answer.body {
        Some(body) => response.content_type(answer.media.as_str()).body(body),
        None => response.finish(),
    }
}

/// A body that comes in pieces, until there are no more.
struct Streamed(Pieces);

impl MessageBody for Streamed {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let piece = self.0.poll_next(context);
        piece.map(|piece| piece.map(|bytes| Ok(bytes.into())))
    }
}

#[cfg(test)]
mod tests;
