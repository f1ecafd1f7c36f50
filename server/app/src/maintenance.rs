//! What the server does by itself: rotating signing keys when they are old, taking expired ones
//! out of the JWKS, sealing and deleting issuance files, writing snapshots. Whatever comes into the log
//! does so through commands that may be tried again, by several nodes at once, without harm.

use crate::app::{App, ExecuteError};
use crate::issue::failures::{self, Written};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use writ_core::{Actor, Algorithm, Command, KeyState, Millis, Refusal, SigningKey, Submission};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(30);

/// How often a checkpoint of the admin log is signed, when it has grown.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Signs a checkpoint of the admin log, if it has grown.
pub async fn checkpoint(app: &Arc<App>) {
    let signed = app.checkpoints.last();
    if signed.is_some_and(|signed| signed.checkpoint.size == app.ledger.tree_head().0) {
        return;
    }
    let app = Arc::clone(app);
    let signed = tokio::task::spawn_blocking(move || app.checkpoint()).await;
    if let Err(error) = signed {
        tracing::error!(%error, "the log could not be signed");
    }
}

/// Looks once and does what is due. What fails is logged and tried again next time.
pub async fn run_once(app: &Arc<App>) {
    write_failures(app).await;
    write_usage(app).await;
    if !app.ledger.is_healthy() {
        return;
    }
    for algorithm in Algorithm::ALL {
        if let Err(error) = rotate(app, algorithm).await {
            tracing::error!(%algorithm, %error, "a signing key could not be rotated");
        }
    }
    submit(app, "rotation", Command::RemoveExpiredSigningKeys).await;
    if app.ring().stale_at().is_some_and(|at| at <= app.now())
        && let Err(error) = app.refresh_keys()
    {
        tracing::error!(%error, "the key ring could not be refreshed");
    }
    seal(app).await;
    catch_up(app).await;
    write_snapshot(app).await;
}

/// Tries again what bound policies could not be made ready: the disk may be well again.
async fn catch_up(app: &App) {
    app.follow_bindings();
    if app.metrics.unavailable_policies() == 0 {
        return;
    }
    let (policies, index) = (Arc::clone(&app.policies), app.index());
    let draining = Arc::clone(&app.draining);
    let stop = move || draining.load(Ordering::SeqCst);
    let tried = tokio::task::spawn_blocking(move || policies.catch_up(&index, EVERY, stop)).await;
    if let Err(error) = tried {
        tracing::error!(%error, "bound policies could not be made ready");
    }
    app.follow_bindings();
}

/// Writes a snapshot of the index when a start without it would be long.
async fn write_snapshot(app: &Arc<App>) {
    if !app.snapshots.is_due(&app.ledger) {
        return;
    }
    let writing = Arc::clone(app);
    let write = move || writing.snapshots.write(&writing.ledger);
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(bytes)) => tracing::info!(bytes, "a snapshot of the index was written"),
        Ok(Err(fault)) => {
            tracing::warn!(%fault, "no snapshot was written: the next start replays more events");
        }
        Err(error) => tracing::error!(%error, "a snapshot could not be written"),
    }
}

/// Writes the counts of authentication failures of the minutes that are over.
async fn write_failures(app: &Arc<App>) {
    let writing = Arc::clone(app);
    let write = move || failures::write(&writing, Written::Over);
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::error!(%fault, "counts of authentication failures are lost"),
        Err(error) => tracing::error!(%error, "authentication failures could not be written"),
    }
}

/// Most superseded secrets that are named at a time.
const NAMED: usize = 20;

/// Forgets what quotas need no more, says which superseded secrets are in use, and writes when
/// credentials were last used.
async fn write_usage(app: &Arc<App>) {
    let writing = Arc::clone(app);
    let work = move || {
        let (app, now, index) = (&writing, writing.now(), writing.index());
        app.quotas.tidy(&index, now);
        let superseded = app.usage.superseded(&index, now);
        app.metrics.superseded_secrets(superseded.len());
        for one in superseded.iter().filter(|one| one.say).take(NAMED) {
            tracing::warn!(
                application = %one.application,
                secret = %one.secret,
                successor = %one.successor,
                last_used_at = %one.last,
                "a superseded secret is still in use"
            );
        }
        app.usage.write(&app.data, now, false)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::error!(%fault, "when credentials were last used is not written"),
        Err(error) => tracing::error!(%error, "the use of credentials could not be looked at"),
    }
}

/// What is due for the keys of an algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// Nothing yet.
    Nothing,
    /// The active key will soon be old, and nothing is published to follow it.
    Publish,
    /// The active key is old and its successor has been published long enough.
    Activate(Box<SigningKey>),
}

/// The next key is published `keys.publish_ahead_seconds` before the active one gets old, so that
/// every validator knows it when it signs.
fn due(app: &App, algorithm: Algorithm, now: Millis) -> Due {
    let index = app.index();
    let settings = index.settings();
    let age = u64::from(settings.keys_rotate_after_days) * 86_400;
    let ahead = u64::from(settings.keys_publish_ahead_seconds);
    let Some(KeyState::Active { since }) = index.active_key(algorithm).map(|key| key.state) else {
        return Due::Nothing;
    };
    if age == 0 || now < since.plus_seconds(age.saturating_sub(ahead)) {
        return Due::Nothing;
    }
    let published =
        |key: &&Arc<SigningKey>| key.algorithm == algorithm && key.state == KeyState::Published;
    match index.keys().filter(published).min_by_key(|key| key.made_at) {
        None => Due::Publish,
        Some(next) if since.plus_seconds(age) <= now && next.made_at.plus_seconds(ahead) <= now => {
            Due::Activate(Box::new(SigningKey::clone(next)))
        }
        Some(_) => Due::Nothing,
    }
}

async fn rotate(app: &App, algorithm: Algorithm) -> Result<(), ExecuteError> {
    match due(app, algorithm, app.now()) {
        Due::Nothing => {}
        Due::Publish => {
            let key = app.make_key(algorithm).await?;
            let kid = key.kid.clone();
            tracing::info!(%kid, %algorithm, "publishing the next signing key");
            if !submit(app, "rotation", Command::MakeSigningKey { key }).await {
                app.discard_key(&kid).await;
            }
        }
        Due::Activate(key) => {
            let kid = key.kid;
            if app.can_sign(&kid, algorithm) {
                tracing::info!(%kid, %algorithm, "rotating the signing key");
                submit(app, "rotation", Command::ActivateSigningKey { kid }).await;
            } else {
                // Without its private part it would stop every token; another is made next time.
                tracing::error!(%kid, %algorithm, "the next signing key cannot sign; retiring it");
                submit(app, "rotation", Command::RetireSigningKey { kid }).await;
            }
        }
    }
    Ok(())
}

/// Closes the issuance file when it is old, and enters those that were sealed into the log. A file
/// that the log knows already is left alone, whatever happened in between.
async fn seal(app: &App) {
    let index = app.index();
    let settings = index.settings();
    let age_ms = u64::from(settings.issuance_retention_days) * 86_400_000;
    app.issuances
        .retain(age_ms, settings.issuance_retention_bytes);
    app.issuances.rotate_if_due();
    for file in app
        .issuances
        .sealed()
        .into_iter()
        .filter(|file| !index.is_sealed(&file.file, &file.root))
    {
        let (first, last, records, root) = (file.first, file.last, file.records, file.root);
        submit(
            app,
            "seal",
            Command::SealIssuances {
                file: file.file,
                first,
                last,
                records,
                root,
            },
        )
        .await;
    }
}

/// Submits as Writ itself; says whether it may be in the log.
async fn submit(app: &App, part: &str, command: Command) -> bool {
    let submission = Submission::new(Actor::system(part), app.command_id(), command);
    match app.execute(submission).await {
        Ok(_) => true,
        // Another node was quicker.
        Err(ExecuteError::Refused(Refusal::SigningKeyState { .. })) => false,
        Err(error) => {
            tracing::error!(%error, part, "the server's own command failed");
            !matches!(error, ExecuteError::Refused(_))
        }
    }
}
