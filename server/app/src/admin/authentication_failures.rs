//! `/authentication-failures`: how often, and why, somebody did not prove who they are.

use super::call::Call;
use super::page::{after, cursor, limit};
use super::read::{blocking, turn};
use super::{Answer, Outcome};
use crate::app::App;
use crate::issue::failures::{self, Written};
use serde_json::value::RawValue;
use std::ops::ControlFlow;
use std::sync::Arc;
use writ_api::Page;
use writ_core::{ApplicationId, Millis};
use writ_ledger::{FailurePlace, FailureRow, Fault};

/// Most rows that one page looks at.
const SCANNED: usize = 10_000;

struct Wanted {
    from: FailurePlace,
    limit: usize,
    application: Option<ApplicationId>,
    reason: Option<String>,
    since: Millis,
    until: Millis,
}

impl Wanted {
    /// The row, if it is asked for.
    fn kept(&self, bytes: &[u8]) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        match self.has(&serde_json::from_slice(bytes)?) {
            true => serde_json::from_slice(bytes).map(Some),
            false => Ok(None),
        }
    }

    fn has(&self, row: &FailureRow) -> bool {
        (self.application.is_none() || self.application == row.application)
            && (self.reason.as_deref()).is_none_or(|reason| *reason == *row.reason)
            && row.last >= self.since
            && row.first < self.until
    }
}

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let since = call.time("since")?.unwrap_or_default();
    let wanted = Wanted {
        from: after(&call)?.unwrap_or(FailurePlace::since(since)),
        limit: limit(&call)?,
        application: call.application_asked()?,
        reason: call.query("reason").map(str::to_owned),
        since,
        until: call.time("until")?.unwrap_or(Millis::MAX),
    };
    let _turn = turn(&app.scans).await?;
    let page = blocking(&app, move |app| {
        // What happens now is seen now, or at the next look.
        failures::write(app, Written::Early)?;
        Ok(collect(app, &wanted)?)
    });
    Ok(Answer::json(&page.await?))
}

fn collect(app: &App, wanted: &Wanted) -> Result<Page<Box<RawValue>>, Fault> {
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut scanned = 0;
    let mut damaged = None;
    let next = app.failure_log.walk(wanted.from, &mut |bytes| {
        if items.len() == wanted.limit || scanned == SCANNED {
            return ControlFlow::Break(());
        }
        scanned += 1;
        match wanted.kept(bytes) {
            Ok(row) => {
                items.extend(row);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(Fault::Damaged {
                    path: "failures.redb".into(),
                    detail: error.to_string(),
                });
                ControlFlow::Break(())
            }
        }
    })?;
    match damaged {
        Some(fault) => Err(fault),
        None => Ok(Page {
            items,
            next: next.map(cursor),
        }),
    }
}
