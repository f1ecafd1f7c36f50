//! A write that fails: the log it was for is read-only until a restart, health and readiness say so,
//! nothing that was not recorded is answered with success, and nothing acknowledged is lost. The
//! disk fails by a limit on the size of files (`ulimit -f`), which the kernel enforces.

use serde_json::json;
use writ_tests::{Answer, Start, Writ};

/// More than a fresh server has in any file, and little enough to be reached soon.
const SHELL: &str = "trap '' XFSZ; ulimit -f 600; exec \"$@\"";

/// More changes, or tokens, than such files hold.
const MANY: usize = 20_000;

fn on_a_small_disk() -> Writ {
    Writ::with(Start {
        shell: Some(SHELL.to_owned()),
        ..Start::default()
    })
}

fn after_a_restart(mut writ: Writ) -> Writ {
    writ.stop();
    let writ = writ.restart_as(Start::default());
    for path in ["/healthz", "/readyz"] {
        writ.ops().get(path).expect(200);
    }
    writ
}

#[track_caller]
fn assert_unhealthy(writ: &Writ, words: &str) {
    for path in ["/healthz", "/readyz"] {
        let answer = writ.ops().get(path).expect(503);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains(words), "{path}: {text}");
    }
}

#[test]
fn a_failed_write_of_the_admin_log_ends_changes_until_a_restart() {
    let writ = on_a_small_disk();
    let admin = writ.admin();
    let job = admin.register_application("Job");
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    admin.grant(&job, &api, &["a:use"]);
    let mut acknowledged = Vec::new();
    let change = |number: usize| {
        let body =
            json!({ "name": format!("Filler {number}"), "labels": { "a": "x".repeat(250) } });
        admin.post("/applications", &body)
    };
    let role = |number: usize| admin.post("/roles", &json!({ "name": format!("Role {number}") }));
    let refused: Answer = (0..MANY)
        .find_map(|number| {
            let answer = change(number);
            if answer.status == 201 {
                acknowledged.push(answer.text("id"));
                return None;
            }
            Some(answer)
        })
        .expect("the disk is small");
    assert_eq!(refused.status, 503, "{refused}");
    assert_eq!(refused.text("code"), "unavailable", "{refused}");
    assert_ne!(refused.header("retry-after"), "", "{refused}");
    assert!(acknowledged.len() > 10);
    assert_unhealthy(&writ, "cannot");

    // Also one that would still fit, and for good.
    assert_eq!(role(0).status, 503);
    let delete = admin.delete(&format!("/applications/{}", job.id));
    assert_eq!(delete.status, 503, "{delete}");
    // What was durable is served on, and tokens have a log of their own.
    admin
        .get(&format!("/applications/{}", acknowledged[0]))
        .expect(200);
    job.access_token(&[("scope", "a:use")]);
    let metrics = writ.ops().get("/metrics").expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("writ_writer_healthy 0"), "{metrics}");

    let writ = after_a_restart(writ);
    let admin = writ.admin();
    for id in acknowledged {
        admin.get(&format!("/applications/{id}")).expect(200);
    }
    admin.get(&format!("/applications/{}", job.id)).expect(200);
    admin
        .post("/roles", &json!({ "name": "Role 0" }))
        .expect(201);
}

#[test]
fn a_failed_write_of_the_issuance_log_ends_tokens_until_a_restart() {
    let writ = on_a_small_disk();
    let admin = writ.admin();
    let job = admin.register_application("Job");
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    admin.grant(&job, &api, &["a:use"]);
    let ask = [("scope", "a:use")];
    let mut granted = 0;
    let refused = (0..MANY)
        .find_map(|_| {
            let answer = job.token(&ask);
            granted += usize::from(answer.status == 200);
            (answer.status != 200).then_some(answer)
        })
        .expect("the disk is small");
    assert_eq!(refused.status, 503, "{refused}");
    assert!(refused.json().get("access_token").is_none(), "{refused}");
    assert_ne!(refused.header("retry-after"), "", "{refused}");
    assert!(granted > 10, "{granted}");
    assert_unhealthy(&writ, "the issuance log is read-only");
    assert_eq!(job.token(&ask).status, 503);
    // Whoever looks for the cause finds it by the id that the client was given.
    let id = refused.header("writ-request-id");
    let said = writ.said();
    let mut lines = said.lines().filter(|line| line.contains(id));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no line about {id}: {said}"));
    assert!(line.contains("no token could be issued"), "{line}");
    // A decision that refuses is recorded too, and so cannot be told either.
    assert_eq!(job.token(&[("scope", "no:such")]).status, 503);
    // The admin log is another file: who has a token can still revoke.
    admin
        .delete(&format!("/applications/{}?cascade=true", job.id))
        .expect(204);

    let writ = after_a_restart(writ);
    writ.admin();
}
