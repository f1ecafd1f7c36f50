//! A certificate of a client in DER, or a distinguished name as text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use writ::client_certificate::{
    CertificateFault, ClientAuthorities, ClientCertificate, DistinguishedName,
};
use writ_core::CertificateSubject;
use writ_fuzz::{NOW, reads_back};

/// An authority whose key nobody has.
static AUTHORITIES: LazyLock<ClientAuthorities> = LazyLock::new(|| {
    let ca = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ca.pem"));
    ClientAuthorities::open(Some(ca), None).expect("a certificate")
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        reads_back::<DistinguishedName>(text);
    }
    let Ok(certificate) = ClientCertificate::parse(vec![data.to_vec().into()]) else {
        return;
    };
    let untrusted = Err(CertificateFault::Untrusted);
    assert_eq!(
        AUTHORITIES.verify(&certificate, NOW),
        untrusted,
        "vouched for by nobody"
    );
    let _ = certificate.is_valid(NOW);
    // What it is shown as names it, or nobody.
    let shown = certificate.subject().to_string();
    if let Ok(read) = shown.parse::<DistinguishedName>() {
        assert_eq!(&read, certificate.subject(), "shown as {shown:?}");
        if let Ok(text) = shown.parse() {
            assert!(certificate.names(&CertificateSubject::Dn(text)));
        }
    }
});
