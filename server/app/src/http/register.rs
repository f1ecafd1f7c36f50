//! `POST /oauth2/register` (RFC 7591): an application registers itself by an initial access token.
//! `/oauth2/register/{client_id}` (RFC 7592): it reads, changes and removes that by its
//! registration access token. There is neither until an administrator makes a token.

use super::oauth::{Authorization, authorization, content_type, request_id};
use super::registration_error::RegistrationError as Error;
use super::request::source;
use crate::admin::is_json;
use crate::app::App;
use crate::credentials::{Kind, Secret, digest};
use crate::form::{FORM_BYTES_MAX, TokenScheme};
use crate::issue::{FailureReason, registration_failed};
use crate::registration::{self, Asked, MetadataFault, Shown};
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::sync::Arc;
use writ_core::{
    Actor, Application, ApplicationId, Command, CredentialDigest, Event, Index,
    InitialAccessTokenId, Millis, NewRegistration, NewSecret, SecretId, Submission,
};
use writ_ledger::Receipt;

/// Compared with where there is no registration. No token has this digest.
const NOBODY: CredentialDigest = CredentialDigest([0x5a; 32]);

/// Registers an application.
pub async fn register(request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    let registered = try_register(&request, payload, &app).await;
    registered.unwrap_or_else(|error| error.response())
}

async fn try_register(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
) -> Result<HttpResponse, Error> {
    let index = app.index();
    if !index.takes_registrations(app.now()) {
        return Err(Error::Off);
    }
    let by = initial_access_token(app, &index, request)?;
    let asked = metadata(request, payload).await?;
    let token = Secret::of(Kind::RegistrationAccessToken, app.random.as_ref());
    let (secret, new) = new_secret(app);
    let id = ApplicationId(app.ids.next_id());
    let command = Command::RegisterApplication {
        token: by,
        registration: Box::new(NewRegistration {
            application: id,
            digest: CredentialDigest(token.digest()),
            metadata: asked.metadata,
            scopes: asked.scopes,
        }),
        secret: new,
    };
    let actor = Actor::InitialAccessToken { id: by };
    let receipt = execute(app, request, actor, command).await?;
    let made = made_secret(&receipt).then(|| secret.expose());
    answer(
        app,
        &receipt.index,
        id,
        token.expose(),
        made,
        StatusCode::CREATED,
    )
}

/// Shows an application its registration.
pub async fn show(request: HttpRequest, id: Path<String>, app: Data<App>) -> HttpResponse {
    let index = app.index();
    let shown = manager(&app, &index, &request, &id)
        .and_then(|(known, token)| answer(&app, &index, known.id, &token, None, StatusCode::OK));
    shown.unwrap_or_else(|error| error.response())
}

/// Changes what an application says about itself: this is all of it.
pub async fn change(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    app: Data<App>,
) -> HttpResponse {
    let changed = try_change(&request, payload, &id, &app).await;
    changed.unwrap_or_else(|error| error.response())
}

async fn try_change(
    request: &HttpRequest,
    payload: Payload,
    id: &str,
    app: &App,
) -> Result<HttpResponse, Error> {
    let (known, token) = manager(app, &app.index(), request, id)?;
    let asked = metadata(request, payload).await?;
    check_identity(&known, &asked, app.now())?;
    let (secret, new) = new_secret(app);
    let command = Command::ChangeRegistration {
        application: known.id,
        presented: CredentialDigest(digest(token.as_bytes())),
        metadata: Box::new(asked.metadata),
        secret: new,
    };
    let receipt = execute(app, request, myself(&known), command).await?;
    let made = made_secret(&receipt).then(|| secret.expose());
    answer(app, &receipt.index, known.id, &token, made, StatusCode::OK)
}

/// Removes an application, as it asks itself.
pub async fn remove(request: HttpRequest, id: Path<String>, app: Data<App>) -> HttpResponse {
    let removed = try_remove(&request, &id, &app).await;
    removed.unwrap_or_else(|error| error.response())
}

async fn try_remove(request: &HttpRequest, id: &str, app: &App) -> Result<HttpResponse, Error> {
    let (known, token) = manager(app, &app.index(), request, id)?;
    let command = Command::RemoveRegistration {
        application: known.id,
        presented: CredentialDigest(digest(token.as_bytes())),
    };
    execute(app, request, myself(&known), command).await?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.finish())
}

/// The initial access token that is presented.
fn initial_access_token(
    app: &App,
    index: &Index,
    request: &HttpRequest,
) -> Result<InitialAccessTokenId, Error> {
    let token = bearer(request)?;
    let presented = CredentialDigest(digest(token.as_bytes()));
    let reason = match index.match_initial_access_token(&presented) {
        Some(known) if known.is_in_force(app.now()) => return Ok(known.id),
        Some(_) => FailureReason::SpentInitialAccessToken,
        None => FailureReason::WrongInitialAccessToken,
    };
    unauthenticated(app, index, request, reason, None)
}

/// The application that manages its registration, and the token it presented.
fn manager(
    app: &App,
    index: &Index,
    request: &HttpRequest,
    id: &str,
) -> Result<(Arc<Application>, String), Error> {
    let token = bearer(request)?;
    let presented = CredentialDigest(digest(token.as_bytes()));
    let known = id.parse().ok().and_then(|id| index.application(id));
    let own = known.and_then(|known| known.registration());
    let right = own.map_or(&NOBODY, |own| &own.digest).matches(&presented);
    match known {
        Some(known) if right && known.enabled => Ok((Arc::clone(known), token)),
        // RFC 7592 §2.1: it proved who it is, and may not.
        Some(_) if right => Err(Error::Forbidden("the application is disabled".to_owned())),
        _ => {
            let reason = FailureReason::WrongRegistrationAccessToken;
            unauthenticated(app, index, request, reason, known.map(|known| known.id))
        }
    }
}

fn unauthenticated<T>(
    app: &App,
    index: &Index,
    request: &HttpRequest,
    reason: FailureReason,
    application: Option<ApplicationId>,
) -> Result<T, Error> {
    let source =
        source(request, &app.proxies).map_err(|error| Error::Request(error.description))?;
    registration_failed(app, index, reason, application, source.address);
    Err(Error::Unauthenticated { presented: true })
}

/// The token of the `Authorization` header (RFC 6750 §2.1).
fn bearer(request: &HttpRequest) -> Result<String, Error> {
    if !request.query_string().is_empty() {
        return Err(Error::Request(
            "there are no parameters in the URL; if a token was there, revoke it: URLs are logged"
                .to_owned(),
        ));
    }
    match authorization(request.headers()) {
        Ok(Authorization::Absent) => Err(Error::Unauthenticated { presented: false }),
        Ok(Authorization::Token {
            scheme: TokenScheme::Bearer,
            token,
        }) => Ok(token),
        Ok(Authorization::Basic(_) | Authorization::Token { .. }) => {
            Err(Error::Unauthenticated { presented: true })
        }
        Err(error) if error.status == StatusCode::BAD_REQUEST => {
            Err(Error::Request(error.description))
        }
        Err(_) => Err(Error::Unauthenticated { presented: true }),
    }
}

/// The client metadata of a request.
async fn metadata(request: &HttpRequest, payload: Payload) -> Result<Asked, Error> {
    if !content_type(request.headers()).is_some_and(is_json) {
        let detail = "the content type must be application/json";
        return Err(Error::Request(detail.to_owned()));
    }
    let body = match payload.to_bytes_limited(FORM_BYTES_MAX).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(Error::Request("the body could not be read".to_owned())),
        Err(_) => return Err(Error::TooLarge),
    };
    registration::read(&body).map_err(Error::Metadata)
}

/// What a change must say of the application, and must not (RFC 7592 §2.2).
fn check_identity(known: &Application, asked: &Asked, now: Millis) -> Result<(), Error> {
    let wrong = |detail: String| Err(Error::Metadata(MetadataFault::Metadata(detail)));
    if let Some(ours) = asked.ours {
        return wrong(format!("{ours} must be absent: this server says it"));
    }
    if asked.client_id.as_deref() != Some(known.id.to_string().as_str()) {
        return wrong("client_id must be that of the application".to_owned());
    }
    let valid = |secret: &str| {
        known
            .match_secret(&digest(secret.as_bytes()), now)
            .valid()
            .is_some()
    };
    if asked
        .client_secret
        .as_ref()
        .is_some_and(|secret| !valid(secret))
    {
        return wrong("client_secret must be the one that was issued".to_owned());
    }
    Ok(())
}

fn new_secret(app: &App) -> (Secret, NewSecret) {
    let secret = Secret::generate(app.random.as_ref());
    let new = NewSecret {
        id: SecretId(app.ids.next_id()),
        digest: secret.digest(),
        expires_at: None,
    };
    (secret, new)
}

/// Whether a change took the secret that was made for it.
fn made_secret(receipt: &Receipt) -> bool {
    let mut events = receipt.events.iter();
    events.any(|recorded| matches!(recorded.event, Event::ApplicationSecretAdded(_)))
}

/// An application that presented its registration access token.
fn myself(application: &Application) -> Actor {
    Actor::Application {
        id: application.id,
        auth: "registration_access_token".into(),
        jti: None,
        scopes: Vec::new(),
    }
}

async fn execute(
    app: &App,
    request: &HttpRequest,
    actor: Actor,
    command: Command,
) -> Result<Receipt, Error> {
    const DAY_SECONDS: u64 = 86_400;
    let mut submission = Submission::new(actor, app.command_id(), command);
    submission.correlation = Some(request_id(request).into());
    let tomorrow = DAY_SECONDS - app.now().seconds() % DAY_SECONDS;
    let done = app.execute(submission).await;
    done.map_err(|error| Error::of(error, tomorrow))
}

fn answer(
    app: &App,
    index: &Index,
    id: ApplicationId,
    token: &str,
    client_secret: Option<&str>,
    status: StatusCode,
) -> Result<HttpResponse, Error> {
    let gone = Error::Unauthenticated { presented: true };
    let known = index.application(id).ok_or(gone)?;
    let shown = Shown {
        registration_access_token: token,
        client_secret,
    };
    let said = registration::answer(app.issuer.as_str(), index, known, shown);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"));
    Ok(response.json(said))
}
