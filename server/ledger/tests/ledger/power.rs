//! Power cuts: redb on a disk that forgets what was not synced, at random instants.

use crate::random::Random;
use redb::StorageBackend;
use std::io::{Error, Result};
use std::path::Path;
use std::sync::{Arc, Mutex};
use writ_ledger::engine::Entry;
use writ_ledger::{Engine, LogId, RedbEngine};

const SECTOR: usize = 512;

/// A disk with a write cache. A power cut keeps an arbitrary part of what was not synced, sector
/// by sector, and nothing that comes later.
#[derive(Debug, Default)]
struct Disk {
    durable: Vec<u8>,
    /// The file as the process sees it.
    cached: Vec<u8>,
    /// What was changed since the last sync: lengths and writes in order.
    unsynced: Vec<Change>,
    /// Operations until the power is cut.
    left: u64,
    off: bool,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(length) => file.resize(*length, 0),
            Self::Write(at, bytes) => {
                if file.len() < at + bytes.len() {
                    file.resize(at + bytes.len(), 0);
                }
                file[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    fn use_power(&mut self) -> Result<()> {
        if self.off {
            return Err(Error::other("the power is off"));
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.off = true;
                return Err(Error::other("the power was cut"));
            }
        }
        Ok(())
    }

    /// What a process finds after the cut.
    fn restart(&mut self, random: &mut Random, power: u64) {
        let keep = [0, 300, 700, 1000][random.below(4) as usize];
        let changes = std::mem::take(&mut self.unsynced);
        for change in &changes {
            match change {
                Change::Length(_) if random.below(1000) < keep => change.apply(&mut self.durable),
                Change::Length(_) => {}
                Change::Write(at, bytes) => {
                    for (i, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.below(1000) < keep {
                            let at = at + i * SECTOR;
                            Change::Write(at, sector.to_vec()).apply(&mut self.durable);
                        }
                    }
                }
            }
        }
        self.cached = self.durable.clone();
        self.off = false;
        self.left = power;
    }
}

#[derive(Clone, Debug, Default)]
struct Backend(Arc<Mutex<Disk>>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64> {
        Ok(self.0.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let disk = self.0.lock().unwrap();
        if disk.off {
            return Err(Error::other("the power is off"));
        }
        let at = offset as usize;
        let bytes = disk.cached.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::other("past the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.use_power()?;
        let change = Change::Length(len as usize);
        change.apply(&mut disk.cached);
        disk.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.use_power()?;
        disk.unsynced.clear();
        disk.durable = disk.cached.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.use_power()?;
        let change = Change::Write(offset as usize, data.to_vec());
        change.apply(&mut disk.cached);
        disk.unsynced.push(change);
        Ok(())
    }
}

fn entry(n: u64) -> Entry {
    let bytes = format!(
        "{{\"n\":{n},\"filler\":\"{}\"}}",
        "x".repeat(n as usize % 900)
    );
    Entry {
        bytes: bytes.into_bytes(),
        entities: vec![format!("e/{}", n % 7)],
    }
}

/// Runs one disk through many cuts; counts (cuts, acknowledged events).
fn run(seed: u64, cuts: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let backend = Backend::default();
    let label = Path::new("simulated disk");
    backend.0.lock().unwrap().left = u64::MAX;
    drop(RedbEngine::with_backend(backend.clone(), label, LogId(seed.into())).unwrap());
    let mut acknowledged = 0u64;
    for cut in 0..cuts {
        // Some cuts fall into the repair of the one before.
        let bound = [10, 60, 400][random.below(3) as usize];
        let power = random.below(bound);
        backend.0.lock().unwrap().restart(&mut random, power);
        let engine = match RedbEngine::with_backend(backend.clone(), label, LogId(0)) {
            Ok(engine) => engine,
            Err(fault) => {
                let off = backend.0.lock().unwrap().off;
                assert!(
                    off,
                    "seed {seed}, cut {cut}: does not open with the power on: {fault}"
                );
                continue;
            }
        };
        let head = engine.head().unwrap();
        assert!(
            head >= acknowledged,
            "seed {seed}, cut {cut}: {acknowledged} acknowledged, {head} found"
        );
        let mut from = 0;
        while from < head {
            let events = engine.read(from, 1000, usize::MAX).unwrap();
            assert!(!events.is_empty(), "seed {seed}, cut {cut}: {from} is lost");
            for (position, bytes) in &events {
                assert_eq!(*bytes, entry(*position).bytes, "seed {seed}, cut {cut}");
            }
            from += events.len() as u64;
        }
        let found: usize = (0..7)
            .map(|n| {
                engine
                    .positions(&format!("e/{n}"), 0..u64::MAX, usize::MAX)
                    .unwrap()
                    .len()
            })
            .sum();
        assert_eq!(
            found as u64, head,
            "seed {seed}, cut {cut}: the entity index differs"
        );
        acknowledged = head;
        loop {
            let to = acknowledged + 1 + random.below(5);
            let batch: Vec<Entry> = (acknowledged..to).map(entry).collect();
            match engine.append(acknowledged, &batch) {
                Ok(head) => acknowledged = head,
                Err(_) => break,
            }
        }
        assert!(backend.0.lock().unwrap().off);
    }
    (cuts, acknowledged)
}

#[test]
fn nothing_acknowledged_is_lost_in_power_cuts() {
    let runs = (1..=12).map(|seed| run(seed, 40));
    let (cuts, events) = runs.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    assert!(
        cuts == 480 && events > 1_000,
        "{cuts} cuts, {events} events: too little happened"
    );
}
