//! `/api-resources`: API resources and their scopes.

use super::call::{Call, choice, optional, text, texts};
use super::change::{change as execute, expect_there, made, version};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{Answer, Failure, Outcome, details_types};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    Algorithm, ApiResource, Command, Entity, Index, NewScope, ProfileChange, Scope,
    SenderConstraint, TokenProfile, TokenType,
};

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let found = page(
        index.apis(after(&call)?),
        limit(&call)?,
        |api| {
            call.query("identifier")
                .is_none_or(|wanted| api.identifier.as_str() == wanted)
        },
        |api| api.id.to_string(),
        |api| view(api),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateApiResource = call.json()?;
    let command = Command::CreateApiResource {
        identifier: text("identifier", &asked.identifier)?,
        name: text("name", &asked.name)?,
        requires_authorization: asked.requires_authorization,
        profile: TokenProfile::default().with(profile(&asked.profile)?),
        guards: texts("guards", &asked.guards)?,
        scopes: asked
            .scopes
            .iter()
            .enumerate()
            .map(new_scope)
            .collect::<Result<_, _>>()?,
    };
    let receipt = execute(&app, &call, command).await?;
    let Some(Entity::ApiResource(id)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let api = receipt.index.api(id).ok_or(Failure::Gone)?;
    Answer::json(&view(api))
        .version(api.version)
        .location(call.location(&format!("/api-resources/{id}")))
        .at(receipt.position())
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let api = find(&call, &index)?;
    Answer::json(&view(api)).version(api.version).from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangeApiResource = call.json()?;
    let id = call.api(&app.index(), "id")?;
    let command = Command::ChangeApiResource {
        id,
        name: optional("name", asked.name.as_deref())?,
        requires_authorization: asked.requires_authorization,
        profile: profile(&asked.profile)?,
        guards: asked
            .guards
            .map(|guards| texts("guards", &guards))
            .transpose()?,
    };
    let receipt = execute(&app, &call, command).await?;
    let api = receipt.index.api(id).ok_or(Failure::Gone)?;
    Answer::json(&view(api))
        .version(api.version)
        .at(receipt.position())
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let id = call.api(&app.index(), "id")?;
    let command = Command::RemoveApiResource {
        id,
        cascade: call.flag("cascade")?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn show_scope(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let api = find(&call, &index)?;
    let scope = find_scope(api, call.param("name")).ok_or_else(|| no_scope(&call))?;
    Answer::json(&scope_view(scope))
        .version(api.version)
        .from(&index)
}

pub(super) async fn put_scope(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::PutScope = call.json()?;
    let index = app.index();
    let id = call.api(&index, "id")?;
    let name = call.param("name");
    expect_there(
        &call,
        index.api(id).is_some_and(|api| api.bit(name).is_some()),
    )?;
    let description = optional("description", asked.description.as_deref())?;
    let scope = NewScope {
        name: text("the name of the scope", name)?,
        description,
    };
    let receipt = execute(&app, &call, Command::PutScope { api: id, scope }).await?;
    let api = receipt.index.api(id).ok_or(Failure::Gone)?;
    let scope = find_scope(api, name).ok_or(Failure::Gone)?;
    Answer::json(&scope_view(scope))
        .version(version(&receipt, &Entity::ApiResource(id))?)
        .at(receipt.position())
}

pub(super) async fn remove_scope(app: Arc<App>, call: Call) -> Outcome {
    let api = call.api(&app.index(), "id")?;
    let name = call.param("name").parse().map_err(|_| no_scope(&call))?;
    let command = Command::RemoveScope {
        api,
        name,
        cascade: call.flag("cascade")?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

/// The API resource of a path, in an index.
pub(super) fn find<'a>(call: &Call, index: &'a Index) -> Result<&'a Arc<ApiResource>, Failure> {
    let unknown = || Failure::unknown("api_resource_unknown", "API resource", call.param("id"));
    index.api(call.api(index, "id")?).ok_or_else(unknown)
}

fn find_scope<'a>(api: &'a ApiResource, name: &str) -> Option<&'a Scope> {
    api.bit(name).and_then(|bit| api.scope(bit))
}

fn no_scope(call: &Call) -> Failure {
    Failure::unknown("scope_unknown", "scope", call.param("name"))
}

/// Algorithms by name.
pub(super) fn algorithm(member: &str, name: &str) -> Result<Algorithm, Failure> {
    choice(
        member,
        name,
        &Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm)),
    )
}

fn profile(asked: &api::ChangeTokenProfile) -> Result<ProfileChange, Failure> {
    let types = [TokenType::AtJwt, TokenType::Jwt].map(|typ| (typ.as_str(), typ));
    let typ = asked
        .typ
        .as_deref()
        .map(|typ| choice("profile.typ", typ, &types));
    let name = asked.algorithm.as_deref();
    let algorithm = name.map(|name| algorithm("profile.algorithm", name));
    Ok(ProfileChange {
        algorithm: algorithm.transpose()?,
        typ: typ.transpose()?,
        lifetime_seconds: asked.lifetime_seconds,
        sender_constraint: asked
            .sender_constraint
            .as_deref()
            .map(|name| choice("profile.sender_constraint", name, &SenderConstraint::NAMED))
            .transpose()?,
    })
}

fn new_scope((i, asked): (usize, &api::Scope)) -> Result<NewScope, Failure> {
    let description = asked.description.as_deref();
    Ok(NewScope {
        name: text(&format!("scopes[{i}].name"), &asked.name)?,
        description: optional(&format!("scopes[{i}].description"), description)?,
    })
}

pub(super) fn view(api: &ApiResource) -> api::ApiResource {
    let mut scopes: Vec<api::Scope> = api.scopes().map(|(_, scope)| scope_view(scope)).collect();
    scopes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    api::ApiResource {
        id: api.id.to_string(),
        identifier: api.identifier.to_string(),
        name: api.name.to_string(),
        requires_authorization: api.requires_authorization,
        profile: api::TokenProfile {
            algorithm: api.profile.algorithm.to_string(),
            typ: api.profile.typ.as_str().to_owned(),
            lifetime_seconds: api.profile.lifetime_seconds,
            sender_constraint: api.profile.sender_constraint.as_str().to_owned(),
        },
        scopes,
        authorization_details_types: api.details_types.iter().map(details_types::view).collect(),
        guards: api.guards.iter().map(ToString::to_string).collect(),
        created_at: api.created_at.to_string(),
        version: api.version.0,
    }
}

fn scope_view(scope: &Scope) -> api::Scope {
    let description = scope.description.as_ref().map(ToString::to_string);
    api::Scope {
        name: scope.name.to_string(),
        description,
    }
}
