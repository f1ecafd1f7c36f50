//! How long does it take to say whether a token is good? Validation against the live index for
//! each algorithm, and a whole introspection through the HTTP routes in process.

use actix_web::body::to_bytes;
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Data;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use writ::http::{self, Manners};
use writ::issue::issue;
use writ_benches::{World, identifier, scope};
use writ_core::Algorithm;

fn token(world: &World, system: &SystemRunner, algorithm: Algorithm) -> String {
    let resource = identifier(algorithm);
    let (resources, scope) = ([resource.as_str()], scope(algorithm));
    let request = world.request(&resources, &scope);
    system
        .block_on(issue(&world.app, &request))
        .expect("a token")
        .access_token()
        .to_owned()
}

/// A token at first sight, and one that is known.
fn decode_and_validate(c: &mut Criterion) {
    let (world, system) = (World::new(), System::new());
    let mut group = c.benchmark_group("decode_and_validate");
    for algorithm in Algorithm::ALL {
        let token = token(&world, &system, algorithm);
        group.bench_function(BenchmarkId::new("first", algorithm), |b| {
            b.iter(|| world.validate_at_first_sight(black_box(&token)));
        });
        group.bench_function(BenchmarkId::new("known", algorithm), |b| {
            b.iter(|| world.app.validate_token(black_box(&token)).expect("valid"));
        });
    }
    group.finish();
}

fn introspect(c: &mut Criterion) {
    let (world, system) = (World::new(), System::new());
    let app: Data<_> = world.app.clone();
    let service = system.block_on(async {
        init_service(
            actix_web::App::new()
                .app_data(app)
                .app_data(Manners::default())
                .wrap(actix_web::middleware::from_fn(http::trace))
                .configure(|routes| http::public(routes, "")),
        )
        .await
    });
    let mut group = c.benchmark_group("introspect");
    let ask = |token: &str| {
        let form = [
            ("client_id", world.client_id.as_str()),
            ("client_secret", world.client_secret.as_str()),
            ("token", token),
        ];
        let request = TestRequest::post().uri("/oauth2/introspect").set_form(form);
        system.block_on(call_service(&service, request.to_request()))
    };
    for algorithm in Algorithm::ALL {
        let known = token(&world, &system, algorithm);
        // An inactive token is answered sooner: make sure that this is not what is measured.
        let body = system
            .block_on(to_bytes(ask(&known).into_body()))
            .unwrap_or_default();
        assert!(
            body.starts_with(b"{\"active\":true"),
            "the token should be active"
        );
        group.bench_function(BenchmarkId::new("known", algorithm), |b| {
            b.iter(|| ask(&known));
        });
        group.bench_function(BenchmarkId::new("first", algorithm), |b| {
            let fresh = || token(&world, &system, algorithm);
            b.iter_batched(fresh, |fresh| ask(&fresh), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, decode_and_validate, introspect);
criterion_main!(benches);
