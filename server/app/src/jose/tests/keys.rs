//! Keys and sets of keys.

use super::*;
use sha2::{Digest, Sha256};

/// A key of an algorithm, changed.
fn jwk_with(algorithm: ForeignAlgorithm, name: &str, value: impl Into<Value>) -> Value {
    let mut jwk = mint::key(algorithm).jwk();
    jwk[name] = value.into();
    jwk
}

#[test]
fn rfc7517_4_a_private_or_symmetric_key_is_refused() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for algorithm in ForeignAlgorithm::ALL {
            let fault = ForeignKey::from_jwk(&jwk_with(algorithm, member, "AQAB")).err();
            assert_eq!(fault, Some(ForeignKeyFault::Private), "{member}");
        }
    }
    let oct = json!({"kty": "oct"});
    assert_eq!(
        ForeignKey::from_jwk(&oct).err(),
        Some(ForeignKeyFault::Private)
    );
    let good = mint::key(ForeignAlgorithm::ES256).jwk();
    for wrong in [
        json!({"kty": "oct", "k": "AAAA"}),
        jwk_with(ForeignAlgorithm::ES256, "d", "x"),
        jwk_with(ForeignAlgorithm::ES256, "d", json!(null)),
        // RFC 9964: of a kind that is not supported, and nobody should see it either.
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "priv": "x"}),
    ] {
        let set = json!({"keys": [good, wrong]});
        let expected = Some(KeySetFault::Key {
            at: 1,
            fault: ForeignKeyFault::Private,
        });
        let text = set.to_string();
        let fetched = ForeignKeys::parse(text.as_bytes()).err();
        assert_eq!(fetched, expected, "{wrong}");
        assert_eq!(ForeignKeys::from_jwks_value(&set).err(), expected);
    }
}

#[test]
fn rfc7517_4_2_a_key_for_something_else_verifies_nothing() {
    let es256 = ForeignAlgorithm::ES256;
    for (name, value, fault) in [
        ("use", json!("enc"), Some(ForeignKeyFault::Purpose)),
        ("use", json!("x509-svid"), Some(ForeignKeyFault::Purpose)),
        ("use", json!("sig"), None),
        ("use", json!("jwt-svid"), None),
        ("use", json!(1), Some(ForeignKeyFault::Malformed)),
        ("key_ops", json!(["sign"]), Some(ForeignKeyFault::Purpose)),
        ("key_ops", json!([]), Some(ForeignKeyFault::Purpose)),
        ("key_ops", json!(["verify"]), None),
        ("key_ops", json!("verify"), Some(ForeignKeyFault::Malformed)),
        ("alg", json!("ES256"), None),
        ("alg", json!("ES512"), Some(ForeignKeyFault::Unsupported)),
        ("alg", json!("HS256"), Some(ForeignKeyFault::Unsupported)),
        ("alg", json!("ES384"), Some(ForeignKeyFault::Malformed)),
        ("alg", json!("RS256"), Some(ForeignKeyFault::Malformed)),
        ("kid", json!("a b"), None),
        ("kid", json!(""), Some(ForeignKeyFault::Malformed)),
        ("kid", json!("a\u{1b}[2J"), Some(ForeignKeyFault::Malformed)),
        ("kty", json!("ec"), Some(ForeignKeyFault::Unsupported)),
        ("kty", json!("RSA"), Some(ForeignKeyFault::Malformed)),
        ("crv", json!("P-521"), Some(ForeignKeyFault::Unsupported)),
        (
            "crv",
            json!("secp256k1"),
            Some(ForeignKeyFault::Unsupported),
        ),
        ("crv", json!("P-384"), Some(ForeignKeyFault::Malformed)),
    ] {
        let found = ForeignKey::from_jwk(&jwk_with(es256, name, value.clone())).err();
        assert_eq!(found, fault, "{name}: {value}");
    }
}

#[test]
fn rfc8725_3_4_a_point_that_is_not_on_the_curve_is_refused() {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    for (algorithm, size) in [(ForeignAlgorithm::ES256, 32), (ForeignAlgorithm::ES384, 48)] {
        let jwk = mint::key(algorithm).jwk();
        let y = URL_SAFE_NO_PAD.decode(jwk["y"].as_str().unwrap()).unwrap();
        let mut other = y.clone();
        other[size - 1] ^= 1;
        for wrong in [&other[..], &[0, 0, 0], &[0; 48], &[], &[&[0], &*y].concat()] {
            let fault = ForeignKey::from_jwk(&jwk_with(algorithm, "y", text(wrong))).err();
            assert_eq!(fault, Some(ForeignKeyFault::Malformed));
        }
    }
    let mut one = [0; 32];
    one[0] = 1;
    // Points of small order: 0, 1, -1.
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for small in [&[0; 32], &one, &minus_one] {
        let jwk = jwk_with(ForeignAlgorithm::EdDSA, "x", text(small));
        assert_eq!(
            ForeignKey::from_jwk(&jwk).err(),
            Some(ForeignKeyFault::Malformed)
        );
    }
    let short = jwk_with(ForeignAlgorithm::EdDSA, "x", text(&[1; 31]));
    assert_eq!(
        ForeignKey::from_jwk(&short).err(),
        Some(ForeignKeyFault::Malformed)
    );
    let x25519 = jwk_with(ForeignAlgorithm::EdDSA, "crv", "X25519");
    assert_eq!(
        ForeignKey::from_jwk(&x25519).err(),
        Some(ForeignKeyFault::Unsupported)
    );
}

#[test]
fn rfc7518_3_3_an_rsa_key_has_a_fitting_size_and_exponent() {
    let rsa = |n: &[u8], e: &[u8]| {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        ForeignKey::from_jwk(&json!({"kty": "RSA", "n": text(n), "e": text(e)})).err()
    };
    let n = |bytes: usize, first: u8| {
        let mut n = vec![0xff; bytes];
        n[0] = first;
        n
    };
    let (usual, size, malformed) = (
        [1, 0, 1],
        Some(ForeignKeyFault::Size),
        Some(ForeignKeyFault::Malformed),
    );
    assert_eq!(rsa(&n(256, 0xff), &usual), None);
    assert_eq!(rsa(&n(256, 0x80), &usual), None);
    assert_eq!(rsa(&n(512, 0xff), &usual), None, "4096 bits");
    assert_eq!(rsa(&n(256, 0x7f), &usual), size, "2047 bits");
    assert_eq!(rsa(&n(128, 0xff), &usual), size);
    assert_eq!(rsa(&n(513, 1), &usual), size, "4097 bits");
    assert_eq!(rsa(&n(1024, 0xff), &usual), size, "8192 bits");
    assert_eq!(rsa(&n(257, 0), &usual), malformed, "a zero before");
    let mut even = n(256, 0xff);
    even[255] = 0xfe;
    assert_eq!(rsa(&even, &usual), malformed);
    for e in [
        &[1][..],
        &[3],
        &[1, 0, 0],
        &[0xff; 8],
        &[0xff; 9],
        &[0xff, 0xff],
    ] {
        assert_eq!(rsa(&n(256, 0xff), e), size, "{e:?}");
    }
    assert_eq!(rsa(&n(256, 0xff), &[0, 1, 0, 1]), malformed);
    assert_eq!(rsa(&n(256, 0xff), &[]), malformed);
    assert_eq!(rsa(&[], &usual), malformed);
}

/// The first certificate of an `x5c`, self-signed, and the key that it is for.
fn certified(algorithm: &'static rcgen::SignatureAlgorithm) -> (rcgen::Certificate, Value) {
    let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let raw = pair.public_key_raw();
    let jwk = match raw.len() {
        32 => json!({"kty": "OKP", "crv": "Ed25519", "x": text(raw)}),
        65 => json!({"kty": "EC", "crv": "P-256", "x": text(&raw[1..33]), "y": text(&raw[33..])}),
        97 => json!({"kty": "EC", "crv": "P-384", "x": text(&raw[1..49]), "y": text(&raw[49..])}),
        // RSAPublicKey (RFC 8017 A.1.1): 30 82 xx xx, 02 82 01 01 00 n, 02 03 01 00 01.
        270 => json!({"kty": "RSA", "n": text(&raw[9..265]), "e": text(&raw[267..])}),
        other => panic!("a key of {other} bytes"),
    };
    (certificate, jwk)
}

#[test]
fn rfc7517_4_7_a_certificate_comes_with_its_own_key() {
    use base64::engine::general_purpose::STANDARD;
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for kind in kinds {
        let (certificate, jwk) = certified(kind);
        let der = certificate.der();
        let with = |x5c: Value| {
            let mut jwk = jwk.clone();
            jwk["x5c"] = x5c;
            ForeignKey::from_jwk(&jwk)
        };
        let (one, more) = (STANDARD.encode(der), "what follows is not read");
        let key = with(json!([one, more])).unwrap();
        let digest = writ_core::CertificateDigest(Sha256::digest(der).into());
        assert_eq!(key.certificate(), Some(digest));
        let registered = ForeignKey::from_registered(&key.to_registered()).unwrap();
        assert_eq!(registered.certificate(), key.certificate());
        let trailing = STANDARD.encode([&**der, &[0]].concat());
        let cut = STANDARD.encode(&der[..der.len() - 1]);
        // A SEQUENCE that has the bytes of the key in it, and is no certificate.
        let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
        let bare = STANDARD.encode(parsed.public_key().raw);
        let other = STANDARD.encode(certified(kind).0.der());
        for wrong in [
            json!([]),
            json!("x"),
            json!([1]),
            json!(["AAAA"]),
            json!([URL_SAFE_NO_PAD.encode(der) + "_"]),
            json!([trailing]),
            json!([cut]),
            json!([bare]),
            json!([other]),
            json!([other, one]),
        ] {
            let fault = with(wrong.clone()).err();
            assert_eq!(fault, Some(ForeignKeyFault::Malformed), "{wrong}");
        }
    }
}

/// The bytes of a key are somewhere in this certificate, and it is for another key.
#[test]
fn rfc7517_4_7_a_certificate_that_only_mentions_a_key_is_refused() {
    use base64::engine::general_purpose::STANDARD;
    let (_, mut jwk) = certified(&rcgen::PKCS_ECDSA_P256_SHA256);
    let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], x);
    params.custom_extensions.push(extension);
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params.self_signed(&other).unwrap();
    jwk["x5c"] = json!([STANDARD.encode(certificate.der())]);
    let fault = ForeignKey::from_jwk(&jwk).err();
    assert_eq!(fault, Some(ForeignKeyFault::Malformed));
}

#[test]
fn a_registered_key_is_the_key_that_was_given() {
    for algorithm in ForeignAlgorithm::ALL {
        let minted = MintKey::named(algorithm, "mine");
        let given = ForeignKey::from_jwk(&minted.jwk()).unwrap();
        let registered = given.to_registered();
        let again = ForeignKeys::from_registered(std::slice::from_ref(&registered)).unwrap();
        assert_eq!(again.keys()[0].to_registered(), registered);
        assert_eq!(again.keys()[0].thumbprint(), given.thumbprint());
        assert!(read(&minted.jwt(&json!({})), &again).is_ok());
    }
    // As only a broken log has it.
    let broken = writ_core::RegisteredKey {
        kid: None,
        alg: None,
        jwk: PublicJwk::OKP {
            crv: "Ed25519".into(),
            x: "AAAA".into(),
        },
        certificate: None,
    };
    let fault = ForeignKeys::from_registered(&[broken]).err();
    let expected = KeySetFault::Key {
        at: 0,
        fault: ForeignKeyFault::Malformed,
    };
    assert_eq!(fault, Some(expected));
}

#[test]
fn rfc7517_5_bad_keys_of_a_fetched_set_are_skipped_and_of_a_registered_one_refused() {
    let good = mint::key(ForeignAlgorithm::ES256).jwk();
    let small = json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 128])});
    let set_with = |bad: &Value| json!({"keys": [good, bad]});
    for (bad, fault) in [
        (
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}),
            ForeignKeyFault::Unsupported,
        ),
        (
            json!({"kty": "EC", "crv": "P-521", "x": "x", "y": "y"}),
            ForeignKeyFault::Unsupported,
        ),
        (
            jwk_with(ForeignAlgorithm::RS256, "alg", "RS512"),
            ForeignKeyFault::Unsupported,
        ),
        (
            jwk_with(ForeignAlgorithm::RS256, "use", "enc"),
            ForeignKeyFault::Purpose,
        ),
        (small, ForeignKeyFault::Size),
        (
            jwk_with(ForeignAlgorithm::ES256, "y", "AAAA"),
            ForeignKeyFault::Malformed,
        ),
        (
            jwk_with(ForeignAlgorithm::ES256, "kid", ""),
            ForeignKeyFault::Malformed,
        ),
        (json!({"kty": "EC"}), ForeignKeyFault::Malformed),
        (json!({}), ForeignKeyFault::Malformed),
        (json!(1), ForeignKeyFault::Malformed),
    ] {
        let set = set_with(&bad);
        let fetched = set_of(&set);
        assert_eq!((fetched.keys().len(), fetched.skipped()), (1, 1), "{bad}");
        let refused = Some(KeySetFault::Key { at: 1, fault });
        assert_eq!(ForeignKeys::from_jwks_value(&set).err(), refused, "{bad}");
        let text = set.to_string();
        let strict = ForeignKeys::parse_strict(text.as_bytes()).err();
        assert_eq!(strict, refused, "{bad}");
    }
    let set = json!({"keys": [good, jwk_with(ForeignAlgorithm::RS256, "more", 1)], "more": true});
    let strict = ForeignKeys::from_jwks_value(&set).unwrap();
    assert_eq!((strict.keys().len(), strict.skipped()), (2, 0));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        for parse in [ForeignKeys::parse, ForeignKeys::parse_strict] {
            let found = parse(text.as_bytes()).err();
            assert_eq!(found, Some(KeySetFault::Malformed), "{text}");
        }
    }
    for wrong in [json!([]), json!({}), json!({"keys": {}})] {
        let found = ForeignKeys::from_jwks_value(&wrong).err();
        assert_eq!(found, Some(KeySetFault::Malformed), "{wrong}");
    }
}

#[test]
fn a_set_with_thousands_of_keys_is_refused() {
    let unknown = |count: usize| json!({"keys": vec![json!({"kty": "x"}); count]}).to_string();
    assert!(ForeignKeys::parse(unknown(KEY_SET_KEYS_MAX).as_bytes()).is_ok());
    for parse in [ForeignKeys::parse, ForeignKeys::parse_strict] {
        let fault = parse(unknown(KEY_SET_KEYS_MAX + 1).as_bytes()).err();
        assert_eq!(fault, Some(KeySetFault::TooMany));
        let fault = parse(unknown(10_000).as_bytes()).err();
        assert_eq!(fault, Some(KeySetFault::Oversized));
    }
}
