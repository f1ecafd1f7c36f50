//! What goes beyond RFC 6749 at the OAuth endpoints: signed introspection, metadata of protected
//! resources.

use super::*;

#[actix_web::test]
async fn rfc_9701_section_5_an_introspection_is_signed_for_who_asks() {
    let (server, api, job) = world().await;
    let guard = server.application(api, &[]).await;
    guards(&server, api, &guard).await;
    let token = server
        .access_token(&job, &[("scope", "courses:read")])
        .await;
    let ask = async |accept: &str, token: &str| {
        let request = TestRequest::post()
            .uri("/oauth2/introspect")
            .insert_header(("accept", accept))
            .set_form([
                ("client_id", guard.client_id.as_str()),
                ("client_secret", guard.client_secret.as_str()),
                ("token", token),
            ]);
        server.send(request).await
    };
    let accept = "application/json;q=0.5, application/token-introspection+jwt";
    let answer = ask(accept, &token).await;
    assert_eq!(
        answer.header("content-type"),
        "application/token-introspection+jwt"
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let jwt = String::from_utf8(answer.body).unwrap();
    let header = part(&jwt, 0);
    assert_eq!(header["typ"], "token-introspection+jwt");
    let claims = claims(&jwt);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], guard.client_id);
    assert_eq!(claims["iat"], server.app.now().seconds());
    assert_eq!(claims["token_introspection"]["active"], true);
    assert_eq!(claims["token_introspection"]["scope"], "courses:read");
    // RFC 9701 §8.1: it must not pass for an access token, though the same key signed it.
    for member in ["sub", "exp", "client_id"] {
        assert_eq!(claims[member], Value::Null, "{member}");
    }
    assert!(server.app.validate_token(&jwt).is_err());
    let ring = server.app.ring();
    let key = ring.trusted(header["kid"].as_str().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(key.foreign_algorithm());
    validation.required_spec_claims.clear();
    validation.set_audience(&[&guard.client_id]);
    assert!(jsonwebtoken::decode::<Value>(&jwt, &key.decoding, &validation).is_ok());

    let answer = ask(accept, "nonsense").await;
    let told = super::claims(&String::from_utf8(answer.body).unwrap());
    assert_eq!(told["token_introspection"], json!({ "active": false }));
    let answer = ask("application/json", &token).await;
    assert_eq!(answer.json()["active"], true);
}

#[actix_web::test]
async fn rfc_9728_section_2_a_protected_resource_says_what_it_needs() {
    let (server, api, _) = world().await;
    let change = Command::ChangeApiResource {
        id: api,
        name: None,
        requires_authorization: None,
        profile: ProfileChange {
            sender_constraint: Some(writ_core::SenderConstraint::Dpop),
            ..ProfileChange::default()
        },
        guards: None,
    };
    server.execute(change).await;
    let get = async |id: &str| {
        let uri = format!("/oauth2/protected-resources/{id}");
        server.send(TestRequest::get().uri(&uri)).await
    };
    let answer = get(&api.to_string()).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let name = server.app.index().api(api).unwrap().name.to_string();
    assert_eq!(
        answer.json(),
        json!({
            "resource": COURSES,
            "authorization_servers": [ISSUER],
            "resource_name": name,
            "scopes_supported": ["courses:publish", "courses:read", "courses:write"],
            "bearer_methods_supported": ["header"],
            "dpop_bound_access_tokens_required": true,
        })
    );
    // The management API is nobody's to find.
    for unknown in ["api_0", "api_99", "nonsense"] {
        assert_eq!(
            get(unknown).await.status,
            StatusCode::NOT_FOUND,
            "{unknown}"
        );
    }
}

/// The table of the README and the metadata say the same.
#[actix_web::test]
async fn the_readme_claims_what_the_metadata_says() {
    let server = TestServer::new();
    // Some of it is there as soon as an administrator wants it.
    registration::initial_access_token(&server, Vec::new(), 1).await;
    let request = TestRequest::get().uri("/.well-known/oauth-authorization-server");
    let document = server.send(request).await.json();
    let readme = include_str!("../../../../../README.md");
    let (_, table) = readme.split_once("## What it speaks").unwrap();
    let (claimed, missing) = table.split_once("Not there yet:").unwrap();
    let has = |member: &str, value: &str| {
        let values = document[member].as_array();
        values.is_some_and(|values| values.iter().any(|one| one == value))
    };
    let methods = "token_endpoint_auth_methods_supported";
    let grants = "grant_types_supported";
    for (standard, said) in [
        ("RFC 6749", has(grants, "client_credentials")),
        ("RFC 7523", has(methods, "private_key_jwt")),
        (
            "RFC 7523",
            has(grants, "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ),
        ("RFC 8705", has(methods, "tls_client_auth")),
        ("RFC 8705", has(methods, "self_signed_tls_client_auth")),
        (
            "RFC 8705",
            document["tls_client_certificate_bound_access_tokens"] == true,
        ),
        (
            "RFC 8693",
            has(grants, "urn:ietf:params:oauth:grant-type:token-exchange"),
        ),
        (
            "RFC 9449",
            has("dpop_signing_alg_values_supported", "ES256"),
        ),
        (
            "RFC 9701",
            has("introspection_signing_alg_values_supported", "ES256"),
        ),
        (
            "RFC 9396",
            document
                .get("authorization_details_types_supported")
                .is_some(),
        ),
        ("RFC 7591", document.get("registration_endpoint").is_some()),
    ] {
        assert_eq!(claimed.contains(standard), said, "{standard}");
        assert_eq!(
            missing.split("\n\n").next().unwrap().contains(standard),
            !said,
            "{standard}"
        );
    }
}

#[actix_web::test]
async fn rfc_9396_section_5_details_are_refused_rather_than_ignored() {
    let (server, _, job) = world().await;
    let ask = [("scope", "courses:read"), ("authorization_details", "[]")];
    let answer = server.token(&job, &ask).await;
    refused(&answer, 400, "invalid_authorization_details");
}
