//! Dynamic client registration (RFC 7591) and its management (RFC 7592), over HTTP.

use super::*;
use crate::credentials::{Kind, Secret, looks_like_secret};
use crate::jose::{ForeignAlgorithm as A, mint::MintKey};
use crate::registration::tests::metadata;
use writ_core::{
    AuthenticationMethod as M, BoundGrant, CredentialDigest, Event, InitialAccessTokenId, Labels,
    RegistrationBounds, SecurityProfile, SenderConstraint,
};

const REGISTER: &str = "/oauth2/register";

/// A server where three applications can register themselves within a day.
struct World {
    server: TestServer,
    token: String,
}

impl World {
    async fn new() -> Self {
        let (server, api, _) = world().await;
        let grants = vec![BoundGrant {
            api,
            scopes: ["courses:publish", "courses:read"]
                .map(|name| name.parse().unwrap())
                .into(),
        }];
        let token = initial_access_token(&server, grants, 3).await;
        Self { server, token }
    }

    async fn register(&self, body: Value) -> Answer {
        self.send(TestRequest::post().uri(REGISTER), &self.token, Some(body))
            .await
    }

    async fn send(&self, request: TestRequest, token: &str, body: Option<Value>) -> Answer {
        let request = request.insert_header(("authorization", format!("Bearer {token}")));
        let request = match body {
            Some(body) => request.set_json(body),
            None => request,
        };
        self.server.send(request).await
    }

    /// Registers an application by a secret.
    async fn registered(&self) -> Registered {
        let answer = self.register(metadata(M::ClientSecretPost)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        Registered(answer.json())
    }

    async fn manage(&self, method: TestRequest, own: &Registered, body: Option<Value>) -> Answer {
        self.send(method.uri(&own.path()), &own.token(), body).await
    }
}

/// What an application was told at its registration.
struct Registered(Value);

impl Registered {
    fn text(&self, member: &str) -> String {
        self.0[member].as_str().unwrap().to_owned()
    }

    fn token(&self) -> String {
        self.text("registration_access_token")
    }

    /// Its client configuration endpoint, below the issuer.
    fn path(&self) -> String {
        let uri = self.text("registration_client_uri");
        uri.strip_prefix(ISSUER).unwrap().to_owned()
    }

    fn job(&self) -> Job {
        Job {
            client_id: self.text("client_id"),
            client_secret: self.text("client_secret"),
        }
    }
}

pub(super) async fn initial_access_token(
    server: &TestServer,
    grants: Vec<BoundGrant>,
    registrations: u32,
) -> String {
    let token = Secret::of(Kind::InitialAccessToken, &*server.app.random);
    server
        .execute(Command::CreateInitialAccessToken {
            name: "CI".parse().unwrap(),
            digest: CredentialDigest(token.digest()),
            expires_at: server.app.now().plus_seconds(86_400),
            registrations,
            bounds: RegistrationBounds {
                methods: vec![
                    M::ClientSecretBasic,
                    M::ClientSecretPost,
                    M::PrivateKeyJwt,
                    M::TlsClientAuth,
                ],
                name_prefix: Some("ci-".parse().unwrap()),
            },
            labels: Labels::new([("team".into(), "web".into())].into()).unwrap(),
            grants,
        })
        .await;
    token.expose().to_owned()
}

async fn metadata_document(server: &TestServer) -> Value {
    let request = TestRequest::get().uri("/.well-known/oauth-authorization-server");
    server.send(request).await.json()
}

#[track_caller]
fn unauthenticated(answer: &Answer) {
    refused(answer, 401, "invalid_token");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, "Bearer realm=\"writ\", error=\"invalid_token\"");
}

#[actix_web::test]
async fn without_an_initial_access_token_in_force_nobody_registers() {
    let server = TestServer::new();
    let endpoint = |document: Value| document.get("registration_endpoint").cloned();
    assert_eq!(endpoint(metadata_document(&server).await), None);
    let world = World {
        server,
        token: "writ_iat_x".to_owned(),
    };
    let head = world.server.head();
    let off = world.register(metadata(M::PrivateKeyJwt)).await;
    assert_eq!(off.status, StatusCode::NOT_FOUND);
    assert_eq!(off.json()["code"], "not_found");
    assert_eq!(world.server.head(), head);

    // It is there as long as there is a token with something left.
    let token = initial_access_token(&world.server, Vec::new(), 1).await;
    let world = World { token, ..world };
    let on = endpoint(metadata_document(&world.server).await);
    assert_eq!(on, Some(json!(format!("{ISSUER}{REGISTER}"))));
    let own = world.registered().await;
    assert_eq!(endpoint(metadata_document(&world.server).await), None);
    let off = world.register(metadata(M::PrivateKeyJwt)).await;
    assert_eq!(off.status, StatusCode::NOT_FOUND);
    // What is registered manages itself all the same.
    let shown = world.manage(TestRequest::get(), &own, None).await;
    assert_eq!(shown.status, StatusCode::OK);
}

#[actix_web::test]
async fn rfc_7591_section_3_an_application_registers_itself_and_gets_tokens() {
    let world = World::new().await;
    let head = world.server.head();
    let mut asked = metadata(M::ClientSecretBasic);
    asked["scope"] = json!("courses:read courses:write no:such");
    asked["contacts"] = json!(["someone@example.org"]);
    asked["software_id"] = json!("4NRB1-0XZABZI9E6-5SM3R");
    asked["unknown"] = json!({ "a": [1] });
    let answer = world.register(asked).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    let own = Registered(answer.json());
    let (id, token) = (own.text("client_id"), own.token());
    assert!(token.starts_with("writ_rat_") && looks_like_secret(&token));
    assert_eq!(
        own.0,
        json!({
            "client_id": id,
            "client_id_issued_at": world.server.app.now().seconds(),
            "client_name": "ci-job",
            "client_secret": own.text("client_secret"),
            "client_secret_expires_at": 0,
            "grant_types": ["client_credentials"],
            "registration_access_token": token,
            "registration_client_uri": format!("{ISSUER}{REGISTER}/{id}"),
            "response_types": [],
            // What is beyond the bounds is left out, and said so (§2).
            "scope": "courses:read",
            "token_endpoint_auth_method": "client_secret_basic",
        })
    );
    let basic = STANDARD.encode(format!("{id}:{}", own.text("client_secret")));
    let request = TestRequest::post()
        .uri("/oauth2/token")
        .insert_header(("authorization", format!("Basic {basic}")))
        .set_form([
            ("grant_type", "client_credentials"),
            ("scope", "courses:read"),
        ]);
    let got = world.server.send(request).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());

    // Every event of it is by the token, and none has a credential in it.
    let events = world
        .server
        .app
        .ledger
        .read_events(writ_core::Position(head), 100)
        .unwrap();
    let stored: Vec<String> = events
        .iter()
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    assert_eq!(stored.len(), 5, "{stored:?}");
    for event in &stored {
        assert!(event.contains(r#""actor":{"kind":"initial_access_token","id":"iat_0"}"#));
        assert!(
            !event.contains("writ_") && !event.contains("someone@"),
            "{event}"
        );
    }
    assert!(stored[4].contains("application.registered"));
    let app = world.server.app.index();
    let app = app.application(own.job().id()).unwrap();
    assert_eq!(
        app.labels().pairs().len(),
        1,
        "the token's labels and no other"
    );
}

#[actix_web::test]
async fn rfc_7591_section_2_keys_and_what_tokens_are_bound_to() {
    let world = World::new().await;
    let key = MintKey::named(A::ES256, "k1");
    let mut jwk = key.jwk();
    jwk.as_object_mut().unwrap().remove("use");
    let answer = world
        .register(json!({
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["client_credentials"],
            "jwks": { "keys": [jwk] },
            "dpop_bound_access_tokens": true,
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    let body = answer.json();
    assert_eq!(body.get("client_secret"), None);
    assert_eq!(body.get("client_secret_expires_at"), None);
    assert_eq!(body["dpop_bound_access_tokens"], true);
    assert_eq!(body["jwks"]["keys"][0]["kid"], "k1");
    let id = body["client_id"].as_str().unwrap();
    assert_eq!(body["client_name"], format!("ci-{id}"));
    assert_eq!(body["scope"], "courses:publish courses:read");
    let answer = world
        .register(json!({
            "client_name": "ci-mutual",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_san_uri": "spiffe://example.org/job",
            "tls_client_certificate_bound_access_tokens": true,
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    let body = answer.json();
    assert_eq!(body["tls_client_auth_san_uri"], "spiffe://example.org/job");
    assert_eq!(body["tls_client_certificate_bound_access_tokens"], true);
}

#[actix_web::test]
async fn rfc_7591_section_3_2_2_what_cannot_be_registered() {
    let world = World::new().await;
    let head = world.server.head();
    let with = |member: &str, value: Value| {
        let mut body = metadata(M::ClientSecretBasic);
        body[member] = value;
        body
    };
    let key = |algorithm| MintKey::named(algorithm, "k").jwk();
    let mut private = key(A::ES256);
    private["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I");
    let invalid = "invalid_client_metadata";
    for (body, code, said) in [
        (
            with("redirect_uris", json!(["https://job.example/cb"])),
            "invalid_redirect_uri",
            "redirect_uris",
        ),
        (
            with("software_statement", json!("eyJhbGciOiJub25lIn0.e30.")),
            "unapproved_software_statement",
            "software_statement",
        ),
        (
            with("response_types", json!(["code"])),
            invalid,
            "response_types",
        ),
        (
            with("grant_types", json!(["authorization_code"])),
            invalid,
            "grant_types",
        ),
        (
            with(
                "grant_types",
                json!(["urn:ietf:params:oauth:grant-type:token-exchange"]),
            ),
            invalid,
            "grant_types",
        ),
        (
            with("token_endpoint_auth_method", json!("none")),
            invalid,
            "token_endpoint_auth_method",
        ),
        (
            with("token_endpoint_auth_method", json!("workload_identity")),
            invalid,
            "client_secret_basic or client_secret_post",
        ),
        (
            with("token_endpoint_auth_method", json!("private_key_jwt")),
            invalid,
            "jwks_uri",
        ),
        (
            with("token_endpoint_auth_method", json!("tls_client_auth")),
            invalid,
            "subject",
        ),
        (
            with("client_name", json!("job")),
            invalid,
            "begins with ci-",
        ),
        (with("client_name", json!(7)), invalid, "expected a string"),
        (with("scope", json!("a\"b")), invalid, "scope"),
        (
            with("jwks_uri", json!("http://job.example/k")),
            invalid,
            "jwks_uri",
        ),
        (with("jwks", json!({ "keys": [private] })), invalid, "jwks"),
        (
            {
                let mut body = with("jwks", json!({ "keys": [key(A::ES256)] }));
                body["jwks_uri"] = json!("https://job.example/keys");
                body
            },
            invalid,
            "jwks and jwks_uri",
        ),
        (
            {
                let mut body = with("tls_client_auth_san_dns", json!("job.example"));
                body["tls_client_auth_subject_dn"] = json!("CN=job");
                body
            },
            invalid,
            "at most one",
        ),
        (
            {
                let mut body = with("dpop_bound_access_tokens", json!(true));
                body["tls_client_certificate_bound_access_tokens"] = json!(true);
                body
            },
            invalid,
            "at most one",
        ),
        (json!([]), invalid, "object"),
    ] {
        let answer = world.register(body.clone()).await;
        let description = refused(&answer, 400, code);
        assert!(description.contains(said), "{body}: {description}");
    }
    let twice = r#"{"client_name":"ci-a","client_name":"ci-b"}"#;
    let request = || {
        let authorization = format!("Bearer {}", world.token);
        TestRequest::post()
            .uri(REGISTER)
            .insert_header(("authorization", authorization))
    };
    let json = ("content-type", "application/json");
    let answer = request().insert_header(json).set_payload(twice);
    refused(&world.server.send(answer).await, 400, invalid);
    let form = request().set_form([("client_name", "ci-job")]);
    refused(&world.server.send(form).await, 400, "invalid_request");
    let large = request()
        .insert_header(json)
        .set_payload(" ".repeat(65 * 1024));
    refused(&world.server.send(large).await, 413, "invalid_request");
    assert_eq!(world.server.head(), head, "nothing was registered");
}

#[actix_web::test]
async fn rfc_6750_section_3_registering_needs_the_token_and_failures_are_counted() {
    let world = World::new().await;
    let head = world.server.head();
    let body = || metadata(M::ClientSecretBasic);
    let none = TestRequest::post().uri(REGISTER).set_json(body());
    let none = world.server.send(none).await;
    refused(&none, 401, "invalid_token");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"writ\"");
    let admin = world.server.admin_token(&world.server.admin).await;
    let almost = format!("{}x", world.token);
    for token in [
        "writ_iat_wrong",
        &world.server.admin.client_secret,
        &admin,
        &almost,
    ] {
        let request = TestRequest::post().uri(REGISTER);
        unauthenticated(&world.send(request, token, Some(body())).await);
    }
    let in_url = format!("{REGISTER}?access_token={}", world.token);
    let request = TestRequest::post().uri(&in_url);
    let answer = world.send(request, &world.token, Some(body())).await;
    refused(&answer, 400, "invalid_request");
    let dpop = TestRequest::post()
        .uri(REGISTER)
        .insert_header(("authorization", format!("DPoP {}", world.token)));
    unauthenticated(&world.server.send(dpop.set_json(body())).await);
    assert_eq!(world.server.head(), head);

    let token = world.server.admin_token(&world.server.admin).await;
    let path = "/authentication-failures?reason=wrong_initial_access_token";
    let counted = world
        .server
        .call(&token, actix_web::http::Method::GET, path, &[], None);
    let counted = counted.await.json();
    assert_eq!(counted["items"][0]["count"], 4, "{counted}");

    // A token that ended is as good as none.
    let unlimited = initial_access_token(&world.server, Vec::new(), 1).await;
    let revoke = Command::RevokeInitialAccessToken {
        id: InitialAccessTokenId(0),
    };
    world.server.execute(revoke).await;
    unauthenticated(&world.register(body()).await);
    world.server.clock.advance(Duration::from_secs(86_400));
    let late = World {
        token: unlimited,
        ..world
    };
    let off = late.register(body()).await;
    assert_eq!(off.status, StatusCode::NOT_FOUND, "none is in force");
}

#[actix_web::test]
async fn racing_registrations_never_exceed_what_the_token_may() {
    let world = World::new().await;
    let one = || world.register(metadata(M::ClientSecretBasic));
    let (a, b, c, d, e) = tokio::join!(one(), one(), one(), one(), one());
    let answers = [a, b, c, d, e];
    let made = answers.iter().filter(|it| it.status == StatusCode::CREATED);
    assert_eq!(made.count(), 3);
    for answer in answers.iter().filter(|it| it.status != StatusCode::CREATED) {
        let status = answer.status;
        assert!(status == StatusCode::UNAUTHORIZED || status == StatusCode::NOT_FOUND);
    }
}

#[actix_web::test]
async fn the_strict_profile_of_the_server_registers_no_secrets() {
    let world = World::new().await;
    let strict = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        ..SettingsChange::default()
    };
    settings(&world.server, strict).await;
    let answer = world.register(metadata(M::ClientSecretPost)).await;
    let said = refused(&answer, 400, "invalid_client_metadata");
    assert!(said.contains("fapi2"), "{said}");
    let answer = world.register(metadata(M::PrivateKeyJwt)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
}

#[actix_web::test]
async fn rfc_7592_section_2_1_an_application_reads_its_registration() {
    let world = World::new().await;
    let own = world.registered().await;
    let answer = world.manage(TestRequest::get(), &own, None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut expected = own.0.clone();
    for shown_once in ["client_secret", "client_secret_expires_at"] {
        expected.as_object_mut().unwrap().remove(shown_once);
    }
    assert_eq!(answer.json(), expected);
    // What an administrator changed is said.
    let job = own.job();
    let settings = TokenSettings {
        sender_constraint: SenderConstraint::Dpop,
        ..TokenSettings::default()
    };
    world
        .server
        .execute(Command::ChangeApplication {
            id: job.id(),
            name: None,
            enabled: None,
            labels: None,
            token_settings: Some(settings),
        })
        .await;
    let answer = world.manage(TestRequest::get(), &own, None).await;
    assert_eq!(answer.json()["dpop_bound_access_tokens"], true);
}

#[actix_web::test]
async fn rfc_7592_section_2_only_its_own_token_manages_a_registration() {
    let world = World::new().await;
    let (own, other) = (world.registered().await, world.registered().await);
    let head = world.server.head();
    let unknown = format!("{REGISTER}/{}", writ_core::ApplicationId(7));
    for (path, token) in [
        (own.path(), other.token()),
        (own.path(), world.token.clone()),
        (own.path(), own.text("client_secret")),
        (unknown, own.token()),
        (format!("{REGISTER}/nonsense"), own.token()),
        // An application that did not register itself.
        (
            format!("{REGISTER}/{}", world.server.admin.client_id),
            own.token(),
        ),
    ] {
        for request in [
            TestRequest::get(),
            TestRequest::put(),
            TestRequest::delete(),
        ] {
            let answer = world.send(request.uri(&path), &token, None).await;
            unauthenticated(&answer);
        }
    }
    let anonymous = TestRequest::delete().uri(&own.path());
    let anonymous = world.server.send(anonymous).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    let wrong = world
        .send(TestRequest::post().uri(&own.path()), &own.token(), None)
        .await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.header("allow"), "GET, PUT, DELETE");
    assert_eq!(world.server.head(), head);
}

#[actix_web::test]
async fn rfc_7592_section_2_2_a_change_replaces_what_was_said() {
    let world = World::new().await;
    let own = world.registered().await;
    let mut body = metadata(M::PrivateKeyJwt);
    body["client_id"] = json!(own.text("client_id"));
    body["client_secret"] = json!(own.text("client_secret"));
    body["client_name"] = json!("ci-renamed");
    body["scope"] = json!("courses:write");
    let answer = world
        .manage(TestRequest::put(), &own, Some(body.clone()))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    let now = answer.json();
    assert_eq!(now["client_name"], "ci-renamed");
    assert_eq!(now["token_endpoint_auth_method"], "private_key_jwt");
    assert_eq!(now["registration_access_token"], own.token());
    assert_eq!(now.get("client_secret"), None);
    // Grants are the administrators' (RFC 7592 §2.2: the server may ignore what is asked).
    assert_eq!(now["scope"], "courses:publish courses:read");
    let old = world
        .server
        .token(&own.job(), &[("scope", "courses:read")])
        .await;
    refused(&old, 401, "invalid_client");
    let index = world.server.app.index();
    let events = world
        .server
        .app
        .ledger
        .read_events(index.head().unwrap(), 1);
    let last = String::from_utf8_lossy(&events.unwrap()[0].1).into_owned();
    assert!(last.contains("application.registration_changed"));
    assert!(
        last.contains(r#""auth":"registration_access_token""#),
        "{last}"
    );
    // Back to a secret: a new one, shown once.
    body["token_endpoint_auth_method"] = json!("client_secret_post");
    body.as_object_mut().unwrap().remove("client_secret");
    let answer = world
        .manage(TestRequest::put(), &own, Some(body.clone()))
        .await;
    let again = Registered(answer.json());
    assert_eq!(again.0["client_secret_expires_at"], 0);
    assert_ne!(again.text("client_secret"), own.text("client_secret"));
    let got = world
        .server
        .token(&again.job(), &[("scope", "courses:read")])
        .await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());
    let answer = world.manage(TestRequest::put(), &own, Some(body)).await;
    assert_eq!(answer.json().get("client_secret"), None);
}

#[actix_web::test]
async fn rfc_7592_section_2_2_what_a_change_must_and_must_not_say() {
    let world = World::new().await;
    let own = world.registered().await;
    let head = world.server.head();
    let with = |member: &str, value: Value| {
        let mut body = metadata(M::ClientSecretPost);
        body["client_id"] = json!(own.text("client_id"));
        body[member] = value;
        body
    };
    let invalid = "invalid_client_metadata";
    for (body, said) in [
        (metadata(M::ClientSecretPost), "client_id"),
        (with("client_id", json!("other")), "client_id"),
        (with("client_secret", json!("of my own")), "client_secret"),
        (
            with("registration_access_token", json!(own.token())),
            "registration_access_token",
        ),
        (
            with("registration_client_uri", json!(own.path())),
            "registration_client_uri",
        ),
        (
            with("client_secret_expires_at", json!(0)),
            "client_secret_expires_at",
        ),
        (with("client_id_issued_at", json!(0)), "client_id_issued_at"),
        (with("client_name", json!("job")), "begins with ci-"),
        (
            with(
                "token_endpoint_auth_method",
                json!("self_signed_tls_client_auth"),
            ),
            "token_endpoint_auth_method",
        ),
    ] {
        let answer = world.manage(TestRequest::put(), &own, Some(body)).await;
        let description = refused(&answer, 400, invalid);
        assert!(description.contains(said), "{description}");
    }
    // Nothing is null, and nothing changes.
    let same = with("scope", Value::Null);
    let answer = world.manage(TestRequest::put(), &own, Some(same)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    assert_eq!(world.server.head(), head);
}

#[actix_web::test]
async fn rfc_7592_section_2_3_a_removal_ends_the_application_and_its_token_at_once() {
    let world = World::new().await;
    let own = world.registered().await;
    let token = world
        .server
        .access_token(&own.job(), &[("scope", "courses:read")])
        .await;
    assert!(world.server.app.validate_token(&token).is_ok());
    let answer = world.manage(TestRequest::delete(), &own, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("cache-control"), "no-store");
    for request in [
        TestRequest::get(),
        TestRequest::put(),
        TestRequest::delete(),
    ] {
        unauthenticated(&world.manage(request, &own, None).await);
    }
    let gone = world
        .server
        .token(&own.job(), &[("scope", "courses:read")])
        .await;
    refused(&gone, 401, "invalid_client");
    assert!(world.server.app.validate_token(&token).is_err());
}

#[actix_web::test]
async fn rfc_7592_section_2_what_an_application_may_not_do_is_403() {
    let world = World::new().await;
    let own = world.registered().await;
    let id = own.job().id();
    let enable = |enabled| Command::ChangeApplication {
        id,
        name: None,
        enabled: Some(enabled),
        labels: None,
        token_settings: None,
    };
    world.server.execute(enable(false)).await;
    let mut body = metadata(M::ClientSecretBasic);
    body["client_id"] = json!(own.text("client_id"));
    body["client_name"] = json!("ci-other");
    for request in [
        TestRequest::get(),
        TestRequest::put(),
        TestRequest::delete(),
    ] {
        let answer = world.manage(request, &own, Some(body.clone())).await;
        refused(&answer, 403, "access_denied");
    }
    world.server.execute(enable(true)).await;
    // One that administers the server is its administrators' to change.
    world
        .server
        .execute(Command::AddGrant {
            application: id,
            api: ApiId(0),
            mode: GrantMode::None,
            scopes: vec!["writ:roles:read".parse().unwrap()],
        })
        .await;
    let answer = world
        .manage(TestRequest::put(), &own, Some(body.clone()))
        .await;
    refused(&answer, 403, "access_denied");
    world
        .server
        .execute(Command::RemoveGrant {
            application: id,
            api: ApiId(0),
        })
        .await;
    // One that is a guard is in use.
    let guards = Command::ChangeApiResource {
        id: ApiId(1),
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(vec![id]),
    };
    world.server.execute(guards).await;
    let answer = world.manage(TestRequest::delete(), &own, None).await;
    refused(&answer, 403, "access_denied");
    // Its token is taken away.
    let revoke = Command::RevokeRegistration { application: id };
    let receipt = world.server.execute(revoke).await;
    let revoked = |event: &Event| matches!(event, Event::ApplicationRegistrationRevoked(_));
    assert!(revoked(&receipt.events[0].event));
    unauthenticated(&world.manage(TestRequest::get(), &own, None).await);
}

#[actix_web::test]
async fn an_application_changes_its_registration_so_often_a_day() {
    let world = World::new().await;
    let own = world.registered().await;
    let change = async |turn: u32| {
        let mut body = metadata(M::ClientSecretBasic);
        body["client_id"] = json!(own.text("client_id"));
        body["client_name"] = json!(format!("ci-{turn}"));
        world.manage(TestRequest::put(), &own, Some(body)).await
    };
    let day = 86_400_000 - world.server.app.now().0 % 86_400_000;
    // From the beginning of a day on, so that midnight does not come between.
    world.server.clock.advance(Duration::from_millis(day));
    for turn in 0..24 {
        assert_eq!(change(turn).await.status, StatusCode::OK, "{turn}");
    }
    let spent = change(24).await;
    refused(&spent, 429, "temporarily_unavailable");
    let after: u64 = spent.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&after), "{after}");
    world.server.clock.advance(Duration::from_secs(after));
    assert_eq!(change(24).await.status, StatusCode::OK);
}
