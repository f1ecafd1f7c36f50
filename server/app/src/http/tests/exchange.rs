//! Token exchange (RFC 8693): a chain of services, and who may not be part of it.

use super::*;
use writ_core::{ApplicationId, ExchangeMode, TokenExchange};

const BILLS: &str = "https://bills.example/api";

/// The caller calls the courses API, whose guard calls the bills API on its behalf.
struct World {
    server: TestServer,
    courses: ApiId,
    bills: ApiId,
    caller: Job,
    guard: Job,
    token: String,
}

async fn world() -> World {
    let server = TestServer::new();
    let profile = TokenProfile::default;
    let courses = server
        .api(COURSES, &["courses:read", "courses:write"], profile())
        .await;
    let bills = server
        .api(BILLS, &["bills:read", "bills:write"], profile())
        .await;
    let caller = server.application(courses, &["courses:read"]).await;
    grant(&server, &caller, bills, &["bills:read"]).await;
    let guard = server
        .application(bills, &["bills:read", "bills:write"])
        .await;
    grant(&server, &guard, courses, &["courses:read", "courses:write"]).await;
    guards(&server, courses, &guard).await;
    let ask = [("scope", "courses:read")];
    let token = server.access_token(&caller, &ask).await;
    let world = World {
        server,
        courses,
        bills,
        caller,
        guard,
        token,
    };
    world
        .allow(vec![world.caller.id()], ExchangeMode::Delegation)
        .await;
    world
}

async fn grant(server: &TestServer, who: &Job, api: ApiId, names: &[&str]) {
    let command = Command::AddGrant {
        application: who.id(),
        api,
        mode: GrantMode::None,
        scopes: names.iter().map(|name| name.parse().unwrap()).collect(),
    };
    server.execute(command).await;
}

impl World {
    async fn allow(&self, subjects: Vec<ApplicationId>, mode: ExchangeMode) {
        let change = Command::ChangeExchange {
            application: self.guard.id(),
            exchange: (!subjects.is_empty()).then_some(TokenExchange { subjects, mode }),
        };
        self.server.execute(change).await;
    }

    async fn exchange(&self, who: &Job, token: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("client_id", who.client_id.as_str()),
            ("client_secret", who.client_secret.as_str()),
            ("subject_token", token),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
        ];
        form.extend_from_slice(more);
        self.server.post("/oauth2/token", &form).await
    }

    async fn exchanged(&self, more: &[(&str, &str)]) -> Value {
        let answer = self.exchange(&self.guard, &self.token, more).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
        answer.json()
    }
}

#[actix_web::test]
async fn rfc_8693_section_4_1_a_service_acts_for_its_caller() {
    let world = world().await;
    let body = world.exchanged(&[("scope", "bills:read")]).await;
    assert_eq!(
        body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(body["scope"], "bills:read");
    let token = body["access_token"].as_str().unwrap();
    let found = claims(token);
    assert_eq!(found["sub"], world.caller.client_id);
    assert_eq!(found["client_id"], world.guard.client_id);
    assert_eq!(found["act"], json!({ "sub": world.guard.client_id }));
    assert_eq!(found["aud"], BILLS);
    let told = introspect(&world.server, &world.server.admin, token).await;
    assert_eq!(told["active"], true);
    assert_eq!(told["act"]["sub"], world.guard.client_id);
    // RFC 8693 §2.1: the parameter audience names the same.
    let body = world.exchanged(&[("audience", BILLS)]).await;
    assert_eq!(body["scope"], "bills:read");
    // The next service acts for the same caller, and it is seen who acted before.
    let next = world
        .server
        .application(world.courses, &["courses:read"])
        .await;
    guards(&world.server, world.bills, &next).await;
    let change = Command::ChangeExchange {
        application: next.id(),
        exchange: Some(TokenExchange {
            subjects: vec![world.caller.id()],
            mode: ExchangeMode::Delegation,
        }),
    };
    world.server.execute(change).await;
    let ask = [("scope", "courses:read")];
    let answer = world.exchange(&next, token, &ask).await.json();
    let found = claims(answer["access_token"].as_str().unwrap());
    let before = json!({ "sub": world.guard.client_id });
    assert_eq!(
        found["act"],
        json!({ "sub": next.client_id, "act": before })
    );
}

#[actix_web::test]
async fn rfc_8693_section_1_1_impersonation_names_no_actor() {
    let world = world().await;
    world
        .allow(vec![world.caller.id()], ExchangeMode::Impersonation)
        .await;
    let body = world.exchanged(&[("scope", "bills:read")]).await;
    let found = claims(body["access_token"].as_str().unwrap());
    assert_eq!(found["sub"], world.caller.client_id);
    assert_eq!(found["client_id"], world.guard.client_id);
    assert_eq!(found["act"], Value::Null);
}

#[actix_web::test]
async fn an_exchange_widens_nothing() {
    let world = world().await;
    let ask = async |more: &[(&str, &str)]| world.exchange(&world.guard, &world.token, more).await;
    // What the caller may not have, the service does not get for it.
    refused(
        &ask(&[("scope", "bills:write")]).await,
        400,
        "invalid_scope",
    );
    // Of the API that the token is for there is no more than it has, whatever both may have.
    let courses = world.courses;
    let wider = Command::ChangeGrant {
        application: world.caller.id(),
        api: courses,
        mode: None,
        scopes: Some(vec![
            "courses:read".parse().unwrap(),
            "courses:write".parse().unwrap(),
        ]),
    };
    world.server.execute(wider).await;
    refused(
        &ask(&[("scope", "courses:write")]).await,
        400,
        "invalid_scope",
    );
    assert_eq!(
        ask(&[("scope", "courses:read")]).await.status,
        StatusCode::OK
    );
    let whole = ask(&[("resource", COURSES)]).await.json();
    assert_eq!(whole["scope"], "courses:read");
    // The management API is never reached so.
    let management = [("resource", MANAGEMENT_IDENTIFIER)];
    refused(&ask(&management).await, 400, "invalid_target");
    // It lives no longer than what it was got for.
    world.server.clock.advance(Duration::from_secs(600));
    let body = ask(&[("scope", "bills:read")]).await.json();
    assert_eq!(body["expires_in"], 300);
    world.server.clock.advance(Duration::from_secs(300));
    refused(
        &ask(&[("scope", "bills:read")]).await,
        400,
        "invalid_request",
    );
}

#[actix_web::test]
async fn only_who_was_called_and_may_exchanges() {
    let world = world().await;
    let ask = [("scope", "bills:read")];
    // Not for applications that it is not told to act for.
    world
        .allow(vec![world.guard.id()], ExchangeMode::Delegation)
        .await;
    let answer = world.exchange(&world.guard, &world.token, &ask).await;
    refused(&answer, 400, "unauthorized_client");
    world.allow(vec![], ExchangeMode::Delegation).await;
    let answer = world.exchange(&world.guard, &world.token, &ask).await;
    refused(&answer, 400, "unauthorized_client");
    // Not with a token that was not for it, even where it may.
    world
        .allow(vec![world.caller.id()], ExchangeMode::Delegation)
        .await;
    let elsewhere = world.server.access_token(&world.caller, &ask).await;
    let answer = world.exchange(&world.guard, &elsewhere, &ask).await;
    refused(&answer, 400, "unauthorized_client");
    assert_eq!(
        world
            .exchange(&world.guard, &world.token, &ask)
            .await
            .status,
        StatusCode::OK
    );
    // Not for one that is disabled, and what was exchanged before is inactive then.
    let body = world.exchanged(&ask).await;
    let token = body["access_token"].as_str().unwrap();
    let disable = Command::ChangeApplication {
        id: world.caller.id(),
        name: None,
        enabled: Some(false),
        labels: None,
        token_settings: None,
    };
    world.server.execute(disable).await;
    let answer = world.exchange(&world.guard, &world.token, &ask).await;
    refused(&answer, 400, "invalid_request");
    assert_eq!(
        introspect(&world.server, &world.server.admin, token).await,
        json!({ "active": false })
    );
}

#[actix_web::test]
async fn rfc_8693_section_2_1_what_is_exchanged_is_named_and_of_this_server() {
    let world = world().await;
    let form = |left: &str, more: &[(&'static str, &'static str)]| {
        let access = "urn:ietf:params:oauth:token-type:access_token";
        let mut form = vec![
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("client_id", world.guard.client_id.as_str()),
            ("client_secret", world.guard.client_secret.as_str()),
            ("subject_token", world.token.as_str()),
            ("subject_token_type", access),
            ("scope", "bills:read"),
        ];
        form.retain(|(name, _)| *name != left && !more.iter().any(|(other, _)| other == name));
        form.extend_from_slice(more);
        form.into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<(String, String)>>()
    };
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let refresh = "urn:ietf:params:oauth:token-type:refresh_token";
    let access = "urn:ietf:params:oauth:token-type:access_token";
    for wrong in [
        form("subject_token", &[]),
        form("subject_token_type", &[]),
        form("", &[("subject_token_type", id_token)]),
        form("", &[("requested_token_type", refresh)]),
        form("", &[("subject_token", "nonsense")]),
        form("", &[("actor_token", "nonsense")]),
        form("", &[("actor_token_type", access)]),
        form(
            "",
            &[("actor_token", "nonsense"), ("actor_token_type", access)],
        ),
    ] {
        let request = TestRequest::post().uri("/oauth2/token").set_form(&wrong);
        refused(&world.server.send(request).await, 400, "invalid_request");
    }
    // An actor's token is that of the application itself.
    let own = world
        .server
        .access_token(&world.guard, &[("scope", "bills:read")])
        .await;
    let with_actor = |token: &str| {
        let mut form = form("", &[]);
        form.push(("actor_token".to_owned(), token.to_owned()));
        form.push(("actor_token_type".to_owned(), access.to_owned()));
        TestRequest::post().uri("/oauth2/token").set_form(form)
    };
    let answer = world.server.send(with_actor(&own)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
    let answer = world.server.send(with_actor(&world.token)).await;
    refused(&answer, 400, "invalid_request");
}

#[actix_web::test]
async fn a_bound_token_is_not_exchanged_for_one_that_is_not() {
    let world = world().await;
    let key = crate::jose::mint::key(crate::jose::ForeignAlgorithm::ES256);
    let proof = || {
        let now = world.server.app.now();
        key.proof("POST", "https://writ.example/oauth2/token", now, None, None)
    };
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", world.caller.client_id.as_str()),
        ("client_secret", world.caller.client_secret.as_str()),
        ("scope", "courses:read"),
    ];
    let request = TestRequest::post()
        .uri("/oauth2/token")
        .insert_header(("dpop", proof()))
        .set_form(form);
    let bound = world.server.send(request).await.json();
    let bound = bound["access_token"].as_str().unwrap();
    let ask = [("scope", "bills:read")];
    let answer = world.exchange(&world.guard, bound, &ask).await;
    refused(&answer, 400, "invalid_request");
}

#[actix_web::test]
async fn rfc8693_2_2_2_a_subject_token_that_is_not_valid_is_exchanged_for_nothing() {
    let world = world().await;
    let ask = [("scope", "bills:read")];
    let refuses = async |what: &str, token: &str| {
        let answer = world.exchange(&world.guard, token, &ask).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        refused(&answer, 400, "invalid_request");
    };
    let fresh = async || {
        let ask = [("scope", "courses:read")];
        world.server.access_token(&world.caller, &ask).await
    };
    // By nobody, by another, and for another thing.
    let token = fresh().await;
    let key = crate::jose::mint::key(crate::jose::ForeignAlgorithm::ES256);
    let foreign = key.sign(&part(&token, 0), &claims(&token));
    refuses("of another key", &foreign).await;
    let none = json!({ "alg": "none", "typ": "at+jwt", "kid": part(&token, 0)["kid"] });
    let none = URL_SAFE_NO_PAD.encode(none.to_string());
    let body = token.split('.').nth(1).unwrap();
    refuses("none", &format!("{none}.{body}.")).await;
    let told = signed_introspection(&world.server, &world.guard, &token).await;
    refuses("a signed introspection", &told).await;
    // Revoked, and from before a cut.
    let revoke = [
        ("client_id", world.caller.client_id.as_str()),
        ("client_secret", world.caller.client_secret.as_str()),
        ("token", token.as_str()),
    ];
    let answer = world.server.post("/oauth2/revoke", &revoke).await;
    assert_eq!(answer.status, StatusCode::OK);
    refuses("revoked", &token).await;
    let token = fresh().await;
    let cut = Command::CutTokens {
        application: world.caller.id(),
    };
    world.server.execute(cut).await;
    refuses("cut", &token).await;
    let answer = world.exchange(&world.guard, &fresh().await, &ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
}

#[actix_web::test]
async fn rfc8693_2_1_who_exchanges_proves_who_it_is() {
    let world = world().await;
    let nobody = Job {
        client_id: world.guard.client_id.clone(),
        client_secret: world.caller.client_secret.clone(),
    };
    let ask = [("scope", "bills:read")];
    let answer = world.exchange(&nobody, &world.token, &ask).await;
    refused(&answer, 401, "invalid_client");
    // What is exchanged is no authentication.
    let form = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("client_id", world.guard.client_id.as_str()),
        ("subject_token", world.token.as_str()),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("scope", "bills:read"),
    ];
    let answer = world.server.post("/oauth2/token", &form).await;
    refused(&answer, 401, "invalid_client");
}

#[actix_web::test]
async fn rfc8693_2_2_2_a_target_that_is_not_known_is_refused() {
    let world = world().await;
    for target in [
        ("audience", "bills"),
        ("audience", "https://unknown.example"),
        ("resource", "https://unknown.example"),
    ] {
        let answer = world.exchange(&world.guard, &world.token, &[target]).await;
        refused(&answer, 400, "invalid_target");
    }
    // One of two is enough.
    let both = [("audience", BILLS), ("resource", "https://unknown.example")];
    let answer = world.exchange(&world.guard, &world.token, &both).await;
    refused(&answer, 400, "invalid_target");
}
