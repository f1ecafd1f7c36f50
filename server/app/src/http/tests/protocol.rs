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
    // RFC 9110 §12.4.2: q=0 is a no.
    for accept in [
        "application/json",
        "application/token-introspection+jwt;q=0, application/json",
        "application/token-introspection+jwt; Q=0.000",
        "application/token-introspection+jwt2",
        "*/*",
    ] {
        assert_eq!(ask(accept, &token).await.json()["active"], true, "{accept}");
    }
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

#[actix_web::test]
async fn rfc9701_8_1_a_signed_introspection_is_a_token_nowhere() {
    let server = TestServer::new();
    let admin = &server.admin;
    let token = server.admin_token(admin).await;
    let told = signed_introspection(&server, admin, &token).await;
    assert_eq!(claims(&told)["token_introspection"]["active"], true);
    let bearer = ("authorization", format!("Bearer {told}"));
    let settings = TestRequest::get().uri("/api/v1/settings");
    let answer = server.send(settings.insert_header(bearer.clone())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let form = [("token", token.as_str())];
    let request = TestRequest::post().uri("/oauth2/introspect").set_form(form);
    let answer = server.send(request.insert_header(bearer)).await;
    refused(&answer, 401, "invalid_client");
    let of_itself = introspect(&server, admin, &told).await;
    assert_eq!(of_itself, json!({ "active": false }));
    let id = admin.client_id.as_str();
    let as_client = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", told.as_str()),
    ];
    let answer = server.post("/oauth2/token", &as_client).await;
    refused(&answer, 401, "invalid_client");
    let as_grant = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", id),
        ("assertion", told.as_str()),
    ];
    let answer = server.post("/oauth2/token", &as_grant).await;
    refused(&answer, 400, "invalid_grant");
}

#[actix_web::test]
async fn rfc9701_5_what_is_not_for_the_caller_is_inactive_in_a_signed_answer_too() {
    let (server, api, job) = world().await;
    let ask = [("scope", "courses:read")];
    let token = server.access_token(&job, &ask).await;
    let stranger = server.application(api, &[]).await;
    let told = claims(&signed_introspection(&server, &stranger, &token).await);
    assert_eq!(told["token_introspection"], json!({ "active": false }));
    // Nobody in particular gets nothing signed.
    let request = TestRequest::post()
        .uri("/oauth2/introspect")
        .insert_header(("accept", "application/token-introspection+jwt"))
        .set_form([("token", &token)]);
    let answer = server.send(request).await;
    refused(&answer, 401, "invalid_client");
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
}

#[actix_web::test]
async fn rfc9728_3_2_a_member_without_values_is_left_out() {
    let server = TestServer::new();
    let api = server.api(COURSES, &[], TokenProfile::default()).await;
    let uri = format!("/oauth2/protected-resources/{api}");
    let document = server.send(TestRequest::get().uri(&uri)).await.json();
    assert_eq!(document["resource"], COURSES);
    for (member, value) in document.as_object().unwrap() {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.is_null();
        assert!(!empty, "{member}");
    }
    // RFC 9728 §3.1: it is got, and nothing else.
    let answer = server.send(TestRequest::post().uri(&uri)).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
}

#[actix_web::test]
async fn rfc8707_2_a_resource_is_an_identifier_to_the_letter() {
    let (server, _, job) = world().await;
    for resource in [
        "courses",
        "/api",
        "courses.example/api",
        "https://courses.example/api#x",
        "https://courses.example/api#",
        "https://courses.example/api?x=1",
        "https://courses.example/api/",
        "https://courses.example/api/below",
        "https://courses.example",
        "https://COURSES.example/api",
        "http://courses.example/api",
        "https://courses.example/api https://grades.example",
    ] {
        let ask = [("resource", resource), ("scope", "courses:read")];
        let answer = server.token(&job, &ask).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{resource}");
        refused(&answer, 400, "invalid_target");
        // One that is right does not make up for it.
        let both = [("resource", COURSES), ("resource", resource)];
        refused(&server.token(&job, &both).await, 400, "invalid_target");
    }
    // RFC 8707 §2.2: a token for one is for no other.
    let profile = TokenProfile::default();
    server.api(GRADES, &["grades:read"], profile).await;
    let grades = [("resource", GRADES)];
    refused(&server.token(&job, &grades).await, 400, "invalid_target");
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
    let (claimed, _) = table.split_once("\n## ").unwrap();
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
        assert!(said && claimed.contains(standard), "{standard}");
    }
}
