//! The policies that judge one token, and what their answers come to together. All see the same
//! entitlement and none sees another's answer, so the order in which they are asked changes nothing
//! but the order in the record.

use super::facts::{Fact, Facts};
use crate::policies::Prepared;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use writ_core::{Entitled, Jti, Judgement, Millis, PolicyBinding, PolicyMode, ScopeName};
use writ_ledger::{PolicyNote, PolicyRecord, Verdict};
use writ_sandbox::{
    Api, Application, Decision, Evaluation, Grant, Named, Outcome, Request, Subject, Trouble, Value,
};

/// All claims that policies add to one token, as JSON, in bytes.
const CLAIMS_BYTES: usize = 8 * 1024;
/// All verdicts of one issuance, as they are recorded, in bytes: the rest of a record fits beside.
const RECORD_BYTES: usize = 24 * 1024;
/// When the policies of one token have used so much fuel, some milliseconds of a processor, no more
/// are asked: the thread that asks them serves others too. Honest policies use a hundredth each.
const FUEL_PER_TOKEN: u64 = 4 * writ_sandbox::FUEL;

/// What the policies are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The most that can be granted.
    pub entitled: &'a Entitled,
    /// The id that the token would have.
    pub id: Jti,
    /// The clock.
    pub at: Millis,
    /// As in the token request.
    pub grant_type: &'a str,
    /// What is known about the request.
    pub facts: Facts<'a>,
    /// The issuer.
    pub issuer: &'a str,
}

/// What one policy answered.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// What brought it in.
    pub binding: Arc<PolicyBinding>,
    /// Its answer, within what its binding permits, or why there is none.
    pub answer: Result<Outcome, Trouble>,
    /// The fuel it used.
    pub fuel: u64,
    /// How long it took.
    pub micros: u32,
}

/// What the policies answered, and were asked.
#[derive(Debug)]
pub struct Hearing {
    /// In the order in which they were asked.
    pub opinions: Vec<Opinion>,
    /// What they were asked, with all attributes that any of them reads.
    pub question: Request,
    /// SHA-256 of the question.
    pub input: [u8; 32],
}

impl Hearing {
    /// The attributes that are recorded: nothing else says them.
    #[must_use]
    pub fn recorded_attributes(&self) -> Map<String, Json> {
        let elsewhere = |named: &&Named| {
            let mut facts = Fact::ALL.iter();
            facts.any(|fact| fact.name() == named.name && fact.is_recorded_elsewhere())
        };
        let attributes = self.question.attributes.iter();
        recorded_map(attributes.filter(|named| !elsewhere(named)))
    }
}

/// What all policies together leave of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The scopes that all of them leave, sorted.
    pub scopes: Vec<ScopeName>,
    /// The values of `aud`.
    pub audience: Vec<Arc<str>>,
    /// The shortest lifetime, in seconds.
    pub lifetime_seconds: u32,
    /// The claims that they add, by name.
    pub claims: Map<String, Json>,
}

/// Why there is no token after all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// A policy denies; this is what it wants the application to know.
    #[error("{}", .0.as_deref().unwrap_or("a policy denies this token"))]
    Denied(Option<String>),
    /// A policy gave no answer, or none that counts.
    #[error("a policy denies this token")]
    Faulty,
    /// Two policies set one claim differently.
    #[error("a policy denies this token")]
    Disagreement,
    /// Each policy leaves something, and all together nothing.
    #[error("the policies leave nothing of what was asked for")]
    NothingLeft,
    /// They say more than a token or a record holds.
    #[error("a policy denies this token")]
    TooMuch,
    /// One could not be asked: the server's trouble.
    #[error("a policy could not be asked")]
    Unavailable,
}

impl Objection {
    /// The reason as a stable word.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "policy_denied",
            Self::Faulty => "policy_fault",
            Self::Disagreement => "policies_disagree",
            Self::NothingLeft => "policies_leave_nothing",
            Self::TooMuch => "policies_say_too_much",
            Self::Unavailable => "policy_unavailable",
        }
    }

    /// Whether it is a no, and not something that did not work.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NothingLeft)
    }
}

/// What is said of a policy that was not ready when it was to be asked.
pub const NOT_READY: &str = "the policy is not ready";

/// Asks every policy that judges the entitlement, each in a fresh sandbox. `ready` has those that can
/// be asked.
#[must_use]
pub fn hear(
    ready: impl Fn(&Judgement) -> Option<Arc<Prepared>>,
    question: &Question<'_>,
) -> Hearing {
    hear_by(
        |binding| ready(&binding.judgement),
        |_, prepared, request| prepared.policy.evaluate(request, &prepared.settings),
        question,
    )
}

/// As [`hear`], with the way of asking a policy: what was answered once can be taken as it was.
#[must_use]
pub fn hear_by(
    ready: impl Fn(&PolicyBinding) -> Option<Arc<Prepared>>,
    ask: impl Fn(&PolicyBinding, &Prepared, &Request) -> Evaluation,
    question: &Question<'_>,
) -> Hearing {
    let bindings = &question.entitled.bindings;
    let prepared: Vec<_> = bindings.iter().map(|binding| ready(binding)).collect();
    let mut request = request(question, &wanted(prepared.iter().flatten()));
    let input = request.digest();
    let all = std::mem::take(&mut request.attributes);
    let mut opinions = Vec::with_capacity(bindings.len());
    // Apart for those that are obeyed and the shadows: a shadow takes nothing from anybody.
    let (mut spent, mut spent_by_shadows) = (0u64, 0u64);
    for (binding, prepared) in bindings.iter().zip(&prepared) {
        let spent = match binding.mode {
            PolicyMode::Enforce => &mut spent,
            PolicyMode::Shadow => &mut spent_by_shadows,
        };
        let evaluation = match prepared {
            None => not_asked(Trouble::Sandbox {
                reason: NOT_READY.to_owned(),
            }),
            Some(_) if *spent >= FUEL_PER_TOKEN => not_asked(Trouble::OutOfFuel),
            Some(prepared) => {
                let reads =
                    |named: &&Named| prepared.reads.iter().any(|fact| fact.name() == named.name);
                request.attributes = all.iter().filter(reads).cloned().collect();
                ask(binding, prepared, &request)
            }
        };
        *spent = spent.saturating_add(evaluation.fuel);
        opinions.push(Opinion {
            answer: evaluation
                .result
                .and_then(|outcome| permitted(outcome, binding)),
            binding: Arc::clone(binding),
            fuel: evaluation.fuel,
            micros: evaluation.micros,
        });
    }
    Hearing {
        opinions,
        question: Request {
            attributes: all,
            ..request
        },
        input,
    }
}

fn not_asked(trouble: Trouble) -> Evaluation {
    Evaluation {
        result: Err(trouble),
        fuel: 0,
        micros: 0,
    }
}

/// The facts that any of these policies reads, sorted.
fn wanted<'a>(prepared: impl Iterator<Item = &'a Arc<Prepared>>) -> Vec<Fact> {
    let mut wanted: Vec<Fact> = prepared
        .flat_map(|prepared| prepared.reads.iter().copied())
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// The question as policies get it, with these facts.
fn request(question: &Question<'_>, wanted: &[Fact]) -> Request {
    let entitled = question.entitled;
    let application = &entitled.application;
    let text = |text: &str| Value::Text(text.to_owned());
    let labels = application.labels().pairs().iter();
    let mut apis: Vec<Api> = entitled
        .apis
        .iter()
        .map(|api| Api {
            id: api.id.to_string(),
            identifier: api.identifier.to_string(),
            labels: Vec::new(),
        })
        .collect();
    apis.sort_unstable_by(|a, b| a.identifier.cmp(&b.identifier));
    let id = application.id.to_string();
    let subject = match &entitled.subject {
        Some(subject) => subject.id.to_string(),
        None => id.clone(),
    };
    let audience = entitled.audience.iter().map(ToString::to_string).collect();
    Request {
        id: question.id.to_string(),
        at: question.at.0,
        grant_type: question.grant_type.to_owned(),
        claims: vec![
            Named::new("aud", Value::Texts(audience)),
            Named::new("client_id", text(&id)),
            Named::new("iss", text(question.issuer)),
            Named::new("sub", text(&subject)),
        ],
        application: Application {
            id,
            name: application.name.to_string(),
            labels: labels
                .map(|(key, value)| Named::new(&**key, text(value)))
                .collect(),
            roles: entitled.roles.iter().map(ToString::to_string).collect(),
        },
        subject: entitled.subject.as_ref().map(|subject| Subject {
            id: subject.id.to_string(),
            issuer: question.issuer.to_owned(),
            claims: Vec::new(),
        }),
        apis,
        scopes: entitled.scopes.iter().map(ToString::to_string).collect(),
        lifetime_seconds: entitled.lifetime_seconds,
        attributes: question.facts.attributes(wanted, question.at),
    }
}

/// Holds an outcome to the claims that the binding permits.
fn permitted(outcome: Outcome, binding: &PolicyBinding) -> Result<Outcome, Trouble> {
    if let Decision::Allow(grant) = &outcome.decision {
        let permitted = |name: &str| binding.judgement.claims.iter().any(|one| **one == *name);
        if let Some(claim) = grant.claims.iter().find(|claim| !permitted(&claim.name)) {
            return Err(Trouble::Overstepped {
                reason: format!(
                    "it adds the claim `{}`, which {} does not permit",
                    claim.name, binding.id
                ),
            });
        }
    }
    Ok(outcome)
}

/// What the answers come to: any denial wins, scopes intersect, the shortest lifetime counts, claims
/// add up. Those in shadow do not count.
///
/// # Errors
/// See [`Objection`]; of several the first denial, else the first fault.
pub fn compose(entitled: &Entitled, opinions: &[Opinion]) -> Result<Terms, Objection> {
    let counts = |opinion: &&Opinion| opinion.binding.mode == PolicyMode::Enforce;
    let mut grants: Vec<&Grant> = Vec::new();
    let (mut denied, mut faulty, mut unavailable) = (None, false, false);
    for opinion in opinions.iter().filter(counts) {
        match &opinion.answer {
            Ok(outcome) => match &outcome.decision {
                Decision::Allow(grant) => grants.push(grant),
                Decision::Deny(denial) if denied.is_none() => {
                    denied = Some(denial.description.clone());
                }
                Decision::Deny(_) => {}
            },
            Err(trouble) if trouble.is_servers() => unavailable = true,
            Err(_) => faulty = true,
        }
    }
    if let Some(description) = denied {
        return Err(Objection::Denied(description));
    }
    if faulty {
        return Err(Objection::Faulty);
    }
    if unavailable {
        return Err(Objection::Unavailable);
    }
    shrink(entitled, &grants)
}

/// An entitlement as all grants together leave it.
fn shrink(entitled: &Entitled, grants: &[&Grant]) -> Result<Terms, Objection> {
    let mut scopes = entitled.scopes.clone();
    let mut lifetime_seconds = entitled.lifetime_seconds;
    let mut claims = Map::new();
    for grant in grants {
        if let Some(left) = &grant.scopes {
            scopes.retain(|scope| left.iter().any(|name| name == scope.as_str()));
        }
        if let Some(seconds) = grant.lifetime_seconds {
            lifetime_seconds = lifetime_seconds.min(seconds);
        }
        for claim in &grant.claims {
            let value = json(&claim.value);
            match claims.get(&claim.name) {
                Some(other) if *other != value => return Err(Objection::Disagreement),
                Some(_) => {}
                None => drop(claims.insert(claim.name.clone(), value)),
            }
        }
    }
    if scopes.is_empty() && !entitled.scopes.is_empty() {
        return Err(Objection::NothingLeft);
    }
    if !claims.is_empty()
        && serde_json::to_vec(&claims).map_or(0, |bytes| bytes.len()) > CLAIMS_BYTES
    {
        return Err(Objection::TooMuch);
    }
    Ok(Terms {
        audience: entitled.audience_of(&scopes),
        scopes,
        lifetime_seconds,
        claims,
    })
}

/// A value as it stands in a token.
fn json(value: &Value) -> Json {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Int(int) => (*int).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Texts(texts) => texts.iter().map(String::as_str).collect(),
        // The sandbox has read it once: it is JSON, and not deep.
        Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// A value as it is recorded: as the contract's JSON has it, so that a replay can compare it.
fn recorded(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

/// Named values as they are recorded.
fn recorded_map<'a>(named: impl IntoIterator<Item = &'a Named>) -> Map<String, Json> {
    named
        .into_iter()
        .map(|one| (one.name.clone(), recorded(&one.value)))
        .collect()
}

/// What the answers come to, and how they are recorded. What policies say is in force only if it can
/// be shown later, so that those that are obeyed and say more than a record holds deny. A shadow
/// that says too much is recorded without what it said, or not at all, and decides nothing.
pub fn conclude(
    entitled: &Entitled,
    opinions: &[Opinion],
) -> (Vec<PolicyRecord>, Result<Terms, Objection>) {
    let terms = compose(entitled, opinions);
    let whole = opinions.iter().map(policy_record);
    if opinions.iter().map(at_most).sum::<usize>() <= RECORD_BYTES {
        return (whole.collect(), terms);
    }
    let size = |record: &PolicyRecord| {
        serde_json::to_vec(record).map_or(RECORD_BYTES + 1, |json| json.len() + 1)
    };
    let whole: Vec<PolicyRecord> = whole.collect();
    let obeyed = whole.iter().filter(|record| !record.shadow);
    let Some(mut left) = RECORD_BYTES.checked_sub(obeyed.map(size).sum()) else {
        let records = whole.into_iter().map(shortened).collect();
        return (records, terms.and(Err(Objection::TooMuch)));
    };
    let mut fits = |record: &PolicyRecord| {
        let rest = left.checked_sub(size(record));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let fitted = whole.into_iter().filter_map(|record| {
        if !record.shadow || fits(&record) {
            return Some(record);
        }
        Some(shortened(record)).filter(&mut fits)
    });
    (fitted.collect(), terms)
}

/// No less than what an answer takes in a record, in bytes: JSON writes some characters as six.
fn at_most(opinion: &Opinion) -> usize {
    const FRAME: usize = 400;
    const ESCAPED: usize = 6;
    let named = |named: &Named| {
        named.name.len()
            + match &named.value {
                Value::Flag(_) | Value::Int(_) => 20,
                Value::Text(text) | Value::Json(text) => text.len() + 16,
                Value::Texts(texts) => texts.iter().map(|text| text.len() + 4).sum(),
            }
    };
    let said = match &opinion.answer {
        Err(trouble) => trouble.to_string().len(),
        Ok(outcome) => {
            let notes = outcome.notes.iter();
            let notes: usize = notes
                .map(|note| note.name.len() + note.text.len() + 24)
                .sum();
            notes
                + match &outcome.decision {
                    Decision::Allow(grant) => {
                        let scopes = grant.scopes.iter().flatten();
                        scopes.map(|scope| scope.len() + 4).sum::<usize>()
                            + grant.claims.iter().map(named).sum::<usize>()
                    }
                    Decision::Deny(denial) => {
                        let description = denial.description.as_deref().unwrap_or_default();
                        denial.code.len() + denial.reason.len() + description.len()
                    }
                }
        }
    };
    FRAME + ESCAPED * said
}

/// A verdict without what was said. A denial stays one, with its code.
fn shortened(record: PolicyRecord) -> PolicyRecord {
    const LEFT_OUT: &str = "left out: the policies say more than a record holds";
    let verdict = match record.verdict {
        Verdict::Deny { code, .. } => Verdict::Deny {
            code,
            reason: LEFT_OUT.into(),
            description: None,
        },
        Verdict::Permit { .. } | Verdict::Fault { .. } => Verdict::Fault {
            code: "too_much".into(),
            reason: LEFT_OUT.into(),
        },
    };
    PolicyRecord {
        notes: Vec::new(),
        verdict,
        ..record
    }
}

fn policy_record(opinion: &Opinion) -> PolicyRecord {
    let Opinion {
        binding,
        answer,
        fuel,
        ..
    } = opinion;
    PolicyRecord {
        binding: binding.id.to_string().into(),
        policy: binding.judgement.policy.to_string().into(),
        settings: writ_core::codec::hex(&binding.judgement.settings_digest).into(),
        shadow: binding.mode == PolicyMode::Shadow,
        verdict: verdict(answer),
        notes: notes(answer),
        fuel: *fuel,
    }
}

/// An answer as it is recorded.
#[must_use]
pub fn verdict(answer: &Result<Outcome, Trouble>) -> Verdict {
    match answer {
        Ok(outcome) => match &outcome.decision {
            Decision::Allow(grant) => Verdict::Permit {
                scopes: grant.scopes.as_ref().map(|scopes| {
                    scopes
                        .iter()
                        .filter_map(|scope| scope.parse().ok())
                        .collect()
                }),
                lifetime: grant.lifetime_seconds,
                claims: (!grant.claims.is_empty()).then(|| recorded_map(&grant.claims)),
            },
            Decision::Deny(denial) => Verdict::Deny {
                code: denial.code.as_str().into(),
                reason: denial.reason.as_str().into(),
                description: denial.description.as_deref().map(Into::into),
            },
        },
        Err(trouble) => Verdict::Fault {
            code: trouble.code().into(),
            reason: trouble.to_string().into(),
        },
    }
}

/// What a policy wants auditors to know.
#[must_use]
pub fn notes(answer: &Result<Outcome, Trouble>) -> Vec<PolicyNote> {
    let notes = answer.iter().flat_map(|outcome| &outcome.notes);
    notes
        .map(|note| PolicyNote {
            name: note.name.as_str().into(),
            text: note.text.as_str().into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};
    use serde_json::json;
    use writ_core::testkit::{
        COURSE_SCOPES, COURSES, COURSES_IDENTIFIER, JOB, Log, add_grant, admin, bind_policy,
        upload_policy,
    };
    use writ_core::{Ask, PolicyTarget, authorize, limits};
    use writ_sandbox::{Denial, Note};

    /// An entitlement to all scopes of one API resource for 900 s.
    fn entitled() -> Entitled {
        let mut log = Log::base();
        log.run(&admin(), add_grant(JOB, COURSES, &COURSE_SCOPES));
        log.run(&admin(), upload_policy(1));
        log.run(&admin(), bind_policy(PolicyTarget::Server, 1));
        let resources = [COURSES_IDENTIFIER];
        let ask = Ask {
            scope: None,
            resources: &resources,
            ..Ask::default()
        };
        authorize(&log.index, JOB, ask).unwrap()
    }

    fn opinion(mode: PolicyMode, answer: Result<Outcome, Trouble>) -> Opinion {
        let binding = entitled().bindings.remove(0);
        Opinion {
            binding: Arc::new(PolicyBinding {
                mode,
                ..PolicyBinding::clone(&binding)
            }),
            answer,
            fuel: 1,
            micros: 1,
        }
    }

    fn allows(grant: Grant) -> Opinion {
        let decision = Decision::Allow(grant);
        opinion(
            PolicyMode::Enforce,
            Ok(Outcome {
                decision,
                notes: Vec::new(),
            }),
        )
    }

    fn denies(description: Option<&str>) -> Opinion {
        let decision = Decision::Deny(Denial {
            code: "outside".into(),
            reason: "a reason".into(),
            description: description.map(Into::into),
        });
        opinion(
            PolicyMode::Enforce,
            Ok(Outcome {
                decision,
                notes: Vec::new(),
            }),
        )
    }

    fn fails(trouble: Trouble) -> Opinion {
        opinion(PolicyMode::Enforce, Err(trouble))
    }

    fn leaves(scopes: &[&str]) -> Opinion {
        allows(Grant {
            scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            ..Grant::default()
        })
    }

    fn claims(name: &str, value: Value) -> Opinion {
        allows(Grant {
            claims: vec![Named::new(name, value)],
            ..Grant::default()
        })
    }

    fn composed(opinions: &[Opinion]) -> Result<Terms, Objection> {
        compose(&entitled(), opinions)
    }

    #[test]
    fn what_nobody_shrinks_stays() {
        let (all, entitled) = (composed(&[allows(Grant::default())]).unwrap(), entitled());
        assert_eq!(all.scopes, entitled.scopes);
        assert_eq!(all.audience, entitled.audience);
        assert_eq!(all.lifetime_seconds, entitled.lifetime_seconds);
        assert_eq!(composed(&[]).unwrap(), all);
    }

    #[test]
    fn any_denial_wins_and_the_first_speaks() {
        let (first, second) = (denies(Some("not now")), denies(None));
        let all = [
            fails(Trouble::PoolExhausted),
            fails(Trouble::OutOfFuel),
            first,
            second.clone(),
        ];
        let said = Some("not now".to_owned());
        assert_eq!(composed(&all), Err(Objection::Denied(said)));
        let silent = composed(&[second]).unwrap_err();
        assert_eq!(silent.to_string(), "a policy denies this token");
        assert_eq!(composed(&all[..2]), Err(Objection::Faulty));
        assert_eq!(composed(&all[..1]), Err(Objection::Unavailable));
    }

    #[test]
    fn scopes_intersect_and_nothing_left_is_a_denial() {
        let both = [
            leaves(&["courses:publish", "courses:read"]),
            leaves(&["courses:read", "courses:write"]),
        ];
        let terms = composed(&both).unwrap();
        assert_eq!(terms.scopes, ["courses:read".parse().unwrap()]);
        let none = [leaves(&["courses:read"]), leaves(&["courses:write"])];
        assert_eq!(composed(&none), Err(Objection::NothingLeft));
        // Who asked for an API resource without scopes gets what was asked for.
        let bare = Entitled {
            scopes: Vec::new(),
            ..entitled()
        };
        assert!(compose(&bare, &[allows(Grant::default())]).is_ok());
    }

    #[test]
    fn claims_add_up_and_must_not_contradict() {
        let text = |text: &str| Value::Text(text.into());
        let same = [claims("tier", text("gold")), claims("tier", text("gold"))];
        assert_eq!(
            composed(&same).unwrap().claims,
            *json!({"tier": "gold"}).as_object().unwrap()
        );
        let other = [claims("tier", text("gold")), claims("tier", text("silver"))];
        assert_eq!(composed(&other), Err(Objection::Disagreement));
        let nested = claims("rules", Value::Json("{\"a\":[1]}".into()));
        let nested = composed(&[nested]).unwrap().claims;
        assert_eq!(nested, *json!({"rules": {"a": [1]}}).as_object().unwrap());
        let much: Vec<Opinion> = (0..4)
            .map(|i| claims(&format!("claim-{i}"), text(&"x".repeat(3_000))))
            .collect();
        assert_eq!(composed(&much), Err(Objection::TooMuch));
    }

    fn talks(mode: PolicyMode, notes: u32) -> Opinion {
        let note = |i: u32| Note {
            name: format!("note-{i}"),
            text: "\u{1}".repeat(1_000),
        };
        opinion(
            mode,
            Ok(Outcome {
                decision: Decision::Allow(Grant::default()),
                notes: (0..notes).map(note).collect(),
            }),
        )
    }

    fn is_short(record: &PolicyRecord) -> bool {
        record.notes.is_empty()
            && matches!(&record.verdict, Verdict::Fault { code, .. } if &**code == "too_much")
    }

    #[test]
    fn who_is_obeyed_and_says_more_than_a_record_holds_denies() {
        let (shadow, enforce) = (PolicyMode::Shadow, PolicyMode::Enforce);
        let (records, terms) = conclude(&entitled(), &[talks(enforce, 3)]);
        assert!(terms.is_ok() && records[0].notes.len() == 3);
        let (records, terms) = conclude(&entitled(), &[talks(enforce, 3), talks(enforce, 3)]);
        assert_eq!(terms, Err(Objection::TooMuch));
        assert!(records.iter().all(is_short));
        // A denial stays one, in the record too, with what it tells the application.
        let said = denies(Some("not now"));
        let (records, terms) = conclude(&entitled(), &[talks(enforce, 4), talks(enforce, 4), said]);
        assert_eq!(terms, Err(Objection::Denied(Some("not now".to_owned()))));
        let denial = &records[2].verdict;
        assert!(
            matches!(denial, Verdict::Deny { code, .. } if &**code == "outside"),
            "{denial:?}"
        );
        // Shadows decide nothing, and give way to those that are obeyed.
        let shadows = [
            talks(shadow, 4),
            talks(enforce, 2),
            talks(shadow, 1),
            talks(shadow, 4),
        ];
        let (records, terms) = conclude(&entitled(), &shadows);
        assert!(terms.is_ok());
        assert_eq!(records[1].notes.len(), 2);
        assert_eq!(records[2].notes.len(), 1, "there is room for the small one");
        assert!(is_short(&records[0]) && is_short(&records[3]));
    }

    /// The shortest verdicts of all the policies that a token can have fit into a record.
    #[test]
    fn a_record_holds_as_many_verdicts_as_there_can_be() {
        let many = vec![talks(PolicyMode::Enforce, 4); limits::POLICIES_PER_TOKEN];
        let (records, terms) = conclude(&entitled(), &many);
        assert_eq!(terms, Err(Objection::TooMuch));
        assert!(serde_json::to_vec(&records).unwrap().len() < RECORD_BYTES);
        let many = vec![leaves(&["courses:read"]); limits::POLICIES_PER_TOKEN];
        assert!(conclude(&entitled(), &many).1.is_ok());
    }

    fn opinions() -> impl Strategy<Value = Opinion> {
        let scopes = subsequence(COURSE_SCOPES.to_vec(), 0..=COURSE_SCOPES.len());
        let claim = (select(vec!["tier", "tenant"]), select(vec!["a", "b"]))
            .prop_map(|(name, value)| Named::new(name, Value::Text(value.into())));
        let grant = (
            prop::option::of(scopes),
            prop::option::of(1u32..=900),
            prop::option::weighted(0.3, claim),
        )
            .prop_map(|(scopes, lifetime_seconds, claim)| Grant {
                scopes: scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
                lifetime_seconds,
                claims: claim.into_iter().collect(),
            });
        let any = prop_oneof![
            12 => grant.prop_map(allows),
            1 => Just(denies(None)),
            1 => Just(fails(Trouble::OutOfFuel)),
            1 => Just(fails(Trouble::Interrupted)),
        ];
        (any, prop::bool::weighted(0.2)).prop_map(|(one, shadow)| match shadow {
            false => one,
            true => opinion(PolicyMode::Shadow, one.answer),
        })
    }

    fn subset(small: &Terms, large: &Terms) -> bool {
        small
            .scopes
            .iter()
            .all(|scope| large.scopes.contains(scope))
            && small
                .audience
                .iter()
                .all(|one| large.audience.contains(one))
            && small.lifetime_seconds <= large.lifetime_seconds
    }

    proptest! {
        /// The quick guess at what a record takes is never too low.
        #[test]
        fn a_verdict_is_no_longer_than_was_guessed(
            one in opinions(),
            text in "(\\PC|\u{1}|\"|\\\\){0,60}",
        ) {
            let mut one = one;
            if let Ok(outcome) = &mut one.answer {
                outcome.notes.push(Note { name: "n".into(), text: text.clone() });
                if let Decision::Allow(grant) = &mut outcome.decision {
                    let json = serde_json::to_string(&text).unwrap();
                    grant.claims.push(Named::new("j", Value::Json(json)));
                    grant.claims.push(Named::new("t", Value::Texts(vec![text; 3])));
                }
            }
            let record = serde_json::to_vec(&policy_record(&one)).unwrap();
            prop_assert!(record.len() < at_most(&one), "{} bytes", record.len());
        }

        /// Whatever policies say, a token is never more than was entitled, and another policy
        /// never makes it more.
        #[test]
        fn policies_only_shrink(all in prop::collection::vec(opinions(), 0..5), more in opinions()) {
            let before = composed(&all);
            if let Ok(terms) = &before {
                prop_assert!(subset(terms, &composed(&[]).unwrap()));
                let enforced = all.iter().filter(|one| one.binding.mode == PolicyMode::Enforce);
                for one in enforced {
                    let Ok(Outcome { decision: Decision::Allow(grant), .. }) = &one.answer else {
                        panic!("a denial was not heard")
                    };
                    let longest = grant.lifetime_seconds.unwrap_or(u32::MAX);
                    prop_assert!(terms.lifetime_seconds <= longest);
                }
            }
            let after = composed(&[all, vec![more]].concat());
            match (before, after) {
                (Ok(before), Ok(after)) => prop_assert!(subset(&after, &before)),
                (Err(_), Ok(after)) => prop_assert!(false, "a denial was undone: {after:?}"),
                (_, Err(_)) => {}
            }
        }

        #[test]
        fn the_order_of_policies_decides_nothing(
            (all, shuffled) in prop::collection::vec(opinions(), 0..5)
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
        ) {
            match (composed(&all), composed(&shuffled)) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
                (Err(one), Err(other)) => prop_assert_eq!(one.code(), other.code()),
                (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
            }
        }

        #[test]
        fn shadows_decide_nothing(all in prop::collection::vec(opinions(), 0..5)) {
            let enforced: Vec<Opinion> = all
                .iter()
                .filter(|one| one.binding.mode == PolicyMode::Enforce)
                .cloned()
                .collect();
            prop_assert_eq!(composed(&all), composed(&enforced));
        }
    }
}
