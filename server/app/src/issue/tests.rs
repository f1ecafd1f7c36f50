//! No token leaves after the change that forbids it was acknowledged, whatever changed and at
//! whichever step; and no token leaves unrecorded.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::{Job, TestServer};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use writ_core::{
    Algorithm, ApiId, AuthenticationMethod, Command, GrantMode, Jti, KeyState, Labels, Millis,
    ProfileChange, RecordMode, RoleId, SecretId, SettingsChange, TokenProfile,
};
use writ_ledger::{IssuanceRecord, Outcome};

pub(crate) mod policies;

const API: &str = "https://courses.example/api";

async fn world() -> (TestServer, ApiId, Job) {
    let server = TestServer::new();
    let scopes = ["courses:publish", "courses:read"];
    let api = server.api(API, &scopes, TokenProfile::default()).await;
    let job = server.application(api, &scopes).await;
    (server, api, job)
}

fn request(job: &Job) -> Request<'_> {
    Request {
        credentials: PresentedCredentials::Secret {
            client_id: &job.client_id,
            presented_secret: &job.client_secret,
            method: AuthenticationMethod::ClientSecretPost,
        },
        ask: Ask {
            scope: Some("courses:read"),
            resources: &[],
            ..Ask::default()
        },
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: Some("job/1"),
        grant_type: GrantType::default(),
        exchange: None,
        certificate: None,
        proof: None,
        details: None,
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
}

/// The path up to the record, as `issue` goes it.
async fn recorded(server: &TestServer, job: &Job) -> RecordedToken {
    let (app, request) = (&server.app, request(job));
    let index = app.index();
    let application = authenticate(app, &index, request.caller()).await.unwrap();
    let signed = decide(app, &index, &application, &request, None, &mut None).unwrap();
    record(app, &request, signed).await.unwrap()
}

#[actix_web::test]
async fn a_token_stands_only_while_nothing_under_it_changes() {
    let (server, api, job) = world().await;
    let role: RoleId = {
        let scopes = vec!["courses:read".parse().unwrap()];
        let receipt = server.execute(Command::CreateRole {
            name: "Reader".parse().unwrap(),
            scopes,
        });
        receipt.await.index.role_named("Reader").unwrap().id
    };
    server
        .execute(Command::AssignRole {
            application: job.id(),
            role,
        })
        .await;
    let other: Vec<SecretId> = server
        .app
        .index()
        .application(job.id())
        .unwrap()
        .secrets
        .iter()
        .map(|s| s.id)
        .collect();
    let settings = SettingsChange {
        tokens_lifetime_seconds: Some(300),
        ..SettingsChange::default()
    };
    let id = job.id();
    let make = server.app.make_key(Algorithm::ES256).await.unwrap();
    let kid = server
        .app
        .index()
        .active_key(Algorithm::ES256)
        .unwrap()
        .kid
        .clone();
    let forbidding = [
        Command::ChangeApiResource {
            id: api,
            name: None,
            requires_authorization: None,
            profile: ProfileChange {
                lifetime_seconds: Some(Some(60)),
                ..ProfileChange::default()
            },
            guards: None,
        },
        Command::ChangeSettings { change: settings },
        Command::ChangeRole {
            id: role,
            name: None,
            scopes: Some(Vec::new()),
        },
        Command::CutTokens { application: id },
        Command::ChangeGrant {
            application: id,
            api,
            mode: None,
            scopes: Some(vec!["courses:read".parse().unwrap()]),
        },
        Command::RevokeSigningKey {
            kid,
            replacement: Some(make),
        },
        Command::ChangeApplication {
            id,
            name: None,
            enabled: None,
            labels: Some(Labels::new([("env".into(), "prod".into())].into()).unwrap()),
            token_settings: None,
        },
        Command::RevokeSecret {
            application: id,
            secret: other[0],
        },
    ];
    for command in forbidding {
        let token = recorded(&server, &job).await;
        let stands = |token: &RecordedToken| token.still_stands(&server.app);
        assert!(stands(&token));
        // What has nothing to do with it changes nothing.
        server.application(api, &[]).await;
        assert!(stands(&token));
        server.execute(command.clone()).await;
        assert!(!stands(&token), "{command:?}");
    }
}

#[actix_web::test]
async fn removing_disabling_and_expiry_count_too() {
    let (server, api, job) = world().await;
    let token = recorded(&server, &job).await;
    let stands = |token: &RecordedToken| token.still_stands(&server.app);
    server
        .execute(Command::RemoveApiResource {
            id: api,
            cascade: true,
        })
        .await;
    assert!(!stands(&token));

    let api = server
        .api(API, &["courses:read"], TokenProfile::default())
        .await;
    let job = server.application(api, &["courses:read"]).await;
    let token = recorded(&server, &job).await;
    server
        .execute(Command::RemoveApplication {
            id: job.id(),
            cascade: false,
        })
        .await;
    assert!(!stands(&token));
}

#[actix_web::test]
async fn a_withdrawn_token_is_recorded_as_such() {
    let (server, _, job) = world().await;
    let token = recorded(&server, &job).await;
    let jti = token.jti();
    token.withdraw(&server.app, &request(&job)).await.unwrap();
    let mut records = Vec::new();
    server
        .app
        .issuances
        .scan(Millis(0), &mut |_, bytes| {
            records.push(serde_json::from_slice::<IssuanceRecord>(bytes).unwrap());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(records.len(), 2);
    let reason = format!("withdrawn: {jti}");
    assert_eq!(
        records[1].outcome,
        Outcome::Fault {
            reason: reason.into()
        }
    );
}

/// The `jti` of a token that was answered.
fn jti_of(server: &TestServer, answer: &TokenAnswer) -> Jti {
    let token = crate::token::decode(
        answer.access_token(),
        &server.app.ring(),
        crate::testing::ISSUER,
    );
    token.unwrap().claims.jti
}

/// Every record, by its id.
fn records(server: &TestServer) -> BTreeMap<Jti, IssuanceRecord> {
    let mut records = BTreeMap::new();
    let mut take = |_: Jti, bytes: &[u8]| {
        let record: IssuanceRecord = serde_json::from_slice(bytes).unwrap();
        assert!(records.insert(record.id, record).is_none());
        std::ops::ControlFlow::Continue(())
    };
    server.app.issuances.scan(Millis(0), &mut take).unwrap();
    records
}

/// Tokens are asked for while the application's grant goes and comes. While its removal is
/// acknowledged no token leaves, also none that was asked for before; and every token that left is
/// in the record, as of a position at which the grant was there, and was not withdrawn.
#[actix_web::test]
async fn tokens_and_revocations_at_the_same_time() {
    let (server, api, job) = world().await;
    let scopes = vec!["courses:read".parse().unwrap()];
    let removed = Cell::new(false);
    let asking = async {
        let (mut granted, mut refused) = (Vec::new(), 0);
        for _ in 0..300 {
            match issue(&server.app, &request(&job)).await {
                Ok(answer) => {
                    assert!(!removed.get(), "a token left after its grant had gone");
                    granted.push(jti_of(&server, &answer));
                }
                Err(IssueError::Denied(_) | IssueError::Unsettled) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        (granted, refused)
    };
    let changing = async {
        for _ in 0..60 {
            let application = job.id();
            server
                .execute(Command::RemoveGrant { application, api })
                .await;
            removed.set(true);
            let after = issue(&server.app, &request(&job)).await;
            assert!(matches!(after, Err(IssueError::Denied(_))), "{after:?}");
            removed.set(false);
            let grant = Command::AddGrant {
                application,
                api,
                mode: GrantMode::None,
                scopes: scopes.clone(),
            };
            server.execute(grant).await;
        }
    };
    let ((granted, refused), ()) = tokio::join!(asking, changing);
    let races = (granted.len(), refused);
    assert!(
        !granted.is_empty() && refused > 0,
        "no race was run: {races:?}"
    );
    let records = records(&server);
    let withdrawn: Vec<&str> = records
        .values()
        .filter_map(|record| match &record.outcome {
            Outcome::Fault { reason } => reason.strip_prefix("withdrawn: "),
            _ => None,
        })
        .collect();
    assert!(
        !withdrawn.is_empty(),
        "no token was ever stopped at the door"
    );
    for jti in granted {
        let record = &records[&jti];
        assert_eq!(record.outcome, Outcome::Granted);
        assert!(!withdrawn.contains(&jti.to_string().as_str()));
        let then = server
            .app
            .ledger
            .index_as_of(record.as_of)
            .unwrap()
            .unwrap();
        let application = then.application(job.id()).unwrap();
        assert!(application.grant(api).is_some(), "as of {}", record.as_of);
    }
}

/// What keeps changing under a token is the server's trouble, said after three tries.
#[actix_web::test]
async fn a_token_whose_ground_keeps_moving_is_not_given() {
    let (server, _, job) = world().await;
    let unsettled = Cell::new(false);
    let asking = async {
        for _ in 0..2_000 {
            let answer = server.token(&job, &[("scope", "courses:read")]).await;
            if answer.status.as_u16() == 503 {
                assert_eq!(answer.json()["error"], "temporarily_unavailable");
                assert_eq!(answer.header("retry-after"), "1");
                break;
            }
        }
        unsettled.set(true);
    };
    let moving = async {
        let mut number = 0u64;
        while !unsettled.get() {
            number += 1;
            let labels = [("turn".into(), number.to_string().into())].into();
            let change = Command::ChangeApplication {
                id: job.id(),
                name: None,
                enabled: None,
                labels: Some(Labels::new(labels).unwrap()),
                token_settings: None,
            };
            server.execute(change).await;
        }
    };
    tokio::join!(asking, moving);
    let faults = |record: &&IssuanceRecord| matches!(record.outcome, Outcome::Fault { .. });
    let records = records(&server);
    assert!(
        records.values().filter(faults).count() >= 3,
        "three were withdrawn"
    );
}

/// The log itself has room left, and whoever makes room or revokes needs a token to do it.
#[actix_web::test]
async fn a_full_disk_stops_issuance_and_lets_an_administrator_revoke() {
    let (server, _, job) = world().await;
    let server = server.restart_with(|config| {
        // More than any disk has.
        config.disk.issuance_floor = crate::config::ByteSize(u64::MAX);
    });
    let refused = issue(&server.app, &request(&job)).await;
    assert!(
        matches!(refused, Err(IssueError::Unrecorded(_))),
        "{refused:?}"
    );
    assert_eq!(
        server
            .token(&job, &[("scope", "courses:read")])
            .await
            .status
            .as_u16(),
        503
    );
    assert_eq!(server.app.unready(), None, "administration goes on");

    let token = server.admin_token(&server.admin).await;
    let path = format!("/applications/{}", job.client_id);
    let disable = Some(serde_json::json!({"enabled": false}));
    let headers = [("writ-reason", "leaked")];
    let patch = actix_web::http::Method::PATCH;
    let answer = server.call(&token, patch, &path, &headers, disable).await;
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.json());
    assert!(!server.app.index().application(job.id()).unwrap().enabled);
    let record = server.app.issuances.last().unwrap();
    let record = server.app.issuances.find(record).unwrap().unwrap();
    assert_eq!(
        record.application,
        server.admin.id(),
        "recorded, as every token is"
    );
}

#[actix_web::test]
async fn what_is_off_is_not_recorded_and_what_is_refused_is() {
    let (server, _, job) = world().await;
    let off = SettingsChange {
        issuance_record: Some(RecordMode::Off),
        ..SettingsChange::default()
    };
    server
        .execute(Command::ChangeSettings { change: off })
        .await;
    issue(&server.app, &request(&job)).await.unwrap();
    assert_eq!(server.app.issuances.last(), None);
    let on = SettingsChange {
        issuance_record: Some(RecordMode::Durable),
        ..SettingsChange::default()
    };
    server.execute(Command::ChangeSettings { change: on }).await;
    let more = Request {
        ask: Ask {
            scope: Some("courses:write eyJhbGciOiJub25lIn0.e30."),
            resources: &[],
            ..Ask::default()
        },
        ..request(&job)
    };
    let error = issue(&server.app, &more).await.unwrap_err();
    assert!(matches!(error, IssueError::Denied(_)));
    let last = server.app.issuances.last().unwrap();
    let record = server.app.issuances.find(last).unwrap().unwrap();
    let reason = "scopes_unauthorized".into();
    assert_eq!(record.outcome, Outcome::Denied { reason });
    assert_eq!(*record.asked[1], *"[redacted]");
    assert!(record.granted.is_empty() && record.kid.is_none());

    // A resource as long as a form can be is the client's mistake and not our trouble.
    let long = "x".repeat(60_000);
    let secret = job.client_secret.as_str();
    for resource in [long.as_str(), secret] {
        let resources = [resource];
        let ask = Ask {
            scope: None,
            resources: &resources,
            ..Ask::default()
        };
        let error = issue(
            &server.app,
            &Request {
                ask,
                ..request(&job)
            },
        )
        .await
        .unwrap_err();
        assert!(matches!(error, IssueError::Denied(_)), "{error}");
        let record = server
            .app
            .issuances
            .find_bytes(server.app.issuances.last().unwrap());
        let record = String::from_utf8(record.unwrap().unwrap()).unwrap();
        assert!(!record.contains(secret) && record.len() < 2_000, "{record}");
    }
}

/// A clock that was wrong for a while must not spoil the tokens made afterwards, nor bring back
/// those that were revoked meanwhile.
#[actix_web::test]
async fn a_clock_that_jumped_ahead_and_was_set_back_does_no_harm() {
    let (server, _, job) = world().await;
    let token = async |server: &TestServer| {
        let answer = issue(&server.app, &request(&job)).await.unwrap();
        answer.access_token().to_owned()
    };
    let day = std::time::Duration::from_secs(86_400);
    let now = server.app.now();
    let (kept, revoked) = (token(&server).await, token(&server).await);
    let claims = server.app.validate_token(&revoked).unwrap();
    let revoke = |token: &crate::token::ValidatedToken| Command::RevokeToken {
        jti: token.claims.jti,
        application: job.id(),
        expires_at: token.ends_at(),
    };
    server.execute(revoke(&claims)).await;

    server.clock.advance(day);
    server
        .execute(Command::CutTokens {
            application: server.admin.id(),
        })
        .await;
    let ahead = token(&server).await;
    server.clock.set(now);
    assert!(
        server.app.validate_token(&revoked).is_err(),
        "it stays revoked"
    );
    // Forgotten revocations could be among the tokens from before, so none of them is trusted.
    assert!(server.app.validate_token(&kept).is_err());
    assert!(
        server.app.validate_token(&ahead).is_err(),
        "its time has not come"
    );
    let after = token(&server).await;
    let read = server.app.validate_token(&after).unwrap();
    assert_eq!(
        read.claims.iat,
        now.seconds(),
        "by the clock that is right again"
    );
    server.execute(revoke(&read)).await;
    assert!(server.app.validate_token(&after).is_err());

    let server = server.restart();
    let after = token(&server).await;
    assert!(
        server.app.validate_token(&after).is_ok(),
        "a restart does not bring it back"
    );
}

#[actix_web::test]
async fn a_key_that_was_lost_is_replaced_at_the_start() {
    let (server, _, job) = world().await;
    let kid = server
        .app
        .index()
        .active_key(Algorithm::ES256)
        .unwrap()
        .kid
        .clone();
    server.app.discard_key(&kid).await;
    let server = server.restart();
    let now = server
        .app
        .index()
        .active_key(Algorithm::ES256)
        .unwrap()
        .kid
        .clone();
    assert_ne!(now, kid);
    assert_eq!(server.app.unready(), None);
    issue(&server.app, &request(&job)).await.unwrap();
}

#[actix_web::test]
async fn a_stopping_server_tells_new_requests_to_go_elsewhere() {
    let (server, _, job) = world().await;
    assert_eq!(server.app.in_flight(), 0);
    server.app.close();
    let answer = server.token(&job, &[("scope", "courses:read")]).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(server.app.in_flight(), 0);
}

#[actix_web::test]
async fn keys_rotate_by_themselves_and_are_known_before_they_sign() {
    let (server, _, job) = world().await;
    let active = || {
        server
            .app
            .index()
            .active_key(Algorithm::ES256)
            .unwrap()
            .kid
            .clone()
    };
    let first = active();
    let day = std::time::Duration::from_secs(86_400);
    crate::maintenance::run_once(&server.app).await;
    assert_eq!(active(), first);
    let old = server.admin_token(&server.admin).await;

    // An hour before it is old, the next one is published.
    server
        .clock
        .advance(day * 90 - std::time::Duration::from_secs(3_600));
    crate::maintenance::run_once(&server.app).await;
    assert_eq!(active(), first);
    let index = server.app.index();
    let published = |key: &&Arc<writ_core::SigningKey>| {
        key.algorithm == Algorithm::ES256 && key.state == KeyState::Published
    };
    let next = index.keys().find(published).unwrap().kid.clone();
    assert!(
        server.app.ring().trusted(next.as_str()).is_some(),
        "it is in the JWKS"
    );

    server.clock.advance(std::time::Duration::from_secs(3_600));
    crate::maintenance::run_once(&server.app).await;
    assert_eq!(active(), next);
    assert_eq!(
        server.app.key_store.get(first.as_str()).unwrap(),
        None,
        "it never signs again"
    );
    let trusted = |kid: &writ_core::Kid| server.app.ring().trusted(kid.as_str()).is_some();
    assert!(trusted(&first), "tokens signed by it are still good");
    assert!(
        server.app.validate_token(&old).is_err(),
        "that one has expired"
    );
    issue(&server.app, &request(&job)).await.unwrap();

    server
        .clock
        .advance(day + std::time::Duration::from_secs(61));
    crate::maintenance::run_once(&server.app).await;
    assert!(!trusted(&first));
    assert!(server.app.index().key(first.as_str()).is_none());
}
