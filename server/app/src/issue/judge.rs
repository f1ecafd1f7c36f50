//! What do the policies say? Nothing can be bound yet, so every entitlement passes as it is; the
//! step is here from the first token, so that no token was ever signed without it.

use super::{Entitlement, IssueError, Request};

/// Evidence that every bound policy has judged: what may be signed. It can only be less than the
/// entitlement it was made from.
#[derive(Debug)]
pub struct Permit {
    entitlement: Entitlement,
}

impl Permit {
    pub(in crate::issue) fn into_entitlement(self) -> Entitlement {
        self.entitlement
    }
}

/// Judges an entitlement by the policies bound to the server, the API resources and the
/// application.
///
/// # Errors
/// None while no policy can be bound; a denial or a fault of a policy later.
pub fn judge(entitlement: Entitlement, _request: &Request<'_>) -> Result<Permit, IssueError> {
    Ok(Permit { entitlement })
}
