//! The listeners as an operator sets them: the admin API apart from the public endpoints, and a
//! certificate that was brought along and is replaced while the server runs.

use std::fs;
use std::path::Path;

use serde_json::json;
use writ_tests::{Http, Start, Writ, free_port, poll};

/// Makes a certificate for localhost and its key.
fn make_certificate(cert: &Path, key: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
    fs::write(cert, made.cert.pem()).unwrap();
}

#[test]
fn the_admin_api_can_have_a_listener_of_its_own() {
    let port = free_port();
    let writ = Writ::with(Start::default().with("WRIT_ADMIN_LISTEN", format!("127.0.0.1:{port}")));
    let apart = Http::new(&format!("http://127.0.0.1:{port}"), None);
    let admin = writ.admin();
    let list = |http: &Http| {
        let call = http.call("GET", "/api/v1/applications");
        call.bearer(admin.token()).send()
    };
    list(&apart).expect(200);
    let hidden = list(writ.http());
    assert_eq!(hidden.status, 404, "{hidden}");
    for path in ["/api/v1/openapi.json", "/api/v1", "/api/v1/"] {
        assert_eq!(writ.http().get(path).status, 404, "{path}");
    }
    apart.get("/api/v1/openapi.json").expect(200);
    // And nothing else is there.
    for path in ["/oauth2/jwks", "/.well-known/oauth-authorization-server"] {
        assert_eq!(apart.get(path).status, 404, "{path}");
        writ.http().get(path).expect(200);
    }
    let form = [("grant_type", "client_credentials")];
    let token = apart.call("POST", "/oauth2/token").form(&form).send();
    assert_eq!(token.status, 404, "{token}");
    for listener in [writ.http(), &apart] {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(listener.get(path).status, 404, "{path}");
        }
    }
    let made = apart
        .call("POST", "/api/v1/roles")
        .bearer(admin.token())
        .json(&json!({ "name": "Made apart" }));
    made.send().expect(201);
}

#[test]
fn a_certificate_is_served_on_every_listener_and_replaced_while_running() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    make_certificate(&cert, &key);
    fs::copy(&cert, file("first.pem")).unwrap();
    let port = free_port();
    let writ = Writ::with(
        Start {
            tls: true,
            ..Start::default()
        }
        .with("WRIT_TLS_CERT_FILE", cert.to_str().unwrap())
        .with("WRIT_TLS_KEY_FILE", key.to_str().unwrap())
        .with("WRIT_ADMIN_LISTEN", format!("127.0.0.1:{port}")),
    );
    let bases = [writ.base().to_owned(), format!("https://localhost:{port}")];
    assert!(bases[0].starts_with("https://localhost:"), "{}", bases[0]);
    let paths = ["/oauth2/jwks", "/api/v1/openapi.json"];
    let trusting = |ca: &Path| [0, 1].map(|at| Http::new(&bases[at], Some(ca)));
    let first = trusting(&file("first.pem"));
    for (http, path) in first.iter().zip(paths) {
        let answer = http.get(path).expect(200);
        let strict = answer.header("strict-transport-security");
        assert!(strict.starts_with("max-age="), "{strict:?}");
    }
    assert!(
        !writ.data("tls").exists(),
        "a certificate of our own was made besides"
    );

    // Half of the new pair changes nothing.
    make_certificate(&file("second.pem"), &file("second.key"));
    let second = || trusting(&file("second.pem"));
    let reaches = |http: &Http, path| http.call("GET", path).try_send().is_ok();
    fs::copy(file("second.pem"), &cert).unwrap();
    poll("the half pair is noticed", || {
        writ.said().contains("do not belong together").then_some(())
    });
    let fresh = trusting(&file("first.pem"));
    assert!(
        fresh
            .iter()
            .zip(paths)
            .all(|(http, path)| reaches(http, path))
    );
    assert!(
        second()
            .iter()
            .zip(paths)
            .all(|(http, path)| !reaches(http, path))
    );

    fs::copy(file("second.key"), &key).unwrap();
    poll("the new certificate is served", || {
        let taken = second()
            .iter()
            .zip(paths)
            .all(|(http, path)| reaches(http, path));
        taken.then_some(())
    });
    let late = trusting(&file("first.pem"));
    assert!(
        late.iter()
            .zip(paths)
            .all(|(http, path)| !reaches(http, path))
    );
}
