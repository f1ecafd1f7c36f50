//! Tokens that others signed, and our own. The first byte says as what: as it came, or header and
//! claims, a line each, that are signed here, so that what comes after the signature is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::convert::Infallible;
use std::sync::LazyLock;
use writ::assertion::{
    ASSERTION_BYTES_MAX, JTI_BYTES_MAX, LIFETIME_MAX_FAPI2_SECONDS, LIFETIME_MAX_SECONDS,
    check_client_assertion, check_federated,
};
use writ::dpop::{NonceRule, Nonces, PROOF_AGE_MAX_SECONDS, verify_proof};
use writ::jose::{
    FUTURE_SECONDS, ForeignAlgorithm, ForeignKeys, JoseFault, Unverified, Verified, verify,
};
use writ::keys::{KeyRing, Signer};
use writ::token::{TokenFault, decode, encode_as};
use writ_core::{
    Algorithm, ClaimValue, IssuerId, IssuerKeys, KeyState, Millis, Position, PublicJwk,
    SecurityProfile, SigningKey, TrustRule, TrustedIssuer,
};
use writ_fuzz::{Key, NOW};
use zeroize::Zeroizing;

const ISSUER: &str = "https://writ.example";
const ENDPOINT: &str = "https://writ.example/oauth2/token";
const CLIENT: &str = "00000000000000000000000001";
const KID: &str = "own";
/// How far times may be off beside their limits, in seconds: clocks differ.
const SKEW: u64 = FUTURE_SECONDS;

/// What a target signs with, and a key that signs nothing.
static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(7));
static KEYS: LazyLock<ForeignKeys> = LazyLock::new(|| keys(&KEY));
static OTHERS: LazyLock<ForeignKeys> = LazyLock::new(|| keys(&Key::new(8)));
static RING: LazyLock<KeyRing> = LazyLock::new(ring);
static NONCES: LazyLock<Nonces> = LazyLock::new(|| Nonces::new(&[9; 32]));
static TRUST: LazyLock<(TrustedIssuer, TrustRule)> = LazyLock::new(trust);

fuzz_target!(|data: &[u8]| {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    if *which == b'r' {
        if let Ok(text) = std::str::from_utf8(rest) {
            raw(text);
        }
        return;
    }
    let line = rest.iter().position(|&byte| byte == b'\n');
    let (header, claims) = rest.split_at(line.unwrap_or(rest.len()));
    let token = KEY.sign(header, claims.get(1..).unwrap_or_default());
    match which {
        b'a' => assertion(&token),
        b'f' => federated(&token),
        b'd' => proof(&token),
        _ => own(&token),
    }
});

/// Nobody signed this: nothing takes it.
fn raw(text: &str) {
    if let Ok(token) = Unverified::parse(text, ASSERTION_BYTES_MAX) {
        let verified = verify(&token, &KEYS, &ForeignAlgorithm::ALL);
        assert!(verified.is_err(), "signed by nobody");
    }
    assert!(matches!(
        decode(text, &RING, ISSUER),
        Err(TokenFault::Signature)
    ));
    proof(text);
}

fn verified(token: &str) -> Option<Verified> {
    let token = Unverified::parse(token, ASSERTION_BYTES_MAX).ok()?;
    let others = verify(&token, &OTHERS, &ForeignAlgorithm::ALL);
    assert!(others.is_err(), "signed by another key");
    assert!(matches!(
        verify(&token, &KEYS, &[]),
        Err(JoseFault::AlgorithmForbidden)
    ));
    let verified = verify(&token, &KEYS, &ForeignAlgorithm::ALL).ok()?;
    assert_eq!(verified.algorithm(), ForeignAlgorithm::EdDSA);
    Some(verified)
}

fn assertion(token: &str) {
    let Some(token) = verified(token) else {
        return;
    };
    let check = |profile| check_client_assertion(&token, CLIENT, ISSUER, ENDPOINT, NOW, profile);
    let (lax, strict) = (check(SecurityProfile::None), check(SecurityProfile::Fapi2));
    let maxima = [LIFETIME_MAX_SECONDS, LIFETIME_MAX_FAPI2_SECONDS];
    for (facts, max) in [&lax, &strict].into_iter().zip(maxima) {
        let Ok(facts) = facts else {
            continue;
        };
        assert_eq!(
            (token.text("iss"), token.text("sub")),
            (Some(CLIENT), Some(CLIENT))
        );
        assert!(NOW < facts.exp && facts.exp <= NOW.plus_seconds(max + SKEW));
        assert!((1..=JTI_BYTES_MAX).contains(&facts.jti.len()));
        let _ = facts.replay(CLIENT);
    }
    if strict.is_ok() {
        assert_eq!(lax, strict, "what is strict is no laxer");
        assert_eq!(token.text("aud"), Some(ISSUER));
    }
}

fn federated(token: &str) {
    let Some(token) = verified(token) else {
        return;
    };
    let (issuer, rule) = &*TRUST;
    let Ok(facts) = check_federated(&token, issuer, rule, NOW) else {
        return;
    };
    assert!(rule.subject.matches(facts.subject.as_str()));
    assert!(!token.claims().contains_key("cnf"));
    assert!(NOW < facts.exp);
    assert!(facts.exp <= NOW.plus_seconds(u64::from(rule.lifetime_seconds) + SKEW));
}

fn proof(proof: &str) {
    let check = |method, access_token, nonce| {
        verify_proof(proof, method, ENDPOINT, NOW, access_token, nonce)
    };
    let (optional, required) = (NonceRule::Optional(&NONCES), NonceRule::Required(&NONCES));
    let Ok(shown) = check("POST", None, optional) else {
        return;
    };
    assert!(shown.iat <= NOW.plus_seconds(FUTURE_SECONDS));
    assert!(NOW <= shown.iat.plus_seconds(PROOF_AGE_MAX_SECONDS));
    assert!((1..=JTI_BYTES_MAX).contains(&shown.jti.len()));
    assert!(check("GET", None, optional).is_err(), "for another method");
    assert!(
        check("POST", None, required).is_err(),
        "nobody knows a nonce"
    );
    assert!(
        check("POST", Some("a-token"), optional).is_err(),
        "for no token, or another"
    );
}

/// What is read as a token of ours is what we would have written.
fn own(token: &str) {
    let Ok(token) = decode(token, &RING, ISSUER) else {
        return;
    };
    assert_eq!(token.claims.iss, ISSUER);
    assert_eq!(token.claims.client_id, token.application.to_string());
    let _ = (token.subject(), token.ends_at(), token.claims.actors());
    let signer = RING.signer(Algorithm::EdDSA).expect("made with it");
    let again = encode_as(signer, "at+jwt", &token.claims).expect("it signs");
    let again = decode(&again, &RING, ISSUER).expect("our own");
    assert_eq!(again.claims, token.claims);
    assert_eq!(again.scopes, token.scopes);
}

fn keys(key: &Key) -> ForeignKeys {
    ForeignKeys::parse_strict(key.jwks().as_bytes()).expect("a set of one key")
}

fn ring() -> KeyRing {
    let kid: writ_core::Kid = KID.parse().expect("a name");
    let signer = Signer::from_pkcs8(kid.clone(), Algorithm::EdDSA, &KEY.pkcs8).expect("a key");
    let jwk = signer.public_jwk().expect("it has one");
    assert!(matches!(&jwk, PublicJwk::OKP { x, .. } if **x == *KEY.x()));
    let key = SigningKey {
        kid,
        algorithm: Algorithm::EdDSA,
        jwk,
        made_at: Millis(0),
        state: KeyState::Active { since: Millis(0) },
        version: Position(0),
    };
    let load = |_: &writ_core::Kid| Ok::<_, Infallible>(Zeroizing::new(KEY.pkcs8.clone()));
    KeyRing::build([&key], NOW, &KeyRing::empty(), load).expect("a ring")
}

fn trust() -> (TrustedIssuer, TrustRule) {
    let issuer = TrustedIssuer {
        id: IssuerId(1),
        issuer: "https://issuer.example".parse().expect("an identifier"),
        name: "An issuer".parse().expect("a name"),
        keys: IssuerKeys::Discovery,
        omits_issuer: true,
        created_at: Millis(0),
        version: Position(0),
    };
    let rule = TrustRule {
        name: "A rule".parse().expect("a name"),
        issuer: IssuerId(1),
        audience: ISSUER.parse().expect("an audience"),
        subject: "repo:acme/app:ref:refs/heads/*".parse().expect("a pattern"),
        claims: [("environment".into(), ClaimValue::Text("production".into()))].into(),
        lifetime_seconds: 900,
    };
    (issuer, rule)
}
