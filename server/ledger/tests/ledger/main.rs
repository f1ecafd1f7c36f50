//! The disk of Writ under test, in one binary: every engine against one contract, power cuts,
//! kill -9, and the admin log with the rules on top.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod engines;
mod issuances;
mod kill;
mod power;
mod random;
