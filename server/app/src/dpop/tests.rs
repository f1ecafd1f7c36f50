//! Proofs of possession: good ones, and what makes one bad.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::jose::mint::{self, MintKey, changed, letters};
use proptest::prelude::*;
use serde_json::{Value, json};

const TOKEN: &str = "https://writ.example/token";
const NOW: Millis = Millis(1_700_000_000_500);
const ACCESS_TOKEN: &str = "an.access.token";

fn nonces() -> Nonces {
    Nonces::new(&[7; 32])
}

/// What is said of a proof for a POST to the token endpoint.
fn verify(proof: &str) -> Result<DpopProof, DpopFault> {
    verify_proof(
        proof,
        "POST",
        TOKEN,
        NOW,
        None,
        NonceRule::Optional(&nonces()),
    )
}

fn claims() -> Value {
    MintKey::proof_claims("POST", TOKEN, NOW, None, None)
}

/// What is said of a good proof with one claim changed, or taken away by `null`.
fn with_claim(name: &str, value: impl Into<Value>) -> Option<DpopFault> {
    let mut claims = claims();
    set(&mut claims, name, value.into());
    let key = mint::key(ForeignAlgorithm::ES256);
    verify(&key.sign(&key.proof_header(), &claims)).err()
}

/// The same with the header.
fn with_header(name: &str, value: impl Into<Value>) -> Option<DpopFault> {
    let key = mint::key(ForeignAlgorithm::ES256);
    let mut header = key.proof_header();
    set(&mut header, name, value.into());
    verify(&key.sign(&header, &claims())).err()
}

fn set(object: &mut Value, name: &str, value: Value) {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
}

#[test]
fn a_good_proof_shows_its_key() {
    for algorithm in ALGORITHMS {
        let key = mint::key(algorithm);
        let claims = claims();
        let proof = verify(&key.sign(&key.proof_header(), &claims)).unwrap();
        let jwk = ForeignKey::from_jwk(&key.jwk()).unwrap();
        assert_eq!(&proof.jkt, jwk.thumbprint());
        assert_eq!(claims["jti"], *proof.jti);
        assert_eq!(
            (proof.algorithm, proof.iat.seconds()),
            (algorithm, NOW.seconds())
        );
        assert_eq!(proof.jkt_text().len(), 43);
    }
}

/// The example of RFC 9449 §4.1 (figure 2), and the thumbprint of its key in §6.1 (figure 10).
#[test]
fn rfc9449_4_1_example_verifies() {
    let proof = concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik",
        "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR",
        "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE",
        "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj",
        "oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia",
        "WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg",
        "4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
    );
    let (at, nonces) = (Millis(1_562_262_617_000), nonces());
    let address = "https://server.example.com/token";
    let rule = NonceRule::Optional(&nonces);
    let proof = verify_proof(proof, "POST", address, at, None, rule).unwrap();
    assert_eq!(&*proof.jti, "-BwC3ESc6acc2lTc");
    assert_eq!(
        proof.jkt_text(),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

#[test]
fn rfc9449_4_3_4_the_type_is_that_of_a_proof() {
    for typ in [
        json!(null),
        json!("JWT"),
        json!("at+jwt"),
        json!("client-authentication+jwt"),
        json!("dpop"),
    ] {
        assert_eq!(
            with_header("typ", typ.clone()),
            Some(DpopFault::Type),
            "{typ}"
        );
    }
    assert_eq!(with_header("typ", "application/DPoP+jwt"), None);
}

#[test]
fn rfc9449_4_3_5_the_algorithm_is_asymmetric_and_supported() {
    let unknown = Some(DpopFault::Jose(JoseFault::AlgorithmUnknown));
    for name in ["none", "HS256", "ES256K", "ES512", "es256"] {
        assert_eq!(with_header("alg", name), unknown, "{name}");
    }
    assert_eq!(
        with_header("alg", "PS256"),
        Some(DpopFault::Jose(JoseFault::KeyUnfit))
    );
    let proof = mint::key(ForeignAlgorithm::RS256).proof("POST", TOKEN, NOW, None, None);
    let forbidden = Some(DpopFault::Jose(JoseFault::AlgorithmForbidden));
    assert_eq!(verify(&proof).err(), forbidden);
}

#[test]
fn rfc9449_4_3_6_the_signature_is_of_the_key_in_the_header() {
    let other = MintKey::generate(ForeignAlgorithm::ES256);
    let fault = Some(DpopFault::Jose(JoseFault::Signature));
    assert_eq!(with_header("jwk", other.bare_jwk()), fault);
    assert_eq!(with_header("jwk", json!(null)), Some(DpopFault::Key));
    // No other way to a key is taken.
    assert_eq!(with_header("kid", "any"), None);
    let jku = Some(DpopFault::Jose(JoseFault::HeaderForbidden));
    assert_eq!(with_header("jku", "https://evil.example/jwks"), jku);
    assert_eq!(with_header("crit", json!(["exp"])), jku);
}

#[test]
fn rfc9449_4_3_7_a_private_key_in_the_header_is_refused() {
    let key = mint::key(ForeignAlgorithm::ES256);
    for (name, value) in [
        ("d", json!("AAAA")),
        ("k", json!("AAAA")),
        ("kty", json!("oct")),
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("ES384")),
        ("y", json!("AAAA")),
        ("crv", json!("P-521")),
    ] {
        let mut jwk = key.bare_jwk();
        jwk[name] = value;
        assert_eq!(with_header("jwk", jwk), Some(DpopFault::Key), "{name}");
    }
}

/// A stranger chooses the key, and verifying with a larger one takes our time.
#[test]
fn an_rsa_key_of_more_than_4096_bits_is_refused_before_it_is_used() {
    let jwk = |bytes| {
        let n = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        json!({"kty": "RSA", "e": "AQAB", "n": n})
    };
    let with = |bytes| {
        let header = json!({"typ": "dpop+jwt", "alg": "PS256", "jwk": jwk(bytes)});
        verify(&mint::key(ForeignAlgorithm::ES256).sign(&header, &claims())).err()
    };
    assert_eq!(with(1024), Some(DpopFault::Key));
    assert_eq!(with(513), Some(DpopFault::Key));
    assert_eq!(with(512), Some(DpopFault::Jose(JoseFault::Signature)));
}

#[test]
fn rfc9449_4_3_8_the_method_is_that_of_the_request() {
    for wrong in [
        json!(null),
        json!("GET"),
        json!("post"),
        json!(""),
        json!(["POST"]),
    ] {
        assert_eq!(
            with_claim("htm", wrong.clone()),
            Some(DpopFault::Method),
            "{wrong}"
        );
    }
}

#[test]
fn rfc9449_4_3_9_the_address_is_that_of_the_request() {
    for wrong in [
        json!(null),
        json!(""),
        json!([TOKEN]),
        json!("https://writ.example/introspect"),
        json!("https://evil.example/token"),
        json!("http://writ.example/token"),
    ] {
        assert_eq!(
            with_claim("htu", wrong.clone()),
            Some(DpopFault::Address),
            "{wrong}"
        );
    }
    assert_eq!(with_claim("htu", format!("{TOKEN}?a=b#c")), None);
}

#[test]
fn rfc9449_4_3_11_a_proof_is_of_the_last_minute() {
    let now = NOW.seconds();
    let fault = Some(DpopFault::IssuedAt);
    // FAPI2SPFinalEnsureDpopProofWithIat10SecondsBeforeSucceeds, …AfterSucceeds.
    for iat in [now, now - 10, now + 10, now + 30, now - 59] {
        assert_eq!(with_claim("iat", iat), None, "{iat}");
    }
    for iat in [now - 60, now - 61, now - 3600, 0, now + 31, now + 3600] {
        assert_eq!(with_claim("iat", iat), fault, "{iat}");
    }
    assert_eq!(with_claim("iat", json!(null)), fault);
    let no_time = Some(DpopFault::Jose(JoseFault::Time));
    assert_eq!(with_claim("iat", "now"), no_time);
    assert_eq!(with_claim("iat", -1), no_time);
}

/// FAPI2SPFinalCheckDpopProofNbfExp.
#[test]
fn rfc7519_4_1_nbf_and_exp_of_a_proof_are_kept() {
    let now = NOW.seconds();
    let fault = Some(DpopFault::Expired);
    assert_eq!(with_claim("exp", now + 1), None);
    assert_eq!(with_claim("exp", now), fault);
    assert_eq!(with_claim("exp", now - 10), fault);
    assert_eq!(with_claim("nbf", now - 10), None);
    assert_eq!(with_claim("nbf", now + 30), None);
    assert_eq!(with_claim("nbf", now + 31), fault);
    for name in ["exp", "nbf"] {
        let no_time = Some(DpopFault::Jose(JoseFault::Time));
        assert_eq!(with_claim(name, "x"), no_time, "{name}");
    }
}

#[test]
fn rfc9449_4_2_a_jti_is_there_and_bounded() {
    for wrong in [json!(null), json!(""), json!(1), json!("j".repeat(257))] {
        assert_eq!(
            with_claim("jti", wrong.clone()),
            Some(DpopFault::Jti),
            "{wrong}"
        );
    }
    assert_eq!(with_claim("jti", "j".repeat(256)), None);
}

#[test]
fn rfc9449_4_3_12_a_proof_is_for_one_access_token() {
    let key = mint::key(ForeignAlgorithm::EdDSA);
    let nonces = nonces();
    let check = |ath: Option<&str>| {
        let mut claims = claims();
        set(&mut claims, "ath", ath.into());
        let proof = key.sign(&key.proof_header(), &claims);
        let (token, rule) = (Some(ACCESS_TOKEN), NonceRule::Optional(&nonces));
        verify_proof(&proof, "POST", TOKEN, NOW, token, rule).err()
    };
    let ath = |token: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    assert_eq!(check(Some(&ath(ACCESS_TOKEN))), None);
    let padded = format!("{}=", ath(ACCESS_TOKEN));
    for wrong in [
        None,
        Some(""),
        Some(ACCESS_TOKEN),
        Some(&*ath("other")),
        Some(&*padded),
    ] {
        assert_eq!(check(wrong), Some(DpopFault::AccessToken), "{wrong:?}");
    }
    // RFC 9449 §7.1, figure 13: the hash of a token, as it stands in a proof.
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(ath(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

#[test]
fn rfc9449_8_a_nonce_is_one_of_the_last_minutes() {
    let key = mint::key(ForeignAlgorithm::ES256);
    let nonces = nonces();
    let window = NONCE_WINDOW_SECONDS * 1000;
    let given_at = |ms: u64| nonces.current(Millis(ms));
    let check = |nonce: Option<&str>, rule| {
        let proof = key.proof("POST", TOKEN, NOW, None, nonce);
        verify_proof(&proof, "POST", TOKEN, NOW, None, rule).err()
    };
    let both = |nonce: Option<&str>| {
        let optional = check(nonce, NonceRule::Optional(&nonces));
        [optional, check(nonce, NonceRule::Required(&nonces))]
    };
    assert_eq!(both(None), [None, Some(DpopFault::Nonce)]);
    for good in [given_at(NOW.0), given_at(NOW.0 - window)] {
        assert_eq!(both(Some(&good)), [None, None]);
    }
    let foreign = Nonces::new(&[8; 32]).current(NOW);
    for wrong in [
        given_at(NOW.0 - 2 * window),
        given_at(NOW.0 + window),
        foreign,
        String::new(),
        "é".to_owned(),
    ] {
        assert_eq!(both(Some(&wrong)), [Some(DpopFault::Nonce); 2], "{wrong}");
    }
    assert_eq!(with_claim("nonce", 1), Some(DpopFault::Nonce));
    assert_eq!(DpopFault::Nonce.oauth_error(), "use_dpop_nonce");
    assert_eq!(DpopFault::Method.oauth_error(), "invalid_dpop_proof");
}

#[test]
fn a_nonce_lives_for_one_window_at_least_and_two_at_most() {
    let nonces = nonces();
    let window = NONCE_WINDOW_SECONDS * 1000;
    let (first, last) = (Millis(10 * window), Millis(11 * window - 1));
    let nonce = nonces.current(first);
    assert_eq!(nonce, nonces.current(last));
    assert!(nonces.accepts(&nonce, Millis(12 * window - 1)));
    assert!(!nonces.accepts(&nonce, Millis(12 * window)));
    assert!(!nonces.accepts(&nonce, Millis(10 * window - 1)));
    // The first window of all has none before it.
    assert!(nonces.accepts(&nonces.current(Millis(0)), Millis(0)));
    assert!(!nonces.accepts("", Millis(0)));
    assert_eq!(format!("{nonces:?}"), "Nonces { .. }");
}

#[test]
fn rfc9449_11_1_a_proof_is_remembered_for_as_long_as_it_is_taken() {
    let key = mint::key(ForeignAlgorithm::ES256);
    let claims = claims();
    let text = key.sign(&key.proof_header(), &claims);
    let proof = verify(&text).unwrap();
    let replay = proof.replay();
    let nonces = nonces();
    let taken = |at: Millis| {
        verify_proof(&text, "POST", TOKEN, at, None, NonceRule::Optional(&nonces)).is_ok()
    };
    assert!(taken(Millis(
        NOW.seconds() * 1000 + PROOF_AGE_MAX_SECONDS * 1000
    )));
    assert!(!taken(replay.until));
    // The same jti of the same key is the same; of another key it is not.
    let again = verify(&key.sign(&key.proof_header(), &claims)).unwrap();
    assert_eq!(again.replay(), replay);
    let other = MintKey::generate(ForeignAlgorithm::ES256);
    let other = verify(&other.sign(&other.proof_header(), &claims)).unwrap();
    assert_ne!(other.replay().key, replay.key);
}

#[test]
fn rfc9449_4_2_an_oversized_or_ambiguous_proof_is_refused() {
    assert_eq!(
        with_claim("x", "x".repeat(PROOF_BYTES_MAX)),
        Some(DpopFault::Jose(JoseFault::Oversized))
    );
    let key = mint::key(ForeignAlgorithm::ES256);
    let claims = claims().to_string();
    let twice = claims.replacen('{', r#"{"htm":"GET","#, 1);
    let proof = key.sign_parts(&key.proof_header().to_string(), &twice);
    let malformed = Some(DpopFault::Jose(JoseFault::Malformed));
    assert_eq!(verify(&proof).err(), malformed);
    let proof = key.proof("POST", TOKEN, NOW, None, None);
    for several in [
        format!("{proof},{proof}"),
        format!("{proof}, {proof}"),
        format!("{proof} "),
    ] {
        assert_eq!(verify(&several).err(), malformed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_proof_shows_nothing(
        which in 0..ALGORITHMS.len(),
        kind: u8,
        at: prop::sample::Index,
        with in letters(),
    ) {
        let proof = mint::key(ALGORITHMS[which]).proof("POST", TOKEN, NOW, None, None);
        let other = changed(&proof, kind, at, with);
        prop_assert_eq!(verify(&other).is_ok(), other == proof, "{}", other);
    }

    #[test]
    fn no_text_makes_it_panic(text: String, method: String, htu: String) {
        let nonces = nonces();
        let rule = NonceRule::Required(&nonces);
        prop_assert!(verify_proof(&text, &method, &htu, NOW, Some(&text), rule).is_err());
    }
}
