//! A log as large as anybody's, made without deciding anything: for benches of reading it.

use std::path::Path;
use writ_core::{
    Actor, ApiId, ApiResourceCreated, ApplicationCreated, ApplicationId, ApplicationLabelled,
    ApplicationSecretAdded, CommandId, Event, EventId, GrantAdded, GrantMode, Labels, LogCreated,
    Millis, Position, Recorded, Scope, ScopeName, SecretId, TokenProfile, TokenSettings, codec,
};
use writ_ledger::engine::{Engine, Entry};
use writ_ledger::{LogId, RedbEngine};

/// The identity of the log.
pub const LOG_ID: LogId = LogId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
/// When it begins.
const BEGIN: u64 = 1_772_528_400_000;

pub(crate) fn parse<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(_) => panic!("{text} is well formed"),
    }
}

fn scopes() -> Vec<ScopeName> {
    let names = ["read", "write", "publish", "grade"];
    names.map(|name| parse(&format!("courses:{name}"))).to_vec()
}

/// What happens at a position: a log and an API resource, and then for each application its
/// creation, a secret, a grant of four scopes and a change of its labels.
fn event(position: u64) -> Event {
    let Some(later) = position.checked_sub(2) else {
        return match position {
            0 => LogCreated {
                log_id: LOG_ID.to_string().into(),
                format: 1,
            }
            .into(),
            _ => ApiResourceCreated {
                id: ApiId(0),
                identifier: parse("https://courses.example/api"),
                name: parse("Courses"),
                requires_authorization: true,
                profile: TokenProfile::default(),
                guards: Vec::new(),
                scopes: scopes()
                    .into_iter()
                    .map(|name| Scope {
                        name,
                        description: None,
                    })
                    .collect(),
            }
            .into(),
        };
    };
    let number = later / 4;
    // As ids are: the moment first, then what nobody guesses.
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 64;
    let application = ApplicationId(u128::from(BEGIN + number) << 80 | spread);
    let labels = |env: &str| {
        let pairs = [("env", env), ("team", "courses")];
        let pairs = pairs.map(|(key, value)| (key.into(), value.into()));
        Labels::new(pairs.into()).unwrap_or_else(|_| panic!("labels are well formed"))
    };
    match later % 4 {
        0 => ApplicationCreated {
            id: application,
            name: parse(&format!("Course publishing job {number}")),
            labels: labels("staging"),
            token_settings: TokenSettings::default(),
        }
        .into(),
        1 => ApplicationSecretAdded {
            application,
            secret: SecretId(application.0 ^ 1),
            digest: [7; 32],
            expires_at: None,
        }
        .into(),
        2 => GrantAdded {
            application,
            api: ApiId(0),
            mode: GrantMode::None,
            scopes: scopes(),
        }
        .into(),
        _ => ApplicationLabelled {
            id: application,
            labels: labels("prod"),
        }
        .into(),
    }
}

/// An event as it is recorded: it has no other of its millisecond with the same number.
pub(crate) fn recorded(position: u64, at: Millis, number: u64, event: Event) -> Recorded {
    let id = u128::from(at.0) << 80 | 7 << 76 | 2 << 62 | u128::from(number);
    Recorded {
        position: Position(position),
        id: EventId(id),
        at,
        actor: Actor::operator("bench"),
        command: CommandId(id ^ 1 << 40),
        sequence: 0,
        of: 1,
        idempotency: None,
        reason: None,
        correlation: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        cause: None,
        event,
    }
}

/// The stored bytes of the event at a position.
///
/// # Panics
/// Never: it is small.
#[must_use]
pub fn stored(position: u64) -> Vec<u8> {
    let at = Millis(BEGIN + position);
    let recorded = recorded(position, at, position, event(position));
    codec::encode(&recorded).unwrap_or_else(|error| panic!("{error}"))
}

/// A log of so many events in a file.
///
/// # Panics
/// When the disk has no room.
#[must_use]
pub fn make(path: &Path, events: u64) -> RedbEngine {
    let engine = RedbEngine::create(path, LOG_ID).unwrap_or_else(|fault| panic!("{fault}"));
    for first in (0..events).step_by(10_000) {
        let batch = first..events.min(first + 10_000);
        let entries: Vec<Entry> = batch
            .map(|position| Entry {
                bytes: stored(position),
                entities: Vec::new(),
            })
            .collect();
        let appended = engine.append(first, &entries);
        appended.unwrap_or_else(|error| panic!("{error}"));
    }
    engine
}
