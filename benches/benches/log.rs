//! What does it cost to read a log: to replay it into an index, and to verify it? A million events
//! of 250,000 applications, in processor time; a hundredth of that when the benches are only tried.

#[path = "log/cpu.rs"]
mod cpu;

use cpu::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use writ_benches::log;
use writ_core::Index;
use writ_ledger::engine::Engine;
use writ_ledger::merkle::{LogTree, leaf_hash};
use writ_ledger::verify::verify;
use writ_ledger::{Anchor, Ledger, LedgerConfig, RandomIds, replay};

fn events() -> u64 {
    // `cargo test` tries each bench once.
    match std::env::args().any(|argument| argument == "--bench") {
        true => 1_000_000,
        false => 10_000,
    }
}

fn reading(c: &mut Criterion<CpuTime>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine: Arc<dyn Engine> = Arc::new(log::make(&directory.path().join("log"), events()));
    let mut group = c.benchmark_group("log");
    group
        .throughput(Throughput::Elements(events()))
        .sample_size(10);

    group.bench_function("replay_on_one_core", |b| {
        b.iter(|| {
            let mut index = Index::default();
            replay(&*engine, &mut index, |_| {}).expect("it reads");
            assert_eq!(index.next_position().0, events());
            black_box(index)
        });
    });
    // With the tree, by which the log is held against its checkpoints.
    group.bench_function("start", |b| {
        b.iter(|| {
            let opened = Ledger::open_stepped(LedgerConfig {
                engine: Arc::clone(&engine),
                clock: Arc::new(|| writ_core::Millis(0)),
                ids: Arc::new(RandomIds::default()),
                data: None,
                anchors: Vec::new(),
                snapshots: None,
                progress: None,
                on_commit: None,
            });
            black_box(opened.expect("it opens"))
        });
    });
    let mut tree = LogTree::default();
    (0..events()).for_each(|position| tree.push_hash(leaf_hash(&log::stored(position))));
    let anchor = Anchor {
        size: events(),
        root: tree.root(),
        place: "checkpoint".into(),
    };
    group.bench_function("verify", |b| {
        b.iter(|| {
            let anchors = std::slice::from_ref(&anchor);
            let report = verify(&*engine, directory.path(), anchors, |_| {}).expect("it reads");
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            black_box(report)
        });
    });
    group.finish();
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(CpuTime); targets = reading);
criterion_main!(benches);
