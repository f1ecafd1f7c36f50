//! What an explanation says: of an honest record, of one that was changed, and where something is
//! missing.

use super::history::{self, APIS, FACTS, scope};
use super::{explained, records};
use crate::audit::*;
use crate::config::Config;
use crate::issue::tests::policies::FIRST_SCOPE;
use crate::testing::TestServer;
use serde_json::json;
use tempfile::TempDir;
use writ_api as api;
use writ_api::ExplanationVerdict::{Differs, Equal, NotRebuilt};
use writ_core::{Event, Index, Jti, Millis, PolicyMode, PolicyTarget, Position, codec};
use writ_ledger::{IssuanceRecord, Outcome, PolicyNote, Verdict};
use writ_sandbox::testkit::{honest, module};

/// A server that was stopped, with one token that four policies judged, one of them in shadow.
struct Stopped {
    evidence: Evidence,
    record: IssuanceRecord,
    index: std::sync::Arc<Index>,
    config: Config,
    _directory: TempDir,
}

impl Stopped {
    async fn new() -> Self {
        let server = TestServer::new().restart_in(history::sandbox());
        // Not one of the milliseconds in which the policy denies.
        server
            .clock
            .set("2030-01-01T09:00:00.001Z".parse().unwrap());
        let scopes = [scope(0, "publish"), scope(0, "read")];
        let scopes = [scopes[0].as_str(), scopes[1].as_str()];
        let api = server.api(APIS[0], &scopes, Default::default()).await;
        let job = server.application(api, &scopes).await;
        for (target, mode, module) in [
            (PolicyTarget::Server, PolicyMode::Enforce, module(FACTS)),
            (
                PolicyTarget::ApiResource(api),
                PolicyMode::Enforce,
                honest(),
            ),
            (
                PolicyTarget::Application(job.id()),
                PolicyMode::Enforce,
                module(FIRST_SCOPE),
            ),
            (
                PolicyTarget::Application(job.id()),
                PolicyMode::Shadow,
                honest(),
            ),
        ] {
            server.bind(target, mode, &module, &["tier"]).await;
        }
        let answer = server.token(&job, &[("resource", APIS[0])]).await;
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.json());
        let (_directory, config) = server.stop();
        let evidence = Evidence::open(&config, history::sandbox()).unwrap();
        let record = records(&evidence).pop().unwrap();
        let index = evidence.walk().index_at(record.as_of).unwrap();
        Self {
            evidence,
            record,
            index,
            config,
            _directory,
        }
    }

    fn explained(&self, record: &IssuanceRecord) -> api::Explanation {
        explained(&self.evidence, &self.index, record)
    }

    fn doctored(&self, doctor: impl FnOnce(&mut IssuanceRecord)) -> api::Explanation {
        let mut record = self.record.clone();
        doctor(&mut record);
        self.explained(&record)
    }
}

fn paths(explanation: &api::Explanation) -> Vec<&str> {
    let differences = explanation.differences.iter();
    differences
        .map(|difference| difference.path.as_str())
        .collect()
}

#[actix_web::test]
async fn an_explanation_has_all_that_the_decision_rests_on() {
    let stopped = Stopped::new().await;
    let explanation = stopped.explained(&stopped.record);
    assert_eq!(explanation.verdict, Equal, "{explanation:#?}");
    assert_eq!(
        (explanation.outcome.as_str(), explanation.reason),
        ("granted", None)
    );
    assert_eq!(explanation.as_of, stopped.record.as_of.0);
    assert_eq!(explanation.application.name.as_deref(), Some("A job"));
    assert!(explanation.credential.created_at.is_some());
    assert_eq!(explanation.asked, None);
    assert_eq!(explanation.resources, [APIS[0]]);
    assert_eq!(explanation.grants[0].identifier, APIS[0]);
    let entitled = explanation.entitled.unwrap();
    let terms = explanation.terms.unwrap();
    assert_eq!((entitled.scopes.len(), entitled.lifetime_seconds), (2, 900));
    assert_eq!(terms.scopes, [scope(0, "publish")]);
    assert_eq!(terms.scopes, explanation.granted);
    assert_eq!(
        (terms.lifetime_seconds, &terms.claims["tier"]),
        (300, &json!("gold"))
    );
    let question = explanation.question.unwrap();
    assert_eq!(
        question.digest_recorded.as_deref(),
        Some(&*question.digest_now)
    );
    let attributes = &question.question["attributes"];
    assert_eq!(
        attributes[0],
        json!({"name": "auth.method", "value": "client_secret_post"})
    );
    let claims = question.question["claims"].as_array().unwrap();
    assert!(claims.contains(&json!({"name": "iss", "value": "https://writ.example"})));
    assert_eq!(explanation.policies.len(), 4);
    for policy in &explanation.policies {
        assert!(policy.equal && policy.recorded == policy.now && policy.now.is_some());
    }
    assert!(explanation.policies[3].shadow);
    let key = explanation.key.unwrap();
    assert_eq!(
        (key.algorithm.as_str(), key.state.as_str()),
        ("ES256", "active")
    );
    assert!(explanation.remarks.is_empty(), "{:?}", explanation.remarks);
}

#[actix_web::test]
async fn an_explanation_names_what_was_changed_in_a_record() {
    type Doctor = fn(&mut IssuanceRecord);
    let stopped = Stopped::new().await;
    let cases: [(&str, Doctor, &[&str]); 16] = [
        (
            "a note",
            |record| record.policies[0].notes[0].text = "nothing".into(),
            &["policies[0].notes[0].text"],
        ),
        (
            "a note more",
            |record| {
                record.policies[1].notes.push(PolicyNote {
                    name: "n".into(),
                    text: "t".into(),
                });
            },
            &["policies[1].notes"],
        ),
        (
            "a verdict",
            |record| {
                record.policies[1].verdict = Verdict::Permit {
                    scopes: None,
                    lifetime: Some(900),
                    claims: None,
                };
            },
            &[
                "policies[1].verdict.permit.lifetime",
                "policies[1].verdict.permit.scopes",
                "policies[1].verdict.permit.claims",
            ],
        ),
        (
            "a shadow's verdict",
            |record| {
                record.policies[3].verdict = Verdict::Deny {
                    code: "outside".into(),
                    reason: "r".into(),
                    description: None,
                };
            },
            &["policies[3].verdict.deny", "policies[3].verdict.permit"],
        ),
        (
            "fuel",
            |record| record.policies[2].fuel += 1,
            &["policies[2].fuel"],
        ),
        (
            "the settings of a policy",
            |record| record.policies[2].settings = "00".repeat(32).into(),
            &["policies[2].settings"],
        ),
        (
            "a policy less",
            |record| drop(record.policies.pop()),
            &["policies[3]"],
        ),
        (
            "what was granted",
            |record| record.granted.push(scope(0, "read").parse().unwrap()),
            &["granted[1]"],
        ),
        (
            "the end of the token",
            |record| record.exp = record.exp.map(|exp| exp.plus_seconds(1)),
            &["exp"],
        ),
        (
            "the digest of the question",
            |record| record.input = Some("00".repeat(32).into()),
            &["input"],
        ),
        (
            "a fact",
            |record| {
                let attributes = record.attributes.as_mut().unwrap();
                attributes["net.ip"] = json!("192.0.2.66");
            },
            &["input"],
        ),
        (
            "a fact that nobody reads",
            |record| {
                let attributes = record.attributes.as_mut().unwrap();
                attributes.insert("tls.client_cert.sha256".into(), json!("AA"));
            },
            &["attributes.tls.client_cert.sha256"],
        ),
        (
            "the outcome",
            |record| {
                let reason = "policy_denied".into();
                record.outcome = Outcome::Denied { reason };
            },
            &["outcome"],
        ),
        (
            "the moment",
            |record| record.at = record.at.plus_seconds(60),
            &["at"],
        ),
        (
            "the credential",
            |record| record.credential.id = "0".repeat(26).into(),
            &["credential.id"],
        ),
        (
            "the key",
            |record| record.kid = "another".parse().ok(),
            &["kid"],
        ),
    ];
    for (what, doctor, expected) in cases {
        let explanation = stopped.doctored(doctor);
        assert_eq!(explanation.verdict, Differs, "{what}");
        assert_eq!(paths(&explanation), expected, "{what}");
        for difference in &explanation.differences {
            assert_ne!(difference.recorded, difference.now, "{what}");
            assert!(difference.reason.is_some(), "{what}: {difference:?}");
        }
    }
    // Another application, or another clock, makes another question: all that follows from it does.
    let explanation = stopped.doctored(|record| record.clock = Some(Millis(record.at.0 + 15)));
    assert_eq!(explanation.verdict, Differs);
    assert!(paths(&explanation).contains(&"input"), "{explanation:#?}");
    let explanation = stopped.doctored(|record| record.application.0 ^= 1);
    assert_eq!(explanation.application.name, None);
    assert!(explanation.denial.is_some() && paths(&explanation).contains(&"outcome"));
}

#[actix_web::test]
async fn what_cannot_be_had_any_more_is_said() {
    let stopped = Stopped::new().await;
    let says = |explanation: &api::Explanation, what: &str| {
        let said = explanation.remarks.iter().any(|one| one.contains(what));
        assert!(said, "{what}: {:?}", explanation.remarks);
    };

    // Another engine is no difference by itself, and explains one.
    let other =
        |record: &mut IssuanceRecord| record.engine = Some("wasmtime-1.0.0/x/fuel-1".into());
    let explanation = stopped.doctored(other);
    assert_eq!(explanation.verdict, Equal);
    says(&explanation, "wasmtime-1.0.0");
    let explanation = stopped.doctored(|record| {
        other(record);
        record.policies[0].fuel += 1;
    });
    let reason = explanation.differences[0].reason.as_deref().unwrap();
    assert!(reason.contains("another engine"), "{reason}");

    // What was asked and is not kept is read as nothing that is granted.
    let explanation = stopped.doctored(|record| record.asked = vec!["[redacted]".into()]);
    assert_eq!(explanation.verdict, NotRebuilt);
    says(&explanation, "cannot be rebuilt");

    // The server's own trouble does not come again.
    let explanation = stopped.doctored(|record| {
        record.policies[1].verdict = Verdict::Fault {
            code: "pool_exhausted".into(),
            reason: "no sandbox is free".into(),
        };
        (record.policies[1].fuel, record.policies[1].notes) = (0, Vec::new());
        let reason = "policy_unavailable".into();
        record.outcome = Outcome::Fault { reason };
        record.granted.clear();
        (record.kid, record.alg, record.exp) = (None, None, None);
    });
    assert_eq!(explanation.verdict, Equal, "{explanation:#?}");
    says(&explanation, "the server's trouble");
    assert_eq!(explanation.policies[1].now, None);

    // Tokens that were taken back, and those that no key could sign.
    let token = stopped.record.id;
    let mut withdrawal = stopped.record.clone();
    withdrawal.id = Jti(token.0 + (1 << 80));
    withdrawal.at = withdrawal.id.millis();
    let unjudged = |record: &mut IssuanceRecord, reason: String| {
        (record.kid, record.alg, record.exp) = (None, None, None);
        (record.input, record.attributes, record.engine) = (None, None, None);
        record.granted.clear();
        record.policies.clear();
        record.outcome = Outcome::Fault {
            reason: reason.into(),
        };
    };
    unjudged(&mut withdrawal, format!("withdrawn: {token}"));
    assert_eq!(withdrawal_of(&withdrawal), Some(token));
    let explanation = stopped.explained(&withdrawal);
    assert_eq!(explanation.verdict, Equal, "{explanation:#?}");
    says(&explanation, &token.to_string());
    let scan = |records: Vec<IssuanceRecord>| {
        withdrawn_by(token, |from, visit| {
            assert_eq!(from, token.millis());
            for record in &records {
                if visit(record.id, &serde_json::to_vec(record).unwrap()).is_break() {
                    break;
                }
            }
            Ok(())
        })
        .unwrap()
    };
    let mut late = withdrawal.clone();
    late.id = Jti(token.0 + (100_000 << 80));
    assert_eq!(
        scan(vec![stopped.record.clone(), withdrawal.clone()]),
        Some(withdrawal.id)
    );
    assert_eq!(scan(vec![stopped.record.clone(), late]), None);
    let explanation = stopped.doctored(|record| unjudged(record, "no_signing_key".into()));
    assert_eq!(explanation.verdict, Equal, "{explanation:#?}");
    says(&explanation, "no key could sign");

    // Logs of older versions do not say the issuer.
    let mut index = Index::default();
    let log = stopped.evidence.log();
    for (position, bytes) in log.read(0, usize::MAX, usize::MAX).unwrap() {
        let mut recorded = codec::decode(Position(position), &bytes).unwrap();
        if let Event::ServerStarted(started) = &mut recorded.event {
            started.issuer = None;
        }
        if recorded.position <= stopped.record.as_of {
            index.apply(&recorded);
        }
    }
    let with = |issuer| {
        explain(
            &stopped.record,
            &index,
            &Surroundings {
                modules: &|judgement| stopped.evidence.modules().get(judgement),
                engine: stopped.evidence.modules().engine(),
                issuer,
                withdrawn_by: None,
            },
        )
    };
    let explanation = with(None);
    assert_eq!(explanation.verdict, NotRebuilt);
    assert_eq!(paths(&explanation), ["input"]);
    says(&explanation, "--issuer");
    assert_eq!(with(Some("https://writ.example")).verdict, Equal);
    let explanation = with(Some("https://other.example"));
    assert_eq!(explanation.verdict, NotRebuilt);
    says(&explanation, "--issuer");

    // A module that is lost.
    let Stopped {
        evidence,
        record,
        index,
        config,
        _directory,
    } = stopped;
    drop(evidence);
    std::fs::remove_dir_all(config.data_dir.join("blobs")).unwrap();
    let evidence = Evidence::open(&config, history::sandbox()).unwrap();
    let explanation = explained(&evidence, &index, &record);
    assert_eq!(explanation.verdict, NotRebuilt);
    says(&explanation, "is not in the data directory");
    assert!(
        explanation
            .policies
            .iter()
            .all(|policy| policy.not_asked.is_some())
    );
}

#[actix_web::test]
async fn a_walk_gives_the_index_as_of_any_position() {
    let stopped = Stopped::new().await;
    let last = stopped.record.as_of.0;
    let mut walk = stopped.evidence.walk();
    for position in [3, 7, 8, 8, 7, last, 5, 4, last - 1, 0, last] {
        let index = walk.index_at(Position(position)).unwrap();
        let fresh = stopped
            .evidence
            .walk()
            .index_at(Position(position))
            .unwrap();
        assert_eq!(index.head(), Some(Position(position)));
        assert!(index == fresh, "{position}");
    }
    assert!(walk.index_at(Position(last + 1)).is_err());
    let second = Evidence::open(&stopped.config, history::sandbox());
    let refused = second.unwrap_err().to_string();
    assert!(refused.contains("leaving out --data-dir"), "{refused}");
}

/// A server explains what it decided, by the admin API and to auditors only.
#[actix_web::test]
async fn a_server_explains_its_own_decisions() {
    let server = TestServer::new().restart_in(history::sandbox());
    let scopes = [scope(0, "read")];
    let scopes = [scopes[0].as_str()];
    let api = server.api(APIS[0], &scopes, Default::default()).await;
    let job = server.application(api, &scopes).await;
    let target = PolicyTarget::ApiResource(api);
    let (mode, claims) = (PolicyMode::Enforce, ["tier"]);
    let binding = server.bind(target, mode, &honest(), &claims).await;
    let _token = server.access_token(&job, &[("scope", scopes[0])]).await;
    let jti = server.app.issuances.last().unwrap();
    let as_of = server.head() - 1;
    // What it was decided by is not bound any more, nor ready.
    server
        .execute(writ_core::Command::UnbindPolicy { id: binding })
        .await;
    let admin = server.admin_token(&server.admin).await;
    let get = |path: String| {
        let (server, admin) = (&server, &admin);
        async move {
            let get = actix_web::http::Method::GET;
            server.call(admin, get, &path, &[], None).await
        }
    };
    let answer = get(format!("/issuances/{jti}/explanation")).await;
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.json());
    assert_eq!(answer.header("writ-position"), as_of.to_string());
    let explanation: api::Explanation = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(explanation.verdict, Equal, "{explanation:#?}");
    assert_eq!(explanation.policies[0].binding, binding.to_string());
    assert_eq!(explanation.withdrawn_by, None);
    for (path, status, code) in [
        (
            format!("/issuances/{jti}/explanation?as_of=3"),
            404,
            "issuance_unknown",
        ),
        (
            format!("/issuances/{}/explanation", Jti(1)),
            404,
            "issuance_unknown",
        ),
        (
            "/issuances/x/explanation".to_owned(),
            404,
            "issuance_unknown",
        ),
        (
            format!("/issuances/{jti}/explanation?as_of=99999"),
            400,
            "as_of_invalid",
        ),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{:?}", answer.json());
        assert_eq!(answer.json()["code"], code);
    }
}
