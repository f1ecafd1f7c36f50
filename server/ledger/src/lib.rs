//! The disk of Writ: the admin log and its single writer, the issuance log, blobs, the key store,
//! notes. What an event means is not known here; that is `writ-core`.
//!
//! # Invariants
//! 1. **Durable before applied, applied before answered.** The published index never has an event
//!    that a power cut could take back, and no answer leaves before the index has what it says
//!    (`writer.rs`).
//! 2. **One writer, positions without gaps.** A position is the place in the log, given by comparing
//!    the head inside the write itself; other nodes may append too (`engine.rs`).
//! 3. **After an uncertain write, stop.** The log goes read-only, health fails, a restart replays.
//! 4. **What is not understood is not skipped.** An unknown kind, a gap, a bad checksum, another
//!    format or another server's file: refuse to start and say which file or position.
//! 5. **On a filling disk issuance stops first**, but for tokens of the management API, so that
//!    revoking still works (`issuance.rs`).
//! 6. A file's bytes are synced before its name, and the directory before anybody is told
//!    (`disk.rs`).
//!
//! # The data directory
//! ```text
//! D/lock                     held for the life of the process: one process per data directory
//! D/admin.redb               the admin log (or the directory D/admin.sled)
//! D/admin.leaves             the hash of each event: a hint where damage is, which nothing rests on
//! D/snapshot                 the index at a size of the log: a cache, believed only with its MAC; in no archive
//! D/checkpoint               how many events it has and their root, signed
//! D/issuance/N.redb, N.seal  the issuance log: files by number; a sealed one has its summary beside
//! D/failures.redb            how many authentication failures there were, by the minute; bounded
//! D/usage.jsonl              when credentials were last used; written by the server, nothing rests on it
//! D/replay.redb              digests of what may be presented once, until it expires; in no archive
//! D/blobs/ab/cdef…           policy modules by SHA-256
//! D/keys.json                private keys, sealed under the master key; can forget
//! D/notes/ab/cdef…           texts of Writ-Reason with their salts; can forget
//! ```
//! Everything is mode 0600 in directories of mode 0700, and a data directory that is open to others
//! is refused: sled, for one, makes files with whatever mode the umask leaves. `*.new` is what a
//! crash left unfinished.
//!
//! # Map
//! - `engine.rs`: what the admin log needs of a store; `redb_engine.rs` (default), `sled_engine.rs`
//!   (feature `sled`), `mem_engine.rs` (feature `testkit`: fails and loses power on demand);
//!   `contract.rs` (feature `testkit`): what each must do, as functions for tests. `redb_file.rs`:
//!   what all files of redb have in common.
//! - `writer.rs`: decide, append, publish, answer; `reading.rs`: reading a whole log. `ledger.rs`: the handle for everyone else:
//!   execute, read, follow, the index as of a position.
//! - `checkpoint.rs`: signing what the log is, and holding it against that; `note.rs`: the formats
//!   (C2SP); `merkle.rs`: the tree and proofs (RFC 6962); `verify.rs`: a log without a server;
//!   `leaves.rs`: where it changed; `witness.rs`: a second party that signs checkpoints, with a
//!   directory of its own.
//! - `issuance.rs`: recording with group commit, rotation, retention, search; `issuance_record.rs`:
//!   the record; `issuance_frame.rs`: its bytes; `issuance_file.rs`: one file; `issuance_reader.rs`:
//!   reading for audits, without writing.
//! - `snapshot.rs`: the index as a file, so that a start need not replay every event.
//! - `archive.rs`: a log as files, for auditors, as a backup and to move it.
//! - `failures.rs`: counts of authentication failures.
//! - `replay.rs`: what may be presented once.
//! - `blobs.rs`, `key_store.rs`, `notes.rs`, `disk.rs` (files, lock, free space).
//! - `fault.rs`: what goes wrong, for operators; `limits.rs`; `source.rs`: time and ids as parameters.
//!
//! Engines, measurements and what was decided on them: `README.md`.

pub mod archive;
pub mod blobs;
mod checkpoint;
#[cfg(feature = "testkit")]
pub mod contract;
mod disk;
pub mod engine;
mod failures;
mod fault;
mod issuance;
mod issuance_file;
mod issuance_frame;
mod issuance_reader;
mod issuance_record;
pub mod key_store;
mod leaves;
mod ledger;
pub mod limits;
#[cfg(feature = "testkit")]
mod mem_engine;
pub mod merkle;
pub mod note;
pub mod notes;
mod reading;
mod redb_engine;
mod redb_file;
mod replay;
#[cfg(feature = "sled")]
mod sled_engine;
mod snapshot;
mod source;
pub mod verify;
pub mod witness;
mod writer;

pub use blobs::Blobs;
pub use checkpoint::{Anchor, Checkpoints};
pub use disk::{DataDir, free_space};
pub use engine::Engine;
pub use failures::{FailureLog, FailurePlace, FailureRow};
pub use fault::{Fault, LogId};
pub use issuance::{
    IssuanceConfig, IssuanceError, IssuanceLog, IssuanceSpan, IssuanceStats, Recording, Reserve,
};
pub use issuance_file::{
    IssuancePlace, IssuanceVisitor, ParsePlaceError, SealedFile, number as issuance_file_number,
};
pub use issuance_reader::IssuanceReader;
pub use issuance_record::{
    Credential, ExchangedToken, ForeignToken, Held, IssuanceRecord, Outcome, PolicyNote,
    PolicyRecord, RECORD_VERSION, Verdict,
};
pub use key_store::{KeyStore, MasterKey};
pub use ledger::{
    EngineKind, Follower, Ledger, LedgerConfig, Pending, Progress, Receipt, Rejection, open_engine,
    replay, replay_to,
};
#[cfg(feature = "testkit")]
pub use mem_engine::{Failure, MemDisk, MemEngine};
pub use notes::Notes;
pub use redb_engine::RedbEngine;
pub use replay::{REPLAYS_MAX, Remembering, ReplayError, ReplayStats, ReplayStore};
#[cfg(feature = "sled")]
pub use sled_engine::SledEngine;
pub use snapshot::Snapshots;
#[cfg(feature = "testkit")]
pub use source::SeededIds;
pub use source::{Clock, Ids, RandomIds};
pub use witness::Witness;
pub use writer::Writer;
