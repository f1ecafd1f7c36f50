//! `/api-resources/{id}/authorization-details-types`: finer permissions than scopes (RFC 9396).

use super::api_resources::find;
use super::call::{Call, optional, text};
use super::change::{change as execute, expect_there, version};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::authorization_details::Schema;
use serde_json::Value;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Command, DetailsType, DetailsTypeName, Entity, JsonText};

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let api = find(&call, &index)?;
    let found = api.details_type(call.param("name"));
    Answer::json(&view(found.ok_or_else(|| unknown(&call))?))
        .version(api.version)
        .from(&index)
}

pub(super) async fn put(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::PutDetailsType = call.json()?;
    let index = app.index();
    let id = call.api(&index, "id")?;
    let name: DetailsTypeName = text("the name of the type", call.param("name"))?;
    let known = index.api(id);
    let there = known.is_some_and(|api| api.details_type(name.as_str()).is_some());
    expect_there(&call, there)?;
    let schema = asked.schema.as_ref();
    let details_type = DetailsType {
        name: name.clone(),
        description: optional("description", asked.description.as_deref())?,
        schema: schema.map(check_schema).transpose()?,
    };
    let command = Command::PutDetailsType {
        api: id,
        details_type,
    };
    let receipt = execute(&app, &call, command).await?;
    let api = receipt.index.api(id).ok_or(Failure::Gone)?;
    let put = api.details_type(name.as_str()).ok_or(Failure::Gone)?;
    Answer::json(&view(put))
        .version(version(&receipt, &Entity::ApiResource(id))?)
        .at(receipt.position())
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let api = call.api(&app.index(), "id")?;
    let name = call.param("name").parse().map_err(|_| unknown(&call))?;
    let command = Command::RemoveDetailsType {
        api,
        name,
        cascade: call.flag("cascade")?,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

/// A JSON Schema as it is kept: one that can be applied (`authorization_details/schema.rs`).
fn check_schema(given: &Value) -> Result<JsonText, Failure> {
    let json = given.to_string();
    match Schema::compile(&json) {
        Ok(_) => Ok(JsonText { json: json.into() }),
        Err(fault) => Err(Failure::Value {
            member: "schema".to_owned(),
            expected: fault.to_string(),
        }),
    }
}

fn unknown(call: &Call) -> Failure {
    Failure::unknown(
        "details_type_unknown",
        "type of authorization details",
        call.param("name"),
    )
}

/// A type of authorization details, as it is shown.
pub(super) fn view(known: &DetailsType) -> api::DetailsType {
    let schema = known.schema.as_ref();
    api::DetailsType {
        name: known.name.to_string(),
        description: known.description.as_ref().map(ToString::to_string),
        schema: schema.and_then(|text| serde_json::from_str(&text.json).ok()),
    }
}
