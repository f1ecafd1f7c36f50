//! `/events/changes`: what changed between two states of the log.

use super::call::{Call, as_of};
use super::events::entity;
use super::failure::shortened;
use super::page::limit;
use super::read::{self, blocking};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::audit::diff;
use std::sync::Arc;
use writ_api as api;
use writ_core::{ApplicationId, Entity, Index, Position, Recorded, codec};
use writ_ledger::Fault;

/// Most events that are gone through for one page: a page can be shorter than asked for, even
/// empty, and not the last. At some microseconds each that is less than a second.
const SCANNED: u64 = 100_000;
/// A page ends when its changes have more bytes than this.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Changes that somebody asks for.
struct Wanted {
    /// The position of the first event that counts.
    first: u64,
    /// The position after the last one.
    end: u64,
    limit: usize,
    entity: Option<Entity>,
    /// As [`writ_core::Actor::label`] has it.
    actor: Option<String>,
}

impl Wanted {
    fn takes(&self, recorded: &Recorded) -> bool {
        let about = |entity| recorded.event.entities().contains(entity);
        self.entity.as_ref().is_none_or(about)
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| recorded.actor.label() == *actor)
    }
}

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let to = match read::position(&app, &call).await? {
        Some(position) => position,
        None => app.index().head().unwrap_or_default(),
    };
    let from = match call.query("from") {
        Some(text) => read::position_at(&app, "from", as_of("from", text)?).await?,
        None => None,
    };
    if from > Some(to) {
        let detail = "from is after as_of: the earlier state comes first";
        return Err(Failure::malformed("query_malformed", detail));
    }
    let wanted = Wanted {
        first: from.map_or(0, |from| from.0 + 1),
        end: to.0 + 1,
        limit: limit(&call)?,
        entity: call.query("entity").map(entity).transpose()?,
        actor: call.query("actor").map(actor).transpose()?,
    };
    let _turn = read::replay_turn(&app).await?;
    let (items, next) = blocking(&app, move |app| Ok(collect(app, &wanted)?)).await?;
    let answer = api::Changes {
        from: from.map(|from| from.0),
        to: to.0,
        items,
        next: next.map(|next| next.to_string()),
    };
    Answer::json(&answer).at(to)
}

fn actor(text: &str) -> Result<String, Failure> {
    if let Ok(id) = text.parse::<ApplicationId>() {
        return Ok(format!("application/{id}"));
    }
    let known = [
        "application/",
        "initial_access_token/",
        "operator/",
        "system/",
    ];
    match known.iter().any(|kind| text.starts_with(kind)) {
        true => Ok(text.to_owned()),
        false => Err(Failure::malformed(
            "query_malformed",
            format!(
                "the query parameter actor must be an application's id, initial_access_token/…, \
                 operator/… or system/…, not {}",
                shortened(text)
            ),
        )),
    }
}

/// A page of changes, and the position of the last event that it covers when there is more.
fn collect(app: &App, wanted: &Wanted) -> Result<(Vec<api::Change>, Option<u64>), Fault> {
    let mut items = Vec::new();
    let Some(begin) = begin(app, wanted)? else {
        return Ok((items, None));
    };
    let mut index = match begin.checked_sub(1) {
        None => Index::default(),
        Some(before) => {
            let index = app.ledger.index_as_of(Position(before))?;
            index.map_or_else(Index::default, Arc::unwrap_or_clone)
        }
    };
    let (mut next, mut bytes) = (begin, 0);
    while next < wanted.end {
        let rest = usize::try_from(wanted.end - next).unwrap_or(usize::MAX);
        let events = app.ledger.read_events(Position(next), rest)?;
        if events.is_empty() {
            break;
        }
        for (position, stored) in events {
            if items.len() == wanted.limit || bytes > PAGE_BYTES || next - begin == SCANNED {
                return Ok((items, Some(next - 1)));
            }
            let recorded =
                codec::decode(position, &stored).map_err(|source| Fault::Undecodable { source })?;
            let before = wanted.takes(&recorded).then(|| index.clone());
            index.apply(&recorded);
            next = position.0 + 1;
            if let Some(before) = before {
                let mut change = diff::change(&before, &recorded, &index);
                let reason = recorded.reason.map(|hash| app.notes.get(&hash));
                change.reason = reason.transpose()?.flatten();
                bytes += serde_json::to_vec(&change).map_or(0, |json| json.len());
                items.push(change);
            }
        }
    }
    Ok((items, None))
}

/// The position of the event to begin with: of those about an entity the log has an index.
fn begin(app: &App, wanted: &Wanted) -> Result<Option<u64>, Fault> {
    if wanted.first >= wanted.end {
        return Ok(None);
    }
    let Some(entity) = &wanted.entity else {
        return Ok(Some(wanted.first));
    };
    let range = Position(wanted.first)..Position(wanted.end);
    let found = app.ledger.positions(entity, range, 1)?;
    Ok(found.first().map(|position| position.0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_actor_is_an_application_or_says_what_it_is() {
        let id = ApplicationId(7).to_string();
        assert_eq!(actor(&id).unwrap(), format!("application/{id}"));
        for label in [
            format!("application/{id}"),
            "initial_access_token/iat_0".into(),
            "operator/init".into(),
            "system/start".into(),
        ] {
            assert_eq!(actor(&label).unwrap(), label);
        }
        for bad in ["", "init", "role/role_1"] {
            assert!(actor(bad).is_err(), "{bad}");
        }
    }
}
