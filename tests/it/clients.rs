//! Other people's clients against a running Writ: they get tokens, validate them, introspect and
//! revoke them, for each signing algorithm that they know. The programs are in `tests/clients`;
//! every check that passed is a line `ok NAME`.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, ClientId, ClientSecret, IntrospectionUrl, RevocationUrl, Scope,
    StandardRevocableToken, TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use rcgen::KeyPair;
use serde_json::{Value, json};
use writ_tests::{Application, Http, PATIENCE, Process, Start, Writ, outside, repository};

const ALGORITHMS: [&str; 4] = ["ES256", "RS256", "PS256", "EdDSA"];

/// A server over TLS with an API resource for each algorithm, an application that may use them all,
/// and a guard that may introspect all their tokens. Shared by the tests that run at the same time.
struct World {
    writ: Writ,
    client: Application,
    guard: Application,
    /// One that has a key and no secret, of the strict profile.
    keyed: Application,
    key: KeyPair,
    /// By which others register themselves.
    initial_access_token: String,
}

fn world() -> Arc<World> {
    static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let world = Arc::new(World::new());
        *shared = Arc::downgrade(&world);
        world
    })
}

impl World {
    fn new() -> Self {
        let writ = Writ::with(Start {
            tls: true,
            ..Start::default()
        });
        let admin = writ.admin();
        let client = admin.register_application("Other people's client");
        let guard = admin.register_application("The APIs themselves");
        let keyed = admin.register_application("One without a secret");
        let key = KeyPair::generate().unwrap();
        let path = format!("/applications/{}/authentication", keyed.id);
        admin.put(&path, &by_key(&key)).expect(200);
        let path = format!("/applications/{}/token-exchange", guard.id);
        let exchange = json!({ "subjects": [client.id] });
        admin.put(&path, &exchange).expect(200);
        for algorithm in ALGORITHMS {
            let profile = json!({ "algorithm": algorithm });
            let api = admin.register_api(&identifier(algorithm), &profile, &[&scope(algorithm)]);
            for application in [&client, &guard, &keyed] {
                admin.grant(application, &api, &[&scope(algorithm)]);
            }
            let guards = json!({ "guards": [guard.id] });
            admin
                .patch(&format!("/api-resources/{api}"), &guards)
                .expect(200);
        }
        let lets_in = json!({
            "name": "Other people's clients",
            "registrations": 20,
            "methods": ["client_secret_post", "private_key_jwt"],
            "name_prefix": "self-made",
            "grants": [{ "api": identifier("ES256"), "scopes": [scope("ES256")] }],
        });
        let lets_in = admin.post("/initial-access-tokens", &lets_in).expect(201);
        Self {
            initial_access_token: lets_in.text("token"),
            writ,
            client,
            guard,
            keyed,
            key,
        }
    }

    fn case(&self) -> Value {
        let apis: Vec<Value> = ALGORITHMS
            .iter()
            .map(|algorithm| {
                json!({
                    "algorithm": algorithm,
                    "identifier": identifier(algorithm),
                    "scope": scope(algorithm),
                })
            })
            .collect();
        json!({
            "issuer": self.writ.base(),
            "ca": self.writ.data("tls/cert.pem"),
            "client_id": self.client.id,
            "client_secret": self.client.secret,
            "guard": { "client_id": self.guard.id, "client_secret": self.guard.secret },
            "keyed": { "client_id": self.keyed.id, "private_key": self.key.serialize_pem() },
            "initial_access_token": self.initial_access_token,
            "apis": apis,
        })
    }

    /// Runs a program with the case file as its last argument; answers the checks that passed.
    fn run(&self, name: &str, mut program: Command) -> Vec<String> {
        let scratch = tempfile::tempdir().unwrap();
        let case = scratch.path().join("case.json");
        std::fs::write(&case, self.case().to_string()).unwrap();
        program
            .arg(&case)
            .env("REQUESTS_CA_BUNDLE", self.writ.data("tls/cert.pem"))
            .env("NODE_EXTRA_CA_CERTS", self.writ.data("tls/cert.pem"))
            .env("NODE_NO_WARNINGS", "1");
        let finished = Process::run(name, program, PATIENCE).expect_success(name);
        let passed = finished.stdout.lines();
        passed
            .map(|line| line.strip_prefix("ok ").unwrap().to_owned())
            .collect()
    }
}

/// An application that proves itself by this key, as strict as FAPI 2.0.
fn by_key(key: &KeyPair) -> Value {
    let point = &key.public_key_raw()[1..];
    let (x, y) = point.split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "alg": "ES256" });
    json!({
        "methods": ["private_key_jwt"],
        "jwks": { "keys": [jwk] },
        "profile": "fapi2",
    })
}

fn identifier(algorithm: &str) -> String {
    format!("https://{}.example/api", algorithm.to_lowercase())
}

fn scope(algorithm: &str) -> String {
    format!("{}:use", algorithm.to_lowercase())
}

/// The number of checks with `word` in their name.
fn count(passed: &[String], word: &str) -> usize {
    passed.iter().filter(|name| name.contains(word)).count()
}

fn node(script: &str, checks: &str) -> Option<Vec<String>> {
    let source = repository().join("tests/clients/node");
    let package = outside::node_package(&source, checks)?;
    let mut node = Command::new("node");
    node.arg(package.join(script)).current_dir(&package);
    Some(world().run(script, node))
}

fn python(script: &str, checks: &str) -> Option<Vec<String>> {
    let source = repository().join("tests/clients/python");
    let package = outside::python_package(&source, checks)?;
    let mut python = Command::new(package.join("venv/bin/python"));
    python.args(["-B", script]).current_dir(&package);
    Some(world().run(script, python))
}

#[test]
fn oauth4webapi_gets_validates_introspects_and_revokes() {
    let Some(passed) = node("oauth4webapi.mjs", "oauth4webapi") else {
        return;
    };
    assert_eq!(
        count(&passed, "validateJwtAccessToken"),
        2 * ALGORITHMS.len()
    );
    assert_eq!(count(&passed, "revocation"), ALGORITHMS.len());
    assert_eq!(passed.len(), 2 + 3 * ALGORITHMS.len() + 1, "{passed:?}");
}

#[test]
fn openid_client_gets_introspects_and_revokes() {
    let Some(passed) = node("openid-client.mjs", "openid-client") else {
        return;
    };
    assert_eq!(count(&passed, "revocation"), ALGORITHMS.len());
    assert_eq!(passed.len(), 4 + ALGORITHMS.len() + 1, "{passed:?}");
}

#[test]
fn authlib_gets_validates_introspects_and_revokes() {
    let Some(passed) = python("authlib_client.py", "Authlib") else {
        return;
    };
    assert_eq!(count(&passed, "JWTBearerTokenValidator"), 2);
    assert_eq!(passed.len(), 3 * ALGORITHMS.len() + 2, "{passed:?}");
}

#[test]
fn oauth4webapi_and_openid_client_hold_keys_and_no_secret() {
    let Some(passed) = node("keyed.mjs", "private_key_jwt and DPoP") else {
        return;
    };
    assert_eq!(passed.len(), 3, "{passed:?}");
}

#[test]
fn oauth4webapi_and_openid_client_register_themselves() {
    let Some(passed) = node("registration.mjs", "dynamic client registration") else {
        return;
    };
    assert_eq!(passed.len(), 3, "{passed:?}");
}

#[test]
fn requests_oauth2client_holds_keys_and_exchanges() {
    let Some(passed) = python("keyed_client.py", "requests-oauth2client") else {
        return;
    };
    assert_eq!(passed.len(), 3, "{passed:?}");
}

#[test]
fn pyjwt_validates() {
    let Some(passed) = python("pyjwt_client.py", "PyJWT") else {
        return;
    };
    assert_eq!(count(&passed, "PyJWKClient"), ALGORITHMS.len());
    assert_eq!(passed.len(), ALGORITHMS.len(), "{passed:?}");
}

/// The `oauth2` crate brings its own types and leaves the transport to the caller: here the
/// harness's client, which it may not make follow redirects.
fn transport(
    http: &Http,
) -> impl Fn(oauth2::HttpRequest) -> Result<oauth2::HttpResponse, ureq::Error> {
    let http = http.clone();
    move |request| {
        let answer = http.run(request)?;
        let mut response = oauth2::HttpResponse::new(answer.body);
        *response.status_mut() =
            ureq::http::StatusCode::from_u16(answer.status).map_err(ureq::http::Error::from)?;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

#[test]
fn the_oauth2_crate_gets_introspects_and_revokes() {
    let world = world();
    let (writ, transport) = (&world.writ, transport(world.writ.http()));
    let metadata = writ.http().get("/.well-known/oauth-authorization-server");
    let client_of = |party: &Application, auth_type: AuthType| {
        BasicClient::new(ClientId::new(party.id.clone()))
            .set_client_secret(ClientSecret::new(party.secret.clone()))
            .set_token_uri(TokenUrl::new(metadata.text("token_endpoint")).unwrap())
            .set_introspection_url(
                IntrospectionUrl::new(metadata.text("introspection_endpoint")).unwrap(),
            )
            .set_revocation_url(RevocationUrl::new(metadata.text("revocation_endpoint")).unwrap())
            .set_auth_type(auth_type)
    };
    let guard = client_of(&world.guard, AuthType::BasicAuth);
    for algorithm in ALGORITHMS {
        for auth_type in [AuthType::BasicAuth, AuthType::RequestBody] {
            let client = client_of(&world.client, auth_type);
            let answer = client
                .exchange_client_credentials()
                .add_scope(Scope::new(scope(algorithm)))
                .add_extra_param("resource", identifier(algorithm))
                .request(&transport)
                .unwrap();
            assert_eq!(answer.scopes(), Some(&vec![Scope::new(scope(algorithm))]));
            validate(writ, answer.access_token().secret(), algorithm);

            let introspection = guard.introspect(answer.access_token());
            let before = introspection.request(&transport).unwrap();
            assert!(before.active());
            assert_eq!(before.client_id().unwrap().as_str(), world.client.id);
            client
                .revoke_token(StandardRevocableToken::from(answer.access_token().clone()))
                .unwrap()
                .request(&transport)
                .unwrap();
            let introspection = guard.introspect(answer.access_token());
            assert!(!introspection.request(&transport).unwrap().active());
        }
    }
}

/// What a Rust resource server does with `jsonwebtoken`.
fn validate(writ: &Writ, token: &str, algorithm: &str) {
    let algorithm: Algorithm = algorithm.parse().unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!(header.alg, algorithm);
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let keys: JwkSet = serde_json::from_slice(&writ.http().get("/oauth2/jwks").body).unwrap();
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut expected = Validation::new(algorithm);
    expected.set_issuer(&[writ.base()]);
    expected.set_audience(&[identifier(&format!("{algorithm:?}"))]);
    expected.set_required_spec_claims(&["iss", "aud", "exp", "nbf", "sub"]);
    expected.validate_nbf = true;
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &expected).unwrap();
}
