//! The issuance log: recorded, found, rotated, sealed, forgotten, and refused when the disk fills.

use crate::random::Random;
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use writ_core::{Algorithm, ApplicationId, Jti, Millis, Position, RecordMode, testkit};
use writ_ledger::merkle::Tree;
use writ_ledger::{
    Credential, DataDir, EngineKind, Fault, IssuanceConfig, IssuanceError, IssuanceLog,
    IssuanceReader, IssuanceRecord, Ledger, LedgerConfig, LogId, Outcome, RECORD_VERSION,
    RandomIds, Reserve, SealedFile, issuance_file_number, open_engine,
};

pub const ID: LogId = LogId(42);
pub const BEGIN: u64 = 1_772_528_400_000;

pub fn record(at: u64, n: u64) -> IssuanceRecord {
    IssuanceRecord {
        v: RECORD_VERSION,
        id: Jti(u128::from(at) << 80 | 7 << 76 | u128::from(n)),
        at: Millis(at),
        application: ApplicationId(7),
        grant_type: None,
        credential: Credential {
            method: "client_secret_basic".into(),
            id: "s1".into(),
            token: None,
        },
        exchanged: None,
        as_of: Position(n),
        asked: vec!["courses:read".into(), "courses:publish".into()],
        granted: testkit::scopes(&["courses:publish"]),
        resources: vec!["https://courses.example/api".into()],
        details_types: Vec::new(),
        authorization_details: Vec::new(),
        held: writ_ledger::Held::default(),
        address: None,
        traceparent: None,
        clock: None,
        policies: Vec::new(),
        input: None,
        attributes: None,
        engine: None,
        kid: Some(testkit::parse("k1")),
        alg: Some(Algorithm::ES256),
        binding: None,
        exp: Some(Millis(at + 900_000)),
        outcome: Outcome::Granted,
    }
}

pub struct Place {
    _temporary: tempfile::TempDir,
    pub data: DataDir,
    pub now: Arc<AtomicU64>,
    sealed: Arc<Mutex<Vec<SealedFile>>>,
}

impl Place {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        let now = Arc::new(AtomicU64::new(BEGIN));
        Self {
            _temporary: temporary,
            data,
            now,
            sealed: Arc::default(),
        }
    }

    pub fn config(&self) -> IssuanceConfig {
        let (now, sealed) = (Arc::clone(&self.now), Arc::clone(&self.sealed));
        let mut config = IssuanceConfig::new(Arc::new(move || Millis(now.load(Ordering::SeqCst))));
        config.free_space_min = 0;
        config.on_sealed = Box::new(move |file| sealed.lock().unwrap().push(file.clone()));
        config
    }

    pub fn open(&self) -> IssuanceLog {
        IssuanceLog::open(&self.data, ID, self.config()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.data.join("issuance")).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Waits for a background thread, with a deadline.
#[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{what} does not happen"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn all(log: &IssuanceLog, from: u64) -> Vec<IssuanceRecord> {
    let mut found = Vec::new();
    log.scan(Millis(from), &mut |id, bytes| {
        let record: IssuanceRecord = serde_json::from_slice(bytes).unwrap();
        assert_eq!(record.id, id);
        found.push(record);
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

#[test]
fn records_are_found_by_id_and_from_a_time() {
    let place = Place::new();
    let log = place.open();
    // Ids out of order, a clock that steps back by an hour, and back again.
    let mut random = Random(5);
    let times = (0..600u64).map(|n| match n {
        200..300 => BEGIN - 3_600_000 + n,
        _ => BEGIN + n * 10 + random.below(50),
    });
    let records: Vec<IssuanceRecord> = times.zip(0..).map(|(at, n)| record(at, n)).collect();
    for group in records.chunks(7) {
        let pending: Vec<_> = group
            .iter()
            .map(|record| log.record(record, RecordMode::Durable, Reserve::Keep))
            .collect();
        for answer in pending {
            answer.wait().unwrap();
        }
        if group[0].as_of.0.is_multiple_of(147) {
            log.rotate();
        }
    }
    drop(log);
    for round in 0..2 {
        let log = place.open();
        for record in &records {
            assert_eq!(log.find(record.id).unwrap().as_ref(), Some(record));
        }
        assert_eq!(log.find(Jti(7)).unwrap(), None);
        assert_eq!(log.find(Jti(u128::MAX)).unwrap(), None);
        assert_eq!(log.find(Jti(records[5].id.0 + 1)).unwrap(), None);
        assert_eq!(all(&log, 0), records);
        let from = BEGIN + 2_000;
        let late: Vec<IssuanceRecord> = records
            .iter()
            .filter(|record| record.at.0 >= from)
            .cloned()
            .collect();
        assert_eq!(all(&log, from), late);
        let mut seen = 0;
        log.scan(Millis(0), &mut |_, _| {
            seen += 1;
            if seen == 10 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
        assert_eq!(seen, 10, "round {round}");
    }
}

#[test]
fn files_are_sealed_with_their_merkle_root() {
    let place = Place::new();
    let log = place.open();
    let records: Vec<IssuanceRecord> = (0..100).map(|n| record(BEGIN + n, n)).collect();
    log.rotate();
    log.close();
    assert_eq!(
        place.names(),
        ["0000000000.redb"],
        "an empty file is not closed"
    );
    drop(log);
    let log = place.open();
    for part in records.chunks(50) {
        for record in part {
            log.record(record, RecordMode::Durable, Reserve::Keep)
                .wait()
                .unwrap();
        }
        let before = place.sealed.lock().unwrap().len();
        log.rotate();
        until("sealing", || place.sealed.lock().unwrap().len() > before);
    }
    let sealed = log.sealed();
    assert_eq!(*place.sealed.lock().unwrap(), sealed);
    assert_eq!(sealed.len(), 2);
    for (sealed, part) in sealed.iter().zip(records.chunks(50)) {
        let mut tree = Tree::default();
        for record in part {
            tree.push(&serde_json::to_vec(record).unwrap());
        }
        assert_eq!(sealed.root, tree.root());
        assert_eq!((sealed.first, sealed.last), (part[0].id, part[49].id));
        assert_eq!(sealed.records, 50);
    }
    let file = place.data.join("issuance").join(&*sealed[0].file);
    let digest = Sha256::digest(std::fs::read(&file).unwrap());
    assert_eq!(log.find(records[3].id).unwrap().as_ref(), Some(&records[3]));
    drop(log);
    let log = place.open();
    assert_eq!(log.sealed(), sealed);
    assert_eq!(log.find(records[3].id).unwrap().as_ref(), Some(&records[3]));
    assert_eq!(
        Sha256::digest(std::fs::read(&file).unwrap()),
        digest,
        "sealed is never written"
    );
}

#[test]
fn a_crash_before_sealing_is_made_good_at_the_next_start() {
    let place = Place::new();
    let log = place.open();
    for n in 0..10 {
        log.record(&record(BEGIN + n, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
    }
    log.rotate();
    log.record(&record(BEGIN + 10, 10), RecordMode::Durable, Reserve::Keep)
        .wait()
        .unwrap();
    until("sealing", || log.sealed().len() == 1);
    let sealed = log.sealed();
    drop(log);
    let directory = place.data.join("issuance");
    std::fs::remove_file(directory.join("0000000000.seal")).unwrap();
    std::fs::write(directory.join("0000000009.seal"), "{}").unwrap();
    std::fs::write(directory.join("0000000002.redb.new"), "half").unwrap();
    let log = place.open();
    until("sealing", || log.sealed().len() == 1);
    assert_eq!(log.sealed(), sealed);
    assert_eq!(
        place.names(),
        ["0000000000.redb", "0000000000.seal", "0000000001.redb"]
    );
    assert_eq!(all(&log, 0).len(), 11);
    log.record(&record(BEGIN + 11, 11), RecordMode::Durable, Reserve::Keep)
        .wait()
        .unwrap();
    assert_eq!(all(&log, 0).len(), 12);
}

#[test]
fn size_and_age_close_files_and_retention_unlinks_them() {
    let place = Place::new();
    let mut config = place.config();
    config.file_bytes = 5_000;
    config.file_age_ms = 60_000;
    config.retention_age_ms = Some(1_000_000);
    let log = IssuanceLog::open(&place.data, ID, config).unwrap();
    for n in 0..100 {
        log.record(&record(BEGIN + n, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
    }
    until("sealing by size", || log.sealed().len() >= 5);
    log.rotate();
    let count = |log: &IssuanceLog| -> u64 { log.sealed().iter().map(|file| file.records).sum() };
    until("sealing the rest", || count(&log) == 100);

    log.record(
        &record(BEGIN + 200, 200),
        RecordMode::Durable,
        Reserve::Keep,
    )
    .wait()
    .unwrap();
    log.rotate_if_due();
    log.record(
        &record(BEGIN + 201, 201),
        RecordMode::Durable,
        Reserve::Keep,
    )
    .wait()
    .unwrap();
    assert_eq!(count(&log), 100, "not due yet");
    place.now.store(BEGIN + 70_000, Ordering::SeqCst);
    log.rotate_if_due();
    until("sealing by age", || count(&log) == 102);

    place.now.store(BEGIN + 1_000_150, Ordering::SeqCst);
    log.record(
        &record(BEGIN + 1_000_150, 300),
        RecordMode::Durable,
        Reserve::Keep,
    )
    .wait()
    .unwrap();
    log.rotate();
    until("retention by age", || count(&log) == 3);
    assert_eq!(log.find(record(BEGIN + 5, 5).id).unwrap(), None);
    assert_eq!(
        log.find(record(BEGIN + 201, 201).id)
            .unwrap()
            .unwrap()
            .as_of,
        Position(201)
    );
    until("unlinking", || {
        let (files, seals): (Vec<String>, Vec<String>) = place
            .names()
            .into_iter()
            .partition(|name| name.ends_with(".redb"));
        files.len() == 3 && seals.len() == 2
    });
    drop(log);

    let mut config = place.config();
    config.retention_bytes = Some(0);
    let log = IssuanceLog::open(&place.data, ID, config).unwrap();
    until("retention by bytes", || place.names().len() == 1);
    assert!(log.sealed().is_empty());
    assert!(log.stats().file_bytes > 0);
}

#[test]
fn each_mode_promises_what_it_says() {
    let place = Place::new();
    let log = place.open();
    log.record(&record(BEGIN, 0), RecordMode::Durable, Reserve::Keep)
        .wait()
        .unwrap();
    assert_eq!((log.stats().recorded, log.stats().unsynced), (1, 0));
    log.record(&record(BEGIN, 1), RecordMode::Off, Reserve::Keep)
        .wait()
        .unwrap();
    for n in 2..50 {
        log.record(&record(BEGIN, n), RecordMode::Buffered, Reserve::Keep)
            .wait()
            .unwrap();
    }
    until("the buffered records", || log.stats().recorded == 49);
    until("the counter", || log.stats().unsynced == 0);
    assert_eq!(log.stats().lost, 0);
    assert!(log.stats().commits <= 49);
    let mut large = record(BEGIN, 99);
    large.asked = vec!["x".repeat(100_000).into()];
    let refused = log
        .record(&large, RecordMode::Durable, Reserve::Keep)
        .wait();
    assert!(matches!(refused, Err(IssuanceError::TooLarge { .. })));
    log.close();
    let refused = log
        .record(&record(BEGIN, 100), RecordMode::Durable, Reserve::Keep)
        .wait();
    assert_eq!(refused, Err(IssuanceError::Closed));
    assert_eq!(all(&log, 0).len(), 49);
    assert_eq!(all(&place.open(), 0).len(), 49);
}

#[test]
fn many_threads_share_commits() {
    let place = Place::new();
    let log = place.open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..200 {
                    log.record(
                        &record(BEGIN + n, thread * 1_000 + n),
                        RecordMode::Durable,
                        Reserve::Keep,
                    )
                    .wait()
                    .unwrap();
                }
            });
        }
    });
    let stats = log.stats();
    assert_eq!(stats.recorded, 1_600);
    assert!(
        stats.commits < 1_600,
        "{} commits: nothing was shared",
        stats.commits
    );
    assert_eq!(all(&log, 0).len(), 1_600);
}

/// The disk fills up: issuance stops, and an administrator can still revoke.
#[test]
fn a_filling_disk_stops_issuance_first() {
    let place = Place::new();
    let mut config = place.config();
    config.free_space_min = u64::MAX;
    let log = IssuanceLog::open(&place.data, ID, config).unwrap();
    assert_eq!(log.ready(), Ok(()), "not known before the first write");
    let refused = log
        .record(&record(BEGIN, 0), RecordMode::Durable, Reserve::Keep)
        .wait();
    assert!(
        matches!(refused, Err(IssuanceError::DiskLow { .. })),
        "{refused:?}"
    );
    assert!(matches!(log.ready(), Err(IssuanceError::DiskLow { .. })));
    let refused = log
        .record(&record(BEGIN, 1), RecordMode::Buffered, Reserve::Keep)
        .wait();
    assert!(
        matches!(refused, Err(IssuanceError::DiskLow { .. })),
        "{refused:?}"
    );
    assert!(log.is_healthy(), "room can be made without a restart");

    let engine = open_engine(&place.data, EngineKind::Redb, Some(ID)).unwrap();
    let ledger = Ledger::open(LedgerConfig {
        engine,
        clock: Arc::new(|| testkit::BEGIN),
        ids: Arc::new(RandomIds::default()),
        data: None,
        anchors: Vec::new(),
        snapshots: None,
        progress: None,
        on_commit: None,
    })
    .unwrap();
    let mut begin = testkit::initialize();
    if let writ_core::Command::Initialize { log_id, .. } = &mut begin {
        *log_id = ID.to_string().into();
    }
    let submission =
        |n, actor, command| writ_core::Submission::new(actor, writ_core::CommandId(n), command);
    ledger
        .execute(submission(1, testkit::operator(), begin))
        .wait()
        .unwrap();
    let cut = writ_core::Command::CutTokens {
        application: testkit::ADMIN,
    };
    ledger
        .execute(submission(2, testkit::admin(), cut))
        .wait()
        .unwrap();
}

#[test]
fn what_is_not_ours_is_refused() {
    let place = Place::new();
    drop(place.open());
    let refused = IssuanceLog::open(&place.data, LogId(43), place.config()).unwrap_err();
    assert!(matches!(refused, Fault::ForeignLog { .. }), "{refused}");
    let path = place.data.join("issuance").join("0000000000.redb");
    std::fs::write(&path, vec![0; 50_000]).unwrap();
    let refused = IssuanceLog::open(&place.data, ID, place.config()).unwrap_err();
    assert!(matches!(refused, Fault::Damaged { .. }), "{refused}");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension("seal"), "{}").unwrap();
    drop(place.open());
    std::fs::write(path.with_extension("seal"), "{}").unwrap();
    let refused = IssuanceLog::open(&place.data, ID, place.config()).unwrap_err();
    assert!(matches!(refused, Fault::Damaged { .. }), "{refused}");
}

/// Holds the writing thread where it asks for the time, so that what is queued meanwhile becomes
/// one commit.
#[derive(Default)]
struct Gate {
    /// Whether the writer is to stop, and whether it has.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        if std::thread::current().name() != Some("writ-issuance") {
            return;
        }
        let mut state = self.state.lock().unwrap();
        while state.0 {
            state.1 = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap();
        }
        state.1 = false;
    }

    fn hold(&self, log: &IssuanceLog) -> Held<'_> {
        let held = Held(self);
        self.state.lock().unwrap().0 = true;
        log.rotate_if_due();
        let stopped = |state: &mut (bool, bool)| !state.1;
        let waited = self
            .changed
            .wait_timeout_while(self.state.lock().unwrap(), Duration::from_secs(20), stopped)
            .unwrap();
        assert!(
            !waited.1.timed_out(),
            "the writer does not ask for the time"
        );
        held
    }
}

/// Opens the gate when it is dropped: a test that fails drops its log next, which waits for the
/// writer.
struct Held<'a>(&'a Gate);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).0 = false;
        self.0.changed.notify_all();
    }
}

/// Administrators are not locked out by a full disk: their tokens are recorded in the reserve.
#[test]
fn the_reserve_is_for_administrators() {
    let place = Place::new();
    let gate = Arc::new(Gate::default());
    let commits = Arc::new(Mutex::new(Vec::new()));
    let (gated, heard) = (Arc::clone(&gate), Arc::clone(&commits));
    let config = IssuanceConfig {
        free_space_min: u64::MAX,
        on_commit: Box::new(move |records, took| heard.lock().unwrap().push((records, took))),
        ..IssuanceConfig::new(Arc::new(move || {
            gated.pass();
            Millis(BEGIN)
        }))
    };
    let log = IssuanceLog::open(&place.data, ID, config).unwrap();
    // That the disk is low is found out with both kinds in one batch.
    let held = gate.hold(&log);
    let asked = [
        (0, RecordMode::Durable, Reserve::Keep),
        (1, RecordMode::Durable, Reserve::Use),
        (2, RecordMode::Buffered, Reserve::Keep),
        (3, RecordMode::Buffered, Reserve::Use),
        (4, RecordMode::Durable, Reserve::Keep),
        (5, RecordMode::Durable, Reserve::Use),
    ];
    let answers = asked.map(|(n, mode, reserve)| log.record(&record(BEGIN, n), mode, reserve));
    let stats = log.stats();
    assert_eq!((stats.queued, stats.unsynced), (6, 2));
    drop(held);
    let low = |answer: &Result<(), IssuanceError>| match answer {
        Ok(()) => false,
        Err(IssuanceError::DiskLow { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    let refused = answers.map(|answer| low(&answer.wait()));
    assert_eq!(refused, [true, false, false, false, true, false]);
    until("the buffered records", || log.stats().unsynced == 0);
    let stats = log.stats();
    assert_eq!((stats.recorded, stats.lost, stats.commits), (3, 1, 1));

    // Now it is known: one kind is refused before it is queued, the other is not.
    for mode in [RecordMode::Durable, RecordMode::Buffered] {
        assert!(low(&log
            .record(&record(BEGIN, 6), mode, Reserve::Keep)
            .wait()));
    }
    for (n, mode) in [(7, RecordMode::Buffered), (8, RecordMode::Durable)] {
        assert!(!low(&log
            .record(&record(BEGIN, n), mode, Reserve::Use)
            .wait()));
    }
    assert!(matches!(log.ready(), Err(IssuanceError::DiskLow { .. })));
    assert!(log.is_healthy());
    log.close();
    let places: Vec<u64> = all(&log, 0).iter().map(|record| record.as_of.0).collect();
    assert_eq!(places, [1, 3, 5, 7, 8]);
    let commits = commits.lock().unwrap();
    assert_eq!(commits[0].0, 3);
    assert_eq!(commits.iter().map(|(records, _)| records).sum::<usize>(), 5);
    assert!(commits.iter().all(|(_, took)| !took.is_zero()));
    assert_eq!(log.stats().commits, commits.len() as u64);
    let closed = log.record(&record(BEGIN, 9), RecordMode::Durable, Reserve::Use);
    assert_eq!(closed.wait(), Err(IssuanceError::Closed));
}

/// A reader that takes its time keeps a file from being sealed, and nothing else: the server stops,
/// and the next start seals it.
#[test]
fn a_reader_does_not_hold_up_the_end() {
    let place = Place::new();
    let log = place.open();
    let write = |log: &IssuanceLog, n| {
        log.record(&record(BEGIN + n, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
    };
    write(&log, 0);
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let (closed, has_closed) = channel();
    std::thread::scope(|scope| {
        let log = &log;
        // Lets the reader go when it is dropped, at the latest.
        let go_on = go_on;
        scope.spawn(move || {
            let _ = log.scan(Millis(0), &mut |_, _| {
                begun.send(()).unwrap();
                let _ = may_go_on.recv();
                ControlFlow::Continue(())
            });
        });
        let limit = Duration::from_secs(20);
        has_begun.recv_timeout(limit).unwrap();
        log.rotate();
        write(log, 1);
        scope.spawn(move || {
            log.close();
            closed.send(()).unwrap();
        });
        let ended = has_closed.recv_timeout(limit);
        drop(go_on);
        assert!(ended.is_ok(), "the end waits for a reader");
    });
    assert_eq!(log.sealed(), []);
    drop(log);
    let log = place.open();
    until("sealing", || log.sealed().len() == 1);
    assert_eq!(all(&log, 0).len(), 2);
}

/// A directory that was wiped or restored does not give out names that the admin log has.
#[test]
fn numbers_go_on_after_those_that_the_log_has() {
    assert_eq!(issuance_file_number("0000000042.redb"), Some(42));
    for name in ["42.redb", "0000000042.seal", "+000000042.redb", ""] {
        assert_eq!(issuance_file_number(name), None, "{name}");
    }
    let place = Place::new();
    let open = |number_min| {
        let mut config = place.config();
        config.number_min = number_min;
        IssuanceLog::open(&place.data, ID, config).unwrap()
    };
    let write = |log: &IssuanceLog, n| {
        log.record(&record(BEGIN, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
    };
    let log = open(42);
    write(&log, 0);
    drop(log);
    assert_eq!(place.names(), ["0000000042.redb"]);
    let log = open(42);
    write(&log, 1);
    drop(log);
    assert_eq!(place.names(), ["0000000042.redb"], "its name is still free");
    // Another file of that name was sealed before the directory came back from a backup.
    let log = open(43);
    until("sealing", || log.sealed().len() == 1);
    write(&log, 2);
    assert_eq!(log.sealed()[0].records, 2);
    drop(log);
    let names = ["0000000042.redb", "0000000042.seal", "0000000043.redb"];
    assert_eq!(place.names(), names);
    let log = open(7);
    write(&log, 3);
    assert_eq!(place.names(), names);
    assert_eq!(all(&log, 0).len(), 4);
}

/// What a crash leaves is a copy of the directory taken while the log is written.
#[test]
fn a_reader_reads_what_a_crash_left_and_changes_nothing() {
    let place = Place::new();
    let log = place.open();
    let write = |n| {
        log.record(&record(BEGIN + n, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
    };
    (0..40).for_each(write);
    log.rotate();
    until("sealing", || log.sealed().len() == 1);
    (40..50).for_each(write);
    let crashed = tempfile::tempdir().unwrap();
    let directory = crashed.path().join("issuance");
    std::fs::create_dir(&directory).unwrap();
    let contents = |directory: &std::path::Path| {
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    let before = contents(&place.data.join("issuance"));
    for (name, bytes) in &before {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
    let readable = redb::Database::builder().open_read_only(directory.join("0000000001.redb"));
    assert!(
        readable.is_err(),
        "the file was not closed: it needs a repair"
    );

    let reader = IssuanceReader::open(&directory, ID).unwrap();
    let mut places = Vec::new();
    let scan = |from: u64, places: &mut Vec<u64>| {
        places.clear();
        reader
            .scan(Millis(from), &mut |_, bytes| {
                let record: IssuanceRecord = serde_json::from_slice(bytes).unwrap();
                places.push(record.as_of.0);
                ControlFlow::Continue(())
            })
            .unwrap();
    };
    scan(0, &mut places);
    assert_eq!(places, (0..50).collect::<Vec<u64>>());
    scan(BEGIN + 45, &mut places);
    assert_eq!(places, (45..50).collect::<Vec<u64>>());
    for n in [0, 39, 40, 49] {
        let wanted = record(BEGIN + n, n);
        assert_eq!(reader.find(wanted.id).unwrap().unwrap(), wanted);
    }
    assert_eq!(reader.find(record(BEGIN, 99).id).unwrap(), None);
    assert_eq!(reader.sealed(), log.sealed());
    let at_most = [BEGIN, BEGIN + 45, BEGIN + 50].map(|from| reader.at_most(Millis(from)));
    assert_eq!(at_most, [50, 10, 0]);
    assert_eq!(contents(&directory), before);

    let foreign = IssuanceReader::open(&directory, LogId(43)).unwrap_err();
    assert!(matches!(foreign, Fault::ForeignLog { .. }), "{foreign}");
    let none = IssuanceReader::open(&crashed.path().join("none"), ID).unwrap();
    assert_eq!(none.find(record(BEGIN, 0).id).unwrap(), None);
}
