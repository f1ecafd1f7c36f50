//! The modules of OpenID's conformance suite for the FAPI 2.0 Security Profile with client
//! credentials, by their names, for both combinations: `private_key_jwt` with DPoP, and mutual TLS
//! with tokens that are bound to the certificate.
//!
//! | module (`fapi2-security-profile-final-…`) | key + DPoP | mutual TLS | why not |
//! |---|---|---|---|
//! | `discovery-end-point-verification` | yes | yes | |
//! | `happy-flow` | yes | yes | |
//! | `access-token-type-header-case-sensitivity` | yes | yes | |
//! | `check-dpop-proof-nbf-exp` | yes | - | there is no proof |
//! | `dpop-negative-tests` | yes | - | there is no proof |
//! | `ensure-dpopproof-with-iat-10seconds-before-succeeds` | yes | - | there is no proof |
//! | `ensure-dpopproof-with-iat-10seconds-after-succeeds` | yes | - | there is no proof |
//! | `ensure-holder-of-key-required` | yes | yes | |
//! | `ensure-client-assertion-in-token-endpoint` | yes | as its like: no certificate | there is no assertion |
//! | `ensure-client-assertion-with-exp-is-5-minutes-in-past-fails` | yes | - | there is no assertion |
//! | `ensure-client-assertion-with-no-sub-fails` | yes | - | there is no assertion |
//! | `ensure-client-assertion-with-wrong-aud-fails` | yes | - | there is no assertion |
//! | `ensure-signed-client-assertion-with-rs256-fails` | yes | - | there is no assertion |
//! | `ensure-client-id-in-token-endpoint` | of another | yes | the assertion says it; a certificate does not |
//!
//! The resources are this server's own: the admin API, and introspection by a token.

pub(super) mod resources;

use super::*;
use crate::client_certificate::tests as certificates;
use crate::jose::{ForeignAlgorithm as A, ForeignKey, mint::MintKey};
use base64::engine::general_purpose::STANDARD;
use writ_core::{
    Authentication, AuthenticationMethod as M, CertificateDigest, Millis, SecurityProfile,
};

pub(super) const TOKEN: &str = "https://writ.example/oauth2/token";
pub(super) const PROXY: &str = "127.0.0.1:4711";

/// An application of the strict profile, with what it holds.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) key: MintKey,
    pub(super) proof: MintKey,
    pub(super) certificate: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    KeyAndDpop,
    Mtls,
}

pub(super) const WAYS: [Way; 2] = [Way::KeyAndDpop, Way::Mtls];

pub(super) struct World {
    pub(super) server: TestServer,
    api: ApiId,
    pub(super) clients: [Client; 2],
}

/// A server behind a proxy, with two applications of the strict profile.
pub(super) async fn world() -> World {
    let server = TestServer::new().restart_with(|config| {
        config.proxies.trusted = vec!["127.0.0.1".parse().unwrap()];
    });
    let api = server
        .api(COURSES, &["courses:read"], TokenProfile::default())
        .await;
    let clients = [client(&server, api).await, client(&server, api).await];
    World {
        server,
        api,
        clients,
    }
}

async fn client(server: &TestServer, api: ApiId) -> Client {
    let job = server.application(api, &["courses:read"]).await;
    let key = MintKey::generate(A::PS256);
    let (certificate, _) = certificates::self_signed(&certificates::params());
    let registered = ForeignKey::from_jwk(&key.jwk()).unwrap().to_registered();
    let digest = certificates::digest(&certificate);
    let own = Authentication {
        methods: vec![M::PrivateKeyJwt, M::SelfSignedTlsClientAuth],
        keys: vec![registered],
        certificates: vec![CertificateDigest(digest)],
        profile: SecurityProfile::Fapi2,
        ..Authentication::default()
    };
    let change = Command::ChangeAuthentication {
        application: job.id(),
        authentication: Some(Box::new(own)),
    };
    server.execute(change).await;
    let management = server.app.index().management().unwrap().id;
    let grant = Command::AddGrant {
        application: job.id(),
        api: management,
        mode: GrantMode::None,
        scopes: vec![
            "writ:settings:read".parse().unwrap(),
            "writ:tokens:introspect".parse().unwrap(),
        ],
    };
    server.execute(grant).await;
    Client {
        id: job.client_id,
        key,
        proof: MintKey::generate(A::ES256),
        certificate: certificate.to_vec(),
    }
}

/// One request, before a test changes something of it.
pub(super) struct Asked {
    pub(super) form: Vec<(String, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Asked {
    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.form.retain(|(known, _)| known != name);
        self.form.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.form.retain(|(known, _)| known != name);
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl World {
    pub(super) fn now(&self) -> Millis {
        self.server.app.now()
    }

    pub(super) fn claims(&self, client: &Client) -> Value {
        MintKey::assertion_claims(&client.id, ISSUER, self.now())
    }

    pub(super) fn asked(&self, way: Way, client: &Client) -> Asked {
        let asked = Asked {
            form: Vec::new(),
            headers: Vec::new(),
        };
        let asked = asked
            .set("grant_type", "client_credentials")
            .set("scope", "courses:read");
        match way {
            Way::KeyAndDpop => self
                .asserting(asked, &client.key.jwt(&self.claims(client)))
                .header(
                    "dpop",
                    &client.proof.proof("POST", TOKEN, self.now(), None, None),
                ),
            Way::Mtls => asked.set("client_id", &client.id).header(
                "client-cert",
                &format!(":{}:", STANDARD.encode(&client.certificate)),
            ),
        }
    }

    pub(super) fn asserting(&self, asked: Asked, assertion: &str) -> Asked {
        asked
            .set(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .set("client_assertion", assertion)
    }

    /// With other claims in the assertion.
    pub(super) fn claiming(&self, client: &Client, change: impl FnOnce(&mut Value)) -> Asked {
        let mut claims = self.claims(client);
        change(&mut claims);
        let asked = self.asked(Way::KeyAndDpop, client);
        self.asserting(asked, &client.key.jwt(&claims))
    }

    pub(super) async fn send(&self, asked: Asked) -> Answer {
        let mut request = TestRequest::post()
            .uri("/oauth2/token")
            .peer_addr(PROXY.parse().unwrap())
            .set_form(asked.form);
        for (name, value) in asked.headers {
            request = request.append_header((name, value));
        }
        self.server.send(request).await
    }

    /// Whether a proof with these claims is good.
    async fn proof_is_taken(&self, client: &Client, claims: &Value, good: bool) {
        let proof = client.proof.sign(&client.proof.proof_header(), claims);
        let asked = self.asked(Way::KeyAndDpop, client).header("dpop", &proof);
        let answer = self.send(asked).await;
        match good {
            true => assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json()),
            false => drop(refused(&answer, 400, "invalid_dpop_proof")),
        }
    }

    pub(super) async fn granted(&self, asked: Asked) -> Value {
        let answer = self.send(asked).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
        answer.json()
    }
}

#[actix_web::test]
async fn fapi2_security_profile_final_discovery_end_point_verification() {
    let world = world().await;
    let change = SettingsChange {
        security_profile: Some(SecurityProfile::Fapi2),
        ..SettingsChange::default()
    };
    // The administrator first, who would be locked out.
    let own = writ_core::testkit::by_key(1);
    let key = MintKey::generate(A::ES256);
    let own = Authentication {
        keys: vec![ForeignKey::from_jwk(&key.jwk()).unwrap().to_registered()],
        ..own
    };
    let administrator = Command::ChangeAuthentication {
        application: world.server.admin.id(),
        authentication: Some(Box::new(own)),
    };
    world.server.execute(administrator).await;
    settings(&world.server, change).await;
    let request = TestRequest::get().uri("/.well-known/oauth-authorization-server");
    let document = world.server.send(request).await.json();
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["token_endpoint"], TOKEN);
    let listed = |member: &str, value: &str| {
        let values = document[member].as_array().unwrap();
        values.iter().any(|one| one == value)
    };
    assert!(listed("grant_types_supported", "client_credentials"));
    let methods = "token_endpoint_auth_methods_supported";
    assert!(listed(methods, "private_key_jwt") && listed(methods, "self_signed_tls_client_auth"));
    assert!(!listed(methods, "client_secret_basic") && !listed(methods, "client_secret_post"));
    let algorithms = "token_endpoint_auth_signing_alg_values_supported";
    assert!(listed(algorithms, "PS256") && listed(algorithms, "ES256"));
    assert!(!listed(algorithms, "RS256"));
    assert!(listed("dpop_signing_alg_values_supported", "ES256"));
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
}

#[actix_web::test]
async fn fapi2_security_profile_final_happy_flow() {
    let world = world().await;
    for (way, client) in WAYS
        .into_iter()
        .flat_map(|way| world.clients.iter().map(move |client| (way, client)))
    {
        let body = world.granted(world.asked(way, client)).await;
        let claims = claims(body["access_token"].as_str().unwrap());
        assert_eq!(claims["client_id"], client.id);
        assert_eq!(claims["scope"], "courses:read");
        let bound = claims["cnf"].as_object().unwrap();
        assert_eq!(bound.len(), 1);
        match way {
            Way::KeyAndDpop => {
                let key = ForeignKey::from_jwk(&client.proof.bare_jwk()).unwrap();
                assert_eq!(bound["jkt"], URL_SAFE_NO_PAD.encode(key.thumbprint()));
                assert_eq!(body["token_type"], "DPoP");
            }
            Way::Mtls => {
                let digest = certificates::digest(&client.certificate.clone().into());
                assert_eq!(bound["x5t#S256"], URL_SAFE_NO_PAD.encode(digest));
                assert_eq!(body["token_type"], "Bearer");
            }
        }
    }
    assert!(world.server.app.index().api(world.api).is_some());
}

#[actix_web::test]
async fn fapi2_security_profile_final_check_dpop_proof_nbf_exp() {
    let world = world().await;
    let client = &world.clients[0];
    let now = world.now().seconds();
    for (nbf, exp, good) in [
        (now - 10, now + 60, true),
        (now - 10, now - 61, false),
        (now + 120, now + 180, false),
    ] {
        let mut claims = MintKey::proof_claims("POST", TOKEN, world.now(), None, None);
        claims["nbf"] = nbf.into();
        claims["exp"] = exp.into();
        world.proof_is_taken(client, &claims, good).await;
    }
}

#[actix_web::test]
async fn fapi2_security_profile_final_dpop_negative_tests() {
    let world = world().await;
    let client = &world.clients[0];
    let now = world.now();
    let (key, other) = (&client.proof, MintKey::generate(A::ES256));
    let claims = || MintKey::proof_claims("POST", TOKEN, now, None, None);
    let changed = |change: fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        key.sign(&key.proof_header(), &claims)
    };
    let headed = |change: &dyn Fn(&mut Value)| {
        let mut header = key.proof_header();
        change(&mut header);
        key.sign(&header, &claims())
    };
    let private = json!({"kty": "EC", "crv": "P-256", "d": "AA"});
    let wrong = [
        ("htm", changed(|claims| claims["htm"] = "GET".into())),
        (
            "htu",
            changed(|claims| claims["htu"] = "https://other.example/oauth2/token".into()),
        ),
        (
            "htu of another endpoint",
            changed(|claims| claims["htu"] = "https://writ.example/api/v1/settings".into()),
        ),
        (
            "no jti",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("jti"))),
        ),
        (
            "no iat",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        ),
        (
            "no htm",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("htm"))),
        ),
        (
            "no htu",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("htu"))),
        ),
        ("typ", headed(&|header| header["typ"] = "JWT".into())),
        (
            "no jwk",
            headed(&|header| drop(header.as_object_mut().unwrap().remove("jwk"))),
        ),
        (
            "another jwk",
            headed(&|header| header["jwk"] = other.bare_jwk()),
        ),
        (
            "private jwk",
            headed(&|header| {
                header["jwk"] = private.clone();
            }),
        ),
        ("none", headed(&|header| header["alg"] = "none".into())),
        ("HS256", headed(&|header| header["alg"] = "HS256".into())),
        ("nonsense", "nonsense".to_owned()),
    ];
    for (what, proof) in wrong {
        let asked = world.asked(Way::KeyAndDpop, client).header("dpop", &proof);
        let answer = world.send(asked).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        refused(&answer, 400, "invalid_dpop_proof");
    }
    // RFC 9449 §4.3, item 1: one proof, and no more.
    let mut asked = world.asked(Way::KeyAndDpop, client);
    asked
        .headers
        .push(("dpop", key.proof("POST", TOKEN, now, None, None)));
    refused(&world.send(asked).await, 400, "invalid_dpop_proof");
    // RFC 9449 §11.1: a proof counts once.
    let proof = key.proof("POST", TOKEN, now, None, None);
    let asked = || world.asked(Way::KeyAndDpop, client).header("dpop", &proof);
    world.granted(asked()).await;
    refused(&world.send(asked()).await, 400, "invalid_dpop_proof");
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_dpopproof_with_iat_10seconds_before_succeeds() {
    iat_moved(-10, true).await;
    iat_moved(-120, false).await;
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_dpopproof_with_iat_10seconds_after_succeeds() {
    iat_moved(10, true).await;
    iat_moved(120, false).await;
}

async fn iat_moved(seconds: i64, good: bool) {
    let world = world().await;
    let client = &world.clients[0];
    let mut claims = MintKey::proof_claims("POST", TOKEN, world.now(), None, None);
    claims["iat"] = (claims["iat"].as_i64().unwrap() + seconds).into();
    world.proof_is_taken(client, &claims, good).await;
}

/// And at a resource: see `resources`.
#[actix_web::test]
async fn fapi2_security_profile_final_ensure_holder_of_key_required() {
    let world = world().await;
    let client = &world.clients[0];
    // At the token endpoint: no token that is bound to nothing.
    let asked = world.asked(Way::KeyAndDpop, client).without("dpop");
    refused(&world.send(asked).await, 400, "invalid_request");
    let asked = world.asked(Way::Mtls, client).without("client-cert");
    refused(&world.send(asked).await, 401, "invalid_client");
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_client_assertion_in_token_endpoint() {
    let world = world().await;
    let client = &world.clients[0];
    let asked = world
        .asked(Way::KeyAndDpop, client)
        .without("client_assertion")
        .without("client_assertion_type")
        .set("client_id", &client.id);
    refused(&world.send(asked).await, 401, "invalid_client");
    let asked = world.asked(Way::Mtls, client).without("client-cert");
    refused(&world.send(asked).await, 401, "invalid_client");
    // RFC 7523 §3, item 7: an assertion counts once.
    let assertion = client.key.jwt(&world.claims(client));
    let asked = || world.asserting(world.asked(Way::KeyAndDpop, client), &assertion);
    world.granted(asked()).await;
    refused(&world.send(asked()).await, 401, "invalid_client");
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails()
{
    let world = world().await;
    let asked = world.claiming(&world.clients[0], |claims| {
        claims["exp"] = (claims["iat"].as_u64().unwrap() - 300).into();
    });
    refused(&world.send(asked).await, 401, "invalid_client");
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_client_assertion_with_no_sub_fails() {
    let world = world().await;
    let client = &world.clients[0];
    let asked = world.claiming(client, |claims| {
        claims.as_object_mut().unwrap().remove("sub");
    });
    let asked = asked.set("client_id", &client.id);
    refused(&world.send(asked).await, 401, "invalid_client");
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_client_assertion_with_wrong_aud_fails() {
    let world = world().await;
    let client = &world.clients[0];
    for aud in [
        json!("https://other.example"),
        json!([ISSUER, "https://other.example"]),
        // CVE-2025-27370: another server's endpoint, or this one's, is no issuer.
        json!(TOKEN),
        json!([]),
        json!(null),
    ] {
        let shown = aud.to_string();
        let asked = world.claiming(client, |claims| claims["aud"] = aud);
        let answer = world.send(asked).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{shown}");
        refused(&answer, 401, "invalid_client");
    }
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_signed_client_assertion_with_rs256_fails() {
    let world = world().await;
    let client = &world.clients[0];
    // The same key, by another algorithm; it is registered for both.
    let key = MintKey::generate(A::RS256);
    let mut jwk = key.jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let own = Authentication {
        methods: vec![M::PrivateKeyJwt],
        keys: vec![ForeignKey::from_jwk(&jwk).unwrap().to_registered()],
        profile: SecurityProfile::Fapi2,
        ..Authentication::default()
    };
    let change = |profile| Command::ChangeAuthentication {
        application: client.id.parse().unwrap(),
        authentication: Some(Box::new(Authentication {
            profile,
            ..own.clone()
        })),
    };
    world.server.execute(change(SecurityProfile::Fapi2)).await;
    let asked = || {
        let assertion = key.jwt(&world.claims(client));
        world.asserting(world.asked(Way::KeyAndDpop, client), &assertion)
    };
    refused(&world.send(asked()).await, 401, "invalid_client");
    // It is the profile that forbids it.
    world.server.execute(change(SecurityProfile::None)).await;
    world.granted(asked()).await;
}

#[actix_web::test]
async fn fapi2_security_profile_final_ensure_client_id_in_token_endpoint() {
    let world = world().await;
    let client = &world.clients[0];
    let asked = world.asked(Way::Mtls, client).without("client_id");
    refused(&world.send(asked).await, 401, "invalid_client");
    // That of another application is not proved by this one's credentials.
    let other = &world.clients[1].id;
    let asked = world.asked(Way::Mtls, client).set("client_id", other);
    refused(&world.send(asked).await, 401, "invalid_client");
    let asked = world.asked(Way::KeyAndDpop, client).set("client_id", other);
    refused(&world.send(asked).await, 401, "invalid_client");
}
