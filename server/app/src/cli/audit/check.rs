//! `writ audit checkpoint`, `prove`, `check` and `consistency`: what the log was, and that an event
//! is in it, for people who trust neither the server nor its disk.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use writ_api::{LogCheckpoint, LogConsistency, LogProof};
use writ_core::codec::hex;
use writ_ledger::merkle::{Hash, verify_consistency};
use writ_ledger::note::{self, SignedCheckpoint, Vkey};

use crate::cli::Failure;
use crate::cli::output::{Out, detail};
use crate::cli::remote::{Call, Client, Connection, Read};

/// Have the server sign what its log is now, and print it
///
/// Keep what it prints where nobody who can write the server's disk can change it: any later log
/// must begin with it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit checkpoint --out checkpoint-2026-03-03
  writ audit checkpoint --key               the log's key, for those who verify")]
pub struct ShowCheckpoint {
    #[command(flatten)]
    connection: Connection,
    /// Write it to a file instead
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    out: Option<PathBuf>,
    /// Print the key that signs, and not the checkpoint
    #[arg(long)]
    key: bool,
}

impl ShowCheckpoint {
    /// Prints it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let call = Call::get(&["log", "checkpoint"], &Read::default());
        let answer: LogCheckpoint = client.fetch(call)?;
        if let Some(file) = &self.out {
            write(file, &answer.checkpoint)?;
            let text = || format!("wrote the checkpoint of {} events", answer.size);
            return out.result(&answer, text);
        }
        out.result(&answer, || match self.key {
            true => answer.vkey.clone(),
            false => answer.checkpoint.trim_end().to_owned(),
        })
    }
}

/// Prove that an event is in the log, in a form that can be verified anywhere
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit prove 17 --event event.json > 17.tlog-proof
  writ audit check 17.tlog-proof event.json --vkey KEY")]
pub struct Prove {
    #[command(flatten)]
    connection: Connection,
    /// The event's place in the log
    position: u64,
    /// Write the event to this file, byte for byte as it is stored
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
}

impl Prove {
    /// Prints the proof.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let call = Call::get(&["log", "proof"], &Read::default());
        let call = call.query("position", self.position.to_string());
        let answer: LogProof = client.fetch(call)?;
        if let Some(file) = &self.event {
            write(file, &answer.event)?;
        }
        out.result(&answer, || answer.proof.trim_end().to_owned())
    }
}

/// Check a proof that an event is in a log; needs no server and no network
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ audit check 17.tlog-proof event.json --vkey KEY

KEY is the log's, as `writ audit checkpoint --key` showed it when you trusted the server.
Exit codes: 0 it proves it, 1 it does not.")]
pub struct Check {
    /// The proof, as `writ audit prove` makes it
    proof: PathBuf,
    /// The event, byte for byte as it was stored
    event: PathBuf,
    /// The log's key
    #[arg(long, value_name = "KEY")]
    vkey: Vkey,
    /// The key of a witness that must have signed the checkpoint too; may be repeated
    #[arg(long, value_name = "KEY")]
    witness: Vec<Vkey>,
}

impl Check {
    /// Checks, and says what is proved.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let text = read(&self.proof)?;
        let proof: note::LogProof = text.parse().map_err(|error| unread(&self.proof, error))?;
        let event = read(&self.event)?;
        // A text editor, or a shell, ends a file with a newline, which is not stored.
        let event = event.strip_suffix('\n').unwrap_or(&event);
        let unsigned = |by: &&Vkey| proof.checkpoint.note.verify(by).is_none();
        if let Some(missing) = self.witness.iter().find(unsigned) {
            let name = missing.name();
            return Err(Failure::Failed(format!(
                "the witness {name} has not signed the checkpoint in this proof"
            )));
        }
        if !proof.proves(event.as_bytes(), &self.vkey) {
            return Err(Failure::Failed(
                "this does not prove that the event is in the log: another event, another key, or a \
                 proof that was changed"
                    .to_owned(),
            ));
        }
        let checkpoint = &proof.checkpoint.checkpoint;
        let value = json!({
            "proved": true,
            "position": proof.index,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": hex(&checkpoint.root),
        });
        out.result(&value, || {
            format!(
                "proved: it is the event at position {} of {} ({} events when that was signed)",
                proof.index, checkpoint.origin, checkpoint.size
            )
        })
    }
}

/// Check that the server's log still begins with the log of a checkpoint that you kept
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ audit consistency checkpoint-2026-03-03

The server proves it, and is not believed: the proof is verified here, with the key that signed the
kept checkpoint.")]
pub struct Consistency {
    #[command(flatten)]
    connection: Connection,
    /// The checkpoint that was kept
    checkpoint: PathBuf,
    /// The log's key; where not given, the server is asked for it, which then must have signed both
    #[arg(long, value_name = "KEY")]
    vkey: Option<Vkey>,
}

impl Consistency {
    /// Checks.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let kept = checkpoint(&self.checkpoint)?;
        let mut client = Client::open(&self.connection)?;
        let vkey = match self.vkey {
            Some(vkey) => vkey,
            None => {
                let call = Call::get(&["log", "checkpoint"], &Read::default());
                let now: LogCheckpoint = client.fetch(call)?;
                now.vkey.parse().map_err(|error| answered(&error))?
            }
        };
        if !kept.is_signed_by(&vkey) {
            let place = self.checkpoint.display();
            return Err(Failure::Failed(format!(
                "{place} is not signed by {vkey}: it is of another log, or the log's key was changed since \
                 (`writ events list --entity server`)"
            )));
        }
        let old = (kept.checkpoint.size, &kept.checkpoint.root);
        let call = Call::get(&["log", "consistency"], &Read::default());
        let answer: LogConsistency = client.fetch(call.query("old_size", old.0.to_string()))?;
        let now: SignedCheckpoint = answer
            .checkpoint
            .parse()
            .map_err(|error| answered(&error))?;
        let hashes = answer.hashes.iter().map(|hash| note::parse_hash(hash));
        let hashes = hashes.collect::<Option<Vec<Hash>>>();
        let proved = now.is_signed_by(&vkey)
            && hashes.is_some_and(|hashes| {
                verify_consistency(old, (now.checkpoint.size, &now.checkpoint.root), &hashes)
            });
        if !proved {
            return Err(Failure::Failed(format!(
                "the server's log does not begin with the {} events of the kept checkpoint: it was \
                 rewritten. Keep the checkpoint, and see `writ audit verify --checkpoint`",
                old.0
            )));
        }
        if out.is_json() {
            return out.value(&json!({
                "consistent": true,
                "old_size": old.0,
                "size": now.checkpoint.size,
            }));
        }
        out.details(vec![
            detail("kept", format!("{} events", old.0)),
            detail("now", format!("{} events", now.checkpoint.size)),
            detail("verdict", "the log of now begins with the one of then"),
        ])
    }
}

fn checkpoint(path: &Path) -> Result<SignedCheckpoint, Failure> {
    read(path)?.parse().map_err(|error| unread(path, error))
}

fn unread(path: &Path, error: note::ParseNoteError) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

fn answered(error: &note::ParseNoteError) -> Failure {
    Failure::Failed(format!("the server's answer is none: {error}"))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}
