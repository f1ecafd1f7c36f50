//! Tests of the witness: every answer, what it remembers, and that it never contradicts itself.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::merkle::{LogTree, leaf_hash};
use proptest::prelude::*;
use std::convert::Infallible;
use std::fs;
use std::sync::Barrier;

const ORIGIN: &str = "log.example/writ";
const NOW: u64 = 1_764_000_000;

/// A log that can be made to lie.
#[derive(Clone)]
struct Log {
    leaves: Vec<Hash>,
    tree: LogTree,
}

impl Log {
    /// So many entries, those from `fork` on of another history.
    fn of(size: u64, fork: u64) -> Self {
        let leaf = |n: u64| match n < fork {
            true => leaf_hash(&n.to_be_bytes()),
            false => leaf_hash(format!("other {n}").as_bytes()),
        };
        let leaves: Vec<Hash> = (0..size).map(leaf).collect();
        let mut tree = LogTree::default();
        leaves.iter().for_each(|leaf| tree.push_hash(*leaf));
        Self { leaves, tree }
    }

    fn honest(size: u64) -> Self {
        Self::of(size, u64::MAX)
    }

    fn leaves(
        &self,
    ) -> impl FnMut(std::ops::Range<u64>) -> Result<Vec<Hash>, Infallible> + use<'_> {
        |range| {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            Ok(self.leaves[range].to_vec())
        }
    }

    fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        let root = self.tree.root_at(size, self.leaves()).unwrap();
        SignedCheckpoint::sign(&log_key(), size, root)
    }

    fn submission(&self, old: u64, new: u64) -> Submission {
        Submission {
            old_size: old,
            proof: self
                .tree
                .consistency(old, new, self.leaves())
                .unwrap_or_default(),
            checkpoint: self.checkpoint(new),
        }
    }
}

fn log_key() -> NoteKey {
    NoteKey::new(KeyKind::Log, ORIGIN, &[1; 32]).unwrap()
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("w");
    Witness::create(&path, "witness.example/w1").unwrap();
    (temporary, path)
}

fn open(path: &Path) -> Witness {
    Witness::open(path, vec![log_key().vkey().clone()]).unwrap()
}

#[track_caller]
fn refused(result: Result<Signature, AddError>) -> Refused {
    match result {
        Err(AddError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

/// Adds it, and verifies the answer.
#[track_caller]
fn signs(witness: &Witness, submission: &Submission) {
    let line = witness.add(submission, NOW).unwrap();
    let answer = format!("{line}\n");
    let (_, by) = submission
        .checkpoint
        .cosignature(witness.vkey(), &answer)
        .unwrap();
    assert_eq!(by.time, Some(NOW));
}

#[test]
fn every_reason_to_refuse_in_its_order() {
    let (_temporary, path) = directory();
    let witness = open(&path);
    let log = Log::honest(20);
    let add = |submission: &Submission| refused(witness.add(submission, NOW));

    let mut unknown = log.submission(0, 5);
    let stranger = NoteKey::new(KeyKind::Log, "stranger.example/log", &[1; 32]).unwrap();
    unknown.checkpoint = SignedCheckpoint::sign(&stranger, 5, [0; 32]);
    assert_eq!(
        add(&unknown),
        Refused::UnknownLog("stranger.example/log".into())
    );
    // A note that is signed for the log by somebody else, or by the log about another.
    let mut unsigned = log.submission(9, 5);
    let thief = NoteKey::new(KeyKind::Log, ORIGIN, &[2; 32]).unwrap();
    unsigned.checkpoint = SignedCheckpoint::sign(&thief, 5, [0; 32]);
    assert_eq!(add(&unsigned), Refused::NotSigned);
    unsigned.checkpoint = log.checkpoint(5);
    unsigned.checkpoint.checkpoint.origin = "stranger.example/log".into();
    assert!(matches!(add(&unsigned), Refused::UnknownLog(_)));

    assert_eq!(add(&log.submission(6, 5)), Refused::OldSizeTooLarge);
    assert_eq!(add(&log.submission(3, 5)), Refused::Stale { size: 0 });
    let mut proof = log.submission(0, 5);
    proof.proof = vec![[0; 32]];
    assert_eq!(add(&proof), Refused::Inconsistent { size: 0 });
    let mut empty = log.submission(0, 0);
    signs(&witness, &empty);
    empty.checkpoint = SignedCheckpoint::sign(&log_key(), 0, [3; 32]);
    assert_eq!(add(&empty), Refused::OtherTree { size: 0 });

    signs(&witness, &log.submission(0, 5));
    assert_eq!(add(&log.submission(0, 5)), Refused::Stale { size: 5 });
    assert_eq!(add(&log.submission(4, 9)), Refused::Stale { size: 5 });
    assert_eq!(add(&log.submission(5, 3)), Refused::OldSizeTooLarge);
    let mut none = log.submission(5, 9);
    none.proof.clear();
    assert_eq!(add(&none), Refused::Inconsistent { size: 5 });
    let other = Log::of(20, 2);
    assert_eq!(
        add(&other.submission(5, 9)),
        Refused::Inconsistent { size: 5 }
    );
    assert_eq!(add(&other.submission(5, 5)), Refused::OtherTree { size: 5 });
    let mut longer = log.submission(5, 5);
    longer.proof = vec![[0; 32]];
    assert_eq!(add(&longer), Refused::Inconsistent { size: 5 });
    // The same again is signed again, with the time of now.
    signs(&witness, &log.submission(5, 5));
    signs(&witness, &log.submission(5, 9));
    signs(&witness, &log.submission(9, 20));
}

#[test]
fn what_was_signed_is_remembered_and_can_be_shown() {
    let (_temporary, path) = directory();
    let (log, other) = (Log::honest(20), Log::of(20, 2));
    let witness = open(&path);
    signs(&witness, &log.submission(0, 7));
    let again = Witness::open(&path, Vec::new()).unwrap_err();
    assert!(matches!(again, WitnessError::Disk(Fault::InUse { .. })));
    // It can be shown meanwhile.
    let known = show(&path, None).unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(show(&path, Some(ORIGIN)).unwrap(), known);
    assert_eq!((known[0].seconds, &known[0].conflict), (NOW, &None));
    assert!(known[0].cosigned.is_signed_by(log_key().vkey()));
    assert_eq!(known[0].cosigned.checkpoint, log.checkpoint(7).checkpoint);
    assert!(
        show(&path, Some("x"))
            .unwrap_err()
            .to_string()
            .contains("nothing was ever")
    );

    drop(witness);
    let witness = open(&path);
    assert_eq!(
        refused(witness.add(&other.submission(0, 7), NOW)),
        Refused::Stale { size: 7 }
    );
    let lie = other.submission(7, 7);
    assert_eq!(
        refused(witness.add(&lie, NOW)),
        Refused::OtherTree { size: 7 }
    );
    // The first contradiction is kept.
    let third = Log::of(20, 3).submission(7, 7);
    assert_eq!(
        refused(witness.add(&third, NOW)),
        Refused::OtherTree { size: 7 }
    );
    let known = show(&path, Some(ORIGIN)).unwrap();
    assert_eq!(known[0].conflict.as_ref(), Some(&lie.checkpoint));

    // Given up, it begins anew, and what was given up is still there.
    assert!(matches!(
        forget(&path, ORIGIN),
        Err(WitnessError::Disk(Fault::InUse { .. }))
    ));
    drop(witness);
    assert_eq!(forget(&path, ORIGIN).unwrap(), known[0]);
    assert!(show(&path, None).unwrap().is_empty());
    assert!(matches!(
        forget(&path, ORIGIN),
        Err(WitnessError::NothingCosigned(_))
    ));
    signs(&open(&path), &other.submission(0, 9));
    let kept = fs::read_dir(path.join("logs")).unwrap().count();
    assert_eq!(kept, 3);
}

#[test]
fn memory_that_was_changed_is_not_believed() {
    let (_temporary, path) = directory();
    let log = Log::honest(20);
    signs(&open(&path), &log.submission(0, 7));
    let state = state_of(&path, ORIGIN);
    let kept = fs::read_to_string(&state).unwrap();
    let opened = |text: &str| {
        fs::write(&state, text).unwrap();
        Witness::open(&path, vec![log_key().vkey().clone()])
    };
    let smaller = kept.replace("\n7\n", "\n1\n");
    let only_log = log.checkpoint(3).to_string();
    for bad in [&smaller, &only_log, &String::new()] {
        let error = opened(bad).unwrap_err();
        assert!(
            matches!(error, WitnessError::Disk(Fault::Damaged { .. })),
            "{error}"
        );
    }
    drop(opened(&kept).unwrap());
    fs::rename(path.join("logs"), path.join("aside")).unwrap();
    let error = Witness::open(&path, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("logs is missing"), "{error}");
    fs::rename(path.join("aside"), path.join("logs")).unwrap();
    // What it has signed of one log is no memory of another.
    fs::rename(&state, state_of(&path, "other.example/log")).unwrap();
    let other = NoteKey::new(KeyKind::Log, "other.example/log", &[1; 32]).unwrap();
    let error = Witness::open(&path, vec![other.vkey().clone()]).unwrap_err();
    assert!(error.to_string().contains("another log"), "{error}");
}

/// What is stored stays readable for ever.
#[test]
fn files_are_as_they_always_were() {
    const KEY: &str =
        "PRIVATE+KEY+witness.example/w1+567cde09+BAUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF\n";
    let (_temporary, path) = directory();
    let key = NoteKey::new(KeyKind::Witness, "witness.example/w1", &[5; 32]).unwrap();
    assert_eq!(format!("{}\n", *key.secret()), KEY);
    fs::write(path.join("witness.key"), KEY).unwrap();
    assert_eq!(vkey(&path).unwrap(), *key.vkey());
    signs(&open(&path), &Log::honest(3).submission(0, 3));
    let state = path.join("logs/e2494593e5617bad609a6a1e4b5be8f7cf5eb5e6e97fe60aef96ae76f23ae340");
    assert_eq!(fs::read_to_string(state).unwrap(), GOLDEN);
}

const GOLDEN: &str = "log.example/writ
3
m0ll+LIgukL3A5rQeByWbPkLsa6hWoBYbWNLMiqx9M4=

\u{2014} log.example/writ Y4rGatcrM6F5atk2fzRB1YRMTQUFfa/M4D8jvLv19WMSXaRpiDwTRRIRg0+j1DIoBMydXeKh6+FaTOW9cvre/L7X8gI=
\u{2014} witness.example/w1 VnzeCQAAAABpJIEAouFc6oO0UQ//vJYyCjuQRAP3VtuWggrKp3YspFPk4EnjtZydh8E5LFWan2kmNXzngI2pocnSBjhPVwYHxfCOAA==
";

#[test]
fn after_a_write_that_failed_nothing_is_signed_until_a_restart() {
    let (_temporary, path) = directory();
    let log = Log::honest(9);
    let witness = open(&path);
    fs::rename(path.join("logs"), path.join("aside")).unwrap();
    let failed = witness.add(&log.submission(0, 3), NOW).unwrap_err();
    assert!(
        matches!(failed, AddError::Disk(Fault::Io { .. })),
        "{failed}"
    );
    fs::rename(path.join("aside"), path.join("logs")).unwrap();
    let failed = witness.add(&log.submission(0, 3), NOW).unwrap_err();
    assert!(
        matches!(failed, AddError::Disk(Fault::ReadOnly { .. })),
        "{failed}"
    );
    drop(witness);
    signs(&open(&path), &log.submission(0, 3));
}

#[test]
fn a_witness_is_made_where_nothing_is() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("w");
    let missing = Witness::open(&path, Vec::new()).unwrap_err().to_string();
    assert!(
        missing.contains("`writ witness init` makes one"),
        "{missing}"
    );
    assert!(matches!(
        Witness::create(&path, "a b"),
        Err(WitnessError::Note(_))
    ));
    let made = Witness::create(&path, "w.example").unwrap();
    assert_eq!((made.name(), made.kind()), ("w.example", KeyKind::Witness));
    assert_eq!(vkey(&path).unwrap(), made);
    assert!(matches!(
        Witness::create(&path, "w"),
        Err(WitnessError::Disk(Fault::Exists { .. }))
    ));
    let not_a_log = Witness::open(&path, vec![made]).unwrap_err().to_string();
    assert!(not_a_log.contains("is the key of a witness"), "{not_a_log}");
    // Nor is the data directory of a server made into one.
    let data = temporary.path().join("d");
    drop(DataDir::create(&data).unwrap());
    assert!(matches!(
        Witness::create(&data, "w"),
        Err(WitnessError::Disk(Fault::Exists { .. }))
    ));
}

#[test]
fn submissions_are_read_as_they_are_written() {
    let log = Log::honest(300);
    let submission = log.submission(77, 300);
    let text = submission.to_string();
    assert_eq!(text.parse(), Ok(submission.clone()));
    assert!(text.len() < SUBMISSION_BYTES);
    let line = BASE64.encode([7; 32]);
    let with = |lines: usize| {
        text.replacen(
            "\n\n",
            &format!("\n{}\n", format!("{line}\n").repeat(lines)),
            1,
        )
    };
    let have = submission.proof.len();
    assert_eq!(
        with(63 - have).parse::<Submission>().unwrap().proof.len(),
        63
    );
    let checkpoint = submission.checkpoint.to_string();
    for bad in [
        with(64 - have),
        text.replace("old 77", "old 077"),
        text.replace("old 77", "old +77"),
        text.replace("old 77", "77"),
        text.replace("old 77", "old 18446744073709551616"),
        text.replace("old 77\n", "old 77\nAAAA\n"),
        text.replace("old 77\n", "old 77\r\n"),
        text.trim_end().to_owned(),
        format!("old 77\n{checkpoint}"),
        checkpoint,
        "old 77\n\n".to_owned(),
        String::new(),
    ] {
        assert!(bad.parse::<Submission>().is_err(), "{bad}");
    }
}

proptest! {
    /// What is read is written the same, and nothing panics.
    #[test]
    fn any_text_is_read_or_refused(at: prop::sample::Index, with in "[\n 0-9a-zA-Z+/=\u{2014}]{0,4}", text in "(old [0-9]{0,20}\n)?\\PC{0,90}") {
        let _ = text.parse::<Submission>();
        let mut altered = Log::honest(9).submission(5, 9).to_string();
        let mut at = at.index(altered.len());
        while !altered.is_char_boundary(at) {
            at -= 1;
        }
        altered.insert_str(at, &with);
        if let Ok(read) = altered.parse::<Submission>() {
            prop_assert_eq!(read.to_string(), altered);
        }
    }
}

/// One thing that somebody submits: on which history, from where to where.
fn anything() -> impl Strategy<Value = (bool, u64, u64)> {
    (any::<bool>(), 0u64..12, 0u64..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is submitted, in whatever order, by several at once and over restarts: what it has
    /// signed is one history, and it remembers the last of it.
    #[test]
    fn it_never_signs_two_histories(
        fork in 0u64..12,
        rounds in proptest::collection::vec(proptest::collection::vec(anything(), 1..24), 1..4),
    ) {
        let (_temporary, path) = directory();
        let logs = [Log::honest(12), Log::of(12, fork)];
        let signed = Mutex::new(vec![(0, Tree::default().root())]);
        for round in rounds {
            let witness = open(&path);
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let mine = round.iter().skip(thread).step_by(4);
                    let (witness, barrier, signed, logs) = (&witness, &barrier, &signed, &logs);
                    scope.spawn(move || {
                        barrier.wait();
                        for (other, old, new) in mine {
                            let log = &logs[usize::from(*other)];
                            let submit = |old| witness.add(&log.submission(old, *new), NOW);
                            let answer = match submit(*old) {
                                // As a log does that is told what was signed last.
                                Err(AddError::Refused(Refused::Stale { size })) => submit(size),
                                answer => answer,
                            };
                            if answer.is_ok() {
                                let Checkpoint { size, root, .. } = log.checkpoint(*new).checkpoint;
                                signed.lock().unwrap().push((size, root));
                            }
                        }
                    });
                }
            });
            drop(witness);
            let signed = signed.lock().unwrap();
            let one = logs.iter().any(|log| {
                signed.iter().all(|(size, root)| log.checkpoint(*size).checkpoint.root == *root)
            });
            prop_assert!(one, "{signed:?}");
            let last = signed.iter().map(|(size, _)| *size).max().unwrap();
            let remembered = show(&path, None).unwrap();
            let remembered = remembered.first().map_or(0, |known| known.cosigned.checkpoint.size);
            prop_assert_eq!(remembered, last);
        }
    }
}
