//! Applications that register themselves (RFC 7591, RFC 7592): the rules.

use AuthenticationMethod as M;
use proptest::prelude::*;
use writ_core::testkit::*;
use writ_core::*;

const TOKEN: InitialAccessTokenId = InitialAccessTokenId(0);
const NEW: ApplicationId = ApplicationId(7);

fn bounds() -> RegistrationBounds {
    RegistrationBounds {
        methods: vec![M::ClientSecretBasic, M::PrivateKeyJwt],
        name_prefix: Some(parse("ci-")),
    }
}

fn own(method: M) -> Authentication {
    let keys = match method {
        M::PrivateKeyJwt => vec![registered_key(1)],
        _ => Vec::new(),
    };
    Authentication {
        methods: vec![method],
        keys,
        ..Authentication::default()
    }
}

fn authenticates(method: M) -> Event {
    ApplicationAuthenticationChanged {
        id: NEW,
        authentication: Some(Box::new(own(method))),
    }
    .into()
}

fn secret_added(number: u128) -> Event {
    ApplicationSecretAdded {
        application: NEW,
        secret: SecretId(number),
        digest: digest(number),
        expires_at: None,
    }
    .into()
}

fn secret_revoked(number: u128) -> Event {
    ApplicationSecretRevoked {
        application: NEW,
        secret: SecretId(number),
    }
    .into()
}

fn changed() -> Event {
    ApplicationRegistrationChanged { id: NEW }.into()
}

fn created(name: &str, sender_constraint: SenderConstraint) -> Event {
    ApplicationCreated {
        id: NEW,
        name: parse(name),
        labels: Labels::default(),
        token_settings: TokenSettings {
            sender_constraint,
            ..TokenSettings::default()
        },
    }
    .into()
}

fn granted(names: &[&str]) -> Event {
    GrantAdded {
        application: NEW,
        api: COURSES,
        mode: GrantMode::None,
        scopes: scopes(names),
    }
    .into()
}

fn registered() -> Event {
    ApplicationRegistered {
        id: NEW,
        token: TOKEN,
        digest: registration_digest(NEW),
        bounds: bounds(),
    }
    .into()
}

/// By a secret, with all that the token gives.
fn given_registered() -> Given {
    given([create_initial_access_token(&["courses:read"])])
        .when(
            registrant(TOKEN),
            register(TOKEN, NEW, client_metadata(M::ClientSecretBasic)),
        )
        .then([
            created("ci-job", SenderConstraint::None),
            authenticates(M::ClientSecretBasic),
            secret_added(207),
            granted(&["courses:read"]),
            registered(),
        ])
}

fn update(given: Given, metadata: ClientMetadata) -> When {
    given.when(registered_actor(NEW), change_registration(NEW, metadata))
}

fn asking(names: &[&str]) -> Command {
    let mut command = register(TOKEN, NEW, client_metadata(M::PrivateKeyJwt));
    if let Command::RegisterApplication { registration, .. } = &mut command {
        registration.scopes = Some(scopes(names));
    }
    command
}

fn left(log: &Log) -> u32 {
    let token = log.index.initial_access_token(TOKEN);
    token.map_or(0, |token| token.registrations - token.registered)
}

#[test]
fn an_application_registers_itself_within_bounds() {
    let given = given_registered();
    let app = given.log.index.application(NEW).expect("registered");
    assert_eq!(app.registration().map(|own| own.token), Some(TOKEN));
    assert_eq!(left(&given.log), 1);
    // What became of it gives nothing back.
    let given = given
        .when(
            admin(),
            Command::RemoveApplication {
                id: NEW,
                cascade: false,
            },
        )
        .then_accepted();
    assert_eq!(left(&given.log), 1);
}

#[test]
fn it_gets_no_secret_by_a_key_and_a_name_where_it_says_none() {
    let metadata = ClientMetadata {
        name: None,
        sender_constraint: SenderConstraint::Dpop,
        ..client_metadata(M::PrivateKeyJwt)
    };
    given([create_initial_access_token(&[])])
        .when(registrant(TOKEN), register(TOKEN, NEW, metadata))
        .then([
            created(&format!("ci-{NEW}"), SenderConstraint::Dpop),
            authenticates(M::PrivateKeyJwt),
            registered(),
        ]);
}

#[test]
fn scopes_beyond_the_bounds_are_left_out() {
    let begin = || {
        given([create_initial_access_token(&[
            "courses:read",
            "courses:write",
        ])])
    };
    let whole = |scopes: &[&str]| {
        [
            created("ci-job", SenderConstraint::None),
            authenticates(M::PrivateKeyJwt),
            granted(scopes),
            registered(),
        ]
    };
    let when = |names: &[&str]| begin().when(registrant(TOKEN), asking(names));
    when(&["courses:publish", "courses:read"]).then(whole(&["courses:read"]));
    when(&["courses:publish", "writ:grants:write"]).then([
        created("ci-job", SenderConstraint::None),
        authenticates(M::PrivateKeyJwt),
        registered(),
    ]);
    // A scope that came anew under an old name is not the one that was given.
    let remove = Command::RemoveScope {
        api: COURSES,
        name: parse("courses:write"),
        cascade: false,
    };
    let put = Command::PutScope {
        api: COURSES,
        scope: new_scope("courses:write"),
    };
    begin()
        .and([remove, put])
        .when(
            registrant(TOKEN),
            asking(&["courses:read", "courses:write"]),
        )
        .then(whole(&["courses:read"]));
    let gone = Command::RemoveApiResource {
        id: COURSES,
        cascade: false,
    };
    begin()
        .and([gone])
        .when(registrant(TOKEN), asking(&["courses:read"]))
        .then([
            created("ci-job", SenderConstraint::None),
            authenticates(M::PrivateKeyJwt),
            registered(),
        ]);
}

#[test]
fn only_the_token_registers_and_it_does_nothing_else() {
    let token = create_initial_access_token(&[]);
    let begin = || given([token.clone(), token.clone()]);
    let metadata = || client_metadata(M::PrivateKeyJwt);
    begin()
        .when(admin(), register(TOKEN, NEW, metadata()))
        .then_refused(Refusal::ActorNotLocal);
    begin()
        .when(
            registrant(InitialAccessTokenId(1)),
            register(TOKEN, NEW, metadata()),
        )
        .then_refused(Refusal::ActorNotLocal);
    for command in [
        create_application(NEW.0, "Job"),
        add_secret(JOB, 9),
        token.clone(),
        Command::RevokeInitialAccessToken { id: TOKEN },
        change_registration(JOB, metadata()),
    ] {
        begin()
            .when(registrant(TOKEN), command)
            .then_refused(Refusal::ActorNotLocal);
    }
}

#[test]
fn only_the_application_itself_changes_its_registration() {
    let command = || change_registration(NEW, client_metadata(M::PrivateKeyJwt));
    let given = given_registered();
    for actor in [admin(), registrant(TOKEN), registered_actor(JOB)] {
        given
            .clone()
            .when(actor, command())
            .then_refused(Refusal::ActorNotLocal);
    }
}

#[test]
fn who_lets_others_register_with_grants_must_be_able_to_grant() {
    const CLERK: ApplicationId = ApplicationId(10);
    let office = || {
        given([
            create_application(CLERK.0, "Clerk"),
            add_secret(CLERK, CLERK.0),
            add_grant(CLERK, MANAGEMENT, &["writ:initial-access-tokens:write"]),
        ])
    };
    let create = create_initial_access_token;
    office()
        .when(full_actor(CLERK), create(&[]))
        .then_accepted();
    office()
        .when(full_actor(CLERK), create(&["courses:read"]))
        .then_refused(Refusal::ActorNotPermitted {
            scope: ManagementScope::GrantsWrite,
        });
    given_base()
        .when(full_actor(JOB), create(&[]))
        .then_refused(Refusal::ActorNotPermitted {
            scope: ManagementScope::InitialAccessTokensWrite,
        });
}

#[test]
fn a_revoked_token_registers_nobody_and_what_it_registered_stays() {
    let given = given_registered()
        .when(admin(), Command::RevokeInitialAccessToken { id: TOKEN })
        .then([InitialAccessTokenRevoked { id: TOKEN }]);
    let unknown = Refusal::InitialAccessTokenUnknown { id: TOKEN };
    let given = given
        .when(
            registrant(TOKEN),
            register(TOKEN, ApplicationId(8), client_metadata(M::PrivateKeyJwt)),
        )
        .then_refused(unknown);
    assert!(!given.log.index.takes_registrations(given.log.now));
    update(given, client_metadata(M::PrivateKeyJwt)).then_accepted();
}

#[test]
fn a_change_replaces_what_the_application_says_and_nothing_else() {
    let metadata = |name: Option<&str>, method| ClientMetadata {
        name: name.map(parse),
        ..client_metadata(method)
    };
    let given = update(
        given_registered(),
        metadata(Some("ci-other"), M::PrivateKeyJwt),
    )
    .then([
        ApplicationRenamed {
            id: NEW,
            name: parse("ci-other"),
        }
        .into(),
        authenticates(M::PrivateKeyJwt),
        secret_revoked(207),
        changed(),
    ]);
    // The same again changes nothing; back to a secret makes a new one, once.
    let given = update(given, metadata(None, M::PrivateKeyJwt)).then_nothing();
    let given = update(given, metadata(None, M::ClientSecretBasic)).then([
        authenticates(M::ClientSecretBasic),
        secret_added(307),
        changed(),
    ]);
    let given = update(given, metadata(None, M::ClientSecretBasic)).then_nothing();
    let app = given.log.index.application(NEW).expect("registered");
    let courses = given.log.index.api(COURSES).expect("the API");
    let granted = app.grant(COURSES).map(|grant| courses.names(&grant.scopes));
    assert_eq!(granted, Some(scopes(&["courses:read"])));
    assert_eq!(app.name.as_str(), "ci-other");
}

#[test]
fn what_administrators_said_is_not_loosened_by_a_change() {
    let trusting = Authentication {
        profile: SecurityProfile::Fapi2,
        certificates: vec![CertificateDigest([7; 32])],
        methods: vec![M::PrivateKeyJwt, M::WorkloadIdentity],
        ..Authentication {
            keys: vec![registered_key(3)],
            ..by_trust(IssuerId(0))
        }
    };
    let begin = given_registered().and([
        create_issuer("https://ci.example"),
        Command::ChangeAuthentication {
            application: NEW,
            authentication: Some(Box::new(trusting.clone())),
        },
        ApplicationChange {
            token_settings: Some(TokenSettings {
                sender_constraint: SenderConstraint::Any,
                lifetime_seconds: Some(60),
                ..TokenSettings::default()
            }),
            ..change_application(NEW)
        }
        .into(),
    ]);
    update(begin.clone(), client_metadata(M::ClientSecretBasic)).then_refused(
        Refusal::ProfileForbids {
            method: M::ClientSecretBasic,
        },
    );
    let keyed = Authentication {
        keys: vec![registered_key(1)],
        ..trusting
    };
    update(begin, client_metadata(M::PrivateKeyJwt)).then([
        ApplicationAuthenticationChanged {
            id: NEW,
            authentication: Some(Box::new(keyed)),
        }
        .into(),
        secret_revoked(207),
        changed(),
    ]);
}

#[test]
fn an_application_that_administers_is_not_changed_by_its_registration_token() {
    let given = given_registered().and([add_grant(NEW, MANAGEMENT, &["writ:roles:read"])]);
    let outranked = Refusal::ActorOutranked { application: NEW };
    let given = update(given, client_metadata(M::PrivateKeyJwt)).then_refused(outranked);
    // Weakening stays possible.
    let remove = Command::RemoveRegistration {
        application: NEW,
        presented: registration_digest(NEW),
    };
    given
        .when(registered_actor(NEW), remove)
        .then([ApplicationRemoved { id: NEW }]);
}

#[test]
fn a_registration_is_removed_by_the_application_and_its_token_dies_with_it() {
    let remove = || Command::RemoveRegistration {
        application: NEW,
        presented: registration_digest(NEW),
    };
    given_registered()
        .when(registered_actor(NEW), remove())
        .then([ApplicationRemoved { id: NEW }])
        .when(registered_actor(NEW), remove())
        .then_refused(Refusal::ActorUnusable { application: NEW });
}

#[test]
fn a_day_has_so_many_changes_and_the_next_as_many_again() {
    let mut given = given_registered();
    let names = |turn: u32| ClientMetadata {
        name: Some(parse(&format!("ci-{turn}"))),
        ..client_metadata(M::ClientSecretBasic)
    };
    for turn in 0..limits::REGISTRATION_CHANGES_PER_DAY {
        given = update(given, names(turn)).then_accepted();
    }
    let spent = Refusal::RegistrationChangesSpent {
        application: NEW,
        max: 24,
    };
    let given = update(given, names(99)).then_refused(spent);
    update(given.after_seconds(86_400), names(99)).then_accepted();
}

#[test]
fn no_digest_is_shown() {
    let given = given_registered();
    let index = &given.log.index;
    let app = index.application(NEW).expect("registered");
    let shown = format!(
        "{:?} {:?}",
        app.registration(),
        index.initial_access_token(TOKEN)
    );
    assert!(shown.contains("[redacted]"), "{shown}");
    assert!(!shown.contains(&codec::hex(&digest(50))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However many race, a token registers as many as it may and no more.
    #[test]
    fn a_token_registers_as_many_as_it_may(most in 1u32..6, racing in 1u128..10) {
        let mut create = create_initial_access_token(&[]);
        if let Command::CreateInitialAccessToken { registrations, .. } = &mut create {
            *registrations = most;
        }
        let mut log = given([create]).log;
        let taken = (0..racing).filter(|n| {
            let command = register(TOKEN, ApplicationId(20 + n), client_metadata(M::PrivateKeyJwt));
            log.attempt(&registrant(TOKEN), command).is_ok()
        });
        prop_assert_eq!(taken.count() as u128, racing.min(most.into()));
        prop_assert_eq!(log.index.takes_registrations(log.now), racing < most.into());
    }
}
