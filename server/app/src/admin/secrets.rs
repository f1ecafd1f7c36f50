//! `/applications/{id}/secrets`. A secret is made here, shown in this one answer, and known
//! afterwards as a digest only.

use super::applications::find;
use super::call::{Call, optional};
use super::change::{change as execute, made};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::credentials;
use crate::usage::Used;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Application, Command, Entity, Millis, NewSecret, Secret, SecretId};
use writ_ledger::Receipt;

/// `code` where the secret of an earlier call is not shown again.
pub(super) const ALREADY_SHOWN: &str = "secret_already_shown";
/// How long older secrets work after a rotation where the request does not say: time for a rollout.
const OVERLAP_SECONDS: u32 = 86_400;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let after: Option<SecretId> = after(&call)?;
    let mut secrets: Vec<&Secret> = application.secrets.iter().collect();
    secrets.sort_unstable_by_key(|secret| secret.id);
    let uses = Uses::of(&app, &call, application);
    let rest = secrets
        .into_iter()
        .filter(|secret| after.is_none_or(|after| secret.id > after));
    let found = page(
        rest,
        limit(&call)?,
        |_| true,
        |secret| secret.id.to_string(),
        |secret| uses.view(secret),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateSecret = call.json()?;
    let (secret, new) = generate(&app, asked.expires_at.as_deref())?;
    let command = Command::AddSecret {
        application: call.application()?,
        secret: new,
    };
    added(&call, &execute(&app, &call, command).await?, &secret)
}

pub(super) async fn rotate(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::RotateSecret = call.json()?;
    let (secret, new) = generate(&app, asked.expires_at.as_deref())?;
    let command = Command::RotateSecret {
        application: call.application()?,
        secret: new,
        overlap_seconds: asked.overlap_seconds.unwrap_or(OVERLAP_SECONDS),
    };
    added(&call, &execute(&app, &call, command).await?, &secret)
}

/// A new secret, and what is recorded of it.
fn generate(
    app: &App,
    expires_at: Option<&str>,
) -> Result<(credentials::Secret, NewSecret), Failure> {
    let secret = credentials::Secret::generate(app.random.as_ref());
    let new = NewSecret {
        id: SecretId(app.ids.next_id()),
        digest: secret.digest(),
        expires_at: optional("expires_at", expires_at)?,
    };
    Ok((secret, new))
}

fn added(call: &Call, receipt: &Receipt, secret: &credentials::Secret) -> Outcome {
    let Some(Entity::Secret(id, secret_id)) = made(receipt) else {
        return Err(Failure::Gone);
    };
    let application = receipt.index.application(id).ok_or(Failure::Gone)?;
    let api::Secret {
        id: shown_id,
        created_at,
        expires_at,
        ..
    } = view(stored(application, secret_id).ok_or(Failure::Gone)?);
    // Only the call that made it can show it: nobody else ever had it.
    let mine = receipt.repeat.is_none();
    Answer::json(&api::NewSecret {
        id: shown_id,
        application: id.to_string(),
        secret: mine.then(|| secret.expose().to_owned()),
        code: (!mine).then(|| ALREADY_SHOWN.to_owned()),
        created_at,
        expires_at,
    })
    .version(application.version)
    .location(call.location(&format!("/applications/{id}/secrets/{secret_id}")))
    .at(receipt.position())
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let secret = stored(application, secret_id(&call)?).ok_or_else(|| unknown(&call))?;
    Answer::json(&Uses::of(&app, &call, application).view(secret))
        .version(application.version)
        .from(&index)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let (application, secret) = (call.application()?, secret_id(&call)?);
    let command = Command::RevokeSecret {
        application,
        secret,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

fn stored(application: &Application, id: SecretId) -> Option<&Secret> {
    application.secrets.iter().find(|secret| secret.id == id)
}

fn secret_id(call: &Call) -> Result<SecretId, Failure> {
    call.param("secret_id").parse().map_err(|_| unknown(call))
}

fn unknown(call: &Call) -> Failure {
    Failure::unknown("secret_unknown", "secret", call.param("secret_id"))
}

/// `/applications/{id}/credentials`: which of its credentials an application uses.
pub(super) async fn uses(app: Arc<App>, call: Call) -> Outcome {
    let index = app.index();
    let application = find(&call, &index)?;
    let after: Option<String> = after(&call)?;
    let mut uses = app.usage.of(application.id);
    uses.sort_unstable_by(|one, other| one.credential.cmp(&other.credential));
    let rest = uses.iter().filter(|one| {
        let after = after.as_deref();
        after.is_none_or(|after| *one.credential > *after)
    });
    let found = page(
        rest,
        limit(&call)?,
        |_| true,
        |one| one.credential.to_string(),
        |one| api::CredentialUse {
            credential: one.credential.to_string(),
            used: one.count,
            last_used_at: one.last.to_string(),
        },
    );
    Answer::json(&found).from(&index)
}

/// How the secrets of an application are used. The past does not know: it is not in the log.
struct Uses<'a> {
    application: &'a Application,
    /// Nothing when the past is asked about.
    now: Option<(Millis, Vec<Used>)>,
}

impl<'a> Uses<'a> {
    fn of(app: &App, call: &Call, application: &'a Application) -> Self {
        let now = || (app.now(), app.usage.of(application.id));
        Self {
            application,
            now: call.as_of.is_none().then(now),
        }
    }

    fn view(&self, secret: &Secret) -> api::Secret {
        let mut shown = view(secret);
        if let Some((now, uses)) = &self.now {
            let used = uses.iter().find(|one| *one.credential == *shown.id);
            shown.last_used_at = used.map(|used| used.last.to_string());
            shown.used = used.map(|used| used.count);
            shown.superseded = self.application.successor(secret, *now).is_some();
        }
        shown
    }
}

/// A secret as it is shown: without itself.
pub(super) fn view(secret: &Secret) -> api::Secret {
    api::Secret {
        id: secret.id.to_string(),
        created_at: secret.created_at.to_string(),
        expires_at: secret.expires_at.map(|at| at.to_string()),
        last_used_at: None,
        used: None,
        superseded: false,
    }
}
