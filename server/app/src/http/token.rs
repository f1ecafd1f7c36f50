//! `POST /oauth2/token` (RFC 6749 §3.2): client credentials.

use super::oauth::{self, authorization, credentials};
use super::oauth_error::OAuthError;
use super::request::{source, user_agent};
use crate::app::App;
use crate::issue::{Holds, IssueError, Request, TokenAnswer, issue};
use crate::telemetry::TokenErrorCode;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use writ_core::Ask;

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u32,
    scope: &'a str,
}

/// Issues a token.
pub async fn token(request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    match answer(&request, payload, &app).await {
        Ok(answer) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"))
            .json(Answer {
                access_token: answer.access_token(),
                token_type: answer.token_type(),
                expires_in: answer.expires_in_seconds(),
                scope: answer.scope(),
            }),
        Err(error) => {
            app.metrics.token_refused(error.code);
            error.response()
        }
    }
}

async fn answer(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
) -> Result<TokenAnswer, OAuthError> {
    let body = oauth::body(request, payload).await?;
    let form = oauth::form(request.headers(), &body)?;
    let authorization = authorization(request.headers())?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            let description = "grant_type must be client_credentials";
            let code = TokenErrorCode::UnsupportedGrantType;
            return Err(OAuthError::new(StatusCode::BAD_REQUEST, code, description));
        }
        None => return Err(OAuthError::invalid_request("grant_type is missing")),
    }
    let resources: Vec<&str> = form.all("resource").collect();
    let source = source(request, &app.proxies)?;
    let asked = Request {
        credentials: credentials(&authorization, &form)?,
        ask: Ask {
            scope: form.get("scope"),
            resources: &resources,
            ..Ask::default()
        },
        source: source.address,
        user_agent: user_agent(request),
        holds: Holds {
            jkt: None,
            certificate: source.client_cert,
        },
        traceparent: &oauth::traceparent(request),
    };
    issue(app, &asked).await.map_err(|error| {
        log(&error);
        OAuthError::from(&error)
    })
}

/// A mistake of a client wakes nobody; trouble of ours does.
fn log(error: &IssueError) {
    match error {
        IssueError::InvalidClient | IssueError::Denied(_) => {
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
        IssueError::NoKey(_) | IssueError::Unrecorded(_) | IssueError::Unsettled => {
            tracing::error!(%error, "no token could be issued");
        }
    }
}
