//! TLS for the listeners: the certificate from its files, read again when they change, and the
//! self-signed one of `writ dev`. HTTP itself is elsewhere.

mod clients;

pub use clients::Clients;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use ureq::tls::{PemItem, parse_pem};
use writ_core::Millis;
use zeroize::Zeroizing;

use crate::clock::Random;
use clients::AnyClient;

/// How often the files are looked at: certificates are renewed days before they expire.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// How long a self-signed certificate is valid, in days.
const SELF_SIGNED_DAYS: i64 = 365;
/// A self-signed certificate is made anew when it would expire within so many days.
const SELF_SIGNED_RENEW_DAYS: u64 = 30;

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and the key do not belong together: perhaps one is not replaced yet.
    #[error("the certificate {cert} and the key {key} do not belong together")]
    Apart {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The file holds no PEM of that kind, or one that cannot be used.
    #[error("{path} holds no usable {wanted} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// A certificate, or a private key.
        wanted: &'static str,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made, or TLS not be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn setup(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Setup(Box::new(error))
}

/// Where distributions keep the certificates that the machine trusts.
pub const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The certificates of a bundle in PEM, for the clients of this process to trust. A bundle with one
/// bad entry is still good for the others.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<ureq::tls::Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}

/// Makes AWS-LC the cryptography of every TLS connection of this process, those of clients
/// included. Call it once, before the first; a second call changes nothing.
pub fn install_provider() {
    // The error only says that a provider was installed before.
    let _ = default_provider().install_default();
}

/// A certificate with its key that is replaced while connections go on.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    seen: Seen,
}

/// The digest of what files held when they were last looked at, good or bad.
#[derive(Debug)]
pub(crate) struct Seen(Mutex<[u8; 32]>);

impl Seen {
    /// What they hold now.
    pub(crate) fn new(digest: [u8; 32]) -> Self {
        Self(Mutex::new(digest))
    }

    /// Looks at the files and has what is new in them taken; says whether something was. What cannot
    /// be read or taken is reported once: the next look reports it only if the files have changed
    /// again. One look at a time, so that what is older never replaces what is newer.
    ///
    /// # Errors
    /// The files have changed and cannot be used.
    pub(crate) fn reload<T, E>(
        &self,
        read: impl FnOnce() -> Result<T, E>,
        digest: impl FnOnce(&T) -> [u8; 32],
        take: impl FnOnce(T) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The contents are compared: a time stamp can be too coarse, or be kept by a copy.
        let held = read();
        let digest = held.as_ref().map_or([0; 32], digest);
        if *seen == digest {
            return Ok(false);
        }
        *seen = digest;
        take(held?)?;
        Ok(true)
    }
}

impl Certificate {
    /// Reads a certificate chain and its private key from their PEM files.
    ///
    /// # Errors
    /// A file cannot be read, holds something else, or they do not belong together.
    pub fn open(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(default_provider());
        let files = Files::read(cert, key)?;
        let current = files.parse(cert, key, &provider)?;
        Ok(Arc::new(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            provider,
            current: ArcSwap::from_pointee(current),
            seen: Seen::new(files.digest()),
        }))
    }

    /// Looks at the files and takes what is new in them; says whether something was. New
    /// connections get the new certificate. What cannot be used changes nothing and is reported
    /// once: the next look reports it only if the files have changed again.
    ///
    /// # Errors
    /// The files have changed and cannot be used.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let read = || Files::read(&self.cert, &self.key);
        self.seen.reload(read, Files::digest, |files| {
            let fresh = files.parse(&self.cert, &self.key, &self.provider)?;
            self.current.store(Arc::new(fresh));
            Ok(())
        })
    }

    /// Looks at the files again and again until the answer is dropped.
    ///
    /// # Errors
    /// See [`watch`].
    pub fn watch(self: &Arc<Self>, every: Duration) -> Result<Watch, TlsError> {
        let this = Arc::clone(self);
        watch("certificate", every, move || this.reload())
    }

    /// The configuration of a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, sessions
    /// resumed by tickets, no early data.
    ///
    /// # Errors
    /// The cryptographic library refused.
    pub fn server_config(self: &Arc<Self>, clients: Clients) -> Result<ServerConfig, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?;
        let builder = match clients {
            Clients::Anonymous => builder.with_no_client_auth(),
            Clients::MayShowCertificate => {
                builder.with_client_cert_verifier(Arc::new(AnyClient(Arc::clone(&self.provider))))
            }
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Stateless tickets: a resumed session costs a tenth of a handshake, on any thread.
        config.ticketer = Ticketer::new().map_err(setup)?;
        Ok(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

/// Looks again and again whether something changed, in a thread of its own, until the answer is
/// dropped. `reload` says whether it took something new, or why it could not.
///
/// # Errors
/// The thread cannot be started.
pub fn watch<E: std::error::Error + 'static>(
    what: &'static str,
    every: Duration,
    reload: impl Fn() -> Result<bool, E> + Send + 'static,
) -> Result<Watch, TlsError> {
    let (stop, stopped) = channel::<()>();
    let look = move || {
        while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            match reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!(what, "its files have changed and are read again"),
                Err(error) => tracing::error!(
                    what,
                    error = &error as &dyn std::error::Error,
                    "its files have changed and cannot be used; what they held before stays"
                ),
            }
        }
    };
    let thread = std::thread::Builder::new().name("tls-reload".to_owned());
    thread.spawn(look).map_err(setup)?;
    Ok(Watch { _stop: stop })
}

/// Keeps the watching thread alive; dropping it ends that.
#[derive(Debug)]
pub struct Watch {
    _stop: Sender<()>,
}

/// What the two files hold.
struct Files {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            let io = |source| TlsError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            };
            fs::read(path).map_err(io)
        };
        Ok(Self {
            cert: read(cert)?,
            key: Zeroizing::new(read(key)?),
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.cert.len().to_be_bytes());
        hash.update(&self.cert);
        hash.update(&*self.key);
        hash.finalize().into()
    }

    fn parse(
        &self,
        cert: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let no_cert = || TlsError::Pem {
            path: cert.to_owned(),
            wanted: "certificate",
        };
        let no_key = || TlsError::Pem {
            path: key.to_owned(),
            wanted: "private key",
        };
        let chain = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| no_cert())?;
        if chain.is_empty() {
            return Err(no_cert());
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| no_key())?;
        let signing = provider
            .key_provider
            .load_private_key(private)
            .map_err(|_| no_key())?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Apart {
                cert: cert.to_owned(),
                key: key.to_owned(),
            }),
            Err(_) => Err(no_cert()),
        }
    }
}

/// The self-signed pair of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// `cert.pem`: also what clients trust (`curl --cacert`).
    pub cert: PathBuf,
    /// `key.pem`, of mode 0600.
    pub key: PathBuf,
    /// Whether the pair was made just now.
    pub is_new: bool,
}

/// A self-signed certificate for `localhost`, `127.0.0.1` and `::1`: the one in the directory, or
/// a new one where there is none, or none that is good for another month. For development: it
/// proves nothing to anybody who was not given it.
///
/// # Errors
/// The directory cannot be written.
pub fn self_signed(
    directory: &Path,
    now: Millis,
    random: &dyn Random,
) -> Result<SelfSigned, TlsError> {
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    if is_good_at(
        &cert,
        &key,
        now.plus_seconds(SELF_SIGNED_RENEW_DAYS * 86_400),
    ) {
        return Ok(SelfSigned {
            cert,
            key,
            is_new: false,
        });
    }
    let (cert_pem, key_pem) = make_self_signed(now, random)?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Io {
            action: "write",
            path,
            source,
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io(directory))?;
    // The key first: a crash in between leaves a pair that does not match, and is made again.
    write_new(&key, key_pem.as_bytes(), 0o600).map_err(io(&key))?;
    write_new(&cert, cert_pem.as_bytes(), 0o644).map_err(io(&cert))?;
    Ok(SelfSigned {
        cert,
        key,
        is_new: true,
    })
}

/// Writes a file beside and moves it into its place, so that nobody reads half of it.
fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    // The mode of `open` is subject to the umask, which may be too strict for the certificate.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether the pair is there, belongs together, and is valid for localhost at a moment.
fn is_good_at(cert: &Path, key: &Path, at: Millis) -> bool {
    let provider = Arc::new(default_provider());
    let Ok(files) = Files::read(cert, key) else {
        return false;
    };
    let Ok(certified) = files.parse(cert, key, &provider) else {
        return false;
    };
    let Ok(end_entity) = certified.end_entity_cert() else {
        return false;
    };
    let mut roots = RootCertStore::empty();
    if roots.add(end_entity.clone().into_owned()).is_err() {
        return false;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.seconds()));
    match (verifier, ServerName::try_from("localhost")) {
        (Ok(verifier), Ok(name)) => verifier
            .verify_server_cert(end_entity, &[], &name, &[], at)
            .is_ok(),
        _ => false,
    }
}

fn make_self_signed(
    now: Millis,
    random: &dyn Random,
) -> Result<(String, Zeroizing<String>), TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(setup)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(setup)?;
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Writ (development)");
    let day = |days: i64| -> Result<_, TlsError> {
        let ms = i64::try_from(now.0).map_err(setup)? + days * 86_400_000;
        let date = jiff::Timestamp::from_millisecond(ms).map_err(setup)?;
        let date = jiff::tz::Offset::UTC.to_datetime(date).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        Ok(date_time_ymd(date.year().into(), month, day))
    };
    // Since yesterday: the clocks of others may be behind.
    params.not_before = day(-1)?;
    params.not_after = day(SELF_SIGNED_DAYS)?;
    // Not a CA: whoever trusts it trusts this one server, and no certificate made with its key.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut serial = [0u8; 16];
    random.fill(&mut serial);
    // Positive and never zero (RFC 5280 §4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let cert = params.self_signed(&key).map_err(setup)?;
    Ok((cert.pem(), Zeroizing::new(key.serialize_pem())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::{Clock, SystemClock, SystemRandom};
    use rustls::{ClientConfig, ClientConnection, ServerConnection};
    use std::os::unix::fs::MetadataExt;

    /// Shakes hands in memory, and says which certificate and protocol the client got.
    fn handshake(
        server: &Arc<ServerConfig>,
        trusted: &Path,
        name: &'static str,
        alpn: &[&str],
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), rustls::Error> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(trusted).unwrap() {
            roots.add(cert.unwrap()).unwrap();
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        let mut rounds = 0;
        while client.is_handshaking() || server.is_handshaking() {
            rounds += 1;
            assert!(rounds < 100, "the handshake has no end");
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        let got = client
            .peer_certificates()
            .unwrap()
            .first()
            .unwrap()
            .to_vec();
        Ok((got, client.alpn_protocol().map(<[u8]>::to_vec)))
    }

    fn make(directory: &Path) -> SelfSigned {
        self_signed(directory, SystemClock.now(), &SystemRandom).unwrap()
    }

    #[test]
    fn a_client_that_trusts_the_self_signed_certificate_gets_through() {
        let directory = tempfile::tempdir().unwrap();
        let pair = make(directory.path());
        assert!(pair.is_new);
        assert_eq!(pair.key.metadata().unwrap().mode() & 0o7777, 0o600);
        let server = Arc::new(
            Certificate::open(&pair.cert, &pair.key)
                .unwrap()
                .server_config(Clients::Anonymous)
                .unwrap(),
        );
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(handshake(&server, &pair.cert, name, &[]).is_ok(), "{name}");
        }
        assert!(handshake(&server, &pair.cert, "example.com", &[]).is_err());
        let both = handshake(&server, &pair.cert, "localhost", &["http/1.1", "h2"]).unwrap();
        assert_eq!(both.1.as_deref(), Some(&b"h2"[..]));
        let old = handshake(&server, &pair.cert, "localhost", &["http/1.1"]).unwrap();
        assert_eq!(old.1.as_deref(), Some(&b"http/1.1"[..]));

        let other = tempfile::tempdir().unwrap();
        let stranger = make(other.path());
        assert!(handshake(&server, &stranger.cert, "localhost", &[]).is_err());
    }

    #[test]
    fn a_self_signed_certificate_stays_until_it_is_about_to_expire() {
        let directory = tempfile::tempdir().unwrap();
        let first = make(directory.path());
        let text = fs::read(&first.cert).unwrap();
        assert!(!make(directory.path()).is_new);
        assert_eq!(fs::read(&first.cert).unwrap(), text);
        let late = SystemClock.now().plus_seconds(340 * 86_400);
        let renewed = self_signed(directory.path(), late, &SystemRandom).unwrap();
        assert!(renewed.is_new);
        assert_ne!(fs::read(&first.cert).unwrap(), text);
        fs::write(&first.key, "broken").unwrap();
        assert!(
            self_signed(directory.path(), late, &SystemRandom)
                .unwrap()
                .is_new
        );
    }

    #[test]
    fn a_new_pair_is_taken_and_a_broken_one_is_not() {
        let [one, two] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let (first, second) = (make(one.path()), make(two.path()));
        let certificate = Certificate::open(&first.cert, &first.key).unwrap();
        let server = Arc::new(certificate.server_config(Clients::Anonymous).unwrap());
        let old = handshake(&server, &first.cert, "localhost", &[]).unwrap().0;
        assert!(!certificate.reload().unwrap());

        // Half of a new pair, as a look in the middle of a renewal sees it.
        fs::copy(&second.cert, &first.cert).unwrap();
        let error = certificate.reload().unwrap_err();
        assert!(matches!(error, TlsError::Apart { .. }), "{error:?}");
        assert!(!certificate.reload().unwrap(), "reported once");
        fs::write(&first.key, "not a key").unwrap();
        assert!(matches!(certificate.reload(), Err(TlsError::Pem { .. })));
        fs::remove_file(&first.key).unwrap();
        assert!(matches!(certificate.reload(), Err(TlsError::Io { .. })));
        assert!(!certificate.reload().unwrap(), "reported once");
        assert!(
            handshake(&server, &second.cert, "localhost", &[]).is_err(),
            "the old one stays"
        );

        fs::copy(&second.key, &first.key).unwrap();
        assert!(certificate.reload().unwrap());
        let new = handshake(&server, &second.cert, "localhost", &[])
            .unwrap()
            .0;
        assert_ne!(new, old);
    }

    #[test]
    fn a_watched_certificate_changes_by_itself() {
        let [one, two] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let (first, second) = (make(one.path()), make(two.path()));
        let certificate = Certificate::open(&first.cert, &first.key).unwrap();
        let server = Arc::new(certificate.server_config(Clients::Anonymous).unwrap());
        let _watch = certificate.watch(Duration::from_millis(5)).unwrap();
        fs::copy(&second.cert, &first.cert).unwrap();
        fs::copy(&second.key, &first.key).unwrap();
        let waiting = crate::clock::Stopwatch::start();
        while handshake(&server, &second.cert, "localhost", &[]).is_err() {
            assert!(
                waiting.elapsed() < Duration::from_secs(30),
                "the new pair was never taken"
            );
        }
    }

    #[test]
    fn files_that_hold_something_else_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let pair = make(directory.path());
        let missing = directory.path().join("missing");
        assert!(matches!(
            Certificate::open(&missing, &pair.key),
            Err(TlsError::Io { .. })
        ));
        for (cert, key) in [(&pair.key, &pair.key), (&pair.cert, &pair.cert)] {
            assert!(matches!(
                Certificate::open(cert, key),
                Err(TlsError::Pem { .. })
            ));
        }
    }
}
