//! The metadata documents (RFC 8414 §2, and the same under OpenID Connect's name for clients that
//! only know that one). They say what this server does and nothing that it does not.

use crate::app::App;
use crate::dpop;
use crate::issue::GrantType;
use crate::jose::ForeignAlgorithm;
use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use serde_json::json;
use writ_core::{Algorithm, AuthenticationMethod, DetailsTypeName, Index, Millis, SecurityProfile};

/// How an application can authenticate (RFC 8414 §2). A token of a trusted issuer has no name
/// there: it comes as a client assertion, or as a grant.
const AUTHENTICATION: [AuthenticationMethod; 5] = [
    AuthenticationMethod::ClientSecretBasic,
    AuthenticationMethod::ClientSecretPost,
    AuthenticationMethod::PrivateKeyJwt,
    AuthenticationMethod::TlsClientAuth,
    AuthenticationMethod::SelfSignedTlsClientAuth,
];

/// Answers the document.
pub async fn metadata(app: Data<App>) -> HttpResponse {
    let index = app.index();
    let max_age = index.settings().jwks_max_age_seconds;
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
        .json(document(app.issuer.as_str(), &index, app.now()))
}

fn document(issuer: &str, index: &Index, now: Millis) -> serde_json::Value {
    let strict = index.settings().security_profile == SecurityProfile::Fapi2;
    let methods = AUTHENTICATION
        .iter()
        .filter(|it| !(strict && it.uses_secret()));
    let methods: Vec<&str> = methods.map(|method| method.as_str()).collect();
    let mut assertions: Vec<&str> = match strict {
        true => ForeignAlgorithm::FAPI2.map(ForeignAlgorithm::as_str).into(),
        false => ForeignAlgorithm::ALL.map(ForeignAlgorithm::as_str).into(),
    };
    // RFC 9864 §2.2: the other name of what EdDSA is here.
    assertions.push("Ed25519");
    let types: Vec<&str> = index.details_types().map(DetailsTypeName::as_str).collect();
    let proofs = dpop::ALGORITHMS.map(ForeignAlgorithm::as_str);
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        // There is no authorization endpoint, so no response type (RFC 8414 §2).
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_signing_alg_values_supported": [Algorithm::default().as_str()],
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "dpop_signing_alg_values_supported": proofs,
        // RFC 9396 §10. Their schemas are not public.
        "authorization_details_types_supported": types,
        "tls_client_certificate_bound_access_tokens": true,
        // Required by OpenID Connect Discovery §3; there are no ID tokens to be had.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
    });
    // Only while some initial access token is in force (RFC 7591 §3).
    if index.takes_registrations(now) {
        document["registration_endpoint"] = json!(format!("{issuer}/oauth2/register"));
    }
    document
}
