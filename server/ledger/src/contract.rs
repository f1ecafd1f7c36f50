//! What every engine must do, as functions that a test of each engine calls. An engine that
//! passes all of them can carry the admin log.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: to panic is how a check here says no"
)]

use crate::engine::{AppendError, Engine, Entry};
use crate::{Fault, LogId, limits};

/// One place where an engine keeps a log, for one test.
pub trait Place {
    /// Makes the log.
    fn create(&self, log_id: LogId) -> Result<Box<dyn Engine>, Fault>;
    /// Opens it; the engine that had it open was dropped before.
    fn open(&self) -> Result<Box<dyn Engine>, Fault>;
    /// Damages what is stored in a way that must be noticed.
    fn damage(&self);
    /// Pretends that another version wrote it.
    fn set_format(&self, format: u32);
}

const ID: LogId = LogId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

fn entry(n: u64) -> Entry {
    let entities = vec![format!("parity/{}", n % 2), format!("number/{n}")];
    Entry {
        bytes: format!("{{\"n\":{n}}}").into_bytes(),
        entities,
    }
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(entry).collect()
}

fn assert_holds(engine: &dyn Engine, count: u64) {
    assert_eq!(engine.head().unwrap(), count);
    let found = engine.read(0, usize::MAX, usize::MAX).unwrap();
    let expected: Vec<(u64, Vec<u8>)> = (0..count).map(|n| (n, entry(n).bytes)).collect();
    assert_eq!(found, expected);
}

/// Positions are 0, 1, 2 … and the identity of the log is kept.
pub fn appends_and_reads(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    assert_eq!(engine.log_id(), ID);
    assert_holds(&*engine, 0);
    assert_eq!(engine.append(0, &entries(0..1)).unwrap(), 1);
    assert_eq!(engine.append(1, &entries(1..5)).unwrap(), 5);
    assert_eq!(engine.append(5, &[]).unwrap(), 5);
    assert_holds(&*engine, 5);
}

/// A log is made once.
pub fn is_not_made_twice(place: &dyn Place) {
    drop(place.create(ID).unwrap());
    assert!(matches!(place.create(LogId(2)), Err(Fault::Exists { .. })));
    assert_eq!(place.open().unwrap().log_id(), ID);
}

/// An append at another position than the head writes nothing and tells the head.
pub fn refuses_another_head(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    engine.append(0, &entries(0..3)).unwrap();
    for expected in [0, 2, 4, u64::MAX] {
        let refused = engine.append(expected, &entries(3..4));
        assert!(
            matches!(refused, Err(AppendError::Conflict { head: 3 })),
            "{refused:?}"
        );
    }
    assert_holds(&*engine, 3);
    assert_eq!(engine.append(3, &entries(3..4)).unwrap(), 4);
}

/// Of two that append at one head, one wins.
pub fn one_of_two_wins(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    for round in 0..20 {
        let wins: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| engine.append(round, &entries(round..round + 1)).is_ok()))
                .collect();
            racers
                .into_iter()
                .map(|racer| usize::from(racer.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1, "round {round}");
    }
    assert_holds(&*engine, 20);
}

/// A batch with one entry that is too large is not written at all, and the log goes on.
pub fn is_atomic_and_bounded(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    engine.append(0, &entries(0..1)).unwrap();
    let mut batch = entries(1..4);
    batch[2].bytes = vec![b'x'; limits::ENTRY_BYTES + 1];
    let refused = engine.append(1, &batch);
    assert!(
        matches!(refused, Err(AppendError::Fault(Fault::TooLarge { .. }))),
        "{refused:?}"
    );
    let mut batch = entries(1..2);
    batch[0].entities.push("a\0b".to_owned());
    assert!(engine.append(1, &batch).is_err());
    batch[0].entities = vec!["e".repeat(limits::ENTITY_BYTES + 1)];
    assert!(engine.append(1, &batch).is_err());
    assert_holds(&*engine, 1);
    assert_eq!(
        engine.positions("number/1", 0..u64::MAX, 10).unwrap(),
        Vec::<u64>::new()
    );
    let largest = Entry {
        bytes: vec![b'x'; limits::ENTRY_BYTES],
        entities: Vec::new(),
    };
    assert_eq!(engine.append(1, std::slice::from_ref(&largest)).unwrap(), 2);
    drop(engine);
    assert_eq!(
        place.open().unwrap().read(1, 1, 0).unwrap(),
        [(1, largest.bytes)]
    );
}

/// What was appended is there after a restart, and more can follow.
pub fn reopens(place: &dyn Place) {
    let mut head = place.create(ID).unwrap().head().unwrap();
    for round in 1..6u64 {
        let engine = place.open().unwrap();
        assert_eq!(engine.log_id(), ID);
        assert_holds(&*engine, head);
        let to = head + round * 7;
        head = engine.append(head, &entries(head..to)).unwrap();
    }
    let engine = place.open().unwrap();
    assert_holds(&*engine, head);
    assert_eq!(
        engine.positions("number/11", 0..u64::MAX, 10).unwrap(),
        [11]
    );
}

/// Reads keep to their start, their count and their bytes.
pub fn reads_ranges(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    engine.append(0, &entries(0..100)).unwrap();
    let places = |from, max, bytes| -> Vec<u64> {
        engine
            .read(from, max, bytes)
            .unwrap()
            .into_iter()
            .map(|(position, _)| position)
            .collect()
    };
    assert_eq!(places(0, 3, usize::MAX), [0, 1, 2]);
    assert_eq!(places(98, 3, usize::MAX), [98, 99]);
    assert_eq!(places(100, 3, usize::MAX), Vec::<u64>::new());
    assert_eq!(places(u64::MAX, 3, usize::MAX), Vec::<u64>::new());
    assert_eq!(places(5, 0, usize::MAX), Vec::<u64>::new());
    assert_eq!(
        places(5, 10, 0),
        [5],
        "one at least, or a follower would stand still"
    );
    let two = entry(10).bytes.len() * 2;
    assert_eq!(places(10, 10, two), [10, 11]);
    assert_eq!(places(10, 10, two + 1), [10, 11]);
}

/// The entity index finds the events of an entity, and of no other.
pub fn finds_entities(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    engine.append(0, &entries(0..50)).unwrap();
    engine.append(50, &entries(50..600)).unwrap();
    let even = engine
        .positions("parity/0", 0..u64::MAX, usize::MAX)
        .unwrap();
    assert_eq!(even, (0..600).step_by(2).collect::<Vec<u64>>());
    assert_eq!(
        engine.positions("parity/1", 10..20, usize::MAX).unwrap(),
        [11, 13, 15, 17, 19]
    );
    assert_eq!(engine.positions("parity/1", 10..20, 2).unwrap(), [11, 13]);
    assert_eq!(
        engine.positions("number/7", 0..7, 9).unwrap(),
        Vec::<u64>::new()
    );
    assert_eq!(engine.positions("number/7", 7..8, 9).unwrap(), [7]);
    assert_eq!(
        engine.positions("number/7", 7..7, 9).unwrap(),
        Vec::<u64>::new()
    );
    assert_eq!(
        engine.positions("number", 0..u64::MAX, 9).unwrap(),
        Vec::<u64>::new()
    );
    assert_eq!(
        engine.positions("", 0..u64::MAX, 9).unwrap(),
        Vec::<u64>::new()
    );
}

/// Damage is an error that says so, not a shorter log.
pub fn refuses_damage(place: &dyn Place) {
    let engine = place.create(ID).unwrap();
    for round in 0..20 {
        engine
            .append(round * 50, &entries(round * 50..(round + 1) * 50))
            .unwrap();
    }
    drop(engine);
    place.damage();
    let refused = place.open();
    assert!(
        matches!(refused, Err(Fault::Damaged { .. } | Fault::Gap { .. })),
        "{refused:?}"
    );
}

/// A format of the future is refused, with both formats in the message.
pub fn refuses_another_format(place: &dyn Place) {
    drop(place.create(ID).unwrap());
    place.set_format(97);
    let refused = place.open().unwrap_err();
    assert!(matches!(refused, Fault::UnknownFormat { .. }), "{refused}");
    assert!(refused.to_string().contains("97"), "{refused}");
}
