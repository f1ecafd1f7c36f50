//! How applications authenticate, whom they trust, and what bounds what they get.

use super::{COURSES, COURSES_IN_PATH, Headers, World, bad, good, text};
use crate::jose::ForeignAlgorithm;
use crate::jose::mint::MintKey;
use serde_json::{Value, json};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn usual() -> Value {
    json!({ "methods": ["client_secret_basic", "client_secret_post"], "profile": "none" })
}

/// A public key as it is registered.
fn key(algorithm: ForeignAlgorithm, kid: &str) -> Value {
    let mut jwk = MintKey::named(algorithm, kid).jwk();
    jwk.as_object_mut().unwrap().remove("use");
    jwk
}

impl World {
    /// A trusted issuer whose keys are discovered; its id.
    async fn issuer(&self) -> String {
        let body = json!({ "issuer": ISSUER, "name": "GitHub", "keys": { "discovery": true } });
        text(&good(&self.post("/trusted-issuers", body).await, 201), "id")
    }
}

#[actix_web::test]
async fn an_application_authenticates_as_is_said() {
    let world = World::new().await;
    let issuer = world.issuer().await;
    let (path, _) = world.job("Job").await;
    let at = format!("{path}/authentication");
    let shown = world.get(&at).await;
    assert_eq!(good(&shown, 200), usual());
    assert_eq!(
        shown.header("etag"),
        world.get(&path).await.header("etag"),
        "it is a part of the application"
    );

    let (mut key, digest) = (key(ForeignAlgorithm::ES256, "2026"), "a".repeat(64));
    key["x5t#S256"] = json!("A".repeat(43));
    let whole = json!({
        "methods": ["workload_identity", "private_key_jwt", "self_signed_tls_client_auth",
                    "tls_client_auth", "private_key_jwt"],
        "jwks": { "keys": [key] },
        "certificate_subject": { "uri": "spiffe://example.org/job" },
        "certificates": [digest],
        "trust": [{
            "name": "main branch", "issuer": ISSUER, "audience": "https://writ.example",
            "subject": "repo:acme/app:ref:refs/heads/*",
            "claims": { "repository_owner": "acme", "run_attempt": 1, "verified": true },
        }],
        "profile": "fapi2",
    });
    let mut expected = whole.clone();
    expected["methods"] = json!([
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "workload_identity"
    ]);
    expected["trust"][0]["issuer"] = json!(issuer);
    expected["trust"][0]["lifetime_seconds"] = json!(3_600);
    let put = world.put(&at, whole).await;
    assert_eq!(good(&put, 200), expected);
    assert_eq!(good(&world.get(&at).await, 200), expected);
    let application = world.get(&path).await;
    assert_eq!(good(&application, 200)["authentication"], expected);
    assert_eq!(put.header("etag"), application.header("etag"));

    // What is shown can be given back, and changes nothing.
    let head = world.server.head();
    assert_eq!(good(&world.put(&at, expected.clone()).await, 200), expected);
    assert_eq!(world.server.head(), head);
    let about = format!("/events?entity=trusted_issuer/{issuer}");
    let events = good(&world.get(&about).await, 200);
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["event"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "trusted_issuer.created",
            "application.authentication_changed"
        ]
    );

    let stale: Headers<'_> = &[("if-match", "\"1-1\"")];
    let answer = world.send("DELETE", &at, stale, Value::Null).await;
    assert!(answer.status.is_client_error());
    good(&world.delete(&at).await, 204);
    assert_eq!(good(&world.get(&at).await, 200), usual());
}

#[actix_web::test]
async fn what_a_method_needs_is_asked_for_now() {
    let world = World::new().await;
    let (path, _) = world.job("Job").await;
    let at = format!("{path}/authentication");
    let head = world.server.head();
    let key = || key(ForeignAlgorithm::EdDSA, "k");
    let with = |member: &str, value: Value| {
        let mut body = json!({ "methods": ["client_secret_basic"] });
        body[member] = value;
        body
    };
    let mut private = key();
    private["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I");
    let rule = |member: &str, value: Value| {
        let mut rule =
            json!({ "name": "r", "issuer": "issuer_0", "audience": "a", "subject": "s" });
        rule[member] = value;
        with("trust", json!([rule]))
    };
    let many: Vec<Value> = (0..17).map(|_| key()).collect();
    for (body, code, said) in [
        (with("methods", json!([])), "value_invalid", "at least one"),
        (
            with("methods", json!(["secret"])),
            "value_invalid",
            "methods[0]",
        ),
        (
            with("methods", json!(["private_key_jwt"])),
            "authentication_incomplete",
            "jwks_uri",
        ),
        (
            with("methods", json!(["tls_client_auth"])),
            "authentication_incomplete",
            "subject",
        ),
        (
            with("methods", json!(["workload_identity"])),
            "authentication_incomplete",
            "trust",
        ),
        (
            with("profile", json!("fapi2")),
            "profile_forbids",
            "client_secret_basic",
        ),
        (with("profile", json!("fapi1")), "value_invalid", "profile"),
        (
            with("jwks", json!({ "keys": [private] })),
            "value_invalid",
            "jwks.keys[0]",
        ),
        (
            with("jwks", json!({ "keys": [key(), key()] })),
            "value_invalid",
            "once",
        ),
        (
            with("jwks", json!({ "keys": many })),
            "value_invalid",
            "at most 16",
        ),
        (
            with("jwks_uri", json!("http://a.example/jwks")),
            "value_invalid",
            "jwks_uri",
        ),
        (
            with("jwks_uri", json!("https://u@a.example/jwks")),
            "value_invalid",
            "jwks_uri",
        ),
        (
            with("certificate_subject", json!({ "ip": "a" })),
            "value_invalid",
            "subject.ip",
        ),
        (
            with("certificate_subject", json!({ "dn": " " })),
            "value_invalid",
            "subject.dn",
        ),
        (
            with("certificate_subject", json!({ "dn": "job of Acme" })),
            "value_invalid",
            "subject.dn",
        ),
        (
            with("certificates", json!(["AB"])),
            "value_invalid",
            "certificates[0]",
        ),
        (
            rule("issuer", json!("https://nobody.example")),
            "trusted_issuer_unknown",
            "nobody",
        ),
        (
            rule("issuer", json!("issuer_9")),
            "trusted_issuer_unknown",
            "issuer_9",
        ),
        (
            rule("subject", json!("repo:*:x")),
            "value_invalid",
            "trust[0].subject",
        ),
        (
            rule("claims", json!({ "a": [1] })),
            "value_invalid",
            "trust[0].claims.a",
        ),
        (
            rule("claims", json!({ "a": 1.5 })),
            "value_invalid",
            "trust[0].claims.a",
        ),
    ] {
        let problem = bad(&world.put(&at, body).await, 422, code);
        let detail = text(&problem, "detail");
        assert!(detail.contains(said), "{detail} should say {said}");
        assert!(!detail.contains("c2VjcmV0"), "{detail}");
    }
    let two = json!({ "dn": "CN=a", "dns": "a.example" });
    bad(
        &world.put(&at, with("certificate_subject", two)).await,
        400,
        "body_malformed",
    );
    let unknown = "/applications/0000000000000000000000000r/authentication";
    bad(&world.get(unknown).await, 404, "application_unknown");
    bad(
        &world.put(unknown, usual()).await,
        404,
        "application_unknown",
    );
    bad(&world.delete(unknown).await, 404, "application_unknown");
    assert_eq!(world.server.head(), head);
}

#[actix_web::test]
async fn quotas_and_exchanges_come_and_go() {
    let world = World::new().await;
    let (path, id) = world.job("Gateway").await;
    let (_, other) = world.job("Frontend").await;
    let quota = json!({ "per_minute": 60, "per_day": 1_000, "mode": "monitor" });
    let exchange = json!({ "subjects": [other], "mode": "impersonation" });
    for (member, name, value, wrong) in [
        ("quota", "quota", quota, json!({ "per_hour": 0 })),
        (
            "token_exchange",
            "token-exchange",
            exchange,
            json!({ "subjects": [] }),
        ),
    ] {
        let at = format!("{path}/{name}");
        let code = format!("{member}_unknown");
        bad(&world.get(&at).await, 404, &code);
        let any: Headers<'_> = &[("if-match", "*")];
        let answer = world.send("PUT", &at, any, value.clone()).await;
        bad(&answer, 412, "version_stale");
        let put = world.put(&at, value.clone()).await;
        assert_eq!(good(&put, 200), value);
        assert_eq!(good(&world.get(&at).await, 200), value);
        let application = world.get(&path).await;
        assert_eq!(good(&application, 200)[member], value);
        assert_eq!(put.header("etag"), application.header("etag"));
        bad(&world.put(&at, wrong).await, 422, "value_invalid");
        let etag = put.header("etag").to_owned();
        let matching = [("if-match", etag.as_str())];
        good(
            &world.send("DELETE", &at, &matching, Value::Null).await,
            204,
        );
        let stale = world.send("PUT", &at, &matching, value).await;
        bad(&stale, 412, "version_stale");
        bad(&world.get(&at).await, 404, &code);
        assert_eq!(good(&world.get(&path).await, 200).get(member), None);
        // It is gone already.
        good(&world.delete(&at).await, 204);
    }
    let usual = good(
        &world
            .put(&format!("{path}/quota"), json!({ "per_hour": 5 }))
            .await,
        200,
    );
    assert_eq!(usual, json!({ "per_hour": 5, "mode": "enforce" }));
    let at = format!("{path}/token-exchange");
    let itself = json!({ "subjects": [id, other, other] });
    let usual = good(&world.put(&at, itself).await, 200);
    assert_eq!(usual["mode"], "delegation");
    assert_eq!(usual["subjects"].as_array().unwrap().len(), 2);
    let mode = json!({ "subjects": [other], "mode": "x" });
    bad(&world.put(&at, mode).await, 422, "value_invalid");
    let nobody = json!({ "subjects": ["0000000000000000000000000r"] });
    bad(&world.put(&at, nobody).await, 422, "application_unknown");
}

#[actix_web::test]
async fn types_of_authorization_details() {
    let world = World::new().await;
    world.courses().await;
    let at = format!("{COURSES_IN_PATH}/authorization-details-types/https%3A%2F%2Fa.example%2Fpay");
    bad(&world.get(&at).await, 404, "details_type_unknown");
    bad(&world.delete(&at).await, 404, "details_type_unknown");
    let any: Headers<'_> = &[("if-match", "*")];
    let answer = world.send("PUT", &at, any, json!({})).await;
    bad(&answer, 412, "version_stale");
    let schema = json!({ "type": "object", "required": ["amount"], "default": null });
    let body = json!({ "description": "Pay", "schema": schema });
    let mut shown = body.clone();
    shown["name"] = json!("https://a.example/pay");
    let put = world.put(&at, body.clone()).await;
    assert_eq!(good(&put, 200), shown);
    assert_eq!(good(&world.get(&at).await, 200), shown);
    let api = world.get(COURSES_IN_PATH).await;
    assert_eq!(
        good(&api, 200)["authorization_details_types"],
        json!([shown])
    );
    assert_eq!(put.header("etag"), api.header("etag"));
    for wrong in [
        json!(1),
        json!("{}"),
        json!([]),
        json!({ "x": "y".repeat(32 * 1024) }),
        json!({ "type": "nothing" }),
        json!({ "$ref": "https://elsewhere.example/schema" }),
    ] {
        let answer = world.put(&at, json!({ "schema": wrong })).await;
        let problem = bad(&answer, 422, "value_invalid");
        assert!(text(&problem, "detail").starts_with("schema"), "{problem}");
    }
    let space = format!("{COURSES_IN_PATH}/authorization-details-types/a%20b");
    bad(&world.put(&space, json!({})).await, 422, "value_invalid");
    let elsewhere = "/api-resources/api_0/authorization-details-types/x";
    bad(
        &world.put(elsewhere, json!({})).await,
        403,
        "management_api_fixed",
    );

    let (path, id) = world.job("Job").await;
    let grants = format!("{path}/authorized-apis");
    let grant = format!("{grants}/https%3A%2F%2Fcourses.example%2Fapi");
    let types = format!("{grant}/authorization-details-types");
    let one = json!({ "authorization_details_types": ["https://a.example/pay"] });
    bad(&world.put(&types, one.clone()).await, 404, "grant_unknown");
    good(&world.post(&grants, json!({ "api": COURSES })).await, 201);
    let granted = good(&world.put(&types, one.clone()).await, 200);
    assert_eq!(
        granted["authorization_details_types"],
        one["authorization_details_types"]
    );
    assert_eq!(good(&world.get(&grant).await, 200), granted);
    let application = good(&world.get(&path).await, 200);
    assert_eq!(application["authorized_apis"], json!([granted]));
    let other = json!({ "authorization_details_types": ["other"] });
    bad(&world.put(&types, other).await, 422, "details_type_unknown");

    let preview = format!("{path}/token-preview");
    let pay = json!([{ "type": "https://a.example/pay", "amount": 1 }]);
    let asked = json!({ "authorization_details": pay });
    let shown = good(&world.post(&preview, asked).await, 200);
    assert_eq!(shown["claims"]["authorization_details"], pay);
    for wrong in [json!({ "type": "https://a.example/pay" }), json!(1)] {
        let asked = json!({ "authorization_details": [wrong] });
        let shown = good(&world.post(&preview, asked).await, 200);
        assert_eq!(shown["error"], "invalid_authorization_details");
    }

    let problem = bad(&world.delete(&at).await, 409, "in_use");
    assert_eq!(problem["users"][0]["entity"], format!("application/{id}"));
    good(&world.delete(&format!("{at}?cascade=true")).await, 204);
    bad(&world.get(&at).await, 404, "details_type_unknown");
    let left = good(&world.get(&grant).await, 200);
    assert_eq!(left.get("authorization_details_types"), None);
}

#[actix_web::test]
async fn issuers_are_trusted_changed_and_removed() {
    let world = World::new().await;
    let key = key(ForeignAlgorithm::ES384, "k");
    let head = world.server.head();
    let answer = world
        .post(
            "/trusted-issuers",
            json!({ "issuer": "spiffe://example.org", "name": "SPIRE", "omits_issuer": true,
                    "keys": { "jwks": { "keys": [key] } } }),
        )
        .await;
    let made = good(&answer, 201);
    let id = text(&made, "id");
    let path = format!("/trusted-issuers/{id}");
    assert_eq!(answer.header("location"), format!("/api/v1{path}"));
    assert_eq!(answer.header("etag"), format!("\"{head}\""));
    assert_eq!(made["keys"], json!({ "jwks": { "keys": [key] } }));
    assert_eq!(made["omits_issuer"], true);
    assert_eq!(good(&world.get(&path).await, 200), made);

    let uri = json!({ "keys": { "jwks_uri": "https://spire.example:8443/keys" } });
    let changed = good(&world.patch(&path, uri.clone()).await, 200);
    assert_eq!(
        (&changed["keys"], &changed["name"]),
        (&uri["keys"], &json!("SPIRE"))
    );
    let renamed = json!({ "name": "Prod", "omits_issuer": false });
    let changed = good(&world.patch(&path, renamed).await, 200);
    assert_eq!(changed["omits_issuer"], false);
    let etag = [("if-match", answer.header("etag"))];
    let stale = world.send("PATCH", &path, &etag, json!({}));
    bad(&stale.await, 412, "version_stale");

    let other = world.issuer().await;
    let found = good(&world.get("/trusted-issuers").await, 200);
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    let query = "/trusted-issuers?issuer=spiffe%3A%2F%2Fexample.org";
    assert_eq!(
        good(&world.get(query).await, 200)["items"],
        json!([changed])
    );
    let paged = good(&world.get("/trusted-issuers?limit=1").await, 200);
    let next = format!("/trusted-issuers?after={}", text(&paged, "next"));
    assert_eq!(good(&world.get(&next).await, 200)["items"][0]["id"], other);

    let head = world.server.head();
    let create = |issuer: &str, keys: Value| json!({ "issuer": issuer, "name": "x", "keys": keys });
    for (body, status, code) in [
        (
            create(ISSUER, json!({ "discovery": true })),
            409,
            "trusted_issuer_taken",
        ),
        (
            create("https://b.example", json!({ "discovery": false })),
            422,
            "value_invalid",
        ),
        (
            create("https://b.example?x", json!({ "discovery": true })),
            422,
            "value_invalid",
        ),
        (
            create("spiffe://b.example", json!({ "discovery": true })),
            422,
            "value_invalid",
        ),
        (
            create("https://b.example", json!({ "jwks_uri": "ftp://x" })),
            422,
            "value_invalid",
        ),
        (
            create("https://b.example", json!({ "jwks": { "keys": [] } })),
            422,
            "value_invalid",
        ),
        (
            create("https://b.example", json!({})),
            400,
            "body_malformed",
        ),
        (
            create("no uri", json!({ "discovery": true })),
            422,
            "value_invalid",
        ),
    ] {
        bad(&world.post("/trusted-issuers", body).await, status, code);
    }
    let discovery = json!({ "keys": { "discovery": true } });
    bad(&world.patch(&path, discovery).await, 422, "value_invalid");
    for unknown in ["/trusted-issuers/issuer_9", "/trusted-issuers/x"] {
        bad(&world.get(unknown).await, 404, "trusted_issuer_unknown");
        bad(
            &world.patch(unknown, json!({})).await,
            404,
            "trusted_issuer_unknown",
        );
        bad(&world.delete(unknown).await, 404, "trusted_issuer_unknown");
    }
    assert_eq!(world.server.head(), head);

    // One that a trust rule names stays.
    let (job, job_id) = world.job("Job").await;
    let rule = json!({ "name": "r", "issuer": other, "audience": "a", "subject": "s" });
    let body = json!({ "methods": ["workload_identity"], "trust": [rule] });
    good(
        &world.put(&format!("{job}/authentication"), body).await,
        200,
    );
    let taken = format!("/trusted-issuers/{other}");
    let problem = bad(&world.delete(&taken).await, 409, "in_use");
    assert_eq!(
        problem["users"][0]["entity"],
        format!("application/{job_id}")
    );
    good(&world.delete(&format!("{job}/authentication")).await, 204);
    good(&world.delete(&taken).await, 204);
    bad(&world.get(&taken).await, 404, "trusted_issuer_unknown");
}
