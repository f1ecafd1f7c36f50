//! The disk of Writ.
pub mod blobs;
mod disk;
#[cfg(feature = "testkit")]
pub mod contract;
pub mod engine;
mod fault;
mod issuance;
mod issuance_file;
mod issuance_frame;
mod issuance_record;
pub mod key_store;
mod ledger;
pub mod limits;
#[cfg(feature = "testkit")]
mod mem_engine;
pub mod merkle;
pub mod notes;
mod redb_engine;
#[cfg(feature = "sled")]
mod sled_engine;
mod source;
mod writer;

pub use blobs::Blobs;
pub use issuance::{IssuanceConfig, IssuanceError, IssuanceLog, IssuanceStats, Recording};
pub use issuance_file::SealedFile;
pub use issuance_record::{Credential, IssuanceRecord, Outcome, PolicyRecord, RECORD_VERSION, Verdict};
pub use key_store::{KeyStore, MasterKey};
pub use notes::Notes;
pub use disk::{DataDir, free_space};
pub use engine::Engine;
pub use fault::{Fault, LogId};
pub use ledger::{EngineKind, Follower, Ledger, LedgerConfig, Pending, Progress, Receipt, Rejection, open_engine};
#[cfg(feature = "testkit")]
pub use mem_engine::{Failure, MemDisk, MemEngine};
pub use redb_engine::RedbEngine;
#[cfg(feature = "sled")]
pub use sled_engine::SledEngine;
#[cfg(feature = "testkit")]
pub use source::SeededIds;
pub use source::{Clock, Ids, RandomIds};
pub use writer::Writer;
