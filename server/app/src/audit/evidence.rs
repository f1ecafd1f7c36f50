//! What an audit reads when no server runs, or in an archive: the admin log, the modules of policies, the records of
//! issuances.

use super::Modules;
use crate::bootstrap::{self, BootstrapError};
use crate::config::Config;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use writ_core::{Index, Position};
use writ_ledger::archive::ArchiveEngine;
use writ_ledger::{Blobs, DataDir, Engine, Fault, IssuanceReader, open_engine, replay_to};
use writ_sandbox::{SandboxConfig, SandboxError};

/// Why there is no evidence to be had.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A server runs on the data directory.
    #[error(
        "the data directory {0} is in use: a server runs on it, most likely. Ask it by leaving out \
         --data-dir, or stop it first, or audit a copy"
    )]
    InUse(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] BootstrapError),
    /// The disk.
    #[error(transparent)]
    Disk(Fault),
    /// The sandbox.
    #[error("policies cannot be run: {0}")]
    Sandbox(#[from] SandboxError),
}

impl From<Fault> for EvidenceError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::InUse { path } => Self::InUse(path.display().to_string()),
            fault => Self::Disk(fault),
        }
    }
}

/// What an audit reads. Nothing in it is changed, but that the engine of the admin log repairs what a
/// crash left, as the next start would.
#[derive(Debug)]
pub struct Evidence {
    log: Arc<dyn Engine>,
    issuances: IssuanceReader,
    modules: Modules,
    /// Holds the lock, where there is one.
    _data: Option<DataDir>,
}

impl Evidence {
    /// That of a data directory whose server is stopped.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub fn open(config: &Config, sandbox: SandboxConfig) -> Result<Self, EvidenceError> {
        let data = DataDir::open(&config.data_dir)?;
        let log = open_engine(&data, bootstrap::engine_kind(config)?, None)?;
        let issuances = IssuanceReader::open(&data.join("issuance"), log.log_id())?;
        let modules = Modules::new(Blobs::in_directory(data.join("blobs")), sandbox)?;
        Ok(Self {
            _data: Some(data),
            ..Self::new(log, issuances, modules)
        })
    }

    /// That of an archive.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub fn archive(path: &Path, sandbox: SandboxConfig) -> Result<Self, EvidenceError> {
        let log: Arc<dyn Engine> = Arc::new(ArchiveEngine::open(path)?);
        let issuances = IssuanceReader::open(&path.join("issuance"), log.log_id())?;
        let modules = Modules::new(Blobs::in_directory(path.join("blobs")), sandbox)?;
        Ok(Self::new(log, issuances, modules))
    }

    /// That of parts that somebody else opened.
    #[must_use]
    pub fn new(log: Arc<dyn Engine>, issuances: IssuanceReader, modules: Modules) -> Self {
        Self {
            log,
            issuances,
            modules,
            _data: None,
        }
    }

    /// The records of issuances.
    #[must_use]
    pub fn issuances(&self) -> &IssuanceReader {
        &self.issuances
    }

    /// The policies.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The admin log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Engine> {
        &self.log
    }

    /// A walk along the log, from its beginning.
    #[must_use]
    pub fn walk(&self) -> Walk {
        Walk {
            log: Arc::clone(&self.log),
            index: Arc::default(),
            passed: VecDeque::new(),
        }
    }
}

/// How many versions are kept behind, for records that are a little out of order.
const KEPT_BEHIND: usize = 32;

/// A walk along the log: the index as of one position after the other. Going forward costs the events
/// in between; going back a little costs nothing, and going back far a replay from the beginning.
#[derive(Debug)]
pub struct Walk {
    log: Arc<dyn Engine>,
    index: Arc<Index>,
    /// Where the walk stood before, oldest first. They share all that did not change.
    passed: VecDeque<Arc<Index>>,
}

impl Walk {
    /// The index as of a position.
    ///
    /// # Errors
    /// When the log cannot be read, or ends before.
    pub fn index_at(&mut self, position: Position) -> Result<Arc<Index>, Fault> {
        let wanted = position.0.saturating_add(1);
        if self.index.next_position().0 == wanted {
            return Ok(Arc::clone(&self.index));
        }
        if self.index.next_position().0 < wanted {
            let mut next = Index::clone(&self.index);
            replay_to(&*self.log, &mut next, position)?;
            if self.passed.len() >= KEPT_BEHIND {
                self.passed.pop_front();
            }
            let before = std::mem::replace(&mut self.index, Arc::new(next));
            self.passed.push_back(before);
            return Ok(Arc::clone(&self.index));
        }
        let before = self
            .passed
            .iter()
            .rfind(|index| index.next_position().0 <= wanted);
        let mut index = before.map(|index| Index::clone(index)).unwrap_or_default();
        replay_to(&*self.log, &mut index, position)?;
        Ok(Arc::new(index))
    }
}
