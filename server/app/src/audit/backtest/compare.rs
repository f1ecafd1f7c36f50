//! One recorded decision against the one that would have been made.

use crate::audit::again::{Again, clock};
use crate::issue::is_by_rules;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use writ_core::Denial;
use writ_ledger::{IssuanceRecord, Outcome as Recorded, PolicyRecord, Verdict};

/// What would have become of a decision. Of several, the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// There was a token, and there would be none.
    Denied,
    /// There was no token, and there would be one.
    Allowed,
    /// A scope more.
    Widened,
    /// A scope less.
    Narrowed,
    /// It would live longer.
    Lengthened,
    /// It would live shorter.
    Shortened,
    /// Other claims.
    ClaimsChanged,
    /// Nothing.
    Unchanged,
    /// It cannot be known.
    NotJudged,
}

/// How a decision ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The scopes of the token; nothing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How long it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// The claims that policies add.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the policies say that deny it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Value>,
}

/// A decision that would have been another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub at: String,
    /// The application.
    pub application: String,
    /// What it comes to.
    pub effect: Effect,
    /// As recorded.
    pub recorded: Outcome,
    /// As it would be; nothing where that cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Outcome>,
    /// Why it cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
}

/// How a recorded decision ended; nothing where that was not by the rules, but by some trouble.
pub(super) fn recorded(record: &IssuanceRecord) -> Option<Outcome> {
    let by_rules = ["policy_fault", "policies_disagree", "policies_say_too_much"];
    match &record.outcome {
        Recorded::Granted => Some(Outcome {
            scopes: Some(record.granted.iter().map(ToString::to_string).collect()),
            lifetime_seconds: record
                .exp
                .map(|exp| exp.seconds().saturating_sub(clock(record).seconds())),
            claims: claims(&record.policies),
            ..Outcome::default()
        }),
        Recorded::Denied { reason } if !is_by_rules(reason) => None,
        Recorded::Fault { reason } if !by_rules.contains(&&**reason) => None,
        Recorded::Denied { reason } | Recorded::Fault { reason } => Some(Outcome {
            reason: Some(reason.to_string()),
            policies: objections(&record.policies),
            ..Outcome::default()
        }),
    }
}

/// How a decision would end.
pub(super) fn now(again: &Result<Again, Denial>) -> Outcome {
    let denied = |reason: &str, policies| Outcome {
        reason: Some(reason.to_owned()),
        policies,
        ..Outcome::default()
    };
    match again {
        Err(denial) => denied(denial.code(), Vec::new()),
        Ok(again) => match &again.terms {
            Err(objection) => denied(objection.code(), objections(&again.policies)),
            Ok(terms) => Outcome {
                scopes: Some(terms.scopes.iter().map(ToString::to_string).collect()),
                lifetime_seconds: Some(terms.lifetime_seconds.into()),
                claims: terms.claims.clone(),
                ..Outcome::default()
            },
        },
    }
}

/// What one becomes the other by.
pub(super) fn effect(then: &Outcome, now: &Outcome) -> Effect {
    let (before, after) = match (&then.scopes, &now.scopes) {
        (Some(_), None) => return Effect::Denied,
        (None, Some(_)) => return Effect::Allowed,
        (None, None) => return Effect::Unchanged,
        (Some(before), Some(after)) => (before, after),
    };
    let set = |scopes: &Vec<String>| scopes.iter().cloned().collect::<BTreeSet<String>>();
    let (before, after) = (set(before), set(after));
    if !after.is_subset(&before) {
        Effect::Widened
    } else if before != after {
        Effect::Narrowed
    } else if now.lifetime_seconds > then.lifetime_seconds {
        Effect::Lengthened
    } else if now.lifetime_seconds < then.lifetime_seconds {
        Effect::Shortened
    } else if now.claims != then.claims {
        Effect::ClaimsChanged
    } else {
        Effect::Unchanged
    }
}

/// The claims of a token by what its policies are recorded to have said: they agreed.
fn claims(policies: &[PolicyRecord]) -> Map<String, Value> {
    let obeyed = policies.iter().filter(|policy| !policy.shadow);
    let claims = obeyed.filter_map(|policy| match &policy.verdict {
        Verdict::Permit { claims, .. } => claims.clone(),
        Verdict::Deny { .. } | Verdict::Fault { .. } => None,
    });
    let claims = claims.flatten();
    claims
        .map(|(name, value)| (name, as_claim(value)))
        .collect()
}

/// What is recorded as `{"json": "…"}` stands in a token as it is.
fn as_claim(value: Value) -> Value {
    let text = value.get("json").and_then(Value::as_str);
    let nested = text.and_then(|text| serde_json::from_str(text).ok());
    nested.unwrap_or(value)
}

/// The answers that leave no token.
fn objections(policies: &[PolicyRecord]) -> Vec<Value> {
    let counting = policies.iter().filter(|policy| !policy.shadow);
    let objecting = counting.filter(|policy| !matches!(policy.verdict, Verdict::Permit { .. }));
    objecting
        .filter_map(|policy| serde_json::to_value(policy).ok())
        .collect()
}
