//! A million applications with five grants of four scopes each: how large is the index, how quick is
//! a lookup while changes are applied, and how long does a start take?
//!
//! ```sh
//! cargo bench -p writ-benches --bench scale -- --applications 1000000 --json
//! ```
//!
//! `--data-dir D` makes the data directory there and leaves it, or starts on the one that is there.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "scale/counting.rs"]
mod counting;
#[path = "scale/index.rs"]
mod index;
#[path = "scale/process.rs"]
mod process;
#[path = "scale/start.rs"]
mod start;

use serde_json::{Value, json};
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Applications of the small server whose start is measured too.
const FEW: u64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    if let Some(data_dir) = value("--start-only") {
        println!("{}", start::child(data_dir.as_ref()));
        return;
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // As criterion has it: `cargo bench` says --bench, and `cargo test` wants to see that it works.
    let usual = if has("--bench") { 100_000 } else { 1_000 };
    let applications = value("--applications").map_or(usual, |n| n.parse().expect("a number"));

    let index = index::measure(applications);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let data_dir = value("--data-dir").map_or_else(|| temporary.path().join("many"), PathBuf::from);
    start::make(&data_dir, applications);
    let starts: Vec<Value> = (0..2).map(|_| start::measure(&data_dir)).collect();
    let few = temporary.path().join("few");
    start::make(&few, FEW.min(applications));
    let small: Vec<Value> = (0..2).map(|_| start::measure(&few)).collect();
    let all = json!({ "index": index, "starts": starts, "small_starts": small });
    match has("--json") {
        true => println!("{all}"),
        false => print("", &all),
    }
}

/// One figure a line.
fn print(name: &str, value: &Value) {
    let joined = |more: &str| match name {
        "" => more.to_owned(),
        _ => format!("{name}.{more}"),
    };
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(key, value)| print(&joined(key), value)),
        Value::Array(values) => (0..)
            .zip(values)
            .for_each(|(n, value): (usize, _)| print(&joined(&n.to_string()), value)),
        value => println!("{name} {value}"),
    }
}
