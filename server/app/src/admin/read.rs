//! What every read shares: which state of the log it reads.

use super::call::{AsOf, Call};
use super::Failure;
use crate::app::App;
use std::sync::Arc;
use std::time::Duration;
use writ_core::{Index, Position};
use writ_ledger::Fault;

/// How long a read waits for a position that this node has not seen.
const WAIT: Duration = Duration::from_millis(500);

/// The index that a call reads: the published one, or a past one.
///
/// # Errors
/// `as_of` is in the future, or before the log began.
pub(super) async fn index(app: &Arc<App>, call: &Call) -> Result<Arc<Index>, Failure> {
    let Some(as_of) = call.as_of else { return Ok(app.index()) };
    if matches!(as_of, AsOf::Time(time) if time >= app.now()) {
        return Err(in_the_future());
    }
    // A past state is replayed from the disk.
    blocking(app, move |app| {
        let position = match as_of {
            AsOf::Position(position) => position,
            AsOf::Time(time) => match app.ledger.position_at(time)? {
                Some(position) => position,
                None => {
                    let detail = "as_of is before the log began";
                    return Err(Failure::malformed("as_of_invalid", detail));
                }
            },
        };
        app.ledger.index_as_of(position)?.ok_or_else(in_the_future)
    })
    .await
}

/// Runs something that waits for the disk where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app)).await;
    done.unwrap_or(Err(Failure::Internal))
}

/// Waits, shortly, until this node has seen a position.
///
/// # Errors
/// [`Failure::Behind`] when it does not come.
pub(super) async fn wait_for(app: &App, wanted: Position) -> Result<(), Failure> {
    let head = app.ledger.index().head();
    if head.is_some_and(|head| head >= wanted) {
        return Ok(());
    }
    match tokio::time::timeout(WAIT, app.ledger.wait_for(wanted)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault @ Fault::Closed)) => Err(Failure::Unreadable(fault)),
        Ok(Err(_)) | Err(_) => {
            let head = app.ledger.index().head().unwrap_or_default();
            Err(Failure::Behind { wanted, head })
        }
    }
}

fn in_the_future() -> Failure {
    Failure::malformed("as_of_invalid", "as_of is in the future: there is no answer to it yet")
}
