//! The token path's answers: the rows of the table in the design that are `authorize`'s business.

use writ_core::testkit::*;
use writ_core::*;

const REPORTS: ApiId = ApiId(2);
const REPORTS_IDENTIFIER: &str = "https://reports.example/";
const OPEN_IDENTIFIER: &str = "urn:example:open";

/// [`JOB`] may read and publish courses and read reports; an open API resource asks for nothing.
fn world() -> Log {
    let mut open = create_api(OPEN_IDENTIFIER, &["open:use"]);
    if let Command::CreateApiResource {
        requires_authorization,
        ..
    } = &mut open
    {
        *requires_authorization = false;
    }
    let mut log = Log::base();
    log.run(
        &admin(),
        create_api(REPORTS_IDENTIFIER, &["reports:read", "reports:write"]),
    );
    log.run(&admin(), open);
    let grant = add_grant(JOB, COURSES, &["courses:read-approved", "courses:publish"]);
    log.run(&admin(), grant);
    log.run(&admin(), add_grant(JOB, REPORTS, &["reports:read"]));
    log
}

fn set(log: &mut Log, change: SettingsChange) {
    log.run(&admin(), Command::ChangeSettings { change });
}

fn drop_unauthorized(log: &mut Log) {
    let change = SettingsChange {
        scopes_unauthorized: Some(UnauthorizedScopes::Drop),
        ..SettingsChange::default()
    };
    set(log, change);
}

fn omitted_is_all(log: &mut Log) {
    let change = SettingsChange {
        scopes_omitted: Some(OmittedScopes::All),
        ..SettingsChange::default()
    };
    set(log, change);
}

fn combine(log: &mut Log) {
    let change = SettingsChange {
        scopes_combine_apis: Some(true),
        ..SettingsChange::default()
    };
    set(log, change);
}

fn profile(log: &mut Log, id: ApiId, profile: ProfileChange) {
    log.run(
        &admin(),
        Command::ChangeApiResource {
            id,
            name: None,
            requires_authorization: None,
            profile,
            guards: None,
        },
    );
}

fn token_settings(log: &mut Log, id: ApplicationId, token_settings: TokenSettings) {
    let change = ApplicationChange {
        token_settings: Some(token_settings),
        ..change_application(id)
    };
    log.run(&admin(), change);
}

fn ask(log: &Log, scope: Option<&str>, resources: &[&str]) -> Result<Entitled, Denial> {
    authorize(
        &log.index,
        JOB,
        Ask {
            scope,
            resources,
            ..Ask::default()
        },
    )
}

#[track_caller]
fn granted(answer: Result<Entitled, Denial>) -> (String, Vec<String>) {
    let entitled = answer.expect("granted");
    let names: Vec<&str> = entitled.scopes.iter().map(ScopeName::as_str).collect();
    let audience = entitled.audience.iter().map(ToString::to_string);
    (names.join(" "), audience.collect())
}

fn expect(scopes: &str, audience: &[&str]) -> (String, Vec<String>) {
    let audience = audience.iter().map(ToString::to_string);
    (scopes.to_owned(), audience.collect())
}

fn unauthorized(names: &[&str]) -> Result<Entitled, Denial> {
    Err(Denial::ScopesUnauthorized {
        scopes: names.iter().map(|name| (*name).into()).collect(),
    })
}

fn resource_unauthorized(resource: &str) -> Result<Entitled, Denial> {
    Err(Denial::ResourceUnauthorized {
        resource: resource.into(),
    })
}

fn several(identifiers: &[&str]) -> Result<Entitled, Denial> {
    Err(Denial::SeveralResources {
        identifiers: identifiers.iter().map(|text| (*text).into()).collect(),
    })
}

#[test]
fn asked_scopes_that_are_granted_are_given() {
    let log = world();
    let entitled = ask(&log, Some("courses:publish courses:read-approved"), &[]).expect("granted");
    assert_eq!(
        entitled.scopes,
        scopes(&["courses:publish", "courses:read-approved"])
    );
    assert_eq!(entitled.audience, [COURSES_IDENTIFIER.into()]);
    assert_eq!(entitled.algorithm, Algorithm::RS256);
    assert_eq!(entitled.typ, TokenType::AtJwt);
    assert_eq!(entitled.lifetime_seconds, 900);
    assert_eq!(entitled.application.id, JOB);
    assert_eq!(entitled.as_of, log.index.head().expect("events"));
    assert!(entitled.dropped.is_empty());
    // Naming a scope twice, or its API resource twice, changes nothing.
    let twice = ask(
        &log,
        Some("courses:publish courses:publish courses:read-approved"),
        &[COURSES_IDENTIFIER, COURSES_IDENTIFIER],
    );
    assert_eq!(twice, Ok(entitled));
}

#[test]
fn an_application_that_is_unknown_or_disabled_gets_nothing() {
    let mut log = world();
    let none = Err(Denial::ApplicationUnusable);
    let scope = Ask {
        scope: Some("courses:publish"),
        resources: &[],
        ..Ask::default()
    };
    assert_eq!(authorize(&log.index, ApplicationId(99), scope), none);
    assert_eq!(authorize(&Index::default(), JOB, scope), none);
    log.run(&admin(), enable(JOB, false));
    assert_eq!(authorize(&log.index, JOB, scope), none);
}

#[test]
fn unknown_and_ungranted_scopes_are_refused_by_name_and_alike() {
    let log = world();
    let answer = ask(&log, Some("courses:publish courses:write none"), &[]);
    assert_eq!(answer, unauthorized(&["courses:write", "none"]));
    // With the resource named too.
    let answer = ask(&log, Some("courses:write"), &[COURSES_IDENTIFIER]);
    assert_eq!(answer, unauthorized(&["courses:write"]));
}

#[test]
fn unknown_and_ungranted_scopes_are_dropped_where_the_setting_says_so() {
    let mut log = world();
    drop_unauthorized(&mut log);
    let entitled = ask(&log, Some("courses:publish courses:write none"), &[]).expect("granted");
    assert_eq!(entitled.scopes, scopes(&["courses:publish"]));
    assert_eq!(entitled.dropped, ["courses:write".into(), "none".into()]);
    assert_eq!(
        ask(&log, Some("courses:write none"), &[]),
        Err(Denial::NothingToGrant)
    );
    let with_resource = ask(&log, Some("courses:write none"), &[COURSES_IDENTIFIER]);
    assert_eq!(granted(with_resource), expect("", &[COURSES_IDENTIFIER]));
}

#[test]
fn a_scope_parameter_must_be_written_as_rfc_6749_says() {
    let log = world();
    let many = vec!["courses:publish"; limits::SCOPES_PER_REQUEST].join(" ");
    let too_many = format!("{many} courses:publish");
    assert!(ask(&log, Some(&many), &[]).is_ok());
    let long = "x".repeat(limits::SCOPE_NAME_BYTES + 1);
    let malformed = [
        "",
        " ",
        " courses:publish",
        "courses:publish ",
        "courses:publish  courses:publish",
        "courses:publish\tcourses:publish",
        "courses:publish\u{a0}x",
        "\"",
        "\\",
        &too_many,
        &long,
    ];
    for text in malformed {
        assert_eq!(
            ask(&log, Some(text), &[]),
            Err(Denial::ScopeMalformed),
            "{text:?}"
        );
    }
}

#[test]
fn no_scope_with_a_resource_is_all_that_is_granted_of_it() {
    let log = world();
    assert_eq!(
        granted(ask(&log, None, &[COURSES_IDENTIFIER])),
        expect(
            "courses:publish courses:read-approved",
            &[COURSES_IDENTIFIER]
        )
    );
    assert_eq!(
        granted(ask(&log, None, &[COURSES_IDENTIFIER, REPORTS_IDENTIFIER])),
        expect(
            "courses:publish courses:read-approved reports:read",
            &[COURSES_IDENTIFIER, REPORTS_IDENTIFIER]
        )
    );
}

#[test]
fn no_scope_and_no_resource_is_nothing_or_all_as_the_setting_says() {
    let mut log = world();
    assert_eq!(ask(&log, None, &[]), Err(Denial::NothingToGrant));
    omitted_is_all(&mut log);
    assert_eq!(
        ask(&log, None, &[]),
        several(&[COURSES_IDENTIFIER, REPORTS_IDENTIFIER])
    );
    combine(&mut log);
    // Of the open API resource nothing is granted; of the management API never in "all".
    log.run(&admin(), add_grant(JOB, MANAGEMENT, &["writ:roles:read"]));
    assert_eq!(
        granted(ask(&log, None, &[])),
        expect(
            "courses:publish courses:read-approved reports:read",
            &[COURSES_IDENTIFIER, REPORTS_IDENTIFIER]
        )
    );
    // An API resource of which nothing is granted is no audience.
    log.run(
        &admin(),
        Command::ChangeGrant {
            application: JOB,
            api: REPORTS,
            mode: None,
            scopes: Some(Vec::new()),
        },
    );
    assert_eq!(
        granted(ask(&log, None, &[])),
        expect(
            "courses:publish courses:read-approved",
            &[COURSES_IDENTIFIER]
        )
    );
    let only_management = Ask::default();
    assert_eq!(
        authorize(&log.index, ADMIN, only_management),
        Err(Denial::NothingToGrant)
    );
}

#[test]
fn a_resource_must_be_known_and_granted_and_which_is_not_told() {
    let mut log = world();
    for resource in [
        "urn:unknown",
        "",
        "not a uri",
        "https://courses.example/API",
    ] {
        let answer = ask(&log, None, &[resource]);
        assert_eq!(answer, resource_unauthorized(resource));
    }
    log.run(
        &admin(),
        Command::RemoveGrant {
            application: JOB,
            api: REPORTS,
        },
    );
    let answer = ask(&log, None, &[COURSES_IDENTIFIER, REPORTS_IDENTIFIER]);
    assert_eq!(answer, resource_unauthorized(REPORTS_IDENTIFIER));
    let many = [COURSES_IDENTIFIER; limits::RESOURCES_PER_REQUEST + 1];
    assert_eq!(ask(&log, None, &many), Err(Denial::TooManyResources));
    assert!(ask(&log, None, &many[1..]).is_ok());
}

#[test]
fn a_resource_with_a_grant_but_no_scopes_is_fine() {
    let mut log = world();
    log.run(
        &admin(),
        Command::ChangeGrant {
            application: JOB,
            api: REPORTS,
            mode: None,
            scopes: Some(Vec::new()),
        },
    );
    assert_eq!(
        granted(ask(&log, None, &[REPORTS_IDENTIFIER])),
        expect("", &[REPORTS_IDENTIFIER])
    );
}

#[test]
fn several_api_resources_must_each_be_named_or_allowed() {
    let mut log = world();
    let both = Some("courses:publish reports:read");
    let refused = several(&[COURSES_IDENTIFIER, REPORTS_IDENTIFIER]);
    assert_eq!(ask(&log, both, &[]), refused);
    assert_eq!(ask(&log, both, &[COURSES_IDENTIFIER]), refused);
    // A scope of another API resource than the named one.
    assert_eq!(
        ask(&log, Some("reports:read"), &[COURSES_IDENTIFIER]),
        refused
    );
    let named = expect(
        "courses:publish reports:read",
        &[REPORTS_IDENTIFIER, COURSES_IDENTIFIER],
    );
    let answer = ask(&log, both, &[REPORTS_IDENTIFIER, COURSES_IDENTIFIER]);
    assert_eq!(granted(answer), named);
    // Unauthorized comes first: what is not granted is not explained further.
    assert_eq!(
        ask(&log, Some("courses:publish reports:write"), &[]),
        unauthorized(&["reports:write"])
    );
    combine(&mut log);
    assert_eq!(
        granted(ask(&log, both, &[])),
        expect(
            "courses:publish reports:read",
            &[COURSES_IDENTIFIER, REPORTS_IDENTIFIER]
        )
    );
}

#[test]
fn several_api_resources_must_want_the_same_kind_of_token() {
    let differ = || {
        Err(Denial::ProfilesDiffer {
            identifiers: vec![COURSES_IDENTIFIER.into(), REPORTS_IDENTIFIER.into()],
        })
    };
    let changes: [fn(&mut ProfileChange); 2] = [
        |p| p.algorithm = Some(Algorithm::EdDSA),
        |p| p.typ = Some(TokenType::Jwt),
    ];
    for change in changes {
        let mut log = world();
        let mut wanted = ProfileChange::default();
        change(&mut wanted);
        profile(&mut log, REPORTS, wanted);
        let both = [COURSES_IDENTIFIER, REPORTS_IDENTIFIER];
        assert_eq!(ask(&log, None, &both), differ());
        combine(&mut log);
        assert_eq!(
            ask(&log, Some("courses:publish reports:read"), &[]),
            differ()
        );
        assert!(ask(&log, Some("reports:read"), &[]).is_ok());
    }
}

#[test]
fn an_open_api_resource_needs_no_grant() {
    let log = world();
    let whole = expect("open:use", &[OPEN_IDENTIFIER]);
    assert_eq!(granted(ask(&log, Some("open:use"), &[])), whole);
    assert_eq!(granted(ask(&log, None, &[OPEN_IDENTIFIER])), whole);
}

#[test]
fn in_mode_rbac_roles_and_grant_must_both_allow() {
    let mut log = world();
    let approved = Some("courses:read-approved");
    log.run(
        &admin(),
        Command::ChangeGrant {
            application: JOB,
            api: COURSES,
            mode: Some(GrantMode::Rbac),
            scopes: None,
        },
    );
    assert_eq!(
        ask(&log, approved, &[]),
        unauthorized(&["courses:read-approved"])
    );
    assert_eq!(
        granted(ask(&log, None, &[COURSES_IDENTIFIER])),
        expect("", &[COURSES_IDENTIFIER])
    );
    // What the role has and the grant has not stays out.
    let readers = create_role(
        "Readers",
        &["courses:read", "courses:read-approved", "reports:write"],
    );
    log.run(&admin(), readers);
    log.run(&admin(), create_role("Publishers", &["courses:publish"]));
    for role in [RoleId(0), RoleId(1)] {
        log.run(
            &admin(),
            Command::AssignRole {
                application: JOB,
                role,
            },
        );
    }
    assert_eq!(
        granted(ask(&log, None, &[COURSES_IDENTIFIER])),
        expect(
            "courses:publish courses:read-approved",
            &[COURSES_IDENTIFIER]
        )
    );
    assert_eq!(
        ask(&log, Some("courses:read"), &[]),
        unauthorized(&["courses:read"])
    );
    // A grant in mode none asks no role.
    assert_eq!(
        ask(&log, Some("reports:write"), &[]),
        unauthorized(&["reports:write"])
    );
    assert!(ask(&log, Some("reports:read"), &[]).is_ok());
}

#[test]
fn audiences_follow_the_application() {
    let mut log = world();
    let extra = TokenSettings {
        extra_audiences: vec![parse("urn:legacy"), parse("urn:gateway")],
        ..TokenSettings::default()
    };
    token_settings(&mut log, JOB, extra.clone());
    let scope = Some("courses:publish");
    assert_eq!(
        granted(ask(&log, scope, &[])),
        expect(
            "courses:publish",
            &[COURSES_IDENTIFIER, "urn:legacy", "urn:gateway"]
        )
    );
    let by_id = TokenSettings {
        audience: Audience::ClientId,
        ..extra
    };
    token_settings(&mut log, JOB, by_id);
    let id = JOB.to_string();
    assert_eq!(
        granted(ask(&log, scope, &[])),
        expect("courses:publish", &[&id, "urn:legacy", "urn:gateway"])
    );
    // An extra audience alone makes no token, and is no resource.
    assert_eq!(ask(&log, None, &[]), Err(Denial::NothingToGrant));
    assert_eq!(
        ask(&log, None, &["urn:legacy"]),
        resource_unauthorized("urn:legacy")
    );
}

#[test]
fn the_management_api_stands_alone() {
    let mut log = world();
    log.run(&admin(), add_grant(JOB, MANAGEMENT, &["writ:roles:read"]));
    combine(&mut log);
    let alone = Err(Denial::ManagementAlone);
    let both = [MANAGEMENT_IDENTIFIER, COURSES_IDENTIFIER];
    assert_eq!(ask(&log, None, &both), alone);
    assert_eq!(
        ask(&log, Some("writ:roles:read courses:publish"), &[]),
        alone
    );
    assert_eq!(
        ask(&log, Some("writ:roles:read"), &[COURSES_IDENTIFIER]),
        alone
    );
    assert_eq!(ask(&log, Some("open:use"), &[MANAGEMENT_IDENTIFIER]), alone);
    // Its audience is its own identifier, whatever the application wants.
    let settings = TokenSettings {
        audience: Audience::ClientId,
        extra_audiences: vec![parse("urn:legacy")],
        lifetime_seconds: None,
        ..TokenSettings::default()
    };
    token_settings(&mut log, JOB, settings);
    let own = expect("writ:roles:read", &[MANAGEMENT_IDENTIFIER]);
    assert_eq!(granted(ask(&log, None, &[MANAGEMENT_IDENTIFIER])), own);
    assert_eq!(granted(ask(&log, Some("writ:roles:read"), &[])), own);
}

#[test]
fn the_shortest_lifetime_counts() {
    let mut log = world();
    let lifetime = |seconds| ProfileChange {
        lifetime_seconds: Some(seconds),
        ..ProfileChange::default()
    };
    let of = |log: &Log, resources: &[&str]| {
        let entitled = ask(log, None, resources).expect("granted");
        entitled.lifetime_seconds
    };
    let (courses, both) = (
        [COURSES_IDENTIFIER],
        [COURSES_IDENTIFIER, REPORTS_IDENTIFIER],
    );
    profile(&mut log, COURSES, lifetime(Some(3600)));
    assert_eq!(of(&log, &courses), 3600);
    // The other one has the server's.
    assert_eq!(of(&log, &both), 900);
    profile(&mut log, REPORTS, lifetime(Some(60)));
    assert_eq!(of(&log, &both), 60);
    let own = |seconds| TokenSettings {
        lifetime_seconds: Some(seconds),
        ..TokenSettings::default()
    };
    token_settings(&mut log, JOB, own(1800));
    assert_eq!(of(&log, &courses), 1800);
    // An application makes it shorter, never longer.
    token_settings(&mut log, JOB, own(86_400));
    assert_eq!(of(&log, &courses), 3600);
    profile(&mut log, COURSES, lifetime(None));
    let change = SettingsChange {
        tokens_lifetime_seconds: Some(120),
        ..SettingsChange::default()
    };
    set(&mut log, change);
    assert_eq!(of(&log, &courses), 120);
}

#[test]
fn whatever_an_entitlement_depends_on_changes_its_version() {
    let mut base = world();
    base.run(&admin(), create_role("Readers", &["courses:read-approved"]));
    base.run(
        &admin(),
        Command::AssignRole {
            application: JOB,
            role: RoleId(0),
        },
    );
    let entitled = ask(&base, Some("courses:publish"), &[]).expect("granted");
    let version = |log: &Log| entitlement_version(&log.index, &entitled);
    assert_eq!(version(&base), Some(entitled.version));
    let changes = [
        enable(JOB, false),
        Command::CutTokens { application: JOB },
        Command::RemoveGrant {
            application: JOB,
            api: COURSES,
        },
        Command::RemoveScope {
            api: COURSES,
            name: parse("courses:publish"),
            cascade: true,
        },
        Command::RemoveApiResource {
            id: COURSES,
            cascade: true,
        },
        Command::RemoveRole {
            id: RoleId(0),
            cascade: true,
        },
        Command::ChangeRole {
            id: RoleId(0),
            name: None,
            scopes: Some(Vec::new()),
        },
        Command::RemoveApplication {
            id: JOB,
            cascade: true,
        },
        Command::RevokeSigningKey {
            kid: first_kid(Algorithm::RS256),
            replacement: Some(signing_key("x", Algorithm::RS256)),
        },
        Command::ChangeSettings {
            change: SettingsChange {
                tokens_lifetime_seconds: Some(1),
                ..SettingsChange::default()
            },
        },
    ];
    for command in changes {
        let mut log = base.clone();
        log.run(&admin(), command.clone());
        assert_ne!(version(&log), Some(entitled.version), "{command:?}");
    }
    // What others do changes nothing.
    let mut log = base;
    log.run(&admin(), create_application(50, "Other"));
    log.run(
        &admin(),
        add_grant(ApplicationId(50), COURSES, &["courses:publish"]),
    );
    assert_eq!(version(&log), Some(entitled.version));
}

#[test]
fn texts_of_denials_name_what_was_asked() {
    let log = world();
    let denial = ask(&log, Some("none"), &[]).expect_err("denied");
    assert_eq!(denial.to_string(), "not granted to this application: none");
    let denial = ask(&log, Some("courses:publish reports:read"), &[]).expect_err("denied");
    assert!(denial.to_string().contains(REPORTS_IDENTIFIER));
}

fn asked(log: &Log, scope: &str, resources: &[&str]) -> Entitled {
    let ask = Ask {
        scope: Some(scope),
        resources,
        ..Ask::default()
    };
    authorize(&log.index, JOB, ask).expect("entitled")
}

#[test]
fn the_server_each_api_and_the_application_have_their_policies_asked() {
    let mut log = world();
    log.run(&admin(), upload_policy(1));
    for target in [
        PolicyTarget::Application(JOB),
        PolicyTarget::ApiResource(REPORTS),
        PolicyTarget::ApiResource(COURSES),
        PolicyTarget::Server,
        PolicyTarget::ApiResource(MANAGEMENT),
        PolicyTarget::Application(ADMIN),
    ] {
        log.run(&admin(), bind_policy(target, 1));
    }
    let ids = |entitled: &Entitled| -> Vec<u32> {
        entitled.bindings.iter().map(|one| one.id.0).collect()
    };
    let both = [COURSES_IDENTIFIER, REPORTS_IDENTIFIER];
    let entitled = asked(&log, "courses:publish reports:read", &both);
    assert_eq!(ids(&entitled), [3, 2, 1, 0]);
    assert_eq!(ids(&asked(&log, "reports:read", &[])), [3, 1, 0]);
    // Those of the server do not judge the management API.
    let ask = Ask {
        scope: Some("writ:roles:read"),
        resources: &[],
        ..Ask::default()
    };
    let entitled = authorize(&log.index, ADMIN, ask).expect("entitled");
    assert_eq!(ids(&entitled), [4, 5]);
}

#[test]
fn a_token_has_no_more_policies_than_its_record_holds() {
    let mut log = world();
    log.run(&admin(), upload_policy(1));
    let apis = [COURSES, REPORTS, ApiId(3)].map(PolicyTarget::ApiResource);
    for target in [PolicyTarget::Server, PolicyTarget::Application(JOB)]
        .into_iter()
        .chain(apis)
    {
        for _ in 0..limits::BINDINGS_PER_TARGET {
            log.run(&admin(), bind_policy(target, 1));
        }
    }
    let two = [COURSES_IDENTIFIER, REPORTS_IDENTIFIER];
    let most = asked(&log, "courses:publish reports:read", &two);
    assert_eq!(most.bindings.len(), limits::POLICIES_PER_TOKEN);
    let three = [COURSES_IDENTIFIER, REPORTS_IDENTIFIER, OPEN_IDENTIFIER];
    let ask = Ask {
        scope: Some("courses:publish reports:read open:use"),
        resources: &three,
        ..Ask::default()
    };
    let count = 5 * limits::BINDINGS_PER_TARGET;
    let denial = authorize(&log.index, JOB, ask).expect_err("too many");
    assert_eq!(denial, Denial::TooManyPolicies { count });
    // Shadows decide nothing: those that are too many are not asked.
    let shadows: Vec<BindingId> = log.index.bound(apis[2]).iter().map(|one| one.id).collect();
    for id in shadows {
        let shadow = Command::ChangePolicyBinding {
            id,
            mode: Some(PolicyMode::Shadow),
            order: None,
            judgement: None,
        };
        log.run(&admin(), shadow);
    }
    let all = asked(&log, "courses:publish reports:read open:use", &three);
    assert_eq!(all.bindings.len(), limits::POLICIES_PER_TOKEN);
    assert!(
        all.bindings
            .iter()
            .all(|one| one.mode == PolicyMode::Enforce)
    );
}

#[test]
fn an_entitlement_is_another_one_when_a_policy_that_judges_it_changes() {
    let mut log = world();
    log.run(&admin(), upload_policy(1));
    log.run(&admin(), upload_policy(2));
    let mut stands = |command: Command| {
        let entitled = asked(&log, "courses:publish", &[]);
        log.run(&admin(), command);
        entitlement_version(&log.index, &entitled) == Some(entitled.version)
    };
    let courses = PolicyTarget::ApiResource(COURSES);
    assert!(!stands(bind_policy(courses, 1)));
    assert!(!stands(bind_policy(PolicyTarget::Server, 1)));
    assert!(!stands(bind_policy(PolicyTarget::Application(JOB), 1)));
    assert!(!stands(rebind_policy(BindingId(0), judgement(2, 1, &[]))));
    assert!(!stands(Command::RollBackPolicyBinding { id: BindingId(0) }));
    assert!(stands(bind_policy(PolicyTarget::ApiResource(REPORTS), 1)));
    assert!(stands(bind_policy(PolicyTarget::Application(ADMIN), 1)));
    // Also when something newer hides it, and when nothing is left.
    let renamed = ApplicationChange {
        name: Some(parse("Another")),
        ..change_application(JOB)
    };
    assert!(!stands(renamed.into()));
    assert!(!stands(Command::UnbindPolicy { id: BindingId(0) }));
}

#[test]
fn an_api_that_lost_all_its_scopes_is_no_audience() {
    let log = world();
    let both = [COURSES_IDENTIFIER, REPORTS_IDENTIFIER, OPEN_IDENTIFIER];
    let entitled = asked(
        &log,
        "courses:publish courses:read-approved reports:read",
        &both,
    );
    let audience = |names: &[&str]| -> Vec<String> {
        let audience = entitled.audience_of(&scopes(names));
        audience.iter().map(ToString::to_string).collect()
    };
    // One that was asked for without scopes has lost none.
    assert_eq!(
        audience(&["courses:publish", "courses:read-approved", "reports:read"]),
        both
    );
    assert_eq!(
        audience(&["courses:publish"]),
        [COURSES_IDENTIFIER, OPEN_IDENTIFIER]
    );
    assert_eq!(
        audience(&["reports:read"]),
        [REPORTS_IDENTIFIER, OPEN_IDENTIFIER]
    );
}

/// More than can be asked for can be granted, and is then too much for a token that names none.
#[test]
fn a_token_carries_only_so_many_scopes() {
    let identifier = "https://many.example";
    let api = ApiId(2);
    let names: Vec<String> = (0..=limits::SCOPES_PER_REQUEST)
        .map(|n| format!("many:{n:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut log = Log::base();
    log.run(&admin(), create_api(identifier, &names));
    log.run(&admin(), add_grant(JOB, api, &names));
    let too_many = Err(Denial::TooManyScopes { count: names.len() });
    assert_eq!(ask(&log, None, &[identifier]), too_many);
    omitted_is_all(&mut log);
    assert_eq!(ask(&log, None, &[]), too_many);
    // One fewer fits, and so does whatever is named.
    let some = names[1..].join(" ");
    let named = granted(ask(&log, Some(&some), &[]));
    assert_eq!(named, expect(&some, &[identifier]));
    let fewer = Command::ChangeGrant {
        application: JOB,
        api,
        mode: None,
        scopes: Some(names[1..].iter().map(|name| parse(name)).collect()),
    };
    log.run(&admin(), fewer);
    let all = granted(ask(&log, None, &[identifier]));
    assert_eq!(all, expect(&some, &[identifier]));
}
