//! The admin log with the rules on top: decided, durable, published, answered, in that order.

use crate::within;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use writ_core::testkit::{self, ADMIN, Action, BEGIN, Log};
use writ_core::{
    Actor, ApplicationId, Command, CommandId, Entity, Idempotency, Index, Millis, Position,
    Refusal, Submission, codec,
};
use writ_ledger::engine::Entry;
use writ_ledger::{
    Clock, DataDir, Engine, EngineKind, Failure, Fault, Ledger, LedgerConfig, LogId, MemDisk,
    MemEngine, Receipt, Rejection, SeededIds, Writer, open_engine,
};

const ID: LogId = LogId(42);

/// A clock that a test turns.
#[derive(Default)]
struct Hands(AtomicU64);

impl Hands {
    fn set(&self, at: Millis) {
        self.0.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

fn config(engine: Arc<dyn Engine>, clock: &Arc<Hands>) -> LedgerConfig {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    LedgerConfig {
        engine,
        clock,
        ids: Arc::new(SeededIds::new(1)),
        data: None,
        anchors: Vec::new(),
        snapshots: None,
        progress: None,
        on_commit: None,
    }
}

fn memory(disk: &Arc<MemDisk>) -> Arc<dyn Engine> {
    Arc::new(MemEngine::open(disk).unwrap())
}

fn clock() -> Arc<Hands> {
    let hands = Hands::default();
    hands.set(BEGIN);
    Arc::new(hands)
}

fn submission(actor: Actor, number: u128, command: Command) -> Submission {
    Submission::new(actor, CommandId(number), command)
}

/// Begins the log under its own identity.
fn initialize() -> Submission {
    let mut command = testkit::initialize();
    if let Command::Initialize { log_id, .. } = &mut command {
        *log_id = ID.to_string().into();
    }
    submission(testkit::operator(), 1, command)
}

fn create(n: u128) -> Submission {
    let command = testkit::create_application(n, &format!("Job {n}"));
    submission(testkit::operator(), 1_000 + n, command)
}

fn started() -> (Arc<MemDisk>, Arc<Hands>, Ledger) {
    let (disk, clock) = (MemDisk::new(ID), clock());
    let ledger = Ledger::open(config(memory(&disk), &clock)).unwrap();
    ledger.execute(initialize()).wait().unwrap();
    (disk, clock, ledger)
}

fn replayed(disk: &Arc<MemDisk>) -> Index {
    let mut index = Index::default();
    for (bytes, position) in disk.durable().iter().zip(0..) {
        index.apply(&codec::decode(Position(position), bytes).unwrap());
    }
    index
}

#[test]
fn a_change_is_durable_published_and_answered() {
    let (disk, _, ledger) = started();
    let before = ledger.snapshot();
    let receipt = ledger.execute(create(100)).wait().unwrap();
    assert_eq!(receipt.position().0 + 1, disk.durable().len() as u64);
    assert_eq!(receipt.events.len(), 1);
    assert!(receipt.index.application(ApplicationId(100)).is_some());
    assert!(ledger.index().application(ApplicationId(100)).is_some());
    assert!(
        before.application(ApplicationId(100)).is_none(),
        "a snapshot stays what it was"
    );
    assert_eq!(*ledger.snapshot(), replayed(&disk));
    let refused = ledger.execute(create(100)).wait().unwrap_err();
    assert!(matches!(
        refused,
        Rejection::Refused(Refusal::ApplicationIdTaken { .. })
    ));
    assert_eq!(
        disk.durable().len() as u64,
        receipt.position().0 + 1,
        "a refusal writes nothing"
    );
}

#[test]
fn a_restart_replays_to_the_same_index() {
    let directory = tempfile::tempdir().unwrap();
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let data = DataDir::create(&directory.path().join(kind.file_name())).unwrap();
        let data = Arc::new(data);
        assert!(matches!(
            open_engine(&data, kind, None),
            Err(Fault::NotADataDirectory { .. })
        ));
        let clock = clock();
        let open = |new| {
            let data = Arc::clone(&data);
            within("opening", move || open_engine(&data, kind, new))
        };
        let ledger = Ledger::open(config(open(Some(ID)).unwrap(), &clock)).unwrap();
        ledger.execute(initialize()).wait().unwrap();
        for n in 100..120 {
            clock.set(Millis(BEGIN.0 + n as u64));
            ledger.execute(create(n)).wait().unwrap();
        }
        let before = ledger.snapshot();
        let other = if kind == EngineKind::Redb {
            EngineKind::Sled
        } else {
            EngineKind::Redb
        };
        let refused = open_engine(&data, other, Some(ID)).unwrap_err();
        assert!(matches!(refused, Fault::Exists { .. }), "{refused}");
        drop(ledger);
        let steps = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&steps);
        let mut config = config(open(None).unwrap(), &clock);
        config.progress = Some(Box::new(move |progress| {
            heard.lock().unwrap().push(progress)
        }));
        let ledger = Ledger::open(config).unwrap();
        assert_eq!(*ledger.snapshot(), *before);
        let last = *steps.lock().unwrap().last().unwrap();
        assert_eq!(
            (last.done, last.total),
            (before.next_position().0, before.next_position().0)
        );
    }
}

#[test]
fn commands_of_one_batch_see_each_other() {
    let (disk, clock) = (MemDisk::new(ID), clock());
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    let (ledger, mut writer) = Ledger::open_stepped(LedgerConfig {
        on_commit: Some(Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        })),
        ..config(memory(&disk), &clock)
    })
    .unwrap();
    let pending: Vec<_> = [initialize(), create(100), create(100), create(101)]
        .map(|submission| ledger.execute(submission))
        .into();
    assert_eq!(
        ledger.index().next_position(),
        Position(0),
        "nothing happens before the step"
    );
    writer.step();
    let answers: Vec<_> = pending.into_iter().map(|p| p.wait()).collect();
    assert!(answers[0].is_ok() && answers[1].is_ok() && answers[3].is_ok());
    assert!(matches!(
        answers[2],
        Err(Rejection::Refused(Refusal::ApplicationIdTaken { .. }))
    ));
    assert_eq!(*ledger.snapshot(), replayed(&disk));
    assert_eq!(
        commits.load(Ordering::SeqCst),
        1,
        "what is queued together is committed together"
    );
}

#[test]
fn many_threads_get_positions_without_gaps() {
    let (disk, _, ledger) = started();
    let begin = ledger.index().next_position().0;
    let mut positions: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u128)
            .map(|thread| {
                let ledger = &ledger;
                scope.spawn(move || {
                    (0..100)
                        .map(|n| ledger.execute(create(1_000 + thread * 1_000 + n)))
                        .map(|pending| pending.wait().unwrap().position().0)
                        .collect::<Vec<u64>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    positions.sort_unstable();
    assert_eq!(positions, (begin..begin + 800).collect::<Vec<u64>>());
    assert_eq!(*ledger.snapshot(), replayed(&disk));
}

#[test]
fn a_failed_write_makes_the_log_read_only_for_good() {
    for failure in [Failure::DiskFull, Failure::BeforeSync, Failure::AfterSync] {
        let (disk, clock, ledger) = started();
        let before = ledger.snapshot();
        disk.fail(0, failure);
        let first = ledger.execute(create(100)).wait().unwrap_err();
        assert!(
            matches!(first, Rejection::Unavailable(Fault::ReadOnly { .. })),
            "{first}"
        );
        assert!(!ledger.is_healthy());
        assert!(ledger.fatal_cause().is_some());
        let later = ledger.execute(create(101)).wait().unwrap_err();
        assert!(
            matches!(later, Rejection::Unavailable(Fault::ReadOnly { .. })),
            "{later}"
        );
        assert_eq!(
            *ledger.snapshot(),
            *before,
            "{failure:?}: readers go on with what was durable"
        );
        drop(ledger);
        disk.cut_power();
        let ledger = Ledger::open(config(memory(&disk), &clock)).unwrap();
        let there = ledger.index().application(ApplicationId(100)).is_some();
        assert_eq!(
            there,
            failure == Failure::AfterSync,
            "{failure:?}: a restart knows"
        );
        ledger.execute(create(102)).wait().unwrap();
    }
}

#[test]
fn two_nodes_on_one_store_decide_again() {
    let (disk, clock, one) = started();
    let two = Ledger::open(config(memory(&disk), &clock)).unwrap();
    one.execute(create(100)).wait().unwrap();
    let refused = two.execute(create(100)).wait();
    assert!(
        matches!(
            refused,
            Err(Rejection::Refused(Refusal::ApplicationIdTaken { .. }))
        ),
        "decided on the events of the other node: {refused:?}"
    );
    assert!(
        two.index().application(ApplicationId(100)).is_some(),
        "and caught up on the way"
    );
    std::thread::scope(|scope| {
        for (node, ledger) in [&one, &two].into_iter().enumerate() {
            scope.spawn(move || {
                for n in 0..100 {
                    ledger
                        .execute(create(1_000 * (node as u128 + 1) + n))
                        .wait()
                        .unwrap();
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(one.catch_up()).unwrap();
    runtime.block_on(two.catch_up()).unwrap();
    assert_eq!(*one.snapshot(), *two.snapshot());
    assert_eq!(*one.snapshot(), replayed(&disk));
    assert_eq!(one.index().application_count(), 202);
}

#[test]
fn time_never_runs_backwards_in_the_log() {
    let (_, clock, ledger) = started();
    clock.set(Millis(BEGIN.0 + 5_000));
    ledger.execute(create(100)).wait().unwrap();
    clock.set(Millis(BEGIN.0 + 1_000));
    let receipt = ledger.execute(create(101)).wait().unwrap();
    assert_eq!(receipt.events[0].at, Millis(BEGIN.0 + 5_000));
}

#[test]
fn a_repeated_command_is_answered_as_before() {
    let (disk, _, ledger) = started();
    let mut first = create(100);
    first.idempotency = Some(Idempotency {
        key: [1; 32],
        body: [2; 32],
    });
    let receipt = ledger.execute(first.clone()).wait().unwrap();
    first.command_id = CommandId(9);
    let again = ledger.execute(first.clone()).wait().unwrap();
    assert!(again.events.is_empty());
    assert_eq!(again.position(), receipt.position());
    assert_eq!(disk.durable().len() as u64, receipt.position().0 + 1);
    first.idempotency = Some(Idempotency {
        key: [1; 32],
        body: [3; 32],
    });
    let refused = ledger.execute(first).wait();
    assert!(matches!(
        refused,
        Err(Rejection::Refused(Refusal::IdempotencyKeyReused))
    ));
}

#[test]
fn what_is_not_understood_stops_the_start() {
    let (disk, clock, ledger) = started();
    drop(ledger);
    let head = disk.durable().len() as u64;
    let unknown = br#"{"v":1,"id":"00000000000000000000000000","time":"2026-03-03T09:00:00.000Z","kind":"token.forgotten","kv":1,"actor":{"kind":"system","id":"x"},"cmd":"00000000000000000000000000","seq":0,"of":1,"data":{}}"#;
    for (bytes, expected) in [(&unknown[..], "token.forgotten"), (b"{}", "damaged")] {
        let disk = MemDisk::new(ID);
        let engine = MemEngine::open(&disk).unwrap();
        let entries = [Entry {
            bytes: bytes.to_vec(),
            entities: vec![],
        }];
        engine.append(0, &entries).unwrap();
        let refused = Ledger::open(config(memory(&disk), &clock))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("position 0") && refused.contains(expected),
            "{refused}"
        );
    }
    let engine = MemEngine::open(&disk).unwrap();
    engine
        .append(
            head,
            &[Entry {
                bytes: unknown.to_vec(),
                entities: vec![],
            }],
        )
        .unwrap();
    let refused = Ledger::open(config(memory(&disk), &clock))
        .unwrap_err()
        .to_string();
    assert!(refused.contains(&format!("position {head}")), "{refused}");
}

#[test]
fn a_log_keeps_its_identity() {
    let (disk, clock) = (MemDisk::new(ID), clock());
    let ledger = Ledger::open(config(memory(&disk), &clock)).unwrap();
    let foreign = submission(testkit::operator(), 1, testkit::initialize());
    let refused = ledger.execute(foreign).wait().unwrap_err();
    assert!(
        matches!(refused, Rejection::Unavailable(Fault::ForeignLog { .. })),
        "{refused}"
    );
    assert!(ledger.is_healthy());
    ledger.execute(initialize()).wait().unwrap();
    let copied = MemDisk::new(LogId(43));
    let engine = MemEngine::open(&copied).unwrap();
    let entries: Vec<Entry> = disk
        .durable()
        .into_iter()
        .map(|bytes| Entry {
            bytes,
            entities: vec![],
        })
        .collect();
    engine.append(0, &entries).unwrap();
    let refused = Ledger::open(config(memory(&copied), &clock)).unwrap_err();
    assert!(matches!(refused, Fault::ForeignLog { .. }), "{refused}");
}

#[test]
fn the_past_can_be_asked_for() {
    let (disk, clock, ledger) = started();
    let begin = ledger.index().next_position().0;
    for n in 0..50u64 {
        clock.set(Millis(BEGIN.0 + 1_000 * (n + 1)));
        ledger.execute(create(100 + u128::from(n))).wait().unwrap();
    }
    let mut index = Index::default();
    let versions: Vec<Index> = disk
        .durable()
        .iter()
        .zip(0..)
        .map(|(bytes, position)| {
            index.apply(&codec::decode(Position(position), bytes).unwrap());
            index.clone()
        })
        .collect();
    for round in 0..3 {
        for at in (0..versions.len())
            .rev()
            .step_by(7 + round)
            .chain([0, 5, 5, versions.len() - 1])
        {
            let found = ledger.index_as_of(Position(at as u64)).unwrap().unwrap();
            assert_eq!(*found, versions[at], "as of {at}");
        }
    }
    assert!(
        ledger
            .index_as_of(Position(versions.len() as u64))
            .unwrap()
            .is_none()
    );
    assert!(ledger.index_as_of(Position(u64::MAX)).unwrap().is_none());

    assert_eq!(ledger.position_at(Millis(BEGIN.0 - 1)).unwrap(), None);
    assert_eq!(
        ledger.position_at(BEGIN).unwrap(),
        Some(Position(begin - 1))
    );
    assert_eq!(
        ledger.position_at(Millis(BEGIN.0 + 3_000)).unwrap(),
        Some(Position(begin + 2))
    );
    assert_eq!(
        ledger.position_at(Millis(BEGIN.0 + 3_999)).unwrap(),
        Some(Position(begin + 2))
    );
    assert_eq!(
        ledger.position_at(Millis(u64::MAX)).unwrap(),
        Some(Position(begin + 49))
    );

    let entity = Entity::Application(ApplicationId(107));
    let history = ledger
        .history(&entity, Position(0)..Position(u64::MAX), 10)
        .unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].position, Position(begin + 7));
    assert!(
        ledger
            .history(&entity, Position(0)..Position(begin + 7), 10)
            .unwrap()
            .is_empty()
    );
    let admin = Entity::Application(ADMIN);
    assert!(
        ledger
            .positions(&admin, Position(0)..Position(u64::MAX), 10)
            .unwrap()
            .len()
            > 1
    );
}

#[test]
fn followers_see_every_event_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (disk, _, ledger) = started();
    let ledger = Arc::new(ledger);
    let appender = Arc::clone(&ledger);
    let thread = std::thread::spawn(move || {
        for n in 0..300 {
            appender.execute(create(100 + n)).wait().unwrap();
        }
    });
    let mut seen = Vec::new();
    let in_time = Duration::from_secs(30);
    let first = async {
        let mut follower = ledger.follow(Position(3));
        while seen
            .last()
            .is_none_or(|(at, _): &(Position, Vec<u8>)| at.0 + 1 < 300)
        {
            seen.extend(follower.next().await.unwrap());
        }
        ledger.wait_for(Position(300)).await.unwrap();
    };
    runtime
        .block_on(async { tokio::time::timeout(in_time, first).await })
        .expect("a follower stands still");
    thread.join().unwrap();
    let rest = async {
        let mut follower = ledger.follow(Position(seen.last().unwrap().0.0 + 1));
        while (seen.last().unwrap().0.0 + 1) < disk.durable().len() as u64 {
            seen.extend(follower.next().await.unwrap());
        }
        ledger.close();
        assert!(matches!(follower.next().await, Err(Fault::Closed)));
        assert!(matches!(
            ledger.wait_for(Position(u64::MAX)).await,
            Err(Fault::Closed)
        ));
    };
    runtime
        .block_on(async { tokio::time::timeout(in_time, rest).await })
        .expect("a follower stands still");
    let expected: Vec<(Position, Vec<u8>)> = disk
        .durable()
        .into_iter()
        .zip(0..)
        .skip(3)
        .map(|(b, at)| (Position(at), b))
        .collect();
    assert_eq!(seen, expected);
    let refused = ledger.execute(create(9_999)).wait().unwrap_err();
    assert!(
        matches!(refused, Rejection::Unavailable(Fault::Closed)),
        "{refused}"
    );
    assert_eq!(
        ledger.read_events(Position(0), 2).unwrap().len(),
        2,
        "reading goes on"
    );
}

#[test]
fn what_is_queued_is_written_before_the_writer_stops() {
    let (disk, _, ledger) = started();
    let pending: Vec<_> = (0..500).map(|n| ledger.execute(create(100 + n))).collect();
    ledger.close();
    let done = pending
        .into_iter()
        .filter_map(|pending| pending.wait().ok())
        .count();
    assert_eq!(done, 500);
    assert_eq!(replayed(&disk).application_count(), 501);
}

/// One node, driven on one thread, with failures.
struct Simulation {
    disk: Arc<MemDisk>,
    clock: Arc<Hands>,
    ids: Arc<SeededIds>,
    node: Option<(Ledger, Writer)>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut simulation = Self {
            disk: MemDisk::new(ID),
            clock: clock(),
            ids: Arc::new(SeededIds::new(seed)),
            node: None,
        };
        simulation.execute(initialize()).unwrap();
        simulation
    }

    fn node(&mut self) -> &mut (Ledger, Writer) {
        self.node.get_or_insert_with(|| {
            let mut config = config(memory(&self.disk), &self.clock);
            config.ids = Arc::clone(&self.ids) as _;
            Ledger::open_stepped(config).unwrap()
        })
    }

    fn execute(&mut self, submission: Submission) -> Result<Receipt, Rejection> {
        let (ledger, writer) = self.node();
        let pending = ledger.execute(submission);
        writer.step();
        pending.wait()
    }
}

fn failure(choice: u8) -> Option<Failure> {
    match choice {
        0 => Some(Failure::DiskFull),
        1 => Some(Failure::BeforeSync),
        2 => Some(Failure::AfterSync),
        3 => Some(Failure::PowerCutBeforeSync),
        4 => Some(Failure::PowerCutAfterSync),
        _ => None,
    }
}

/// Runs a history with failures; the bytes that are durable at the end.
fn simulate(seed: u64, history: &[Action], failures: &[u8]) -> Vec<Vec<u8>> {
    let mut simulation = Simulation::new(seed);
    let mut model = Log::base();
    let mut acknowledged = 0;
    for (action, choice) in history.iter().zip(failures.iter().cycle()) {
        let submission = action.submission(&mut model);
        simulation.clock.set(model.now);
        if let Some(failure) = failure(*choice) {
            simulation.disk.fail(0, failure);
        }
        match simulation.execute(submission) {
            Ok(receipt) => {
                let durable = simulation.disk.durable().len() as u64;
                assert!(receipt.position().0 < durable, "answered and not durable");
                acknowledged = acknowledged.max(receipt.position().0 + 1);
            }
            Err(Rejection::Refused(_)) => {}
            Err(Rejection::Unavailable(Fault::ReadOnly { .. })) => {
                simulation.disk.cut_power();
                simulation.node = None;
            }
            Err(other) => panic!("{other}"),
        }
        let published = simulation.node().0.snapshot();
        assert!(
            published.next_position().0 >= acknowledged,
            "acknowledged and lost"
        );
        assert_eq!(*published, replayed(&simulation.disk));
    }
    simulation.disk.durable()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn one_seed_gives_one_log_whatever_fails(
        seed: u64,
        history in testkit::histories(50),
        failures in prop::collection::vec(0u8..40, 1..20),
    ) {
        let first = simulate(seed, &history, &failures);
        prop_assert!(first.len() > 1);
        prop_assert_eq!(simulate(seed, &history, &failures), first);
    }
}

#[test]
fn each_commit_is_timed() {
    let clock = clock();
    let times = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&times);
    let ledger = Ledger::open(LedgerConfig {
        on_commit: Some(Box::new(move |took| heard.lock().unwrap().push(took))),
        ..config(memory(&MemDisk::new(ID)), &clock)
    })
    .unwrap();
    ledger.execute(initialize()).wait().unwrap();
    assert_eq!(times.lock().unwrap().len(), 1);
    ledger.execute(create(101)).wait().unwrap();
    assert_eq!(times.lock().unwrap().len(), 2);
    // What is refused writes nothing.
    ledger.execute(create(101)).wait().unwrap_err();
    assert_eq!(times.lock().unwrap().len(), 2);
    assert!(times.lock().unwrap().iter().all(|took| !took.is_zero()));
}
