//! `writ audit …`: what the log proves, what was decided and why, and what would have been. Each verb has
//! a file in `audit`.

mod backtest;
mod check;
mod diff;
mod explain;
mod export;
mod replay;
mod verify;

use clap::Subcommand;

use super::Failure;
use super::output::Out;

#[derive(Subcommand, Debug)]
pub enum Audit {
    Verify(verify::Verify),
    Replay(replay::Replay),
    Export(export::Export),
    Prove(check::Prove),
    Check(check::Check),
    Consistency(check::Consistency),
    Checkpoint(check::ShowCheckpoint),
    Explain(Box<explain::Explain>),
    Backtest(Box<backtest::Backtest>),
    Diff(diff::Diff),
    History(diff::History),
}

impl Audit {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Verify(verb) => verb.run(out),
            Self::Replay(verb) => verb.run(out),
            Self::Export(verb) => verb.run(out),
            Self::Prove(verb) => verb.run(out),
            Self::Check(verb) => verb.run(out),
            Self::Consistency(verb) => verb.run(out),
            Self::Checkpoint(verb) => verb.run(out),
            Self::Explain(verb) => verb.run(out),
            Self::Backtest(verb) => verb.run(out),
            Self::Diff(verb) => verb.run(out),
            Self::History(verb) => verb.run(out),
        }
    }
}
