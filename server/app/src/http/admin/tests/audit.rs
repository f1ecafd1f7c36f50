//! What auditors read: the records of issuances and of authentication failures, and the stream of
//! events.

use super::{Answer, World, bad, good, text};
use actix_web::http::StatusCode;
use serde_json::{Value, json};
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
