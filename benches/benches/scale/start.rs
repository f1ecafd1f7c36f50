//! A start of the server on a data directory with so many applications: in a process of its own, so
//! that its memory and its processor time are nobody else's.

use crate::process::{memory, process_cpu, wall};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use writ::bootstrap::{self, InitOptions, Surroundings};
use writ::clock::{SystemClock, SystemRandom};
use writ::config::{ByteSize, Config, Issuer};
use writ_benches::population::Population;
use writ_core::Index;
use writ_ledger::{DataDir, EngineKind, open_engine, replay};
use writ_sandbox::SandboxConfig;

fn config(data_dir: &Path) -> Config {
    let mut config = Config::default();
    config.data_dir = data_dir.to_owned();
    config.issuer = Issuer::parse("https://writ.example").ok();
    config.disk.issuance_floor = ByteSize(0);
    config
}

/// Makes a data directory, unless it is there.
pub fn make(data_dir: &Path, applications: u64) {
    if data_dir.exists() {
        return;
    }
    bootstrap::init(&config(data_dir), &InitOptions::default()).expect("a new data directory");
    let data = DataDir::open(data_dir).expect("just made");
    let engine = open_engine(&data, EngineKind::Redb, None).expect("just made");
    let mut index = Index::default();
    replay(&*engine, &mut index, |_| {}).expect("it reads");
    Population::after(&index, applications).append_to(&*engine);
}

/// Starts in this process, stops, and says what that took.
pub fn child(data_dir: &Path) -> Value {
    let (began, cpu) = (wall(), process_cpu());
    let config = config(data_dir);
    let app = bootstrap::open(
        &config,
        Surroundings {
            issuer: config.issuer.clone().expect("set above"),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            sandbox: SandboxConfig::default(),
        },
    )
    .expect("it opens");
    let (took, used) = (wall() - began, process_cpu() - cpu);
    let (resident, peak) = memory();
    let index = app.index();
    let from_snapshot = app.snapshots.last();
    // As the maintenance does, some seconds after a start.
    let cpu = process_cpu();
    let due = app.snapshots.is_due(&app.ledger);
    let written = due.then(|| app.snapshots.write(&app.ledger).expect("a snapshot"));
    let writing = process_cpu() - cpu;
    json!({
        "applications": index.application_count(),
        "events": index.next_position().0,
        "events_from_snapshot": from_snapshot,
        "wall_ms": took / 1_000_000,
        "cpu_ms": used / 1_000_000,
        "resident_mb": resident / 1_000_000,
        "peak_mb": peak / 1_000_000,
        "snapshot_written_bytes": written,
        "snapshot_cpu_ms": writing / 1_000_000,
    })
}

/// Starts in another process.
pub fn measure(data_dir: &Path) -> Value {
    let program = std::env::current_exe().expect("this program");
    let run = Command::new(program)
        .arg("--start-only")
        .arg(data_dir)
        .output()
        .expect("it runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    serde_json::from_slice(&run.stdout).expect("JSON")
}
