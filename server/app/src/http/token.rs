//! `POST /oauth2/token` (RFC 6749 §3.2): client credentials, and foreign tokens as a grant (RFC 7523
//! §2.1), which comes to the same: they prove the application.

use super::oauth::{self, Authorization, authorization, credentials};
use super::oauth_error::OAuthError;
use super::possession::proof;
use super::request::{source, user_agent};
use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::form::Form;
use crate::issue::exchange::{ACCESS_TOKEN, JWT};
use crate::issue::{
    GrantType, IssueError, PresentedCredentials, PresentedExchange, Request, TokenAnswer, issue,
};
use crate::telemetry::TokenErrorCode;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;
use writ_core::Ask;

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u32,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<&'a [Value]>,
    /// RFC 8693 §2.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// Issues a token.
pub async fn token(request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    match answer(&request, payload, &app).await {
        Ok(answer) => token_answer(&answer),
        Err(error) => {
            app.metrics.token_refused(error.code);
            error.response()
        }
    }
}

/// A token as it is answered (RFC 6749 §5.1).
pub fn token_answer(answer: &TokenAnswer) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .json(Answer {
            access_token: answer.access_token(),
            token_type: answer.token_type(),
            expires_in: answer.expires_in_seconds(),
            scope: answer.scope(),
            authorization_details: answer
                .authorization_details()
                .map(AuthorizationDetails::objects),
            issued_token_type: answer.is_exchanged().then_some(ACCESS_TOKEN),
        })
}

async fn answer(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
) -> Result<TokenAnswer, OAuthError> {
    let body = oauth::body(request, payload).await?;
    let form = oauth::form(request.headers(), &body)?;
    let authorization = authorization(request.headers())?;
    let grant_type = match form.get("grant_type").map(GrantType::of) {
        Some(Some(grant_type)) => grant_type,
        Some(None) => {
            let names = GrantType::ALL.map(GrantType::as_str).join(", ");
            let description = &format!("grant_type must be one of {names}");
            let code = TokenErrorCode::UnsupportedGrantType;
            return Err(OAuthError::new(StatusCode::BAD_REQUEST, code, description));
        }
        None => return Err(OAuthError::invalid_request("grant_type is missing")),
    };
    let mut resources: Vec<&str> = form.all("resource").collect();
    if grant_type == GrantType::TokenExchange {
        // RFC 8693 §2.1: the same, by a name that need not be an address.
        resources.extend(form.all("audience"));
    }
    let exchange = match grant_type {
        GrantType::TokenExchange => Some(exchange(&form)?),
        GrantType::ClientCredentials | GrantType::JwtBearer => None,
    };
    let details = form.get("authorization_details");
    let details = details.map(AuthorizationDetails::parse).transpose()?;
    let types = details.as_ref().map(AuthorizationDetails::types);
    let types = types.unwrap_or_default();
    let source = source(request, &app.proxies)?;
    let proof = proof(request, app, "/oauth2/token", None)
        .map_err(|error| OAuthError::proof(error, app.nonces.current(app.now())))?;
    let asked = Request {
        grant_type,
        exchange,
        credentials: match grant_type {
            GrantType::ClientCredentials | GrantType::TokenExchange => {
                credentials(&authorization, &form, source.certificate.is_some())?
            }
            GrantType::JwtBearer => assertion(&authorization, &form)?,
        },
        ask: Ask {
            scope: form.get("scope"),
            resources: &resources,
            details: &types,
            ..Ask::default()
        },
        details: details.clone(),
        certificate: source.certificate.clone(),
        proof,
        source: source.address,
        user_agent: user_agent(request),
        traceparent: &oauth::traceparent(request),
    };
    issue(app, &asked).await.map_err(|error| {
        log(&error);
        refused(grant_type, &error)
    })
}

/// The answer to an error. A foreign token that is presented as a grant and proves nobody is a bad
/// grant (RFC 7521 §4.1.1, RFC 7523 §3.1): no client was to be authenticated.
fn refused(grant_type: GrantType, error: &IssueError) -> OAuthError {
    match (grant_type, error.code()) {
        (GrantType::JwtBearer, TokenErrorCode::InvalidClient) => {
            let code = TokenErrorCode::InvalidGrant;
            let description = "the assertion is not valid";
            OAuthError::new(StatusCode::BAD_REQUEST, code, description)
        }
        _ => OAuthError::from(error),
    }
}

/// The token that is presented as a grant. It proves the application, so nothing else may.
fn assertion<'a>(
    authorization: &Authorization,
    form: &'a Form<'_>,
) -> Result<PresentedCredentials<'a>, OAuthError> {
    let others = ["client_secret", "client_assertion", "client_assertion_type"];
    let beside = others.iter().any(|name| form.get(name).is_some());
    if beside || !matches!(authorization, Authorization::Absent) {
        let detail =
            "the assertion of this grant proves the application; send nothing else that does";
        return Err(OAuthError::invalid_request(detail));
    }
    let missing = |name| OAuthError::invalid_request(&format!("{name} is missing"));
    Ok(PresentedCredentials::Assertion {
        client_id: Some(form.get("client_id").ok_or_else(|| missing("client_id"))?),
        assertion: form.get("assertion").ok_or_else(|| missing("assertion"))?,
    })
}

/// What is presented for an exchange (RFC 8693 §2.1).
fn exchange<'a>(form: &'a Form<'_>) -> Result<PresentedExchange<'a>, OAuthError> {
    let ours = |name: &str| {
        let found = form.get(name);
        match found {
            Some(ACCESS_TOKEN | JWT) | None => Ok(found.is_some()),
            Some(_) => Err(OAuthError::invalid_request(&format!(
                "{name} must be {ACCESS_TOKEN}"
            ))),
        }
    };
    let subject_token = form.get("subject_token");
    let subject_token =
        subject_token.ok_or_else(|| OAuthError::invalid_request("subject_token is missing"))?;
    if !ours("subject_token_type")? {
        return Err(OAuthError::invalid_request("subject_token_type is missing"));
    }
    let actor_token = form.get("actor_token");
    if ours("actor_token_type")? != actor_token.is_some() {
        let detail = "actor_token and actor_token_type come together";
        return Err(OAuthError::invalid_request(detail));
    }
    ours("requested_token_type")?;
    Ok(PresentedExchange {
        subject_token,
        actor_token,
    })
}

/// A mistake of a client wakes nobody; trouble of ours does.
fn log(error: &IssueError) {
    match error {
        IssueError::InvalidClient
        | IssueError::Denied(_)
        | IssueError::Details(_)
        | IssueError::QuotaUsedUp { .. }
        | IssueError::TooManyFailures { .. }
        | IssueError::Overloaded
        | IssueError::ProofReplayed
        | IssueError::ExchangeInvalid(_) => {
            tracing::debug!(reason = error.reason(), "no token");
        }
        IssueError::NotPermitted(not) if not.objection.is_denial() => {
            tracing::debug!(reason = error.reason(), "no token");
        }
        // A policy that does not work denies tokens that it should not: somebody must know.
        IssueError::NotPermitted(not) => {
            let faults = not.faults();
            tracing::warn!(reason = error.reason(), issuance = %not.judged.id, faults, "no token");
        }
        IssueError::NoKey(_)
        | IssueError::Unrecorded(_)
        | IssueError::Forgetful(_)
        | IssueError::Unsettled => {
            tracing::error!(%error, "no token could be issued");
        }
    }
}
