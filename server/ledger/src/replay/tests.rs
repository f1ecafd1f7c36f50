//! What may be presented once, against a naive model, crashes of the disk, and damage.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;

fn log_id() -> LogId {
    LogId::parse("0123456789abcdef0123456789abcdef").unwrap()
}

fn digest(number: u64) -> [u8; 32] {
    let mut digest = [7; 32];
    digest[8..16].copy_from_slice(&number.to_be_bytes());
    digest
}

fn open(data: &DataDir, now: u64, max: usize) -> ReplayStore {
    ReplayStore::open(data, log_id(), Millis(now), max).unwrap()
}

fn remember(store: &ReplayStore, number: u64, until: u64, now: u64) -> Result<(), ReplayError> {
    store
        .remember(&digest(number), Millis(until), Millis(now))
        .and_then(Remembering::wait)
}

#[test]
fn rfc_7523_section_3_a_jti_is_taken_once_until_it_expires_also_across_a_restart() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 1_000, 10);
    assert_eq!(remember(&store, 1, 60_000, 1_000), Ok(()));
    let replayed = Err(ReplayError::Replayed);
    assert_eq!(remember(&store, 1, 60_000, 1_000), replayed);
    // With another end of its life it is the same.
    assert_eq!(remember(&store, 1, 90_000, 59_999), replayed);
    assert_eq!(remember(&store, 2, 1_000, 1_001), Err(ReplayError::Expired));
    drop(store);
    let store = open(&data, 2_000, 10);
    assert_eq!(remember(&store, 1, 60_000, 2_000), replayed);
    assert_eq!(remember(&store, 1, 120_000, 61_000), Ok(()));
    // A clock that is set back forgets nothing early.
    assert_eq!(remember(&store, 1, 120_000, 2_000), replayed);
    assert_eq!(
        remember(&store, 3, 50_000, 2_000),
        Err(ReplayError::Expired)
    );
}

#[test]
fn a_full_store_takes_no_more_and_forgets_nothing_that_lives() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 2);
    assert_eq!(remember(&store, 1, 5_000, 0), Ok(()));
    assert_eq!(remember(&store, 2, 9_000, 0), Ok(()));
    let full = Err(ReplayError::Overloaded(2));
    assert_eq!(remember(&store, 3, 9_000, 4_000), full);
    assert_eq!(remember(&store, 3, 9_000, 6_000), Ok(()));
    assert_eq!(
        remember(&store, 2, 9_000, 6_000),
        Err(ReplayError::Replayed)
    );
    assert_eq!(store.stats().entries, 2);
}

#[test]
fn what_expires_at_once_is_forgotten_in_bounded_steps_that_overtake_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::create(&directory.path().join("data")).unwrap();
    let many = 10 * FORGOTTEN_AT_A_TIME;
    let store = open(&data, 0, many);
    let numbers = 0..u64::try_from(many).unwrap();
    for number in numbers.clone() {
        drop(
            store
                .remember(&digest(number), Millis(1_000), Millis(0))
                .unwrap(),
        );
    }
    assert_eq!(
        remember(&store, numbers.end, 1_000, 0),
        Err(ReplayError::Overloaded(many))
    );
    // All have expired, and there is room at once.
    let mut before = many;
    for number in 1_000_000..1_000_012 {
        assert_eq!(remember(&store, number, 9_000, 2_000), Ok(()));
        let after = store.stats().entries;
        assert!(before.saturating_sub(after) <= FORGOTTEN_AT_A_TIME);
        before = after;
    }
    assert_eq!(before, 12, "only what lives is left");
}

#[test]
fn of_many_that_present_the_same_one_wins() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 1_000);
    let mut won: Vec<u64> = std::thread::scope(|scope| {
        let race = || -> Vec<u64> {
            (0..50)
                .filter(|n| remember(&store, *n, 9_000, 1).is_ok())
                .collect()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    won.sort_unstable();
    assert_eq!(won, (0..50).collect::<Vec<_>>());
}

#[test]
fn the_file_is_of_one_log_and_one_that_is_damaged_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    drop(open(&data, 0, 10));
    let other = LogId::parse("ffffffffffffffffffffffffffffffff").unwrap();
    let opened = ReplayStore::open(&data, other, Millis(0), 10);
    assert!(
        matches!(opened, Err(Fault::ForeignLog { .. })),
        "{opened:?}"
    );
    let path = data.join("replay.redb");
    std::fs::write(&path, [0; 5_000]).unwrap();
    let error = ReplayStore::open(&data, log_id(), Millis(0), 10).unwrap_err();
    assert!(error.to_string().contains("delete it"), "{error}");
    // An older copy would not have what was seen since.
    assert!(!error.to_string().contains("restore a backup"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_remembers_what_a_map_would(
        steps in prop::collection::vec((0u64..6, 0u64..20, 0u64..4, any::<bool>()), 1..40)
    ) {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        let mut store = open(&data, 0, 4);
        let (mut model, mut now) = (BTreeMap::<u64, u64>::new(), 0);
        for (number, life, wait, reopen) in steps {
            if reopen && wait == 3 {
                drop(store);
                store = open(&data, now, 4);
            }
            now += wait * 1_000;
            let until = now + life * 1_000;
            // It forgets by whole seconds.
            model.retain(|_, until| *until + 1_000 > now);
            let expected = match () {
                () if model.contains_key(&number) => Err(ReplayError::Replayed),
                () if life == 0 => Err(ReplayError::Expired),
                () if model.len() == 4 => Err(ReplayError::Overloaded(4)),
                () => Ok(()),
            };
            prop_assert_eq!(remember(&store, number, until, now), expected.clone());
            if expected.is_ok() {
                model.insert(number, until);
            }
        }
    }
}

/// A disk in memory that fails, or panics as redb does on what cannot be, when it is told to.
#[derive(Debug)]
struct Disk {
    memory: redb::backends::InMemoryBackend,
    trouble: Arc<AtomicU8>,
    gate: Arc<Mutex<()>>,
}

const FINE: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        match self.trouble.load(Ordering::SeqCst) {
            FAILS => Err(io::Error::other("the disk is gone")),
            PANICS => panic!("the disk is not what it was"),
            _ => self.memory.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

/// Waits until a commit has begun, which then stands before the gate.
fn until_taken(store: &ReplayStore) {
    while !store.shared.seen().queue.is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn after_a_write_that_failed_nothing_is_taken_any_more() {
    within(|| takes_nothing_after(FAILS, "the disk is gone"));
    within(|| takes_nothing_after(PANICS, "not what it was"));
}

fn takes_nothing_after(trouble: u8, said: &str) {
    let (asked, gate) = (Arc::new(AtomicU8::new(FINE)), Arc::new(Mutex::new(())));
    let disk = Disk {
        memory: redb::backends::InMemoryBackend::new(),
        trouble: Arc::clone(&asked),
        gate: Arc::clone(&gate),
    };
    let db = builder().create_with_backend(disk).unwrap();
    let store = ReplayStore::start("replay.redb".into(), db, Seen::default(), 10).unwrap();
    assert_eq!(remember(&store, 1, 9_000, 1), Ok(()));
    assert_eq!(store.fatal_cause(), None);

    asked.store(trouble, Ordering::SeqCst);
    let closed = gate.lock().unwrap();
    let written = store.remember(&digest(2), Millis(9_000), Millis(1));
    until_taken(&store);
    let queued = store.remember(&digest(3), Millis(9_000), Millis(1));
    drop(closed);
    for waiting in [written, queued] {
        let waiting = waiting.unwrap();
        let answer = waiting.wait();
        assert!(
            matches!(answer, Err(ReplayError::ReadOnly(_))),
            "{answer:?}"
        );
    }
    asked.store(FINE, Ordering::SeqCst);
    let cause = store.fatal_cause().unwrap();
    assert!(cause.contains(said), "{cause}");
    for number in 1..5 {
        let refused = ReplayError::ReadOnly(Arc::clone(&cause));
        assert_eq!(remember(&store, number, 9_000, 1), Err(refused));
    }
    store.close();
}

/// Does it in a thread that is left behind when it takes a minute.
#[track_caller]
fn within<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(act());
    });
    done.recv_timeout(std::time::Duration::from_secs(60))
        .unwrap()
}

#[test]
fn the_end_of_time_is_an_end_like_any_other() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 10);
    assert_eq!(remember(&store, 1, u64::MAX, 1), Ok(()));
    let replayed = Err(ReplayError::Replayed);
    assert_eq!(remember(&store, 1, u64::MAX, 2), replayed);
    assert_eq!(remember(&store, 1, u64::MAX, u64::MAX - 1), replayed);
}

#[test]
fn what_was_renewed_is_remembered_until_its_later_end_also_by_a_clock_that_was_set_back() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    drop(open(&data, 0, 10));
    // The row of its earlier life has not gone yet: so many expired before it.
    let db = builder().open(data.join("replay.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    let mut table = transaction.open_table(SEEN).unwrap();
    for until in [5_000, 90_000] {
        table.insert((until, half(&digest(1))), ()).unwrap();
    }
    drop(table);
    transaction.commit().unwrap();
    drop(db);
    let store = open(&data, 1_000, 10);
    assert_eq!(remember(&store, 2, 80_000, 7_000), Ok(()));
    let replayed = Err(ReplayError::Replayed);
    assert_eq!(remember(&store, 1, 90_000, 7_000), replayed);
}

#[test]
fn what_was_forgotten_is_not_taken_again_after_a_restart_with_the_clock_set_back() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 10);
    assert_eq!(remember(&store, 1, 60_000, 0), Ok(()));
    // The clock runs ahead: the row is forgotten with the next commit.
    assert_eq!(remember(&store, 2, 200_000, 100_000), Ok(()));
    drop(store);
    let store = open(&data, 1_000, 10);
    assert_eq!(
        remember(&store, 1, 60_000, 1_000),
        Err(ReplayError::Expired)
    );
    // Restarting heals what was not forgotten.
    assert_eq!(remember(&store, 3, 61_000, 1_000), Ok(()));
}

/// The format is for as long as anything lives; and whoever goes back a version finds it as it was.
#[test]
fn the_golden_file_stays_as_it_is() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 10);
    let named: [u8; 32] = std::array::from_fn(|at| at as u8);
    for (until, now) in [(60_000, 0), (1_772_528_400_123, 61_000)] {
        let waiting = store.remember(&named, Millis(until), Millis(now));
        waiting.unwrap().wait().unwrap();
    }
    drop(store);
    let db = builder().open(data.join("replay.redb")).unwrap();
    let read = db.begin_read().unwrap();
    let mut tables: Vec<String> = read
        .list_tables()
        .unwrap()
        .map(|table| redb::TableHandle::name(&table).to_owned())
        .collect();
    tables.sort();
    assert_eq!(tables, ["header", "seen"]);
    let header: TableDefinition<'_, &str, &str> = TableDefinition::new("header");
    let header = read.open_table(header).unwrap();
    let rows: Vec<(String, String)> = header
        .iter()
        .unwrap()
        .map(|row| row.unwrap())
        .map(|(name, text)| (name.value().to_owned(), text.value().to_owned()))
        .collect();
    let expected = [
        ("forgotten", "60000"),
        ("format", "1"),
        ("log_id", "0123456789abcdef0123456789abcdef"),
    ];
    assert_eq!(rows, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let seen: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("seen");
    let seen = read.open_table(seen).unwrap();
    let rows: Vec<_> = seen
        .iter()
        .unwrap()
        .map(|row| row.unwrap().0.value())
        .collect();
    let only = (1_772_528_400_123, 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
    assert_eq!(rows, [only]);
    let bytes = <(u64, u128) as redb::Value>::as_bytes(&only);
    let golden = [
        0xfb, 0xf6, 0xec, 0xb2, 0x9c, 0x01, 0, 0, // until, the lowest byte first
        15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
    ];
    assert_eq!(AsRef::<[u8]>::as_ref(&bytes), golden);
}

fn rows(db: &Database) -> u64 {
    let table = db.begin_read().unwrap().open_table(SEEN).unwrap();
    redb::ReadableTableMetadata::len(&table).unwrap()
}

fn group(numbers: std::ops::Range<u64>, until: u64) -> Vec<Item> {
    numbers
        .map(|number| Item {
            until,
            digest: half(&digest(number)),
            answer: oneshot::channel().0,
        })
        .collect()
}

#[test]
fn what_expired_goes_from_the_disk_in_bounded_steps_and_its_room_is_used_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("replay.redb");
    let db = builder().create(&path).unwrap();
    commit(&db, &group(0..10_000, 5), 0).unwrap();
    let left: Vec<u64> = (0..3)
        .map(|_| {
            commit(&db, &[], 6).unwrap();
            rows(&db)
        })
        .collect();
    assert_eq!(left, [10_000 - 4_096, 10_000 - 8_192, 0]);
    let mut sizes = Vec::new();
    for round in 10..110 {
        commit(&db, &group(0..500, round + 1), round).unwrap();
        assert!(rows(&db) <= 1_000, "{round}: {}", rows(&db));
        sizes.push(std::fs::metadata(&path).unwrap().len());
    }
    assert_eq!(sizes[20], sizes[99], "{sizes:?}");
}

#[test]
fn a_torn_file_is_refused_and_one_that_was_never_named_is_begun_again() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let path = data.join("replay.redb");
    // A crash before the file had its name.
    std::fs::write(data.join("replay.redb.new"), b"half of").unwrap();
    let store = open(&data, 0, 1_000);
    for number in 0..200 {
        drop(
            store
                .remember(&digest(number), Millis(60_000), Millis(1))
                .unwrap(),
        );
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for length in [
        0,
        1,
        100,
        4_096,
        5_000,
        8_192,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let refused = ReplayStore::open(&data, log_id(), Millis(0), 10);
        let damaged = matches!(refused, Err(Fault::ReplaysDamaged { .. }));
        assert!(damaged, "{length}: {refused:?}");
        // It was not mended into one that has forgotten.
        let again = ReplayStore::open(&data, log_id(), Millis(0), 10);
        assert!(again.is_err(), "{length}");
    }
    std::fs::write(&path, &whole).unwrap();
    let store = open(&data, 2, 1_000);
    assert_eq!(store.stats().entries, 200);
    assert_eq!(remember(&store, 199, 60_000, 2), Err(ReplayError::Replayed));
}

#[test]
fn many_wait_for_few_commits() {
    let directory = TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("d")).unwrap();
    let store = open(&data, 0, 10_000);
    let waiting: Vec<_> = (0..5_000)
        .map(|number| {
            store
                .remember(&digest(number), Millis(9_000), Millis(1))
                .unwrap()
        })
        .collect();
    for waiting in waiting {
        assert_eq!(waiting.wait(), Ok(()));
    }
    let stats = store.stats();
    assert_eq!((stats.entries, stats.queued), (5_000, 0));
    assert!((3..500).contains(&stats.commits), "{stats:?}");
    store.close();
    let closed = remember(&store, 6_000, 9_000, 1);
    assert!(
        matches!(closed, Err(ReplayError::ReadOnly(_))),
        "{closed:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// A token has one end. Whatever the clock does and however often the server restarts, it is
    /// taken once.
    #[test]
    fn a_token_is_taken_once_whatever_the_clock_does(
        steps in prop::collection::vec((0u64..5, 0u64..40, any::<bool>()), 1..40)
    ) {
        let directory = TempDir::new().unwrap();
        let data = DataDir::create(&directory.path().join("d")).unwrap();
        let mut store = open(&data, 0, 10);
        let mut taken = std::collections::BTreeSet::new();
        for (number, clock, reopen) in steps {
            let (now, until) = (clock * 500, 2_000 + number * 3_700);
            if reopen {
                drop(store);
                store = open(&data, now, 10);
            }
            let answer = remember(&store, number, until, now);
            prop_assert!(answer.is_err() || taken.insert(number), "{} again at {}", number, now);
        }
    }
}
