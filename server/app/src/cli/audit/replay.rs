//! `writ audit replay`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use writ::audit::index_digest;
use writ::audit::verify::Source;
use writ_api::IndexDigest;
use writ_core::codec::{self, hex};
use writ_core::{Index, Position};
use writ_ledger::Engine;

use super::export::stored_events;
use crate::cli::Failure;
use crate::cli::local::Node;
use crate::cli::output::{Out, detail};
use crate::cli::progress::{Progress, grouped};
use crate::cli::remote::{Call, Client, Connection, Read};

/// Rebuild the grant index from the log, and compare it with the one that the server decides by
///
/// The events are read from the running server and applied here, by the same rules; the digest of
/// the whole index must be the server's. With --data-dir or --archive the log is read from there, and
/// --against names the digest to compare with.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit replay
  writ audit replay --data-dir /var/lib/writ --against DIGEST

Only the same version of writ computes the same digest. Exit codes: 0 equal, or nothing to compare
with; 1 not equal, or it could not be read.")]
pub struct Replay {
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    connection: Connection,
    /// Read an archive
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["data_dir", "config"])]
    archive: Option<PathBuf>,
    /// The digest that the index must have
    #[arg(long, value_name = "DIGEST")]
    against: Option<String>,
}

impl Replay {
    /// Replays and compares.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut progress = Progress::of("events");
        let local = match &self.archive {
            Some(archive) => Some(Source::archive(archive)),
            None if self.node.is_given() => Some(Source::data_dir(&self.node.load_offline()?)),
            None => None,
        };
        let (index, live) = match local {
            Some(source) => {
                let source = source.map_err(|error| Failure::of(&error))?;
                (replayed(&**source.engine(), &mut progress)?, self.against)
            }
            None => {
                let client = &mut Client::open(&self.connection)?;
                let (index, digest) = of_server(client, &mut progress)?;
                (index, self.against.or(Some(digest)))
            }
        };
        let events = index.next_position().0;
        let rate = progress.finish(events);
        let digest = hex(&index_digest(&index));
        let equal = live.as_ref().map(|live| *live == digest);
        let value = json!({
            "events": events,
            "digest": digest,
            "live": live,
            "equal": equal,
            "events_per_second": rate,
        });
        if out.is_json() {
            out.value(&value)?;
        } else {
            let verdict = match equal {
                Some(true) => "equal: the server decides by what its log says",
                Some(false) => "NOT EQUAL: the server decides by something else than its log",
                None => "replayed; --against compares it",
            };
            out.details(vec![
                detail(
                    "events",
                    format!("{}; {} a second", grouped(events), grouped(rate)),
                ),
                detail("digest", digest),
                detail("live", live.as_deref().unwrap_or("-")),
                detail("verdict", verdict),
            ])?;
        }
        match equal {
            Some(false) => Err(Failure::Failed(
                "the replayed index is not the live one; if both are of the same version of writ, \
                 keep the log and restart the server, and report it"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// The index that a log adds up to.
fn replayed(engine: &dyn Engine, progress: &mut Progress) -> Result<Index, Failure> {
    let mut index = Index::default();
    let total = engine.head().map_err(|fault| Failure::of(&fault))?;
    writ_ledger::replay(engine, &mut index, |index| {
        progress.show(index.next_position().0, total);
    })
    .map_err(|fault| Failure::of(&fault))?;
    Ok(index)
}

/// The index that a server's events add up to, and the digest of the one that it has.
fn of_server(client: &mut Client, progress: &mut Progress) -> Result<(Index, String), Failure> {
    let live: IndexDigest = client.fetch(Call::get(&["log", "index"], &Read::default()))?;
    if live.version != env!("CARGO_PKG_VERSION") {
        return Err(Failure::Failed(format!(
            "the server is writ {}, and this is writ {}: their digests cannot be compared; use the \
             server's version",
            live.version,
            env!("CARGO_PKG_VERSION")
        )));
    }
    let mut index = Index::default();
    stored_events(client, live.position + 1, |event, done| {
        progress.show(done, live.position + 1);
        let recorded = codec::decode(Position(done - 1), event.get().as_bytes())
            .map_err(|error| Failure::of(&error))?;
        index.apply(&recorded);
        Ok(())
    })?;
    Ok((index, live.digest))
}
