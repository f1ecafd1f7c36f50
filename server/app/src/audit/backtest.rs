//! What if: recorded decisions made again with something changed, and held against what was recorded.
//!
//! Nothing is written. A change is applied to a copy of each version of the index, in memory, as the
//! event that would have made it.

mod candidate;
mod compare;
mod run;

pub use candidate::{BacktestError, Candidate, Change, GrantReference};
pub use compare::{Difference, Effect, Outcome};
pub use run::{Application, Backtest, Counts, Progress, Report, ScopeCounts};
