//! Mutual TLS with a client that other people wrote: `curl` shows a certificate to the real server
//! (RFC 8705).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;
use writ_tests::{PATIENCE, Process, Start, Writ, outside};

/// The answer of the token endpoint to `curl`, with a certificate or without.
pub(crate) fn curl(writ: &Writ, certificate: Option<&Path>, form: &[(&str, &str)]) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--cacert"])
        .arg(writ.data("tls/cert.pem"));
    if let Some(certificate) = certificate {
        curl.arg("--cert").arg(certificate);
    }
    for (name, value) in form {
        curl.args(["--data-urlencode", &format!("{name}={value}")]);
    }
    curl.arg(format!("{}/oauth2/token", writ.base()));
    let finished = Process::run("curl", curl, PATIENCE).expect_success("curl");
    serde_json::from_str(&finished.stdout).unwrap()
}

fn thumbprint(token: &Value) -> String {
    let token = token["access_token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["cnf"]["x5t#S256"].as_str().unwrap().to_owned()
}

/// A certificate with its key, as `curl --cert` takes it.
fn file(directory: &Path, name: &str, certificate: &str, key: &KeyPair) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("{certificate}{}", key.serialize_pem())).unwrap();
    path
}

#[test]
fn curl_shows_a_certificate() {
    if !outside::have(&["curl"], "mutual TLS by curl") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "The authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let named = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params, KeyPair::generate().unwrap())
    };
    let (params, key) = named("job.example");
    let issued = params.signed_by(&key, &authority).unwrap();
    let issued = file(directory.path(), "issued.pem", &issued.pem(), &key);
    let (params, key) = named("job.example");
    let own = params.self_signed(&key).unwrap();
    let digest = thumbprint_of(own.der());
    let own = file(directory.path(), "own.pem", &own.pem(), &key);

    let start = Start {
        tls: true,
        ..Start::default()
    };
    let start = start
        .with("WRIT_TLS_CLIENT_CERTIFICATES", "true")
        .with("WRIT_TLS_CLIENT_CA_FILE", ca_file.display().to_string());
    let writ = Writ::with(start);
    let admin = writ.admin();
    let api = admin.register_api("https://courses.example/api", &json!({}), &["courses:read"]);
    let job = admin.register_application("Holds a certificate");
    admin.grant(&job, &api, &["courses:read"]);
    let authentication = format!("/applications/{}/authentication", job.id);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", job.id.as_str()),
        ("scope", "courses:read"),
    ];

    // One that is registered itself.
    let by_own = json!({
        "methods": ["self_signed_tls_client_auth"],
        "certificates": [digest],
        "profile": "fapi2",
    });
    admin.put(&authentication, &by_own).expect(200);
    let token = curl(&writ, Some(&own), &form);
    assert_eq!(token["token_type"], "Bearer", "{token}");
    assert_eq!(hex_of(&thumbprint(&token)), digest);
    for certificate in [None, Some(issued.as_path())] {
        assert_eq!(curl(&writ, certificate, &form)["error"], "invalid_client");
    }

    // One that an authority issued for a name.
    let by_name = json!({
        "methods": ["tls_client_auth"],
        "certificate_subject": { "dns": "job.example" },
        "profile": "fapi2",
    });
    admin.put(&authentication, &by_name).expect(200);
    let token = curl(&writ, Some(&issued), &form);
    assert_ne!(hex_of(&thumbprint(&token)), digest, "{token}");
    for certificate in [None, Some(own.as_path())] {
        assert_eq!(curl(&writ, certificate, &form)["error"], "invalid_client");
    }
}

fn thumbprint_of(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

fn hex_of(text: &str) -> String {
    hex(&URL_SAFE_NO_PAD.decode(text).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
