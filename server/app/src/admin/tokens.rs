//! `/tokens/revoke` and the token preview.

use super::applications::find;
use super::call::{Call, optional, text};
use super::change::change as execute;
use super::read::index as read;
use super::{Answer, Outcome};
use crate::app::App;
use crate::issue::denial_code;
use serde_json::json;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Ask, Command, Denial, Entitled, Index, authorize, limits};

pub(super) async fn revoke(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::RevokeToken = call.json()?;
    // Log time may be ahead of the clock; revocations are kept by log time.
    let now = app.now().max(app.index().last_at());
    let latest = now.plus_seconds(u64::from(limits::LIFETIME_MAX_SECONDS));
    let command = Command::RevokeToken {
        jti: text("jti", &asked.jti)?,
        application: text("application", &asked.application)?,
        expires_at: optional("expires_at", asked.expires_at.as_deref())?.unwrap_or(latest),
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

/// Judges and explains, as the token path would, and signs nothing.
pub(super) async fn preview(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::PreviewToken = call.json()?;
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let resources: Vec<&str> = asked.resource.iter().map(String::as_str).collect();
    let ask = Ask {
        scope: asked.scope.as_deref(),
        resources: &resources,
    };
    let preview = match authorize(&index, application.id, ask) {
        Ok(entitled) => granted(&app, &index, &entitled),
        Err(denial) => denied(&index, &denial),
    };
    Answer::json(&preview).from(&index)
}

fn granted(app: &App, index: &Index, entitled: &Entitled) -> api::TokenPreview {
    let key = index.active_key(entitled.algorithm);
    let header = json!({
        "alg": entitled.algorithm.as_str(),
        "typ": entitled.typ.as_str(),
        "kid": key.map(|key| key.kid.as_str()),
    });
    let id = entitled.application.id.to_string();
    let audience = match entitled.audience.as_slice() {
        [one] => json!(**one),
        several => several.iter().map(|one| &**one).collect(),
    };
    let names: Vec<&str> = entitled
        .scopes
        .iter()
        .map(writ_core::ScopeName::as_str)
        .collect();
    let mut claims = json!({
        "iss": app.issuer.as_str(),
        "sub": id,
        "aud": audience,
        "client_id": id,
    });
    if !names.is_empty() {
        claims["scope"] = json!(names.join(" "));
    }
    api::TokenPreview {
        granted: true,
        as_of: entitled.as_of.0,
        header: Some(header),
        claims: Some(claims),
        lifetime_seconds: Some(entitled.lifetime_seconds),
        dropped: entitled.dropped.iter().map(ToString::to_string).collect(),
        error: None,
        explanation: None,
        policies: Vec::new(),
    }
}

fn denied(index: &Index, denial: &Denial) -> api::TokenPreview {
    api::TokenPreview {
        granted: false,
        as_of: index.head().unwrap_or_default().0,
        header: None,
        claims: None,
        lifetime_seconds: None,
        dropped: Vec::new(),
        error: Some(denial_code(denial).as_str().to_owned()),
        explanation: Some(denial.to_string()),
        policies: Vec::new(),
    }
}
