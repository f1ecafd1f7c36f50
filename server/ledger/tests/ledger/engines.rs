//! The contract of `writ_ledger::contract`, for each engine.

use crate::within;
use redb::ReadableDatabase as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use writ_ledger::contract::{self, Place};
use writ_ledger::{Engine, Fault, LogId, MemDisk, MemEngine, RedbEngine, SledEngine};

struct Redb(PathBuf);

impl Place for Redb {
    fn create(&self, log_id: LogId) -> Result<Box<dyn Engine>, Fault> {
        Ok(Box::new(RedbEngine::create(&self.0, log_id)?))
    }

    fn open(&self) -> Result<Box<dyn Engine>, Fault> {
        Ok(Box::new(RedbEngine::open(&self.0)?))
    }

    fn damage(&self) {
        flip_in(&self.0, b"\"n\":500}");
    }

    fn set_format(&self, format: u32) {
        const HEADER: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("header");
        let db = redb::Database::open(&self.0).unwrap();
        assert_eq!(
            db.begin_read()
                .unwrap()
                .open_table(HEADER)
                .unwrap()
                .get("format")
                .unwrap()
                .unwrap()
                .value(),
            "1"
        );
        let transaction = db.begin_write().unwrap();
        let text = format.to_string();
        transaction
            .open_table(HEADER)
            .unwrap()
            .insert("format", text.as_str())
            .unwrap();
        transaction.commit().unwrap();
    }
}

struct Sled(PathBuf);

impl Place for Sled {
    fn create(&self, log_id: LogId) -> Result<Box<dyn Engine>, Fault> {
        let path = self.0.clone();
        let made = within("making it", move || SledEngine::create(&path, log_id));
        Ok(Box::new(made?))
    }

    fn open(&self) -> Result<Box<dyn Engine>, Fault> {
        let path = self.0.clone();
        Ok(Box::new(within("opening", move || {
            SledEngine::open(&path)
        })?))
    }

    fn damage(&self) {
        flip_in(&self.0.join("db"), b"\"n\":500}");
    }

    fn set_format(&self, format: u32) {
        let path = self.0.clone();
        let db = within("opening", move || sled::open(path)).unwrap();
        db.insert("hformat", format.to_string().as_bytes()).unwrap();
        db.flush().unwrap();
    }
}

struct Memory(Arc<MemDisk>);

impl Place for Memory {
    fn create(&self, log_id: LogId) -> Result<Box<dyn Engine>, Fault> {
        let engine = self.open()?;
        if engine.log_id() == log_id {
            Ok(engine)
        } else {
            Err(Fault::Exists {
                path: "memory".into(),
            })
        }
    }

    fn open(&self) -> Result<Box<dyn Engine>, Fault> {
        Ok(Box::new(MemEngine::open(&self.0)?))
    }

    fn damage(&self) {
        self.0.damage();
    }

    fn set_format(&self, format: u32) {
        self.0.set_format(format);
    }
}

/// Flips one bit wherever these bytes are in a file.
fn flip_in(path: &Path, needle: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let places: Vec<usize> = bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect();
    assert!(
        !places.is_empty(),
        "the bytes to damage are not in {}",
        path.display()
    );
    for at in places {
        bytes[at + 4] ^= 1;
    }
    std::fs::write(path, bytes).unwrap();
}

macro_rules! contract {
    ($($engine:ident => $place:expr;)*) => {$(
        mod $engine {
            use super::*;

            fn check(property: fn(&dyn Place)) {
                let directory = tempfile::tempdir().unwrap();
                let place: fn(&Path) -> Box<dyn Place> = $place;
                property(&*place(directory.path()));
            }

            contract!(@ appends_and_reads is_not_made_twice refuses_another_head one_of_two_wins
                is_atomic_and_bounded reopens reads_ranges finds_entities refuses_damage
                refuses_another_format);
        }
    )*};
    (@ $($property:ident)*) => {$(
        #[test]
        fn $property() {
            check(contract::$property);
        }
    )*};
}

const MEMORY_ID: LogId = LogId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

contract! {
    memory => |_| Box::new(Memory(MemDisk::new(MEMORY_ID)));
    redb_engine => |directory| Box::new(Redb(directory.join("admin.redb")));
    sled_engine => |directory| Box::new(Sled(directory.join("admin.sled")));
}

/// A crash while a log is made leaves a file with another name, which is in nobody's way.
#[test]
fn a_half_made_log_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let redb = directory.path().join("admin.redb");
    std::fs::write(directory.path().join("admin.redb.new"), vec![7; 5000]).unwrap();
    assert_eq!(
        RedbEngine::create(&redb, LogId(1)).unwrap().head().unwrap(),
        0
    );
    let sled = directory.path().join("admin.sled");
    std::fs::create_dir(directory.path().join("admin.sled.new")).unwrap();
    std::fs::write(directory.path().join("admin.sled.new/db"), "half").unwrap();
    let made = within("making it", move || SledEngine::create(&sled, LogId(1)));
    assert_eq!(made.unwrap().head().unwrap(), 0);
}

/// A file that is no log at all, or an empty one, is damage and not a new log.
#[test]
fn something_else_is_not_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.redb");
    for bytes in [&b""[..], b"short", &[0; 100_000], &[0xff; 100_000]] {
        std::fs::write(&path, bytes).unwrap();
        let refused = RedbEngine::open(&path).unwrap_err();
        assert!(
            matches!(refused, Fault::Damaged { .. }),
            "{} bytes: {refused:?}",
            bytes.len()
        );
    }
    let path = directory.path().join("admin.sled");
    std::fs::create_dir(&path).unwrap();
    assert!(within("opening", move || SledEngine::open(&path)).is_err());
}
