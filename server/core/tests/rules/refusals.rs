//! Every refusal, at least once; and the few that have several causes, for each of them. A new
//! variant does not compile here before it has a case.

use std::collections::BTreeSet;
use writ_core::testkit::*;
use writ_core::*;

const NOBODY: ApplicationId = ApplicationId(99);
const NO_API: ApiId = ApiId(99);
const NO_ROLE: RoleId = RoleId(99);

macro_rules! variants {
    ($($name:ident)*) => {
        const VARIANTS: &[&str] = &[$(stringify!($name)),*];

        fn variant(refusal: &Refusal) -> &'static str {
            match refusal { $(Refusal::$name { .. } => stringify!($name),)* }
        }
    };
}

variants! {
    ActorUnusable ActorNotPermitted ActorNotLocal ActorOutranked ActorLacksAuthority
    LastAdministrator VersionStale IdempotencyKeyReused ApiResourceUnknown
    ApiResourceIdentifierTaken ManagementApiFixed ScopeUnknown ScopeNowhere ScopeTaken
    ScopeRepeated ApplicationUnknown ApplicationIdTaken AudienceTaken IdentifierIsExtraAudience
    SecretUnknown SecretIdTaken GrantUnknown GrantExists RoleUnknown RoleNameTaken
    SigningKeyUnknown SigningKeyKidTaken SigningKeyState SigningKeyTooNew SigningKeyInUse
    SigningKeyMissing PolicyUnknown PolicyBindingUnknown PolicyBindingUnchanged ClaimUndeclared
    AuthenticationIncomplete ProfileForbids TrustedIssuerUnknown TrustedIssuerTaken
    DetailsTypeUnknown DetailsTypeTaken InitialAccessTokenUnknown InitialAccessTokenSpent
    RegistrationOutOfBounds RegistrationUnknown RegistrationChangesSpent TokenExpired InUse LimitReached ValueInvalid AlreadyInitialized
    NotInitialized
}

struct Case {
    given: Given,
    actor: Actor,
    command: Command,
    refusal: Refusal,
}

fn case(given: Given, command: impl Into<Command>, refusal: Refusal) -> Case {
    Case {
        given,
        actor: admin(),
        command: command.into(),
        refusal,
    }
}

fn by(actor: Actor, command: impl Into<Command>, refusal: Refusal) -> Case {
    Case {
        given: given_base(),
        actor,
        command: command.into(),
        refusal,
    }
}

fn base(command: impl Into<Command>, refusal: Refusal) -> Case {
    case(given_base(), command, refusal)
}

fn limit(what: &'static str, max: usize) -> Refusal {
    Refusal::LimitReached { what, max }
}

fn invalid(what: &'static str, expected: &'static str) -> Refusal {
    Refusal::ValueInvalid { what, expected }
}

fn rotate(application: ApplicationId, number: u128, overlap_seconds: u32) -> Command {
    Command::RotateSecret {
        application,
        secret: secret(number),
        overlap_seconds,
    }
}

fn change_api(id: ApiId) -> Command {
    Command::ChangeApiResource {
        id,
        name: Some(parse("Another name")),
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: None,
    }
}

fn change_grant(application: ApplicationId, api: ApiId) -> Command {
    Command::ChangeGrant {
        application,
        api,
        mode: Some(GrantMode::Rbac),
        scopes: None,
    }
}

fn assign(application: ApplicationId, role: RoleId) -> Command {
    Command::AssignRole { application, role }
}

fn audiences(texts: &[&str]) -> Command {
    ApplicationChange {
        token_settings: Some(TokenSettings {
            extra_audiences: texts.iter().map(|text| parse(text)).collect(),
            ..TokenSettings::default()
        }),
        ..change_application(JOB)
    }
    .into()
}

fn put_scope(api: ApiId, name: &str) -> Command {
    Command::PutScope {
        api,
        scope: new_scope(name),
    }
}

fn remove_scope(api: ApiId, name: &str, cascade: bool) -> Command {
    Command::RemoveScope {
        api,
        name: parse(name),
        cascade,
    }
}

fn unknown_things() -> Vec<Case> {
    let no_application = || Refusal::ApplicationUnknown { id: NOBODY };
    let no_api = || Refusal::ApiResourceUnknown { id: NO_API };
    let no_role = || Refusal::RoleUnknown { id: NO_ROLE };
    let no_key = || Refusal::SigningKeyUnknown { kid: parse("none") };
    let no_grant = || Refusal::GrantUnknown {
        application: JOB,
        api: COURSES,
    };
    let no_scope = || Refusal::ScopeUnknown {
        api: COURSES,
        name: parse("none"),
    };
    let kid = || parse::<Kid>("none");
    let guarded = Command::ChangeApiResource {
        id: COURSES,
        name: None,
        requires_authorization: None,
        profile: ProfileChange::default(),
        guards: Some(vec![JOB, NOBODY]),
    };
    vec![
        base(change_api(NO_API), no_api()),
        base(
            Command::RemoveApiResource {
                id: NO_API,
                cascade: true,
            },
            no_api(),
        ),
        base(put_scope(NO_API, "x"), no_api()),
        base(remove_scope(NO_API, "x", true), no_api()),
        base(add_grant(JOB, NO_API, &[]), no_api()),
        base(remove_scope(COURSES, "none", true), no_scope()),
        base(add_grant(JOB, COURSES, &["none"]), no_scope()),
        // Of another API resource is none of this one.
        base(
            add_grant(JOB, COURSES, &["writ:roles:read"]),
            Refusal::ScopeUnknown {
                api: COURSES,
                name: parse("writ:roles:read"),
            },
        ),
        base(
            create_role("R", &["none"]),
            Refusal::ScopeNowhere {
                name: parse("none"),
            },
        ),
        base(guarded, no_application()),
        base(enable(NOBODY, true), no_application()),
        base(
            Command::RemoveApplication {
                id: NOBODY,
                cascade: true,
            },
            no_application(),
        ),
        base(add_secret(NOBODY, 9), no_application()),
        base(rotate(NOBODY, 9, 0), no_application()),
        base(
            Command::RevokeSecret {
                application: NOBODY,
                secret: JOB_SECRET,
            },
            no_application(),
        ),
        base(add_grant(NOBODY, COURSES, &[]), no_application()),
        base(change_grant(NOBODY, COURSES), no_application()),
        base(
            Command::RemoveGrant {
                application: NOBODY,
                api: COURSES,
            },
            no_application(),
        ),
        base(assign(NOBODY, NO_ROLE), no_application()),
        base(
            Command::CutTokens {
                application: NOBODY,
            },
            no_application(),
        ),
        base(
            Command::RevokeToken {
                jti: jti(BEGIN, 1),
                application: NOBODY,
                expires_at: BEGIN.plus_seconds(60),
            },
            no_application(),
        ),
        // A secret of another application is none of this one.
        base(
            Command::RevokeSecret {
                application: JOB,
                secret: ADMIN_SECRET,
            },
            Refusal::SecretUnknown {
                application: JOB,
                secret: ADMIN_SECRET,
            },
        ),
        base(change_grant(JOB, COURSES), no_grant()),
        base(
            Command::RemoveGrant {
                application: JOB,
                api: COURSES,
            },
            no_grant(),
        ),
        base(assign(JOB, NO_ROLE), no_role()),
        base(
            Command::UnassignRole {
                application: JOB,
                role: NO_ROLE,
            },
            no_role(),
        ),
        base(
            Command::ChangeRole {
                id: NO_ROLE,
                name: None,
                scopes: None,
            },
            no_role(),
        ),
        base(
            Command::RemoveRole {
                id: NO_ROLE,
                cascade: true,
            },
            no_role(),
        ),
        base(Command::ActivateSigningKey { kid: kid() }, no_key()),
        base(Command::RetireSigningKey { kid: kid() }, no_key()),
        base(
            Command::RevokeSigningKey {
                kid: kid(),
                replacement: None,
            },
            no_key(),
        ),
    ]
}

fn taken_things() -> Vec<Case> {
    let recover = Command::RecoverAdministrator {
        application: JOB,
        name: parse("Rescue"),
        secret: secret(9),
    };
    let taken = || Refusal::ApplicationIdTaken { id: JOB };
    let fixed = || Refusal::ManagementApiFixed;
    let reserved = || invalid("the name of a scope", "one that does not begin with writ:");
    let audience_taken = |text: &str| Refusal::AudienceTaken {
        audience: parse(text),
    };
    let kid_taken = |text: &str| Refusal::SigningKeyKidTaken { kid: parse(text) };
    let twice = |name: &str| Refusal::ScopeRepeated { name: parse(name) };
    vec![
        base(create_application(JOB.0, "Again"), taken()),
        by(operator(), recover, taken()),
        base(
            create_api(COURSES_IDENTIFIER, &[]),
            Refusal::ApiResourceIdentifierTaken {
                identifier: parse(COURSES_IDENTIFIER),
                id: COURSES,
            },
        ),
        base(create_api(MANAGEMENT_IDENTIFIER, &[]), fixed()),
        base(create_api("URN:Writ:later", &[]), fixed()),
        base(change_api(MANAGEMENT), fixed()),
        base(
            Command::RemoveApiResource {
                id: MANAGEMENT,
                cascade: true,
            },
            fixed(),
        ),
        base(put_scope(MANAGEMENT, "writ:more"), fixed()),
        base(put_scope(MANAGEMENT, "writ:roles:read"), fixed()),
        base(remove_scope(MANAGEMENT, "writ:roles:read", true), fixed()),
        // A scope that a later version gives the management API must not be somebody else's.
        base(put_scope(COURSES, "writ:policies:write"), reserved()),
        base(create_api("urn:a", &["writ:policies:write"]), reserved()),
        case(
            given([create_api("urn:a", &[])]),
            put_scope(ApiId(2), "courses:read"),
            Refusal::ScopeTaken {
                name: parse("courses:read"),
                api: COURSES,
            },
        ),
        base(
            create_api("urn:a", &["courses:read"]),
            Refusal::ScopeTaken {
                name: parse("courses:read"),
                api: COURSES,
            },
        ),
        base(create_api("urn:a", &["x", "x"]), twice("x")),
        base(
            add_grant(JOB, COURSES, &["courses:read", "courses:read"]),
            twice("courses:read"),
        ),
        base(
            create_role("R", &["courses:read", "courses:read"]),
            twice("courses:read"),
        ),
        // An audience is forged in neither order.
        base(
            audiences(&[COURSES_IDENTIFIER]),
            audience_taken(COURSES_IDENTIFIER),
        ),
        base(
            audiences(&[MANAGEMENT_IDENTIFIER]),
            audience_taken(MANAGEMENT_IDENTIFIER),
        ),
        base(audiences(&["URN:WRIT:x"]), audience_taken("URN:WRIT:x")),
        case(
            given([audiences(&["urn:a"])]),
            create_api("urn:a", &[]),
            Refusal::IdentifierIsExtraAudience {
                identifier: parse("urn:a"),
            },
        ),
        base(
            audiences(&["urn:a", "urn:a"]),
            invalid("extra_audiences", "a list without repetition"),
        ),
        base(
            add_secret(JOB, JOB_SECRET.0),
            Refusal::SecretIdTaken { secret: JOB_SECRET },
        ),
        base(
            rotate(JOB, JOB_SECRET.0, 0),
            Refusal::SecretIdTaken { secret: JOB_SECRET },
        ),
        case(
            given([add_grant(JOB, COURSES, &[])]),
            add_grant(JOB, COURSES, &["courses:read"]),
            Refusal::GrantExists {
                application: JOB,
                api: COURSES,
            },
        ),
        case(
            given([create_role("R", &[])]),
            create_role("R", &[]),
            Refusal::RoleNameTaken {
                name: parse("R"),
                id: RoleId(0),
            },
        ),
        case(
            given([create_role("R", &[]), create_role("S", &[])]),
            Command::ChangeRole {
                id: RoleId(1),
                name: Some(parse("R")),
                scopes: None,
            },
            Refusal::RoleNameTaken {
                name: parse("R"),
                id: RoleId(0),
            },
        ),
        base(
            Command::MakeSigningKey {
                key: signing_key("rs256-1", Algorithm::ES256),
            },
            kid_taken("rs256-1"),
        ),
        base(
            Command::RevokeSigningKey {
                kid: first_kid(Algorithm::ES256),
                replacement: Some(signing_key("es256-1", Algorithm::ES256)),
            },
            kid_taken("es256-1"),
        ),
        Case {
            given: given_nothing(),
            actor: operator(),
            command: initialize_with(|keys| keys[1].kid = keys[0].kid.clone()),
            refusal: kid_taken("es256-1"),
        },
    ]
}

fn initialize_with(change: impl FnOnce(&mut Vec<NewSigningKey>)) -> Command {
    let mut command = initialize();
    if let Command::Initialize { keys, .. } = &mut command {
        change(keys);
    }
    command
}

fn used_things() -> Vec<Case> {
    let user = |entity, name| User {
        entity,
        name: parse(name),
    };
    let job = || user(Entity::Application(JOB), "Course publishing job");
    let readers = || user(Entity::Role(RoleId(0)), "Readers");
    let in_use = |users: Vec<User>| Refusal::InUse {
        total: users.len(),
        users,
    };
    let used = || {
        given([
            add_grant(JOB, COURSES, &["courses:read"]),
            create_role("Readers", &["courses:read"]),
            assign(JOB, RoleId(0)),
        ])
    };
    let guarded = || {
        given([Command::ChangeApiResource {
            id: COURSES,
            name: None,
            requires_authorization: None,
            profile: ProfileChange::default(),
            guards: Some(vec![JOB]),
        }])
    };
    let crowd = 50;
    let crowded = {
        let mut given = given_base();
        for id in 100..100 + crowd {
            given = given.and([
                create_application(id, "One of many"),
                add_grant(ApplicationId(id), COURSES, &[]),
            ]);
        }
        given
    };
    let named = (100..100 + limits::USERS_NAMED as u128)
        .map(|id| user(Entity::Application(ApplicationId(id)), "One of many"));
    vec![
        case(
            used(),
            Command::RemoveApiResource {
                id: COURSES,
                cascade: false,
            },
            in_use(vec![job(), readers()]),
        ),
        case(
            used(),
            remove_scope(COURSES, "courses:read", false),
            in_use(vec![job(), readers()]),
        ),
        case(
            used(),
            Command::RemoveRole {
                id: RoleId(0),
                cascade: false,
            },
            in_use(vec![job()]),
        ),
        case(
            guarded(),
            Command::RemoveApplication {
                id: JOB,
                cascade: false,
            },
            in_use(vec![user(Entity::ApiResource(COURSES), "An API")]),
        ),
        case(
            crowded,
            Command::RemoveApiResource {
                id: COURSES,
                cascade: false,
            },
            Refusal::InUse {
                users: named.collect(),
                total: crowd as usize,
            },
        ),
    ]
}

fn keys_and_tokens() -> Vec<Case> {
    let kid = || parse::<Kid>("x");
    let published = || {
        given([Command::MakeSigningKey {
            key: signing_key("x", Algorithm::ES256),
        }])
    };
    let usable_at = BEGIN.plus_seconds(4 + 3600);
    let retired = || published().and([Command::RetireSigningKey { kid: kid() }]);
    let revoked = || {
        published().and([Command::RevokeSigningKey {
            kid: kid(),
            replacement: None,
        }])
    };
    let state = |state| Refusal::SigningKeyState { kid: kid(), state };
    let in_use = || Refusal::SigningKeyInUse {
        kid: first_kid(Algorithm::ES256),
        algorithm: Algorithm::ES256,
    };
    let revoke = |replacement| Command::RevokeSigningKey {
        kid: first_kid(Algorithm::ES256),
        replacement,
    };
    let missing = |algorithm| Refusal::SigningKeyMissing { algorithm };
    let begin = |change: fn(&mut Vec<NewSigningKey>), refusal| Case {
        given: given_nothing(),
        actor: operator(),
        command: initialize_with(change),
        refusal,
    };
    let revoke_token = |expires_at| Command::RevokeToken {
        jti: jti(BEGIN, 1),
        application: JOB,
        expires_at,
    };
    vec![
        case(
            published().after_seconds(3598),
            Command::ActivateSigningKey { kid: kid() },
            Refusal::SigningKeyTooNew {
                kid: kid(),
                usable_at,
            },
        ),
        case(
            retired(),
            Command::ActivateSigningKey { kid: kid() },
            state("retired"),
        ),
        case(
            revoked(),
            Command::ActivateSigningKey { kid: kid() },
            state("revoked"),
        ),
        case(
            revoked(),
            Command::RetireSigningKey { kid: kid() },
            state("revoked"),
        ),
        base(
            Command::RetireSigningKey {
                kid: first_kid(Algorithm::ES256),
            },
            in_use(),
        ),
        base(revoke(None), in_use()),
        base(revoke(Some(signing_key("x", Algorithm::EdDSA))), in_use()),
        begin(|keys| drop(keys.remove(1)), missing(Algorithm::RS256)),
        begin(
            |keys| keys.push(signing_key("another", Algorithm::EdDSA)),
            missing(Algorithm::EdDSA),
        ),
        base(
            revoke_token(BEGIN),
            Refusal::TokenExpired { jti: jti(BEGIN, 1) },
        ),
        base(
            revoke_token(BEGIN.plus_seconds(90_000)),
            invalid("expires_at", "within 24 hours"),
        ),
    ]
}

fn values() -> Vec<Case> {
    let lifetime = || invalid("lifetime", "1 to 86400 seconds");
    let expiry = || invalid("expires_at", "in the future, and before the year 10000");
    let with_lifetime = |seconds| {
        let mut command = create_api("urn:a", &[]);
        if let Command::CreateApiResource { profile, .. } = &mut command {
            profile.lifetime_seconds = Some(seconds);
        }
        command
    };
    let ending = |expires_at| NewSecret {
        expires_at: Some(expires_at),
        ..secret(9)
    };
    let secret_until = |end| Command::AddSecret {
        application: JOB,
        secret: ending(end),
    };
    let settings = |change| Command::ChangeSettings { change };
    let usual = SettingsChange::default;
    let mut begin = initialize();
    if let Command::Initialize { secret, .. } = &mut begin {
        secret.expires_at = Some(Millis(1));
    }
    vec![
        base(with_lifetime(0), lifetime()),
        base(with_lifetime(86_401), lifetime()),
        base(
            Command::ChangeApiResource {
                id: COURSES,
                name: None,
                requires_authorization: None,
                profile: ProfileChange {
                    lifetime_seconds: Some(Some(0)),
                    ..ProfileChange::default()
                },
                guards: None,
            },
            lifetime(),
        ),
        base(
            ApplicationChange {
                token_settings: Some(TokenSettings {
                    lifetime_seconds: Some(0),
                    ..TokenSettings::default()
                }),
                ..change_application(JOB)
            },
            lifetime(),
        ),
        base(secret_until(BEGIN), expiry()),
        base(
            Command::RotateSecret {
                application: JOB,
                secret: ending(BEGIN),
                overlap_seconds: 0,
            },
            expiry(),
        ),
        base(
            rotate(JOB, 9, limits::SECRET_OVERLAP_MAX_SECONDS + 1),
            invalid(
                "overlap_seconds",
                "at most 7776000 seconds, which are 90 days",
            ),
        ),
        // It would be another time after a restart.
        base(secret_until(Millis(u64::MAX)), expiry()),
        by(
            operator(),
            Command::RecoverAdministrator {
                application: NOBODY,
                name: parse("Rescue"),
                secret: ending(BEGIN),
            },
            expiry(),
        ),
        Case {
            given: given_nothing(),
            actor: operator(),
            command: begin,
            refusal: expiry(),
        },
        base(
            settings(SettingsChange {
                tokens_lifetime_seconds: Some(0),
                ..usual()
            }),
            invalid("tokens.lifetime_seconds", "1 to 86400 seconds"),
        ),
        base(
            settings(SettingsChange {
                jwks_max_age_seconds: Some(0),
                ..usual()
            }),
            invalid("jwks.max_age_seconds", "1 to 86400 seconds"),
        ),
        base(
            settings(SettingsChange {
                jwks_max_age_seconds: Some(3601),
                ..usual()
            }),
            invalid(
                "keys.publish_ahead_seconds",
                "jwks.max_age_seconds to 30 days",
            ),
        ),
        base(
            settings(SettingsChange {
                keys_rotate_after_days: Some(3651),
                ..usual()
            }),
            invalid("keys.rotate_after_days", "0 (never) to 3650 days"),
        ),
        base(
            settings(SettingsChange {
                issuance_retention_days: Some(0),
                ..usual()
            }),
            invalid("issuance.retention_days", "1 to 36500 days"),
        ),
        base(
            settings(SettingsChange {
                issuance_retention_bytes: Some(1),
                ..usual()
            }),
            invalid("issuance.retention_bytes", "at least 67108864 (64 MiB)"),
        ),
    ]
}

fn long_scopes(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("{i:0>width$}", width = limits::SCOPE_NAME_BYTES))
        .collect()
}

fn limits_reached() -> Vec<Case> {
    let roles = limits::ROLES_PER_APPLICATION;
    let secrets = limits::SECRETS_PER_APPLICATION;
    let grants = limits::GRANTS_PER_APPLICATION;
    let scopes_max = limits::SCOPES_PER_API;
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("s{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        create_api("urn:many", &names)
    };
    let with_roles = {
        let mut given = given_base();
        for i in 0..=roles {
            given = given.and([create_role(&format!("R{i}"), &[])]);
        }
        (0..roles).fold(given, |given, i| given.and([assign(JOB, RoleId(i as u32))]))
    };
    let with_secrets =
        (3..secrets as u128 + 2).fold(given_base(), |given, i| given.and([add_secret(JOB, i)]));
    let with_grants = (0..grants).fold(given_base(), |given, i| {
        let id = ApiId(i as u32 + 2);
        given.and([
            create_api(&format!("urn:a:{i}"), &[]),
            add_grant(JOB, id, &[]),
        ])
    });
    let with_keys = (4..limits::SIGNING_KEYS).fold(given_base(), |given, i| {
        let key = signing_key(&format!("k{i}"), Algorithm::ES256);
        given.and([Command::MakeSigningKey { key }])
    });
    let with_users = (0..=limits::EVENTS_PER_COMMAND as u128).fold(given_base(), |given, i| {
        let id = ApplicationId(1000 + i);
        given.and([
            Event::from(ApplicationCreated {
                id,
                name: parse("One of many"),
                labels: Labels::default(),
                token_settings: TokenSettings::default(),
            }),
            GrantAdded {
                application: id,
                api: COURSES,
                mode: GrantMode::None,
                scopes: Vec::new(),
            }
            .into(),
        ])
    });
    // Each of its scopes was accepted, one after the other, but no event can name them all.
    let long = long_scopes(scopes_max);
    let with_long_names = long.iter().fold(given([many(0)]), |given, name| {
        given.and([put_scope(ApiId(2), name)])
    });
    let all: Vec<&str> = long.iter().map(String::as_str).collect();
    let too_large = || {
        limit(
            "bytes of one change; name fewer or shorter things",
            limits::EVENT_BYTES - limits::ENVELOPE_BYTES,
        )
    };
    let guards: Vec<ApplicationId> = (0..=limits::GUARDS_PER_API as u128)
        .map(ApplicationId)
        .collect();
    let texts: Vec<String> = (0..=limits::EXTRA_AUDIENCES)
        .map(|i| format!("urn:a:{i}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    vec![
        case(
            with_roles,
            assign(JOB, RoleId(roles as u32)),
            limit("roles of an application", roles),
        ),
        case(
            with_secrets.clone(),
            rotate(JOB, 100, 60),
            limit("secrets of an application", secrets),
        ),
        case(
            with_secrets,
            add_secret(JOB, 100),
            limit("secrets of an application", secrets),
        ),
        case(
            with_grants,
            add_grant(JOB, COURSES, &[]),
            limit("grants of an application", grants),
        ),
        case(
            with_keys,
            Command::MakeSigningKey {
                key: signing_key("more", Algorithm::ES256),
            },
            limit("signing keys", limits::SIGNING_KEYS),
        ),
        case(
            with_users,
            Command::RemoveApiResource {
                id: COURSES,
                cascade: true,
            },
            limit(
                "changes by one command; go in steps",
                limits::EVENTS_PER_COMMAND,
            ),
        ),
        base(
            many(scopes_max + 1),
            limit("scopes of an API resource", scopes_max),
        ),
        case(
            given([many(scopes_max)]).and([remove_scope(ApiId(2), "s0", false)]),
            put_scope(ApiId(2), "more"),
            limit("scopes that an API resource ever had", scopes_max),
        ),
        case(
            with_long_names.clone(),
            add_grant(JOB, ApiId(2), &all),
            too_large(),
        ),
        case(with_long_names, create_role("R", &all), too_large()),
        base(create_api("urn:long", &all), too_large()),
        base(
            Command::ChangeApiResource {
                id: COURSES,
                name: None,
                requires_authorization: None,
                profile: ProfileChange::default(),
                guards: Some(guards),
            },
            limit("guards of an API resource", limits::GUARDS_PER_API),
        ),
        base(
            audiences(&texts),
            limit("extra audiences", limits::EXTRA_AUDIENCES),
        ),
    ]
}

fn about_the_actor() -> Vec<Case> {
    let reader = || application_actor(ADMIN, &["writ:applications:read"]);
    let lacking = |scope| Refusal::ActorNotPermitted { scope };
    let seal = Command::SealIssuances {
        file: "f".into(),
        first: jti(BEGIN, 1),
        last: jti(BEGIN, 2),
        records: 1,
        root: [0; 32],
    };
    let recover = Command::RecoverAdministrator {
        application: NOBODY,
        name: parse("Rescue"),
        secret: secret(9),
    };
    let start = || Command::StartServer {
        version: "1".into(),
        engine: "none".into(),
        issuer: None,
    };
    let mut cases = vec![
        by(
            full_actor(NOBODY),
            create_role("R", &[]),
            Refusal::ActorUnusable {
                application: NOBODY,
            },
        ),
        by(
            reader(),
            create_role("R", &[]),
            lacking(ManagementScope::RolesWrite),
        ),
        // The scopes that a token says count only while they are granted.
        by(
            full_actor(JOB),
            create_role("R", &[]),
            lacking(ManagementScope::RolesWrite),
        ),
        case(
            given([(
                operator(),
                add_grant(JOB, MANAGEMENT, &["writ:secrets:write"]),
            )]),
            add_secret(ADMIN, 9),
            Refusal::ActorOutranked { application: ADMIN },
        ),
        case(
            given([(
                operator(),
                add_grant(JOB, MANAGEMENT, &["writ:grants:write"]),
            )])
            .and([create_application(3, "Third")]),
            add_grant(ApplicationId(3), MANAGEMENT, &["writ:roles:write"]),
            Refusal::ActorLacksAuthority {
                scopes: scopes(&["writ:roles:write"]),
            },
        ),
        base(enable(ADMIN, false), Refusal::LastAdministrator),
        by(operator(), initialize(), Refusal::AlreadyInitialized),
        Case {
            given: given_nothing(),
            actor: Actor::system("start"),
            command: start(),
            refusal: Refusal::NotInitialized,
        },
    ];
    for case in &mut cases[3..5] {
        case.actor = full_actor(JOB);
    }
    let local = [
        initialize(),
        recover,
        start(),
        seal,
        Command::RemoveExpiredSigningKeys,
    ];
    cases.extend(local.map(|command| by(admin(), command, Refusal::ActorNotLocal)));
    cases
}

fn about_policies() -> Vec<Case> {
    let (id, digest) = (BindingId(0), policy_digest(1));
    let courses = PolicyTarget::ApiResource(COURSES);
    let uploaded = || given([(admin(), upload_policy(1))]);
    let bound = || uploaded().and([(admin(), bind_policy(courses, 1))]);
    let in_use = |number| Refusal::InUse {
        users: vec![User {
            entity: Entity::PolicyBinding(id),
            name: parse(&format!("policy-{number}")),
        }],
        total: 1,
    };
    let undeclared = || Refusal::ClaimUndeclared {
        claim: "sub".into(),
    };
    let with_claim = || judgement(1, 1, &["tier", "sub"]);
    let changed = || {
        let change = rebind_policy(id, judgement(2, 1, &[]));
        bound().and([(admin(), upload_policy(2)), (admin(), change)])
    };
    let unbound = |command| base(command, Refusal::PolicyBindingUnknown { id });
    let full = |target| {
        let binding = (admin(), bind_policy(target, 1));
        uploaded().and(std::iter::repeat_n(binding, limits::BINDINGS_PER_TARGET))
    };
    let policies = (0..=u8::MAX).map(|number| (admin(), upload_policy(number)));
    let mut many = given_base();
    for (i, (actor, command)) in policies.cycle().take(limits::POLICIES).enumerate() {
        let Command::UploadPolicy {
            bytes, descriptor, ..
        } = command
        else {
            unreachable!("it uploads one")
        };
        let mut digest = policy_digest(9);
        digest.0[..8].copy_from_slice(&(i as u64).to_be_bytes());
        let command = Command::UploadPolicy {
            digest,
            bytes,
            descriptor,
        };
        many = many.and([(actor, command)]);
    }
    let mut huge = upload_policy(1);
    if let Command::UploadPolicy { descriptor, .. } = &mut huge {
        descriptor.doc = "x".repeat(limits::EVENT_BYTES).into();
    }
    let bytes = limits::EVENT_BYTES - limits::ENVELOPE_BYTES;
    vec![
        base(bind_policy(courses, 1), Refusal::PolicyUnknown { digest }),
        base(
            Command::RemovePolicy { digest },
            Refusal::PolicyUnknown { digest },
        ),
        case(
            uploaded(),
            bind_policy(PolicyTarget::ApiResource(NO_API), 1),
            Refusal::ApiResourceUnknown { id: NO_API },
        ),
        case(
            uploaded(),
            bind_policy(PolicyTarget::Application(NOBODY), 1),
            Refusal::ApplicationUnknown { id: NOBODY },
        ),
        unbound(rebind_policy(id, with_claim())),
        unbound(Command::RollBackPolicyBinding { id }),
        unbound(Command::UnbindPolicy { id }),
        case(
            uploaded(),
            Command::BindPolicy {
                target: courses,
                mode: PolicyMode::Shadow,
                order: 1,
                judgement: with_claim(),
            },
            undeclared(),
        ),
        case(bound(), rebind_policy(id, with_claim()), undeclared()),
        case(
            bound(),
            rebind_policy(id, judgement(2, 1, &[])),
            Refusal::PolicyUnknown {
                digest: policy_digest(2),
            },
        ),
        case(
            bound(),
            Command::RollBackPolicyBinding { id },
            Refusal::PolicyBindingUnchanged { id },
        ),
        case(bound(), Command::RemovePolicy { digest }, in_use(1)),
        // It could come back by a rollback.
        case(changed(), Command::RemovePolicy { digest }, in_use(2)),
        case(
            bound(),
            Command::RemoveApiResource {
                id: COURSES,
                cascade: false,
            },
            in_use(1),
        ),
        case(
            full(PolicyTarget::Server),
            bind_policy(PolicyTarget::Server, 1),
            limit("policies bound to one target", limits::BINDINGS_PER_TARGET),
        ),
        case(
            many,
            upload_policy(1),
            limit("policies; remove some that are not bound", limits::POLICIES),
        ),
        base(
            huge,
            limit("bytes of one change; name fewer or shorter things", bytes),
        ),
    ]
}

fn about_registration() -> Vec<Case> {
    use AuthenticationMethod as M;
    const TOKEN: InitialAccessTokenId = InitialAccessTokenId(0);
    const NEW: ApplicationId = ApplicationId(7);
    let no_token = || Refusal::InitialAccessTokenUnknown { id: TOKEN };
    let spent = |why| Refusal::InitialAccessTokenSpent { id: TOKEN, why };
    let token = |edit: fn(&mut InitialAccessTokenCreated)| {
        let mut asked = InitialAccessTokenCreated {
            id: TOKEN,
            name: parse("CI"),
            digest: CredentialDigest(digest(50)),
            expires_at: BEGIN.plus_seconds(86_400),
            registrations: 1,
            bounds: RegistrationBounds {
                methods: vec![M::PrivateKeyJwt],
                name_prefix: None,
            },
            labels: Labels::default(),
            grants: Vec::new(),
        };
        edit(&mut asked);
        Command::CreateInitialAccessToken {
            name: asked.name,
            digest: asked.digest,
            expires_at: asked.expires_at,
            registrations: asked.registrations,
            bounds: asked.bounds,
            labels: asked.labels,
            grants: asked.grants,
        }
    };
    let there = || given([create_initial_access_token(&["courses:read"])]);
    let by_secret = || client_metadata(M::ClientSecretBasic);
    let registering = |given: Given, metadata, refusal| Case {
        given,
        actor: registrant(TOKEN),
        command: register(TOKEN, NEW, metadata),
        refusal,
    };
    let registered = || {
        there()
            .when(registrant(TOKEN), register(TOKEN, NEW, by_secret()))
            .then_accepted()
    };
    let changing = |given: Given, command, refusal| Case {
        given,
        actor: registered_actor(NEW),
        command,
        refusal,
    };
    let ends = || invalid("expires_at", "in the future, and within 366 days");
    let methods = || {
        invalid(
            "methods",
            "at least one, each once and in order, and not workload_identity: whom an \
             application trusts is for administrators to say",
        )
    };
    let bound = |api, names: &[&str]| BoundGrant {
        api,
        scopes: scopes(names),
    };
    let mut changed = registered();
    for turn in 0..limits::REGISTRATION_CHANGES_PER_DAY {
        let method = match turn % 2 {
            0 => M::PrivateKeyJwt,
            _ => M::ClientSecretBasic,
        };
        let mut command = change_registration(NEW, client_metadata(method));
        if let Command::ChangeRegistration { secret, .. } = &mut command {
            *secret = testkit::secret(400 + u128::from(turn));
        }
        changed = changed.when(registered_actor(NEW), command).then_accepted();
    }
    let strict = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        ..SettingsChange::default()
    };
    vec![
        base(Command::RevokeInitialAccessToken { id: TOKEN }, no_token()),
        registering(given_base(), by_secret(), no_token()),
        by(operator(), register(TOKEN, NEW, by_secret()), no_token()),
        base(token(|it| it.expires_at = BEGIN), ends()),
        base(
            token(|it| it.expires_at = BEGIN.plus_seconds(367 * 86_400)),
            ends(),
        ),
        base(
            token(|it| it.registrations = 0),
            invalid("registrations", "1 to 10000"),
        ),
        base(
            token(|it| it.registrations = 10_001),
            invalid("registrations", "1 to 10000"),
        ),
        base(token(|it| it.bounds.methods.clear()), methods()),
        base(
            token(|it| it.bounds.methods = vec![M::PrivateKeyJwt; 2]),
            methods(),
        ),
        base(
            token(|it| it.bounds.methods = vec![M::WorkloadIdentity]),
            methods(),
        ),
        base(
            token(|it| it.bounds.name_prefix = Some(parse(&"x".repeat(65)))),
            limit("characters of a name prefix", 64),
        ),
        base(
            token(|it| {
                it.grants = vec![BoundGrant {
                    api: MANAGEMENT,
                    scopes: Vec::new(),
                }];
            }),
            invalid("grants", "to other API resources than the management API"),
        ),
        base(
            token(|it| {
                let grant = BoundGrant {
                    api: NO_API,
                    scopes: Vec::new(),
                };
                it.grants = vec![grant];
            }),
            Refusal::ApiResourceUnknown { id: NO_API },
        ),
        base(
            {
                let mut command = create_initial_access_token(&[]);
                if let Command::CreateInitialAccessToken { grants, .. } = &mut command {
                    *grants = vec![bound(COURSES, &["nothing:such"])];
                }
                command
            },
            Refusal::ScopeUnknown {
                api: COURSES,
                name: parse("nothing:such"),
            },
        ),
        base(
            {
                let mut command = create_initial_access_token(&[]);
                if let Command::CreateInitialAccessToken { grants, .. } = &mut command {
                    *grants = vec![bound(COURSES, &[]), bound(COURSES, &[])];
                }
                command
            },
            invalid("grants", "at most one for each API resource"),
        ),
        base(
            {
                let mut command = create_initial_access_token(&[]);
                if let Command::CreateInitialAccessToken { grants, .. } = &mut command {
                    *grants = vec![bound(COURSES, &[]); 65];
                }
                command
            },
            limit("grants of an initial access token", 64),
        ),
        case(
            given(vec![create_initial_access_token(&[]); 1_000]),
            create_initial_access_token(&[]),
            limit("initial access tokens; revoke those that have ended", 1_000),
        ),
        registering(
            there().after_seconds(86_400),
            by_secret(),
            spent("it has expired"),
        ),
        registering(
            registered()
                .when(
                    registrant(TOKEN),
                    register(TOKEN, ApplicationId(8), by_secret()),
                )
                .then_accepted(),
            ClientMetadata {
                name: None,
                ..by_secret()
            },
            spent("it has registered as many applications as it may"),
        ),
        registering(
            registered(),
            by_secret(),
            Refusal::ApplicationIdTaken { id: NEW },
        ),
        registering(
            there(),
            client_metadata(M::ClientSecretPost),
            Refusal::RegistrationOutOfBounds {
                what: "token_endpoint_auth_method",
                allowed: "client_secret_basic or private_key_jwt".into(),
            },
        ),
        registering(
            there(),
            ClientMetadata {
                name: Some(parse("job")),
                ..by_secret()
            },
            Refusal::RegistrationOutOfBounds {
                what: "client_name",
                allowed: "one that begins with ci-".into(),
            },
        ),
        registering(
            there(),
            ClientMetadata {
                keys: Vec::new(),
                ..client_metadata(M::PrivateKeyJwt)
            },
            Refusal::AuthenticationIncomplete {
                method: M::PrivateKeyJwt,
                needs: "keys, or a jwks_uri",
            },
        ),
        registering(
            there().and([
                Command::ChangeAuthentication {
                    application: ADMIN,
                    authentication: Some(Box::new(by_key(9))),
                },
                Command::ChangeSettings { change: strict },
            ]),
            by_secret(),
            Refusal::ProfileForbids {
                method: M::ClientSecretBasic,
            },
        ),
        changing(
            registered().and([enable(NEW, false)]),
            change_registration(NEW, by_secret()),
            Refusal::ActorUnusable { application: NEW },
        ),
        changing(
            registered().and([Command::RevokeRegistration { application: NEW }]),
            change_registration(NEW, by_secret()),
            Refusal::RegistrationUnknown { application: NEW },
        ),
        changing(
            registered(),
            Command::RemoveRegistration {
                application: NEW,
                presented: registration_digest(JOB),
            },
            Refusal::RegistrationUnknown { application: NEW },
        ),
        changing(
            changed,
            change_registration(NEW, client_metadata(M::PrivateKeyJwt)),
            Refusal::RegistrationChangesSpent {
                application: NEW,
                max: 24,
            },
        ),
        changing(
            registered().and([Command::from(ApplicationChange {
                token_settings: Some(TokenSettings {
                    sender_constraint: SenderConstraint::Dpop,
                    ..TokenSettings::default()
                }),
                ..change_application(NEW)
            })]),
            change_registration(
                NEW,
                ClientMetadata {
                    sender_constraint: SenderConstraint::Mtls,
                    ..by_secret()
                },
            ),
            Refusal::RegistrationOutOfBounds {
                what: "what its tokens are bound to",
                allowed: "dpop".into(),
            },
        ),
        base(
            Command::RevokeRegistration { application: JOB },
            Refusal::RegistrationUnknown { application: JOB },
        ),
    ]
}

fn about_protection() -> Vec<Case> {
    use crate::protection::{authenticate, grant_details, put_type, with};
    use AuthenticationMethod as M;
    let needs = |method, needs| Refusal::AuthenticationIncomplete { method, needs };
    let only = |method| {
        authenticate(Authentication {
            methods: vec![method],
            ..Authentication::default()
        })
    };
    let order = || {
        invalid(
            "methods",
            "at least one, each once and in order; disable the application instead",
        )
    };
    let no_issuer = || Refusal::TrustedIssuerUnknown { id: IssuerId(0) };
    let trusted = || given([create_issuer("https://ci.example")]);
    let rule = |edit: fn(&mut TrustRule)| {
        let mut own = by_trust(IssuerId(0));
        own.trust.iter_mut().for_each(edit);
        authenticate(own)
    };
    let issuer = |text, keys| Command::CreateTrustedIssuer {
        issuer: parse(text),
        name: parse("CI"),
        keys,
        omits_issuer: false,
    };
    let quota = |tokens| Command::ChangeQuota {
        application: JOB,
        quota: Some(Quota {
            per_day: tokens,
            ..Quota::default()
        }),
    };
    let exchange = |subjects: Vec<ApplicationId>| Command::ChangeExchange {
        application: JOB,
        exchange: Some(TokenExchange {
            subjects,
            mode: ExchangeMode::Delegation,
        }),
    };
    let no_quota = || {
        invalid(
            "a quota",
            "at least one number of tokens, and none of them 0; disable the application instead",
        )
    };
    let no_type = |name| Refusal::DetailsTypeUnknown {
        api: COURSES,
        name: parse(name),
    };
    let twice = || invalid("a key", "there once, and its kid too");
    vec![
        base(
            only(M::PrivateKeyJwt),
            needs(M::PrivateKeyJwt, "keys, or a jwks_uri"),
        ),
        base(
            only(M::TlsClientAuth),
            needs(M::TlsClientAuth, "a certificate_subject"),
        ),
        base(
            only(M::SelfSignedTlsClientAuth),
            needs(
                M::SelfSignedTlsClientAuth,
                "certificates, keys with x5c, or a jwks_uri",
            ),
        ),
        base(
            only(M::WorkloadIdentity),
            needs(M::WorkloadIdentity, "a trust rule"),
        ),
        base(with(|own| own.methods.clear()), order()),
        base(
            with(|own| own.methods = vec![M::PrivateKeyJwt, M::ClientSecretBasic]),
            order(),
        ),
        base(with(|own| own.methods = vec![M::PrivateKeyJwt; 2]), order()),
        base(
            authenticate(Authentication {
                profile: SecurityProfile::Fapi2,
                ..Authentication::default()
            }),
            Refusal::ProfileForbids {
                method: M::ClientSecretBasic,
            },
        ),
        base(
            with(|own| own.jwks_uri = Some(parse("https://job.example/jwks"))),
            invalid("jwks_uri", "absent where keys are registered (RFC 7591 §2)"),
        ),
        base(with(|own| own.keys.push(registered_key(1))), twice()),
        base(
            with(|own| {
                let mut other = registered_key(2);
                other.kid = own.keys[0].kid.clone();
                own.keys.push(other);
            }),
            twice(),
        ),
        base(
            with(|own| own.keys = (0..=16).map(registered_key).collect()),
            limit("registered keys", 16),
        ),
        base(
            with(|own| own.certificates = vec![CertificateDigest([0; 32]); 17]),
            limit("certificates of an application", 16),
        ),
        base(authenticate(by_trust(IssuerId(0))), no_issuer()),
        base(
            Command::RemoveTrustedIssuer { id: IssuerId(0) },
            no_issuer(),
        ),
        base(
            Command::ChangeTrustedIssuer {
                id: IssuerId(0),
                name: None,
                keys: None,
                omits_issuer: None,
            },
            no_issuer(),
        ),
        case(
            trusted(),
            rule(|rule| rule.lifetime_seconds = 0),
            invalid("lifetime_seconds of a trust rule", "1 to 86400 seconds"),
        ),
        case(
            trusted(),
            rule(|rule| rule.lifetime_seconds = 86_401),
            invalid("lifetime_seconds of a trust rule", "1 to 86400 seconds"),
        ),
        case(
            trusted(),
            rule(|rule| {
                let claim = |i: i64| (format!("c{i}").into(), ClaimValue::Int(i));
                rule.claims = (0..17).map(claim).collect();
            }),
            limit("claims of a trust rule", 16),
        ),
        case(
            trusted(),
            {
                let mut own = by_trust(IssuerId(0));
                own.trust.push(own.trust[0].clone());
                authenticate(own)
            },
            invalid("the name of a trust rule", "unique in the application"),
        ),
        case(
            trusted(),
            {
                let mut own = by_trust(IssuerId(0));
                own.trust = vec![own.trust[0].clone(); 33];
                authenticate(own)
            },
            limit("trust rules of an application", 32),
        ),
        case(
            trusted(),
            create_issuer("https://ci.example"),
            Refusal::TrustedIssuerTaken {
                issuer: parse("https://ci.example"),
                id: IssuerId(0),
            },
        ),
        base(
            issuer("spiffe://example.org", IssuerKeys::Discovery),
            invalid(
                "an issuer whose keys are discovered",
                "an https address; give a jwks_uri or keys for others",
            ),
        ),
        base(
            issuer("urn:ci", IssuerKeys::Keys(Vec::new())),
            invalid("keys", "at least one"),
        ),
        base(
            issuer("urn:ci", IssuerKeys::Keys(vec![registered_key(1); 2])),
            twice(),
        ),
        base(quota(None), no_quota()),
        base(quota(Some(0)), no_quota()),
        base(
            exchange(vec![]),
            invalid("subjects", "at least one application"),
        ),
        base(
            exchange(vec![NOBODY]),
            Refusal::ApplicationUnknown { id: NOBODY },
        ),
        base(
            exchange((100..165).map(ApplicationId).collect()),
            limit("applications whose tokens one may exchange", 64),
        ),
        base(put_type(MANAGEMENT, "publish"), Refusal::ManagementApiFixed),
        case(
            given([put_type(COURSES, "publish"), create_api("urn:a", &[])]),
            put_type(ApiId(2), "publish"),
            Refusal::DetailsTypeTaken {
                name: parse("publish"),
                api: COURSES,
            },
        ),
        case(
            given((0..64).map(|i| put_type(COURSES, &format!("type-{i}")))),
            put_type(COURSES, "one-more"),
            limit("types of authorization details of an API resource", 64),
        ),
        base(
            Command::PutDetailsType {
                api: COURSES,
                details_type: DetailsType {
                    schema: Some(JsonText {
                        json: " ".repeat(32 * 1024 + 1).into(),
                    }),
                    ..details_type("publish")
                },
            },
            limit("bytes of a schema", 32 * 1024),
        ),
        base(
            Command::RemoveDetailsType {
                api: COURSES,
                name: parse("none"),
                cascade: true,
            },
            no_type("none"),
        ),
        case(
            given([
                put_type(COURSES, "publish"),
                add_grant(JOB, COURSES, &[]),
                grant_details(&["publish"]),
            ]),
            Command::RemoveDetailsType {
                api: COURSES,
                name: parse("publish"),
                cascade: false,
            },
            Refusal::InUse {
                users: vec![User {
                    entity: Entity::Application(JOB),
                    name: parse("Course publishing job"),
                }],
                total: 1,
            },
        ),
        case(
            given([add_grant(JOB, COURSES, &[])]),
            grant_details(&["none"]),
            no_type("none"),
        ),
        base(
            grant_details(&[]),
            Refusal::GrantUnknown {
                application: JOB,
                api: COURSES,
            },
        ),
    ]
}

#[test]
fn every_refusal_is_given_for_its_reason() {
    let groups = [
        unknown_things(),
        taken_things(),
        used_things(),
        keys_and_tokens(),
        values(),
        limits_reached(),
        about_policies(),
        about_protection(),
        about_registration(),
        about_the_actor(),
    ];
    // The two that are about more than actor and command; `commands.rs` shows when.
    let mut seen = BTreeSet::from(["VersionStale", "IdempotencyKeyReused"]);
    for case in groups.into_iter().flatten() {
        seen.insert(variant(&case.refusal));
        case.given
            .when(case.actor, case.command)
            .then_refused(case.refusal);
    }
    let never: Vec<_> = VARIANTS
        .iter()
        .filter(|name| !seen.contains(*name))
        .collect();
    assert!(never.is_empty(), "no case for {never:?}");
}

#[test]
fn revocations_have_a_quota() {
    let mut log = Log::base();
    let revoke = |number: u32| Command::RevokeToken {
        jti: jti(BEGIN, number.into()),
        application: JOB,
        expires_at: BEGIN.plus_seconds(86_400),
    };
    for number in 0..limits::REVOCATIONS_PER_APPLICATION {
        log.index.apply(&Recorded {
            position: log.index.next_position(),
            event: TokenRevoked {
                jti: jti(BEGIN, number.into()),
                application: JOB,
                expires_at: BEGIN.plus_seconds(86_400),
            }
            .into(),
            ..log.recorded[0].clone()
        });
    }
    let refusal = limit(
        "revoked tokens of an application; cut all its tokens instead",
        limits::REVOCATIONS_PER_APPLICATION as usize,
    );
    let one_more = revoke(limits::REVOCATIONS_PER_APPLICATION);
    assert_eq!(log.attempt(&client_actor(JOB), one_more), Err(refusal));
    // One that is revoked already needs no room.
    assert_eq!(log.attempt(&client_actor(JOB), revoke(0)), Ok(Vec::new()));
}

#[test]
fn texts_name_what_they_are_about() {
    let text = Refusal::InUse {
        users: vec![User {
            entity: Entity::Role(RoleId(3)),
            name: parse("Readers"),
        }],
        total: 21,
    };
    assert_eq!(
        text.to_string(),
        "it is still used by role/role_3 (Readers) and 20 more; remove that first, or ask for a cascade where there is one"
    );
    let text = Refusal::ActorLacksAuthority {
        scopes: scopes(&["writ:roles:read", "writ:roles:write"]),
    };
    assert!(
        text.to_string()
            .ends_with(": writ:roles:read, writ:roles:write")
    );
}
