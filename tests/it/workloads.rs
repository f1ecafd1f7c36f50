//! Workloads without a secret, by the tokens of their platforms: like those of GitHub Actions, of
//! Kubernetes and of SPIFFE, made by joserfc (`tests/clients/python/issuers.py`) and served with OIDC
//! discovery. What the `spiffe` crate takes for an SVID, Writ does too.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use spiffe::bundle::jwt::JwtAuthority;
use spiffe::{JwtBundle, JwtBundleSet, JwtSvid, SpiffeId, TrustDomain, X509Svid};
use tempfile::TempDir;
use writ_tests::{Admin, Application, Http, Process, Start, Writ, free_port, outside, repository};

const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The identifier of the API, and what the platforms are asked to make their tokens for.
const COURSES: &str = "https://courses.example/api";
const AUDIENCE: &str = "https://writ.example";

/// A server that trusts three platforms, and an application for a workload of each.
struct World {
    writ: Writ,
    admin: Admin,
    /// Where the platforms are.
    issuer: String,
    platforms: Http,
    /// What they gave to jobs.
    issued: Value,
    api: String,
    _process: Process,
    _directory: TempDir,
}

impl World {
    fn new(checks: &str) -> Option<Self> {
        let source = repository().join("tests/clients/python");
        let package = outside::python_package(&source, checks)?;
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let (ca, identity) = site(directory.path());
        let mut python = Command::new(package.join("venv/bin/python"));
        python
            .args(["-B", "issuers.py"])
            .arg(identity)
            .args([&port.to_string(), AUDIENCE])
            .current_dir(&package);
        let process = Process::spawn("issuers.py", python);
        let issued = serde_json::from_str(&process.line("issued ")).unwrap();
        let start = Start::default()
            .with("WRIT_OUTBOUND_ALLOW", "127.0.0.1")
            .with("WRIT_OUTBOUND_CA_FILE", ca.to_str().unwrap());
        let writ = Writ::with(start);
        let admin = writ.admin();
        let issuer = format!("https://127.0.0.1:{port}");
        for body in [
            json!({ "issuer": issuer, "name": "CI", "keys": { "discovery": true } }),
            json!({
                "issuer": format!("{issuer}/cluster"),
                "name": "The cluster",
                "keys": { "discovery": true },
            }),
            json!({
                "issuer": "spiffe://example.org",
                "name": "The trust domain",
                "keys": { "jwks_uri": format!("{issuer}/bundle") },
                "omits_issuer": true,
            }),
        ] {
            admin.post("/trusted-issuers", &body).expect(201);
        }
        let api = admin.register_api(COURSES, &json!({}), &["courses:read"]);
        Some(Self {
            platforms: Http::new(&issuer, Some(&ca)),
            issuer,
            writ,
            admin,
            issued,
            api,
            _process: process,
            _directory: directory,
        })
    }

    /// An application that a token of this issuer and subject proves, if it has these claims.
    fn trusting(&self, issuer: &str, subject: &str, claims: &Value) -> Application {
        let job = self.admin.register_application(subject);
        self.admin.grant(&job, &self.api, &["courses:read"]);
        let rule = json!({
            "name": "the-job",
            "issuer": issuer,
            "audience": AUDIENCE,
            "subject": subject,
            "claims": claims,
        });
        let authentication = json!({ "methods": ["workload_identity"], "trust": [rule] });
        let path = format!("/applications/{}/authentication", job.id);
        self.admin.put(&path, &authentication).expect(200);
        job
    }

    fn token(&self, name: &str) -> &str {
        let found = self.issued[name].as_str();
        found.unwrap_or_else(|| panic!("no token {name:?}"))
    }

    /// The answers to a token as a client assertion, and as a grant.
    fn present(&self, job: &Application, token: &str) -> [(u16, Value); 2] {
        let as_client = [
            ("grant_type", "client_credentials"),
            ("client_id", job.id.as_str()),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", token),
            ("scope", "courses:read"),
        ];
        let as_grant = [
            ("grant_type", JWT_BEARER),
            ("client_id", job.id.as_str()),
            ("assertion", token),
            ("scope", "courses:read"),
        ];
        let ask = |form: &[(&str, &str)]| {
            let call = self.writ.http().call("POST", "/oauth2/token");
            let answer = call.form(form).send();
            (answer.status, answer.json())
        };
        [ask(&as_client), ask(&as_grant)]
    }

    #[track_caller]
    fn takes(&self, job: &Application, name: &str, issuer: &str, subject: &str) {
        for (status, answer) in self.present(job, self.token(name)) {
            assert_eq!(status, 200, "{name}: {answer}");
            let claims = claims(answer["access_token"].as_str().unwrap());
            assert_eq!(claims["sub"], job.id);
            let path = format!("/issuances/{}", claims["jti"].as_str().unwrap());
            let record = self.admin.get(&path).expect(200).json();
            let credential = &record["credential"];
            assert_eq!(credential["method"], "workload_identity");
            assert_eq!(credential["id"], "the-job");
            assert_eq!(credential["token"]["issuer"], issuer);
            assert_eq!(credential["token"]["subject"], subject);
        }
    }

    /// Every token whose name goes on after `platform` is refused.
    #[track_caller]
    fn refuses_the_others(&self, job: &Application, platform: &str, count: usize) {
        let issued = self.issued.as_object().unwrap();
        let prefix = format!("{platform}, ");
        let others = issued.keys().filter(|name| name.starts_with(&prefix));
        let others: Vec<&String> = others.collect();
        assert_eq!(others.len(), count, "{others:?}");
        for name in others {
            let [as_client, as_grant] = self.present(job, self.token(name));
            assert_eq!(as_client.0, 401, "{name}: {}", as_client.1);
            assert_eq!(as_client.1["error"], "invalid_client", "{name}");
            assert_eq!(as_grant.0, 400, "{name}: {}", as_grant.1);
            assert_eq!(as_grant.1["error"], "invalid_grant", "{name}");
        }
    }
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The files of an authority, and of a server at 127.0.0.1 that it vouches for, with its key.
fn site(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let authority = authority("The authority of the platforms");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let (ca, identity) = (directory.join("ca.pem"), directory.join("site.pem"));
    std::fs::write(&ca, authority.pem()).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    std::fs::write(&identity, pem).unwrap();
    (ca, identity)
}

#[test]
fn a_token_like_those_of_github_actions_proves_a_job() {
    let Some(world) = World::new("tokens like those of GitHub Actions") else {
        return;
    };
    let subject = "repo:octo-org/octo-repo:ref:refs/heads/main";
    let claims = json!({ "repository_id": "74", "ref_protected": "true" });
    let job = world.trusting(&world.issuer, subject, &claims);
    world.takes(&job, "github", &world.issuer, subject);
    world.refuses_the_others(&job, "github", 6);
}

#[test]
fn a_token_like_those_of_kubernetes_proves_a_service_account() {
    let Some(world) = World::new("tokens like those of Kubernetes") else {
        return;
    };
    let subject = "system:serviceaccount:billing:nightly";
    let issuer = format!("{}/cluster", world.issuer);
    let job = world.trusting(&issuer, subject, &json!({}));
    world.takes(&job, "kubernetes", &issuer, subject);
    world.refuses_the_others(&job, "kubernetes", 5);
}

#[test]
fn what_the_spiffe_crate_takes_for_a_jwt_svid_proves_a_workload() {
    let Some(world) = World::new("JWT-SVIDs") else {
        return;
    };
    let subject = "spiffe://example.org/ns/billing/sa/nightly";
    let issuer = "spiffe://example.org";
    let job = world.trusting(issuer, subject, &json!({}));

    // The bundle that Writ is told of, as the crate reads it.
    let document = world.platforms.get("/bundle").expect(200).json();
    let signs_tokens = |key: &&Value| key["use"] == "jwt-svid";
    let keys = document["keys"].as_array().unwrap().iter();
    let mut bundle = JwtBundle::new(TrustDomain::new("example.org").unwrap());
    for key in keys.filter(signs_tokens) {
        let key = JwtAuthority::from_jwk_json(key.to_string().as_bytes()).unwrap();
        bundle.add_jwt_authority(key);
    }
    let mut bundles = JwtBundleSet::new();
    bundles.add_bundle(bundle);
    let validate = |name| JwtSvid::parse_and_validate(world.token(name), &bundles, &[AUDIENCE]);

    let svid = validate("svid").unwrap();
    assert_eq!(svid.spiffe_id(), &SpiffeId::new(subject).unwrap());
    assert_eq!(svid.audience(), [AUDIENCE]);
    world.takes(&job, "svid", issuer, subject);
    // It is good for the crate too, and another workload's.
    let other = validate("svid, another workload").unwrap();
    assert_ne!(other.spiffe_id(), svid.spiffe_id());
    for name in [
        "svid, another trust domain",
        "svid, for another",
        "svid, expired",
        "svid, another key",
    ] {
        assert!(validate(name).is_err(), "{name}");
    }
    world.refuses_the_others(&job, "svid", 5);
}

#[test]
fn what_the_spiffe_crate_takes_for_an_x509_svid_proves_a_workload() {
    if !outside::have(&["curl"], "X.509-SVIDs") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = authority("The trust domain");
    let ca_file = directory.path().join("bundle.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    // X509-SVID §2, §4: one URI; signatures, and no authority.
    let svid = |path: &str| {
        let id = format!("spiffe://example.org{path}");
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let read = X509Svid::parse_from_der(certificate.der(), &key.serialize_der()).unwrap();
        assert_eq!(read.spiffe_id(), &SpiffeId::new(&id).unwrap());
        let file = directory.path().join(path.replace('/', "_"));
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        std::fs::write(&file, pem).unwrap();
        file
    };
    let (own, other) = (svid("/ns/billing/sa/nightly"), svid("/ns/billing/sa/other"));

    let start = Start {
        tls: true,
        ..Start::default()
    };
    let start = start
        .with("WRIT_TLS_CLIENT_CERTIFICATES", "true")
        .with("WRIT_TLS_CLIENT_CA_FILE", ca_file.to_str().unwrap());
    let writ = Writ::with(start);
    let admin = writ.admin();
    let api = admin.register_api(COURSES, &json!({}), &["courses:read"]);
    let job = admin.register_application("A workload with an X.509-SVID");
    admin.grant(&job, &api, &["courses:read"]);
    let by_name = json!({
        "methods": ["tls_client_auth"],
        "certificate_subject": { "uri": "spiffe://example.org/ns/billing/sa/nightly" },
        "profile": "fapi2",
    });
    let path = format!("/applications/{}/authentication", job.id);
    admin.put(&path, &by_name).expect(200);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", job.id.as_str()),
        ("scope", "courses:read"),
    ];
    let answer = crate::mutual_tls::curl(&writ, Some(&own), &form);
    let claims = claims(answer["access_token"].as_str().unwrap());
    assert!(claims["cnf"]["x5t#S256"].is_string(), "{claims}");
    let answer = crate::mutual_tls::curl(&writ, Some(&other), &form);
    assert_eq!(answer["error"], "invalid_client");
}
