//! Workload identity: a token of a trusted issuer proves an application that has no secret (RFC
//! 7523 §2.1, §2.2); and certificates of an authority (RFC 8705 §2.1).

use super::*;
use crate::client_certificate::tests as certificates;
use crate::jose::{ForeignAlgorithm as A, ForeignKey, mint::MintKey};
use std::time::Duration;
use writ_core::{
    Authentication, AuthenticationMethod as M, CertificateSubject, ClaimValue, IssuerId,
    IssuerKeys, TrustRule,
};

const CI: &str = "https://token.ci.example";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct World {
    server: TestServer,
    job: Job,
    key: MintKey,
}

fn rule() -> TrustRule {
    TrustRule {
        name: "deploy".parse().unwrap(),
        issuer: IssuerId(0),
        audience: ISSUER.parse().unwrap(),
        subject: "repo:acme/app:ref:refs/heads/*".parse().unwrap(),
        claims: [("repository_id".into(), ClaimValue::Text("42".into()))].into(),
        lifetime_seconds: 600,
    }
}

async fn world(omits_issuer: bool) -> World {
    let (server, _, job) = super::world().await;
    let key = MintKey::named(A::RS256, "ci-1");
    let trusted = Command::CreateTrustedIssuer {
        issuer: CI.parse().unwrap(),
        name: "CI".parse().unwrap(),
        keys: IssuerKeys::Keys(vec![
            ForeignKey::from_jwk(&key.jwk()).unwrap().to_registered(),
        ]),
        omits_issuer,
    };
    server.execute(trusted).await;
    let own = Authentication {
        methods: vec![M::WorkloadIdentity],
        trust: vec![rule()],
        ..Authentication::default()
    };
    server
        .execute(Command::ChangeAuthentication {
            application: job.id(),
            authentication: Some(Box::new(own)),
        })
        .await;
    World { server, job, key }
}

impl World {
    fn claims(&self) -> Value {
        let now = self.server.app.now().seconds();
        json!({
            "iss": CI,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": ISSUER,
            "iat": now,
            "exp": now + 300,
            "jti": "run-1",
            "repository_id": "42",
        })
    }

    /// Presents a token in both ways.
    async fn present(&self, token: &str) -> [Answer; 2] {
        let as_client = [
            ("grant_type", "client_credentials"),
            ("client_id", self.job.client_id.as_str()),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", token),
            ("scope", "courses:read"),
        ];
        let as_grant = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("client_id", self.job.client_id.as_str()),
            ("assertion", token),
            ("scope", "courses:read"),
        ];
        [
            self.server.post("/oauth2/token", &as_client).await,
            self.server.post("/oauth2/token", &as_grant).await,
        ]
    }

    /// As a client authentication that failed, and as a bad grant (RFC 7523 §3.1, §3.2).
    async fn refuses(&self, what: &str, token: &str) {
        let [as_client, as_grant] = self.present(token).await;
        assert_eq!(as_client.status, StatusCode::UNAUTHORIZED, "{what}");
        refused(&as_client, 401, "invalid_client");
        assert_eq!(as_grant.status, StatusCode::BAD_REQUEST, "{what}");
        refused(&as_grant, 400, "invalid_grant");
        assert_eq!(as_grant.header("www-authenticate"), "");
        // Who fails so often is not heard for the rest of a minute.
        self.server.clock.advance(Duration::from_secs(5));
    }
}

#[actix_web::test]
async fn rfc_7523_section_2_a_token_of_a_trusted_issuer_proves_a_workload() {
    let world = world(false).await;
    let token = world.key.jwt(&world.claims());
    // It is used again, legitimately: no secret of the workload is in it.
    for answer in world.present(&token).await {
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
        let body = answer.json();
        let found = claims(body["access_token"].as_str().unwrap());
        assert_eq!(found["sub"], world.job.client_id);
        let record = world.server.issuance(found["jti"].as_str().unwrap()).await;
        assert_eq!(record["credential"]["method"], "workload_identity");
        assert_eq!(record["credential"]["id"], "deploy");
        assert_eq!(record["credential"]["token"]["issuer"], CI);
        let subject = "repo:acme/app:ref:refs/heads/main";
        assert_eq!(record["credential"]["token"]["subject"], subject);
    }
}

#[actix_web::test]
async fn a_foreign_token_must_fit_the_rule_to_the_letter() {
    let world = world(false).await;
    let now = world.server.app.now().seconds();
    let with = |member: &str, value: Value| {
        let mut claims = world.claims();
        claims[member] = value;
        world.key.jwt(&claims)
    };
    for (what, token) in [
        (
            "another issuer",
            with("iss", json!("https://other.example")),
        ),
        ("no issuer", with("iss", Value::Null)),
        (
            "another audience",
            with("aud", json!("https://other.example")),
        ),
        (
            "another subject",
            with("sub", json!("repo:acme/other:ref:refs/heads/main")),
        ),
        (
            "a deeper subject",
            with("sub", json!("repo:acme/app:ref:refs/heads/a/b")),
        ),
        ("no subject", with("sub", Value::Null)),
        ("another claim", with("repository_id", json!("43"))),
        ("a claim of another type", with("repository_id", json!(42))),
        ("no claim", with("repository_id", Value::Null)),
        ("expired", with("exp", json!(now - 1))),
        ("no end", with("exp", Value::Null)),
        ("too long a life", with("exp", json!(now + 3600))),
        ("of the future", with("nbf", json!(now + 3600))),
    ] {
        world.refuses(what, &token).await;
    }
    let claims = world.claims();
    let header = |typ: &str| json!({"alg": "RS256", "kid": "ci-1", "typ": typ});
    for typ in ["at+jwt", "dpop+jwt", "token-introspection+jwt"] {
        world
            .refuses(typ, &world.key.sign(&header(typ), &claims))
            .await;
    }
    let stranger = MintKey::named(A::RS256, "ci-1");
    world.refuses("another key", &stranger.jwt(&claims)).await;
    let unknown = MintKey::named(A::RS256, "ci-2");
    world.refuses("an unknown kid", &unknown.jwt(&claims)).await;
    let confused = json!({"alg": "HS256", "kid": "ci-1"});
    world
        .refuses("HS256", &world.key.sign(&confused, &claims))
        .await;
    let none = json!({"alg": "none"});
    world.refuses("none", &world.key.sign(&none, &claims)).await;
    world.refuses("a secret", "nonsense").await;
}

#[actix_web::test]
async fn trust_that_is_taken_away_is_gone_at_once() {
    let world = world(false).await;
    let token = world.key.jwt(&world.claims());
    let other = MintKey::named(A::ES256, "ci-2");
    let rotated = Command::ChangeTrustedIssuer {
        id: IssuerId(0),
        name: None,
        keys: Some(IssuerKeys::Keys(vec![
            ForeignKey::from_jwk(&other.jwk()).unwrap().to_registered(),
        ])),
        omits_issuer: None,
    };
    world.server.execute(rotated).await;
    world.refuses("a key that was taken away", &token).await;
    let fresh = other.jwt(&world.claims());
    assert_eq!(world.present(&fresh).await[0].status, StatusCode::OK);
    let usual = Command::ChangeAuthentication {
        application: world.job.id(),
        authentication: None,
    };
    world.server.execute(usual).await;
    world.refuses("no rule", &fresh).await;
    // And back at secrets, which did not work in between.
    let answer = world
        .server
        .token(&world.job, &[("scope", "courses:read")])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_spiffe_svid_may_come_without_an_issuer_where_that_is_allowed() {
    let strict = world(false).await;
    let without = |world: &World| {
        let mut claims = world.claims();
        claims.as_object_mut().unwrap().remove("iss");
        world.key.jwt(&claims)
    };
    strict.refuses("no issuer", &without(&strict)).await;
    let lenient = world(true).await;
    let answers = lenient.present(&without(&lenient)).await;
    assert_eq!(answers[0].status, StatusCode::OK, "{:?}", answers[0].json());
}

#[actix_web::test]
async fn a_secret_does_not_prove_an_application_that_has_other_methods() {
    let world = world(false).await;
    let answer = world
        .server
        .token(&world.job, &[("scope", "courses:read")])
        .await;
    refused(&answer, 401, "invalid_client");
    let grant = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", world.job.client_id.as_str()),
        ("client_secret", world.job.client_secret.as_str()),
        ("assertion", "x"),
    ];
    let answer = world.server.post("/oauth2/token", &grant).await;
    refused(&answer, 400, "invalid_request");
}

#[actix_web::test]
async fn rfc_8705_section_2_1_a_certificate_of_an_authority_proves_its_subject() {
    let directory = tempfile::TempDir::new().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let ours = certificates::authority("Ours");
    std::fs::write(&ca_file, ours.pem()).unwrap();
    let server = TestServer::new().restart_with(|config| {
        config.proxies.trusted = vec!["127.0.0.1".parse().unwrap()];
        config.tls.client_ca_file = Some(ca_file);
    });
    let api = server
        .api(COURSES, &["courses:read"], TokenProfile::default())
        .await;
    let job = server.application(api, &["courses:read"]).await;
    let own = Authentication {
        methods: vec![M::TlsClientAuth],
        certificate_subject: Some(CertificateSubject::Uri(
            "spiffe://example.org/job".parse().unwrap(),
        )),
        ..Authentication::default()
    };
    let change = Command::ChangeAuthentication {
        application: job.id(),
        authentication: Some(Box::new(own)),
    };
    server.execute(change).await;
    let ask = async |der: &[u8]| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", job.client_id.as_str()),
            ("scope", "courses:read"),
        ];
        let request = TestRequest::post()
            .uri("/oauth2/token")
            .peer_addr("127.0.0.1:4711".parse().unwrap())
            .insert_header(("client-cert", format!(":{}:", STANDARD.encode(der))))
            .set_form(form);
        server.send(request).await
    };
    let (good, _) = certificates::issued(&certificates::params(), &ours);
    let answer = ask(&good).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
    let body = answer.json();
    let found = claims(body["access_token"].as_str().unwrap());
    let record = server.issuance(found["jti"].as_str().unwrap()).await;
    assert_eq!(record["credential"]["method"], "tls_client_auth");
    let (of_another, _) =
        certificates::issued(&certificates::params(), &certificates::authority("Ours"));
    refused(&ask(&of_another).await, 401, "invalid_client");
    let (self_signed, _) = certificates::self_signed(&certificates::params());
    refused(&ask(&self_signed).await, 401, "invalid_client");
    let mut other = certificates::params();
    other.subject_alt_names.clear();
    let (other, _) = certificates::issued(&other, &ours);
    refused(&ask(&other).await, 401, "invalid_client");
    refused(&ask(b"nonsense").await, 400, "invalid_request");
}
