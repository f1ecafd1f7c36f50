//! `/applications`: applications themselves. Their secrets are in `secrets.rs`, their grants and
//! roles in `grants.rs`.

use super::call::{Call, choice, optional, text, texts};
use super::change::{change as execute, made};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{
    Answer, Failure, Outcome, authentication, bounds, grants, initial_access_tokens, secrets,
};
use crate::app::App;
use std::collections::BTreeMap;
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    Application, ApplicationId, Audience, Command, Entity, Index, Labels, SenderConstraint,
    TokenSettings,
};
use writ_ledger::Receipt;

const AUDIENCES: [(&str, Audience); 2] =
    [("api", Audience::Api), ("client_id", Audience::ClientId)];

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let label = call.query("label").map(label).transpose()?;
    let found = page(
        index.applications(after(&call)?),
        limit(&call)?,
        |app| {
            let labels = app.labels().pairs();
            call.query("name")
                .is_none_or(|wanted| app.name.as_str() == wanted)
                && label.is_none_or(|(key, value)| labels.get(key).is_some_and(|v| &**v == value))
        },
        |app| app.id.to_string(),
        |app| view(&index, app),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateApplication = call.json()?;
    let command = Command::CreateApplication {
        id: ApplicationId(app.ids.next_id()),
        name: text("name", &asked.name)?,
        labels: labels(asked.labels)?,
        token_settings: token_settings(&asked.token_settings)?,
    };
    let receipt = execute(&app, &call, command).await?;
    let Some(Entity::Application(id)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let mut answer = changed(&receipt, id)?;
    answer.location = Some(call.location(&format!("/applications/{id}")));
    Ok(answer)
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let found = find(&call, &index)?;
    Answer::json(&view(&index, found))
        .version(found.version)
        .from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangeApplication = call.json()?;
    let id = call.application()?;
    let settings = asked.token_settings.as_ref().map(token_settings);
    let command = Command::ChangeApplication {
        id,
        name: optional("name", asked.name.as_deref())?,
        enabled: asked.enabled,
        labels: asked.labels.map(labels).transpose()?,
        token_settings: settings.transpose()?,
    };
    changed(&execute(&app, &call, command).await?, id)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let id = call.application()?;
    let command = Command::RemoveApplication {
        id,
        cascade: call.flag("cascade")?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn cut_tokens(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    let id = call.application()?;
    changed(
        &execute(&app, &call, Command::CutTokens { application: id }).await?,
        id,
    )
}

/// The application of a path, in an index.
pub(super) fn find<'a>(call: &Call, index: &'a Index) -> Result<&'a Arc<Application>, Failure> {
    let unknown = || Failure::unknown("application_unknown", "application", call.param("id"));
    index.application(call.application()?).ok_or_else(unknown)
}

fn changed(receipt: &Receipt, id: ApplicationId) -> Outcome {
    let app = receipt.index.application(id).ok_or(Failure::Gone)?;
    Answer::json(&view(&receipt.index, app))
        .version(app.version)
        .at(receipt.position())
}

fn label(filter: &str) -> Result<(&str, &str), Failure> {
    filter.split_once(':').ok_or_else(|| {
        Failure::malformed(
            "query_malformed",
            "the query parameter label must be key:value",
        )
    })
}

pub(super) fn labels(asked: BTreeMap<String, String>) -> Result<Labels, Failure> {
    let pairs = asked
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    Labels::new(pairs).map_err(|error| Failure::Value {
        member: "labels".to_owned(),
        expected: error.to_string(),
    })
}

fn token_settings(asked: &api::TokenSettings) -> Result<TokenSettings, Failure> {
    let audience = asked.audience.as_deref();
    let audience = audience.map(|name| choice("token_settings.audience", name, &AUDIENCES));
    let constraint = asked.sender_constraint.as_deref();
    let constraint = constraint.map(|name| {
        let member = "token_settings.sender_constraint";
        choice(member, name, &SenderConstraint::NAMED)
    });
    Ok(TokenSettings {
        audience: audience.transpose()?.unwrap_or_default(),
        extra_audiences: texts("token_settings.extra_audiences", &asked.extra_audiences)?,
        lifetime_seconds: asked.lifetime_seconds,
        sender_constraint: constraint.transpose()?.unwrap_or_default(),
    })
}

pub(super) fn view(index: &Index, app: &Application) -> api::Application {
    let settings = app.token_settings();
    let audience = AUDIENCES
        .iter()
        .find(|(_, audience)| *audience == settings.audience);
    let extra_audiences = settings
        .extra_audiences
        .iter()
        .map(ToString::to_string)
        .collect();
    let pairs = app.labels().pairs().iter();
    api::Application {
        id: app.id.to_string(),
        name: app.name.to_string(),
        enabled: app.enabled,
        labels: pairs
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        token_settings: api::TokenSettings {
            audience: audience.map(|(name, _)| (*name).to_owned()),
            extra_audiences,
            lifetime_seconds: settings.lifetime_seconds,
            sender_constraint: Some(settings.sender_constraint.as_str().to_owned()),
        },
        authentication: authentication::view(app.authentication()),
        quota: bounds::quota_view(app),
        token_exchange: bounds::exchange_view(app),
        registration: initial_access_tokens::registration_view(app),
        secrets: app.secrets.iter().map(secrets::view).collect(),
        authorized_apis: app
            .grants()
            .filter_map(|grant| grants::view(index, app, &grant))
            .collect(),
        roles: app
            .roles
            .iter()
            .map(|id| api::AssignedRole { id: id.to_string() })
            .collect(),
        tokens_cut_at: app.tokens_cut_at().map(|at| at.to_string()),
        created_at: app.created_at.to_string(),
        version: app.version.0,
    }
}
