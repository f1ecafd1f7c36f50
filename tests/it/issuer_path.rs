//! An issuer with a path: every document, endpoint and link is below it, and nothing beside it.

use serde_json::{Value, json};
use writ_tests::{Application, Http, Start, Writ};

#[test]
fn an_issuer_with_a_path_has_everything_below_it() {
    let mut first = Writ::start();
    first.stop();
    let writ = first.restart_as(Start {
        path: "/t1",
        ..Start::default()
    });
    let root = Http::new(writ.base(), None);
    let issuer = format!("{}/t1", writ.base());

    // RFC 8414 §3.1 inserts the well-known part before the path, OpenID Connect Discovery §4 puts
    // it behind.
    let mut documents: Vec<Value> = Vec::new();
    for place in [
        "/.well-known/oauth-authorization-server/t1",
        "/.well-known/openid-configuration/t1",
        "/t1/.well-known/openid-configuration",
    ] {
        let document = root.get(place).expect(200).json();
        assert_eq!(document["issuer"], issuer, "{place}");
        documents.push(document);
    }
    assert!(documents.iter().all(|document| *document == documents[0]));
    let document = &documents[0];
    // The links of the document are followed as they are, below this server's address.
    let link = |member: &str| {
        let link = document[member].as_str().unwrap();
        link.strip_prefix(writ.base()).unwrap().to_owned()
    };
    assert_eq!(link("token_endpoint"), "/t1/oauth2/token");

    // The file of the administrator says where to go now.
    let file = std::fs::read(writ.data("admin.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(file["token_endpoint"], document["token_endpoint"]);

    let admin = writ.admin();
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    let job = admin.register_application("Job");
    admin.grant(&job, &api, &["a:use"]);
    let (id, secret) = (job.id.as_str(), job.secret.as_str());
    let form = [("grant_type", "client_credentials"), ("scope", "a:use")];
    let token = root
        .call("POST", &link("token_endpoint"))
        .basic(id, secret)
        .form(&form)
        .send();
    let token = token.expect(200).text("access_token");
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let keys = root.get(&link("jwks_uri")).expect(200);
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.body).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_audience(&["https://api.example"]);
    validation.set_issuer(&[&issuer]);
    jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();

    let active = |token: &str| {
        let call = root.call("POST", &link("introspection_endpoint"));
        let admin = Application::from_file(writ.http(), &writ.data("admin.json"));
        let answer = call.basic(&admin.id, &admin.secret);
        let answer = answer.form(&[("token", token)]).send().expect(200);
        answer.json()["active"] == true
    };
    assert!(active(&token));
    let revoke = root.call("POST", &link("revocation_endpoint"));
    let revoked = revoke.basic(id, secret).form(&[("token", &token)]).send();
    revoked.expect(200);
    assert!(!active(&token));

    // The admin API is below it too, and says so where it names places.
    let made = admin
        .post("/roles", &json!({ "name": "Reader" }))
        .expect(201);
    let location = made.header("location").to_owned();
    let role = made.text("id");
    assert_eq!(location, format!("/t1/api/v1/roles/{role}"));
    let found = root.call("GET", &location).bearer(admin.token()).send();
    assert_eq!(found.expect(200).text("name"), "Reader");
    let description = root.get("/t1/api/v1/openapi.json").expect(200).json();
    assert!(description["paths"]["/roles/{id}"].is_object());

    // Beside the path is nothing.
    for place in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/t1/.well-known/oauth-authorization-server",
        "/oauth2/jwks",
        "/api/v1/openapi.json",
        "/t2/oauth2/jwks",
        "/t1x/oauth2/jwks",
    ] {
        assert_eq!(root.get(place).status, 404, "{place}");
    }
    let beside = root.call("POST", "/oauth2/token").basic(id, secret);
    assert_eq!(beside.form(&form).send().status, 404);
}
