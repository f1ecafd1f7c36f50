//! The rules: what a command means for an index. [`consider`] is the whole of it, in the order in
//! which questions are asked; one private function a command follows.

mod policies;
mod protection;
mod registration;

use crate::authority::Authority;
use crate::command::{NewScope, NewSecret, NewSigningKey};
use crate::event::*;
use crate::index::Repeatable;
use crate::limits::{self, KEY_AFTERLIFE_SECONDS};
use crate::{
    Algorithm, ApiId, ApiResource, Application, ApplicationId, Command, CommandId, GrantMode,
    Identifier, Index, Jti, KeyState, Kid, Labels, MANAGEMENT_IDENTIFIER, ManagementScope, Millis,
    Name, PolicyTarget, Position, ProfileChange, RULES_VERSION, Refusal, Role, RoleId, Scope,
    ScopeBits, ScopeName, SecretId, SettingsChange, SigningKey, TokenProfile, TokenSettings, User,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How the names of the management API's scopes begin.
const RESERVED_SCOPES: &str = "writ:";
/// How the identifiers of Writ's own API resources begin.
const RESERVED_IDENTIFIERS: &str = "urn:writ:";

/// A command with everything that came with it.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who asks.
    pub actor: crate::Actor,
    /// What is asked.
    pub command: Command,
    /// The id of the command.
    pub command_id: CommandId,
    /// The idempotency key, hashed.
    pub idempotency: Option<Idempotency>,
    /// The version that the subject must still have (`If-Match`).
    pub if_match: Option<Position>,
    /// Salted hash of the reason that was given.
    pub reason: Option<[u8; 32]>,
    /// The request, as a W3C trace id.
    pub correlation: Option<Box<str>>,
    /// What led to the command.
    pub cause: Option<Box<str>>,
}

impl Submission {
    /// A command without anything beside it.
    #[must_use]
    pub fn new(actor: crate::Actor, command_id: CommandId, command: Command) -> Self {
        Self {
            actor,
            command,
            command_id,
            idempotency: None,
            if_match: None,
            reason: None,
            correlation: None,
            cause: None,
        }
    }
}

/// What `decide` may not invent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time of the events to come: the clock, but never before the last event.
    pub now: Millis,
}

/// What a command means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These events, to be appended as one. None when nothing would change.
    Events(Vec<Event>),
    /// It was done before: this is what it was.
    Repeat(Repeatable),
}

/// Decides a command: may the actor still act, may the actor ask this, was this asked before, is
/// the subject as the caller saw it, do the rules allow it, and does it keep authority where it is.
///
/// # Errors
/// A [`Refusal`]: nothing changes.
pub fn consider(index: &Index, submission: &Submission, facts: Facts) -> Result<Decision, Refusal> {
    let authority = Authority::of(index, &submission.actor)?;
    authority.permit(&submission.command)?;
    if let Some(idempotency) = submission.idempotency
        && let Some(before) = index.repeatable(&idempotency.key, facts.now)
    {
        return if before.body == idempotency.body {
            Ok(Decision::Repeat(before.clone()))
        } else {
            Err(Refusal::IdempotencyKeyReused)
        };
    }
    if let Some(expected) = submission.if_match
        && let Some(current) = index.version_of(&subject(&submission.command))
        && current != expected
    {
        return Err(Refusal::VersionStale { current });
    }
    let mut events = decide(index, &submission.command, facts)?;
    check_size(&submission.command, &events)?;
    authority.check(index, facts.now, &events)?;
    if events.is_empty() && submission.idempotency.is_some() {
        events.push(
            CommandHadNoEffect {
                subject: subject(&submission.command),
            }
            .into(),
        );
    }
    Ok(Decision::Events(events))
}

/// Whether the events can be stored: what is accepted must never fail for its size afterwards.
fn check_size(command: &Command, events: &[Event]) -> Result<(), Refusal> {
    // A start cannot go in steps, and a server that cannot start cannot be helped.
    if !matches!(command, Command::StartServer { .. }) {
        let what = "changes by one command; go in steps";
        at_most(what, events.len(), limits::EVENTS_PER_COMMAND)?;
    }
    let max = limits::EVENT_BYTES - limits::ENVELOPE_BYTES;
    let fits = |event: &Event| event.data().is_ok_and(|data| data.get().len() <= max);
    if events.iter().all(fits) {
        Ok(())
    } else {
        let what = "bytes of one change; name fewer or shorter things";
        Err(Refusal::LimitReached { what, max })
    }
}

/// What a command is about: what `If-Match` is compared with.
pub(crate) fn subject(command: &Command) -> Entity {
    match command {
        Command::Initialize { .. }
        | Command::SetLogKey { .. }
        | Command::AcceptRestore { .. }
        | Command::StartServer { .. }
        | Command::CreateApiResource { .. }
        | Command::CreateRole { .. }
        | Command::CreateTrustedIssuer { .. }
        | Command::CreateInitialAccessToken { .. }
        | Command::BindPolicy { .. }
        | Command::RemoveExpiredSigningKeys
        | Command::SealIssuances { .. } => Entity::Server,
        Command::ChangeSettings { .. } => Entity::Settings,
        Command::ChangeApiResource { id, .. }
        | Command::RemoveApiResource { id, .. }
        | Command::PutScope { api: id, .. }
        | Command::RemoveScope { api: id, .. }
        | Command::PutDetailsType { api: id, .. }
        | Command::RemoveDetailsType { api: id, .. } => Entity::ApiResource(*id),
        Command::RecoverAdministrator { application, .. }
        | Command::CreateApplication {
            id: application, ..
        }
        | Command::ChangeApplication {
            id: application, ..
        }
        | Command::RemoveApplication {
            id: application, ..
        }
        | Command::AddSecret { application, .. }
        | Command::RotateSecret { application, .. }
        | Command::ChangeAuthentication { application, .. }
        | Command::ChangeRegistration { application, .. }
        | Command::RemoveRegistration { application, .. }
        | Command::RevokeRegistration { application }
        | Command::ChangeQuota { application, .. }
        | Command::ChangeExchange { application, .. }
        | Command::ChangeGrantDetails { application, .. }
        | Command::AddGrant { application, .. }
        | Command::ChangeGrant { application, .. }
        | Command::RemoveGrant { application, .. }
        | Command::AssignRole { application, .. }
        | Command::UnassignRole { application, .. }
        | Command::CutTokens { application } => Entity::Application(*application),
        Command::RevokeSecret {
            application,
            secret,
        } => Entity::Secret(*application, *secret),
        Command::RegisterApplication { registration, .. } => {
            Entity::Application(registration.application)
        }
        Command::RevokeInitialAccessToken { id } => Entity::InitialAccessToken(*id),
        Command::ChangeTrustedIssuer { id, .. } | Command::RemoveTrustedIssuer { id } => {
            Entity::TrustedIssuer(*id)
        }
        Command::ChangeRole { id, .. } | Command::RemoveRole { id, .. } => Entity::Role(*id),
        Command::MakeSigningKey { key } => Entity::SigningKey(key.kid.clone()),
        Command::ActivateSigningKey { kid }
        | Command::RetireSigningKey { kid }
        | Command::RevokeSigningKey { kid, .. } => Entity::SigningKey(kid.clone()),
        Command::RevokeToken { jti, .. } => Entity::Token(*jti),
        Command::UploadPolicy { digest, .. } | Command::RemovePolicy { digest } => {
            Entity::Policy(*digest)
        }
        Command::ChangePolicyBinding { id, .. }
        | Command::RollBackPolicyBinding { id }
        | Command::UnbindPolicy { id } => Entity::PolicyBinding(*id),
    }
}

type Events = Result<Vec<Event>, Refusal>;

/// The rules of one command, whoever asks.
fn decide(index: &Index, command: &Command, facts: Facts) -> Events {
    let begins = matches!(command, Command::Initialize { .. });
    match index.log_id() {
        None if !begins => return Err(Refusal::NotInitialized),
        Some(_) if begins => return Err(Refusal::AlreadyInitialized),
        _ => {}
    }
    match command {
        Command::Initialize {
            log_id,
            administrator,
            name,
            secret,
            keys,
        } => initialize(log_id, *administrator, name, secret, keys, facts),
        Command::RecoverAdministrator {
            application,
            name,
            secret,
        } => recover(index, *application, name, secret, facts),
        Command::SetLogKey { vkey } if index.log_vkey() == Some(vkey) => Ok(Vec::new()),
        Command::SetLogKey { vkey } => Ok(vec![LogKeySet { vkey: vkey.clone() }.into()]),
        Command::AcceptRestore { size, root } => Ok(vec![
            LogRestoreAccepted {
                size: *size,
                root: *root,
            }
            .into(),
        ]),
        Command::StartServer {
            version,
            engine,
            issuer,
        } => start(index, version, engine, issuer.as_deref()),
        Command::ChangeSettings { change } => change_settings(index, change),
        Command::CreateApiResource {
            identifier,
            name,
            requires_authorization,
            profile,
            guards,
            scopes,
        } => create_api(
            index,
            identifier,
            name,
            *requires_authorization,
            *profile,
            guards,
            scopes,
        ),
        Command::ChangeApiResource {
            id,
            name,
            requires_authorization,
            profile,
            guards,
        } => change_api(
            index,
            *id,
            name.as_ref(),
            *requires_authorization,
            *profile,
            guards.as_deref(),
        ),
        Command::RemoveApiResource { id, cascade } => remove_api(index, *id, *cascade),
        Command::PutScope { api, scope } => put_scope(index, *api, scope),
        Command::RemoveScope { api, name, cascade } => remove_scope(index, *api, name, *cascade),
        Command::CreateApplication {
            id,
            name,
            labels,
            token_settings,
        } => create_application(index, *id, name, labels, token_settings),
        Command::ChangeApplication {
            id,
            name,
            enabled,
            labels,
            token_settings,
        } => {
            let change = (
                name.as_ref(),
                *enabled,
                labels.as_ref(),
                token_settings.as_ref(),
            );
            change_application(index, *id, change)
        }
        Command::RemoveApplication { id, cascade } => remove_application(index, *id, *cascade),
        Command::AddSecret {
            application,
            secret,
        } => add_secret(index, *application, secret, facts),
        Command::RevokeSecret {
            application,
            secret,
        } => revoke_secret(index, *application, *secret),
        Command::RotateSecret {
            application,
            secret,
            overlap_seconds,
        } => rotate_secret(index, *application, secret, *overlap_seconds, facts),
        Command::AddGrant {
            application,
            api,
            mode,
            scopes,
        } => add_grant(index, *application, *api, *mode, scopes),
        Command::ChangeGrant {
            application,
            api,
            mode,
            scopes,
        } => change_grant(index, *application, *api, *mode, scopes.as_deref()),
        Command::RemoveGrant { application, api } => {
            grant(index, *application, *api)?;
            Ok(vec![
                GrantRemoved {
                    application: *application,
                    api: *api,
                }
                .into(),
            ])
        }
        Command::AssignRole { application, role } => assign_role(index, *application, *role),
        Command::UnassignRole { application, role } => unassign_role(index, *application, *role),
        Command::CreateRole { name, scopes } => create_role(index, name, scopes),
        Command::ChangeRole { id, name, scopes } => {
            change_role(index, *id, name.as_ref(), scopes.as_deref())
        }
        Command::RemoveRole { id, cascade } => remove_role(index, *id, *cascade),
        Command::MakeSigningKey { key } => make_key(index, key),
        Command::ActivateSigningKey { kid } => activate_key(index, kid, facts),
        Command::RetireSigningKey { kid } => retire_key(index, kid, facts),
        Command::RevokeSigningKey { kid, replacement } => {
            revoke_key(index, kid, replacement.as_ref())
        }
        Command::RemoveExpiredSigningKeys => Ok(remove_expired_keys(index, facts)),
        Command::RevokeToken {
            jti,
            application,
            expires_at,
        } => revoke_token(index, *jti, *application, *expires_at, facts),
        Command::CutTokens { application: id } => {
            application(index, *id)?;
            Ok(vec![ApplicationTokensCut { application: *id }.into()])
        }
        Command::ChangeAuthentication {
            application,
            authentication,
        } => protection::change_authentication(index, *application, authentication.as_deref()),
        Command::ChangeQuota { application, quota } => {
            protection::change_quota(index, *application, quota.as_ref())
        }
        Command::ChangeExchange {
            application,
            exchange,
        } => protection::change_exchange(index, *application, exchange.as_ref()),
        Command::ChangeGrantDetails {
            application,
            api,
            details,
        } => protection::change_grant_details(index, *application, *api, details),
        Command::CreateTrustedIssuer {
            issuer,
            name,
            keys,
            omits_issuer,
        } => protection::create_issuer(index, issuer, name, keys, *omits_issuer),
        Command::ChangeTrustedIssuer {
            id,
            name,
            keys,
            omits_issuer,
        } => protection::change_issuer(index, *id, name.as_ref(), keys.as_ref(), *omits_issuer),
        Command::RemoveTrustedIssuer { id } => protection::remove_issuer(index, *id),
        Command::CreateInitialAccessToken {
            name,
            digest,
            expires_at,
            registrations,
            bounds,
            labels,
            grants,
        } => {
            let (id, expires_at) = (index.next_initial_access_token(), *expires_at);
            let asked = InitialAccessTokenCreated {
                id,
                name: name.clone(),
                digest: *digest,
                expires_at,
                registrations: *registrations,
                bounds: bounds.clone(),
                labels: labels.clone(),
                grants: grants.clone(),
            };
            registration::create_token(index, asked, facts)
        }
        Command::RevokeInitialAccessToken { id } => registration::revoke_token(index, *id),
        Command::RegisterApplication {
            token,
            registration,
            secret,
        } => registration::register(index, *token, registration, secret, facts),
        Command::ChangeRegistration {
            application,
            presented,
            metadata,
            secret,
        } => registration::change(index, *application, presented, metadata, secret, facts),
        Command::RemoveRegistration {
            application,
            presented,
        } => registration::remove(index, *application, presented),
        Command::RevokeRegistration { application } => registration::revoke(index, *application),
        Command::PutDetailsType { api, details_type } => {
            protection::put_details_type(index, *api, details_type)
        }
        Command::RemoveDetailsType { api, name, cascade } => {
            protection::remove_details_type(index, *api, name, *cascade)
        }
        Command::UploadPolicy {
            digest,
            bytes,
            descriptor,
        } => policies::upload(index, *digest, *bytes, descriptor),
        Command::RemovePolicy { digest } => policies::remove(index, *digest),
        Command::BindPolicy {
            target,
            mode,
            order,
            judgement,
        } => policies::bind(index, *target, *mode, *order, judgement),
        Command::ChangePolicyBinding {
            id,
            mode,
            order,
            judgement,
        } => policies::change(index, *id, *mode, *order, judgement.as_ref()),
        Command::RollBackPolicyBinding { id } => policies::roll_back(index, *id),
        Command::UnbindPolicy { id } => policies::unbind(index, *id),
        // Sealed before: a crash came between the file and what it told. With another root it is
        // another file, whatever became of the first: the log shows both.
        Command::SealIssuances { file, root, .. } if index.is_sealed(file, root) => Ok(Vec::new()),
        Command::SealIssuances {
            file,
            first,
            last,
            records,
            root,
        } => Ok(vec![
            IssuancesSealed {
                file: file.clone(),
                first: *first,
                last: *last,
                records: *records,
                root: *root,
            }
            .into(),
        ]),
    }
}

// The server as a whole.

fn initialize(
    log_id: &str,
    administrator: ApplicationId,
    name: &Name,
    secret: &NewSecret,
    keys: &[NewSigningKey],
    facts: Facts,
) -> Events {
    check_expiry(secret, facts)?;
    for (i, key) in keys.iter().enumerate() {
        if keys[..i].iter().any(|other| other.kid == key.kid) {
            let kid = key.kid.clone();
            return Err(Refusal::SigningKeyKidTaken { kid });
        }
    }
    let management = ApiId(0);
    let scopes: Vec<Scope> = ManagementScope::ALL
        .iter()
        .map(|scope| Scope {
            name: scope.name(),
            description: scope.description().parse().ok(),
        })
        .collect();
    let mut events: Vec<Event> = vec![
        LogCreated {
            log_id: log_id.into(),
            format: 1,
        }
        .into(),
    ];
    for key in keys {
        events.push(made(key));
        events.push(
            SigningKeyActivated {
                kid: key.kid.clone(),
            }
            .into(),
        );
    }
    if let Some(algorithm) = Algorithm::ALL
        .into_iter()
        .find(|a| keys.iter().filter(|key| key.algorithm == *a).count() != 1)
    {
        return Err(Refusal::SigningKeyMissing { algorithm });
    }
    events.push(
        ApiResourceCreated {
            id: management,
            identifier: MANAGEMENT_IDENTIFIER
                .parse()
                .map_err(|_| Refusal::ManagementApiFixed)?,
            name: "Writ management API"
                .parse()
                .map_err(|_| Refusal::ManagementApiFixed)?,
            requires_authorization: true,
            profile: TokenProfile::default(),
            guards: Vec::new(),
            scopes,
        }
        .into(),
    );
    events.extend(administrator_events(
        management,
        administrator,
        name,
        secret,
    ));
    Ok(events)
}

fn administrator_events(
    management: ApiId,
    application: ApplicationId,
    name: &Name,
    secret: &NewSecret,
) -> [Event; 3] {
    let (labels, token_settings) = (Labels::default(), TokenSettings::default());
    [
        ApplicationCreated {
            id: application,
            name: name.clone(),
            labels,
            token_settings,
        }
        .into(),
        secret_added(application, secret),
        GrantAdded {
            application,
            api: management,
            mode: GrantMode::None,
            scopes: ManagementScope::ALL
                .iter()
                .map(|scope| scope.name())
                .collect(),
        }
        .into(),
    ]
}

fn recover(
    index: &Index,
    application: ApplicationId,
    name: &Name,
    secret: &NewSecret,
    facts: Facts,
) -> Events {
    let management = index.management().ok_or(Refusal::NotInitialized)?;
    check_expiry(secret, facts)?;
    if index.application(application).is_some() {
        return Err(Refusal::ApplicationIdTaken { id: application });
    }
    let mut events: Vec<Event> =
        administrator_events(management.id, application, name, secret).into();
    let judged = PolicyTarget::ApiResource(management.id);
    events.extend(policies::disarm(index, judged));
    Ok(events)
}

/// A start is recorded, and brings the management API up to this version's scopes: whoever held
/// all of them before holds all of them afterwards, or nobody could ever hand out the new ones.
fn start(index: &Index, version: &str, engine: &str, issuer: Option<&str>) -> Events {
    let mut events: Vec<Event> = vec![
        ServerStarted {
            version: version.into(),
            rules_version: RULES_VERSION,
            engine: engine.into(),
            issuer: issuer.map(Into::into),
        }
        .into(),
    ];
    let management = index.management().ok_or(Refusal::NotInitialized)?;
    let new: Vec<ManagementScope> = ManagementScope::ALL
        .iter()
        .copied()
        .filter(|scope| management.bit(scope.as_str()).is_none())
        .collect();
    if new.is_empty() {
        return Ok(events);
    }
    for scope in &new {
        let scope = Scope {
            name: scope.name(),
            description: scope.description().parse().ok(),
        };
        events.push(
            ScopeAdded {
                api: management.id,
                scope,
            }
            .into(),
        );
    }
    let all = management.all_scopes();
    for administrator in index.administrators() {
        let Some(grant) = administrator
            .grant(management.id)
            .filter(|g| all.is_subset(&g.scopes))
        else {
            continue;
        };
        events.push(
            GrantChanged {
                application: administrator.id,
                api: management.id,
                mode: grant.mode,
                scopes: ManagementScope::ALL
                    .iter()
                    .map(|scope| scope.name())
                    .collect(),
            }
            .into(),
        );
    }
    // In mode `rbac` the grant alone would not do.
    let roles = index.roles(None).filter(|role| {
        let bits = role.scopes.get(&management.id);
        bits.is_some_and(|bits| all.is_subset(bits))
    });
    for role in roles {
        let mut scopes = index.role_scopes(role);
        scopes.extend(new.iter().map(|scope| scope.name()));
        scopes.sort_unstable();
        events.push(
            RoleScopesChanged {
                id: role.id,
                scopes,
            }
            .into(),
        );
    }
    Ok(events)
}

fn change_settings(index: &Index, change: &SettingsChange) -> Events {
    let change = change.against(index.settings());
    if change.is_empty() {
        return Ok(Vec::new());
    }
    let mut after = index.settings().clone();
    after.apply(&change, index.next_position());
    match after.fault() {
        Some((what, expected)) => Err(Refusal::ValueInvalid { what, expected }),
        None => Ok(vec![SettingsChanged { change }.into()]),
    }
}

// API resources and scopes.

fn create_api(
    index: &Index,
    identifier: &Identifier,
    name: &Name,
    requires_authorization: bool,
    profile: TokenProfile,
    guards: &[ApplicationId],
    scopes: &[NewScope],
) -> Events {
    if is_reserved(identifier) {
        return Err(Refusal::ManagementApiFixed);
    }
    if let Some(api) = index.api_identified(identifier.as_str()) {
        return Err(Refusal::ApiResourceIdentifierTaken {
            identifier: identifier.clone(),
            id: api.id,
        });
    }
    // Otherwise that application's tokens would be valid for an API that never granted it.
    if index.is_extra_audience(identifier.as_str()) {
        return Err(Refusal::IdentifierIsExtraAudience {
            identifier: identifier.clone(),
        });
    }
    at_most(
        "API resources",
        index.api_count() + 1,
        limits::API_RESOURCES,
    )?;
    at_most(
        "scopes of an API resource",
        scopes.len(),
        limits::SCOPES_PER_API,
    )?;
    check_profile(index, profile)?;
    let mut named = BTreeSet::new();
    for scope in scopes {
        if !named.insert(&scope.name) {
            return Err(Refusal::ScopeRepeated {
                name: scope.name.clone(),
            });
        }
        not_reserved(&scope.name)?;
        scope_free(index, &scope.name)?;
    }
    Ok(vec![
        ApiResourceCreated {
            id: index.next_api(),
            identifier: identifier.clone(),
            name: name.clone(),
            requires_authorization,
            profile,
            guards: check_guards(index, guards)?,
            scopes: scopes.iter().map(new_scope).collect(),
        }
        .into(),
    ])
}

fn change_api(
    index: &Index,
    id: ApiId,
    name: Option<&Name>,
    requires_authorization: Option<bool>,
    profile: ProfileChange,
    guards: Option<&[ApplicationId]>,
) -> Events {
    let api = changeable_api(index, id)?;
    let mut events: Vec<Event> = Vec::new();
    if let Some(name) = name.filter(|name| **name != api.name) {
        events.push(
            ApiResourceRenamed {
                id,
                name: name.clone(),
            }
            .into(),
        );
    }
    if let Some(requires_authorization) =
        requires_authorization.filter(|value| *value != api.requires_authorization)
    {
        events.push(
            ApiResourceAuthorizationChanged {
                id,
                requires_authorization,
            }
            .into(),
        );
    }
    let profile = api.profile.with(profile);
    if profile != api.profile {
        check_profile(index, profile)?;
        events.push(ApiResourceProfileChanged { id, profile }.into());
    }
    if let Some(guards) = guards {
        let guards = check_guards(index, guards)?;
        if guards != api.guards {
            events.push(ApiResourceGuardsChanged { id, guards }.into());
        }
    }
    Ok(events)
}

fn remove_api(index: &Index, id: ApiId, cascade: bool) -> Events {
    let api = changeable_api(index, id)?;
    let granted: Vec<&Arc<Application>> = index
        .applications(None)
        .filter(|app| app.grant(id).is_some())
        .collect();
    let roles: Vec<&Arc<Role>> = index
        .roles(None)
        .filter(|role| role.scopes.contains_key(&id))
        .collect();
    let bound = PolicyTarget::ApiResource(id);
    refuse_users(cascade, &granted, &roles, policies::users(index, bound))?;
    let mut events: Vec<Event> = granted
        .iter()
        .map(|app| {
            GrantRemoved {
                application: app.id,
                api: id,
            }
            .into()
        })
        .collect();
    events.extend(
        roles
            .iter()
            .map(|role| without(index, role, &api.names(&api.all_scopes()))),
    );
    events.extend(policies::unbind_all(index, bound));
    events.push(ApiResourceRemoved { id }.into());
    Ok(events)
}

fn put_scope(index: &Index, id: ApiId, scope: &NewScope) -> Events {
    let api = changeable_api(index, id)?;
    match api.bit(scope.name.as_str()).and_then(|bit| api.scope(bit)) {
        Some(old) if old.description == scope.description => Ok(Vec::new()),
        Some(_) => {
            let NewScope { name, description } = scope.clone();
            Ok(vec![
                ScopeDescribed {
                    api: id,
                    name,
                    description,
                }
                .into(),
            ])
        }
        None => {
            not_reserved(&scope.name)?;
            scope_free(index, &scope.name)?;
            let what = "scopes that an API resource ever had";
            at_most(what, api.slots.len() + 1, limits::SCOPES_PER_API)?;
            Ok(vec![
                ScopeAdded {
                    api: id,
                    scope: new_scope(scope),
                }
                .into(),
            ])
        }
    }
}

fn remove_scope(index: &Index, id: ApiId, name: &ScopeName, cascade: bool) -> Events {
    let api = changeable_api(index, id)?;
    let bit = api
        .bit(name.as_str())
        .ok_or_else(|| Refusal::ScopeUnknown {
            api: id,
            name: name.clone(),
        })?;
    let granted: Vec<&Arc<Application>> = index
        .applications(None)
        .filter(|app| {
            app.grant(id)
                .is_some_and(|grant| grant.scopes.contains(bit))
        })
        .collect();
    let roles: Vec<&Arc<Role>> = index
        .roles(None)
        .filter(|role| role.scopes.get(&id).is_some_and(|bits| bits.contains(bit)))
        .collect();
    refuse_users(cascade, &granted, &roles, Vec::new())?;
    let mut events: Vec<Event> = granted
        .iter()
        .filter_map(|app| {
            let grant = app.grant(id)?;
            let mut scopes = grant.scopes;
            scopes.remove(bit);
            let scopes = api.names(&scopes);
            Some(
                GrantChanged {
                    application: app.id,
                    api: id,
                    mode: grant.mode,
                    scopes,
                }
                .into(),
            )
        })
        .collect();
    events.extend(
        roles
            .iter()
            .map(|role| without(index, role, std::slice::from_ref(name))),
    );
    events.push(
        ScopeRemoved {
            api: id,
            name: name.clone(),
        }
        .into(),
    );
    Ok(events)
}

fn refuse_users(
    cascade: bool,
    applications: &[&Arc<Application>],
    roles: &[&Arc<Role>],
    bindings: Vec<User>,
) -> Result<(), Refusal> {
    if cascade || (applications.is_empty() && roles.is_empty() && bindings.is_empty()) {
        return Ok(());
    }
    let applications = applications
        .iter()
        .map(|app| user(Entity::Application(app.id), &app.name));
    let roles = roles
        .iter()
        .map(|role| user(Entity::Role(role.id), &role.name));
    let all = applications.chain(roles).chain(bindings);
    Err(Refusal::in_use(all.collect()))
}

fn user(entity: Entity, name: &Name) -> User {
    User {
        entity,
        name: name.clone(),
    }
}

fn without(index: &Index, role: &Role, gone: &[ScopeName]) -> Event {
    let mut scopes = index.role_scopes(role);
    scopes.retain(|name| !gone.contains(name));
    RoleScopesChanged {
        id: role.id,
        scopes,
    }
    .into()
}

// Applications, secrets, grants.

fn create_application(
    index: &Index,
    id: ApplicationId,
    name: &Name,
    labels: &Labels,
    token_settings: &TokenSettings,
) -> Events {
    if index.application(id).is_some() {
        return Err(Refusal::ApplicationIdTaken { id });
    }
    check_token_settings(index, token_settings)?;
    let (name, labels, token_settings) = (name.clone(), labels.clone(), token_settings.clone());
    Ok(vec![
        ApplicationCreated {
            id,
            name,
            labels,
            token_settings,
        }
        .into(),
    ])
}

type ApplicationChange<'a> = (
    Option<&'a Name>,
    Option<bool>,
    Option<&'a Labels>,
    Option<&'a TokenSettings>,
);

fn change_application(
    index: &Index,
    id: ApplicationId,
    (name, enabled, labels, token_settings): ApplicationChange<'_>,
) -> Events {
    let app = application(index, id)?;
    let mut events: Vec<Event> = Vec::new();
    if let Some(name) = name.filter(|name| **name != app.name) {
        events.push(
            ApplicationRenamed {
                id,
                name: name.clone(),
            }
            .into(),
        );
    }
    match enabled {
        Some(true) if !app.enabled => events.push(ApplicationEnabled { id }.into()),
        Some(false) if app.enabled => events.push(ApplicationDisabled { id }.into()),
        _ => {}
    }
    if let Some(labels) = labels.filter(|labels| *labels != app.labels()) {
        events.push(
            ApplicationLabelled {
                id,
                labels: labels.clone(),
            }
            .into(),
        );
    }
    let current = app.token_settings();
    if let Some(token_settings) = token_settings.filter(|settings| *settings != current) {
        check_token_settings(index, token_settings)?;
        let token_settings = token_settings.clone();
        events.push(ApplicationTokenSettingsChanged { id, token_settings }.into());
    }
    Ok(events)
}

fn remove_application(index: &Index, id: ApplicationId, cascade: bool) -> Events {
    application(index, id)?;
    let guarded: Vec<&Arc<ApiResource>> = index
        .apis(None)
        .filter(|api| api.guards.contains(&id))
        .collect();
    if !cascade && !guarded.is_empty() {
        let users = guarded
            .iter()
            .map(|api| user(Entity::ApiResource(api.id), &api.name));
        return Err(Refusal::in_use(users.collect()));
    }
    let mut events: Vec<Event> = guarded
        .iter()
        .map(|api| {
            let guards = api
                .guards
                .iter()
                .copied()
                .filter(|guard| *guard != id)
                .collect();
            ApiResourceGuardsChanged { id: api.id, guards }.into()
        })
        .collect();
    events.extend(policies::unbind_all(index, PolicyTarget::Application(id)));
    events.push(ApplicationRemoved { id }.into());
    Ok(events)
}

fn add_secret(index: &Index, id: ApplicationId, secret: &NewSecret, facts: Facts) -> Events {
    let app = application(index, id)?;
    if app.secrets.iter().any(|old| old.id == secret.id) {
        return Err(Refusal::SecretIdTaken { secret: secret.id });
    }
    at_most(
        "secrets of an application",
        app.secrets.len() + 1,
        limits::SECRETS_PER_APPLICATION,
    )?;
    check_expiry(secret, facts)?;
    Ok(vec![secret_added(id, secret)])
}

/// A secret that never works helps nobody, and a time that cannot be written would be another
/// one after a restart.
fn check_expiry(secret: &NewSecret, facts: Facts) -> Result<(), Refusal> {
    match secret.expires_at {
        Some(end) if end <= facts.now || end > Millis::MAX => Err(Refusal::ValueInvalid {
            what: "expires_at",
            expected: "in the future, and before the year 10000",
        }),
        _ => Ok(()),
    }
}

fn secret_added(application: ApplicationId, secret: &NewSecret) -> Event {
    let NewSecret {
        id,
        digest,
        expires_at,
    } = *secret;
    ApplicationSecretAdded {
        application,
        secret: id,
        digest,
        expires_at,
    }
    .into()
}

fn rotate_secret(
    index: &Index,
    id: ApplicationId,
    secret: &NewSecret,
    overlap_seconds: u32,
    facts: Facts,
) -> Events {
    let app = application(index, id)?;
    if app.secrets.iter().any(|old| old.id == secret.id) {
        return Err(Refusal::SecretIdTaken { secret: secret.id });
    }
    if overlap_seconds > limits::SECRET_OVERLAP_MAX_SECONDS {
        return Err(Refusal::ValueInvalid {
            what: "overlap_seconds",
            expected: "at most 7776000 seconds, which are 90 days",
        });
    }
    let (valid, expired): (Vec<_>, Vec<_>) =
        app.secrets.iter().partition(|old| old.is_valid(facts.now));
    let what = "secrets of an application";
    at_most(what, valid.len() + 1, limits::SECRETS_PER_APPLICATION)?;
    check_expiry(secret, facts)?;
    let end = facts.now.plus_seconds(overlap_seconds.into());
    let end = end.min(Millis::MAX);
    let mut events = vec![secret_added(id, secret)];
    let lasting = valid.iter().filter(|old| old.is_valid(end));
    events.extend(lasting.map(|old| {
        ApplicationSecretExpirySet {
            application: id,
            secret: old.id,
            expires_at: end,
        }
        .into()
    }));
    events.extend(expired.iter().map(|old| {
        ApplicationSecretRevoked {
            application: id,
            secret: old.id,
        }
        .into()
    }));
    Ok(events)
}

fn revoke_secret(index: &Index, id: ApplicationId, secret: SecretId) -> Events {
    let app = application(index, id)?;
    if !app.secrets.iter().any(|old| old.id == secret) {
        return Err(Refusal::SecretUnknown {
            application: id,
            secret,
        });
    }
    Ok(vec![
        ApplicationSecretRevoked {
            application: id,
            secret,
        }
        .into(),
    ])
}

fn add_grant(
    index: &Index,
    id: ApplicationId,
    api_id: ApiId,
    mode: GrantMode,
    scopes: &[ScopeName],
) -> Events {
    let app = application(index, id)?;
    let api = api(index, api_id)?;
    if app.grant(api_id).is_some() {
        return Err(Refusal::GrantExists {
            application: id,
            api: api_id,
        });
    }
    at_most(
        "grants of an application",
        app.grants().len() + 1,
        limits::GRANTS_PER_APPLICATION,
    )?;
    let scopes = api.names(&scopes_of(api, scopes)?);
    Ok(vec![
        GrantAdded {
            application: id,
            api: api_id,
            mode,
            scopes,
        }
        .into(),
    ])
}

fn change_grant(
    index: &Index,
    id: ApplicationId,
    api_id: ApiId,
    mode: Option<GrantMode>,
    scopes: Option<&[ScopeName]>,
) -> Events {
    let old = grant(index, id, api_id)?;
    let api = api(index, api_id)?;
    let mode = mode.unwrap_or(old.mode);
    let scopes = match scopes {
        Some(names) => scopes_of(api, names)?,
        None => old.scopes.clone(),
    };
    if mode == old.mode && scopes == old.scopes {
        return Ok(Vec::new());
    }
    let scopes = api.names(&scopes);
    Ok(vec![
        GrantChanged {
            application: id,
            api: api_id,
            mode,
            scopes,
        }
        .into(),
    ])
}

fn assign_role(index: &Index, id: ApplicationId, role_id: RoleId) -> Events {
    let app = application(index, id)?;
    role(index, role_id)?;
    if app.roles.contains(&role_id) {
        return Ok(Vec::new());
    }
    at_most(
        "roles of an application",
        app.roles.len() + 1,
        limits::ROLES_PER_APPLICATION,
    )?;
    Ok(vec![
        ApplicationRoleAssigned {
            application: id,
            role: role_id,
        }
        .into(),
    ])
}

fn unassign_role(index: &Index, id: ApplicationId, role_id: RoleId) -> Events {
    if !application(index, id)?.roles.contains(&role_id) {
        return Err(Refusal::RoleUnknown { id: role_id });
    }
    Ok(vec![
        ApplicationRoleUnassigned {
            application: id,
            role: role_id,
        }
        .into(),
    ])
}

// Roles.

fn create_role(index: &Index, name: &Name, scopes: &[ScopeName]) -> Events {
    role_name_free(index, name)?;
    at_most("roles", index.role_count() + 1, limits::ROLES)?;
    let scopes = known_scopes(index, scopes)?;
    Ok(vec![
        RoleCreated {
            id: index.next_role(),
            name: name.clone(),
            scopes,
        }
        .into(),
    ])
}

fn change_role(
    index: &Index,
    id: RoleId,
    name: Option<&Name>,
    scopes: Option<&[ScopeName]>,
) -> Events {
    let old = role(index, id)?;
    let mut events: Vec<Event> = Vec::new();
    if let Some(name) = name.filter(|name| **name != old.name) {
        role_name_free(index, name)?;
        events.push(
            RoleRenamed {
                id,
                name: name.clone(),
            }
            .into(),
        );
    }
    if let Some(scopes) = scopes {
        let scopes = known_scopes(index, scopes)?;
        if scopes != index.role_scopes(old) {
            events.push(RoleScopesChanged { id, scopes }.into());
        }
    }
    Ok(events)
}

fn remove_role(index: &Index, id: RoleId, cascade: bool) -> Events {
    role(index, id)?;
    let holders: Vec<&Arc<Application>> = index
        .applications(None)
        .filter(|app| app.roles.contains(&id))
        .collect();
    refuse_users(cascade, &holders, &[], Vec::new())?;
    let mut events: Vec<Event> = holders
        .iter()
        .map(|app| {
            ApplicationRoleUnassigned {
                application: app.id,
                role: id,
            }
            .into()
        })
        .collect();
    events.push(RoleRemoved { id }.into());
    Ok(events)
}

// Signing keys and tokens.

fn make_key(index: &Index, key: &NewSigningKey) -> Events {
    kid_free(index, &key.kid)?;
    let trusted = index.keys().filter(|key| key.is_trusted()).count();
    at_most("signing keys", trusted + 1, limits::SIGNING_KEYS)?;
    Ok(vec![made(key)])
}

fn kid_free(index: &Index, kid: &Kid) -> Result<(), Refusal> {
    match index.key(kid.as_str()) {
        Some(_) => Err(Refusal::SigningKeyKidTaken { kid: kid.clone() }),
        None => Ok(()),
    }
}

fn made(key: &NewSigningKey) -> Event {
    let NewSigningKey {
        kid,
        algorithm,
        jwk,
    } = key.clone();
    SigningKeyMade {
        kid,
        algorithm,
        jwk,
    }
    .into()
}

/// A key signs only after every validator that caches the JWKS as told has seen it.
fn activate_key(index: &Index, kid: &Kid, facts: Facts) -> Events {
    let key = signing_key(index, kid)?;
    match key.state {
        KeyState::Published => {}
        KeyState::Active { .. } => return Ok(Vec::new()),
        KeyState::Retired { .. } | KeyState::Revoked => return Err(wrong_state(key)),
    }
    let old = index.active_key(key.algorithm);
    let ahead = u64::from(index.settings().keys_publish_ahead_seconds);
    let usable_at = key.made_at.plus_seconds(ahead);
    if old.is_some() && facts.now < usable_at {
        return Err(Refusal::SigningKeyTooNew {
            kid: kid.clone(),
            usable_at,
        });
    }
    let mut events: Vec<Event> = vec![SigningKeyActivated { kid: kid.clone() }.into()];
    if let Some(old) = old {
        let until = facts.now.plus_seconds(KEY_AFTERLIFE_SECONDS);
        events.push(
            SigningKeyRetired {
                kid: old.kid.clone(),
                until,
            }
            .into(),
        );
    }
    Ok(events)
}

fn retire_key(index: &Index, kid: &Kid, facts: Facts) -> Events {
    let key = signing_key(index, kid)?;
    match key.state {
        // It never signed, so nothing waits for it.
        KeyState::Published => Ok(vec![
            SigningKeyRetired {
                kid: kid.clone(),
                until: facts.now,
            }
            .into(),
        ]),
        KeyState::Active { .. } => Err(Refusal::SigningKeyInUse {
            kid: kid.clone(),
            algorithm: key.algorithm,
        }),
        KeyState::Retired { .. } => Ok(Vec::new()),
        KeyState::Revoked => Err(wrong_state(key)),
    }
}

/// A compromised key goes at once; the one that follows it signs although it is new, since
/// validators fetch the JWKS again for a kid that they don't know.
fn revoke_key(index: &Index, kid: &Kid, replacement: Option<&NewSigningKey>) -> Events {
    let key = signing_key(index, kid)?;
    let revoked: Event = SigningKeyRevoked { kid: kid.clone() }.into();
    match key.state {
        KeyState::Revoked => Ok(Vec::new()),
        KeyState::Published | KeyState::Retired { .. } => Ok(vec![revoked]),
        KeyState::Active { .. } => {
            let successor = index
                .keys()
                .filter(|k| k.algorithm == key.algorithm && k.state == KeyState::Published)
                .min_by_key(|k| k.made_at);
            if let Some(successor) = successor {
                let kid = successor.kid.clone();
                return Ok(vec![revoked, SigningKeyActivated { kid }.into()]);
            }
            match replacement.filter(|new| new.algorithm == key.algorithm) {
                Some(new) => {
                    // No limit: it takes the place of the one that goes.
                    kid_free(index, &new.kid)?;
                    let kid = new.kid.clone();
                    Ok(vec![revoked, made(new), SigningKeyActivated { kid }.into()])
                }
                None => Err(Refusal::SigningKeyInUse {
                    kid: kid.clone(),
                    algorithm: key.algorithm,
                }),
            }
        }
    }
}

fn remove_expired_keys(index: &Index, facts: Facts) -> Vec<Event> {
    index
        .keys()
        .filter(|key| matches!(key.state, KeyState::Retired { until } if until <= facts.now))
        .map(|key| {
            SigningKeyRemoved {
                kid: key.kid.clone(),
            }
            .into()
        })
        .collect()
}

fn revoke_token(
    index: &Index,
    jti: Jti,
    id: ApplicationId,
    expires_at: Millis,
    facts: Facts,
) -> Events {
    application(index, id)?;
    // One that would be forgotten before the token expires does not count.
    if index
        .revoked_until(jti)
        .is_some_and(|end| end >= expires_at)
    {
        return Ok(Vec::new());
    }
    if expires_at <= facts.now {
        return Err(Refusal::TokenExpired { jti });
    }
    // No token of ours lives longer; a revocation that does would only take memory.
    if expires_at > facts.now.plus_seconds(KEY_AFTERLIFE_SECONDS) {
        return Err(Refusal::ValueInvalid {
            what: "expires_at",
            expected: "within 24 hours",
        });
    }
    let (used, max) = (
        index.revocations_of(id),
        limits::REVOCATIONS_PER_APPLICATION,
    );
    let what = "revoked tokens of an application; cut all its tokens instead";
    at_most(what, used as usize + 1, max as usize)?;
    Ok(vec![
        TokenRevoked {
            jti,
            application: id,
            expires_at,
        }
        .into(),
    ])
}

// What several commands ask.

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count > max {
        Err(Refusal::LimitReached { what, max })
    } else {
        Ok(())
    }
}

fn api(index: &Index, id: ApiId) -> Result<&Arc<ApiResource>, Refusal> {
    index.api(id).ok_or(Refusal::ApiResourceUnknown { id })
}

fn changeable_api(index: &Index, id: ApiId) -> Result<&Arc<ApiResource>, Refusal> {
    let api = api(index, id)?;
    if api.is_management() {
        Err(Refusal::ManagementApiFixed)
    } else {
        Ok(api)
    }
}

fn application(index: &Index, id: ApplicationId) -> Result<&Arc<Application>, Refusal> {
    index
        .application(id)
        .ok_or(Refusal::ApplicationUnknown { id })
}

fn grant(index: &Index, id: ApplicationId, api: ApiId) -> Result<crate::Grant, Refusal> {
    let application = application(index, id)?;
    application.grant(api).ok_or(Refusal::GrantUnknown {
        application: id,
        api,
    })
}

fn role(index: &Index, id: RoleId) -> Result<&Arc<Role>, Refusal> {
    index.role(id).ok_or(Refusal::RoleUnknown { id })
}

fn role_name_free(index: &Index, name: &Name) -> Result<(), Refusal> {
    match index.role_named(name.as_str()) {
        Some(role) => Err(Refusal::RoleNameTaken {
            name: name.clone(),
            id: role.id,
        }),
        None => Ok(()),
    }
}

fn signing_key<'a>(index: &'a Index, kid: &Kid) -> Result<&'a Arc<SigningKey>, Refusal> {
    index
        .key(kid.as_str())
        .ok_or_else(|| Refusal::SigningKeyUnknown { kid: kid.clone() })
}

fn wrong_state(key: &SigningKey) -> Refusal {
    let state = match key.state {
        KeyState::Published => "published",
        KeyState::Active { .. } => "active",
        KeyState::Retired { .. } => "retired",
        KeyState::Revoked => "revoked",
    };
    Refusal::SigningKeyState {
        kid: key.kid.clone(),
        state,
    }
}

fn scope_free(index: &Index, name: &ScopeName) -> Result<(), Refusal> {
    match index.scope(name.as_str()) {
        Some((api, _)) => Err(Refusal::ScopeTaken {
            name: name.clone(),
            api,
        }),
        None => Ok(()),
    }
}

/// Scopes that a later version gives the management API must be free by then.
fn not_reserved(name: &ScopeName) -> Result<(), Refusal> {
    if name.as_str().starts_with(RESERVED_SCOPES) {
        return Err(Refusal::ValueInvalid {
            what: "the name of a scope",
            expected: "one that does not begin with writ:",
        });
    }
    Ok(())
}

/// Whether only Writ itself may be known by this identifier. Schemes and URN namespaces have no
/// case (RFC 8141 §3.1).
fn is_reserved(identifier: &Identifier) -> bool {
    let start = identifier.as_str().get(..RESERVED_IDENTIFIERS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_IDENTIFIERS))
}

fn new_scope(scope: &NewScope) -> Scope {
    Scope {
        name: scope.name.clone(),
        description: scope.description.clone(),
    }
}

fn scopes_of(api: &ApiResource, names: &[ScopeName]) -> Result<ScopeBits, Refusal> {
    let mut bits = ScopeBits::default();
    for name in names {
        let bit = api
            .bit(name.as_str())
            .ok_or_else(|| Refusal::ScopeUnknown {
                api: api.id,
                name: name.clone(),
            })?;
        if bits.contains(bit) {
            return Err(Refusal::ScopeRepeated { name: name.clone() });
        }
        bits.insert(bit);
    }
    Ok(bits)
}

fn known_scopes(index: &Index, names: &[ScopeName]) -> Result<Vec<ScopeName>, Refusal> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    at_most("scopes of a role", sorted.len(), limits::SCOPES_PER_API)?;
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Refusal::ScopeRepeated {
            name: twice[0].clone(),
        });
    }
    match sorted
        .iter()
        .find(|name| index.scope(name.as_str()).is_none())
    {
        Some(name) => Err(Refusal::ScopeNowhere { name: name.clone() }),
        None => Ok(sorted),
    }
}

fn check_lifetime(seconds: Option<u32>) -> Result<(), Refusal> {
    let range = limits::LIFETIME_MIN_SECONDS..=limits::LIFETIME_MAX_SECONDS;
    match seconds {
        Some(seconds) if !range.contains(&seconds) => Err(Refusal::ValueInvalid {
            what: "lifetime",
            expected: "1 to 86400 seconds",
        }),
        _ => Ok(()),
    }
}

fn check_profile(index: &Index, profile: TokenProfile) -> Result<(), Refusal> {
    check_lifetime(profile.lifetime_seconds)?;
    match index.active_key(profile.algorithm) {
        Some(_) => Ok(()),
        None => Err(Refusal::SigningKeyMissing {
            algorithm: profile.algorithm,
        }),
    }
}

fn check_guards(index: &Index, guards: &[ApplicationId]) -> Result<Vec<ApplicationId>, Refusal> {
    at_most(
        "guards of an API resource",
        guards.len(),
        limits::GUARDS_PER_API,
    )?;
    let guards: BTreeSet<ApplicationId> = guards.iter().copied().collect();
    match guards.iter().find(|id| index.application(**id).is_none()) {
        Some(id) => Err(Refusal::ApplicationUnknown { id: *id }),
        None => Ok(guards.into_iter().collect()),
    }
}

/// An extra audience must not be anything that grants are checked for. An application's id is no
/// URI, so an [`Identifier`] is never one.
fn check_token_settings(index: &Index, settings: &TokenSettings) -> Result<(), Refusal> {
    check_lifetime(settings.lifetime_seconds)?;
    let audiences = &settings.extra_audiences;
    at_most("extra audiences", audiences.len(), limits::EXTRA_AUDIENCES)?;
    for (i, audience) in audiences.iter().enumerate() {
        if audiences[..i].contains(audience) {
            return Err(Refusal::ValueInvalid {
                what: "extra_audiences",
                expected: "a list without repetition",
            });
        }
        if is_reserved(audience) || index.api_identified(audience.as_str()).is_some() {
            return Err(Refusal::AudienceTaken {
                audience: audience.clone(),
            });
        }
    }
    Ok(())
}
