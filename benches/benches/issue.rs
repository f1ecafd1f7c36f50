//! How long does a token take, and which part of it? Authorization alone, signing alone, and the
//! whole path in process: authenticate, entitle, judge, sign, record.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use writ::issue::issue;
use writ::token::{Claims, encode};
use writ_benches::{World, identifier, scope};
use writ_core::{Algorithm, ApplicationId, Ask, Jti, RecordMode, TokenType, authorize};

fn authorize_among_10k_applications(c: &mut Criterion) {
    let world = World::new();
    let id: ApplicationId = world.client_id.parse().expect("an id");
    let (resource, scope) = (identifier(Algorithm::ES256), scope(Algorithm::ES256));
    let resources = [resource.as_str()];
    let ask = Ask {
        scope: Some(&scope),
        resources: &resources,
        ..Ask::default()
    };
    c.bench_function("authorize_among_10k_applications", |b| {
        b.iter(|| authorize(&world.app.index(), black_box(id), ask).expect("granted"));
    });
}

fn sign(c: &mut Criterion) {
    let world = World::new();
    let ring = world.app.ring();
    let mut group = c.benchmark_group("sign");
    for algorithm in Algorithm::ALL {
        let signer = ring.signer(algorithm).expect("an active key");
        let (aud, scope) = (identifier(algorithm), scope(algorithm));
        let claims = Claims {
            iss: "https://writ.example".into(),
            sub: world.client_id.as_str().into(),
            aud: vec![aud.as_str()].into(),
            client_id: world.client_id.as_str().into(),
            iat: 1_763_930_165,
            nbf: 1_763_930_165,
            exp: 1_763_931_065,
            jti: Jti(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0000),
            scope: scope.as_str().into(),
            act: None,
            cnf: None,
            authorization_details: None,
            more: serde_json::Map::new(),
        };
        group.bench_function(BenchmarkId::from_parameter(algorithm), |b| {
            b.iter(|| encode(signer, TokenType::AtJwt, black_box(&claims)).expect("signed"));
        });
    }
    group.finish();
}

fn issue_in_process(c: &mut Criterion) {
    let world = World::new();
    let runtime = actix_web::rt::System::new();
    let mut group = c.benchmark_group("issue_in_process");
    for (mode, name) in [
        (RecordMode::Off, "unrecorded"),
        (RecordMode::Durable, "durable"),
    ] {
        world.record(mode);
        for algorithm in Algorithm::ALL {
            let (resource, scope) = (identifier(algorithm), scope(algorithm));
            let resources = [resource.as_str()];
            let request = || world.request(&resources, &scope);
            group.bench_function(BenchmarkId::new(name, algorithm), |b| {
                b.iter(|| {
                    runtime
                        .block_on(issue(&world.app, &request()))
                        .expect("a token")
                });
            });
        }
    }
    group.finish();
}

/// The same with policies: what each adds.
fn issue_with_policies(c: &mut Criterion) {
    let world = World::new();
    world.record(RecordMode::Off);
    let runtime = actix_web::rt::System::new();
    let mut group = c.benchmark_group("issue_with_policies");
    let (resource, scope) = (identifier(Algorithm::ES256), scope(Algorithm::ES256));
    let resources = [resource.as_str()];
    for policies in [0, 1, 3] {
        world.bind(policies);
        let request = || world.request(&resources, &scope);
        group.bench_function(BenchmarkId::from_parameter(policies), |b| {
            b.iter(|| {
                runtime
                    .block_on(issue(&world.app, &request()))
                    .expect("a token")
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    authorize_among_10k_applications,
    sign,
    issue_in_process,
    issue_with_policies
);
criterion_main!(benches);
