//! Certificates of clients: what one says, and whether an authority that this node trusts vouches
//! for it. That the client has its key was proved by the handshake, or a trusted proxy says so;
//! which application it proves is for `issue/authenticate/certificate.rs`.

mod authorities;
mod name;

pub use authorities::{AuthoritiesError, ClientAuthorities};
pub use name::{DistinguishedName, ParseDistinguishedNameError};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use writ_core::{CertificateSubject, Millis};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Longest certificate, in bytes: some have dozens of names.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Most certificates of a chain, the client's own included.
pub const CHAIN_MAX: usize = 8;
/// Longest chain, in bytes. Each ticket of a session holds the whole of it, two come at once, and a
/// client of rustls takes 64 KiB of that at most: with 32 KiB it breaks the connection off.
pub const CHAIN_BYTES_MAX: usize = 24 * 1024;

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is no certificate, too long, or comes with too many others.
    #[error("not a certificate of X.509, or too long")]
    Malformed,
    /// This node trusts no authority (`tls.client_ca_file`).
    #[error("this node trusts no authority for client certificates: set tls.client_ca_file")]
    NoAuthority,
    /// The authority does not vouch for it now.
    #[error("no trusted authority vouches for it now")]
    Untrusted,
}

/// What a client's certificate says. Made by [`Self::parse`] alone.
#[derive(Clone)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    sha256: [u8; 32],
    subject: DistinguishedName,
    dns: Vec<String>,
    uris: Vec<String>,
    ips: Vec<IpAddr>,
    emails: Vec<String>,
    not_before: i64,
    not_after: i64,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl ClientCertificate {
    /// Reads the client's certificate, which is the first, and keeps those that lead to its
    /// authority.
    ///
    /// # Errors
    /// [`CertificateFault::Malformed`].
    pub fn parse(chain: Vec<CertificateDer<'static>>) -> Result<Self, CertificateFault> {
        let malformed = CertificateFault::Malformed;
        let fits = |der: &CertificateDer<'_>| der.len() <= CERTIFICATE_BYTES_MAX;
        let bytes: usize = chain.iter().map(|der| der.len()).sum();
        if chain.len() > CHAIN_MAX || bytes > CHAIN_BYTES_MAX || !chain.iter().all(fits) {
            return Err(malformed);
        }
        let der = chain.first().ok_or_else(|| malformed.clone())?;
        let (rest, found) = X509Certificate::from_der(der).map_err(|_| malformed.clone())?;
        if !rest.is_empty() {
            return Err(malformed);
        }
        let mut this = Self {
            sha256: Sha256::digest(der).into(),
            subject: DistinguishedName::of(found.subject()).ok_or_else(|| malformed.clone())?,
            dns: Vec::new(),
            uris: Vec::new(),
            ips: Vec::new(),
            emails: Vec::new(),
            not_before: found.validity().not_before.timestamp(),
            not_after: found.validity().not_after.timestamp(),
            chain: Vec::new(),
        };
        let names = found.subject_alternative_name().map_err(|_| malformed)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => this.dns.push((*name).to_owned()),
                GeneralName::URI(name) => this.uris.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => this.emails.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => this.ips.extend(address(bytes)),
                _ => {}
            }
        }
        this.chain = chain;
        Ok(this)
    }

    /// SHA-256 of the certificate in DER (RFC 8705 §3.1).
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Its subject.
    #[must_use]
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// Whether it is within its period of validity. RFC 8705 asks that of no self-signed one; but a
    /// period that its owner chose is worth keeping to.
    #[must_use]
    pub fn is_valid(&self, now: Millis) -> bool {
        let now = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether it names this subject (RFC 8705 §2.1.2): one of its names is it, exactly. Host names
    /// are compared without regard to case, and a wildcard is a name like others. How distinguished
    /// names are compared says [`DistinguishedName`]; a text that is none names nobody.
    #[must_use]
    pub fn names(&self, subject: &CertificateSubject) -> bool {
        match subject {
            CertificateSubject::Dn(name) => name.as_str().parse().as_ref() == Ok(&self.subject),
            CertificateSubject::Dns(name) => {
                let same = |one: &String| one.eq_ignore_ascii_case(name.as_str());
                self.dns.iter().any(same)
            }
            CertificateSubject::Uri(name) => self.uris.iter().any(|one| one == name.as_str()),
            CertificateSubject::Ip(address) => self.ips.contains(address),
            CertificateSubject::Email(name) => self.emails.iter().any(|one| one == name.as_str()),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
