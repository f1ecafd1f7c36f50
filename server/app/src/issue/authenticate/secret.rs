//! By a secret: the one place that compares them.

use super::{AuthenticationFailure, Checked, FailureReason, Proof};
use crate::credentials::{digest, digests_match};
use std::sync::Arc;
use writ_core::{ApplicationId, AuthenticationMethod, Index, Millis, SecretMatch};

/// Compared with in any case, so that an application that does not exist takes a hash and a
/// comparison too; each secret of one that does takes one more, some nanoseconds beside a request.
/// No secret has this digest.
const NOBODY: [u8; 32] = [0x5a; 32];

/// Checks a secret. An unknown application, an expired and a wrong secret take the same work but for
/// the comparisons, and the reason falls out of what every check finds anyway.
pub(super) fn check(
    index: &Index,
    client_id: &str,
    presented_secret: &str,
    method: AuthenticationMethod,
    now: Millis,
) -> Checked {
    let presented = digest(presented_secret.as_bytes());
    let id = client_id.parse::<ApplicationId>().ok();
    let application = id.and_then(|id| index.application(id));
    let nobody = digests_match(&presented, &NOBODY);
    let found = application.map_or(SecretMatch::None, |app| app.match_secret(&presented, now));
    let reason = match (application, found) {
        (Some(application), SecretMatch::Valid(secret)) if !nobody => {
            return Ok((Arc::clone(application), Proof::Secret(secret.id), method));
        }
        (None, _) => FailureReason::UnknownApplication,
        (Some(_), SecretMatch::Expired) => FailureReason::ExpiredSecret,
        (Some(_), SecretMatch::None | SecretMatch::Valid(_)) => FailureReason::WrongSecret,
    };
    Err(AuthenticationFailure {
        reason,
        application: application.map(|application| application.id),
    })
}
