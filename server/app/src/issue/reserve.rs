//! May it have one more? The quota of the application says.

use super::{AuthenticatedApplication, IssueError};
use crate::app::App;
use crate::quota::{Asked, Reservation};
use writ_core::QuotaMode;

/// Reserves one token of the quota, if the application has one.
///
/// # Errors
/// [`IssueError::QuotaUsedUp`].
pub(super) fn reserve<'a>(
    app: &'a App,
    application: &AuthenticatedApplication,
) -> Result<Option<Reservation<'a>>, IssueError> {
    let Some(quota) = application.application().quota() else {
        return Ok(None);
    };
    match app.quotas.ask(application.id(), quota, app.now()) {
        Asked::Within(reservation) => Ok(Some(reservation)),
        Asked::Watched { reservation, say } => {
            app.metrics.quota_used_up(QuotaMode::Monitor);
            if say {
                tracing::warn!(
                    application = %application.id(),
                    "the quota is used up, and only watched: tokens are issued all the same"
                );
            }
            Ok(Some(reservation))
        }
        Asked::UsedUp {
            retry_after_seconds,
        } => {
            app.metrics.quota_used_up(QuotaMode::Enforce);
            Err(IssueError::QuotaUsedUp {
                retry_after_seconds,
            })
        }
    }
}
