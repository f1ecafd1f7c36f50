//! Against a model that has a list of everything, and the promises one by one.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;
use writ_core::testkit::{JOB, Log, admin};
use writ_core::{Command, QuotaMode};

const NOW: Millis = Millis(1_772_528_400_000);
const APP: ApplicationId = ApplicationId(7);

fn after(ms: u64) -> Millis {
    Millis(NOW.0 + ms)
}

fn per_minute(limit: u32) -> Quota {
    Quota {
        per_minute: Some(limit),
        ..Quota::default()
    }
}

/// Takes one if it may; else says after how many seconds.
fn take(quotas: &Quotas, quota: &Quota, now: Millis) -> Result<(), u64> {
    match quotas.ask(APP, quota, now) {
        Asked::Within(reservation) | Asked::Watched { reservation, .. } => {
            reservation.keep();
            Ok(())
        }
        Asked::UsedUp {
            retry_after_seconds,
        } => Err(retry_after_seconds),
    }
}

#[test]
fn a_quota_is_what_it_says() {
    let quotas = Quotas::default();
    let quota = per_minute(2);
    assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    assert_eq!(take(&quotas, &quota, after(30_000)), Ok(()));
    // The first counts for a minute, and until its slot of five seconds has left.
    assert_eq!(take(&quotas, &quota, after(30_000)), Err(35));
    assert_eq!(take(&quotas, &quota, after(64_999)), Err(1));
    assert_eq!(take(&quotas, &quota, after(65_000)), Ok(()));
    assert_eq!(take(&quotas, &quota, after(65_000)), Err(30));
    // What is not limited is not refused, and another application has its own.
    assert!(matches!(
        quotas.ask(ApplicationId(8), &quota, after(65_000)),
        Asked::Within(_)
    ));
    let hourly = Quota {
        per_hour: Some(4),
        ..Quota::default()
    };
    assert_eq!(take(&quotas, &hourly, after(65_000)), Ok(()));
    assert!(take(&quotas, &hourly, after(65_000)).is_err());
}

#[test]
fn all_windows_are_looked_at_before_any_counts() {
    let quotas = Quotas::default();
    let quota = Quota {
        per_minute: Some(5),
        per_day: Some(2),
        ..Quota::default()
    };
    assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    for _ in 0..10 {
        assert_eq!(take(&quotas, &quota, NOW), Err(13 * 7_200));
    }
    // The refused ones have taken nothing of the minute.
    let quota = per_minute(5);
    for _ in 0..3 {
        assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    }
    assert!(take(&quotas, &quota, NOW).is_err());
}

#[test]
fn what_is_not_kept_is_given_back() {
    let quotas = Quotas::default();
    let quota = per_minute(1);
    for _ in 0..3 {
        assert!(matches!(quotas.ask(APP, &quota, NOW), Asked::Within(_)));
    }
    let Asked::Within(reservation) = quotas.ask(APP, &quota, NOW) else {
        panic!("it was given back");
    };
    assert!(take(&quotas, &quota, NOW).is_err(), "it counts meanwhile");
    // Given back after its slot has left it takes nothing from others.
    assert_eq!(take(&quotas, &quota, after(70_000)), Ok(()));
    drop(reservation);
    assert!(take(&quotas, &quota, after(70_000)).is_err());
}

#[test]
fn a_quota_that_is_only_watched_is_counted_and_said_once_an_hour() {
    let quotas = Quotas::default();
    let quota = Quota {
        mode: QuotaMode::Monitor,
        ..per_minute(1)
    };
    let said = |now| match quotas.ask(APP, &quota, now) {
        Asked::Watched { reservation, say } => {
            reservation.keep();
            say
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    assert!(said(NOW));
    assert!(!said(NOW) && !said(after(1)));
    for minute in 1..60 {
        assert_eq!(take(&quotas, &quota, after(minute * 65_000)), Ok(()));
    }
    assert!(said(after(3_890_000)));
}

#[test]
fn a_clock_that_is_set_back_neither_locks_out_nor_opens() {
    let quotas = Quotas::default();
    let quota = per_minute(1);
    assert_eq!(take(&quotas, &quota, NOW), Ok(()));
    let back = Millis(NOW.0 - 30 * 86_400_000);
    assert_eq!(take(&quotas, &quota, back), Err(65));
    assert_eq!(take(&quotas, &quota, Millis(back.0 + 64_999)), Err(1));
    assert_eq!(take(&quotas, &quota, Millis(back.0 + 65_000)), Ok(()));
    // Back and forth is no time that passes twice.
    assert!(take(&quotas, &quota, Millis(back.0 + 65_000)).is_err());
    assert!(take(&quotas, &quota, back).is_err());
}

#[test]
fn who_is_gone_or_idle_is_forgotten() {
    let quotas = Quotas::default();
    let mut log = Log::base();
    let asked = |quotas: &Quotas, id, now| match quotas.ask(id, &per_minute(1), now) {
        Asked::Within(reservation) => reservation.keep(),
        other => panic!("{other:?}"),
    };
    asked(&quotas, JOB, NOW);
    asked(&quotas, ApplicationId(1), NOW);
    // JOB has no quota by the index: both go.
    quotas.tidy(&log.index, NOW);
    assert_eq!(quotas.len(), 0);
    log.run(
        &admin(),
        Command::ChangeQuota {
            application: JOB,
            quota: Some(per_minute(1)),
        },
    );
    asked(&quotas, JOB, NOW);
    quotas.tidy(&log.index, after(86_400_000));
    assert_eq!(quotas.len(), 1);
    quotas.tidy(&log.index, after(26 * 3_600_000));
    assert_eq!(quotas.len(), 0);
}

#[test]
fn threads_take_no_more_than_there_is() {
    let quotas = Quotas::default();
    let quota = per_minute(1_000);
    let taken: usize = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let (quotas, quota) = (&quotas, &quota);
            scope.spawn(move || {
                let one = |n: u64| take(quotas, quota, after(thread + n % 3)).is_ok();
                (0..500).filter(|n| one(*n)).count()
            })
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(taken, 1_000);
}

/// Everything that was taken, and nothing clever.
#[derive(Default)]
struct Model(Vec<u64>);

impl Model {
    /// Counts as the windows do: by slots.
    fn count(&self, at: u64, length: u64) -> u64 {
        let slot = length / 12;
        let counts = |taken: &&u64| at / slot - **taken / slot <= 12;
        self.0.iter().filter(counts).count() as u64
    }

    fn fits(&self, quota: &Quota, at: u64) -> bool {
        let limits = [quota.per_minute, quota.per_hour, quota.per_day];
        let mut windows = WINDOWS.iter().zip(limits);
        windows.all(|(length, limit)| {
            limit.is_none_or(|limit| self.count(at, *length) < u64::from(limit))
        })
    }
}

fn quotas() -> impl Strategy<Value = Quota> {
    let limit = || prop::option::of(1u32..6);
    (limit(), limit(), limit()).prop_map(|(per_minute, per_hour, per_day)| Quota {
        per_minute,
        per_hour,
        per_day,
        mode: QuotaMode::Enforce,
    })
}

proptest! {
    #[test]
    fn it_is_what_a_list_of_everything_says(
        quota in quotas(),
        steps in prop::collection::vec(
            prop_oneof![0u64..10_000, 0u64..600_000, 0u64..20_000_000], 1..200),
        kept in prop::collection::vec(prop::bool::weighted(0.8), 200),
    ) {
        let (quotas, mut model, mut at) = (Quotas::default(), Model::default(), 0);
        // The first look is where time begins.
        prop_assert_eq!(quotas.steady.at(NOW), 0);
        for (step, keep) in steps.into_iter().zip(kept) {
            at += step;
            let asked = quotas.ask(APP, &quota, after(at));
            prop_assert_eq!(matches!(asked, Asked::Within(_)), model.fits(&quota, at));
            match asked {
                Asked::Within(reservation) if keep => {
                    reservation.keep();
                    model.0.push(at);
                }
                Asked::Within(_) => {}
                Asked::Watched { .. } => prop_assert!(false, "it is enforced"),
                Asked::UsedUp { retry_after_seconds } => {
                    let then = at + retry_after_seconds * 1_000;
                    prop_assert!(model.fits(&quota, then), "{retry_after_seconds} s is too short");
                    prop_assert!(
                        !model.fits(&quota, then - 1_000),
                        "{retry_after_seconds} s is too long"
                    );
                }
            }
        }
        // The promise: in no span of a window's length is there more than its limit.
        let limits = [quota.per_minute, quota.per_hour, quota.per_day];
        for (length, limit) in WINDOWS.iter().zip(limits) {
            for (n, first) in model.0.iter().enumerate() {
                let within = model.0[n..].iter().filter(|at| **at - first < *length).count();
                prop_assert!(limit.is_none_or(|limit| within <= limit as usize));
            }
        }
    }

    #[test]
    fn a_steady_clock_never_goes_back_and_passes_no_more_than_there_was(
        steps in prop::collection::vec(-100_000i64..100_000, 0..60),
    ) {
        let steady = Steady::default();
        let (mut now, mut before, mut forward) = (NOW.0, steady.at(NOW), 0);
        for step in steps {
            now = now.saturating_add_signed(step);
            forward += u64::try_from(step).unwrap_or_default();
            let at = steady.at(Millis(now));
            prop_assert!(at >= before && at <= forward);
            before = at;
        }
        prop_assert_eq!(before, forward);
    }
}
