//! Why a decision came out as it did: made again and compared with its record, bit for bit.

mod view;

use super::Askable;
use super::again::{self, Again, Asked, Asking, RecordedFacts};
use super::differences::{self, Place};
use crate::issue::is_by_rules;
use crate::issue::panel::NOT_READY;
use crate::jose::ForeignKey;
use crate::policies::Prepared;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use view::key_state;
use writ_api as api;
use writ_core::{
    Application, AuthenticationMethod, Denial, Index, Jti, Judgement, Millis, PolicyBinding,
};
use writ_ledger::{Fault, IssuanceRecord, Outcome, PolicyRecord, RECORD_VERSION, Verdict};
use writ_sandbox::{Evaluation, Request, Trouble};

/// What an explanation needs besides the record and the index.
pub struct Surroundings<'a> {
    /// Has what a binding asks, or says why it cannot be asked.
    pub modules: &'a dyn Fn(&Judgement) -> Askable,
    /// The engine that runs policies now.
    pub engine: &'a str,
    /// The issuer, for logs that do not say it ([`Index::issuer`]).
    pub issuer: Option<&'a str>,
    /// The decision that took the token back before it left, if there is one ([`withdrawn_by`]).
    pub withdrawn_by: Option<Jti>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("engine", &self.engine)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// How the reason of a record begins that says that a token was taken back.
const WITHDRAWN: &str = "withdrawn: ";
/// How long after a token was recorded it can be taken back: far longer than a commit takes.
const WITHDRAWN_WITHIN_MS: u64 = 10_000;
/// How many records are looked at for it.
const WITHDRAWN_WITHIN_RECORDS: usize = 20_000;

/// The token that a decision took back, if it is one that did.
#[must_use]
pub fn withdrawal_of(record: &IssuanceRecord) -> Option<Jti> {
    match &record.outcome {
        Outcome::Fault { reason } => reason.strip_prefix(WITHDRAWN)?.parse().ok(),
        Outcome::Granted | Outcome::Denied { .. } => None,
    }
}

/// The decision that took a token back before it left, if there is one: looks at the records of the
/// seconds after it. `scan` is that of an issuance log.
///
/// # Errors
/// When the log cannot be read.
pub fn withdrawn_by(
    token: Jti,
    scan: impl FnOnce(Millis, &mut dyn FnMut(Jti, &[u8]) -> ControlFlow<()>) -> Result<(), Fault>,
) -> Result<Option<Jti>, Fault> {
    let end = token.millis().0.saturating_add(WITHDRAWN_WITHIN_MS);
    let needle = format!("{WITHDRAWN}{token}");
    let mut left = WITHDRAWN_WITHIN_RECORDS;
    let mut found = None;
    scan(token.millis(), &mut |id, bytes| {
        left -= 1;
        if id.millis().0 > end || left == 0 {
            return ControlFlow::Break(());
        }
        // A reason has no character that JSON writes otherwise.
        let named = bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
        let record = || serde_json::from_slice::<IssuanceRecord>(bytes).ok();
        if named && record().and_then(|record| withdrawal_of(&record)) == Some(token) {
            found = Some(id);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Explains a decision: makes it again on the index as of its position.
#[must_use]
pub fn explain(
    record: &IssuanceRecord,
    index: &Index,
    with: &Surroundings<'_>,
) -> api::Explanation {
    let asked = Asked::of(record);
    let issuer = index.issuer().or(with.issuer);
    let again = Replayed::of(record, index, with, &asked, issuer);
    let rebuilt = again.rebuilt(record, with);
    let mut places = differences::between(record, &rebuilt);
    places.extend(credential(record, index));
    places.extend(key(record, index, with));

    let mut doubts = Vec::new();
    if record.v != RECORD_VERSION {
        doubts.push(format!(
            "the record has version {}, and this version of writ knows {RECORD_VERSION}",
            record.v
        ));
    }
    if asked.redacted {
        doubts.push(
            "something that was asked is not kept, since it is no name or looks like a secret: it \
             cannot be rebuilt, and is taken as a name that nothing has"
                .to_owned(),
        );
    }
    let fits = !places.iter().any(|place| place.path == "input");
    if index.issuer().is_none() && again.is_judged() && !fits {
        doubts.push(
            "the log does not say the issuer of that time, which policies are told, and what was \
             taken for it does not have the recorded digest: give it by --issuer"
                .to_owned(),
        );
    }
    for (binding, why) in &again.missing {
        doubts.push(format!("what {binding} asked cannot be asked now: {why}"));
    }
    let verdict = match (places.is_empty(), doubts.is_empty()) {
        (true, _) => api::ExplanationVerdict::Equal,
        (false, true) => api::ExplanationVerdict::Differs,
        (false, false) => api::ExplanationVerdict::NotRebuilt,
    };
    let why = Why::of(record, &places, with, !doubts.is_empty());
    let differences = places.into_iter().map(|place| why.explained(place));
    let differences = differences.collect();
    let remarks = [doubts, again.remarks(record, index, with)].concat();
    view::explanation(
        record,
        index,
        with,
        &again,
        &rebuilt,
        verdict,
        differences,
        remarks,
    )
}

/// A decision made again, and what stood in the way.
struct Replayed {
    /// Nothing where the decision cannot be made again, for it was none.
    again: Option<Result<Again, Denial>>,
    /// What could not be asked, by binding.
    missing: BTreeMap<String, Arc<str>>,
    /// What could not be asked then: its answer is taken as it is recorded.
    taken: BTreeMap<String, String>,
}

impl Replayed {
    fn of(
        record: &IssuanceRecord,
        index: &Index,
        with: &Surroundings<'_>,
        asked: &Asked,
        issuer: Option<&str>,
    ) -> Self {
        let mut replayed = Self {
            again: None,
            missing: BTreeMap::new(),
            taken: BTreeMap::new(),
        };
        // What rests on nothing that is kept is not decided again.
        let outcome = &record.outcome;
        if withdrawal_of(record).is_some()
            || matches!(outcome, Outcome::Denied { reason } if !is_by_rules(reason))
        {
            return replayed;
        }
        let missing = std::cell::RefCell::new(BTreeMap::new());
        let taken = std::cell::RefCell::new(BTreeMap::new());
        let ready = |binding: &PolicyBinding| {
            if let Some(recorded) = servers_trouble(record, binding) {
                let reason = recorded.trouble.to_string();
                taken.borrow_mut().insert(binding.id.to_string(), reason);
                if recorded.was_not_ready() {
                    return None;
                }
            }
            let prepared = (with.modules)(&binding.judgement);
            if let Err(why) = &prepared {
                missing
                    .borrow_mut()
                    .insert(binding.id.to_string(), Arc::clone(why));
            }
            prepared.ok()
        };
        let ask = |binding: &PolicyBinding, prepared: &Prepared, request: &Request| {
            match servers_trouble(record, binding) {
                Some(recorded) => recorded.evaluation(),
                None => {
                    let evaluation = again::ask(prepared, request);
                    if let Err(trouble) = &evaluation.result
                        && trouble.is_servers()
                    {
                        let why = trouble.to_string().into();
                        missing.borrow_mut().insert(binding.id.to_string(), why);
                    }
                    evaluation
                }
            }
        };
        let asking = Asking {
            facts: &RecordedFacts::of(record),
            issuer: issuer.unwrap_or_default(),
            ready,
            ask,
        };
        let entitled = again::entitle(record, index, asked);
        replayed.again = Some(entitled.map(|entitled| again::judge(record, entitled, &asking)));
        replayed.missing = missing.into_inner();
        replayed.taken = taken.into_inner();
        replayed
    }

    fn made(&self) -> Option<&Again> {
        self.again.as_ref()?.as_ref().ok()
    }

    fn is_judged(&self) -> bool {
        self.made().is_some_and(|again| again.hearing.is_some())
    }

    fn rebuilt(&self, record: &IssuanceRecord, with: &Surroundings<'_>) -> IssuanceRecord {
        match &self.again {
            Some(Ok(_)) | None if is_unjudged_fault(record) => IssuanceRecord {
                at: record.id.millis(),
                ..record.clone()
            },
            Some(again) => again::rebuilt(record, again, with.engine),
            None => record.clone(),
        }
    }

    fn remarks(
        &self,
        record: &IssuanceRecord,
        index: &Index,
        with: &Surroundings<'_>,
    ) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(token) = withdrawal_of(record) {
            remarks.push(format!(
                "the token {token} was signed and recorded, and what it rests on changed before it \
                 could leave: it was thrown away, and the decision made anew"
            ));
        } else if is_unjudged_fault(record) {
            remarks.push(
                "no key could sign: what the policies said is not recorded, and they are not asked \
                 again"
                    .to_owned(),
            );
        }
        if let Some(by) = with.withdrawn_by {
            remarks.push(format!(
                "the token never left: what it rests on changed first ({by})"
            ));
        }
        for (binding, reason) in &self.taken {
            remarks.push(format!(
                "{binding} gave no answer then, which was the server's trouble ({reason}) and says \
                 nothing of the policy: its answer is taken as it is recorded"
            ));
        }
        if self.is_judged() && index.issuer().is_none() && with.issuer.is_some() {
            remarks.push(
                "the log does not say the issuer of that time: the one that was given, or is \
                 configured, is taken; the digest of the question proves it"
                    .to_owned(),
            );
        }
        if let Some(recorded) = record.engine.as_deref()
            && recorded != with.engine
        {
            remarks.push(format!(
                "the policies ran in the engine {recorded}, and now in {}",
                with.engine
            ));
        }
        remarks
    }
}

/// Whether it is a fault before anything was recorded of what policies said.
fn is_unjudged_fault(record: &IssuanceRecord) -> bool {
    let no_key = |reason: &str| reason == "no_signing_key";
    withdrawal_of(record).is_some()
        || matches!(&record.outcome, Outcome::Fault { reason } if no_key(reason))
}

/// An answer that a policy did not give, by no fault of its own.
struct NotGiven {
    trouble: Trouble,
    fuel: u64,
}

impl NotGiven {
    /// It was not loaded then, so nothing that it reads was asked for.
    fn was_not_ready(&self) -> bool {
        matches!(&self.trouble, Trouble::Sandbox { reason } if reason == NOT_READY)
    }

    fn evaluation(self) -> Evaluation {
        Evaluation {
            result: Err(self.trouble),
            fuel: self.fuel,
            micros: 0,
        }
    }
}

/// The recorded trouble of a binding that was the server's: asked again it would not come again.
fn servers_trouble(record: &IssuanceRecord, binding: &PolicyBinding) -> Option<NotGiven> {
    let recorded = recorded_of(record, binding)?;
    let Verdict::Fault { code, reason } = &recorded.verdict else {
        return None;
    };
    let known = [Trouble::Interrupted, Trouble::PoolExhausted];
    let sandbox = || {
        let reason = reason.strip_prefix("the sandbox failed: ")?;
        Some(Trouble::Sandbox {
            reason: reason.to_owned(),
        })
    };
    let trouble = known.into_iter().chain(sandbox());
    let mut trouble = trouble.filter(|trouble| trouble.code() == &**code);
    Some(NotGiven {
        trouble: trouble.next()?,
        fuel: recorded.fuel,
    })
}

/// What is recorded of the answer to a binding.
fn recorded_of<'r>(
    record: &'r IssuanceRecord,
    binding: &PolicyBinding,
) -> Option<&'r PolicyRecord> {
    let id = binding.id.to_string();
    record.policies.iter().find(|one| *one.binding == *id)
}

/// The credential must have been the application's.
fn credential(record: &IssuanceRecord, index: &Index) -> Option<Place> {
    let application = index.application(record.application)?;
    (!had_credential(record, application, index)).then(|| Place {
        path: "credential.id".to_owned(),
        first: (*record.credential.id).into(),
        second: serde_json::Value::Null,
    })
}

/// Whether an application had the credential of a record, as far as the log knows: keys that it
/// publishes elsewhere are not in there, nor what a node takes for an authority.
fn had_credential(record: &IssuanceRecord, application: &Application, index: &Index) -> bool {
    use AuthenticationMethod as M;
    let (credential, own) = (&record.credential, application.authentication());
    let named = |method: &M| method.as_str() == &*credential.method;
    let Some(method) = own.methods.iter().copied().find(|method| named(method)) else {
        return false;
    };
    let id = &*credential.id;
    let is = |thumbprint: &[u8; 32]| URL_SAFE_NO_PAD.encode(thumbprint) == id;
    let keys = || {
        own.keys
            .iter()
            .filter_map(|key| ForeignKey::from_registered(key).ok())
    };
    match method {
        M::ClientSecretBasic | M::ClientSecretPost => {
            let mut secrets = application.secrets.iter();
            secrets.any(|secret| secret.id.to_string() == id)
        }
        M::PrivateKeyJwt => own.jwks_uri.is_some() || keys().any(|key| is(key.thumbprint())),
        M::TlsClientAuth => own.certificate_subject.is_some(),
        M::SelfSignedTlsClientAuth => {
            own.jwks_uri.is_some()
                || own.certificates.iter().any(|digest| is(&digest.0))
                || keys().any(|key| key.certificate().is_some_and(|digest| is(&digest.0)))
        }
        M::WorkloadIdentity => {
            let rule = own.trust_rule(id);
            let issuer = rule.and_then(|rule| index.trusted_issuer(rule.issuer));
            let named = credential.token.as_ref().map(|token| &*token.issuer);
            issuer.is_some_and(|issuer| Some(issuer.issuer.as_str()) == named)
        }
    }
}

/// The key must have been one of the server's, of the algorithm, that did sign by then: the one in
/// use, or the one before it, in the moment in which that is replaced.
fn key(record: &IssuanceRecord, index: &Index, with: &Surroundings<'_>) -> Option<Place> {
    let kid = record.kid.as_ref()?;
    let known = index.key(kid.as_str());
    let could_sign = known.is_some_and(|key| {
        Some(key.algorithm) == record.alg && ["active", "retired"].contains(&key_state(key))
    });
    // A token that was taken back may have been signed by a newer key than the decision knew.
    (!could_sign && with.withdrawn_by.is_none()).then(|| Place {
        path: "kid".to_owned(),
        first: kid.as_str().into(),
        second: serde_json::Value::Null,
    })
}

/// Why places differ.
struct Why<'a> {
    record: &'a IssuanceRecord,
    engine: &'a str,
    /// Some of what was decided on cannot be had.
    in_doubt: bool,
    input_differs: bool,
    answers_differ: bool,
}

impl<'a> Why<'a> {
    fn of(
        record: &'a IssuanceRecord,
        places: &[Place],
        with: &'a Surroundings<'_>,
        in_doubt: bool,
    ) -> Self {
        let has = |prefix: &str| places.iter().any(|place| place.path.starts_with(prefix));
        Self {
            record,
            engine: with.engine,
            in_doubt,
            input_differs: has("input") || has("attributes"),
            answers_differ: has("policies"),
        }
    }

    fn explained(&self, place: Place) -> api::RecordDifference {
        let root = place.path.split(['.', '[']).next().unwrap_or_default();
        let reason = self.reason(root).map(str::to_owned);
        api::RecordDifference {
            path: place.path,
            recorded: place.first,
            now: place.second,
            reason,
        }
    }

    fn reason(&self, root: &str) -> Option<&'static str> {
        let other_engine = self
            .record
            .engine
            .as_deref()
            .is_some_and(|engine| engine != self.engine);
        match root {
            "at" => Some("the moment in the id is another: the record was changed"),
            "credential" => {
                Some("the application had no such credential then: the record was changed")
            }
            "kid" => {
                Some("the server had no such key that could sign then: the record was changed")
            }
            _ if self.in_doubt => Some("not all that was decided on can be had: see the remarks"),
            "input" => Some(
                "the question as it is recorded does not have the digest that is recorded: one of \
                 them was changed",
            ),
            "attributes" => Some("this is not what the policies read: the record was changed"),
            "policies" if self.input_differs => Some("the policies were asked something else"),
            "policies" if other_engine => Some("another engine ran the policies: see the remarks"),
            "policies" => Some(
                "the same policies, asked the same in the same engine, answer the same: the record \
                 was changed",
            ),
            "granted" | "exp" | "outcome" if self.answers_differ => {
                Some("it follows from what the policies answer")
            }
            "granted" | "exp" | "outcome" | "alg" => {
                Some("it does not follow from what was decided on: the record was changed")
            }
            _ => None,
        }
    }
}
