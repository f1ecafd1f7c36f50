//! What does a policy's verdict cost? A fresh sandbox and the whole contract: a request with
//! everything in it lowered, the policy asked, its outcome lifted and checked, the sandbox dropped.
//! And what a token path does around it: the question built, digested, and the answers composed.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use writ::issue::facts::Facts;
use writ::issue::{GrantType, panel};
use writ_benches::{POLICY, World, identifier, scope};
use writ_core::{Algorithm, ApplicationId, Ask, Jti, authorize};
use writ_sandbox::{Api, Application, Named, Request, Sandbox, SandboxConfig, Subject, Value};

fn text(name: &str, value: &str) -> Named {
    Named::new(name, Value::Text(value.into()))
}

/// As large as real ones get: ten scopes, ten attributes, labels, roles, a subject.
fn request() -> Request {
    Request {
        id: "019ab9e5-7c43-7000-8000-000000000001".into(),
        at: 1_795_471_200_000,
        grant_type: GrantType::default().as_str().into(),
        application: Application {
            id: "01jdd2p000000000000000001a".into(),
            name: "Course publishing job".into(),
            labels: vec![
                text("env", "prod"),
                text("team", "courses"),
                text("tenant", "north"),
            ],
            roles: vec!["publisher".into(), "reader".into()],
        },
        subject: Some(Subject {
            id: "someone".into(),
            issuer: "https://issuer.example".into(),
            claims: vec![text("department", "arts")],
        }),
        apis: vec![Api {
            id: "api_1".into(),
            identifier: "https://courses.example/api".into(),
            labels: Vec::new(),
        }],
        scopes: (0..10).map(|n| format!("courses:scope-{n}")).collect(),
        lifetime_seconds: 900,
        attributes: (0..10)
            .map(|n| text(&format!("fact.{n}"), "192.0.2.1"))
            .collect(),
        claims: vec![
            text("aud", "https://courses.example/api"),
            text("client_id", "01jdd2p000000000000000001a"),
            text("iss", "https://writ.example"),
        ],
    }
}

fn verdict(c: &mut Criterion) {
    let sandbox = Sandbox::new(SandboxConfig::default()).expect("a sandbox");
    let policy = sandbox.load(POLICY).expect("a policy");
    let caps = Value::Texts(vec!["courses:scope-3=300".into(), "admin:*=60".into()]);
    let settings = policy
        .descriptor()
        .resolve(&[Named::new("caps", caps)])
        .expect("settings");
    let request = request();
    let answer = policy.evaluate(&request, &settings);
    assert!(answer.result.is_ok(), "{answer:?}");
    c.bench_function("verdict", |b| {
        b.iter(|| policy.evaluate(black_box(&request), &settings));
    });
}

/// Everything that `judge` does for one policy that is bound to the server.
fn hearing(c: &mut Criterion) {
    let world = World::new();
    world.bind(1);
    let index = world.app.index();
    let id: ApplicationId = world.client_id.parse().expect("an id");
    let (resource, scope) = (identifier(Algorithm::ES256), scope(Algorithm::ES256));
    let resources = [resource.as_str()];
    let ask = Ask {
        scope: Some(&scope),
        resources: &resources,
        ..Ask::default()
    };
    let entitled = authorize(&index, id, ask).expect("granted");
    let question = panel::Question {
        entitled: &entitled,
        id: Jti(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0000),
        at: index.last_at(),
        grant_type: GrantType::default().as_str(),
        facts: Facts::default(),
        issuer: world.app.issuer.as_str(),
    };
    c.bench_function("hear_and_compose", |b| {
        b.iter(|| {
            let hearing = panel::hear(
                |judgement| world.app.policies.get(judgement),
                black_box(&question),
            );
            panel::compose(&entitled, &hearing.opinions).expect("permitted")
        });
    });
}

criterion_group!(benches, verdict, hearing);
criterion_main!(benches);
