//! Certificates of clients over real connections: from the socket to the token.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::client_certificate::tests::{authority, between, digest, issued, params, self_signed};
use crate::clock::Clock;
use crate::testing::TestServer;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertifiedIssuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use writ_core::{
    Authentication, AuthenticationMethod as M, CertificateDigest, CertificateSubject, Command,
    SecurityProfile, TokenProfile,
};

type Shown = (Vec<CertificateDer<'static>>, KeyPair);

/// A server with a listener whose clients may show certificates.
struct Listening {
    server: TestServer,
    address: SocketAddr,
    handle: ServerHandle,
    roots: RootCertStore,
}

impl Listening {
    fn new(server: TestServer, may_show: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = tls::self_signed(directory.path(), SystemClock.now(), &SystemRandom).unwrap();
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(&pair.cert).unwrap();
        roots.add(own).unwrap();
        let certificate = Certificate::open(&pair.cert, &pair.key).unwrap();
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::default();
        config.tls.client_certificates = may_show;
        config.http.workers = 1;
        let surface = Surface {
            public: true,
            admin: false,
        };
        let front = front(&config, &server.app, listener, Some(&certificate), surface).unwrap();
        let handle = front.handle();
        actix_web::rt::spawn(front);
        Self {
            server,
            address,
            handle,
            roots,
        }
    }

    fn client(&self, alpn: &str, shows: Option<&Shown>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match shows {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config.with_client_auth_cert(chain.clone(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// Asks for a token over a new connection; its answer, and how the connection began.
    async fn ask(
        &self,
        client: &Arc<ClientConfig>,
        id: &str,
        headers: &[(&str, String)],
    ) -> (Value, HandshakeKind) {
        let (address, client) = (self.address, Arc::clone(client));
        let form = format!("grant_type=client_credentials&client_id={id}&scope=courses:read");
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let asking = move || {
            let name = ServerName::try_from("localhost").unwrap();
            let connection = ClientConnection::new(client, name).unwrap();
            let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
            stream.flush().unwrap();
            let body = match stream.conn.alpn_protocol() {
                Some(b"h2") => over_http2(&mut stream, &form),
                _ => over_http1(&mut stream, &form, &headers),
            };
            let answer = serde_json::from_slice(&body).unwrap();
            (answer, stream.conn.handshake_kind().unwrap())
        };
        tokio::task::spawn_blocking(asking).await.unwrap()
    }

    async fn stop(self) {
        self.handle.stop(true).await;
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn over_http1(stream: &mut Stream, form: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
        form.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{request}\r\n{form}").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.split_off(head.unwrap() + 4)
}

/// RFC 9113, as much of it as one request needs.
fn over_http2(stream: &mut Stream, form: &str) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, id: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, id], payload].concat()
    };
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/oauth2/token"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        // A literal that is not indexed, by a new name (RFC 7541 §6.2.2).
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let (settings, headers, data) = (
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &block),
        frame(0, 1, 1, form.as_bytes()),
    );
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &*settings,
        &headers,
        &data,
    ]
    .concat();
    stream.write_all(&request).unwrap();
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, .., id] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
        stream.read_exact(&mut payload).unwrap();
        assert!(
            kind != 3 && kind != 7,
            "reset or told to go away: {payload:?}"
        );
        if id == 1 && kind == 0 {
            body.extend_from_slice(&payload);
        }
        if id == 1 && kind < 2 && flags & 1 == 1 {
            return body;
        }
    }
}

const COURSES: &str = "https://courses.example/api";

/// An application that proves itself so.
async fn application(server: &TestServer, own: Authentication) -> String {
    let index = server.app.index();
    let api = match index.api_identified(COURSES) {
        Some(api) => api.id,
        None => {
            let profile = TokenProfile::default();
            server.api(COURSES, &["courses:read"], profile).await
        }
    };
    let job = server.application(api, &["courses:read"]).await;
    let change = Command::ChangeAuthentication {
        application: job.id(),
        authentication: Some(Box::new(own)),
    };
    server.execute(change).await;
    job.client_id
}

fn by_digest(certificate: &CertificateDer<'_>) -> Authentication {
    Authentication {
        methods: vec![M::SelfSignedTlsClientAuth],
        certificates: vec![CertificateDigest(digest(certificate))],
        profile: SecurityProfile::Fapi2,
        ..Authentication::default()
    }
}

fn by_name(name: &str) -> Authentication {
    Authentication {
        methods: vec![M::TlsClientAuth],
        certificate_subject: Some(CertificateSubject::Dns(name.parse().unwrap())),
        profile: SecurityProfile::Fapi2,
        ..Authentication::default()
    }
}

fn alone((certificate, key): (CertificateDer<'static>, KeyPair)) -> Shown {
    (vec![certificate], key)
}

/// The certificate that a token is bound to (RFC 8705 §3.1).
#[track_caller]
fn bound_to(answer: &Value) -> String {
    let token = answer["access_token"].as_str().unwrap_or_else(|| {
        panic!("{answer}");
    });
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    claims["cnf"]["x5t#S256"].as_str().unwrap().to_owned()
}

fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    URL_SAFE_NO_PAD.encode(digest(certificate))
}

#[actix_web::test]
async fn rfc_8705_section_2_2_a_certificate_of_the_connection_proves_an_application() {
    let shown = alone(self_signed(&params()));
    let listening = Listening::new(TestServer::new(), true);
    let id = application(&listening.server, by_digest(&shown.0[0])).await;
    let stranger = alone(self_signed(&params()));
    for alpn in ["http/1.1", "h2"] {
        let client = listening.client(alpn, Some(&shown));
        let (answer, began) = listening.ask(&client, &id, &[]).await;
        assert_eq!(bound_to(&answer), thumbprint(&shown.0[0]), "{alpn}");
        assert_eq!(began, HandshakeKind::Full);
        // Whoever goes on with a session is still who began it.
        let (answer, began) = listening.ask(&client, &id, &[]).await;
        assert_eq!(bound_to(&answer), thumbprint(&shown.0[0]), "{alpn}");
        assert_eq!(began, HandshakeKind::Resumed);
        for wrong in [None, Some(&stranger)] {
            let client = listening.client(alpn, wrong);
            let (answer, _) = listening.ask(&client, &id, &[]).await;
            assert_eq!(answer["error"], "invalid_client", "{answer}");
        }
    }
    listening.stop().await;
}

#[actix_web::test]
async fn a_listener_that_asks_for_no_certificate_gets_none() {
    let shown = alone(self_signed(&params()));
    let listening = Listening::new(TestServer::new(), false);
    let id = application(&listening.server, by_digest(&shown.0[0])).await;
    let client = listening.client("http/1.1", Some(&shown));
    let (answer, _) = listening.ask(&client, &id, &[]).await;
    assert_eq!(answer["error"], "invalid_client", "{answer}");
    listening.stop().await;
}

/// A server that trusts an authority, and a directory that the authority's file is in.
fn trusting(ca: &CertifiedIssuer<'static, KeyPair>, proxies: &[&str]) -> (TestServer, PathBuf) {
    let server = TestServer::new();
    let file = server.data_dir().with_file_name("ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    let server = server.restart_with(|config| {
        config.tls.client_ca_file = Some(file.clone());
        config.proxies.trusted = proxies.iter().map(|text| text.parse().unwrap()).collect();
    });
    (server, file)
}

#[actix_web::test]
async fn rfc_8705_section_2_1_an_authority_vouches_for_the_name_of_an_application() {
    let (ours, next) = (authority("Ours"), authority("Next"));
    let (server, file) = trusting(&ours, &[]);
    let listening = Listening::new(server, true);
    let id = application(&listening.server, by_name("job.example")).await;
    let other = application(&listening.server, by_name("other.example")).await;
    let [old, new] = [&ours, &next].map(|by| alone(issued(&params(), by)));
    let [by_old, by_new] = [&old, &new].map(|one| listening.client("http/1.1", Some(one)));
    let (answer, _) = listening.ask(&by_old, &id, &[]).await;
    assert_eq!(bound_to(&answer), thumbprint(&old.0[0]));
    for (client, id) in [(&by_old, &other), (&by_new, &id)] {
        let (answer, _) = listening.ask(client, id, &[]).await;
        assert_eq!(answer["error"], "invalid_client", "{answer}");
    }
    // Another authority: it counts at once, on sessions that go on as well.
    std::fs::write(&file, next.pem()).unwrap();
    assert!(listening.server.app.client_ca.reload().unwrap());
    let (answer, _) = listening.ask(&by_new, &id, &[]).await;
    assert_eq!(bound_to(&answer), thumbprint(&new.0[0]));
    let (answer, began) = listening.ask(&by_old, &id, &[]).await;
    assert_eq!(answer["error"], "invalid_client", "{answer}");
    assert_eq!(began, HandshakeKind::Resumed);
    listening.stop().await;
}

#[actix_web::test]
async fn rfc_9440_section_2_a_proxy_speaks_for_its_clients_and_not_for_itself() {
    let ours = authority("Ours");
    let between = between(&ours);
    let (server, _) = trusting(&ours, &["127.0.0.1"]);
    let listening = Listening::new(server, true);
    let proxy = alone(self_signed(&params()));
    let of_proxy = application(&listening.server, by_digest(&proxy.0[0])).await;
    let id = application(&listening.server, by_name("job.example")).await;
    let own = issued(&params(), &between).0;
    let header = |der: &CertificateDer<'_>| format!(":{}:", STANDARD.encode(der));
    let whole = [
        ("client-cert", header(&own)),
        ("client-cert-chain", header(between.der())),
    ];
    let client = listening.client("http/1.1", Some(&proxy));
    let (answer, _) = listening.ask(&client, &id, &whole).await;
    assert_eq!(bound_to(&answer), thumbprint(&own));
    let refused = [
        // Nothing leads to the authority.
        (&id, vec![whole[0].clone()], "invalid_client"),
        // What the connection shows is the proxy's, and it does not ask for itself.
        (&of_proxy, whole.to_vec(), "invalid_client"),
        (&of_proxy, Vec::new(), "invalid_client"),
        (&id, [&whole[..1], &whole[..1]].concat(), "invalid_request"),
        (
            &id,
            vec![("client-cert", ":AAAA:".into())],
            "invalid_request",
        ),
        (
            &id,
            vec![("client-cert", ":MAA=:".into())],
            "invalid_request",
        ),
    ];
    for (id, headers, error) in refused {
        let (answer, _) = listening.ask(&client, id, &headers).await;
        assert_eq!(answer["error"], error, "{answer}");
    }
    listening.stop().await;
}

#[actix_web::test]
async fn rfc_9440_section_4_nobody_else_speaks_for_clients() {
    let shown = alone(self_signed(&params()));
    let listening = Listening::new(TestServer::new(), true);
    let id = application(&listening.server, by_digest(&shown.0[0])).await;
    let client = listening.client("http/1.1", Some(&shown));
    let value = format!(":{}:", STANDARD.encode(&shown.0[0]));
    for name in ["client-cert", "client-cert-chain"] {
        let (answer, _) = listening.ask(&client, &id, &[(name, value.clone())]).await;
        assert_eq!(answer["error"], "invalid_request", "{name}: {answer}");
    }
    listening.stop().await;
}
