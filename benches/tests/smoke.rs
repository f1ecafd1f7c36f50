//! The load program does all that it can, for a moment each. Nothing here asserts a speed.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::process::{Command, Output};
use tempfile::TempDir;

const LOAD: &str = env!("CARGO_BIN_EXE_load");

/// Runs it on the `writ` that the same build made, with few applications.
fn load(arguments: &[&str]) -> Output {
    let output = Command::new(LOAD)
        .args(arguments)
        .arg("--writ")
        .arg(writ_tests::binary())
        .args(["--applications", "20"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output
}

/// The same, and what it found.
fn found(arguments: &[&str]) -> Value {
    let output = load(&[arguments, &["--json", "-"]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn positive(value: &Value, members: &[&str]) {
    for member in members {
        let number = value[member].as_f64();
        assert!(number.is_some_and(|it| it > 0.0), "{member} of {value}");
    }
}

#[test]
fn every_row_of_the_usual_run_is_measured() {
    let directory = TempDir::new().unwrap();
    let plot = directory.path().join("plot.svg");
    let plot_argument = plot.to_str().unwrap();
    let run = [
        "--seconds",
        "0.1",
        "--rounds",
        "1",
        "--connections",
        "4",
        "--others-max",
        "100",
        "--plot",
        plot_argument,
    ];
    let report = found(&run);
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));

    let list = load(&[&run[..], &["--list"]].concat());
    let names = String::from_utf8(list.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let measured = |name: &str| rows.iter().find(|row| row["name"] == name);
    for name in names.lines() {
        let Some(row) = measured(name) else {
            // Without Node.js, which is said aloud.
            assert!(
                name.starts_with("oidc-provider/"),
                "{name} was not measured"
            );
            assert!(!writ_tests::outside::ci(), "{name} was not measured");
            continue;
        };
        positive(
            row,
            &[
                "rate",
                "server_us",
                "client_us",
                "p50_ms",
                "p99_ms",
                "p999_ms",
                "memory",
            ],
        );
        if !name.starts_with("bare") {
            positive(row, &["of_bare", "of_floor"]);
            assert!(picture.contains(name), "{name} is not in the picture");
        }
        if name.starts_with("mix/") {
            positive(row, &["changes", "rate_of_without"]);
        }
    }
    positive(
        &report["cold_start"],
        &["milliseconds", "server_ms", "memory"],
    );
}

#[test]
fn more_than_it_can_serve_is_measured() {
    let phases = found(&["overload", "--seconds", "0.3", "--connections", "16"]);
    let names = |phases: &Value| -> Vec<String> {
        let phases = phases.as_array().unwrap().iter();
        phases
            .map(|phase| phase["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&phases), ["limit", "overload", "after"]);
    for phase in phases.as_array().unwrap() {
        positive(phase, &["served", "p50_ms", "server_us", "memory"]);
    }
    let phases = found(&[
        "overload",
        "--flood",
        "--seconds",
        "0.5",
        "--connections",
        "16",
    ]);
    let expected = [
        "limit",
        "other, before",
        "flood",
        "other, meanwhile",
        "after",
    ];
    assert_eq!(names(&phases), expected);
}

#[test]
fn what_was_answered_in_a_soak_is_in_the_log() {
    let soaked = found(&[
        "soak",
        "--seconds",
        "1",
        "--connections",
        "4",
        "--policies",
        "0",
    ]);
    positive(&soaked, &["tokens", "recorded", "server_us", "log_bytes"]);
    assert_eq!(
        (&soaked["missing"], &soaked["verified"]),
        (&0.into(), &true.into())
    );
}

#[test]
fn a_start_is_measured() {
    let cold = found(&["cold-start", "--times", "2"]);
    positive(&cold, &["milliseconds", "server_ms", "memory"]);
    assert_eq!(cold["starts"].as_array().unwrap().len(), 2);
}

#[test]
fn what_nobody_can_measure_is_refused() {
    for wrong in [
        &["--only", "nonsense"][..],
        &["--seconds", "0"],
        &["--writ", "/nonexistent"],
        &["soak", "--algorithm", "HS256"],
        &["overload", "--times", "0"],
    ] {
        let output = Command::new(LOAD).args(wrong).output().unwrap();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{wrong:?}"
        );
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
}
