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
fn changes_of_authentication_read_as_a_person_would_say_them() {
    use AuthenticationMethod as M;
    let mut log = Log::base();
    let by = admin();
    let mut check = |command: Command, words: &[&str]| {
        assert_eq!(said(&mut log, &by, command.clone()), words, "{command:?}");
    };
    let trust = |keys: IssuerKeys| Command::CreateTrustedIssuer {
        issuer: parse("https://tokens.example"),
        name: parse("Builds"),
        keys,
        omits_issuer: false,
    };
    let key = by_key(7).keys.remove(0);
    check(
        trust(IssuerKeys::Discovery),
        &["trusted issuer https://tokens.example created: name Builds, keys by discovery"],
    );
    let change = |name: Option<&str>, keys, omits_issuer| Command::ChangeTrustedIssuer {
        id: IssuerId(0),
        name: name.map(parse),
        keys,
        omits_issuer,
    };
    let uri = IssuerKeys::JwksUri(parse("https://tokens.example/keys"));
    check(
        change(Some("Jobs"), Some(uri), Some(true)),
        &[
            "trusted issuer https://tokens.example: name Builds → Jobs, keys by discovery → at \
           https://tokens.example/keys, its tokens must have iss → may lack iss",
        ],
    );
    let named = RegisteredKey {
        kid: Some("2026".into()),
        ..key
    };
    check(
        change(None, Some(IssuerKeys::Keys(vec![named.clone()])), None),
        &["trusted issuer https://tokens.example: keys at https://tokens.example/keys → 2026"],
    );

    let own = Authentication {
        methods: vec![M::PrivateKeyJwt, M::TlsClientAuth, M::WorkloadIdentity],
        keys: vec![named],
        certificate_subject: Some(CertificateSubject::Dns(parse("job.example"))),
        certificates: vec![CertificateDigest([0xab; 32])],
        trust: vec![TrustRule {
            name: parse("main"),
            issuer: IssuerId(0),
            audience: parse("writ"),
            subject: parse("repo:acme/app:*"),
            claims: BTreeMap::new(),
            lifetime_seconds: 600,
        }],
        profile: SecurityProfile::Fapi2,
        ..Authentication::default()
    };
    let authenticate = |own: Option<Authentication>| Command::ChangeAuthentication {
        application: JOB,
        authentication: own.map(Box::new),
    };
    let digest = "ab".repeat(32);
    check(
        authenticate(Some(own.clone())),
        &[&format!(
            "application Course publishing job: authentication: methods + private_key_jwt, + \
             tls_client_auth, + workload_identity, - client_secret_basic, - client_secret_post, \
             keys + 2026, certificates + {digest}, trust + main (repo:acme/app:* of \
             https://tokens.example), certificate subject - → DNS job.example, security profile \
             none → fapi2"
        )],
    );
    let mut other = own;
    other.trust[0].lifetime_seconds = 60;
    check(
        authenticate(Some(other)),
        &[
            "application Course publishing job: authentication: conditions of trust rules \
           changed",
        ],
    );
    let elsewhere = Authentication {
        methods: vec![M::PrivateKeyJwt],
        jwks_uri: Some(parse("https://job.example/keys")),
        ..Authentication::default()
    };
    check(
        authenticate(Some(elsewhere)),
        &[&format!(
            "application Course publishing job: authentication: methods - tls_client_auth, - \
             workload_identity, keys - 2026, certificates - {digest}, trust - main \
             (repo:acme/app:* of https://tokens.example), jwks_uri - → https://job.example/keys, \
             certificate subject DNS job.example → -, security profile fapi2 → none"
        )],
    );
    check(
        authenticate(None),
        &[
            "application Course publishing job: authentication: methods + client_secret_basic, + \
           client_secret_post, - private_key_jwt, jwks_uri https://job.example/keys → -",
        ],
    );
    check(
        Command::RemoveTrustedIssuer { id: IssuerId(0) },
        &["trusted issuer https://tokens.example removed"],
    );
}

#[test]
fn changes_of_what_bounds_tokens_read_as_a_person_would_say_them() {
    let mut log = Log::base();
    let by = admin();
    let mut check = |command: Command, words: &[&str]| {
        assert_eq!(said(&mut log, &by, command.clone()), words, "{command:?}");
    };
    let quota = |quota| Command::ChangeQuota {
        application: JOB,
        quota,
    };
    let some = Quota {
        per_minute: Some(60),
        per_day: Some(1_000),
        mode: QuotaMode::Monitor,
        ..Quota::default()
    };
    let enforced = Quota {
        per_hour: Some(5),
        ..Quota::default()
    };
    for (asked, words) in [
        (
            Some(some),
            "application Course publishing job: quota - → 60 a minute, 1000 a day (monitored)",
        ),
        (
            Some(enforced),
            "application Course publishing job: quota 60 a minute, 1000 a day (monitored) → 5 an \
             hour",
        ),
        (
            None,
            "application Course publishing job: quota 5 an hour → -",
        ),
    ] {
        check(quota(asked), &[words]);
    }
    let exchange = |subjects: &[ApplicationId], mode| Command::ChangeExchange {
        application: JOB,
        exchange: (!subjects.is_empty()).then(|| TokenExchange {
            subjects: subjects.to_vec(),
            mode,
        }),
    };
    for (subjects, mode, words) in [
        (
            &[JOB][..],
            ExchangeMode::Delegation,
            "application Course publishing job: may exchange tokens of + Course publishing job, by \
             - → delegation",
        ),
        (
            &[ADMIN, JOB],
            ExchangeMode::Impersonation,
            "application Course publishing job: may exchange tokens of + Administrator, by \
             delegation → impersonation",
        ),
        (
            &[],
            ExchangeMode::Delegation,
            "application Course publishing job: may exchange tokens of - Administrator, - Course \
             publishing job, by impersonation → -",
        ),
    ] {
        check(exchange(subjects, mode), &[words]);
    }
    let constraint = |sender_constraint| ApplicationChange {
        token_settings: Some(TokenSettings {
            sender_constraint,
            ..TokenSettings::default()
        }),
        ..change_application(JOB)
    };
    check(
        constraint(SenderConstraint::Dpop).into(),
        &["application Course publishing job: sender constraint none → dpop"],
    );
    let put = Command::PutDetailsType {
        api: COURSES,
        details_type: details_type("publication"),
    };
    check(
        put,
        &[
            "API resource https://courses.example/api: type of authorization details publication \
           added",
        ],
    );
    let bare = DetailsType {
        schema: Some(JsonText {
            json: "true".into(),
        }),
        ..details_type("publication")
    };
    let put = Command::PutDetailsType {
        api: COURSES,
        details_type: bare,
    };
    check(
        put,
        &[
            "API resource https://courses.example/api: type of authorization details publication \
           changed",
        ],
    );
    let grant = "grant of application Course publishing job to https://courses.example/api";
    check(
        add_grant(JOB, COURSES, &[]),
        &[&format!("{grant} added: mode none, scopes none")],
    );
    let details = Command::ChangeGrantDetails {
        application: JOB,
        api: COURSES,
        details: vec![parse("publication")],
    };
    check(
        details,
        &[&format!(
            "{grant}: types of authorization details + publication"
        )],
    );
    let remove = Command::RemoveDetailsType {
        api: COURSES,
        name: parse("publication"),
        cascade: true,
    };
    check(
        remove,
        &[
            &format!("{grant}: types of authorization details - publication"),
            "API resource https://courses.example/api: type of authorization details publication \
             removed",
        ],
    );
}

#[test]
fn a_rotation_says_which_secrets_end_when() {
    let mut log = Log::base();
    let rotate = |number, overlap_seconds| Command::RotateSecret {
        application: JOB,
        secret: secret(number),
        overlap_seconds,
    };
    let job = "application Course publishing job: secret";
    let (old, new, last) = (JOB_SECRET, SecretId(7), SecretId(8));
    let words = said(&mut log, &admin(), rotate(7, 0));
    let end = log.index.last_at();
    assert_eq!(
        words,
        [
            format!("{job} {new} added"),
            format!("{job} {old} expires at {end}"),
        ]
    );
    let words = said(&mut log, &admin(), rotate(8, 60));
    let end = log.index.last_at().plus_seconds(60);
    assert_eq!(
        words,
        [
            format!("{job} {last} added"),
            format!("{job} {new} expires at {end}"),
            format!("{job} {old} revoked"),
        ]
    );
}

#[test]
fn what_an_operator_does_to_the_log_itself_is_said() {
    let mut log = Log::base();
    let set = |key: &str| Command::SetLogKey { vkey: key.into() };
    let [one, two] = [
        "a.example/writ+00000001+AQ==",
        "a.example/writ+00000002+Ag==",
    ];
    let operator = operator();
    assert_eq!(
        said(&mut log, &operator, set(one)),
        [format!("checkpoints are signed by {one}")]
    );
    assert_eq!(
        said(&mut log, &operator, set(two)),
        [format!("the key of checkpoints: {one} → {two}")]
    );
    let accept = Command::AcceptRestore {
        size: 1_234,
        root: [0xab; 32],
    };
    let root = "ab".repeat(32);
    assert_eq!(
        said(&mut log, &operator, accept),
        [format!(
            "an older state of the log was accepted in place of one of 1234 events with the root \
             {root}"
        )]
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

#[test]
fn a_trusted_issuer_is_shown_before_and_after() {
    let mut log = Log::base();
    let create = Command::CreateTrustedIssuer {
        issuer: parse("https://tokens.example"),
        name: parse("Builds"),
        keys: IssuerKeys::Discovery,
        omits_issuer: false,
    };
    let [made] = &changes(&mut log, &admin(), create)[..] else {
        panic!("one event");
    };
    assert_eq!(
        (&*made.effect, &*made.entity.kind),
        ("created", "trusted_issuer")
    );
    assert_eq!(made.entity.name.as_deref(), Some("https://tokens.example"));
    assert_eq!(
        made.after.as_ref().unwrap()["keys"],
        serde_json::json!({ "discovery": true })
    );
    let remove = Command::RemoveTrustedIssuer { id: IssuerId(0) };
    let [removed] = &changes(&mut log, &admin(), remove)[..] else {
        panic!("one event");
    };
    assert_eq!(
        (&removed.before, &*removed.effect),
        (&made.after, "removed")
    );
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

#[test]
fn registrations_read_as_what_an_application_did_itself() {
    let mut log = Log::base();
    let new = ApplicationId(7);
    let token = InitialAccessTokenId(0);
    let mut create = create_initial_access_token(&["courses:read"]);
    if let Command::CreateInitialAccessToken { labels, .. } = &mut create {
        *labels = Labels::new([("team".into(), "web".into())].into()).unwrap();
    }
    assert_eq!(
        said(&mut log, &admin(), create),
        [
            "initial access token CI created: 2 registrations until 2026-03-04T09:00:00.000Z, \
             methods + client_secret_basic, + private_key_jwt, names ci-…, labels + team=web, API \
             resource https://courses.example/api scopes + courses:read"
        ]
    );
    let by_key = client_metadata(AuthenticationMethod::PrivateKeyJwt);
    let made = changes(&mut log, &registrant(token), register(token, new, by_key));
    let last = made.last().unwrap();
    let words = "application ci-job registered itself by initial access token CI";
    assert_eq!(last.summary, words);
    assert_eq!(last.actor.kind, "initial_access_token");
    assert_eq!(last.actor.name.as_deref(), Some("CI"));
    let after = last.after.as_ref().unwrap();
    assert_eq!(after["registration"]["initial_access_token"], "iat_0");
    let renamed = ClientMetadata {
        name: Some(parse("ci-other")),
        ..client_metadata(AuthenticationMethod::PrivateKeyJwt)
    };
    let by = registered_actor(new);
    assert_eq!(
        said(&mut log, &by, change_registration(new, renamed)),
        [
            "application ci-job: name ci-job → ci-other",
            "application ci-other changed its registration itself",
        ]
    );
    let revoke = Command::RevokeRegistration { application: new };
    assert_eq!(
        said(&mut log, &admin(), revoke),
        ["application ci-other can no longer change its registration itself"]
    );
    let revoke = Command::RevokeInitialAccessToken { id: token };
    assert_eq!(
        said(&mut log, &admin(), revoke),
        ["initial access token CI revoked"]
    );
}
