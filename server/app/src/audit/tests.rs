//! Recorded decisions, explained: each of a long random run, and such as were changed afterwards.

#![expect(clippy::unwrap_used, reason = "tests")]

mod backtests;
mod explanations;
mod history;

use super::*;
use history::{History, SEED};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use writ_api as api;
use writ_api::ExplanationVerdict::Equal;
use writ_core::{Index, Millis};
use writ_ledger::{IssuanceRecord, Verdict};

/// How many decisions the long run makes.
const DECISIONS: usize = 10_000;

fn records(evidence: &Evidence) -> Vec<IssuanceRecord> {
    let mut records = Vec::new();
    evidence
        .issuances()
        .scan(Millis(0), &mut |_, bytes| {
            records.push(serde_json::from_slice(bytes).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn explained(evidence: &Evidence, index: &Index, record: &IssuanceRecord) -> api::Explanation {
    explain(
        record,
        index,
        &Surroundings {
            modules: &|judgement| evidence.modules().get(judgement),
            engine: evidence.modules().engine(),
            issuer: None,
            withdrawn_by: None,
        },
    )
}

/// Whatever changed between decisions and however often the server was started, each of them is
/// explained from what is on the disk.
#[actix_web::test]
async fn every_decision_of_a_long_run_is_explained() {
    let mut history = History::begin(SEED).await;
    while history.decisions < DECISIONS {
        history.step().await;
    }
    let (decisions, restarts) = (history.decisions, history.restarts);
    let (_directory, config) = history.end();
    let evidence = Evidence::open(&config, history::sandbox()).unwrap();
    let records = records(&evidence);
    assert_eq!(records.len(), decisions, "each decision has one record");

    let mut walk = evidence.walk();
    let mut seen = BTreeMap::<String, usize>::new();
    let mut note = |what: String| *seen.entry(what).or_default() += 1;
    for record in &records {
        let index = walk.index_at(record.as_of).unwrap();
        let explanation = explained(&evidence, &index, record);
        assert_eq!(
            explanation.verdict,
            Equal,
            "seed {SEED}: {}\n{}",
            serde_json::to_string_pretty(&explanation).unwrap(),
            serde_json::to_string(record).unwrap(),
        );
        let reason = explanation.reason.as_deref().unwrap_or_default();
        note(format!("{} {reason}", explanation.outcome));
        note(format!("{} policies", explanation.policies.len().min(6)));
        note(format!("issuer {}", index.issuer().unwrap()));
        for policy in &record.policies {
            let verdict = match &policy.verdict {
                Verdict::Permit { claims, scopes, .. } => {
                    format!("permit{:?}{:?}", claims.is_some(), scopes.is_some())
                }
                Verdict::Deny { code, .. } | Verdict::Fault { code, .. } => code.to_string(),
            };
            note(format!("{verdict} shadow {}", policy.shadow));
            if policy.fuel == 0 {
                note("cut off".to_owned());
            }
        }
        let flags = [
            ("clock", record.clock.is_some()),
            ("attributes", record.attributes.is_some()),
            ("omitted", record.asked.is_empty()),
            (
                "redacted",
                record.asked.iter().any(|asked| **asked == *"[redacted]"),
            ),
            ("address", record.address.is_some()),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is)| *is) {
            note(name.to_owned());
        }
    }
    // What did not come up was not tested.
    for wanted in [
        "granted ",
        "denied scope_malformed",
        "denied scopes_unauthorized",
        "denied nothing_to_grant",
        "denied too_many_resources",
        "denied resource_unauthorized",
        "denied several_resources",
        "denied profiles_differ",
        "denied management_alone",
        "denied policy_denied",
        "denied policies_leave_nothing",
        "fault policy_fault",
        "fault policies_disagree",
        "fault policies_say_too_much",
        "fault policy_unavailable",
        "0 policies",
        "1 policies",
        "6 policies",
        "cut off",
        "clock",
        "attributes",
        "omitted",
        "redacted",
        "address",
    ] {
        assert!(seen.contains_key(wanted), "never seen: {wanted}; {seen:#?}");
    }
    assert!(restarts > 10, "{restarts} restarts");
}

/// Two states that differ in nothing but what `Debug` leaves out.
#[test]
fn the_digest_of_an_index_is_of_the_digests_of_credentials_too() {
    use writ_core::testkit::*;
    use writ_core::{ApplicationId, Command, CredentialDigest, InitialAccessTokenId};
    let with = |number: u128, own: u128| {
        let mut log = Log::base();
        let mut create = create_initial_access_token(&[]);
        if let Command::CreateInitialAccessToken { digest: it, .. } = &mut create {
            *it = CredentialDigest(digest(number));
        }
        log.run(&admin(), create);
        let (token, id) = (InitialAccessTokenId(0), ApplicationId(7));
        let metadata = client_metadata(writ_core::AuthenticationMethod::PrivateKeyJwt);
        let mut command = register(token, id, metadata);
        if let Command::RegisterApplication { registration, .. } = &mut command {
            registration.digest = CredentialDigest(digest(own));
        }
        log.run(&registrant(token), command);
        index_digest(&log.index)
    };
    assert_eq!(with(1, 2), with(1, 2));
    assert_ne!(with(1, 2), with(3, 2));
    assert_ne!(with(1, 2), with(1, 3));
}
