//! Audits: recorded decisions made again, from the log alone.
//!
//! `again.rs` makes one decision again, of its record and the index it rests on. `explain.rs` compares
//! what came of it with what is recorded. `evidence.rs` is where both come from when no server runs;
//! a server explains from what it has open. `backtest.rs` makes many decisions again with something
//! changed.

mod again;
pub mod backtest;
mod differences;
mod evidence;
mod explain;
mod modules;
#[cfg(test)]
mod tests;

pub use evidence::{Evidence, EvidenceError, Walk};
pub use explain::{Surroundings, explain, withdrawal_of, withdrawn_by};
pub use modules::{Askable, Modules};
