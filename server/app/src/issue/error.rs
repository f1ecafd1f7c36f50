//! Why there is no token. The top variant says whose fault it is; the code on the wire is here, the
//! status in `http/oauth_error.rs`.

use super::{NotPermitted, Objection};
use crate::authorization_details::DetailsFault;
use crate::telemetry::TokenErrorCode;
use writ_core::{Algorithm, Denial, SenderConstraint};

/// The reason of a decision about a proof that was presented before.
const PROOF_REPLAYED: &str = "proof_replayed";
/// The reason of a decision about authorization details that do not fit their types.
const DETAILS_INVALID: &str = "details_invalid";
/// The reason of a decision about tokens that could not be exchanged.
const EXCHANGE_INVALID: &str = "exchange_invalid";
/// The reason of a decision about one token more than there may be.
const QUOTA_USED_UP: &str = "quota_used_up";

/// Whether a denial of this reason is one of the rules and policies: it comes again when the decision
/// is made again. The others rest on what is not kept.
#[must_use]
pub fn is_by_rules(reason: &str) -> bool {
    ![
        PROOF_REPLAYED,
        DETAILS_INVALID,
        QUOTA_USED_UP,
        EXCHANGE_INVALID,
    ]
    .contains(&reason)
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The application did not prove who it is. One text for every reason (RFC 6749 §5.2).
    #[error("the client authentication failed")]
    InvalidClient,
    /// Somebody has failed to prove this too often from there: nothing was looked at.
    #[error(
        "too many failed client authentications: nothing is looked at for {retry_after_seconds} s"
    )]
    TooManyFailures {
        /// How long that lasts.
        retry_after_seconds: u64,
    },
    /// There is more to do than can be done: nothing was looked at.
    #[error("the server has more to do than it can")]
    Overloaded,
    /// The application has got all the tokens of its quota.
    #[error("the quota of this application is used up for {retry_after_seconds} s")]
    QuotaUsedUp {
        /// When there may be one again.
        retry_after_seconds: u64,
    },
    /// The DPoP proof was presented before (RFC 9449 §11.1).
    #[error("the DPoP proof was presented before")]
    ProofReplayed,
    /// What counts once cannot be remembered: nothing was issued.
    #[error("what counts once cannot be remembered: {0}")]
    Forgetful(writ_ledger::ReplayError),
    /// The authorization details do not fit their types (RFC 9396 §5).
    #[error(transparent)]
    Details(#[from] DetailsFault),
    /// What is to be exchanged is no good (RFC 8693 §2.2.2).
    #[error("{0}")]
    ExchangeInvalid(&'static str),
    /// The grant index does not allow it.
    #[error(transparent)]
    Denied(Denial),
    /// The policies leave no token.
    #[error("{0}")]
    NotPermitted(Box<NotPermitted>),
    /// No key can sign with this algorithm.
    #[error("no key can sign with {0} now")]
    NoKey(Algorithm),
    /// The record could not be made durable, or the disk is nearly full: nothing was issued.
    #[error("the issuance could not be recorded: {0}")]
    Unrecorded(#[from] writ_ledger::IssuanceError),
    /// What the decision depends on changed each time it was made.
    #[error("what this token depends on keeps changing")]
    Unsettled,
}

impl IssueError {
    /// The reason without anything of what was asked: for records and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidClient => "client_authentication_failed",
            Self::TooManyFailures { .. } => "too_many_failures",
            Self::Overloaded => "overloaded",
            Self::QuotaUsedUp { .. } => QUOTA_USED_UP,
            Self::ProofReplayed => PROOF_REPLAYED,
            Self::Details(_) => DETAILS_INVALID,
            Self::ExchangeInvalid(_) => EXCHANGE_INVALID,
            Self::Forgetful(_) => "not_remembered",
            Self::Denied(denial) => denial.code(),
            Self::NotPermitted(not) => not.objection.code(),
            Self::NoKey(_) => "no_signing_key",
            Self::Unrecorded(_) => "not_recorded",
            Self::Unsettled => "unsettled",
        }
    }

    /// Whether a policy could not be asked.
    pub(super) fn is_policy_unavailable(&self) -> bool {
        matches!(self, Self::NotPermitted(not) if not.objection == Objection::Unavailable)
    }

    /// When it may be worth trying again, in seconds, where somebody has had enough for now.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::TooManyFailures {
                retry_after_seconds,
            }
            | Self::QuotaUsedUp {
                retry_after_seconds,
            } => Some(*retry_after_seconds),
            _ => None,
        }
    }

    /// The `error` that the application sees.
    #[must_use]
    pub fn code(&self) -> TokenErrorCode {
        match self {
            Self::InvalidClient => TokenErrorCode::InvalidClient,
            Self::Denied(denial) => denial_code(denial),
            Self::NotPermitted(not) => objection_code(&not.objection),
            Self::ProofReplayed => TokenErrorCode::InvalidDpopProof,
            Self::Details(_) => TokenErrorCode::InvalidAuthorizationDetails,
            Self::ExchangeInvalid(_) => TokenErrorCode::InvalidRequest,
            Self::TooManyFailures { .. }
            | Self::Overloaded
            | Self::QuotaUsedUp { .. }
            | Self::NoKey(_)
            | Self::Unrecorded(_)
            | Self::Unsettled
            | Self::Forgetful(_) => TokenErrorCode::TemporarilyUnavailable,
        }
    }
}

/// The `error` that an objection of policies is on the wire: a no (RFC 6749 §4.1.2.1), or the
/// server's trouble.
#[must_use]
pub fn objection_code(objection: &Objection) -> TokenErrorCode {
    match objection {
        Objection::Denied(_)
        | Objection::Faulty
        | Objection::Disagreement
        | Objection::NothingLeft
        | Objection::TooMuch => TokenErrorCode::AccessDenied,
        Objection::Unavailable => TokenErrorCode::TemporarilyUnavailable,
    }
}

/// The `error` that a denial is on the wire (RFC 6749 §5.2, RFC 8707 §2, RFC 9396 §5,
/// RFC 9449 §5).
fn denial_code(denial: &Denial) -> TokenErrorCode {
    match denial {
        Denial::ApplicationUnusable => TokenErrorCode::InvalidClient,
        Denial::ScopeMalformed
        | Denial::ScopesUnauthorized { .. }
        | Denial::NothingToGrant
        | Denial::TooManyScopes { .. } => TokenErrorCode::InvalidScope,
        Denial::TooManyResources
        | Denial::ResourceUnauthorized { .. }
        | Denial::SeveralResources { .. }
        | Denial::TooManyPolicies { .. }
        | Denial::ProfilesDiffer { .. }
        | Denial::SenderConstraintsDiffer
        | Denial::ManagementAlone => TokenErrorCode::InvalidTarget,
        Denial::ExchangeUnauthorized => TokenErrorCode::UnauthorizedClient,
        Denial::DetailsUnauthorized { .. } => TokenErrorCode::InvalidAuthorizationDetails,
        Denial::SenderUnconstrained { needed } => match needed {
            SenderConstraint::Dpop => TokenErrorCode::InvalidDpopProof,
            SenderConstraint::None | SenderConstraint::Mtls | SenderConstraint::Any => {
                TokenErrorCode::InvalidRequest
            }
        },
    }
}
