//! kill -9 at random instants. A child process (this test binary, started again) writes under load
//! and prints what was acknowledged; its parent kills it, opens what it left, and looks for it.

use crate::random::Random;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use writ_core::{ApplicationId, Jti, Millis, Position, RecordMode};
use writ_ledger::engine::Entry;
use writ_ledger::{
    Credential, DataDir, EngineKind, IssuanceConfig, IssuanceLog, IssuanceRecord, LogId, Outcome,
    RECORD_VERSION, Reserve, open_engine,
};

const ID: LogId = LogId(42);
const DIRECTORY: &str = "WRIT_TEST_KILL_DIRECTORY";
const WHAT: &str = "WRIT_TEST_KILL_WHAT";
/// However slow the machine is, the kills end.
const TIME_MAX: Duration = Duration::from_secs(45);

/// Not a test: what the child does. In an ordinary run there is nothing to do.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the child of a test is told by its environment"
)]
fn child() {
    let (Ok(directory), Ok(what)) = (std::env::var(DIRECTORY), std::env::var(WHAT)) else {
        return;
    };
    let data = DataDir::create(Path::new(&directory)).unwrap();
    match what.as_str() {
        "redb" => append(&data, EngineKind::Redb),
        "sled" => append(&data, EngineKind::Sled),
        _ => issue(&data),
    }
}

/// Says that everything below a number is acknowledged. One write a line: a kill cannot tear it.
fn acknowledge(number: u64) {
    let line = format!("acknowledged {number}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn entry(n: u64) -> Entry {
    let bytes = format!(
        "{{\"n\":{n},\"filler\":\"{}\"}}",
        "x".repeat(n as usize % 2000)
    );
    Entry {
        bytes: bytes.into_bytes(),
        entities: vec![format!("e/{}", n % 5), "all".to_owned()],
    }
}

fn append(data: &DataDir, kind: EngineKind) {
    let engine = open_engine(data, kind, Some(ID)).unwrap();
    let mut head = engine.head().unwrap();
    acknowledge(head);
    loop {
        let batch: Vec<Entry> = (head..head + 1 + head % 4).map(entry).collect();
        head = engine.append(head, &batch).unwrap();
        acknowledge(head);
    }
}

fn record(n: u64) -> IssuanceRecord {
    let at = Millis(1_772_528_400_000 + n / 3);
    IssuanceRecord {
        v: RECORD_VERSION,
        id: Jti(u128::from(at.0) << 80 | u128::from(n)),
        at,
        application: ApplicationId(7),
        credential: Credential {
            method: "client_secret_basic".into(),
            id: "s".into(),
        },
        as_of: Position(n),
        asked: vec!["courses:read".into(); n as usize % 8],
        granted: Vec::new(),
        resources: Vec::new(),
        address: None,
        traceparent: None,
        clock: None,
        policies: Vec::new(),
        input: None,
        attributes: None,
        engine: None,
        kid: None,
        alg: None,
        exp: None,
        outcome: Outcome::Granted,
    }
}

fn issuance_config() -> IssuanceConfig {
    let mut config = IssuanceConfig::new(Arc::new(|| Millis(1_772_528_400_000)));
    config.file_bytes = 200_000;
    config.free_space_min = 0;
    config
}

fn issue(data: &DataDir) {
    let log = IssuanceLog::open(data, ID, issuance_config()).unwrap();
    let mut n = count(&log);
    acknowledge(n);
    loop {
        let pending: Vec<_> = (n..n + 20)
            .map(|n| log.record(&record(n), RecordMode::Durable, Reserve::Keep))
            .collect();
        for answer in pending {
            answer.wait().unwrap();
            n += 1;
            acknowledge(n);
        }
    }
}

fn count(log: &IssuanceLog) -> u64 {
    let mut count = 0;
    log.scan(Millis(0), &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    count
}

fn start(directory: &Path, what: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::child",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(DIRECTORY, directory)
        .env(WHAT, what)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child write for a random while, kills it, and gives the last number it acknowledged.
fn kill_one(directory: &Path, what: &str, after: Duration) -> u64 {
    let mut child = start(directory, what);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
            .last()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap().unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "a bound on the time of a test")]
fn now() -> Instant {
    Instant::now()
}

/// Kills so many children; `check` opens what each left and gives the number found. Some kills
/// fall into the start and the repair of the one before.
fn kill_many(what: &str, kills: u32, seed: u64, mut check: impl FnMut(&DataDir) -> u64) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    let mut random = Random(seed);
    let began = now();
    let (mut done, mut acknowledged) = (0, 0);
    while done < kills && began.elapsed() < TIME_MAX {
        let after = Duration::from_micros(5_000 + random.below(150_000));
        acknowledged = kill_one(&directory, what, after).max(acknowledged);
        done += 1;
        if directory.join("lock").exists() {
            let data = DataDir::open(&directory).unwrap();
            let found = check(&data);
            assert!(
                found >= acknowledged,
                "kill {done}: {acknowledged} acknowledged, {found} found"
            );
        }
    }
    assert!(
        done * 4 >= kills && acknowledged > 100,
        "{done} kills, {acknowledged} acknowledged"
    );
}

fn check_engine(data: &DataDir, kind: EngineKind) -> u64 {
    let engine = match open_engine(data, kind, None) {
        Ok(engine) => engine,
        // Killed before there was a log.
        Err(writ_ledger::Fault::NotADataDirectory { .. }) => return 0,
        Err(fault) => panic!("{fault}"),
    };
    let head = engine.head().unwrap();
    let mut next = 0;
    while next < head {
        for (position, bytes) in engine.read(next, 4_096, usize::MAX).unwrap() {
            assert_eq!(position, next);
            assert_eq!(bytes, entry(position).bytes);
            next += 1;
        }
    }
    let all = engine.positions("all", 0..u64::MAX, usize::MAX).unwrap();
    assert_eq!(all, (0..head).collect::<Vec<u64>>());
    head
}

#[test]
fn redb_loses_nothing_to_100_kills() {
    kill_many("redb", 100, 1, |data| check_engine(data, EngineKind::Redb));
}

#[test]
fn sled_loses_nothing_to_25_kills() {
    kill_many("sled", 25, 2, |data| check_engine(data, EngineKind::Sled));
}

#[test]
fn the_issuance_log_loses_nothing_to_30_kills() {
    kill_many("issuances", 30, 3, |data| {
        let log = IssuanceLog::open(data, ID, issuance_config()).unwrap();
        let mut next = 0;
        log.scan(Millis(0), &mut |_, bytes| {
            let found: IssuanceRecord = serde_json::from_slice(bytes).unwrap();
            assert_eq!(found, record(next));
            next += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        for n in (0..next).step_by(97) {
            assert_eq!(log.find(record(n).id).unwrap().unwrap(), record(n));
        }
        next
    });
}
