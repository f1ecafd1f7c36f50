//! Errors of dynamic client registration, with their statuses: RFC 7591 §3.2.2, RFC 7592 §2, and
//! RFC 6750 §3 for the tokens that let in.

use super::oauth_error::printable;
use super::problem;
use crate::app::ExecuteError;
use crate::registration::MetadataFault;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde_json::json;
use writ_core::Refusal;

/// Why there is no registration to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    /// Nobody lets applications register themselves.
    Off,
    /// No token, or none that lets in.
    Unauthenticated {
        /// Whether there was one (RFC 6750 §3.1).
        presented: bool,
    },
    /// The token is good, and this is not for it to do.
    Forbidden(String),
    /// The request is malformed.
    Request(String),
    /// The body is too large.
    TooLarge,
    /// The client metadata is not taken.
    Metadata(MetadataFault),
    /// As many changes as a day has.
    Spent {
        /// What is wrong.
        detail: String,
        /// When there is room again, in seconds from now.
        retry_after: u64,
    },
    /// The server cannot now.
    Unavailable,
}

impl RegistrationError {
    /// A command that was not carried out.
    #[must_use]
    pub fn of(error: ExecuteError, retry_after: u64) -> Self {
        use Refusal as R;
        let refusal = match error {
            ExecuteError::Refused(refusal) => refusal,
            error => {
                tracing::error!(%error, "an application could not be registered");
                return Self::Unavailable;
            }
        };
        let detail = refusal.to_string();
        match refusal {
            // The token was good a moment ago.
            R::InitialAccessTokenUnknown { .. }
            | R::InitialAccessTokenSpent { .. }
            | R::RegistrationUnknown { .. }
            | R::ApplicationUnknown { .. }
            | R::ActorUnusable { .. } => Self::Unauthenticated { presented: true },
            R::ActorOutranked { .. } => Self::Forbidden(
                "an application that administers this server is changed by administrators only"
                    .to_owned(),
            ),
            R::InUse { .. } | R::LastAdministrator => Self::Forbidden(detail),
            R::RegistrationChangesSpent { .. } => Self::Spent {
                detail,
                retry_after,
            },
            R::ApplicationIdTaken { .. } | R::SecretIdTaken { .. } | R::NotInitialized => {
                Self::Unavailable
            }
            _ => Self::Metadata(MetadataFault::Metadata(detail)),
        }
    }

    fn class(&self) -> (StatusCode, &'static str, String) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Off => (
                StatusCode::NOT_FOUND,
                "not_found",
                "applications do not register themselves here".to_owned(),
            ),
            Self::Unauthenticated { presented } => {
                let said = match presented {
                    true => "the token does not let in, or not any more",
                    false => "a token is needed, as Authorization: Bearer",
                };
                (StatusCode::UNAUTHORIZED, "invalid_token", said.to_owned())
            }
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "access_denied", detail.clone()),
            Self::Request(detail) => (bad, "invalid_request", detail.clone()),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request",
                "the body is larger than 64 KiB".to_owned(),
            ),
            Self::Metadata(fault) => {
                let code = match fault {
                    MetadataFault::RedirectUri => "invalid_redirect_uri",
                    MetadataFault::SoftwareStatement => "unapproved_software_statement",
                    MetadataFault::Metadata(_) => "invalid_client_metadata",
                };
                (bad, code, fault.to_string())
            }
            Self::Spent { detail, .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "temporarily_unavailable",
                detail.clone(),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "this cannot be done now, try again".to_owned(),
            ),
        }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let (status, code, detail) = self.class();
        if *self == Self::Off {
            return problem::plain(status, code, &detail);
        }
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"));
        let challenge = match self {
            Self::Unauthenticated { presented: false } => Some("Bearer realm=\"writ\""),
            Self::Unauthenticated { presented: true } => {
                Some("Bearer realm=\"writ\", error=\"invalid_token\"")
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        match self {
            Self::Spent { retry_after, .. } => {
                response.insert_header((header::RETRY_AFTER, retry_after.to_string()));
            }
            Self::Unavailable => drop(response.insert_header((header::RETRY_AFTER, "1"))),
            _ => {}
        }
        // RFC 7591 §3.2.2: ASCII; as strict as RFC 6749 §5.2.
        response.json(json!({ "error": code, "error_description": printable(&detail) }))
    }
}
