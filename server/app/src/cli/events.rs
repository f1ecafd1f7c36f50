//! `writ events …`: the log, read over the admin API.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use writ_api::{Event, Page};

use super::cloud_event::cloud_event;
use super::credentials::issuer;
use super::messages::Messages;
use super::output::{Out, parse};
use super::remote::{Call, Client, Connection, Read};
use super::table::Table;
use super::{Failure, note};

/// Events that are asked for at once.
const PAGE: u64 = 100;
/// How often a followed log is asked for more.
const INTERVAL: Duration = Duration::from_secs(1);
const HEADER: &[&str] = &["position", "time", "kind", "actor", "data", "reason"];

/// Events: every change that was ever made
#[derive(Args, Debug)]
pub struct Events {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List events in their order; with --json, one JSON object a line
    #[command(after_help = "Examples:
  writ events list --entity application/APPLICATION
  writ events list --from 100 --follow --json")]
    List(List),
    /// Show events as they come, without asking again and again; a broken connection is made anew
    #[command(after_help = "Examples:
  writ events follow
  writ events follow --from 100 --json | while read -r event; do …; done

With --json, one JSON object a line.")]
    Follow(Follow),
    /// Write events for other programs, one JSON object a line
    #[command(after_help = "Examples:
  writ events export --format cloudevents --out events.jsonl
  writ events export --from 100 --to 199 --json")]
    Export(Export),
}

#[derive(Args, Debug)]
struct Follow {
    /// The first position; the next to come where not given
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// End after so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

#[derive(Args, Debug)]
struct Export {
    /// The first position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// The last position; the newest where not given
    #[arg(long, value_name = "POSITION")]
    to: Option<u64>,
    /// As the admin API has them, or as CloudEvents 1.0
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Into this file, which is replaced, instead of on standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    #[value(name = "cloudevents")]
    CloudEvents,
}

#[derive(Args, Debug)]
struct List {
    /// The first position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Only those about one entity, such as api_resource/api_7 or application/APPLICATION
    #[arg(long)]
    entity: Option<String>,
    /// With the texts of reasons, as far as they were not deleted
    #[arg(long)]
    reasons: bool,
    /// Wait for more when the end is reached
    #[arg(long, conflicts_with = "as_of")]
    follow: bool,
    #[command(flatten)]
    read: Read,
}

impl Events {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let client = &mut Client::open(&self.connection)?;
        match self.verb {
            Verb::List(list) => list.run(out, client),
            Verb::Follow(follow) => follow.run(out, client),
            Verb::Export(export) => export.run(out, client),
        }
    }
}

impl List {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let mut table = Table::new(HEADER);
        let mut from = self.from;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let mut call = Call::get(&["events"], &self.read);
            call = call.query("from", from.to_string());
            call = call.query("limit", left.min(PAGE).to_string());
            if let Some(entity) = &self.entity {
                call = call.query("entity", entity);
            }
            if self.reasons {
                call = call.query("reasons", "true");
            }
            let page: Page<Value> = client.fetch(call)?;
            let mut rows = Vec::new();
            for item in page.items {
                let event: Event = parse(&item)?;
                if out.is_json() {
                    out.line(&item)?;
                } else {
                    rows.push(row(&event));
                }
                // A page of one entity can skip positions, and none comes twice.
                from = from.max(event.position + 1);
                left = left.saturating_sub(1);
            }
            table.rows(out, &rows)?;
            let next = page.next.and_then(|next| next.parse().ok());
            match next.filter(|next| *next >= from) {
                Some(next) => from = next,
                None if self.follow => sleep(INTERVAL),
                None => break,
            }
        }
        Ok(())
    }
}

impl Follow {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let mut table = Table::new(HEADER);
        let (mut seen, mut left) = (None, self.limit.unwrap_or(u64::MAX));
        let mut connected = false;
        while left > 0 {
            match client.follow(&self.call(seen)) {
                Ok(stream) => {
                    connected = true;
                    self.show(out, &mut table, Messages::new(stream), &mut seen, &mut left)?;
                }
                Err(failure) if !connected || !may_pass(&failure) => return Err(failure),
                Err(_) => {}
            }
            if left > 0 {
                note("the stream has ended; it is opened again");
                sleep(INTERVAL);
            }
        }
        Ok(())
    }

    fn call(&self, seen: Option<u64>) -> Call {
        let call = Call::get(&["events", "stream"], &Read::default());
        match (seen, self.from) {
            (Some(seen), _) => call.header("last-event-id", seen.to_string()),
            (None, Some(from)) => call.query("from", from.to_string()),
            (None, None) => call,
        }
    }

    /// Shows what comes until the stream ends, for whatever reason.
    fn show(
        &self,
        out: &mut Out,
        table: &mut Table,
        mut messages: Messages<impl std::io::Read>,
        seen: &mut Option<u64>,
        left: &mut u64,
    ) -> Result<(), Failure> {
        while *left > 0 {
            // However it ended, it is opened again.
            let Ok(Some(message)) = messages.next() else {
                break;
            };
            if let Some(data) = message.data {
                let value: Value = serde_json::from_str(&data).unwrap_or(Value::String(data));
                let event: Event = parse(&value)?;
                match out.is_json() {
                    true => out.line(&value)?,
                    false => table.rows(out, &[row(&event)])?,
                }
                *left -= 1;
            }
            *seen = message.id.and_then(|id| id.parse().ok()).or(*seen);
        }
        Ok(())
    }
}

/// Whether it may be over soon: no connection, or a server that cannot now.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Failed(_) => true,
        Failure::Refused(problem) => problem.status == 503,
        _ => false,
    }
}

impl Export {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let source = issuer(client.credentials()).unwrap_or_default().to_owned();
        let cannot = |path: &PathBuf, error: std::io::Error| {
            Failure::Failed(format!("cannot write {}: {error}", path.display()))
        };
        let mut file = match &self.out {
            Some(path) => {
                let made = File::create(path).map_err(|error| cannot(path, error))?;
                Some((path, BufWriter::new(made)))
            }
            None => None,
        };
        let (mut from, mut written) = (Some(self.from), 0u64);
        while let Some(first) = from.filter(|from| self.to.is_none_or(|to| *from <= to)) {
            let rest = self.to.map_or(u64::MAX, |to| to - first).saturating_add(1);
            let call = Call::get(&["events"], &Read::default())
                .query("from", first.to_string())
                .query("limit", rest.min(PAGE).to_string());
            let page: Page<Value> = client.fetch(call)?;
            for item in page.items {
                let line = match self.format {
                    Format::Json => item,
                    Format::CloudEvents => cloud_event(&parse(&item)?, &source)?,
                };
                match &mut file {
                    Some((path, file)) => {
                        writeln!(file, "{line}").map_err(|error| cannot(path, error))?;
                    }
                    None => out.line(line)?,
                }
                written += 1;
            }
            from = page
                .next
                .and_then(|next| next.parse().ok())
                .filter(|next| *next > first);
        }
        if let Some((path, file)) = file {
            let file = file
                .into_inner()
                .map_err(|error| cannot(path, error.into_error()))?;
            file.sync_all().map_err(|error| cannot(path, error))?;
            let result = serde_json::json!({ "events": written });
            out.result(&result, || format!("{written} events written"))?;
        }
        Ok(())
    }
}

fn row(event: &Event) -> Vec<String> {
    let text = |path: &str| {
        let found = event.event.pointer(path).and_then(Value::as_str);
        found.unwrap_or("-").to_owned()
    };
    let actor = format!("{}/{}", text("/actor/kind"), text("/actor/id"));
    let data = event.event.get("data").map(ToString::to_string);
    vec![
        event.position.to_string(),
        text("/time"),
        text("/kind"),
        actor,
        data.unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
    ]
}
