//! One recorded decision, made again: what was asked is in the record, what it rested on in the index
//! as of its position, and the policies are the recorded modules. No clock is looked at.

use crate::authorization_details::AuthorizationDetails;
use crate::issue::GrantType;
use crate::issue::exchange::with_subject;
use crate::issue::facts::{Fact, Facts};
use crate::issue::panel::{self, Hearing, Objection, Question, Terms};
use crate::policies::Prepared;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::Arc;
use writ_core::codec::hex;
use writ_core::{
    Ask, Binds, Denial, Entitled, Index, Millis, PolicyBinding, authorize, authorize_exchange,
};
use writ_ledger::{IssuanceRecord, Outcome, PolicyRecord};
use writ_sandbox::{Evaluation, Request};

/// What stands in a record where something was asked that is no name, or that looks like a secret.
pub(super) const REDACTED: &str = "[redacted]";

/// What was asked, as far as the record has it.
#[derive(Debug)]
pub(super) struct Asked {
    scope: Option<String>,
    resources: Vec<Box<str>>,
    details: Vec<Box<str>>,
    /// Something of it was not kept.
    pub redacted: bool,
}

impl Asked {
    /// Reads it from a record. What was not kept is read as a name that nothing has; or as no name,
    /// where the record says that there was one that is none.
    pub fn of(record: &IssuanceRecord) -> Self {
        let all = record.asked.iter().chain(&record.resources);
        let all = all.chain(&record.details_types);
        let fitting = AuthorizationDetails::of_record(&record.authorization_details);
        let types = |details: AuthorizationDetails| {
            let types = details.types().into_iter();
            types.map(Into::into).collect()
        };
        let malformed =
            matches!(&record.outcome, Outcome::Denied { reason } if **reason == *"scope_malformed");
        let scopes = record.asked.iter().map(|text| match &**text {
            REDACTED if malformed => "",
            text => text,
        });
        let scopes: Vec<&str> = scopes.collect();
        Self {
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            resources: record.resources.clone(),
            details: fitting.map_or_else(|| record.details_types.clone(), types),
            redacted: all.into_iter().any(|text| **text == *REDACTED),
        }
    }
}

/// The facts about a request that its record has.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordedFacts {
    user_agent: Option<String>,
    pub ip: Option<IpAddr>,
    client_cert: Option<[u8; 32]>,
    details: Option<AuthorizationDetails>,
}

impl RecordedFacts {
    /// Reads them. A value of another kind is none: what is made of the facts is compared.
    pub fn of(record: &IssuanceRecord) -> Self {
        let text = |fact: Fact| {
            let attributes = record.attributes.as_ref()?;
            attributes.get(fact.name()).and_then(Value::as_str)
        };
        let digest = text(Fact::TlsClientCertSha256);
        Self {
            user_agent: text(Fact::HttpUserAgent).map(str::to_owned),
            ip: text(Fact::NetIp).and_then(|ip| ip.parse().ok()),
            client_cert: digest
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                .and_then(|bytes| bytes.try_into().ok()),
            details: AuthorizationDetails::of_record(&record.authorization_details),
        }
    }

    fn facts<'a>(&'a self, record: &'a IssuanceRecord) -> Facts<'a> {
        let exchanged = record.exchanged.as_ref();
        Facts {
            auth_method: Some(&record.credential.method),
            auth_token: record.credential.token.as_ref(),
            exchange_actors: exchanged.map_or(&[], |token| &token.actors),
            user_agent: self.user_agent.as_deref(),
            ip: self.ip,
            client_cert: self.client_cert,
            authorization_details: self.details.as_ref().map(AuthorizationDetails::json),
        }
    }
}

/// The clock at the moment of a decision: that of its id, unless the record says another.
pub(super) fn clock(record: &IssuanceRecord) -> Millis {
    record.clock.unwrap_or(record.id.millis())
}

/// How often a policy is asked that the server itself could not ask: the machine may be busy.
const TRIES: usize = 5;

/// Asks a policy, and again where it gave no answer by no fault of its own.
pub(super) fn ask(prepared: &Prepared, request: &Request) -> Evaluation {
    let evaluate = || prepared.policy.evaluate(request, &prepared.settings);
    let mut evaluation = evaluate();
    for _ in 1..TRIES {
        if !matches!(&evaluation.result, Err(trouble) if trouble.is_servers()) {
            break;
        }
        evaluation = evaluate();
    }
    evaluation
}

/// How a decision is made again.
pub(super) struct Asking<'a, R, A> {
    pub facts: &'a RecordedFacts,
    pub issuer: &'a str,
    /// Has the policies that can be asked.
    pub ready: R,
    /// Asks one.
    pub ask: A,
}

/// A decision that was made again.
#[derive(Debug)]
pub(super) struct Again {
    pub entitled: Entitled,
    /// What policies were asked and said; nothing where none judges.
    pub hearing: Option<Hearing>,
    /// What they said, as it is recorded.
    pub policies: Vec<PolicyRecord>,
    pub terms: Result<Terms, Objection>,
}

/// What an index entitles the application of a record to, asked as recorded.
///
/// # Errors
/// The index does not allow it.
pub(super) fn entitle(
    record: &IssuanceRecord,
    index: &Index,
    asked: &Asked,
) -> Result<Entitled, Denial> {
    let resources: Vec<&str> = asked.resources.iter().map(AsRef::as_ref).collect();
    let details: Vec<&str> = asked.details.iter().map(AsRef::as_ref).collect();
    let ask = Ask {
        scope: asked.scope.as_deref(),
        resources: &resources,
        details: &details,
        binds: Binds {
            dpop: record.held.jkt.is_some(),
            certificate: record.held.x5t_s256.is_some(),
        },
    };
    match &record.exchanged {
        Some(token) => with_subject(token, |token| {
            authorize_exchange(index, record.application, ask, token)
        }),
        None => authorize(index, record.application, ask),
    }
}

/// Has the policies judge an entitlement again, as the token path did (`issue.rs`).
pub(super) fn judge<R, A>(
    record: &IssuanceRecord,
    entitled: Entitled,
    asking: &Asking<'_, R, A>,
) -> Again
where
    R: Fn(&PolicyBinding) -> Option<Arc<Prepared>>,
    A: Fn(&PolicyBinding, &Prepared, &Request) -> Evaluation,
{
    if entitled.bindings.is_empty() {
        let terms = Terms {
            scopes: entitled.scopes.clone(),
            audience: entitled.audience.clone(),
            lifetime_seconds: entitled.lifetime_seconds,
            claims: Map::new(),
        };
        return Again {
            entitled,
            hearing: None,
            policies: Vec::new(),
            terms: Ok(terms),
        };
    }
    let question = Question {
        entitled: &entitled,
        id: record.id,
        at: clock(record),
        grant_type: GrantType::of_record(record.grant_type.as_deref()).as_str(),
        facts: asking.facts.facts(record),
        issuer: asking.issuer,
    };
    let hearing = panel::hear_by(&asking.ready, &asking.ask, &question);
    let (policies, terms) = panel::conclude(&entitled, &hearing.opinions);
    Again {
        entitled,
        hearing: Some(hearing),
        policies,
        terms,
    }
}

/// The record that a decision made again would have: as the recorded one in what was asked and by
/// whom, and what came of it now in the rest.
pub(super) fn rebuilt(
    record: &IssuanceRecord,
    again: &Result<Again, Denial>,
    engine: &str,
) -> IssuanceRecord {
    let nothing = IssuanceRecord {
        at: record.id.millis(),
        granted: Vec::new(),
        policies: Vec::new(),
        input: None,
        attributes: None,
        engine: None,
        kid: None,
        alg: None,
        binding: None,
        exp: None,
        ..record.clone()
    };
    let again = match again {
        Err(denial) => {
            let reason = denial.code().into();
            return IssuanceRecord {
                outcome: Outcome::Denied { reason },
                ..nothing
            };
        }
        Ok(again) => again,
    };
    let attributes = again.hearing.as_ref().map(Hearing::recorded_attributes);
    // Which engine it was is no answer of a policy: it is told beside, not compared.
    let engine = || record.engine.clone().unwrap_or_else(|| engine.into());
    let judged = IssuanceRecord {
        policies: again.policies.clone(),
        input: again
            .hearing
            .as_ref()
            .map(|hearing| hex(&hearing.input).into()),
        attributes: attributes.filter(|attributes| !attributes.is_empty()),
        engine: again.hearing.as_ref().map(|_| engine()),
        ..nothing
    };
    match &again.terms {
        Ok(terms) => IssuanceRecord {
            granted: terms.scopes.clone(),
            kid: record.kid.clone(),
            alg: Some(again.entitled.algorithm),
            binding: again.entitled.binding,
            exp: Some(expiry(record, terms)),
            outcome: Outcome::Granted,
            ..judged
        },
        Err(objection) => {
            let reason = objection.code().into();
            let outcome = match objection.is_denial() {
                true => Outcome::Denied { reason },
                false => Outcome::Fault { reason },
            };
            IssuanceRecord { outcome, ..judged }
        }
    }
}

/// When a token with these terms expires: whole seconds, as its claims have them.
fn expiry(record: &IssuanceRecord, terms: &Terms) -> Millis {
    Millis(clock(record).seconds() * 1000).plus_seconds(terms.lifetime_seconds.into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_proved_the_application_and_who_acted_is_known_from_the_record() {
        let record = r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000004",
            "at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007",
            "credential":{"method":"workload_identity","id":"ci",
                "token":{"issuer":"https://ci.example","subject":"repo:acme/app"}},
            "exchanged":{"jti":"019ab9e5-7c43-7000-8000-000000000009",
                "subject":"00000000000000000000000008","audience":[],"remaining_seconds":60,
                "actors":["00000000000000000000000009"]},
            "as_of":41,"outcome":"granted"}"#;
        let record: IssuanceRecord = serde_json::from_str(record).unwrap();
        let recorded = RecordedFacts::of(&record);
        let elsewhere = Fact::ALL.iter().copied();
        let elsewhere: Vec<Fact> = elsewhere
            .filter(|fact| fact.is_recorded_elsewhere() && !fact.name().starts_with("time."))
            .collect();
        let facts = recorded.facts(&record);
        let values = facts.attributes(&elsewhere, Millis(0));
        let values: Vec<String> = values
            .iter()
            .map(|named| format!("{:?}", named.value))
            .collect();
        assert_eq!(
            values,
            [
                r#"Text("workload_identity")"#,
                r#"Text("https://ci.example")"#,
                r#"Text("repo:acme/app")"#,
                r#"Texts(["00000000000000000000000009"])"#,
            ]
        );
    }
}
