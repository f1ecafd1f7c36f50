//! `writ issuance …`: the records of token decisions, read over the admin API.

use clap::{Args, Subcommand};
use writ_api::{AuthenticationFailures, Issuance as Record, IssuanceOutcome};

use super::Failure;
use super::output::{Details, Out, detail, details};
use super::remote::{Call, Client, Connection, Listing, Read};
use super::values::Moment;

/// Issuances: every decision about a token of an application that had proved who it is
#[derive(Args, Debug)]
pub struct Issuance {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List token decisions in the order in which they were made
    #[command(after_help = "Examples:
  writ issuance list --credential SECRET      which tokens did this leaked secret get?
  writ issuance list --application APPLICATION --outcome denied --since 24h
  writ issuance list --scope courses:publish --since 2026-03-03T00:00:00Z --json")]
    List(List),
    /// Show one token decision: who, by what, when, and what each policy said
    #[command(after_help = "Example:
  writ issuance show 019ab9e5-7c43-7000-8000-000000000001")]
    Show {
        /// The jti of the token, which is the id of the decision
        jti: String,
    },
    /// List how often clients did not prove who they are, by the minute; rows of one kind add up
    #[command(after_help = "Examples:
  writ issuance failures --since 24h
  writ issuance failures --application APPLICATION --reason wrong_secret --json

Where they came from is kept with `writ settings set issuance.source_address=true` only.")]
    Failures(Failures),
}

#[derive(Args, Debug)]
struct Failures {
    /// Only of this application
    #[arg(long, value_name = "APPLICATION")]
    application: Option<String>,
    /// Only for this reason
    #[arg(long, value_parser = [
        "unknown_application", "wrong_secret", "expired_secret", "disabled_application",
        "wrong_initial_access_token", "spent_initial_access_token",
        "wrong_registration_access_token",
    ])]
    reason: Option<String>,
    #[command(flatten)]
    span: Span,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

#[derive(Args, Debug)]
struct List {
    /// Only of this application
    #[arg(long, value_name = "APPLICATION")]
    application: Option<String>,
    /// Only those that this credential proved: the id of a secret
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Only those that ended so
    #[arg(long, value_parser = ["granted", "denied", "fault"])]
    outcome: Option<String>,
    /// Only tokens with this scope
    #[arg(long)]
    scope: Option<String>,
    #[command(flatten)]
    span: Span,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// A span of time.
#[derive(Args, Debug)]
#[group(skip)]
struct Span {
    /// Only from then on: an RFC 3339 time, or a while ago such as 7d, 24h, 90m
    #[arg(long, value_name = "TIME|AGO")]
    since: Option<Moment>,
    /// Only before then
    #[arg(long, value_name = "TIME|AGO")]
    until: Option<Moment>,
}

impl Span {
    fn filters(&self) -> [(&'static str, Option<String>); 2] {
        let text = |moment: Option<Moment>| moment.map(|moment| moment.to_string());
        [("since", text(self.since)), ("until", text(self.until))]
    }
}

impl Issuance {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::List(list) => list.run(out, &mut client),
            Verb::Show { jti } => {
                let call = Call::get(&["issuances", &jti], &Read::default());
                client.show(out, call, describe)
            }
            Verb::Failures(failures) => failures.run(out, &mut client),
        }
    }
}

impl List {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let mut filters = vec![
            ("application", self.application),
            ("credential", self.credential),
            ("outcome", self.outcome),
            ("scope", self.scope),
        ];
        filters.extend(self.span.filters());
        let header = &[
            "time",
            "jti",
            "application",
            "credential",
            "outcome",
            "granted",
        ];
        let listing = listing(self.limit);
        client.list(
            out,
            &["issuances"],
            &listing,
            &filters,
            header,
            |record: Record| {
                vec![
                    record.at,
                    record.id,
                    record.application,
                    record.credential.id,
                    outcome(&record.outcome),
                    record.granted.join(" "),
                ]
            },
        )
    }
}

impl Failures {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let mut filters = vec![("application", self.application), ("reason", self.reason)];
        filters.extend(self.span.filters());
        let header = &[
            "minute",
            "count",
            "reason",
            "application",
            "address",
            "last",
        ];
        let (path, listing) = (["authentication-failures"], listing(self.limit));
        let row = |row: AuthenticationFailures| {
            let absent = || if row.mixed { "several" } else { "-" }.to_owned();
            vec![
                row.window,
                row.count.to_string(),
                row.reason,
                row.application.unwrap_or_else(absent),
                row.address.unwrap_or_else(absent),
                row.last,
            ]
        };
        client.list(out, &path, &listing, &filters, header, row)
    }
}

/// Records have no past state to be read as of.
fn listing(limit: Option<usize>) -> Listing {
    Listing {
        limit,
        read: Read::default(),
    }
}

fn outcome(outcome: &IssuanceOutcome) -> String {
    match outcome {
        IssuanceOutcome::Granted => "granted".to_owned(),
        IssuanceOutcome::Denied { reason } => format!("denied: {reason}"),
        IssuanceOutcome::Fault { reason } => format!("fault: {reason}"),
    }
}

fn describe(record: Record) -> Details {
    let credential = format!("{} {}", record.credential.method, record.credential.id);
    let verdicts = record.policies.iter().map(|said| {
        let shadow = if said.shadow { " (shadow)" } else { "" };
        let notes = said.notes.iter();
        let notes: String = notes
            .map(|note| format!("; {}: {}", note.name, note.text))
            .collect();
        let (policy, settings) = (short(&said.policy), short(&said.settings));
        format!(
            "{}{shadow}: {}{notes}; policy {policy}, settings {settings}, fuel {}",
            said.binding, said.verdict, said.fuel
        )
    });
    let verdicts = verdicts.collect();
    let mut lines = vec![
        detail("jti", record.id),
        detail("time", record.at),
        detail("application", record.application),
        detail("credential", credential),
        detail("outcome", outcome(&record.outcome)),
        details("granted", record.granted),
        details("asked", record.asked),
        details("resources", record.resources),
        detail("as of", record.as_of.to_string()),
        details("policies", verdicts),
    ];
    let attributes = record
        .attributes
        .map(|map| serde_json::Value::from(map).to_string());
    let optional = [
        ("expires", record.exp),
        ("key", record.kid),
        ("algorithm", record.alg),
        ("clock", record.clock),
        ("address", record.address),
        ("trace", record.traceparent),
        ("attributes", attributes),
        ("input", record.input),
        ("engine", record.engine),
    ];
    let given = optional.into_iter();
    lines.extend(given.filter_map(|(label, value)| Some(detail(label, value?))));
    lines
}

/// As much of a digest as tells it from others.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
