//! `/initial-access-tokens`: by which tokens applications register themselves (RFC 7591). A token
//! is made here, shown in this one answer, and known afterwards as a digest only. Also the end of
//! an application's own management, `/applications/{id}/registration`.

use super::applications::labels;
use super::authentication::methods;
use super::call::{Call, optional, text, texts};
use super::change::{change as execute, made};
use super::page::{after, limit, page};
use super::read::index as read;
use super::secrets::ALREADY_SHOWN;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::credentials::{Kind, Secret};
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    Application, AuthenticationMethod, BoundGrant, Command, CredentialDigest, Entity, Index,
    InitialAccessToken, InitialAccessTokenId, RegistrationBounds,
};

/// How long a token lives where the request does not say.
const LIFETIME_SECONDS: u64 = 86_400;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let found = page(
        index.initial_access_tokens(after(&call)?),
        limit(&call)?,
        |_| true,
        |token| token.id.to_string(),
        |token| view(&index, token),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateInitialAccessToken = call.json()?;
    let expires_at = optional("expires_at", asked.expires_at.as_deref())?;
    let token = Secret::of(Kind::InitialAccessToken, app.random.as_ref());
    let methods = match &asked.methods[..] {
        [] => vec![AuthenticationMethod::PrivateKeyJwt],
        given => methods(given)?,
    };
    let index = app.index();
    let grants = asked.grants.iter().enumerate();
    let command = Command::CreateInitialAccessToken {
        name: text("name", &asked.name)?,
        digest: CredentialDigest(token.digest()),
        expires_at: expires_at.unwrap_or(app.now().plus_seconds(LIFETIME_SECONDS)),
        registrations: asked.registrations.unwrap_or(1),
        bounds: RegistrationBounds {
            methods,
            name_prefix: optional("name_prefix", asked.name_prefix.as_deref())?,
        },
        labels: labels(asked.labels.clone())?,
        grants: grants
            .map(|(i, grant)| bound_grant(&index, i, grant))
            .collect::<Result<_, _>>()?,
    };
    let receipt = execute(&app, &call, command).await?;
    let Some(Entity::InitialAccessToken(id)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let stored = receipt.index.initial_access_token(id);
    let stored = stored.ok_or(Failure::Gone)?;
    // Only the call that made it can show it: nobody else ever had it.
    let mine = receipt.repeat.is_none();
    Answer::json(&api::NewInitialAccessToken {
        id: id.to_string(),
        token: mine.then(|| token.expose().to_owned()),
        code: (!mine).then(|| ALREADY_SHOWN.to_owned()),
        registration_endpoint: format!("{}/oauth2/register", app.issuer.as_str()),
        expires_at: stored.expires_at.to_string(),
        registrations: stored.registrations,
    })
    .version(stored.version)
    .location(call.location(&format!("/initial-access-tokens/{id}")))
    .at(receipt.position())
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let unknown = || unknown(call.param("id"));
    let token = index.initial_access_token(id(&call)?).ok_or_else(unknown)?;
    Answer::json(&view(&index, token))
        .version(token.version)
        .from(&index)
}

pub(super) async fn revoke(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::RevokeInitialAccessToken { id: id(&call)? };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn revoke_registration(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::RevokeRegistration {
        application: call.application()?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

fn id(call: &Call) -> Result<InitialAccessTokenId, Failure> {
    let text = call.param("id");
    text.parse().map_err(|_| unknown(text))
}

fn unknown(id: &str) -> Failure {
    Failure::unknown("initial_access_token_unknown", "initial access token", id)
}

fn bound_grant(index: &Index, i: usize, asked: &api::BoundGrant) -> Result<BoundGrant, Failure> {
    let found = index.api_identified(&asked.api).map(|api| api.id);
    let api = found.or_else(|| asked.api.parse().ok());
    Ok(BoundGrant {
        api: api.ok_or_else(|| Failure::UnknownInBody {
            code: "api_resource_unknown",
            member: "grants",
            what: "API resource",
            id: super::failure::shortened(&asked.api),
        })?,
        scopes: texts(&format!("grants[{i}].scopes"), &asked.scopes)?,
    })
}

pub(super) fn view(index: &Index, token: &InitialAccessToken) -> api::InitialAccessToken {
    let grants = token.grants.iter().filter_map(|(id, bits)| {
        let api = index.api(*id)?;
        let scopes = api.names(&bits.intersection(&api.all_scopes()));
        Some(api::BoundGrant {
            api: id.to_string(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
        })
    });
    let labels = token.labels.pairs().iter();
    let prefix = token.bounds.name_prefix.as_ref();
    api::InitialAccessToken {
        id: token.id.to_string(),
        name: token.name.to_string(),
        expires_at: token.expires_at.to_string(),
        registrations: token.registrations,
        registered: token.registered,
        methods: names(&token.bounds.methods),
        name_prefix: prefix.map(ToString::to_string),
        labels: labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        grants: grants.collect(),
        created_at: token.created_at.to_string(),
        version: token.version.0,
    }
}

/// That an application registered itself, as it is shown.
pub(super) fn registration_view(application: &Application) -> Option<api::Registration> {
    let own = application.registration()?;
    Some(api::Registration {
        initial_access_token: own.token.to_string(),
        methods: names(&own.bounds.methods),
        name_prefix: own.bounds.name_prefix.as_ref().map(ToString::to_string),
    })
}

fn names(methods: &[AuthenticationMethod]) -> Vec<String> {
    methods.iter().map(ToString::to_string).collect()
}
