//! `writ audit backtest`: what recorded decisions would have been.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::Value;
use writ::audit::Evidence;
use writ::audit::backtest::{
    Backtest as Test, Candidate, Change, Counts, Difference, GrantReference, Report,
};
use writ::clock::{Clock, SystemClock};
use writ::policies::sandbox;
use writ_core::{Millis, PolicySettings, ScopeName};

use crate::cli::local::Node;
use crate::cli::output::{Details, Out, detail, details};
use crate::cli::policy::{SettingOptions, module, read};
use crate::cli::progress::{Progress, grouped};
use crate::cli::table::Table;
use crate::cli::values::seconds;
use crate::cli::{Failure, note};

/// Judge recorded decisions again with another policy, or without a grant or a scope
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("changed").required(true).multiple(true)
        .args(["policy", "without_grants", "without_scopes"])),
    after_help = "Examples:
  writ audit backtest --data-dir /var/lib/writ --policy new.wasm --setting cap=300 --since 7d
  writ audit backtest --data-dir copy --policy new.wasm --target api_resource/api_7 --since 24h
  writ audit backtest --data-dir copy --without-scope courses:publish --since 30d --out lost.jsonl

The data directory must be that of a stopped server, or a copy; nothing in it is changed. The policy
takes the place of what is bound to the target under its name; where there is nothing of that name,
it judges besides. It is obeyed, and may add the claims that it declares. What is compared with is
what was recorded. Decisions of the management API are looked at only when they are meant."
)]
pub struct Backtest {
    #[command(flatten)]
    node: Node,
    /// Read an archive that has the records of issuances
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["data_dir", "config"])]
    archive: Option<PathBuf>,
    /// A policy that would judge: its module, or the directory of a crate to build
    #[arg(long, value_name = "FILE|DIRECTORY")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingOptions,
    /// What it would be bound to: server, api_resource/API or application/APPLICATION
    #[arg(long, requires = "policy", default_value = "server")]
    target: String,
    /// A grant that would not be there; may be repeated
    #[arg(long = "without-grant", value_name = "APPLICATION/API")]
    without_grants: Vec<GrantReference>,
    /// A scope that would not be there; may be repeated
    #[arg(long = "without-scope", value_name = "SCOPE")]
    without_scopes: Vec<ScopeName>,
    /// Decisions of the last days, hours or minutes, or since an RFC 3339 time
    #[arg(long, value_name = "7d|24h|30m|TIME")]
    since: Since,
    /// A file to make, with a line of JSON for each decision that would have been another
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Threads that judge; one for each processor unless given
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    At(Millis),
    AgoSeconds(u64),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ago = seconds(text, "mhd").map(Self::AgoSeconds);
        ago.or_else(|| text.parse().ok().map(Self::At))
            .ok_or_else(|| "write 7d, 24h, 30m, or a time such as 2026-03-03T09:00:00Z".to_owned())
    }
}

impl Since {
    fn moment(self, now: Millis) -> Millis {
        match self {
            Self::At(moment) => moment,
            Self::AgoSeconds(seconds) => Millis(now.0.saturating_sub(seconds.saturating_mul(1000))),
        }
    }
}

/// What is printed.
#[derive(Serialize)]
struct Summary {
    since: Millis,
    #[serde(flatten)]
    report: Report,
    records_per_second: u64,
}

impl Backtest {
    /// Judges.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        if self.node.data_dir().is_none() && self.archive.is_none() {
            return Err(Failure::Usage(
                "name the data directory of a stopped server, or a copy of one, by --data-dir, or an \
                 archive by --archive"
                    .to_owned(),
            ));
        }
        let config = self.node.load_offline()?;
        let threads = self
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
            .unwrap_or(1);
        let archive = self.archive.as_deref();
        let (evidence, _) = super::explain::evidence(&config, archive, sandbox(threads))?;
        let since = self.since.moment(SystemClock.now());
        let test = Test {
            changes: self.changes(&evidence)?,
            since,
            threads,
            issuer: config.issuer.map(|issuer| issuer.as_str().to_owned()),
        };
        let mut lines = self.out.as_deref().map(Lines::create).transpose()?;
        let mut progress = Progress::of("issuances");
        let ran = test.run(
            &evidence,
            |step| progress.show(step.done, step.total),
            |difference| match &mut lines {
                Some(lines) => lines.write(difference),
                None => Ok(()),
            },
        );
        let ran = ran.and_then(|report| {
            lines.as_mut().map(|lines| lines.to.flush()).transpose()?;
            Ok(report)
        });
        let records = ran.as_ref().map_or(0, Report::records);
        let records_per_second = progress.finish(records);
        let report = ran.map_err(|error| Failure::of(&error))?;
        let summary = Summary {
            since,
            report,
            records_per_second,
        };
        if out.is_json() {
            return out.value(&summary);
        }
        describe(out, &summary)?;
        if let (Some(path), Some(lines)) = (&self.out, &lines) {
            let path = path.display();
            note(format_args!("{} differences are in {path}", lines.written));
        }
        Ok(())
    }

    fn changes(&self, evidence: &Evidence) -> Result<Vec<Change>, Failure> {
        let grants = self.without_grants.iter().cloned();
        let scopes = self.without_scopes.iter().cloned();
        let mut changes: Vec<Change> = grants
            .map(Change::WithoutGrant)
            .chain(scopes.map(Change::WithoutScope))
            .collect();
        if let Some(path) = &self.policy {
            let bytes = read(&module(path)?)?;
            let loaded = evidence.modules().load(&bytes);
            let policy = loaded.map_err(|error| Failure::of(&error))?;
            let mut settings = self.settings.of_file()?.unwrap_or_default();
            let declared = &policy.descriptor().settings;
            self.settings.put_over(&mut settings, |name| {
                let setting = declared.iter().find(|setting| setting.name == name)?;
                Some(setting.kind.name())
            })?;
            let settings: PolicySettings = serde_json::from_value(Value::Object(settings))
                .map_err(|_| {
                    Failure::Usage(
                        "a setting's value is true, 7, \"text\", [\"a\", \"b\"] or {\"json\": \"…\"}"
                            .to_owned(),
                    )
                })?;
            let candidate = Candidate::new(policy, settings, &self.target);
            let candidate = candidate.map_err(|error| Failure::of(&error))?;
            changes.push(Change::Policy(Box::new(candidate)));
        }
        Ok(changes)
    }
}

/// The file of differences. What policies say to auditors is in it, so it is nobody else's.
struct Lines {
    to: BufWriter<File>,
    written: u64,
}

impl Lines {
    fn create(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            Failure::Failed(format!(
                "cannot make {}: {error}; nothing is overwritten",
                path.display()
            ))
        })?;
        Ok(Self {
            to: BufWriter::new(file),
            written: 0,
        })
    }

    fn write(&mut self, difference: &Difference) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.to, difference)?;
        self.written += 1;
        self.to.write_all(b"\n")
    }
}

const HEADER: &[&str] = &[
    "application",
    "name",
    "denied",
    "narrowed",
    "shortened",
    "allowed",
    "widened",
    "lengthened",
    "claims",
    "not judged",
    "scopes lost",
    "scopes gained",
];

fn describe(out: &mut Out, summary: &Summary) -> Result<(), Failure> {
    let report = &summary.report;
    let counts = &report.decisions;
    let mut lines: Details = vec![
        detail("since", summary.since.to_string()),
        detail(
            "issuances",
            format!(
                "{}, {} a second",
                grouped(report.records()),
                grouped(summary.records_per_second)
            ),
        ),
        detail("left out", grouped(report.left_out)),
        detail("unchanged", grouped(counts.unchanged)),
        detail("newly denied", grouped(counts.denied)),
        detail("narrowed", grouped(counts.narrowed)),
        detail("shortened", grouped(counts.shortened)),
        detail("newly allowed", grouped(counts.allowed)),
        detail("widened", grouped(counts.widened)),
        detail("lengthened", grouped(counts.lengthened)),
        detail("other claims", grouped(counts.claims_changed)),
        detail("not judged", grouped(counts.not_judged)),
    ];
    if !report.not_judged.is_empty() {
        let why = report.not_judged.iter();
        let why = why.map(|(why, count)| format!("{}: {why}", grouped(*count)));
        lines.push(details("because", why.collect()));
    }
    out.details(lines)?;
    let rows = report.applications.iter().map(|(id, application)| {
        let Counts {
            denied,
            allowed,
            widened,
            narrowed,
            lengthened,
            shortened,
            claims_changed,
            unchanged: _,
            not_judged,
        } = application.decisions;
        let name = application.name.clone();
        let mut row = vec![id.clone(), name.unwrap_or_else(|| "-".to_owned())];
        row.extend(
            [
                denied,
                narrowed,
                shortened,
                allowed,
                widened,
                lengthened,
                claims_changed,
                not_judged,
            ]
            .map(grouped),
        );
        let scopes = application.scopes.iter();
        let lost = scopes.clone().map(|(scope, counts)| (scope, counts.lost));
        let gained = scopes.map(|(scope, counts)| (scope, counts.gained));
        row.extend([listed(lost), listed(gained)]);
        row
    });
    Table::new(HEADER).rows(out, &rows.collect::<Vec<_>>())
}

fn listed<'a>(scopes: impl Iterator<Item = (&'a String, u64)>) -> String {
    let some = scopes.filter(|(_, count)| *count > 0);
    let texts: Vec<String> = some
        .map(|(scope, count)| format!("{scope}={}", grouped(count)))
        .collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now = Millis(1_772_528_400_000);
        for (text, before) in [("7d", 604_800_000), ("24h", 86_400_000), ("30m", 1_800_000)] {
            let since = text.parse::<Since>().map(|since| since.moment(now));
            assert_eq!(since, Ok(Millis(now.0 - before)), "{text}");
        }
        let since = "2026-03-03T09:00:00Z".parse::<Since>();
        assert_eq!(since, Ok(Since::At(now)));
        for bad in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "soon",
            "99999999999999999999d",
            "7é",
        ] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
    }
}
