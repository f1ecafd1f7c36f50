//! What the log proves, verified with Go's own packages for transparency logs: checkpoints, inclusion
//! and consistency of a running server. What somebody altered convinces neither Go nor Writ.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use writ_tests::{Admin, Finished, PATIENCE, Process, Writ, binary, outside, repository};

/// Go's verifier, and a directory for what it reads.
pub(crate) struct Verifier {
    program: PathBuf,
    directory: TempDir,
}

impl Verifier {
    /// None when `checks` are left out for want of Go.
    pub(crate) fn new(checks: &str) -> Option<Self> {
        let source = repository().join("tests/clients/go");
        Some(Self {
            program: outside::go_program(&source, checks)?,
            directory: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut verify = Command::new(&self.program);
        verify.args(arguments).current_dir(&self.directory);
        Process::run("go verify", verify, PATIENCE)
    }

    /// The checks that passed.
    #[track_caller]
    pub(crate) fn verifies(&self, arguments: &[&str]) -> Vec<String> {
        let finished = self.run(arguments).expect_success("go verify");
        let passed = finished.stdout.lines();
        passed
            .map(|line| line.strip_prefix("ok ").unwrap().to_owned())
            .collect()
    }

    /// That it does not verify, since `why`.
    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &[&str], why: &str) {
        let finished = self.run(arguments);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(why), "{finished:?}");
    }
}

/// The program with the server's credentials.
pub(crate) fn audit(writ: &Writ, arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary());
    command
        .arg("audit")
        .args(arguments)
        .env("WRIT_ADMIN_FILE", writ.data("admin.json"));
    Process::run("writ audit", command, PATIENCE)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn make_roles(admin: &Admin, names: &str, count: usize) {
    for n in 0..count {
        let role = json!({ "name": format!("{names} {n:03}"), "scopes": [] });
        admin.post("/roles", &role).expect(201);
    }
}

/// The key that signs the log.
pub(crate) fn vkey(writ: &Writ) -> String {
    let key = audit(writ, &["checkpoint", "--key"]).expect_success("writ audit checkpoint --key");
    key.stdout.trim().to_owned()
}

/// The same with another bit in the last hash of a proof.
fn with_other_hash(lines: &str) -> String {
    let (rest, last) = lines.trim_end().rsplit_once('\n').unwrap_or(("", lines));
    let mut hash = BASE64_STANDARD.decode(last.trim_end()).unwrap();
    hash[17] ^= 4;
    format!("{rest}\n{}\n", BASE64_STANDARD.encode(hash))
}

#[test]
fn go_verifies_that_an_event_is_in_the_log() {
    let Some(go) = Verifier::new("inclusion with sumdb/tlog") else {
        return;
    };
    let writ = Writ::start();
    let admin = writ.admin();
    make_roles(&admin, "clerk", 20);
    let key = vkey(&writ);
    let events = admin.events();
    let last = events.len() - 1;
    let clerk = |event: &Value| event.to_string().contains("clerk 011");
    let at = events.iter().position(clerk).unwrap();
    for position in [0, 1, at, last] {
        let (event, proof) = (go.file("event"), go.file("proof"));
        let position = position.to_string();
        let made = audit(&writ, &["prove", &position, "--event", text(&event)]);
        fs::write(&proof, made.expect_success("writ audit prove").stdout).unwrap();
        let passed = go.verifies(&["inclusion", &key, "proof", "event"]);
        assert_eq!(passed.len(), 2, "{passed:?}");
        audit(
            &writ,
            &["check", text(&proof), text(&event), "--vkey", &key],
        )
        .expect_success("writ audit check");
    }

    let made = audit(
        &writ,
        &["prove", &at.to_string(), "--event", text(&go.file("event"))],
    );
    let proof = made.expect_success("writ audit prove").stdout;
    go.write("proof", &proof);
    let (head, checkpoint) = proof.split_once("\n\n").unwrap();
    let lines: Vec<&str> = checkpoint.split('\n').collect();
    let other = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line] = text;
        format!("{head}\n\n{}", lines.join("\n"))
    };
    let size: usize = lines[1].parse().unwrap();
    let shorter = (size - 1).to_string();
    let root = BASE64_STANDARD.encode([7; 32]);
    let index = proof.replace(&format!("index {at}\n"), &format!("index {}\n", at - 1));
    let event = fs::read_to_string(go.file("event")).unwrap();
    let (path, signature) = ("invalid transparency proof", "invalid signature");
    let altered = [
        ("event", event.replace("clerk 011", "clerk 012"), path),
        ("event", format!("{event} "), path),
        ("proof", index, path),
        (
            "proof",
            format!("{}\n{checkpoint}", with_other_hash(head)),
            path,
        ),
        ("proof", other(1, &shorter), signature),
        ("proof", other(2, &root), signature),
        (
            "proof",
            proof.replace(lines[0], "another.example/writ"),
            "note has no verifiable signatures",
        ),
    ];
    for (file, altered, why) in altered {
        let right = fs::read_to_string(go.file(file)).unwrap();
        assert_ne!(altered, right);
        go.write(file, &altered);
        go.refuses(&["inclusion", &key, "proof", "event"], why);
        let (proof, event) = (go.file("proof"), go.file("event"));
        let checked = audit(
            &writ,
            &["check", text(&proof), text(&event), "--vkey", &key],
        );
        assert_eq!(checked.status.code(), Some(1), "{altered}\n{checked:?}");
        assert!(
            checked.stderr.contains("this does not prove"),
            "{checked:?}"
        );
        go.write(file, &right);
    }
    let stranger = vkey(&Writ::start());
    go.refuses(
        &["inclusion", &stranger, "proof", "event"],
        "note has no verifiable signatures",
    );
}

#[test]
fn go_verifies_that_the_log_only_grew() {
    let Some(go) = Verifier::new("consistency with sumdb/tlog") else {
        return;
    };
    let writ = Writ::start();
    let admin = writ.admin();
    let key = vkey(&writ);
    let old = go.file("old");
    audit(&writ, &["checkpoint", "--out", text(&old)]).expect_success("writ audit checkpoint");
    make_roles(&admin, "clerk", 13);
    let consistency = ["consistency", text(&old), "--vkey", &key];
    audit(&writ, &consistency).expect_success("writ audit consistency");

    let size = fs::read_to_string(&old).unwrap();
    let size = size.split('\n').nth(1).unwrap();
    let answer = admin
        .get(&format!("/log/consistency?old_size={size}"))
        .expect(200)
        .json();
    let hashes: Vec<&str> = answer["hashes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| hash.as_str().unwrap())
        .collect();
    let hashes = format!("{}\n", hashes.join("\n"));
    let new = answer["checkpoint"].as_str().unwrap();
    go.write("new", new);
    go.write("hashes", &hashes);
    let arguments = ["consistency", &key, "old", "new", "hashes"];
    let passed = go.verifies(&arguments);
    assert_eq!(passed.len(), 3, "{passed:?}");
    assert_eq!(passed[0], format!("checkpoint {size}"));

    go.write("hashes", &with_other_hash(&hashes));
    go.refuses(&arguments, "invalid transparency proof");
    go.write("hashes", &hashes);

    go.write(
        "old",
        &with_another_root(&fs::read_to_string(&old).unwrap()),
    );
    go.refuses(&arguments, "invalid signature");
}

/// A checkpoint with another root.
fn with_another_root(checkpoint: &str) -> String {
    let mut lines: Vec<&str> = checkpoint.split('\n').collect();
    let root = BASE64_STANDARD.encode([7; 32]);
    lines[2] = &root;
    lines.join("\n")
}
