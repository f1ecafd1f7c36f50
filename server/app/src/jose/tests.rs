//! Tokens of others: what is read, and what is never taken.

#![expect(clippy::unwrap_used, reason = "tests")]
mod keys;

use super::mint::{self, MintKey, changed, letters, part};
use super::*;
use proptest::prelude::*;
use serde_json::json;

const MAX: usize = 8 * 1024;

fn set_of(jwks: &Value) -> ForeignKeys {
    ForeignKeys::parse(jwks.to_string().as_bytes()).unwrap()
}

/// Parses and verifies, with all algorithms allowed.
fn read(token: &str, keys: &ForeignKeys) -> Result<Verified, JoseFault> {
    verify(
        &Unverified::parse(token, MAX)?,
        keys,
        &ForeignAlgorithm::ALL,
    )
}

/// What becomes of a token of a good key with this header and these claims.
fn read_parts(header: &str, claims: &str) -> Result<Verified, JoseFault> {
    let key = mint::key(ForeignAlgorithm::ES256);
    read(&key.sign_parts(header, claims), &set_of(&key.jwks()))
}

#[test]
fn each_algorithm_verifies_what_its_key_signed() {
    for algorithm in ForeignAlgorithm::ALL {
        let key = mint::key(algorithm);
        let verified = read(&key.jwt(&json!({"sub": "me"})), &set_of(&key.jwks())).unwrap();
        assert_eq!(verified.algorithm(), algorithm);
        assert_eq!(verified.text("sub"), Some("me"));
        let foreign = ForeignKey::from_jwk(&key.bare_jwk()).unwrap();
        assert_eq!(verified.thumbprint(), foreign.thumbprint());
        assert_eq!(
            ForeignAlgorithm::from_name(algorithm.as_str()),
            Some(algorithm)
        );
    }
}

#[test]
fn rfc7515_a3_example_verifies() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let token = concat!(
        "eyJhbGciOiJFUzI1NiJ9",
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    let verified = read(token, &set_of(&json!({"keys": [jwk]}))).unwrap();
    assert_eq!(verified.text("iss"), Some("joe"));
    assert_eq!(verified.time("exp"), Ok(Some(Millis(1_300_819_380_000))));
}

#[test]
fn rfc9864_2_2_the_other_name_of_eddsa_is_understood() {
    let key = mint::key(ForeignAlgorithm::EdDSA);
    let mut jwk = key.jwk();
    jwk["alg"] = "Ed25519".into();
    let keys = set_of(&json!({"keys": [jwk]}));
    for name in ["Ed25519", "EdDSA"] {
        let token = key.sign(&json!({"alg": name}), &json!({}));
        assert!(read(&token, &keys).is_ok(), "{name}");
    }
}

#[test]
fn rfc8725_3_2_none_never_parses() {
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let head = part(&json!({"alg": name}).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{}.{signature}", part("{}"));
            let fault = Unverified::parse(&token, MAX).err();
            assert_eq!(fault, Some(JoseFault::AlgorithmUnknown), "{name:?}");
        }
    }
}

#[test]
fn rfc8725_3_1_hmac_with_a_public_key_as_its_secret_never_parses() {
    use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
    let key = mint::key(ForeignAlgorithm::RS256);
    let jwk = key.jwk();
    for (name, algorithm) in [
        ("HS256", Algorithm::HS256),
        ("HS384", Algorithm::HS384),
        ("HS512", Algorithm::HS512),
    ] {
        let message = format!("{}.{}", part(&json!({"alg": name}).to_string()), part("{}"));
        for secret in [jwk.to_string(), jwk["n"].to_string(), String::new()] {
            let secret = EncodingKey::from_secret(secret.as_bytes());
            let signature = sign(message.as_bytes(), &secret, algorithm).unwrap();
            let fault = read(&format!("{message}.{signature}"), &set_of(&key.jwks())).err();
            assert_eq!(fault, Some(JoseFault::AlgorithmUnknown), "{name}");
        }
    }
}

#[test]
fn rfc8725_3_1_a_key_verifies_its_own_algorithm_only() {
    let key = mint::key(ForeignAlgorithm::PS256);
    // The key says PS256: RS256 in the header does not make it one for that.
    let token = key.sign(&json!({"alg": "RS256"}), &json!({}));
    assert_eq!(
        read(&token, &set_of(&key.jwks())).err(),
        Some(JoseFault::KeyUnknown)
    );
    // A key that says nothing is tried, and the header must have said the truth.
    let open = set_of(&json!({"keys": [key.bare_jwk()]}));
    assert_eq!(read(&token, &open).err(), Some(JoseFault::Signature));
    assert!(read(&key.jwt(&json!({})), &open).is_ok());
    // A curve belongs to one algorithm.
    let p256 = mint::key(ForeignAlgorithm::ES256);
    let single = ForeignKey::from_jwk(&p256.bare_jwk()).unwrap();
    let token = p256.sign(&json!({"alg": "ES384"}), &json!({}));
    let unverified = Unverified::parse(&token, MAX).unwrap();
    let read = verify_with(&unverified, &single, &ForeignAlgorithm::ALL);
    assert_eq!(read.err(), Some(JoseFault::KeyUnfit));
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_with_a_good_signature() {
    let key = mint::key(ForeignAlgorithm::RS256);
    let token = key.jwt(&json!({}));
    let token = Unverified::parse(&token, MAX).unwrap();
    let allowed = &ForeignAlgorithm::FAPI2;
    let by_set = verify(&token, &set_of(&key.jwks()), allowed);
    assert_eq!(by_set.err(), Some(JoseFault::AlgorithmForbidden));
    let single = ForeignKey::from_jwk(&key.jwk()).unwrap();
    let by_key = verify_with(&token, &single, allowed);
    assert_eq!(by_key.err(), Some(JoseFault::AlgorithmForbidden));
}

#[test]
fn rfc7515_4_1_11_crit_and_what_changes_the_rules_is_refused_by_its_presence() {
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""b64":true"#,
        r#""jku":"https://a.example/jwks""#,
        r#""x5u":"https://a.example/x""#,
        r#""zip":"DEF""#,
    ] {
        let header = format!(r#"{{"alg":"ES256",{member}}}"#);
        let fault = read_parts(&header, "{}").err();
        assert_eq!(fault, Some(JoseFault::HeaderForbidden), "{member}");
    }
    let ignored = r#"{"alg":"ES256","x5t":"a","x5t#S256":"b","x5c":["c"],"cty":"d","mine":1}"#;
    assert!(read_parts(ignored, "{}").is_ok());
}

#[test]
fn rfc7515_4_1_3_a_key_in_the_header_proves_nothing() {
    let (known, attacker) = (
        mint::key(ForeignAlgorithm::ES256),
        MintKey::generate(ForeignAlgorithm::ES256),
    );
    let header = json!({"alg": "ES256", "jwk": attacker.bare_jwk()});
    let fault = read(&attacker.sign(&header, &json!({})), &set_of(&known.jwks())).err();
    assert_eq!(fault, Some(JoseFault::Signature));
    // It is ignored, not refused: what a known key signed is good.
    assert!(read(&known.sign(&header, &json!({})), &set_of(&known.jwks())).is_ok());
}

#[test]
fn rfc7515_4_a_member_that_is_there_twice_is_refused() {
    assert!(read_parts(r#"{"alg":"ES256"}"#, r#"{"sub":"a"}"#).is_ok());
    for (header, claims) in [
        (r#"{"alg":"ES256","alg":"ES256"}"#, "{}"),
        (r#"{"alg":"ES256","x":{"a":1,"a":1}}"#, "{}"),
        (r#"{"alg":"ES256"}"#, r#"{"sub":"a","sub":"b"}"#),
        (r#"{"alg":"ES256"}"#, r#"{"x":[{"a":1,"a":2}]}"#),
    ] {
        let fault = read_parts(header, claims).err();
        assert_eq!(fault, Some(JoseFault::Malformed), "{header} {claims}");
    }
}

#[test]
fn members_of_the_header_have_the_types_of_rfc7515() {
    let long = "k".repeat(KID_BYTES_MAX + 1);
    for header in [
        json!({}),
        json!({"alg": 1}),
        json!({"alg": ["ES256"]}),
        json!({"alg": "ES256", "kid": 1}),
        json!({"alg": "ES256", "kid": ""}),
        json!({"alg": "ES256", "kid": "a\nb"}),
        json!({"alg": "ES256", "kid": long}),
        json!({"alg": "ES256", "typ": 1}),
        json!({"alg": "ES256", "cty": 1}),
        json!({"alg": "ES256", "jwk": "k"}),
    ] {
        let fault = read_parts(&header.to_string(), "{}").err();
        assert_eq!(fault, Some(JoseFault::Malformed), "{header}");
    }
    for claims in ["[]", "1", "null", "", "\"x\""] {
        let fault = read_parts(r#"{"alg":"ES256"}"#, claims).err();
        assert_eq!(fault, Some(JoseFault::Malformed), "{claims}");
    }
}

#[test]
fn rfc7515_7_1_only_the_one_compact_form_is_read() {
    let key = mint::key(ForeignAlgorithm::EdDSA);
    let keys = set_of(&key.jwks());
    let token = key.jwt(&json!({"a": "x"}));
    let parts: Vec<_> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    assert!(read(&token, &keys).is_ok());
    // 64 bytes leave four bits to spare in their last character.
    let spare = {
        let (rest, last) = signature.split_at(signature.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(last).unwrap();
        format!("{rest}{}", &alphabet[at + 1..at + 2])
    };
    for (wrong, why) in [
        (format!("{header}.{claims}"), "two parts"),
        (format!("{token}."), "a fourth part"),
        (format!(".{token}"), "a part before"),
        (format!("{token}=="), "padding"),
        (format!("{header}.{claims}.{spare}"), "bits to spare"),
        (format!("{token}\n"), "a line end"),
        (format!(" {token}"), "a space"),
        (format!("{header}.{claims}.{signature}~{header}"), "SD-JWT"),
        (
            format!("{header}=.{claims}.{signature}"),
            "padding in the header",
        ),
        (String::new(), "nothing"),
        ("..".to_owned(), "dots"),
        ("é.é.é".to_owned(), "not ASCII"),
    ] {
        assert_eq!(
            read(&wrong, &keys).err(),
            Some(JoseFault::Malformed),
            "{why}"
        );
    }
    let unsigned = format!("{header}.{claims}.");
    assert_eq!(read(&unsigned, &keys).err(), Some(JoseFault::Signature));
    let json = json!({"payload": claims, "protected": header, "signature": signature});
    assert_eq!(
        read(&json.to_string(), &keys).err(),
        Some(JoseFault::Malformed)
    );
}

#[test]
fn an_oversized_token_is_refused_unread() {
    let token = mint::key(ForeignAlgorithm::ES256).jwt(&json!({}));
    assert!(Unverified::parse(&token, token.len()).is_ok());
    let fault = Unverified::parse(&token, token.len() - 1).err();
    assert_eq!(fault, Some(JoseFault::Oversized));
}

#[test]
fn the_key_that_is_named_is_the_one_that_is_tried() {
    let one = MintKey::named(ForeignAlgorithm::ES256, "one");
    let two = MintKey::named(ForeignAlgorithm::ES256, "two");
    let set = set_of(&json!({"keys": [one.jwk(), two.jwk()]}));
    assert!(set.has_kid("one") && !set.has_kid("three"));
    assert!(read(&one.jwt(&json!({})), &set).is_ok());
    let crossed = one.sign(&two.header(), &json!({}));
    assert_eq!(read(&crossed, &set).err(), Some(JoseFault::Signature));
    let unknown = one.sign(&json!({"alg": "ES256", "kid": "three"}), &json!({}));
    assert_eq!(read(&unknown, &set).err(), Some(JoseFault::KeyUnknown));
    let unfit = one.sign(&json!({"alg": "ES384", "kid": "one"}), &json!({}));
    assert_eq!(read(&unfit, &set).err(), Some(JoseFault::KeyUnfit));
    // No name: each that fits is tried.
    assert!(read(&two.sign(&json!({"alg": "ES256"}), &json!({})), &set).is_ok());
}

#[test]
fn a_key_without_a_name_goes_by_its_thumbprint() {
    let key = mint::key(ForeignAlgorithm::ES256);
    let set = set_of(&key.jwks());
    let kid = URL_SAFE_NO_PAD.encode(set.keys()[0].thumbprint());
    assert!(set.has_kid(&kid));
    let token = key.sign(&json!({"alg": "ES256", "kid": kid}), &json!({}));
    assert!(read(&token, &set).is_ok());
    let named = set_of(&MintKey::named(ForeignAlgorithm::ES256, "a").jwks());
    let kid = URL_SAFE_NO_PAD.encode(named.keys()[0].thumbprint());
    assert!(!named.has_kid(&kid));
}

#[test]
fn no_more_than_four_keys_are_tried_and_the_fault_says_so() {
    let all: Vec<_> = (0..=KEYS_TRIED_MAX)
        .map(|_| MintKey::named(ForeignAlgorithm::EdDSA, "same"))
        .collect();
    let jwks: Vec<_> = all.iter().map(MintKey::jwk).collect();
    let set = set_of(&json!({"keys": jwks}));
    for header in [
        json!({"alg": "EdDSA", "kid": "same"}),
        json!({"alg": "EdDSA"}),
    ] {
        let good = |key: &MintKey| read(&key.sign(&header, &json!({})), &set).is_ok();
        assert!(all[..KEYS_TRIED_MAX].iter().all(good));
        let fifth = read(&all[KEYS_TRIED_MAX].sign(&header, &json!({})), &set);
        assert_eq!(fifth.err(), Some(JoseFault::KeyAmbiguous));
    }
    // Four that fit are all tried: then it is the signature.
    let four = set_of(&json!({"keys": jwks[1..]}));
    let first = read(&all[0].sign(&json!({"alg": "EdDSA"}), &json!({})), &four);
    assert_eq!(first.err(), Some(JoseFault::Signature));
    // Keys that do not fit are not counted.
    let more = [&jwks[1..], &[mint::key(ForeignAlgorithm::ES256).jwk()]].concat();
    let four = set_of(&json!({"keys": more}));
    let first = read(&all[0].sign(&json!({"alg": "EdDSA"}), &json!({})), &four);
    assert_eq!(first.err(), Some(JoseFault::Signature));
}

#[test]
fn rfc7519_2_a_time_is_a_number_of_seconds() {
    let time = |value: Value| {
        let claims = json!({"exp": value}).to_string();
        read_parts(r#"{"alg":"ES256"}"#, &claims)
            .unwrap()
            .time("exp")
    };
    assert_eq!(time(json!(1)), Ok(Some(Millis(1000))));
    assert_eq!(time(json!(1.5)), Ok(Some(Millis(1500))));
    assert_eq!(time(json!(1e3)), Ok(Some(Millis(1_000_000))));
    for wrong in [
        json!(-1),
        json!(-0.5),
        json!(1e300),
        json!(u64::MAX),
        json!("1"),
        json!(null),
        json!([1]),
    ] {
        assert_eq!(time(wrong.clone()), Err(JoseFault::Time), "{wrong}");
    }
    let absent = read_parts(r#"{"alg":"ES256"}"#, "{}").unwrap();
    assert_eq!(absent.time("exp"), Ok(None));
}

#[test]
fn rfc7515_4_1_9_a_type_is_compared_as_a_media_type() {
    for same in [
        "dpop+jwt",
        "DPoP+JWT",
        "application/dpop+jwt",
        "Application/DPOP+jwt",
    ] {
        assert!(typ_is(same, "dpop+jwt"), "{same}");
    }
    for other in [
        "",
        "jwt",
        "dpop+jwt ",
        "text/dpop+jwt",
        "application/",
        "application/application/dpop+jwt",
    ] {
        assert!(!typ_is(other, "dpop+jwt"), "{other}");
    }
}

#[test]
fn what_is_shown_of_a_token_has_no_claim_in_it() {
    let key = mint::key(ForeignAlgorithm::ES256);
    let token = key.jwt(&json!({"sub": "hush-hush"}));
    let unverified = Unverified::parse(&token, MAX).unwrap();
    let verified = read(&token, &set_of(&key.jwks())).unwrap();
    let shown = format!("{unverified:?} {verified:?}");
    assert!(
        !shown.contains("hush") && !shown.contains(&token[40..60]),
        "{shown}"
    );
}

/// A token of each algorithm, with the keys that verify all of them.
fn tokens_of_all(claims: &Value) -> (Vec<String>, ForeignKeys) {
    let all = ForeignAlgorithm::ALL.map(mint::key);
    let jwks: Vec<_> = all.iter().map(|key| key.jwk()).collect();
    let tokens = all.iter().map(|key| key.jwt(claims)).collect();
    (tokens, set_of(&json!({"keys": jwks})))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_token_never_verifies(
        which in 0..ForeignAlgorithm::ALL.len(),
        kind: u8,
        at: prop::sample::Index,
        with in letters(),
    ) {
        static ALL: std::sync::LazyLock<(Vec<String>, ForeignKeys)> =
            std::sync::LazyLock::new(|| tokens_of_all(&json!({"sub": "me", "exp": 2_000_000_000})));
        let (tokens, keys) = &*ALL;
        let token = changed(&tokens[which], kind, at, with);
        prop_assert_eq!(read(&token, keys).is_ok(), token == tokens[which], "{}", token);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text: String, like in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,3}") {
        for text in [&text, &like] {
            let _ = Unverified::parse(text, 100);
            prop_assert!(ForeignKeys::parse(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn no_jwk_makes_a_parser_panic(
        kty in prop::sample::select(vec!["RSA", "EC", "OKP", "oct", "x"]),
        crv in prop::sample::select(vec!["P-256", "P-384", "Ed25519", "x"]),
        members in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 4),
    ) {
        let text = |at: usize| URL_SAFE_NO_PAD.encode(&members[at]);
        let jwk = json!({"kty": kty, "crv": crv, "x": text(0), "y": text(1), "n": text(2), "e": text(3)});
        if let Ok(key) = ForeignKey::from_jwk(&jwk) {
            let registered = key.to_registered();
            let again = ForeignKey::from_registered(&registered).unwrap();
            prop_assert_eq!(again.thumbprint(), key.thumbprint());
        }
    }
}
