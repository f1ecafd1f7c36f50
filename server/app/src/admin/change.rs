//! What every change shares: the command with all that came beside it, its receipt, and what a
//! repeat of it is answered.

use super::call::{Call, IfMatch};
use super::failure::unknown_thing;
use super::{Failure, read};
use crate::app::{App, ExecuteError};
use std::sync::Arc;
use writ_core::{Command, Entity, Facts, Position, Refusal, Submission, consider};
use writ_ledger::{Fault, Receipt};

/// Carries out a command for a call.
///
/// # Errors
/// The rules say no, or it cannot be written.
pub(super) async fn change(
    app: &Arc<App>,
    call: &Call,
    command: Command,
) -> Result<Receipt, Failure> {
    expecting(app, call, command, None).await
}

/// Carries out a command that was made for this version of its subject, whether the caller says one
/// or not.
///
/// # Errors
/// The rules say no, or it cannot be written.
pub(super) async fn expecting(
    app: &Arc<App>,
    call: &Call,
    command: Command,
    version: Option<Position>,
) -> Result<Receipt, Failure> {
    let mut submission = Submission::new(call.actor()?.clone(), app.command_id(), command);
    submission.idempotency = call.idempotency()?;
    submission.if_match = call.expected().or(version);
    submission.correlation = Some(call.request_id.as_str().into());
    let note = keep_reason(app, call).await?;
    submission.reason = note;
    let outcome = app.execute(submission).await;
    // The text of a reason is kept only for an event that has its hash.
    let unused = match &outcome {
        Ok(receipt) => receipt.events.is_empty(),
        Err(ExecuteError::Refused(_)) => true,
        Err(ExecuteError::Unavailable(fault)) => !matches!(fault, Fault::ReadOnly { .. }),
        Err(ExecuteError::Key(_)) => false,
    };
    if let (Some(note), true) = (note, unused) {
        read::blocking(app, move |app| Ok(app.notes.delete(&note)?)).await?;
    }
    outcome.map_err(|error| match error {
        ExecuteError::Refused(refusal) => refused(call, refusal),
        error => Failure::Unavailable(error),
    })
}

/// Says what the rules would say now to a command, before something is done that a refusal would
/// not undo.
///
/// # Errors
/// The rules say no.
pub(super) fn rehearse(app: &App, call: &Call, command: &Command) -> Result<(), Failure> {
    let index = app.index();
    let submission = Submission::new(call.actor()?.clone(), app.command_id(), command.clone());
    let now = app.now().max(index.last_at());
    match consider(&index, &submission, Facts { now }) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refused(call, refusal)),
    }
}

/// Writes the text of a reason, before the event that has its hash.
async fn keep_reason(app: &Arc<App>, call: &Call) -> Result<Option<[u8; 32]>, Failure> {
    let Some(reason) = call.headers.reason.clone() else {
        return Ok(None);
    };
    // Nobody without the right to the change gets to write.
    if let Some(scope) = call.route.scope {
        call.require(scope)?;
    }
    match read::blocking(app, move |app| Ok(app.notes.put(&reason)?)).await {
        Ok(hash) => Ok(Some(hash)),
        // A revocation must not fail because there is no room for its reason.
        Err(failure) => {
            tracing::error!(%failure, "a reason could not be kept; the change goes on without it");
            Ok(None)
        }
    }
}

/// A refusal, as an answer to a call.
pub(super) fn refused(call: &Call, refusal: Refusal) -> Failure {
    let in_path = unknown_thing(&refusal).is_some_and(|thing| call.names(&thing));
    Failure::Refused { refusal, in_path }
}

/// The receipt of an earlier call that this one repeats: for changes that do costly things before
/// the command, which a repeat must not do again.
///
/// # Errors
/// The idempotency key was used for something else.
pub(super) fn earlier(app: &App, call: &Call) -> Result<Option<Receipt>, Failure> {
    let index = app.index();
    let Some(idempotency) = call.idempotency()? else {
        return Ok(None);
    };
    let Some(before) = index.repeatable(&idempotency.key, app.now()).cloned() else {
        return Ok(None);
    };
    if before.body != idempotency.body {
        return Err(refused(call, Refusal::IdempotencyKeyReused));
    }
    let command = app.command_id();
    Ok(Some(Receipt {
        command,
        events: Vec::new(),
        repeat: Some(before),
        index,
    }))
}

/// What a command that makes something has made, also when this call only repeats it.
pub(super) fn made(receipt: &Receipt) -> Option<Entity> {
    match &receipt.repeat {
        Some(before) => Some(before.subject.clone()),
        None => receipt
            .events
            .first()
            .and_then(|first| first.event.entities().into_iter().next()),
    }
}

/// Refuses `If-Match: *` where the change would make something new.
///
/// # Errors
/// [`Failure::Absent`].
pub(super) fn expect_there(call: &Call, there: bool) -> Result<(), Failure> {
    match call.headers.if_match {
        Some(IfMatch::Any) if !there => Err(Failure::Absent),
        _ => Ok(()),
    }
}

/// The version of an entity in the index of a receipt.
///
/// # Errors
/// [`Failure::Gone`] when it was removed since.
pub(super) fn version(receipt: &Receipt, entity: &Entity) -> Result<Position, Failure> {
    receipt.index.version_of(entity).ok_or(Failure::Gone)
}
