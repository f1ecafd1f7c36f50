//! Which claims make a signed token prove an application, and which do not.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::jose::mint::{self, MintKey};
use crate::jose::{ForeignKeys, Unverified, verify};
use proptest::prelude::*;
use serde_json::json;
use writ_core::{IssuerId, IssuerKeys, Position};

const ISSUER: &str = "https://writ.example";
const TOKEN: &str = "https://writ.example/token";
const NOW: Millis = Millis(1_700_000_000_500);

/// Signs claims with a key of an algorithm and gives what was verified of them.
fn signed_as(algorithm: ForeignAlgorithm, typ: Option<&str>, claims: &Value) -> Verified {
    let key = mint::key(algorithm);
    let mut header = key.header();
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let token = key.sign(&header, claims);
    let keys = ForeignKeys::parse(key.jwks().to_string().as_bytes()).unwrap();
    let token = Unverified::parse(&token, ASSERTION_BYTES_MAX).unwrap();
    verify(&token, &keys, &ForeignAlgorithm::ALL).unwrap()
}

fn signed(claims: &Value) -> Verified {
    signed_as(ForeignAlgorithm::ES256, None, claims)
}

/// The claims of a good token with one of them changed, or taken away by `null`.
fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    match value.into() {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

mod client {
    use super::*;
    use SecurityProfile::{Fapi2, None as Usual};

    fn good() -> Value {
        MintKey::assertion_claims("app_1", ISSUER, NOW)
    }

    fn check(token: &Verified, profile: SecurityProfile) -> Result<AssertionFacts, AssertionFault> {
        check_client_assertion(token, "app_1", ISSUER, TOKEN, NOW, profile)
    }

    #[test]
    fn the_assertions_that_other_tests_mint_are_good() {
        let key = mint::key(ForeignAlgorithm::ES256);
        let token = key.assertion("app_1", ISSUER, NOW);
        let keys = ForeignKeys::parse(key.jwks().to_string().as_bytes()).unwrap();
        let token = Unverified::parse(&token, ASSERTION_BYTES_MAX).unwrap();
        assert_eq!(token.unverified_text("sub"), Some("app_1"));
        let token = verify(&token, &keys, &ForeignAlgorithm::FAPI2).unwrap();
        assert!(check(&token, Fapi2).is_ok());
    }

    /// What both profiles say of the usual claims with one change.
    fn changed(name: &str, value: impl Into<Value>) -> [Option<AssertionFault>; 2] {
        let token = signed(&with(good(), name, value));
        [Usual, Fapi2].map(|profile| check(&token, profile).err())
    }

    #[test]
    fn a_good_assertion_gives_its_jti_and_its_end() {
        let claims = good();
        for profile in [Usual, Fapi2] {
            let facts = check(&signed(&claims), profile).unwrap();
            assert_eq!(claims["jti"], *facts.jti);
            assert_eq!(facts.exp, Millis(1_700_000_060_000));
            let (one, other) = (facts.replay("app_1"), facts.replay("app_2"));
            assert_eq!(one.until, facts.exp);
            assert_ne!(one.key, other.key);
        }
    }

    #[test]
    fn rfc7523_3_1_and_2_issuer_and_subject_are_the_client() {
        let (issuer, subject) = (AssertionFault::Issuer, AssertionFault::Subject);
        for wrong in [
            json!("app_2"),
            json!("APP_1"),
            json!(""),
            json!(["app_1"]),
            json!(1),
            json!(null),
        ] {
            assert_eq!(changed("iss", wrong.clone()), [Some(issuer); 2], "{wrong}");
            // FAPI2SPFinalEnsureClientAssertionWithNoSubFails.
            assert_eq!(changed("sub", wrong.clone()), [Some(subject); 2], "{wrong}");
        }
    }

    #[test]
    fn rfc7523_3_3_the_audience_is_this_server() {
        let fault = Some(AssertionFault::Audience);
        for wrong in [
            json!(null),
            json!(""),
            json!("https://writ.example/"),
            json!("https://WRIT.example"),
            json!("https://other.example"),
            json!("https://writ.example/token?x=https://writ.example"),
            json!("https://writ.example https://other.example"),
            json!({"0": ISSUER}),
            json!(1),
            json!([]),
            json!([[ISSUER]]),
            json!(["https://other.example"]),
        ] {
            assert_eq!(changed("aud", wrong.clone()), [fault; 2], "{wrong}");
        }
        assert_eq!(changed("aud", ISSUER), [None, None]);
    }

    #[test]
    fn cve_2025_27370_an_assertion_for_several_or_for_an_address_is_refused() {
        let fault = Some(AssertionFault::Audience);
        for several in [
            json!([ISSUER, "https://evil.example"]),
            json!(["https://evil.example", ISSUER]),
            json!([ISSUER, TOKEN]),
            json!([ISSUER, ISSUER]),
            json!([ISSUER, 1]),
        ] {
            assert_eq!(changed("aud", several.clone()), [fault; 2], "{several}");
        }
        // What clients outside the profile send.
        assert_eq!(changed("aud", json!([ISSUER])), [None, fault]);
        assert_eq!(changed("aud", TOKEN), [None, fault]);
        assert_eq!(changed("aud", json!([TOKEN])), [fault; 2]);
    }

    #[test]
    fn rfc7523_3_4_an_assertion_ends_and_soon() {
        let now = NOW.seconds();
        let (expired, lifetime) = (AssertionFault::Expired, AssertionFault::Lifetime);
        for (exp, expected) in [
            (json!(null), [Some(expired); 2]),
            (json!(0), [Some(expired); 2]),
            // FAPI2SPFinalEnsureClientAssertionWithExpIs5MinutesInPastFails.
            (json!(now - 300), [Some(expired); 2]),
            (json!(now), [Some(expired); 2]),
            (json!(now + 1), [None, None]),
            (json!(now + 300), [None, None]),
            // A client whose clock is as far ahead as `iat` may be, and that uses all of the time.
            (json!(now + 330), [None, None]),
            (json!(now + 331), [None, Some(lifetime)]),
            (json!(now + 3630), [None, Some(lifetime)]),
            (json!(now + 3631), [Some(lifetime); 2]),
            (json!(now + 100 * 365 * 86_400), [Some(lifetime); 2]),
            (json!("1700000060"), [Some(AssertionFault::Time); 2]),
            (json!(-1), [Some(AssertionFault::Time); 2]),
        ] {
            assert_eq!(changed("exp", exp.clone()), expected, "{exp}");
        }
    }

    #[test]
    fn rfc7523_3_5_and_6_an_assertion_has_begun() {
        let now = NOW.seconds();
        let fault = Some(AssertionFault::NotYetValid);
        for name in ["nbf", "iat"] {
            assert_eq!(changed(name, json!(null)), [None, None]);
            assert_eq!(changed(name, now - 86_400), [None, None]);
            assert_eq!(
                changed(name, now + 10),
                [None, None],
                "{name}: FAPI 2.0 §5.3.2.1"
            );
            assert_eq!(changed(name, now + 30), [None, None], "{name}");
            assert_eq!(changed(name, now + 31), [fault; 2], "{name}");
            assert_eq!(
                changed(name, now + 61),
                [fault; 2],
                "{name}: FAPI 2.0 §5.3.2.1"
            );
            assert_eq!(changed(name, "x"), [Some(AssertionFault::Time); 2]);
        }
    }

    #[test]
    fn rfc7523_3_7_a_jti_is_there_and_bounded() {
        let fault = Some(AssertionFault::Jti);
        for wrong in [
            json!(null),
            json!(""),
            json!(1),
            json!(["a"]),
            json!("j".repeat(257)),
        ] {
            assert_eq!(changed("jti", wrong.clone()), [fault; 2], "{wrong}");
        }
        assert_eq!(changed("jti", "j".repeat(256)), [None, None]);
    }

    #[test]
    fn rfc8725_3_11_another_type_is_refused() {
        let check = |typ| check(&signed_as(ForeignAlgorithm::ES256, typ, &good()), Fapi2).err();
        for typ in [
            None,
            Some("JWT"),
            Some("jwt"),
            Some("client-authentication+jwt"),
        ] {
            assert_eq!(check(typ), None, "{typ:?}");
        }
        for typ in [
            "at+jwt",
            "dpop+jwt",
            "logout+jwt",
            "JOSE",
            "token-introspection+jwt",
            "",
        ] {
            assert_eq!(check(Some(typ)), Some(AssertionFault::Type), "{typ}");
        }
    }

    #[test]
    fn fapi2_5_4_1_rs256_is_refused() {
        for algorithm in ForeignAlgorithm::ALL {
            let token = signed_as(algorithm, None, &good());
            assert_eq!(check(&token, Usual).err(), None);
            let allowed = matches!(algorithm.as_str(), "PS256" | "ES256" | "EdDSA");
            assert_eq!(check(&token, Fapi2).is_ok(), allowed, "{algorithm}");
        }
    }
}

mod federated {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";
    const SUBJECT: &str = "repo:acme/app:ref:refs/heads/main";

    fn issuer(omits_issuer: bool) -> TrustedIssuer {
        TrustedIssuer {
            id: IssuerId(1),
            issuer: GITHUB.parse().unwrap(),
            name: "GitHub".parse().unwrap(),
            keys: IssuerKeys::Discovery,
            omits_issuer,
            created_at: Millis(0),
            version: Position(1),
        }
    }

    fn rule() -> TrustRule {
        serde_json::from_value(json!({
            "name": "main",
            "issuer": IssuerId(1),
            "audience": ISSUER,
            "subject": "repo:acme/app:ref:refs/heads/*",
            "claims": {"repository_id": 7, "environment": "prod", "protected": true},
            "lifetime_seconds": 600,
        }))
        .unwrap()
    }

    fn good() -> Value {
        json!({
            "iss": GITHUB,
            "aud": ISSUER,
            "sub": SUBJECT,
            "repository_id": 7,
            "environment": "prod",
            "protected": true,
            "iat": NOW.seconds(),
            "nbf": NOW.seconds(),
            "exp": NOW.seconds() + 600,
            "jti": "a",
        })
    }

    fn check(claims: &Value) -> Result<FederatedFacts, AssertionFault> {
        check_federated(&signed(claims), &issuer(false), &rule(), NOW)
    }

    fn changed(name: &str, value: impl Into<Value>) -> Option<AssertionFault> {
        check(&with(good(), name, value)).err()
    }

    #[test]
    fn a_good_token_says_whose_it_is() {
        let facts = check(&good()).unwrap();
        assert_eq!(facts.subject.as_str(), SUBJECT);
        assert_eq!(facts.exp.seconds(), NOW.seconds() + 600);
        assert_eq!(facts.jti.as_deref(), Some("a"));
        assert_eq!(check(&with(good(), "jti", json!(null))).unwrap().jti, None);
    }

    #[test]
    fn rfc7523_3_1_the_issuer_is_the_trusted_one() {
        let fault = Some(AssertionFault::Issuer);
        for wrong in [
            json!("https://evil.example"),
            json!(format!("{GITHUB}/")),
            json!([GITHUB]),
            json!(1),
        ] {
            assert_eq!(changed("iss", wrong.clone()), fault, "{wrong}");
            let token = signed(&with(good(), "iss", wrong));
            let lenient = check_federated(&token, &issuer(true), &rule(), NOW);
            assert_eq!(lenient.err(), fault, "one that is there is always compared");
        }
        // SPIFFE JWT-SVIDs may have none.
        assert_eq!(changed("iss", json!(null)), fault);
        let without = signed(&with(good(), "iss", json!(null)));
        assert!(check_federated(&without, &issuer(true), &rule(), NOW).is_ok());
        // A rule for another issuer says nothing of this one.
        let other = TrustRule {
            issuer: IssuerId(2),
            ..rule()
        };
        let token = signed(&good());
        assert_eq!(
            check_federated(&token, &issuer(false), &other, NOW).err(),
            fault
        );
    }

    #[test]
    fn rfc7523_3_3_the_audience_is_that_of_the_rule() {
        for right in [
            json!(ISSUER),
            json!([ISSUER]),
            json!(["https://other.example", ISSUER]),
        ] {
            assert_eq!(changed("aud", right.clone()), None, "{right}");
        }
        for wrong in [
            json!(null),
            json!("https://writ.example/"),
            json!(TOKEN),
            json!([]),
            json!(["https://other.example"]),
            json!([ISSUER, 1]),
            json!([[ISSUER]]),
            json!({ISSUER: true}),
        ] {
            assert_eq!(
                changed("aud", wrong.clone()),
                Some(AssertionFault::Audience),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_subject_fits_the_pattern_of_the_rule() {
        for wrong in [
            json!(null),
            json!([SUBJECT]),
            json!("repo:acme/app:ref:refs/heads/"),
            json!("repo:acme/app:ref:refs/heads/a/b"),
            json!("repo:evil/app:ref:refs/heads/main"),
            json!("repo:acme/app:ref:refs/heads/a\u{202e}b"),
            json!("repo:acme/app:ref:refs/heads/a\nb"),
            json!(format!("repo:acme/app:ref:refs/heads/{}", "x".repeat(1024))),
        ] {
            assert_eq!(
                changed("sub", wrong.clone()),
                Some(AssertionFault::Subject),
                "{wrong}"
            );
        }
        assert_eq!(changed("sub", "repo:acme/app:ref:refs/heads/x"), None);
    }

    #[test]
    fn each_claim_that_the_rule_demands_has_its_value() {
        for (name, right) in [
            ("environment", json!(["test", "prod"])),
            ("environment", json!(["prod", 1])),
            ("more", json!("x")),
        ] {
            assert_eq!(changed(name, right.clone()), None, "{name}: {right}");
        }
        for (name, wrong) in [
            ("environment", json!(null)),
            ("environment", json!("Prod")),
            ("environment", json!("prod ")),
            ("environment", json!(["test"])),
            ("environment", json!([["prod"]])),
            ("environment", json!({"prod": true})),
            ("repository_id", json!(null)),
            ("repository_id", json!(8)),
            ("repository_id", json!("7")),
            ("repository_id", json!(7.5)),
            ("repository_id", json!([7])),
            ("protected", json!(null)),
            ("protected", json!(false)),
            ("protected", json!("true")),
            ("protected", json!(1)),
        ] {
            assert_eq!(
                changed(name, wrong.clone()),
                Some(AssertionFault::Claim),
                "{name}: {wrong}"
            );
        }
    }

    #[test]
    fn a_token_is_alive_and_not_for_longer_than_the_rule_lets_it() {
        let now = NOW.seconds();
        let fault =
            |exp: Value, iat: Value| check(&with(with(good(), "exp", exp), "iat", iat)).err();
        let (expired, lifetime) = (
            Some(AssertionFault::Expired),
            Some(AssertionFault::Lifetime),
        );
        assert_eq!(fault(json!(null), json!(now)), expired);
        assert_eq!(fault(json!(now), json!(now - 60)), expired);
        assert_eq!(fault(json!(now + 1), json!(now - 599)), None);
        assert_eq!(
            fault(json!(now + 1), json!(now - 600)),
            lifetime,
            "from iat to exp"
        );
        assert_eq!(fault(json!(now + 601), json!(now)), lifetime);
        assert_eq!(
            fault(json!(now + 605), json!(now + 5)),
            None,
            "its clock is ahead"
        );
        assert_eq!(fault(json!(now + 630), json!(null)), None);
        assert_eq!(
            fault(json!(now + 631), json!(null)),
            lifetime,
            "from now to exp"
        );
        assert_eq!(
            fault(json!(now + 631), json!(now + 31)),
            Some(AssertionFault::NotYetValid)
        );
        assert_eq!(changed("nbf", now + 31), Some(AssertionFault::NotYetValid));
        assert_eq!(changed("nbf", json!(null)), None);
        for name in ["exp", "iat", "nbf"] {
            assert_eq!(changed(name, "soon"), Some(AssertionFault::Time), "{name}");
        }
    }

    #[test]
    fn rfc8725_3_11_a_token_for_something_else_proves_nobody() {
        let check = |typ| {
            let token = signed_as(ForeignAlgorithm::RS256, typ, &good());
            check_federated(&token, &issuer(false), &rule(), NOW).err()
        };
        for typ in [None, Some("JWT"), Some("JOSE"), Some("application/jwt")] {
            assert_eq!(check(typ), None, "{typ:?}");
        }
        for typ in [
            "at+jwt",
            "application/at+jwt",
            "dpop+jwt",
            "logout+jwt",
            "secevent+jwt",
            "client-authentication+jwt",
            "",
        ] {
            assert_eq!(check(Some(typ)), Some(AssertionFault::Type), "{typ}");
        }
    }

    #[test]
    fn rfc7800_3_a_token_that_is_bound_to_its_sender_is_refused() {
        for cnf in [
            json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            json!({"unknown": 1}),
            json!({}),
            json!("x"),
        ] {
            let expected = Some(AssertionFault::Confirmation);
            assert_eq!(changed("cnf", cnf.clone()), expected, "{cnf}");
        }
        let mut claims = good();
        claims["cnf"] = Value::Null;
        assert_eq!(check(&claims).err(), Some(AssertionFault::Confirmation));
    }

    #[test]
    fn a_jti_that_is_there_is_bounded() {
        for wrong in [json!(""), json!(1), json!("j".repeat(257))] {
            assert_eq!(
                changed("jti", wrong.clone()),
                Some(AssertionFault::Jti),
                "{wrong}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_alive_for_the_client_and_bounded(
        iss in prop::sample::select(vec!["app_1", "app_2"]),
        sub in prop::sample::select(vec!["app_1", "app_2"]),
        aud in prop::sample::select(vec![ISSUER, TOKEN, "https://other.example"]),
        exp in -100i64..5000,
        nbf in -100i64..100,
        fapi2: bool,
    ) {
        let now = i64::try_from(NOW.seconds()).unwrap();
        let claims = json!({
            "iss": iss, "sub": sub, "aud": aud, "exp": now + exp, "nbf": now + nbf, "jti": "j",
        });
        let profile = if fapi2 { SecurityProfile::Fapi2 } else { SecurityProfile::None };
        let token = signed(&claims);
        let is = check_client_assertion(&token, "app_1", ISSUER, TOKEN, NOW, profile).is_ok();
        let longest = if fapi2 { 300 } else { 3600 };
        let should = iss == "app_1" && sub == "app_1"
            && (aud == ISSUER || (!fapi2 && aud == TOKEN))
            && (1..=longest + 30).contains(&exp) && nbf <= 30;
        prop_assert_eq!(is, should);
    }
}
