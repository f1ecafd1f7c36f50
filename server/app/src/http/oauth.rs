//! What the three OAuth endpoints share: reading the form, and who is calling.

use super::oauth_error::OAuthError;
use super::request::Source;
use crate::app::App;
use crate::form::{AuthorizationError, BasicCredentials, Form, FormError};
use crate::form::{FORM_BYTES_MAX, TokenScheme, parse_basic_authorization, parse_token};
use crate::issue::{
    AuthenticatedApplication, Caller, IssueError, PresentedCredentials, Spent, authenticate,
};
use crate::telemetry::TraceContext;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage, HttpRequest};
use writ_core::{AuthenticationMethod, Index};

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
    Ok(Form::parse(content_type(headers), body)?)
}

/// The content type; none where there are several.
pub fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    let mut types = headers.get_all(CONTENT_TYPE);
    let one = types.next().filter(|_| types.next().is_none());
    one.map(HeaderValue::as_bytes)
}

/// The `Authorization` header, read once so that credentials can borrow from it.
pub enum Authorization {
    /// None, or an empty one.
    Absent,
    /// `Basic`.
    Basic(BasicCredentials),
    /// A token of ours, with its scheme.
    Token {
        /// `Bearer` or `DPoP`.
        scheme: TokenScheme,
        /// The token.
        token: String,
    },
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
        Err(AuthorizationError::OtherScheme) => parse_token(value.as_bytes())
            .map(|(scheme, token)| Authorization::Token {
                scheme,
                token: token.to_owned(),
            })
            .map_err(|_| OAuthError::invalid_client()),
    }
}

/// The one type of `client_assertion` (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The credentials of a request: exactly one method (RFC 6749 §2.3). A certificate counts where
/// nothing else is presented: it may be there for its connection's sake alone.
///
/// # Errors
/// When there are none, or more than one kind.
pub fn credentials<'a>(
    authorization: &'a Authorization,
    form: &'a Form<'_>,
    has_certificate: bool,
) -> Result<PresentedCredentials<'a>, OAuthError> {
    let several = || OAuthError::invalid_request("more than one client authentication");
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    let assertion = match (
        form.get("client_assertion_type"),
        form.get("client_assertion"),
    ) {
        (None, None) => None,
        (Some(ASSERTION_TYPE), Some(assertion)) => Some(assertion),
        _ => {
            let detail =
                format!("client_assertion needs the client_assertion_type {ASSERTION_TYPE}");
            return Err(OAuthError::invalid_request(&detail));
        }
    };
    match (authorization, secret, assertion) {
        (Authorization::Basic(_), Some(_), _)
        | (Authorization::Basic(_), _, Some(_))
        | (_, Some(_), Some(_)) => Err(several()),
        (Authorization::Basic(basic), None, None) => {
            if id.is_some_and(|id| id != basic.client_id) {
                return Err(several());
            }
            Ok(PresentedCredentials::Secret {
                client_id: &basic.client_id,
                presented_secret: &basic.presented_secret,
                method: AuthenticationMethod::ClientSecretBasic,
            })
        }
        (Authorization::Absent, Some(presented_secret), None) => Ok(PresentedCredentials::Secret {
            client_id: id.ok_or_else(OAuthError::invalid_client)?,
            presented_secret,
            method: AuthenticationMethod::ClientSecretPost,
        }),
        (Authorization::Absent, None, Some(assertion)) => Ok(PresentedCredentials::Assertion {
            client_id: id,
            assertion,
        }),
        (Authorization::Absent, None, None) if has_certificate => {
            Ok(PresentedCredentials::Certificate {
                client_id: id.ok_or_else(OAuthError::invalid_client)?,
            })
        }
        (Authorization::Absent, None, None) | (Authorization::Token { .. }, _, _) => {
            Err(OAuthError::invalid_client())
        }
    }
}

/// The application that calls introspection or revocation. What counts once is spent.
///
/// # Errors
/// It does not prove who it is, or the server cannot remember that it did.
pub async fn caller(
    app: &App,
    index: &Index,
    authorization: &Authorization,
    form: &Form<'_>,
    source: &Source,
) -> Result<AuthenticatedApplication, OAuthError> {
    let caller = Caller {
        credentials: &credentials(authorization, form, source.certificate.is_some())?,
        certificate: source.certificate.as_deref(),
        source: source.address,
    };
    let known = async {
        let application = authenticate(app, index, caller).await?;
        let mut spent = Spent::default();
        spent.assertion(app, index, &application, caller)?;
        spent.durable().await?;
        application.used(app);
        Ok(application)
    };
    known
        .await
        .map_err(|error: IssueError| OAuthError::from(&error))
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
