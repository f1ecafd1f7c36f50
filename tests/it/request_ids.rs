//! One id for one request, everywhere: in the answer, in the event, in the issuance record and in
//! every line of the log.

use serde_json::{Value, json};
use writ_tests::{Start, Writ};

const TOKEN: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CHANGE: &str = "0af7651916cd43dd8448eb211c80319c";
const REFUSED: &str = "a0892f3577b34da6a3ce929d0e0e4736";
const DENIED: &str = "b7ad6b7169203331b7ad6b7169203331";

fn parent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

#[test]
fn a_trace_is_found_in_the_answer_the_event_the_record_and_the_log() {
    let mut writ = Writ::with(Start::default().with("WRIT_LOG_FILTER", "info,writ=debug"));
    let admin = writ.admin();
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    let job = admin.register_application("Job");
    admin.grant(&job, &api, &["a:use"]);

    let token = |trace: &str, scope: &str| {
        let call = writ.http().call("POST", "/oauth2/token");
        call.header("traceparent", parent(trace))
            .basic(&job.id, &job.secret)
            .form(&[("grant_type", "client_credentials"), ("scope", scope)])
            .send()
    };
    let granted = token(TOKEN, "a:use").expect(200);
    let denied = token(DENIED, "a:none").expect(400);
    let role = |trace: &str, name: &str| {
        let call = admin.call("POST", "/roles");
        call.header("traceparent", parent(trace))
            .json(&json!({ "name": name }))
            .send()
    };
    let changed = role(CHANGE, "Reader").expect(201);
    let refused = role(REFUSED, "Reader").expect(409);
    for (answer, trace) in [
        (&granted, TOKEN),
        (&denied, DENIED),
        (&changed, CHANGE),
        (&refused, REFUSED),
    ] {
        assert_eq!(answer.header("writ-request-id"), trace, "{answer}");
    }
    assert_eq!(refused.text("request_id"), REFUSED);

    let position: usize = changed.header("writ-position").parse().unwrap();
    let events = admin.events();
    assert_eq!(
        events[position]["event"]["corr"], CHANGE,
        "{}",
        events[position]
    );

    assert!(writ.stop().success());
    let lines: Vec<Value> = writ
        .process()
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let said = |trace: &str| -> Vec<&str> {
        let lines = lines.iter().filter(|line| line["request.id"] == trace);
        lines.filter_map(|line| line["message"].as_str()).collect()
    };
    assert_eq!(said(TOKEN), ["request"]);
    assert_eq!(said(DENIED), ["no token", "request"]);
    assert_eq!(said(CHANGE), ["request"]);
    assert_eq!(said(REFUSED), ["an admin call was refused", "request"]);

    // The record has the whole context: the trace goes on in it.
    let files = std::fs::read_dir(writ.data("issuance")).unwrap();
    let records: Vec<u8> = files
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let recorded = |trace: &str| {
        let wanted = format!("\"traceparent\":\"00-{trace}-");
        records
            .windows(wanted.len())
            .any(|bytes| bytes == wanted.as_bytes())
    };
    assert!(recorded(TOKEN) && recorded(DENIED));
    assert!(!recorded(CHANGE), "a change is no issuance");
}
