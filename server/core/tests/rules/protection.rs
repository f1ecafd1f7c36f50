//! How applications authenticate, whom they trust, and what bounds their tokens: the rules.

use writ_core::testkit::*;
use writ_core::*;

const FIRST: IssuerId = IssuerId(0);

pub fn authenticate(own: Authentication) -> Command {
    Command::ChangeAuthentication {
        application: JOB,
        authentication: Some(Box::new(own)),
    }
}

pub fn with(edit: impl FnOnce(&mut Authentication)) -> Command {
    let mut own = by_key(1);
    edit(&mut own);
    authenticate(own)
}

pub fn put_type(api: ApiId, name: &str) -> Command {
    Command::PutDetailsType {
        api,
        details_type: details_type(name),
    }
}

pub fn grant_details(names: &[&str]) -> Command {
    Command::ChangeGrantDetails {
        application: JOB,
        api: COURSES,
        details: names.iter().map(|name| parse(name)).collect(),
    }
}

fn changed(own: Option<Authentication>) -> Event {
    ApplicationAuthenticationChanged {
        id: JOB,
        authentication: own.map(Box::new),
    }
    .into()
}

fn job(log: &Log) -> &Application {
    log.index.application(JOB).expect("the job")
}

#[test]
fn authentication_is_changed_as_a_whole_and_back_to_the_usual() {
    use AuthenticationMethod as M;
    let given = given_base()
        .when(admin(), authenticate(by_key(1)))
        .then([changed(Some(by_key(1)))]);
    let settings = given.log.index.settings().clone();
    assert!(job(&given.log).may_use(M::PrivateKeyJwt, &settings));
    assert!(!job(&given.log).may_use(M::ClientSecretBasic, &settings));
    let given = given
        .when(admin(), authenticate(by_key(1)))
        .then_nothing()
        .when(admin(), authenticate(Authentication::default()))
        .then([changed(None)]);
    assert!(job(&given.log).may_use(M::ClientSecretPost, &settings));
    let nothing = Command::ChangeAuthentication {
        application: JOB,
        authentication: None,
    };
    given.when(admin(), nothing).then_nothing();
}

#[test]
fn the_strict_profile_takes_secrets_away_and_wants_bound_tokens() {
    use AuthenticationMethod as M;
    let strict = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        ..SettingsChange::default()
    };
    let mut chief = by_key(9);
    chief.methods.insert(0, M::ClientSecretBasic);
    let given = given([
        Command::ChangeAuthentication {
            application: ADMIN,
            authentication: Some(Box::new(chief)),
        },
        add_grant(JOB, COURSES, &["courses:read"]),
    ])
    .when(admin(), Command::ChangeSettings { change: strict })
    .then_accepted();
    let index = &given.log.index;
    assert!(!job(&given.log).may_use(M::ClientSecretBasic, index.settings()));
    let chief = index.application(ADMIN).expect("the administrator");
    assert!(chief.may_use(M::PrivateKeyJwt, index.settings()));
    assert!(!chief.may_use(M::ClientSecretBasic, index.settings()));
    let ask = Ask {
        scope: Some("courses:read"),
        ..Ask::default()
    };
    assert_eq!(
        authorize(index, JOB, ask),
        Err(Denial::SenderUnconstrained {
            needed: SenderConstraint::Any
        })
    );
}

#[test]
fn the_strict_profile_does_not_lock_the_last_administrator_out() {
    let strict = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        ..SettingsChange::default()
    };
    given_base()
        .when(admin(), Command::ChangeSettings { change: strict })
        .then_refused(Refusal::LastAdministrator);
    let remote = Authentication {
        methods: vec![AuthenticationMethod::PrivateKeyJwt],
        jwks_uri: Some(parse("https://admin.example/jwks")),
        ..Authentication::default()
    };
    let elsewhere = |own| Command::ChangeAuthentication {
        application: ADMIN,
        authentication: Some(Box::new(own)),
    };
    // Keys that are somewhere else can be gone tomorrow.
    given_base()
        .when(admin(), elsewhere(remote))
        .then_refused(Refusal::LastAdministrator);
    given_base()
        .when(admin(), elsewhere(by_key(1)))
        .then_accepted();
}

#[test]
fn a_trusted_issuer_stays_while_it_is_trusted() {
    let issuer = || parse::<Identifier>("https://ci.example");
    let given = given_base()
        .when(admin(), create_issuer("https://ci.example"))
        .then([TrustedIssuerCreated {
            id: FIRST,
            issuer: issuer(),
            name: parse("CI"),
            keys: IssuerKeys::Keys(vec![registered_key(0)]),
            omits_issuer: false,
        }]);
    let found = given.log.index.trusted_issuer_named("https://ci.example");
    assert_eq!(found.map(|issuer| issuer.id), Some(FIRST));
    let change = |keys| Command::ChangeTrustedIssuer {
        id: FIRST,
        name: None,
        keys,
        omits_issuer: None,
    };
    let user = User {
        entity: Entity::Application(JOB),
        name: parse("Course publishing job"),
    };
    given
        .when(admin(), change(None))
        .then_nothing()
        .when(admin(), change(Some(IssuerKeys::Discovery)))
        .then([TrustedIssuerChanged {
            id: FIRST,
            name: parse("CI"),
            keys: IssuerKeys::Discovery,
            omits_issuer: false,
        }])
        .and([authenticate(by_trust(FIRST))])
        .when(admin(), Command::RemoveTrustedIssuer { id: FIRST })
        .then_refused(Refusal::InUse {
            users: vec![user],
            total: 1,
        })
        .and([authenticate(by_key(1))])
        .when(admin(), Command::RemoveTrustedIssuer { id: FIRST })
        .then([TrustedIssuerRemoved { id: FIRST }])
        // Its number is not given again.
        .when(admin(), create_issuer("https://ci.example"))
        .then_accepted();
}

#[test]
fn details_are_granted_by_type_and_asked_for_by_type() {
    fn ask<'a>(details: &'a [&'a str]) -> Ask<'a> {
        Ask {
            details,
            ..Ask::default()
        }
    }
    let unauthorized = |name: &str| {
        Err(Denial::DetailsUnauthorized {
            types: vec![name.into()],
        })
    };
    let given = given([
        put_type(COURSES, "publish"),
        put_type(COURSES, "archive"),
        add_grant(JOB, COURSES, &["courses:read"]),
    ]);
    let found = authorize(&given.log.index, JOB, ask(&["publish"]));
    assert_eq!(found, unauthorized("publish"));
    let given = given
        .when(admin(), grant_details(&["publish", "publish"]))
        .then([GrantDetailsChanged {
            application: JOB,
            api: COURSES,
            details: vec![parse("publish")],
        }])
        .when(admin(), grant_details(&["publish"]))
        .then_nothing();
    let index = &given.log.index;
    let entitled = authorize(index, JOB, ask(&["publish", "publish"])).expect("entitled");
    assert_eq!(entitled.details, [parse::<DetailsTypeName>("publish")]);
    assert_eq!(entitled.audience, [COURSES_IDENTIFIER.into()]);
    assert_eq!(entitled.scopes, []);
    assert_eq!(entitled.audience_of(&[]), entitled.audience);
    for name in ["archive", "none"] {
        let found = authorize(index, JOB, ask(&["publish", name]));
        assert_eq!(found, unauthorized(name));
    }
    // Another change of the grant leaves them.
    let scopes = Command::ChangeGrant {
        application: JOB,
        api: COURSES,
        mode: None,
        scopes: Some(Vec::new()),
    };
    let given = given.and([scopes]);
    assert!(authorize(&given.log.index, JOB, ask(&["publish"])).is_ok());
    let remove = |cascade| Command::RemoveDetailsType {
        api: COURSES,
        name: parse("publish"),
        cascade,
    };
    let given = given
        .when(admin(), remove(true))
        .then([
            Event::from(GrantDetailsChanged {
                application: JOB,
                api: COURSES,
                details: Vec::new(),
            }),
            DetailsTypeRemoved {
                api: COURSES,
                name: parse("publish"),
            }
            .into(),
        ])
        .and([put_type(COURSES, "publish")]);
    let found = authorize(&given.log.index, JOB, ask(&["publish"]));
    assert_eq!(found, unauthorized("publish"), "a new type is not granted");
}

#[test]
fn a_token_is_bound_to_what_is_demanded_and_shown() {
    use SenderConstraint as C;
    let binds = |dpop, certificate| Binds { dpop, certificate };
    let cases = [
        (C::None, C::None, binds(false, false), Ok(None)),
        (C::None, C::None, binds(true, true), Ok(Some(Binding::Dpop))),
        (C::None, C::None, binds(false, true), Ok(None)),
        (C::Dpop, C::None, binds(true, true), Ok(Some(Binding::Dpop))),
        (C::None, C::Mtls, binds(true, true), Ok(Some(Binding::Mtls))),
        (C::Any, C::None, binds(false, true), Ok(Some(Binding::Mtls))),
        (C::Any, C::Any, binds(true, true), Ok(Some(Binding::Dpop))),
        (C::Any, C::Mtls, binds(true, true), Ok(Some(Binding::Mtls))),
        (C::Dpop, C::None, binds(false, true), Err(Some(C::Dpop))),
        (C::Mtls, C::None, binds(true, false), Err(Some(C::Mtls))),
        (C::Any, C::None, binds(false, false), Err(Some(C::Any))),
        (C::Dpop, C::Mtls, binds(true, true), Err(None)),
    ];
    for (own, of_api, binds, expected) in cases {
        let settings = ApplicationChange {
            token_settings: Some(TokenSettings {
                sender_constraint: own,
                ..TokenSettings::default()
            }),
            ..change_application(JOB)
        };
        let profile = Command::ChangeApiResource {
            id: COURSES,
            name: None,
            requires_authorization: None,
            profile: ProfileChange {
                sender_constraint: Some(of_api),
                ..ProfileChange::default()
            },
            guards: None,
        };
        let given = given([
            add_grant(JOB, COURSES, &["courses:read"]),
            settings.into(),
            profile,
        ]);
        let ask = Ask {
            scope: Some("courses:read"),
            binds,
            ..Ask::default()
        };
        let found = authorize(&given.log.index, JOB, ask).map(|entitled| entitled.binding);
        let expected = expected.map_err(|needed| match needed {
            Some(needed) => Denial::SenderUnconstrained { needed },
            None => Denial::SenderConstraintsDiffer,
        });
        assert_eq!(found, expected, "{own:?} {of_api:?} {binds:?}");
    }
}

#[test]
fn quotas_and_exchanges_are_changed_as_a_whole() {
    let quota = Quota {
        per_hour: Some(100),
        ..Quota::default()
    };
    let change_quota = |quota| Command::ChangeQuota {
        application: JOB,
        quota,
    };
    let exchange = |subjects: &[ApplicationId]| Command::ChangeExchange {
        application: JOB,
        exchange: Some(TokenExchange {
            subjects: subjects.into(),
            mode: ExchangeMode::Delegation,
        }),
    };
    let no_exchange = || Command::ChangeExchange {
        application: JOB,
        exchange: None,
    };
    let other = ApplicationId(30);
    given([create_application(30, "Caller")])
        .when(admin(), change_quota(Some(quota)))
        .then([ApplicationQuotaChanged {
            id: JOB,
            quota: Some(quota),
        }])
        .when(admin(), change_quota(Some(quota)))
        .then_nothing()
        .when(admin(), change_quota(None))
        .then([ApplicationQuotaChanged {
            id: JOB,
            quota: None,
        }])
        .when(admin(), exchange(&[other, JOB, other]))
        .then([ApplicationExchangeChanged {
            id: JOB,
            exchange: Some(TokenExchange {
                subjects: vec![JOB, other],
                mode: ExchangeMode::Delegation,
            }),
        }])
        .and([Command::RemoveApplication {
            id: other,
            cascade: false,
        }])
        // One that is gone may stay, and stays harmless.
        .when(admin(), exchange(&[JOB, other]))
        .then_nothing()
        .when(admin(), no_exchange())
        .then([ApplicationExchangeChanged {
            id: JOB,
            exchange: None,
        }])
        .when(admin(), no_exchange())
        .then_nothing();
}
