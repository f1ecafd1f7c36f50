//! kill -9 at random instants. A child process (this test binary, started again) writes under load
//! and prints what was acknowledged; its parent kills it, opens what it left, and looks for it.
//!
//! This is a binary of its own, and its tests wait for one another: a process that was forked and
//! has not come to its program yet holds what its parent had open, locks included, and whoever
//! opens the same file in that moment finds it in use.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../ledger/random.rs"]
mod random;
#[path = "../ledger/within.rs"]
mod within;

use random::Random;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use within::within;
use writ_core::{
    ApplicationId, CommandId, Entity, Jti, Millis, Position, RecordMode, Submission, testkit,
};
use writ_ledger::{
    Credential, DataDir, EngineKind, Fault, Held, IssuanceConfig, IssuanceLog, IssuanceRecord,
    Ledger, LedgerConfig, LogId, Outcome, RECORD_VERSION, RandomIds, ReplayError, ReplayStore,
    Reserve, open_engine,
};

/// One test at a time.
static KILLING: Mutex<()> = Mutex::new(());

const ID: LogId = LogId(42);
const DIRECTORY: &str = "WRIT_TEST_KILL_DIRECTORY";
const WHAT: &str = "WRIT_TEST_KILL_WHAT";
/// How long a child may take until it acknowledges something, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so many kills a new log is begun: a start replays, and need not replay ever more.
const KILLS_PER_LOG: u32 = 25;

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
        "redb" => change(&data, EngineKind::Redb),
        "sled" => change(&data, EngineKind::Sled),
        "replays" => present(&data),
        _ => issue(&data),
    }
}

/// Says that everything below a number is acknowledged. One write a line: a kill cannot tear it.
fn acknowledge(number: u64) {
    let line = format!("acknowledged {number}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The ledger of the server: with the one writer, its group commit and its answers.
fn ledger(data: &DataDir, kind: EngineKind, new: Option<LogId>) -> Result<Ledger, Fault> {
    Ledger::open(LedgerConfig {
        engine: open_engine(data, kind, new)?,
        clock: Arc::new(|| testkit::BEGIN),
        ids: Arc::new(RandomIds::default()),
        data: None,
        anchors: Vec::new(),
        snapshots: None,
        progress: None,
        on_commit: None,
    })
}

/// The application that the event at this position makes, in the log of a child.
fn made_at(position: u64) -> ApplicationId {
    ApplicationId(1_000 + u128::from(position))
}

fn change(data: &DataDir, kind: EngineKind) {
    let ledger = ledger(data, kind, Some(ID)).unwrap();
    let head = || ledger.index().next_position().0;
    if head() == 0 {
        let mut command = testkit::initialize();
        if let writ_core::Command::Initialize { log_id, .. } = &mut command {
            *log_id = ID.to_string().into();
        }
        let begin = Submission::new(testkit::operator(), CommandId(1), command);
        ledger.execute(begin).wait().unwrap();
    }
    acknowledge(head());
    loop {
        let from = head();
        // Queued together, so that some commits have several and some have one.
        let pending: Vec<_> = (from..from + 1 + from % 5)
            .map(|position| {
                let filler = "x".repeat(position as usize % 100);
                let name = format!("Job {position} {filler}.");
                let command = testkit::create_application(made_at(position).0, &name);
                let id = CommandId(u128::from(position) + 2);
                ledger.execute(Submission::new(testkit::operator(), id, command))
            })
            .collect();
        for pending in pending {
            acknowledge(pending.wait().unwrap().position().0 + 1);
        }
    }
}

fn record(n: u64) -> IssuanceRecord {
    let at = Millis(1_772_528_400_000 + n / 3);
    IssuanceRecord {
        v: RECORD_VERSION,
        id: Jti(u128::from(at.0) << 80 | u128::from(n)),
        at,
        application: ApplicationId(7),
        grant_type: None,
        credential: Credential {
            method: "client_secret_basic".into(),
            id: "s".into(),
            token: None,
        },
        exchanged: None,
        as_of: Position(n),
        asked: vec!["courses:read".into(); n as usize % 8],
        granted: Vec::new(),
        resources: Vec::new(),
        details_types: Vec::new(),
        authorization_details: Vec::new(),
        held: Held::default(),
        address: None,
        traceparent: None,
        clock: None,
        policies: Vec::new(),
        input: None,
        attributes: None,
        engine: None,
        kid: None,
        alg: None,
        binding: None,
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

/// While a child lives nothing expires.
const PRESENTED: Millis = Millis(1_772_528_400_000);

fn replays(data: &DataDir) -> ReplayStore {
    ReplayStore::open(data, ID, PRESENTED, 1_000_000).unwrap()
}

fn digest(n: u64) -> [u8; 32] {
    std::array::from_fn(|at| n.to_be_bytes()[at % 8])
}

fn present(data: &DataDir) {
    let store = replays(data);
    let mut n = store.stats().entries as u64;
    acknowledge(n);
    loop {
        let until = |n: u64| PRESENTED.plus_seconds(1 + n % 3_600);
        let waiting: Vec<_> = (n..n + 1 + n % 20)
            .map(|n| store.remember(&digest(n), until(n), PRESENTED).unwrap())
            .collect();
        for waiting in waiting {
            waiting.wait().unwrap();
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

/// A child that runs, and what it has acknowledged. Dropping it kills it.
struct Running {
    child: Child,
    acknowledged: Receiver<u64>,
}

impl Running {
    fn start(directory: &Path, what: &str) -> Self {
        let errors = File::create(directory.with_extension("stderr")).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(DIRECTORY, directory)
            .env(WHAT, what)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, acknowledged) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("acknowledged ") {
                    // Nobody may be listening any more; the pipe is emptied all the same.
                    let _ = sender.send(number.parse().unwrap());
                }
            }
        });
        Self {
            child,
            acknowledged,
        }
    }

    /// Waits for the first number; says what the child said if there is none.
    fn first(&self, directory: &Path) -> u64 {
        let first = self.acknowledged.recv_timeout(PATIENCE);
        first.unwrap_or_else(|why| {
            let said = std::fs::read_to_string(directory.with_extension("stderr"));
            panic!("nothing was acknowledged ({why}): {}", said.unwrap())
        })
    }

    /// Kills it; the last number, if there was one.
    fn kill(mut self) -> Option<u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Ends when the reader has come to the end of the pipe.
        self.acknowledged.iter().last()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills so many children, each a random while after its first acknowledged number; and a few more
/// on their way there, in the start and the repair of the one before. `check` opens what each left
/// and gives the number found.
fn kill_many(what: &str, kills: u32, seed: u64, check: fn(DataDir) -> u64) {
    let _one_at_a_time = KILLING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = Random(seed);
    let (mut done, mut beyond_the_first) = (0, 0);
    while done < kills {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("data");
        let mut acknowledged = 0;
        for kill in 0..KILLS_PER_LOG.min(kills - done) {
            let look = |acknowledged: u64| {
                if !directory.join("lock").exists() {
                    assert_eq!(acknowledged, 0);
                    return;
                }
                let data = DataDir::open(&directory).unwrap();
                let found = within("the check", move || check(data));
                assert!(
                    found >= acknowledged,
                    "kill {kill}: {acknowledged} acknowledged, {found} found"
                );
            };
            if kill % 5 == 0 {
                let early = Running::start(&directory, what);
                std::thread::sleep(Duration::from_micros(random.below(40_000)));
                acknowledged = early.kill().unwrap_or(0).max(acknowledged);
                look(acknowledged);
            }
            let running = Running::start(&directory, what);
            let first = running.first(&directory);
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            let last = running.kill();
            beyond_the_first += u32::from(last.is_some());
            acknowledged = last.unwrap_or(first).max(acknowledged);
            look(acknowledged);
            done += 1;
        }
    }
    assert_eq!(done, kills);
    // Most fell where something was written, and not just after the start.
    assert!(
        beyond_the_first * 2 > kills,
        "{beyond_the_first} of {kills}"
    );
}

/// Every event is there, without a gap, and is what the child wrote at its position.
fn check_changes(data: &DataDir, kind: EngineKind) -> u64 {
    let ledger = match ledger(data, kind, None) {
        Ok(ledger) => ledger,
        // Killed before there was a log.
        Err(Fault::NotADataDirectory { .. }) => return 0,
        Err(fault) => panic!("{fault}"),
    };
    let index = ledger.snapshot();
    let head = index.next_position().0;
    let jobs = index.application_count().saturating_sub(1) as u64;
    let begun = head - jobs;
    for position in begun..head {
        let id = made_at(position);
        let name = &index.application(id).unwrap().name;
        let written = name.as_str().split(' ').nth(1);
        assert_eq!(written, Some(position.to_string().as_str()));
    }
    for position in (begun..head).step_by(37) {
        let about = Entity::Application(made_at(position));
        let all = Position(0)..Position(u64::MAX);
        let positions = ledger.positions(&about, all, usize::MAX).unwrap();
        assert_eq!(positions, [Position(position)]);
    }
    head
}

#[test]
fn redb_loses_nothing_to_100_kills() {
    kill_many("redb", 100, 1, |data| {
        check_changes(&data, EngineKind::Redb)
    });
}

#[test]
fn sled_loses_nothing_to_25_kills() {
    kill_many("sled", 25, 2, |data| check_changes(&data, EngineKind::Sled));
}

#[test]
fn the_issuance_log_loses_nothing_to_30_kills() {
    kill_many("issuances", 30, 3, |data| {
        let log = IssuanceLog::open(&data, ID, issuance_config()).unwrap();
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

#[test]
fn what_counts_once_is_refused_after_each_of_30_kills() {
    kill_many("replays", 30, 4, |data| {
        let store = replays(&data);
        let found = store.stats().entries as u64;
        for n in 0..found {
            let until = PRESENTED.plus_seconds(3_600);
            let again = store.remember(&digest(n), until, PRESENTED).map(drop);
            assert_eq!(again, Err(ReplayError::Replayed), "{n} of {found}");
        }
        found
    });
}
