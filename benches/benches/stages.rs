//! Each stage of a request for itself, so that a regression names its stage. `--bin counts` counts the
//! instructions of the same.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use writ_benches::World;
use writ_benches::stages::{self, Meter};

struct Timed<'a>(&'a mut Criterion);

impl Meter for Timed<'_> {
    fn stage<I, O>(
        &mut self,
        name: &str,
        mut set_up: impl FnMut() -> I,
        mut run: impl FnMut(I) -> O,
    ) {
        self.0.bench_function(name, |bencher| {
            bencher.iter_batched(&mut set_up, &mut run, BatchSize::SmallInput);
        });
    }
}

fn all(criterion: &mut Criterion) {
    stages::measure(&World::new(), &mut Timed(criterion));
}

criterion_group!(benches, all);
criterion_main!(benches);
