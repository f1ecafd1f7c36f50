//! What holds in any history: random commands by actors of different authority, and after each
//! step everything that must be true whatever happened.

use proptest::prelude::*;
use std::collections::BTreeSet;
use writ_core::testkit::model::{asks, check};
use writ_core::testkit::*;
use writ_core::*;

fn usable_administrator(index: &Index, now: Millis) -> bool {
    let management = index.management().expect("a management API");
    index.applications(None).any(|app| {
        app.enabled
            && app.secrets.iter().any(|secret| secret.is_valid(now))
            && management
                .all_scopes()
                .is_subset(&index.granted(app, MANAGEMENT))
    })
}

/// What the maps of the index say about each other.
fn check_shape(index: &Index) {
    let mut names = BTreeSet::new();
    for api in index.apis(None) {
        let found = index.api_identified(api.identifier.as_str());
        assert_eq!(found.map(|found| found.id), Some(api.id));
        assert!(!index.is_extra_audience(api.identifier.as_str()));
        for (bit, scope) in api.scopes() {
            assert!(names.insert(scope.name.clone()), "{} twice", scope.name);
            assert_eq!(index.scope(scope.name.as_str()), Some((api.id, bit)));
            assert_eq!(
                api.is_management(),
                scope.name.as_str().starts_with("writ:")
            );
        }
        assert!(api.guards.is_sorted());
        for guard in &api.guards {
            assert!(index.application(*guard).is_some(), "a guard that is gone");
        }
    }
    for app in index.applications(None) {
        assert!(app.grants().is_sorted_by_key(|grant| grant.api));
        for grant in app.grants() {
            let api = index.api(grant.api).expect("a grant to what exists");
            assert!(grant.scopes.is_subset(&api.all_scopes()));
        }
        let administers = index.administrators().any(|other| other.id == app.id);
        assert_eq!(administers, app.grant(MANAGEMENT).is_some());
        for role in &app.roles {
            assert!(index.role(*role).is_some(), "a role that is gone");
        }
        for audience in &app.token_settings().extra_audiences {
            assert!(index.is_extra_audience(audience.as_str()));
            assert!(index.api_identified(audience.as_str()).is_none());
        }
    }
    for role in index.roles(None) {
        let named = index.role_named(role.name.as_str());
        assert_eq!(named.map(|found| found.id), Some(role.id));
        for (api, bits) in &role.scopes {
            let api = index.api(*api).expect("scopes of what exists");
            assert!(!bits.is_empty() && bits.is_subset(&api.all_scopes()));
        }
    }
    for binding in index.policy_bindings(None) {
        let same = |other: &&std::sync::Arc<PolicyBinding>| other.id == binding.id;
        let bound: Vec<_> = index.bound(binding.target).iter().filter(same).collect();
        assert_eq!(bound, [binding], "the maps of bindings differ");
        for judgement in binding.judgements() {
            let policy = index
                .policy(judgement.policy)
                .expect("a policy that is known");
            let declared = &policy.descriptor.claims;
            assert!(
                judgement
                    .claims
                    .iter()
                    .all(|claim| declared.contains(claim))
            );
        }
        let there = match binding.target {
            PolicyTarget::Server => true,
            PolicyTarget::ApiResource(id) => index.api(id).is_some(),
            PolicyTarget::Application(id) => index.application(id).is_some(),
        };
        assert!(there, "a binding to what is gone");
    }
    for algorithm in Algorithm::ALL {
        let active: Vec<_> = index
            .keys()
            .filter(|key| {
                key.algorithm == algorithm && matches!(key.state, KeyState::Active { .. })
            })
            .collect();
        assert_eq!(active.len(), 1, "{algorithm} must have one active key");
        assert_eq!(index.active_key(algorithm), Some(active[0]));
    }
}

/// The management scopes that an actor really has: those of its token that are granted to it.
fn authority(index: &Index, actor: &Actor) -> Option<ScopeBits> {
    let Actor::Application { id, scopes, .. } = actor else {
        return None;
    };
    let management = index.management()?;
    let in_token: ScopeBits = scopes
        .iter()
        .filter_map(|name| management.bit(name.as_str()))
        .collect();
    let app = index.application(*id)?;
    Some(in_token.intersection(&index.granted(app, MANAGEMENT)))
}

fn potential(index: &Index, id: ApplicationId) -> ScopeBits {
    let app = index.application(id);
    app.and_then(|app| app.grant(MANAGEMENT))
        .map(|grant| grant.scopes)
        .unwrap_or_default()
}

fn guarded(index: &Index, id: ApplicationId) -> BTreeSet<ApiId> {
    let apis = index.apis(None).filter(|api| api.guards.contains(&id));
    apis.map(|api| api.id).collect()
}

/// The bindings that an application's authority passes through.
fn judged_by(index: &Index, id: ApplicationId) -> Vec<std::sync::Arc<PolicyBinding>> {
    let mut bound = index.bound(PolicyTarget::Application(id)).to_vec();
    if !potential(index, id).is_empty() {
        bound.extend_from_slice(index.bound(PolicyTarget::ApiResource(MANAGEMENT)));
    }
    bound
}

/// Written without a look at how `authority.rs` decides it: an application that holds more than
/// the actor has at most lost something, and nobody came to hold more than the actor.
fn check_escalation(before: &Index, after: &Index, mine: &ScopeBits) {
    for new in after.applications(None) {
        let id = new.id;
        let gained: ScopeBits = potential(after, id)
            .iter()
            .filter(|bit| !potential(before, id).contains(*bit))
            .collect();
        assert!(gained.is_subset(mine), "{id} was given {gained:?}");
        let effective = |index: &Index| {
            let app = index.application(id);
            app.map(|app| index.granted(app, MANAGEMENT))
                .unwrap_or_default()
        };
        let gained: ScopeBits = effective(after)
            .iter()
            .filter(|bit| !effective(before).contains(*bit))
            .collect();
        assert!(gained.is_subset(mine), "{id} came to use {gained:?}");

        let Some(old) = before.application(id) else {
            continue;
        };
        if potential(before, id).is_subset(mine) {
            continue;
        }
        let own = |index: &Index| index.bound(PolicyTarget::Application(id)).to_vec();
        assert_eq!(own(after), own(before), "bindings of {id}");
        if !potential(after, id).is_empty() {
            assert_eq!(judged_by(after, id), judged_by(before, id));
        }
        assert_eq!(new.name, old.name);
        assert_eq!(new.labels(), old.labels());
        assert_eq!(new.token_settings(), old.token_settings());
        assert!(old.enabled || !new.enabled, "enabled");
        assert!(
            new.secrets
                .iter()
                .all(|secret| old.secrets.contains(secret))
        );
        assert!(new.roles.iter().all(|role| old.roles.contains(role)));
        assert!(guarded(after, id).is_subset(&guarded(before, id)));
        for grant in new.grants() {
            let was = old.grant(grant.api).expect("no new grant");
            assert!(grant.scopes.is_subset(&was.scopes));
            assert!(was.mode == GrantMode::None || grant.mode == GrantMode::Rbac);
            let (now, then) = (
                after.granted(new, grant.api),
                before.granted(old, grant.api),
            );
            assert!(now.is_subset(&then), "more of {}", grant.api);
        }
    }
}

/// An entitlement, asked for again in its own words.
fn again(index: &Index, entitled: &Entitled) -> Result<Entitled, Denial> {
    let names = entitled.scopes.iter().map(ToString::to_string);
    let scope = names.collect::<Vec<String>>().join(" ");
    let resources: Vec<&str> = entitled
        .apis
        .iter()
        .map(|api| api.identifier.as_str())
        .collect();
    let ask = Ask {
        scope: (!scope.is_empty()).then_some(&scope),
        resources: &resources,
        ..Ask::default()
    };
    authorize(index, entitled.application.id, ask)
}

fn check_version(index: &Index, earlier: &Entitled) {
    if entitlement_version(index, earlier) == Some(earlier.version) {
        let now = again(index, earlier).expect("what was granted still is");
        let expected = Entitled {
            as_of: now.as_of,
            ..earlier.clone()
        };
        assert_eq!(now, expected);
    }
}

/// Entitlements of this moment that can be asked for again.
fn entitlements(index: &Index) -> Vec<Entitled> {
    asks()
        .filter_map(|(id, ask)| authorize(index, id, ask).ok())
        .filter_map(|entitled| again(index, &entitled).ok())
        .collect()
}

fn check_repeat(log: &mut Log, submission: &Submission) {
    if submission.idempotency.is_none() {
        return;
    }
    let before = log.index.clone();
    match log.submit(submission) {
        Ok(Decision::Repeat(repeat)) => {
            assert!(repeat.first <= repeat.last && repeat.last.0 < log.recorded.len() as u64);
            let first = &log.recorded[repeat.first.0 as usize];
            assert_eq!(first.idempotency, submission.idempotency);
        }
        // It took the actor's own authority away.
        Err(Refusal::ActorUnusable { .. }) => {}
        Err(Refusal::ActorNotPermitted { scope }) => {
            let left = authority(&before, &submission.actor);
            assert!(left.is_some_and(|left| !left.contains(scope.bit())));
        }
        other => panic!("a repeat gave {other:?}"),
    }
    assert_eq!(log.index, before);
}

/// The index by way of its lines.
fn restored(index: &Index) -> Index {
    let mut restoring = Restoring::default();
    for line in index.snapshot_lines() {
        let line = serde_json::to_vec(&line).expect("JSON");
        restoring.line(&line).expect("a line");
    }
    restoring.finish().expect("an index")
}

fn run(history: &[Action]) -> Log {
    let mut log = Log::populated();
    let mut earlier: Vec<Entitled> = Vec::new();
    for (step, action) in history.iter().enumerate() {
        let submission = action.submission(&mut log);
        let (before, facts) = (log.index.clone(), log.facts());
        let decision = consider(&before, &submission, facts);
        assert_eq!(
            consider(&before, &submission, facts),
            decision,
            "decided otherwise"
        );
        assert_eq!(log.submit(&submission), decision);
        match &decision {
            Ok(Decision::Events(events)) => {
                if let Some(mine) = authority(&before, &submission.actor) {
                    check_escalation(&before, &log.index, &mine);
                    assert!(
                        !usable_administrator(&before, facts.now)
                            || usable_administrator(&log.index, facts.now),
                        "the last administrator is gone by {events:?}"
                    );
                }
                check_shape(&log.index);
                earlier
                    .iter()
                    .for_each(|old| check_version(&log.index, old));
                check_repeat(&mut log, &submission);
            }
            Ok(Decision::Repeat(_)) | Err(_) => assert_eq!(log.index, before),
        }
        if step % 8 == 7 {
            check(&log.index, &log.recorded);
            earlier = entitlements(&log.index);
        }
    }
    check(&log.index, &log.recorded);
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(history in histories(60)) {
        let log = run(&history);
        prop_assert_eq!(&log.replayed(), &log.index);
        prop_assert_eq!(&restored(&log.index), &log.index);
        // The same history gives the same bytes.
        let mut again = Log::populated();
        for action in &history {
            let submission = action.submission(&mut again);
            drop(again.submit(&submission));
        }
        prop_assert_eq!(again.stored, log.stored);
    }

    /// `apply` is told what happened and takes it, in an order that no rules would allow too.
    #[test]
    fn apply_never_panics(history in histories(30), order in any::<prop::sample::Index>()) {
        let mut log = Log::populated();
        for action in &history {
            let submission = action.submission(&mut log);
            // What a refusal says does not matter here.
            drop(log.submit(&submission));
        }
        let mut index = Index::default();
        let start = order.index(log.recorded.len());
        let (first, rest) = log.recorded.split_at(start);
        for recorded in rest.iter().rev().chain(first).chain(rest) {
            index.apply(recorded);
            drop(authorize(&index, JOB, Ask::default()));
        }
        for (id, ask) in asks() {
            drop(authorize(&index, id, ask));
        }
        let submissions: Vec<Submission> =
            history.iter().map(|action| action.submission(&mut log)).collect();
        for submission in &submissions {
            drop(consider(&index, submission, log.facts()));
        }
    }

    /// A batch that is decided and not stored leaves no trace: readers keep what they took.
    #[test]
    fn a_snapshot_never_changes(history in histories(20)) {
        let mut log = Log::populated();
        let snapshot = log.index.clone();
        let asked: Vec<_> = asks().map(|(id, ask)| authorize(&snapshot, id, ask)).collect();
        for action in &history {
            let submission = action.submission(&mut log);
            drop(log.submit(&submission));
        }
        prop_assert_eq!(&snapshot, &Log::populated().index);
        let again: Vec<_> = asks().map(|(id, ask)| authorize(&snapshot, id, ask)).collect();
        prop_assert_eq!(asked, again);
    }
}

/// The histories are worth something only while many commands are accepted and every kind of
/// event comes about.
#[test]
fn histories_reach_every_kind_of_event() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut kinds, mut accepted, mut all) = (BTreeSet::new(), 0, 0);
    for _ in 0..150 {
        let history = histories(60).new_tree(&mut runner).expect("a history");
        let mut log = Log::populated();
        for action in history.current() {
            let submission = action.submission(&mut log);
            all += 1;
            accepted += usize::from(log.submit(&submission).is_ok());
        }
        kinds.extend(log.recorded.iter().map(|recorded| recorded.event.kind()));
    }
    let never: Vec<_> = Event::KINDS
        .iter()
        .filter(|(kind, _)| !kinds.contains(kind))
        .collect();
    assert!(never.is_empty(), "never reached: {never:?}");
    assert!(accepted * 5 > all, "only {accepted} of {all} accepted");
}
