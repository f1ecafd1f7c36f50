//! Events as stored bytes: a golden file for each kind and version, kept for ever, and bytes that
//! are no event refused.
//!
//! `tests/golden/{kind}.v{version}.json` is exactly what is stored. A new kind gets its file by
//! `WRIT_GOLDEN=write cargo test -p writ-core golden`, which never touches one that is there.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use writ_core::codec::{DecodeError, EncodeError, decode, encode};
use writ_core::testkit::*;
use writ_core::*;

fn labels() -> Labels {
    let pairs = [("env", "prod"), ("team", "L\u{fc}neburg \"nord\"")];
    let pairs: BTreeMap<Box<str>, Box<str>> = pairs.map(|(k, v)| (k.into(), v.into())).into();
    Labels::new(pairs).expect("labels")
}

fn token_settings() -> TokenSettings {
    TokenSettings {
        audience: Audience::ClientId,
        extra_audiences: vec![parse("urn:example:legacy")],
        lifetime_seconds: Some(300),
        ..TokenSettings::default()
    }
}

fn profile() -> TokenProfile {
    TokenProfile {
        algorithm: Algorithm::RS256,
        typ: TokenType::Jwt,
        lifetime_seconds: Some(600),
        ..TokenProfile::default()
    }
}

fn all_settings() -> SettingsChange {
    SettingsChange {
        scopes_unauthorized: Some(UnauthorizedScopes::Drop),
        scopes_omitted: Some(OmittedScopes::All),
        issuance_record: Some(RecordMode::Buffered),
        // In a file of their own: an event is never changed after it was written once.
        security_profile: None,
        dpop_require_nonce: None,
        ..Settings::default().to_change()
    }
}

/// One event of each kind, with every field in use.
fn representatives() -> Vec<Event> {
    let (application, api, role) = (ApplicationId(0x0193_5a2b << 96 | 42), ApiId(7), RoleId(3));
    let (id, secret, kid) = (application, SecretId(99), || parse::<Kid>("es256-2026_03"));
    let end = BEGIN.plus_seconds(86_400);
    let scope = || Scope {
        name: parse("courses:read"),
        description: Some(parse("See courses")),
    };
    let read = || parse::<ScopeName>("courses:read");
    vec![
        LogCreated {
            log_id: "01jnd8q3x0e5v8s0c4k2m6p7rt".into(),
            format: 1,
        }
        .into(),
        ServerStarted {
            version: "0.1.0".into(),
            rules_version: 1,
            engine: "wasmtime-38".into(),
            issuer: None,
        }
        .into(),
        SettingsChanged {
            change: all_settings(),
        }
        .into(),
        CommandHadNoEffect {
            subject: Entity::Secret(application, secret),
        }
        .into(),
        ApiResourceCreated {
            id: api,
            identifier: parse(COURSES_IDENTIFIER),
            name: parse("Course Management API"),
            requires_authorization: true,
            profile: profile(),
            guards: vec![application],
            scopes: vec![
                scope(),
                Scope {
                    name: parse("courses:publish"),
                    description: None,
                },
            ],
        }
        .into(),
        ApiResourceRenamed {
            id: api,
            name: parse("Courses \u{2014} the API"),
        }
        .into(),
        ApiResourceAuthorizationChanged {
            id: api,
            requires_authorization: false,
        }
        .into(),
        ApiResourceProfileChanged {
            id: api,
            profile: TokenProfile::default(),
        }
        .into(),
        ApiResourceGuardsChanged {
            id: api,
            guards: vec![application],
        }
        .into(),
        ApiResourceRemoved { id: api }.into(),
        ScopeAdded {
            api,
            scope: scope(),
        }
        .into(),
        ScopeDescribed {
            api,
            name: read(),
            description: None,
        }
        .into(),
        ScopeRemoved { api, name: read() }.into(),
        ApplicationCreated {
            id,
            name: parse("Course publishing job"),
            labels: labels(),
            token_settings: token_settings(),
        }
        .into(),
        ApplicationRenamed {
            id,
            name: parse("Publisher"),
        }
        .into(),
        ApplicationDisabled { id }.into(),
        ApplicationEnabled { id }.into(),
        ApplicationLabelled {
            id,
            labels: labels(),
        }
        .into(),
        ApplicationTokenSettingsChanged {
            id,
            token_settings: token_settings(),
        }
        .into(),
        ApplicationRemoved { id }.into(),
        ApplicationSecretAdded {
            application,
            secret,
            digest: digest(99),
            expires_at: Some(end),
        }
        .into(),
        ApplicationSecretRevoked {
            application,
            secret,
        }
        .into(),
        ApplicationRoleAssigned { application, role }.into(),
        ApplicationRoleUnassigned { application, role }.into(),
        ApplicationTokensCut { application }.into(),
        GrantAdded {
            application,
            api,
            mode: GrantMode::Rbac,
            scopes: scopes(&["courses:publish", "courses:read"]),
        }
        .into(),
        GrantChanged {
            application,
            api,
            mode: GrantMode::None,
            scopes: Vec::new(),
        }
        .into(),
        GrantRemoved { application, api }.into(),
        RoleCreated {
            id: role,
            name: parse("Readers"),
            scopes: vec![read()],
        }
        .into(),
        RoleRenamed {
            id: role,
            name: parse("Writers"),
        }
        .into(),
        RoleScopesChanged {
            id: role,
            scopes: vec![read()],
        }
        .into(),
        RoleRemoved { id: role }.into(),
        SigningKeyMade {
            kid: kid(),
            algorithm: Algorithm::ES256,
            jwk: signing_key("es256-2026_03", Algorithm::ES256).jwk,
        }
        .into(),
        SigningKeyActivated { kid: kid() }.into(),
        SigningKeyRetired {
            kid: kid(),
            until: end,
        }
        .into(),
        SigningKeyRevoked { kid: kid() }.into(),
        SigningKeyRemoved { kid: kid() }.into(),
        TokenRevoked {
            jti: jti(BEGIN, 77),
            application,
            expires_at: end,
        }
        .into(),
        IssuancesSealed {
            file: "issuances-000042".into(),
            first: jti(BEGIN, 1),
            last: jti(end, 2),
            records: 123_456,
            root: digest(1),
        }
        .into(),
        PolicyUploaded {
            digest: policy_digest(7),
            bytes: 17_000,
            descriptor: descriptor(),
        }
        .into(),
        PolicyRemoved {
            digest: policy_digest(7),
        }
        .into(),
        PolicyBindingCreated {
            id: BindingId(3),
            target: PolicyTarget::ApiResource(api),
            mode: PolicyMode::Enforce,
            order: 100,
            judgement: policy_use(),
        }
        .into(),
        PolicyBindingChanged {
            id: BindingId(3),
            target: PolicyTarget::Application(application),
            mode: PolicyMode::Shadow,
            order: 7,
            judgement: judgement(7, 5, &[]),
        }
        .into(),
        PolicyBindingRemoved {
            id: BindingId(3),
            target: PolicyTarget::Server,
        }
        .into(),
        LogKeySet {
            vkey: "login.example.com/writ/00000000000000000000000000000007+52c1a4b1+AQIDBA=="
                .into(),
        }
        .into(),
        LogRestoreAccepted {
            size: 1_234,
            root: digest(2),
        }
        .into(),
        DetailsTypePut {
            api,
            details_type: DetailsType {
                name: parse("course_publication"),
                description: Some(parse("Publish courses of one faculty")),
                schema: Some(JsonText {
                    json: r#"{"type":"object"}"#.into(),
                }),
            },
        }
        .into(),
        DetailsTypeRemoved {
            api,
            name: parse("course_publication"),
        }
        .into(),
        ApplicationAuthenticationChanged {
            id,
            authentication: Some(Box::new(authentication())),
        }
        .into(),
        ApplicationQuotaChanged {
            id,
            quota: Some(Quota {
                per_minute: Some(60),
                per_hour: Some(600),
                per_day: Some(6000),
                mode: QuotaMode::Monitor,
            }),
        }
        .into(),
        ApplicationExchangeChanged {
            id,
            exchange: Some(TokenExchange {
                subjects: vec![ADMIN, JOB],
                mode: ExchangeMode::Impersonation,
            }),
        }
        .into(),
        GrantDetailsChanged {
            application,
            api,
            details: vec![parse("course_publication")],
        }
        .into(),
        TrustedIssuerCreated {
            id: IssuerId(2),
            issuer: parse("https://token.actions.githubusercontent.com"),
            name: parse("GitHub Actions"),
            keys: IssuerKeys::Discovery,
            omits_issuer: false,
        }
        .into(),
        TrustedIssuerChanged {
            id: IssuerId(2),
            name: parse("SPIFFE"),
            keys: IssuerKeys::Keys(registered_keys()),
            omits_issuer: true,
        }
        .into(),
        TrustedIssuerRemoved { id: IssuerId(2) }.into(),
        ApplicationSecretExpirySet {
            application,
            secret,
            expires_at: end,
        }
        .into(),
        InitialAccessTokenCreated {
            id: InitialAccessTokenId(3),
            name: parse("CI of the web team"),
            digest: CredentialDigest(digest(6)),
            expires_at: end,
            registrations: 10,
            bounds: registration_bounds(),
            labels: labels(),
            grants: vec![BoundGrant {
                api,
                scopes: vec![read()],
            }],
        }
        .into(),
        InitialAccessTokenRevoked {
            id: InitialAccessTokenId(3),
        }
        .into(),
        ApplicationRegistered {
            id,
            token: InitialAccessTokenId(3),
            digest: CredentialDigest(digest(7)),
            bounds: registration_bounds(),
        }
        .into(),
        ApplicationRegistrationChanged { id }.into(),
        ApplicationRegistrationRevoked { id }.into(),
    ]
}

fn registration_bounds() -> RegistrationBounds {
    RegistrationBounds {
        methods: vec![
            AuthenticationMethod::ClientSecretBasic,
            AuthenticationMethod::PrivateKeyJwt,
        ],
        name_prefix: Some(parse("ci-")),
    }
}

fn registered_keys() -> Vec<RegisteredKey> {
    let jwk = |algorithm| signing_key("key-1", algorithm).jwk;
    vec![
        RegisteredKey {
            kid: Some("2026-03".into()),
            alg: Some("ES256".into()),
            jwk: jwk(Algorithm::ES256),
            certificate: Some(CertificateDigest(digest(3))),
        },
        RegisteredKey {
            kid: None,
            alg: None,
            jwk: jwk(Algorithm::RS256),
            certificate: None,
        },
    ]
}

/// With every member in use; the rules would not let all of them stand together.
fn authentication() -> Authentication {
    Authentication {
        methods: AuthenticationMethod::ALL.into(),
        keys: registered_keys(),
        jwks_uri: Some(parse("https://job.example/jwks.json")),
        certificate_subject: Some(CertificateSubject::Uri(parse("spiffe://example.org/job"))),
        certificates: vec![CertificateDigest(digest(4))],
        trust: vec![TrustRule {
            name: parse("ci"),
            issuer: IssuerId(2),
            audience: parse("https://writ.example"),
            subject: parse("repo:acme/app:ref:refs/heads/*"),
            claims: [
                ("repository_id".into(), ClaimValue::Text("42".into())),
                ("run_attempt".into(), ClaimValue::Int(1)),
                ("verified".into(), ClaimValue::Flag(true)),
            ]
            .into(),
            lifetime_seconds: 3600,
        }],
        profile: SecurityProfile::Fapi2,
    }
}

fn values() -> [(&'static str, PolicyValueKind, PolicyValue); 5] {
    let json = JsonText {
        json: "{\"a\":[1]}".into(),
    };
    [
        (
            "caps",
            PolicyValueKind::Texts,
            PolicyValue::Texts(vec!["courses:publish=300".into()]),
        ),
        ("lifetime", PolicyValueKind::Int, PolicyValue::Int(-300)),
        ("rules", PolicyValueKind::Json, PolicyValue::Json(json)),
        ("strict", PolicyValueKind::Flag, PolicyValue::Flag(true)),
        (
            "zone",
            PolicyValueKind::Text,
            PolicyValue::Text("L\u{fc}neburg".into()),
        ),
    ]
}

/// A descriptor with every kind of parameter, required and with a default.
fn descriptor() -> PolicyDescriptor {
    let parameter = |(name, kind, value): (&str, PolicyValueKind, PolicyValue)| PolicyParameter {
        name: name.into(),
        kind,
        required: name == "caps",
        default: (name != "caps").then_some(value),
        doc: "What it means".into(),
    };
    PolicyDescriptor {
        name: parse("lifetime_cap_by_scope"),
        version: "0.1.0".into(),
        doc: "Caps a token's lifetime by its scopes.".into(),
        settings: values().map(parameter).into(),
        reads: vec!["net.ip".into(), "time.hour".into()],
        codes: vec!["outside_network".into()],
        claims: vec!["tenant".into()],
    }
}

fn policy_use() -> Judgement {
    let settings = values().map(|(name, _, value)| (name.into(), value));
    Judgement {
        policy: policy_digest(7),
        settings: settings.into(),
        settings_digest: digest(8),
        claims: vec!["tenant".into()],
    }
}

/// Envelopes in turn: with everything optional, with nothing, by the system and by an operator.
fn recorded(i: u64, event: Event) -> Recorded {
    let full = i.is_multiple_of(3);
    let actor = match i % 3 {
        0 => Actor::Application {
            id: ADMIN,
            auth: "bearer".into(),
            jti: Some(jti(BEGIN, 5)),
            scopes: Vec::new(),
        },
        1 => Actor::operator("init"),
        _ => match i % 2 {
            0 => Actor::system("start"),
            _ => client_actor(JOB),
        },
    };
    Recorded {
        position: Position(1000 + i),
        id: EventId(u128::from(BEGIN.0) << 80 | u128::from(i)),
        at: Millis(BEGIN.0 + i),
        actor,
        command: CommandId(u128::from(BEGIN.0) << 80 | 0xc0 << 64 | u128::from(i)),
        sequence: u32::from(full),
        of: 1 + u32::from(full),
        idempotency: full.then(|| Idempotency {
            key: digest(3),
            body: digest(4),
        }),
        reason: full.then(|| digest(5)),
        correlation: full.then(|| "0af7651916cd43dd8448eb211c80319c".into()),
        cause: full.then(|| "rotation".into()),
        event,
    }
}

fn samples() -> Vec<Recorded> {
    (0..)
        .zip(representatives())
        .map(|(i, event)| recorded(i, event))
        .collect()
}

/// Events with members that came later, and what their golden files have in their names for it.
fn later() -> Vec<(&'static str, Event)> {
    let started = ServerStarted {
        version: "0.1.0".into(),
        rules_version: 3,
        engine: "wasmtime-48".into(),
        issuer: Some("https://writ.example".into()),
    };
    let security = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        dpop_require_nonce: Some(true),
        ..SettingsChange::default()
    };
    let bound = TokenSettings {
        sender_constraint: SenderConstraint::Dpop,
        ..token_settings()
    };
    let bound_profile = TokenProfile {
        sender_constraint: SenderConstraint::Mtls,
        ..profile()
    };
    let id = ApplicationId(42);
    vec![
        ("issuer", started.into()),
        ("security", SettingsChanged { change: security }.into()),
        (
            "sender_constraint",
            ApplicationTokenSettingsChanged {
                id,
                token_settings: bound,
            }
            .into(),
        ),
        (
            "sender_constraint",
            ApiResourceProfileChanged {
                id: ApiId(7),
                profile: bound_profile,
            }
            .into(),
        ),
        (
            "usual",
            ApplicationAuthenticationChanged {
                id,
                authentication: None,
            }
            .into(),
        ),
    ]
}

/// A kind of actor that came later.
fn by_initial_access_token() -> (PathBuf, Recorded) {
    let registered = ApplicationRegistered {
        id: ApplicationId(42),
        token: InitialAccessTokenId(3),
        digest: CredentialDigest(digest(7)),
        bounds: RegistrationBounds {
            name_prefix: None,
            ..registration_bounds()
        },
    };
    let mut recorded = recorded(1, registered.into());
    recorded.actor = registrant(InitialAccessTokenId(3));
    let path = golden(recorded.event.kind(), recorded.event.kind_version());
    (path.with_extension("actor.json"), recorded)
}

fn golden(kind: &str, version: u16) -> PathBuf {
    let name = format!("tests/golden/{kind}.v{version}.json");
    [env!("CARGO_MANIFEST_DIR"), &name].iter().collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a new golden file is asked for; nothing else depends on it"
)]
fn golden_files_read_as_what_they_were_written_from() {
    let writing = std::env::var_os("WRIT_GOLDEN").is_some_and(|value| value == "write");
    let first = samples().into_iter().map(|recorded| {
        let path = golden(recorded.event.kind(), recorded.event.kind_version());
        (path, recorded)
    });
    let later = later().into_iter().map(|(member, event)| {
        let path = golden(event.kind(), event.kind_version());
        (
            path.with_extension(format!("{member}.json")),
            recorded(1, event),
        )
    });
    let later = later.chain([by_initial_access_token()]);
    for (path, recorded) in first.chain(later) {
        let bytes = encode(&recorded).expect("encodes");
        if writing && !path.exists() {
            std::fs::write(&path, &bytes).expect("written");
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; see the top of this file", path.display())
        });
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&stored),
            "{}: what is stored must not change; a new meaning is a new kind or version",
            path.display()
        );
        let read = decode(recorded.position, &stored).expect("decodes");
        assert_eq!(read, recorded);
        assert_eq!(encode(&read).expect("encodes"), stored);
    }
}

#[test]
fn every_kind_has_a_golden_file_and_every_golden_file_is_read() {
    let kinds: BTreeSet<String> = Event::KINDS
        .iter()
        .map(|(kind, version)| format!("{kind}.v{version}.json"))
        .collect();
    assert_eq!(kinds.len(), Event::KINDS.len(), "a kind is listed twice");
    let sampled: BTreeSet<String> = representatives()
        .iter()
        .map(|event| format!("{}.v{}.json", event.kind(), event.kind_version()))
        .collect();
    assert_eq!(sampled, kinds);
    let directory = golden("x", 1).parent().expect("a directory").to_owned();
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory).expect("tests/golden") {
        let entry = entry.expect("an entry");
        let bytes = std::fs::read(entry.path()).expect("a file");
        let read = decode(Position(0), &bytes);
        assert!(read.is_ok(), "{:?}: {read:?}", entry.file_name());
        files.insert(entry.file_name().to_string_lossy().into_owned());
    }
    // Old versions stay; none may be missing.
    let missing: Vec<_> = kinds.difference(&files).collect();
    assert!(missing.is_empty(), "no golden file: {missing:?}");
}

#[test]
fn an_envelope_is_one_object_with_its_members_in_order() {
    let bytes = encode(&samples()[0]).expect("encodes");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let members = [
        "v", "id", "time", "kind", "kv", "actor", "cmd", "seq", "of", "idem", "reason", "corr",
        "cause", "data",
    ];
    let places: Vec<usize> = members
        .iter()
        .map(|name| text.find(&format!("\"{name}\":")).expect("there"))
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.starts_with("{\"v\":1,"));
}

/// A sample's JSON with one change.
fn altered(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Vec<u8> {
    let bytes = encode(&samples()[0]).expect("encodes");
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    change(value.as_object_mut().expect("an object"));
    serde_json::to_vec(&value).expect("JSON")
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_said_so() {
    let kind = |kind: &'static str| altered(|o| drop(o.insert("kind".into(), kind.into())));
    let newer_kind = altered(|o| drop(o.insert("kv".into(), 2.into())));
    let newer_envelope = altered(|o| drop(o.insert("v".into(), 2.into())));
    let with_more = altered(|o| {
        o.insert("v".into(), 2.into());
        o.insert("signature".into(), "x".into());
    });
    let cases = [
        (kind("application.exploded"), "application.exploded", 1),
        (kind(""), "", 1),
        (newer_kind, "log.created", 2),
        (newer_envelope, "log.created", 0),
        (with_more, "log.created", 0),
    ];
    for (bytes, expected_kind, expected_version) in cases {
        match decode(Position(9), &bytes) {
            Err(DecodeError::Unknown {
                position,
                kind,
                version,
            }) => {
                assert_eq!(position, Position(9));
                assert_eq!((kind.as_str(), version), (expected_kind, expected_version));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn damaged_bytes_are_refused() {
    let whole = encode(&samples()[0]).expect("encodes");
    let cut = whole[..whole.len() - 1].to_vec();
    let trailing = [&whole[..], b"{}"].concat();
    let twice = String::from_utf8_lossy(&whole).replacen("{\"v\":1,", "{\"v\":1,\"v\":1,", 1);
    let set = |name: &'static str, value: serde_json::Value| {
        altered(move |o| drop(o.insert(name.into(), value)))
    };
    let inside = |outer: &'static str, name: &'static str| {
        altered(move |o| {
            let inner = o[outer].as_object_mut().expect("an object");
            inner.insert(name.into(), 1.into());
        })
    };
    let mut cases = vec![
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        cut,
        trailing,
        twice.into_bytes(),
        set("extra", 1.into()),
        set("time", "yesterday".into()),
        set("time", 5.into()),
        set("id", "UPPER".into()),
        set("reason", "abc".into()),
        set("kv", "1".into()),
        inside("data", "extra"),
        inside("actor", "extra"),
        // The scopes of a token are no part of who caused it.
        inside("actor", "scopes"),
        inside("idem", "extra"),
    ];
    for name in [
        "v", "id", "time", "kind", "kv", "actor", "cmd", "seq", "of", "data",
    ] {
        cases.push(altered(|o| drop(o.remove(name))));
    }
    for bytes in cases {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let read = decode(Position(0), &bytes);
        assert!(
            matches!(read, Err(DecodeError::Damaged { .. })),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn an_event_that_is_too_large_is_not_written() {
    let big = LogCreated {
        log_id: "x".repeat(limits::EVENT_BYTES).into(),
        format: 1,
    };
    let error = encode(&recorded(1, big.into())).expect_err("too large");
    assert!(matches!(error, EncodeError::TooLarge { bytes } if bytes > limits::EVENT_BYTES));
}

#[test]
fn entities_have_one_spelling() {
    let entities = [
        Entity::ApiResource(ApiId(7)),
        Entity::Application(JOB),
        Entity::Role(RoleId(3)),
        Entity::Secret(JOB, JOB_SECRET),
        Entity::Server,
        Entity::Settings,
        Entity::SigningKey(parse("es256-1")),
        Entity::Token(jti(BEGIN, 1)),
        Entity::TrustedIssuer(IssuerId(2)),
        Entity::InitialAccessToken(InitialAccessTokenId(3)),
    ];
    for entity in entities {
        let text = entity.to_string();
        assert_eq!(text.parse::<Entity>(), Ok(entity), "{text}");
        assert!(format!("{text}/x").parse::<Entity>().is_err());
        assert!(format!("x{text}").parse::<Entity>().is_err());
    }
}

#[test]
fn no_event_names_a_secret_in_debug_of_what_holds_it() {
    let secret = secret(0xabcd);
    assert!(!format!("{secret:?}").contains("209"), "{secret:?}");
    let log = Log::base();
    let text = format!("{:?}", log.index.application(JOB));
    assert!(text.contains("[redacted]") && !text.contains("209, 209"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(Position(0), &bytes).is_err());
    }

    #[test]
    fn arbitrary_json_never_panics(text in "[\\[\\]{}\":,a-z0-9\\\\ ]{0,80}") {
        prop_assert!(decode(Position(0), text.as_bytes()).is_err());
    }

    /// What still reads after a change reads as itself from then on.
    #[test]
    fn mutated_events_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let samples = samples();
        let mut bytes = encode(which.get(&samples)).expect("encodes");
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(read) = decode(Position(0), &bytes) {
            let again = encode(&read).expect("encodes");
            prop_assert_eq!(&decode(Position(0), &again).expect("decodes"), &read);
            let mut index = Log::base().index;
            index.apply(&read);
        }
    }
}
