//! What may it have? The grant index says, as of a position.

use super::{AuthenticatedApplication, IssueError};
use writ_core::{Ask, Entitled, Index, authorize};

/// Evidence that an authenticated application may have these scopes at most.
#[derive(Clone, Debug)]
pub struct Entitlement {
    pub(in crate::issue) application: AuthenticatedApplication,
    pub(in crate::issue) entitled: Entitled,
}

impl Entitlement {
    /// What it may have.
    #[must_use]
    pub fn entitled(&self) -> &Entitled {
        &self.entitled
    }
}

/// Asks the index.
///
/// # Errors
/// [`IssueError::Denied`] with the reason.
pub fn entitle(
    index: &Index,
    application: AuthenticatedApplication,
    ask: Ask<'_>,
) -> Result<Entitlement, IssueError> {
    let entitled = authorize(index, application.id(), ask).map_err(IssueError::Denied)?;
    Ok(Entitlement {
        application,
        entitled,
    })
}
