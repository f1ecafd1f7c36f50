//! `/issuances/{jti}/explanation`: a recorded decision made again, by the server that made it.

use super::call::Call;
use super::read::{self, blocking, index_at};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::audit::{Surroundings, explain, withdrawn_by};
use std::sync::Arc;
use std::time::Duration;
use writ_core::{Index, Jti};
use writ_ledger::{IssuanceRecord, Outcome as Ended};

/// How long an explanation waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let (code, what) = ("issuance_unknown", "recorded issuance");
    let jti: Jti = call.id("jti", code, what)?;
    let as_of = read::position(&app, &call).await?;
    let found = blocking(&app, move |app| Ok(app.issuances.find(jti)?)).await?;
    // As of a position, what was decided later is not there yet.
    let found = found.filter(|record| as_of.is_none_or(|as_of| record.as_of <= as_of));
    let record = found.ok_or_else(|| Failure::unknown(code, what, call.param("jti")))?;
    let index = index_at(&app, record.as_of).await?;
    // So that tokens always find a sandbox, however many are explained.
    let turn = tokio::time::timeout(PATIENCE, app.previews.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Failure::Busy("too many previews ask policies"));
    };
    blocking(&app, move |app| explained(app, &record, &index)).await
}

fn explained(app: &App, record: &IssuanceRecord, index: &Index) -> Outcome {
    let withdrawn_by = match record.outcome {
        Ended::Granted => withdrawn_by(record.id, |from, visit| app.issuances.scan(from, visit))?,
        Ended::Denied { .. } | Ended::Fault { .. } => None,
    };
    let explanation = explain(
        record,
        index,
        &Surroundings {
            modules: &|judgement| {
                let prepared = app.policies.borrow(judgement);
                prepared.map_err(|fault| Arc::from(fault.to_string()))
            },
            engine: app.policies.engine(),
            issuer: Some(app.issuer.as_str()),
            withdrawn_by,
        },
    );
    Answer::json(&explanation).from(index)
}
