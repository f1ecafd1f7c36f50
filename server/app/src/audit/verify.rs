//! Verifying a data directory without its server, or an archive: the log against its checkpoints, and what lies
//! beside the log against the log.

use crate::bootstrap::{self, BootstrapError};
use crate::config::Config;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use writ_ledger::archive::ArchiveEngine;
use writ_ledger::note::{SignedCheckpoint, Vkey};
use writ_ledger::verify::{self, Beside, Finding, Report};
use writ_ledger::{Anchor, Checkpoints, DataDir, Engine, Fault, LogId};

/// What is held against the log besides what lies in its data directory.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
    /// Keys of the log, known from elsewhere. Without any the log's own word counts, which whoever
    /// rewrites it can change.
    pub vkeys: Vec<Vkey>,
    /// Witnesses: each must have signed one of the checkpoints at least.
    pub witnesses: Vec<Vkey>,
}

/// A checkpoint and what became of it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where it was found.
    pub place: PathBuf,
    /// What it says.
    pub signed: SignedCheckpoint,
    /// Whether a key that is trusted signed it.
    pub is_signed: bool,
    /// The witnesses that signed it, and when, in seconds since 1970.
    pub witnessed: Vec<(String, u64)>,
}

/// What verifying found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The log.
    pub log_id: LogId,
    /// The engine that keeps it.
    pub engine: &'static str,
    /// What was found in the log.
    pub report: Report,
    /// The checkpoints that were held against it.
    pub checkpoints: Vec<Checked>,
    /// Modules that are what the log says.
    pub modules: usize,
    /// Sealed issuance files that are what the log says.
    pub issuance_files: usize,
    /// Sealed issuance files that are past retention, or were left out of a copy.
    pub issuance_files_gone: usize,
    /// What is wrong, for people. Empty when nothing is.
    pub findings: Vec<String>,
}

/// What is verified.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    path: PathBuf,
    /// Its log.
    engine: Arc<dyn Engine>,
    /// Where its checkpoints are.
    checkpoints: Vec<PathBuf>,
    /// Holds the lock, where there is one.
    _data: Option<DataDir>,
}

impl Source {
    /// The data directory of a configuration. Takes its lock, so the server must be stopped.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn data_dir(config: &Config) -> Result<Self, VerifyError> {
        let (data, engine) = bootstrap::open_log(config)?;
        let own = Checkpoints::path(&data);
        let copy = config.checkpoint.copy_to.clone();
        Ok(Self {
            path: data.path().to_owned(),
            engine,
            checkpoints: [own].into_iter().chain(copy).collect(),
            _data: Some(data),
        })
    }

    /// An archive.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn archive(path: &Path) -> Result<Self, VerifyError> {
        Ok(Self {
            path: path.to_owned(),
            engine: Arc::new(ArchiveEngine::open(path)?),
            checkpoints: vec![path.join("checkpoint")],
            _data: None,
        })
    }

    /// Its log.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }
}

/// Verifies a log and what lies beside it; `heard` is told of how many events of how many were read.
///
/// # Errors
/// When it cannot be read at all.
pub fn verify(
    source: &Source,
    trust: &Trust,
    mut heard: impl FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    let engine = &source.engine;
    let places = source.checkpoints.iter().chain(&trust.checkpoints);
    let mut found = Vec::new();
    for place in places.cloned() {
        match Checkpoints::read(&place)? {
            Some(signed) => found.push((place, signed)),
            None if trust.checkpoints.contains(&place) => return Err(VerifyError::NotThere(place)),
            None => {}
        }
    }
    let anchors: Vec<Anchor> = found
        .iter()
        .map(|(place, signed)| Anchor::of(signed, place))
        .collect();
    let total = engine.head()?;
    let report = verify::verify(&**engine, &source.path, &anchors, |done| {
        heard(done, total);
    })?;
    let mut findings: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
    let checkpoints = signatures(&report, trust, found, &mut findings);
    let (mut modules, mut issuance_files, mut issuance_files_gone) = (0, 0, 0);
    for (position, named) in &report.named {
        match verify::beside(&source.path, engine.log_id(), named) {
            Beside::AsNamed => match named {
                verify::Named::Module(_) => modules += 1,
                verify::Named::Issuances { .. } => issuance_files += 1,
            },
            Beside::Gone => issuance_files_gone += 1,
            Beside::Differs(detail) => {
                let (position, what, name) = (*position, named.what(), named.name());
                let finding = Finding::Beside {
                    position,
                    what,
                    name,
                    detail,
                };
                findings.push(finding.to_string());
            }
        }
    }
    Ok(Verified {
        log_id: engine.log_id(),
        engine: engine.name(),
        report,
        checkpoints,
        modules,
        issuance_files,
        issuance_files_gone,
        findings,
    })
}

/// Who signed what.
fn signatures(
    report: &Report,
    trust: &Trust,
    found: Vec<(PathBuf, SignedCheckpoint)>,
    findings: &mut Vec<String>,
) -> Vec<Checked> {
    let own: Option<Vkey> = report.vkey.as_deref().and_then(|vkey| vkey.parse().ok());
    if found.is_empty() && report.vkey.is_some() {
        findings.push(
            "there is no checkpoint: nothing vouches for the end of the log; give one that was kept with --checkpoint"
                .to_owned(),
        );
    }
    if let Some(own) = &own
        && !trust.vkeys.is_empty()
        && !trust.vkeys.contains(own)
    {
        findings.push(format!(
            "the log names the key {own}, which is none of those that you trust"
        ));
    }
    let trusted: Vec<&Vkey> = match trust.vkeys.is_empty() {
        true => own.iter().collect(),
        false => trust.vkeys.iter().collect(),
    };
    let mut checked = Vec::new();
    for (place, signed) in found {
        let is_signed = trusted.iter().any(|vkey| signed.is_signed_by(vkey));
        if !is_signed {
            findings.push(format!(
                "{}: it is not signed by the log's key",
                place.display()
            ));
        }
        let witnessed = trust.witnesses.iter().filter_map(|witness| {
            let time = signed.note.verify(witness)?.time?;
            Some((witness.name().to_owned(), time))
        });
        checked.push(Checked {
            witnessed: witnessed.collect(),
            place,
            is_signed,
            signed,
        });
    }
    for witness in &trust.witnesses {
        let name = witness.name();
        let signed = |checked: &Checked| checked.witnessed.iter().any(|(by, _)| by == name);
        if !checked.iter().any(signed) {
            findings.push(format!("the witness {name} signed none of the checkpoints"));
        }
    }
    checked
}

/// Why a data directory cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A checkpoint that was asked for.
    #[error("there is no checkpoint at {}", .0.display())]
    NotThere(PathBuf),
    /// The data directory.
    #[error(transparent)]
    Disk(#[from] Fault),
    /// The configuration.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}
