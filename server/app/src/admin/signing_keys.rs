//! `/signing-keys`. Private keys are made by the server, sealed in the key store, and never shown.

use super::api_resources::algorithm;
use super::call::Call;
use super::change::{change as execute, earlier, made};
use super::page::{after, limit, page};
use super::read::{blocking, index as read};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    Algorithm, Command, Entity, Event, Index, KeyState, Kid, ManagementScope, NewSigningKey,
    SigningKey,
};
use writ_ledger::Receipt;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let after: Option<Kid> = after(&call)?;
    let keys = index
        .keys()
        .filter(|key| after.as_ref().is_none_or(|after| key.kid > *after));
    let found = page(
        keys,
        limit(&call)?,
        |_| true,
        |key| key.kid.to_string(),
        |key| view(key),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateSigningKey = call.json()?;
    let algorithm = algorithm("algorithm", &asked.algorithm)?;
    let receipt = match earlier(&app, &call)? {
        Some(receipt) => receipt,
        None => {
            let key = make(&app, &call, algorithm).await?;
            execute_with(
                &app,
                &call,
                key.kid.clone(),
                Command::MakeSigningKey { key },
            )
            .await?
        }
    };
    let Some(Entity::SigningKey(kid)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let mut answer = changed(&receipt, &kid)?;
    answer.location = Some(call.location(&format!("/signing-keys/{kid}")));
    Ok(answer)
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let key = index
        .key(kid(&call)?.as_str())
        .ok_or_else(|| unknown(&call))?;
    Answer::json(&view(key)).version(key.version).from(&index)
}

pub(super) async fn activate(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    let kid = kid(&call)?;
    can_sign(&app, &call, &kid).await?;
    let command = Command::ActivateSigningKey { kid: kid.clone() };
    changed(&execute(&app, &call, command).await?, &kid)
}

pub(super) async fn retire(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    let kid = kid(&call)?;
    let command = Command::RetireSigningKey { kid: kid.clone() };
    changed(&execute(&app, &call, command).await?, &kid)
}

pub(super) async fn revoke(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    let kid = kid(&call)?;
    if let Some(receipt) = earlier(&app, &call)? {
        return changed(&receipt, &kid);
    }
    let receipt = match wants_replacement(&app.index(), &kid) {
        Some(algorithm) => {
            let key = make(&app, &call, algorithm).await?;
            let new = key.kid.clone();
            let command = Command::RevokeSigningKey {
                kid: kid.clone(),
                replacement: Some(key),
            };
            execute_with(&app, &call, new, command).await?
        }
        None => {
            let command = Command::RevokeSigningKey {
                kid: kid.clone(),
                replacement: None,
            };
            execute(&app, &call, command).await?
        }
    };
    changed(&receipt, &kid)
}

/// A key whose private part is lost would stop every token of its algorithm, those of administrators
/// included. Whether it may be activated at all is for the rules to say.
async fn can_sign(app: &Arc<App>, call: &Call, kid: &Kid) -> Result<(), Failure> {
    call.require(ManagementScope::KeysWrite)?;
    let index = app.index();
    let published = |key: &&Arc<SigningKey>| key.state == KeyState::Published;
    let Some(key) = index.key(kid.as_str()).filter(published) else {
        return Ok(());
    };
    let (kid, algorithm) = (kid.clone(), key.algorithm);
    blocking(app, move |app| {
        let checked = app.check_can_sign(&kid, algorithm);
        checked.map_err(|fault| Failure::Unavailable(fault.into()))
    })
    .await
}

/// The algorithm of a key that signs and has no successor: it is replaced as it is revoked.
fn wants_replacement(index: &Index, kid: &Kid) -> Option<Algorithm> {
    let key = index.key(kid.as_str())?;
    let successor = |other: &&Arc<SigningKey>| {
        other.algorithm == key.algorithm && other.state == KeyState::Published
    };
    let active = matches!(key.state, KeyState::Active { .. });
    (active && index.keys().find(successor).is_none()).then_some(key.algorithm)
}

/// Makes a key, for somebody who may: it takes a while and leaves something in the key store.
async fn make(app: &App, call: &Call, algorithm: Algorithm) -> Result<NewSigningKey, Failure> {
    call.require(ManagementScope::KeysWrite)?;
    app.make_key(algorithm).await.map_err(Failure::Unavailable)
}

/// Carries out a command with a new key, which is thrown away where it was not taken.
async fn execute_with(
    app: &Arc<App>,
    call: &Call,
    new: Kid,
    command: Command,
) -> Result<Receipt, Failure> {
    let outcome = execute(app, call, command).await;
    let unused = match &outcome {
        Ok(receipt) => !receipt.events.iter().any(
            |recorded| matches!(&recorded.event, Event::SigningKeyMade(made) if made.kid == new),
        ),
        Err(Failure::Refused { .. }) => true,
        // It may be in the log after all.
        Err(_) => false,
    };
    if unused {
        app.discard_key(&new).await;
    }
    outcome
}

fn kid(call: &Call) -> Result<Kid, Failure> {
    call.param("kid").parse().map_err(|_| unknown(call))
}

fn unknown(call: &Call) -> Failure {
    Failure::unknown("signing_key_unknown", "signing key", call.param("kid"))
}

fn changed(receipt: &Receipt, kid: &Kid) -> Outcome {
    let key = receipt.index.key(kid.as_str()).ok_or(Failure::Gone)?;
    Answer::json(&view(key))
        .version(key.version)
        .at(receipt.position())
}

pub(super) fn view(key: &SigningKey) -> api::SigningKey {
    let (state, active_since, published_until) = match key.state {
        KeyState::Published => ("published", None, None),
        KeyState::Active { since } => ("active", Some(since), None),
        KeyState::Retired { until } => ("retired", None, Some(until)),
        KeyState::Revoked => ("revoked", None, None),
    };
    api::SigningKey {
        kid: key.kid.to_string(),
        algorithm: key.algorithm.to_string(),
        state: state.to_owned(),
        jwk: serde_json::to_value(&key.jwk).expect("a public JWK is texts"),
        created_at: key.made_at.to_string(),
        active_since: active_since.map(|at| at.to_string()),
        published_until: published_until.map(|at| at.to_string()),
        version: key.version.0,
    }
}
