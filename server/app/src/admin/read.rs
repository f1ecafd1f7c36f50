//! What every read shares: which state of the log it reads.

use super::Failure;
use super::call::{AsOf, Call};
use crate::app::App;
use crate::telemetry::carried_blocking;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use writ_core::{Index, Position};
use writ_ledger::Fault;

/// How long a read waits for a position that this node has not seen.
const WAIT: Duration = Duration::from_millis(500);

/// The index that a call reads: the published one, or a past one.
///
/// # Errors
/// `as_of` is in the future, or before the log began.
pub(super) async fn index(app: &Arc<App>, call: &Call) -> Result<Arc<Index>, Failure> {
    match position(app, call).await? {
        None => Ok(app.index()),
        Some(position) => index_at(app, position).await,
    }
}

/// The index as of a position.
pub(super) async fn index_at(app: &Arc<App>, position: Position) -> Result<Arc<Index>, Failure> {
    let _turn = replay_turn(app).await?;
    blocking(app, move |app| {
        let index = app.ledger.index_as_of(position)?;
        index.ok_or_else(|| in_the_future("as_of"))
    })
    .await
}

/// Leave to replay a past state from the disk: one at a time, and nobody waits for long.
///
/// # Errors
/// Others replay.
pub(super) async fn replay_turn(app: &App) -> Result<SemaphorePermit<'_>, Failure> {
    let turn = tokio::time::timeout(WAIT * 4, app.replays.acquire()).await;
    let turn = turn.ok().and_then(Result::ok);
    turn.ok_or(Failure::Unreadable(Fault::Overloaded { queued: 1 }))
}

/// The position that a call reads as of, if it says one.
///
/// # Errors
/// `as_of` is in the future, or before the log began.
pub(super) async fn position(app: &Arc<App>, call: &Call) -> Result<Option<Position>, Failure> {
    let Some(as_of) = call.as_of else {
        return Ok(None);
    };
    let before = || Failure::malformed("as_of_invalid", "as_of is before the log began");
    let found = position_at(app, "as_of", as_of).await?;
    found.map(Some).ok_or_else(before)
}

/// The position that a position or time in a parameter means; nothing for a time before the log.
///
/// # Errors
/// It is in the future.
pub(super) async fn position_at(
    app: &Arc<App>,
    parameter: &'static str,
    at: AsOf,
) -> Result<Option<Position>, Failure> {
    match at {
        AsOf::Position(position) if position >= app.index().next_position() => {
            Err(in_the_future(parameter))
        }
        AsOf::Position(position) => Ok(Some(position)),
        // In a millisecond that is not over yet, more can happen.
        AsOf::Time(time) if time >= app.now() => Err(in_the_future(parameter)),
        AsOf::Time(time) => {
            // What was decided in that moment may still be on its way to the disk.
            app.ledger.catch_up().await.map_err(Failure::Unreadable)?;
            blocking(app, move |app| Ok(app.ledger.position_at(time)?)).await
        }
    }
}

/// Waits, shortly, for leave to search the records of a log.
///
/// # Errors
/// [`Failure::Busy`] when others search for too long.
pub(super) async fn turn(leave: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    match tokio::time::timeout(WAIT * 4, leave.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Failure::Busy("others are searching the records now")),
    }
}

/// Runs something that waits for the disk where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let app = Arc::clone(app);
    let work = carried_blocking(move || work(&app));
    let done = tokio::task::spawn_blocking(work).await;
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

fn in_the_future(parameter: &'static str) -> Failure {
    let detail = format!("{parameter} is in the future: there is no answer to it yet");
    Failure::malformed("as_of_invalid", detail)
}
