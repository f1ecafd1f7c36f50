//! Any body is read or refused, and what is read is what was said.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::jose::{ForeignAlgorithm, mint::MintKey};
use proptest::prelude::*;

/// What an application says about itself that goes by this method.
pub(crate) fn metadata(method: AuthenticationMethod) -> Value {
    let mut said = json!({
        "client_name": "ci-job",
        "token_endpoint_auth_method": method.as_str(),
        "grant_types": ["client_credentials"],
    });
    if method == AuthenticationMethod::PrivateKeyJwt {
        let key = MintKey::named(ForeignAlgorithm::ES256, "k1").jwk();
        said["jwks"] = json!({ "keys": [key] });
    }
    said
}

fn reads(said: &Value) -> Result<Asked, MetadataFault> {
    read(said.to_string().as_bytes())
}

#[test]
fn what_is_absent_is_as_rfc_7591_says_and_null_is_absent() {
    let all = json!({
        "client_name": null, "scope": null, "jwks": null, "redirect_uris": null,
        "response_types": [], "grant_types": [], "software_statement": null,
        "client_secret": null, "client_id_issued_at": null, "dpop_bound_access_tokens": false,
    });
    for said in [json!({}), all] {
        let asked = reads(&said).unwrap();
        assert_eq!(
            asked.metadata.method,
            AuthenticationMethod::ClientSecretBasic
        );
        assert_eq!(asked.metadata.name, None);
        assert_eq!(asked.metadata.sender_constraint, SenderConstraint::None);
        assert_eq!((asked.scopes, asked.ours), (None, None));
    }
}

#[test]
fn an_empty_scope_asks_for_none() {
    let asked = reads(&json!({ "scope": "" })).unwrap();
    assert_eq!(asked.scopes, Some(Vec::new()));
    let asked = reads(&json!({ "scope": "a:b  c:d" })).unwrap();
    assert_eq!(asked.scopes.map(|names| names.len()), Some(2));
}

#[test]
fn every_subject_of_a_certificate_is_read() {
    use CertificateSubject as C;
    for (member, text, expected) in [
        ("subject_dn", "CN=job", C::Dn("CN=job".parse().unwrap())),
        (
            "san_dns",
            "job.example",
            C::Dns("job.example".parse().unwrap()),
        ),
        (
            "san_uri",
            "spiffe://a/b",
            C::Uri("spiffe://a/b".parse().unwrap()),
        ),
        ("san_ip", "192.0.2.1", C::Ip("192.0.2.1".parse().unwrap())),
        (
            "san_email",
            "a@b.example",
            C::Email("a@b.example".parse().unwrap()),
        ),
    ] {
        let name = format!("tls_client_auth_{member}");
        let asked = reads(&json!({ &name: text })).unwrap();
        assert_eq!(asked.metadata.certificate_subject, Some(expected.clone()));
        assert_eq!(subject_member(&expected), (&*name, text.to_owned()));
    }
    assert!(reads(&json!({ "tls_client_auth_san_ip": "nowhere" })).is_err());
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&body);
    }

    #[test]
    fn any_value_of_any_member_is_read_or_refused(
        member in prop::sample::select(vec![
            "client_name", "token_endpoint_auth_method", "grant_types", "response_types",
            "redirect_uris", "scope", "jwks", "jwks_uri", "tls_client_auth_san_ip",
            "dpop_bound_access_tokens", "software_statement", "client_id", "client_secret",
        ]),
        value in prop_oneof![
            Just("null".to_owned()),
            Just("[null]".to_owned()),
            Just("{\"keys\":[{}]}".to_owned()),
            Just("1e400".to_owned()),
            "\"\\PC{0,40}\"",
            "\\[(\"[a-z_]{0,20}\",){0,3}\"\"\\]",
        ],
    ) {
        let _ = read(format!("{{\"{member}\":{value}}}").as_bytes());
    }
}
