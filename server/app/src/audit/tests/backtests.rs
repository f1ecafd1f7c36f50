//! Recorded decisions, judged again with something changed.

use super::history::{APIS, History, sandbox, scope};
use crate::audit::Evidence;
use crate::audit::backtest::{
    Backtest, BacktestError, Candidate, Change, Difference, Effect, Report, ScopeCounts,
};
use crate::issue::tests::policies::{DENIES, FIRST_SCOPE, READS};
use crate::testing::{Job, TestServer};
use serde_json::json;
use tempfile::TempDir;
use writ_core::{
    ApiId, Command, Millis, PolicyMode, PolicySettings, PolicyTarget, PolicyValue, SettingsChange,
    TokenProfile,
};
use writ_sandbox::testkit::{honest, hostile, module};

const ENFORCE: PolicyMode = PolicyMode::Enforce;

/// A stopped server that has decided about three tokens of two applications, and of an
/// administrator.
struct Stopped {
    evidence: Evidence,
    api: ApiId,
    jobs: [Job; 2],
    since: Millis,
    _directory: TempDir,
}

impl Stopped {
    /// With a policy bound to the server, if one is given.
    async fn new(bound: Option<Vec<u8>>, keeps_address: bool) -> Self {
        let server = TestServer::new().restart_in(sandbox());
        let (publish, read) = (scope(0, "publish"), scope(0, "read"));
        let scopes = [publish.as_str(), read.as_str()];
        let api = server.api(APIS[0], &scopes, TokenProfile::default()).await;
        let first = server.application(api, &scopes).await;
        let second = server.application(api, &scopes).await;
        if let Some(module) = bound {
            server
                .bind(PolicyTarget::Server, ENFORCE, &module, &["tier"])
                .await;
        }
        let change = SettingsChange {
            issuance_source_address: Some(keeps_address),
            ..SettingsChange::default()
        };
        server.execute(Command::ChangeSettings { change }).await;
        // One before the moment from which on records are looked at.
        server.token(&first, &[("scope", &read)]).await;
        server.clock.advance(std::time::Duration::from_secs(60));
        let since = server.app.now();
        let both = format!("{publish} {read}");
        server.token(&first, &[("scope", &both)]).await;
        server.token(&first, &[("scope", &read)]).await;
        server.token(&second, &[("scope", &read)]).await;
        server.token(&second, &[("scope", "nobody:knows")]).await;
        let _administrator = server.admin_token(&server.admin).await;
        let (_directory, config) = server.stop();
        Self {
            evidence: Evidence::open(&config, sandbox()).unwrap(),
            api,
            jobs: [first, second],
            since,
            _directory,
        }
    }

    fn candidate(&self, module: &[u8], target: &str) -> Change {
        let settings = PolicySettings::new();
        let policy = self.evidence.modules().load(module).unwrap();
        let candidate = Candidate::new(policy, settings, target);
        Change::Policy(Box::new(candidate.unwrap()))
    }

    fn run(&self, change: Change) -> (Report, Vec<Difference>) {
        let backtest = Backtest {
            changes: vec![change],
            since: self.since,
            threads: 2,
            issuer: None,
        };
        run(&backtest, &self.evidence)
    }
}

fn run(backtest: &Backtest, evidence: &Evidence) -> (Report, Vec<Difference>) {
    let mut differences = Vec::new();
    let mut last = 0;
    let report = backtest
        .run(
            evidence,
            |progress| {
                assert!(progress.done > last && progress.done <= progress.total);
                last = progress.done;
            },
            |difference| {
                differences.push(difference.clone());
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(last, report.records());
    (report, differences)
}

#[actix_web::test]
async fn a_candidate_is_held_against_what_was_recorded() {
    let stopped = Stopped::new(None, false).await;
    let [first, second] = &stopped.jobs;

    let (report, differences) = stopped.run(stopped.candidate(&module(DENIES), "server"));
    assert_eq!(
        (report.decisions.denied, report.decisions.unchanged),
        (3, 1)
    );
    assert_eq!((report.left_out, report.records()), (1, 5));
    let lost = |count| ScopeCounts {
        lost: count,
        gained: 0,
    };
    let one = &report.applications[&first.client_id];
    assert_eq!(one.name.as_deref(), Some("A job"));
    assert_eq!(one.decisions.denied, 2);
    assert_eq!(one.scopes[&scope(0, "read")], lost(2));
    assert_eq!(one.scopes[&scope(0, "publish")], lost(1));
    let two = &report.applications[&second.client_id];
    assert_eq!((two.decisions.denied, two.decisions.unchanged), (1, 1));
    assert!(differences.is_sorted_by_key(|difference| difference.id.clone()));
    let now = differences[0].now.as_ref().unwrap();
    assert_eq!(now.reason.as_deref(), Some("policy_denied"));
    assert_eq!(now.policies[0]["verdict"]["deny"]["code"], "outside");
    assert_eq!(differences[0].recorded.lifetime_seconds, Some(900));

    let target = format!("application/{}", first.client_id);
    let (report, differences) = stopped.run(stopped.candidate(&module(FIRST_SCOPE), &target));
    assert_eq!(
        (report.decisions.narrowed, report.decisions.unchanged),
        (1, 3)
    );
    let now = differences[0].now.as_ref().unwrap();
    assert_eq!(now.scopes, Some(vec![scope(0, "publish")]));

    // By identifier or id; one candidate may add the claims that it declares.
    for target in [
        format!("api_resource/{}", APIS[0]),
        format!("api_resource/{}", stopped.api),
    ] {
        let (report, differences) = stopped.run(stopped.candidate(&honest(), &target));
        assert_eq!(report.decisions.shortened, 3);
        let now = differences[0].now.as_ref().unwrap();
        assert_eq!(
            (now.lifetime_seconds, &now.claims["tier"]),
            (Some(300), &json!("gold"))
        );
    }
    let (report, _) = stopped.run(stopped.candidate(&honest(), "api_resource/https://a.example"));
    assert_eq!(
        report.decisions.unchanged, 4,
        "there is no such API resource"
    );

    // What the candidate reads must have been read then, or be recorded.
    let (report, differences) = stopped.run(stopped.candidate(&module(READS), "server"));
    assert_eq!(
        (report.decisions.not_judged, report.decisions.unchanged),
        (3, 1)
    );
    assert_eq!(report.not_judged.len(), 1);
    let why = differences[0].not_judged.as_deref().unwrap();
    assert!(why.contains("net.ip"), "{why}");
    let with_address = Stopped::new(None, true).await;
    let (report, _) = with_address.run(with_address.candidate(&module(READS), "server"));
    assert_eq!(
        (report.decisions.not_judged, report.decisions.unchanged),
        (0, 4)
    );

    let (report, _) = stopped.run(stopped.candidate(&hostile("unreachable"), "server"));
    assert_eq!(report.decisions.denied, 3);

    let settings = PolicySettings::new();
    for target in ["everything", "role/role_1", "application/x"] {
        let policy = stopped.evidence.modules().load(&honest()).unwrap();
        let refused = Candidate::new(policy, settings.clone(), target);
        assert!(matches!(refused, Err(BacktestError::Target(_))), "{target}");
    }
    let unknown = [("cap".into(), PolicyValue::Int(1))].into();
    let policy = stopped.evidence.modules().load(&honest()).unwrap();
    let refused = Candidate::new(policy, unknown, "server");
    assert!(matches!(refused, Err(BacktestError::Policy(_))));
    assert!(stopped.evidence.modules().load(b"\0asm").is_err());
}

/// A candidate replaces what has its name, so that a new version can be tried: all these are called
/// `example`.
#[actix_web::test]
async fn a_candidate_takes_the_place_of_its_older_version() {
    let stopped = Stopped::new(Some(module(DENIES)), false).await;
    let (report, differences) = stopped.run(stopped.candidate(&honest(), "server"));
    assert_eq!(
        (report.decisions.allowed, report.decisions.unchanged),
        (3, 1)
    );
    let recorded = &differences[0].recorded;
    assert_eq!(recorded.reason.as_deref(), Some("policy_denied"));
    assert_eq!(recorded.policies[0]["verdict"]["deny"]["code"], "outside");
    let gained = report.applications[&stopped.jobs[0].client_id].scopes[&scope(0, "read")];
    assert_eq!(gained, ScopeCounts { lost: 0, gained: 2 });
    // Beside it, elsewhere, it changes nothing: a denial stays one.
    let target = format!("application/{}", stopped.jobs[0].client_id);
    let (report, _) = stopped.run(stopped.candidate(&honest(), &target));
    assert_eq!(report.decisions.unchanged, 4);

    // Longer than before, and other claims.
    let stopped = Stopped::new(Some(honest()), false).await;
    let (report, differences) = stopped.run(stopped.candidate(&module(FIRST_SCOPE), "server"));
    assert_eq!(
        (report.decisions.narrowed, report.decisions.lengthened),
        (1, 2)
    );
    assert_eq!(differences[0].recorded.claims["tier"], "gold");
}

#[actix_web::test]
async fn a_grant_or_a_scope_less_is_tried() {
    let stopped = Stopped::new(None, false).await;
    let [first, second] = &stopped.jobs;
    let grant = format!("{}/{}", second.client_id, APIS[0]);
    let (report, differences) = stopped.run(Change::WithoutGrant(grant.parse().unwrap()));
    assert_eq!(
        (report.decisions.denied, report.decisions.unchanged),
        (1, 3)
    );
    let now = differences[0].now.as_ref().unwrap();
    assert_eq!(now.reason.as_deref(), Some("scopes_unauthorized"));
    assert_eq!(report.applications.len(), 1);

    let publish = scope(0, "publish").parse().unwrap();
    let (report, _) = stopped.run(Change::WithoutScope(publish));
    assert_eq!(report.decisions.denied, 1);
    assert!(report.applications.contains_key(&first.client_id));
    let (report, _) = stopped.run(Change::WithoutScope("nobody:knows".parse().unwrap()));
    assert_eq!(report.decisions.unchanged, 4);

    // The management API is looked at when it is meant.
    let management = writ_core::MANAGEMENT_IDENTIFIER;
    let head = stopped.evidence.log().head().unwrap();
    let mut walk = stopped.evidence.walk();
    let index = walk.index_at(writ_core::Position(head - 1)).unwrap();
    let administrator = index.administrators().next().unwrap().id;
    let grant = format!("{administrator}/{management}").parse().unwrap();
    let (report, _) = stopped.run(Change::WithoutGrant(grant));
    assert_eq!((report.left_out, report.decisions.denied), (0, 1));
}

/// Nothing depends on who judges which piece, and what nothing touches stays as it is.
#[actix_web::test]
async fn threads_change_nothing() {
    let mut history = History::begin(7).await;
    while history.decisions < 1_500 {
        history.step().await;
    }
    let decisions = history.decisions as u64;
    let (_directory, config) = history.end();
    let evidence = Evidence::open(&config, sandbox()).unwrap();
    let settings = PolicySettings::new();
    let policy = evidence.modules().load(&module(DENIES)).unwrap();
    let candidate = Candidate::new(policy, settings, "server");
    let mut backtest = Backtest {
        changes: vec![Change::Policy(Box::new(candidate.unwrap()))],
        since: Millis(0),
        threads: 1,
        issuer: None,
    };
    let (alone, told) = run(&backtest, &evidence);
    backtest.threads = 3;
    let (together, told_together) = run(&backtest, &evidence);
    assert_eq!(alone, together);
    assert_eq!(told, told_together);
    assert_eq!(alone.records(), decisions);
    assert!(
        told.iter()
            .any(|difference| difference.effect == Effect::Denied)
    );

    // Whoever is told can break it off, and nobody waits for ever.
    let refused = backtest.run(
        &evidence,
        |_| {},
        |_| Err(std::io::Error::other("the disk is full")),
    );
    assert!(matches!(refused, Err(BacktestError::Output(_))));

    backtest.changes = vec![Change::WithoutScope("nobody:knows".parse().unwrap())];
    let (report, told) = run(&backtest, &evidence);
    assert_eq!(report.decisions.unchanged + report.left_out, decisions);
    assert!(told.is_empty() && report.applications.is_empty());
}
