//! Everything that is a text with a form: each is tried on the whole input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use writ::config::Issuer;
use writ::credentials::{hides_secret, looks_like_secret};
use writ_core::{
    ApiId, ApplicationId, BindingId, CommandId, Description, DetailsTypeName, Entity, EventId,
    HttpsUri, Identifier, IssuerId, Jti, Kid, Millis, Name, PolicyDigest, PolicyTarget, RoleId,
    ScopeName, SecretId, SubjectPattern, SubjectText, codec,
};
use writ_fuzz::{has_one_spelling, reads_back};
use writ_ledger::{FailurePlace, IssuancePlace};

fuzz_target!(|text: &str| {
    has_one_spelling::<ApiId>(text);
    has_one_spelling::<ApplicationId>(text);
    has_one_spelling::<BindingId>(text);
    has_one_spelling::<CommandId>(text);
    has_one_spelling::<Description>(text);
    has_one_spelling::<DetailsTypeName>(text);
    has_one_spelling::<Entity>(text);
    has_one_spelling::<EventId>(text);
    has_one_spelling::<FailurePlace>(text);
    has_one_spelling::<IssuancePlace>(text);
    has_one_spelling::<HttpsUri>(text);
    has_one_spelling::<Identifier>(text);
    has_one_spelling::<IssuerId>(text);
    has_one_spelling::<Jti>(text);
    has_one_spelling::<Kid>(text);
    has_one_spelling::<Name>(text);
    has_one_spelling::<PolicyDigest>(text);
    has_one_spelling::<PolicyTarget>(text);
    has_one_spelling::<RoleId>(text);
    has_one_spelling::<ScopeName>(text);
    has_one_spelling::<SecretId>(text);
    has_one_spelling::<SubjectText>(text);
    reads_back::<Millis>(text);
    if let Some(bytes) = codec::from_hex(text) {
        assert_eq!(codec::hex(&bytes), text);
    }
    if let Ok(issuer) = Issuer::parse(text) {
        assert_eq!(Issuer::parse(issuer.as_str()), Ok(issuer.clone()));
        assert!(issuer.as_str().ends_with(issuer.path()));
    }
    assert!(!looks_like_secret(text) || hides_secret(text));
    if let Some((pattern, subject)) = text.split_once('\n') {
        matches(pattern, subject);
    }
});

/// A pattern lets in itself, or what is like it up to one segment.
fn matches(pattern: &str, subject: &str) {
    let Some(pattern) = has_one_spelling::<SubjectPattern>(pattern) else {
        return;
    };
    if !pattern.matches(subject) {
        return;
    }
    match pattern.as_str().strip_suffix('*') {
        None => assert_eq!(pattern.as_str(), subject),
        Some(fixed) => {
            let rest = subject.strip_prefix(fixed).expect("what it begins with");
            assert!(!rest.is_empty() && !rest.contains(['/', ':']));
            assert!(fixed.contains(['/', ':']));
        }
    }
}
