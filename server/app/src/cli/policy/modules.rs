//! The policies that a server keeps: pushed to it, listed and removed.

use std::path::PathBuf;

use clap::Args;
use ureq::http::Method;
use writ_api::Policy;

use crate::cli::output::{Out, clean, detail, parse};
use crate::cli::remote::{Call, Change, Client, Connection, Creation, Listing};
use crate::cli::{Failure, note};

use super::describe::short;
use super::file;
use super::reference::{Reference, certain};

/// Push a module to the server, which checks it and answers with its digest
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy push target/wasm32-unknown-unknown/release/night_watch.wasm --reason 'POL-3'
  writ policy push night-watch            builds the crate in this directory first

Nothing is judged by it until it is bound: `writ policy bind`.")]
pub struct Push {
    /// The module, or the directory of a crate to build; the current directory unless given
    #[arg(
        value_name = "FILE|DIRECTORY",
        default_value = ".",
        hide_default_value = true
    )]
    module: PathBuf,
    #[command(flatten)]
    creation: Creation,
    #[command(flatten)]
    connection: Connection,
}

/// List the policies of the server, in the order of their uploads
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy list
  writ policy list --name night-watch --json | jq -r '.[-1].digest'")]
pub struct List {
    /// Only the uploads with this name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

/// Remove a policy that no binding uses or could be rolled back to
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy remove night-watch@0.1.0
  writ policy remove 5f0a12cc --reason 'replaced'")]
pub struct Remove {
    /// Its digest, 8 or more digits that the digest begins with, or NAME@VERSION
    #[arg(value_name = "POLICY", value_parser = certain)]
    policy: Reference,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    connection: Connection,
}

/// The least that a push waits: the server compiles the module, one after another's.
const COMPILING_SECONDS: u64 = 90;

impl Push {
    /// Pushes it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let path = file::module(&self.module)?;
        let module = file::read(&path)?;
        let mut connection = self.connection;
        connection.timeout = connection.timeout.max(COMPILING_SECONDS);
        let mut client = Client::open(&connection)?;
        let call = Call::create(&["policies"], self.creation).content("application/wasm", module);
        let answer = client.send(call)?;
        let policy: Policy = parse(&answer.value)?;
        out.entity(&answer.value, |policy: Policy| {
            vec![
                detail("digest", policy.digest),
                detail("name", policy.name),
                detail("version", policy.version),
            ]
        })?;
        if !answer.created {
            note(format_args!(
                "It was there already, uploaded at {}.",
                clean(&policy.uploaded_at)
            ));
        }
        note(format_args!(
            "To have tokens judged by it: writ policy bind {} --api IDENTIFIER",
            clean(&short(&policy.digest))
        ));
        Ok(())
    }
}

impl List {
    /// Lists them.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let filters = [("name", self.name)];
        let header = &["name", "version", "digest", "bytes", "uploaded"];
        let row = |policy: Policy| {
            let (digest, bytes) = (short(&policy.digest), policy.bytes.to_string());
            vec![
                policy.name,
                policy.version,
                digest,
                bytes,
                policy.uploaded_at,
            ]
        };
        client.list(out, &["policies"], &self.listing, &filters, header, row)
    }
}

impl Remove {
    /// Removes it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let digest = self.policy.only(&mut client)?;
        let call = Call::change(Method::DELETE, &["policies", &digest], &self.change);
        client.done(out, call, &format!("removed {digest}"))
    }
}
