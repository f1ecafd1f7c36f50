//! All recorded decisions since a moment, on all processors: one thread reads the records, in pieces,
//! and each of the others walks along the log for the pieces that it takes.

use super::candidate::{BacktestError, Change, changed};
use super::compare::{self, Difference, Effect, Outcome};
use crate::audit::again::{self, Again, Asked, Asking, RecordedFacts};
use crate::audit::{Evidence, Walk};
use crate::issue::facts::Fact;
use crate::policies::Prepared;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use writ_core::{
    ApplicationId, Denial, Entitled, Index, Jti, MANAGEMENT_IDENTIFIER, Millis, PolicyBinding,
    Position,
};
use writ_ledger::IssuanceRecord;
use writ_sandbox::Request;

/// Records in a piece: some milliseconds of work.
const PIECE: usize = 256;

/// What is tried, and on what.
#[derive(Clone, Debug)]
pub struct Backtest {
    /// What would be otherwise.
    pub changes: Vec<Change>,
    /// The first moment of the records.
    pub since: Millis,
    /// Threads that judge.
    pub threads: usize,
    /// The issuer, for logs that do not say it.
    pub issuer: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records done.
    pub done: u64,
    /// At most so many are to be done.
    pub total: u64,
}

/// How many decisions would have been what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// There was a token, and there would be none.
    pub denied: u64,
    /// There was no token, and there would be one.
    pub allowed: u64,
    /// A token with more scopes.
    pub widened: u64,
    /// A token with fewer scopes.
    pub narrowed: u64,
    /// A token that lives longer.
    pub lengthened: u64,
    /// A token that lives shorter.
    pub shortened: u64,
    /// A token with other claims.
    pub claims_changed: u64,
    /// The same.
    pub unchanged: u64,
    /// It cannot be known.
    pub not_judged: u64,
}

impl Counts {
    fn of(&mut self, effect: Effect) -> &mut u64 {
        match effect {
            Effect::Denied => &mut self.denied,
            Effect::Allowed => &mut self.allowed,
            Effect::Widened => &mut self.widened,
            Effect::Narrowed => &mut self.narrowed,
            Effect::Lengthened => &mut self.lengthened,
            Effect::Shortened => &mut self.shortened,
            Effect::ClaimsChanged => &mut self.claims_changed,
            Effect::Unchanged => &mut self.unchanged,
            Effect::NotJudged => &mut self.not_judged,
        }
    }
}

/// How many tokens would lose or gain a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScopeCounts {
    /// They had it, and would not.
    pub lost: u64,
    /// They had it not, and would.
    pub gained: u64,
}

/// An application that would notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Its name, at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its decisions.
    pub decisions: Counts,
    /// The scopes that its tokens would lose or gain.
    pub scopes: BTreeMap<String, ScopeCounts>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Decisions that were made again.
    pub decisions: Counts,
    /// Records that were left out: of the management API, and such that some trouble decided.
    pub left_out: u64,
    /// Why decisions could not be made again, and how many.
    pub not_judged: BTreeMap<String, u64>,
    /// The applications that would notice, by id.
    pub applications: BTreeMap<String, Application>,
}

impl Report {
    /// How many records were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        let counts = &self.decisions;
        counts.denied
            + counts.allowed
            + counts.widened
            + counts.narrowed
            + counts.lengthened
            + counts.shortened
            + counts.claims_changed
            + counts.unchanged
            + counts.not_judged
            + self.left_out
    }

    fn add(&mut self, judged: &Judged) {
        let Judged::Decided(difference) = judged else {
            self.left_out += 1;
            return;
        };
        *self.decisions.of(difference.effect) += 1;
        if let Some(why) = &difference.not_judged {
            *self.not_judged.entry(why.clone()).or_default() += 1;
        }
        let application = &difference.application;
        if difference.effect == Effect::Unchanged && !self.applications.contains_key(application) {
            return;
        }
        let one = self.applications.entry(application.clone()).or_default();
        *one.decisions.of(difference.effect) += 1;
        let Some(now) = &difference.now else {
            return;
        };
        let set = |outcome: &Outcome| -> BTreeSet<String> {
            outcome.scopes.iter().flatten().cloned().collect()
        };
        let (before, after) = (set(&difference.recorded), set(now));
        for scope in before.difference(&after) {
            one.scopes.entry(scope.clone()).or_default().lost += 1;
        }
        for scope in after.difference(&before) {
            one.scopes.entry(scope.clone()).or_default().gained += 1;
        }
    }
}

/// What became of one record.
enum Judged {
    LeftOut,
    Decided(Box<Difference>),
}

type Piece = (usize, Vec<(Jti, Vec<u8>)>);
type Done = (usize, Result<Vec<Judged>, BacktestError>);

impl Backtest {
    /// Makes the decisions again. Differences are told in the order of the records.
    ///
    /// # Errors
    /// See [`BacktestError`].
    pub fn run(
        &self,
        evidence: &Evidence,
        mut progress: impl FnMut(Progress),
        mut tell: impl FnMut(&Difference) -> std::io::Result<()>,
    ) -> Result<Report, BacktestError> {
        let threads = self.threads.max(1);
        let total = evidence.issuances().at_most(self.since);
        let (to_judge, pieces) = sync_channel::<Piece>(2 * threads);
        let (judged, results) = sync_channel::<Done>(2 * threads);
        let pieces = Arc::new(Mutex::new(pieces));
        let mut report = Report::default();
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || self.read(evidence, &to_judge));
            for _ in 0..threads {
                let (pieces, judged) = (Arc::clone(&pieces), judged.clone());
                scope.spawn(move || self.work(evidence, &pieces, &judged));
            }
            // Held by the workers alone: each side hears that the other has gone.
            drop((judged, pieces));
            // Pieces are ready in any order, and told in theirs.
            let (mut next, mut waiting) = (0, BTreeMap::new());
            let mut outcome = Ok(());
            for (number, done) in &results {
                match done {
                    Ok(done) => drop(waiting.insert(number, done)),
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
                while let Some(done) = waiting.remove(&next) {
                    next += 1;
                    if let Err(error) = take(&mut report, &done, &mut tell) {
                        outcome = Err(error);
                        break;
                    }
                    let done = report.records();
                    progress(Progress { done, total });
                }
                if outcome.is_err() {
                    break;
                }
            }
            // Who still sends is told that nobody listens any more.
            drop(results);
            match reader.join() {
                Ok(read) => outcome.and(read),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        self.name(evidence, &mut report)?;
        Ok(report)
    }

    /// Reads the records.
    fn read(&self, evidence: &Evidence, to: &SyncSender<Piece>) -> Result<(), BacktestError> {
        let mut number = 0;
        let mut piece = Vec::with_capacity(PIECE);
        evidence.issuances().scan(self.since, &mut |id, bytes| {
            piece.push((id, bytes.to_vec()));
            if piece.len() < PIECE {
                return ControlFlow::Continue(());
            }
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            number += 1;
            match to.send((number - 1, full)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        if !piece.is_empty() {
            // Nobody takes it when something failed.
            let _ = to.send((number, piece));
        }
        Ok(())
    }

    /// Judges pieces as long as there are any.
    fn work(&self, evidence: &Evidence, pieces: &Mutex<Receiver<Piece>>, to: &SyncSender<Done>) {
        let mut place = Place::new(evidence);
        loop {
            let taken = {
                let pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
                pieces.recv()
            };
            let Ok((number, piece)) = taken else {
                return;
            };
            let judged = piece
                .iter()
                .map(|(id, bytes)| {
                    let record = serde_json::from_slice(bytes)
                        .map_err(|error| BacktestError::Record(*id, error))?;
                    self.judge(evidence, &mut place, &record)
                })
                .collect();
            if to.send((number, judged)).is_err() {
                return;
            }
        }
    }

    fn judge(
        &self,
        evidence: &Evidence,
        place: &mut Place,
        record: &IssuanceRecord,
    ) -> Result<Judged, BacktestError> {
        place.go(record.as_of, &self.changes)?;
        let Some(recorded) = compare::recorded(record) else {
            return Ok(Judged::LeftOut);
        };
        if is_management(record) && !place.about_management {
            return Ok(Judged::LeftOut);
        }
        let now = self.now(evidence, place, record);
        let (effect, now, not_judged) = match now {
            Ok(None) => (Effect::Unchanged, None, None),
            Ok(Some(now)) => (compare::effect(&recorded, &now), Some(now), None),
            Err(why) => (Effect::NotJudged, None, Some(why)),
        };
        Ok(Judged::Decided(Box::new(Difference {
            id: record.id.to_string(),
            at: record.at.to_string(),
            application: record.application.to_string(),
            effect,
            recorded,
            now,
            not_judged,
        })))
    }

    /// How a decision would end; nothing where the changes do not touch it.
    ///
    /// # Errors
    /// Why that cannot be known.
    fn now(
        &self,
        evidence: &Evidence,
        place: &Place,
        record: &IssuanceRecord,
    ) -> Result<Option<Outcome>, String> {
        let asked = Asked::of(record);
        let before = again::entitle(record, &place.index, &asked);
        let after = again::entitle(record, &place.changed, &asked);
        if is_same(&before, &after) {
            return Ok(None);
        }
        if asked.redacted {
            return Err("something that was asked is not kept".to_owned());
        }
        let entitled = match after {
            Ok(entitled) => entitled,
            Err(denial) => return Ok(Some(compare::now(&Err(denial)))),
        };
        if !record.details_types.is_empty() {
            return Err("the authorization details that were asked for are not kept".to_owned());
        }
        let issuer = place.index.issuer().or(self.issuer.as_deref());
        let issuer = issuer.ok_or("the log does not say the issuer of that time")?;
        let mut facts = RecordedFacts::of(record);
        let known = known_facts(record, &place.index, &mut facts);
        let trouble = RefCell::new(None);
        let ready = |binding: &PolicyBinding| {
            let prepared = self.prepared(evidence, binding);
            match prepared {
                Ok(prepared) => {
                    let unknown = prepared
                        .reads
                        .iter()
                        .find(|fact| !fact.is_recorded_elsewhere() && !known.contains(fact));
                    if let Some(fact) = unknown {
                        let why = format!("a policy reads {}, which is not recorded", fact.name());
                        trouble.replace(Some(why));
                    }
                    Some(prepared)
                }
                Err(why) => {
                    trouble.replace(Some(why));
                    None
                }
            }
        };
        let ask = |_: &PolicyBinding, prepared: &Prepared, request: &Request| {
            let evaluation = again::ask(prepared, request);
            if let Err(said) = &evaluation.result
                && said.is_servers()
            {
                trouble.replace(Some(format!("a policy gave no answer: {said}")));
            }
            evaluation
        };
        let asking = Asking {
            facts: &facts,
            issuer,
            ready,
            ask,
        };
        let again: Result<Again, Denial> = Ok(again::judge(record, entitled, &asking));
        match trouble.into_inner() {
            Some(why) => Err(why),
            None => Ok(Some(compare::now(&again))),
        }
    }

    fn prepared(
        &self,
        evidence: &Evidence,
        binding: &PolicyBinding,
    ) -> Result<Arc<Prepared>, String> {
        let candidates = self.changes.iter().filter_map(|change| match change {
            Change::Policy(candidate) => Some(candidate),
            Change::WithoutGrant(_) | Change::WithoutScope(_) => None,
        });
        for candidate in candidates {
            if candidate.is(binding) {
                return Ok(Arc::clone(candidate.prepared()));
            }
        }
        let prepared = evidence.modules().get(&binding.judgement);
        prepared.map_err(|why| why.to_string())
    }

    /// Names the applications of a report.
    fn name(&self, evidence: &Evidence, report: &mut Report) -> Result<(), BacktestError> {
        let head = evidence.log().head()?;
        let Some(last) = head.checked_sub(1) else {
            return Ok(());
        };
        let index = evidence.walk().index_at(Position(last))?;
        for (id, application) in &mut report.applications {
            let id = id.parse::<ApplicationId>().ok();
            let found = id.and_then(|id| index.application(id));
            application.name = found.map(|application| application.name.to_string());
        }
        Ok(())
    }
}

fn take(
    report: &mut Report,
    done: &[Judged],
    tell: &mut impl FnMut(&Difference) -> std::io::Result<()>,
) -> Result<(), BacktestError> {
    for judged in done {
        report.add(judged);
        if let Judged::Decided(difference) = judged
            && difference.effect != Effect::Unchanged
        {
            tell(difference)?;
        }
    }
    Ok(())
}

/// Where a thread is in the log: the index as it was and as it would be.
struct Place {
    walk: Walk,
    at: Option<Position>,
    index: Arc<Index>,
    changed: Index,
    about_management: bool,
}

impl Place {
    fn new(evidence: &Evidence) -> Self {
        Self {
            walk: evidence.walk(),
            at: None,
            index: Arc::default(),
            changed: Index::default(),
            about_management: false,
        }
    }

    fn go(&mut self, position: Position, changes: &[Change]) -> Result<(), BacktestError> {
        if self.at == Some(position) {
            return Ok(());
        }
        self.index = self.walk.index_at(position)?;
        self.changed = changed(&self.index, changes);
        self.about_management = changes
            .iter()
            .any(|change| change.is_about_management(&self.index));
        self.at = Some(position);
        Ok(())
    }
}

/// Whether a record is of the management API, whose names are reserved.
fn is_management(record: &IssuanceRecord) -> bool {
    let reserved = |scope: &str| scope.starts_with("writ:");
    record.granted.iter().any(|scope| reserved(scope.as_str()))
        || record.asked.iter().any(|scope| reserved(scope))
        || record
            .resources
            .iter()
            .any(|resource| **resource == *MANAGEMENT_IDENTIFIER)
}

/// Whether two entitlements lead to the same token.
fn is_same(before: &Result<Entitled, Denial>, after: &Result<Entitled, Denial>) -> bool {
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(_), Err(_)) => return true,
        _ => return false,
    };
    let judgements = |entitled: &Entitled| -> Vec<(u32, Arc<PolicyBinding>)> {
        let bindings = entitled.bindings.iter();
        bindings.map(|one| (one.id.0, Arc::clone(one))).collect()
    };
    let same_bindings = || {
        let (before, after) = (judgements(before), judgements(after));
        before.len() == after.len()
            && before.iter().zip(&after).all(|((one, a), (other, b))| {
                one == other && a.judgement == b.judgement && a.mode == b.mode
            })
    };
    before.scopes == after.scopes
        && before.audience == after.audience
        && before.lifetime_seconds == after.lifetime_seconds
        && before.roles == after.roles
        && before.apis.len() == after.apis.len()
        && same_bindings()
}

/// The facts that are known of a request beyond what every record says: those that some policy read
/// then, and the address where records have it.
fn known_facts(record: &IssuanceRecord, index: &Index, facts: &mut RecordedFacts) -> Vec<Fact> {
    let read = record.policies.iter().filter_map(|policy| {
        let policy = index.policy(policy.policy.parse().ok()?)?;
        Some(policy.descriptor.reads.iter().map(ToString::to_string))
    });
    let names: Vec<String> = read.flatten().collect();
    let mut known = Fact::named(&names);
    if let (None, Some(address)) = (facts.ip, &record.address) {
        facts.ip = address.parse().ok();
        known.extend(facts.ip.map(|_| Fact::NetIp));
    }
    known
}
