//! Who may vouch for certificates of clients: authorities and their revocation lists, from files that
//! are read again when they change.

use super::{CertificateFault, ClientCertificate};
use crate::tls::Seen;
use arc_swap::ArcSwapOption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, crypto};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, io};
use writ_core::Millis;

/// The authorities whose client certificates count (`tls.client_ca_file`).
pub struct ClientAuthorities {
    files: Option<Files>,
    current: ArcSwapOption<Arc<dyn ClientCertVerifier>>,
    seen: Seen,
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthorities")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// A file of authorities or revocation lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds nothing of that kind, or one that cannot be used.
    #[error("{path} holds no {wanted} in PEM that can be used")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Certificates of authorities, or revocation lists.
        wanted: &'static str,
    },
}

impl ClientAuthorities {
    /// Those of a file in PEM, or none. Where there is a file of revocation lists, each certificate
    /// between the client and the authority must be on the side of a list that is not out of date:
    /// what cannot be told counts as revoked.
    ///
    /// # Errors
    /// A file cannot be read, or holds nothing that could be used.
    pub fn open(ca: Option<&Path>, crl: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let files = ca.map(|ca| Files {
            ca: ca.to_owned(),
            crl: crl.map(Path::to_owned),
        });
        let (current, seen) = match &files {
            None => (None, [0; 32]),
            Some(files) => {
                let held = files.read()?;
                (Some(Arc::new(files.parse(&held)?)), held.digest())
            }
        };
        Ok(Self {
            files,
            current: ArcSwapOption::new(current),
            seen: Seen::new(seen),
        })
    }

    /// Looks at the files and takes what is new in them; says whether something was. What cannot be
    /// used changes nothing and is reported once.
    ///
    /// # Errors
    /// The files have changed and cannot be used.
    pub fn reload(&self) -> Result<bool, AuthoritiesError> {
        let Some(files) = &self.files else {
            return Ok(false);
        };
        self.seen.reload(
            || files.read(),
            Held::digest,
            |held| {
                self.current.store(Some(Arc::new(files.parse(&held)?)));
                Ok(())
            },
        )
    }

    /// Whether one of them vouches for a certificate now, as that of a client (RFC 5280 §6,
    /// §4.2.1.12).
    ///
    /// # Errors
    /// None does.
    pub fn verify(
        &self,
        certificate: &ClientCertificate,
        now: Millis,
    ) -> Result<(), CertificateFault> {
        let current = self.current.load();
        let verifier = current.as_ref().ok_or(CertificateFault::NoAuthority)?;
        let (own, others) = certificate
            .chain
            .split_first()
            .ok_or(CertificateFault::Malformed)?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        let verified = verifier.verify_client_cert(own, others, now);
        verified.map(drop).map_err(|_| CertificateFault::Untrusted)
    }
}

/// Where they are.
#[derive(Debug)]
struct Files {
    ca: PathBuf,
    crl: Option<PathBuf>,
}

/// What the files hold.
struct Held {
    ca: Vec<u8>,
    crl: Option<Vec<u8>>,
}

impl Held {
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.ca.len().to_be_bytes());
        hash.update(&self.ca);
        hash.update(self.crl.as_deref().unwrap_or_default());
        hash.finalize().into()
    }
}

impl Files {
    fn read(&self) -> Result<Held, AuthoritiesError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| AuthoritiesError::Io {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Held {
            ca: read(&self.ca)?,
            crl: self.crl.as_deref().map(read).transpose()?,
        })
    }

    fn parse(&self, held: &Held) -> Result<Arc<dyn ClientCertVerifier>, AuthoritiesError> {
        let no_authorities = || AuthoritiesError::Pem {
            path: self.ca.clone(),
            wanted: "certificates of authorities",
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&held.ca) {
            let certificate = certificate.map_err(|_| no_authorities())?;
            roots.add(certificate).map_err(|_| no_authorities())?;
        }
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let (Some(path), Some(pem)) = (&self.crl, &held.crl) else {
            return builder.build().map_err(|_| no_authorities());
        };
        let no_lists = || AuthoritiesError::Pem {
            path: path.clone(),
            wanted: "revocation lists",
        };
        let lists = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| no_lists())?;
        // Without any the library would not look for what is revoked.
        if lists.is_empty() {
            return Err(no_lists());
        }
        let builder = builder.with_crls(lists).enforce_revocation_expiration();
        builder.build().map_err(|error| match error {
            rustls::server::VerifierBuilderError::NoRootAnchors => no_authorities(),
            _ => no_lists(),
        })
    }
}
