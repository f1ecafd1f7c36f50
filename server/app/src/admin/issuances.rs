//! `/issuances`: the records of token decisions as they are stored, byte for byte.

use super::call::Call;
use super::page::{after, cursor, limit};
use super::read::{blocking, turn};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use writ_api::Page;
use writ_core::{ApplicationId, Jti, Millis};
use writ_ledger::{Fault, IssuanceSpan, Outcome as Decision};

/// Most records that one page looks at, and most bytes of them: some 20 ms of work, so that a search
/// over months goes in steps and holds up nobody.
const SCANNED_RECORDS: usize = 10_000;
const SCANNED_BYTES: usize = 16 << 20;
/// A page ends when its records have this many bytes.
const PAGE_BYTES: usize = 1 << 20;

struct Wanted {
    limit: usize,
    span: IssuanceSpan,
    filter: Filter,
}

/// What records are asked for; all of it must be so.
#[derive(Default)]
struct Filter {
    application: Option<ApplicationId>,
    credential: Option<String>,
    outcome: Option<Ending>,
    scope: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Granted,
    Denied,
    Fault,
}

/// What a filter looks at.
#[derive(Deserialize)]
struct Glance<'a> {
    application: ApplicationId,
    #[serde(borrow)]
    credential: Credential<'a>,
    #[serde(default, borrow)]
    granted: Vec<Cow<'a, str>>,
    outcome: Decision,
}

#[derive(Deserialize)]
struct Credential<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let wanted = wanted(&call)?;
    let _turn = turn(&app.scans).await?;
    let page = blocking(&app, move |app| Ok(collect(app, &wanted)?)).await?;
    Ok(Answer::json(&page))
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let jti: Jti = call.id("jti", "issuance_unknown", "issuance")?;
    let found = blocking(&app, move |app| Ok(app.issuances.find_bytes(jti)?)).await?;
    let unknown = || Failure::unknown("issuance_unknown", "issuance", &jti.to_string());
    Ok(Answer {
        body: Some(found.ok_or_else(unknown)?),
        ..Answer::empty()
    })
}

fn wanted(call: &Call) -> Result<Wanted, Failure> {
    let malformed = |detail| Failure::malformed("query_malformed", detail);
    let outcome = |text: &str| match text {
        "granted" => Ok(Ending::Granted),
        "denied" => Ok(Ending::Denied),
        "fault" => Ok(Ending::Fault),
        _ => Err(malformed(
            "the query parameter outcome must be granted, denied or fault",
        )),
    };
    let filter = Filter {
        application: call.application_asked()?,
        credential: call.query("credential").map(str::to_owned),
        outcome: call.query("outcome").map(outcome).transpose()?,
        scope: call.query("scope").map(str::to_owned),
    };
    // The moment of `until` itself is not in it, so that spans join.
    let until = call.time("until")?.unwrap_or(Millis::MAX);
    let span = IssuanceSpan {
        from: call.time("since")?.unwrap_or_default(),
        until: Millis(until.0.saturating_sub(1)),
        place: after(call)?,
    };
    Ok(Wanted {
        limit: limit(call)?,
        span,
        filter,
    })
}

fn collect(app: &App, wanted: &Wanted) -> Result<Page<Box<RawValue>>, Fault> {
    let Wanted {
        limit,
        span,
        filter,
    } = wanted;
    let (mut items, mut bytes_kept) = (Vec::new(), 0);
    let (mut scanned, mut scanned_bytes) = (0, 0);
    let mut damaged = None;
    let next = app.issuances.walk(*span, &mut |_, id, bytes| {
        let full = items.len() == *limit || bytes_kept >= PAGE_BYTES;
        if full || scanned == SCANNED_RECORDS || scanned_bytes >= SCANNED_BYTES {
            return ControlFlow::Break(());
        }
        scanned += 1;
        scanned_bytes += bytes.len();
        if !(span.from..=span.until).contains(&id.millis()) {
            return ControlFlow::Continue(());
        }
        match filter.kept(bytes) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(record)) => {
                bytes_kept += bytes.len();
                items.push(record);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(Fault::Damaged {
                    path: "issuance".into(),
                    detail: format!("record {id}: {error}"),
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

impl Filter {
    /// The record, if it is asked for.
    fn kept(&self, bytes: &[u8]) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        let all = matches!(
            self,
            Self {
                application: None,
                credential: None,
                outcome: None,
                scope: None
            }
        );
        if !all && !self.fits(&serde_json::from_slice(bytes)?) {
            return Ok(None);
        }
        serde_json::from_slice(bytes).map(Some)
    }

    fn fits(&self, record: &Glance<'_>) -> bool {
        let ending = match record.outcome {
            Decision::Granted => Ending::Granted,
            Decision::Denied { .. } => Ending::Denied,
            Decision::Fault { .. } => Ending::Fault,
        };
        self.application.is_none_or(|id| id == record.application)
            && (self.credential.as_ref()).is_none_or(|id| *id == record.credential.id)
            && self.outcome.is_none_or(|outcome| outcome == ending)
            && (self.scope.as_ref()).is_none_or(|scope| record.granted.iter().any(|s| s == scope))
    }
}
