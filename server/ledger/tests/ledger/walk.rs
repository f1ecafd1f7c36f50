//! The issuance log read in steps: what a cursor promises, whatever happens between two steps.

use crate::issuances::{BEGIN, ID, Place, record, until};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use writ_core::{Millis, RecordMode};
use writ_ledger::limits::WALKED_FILES;
use writ_ledger::{IssuanceLog, IssuancePlace, IssuanceSpan, Reserve};

const ALL: IssuanceSpan = IssuanceSpan {
    from: Millis(0),
    until: Millis::MAX,
    place: None,
};

/// One step: at most so many records of the span, by their numbers, and where the next goes on.
fn step(log: &IssuanceLog, span: IssuanceSpan, max: usize) -> (Vec<u64>, Option<IssuancePlace>) {
    let mut shown = Vec::new();
    let place = log.walk(span, &mut |_, id, bytes| {
        if shown.len() == max {
            return ControlFlow::Break(());
        }
        let record: writ_ledger::IssuanceRecord = serde_json::from_slice(bytes).unwrap();
        assert_eq!(record.id, id);
        if (span.from..=span.until).contains(&record.at) {
            shown.push(record.as_of.0);
        }
        ControlFlow::Continue(())
    });
    (shown, place.unwrap())
}

/// All steps of a span, with the text of each cursor read back.
fn walk(log: &IssuanceLog, span: IssuanceSpan, max: usize) -> Vec<u64> {
    let (mut all, mut place) = (Vec::new(), span.place);
    loop {
        let (shown, next) = step(log, IssuanceSpan { place, ..span }, max);
        all.extend(shown);
        match next {
            None => return all,
            Some(next) => place = Some(next.to_string().parse().unwrap()),
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Some records in one commit, so many milliseconds after (or before) the present moment.
    Record(u8, i64),
    /// The file is closed, and sealed.
    Seal,
    Restart,
    /// The oldest sealed file is unlinked.
    Forget,
    /// The walker takes a step of so many records.
    Step(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u8..9, prop_oneof![0i64..50, -5_000i64..5_000]).prop_map(|(n, by)| Act::Record(n, by)),
        2 => Just(Act::Seal),
        1 => Just(Act::Restart),
        1 => Just(Act::Forget),
        4 => (1u8..7).prop_map(Act::Step),
    ]
}

fn sealed(log: &IssuanceLog, files: usize) {
    until("sealing", || log.sealed().len() == files);
}

/// A walk from the beginning to the end has shown each record once, in the order of arrival; but for
/// those that were unlinked meanwhile, all of them.
fn whole(seen: &[u64], recorded: u64, gone: &BTreeSet<u64>) -> Result<(), TestCaseError> {
    prop_assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let missed: Vec<u64> = (0..recorded)
        .filter(|n| !seen.contains(n) && !gone.contains(n))
        .collect();
    prop_assert!(missed.is_empty(), "missed {missed:?} of {seen:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each record once, in the order of arrival, whatever is written, sealed or restarted between
    /// two steps; of what was unlinked meanwhile, nothing twice.
    #[test]
    fn a_cursor_never_loses_or_repeats_a_record(acts in prop::collection::vec(act(), 1..40)) {
        let disk = Place::new();
        let mut log = disk.open();
        // Every record is in one file; those of files that are gone may be missed.
        let (mut next, mut open, mut times) = (0u64, Vec::new(), Vec::new());
        let (mut files, mut gone) = (Vec::<Vec<u64>>::new(), BTreeSet::new());
        let (mut seen, mut place) = (Vec::new(), None);
        for act in acts {
            match act {
                Act::Record(count, by) => {
                    let at = disk.now.load(Ordering::SeqCst).saturating_add_signed(by).max(BEGIN);
                    disk.now.store(at, Ordering::SeqCst);
                    let waiting: Vec<_> = (0..u64::from(count)).map(|n| {
                        times.push(at);
                        open.push(next + n);
                        log.record(&record(at, next + n), RecordMode::Durable, Reserve::Keep)
                    }).collect();
                    for answer in waiting { answer.wait().unwrap(); }
                    next += u64::from(count);
                }
                Act::Seal if !open.is_empty() => {
                    files.push(std::mem::take(&mut open));
                    log.rotate();
                    sealed(&log, files.len());
                }
                Act::Restart => {
                    drop(log);
                    log = disk.open();
                }
                Act::Forget if !files.is_empty() => {
                    gone.extend(files.remove(0));
                    let name = log.sealed()[0].file.clone();
                    drop(log);
                    let path = disk.data.join("issuance").join(&*name);
                    std::fs::remove_file(&path).unwrap();
                    std::fs::remove_file(path.with_extension("seal")).unwrap();
                    log = disk.open();
                }
                Act::Step(max) => {
                    let (shown, at) = step(&log, IssuanceSpan { place, ..ALL }, max.into());
                    seen.extend(shown);
                    if at.is_none() {
                        whole(&std::mem::take(&mut seen), next, &gone)?;
                    }
                    place = at;
                }
                Act::Seal | Act::Forget => {}
            }
        }
        seen.extend(walk(&log, IssuanceSpan { place, ..ALL }, 3));
        whole(&seen, next, &gone)?;

        // Every span has what it should have.
        let kept = |n: &u64| !gone.contains(n);
        for (from, to) in [(0, 100), (40, 60), (75, 75), (100, 0)] {
            let moment = |percent: u64| {
                let (low, high) = (times.iter().min(), times.iter().max());
                let (low, high) = (low.copied().unwrap_or(BEGIN), high.copied().unwrap_or(BEGIN));
                low + (high - low) * percent / 100
            };
            let span = IssuanceSpan { from: Millis(moment(from)), until: Millis(moment(to)), place: None };
            let expected: Vec<u64> = (0..next).filter(kept).filter(|n| {
                (span.from.0..=span.until.0).contains(&times[usize::try_from(*n).unwrap()])
            }).collect();
            prop_assert_eq!(walk(&log, span, 4), expected);
        }
    }

    #[test]
    fn any_text_is_a_place_or_refused_and_any_place_can_be_asked_for(
        any in "[0-9.+-]{0,30}",
        file in 0u64..3, highest: u128, frame: u64, index: u32,
    ) {
        if let Ok(place) = any.parse::<IssuancePlace>() {
            prop_assert_eq!(place.to_string(), any);
        }
        let disk = Place::new();
        let log = disk.open();
        log.record(&record(BEGIN, 0), RecordMode::Durable, Reserve::Keep).wait().unwrap();
        let place = format!("{file}.{highest}.{frame}.{index}").parse().unwrap();
        let (shown, next) = step(&log, IssuanceSpan { place: Some(place), ..ALL }, 5);
        prop_assert!(shown.len() <= 1 && next.is_none());
    }
}

/// However many files there are, one step opens few of them.
#[test]
fn a_step_ends_after_so_many_files() {
    let disk = Place::new();
    let log = disk.open();
    let files = WALKED_FILES as u64 + 3;
    for n in 0..files {
        let at = BEGIN + n * 1_000;
        log.record(&record(at, n), RecordMode::Durable, Reserve::Keep)
            .wait()
            .unwrap();
        log.rotate();
        sealed(&log, usize::try_from(n + 1).unwrap());
    }
    let (shown, next) = step(&log, ALL, usize::MAX);
    assert_eq!(shown.len(), WALKED_FILES);
    assert!(next.is_some());
    let rest = walk(&log, IssuanceSpan { place: next, ..ALL }, usize::MAX);
    assert_eq!(rest, [files - 3, files - 2, files - 1]);
    // Files outside the span are not opened at all.
    let late = IssuanceSpan {
        from: Millis(BEGIN + (files - 1) * 1_000),
        ..ALL
    };
    assert_eq!(step(&log, late, usize::MAX), (vec![files - 1], None));
    drop(log);
    let config = disk.config();
    let log = IssuanceLog::open(&disk.data, ID, config).unwrap();
    assert_eq!(walk(&log, ALL, 1).len(), usize::try_from(files).unwrap());
}
