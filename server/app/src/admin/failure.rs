//! Why a call of the admin API has no answer. Facts only: `http/problem.rs` knows the statuses.

use crate::app::ExecuteError;
use crate::policies::PolicyFault;
use writ_core::{Position, Refusal};
use writ_ledger::Fault;

/// Why a call has no answer. The top variants are the caller's fault, the last ones ours.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No route has this path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The path takes other methods.
    #[error("this path takes {allow}")]
    WrongMethod {
        /// The methods it takes, as in `Allow`.
        allow: String,
    },
    /// No token, or none that is valid now for the management API alone.
    #[error(
        "this needs an access token for urn:writ:management, as `Authorization: Bearer`; {}",
        if *presented { "the one presented is not valid, or not any more" } else { "there is none" }
    )]
    Unauthenticated {
        /// Whether there was a token at all (RFC 6750 §3.1).
        presented: bool,
    },
    /// A DPoP proof beside a token that is not good (RFC 9449 §7.1).
    #[error("the DPoP proof is not good for this request")]
    Unproved {
        /// The nonce that the next proof must have, where that was what it lacked (RFC 9449 §9).
        nonce: Option<String>,
    },
    /// Path, query, header or JSON cannot be read.
    #[error("{detail}")]
    Malformed {
        /// What kind of thing, for programs.
        code: &'static str,
        /// What is wrong, and where.
        detail: String,
    },
    /// The body is not declared as what it must be.
    #[error("the content type must be {0}")]
    MediaType(&'static str),
    /// The body is larger than this many bytes.
    #[error("the body is larger than {0} bytes, the limit of http.max_body")]
    TooLarge(usize),
    /// The path names something that is not there.
    #[error("there is no {what} {id}")]
    Unknown {
        /// Which kind of thing, for programs.
        code: &'static str,
        /// Which kind of thing, for people.
        what: &'static str,
        /// What the path says.
        id: String,
    },
    /// What was made by the call that this one repeats was removed since.
    #[error("what this call made was removed since")]
    Gone,
    /// `If-Match: *` and there is nothing yet (RFC 9110 §13.1.1).
    #[error("If-Match asks for something that is there, and there is nothing yet")]
    Absent,
    /// A text in the body is not one that can stand there.
    #[error("{member}: {expected}")]
    Value {
        /// The member of the body.
        member: String,
        /// What would be right.
        expected: String,
    },
    /// The body names something that is not there.
    #[error("{member}: there is no {what} {id}")]
    UnknownInBody {
        /// Which kind of thing, for programs.
        code: &'static str,
        /// The member of the body.
        member: &'static str,
        /// Which kind of thing, for people.
        what: &'static str,
        /// What the body says.
        id: String,
    },
    /// A policy's module or its settings are no good; every reason.
    #[error("{what}")]
    Policy {
        /// Which of the two, for programs.
        code: &'static str,
        /// Which of the two, for people.
        what: &'static str,
        /// A sentence each.
        reasons: Vec<String>,
    },
    /// A policy cannot be tried now, through no fault of its own.
    #[error("the policy cannot be tried now: {0}")]
    NoVerdict(PolicyFault),
    /// The rules say no.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether what it is about stands in the path: then that is not found. Else the body
        /// names it, and the body is wrong.
        in_path: bool,
    },
    /// This node has not seen the position that was asked for (`Writ-Min-Position`).
    #[error("this server is at position {head} and has not seen {wanted} yet; try again")]
    Behind {
        /// What was asked for.
        wanted: Position,
        /// What there is.
        head: Position,
    },
    /// The change could not be written.
    #[error("the change could not be made now: {0}")]
    Unavailable(ExecuteError),
    /// The log or the notes could not be read.
    #[error("the log cannot be read now: {0}")]
    Unreadable(#[from] Fault),
    /// The server has no room for this now, and has for other things.
    #[error("{0}; try again")]
    Busy(&'static str),
    /// A bug: a handler did not come to its end.
    #[error("internal error")]
    Internal,
}

impl Failure {
    /// A malformed request.
    pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Malformed {
            code,
            detail: detail.into(),
        }
    }

    /// Something that the path names and that is not there.
    pub(crate) fn unknown(code: &'static str, what: &'static str, id: &str) -> Self {
        Self::Unknown {
            code,
            what,
            id: shortened(id),
        }
    }
}

/// What a refusal says is not there.
pub(crate) fn unknown_thing(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::ApiResourceUnknown { id } => Some(id.to_string()),
        Refusal::ApplicationUnknown { id } => Some(id.to_string()),
        Refusal::GrantUnknown { application, .. } => Some(application.to_string()),
        Refusal::RoleUnknown { id } => Some(id.to_string()),
        Refusal::PolicyUnknown { digest } => Some(digest.to_string()),
        Refusal::PolicyBindingUnknown { id } => Some(id.to_string()),
        Refusal::ScopeUnknown { name, .. } => Some(name.to_string()),
        Refusal::SecretUnknown { secret, .. } => Some(secret.to_string()),
        Refusal::SigningKeyUnknown { kid } => Some(kid.to_string()),
        Refusal::TrustedIssuerUnknown { id } => Some(id.to_string()),
        Refusal::InitialAccessTokenUnknown { id } => Some(id.to_string()),
        Refusal::RegistrationUnknown { application } => Some(application.to_string()),
        Refusal::DetailsTypeUnknown { name, .. } => Some(name.to_string()),
        _ => None,
    }
}

/// As much of a text from outside as an answer repeats.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS: usize = 300;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
