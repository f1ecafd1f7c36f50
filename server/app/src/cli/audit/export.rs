//! `writ audit export`, and the stored events of a running server for whoever needs all of them.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use writ::bootstrap;
use writ_api::{LogCheckpoint, Page, Policy};
use writ_core::codec::hex;
use writ_ledger::LogId;
use writ_ledger::archive::{ArchiveWriter, Contents, Manifest};

use crate::cli::Failure;
use crate::cli::local::Node;
use crate::cli::output::Out;
use crate::cli::progress::{Progress, grouped};
use crate::cli::remote::{Call, Client, Connection, Read};

/// Events that are asked for at once: the most that the server answers.
const PAGE: u64 = 200;

/// Make an archive of the log: its stored bytes, the policy modules, the last checkpoint
///
/// Of a running server, by the admin API; or with --data-dir of one that is stopped, then with the
/// records of issuances too. An archive is verified, explained from and imported like the original.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit export --to audit-2026-03-03
  writ audit export --data-dir /var/lib/writ --to backup --with-keys
  writ audit verify --archive audit-2026-03-03
  writ log import backup --data-dir /var/lib/writ")]
pub struct Export {
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    connection: Connection,
    /// The directory to make
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// Leave out the records of issuances; needs --data-dir
    #[arg(long)]
    no_issuances: bool,
    /// With the private keys, sealed under the master key: for a backup; needs --data-dir
    #[arg(long)]
    with_keys: bool,
}

impl Export {
    /// Makes it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut progress = Progress::of("events");
        let made = if self.node.is_given() {
            let contents = Contents {
                issuances: !self.no_issuances,
                keys: self.with_keys,
            };
            let heard = |done, total| progress.show(done, total);
            bootstrap::export(&self.node.load_offline()?, &self.to, contents, heard)
                .map_err(|error| Failure::of(&error))?
        } else if self.with_keys || self.no_issuances {
            return Err(Failure::Usage(
                "--with-keys and --no-issuances need --data-dir: a running server gives away neither its keys nor \
                 its issuance files"
                    .to_owned(),
            ));
        } else {
            self.of_server(&mut progress)?
        };
        let rate = progress.finish(made.events);
        let Manifest {
            log_id,
            events,
            root,
            ..
        } = made;
        let value = json!({
            "archive": self.to,
            "log_id": log_id,
            "events": events,
            "root": hex(&root),
            "events_per_second": rate,
        });
        out.result(&value, || {
            let to = self.to.display();
            format!("made {to}: {} events, root {}", grouped(events), hex(&root))
        })
    }

    fn of_server(&self, progress: &mut Progress) -> Result<Manifest, Failure> {
        let client = &mut Client::open(&self.connection)?;
        let call = Call::get(&["log", "checkpoint"], &Read::default());
        let signed: LogCheckpoint = client.fetch(call)?;
        let log_id = LogId::parse(&signed.log_id)
            .ok_or_else(|| Failure::Failed("the server names no log".to_owned()))?;
        let fault = |fault| Failure::of(&fault);
        let mut archive = ArchiveWriter::create(&self.to, log_id).map_err(fault)?;
        stored_events(client, signed.size, |event, done| {
            progress.show(done, signed.size);
            archive.event(event.get().as_bytes()).map_err(fault)
        })?;
        // All that were ever uploaded, as the log has them; the removed ones are kept too.
        let policies: Vec<Policy> = client.collect(&["policies"], &Read::default(), &[])?;
        for policy in policies {
            let call = Call::get(&["policies", &policy.digest, "module"], &Read::default());
            archive.module(&client.bytes(call)?).map_err(fault)?;
        }
        archive.finish(Some(&signed.checkpoint)).map_err(fault)
    }
}

#[derive(Deserialize)]
struct Stored {
    position: u64,
    event: Box<RawValue>,
}

/// Shows the first `size` events of a server as they are stored, with how many are done.
pub fn stored_events(
    client: &mut Client,
    size: u64,
    mut visit: impl FnMut(&RawValue, u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut next = 0;
    while next < size {
        let call = Call::get(&["events"], &Read::default())
            .query("from", next.to_string())
            .query("limit", PAGE.min(size - next).to_string());
        let bytes = client.bytes(call)?;
        let page: Page<Stored> = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Failed(format!("the answer is no page of events: {error}"))
        })?;
        if page.items.is_empty() {
            return Err(Failure::Failed(format!(
                "the server has no event at position {next} and signed {size}: its log cannot be believed"
            )));
        }
        for stored in page.items {
            if stored.position != next {
                return Err(Failure::Failed(format!(
                    "the server answers the event at position {} where {next} should follow",
                    stored.position
                )));
            }
            next += 1;
            visit(&stored.event, next)?;
        }
    }
    Ok(())
}
