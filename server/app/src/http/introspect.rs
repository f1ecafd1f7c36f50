//! `POST /oauth2/introspect` (RFC 7662). Who may know: a guard of an API resource for that API's
//! tokens, and whoever holds `writ:tokens:introspect` for all. Anyone else hears `active: false`,
//! as for a token that does not exist. Who asks for it gets the answer signed (RFC 9701).

use super::oauth::{self, Authorization, authorization};
use super::oauth_error::OAuthError;
use super::possession::held;
use super::request::source;
use crate::app::App;
use crate::form::TokenScheme;
use crate::issue::Holds;
use crate::token::{Claims, Confirmation, ValidatedToken, encode_as};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use std::sync::Arc;
use writ_core::{
    Algorithm, ApiResource, ApplicationId, Index, MANAGEMENT_IDENTIFIER, ManagementScope,
};

/// RFC 7662 §2.2.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'a Claims<'static>,
}

#[derive(Serialize)]
struct Inactive {
    active: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Active(Active<'a>),
    Inactive(Inactive),
}

/// RFC 9701 §5. Neither `sub` nor `exp`: it must not pass for anything else.
#[derive(Serialize)]
struct Introspection<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    token_introspection: Told<'a>,
}

/// The media type of a signed answer (RFC 9701 §10.2).
const SIGNED: &str = "application/token-introspection+jwt";

/// Answers whether a token is valid now.
pub async fn introspect(request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    match answer(&request, payload, &app).await {
        Ok((caller, found)) if wants_jwt(request.headers()) => signed(&app, caller, &found),
        Ok((_, found)) => no_store(&mut HttpResponse::Ok()).json(told(&found)),
        Err(error) => error.response(),
    }
}

fn no_store(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, "no-store"))
}

fn told(found: &Option<Arc<ValidatedToken>>) -> Told<'_> {
    match found {
        Some(token) => Told::Active(Active {
            active: true,
            token_type: match token.claims.cnf {
                Some(Confirmation::Jkt(_)) => "DPoP",
                Some(Confirmation::Certificate(_)) | None => "Bearer",
            },
            claims: &token.claims,
        }),
        None => Told::Inactive(Inactive { active: false }),
    }
}

/// Whether the caller asks for a signed answer (RFC 9701 §4). Who says that it takes none (`q=0`, RFC
/// 9110 §12.4.2) does not.
fn wants_jwt(headers: &header::HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT);
    let types = accepted.filter_map(|value| value.to_str().ok());
    let mut types = types.flat_map(|value| value.split(','));
    types.any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let signed = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(SIGNED));
        let refused = |part: &str| match part.split_once('=') {
            Some((name, weight)) => name.eq_ignore_ascii_case("q") && weight.parse() == Ok(0.0),
            None => false,
        };
        signed && !parts.any(refused)
    })
}

/// The answer as a JWT for its one reader (RFC 9701 §5), which is no access token by its `typ`.
fn signed(app: &App, caller: ApplicationId, found: &Option<Arc<ValidatedToken>>) -> HttpResponse {
    let ring = app.ring();
    let aud = caller.to_string();
    let claims = Introspection {
        iss: app.issuer.as_str(),
        aud: &aud,
        iat: app.now().seconds(),
        token_introspection: told(found),
    };
    let signer = ring.signer(Algorithm::default());
    match signer.map(|signer| encode_as(signer, "token-introspection+jwt", &claims)) {
        Some(Ok(jwt)) => no_store(&mut HttpResponse::Ok())
            .content_type(SIGNED)
            .body(jwt),
        _ => {
            tracing::error!("an introspection could not be signed");
            OAuthError::unavailable("the answer cannot be signed now, try again").response()
        }
    }
}

async fn answer(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
) -> Result<(ApplicationId, Option<Arc<ValidatedToken>>), OAuthError> {
    let body = oauth::body(request, payload).await?;
    let form = oauth::form(request.headers(), &body)?;
    let source = source(request, &app.proxies)?;
    let authorization = authorization(request.headers())?;
    let index = app.index();
    let caller = match &authorization {
        Authorization::Token { scheme, token } => {
            let presented = (*scheme, token.as_str());
            let certificate = source.certificate.as_deref();
            let holds = held(request, app, "/oauth2/introspect", presented, certificate)
                .await
                .map_err(|error| {
                    OAuthError::proof_beside_token(error, app.nonces.current(app.now()))
                })?;
            administrator(app, &index, presented, &holds)?
        }
        _ => {
            let caller = oauth::caller(app, &index, &authorization, &form, &source).await?;
            let caller = caller.id();
            Caller {
                id: caller,
                all: introspects_all(&index, caller),
            }
        }
    };
    let token = form.get("token");
    let token = token.ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let valid = app.validate_token(token).ok();
    let found = valid.filter(|token| caller.all || is_guarded_by(&index, token, caller.id));
    Ok((caller.id, found))
}

struct Caller {
    id: ApplicationId,
    all: bool,
}

/// A caller with a token of the management API.
fn administrator(
    app: &App,
    index: &Index,
    (scheme, token): (TokenScheme, &str),
    holds: &Holds,
) -> Result<Caller, OAuthError> {
    let token = app
        .validate_token(token)
        .map_err(|_| OAuthError::invalid_client())?;
    let proved = holds.jkt.is_some() == (scheme == TokenScheme::Dpop);
    if !proved || !token.is_held_by(holds) {
        return Err(OAuthError::invalid_client());
    }
    let scope = ManagementScope::TokensIntrospect;
    let all = token.claims.aud.iter().eq([MANAGEMENT_IDENTIFIER])
        && token
            .scopes
            .iter()
            .any(|name| name.as_str() == scope.as_str())
        && introspects_all(index, token.application);
    if all {
        Ok(Caller {
            id: token.application,
            all,
        })
    } else {
        Err(OAuthError::invalid_client())
    }
}

fn introspects_all(index: &Index, id: ApplicationId) -> bool {
    index
        .management()
        .zip(index.application(id))
        .map(|(management, app)| index.granted(app, management.id))
        .is_some_and(|scopes| scopes.contains(ManagementScope::TokensIntrospect.bit()))
}

/// Whether the caller is an API that the token is for: by its audience, and by its scopes where
/// the audience names the application instead.
fn is_guarded_by(index: &Index, token: &ValidatedToken, caller: ApplicationId) -> bool {
    let by_audience = token
        .claims
        .aud
        .iter()
        .filter_map(|aud| index.api_identified(aud));
    let by_scope = token
        .scopes
        .iter()
        .filter_map(|name| index.api(index.scope(name.as_str())?.0));
    let guarded = |api: &Arc<ApiResource>| api.guards.contains(&caller);
    by_audience.chain(by_scope).any(guarded)
}
