//! The OAuth endpoints over HTTP, in process: every row of the table of situations, and what
//! introspection and revocation say to whom.

#![expect(clippy::unwrap_used, reason = "tests")]

mod assertions;
mod bindings;
mod details;
mod exchange;
mod fapi;
mod protocol;
mod quotas;
mod registration;
mod workloads;

use crate::testing::{Answer, ISSUER, Job, TestServer, blocking};
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;
use writ_core::{
    Algorithm, ApiId, Audience, Command, GrantMode, Jti, Kid, MANAGEMENT_IDENTIFIER, OmittedScopes,
    ProfileChange, SettingsChange, TokenProfile, TokenSettings, TokenType, UnauthorizedScopes,
};

const COURSES: &str = "https://courses.example/api";
const GRADES: &str = "https://grades.example/api";

async fn world() -> (TestServer, ApiId, Job) {
    let server = TestServer::new();
    let scopes = ["courses:publish", "courses:read", "courses:write"];
    let api = server.api(COURSES, &scopes, TokenProfile::default()).await;
    let job = server
        .application(api, &["courses:publish", "courses:read"])
        .await;
    (server, api, job)
}

fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, which: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(which).unwrap())
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> String {
    assert_eq!(
        answer.status.as_u16(),
        status,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let body = answer.json();
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(answer.header("cache-control"), "no-store");
    body["error_description"].as_str().unwrap().to_owned()
}

async fn settings(server: &TestServer, change: SettingsChange) {
    server.execute(Command::ChangeSettings { change }).await;
}

#[actix_web::test]
async fn a_token_is_what_rfc_9068_says() {
    let (server, _, job) = world().await;
    let answer = server
        .token(&job, &[("scope", "courses:read courses:publish")])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["scope"], "courses:publish courses:read");

    let token = body["access_token"].as_str().unwrap();
    let (header, claims) = (part(token, 0), claims(token));
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    let now = server.app.now().seconds();
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": job.client_id, "aud": COURSES, "client_id": job.client_id,
            "iat": now, "nbf": now, "exp": now + 900, "jti": claims["jti"],
            "scope": "courses:publish courses:read",
        })
    );
    let jti: Jti = claims["jti"].as_str().unwrap().parse().unwrap();
    assert_eq!(jti.millis(), server.app.now());
    let record = server.app.issuances.find(jti).unwrap().unwrap();
    assert_eq!(record.application, job.id());
    assert_eq!(record.granted.len(), 2);
    assert_eq!(record.outcome, writ_ledger::Outcome::Granted);
    assert!(
        !serde_json::to_string(&record)
            .unwrap()
            .contains(&job.client_secret)
    );
}

#[actix_web::test]
async fn every_algorithm_and_type_can_be_chosen_and_verifies_with_the_jwks() {
    let server = TestServer::new();
    for algorithm in Algorithm::ALL {
        let identifier = format!("https://{algorithm}.example");
        let scope = format!("read:{algorithm}");
        let profile = TokenProfile {
            algorithm,
            typ: TokenType::Jwt,
            lifetime_seconds: Some(60),
            ..TokenProfile::default()
        };
        let api = server.api(&identifier, &[&scope], profile).await;
        let job = server.application(api, &[&scope]).await;
        let token = server
            .access_token(&job, &[("resource", &identifier)])
            .await;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("JWT"));

        let jwks = server.send(TestRequest::get().uri("/oauth2/jwks")).await;
        assert_eq!(jwks.header("cache-control"), "public, max-age=300");
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&jwks.body).unwrap();
        let jwk = set.find(header.kid.as_deref().unwrap()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
        let mut validation = jsonwebtoken::Validation::new(header.alg);
        validation.set_audience(&[&identifier]);
        validation.set_issuer(&[ISSUER]);
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        let claims = read.claims;
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            60
        );
    }
}

#[actix_web::test]
async fn basic_and_post_are_taken_and_both_at_once_are_not() {
    let (server, _, job) = world().await;
    let basic =
        |id: &str, secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let ask = |authorization: String, more: &'static [(&'static str, &'static str)]| {
        let form = [
            &[
                ("grant_type", "client_credentials"),
                ("scope", "courses:read"),
            ],
            more,
        ]
        .concat();
        let request = TestRequest::post().uri("/oauth2/token").set_form(form);
        server.send(request.insert_header(("authorization", authorization)))
    };
    let right = basic(&job.client_id, &job.client_secret);
    assert_eq!(ask(right.clone(), &[]).await.status, StatusCode::OK);
    let both = ask(right, &[("client_secret", "x")]).await;
    refused(&both, 400, "invalid_request");
    let wrong = ask(basic(&job.client_id, "wrong"), &[]).await;
    refused(&wrong, 401, "invalid_client");
    assert!(wrong.header("www-authenticate").starts_with("Basic realm="));
    for malformed in ["Basic", "Basic !!!", "Digest x", "Bearer x"] {
        refused(&ask(malformed.to_owned(), &[]).await, 401, "invalid_client");
    }
}

#[actix_web::test]
async fn unknown_wrong_and_disabled_are_one_answer() {
    let (server, _, job) = world().await;
    let unknown = Job {
        client_id: "00000000000000000000000001".into(),
        ..job.clone()
    };
    let malformed = Job {
        client_id: "../admin".into(),
        ..job.clone()
    };
    let wrong = Job {
        client_secret: server.admin.client_secret.clone(),
        ..job.clone()
    };
    let mut answers = Vec::new();
    for who in [&unknown, &malformed, &wrong] {
        answers.push(server.token(who, &[("scope", "courses:read")]).await);
    }
    let disable = Command::ChangeApplication {
        id: job.id(),
        name: None,
        enabled: Some(false),
        labels: None,
        token_settings: None,
    };
    server.execute(disable).await;
    answers.push(server.token(&job, &[("scope", "courses:read")]).await);
    for answer in &answers {
        refused(answer, 401, "invalid_client");
        assert_eq!(
            answer.body, answers[0].body,
            "nobody can tell the reasons apart"
        );
    }
}

#[actix_web::test]
async fn a_secret_that_expired_or_was_revoked_is_none() {
    let (server, _, job) = world().await;
    let secret = crate::credentials::Secret::generate(&*server.app.random);
    let id = writ_core::SecretId(server.app.ids.next_id());
    let expires_at = Some(server.app.now().plus_seconds(60));
    let new = writ_core::NewSecret {
        id,
        digest: secret.digest(),
        expires_at,
    };
    server
        .execute(Command::AddSecret {
            application: job.id(),
            secret: new,
        })
        .await;
    let second = Job {
        client_secret: secret.expose().to_owned(),
        ..job.clone()
    };
    let ask = [("scope", "courses:read")];
    server.access_token(&second, &ask).await;
    server.access_token(&job, &ask).await;
    server.clock.advance(Duration::from_secs(60));
    refused(&server.token(&second, &ask).await, 401, "invalid_client");
    let first = server.app.index().application(job.id()).unwrap().secrets[0].id;
    server
        .execute(Command::RevokeSecret {
            application: job.id(),
            secret: first,
        })
        .await;
    refused(&server.token(&job, &ask).await, 401, "invalid_client");
}

#[actix_web::test]
async fn scopes_that_are_not_granted_are_refused_or_dropped() {
    let (server, _, job) = world().await;
    let ask = [("scope", "courses:read courses:write nothing:such")];
    let text = refused(&server.token(&job, &ask).await, 400, "invalid_scope");
    assert!(
        text.contains("courses:write nothing:such") && !text.contains("courses:read"),
        "{text}"
    );
    settings(
        &server,
        SettingsChange {
            scopes_unauthorized: Some(UnauthorizedScopes::Drop),
            ..SettingsChange::default()
        },
    )
    .await;
    assert_eq!(
        server.token(&job, &ask).await.json()["scope"],
        "courses:read"
    );
    // Nothing left, and no resource: there would be no audience.
    let none = server.token(&job, &[("scope", "courses:write")]).await;
    refused(&none, 400, "invalid_scope");
    let audience = server
        .token(&job, &[("scope", "courses:write"), ("resource", COURSES)])
        .await;
    assert_eq!(audience.json()["scope"], "");
}

#[actix_web::test]
async fn without_scope_a_resource_gives_all_and_nothing_gives_what_the_setting_says() {
    let (server, _, job) = world().await;
    let all = server.token(&job, &[("resource", COURSES)]).await;
    assert_eq!(all.json()["scope"], "courses:publish courses:read");
    refused(&server.token(&job, &[]).await, 400, "invalid_scope");
    refused(
        &server.token(&job, &[("scope", "")]).await,
        400,
        "invalid_scope",
    );
    let omitted = Some(OmittedScopes::All);
    settings(
        &server,
        SettingsChange {
            scopes_omitted: omitted,
            ..SettingsChange::default()
        },
    )
    .await;
    assert_eq!(
        server.token(&job, &[]).await.json()["scope"],
        "courses:publish courses:read"
    );
    // "All" never has the management API in it.
    refused(
        &server.token(&server.admin, &[]).await,
        400,
        "invalid_scope",
    );
    let unknown = server
        .token(&job, &[("resource", "https://unknown.example")])
        .await;
    refused(&unknown, 400, "invalid_target");
}

#[actix_web::test]
async fn several_resources_must_be_named_and_agree() {
    let (server, _, job) = world().await;
    let grades = server
        .api(GRADES, &["grades:read"], TokenProfile::default())
        .await;
    let scopes = vec!["grades:read".parse().unwrap()];
    let mode = GrantMode::None;
    server
        .execute(Command::AddGrant {
            application: job.id(),
            api: grades,
            mode,
            scopes,
        })
        .await;

    let both = ("scope", "courses:read grades:read");
    let text = refused(&server.token(&job, &[both]).await, 400, "invalid_target");
    assert!(text.contains(COURSES) && text.contains(GRADES), "{text}");
    let one_named = server.token(&job, &[both, ("resource", COURSES)]).await;
    refused(&one_named, 400, "invalid_target");
    let named = [both, ("resource", COURSES), ("resource", GRADES)];
    let token = server.access_token(&job, &named).await;
    assert_eq!(claims(&token)["aud"], json!([COURSES, GRADES]));

    let algorithm = Some(Algorithm::EdDSA);
    let profile = ProfileChange {
        algorithm,
        ..ProfileChange::default()
    };
    let change = Command::ChangeApiResource {
        id: grades,
        name: None,
        requires_authorization: None,
        profile,
        guards: None,
    };
    server.execute(change).await;
    refused(&server.token(&job, &named).await, 400, "invalid_target");
    let management = [("resource", COURSES), ("resource", MANAGEMENT_IDENTIFIER)];
    refused(
        &server.token(&server.admin, &management).await,
        400,
        "invalid_target",
    );
}

#[actix_web::test]
async fn an_open_api_needs_no_grant_and_an_audience_can_be_the_application() {
    let (server, courses, job) = world().await;
    let api = server
        .api(GRADES, &["grades:read"], TokenProfile::default())
        .await;
    let ask = [("scope", "grades:read")];
    refused(&server.token(&job, &ask).await, 400, "invalid_scope");
    let open = Command::ChangeApiResource {
        id: api,
        name: None,
        requires_authorization: Some(false),
        profile: ProfileChange::default(),
        guards: None,
    };
    server.execute(open).await;
    server.access_token(&job, &ask).await;

    let token_settings = TokenSettings {
        audience: Audience::ClientId,
        extra_audiences: vec!["https://gateway.example".parse().unwrap()],
        lifetime_seconds: Some(30),
        ..TokenSettings::default()
    };
    let change = Command::ChangeApplication {
        id: job.id(),
        name: None,
        enabled: None,
        labels: None,
        token_settings: Some(token_settings),
    };
    server.execute(change).await;
    let answer = server
        .token(&job, &[("scope", "courses:read")])
        .await
        .json();
    assert_eq!(answer["expires_in"], 30);
    let claims = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(
        claims["aud"],
        json!([job.client_id, "https://gateway.example"])
    );
    // A guard is found by the scopes then.
    let guard = server.application(courses, &[]).await;
    guards(&server, courses, &guard).await;
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(introspect(&server, &guard, token).await["active"], true);
}

#[actix_web::test]
async fn malformed_requests_are_refused_as_rfc_6749_says() {
    let (server, _, job) = world().await;
    let head = server.head();
    let (id, secret) = (job.client_id.as_str(), job.client_secret.as_str());
    let raw = |body: String, content_type: &'static str| {
        let request = TestRequest::post().uri("/oauth2/token").set_payload(body);
        server.send(request.insert_header(("content-type", content_type)))
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let credentials = format!("client_id={id}&client_secret={secret}");
    let grant = "grant_type=client_credentials";

    let cases = [
        (format!("{grant}&{credentials}&scope=a&scope=b"), FORM),
        (format!("{grant}&{credentials}&client_id={id}"), FORM),
        (format!("{grant}&{credentials}&scope=%ff"), FORM),
        (format!("{grant}&{credentials}&scope=%zz"), FORM),
        (credentials.clone(), FORM),
        (
            format!("{{\"grant_type\":\"client_credentials\",\"client_id\":\"{id}\"}}"),
            "application/json",
        ),
        (format!("{grant}&{credentials}"), "text/plain"),
    ];
    for (body, content_type) in cases {
        let answer = raw(body.clone(), content_type).await;
        let text = refused(&answer, 400, "invalid_request");
        assert!(!text.contains(secret), "{text}");
    }
    let large = raw(
        format!("{grant}&{credentials}&x={}", "a".repeat(70_000)),
        FORM,
    )
    .await;
    refused(&large, 413, "invalid_request");
    let other = raw(format!("grant_type=password&{credentials}"), FORM).await;
    refused(&other, 400, "unsupported_grant_type");
    let many = vec!["courses:read"; 10_000].join(" ");
    refused(
        &server.token(&job, &[("scope", &many)]).await,
        413,
        "invalid_request",
    );
    let short = vec!["a"; 10_000].join(" ");
    refused(
        &server.token(&job, &[("scope", &short)]).await,
        400,
        "invalid_scope",
    );
    for scope in ["a  b", " a", "a\tb", "a\"b", "\u{e9}"] {
        refused(
            &server.token(&job, &[("scope", scope)]).await,
            400,
            "invalid_scope",
        );
    }
    let uri = format!("/oauth2/token?client_id={id}&client_secret={secret}");
    let in_query = server
        .send(
            TestRequest::post()
                .uri(&uri)
                .set_form([("grant_type", "x")]),
        )
        .await;
    assert!(!refused(&in_query, 400, "invalid_request").contains(secret));
    refused(
        &server
            .post("/oauth2/token", &[("grant_type", "client_credentials")])
            .await,
        401,
        "invalid_client",
    );

    let get = server.send(TestRequest::get().uri("/oauth2/token")).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    let nowhere = server
        .send(TestRequest::get().uri("/oauth2/../etc/passwd"))
        .await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(server.head(), head, "nothing of this is an event");
}

async fn guards(server: &TestServer, api: ApiId, guard: &Job) {
    let change = Command::ChangeApiResource {
        id: api,
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(vec![guard.id()]),
    };
    server.execute(change).await;
}

async fn introspect(server: &TestServer, who: &Job, token: &str) -> Value {
    let form = [
        ("client_id", who.client_id.as_str()),
        ("client_secret", who.client_secret.as_str()),
        ("token", token),
    ];
    let answer = server.post("/oauth2/introspect", &form).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

/// The signed answer (RFC 9701).
async fn signed_introspection(server: &TestServer, who: &Job, token: &str) -> String {
    let request = TestRequest::post()
        .uri("/oauth2/introspect")
        .insert_header(("accept", "application/token-introspection+jwt"))
        .set_form([
            ("client_id", who.client_id.as_str()),
            ("client_secret", who.client_secret.as_str()),
            ("token", token),
        ]);
    let answer = server.send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    String::from_utf8(answer.body).unwrap()
}

#[actix_web::test]
async fn introspection_tells_guards_and_administrators_and_nobody_else() {
    let (server, api, job) = world().await;
    let guard = server.application(api, &[]).await;
    guards(&server, api, &guard).await;
    let token = server
        .access_token(&job, &[("scope", "courses:read")])
        .await;

    let active = introspect(&server, &guard, &token).await;
    assert_eq!(active["active"], true);
    assert_eq!(active["scope"], "courses:read");
    assert_eq!(active["client_id"], job.client_id);
    assert_eq!(active["token_type"], "Bearer");
    assert_eq!(
        introspect(&server, &server.admin, &token).await["active"],
        true
    );
    assert_eq!(
        introspect(&server, &job, &token).await,
        json!({"active": false})
    );
    assert_eq!(
        introspect(&server, &guard, "nonsense").await,
        json!({"active": false})
    );
    let stranger = Job {
        client_secret: "wrong".into(),
        ..guard.clone()
    };
    let form = [
        ("client_id", &*stranger.client_id),
        ("client_secret", "wrong"),
        ("token", &*token),
    ];
    refused(
        &server.post("/oauth2/introspect", &form).await,
        401,
        "invalid_client",
    );

    let bearer = server.admin_token(&server.admin).await;
    let request = TestRequest::post()
        .uri("/oauth2/introspect")
        .insert_header(("authorization", format!("Bearer {bearer}")))
        .set_form([("token", &token)]);
    assert_eq!(server.send(request).await.json()["active"], true);
    let request = TestRequest::post()
        .uri("/oauth2/introspect")
        .insert_header(("authorization", format!("Bearer {token}")))
        .set_form([("token", &token)]);
    refused(&server.send(request).await, 401, "invalid_client");

    server.clock.advance(Duration::from_secs(900));
    assert_eq!(
        introspect(&server, &guard, &token).await,
        json!({"active": false})
    );
}

#[actix_web::test]
async fn revoked_cut_disabled_and_compromised_tokens_are_inactive() {
    let (server, api, job) = world().await;
    let ask = [("scope", "courses:read")];
    let active =
        async |token: &str| introspect(&server, &server.admin, token).await["active"] == true;
    let revoke = async |who: &Job, token: &str| {
        let form = [
            ("client_id", &*who.client_id),
            ("client_secret", &*who.client_secret),
            ("token", token),
        ];
        assert_eq!(
            server.post("/oauth2/revoke", &form).await.status,
            StatusCode::OK
        );
    };

    let token = server.access_token(&job, &ask).await;
    let head = server.head();
    let other = server.application(api, &[]).await;
    let made = server.head();
    revoke(&other, &token).await;
    revoke(&job, "nonsense").await;
    assert_eq!(
        (server.head(), made > head),
        (made, true),
        "foreign and unknown: no event"
    );
    assert!(active(&token).await);
    revoke(&job, &token).await;
    assert!(!active(&token).await);
    let revoked = server.head();
    revoke(&job, &token).await;
    assert_eq!(server.head(), revoked, "once is enough");

    let before = server.access_token(&job, &ask).await;
    server
        .execute(Command::CutTokens {
            application: job.id(),
        })
        .await;
    assert!(!active(&before).await);
    let after = server.access_token(&job, &ask).await;
    assert!(
        active(&after).await,
        "a token after the cut is free, even in its millisecond"
    );
    assert!(
        server.app.index().application(job.id()).unwrap().has_cut(
            claims(&before)["jti"]
                .as_str()
                .unwrap()
                .parse::<Jti>()
                .unwrap()
                .millis()
        )
    );

    let kid: Kid = part(&after, 0)["kid"].as_str().unwrap().parse().unwrap();
    let replacement = Some(server.app.make_key(Algorithm::ES256).await.unwrap());
    server
        .execute(Command::RevokeSigningKey {
            kid: kid.clone(),
            replacement,
        })
        .await;
    assert!(!active(&after).await);
    let jwks = server.send(TestRequest::get().uri("/oauth2/jwks")).await;
    assert!(!String::from_utf8(jwks.body).unwrap().contains(kid.as_str()));
    assert_eq!(
        server.app.key_store.get(kid.as_str()).unwrap(),
        None,
        "destroyed"
    );
    let next = server.access_token(&job, &ask).await;
    assert_ne!(part(&next, 0)["kid"], kid.as_str());
    assert!(active(&next).await);

    let disable = Command::ChangeApplication {
        id: job.id(),
        name: None,
        enabled: Some(false),
        labels: None,
        token_settings: None,
    };
    server.execute(disable).await;
    assert!(!active(&next).await);
}

#[actix_web::test]
async fn tokens_of_others_and_of_nobody_are_no_tokens() {
    let (server, _, job) = world().await;
    let token = server
        .access_token(&job, &[("scope", "courses:read")])
        .await;
    let [header, body, signature]: [&str; 3] =
        token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = &part(&token, 0)["kid"];
    let none = encode(json!({"alg": "none", "typ": "at+jwt", "kid": kid}));
    let hmac = encode(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}));
    let rs256 = encode(json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}));
    let mut richer = claims(&token);
    richer["scope"] = json!("courses:read courses:write");
    let forged = [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{hmac}.{body}.{signature}"),
        format!("{rs256}.{body}.{signature}"),
        format!("{header}.{}.{signature}", encode(richer)),
        format!("{header}.{body}.{}", "A".repeat(86)),
        format!("{header}.{body}"),
        String::new(),
        "a.b.c".repeat(10_000),
    ];
    for token in &forged {
        assert!(server.app.validate_token(token).is_err(), "{token:.80}");
    }
    assert!(server.app.validate_token(&token).is_ok());
}

#[actix_web::test]
async fn metadata_is_found_where_both_specifications_look() {
    let server = TestServer::new();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let answer = server
            .send(TestRequest::get().uri(&format!("/.well-known/{name}")))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        let body = answer.json();
        assert_eq!(body["issuer"], ISSUER);
        assert_eq!(body["token_endpoint"], format!("{ISSUER}/oauth2/token"));
        assert_eq!(body["jwks_uri"], format!("{ISSUER}/oauth2/jwks"));
    }
    let jwks = server.send(TestRequest::get().uri("/oauth2/jwks")).await;
    let again = TestRequest::get()
        .uri("/oauth2/jwks")
        .insert_header(("if-none-match", jwks.header("etag")));
    assert_eq!(server.send(again).await.status, StatusCode::NOT_MODIFIED);
}

#[actix_web::test]
async fn health_readiness_and_metrics_tell_the_truth() {
    let (server, _, job) = world().await;
    let get = |path: &'static str| server.send(TestRequest::get().uri(path));
    assert_eq!(get("/healthz").await.status, StatusCode::OK);
    assert_eq!(get("/readyz").await.status, StatusCode::OK);
    server
        .access_token(&job, &[("scope", "courses:read")])
        .await;
    let metrics = String::from_utf8(get("/metrics").await.body).unwrap();
    assert!(
        metrics.contains("writ_tokens_issued_total{algorithm=\"ES256\"} 1"),
        "{metrics}"
    );
    assert!(
        !metrics.contains(&job.client_id),
        "no label names an application"
    );
    server.app.drain();
    let draining = get("/readyz").await;
    assert_eq!(draining.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/healthz").await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_client_certificate_header_is_for_trusted_proxies_only() {
    let (server, _, job) = world().await;
    let form = [
        ("client_id", &*job.client_id),
        ("client_secret", &*job.client_secret),
    ];
    let request = TestRequest::post()
        .uri("/oauth2/token")
        .insert_header(("client-cert", ":AAAA:"))
        .set_form([&form[..], &[("grant_type", "client_credentials")]].concat());
    refused(&server.send(request).await, 400, "invalid_request");
}

#[actix_web::test]
async fn after_a_restart_tokens_and_revocations_are_as_before() {
    let (server, _, job) = world().await;
    let ask = [("scope", "courses:read")];
    let (kept, cut) = (
        server.access_token(&job, &ask).await,
        server.access_token(&job, &ask).await,
    );
    let form = [
        ("client_id", &*job.client_id),
        ("client_secret", &*job.client_secret),
        ("token", &*cut),
    ];
    server.post("/oauth2/revoke", &form).await;
    let before = server.app.index();
    // The next start reads this, and knows of the revocation by it.
    let write = || server.app.snapshots.write(&server.app.ledger);
    blocking(write).expect("a snapshot");
    let server = server.restart();
    assert_eq!(server.app.snapshots.last(), before.next_position().0);
    assert!(server.app.validate_token(&kept).is_ok());
    assert!(server.app.validate_token(&cut).is_err());
    let as_of = server
        .app
        .ledger
        .index_as_of(before.head().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(*as_of, *before);
    server.access_token(&job, &ask).await;
}

/// The other engine carries the whole server: changes, tokens, revocations, and all of it again
/// after a start. That it keeps what it promised is tested in the ledger.
#[cfg(feature = "sled")]
#[actix_web::test]
async fn a_server_on_sled_is_the_same_server() {
    let server = TestServer::on_sled();
    let kept_by = |name: &str| server.data_dir().join(name).exists();
    assert!(kept_by("admin.sled") && !kept_by("admin.redb"));
    let profile = TokenProfile::default();
    let api = server.api(COURSES, &["courses:read"], profile).await;
    let job = server.application(api, &["courses:read"]).await;
    let ask = [("scope", "courses:read")];
    let (kept, revoked) = (
        server.access_token(&job, &ask).await,
        server.access_token(&job, &ask).await,
    );
    let form = [
        ("client_id", &*job.client_id),
        ("client_secret", &*job.client_secret),
        ("token", &*revoked),
    ];
    assert_eq!(
        server.post("/oauth2/revoke", &form).await.status,
        StatusCode::OK
    );
    let (head, before) = (server.head(), server.app.index());

    let server = server.restart();
    assert_eq!(server.head(), head + 1, "the start is an event");
    let as_of = server.app.ledger.index_as_of(before.head().unwrap());
    assert_eq!(*as_of.unwrap().unwrap(), *before);
    assert!(server.app.validate_token(&kept).is_ok());
    assert!(server.app.validate_token(&revoked).is_err());
    server.access_token(&job, &ask).await;
    let token = server.admin_token(&server.admin).await;
    let path = format!("/events?entity=application/{}", job.client_id);
    let get = actix_web::http::Method::GET;
    let events = server.call(&token, get, &path, &[], None).await;
    let events = events.json();
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["event"]["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "application.created",
        "application.secret_added",
        "grant.added",
        "token.revoked",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(server.app.ledger.engine_name(), "sled");
    let ready = server.send(TestRequest::get().uri("/readyz")).await;
    assert_eq!(ready.status, StatusCode::OK);
}
