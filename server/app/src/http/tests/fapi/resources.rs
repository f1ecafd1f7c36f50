//! The modules that use a token at a resource.

use super::*;

/// A resource of this server that takes tokens.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::tests) enum Resource {
    Settings,
    Introspection,
}

pub(in crate::http::tests) const RESOURCES: [Resource; 2] =
    [Resource::Settings, Resource::Introspection];

impl Resource {
    pub(in crate::http::tests) fn method(self) -> &'static str {
        match self {
            Self::Settings => "GET",
            Self::Introspection => "POST",
        }
    }

    pub(in crate::http::tests) fn path(self) -> &'static str {
        match self {
            Self::Settings => "/api/v1/settings",
            Self::Introspection => "/oauth2/introspect",
        }
    }

    pub(in crate::http::tests) fn htu(self) -> String {
        format!("{ISSUER}{}", self.path())
    }
}

/// What is presented at a resource, before a test changes something of it.
#[derive(Clone)]
pub(in crate::http::tests) struct Used {
    pub(in crate::http::tests) scheme: &'static str,
    pub(in crate::http::tests) token: String,
    pub(in crate::http::tests) proof: Option<String>,
    pub(in crate::http::tests) certificate: Option<Vec<u8>>,
}

impl World {
    /// A token for the resources of this server.
    pub(in crate::http::tests) async fn bound(&self, way: Way, client: &Client) -> String {
        let asked = self
            .asked(way, client)
            .set("scope", "writ:settings:read writ:tokens:introspect")
            .set("resource", MANAGEMENT_IDENTIFIER);
        let body = self.granted(asked).await;
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(in crate::http::tests) fn proof(
        &self,
        key: &MintKey,
        resource: Resource,
        token: &str,
    ) -> String {
        key.proof(
            resource.method(),
            &resource.htu(),
            self.now(),
            Some(token),
            None,
        )
    }

    /// As it should be used.
    pub(in crate::http::tests) fn used(
        &self,
        way: Way,
        client: &Client,
        resource: Resource,
        token: &str,
    ) -> Used {
        let token_text = token.to_owned();
        match way {
            Way::KeyAndDpop => Used {
                scheme: "DPoP",
                token: token_text,
                proof: Some(self.proof(&client.proof, resource, token)),
                certificate: None,
            },
            Way::Mtls => Used {
                scheme: "Bearer",
                token: token_text,
                proof: None,
                certificate: Some(client.certificate.clone()),
            },
        }
    }

    pub(in crate::http::tests) async fn at(&self, resource: Resource, used: Used) -> Answer {
        let request = match resource {
            Resource::Settings => TestRequest::get(),
            Resource::Introspection => TestRequest::post().set_form([("token", &used.token)]),
        };
        let authorization = format!("{} {}", used.scheme, used.token);
        let mut request = request
            .uri(resource.path())
            .peer_addr(PROXY.parse().unwrap())
            .insert_header(("authorization", authorization));
        if let Some(proof) = used.proof {
            request = request.insert_header(("dpop", proof));
        }
        if let Some(der) = used.certificate {
            let value = format!(":{}:", STANDARD.encode(der));
            request = request.insert_header(("client-cert", value));
        }
        self.server.send(request).await
    }

    pub(in crate::http::tests) async fn served(&self, resource: Resource, used: Used) {
        let scheme = used.scheme;
        let answer = self.at(resource, used).await;
        let told = answer.json();
        assert_eq!(answer.status, StatusCode::OK, "{scheme}: {told}");
        if let Resource::Introspection = resource {
            assert_eq!(told["active"], true, "{scheme}");
        }
    }

    pub(in crate::http::tests) async fn turned_away(
        &self,
        what: &str,
        resource: Resource,
        used: Used,
    ) {
        let answer = self.at(resource, used).await;
        let status = answer.status;
        assert_eq!(
            status,
            StatusCode::UNAUTHORIZED,
            "{what}, at {resource:?}: {:?}",
            answer.json()
        );
    }
}

#[actix_web::test]
async fn fapi2_security_profile_final_access_token_type_header_case_sensitivity() {
    let world = world().await;
    let client = &world.clients[0];
    for (way, schemes) in [
        (Way::KeyAndDpop, ["DPoP", "dpop", "DPOP"]),
        (Way::Mtls, ["Bearer", "bearer", "BEARER"]),
    ] {
        let token = world.bound(way, client).await;
        for (scheme, resource) in schemes.into_iter().zip(RESOURCES.into_iter().cycle()) {
            let used = world.used(way, client, resource, &token);
            world.served(resource, Used { scheme, ..used }).await;
        }
    }
}

/// No token without the key that it is bound to.
#[actix_web::test]
async fn fapi2_security_profile_final_ensure_holder_of_key_required_with_dpop() {
    let world = world().await;
    let client = &world.clients[0];
    let (way, other) = (Way::KeyAndDpop, MintKey::generate(A::ES256));
    let token = world.bound(way, client).await;
    for (resource, elsewhere) in RESOURCES.into_iter().zip([RESOURCES[1], RESOURCES[0]]) {
        let used = || world.used(way, client, resource, &token);
        let with = |proof: String| Used {
            proof: Some(proof),
            ..used()
        };
        let proof = |by: &MintKey, of: &str| world.proof(by, resource, of);
        for (what, used) in [
            (
                "as a bearer",
                Used {
                    scheme: "Bearer",
                    proof: None,
                    ..used()
                },
            ),
            (
                "as a bearer with a proof",
                Used {
                    scheme: "Bearer",
                    ..used()
                },
            ),
            (
                "as a bearer with a certificate",
                Used {
                    scheme: "Bearer",
                    certificate: Some(client.certificate.clone()),
                    ..used()
                },
            ),
            (
                "without a proof",
                Used {
                    proof: None,
                    ..used()
                },
            ),
        ] {
            world.turned_away(what, resource, used).await;
        }
        let for_another = with(proof(&client.proof, "another"));
        let at_another = with(world.proof(&client.proof, elsewhere, &token));
        let by_another = with(proof(&other, &token));
        for (what, used) in [
            ("for another token", for_another),
            ("for another resource", at_another),
            ("by another key", by_another),
        ] {
            world.turned_away(what, resource, used).await;
        }
        let good = used();
        world.served(resource, good.clone()).await;
        // RFC 9449 §11.1.
        world.turned_away("used twice", resource, good).await;
    }
    // RFC 9449 §7.1: a token that is bound to nothing is no DPoP token.
    let unbound = world.server.admin_token(&world.server.admin).await;
    for resource in RESOURCES {
        let used = world.used(way, client, resource, &unbound);
        let bare = Used {
            proof: None,
            ..used.clone()
        };
        world
            .turned_away("unbound, with a proof", resource, used)
            .await;
        world
            .turned_away("unbound, without a proof", resource, bare)
            .await;
    }
}

/// No token without the certificate that it is bound to (RFC 8705 §3).
#[actix_web::test]
async fn fapi2_security_profile_final_ensure_holder_of_key_required_with_mutual_tls() {
    let world = world().await;
    let client = &world.clients[0];
    let token = world.bound(Way::Mtls, client).await;
    let of_another = world.clients[1].certificate.clone();
    // One that says the same: it is the key that counts, and the key is another.
    let (of_the_same_name, _) = certificates::self_signed(&certificates::params());
    for resource in RESOURCES {
        let used = || world.used(Way::Mtls, client, resource, &token);
        let with = |certificate: Option<Vec<u8>>| Used {
            certificate,
            ..used()
        };
        for (what, used) in [
            ("without a certificate", with(None)),
            ("with another's", with(Some(of_another.clone()))),
            (
                "with one of the same name",
                with(Some(of_the_same_name.to_vec())),
            ),
            (
                "as a DPoP token",
                Used {
                    scheme: "DPoP",
                    ..used()
                },
            ),
        ] {
            world.turned_away(what, resource, used).await;
        }
        // A proof is no certificate, and makes none better.
        let proof = world.proof(&client.proof, resource, &token);
        for certificate in [None, Some(client.certificate.clone())] {
            let used = Used {
                scheme: "DPoP",
                proof: Some(proof.clone()),
                ..with(certificate)
            };
            world.turned_away("with a proof", resource, used).await;
        }
        world.served(resource, used()).await;
        world.served(resource, used()).await;
    }
}
