//! By the certificate of the connection (RFC 8705 §2): one that a trusted authority issued for a
//! registered subject, or one that is registered itself.

use super::{AuthenticationFailure, Checked, FailureReason, Proof, presented};
use crate::app::App;
use crate::client_certificate::ClientCertificate;
use std::sync::Arc;
use writ_core::{Application, AuthenticationMethod, Index, Millis};

pub(super) async fn check(
    app: &App,
    index: &Index,
    client_id: &str,
    certificate: Option<&ClientCertificate>,
    now: Millis,
) -> Checked {
    let application = presented(index, client_id)?;
    let proven = match certificate {
        None => Err(FailureReason::NoCertificate),
        Some(certificate) => by(app, index, application, certificate, now).await,
    };
    let (proof, method) =
        proven.map_err(|reason| AuthenticationFailure::of(application, reason))?;
    Ok((Arc::clone(application), proof, method))
}

async fn by(
    app: &App,
    index: &Index,
    application: &Application,
    certificate: &ClientCertificate,
    now: Millis,
) -> Result<(Proof, AuthenticationMethod), FailureReason> {
    use AuthenticationMethod::{SelfSignedTlsClientAuth, TlsClientAuth};
    let (own, settings) = (application.authentication(), index.settings());
    let may = |method| application.may_use(method, settings);
    if !may(TlsClientAuth) && !may(SelfSignedTlsClientAuth) {
        return Err(FailureReason::MethodNotAllowed);
    }
    let proof = Proof::Certificate(*certificate.sha256());
    if may(TlsClientAuth)
        && let Some(subject) = &own.certificate_subject
        && certificate.names(subject)
    {
        match app.client_ca.verify(certificate, now) {
            Ok(()) => return Ok((proof, TlsClientAuth)),
            Err(fault) => {
                tracing::debug!(application = %application.id, %fault, "a certificate proves nothing");
            }
        }
    }
    if may(SelfSignedTlsClientAuth)
        && certificate.is_valid(now)
        && is_registered(app, application, certificate).await?
    {
        return Ok((proof, SelfSignedTlsClientAuth));
    }
    Err(FailureReason::WrongCertificate)
}

/// Whether this very certificate is registered: by its digest, or in a key (RFC 8705 §2.2.2).
async fn is_registered(
    app: &App,
    application: &Application,
    certificate: &ClientCertificate,
) -> Result<bool, FailureReason> {
    let own = application.authentication();
    let same = |digest: &writ_core::CertificateDigest| digest.0 == *certificate.sha256();
    if own.certificates.iter().any(same) {
        return Ok(true);
    }
    if own.keys.is_empty() && own.jwks_uri.is_none() {
        return Ok(false);
    }
    let keys = app
        .keys_of_others
        .of_application(&own.keys, own.jwks_uri.as_ref(), None)
        .await;
    let keys = keys.map_err(|fault| {
        tracing::warn!(application = %application.id, %fault, "a certificate cannot be looked up");
        FailureReason::KeysUnavailable
    })?;
    let mut digests = keys.keys().iter().filter_map(|key| key.certificate());
    Ok(digests.any(|digest| same(&digest)))
}
