//! `writ audit …`: what was decided, why, and what would have been. Each verb has a file in `audit`.

mod explain;

use clap::Subcommand;

use super::Failure;
use super::output::Out;

#[derive(Subcommand, Debug)]
pub enum Audit {
    Explain(Box<explain::Explain>),
}

impl Audit {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Explain(verb) => verb.run(out),
        }
    }
}
