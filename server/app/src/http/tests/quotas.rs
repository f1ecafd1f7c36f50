//! Quotas, the budget of failures, and the use of credentials, over HTTP.

use super::*;
use crate::audit::{Surroundings, explain};
use crate::issue::tests::policies::DENIES;
use crate::maintenance;
use crate::overload;
use writ_core::{NewSecret, PolicyMode, PolicyTarget, Quota, QuotaMode, SecretId};
use writ_ledger::Outcome;
use writ_sandbox::testkit::module;

async fn limit(server: &TestServer, job: &Job, quota: Quota) {
    let change = Command::ChangeQuota {
        application: job.id(),
        quota: Some(quota),
    };
    server.execute(change).await;
}

fn per_minute(tokens: u32) -> Quota {
    Quota {
        per_minute: Some(tokens),
        ..Quota::default()
    }
}

async fn asked(server: &TestServer, job: &Job) -> Answer {
    server.token(job, &[("scope", "courses:read")]).await
}

fn metric(server: &TestServer, line: &str) -> bool {
    let text = server.app.metrics.encode();
    text.lines().any(|found| found == line)
}

#[actix_web::test]
async fn rfc_6585_section_4_a_quota_that_is_used_up_is_429_with_retry_after() {
    let (server, api, job) = world().await;
    let other = server.application(api, &["courses:read"]).await;
    limit(&server, &job, per_minute(2)).await;
    for _ in 0..2 {
        assert_eq!(asked(&server, &job).await.status, StatusCode::OK);
    }
    let answer = asked(&server, &job).await;
    refused(&answer, 429, "temporarily_unavailable");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((60..=65).contains(&seconds), "{seconds}");
    assert!(metric(
        &server,
        "writ_quotas_used_up_total{mode=\"enforce\"} 1"
    ));
    // Nobody else is concerned, and what does not come to a token takes none.
    assert_eq!(asked(&server, &other).await.status, StatusCode::OK);

    server.clock.advance(Duration::from_secs(seconds - 1));
    refused(&asked(&server, &job).await, 429, "temporarily_unavailable");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(asked(&server, &job).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_refusal_by_quota_is_recorded_and_explained_as_none_of_the_rules() {
    let (server, _, job) = world().await;
    limit(&server, &job, per_minute(1)).await;
    asked(&server, &job).await;
    refused(&asked(&server, &job).await, 429, "temporarily_unavailable");
    let app = &server.app;
    let record = app.issuances.find(app.issuances.last().unwrap());
    let record = record.unwrap().unwrap();
    let reason = "quota_used_up".into();
    assert_eq!(record.outcome, Outcome::Denied { reason });
    let with = Surroundings {
        modules: &|_| Err("none".into()),
        engine: app.policies.engine(),
        issuer: None,
        withdrawn_by: None,
    };
    let explanation = explain(&record, &app.index(), &with);
    assert_eq!(explanation.verdict, writ_api::ExplanationVerdict::Equal);
}

#[actix_web::test]
async fn what_comes_to_no_token_takes_nothing_of_the_quota() {
    let (server, _, job) = world().await;
    limit(&server, &job, per_minute(1)).await;
    for _ in 0..3 {
        let answer = server.token(&job, &[("scope", "courses:write")]).await;
        refused(&answer, 400, "invalid_scope");
    }
    let target = PolicyTarget::Application(job.id());
    let policy = module(DENIES);
    let id = server.bind(target, PolicyMode::Enforce, &policy, &[]).await;
    for _ in 0..3 {
        refused(&asked(&server, &job).await, 400, "access_denied");
    }
    server.execute(Command::UnbindPolicy { id }).await;
    assert_eq!(asked(&server, &job).await.status, StatusCode::OK);
    refused(&asked(&server, &job).await, 429, "temporarily_unavailable");
}

#[actix_web::test]
async fn a_quota_that_is_only_watched_refuses_nothing() {
    let (server, _, job) = world().await;
    let watched = Quota {
        mode: QuotaMode::Monitor,
        ..per_minute(1)
    };
    limit(&server, &job, watched).await;
    for _ in 0..4 {
        assert_eq!(asked(&server, &job).await.status, StatusCode::OK);
    }
    assert!(metric(
        &server,
        "writ_quotas_used_up_total{mode=\"monitor\"} 3"
    ));
    assert!(metric(
        &server,
        "writ_quotas_used_up_total{mode=\"enforce\"} 0"
    ));
    // Enforced from now on, what was taken counts.
    limit(&server, &job, per_minute(4)).await;
    refused(&asked(&server, &job).await, 429, "temporarily_unavailable");
}

/// From an address, with a secret.
async fn from(server: &TestServer, address: &str, id: &str, secret: &str) -> Answer {
    let request = TestRequest::post()
        .uri("/oauth2/token")
        .peer_addr(format!("{address}:4711").parse().unwrap())
        .set_form([
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", "courses:read"),
        ]);
    server.send(request).await
}

#[actix_web::test]
async fn failures_are_budgeted_by_where_they_come_from_and_whom_they_name() {
    let (server, api, job) = world().await;
    let other = server.application(api, &["courses:read"]).await;
    let (id, secret) = (job.client_id.as_str(), job.client_secret.as_str());
    let nobody = "00000000000000000000000099";
    for claimed in [id, nobody] {
        for _ in 0..30 {
            refused(
                &from(&server, "192.0.2.7", claimed, "wrong").await,
                401,
                "invalid_client",
            );
        }
        // Right or wrong, known or not: nothing is looked at.
        for secret in ["wrong", secret] {
            let answer = from(&server, "192.0.2.7", claimed, secret).await;
            refused(&answer, 429, "temporarily_unavailable");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
    }
    assert!(metric(&server, "writ_authentications_refused_total 4"));
    // The application is not locked out elsewhere, nor others there.
    let answer = from(&server, "192.0.2.8", id, secret).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = from(&server, "192.0.2.7", &other.client_id, &other.client_secret).await;
    assert_eq!(answer.status, StatusCode::OK);
    // Introspection and revocation take the same credentials.
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let request = TestRequest::post()
            .uri(path)
            .peer_addr("192.0.2.7:1".parse().unwrap())
            .set_form([("client_id", id), ("client_secret", secret), ("token", "x")]);
        refused(&server.send(request).await, 429, "temporarily_unavailable");
    }
    server.clock.advance(Duration::from_secs(60));
    let answer = from(&server, "192.0.2.7", id, secret).await;
    assert_eq!(answer.status, StatusCode::OK);
}

async fn secrets(server: &TestServer, job: &Job) -> Value {
    let token = server.admin_token(&server.admin).await;
    let path = format!("/applications/{}/secrets", job.client_id);
    let get = actix_web::http::Method::GET;
    server.call(&token, get, &path, &[], None).await.json()["items"].clone()
}

/// Adds a secret to an application.
async fn rotated(server: &TestServer, job: &Job) -> Job {
    let secret = crate::credentials::Secret::generate(&*server.app.random);
    let new = NewSecret {
        id: SecretId(server.app.ids.next_id()),
        digest: secret.digest(),
        expires_at: None,
    };
    server
        .execute(Command::AddSecret {
            application: job.id(),
            secret: new,
        })
        .await;
    Job {
        client_id: job.client_id.clone(),
        client_secret: secret.expose().to_owned(),
    }
}

#[actix_web::test]
async fn secrets_say_when_they_were_last_used_and_whether_they_should_be() {
    let (server, _, old) = world().await;
    let before = secrets(&server, &old).await;
    assert_eq!(before[0]["last_used_at"], Value::Null, "{before}");
    server.clock.advance(Duration::from_secs(1));
    let used_at = server.app.now().to_string();
    asked(&server, &old).await;
    asked(&server, &old).await;
    let wrong = Job {
        client_secret: "wrong".to_owned(),
        ..old.clone()
    };
    asked(&server, &wrong).await;
    let shown = secrets(&server, &old).await;
    assert_eq!(shown[0]["last_used_at"], used_at);
    assert_eq!(shown[0]["used"], 2);
    assert_eq!(shown[0]["superseded"], Value::Null);

    let new = rotated(&server, &old).await;
    maintenance::run_once(&server.app).await;
    assert!(metric(&server, "writ_superseded_secrets_in_use 0"));
    server.clock.advance(Duration::from_secs(1));
    asked(&server, &new).await;
    asked(&server, &old).await;
    maintenance::run_once(&server.app).await;
    assert!(metric(&server, "writ_superseded_secrets_in_use 1"));
    let shown = secrets(&server, &old).await;
    assert_eq!(
        (&shown[0]["superseded"], &shown[0]["used"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(
        (&shown[1]["superseded"], &shown[1]["used"]),
        (&json!(null), &json!(1))
    );

    // The past does not know, and a restart does.
    let token = server.admin_token(&server.admin).await;
    let head = server.app.index().head().unwrap().0;
    let path = format!("/applications/{}/secrets?as_of={head}", old.client_id);
    let get = actix_web::http::Method::GET;
    let past = server.call(&token, get, &path, &[], None).await.json();
    assert_eq!(past["items"][0]["used"], Value::Null);
    let server = server.restart();
    let again = secrets(&server, &old).await;
    assert_eq!(again, shown);
}

#[actix_web::test]
async fn every_credential_that_is_used_is_listed() {
    let (server, _, job) = world().await;
    asked(&server, &job).await;
    server
        .app
        .usage
        .used(job.id(), "a-thumbprint", server.app.now());
    let token = server.admin_token(&server.admin).await;
    let path = format!("/applications/{}/credentials?limit=1", job.client_id);
    let get = actix_web::http::Method::GET;
    let first = server
        .call(&token, get.clone(), &path, &[], None)
        .await
        .json();
    let after = first["next"].as_str().unwrap();
    let path = format!("{path}&after={after}");
    let second = server.call(&token, get, &path, &[], None).await.json();
    let of = |page: &Value| page["items"][0]["credential"].as_str().unwrap().to_owned();
    let mut found = [of(&first), of(&second)];
    found.sort_unstable();
    assert_eq!(found[1], "a-thumbprint");
    assert_eq!(second["next"], Value::Null);
}

#[actix_web::test]
async fn rfc_9110_section_15_6_4_in_a_flood_the_one_who_makes_it_is_told_to_come_again() {
    let (server, api, flooding) = world().await;
    let other = server.application(api, &["courses:read"]).await;
    let scope = [("scope", "courses:read")];
    overload::pretend(Duration::from_millis(120));
    for _ in 0..20 {
        let answer = server.token(&flooding, &scope).await;
        refused(&answer, 503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    // From the same address.
    assert_eq!(server.token(&other, &scope).await.status, StatusCode::OK);
    let metrics = server.send(TestRequest::get().uri("/metrics")).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("writ_requests_shed_total 20"), "{metrics}");

    // So late that nothing is read any more but what administrators say.
    overload::pretend(Duration::from_secs(1));
    let answer = server.token(&other, &scope).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
    let admin = TestRequest::get().uri("/api/v1/applications");
    assert_eq!(server.send(admin).await.status, StatusCode::UNAUTHORIZED);
    overload::pretend(Duration::ZERO);
    assert_eq!(server.token(&flooding, &scope).await.status, StatusCode::OK);
}
