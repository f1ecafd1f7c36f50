//! `/settings`: what is set for the server as a whole.

use super::call::{Call, choice};
use super::change::change as execute;
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    Command, OmittedScopes, RecordMode, SecurityProfile, Settings, SettingsChange,
    UnauthorizedScopes,
};

const UNAUTHORIZED: [(&str, UnauthorizedScopes); 2] = [
    ("reject", UnauthorizedScopes::Reject),
    ("drop", UnauthorizedScopes::Drop),
];
const OMITTED: [(&str, OmittedScopes); 2] =
    [("none", OmittedScopes::None), ("all", OmittedScopes::All)];
const RECORD: [(&str, RecordMode); 3] = [
    ("durable", RecordMode::Durable),
    ("buffered", RecordMode::Buffered),
    ("off", RecordMode::Off),
];

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let settings = index.settings();
    Answer::json(&view(settings))
        .version(settings.version)
        .from(&index)
}

pub(super) async fn change(app: Arc<App>, call: Call) -> Outcome {
    let change = parse(&call.json()?)?;
    let receipt = execute(&app, &call, Command::ChangeSettings { change }).await?;
    let settings = receipt.index.settings();
    Answer::json(&view(settings))
        .version(settings.version)
        .at(receipt.position())
}

fn parse(asked: &api::Settings) -> Result<SettingsChange, Failure> {
    fn one_of<T: Copy>(
        member: &str,
        given: Option<&str>,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, Failure> {
        given
            .map(|given| choice(member, given, choices))
            .transpose()
    }
    let unauthorized = asked.scopes_unauthorized.as_deref();
    let (omitted, record) = (
        asked.scopes_omitted.as_deref(),
        asked.issuance_record.as_deref(),
    );
    Ok(SettingsChange {
        scopes_unauthorized: one_of("scopes.unauthorized", unauthorized, &UNAUTHORIZED)?,
        scopes_omitted: one_of("scopes.omitted", omitted, &OMITTED)?,
        scopes_combine_apis: asked.scopes_combine_apis,
        tokens_lifetime_seconds: asked.tokens_lifetime_seconds,
        issuance_record: one_of("issuance.record", record, &RECORD)?,
        issuance_source_address: asked.issuance_source_address,
        issuance_retention_days: asked.issuance_retention_days,
        issuance_retention_bytes: asked.issuance_retention_bytes,
        keys_rotate_after_days: asked.keys_rotate_after_days,
        keys_publish_ahead_seconds: asked.keys_publish_ahead_seconds,
        jwks_max_age_seconds: asked.jwks_max_age_seconds,
        security_profile: one_of(
            "security.profile",
            asked.security_profile.as_deref(),
            &SecurityProfile::NAMED,
        )?,
        dpop_require_nonce: asked.dpop_require_nonce,
    })
}

pub(super) fn view(settings: &Settings) -> api::Settings {
    fn name<T: PartialEq>(choices: &[(&str, T)], value: &T) -> Option<String> {
        choices
            .iter()
            .find(|(_, choice)| choice == value)
            .map(|(name, _)| (*name).to_owned())
    }
    api::Settings {
        scopes_unauthorized: name(&UNAUTHORIZED, &settings.scopes_unauthorized),
        scopes_omitted: name(&OMITTED, &settings.scopes_omitted),
        scopes_combine_apis: Some(settings.scopes_combine_apis),
        tokens_lifetime_seconds: Some(settings.tokens_lifetime_seconds),
        issuance_record: name(&RECORD, &settings.issuance_record),
        issuance_source_address: Some(settings.issuance_source_address),
        issuance_retention_days: Some(settings.issuance_retention_days),
        issuance_retention_bytes: Some(settings.issuance_retention_bytes),
        keys_rotate_after_days: Some(settings.keys_rotate_after_days),
        keys_publish_ahead_seconds: Some(settings.keys_publish_ahead_seconds),
        jwks_max_age_seconds: Some(settings.jwks_max_age_seconds),
        security_profile: Some(settings.security_profile.as_str().to_owned()),
        dpop_require_nonce: Some(settings.dpop_require_nonce),
    }
}
