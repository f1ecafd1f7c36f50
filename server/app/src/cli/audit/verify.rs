//! `writ audit verify`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use writ::audit::verify::{self, Source, Trust, Verified};
use writ_core::Millis;
use writ_core::codec::hex;
use writ_ledger::note::Vkey;

use crate::cli::Failure;
use crate::cli::local::Node;
use crate::cli::output::{Details, Out, detail, details};
use crate::cli::progress::{Progress, grouped};

/// Verify the log of a data directory or an archive: whether anything was changed, removed, moved or cut off
///
/// Every event is read and hashed, and held against the checkpoints that the log's key signed: the
/// one in the data directory, its copy, and those that you kept. Modules and sealed issuance files
/// are held against the log. It needs no network; the server must be stopped, or the directory be a
/// copy.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit verify --data-dir /var/lib/writ
  writ audit verify --archive audit-2026 --checkpoint kept/checkpoint --vkey login.example.com/writ/…+1f2e3d4c+AQ…

Someone who can write the data directory can also cut the log and put an older checkpoint beside it,
or rewrite all of it with a key of his own. That is noticed only against what he could not change:
a checkpoint that was kept elsewhere, the log's key (`writ audit checkpoint` shows both), a witness.
Exit codes: 0 it verifies, 1 it does not or cannot be read, 2 wrong usage.")]
pub struct Verify {
    #[command(flatten)]
    node: Node,
    /// An archive, instead of a data directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["data_dir", "config"])]
    archive: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// A key of the log that you trust, as `writ audit checkpoint` shows it; may be repeated
    #[arg(long, value_name = "KEY")]
    vkey: Vec<Vkey>,
    /// The key of a witness that must have signed one of the checkpoints; may be repeated
    #[arg(long, value_name = "KEY")]
    witness: Vec<Vkey>,
}

impl Verify {
    /// Verifies, and says what is wrong.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let source = match &self.archive {
            Some(archive) => Source::archive(archive),
            None => Source::data_dir(&self.node.load_offline()?),
        };
        let source = source.map_err(|error| Failure::of(&error))?;
        let trust = Trust {
            checkpoints: self.checkpoint,
            vkeys: self.vkey,
            witnesses: self.witness,
        };
        let mut progress = Progress::of("events");
        let heard = |done, total| progress.show(done, total);
        let verified =
            verify::verify(&source, &trust, heard).map_err(|error| Failure::of(&error))?;
        let rate = progress.finish(verified.report.events);
        if out.is_json() {
            out.value(&value(&verified, rate))?;
        } else {
            out.details(lines(&verified, rate))?;
            for finding in &verified.findings {
                out.line(format_args!("WRONG     {finding}"))?;
            }
        }
        match verified.findings.len() {
            0 => Ok(()),
            1 => Err(Failure::Failed("the log does not verify".to_owned())),
            many => Err(Failure::Failed(format!(
                "the log does not verify: {many} things are wrong"
            ))),
        }
    }
}

fn time(at: Option<Millis>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn value(verified: &Verified, rate: u64) -> Value {
    let report = &verified.report;
    let checkpoints = verified.checkpoints.iter().map(|checked| {
        json!({
            "place": checked.place,
            "size": checked.signed.checkpoint.size,
            "root": hex(&checked.signed.checkpoint.root),
            "signed": checked.is_signed,
            "witnesses": checked.witnessed.iter()
                .map(|(name, time)| json!({ "name": name, "time": Millis(time * 1000) }))
                .collect::<Vec<Value>>(),
        })
    });
    json!({
        "verified": verified.findings.is_empty(),
        "log_id": verified.log_id.to_string(),
        "engine": verified.engine,
        "events": report.events,
        "last_at": report.last_at,
        "root": hex(&report.root),
        "vkey": report.vkey,
        "checkpoints": checkpoints.collect::<Vec<Value>>(),
        "modules": verified.modules,
        "issuance_files": verified.issuance_files,
        "issuance_files_gone": verified.issuance_files_gone,
        "restores_accepted": report.restores.iter()
            .map(|(position, size)| json!({ "position": position, "size": size }))
            .collect::<Vec<Value>>(),
        "events_per_second": rate,
        "findings": verified.findings,
    })
}

fn lines(verified: &Verified, rate: u64) -> Details {
    let report = &verified.report;
    let checkpoints = verified.checkpoints.iter().map(|checked| {
        let witnesses: String = checked
            .witnessed
            .iter()
            .map(|(name, time)| format!(", seen by {name} at {}", Millis(time * 1000)))
            .collect();
        format!(
            "{}: {} events, {}{witnesses}",
            checked.place.display(),
            grouped(checked.signed.checkpoint.size),
            if checked.is_signed {
                "signed"
            } else {
                "NOT SIGNED by the log's key"
            },
        )
    });
    let restores = report.restores.iter().map(|(position, size)| {
        format!(
            "at position {position}: a log of {} events was given up for an older state",
            grouped(*size)
        )
    });
    let mut all = vec![
        detail("log", format!("{} ({})", verified.log_id, verified.engine)),
        detail(
            "events",
            format!(
                "{}, the last at {}; {} a second",
                grouped(report.events),
                time(report.last_at),
                grouped(rate)
            ),
        ),
        detail("root", hex(&report.root)),
        detail("key", report.vkey.as_deref().unwrap_or("-")),
        details("checkpoint", checkpoints.collect()),
        detail("modules", format!("{} as uploaded", verified.modules)),
        detail(
            "issuances",
            format!(
                "{} files as sealed, {} no longer there",
                verified.issuance_files, verified.issuance_files_gone
            ),
        ),
    ];
    if !report.restores.is_empty() {
        all.push(details("restored", restores.collect()));
    }
    let verdict = match (
        verified.findings.is_empty(),
        verified.checkpoints.is_empty(),
    ) {
        (true, false) => "nothing was changed since it was signed",
        (true, true) => {
            "whole, but never signed: nothing vouches for it until a server has started"
        }
        (false, _) => "IT DOES NOT VERIFY",
    };
    all.push(detail("verdict", verdict));
    all
}
