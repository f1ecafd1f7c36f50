//! What tokens are bound to, and what a request may say of it: certificates (RFC 8705, RFC 9440) and
//! proofs (RFC 9449).

use super::fapi::resources::{RESOURCES, Resource, Used};
use super::fapi::{PROXY, WAYS, Way, world};
use super::*;
use crate::client_certificate::tests as certificates;

/// The endpoints that hear of a certificate.
const PLACES: [&str; 4] = [
    "/oauth2/token",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/api/v1/settings",
];

async fn said(server: &TestServer, peer: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", server.admin.client_id.as_str()),
        ("client_secret", server.admin.client_secret.as_str()),
        ("resource", MANAGEMENT_IDENTIFIER),
        ("token", "x"),
    ];
    let mut request = match path {
        "/api/v1/settings" => {
            let token = server.admin_token(&server.admin).await;
            TestRequest::get().insert_header(("authorization", format!("Bearer {token}")))
        }
        _ => TestRequest::post().set_form(form),
    };
    for header in headers {
        request = request.append_header(*header);
    }
    let request = request.uri(path).peer_addr(peer.parse().unwrap());
    server.send(request).await
}

#[actix_web::test]
async fn rfc8705_3_1_a_token_is_bound_to_one_thing() {
    let world = world().await;
    let client = &world.clients[0];
    let certificate = format!(":{}:", STANDARD.encode(&client.certificate));
    let both = [
        world
            .asked(Way::KeyAndDpop, client)
            .header("client-cert", &certificate),
        world.asked(Way::Mtls, client).header(
            "dpop",
            &client
                .proof
                .proof("POST", fapi::TOKEN, world.now(), None, None),
        ),
    ];
    for asked in both {
        let body = world.granted(asked).await;
        let claims = claims(body["access_token"].as_str().unwrap());
        let bound = claims["cnf"].as_object().unwrap();
        assert_eq!(bound.len(), 1, "{bound:?}");
        let expected = match bound.keys().next().unwrap().as_str() {
            "jkt" => "DPoP",
            _ => "Bearer",
        };
        assert_eq!(body["token_type"], expected);
    }
}

#[actix_web::test]
async fn rfc8705_3_2_and_rfc9449_6_2_introspection_tells_what_a_token_is_bound_to() {
    let world = world().await;
    let client = &world.clients[0];
    for (way, name, token_type) in [
        (Way::KeyAndDpop, "jkt", "DPoP"),
        (Way::Mtls, "x5t#S256", "Bearer"),
    ] {
        let token = world.bound(way, client).await;
        let used = world.used(way, client, Resource::Introspection, &token);
        let told = world.at(Resource::Introspection, used).await.json();
        assert_eq!(told["token_type"], token_type);
        assert_eq!(told["cnf"], claims(&token)["cnf"]);
        assert!(told["cnf"][name].is_string(), "{told}");
    }
}

#[actix_web::test]
async fn rfc9440_2_2_a_certificate_is_said_once_and_is_one() {
    let world = world().await;
    let value = format!(":{}:", STANDARD.encode(&world.clients[0].certificate));
    let pem = format!("-----BEGIN CERTIFICATE----- {value} -----END CERTIFICATE-----");
    let bare = STANDARD.encode(&world.clients[0].certificate);
    let own = ("client-cert", value.as_str());
    let (listed, chain) = (format!("{value}, {value}"), [&*value; 8].join(","));
    let wrong: [&[(&str, &str)]; 8] = [
        &[own, own],
        &[("client-cert", &listed)],
        &[("client-cert", &pem)],
        &[("client-cert", &bare)],
        &[("client-cert", ":AAAA:")],
        &[("client-cert", "")],
        &[own, ("client-cert-chain", "nonsense")],
        &[own, ("client-cert-chain", &chain)],
    ];
    for place in PLACES {
        for headers in wrong {
            let answer = said(&world.server, PROXY, place, headers).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_REQUEST,
                "{place} {headers:?}"
            );
        }
        let answer = said(&world.server, PROXY, place, &[own]).await;
        assert_eq!(answer.status, StatusCode::OK, "{place}");
    }
}

#[actix_web::test]
async fn rfc9440_2_3_a_chain_without_its_beginning_proves_nobody() {
    let world = world().await;
    let client = &world.clients[0];
    let value = format!(":{}:", STANDARD.encode(&client.certificate));
    let asked = world
        .asked(Way::Mtls, client)
        .without("client-cert")
        .header("client-cert-chain", &value);
    refused(&world.send(asked).await, 401, "invalid_client");
}

#[actix_web::test]
async fn rfc9440_4_nobody_but_a_trusted_proxy_says_a_certificate() {
    let world = world().await;
    let value = format!(":{}:", STANDARD.encode(&world.clients[0].certificate));
    for place in PLACES {
        for name in ["client-cert", "client-cert-chain"] {
            let header = [(name, value.as_str())];
            let answer = said(&world.server, "192.0.2.1:4711", place, &header).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{place} {name}");
        }
    }
}

#[actix_web::test]
async fn rfc8705_2_a_certificate_proves_the_application_that_it_is_registered_for() {
    let world = world().await;
    let (client, other) = (&world.clients[0], &world.clients[1]);
    let (stranger, _) = certificates::self_signed(&certificates::params());
    for der in [&other.certificate, &stranger.to_vec()] {
        let value = format!(":{}:", STANDARD.encode(der));
        let asked = world.asked(Way::Mtls, client).header("client-cert", &value);
        refused(&world.send(asked).await, 401, "invalid_client");
    }
}

#[actix_web::test]
async fn rfc9449_4_3_a_proof_with_crit_is_refused() {
    let world = world().await;
    let client = &world.clients[0];
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(true)),
        ("jku", json!("https://keys.example/set")),
    ] {
        let claims =
            crate::jose::mint::MintKey::proof_claims("POST", fapi::TOKEN, world.now(), None, None);
        let mut header = client.proof.proof_header();
        header[member] = value;
        let proof = client.proof.sign(&header, &claims);
        let asked = world.asked(Way::KeyAndDpop, client).header("dpop", &proof);
        refused(&world.send(asked).await, 400, "invalid_dpop_proof");
    }
}

#[actix_web::test]
async fn rfc9449_4_3_1_a_resource_takes_one_proof() {
    let world = world().await;
    let client = &world.clients[0];
    let token = world.bound(Way::KeyAndDpop, client).await;
    for resource in RESOURCES {
        let proof = || world.proof(&client.proof, resource, &token);
        let both = format!("{}, {}", proof(), proof());
        let used = Used {
            proof: Some(both),
            ..world.used(Way::KeyAndDpop, client, resource, &token)
        };
        world.turned_away("two in one header", resource, used).await;
        let request = match resource {
            Resource::Settings => TestRequest::get(),
            Resource::Introspection => TestRequest::post().set_form([("token", &token)]),
        };
        let request = request
            .uri(resource.path())
            .insert_header(("authorization", format!("DPoP {token}")))
            .append_header(("dpop", proof()))
            .append_header(("dpop", proof()));
        let answer = world.server.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{resource:?}");
    }
}

#[actix_web::test]
async fn rfc9449_5_every_grant_binds_its_token() {
    let world = world().await;
    let client = &world.clients[0];
    let asked = world
        .asked(Way::KeyAndDpop, client)
        .without("client_assertion")
        .without("client_assertion_type")
        .set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .set("client_id", &client.id)
        .set("assertion", &client.key.jwt(&world.claims(client)));
    let body = world.granted(asked).await;
    assert_eq!(body["token_type"], "DPoP");
    let claims = claims(body["access_token"].as_str().unwrap());
    assert!(claims["cnf"]["jkt"].is_string(), "{claims}");
}

#[actix_web::test]
async fn rfc9449_8_a_token_needs_a_nonce_of_this_server_where_one_is_required() {
    let world = world().await;
    let client = &world.clients[0];
    require_nonces(&world.server).await;
    let proof = |nonce: Option<&str>| {
        client
            .proof
            .proof("POST", fapi::TOKEN, world.now(), None, nonce)
    };
    let ask = async |nonce: Option<&str>| {
        let asked = world.asked(Way::KeyAndDpop, client);
        world.send(asked.header("dpop", &proof(nonce))).await
    };
    let answer = ask(None).await;
    refused(&answer, 400, "use_dpop_nonce");
    let nonce = answer.header("dpop-nonce").to_owned();
    assert!(!nonce.is_empty());
    assert_eq!(ask(Some(&nonce)).await.status, StatusCode::OK);
    let other = crate::dpop::Nonces::new(&[7; 32]).current(world.now());
    for wrong in ["", "nonsense", &other] {
        let answer = ask(Some(wrong)).await;
        refused(&answer, 400, "use_dpop_nonce");
        assert_eq!(answer.header("dpop-nonce"), nonce);
    }
    // An old one is none, and the new one comes with the refusal.
    world.server.clock.advance(Duration::from_secs(600));
    let answer = ask(Some(&nonce)).await;
    refused(&answer, 400, "use_dpop_nonce");
    assert_ne!(answer.header("dpop-nonce"), nonce);
}

#[actix_web::test]
async fn rfc9449_9_a_resource_asks_for_its_nonce() {
    let world = world().await;
    let client = &world.clients[0];
    let token = world.bound(Way::KeyAndDpop, client).await;
    require_nonces(&world.server).await;
    for resource in RESOURCES {
        let used = || world.used(Way::KeyAndDpop, client, resource, &token);
        let answer = world.at(resource, used()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{resource:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("DPoP "), "{challenge}");
        assert!(
            challenge.contains("error=\"use_dpop_nonce\""),
            "{challenge}"
        );
        let proof = client.proof.proof(
            resource.method(),
            &resource.htu(),
            world.now(),
            Some(&token),
            Some(answer.header("dpop-nonce")),
        );
        let proved = Used {
            proof: Some(proof),
            ..used()
        };
        world.served(resource, proved).await;
    }
}

#[actix_web::test]
async fn rfc9449_7_1_a_proof_that_is_no_good_is_challenged() {
    let world = world().await;
    let client = &world.clients[0];
    let token = world.bound(Way::KeyAndDpop, client).await;
    for resource in RESOURCES {
        let used = Used {
            proof: Some("nonsense".to_owned()),
            ..world.used(Way::KeyAndDpop, client, resource, &token)
        };
        let answer = world.at(resource, used).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{resource:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("DPoP "), "{challenge}");
        assert!(
            challenge.contains("error=\"invalid_dpop_proof\""),
            "{challenge}"
        );
    }
    // Nobody is let in by both at once.
    for (resource, way) in RESOURCES.into_iter().zip(WAYS) {
        let used = world.used(way, client, resource, &world.bound(way, client).await);
        let authorization = format!("{} {}", used.scheme, used.token);
        let request = match resource {
            Resource::Settings => TestRequest::get(),
            Resource::Introspection => TestRequest::post().set_form([("token", &token)]),
        };
        let request = request
            .uri(resource.path())
            .append_header(("authorization", authorization.clone()))
            .append_header(("authorization", authorization));
        let status = world.server.send(request).await.status;
        assert!(status.is_client_error(), "{resource:?} {status}");
    }
}

async fn require_nonces(server: &TestServer) {
    let change = SettingsChange {
        dpop_require_nonce: Some(true),
        ..SettingsChange::default()
    };
    settings(server, change).await;
}
