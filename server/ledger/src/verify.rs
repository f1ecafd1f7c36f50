//! Verifying a log without a server: every event is read and hashed, and held against what was
//! signed. Unlike a start it goes on after the first thing that is wrong, and looks for where it is.

use crate::checkpoint::Anchor;
use crate::engine::Engine;
use crate::leaves::{self, Reader};
use crate::merkle::{Hash, LogTree, Tree};
use crate::reading::each_batch;
use crate::{Blobs, Fault, LogId, issuance_file};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use writ_core::codec::{self, hex};
use writ_core::{Event, Millis, Position};

/// Most things that are wrong and told one by one.
const FINDINGS: usize = 100;

/// Something that is wrong, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Bytes that are no event.
    #[error("position {position}: these bytes are no event of any version: {detail}")]
    NoEvent {
        /// Where.
        position: u64,
        /// What the reader stumbled over.
        detail: String,
    },
    /// An event that cannot follow the one before.
    #[error("position {position}: {detail}: events were removed, moved or put in here")]
    OutOfOrder {
        /// Where.
        position: u64,
        /// Why not.
        detail: String,
    },
    /// Fewer events than were signed.
    #[error(
        "the log has {have} events, and {} vouches for {size}: the last {} were cut off, or an older copy was restored",
        place.display(), size - have
    )]
    CutOff {
        /// How many there are.
        have: u64,
        /// How many there were.
        size: u64,
        /// Where that is said.
        place: PathBuf,
    },
    /// Other events than were signed.
    #[error(
        "the first {size} events are not those that {} vouches for: their root is {found}, and should be {expected}{}",
        place.display(), located(first.as_ref())
    )]
    NotAsSigned {
        /// How many it is about.
        size: u64,
        /// Their root in hexadecimal.
        found: String,
        /// The one that was signed.
        expected: String,
        /// Where that is said.
        place: PathBuf,
        /// The first of them that changed, as far as `admin.leaves` can tell.
        first: Option<u64>,
    },
    /// A file beside the log is not what an event says it is.
    #[error("position {position}: {what} {name} {detail}")]
    Beside {
        /// The event that names it.
        position: u64,
        /// What it is.
        what: &'static str,
        /// Which.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
}

fn located(first: Option<&u64>) -> String {
    match first {
        Some(position) => {
            format!("; the first event that is not what it was is at position {position}")
        }
        None => {
            "; where they differ cannot be told, since admin.leaves is missing or was changed too"
                .to_owned()
        }
    }
}

/// What a log names that lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A policy's module, in the blobs.
    Module([u8; 32]),
    /// A sealed issuance file, with its records' number and root.
    Issuances {
        /// Its name.
        file: Box<str>,
        /// How many records.
        records: u64,
        /// Their root.
        root: Hash,
    },
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events there are.
    pub events: u64,
    /// Their root.
    pub root: Hash,
    /// When the last one was decided.
    pub last_at: Option<Millis>,
    /// The key that signs the log, by the last event that names one.
    pub vkey: Option<Box<str>>,
    /// What the log names that lies beside it, and the event that does.
    pub named: Vec<(u64, Named)>,
    /// Restores that operators accepted: the position, and how many events there were before.
    pub restores: Vec<(u64, u64)>,
    /// What is wrong, in order; the first hundred.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds something that is wrong.
    pub fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// The members of an event that its place depends on.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    time: Millis,
    #[serde(borrow)]
    cmd: Cow<'a, str>,
    seq: u32,
    of: u32,
    #[serde(borrow, rename = "data")]
    _data: &'a RawValue,
}

/// Where in a command the log is.
#[derive(Default)]
struct Place {
    at: Millis,
    command: String,
    sequence: u32,
    of: u32,
}

impl Place {
    /// Whether an event can follow.
    fn follow(&mut self, event: &Envelope<'_>) -> Result<(), String> {
        let whole = self.sequence == self.of;
        let fits = match whole {
            true => event.seq == 0 && *event.cmd != *self.command,
            false => {
                event.seq == self.sequence && *event.cmd == *self.command && event.of == self.of
            }
        };
        let backwards = event.time < self.at;
        let expected = (self.sequence, self.of);
        if *event.cmd != *self.command {
            self.command.clear();
            self.command.push_str(&event.cmd);
        }
        self.at = event.time;
        (self.sequence, self.of) = (event.seq.saturating_add(1), event.of.max(1));
        if backwards {
            return Err("it is earlier than the event before it".to_owned());
        }
        match fits {
            true => Ok(()),
            false if whole => Err(format!(
                "it is number {} of its command, and should be the first of a new one",
                event.seq
            )),
            false => Err(format!(
                "number {} of {} of one command should follow",
                expected.0, expected.1
            )),
        }
    }
}

/// Verifies a log against what vouches for it; `beside` is the directory of its `admin.leaves`. `heard` is told how many events are done.
///
/// # Errors
/// When the log cannot be read at all; what is wrong with it is in the report.
pub fn verify(
    engine: &dyn Engine,
    beside: &Path,
    anchors: &[Anchor],
    mut heard: impl FnMut(u64),
) -> Result<Report, Fault> {
    let mut walk = Walk {
        report: Report::default(),
        tree: LogTree::default(),
        place: Place::default(),
        covered: anchors.iter().map(|anchor| anchor.size).max().unwrap_or(0),
        log_id: engine.log_id(),
    };
    let mut broken: Vec<(&Anchor, Hash)> = Vec::new();
    each_batch(engine, 0, |events| {
        for (position, bytes, hash) in events {
            walk.take(*position, bytes);
            walk.tree.push_hash(*hash);
            let size = walk.tree.size();
            let reached = anchors.iter().filter(|anchor| anchor.size == size);
            let found = reached.map(|anchor| (anchor, walk.tree.root()));
            broken.extend(found.filter(|(anchor, root)| *root != anchor.root));
        }
        heard(walk.tree.size());
        Ok(())
    })?;
    let Walk {
        mut report,
        tree,
        place,
        ..
    } = walk;
    report.events = tree.size();
    report.root = tree.root();
    report.last_at = (tree.size() > 0).then_some(place.at);
    for (anchor, root) in broken {
        report.find(Finding::NotAsSigned {
            size: anchor.size,
            found: hex(&root),
            expected: hex(&anchor.root),
            place: anchor.place.clone(),
            first: first_changed(engine, beside, anchor),
        });
    }
    for anchor in anchors.iter().filter(|anchor| anchor.size > tree.size()) {
        report.find(Finding::CutOff {
            have: tree.size(),
            size: anchor.size,
            place: anchor.place.clone(),
        });
    }
    Ok(report)
}

struct Walk {
    report: Report,
    tree: LogTree,
    place: Place,
    /// Up to here the bytes are held against a signature: that they are events was checked when
    /// they were written.
    covered: u64,
    log_id: LogId,
}

impl Walk {
    fn take(&mut self, position: u64, bytes: &[u8]) {
        let envelope: Envelope<'_> = match serde_json::from_slice(bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                let detail = error.to_string();
                return self.report.find(Finding::NoEvent { position, detail });
            }
        };
        if let Err(detail) = self.place.follow(&envelope) {
            self.report.find(Finding::OutOfOrder { position, detail });
        }
        let of_interest = matches!(
            &*envelope.kind,
            "log.created"
                | "log.key_set"
                | "log.restore_accepted"
                | "policy.uploaded"
                | "issuances.sealed"
        );
        if !of_interest && position < self.covered {
            return;
        }
        match codec::decode(Position(position), bytes) {
            Ok(recorded) => self.note(position, recorded.event),
            Err(error) => {
                let detail = error.to_string();
                self.report.find(Finding::NoEvent { position, detail });
            }
        }
    }

    fn note(&mut self, position: u64, event: Event) {
        let report = &mut self.report;
        match event {
            Event::LogCreated(e) if position != 0 || *e.log_id != *self.log_id.to_string() => {
                let detail = format!("the log {} begins here", e.log_id);
                report.find(Finding::OutOfOrder { position, detail });
            }
            Event::LogKeySet(e) => report.vkey = Some(e.vkey),
            Event::LogRestoreAccepted(e) => report.restores.push((position, e.size)),
            Event::PolicyUploaded(e) => {
                report.named.push((position, Named::Module(e.digest.0)));
            }
            Event::IssuancesSealed(e) => {
                let (file, records, root) = (e.file, e.records, e.root);
                let named = Named::Issuances {
                    file,
                    records,
                    root,
                };
                report.named.push((position, named));
            }
            _ => {}
        }
    }
}

/// The first event that is not what `admin.leaves` says it was, if that file is what was signed.
fn first_changed(engine: &dyn Engine, place: &Path, anchor: &Anchor) -> Option<u64> {
    let path = leaves::path(place);
    let mut known = Reader::open(&path);
    let mut tree = Tree::default();
    while tree.size() < anchor.size {
        tree.push_hash(known.next()?);
    }
    if tree.root() != anchor.root {
        return None;
    }
    let (mut known, mut first) = (Reader::open(&path), None);
    each_batch(engine, 0, |events| {
        for (position, _, hash) in events {
            if first.is_none() && *position < anchor.size && known.next() != Some(*hash) {
                first = Some(*position);
            }
        }
        Ok::<(), Fault>(())
    })
    .ok()?;
    first
}

impl Named {
    /// What it is, for people.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Module(_) => "the policy module",
            Self::Issuances { .. } => "the issuance file",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Module(digest) => hex(digest),
            Self::Issuances { file, .. } => file.to_string(),
        }
    }
}

/// What became of something that lies beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It is what the log says.
    AsNamed,
    /// It is not there any more, as retention has it.
    Gone,
    /// It is not what the log says, and why not.
    Differs(String),
}

/// Holds something that lies beside the log, in a data directory or an archive, against what the log
/// says of it.
#[must_use]
pub fn beside(place: &Path, log_id: LogId, named: &Named) -> Beside {
    match named {
        Named::Module(digest) => match Blobs::in_directory(place.join("blobs")).get(digest) {
            Ok(Some(_)) => Beside::AsNamed,
            Ok(None) => Beside::Differs("is missing; restore it from a backup".to_owned()),
            Err(fault) => Beside::Differs(format!("cannot be trusted: {fault}")),
        },
        Named::Issuances {
            file,
            records,
            root,
        } => match issuance_file::tree(&place.join("issuance"), file, log_id) {
            Ok(None) => Beside::Gone,
            Ok(Some(tree)) if tree.size() == *records && tree.root() == *root => Beside::AsNamed,
            Ok(Some(tree)) => Beside::Differs(format!(
                "has {} records with the root {}, and was sealed with {records} and {}",
                tree.size(),
                hex(&tree.root()),
                hex(root)
            )),
            Err(fault) => Beside::Differs(format!("cannot be read: {fault}")),
        },
    }
}
