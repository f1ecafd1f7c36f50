//! What every request goes through: a trace id, a time limit, a line in the log, a measurement;
//! and what is believed about where it comes from.

use super::oauth_error::OAuthError;
use super::possession::PeerCertificate;
use super::problem;
use super::unread::Held;
use crate::app::App;
use crate::client_certificate::ClientCertificate;
use crate::clock::Stopwatch;
use crate::credentials::hides_secret;
use crate::net::TrustedProxies;
use crate::overload;
use crate::telemetry::{self, Endpoint, RequestId, TraceContext};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// What a listener asks of its requests and says in its answers.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long a request may take in all.
    pub timeout: Duration,
    /// The largest body of the admin API, in bytes. A form is never larger than 64 KiB.
    pub body_bytes_max: usize,
    /// Whether answers say that this host is for HTTPS only (RFC 6797): not with a certificate of
    /// our own making, which is for `localhost`, where other ports have other manners.
    pub strict_transport: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            body_bytes_max: 1024 * 1024,
            strict_transport: false,
        }
    }
}

impl Manners {
    /// Those of the listener that a request came to.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        request.app_data::<Self>().copied().unwrap_or_default()
    }
}

/// Runs a request: gives it a trace id (W3C Trace Context, the caller's if it sent one) that every
/// line it logs and its answer have, ends it when it takes too long, measures it, and says one line
/// about it at `debug`.
///
/// # Errors
/// What the service itself returns.
pub async fn trace<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let watch = Stopwatch::start();
    let app = request.app_data::<Data<App>>().cloned();
    let app = app.expect("server.rs gives every listener the App");
    let manners = Manners::of(request.request());
    let sent = request
        .headers()
        .get_all("traceparent")
        .map(HeaderValue::as_bytes);
    let context = TraceContext::of_request(sent, &*app.random);
    let id = context.request_id();
    request.extensions_mut().insert(context);
    let endpoint = endpoint(request.path());

    let entered = app.enter();
    // Administrators are let in: they may be about to end it.
    let late = overload::comes_too_late() && endpoint != Endpoint::Admin;
    if entered.is_none() || app.is_closed() || late {
        app.metrics.shed();
        let detail = "this server takes no more requests now, try again";
        let mut answer = problem::plain(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
        let soon = HeaderValue::from_static("1");
        answer.headers_mut().insert(RETRY_AFTER, soon);
        finish(answer.headers_mut(), id, manners);
        return Ok(request.into_response(answer).map_into_right_body());
    }
    if header_bytes(request.headers()) > HEADER_BYTES_MAX {
        let detail = "the headers are larger than 64 KiB";
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let mut answer = problem::plain(status, "headers_too_large", detail);
        finish(answer.headers_mut(), id, manners);
        return Ok(request.into_response(answer).map_into_right_body());
    }
    let timeout = patience(&request, manners);
    let held = Held::take(&mut request);
    let work = telemetry::of_request(id, next.call(request));
    // The request itself is gone when time runs out, so that answer travels as an error.
    let answered = match tokio::time::timeout(timeout, work).await {
        Ok(response) => Ok(response?),
        Err(_) => {
            let detail = "the request took too long to arrive or to answer";
            let answer = problem::plain(StatusCode::REQUEST_TIMEOUT, "timeout", detail);
            Err(answer)
        }
    };
    let elapsed = watch.elapsed();
    app.metrics.answered(endpoint, elapsed);
    let status = match &answered {
        Ok(response) => response.status(),
        Err(answer) => answer.status(),
    };
    tracing::debug!(
        request.id = %id,
        endpoint = endpoint.as_str(),
        status = status.as_u16(),
        elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    match (answered, held) {
        (Ok(mut response), held) => {
            finish(response.headers_mut(), id, manners);
            Ok(match held {
                None => response.map_into_left_body(),
                Some(held) => response
                    .map_body(|_, body| held.until_sent(body))
                    .map_into_right_body(),
            })
        }
        (Err(mut answer), held) => {
            finish(answer.headers_mut(), id, manners);
            let answer = match held {
                None => answer,
                Some(held) => answer.map_body(|_, body| held.until_sent(body)),
            };
            Err(InternalError::from_response("timeout", answer).into())
        }
    }
}

/// What every answer says.
fn finish(headers: &mut HeaderMap, id: RequestId, manners: Manners) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("writ-request-id"), value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if manners.strict_transport {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
}

/// How long a request may take in all. One that uploads a policy waits for the compiler too, for
/// which `writ_sandbox::CompilerLimits` has limits of its own: what is wrong with a module is worth
/// waiting for.
fn patience(request: &ServiceRequest, manners: Manners) -> Duration {
    const COMPILING: Duration = Duration::from_secs(75);
    match request.path().ends_with("/api/v1/policies") {
        true => manners.timeout + COMPILING,
        false => manners.timeout,
    }
}

/// Largest headers, in bytes: HTTP/1 is held to about as much before it comes here, HTTP/2 is not.
const HEADER_BYTES_MAX: usize = 64 * 1024;

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// The kind of endpoint: what metrics and logs say, since a path may hold whatever someone sent.
fn endpoint(path: &str) -> Endpoint {
    match path {
        _ if path.ends_with("/oauth2/token") => Endpoint::Token,
        _ if path.ends_with("/oauth2/introspect") => Endpoint::Introspect,
        _ if path.ends_with("/oauth2/revoke") => Endpoint::Revoke,
        _ if path.contains("/oauth2/register") => Endpoint::Register,
        _ if path.ends_with("/oauth2/jwks") => Endpoint::Jwks,
        _ if path.contains("/.well-known/") => Endpoint::Metadata,
        _ if path.contains("/api/v1") => Endpoint::Admin,
        _ => Endpoint::Other,
    }
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The address of the caller.
    pub address: IpAddr,
    /// The certificate of the caller.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Where a request comes from, as far as trusted proxies vouch for it. From such a one the headers
/// count and not the certificate of the connection, which is the proxy's own.
///
/// # Errors
/// `Client-Cert` or `Client-Cert-Chain` from somebody who may not set it (RFC 9440 §3.1), or one
/// that is malformed.
pub fn source(request: &HttpRequest, proxies: &TrustedProxies) -> Result<Source, OAuthError> {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let values = |name: &'static str| request.headers().get_all(name).map(HeaderValue::as_bytes);
    let forwarded = proxies
        .client_certificates(peer, values("client-cert"), values("client-cert-chain"))
        .map_err(|error| OAuthError::invalid_request(&error.to_string()))?;
    let certificate = match forwarded {
        Some(chain) => {
            let parsed = ClientCertificate::parse(chain);
            let parsed = parsed.map_err(|_| {
                OAuthError::invalid_request(
                    "the Client-Cert header is not a certificate (RFC 9440)",
                )
            })?;
            Some(Arc::new(parsed))
        }
        None if proxies.trusts(peer) => None,
        None => request
            .conn_data::<PeerCertificate>()
            .map(|PeerCertificate(certificate)| Arc::clone(certificate)),
    };
    let hops: Vec<&[u8]> = values("x-forwarded-for").collect();
    Ok(Source {
        address: proxies.client_address(peer, hops),
        certificate,
    })
}

/// The header `User-Agent`, if it is there once and is text; only its beginning where it is long.
pub fn user_agent(request: &HttpRequest) -> Option<&str> {
    const BYTES: usize = 256;
    let mut values = request.headers().get_all(USER_AGENT);
    let (first, None) = (values.next()?, values.next()) else {
        return None;
    };
    // Visible ASCII only. A credential in the wrong header is nobody's to judge by, or to keep.
    let text = first.to_str().ok().filter(|text| !hides_secret(text))?;
    text.get(..BYTES.min(text.len()))
}
