//! The rules of dynamic client registration (RFC 7591, RFC 7592): who lets applications register
//! themselves, what they can be then, and what they can change of it.

use super::{
    Events, Facts, api, application, at_most, create_application, protection, remove_application,
    scopes_of, secret_added,
};
use crate::command::NewSecret;
use crate::event::*;
use crate::limits::{self, REGISTRATION_CHANGES_PER_DAY, REGISTRATIONS_PER_TOKEN};
use crate::{
    Application, ApplicationId, Authentication, AuthenticationMethod, BoundGrant, ClientMetadata,
    CredentialDigest, GrantMode, Index, InitialAccessToken, InitialAccessTokenId, Name,
    NewRegistration, Refusal, RegistrationBounds, SecurityProfile, TokenSettings,
};
use std::sync::Arc;

// Initial access tokens.

pub(super) fn create_token(
    index: &Index,
    mut asked: InitialAccessTokenCreated,
    facts: Facts,
) -> Events {
    let count = index.initial_access_tokens(None).count() + 1;
    let what = "initial access tokens; revoke those that have ended";
    at_most(what, count, limits::INITIAL_ACCESS_TOKENS)?;
    let latest = facts.now.plus_seconds(limits::INITIAL_ACCESS_TOKEN_SECONDS);
    if asked.expires_at <= facts.now || asked.expires_at > latest {
        return Err(Refusal::ValueInvalid {
            what: "expires_at",
            expected: "in the future, and within 366 days",
        });
    }
    if !(1..=REGISTRATIONS_PER_TOKEN).contains(&asked.registrations) {
        return Err(Refusal::ValueInvalid {
            what: "registrations",
            expected: "1 to 10000",
        });
    }
    check_bounds(&asked.bounds)?;
    let what = "grants of an initial access token";
    at_most(what, asked.grants.len(), limits::GRANTS_PER_REGISTRATION)?;
    for (i, grant) in asked.grants.iter().enumerate() {
        check_grant(index, grant)?;
        if asked.grants[..i].iter().any(|other| other.api == grant.api) {
            return Err(Refusal::ValueInvalid {
                what: "grants",
                expected: "at most one for each API resource",
            });
        }
    }
    asked.grants.sort_unstable_by_key(|grant| grant.api);
    Ok(vec![asked.into()])
}

fn check_bounds(bounds: &RegistrationBounds) -> Result<(), Refusal> {
    let by_trust = bounds
        .methods
        .contains(&AuthenticationMethod::WorkloadIdentity);
    if bounds.methods.is_empty() || !bounds.methods.is_sorted_by(|a, b| a < b) || by_trust {
        return Err(Refusal::ValueInvalid {
            what: "methods",
            expected: "at least one, each once and in order, and not workload_identity: whom an \
                       application trusts is for administrators to say",
        });
    }
    let chars = bounds.name_prefix.as_ref().map(|name| name.as_str());
    let chars = chars.map_or(0, |prefix| prefix.chars().count());
    at_most(
        "characters of a name prefix",
        chars,
        limits::NAME_PREFIX_CHARS,
    )
}

/// Nobody becomes an administrator by registering.
fn check_grant(index: &Index, grant: &BoundGrant) -> Result<(), Refusal> {
    let api = api(index, grant.api)?;
    if api.is_management() {
        return Err(Refusal::ValueInvalid {
            what: "grants",
            expected: "to other API resources than the management API",
        });
    }
    scopes_of(api, &grant.scopes).map(drop)
}

pub(super) fn revoke_token(index: &Index, id: InitialAccessTokenId) -> Events {
    token(index, id)?;
    Ok(vec![InitialAccessTokenRevoked { id }.into()])
}

fn token(index: &Index, id: InitialAccessTokenId) -> Result<&Arc<InitialAccessToken>, Refusal> {
    let found = index.initial_access_token(id);
    found.ok_or(Refusal::InitialAccessTokenUnknown { id })
}

// Registrations.

pub(super) fn register(
    index: &Index,
    by: InitialAccessTokenId,
    asked: &NewRegistration,
    secret: &NewSecret,
    facts: Facts,
) -> Events {
    let token = token(index, by)?;
    let spent = |why| Err(Refusal::InitialAccessTokenSpent { id: by, why });
    if token.expires_at <= facts.now {
        return spent("it has expired");
    }
    // Here, at the serial point, so that racing registrations never exceed it.
    if token.registered >= token.registrations {
        return spent("it has registered as many applications as it may");
    }
    let (id, metadata) = (asked.application, &asked.metadata);
    check_metadata(index, &token.bounds, metadata)?;
    let name = match &metadata.name {
        Some(name) => name.clone(),
        None => usual_name(&token.bounds, id)?,
    };
    let settings = TokenSettings {
        sender_constraint: metadata.sender_constraint,
        ..TokenSettings::default()
    };
    let mut events = create_application(index, id, &name, &token.labels, &settings)?;
    let own = authentication(metadata, &Authentication::default());
    events.extend(protection::new_authentication(index, id, own)?);
    if metadata.method.uses_secret() {
        events.push(secret_added(id, secret));
    }
    events.extend(grants(index, token, asked));
    events.push(
        ApplicationRegistered {
            id,
            token: by,
            digest: asked.digest,
            bounds: token.bounds.clone(),
        }
        .into(),
    );
    Ok(events)
}

/// What an application gets of the grants of its token: the scopes that it asks for, all where it
/// does not say. What is beyond or gone is left out, and answered so (RFC 7591 §2).
fn grants(index: &Index, token: &InitialAccessToken, asked: &NewRegistration) -> Vec<Event> {
    let granted = token.grants.iter().filter_map(|(api, bits)| {
        let api = index.api(*api)?;
        let mut scopes = api.names(&bits.intersection(&api.all_scopes()));
        if let Some(asked) = &asked.scopes {
            scopes.retain(|name| asked.contains(name));
        }
        // One that never had a scope is for the audience alone.
        if scopes.is_empty() && !bits.is_empty() {
            return None;
        }
        let grant = GrantAdded {
            application: asked.application,
            api: api.id,
            mode: GrantMode::None,
            scopes,
        };
        Some(grant.into())
    });
    granted.collect()
}

fn usual_name(bounds: &RegistrationBounds, id: ApplicationId) -> Result<Name, Refusal> {
    let prefix = bounds.name_prefix.as_ref().map_or("", |name| name.as_str());
    let name = format!("{prefix}{id}").parse();
    name.map_err(|_| Refusal::ValueInvalid {
        what: "client_name",
        expected: "given",
    })
}

fn check_metadata(
    index: &Index,
    bounds: &RegistrationBounds,
    asked: &ClientMetadata,
) -> Result<(), Refusal> {
    let method = asked.method;
    if !bounds.methods.contains(&method) {
        let names: Vec<&str> = bounds.methods.iter().map(|it| it.as_str()).collect();
        return Err(Refusal::RegistrationOutOfBounds {
            what: "token_endpoint_auth_method",
            allowed: names.join(" or ").into(),
        });
    }
    // By a secret that would never be taken.
    if method.uses_secret() && index.settings().security_profile == SecurityProfile::Fapi2 {
        return Err(Refusal::ProfileForbids { method });
    }
    if let (Some(prefix), Some(name)) = (&bounds.name_prefix, &asked.name)
        && !name.as_str().starts_with(prefix.as_str())
    {
        return Err(Refusal::RegistrationOutOfBounds {
            what: "client_name",
            allowed: format!("one that begins with {prefix}").into(),
        });
    }
    Ok(())
}

/// How an application authenticates that says this about itself. What only administrators say
/// stays: whom it trusts, its certificates, how strict it is with it.
fn authentication(metadata: &ClientMetadata, old: &Authentication) -> Authentication {
    let by_trust = AuthenticationMethod::WorkloadIdentity;
    let trusted = old.methods.contains(&by_trust).then_some(by_trust);
    Authentication {
        methods: std::iter::once(metadata.method).chain(trusted).collect(),
        keys: metadata.keys.clone(),
        jwks_uri: metadata.jwks_uri.clone(),
        certificate_subject: metadata.certificate_subject.clone(),
        ..old.clone()
    }
}

pub(super) fn change(
    index: &Index,
    id: ApplicationId,
    presented: &CredentialDigest,
    metadata: &ClientMetadata,
    secret: &NewSecret,
    facts: Facts,
) -> Events {
    let app = registered(index, id, presented)?;
    let Some(registration) = app.registration() else {
        return Err(Refusal::RegistrationUnknown { application: id });
    };
    check_metadata(index, &registration.bounds, metadata)?;
    let old = app.token_settings();
    // An administrator may have said it, so it is never loosened from here.
    let constraint = old.sender_constraint.and(metadata.sender_constraint);
    let constraint = constraint.ok_or_else(|| Refusal::RegistrationOutOfBounds {
        what: "what its tokens are bound to",
        allowed: old.sender_constraint.as_str().into(),
    })?;
    let settings = TokenSettings {
        sender_constraint: constraint,
        ..old.clone()
    };
    let change = (metadata.name.as_ref(), None, None, Some(&settings));
    let mut events = super::change_application(index, id, change)?;
    let own = authentication(metadata, app.authentication());
    events.extend(protection::change_authentication(index, id, Some(&own))?);
    events.extend(secrets(app, metadata.method, secret, facts)?);
    if events.is_empty() {
        return Ok(events);
    }
    let (day, made) = registration.changes;
    if day == facts.now.day() && made >= REGISTRATION_CHANGES_PER_DAY {
        return Err(Refusal::RegistrationChangesSpent {
            application: id,
            max: REGISTRATION_CHANGES_PER_DAY,
        });
    }
    events.push(ApplicationRegistrationChanged { id }.into());
    Ok(events)
}

/// An application that goes by a secret and has none gets one; one that does not any more has none.
fn secrets(
    app: &Application,
    method: AuthenticationMethod,
    new: &NewSecret,
    facts: Facts,
) -> Events {
    let revoked = |old: &crate::Secret| secret_revoked(app.id, old.id);
    if !method.uses_secret() {
        return Ok(app.secrets.iter().map(revoked).collect());
    }
    if app.secrets.iter().any(|old| old.is_valid(facts.now)) {
        return Ok(Vec::new());
    }
    if app.secrets.iter().any(|old| old.id == new.id) {
        return Err(Refusal::SecretIdTaken { secret: new.id });
    }
    // Those that have expired only take room.
    let expired = app.secrets.iter().map(revoked);
    Ok(expired.chain([secret_added(app.id, new)]).collect())
}

fn secret_revoked(application: ApplicationId, secret: crate::SecretId) -> Event {
    ApplicationSecretRevoked {
        application,
        secret,
    }
    .into()
}

pub(super) fn remove(index: &Index, id: ApplicationId, presented: &CredentialDigest) -> Events {
    registered(index, id, presented)?;
    remove_application(index, id, false)
}

pub(super) fn revoke(index: &Index, id: ApplicationId) -> Events {
    match application(index, id)?.registration() {
        Some(_) => Ok(vec![ApplicationRegistrationRevoked { id }.into()]),
        None => Err(Refusal::RegistrationUnknown { application: id }),
    }
}

/// The application whose registration access token this is. Asked again at the serial point: it
/// may have been revoked while the request was on its way.
fn registered<'a>(
    index: &'a Index,
    id: ApplicationId,
    presented: &CredentialDigest,
) -> Result<&'a Arc<Application>, Refusal> {
    let app = application(index, id)?;
    match app.registration() {
        Some(own) if own.digest.matches(presented) => Ok(app),
        _ => Err(Refusal::RegistrationUnknown { application: id }),
    }
}
