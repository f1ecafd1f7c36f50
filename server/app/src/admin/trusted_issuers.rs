//! `/trusted-issuers`: whose tokens can prove applications.

use super::authentication::{key_set, keys_uri, registered_keys};
use super::call::{Call, optional, text};
use super::change::{change as execute, made};
use super::page::{after, limit, page};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::remote_keys::IssuerUri;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Command, Entity, Index, IssuerId, IssuerKeys, TrustedIssuer};
use writ_ledger::Receipt;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let found = page(
        index.trusted_issuers(after(&call)?),
        limit(&call)?,
        |issuer| {
            call.query("issuer")
                .is_none_or(|wanted| issuer.issuer.as_str() == wanted)
        },
        |issuer| issuer.id.to_string(),
        |issuer| view(issuer),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn create(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreateTrustedIssuer = call.json()?;
    let command = Command::CreateTrustedIssuer {
        issuer: text("issuer", &asked.issuer)?,
        name: text("name", &asked.name)?,
        keys: keys(&asked.keys, Some(&asked.issuer))?,
        omits_issuer: asked.omits_issuer,
    };
    let receipt = execute(&app, &call, command).await?;
    let Some(Entity::TrustedIssuer(id)) = made(&receipt) else {
        return Err(Failure::Gone);
    };
    let mut answer = changed(&receipt, id)?;
    answer.location = Some(call.location(&format!("/trusted-issuers/{id}")));
    Ok(answer)
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let unknown = || Failure::unknown("trusted_issuer_unknown", "trusted issuer", call.param("id"));
    let issuer = index.trusted_issuer(id(&call)?).ok_or_else(unknown)?;
    Answer::json(&view(issuer))
        .version(issuer.version)
        .from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangeTrustedIssuer = call.json()?;
    let id = id(&call)?;
    let index = app.index();
    // Where there is none the rules say so.
    let issuer = index.trusted_issuer(id).map(|known| known.issuer.as_str());
    let given = asked.keys.as_ref();
    let command = Command::ChangeTrustedIssuer {
        id,
        name: optional("name", asked.name.as_deref())?,
        keys: given.map(|given| keys(given, issuer)).transpose()?,
        omits_issuer: asked.omits_issuer,
    };
    changed(&execute(&app, &call, command).await?, id)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::RemoveTrustedIssuer { id: id(&call)? };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

fn id(call: &Call) -> Result<IssuerId, Failure> {
    call.id("id", "trusted_issuer_unknown", "trusted issuer")
}

/// The trusted issuer that a body names, by its id or the `iss` of its tokens.
///
/// # Errors
/// It names none.
pub(super) fn named(index: &Index, given: &str) -> Result<IssuerId, Failure> {
    let found = index.trusted_issuer_named(given).map(|issuer| issuer.id);
    found
        .or_else(|| given.parse().ok())
        .ok_or_else(|| Failure::UnknownInBody {
            code: "trusted_issuer_unknown",
            member: "trust",
            what: "trusted issuer",
            id: super::failure::shortened(given),
        })
}

/// Where the keys of an issuer come from; whoever discovers them must be able to ask for them.
fn keys(asked: &api::IssuerKeys, issuer: Option<&str>) -> Result<IssuerKeys, Failure> {
    let wrong = |member: &str, expected: String| Failure::Value {
        member: member.to_owned(),
        expected,
    };
    match asked {
        api::IssuerKeys::Discovery(false) => Err(wrong(
            "keys.discovery",
            "must be true, or give jwks_uri or jwks instead".to_owned(),
        )),
        api::IssuerKeys::Discovery(true) => match issuer.map(IssuerUri::parse) {
            Some(Err(error)) => Err(wrong("issuer", error.to_string())),
            Some(Ok(_)) | None => Ok(IssuerKeys::Discovery),
        },
        api::IssuerKeys::JwksUri(uri) => Ok(IssuerKeys::JwksUri(keys_uri("keys.jwks_uri", uri)?)),
        api::IssuerKeys::Jwks(set) => {
            Ok(IssuerKeys::Keys(registered_keys("keys.jwks", Some(set))?))
        }
    }
}

fn changed(receipt: &Receipt, id: IssuerId) -> Outcome {
    let issuer = receipt.index.trusted_issuer(id).ok_or(Failure::Gone)?;
    Answer::json(&view(issuer))
        .version(issuer.version)
        .at(receipt.position())
}

pub(super) fn view(issuer: &TrustedIssuer) -> api::TrustedIssuer {
    api::TrustedIssuer {
        id: issuer.id.to_string(),
        issuer: issuer.issuer.to_string(),
        name: issuer.name.to_string(),
        keys: match &issuer.keys {
            IssuerKeys::Discovery => api::IssuerKeys::Discovery(true),
            IssuerKeys::JwksUri(uri) => api::IssuerKeys::JwksUri(uri.to_string()),
            IssuerKeys::Keys(keys) => api::IssuerKeys::Jwks(key_set(keys)),
        },
        omits_issuer: issuer.omits_issuer,
        created_at: issuer.created_at.to_string(),
        version: issuer.version.0,
    }
}
