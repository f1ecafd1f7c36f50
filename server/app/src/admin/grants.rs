//! `/applications/{id}/authorized-apis` and `/applications/{id}/roles`: what an application may
//! have.

use super::applications::find;
use super::call::{Call, choice, texts};
use super::change::{change as execute, expect_there, version};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{ApiId, Application, ApplicationId, Command, Entity, Grant, GrantMode, Index};
use writ_ledger::Receipt;

const MODES: [(&str, GrantMode); 2] = [("none", GrantMode::None), ("rbac", GrantMode::Rbac)];

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let after: Option<ApiId> = after(&call)?;
    let grants = application.grants();
    let shown = grants.filter_map(|grant| Some((grant.api, view(&index, application, &grant)?)));
    let rest = shown.filter(|(api, _)| after.is_none_or(|after| *api > after));
    let found = page(
        rest,
        limit(&call)?,
        |_| true,
        |(api, _)| api.to_string(),
        |(_, view)| view.clone(),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateGrant = call.json()?;
    let application = call.application()?;
    let api = api_of(&app.index(), &asked.api)?;
    let mode = asked
        .mode
        .as_deref()
        .map(|mode| choice("mode", mode, &MODES));
    let command = Command::AddGrant {
        application,
        api,
        mode: mode.transpose()?.unwrap_or_default(),
        scopes: texts("scopes", &asked.scopes)?,
    };
    let receipt = execute(&app, &call, command).await?;
    let mut answer = changed(&receipt, application, api)?;
    let place = format!("/applications/{application}/authorized-apis/{api}");
    answer.location = Some(call.location(&place));
    Ok(answer)
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let grant = application.grant(call.api(&index, "api_id")?);
    let shown = grant
        .and_then(|grant| view(&index, application, &grant))
        .ok_or_else(|| Failure::unknown("grant_unknown", "grant to", call.param("api_id")))?;
    Answer::json(&shown)
        .version(application.version)
        .from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangeGrant = call.json()?;
    let application = call.application()?;
    let api = call.api(&app.index(), "api_id")?;
    let mode = asked
        .mode
        .as_deref()
        .map(|mode| choice("mode", mode, &MODES));
    let command = Command::ChangeGrant {
        application,
        api,
        mode: mode.transpose()?,
        scopes: asked
            .scopes
            .map(|scopes| texts("scopes", &scopes))
            .transpose()?,
    };
    changed(&execute(&app, &call, command).await?, application, api)
}

pub(super) async fn put_details(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::PutGrantDetails = call.json()?;
    let application = call.application()?;
    let api = call.api(&app.index(), "api_id")?;
    let member = "authorization_details_types";
    let command = Command::ChangeGrantDetails {
        application,
        api,
        details: texts(member, &asked.authorization_details_types)?,
    };
    changed(&execute(&app, &call, command).await?, application, api)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let application = call.application()?;
    let api = call.api(&app.index(), "api_id")?;
    let receipt = execute(&app, &call, Command::RemoveGrant { application, api }).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn assign_role(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    let (application, role) = (call.application()?, call.role("role_id")?);
    let has = |index: &Index| {
        index
            .application(application)
            .is_some_and(|a| a.roles.contains(&role))
    };
    expect_there(&call, has(&app.index()))?;
    let receipt = execute(&app, &call, Command::AssignRole { application, role }).await?;
    if !has(&receipt.index) {
        return Err(Failure::Gone);
    }
    Answer::json(&api::AssignedRole {
        id: role.to_string(),
    })
    .version(version(&receipt, &Entity::Application(application))?)
    .at(receipt.position())
}

pub(super) async fn unassign_role(app: Arc<App>, call: Call) -> Outcome {
    let (application, role) = (call.application()?, call.role("role_id")?);
    let receipt = execute(&app, &call, Command::UnassignRole { application, role }).await?;
    Answer::empty().at(receipt.position())
}

/// The API resource that a body names, by its id or its identifier.
fn api_of(index: &Index, text: &str) -> Result<ApiId, Failure> {
    let found = index.api_identified(text).map(|api| api.id);
    found
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Failure::UnknownInBody {
            code: "api_resource_unknown",
            member: "api",
            what: "API resource",
            id: super::failure::shortened(text),
        })
}

fn changed(receipt: &Receipt, id: ApplicationId, api: ApiId) -> Outcome {
    let application = receipt.index.application(id).ok_or(Failure::Gone)?;
    let grant = application
        .grant(api)
        .and_then(|grant| view(&receipt.index, application, &grant));
    Answer::json(&grant.ok_or(Failure::Gone)?)
        .version(application.version)
        .at(receipt.position())
}

/// A grant as it is shown; its API resource is always there.
pub(crate) fn view(index: &Index, application: &Application, grant: &Grant) -> Option<api::Grant> {
    let api = index.api(grant.api)?;
    let (mode, _) = MODES.iter().find(|(_, mode)| *mode == grant.mode)?;
    let details = application.details(grant.api).iter();
    Some(api::Grant {
        api: api.id.to_string(),
        identifier: api.identifier.to_string(),
        mode: (*mode).to_owned(),
        scopes: api
            .names(&grant.scopes)
            .iter()
            .map(ToString::to_string)
            .collect(),
        authorization_details_types: details.map(ToString::to_string).collect(),
    })
}
