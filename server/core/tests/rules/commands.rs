//! What each command means when nothing speaks against it: one test or more for every command.

use writ_core::testkit::*;
use writ_core::*;

const CAST: ApplicationId = ApplicationId(3);

fn guards(api: ApiId, guards: &[ApplicationId]) -> Command {
    Command::ChangeApiResource {
        id: api,
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(guards.to_vec()),
    }
}

#[test]
fn a_log_begins_with_keys_the_management_api_and_an_administrator() {
    let given = given_nothing()
        .when(operator(), initialize())
        .then_accepted();
    let kinds: Vec<&str> = given.log.recorded.iter().map(|r| r.event.kind()).collect();
    let key = ["signing_key.made", "signing_key.activated"];
    let expected = [
        &["log.created"][..],
        &key.repeat(4),
        &["api_resource.created"],
        &[
            "application.created",
            "application.secret_added",
            "grant.added",
        ],
    ]
    .concat();
    assert_eq!(kinds, expected);
    let index = &given.log.index;
    let management = index.management().expect("made");
    assert_eq!(management.id, MANAGEMENT);
    assert_eq!(management.identifier.as_str(), MANAGEMENT_IDENTIFIER);
    let administrator = index.application(ADMIN).expect("made");
    assert_eq!(
        index.granted(administrator, MANAGEMENT),
        management.all_scopes()
    );
    assert!(
        administrator
            .match_secret(&digest(1), given.log.now)
            .valid()
            .is_some()
    );
    for algorithm in Algorithm::ALL {
        let key = index.active_key(algorithm).expect("active");
        assert_eq!(key.kid, first_kid(algorithm));
    }
}

#[test]
fn an_administrator_can_be_recovered() {
    let command = Command::RecoverAdministrator {
        application: CAST,
        name: parse("Rescue"),
        secret: secret(9),
    };
    given_base().when(operator(), command).then([
        Event::from(ApplicationCreated {
            id: CAST,
            name: parse("Rescue"),
            labels: Labels::default(),
            token_settings: TokenSettings::default(),
        }),
        ApplicationSecretAdded {
            application: CAST,
            secret: SecretId(9),
            digest: digest(9),
            expires_at: None,
        }
        .into(),
        GrantAdded {
            application: CAST,
            api: MANAGEMENT,
            mode: GrantMode::None,
            scopes: all_management_scopes(),
        }
        .into(),
    ]);
}

fn start() -> Command {
    Command::StartServer {
        version: "0.1.0".into(),
        engine: "wasmtime".into(),
        issuer: Some("https://writ.example".into()),
    }
}

fn started() -> Event {
    ServerStarted {
        version: "0.1.0".into(),
        rules_version: RULES_VERSION,
        engine: "wasmtime".into(),
        issuer: Some("https://writ.example".into()),
    }
    .into()
}

#[test]
fn a_start_names_the_issuer_until_the_next_one_does() {
    let mut log = Log::base();
    assert_eq!(log.index.issuer(), None);
    log.run(&Actor::system("start"), start());
    assert_eq!(log.index.issuer(), Some("https://writ.example"));
    let older = Command::StartServer {
        version: "0.0.9".into(),
        engine: "wasmtime".into(),
        issuer: None,
    };
    log.run(&Actor::system("start"), older);
    assert_eq!(log.index.issuer(), None, "that server may have had another");
}

#[test]
fn a_start_is_recorded() {
    given_base()
        .when(Actor::system("start"), start())
        .then([started()]);
}

/// A log as an older Writ wrote it: the last management scope was not known yet. The first
/// administrator has all there were, the second too but by a role, the third one scope.
fn older_log() -> Log {
    let known: Vec<ManagementScope> =
        ManagementScope::ALL[..ManagementScope::ALL.len() - 1].to_vec();
    let names: Vec<ScopeName> = known.iter().map(|scope| scope.name()).collect();
    let mut log = Log::empty();
    log.record_event(LogCreated {
        log_id: "old".into(),
        format: 1,
    });
    log.record_event(ApiResourceCreated {
        id: MANAGEMENT,
        identifier: parse(MANAGEMENT_IDENTIFIER),
        name: parse("Management"),
        requires_authorization: true,
        profile: TokenProfile::default(),
        guards: Vec::new(),
        scopes: names
            .iter()
            .map(|name| Scope {
                name: name.clone(),
                description: None,
            })
            .collect(),
    });
    log.record_event(RoleCreated {
        id: RoleId(0),
        name: parse("Administrators"),
        scopes: names.clone(),
    });
    let grants = [
        (1, GrantMode::None, names.clone()),
        (2, GrantMode::Rbac, names.clone()),
        (3, GrantMode::None, names[..1].to_vec()),
    ];
    for (id, mode, scopes) in grants {
        let application = ApplicationId(id);
        log.run(&operator(), create_application(id, "Somebody"));
        log.run(&operator(), add_secret(application, id));
        log.record_event(GrantAdded {
            application,
            api: MANAGEMENT,
            mode,
            scopes,
        });
    }
    log.record_event(ApplicationRoleAssigned {
        application: ApplicationId(2),
        role: RoleId(0),
    });
    log
}

#[test]
fn the_first_start_of_a_newer_version_gives_new_scopes_to_those_who_have_all() {
    let new = ManagementScope::ALL[ManagementScope::ALL.len() - 1];
    let mut log = older_log();
    let changed = |id, mode| {
        Event::from(GrantChanged {
            application: ApplicationId(id),
            api: MANAGEMENT,
            mode,
            scopes: all_management_scopes(),
        })
    };
    let mut sorted = all_management_scopes();
    sorted.sort_unstable();
    let expected = vec![
        started(),
        ScopeAdded {
            api: MANAGEMENT,
            scope: Scope {
                name: new.name(),
                description: new.description().parse().ok(),
            },
        }
        .into(),
        changed(1, GrantMode::None),
        changed(2, GrantMode::Rbac),
        RoleScopesChanged {
            id: RoleId(0),
            scopes: sorted,
        }
        .into(),
    ];
    assert_eq!(log.run(&Actor::system("start"), start()), expected);
    let all = log.index.management().expect("there").all_scopes();
    for id in [1, 2] {
        let application = log.index.application(ApplicationId(id)).expect("there");
        assert_eq!(log.index.granted(application, MANAGEMENT), all);
    }
    assert_eq!(log.run(&Actor::system("start"), start()), [started()]);
    assert_eq!(log.replayed(), log.index);
}

#[test]
fn settings_change_and_only_the_difference_is_recorded() {
    let change = SettingsChange {
        scopes_combine_apis: Some(false),
        tokens_lifetime_seconds: Some(600),
        ..SettingsChange::default()
    };
    let ask = || Command::ChangeSettings {
        change: change.clone(),
    };
    given_base()
        .when(admin(), ask())
        .then([SettingsChanged {
            change: SettingsChange {
                tokens_lifetime_seconds: Some(600),
                ..SettingsChange::default()
            },
        }])
        .when(admin(), ask())
        .then_nothing();
}

#[test]
fn an_api_resource_is_registered_with_the_next_id() {
    let mut profile = TokenProfile {
        algorithm: Algorithm::EdDSA,
        typ: TokenType::Jwt,
        lifetime_seconds: Some(60),
        ..TokenProfile::default()
    };
    let described = NewScope {
        name: parse("a:read"),
        description: Some(parse("Read it")),
    };
    let command = Command::CreateApiResource {
        identifier: parse("urn:example:a"),
        name: parse("A"),
        requires_authorization: false,
        profile,
        guards: vec![JOB, ADMIN, JOB],
        scopes: vec![described],
    };
    let given = given_base()
        .when(admin(), command)
        .then([ApiResourceCreated {
            id: ApiId(2),
            identifier: parse("urn:example:a"),
            name: parse("A"),
            requires_authorization: false,
            profile,
            guards: vec![ADMIN, JOB],
            scopes: vec![Scope {
                name: parse("a:read"),
                description: Some(parse("Read it")),
            }],
        }]);
    profile.lifetime_seconds = None;
    let change = Command::ChangeApiResource {
        id: ApiId(2),
        name: Some(parse("B")),
        requires_authorization: Some(true),
        profile: ProfileChange {
            lifetime_seconds: Some(None),
            ..ProfileChange::default()
        },
        guards: Some(vec![JOB]),
    };
    let id = ApiId(2);
    given
        .when(admin(), change.clone())
        .then([
            Event::from(ApiResourceRenamed {
                id,
                name: parse("B"),
            }),
            ApiResourceAuthorizationChanged {
                id,
                requires_authorization: true,
            }
            .into(),
            ApiResourceProfileChanged { id, profile }.into(),
            ApiResourceGuardsChanged {
                id,
                guards: vec![JOB],
            }
            .into(),
        ])
        .when(admin(), change)
        .then_nothing();
}

#[test]
fn an_id_is_never_used_again() {
    let remove = Command::RemoveApiResource {
        id: COURSES,
        cascade: false,
    };
    let given = given_base()
        .when(admin(), remove)
        .then([ApiResourceRemoved { id: COURSES }])
        .and([create_api(COURSES_IDENTIFIER, &["courses:read"])]);
    assert!(given.log.index.api(COURSES).is_none());
    let again = given
        .log
        .index
        .api_identified(COURSES_IDENTIFIER)
        .expect("made");
    assert_eq!(again.id, ApiId(2));

    let given = testkit::given([create_role("R", &[])])
        .and([Command::RemoveRole {
            id: RoleId(0),
            cascade: false,
        }])
        .and([create_role("R", &[])]);
    assert!(given.log.index.role(RoleId(1)).is_some());
}

#[test]
fn what_is_left_behind_is_free_again() {
    // The old name of a role.
    given([create_role("Readers", &[])])
        .and([Command::ChangeRole {
            id: RoleId(0),
            name: Some(parse("Writers")),
            scopes: None,
        }])
        .when(admin(), create_role("Readers", &[]))
        .then_accepted();
    // An extra audience, when the last application that had it lets it go.
    let audience = |id, audiences: &[&str]| ApplicationChange {
        token_settings: Some(TokenSettings {
            extra_audiences: audiences.iter().map(|text| parse(text)).collect(),
            ..TokenSettings::default()
        }),
        ..change_application(id)
    };
    let given = given([
        Command::from(audience(JOB, &["urn:a"])),
        audience(ADMIN, &["urn:a"]).into(),
        audience(ADMIN, &[]).into(),
    ]);
    given
        .when(admin(), create_api("urn:a", &[]))
        .then_refused(Refusal::IdentifierIsExtraAudience {
            identifier: parse("urn:a"),
        })
        .and([Command::RemoveApplication {
            id: JOB,
            cascade: false,
        }])
        .when(admin(), create_api("urn:a", &[]))
        .then_accepted();
    // An application of an administrator's id is no administrator.
    let given = given_base()
        .and([(operator(), add_grant(JOB, MANAGEMENT, &[]))])
        .and([Command::RemoveApplication {
            id: JOB,
            cascade: false,
        }])
        .and([create_application(JOB.0, "Another")]);
    let administrators = given.log.index.administrators().map(|app| app.id);
    assert_eq!(administrators.collect::<Vec<_>>(), [ADMIN]);
}

#[test]
fn removing_an_api_resource_cascades_when_asked() {
    given([
        add_grant(JOB, COURSES, &["courses:read"]),
        create_role("Mixed", &["courses:read", "writ:roles:read"]),
    ])
    .when(
        admin(),
        Command::RemoveApiResource {
            id: COURSES,
            cascade: true,
        },
    )
    .then([
        Event::from(GrantRemoved {
            application: JOB,
            api: COURSES,
        }),
        RoleScopesChanged {
            id: RoleId(0),
            scopes: scopes(&["writ:roles:read"]),
        }
        .into(),
        ApiResourceRemoved { id: COURSES }.into(),
    ]);
}

#[test]
fn a_scope_is_added_then_described() {
    let put = |description: Option<&str>| Command::PutScope {
        api: COURSES,
        scope: NewScope {
            name: parse("courses:archive"),
            description: description.map(parse),
        },
    };
    given_base()
        .when(admin(), put(None))
        .then([ScopeAdded {
            api: COURSES,
            scope: Scope {
                name: parse("courses:archive"),
                description: None,
            },
        }])
        .when(admin(), put(Some("Put away")))
        .then([ScopeDescribed {
            api: COURSES,
            name: parse("courses:archive"),
            description: Some(parse("Put away")),
        }])
        .when(admin(), put(Some("Put away")))
        .then_nothing();
}

#[test]
fn removing_a_scope_cascades_when_asked() {
    let remove = |cascade| Command::RemoveScope {
        api: COURSES,
        name: parse("courses:read"),
        cascade,
    };
    let removed = Event::from(ScopeRemoved {
        api: COURSES,
        name: parse("courses:read"),
    });
    given_base()
        .when(admin(), remove(false))
        .then([removed.clone()]);
    let given = given([
        add_grant(JOB, COURSES, &["courses:read", "courses:publish"]),
        create_role("Readers", &["courses:read"]),
    ])
    .when(admin(), remove(true))
    .then([
        Event::from(GrantChanged {
            application: JOB,
            api: COURSES,
            mode: GrantMode::None,
            scopes: scopes(&["courses:publish"]),
        }),
        RoleScopesChanged {
            id: RoleId(0),
            scopes: Vec::new(),
        }
        .into(),
        removed,
    ]);
    // A new scope of the old name is another one: nobody has it.
    let given = given.and([Command::PutScope {
        api: COURSES,
        scope: new_scope("courses:read"),
    }]);
    let index = &given.log.index;
    let job = index.application(JOB).expect("there");
    let api = index.api(COURSES).expect("there");
    assert_eq!(
        api.names(&index.granted(job, COURSES)),
        scopes(&["courses:publish"])
    );
    assert_eq!(index.scope("courses:read"), Some((COURSES, 5)));
}

#[test]
fn an_application_is_created_and_changed() {
    let labels = Labels::new([("env".into(), "prod".into())].into()).expect("labels");
    let token_settings = TokenSettings {
        audience: Audience::ClientId,
        extra_audiences: vec![parse("urn:example:legacy")],
        lifetime_seconds: Some(60),
        ..TokenSettings::default()
    };
    let create = Command::CreateApplication {
        id: CAST,
        name: parse("Cast"),
        labels: labels.clone(),
        token_settings: token_settings.clone(),
    };
    let change = ApplicationChange {
        name: Some(parse("Castle")),
        enabled: Some(false),
        labels: Some(Labels::default()),
        token_settings: Some(TokenSettings::default()),
        ..change_application(CAST)
    };
    given_base()
        .when(admin(), create)
        .then([ApplicationCreated {
            id: CAST,
            name: parse("Cast"),
            labels,
            token_settings,
        }])
        .when(admin(), change.clone())
        .then([
            Event::from(ApplicationRenamed {
                id: CAST,
                name: parse("Castle"),
            }),
            ApplicationDisabled { id: CAST }.into(),
            ApplicationLabelled {
                id: CAST,
                labels: Labels::default(),
            }
            .into(),
            ApplicationTokenSettingsChanged {
                id: CAST,
                token_settings: TokenSettings::default(),
            }
            .into(),
        ])
        .when(admin(), change)
        .then_nothing()
        .when(admin(), enable(CAST, true))
        .then([ApplicationEnabled { id: CAST }]);
}

#[test]
fn removing_an_application_takes_it_from_the_guards_when_asked() {
    let remove = |cascade| Command::RemoveApplication { id: JOB, cascade };
    given_base()
        .when(admin(), remove(false))
        .then([ApplicationRemoved { id: JOB }]);
    given([guards(COURSES, &[ADMIN, JOB])])
        .when(admin(), remove(true))
        .then([
            Event::from(ApiResourceGuardsChanged {
                id: COURSES,
                guards: vec![ADMIN],
            }),
            ApplicationRemoved { id: JOB }.into(),
        ]);
}

#[test]
fn secrets_are_added_and_revoked_and_several_work_at_once() {
    let end = BEGIN.plus_seconds(3600);
    let short = NewSecret {
        expires_at: Some(end),
        ..secret(7)
    };
    let given = given_base()
        .when(
            admin(),
            Command::AddSecret {
                application: JOB,
                secret: short,
            },
        )
        .then([ApplicationSecretAdded {
            application: JOB,
            secret: SecretId(7),
            digest: digest(7),
            expires_at: Some(end),
        }]);
    let matches = |log: &Log, number, now| {
        let job = log.index.application(JOB).expect("there");
        job.match_secret(&digest(number), now).valid().map(|s| s.id)
    };
    let before = Millis(end.0 - 1);
    assert_eq!(matches(&given.log, 7, before), Some(SecretId(7)));
    assert_eq!(matches(&given.log, JOB_SECRET.0, before), Some(JOB_SECRET));
    assert_eq!(matches(&given.log, 7, end), None);
    assert_eq!(matches(&given.log, 8, before), None);
    let given = given
        .when(
            admin(),
            Command::RevokeSecret {
                application: JOB,
                secret: JOB_SECRET,
            },
        )
        .then([ApplicationSecretRevoked {
            application: JOB,
            secret: JOB_SECRET,
        }]);
    assert_eq!(matches(&given.log, JOB_SECRET.0, before), None);
}

#[test]
fn a_rotation_adds_a_secret_and_ends_the_older_ones_after_the_overlap() {
    let rotate = |number, overlap_seconds| Command::RotateSecret {
        application: JOB,
        secret: secret(number),
        overlap_seconds,
    };
    let added = |number| -> Event {
        ApplicationSecretAdded {
            application: JOB,
            secret: SecretId(number),
            digest: digest(number),
            expires_at: None,
        }
        .into()
    };
    let ends = |number, at: Millis| -> Event {
        ApplicationSecretExpirySet {
            application: JOB,
            secret: SecretId(number),
            expires_at: at,
        }
        .into()
    };
    let gone = |number| -> Event {
        ApplicationSecretRevoked {
            application: JOB,
            secret: SecretId(number),
        }
        .into()
    };
    let works = |log: &Log, number, now| {
        let job = log.index.application(JOB).expect("there");
        job.match_secret(&digest(number), now).valid().is_some()
    };
    // A question is a second later than the answer before.
    let next = |given: &Given| given.log.now.plus_seconds(1);
    let given = given_base();
    let day = next(&given).plus_seconds(86_400);
    let given = given
        .when(admin(), rotate(7, 86_400))
        .then([added(7), ends(JOB_SECRET.0, day)]);
    let just_before = Millis(day.0 - 1);
    assert!(works(&given.log, JOB_SECRET.0, just_before));
    assert!(!works(&given.log, JOB_SECRET.0, day));
    assert!(works(&given.log, 7, day));
    // What ends sooner stays as it is: nothing is made longer.
    let given = given.after_seconds(3_600);
    let later = next(&given).plus_seconds(86_400);
    let given = given
        .when(admin(), rotate(8, 86_400))
        .then([added(8), ends(7, later)]);
    assert!(!works(&given.log, JOB_SECRET.0, day));
    // Without an overlap they end at once. What had ended already is taken away.
    let given = given.after_seconds(82_800);
    let now = next(&given);
    let given = given.when(admin(), rotate(9, 0)).then([
        added(9),
        ends(7, now),
        ends(8, now),
        gone(JOB_SECRET.0),
    ]);
    assert!(!works(&given.log, 8, now));
    assert!(works(&given.log, 9, now));
    // So it can go on for ever.
    let rotations =
        (100..100 + 2 * limits::SECRETS_PER_APPLICATION as u128).map(|number| rotate(number, 0));
    rotations.fold(given, |given, command| {
        given
            .after_seconds(1)
            .when(admin(), command)
            .then_accepted()
    });
}

#[test]
fn a_grant_is_added_changed_and_removed() {
    let add = Command::AddGrant {
        application: JOB,
        api: COURSES,
        mode: GrantMode::Rbac,
        scopes: scopes(&["courses:write", "courses:read"]),
    };
    let change = |mode, names: Option<&[&str]>| Command::ChangeGrant {
        application: JOB,
        api: COURSES,
        mode,
        scopes: names.map(scopes),
    };
    let changed = |mode, names: &[&str]| GrantChanged {
        application: JOB,
        api: COURSES,
        mode,
        scopes: scopes(names),
    };
    given_base()
        .when(admin(), add)
        .then([GrantAdded {
            application: JOB,
            api: COURSES,
            mode: GrantMode::Rbac,
            scopes: scopes(&["courses:read", "courses:write"]),
        }])
        .when(admin(), change(Some(GrantMode::None), None))
        .then([changed(GrantMode::None, &["courses:read", "courses:write"])])
        .when(admin(), change(None, Some(&["courses:read"])))
        .then([changed(GrantMode::None, &["courses:read"])])
        .when(admin(), change(None, Some(&["courses:read"])))
        .then_nothing()
        .when(
            admin(),
            Command::RemoveGrant {
                application: JOB,
                api: COURSES,
            },
        )
        .then([GrantRemoved {
            application: JOB,
            api: COURSES,
        }]);
}

#[test]
fn roles_are_made_changed_assigned_and_removed() {
    let assign = || Command::AssignRole {
        application: JOB,
        role: RoleId(0),
    };
    let assigned = ApplicationRoleAssigned {
        application: JOB,
        role: RoleId(0),
    };
    let unassigned = Event::from(ApplicationRoleUnassigned {
        application: JOB,
        role: RoleId(0),
    });
    let remove = |cascade| Command::RemoveRole {
        id: RoleId(0),
        cascade,
    };
    given_base()
        .when(
            admin(),
            create_role("Readers", &["courses:write", "courses:read"]),
        )
        .then([RoleCreated {
            id: RoleId(0),
            name: parse("Readers"),
            scopes: scopes(&["courses:read", "courses:write"]),
        }])
        .when(
            admin(),
            Command::ChangeRole {
                id: RoleId(0),
                name: Some(parse("Writers")),
                scopes: Some(scopes(&["courses:write"])),
            },
        )
        .then([
            Event::from(RoleRenamed {
                id: RoleId(0),
                name: parse("Writers"),
            }),
            RoleScopesChanged {
                id: RoleId(0),
                scopes: scopes(&["courses:write"]),
            }
            .into(),
        ])
        .when(admin(), assign())
        .then([assigned.clone()])
        .when(admin(), assign())
        .then_nothing()
        .when(
            admin(),
            Command::UnassignRole {
                application: JOB,
                role: RoleId(0),
            },
        )
        .then([unassigned.clone()])
        .when(admin(), assign())
        .then([assigned])
        .when(admin(), remove(true))
        .then([unassigned, RoleRemoved { id: RoleId(0) }.into()])
        .when(admin(), create_role("Writers", &[]))
        .then_accepted()
        .when(
            admin(),
            Command::RemoveRole {
                id: RoleId(1),
                cascade: false,
            },
        )
        .then([RoleRemoved { id: RoleId(1) }]);
}

#[test]
fn a_key_is_published_signs_retires_and_leaves() {
    let kid = || parse::<Kid>("es256-2");
    let old = first_kid(Algorithm::ES256);
    let key = signing_key("es256-2", Algorithm::ES256);
    let given = given_base()
        .when(admin(), Command::MakeSigningKey { key: key.clone() })
        .then([SigningKeyMade {
            kid: kid(),
            algorithm: key.algorithm,
            jwk: key.jwk,
        }])
        .after_seconds(3600);
    let now = given.log.now.plus_seconds(1);
    let until = now.plus_seconds(limits::KEY_AFTERLIFE_SECONDS);
    let given = given
        .when(admin(), Command::ActivateSigningKey { kid: kid() })
        .then([
            Event::from(SigningKeyActivated { kid: kid() }),
            SigningKeyRetired {
                kid: old.clone(),
                until,
            }
            .into(),
        ])
        .when(admin(), Command::ActivateSigningKey { kid: kid() })
        .then_nothing()
        .when(admin(), Command::RetireSigningKey { kid: old.clone() })
        .then_nothing()
        .when(Actor::system("rotation"), Command::RemoveExpiredSigningKeys)
        .then_nothing();
    let active = given.log.index.active_key(Algorithm::ES256);
    assert_eq!(active.map(|key| key.kid.clone()), Some(kid()));
    given
        .after_seconds(limits::KEY_AFTERLIFE_SECONDS)
        .when(Actor::system("rotation"), Command::RemoveExpiredSigningKeys)
        .then([SigningKeyRemoved { kid: old }]);
}

#[test]
fn a_key_that_never_signed_retires_at_once() {
    let given = given([Command::MakeSigningKey {
        key: signing_key("x", Algorithm::EdDSA),
    }]);
    let until = given.log.now.plus_seconds(1);
    given
        .when(admin(), Command::RetireSigningKey { kid: parse("x") })
        .then([SigningKeyRetired {
            kid: parse("x"),
            until,
        }]);
}

#[test]
fn a_compromised_key_goes_at_once_and_another_signs() {
    let old = first_kid(Algorithm::EdDSA);
    let revoked = Event::from(SigningKeyRevoked { kid: old.clone() });
    let revoke = |replacement| Command::RevokeSigningKey {
        kid: first_kid(Algorithm::EdDSA),
        replacement,
    };
    let activated = Event::from(SigningKeyActivated { kid: parse("x") });
    let key = signing_key("x", Algorithm::EdDSA);
    // One that is published comes first.
    given([Command::MakeSigningKey { key: key.clone() }])
        .when(admin(), revoke(Some(signing_key("y", Algorithm::EdDSA))))
        .then([revoked.clone(), activated.clone()])
        .when(admin(), revoke(None))
        .then_nothing();
    let made = SigningKeyMade {
        kid: parse("x"),
        algorithm: key.algorithm,
        jwk: key.jwk.clone(),
    };
    let given =
        given_base()
            .when(admin(), revoke(Some(key)))
            .then([revoked, made.into(), activated]);
    let index = &given.log.index;
    assert!(!index.key(old.as_str()).expect("remembered").is_trusted());
    let active = index.active_key(Algorithm::EdDSA).expect("replaced");
    assert_eq!(active.kid.as_str(), "x");
}

#[test]
fn a_compromised_key_is_replaced_even_when_there_are_as_many_as_can_be() {
    let mut log = Log::base();
    for i in 4..limits::SIGNING_KEYS {
        let key = signing_key(&format!("k{i}"), Algorithm::ES256);
        log.run(&admin(), Command::MakeSigningKey { key });
    }
    let kid = first_kid(Algorithm::RS256);
    let replacement = Some(signing_key("new", Algorithm::RS256));
    let events = log.run(&admin(), Command::RevokeSigningKey { kid, replacement });
    assert_eq!(events.len(), 3);
}

#[test]
fn a_token_is_revoked_until_it_expires() {
    let token = jti(BEGIN, 5);
    let revoke = |seconds| Command::RevokeToken {
        jti: token,
        application: JOB,
        expires_at: BEGIN.plus_seconds(seconds),
    };
    let revoked = |seconds| TokenRevoked {
        jti: token,
        application: JOB,
        expires_at: BEGIN.plus_seconds(seconds),
    };
    let given = given_base()
        .when(admin(), revoke(600))
        .then([revoked(600)])
        .when(admin(), revoke(600))
        .then_nothing()
        .when(admin(), revoke(300))
        .then_nothing();
    assert!(given.log.index.is_revoked(token));
    // It was remembered for too short a time: the later end counts, and it is one revocation.
    let given = given.when(admin(), revoke(900)).then([revoked(900)]);
    assert_eq!(given.log.index.revocations_of(JOB), 1);
    let at = |mut given: Given, seconds: u64| {
        given.log.now = BEGIN.plus_seconds(seconds);
        given.and([create_role(&format!("At {seconds}"), &[])])
    };
    let given = at(given, 700);
    assert!(given.log.index.is_revoked(token));
    let given = at(given, 900);
    assert!(!given.log.index.is_revoked(token));
    assert_eq!(given.log.index.revocations_of(JOB), 0);
    assert_eq!(given.log.index.revoked_count(), 0);
    assert_eq!(given.log.replayed(), given.log.index);
}

#[test]
fn all_tokens_until_now_are_cut() {
    let given = given_base()
        .when(admin(), Command::CutTokens { application: JOB })
        .then([ApplicationTokensCut { application: JOB }]);
    let job = given.log.index.application(JOB).expect("there");
    let now = given.log.now;
    assert!(job.has_cut(now));
    assert!(!job.has_cut(Millis(now.0 + 1)));
}

#[test]
fn a_file_of_issuances_is_sealed_once() {
    let (first, last, records) = (jti(BEGIN, 1), jti(BEGIN, 2), 2);
    let seal = |file: &str, root| Command::SealIssuances {
        file: file.into(),
        first,
        last,
        records,
        root: [root; 32],
    };
    let sealed = |file: &str, root| IssuancesSealed {
        file: file.into(),
        first,
        last,
        records,
        root: [root; 32],
    };
    let given = given_base()
        .when(Actor::system("seal"), seal("2", 7))
        .then([sealed("2", 7)])
        // A crash came before anybody noted that it is done.
        .when(Actor::system("seal"), seal("2", 7))
        .then_nothing()
        // Another file under the name of a lost one; and the lost one, found again.
        .when(Actor::system("seal"), seal("2", 8))
        .then([sealed("2", 8)])
        .when(Actor::system("seal"), seal("2", 7))
        .then_nothing()
        .when(Actor::system("seal"), seal("1", 7))
        .then([sealed("1", 7)]);
    let index = &given.log.index;
    assert!(index.is_sealed("2", &[7; 32]) && index.is_sealed("2", &[8; 32]));
    assert!(!index.is_sealed("1", &[8; 32]) && !index.is_sealed("3", &[7; 32]));
    assert_eq!(index.sealed_files().collect::<Vec<_>>(), ["1", "2", "2"]);
}

// What surrounds a command.

fn keyed(log: &mut Log, command: Command, key: u8, body: u8) -> Submission {
    let mut submission = log.submission(&admin(), command);
    submission.idempotency = Some(Idempotency {
        key: [key; 32],
        body: [body; 32],
    });
    submission
}

#[test]
fn a_repeat_changes_nothing_and_says_what_it_was() {
    let mut log = Log::base();
    let role = |name: &str| create_role(name, &[]);
    let first = keyed(&mut log, role("A"), 1, 1);
    let position = log.index.next_position();
    assert!(matches!(log.submit(&first), Ok(Decision::Events(events)) if events.len() == 1));
    let mut again = keyed(&mut log, role("A"), 1, 1);
    // The version that it was to have is long gone; a repeat is asked before that.
    again.if_match = Some(Position(0));
    let before = log.index.clone();
    let repeat = Repeatable {
        body: [1; 32],
        first: position,
        last: position,
        subject: Entity::Role(RoleId(0)),
    };
    assert_eq!(log.submit(&again), Ok(Decision::Repeat(repeat)));
    assert_eq!(log.index, before);
    let other = keyed(&mut log, role("B"), 1, 2);
    assert_eq!(log.submit(&other), Err(Refusal::IdempotencyKeyReused));
    let other_key = keyed(&mut log, role("B"), 2, 2);
    assert!(matches!(log.submit(&other_key), Ok(Decision::Events(_))));
}

#[test]
fn an_idempotency_key_is_remembered_for_a_day_of_log_time() {
    let mut log = Log::base();
    let first = keyed(&mut log, create_role("A", &[]), 1, 1);
    assert!(log.submit(&first).is_ok());
    let made = log.index.last_at();
    let again = keyed(&mut log, create_role("B", &[]), 1, 2);
    log.now = Millis(made.0 + limits::IDEMPOTENCY_MS - 1);
    assert_eq!(log.submit(&again), Err(Refusal::IdempotencyKeyReused));
    log.now = Millis(made.0 + limits::IDEMPOTENCY_MS);
    assert!(matches!(log.submit(&again), Ok(Decision::Events(_))));
    // The new use counts from its own time.
    log.now = Millis(made.0 + limits::IDEMPOTENCY_MS + 5);
    assert!(matches!(log.submit(&again), Ok(Decision::Repeat(_))));
    assert_eq!(log.replayed(), log.index);
}

#[test]
fn a_keyed_command_without_effect_is_recorded_so_that_its_repeat_is_known() {
    let mut log = Log::base();
    let nothing = keyed(&mut log, enable(JOB, true), 1, 1);
    let event = CommandHadNoEffect {
        subject: Entity::Application(JOB),
    };
    let version = log.index.application(JOB).expect("there").version;
    assert_eq!(
        log.submit(&nothing),
        Ok(Decision::Events(vec![event.into()]))
    );
    assert_eq!(log.index.application(JOB).expect("there").version, version);
    assert!(matches!(log.submit(&nothing), Ok(Decision::Repeat(_))));
}

#[test]
fn if_match_is_compared_with_the_last_change_of_the_subject() {
    let mut log = Log::base();
    let current = log.index.application(JOB).expect("there").version;
    let mut stale = log.submission(&admin(), enable(JOB, false));
    stale.if_match = Some(Position(current.0 - 1));
    assert_eq!(log.submit(&stale), Err(Refusal::VersionStale { current }));
    let mut fresh = log.submission(&admin(), enable(JOB, false));
    fresh.if_match = Some(current);
    assert!(log.submit(&fresh).is_ok());
    assert!(matches!(
        log.submit(&fresh),
        Err(Refusal::VersionStale { .. })
    ));
}

#[test]
fn an_accepted_event_always_fits_into_the_log() {
    // The largest application there can be: every text as long as it may be and all escaped.
    let quotes: Box<str> = "\"".repeat(limits::LABEL_VALUE_BYTES).into();
    let labels = (0..limits::LABELS_PER_APPLICATION)
        .map(|i| {
            let key = format!("{i:0>width$}", width = limits::LABEL_KEY_BYTES);
            (key.into(), quotes.clone())
        })
        .collect();
    let audience = |i: usize| {
        let text = format!("urn:{i:0>width$}", width = limits::IDENTIFIER_BYTES - 4);
        parse::<Identifier>(&text)
    };
    let command = Command::CreateApplication {
        id: CAST,
        name: parse(&"\u{1F980}".repeat(limits::NAME_CHARS)),
        labels: Labels::new(labels).expect("labels"),
        token_settings: TokenSettings {
            extra_audiences: (0..limits::EXTRA_AUDIENCES).map(audience).collect(),
            ..TokenSettings::default()
        },
    };
    given_base().when(admin(), command).then_accepted();
}

#[test]
fn policies_are_uploaded_bound_changed_rolled_back_and_unbound() {
    let (id, target) = (BindingId(0), PolicyTarget::ApiResource(COURSES));
    let (enforce, shadow) = (PolicyMode::Enforce, PolicyMode::Shadow);
    let Command::UploadPolicy {
        digest,
        bytes,
        descriptor,
    } = upload_policy(1)
    else {
        unreachable!("it uploads one")
    };
    let changed = |mode, order, judgement| PolicyBindingChanged {
        id,
        target,
        mode,
        order,
        judgement,
    };
    let change = |mode, order| Command::ChangePolicyBinding {
        id,
        mode,
        order,
        judgement: None,
    };
    let (first, second) = (judgement(1, 1, &["tier"]), judgement(2, 1, &[]));
    given([(admin(), upload_policy(2))])
        .when(admin(), upload_policy(1))
        .then([PolicyUploaded {
            digest,
            bytes,
            descriptor: *descriptor,
        }])
        .when(admin(), upload_policy(1))
        .then_nothing()
        .when(admin(), bind_policy(target, 1))
        .then([PolicyBindingCreated {
            id,
            target,
            mode: enforce,
            order: 100,
            judgement: first.clone(),
        }])
        .when(admin(), change(Some(enforce), Some(100)))
        .then_nothing()
        .when(admin(), rebind_policy(id, first.clone()))
        .then_nothing()
        // Another mode or order is no other judgement: there is nothing to roll back.
        .when(admin(), change(Some(shadow), Some(5)))
        .then([changed(shadow, 5, first.clone())])
        .when(admin(), Command::RollBackPolicyBinding { id })
        .then_refused(Refusal::PolicyBindingUnchanged { id })
        .when(admin(), rebind_policy(id, second.clone()))
        .then([changed(shadow, 5, second.clone())])
        .when(admin(), Command::RollBackPolicyBinding { id })
        .then([changed(shadow, 5, first)])
        // And forth again.
        .when(admin(), Command::RollBackPolicyBinding { id })
        .then([changed(shadow, 5, second)])
        .when(admin(), Command::UnbindPolicy { id })
        .then([PolicyBindingRemoved { id, target }])
        .when(admin(), Command::RemovePolicy { digest })
        .then([PolicyRemoved { digest }])
        // Ids are not used again.
        .when(admin(), bind_policy(target, 2))
        .then([PolicyBindingCreated {
            id: BindingId(1),
            target,
            mode: enforce,
            order: 100,
            judgement: judgement(2, 1, &["tier"]),
        }]);
}

#[test]
fn claims_of_a_binding_are_sorted_and_named_once() {
    let mut given = given([(admin(), upload_policy(1))]);
    let claims = ["tier", "tenant", "tier"];
    let command = Command::BindPolicy {
        target: PolicyTarget::Server,
        mode: PolicyMode::Enforce,
        order: 0,
        judgement: judgement(1, 1, &claims),
    };
    given.log.run(&admin(), command);
    let binding = &given.log.index.bound(PolicyTarget::Server)[0];
    assert_eq!(binding.judgement.claims, ["tenant".into(), "tier".into()]);
}

#[test]
fn bindings_are_asked_by_order_and_age() {
    let mut log = Log::base();
    log.run(&admin(), upload_policy(1));
    for order in [5, 3, 5, 1] {
        log.run(
            &admin(),
            Command::BindPolicy {
                target: PolicyTarget::Server,
                mode: PolicyMode::Enforce,
                order,
                judgement: judgement(1, 1, &[]),
            },
        );
    }
    let order: Vec<u32> = log
        .index
        .bound(PolicyTarget::Server)
        .iter()
        .map(|one| one.id.0)
        .collect();
    assert_eq!(order, [3, 1, 0, 2]);
}

#[test]
fn bindings_go_with_what_they_are_bound_to() {
    let to_job = PolicyTarget::Application(JOB);
    let to_api = PolicyTarget::ApiResource(COURSES);
    let (cascade, removed) = (true, |id, target| -> Event {
        PolicyBindingRemoved {
            id: BindingId(id),
            target,
        }
        .into()
    });
    given([
        (admin(), upload_policy(1)),
        (admin(), bind_policy(to_job, 1)),
        (admin(), bind_policy(to_api, 1)),
        (admin(), bind_policy(to_api, 1)),
    ])
    .when(admin(), Command::RemoveApplication { id: JOB, cascade })
    .then([removed(0, to_job), ApplicationRemoved { id: JOB }.into()])
    .when(
        admin(),
        Command::RemoveApiResource {
            id: COURSES,
            cascade,
        },
    )
    .then([
        removed(1, to_api),
        removed(2, to_api),
        ApiResourceRemoved { id: COURSES }.into(),
    ]);
}

/// A policy that denies everything, bound to the management API, locks everyone out. Whoever is at
/// the machine gets in again.
#[test]
fn a_recovery_disarms_the_policies_of_the_management_api() {
    let target = PolicyTarget::ApiResource(MANAGEMENT);
    let mut log = Log::base();
    log.run(&admin(), upload_policy(1));
    log.run(&admin(), bind_policy(target, 1));
    log.run(&admin(), bind_policy(PolicyTarget::Server, 1));
    let recover = Command::RecoverAdministrator {
        application: ApplicationId(77),
        name: parse("Recovered"),
        secret: secret(77),
    };
    let events = log.run(&operator(), recover);
    let disarmed = PolicyBindingChanged {
        id: BindingId(0),
        target,
        mode: PolicyMode::Shadow,
        order: 100,
        judgement: judgement(1, 1, &["tier"]),
    };
    assert_eq!(events[3..], [disarmed.into()]);
    assert_eq!(log.replayed(), log.index);
}
