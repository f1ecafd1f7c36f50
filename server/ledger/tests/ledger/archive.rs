//! Archives: exported, read as a store, imported into each engine with an equal root, interrupted,
//! and damaged.

use std::path::Path;
use std::sync::Arc;
use writ_core::testkit;
use writ_core::{Event, Millis, codec};
use writ_ledger::archive::{self, ArchiveEngine, Contents};
use writ_ledger::engine::Entry;
use writ_ledger::merkle::Tree;
use writ_ledger::verify::verify;
use writ_ledger::{
    Anchor, Blobs, DataDir, Engine, EngineKind, Fault, LogId, ReplayError, ReplayStore, open_engine,
};

const ID: LogId = LogId(11);

fn data(path: &Path) -> DataDir {
    DataDir::create(path).unwrap()
}

/// A log with the events of the base world and some thousand more.
fn full(data: &DataDir) -> Arc<dyn Engine> {
    let engine = open_engine(data, EngineKind::Redb, Some(ID)).unwrap();
    let mut log = testkit::Log::populated();
    for n in 0..5_000 {
        let rename = testkit::create_role(&format!("role {n}"), &[]);
        log.run(&testkit::admin(), rename);
    }
    if let Event::LogCreated(created) = &mut log.recorded[0].event {
        created.log_id = ID.to_string().into();
    }
    let entries: Vec<Entry> = log
        .recorded
        .iter()
        .map(|recorded| Entry {
            bytes: codec::encode(recorded).unwrap(),
            entities: recorded
                .event
                .entities()
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
        .collect();
    engine.append(0, &entries).unwrap();
    engine
}

fn all(engine: &dyn Engine) -> Vec<(u64, Vec<u8>)> {
    engine.read(0, usize::MAX, usize::MAX).unwrap()
}

#[test]
fn a_log_moves_through_an_archive_into_every_engine_with_an_equal_root() {
    let place = tempfile::tempdir().unwrap();
    let from = data(&place.path().join("from"));
    let engine = full(&from);
    let module = Blobs::open(&from).unwrap().put(b"a module").unwrap();
    let to = place.path().join("archive");
    let mut heard = 0;
    let made = archive::export(&*engine, &from, &to, Contents::default(), |done| {
        heard = done
    });
    let made = made.unwrap();
    assert_eq!(
        (heard, made.events),
        (engine.head().unwrap(), engine.head().unwrap())
    );
    let mut tree = Tree::default();
    all(&*engine).iter().for_each(|(_, bytes)| tree.push(bytes));
    assert_eq!(made.root, tree.root());

    // As a store it is what it was made of.
    let archived = ArchiveEngine::open(&to).unwrap();
    assert_eq!(archived.log_id(), ID);
    assert_eq!(all(&archived), all(&*engine));
    assert_eq!(
        archived.read(17, 3, usize::MAX).unwrap(),
        engine.read(17, 3, usize::MAX).unwrap()
    );
    assert_eq!(archived.read(17, 3, 1).unwrap().len(), 1);
    assert_eq!(archived.read(1 << 40, 3, 1).unwrap(), []);
    let about = "role/role_3";
    assert_eq!(
        archived.positions(about, 0..u64::MAX, 9).unwrap(),
        engine.positions(about, 0..u64::MAX, 9).unwrap()
    );
    assert!(archived.append(0, &[]).is_err());
    let anchor = Anchor {
        size: made.events,
        root: made.root,
        place: "checkpoint".into(),
    };
    let report = verify(&archived, &to, std::slice::from_ref(&anchor), |_| {}).unwrap();
    assert_eq!(report.findings, []);

    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let into = data(&place.path().join(format!("{kind:?}")));
        let store = open_engine(&into, kind, Some(ID)).unwrap();
        let imported = archive::import(&to, &into, &*store, |_| {}).unwrap();
        assert_eq!(imported, made);
        assert_eq!(all(&*store), all(&*engine), "{kind:?}");
        assert_eq!(
            store.positions(about, 0..u64::MAX, 9).unwrap(),
            engine.positions(about, 0..u64::MAX, 9).unwrap()
        );
        let blob = Blobs::open(&into).unwrap().get(&module).unwrap();
        assert_eq!(blob.as_deref(), Some(&b"a module"[..]));
        // Again it changes nothing.
        archive::import(&to, &into, &*store, |_| {}).unwrap();
        assert_eq!(store.head().unwrap(), made.events);
    }
}

#[test]
fn an_interrupted_import_goes_on_and_another_log_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let from = data(&place.path().join("from"));
    let engine = full(&from);
    let to = place.path().join("archive");
    archive::export(&*engine, &from, &to, Contents::default(), |_| {}).unwrap();
    for left in [1, 4_096, 4_097, 5_000] {
        let into = data(&place.path().join(format!("left {left}")));
        let store = open_engine(&into, EngineKind::Redb, Some(ID)).unwrap();
        let entry = |(_, bytes): (u64, Vec<u8>)| Entry {
            bytes,
            entities: Vec::new(),
        };
        let begun: Vec<Entry> = engine
            .read(0, left, usize::MAX)
            .unwrap()
            .into_iter()
            .map(entry)
            .collect();
        store.append(0, &begun).unwrap();
        archive::import(&to, &into, &*store, |_| {}).unwrap();
        assert_eq!(all(&*store), all(&*engine), "{left}");
    }
    let into = data(&place.path().join("other"));
    let store = open_engine(&into, EngineKind::Redb, Some(ID)).unwrap();
    let other = Entry {
        bytes: b"{}".to_vec(),
        entities: Vec::new(),
    };
    store.append(0, &[other]).unwrap();
    let refused = archive::import(&to, &into, &*store, |_| {}).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("not the beginning of the archive's"),
        "{refused}"
    );
    assert_eq!(store.head().unwrap(), 1);
}

#[test]
fn a_damaged_archive_is_refused_and_says_how() {
    let place = tempfile::tempdir().unwrap();
    let from = data(&place.path().join("from"));
    let engine = full(&from);
    let to = place.path().join("archive");
    archive::export(&*engine, &from, &to, Contents::default(), |_| {}).unwrap();
    let again = archive::export(&*engine, &from, &to, Contents::default(), |_| {});
    assert!(matches!(again, Err(Fault::Exists { .. })));

    let lines = to.join("events.jsonl");
    let whole = std::fs::read(&lines).unwrap();
    // Cut in the middle of a line, by a line, and with a letter changed.
    for cut in [
        whole.len() - 5,
        whole.iter().take(9_999).rposition(|b| *b == b'\n').unwrap() + 1,
    ] {
        std::fs::write(&lines, &whole[..cut]).unwrap();
        let refused = ArchiveEngine::open(&to).unwrap_err().to_string();
        assert!(
            refused.contains("whole lines, and should have"),
            "{refused}"
        );
    }
    let mut changed = whole;
    let at = changed.windows(6).position(|w| w == b"role 7").unwrap();
    changed[at + 5] = b'8';
    std::fs::write(&lines, changed).unwrap();
    let into = data(&place.path().join("into"));
    let store = open_engine(&into, EngineKind::Redb, Some(ID)).unwrap();
    let refused = archive::import(&to, &into, &*store, |_| {})
        .unwrap_err()
        .to_string();
    assert!(refused.contains("its root is"), "{refused}");
    let none = ArchiveEngine::open(place.path()).unwrap_err().to_string();
    assert!(none.contains("not an archive of Writ"), "{none}");
}

/// An archive is of any age, and so would be what it says was seen.
#[test]
fn what_counts_once_is_in_no_archive_and_an_import_leaves_it_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let from = data(&place.path().join("from"));
    let engine = full(&from);
    let remember = |data: &DataDir| {
        let store = ReplayStore::open(data, ID, Millis(0), 10).unwrap();
        store
            .remember(&[7; 32], Millis(9_000), Millis(0))
            .and_then(writ_ledger::Remembering::wait)
    };
    assert_eq!(remember(&from), Ok(()));
    let to = place.path().join("archive");
    // With all that an archive can have.
    let contents = Contents {
        keys: true,
        issuances: true,
    };
    std::fs::create_dir(from.join("issuance")).unwrap();
    std::fs::write(from.join("keys.json"), b"{}").unwrap();
    let made = archive::export(&*engine, &from, &to, contents, |_| {}).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.contains(&"events.jsonl".to_owned()), "{names:?}");
    assert!(
        !names.iter().any(|name| name.contains("replay")),
        "{names:?}"
    );
    let anchor = Anchor {
        size: made.events,
        root: made.root,
        place: "checkpoint".into(),
    };
    let report = verify(&*engine, from.path(), &[anchor], |_| {}).unwrap();
    assert_eq!(report.findings, []);

    for has_one in [false, true] {
        let into = data(&place.path().join(format!("into {has_one}")));
        if has_one {
            assert_eq!(remember(&into), Ok(()));
        }
        let store = open_engine(&into, EngineKind::Redb, Some(ID)).unwrap();
        let imported = archive::import(&to, &into, &*store, |_| {}).unwrap();
        assert_eq!(imported, made);
        assert_eq!(into.join("replay.redb").exists(), has_one);
        let expected = match has_one {
            true => Err(ReplayError::Replayed),
            false => Ok(()),
        };
        assert_eq!(remember(&into), expected);
    }
}
