//! HAProxy as `server/haproxy.md` tells its readers: a gateway that checks tokens with the keys of
//! Writ, and a proxy that ends mutual TLS before it (RFC 8705, RFC 9440). What the page has is run as
//! it stands, with other addresses.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use writ_tests::{
    Admin, Application, PATIENCE, Process, Start, Writ, free_port, outside, poll, repository,
};

const COURSES: &str = "https://courses.example/api";
const GRADES: &str = "https://grades.example";

/// The fenced block of the page after `<!-- name -->`, with each text of `changes` replaced; all of
/// them are there.
fn page(name: &str, changes: &[(&str, &str)]) -> String {
    let page = fs::read_to_string(repository().join("server/haproxy.md")).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- {name} -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (block, _) = rest.split_once("\n```\n").unwrap();
    let mut block = format!("{block}\n");
    for (from, to) in changes {
        assert!(block.contains(from), "{name} has no {from}");
        block = block.replace(from, to);
    }
    block
}

/// Starts HAProxy and waits until it listens on `port`.
fn haproxy(program: &Path, files: &[PathBuf], port: u16) -> Process {
    let mut command = Command::new(program);
    // In the foreground, and with no warning either.
    command.args(["-db", "-dW"]);
    for file in files {
        command.arg("-f").arg(file);
    }
    let mut process = Process::spawn("haproxy", command);
    poll("HAProxy listens", || {
        let ended = process.ended();
        assert!(ended.is_none(), "{ended:?}\n{}", process.stderr());
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    process
}

/// The API behind the gateway: says yes, and who it was told calls. It counts what comes to it.
fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            serve(stream);
        }
    });
    (address, count)
}

fn serve(mut stream: TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let caller = head
        .lines()
        .find_map(|line| line.strip_prefix("client-id: "));
    let body = format!("courses for {}", caller.unwrap_or("nobody"));
    let length = body.len();
    // A gateway that hangs up meanwhile is seen by who asked it.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

/// The status, the head and the body that `curl` gets.
fn curl(ca: &Path, certificate: Option<&Path>, rest: &[&str]) -> (u16, String, String) {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--include",
        "--http1.1",
        "--cacert",
    ])
    .arg(ca);
    if let Some(certificate) = certificate {
        curl.arg("--cert").arg(certificate);
    }
    curl.args(rest);
    let finished = Process::run("curl", curl, PATIENCE).expect_success("curl");
    let said = finished.stdout.replace('\r', "");
    let (head, body) = said.trim_end().split_once("\n\n").unwrap_or((&said, ""));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// A certificate that says `localhost`, with its key, in a file that HAProxy and curl read.
fn identity(directory: &Path, name: &str) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    written(directory, name, &certificate.pem(), &key)
}

fn written(directory: &Path, name: &str, certificate: &str, key: &KeyPair) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, format!("{certificate}{}", key.serialize_pem())).unwrap();
    path
}

/// The SHA-256 of the first certificate of a file.
fn digest(pem: &Path) -> [u8; 32] {
    Sha256::digest(der(pem)).into()
}

/// The first certificate of a file.
fn der(pem: &Path) -> Vec<u8> {
    let text = fs::read_to_string(pem).unwrap();
    let (block, _) = text.split_once("-----END CERTIFICATE-----").unwrap();
    let lines: String = block.lines().skip(1).map(str::trim_end).collect();
    BASE64_STANDARD.decode(lines).unwrap()
}

fn part(token: &str, which: usize) -> Value {
    let part = token.split('.').nth(which).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A server, an API and its gateway.
struct World {
    program: PathBuf,
    writ: Writ,
    admin: Admin,
    job: Application,
    courses: String,
    directory: TempDir,
    port: u16,
    upstream: SocketAddr,
    arrived: Arc<AtomicUsize>,
    gateway: Option<Process>,
}

impl World {
    fn new(program: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = Start {
            tls: true,
            ..Start::default()
        };
        let writ = Writ::with(start.with("WRIT_TLS_CLIENT_CERTIFICATES", "true"));
        let admin = writ.admin();
        let scopes = ["courses:read", "courses:write"];
        let courses = admin.register_api(COURSES, &json!({}), &scopes);
        let grades = admin.register_api(GRADES, &json!({}), &["grades:read"]);
        let job = admin.register_application("Job");
        admin.grant(&job, &courses, &scopes);
        admin.grant(&job, &grades, &["grades:read"]);
        let guards = json!({ "guards": [job.id] });
        let path = format!("/api-resources/{courses}");
        admin.patch(&path, &guards).expect(200);

        let (upstream, arrived) = upstream();
        identity(directory.path(), "gateway.pem");
        fs::write(directory.path().join("writ-keys"), page("writ-keys", &[])).unwrap();
        let mut world = Self {
            program,
            writ,
            admin,
            job,
            courses,
            directory,
            port: free_port(),
            upstream,
            arrived,
            gateway: None,
        };
        world.start(&world.issuer());
        world
    }

    fn issuer(&self) -> String {
        self.writ.base().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has the keys of now read, and the gateway started with them, for tokens of this issuer.
    fn start(&mut self, issuer: &str) {
        self.gateway = None;
        let gateway = page(
            "gateway.cfg",
            &[
                (":8443", &format!("127.0.0.1:{}", self.port)),
                ("/etc/haproxy/writ", self.directory.path().to_str().unwrap()),
                ("https://writ.example", issuer),
                ("10.0.0.7:3000", &self.upstream.to_string()),
            ],
        );
        fs::write(self.file("gateway.cfg"), gateway).unwrap();
        let mut keys = Command::new("bash");
        keys.arg(self.file("writ-keys"))
            .arg(self.writ.base())
            .arg(self.directory.path())
            .env("CURL_CA_BUNDLE", self.writ.data("tls/cert.pem"));
        Process::run("writ-keys", keys, PATIENCE).expect_success("writ-keys");
        let files = ["keys.cfg", "gateway.cfg"].map(|name| self.file(name));
        self.gateway = Some(haproxy(&self.program, &files, self.port));
    }

    fn token(&self, scope: &str) -> String {
        self.job.access_token(&[("scope", scope)])
    }

    /// What the gateway answers to a request with these headers.
    fn asks(&self, certificate: Option<&Path>, method: &str, headers: &[&str]) -> (u16, String) {
        let url = format!("https://localhost:{}/courses", self.port);
        let mut arguments = vec!["--request", method, url.as_str()];
        for header in headers {
            arguments.extend(["--header", header]);
        }
        let before = self.arrived.load(Ordering::SeqCst);
        let (status, head, body) = curl(&self.file("gateway.pem"), certificate, &arguments);
        let arrived = self.arrived.load(Ordering::SeqCst) - before;
        assert_eq!(arrived, usize::from(status == 200), "{head}\n{body}");
        let body = if status == 200 { body } else { head };
        (status, body)
    }

    #[track_caller]
    fn takes(&self, certificate: Option<&Path>, method: &str, token: &str) {
        // Whoever calls is who the token says, whatever a client says.
        let headers = [&format!("Authorization: Bearer {token}"), "Client-Id: root"];
        let (status, body) = self.asks(certificate, method, &headers);
        assert_eq!(status, 200, "{body}");
        let caller = part(token, 1)["client_id"].clone();
        assert_eq!(body, format!("courses for {}", caller.as_str().unwrap()));
    }

    #[track_caller]
    fn refuses(&self, what: &str, certificate: Option<&Path>, token: &str) {
        let header = format!("Authorization: Bearer {token}");
        for method in ["GET", "POST"] {
            let (status, head) = self.asks(certificate, method, &[&header]);
            assert_eq!(status, 401, "{what}: {head}");
            let told = head.to_lowercase();
            assert!(told.contains("error=\"invalid_token\""), "{what}: {head}");
        }
    }
}

fn world(checks: &str) -> Option<World> {
    if !outside::have(&["bash", "curl", "jq"], checks) {
        return None;
    }
    outside::haproxy(checks).map(World::new)
}

#[test]
fn haproxy_takes_the_tokens_of_its_api_and_no_others() {
    let Some(mut world) = world("a gateway by HAProxy") else {
        return;
    };
    let token = world.token("courses:read courses:write");
    world.takes(None, "GET", &token);
    world.takes(None, "POST", &token);

    // A scope for each thing.
    let reads = world.token("courses:read");
    world.takes(None, "GET", &reads);
    let header = format!("Authorization: Bearer {reads}");
    let (status, head) = world.asks(None, "POST", &[&header]);
    assert_eq!(status, 403, "{head}");
    assert!(head.contains("insufficient_scope"), "{head}");

    // None, two, and one where none belongs.
    let header = format!("Authorization: Bearer {token}");
    for headers in [
        &[][..],
        &[&header[..], &header[..]],
        &["Authorization: Basic eDp5"],
    ] {
        assert_eq!(world.asks(None, "GET", headers).0, 401, "{headers:?}");
    }

    // For another API, and for that one besides.
    world.refuses("another audience", None, &world.token("grades:read"));
    let both = world.job.access_token(&[
        ("scope", "courses:read grades:read"),
        ("resource", COURSES),
        ("resource", GRADES),
    ]);
    assert_eq!(part(&both, 1)["aud"].as_array().unwrap().len(), 2);
    world.refuses("two audiences", None, &both);

    // Changed.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[40] ^= 1;
    let changed = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    world.refuses("another signature", None, &changed);
    let (read_header, rest) = reads.split_once('.').unwrap();
    let (_, read_signature) = rest.split_once('.').unwrap();
    let widened = format!("{read_header}.{claims}.{read_signature}");
    world.refuses("other claims", None, &widened);

    // Signed by nobody, or by whoever has the public key (RFC 8725 §3.1, §3.2).
    let headed = |change: &dyn Fn(&mut Value)| {
        let mut header = part(&token, 0);
        change(&mut header);
        URL_SAFE_NO_PAD.encode(header.to_string())
    };
    let none = headed(&|header| header["alg"] = "none".into());
    world.refuses("none", None, &format!("{none}.{claims}."));
    world.refuses(
        "none, signed",
        None,
        &format!("{none}.{claims}.{signature}"),
    );
    world.refuses("no signature", None, &format!("{header}.{claims}."));
    let kid = part(&token, 0)["kid"].as_str().unwrap().to_owned();
    let public = fs::read(world.file(&format!("{kid}.pem"))).unwrap();
    let confused = Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some(kid),
        ..Header::new(Algorithm::HS256)
    };
    let secret = EncodingKey::from_secret(&public);
    let confused = encode(&confused, &part(&token, 1), &secret).unwrap();
    world.refuses("HS256 with the public key", None, &confused);
    let stranger = KeyPair::generate().unwrap();
    let stranger = EncodingKey::from_ec_der(&stranger.serialize_der());
    for kid in [part(&token, 0)["kid"].clone(), "unknown".into()] {
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(kid.as_str().unwrap().to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let forged = encode(&header, &part(&token, 1), &stranger).unwrap();
        world.refuses("another key", None, &forged);
    }

    // What Writ signed that is no access token (RFC 9701 §8.1).
    let job = (world.job.id.as_str(), world.job.secret.as_str());
    let told = world
        .writ
        .http()
        .call("POST", "/oauth2/introspect")
        .basic(job.0, job.1)
        .header("accept", "application/token-introspection+jwt")
        .form(&[("token", &token)])
        .send()
        .expect(200);
    let told = String::from_utf8(told.body).unwrap();
    assert_eq!(part(&told, 0)["kid"], part(&token, 0)["kid"]);
    world.refuses("an introspection", None, &told);

    let path = format!("/api-resources/{}", world.courses);
    let typed = |typ: &str| json!({ "profile": { "typ": typ } });
    world.admin.patch(&path, &typed("JWT")).expect(200);
    world.refuses(
        "of no type",
        None,
        &world.token("courses:read courses:write"),
    );
    world.admin.patch(&path, &typed("at+jwt")).expect(200);

    // The same application's, once it has ended.
    let path = format!("/applications/{}", world.job.id);
    let short = json!({ "token_settings": { "lifetime_seconds": 1 } });
    world.admin.patch(&path, &short).expect(200);
    let ends = world.token("courses:read courses:write");
    let header = format!("Authorization: Bearer {ends}");
    poll("a token ends", || {
        (world.asks(None, "GET", &[&header]).0 == 401).then_some(())
    });
    world.refuses("expired", None, &ends);
    world.takes(None, "GET", &token);

    // One key may serve several issuers; this gateway is for one of them.
    world.start("https://other.example");
    world.refuses("another issuer", None, &token);
}

#[test]
fn haproxy_holds_bound_tokens_to_what_they_are_bound_to() {
    let Some(world) = world("bound tokens at HAProxy") else {
        return;
    };
    let ca = world.writ.data("tls/cert.pem");
    let form = |extra: &str| {
        let id = &world.job.id;
        format!("grant_type=client_credentials&client_id={id}&scope=courses:read{extra}")
    };
    let url = format!("{}/oauth2/token", world.writ.base());
    let asked = |certificate: Option<&Path>, rest: &[&str]| {
        let (status, _, body) = curl(&ca, certificate, &[rest, &[&url]].concat());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["access_token"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    // To a key (RFC 9449), which HAProxy cannot check.
    let key = KeyPair::generate().unwrap();
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) });
    let header = Header {
        typ: Some("dpop+jwt".to_owned()),
        jwk: Some(serde_json::from_value(jwk).unwrap()),
        ..Header::new(Algorithm::ES256)
    };
    let now = jsonwebtoken::get_current_timestamp();
    let claims = json!({ "jti": "one", "htm": "POST", "htu": url, "iat": now });
    let key = EncodingKey::from_ec_der(&key.serialize_der());
    let proof = encode(&header, &claims, &key).unwrap();
    let body = form(&format!("&client_secret={}", world.job.secret));
    let dpop = format!("DPoP: {proof}");
    let token = asked(None, &["--data", &body, "--header", &dpop]);
    assert!(part(&token, 1)["cnf"]["jkt"].is_string());
    world.refuses("bound to a key", None, &token);

    // To a certificate (RFC 8705 §3).
    let own = identity(world.directory.path(), "own.pem");
    let other = identity(world.directory.path(), "other.pem");
    let hex: String = digest(&own)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let by_certificate = json!({
        "methods": ["self_signed_tls_client_auth"],
        "certificates": [hex],
        "profile": "fapi2",
    });
    let path = format!("/applications/{}/authentication", world.job.id);
    world.admin.put(&path, &by_certificate).expect(200);
    let token = asked(Some(&own), &["--data", &form("")]);
    let bound = part(&token, 1)["cnf"]["x5t#S256"].clone();
    assert_eq!(bound, URL_SAFE_NO_PAD.encode(digest(&own)));
    world.takes(Some(&own), "GET", &token);
    world.refuses("without its certificate", None, &token);
    world.refuses("with another certificate", Some(&other), &token);
}

#[test]
fn haproxy_learns_of_new_keys_and_of_those_that_are_gone() {
    let Some(mut world) = world("keys at HAProxy") else {
        return;
    };
    let old = world.token("courses:read");
    let made = world
        .admin
        .post("/signing-keys", &json!({ "algorithm": "ES256" }));
    made.expect(201);
    world.start(&world.issuer());
    world.takes(None, "GET", &old);
    let keys = fs::read_to_string(world.file("keys.cfg")).unwrap();
    assert_eq!(keys.matches("jwt_verify").count(), 2, "{keys}");

    let kid = part(&old, 0)["kid"].as_str().unwrap().to_owned();
    let path = format!("/signing-keys/{kid}/revoke");
    world.admin.post(&path, &json!({})).expect(200);
    // The token of the administrator was signed by it too.
    world.admin = world.writ.admin();
    world.start(&world.issuer());
    world.refuses("of a key that is gone", None, &old);
    let new = world.token("courses:read");
    assert_ne!(part(&new, 0)["kid"], kid);
    world.takes(None, "GET", &new);
}

#[test]
fn rfc_9440_haproxy_ends_mutual_tls_and_passes_the_certificate_on() {
    let checks = "mutual TLS by HAProxy";
    if !outside::have(&["curl"], checks) {
        return;
    }
    let Some(program) = outside::haproxy(checks) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (params, key) = named("The authority of the workloads");
    let authority = CertifiedIssuer::self_signed(params, key).unwrap();
    let (params, key) = named("One below it");
    let below = CertifiedIssuer::signed_by(params, key, &authority).unwrap();
    let clients = directory.path().join("clients.pem");
    fs::write(&clients, authority.pem()).unwrap();
    // An X.509-SVID: one URI, and nothing else that names the workload (SPIFFE X509-SVID §2).
    let svid = |name: &str, by: Option<&CertifiedIssuer<'static, KeyPair>>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(
            format!("spiffe://example.org/{name}").try_into().unwrap(),
        )];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let pem = match by {
            Some(by) => params.signed_by(&key, by).unwrap().pem(),
            None => params.self_signed(&key).unwrap().pem(),
        };
        let digest = Sha256::digest(&pem);
        let file = format!("{name}-{}.pem", URL_SAFE_NO_PAD.encode(digest));
        written(directory.path(), &file, &pem, &key)
    };
    let own = svid("job", Some(&authority));
    let other = svid("another", Some(&authority));
    let self_signed = svid("job", None);
    let indirect = svid("job", Some(&below));

    let port = free_port();
    let issuer = format!("https://localhost:{port}");
    let start = Start::default()
        .with("WRIT_ISSUER", &issuer)
        .with("WRIT_PROXIES_TRUSTED", "127.0.0.1")
        .with("WRIT_TLS_CLIENT_CA_FILE", clients.to_str().unwrap());
    let writ = Writ::with(start);
    let ca = identity(directory.path(), "writ.pem");
    let config = page(
        "writ.cfg",
        &[
            (":443", &format!("127.0.0.1:{port}")),
            ("/etc/haproxy/writ", directory.path().to_str().unwrap()),
            ("127.0.0.1:9080", &writ.address().to_string()),
        ],
    );
    let file = directory.path().join("writ.cfg");
    fs::write(&file, config).unwrap();
    let _proxy = haproxy(&program, &[file], port);

    let admin = writ.admin();
    let api = admin.register_api(COURSES, &json!({}), &["courses:read"]);
    let job = admin.register_application("A workload with an SVID");
    admin.grant(&job, &api, &["courses:read"]);
    let by_name = json!({
        "methods": ["tls_client_auth"],
        "certificate_subject": { "uri": "spiffe://example.org/job" },
        "profile": "fapi2",
    });
    let path = format!("/applications/{}/authentication", job.id);
    admin.put(&path, &by_name).expect(200);

    // The address that clients know is the proxy's.
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let (status, _, document) = curl(&ca, None, &[&url]);
    assert_eq!(status, 200, "{document}");
    let document: Value = serde_json::from_str(&document).unwrap();
    let url = document["token_endpoint"].as_str().unwrap();
    assert_eq!(url, format!("{issuer}/oauth2/token"));

    let form = format!(
        "grant_type=client_credentials&client_id={}&scope=courses:read",
        job.id
    );
    let ask = |certificate: Option<&Path>, headers: &[&str]| {
        let mut rest = vec!["--data", &form, url];
        for header in headers {
            rest.extend(["--header", header]);
        }
        let (status, _, body) = curl(&ca, certificate, &rest);
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, token) = ask(Some(&own), &[]);
    assert_eq!(status, 200, "{token}");
    let claims = part(token["access_token"].as_str().unwrap(), 1);
    let bound = URL_SAFE_NO_PAD.encode(digest(&own));
    assert_eq!(claims["cnf"], json!({ "x5t#S256": bound }));

    // What a client says of itself, the proxy takes away (RFC 9440 §4).
    let der = BASE64_STANDARD.encode(der(&own));
    let said = format!("Client-Cert: :{der}:");
    let intermediate = BASE64_STANDARD.encode(below.der());
    let chain = format!("Client-Cert-Chain: :{intermediate}:");
    for (certificate, headers) in [
        (None, &[][..]),
        (Some(&other), &[]),
        (Some(&self_signed), &[]),
        (None, &[&said[..], &chain[..]]),
        (Some(&other), &[&said[..]]),
        (Some(&indirect), &[&chain[..]]),
    ] {
        let (status, answer) = ask(certificate.map(PathBuf::as_path), headers);
        assert_eq!((status, &answer["error"]), (401, &"invalid_client".into()));
    }
    assert_eq!(ask(Some(&own), &[&said]).0, 200);

    // HAProxy passes on no chain, so Writ must know the one below.
    let both = format!("{}{}", authority.pem(), below.pem());
    fs::write(&clients, both).unwrap();
    poll("Writ has read the authorities again", || {
        (ask(Some(&indirect), &[]).0 == 200).then_some(())
    });
}
