//! The past is what was answered then: while a history is made every route that reads the index is
//! asked, and afterwards each answers the same as of each of these states.

use super::{COURSES, COURSES_IN_PATH, World, good, text};
use crate::admin::{Kind, Route, routes};
use crate::testing::Job;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use writ_core::Index;
use writ_sandbox::testkit::honest;

/// What a path answers: the status, the ETag, the position, and the body.
type Said = (u16, String, String, Value);

/// What everything answered at one state of the log.
struct State {
    position: u64,
    time: String,
    said: BTreeMap<(&'static str, String), Said>,
}

/// The history and the states that it went through.
struct History {
    world: World,
    /// Tokens that were issued: their explanations are among what is asked.
    jtis: Vec<String>,
    states: Vec<State>,
}

impl History {
    /// Asks everything. The clock moves first: so the last event is at the present moment, and no
    /// other one is.
    async fn note(&mut self) {
        let index = self.world.server.app.index();
        let mut said = BTreeMap::new();
        for route in reads() {
            for path in paths(route, &index, &self.jtis) {
                let answer = ask(&self.world, route.method.as_str(), &path, None).await;
                said.insert((route.method.as_str(), path), answer);
            }
        }
        self.states.push(State {
            position: index.head().unwrap().0,
            time: index.last_at().to_string(),
            said,
        });
        self.world.server.clock.advance(Duration::from_secs(1));
    }

    /// Makes a change, and asks everything.
    async fn change(&mut self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.world.send(method, path, &[], body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.json());
        self.note().await;
        answer.json()
    }
}

/// The routes that read the index.
fn reads() -> impl Iterator<Item = &'static Route> {
    routes().iter().filter(|route| route.kind == Kind::Read)
}

/// The paths of a route by everything that is there. A route with other parameters has to be added
/// here.
fn paths(route: &Route, index: &Index, jtis: &[String]) -> Vec<String> {
    let put = |name: &str, ids: Vec<String>| -> Vec<String> {
        let fill = |id: String| route.path.replace(&format!("{{{name}}}"), &id);
        ids.into_iter().map(fill).collect()
    };
    let applications = || index.applications(None);
    let apis = || index.apis(None);
    match route.path {
        path if !path.contains('{') => vec![path.to_owned()],
        "/api-resources/{id}" => put("id", apis().map(|api| api.id.to_string()).collect()),
        "/api-resources/{id}/scopes/{name}" => apis()
            .filter(|api| !api.is_management())
            .flat_map(|api| {
                let each = api.scopes();
                each.map(|(_, scope)| format!("/api-resources/{}/scopes/{}", api.id, scope.name))
            })
            .collect(),
        "/api-resources/{id}/authorization-details-types/{name}" => apis()
            .flat_map(|api| {
                let each = api.details_types.iter();
                let types = format!("/api-resources/{}/authorization-details-types", api.id);
                each.map(move |it| format!("{types}/{}", it.name))
            })
            .collect(),
        "/applications/{id}/secrets/{secret_id}" => applications()
            .flat_map(|it| {
                let each = it.secrets.iter();
                each.map(|secret| format!("/applications/{}/secrets/{}", it.id, secret.id))
            })
            .collect(),
        "/applications/{id}/authorized-apis/{api_id}" => applications()
            .flat_map(|it| {
                let each = it.grants();
                each.map(|grant| format!("/applications/{}/authorized-apis/{}", it.id, grant.api))
            })
            .collect(),
        path if path.starts_with("/applications/{id}") => {
            put("id", applications().map(|it| it.id.to_string()).collect())
        }
        "/roles/{id}" => put(
            "id",
            index.roles(None).map(|it| it.id.to_string()).collect(),
        ),
        "/trusted-issuers/{id}" => {
            let issuers = index.trusted_issuers(None);
            put("id", issuers.map(|it| it.id.to_string()).collect())
        }
        "/initial-access-tokens/{id}" => {
            let tokens = index.initial_access_tokens(None);
            put("id", tokens.map(|it| it.id.to_string()).collect())
        }
        "/signing-keys/{kid}" => put("kid", index.keys().map(|it| it.kid.to_string()).collect()),
        path if path.starts_with("/policies/{digest}") => {
            let digests = index.policies().map(|policy| policy.digest.to_string());
            put("digest", digests.collect())
        }
        "/policy-bindings/{id}" => {
            let bindings = index.policy_bindings(None);
            put("id", bindings.map(|it| it.id.to_string()).collect())
        }
        path if path.starts_with("/issuances/{jti}") => put("jti", jtis.to_vec()),
        path => panic!("how is {path} asked?"),
    }
}

async fn ask(world: &World, method: &str, path: &str, as_of: Option<&str>) -> Said {
    // As much as goes on one page: what is compared is whole.
    let limit = match path {
        "/settings" | "/log/index" => "",
        path if path.matches('/').count() == 1 => "limit=200",
        "/events/changes" => "limit=200",
        _ => "",
    };
    let as_of = as_of.map(|as_of| format!("as_of={as_of}"));
    let query: Vec<String> = [limit.to_owned()].into_iter().chain(as_of).collect();
    let uri = format!("{path}?{}", query.join("&"));
    let body = match method {
        "POST" => json!({ "scope": "courses:read" }),
        _ => Value::Null,
    };
    let answer = world.send(method, &uri, &[], body).await;
    let mut said = match answer.header("content-type") {
        "application/wasm" => json!(answer.body),
        _ => answer.json(),
    };
    // How long a policy took is not of the past, nor is the name of a request, nor when a secret was
    // last used, which is not in the log.
    strip(&mut said);
    let header = |name: &str| answer.header(name).to_owned();
    (
        answer.status.as_u16(),
        header("etag"),
        header("writ-position"),
        said,
    )
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let passing = ["micros", "request_id", "last_used_at", "used", "superseded"];
            members.retain(|name, _| !passing.contains(&&**name));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Issues a token to a job; its `jti`.
async fn issued(world: &World, job: &Job) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let server = &world.server;
    let token = server.access_token(job, &[("scope", "courses:read")]).await;
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    text(&claims, "jti")
}

/// A history in which everything that can be read comes, changes and goes.
async fn history() -> History {
    let mut made = History {
        world: World::new().await,
        jtis: Vec::new(),
        states: Vec::new(),
    };
    made.note().await;
    made.world.courses().await;
    made.note().await;
    let create = json!({ "name": "Job", "labels": { "env": "test" } });
    let job = made.change("POST", "/applications", create).await;
    let id = text(&job, "id");
    let path = format!("/applications/{id}");
    let secrets = format!("{path}/secrets");
    let secret = made.change("POST", &secrets, json!({})).await;
    let grant = json!({ "api": COURSES, "scopes": ["courses:read", "courses:publish"] });
    let grants = format!("{path}/authorized-apis");
    let grant = made.change("POST", &grants, grant).await;
    let grant = format!("{grants}/{}", text(&grant, "api"));
    let job = Job {
        client_id: id.clone(),
        client_secret: text(&secret, "secret"),
    };
    let digest = made.world.upload(honest()).await;
    made.note().await;
    let target = format!("application/{id}");
    let bind = json!({ "policy": digest, "target": target, "mode": "shadow" });
    let binding = good(&made.world.post("/policy-bindings", bind).await, 201);
    let binding = format!("/policy-bindings/{}", text(&binding, "id"));
    // What rests on a state is a part of it.
    made.jtis.push(issued(&made.world, &job).await);
    made.note().await;
    let scopes = json!({ "name": "Readers", "scopes": ["courses:read"] });
    let role = made.change("POST", "/roles", scopes).await;
    let role = text(&role, "id");
    let key = json!({ "algorithm": "EdDSA" });
    let key = made.change("POST", "/signing-keys", key).await;
    let key = format!("/signing-keys/{}", text(&key, "kid"));

    let issuer = json!({ "issuer": "https://a.example", "name": "A",
                         "keys": { "discovery": true } });
    let issuer = made.change("POST", "/trusted-issuers", issuer).await;
    let issuer = format!("/trusted-issuers/{}", text(&issuer, "id"));
    let token = json!({ "name": "CI", "grants": [{ "api": COURSES, "scopes": ["courses:read"] }] });
    let token = made.change("POST", "/initial-access-tokens", token).await;
    let token = format!("/initial-access-tokens/{}", text(&token, "id"));
    let details = format!("{COURSES_IN_PATH}/authorization-details-types/pay");
    let (quota, exchange) = (format!("{path}/quota"), format!("{path}/token-exchange"));
    let rule = json!({ "name": "r", "issuer": "https://a.example", "audience": "a",
                       "subject": "s" });

    // Everything changes.
    for (method, path, body) in [
        ("PATCH", grant.clone(), json!({ "mode": "rbac" })),
        ("PUT", format!("{path}/roles/{role}"), json!({})),
        (
            "PATCH",
            format!("/roles/{role}"),
            json!({ "name": "R", "scopes": [] }),
        ),
        (
            "PATCH",
            path.clone(),
            json!({ "name": "Renamed", "labels": {} }),
        ),
        ("PATCH", path.clone(), json!({ "enabled": false })),
        (
            "PATCH",
            COURSES_IN_PATH.into(),
            json!({ "name": "C", "requires_authorization": false }),
        ),
        (
            "PUT",
            format!("{COURSES_IN_PATH}/scopes/c"),
            json!({ "description": "C" }),
        ),
        ("PATCH", binding.clone(), json!({ "mode": "enforce" })),
        ("PATCH", issuer.clone(), json!({ "omits_issuer": true })),
        ("PUT", details.clone(), json!({ "schema": true })),
        (
            "PUT",
            format!("{grant}/authorization-details-types"),
            json!({ "authorization_details_types": ["pay"] }),
        ),
        ("PUT", quota.clone(), json!({ "per_hour": 5 })),
        ("PUT", exchange.clone(), json!({ "subjects": [id] })),
        (
            "PUT",
            format!("{path}/authentication"),
            json!({ "methods": ["workload_identity"], "trust": [rule] }),
        ),
        (
            "PATCH",
            "/settings".into(),
            json!({ "tokens.lifetime_seconds": 30 }),
        ),
        ("POST", format!("{key}/retire"), json!({})),
        ("POST", format!("{path}/revoke-tokens"), json!({})),
    ] {
        made.change(method, &path, body).await;
    }
    // Everything goes.
    let secret = format!("{secrets}/{}", text(&secret, "id"));
    for path in [
        secret,
        quota,
        exchange,
        format!("{path}/authentication"),
        issuer,
        token,
        format!("{details}?cascade=true"),
        format!("{COURSES_IN_PATH}/scopes/c"),
        format!("{path}/roles/{role}"),
        format!("/roles/{role}"),
        grant,
        binding,
        format!("/policies/{digest}"),
        path,
        COURSES_IN_PATH.to_owned(),
    ] {
        made.change("DELETE", &path, Value::Null).await;
    }
    made
}

#[actix_web::test]
async fn every_read_answers_as_of_a_state_what_it_answered_then() {
    let made = history().await;
    let History { world, states, .. } = made;
    let positions: BTreeSet<u64> = states.iter().map(|state| state.position).collect();
    assert!(states.len() > 25 && positions.len() == states.len());
    // No route was asked for nothing.
    let asked = |route: &Route| {
        let mut all = states.iter().flat_map(|state| state.said.iter());
        let mut parts = route.path.split('{').next().unwrap_or_default().to_owned();
        parts.truncate(parts.len().max(1));
        all.any(|((method, path), said)| {
            *method == route.method.as_str() && path.starts_with(&parts) && said.0 == 200
        })
    };
    for route in reads() {
        assert!(asked(route), "{}", route.operation);
    }
    let ever: BTreeSet<(&str, String)> = states
        .iter()
        .flat_map(|state| state.said.keys().cloned())
        .collect();
    for state in &states {
        let position = state.position.to_string();
        for (method, path) in &ever {
            let then = ask(&world, method, path, Some(&position)).await;
            let what = format!("{method} {path} as of {position}");
            match state.said.get(&(*method, path.clone())) {
                Some(said) => assert_eq!(&then, said, "{what}"),
                // What was gone, or was to come, is not there.
                None => assert_eq!(then.0, 404, "{what}: {}", then.3),
            }
        }
        // A time is the state after the last event until then.
        for (method, path) in state.said.keys() {
            let then = ask(&world, method, path, Some(&state.time)).await;
            let said = &state.said[&(*method, path.clone())];
            assert_eq!(&then, said, "{method} {path} as of {}", state.time);
        }
    }
    // And what is now is not what was.
    let last = &states[states.len() - 1].said;
    let differ = |(key, said): (_, &Said)| last.get(key) != Some(said);
    assert!(states[states.len() / 2].said.iter().any(differ));
    good(&world.get("/settings").await, 200);
}

#[actix_web::test]
async fn a_review_as_of_a_time_knows_which_secrets_had_expired_by_then() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Job").await;
    let grant = json!({ "api": COURSES, "scopes": ["courses:read"] });
    good(
        &world.post(&format!("{path}/authorized-apis"), grant).await,
        201,
    );
    let end = world.server.app.now().plus_seconds(60);
    let expires = json!({ "expires_at": end.to_string() });
    good(&world.post(&format!("{path}/secrets"), expires).await, 201);
    world.server.clock.advance(Duration::from_secs(300));
    let unusable = async |as_of: String| {
        let review = format!("/access?application={id}{as_of}");
        let page = good(&world.get(&review).await, 200);
        page["items"][0]["unusable"].clone()
    };
    let head = world.server.head() - 1;
    assert_eq!(unusable(format!("&as_of={head}")).await, Value::Null);
    let before = writ_core::Millis(end.0 - 1);
    assert_eq!(unusable(format!("&as_of={before}")).await, Value::Null);
    assert_eq!(unusable(format!("&as_of={end}")).await, "no_credential");
    assert_eq!(unusable(String::new()).await, "no_credential");
}

#[actix_web::test]
async fn what_nobody_uses_is_told_from_real_issuances() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    let server = &world.server;
    let names = ["x:read", "x:write"];
    let api = server
        .api("https://x.example", &names, Default::default())
        .await;
    let (job, idle) = (
        server.application(api, &names).await,
        server.application(api, &names).await,
    );
    server
        .access_token(&job, &[("scope", "x:read x:write")])
        .await;
    let long_ago = server.app.now().to_string();
    server.clock.advance(DAY * 10);
    let token = server.admin_token(&server.admin).await;
    server.access_token(&job, &[("scope", "x:read")]).await;
    let refused = server.token(&idle, &[("scope", "other")]).await;
    assert_eq!(refused.status.as_u16(), 400);

    let world = World { token, ..world };
    let unused = async |days: u32| {
        let answer = world.get(&format!("/access/unused?days={days}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
        answer.json()
    };
    let of = |answer: &Value, list: &str, id: &str| -> Vec<Value> {
        let items = answer[list].as_array().unwrap().iter();
        let of = items.filter(|item| item["application"] == *id);
        of.cloned().collect()
    };
    let five = unused(5).await;
    let records_from = five["records_from"].as_str().unwrap();
    assert!(records_from <= &*long_ago, "{five}");
    let [grant] = &of(&five, "grants", &job.client_id)[..] else {
        panic!("{five}");
    };
    assert_eq!(grant["unused"].as_array().unwrap().len(), 1);
    assert_eq!(grant["unused"][0]["scope"], "x:write");
    assert!(grant["unused"][0]["last_used"].as_str().unwrap() <= &*long_ago);
    assert_eq!(
        of(&five, "applications", &job.client_id),
        Vec::<Value>::new()
    );
    assert_eq!(
        of(&five, "credentials", &job.client_id),
        Vec::<Value>::new()
    );
    // It proved who it is and got nothing.
    let [silent] = &of(&five, "applications", &idle.client_id)[..] else {
        panic!("{five}");
    };
    assert!(silent.get("last_token").is_none());
    assert_eq!(
        of(&five, "credentials", &idle.client_id),
        Vec::<Value>::new()
    );
    let [grant] = &of(&five, "grants", &idle.client_id)[..] else {
        panic!("{five}");
    };
    assert_eq!(
        grant["unused"],
        json!([{ "scope": "x:read" }, { "scope": "x:write" }])
    );

    let all = unused(30).await;
    assert_eq!(of(&all, "grants", &job.client_id), Vec::<Value>::new());
    assert_eq!(of(&all, "applications", &idle.client_id).len(), 1);
    for days in ["0", "401", "x"] {
        let answer = world.get(&format!("/access/unused?days={days}")).await;
        super::bad(&answer, 400, "query_malformed");
    }
}
