//! Certificates of clients, and authorities that vouch for them or do not.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};

/// An authority.
pub(crate) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a certificate of a job says, unless a test changes it.
pub(crate) fn params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(DnType::CommonName, "job");
    params.subject_alt_names = vec![
        SanType::DnsName("job.example".try_into().unwrap()),
        SanType::URI("spiffe://example.org/job".try_into().unwrap()),
        SanType::Rfc822Name("job@example.org".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// A certificate that an authority issued.
pub(crate) fn issued(
    params: &CertificateParams,
    by: &CertifiedIssuer<'static, KeyPair>,
) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let der = params.signed_by(&key, by).unwrap().der().clone();
    (der, key)
}

/// A certificate that nobody else vouches for.
pub(crate) fn self_signed(params: &CertificateParams) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    (der, key)
}

/// One that has this digest and says nothing.
pub(crate) fn of_digest(sha256: [u8; 32]) -> Arc<ClientCertificate> {
    Arc::new(ClientCertificate {
        sha256,
        ..parsed(&self_signed(&params()).0)
    })
}

/// Its digest.
pub(crate) fn digest(der: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(der).into()
}

fn parsed(der: &CertificateDer<'static>) -> ClientCertificate {
    ClientCertificate::parse(vec![der.clone()]).unwrap()
}

fn trusting(authority: &CertifiedIssuer<'static, KeyPair>) -> ClientAuthorities {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    ClientAuthorities::open(Some(&path)).unwrap()
}

fn at(text: &str) -> Millis {
    text.parse().unwrap()
}

#[test]
fn rfc_8705_section_2_1_2_a_certificate_names_its_subject_exactly() {
    let certificate = parsed(&self_signed(&params()).0);
    assert_eq!(certificate.subject(), "CN=job,O=Acme\\, Inc.");
    let names = |subject: CertificateSubject| certificate.names(&subject);
    let text = |text: &str| text.parse().unwrap();
    assert!(names(CertificateSubject::Dn(text("CN=job,O=Acme\\, Inc."))));
    assert!(names(CertificateSubject::Dns(text("JOB.example"))));
    assert!(names(CertificateSubject::Uri(text(
        "spiffe://example.org/job"
    ))));
    assert!(names(CertificateSubject::Email(text("job@example.org"))));
    assert!(names(CertificateSubject::Ip("192.0.2.7".parse().unwrap())));
    for other in [
        CertificateSubject::Dn(text("O=Acme\\, Inc.,CN=job")),
        CertificateSubject::Dn(text("CN=job")),
        CertificateSubject::Dns(text("example")),
        CertificateSubject::Dns(text("*.example")),
        CertificateSubject::Uri(text("spiffe://example.org/job/")),
        CertificateSubject::Uri(text("SPIFFE://example.org/job")),
        CertificateSubject::Email(text("JOB@example.org")),
        CertificateSubject::Ip("192.0.2.8".parse().unwrap()),
        // A name of one kind is none of another.
        CertificateSubject::Dns(text("job@example.org")),
    ] {
        assert!(!names(other.clone()), "{other:?}");
    }
}

#[test]
fn rfc_8705_section_2_1_an_authority_vouches_for_clients_it_issued_for_and_now() {
    let ours = authority("Ours");
    let (now, trusted) = (at("2026-03-03T09:00:00Z"), trusting(&ours));
    let verify = |der: &CertificateDer<'static>, now| trusted.verify(&parsed(der), now);
    assert_eq!(verify(&issued(&params(), &ours).0, now), Ok(()));
    let untrusted = Err(CertificateFault::Untrusted);
    let of_another = issued(&params(), &authority("Ours")).0;
    assert_eq!(
        verify(&of_another, now),
        untrusted,
        "another key by the same name"
    );
    assert_eq!(verify(&self_signed(&params()).0, now), untrusted);
    let mut for_servers = params();
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(verify(&issued(&for_servers, &ours).0, now), untrusted);
    let issued = issued(&params(), &ours).0;
    assert_eq!(verify(&issued, at("2019-12-31T00:00:00Z")), untrusted);
    assert_eq!(verify(&issued, at("2090-01-02T00:00:00Z")), untrusted);
    assert!(!parsed(&issued).is_valid(at("2090-01-02T00:00:00Z")));
    let nobody = ClientAuthorities::default().verify(&parsed(&issued), now);
    assert_eq!(nobody, Err(CertificateFault::NoAuthority));
}

#[test]
fn rfc_5280_section_6_a_chain_leads_through_those_that_come_along() {
    let ours = authority("Ours");
    let mut between = CertificateParams::new(Vec::new()).unwrap();
    between
        .distinguished_name
        .push(DnType::CommonName, "Between");
    between.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &ours).unwrap();
    let (own, _) = issued(&params(), &between);
    let (now, trusted) = (at("2026-03-03T09:00:00Z"), trusting(&ours));
    let whole = vec![own.clone(), between.der().clone()];
    let whole = ClientCertificate::parse(whole).unwrap();
    assert_eq!(trusted.verify(&whole, now), Ok(()));
    assert!(trusted.verify(&parsed(&own), now).is_err());
    let long = vec![own; CHAIN_MAX + 1];
    let long = ClientCertificate::parse(long).err();
    assert_eq!(long, Some(CertificateFault::Malformed));
}

#[test]
fn rfc_4514_section_2_4_what_has_a_meaning_is_escaped() {
    let mut out = String::new();
    escape(" #a+b,c;\"d\"<e>\\f\u{1} ", &mut out);
    assert_eq!(out, "\\ #a\\+b\\,c\\;\\\"d\\\"\\<e\\>\\\\f\\01\\ ");
    let mut out = String::new();
    escape("#1", &mut out);
    assert_eq!(out, "\\#1");
}

#[test]
fn a_file_without_authorities_is_refused() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    assert!(ClientAuthorities::open(Some(&path)).is_err());
    std::fs::write(&path, "nothing").unwrap();
    assert!(ClientAuthorities::open(Some(&path)).is_err());
    assert!(ClientAuthorities::open(None).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_make_it_panic(
        at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>(), any: Vec<u8>
    ) {
        static GOOD: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| self_signed(&params()).0.to_vec());
        let mut bytes = GOOD.clone();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let same = bytes == *GOOD;
        let read = ClientCertificate::parse(vec![bytes.clone().into()]);
        if let Ok(read) = read {
            prop_assert!(same || *read.sha256() != *parsed(&GOOD.clone().into()).sha256());
        }
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(ClientCertificate::parse(vec![bytes.into()]).is_err());
        let _ = ClientCertificate::parse(vec![any.into()]);
    }
}
