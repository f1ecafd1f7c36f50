//! Tokens that are judged: by honest policies, by such that mean harm, and while they are replaced.

use super::*;
use crate::testing::Answer;
use serde_json::json;
use writ_core::{BindingId, Millis, PolicyMode, PolicyTarget, authorize};
use writ_ledger::{IssuanceRecord, Verdict};
use writ_sandbox::testkit::{honest, hostile, module};
use writ_sandbox::{Compiler, SandboxConfig};

/// Denies, with a code, a reason for auditors and a description for the application.
pub(crate) const DENIES: &str = r#"
(data $said (i32.const 3072) "because of the canary" "not now")
(func $evaluate (param i32) (result i32)
  (i32.store8 (i32.const 2308) (i32.const 1))
  (i32.store (i32.const 2312) (i32.const 1038))
  (i32.store (i32.const 2316) (i32.const 7))
  (i32.store (i32.const 2320) (i32.const 3072))
  (i32.store (i32.const 2324) (i32.const 21))
  (i32.store8 (i32.const 2328) (i32.const 1))
  (i32.store (i32.const 2332) (i32.const 3093))
  (i32.store (i32.const 2336) (i32.const 7))
  (i32.const 2304))
"#;

/// As the honest one, but for 200 s and with `tier` = `admin`.
pub(crate) const OTHER: &str = r#"
(data $claim (i32.const 2400)
  "\16\04\00\00\04\00\00\00" "\02\00\00\00\00\00\00\00" "\24\04\00\00\05\00\00\00")
(func $evaluate (param $request i32) (result i32)
  (i32.store8 (i32.const 2324) (i32.const 1))
  (i32.store (i32.const 2328) (i32.const 200))
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 1))
  (i32.const 2304))
"#;

/// Leaves the first of the scopes that it is asked about.
pub(crate) const FIRST_SCOPE: &str = r#"
(func $evaluate (param $request i32) (result i32)
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i32.store (i32.const 2316) (i32.load (i32.add (local.get $request) (i32.const 92))))
  (i32.store (i32.const 2320) (i32.const 1))
  (i32.const 2304))
"#;

/// Reads `net.ip`, and traps unless it is told that and nothing else.
pub(crate) const READS: &str = r#"
(data $descriptor (i32.const 2048)
  "\00\04\00\00\07\00\00\00" "\08\04\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
  "\00\00\00\00\00\00\00\00" "\70\0c\00\00\01\00\00\00" "\80\08\00\00\01\00\00\00"
  "\88\08\00\00\01\00\00\00")
(data $reads (i32.const 3184) "\80\0c\00\00\06\00\00\00" "\00\00\00\00\00\00\00\00" "net.ip")
(func $evaluate (param $request i32) (result i32)
  (if (i32.ne (i32.load (i32.add (local.get $request) (i32.const 108))) (i32.const 1))
    (then (unreachable)))
  (i32.const 2304))
"#;

const ENFORCE: PolicyMode = PolicyMode::Enforce;

async fn asked(server: &TestServer, job: &Job) -> Answer {
    server.token(job, &[("scope", "courses:read")]).await
}

fn last_record(server: &TestServer) -> IssuanceRecord {
    let last = server.app.issuances.last().unwrap();
    server.app.issuances.find(last).unwrap().unwrap()
}

/// The claims of a token that was answered.
fn claims(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.json());
    let body = answer.json();
    let token = body["access_token"].as_str().unwrap().to_owned();
    let payload = token.split('.').nth(1).unwrap();
    let payload =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
    let mut claims: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    claims["expires_in"] = body["expires_in"].clone();
    claims
}

#[actix_web::test]
async fn a_policy_shortens_a_token_and_adds_what_it_may() {
    let (server, api, job) = world().await;
    let before = claims(&asked(&server, &job).await);
    assert_eq!(before["expires_in"], 900);
    assert!(last_record(&server).policies.is_empty());

    let target = PolicyTarget::ApiResource(api);
    let id = server.bind(target, ENFORCE, &honest(), &["tier"]).await;
    let answer = asked(&server, &job).await;
    let after = claims(&answer);
    assert_eq!(after["expires_in"], 300);
    assert_eq!(
        after["exp"].as_u64().unwrap() - after["iat"].as_u64().unwrap(),
        300
    );
    assert_eq!(after["tier"], "gold");
    assert_eq!(after["sub"], before["sub"]);
    // A guard hears of it too.
    let guard = Command::ChangeApiResource {
        id: api,
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(vec![job.id()]),
    };
    server.execute(guard).await;
    let body = answer.json();
    let form = [
        ("client_id", job.client_id.as_str()),
        ("client_secret", job.client_secret.as_str()),
        ("token", body["access_token"].as_str().unwrap()),
    ];
    let active = server.post("/oauth2/introspect", &form).await.json();
    assert_eq!(
        (&active["active"], &active["tier"]),
        (&json!(true), &json!("gold"))
    );

    let record = last_record(&server);
    assert_eq!(record.id.to_string(), after["jti"]);
    assert_eq!(record.outcome, Outcome::Granted);
    let [verdict] = record.policies.as_slice() else {
        panic!("{:?}", record.policies)
    };
    let index = server.app.index();
    let judgement = &index.policy_binding(id).unwrap().judgement;
    assert_eq!(*verdict.binding, *id.to_string());
    assert_eq!(*verdict.policy, *judgement.policy.to_string());
    assert_eq!(
        *verdict.settings,
        writ_core::codec::hex(&judgement.settings_digest)
    );
    assert!(verdict.fuel > 100 && !verdict.shadow);
    assert_eq!(
        verdict.verdict,
        Verdict::Permit {
            scopes: Some(vec!["courses:read".parse().unwrap()]),
            lifetime: Some(300),
            claims: json!({"tier": "gold"}).as_object().cloned(),
        }
    );
    assert_eq!(record.input.unwrap().len(), 64);
    assert_eq!(record.engine.as_ref(), Some(server.app.policies.engine()));
    assert_eq!(record.attributes, None, "it reads nothing");
    assert_eq!(record.clock, None);
}

#[actix_web::test]
async fn a_policy_narrows_the_scopes_and_the_answer_says_so() {
    let (server, api, job) = world().await;
    let target = PolicyTarget::ApiResource(api);
    server
        .bind(target, ENFORCE, &module(FIRST_SCOPE), &[])
        .await;
    let answer = server
        .token(&job, &[("scope", "courses:read courses:publish")])
        .await;
    let body = answer.json();
    assert_eq!(body["scope"], "courses:publish");
    assert_eq!(claims(&answer)["scope"], "courses:publish");
    let granted = last_record(&server).granted;
    assert_eq!(granted, ["courses:publish".parse().unwrap()]);
}

/// A policy that leaves one API resource nothing takes it out of the audience.
#[actix_web::test]
async fn an_api_that_is_left_nothing_is_no_audience() {
    let (server, api, job) = world().await;
    let other = server
        .api(
            "https://grades.example/api",
            &["zgrades:read"],
            TokenProfile::default(),
        )
        .await;
    server
        .execute(Command::AddGrant {
            application: job.id(),
            api: other,
            mode: GrantMode::None,
            scopes: vec!["zgrades:read".parse().unwrap()],
        })
        .await;
    let target = PolicyTarget::ApiResource(api);
    server
        .bind(target, ENFORCE, &module(FIRST_SCOPE), &[])
        .await;
    let both = [
        ("scope", "courses:read zgrades:read"),
        ("resource", API),
        ("resource", "https://grades.example/api"),
    ];
    let claims = claims(&server.token(&job, &both).await);
    assert_eq!(
        (&claims["aud"], &claims["scope"]),
        (&json!(API), &json!("courses:read"))
    );
}

#[actix_web::test]
async fn a_denial_tells_the_application_what_it_may_know_and_the_audit_the_rest() {
    let (server, _, job) = world().await;
    let module = module(DENIES);
    server
        .bind(PolicyTarget::Server, ENFORCE, &module, &[])
        .await;
    let answer = asked(&server, &job).await;
    assert_eq!(answer.status.as_u16(), 400);
    let body = answer.json();
    assert_eq!(body["error"], "access_denied");
    assert_eq!(body["error_description"], "not now");
    assert!(!String::from_utf8_lossy(&answer.body).contains("canary"));
    let record = last_record(&server);
    let reason = "policy_denied".into();
    assert_eq!(record.outcome, Outcome::Denied { reason });
    assert!(record.granted.is_empty() && record.kid.is_none());
    assert_eq!(
        record.policies[0].verdict,
        Verdict::Deny {
            code: "outside".into(),
            reason: "because of the canary".into(),
            description: Some("not now".into()),
        }
    );
    let metrics = server.app.metrics.encode();
    assert!(
        metrics.contains("writ_policy_verdicts_total{verdict=\"deny\"} 1"),
        "{metrics}"
    );
}

#[actix_web::test]
async fn a_shadow_is_asked_and_not_obeyed() {
    let (server, _, job) = world().await;
    for module in [module(DENIES), hostile("unreachable"), module(OTHER)] {
        let claims = ["tier"];
        server
            .bind(PolicyTarget::Server, PolicyMode::Shadow, &module, &claims)
            .await;
    }
    let claims = claims(&asked(&server, &job).await);
    assert_eq!(
        (&claims["expires_in"], &claims["tier"]),
        (&json!(900), &json!(null))
    );
    let record = last_record(&server);
    assert_eq!(record.outcome, Outcome::Granted);
    assert!(record.policies.iter().all(|verdict| verdict.shadow));
    let kinds: Vec<&str> = record
        .policies
        .iter()
        .map(|verdict| match verdict.verdict {
            Verdict::Permit { .. } => "permit",
            Verdict::Deny { .. } => "deny",
            Verdict::Fault { .. } => "fault",
        })
        .collect();
    assert_eq!(kinds, ["deny", "fault", "permit"]);
}

#[actix_web::test]
async fn a_claim_that_the_binding_does_not_permit_is_a_fault() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &honest(), &[])
        .await;
    let answer = asked(&server, &job).await;
    assert_eq!(answer.json()["error"], "access_denied");
    let record = last_record(&server);
    let Verdict::Fault { code, reason } = &record.policies[0].verdict else {
        panic!("{:?}", record.policies)
    };
    assert_eq!(&**code, "overstepped");
    assert!(
        reason.contains("`tier`") && reason.contains("binding_0"),
        "{reason}"
    );
    let reason = "policy_fault".into();
    assert_eq!(record.outcome, Outcome::Fault { reason });
}

#[actix_web::test]
async fn policies_that_contradict_each_other_deny() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &honest(), &["tier"])
        .await;
    // The same again is no contradiction.
    let target = PolicyTarget::Application(job.id());
    server.bind(target, ENFORCE, &honest(), &["tier"]).await;
    assert_eq!(claims(&asked(&server, &job).await)["tier"], "gold");
    server
        .bind(target, ENFORCE, &module(OTHER), &["tier"])
        .await;
    let answer = asked(&server, &job).await;
    assert_eq!(answer.json()["error"], "access_denied");
    let record = last_record(&server);
    let reason = "policies_disagree".into();
    assert_eq!(record.outcome, Outcome::Fault { reason });
    assert_eq!(record.policies.len(), 3);
}

/// Every hostile module that loads is bound to one API resource. It denies there, each time, and
/// nobody else notices; those that are refused at the door change nothing.
#[actix_web::test]
async fn hostile_policies_deny_their_tokens_and_nobody_elses() {
    let (server, api, job) = world().await;
    let quiet = server
        .api(
            "https://quiet.example/api",
            &["quiet:read"],
            TokenProfile::default(),
        )
        .await;
    let other = server.application(quiet, &["quiet:read"]).await;
    let admin = server.admin_token(&server.admin).await;
    let target = PolicyTarget::ApiResource(api);
    let (mut bound, mut refused) = (0, 0);
    let mut names: Vec<_> = std::fs::read_dir(writ_sandbox::testkit::hostile_directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let answer = server.upload(&admin, hostile(&name)).await;
        let body = answer.json();
        match answer.status.as_u16() {
            201 => {}
            422 => {
                assert_eq!(body["code"], "policy_rejected", "{name}");
                assert!(!body["reasons"].as_array().unwrap().is_empty());
                refused += 1;
                continue;
            }
            status => panic!("{name}: {status} {body}"),
        }
        bound += 1;
        let bind = json!({
            "policy": body["digest"],
            "target": format!("api_resource/{api}"),
            "claims": body["claims"],
        });
        let post = actix_web::http::Method::POST;
        let answer = server
            .call(&admin, post, "/policy-bindings", &[], Some(bind))
            .await;
        // These cannot be asked about settings either.
        if ["realloc_out_of_bounds", "validate_traps"].contains(&name.as_str()) {
            assert_eq!(
                answer.json()["code"],
                "settings_invalid",
                "{:?}",
                answer.json()
            );
            continue;
        }
        assert_eq!(answer.status.as_u16(), 201, "{name}: {:?}", answer.json());
        let answer = asked(&server, &job).await;
        let record = last_record(&server);
        if name.starts_with("canary") {
            assert_eq!(answer.status.as_u16(), 200, "{name}");
        } else {
            assert_eq!(answer.status.as_u16(), 400, "{name}: {:?}", answer.json());
            assert_eq!(answer.json()["error"], "access_denied", "{name}");
            let fault = matches!(record.policies[0].verdict, Verdict::Fault { .. });
            assert!(fault, "{name}: {:?}", record.policies);
        }
        let answer = server.token(&other, &[("scope", "quiet:read")]).await;
        assert_eq!(answer.status.as_u16(), 200, "after {name}");
        let id: BindingId = server.app.index().bound(target)[0].id;
        server.execute(Command::UnbindPolicy { id }).await;
    }
    assert!(
        bound > 20 && refused > 15,
        "{bound} bound, {refused} refused"
    );
    assert_eq!(asked(&server, &job).await.status.as_u16(), 200);
    assert_eq!(server.app.policies.in_use(), 0, "every sandbox came back");
}

#[actix_web::test]
async fn a_policy_of_the_server_does_not_lock_administrators_out() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &module(DENIES), &[])
        .await;
    assert_eq!(asked(&server, &job).await.status.as_u16(), 400);
    let token = server.admin_token(&server.admin).await;
    let delete = actix_web::http::Method::DELETE;
    let answer = server
        .call(&token, delete, "/policy-bindings/binding_0", &[], None)
        .await;
    assert_eq!(answer.status.as_u16(), 204, "{:?}", answer.json());
    assert_eq!(asked(&server, &job).await.status.as_u16(), 200);
    // Who binds one to the management API says so.
    let management = server.app.index().management().unwrap().id;
    let target = PolicyTarget::ApiResource(management);
    server.bind(target, ENFORCE, &module(DENIES), &[]).await;
    let resource = [("resource", writ_core::MANAGEMENT_IDENTIFIER)];
    let answer = server.token(&server.admin, &resource).await;
    assert_eq!(answer.json()["error"], "access_denied");
}

#[actix_web::test]
async fn a_policy_is_told_what_it_reads_and_only_that_is_recorded() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &module(READS), &[])
        .await;
    let more = Request {
        source: "::ffff:192.0.2.7".parse().unwrap(),
        user_agent: Some("canary-agent"),
        certificate: Some(crate::client_certificate::tests::of_digest([7; 32])),
        ..request(&job)
    };
    issue(&server.app, &more).await.unwrap();
    let record = last_record(&server);
    assert_eq!(
        record.attributes,
        json!({"net.ip": "192.0.2.7"}).as_object().cloned()
    );
    assert!(!serde_json::to_string(&record).unwrap().contains("canary"));
    // What the clock says is recorded where it is not what the id says.
    let now = server.app.now();
    server.clock.set(Millis(now.0 - 3_600_000));
    issue(&server.app, &more).await.unwrap();
    let record = last_record(&server);
    assert_eq!(record.clock, Some(server.app.now()));
    assert!(record.at >= now);
}

/// What the record says is enough to ask the policies again, and to know that it is the same.
#[actix_web::test]
async fn the_recorded_question_can_be_asked_again() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &module(READS), &[])
        .await;
    issue(&server.app, &request(&job)).await.unwrap();
    let record = last_record(&server);
    let index = server
        .app
        .ledger
        .index_as_of(record.as_of)
        .unwrap()
        .unwrap();
    let asked = record.asked.join(" ");
    let resources: Vec<&str> = record.resources.iter().map(|one| &**one).collect();
    let entitled = authorize(
        &index,
        record.application,
        Ask {
            scope: Some(&asked),
            resources: &resources,
            ..Ask::default()
        },
    )
    .unwrap();
    let attributes = record.attributes.unwrap();
    let hearing = panel::hear(
        |judgement| server.app.policies.get(judgement),
        &panel::Question {
            entitled: &entitled,
            id: record.id,
            at: record.clock.unwrap_or(record.at),
            grant_type: GrantType::default().as_str(),
            facts: Facts {
                auth_method: Some(&record.credential.method),
                ip: attributes["net.ip"].as_str().unwrap().parse().ok(),
                ..Facts::default()
            },
            issuer: server.app.issuer.as_str(),
        },
    );
    let input = writ_core::codec::hex(&hearing.input);
    assert_eq!(record.input.as_deref(), Some(&*input));
    let (records, _) = panel::conclude(&entitled, &hearing.opinions);
    assert_eq!(records, record.policies);
}

/// A policy whose module is lost cannot be asked: its tokens are refused, administration goes on,
/// and unbinding it helps.
#[actix_web::test]
async fn a_policy_that_cannot_be_asked_is_the_servers_trouble() {
    let (server, api, job) = world().await;
    let target = PolicyTarget::ApiResource(api);
    server.bind(target, ENFORCE, &honest(), &["tier"]).await;
    let data = server.data_dir().to_owned();
    std::fs::remove_dir_all(data.join("blobs")).unwrap();
    let server = server.restart();
    assert_eq!(server.app.unready(), None);
    let answer = asked(&server, &job).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    let reason = "policy_unavailable".into();
    assert_eq!(last_record(&server).outcome, Outcome::Fault { reason });
    let metrics = server.app.metrics.encode();
    assert!(metrics.contains("writ_policies_unavailable 1"), "{metrics}");

    let id = server.app.index().bound(target)[0].id;
    server.execute(Command::UnbindPolicy { id }).await;
    assert_eq!(asked(&server, &job).await.status.as_u16(), 200);
    let metrics = server.app.metrics.encode();
    assert!(metrics.contains("writ_policies_unavailable 0"), "{metrics}");
}

#[actix_web::test]
async fn a_restart_asks_the_same_policies_without_compiling() {
    let (server, _, job) = world().await;
    server
        .bind(PolicyTarget::Server, ENFORCE, &honest(), &["tier"])
        .await;
    claims(&asked(&server, &job).await);
    let before = last_record(&server);
    let server = server.restart_in(SandboxConfig {
        compiler: Compiler::Child {
            program: "/nowhere".into(),
            args: Vec::new(),
        },
        ..SandboxConfig::default()
    });
    let after = claims(&asked(&server, &job).await);
    assert_eq!(
        (&after["tier"], &after["expires_in"]),
        (&json!("gold"), &json!(300))
    );
    let record = last_record(&server);
    assert_eq!(
        record.policies, before.policies,
        "fuel and answer are the same"
    );
    assert_eq!(record.engine, before.engine);
}

/// Three notes of a thousand control characters: two of it are more than a record holds.
pub(crate) const TALKS: &str = r#"
(memory $memory 3)
(func $evaluate (param $request i32) (result i32)
  (local $note i32)
  (memory.fill (i32.const 8192) (i32.const 1) (i32.const 1000))
  (loop $again
    (i32.store (i32.add (i32.const 4096) (local.get $note)) (i32.const 1024))
    (i32.store (i32.add (i32.const 4100) (local.get $note)) (i32.const 1))
    (i32.store (i32.add (i32.const 4104) (local.get $note)) (i32.const 8192))
    (i32.store (i32.add (i32.const 4108) (local.get $note)) (i32.const 1000))
    (local.set $note (i32.add (local.get $note) (i32.const 16)))
    (br_if $again (i32.lt_u (local.get $note) (i32.const 48))))
  (i32.store (i32.const 2340) (i32.const 4096))
  (i32.store (i32.const 2344) (i32.const 3))
  (i32.const 2304))
"#;

/// A shadow decides nothing, also when it says more than a record holds. One that is obeyed and does
/// so denies: what it says could not be shown later.
#[actix_web::test]
async fn a_policy_that_says_too_much_denies_only_where_it_is_obeyed() {
    let (server, _, job) = world().await;
    let (shadow, talks) = (PolicyMode::Shadow, module(TALKS));
    server.bind(PolicyTarget::Server, shadow, &talks, &[]).await;
    let id = server.bind(PolicyTarget::Server, shadow, &talks, &[]).await;
    claims(&asked(&server, &job).await);
    let record = last_record(&server);
    assert_eq!(record.policies.len(), 2);
    let short = |verdict: &writ_ledger::PolicyRecord| verdict.notes.is_empty();
    assert!(record.policies.iter().any(short), "{:?}", record.policies);
    let obey = |id| Command::ChangePolicyBinding {
        id,
        mode: Some(ENFORCE),
        order: None,
        judgement: None,
    };
    server.execute(obey(id)).await;
    claims(&asked(&server, &job).await);
    server.execute(obey(BindingId(id.0 - 1))).await;
    let answer = asked(&server, &job).await;
    assert_eq!(answer.json()["error"], "access_denied");
    let reason = "policies_say_too_much".into();
    assert_eq!(last_record(&server).outcome, Outcome::Fault { reason });
}

/// Policies that burn all their fuel do not hold a thread up for as long as there are policies.
#[actix_web::test]
async fn the_policies_of_a_token_share_a_budget_of_fuel() {
    let (server, _, job) = world().await;
    for _ in 0..8 {
        server
            .bind(
                PolicyTarget::Server,
                PolicyMode::Shadow,
                &hostile("loop"),
                &[],
            )
            .await;
    }
    claims(&asked(&server, &job).await);
    let fuel: Vec<u64> = last_record(&server)
        .policies
        .iter()
        .map(|verdict| verdict.fuel)
        .collect();
    let all = writ_sandbox::FUEL;
    assert_eq!(fuel, [all, all, all, all, 0, 0, 0, 0]);
    // Shadows take nothing from those that are obeyed, though they are asked first.
    server
        .bind(PolicyTarget::Server, ENFORCE, &honest(), &["tier"])
        .await;
    assert_eq!(claims(&asked(&server, &job).await)["tier"], "gold");
}

#[actix_web::test]
async fn a_full_pool_is_the_servers_trouble() {
    let (server, _, job) = world().await;
    server
        .bind(
            PolicyTarget::Server,
            PolicyMode::Shadow,
            &hostile("loop"),
            &[],
        )
        .await;
    let server = server.restart_in(SandboxConfig {
        pool: 1,
        fuel: u64::MAX / 2,
        epoch_ticks: 200,
        ..SandboxConfig::default()
    });
    let index = server.app.index();
    let looping = &index.bound(PolicyTarget::Server)[0].judgement;
    let looping = server.app.policies.get(looping).unwrap();
    let (other, _pin) = server.judgement(&honest(), &["tier"]).await;
    let unbind = Command::UnbindPolicy { id: BindingId(0) };
    server.execute(unbind).await;
    server
        .execute(Command::BindPolicy {
            target: PolicyTarget::Server,
            mode: ENFORCE,
            order: 1,
            judgement: other,
        })
        .await;
    claims(&asked(&server, &job).await);
    let looping = std::thread::spawn(move || {
        let question = writ_sandbox::Request::default();
        looping.policy.evaluate(&question, &looping.settings)
    });
    while server.app.policies.in_use() == 0 {
        assert!(
            !looping.is_finished(),
            "it had the one place and nobody saw it"
        );
        std::thread::yield_now();
    }
    let answer = asked(&server, &job).await;
    assert_eq!(answer.status.as_u16(), 503, "{:?}", answer.json());
    assert_eq!(answer.header("retry-after"), "1");
    let record = last_record(&server);
    let reason = "policy_unavailable".into();
    assert_eq!(record.outcome, Outcome::Fault { reason });
    let Verdict::Fault { code, .. } = &record.policies[0].verdict else {
        panic!("{:?}", record.policies)
    };
    assert_eq!(&**code, "pool_exhausted");
    looping.join().unwrap();
    claims(&asked(&server, &job).await);
}

/// What somebody is about to bind stays ready, whatever is forgotten meanwhile; and what was not
/// bound after all is forgotten.
#[actix_web::test]
async fn what_is_about_to_be_bound_is_not_forgotten() {
    let (server, api, job) = world().await;
    let target = PolicyTarget::ApiResource(api);
    let (judgement, pin) = server.judgement(&honest(), &["tier"]).await;
    // Somebody else's change, between making ready and binding.
    let other = server
        .bind(target, ENFORCE, &module(OTHER), &["tier"])
        .await;
    server.execute(Command::UnbindPolicy { id: other }).await;
    assert!(server.app.policies.get(&judgement).is_some());
    server
        .execute(Command::BindPolicy {
            target,
            mode: ENFORCE,
            order: 1,
            judgement: judgement.clone(),
        })
        .await;
    drop(pin);
    assert_eq!(claims(&asked(&server, &job).await)["tier"], "gold");
    let id = server.app.index().bound(target)[0].id;
    server.execute(Command::UnbindPolicy { id }).await;
    assert_eq!(server.app.policies.ready(), 0);

    let (_, pin) = server.judgement(&honest(), &["tier"]).await;
    assert_eq!(server.app.policies.ready(), 1);
    drop(pin);
    assert_eq!(server.app.policies.ready(), 0);
}

/// While a binding goes back and forth between two policies with different settings, every token is
/// one of the two, whole.
#[actix_web::test]
async fn a_token_sees_the_old_policy_or_the_new_one() {
    let (server, api, job) = world().await;
    let target = PolicyTarget::ApiResource(api);
    let id = server.bind(target, ENFORCE, &honest(), &["tier"]).await;
    let (other, _pin) = server.judgement(&module(OTHER), &["tier"]).await;
    let change = Command::ChangePolicyBinding {
        id,
        mode: None,
        order: None,
        judgement: Some(other),
    };
    server.execute(change).await;
    let asking = async {
        let (mut old, mut new, mut unsettled) = (0, 0, 0);
        for _ in 0..400 {
            match issue(&server.app, &request(&job)).await {
                Ok(answer) => {
                    let token = server.app.validate_token(answer.access_token()).unwrap();
                    let tier = token.claims.more["tier"].as_str().unwrap().to_owned();
                    match (answer.expires_in_seconds(), tier.as_str()) {
                        (300, "gold") => old += 1,
                        (200, "admin") => new += 1,
                        half => panic!("half of each: {half:?}"),
                    }
                }
                Err(IssueError::Unsettled) => unsettled += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (old, new, unsettled)
    };
    let changing = async {
        for round in 0..40 {
            server.execute(Command::RollBackPolicyBinding { id }).await;
            // Who was told that a change is in force sees it.
            let answer = issue(&server.app, &request(&job)).await.unwrap();
            let expected = if round % 2 == 0 { 300 } else { 200 };
            assert_eq!(answer.expires_in_seconds(), expected, "round {round}");
        }
    };
    let ((old, new, unsettled), ()) = tokio::join!(asking, changing);
    assert!(
        old > 0 && new > 0,
        "no race was run: {old} {new} {unsettled}"
    );
}

/// A token that was decided before a policy was bound does not leave after that was acknowledged.
#[actix_web::test]
async fn a_token_stands_only_while_its_policies_do() {
    let (server, api, job) = world().await;
    let stands = |token: &RecordedToken| token.still_stands(&server.app);
    let token = recorded(&server, &job).await;
    let target = PolicyTarget::ApiResource(api);
    let id = server.bind(target, ENFORCE, &honest(), &["tier"]).await;
    assert!(!stands(&token));
    let token = recorded(&server, &job).await;
    assert!(stands(&token));
    server.execute(Command::UnbindPolicy { id }).await;
    assert!(!stands(&token));
}
