//! What others publish: a JWK Set, one key, or the addresses of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use writ::jose::{ForeignKey, ForeignKeys, KEY_SET_KEYS_MAX, KID_BYTES_MAX};
use writ::remote_keys::{IssuerUri, KeysUri, check_issuer_uri, check_keys_uri};
use writ_core::RegisteredKey;

fuzz_target!(|data: &[u8]| {
    let (lax, strict) = (ForeignKeys::parse(data), ForeignKeys::parse_strict(data));
    if let Ok(strict) = &strict {
        let lax = lax.as_ref().expect("what is strict is no laxer");
        assert_eq!((lax.skipped(), lax.keys().len()), (0, strict.keys().len()));
    }
    for set in [lax, strict].into_iter().flatten() {
        assert!(set.keys().len() + set.skipped() <= KEY_SET_KEYS_MAX);
        let registered: Vec<_> = set.keys().iter().map(ForeignKey::to_registered).collect();
        let again = ForeignKeys::from_registered(&registered).expect("as they were registered");
        assert_eq!(again.keys().len(), set.keys().len());
        set.keys().iter().for_each(check_key);
    }
    if let Ok(value) = serde_json::from_slice(data) {
        if let Ok(key) = ForeignKey::from_jwk(&value) {
            check_key(&key);
        }
        let _ = ForeignKeys::from_jwks_value(&value);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        addresses(text);
    }
});

fn check_key(key: &ForeignKey) {
    if let Some(kid) = key.kid() {
        assert!((1..=KID_BYTES_MAX).contains(&kid.len()) && key.is_named(kid));
    }
    // As an event holds it.
    let stored = serde_json::to_vec(&key.to_registered()).expect("a key is JSON");
    let read: RegisteredKey = serde_json::from_slice(&stored).expect("it was stored");
    let again = ForeignKey::from_registered(&read).expect("it was registered");
    assert_eq!(again.thumbprint(), key.thumbprint());
    assert_eq!(again.to_registered(), key.to_registered());
}

fn addresses(text: &str) {
    let keys = KeysUri::parse(text);
    assert_eq!(keys.is_ok(), check_keys_uri(text).is_ok());
    if let Ok(keys) = keys {
        assert_eq!(keys.as_str(), text);
        let lower = text.to_ascii_lowercase();
        assert!(text.starts_with("https://") && lower.contains(keys.host()));
    }
    let issuer = IssuerUri::parse(text);
    assert_eq!(issuer.is_ok(), check_issuer_uri(text).is_ok());
    if let Ok(issuer) = issuer {
        assert_eq!(issuer.as_str(), text);
        assert!(KeysUri::parse(text).is_ok(), "an issuer is an address");
    }
}
