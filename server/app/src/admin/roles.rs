//! `/roles`.

use super::call::{Call, optional, text, texts};
use super::change::{change as execute, made};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Command, Entity, Index, Role, RoleId};
use writ_ledger::Receipt;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let found = page(
        index.roles(after(&call)?),
        limit(&call)?,
        |role| {
            call.query("name")
                .is_none_or(|wanted| role.name.as_str() == wanted)
        },
        |role| role.id.to_string(),
        |role| view(&index, role),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateRole = call.json()?;
    let command = Command::CreateRole {
        name: text("name", &asked.name)?,
        scopes: texts("scopes", &asked.scopes)?,
    };
    let receipt = execute(&app, &call, command).await?;
    let Some(Entity::Role(id)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let mut answer = changed(&receipt, id)?;
    answer.location = Some(call.location(&format!("/roles/{id}")));
    Ok(answer)
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let role = index
        .role(call.role("id")?)
        .ok_or_else(|| Failure::unknown("role_unknown", "role", call.param("id")))?;
    Answer::json(&view(&index, role))
        .version(role.version)
        .from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangeRole = call.json()?;
    let id = call.role("id")?;
    let command = Command::ChangeRole {
        id,
        name: optional("name", asked.name.as_deref())?,
        scopes: asked
            .scopes
            .map(|scopes| texts("scopes", &scopes))
            .transpose()?,
    };
    changed(&execute(&app, &call, command).await?, id)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::RemoveRole {
        id: call.role("id")?,
        cascade: call.flag("cascade")?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

fn changed(receipt: &Receipt, id: RoleId) -> Outcome {
    let role = receipt.index.role(id).ok_or(Failure::Gone)?;
    Answer::json(&view(&receipt.index, role))
        .version(role.version)
        .at(receipt.position())
}

pub(super) fn view(index: &Index, role: &Role) -> api::Role {
    api::Role {
        id: role.id.to_string(),
        name: role.name.to_string(),
        scopes: index
            .role_scopes(role)
            .iter()
            .map(ToString::to_string)
            .collect(),
        created_at: role.created_at.to_string(),
        version: role.version.0,
    }
}
