//! Servers of others, on this machine: real TLS with certificates of a CA made for the test, and
//! answers that are whatever comes to somebody's mind.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The CA of all sites, and its certificate in a file.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

static CA: LazyLock<Ca> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Test");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
    Ca { issuer, directory }
});

/// Where the certificate of the CA is.
pub(super) fn ca_file() -> PathBuf {
    CA.directory.path().join("ca.pem")
}

/// What a site's certificate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    Good,
    Expired,
    /// Of nobody's.
    SelfSigned,
}

/// Writes what it wants for a path.
pub(super) type Handler = dyn Fn(&str, &mut dyn Write) + Send + Sync;

/// A server, until it is dropped.
pub(super) struct Site {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// One that answers for some names.
    pub(super) fn new(
        names: &[&str],
        handler: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static,
    ) -> Self {
        Self::with(Certificate::Good, names, handler)
    }

    /// One that shows a certificate.
    pub(super) fn with(
        certificate: Certificate,
        names: &[&str],
        handler: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static,
    ) -> Self {
        let tls = tls(certificate, names);
        let handler: Arc<Handler> = Arc::new(handler);
        Self::listen(move |stream, requests| {
            let connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                // A client that believes no certificate says nothing.
                if !matches!(stream.read_line(&mut request), Ok(1..)) {
                    return;
                }
            }
            requests.fetch_add(1, Ordering::SeqCst);
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let mut stream = stream.into_inner();
            handler(&path, &mut stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        })
    }

    /// One that speaks HTTP without TLS to everybody.
    pub(super) fn plain(answer: String) -> Self {
        Self::listen(move |mut stream, _| {
            let _ = stream.write_all(answer.as_bytes());
        })
    }

    /// One that says nothing, and keeps the connection until it has waited.
    pub(super) fn silent(wait: impl Fn() + Send + Sync + 'static) -> Self {
        Self::listen(move |stream, _| {
            wait();
            drop(stream);
        })
    }

    fn listen(serve: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let (seen, asked, stop) = (connections.clone(), requests.clone(), stopped.clone());
        let serve = Arc::new(serve);
        let accept = move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                seen.fetch_add(1, Ordering::SeqCst);
                let (serve, asked) = (Arc::clone(&serve), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream.unwrap(), &asked));
            }
        };
        Self {
            port,
            connections,
            requests,
            stopped,
            thread: Some(std::thread::spawn(accept)),
        }
    }

    /// How often somebody has connected.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn tls(certificate: Certificate, names: &[&str]) -> Arc<ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    if certificate == Certificate::Expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = match certificate {
        Certificate::SelfSigned => params.self_signed(&key).unwrap(),
        _ => params.signed_by(&key, &CA.issuer).unwrap(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// Holds whoever waits at it until it is opened. A clone is the same gate.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    pub(super) fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    /// Waits for so long at most, and says whether it is open.
    pub(super) fn wait_for(&self, time: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        *self
            .0
            .1
            .wait_timeout_while(open, time, |open| !*open)
            .unwrap()
            .0
    }
}

/// An answer of status 200 with headers of one's own.
pub(super) fn ok(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// A set of keys of these names.
pub(super) fn keys(kids: &[&str]) -> String {
    let keys: Vec<_> = kids
        .iter()
        .map(|kid| serde_json::json!({ "kty": "OKP", "kid": kid }))
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}

/// Writes an answer; the client may have heard enough.
pub(super) fn write(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
