//! What the three OAuth endpoints share: reading the form, and who is calling.

use super::oauth_error::OAuthError;
use crate::form::{AuthorizationError, BasicCredentials, Form, FormError};
use crate::form::{FORM_BYTES_MAX, parse_basic_authorization};
use crate::issue::PresentedCredentials;
use crate::telemetry::TraceContext;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage, HttpRequest};
use writ_core::AuthenticationMethod;

/// The body of a form request, not yet parsed.
///
/// # Errors
/// When the query carries parameters, or the body is too large or does not arrive.
pub async fn body(request: &HttpRequest, payload: Payload) -> Result<Bytes, OAuthError> {
    // RFC 6749 §2.3.1: credentials must not be in the URI, where every log keeps them. Nothing
    // else belongs there either.
    if !request.query_string().is_empty() {
        return Err(OAuthError::invalid_request(
            "parameters belong into the body; if a secret was in the URL, revoke it: URLs are logged",
        ));
    }
    match payload.to_bytes_limited(FORM_BYTES_MAX).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(OAuthError::invalid_request("the body could not be read")),
        Err(_) => Err(OAuthError::from(FormError::TooLarge)),
    }
}

/// Parses the form.
///
/// # Errors
/// When it is not one; see [`FormError`].
pub fn form<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Form<'a>, OAuthError> {
    let mut types = headers.get_all(CONTENT_TYPE);
    let content_type = types.next().filter(|_| types.next().is_none());
    Ok(Form::parse(
        content_type.map(|value| value.as_bytes()),
        body,
    )?)
}

/// The `Authorization` header, read once so that credentials can borrow from it.
pub enum Authorization {
    /// None, or an empty one.
    Absent,
    /// `Basic`.
    Basic(BasicCredentials),
    /// `Bearer`.
    Bearer(String),
}

/// Reads the `Authorization` header.
///
/// # Errors
/// When there are several, or it is of a scheme we don't have, or malformed.
pub fn authorization(headers: &HeaderMap) -> Result<Authorization, OAuthError> {
    let mut values = headers.get_all(AUTHORIZATION);
    let Some(value) = values.next() else {
        return Ok(Authorization::Absent);
    };
    if values.next().is_some() {
        return Err(OAuthError::invalid_request(
            "the Authorization header is repeated",
        ));
    }
    match parse_basic_authorization(value.as_bytes()) {
        Ok(credentials) => Ok(Authorization::Basic(credentials)),
        Err(AuthorizationError::Malformed) => Err(OAuthError::invalid_client()),
        Err(AuthorizationError::OtherScheme) => crate::form::parse_bearer(value.as_bytes())
            .map(|token| Authorization::Bearer(token.to_owned()))
            .map_err(|_| OAuthError::invalid_client()),
    }
}

/// The credentials of a request: exactly one method (RFC 6749 §2.3).
///
/// # Errors
/// When there are none, or more than one kind.
pub fn credentials<'a>(
    authorization: &'a Authorization,
    form: &'a Form<'_>,
) -> Result<PresentedCredentials<'a>, OAuthError> {
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    match authorization {
        Authorization::Basic(basic) => {
            if secret.is_some() || id.is_some_and(|id| id != basic.client_id) {
                return Err(OAuthError::invalid_request(
                    "more than one client authentication",
                ));
            }
            Ok(PresentedCredentials::Secret {
                client_id: &basic.client_id,
                presented_secret: &basic.presented_secret,
                method: AuthenticationMethod::ClientSecretBasic,
            })
        }
        Authorization::Absent => match (id, secret) {
            (Some(client_id), Some(presented_secret)) => {
                let method = AuthenticationMethod::ClientSecretPost;
                Ok(PresentedCredentials::Secret {
                    client_id,
                    presented_secret,
                    method,
                })
            }
            _ => Err(OAuthError::invalid_client()),
        },
        Authorization::Bearer(_) => Err(OAuthError::invalid_client()),
    }
}

/// The id of the request, which the middleware gave it.
#[must_use]
pub fn request_id(request: &HttpRequest) -> String {
    let extensions = request.extensions();
    extensions
        .get::<TraceContext>()
        .map(|trace| trace.request_id().to_string())
        .unwrap_or_default()
}

/// The trace context of the request, as a `traceparent`.
#[must_use]
pub fn traceparent(request: &HttpRequest) -> String {
    request
        .extensions()
        .get::<TraceContext>()
        .map(ToString::to_string)
        .unwrap_or_default()
}
