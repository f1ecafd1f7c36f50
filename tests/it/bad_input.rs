//! Bad input over HTTP, end to end: each is answered with a clear 4xx (a problem of RFC 9457, or an
//! error of RFC 6749 on the OAuth endpoints) and changes nothing. The parsers' own tests are beside
//! the parsers; here is the whole server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::restart::{assert_same, every_entity};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use writ_tests::{Admin, Answer, Application, Call, Http, Writ, raw};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A server with one API resource and an application that may use it.
struct World {
    writ: Writ,
    admin: Admin,
    application: Application,
    api: String,
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let writ = Writ::start();
    let admin = writ.admin();
    let api = admin.register_api("https://orders.example/api", &json!({}), &["orders:read"]);
    let application = admin.register_application("Billing");
    admin.grant(&application, &api, &["orders:read"]);
    let world = World {
        writ,
        admin,
        application,
        api,
    };
    let head = world.admin.head();
    world.token_requests();
    world.client_authentication();
    world.introspection_and_revocation();
    world.raw_requests();
    world.admin_bodies();
    world.admin_paths_and_queries();
    world.admin_authority();
    world.preconditions(head);
    assert_eq!(world.admin.head(), head, "bad input changed something");
    world.random_bodies();
    assert_eq!(world.admin.head(), head, "bad input changed something");
    world.idempotency();
    world.races();
    // After all that it still does its work, and a start finds nothing that it cannot replay.
    world.application.access_token(&[("scope", "orders:read")]);
    let head = world.admin.head() - 1;
    let before = every_entity(&world.admin, head);
    let writ = world.writ.kill_and_restart();
    assert_same(&before, &every_entity(&writ.admin(), head));
    let Application { id, secret, .. } = &world.application;
    let application = Application::new(writ.http(), id, secret);
    application.access_token(&[("scope", "orders:read")]);
}

/// Checks an error of RFC 6749 §5.2.
#[track_caller]
fn oauth_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.text("error"), error, "{answer}");
    assert!(!answer.text("error_description").is_empty(), "{answer}");
    assert!(answer.header("content-type").starts_with(JSON), "{answer}");
    assert_eq!(answer.header("cache-control"), "no-store", "{answer}");
    if status == 401 {
        assert!(
            answer.header("www-authenticate").starts_with("Basic"),
            "{answer}"
        );
    }
}

/// Checks a problem of RFC 9457.
#[track_caller]
fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer}");
    let kind = answer.header("content-type");
    assert!(
        kind.starts_with("application/problem+json"),
        "{kind}: {answer}"
    );
    let body = answer.json();
    assert_eq!(body["status"], status, "{answer}");
    for member in ["type", "title", "detail", "code"] {
        assert!(
            body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member}: {answer}"
        );
    }
    body
}

fn many_scopes(count: usize) -> String {
    let names: Vec<String> = (0..count)
        .map(|number| format!("orders:s{number}"))
        .collect();
    names.join(" ")
}

impl World {
    fn http(&self) -> &Http {
        self.writ.http()
    }

    fn address(&self) -> SocketAddr {
        self.writ.address()
    }

    /// A token request of the application with this body.
    fn token_body(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.token_call(body).send()
    }

    fn token_call(&self, body: impl Into<Vec<u8>>) -> Call<'_> {
        self.http()
            .call("POST", "/oauth2/token")
            .basic(&self.application.id, &self.application.secret)
            .body(FORM, body)
    }

    fn token_requests(&self) {
        let grant = "grant_type=client_credentials";
        let refused = |body: &str, error: &str| {
            oauth_error(&self.token_body(body), 400, error);
        };
        refused("", "invalid_request");
        refused("grant_type=", "invalid_request");
        refused("grant_type=password", "unsupported_grant_type");
        refused(
            "grant_type=client_credentials&grant_type=client_credentials",
            "invalid_request",
        );
        refused(
            &format!("{grant}&scope=orders%3Aread&scope=orders%3Aread"),
            "invalid_request",
        );
        refused(&format!("{grant}&scope=%FF%FE"), "invalid_request");
        refused(&format!("{grant}&scope=%zz"), "invalid_request");
        refused(&format!("{grant}&scope=orders%3Aread%00"), "invalid_scope");
        refused(&format!("{grant}&scope=%22"), "invalid_scope");
        refused(&format!("{grant}&scope=no%3Asuch"), "invalid_scope");
        refused(&format!("{grant}&resource=not-a-uri"), "invalid_target");
        refused(
            &format!("{grant}&resource=https%3A%2F%2Fother.example"),
            "invalid_target",
        );
        refused(
            &format!("{grant}&resource=urn%3Awrit%3Amanagement"),
            "invalid_target",
        );
        refused(grant, "invalid_scope");
        let mut not_utf8 = format!("{grant}&scope=").into_bytes();
        not_utf8.extend([0xC3, 0x28]);
        oauth_error(&self.token_body(not_utf8), 400, "invalid_request");

        // As many as fit into a form, and more than do.
        for (scopes, status) in [
            (many_scopes(101), 400),
            (vec!["a"; 10_000].join(" "), 400),
            (many_scopes(10_000), 413),
        ] {
            let body = format!("{grant}&scope={}", scopes.replace(' ', "+"));
            let answer = self.token_body(body);
            assert_eq!(answer.status, status, "{answer}");
            assert!(["invalid_request", "invalid_scope"].contains(&answer.text("error").as_str()));
            assert!(
                answer.body.len() < 4096,
                "the answer repeats what was sent: {answer}"
            );
        }
        let resources: Vec<(&str, &str)> = vec![("resource", "https://orders.example/api"); 17];
        assert_eq!(self.application.token(&resources).status, 400);

        let oversize = format!("{grant}&padding={}", "x".repeat(2 << 20));
        oauth_error(&self.token_body(oversize), 413, "invalid_request");

        let basic = |call: Call<'_>| {
            call.basic(&self.application.id, &self.application.secret)
                .send()
        };
        let token = |method| self.http().call(method, "/oauth2/token");
        let as_json = token("POST").json(&json!({ "grant_type": "client_credentials" }));
        oauth_error(&basic(as_json), 400, "invalid_request");
        oauth_error(
            &basic(token("POST").body("text/plain", grant)),
            400,
            "invalid_request",
        );
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(basic(token(method)).status, 405, "{method}");
        }
    }

    fn client_authentication(&self) {
        let Application { id, secret, .. } = &self.application;
        let grant = ("grant_type", "client_credentials");
        let scope = ("scope", "orders:read");
        let token = || self.http().call("POST", "/oauth2/token");

        // Every failure to authenticate looks the same.
        let wrong = token().basic(id, "wrong").form(&[grant, scope]).send();
        oauth_error(&wrong, 401, "invalid_client");
        let others = [
            token().basic("nobody", secret).form(&[grant, scope]).send(),
            token().basic(id, "").form(&[grant, scope]).send(),
            token().basic("", "").form(&[grant, scope]).send(),
            token()
                .header("authorization", "Basic")
                .form(&[grant, scope])
                .send(),
            token()
                .header("authorization", "Basic !!!")
                .form(&[grant, scope])
                .send(),
            token()
                .header("authorization", "Basic /////w==")
                .form(&[grant, scope])
                .send(),
            token()
                .header("authorization", "Bearer x")
                .form(&[grant, scope])
                .send(),
            token().form(&[grant, scope]).send(),
            token()
                .form(&[grant, scope, ("client_id", id), ("client_secret", "wrong")])
                .send(),
            token()
                .form(&[
                    grant,
                    scope,
                    ("client_id", id),
                    ("client_secret", &"x".repeat(10_000)),
                ])
                .send(),
            token().form(&[grant, scope, ("client_id", id)]).send(),
        ];
        for answer in others {
            oauth_error(&answer, 401, "invalid_client");
        }

        // One way to authenticate a request, not two (RFC 6749 §2.3).
        let both = [
            grant,
            scope,
            ("client_id", id.as_str()),
            ("client_secret", secret.as_str()),
        ];
        let answer = token().basic(id, secret).form(&both).send();
        oauth_error(&answer, 400, "invalid_request");

        let query = format!("/oauth2/token?client_id={id}&client_secret={secret}");
        let answer = self
            .http()
            .call("POST", &query)
            .form(&[grant, scope])
            .send();
        oauth_error(&answer, 400, "invalid_request");
    }

    fn introspection_and_revocation(&self) {
        for path in ["/oauth2/introspect", "/oauth2/revoke"] {
            let call = || self.http().call("POST", path);
            let Application { id, secret, .. } = &self.application;
            let anonymous = call().form(&[("token", "x")]).send();
            oauth_error(&anonymous, 401, "invalid_client");
            let no_token = call().basic(id, secret).body(FORM, "").send();
            oauth_error(&no_token, 400, "invalid_request");
            let two = call()
                .basic(id, secret)
                .body(FORM, "token=a&token=b")
                .send();
            oauth_error(&two, 400, "invalid_request");
            let not_utf8 = call().basic(id, secret).body(FORM, "token=%FF").send();
            oauth_error(&not_utf8, 400, "invalid_request");
            let query = self
                .http()
                .call("POST", &format!("{path}?token=x"))
                .basic(id, secret)
                .body(FORM, "")
                .send();
            oauth_error(&query, 400, "invalid_request");
            // What is not a token of ours is no error: it is inactive, and revoked it stays.
            let junk = "x".repeat(5_000);
            for token in ["x", "a.b.c", "e30.e30.", junk.as_str()] {
                let answer = call()
                    .basic(id, secret)
                    .form(&[("token", token)])
                    .send()
                    .expect(200);
                if path == "/oauth2/introspect" {
                    assert_eq!(answer.json(), json!({ "active": false }));
                }
            }
        }
    }

    /// What no decent client sends.
    fn raw_requests(&self) {
        let refused = |request: &[u8]| {
            let said = raw(self.address(), request);
            let shown = String::from_utf8_lossy(request.get(..80).unwrap_or(request));
            let answered = said
                .status()
                .is_some_and(|status| (400..500).contains(&status));
            assert!(answered && said.closed, "{said:?} for {shown:?}");
        };
        refused(b"nonsense\r\n\r\n");
        let token = |headers: &[&str], body: &str| {
            let head = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nconnection: close";
            let request = format!("{head}\r\n{}\r\n\r\n{body}", headers.join("\r\n"));
            refused(request.as_bytes());
        };
        token(&["content-length: -1"], "");
        token(&["content-length: 5", "content-length: 6"], "hello");
        token(
            &["content-length: 4", "transfer-encoding: chunked"],
            "0\r\n\r\n",
        );
        // Two credentials: whichever is looked at, the other was not.
        let form = "grant_type=client_credentials";
        let headers = [
            "authorization: Basic eDp5",
            "authorization: Basic eDp6",
            "content-type: application/x-www-form-urlencoded",
            "content-length: 29",
        ];
        token(&headers, form);
        let long_header = format!(
            "GET /oauth2/jwks HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "y".repeat(300_000)
        );
        refused(long_header.as_bytes());
        let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(300_000));
        refused(long_path.as_bytes());
    }

    fn admin_bodies(&self) {
        let post = |path: &str, body: &[u8]| {
            let call = self.admin.call("POST", path).body(JSON, body);
            call.send()
        };
        let path = "/applications";
        let bad: [&[u8]; 10] = [
            b"",
            b"{",
            b"null",
            b"[]",
            b"{\"name\":\"a\"} trailing",
            b"{\"name\":\"\xFF\"}",
            b"{\"name\":5}",
            b"{\"name\":\"a\",\"name\":\"b\"}",
            b"{\"nome\":\"a\"}",
            b"{\"name\":\"a\",\"admin\":true}",
        ];
        for body in bad {
            problem(&post(path, body), 400);
        }
        let unknown = problem(&post(path, b"{\"name\":\"a\",\"admin\":true}"), 400);
        assert!(
            unknown["detail"].as_str().unwrap().contains("admin"),
            "{unknown}"
        );
        problem(&post(path, "[".repeat(200_000).as_bytes()), 400);
        let oversize = json!({ "name": "x".repeat(2 << 20) }).to_string();
        problem(&post(path, oversize.as_bytes()), 413);
        let text = self
            .admin
            .call("POST", path)
            .body("text/plain", "{\"name\":\"a\"}");
        problem(&text.send(), 415);

        let refused = |path: &str, body: &Value| {
            let answer = self.admin.post(path, body);
            assert!([400, 422].contains(&answer.status), "{body}: {answer}");
            problem(&answer, answer.status);
        };
        for name in ["", " ", "a\u{0}b", "a\nb", "\u{202E}evil", &"x".repeat(121)] {
            refused(path, &json!({ "name": name }));
        }
        let labels: serde_json::Map<String, Value> = (0..33)
            .map(|number| (format!("key{number}"), json!("v")))
            .collect();
        refused(path, &json!({ "name": "a", "labels": labels }));
        refused(path, &json!({ "name": "a", "labels": { "": "v" } }));
        refused(
            path,
            &json!({ "name": "a", "token_settings": { "audience": "everyone" } }),
        );
        refused(
            path,
            &json!({ "name": "a", "token_settings": { "lifetime_seconds": 0 } }),
        );

        let path = "/api-resources";
        for identifier in [
            "",
            "no scheme",
            "https://a b",
            "https://x#fragment",
            &format!("https://x/{}", "y".repeat(255)),
        ] {
            refused(path, &json!({ "identifier": identifier, "name": "a" }));
        }
        let identifier = "https://new.example";
        for scope in ["", "a b", "a\"b", "a\\b", "é", &"x".repeat(129)] {
            let scopes = [json!({ "name": scope })];
            refused(
                path,
                &json!({ "identifier": identifier, "name": "a", "scopes": scopes }),
            );
        }
        let scopes: Vec<Value> = (0..10_000)
            .map(|number| json!({ "name": format!("s{number}") }))
            .collect();
        refused(
            path,
            &json!({ "identifier": identifier, "name": "a", "scopes": scopes }),
        );
        for profile in [
            json!({ "algorithm": "HS256" }),
            json!({ "algorithm": "none" }),
            json!({ "typ": "other" }),
            json!({ "lifetime_seconds": 0 }),
            json!({ "lifetime_seconds": 86_401 }),
            json!({ "lifetime_seconds": -1 }),
            json!({ "lifetime_seconds": 1e99 }),
        ] {
            refused(
                path,
                &json!({ "identifier": identifier, "name": "a", "profile": profile }),
            );
        }
        let secrets = format!("/applications/{}/secrets", self.application.id);
        for expires_at in ["tomorrow", "2001-01-01T00:00:00Z", "99999-01-01T00:00:00Z"] {
            refused(&secrets, &json!({ "expires_at": expires_at }));
        }
        refused("/signing-keys", &json!({ "algorithm": "RS512" }));
        let settings = self
            .admin
            .patch("/settings", &json!({ "scopes.unauthorized": "ignore" }));
        assert!([400, 422].contains(&settings.status), "{settings}");
        problem(
            &self.admin.patch("/settings", &json!({ "no.such": 1 })),
            400,
        );
    }

    fn admin_paths_and_queries(&self) {
        let strange = [
            "..",
            "%2e%2e",
            "..%2f..%2f..%2fetc%2fpasswd",
            "../../../../etc/passwd",
            "%00",
            "a%00b",
            "%ff",
            "%2f",
            "-1",
            "4294967296",
            "api_4294967296",
            "api_-1",
            "role_99",
            "nobody",
            "%F0%9F%92%A9",
        ];
        let long = "x".repeat(5_000);
        for collection in ["api-resources", "applications", "roles", "signing-keys"] {
            for id in strange.iter().copied().chain([long.as_str()]) {
                for method in ["GET", "DELETE"] {
                    let answer = self
                        .admin
                        .call(method, &format!("/{collection}/{id}"))
                        .send();
                    assert!(
                        [400, 404, 405, 414].contains(&answer.status),
                        "{method} {collection}/{id}: {answer}"
                    );
                    assert!(
                        !String::from_utf8_lossy(&answer.body).contains("root:"),
                        "{answer}"
                    );
                }
            }
        }
        for query in [
            "limit=0",
            "limit=-1",
            "limit=many",
            "limit=99999999999999999999",
            "after=%00",
            "after=nonsense",
            "as_of=yesterday",
            "as_of=-1",
            "as_of=99999999",
            "no_such=1",
            "limit=1&limit=2",
        ] {
            let answer = self.admin.get(&format!("/applications?{query}"));
            problem(&answer, 400);
        }
        problem(&self.admin.get("/events?from=-1"), 400);
        problem(&self.admin.get("/no-such-thing"), 404);
        problem(&self.admin.call("TRACE", "/applications").send(), 405);
    }

    fn admin_authority(&self) {
        let list = |call: Call<'_>| call.send();
        let call = || self.http().call("GET", "/api/v1/applications");
        let anonymous = list(call());
        problem(&anonymous, 401);
        assert!(
            anonymous.header("www-authenticate").starts_with("Bearer"),
            "{anonymous}"
        );
        problem(&list(call().bearer("x")), 401);
        problem(&list(call().bearer(&"x".repeat(5_000))), 401);
        let mut forged = self.admin.token().to_owned();
        forged.truncate(forged.len() - 8);
        problem(&list(call().bearer(&format!("{forged}AAAAAAAA"))), 401);
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.";
        problem(&list(call().bearer(none)), 401);
        // A token for another API resource opens nothing here.
        let other = self.application.access_token(&[("scope", "orders:read")]);
        problem(&list(call().bearer(&other)), 401);
        let query = format!("/api/v1/applications?access_token={}", self.admin.token());
        let in_query = self.http().get(&query);
        assert!([400, 401].contains(&in_query.status), "{in_query}");

        // Fewer scopes, less authority.
        let admin = Application::from_file(self.http(), &self.writ.data("admin.json"));
        let resource = ("resource", "urn:writ:management");
        let token = admin.access_token(&[resource, ("scope", "writ:applications:read")]);
        let reader = Admin::with_token(self.http(), &token);
        reader.get("/applications").expect(200);
        let refused = problem(&reader.post("/applications", &json!({ "name": "a" })), 403);
        assert_eq!(refused["code"], "scope_missing");
    }

    /// A version that is not the present one (RFC 9110 §13.1.1).
    fn preconditions(&self, head: usize) {
        let path = format!("/applications/{}", self.application.id);
        let change = |if_match: &str| {
            let call = self.admin.call("PATCH", &path).header("if-match", if_match);
            call.json(&json!({ "name": "Other" })).send()
        };
        let current = self.admin.get(&path).expect(200);
        assert_ne!(current.header("etag"), "", "{current}");
        let stale = problem(&change("\"0\""), 412);
        assert_eq!(stale["code"], "version_stale");
        problem(&change(&format!("\"{}\"", head + 1000)), 412);
        for malformed in ["nonsense", "\"x\"", "\"", "\"-1\""] {
            let answer = change(malformed);
            assert!([400, 412].contains(&answer.status), "{answer}");
            problem(&answer, answer.status);
        }
        let deleted = self
            .admin
            .call("DELETE", &path)
            .header("if-match", "\"0\"")
            .send();
        problem(&deleted, 412);
        assert_eq!(self.admin.get(&path).body, current.body);
    }

    /// Nothing that is not made for it survives: never a 5xx, never a success, never a change.
    fn random_bodies(&self) {
        // A server that does not answer must fail this soon, and not at every step of shrinking.
        const LIMIT: Duration = Duration::from_secs(15);
        let mut runner = TestRunner::new(Config {
            cases: 128,
            max_shrink_iters: 200,
            max_shrink_time: 20_000,
            failure_persistence: None,
            ..Config::default()
        });
        let oauth = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "(grant_type|scope|token|resource|client_id|[a-z%&=+]{0,5})[=&%+]{0,3}[ -~]{0,60}"
                .prop_map(String::into_bytes),
        ];
        let json_like = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            r#"[\[\]{}",:0-9a-z\\]{0,60}"#.prop_map(String::into_bytes),
            r#"\{"[a-z_]{1,12}":("[ -~]{0,10}"|[0-9e.-]{1,8}|null|\[\]|\{\})\}"#
                .prop_map(String::into_bytes),
        ];
        runner
            .run(&(oauth, json_like), |(form, json)| {
                let answer = self.token_call(form).within(LIMIT).send();
                prop_assert!((400..500).contains(&answer.status), "{answer}");
                for path in ["/api-resources", "/roles", "/signing-keys"] {
                    let answer = self
                        .admin
                        .call("POST", path)
                        .body(JSON, json.clone())
                        .within(LIMIT)
                        .send();
                    prop_assert!((400..500).contains(&answer.status), "{answer}");
                }
                Ok(())
            })
            .unwrap();
    }

    fn idempotency(&self) {
        let create = |key: &str, name: &str| {
            let call = self
                .admin
                .call("POST", "/applications")
                .header("idempotency-key", key);
            call.json(&json!({ "name": name })).send()
        };
        let first = create("key-1", "Once").expect(201);
        let head = self.admin.head();
        let again = create("key-1", "Once").expect(201);
        assert_eq!(again.text("id"), first.text("id"));
        let other = create("key-1", "Twice");
        let code = problem(&other, other.status)["code"].clone();
        assert_eq!((other.status, code), (422, json!("idempotency_key_reused")));
        assert_eq!(create("", "Empty").status, 400);
        assert_eq!(create(&"k".repeat(5_000), "Long").status, 400);

        // A secret is shown once, also to who asks twice.
        let path = format!("/applications/{}/secrets", first.text("id"));
        let secret = || {
            let call = self
                .admin
                .call("POST", &path)
                .header("idempotency-key", "key-2");
            call.json(&json!({})).send()
        };
        let shown = secret().expect(201);
        assert_eq!(self.admin.head(), head + 1);
        let hidden = secret();
        assert_eq!(hidden.json()["id"], shown.json()["id"]);
        assert_eq!(hidden.json()["code"], "secret_already_shown");
        assert!(
            hidden.json().get("secret").is_none(),
            "a secret was shown twice"
        );
        assert_eq!(self.admin.head(), head + 1);
    }

    /// Creates that race with one identifier, and changes that race from one version: one wins.
    fn races(&self) {
        const RACERS: usize = 8;
        let head = self.admin.head();
        let body = json!({ "identifier": "https://raced.example", "name": "Raced" });
        let created = race(RACERS, || self.admin.post("/api-resources", &body));
        let (won, lost): (Vec<Answer>, Vec<Answer>) =
            created.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(won.len(), 1);
        for answer in lost {
            assert_eq!(problem(&answer, 409)["code"], "identifier_taken");
        }
        assert_eq!(self.admin.head(), head + 1);

        let path = format!("/api-resources/{}", self.api);
        let etag = self.admin.get(&path).header("etag").to_owned();
        let changed = race(RACERS, || {
            let call = self
                .admin
                .call("PATCH", &path)
                .header("if-match", etag.clone());
            call.json(&json!({ "name": "Orders, renamed" })).send()
        });
        let won = changed.iter().filter(|answer| answer.status == 200).count();
        let stale = changed.iter().filter(|answer| answer.status == 412).count();
        assert_eq!((won, stale), (1, RACERS - 1));
        assert_eq!(self.admin.head(), head + 2);
    }
}

/// The answers of `count` threads that all run `act` at once.
fn race(count: usize, act: impl Fn() -> Answer + Sync) -> Vec<Answer> {
    let start = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let racer = || {
            start.wait();
            act()
        };
        let racers: Vec<_> = (0..count).map(|_| scope.spawn(racer)).collect();
        racers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}
