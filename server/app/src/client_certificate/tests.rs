//! Certificates of clients, and authorities that vouch for them or do not.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    DnValue, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, NameConstraints,
    PKCS_ED25519, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// An authority.
pub(crate) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority that another one vouches for, and below which there is none.
pub(crate) fn between(
    above: &CertifiedIssuer<'static, KeyPair>,
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "Between");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
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

/// A list of those that an authority took back, good until March 2026.
fn revoked(by: &CertifiedIssuer<'static, KeyPair>, serials: &[u8]) -> String {
    let revoked = |serial: &u8| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2026, 3, 31),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(by).unwrap().pem().unwrap()
}

/// The files of a node: authorities, and revocation lists if there are any.
struct Trusting {
    authorities: ClientAuthorities,
    directory: TempDir,
}

impl Trusting {
    fn new(authority: &CertifiedIssuer<'static, KeyPair>, lists: Option<&str>) -> Self {
        let directory = TempDir::new().unwrap();
        let (ca, crl) = (
            directory.path().join("ca.pem"),
            directory.path().join("crl.pem"),
        );
        fs::write(&ca, authority.pem()).unwrap();
        if let Some(lists) = lists {
            fs::write(&crl, lists).unwrap();
        }
        let authorities = ClientAuthorities::open(Some(&ca), lists.map(|_| &*crl)).unwrap();
        Self {
            authorities,
            directory,
        }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.path().join(file), text).unwrap();
    }

    fn verify(&self, der: &CertificateDer<'static>, now: Millis) -> Result<(), CertificateFault> {
        self.authorities.verify(&parsed(der), now)
    }
}

fn trusting(authority: &CertifiedIssuer<'static, KeyPair>) -> ClientAuthorities {
    Trusting::new(authority, None).authorities
}

fn at(text: &str) -> Millis {
    text.parse().unwrap()
}

#[test]
fn rfc_8705_section_2_1_2_a_certificate_names_its_subject_exactly() {
    let certificate = parsed(&self_signed(&params()).0);
    assert_eq!(certificate.subject().to_string(), "CN=job,O=Acme\\, Inc.");
    let names = |subject: CertificateSubject| certificate.names(&subject);
    let text = |text: &str| text.parse().unwrap();
    assert!(names(CertificateSubject::Dn(text("CN=job,O=Acme\\, Inc."))));
    assert!(names(CertificateSubject::Dn(text(
        "cn=job, o=Acme\\2C Inc."
    ))));
    assert!(names(CertificateSubject::Dns(text("JOB.example"))));
    assert!(names(CertificateSubject::Uri(text(
        "spiffe://example.org/job"
    ))));
    assert!(names(CertificateSubject::Email(text("job@example.org"))));
    assert!(names(CertificateSubject::Ip("192.0.2.7".parse().unwrap())));
    for other in [
        CertificateSubject::Dn(text("O=Acme\\, Inc.,CN=job")),
        CertificateSubject::Dn(text("CN=job")),
        CertificateSubject::Dn(text("job")),
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
    let nobody = ClientAuthorities::open(None, None).unwrap();
    let nobody = nobody.verify(&parsed(&issued), now);
    assert_eq!(nobody, Err(CertificateFault::NoAuthority));
}

#[test]
fn rfc_5280_section_6_a_chain_leads_through_those_that_come_along() {
    let ours = authority("Ours");
    let between = between(&ours);
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
fn a_chain_has_limits() {
    let fits = |bytes: &[usize]| {
        let chain: Vec<_> = bytes.iter().map(|bytes| of_bytes(*bytes)).collect();
        ClientCertificate::parse(chain).is_ok()
    };
    const MOST: usize = CERTIFICATE_BYTES_MAX;
    assert!(fits(&[MOST]));
    assert!(!fits(&[MOST + 1]));
    assert!(!fits(&[1500, MOST + 1]));
    assert!(fits(&[1500, MOST, CHAIN_BYTES_MAX - MOST - 1500]));
    assert!(!fits(&[1501, MOST, CHAIN_BYTES_MAX - MOST - 1500]));
    assert!(fits(&[1500; CHAIN_MAX]));
    assert!(!fits(&[1500; CHAIN_MAX + 1]));
    assert!(!fits(&[]));
}

/// A certificate of so many bytes, from 1500 on.
pub(crate) fn of_bytes(bytes: usize) -> CertificateDer<'static> {
    let make = |filling: usize| {
        let mut params = params();
        // All else has the same length each time: the signature and the serial number too.
        params.serial_number = Some(SerialNumber::from_slice(&[1]));
        params.subject_alt_names = vec![SanType::URI("a".repeat(filling).try_into().unwrap())];
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        params.self_signed(&key).unwrap().der().clone()
    };
    let rest = make(1000).len() - 1000;
    let made = make(bytes - rest);
    assert_eq!(made.len(), bytes);
    made
}

/// It would be nobody's business at the handshake: what it says is looked at when it is to prove
/// something.
#[test]
fn a_subject_of_another_kind_of_text_is_a_subject() {
    let mut params = params();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let old = DnValue::TeletexString("job".try_into().unwrap());
    params.distinguished_name.push(DnType::CommonName, old);
    let certificate = parsed(&self_signed(&params).0);
    assert_eq!(certificate.subject().to_string(), "CN=#14036a6f62");
    let names = |name: &str| certificate.names(&CertificateSubject::Dn(name.parse().unwrap()));
    assert!(names("CN=#14036A6F62"));
    assert!(!names("CN=job"));
}

#[test]
fn rfc_5280_section_4_2_1_10_an_authority_is_kept_to_its_names() {
    let mut limited = CertificateParams::new(Vec::new()).unwrap();
    limited.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    limited.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
        excluded_subtrees: Vec::new(),
    });
    let limited = CertifiedIssuer::self_signed(limited, KeyPair::generate().unwrap()).unwrap();
    let (now, trusted) = (at("2026-03-03T09:00:00Z"), Trusting::new(&limited, None));
    let called = |name: &str| {
        let mut params = params();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        issued(&params, &limited).0
    };
    assert_eq!(trusted.verify(&called("job.example"), now), Ok(()));
    assert_eq!(
        trusted.verify(&called("job.other"), now),
        Err(CertificateFault::Untrusted)
    );
}

#[test]
fn rfc_5280_section_5_what_an_authority_took_back_proves_nothing() {
    let ours = authority("Ours");
    let now = at("2026-03-03T09:00:00Z");
    let numbered = |serial: u8| {
        let mut params = params();
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        issued(&params, &ours).0
    };
    let (good, bad) = (numbered(1), numbered(2));
    let trusted = Trusting::new(&ours, Some(&revoked(&ours, &[2])));
    let untrusted = Err(CertificateFault::Untrusted);
    assert_eq!(trusted.verify(&good, now), Ok(()));
    assert_eq!(trusted.verify(&bad, now), untrusted);
    let late = at("2026-04-01T00:00:00Z");
    assert_eq!(trusted.verify(&good, late), untrusted, "an old list");

    // A list of another authority by that name, and one of another name, say nothing of ours.
    for other in [authority("Ours"), authority("Others")] {
        let foreign = Trusting::new(&ours, Some(&revoked(&other, &[])));
        assert_eq!(foreign.verify(&good, now), untrusted);
    }
}

#[test]
fn authorities_and_lists_are_read_again_when_they_change() {
    let (ours, next) = (authority("Ours"), authority("Next"));
    let now = at("2026-03-03T09:00:00Z");
    let (old, new) = (issued(&params(), &ours).0, issued(&params(), &next).0);
    let trusted = Trusting::new(&ours, Some(&revoked(&ours, &[])));
    let who = || [&old, &new].map(|one| trusted.verify(one, now).is_ok());
    assert_eq!(who(), [true, false]);
    assert!(!trusted.authorities.reload().unwrap(), "nothing changed");

    trusted.write("ca.pem", "nothing");
    let error = trusted.authorities.reload().unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
    assert!(!trusted.authorities.reload().unwrap(), "reported once");
    assert_eq!(who(), [true, false], "the old ones stay");

    trusted.write("ca.pem", &next.pem());
    trusted.write("crl.pem", "nothing");
    let error = trusted.authorities.reload().unwrap_err();
    assert!(error.to_string().contains("crl.pem"), "{error}");
    fs::remove_file(trusted.directory.path().join("crl.pem")).unwrap();
    let error = trusted.authorities.reload().unwrap_err();
    assert!(matches!(error, AuthoritiesError::Io { .. }), "{error}");
    assert_eq!(who(), [true, false], "the old ones stay");

    trusted.write("crl.pem", &revoked(&next, &[]));
    assert!(trusted.authorities.reload().unwrap());
    assert_eq!(who(), [false, true]);
}

#[test]
fn files_without_authorities_or_lists_are_refused() {
    let directory = TempDir::new().unwrap();
    let (ca, crl) = (
        directory.path().join("ca.pem"),
        directory.path().join("crl.pem"),
    );
    let open = |crl| ClientAuthorities::open(Some(&ca), crl);
    assert!(matches!(open(None), Err(AuthoritiesError::Io { .. })));
    fs::write(&ca, "nothing").unwrap();
    assert!(matches!(open(None), Err(AuthoritiesError::Pem { .. })));
    fs::write(&ca, authority("Ours").pem()).unwrap();
    assert!(open(None).is_ok());
    assert!(matches!(open(Some(&crl)), Err(AuthoritiesError::Io { .. })));
    // An empty list of lists would take back nothing.
    fs::write(&crl, authority("Ours").pem()).unwrap();
    assert!(matches!(
        open(Some(&crl)),
        Err(AuthoritiesError::Pem { .. })
    ));
    assert!(ClientAuthorities::open(None, None).is_ok());
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
