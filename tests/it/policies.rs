//! Policies on a real server: modules go through the compiling process, tokens are judged, hostile
//! modules end as they should while other tokens flow, and a restart judges as before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use writ_sandbox::testkit;
use writ_tests::{Admin, Answer, Application, Writ, repository};

/// The module that the demo binds.
fn cap() -> Vec<u8> {
    let path = "policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm";
    fs::read(repository().join(path)).unwrap()
}

fn upload(admin: &Admin, module: Vec<u8>) -> Answer {
    let call = admin.call("POST", "/policies");
    call.body("application/wasm", module).send()
}

/// An API resource and an application that is granted its one scope.
fn api_and_job(admin: &Admin, name: &str) -> (String, Application, String) {
    let scope = format!("{name}:use");
    let api = admin.register_api(&format!("https://{name}.example"), &json!({}), &[&scope]);
    let job = admin.register_application(name);
    admin.grant(&job, &api, &[&scope]);
    (api, job, scope)
}

fn expires_in(job: &Application, scope: &str) -> u64 {
    let answer = job.token(&[("scope", scope)]).expect(200);
    answer.json()["expires_in"].as_u64().unwrap()
}

#[test]
fn a_policy_judges_across_kills_and_a_damaged_cache() {
    let mut writ = Writ::start();
    let admin = writ.admin();
    let (api, job, scope) = api_and_job(&admin, "capped");
    assert_eq!(expires_in(&job, &scope), 900);
    let policy = upload(&admin, cap()).expect(201);
    let bind = json!({
        "policy": policy.text("digest"),
        "target": format!("api_resource/{api}"),
        "settings": { "caps": ["capped:*=120"] },
    });
    let binding = admin.post("/policy-bindings", &bind).expect(201).text("id");
    assert_eq!(expires_in(&job, &scope), 120);

    writ = writ.kill_and_restart();
    let reconnected = |writ: &Writ| Application::new(writ.http(), &job.id, &job.secret);
    assert_eq!(expires_in(&reconnected(&writ), &scope), 120);
    // What is in the cache is native code: it is believed only if this server wrote it.
    writ.stop();
    let cached: Vec<_> = fs::read_dir(writ.data("policy-cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(cached.len(), 1, "{cached:?}");
    let mut bytes = fs::read(&cached[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&cached[0], bytes).unwrap();
    let writ = writ.restart();
    assert_eq!(expires_in(&reconnected(&writ), &scope), 120);
    assert!(writ.said().contains("does not verify"), "{}", writ.said());

    let admin = writ.admin();
    let caps = json!({ "settings": { "caps": ["capped:*=60"] } });
    let path = format!("/policy-bindings/{binding}");
    admin.patch(&path, &caps).expect(200);
    assert_eq!(expires_in(&reconnected(&writ), &scope), 60);
    admin
        .post(&format!("{path}/rollback"), &json!({}))
        .expect(200);
    assert_eq!(expires_in(&reconnected(&writ), &scope), 120);
    admin.delete(&path).expect(204);
    assert_eq!(expires_in(&reconnected(&writ), &scope), 900);
}

/// Each hostile module is uploaded to a real server and bound, if it is taken. Its own tokens are
/// denied; those of another API flow before, between and after; nothing is left behind.
#[test]
fn hostile_modules_harm_nobody_else() {
    let mut writ = Writ::start();
    let admin = writ.admin();
    let (api, victim, scope) = api_and_job(&admin, "judged");
    let (_, other, quiet) = api_and_job(&admin, "quiet");
    let pid = writ.process().id();
    let hostile: BTreeSet<String> = fs::read_dir(testkit::hostile_directory())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    assert!(hostile.len() > 40, "{hostile:?}");
    let round = || {
        let mut refused = 0;
        for name in &hostile {
            let Some(binding) = bound(&admin, name, &api) else {
                refused += 1;
                continue;
            };
            for _ in 0..5 {
                let answer = victim.token(&[("scope", &scope)]);
                if !name.starts_with("canary") {
                    assert_eq!(answer.status, 400, "{name}: {answer}");
                    assert_eq!(answer.text("error"), "access_denied", "{name}");
                }
            }
            assert_eq!(expires_in(&other, &quiet), 900, "after {name}");
            let path = format!("/policy-bindings/{binding}");
            admin.delete(&path).expect(204);
        }
        refused
    };
    let refused = round();
    assert!(
        (15..25).contains(&refused),
        "{refused} of {}",
        hostile.len()
    );
    assert_eq!(expires_in(&victim, &scope), 900);
    // What the first round has warmed up, the second needs no more of: a sandbox of each module
    // that was not given back would be a hundred MiB.
    let before = resident_mib(pid);
    assert_eq!(round(), refused);
    let after = resident_mib(pid);
    assert!(after < before + 48, "{before} MiB grew to {after} MiB");
    writ.ops().get("/readyz").expect(200);
    let metrics = writ.ops().get("/metrics").expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "writ_policy_sandboxes_in_use 0",
        "writ_policies_unavailable 0",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let left = children(pid);
    assert!(
        left.is_empty(),
        "compilers that nobody waited for: {left:?}"
    );
    assert_eq!(writ.stop().code(), Some(0));
}

/// Uploads a hostile module and binds it; nothing if it is refused at either.
fn bound(admin: &Admin, name: &str, api: &str) -> Option<String> {
    let answer = upload(admin, testkit::hostile(name));
    if answer.status == 422 {
        assert_eq!(answer.text("code"), "policy_rejected", "{name}: {answer}");
        return None;
    }
    assert!([200, 201].contains(&answer.status), "{name}: {answer}");
    let policy = answer.json();
    let bind = json!({
        "policy": policy["digest"],
        "target": format!("api_resource/{api}"),
        "claims": policy["claims"],
    });
    let bound = admin.post("/policy-bindings", &bind);
    if bound.status == 422 {
        assert_eq!(bound.text("code"), "settings_invalid", "{name}: {bound}");
        return None;
    }
    Some(bound.expect(201).text("id"))
}

/// A module that is dear to compile takes a processor of the compiling process, not of the server:
/// tokens flow meanwhile, none of them waits for the compiler.
#[test]
fn tokens_flow_while_modules_are_compiled() {
    let writ = Writ::start();
    let admin = writ.admin();
    let (_, job, scope) = api_and_job(&admin, "flowing");
    // As much as the limits let through.
    let locals = "i32 ".repeat(250);
    let mut body = String::new();
    for local in 1..=250 {
        body.push_str(&format!(
            "(local.set {local} (i32.add (local.get 0) (i32.const {local})))"
        ));
    }
    for turn in 0..2_000 {
        let local = turn % 250 + 1;
        body.push_str(&format!(
            "(if (local.get 0) (then (local.set {local} (local.get 0))))"
        ));
    }
    let module = (0..10).fold(String::new(), |text, number| {
        let locals = format!("(local {locals})");
        text + &format!(
            "(func $dear{number} (param i32) (result i32) {locals} {body} (local.get 0))"
        )
    });
    let module = testkit::module(&module);
    let begun = Instant::now();
    let (uploaded, took, slowest) = std::thread::scope(|threads| {
        let uploading = threads.spawn(|| (upload(&admin, module), begun.elapsed()));
        let mut slowest = Duration::ZERO;
        while !uploading.is_finished() {
            let asked = Instant::now();
            assert_eq!(expires_in(&job, &scope), 900);
            slowest = slowest.max(asked.elapsed());
        }
        let (uploaded, took) = uploading.join().unwrap();
        (uploaded, took, slowest)
    });
    assert!([201, 422].contains(&uploaded.status), "{uploaded}");
    assert!(
        slowest * 2 < took,
        "a token took {slowest:?} while a module was compiled for {took:?}"
    );
}

fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024
}

/// Processes whose parent is this one, also those that have ended and wait to be asked for.
fn children(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::read_to_string(Path::new(&path).join("stat")).unwrap_or_default();
        // The name is in parentheses and may have anything in it; state and parent follow.
        let Some((_, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        if rest.split_whitespace().nth(1) == Some(&pid.to_string()) {
            found.push(stat.lines().next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// What the demo says it does.
#[test]
fn the_demo_binds_a_policy() {
    let writ = Writ::with(writ_tests::Start {
        demo: true,
        ..writ_tests::Start::default()
    });
    let job = writ.demo_application();
    assert_eq!(expires_in(&job, "courses:read-approved"), 900);
    assert_eq!(expires_in(&job, "courses:publish"), 300);
    let admin = writ.admin();
    let bindings: Value = admin.get("/policy-bindings").expect(200).json();
    assert_eq!(bindings["items"][0]["policy_name"], "lifetime_cap_by_scope");
    // Who takes it away keeps it away.
    admin.delete("/policy-bindings/binding_0").expect(204);
    let writ = writ.restart();
    assert_eq!(expires_in(&writ.demo_application(), "courses:publish"), 900);
}
