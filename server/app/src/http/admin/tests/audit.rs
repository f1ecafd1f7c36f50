//! What auditors read: the records of issuances and of authentication failures, and the stream of
//! events.

use super::{Answer, Job, World, bad, good, text};
use crate::admin::{Kind, routes};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use serde_json::{Value, json};
use std::pin::Pin;
use std::time::Duration;
use writ_core::{ManagementScope, TokenProfile};

/// A body that is JSON and has no position.
#[track_caller]
fn records(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("writ-position"), "");
    answer.json()
}

#[track_caller]
fn items(answer: &Answer) -> Vec<Value> {
    records(answer)["items"].as_array().unwrap().clone()
}

/// All pages of a list.
async fn walked(world: &World, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = records(&world.get(&format!("{path}{cursor}")).await);
        all.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&after={next}"),
            None => return all,
        }
    }
}

#[actix_web::test]
async fn issuances_are_the_stored_bytes_and_found_by_what_leaked() {
    let world = World::new().await;
    let server = &world.server;
    let api = server
        .api(
            "https://x.example",
            &["x:read", "x:write"],
            TokenProfile::default(),
        )
        .await;
    let job = server.application(api, &["x:read"]).await;
    let other = server.application(api, &["x:read", "x:write"]).await;
    server.clock.advance(Duration::from_secs(1));
    let begun = server.app.now();
    server.access_token(&job, &[("scope", "x:read")]).await;
    server.token(&job, &[("scope", "x:write")]).await;
    server
        .access_token(&other, &[("scope", "x:read x:write")])
        .await;
    server.clock.advance(Duration::from_secs(60));
    let later = server.app.now();
    server.access_token(&job, &[("scope", "x:read")]).await;

    // What is answered is what is stored, and is what the types say.
    let answer = world.get("/issuances").await;
    let all = items(&answer);
    assert_eq!(all.len(), 5, "the administrator's own is there too");
    let raw = String::from_utf8(answer.body).unwrap();
    for item in &all {
        let id = text(item, "id");
        let shown = world.get(&format!("/issuances/{id}")).await;
        assert_eq!(&records(&shown), item);
        assert!(raw.contains(std::str::from_utf8(&shown.body).unwrap()));
        let stored = server
            .app
            .issuances
            .find_bytes(id.parse().unwrap())
            .unwrap();
        assert_eq!(Some(shown.body), stored);
        let typed: writ_api::Issuance = serde_json::from_value(item.clone()).unwrap();
        assert_eq!(&serde_json::to_value(typed).unwrap(), item);
    }

    let secrets = good(
        &world
            .get(&format!("/applications/{}/secrets", job.client_id))
            .await,
        200,
    );
    let secret = text(&secrets["items"][0], "id");
    let (app, id) = (&job.client_id, text(&all[1], "id"));
    for (query, found) in [
        (format!("credential={secret}"), 3),
        (format!("credential={secret}&outcome=granted"), 2),
        (format!("credential={secret}&outcome=denied"), 1),
        ("credential=nothing".to_owned(), 0),
        ("outcome=fault".to_owned(), 0),
        (format!("application={app}"), 3),
        ("scope=x:read".to_owned(), 3),
        ("scope=x:write".to_owned(), 1),
        ("scope=x".to_owned(), 0),
        (format!("since={later}"), 1),
        (format!("until={later}"), 4),
        (format!("since={begun}&until={later}"), 3),
        (format!("since={later}&until={later}"), 0),
        (format!("application={app}&scope=x:read&since={later}"), 1),
    ] {
        for limit in [1, 2, 200] {
            let path = format!("/issuances?limit={limit}&{query}");
            let walked = walked(&world, &path).await;
            assert_eq!(walked.len(), found, "{path}: {walked:?}");
        }
    }
    // With the offset that `+` in a query would lose.
    let offset = later.to_string().replace('Z', "+00:00");
    assert_eq!(
        items(&world.get(&format!("/issuances?since={offset}")).await).len(),
        1
    );

    for (query, code) in [
        ("outcome=maybe", "query_malformed"),
        ("application=x", "query_malformed"),
        ("since=yesterday", "query_malformed"),
        ("until=1", "query_malformed"),
        ("limit=0", "query_malformed"),
        ("as_of=3", "query_malformed"),
        ("after=x", "cursor_invalid"),
        ("after=MS4yLjM", "cursor_invalid"),
    ] {
        bad(&world.get(&format!("/issuances?{query}")).await, 400, code);
    }
    for unknown in ["00000000-0000-7000-8000-000000000000", "x"] {
        let answer = world.get(&format!("/issuances/{unknown}")).await;
        bad(&answer, 404, "issuance_unknown");
    }

    // A restart and a sealed file change nothing.
    server.app.issuances.rotate();
    let World { server, token } = world;
    let world = World {
        server: server.restart(),
        token,
    };
    assert_eq!(walked(&world, "/issuances?limit=2").await, all);
    assert_eq!(
        records(&world.get(&format!("/issuances/{id}")).await),
        all[1]
    );
}

/// A search over many records that are not asked for goes in steps, each with a cursor.
#[actix_web::test]
async fn a_page_looks_at_so_many_records_at_most() {
    use writ_core::RecordMode;
    use writ_ledger::{IssuanceRecord, Reserve};
    let world = World::new().await;
    let server = &world.server;
    let some = items(&world.get("/issuances").await)[0].clone();
    let mut record: IssuanceRecord = serde_json::from_value(some).unwrap();
    for _ in 0..10_050 {
        record.id = writ_core::Jti(server.app.ids.next_id());
        let answer = server
            .app
            .issuances
            .record(&record, RecordMode::Buffered, Reserve::Keep);
        answer.await.unwrap();
    }
    let answer = server
        .app
        .issuances
        .record(&record, RecordMode::Durable, Reserve::Keep);
    answer.await.unwrap();
    let first = records(&world.get("/issuances?outcome=fault").await);
    assert_eq!(first["items"], json!([]));
    let next = text(&first, "next");
    let second = records(
        &world
            .get(&format!("/issuances?outcome=fault&after={next}"))
            .await,
    );
    assert_eq!(second, json!({ "items": [] }));
    let reader = world.administrator(&[ManagementScope::AuditRead]).await;
    let world = World {
        token: reader,
        server: world.server,
    };
    assert_eq!(items(&world.get("/issuances?limit=200").await).len(), 200);
}

/// Every way not to prove who one is: one answer, a row each, and nothing of what was presented.
#[actix_web::test]
async fn authentication_failures_are_counted_by_kind() {
    let world = World::new().await;
    let server = &world.server;
    let api = server
        .api("https://x.example", &["x:read"], TokenProfile::default())
        .await;
    let job = server.application(api, &["x:read"]).await;
    let (disabled, expiring) = (
        server.application(api, &["x:read"]).await,
        server.application(api, &["x:read"]).await,
    );
    let path = format!("/applications/{}", disabled.client_id);
    good(&world.patch(&path, json!({ "enabled": false })).await, 200);
    let soon = writ_core::Millis(server.app.now().0 + 2_000);
    let path = format!("/applications/{}/secrets", expiring.client_id);
    let made = world
        .post(&path, json!({ "expires_at": soon.to_string() }))
        .await;
    let expired = Job {
        client_secret: text(&good(&made, 201), "secret"),
        ..expiring.clone()
    };
    server.clock.advance(Duration::from_secs(3));
    let wrong = Job {
        client_secret: disabled.client_secret.clone(),
        ..job.clone()
    };
    let unknown = Job {
        client_id: "c4n4ry".to_owned(),
        ..job.clone()
    };
    // A disabled application with a wrong secret has shown nothing.
    let guessed = Job {
        client_secret: "x".to_owned(),
        ..disabled.clone()
    };
    let mut answers = Vec::new();
    for who in [&wrong, &wrong, &unknown, &expired, &disabled, &guessed] {
        answers.push(server.token(who, &[("scope", "x:read")]).await);
    }
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let form = [
            ("token", "x"),
            ("client_id", wrong.client_id.as_str()),
            ("client_secret", wrong.client_secret.as_str()),
        ];
        answers.push(server.post(path, &form).await);
    }
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.body, answers[0].body);
    }
    // Right credentials are taken whatever came before.
    server.access_token(&job, &[("scope", "x:read")]).await;

    let answer = world.get("/authentication-failures").await;
    let found = items(&answer);
    let kinds: Vec<_> = found
        .iter()
        .map(|row| {
            (
                text(row, "reason"),
                row["application"].as_str(),
                row["count"].as_u64(),
            )
        })
        .collect();
    let (a, d, e) = (&*job.client_id, &*disabled.client_id, &*expiring.client_id);
    let expected = [
        ("disabled_application", Some(d), 1),
        ("expired_secret", Some(e), 1),
        ("unknown_application", None, 1),
        ("wrong_secret", Some(a), 4),
        ("wrong_secret", Some(d), 1),
    ];
    for (reason, application, count) in expected {
        let kind = (reason.to_owned(), application, Some(count));
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    assert_eq!(kinds.len(), expected.len());
    let raw = String::from_utf8(answer.body).unwrap();
    assert!(!raw.contains("c4n4ry") && !raw.contains("address"), "{raw}");
    for row in &found {
        let typed: writ_api::AuthenticationFailures = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(&serde_json::to_value(typed).unwrap(), row);
    }

    // Now with the address. The log is written for readers every ten seconds at most.
    good(
        &world
            .patch("/settings", json!({ "issuance.source_address": true }))
            .await,
        200,
    );
    server.token(&wrong, &[]).await;
    assert_eq!(items(&world.get("/authentication-failures").await), found);
    server.clock.advance(Duration::from_secs(70));
    let later = server.app.now();
    let mut all = items(&world.get("/authentication-failures").await);
    assert_eq!(all.len(), found.len() + 1);
    assert_eq!(text(&all[found.len()], "address"), "0.0.0.0");
    server.token(&wrong, &[]).await;
    crate::maintenance::run_once(&server.app).await;
    assert_eq!(
        walked(&world, "/authentication-failures?limit=2").await,
        all,
        "its minute runs"
    );
    server.clock.advance(Duration::from_secs(60));
    crate::maintenance::run_once(&server.app).await;
    let World { server, token } = world;
    let world = World { server, token };
    let with_last = walked(&world, "/authentication-failures?limit=2").await;
    assert_eq!(with_last.len(), all.len() + 1);
    all = with_last;
    for (query, count) in [
        (format!("application={a}"), 3),
        ("reason=wrong_secret".to_owned(), 4),
        (format!("reason=wrong_secret&application={d}"), 1),
        (format!("since={later}"), 1),
        (format!("until={later}"), 6),
        ("reason=x".to_owned(), 0),
    ] {
        let found = walked(&world, &format!("/authentication-failures?limit=3&{query}")).await;
        assert_eq!(found.len(), count, "{query}");
    }
    for query in [
        "application=x",
        "since=x",
        "until=x",
        "limit=201",
        "as_of=1",
    ] {
        let answer = world
            .get(&format!("/authentication-failures?{query}"))
            .await;
        bad(&answer, 400, "query_malformed");
    }
    let answer = world.get("/authentication-failures?after=x").await;
    bad(&answer, 400, "cursor_invalid");

    // What was counted when the server stops is written then.
    world.server.token(&unknown, &[]).await;
    let world = World {
        server: world.server.restart(),
        token: world.token,
    };
    let found = walked(&world, "/authentication-failures?limit=4").await;
    assert_eq!(found.len(), all.len() + 1);
    assert_eq!(found[..all.len()], all);
}

/// A stream of events, as a client reads it.
struct Following {
    body: Pin<Box<BoxBody>>,
    text: String,
}

impl Following {
    async fn open(world: &World, token: &str, query: &str, seen: Option<&str>) -> Self {
        let mut request = TestRequest::with_uri(&format!("/api/v1/events/stream{query}"))
            .insert_header(("authorization", format!("Bearer {token}")));
        if let Some(seen) = seen {
            request = request.insert_header(("last-event-id", seen.to_owned()));
        }
        let response = world.server.begin(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        Self {
            body: Box::pin(response.into_body()),
            text: String::new(),
        }
    }

    /// Reads a piece; whether there was one.
    async fn piece(&mut self) -> bool {
        let limit = Duration::from_secs(20);
        let next = std::future::poll_fn(|context| self.body.as_mut().poll_next(context));
        match tokio::time::timeout(limit, next).await.unwrap() {
            Some(piece) => {
                self.text
                    .push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
                true
            }
            None => false,
        }
    }

    async fn until(&mut self, found: &str) {
        while !self.text.contains(found) {
            assert!(self.piece().await, "ended without {found}: {}", self.text);
        }
    }

    async fn end(mut self) -> String {
        while self.piece().await {}
        self.text
    }

    /// The events of what came so far, each with its id and kind checked.
    fn events(&self) -> Vec<Value> {
        let messages = self.text.split_terminator("\n\n");
        let events = messages.filter(|message| message.contains("\nevent: "));
        let event = |message: &str| {
            let lines: Vec<_> = message
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .collect();
            let [("id", id), ("event", kind), ("data", data)] = lines[..] else {
                panic!("{message}");
            };
            let event: Value = serde_json::from_str(data).unwrap();
            assert_eq!(event["position"].to_string(), id);
            assert_eq!(event["event"]["kind"], kind);
            event
        };
        events.map(event).collect()
    }
}

#[actix_web::test]
async fn a_stream_goes_on_where_it_was_left() {
    let world = World::new().await;
    let head = world.server.head();
    let last = (head - 1).to_string();
    let all = good(&world.get("/events?limit=200").await, 200)["items"].clone();
    let all = all.as_array().unwrap();

    let mut whole = Following::open(&world, &world.token, "?from=0", None).await;
    whole.until(&format!("id: {last}\n")).await;
    assert_eq!(&whole.events(), all);
    // A browser says the last position that it saw and the query that it began with.
    let mut rest = Following::open(&world, &world.token, "?from=0", Some("2")).await;
    rest.until(&format!("id: {last}\nevent")).await;
    assert_eq!(rest.events(), all[3..]);
    let mut new = Following::open(&world, &world.token, "", Some("")).await;
    new.until(": nothing new\n\n").await;
    assert!(
        new.text.starts_with(&format!("id: {last}\nretry: ")),
        "{}",
        new.text
    );
    let mut future =
        Following::open(&world, &world.token, &format!("?from={}", head + 1), None).await;

    for name in ["one", "two"] {
        good(&world.post("/roles", json!({ "name": name })).await, 201);
    }
    let next = (head + 1).to_string();
    for stream in [&mut whole, &mut rest, &mut new, &mut future] {
        stream
            .until(&format!("id: {next}\nevent: role.created\n"))
            .await;
    }
    assert_eq!(whole.events().len(), all.len() + 2);
    assert_eq!(rest.events().len(), all.len() - 1);
    assert_eq!(new.events().len(), 2);
    assert_eq!(future.events().len(), 1);
    assert_eq!(new.events()[0]["event"]["data"]["name"], "one");

    for (query, header, code) in [
        ("?from=x", None, "query_malformed"),
        ("?as_of=1", None, "query_malformed"),
        ("", Some("x"), "header_malformed"),
        ("", Some("-1"), "header_malformed"),
    ] {
        let headers: Vec<_> = header
            .map(|value| ("last-event-id", value))
            .into_iter()
            .collect();
        let path = format!("/events/stream{query}");
        bad(
            &world.send("GET", &path, &headers, Value::Null).await,
            400,
            code,
        );
    }

    // A server that is about to stop has no streams, and none begins.
    world.server.app.drain();
    for stream in [whole, rest, new, future] {
        stream.end().await;
    }
    let late = Following::open(&world, &world.token, "?from=0", None).await;
    assert!(late.end().await.matches("event: ").count() <= all.len() + 2);
}

#[actix_web::test]
async fn a_stream_ends_with_the_permission_to_read() {
    let world = World::new().await;
    let id = |token: &str| world.server.app.validate_token(token).unwrap();
    let audit = [ManagementScope::AuditRead, ManagementScope::RolesRead];
    for (what, path, body) in [
        ("disabled", "", json!({ "enabled": false })),
        ("cut", "/revoke-tokens", Value::Null),
        (
            "less",
            "/authorized-apis/urn%3Awrit%3Amanagement",
            json!({ "scopes": ["writ:roles:read"] }),
        ),
        ("revoked", "", Value::Null),
    ] {
        let token = world.administrator(&audit).await;
        let token_of = id(&token);
        let application = token_of.application;
        let mut stream = Following::open(&world, &token, "", None).await;
        stream.until("retry").await;
        good(&world.post("/roles", json!({ "name": what })).await, 201);
        stream.until("role.created").await;
        let path = format!("/applications/{application}{path}");
        match what {
            "revoked" => {
                let body = json!({ "jti": token_of.claims.jti, "application": application });
                good(&world.post("/tokens/revoke", body).await, 204);
            }
            "cut" => drop(good(&world.post(&path, body).await, 200)),
            _ => drop(good(&world.patch(&path, body).await, 200)),
        }
        // The change itself is not shown any more.
        let text = stream.end().await;
        assert_eq!(text.matches("event: ").count(), 1, "{what}: {text}");
    }
    let token = world.administrator(&audit).await;
    let mut stream = Following::open(&world, &token, "", None).await;
    stream.until("nothing new").await;
    world.server.clock.advance(Duration::from_secs(3_600));
    stream.end().await;
}

#[actix_web::test]
async fn there_are_so_many_streams_at_most() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Following::open(&world, &world.token, "", None).await);
    }
    let refused = world.get("/events/stream").await;
    bad(&refused, 503, "busy");
    assert_eq!(refused.header("retry-after"), "1");
    // One that its client leaves makes room.
    drop(open.pop());
    let freed = async {
        loop {
            if world.server.app.streams.free() == 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed)
        .await
        .unwrap();
    Following::open(&world, &world.token, "", None)
        .await
        .until("retry")
        .await;
    good(&world.get("/events").await, 200);
}

/// The role of an auditor, as the README makes it: reads all there is, and changes nothing.
#[actix_web::test]
async fn an_auditor_reads_everything_and_changes_nothing() {
    let world = World::new().await;
    world.courses().await;
    let (path, id) = world.job("Job").await;
    let reading: Vec<ManagementScope> = ManagementScope::ALL
        .iter()
        .copied()
        .filter(|scope| scope.as_str().ends_with(":read"))
        .collect();
    let token = world.administrator(&reading).await;
    let own = world.server.app.validate_token(&token).unwrap().application;
    let auditor = World {
        server: world.server,
        token,
    };
    for path in [
        "/events",
        "/issuances",
        "/authentication-failures",
        "/applications",
        "/api-resources",
        "/roles",
        "/settings",
        "/signing-keys",
        "/policies",
        "/policy-bindings",
        "/trusted-issuers",
        "/initial-access-tokens",
        &path,
        &format!("{path}/authentication"),
        &format!("{path}/secrets"),
        &format!("{path}/authorized-apis"),
    ] {
        assert_eq!(auditor.get(path).await.status, StatusCode::OK, "{path}");
    }
    let mut stream = Following::open(&auditor, &auditor.token, "?from=0", None).await;
    stream.until("application.created").await;

    let head = auditor.server.head();
    let (mut reads, mut changes) = (0, 0);
    for route in routes() {
        // Its own application too: nobody makes more of themselves.
        for id in [id.clone(), own.to_string()] {
            let with = match route.path {
                path if path.starts_with("/api-resources") => "api_1",
                path if path.starts_with("/roles") => "role_1",
                path if path.starts_with("/trusted-issuers") => "issuer_1",
                path if path.starts_with("/initial-access-tokens") => "iat_1",
                path if path.starts_with("/policy-bindings") => "binding_1",
                path if path.starts_with("/policies") => super::DIGEST,
                path if path.starts_with("/applications") => &id,
                _ => "x",
            };
            let path =
                super::filled(route.path, with).replace(&format!("roles/{id}"), "roles/role_1");
            let path = path.replace(&format!("authorized-apis/{id}"), "authorized-apis/api_0");
            let path = match route.operation {
                "getProof" => format!("{path}?position=0"),
                "listUnusedAccess" => format!("{path}?days=1"),
                "getConsistency" => format!("{path}?old_size=1"),
                _ => path,
            };
            let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
            let body = Some(super::body_of(route.operation)).filter(|_| route.body.is_some());
            let answer = match (route.kind, route.operation) {
                (Kind::Stream, _) => continue,
                (_, "uploadPolicy") => {
                    let module = writ_sandbox::testkit::honest();
                    auditor.server.upload(&auditor.token, module).await
                }
                _ => {
                    auditor
                        .server
                        .call(&auditor.token, method, &path, &[], body)
                        .await
                }
            };
            match route.kind {
                Kind::Change { .. } => {
                    bad(&answer, 403, "scope_missing");
                    changes += 1;
                }
                Kind::Read | Kind::Live | Kind::Records | Kind::Stream | Kind::Document => {
                    let status = answer.status.as_u16();
                    assert!(matches!(status, 200 | 404), "{}: {status}", route.operation);
                    reads += 1;
                }
            }
        }
    }
    assert!(reads > 30 && changes > 50, "{reads} {changes}");
    assert_eq!(auditor.server.head(), head);
}
