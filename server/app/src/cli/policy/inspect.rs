//! `writ policy inspect`: what a policy says about itself, asked from the module at hand or from a
//! server.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use writ_sandbox::{EVALUATOR, Tool};

use crate::cli::Failure;
use crate::cli::output::{Out, detail, details};
use crate::cli::remote::{Call, Client, Connection, Read};

use super::describe::{self, About};
use super::file;
use super::reference::Reference;

/// Show what a policy says about itself: its settings, what it reads, denies with and adds
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy inspect night_watch.wasm    a module at hand; needs no server
  writ policy inspect night-watch         the newest of that name on the server
  writ policy inspect night-watch@0.1.0
  writ policy inspect 5f0a12cc            the one whose digest begins so")]
pub struct Inspect {
    /// A file (`*.wasm`, or with a `/`), or a policy of the server: its digest, 8 or more digits
    /// that the digest begins with, NAME or NAME@VERSION
    #[arg(value_name = "FILE|POLICY")]
    what: What,
    #[command(flatten)]
    read: Read,
    #[command(flatten)]
    connection: Connection,
}

/// What is to be inspected. It is read off the text alone: whatever lies in the directory, the same
/// words mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    File(PathBuf),
    Policy(Reference),
}

impl FromStr for What {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if given.contains('/') || given.ends_with(".wasm") {
            Ok(Self::File(given.into()))
        } else {
            given.parse().map(Self::Policy)
        }
    }
}

/// A module at hand.
#[derive(Serialize)]
struct Module {
    #[serde(flatten)]
    about: About,
    contract: &'static str,
    imports: [String; 0],
    toolchain: Vec<Tool>,
}

impl Inspect {
    /// Shows it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self.what {
            What::File(_) if self.read.as_of.is_some() => {
                let text = "--as-of is about policies of the server, and this is a file";
                Err(Failure::Usage(text.to_owned()))
            }
            What::File(path) => {
                let module = file::read(&path)?;
                let policy = file::load(&path, &module)?;
                Module {
                    about: About::module(&module, &policy),
                    contract: EVALUATOR,
                    // It would not have loaded with any.
                    imports: [],
                    toolchain: writ_sandbox::toolchain(&module),
                }
                .show(out)
            }
            What::Policy(reference) => {
                let mut client = Client::open(&self.connection)?;
                let digest = reference.digest(&mut client, &self.read)?;
                let call = Call::get(&["policies", &digest], &self.read);
                client.show(out, call, describe::policy)
            }
        }
    }
}

impl Module {
    fn show(self, out: &mut Out) -> Result<(), Failure> {
        if out.is_json() {
            return out.value(&self);
        }
        let mut lines = self.about.describe();
        lines.push(detail("contract", self.contract));
        lines.push(detail("imports", "none"));
        let tools = self.toolchain.iter();
        let tools = tools.map(|tool| {
            format!("{} {}", tool.name, tool.version)
                .trim_end()
                .to_owned()
        });
        lines.push(details("toolchain", tools.collect()));
        out.details(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_a_policy_by_its_look() {
        let file = |text: &str| Ok(What::File(text.into()));
        let policy = |text: &str| text.parse().map(What::Policy);
        for given in ["a.wasm", "./night-watch", "target/x"] {
            assert_eq!(given.parse(), file(given));
        }
        for given in ["night-watch", "night-watch@0.1.0", "5f0a12cc"] {
            assert_eq!(given.parse(), policy(given));
        }
    }
}
