#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::engine::{Engine, Entry};
use crate::merkle::{Tree, leaf_hash};
use crate::{Anchor, LedgerConfig, MemDisk, MemEngine, RandomIds};
use std::sync::Arc;
use writ_core::{Event, Millis, codec, testkit};

const ID: LogId = LogId(7);
const KEY: [u8; 32] = [3; 32];

struct World {
    _directory: tempfile::TempDir,
    data: DataDir,
    disk: Arc<MemDisk>,
}

impl World {
    /// A log of everything that there is.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::create(&directory.path().join("data")).unwrap();
        let disk = MemDisk::new(ID);
        let world = Self {
            _directory: directory,
            data,
            disk,
        };
        for recorded in testkit::Log::populated().recorded {
            let mut recorded = recorded;
            if let Event::LogCreated(created) = &mut recorded.event {
                created.log_id = ID.to_string().into();
            }
            world.append(codec::encode(&recorded).unwrap());
        }
        world
    }

    fn append(&self, bytes: Vec<u8>) {
        let engine = MemEngine::open(&self.disk).unwrap();
        let entities = Vec::new();
        let entry = Entry { bytes, entities };
        engine.append(engine.head().unwrap(), &[entry]).unwrap();
    }

    fn try_open(
        &self,
        disk: &Arc<MemDisk>,
        key: &[u8; 32],
        anchors: Vec<Anchor>,
    ) -> Result<(Ledger, Arc<Snapshots>), Fault> {
        let snapshots = Arc::new(Snapshots::new(&self.data, key, 0));
        let (ledger, _) = Ledger::open_stepped(LedgerConfig {
            engine: Arc::new(MemEngine::open(disk).unwrap()),
            clock: Arc::new(|| Millis(0)),
            ids: Arc::new(RandomIds::default()),
            data: None,
            anchors,
            snapshots: Some(Arc::clone(&snapshots)),
            progress: None,
            on_commit: None,
        })?;
        Ok((ledger, snapshots))
    }

    fn open(&self) -> (Ledger, Arc<Snapshots>) {
        self.try_open(&self.disk, &KEY, Vec::new()).unwrap()
    }

    /// Opens, and says whether the snapshot was used. The index is the same in any case.
    fn uses_it(&self) -> bool {
        let (ledger, snapshots) = self.open();
        let mut replayed = Index::default();
        let engine = MemEngine::open(&self.disk).unwrap();
        crate::replay(&engine, &mut replayed, |_| {}).unwrap();
        assert_eq!(*ledger.snapshot(), replayed);
        let mut tree = Tree::default();
        let stored = self.disk.durable();
        stored.iter().for_each(|bytes| tree.push(bytes));
        assert_eq!(ledger.tree_head(), (tree.size(), tree.root()));
        snapshots.last() > 0
    }

    fn write(&self) -> Vec<u8> {
        let (ledger, snapshots) = self.open();
        let bytes = snapshots.write(&ledger).unwrap();
        let written = std::fs::read(&snapshots.path).unwrap();
        assert!(written.len() as u64 > bytes);
        written
    }

    fn put(&self, bytes: &[u8]) {
        std::fs::write(Snapshots::path(&self.data), bytes).unwrap();
    }
}

#[test]
fn a_start_reads_the_snapshot_and_replays_what_came_later() {
    let world = World::new();
    assert!(!world.uses_it(), "there is none yet");
    world.write();
    assert!(world.uses_it());
    let head = world.open().0.tree_head().0;
    // Something that happens later, and is in no snapshot.
    let mut later = testkit::Log::populated().recorded.last().unwrap().clone();
    later.position = writ_core::Position(head);
    later.event = writ_core::ApplicationDisabled { id: testkit::JOB }.into();
    world.append(codec::encode(&later).unwrap());
    assert!(world.uses_it());
    let (ledger, snapshots) = world.open();
    assert!(!ledger.index().application(testkit::JOB).unwrap().enabled);
    assert_eq!(snapshots.last(), head);
    assert!(!snapshots.is_due(&ledger), "the log has hardly grown");
    std::fs::remove_file(&snapshots.path).unwrap();
    assert!(!world.uses_it());
}

#[test]
fn whatever_is_wrong_with_it_the_log_is_replayed() {
    let world = World::new();
    let good = world.write();
    // Cut off anywhere.
    let lines = good.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let ends: Vec<usize> = lines.map(|(at, _)| at + 1).collect();
    let middle = ends.iter().map(|end| end - 2);
    for end in ends[..ends.len() - 1]
        .iter()
        .copied()
        .chain(middle)
        .chain([0])
    {
        world.put(&good[..end]);
        assert!(!world.uses_it(), "cut off at {end}");
    }
    // Changed anywhere.
    for at in (0..good.len()).step_by(97).chain([good.len() - 5]) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        world.put(&bad);
        assert!(!world.uses_it(), "changed at {at}");
    }
    // Something put in, twice, or behind.
    let line = |n: usize| &good[ends[n - 1]..ends[n]];
    let last = ends.len() - 1;
    for bad in [
        [&good[..ends[3]], line(3), &good[ends[3]..]].concat(),
        [&good[..ends[3]], &good[ends[4]..]].concat(),
        [&good[..], line(last)].concat(),
        [&good[..], b"\n"].concat(),
    ] {
        world.put(&bad);
        assert!(!world.uses_it());
    }
    world.put(&good);
    assert!(world.uses_it());
}

#[test]
fn one_of_another_server_version_or_history_is_ignored() {
    let world = World::new();
    let good = world.write();
    // Another master key.
    let (ledger, snapshots) = world.try_open(&world.disk, &[4; 32], Vec::new()).unwrap();
    assert_eq!(snapshots.last(), 0);
    // Whoever has no key cannot make one, whatever it says.
    snapshots.write(&ledger).unwrap();
    assert!(!world.uses_it());
    // Another version, which this key signed.
    let (ledger, snapshots) = world.open();
    let (index, root) = (ledger.snapshot(), ledger.tree_head().1);
    let text = String::from_utf8(good.clone()).unwrap();
    let other = text.replacen(&version(), "0.0.1+1.1", 1);
    let seal = other.rfind("{\"mac\":").unwrap();
    let mac = hmac::sign(&snapshots.key, &other.as_bytes()[..seal]);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(mac.as_ref());
    let seal = serde_json::to_string(&Seal { mac: bytes }).unwrap();
    world.put(format!("{}{seal}\n", &other[..other.rfind("{\"mac\":").unwrap()]).as_bytes());
    assert!(!world.uses_it());
    // Another log, one that was longer, and one with other events.
    snapshots.write_index(&index, LogId(8), root).unwrap();
    assert!(!world.uses_it());
    snapshots.write_index(&index, ID, [1; 32]).unwrap();
    assert!(!world.uses_it());
    world.put(&good);
    let shorter = MemDisk::new(ID);
    let engine = MemEngine::open(&shorter).unwrap();
    for (at, bytes) in (0..).zip(&world.disk.durable()[..5]) {
        let (bytes, entities) = (bytes.clone(), Vec::new());
        engine.append(at, &[Entry { bytes, entities }]).unwrap();
    }
    let (ledger, snapshots) = world.try_open(&shorter, &KEY, Vec::new()).unwrap();
    assert_eq!((ledger.tree_head().0, snapshots.last()), (5, 0));
}

/// The events that a snapshot stands for are held against the checkpoints like all others.
#[test]
fn a_log_that_is_not_what_was_signed_is_not_opened() {
    let world = World::new();
    world.write();
    let (size, root) = world.open().0.tree_head();
    let stored = world.disk.durable();
    let changed = MemDisk::new(ID);
    let engine = MemEngine::open(&changed).unwrap();
    for (at, bytes) in (0..).zip(&stored) {
        // Another name of the job, as somebody wrote it over.
        let text = String::from_utf8(bytes.clone()).unwrap();
        let bytes = text
            .replace("Course publishing job", "Course publishing jab")
            .into();
        let entities = Vec::new();
        engine.append(at, &[Entry { bytes, entities }]).unwrap();
    }
    let differs = |(a, b): (&Vec<u8>, &Vec<u8>)| leaf_hash(a) != leaf_hash(b);
    assert!(stored.iter().zip(&changed.durable()).any(differs));
    let anchor = Anchor {
        size,
        root,
        place: "checkpoint".into(),
    };
    let opened = world.try_open(&changed, &KEY, vec![anchor]);
    assert!(matches!(opened, Err(Fault::NotAsSigned { .. })));
    // Without a checkpoint the log is what it is, and the snapshot is of another one.
    let (ledger, snapshots) = world.try_open(&changed, &KEY, Vec::new()).unwrap();
    assert_eq!(snapshots.last(), 0);
    let index = ledger.snapshot();
    let job = index.application(testkit::JOB).unwrap();
    assert_eq!(job.name.as_str(), "Course publishing jab");
}

/// A crash while one is written leaves the one before, and something that nobody reads.
#[test]
fn the_one_before_stays_until_the_next_is_whole() {
    let world = World::new();
    let good = world.write();
    let aside = disk::unfinished(&Snapshots::path(&world.data));
    std::fs::write(&aside, &good[..good.len() / 2]).unwrap();
    assert!(world.uses_it());
    assert_eq!(world.write(), good);
    assert!(!aside.exists() && world.uses_it());
    // A disk that fails.
    std::fs::create_dir(&aside).unwrap();
    let (ledger, snapshots) = world.open();
    assert!(snapshots.write(&ledger).is_err());
    std::fs::remove_dir(&aside).unwrap();
    assert!(world.uses_it());
}

/// What a version writes is read by the same version alone, so this form may change, with
/// `SNAPSHOT_FORMAT`.
#[test]
fn the_first_line_says_what_it_is_of() {
    let world = World::new();
    let text = String::from_utf8(world.write()).unwrap();
    let (size, root) = world.open().0.tree_head();
    let first = format!(
        "{{\"version\":\"{}\",\"log\":\"{ID}\",\"size\":{size},\"root\":\"{}\"}}\n{{\"head\":",
        version(),
        codec::hex(&root)
    );
    assert!(text.starts_with(&first), "{}", &text[..200]);
}
