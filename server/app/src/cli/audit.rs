//! `writ audit …`: what was decided, why, and what would have been. Each verb has a file in `audit`.

mod backtest;
mod explain;

use clap::Subcommand;

use super::Failure;
use super::output::Out;

#[derive(Subcommand, Debug)]
pub enum Audit {
    Explain(Box<explain::Explain>),
    Backtest(Box<backtest::Backtest>),
}

impl Audit {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Explain(verb) => verb.run(out),
            Self::Backtest(verb) => verb.run(out),
        }
    }
}
