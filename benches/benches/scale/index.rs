//! The index in memory: how large, how quick, and does a reader ever wait?

use crate::counting;
use crate::process::{memory, thread_cpu, waits, wall};
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use writ_benches::population::{
    GRANTS, Population, granted_api, granted_scopes, identifier, scope, spread,
};
use writ_core::{
    ApplicationId, ApplicationLabelled, Ask, Event, Index, Labels, Position, Recorded, authorize,
};

/// One question of a token request, as it comes over the wire: in one piece, so that nothing but the
/// index has to be fetched from memory.
struct Question {
    text: [u8; 192],
    ends: [usize; 3],
}

impl Question {
    fn new(client_id: &str, identifier: &str, scope: &str) -> Self {
        let (mut text, mut ends, mut end) = ([0; 192], [0; 3], 0);
        for (part, ended) in [client_id, identifier, scope].into_iter().zip(&mut ends) {
            text[end..end + part.len()].copy_from_slice(part.as_bytes());
            end += part.len();
            *ended = end;
        }
        Self { text, ends }
    }

    fn part(&self, n: usize) -> &str {
        let begin = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        std::str::from_utf8(&self.text[begin..self.ends[n]]).expect("text")
    }

    fn application(&self) -> ApplicationId {
        self.part(0).parse().expect("an id")
    }
}

fn questions(population: &Population, applications: u64) -> Vec<Question> {
    (0..applications.min(200_000))
        .map(|n| {
            let (number, grant) = (spread(n) % applications, n as u32 % GRANTS);
            let api = granted_api(number, grant);
            let scopes = granted_scopes(number, grant).map(|number| scope(api, number));
            let client_id = population.application(number).to_string();
            Question::new(&client_id, &identifier(api), &scopes.join(" "))
        })
        .collect()
}

/// What the token path has to find out: is this application granted these scopes of this API?
fn lookup(index: &Index, question: &Question) -> bool {
    let application = index.application(question.application());
    let api = index.api_identified(question.part(1));
    let (Some(application), Some(api)) = (application, api) else {
        return false;
    };
    application.grant(api.id).is_some_and(|grant| {
        let mut scopes = question.part(2).split(' ');
        scopes.all(|scope| {
            let found = index.scope(scope);
            found.is_some_and(|(_, bit)| grant.scopes.contains(bit))
        })
    })
}

fn authorized(index: &Index, question: &Question) -> bool {
    let resources = [question.part(1)];
    let ask = Ask {
        scope: Some(question.part(2)),
        resources: &resources,
        ..Ask::default()
    };
    authorize(index, question.application(), ask).is_ok()
}

/// Asks every question some times: processor time of each on average, and how long each took on
/// the wall.
fn ask(
    published: &ArcSwap<Index>,
    questions: &[Question],
    ask: fn(&Index, &Question) -> bool,
) -> Value {
    let rounds = 1_000_000_usize.div_ceil(questions.len()).min(1_000);
    let began = thread_cpu();
    for _ in 0..rounds {
        for question in questions {
            assert!(black_box(ask(&published.load(), question)));
        }
    }
    let asked = (rounds * questions.len()) as u64;
    let average = (thread_cpu() - began) / asked;
    // Not zero, so that the memory is there, and nobody waits for it in between.
    let mut each = vec![1; questions.len()];
    let waited = waits();
    for (took, question) in each.iter_mut().zip(questions) {
        black_box(question.part(2).len());
        let began = wall();
        assert!(black_box(ask(&published.load(), question)));
        *took = wall() - began;
    }
    let waited = waits() - waited;
    each.sort_unstable();
    let quantile = |per_mille: usize| each[(each.len() - 1) * per_mille / 1_000];
    json!({
        "cpu_ns": average,
        "p50_ns": quantile(500),
        "p99_ns": quantile(990),
        "p999_ns": quantile(999),
        "max_ns": quantile(1_000),
        "waits": waited,
    })
}

/// A change of an application.
fn change(index: &Index, id: ApplicationId, n: u64) -> Recorded {
    let value = format!("{n}").into();
    let labels = Labels::new([("build".into(), value)].into()).expect("labels");
    let labelled: Event = ApplicationLabelled { id, labels }.into();
    Recorded {
        position: Position(index.next_position().0),
        at: index.last_at(),
        event: labelled,
        ..Population::after(&Index::default(), 1).event(0)
    }
}

/// Applies and publishes one change, as the writer does; answers the version before, which is kept
/// until the next is published.
fn publish(
    published: &ArcSwap<Index>,
    population: &Population,
    applications: u64,
    n: u64,
) -> Arc<Index> {
    let before = published.load_full();
    let id = population.application(spread(n ^ 0x5555) % applications);
    let recorded = change(&before, id, n);
    let mut index = Index::clone(&before);
    index.apply(&recorded);
    published.swap(Arc::new(index))
}

/// Builds the index of so many applications and asks it.
pub fn measure(applications: u64) -> Value {
    let ((bytes, blocks), (resident, _)) = (counting::in_use(), memory());
    let mut index = Index::default();
    let population = Population::after(&index, applications);
    let mut applying = 0;
    // In parts, so that making events is not counted as applying them.
    for first in (0..population.events()).step_by(1_000) {
        let part = first..population.events().min(first + 1_000);
        let events: Vec<Recorded> = part.map(|number| population.event(number)).collect();
        let began = thread_cpu();
        events.iter().for_each(|recorded| index.apply(recorded));
        applying += thread_cpu() - began;
    }
    let (bytes, blocks) = (counting::in_use().0 - bytes, counting::in_use().1 - blocks);
    let resident = memory().0.saturating_sub(resident);
    let questions = questions(&population, applications);
    let published = ArcSwap::from_pointee(index);

    let quiet = ask(&published, &questions, lookup);
    let quiet_authorize = ask(&published, &questions, authorized);
    let (stop, changes) = (AtomicBool::new(false), AtomicBool::new(false));
    let (busy, busy_authorize, rate, cost) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (began, cpu, mut n) = (wall(), thread_cpu(), 0);
            let mut _retired = published.load_full();
            while !stop.load(Ordering::Relaxed) {
                _retired = publish(&published, &population, applications, n);
                n += 1;
                changes.store(true, Ordering::Relaxed);
                // A thousand a second, whatever each took.
                let due = Duration::from_nanos(began + n * 1_000_000);
                std::thread::sleep(due.saturating_sub(Duration::from_nanos(wall())));
            }
            (
                n * 1_000_000_000 / (wall() - began).max(1),
                (thread_cpu() - cpu) / n,
            )
        });
        while !changes.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let busy = ask(&published, &questions, lookup);
        let busy_authorize = ask(&published, &questions, authorized);
        stop.store(true, Ordering::Relaxed);
        let (rate, cost) = writer.join().expect("it changes");
        (busy, busy_authorize, rate, cost)
    });
    let began = thread_cpu();
    let flat_out = 20_000.min(applications);
    (0..flat_out).for_each(|n| drop(publish(&published, &population, applications, n)));
    let change = (thread_cpu() - began) / flat_out;
    json!({
        "applications": applications,
        "events": population.events(),
        "bytes_per_application": bytes / applications,
        "blocks_per_application": blocks as f64 / applications as f64,
        "resident_bytes_per_application": resident / applications,
        "apply_cpu_ns_per_event": applying / population.events(),
        "lookup": { "quiet": quiet, "while_changing": busy },
        "authorize": { "quiet": quiet_authorize, "while_changing": busy_authorize },
        "change": {
            "per_second": rate,
            "cpu_ns": change,
            "cpu_ns_at_that_rate": cost,
        },
    })
}
