//! `writ witness` beside a running server: it signs what only grows, and whoever puts an older or
//! another log in its place is found by what the witness has seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use writ_tests::{Finished, PATIENCE, Process, Start, Writ, binary, free_port, poll};

use crate::proofs::{Verifier, audit, make_roles, vkey};

/// A witness that runs, or will.
struct Witness {
    directory: TempDir,
    vkey: String,
    port: u16,
}

fn writ(arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary());
    command.args(arguments);
    Process::run("writ", command, PATIENCE)
}

impl Witness {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("w");
        let name = "witness.example/w1";
        let init = [
            "witness",
            "init",
            "--dir",
            dir.to_str().unwrap(),
            "--name",
            name,
        ];
        let made = writ(&init).expect_success("writ witness init");
        Self {
            vkey: made.stdout.trim().to_owned(),
            directory,
            port: free_port(),
        }
    }

    fn dir(&self) -> String {
        self.directory.path().join("w").to_str().unwrap().to_owned()
    }

    /// Looks after a log. With a certificate it is for `localhost`.
    fn run(&self, log: &str, certificate: Option<(&Path, &Path)>) -> Process {
        let mut command = Command::new(binary());
        let listen = format!("127.0.0.1:{}", self.port);
        command
            .args(["witness", "run", "--dir", &self.dir(), "--log", log])
            .args(["--listen", &listen]);
        if let Some((cert, key)) = certificate {
            command
                .arg("--tls-cert")
                .arg(cert)
                .arg("--tls-key")
                .arg(key);
        }
        let process = Process::spawn("writ witness run", command);
        process.line("writ: listening on ");
        process
    }

    /// What a server is told of it.
    fn address(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/ {}", self.port, self.vkey)
    }

    fn show(&self) -> Value {
        let shown = writ(&["--json", "witness", "show", "--dir", &self.dir()]);
        serde_json::from_str(&shown.expect_success("writ witness show").stdout).unwrap()
    }

    /// A file with the last checkpoint of a log that it has signed.
    fn seen(&self, log: &str) -> PathBuf {
        let name = log.split('+').next().unwrap();
        let shown = writ(&["witness", "show", "--dir", &self.dir(), "--log", name]);
        let path = self.directory.path().join("seen");
        fs::write(
            &path,
            shown.expect_success("writ witness show --log").stdout,
        )
        .unwrap();
        path
    }
}

fn stop(mut process: Process) {
    process.terminate();
    assert_eq!(
        process.wait(PATIENCE).code(),
        Some(0),
        "{}",
        process.stderr()
    );
}

/// The checkpoint in the data directory.
fn checkpoint(writ: &Writ) -> String {
    fs::read_to_string(writ.data("checkpoint")).unwrap()
}

fn size(checkpoint: &str) -> u64 {
    checkpoint.split('\n').nth(1).unwrap().parse().unwrap()
}

/// Waits until the whole log is signed by the witness.
fn cosigned(writ: &Writ) -> String {
    let head = writ.admin().head() as u64;
    poll("a cosignature of all events", || {
        let checkpoint = checkpoint(writ);
        let signed =
            size(&checkpoint) >= head && checkpoint.contains("\u{2014} witness.example/w1 ");
        signed.then_some(checkpoint)
    })
}

fn metric(writ: &Writ, name: &str) -> u64 {
    let answer = writ.ops().get("/metrics");
    let text = String::from_utf8(answer.body).unwrap();
    let series = format!("writ_{name}{{witness=\"witness.example/w1\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value
        .unwrap_or_else(|| panic!("no {series} in {text}"))
        .parse()
        .unwrap()
}

fn verify(data: &Path, more: &[&str]) -> Finished {
    let verify = ["audit", "verify", "--data-dir", data.to_str().unwrap()];
    writ(&[&verify, more].concat())
}

/// That it does not verify, and what is said.
#[track_caller]
fn finds(data: &Path, more: &[&str], what: &str) {
    let finished = verify(data, more);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let mut wrong = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("WRONG"));
    assert!(wrong.any(|line| line.contains(what)), "{finished:?}");
}

#[test]
fn a_witness_signs_what_the_server_signs() {
    let server = Writ::with(Start {
        tls: true,
        ..Start::default()
    });
    let (witness, log) = (Witness::new(), vkey(&server));
    let (cert, key) = (server.data("tls/cert.pem"), server.data("tls/key.pem"));
    let start = Start {
        tls: true,
        ..Start::default()
    }
    .with("WRIT_CHECKPOINT_WITNESSES", witness.address("https"))
    .with("WRIT_CHECKPOINT_WITNESS_CA_FILE", cert.to_str().unwrap());

    // Nobody listens yet: the server works, and says once that it has no cosignature.
    let mut server = server.restart_as(start);
    make_roles(&server.admin(), "clerk", 5);
    poll("two failures", || {
        (metric(&server, "witness_failures_total") > 1).then_some(())
    });
    assert_eq!(
        server.said().matches("the witness does not sign").count(),
        1
    );
    let process = witness.run(&log, Some((&cert, &key)));
    cosigned(&server);
    poll("a word of it", || {
        let said = server.said();
        said.contains("the witness signs again").then_some(())
    });

    // A crash of the witness forgets nothing; the server goes on where they were.
    let mut process = process;
    process.kill();
    let process = witness.run(&log, Some((&cert, &key)));
    make_roles(&server.admin(), "manager", 9);
    let signed = cosigned(&server);
    poll("the metric", || {
        let seen = metric(&server, "witness_cosigned_size");
        (seen == size(&signed)).then_some(())
    });
    assert!(metric(&server, "witness_cosigned_timestamp_seconds") > 1_700_000_000);
    assert_eq!(witness.show()["vkey"], witness.vkey);
    assert_eq!(witness.show()["logs"][0]["size"], size(&signed));
    assert_eq!(witness.show()["logs"][0]["conflict"], Value::Null);

    // A proof says who has seen it.
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let proved = audit(&server, &["prove", "3", "--event", &file("event")]);
    fs::write(
        file("proof"),
        proved.expect_success("writ audit prove").stdout,
    )
    .unwrap();
    let check = ["check", &file("proof"), &file("event"), "--vkey", &log];
    audit(
        &server,
        &[&check[..], &["--witness", &witness.vkey]].concat(),
    )
    .expect_success("writ audit check --witness");
    let stranger = Witness::new();
    let missing = audit(
        &server,
        &[&check[..], &["--witness", &stranger.vkey]].concat(),
    );
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    if let Some(go) = Verifier::new("cosignatures with sumdb/note") {
        go.write("checkpoint", &signed);
        let passed = go.verifies(&["cosignature", &witness.vkey, "checkpoint"]);
        assert_eq!(passed, [format!("cosignature {}", size(&signed))]);
        assert_eq!(go.verifies(&["checkpoint", &log, "checkpoint"]).len(), 1);
        let altered = signed.replace(&format!("\n{}\n", size(&signed)), "\n3\n");
        go.write("checkpoint", &altered);
        go.refuses(
            &["cosignature", &witness.vkey, "checkpoint"],
            "invalid signature",
        );
    }

    // What the server has signed last of all is signed by the witness too.
    make_roles(&server.admin(), "guard", 3);
    assert_eq!(server.stop().code(), Some(0), "{}", server.said());
    let verified = verify(
        &server.data(""),
        &["--vkey", &log, "--witness", &witness.vkey],
    );
    let verified = verified.expect_success("writ audit verify --witness");
    assert!(
        verified.stdout.contains("seen by witness.example/w1 at "),
        "{}",
        verified.stdout
    );
    finds(
        &server.data(""),
        &["--witness", &stranger.vkey],
        "signed none of the checkpoints",
    );
    stop(process);
}

fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(from).arg(to);
    Process::run("cp", cp, PATIENCE).expect_success("cp");
}

/// Somebody with the whole disk, keys and all, puts an older copy in the place of the data directory.
#[test]
fn what_a_witness_has_seen_finds_an_older_copy_and_another_history() {
    let server = Writ::start();
    let (witness, log) = (Witness::new(), vkey(&server));
    let process = witness.run(&log, None);
    let start = Start::default().with("WRIT_CHECKPOINT_WITNESSES", witness.address("http"));
    let mut server = server.restart_as(start.clone());
    make_roles(&server.admin(), "clerk", 5);
    cosigned(&server);
    server.stop();
    let (data, old) = (server.data(""), witness.directory.path().join("old"));
    copy(&data, &old);

    let mut server = server.restart();
    make_roles(&server.admin(), "manager", 9);
    let before = size(&cosigned(&server));
    server.stop();
    fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);

    // The older copy is whole in itself, and its last checkpoint was even signed by the witness:
    // only what the witness has seen since says otherwise.
    let by_witness = ["--witness", witness.vkey.as_str()];
    verify(&data, &by_witness).expect_success("writ audit verify");
    let seen = witness.seen(&log);
    let seen = ["--checkpoint", seen.to_str().unwrap()];
    finds(
        &data,
        &[&by_witness[..], &seen].concat(),
        "or an older copy was restored",
    );

    // A server that is started on it hears it from the witness.
    let server = server.restart();
    poll("the alarm", || {
        let said = server.said();
        let ahead = format!("it has seen {before} events of this log");
        (said.contains("the witness does not sign") && said.contains(&ahead)).then_some(())
    });

    // It goes on with another history until that is longer: signed by the log's own key, and a
    // valid chain from its start. The witness does not sign it, ever.
    make_roles(&server.admin(), "forger", 12);
    let mut server = server.restart();
    poll("the alarm", || {
        let said = server.said();
        said.contains("it has seen another history of this log")
            .then_some(())
    });
    assert_eq!(metric(&server, "witness_cosigned_size"), 0);
    assert_eq!(witness.show()["logs"][0]["size"], before);
    server.stop();
    verify(&data, &["--vkey", &log]).expect_success("writ audit verify");
    finds(
        &data,
        &by_witness,
        "the witness witness.example/w1 signed none",
    );
    finds(
        &data,
        &[&by_witness[..], &seen].concat(),
        "are not those that",
    );

    // Once its operator is believed, the witness begins anew.
    stop(process);
    let name = log.split('+').next().unwrap();
    let forgotten = writ(&["witness", "forget", "--dir", &witness.dir(), "--log", name]);
    let forgotten = forgotten.expect_success("writ witness forget").stdout;
    assert!(
        forgotten.contains(&format!("given up: log  {name}: {before} entries")),
        "{forgotten}"
    );
    let process = witness.run(&log, None);
    let mut server = server.restart_as(start);
    cosigned(&server);
    server.stop();
    verify(&data, &by_witness).expect_success("writ audit verify");
    stop(process);
}

#[test]
fn a_witness_says_what_is_wrong_with_its_arguments() {
    let witness = Witness::new();
    let dir = witness.dir();
    let again = writ(&["witness", "init", "--dir", &dir, "--name", "w"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(again.stderr.contains("exists already"), "{again:?}");
    let run = [
        "witness",
        "run",
        "--dir",
        &dir,
        "--listen",
        "127.0.0.1:0",
        "--log",
    ];
    let own = writ(&[&run[..], &[&witness.vkey]].concat());
    assert_eq!(own.status.code(), Some(1), "{own:?}");
    assert!(own.stderr.contains("is the key of a witness"), "{own:?}");
    let log = vkey(&Writ::start());
    let open = [
        "witness",
        "run",
        "--dir",
        &dir,
        "--listen",
        "0.0.0.0:0",
        "--log",
        &log,
    ];
    let open = writ(&open);
    assert_eq!(open.status.code(), Some(2), "{open:?}");
    assert!(open.stderr.contains("plain HTTP on 0.0.0.0:0"), "{open:?}");
    let nowhere = writ(&["witness", "show", "--dir", "/nonexistent"]);
    assert!(
        nowhere.stderr.contains("`writ witness init` makes one"),
        "{nowhere:?}"
    );
}
