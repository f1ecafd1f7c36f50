//! Checkpoints of the admin log: how many events, with which root, signed by the log's key. No log
//! can tell by itself that its end was cut off, so a start holds it against the last of them.

use crate::disk::{self, DataDir};
use crate::merkle::{Hash, LogTree};
use crate::note::{self, NoteKey, Signature, SignedCheckpoint, Vkey};
use crate::{Fault, Ledger};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use writ_core::codec::hex;

/// Something that vouched for the beginning of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// How many events.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// Where that is said, for messages.
    pub place: PathBuf,
}

impl Anchor {
    /// What a checkpoint vouches for.
    #[must_use]
    pub fn of(signed: &SignedCheckpoint, place: &Path) -> Self {
        Self {
            size: signed.checkpoint.size,
            root: signed.checkpoint.root,
            place: place.to_owned(),
        }
    }

    /// Holds a tree of this size, or of less when there is no more, against it.
    /// `first` is the first event that is known to have changed.
    pub(crate) fn check(&self, tree: &LogTree, first: Option<u64>) -> Result<(), Fault> {
        if tree.size() < self.size {
            return Err(Fault::CutOff {
                have: tree.size(),
                size: self.size,
                anchor: self.place.clone(),
            });
        }
        let found = tree.root();
        if found == self.root {
            return Ok(());
        }
        Err(Fault::NotAsSigned {
            size: self.size,
            found: hex(&found),
            expected: hex(&self.root),
            anchor: self.place.clone(),
            first,
        })
    }
}

/// Signs checkpoints and keeps the last one.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    copy_to: Option<PathBuf>,
    key: NoteKey,
    last: Mutex<Option<Arc<SignedCheckpoint>>>,
}

impl Checkpoints {
    /// Where the checkpoint of a data directory is.
    #[must_use]
    pub fn path(data: &DataDir) -> PathBuf {
        data.join("checkpoint")
    }

    /// The checkpoint in a file; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is no checkpoint.
    pub fn read(path: &Path) -> Result<Option<SignedCheckpoint>, Fault> {
        let Some(bytes) = disk::read_file(path, note::NOTE_BYTES as u64)? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes).map_err(|_| Fault::damaged(path, "it is not text"))?;
        text.parse()
            .map(Some)
            .map_err(|error: note::ParseNoteError| Fault::damaged(path, error.to_string()))
    }

    /// Those of a data directory, to be signed by this key, and copied to a place outside of it.
    #[must_use]
    pub fn new(data: &DataDir, key: NoteKey, copy_to: Option<PathBuf>) -> Self {
        Self {
            path: Self::path(data),
            copy_to,
            key,
            last: Mutex::default(),
        }
    }

    /// The public part of the key.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        self.key.vkey()
    }

    /// The last one that was signed.
    #[must_use]
    pub fn last(&self) -> Option<Arc<SignedCheckpoint>> {
        self.guard().clone()
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Option<Arc<SignedCheckpoint>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs what the log is now, unless that was signed already, and writes it durably. The log
    /// extends what was signed before: its tree only ever grows while it is open, and opening held
    /// it against the checkpoint. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails. A copy that cannot be written is a warning in the log of this node.
    pub fn sign(&self, ledger: &Ledger) -> Result<Arc<SignedCheckpoint>, Fault> {
        let mut last = self.guard();
        let (size, root) = ledger.tree_head();
        if let Some(last) = last.as_ref().filter(|last| last.checkpoint.size == size) {
            return Ok(Arc::clone(last));
        }
        let signed = Arc::new(SignedCheckpoint::sign(&self.key, size, root));
        self.write(&signed)?;
        *last = Some(Arc::clone(&signed));
        Ok(signed)
    }

    /// Adds what witnesses signed, if the checkpoint still is the last one. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn add(&self, size: u64, signatures: Vec<Signature>) -> Result<(), Fault> {
        let mut last = self.guard();
        let Some(current) = last.as_ref().filter(|last| last.checkpoint.size == size) else {
            return Ok(());
        };
        let mut signed = SignedCheckpoint::clone(current);
        for new in signatures {
            signed
                .note
                .signatures
                .retain(|old| !old.is_of_same_key(&new));
            signed.note.signatures.push(new);
        }
        let signed = Arc::new(signed);
        self.write(&signed)?;
        *last = Some(signed);
        Ok(())
    }

    fn write(&self, signed: &SignedCheckpoint) -> Result<(), Fault> {
        let text = signed.to_string();
        disk::replace_file(&self.path, text.as_bytes())?;
        if let Some(copy) = &self.copy_to
            && let Err(fault) = disk::replace_file(copy, text.as_bytes())
        {
            tracing::error!(%fault, "the checkpoint could not be copied");
        }
        Ok(())
    }
}
