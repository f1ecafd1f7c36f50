//! An explanation as the admin API and the command line have it.

use super::{Replayed, Surroundings, recorded_of};
use crate::admin::{grant_view, judgement_view};
use crate::audit::again;
use serde_json::{Value, json};
use writ_api as api;
use writ_core::codec::hex;
use writ_core::{Entitled, Index, KeyState, PolicyBinding, PolicyMode, SigningKey};
use writ_ledger::{IssuanceRecord, Outcome, PolicyRecord};

#[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
pub(super) fn explanation(
    record: &IssuanceRecord,
    index: &Index,
    with: &Surroundings<'_>,
    again: &Replayed,
    rebuilt: &IssuanceRecord,
    verdict: api::ExplanationVerdict,
    differences: Vec<api::RecordDifference>,
    remarks: Vec<String>,
) -> api::Explanation {
    let (outcome, reason) = match &record.outcome {
        Outcome::Granted => ("granted", None),
        Outcome::Denied { reason } => ("denied", Some(reason.to_string())),
        Outcome::Fault { reason } => ("fault", Some(reason.to_string())),
    };
    let made = again.made();
    let denial = match &again.again {
        Some(Err(denial)) => Some(denial.to_string()),
        _ => None,
    };
    let policies = made.map(|made| &made.entitled.bindings[..]);
    let policies = policies.unwrap_or_default().iter();
    let application = index.application(record.application);
    let granted = record.granted.iter().map(ToString::to_string);
    api::Explanation {
        id: record.id.to_string(),
        verdict,
        differences,
        remarks,
        outcome: outcome.to_owned(),
        reason,
        withdrawn_by: with.withdrawn_by.map(|by| by.to_string()),
        at: record.at.to_string(),
        clock: again::clock(record).to_string(),
        as_of: record.as_of.0,
        as_of_time: index.last_at().to_string(),
        application: api::ExplainedApplication {
            id: record.application.to_string(),
            name: application.map(|application| application.name.to_string()),
        },
        credential: credential(record, index),
        asked: (!record.asked.is_empty()).then(|| strings(&record.asked)),
        resources: strings(&record.resources),
        grants: application.map_or_else(Vec::new, |application| {
            let grants = application.grants();
            let shown = grants.filter_map(|grant| grant_view(index, application, &grant));
            shown.collect()
        }),
        roles: application.map_or_else(Vec::new, |application| {
            let roles = application.roles.iter().filter_map(|id| index.role(*id));
            roles.map(|role| role.name.to_string()).collect()
        }),
        entitled: made.map(|made| entitled(&made.entitled)),
        denial,
        question: made.and_then(|made| {
            let hearing = made.hearing.as_ref()?;
            Some(api::ExplainedQuestion {
                question: serde_json::to_value(&hearing.question).unwrap_or_default(),
                digest_recorded: record.input.as_deref().map(str::to_owned),
                digest_now: hex(&hearing.input),
            })
        }),
        policies: policies
            .map(|binding| policy(record, rebuilt, index, again, binding))
            .collect(),
        terms: made.and_then(|made| {
            let terms = made.terms.as_ref().ok()?;
            Some(api::ExplainedTerms {
                scopes: terms.scopes.iter().map(ToString::to_string).collect(),
                audience: terms.audience.iter().map(ToString::to_string).collect(),
                lifetime_seconds: terms.lifetime_seconds,
                claims: terms.claims.clone(),
            })
        }),
        granted: granted.collect(),
        expires_at: record.exp.map(|at| at.to_string()),
        key: record.kid.as_ref().map(|kid| api::ExplainedKey {
            kid: kid.to_string(),
            algorithm: record.alg.map(|alg| alg.to_string()).unwrap_or_default(),
            state: index
                .key(kid.as_str())
                .map_or("unknown", |key| key_state(key))
                .to_owned(),
        }),
        engine: (record.engine.is_some() || again.is_judged()).then(|| api::ExplainedEngine {
            recorded: record.engine.as_deref().map(str::to_owned),
            now: with.engine.to_owned(),
        }),
    }
}

fn strings(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn credential(record: &IssuanceRecord, index: &Index) -> api::ExplainedCredential {
    let application = index.application(record.application);
    let secrets = application.map(|application| &application.secrets[..]);
    let secret = secrets
        .unwrap_or_default()
        .iter()
        .find(|secret| *secret.id.to_string() == *record.credential.id);
    api::ExplainedCredential {
        method: record.credential.method.to_string(),
        id: record.credential.id.to_string(),
        created_at: secret.map(|secret| secret.created_at.to_string()),
        expires_at: secret.and_then(|secret| Some(secret.expires_at?.to_string())),
    }
}

fn entitled(entitled: &Entitled) -> api::ExplainedTerms {
    api::ExplainedTerms {
        scopes: entitled.scopes.iter().map(ToString::to_string).collect(),
        audience: entitled.audience.iter().map(ToString::to_string).collect(),
        lifetime_seconds: entitled.lifetime_seconds,
        claims: serde_json::Map::new(),
    }
}

fn policy(
    record: &IssuanceRecord,
    rebuilt: &IssuanceRecord,
    index: &Index,
    again: &Replayed,
    binding: &PolicyBinding,
) -> api::ExplainedPolicy {
    let id = binding.id.to_string();
    let then = recorded_of(record, binding);
    let now = recorded_of(rebuilt, binding);
    let not_asked = again
        .missing
        .get(&id)
        .map(ToString::to_string)
        .or_else(|| again.taken.get(&id).cloned());
    api::ExplainedPolicy {
        target: binding.target.to_string(),
        shadow: binding.mode == PolicyMode::Shadow,
        judgement: judgement_view(index, &binding.judgement),
        equal: then == now,
        recorded: then.map(answer),
        now: now.filter(|_| not_asked.is_none()).map(answer),
        not_asked,
        binding: id,
    }
}

/// What a policy said, as it is recorded.
fn answer(record: &PolicyRecord) -> Value {
    json!({ "verdict": record.verdict, "notes": record.notes, "fuel": record.fuel })
}

/// Where a key is in its life, as a word.
pub(super) fn key_state(key: &SigningKey) -> &'static str {
    match key.state {
        KeyState::Published => "published",
        KeyState::Active { .. } => "active",
        KeyState::Retired { .. } => "retired",
        KeyState::Revoked => "revoked",
    }
}
