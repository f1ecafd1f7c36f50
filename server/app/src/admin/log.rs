//! `/log`: what the log is, signed, and proofs about it in the formats of C2SP.

use super::call::Call;
use super::query::number;
use super::read::{self, blocking};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::audit::index_digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use writ_api as api;
use writ_core::Position;
use writ_core::codec::hex;
use writ_ledger::Fault;
use writ_ledger::merkle::ProofError;
use writ_ledger::note;

pub(super) async fn checkpoint(app: Arc<App>, _call: Call) -> Outcome {
    let signed = blocking(&app, |app| Ok(app.checkpoints.sign(&app.ledger)?)).await?;
    let answer = api::LogCheckpoint {
        log_id: app.ledger.log_id().to_string(),
        vkey: app.checkpoints.vkey().to_string(),
        size: signed.checkpoint.size,
        root: hex(&signed.checkpoint.root),
        checkpoint: signed.to_string(),
    };
    Answer::json(&answer).at(last(answer.size))
}

pub(super) async fn proof(app: Arc<App>, call: Call) -> Outcome {
    let position = wanted(&call, "position")?;
    let answer = blocking(&app, move |app| {
        let signed = app.checkpoints.sign(&app.ledger)?;
        let size = signed.checkpoint.size;
        let path = app.ledger.inclusion(Position(position), size);
        let proof = note::LogProof {
            index: position,
            path: path.map_err(unprovable)?,
            checkpoint: (*signed).clone(),
        };
        let event = app.ledger.read_events(Position(position), 1)?;
        let event = event.into_iter().next().map(|(_, bytes)| bytes);
        // Stored events are JSON, and so text.
        let event = event.and_then(|bytes| String::from_utf8(bytes).ok());
        let answer = api::LogProof {
            position,
            event: event.ok_or(Failure::Internal)?,
            proof: proof.to_string(),
        };
        Ok((answer, size))
    })
    .await?;
    Answer::json(&answer.0).at(last(answer.1))
}

pub(super) async fn consistency(app: Arc<App>, call: Call) -> Outcome {
    let old_size = wanted(&call, "old_size")?;
    let (answer, size) = blocking(&app, move |app| {
        let signed = app.checkpoints.sign(&app.ledger)?;
        let size = signed.checkpoint.size;
        let hashes = app.ledger.consistency(old_size, size).map_err(unprovable)?;
        let answer = api::LogConsistency {
            old_size,
            hashes: hashes.iter().map(|hash| STANDARD.encode(hash)).collect(),
            checkpoint: signed.to_string(),
        };
        Ok((answer, size))
    })
    .await?;
    Answer::json(&answer).at(last(size))
}

pub(super) async fn index(app: Arc<App>, call: Call) -> Outcome {
    let index = read::index(&app, &call).await?;
    // All of a large index takes seconds.
    let _turn = read::turn(&app.scans).await?;
    let of = Arc::clone(&index);
    let digest = blocking(&app, move |_| Ok(index_digest(&of))).await?;
    let answer = api::IndexDigest {
        position: index.head().unwrap_or_default().0,
        digest: hex(&digest),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Answer::json(&answer).from(&index)
}

/// The position of the last of so many events.
fn last(size: u64) -> Position {
    Position(size.saturating_sub(1))
}

fn wanted(call: &Call, name: &'static str) -> Result<u64, Failure> {
    call.query(name).and_then(number).ok_or_else(|| {
        Failure::malformed(
            "query_malformed",
            format!("the query parameter {name} must be there, and be a number"),
        )
    })
}

fn unprovable(error: ProofError<Fault>) -> Failure {
    match error {
        ProofError::Leaves(fault) => fault.into(),
        ProofError::OutOfRange { size } => Failure::malformed(
            "position_unknown",
            format!("the log has {size} events, at positions from 0"),
        ),
    }
}
