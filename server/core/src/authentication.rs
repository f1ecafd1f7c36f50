//! How an application proves who it is: which methods it may use, and what each of them is held
//! against. No secret is in here: secrets have ids and events of their own.

use crate::name::{ParseNameError, text_type};
use crate::{IssuerId, Name, PublicJwk};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A way to authenticate at the token endpoint: the names of `token_endpoint_auth_method`
/// (RFC 7591 §2, RFC 8705 §2), and Writ's own for foreign tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// A secret in the `Authorization` header (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// A secret in the form (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// An assertion signed by a registered key (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A certificate that a trusted authority issued for a registered subject (RFC 8705 §2.1).
    TlsClientAuth,
    /// A registered certificate, whoever issued it (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
    /// A token of a trusted issuer that fits a trust rule: no secret anywhere (RFC 7523 §2.1, §2.2).
    WorkloadIdentity,
}

impl AuthenticationMethod {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
        Self::WorkloadIdentity,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::WorkloadIdentity => "workload_identity",
        }
    }

    /// Whether a shared secret is what proves it.
    #[must_use]
    pub fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

impl fmt::Display for AuthenticationMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How strict it is with an application, or with all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProfile {
    /// What the RFCs allow.
    #[default]
    None,
    /// FAPI 2.0 Security Profile §5.3.2.1: no shared secrets, no RS256 assertions, the issuer as
    /// the one audience of an assertion, and only tokens that are bound to their sender.
    Fapi2,
}

impl SecurityProfile {
    /// All of them, with their names.
    pub const NAMED: [(&str, Self); 2] = [("none", Self::None), ("fapi2", Self::Fapi2)];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMED[self as usize].0
    }
}

/// How an application may authenticate. An application without one of its own has the usual: a
/// secret, in the header or the form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// The methods, sorted; never none.
    pub methods: Vec<AuthenticationMethod>,
    /// Its public keys, for `private_key_jwt`, and for `self_signed_tls_client_auth` those with a
    /// certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<RegisteredKey>,
    /// Where its public keys are, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<HttpsUri>,
    /// What its certificates name, for `tls_client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_subject: Option<CertificateSubject>,
    /// Its certificates, for `self_signed_tls_client_auth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateDigest>,
    /// Which foreign tokens prove it, for `workload_identity`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<TrustRule>,
    /// How strict it is with this application.
    #[serde(default, skip_serializing_if = "is_default")]
    pub profile: SecurityProfile,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            methods: vec![
                AuthenticationMethod::ClientSecretBasic,
                AuthenticationMethod::ClientSecretPost,
            ],
            keys: Vec::new(),
            jwks_uri: None,
            certificate_subject: None,
            certificates: Vec::new(),
            trust: Vec::new(),
            profile: SecurityProfile::None,
        }
    }
}

impl Authentication {
    /// The usual, for applications that have nothing of their own.
    pub(crate) fn usual() -> &'static Self {
        static USUAL: std::sync::LazyLock<Authentication> =
            std::sync::LazyLock::new(Authentication::default);
        &USUAL
    }

    /// The trust rule of this name.
    #[must_use]
    pub fn trust_rule(&self, name: &str) -> Option<&TrustRule> {
        self.trust.iter().find(|rule| rule.name.as_str() == name)
    }
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A public key of somebody else, as it was registered (RFC 7517 §4). Whoever registers it has
/// checked that it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredKey {
    /// Its name (`kid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<Box<str>>,
    /// The one algorithm that it is for (`alg`), if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<Box<str>>,
    /// Its public members.
    pub jwk: PublicJwk,
    /// SHA-256 of the certificate that came with it (`x5c`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateDigest>,
}

/// SHA-256 of a certificate in DER (`x5t#S256`, RFC 8705 §3.1), as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertificateDigest(#[serde(with = "crate::codec::hex32")] pub [u8; 32]);

impl fmt::Display for CertificateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::codec::hex(&self.0))
    }
}

/// What a certificate must name: one of the subject members of RFC 8705 §2.1.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSubject {
    /// The subject's distinguished name, as RFC 4514 writes it.
    Dn(SubjectText),
    /// A dNSName of the subject alternative names.
    Dns(SubjectText),
    /// A uniformResourceIdentifier of the subject alternative names: that of a SPIFFE X.509-SVID.
    Uri(SubjectText),
    /// An iPAddress of the subject alternative names.
    Ip(std::net::IpAddr),
    /// An rfc822Name of the subject alternative names.
    Email(SubjectText),
}

text_type!(
    /// A name in a certificate.
    SubjectText,
    |text| {
        let fits = (1..=1024).contains(&text.len()) && text.trim() == text;
        if fits && !text.chars().any(crate::name::is_hostile) {
            return Ok(());
        }
        Err(ParseNameError(
            "a certificate's subject has 1 to 1024 bytes, none of them a control character",
        ))
    }
);

text_type!(
    /// An `https` address that keys are fetched from: no user, no fragment.
    HttpsUri,
    |text| {
        let fault = ParseNameError(
            "an https address of at most 512 ASCII characters, with a host, without user and fragment",
        );
        let rest = text.strip_prefix("https://").ok_or(fault)?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let clean = rest
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
        if clean && !host.is_empty() && !host.contains('@') && text.len() <= 512 {
            Ok(())
        } else {
            Err(fault)
        }
    }
);

/// Which tokens of a trusted issuer prove an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRule {
    /// Its name, unique in the application: each use is recorded by it.
    pub name: Name,
    /// Who issues them.
    pub issuer: IssuerId,
    /// The audience that they must be for, exactly.
    pub audience: SubjectText,
    /// What their `sub` must be.
    pub subject: SubjectPattern,
    /// Further claims that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<Box<str>, ClaimValue>,
    /// The longest lifetime that they may have, in seconds.
    pub lifetime_seconds: u32,
}

/// The value that a claim must have. A claim that is a list of texts fits when the text is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimValue {
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Box<str>),
}

text_type!(
    /// What a `sub` must be: a text, of which the last segment may end with `*`. Segments are
    /// separated by `/` and `:`, and `*` stands for one character or more that are no separators:
    /// `repo:acme/app:ref:refs/heads/*` lets in every branch without a slash, and no other
    /// repository.
    SubjectPattern,
    |text| {
        let fault = ParseNameError(
            "a subject pattern has 1 to 1024 bytes and * only at its end, behind a / or : and \
             perhaps the beginning of the last segment",
        );
        let star = text.find('*');
        let well_placed = star.is_none_or(|at| {
            let before = &text[..at];
            // A pattern without any fixed segment would let in everybody the issuer knows.
            at + 1 == text.len() && before.contains(['/', ':'])
        });
        let fits = (1..=1024).contains(&text.len()) && text.trim() == text;
        if fits && well_placed && !text.chars().any(crate::name::is_hostile) {
            Ok(())
        } else {
            Err(fault)
        }
    }
);

impl SubjectPattern {
    /// Whether a `sub` is one of those.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        match self.as_str().strip_suffix('*') {
            None => subject == self.as_str(),
            Some(fixed) => subject
                .strip_prefix(fixed)
                .is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', ':', '*'])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The segments of a text, and the separators between them.
    fn segments(text: &str) -> (Vec<&str>, Vec<&str>) {
        (
            text.split(['/', ':']).collect(),
            text.matches(['/', ':']).collect(),
        )
    }

    /// A pattern with a star or without, and a subject that is another, or like it: with a text
    /// put for its star, or elsewhere, and perhaps more behind it.
    fn pattern_and_subject() -> impl Strategy<Value = (String, String)> {
        let pattern = "[ab]{0,2}([/:][ab]{0,2}){1,3}\\*?";
        let more = "[ab*/:]{0,3}";
        let like = (pattern, more, any::<prop::sample::Index>(), 0..4_u8);
        like.prop_map(|(pattern, more, at, kind)| {
            let fixed = pattern.trim_end_matches('*');
            let mut subject = match kind {
                0 => pattern.clone(),
                1 => fixed.to_owned(),
                _ => format!("{fixed}{more}"),
            };
            if kind == 3 {
                subject.insert_str(at.index(subject.len() + 1), &more);
            }
            (pattern, subject)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_matches_differs_in_the_end_of_the_last_segment_only((text, subject) in pattern_and_subject()) {
            let rule: SubjectPattern = text.parse()?;
            let (mut fixed, separators) = segments(&text);
            let (mut others, between) = segments(&subject);
            let (last, end) = (fixed.pop().unwrap_or_default(), others.pop().unwrap_or_default());
            let end_fits = match last.strip_suffix('*') {
                None => end == last,
                Some(start) => end.starts_with(start) && end.len() > start.len() && !end.contains('*'),
            };
            let expected = separators == between && fixed == others && end_fits;
            prop_assert_eq!(rule.matches(&subject), expected);
        }
    }

    fn pattern(text: &str) -> Option<SubjectPattern> {
        text.parse().ok()
    }

    #[test]
    fn a_star_stands_for_the_rest_of_the_last_segment() {
        let rule = pattern("system:serviceaccount:ci:build-*");
        let matches = |subject: &str| rule.as_ref().is_some_and(|rule| rule.matches(subject));
        assert!(matches("system:serviceaccount:ci:build-1"));
        for other in [
            "system:serviceaccount:ci:build-",
            "system:serviceaccount:ci:build-1:x",
            "system:serviceaccount:ci:build-1/x",
            "system:serviceaccount:ci:deploy",
            "system:serviceaccount:cx:build-1",
            "xsystem:serviceaccount:ci:build-1",
            "system:serviceaccount:ci:build-*",
        ] {
            assert!(!matches(other), "{other}");
        }
        let exact = pattern("spiffe://example.org/ns/prod/sa/job");
        assert!(exact.is_some_and(|exact| exact.matches("spiffe://example.org/ns/prod/sa/job")));
    }

    #[test]
    fn a_star_anywhere_else_is_no_pattern() {
        for text in [
            "*",
            "ci*",
            "a:*:b",
            "a/*/b",
            "a:**",
            "a:*b",
            "",
            " a:b",
            "a:\u{202e}b",
        ] {
            assert_eq!(pattern(text), None, "{text:?}");
        }
        assert!(pattern("repo:acme/*").is_some());
    }

    #[test]
    fn an_address_of_keys_is_https_with_a_host() {
        for good in [
            "https://a.example/jwks",
            "https://a.example:8443",
            "https://[::1]/k?x=1",
        ] {
            assert!(good.parse::<HttpsUri>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example/jwks",
            "https://",
            "https:///jwks",
            "https://u@a.example",
            "https://u:p@a.example/",
            "https://a.example/#x",
            "https://a.example/ x",
            "HTTPS://a.example",
        ] {
            assert!(bad.parse::<HttpsUri>().is_err(), "{bad}");
        }
    }
}
