//! Who may do what to whom: every way to more authority than one has, closed; and what stays
//! possible.

use writ_core::testkit::*;
use writ_core::*;

/// An administrator of applications, with everything but settings.
const CLERK: ApplicationId = ApplicationId(10);
/// An application that holds one management scope which the clerk has not.
const CHIEF: ApplicationId = ApplicationId(11);
const CHIEF_SECRET: u128 = 11;
const ROLE: RoleId = RoleId(0);

fn clerk() -> Actor {
    full_actor(CLERK)
}

fn clerk_scopes() -> Vec<&'static str> {
    ManagementScope::ALL
        .iter()
        .map(|scope| scope.as_str())
        .filter(|name| *name != "writ:settings:write")
        .collect()
}

/// The base world, the clerk and the chief. The chief also has a role, a grant, and is disabled
/// so that a loss of its authority is seen to count nothing.
fn office() -> Given {
    let command = |command: Command| (operator(), command);
    given([
        command(create_application(CLERK.0, "Clerk")),
        command(add_secret(CLERK, CLERK.0)),
        command(add_grant(CLERK, MANAGEMENT, &clerk_scopes())),
        command(create_application(CHIEF.0, "Chief")),
        command(add_secret(CHIEF, CHIEF_SECRET)),
        command(add_grant(CHIEF, MANAGEMENT, &["writ:settings:write"])),
        command(Command::AddGrant {
            application: CHIEF,
            api: COURSES,
            mode: GrantMode::Rbac,
            scopes: scopes(&["courses:read", "courses:write"]),
        }),
        command(create_role("Readers", &["courses:read"])),
        command(Command::AssignRole {
            application: CHIEF,
            role: ROLE,
        }),
    ])
}

fn outranked() -> Refusal {
    Refusal::ActorOutranked { application: CHIEF }
}

fn lacks_settings() -> Refusal {
    Refusal::ActorLacksAuthority {
        scopes: scopes(&["writ:settings:write"]),
    }
}

fn change(set: impl FnOnce(&mut ApplicationChange)) -> Command {
    let mut change = change_application(CHIEF);
    set(&mut change);
    change.into()
}

fn change_grant(api: ApiId, mode: Option<GrantMode>, names: Option<&[&str]>) -> Command {
    Command::ChangeGrant {
        application: CHIEF,
        api,
        mode,
        scopes: names.map(scopes),
    }
}

fn change_role(names: &[&str]) -> Command {
    Command::ChangeRole {
        id: ROLE,
        name: None,
        scopes: Some(scopes(names)),
    }
}

fn guards(guards: &[ApplicationId]) -> Command {
    Command::ChangeApiResource {
        id: COURSES,
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(guards.to_vec()),
    }
}

#[test]
fn nobody_gives_or_loosens_anything_for_a_mightier_application() {
    let mut guarded = create_api("urn:a", &[]);
    if let Command::CreateApiResource { guards, .. } = &mut guarded {
        guards.push(CHIEF);
    }
    let attempts = [
        ("secret", add_secret(CHIEF, 50)),
        (
            "keys",
            Command::ChangeAuthentication {
                application: CHIEF,
                authentication: Some(Box::new(by_key(7))),
            },
        ),
        (
            "quota",
            Command::ChangeQuota {
                application: CHIEF,
                quota: Some(Quota {
                    per_day: Some(1),
                    ..Quota::default()
                }),
            },
        ),
        (
            "tokens to exchange",
            Command::ChangeExchange {
                application: JOB,
                exchange: Some(TokenExchange {
                    subjects: vec![CHIEF],
                    mode: ExchangeMode::Impersonation,
                }),
            },
        ),
        ("rename", change(|c| c.name = Some(parse("Trusted")))),
        (
            "label",
            change(|c| c.labels = Labels::new([("env".into(), "prod".into())].into()).ok()),
        ),
        (
            "token settings",
            change(|c| {
                c.token_settings = Some(TokenSettings {
                    extra_audiences: vec![parse("urn:elsewhere")],
                    ..TokenSettings::default()
                });
            }),
        ),
        ("grant", add_grant(CHIEF, ApiId(2), &[])),
        (
            "wider grant",
            change_grant(
                COURSES,
                None,
                Some(&["courses:publish", "courses:read", "courses:write"]),
            ),
        ),
        (
            "grant free of roles",
            change_grant(COURSES, Some(GrantMode::None), None),
        ),
        (
            "narrower grant free of roles",
            change_grant(COURSES, Some(GrantMode::None), Some(&["courses:write"])),
        ),
        (
            "role",
            Command::AssignRole {
                application: CHIEF,
                role: RoleId(1),
            },
        ),
        (
            "wider role",
            change_role(&["courses:read", "courses:write"]),
        ),
        ("other role", change_role(&["courses:write"])),
        ("guard", guards(&[CHIEF])),
        ("guard of a new API resource", guarded),
    ];
    for (what, command) in attempts {
        let given = office().and([create_api("urn:other", &[]), create_role("Others", &[])]);
        let found = given.clone().when(clerk(), command.clone()).refusal();
        assert_eq!(found, outranked(), "{what}");
        // Someone of its rank may.
        given.when(admin(), command).then_accepted();
    }
    let disabled = office().and([enable(CHIEF, false)]);
    disabled
        .when(clerk(), enable(CHIEF, true))
        .then_refused(outranked())
        .when(admin(), enable(CHIEF, true))
        .then_accepted();
}

#[test]
fn what_an_application_could_come_to_use_counts_not_what_it_can_use_now() {
    // Its management grant needs a role that it has not got; still only its peers arm it.
    let given = office().and([change_grant(MANAGEMENT, Some(GrantMode::Rbac), None)]);
    let chief = given.log.index.application(CHIEF).expect("there");
    assert!(given.log.index.granted(chief, MANAGEMENT).is_empty());
    given
        .when(clerk(), add_secret(CHIEF, 50))
        .then_refused(outranked());
}

#[test]
fn nobody_gives_out_management_scopes_beyond_their_own() {
    let third = ApplicationId(12);
    let given = || office().and([create_application(third.0, "Third")]);
    given()
        .when(
            clerk(),
            add_grant(third, MANAGEMENT, &["writ:settings:write"]),
        )
        .then_refused(lacks_settings())
        .when(clerk(), add_grant(third, MANAGEMENT, &["writ:roles:write"]))
        .then_accepted()
        .when(
            clerk(),
            Command::ChangeGrant {
                application: third,
                api: MANAGEMENT,
                mode: None,
                scopes: Some(scopes(&["writ:settings:write"])),
            },
        )
        .then_refused(lacks_settings());
    // In mode rbac too, although it would need a role first.
    given()
        .when(
            clerk(),
            Command::AddGrant {
                application: third,
                api: MANAGEMENT,
                mode: GrantMode::Rbac,
                scopes: all_management_scopes(),
            },
        )
        .then_refused(lacks_settings());
    // Nor to itself.
    given()
        .when(
            clerk(),
            Command::ChangeGrant {
                application: CLERK,
                api: MANAGEMENT,
                mode: None,
                scopes: Some(all_management_scopes()),
            },
        )
        .then_refused(lacks_settings());
}

#[test]
fn nobody_hands_out_management_scopes_by_a_role() {
    let mighty = RoleId(1);
    let assign = |application| Command::AssignRole {
        application,
        role: mighty,
    };
    office()
        .when(clerk(), create_role("R", &["writ:settings:write"]))
        .then_refused(lacks_settings())
        .when(
            clerk(),
            change_role(&["courses:read", "writ:settings:write"]),
        )
        .then_refused(lacks_settings())
        .when(clerk(), create_role("R", &["writ:roles:write"]))
        .then_accepted();
    let given = office().and([create_role("Mighty", &["writ:settings:write"])]);
    given
        .when(clerk(), assign(CLERK))
        .then_refused(lacks_settings())
        .when(clerk(), assign(JOB))
        .then_refused(lacks_settings())
        .when(admin(), assign(JOB))
        .then_accepted()
        // To take it away is no gift.
        .when(
            clerk(),
            Command::UnassignRole {
                application: JOB,
                role: mighty,
            },
        )
        .then_accepted();
}

#[test]
fn a_role_that_holds_mightier_scopes_can_be_narrowed_and_not_widened_again() {
    let role = RoleId(1);
    let set = |names: &[&str]| Command::ChangeRole {
        id: role,
        name: None,
        scopes: Some(scopes(names)),
    };
    office()
        .and([create_role(
            "Mixed",
            &["courses:read", "courses:write", "writ:settings:write"],
        )])
        .when(clerk(), set(&["courses:read", "writ:settings:write"]))
        .then_accepted()
        .when(clerk(), set(&["courses:read"]))
        .then_accepted()
        .when(clerk(), set(&["courses:read", "writ:settings:write"]))
        .then_refused(lacks_settings());
}

#[test]
fn a_token_that_is_narrower_than_the_grant_is_all_the_actor_has() {
    let narrow = |names: &[&str]| application_actor(ADMIN, names);
    let outranks_itself = Refusal::ActorOutranked { application: ADMIN };
    given_base()
        .when(narrow(&["writ:secrets:write"]), add_secret(ADMIN, 50))
        .then_refused(outranks_itself.clone())
        .when(
            narrow(&["writ:applications:write"]),
            ApplicationChange {
                token_settings: Some(TokenSettings {
                    audience: Audience::ClientId,
                    ..TokenSettings::default()
                }),
                ..change_application(ADMIN)
            },
        )
        .then_refused(outranks_itself)
        .when(
            narrow(&["writ:grants:write"]),
            add_grant(JOB, MANAGEMENT, &["writ:grants:write"]),
        )
        .then_accepted()
        .when(
            narrow(&["writ:grants:write"]),
            Command::ChangeGrant {
                application: JOB,
                api: MANAGEMENT,
                mode: None,
                scopes: Some(scopes(&["writ:secrets:write"])),
            },
        )
        .then_refused(Refusal::ActorLacksAuthority {
            scopes: scopes(&["writ:secrets:write"]),
        })
        .when(narrow(&["writ:secrets:write"]), add_secret(JOB, 50))
        .then_refused(Refusal::ActorOutranked { application: JOB });
}

#[test]
fn scopes_of_a_token_count_only_while_they_are_granted() {
    let given = office().and([Command::ChangeGrant {
        application: CLERK,
        api: MANAGEMENT,
        mode: None,
        scopes: Some(scopes(&["writ:roles:write"])),
    }]);
    let missing = Refusal::ActorNotPermitted {
        scope: ManagementScope::SecretsWrite,
    };
    given
        .when(clerk(), add_secret(JOB, 50))
        .then_refused(missing)
        .when(clerk(), create_role("R", &[]))
        .then_accepted();
    // By roles, in mode rbac.
    let by_role = office()
        .and([create_role("Clerks", &["writ:roles:write"])])
        .and([Command::ChangeGrant {
            application: CLERK,
            api: MANAGEMENT,
            mode: Some(GrantMode::Rbac),
            scopes: None,
        }]);
    let missing = Refusal::ActorNotPermitted {
        scope: ManagementScope::RolesWrite,
    };
    by_role
        .when(clerk(), create_role("R", &[]))
        .then_refused(missing)
        .and([Command::AssignRole {
            application: CLERK,
            role: RoleId(1),
        }])
        .when(clerk(), create_role("R", &[]))
        .then_accepted();
}

#[test]
fn the_weaker_may_still_take_away() {
    let given = office()
        .and([guards(&[CHIEF, JOB])])
        .and([create_api("urn:b", &["b:1"])])
        .and([(admin(), add_grant(CHIEF, ApiId(2), &["b:1"]))]);
    let commands = [
        change_grant(COURSES, None, Some(&["courses:read"])),
        change_grant(MANAGEMENT, Some(GrantMode::Rbac), None),
        change_role(&[]),
        guards(&[JOB]),
        Command::UnassignRole {
            application: CHIEF,
            role: ROLE,
        },
        Command::RemoveGrant {
            application: CHIEF,
            api: COURSES,
        },
        Command::RevokeSecret {
            application: CHIEF,
            secret: SecretId(CHIEF_SECRET),
        },
        Command::CutTokens { application: CHIEF },
        enable(CHIEF, false),
        Command::RemoveApplication {
            id: CHIEF,
            cascade: true,
        },
    ];
    commands.into_iter().fold(given, |given, command| {
        given.when(clerk(), command).then_accepted()
    });
}

#[test]
fn a_cascade_may_narrow_the_mightier() {
    // A role with authority that the actor lacks loses a scope, and so does who holds it.
    let given = || {
        office()
            .and([Command::ChangeRole {
                id: ROLE,
                name: None,
                scopes: Some(scopes(&[
                    "courses:read",
                    "courses:write",
                    "writ:settings:write",
                ])),
            }])
            .and([guards(&[CHIEF])])
    };
    let cascades = [
        Command::RemoveScope {
            api: COURSES,
            name: parse("courses:read"),
            cascade: true,
        },
        Command::RemoveApiResource {
            id: COURSES,
            cascade: true,
        },
        Command::RemoveRole {
            id: ROLE,
            cascade: true,
        },
        Command::RemoveApplication {
            id: CHIEF,
            cascade: true,
        },
    ];
    for command in cascades {
        given().when(clerk(), command).then_accepted();
    }
}

#[test]
fn the_management_api_cannot_be_changed_by_anyone() {
    let with = |set: fn(&mut ProfileChange)| {
        let mut profile = ProfileChange::default();
        set(&mut profile);
        profile
    };
    let change = |requires, profile, guards: Option<&[ApplicationId]>| Command::ChangeApiResource {
        id: MANAGEMENT,
        name: None,
        requires_authorization: requires,
        profile,
        guards: guards.map(<[_]>::to_vec),
    };
    let none = ProfileChange::default();
    let commands = [
        change(None, none, None),
        change(Some(false), none, None),
        change(None, none, Some(&[JOB])),
        change(None, with(|p| p.algorithm = Some(Algorithm::RS256)), None),
        change(None, with(|p| p.typ = Some(TokenType::Jwt)), None),
        change(
            None,
            with(|p| p.lifetime_seconds = Some(Some(86_400))),
            None,
        ),
        Command::PutScope {
            api: MANAGEMENT,
            scope: new_scope("writ:anything"),
        },
        Command::PutScope {
            api: MANAGEMENT,
            scope: NewScope {
                name: parse("writ:roles:read"),
                description: Some(parse("Harmless")),
            },
        },
        Command::RemoveScope {
            api: MANAGEMENT,
            name: parse("writ:audit:read"),
            cascade: true,
        },
        Command::RemoveApiResource {
            id: MANAGEMENT,
            cascade: true,
        },
        create_api(MANAGEMENT_IDENTIFIER, &[]),
    ];
    for command in commands {
        for actor in [admin(), operator(), Actor::system("test")] {
            given_base()
                .when(actor, command.clone())
                .then_refused(Refusal::ManagementApiFixed);
        }
    }
}

#[test]
fn the_last_usable_administrator_stays() {
    let all = || Some(all_management_scopes());
    let grant = |mode, scopes| Command::ChangeGrant {
        application: ADMIN,
        api: MANAGEMENT,
        mode,
        scopes,
    };
    let mut fewer = all_management_scopes();
    fewer.pop();
    let paths = [
        ("disable", enable(ADMIN, false)),
        (
            "remove",
            Command::RemoveApplication {
                id: ADMIN,
                cascade: true,
            },
        ),
        (
            "revoke the last secret",
            Command::RevokeSecret {
                application: ADMIN,
                secret: ADMIN_SECRET,
            },
        ),
        (
            "remove the grant",
            Command::RemoveGrant {
                application: ADMIN,
                api: MANAGEMENT,
            },
        ),
        ("narrow the grant", grant(None, Some(fewer))),
        ("empty the grant", grant(None, Some(Vec::new()))),
        (
            "ask for roles it has not",
            grant(Some(GrantMode::Rbac), all()),
        ),
    ];
    // Others are there, but none of them could administer everything: one has no secret, one is
    // disabled, one has a secret that has expired, one lacks a scope.
    let given = office()
        .and((20..23u128).flat_map(|id| {
            let all: Vec<&str> = ManagementScope::ALL.iter().map(|s| s.as_str()).collect();
            [
                create_application(id, "Not usable"),
                add_grant(ApplicationId(id), MANAGEMENT, &all),
            ]
        }))
        .and([add_secret(ApplicationId(21), 21)])
        .and([enable(ApplicationId(21), false)]);
    let expires_at = Some(given.log.now.plus_seconds(60));
    let given = given
        .and([Command::AddSecret {
            application: ApplicationId(22),
            secret: NewSecret {
                expires_at,
                ..secret(22)
            },
        }])
        .after_seconds(60);
    for (path, command) in paths {
        let refusal = given.clone().when(admin(), command.clone()).refusal();
        assert_eq!(refusal, Refusal::LastAdministrator, "{path}");
        let refusal = given.clone().when(clerk(), command.clone()).refusal();
        assert_eq!(refusal, Refusal::LastAdministrator, "{path}, by another");
        // With a second one it goes.
        let second = given.clone().and([(
            operator(),
            Command::RecoverAdministrator {
                application: ApplicationId(30),
                name: parse("Second"),
                secret: secret(30),
            },
        )]);
        second.when(admin(), command).then_accepted();
    }
    // What does not end it is allowed: a second secret, then the first one goes.
    given
        .and([(admin(), add_secret(ADMIN, 60))])
        .when(
            admin(),
            Command::RevokeSecret {
                application: ADMIN,
                secret: ADMIN_SECRET,
            },
        )
        .then_accepted()
        .when(admin(), Command::CutTokens { application: ADMIN })
        .then_accepted();
}

#[test]
fn an_administrator_by_role_stays_too() {
    let all: Vec<&str> = ManagementScope::ALL.iter().map(|s| s.as_str()).collect();
    let role = RoleId(0);
    let given = given([create_role("Administrators", &all)])
        .and([Command::AssignRole {
            application: ADMIN,
            role,
        }])
        .when(
            admin(),
            Command::ChangeGrant {
                application: ADMIN,
                api: MANAGEMENT,
                mode: Some(GrantMode::Rbac),
                scopes: None,
            },
        )
        .then_accepted();
    let paths = [
        Command::UnassignRole {
            application: ADMIN,
            role,
        },
        Command::RemoveRole {
            id: role,
            cascade: true,
        },
        Command::ChangeRole {
            id: role,
            name: None,
            scopes: Some(scopes(&all[1..])),
        },
    ];
    for command in paths {
        given
            .clone()
            .when(admin(), command.clone())
            .then_refused(Refusal::LastAdministrator);
        // A person at the machine has another way in, and may.
        given.clone().when(operator(), command).then_accepted();
    }
}

#[test]
fn a_server_without_administrator_is_not_wedged() {
    // Nobody is left to be kept; the weaker ones go on with what they may.
    given([(operator(), enable(ADMIN, false))])
        .and([(
            operator(),
            add_grant(JOB, MANAGEMENT, &["writ:roles:write"]),
        )])
        .when(full_actor(JOB), create_role("R", &[]))
        .then_accepted()
        .and([(
            operator(),
            Command::RecoverAdministrator {
                application: ApplicationId(30),
                name: parse("Rescue"),
                secret: secret(30),
            },
        )])
        .when(full_actor(ApplicationId(30)), enable(ADMIN, true))
        .then_accepted();
}

#[test]
fn an_actor_that_lost_its_authority_can_do_nothing_more() {
    let unusable = |application| Refusal::ActorUnusable { application };
    let role = || create_role("R", &[]);
    let losses = [
        enable(CLERK, false),
        Command::RemoveApplication {
            id: CLERK,
            cascade: false,
        },
        Command::CutTokens { application: CLERK },
        Command::RevokeToken {
            jti: jti(Millis(BEGIN.0 + 500), 2),
            application: CLERK,
            expires_at: BEGIN.plus_seconds(900),
        },
    ];
    for loss in losses {
        office()
            .when(admin(), loss)
            .then_accepted()
            .when(clerk(), role())
            .then_refused(unusable(CLERK));
    }
    // The command that takes its own authority away is its last.
    office()
        .when(clerk(), Command::CutTokens { application: CLERK })
        .then_accepted()
        .when(clerk(), role())
        .then_refused(unusable(CLERK));
    // A token made after the cut is good.
    let cut = office().and([Command::CutTokens { application: CLERK }]);
    let mut fresh = clerk();
    if let Actor::Application { jti: token, .. } = &mut fresh {
        *token = Some(jti(cut.log.now.plus_seconds(1), 9));
    }
    cut.when(fresh, role()).then_accepted();
}

#[test]
fn a_repeat_is_not_told_to_someone_who_lost_authority() {
    let mut log = office().log;
    let mut first = log.submission(&clerk(), create_role("R", &[]));
    first.idempotency = Some(Idempotency {
        key: [1; 32],
        body: [1; 32],
    });
    assert!(log.submit(&first).is_ok());
    log.run(&admin(), enable(CLERK, false));
    let refusal = Refusal::ActorUnusable { application: CLERK };
    assert_eq!(log.submit(&first), Err(refusal));
}

#[test]
fn an_application_ends_its_own_tokens_as_a_client_and_only_those() {
    let revoke = |application| Command::RevokeToken {
        jti: jti(BEGIN, 7),
        application,
        expires_at: BEGIN.plus_seconds(600),
    };
    let missing = Refusal::ActorNotPermitted {
        scope: ManagementScope::TokensRevoke,
    };
    given_base()
        .when(client_actor(JOB), revoke(JOB))
        .then_accepted();
    given_base()
        .when(client_actor(JOB), revoke(ADMIN))
        .then_refused(missing.clone())
        .when(client_actor(JOB), Command::CutTokens { application: JOB })
        .then_refused(missing.clone())
        // The management API is told whose token it is, and must not believe it: with this an
        // application could end anybody's token by calling it its own.
        .when(full_actor(JOB), revoke(JOB))
        .then_refused(missing)
        .when(admin(), revoke(JOB))
        .then_accepted();
}

#[test]
fn signing_key_commands_need_the_scope_for_keys() {
    let missing = Refusal::ActorNotPermitted {
        scope: ManagementScope::KeysWrite,
    };
    let others: Vec<&str> = ManagementScope::ALL
        .iter()
        .map(|scope| scope.as_str())
        .filter(|name| *name != "writ:keys:write")
        .collect();
    let kid = || first_kid(Algorithm::ES256);
    let commands = [
        Command::MakeSigningKey {
            key: signing_key("x", Algorithm::ES256),
        },
        Command::ActivateSigningKey { kid: kid() },
        Command::RetireSigningKey { kid: kid() },
        Command::RevokeSigningKey {
            kid: kid(),
            replacement: Some(signing_key("x", Algorithm::ES256)),
        },
    ];
    for command in commands {
        given_base()
            .when(application_actor(ADMIN, &others), command)
            .then_refused(missing.clone());
    }
}

#[test]
fn nobody_binds_or_unbinds_policies_for_a_mightier_application() {
    let to_chief = PolicyTarget::Application(CHIEF);
    let bound = office().and([
        (operator(), upload_policy(1)),
        (operator(), upload_policy(2)),
        (operator(), bind_policy(to_chief, 1)),
        (
            operator(),
            rebind_policy(BindingId(0), judgement(2, 1, &[])),
        ),
    ]);
    let id = BindingId(0);
    for command in [
        bind_policy(to_chief, 1),
        rebind_policy(id, judgement(1, 1, &[])),
        Command::ChangePolicyBinding {
            id,
            mode: Some(PolicyMode::Shadow),
            order: None,
            judgement: None,
        },
        Command::RollBackPolicyBinding { id },
        Command::UnbindPolicy { id },
    ] {
        bound
            .clone()
            .when(clerk(), command.clone())
            .then_refused(outranked());
        bound.clone().when(admin(), command).then_accepted();
    }
    // Its removal takes the binding along: that only weakens.
    let (id, cascade) = (CHIEF, true);
    bound
        .when(clerk(), Command::RemoveApplication { id, cascade })
        .then_accepted();
}

#[test]
fn only_the_peer_of_all_administrators_has_the_management_api_judged() {
    let target = PolicyTarget::ApiResource(MANAGEMENT);
    let office = office().and([(operator(), upload_policy(1))]);
    let mightier = office
        .clone()
        .when(clerk(), bind_policy(target, 1))
        .refusal();
    assert!(
        matches!(mightier, Refusal::ActorOutranked { .. }),
        "{mightier}"
    );
    let bound = office.when(admin(), bind_policy(target, 1)).then_accepted();
    bound
        .clone()
        .when(clerk(), Command::UnbindPolicy { id: BindingId(0) })
        .refusal();
    // What judges everybody else is not about administrators.
    bound
        .when(clerk(), bind_policy(PolicyTarget::Server, 1))
        .then_accepted();
}

/// Policies may judge by the name of a role.
#[test]
fn nobody_renames_a_role_of_a_mightier_application() {
    let rename = Command::ChangeRole {
        id: ROLE,
        name: Some(parse("Writers")),
        scopes: None,
    };
    office()
        .when(clerk(), rename.clone())
        .then_refused(outranked());
    office().when(admin(), rename).then_accepted();
}

/// Whoever may register API resources and not unbind policies does not get rid of one by
/// registering what it judges anew.
#[test]
fn an_api_resource_takes_its_policies_along_only_for_who_may_unbind() {
    let bound = office().and([
        (operator(), upload_policy(1)),
        (
            operator(),
            bind_policy(PolicyTarget::ApiResource(COURSES), 1),
        ),
    ]);
    let remove = Command::RemoveApiResource {
        id: COURSES,
        cascade: true,
    };
    let scope = ManagementScope::PoliciesUnbind;
    bound
        .clone()
        .when(
            application_actor(ADMIN, &["writ:api-resources:write"]),
            remove.clone(),
        )
        .then_refused(Refusal::ActorNotPermitted { scope });
    let both = ["writ:api-resources:write", "writ:policies:unbind"];
    bound
        .when(application_actor(ADMIN, &both), remove)
        .then_accepted();
}

#[test]
fn upload_bind_and_unbind_are_three_scopes() {
    let target = PolicyTarget::Server;
    let (id, digest) = (BindingId(0), policy_digest(1));
    let scope_of = |command: Command| command.required_scope();
    let (upload, bind, unbind) = (
        ManagementScope::PoliciesUpload,
        ManagementScope::PoliciesBind,
        ManagementScope::PoliciesUnbind,
    );
    assert_eq!(scope_of(upload_policy(1)), Some(upload));
    assert_eq!(scope_of(Command::RemovePolicy { digest }), Some(upload));
    assert_eq!(scope_of(bind_policy(target, 1)), Some(bind));
    assert_eq!(
        scope_of(rebind_policy(id, judgement(1, 1, &[]))),
        Some(bind)
    );
    assert_eq!(scope_of(Command::RollBackPolicyBinding { id }), Some(bind));
    assert_eq!(scope_of(Command::UnbindPolicy { id }), Some(unbind));
    // Nobody else's will do.
    let bound = office().and([
        (operator(), upload_policy(1)),
        (operator(), bind_policy(target, 1)),
    ]);
    let other = application_actor(ADMIN, &["writ:policies:bind", "writ:policies:upload"]);
    bound
        .when(other, Command::UnbindPolicy { id })
        .then_refused(Refusal::ActorNotPermitted { scope: unbind });
}
