//! `/applications/{id}/quota` and `/applications/{id}/token-exchange`: how many tokens an
//! application may get, and for whose.

use super::applications::find;
use super::call::{Call, choice, texts};
use super::change::{change as execute, expect_there};
use super::read::index as read;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Application, Command, ExchangeMode, Quota, QuotaMode, TokenExchange};

const QUOTA_MODES: [(&str, QuotaMode); 2] = [
    ("enforce", QuotaMode::Enforce),
    ("monitor", QuotaMode::Monitor),
];
const EXCHANGE_MODES: [(&str, ExchangeMode); 2] = [
    ("delegation", ExchangeMode::Delegation),
    ("impersonation", ExchangeMode::Impersonation),
];

pub(super) async fn show_quota(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let unknown = || Failure::unknown("quota_unknown", "quota of", call.param("id"));
    Answer::json(&quota_view(application).ok_or_else(unknown)?)
        .version(application.version)
        .from(&index)
}

pub(super) async fn put_quota(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::Quota = call.json()?;
    let id = call.application()?;
    let mode = asked.mode.as_deref();
    let mode = mode.map(|name| choice("mode", name, &QUOTA_MODES));
    let there = |application: &Arc<Application>| application.quota().is_some();
    expect_there(&call, app.index().application(id).is_some_and(there))?;
    let quota = Quota {
        per_minute: asked.per_minute,
        per_hour: asked.per_hour,
        per_day: asked.per_day,
        mode: mode.transpose()?.unwrap_or_default(),
    };
    let command = Command::ChangeQuota {
        application: id,
        quota: Some(quota),
    };
    let receipt = execute(&app, &call, command).await?;
    let application = receipt.index.application(id).ok_or(Failure::Gone)?;
    Answer::json(&quota_view(application).ok_or(Failure::Gone)?)
        .version(application.version)
        .at(receipt.position())
}

pub(super) async fn remove_quota(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::ChangeQuota {
        application: call.application()?,
        quota: None,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn show_exchange(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let unknown = || {
        Failure::unknown(
            "token_exchange_unknown",
            "token exchange of",
            call.param("id"),
        )
    };
    Answer::json(&exchange_view(application).ok_or_else(unknown)?)
        .version(application.version)
        .from(&index)
}

pub(super) async fn put_exchange(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::TokenExchange = call.json()?;
    let id = call.application()?;
    let mode = asked.mode.as_deref();
    let mode = mode.map(|name| choice("mode", name, &EXCHANGE_MODES));
    let there = |application: &Arc<Application>| application.exchange().is_some();
    expect_there(&call, app.index().application(id).is_some_and(there))?;
    let exchange = TokenExchange {
        subjects: texts("subjects", &asked.subjects)?,
        mode: mode.transpose()?.unwrap_or_default(),
    };
    let command = Command::ChangeExchange {
        application: id,
        exchange: Some(exchange),
    };
    let receipt = execute(&app, &call, command).await?;
    let application = receipt.index.application(id).ok_or(Failure::Gone)?;
    Answer::json(&exchange_view(application).ok_or(Failure::Gone)?)
        .version(application.version)
        .at(receipt.position())
}

pub(super) async fn remove_exchange(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::ChangeExchange {
        application: call.application()?,
        exchange: None,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

/// How many tokens an application may get, as it is shown.
pub(super) fn quota_view(application: &Application) -> Option<api::Quota> {
    let quota = application.quota()?;
    let mode = QUOTA_MODES.iter().find(|(_, mode)| *mode == quota.mode);
    Some(api::Quota {
        per_minute: quota.per_minute,
        per_hour: quota.per_hour,
        per_day: quota.per_day,
        mode: mode.map(|(name, _)| (*name).to_owned()),
    })
}

/// Whose tokens an application may exchange, as it is shown.
pub(super) fn exchange_view(application: &Application) -> Option<api::TokenExchange> {
    let exchange = application.exchange()?;
    let mode = EXCHANGE_MODES
        .iter()
        .find(|(_, mode)| *mode == exchange.mode);
    Some(api::TokenExchange {
        subjects: exchange.subjects.iter().map(ToString::to_string).collect(),
        mode: mode.map(|(name, _)| (*name).to_owned()),
    })
}
