//! `/access`: who can get which scopes, through what, and what of it nobody uses.

use super::call::Call;
use super::page::{after, limit, page};
use super::query::number;
use super::read::{self, blocking, turn};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::audit::access::{self, Access, Place, Through, Usage};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use writ_api as api;
use writ_core::{ApplicationId, Index, Millis, ScopeName};
use writ_ledger::{Fault, Outcome as Decision};

/// Most records that are looked at for what is not used: some seconds of work.
const RECORDS: usize = 5_000_000;
const DAY_MS: u64 = 86_400_000;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read::index(&app, &call).await?;
    let now = match call.as_of {
        None => app.now(),
        Some(_) => index.last_at(),
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
    let (api, application) = (api.transpose()?, application.transpose()?);
    let scope = call.query("scope");
    let kept = |it: &Access| {
        application.is_none_or(|id| it.application.id == id)
            && api.is_none_or(|id| it.api.id == id)
            && scope.is_none_or(|name| it.scopes.iter().any(|scope| scope.as_str() == name))
    };
    // Only one is wanted: the others need not be gone through.
    let start = match (application, after) {
        (Some(id), None) => index
            .applications(None)
            .take_while(|one| one.id < id)
            .last()
            .map(|one| Place(one.id, writ_core::ApiId(u32::MAX))),
        _ => after,
    };
    let found = page(
        access::review(&index, start),
        limit(&call)?,
        kept,
        |it| Place(it.application.id, it.api.id).to_string(),
        |it| view(&index, it, now),
    );
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
        unusable: access::unusable(&it.application, now).map(str::to_owned),
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
    outcome: Decision,
}

#[derive(Deserialize)]
struct Credential<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

pub(super) async fn unused(app: Arc<App>, call: Call) -> Outcome {
    let days = call
        .query("days")
        .and_then(number)
        .filter(|days| (1..=3_650).contains(days));
    let days = days.ok_or_else(|| {
        let detail = "the query parameter days must be there, from 1 to 3650";
        Failure::malformed("query_malformed", detail)
    })?;
    let index = app.index();
    let now = app.now();
    let since = Millis(now.0.saturating_sub(days * DAY_MS));
    let _turn = turn(&app.scans).await?;
    let usage = blocking(&app, usage).await?;
    let time = |at: Option<Millis>| at.map(|at| at.to_string());
    let scope = |(scope, last): &(ScopeName, Option<Millis>)| api::UnusedScope {
        scope: scope.to_string(),
        last_used: time(*last),
    };
    let grants = access::unused(&index, &usage, since).map(|it| api::UnusedGrant {
        access: view(&index, &it.access, now),
        unused: it.scopes.iter().map(scope).collect(),
    });
    let before = |last: Option<Millis>| last.is_none_or(|last| last < since);
    let silent = index
        .applications(None)
        .filter(|one| before(usage.token(one.id)));
    let credentials = index.applications(None).flat_map(|one| {
        one.secrets.iter().map(|secret| api::UnusedCredential {
            application: one.id.to_string(),
            credential: secret.id.to_string(),
            last_used: time(usage.credential(one.id, &secret.id.to_string())),
        })
    });
    let old = |it: &api::UnusedCredential| {
        let last: Option<Millis> = it.last_used.as_ref().and_then(|at| at.parse().ok());
        before(last)
    };
    let answer = api::UnusedAccess {
        since: since.to_string(),
        records_from: time(usage.first),
        grants: grants.collect(),
        applications: silent
            .map(|one| api::SilentApplication {
                application: one.id.to_string(),
                name: one.name.to_string(),
                last_token: time(usage.token(one.id)),
            })
            .collect(),
        credentials: credentials.filter(old).collect(),
    };
    Ok(Answer::json(&answer))
}

/// Goes through all records that there still are.
fn usage(app: &App) -> Result<Usage, Failure> {
    let (mut usage, mut count, mut damaged) = (Usage::default(), 0, None);
    app.issuances.scan(Millis(0), &mut |id, bytes| {
        count += 1;
        match serde_json::from_slice::<Glance<'_>>(bytes) {
            Ok(seen) => {
                let granted = (seen.outcome == Decision::Granted).then_some(&*seen.granted);
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
