//! By a signed token: an assertion that the application signed itself (RFC 7523 §2.2), or a token
//! that a trusted issuer made for a workload, which fits one of the application's trust rules.
//!
//! Nothing of a token is believed but which application to look for, until its signature is
//! verified by a key that was registered for it.

use super::{AuthenticationFailure, Checked, FailureReason, Proof, presented};
use crate::app::App;
use crate::assertion::{ASSERTION_BYTES_MAX, check_client_assertion, check_federated};
use crate::jose::{ForeignAlgorithm, Unverified, verify};
use std::sync::Arc;
use writ_core::{
    Application, ApplicationId, AuthenticationMethod, Index, Millis, SecurityProfile, TrustRule,
    TrustedIssuer,
};
use writ_ledger::ForeignToken;

pub(super) async fn check(
    app: &App,
    index: &Index,
    client_id: Option<&str>,
    assertion: &str,
    now: Millis,
) -> Checked {
    let token = Unverified::parse(assertion, ASSERTION_BYTES_MAX).ok();
    let subject = token.as_ref().and_then(|it| it.unverified_text("sub"));
    let application = presented(index, client_id.or(subject).unwrap_or_default())?;
    let Some(token) = token else {
        let reason = FailureReason::WrongAssertion;
        return Err(AuthenticationFailure::of(application, reason));
    };
    // Its own assertion is issued by itself; a trusted issuer never has an application's id.
    let own = token.unverified_text("iss") == Some(&application.id.to_string());
    let checked = match own {
        true => by_own_key(app, index, application, &token, now).await,
        false => by_trust(app, index, application, &token, now).await,
    };
    let (proof, method) =
        checked.map_err(|reason| AuthenticationFailure::of(application, reason))?;
    Ok((Arc::clone(application), proof, method))
}

/// Who an assertion says that it is about.
pub(super) fn claimed(assertion: &str) -> Option<ApplicationId> {
    let token = Unverified::parse(assertion, ASSERTION_BYTES_MAX).ok()?;
    token.unverified_text("sub")?.parse().ok()
}

type Proven = Result<(Proof, AuthenticationMethod), FailureReason>;

async fn by_own_key(
    app: &App,
    index: &Index,
    application: &Application,
    token: &Unverified<'_>,
    now: Millis,
) -> Proven {
    let method = AuthenticationMethod::PrivateKeyJwt;
    // Before anything is fetched for it.
    if !application.may_use(method, index.settings()) {
        return Err(FailureReason::MethodNotAllowed);
    }
    let own = application.authentication();
    let keys = app
        .keys_of_others
        .of_application(&own.keys, own.jwks_uri.as_ref(), token.kid())
        .await
        .map_err(|fault| {
            tracing::warn!(application = %application.id, %fault, "an assertion cannot be verified");
            FailureReason::KeysUnavailable
        })?;
    let profile = application.profile(index.settings());
    let verified =
        verify(token, &keys, allowed(profile)).map_err(|fault| wrong(application, fault))?;
    let client_id = application.id.to_string();
    let issuer = app.issuer.as_str();
    let endpoint = format!("{issuer}/oauth2/token");
    let facts = check_client_assertion(&verified, &client_id, issuer, &endpoint, now, profile)
        .map_err(|fault| wrong(application, fault))?;
    let proof = Proof::Key {
        thumbprint: *verified.thumbprint(),
        replay: facts.replay(&client_id),
    };
    Ok((proof, method))
}

fn allowed(profile: SecurityProfile) -> &'static [ForeignAlgorithm] {
    match profile {
        SecurityProfile::None => &ForeignAlgorithm::ALL,
        SecurityProfile::Fapi2 => &ForeignAlgorithm::FAPI2,
    }
}

/// What is wrong is for who runs the server: codes, and nothing of the token.
fn wrong(application: &Application, fault: impl std::fmt::Display) -> FailureReason {
    tracing::debug!(application = %application.id, %fault, "an assertion proves nothing");
    FailureReason::WrongAssertion
}

async fn by_trust(
    app: &App,
    index: &Index,
    application: &Application,
    token: &Unverified<'_>,
    now: Millis,
) -> Proven {
    let method = AuthenticationMethod::WorkloadIdentity;
    if !application.may_use(method, index.settings()) {
        return Err(FailureReason::MethodNotAllowed);
    }
    let mut reason = FailureReason::UntrustedToken;
    let mut tried: Vec<&Arc<TrustedIssuer>> = Vec::new();
    for (issuer, rules) in candidates(index, application, token) {
        if tried.len() == ISSUERS_TRIED {
            break;
        }
        tried.push(issuer);
        let keys = match app.keys_of_others.of_issuer(issuer, token.kid()).await {
            Ok(keys) => keys,
            Err(fault) => {
                tracing::warn!(issuer = %issuer.id, %fault, "a token cannot be verified");
                reason = FailureReason::KeysUnavailable;
                continue;
            }
        };
        let profile = application.profile(index.settings());
        let verified = match verify(token, &keys, allowed(profile)) {
            Ok(verified) => verified,
            Err(fault) => {
                let application = application.id;
                tracing::debug!(%application, issuer = %issuer.id, %fault, "a token is not its issuer's");
                continue;
            }
        };
        for rule in rules {
            match check_federated(&verified, issuer, rule, now) {
                Ok(facts) => {
                    let proof = Proof::Token {
                        rule: rule.name.clone(),
                        issuer: issuer.id,
                        trusted: issuer.version,
                        token: ForeignToken {
                            issuer: issuer.issuer.as_str().into(),
                            subject: facts.subject.as_str().into(),
                            jti: facts.jti,
                        },
                        expires_at: facts.exp,
                    };
                    return Ok((proof, method));
                }
                Err(fault) => {
                    let (application, rule) = (application.id, rule.name.as_str());
                    tracing::debug!(%application, rule, %fault, "a token does not fit");
                }
            }
        }
    }
    Err(reason)
}

/// Most issuers whose keys are tried: only those that omit `iss` can be several.
const ISSUERS_TRIED: usize = 4;

/// The issuers that a token may be of, each with the rules of the application that name it.
fn candidates<'a>(
    index: &'a Index,
    application: &'a Application,
    token: &Unverified<'_>,
) -> Vec<(&'a Arc<TrustedIssuer>, Vec<&'a TrustRule>)> {
    let iss = token.unverified_text("iss");
    let mut found: Vec<(&Arc<TrustedIssuer>, Vec<&TrustRule>)> = Vec::new();
    for rule in &application.authentication().trust {
        let Some(issuer) = index.trusted_issuer(rule.issuer) else {
            continue;
        };
        let may_be = match iss {
            Some(iss) => issuer.issuer.as_str() == iss,
            None => issuer.omits_issuer,
        };
        match found.iter_mut().find(|(other, _)| other.id == issuer.id) {
            _ if !may_be => {}
            Some((_, rules)) => rules.push(rule),
            None => found.push((issuer, vec![rule])),
        }
    }
    found
}
