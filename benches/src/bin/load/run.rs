//! The run: for each set its subjects one after the other, some seconds each, round after round in turn,
//! so that what is compared was measured in the same minute. What counts is the processor time of the
//! server for each answer; rates and latencies are beside it, with the share of the machine that others had.

use crate::client::{Load, Outcome, Population, Requests, Target};
use crate::fixture::{ACTIVE, Reference, Serving, TOKEN, Template, Writ, reference_request};
use crate::histogram::Histogram;
use crate::machine::{self, Moment};
use crate::plan::{Set, Subject, Token, row};
use crate::{peer, progress};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use writ_core::{Algorithm, RecordMode};

/// Changes a second that an administrator makes during a mix.
const CHANGES: f64 = 1_000.0;
/// Connections that these come by.
const CHANGE_CONNECTIONS: usize = 16;
/// Tokens of a first sight for each second of a slice: more than a core can look at.
const FIRST_SIGHTS: f64 = 60_000.0;
/// The share of requests that may not get what they asked for.
const BAD_MAX: f64 = 0.001;
/// Tokens that are asked about again and again.
const SEEN: usize = 100;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How long a slice is measured.
    pub slice: Duration,
    /// How many slices each subject gets.
    pub rounds: usize,
    /// The share of the machine that others may have in a slice; with more it is run again, once.
    pub others_max: f64,
}

impl Effort {
    /// What runs before a slice is measured.
    fn warm_up(self) -> Duration {
        (self.slice / 6).clamp(Duration::from_millis(50), Duration::from_millis(300))
    }
}

/// The servers of a run, each started when it is first needed.
#[derive(Debug)]
pub struct Servers {
    program: PathBuf,
    template: Template,
    workers: usize,
    plain: Option<Writ>,
    tls: Option<Writ>,
    references: Vec<(Subject, Reference)>,
    peer: Option<PathBuf>,
}

/// Some seconds of one subject.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// Good answers a second.
    pub rate: f64,
    /// Processor time of the server for each, in microseconds.
    pub server_us: f64,
    /// Processor time of this program for each, in microseconds.
    pub client_us: f64,
    /// The share of the machine that others had, 0 to 1.
    pub others: f64,
    /// Resident memory of the server after it, in bytes.
    pub memory: u64,
    /// Changes a second that the administrator made meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<f64>,
    /// Requests that did not get what they asked for: next to none, or there is no slice.
    pub bad: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Bytes of an answer's body.
    pub answer_bytes: usize,
    /// Whether it is the better of two, since others had too much of the machine in the first.
    pub repeated: bool,
    #[serde(skip)]
    latency: Histogram,
}

/// All slices of a subject at one number of connections, and what they say together.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    #[serde(skip)]
    pub subject: Subject,
    /// How many connections.
    pub connections: usize,
    /// Good answers a second: the median of the slices, like all that follows but the latencies.
    pub rate: f64,
    /// Processor time of the server for each, in microseconds.
    pub server_us: f64,
    /// The goal of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal_us: Option<f64>,
    /// Processor time of this program for each, in microseconds.
    pub client_us: f64,
    /// Half of all answers took no longer than this, in milliseconds, in all slices together.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// Processor time, as a multiple of that of the bare reference in the same round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_bare: Option<f64>,
    /// The same of the reference that does the least it must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_floor: Option<f64>,
    /// Its rate, as a multiple of that of the same without TLS, or without changes meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_of_without: Option<f64>,
    /// Processor time, as a multiple of that of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_without: Option<f64>,
    /// Changes a second meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<f64>,
    /// Resident memory of the server, in bytes.
    pub memory: u64,
    /// The share of the machine that others had in the worst slice, 0 to 1.
    pub others: f64,
    /// The slices, in the order of the rounds.
    pub slices: Vec<Slice>,
}

impl Servers {
    /// None is started yet. With `peer`, the place of the installed package, oidc-provider is among them.
    pub fn new(
        program: PathBuf,
        template: Template,
        workers: usize,
        peer: Option<PathBuf>,
    ) -> Self {
        Self {
            program,
            template,
            workers,
            plain: None,
            tls: None,
            references: Vec::new(),
            peer,
        }
    }

    /// Writ.
    fn writ(&mut self, tls: bool) -> Result<&mut Writ> {
        let place = if tls { &mut self.tls } else { &mut self.plain };
        if place.is_none() {
            let workers = self.workers;
            *place = Some(Writ::start(
                &self.program,
                &self.template,
                Serving { tls, workers },
            )?);
        }
        place.as_mut().context("started above")
    }

    fn reference(&mut self, subject: Subject) -> Result<&Reference> {
        if !self.references.iter().any(|(known, _)| *known == subject) {
            let server = match subject {
                Subject::Sign(algorithm) => Reference::start(Some(algorithm), self.workers)?,
                Subject::Peer(algorithm) => {
                    let place = self
                        .peer
                        .as_ref()
                        .context("oidc-provider is not installed")?;
                    peer::start(place, algorithm)?
                }
                _ => Reference::start(None, self.workers)?,
            };
            self.references.push((subject, server));
        }
        let found = self.references.iter().find(|(known, _)| *known == subject);
        Ok(&found.context("started above")?.1)
    }

    /// What a subject's clients are, and whose time counts.
    fn clients(
        &mut self,
        subject: Subject,
        set: &Set,
        effort: Effort,
    ) -> Result<(u32, Vec<Population>)> {
        let connections = set.connections;
        let closed = |target: &Target, requests: Requests, begins| {
            Population::closed(target, requests, connections).expecting(begins)
        };
        let token = |writ: &mut Writ, token: Token| {
            writ.record(token.record);
            let request = writ.token_request(token.algorithm, token.policies);
            closed(writ.target(), Requests::Same(request), TOKEN)
        };
        Ok(match subject {
            Subject::Bare | Subject::Sign(_) => {
                let server = self.reference(subject)?;
                let requests = Requests::Same(reference_request("/oauth2/token"));
                (server.id(), vec![closed(server.target(), requests, TOKEN)])
            }
            Subject::Peer(_) => {
                let server = self.reference(subject)?;
                let requests = Requests::Same(reference_request(peer::TOKEN_PATH));
                (server.id(), vec![closed(server.target(), requests, TOKEN)])
            }
            Subject::Token(kind) => {
                let writ = self.writ(kind.tls)?;
                let clients = token(writ, kind);
                (writ.id(), vec![clients])
            }
            Subject::Handshake(algorithm) => {
                let writ = self.writ(true)?;
                let mut clients = token(writ, Token::of(algorithm, 0));
                clients.reconnect = true;
                (writ.id(), vec![clients])
            }
            Subject::Mix(kind) => {
                let writ = self.writ(kind.tls)?;
                let clients = token(writ, kind);
                let changes =
                    Population::closed(writ.target(), writ.changes()?, CHANGE_CONNECTIONS);
                (writ.id(), vec![clients, changes.at_rate(CHANGES)])
            }
            Subject::IntrospectSeen(algorithm) => {
                let writ = self.writ(false)?;
                let questions = introspections(writ, algorithm, SEEN)?;
                (
                    writ.id(),
                    vec![closed(writ.target(), Requests::Cycle(questions), ACTIVE)],
                )
            }
            Subject::IntrospectFirst(algorithm) => {
                let writ = self.writ(false)?;
                let seconds = (effort.slice + effort.warm_up()).as_secs_f64();
                let count = (FIRST_SIGHTS * seconds) as usize + 1;
                let questions = introspections(writ, algorithm, count)?;
                (
                    writ.id(),
                    vec![closed(writ.target(), Requests::Once(questions), ACTIVE)],
                )
            }
            Subject::Jwks => {
                let writ = self.writ(false)?;
                let request = crate::wire::request("GET", "/oauth2/jwks", &[], "");
                (
                    writ.id(),
                    vec![closed(
                        writ.target(),
                        Requests::Same(request),
                        b"{\"keys\":[",
                    )],
                )
            }
        })
    }

    fn slice(&mut self, subject: Subject, set: &Set, effort: Effort) -> Result<Slice> {
        let name = row(subject, set.connections);
        let (server, populations) = self.clients(subject, set, effort)?;
        let mut load = Load::connect(populations)?;
        load.run(effort.warm_up())?;
        load.reset();
        let before = Moment::now(server)?;
        load.run(effort.slice)?;
        let used = Moment::now(server)?.since(&before);
        let outcomes = load.outcomes();
        for outcome in &outcomes {
            check(&name, outcome)?;
        }
        let seconds = used.elapsed.as_secs_f64();
        let Some((main, others)) = outcomes.split_first() else {
            bail!("{name}: nobody asked anything");
        };
        ensure!(main.good() > 0, "{name}: no answer in {seconds:.1} s");
        let each = |time: Duration| time.as_secs_f64() * 1e6 / main.good() as f64;
        Ok(Slice {
            rate: main.good() as f64 / seconds,
            server_us: each(used.server),
            client_us: each(used.client),
            others: used.others,
            memory: machine::memory(server)?.now,
            changes: others
                .first()
                .map(|changes| changes.good() as f64 / seconds),
            bad: outcomes.iter().map(Outcome::bad).sum(),
            trouble: outcomes.iter().find_map(|it| it.first_trouble.clone()),
            answer_bytes: main.answer_bytes,
            repeated: false,
            latency: main.latency.clone(),
        })
    }

    /// A slice, again if others had too much of the machine.
    fn fair_slice(&mut self, subject: Subject, set: &Set, effort: Effort) -> Result<Slice> {
        let first = self.slice(subject, set, effort)?;
        if first.others <= effort.others_max {
            return Ok(first);
        }
        let second = self.slice(subject, set, effort)?;
        let better = if second.others < first.others {
            second
        } else {
            first
        };
        Ok(Slice {
            repeated: true,
            ..better
        })
    }

    /// Runs the sets.
    ///
    /// # Errors
    /// A server does not start, or answers what it should not.
    pub fn run(&mut self, sets: &[Set], effort: Effort) -> Result<Vec<Row>> {
        let all: usize = sets.iter().map(|set| set.subjects.len()).sum();
        let (all, mut done) = (all * effort.rounds, 0);
        let mut rows = Vec::new();
        for set in sets {
            let mut slices: Vec<Vec<Slice>> = vec![Vec::new(); set.subjects.len()];
            for round in 0..effort.rounds {
                let mut order: Vec<usize> = (0..set.subjects.len()).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for place in order {
                    let subject = set.subjects[place];
                    let slice = self.fair_slice(subject, set, effort)?;
                    done += 1;
                    let (us, others) = (slice.server_us, slice.others * 100.0);
                    let name = row(subject, set.connections);
                    progress(&format!(
                        "[{done}/{all}] {name}: {us:.1} µs, {:.0}/s, others {others:.0} %",
                        slice.rate
                    ));
                    slices[place].push(slice);
                }
            }
            rows.extend(summaries(set, &slices));
        }
        Ok(rows)
    }
}

fn introspections(writ: &mut Writ, algorithm: Algorithm, count: usize) -> Result<Vec<Vec<u8>>> {
    // Made without a record: nobody measures that.
    writ.record(RecordMode::Off);
    let tokens = writ.tokens(algorithm, count)?;
    writ.record(RecordMode::Durable);
    Ok(tokens
        .iter()
        .map(|token| writ.introspection(token))
        .collect())
}

/// What is measured must be what was meant. Of very many requests one may be refused, where somebody else
/// has the processors for long; that is shown.
fn check(name: &str, outcome: &Outcome) -> Result<()> {
    let (bad, all) = (outcome.bad(), outcome.bad() + outcome.good());
    if bad as f64 <= all as f64 * BAD_MAX {
        return Ok(());
    }
    let first = outcome.first_trouble.as_deref().unwrap_or_default();
    bail!("{name}: {bad} of {all} answers were not good; the first: {first}")
}

fn summaries(set: &Set, slices: &[Vec<Slice>]) -> Vec<Row> {
    let of = |subject: Subject| {
        let place = set.subjects.iter().position(|other| *other == subject)?;
        Some(slices[place].as_slice())
    };
    let mut rows = Vec::new();
    for (subject, own) in set.subjects.iter().zip(slices) {
        let cost = |other: Subject| (other != *subject).then(|| of(other)).flatten();
        let ratio = |other: Subject, value: fn(&Slice) -> f64| {
            let pairs = own.iter().zip(cost(other)?);
            Some(median(pairs.map(|(own, other)| value(own) / value(other))))
        };
        let mut latency = Histogram::default();
        own.iter().for_each(|slice| latency.merge(&slice.latency));
        let ms = |share| latency.quantile(share).as_secs_f64() * 1e3;
        let without = subject.without();
        let changes: Option<Vec<f64>> = own.iter().map(|slice| slice.changes).collect();
        rows.push(Row {
            name: row(*subject, set.connections),
            subject: *subject,
            connections: set.connections,
            rate: median(own.iter().map(|slice| slice.rate)),
            server_us: median(own.iter().map(|slice| slice.server_us)),
            goal_us: subject.goal_us(),
            client_us: median(own.iter().map(|slice| slice.client_us)),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            of_bare: ratio(Subject::Bare, |slice| slice.server_us),
            of_floor: ratio(subject.floor(), |slice| slice.server_us),
            rate_of_without: without.and_then(|other| ratio(other, |slice| slice.rate)),
            of_without: without.and_then(|other| ratio(other, |slice| slice.server_us)),
            changes: changes.map(|all| median(all.into_iter())),
            memory: own
                .iter()
                .map(|slice| slice.memory)
                .max()
                .unwrap_or_default(),
            others: own.iter().map(|slice| slice.others).fold(0.0, f64::max),
            slices: own.clone(),
        });
    }
    rows
}

/// The median; of an even number of values the lower of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => values[(count - 1) / 2],
    }
}

/// How a start goes.
#[derive(Clone, Debug, Serialize)]
pub struct ColdStart {
    /// How many applications the log has.
    pub applications: usize,
    /// From the call of the program until it listens, in milliseconds: the median.
    pub milliseconds: f64,
    /// Processor time until then, in milliseconds: the median.
    pub server_ms: f64,
    /// Resident memory then, in bytes: the most.
    pub memory: u64,
    /// Each start, in milliseconds.
    pub starts: Vec<f64>,
}

impl Servers {
    /// Starts Writ so many times, one after the other.
    ///
    /// # Errors
    /// It does not start.
    pub fn cold_start(&self, applications: usize, times: usize) -> Result<ColdStart> {
        let (mut starts, mut cpu, mut memory) = (Vec::new(), Vec::new(), 0);
        for _ in 0..times {
            let serving = Serving {
                tls: false,
                workers: self.workers,
            };
            let mut writ = Writ::start(&self.program, &self.template, serving)?;
            cpu.push(machine::cpu_time(writ.id())?.as_secs_f64() * 1e3);
            memory = memory.max(machine::memory(writ.id())?.now);
            starts.push(writ.start.as_secs_f64() * 1e3);
            writ.stop();
        }
        Ok(ColdStart {
            applications,
            milliseconds: median(starts.iter().copied()),
            server_ms: median(cpu.into_iter()),
            memory,
            starts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(server_us: f64, rate: f64) -> Slice {
        Slice {
            rate,
            server_us,
            client_us: 1.0,
            others: 0.0,
            memory: 1,
            changes: None,
            bad: 0,
            trouble: None,
            answer_bytes: 700,
            repeated: false,
            latency: Histogram::default(),
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.0);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let es256 = Algorithm::ES256;
        let kind = Token::of(es256, 0);
        let set = Set {
            connections: 8,
            subjects: vec![
                Subject::Bare,
                Subject::Sign(es256),
                Subject::Token(kind),
                Subject::Mix(kind),
            ],
        };
        // The machine was twice as slow in the second round, and that changes no ratio.
        let two = |us: f64, rate: f64| vec![slice(us, rate), slice(us * 2.0, rate / 2.0)];
        let slices = vec![
            two(10.0, 100.0),
            two(28.0, 50.0),
            two(35.0, 40.0),
            two(42.0, 38.0),
        ];
        let rows = summaries(&set, &slices);
        let near = |value: Option<f64>, expected: f64| {
            value.is_some_and(|value| (value - expected).abs() < 1e-9)
        };
        assert!(rows[0].of_bare.is_none() && rows[0].of_floor.is_none());
        assert!(near(rows[1].of_bare, 2.8) && near(rows[1].of_floor, 2.8));
        assert!(near(rows[2].of_bare, 3.5) && near(rows[2].of_floor, 1.25));
        assert!(rows[2].rate_of_without.is_none());
        assert!(near(rows[3].rate_of_without, 0.95) && near(rows[3].of_without, 1.2));
        assert_eq!(rows[2].name, "token/ES256/p0/durable/plain/c8");
        assert_eq!(rows[2].goal_us, Some(33.0));
    }

    #[test]
    fn a_subject_that_does_not_do_what_was_meant_ends_the_run() {
        let mut outcome = Outcome::default();
        assert!(check("x", &outcome).is_ok());
        outcome.wrong = 1;
        assert!(check("x", &outcome).is_err());
        for _ in 0..999 {
            outcome.latency.record(Duration::from_millis(1));
        }
        assert!(check("x", &outcome).is_ok());
        outcome.shed = 1;
        assert!(check("x", &outcome).is_err());
    }
}
