//! A witness (C2SP tlog-witness v1.0.0): a second party that signs the checkpoints of logs, and never
//! signs two of the same log that contradict each other. What it has signed it remembers durably
//! before it says so, so whoever rewrites a log cannot have that signed too.
//!
//! Layout of its directory:
//! ```text
//! W/lock                        held for the life of the process
//! W/witness.key                 the private key
//! W/logs/HASH                   the last checkpoint that was cosigned of a log, by SHA-256 of its
//!                               origin, with both signatures: it can be shown to anybody
//! W/logs/HASH.conflict          another one that the log signed for the same size: proof that the
//!                               log, or whoever has its key, lied
//! W/logs/HASH….forgotten        what was given up by `writ witness forget`
//! ```

use crate::disk::{self, DataDir};
use crate::merkle::{self, Hash, Tree};
use crate::note::{
    self, Checkpoint, KeyKind, NoteKey, ParseNoteError, Signature, SignedCheckpoint, SignedNote,
    Vkey,
};
use crate::{Checkpoints, Fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use writ_core::codec::hex;
use zeroize::Zeroizing;

/// Most hashes of a submission.
const HASHES: usize = 63;
/// Largest submission, in bytes: the size, as many hashes, and the largest note.
pub const SUBMISSION_BYTES: usize = note::NOTE_BYTES + HASHES * 45 + 64;

/// What a log sends to a witness (`add-checkpoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size of the checkpoint that the witness is believed to have cosigned last.
    pub old_size: u64,
    /// That the log of the new one begins with the log of the old one (RFC 6962 §2.1.2).
    pub proof: Vec<Hash>,
    /// The new one.
    pub checkpoint: SignedCheckpoint,
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Submission {
    type Err = ParseNoteError;

    fn from_str(text: &str) -> Result<Self, ParseNoteError> {
        let bad = ParseNoteError::new("not a submission (C2SP tlog-witness)");
        let (head, checkpoint) = text.split_once("\n\n").ok_or(bad)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old_size.and_then(note::decimal).ok_or(bad)?;
        Ok(Self {
            old_size,
            proof: note::parse_hashes(lines, HASHES).ok_or(bad)?,
            checkpoint: checkpoint.parse()?,
        })
    }
}

/// Why a witness does not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody told it to look after this log.
    #[error("this witness does not know the log {0}")]
    UnknownLog(Box<str>),
    /// The checkpoint is not the log's.
    #[error("the checkpoint is not signed by a key of the log that this witness trusts")]
    NotSigned,
    /// Logs do not shrink.
    #[error("the old size is larger than the size of the checkpoint")]
    OldSizeTooLarge,
    /// The log does not know what was cosigned last.
    #[error("the last checkpoint that this witness cosigned has the size {size}")]
    Stale {
        /// The size of the last one that was cosigned.
        size: u64,
    },
    /// The log has signed two trees of the same size.
    #[error("this witness cosigned another tree of {size} entries: the log was rewritten")]
    OtherTree {
        /// That size.
        size: u64,
    },
    /// The log does not begin with what was cosigned.
    #[error(
        "the proof does not show that the log begins with the {size} entries that were cosigned"
    )]
    Inconsistent {
        /// The size of the last one that was cosigned.
        size: u64,
    },
}

/// Whether a witness that trusts these keys, and of this log has last cosigned `latest`, signs a
/// checkpoint. The checks are those of tlog-witness, in its order.
///
/// # Errors
/// See [`Refused`].
pub fn decide(
    trusted: &[Vkey],
    latest: Option<&Checkpoint>,
    submission: &Submission,
) -> Result<(), Refused> {
    let Submission {
        old_size,
        proof,
        checkpoint: signed,
    } = submission;
    let Checkpoint { origin, size, root } = &signed.checkpoint;
    if trusted.iter().all(|vkey| vkey.name() != &**origin) {
        return Err(Refused::UnknownLog(origin.clone()));
    }
    if !trusted.iter().any(|vkey| signed.is_signed_by(vkey)) {
        return Err(Refused::NotSigned);
    }
    if old_size > size {
        return Err(Refused::OldSizeTooLarge);
    }
    let nothing = Tree::default().root();
    let (cosigned, was) = latest.map_or((0, &nothing), |latest| (latest.size, &latest.root));
    if *old_size != cosigned {
        return Err(Refused::Stale { size: cosigned });
    }
    if *size == cosigned && root != was {
        return Err(Refused::OtherTree { size: cosigned });
    }
    match merkle::verify_consistency((cosigned, was), (*size, root), proof) {
        true => Ok(()),
        false => Err(Refused::Inconsistent { size: cosigned }),
    }
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The rules.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] Fault),
}

/// Why a witness cannot be made, opened or shown.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The directory is none of a witness.
    #[error("{} is not the directory of a witness: `writ witness init` makes one", .0.display())]
    NotAWitness(PathBuf),
    /// A key that is no log's.
    #[error(
        "{0} is the key of a witness, and not of a log: `writ audit checkpoint --key` shows a log's"
    )]
    NotALog(Box<Vkey>),
    /// Nothing was cosigned of a log.
    #[error("nothing was ever cosigned of the log {0}")]
    NothingCosigned(String),
    /// A name or a key that is none.
    #[error(transparent)]
    Note(#[from] ParseNoteError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] Fault),
}

/// A witness that runs.
#[derive(Debug)]
pub struct Witness {
    directory: DataDir,
    key: NoteKey,
    logs: Vec<Vkey>,
    seen: Mutex<Seen>,
}

/// What it has signed.
#[derive(Debug, Default)]
struct Seen {
    latest: BTreeMap<Box<str>, Checkpoint>,
    /// Why nobody knows what is on the disk.
    failed: Option<Arc<str>>,
}

/// What a witness knows of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The last checkpoint that it cosigned.
    pub cosigned: SignedCheckpoint,
    /// When, in seconds since 1970.
    pub seconds: u64,
    /// Another one that the log signed for the same size.
    pub conflict: Option<SignedCheckpoint>,
}

impl Witness {
    /// Makes the directory of a new witness with a key of its own.
    ///
    /// # Errors
    /// When something is there already, the name is none, or the disk fails.
    pub fn create(path: &Path, name: &str) -> Result<Vkey, WitnessError> {
        let key = NoteKey::new(KeyKind::Witness, name, &*NoteKey::generate()?)?;
        if path.join("lock").exists() {
            let path = path.to_owned();
            return Err(Fault::Exists { path }.into());
        }
        let directory = DataDir::create(path)?;
        disk::create_dir(&logs_of(path))?;
        let mut text = key.secret();
        text.push('\n');
        disk::replace_file(&directory.join("witness.key"), text.as_bytes())?;
        Ok(key.vkey().clone())
    }

    /// Opens a directory, to look after the logs that sign with these keys.
    ///
    /// # Errors
    /// When it is none, is in use, or cannot be trusted.
    pub fn open(path: &Path, logs: Vec<Vkey>) -> Result<Self, WitnessError> {
        let key = key_of(path)?;
        let directory = DataDir::open(path)?;
        if !logs_of(path).is_dir() {
            // Without it everything would be signed as if it were seen for the first time.
            return Err(Fault::damaged(path, "the directory logs is missing").into());
        }
        let mut latest = BTreeMap::new();
        for vkey in &logs {
            if vkey.kind() != KeyKind::Log {
                return Err(WitnessError::NotALog(Box::new(vkey.clone())));
            }
            if let Some(known) = known(path, key.vkey(), vkey.name())? {
                latest.insert(vkey.name().into(), known.cosigned.checkpoint);
            }
        }
        let failed = None;
        Ok(Self {
            directory,
            key,
            logs,
            seen: Mutex::new(Seen { latest, failed }),
        })
    }

    /// Its own key.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        self.key.vkey()
    }

    /// Cosigns a checkpoint, as of a time in seconds since 1970; what it remembers is durable when
    /// this returns. One at a time, so that no two are checked against the same past. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add(&self, submission: &Submission, seconds: u64) -> Result<Signature, AddError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = &seen.failed {
            let cause = Arc::clone(cause);
            return Err(Fault::ReadOnly { cause }.into());
        }
        let signed = &submission.checkpoint;
        let checkpoint = &signed.checkpoint;
        let latest = seen.latest.get(&checkpoint.origin);
        if let Err(refused) = decide(&self.logs, latest, submission) {
            if matches!(refused, Refused::OtherTree { .. }) {
                self.keep_conflict(signed);
            }
            return Err(refused.into());
        }
        let cosignature = self.key.sign(&signed.note.text, seconds);
        if latest == Some(checkpoint) || checkpoint.size == 0 {
            return Ok(cosignature);
        }
        let kept = self.with_cosignature(signed, cosignature.clone());
        let path = state_of(self.directory.path(), &checkpoint.origin);
        if let Err(fault) = disk::replace_file(&path, kept.to_string().as_bytes()) {
            // INVARIANT: what is on the disk may be this one or the last. Until a restart has read
            // it nothing is signed.
            seen.failed = Some(fault.to_string().into());
            return Err(fault.into());
        }
        seen.latest
            .insert(checkpoint.origin.clone(), checkpoint.clone());
        Ok(cosignature)
    }

    /// The checkpoint with the log's signature and ours, and no other.
    fn with_cosignature(
        &self,
        signed: &SignedCheckpoint,
        cosignature: Signature,
    ) -> SignedCheckpoint {
        let by_log = |line: &&Signature| self.logs.iter().any(|vkey| vkey.made(line));
        let by_log = signed.note.signatures.iter().filter(by_log).cloned();
        SignedCheckpoint {
            checkpoint: signed.checkpoint.clone(),
            note: SignedNote {
                text: signed.note.text.clone(),
                signatures: by_log.chain([cosignature]).collect(),
            },
        }
    }

    /// Keeps the first checkpoint that contradicts what was cosigned: with it, it is a proof.
    fn keep_conflict(&self, signed: &SignedCheckpoint) {
        let origin = &signed.checkpoint.origin;
        let path = beside(&state_of(self.directory.path(), origin), "conflict");
        if path.exists() {
            return;
        }
        let kept = disk::replace_file(&path, signed.to_string().as_bytes());
        tracing::error!(
            %origin,
            size = signed.checkpoint.size,
            place = %path.display(),
            ?kept,
            "the log has signed two trees of the same size: it was rewritten, or its key was stolen"
        );
    }
}

/// The key of a witness. Needs no lock.
///
/// # Errors
/// When the directory is no witness's, or the key is damaged.
pub fn vkey(path: &Path) -> Result<Vkey, WitnessError> {
    Ok(key_of(path)?.vkey().clone())
}

/// What a witness knows of each log, or of one. Needs no lock.
///
/// # Errors
/// When a file cannot be trusted.
pub fn show(path: &Path, origin: Option<&str>) -> Result<Vec<Known>, WitnessError> {
    let vkey = vkey(path)?;
    if let Some(origin) = origin {
        let found = known(path, &vkey, origin)?;
        let missing = || WitnessError::NothingCosigned(origin.to_owned());
        return Ok(vec![found.ok_or_else(missing)?]);
    }
    let logs = logs_of(path);
    let entries = std::fs::read_dir(&logs).map_err(Fault::io("read", &logs))?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(Fault::io("read", &logs))?.path();
        if file.extension().is_none() {
            found.extend(known_at(&file, &vkey)?);
        }
    }
    found.sort_by(|a, b| {
        let origin = |known: &Known| known.cosigned.checkpoint.origin.clone();
        origin(a).cmp(&origin(b))
    });
    Ok(found)
}

/// Gives up what was cosigned of a log, so that another history of it can be: after a wanted
/// restore of an older state. What is given up is kept aside. The witness must be stopped.
///
/// # Errors
/// When there is nothing to give up, or the disk fails.
pub fn forget(path: &Path, origin: &str) -> Result<Known, WitnessError> {
    let vkey = vkey(path)?;
    let _locked = DataDir::open(path)?;
    let state = state_of(path, origin);
    let missing = || WitnessError::NothingCosigned(origin.to_owned());
    let given_up = known(path, &vkey, origin)?.ok_or_else(missing)?;
    for file in [beside(&state, "conflict"), state] {
        if file.exists() {
            disk::rename(&file, &beside(&file, "forgotten"))?;
        }
    }
    Ok(given_up)
}

fn logs_of(path: &Path) -> PathBuf {
    path.join("logs")
}

fn state_of(path: &Path, origin: &str) -> PathBuf {
    logs_of(path).join(hex(&Sha256::digest(origin.as_bytes()).into()))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn key_of(path: &Path) -> Result<NoteKey, WitnessError> {
    const KEY_BYTES: u64 = 4 * 1024;
    let file = path.join("witness.key");
    let Some(bytes) = disk::read_file(&file, KEY_BYTES)?.map(Zeroizing::new) else {
        return Err(WitnessError::NotAWitness(path.to_owned()));
    };
    let text = std::str::from_utf8(&bytes).ok();
    let key = text.and_then(|text| NoteKey::from_secret(text.trim_end()).ok());
    let key = key.filter(|key| key.vkey().kind() == KeyKind::Witness);
    Ok(key.ok_or_else(|| Fault::damaged(&file, "it is not the key of a witness"))?)
}

fn known(path: &Path, vkey: &Vkey, origin: &str) -> Result<Option<Known>, WitnessError> {
    let file = state_of(path, origin);
    let found = known_at(&file, vkey)?;
    match &found {
        Some(known) if *known.cosigned.checkpoint.origin != *origin => {
            Err(Fault::damaged(&file, "it is about another log").into())
        }
        _ => Ok(found),
    }
}

/// INVARIANT: only what this witness has signed is believed, or a flipped bit in its memory could
/// make it sign another history.
fn known_at(file: &Path, vkey: &Vkey) -> Result<Option<Known>, WitnessError> {
    let Some(cosigned) = Checkpoints::read(file)? else {
        return Ok(None);
    };
    let seconds = cosigned.note.verify(vkey).and_then(|by| by.time);
    let seconds = seconds.ok_or_else(|| Fault::damaged(file, "this witness did not sign it"))?;
    Ok(Some(Known {
        seconds,
        conflict: Checkpoints::read(&beside(file, "conflict"))?,
        cosigned,
    }))
}

#[cfg(test)]
mod tests;
