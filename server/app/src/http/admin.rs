//! `/api/v1`: one handler that turns a request into a call of the admin API and its answer into a
//! response. What the calls do is in `admin.rs` and below it.

use super::possession::held;
use super::problem;
use super::request::{Manners, source};
use crate::admin::{self, Answer, Failure, Pieces};
use crate::app::App;
use crate::form::parse_token;
use crate::issue::Holds;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, ETAG, LOCATION};
use actix_web::http::{StatusCode, Uri};
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use std::convert::Infallible;
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
    let holds = holds(request, &app).await?;
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
        holds,
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

/// What a caller shows to hold beside its token. A client certificate by header comes from a trusted
/// proxy only (RFC 9440 §3.1).
async fn holds(request: &HttpRequest, app: &App) -> Result<Holds, Failure> {
    let source = source(request, &app.proxies).map_err(|error| Failure::Malformed {
        code: "header_malformed",
        detail: error.description,
    })?;
    let authorization = request.headers().get(AUTHORIZATION);
    let Some(presented) = authorization.and_then(|value| parse_token(value.as_bytes()).ok()) else {
        return Ok(Holds::default());
    };
    let path = request.uri().path();
    let path = path.strip_prefix(app.issuer.path()).unwrap_or(path);
    held(request, app, path, presented, source.certificate.as_deref())
        .await
        .map_err(|error| Failure::Unproved {
            nonce: error.wants_nonce().then(|| app.nonces.current(app.now())),
        })
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
