//! What the hardware and the framework allow: two servers without anything of Writ, in processes of
//! their own. `bare` parses the form and answers 700 bytes of JSON; `sign` does what no issuer of JWTs
//! can do without: it looks the application up, hashes and compares the secret, splits the scopes, and
//! signs claims with a key that was parsed once.

use actix_web::http::header;
use actix_web::web::{Data, Form};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};
use writ_core::Algorithm;

/// The application that a reference server knows among ten thousand others.
pub const CLIENT_ID: &str = "01jdd2p000000000000000001a";
/// Its secret, as long as one of Writ's.
pub const CLIENT_SECRET: &str = "0123456789abcdef0123456789abcdef0123456789a";
/// What it asks for.
pub const SCOPE: &str = "courses:publish courses:read";
/// What a reference server prints, before its address, when it accepts.
pub const READY: &str = "reference: listening on ";

/// How long the answer of `bare` is, in bytes.
const ANSWER: usize = 700;
const APPLICATIONS: usize = 10_000;

#[derive(Deserialize)]
struct TokenForm {
    grant_type: String,
    client_id: String,
    client_secret: String,
    scope: String,
}

/// Serves until it is killed.
///
/// # Errors
/// It cannot listen, or there is no key.
pub fn serve(algorithm: Option<Algorithm>, workers: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let issuer = algorithm.map(Issuer::new).transpose()?.map(Data::new);
    let fixed: &'static str = Box::leak(fixed_answer().into_boxed_str());
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let app = App::new();
            match &issuer {
                None => app.route(
                    "/oauth2/token",
                    web::post().to(move |form: Form<TokenForm>| bare(form, fixed)),
                ),
                Some(issuer) => app
                    .app_data(issuer.clone())
                    .route("/oauth2/token", web::post().to(sign)),
            }
        })
        .workers(workers)
        .listen(listener)?
        .run();
        let mut out = std::io::stdout();
        writeln!(out, "{READY}{address}")?;
        out.flush()?;
        server.await
    })?;
    Ok(())
}

fn fixed_answer() -> String {
    let frame = r#"{"access_token":"","token_type":"Bearer","expires_in":900,"scope":"courses:publish courses:read"}"#;
    let token = "x".repeat(ANSWER - frame.len());
    frame.replace(
        r#""access_token":"""#,
        &format!(r#""access_token":"{token}""#),
    )
}

fn json(body: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(header::ContentType::json())
        .body(body.into())
}

async fn bare(form: Form<TokenForm>, answer: &'static str) -> HttpResponse {
    // Read, so that it is not parsed for nothing.
    if form.grant_type != "client_credentials" || form.client_id.is_empty() {
        return HttpResponse::BadRequest().finish();
    }
    json(answer)
}

async fn sign(form: Form<TokenForm>, issuer: Data<Issuer>) -> HttpResponse {
    match issuer.answer(&form) {
        Ok(answer) => json(answer),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

struct Application {
    secret: [u8; 32],
    scopes: Vec<&'static str>,
}

struct Issuer {
    applications: HashMap<u128, Application>,
    /// The first part of each token, with its dot.
    header: String,
    key: Key,
    random: SystemRandom,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: &'a str,
    scope: &'a str,
}

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u32,
    scope: &'a str,
}

impl Issuer {
    fn new(algorithm: Algorithm) -> Result<Self> {
        let key = match algorithm {
            Algorithm::EdDSA => Key::Ed25519(Ed25519KeyPair::generate()?),
            Algorithm::ES256 => {
                Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
            Algorithm::RS256 => {
                Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?, &RSA_PKCS1_SHA256)
            }
            Algorithm::PS256 => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?, &RSA_PSS_SHA256),
        };
        let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"reference-key-1"}}"#);
        let application = |secret: &str| Application {
            secret: sha256(secret.as_bytes()),
            scopes: SCOPE.split(' ').collect(),
        };
        let mut applications: HashMap<u128, Application> = (0..APPLICATIONS)
            .map(|number| (number as u128, application(&number.to_string())))
            .collect();
        let id = identifier(CLIENT_ID).context("an id")?;
        applications.insert(id, application(CLIENT_SECRET));
        Ok(Self {
            applications,
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header)),
            key,
            random: SystemRandom::new(),
        })
    }

    fn answer(&self, form: &TokenForm) -> Result<String> {
        let id = identifier(&form.client_id).context("not an id")?;
        let application = self.applications.get(&id).context("unknown")?;
        let presented = sha256(form.client_secret.as_bytes());
        let same =
            aws_lc_rs::constant_time::verify_slices_are_equal(&presented, &application.secret);
        same.context("not its secret")?;
        if form.grant_type != "client_credentials" {
            bail!("another grant");
        }
        let granted = |scope| application.scopes.contains(&scope);
        if !form.scope.split(' ').all(granted) {
            bail!("not its scopes");
        }
        let mut jti = [0; 16];
        aws_lc_rs::rand::SecureRandom::fill(&self.random, &mut jti)?;
        let jti = URL_SAFE_NO_PAD.encode(jti);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = serde_json::to_vec(&Claims {
            iss: "https://writ.example",
            sub: &form.client_id,
            aud: "https://courses.example/api",
            client_id: &form.client_id,
            exp: now + 900,
            iat: now,
            nbf: now,
            jti: &jti,
            scope: &form.scope,
        })?;
        let mut token = String::with_capacity(1024);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = [0; 256];
        let signature = self.sign(token.as_bytes(), &mut signature)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(serde_json::to_string(&Answer {
            access_token: &token,
            token_type: "Bearer",
            expires_in: 900,
            scope: &form.scope,
        })?)
    }

    fn sign<'a>(&self, message: &[u8], out: &'a mut [u8; 256]) -> Result<&'a [u8]> {
        let short = match &self.key {
            Key::Ed25519(key) => key.sign(message),
            Key::P256(key) => key.sign(&self.random, message)?,
            Key::Rsa(key, encoding) => {
                key.sign(*encoding, &self.random, message, out)?;
                return Ok(out);
            }
        };
        let out = &mut out[..short.as_ref().len()];
        out.copy_from_slice(short.as_ref());
        Ok(out)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// 26 characters of Crockford's base32, as Writ's ids are.
fn identifier(text: &str) -> Option<u128> {
    text.parse::<writ_core::ApplicationId>().ok().map(|id| id.0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn form(secret: &str, scope: &str) -> TokenForm {
        TokenForm {
            grant_type: "client_credentials".into(),
            client_id: CLIENT_ID.into(),
            client_secret: secret.into(),
            scope: scope.into(),
        }
    }

    #[test]
    fn the_fixed_answer_is_as_long_as_it_should_be_and_json() {
        let answer = fixed_answer();
        assert_eq!(answer.len(), ANSWER);
        assert!(serde_json::from_str::<serde_json::Value>(&answer).is_ok());
    }

    #[test]
    fn the_floor_does_what_it_is_said_to_do() {
        for (algorithm, signature) in [
            (Algorithm::ES256, 64),
            (Algorithm::EdDSA, 64),
            (Algorithm::RS256, 256),
            (Algorithm::PS256, 256),
        ] {
            let issuer = Issuer::new(algorithm).unwrap();
            let answer = issuer.answer(&form(CLIENT_SECRET, SCOPE)).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let token = answer["access_token"].as_str().unwrap();
            let parts: Vec<Vec<u8>> = token
                .split('.')
                .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
                .collect();
            let header: serde_json::Value = serde_json::from_slice(&parts[0]).unwrap();
            assert_eq!(header["alg"], algorithm.to_string());
            let claims: serde_json::Value = serde_json::from_slice(&parts[1]).unwrap();
            assert_eq!(
                (&claims["scope"], parts[2].len()),
                (&SCOPE.into(), signature)
            );
            assert!(issuer.answer(&form("another", SCOPE)).is_err());
            assert!(
                issuer
                    .answer(&form(CLIENT_SECRET, "courses:delete"))
                    .is_err()
            );
        }
    }
}
