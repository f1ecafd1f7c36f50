//! `/access`: who can get which scopes, through what, and what of it nobody uses.

use super::call::{AsOf, Call};
use super::page::{after, cursor, limit, page};
use super::query::number;
use super::read::{self, blocking, turn};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::audit::access::{self, Access, Got, Place, Through, Usage, Wanted};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use writ_api as api;
use writ_core::{Application, ApplicationId, Index, Millis, ScopeName};
use writ_ledger::{Fault, Outcome as Decision};

/// Most records that are looked at for what is not used: some seconds of work.
const RECORDS: usize = 5_000_000;
/// One answer goes on to the end of an application, and ends when it has listed so many things.
const LISTED: usize = 5_000;
const DAY_MS: u64 = 86_400_000;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read::index(&app, &call).await?;
    let now = match call.as_of {
        None => app.now(),
        Some(AsOf::Position(_)) => index.last_at(),
        Some(AsOf::Time(time)) => time,
    };
    let after: Option<Place> = after(&call)?;
    let api = call.query("api_resource").map(|text| {
        let by_id = text.parse().ok().and_then(|id| index.api(id));
        let found = by_id.or_else(|| index.api_identified(text));
        found
            .map(|api| api.id)
            .ok_or_else(|| unknown("api_resource"))
    });
    let application = call.query("application").map(|text| {
        let id: Option<ApplicationId> = text.parse().ok();
        id.ok_or_else(|| unknown("application"))
    });
    let wanted = Wanted {
        application: application.transpose()?,
        api: api.transpose()?,
    };
    let scope = call.query("scope").map(str::to_owned);
    let (limit, of) = (limit(&call)?, Arc::clone(&index));
    // A million applications take their time, and this thread has others to answer.
    let found = blocking(&app, move |_| {
        Ok(page(
            access::review(&of, wanted, after),
            limit,
            |it: &Access| {
                let mut scopes = it.scopes.iter();
                let scope = scope.as_deref();
                scope.is_none_or(|name| scopes.any(|scope| scope.as_str() == name))
            },
            |it| Place(it.application.id, it.api.id).to_string(),
            |it| view(&of, it, now),
        ))
    })
    .await?;
    Answer::json(&found).from(&index)
}

fn unknown(what: &'static str) -> Failure {
    let detail = format!("the query parameter {what} must be the id of one (or its identifier)");
    Failure::malformed("query_malformed", detail)
}

fn view(index: &Index, it: &Access, now: Millis) -> api::Access {
    let (through, roles) = match &it.through {
        Through::Grant => ("grant", Vec::new()),
        Through::Roles(roles) => ("roles", roles.clone()),
        Through::Open => ("open", Vec::new()),
    };
    let named = |id: &writ_core::RoleId| {
        let role = index.role(*id)?;
        Some(api::RoleName {
            id: id.to_string(),
            name: role.name.to_string(),
        })
    };
    api::Access {
        application: it.application.id.to_string(),
        application_name: it.application.name.to_string(),
        unusable: access::unusable(&it.application, index.settings(), now).map(str::to_owned),
        api_resource: it.api.id.to_string(),
        identifier: it.api.identifier.to_string(),
        scopes: it.scopes.iter().map(ToString::to_string).collect(),
        through: through.to_owned(),
        roles: roles.iter().filter_map(named).collect(),
    }
}

/// What of a record says what was used.
#[derive(Deserialize)]
struct Glance<'a> {
    at: Millis,
    application: ApplicationId,
    #[serde(borrow)]
    credential: Credential<'a>,
    #[serde(default)]
    granted: Vec<ScopeName>,
    #[serde(default, borrow)]
    resources: Vec<Cow<'a, str>>,
    outcome: Decision,
}

#[derive(Deserialize)]
struct Credential<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

pub(super) async fn unused(app: Arc<App>, call: Call) -> Outcome {
    let index = app.index();
    let kept = u64::from(index.settings().issuance_retention_days);
    let days = call.query("days").and_then(number);
    let days = days.filter(|days| (1..=kept).contains(days));
    let days = days.ok_or_else(|| {
        let detail = format!(
            "the query parameter days must be there, from 1 to {kept}: records are not kept for \
             longer (setting issuance.retention_days)"
        );
        Failure::malformed("query_malformed", detail)
    })?;
    let after: Option<ApplicationId> = after(&call)?;
    let now = app.now();
    let since = Millis(now.0.saturating_sub(days * DAY_MS));
    let _turn = turn(&app.scans).await?;
    let answer = blocking(&app, move |app| {
        let usage = usage(app)?;
        let mut answer = api::UnusedAccess {
            since: since.to_string(),
            records_from: time(usage.first),
            grants: Vec::new(),
            applications: Vec::new(),
            credentials: Vec::new(),
            next: None,
        };
        for application in index.applications(after) {
            add_unused(&mut answer, &index, application, &usage, since, now);
            let listed = answer.grants.len() + answer.applications.len() + answer.credentials.len();
            if listed >= LISTED {
                answer.next = Some(cursor(application.id));
                break;
            }
        }
        Ok(answer)
    })
    .await?;
    Ok(Answer::json(&answer))
}

/// Adds what an application did not use.
fn add_unused(
    answer: &mut api::UnusedAccess,
    index: &Index,
    application: &Arc<Application>,
    usage: &Usage,
    since: Millis,
    now: Millis,
) {
    let before = |last: Option<Millis>| last.is_none_or(|last| last < since);
    let scope = |(scope, last): &(ScopeName, Option<Millis>)| api::UnusedScope {
        scope: scope.to_string(),
        last_used: time(*last),
    };
    let grants = access::unused(index, application, usage, since);
    answer.grants.extend(grants.map(|it| api::UnusedGrant {
        access: view(index, &it.access, now),
        unused: it.scopes.iter().map(scope).collect(),
    }));
    let last_token = usage.token(application.id);
    if before(last_token) {
        answer.applications.push(api::SilentApplication {
            application: application.id.to_string(),
            name: application.name.to_string(),
            last_token: time(last_token),
        });
    }
    for secret in &application.secrets {
        let credential = secret.id.to_string();
        let last = usage.credential(application.id, &credential);
        if before(last) {
            answer.credentials.push(api::UnusedCredential {
                application: application.id.to_string(),
                credential,
                last_used: time(last),
            });
        }
    }
}

fn time(at: Option<Millis>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// Goes through all records that there still are.
fn usage(app: &App) -> Result<Usage, Failure> {
    let (mut usage, mut count, mut damaged) = (Usage::default(), 0, None);
    app.issuances.scan(Millis(0), &mut |id, bytes| {
        count += 1;
        match serde_json::from_slice::<Glance<'_>>(bytes) {
            Ok(seen) => {
                let got = Got {
                    scopes: &seen.granted,
                    resources: &seen.resources,
                };
                let granted = (seen.outcome == Decision::Granted).then_some(got);
                usage.take(seen.at, seen.application, &seen.credential.id, granted);
            }
            Err(error) => damaged = Some(format!("record {id}: {error}")),
        }
        match count < RECORDS && damaged.is_none() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    if let Some(detail) = damaged {
        let path = "issuance".into();
        return Err(Fault::Damaged { path, detail }.into());
    }
    match count < RECORDS {
        true => Ok(usage),
        false => Err(Failure::Busy(
            "there are more records than can be gone through at once: take a copy, or keep them for less long",
        )),
    }
}
