//! `writ access …`: access reviews, over the admin API.

use clap::{Args, Subcommand};
use writ_api::{Access as Entity, UnusedAccess};

use super::output::Out;
use super::remote::{Call, Client, Connection, Listing, Read};
use super::table::Table;
use super::{Failure, note};

/// Access reviews: who can get which scopes, and what of it nobody uses
#[derive(Args, Debug)]
pub struct Access {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Say who can get which scopes, now or at a time, through grants, roles and open API resources
    #[command(after_help = "Examples:
  writ access review --api-resource https://courses.example/api
  writ access review --scope courses:publish --as-of 2026-03-03T09:00:00Z
  writ access review --application APPLICATION --json")]
    Review {
        /// Only of one application
        #[arg(long, value_name = "ID")]
        application: Option<String>,
        /// Only of one API resource: its id, or its identifier
        #[arg(long, value_name = "ID")]
        api_resource: Option<String>,
        /// Only where this scope can be got
        #[arg(long)]
        scope: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Say what can be got and was not got for days, by the records of issuances
    #[command(after_help = "Examples:
  writ access unused --days 90
  writ access unused --days 30 --json | jq -r '.credentials[].credential'")]
    Unused {
        /// For so many days
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

impl Access {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::Review {
                application,
                api_resource,
                scope,
                listing,
            } => {
                let filters = [
                    ("application", application),
                    ("api_resource", api_resource),
                    ("scope", scope),
                ];
                let header = &["application", "name", "api resource", "through", "scopes"];
                client.list(out, &["access"], &listing, &filters, header, row)
            }
            Verb::Unused { days } => {
                let answer = all_unused(&mut client, days)?;
                match out.is_json() {
                    true => out.value(&answer),
                    false => say_unused(out, &answer),
                }
            }
        }
    }
}

fn row(access: Entity) -> Vec<String> {
    let through = match (&*access.through, access.unusable) {
        ("roles", unusable) => {
            let roles: Vec<&str> = access.roles.iter().map(|role| &*role.name).collect();
            let roles = match roles.is_empty() {
                true => "no role".to_owned(),
                false => roles.join(", "),
            };
            unusable.map_or(format!("roles: {roles}"), |why| {
                format!("{why}; roles: {roles}")
            })
        }
        (through, Some(why)) => format!("{why}; {through}"),
        (through, None) => through.to_owned(),
    };
    vec![
        access.application,
        access.application_name,
        access.identifier,
        through,
        access.scopes.join(" "),
    ]
}

/// All that was not used: a server lists it in parts when it is much.
fn all_unused(client: &mut Client, days: u32) -> Result<UnusedAccess, Failure> {
    let ask = |after: Option<String>| {
        let call = Call::get(&["access", "unused"], &Read::default());
        let call = call.query("days", days.to_string());
        match after {
            Some(after) => call.query("after", after),
            None => call,
        }
    };
    let mut all: UnusedAccess = client.fetch(ask(None))?;
    while let Some(next) = all.next.take() {
        let more: UnusedAccess = client.fetch(ask(Some(next)))?;
        all.grants.extend(more.grants);
        all.applications.extend(more.applications);
        all.credentials.extend(more.credentials);
        all.next = more.next;
    }
    if all
        .records_from
        .as_ref()
        .is_none_or(|first| *first > all.since)
    {
        note("the records do not reach back so far: what was used before them is not known");
    }
    Ok(all)
}

fn say_unused(out: &mut Out, answer: &UnusedAccess) -> Result<(), Failure> {
    let last = |at: &Option<String>| at.clone().unwrap_or_else(|| "never".to_owned());
    out.line(match &answer.records_from {
        Some(first) => format!(
            "not used since {}; records reach back to {first}",
            answer.since
        ),
        None => format!("not used since {}; there are no records yet", answer.since),
    })?;
    let mut table = Table::new(&["what", "application", "which", "last used"]);
    let mut rows = Vec::new();
    for grant in &answer.grants {
        if grant.unused.is_empty() {
            let application = grant.access.application.clone();
            let which = format!("without scopes, to {}", grant.access.identifier);
            rows.push(vec!["grant".to_owned(), application, which, "-".to_owned()]);
        }
        for unused in &grant.unused {
            rows.push(vec![
                "scope".to_owned(),
                grant.access.application.clone(),
                format!("{} of {}", unused.scope, grant.access.identifier),
                last(&unused.last_used),
            ]);
        }
    }
    for silent in &answer.applications {
        rows.push(vec![
            "application".to_owned(),
            silent.application.clone(),
            silent.name.clone(),
            last(&silent.last_token),
        ]);
    }
    for credential in &answer.credentials {
        rows.push(vec![
            "credential".to_owned(),
            credential.application.clone(),
            credential.credential.clone(),
            last(&credential.last_used),
        ]);
    }
    table.rows(out, &rows)
}
