//! One of the two files that know status codes: errors of the OAuth endpoints as RFC 6749 §5.2
//! says.

use super::possession::ProofError;
use crate::authorization_details::DetailsFault;
use crate::form::FormError;
use crate::issue::IssueError;
use crate::telemetry::TokenErrorCode;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `error` code.
    pub code: TokenErrorCode,
    /// The `error_description`.
    pub description: String,
    /// In seconds.
    retry_after: Option<u64>,
    nonce: Option<String>,
    beside_token: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl OAuthError {
    /// The request is malformed.
    #[must_use]
    pub fn invalid_request(description: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            TokenErrorCode::InvalidRequest,
            description,
        )
    }

    /// The client authentication failed: one text, whatever the reason.
    #[must_use]
    pub fn invalid_client() -> Self {
        let description = "client authentication failed";
        Self::new(
            StatusCode::UNAUTHORIZED,
            TokenErrorCode::InvalidClient,
            description,
        )
    }

    /// The server cannot now.
    #[must_use]
    pub fn unavailable(description: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            retry_after: Some(1),
            ..Self::new(status, TokenErrorCode::TemporarilyUnavailable, description)
        }
    }

    /// An error.
    #[must_use]
    pub fn new(status: StatusCode, code: TokenErrorCode, description: &str) -> Self {
        Self {
            status,
            code,
            description: printable(description),
            retry_after: None,
            nonce: None,
            beside_token: false,
        }
    }

    /// A DPoP proof that is not taken, and the nonce that the next one may have.
    #[must_use]
    pub fn proof(error: ProofError, nonce: String) -> Self {
        let code = match error.wants_nonce() {
            true => TokenErrorCode::UseDpopNonce,
            false => TokenErrorCode::InvalidDpopProof,
        };
        Self {
            nonce: Some(nonce),
            ..Self::new(StatusCode::BAD_REQUEST, code, &error.to_string())
        }
    }

    /// The same where an access token was presented with it, as at any resource (RFC 9449 §7.1, §9).
    #[must_use]
    pub fn proof_beside_token(error: ProofError, nonce: String) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            beside_token: true,
            ..Self::proof(error, nonce)
        }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.beside_token {
                true => format!(r#"DPoP realm="writ", error="{}""#, self.code.as_str()),
                false => r#"Basic realm="writ", charset="UTF-8""#.to_owned(),
            };
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(nonce) = &self.nonce {
            response.insert_header(("dpop-nonce", nonce.as_str()));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.json(Body {
            error: self.code.as_str(),
            error_description: &self.description,
        })
    }
}

/// A text as an `error_description`: RFC 6749 §5.2 allows printable ASCII but quote and backslash, and
/// nothing else.
pub(super) fn printable(text: &str) -> String {
    let fits = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    let chars = text.chars();
    chars.map(|c| if fits(c) { c } else { '?' }).collect()
}

impl From<DetailsFault> for OAuthError {
    fn from(fault: DetailsFault) -> Self {
        let code = TokenErrorCode::InvalidAuthorizationDetails;
        Self::new(StatusCode::BAD_REQUEST, code, &fault.to_string())
    }
}

impl From<FormError> for OAuthError {
    fn from(error: FormError) -> Self {
        let mut this = Self::invalid_request(&error.to_string());
        if matches!(error, FormError::TooLarge) {
            this.status = StatusCode::PAYLOAD_TOO_LARGE;
        }
        this
    }
}

impl From<&IssueError> for OAuthError {
    fn from(error: &IssueError) -> Self {
        let code = error.code();
        if let Some(seconds) = error.retry_after_seconds() {
            return Self {
                retry_after: Some(seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, &error.to_string())
            };
        }
        match code {
            TokenErrorCode::InvalidClient => Self::invalid_client(),
            // What failed is for the log; the application can only try again.
            TokenErrorCode::TemporarilyUnavailable | TokenErrorCode::ServerError => {
                Self::unavailable("no token can be issued now, try again")
            }
            TokenErrorCode::AccessDenied
            | TokenErrorCode::InvalidAuthorizationDetails
            | TokenErrorCode::InvalidDpopProof
            | TokenErrorCode::InvalidGrant
            | TokenErrorCode::InvalidRequest
            | TokenErrorCode::InvalidScope
            | TokenErrorCode::InvalidTarget
            | TokenErrorCode::UnauthorizedClient
            | TokenErrorCode::UnsupportedGrantType
            | TokenErrorCode::UseDpopNonce => {
                Self::new(StatusCode::BAD_REQUEST, code, &error.to_string())
            }
        }
    }
}
