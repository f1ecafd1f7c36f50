//! `writ audit …`: what the log proves. Most of it needs no server, and no network.

mod check;
mod verify;

use clap::Subcommand;

use super::Failure;
use super::output::Out;

#[derive(Subcommand, Debug)]
pub enum Audit {
    Verify(verify::Verify),
    Prove(check::Prove),
    Check(check::Check),
    Consistency(check::Consistency),
    Checkpoint(check::ShowCheckpoint),
}

impl Audit {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Verify(verb) => verb.run(out),
            Self::Prove(verb) => verb.run(out),
            Self::Check(verb) => verb.run(out),
            Self::Consistency(verb) => verb.run(out),
            Self::Checkpoint(verb) => verb.run(out),
        }
    }
}
