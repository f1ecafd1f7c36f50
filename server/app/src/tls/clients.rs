//! What clients show of themselves in the handshake.

use crate::client_certificate::ClientCertificate;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::sync::Arc;

/// What clients of a listener are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nothing.
    Anonymous,
    /// A certificate, if they have one (RFC 8705 §2).
    MayShowCertificate,
}

/// Takes every certificate whose key the client has. What it proves is another question, asked at
/// each request, for it depends on the application: some have certificates that nobody else
/// vouches for. So no authorities are named to clients either.
#[derive(Debug)]
pub(super) struct AnyClient(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = std::iter::once(own)
            .chain(others)
            .map(|der| der.clone().into_owned());
        match ClientCertificate::parse(chain.collect()) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::client_certificate::tests::{authority, issued, of_bytes, params, self_signed};
    use crate::client_certificate::{CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_MAX};
    use crate::clock::{Clock, SystemClock, SystemRandom};
    use crate::tls::{self, Certificate};
    use rcgen::{KeyPair, date_time_ymd};
    use rustls::client::ResolvesClientCert;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::sign::CertifiedKey;
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConfig,
        ServerConnection, SupportedProtocolVersion,
    };

    const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

    struct Listener {
        config: Arc<ServerConfig>,
        roots: RootCertStore,
    }

    fn listener(clients: Clients) -> Listener {
        let directory = tempfile::tempdir().unwrap();
        let pair = tls::self_signed(directory.path(), SystemClock.now(), &SystemRandom).unwrap();
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(&pair.cert).unwrap();
        roots.add(own).unwrap();
        let certificate = Certificate::open(&pair.cert, &pair.key).unwrap();
        Listener {
            config: Arc::new(certificate.server_config(clients).unwrap()),
            roots,
        }
    }

    /// Shows what it is told to, whether the key fits or not.
    #[derive(Debug)]
    struct Shows(Option<Arc<CertifiedKey>>);

    impl ResolvesClientCert for Shows {
        fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            assert!(hints.is_empty(), "one whom nobody vouches for stays away");
            self.0.clone()
        }

        fn has_certs(&self) -> bool {
            self.0.is_some()
        }
    }

    impl Listener {
        fn client(
            &self,
            version: &'static SupportedProtocolVersion,
            shows: Option<(Vec<CertificateDer<'static>>, &KeyPair)>,
        ) -> Arc<ClientConfig> {
            let provider = Arc::new(default_provider());
            let shows = shows.map(|(chain, key)| {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                let key = provider.key_provider.load_private_key(key).unwrap();
                Arc::new(CertifiedKey::new(chain, key))
            });
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(self.roots.clone())
                .with_client_cert_resolver(Arc::new(Shows(shows)));
            Arc::new(config)
        }

        /// Shakes hands in memory; what the server knows of its client then.
        fn shake(&self, client: &Arc<ClientConfig>) -> Result<ServerConnection, Error> {
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = ClientConnection::new(Arc::clone(client), name)?;
            let mut server = ServerConnection::new(Arc::clone(&self.config))?;
            // Tickets come after the handshake.
            while client.wants_write() || server.wants_write() {
                let mut wire = Vec::new();
                while client.wants_write() {
                    client.write_tls(&mut wire).unwrap();
                }
                let mut wire = wire.as_slice();
                while !wire.is_empty() {
                    server.read_tls(&mut wire).unwrap();
                    server.process_new_packets()?;
                }
                let mut wire = Vec::new();
                while server.wants_write() {
                    server.write_tls(&mut wire).unwrap();
                }
                let mut wire = wire.as_slice();
                while !wire.is_empty() {
                    client.read_tls(&mut wire).unwrap();
                    client.process_new_packets()?;
                }
            }
            assert!(!client.is_handshaking() && !server.is_handshaking());
            Ok(server)
        }
    }

    #[test]
    fn a_client_needs_no_certificate_and_is_not_asked_where_none_counts() {
        let (certificate, key) = self_signed(&params());
        for version in VERSIONS {
            let optional = listener(Clients::MayShowCertificate);
            let server = optional.shake(&optional.client(version, None)).unwrap();
            assert_eq!(server.peer_certificates(), None);
            let anonymous = listener(Clients::Anonymous);
            let client = anonymous.client(version, Some((vec![certificate.clone()], &key)));
            let server = anonymous.shake(&client).unwrap();
            assert_eq!(server.peer_certificates(), None);
        }
    }

    #[test]
    fn rfc_8705_section_2_2_a_client_shows_any_certificate_whose_key_it_has() {
        let listener = listener(Clients::MayShowCertificate);
        let mut old = params();
        old.not_after = date_time_ymd(2021, 1, 1);
        for version in VERSIONS {
            for (certificate, key) in [
                self_signed(&params()),
                issued(&params(), &authority("Anyone")),
                self_signed(&old),
            ] {
                let chain = vec![certificate, authority("Whoever").der().clone()];
                let client = listener.client(version, Some((chain.clone(), &key)));
                let server = listener.shake(&client).unwrap();
                assert_eq!(server.peer_certificates(), Some(&*chain));
            }
        }
    }

    #[test]
    fn what_is_no_certificate_or_somebody_elses_ends_the_handshake() {
        let listener = listener(Clients::MayShowCertificate);
        let (certificate, key) = self_signed(&params());
        let cut = CertificateDer::from(certificate[..certificate.len() - 1].to_vec());
        let more = CertificateDer::from([&*certificate, &[0]].concat());
        let encoding = CertificateError::BadEncoding;
        for version in VERSIONS {
            for (chain, fault) in [
                (vec![vec![0x30, 0].into()], &encoding),
                (vec![cut.clone()], &encoding),
                (vec![more.clone()], &encoding),
                (vec![certificate.clone(); CHAIN_MAX + 1], &encoding),
                // The key of another.
                (
                    vec![self_signed(&params()).0],
                    &CertificateError::BadSignature,
                ),
            ] {
                let client = listener.client(version, Some((chain, &key)));
                let refused = listener.shake(&client).unwrap_err();
                assert_eq!(refused, Error::InvalidCertificate(fault.clone()));
            }
        }
    }

    #[test]
    fn a_session_that_goes_on_has_the_same_certificate() {
        let listener = listener(Clients::MayShowCertificate);
        let (certificate, key) = self_signed(&params());
        // A ticket has the whole chain in it, up to the longest that is taken.
        let left = CHAIN_BYTES_MAX - CERTIFICATE_BYTES_MAX - certificate.len();
        let long = vec![
            certificate.clone(),
            of_bytes(CERTIFICATE_BYTES_MAX),
            of_bytes(left),
        ];
        for version in VERSIONS {
            for chain in [vec![certificate.clone()], long.clone()] {
                let client = listener.client(version, Some((chain.clone(), &key)));
                let first = listener.shake(&client).unwrap();
                assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
                let second = listener.shake(&client).unwrap();
                assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
                assert_eq!(second.peer_certificates(), Some(&*chain));
            }
            let nobody = listener.client(version, None);
            listener.shake(&nobody).unwrap();
            let second = listener.shake(&nobody).unwrap();
            assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(second.peer_certificates(), None);
        }
    }
}
