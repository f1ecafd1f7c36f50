//! The file, and what is made of uses.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;
use writ_core::testkit::{ADMIN, JOB, Log, admin};
use writ_core::{Command, NewSecret};

const NOW: Millis = Millis(1_772_528_400_000);

/// The format is for ever: what was once written must be read, and written so again.
const GOLDEN: &str = concat!(
    r#"{"writ":"usage","v":1}"#,
    "\n",
    r#"{"application":"00000000000000000000000007","credential":"00000000000000000000000009","#,
    r#""used":3,"last_used_at":"2026-03-03T09:00:00.000Z"}"#,
    "\n",
    r#"{"application":"00000000000000000000000007","credential":"ci","#,
    r#""used":1,"last_used_at":"2026-03-03T08:59:59.999Z"}"#,
    "\n",
);

/// The use of one credential.
fn of_credential(usage: &Usage, application: ApplicationId, credential: &str) -> Option<Used> {
    let mut known = usage.of(application).into_iter();
    known.find(|one| *one.credential == *credential)
}

fn with_footer(body: &str) -> String {
    let sha256 = hex(&Sha256::digest(body.as_bytes()).into());
    format!("{body}{{\"sha256\":\"{sha256}\"}}\n")
}

#[test]
fn the_golden_file_stays_as_it_is() {
    let golden = with_footer(GOLDEN);
    let usage = Usage::parse(&golden).unwrap();
    assert_eq!(usage.text(), golden);
    let used = of_credential(&usage, ApplicationId(7), "00000000000000000000000009");
    assert_eq!(used.map(|used| (used.count, used.last)), Some((3, NOW)));
    assert_eq!(usage.of(ApplicationId(7)).len(), 2);
    assert_eq!(usage.of(ApplicationId(8)), []);
}

#[test]
fn a_damaged_file_is_ignored() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join(FILE);
    let restored = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Usage::restore(&path).of(ApplicationId(7)).len()
    };
    let good = with_footer(GOLDEN);
    assert_eq!(restored(good.as_bytes()), 2);
    for end in [0, 1, 10, good.len() / 2, good.len() - 2, good.len() - 1] {
        assert_eq!(restored(&good.as_bytes()[..end]), 0, "{end}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1;
        assert_eq!(restored(&bytes), 0, "{at}");
    }
    assert_eq!(restored(b"\xff\xfe"), 0);
    let other = with_footer(&GOLDEN.replace(r#""v":1"#, r#""v":2"#));
    assert_eq!(restored(other.as_bytes()), 0);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Usage::restore(&path).of(ApplicationId(7)), []);
}

#[test]
fn it_is_written_once_a_minute_when_something_has_changed() {
    let directory = tempfile::TempDir::new().unwrap();
    let data = DataDir::create(&directory.path().join("data")).unwrap();
    let usage = Usage::default();
    let path = data.join(FILE);
    usage.write(&data, NOW, true).unwrap();
    assert!(!path.exists(), "there is nothing to write");
    let known = || Usage::restore(&path).of(JOB).first().map(|one| one.count);
    for (after, count) in [(0, 1), (59_999, 1), (60_000, 3)] {
        let now = Millis(NOW.0 + after);
        usage.used(JOB, "a", now);
        usage.write(&data, now, false).unwrap();
        assert_eq!(known(), Some(count), "{after}");
    }
    usage.used(JOB, "a", NOW);
    usage.write(&data, Millis(NOW.0 + 60_001), true).unwrap();
    assert_eq!(known(), Some(4));
    assert!(!data.join("usage.jsonl.new").exists());
}

#[test]
fn of_many_credentials_those_go_that_were_used_longest_ago() {
    let usage = Usage::default();
    for number in 0..200 {
        usage.used(JOB, &format!("key-{number}"), Millis(NOW.0 + number));
        usage.used(JOB, "steady", Millis(NOW.0 + number));
    }
    assert_eq!(usage.of(JOB).len(), PER_APPLICATION);
    assert_eq!(of_credential(&usage, JOB, "steady").unwrap().count, 200);
    assert_eq!(of_credential(&usage, JOB, "key-0"), None);
    assert!(of_credential(&usage, JOB, "key-199").is_some());
}

/// An application with two more secrets, one after the other, and when the second was made.
fn rotated() -> (Log, SecretId, SecretId, Millis) {
    let mut log = Log::base();
    let [old, new] = [11u8, 12].map(|n| {
        let secret = NewSecret {
            id: SecretId(n.into()),
            digest: [n; 32],
            expires_at: None,
        };
        let application = JOB;
        let add = Command::AddSecret {
            application,
            secret,
        };
        log.run(&admin(), add);
        SecretId(n.into())
    });
    let secrets = &log.index.application(JOB).unwrap().secrets;
    let made = secrets.iter().find(|one| one.id == new).unwrap().created_at;
    (log, old, new, made)
}

#[test]
fn a_superseded_secret_is_in_use_when_it_was_used_since_and_within_a_day() {
    let (log, old, new, made) = rotated();
    let at = |ms: u64| Millis(made.0 + ms);
    let usage = Usage::default();
    let found = |now| usage.superseded(&log.index, now);
    usage.used(JOB, &old.to_string(), made);
    usage.used(JOB, &new.to_string(), at(5));
    usage.used(JOB, "some-thumbprint", at(5));
    assert_eq!(found(at(10)), [], "it was used before");
    usage.used(JOB, &old.to_string(), at(20));
    let expected = |last, say| Superseded {
        application: JOB,
        secret: old,
        successor: new,
        last,
        say,
    };
    assert_eq!(found(at(30)), [expected(at(20), true)]);
    // Not again until it is used again, and not within the hour.
    assert_eq!(found(at(SAID_EVERY + 30)), [expected(at(20), false)]);
    usage.used(JOB, &old.to_string(), at(40));
    assert_eq!(found(at(50)), [expected(at(40), false)]);
    assert_eq!(found(at(SAID_EVERY + 30)), [expected(at(40), true)]);
    assert_eq!(found(at(IN_USE + 40)), []);
}

#[test]
fn a_successor_that_does_not_work_supersedes_nothing() {
    let (mut log, old, new, made) = rotated();
    let usage = Usage::default();
    usage.used(JOB, &old.to_string(), Millis(made.0 + 1));
    let now = Millis(made.0 + 2);
    assert_eq!(usage.superseded(&log.index, now).len(), 1);
    let revoke = Command::RevokeSecret {
        application: JOB,
        secret: new,
    };
    log.run(&admin(), revoke);
    assert_eq!(usage.superseded(&log.index, now), []);
}

#[test]
fn who_is_gone_is_forgotten() {
    let log = Log::base();
    let usage = Usage::default();
    usage.used(ADMIN, "a", NOW);
    usage.used(ApplicationId(99), "a", NOW);
    usage.superseded(&log.index, NOW);
    assert_eq!(usage.of(ApplicationId(99)), []);
    assert_eq!(usage.of(ADMIN).len(), 1);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        uses in prop::collection::vec((0u128..40, "\\PC{1,20}", 0u64..4_000_000_000_000), 0..60),
    ) {
        let usage = Usage::default();
        for (application, credential, at) in &uses {
            usage.used(ApplicationId(*application), credential, Millis(*at));
        }
        let text = usage.text();
        prop_assert_eq!(Usage::parse(&text).unwrap().text(), text);
        let count: u64 = (0..40)
            .flat_map(|id| usage.of(ApplicationId(id)))
            .map(|one| one.count)
            .sum();
        prop_assert_eq!(count, uses.len() as u64);
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,200}") {
        let _ = Usage::parse(&text);
    }
}
