//! A hundred thousand recorded issuances: how fast are they explained, and how fast judged again with
//! a candidate, on one processor and on all? No samples are taken, since each run takes seconds.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::num::NonZero;
use std::ops::ControlFlow;
use std::thread::available_parallelism;
use writ::audit::backtest::{Backtest, Candidate, Change};
use writ::audit::{Evidence, Surroundings, explain};
use writ::clock::Stopwatch;
use writ::issue::issue;
use writ_benches::{POLICY, World, identifier, scope};
use writ_core::{Algorithm, Millis, PolicyValue, RecordMode};
use writ_ledger::IssuanceRecord;
use writ_sandbox::SandboxConfig;

fn main() {
    // As criterion has it: `cargo bench` says --bench, and `cargo test` wants to see that it works.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let issuances = if measured { 100_000 } else { 200 };
    let world = World::new();
    world.bind(1);
    world.record(RecordMode::Buffered);
    let system = actix_web::rt::System::new();
    let (identifier, scope) = (identifier(Algorithm::ES256), scope(Algorithm::ES256));
    let resources = [identifier.as_str()];
    let watch = Stopwatch::start();
    // The log goes on while tokens are issued.
    for begun in (0..issuances).step_by(100) {
        world.create_application();
        system.block_on(async {
            for _ in begun..issuances.min(begun + 100) {
                let request = world.request(&resources, &scope);
                issue(&world.app, &request).await.expect("a token");
            }
        });
    }
    said("issued", issuances, &watch);
    let (_directory, config) = world.stop();
    let evidence = Evidence::open(&config, SandboxConfig::default()).expect("evidence");

    let all = available_parallelism().map_or(1, NonZero::get);
    for threads in [1, all] {
        let caps = PolicyValue::Texts(vec!["*=60".into()]);
        let policy = evidence.modules().load(POLICY).expect("a policy");
        let settings = [("caps".into(), caps)].into();
        let candidate = Candidate::new(policy, settings, "server").expect("a candidate");
        let backtest = Backtest {
            changes: vec![Change::Policy(Box::new(candidate))],
            since: Millis(0),
            threads,
            issuer: None,
        };
        let watch = Stopwatch::start();
        let report = backtest
            .run(&evidence, |_| {}, |_| Ok(()))
            .expect("a report");
        said(&format!("backtest on {threads}"), issuances, &watch);
        assert_eq!(report.decisions.shortened, issuances);
    }

    let (mut walk, mut equal) = (evidence.walk(), 0);
    let watch = Stopwatch::start();
    evidence
        .issuances()
        .scan(Millis(0), &mut |_, bytes| {
            let record: IssuanceRecord = serde_json::from_slice(bytes).expect("a record");
            let index = walk.index_at(record.as_of).expect("the log");
            let explanation = explain(
                &record,
                &index,
                &Surroundings {
                    modules: &|judgement| evidence.modules().get(judgement),
                    engine: evidence.modules().engine(),
                    issuer: None,
                    withdrawn_by: None,
                },
            );
            equal += u64::from(explanation.differences.is_empty());
            ControlFlow::Continue(())
        })
        .expect("the records");
    said("explained on 1", issuances, &watch);
    assert_eq!(equal, issuances);
}

fn said(what: &str, issuances: u64, watch: &Stopwatch) {
    let seconds = watch.elapsed().as_secs_f64();
    let rate = issuances as f64 / seconds;
    println!("{what}: {issuances} in {seconds:.2} s, {rate:.0} a second");
}
