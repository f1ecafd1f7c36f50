//! Assertions that prove nobody (RFC 7521, RFC 7523), at the token endpoint as it is.

use super::fapi::{Asked, Way, World, world};
use super::*;
use crate::assertion::ASSERTION_BYTES_MAX;
use crate::jose::{ForeignAlgorithm as A, mint::MintKey};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A request with this assertion of the first client, by a proof of its own.
fn with(world: &World, assertion: &str) -> Asked {
    world.asserting(world.asked(Way::KeyAndDpop, &world.clients[0]), assertion)
}

/// The assertion authenticates nobody, as the client's own and as a grant.
async fn proves_nobody(world: &World, what: &str, assertion: &str) {
    let answer = world.send(with(world, assertion)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
    refused(&answer, 401, "invalid_client");
    let answer = world.send(granting(world, assertion)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
    refused(&answer, 400, "invalid_grant");
}

/// The same assertion as a grant (RFC 7523 §2.1).
fn granting(world: &World, assertion: &str) -> Asked {
    let client = &world.clients[0];
    world
        .asked(Way::KeyAndDpop, client)
        .without("client_assertion")
        .without("client_assertion_type")
        .set("grant_type", JWT_BEARER)
        .set("client_id", &client.id)
        .set("assertion", assertion)
}

#[actix_web::test]
async fn rfc7521_4_2_an_assertion_comes_with_its_type() {
    let world = world().await;
    let asked = || world.asked(Way::KeyAndDpop, &world.clients[0]);
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    for wrong in [
        asked().without("client_assertion_type"),
        asked().without("client_assertion"),
        asked().set("client_assertion_type", saml),
        asked().set("client_assertion_type", "jwt-bearer"),
    ] {
        refused(&world.send(wrong).await, 400, "invalid_request");
    }
    // RFC 6749 §3.1: no parameter is there twice.
    let mut twice = asked();
    let again = twice
        .form
        .iter()
        .find(|(name, _)| name == "client_assertion");
    let again = again.unwrap().clone();
    twice.form.push(again);
    refused(&world.send(twice).await, 400, "invalid_request");
    world.granted(asked()).await;
}

#[actix_web::test]
async fn rfc7521_4_1_a_grant_is_an_assertion_and_nothing_beside_it() {
    let world = world().await;
    let assertion = world.clients[0].key.jwt(&world.claims(&world.clients[0]));
    let asked = || granting(&world, &assertion);
    for wrong in [
        asked().without("assertion"),
        asked().without("client_id"),
        asked().set("client_secret", "x"),
        world.asserting(asked(), &assertion),
        asked().header("authorization", "Basic eDp5"),
    ] {
        refused(&world.send(wrong).await, 400, "invalid_request");
    }
    world.granted(asked()).await;
}

#[actix_web::test]
async fn rfc6749_2_3_an_assertion_is_the_only_authentication() {
    let world = world().await;
    let client = &world.clients[0];
    let asked = || world.asked(Way::KeyAndDpop, client);
    let basic = STANDARD.encode(format!("{}:secret", client.id));
    for wrong in [
        asked().set("client_secret", "secret"),
        asked().header("authorization", &format!("Basic {basic}")),
    ] {
        refused(&world.send(wrong).await, 400, "invalid_request");
    }
}

#[actix_web::test]
async fn rfc7523_3_claims_that_do_not_fit_prove_nobody() {
    let world = world().await;
    let client = &world.clients[0];
    let now = world.now().seconds();
    let other = &world.clients[1].id;
    for (member, value) in [
        ("iss", json!(other)),
        ("iss", json!(ISSUER)),
        ("iss", Value::Null),
        ("sub", json!(other)),
        ("sub", json!([client.id])),
        ("exp", Value::Null),
        ("exp", json!(now)),
        ("exp", json!(now + 86_400)),
        ("exp", json!((now + 60).to_string())),
        ("nbf", json!(now + 120)),
        ("iat", json!(now + 120)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
    ] {
        let mut claims = world.claims(client);
        claims[member] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(member);
        }
        let what = format!("{member}: {value}");
        proves_nobody(&world, &what, &client.key.jwt(&claims)).await;
    }
}

#[actix_web::test]
async fn rfc7523_3_7_an_assertion_counts_once_wherever_it_is_used() {
    let world = world().await;
    let client = &world.clients[0];
    let elsewhere = async |path: &str, assertion: &str| {
        let form = with(&world, assertion).set("token", "x").form;
        let request = TestRequest::post()
            .uri(path)
            .peer_addr(fapi::PROXY.parse().unwrap())
            .set_form(form);
        world.server.send(request).await.status
    };
    let places = ["/oauth2/introspect", "/oauth2/revoke"];
    let fresh = || client.key.jwt(&world.claims(client));
    for (first, second) in [(places[0], places[1]), (places[1], places[0])] {
        let assertion = fresh();
        assert_eq!(elsewhere(first, &assertion).await, StatusCode::OK);
        let again = elsewhere(second, &assertion).await;
        assert_eq!(again, StatusCode::UNAUTHORIZED, "{first} {second}");
        proves_nobody(&world, "used elsewhere", &assertion).await;
    }
    let assertion = fresh();
    world.granted(granting(&world, &assertion)).await;
    proves_nobody(&world, "used as a grant", &assertion).await;
    for place in places {
        let again = elsewhere(place, &assertion).await;
        assert_eq!(again, StatusCode::UNAUTHORIZED, "{place}");
    }
}

#[actix_web::test]
async fn rfc7523_3_9_only_a_signature_of_the_clients_own_key_proves_it() {
    let world = world().await;
    let (client, other) = (&world.clients[0], &world.clients[1]);
    let claims = || world.claims(client);
    proves_nobody(&world, "another's key", &other.key.jwt(&claims())).await;
    let stranger = MintKey::generate(A::PS256);
    proves_nobody(&world, "nobody's key", &stranger.jwt(&claims())).await;
    // RFC 7515 §4.1.3: a key that comes along is the key of who sent it.
    let mut embedded = stranger.header();
    embedded["jwk"] = stranger.bare_jwk();
    let embedded = stranger.sign(&embedded, &claims());
    proves_nobody(&world, "a key of its own", &embedded).await;

    // RFC 8725 §3.1, §3.2.
    let none = client.key.sign(&json!({ "alg": "none" }), &claims());
    proves_nobody(&world, "none", &none).await;
    let (message, _) = none.rsplit_once('.').unwrap();
    proves_nobody(&world, "none, unsigned", &format!("{message}.")).await;
    let public = client.key.jwk().to_string();
    let secret = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    proves_nobody(&world, "HS256 by the public key", &confused).await;
    let asymmetric = client.key.sign(&json!({ "alg": "ES256" }), &claims());
    proves_nobody(&world, "another algorithm", &asymmetric).await;
}

#[actix_web::test]
async fn rfc7515_4_1_a_header_that_changes_the_rules_is_refused() {
    let world = world().await;
    let client = &world.clients[0];
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(true)),
        ("jku", json!("https://keys.example/set")),
        ("x5u", json!("https://keys.example/chain")),
        ("zip", json!("DEF")),
    ] {
        let mut header = client.key.header();
        header[member] = value;
        let assertion = client.key.sign(&header, &world.claims(client));
        proves_nobody(&world, member, &assertion).await;
    }
}

#[actix_web::test]
async fn rfc8725_3_11_a_token_for_something_else_is_no_assertion() {
    let world = world().await;
    let client = &world.clients[0];
    for typ in [
        "at+jwt",
        "application/at+jwt",
        "dpop+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "secevent+jwt",
        "",
    ] {
        let mut header = client.key.header();
        header["typ"] = typ.into();
        let assertion = client.key.sign(&header, &world.claims(client));
        proves_nobody(&world, typ, &assertion).await;
    }
    // Not even one of this server, about this client.
    let own = world.granted(world.asked(Way::KeyAndDpop, client)).await;
    proves_nobody(
        &world,
        "an access token",
        own["access_token"].as_str().unwrap(),
    )
    .await;
}

#[actix_web::test]
async fn rfc7523_3_10_an_oversized_or_broken_assertion_is_refused() {
    let world = world().await;
    let client = &world.clients[0];
    let mut claims = world.claims(client);
    claims["padding"] = "x".repeat(ASSERTION_BYTES_MAX).into();
    proves_nobody(&world, "oversized", &client.key.jwt(&claims)).await;
    let good = client.key.jwt(&world.claims(client));
    let [header, body, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    for broken in [
        format!("{header}.{body}"),
        format!("{good}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}=.{body}.{signature}"),
        format!(" {good}"),
        "x".to_owned(),
    ] {
        proves_nobody(&world, &broken, &broken).await;
    }
    let doubled = client.key.sign_parts(
        &client.key.header().to_string(),
        &format!(r#"{{"sub":"x",{}"#, &world.claims(client).to_string()[1..]),
    );
    proves_nobody(&world, "sub twice", &doubled).await;
    world.granted(with(&world, &good)).await;
}
