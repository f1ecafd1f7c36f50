//! After a stop or a kill, a restart is replay: every entity and every list at one `as_of` answers
//! the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use writ_tests::{Admin, Application, Writ, poll};

/// GETs of the admin API that are not about entities at a position.
const NOT_ENTITIES: [&str; 13] = [
    "/access/unused",
    "/applications/{id}/credentials",
    "/authentication-failures",
    "/events",
    "/events/changes",
    "/events/stream",
    "/issuances",
    "/issuances/{jti}",
    "/issuances/{jti}/explanation",
    "/log/checkpoint",
    "/log/consistency",
    "/log/proof",
    "/openapi.json",
];

#[test]
fn a_restart_or_a_kill_changes_no_byte_of_the_past() {
    let mut writ = Writ::start();
    build_up(&writ);
    let head = writ.admin().head() - 1;
    let before = every_entity(&writ.admin(), head);
    // What is only there where somebody has it.
    for kind in [
        "/authentication",
        "/quota",
        "/token-exchange",
        "/authorization-details-types/",
    ] {
        assert!(before.keys().any(|path| path.contains(kind)), "{kind}");
    }
    assert!(before.len() > 15, "{:?}", before.keys());

    writ.stop();
    let writ = writ.restart();
    assert_same(&before, &every_entity(&writ.admin(), head));

    // One more change, killed as soon as it is acknowledged: it is there, and the past is as it
    // was.
    let last = writ.admin().register_application("Acknowledged and killed");
    let writ = writ.kill_and_restart();
    let admin = writ.admin();
    assert_same(&before, &every_entity(&admin, head));
    let found = admin.get(&format!("/applications/{}", last.id)).expect(200);
    assert_eq!(found.text("name"), "Acknowledged and killed");
    let token = Application::new(writ.http(), &last.id, &last.secret).token(&[("scope", "a:read")]);
    assert_eq!(
        token.text("error"),
        "invalid_scope",
        "its secret still works: {token}"
    );
}

/// Kinds of events that the server causes by itself, when files and keys are old, or an operator after a
/// restore.
const NOT_OURS_TO_CAUSE: [&str; 3] = [
    "issuances.sealed",
    "log.restore_accepted",
    "signing_key.removed",
];

/// Uses every command at least once, so that every kind of event is replayed; what is missing here
/// is named.
fn build_up(writ: &Writ) {
    let admin = writ.admin();
    change_everything(writ, &admin);
    let events = admin.events();
    let seen: BTreeSet<&str> = events
        .iter()
        .map(|event| event["event"]["kind"].as_str().unwrap())
        .collect();
    let kinds = writ_core::Event::KINDS.iter().map(|(kind, _)| *kind);
    let missing: Vec<&str> = kinds
        .filter(|kind| !seen.contains(kind) && !NOT_OURS_TO_CAUSE.contains(kind))
        .collect();
    assert!(missing.is_empty(), "nothing here causes {missing:?}");
}

fn change_everything(writ: &Writ, admin: &Admin) {
    let profile = json!({ "algorithm": "EdDSA", "typ": "JWT", "lifetime_seconds": 300 });
    let one = admin.register_api(
        "https://one.example",
        &profile,
        &["a:read", "a:write", "a:gone"],
    );
    let two = admin.register_api("https://two.example", &json!({}), &["b:use"]);
    let gone = admin.register_api("https://gone.example", &json!({}), &["c:use"]);
    let job = admin.register_application("Job");
    let guard = admin.register_application("Guard");
    let leaver = admin.register_application("Leaver");

    let open = json!({
        "name": "Two",
        "requires_authorization": false,
        "guards": [guard.id],
        "profile": { "lifetime_seconds": 120 },
    });
    admin
        .patch(&format!("/api-resources/{two}"), &open)
        .expect(200);
    let scope = format!("/api-resources/{one}/scopes/a:new");
    assert!(admin.put(&scope, &json!({ "description": "new" })).status < 300);
    let changed = admin.put(&scope, &json!({ "description": "changed" }));
    assert!(changed.status < 300, "{changed}");
    deleted(admin, &format!("/api-resources/{one}/scopes/a:gone"));

    admin.grant(&job, &one, &["a:read"]);
    admin.grant(&job, &two, &["b:use"]);
    admin.grant(&leaver, &gone, &["c:use"]);
    let grant = format!("/applications/{}/authorized-apis/{one}", job.id);
    let rbac = json!({ "scopes": ["a:read", "a:write"], "mode": "rbac" });
    admin.patch(&grant, &rbac).expect(200);
    deleted(
        admin,
        &format!("/applications/{}/authorized-apis/{two}", job.id),
    );

    let role = admin
        .post(
            "/roles",
            &json!({ "name": "Writers", "scopes": ["a:write"] }),
        )
        .expect(201)
        .text("id");
    let more = json!({ "name": "Authors", "scopes": ["a:write", "a:read"] });
    admin.patch(&format!("/roles/{role}"), &more).expect(200);
    let passing = admin
        .post("/roles", &json!({ "name": "Passing" }))
        .expect(201)
        .text("id");
    for role in [&role, &passing] {
        let assigned = admin.put(
            &format!("/applications/{}/roles/{role}", job.id),
            &json!({}),
        );
        assert!(assigned.status < 300, "{assigned}");
    }
    deleted(admin, &format!("/applications/{}/roles/{passing}", job.id));
    deleted(admin, &format!("/roles/{passing}"));

    let settings = json!({
        "name": "Nightly job",
        "labels": { "team": "billing" },
        "token_settings": { "audience": "client_id", "extra_audiences": ["https://extra.example"] },
    });
    admin
        .patch(&format!("/applications/{}", job.id), &settings)
        .expect(200);
    // What changes nothing is an event when it can be asked to be repeated.
    let same = admin.call("PATCH", &format!("/applications/{}", job.id));
    same.header("idempotency-key", "once")
        .json(&settings)
        .send()
        .expect(200);
    admin
        .patch(
            &format!("/applications/{}", guard.id),
            &json!({ "enabled": false }),
        )
        .expect(200);
    admin
        .patch(
            &format!("/applications/{}", guard.id),
            &json!({ "enabled": true }),
        )
        .expect(200);
    let expiring = json!({ "expires_at": "2100-01-01T00:00:00Z" });
    let secrets = format!("/applications/{}/secrets", job.id);
    admin.post(&secrets, &expiring).expect(201);
    let revoked = admin.post(&secrets, &json!({})).expect(201).text("id");
    deleted(admin, &format!("{secrets}/{revoked}"));
    let rotate = format!("/applications/{}/rotate-secret", leaver.id);
    admin.post(&rotate, &json!({})).expect(201);

    protection_changes(admin, &job, &leaver, &one);
    registrations(writ, admin, &one);
    policies_are_bound(admin, &job);
    tokens_are_revoked(writ, admin, &job);

    deleted(admin, &format!("/applications/{}?cascade=true", leaver.id));
    deleted(admin, &format!("/api-resources/{gone}?cascade=true"));
    let settings = json!({
        "scopes.unauthorized": "drop",
        "tokens.lifetime_seconds": 600,
        "jwks.max_age_seconds": 1,
        "keys.publish_ahead_seconds": 1,
    });
    admin.patch("/settings", &settings).expect(200);
    let key = |algorithm: &str| {
        let body = json!({ "algorithm": algorithm });
        admin.post("/signing-keys", &body).expect(201).text("kid")
    };
    let act = |kid: &str, verb: &str| {
        let answer = admin.post(&format!("/signing-keys/{kid}/{verb}"), &json!({}));
        assert!(answer.status < 300, "{verb}: {answer}");
    };
    // Validators must have had the time to hear of a key before it signs.
    let activate = |kid: &str| {
        let path = format!("/signing-keys/{kid}/activate");
        poll("the key can be activated", || {
            let answer = admin.post(&path, &json!({}));
            let too_new = answer.status == 409 && answer.text("code") == "signing_key_too_new";
            assert!(too_new || answer.status < 300, "{answer}");
            (!too_new).then_some(())
        });
    };
    let first = key("ES256");
    activate(&first);
    let second = key("ES256");
    activate(&second);
    act(&first, "retire");
    let compromised = key("EdDSA");
    act(&compromised, "revoke");
}

/// How an application authenticates, whom it trusts, and what bounds its tokens.
fn protection_changes(admin: &Admin, job: &Application, leaver: &Application, api: &str) {
    let path = |below: &str| format!("/applications/{}{below}", job.id);
    let put = |path: &str, body: Value| {
        admin.put(path, &body).expect(200);
    };
    let issuer = json!({
        "issuer": "https://tokens.example", "name": "Builds", "keys": { "discovery": true },
    });
    let issuer = admin.post("/trusted-issuers", &issuer);
    let issuer = format!("/trusted-issuers/{}", issuer.expect(201).text("id"));
    let spire = json!({
        "issuer": "spiffe://example.org", "name": "SPIRE", "omits_issuer": true,
        "keys": { "jwks_uri": "https://spire.example/keys" },
    });
    admin.post("/trusted-issuers", &spire).expect(201);
    let renamed = json!({ "name": "Build jobs" });
    admin.patch(&issuer, &renamed).expect(200);
    let rule = json!({
        "name": "spire", "issuer": "spiffe://example.org", "audience": "writ",
        "subject": "spiffe://example.org/jobs/*", "claims": { "team": "billing" },
    });
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "workload_identity"
    ]);
    put(
        &path("/authentication"),
        json!({ "methods": methods, "trust": [rule] }),
    );
    deleted(admin, &issuer);
    put(&path("/quota"), json!({ "per_day": 100_000 }));
    put(&path("/token-exchange"), json!({ "subjects": [leaver.id] }));

    let types = format!("/api-resources/{api}/authorization-details-types");
    put(
        &format!("{types}/payment"),
        json!({ "schema": { "type": "object" } }),
    );
    put(&format!("{types}/passing"), json!({}));
    put(
        &path(&format!(
            "/authorized-apis/{api}/authorization-details-types"
        )),
        json!({ "authorization_details_types": ["payment", "passing"] }),
    );
    deleted(admin, &format!("{types}/passing?cascade=true"));
}

/// Applications that register themselves (RFC 7591), and change that (RFC 7592).
fn registrations(writ: &Writ, admin: &Admin, api: &str) {
    let asked = json!({
        "name": "Builds", "registrations": 3, "methods": ["client_secret_basic"],
        "labels": { "team": "builds" }, "grants": [{ "api": api, "scopes": ["a:read"] }],
    });
    let token = |asked: &Value| admin.post("/initial-access-tokens", asked).expect(201);
    let (kept, passing) = (token(&asked), token(&json!({ "name": "Passing" })));
    let passing = format!("/initial-access-tokens/{}", passing.text("id"));
    deleted(admin, &passing);
    let http = writ.http();
    let register = |name: &str| {
        let call = http.call("POST", "/oauth2/register");
        let call = call.bearer(&kept.text("token"));
        call.json(&json!({ "client_name": name }))
            .send()
            .expect(201)
    };
    let (one, other) = (register("build-one"), register("build-other"));
    let id = one.text("client_id");
    let call = http.call("PUT", &format!("/oauth2/register/{id}"));
    let call = call.bearer(&one.text("registration_access_token"));
    let changed = json!({ "client_id": id, "client_name": "build-first" });
    call.json(&changed).send().expect(200);
    let other = other.text("client_id");
    deleted(admin, &format!("/applications/{other}/registration"));
}

fn tokens_are_revoked(writ: &Writ, admin: &Admin, job: &Application) {
    let token = job.access_token(&[("scope", "b:use")]);
    let call = writ
        .http()
        .call("POST", "/oauth2/revoke")
        .basic(&job.id, &job.secret);
    call.form(&[("token", &token)]).send().expect(200);
    let body = json!({
        "jti": "0190163d-8694-739b-aea5-966c26f8ad91",
        "application": job.id,
    });
    let revoked = admin.post("/tokens/revoke", &body);
    assert!(revoked.status < 300, "{revoked}");
    let cut = admin.post(
        &format!("/applications/{}/revoke-tokens", job.id),
        &json!({}),
    );
    assert!(cut.status < 300, "{cut}");
}

#[track_caller]
fn deleted(admin: &Admin, path: &str) {
    let answer = admin.delete(path);
    assert!(answer.status < 300, "{path}: {answer}");
}

/// Every GET that the OpenAPI document lists, with every id that the lists name, as it was at
/// `position`. A path that this function cannot visit fails the test: what is added to the API is
/// added here.
pub(crate) fn every_entity(admin: &Admin, position: usize) -> BTreeMap<String, Vec<u8>> {
    let at = |path: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = admin.get(&format!("{path}{separator}as_of={position}"));
        (path.to_owned(), answer.expect(200).body)
    };
    let ids = |list: &str, member: &str| {
        let (_, body) = at(list);
        let list: Value = serde_json::from_slice(&body).unwrap();
        let items = list["items"].as_array().unwrap().clone();
        let ids = items
            .iter()
            .map(|item| item[member].as_str().unwrap().to_owned());
        ids.collect::<Vec<String>>()
    };
    let applications = ids("/applications", "id");
    let of_applications = |what: &str| {
        let paths = applications
            .iter()
            .map(|id| format!("/applications/{id}{what}"));
        paths.collect::<Vec<String>>()
    };
    let members_of_applications = |what: &str, member: &str| {
        let lists = of_applications(what).into_iter();
        lists
            .flat_map(|list| {
                let found = ids(&list, member).into_iter();
                found
                    .map(|id| format!("{list}/{id}"))
                    .collect::<Vec<String>>()
            })
            .collect::<Vec<String>>()
    };
    let under = |collection: &str, ids: Vec<String>| {
        let paths = ids.into_iter().map(|id| format!("{collection}/{id}"));
        paths.collect::<Vec<String>>()
    };
    // What is in the items of a list.
    let items = |list: &str| {
        let (_, body) = at(list);
        let list: Value = serde_json::from_slice(&body).unwrap();
        list["items"].as_array().unwrap().clone()
    };
    let of_apis = |member: &str, collection: &str| {
        let mut paths = Vec::new();
        for api in items("/api-resources") {
            for one in api[member].as_array().into_iter().flatten() {
                let (id, name) = (api["id"].as_str().unwrap(), one["name"].as_str().unwrap());
                paths.push(format!("/api-resources/{id}/{collection}/{name}"));
            }
        }
        paths
    };
    // Those that have something of the sort.
    let if_there = |member: &str, name: &str| {
        let all = items("/applications").into_iter();
        let has = all.filter(|it| it.get(member).is_some());
        let paths = has.map(|it| format!("/applications/{}/{name}", it["id"].as_str().unwrap()));
        let paths: Vec<String> = paths.collect();
        paths
    };
    let document = admin.get("/openapi.json").expect(200).json();
    let gets = document["paths"].as_object().unwrap().iter();
    let gets = gets
        .filter(|(path, item)| item.get("get").is_some() && !NOT_ENTITIES.contains(&path.as_str()));
    let paths = gets.flat_map(|(path, _)| match path.replace("api_id", "id").as_str() {
        list @ ("/api-resources"
        | "/applications"
        | "/roles"
        | "/signing-keys"
        | "/settings"
        | "/policies"
        | "/policy-bindings"
        | "/trusted-issuers"
        | "/initial-access-tokens"
        | "/log/index"
        | "/access") => vec![list.to_owned()],
        "/policies/{digest}" => under("/policies", ids("/policies", "digest")),
        "/policies/{digest}/module" => under("/policies", ids("/policies", "digest"))
            .into_iter()
            .map(|path| format!("{path}/module"))
            .collect(),
        "/policy-bindings/{id}" => under("/policy-bindings", ids("/policy-bindings", "id")),
        "/api-resources/{id}" => under("/api-resources", ids("/api-resources", "id")),
        "/api-resources/{id}/scopes" => under("/api-resources", ids("/api-resources", "id"))
            .into_iter()
            .map(|path| format!("{path}/scopes"))
            .collect(),
        "/api-resources/{id}/scopes/{name}" => of_apis("scopes", "scopes"),
        "/api-resources/{id}/authorization-details-types/{name}" => {
            let types = "authorization_details_types";
            of_apis(types, "authorization-details-types")
        }
        "/applications/{id}" => of_applications(""),
        "/applications/{id}/authentication" => of_applications("/authentication"),
        "/applications/{id}/quota" => if_there("quota", "quota"),
        "/applications/{id}/token-exchange" => if_there("token_exchange", "token-exchange"),
        "/initial-access-tokens/{id}" => under(
            "/initial-access-tokens",
            ids("/initial-access-tokens", "id"),
        ),
        "/trusted-issuers/{id}" => under("/trusted-issuers", ids("/trusted-issuers", "id")),
        "/applications/{id}/secrets" => of_applications("/secrets"),
        "/applications/{id}/secrets/{secret_id}" => members_of_applications("/secrets", "id"),
        "/applications/{id}/authorized-apis" => of_applications("/authorized-apis"),
        "/applications/{id}/authorized-apis/{id}" => {
            members_of_applications("/authorized-apis", "api")
        }
        "/applications/{id}/roles" => of_applications("/roles"),
        "/roles/{id}" => under("/roles", ids("/roles", "id")),
        "/signing-keys/{kid}" => under("/signing-keys", ids("/signing-keys", "kid")),
        unknown => panic!("this test does not know how to visit {unknown}"),
    });
    paths.map(|path| at(&path)).collect()
}

/// Two policies, of which one is bound twice: changed, rolled back, taken away.
fn policies_are_bound(admin: &Admin, job: &Application) {
    let upload = |module: Vec<u8>| {
        let call = admin
            .call("POST", "/policies")
            .body("application/wasm", module);
        call.send().expect(201).text("digest")
    };
    let honest = upload(writ_sandbox::testkit::honest());
    let unused = upload(writ_sandbox::testkit::hostile("unreachable"));
    deleted(admin, &format!("/policies/{unused}"));
    let target = format!("application/{}", job.id);
    let bind = |mode: &str| {
        let body = json!({ "policy": honest, "target": target, "mode": mode });
        admin.post("/policy-bindings", &body).expect(201).text("id")
    };
    let (kept, passing) = (bind("shadow"), bind("enforce"));
    let kept = format!("/policy-bindings/{kept}");
    admin
        .patch(&kept, &json!({ "claims": ["tier"], "order": 7 }))
        .expect(200);
    admin
        .post(&format!("{kept}/rollback"), &json!({}))
        .expect(200);
    deleted(admin, &format!("/policy-bindings/{passing}"));
}

pub(crate) fn assert_same(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
    assert!(
        before.keys().eq(after.keys()),
        "{:?} became {:?}",
        before.keys(),
        after.keys()
    );
    for (path, body) in before {
        let (was, is) = (
            String::from_utf8_lossy(body),
            String::from_utf8_lossy(&after[path]),
        );
        assert_eq!(was, is, "{path}");
    }
}
