//! `POST /oauth2/revoke` (RFC 7009). An application ends its own tokens. A token that is unknown,
//! expired or somebody else's is answered like one that was revoked, and nothing is recorded.

use super::oauth::{self, authorization};
use super::oauth_error::OAuthError;
use super::request::source;
use crate::app::{App, ExecuteError};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use writ_core::{Actor, Command, Refusal, Submission};

/// Revokes a token.
pub async fn revoke(request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    match answer(&request, payload, &app).await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(error) => error.response(),
    }
}

async fn answer(request: &HttpRequest, payload: Payload, app: &App) -> Result<(), OAuthError> {
    let body = oauth::body(request, payload).await?;
    let form = oauth::form(request.headers(), &body)?;
    let source = source(request, &app.proxies)?;
    let authorization = authorization(request.headers())?;
    let caller = oauth::caller(app, &app.index(), &authorization, &form, &source).await?;
    let token = form.get("token");
    let token = token.ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let Ok(token) = app.validate_token(token) else {
        return Ok(());
    };
    if token.application != caller.id() {
        return Ok(());
    }
    let actor = Actor::Application {
        id: caller.id(),
        auth: caller.method().as_str().into(),
        jti: None,
        scopes: Vec::new(),
    };
    let command = Command::RevokeToken {
        jti: token.claims.jti,
        application: caller.id(),
        expires_at: token.ends_at(),
    };
    let mut submission = Submission::new(actor, app.command_id(), command);
    submission.correlation = Some(oauth::request_id(request).into());
    match app.execute(submission).await {
        Ok(_) => Ok(()),
        // It expired, or its application went, while we looked: it is as dead as was asked.
        Err(ExecuteError::Refused(
            Refusal::TokenExpired { .. } | Refusal::ActorUnusable { .. },
        )) => Ok(()),
        // RFC 7009 §2.2.1: 503 says that the token may still be valid.
        Err(ExecuteError::Refused(refusal)) => Err(OAuthError::unavailable(&refusal.to_string())),
        Err(error) => {
            tracing::error!(%error, "a token could not be revoked");
            Err(OAuthError::unavailable(
                "the token could not be revoked, try again",
            ))
        }
    }
}
