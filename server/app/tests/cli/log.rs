//! Real data directories that somebody changes, and what `writ audit verify` says to that. The stores
//! are changed through the database itself, as by someone who has the file and knows what is in it;
//! once also bit by bit.

use super::{PATIENCE, Run, program, text, writ};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use writ::app::App;
use writ::bootstrap::{self, InitOptions, Surroundings};
use writ::clock::{Stopwatch, SystemClock, SystemRandom};
use writ::config::{Config, Issuer};
use writ_core::{Actor, Command, Submission};
use writ_ledger::note::Vkey;
use writ_ledger::witness;
use writ_ledger::{Checkpoints, Fault, Reserve, Witness};
use writ_sandbox::SandboxConfig;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// A data directory of a server that has stopped.
struct Stopped {
    directory: TempDir,
}

fn config(data_dir: PathBuf) -> Config {
    let mut config = Config::default();
    config.data_dir = data_dir;
    config.issuer = Issuer::parse("https://login.example").ok();
    config
}

/// Opens it, as soon as the lock is free: a program that another test starts at this moment has every
/// open file for an instant, locks included.
fn open(config: &Config) -> Result<App, bootstrap::BootstrapError> {
    let watch = Stopwatch::start();
    loop {
        match try_open(config) {
            Err(bootstrap::BootstrapError::Disk(Fault::InUse { .. }))
                if watch.elapsed() < PATIENCE =>
            {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

fn try_open(config: &Config) -> Result<App, bootstrap::BootstrapError> {
    let surroundings = Surroundings {
        issuer: config.issuer.clone().unwrap(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        sandbox: SandboxConfig::default(),
    };
    bootstrap::open(config, surroundings)
}

fn make_roles(app: &App, names: &str, count: usize) {
    for n in 0..count {
        let command = Command::CreateRole {
            name: format!("{names} {n:03}").parse().unwrap(),
            scopes: Vec::new(),
        };
        let actor = Actor::operator("test");
        let submission = Submission::new(actor, app.command_id(), command);
        app.ledger.execute(submission).wait().unwrap();
    }
}

impl Stopped {
    /// One with some hundred events.
    fn new() -> Self {
        let stopped = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        bootstrap::init(&stopped.config(), &InitOptions::default()).unwrap();
        stopped.goes_on("clerk", 300);
        stopped
    }

    /// Starts it, makes some roles, and stops it.
    fn goes_on(&self, names: &str, roles: usize) {
        let app = open(&self.config()).unwrap();
        make_roles(&app, names, roles);
        app.ledger.close();
        app.checkpoint();
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn config(&self) -> Config {
        config(self.data())
    }

    /// A copy as it is now, under another name.
    fn keep(&self, name: &str) -> String {
        let kept = self.directory.path().join(name);
        fs::copy(self.data().join("checkpoint"), &kept).unwrap();
        kept.to_str().unwrap().to_owned()
    }

    fn store(&self) -> Database {
        Database::open(self.data().join("admin.redb")).unwrap()
    }

    fn events(&self) -> Vec<Vec<u8>> {
        let store = self.store();
        let events = store.begin_read().unwrap().open_table(EVENTS).unwrap();
        events
            .iter()
            .unwrap()
            .map(|row| row.unwrap().1.value().to_vec())
            .collect()
    }

    /// Puts other events in place of all.
    fn replace(&self, events: &[Vec<u8>]) {
        let store = self.store();
        let transaction = store.begin_write().unwrap();
        {
            let mut table = transaction.open_table(EVENTS).unwrap();
            table.retain(|_, _| false).unwrap();
            for (position, bytes) in (0u64..).zip(events) {
                table.insert(position, bytes.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    fn verify(&self, more: &[&str]) -> Run {
        let data = self.data();
        let verify = ["audit", "verify", "--data-dir", data.to_str().unwrap()];
        writ(&[&verify, more].concat())
    }

    /// What it says is wrong, with what it says for people.
    #[track_caller]
    fn finds(&self, more: &[&str], expected: &[&str]) {
        let run = self.verify(more).exits(1);
        for text in expected {
            let wrong = run.stdout.lines().filter(|line| line.starts_with("WRONG"));
            let found = wrong.clone().any(|line| line.contains(text));
            assert!(found, "no {text:?} in {}", run.stdout);
        }
        assert!(run.stderr.contains("does not verify"), "{}", run.stderr);
    }

    /// Why a server does not start on it.
    fn refused(&self) -> String {
        open(&self.config()).unwrap_err().to_string()
    }
}

/// The position and bytes of an event with a text in it.
fn with(events: &[Vec<u8>], text: &str) -> usize {
    let has = |event: &Vec<u8>| event.windows(text.len()).any(|w| w == text.as_bytes());
    events.iter().position(has).unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

#[test]
fn a_log_that_nobody_touched_verifies() {
    let stopped = Stopped::new();
    let run = stopped.verify(&[]).exits(0);
    assert!(run.stdout.contains("nothing was changed"), "{}", run.stdout);
    let run = stopped.verify(&["--json"]).exits(0);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["verified"], true);
    assert_eq!(value["events"], stopped.events().len());
    assert_eq!(value["checkpoints"][0]["signed"], true);
    assert_eq!(value["findings"], serde_json::json!([]));
    let vkey = text(&value, "/vkey").to_owned();
    stopped.verify(&["--vkey", &vkey]).exits(0);
}

#[test]
fn one_changed_letter_is_found_and_located() {
    let stopped = Stopped::new();
    let mut events = stopped.events();
    let at = with(&events, "clerk 123");
    let event = String::from_utf8(events[at].clone()).unwrap();
    events[at] = event.replace("clerk 123", "clerk 124").into_bytes();
    stopped.replace(&events);
    let located = format!("the first event that is not what it was is at position {at}");
    stopped.finds(
        &[],
        &[&located, "are not those that", "checkpoint vouches for"],
    );
    let refused = stopped.refused();
    assert!(
        refused.contains(&format!("the first at position {at}")),
        "{refused}"
    );
    // Without the hint it is found all the same.
    fs::remove_file(stopped.data().join("admin.leaves")).unwrap();
    stopped.finds(&[], &["where they differ cannot be told"]);
}

/// Any single bit of an event, one by one at several places of it.
#[test]
fn one_flipped_bit_anywhere_in_an_event_is_found() {
    let stopped = Stopped::new();
    let events = stopped.events();
    let at = with(&events, "clerk 200");
    let bits = events[at].len() * 8;
    for bit in (0..bits).step_by(bits / 9) {
        let mut changed = events.clone();
        changed[at][bit / 8] ^= 1 << (bit % 8);
        stopped.replace(&changed);
        stopped.finds(&[], &[&format!("is at position {at}")]);
    }
    stopped.replace(&events);
    stopped.verify(&[]).exits(0);
}

/// The same in the file, where the database has sums of its own: it does not open, or it verifies
/// and no event is another one, since the bit was in free space.
#[test]
fn one_flipped_bit_in_the_file_never_changes_an_event_unseen() {
    let stopped = Stopped::new();
    let (events, path) = (stopped.events(), stopped.data().join("admin.redb"));
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for part in 1..24 {
        let mut changed = whole.clone();
        let bit = changed.len() * 8 / 24 * part + 5;
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, changed).unwrap();
        let run = stopped.verify(&[]);
        match run.code {
            Some(0) => {
                harmless += 1;
                assert!(stopped.events() == events, "bit {bit}");
            }
            _ => {
                refused += 1;
                let run = run.exits(1);
                assert!(run.stderr.contains("is damaged"), "{}", run.stderr);
                assert!(run.stderr.contains("restore a backup"), "{}", run.stderr);
            }
        }
    }
    assert!(refused > 0, "{harmless} harmless");
}

#[test]
fn a_removed_event_is_found() {
    let stopped = Stopped::new();
    let mut events = stopped.events();
    let at = with(&events, "clerk 050");
    events.remove(at);
    stopped.replace(&events);
    stopped.finds(&[], &["1 were cut off"]);
    // And with another in its place at the end, so that the number is right.
    events.push(events[events.len() - 1].clone());
    stopped.replace(&events);
    stopped.finds(
        &[],
        &[
            &format!("is at position {at}"),
            "events were removed, moved or put in here",
        ],
    );
}

#[test]
fn two_swapped_events_are_found() {
    let stopped = Stopped::new();
    let mut events = stopped.events();
    let (one, other) = (with(&events, "clerk 060"), with(&events, "clerk 160"));
    events.swap(one, other);
    stopped.replace(&events);
    stopped.finds(
        &[],
        &[
            &format!("is at position {one}"),
            "it is earlier than the event before it",
        ],
    );
}

#[test]
fn a_cut_tail_is_found_and_the_server_does_not_start_on_it() {
    let stopped = Stopped::new();
    let events = stopped.events();
    let have = events.len() - 3;
    stopped.replace(&events[..have]);
    let all = events.len();
    let cut = format!("the log has {have} events, and");
    stopped.finds(
        &[],
        &[&cut, &format!("vouches for {all}: the last 3 were cut off")],
    );
    let refused = stopped.refused();
    assert!(refused.contains("writ log accept-restore"), "{refused}");
    // Nor when the checkpoint is taken away with it.
    fs::remove_file(stopped.data().join("checkpoint")).unwrap();
    let refused = stopped.refused();
    assert!(refused.contains("checkpoint is missing"), "{refused}");
    stopped.finds(&[], &["there is no checkpoint"]);
}

/// A forger with the whole disk: another log with a valid chain, signed by a key of his own.
#[test]
fn a_log_rewritten_from_the_start_is_found_by_what_he_could_not_change() {
    let stopped = Stopped::new();
    let kept = stopped.keep("kept");
    let run = stopped.verify(&["--json"]).exits(0);
    let before: Value = serde_json::from_str(&run.stdout).unwrap();
    let vkey = text(&before, "/vkey");

    let forged = Stopped::new();
    forged.goes_on("forger", 50);
    fs::remove_dir_all(stopped.data()).unwrap();
    copy_dir(&forged.data(), &stopped.data());
    // In itself it is whole.
    stopped.verify(&[]).exits(0);
    stopped.finds(
        &["--checkpoint", &kept],
        &["are not those that", "not signed by the log's key"],
    );
    stopped.finds(
        &["--vkey", vkey],
        &["which is none of those that you trust"],
    );
}

/// The same, where nobody has kept anything but a witness what it has seen.
#[test]
fn a_log_rewritten_from_the_start_is_found_by_a_witness() {
    let stopped = Stopped::new();
    let place = stopped.directory.path().join("witness");
    let key = Witness::create(&place, "witness.example/w1").unwrap();
    let run = stopped.verify(&["--json"]).exits(0);
    let before: Value = serde_json::from_str(&run.stdout).unwrap();
    let log: Vkey = text(&before, "/vkey").parse().unwrap();
    let submitted = witness::Submission {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: Checkpoints::read(&stopped.data().join("checkpoint"))
            .unwrap()
            .unwrap(),
    };
    let signer = Witness::open(&place, vec![log.clone()]).unwrap();
    signer.add(&submitted, 1_764_000_000).unwrap();
    let place = place.to_str().unwrap();
    let show = ["witness", "show", "--dir", place, "--log", log.name()];
    let seen = stopped.directory.path().join("seen");
    fs::write(&seen, writ(&show).exits(0).stdout).unwrap();
    let key = key.to_string();
    let against = ["--witness", &key, "--checkpoint", seen.to_str().unwrap()];
    let run = stopped.verify(&against).exits(0);
    let said = "seen by witness.example/w1 at 2025-11-24T";
    assert!(run.stdout.contains(said), "{}", run.stdout);

    let forged = Stopped::new();
    forged.goes_on("forger", 50);
    fs::remove_dir_all(stopped.data()).unwrap();
    copy_dir(&forged.data(), &stopped.data());
    stopped.verify(&[]).exits(0);
    stopped.finds(&["--witness", &key], &["signed none of the checkpoints"]);
    stopped.finds(
        &against,
        &["are not those that", "not signed by the log's key"],
    );
    // Nor does the witness sign it, whoever signs it for the log.
    let forgery = Checkpoints::read(&stopped.data().join("checkpoint"));
    let mut forgery = witness::Submission {
        old_size: submitted.checkpoint.checkpoint.size,
        checkpoint: forgery.unwrap().unwrap(),
        ..submitted
    };
    let refused = signer.add(&forgery, 1_764_000_001).unwrap_err();
    assert!(refused.to_string().contains("does not know the log"));
    forgery.checkpoint.checkpoint.origin = log.name().into();
    let refused = signer.add(&forgery, 1_764_000_001).unwrap_err();
    assert!(refused.to_string().contains("is not signed by a key"));
}

#[test]
fn a_restored_old_copy_is_found_by_a_checkpoint_kept_elsewhere() {
    let stopped = Stopped::new();
    let old = stopped.directory.path().join("old");
    copy_dir(&stopped.data(), &old);
    stopped.goes_on("later", 5);
    let kept = stopped.keep("kept");
    fs::remove_dir_all(stopped.data()).unwrap();
    copy_dir(&old, &stopped.data());
    // In itself it is whole.
    stopped.verify(&[]).exits(0);
    stopped.finds(&["--checkpoint", &kept], &["or an older copy was restored"]);

    // A server that copies its checkpoints notices it when it starts.
    let mut config = stopped.config();
    config.checkpoint.copy_to = Some(kept.clone().into());
    let refused = open(&config).unwrap_err().to_string();
    assert!(
        refused.contains("its end was cut off, or an older"),
        "{refused}"
    );

    // If it is wanted, that is said, and the server starts.
    let data = stopped.data();
    let accept = [
        "log",
        "accept-restore",
        "--data-dir",
        data.to_str().unwrap(),
        "--issuer",
        "https://login.example",
    ];
    writ(&accept).complains(1, "there is nothing to accept");
    let run =
        Run::of(program(stopped.directory.path(), &accept).env("WRIT_CHECKPOINT_COPY_TO", &kept))
            .exits(0);
    assert!(
        run.stdout.contains("given up: the log of"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("  secret "), "{}", run.stdout);
    assert!(run.stdout.contains("  signing key "), "{}", run.stdout);
    drop(open(&config).unwrap());
    let run = stopped.verify(&["--checkpoint", &kept]).exits(0);
    assert!(
        run.stdout.contains("was given up for an older state"),
        "{}",
        run.stdout
    );
}

fn submit(app: &App, command: Command) {
    let submission = Submission::new(Actor::operator("test"), app.command_id(), command);
    app.ledger.execute(submission).wait().unwrap();
}

#[test]
fn modules_are_held_against_the_log() {
    let stopped = Stopped::new();
    let app = open(&stopped.config()).unwrap();
    let wasm =
        include_bytes!("../../../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm");
    let (_, command) = app.policies.take(wasm).unwrap();
    submit(&app, command);
    app.ledger.close();
    app.checkpoint();
    drop(app);
    let run = stopped.verify(&[]).exits(0);
    assert!(run.stdout.contains("1 as uploaded"), "{}", run.stdout);
    let first = |path: &Path| fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let blob = first(&first(&stopped.data().join("blobs")));
    let mut bytes = fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs::write(&blob, bytes).unwrap();
    stopped.finds(&[], &["the policy module", "cannot be trusted"]);
    fs::remove_file(&blob).unwrap();
    stopped.finds(&[], &["is missing; restore it from a backup"]);
}

#[test]
fn sealed_issuances_are_held_against_the_log() {
    const FRAMES: TableDefinition<'_, (u128, u64), &[u8]> = TableDefinition::new("frames");
    let stopped = Stopped::new();
    let app = open(&stopped.config()).unwrap();
    let record = r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000003","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","credential":{"method":"client_secret_post","id":"x"},"as_of":0,"outcome":{"denied":{"reason":"policy_denied"}}}"#;
    let record = serde_json::from_str(record).unwrap();
    let durable = writ_core::RecordMode::Durable;
    let recorded = app.issuances.record(&record, durable, Reserve::Keep);
    recorded.wait().unwrap();
    app.issuances.rotate();
    // Waits until what was rotated is sealed.
    app.issuances.close();
    let sealed = app.issuances.sealed().remove(0);
    submit(
        &app,
        Command::SealIssuances {
            file: sealed.file.clone(),
            first: sealed.first,
            last: sealed.last,
            records: sealed.records,
            root: sealed.root,
        },
    );
    app.ledger.close();
    app.checkpoint();
    drop(app);
    let run = stopped.verify(&[]).exits(0);
    assert!(run.stdout.contains("1 files as sealed"), "{}", run.stdout);

    let path = stopped.data().join("issuance").join(&*sealed.file);
    let file = Database::open(&path).unwrap();
    let transaction = file.begin_write().unwrap();
    {
        let mut frames = transaction.open_table(FRAMES).unwrap();
        let (key, frame) = {
            let (key, frame) = frames.first().unwrap().unwrap();
            (key.value(), frame.value().to_vec())
        };
        let frame: Vec<u8> = frame
            .iter()
            .map(|b| if *b == b'x' { b'y' } else { *b })
            .collect();
        frames.insert(key, frame.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(file);
    stopped.finds(&[], &["the issuance file", "has 1 records with the root"]);
    // Retention takes whole files, and the log remembers them.
    fs::remove_file(&path).unwrap();
    fs::remove_file(path.with_extension("seal")).unwrap();
    let run = stopped.verify(&[]).exits(0);
    assert!(
        run.stdout.contains("0 files as sealed, 1 no longer there"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_checkpoint_that_is_none_is_an_error() {
    let stopped = Stopped::new();
    stopped
        .verify(&["--checkpoint", "/nonexistent"])
        .complains(1, "there is no checkpoint at /nonexistent");
    fs::write(stopped.data().join("checkpoint"), "no").unwrap();
    stopped.verify(&[]).complains(1, "not a signed note");
    stopped
        .verify(&["--vkey", "x+y+z"])
        .complains(2, "not a verifier key");
    let signed = Checkpoints::read(&stopped.data().join("checkpoint"));
    assert!(signed.is_err());
}

#[test]
fn a_log_is_exported_verified_imported_and_served_again() {
    let stopped = Stopped::new();
    let data = stopped.data();
    let (data, place) = (data.to_str().unwrap(), stopped.directory.path());
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (archive, moved) = (path("archive"), path("moved"));
    writ(&[
        "audit",
        "export",
        "--data-dir",
        data,
        "--to",
        &archive,
        "--with-keys",
    ])
    .exits(0);
    writ(&["audit", "export", "--data-dir", data, "--to", &archive])
        .complains(1, "exists already and is not overwritten");
    let run = writ(&["audit", "verify", "--archive", &archive]).exits(0);
    assert!(run.stdout.contains("(archive)"), "{}", run.stdout);
    assert!(run.stdout.contains("nothing was changed"), "{}", run.stdout);
    let digest = |run: Run| {
        let value: Value = serde_json::from_str(&run.exits(0).stdout).unwrap();
        text(&value, "/digest").to_owned()
    };
    let here = digest(writ(&["audit", "replay", "--data-dir", data, "--json"]));
    let there = digest(writ(&[
        "audit",
        "replay",
        "--archive",
        &archive,
        "--against",
        &here,
        "--json",
    ]));
    assert_eq!(here, there);
    writ(&["audit", "replay", "--archive", &archive, "--against", "00"]).exits(1);

    writ(&["log", "import", &archive, "--data-dir", &moved]).exits(0);
    // The master key is nowhere but with its owner.
    let config = config(moved.clone().into());
    let refused = open(&config).unwrap_err().to_string();
    assert!(refused.contains("master.key"), "{refused}");
    fs::copy(
        stopped.data().join("master.key"),
        place.join("moved/master.key"),
    )
    .unwrap();
    let app = open(&config).unwrap();
    make_roles(&app, "after the move", 3);
    app.ledger.close();
    app.checkpoint();
    drop(app);
    let kept = stopped.keep("kept");
    writ(&[
        "audit",
        "verify",
        "--data-dir",
        &moved,
        "--checkpoint",
        &kept,
    ])
    .exits(0);
    writ(&["log", "import", "/nonexistent", "--data-dir", &moved]).complains(1, "not an archive");
}

/// By the admin API of a running server: what it proves, and that it decides by its log.
#[test]
fn a_running_server_proves_what_is_in_its_log() {
    let server = super::dev(&["--demo"]);
    let kept = server.path("kept");
    let kept = kept.to_str().unwrap();
    server.says(&["audit", "checkpoint", "--out", kept]);
    let vkey = server.says(&["audit", "checkpoint", "--key"]);
    let vkey = vkey.trim();
    server.says(&["role", "create", "Clerk"]);
    assert!(
        server
            .says(&["audit", "consistency", kept])
            .contains("begins with the one of then")
    );
    let run = server
        .run(&["audit", "consistency", kept, "--vkey", vkey])
        .exits(0);
    assert_eq!(run.stderr, "");

    let proof = server.says(&["audit", "prove", "0", "--event", "event.json"]);
    fs::write(server.path("0.tlog-proof"), proof).unwrap();
    let check = |vkey: &str| {
        server.run(&[
            "audit",
            "check",
            "0.tlog-proof",
            "event.json",
            "--vkey",
            vkey,
        ])
    };
    assert!(
        check(vkey)
            .exits(0)
            .stdout
            .contains("the event at position 0")
    );
    let other = "example.com/log+0c1f5a97+AQ".to_owned();
    check(&other).complains(2, "not a verifier key");
    let event = fs::read_to_string(server.path("event.json")).unwrap();
    fs::write(
        server.path("event.json"),
        event.replace("log.created", "log.creatf"),
    )
    .unwrap();
    check(vkey).complains(1, "does not prove");
    server
        .run(&["audit", "prove", "1000000"])
        .complains(1, "the log has");

    let replay = server.json(&["audit", "replay"]);
    assert_eq!(replay["equal"], true, "{replay}");
    server.says(&["audit", "export", "--to", "archive"]);
    let run = server
        .run(&[
            "audit",
            "verify",
            "--archive",
            "archive",
            "--checkpoint",
            kept,
            "--vkey",
            vkey,
        ])
        .exits(0);
    assert!(run.stdout.contains("1 as uploaded"), "{}", run.stdout);
    server
        .run(&["audit", "verify", "--data-dir", "writ-data"])
        .complains(1, "in use by another process");
}

#[test]
fn what_changed_is_said_in_words_and_as_json() {
    let server = super::dev(&["--demo"]);
    let head = |server: &super::Server| {
        let events = server.run(&["events", "list", "--json"]).exits(0).stdout;
        (events.lines().count() - 1).to_string()
    };
    let from = head(&server);
    let made = server.json(&["role", "create", "Clerk"]);
    let id = text(&made, "/id");
    server.says(&[
        "role",
        "change",
        id,
        "--name",
        "Cashier",
        "--reason",
        "a better word",
    ]);
    server.says(&["settings", "set", "tokens.lifetime_seconds=600"]);
    let to = head(&server);
    let words = server.says(&["audit", "diff", &from, &to]);
    for said in [
        "role Clerk created",
        "Clerk",
        "Cashier",
        "a better word",
        "900",
        "600",
    ] {
        assert!(words.contains(said), "no {said:?} in {words}");
    }
    let value = server.json(&["audit", "diff", &from, &to]);
    let entities = value["entities"].as_array().unwrap();
    assert_eq!(entities.len(), 2, "{value}");
    let history = server.says(&["audit", "history", &format!("role/{id}")]);
    assert!(history.contains("Cashier"), "{history}");
    // As of then it is called as it was called then.
    let before = (from.parse::<u64>().unwrap() + 1).to_string();
    let then = server.json(&["role", "show", id, "--as-of", &before]);
    assert_eq!(text(&then, "/name"), "Clerk");
    server
        .run(&["audit", "diff", &to, &from])
        .complains(1, "the earlier state comes first");
    server
        .run(&["audit", "diff", "soon"])
        .complains(1, "is not a position");
}

#[test]
fn who_can_get_what_is_reviewed_and_what_nobody_uses() {
    let server = super::dev(&["--demo"]);
    server.says(&["token", "get", "--credentials", "writ-data/demo.json"]);
    let demo = fs::read_to_string(server.path("writ-data/demo.json")).unwrap();
    let demo: Value = serde_json::from_str(&demo).unwrap();
    let id = text(&demo, "/client_id");
    let of_demo = server.json(&["access", "review", "--application", id]);
    let [only] = &of_demo.as_array().unwrap()[..] else {
        panic!("{of_demo}");
    };
    assert_eq!(text(only, "/through"), "grant");
    let scopes: Vec<&str> = only["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect();
    assert!(scopes.contains(&"courses:publish"), "{of_demo}");
    let said = server.says(&["access", "review", "--scope", "courses:publish"]);
    assert!(said.contains(id), "{said}");
    server.says(&["application", "disable", id]);
    let disabled = server.json(&["access", "review", "--application", id]);
    assert_eq!(text(&disabled, "/0/unusable"), "disabled");
    // As of the first start nobody but the administrator could anything.
    let then = server.json(&["access", "review", "--as-of", "0"]);
    assert_eq!(then, serde_json::json!([]));

    let unused = server.json(&["access", "unused", "--days", "1"]);
    assert!(unused["records_from"].is_string(), "{unused}");
    let grants = unused["grants"].as_array().unwrap();
    let of_demo = grants.iter().find(|grant| grant["application"] == id);
    let left = of_demo.map(|grant| grant["unused"].as_array().unwrap().len());
    assert!(left.is_none_or(|left| left < scopes.len()), "{unused}");
    assert!(
        server
            .says(&["access", "unused", "--days", "1"])
            .contains("records reach back")
    );
    server.run(&["access", "unused"]).complains(2, "--days");
    server
        .run(&["access", "review", "--api-resource", "nope"])
        .complains(1, "api_resource");
}
