//! `/events`: the log as it is stored, byte for byte.

use super::call::Call;
use super::page::limit;
use super::query::number;
use super::read::{self, blocking};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use writ_api::Page;
use writ_core::{Entity, Position, codec};
use writ_ledger::Fault;

/// An event with its place, as `writ_api::Event` says; the stored bytes are not written anew.
#[derive(Serialize)]
pub(super) struct Stored {
    pub position: u64,
    pub event: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What a page holds of an event to find the text of its reason.
#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

struct Wanted {
    from: u64,
    /// The position after the last that is there to be read.
    end: u64,
    limit: usize,
    entity: Option<Entity>,
    reasons: bool,
}

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let end = match read::position(&app, &call).await? {
        Some(position) => position.0 + 1,
        None => app.index().next_position().0,
    };
    let wanted = Wanted {
        from: from(&call)?,
        end,
        limit: limit(&call)?,
        entity: call.query("entity").map(entity).transpose()?,
        reasons: call.flag("reasons")?,
    };
    let page = blocking(&app, move |app| Ok(collect(app, &wanted)?)).await?;
    Answer::json(&page).at(Position(end.saturating_sub(1)))
}

fn from(call: &Call) -> Result<u64, Failure> {
    let Some(text) = call.query("from") else {
        return Ok(0);
    };
    number(text).ok_or_else(|| {
        Failure::malformed(
            "query_malformed",
            "the query parameter from must be a position",
        )
    })
}

pub(super) fn entity(text: &str) -> Result<Entity, Failure> {
    text.parse().map_err(|_| {
        let detail =
            "the query parameter entity must be such as application/{id}, role/{id}, settings";
        Failure::malformed("query_malformed", detail)
    })
}

fn collect(app: &App, wanted: &Wanted) -> Result<Page<Stored>, Fault> {
    let events = match &wanted.entity {
        Some(entity) => about(app, wanted, entity)?,
        None => {
            let rest =
                usize::try_from(wanted.end.saturating_sub(wanted.from)).unwrap_or(usize::MAX);
            app.ledger
                .read_events(Position(wanted.from), wanted.limit.min(rest))?
        }
    };
    let last = events.last().map(|(position, _)| position.0 + 1);
    let more = match (&wanted.entity, last) {
        (_, None) => false,
        (None, Some(next)) => next < wanted.end,
        (Some(entity), Some(next)) => {
            let rest = Position(next)..Position(wanted.end);
            !app.ledger.positions(entity, rest, 1)?.is_empty()
        }
    };
    let items = events
        .into_iter()
        .map(|(position, bytes)| with_reason(app, wanted, position, &bytes));
    Ok(Page {
        items: items.collect::<Result<_, _>>()?,
        next: last.filter(|_| more).map(|next| next.to_string()),
    })
}

/// The events about an entity, found by the index of the log.
fn about(app: &App, wanted: &Wanted, entity: &Entity) -> Result<Vec<(Position, Vec<u8>)>, Fault> {
    let range = Position(wanted.from)..Position(wanted.end);
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let mut events = Vec::new();
    for position in app.ledger.positions(entity, range, wanted.limit)? {
        events.extend(app.ledger.read_events(position, 1)?);
    }
    Ok(events)
}

fn with_reason(app: &App, wanted: &Wanted, at: Position, bytes: &[u8]) -> Result<Stored, Fault> {
    let event = stored(at, bytes)?;
    if !wanted.reasons {
        return Ok(event);
    }
    let found: Reason = serde_json::from_slice(bytes).map_err(|error| undecodable(at, error))?;
    let hash = found.reason.as_deref().and_then(codec::from_hex);
    let reason = hash.map(|hash| app.notes.get(&hash)).transpose()?.flatten();
    Ok(Stored { reason, ..event })
}

/// An event with its place, without its reason.
pub(super) fn stored(at: Position, bytes: &[u8]) -> Result<Stored, Fault> {
    let event = serde_json::from_slice(bytes).map_err(|error| undecodable(at, error))?;
    Ok(Stored {
        position: at.0,
        event,
        reason: None,
    })
}

fn undecodable(position: Position, source: serde_json::Error) -> Fault {
    Fault::Undecodable {
        source: codec::DecodeError::Damaged { position, source },
    }
}
