//! The disk of Writ under test: every engine against one contract, power cuts, and the admin log
//! with the rules on top. kill -9 has a binary of its own.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod archive;
mod engines;
mod issuances;
mod power;
mod random;
mod simulation;
mod walk;
mod within;

use within::within;
