//! How changes read.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use writ_core::testkit::*;

/// What the last command changed, in words.
fn said(log: &mut Log, by: &Actor, command: impl Into<Command>) -> Vec<String> {
    let changes = changes(log, by, command);
    changes.into_iter().map(|change| change.summary).collect()
}

/// What the last command changed.
fn changes(log: &mut Log, by: &Actor, command: impl Into<Command>) -> Vec<api::Change> {
    let (mut index, from) = (log.index.clone(), log.recorded.len());
    log.run(by, command);
    let mut all = Vec::new();
    for recorded in &log.recorded[from..] {
        let before = index.clone();
        index.apply(recorded);
        all.push(change(&before, recorded, &index));
    }
    all
}

#[test]
fn changes_read_as_a_person_would_say_them() {
    let mut log = Log::base();
    let by = admin();
    let mut check = |command: Command, words: &[&str]| {
        assert_eq!(said(&mut log, &by, command.clone()), words, "{command:?}");
    };
    check(
        add_grant(JOB, COURSES, &["courses:read"]),
        &[
            "grant of application Course publishing job to https://courses.example/api added: mode \
           none, scopes + courses:read",
        ],
    );
    check(
        Command::ChangeGrant {
            application: JOB,
            api: COURSES,
            mode: Some(GrantMode::Rbac),
            scopes: Some(scopes(&["courses:publish"])),
        },
        &[
            "grant of application Course publishing job to https://courses.example/api: mode none → \
           rbac, scopes + courses:publish, - courses:read",
        ],
    );
    check(
        create_role("Publisher", &["courses:publish"]),
        &["role Publisher created: scopes + courses:publish"],
    );
    let role = RoleId(0);
    check(
        Command::AssignRole {
            application: JOB,
            role,
        },
        &["application Course publishing job: role Publisher assigned"],
    );
    check(
        Command::ChangeRole {
            id: role,
            name: Some(parse("Editor")),
            scopes: Some(vec![]),
        },
        &[
            "role Publisher: name Publisher → Editor",
            "role Editor: scopes - courses:publish",
        ],
    );
    check(
        Command::ChangeSettings {
            change: SettingsChange {
                tokens_lifetime_seconds: Some(600),
                scopes_unauthorized: Some(UnauthorizedScopes::Drop),
                ..SettingsChange::default()
            },
        },
        &["setting scopes.unauthorized reject → drop, setting tokens.lifetime_seconds 900 → 600"],
    );
    check(
        enable(JOB, false),
        &["application Course publishing job disabled"],
    );
    check(
        ApplicationChange {
            name: Some(parse("Job")),
            labels: Some(Labels::new([("env".into(), "prod".into())].into()).unwrap()),
            token_settings: Some(TokenSettings {
                audience: Audience::ClientId,
                lifetime_seconds: Some(60),
                ..TokenSettings::default()
            }),
            ..change_application(JOB)
        }
        .into(),
        &[
            "application Course publishing job: name Course publishing job → Job",
            "application Job: labels + env=prod",
            "application Job: audience api → client_id, lifetime as set → 60 s",
        ],
    );
    check(
        Command::ChangeApiResource {
            id: COURSES,
            name: None,
            requires_authorization: Some(false),
            profile: ProfileChange {
                algorithm: Some(Algorithm::ES256),
                ..ProfileChange::default()
            },
            guards: Some(vec![JOB]),
        },
        &[
            "API resource https://courses.example/api: its scopes need a grant → are open",
            "API resource https://courses.example/api: algorithm RS256 → ES256",
            "API resource https://courses.example/api: guards + Job",
        ],
    );
    let put = |description: Option<&str>| Command::PutScope {
        api: COURSES,
        scope: NewScope {
            name: parse("courses:read"),
            description: description.map(parse),
        },
    };
    check(
        put(Some("Read")),
        &["API resource https://courses.example/api: scope courses:read: description - → “Read”"],
    );
    check(
        put(None),
        &["API resource https://courses.example/api: scope courses:read: description “Read” → -"],
    );
    check(
        upload_policy(1),
        &["policy policy-1@1.0.0 uploaded (10000 bytes)"],
    );
    check(
        upload_policy(2),
        &["policy policy-2@1.0.0 uploaded (10000 bytes)"],
    );
    check(
        bind_policy(PolicyTarget::Application(JOB), 1),
        &[
            "policy binding binding_0: policy policy-1@1.0.0 bound to application Job: mode enforce, \
           order 100, settings cap: default → 1, claims + tier",
        ],
    );
    check(
        rebind_policy(BindingId(0), judgement(2, 9, &["tier"])),
        &["policy binding binding_0: policy policy-1@1.0.0 → policy-2@1.0.0, settings cap: 1 → 9"],
    );
    check(
        Command::UnbindPolicy { id: BindingId(0) },
        &["policy binding binding_0 of application Job removed: policy policy-2@1.0.0"],
    );
    check(
        Command::RevokeToken {
            jti: jti(BEGIN, 1),
            application: JOB,
            expires_at: Millis(BEGIN.0 + 900_000),
        },
        &[
            "token 019cb2ec-f680-7000-8000-000000000001 of application Job revoked; it would have \
           expired at 2026-03-03T09:15:00.000Z at the latest",
        ],
    );
}

#[test]
fn before_and_after_are_what_the_admin_api_shows() {
    let mut log = Log::base();
    let [made] = &changes(&mut log, &admin(), create_application(9, "New"))[..] else {
        panic!("one event");
    };
    assert_eq!(
        (&*made.kind, &*made.effect),
        ("application.created", "created")
    );
    assert_eq!(made.before, None);
    assert_eq!(made.after.as_ref().unwrap()["name"], "New");
    assert_eq!(made.entity.kind, "application");
    assert_eq!(made.entity.id, ApplicationId(9).to_string());
    assert_eq!(made.actor.name.as_deref(), Some("Administrator"));

    // A secret is a part of its application.
    let [secret] = &changes(&mut log, &admin(), add_secret(ApplicationId(9), 9))[..] else {
        panic!("one event");
    };
    assert_eq!(
        (&*secret.kind, &*secret.effect),
        ("application.secret_added", "changed")
    );
    assert_eq!(secret.entity.id, made.entity.id);
    assert_eq!(secret.before, made.after);
    assert_eq!(
        secret.after.as_ref().unwrap()["secrets"][0]["id"],
        SecretId(9).to_string()
    );
    assert!(
        !serde_json::to_string(secret)
            .unwrap()
            .contains(&hex(&digest(9)))
    );

    let remove = Command::RemoveApplication {
        id: ApplicationId(9),
        cascade: false,
    };
    let [removed] = &changes(&mut log, &admin(), remove)[..] else {
        panic!("one event");
    };
    assert_eq!(removed.effect, "removed");
    assert_eq!((&removed.before, &removed.after), (&secret.after, &None));
    assert_eq!(removed.entity.name.as_deref(), Some("New"));
    assert_eq!(removed.summary, "application New removed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any history: an event says something, in one line, and what an entity was after one
    /// event about it is what it was before the next one, but for its parts of other entities.
    #[test]
    fn changes_follow_from_each_other(history in histories(60)) {
        let mut log = Log::populated();
        for action in history {
            let submission = action.submission(&mut log);
            let _ = log.submit(&submission);
        }
        let mut index = Index::default();
        let mut shown = BTreeMap::<(String, String), bool>::new();
        for recorded in &log.recorded {
            let before = index.clone();
            index.apply(recorded);
            let change = change(&before, recorded, &index);
            prop_assert!(!change.summary.is_empty() && !change.summary.contains('\n'));
            prop_assert!(!change.summary.contains("unchanged"), "{:?}: {}", recorded.event, change.summary);
            let subject = recorded.event.entities().swap_remove(0);
            prop_assert_eq!(&change.before, &entity_view(&before, &subject));
            prop_assert_eq!(&change.after, &entity_view(&index, &subject));
            let there = match &*change.effect {
                "created" => (false, true),
                "removed" => (true, false),
                "changed" => (true, true),
                _ => (false, false),
            };
            // Settings are there from the first event on, by whatever is their usual value.
            let from_the_start = change.entity.kind == "settings";
            let key = (change.entity.kind, change.entity.id);
            let known = shown.insert(key, there.1).unwrap_or(from_the_start);
            prop_assert_eq!(known, there.0, "{}", change.summary);
        }
    }
}
