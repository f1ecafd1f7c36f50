//! The admin API over HTTP, in process: every entity, every way to ask wrongly, and who may not.

#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod protection;
mod time_travel;

use super::super::oauth_error::OAuthError;
use crate::admin::routes;
use crate::issue::IssueError;
use crate::testing::{Answer, Job, TestServer};
use actix_web::http::Method;
use actix_web::test::TestRequest;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;
use writ_core::{
    ApplicationId, Command, Denial, GrantMode, Labels, ManagementScope, NewSecret, SecretId,
    TokenSettings,
};
use writ_sandbox::testkit::{honest, hostile, module};

/// That of no policy.
const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ff";
const COURSES: &str = "https://courses.example/api";
const COURSES_IN_PATH: &str = "/api-resources/https%3A%2F%2Fcourses.example%2Fapi";

/// A server and its administrator.
struct World {
    server: TestServer,
    token: String,
}

type Headers<'a> = &'a [(&'a str, &'a str)];

impl World {
    async fn new() -> Self {
        let server = TestServer::new();
        let token = server.admin_token(&server.admin).await;
        Self { server, token }
    }

    async fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: Value) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = Some(body).filter(|body| !body.is_null());
        self.server
            .call(&self.token, method, path, headers, body)
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[], body).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Value::Null).await
    }

    /// An API resource with two scopes.
    async fn courses(&self) -> Value {
        let scopes = json!([{ "name": "courses:read" },
                            { "name": "courses:publish", "description": "Publish courses" }]);
        let body = json!({ "identifier": COURSES, "name": "Courses", "scopes": scopes });
        good(&self.post("/api-resources", body).await, 201)
    }

    /// Uploads a policy; its digest.
    async fn upload(&self, module: Vec<u8>) -> String {
        let answer = self.server.upload(&self.token, module).await;
        text(&good(&answer, 201), "digest")
    }

    /// An application, and its path.
    async fn job(&self, name: &str) -> (String, String) {
        let id = text(
            &good(
                &self.post("/applications", json!({ "name": name })).await,
                201,
            ),
            "id",
        );
        (format!("/applications/{id}"), id)
    }

    /// An application with some scopes of the management API, as another caller.
    async fn administrator(&self, scopes: &[ManagementScope]) -> String {
        let id = ApplicationId(self.server.app.ids.next_id());
        let (labels, token_settings) = (Labels::default(), TokenSettings::default());
        let name = "Helper".parse().unwrap();
        let create = Command::CreateApplication {
            id,
            name,
            labels,
            token_settings,
        };
        self.server.execute(create).await;
        let secret = crate::credentials::Secret::generate(&*self.server.app.random);
        let new = NewSecret {
            id: SecretId(self.server.app.ids.next_id()),
            digest: secret.digest(),
            expires_at: None,
        };
        self.server
            .execute(Command::AddSecret {
                application: id,
                secret: new,
            })
            .await;
        let api = self.server.app.index().management().unwrap().id;
        let scopes = scopes.iter().map(|scope| scope.name()).collect();
        let mode = GrantMode::None;
        let grant = Command::AddGrant {
            application: id,
            api,
            mode,
            scopes,
        };
        self.server.execute(grant).await;
        let job = Job {
            client_id: id.to_string(),
            client_secret: secret.expose().to_owned(),
        };
        self.server.admin_token(&job).await
    }
}

#[track_caller]
fn good(answer: &Answer, status: u16) -> Value {
    assert_eq!(
        answer.status.as_u16(),
        status,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("writ-position").parse::<u64>().is_ok());
    if status == 204 {
        assert!(answer.body.is_empty());
    } else {
        assert_eq!(answer.header("content-type"), "application/json");
    }
    answer.json()
}

/// A problem is whole, and says what was expected.
#[track_caller]
fn bad(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"].as_str().unwrap().len(), 32);
    assert_eq!(body["request_id"], answer.header("writ-request-id"));
    assert!(!body["title"].as_str().unwrap().is_empty());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    body
}

#[track_caller]
fn text(body: &Value, member: &str) -> String {
    body[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} in {body}"))
        .to_owned()
}

// Every entity.

#[actix_web::test]
async fn api_resources_and_scopes() {
    let world = World::new().await;
    let head = world.server.head();
    let answer = world
        .post(
            "/api-resources",
            json!({
                "identifier": COURSES, "name": "Courses",
                "profile": { "algorithm": "RS256", "typ": "JWT", "lifetime_seconds": 60 },
                "scopes": [{ "name": "b" }, { "name": "a", "description": "A" }],
            }),
        )
        .await;
    let made = good(&answer, 201);
    let id = text(&made, "id");
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/api-resources/{id}")
    );
    assert_eq!(answer.header("etag"), format!("\"{head}\""));
    assert_eq!(answer.header("writ-position"), head.to_string());
    assert_eq!(made["requires_authorization"], true);
    assert_eq!(
        made["profile"],
        json!({ "algorithm": "RS256", "typ": "JWT", "lifetime_seconds": 60, "sender_constraint": "none" })
    );
    assert_eq!(
        made["scopes"],
        json!([{ "name": "a", "description": "A" }, { "name": "b" }])
    );
    for path in [format!("/api-resources/{id}"), COURSES_IN_PATH.to_owned()] {
        let shown = world.get(&path).await;
        assert_eq!(good(&shown, 200), made);
        assert_eq!(shown.header("etag"), answer.header("etag"));
    }
    let change = json!({ "name": "Kurse", "profile": { "lifetime_seconds": null } });
    let changed = good(&world.patch(COURSES_IN_PATH, change).await, 200);
    assert_eq!(changed["name"], "Kurse");
    assert_eq!(
        changed["profile"],
        json!({ "algorithm": "RS256", "typ": "JWT", "sender_constraint": "none" })
    );
    assert!(changed["version"].as_u64() > made["version"].as_u64());

    let scope = format!("{COURSES_IN_PATH}/scopes/c%3Ad");
    bad(&world.get(&scope).await, 404, "scope_unknown");
    let description = json!({ "description": "C" });
    assert_eq!(
        good(&world.put(&scope, description).await, 200),
        json!({ "name": "c:d", "description": "C" })
    );
    assert_eq!(
        good(&world.put(&scope, Value::Null).await, 200),
        json!({ "name": "c:d" })
    );
    assert_eq!(
        good(&world.get(&scope).await, 200),
        json!({ "name": "c:d" })
    );
    good(&world.delete(&scope).await, 204);
    bad(&world.delete(&scope).await, 404, "scope_unknown");

    let query = "/api-resources?identifier=https%3A%2F%2Fcourses.example%2Fapi";
    let found = good(&world.get(query).await, 200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(found.get("next").is_none());
    good(&world.delete(COURSES_IN_PATH).await, 204);
    bad(
        &world.get(COURSES_IN_PATH).await,
        404,
        "api_resource_unknown",
    );
    bad(
        &world.delete(&format!("/api-resources/{id}")).await,
        404,
        "api_resource_unknown",
    );
}

#[actix_web::test]
async fn applications_and_their_filters() {
    let world = World::new().await;
    let body = json!({
        "name": "Course publishing job",
        "labels": { "env": "prod", "team": "a:b" },
        "token_settings": { "extra_audiences": ["https://x.example"], "lifetime_seconds": 30 },
    });
    let made = good(&world.post("/applications", body).await, 201);
    let path = format!("/applications/{}", text(&made, "id"));
    assert_eq!(made["enabled"], true);
    assert_eq!(made["token_settings"]["audience"], "api");
    assert_eq!(made["secrets"], json!([]));
    assert_eq!(made["labels"], json!({ "env": "prod", "team": "a:b" }));
    assert_eq!(good(&world.get(&path).await, 200), made);

    world.job("Another").await;
    for (query, found) in [
        ("name=Course+publishing%20job", 1),
        ("name=Course", 0),
        ("label=env:prod", 1),
        ("label=team:a:b", 1),
        ("label=env:", 0),
        ("label=env:prod&name=Another", 0),
        ("", 3),
    ] {
        let list = good(&world.get(&format!("/applications?{query}")).await, 200);
        assert_eq!(list["items"].as_array().unwrap().len(), found, "{query}");
    }
    bad(
        &world.get("/applications?label=env").await,
        400,
        "query_malformed",
    );

    let change =
        json!({ "enabled": false, "labels": {}, "token_settings": { "audience": "client_id" } });
    let changed = good(&world.patch(&path, change).await, 200);
    assert_eq!(changed["enabled"], false);
    assert_eq!(changed["labels"], json!({}));
    assert_eq!(
        changed["token_settings"],
        json!({ "audience": "client_id", "sender_constraint": "none" })
    );
    let cut = good(
        &world
            .post(&format!("{path}/revoke-tokens"), json!({}))
            .await,
        200,
    );
    assert!(cut["tokens_cut_at"].is_string());
    // A change that changes nothing has no event.
    let head = world.server.head();
    let same = world.patch(&path, json!({ "enabled": false })).await;
    assert_eq!(good(&same, 200)["version"], cut["version"]);
    assert_eq!(world.server.head(), head);
    good(&world.delete(&path).await, 204);
    bad(&world.get(&path).await, 404, "application_unknown");
}

#[actix_web::test]
async fn a_secret_is_shown_once_and_works() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Job").await;
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    let answer = world.post(&format!("{path}/secrets"), Value::Null).await;
    let made = good(&answer, 201);
    let (secret_id, secret) = (text(&made, "id"), text(&made, "secret"));
    assert_eq!(made["application"], id);
    assert_eq!(
        answer.header("location"),
        format!("/api/v1{path}/secrets/{secret_id}")
    );
    let job = Job {
        client_id: id,
        client_secret: secret.clone(),
    };
    world
        .server
        .access_token(&job, &[("scope", "courses:read")])
        .await;

    let shown = good(
        &world.get(&format!("{path}/secrets/{secret_id}")).await,
        200,
    );
    assert_eq!(
        shown,
        json!({
            "id": secret_id,
            "created_at": made["created_at"],
            "last_used_at": world.server.app.now().to_string(),
            "used": 1,
        })
    );
    let list = good(&world.get(&format!("{path}/secrets")).await, 200);
    assert_eq!(list, json!({ "items": [shown] }));
    let application = world.get(&path).await;
    let kept = json!([{ "id": secret_id, "created_at": made["created_at"] }]);
    assert_eq!(application.json()["secrets"], kept, "use is in no event");
    let log = world.get("/events?limit=200").await;
    assert!(!String::from_utf8_lossy(&log.body).contains(&secret));

    let later = json!({ "expires_at": "2999-01-01T00:00:00Z" });
    let other = good(&world.post(&format!("{path}/secrets"), later).await, 201);
    assert_eq!(other["expires_at"], "2999-01-01T00:00:00.000Z");
    let past = json!({ "expires_at": "1999-01-01T00:00:00Z" });
    bad(
        &world.post(&format!("{path}/secrets"), past).await,
        422,
        "value_invalid",
    );
    let never = json!({ "expires_at": "tomorrow" });
    bad(
        &world.post(&format!("{path}/secrets"), never).await,
        422,
        "value_invalid",
    );

    good(
        &world.delete(&format!("{path}/secrets/{secret_id}")).await,
        204,
    );
    bad(
        &world.delete(&format!("{path}/secrets/{secret_id}")).await,
        404,
        "secret_unknown",
    );
    bad(
        &world.get(&format!("{path}/secrets/{secret_id}")).await,
        404,
        "secret_unknown",
    );
    let refused = world.server.token(&job, &[("scope", "courses:read")]).await;
    assert_eq!(refused.status.as_u16(), 401);
}

#[actix_web::test]
async fn a_rotation_shows_a_new_secret_and_ends_the_older_ones() {
    let world = World::new().await;
    let (path, id) = world.job("Job").await;
    let secrets = format!("{path}/secrets");
    let rotate = format!("{path}/rotate-secret");
    let old = good(&world.post(&secrets, json!({})).await, 201);
    let key: Headers<'_> = &[("idempotency-key", "rotation")];
    let answer = world.send("POST", &rotate, key, Value::Null).await;
    let new = good(&answer, 201);
    let place = format!("/api/v1{secrets}/{}", text(&new, "id"));
    assert_eq!(answer.header("location"), place);
    let again = good(&world.send("POST", &rotate, key, Value::Null).await, 201);
    assert_eq!((&again["id"], again.get("secret")), (&new["id"], None));
    assert_eq!(again["code"], "secret_already_shown");
    let day = world.server.app.now().plus_seconds(86_400).to_string();
    let ends = world.get(&format!("{secrets}/{}", text(&old, "id"))).await;
    assert_eq!(good(&ends, 200)["expires_at"], day);
    let works = async |secret: &Value| {
        let job = Job {
            client_id: id.clone(),
            client_secret: text(secret, "secret"),
        };
        let answer = world.server.token(&job, &[("scope", "x")]).await;
        // It may have nothing; whether it was let in is asked.
        answer.json()["error"] != "invalid_client"
    };
    assert!(works(&old).await && works(&new).await);
    // At once.
    let ended = good(
        &world.post(&rotate, json!({ "overlap_seconds": 0 })).await,
        201,
    );
    assert!(!works(&old).await && !works(&new).await && works(&ended).await);
    let last = json!({ "overlap_seconds": 60, "expires_at": "2100-01-01T00:00:00Z" });
    let last = good(&world.post(&rotate, last).await, 201);
    assert_eq!(last["expires_at"], "2100-01-01T00:00:00.000Z");
    let left = good(&world.get(&secrets).await, 200);
    let ids: Vec<&Value> = left["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, [&ended["id"], &last["id"]], "what had ended is gone");

    let long = json!({ "overlap_seconds": 7_776_001 });
    bad(&world.post(&rotate, long).await, 422, "value_invalid");
    let never = json!({ "expires_at": "2000-01-01T00:00:00Z" });
    bad(&world.post(&rotate, never).await, 422, "value_invalid");
    let nobody = "/applications/0000000000000000000000000r/rotate-secret";
    bad(
        &world.post(nobody, json!({})).await,
        404,
        "application_unknown",
    );
}

#[actix_web::test]
async fn grants_and_roles() {
    let world = World::new().await;
    let api = text(&world.courses().await, "id");
    let (path, _) = world.job("Job").await;
    let grants = format!("{path}/authorized-apis");
    let body = json!({ "api": api, "scopes": ["courses:read", "courses:publish"] });
    let answer = world.post(&grants, body.clone()).await;
    let grant = json!({ "api": api, "identifier": COURSES, "mode": "none",
                        "scopes": ["courses:publish", "courses:read"] });
    assert_eq!(good(&answer, 201), grant);
    assert_eq!(answer.header("location"), format!("/api/v1{grants}/{api}"));
    bad(&world.post(&grants, body).await, 409, "grant_exists");
    let by_identifier = format!("{grants}/https%3A%2F%2Fcourses.example%2Fapi");
    assert_eq!(good(&world.get(&by_identifier).await, 200), grant);
    assert_eq!(
        good(&world.get(&grants).await, 200),
        json!({ "items": [grant] })
    );
    let change = json!({ "mode": "rbac" });
    assert_eq!(
        good(&world.patch(&by_identifier, change).await, 200)["mode"],
        "rbac"
    );

    let role = json!({ "name": "publisher", "scopes": ["courses:publish"] });
    let answer = world.post("/roles", role.clone()).await;
    let made = good(&answer, 201);
    let role_path = format!("/roles/{}", text(&made, "id"));
    assert_eq!(answer.header("location"), format!("/api/v1{role_path}"));
    bad(&world.post("/roles", role).await, 409, "role_name_taken");
    assert_eq!(good(&world.get(&role_path).await, 200), made);
    let list = good(&world.get("/roles?name=publisher").await, 200);
    assert_eq!(list, json!({ "items": [made] }));
    let assigned = format!("{path}{role_path}");
    assert_eq!(
        good(&world.put(&assigned, Value::Null).await, 200),
        json!({ "id": made["id"] })
    );
    good(&world.put(&assigned, json!({})).await, 200);
    assert_eq!(
        world.get(&path).await.json()["roles"],
        json!([{ "id": made["id"] }])
    );
    let change = json!({ "name": "reader", "scopes": ["courses:read"] });
    assert_eq!(
        good(&world.patch(&role_path, change).await, 200)["name"],
        "reader"
    );

    let preview = format!("{path}/token-preview");
    let asked = json!({ "resource": [COURSES] });
    let shown = good(&world.post(&preview, asked).await, 200);
    assert_eq!(shown["claims"]["scope"], "courses:read");
    good(&world.delete(&assigned).await, 204);
    bad(&world.delete(&assigned).await, 404, "role_unknown");
    good(&world.delete(&role_path).await, 204);
    bad(&world.get(&role_path).await, 404, "role_unknown");
    good(&world.delete(&by_identifier).await, 204);
    bad(&world.delete(&by_identifier).await, 404, "grant_unknown");
    bad(&world.get(&by_identifier).await, 404, "grant_unknown");
    // What the body names is not what the path names.
    let body = json!({ "api": "api_99", "scopes": [] });
    bad(
        &world.post(&grants, body).await,
        422,
        "api_resource_unknown",
    );
    let body = json!({ "api": "https://nobody.example", "scopes": [] });
    bad(
        &world.post(&grants, body).await,
        422,
        "api_resource_unknown",
    );
    let body = json!({ "api": api, "scopes": ["courses:nothing"] });
    bad(&world.post(&grants, body).await, 422, "scope_unknown");
    bad(
        &world
            .post("/roles", json!({ "name": "x", "scopes": ["y"] }))
            .await,
        422,
        "scope_unknown",
    );
}

#[actix_web::test]
async fn settings() {
    let world = World::new().await;
    let before = good(&world.get("/settings").await, 200);
    assert_eq!(before["scopes.unauthorized"], "reject");
    assert_eq!(before.as_object().unwrap().len(), 13);
    let change = json!({ "scopes.unauthorized": "drop", "tokens.lifetime_seconds": 60 });
    let answer = world.patch("/settings", change).await;
    let after = good(&answer, 200);
    assert_eq!(after["scopes.unauthorized"], "drop");
    assert_eq!(after["scopes.omitted"], before["scopes.omitted"]);
    assert_eq!(
        answer.header("etag"),
        format!("\"{}\"", answer.header("writ-position"))
    );
    assert_eq!(
        good(&world.patch("/settings", before.clone()).await, 200),
        before
    );
    for (change, code, status) in [
        (
            json!({ "scopes.unauthorized": "ignore" }),
            "value_invalid",
            422,
        ),
        (
            json!({ "tokens.lifetime_seconds": 0 }),
            "value_invalid",
            422,
        ),
        (
            json!({ "tokens.lifetime_seconds": -1 }),
            "body_invalid",
            400,
        ),
        (json!({ "scopes.unautorized": "drop" }), "body_invalid", 400),
    ] {
        bad(&world.patch("/settings", change).await, status, code);
    }
}

#[actix_web::test]
async fn signing_keys() {
    let world = World::new().await;
    let list = good(&world.get("/signing-keys?limit=3").await, 200);
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let next = format!("/signing-keys?limit=3&after={}", text(&list, "next"));
    assert_eq!(
        good(&world.get(&next).await, 200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let answer = world
        .post("/signing-keys", json!({ "algorithm": "EdDSA" }))
        .await;
    let made = good(&answer, 201);
    let path = format!("/signing-keys/{}", text(&made, "kid"));
    assert_eq!(made["state"], "published");
    assert_eq!(made["jwk"]["crv"], "Ed25519");
    assert!(made["jwk"].get("d").is_none());
    assert_eq!(good(&world.get(&path).await, 200), made);
    bad(
        &world.post(&format!("{path}/activate"), json!({})).await,
        409,
        "signing_key_too_new",
    );
    world.server.clock.advance(Duration::from_secs(3600));
    let world = World {
        token: world.server.admin_token(&world.server.admin).await,
        ..world
    };
    let active = good(
        &world.post(&format!("{path}/activate"), Value::Null).await,
        200,
    );
    assert_eq!(active["state"], "active");
    assert!(active["active_since"].is_string());
    bad(
        &world.post(&format!("{path}/retire"), json!({})).await,
        409,
        "signing_key_in_use",
    );

    // An active key that is revoked is replaced in the same change.
    let key = json!({ "idempotency-key": "once" });
    let headers = [("idempotency-key", key["idempotency-key"].as_str().unwrap())];
    let revoke = format!("{path}/revoke");
    let revoked = good(&world.send("POST", &revoke, &headers, json!({})).await, 200);
    assert_eq!(revoked["state"], "revoked");
    let stored = world.server.app.key_store.list().len();
    good(&world.send("POST", &revoke, &headers, json!({})).await, 200);
    assert_eq!(
        world.server.app.key_store.list().len(),
        stored,
        "a repeat makes no key"
    );
    let all = good(&world.get("/signing-keys").await, 200);
    let states: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["algorithm"] == "EdDSA")
        .map(|key| text(key, "state"))
        .collect();
    assert_eq!(
        states.iter().filter(|state| *state == "active").count(),
        1,
        "{states:?}"
    );
    bad(
        &world.post(&format!("{path}/activate"), json!({})).await,
        409,
        "signing_key_state",
    );
    bad(
        &world
            .post("/signing-keys", json!({ "algorithm": "none" }))
            .await,
        422,
        "value_invalid",
    );
    bad(
        &world.get("/signing-keys/unknown").await,
        404,
        "signing_key_unknown",
    );
    bad(
        &world
            .post("/signing-keys/un%20known/retire", json!({}))
            .await,
        404,
        "signing_key_unknown",
    );

    // Nobody who may not make keys makes the server make one.
    let stored = world.server.app.key_store.list().len();
    let reader = World {
        token: world.administrator(&[ManagementScope::KeysRead]).await,
        ..world
    };
    bad(
        &reader
            .post("/signing-keys", json!({ "algorithm": "ES256" }))
            .await,
        403,
        "scope_missing",
    );
    assert_eq!(reader.server.app.key_store.list().len(), stored);
}

/// A restored log with an older key store, say: the key is published and cannot sign.
#[actix_web::test]
async fn a_key_without_its_private_part_is_not_activated() {
    let world = World::new().await;
    let make = json!({ "algorithm": "ES256" });
    let made = good(&world.post("/signing-keys", make).await, 201);
    let kid = text(&made, "kid");
    let path = format!("/signing-keys/{kid}");
    world.server.app.discard_key(&kid.parse().unwrap()).await;
    world.server.clock.advance(Duration::from_secs(3600));
    let world = World {
        token: world.server.admin_token(&world.server.admin).await,
        ..world
    };
    let head = world.server.head();
    let activate = format!("{path}/activate");
    bad(&world.post(&activate, json!({})).await, 503, "unavailable");
    assert_eq!(world.server.head(), head);
    assert_eq!(good(&world.get(&path).await, 200)["state"], "published");
    world.server.admin_token(&world.server.admin).await;
    assert_eq!(world.server.app.unready(), None);

    // Who may not ask does not hear of it.
    let reader = World {
        token: world.administrator(&[ManagementScope::KeysRead]).await,
        ..world
    };
    bad(
        &reader.post(&activate, json!({})).await,
        403,
        "scope_missing",
    );
}

#[actix_web::test]
async fn one_token_is_revoked() {
    let world = World::new().await;
    let helper = world.administrator(&[ManagementScope::RolesRead]).await;
    let token = world.server.app.validate_token(&helper).unwrap();
    let body = json!({ "jti": token.claims.jti, "application": token.application.to_string() });
    good(&world.post("/tokens/revoke", body.clone()).await, 204);
    let revoked = World {
        token: helper,
        ..world
    };
    let answer = revoked.get("/roles").await;
    bad(&answer, 401, "invalid_token");
    assert!(
        answer
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    let world = World {
        token: revoked.server.admin_token(&revoked.server.admin).await,
        ..revoked
    };
    let mut unknown = body.clone();
    unknown["application"] = json!(ApplicationId(7).to_string());
    bad(
        &world.post("/tokens/revoke", unknown).await,
        422,
        "application_unknown",
    );
    let mut malformed = body;
    malformed["jti"] = json!("x");
    bad(
        &world.post("/tokens/revoke", malformed).await,
        422,
        "value_invalid",
    );
}

#[actix_web::test]
async fn a_preview_explains_and_signs_nothing() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Job").await;
    let preview = format!("{path}/token-preview");
    let (head, asked) = (world.server.head(), json!({ "scope": "courses:read" }));
    let denied = good(&world.post(&preview, asked.clone()).await, 200);
    assert_eq!(denied["granted"], false);
    assert_eq!(denied["error"], "invalid_scope");
    assert!(text(&denied, "explanation").contains("courses:read"));
    assert_eq!(world.server.head(), head);
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    let granted = good(&world.post(&preview, asked.clone()).await, 200);
    assert_eq!(granted["granted"], true);
    assert_eq!(granted["claims"]["aud"], COURSES);
    assert_eq!(granted["claims"]["sub"], id);
    assert_eq!(granted["header"]["typ"], "at+jwt");
    assert_eq!(granted["lifetime_seconds"], 900);
    assert_eq!(granted.get("sender_constraint"), None);
    // What it would have got then.
    let then = world
        .post(&format!("{preview}?as_of={}", head - 1), asked)
        .await;
    assert_eq!(good(&then, 200), denied);
    // A proof that would have to be there is taken to be.
    for how in ["dpop", "mtls"] {
        let bound = json!({ "token_settings": { "sender_constraint": how } });
        good(&world.patch(&path, bound).await, 200);
        let asked = json!({ "scope": "courses:read" });
        let shown = good(&world.post(&preview, asked).await, 200);
        assert_eq!(shown["sender_constraint"], how, "{shown}");
    }
    bad(
        &world.post("/applications/x/token-preview", json!({})).await,
        404,
        "application_unknown",
    );
    assert_eq!(
        good(&world.post(&preview, Value::Null).await, 200)["error"],
        "invalid_scope"
    );
}

#[actix_web::test]
async fn events_are_the_stored_bytes() {
    let world = World::new().await;
    let begin = world.server.head();
    let (path, id) = world.job("Job").await;
    world.job("Other").await;
    good(&world.patch(&path, json!({ "name": "Renamed" })).await, 200);
    let page = good(
        &world.get(&format!("/events?from={begin}&limit=2")).await,
        200,
    );
    assert_eq!(page["items"][0]["position"], begin);
    assert_eq!(page["items"][0]["event"]["kind"], "application.created");
    assert_eq!(page["next"], (begin + 2).to_string());
    let rest = good(
        &world.get(&format!("/events?from={}", begin + 2)).await,
        200,
    );
    assert_eq!(rest["items"][0]["event"]["kind"], "application.renamed");
    assert!(rest.get("next").is_none());
    assert!(rest["items"][0]["event"]["corr"].is_string());
    let stored = world
        .server
        .app
        .ledger
        .read_events(writ_core::Position(begin), 1)
        .unwrap();
    let raw = world.get(&format!("/events?from={begin}&limit=1")).await;
    let raw = String::from_utf8(raw.body).unwrap();
    assert!(raw.contains(std::str::from_utf8(&stored[0].1).unwrap()));

    let about = format!("/events?entity=application/{id}");
    let found = good(&world.get(&about).await, 200);
    let kinds: Vec<_> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| text(&e["event"], "kind"))
        .collect();
    assert_eq!(kinds, ["application.created", "application.renamed"]);
    let first = good(&world.get(&format!("{about}&limit=1")).await, 200);
    assert_eq!(first["next"], (begin + 1).to_string());
    let then = good(&world.get(&format!("{about}&as_of={begin}")).await, 200);
    assert_eq!(then["items"].as_array().unwrap().len(), 1);
    let last = world.get("/events?from=18446744073709551615").await;
    assert_eq!(good(&last, 200), json!({ "items": [] }));
    bad(
        &world.get("/events?entity=x/y").await,
        400,
        "query_malformed",
    );
    bad(&world.get("/events?from=-1").await, 400, "query_malformed");
    bad(
        &world.get("/events?as_of=99999").await,
        400,
        "as_of_invalid",
    );
}

#[actix_web::test]
async fn the_openapi_document_is_public() {
    let world = World::new().await;
    let answer = world
        .server
        .send(TestRequest::get().uri("/api/v1/openapi.json"))
        .await;
    assert_eq!(answer.status.as_u16(), 200);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/api/v1");
}

/// A policy with a setting: what `policy.wat` has, and `caps`, of kind `texts`, with no default.
const WITH_SETTING: &str = r#"
(data $descriptor (i32.const 2048)
  "\00\04\00\00\07\00\00\00" "\08\04\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
  "\00\0c\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00" "\80\08\00\00\01\00\00\00"
  "\88\08\00\00\01\00\00\00")
(data $setting (i32.const 3072)
  "\80\0c\00\00\04\00\00\00" "\03\01\00\00" "\00\00\00\00\00\00\00\00"
  "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
(data $caps (i32.const 3200) "caps")
"#;

#[actix_web::test]
async fn policies_are_uploaded_and_shown() {
    let world = World::new().await;
    let module = honest();
    let answer = world.server.upload(&world.token, module.clone()).await;
    let policy = good(&answer, 201);
    let digest = text(&policy, "digest");
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/policies/{digest}")
    );
    assert_eq!(policy["name"], "example");
    assert_eq!(policy["version"], "1.0.0");
    assert_eq!(policy["claims"], json!(["tier"]));
    assert_eq!(policy["bytes"], module.len());
    // The same again is the same one, and no event.
    let head = world.server.head();
    let again = world.server.upload(&world.token, module.clone()).await;
    assert_eq!(good(&again, 200), policy);
    assert_eq!(world.server.head(), head);

    let shown = world.get(&format!("/policies/{digest}")).await;
    assert_eq!(good(&shown, 200), policy);
    assert_eq!(shown.header("etag"), format!("\"{}\"", policy["position"]));
    let list = good(&world.get("/policies?name=example").await, 200);
    assert_eq!(list["items"], json!([policy]));
    let none = good(&world.get("/policies?name=other").await, 200);
    assert_eq!(none["items"], json!([]));
    let bytes = world.get(&format!("/policies/{digest}/module")).await;
    assert_eq!(bytes.header("content-type"), "application/wasm");
    assert_eq!(bytes.body, module);

    good(&world.delete(&format!("/policies/{digest}")).await, 204);
    bad(
        &world.get(&format!("/policies/{digest}")).await,
        404,
        "policy_unknown",
    );
    bad(&world.get("/policies/zz").await, 404, "policy_unknown");
    // It can be had back: the module was kept.
    good(&world.server.upload(&world.token, module).await, 201);
}

#[actix_web::test]
async fn a_module_that_is_no_policy_is_refused_with_every_reason() {
    let world = World::new().await;
    let head = world.server.head();
    let answer = world
        .server
        .upload(&world.token, hostile("import_wasi"))
        .await;
    let problem = bad(&answer, 422, "policy_rejected");
    let reasons = problem["reasons"].as_array().unwrap();
    assert!(
        reasons[0].as_str().unwrap().contains("no WASI"),
        "{problem}"
    );
    let answer = world
        .server
        .upload(&world.token, b"not wasm".to_vec())
        .await;
    bad(&answer, 422, "policy_rejected");
    let answer = world.server.upload(&world.token, Vec::new()).await;
    bad(&answer, 422, "policy_rejected");
    let answer = world
        .server
        .upload(&world.token, vec![0; (1 << 20) + 1])
        .await;
    bad(&answer, 413, "body_too_large");
    bad(
        &world.post("/policies", json!({})).await,
        415,
        "media_type_unsupported",
    );
    assert_eq!(world.server.head(), head);
    let kept = files(&world.server.data_dir().join("blobs"));
    assert_eq!(kept, 0, "what is refused is not kept");
}

/// The rest of a nearly full disk is for revocations.
#[actix_web::test]
async fn nothing_is_uploaded_to_a_full_disk() {
    let world = World::new().await;
    let server = world.server.restart_with(|config| {
        config.disk.issuance_floor = crate::config::ByteSize(u64::MAX);
    });
    let answer = server.upload(&world.token, honest()).await;
    bad(&answer, 503, "busy");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(files(&server.data_dir().join("blobs")), 0);
}

#[actix_web::test]
async fn a_change_that_is_refused_leaves_nothing_ready() {
    let world = World::new().await;
    let digest = world.upload(module(WITH_SETTING)).await;
    let bind = json!({ "policy": digest, "target": "server", "settings": { "caps": ["a"] } });
    good(&world.post("/policy-bindings", bind.clone()).await, 201);
    let ready = world.server.app.policies.ready();
    for number in 0..5 {
        let settings = json!({ "caps": [number.to_string()] });
        for change in [
            json!({ "settings": settings, "mode": "loud" }),
            json!({ "settings": settings, "claims": ["sub"] }),
        ] {
            let path = "/policy-bindings/binding_0";
            assert_eq!(world.patch(path, change).await.status.as_u16(), 422);
        }
        let mut other = bind.clone();
        other["settings"] = settings;
        other["target"] = "api_resource/api_9".into();
        bad(
            &world.post("/policy-bindings", other).await,
            422,
            "api_resource_unknown",
        );
    }
    assert_eq!(world.server.app.policies.ready(), ready);
}

#[actix_web::test]
async fn policies_are_bound_changed_rolled_back_and_unbound() {
    let world = World::new().await;
    world.courses().await;
    let (first, second) = (
        world.upload(honest()).await,
        world.upload(module(WITH_SETTING)).await,
    );
    let target = format!("api_resource/{COURSES}");
    let bind = json!({ "policy": first, "target": target, "claims": ["tier"] });
    let answer = world.post("/policy-bindings", bind).await;
    let binding = good(&answer, 201);
    assert_eq!(
        answer.header("location"),
        "/api/v1/policy-bindings/binding_0"
    );
    assert_eq!(binding["target"], "api_resource/api_1");
    assert_eq!(binding["mode"], "enforce");
    assert_eq!(binding["order"], 100);
    assert_eq!(binding["policy_name"], "example");
    assert_eq!(binding["claims"], json!(["tier"]));
    assert_eq!(binding["previous"], Value::Null);
    let path = "/policy-bindings/binding_0";
    assert_eq!(good(&world.get(path).await, 200), binding);
    for query in [
        format!("policy={first}"),
        "target=api_resource/api_1".to_owned(),
        format!(
            "target=api_resource%2F{}",
            COURSES.replace(':', "%3A").replace('/', "%2F")
        ),
    ] {
        let list = good(&world.get(&format!("/policy-bindings?{query}")).await, 200);
        assert_eq!(list["items"], json!([binding]), "{query}");
    }
    let none = good(&world.get("/policy-bindings?target=server").await, 200);
    assert_eq!(none["items"], json!([]));

    // Settings must suit the policy, and come with it.
    let change = json!({ "policy": second });
    let problem = bad(&world.patch(path, change).await, 422, "settings_invalid");
    let missing = "caps: it is missing; it takes a list of texts";
    assert_eq!(problem["reasons"], json!([missing]));
    let change = json!({ "policy": second, "settings": { "caps": ["a=1"], "colour": 7 } });
    let problem = bad(&world.patch(path, change).await, 422, "settings_invalid");
    assert_eq!(
        problem["reasons"],
        json!(["colour: the policy has no such setting"])
    );
    let change = json!({ "policy": second, "settings": { "caps": 1.5 } });
    let problem = bad(&world.patch(path, change).await, 422, "value_invalid");
    assert!(
        text(&problem, "detail").starts_with("settings.caps: "),
        "{problem}"
    );
    let change = json!({ "policy": second, "settings": { "caps": ["a=1"] }, "mode": "shadow" });
    let changed = good(&world.patch(path, change).await, 200);
    assert_eq!(changed["policy"], second);
    assert_eq!(changed["settings"], json!({ "caps": ["a=1"] }));
    assert_eq!(changed["mode"], "shadow");
    assert_eq!(changed["previous"]["policy"], first);

    // What can come back is in use.
    let problem = bad(
        &world.delete(&format!("/policies/{first}")).await,
        409,
        "in_use",
    );
    assert_eq!(problem["users"][0]["entity"], "policy_binding/binding_0");
    // It comes back at once, whatever is being compiled meanwhile.
    let compiling = world.server.app.compiling.acquire().await.unwrap();
    let back = good(
        &world.post(&format!("{path}/rollback"), Value::Null).await,
        200,
    );
    drop(compiling);
    assert_eq!(
        (&back["policy"], &back["mode"]),
        (&json!(first), &json!("shadow"))
    );
    assert_eq!(back["previous"]["policy"], second);
    good(&world.delete(path).await, 204);
    bad(&world.get(path).await, 404, "policy_binding_unknown");
    bad(
        &world.post(&format!("{path}/rollback"), Value::Null).await,
        404,
        "policy_binding_unknown",
    );
    good(&world.delete(&format!("/policies/{first}")).await, 204);
    let events = good(
        &world.get("/events?entity=policy_binding/binding_0").await,
        200,
    );
    assert_eq!(events["items"].as_array().unwrap().len(), 4);
}

#[actix_web::test]
async fn bindings_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let digest = world.upload(honest()).await;
    let head = world.server.head();
    let bind = |change: Value| {
        let mut body = json!({ "policy": digest, "target": "server" });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    for (change, status, code) in [
        (json!({ "policy": DIGEST }), 422, "policy_unknown"),
        (json!({ "policy": "example" }), 422, "value_invalid"),
        (json!({ "target": "servers" }), 422, "value_invalid"),
        (json!({ "target": "role/role_1" }), 422, "value_invalid"),
        (
            json!({ "target": "api_resource/api_9" }),
            422,
            "api_resource_unknown",
        ),
        (
            json!({ "target": "api_resource/urn:nobody" }),
            422,
            "api_resource_unknown",
        ),
        (json!({ "mode": "loud" }), 422, "value_invalid"),
        (json!({ "claims": ["sub"] }), 422, "claim_undeclared"),
        (
            json!({ "settings": { "caps": ["a"] } }),
            422,
            "settings_invalid",
        ),
        (
            json!({ "settings": { "caps": null } }),
            422,
            "value_invalid",
        ),
        (json!({ "order": -1 }), 400, "body_invalid"),
        (json!({ "colour": 1 }), 400, "body_invalid"),
    ] {
        let answer = world.post("/policy-bindings", bind(change)).await;
        bad(&answer, status, code);
    }
    assert_eq!(world.server.head(), head);
    // A repeat is the same binding, and asks no policy again.
    let key = [("idempotency-key", "once")];
    let body = bind(json!({}));
    let first = world
        .send("POST", "/policy-bindings", &key, body.clone())
        .await;
    let again = world.send("POST", "/policy-bindings", &key, body).await;
    assert_eq!(good(&first, 201), good(&again, 201));
    // Nobody's change meets another policy than the one that was looked at.
    let stale = [("if-match", "\"1\"")];
    let change = json!({ "order": 1 });
    let answer = world
        .send("PATCH", "/policy-bindings/binding_0", &stale, change)
        .await;
    bad(&answer, 412, "version_stale");
}

#[actix_web::test]
async fn a_preview_asks_the_policies_too_also_those_of_the_past() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Job").await;
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    let digest = world.upload(honest()).await;
    let bind = json!({ "policy": digest, "target": format!("application/{id}"),
                       "claims": ["tier"] });
    good(&world.post("/policy-bindings", bind).await, 201);
    let bound = world.server.head() - 1;
    good(&world.delete("/policy-bindings/binding_0").await, 204);

    let ask = json!({ "scope": "courses:read", "attributes": { "net.ip": "192.0.2.1" } });
    let preview = format!("{path}/token-preview");
    let now = good(&world.post(&preview, ask.clone()).await, 200);
    assert_eq!(now["lifetime_seconds"], 900);
    assert_eq!(now["policies"], Value::Null);
    let then = world.post(&format!("{preview}?as_of={bound}"), ask).await;
    let then = good(&then, 200);
    assert_eq!(then["lifetime_seconds"], 300);
    assert_eq!(then["claims"]["tier"], "gold");
    assert_eq!(then["policies"][0]["policy"], digest);
    assert_eq!(then["policies"][0]["policy_name"], "example");
    let permit = &then["policies"][0]["verdict"]["permit"];
    assert_eq!(permit["claims"], json!({ "tier": "gold" }));

    for (name, value) in [
        ("net.ip", json!("nowhere")),
        ("net.ip", json!(7)),
        ("time.hour", json!("9")),
        ("net.country", json!("se")),
        ("tls.client_cert.sha256", json!("AAAA")),
    ] {
        let ask = json!({ "scope": "courses:read", "attributes": { name: value } });
        let problem = bad(&world.post(&preview, ask).await, 422, "value_invalid");
        assert!(
            text(&problem, "detail").starts_with("attributes."),
            "{problem}"
        );
    }

    // Why, in the policy's own words, is for those who audit.
    let reader = world
        .administrator(&[ManagementScope::ApplicationsRead])
        .await;

    // A denial says which error the application would see, and what each policy said.
    let deny = world.upload(hostile("unreachable")).await;
    let bind = json!({ "policy": deny, "target": "server" });
    good(&world.post("/policy-bindings", bind).await, 201);
    let denied = good(
        &world
            .post(&preview, json!({ "scope": "courses:read" }))
            .await,
        200,
    );
    assert_eq!(
        (&denied["granted"], &denied["error"]),
        (&json!(false), &json!("access_denied"))
    );
    let fault = &denied["policies"][0]["verdict"]["fault"];
    assert_eq!(fault["code"], "trapped");
    assert!(text(fault, "reason").contains("unreachable"), "{fault}");
    let ask = Some(json!({ "scope": "courses:read" }));
    let post = Method::POST;
    let denied = world.server.call(&reader, post, &preview, &[], ask).await;
    let fault = &good(&denied, 200)["policies"][0]["verdict"]["fault"];
    assert_eq!(fault["code"], "trapped");
    assert!(!text(fault, "reason").contains("unreachable"), "{fault}");
}

// Who may not.

/// A path of a route with something in its parameters.
fn filled(path: &str, with: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { with } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// A body that a route's parser takes.
fn body_of(operation: &str) -> Value {
    match operation {
        "createApiResource" => json!({ "identifier": "a:b", "name": "x" }),
        "createApplication" | "createRole" => json!({ "name": "x" }),
        "createTrustedIssuer" => {
            json!({ "issuer": "https://a.example", "name": "x", "keys": { "discovery": true } })
        }
        "createInitialAccessToken" => json!({ "name": "x" }),
        "putAuthentication" => json!({ "methods": ["client_secret_basic"] }),
        "putTokenExchange" => json!({ "subjects": [ApplicationId(7).to_string()] }),
        "putGrantDetails" => json!({ "authorization_details_types": [] }),
        "addGrant" => json!({ "api": "api_1" }),
        "createSigningKey" => json!({ "algorithm": "ES256" }),
        "bindPolicy" => json!({ "policy": "a".repeat(64), "target": "server" }),
        "revokeToken" => json!({ "jti": "00000000-0000-7000-8000-000000000000",
                                 "application": ApplicationId(7).to_string() }),
        _ => json!({}),
    }
}

#[actix_web::test]
async fn every_route_needs_its_token_and_its_scope() {
    let world = World::new().await;
    let before = world.server.head();
    for route in routes() {
        let Some(scope) = route.scope else { continue };
        let id = ApplicationId(7).to_string();
        let with = match route.path {
            path if path.starts_with("/api-resources") => "api_1",
            path if path.starts_with("/roles") => "role_1",
            path if path.starts_with("/trusted-issuers") => "issuer_1",
            path if path.starts_with("/initial-access-tokens") => "iat_1",
            path if path.starts_with("/policy-bindings") => "binding_1",
            path if path.starts_with("/policies") => DIGEST,
            path if path.contains("/roles/") || path.contains("{api_id}") => "x",
            _ => id.as_str(),
        };
        let path = match route.path {
            "/applications/{id}/roles/{role_id}" => format!("/applications/{id}/roles/role_1"),
            path if path.contains("{api_id}") => {
                path.replace("{id}", &id).replace("{api_id}", "api_1")
            }
            path => filled(path, with),
        };
        let uri = format!("/api/v1{path}");
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let anonymous = world
            .server
            .send(TestRequest::with_uri(&uri).method(method))
            .await;
        bad(&anonymous, 401, "invalid_token");
        assert_eq!(
            anonymous.header("www-authenticate"),
            "Bearer realm=\"writ\""
        );
        // Everything but that scope: refused, and for that scope. Writes are decided in the core,
        // so this also compares the table with `Command::required_scope`.
        let others: Vec<ManagementScope> = ManagementScope::ALL
            .iter()
            .copied()
            .filter(|other| *other != scope)
            .collect();
        let token = world.administrator(&others).await;
        let body = Some(body_of(route.operation)).filter(|_| route.body.is_some());
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let answer = match route.operation {
            "uploadPolicy" => world.server.upload(&token, honest()).await,
            _ => world.server.call(&token, method, &path, &[], body).await,
        };
        bad(&answer, 403, "scope_missing");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        assert!(
            challenge.contains(&format!("scope=\"{}\"", scope.as_str())),
            "{}: {challenge}",
            route.operation
        );
    }
    let log = world
        .server
        .app
        .ledger
        .read_events(writ_core::Position(before), 1_000)
        .unwrap();
    let made = log
        .iter()
        .filter(|(_, bytes)| !String::from_utf8_lossy(bytes).contains("operator"));
    assert_eq!(made.count(), 0, "nothing but our own preparations");
}

#[actix_web::test]
async fn only_a_live_token_for_the_management_api_counts() {
    let world = World::new().await;
    let api = world
        .server
        .api("https://x.example", &["x"], Default::default())
        .await;
    let job = world.server.application(api, &["x"]).await;
    let foreign = world.server.access_token(&job, &[("scope", "x")]).await;
    for header in [
        format!("Bearer {foreign}"),
        "Bearer x.y.z".to_owned(),
        "Bearer".to_owned(),
        "Basic eDp5".to_owned(),
        format!("Bearer {}x", world.token),
    ] {
        let request = TestRequest::get()
            .uri("/api/v1/roles")
            .insert_header(("authorization", header.clone()));
        let answer = world.server.send(request).await;
        bad(&answer, 401, "invalid_token");
        assert!(
            answer.header("www-authenticate").contains("invalid_token"),
            "{header}"
        );
    }
    let twice = TestRequest::get()
        .uri("/api/v1/roles")
        .append_header(("authorization", format!("Bearer {}", world.token)))
        .append_header(("authorization", format!("Bearer {}", world.token)));
    bad(&world.server.send(twice).await, 400, "header_malformed");

    // Taken away after the token was issued.
    let helper = world
        .administrator(&[ManagementScope::RolesRead, ManagementScope::RolesWrite])
        .await;
    let id = world
        .server
        .app
        .validate_token(&helper)
        .unwrap()
        .application;
    let management = "urn%3Awrit%3Amanagement";
    let less = json!({ "scopes": ["writ:roles:read"] });
    let grant = format!("/applications/{id}/authorized-apis/{management}");
    good(&world.patch(&grant, less).await, 200);
    let lesser = World {
        token: helper.clone(),
        ..world
    };
    good(&lesser.get("/roles").await, 200);
    bad(
        &lesser.post("/roles", json!({ "name": "x" })).await,
        403,
        "scope_missing",
    );
    let world = World {
        token: lesser.server.admin_token(&lesser.server.admin).await,
        ..lesser
    };
    good(
        &world
            .patch(&format!("/applications/{id}"), json!({ "enabled": false }))
            .await,
        200,
    );
    let disabled = World {
        token: helper,
        ..world
    };
    bad(&disabled.get("/roles").await, 401, "invalid_token");
    disabled.server.clock.advance(Duration::from_secs(901));
    let world = World {
        token: disabled.server.admin_token(&disabled.server.admin).await,
        ..disabled
    };
    world.server.clock.advance(Duration::from_secs(901));
    bad(&world.get("/roles").await, 401, "invalid_token");
}

#[actix_web::test]
async fn escalation_is_refused_over_http() {
    use ManagementScope as S;
    let world = World::new().await;
    let admin = world.server.admin.client_id.clone();
    let all_but_settings: Vec<S> = S::ALL
        .iter()
        .copied()
        .filter(|scope| *scope != S::SettingsWrite)
        .collect();
    let helper = world.administrator(&all_but_settings).await;
    let own = world
        .server
        .app
        .validate_token(&helper)
        .unwrap()
        .application;
    let world = World {
        token: helper,
        ..world
    };
    let head = world.server.head();
    let path = format!("/applications/{admin}");
    bad(
        &world.post(&format!("{path}/secrets"), json!({})).await,
        403,
        "actor_outranked",
    );
    bad(
        &world.patch(&path, json!({ "labels": { "a": "b" } })).await,
        403,
        "actor_outranked",
    );
    bad(
        &world.patch(&path, json!({ "name": "x" })).await,
        403,
        "actor_outranked",
    );
    let more = json!({ "scopes": ["writ:settings:write"] });
    let grant = format!("/applications/{own}/authorized-apis/urn%3Awrit%3Amanagement");
    bad(&world.patch(&grant, more).await, 403, "authority_missing");
    let role = json!({ "name": "r", "scopes": ["writ:settings:write"] });
    bad(&world.post("/roles", role).await, 403, "authority_missing");
    let loosened = json!({ "requires_authorization": false });
    let management = "/api-resources/urn%3Awrit%3Amanagement";
    bad(
        &world.patch(management, loosened).await,
        403,
        "management_api_fixed",
    );
    bad(&world.delete(management).await, 403, "management_api_fixed");
    let scope = format!("{management}/scopes/writ:x");
    bad(
        &world.put(&scope, json!({})).await,
        403,
        "management_api_fixed",
    );
    bad(
        &world.delete(&format!("{path}?cascade=true")).await,
        409,
        "last_administrator",
    );
    bad(
        &world.patch(&path, json!({ "enabled": false })).await,
        409,
        "last_administrator",
    );
    let new = json!({ "identifier": "urn:writ:else", "name": "x" });
    bad(
        &world.post("/api-resources", new).await,
        403,
        "management_api_fixed",
    );
    assert_eq!(world.server.head(), head);
}

// Every way to ask wrongly: a clear 4xx, and nothing changes.

#[actix_web::test]
async fn bad_bodies() {
    let world = World::new().await;
    let head = world.server.head();
    let raw = |body: Vec<u8>, content_type: Option<&'static str>| {
        let mut request = TestRequest::post()
            .uri("/api/v1/roles")
            .insert_header(("authorization", format!("Bearer {}", world.token)))
            .set_payload(body);
        if let Some(content_type) = content_type {
            request = request.insert_header(("content-type", content_type));
        }
        world.server.send(request)
    };
    let json = Some("application/json");
    let named = |body: &str| body.as_bytes().to_vec();
    for (body, status, code, says) in [
        (
            named("{\"name\": \"x\""),
            400,
            "body_malformed",
            "line 1 column 12",
        ),
        (
            named("{\"name\": \"x\",\n\"scope\": []}"),
            400,
            "body_invalid",
            "`scope`",
        ),
        (
            named("{\"name\": \"x\", \"name\": \"y\"}"),
            400,
            "body_invalid",
            "is there twice",
        ),
        (
            named("{\"name\": 1}"),
            400,
            "body_invalid",
            "expected a string",
        ),
        (named("{}"), 400, "body_invalid", "missing field `name`"),
        (named("[]"), 400, "body_invalid", "JSON object"),
        (named(""), 400, "body_malformed", "EOF"),
        (
            b"{\"name\": \"\xff\"}".to_vec(),
            400,
            "body_malformed",
            "not UTF-8",
        ),
        (named("{\"name\": \"\"}"), 422, "value_invalid", "name"),
        (
            named("{\"name\": \"a\\u0000b\"}"),
            422,
            "value_invalid",
            "name",
        ),
        (
            named("{\"name\": \"x\", \"scopes\": [\"a b\"]}"),
            422,
            "value_invalid",
            "scopes[0]",
        ),
    ] {
        let answer = raw(body, json).await;
        let detail = text(&bad(&answer, status, code), "detail");
        assert!(detail.contains(says), "{detail}");
    }
    bad(
        &raw(named("{\"name\": \"x\"}"), None).await,
        415,
        "media_type_unsupported",
    );
    bad(
        &raw(named("{\"name\": \"x\"}"), Some("text/plain")).await,
        415,
        "media_type_unsupported",
    );
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    bad(&raw(large.into_bytes(), json).await, 413, "body_too_large");
    let scopes: Vec<String> = (0..10_000).map(|i| format!("scope:{i}")).collect();
    let answer = world
        .post("/roles", json!({ "name": "x", "scopes": scopes }))
        .await;
    bad(&answer, 422, "limit_reached");
    let scopes: Vec<Value> = scopes.iter().map(|name| json!({ "name": name })).collect();
    let body = json!({ "identifier": COURSES, "name": "x", "scopes": scopes });
    bad(
        &world.post("/api-resources", body).await,
        422,
        "limit_reached",
    );
    let answer = world.send("DELETE", "/roles/role_0", &[], json!({})).await;
    bad(&answer, 400, "body_malformed");
    assert_eq!(world.server.head(), head);
}

#[actix_web::test]
async fn bad_paths_and_methods() {
    let world = World::new().await;
    for (path, status, code) in [
        ("/applications/..", 400, "path_malformed"),
        ("/applications/%2e%2e/settings", 400, "path_malformed"),
        ("/applications/../settings", 400, "path_malformed"),
        (
            "/applications/..%2f..%2fetc%2fpasswd",
            404,
            "application_unknown",
        ),
        ("/applications/%00", 404, "application_unknown"),
        ("/applications/%ff", 400, "path_malformed"),
        ("/applications/%zz", 400, "path_malformed"),
        ("/applications/", 404, "not_found"),
        ("/applications//secrets", 404, "not_found"),
        ("/applications/x", 404, "application_unknown"),
        ("/api-resources/api_99", 404, "api_resource_unknown"),
        ("/api-resources/api_01", 404, "api_resource_unknown"),
        ("/roles/role_4294967296", 404, "role_unknown"),
        ("/nothing", 404, "not_found"),
        ("/", 404, "not_found"),
        ("", 404, "not_found"),
    ] {
        bad(&world.get(path).await, status, code);
    }
    let answer = world.send("PUT", "/applications", &[], json!({})).await;
    bad(&answer, 405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    let answer = world.send("TRACE", "/settings", &[], Value::Null).await;
    bad(&answer, 405, "method_not_allowed");
    let head = world.send("HEAD", "/settings", &[], Value::Null).await;
    assert_eq!(head.status.as_u16(), 200);
    assert!(!head.header("etag").is_empty());
}

#[actix_web::test]
async fn bad_queries_and_headers() {
    let world = World::new().await;
    for query in [
        "x=1",
        "limit=0",
        "limit=201",
        "limit=a",
        "limit=1&limit=2",
        "after",
        "name=%",
    ] {
        let answer = world.get(&format!("/roles?{query}")).await;
        let code = if query == "after" {
            "cursor_invalid"
        } else {
            "query_malformed"
        };
        bad(&answer, 400, code);
    }
    // A token belongs into the header (RFC 6750 §2.3).
    bad(
        &world.get("/roles?access_token=x").await,
        400,
        "query_malformed",
    );
    bad(
        &world.get("/roles?as_of=tomorrow").await,
        400,
        "as_of_invalid",
    );
    bad(
        &world.get("/roles?as_of=2999-01-01T00:00:00Z").await,
        400,
        "as_of_invalid",
    );
    bad(
        &world.get("/roles?as_of=1999-01-01T00:00:00Z").await,
        400,
        "as_of_invalid",
    );
    let head = world.server.head();
    bad(
        &world.get(&format!("/roles?as_of={head}")).await,
        400,
        "as_of_invalid",
    );
    bad(
        &world.post("/roles?as_of=1", json!({ "name": "x" })).await,
        400,
        "query_malformed",
    );
    bad(
        &world.delete("/roles/role_0?cascade=yes").await,
        400,
        "query_malformed",
    );
    let long = "k".repeat(256);
    for (name, value) in [
        ("idempotency-key", "a b"),
        ("idempotency-key", long.as_str()),
        ("if-match", "\"5\""),
        ("writ-reason", ""),
    ] {
        let answer = world
            .send("POST", "/roles", &[(name, value)], json!({ "name": "x" }))
            .await;
        bad(&answer, 400, "header_malformed");
    }
    let answer = world
        .send("PATCH", "/settings", &[("if-match", "5")], json!({}))
        .await;
    bad(&answer, 400, "header_malformed");
    let answer = world
        .send("GET", "/roles", &[("writ-min-position", "x")], Value::Null)
        .await;
    bad(&answer, 400, "header_malformed");
    let ahead = world.server.head().to_string();
    let answer = world
        .send(
            "GET",
            "/roles",
            &[("writ-min-position", &ahead)],
            Value::Null,
        )
        .await;
    bad(&answer, 503, "behind");
    assert_eq!(answer.header("retry-after"), "1");
    let seen = (world.server.head() - 1).to_string();
    let answer = world
        .send(
            "GET",
            "/roles",
            &[("writ-min-position", &seen)],
            Value::Null,
        )
        .await;
    good(&answer, 200);
    assert_eq!(world.server.head(), head);
}

#[actix_web::test]
async fn of_two_creates_with_one_identifier_one_wins() {
    let world = World::new().await;
    let head = world.server.head();
    let body = || json!({ "identifier": COURSES, "name": "Courses" });
    let (one, other) = tokio::join!(
        world.post("/api-resources", body()),
        world.post("/api-resources", body())
    );
    let mut answers = [one, other];
    answers.sort_by_key(|answer| answer.status);
    good(&answers[0], 201);
    bad(&answers[1], 409, "identifier_taken");
    assert_eq!(world.server.head(), head + 1);
}

#[actix_web::test]
async fn a_stale_version_changes_nothing() {
    let world = World::new().await;
    let (path, _) = world.job("Job").await;
    let etag = world.get(&path).await.header("etag").to_owned();
    let change = |name: &str| json!({ "name": name });
    let matched = world
        .send("PATCH", &path, &[("if-match", &etag)], change("a"))
        .await;
    good(&matched, 200);
    assert_ne!(matched.header("etag"), etag);
    let head = world.server.head();
    for (method, below, body) in [
        ("PATCH", "", change("b")),
        ("DELETE", "", Value::Null),
        ("POST", "/secrets", json!({})),
        ("POST", "/revoke-tokens", json!({})),
    ] {
        let path = format!("{path}{below}");
        let stale = world
            .send(method, &path, &[("if-match", &etag)], body)
            .await;
        bad(&stale, 412, "version_stale");
    }
    assert_eq!(world.server.head(), head);
    good(
        &world
            .send("PATCH", &path, &[("if-match", "*")], change("c"))
            .await,
        200,
    );
    world.courses().await;
    let scope = format!("{COURSES_IN_PATH}/scopes/courses:new");
    let answer = world
        .send("PUT", &scope, &[("if-match", "*")], json!({}))
        .await;
    bad(&answer, 412, "version_stale");
}

#[actix_web::test]
async fn a_repeat_is_carried_out_once() {
    let world = World::new().await;
    let key: Headers<'_> = &[("idempotency-key", "4711")];
    let first = world
        .send("POST", "/applications", key, json!({ "name": "Job" }))
        .await;
    let made = good(&first, 201);
    let head = world.server.head();
    let again = world
        .send("POST", "/applications", key, json!({ "name": "Job" }))
        .await;
    assert_eq!(good(&again, 201), made);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("writ-position"), first.header("writ-position"));
    for (path, body) in [
        ("/applications", json!({ "name": "Other" })),
        ("/roles", json!({ "name": "Job" })),
    ] {
        bad(
            &world.send("POST", path, key, body).await,
            422,
            "idempotency_key_reused",
        );
    }
    assert_eq!(world.server.head(), head);

    // A secret is not shown twice.
    let path = format!("/applications/{}", text(&made, "id"));
    let secrets = format!("{path}/secrets");
    let key: Headers<'_> = &[("idempotency-key", "4712")];
    let secret = good(&world.send("POST", &secrets, key, json!({})).await, 201);
    assert!(secret["secret"].is_string() && secret.get("code").is_none());
    let again = good(&world.send("POST", &secrets, key, json!({})).await, 201);
    assert_eq!(again["id"], secret["id"]);
    assert_eq!(again["code"], "secret_already_shown");
    assert!(again.get("secret").is_none());
    // The key is the caller's own.
    let other = World {
        token: world.administrator(ManagementScope::ALL).await,
        ..world
    };
    let theirs = good(&other.send("POST", &secrets, key, json!({})).await, 201);
    assert_ne!(theirs["id"], secret["id"]);
    let world = World {
        token: other.server.admin_token(&other.server.admin).await,
        ..other
    };

    // Removed since.
    let one = format!("{secrets}/{}", text(&secret, "id"));
    good(&world.delete(&one).await, 204);
    bad(
        &world.send("POST", &secrets, key, json!({})).await,
        410,
        "gone",
    );
    let key: Headers<'_> = &[("idempotency-key", "4713")];
    good(&world.send("DELETE", &path, key, Value::Null).await, 204);
    good(&world.send("DELETE", &path, key, Value::Null).await, 204);
    let key: Headers<'_> = &[("idempotency-key", "4711")];
    let gone = world
        .send("POST", "/applications", key, json!({ "name": "Job" }))
        .await;
    bad(&gone, 410, "gone");
    // Forgotten after a day.
    world
        .server
        .clock
        .advance(Duration::from_secs(24 * 3600 + 1));
    let world = World {
        token: world.server.admin_token(&world.server.admin).await,
        ..world
    };
    let new = world
        .send("POST", "/applications", key, json!({ "name": "Job" }))
        .await;
    assert_ne!(good(&new, 201)["id"], made["id"]);
}

#[actix_web::test]
async fn repeats_of_everything_that_makes_something() {
    let world = World::new().await;
    let (path, _) = world.job("Job").await;
    world.courses().await;
    for (i, (path, body, id)) in [
        (
            "/api-resources".to_owned(),
            json!({ "identifier": "a:b", "name": "x" }),
            "id",
        ),
        ("/roles".to_owned(), json!({ "name": "x" }), "id"),
        (
            "/trusted-issuers".to_owned(),
            body_of("createTrustedIssuer"),
            "id",
        ),
        (
            "/initial-access-tokens".to_owned(),
            body_of("createInitialAccessToken"),
            "id",
        ),
        (
            "/signing-keys".to_owned(),
            json!({ "algorithm": "ES256" }),
            "kid",
        ),
        (
            format!("{path}/authorized-apis"),
            json!({ "api": COURSES }),
            "api",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{i}");
        let headers = [("idempotency-key", key.as_str())];
        let first = good(
            &world.send("POST", &path, &headers, body.clone()).await,
            201,
        );
        let head = world.server.head();
        let again = good(&world.send("POST", &path, &headers, body).await, 201);
        assert_eq!(first[id], again[id], "{path}");
        assert_eq!(world.server.head(), head);
        if id == "kid" {
            let other = world
                .send("POST", &path, &headers, json!({ "algorithm": "EdDSA" }))
                .await;
            bad(&other, 422, "idempotency_key_reused");
        }
    }
}

#[actix_web::test]
async fn reasons_can_be_read_and_belong_to_events() {
    let world = World::new().await;
    let reason: Headers<'_> = &[("writ-reason", "Ticket 4711")];
    let at = world.server.head();
    good(
        &world
            .send("POST", "/roles", reason, json!({ "name": "a" }))
            .await,
        201,
    );
    let plain = good(&world.get(&format!("/events?from={at}")).await, 200);
    assert_eq!(
        plain["items"][0]["event"]["reason"].as_str().unwrap().len(),
        64
    );
    assert!(!plain.to_string().contains("4711"));
    let told = good(
        &world.get(&format!("/events?from={at}&reasons=true")).await,
        200,
    );
    assert_eq!(told["items"][0]["reason"], "Ticket 4711");
    // A change that is refused, or repeated, leaves no text behind.
    let notes = || files(&world.server.data_dir().join("notes"));
    assert_eq!(notes(), 1);
    let refused = world
        .send("POST", "/roles", reason, json!({ "name": "a" }))
        .await;
    bad(&refused, 409, "role_name_taken");
    assert_eq!(notes(), 1);
    let headers = [("writ-reason", "Ticket 4712"), ("idempotency-key", "1")];
    for _ in 0..2 {
        let made = world
            .send("POST", "/roles", &headers, json!({ "name": "b" }))
            .await;
        good(&made, 201);
        assert_eq!(notes(), 2);
    }
}

fn files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[actix_web::test]
async fn removal_names_the_users_or_cascades() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Publishing job").await;
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    let role = json!({ "name": "reader", "scopes": ["courses:read"] });
    let role = text(&good(&world.post("/roles", role).await, 201), "id");
    good(
        &world
            .put(&format!("{path}/roles/{role}"), Value::Null)
            .await,
        200,
    );
    let guard = json!({ "guards": [id] });
    good(&world.patch(COURSES_IN_PATH, guard).await, 200);
    let head = world.server.head();
    let scope = format!("{COURSES_IN_PATH}/scopes/courses:read");
    for (removed, user) in [
        (COURSES_IN_PATH.to_owned(), format!("application/{id}")),
        (scope.clone(), format!("application/{id}")),
        (format!("/roles/{role}"), format!("application/{id}")),
        (path.clone(), "api_resource/api_1".to_owned()),
    ] {
        let problem = bad(&world.delete(&removed).await, 409, "in_use");
        let users = problem["users"].as_array().unwrap();
        assert!(
            users.iter().any(|u| u["entity"] == user.as_str()),
            "{problem}"
        );
        assert!(users.iter().all(|u| u["name"].is_string()));
    }
    assert_eq!(world.server.head(), head);
    good(&world.delete(&format!("{scope}?cascade=true")).await, 204);
    let application = world.get(&path).await.json();
    assert_eq!(application["authorized_apis"][0]["scopes"], json!([]));
    assert_eq!(
        world.get(&format!("/roles/{role}")).await.json()["scopes"],
        json!([])
    );
    for removed in [format!("/roles/{role}"), path, COURSES_IN_PATH.to_owned()] {
        good(&world.delete(&format!("{removed}?cascade=true")).await, 204);
    }
}

#[actix_web::test]
async fn pages_join_to_the_whole_list() {
    let world = World::new().await;
    for i in 0..7 {
        world.job(&format!("Job {i}")).await;
    }
    let whole = good(&world.get("/applications").await, 200);
    let as_of = world.server.head() - 1;
    let (mut joined, mut after) = (Vec::new(), String::new());
    loop {
        assert!(joined.len() <= 8, "the pages have no end");
        let page = format!("/applications?limit=3&as_of={as_of}{after}");
        let page = good(&world.get(&page).await, 200);
        joined.extend(page["items"].as_array().unwrap().clone());
        // What is made meanwhile does not show in a walk through a past state.
        world.job("Meanwhile").await;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(joined, *whole["items"].as_array().unwrap());
    assert_eq!(joined.len(), 8);
    bad(
        &world.get("/applications?after=!").await,
        400,
        "cursor_invalid",
    );
    bad(
        &world.get("/applications?after=YXBpXzE").await,
        400,
        "cursor_invalid",
    );
}

/// Everything that can be read, at one state of the log.
async fn everything(world: &World, as_of: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<String> = [
        "/api-resources",
        "/applications",
        "/roles",
        "/signing-keys",
        "/policies",
        "/policy-bindings",
        "/trusted-issuers",
        "/initial-access-tokens",
    ]
    .map(|list| format!("{list}?limit=200"))
    .into();
    for list in paths.clone() {
        let page = good(&world.get(&format!("{list}&as_of={as_of}")).await, 200);
        let list = list.trim_end_matches("?limit=200").to_owned();
        for item in page["items"].as_array().unwrap() {
            let id = ["id", "kid", "digest"]
                .iter()
                .find_map(|name| item[name].as_str());
            let id = id.unwrap();
            paths.push(format!("{list}/{id}?"));
            if list == "/applications" {
                paths.push(format!("{list}/{id}/secrets?"));
                paths.push(format!("{list}/{id}/authorized-apis?"));
                paths.push(format!("{list}/{id}/authentication?"));
            }
        }
    }
    paths.extend(["/settings?".to_owned(), "/events?limit=200".to_owned()]);
    let mut answers = Vec::new();
    for path in paths {
        let answer = world.get(&format!("{path}&as_of={as_of}")).await;
        good(&answer, 200);
        let headers = ["etag", "writ-position"].map(|name| answer.header(name).to_owned());
        answers.push((format!("{path} {headers:?}"), answer.body));
    }
    answers
}

#[actix_web::test]
async fn a_past_state_answers_the_same_bytes_for_ever() {
    let world = World::new().await;
    world.courses().await;
    let (path, _) = world.job("Job").await;
    good(
        &world.post(&format!("{path}/secrets"), json!({})).await,
        201,
    );
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    good(&world.post("/roles", json!({ "name": "r" })).await, 201);
    let digest = world.upload(honest()).await;
    let target = path.trim_start_matches("/applications/");
    let bind = json!({ "policy": digest, "target": format!("application/{target}") });
    good(&world.post("/policy-bindings", bind).await, 201);
    let as_of = (world.server.head() - 1).to_string();
    let moment = world.server.app.now().to_string();
    let before = everything(&world, &as_of).await;

    world.server.clock.advance(Duration::from_secs(60));
    good(
        &world
            .delete(&format!("{COURSES_IN_PATH}?cascade=true"))
            .await,
        204,
    );
    good(&world.delete(&path).await, 204);
    good(
        &world
            .patch("/settings", json!({ "tokens.lifetime_seconds": 30 }))
            .await,
        200,
    );
    good(
        &world.patch("/roles/role_0", json!({ "name": "s" })).await,
        200,
    );
    assert_eq!(everything(&world, &as_of).await, before);
    assert_eq!(
        everything(&world, &moment).await,
        before,
        "the moment is that position"
    );

    let world = World {
        server: world.server.restart(),
        token: world.token,
    };
    assert_eq!(everything(&world, &as_of).await, before);
    bad(&world.get(&path).await, 404, "application_unknown");
    let then = world.get(&format!("{path}?as_of={as_of}")).await;
    assert_eq!(good(&then, 200)["name"], "Job");
    assert_eq!(then.header("writ-position"), as_of);
    // It was not there yet.
    bad(
        &world.get(&format!("{path}?as_of=3")).await,
        404,
        "application_unknown",
    );
}

#[actix_web::test]
async fn everything_in_the_table_can_be_reached() {
    let world = World::new().await;
    // A stream has no end: `audit.rs` reads from it.
    let ending = |route: &&crate::admin::Route| route.kind != crate::admin::Kind::Stream;
    for route in routes().iter().filter(ending) {
        let path = filled(route.path, "x");
        let body = Some(body_of(route.operation)).filter(|_| route.body.is_some());
        let answer = world
            .send(route.method.as_str(), &path, &[], body.unwrap_or_default())
            .await;
        let code = answer.json()["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let code = code.as_str();
        assert!(
            !matches!(code, "not_found" | "method_not_allowed"),
            "{}",
            route.operation
        );
        assert!(answer.status.as_u16() < 500, "{} {code}", route.operation);
    }
}

#[test]
fn a_preview_names_the_error_that_the_token_endpoint_would() {
    let names = vec!["x".into()];
    for denial in [
        Denial::ApplicationUnusable,
        Denial::ScopeMalformed,
        Denial::ScopesUnauthorized {
            scopes: names.clone(),
        },
        Denial::NothingToGrant,
        Denial::TooManyResources,
        Denial::TooManyScopes { count: 101 },
        Denial::ResourceUnauthorized {
            resource: "x".into(),
        },
        Denial::SeveralResources {
            identifiers: names.clone(),
        },
        Denial::ProfilesDiffer { identifiers: names },
        Denial::ManagementAlone,
        Denial::TooManyPolicies { count: 65 },
    ] {
        let error = IssueError::Denied(denial);
        assert_eq!(OAuthError::from(&error).code, error.code());
    }
}

/// Whatever the path, the query, the headers and the body: an answer, and never our fault.
#[test]
fn whatever_comes_in_is_answered() {
    let runtime = actix_web::rt::System::new();
    let world = runtime.block_on(World::new());
    let part = prop_oneof![
        "[a-z]{1,6}",
        Just("applications".to_owned()),
        Just("api-resources".to_owned()),
        Just("roles".to_owned()),
        Just("role_0".to_owned()),
        Just("api_0".to_owned()),
        Just("secrets".to_owned()),
        Just("events".to_owned()),
        "(%[0-9a-fA-F]{2}){1,4}",
        "[%.~:@!$&'()*+,;=-]{1,4}",
    ];
    let path =
        proptest::collection::vec(part, 0..5).prop_map(|parts| format!("/{}", parts.join("/")));
    let query = "(limit|after|as_of|from|entity|cascade|name|label|=|&|%|[0-9]{1,3}|%ff|\\+){0,8}";
    let method = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("PATCH"),
        Just("PUT"),
        Just("DELETE")
    ];
    let header = prop_oneof![
        Just("if-match"),
        Just("idempotency-key"),
        Just("writ-min-position"),
        Just("content-type"),
        Just("traceparent"),
    ];
    let strategy = (method, path, query, header, "[ -~]{0,12}", "[\\PC]{0,20}");
    // A server that does not answer must fail this soon, and not at every step of shrinking.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        max_shrink_iters: 200,
        max_shrink_time: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let checked = runner.run(&strategy, |(method, path, query, header, value, body)| {
        let uri = format!("/api/v1{path}?{query}");
        prop_assume!(uri.parse::<actix_web::http::Uri>().is_ok());
        let request = TestRequest::with_uri(&uri)
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .insert_header(("authorization", format!("Bearer {}", world.token)))
            .insert_header((header, value))
            .set_payload(body);
        let answer = runtime.block_on(async {
            let limit = Duration::from_secs(30);
            tokio::time::timeout(limit, world.server.send(request)).await
        });
        let answer = answer.map_err(|_| TestCaseError::fail(format!("no answer to {uri}")))?;
        let status = answer.status.as_u16();
        let behind = answer.json()["code"] == "behind";
        prop_assert!(status < 500 || behind, "{method} {uri}: {status}");
        if status >= 400 && method != "HEAD" {
            prop_assert!(
                answer.json()["code"].is_string(),
                "{method} {uri}: {status}"
            );
        }
        Ok(())
    });
    checked.unwrap();
}
