//! `writ log …`: the log as a whole, at the machine itself and with the server stopped.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use writ::bootstrap::{self, AcceptedRestore};
use writ_core::codec::hex;
use writ_core::{Application, Index};

use super::Failure;
use super::local::{Node, know_issuer};
use super::output::Out;
use super::progress::{Progress, grouped};

#[derive(Subcommand, Debug)]
pub enum Log {
    /// Put the log of an archive into a data directory, by whatever engine is configured
    ///
    /// This restores a backup, and moves a log from one engine to another: the stored bytes and their
    /// root stay the same. An import that was interrupted goes on when it is run again. A data
    /// directory that has no keys.json needs the one of a backup (`writ audit export --with-keys`) and
    /// its master key before a server can start on it.
    #[command(after_help = "Examples:
  writ log import backup --data-dir /var/lib/writ
  WRIT_STORE_ENGINE=sled writ log import backup --data-dir /var/lib/writ-sled")]
    Import {
        #[command(flatten)]
        node: Node,
        /// The archive, as `writ audit export` makes it
        archive: PathBuf,
    },
    /// Accept the log as it is, after an older state was restored and is wanted
    ///
    /// A server does not start on a log that has fewer events than its checkpoint vouches for, or
    /// others: what is missing may have revoked something. This says in the log itself that it is
    /// wanted so, signs the log as it is, and lists every credential that works now and may have
    /// been revoked in what is missing.
    #[command(after_help = "Example:
  writ log accept-restore --data-dir /var/lib/writ

Go through the list: revoke what should not work any more, or rotate all of it. Witnesses will not
sign the log again, for it is not the one they saw: tell them. Exit codes: 0 accepted, 1 there was
nothing to accept, or it failed.")]
    AcceptRestore {
        #[command(flatten)]
        node: Node,
    },
}

impl Log {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Import { node, archive } => import(out, &node, &archive),
            Self::AcceptRestore { node } => {
                let mut config = node.load_offline()?;
                know_issuer(&mut config)?;
                let accepted =
                    bootstrap::accept_restore(&config).map_err(|error| Failure::of(&error))?;
                say_accepted(out, &accepted)
            }
        }
    }
}

fn import(out: &mut Out, node: &Node, archive: &Path) -> Result<(), Failure> {
    let config = node.load_offline()?;
    let mut progress = Progress::of("events");
    let heard = |done, total| progress.show(done, total);
    let made = bootstrap::import(&config, archive, heard).map_err(|error| Failure::of(&error))?;
    let rate = progress.finish(made.events);
    let value = json!({
        "data_dir": config.data_dir,
        "log_id": made.log_id,
        "events": made.events,
        "root": hex(&made.root),
        "events_per_second": rate,
    });
    out.result(&value, || {
        format!(
            "imported {} events into {}, root {}: the archive's",
            grouped(made.events),
            config.data_dir.display(),
            hex(&made.root)
        )
    })
}

/// Everything that works now, and could have been taken away in what is missing.
fn in_doubt(index: &Index) -> impl Iterator<Item = &Application> {
    let works = |app: &&Application| {
        app.enabled
            && app
                .secrets
                .iter()
                .any(|secret| secret.is_valid(index.last_at()))
    };
    index.applications(None).map(AsRef::as_ref).filter(works)
}

fn say_accepted(out: &mut Out, accepted: &AcceptedRestore) -> Result<(), Failure> {
    let index = &accepted.index;
    if out.is_json() {
        let applications = in_doubt(index).map(|app| {
            let secrets = app.secrets.iter().filter(|s| s.is_valid(index.last_at()));
            json!({
                "application": app.id.to_string(),
                "name": app.name.as_str(),
                "secrets": secrets.map(|secret| secret.id.to_string()).collect::<Vec<String>>(),
                "grants": app.grants().map(|grant| grant.api.to_string()).collect::<Vec<String>>(),
            })
        });
        return out.value(&json!({
            "position": index.head(),
            "given_up": accepted.given_up.iter()
                .map(|(place, size)| json!({ "checkpoint": place, "size": size }))
                .collect::<Vec<Value>>(),
            "may_have_been_revoked": {
                "applications": applications.collect::<Vec<Value>>(),
                "signing_keys": index.keys().map(|key| key.kid.to_string()).collect::<Vec<String>>(),
            },
        }));
    }
    for (place, size) in &accepted.given_up {
        out.line(format_args!(
            "given up: the log of {} events that {} vouched for",
            grouped(*size),
            place.display()
        ))?;
    }
    out.line(format_args!(
        "accepted: a log of {} events; what follows works now, and may have been revoked in what is missing",
        grouped(index.next_position().0)
    ))?;
    for app in in_doubt(index) {
        for secret in app.secrets.iter().filter(|s| s.is_valid(index.last_at())) {
            out.line(format_args!(
                "  secret {} of application {} ({})",
                secret.id, app.id, app.name
            ))?;
        }
        for grant in app.grants() {
            let api = index.api(grant.api).map(|api| api.identifier.to_string());
            out.line(format_args!(
                "  grant of application {} to {}",
                app.id,
                api.unwrap_or_else(|| grant.api.to_string())
            ))?;
        }
    }
    for key in index.keys() {
        out.line(format_args!(
            "  signing key {} ({})",
            key.kid, key.algorithm
        ))?;
    }
    Ok(())
}
