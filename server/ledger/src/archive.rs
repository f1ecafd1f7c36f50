//! An archive: a log as files that anybody can read with what every machine has. It is made for
//! auditors, as a backup, and to move a log from one engine to another.
//!
//! ```text
//! A/archive.json          what it is of: format, log, number of events, root
//! A/events.jsonl          the events as they are stored and hashed, one a line
//! A/checkpoint            what the log's key signed last
//! A/blobs/ab/cdef…        policy modules by SHA-256
//! A/issuance/N.redb, …    the records of issuances, as they are in a data directory
//! A/keys.json             private keys, sealed under the master key: in backups only
//! ```
//!
//! It is made aside and appears under its name when it is whole. [`ArchiveEngine`] reads one as if
//! it were a store, so that whatever audits a data directory audits an archive too.

use crate::disk::{self, DataDir};
use crate::engine::{AppendError, Engine, Entry};
use crate::merkle::{Hash, Tree};
use crate::{Blobs, Fault, LogId, checkpoint, limits};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use writ_core::Position;
use writ_core::codec::{self, hex};

const FORMAT: u32 = 1;

/// What an archive is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The log.
    pub log_id: String,
    /// How many events.
    pub events: u64,
    /// Their root (RFC 6962 §2.1).
    #[serde(with = "writ_core::codec::hex32")]
    pub root: Hash,
}

fn manifest_path(archive: &Path) -> PathBuf {
    archive.join("archive.json")
}

fn events_path(archive: &Path) -> PathBuf {
    archive.join("events.jsonl")
}

/// An archive that is being made. Dropped before its end, nothing is left of it.
#[derive(Debug)]
pub struct ArchiveWriter {
    path: PathBuf,
    aside: PathBuf,
    log_id: LogId,
    events: BufWriter<File>,
    tree: Tree,
    blobs: Blobs,
    finished: bool,
}

impl ArchiveWriter {
    /// Begins an archive, where nothing is yet.
    ///
    /// # Errors
    /// [`Fault::Exists`]; or when the disk fails.
    pub fn create(path: &Path, log_id: LogId) -> Result<Self, Fault> {
        if path.exists() {
            let path = path.to_owned();
            return Err(Fault::Exists { path });
        }
        let aside = disk::unfinished(path);
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(Fault::io("remove", &aside))?;
        }
        disk::create_dir(&aside)?;
        let events = events_path(&aside);
        let file = disk::create_file(&events)?;
        Ok(Self {
            path: path.to_owned(),
            blobs: Blobs::in_directory(aside.join("blobs")),
            aside,
            log_id,
            events: BufWriter::with_capacity(1 << 20, file),
            tree: Tree::default(),
            finished: false,
        })
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.tree.size()
    }

    /// Adds the next event, as it is stored.
    ///
    /// # Errors
    /// When it has a line's end in it, which no event of Writ's has; or when the disk fails.
    pub fn event(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.contains(&b'\n') {
            let detail = format!(
                "the event at position {} is more than a line",
                self.tree.size()
            );
            return Err(Fault::damaged(&self.aside, detail));
        }
        self.tree.push(bytes);
        let write = |events: &mut BufWriter<File>| {
            events.write_all(bytes)?;
            events.write_all(b"\n")
        };
        write(&mut self.events).map_err(Fault::io("write", &self.aside))
    }

    /// Adds a policy's module.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn module(&self, bytes: &[u8]) -> Result<(), Fault> {
        self.blobs.put(bytes).map(drop)
    }

    /// Adds a file as it is, under a path below the archive.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn file(&self, name: &str, from: &Path) -> Result<(), Fault> {
        let to = self.aside.join(name);
        disk::create_dir(disk::parent_of(&to))?;
        disk::copy(from, &to)
    }

    /// Ends it: from now on it is there, whole.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(mut self, checkpoint: Option<&str>) -> Result<Manifest, Fault> {
        let events = events_path(&self.aside);
        self.events.flush().map_err(Fault::io("write", &events))?;
        let file = self.events.get_ref();
        file.sync_all().map_err(Fault::io("sync", &events))?;
        if let Some(text) = checkpoint {
            disk::replace_file(&self.aside.join("checkpoint"), text.as_bytes())?;
        }
        let manifest = Manifest {
            format: FORMAT,
            log_id: self.log_id.to_string(),
            events: self.tree.size(),
            root: self.tree.root(),
        };
        let path = manifest_path(&self.aside);
        let bytes = serde_json::to_vec_pretty(&manifest);
        let bytes = bytes.map_err(|error| Fault::io("encode", &path)(error.into()))?;
        disk::replace_file(&path, &bytes)?;
        disk::rename(&self.aside, &self.path)?;
        self.finished = true;
        Ok(manifest)
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_dir_all(&self.aside);
        }
    }
}

/// What of a data directory goes into an archive besides the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The records of issuances.
    pub issuances: bool,
    /// The sealed private keys.
    pub keys: bool,
}

/// Makes an archive of a data directory. `heard` is told how many events are done.
///
/// # Errors
/// When something cannot be read or written: then nothing is left of it.
pub fn export(
    engine: &dyn Engine,
    data: &DataDir,
    to: &Path,
    contents: Contents,
    mut heard: impl FnMut(u64),
) -> Result<Manifest, Fault> {
    let mut archive = ArchiveWriter::create(to, engine.log_id())?;
    loop {
        let events = engine.read(archive.events(), limits::READ_EVENTS, limits::READ_BYTES)?;
        if events.is_empty() {
            break;
        }
        for (_, bytes) in events {
            archive.event(&bytes)?;
        }
        heard(archive.events());
    }
    let blobs = Blobs::in_directory(data.join("blobs"));
    for digest in blobs.list()? {
        if let Some(module) = blobs.get(&digest)? {
            archive.module(&module)?;
        }
    }
    if contents.issuances {
        let directory = data.join("issuance");
        for name in disk::names(&directory)? {
            // `*.new` is what a crash left.
            if name.ends_with(".redb") || name.ends_with(".seal") {
                archive.file(&format!("issuance/{name}"), &directory.join(&name))?;
            }
        }
    }
    if contents.keys {
        archive.file("keys.json", &data.join("keys.json"))?;
    }
    let checkpoint = checkpoint::Checkpoints::read(&checkpoint::Checkpoints::path(data))?;
    archive.finish(checkpoint.map(|signed| signed.to_string()).as_deref())
}

/// An archive as a store that cannot be written.
pub struct ArchiveEngine {
    path: PathBuf,
    log_id: LogId,
    file: File,
    /// Where each line begins, and where the last ends.
    lines: Vec<u64>,
}

impl std::fmt::Debug for ArchiveEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveEngine")
            .field("path", &self.path)
            .field("log_id", &self.log_id)
            .finish_non_exhaustive()
    }
}

impl ArchiveEngine {
    /// Opens an archive and finds its lines. That they are what was signed is for `verify` to say.
    ///
    /// # Errors
    /// When it is none, or has another number of events than it says.
    pub fn open(archive: &Path) -> Result<Self, Fault> {
        let manifest = manifest(archive)?;
        let path = events_path(archive);
        let log_id = LogId::parse(&manifest.log_id)
            .ok_or_else(|| Fault::damaged(&manifest_path(archive), "it names no log"))?;
        let file = File::open(&path).map_err(Fault::io("open", &path))?;
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let (mut lines, mut at) = (vec![0], 0);
        loop {
            let left = reader.fill_buf().map_err(Fault::io("read", &path))?;
            if left.is_empty() {
                break;
            }
            let read = left.len();
            let ends = left.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            lines.extend(ends.map(|(end, _)| at + end as u64 + 1));
            at += read as u64;
            reader.consume(read);
        }
        let events = lines.len() as u64 - 1;
        if lines.last() != Some(&at) || events != manifest.events {
            let detail = format!(
                "it has {events} whole lines, and should have {}",
                manifest.events
            );
            return Err(Fault::damaged(&path, detail));
        }
        Ok(Self {
            path,
            log_id,
            file,
            lines,
        })
    }

    /// The bytes of a range of lines that fit a limit, and at least of one.
    fn lines(&self, range: Range<usize>, max_bytes: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let Some(starts) = self.lines.get(range.start..=range.end) else {
            return Ok(Vec::new());
        };
        let begin = starts[0];
        let fits = |end: &&u64| usize::try_from(**end - begin).is_ok_and(|size| size <= max_bytes);
        let count = starts[1..].iter().take_while(fits).count().max(1);
        let Some(end) = starts.get(count) else {
            return Ok(Vec::new());
        };
        let size = usize::try_from(end - begin).unwrap_or(usize::MAX);
        if size > max_bytes.max(limits::ENTRY_BYTES + 1) {
            let detail = format!("the event at position {} is too large", range.start);
            return Err(Fault::damaged(&self.path, detail));
        }
        let mut bytes = vec![0; size];
        self.file
            .read_exact_at(&mut bytes, begin)
            .map_err(Fault::io("read", &self.path))?;
        bytes.pop();
        Ok(bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect())
    }
}

/// What an archive is of.
///
/// # Errors
/// When it is none.
pub fn manifest(archive: &Path) -> Result<Manifest, Fault> {
    let path = manifest_path(archive);
    let bytes = disk::read_file(&path, 1 << 16)?.ok_or_else(|| Fault::NotAnArchive {
        path: archive.to_owned(),
    })?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Fault::damaged(&path, error.to_string()))?;
    if manifest.format != FORMAT {
        let found = manifest.format.to_string();
        return Err(Fault::UnknownFormat {
            path,
            found,
            known: FORMAT,
        });
    }
    Ok(manifest)
}

impl Engine for ArchiveEngine {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn head(&self) -> Result<u64, Fault> {
        Ok(self.lines.len() as u64 - 1)
    }

    fn append(&self, _expected: u64, _entries: &[Entry]) -> Result<u64, AppendError> {
        let cause = "an archive is not written to".into();
        Err(Fault::ReadOnly { cause }.into())
    }

    fn read(
        &self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let events = self.lines.len() - 1;
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let end = events.min(first.saturating_add(max_events));
        if first >= end {
            return Ok(Vec::new());
        }
        Ok((from..).zip(self.lines(first..end, max_bytes)?).collect())
    }

    /// Reads the whole range: an archive has no index.
    fn positions(&self, entity: &str, range: Range<u64>, max: usize) -> Result<Vec<u64>, Fault> {
        let mut found = Vec::new();
        let mut next = range.start;
        while next < range.end && found.len() < max {
            let events = self.read(next, limits::READ_EVENTS, limits::READ_BYTES)?;
            if events.is_empty() {
                break;
            }
            for (position, bytes) in events {
                next = position + 1;
                let recorded = codec::decode(Position(position), &bytes)
                    .map_err(|source| Fault::Undecodable { source })?;
                let about = recorded.event.entities();
                let wanted = about.iter().any(|one| one.to_string() == entity);
                if wanted && position < range.end && found.len() < max {
                    found.push(position);
                }
            }
        }
        Ok(found)
    }
}

/// Puts the log of an archive into a store, and what lies beside it into the data directory. What is
/// there already must be the beginning of it, as after an import that was interrupted; the store then
/// is as if it had been written by the server, and its root is compared at the end.
///
/// # Errors
/// When the archive is damaged, the store has another log, or the disk fails. Run it again then, or
/// remove the data directory.
pub fn import(
    archive: &Path,
    data: &DataDir,
    engine: &dyn Engine,
    mut heard: impl FnMut(u64),
) -> Result<Manifest, Fault> {
    let manifest = manifest(archive)?;
    let source = ArchiveEngine::open(archive)?;
    // First, so that a server does not start on half of it.
    copy_if_new(&archive.join("checkpoint"), &data.join("checkpoint"))?;
    let blobs = Blobs::in_directory(data.join("blobs"));
    let archived = Blobs::in_directory(archive.join("blobs"));
    for digest in archived.list()? {
        if let Some(module) = archived.get(&digest)? {
            blobs.put(&module)?;
        }
    }
    let issuances = archive.join("issuance");
    if issuances.is_dir() {
        disk::create_dir(&data.join("issuance"))?;
        for name in disk::names(&issuances)? {
            copy_if_new(&issuances.join(&name), &data.join("issuance").join(&name))?;
        }
    }
    copy_if_new(&archive.join("keys.json"), &data.join("keys.json"))?;
    let mut tree = Tree::default();
    let have = engine.head()?;
    loop {
        let from = tree.size();
        let events = source.read(from, limits::READ_EVENTS, limits::READ_BYTES)?;
        if events.is_empty() {
            break;
        }
        let mut entries = Vec::with_capacity(events.len());
        for (position, bytes) in events {
            tree.push(&bytes);
            let recorded = codec::decode(Position(position), &bytes)
                .map_err(|source| Fault::Undecodable { source })?;
            let about = recorded.event.entities();
            let entities = about.iter().map(ToString::to_string).collect();
            entries.push(Entry { bytes, entities });
        }
        // What an import that was interrupted has left.
        let known = usize::try_from(have.saturating_sub(from)).unwrap_or(usize::MAX);
        let known = known.min(entries.len());
        let stored = engine.read(from, known, usize::MAX)?;
        let same = |(stored, entry): (&(u64, Vec<u8>), &Entry)| stored.1 == entry.bytes;
        if stored.len() != known || !stored.iter().zip(&entries).all(same) {
            let place = data.path();
            return Err(Fault::damaged(
                place,
                "its log is not the beginning of the archive's",
            ));
        }
        if known < entries.len() {
            let at = from + known as u64;
            engine
                .append(at, &entries[known..])
                .map_err(|error| match error {
                    AppendError::Fault(fault) => fault,
                    AppendError::Conflict { head } => Fault::Gap {
                        path: data.path().to_owned(),
                        expected: at,
                        found: head,
                    },
                })?;
        }
        heard(tree.size());
    }
    if have > tree.size() {
        let detail = format!("it has {have} events, and the archive {}", tree.size());
        return Err(Fault::damaged(data.path(), detail));
    }
    if tree.root() != manifest.root {
        let detail = format!(
            "its root is {}, and should be {}",
            hex(&tree.root()),
            hex(&manifest.root)
        );
        return Err(Fault::damaged(&events_path(archive), detail));
    }
    Ok(manifest)
}

/// Copies a file that may not be there, unless there is one already.
fn copy_if_new(from: &Path, to: &Path) -> Result<(), Fault> {
    if to.exists() || !from.exists() {
        return Ok(());
    }
    let aside = disk::unfinished(to);
    disk::copy(from, &aside)?;
    disk::rename(&aside, to)
}
