//! The master key from the environment, where there is to be no file with it.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use writ_tests::{Finished, PATIENCE, Process, Start, Writ, binary};

const VARIABLE: &str = "WRIT_MASTER_KEY";

/// A start that must fail.
fn start_with(writ: &Writ, key: Option<&str>) -> Finished {
    let mut command = Command::new(binary());
    command
        .args(["dev", "--http", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(writ.data(""));
    if let Some(key) = key {
        command.env(VARIABLE, key);
    }
    Process::run("writ", command, PATIENCE)
}

#[test]
fn the_master_key_can_come_from_the_environment() {
    let key = BASE64_STANDARD.encode([0xA7; 32]);
    let writ = Writ::with(Start::default().with(VARIABLE, key.clone()));
    assert!(
        !writ.data("master.key").exists(),
        "the key was written down"
    );
    let admin = writ.admin();
    let made = admin.post("/signing-keys", &json!({ "algorithm": "EdDSA" }));
    let kid = made.expect(201).text("kid");

    // It opens what it sealed, and nothing else does.
    let mut writ = writ.kill_and_restart();
    writ.admin()
        .get(&format!("/signing-keys/{kid}"))
        .expect(200);
    writ.stop();
    let other = BASE64_STANDARD.encode([0xA8; 32]);
    for (wrong, words) in [
        (None, "cannot read the master key"),
        (Some(other.as_str()), "the master key does not open"),
        (
            Some("c2hvcnQ="),
            "WRIT_MASTER_KEY does not hold a master key",
        ),
        (
            Some("no base64"),
            "WRIT_MASTER_KEY does not hold a master key",
        ),
    ] {
        let refused = start_with(&writ, wrong);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        let shown = wrong.is_some_and(|wrong| refused.stderr.contains(wrong));
        assert!(!shown, "{refused:?}");
    }
    assert!(
        !writ.data("master.key").exists(),
        "a failed start made a key"
    );

    // It can be a file again: the same key is the same key.
    std::fs::write(writ.data("master.key"), &key).unwrap();
    std::fs::set_permissions(
        writ.data("master.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let writ = writ.restart_as(Start::default());
    writ.admin()
        .get(&format!("/signing-keys/{kid}"))
        .expect(200);
}
