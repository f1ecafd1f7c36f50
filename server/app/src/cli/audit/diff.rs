//! `writ audit diff` and `writ audit history`: what changed, who did it, when and why.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use writ_api::{Change, Changes};

use crate::cli::output::{Out, clean};
use crate::cli::progress::Progress;
use crate::cli::remote::{Call, Client, Connection, Read};
use crate::cli::{Failure, note};

/// Changes that are asked for at once: each is a whole entity, twice.
const PAGE: u64 = 50;

/// Say what changed between two positions or times: who did it, when, why, before and after
///
/// A position is the state after its event, a time the state after the last event until then. With
/// --json one object has each entity that changed, with its changes and their net effect.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit diff 2026-03-03T00:00:00Z              what changed since
  writ audit diff 17 42 --json                      between two positions
  writ audit diff 0 --actor APPLICATION             what somebody did
  writ audit diff 0 --entity application/APPLICATION")]
pub struct Diff {
    #[command(flatten)]
    connection: Connection,
    /// The earlier state: a position, or an RFC 3339 time
    #[arg(value_name = "FROM")]
    from: String,
    /// The later state; now, unless given
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// Only changes about one entity, such as api_resource/api_7 or application/APPLICATION
    #[arg(long)]
    entity: Option<String>,
    /// Only changes by an application's id, operator/… or system/…
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
}

/// Say everything that ever happened to an entity: who did it, when, why, before and after
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit history application/APPLICATION
  writ audit history settings --json
  writ audit history api_resource/api_7 --as-of 2026-03-03T09:00:00Z")]
pub struct History {
    #[command(flatten)]
    connection: Connection,
    /// Such as application/…, api_resource/…, role/…, policy_binding/…, signing_key/…, settings
    entity: String,
    #[command(flatten)]
    read: Read,
}

impl Diff {
    /// Prints it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let whole = self.entity.is_none() && self.actor.is_none();
        let asked = Asked {
            from: Some(self.from),
            as_of: self.to,
            entity: self.entity,
            actor: self.actor,
        };
        let mut report = Report::default();
        let (from, to) = asked.each(&mut client, |change| report.take(out, change))?;
        if out.is_json() {
            return out.value(&json!({
                "from": from, "to": to, "entities": report.into_json(),
            }));
        }
        report.summary(out, whole)
    }
}

impl History {
    /// Prints it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let asked = Asked {
            from: None,
            as_of: self.read.as_of,
            entity: Some(self.entity),
            actor: None,
        };
        let mut all = Vec::new();
        let mut shown = 0;
        asked.each(&mut client, |change| {
            shown += 1;
            match out.is_json() {
                true => all.push(change),
                false => print(out, &change)?,
            }
            Ok(())
        })?;
        if out.is_json() {
            return out.value(&all);
        }
        if shown == 0 {
            note("nothing ever happened to it: is it the right id?");
        }
        Ok(())
    }
}

/// The changes that are asked for.
struct Asked {
    from: Option<String>,
    as_of: Option<String>,
    entity: Option<String>,
    actor: Option<String>,
}

impl Asked {
    /// Shows every change; answers the states before and after.
    fn each(
        self,
        client: &mut Client,
        mut each: impl FnMut(Change) -> Result<(), Failure>,
    ) -> Result<(Option<u64>, u64), Failure> {
        let mut progress = Progress::of("events");
        let Self {
            from,
            as_of,
            entity,
            actor,
        } = self;
        let mut read = Read { as_of };
        let mut next = from;
        let mut range = None;
        loop {
            let mut call = Call::get(&["events", "changes"], &read);
            call = call.query("limit", PAGE.to_string());
            let filters = [("from", &next), ("entity", &entity), ("actor", &actor)];
            for (name, value) in filters {
                if let Some(value) = value {
                    call = call.query(name, value);
                }
            }
            let page: Changes = client.fetch(call)?;
            let (begin, end) = *range.get_or_insert((page.from, page.to));
            // What happens meanwhile is not part of the answer.
            read.as_of = Some(end.to_string());
            for change in page.items {
                each(change)?;
            }
            let Some(later) = page.next else {
                progress.finish(end);
                return Ok((begin, end));
            };
            if Some(&later) == next.as_ref() {
                let text = "the server answers the same page again and again";
                return Err(Failure::Failed(text.to_owned()));
            }
            let first = begin.map_or(0, |begin| begin + 1);
            let done = later.parse::<u64>().unwrap_or_default();
            progress.show(done.saturating_sub(first), end.saturating_sub(first));
            next = Some(later);
        }
    }
}

/// A change for people.
fn print(out: &mut Out, change: &Change) -> Result<(), Failure> {
    let actor = &change.actor;
    let mut who = format!("{}/{}", actor.kind, actor.id);
    if let Some(name) = &actor.name {
        who = format!("{who} {name}");
    }
    let Change { position, time, .. } = change;
    out.line(format_args!("{position}  {time}  by {}", clean(&who)))?;
    out.line(format_args!("    {}", clean(&change.summary)))?;
    match &change.reason {
        Some(reason) => out.line(format_args!("    reason: {}", clean(reason))),
        None => Ok(()),
    }
}

/// What all changes come to, by entity in the order of their first change.
#[derive(Default)]
struct Report {
    places: BTreeMap<(String, String), usize>,
    entities: Vec<Entity>,
}

/// What became of one entity.
struct Entity {
    kind: String,
    id: String,
    name: Option<String>,
    /// As it was before the first change.
    before: Option<Value>,
    /// As it was after the last one.
    after: Option<Value>,
    /// The effects of the first and the last change.
    effects: (String, String),
    /// All changes, where a program reads.
    changes: Vec<Value>,
}

impl Report {
    fn take(&mut self, out: &mut Out, change: Change) -> Result<(), Failure> {
        let kept = match out.is_json() {
            true => Some(whole(&change)),
            false => {
                print(out, &change)?;
                None
            }
        };
        self.add(change, kept);
        Ok(())
    }

    fn add(&mut self, change: Change, kept: Option<Value>) {
        let Change {
            entity,
            effect,
            before,
            after,
            ..
        } = change;
        let key = (entity.kind.clone(), entity.id.clone());
        let place = *self.places.entry(key).or_insert(self.entities.len());
        if place == self.entities.len() {
            self.entities.push(Entity {
                kind: entity.kind,
                id: entity.id,
                name: None,
                before,
                after: None,
                effects: (effect.clone(), String::new()),
                changes: Vec::new(),
            });
        }
        if let Some(known) = self.entities.get_mut(place) {
            known.name = entity.name.or_else(|| known.name.take());
            known.after = after;
            known.effects.1 = effect;
            known.changes.extend(kept);
        }
    }

    fn summary(&self, out: &mut Out, whole: bool) -> Result<(), Failure> {
        if self.entities.is_empty() {
            note("nothing changed");
            return Ok(());
        }
        out.line(match whole {
            true => "\nIn sum:",
            false => "\nIn sum, of the changes above alone:",
        })?;
        for entity in &self.entities {
            let named = match entity.id.is_empty() {
                true => entity.kind.clone(),
                false => format!("{}/{}", entity.kind, entity.id),
            };
            let name = entity.name.as_deref().unwrap_or_default();
            let line = format!("  {:21}{named}  {name}", entity.net().replace('_', " "));
            out.line(clean(line.trim_end()))?;
        }
        Ok(())
    }

    fn into_json(self) -> Vec<Value> {
        let each = self.entities.into_iter().map(|entity| {
            json!({
                "kind": entity.kind, "id": entity.id, "name": entity.name, "net": entity.net(),
                "changes": entity.changes,
            })
        });
        each.collect()
    }
}

impl Entity {
    /// What the changes come to.
    fn net(&self) -> &'static str {
        let existed = self.effects.0 != "created";
        let exists = self.effects.1 != "removed";
        match (existed, exists) {
            _ if self.effects.0 == "recorded" => "recorded",
            (false, true) => "created",
            (true, false) => "removed",
            (false, false) => "created_and_removed",
            (true, true) if same(self.before.as_ref(), self.after.as_ref()) => "changed_and_back",
            (true, true) => "changed",
        }
    }
}

/// Whether two states of an entity differ in nothing but the version.
fn same(before: Option<&Value>, after: Option<&Value>) -> bool {
    let bare = |value: Option<&Value>| {
        let mut members = value.and_then(Value::as_object).cloned();
        if let Some(members) = &mut members {
            members.remove("version");
        }
        members
    };
    bare(before) == bare(after)
}

/// A change without what its entity says already.
fn whole(change: &Change) -> Value {
    let mut value = json!(change);
    if let Some(members) = value.as_object_mut() {
        members.remove("entity");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_api::{ChangeActor, ChangedEntity};

    fn change(id: &str, effect: &str, before: Value, after: Value) -> Change {
        let some = |value: Value| Some(value).filter(|value| !value.is_null());
        Change {
            position: 1,
            time: String::new(),
            kind: String::new(),
            actor: ChangeActor {
                kind: "system".to_owned(),
                id: "test".to_owned(),
                name: None,
            },
            reason: None,
            entity: ChangedEntity {
                kind: "role".to_owned(),
                id: id.to_owned(),
                name: after["name"].as_str().map(str::to_owned),
            },
            effect: effect.to_owned(),
            summary: String::new(),
            before: some(before),
            after: some(after),
        }
    }

    #[test]
    fn the_sum_is_of_the_first_and_the_last_state() {
        let state = |name: &str, version: u64| json!({ "name": name, "version": version });
        let mut report = Report::default();
        for change in [
            change("new", "created", Value::Null, state("a", 1)),
            change("gone", "removed", state("g", 0), Value::Null),
            change("brief", "created", Value::Null, state("b", 2)),
            change("back", "changed", state("x", 0), state("y", 3)),
            change("other", "changed", state("o", 0), state("p", 4)),
            change("new", "changed", state("a", 1), state("n", 5)),
            change("brief", "removed", state("b", 2), Value::Null),
            change("back", "changed", state("y", 3), state("x", 6)),
            change("told", "recorded", Value::Null, Value::Null),
        ] {
            report.add(change, None);
        }
        let said: Vec<(String, Value)> = report
            .into_json()
            .iter()
            .map(|entity| (entity["id"].to_string(), entity["net"].clone()))
            .collect();
        let said: Vec<(&str, &str)> = said
            .iter()
            .map(|(id, net)| (id.trim_matches('"'), net.as_str().unwrap_or_default()))
            .collect();
        let expected = [
            ("new", "created"),
            ("gone", "removed"),
            ("brief", "created_and_removed"),
            ("back", "changed_and_back"),
            ("other", "changed"),
            ("told", "recorded"),
        ];
        assert_eq!(said, expected);
    }
}
