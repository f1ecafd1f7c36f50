//! When each credential was last used, and how often: kept in memory and written to a small file now
//! and then. It is for people who rotate and tidy up; nothing is decided by it, and a crash loses a
//! minute of it. What must be known for sure is in the records of issuances.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use writ_core::codec::hex;
use writ_core::{Application, ApplicationId, Index, Millis, Secret, SecretId};
use writ_ledger::{DataDir, Fault};

/// The file in the data directory.
pub const FILE: &str = "usage.jsonl";
/// Its first line.
const HEADER: &str = r#"{"writ":"usage","v":1}"#;
/// Largest file that is read, in bytes: some million credentials.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Most credentials that are kept of one application; of more, those go that were used longest ago.
/// An application with a `jwks_uri` can have as many keys as it likes, one after the other.
const PER_APPLICATION: usize = 64;
/// How often the file is written, in milliseconds.
const WRITTEN_EVERY: u64 = 60_000;
/// A credential that was used within this time is in use, in milliseconds.
const IN_USE: u64 = 86_400_000;
/// How often it is said of one superseded secret that it is in use, in milliseconds.
const SAID_EVERY: u64 = 3_600_000;
/// Locks, so that applications seldom wait for each other.
const SHARDS: usize = 16;

/// The use of one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its id, as records of issuances have it.
    pub credential: Box<str>,
    /// How often it proved its application.
    pub count: u64,
    /// When it did last.
    pub last: Millis,
    /// When it was last said that it should not be used any more.
    said: Option<Millis>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    application: ApplicationId,
    credential: Box<str>,
    used: u64,
    last_used_at: Millis,
}

/// The last line of the file: SHA-256 of all before it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    sha256: String,
}

/// A secret that a younger one is to take the place of, and which is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// Whose it is.
    pub application: ApplicationId,
    /// Which one.
    pub secret: SecretId,
    /// The one that should be used.
    pub successor: SecretId,
    /// When it was last used.
    pub last: Millis,
    /// Whether it is time to say so.
    pub say: bool,
}

type Shard = HashMap<ApplicationId, Vec<Used>>;

/// The uses of all credentials: of applications that exist, so that there is a bound.
#[derive(Debug, Default)]
pub struct Usage {
    shards: [Mutex<Shard>; SHARDS],
    changed: AtomicBool,
    written: Mutex<Option<Millis>>,
}

impl Usage {
    fn shard(&self, id: ApplicationId) -> MutexGuard<'_, Shard> {
        // The last bits of an id are random.
        locked(&self.shards[(id.0 % SHARDS as u128) as usize])
    }

    /// A credential has proved its application.
    pub fn used(&self, application: ApplicationId, credential: &str, now: Millis) {
        let mut shard = self.shard(application);
        let known = shard.entry(application).or_default();
        match known.iter_mut().find(|one| *one.credential == *credential) {
            Some(one) => {
                one.count = one.count.saturating_add(1);
                one.last = now;
            }
            None => add(
                known,
                Used {
                    credential: credential.into(),
                    count: 1,
                    last: now,
                    said: None,
                },
            ),
        }
        drop(shard);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// The credentials of an application that were used, in no order.
    #[must_use]
    pub fn of(&self, application: ApplicationId) -> Vec<Used> {
        let shard = self.shard(application);
        shard.get(&application).cloned().unwrap_or_default()
    }

    /// The secrets that are in use though they are superseded. What is said of one of them is not
    /// said again for an hour, nor before it was used again. Forgets applications that are gone.
    pub fn superseded(&self, index: &Index, now: Millis) -> Vec<Superseded> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let mut shard = locked(shard);
            shard.retain(|id, known| {
                let Some(application) = index.application(*id) else {
                    self.changed.store(true, Ordering::Relaxed);
                    return false;
                };
                let uses = known.iter_mut();
                found.extend(uses.filter_map(|used| outlived(application, used, now)));
                true
            });
        }
        found
    }

    /// Writes the file, if something has changed and it was not written within the minute; or in any
    /// case. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; it is tried again.
    pub fn write(&self, data: &DataDir, now: Millis, in_any_case: bool) -> Result<(), Fault> {
        let mut written = locked(&self.written);
        let due = written.is_none_or(|at| now < at || now.0 - at.0 >= WRITTEN_EVERY);
        if !(due || in_any_case) || !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let done = data.replace(FILE, self.text().as_bytes());
        match done {
            Ok(()) => *written = Some(now),
            Err(_) => self.changed.store(true, Ordering::Relaxed),
        }
        done
    }

    fn text(&self) -> String {
        let mut lines: Vec<Line> = Vec::new();
        for shard in &self.shards {
            for (application, known) in &*locked(shard) {
                lines.extend(known.iter().map(|one| Line {
                    application: *application,
                    credential: one.credential.clone(),
                    used: one.count,
                    last_used_at: one.last,
                }));
            }
        }
        lines.sort_unstable_by(|a, b| {
            (a.application, &a.credential).cmp(&(b.application, &b.credential))
        });
        let mut text = format!("{HEADER}\n");
        for line in lines {
            text.push_str(&serde_json::to_string(&line).unwrap_or_default());
            text.push('\n');
        }
        let sha256 = hex(&Sha256::digest(text.as_bytes()).into());
        text.push_str(&serde_json::to_string(&Footer { sha256 }).unwrap_or_default());
        text.push('\n');
        text
    }

    /// What was written before. A file that is damaged is ignored, loudly: it is no more than a help.
    #[must_use]
    pub fn restore(path: &Path) -> Self {
        match read(path) {
            Ok(None) => Self::default(),
            Ok(Some(usage)) => usage,
            Err(why) => {
                tracing::warn!(
                    path = %path.display(),
                    why,
                    "when credentials were last used is not known from before this start"
                );
                Self::default()
            }
        }
    }

    /// Reads the text of a file.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let body = text.strip_suffix('\n').ok_or("its end is missing")?;
        let (body, footer) = body.rsplit_once('\n').ok_or("its end is missing")?;
        let footer: Footer = serde_json::from_str(footer).map_err(|_| "its end is missing")?;
        let hashed = &text.as_bytes()[..=body.len()];
        if footer.sha256 != hex(&Sha256::digest(hashed).into()) {
            return Err("it is damaged");
        }
        let mut lines = body.lines();
        if lines.next() != Some(HEADER) {
            return Err("it is not one of this version");
        }
        let usage = Self::default();
        for line in lines {
            let line: Line = serde_json::from_str(line).map_err(|_| "a line is malformed")?;
            let used = Used {
                credential: line.credential,
                count: line.used,
                last: line.last_used_at,
                said: None,
            };
            add(
                usage
                    .shard(line.application)
                    .entry(line.application)
                    .or_default(),
                used,
            );
        }
        Ok(usage)
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a credential to those of an application, in the place of another one where there are many.
fn add(known: &mut Vec<Used>, used: Used) {
    if known.len() < PER_APPLICATION {
        known.push(used);
    } else if let Some(oldest) = known.iter_mut().min_by_key(|one| one.last) {
        *oldest = used;
    }
}

/// Nothing where there is no file.
fn read(path: &Path) -> Result<Option<Usage>, &'static str> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err("it cannot be read"),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err("it is too large"),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(|_| "it cannot be read")?;
    Usage::parse(&text).map(Some)
}

/// The secret that was used, if it is one that was superseded before and works.
fn outlived(application: &Application, used: &mut Used, now: Millis) -> Option<Superseded> {
    let id: SecretId = used.credential.parse().ok()?;
    let secret = application.secrets.iter().find(|secret| secret.id == id)?;
    let successor = superseding(application, secret, used, now)?.id;
    let due = used
        .said
        .is_none_or(|said| used.last > said && now.0.saturating_sub(said.0) >= SAID_EVERY);
    if due {
        used.said = Some(now);
    }
    Some(Superseded {
        application: application.id,
        secret: id,
        successor,
        last: used.last,
        say: due,
    })
}

/// The secret that should be used in the place of one that works and is in use.
fn superseding<'a>(
    application: &'a Application,
    secret: &Secret,
    used: &Used,
    now: Millis,
) -> Option<&'a Secret> {
    let in_use = now.0.saturating_sub(used.last.0) < IN_USE;
    let successor = application.successor(secret, now)?;
    (in_use && secret.is_valid(now) && used.last > successor.created_at).then_some(successor)
}
