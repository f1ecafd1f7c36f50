//! `writ events …`: the log, read over the admin API.

use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use writ_api::{Event, Page};

use super::Failure;
use super::output::{Out, parse};
use super::remote::{Call, Client, Connection, Read};
use super::table::Table;

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
        let Verb::List(list) = self.verb;
        list.run(out, &mut Client::open(&self.connection)?)
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
