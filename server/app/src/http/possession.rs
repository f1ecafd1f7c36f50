//! What a request shows to hold: a key, by a DPoP proof (RFC 9449), and a certificate, by its
//! connection or a trusted proxy's word (RFC 8705, RFC 9440).

use crate::app::App;
use crate::client_certificate::ClientCertificate;
use crate::dpop::{DpopFault, DpopProof, NonceRule, verify_proof};
use crate::form::TokenScheme;
use crate::issue::{Holds, Spent};
use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use std::sync::Arc;

/// The certificate of a connection, as a listener found it.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Arc<ClientCertificate>);

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There are several (RFC 9449 §4.3, item 1).
    #[error("there is more than one DPoP proof")]
    Repeated,
    /// It was presented before, or this server cannot remember that it was not (RFC 9449 §11.1).
    #[error("the DPoP proof counts once")]
    Spent,
    /// It proves nothing.
    #[error("the DPoP proof is not good: {0}")]
    Fault(#[from] DpopFault),
}

impl ProofError {
    /// Whether the proof must have a nonce of ours (RFC 9449 §8).
    #[must_use]
    pub fn wants_nonce(self) -> bool {
        self == Self::Fault(DpopFault::Nonce)
    }
}

/// The DPoP proof of a request to a path below the issuer, if it has one. With `access_token` it
/// must be for that token.
///
/// # Errors
/// See [`ProofError`].
pub fn proof(
    request: &HttpRequest,
    app: &App,
    path: &str,
    access_token: Option<&str>,
) -> Result<Option<DpopProof>, ProofError> {
    let mut values = request.headers().get_all("dpop").map(HeaderValue::as_bytes);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ProofError::Repeated);
    }
    // What is not UTF-8 is no proof either.
    let text = std::str::from_utf8(value).unwrap_or_default();
    let nonce = match app.ledger.index().settings().dpop_require_nonce {
        true => NonceRule::Required(&app.nonces),
        false => NonceRule::Optional(&app.nonces),
    };
    // The address that clients know this server by: what a proxy in front makes of it does not
    // matter.
    let htu = format!("{}{path}", app.issuer.as_str());
    let method = request.method().as_str();
    let checked = verify_proof(text, method, &htu, app.now(), access_token, nonce)?;
    Ok(Some(checked))
}

/// What a request holds that presents an access token of ours: a key, where the scheme says that a
/// proof is there (RFC 9449 §7.1), and its certificate. The proof is spent, but only beside a token
/// that is valid: nobody else may have anything remembered.
///
/// # Errors
/// See [`ProofError`].
pub async fn held(
    request: &HttpRequest,
    app: &App,
    path: &str,
    (scheme, token): (TokenScheme, &str),
    certificate: Option<&ClientCertificate>,
) -> Result<Holds, ProofError> {
    let mut holds = Holds {
        jkt: None,
        certificate: certificate.map(|certificate| *certificate.sha256()),
    };
    if scheme == TokenScheme::Bearer || app.validate_token(token).is_err() {
        return Ok(holds);
    }
    if let Some(proof) = proof(request, app, path, Some(token))? {
        let mut spent = Spent::default();
        spent.proof(app, &proof).map_err(|_| ProofError::Spent)?;
        spent.durable().await.map_err(|_| ProofError::Spent)?;
        holds.jkt = Some(proof.jkt);
    }
    Ok(holds)
}
