//! What can go wrong below the rules: the disk, the data directory, a bug. Each text is for the
//! operator who reads it in the middle of the night: it names the file and what to do.
//!
//! A [`Fault`] is never the fault of the one who asks. A command that the rules refuse is a
//! `writ_core::Refusal`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The disk, the data directory or this program failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by another process: one process per data directory; \
         stop the other one, or name another directory",
        path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// There is no data directory, or it holds nothing of Writ's.
    #[error(
        "{} is not a data directory of Writ: if it should be, is its volume mounted? \
         `writ init` makes a new one",
        path.display()
    )]
    NotADataDirectory {
        /// What was named.
        path: PathBuf,
    },
    /// There is no archive.
    #[error("{} is not an archive of Writ: `writ audit export` makes one", path.display())]
    NotAnArchive {
        /// What was named.
        path: PathBuf,
    },
    /// Others than its owner can look into the data directory.
    #[error(
        "the data directory {0} is open to other users (mode {mode:04o}) and holds secrets: \
         `chmod 700 {0}`",
        path.display()
    )]
    NotPrivate {
        /// The data directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Something is there already that would be overwritten.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No space is left for a write.
    #[error("no space is left on the disk of {}: make room, then restart", path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A file was changed by something else than Writ, or the disk lost what it had promised.
    #[error(
        "{} is damaged ({detail}): it is not opened, so that nothing is decided on half a log; \
         restore a backup",
        path.display()
    )]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The store of what counts once is damaged. No copy of it helps: one lacks what was seen since.
    #[error(
        "{} is damaged ({detail}): it is not opened, so that nothing is taken twice. Do not put an older copy \
         in its place. What it remembers is valid for an hour at most: leave the server stopped for an hour, \
         then delete it; the server begins a new one",
        path.display()
    )]
    ReplaysDamaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A file of a format that this version does not know.
    #[error(
        "{} has format {found}, this version of Writ knows {known}: use the version that wrote it, \
         or a newer one",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this code can read.
        known: u32,
    },
    /// A file belongs to the log of another server.
    #[error(
        "{} belongs to log {found}, the data directory to log {expected}: files of two servers are mixed",
        path.display()
    )]
    ForeignLog {
        /// The file.
        path: PathBuf,
        /// The log it names.
        found: LogId,
        /// The log it should name.
        expected: LogId,
    },
    /// An event in the log cannot be understood. Leaving it out could leave out a revocation.
    #[error("the log cannot be replayed: {source}")]
    Undecodable {
        /// Which one, and why.
        source: writ_core::codec::DecodeError,
    },
    /// Positions are not 0, 1, 2 …
    #[error("the log {} has a gap: position {expected} should follow, {found} does; restore a backup", path.display())]
    Gap {
        /// The log.
        path: PathBuf,
        /// The position that should be there.
        expected: u64,
        /// The one that is.
        found: u64,
    },
    /// The log has fewer events than were vouched for.
    #[error(
        "the log has {have} events, and the checkpoint {} vouches for {size}: its end was cut off, or an older \
         copy was put in its place. What is missing may have revoked something, so the log is not opened. \
         Restore the newest copy; or, if this older state is what you want, `writ log accept-restore` says so \
         in the log and lists what may have been revoked since",
        anchor.display()
    )]
    CutOff {
        /// How many events there are.
        have: u64,
        /// How many there were.
        size: u64,
        /// Where that is said.
        anchor: PathBuf,
    },
    /// The log is not the one that was vouched for.
    #[error(
        "the first {size} events of the log are not those that the checkpoint {} vouches for (their root is {found}, \
         and should be {expected}): an event was changed, removed, moved or put in{}. `writ audit verify` says more. \
         Restore a copy that verifies; if this one is what you want, `writ log accept-restore` says so \
         in the log",
        anchor.display(),
        first.map_or_else(String::new, |position| format!(", the first at position {position}"))
    )]
    NotAsSigned {
        /// How many events it is about.
        size: u64,
        /// Their root in hexadecimal.
        found: String,
        /// The one that was vouched for.
        expected: String,
        /// The first event that is known to have changed.
        first: Option<u64>,
        /// Where that is said.
        anchor: PathBuf,
    },
    /// There is no checkpoint although there was one.
    #[error(
        "{} is missing: the server signs one before it starts, so somebody removed it, or it was left out of a \
         restore. Without it a cut log would not be noticed. Put it back; if it is lost, \
         `writ log accept-restore` says so in the log",
        path.display()
    )]
    NoCheckpoint {
        /// Where it should be.
        path: PathBuf,
    },
    /// An earlier write failed and nobody knows what of it is on the disk.
    #[error(
        "the log is read-only since a write failed ({cause}): restart, a restart replays what is on the disk"
    )]
    ReadOnly {
        /// The failure.
        cause: Arc<str>,
    },
    /// The writer has more waiting than it should ever have.
    #[error("{queued} commands are waiting to be written: try again later")]
    Overloaded {
        /// How many.
        queued: usize,
    },
    /// Other nodes appended first, again and again.
    #[error("other nodes appended first {attempts} times in a row: try again later")]
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
    /// The process is stopping.
    #[error("the log is closed: the server is stopping")]
    Closed,
    /// An entry is over the limit: a bug, for `decide` and the codec have limits of their own.
    #[error("an entry of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The master key does not open the key store.
    #[error(
        "the master key does not open {}: it is not the key that this store was sealed with; \
         look for the right one, without it the keys are lost",
        path.display()
    )]
    WrongMasterKey {
        /// The key store.
        path: PathBuf,
    },
    /// One sealed key cannot be opened although the master key is right.
    #[error("the key {id} in {} does not open: the store was tampered with; restore a backup", path.display())]
    KeyDamaged {
        /// The key store.
        path: PathBuf,
        /// The key.
        id: String,
    },
    /// The bytes of a blob are not those its name promises.
    #[error("the blob {digest} in {} has other bytes than its name says; restore it from a backup or an export", path.display())]
    BlobDamaged {
        /// The file.
        path: PathBuf,
        /// Its name.
        digest: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    NoThread(io::Error),
}

impl Fault {
    /// An error of the operating system, with what was tried on which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io {
                doing,
                path,
                source,
            },
        }
    }

    /// A file that cannot be trusted.
    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}

/// The identity of one log: made once, kept through backup, restore and a change of engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogId(pub u128);

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl LogId {
    /// From the 32 hexadecimal digits that [`LogId`] is shown as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text, 16).ok().map(Self)?;
        (id.to_string() == text).then_some(id)
    }
}
