//! One of the two files that know status codes: problems of the admin API (RFC 9457).

use crate::admin::Failure;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use writ_api::{Problem, User};
use writ_core::Refusal;

/// A problem that needs nothing but words.
#[must_use]
pub fn plain(status: StatusCode, code: &str, detail: &str) -> HttpResponse {
    response(status, &problem(status, code, detail.to_owned()))
}

/// A call of the admin API that failed.
#[must_use]
pub fn failed(failure: &Failure, request_id: &str) -> HttpResponse {
    let (status, code) = class(failure);
    log(failure, status);
    let mut said = problem(status, code, public(failure));
    said.request_id = Some(request_id.to_owned()).filter(|id| !id.is_empty());
    said.users = users(failure);
    if let Failure::Policy { reasons, .. } = failure {
        said.reasons.clone_from(reasons);
    }
    let mut response = response(status, &said);
    let mut add = |name, value: &str| {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    if let Some(challenge) = challenge(failure) {
        add(header::WWW_AUTHENTICATE, &challenge);
    }
    if let Failure::Unproved { nonce: Some(nonce) } = failure {
        add(header::HeaderName::from_static("dpop-nonce"), nonce);
    }
    if let Failure::WrongMethod { allow } = failure {
        add(header::ALLOW, allow);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        add(header::RETRY_AFTER, "1");
    }
    response
}

fn problem(status: StatusCode, code: &str, detail: String) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail,
        code: code.to_owned(),
        ..Problem::default()
    }
}

fn response(status: StatusCode, problem: &Problem) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/problem+json")
        .body(serde_json::to_vec(problem).unwrap_or_default())
}

/// The status and the stable code of a failure.
fn class(failure: &Failure) -> (StatusCode, &'static str) {
    match failure {
        Failure::NoRoute => (StatusCode::NOT_FOUND, "not_found"),
        Failure::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Failure::Unauthenticated { .. } => (StatusCode::UNAUTHORIZED, "invalid_token"),
        Failure::Unproved { .. } => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof"),
        Failure::Malformed { code, .. } => (StatusCode::BAD_REQUEST, code),
        Failure::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported"),
        Failure::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        Failure::Unknown { code, .. } => (StatusCode::NOT_FOUND, code),
        Failure::Gone => (StatusCode::GONE, "gone"),
        Failure::Absent => (StatusCode::PRECONDITION_FAILED, "version_stale"),
        Failure::Value { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "value_invalid"),
        Failure::UnknownInBody { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
        Failure::Refused { refusal, in_path } => {
            // What the path names and is not there is not found. What the body names and is not
            // there makes the body wrong: the path is fine.
            let status = match refused(refusal) {
                StatusCode::NOT_FOUND if !in_path => StatusCode::UNPROCESSABLE_ENTITY,
                status => status,
            };
            (status, refusal.code())
        }
        Failure::Policy { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
        Failure::NoVerdict(_) => (StatusCode::SERVICE_UNAVAILABLE, "policy_unavailable"),
        Failure::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Failure::Behind { .. } => (StatusCode::SERVICE_UNAVAILABLE, "behind"),
        Failure::Unavailable(_) | Failure::Unreadable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        Failure::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The status of a refusal. Exhaustive on purpose: a new refusal must say what it is.
fn refused(refusal: &Refusal) -> StatusCode {
    match refusal {
        // The token was good a moment ago.
        Refusal::ActorUnusable { .. } => StatusCode::UNAUTHORIZED,
        Refusal::ActorNotPermitted { .. }
        | Refusal::ActorNotLocal
        | Refusal::ActorOutranked { .. }
        | Refusal::ActorLacksAuthority { .. }
        | Refusal::InitialAccessTokenSpent { .. }
        | Refusal::ManagementApiFixed => StatusCode::FORBIDDEN,
        Refusal::ApiResourceUnknown { .. }
        | Refusal::ApplicationUnknown { .. }
        | Refusal::GrantUnknown { .. }
        | Refusal::PolicyBindingUnknown { .. }
        | Refusal::PolicyUnknown { .. }
        | Refusal::RoleUnknown { .. }
        | Refusal::ScopeUnknown { .. }
        | Refusal::SecretUnknown { .. }
        | Refusal::DetailsTypeUnknown { .. }
        | Refusal::SigningKeyUnknown { .. }
        | Refusal::InitialAccessTokenUnknown { .. }
        | Refusal::RegistrationUnknown { .. }
        | Refusal::TrustedIssuerUnknown { .. } => StatusCode::NOT_FOUND,
        Refusal::ApiResourceIdentifierTaken { .. }
        | Refusal::ApplicationIdTaken { .. }
        | Refusal::AudienceTaken { .. }
        | Refusal::GrantExists { .. }
        | Refusal::IdentifierIsExtraAudience { .. }
        | Refusal::InUse { .. }
        | Refusal::LastAdministrator
        | Refusal::PolicyBindingUnchanged { .. }
        | Refusal::RoleNameTaken { .. }
        | Refusal::ScopeTaken { .. }
        | Refusal::SecretIdTaken { .. }
        | Refusal::SigningKeyInUse { .. }
        | Refusal::SigningKeyKidTaken { .. }
        | Refusal::SigningKeyMissing { .. }
        | Refusal::SigningKeyState { .. }
        | Refusal::SigningKeyTooNew { .. }
        | Refusal::DetailsTypeTaken { .. }
        | Refusal::TokenExpired { .. }
        | Refusal::TrustedIssuerTaken { .. }
        | Refusal::AlreadyInitialized => StatusCode::CONFLICT,
        Refusal::VersionStale { .. } => StatusCode::PRECONDITION_FAILED,
        Refusal::RegistrationChangesSpent { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::AuthenticationIncomplete { .. }
        | Refusal::ClaimUndeclared { .. }
        | Refusal::IdempotencyKeyReused
        | Refusal::LimitReached { .. }
        | Refusal::ProfileForbids { .. }
        | Refusal::RegistrationOutOfBounds { .. }
        | Refusal::ScopeNowhere { .. }
        | Refusal::ScopeRepeated { .. }
        | Refusal::ValueInvalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NotInitialized => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What the caller may know: trouble of ours names files and disks, which are for the log.
fn public(failure: &Failure) -> String {
    match failure {
        Failure::Unavailable(_) => "the change could not be written; it may or may not be in the \
                                    log: send it again, with an Idempotency-Key"
            .to_owned(),
        Failure::NoVerdict(_) => "the policy cannot be tried now; try again".to_owned(),
        Failure::Unreadable(_) => "the log cannot be read now; try again".to_owned(),
        other => other.to_string(),
    }
}

fn users(failure: &Failure) -> Vec<User> {
    let Failure::Refused {
        refusal: Refusal::InUse { users, .. },
        ..
    } = failure
    else {
        return Vec::new();
    };
    let user = |user: &writ_core::User| User {
        entity: user.entity.to_string(),
        name: user.name.to_string(),
    };
    users.iter().map(user).collect()
}

/// `WWW-Authenticate` (RFC 6750 §3). Without a token there is no error to name (§3.1).
fn challenge(failure: &Failure) -> Option<String> {
    let invalid = "Bearer realm=\"writ\", error=\"invalid_token\", \
                   error_description=\"the token is not valid, or not any more\"";
    match failure {
        Failure::Unauthenticated { presented: false } => Some("Bearer realm=\"writ\"".to_owned()),
        Failure::Unproved { nonce } => {
            let error = match nonce {
                Some(_) => "use_dpop_nonce",
                None => "invalid_dpop_proof",
            };
            Some(format!("DPoP realm=\"writ\", error=\"{error}\""))
        }
        Failure::Unauthenticated { presented: true }
        | Failure::Refused {
            refusal: Refusal::ActorUnusable { .. },
            ..
        } => Some(invalid.to_owned()),
        Failure::Refused {
            refusal: Refusal::ActorNotPermitted { scope },
            ..
        } => Some(format!(
            "Bearer realm=\"writ\", error=\"insufficient_scope\", scope=\"{scope}\""
        )),
        _ => None,
    }
}

/// Trouble of ours is said once, here; a mistake of a caller wakes nobody.
fn log(failure: &Failure, status: StatusCode) {
    match failure {
        Failure::Unavailable(error) => tracing::error!(%error, "an admin change could not be made"),
        Failure::Unreadable(error) => tracing::error!(%error, "the log could not be read"),
        Failure::NoVerdict(fault) => tracing::error!(%fault, "a policy could not be tried"),
        Failure::Internal => tracing::error!("internal error in the admin API"),
        _ => tracing::debug!(status = status.as_u16(), "an admin call was refused"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fmt::Write;
    use writ_core::{
        Algorithm, ApiId, ApplicationId, Entity, Jti, ManagementScope, Millis, Position, RoleId,
        SecretId,
    };

    fn refusals() -> Vec<Refusal> {
        let application = ApplicationId(1);
        let (api, role, secret, jti) = (ApiId(7), RoleId(3), SecretId(2), Jti(5));
        let name: writ_core::Name = "Job".parse().unwrap();
        let scope: writ_core::ScopeName = "courses:read".parse().unwrap();
        let identifier: writ_core::Identifier = "https://a.example".parse().unwrap();
        let kid: writ_core::Kid = "kid-1".parse().unwrap();
        let user = writ_core::User {
            entity: Entity::Application(application),
            name: name.clone(),
        };
        vec![
            Refusal::ActorUnusable { application },
            Refusal::ActorNotPermitted {
                scope: ManagementScope::RolesWrite,
            },
            Refusal::ActorNotLocal,
            Refusal::ActorOutranked { application },
            Refusal::ActorLacksAuthority {
                scopes: vec![scope.clone()],
            },
            Refusal::LastAdministrator,
            Refusal::VersionStale {
                current: Position(9),
            },
            Refusal::IdempotencyKeyReused,
            Refusal::ApiResourceUnknown { id: api },
            Refusal::ApiResourceIdentifierTaken {
                identifier: identifier.clone(),
                id: api,
            },
            Refusal::ManagementApiFixed,
            Refusal::ScopeUnknown {
                api,
                name: scope.clone(),
            },
            Refusal::ScopeNowhere {
                name: scope.clone(),
            },
            Refusal::ScopeTaken {
                name: scope.clone(),
                api,
            },
            Refusal::ScopeRepeated { name: scope },
            Refusal::ApplicationUnknown { id: application },
            Refusal::ApplicationIdTaken { id: application },
            Refusal::AudienceTaken {
                audience: identifier.clone(),
            },
            Refusal::IdentifierIsExtraAudience { identifier },
            Refusal::SecretUnknown {
                application,
                secret,
            },
            Refusal::SecretIdTaken { secret },
            Refusal::GrantUnknown { application, api },
            Refusal::GrantExists { application, api },
            Refusal::RoleUnknown { id: role },
            Refusal::RoleNameTaken { name, id: role },
            Refusal::PolicyUnknown {
                digest: writ_core::PolicyDigest([7; 32]),
            },
            Refusal::PolicyBindingUnknown {
                id: writ_core::BindingId(3),
            },
            Refusal::PolicyBindingUnchanged {
                id: writ_core::BindingId(3),
            },
            Refusal::ClaimUndeclared {
                claim: "tier".into(),
            },
            Refusal::SigningKeyUnknown { kid: kid.clone() },
            Refusal::SigningKeyKidTaken { kid: kid.clone() },
            Refusal::SigningKeyState {
                kid: kid.clone(),
                state: "retired",
            },
            Refusal::SigningKeyTooNew {
                kid: kid.clone(),
                usable_at: Millis(0),
            },
            Refusal::SigningKeyInUse {
                kid,
                algorithm: Algorithm::ES256,
            },
            Refusal::SigningKeyMissing {
                algorithm: Algorithm::ES256,
            },
            Refusal::TokenExpired { jti },
            Refusal::InUse {
                users: vec![user],
                total: 1,
            },
            Refusal::LimitReached {
                what: "roles",
                max: 5,
            },
            Refusal::ValueInvalid {
                what: "lifetime",
                expected: "1 to 86400 seconds",
            },
            Refusal::AlreadyInitialized,
            Refusal::NotInitialized,
        ]
    }

    fn failures() -> Vec<Failure> {
        let text = String::from;
        vec![
            Failure::NoRoute,
            Failure::WrongMethod {
                allow: text("GET, HEAD"),
            },
            Failure::Unauthenticated { presented: false },
            Failure::Unauthenticated { presented: true },
            Failure::Malformed {
                code: "query_malformed",
                detail: text("the query is not UTF-8"),
            },
            Failure::MediaType("application/json"),
            Failure::Policy {
                code: "policy_rejected",
                what: "the module is not taken",
                reasons: vec![text("too many locals"), text("it imports something")],
            },
            Failure::Busy("the disk is nearly full"),
            Failure::NoVerdict(crate::policies::PolicyFault::Unavailable(text(
                "a secret place",
            ))),
            Failure::TooLarge(1_048_576),
            Failure::Unknown {
                code: "role_unknown",
                what: "role",
                id: text("x"),
            },
            Failure::Gone,
            Failure::Absent,
            Failure::Value {
                member: text("name"),
                expected: text("must be one"),
            },
            Failure::UnknownInBody {
                code: "api_resource_unknown",
                member: "api",
                what: "API resource",
                id: text("x"),
            },
            Failure::Behind {
                wanted: Position(9),
                head: Position(3),
            },
            Failure::Unavailable(writ_ledger::Fault::Closed.into()),
            Failure::Unreadable(writ_ledger::Fault::Closed),
            Failure::Internal,
        ]
    }

    /// A change of this text is a change of the API: programs rely on it.
    #[test]
    fn every_failure_has_its_status_and_code() {
        let mut said = String::new();
        let refused = refusals().into_iter().map(|refusal| Failure::Refused {
            refusal,
            in_path: true,
        });
        for failure in failures().into_iter().chain(refused) {
            let (status, code) = class(&failure);
            writeln!(said, "{} {code}: {}", status.as_u16(), public(&failure)).unwrap();
        }
        assert_eq!(said, include_str!("problem.snapshot.txt"));
    }

    #[test]
    fn what_the_body_names_is_not_a_path_that_is_not_there() {
        let refusal = Refusal::RoleUnknown { id: RoleId(3) };
        let failure = Failure::Refused {
            refusal,
            in_path: false,
        };
        assert_eq!(class(&failure).0, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn headers_say_what_to_do() {
        let header = |failure: &Failure, name: &str| {
            let answer = failed(failure, "id");
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let none = Failure::Unauthenticated { presented: false };
        assert_eq!(
            header(&none, "www-authenticate").unwrap(),
            "Bearer realm=\"writ\""
        );
        let bad = Failure::Unauthenticated { presented: true };
        assert!(
            header(&bad, "www-authenticate")
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
        let refusal = Refusal::ActorNotPermitted {
            scope: ManagementScope::RolesWrite,
        };
        let scope = Failure::Refused {
            refusal,
            in_path: false,
        };
        assert_eq!(
            header(&scope, "www-authenticate").unwrap(),
            "Bearer realm=\"writ\", error=\"insufficient_scope\", scope=\"writ:roles:write\""
        );
        let method = Failure::WrongMethod {
            allow: "GET, HEAD".into(),
        };
        assert_eq!(header(&method, "allow").unwrap(), "GET, HEAD");
        let unavailable = Failure::Unreadable(writ_ledger::Fault::Closed);
        assert_eq!(header(&unavailable, "retry-after").unwrap(), "1");
    }
}
