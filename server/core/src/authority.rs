//! Who may do what to whom. Authority is decided here, at the writer's serial point, against the
//! index that the change will be applied to, so that it cannot race with the actor's own loss of
//! authority. Two rules close escalation whatever the command: nobody gives or loosens anything
//! for an application that holds more management authority than the actor, and the last usable
//! administrator stays.

use crate::event::*;
use crate::{
    Actor, Application, ApplicationId, AuthenticationMethod, Command, GrantMode, Index,
    InitialAccessTokenId, ManagementScope, Millis, PolicyTarget, Refusal, RoleId, ScopeBits,
};
use std::sync::Arc;

/// What an actor may do, as of an index.
pub(crate) enum Authority {
    /// Writ itself, or a person at the machine.
    Local,
    /// Whoever holds an initial access token: one thing may be asked by it.
    Registrant(InitialAccessTokenId),
    /// An application with a token of the management API, or without one for its own tokens and
    /// its own registration.
    Application {
        id: ApplicationId,
        /// By a token, and not as a client at the revocation endpoint.
        by_token: bool,
        scopes: ScopeBits,
    },
}

impl Authority {
    /// The authority of an actor: the scopes of its token that it still has.
    pub(crate) fn of(index: &Index, actor: &Actor) -> Result<Self, Refusal> {
        let (id, jti, scopes) = match actor {
            Actor::InitialAccessToken { id } => {
                let known = index.initial_access_token(*id).map(|token| token.id);
                let unknown = Refusal::InitialAccessTokenUnknown { id: *id };
                return known.map(Self::Registrant).ok_or(unknown);
            }
            Actor::Operator { .. } | Actor::System { .. } => return Ok(Self::Local),
            Actor::Application {
                id, jti, scopes, ..
            } => (*id, *jti, scopes),
        };
        let unusable = Refusal::ActorUnusable { application: id };
        let Some(application) = index.application(id).filter(|app| app.enabled) else {
            return Err(unusable);
        };
        if jti.is_some_and(|jti| index.is_revoked(jti) || application.has_cut(jti.millis())) {
            return Err(unusable);
        }
        let Some(management) = index.management() else {
            return Err(Refusal::NotInitialized);
        };
        let in_token: ScopeBits = scopes
            .iter()
            .filter_map(|name| management.bit(name.as_str()))
            .collect();
        let scopes = in_token.intersection(&index.granted(application, management.id));
        Ok(Self::Application {
            id,
            by_token: jti.is_some(),
            scopes,
        })
    }

    /// Whether the actor may ask this at all.
    pub(crate) fn permit(&self, command: &Command) -> Result<(), Refusal> {
        let (id, by_token, scopes) = match self {
            Self::Local => return Ok(()),
            Self::Registrant(id) => {
                let register =
                    matches!(command, Command::RegisterApplication { token, .. } if token == id);
                return register.then_some(()).ok_or(Refusal::ActorNotLocal);
            }
            Self::Application {
                id,
                by_token,
                scopes,
            } => (id, by_token, scopes),
        };
        // An application ends its own tokens without further authority (RFC 7009 §2.1). Only as a
        // client: the revocation endpoint has read whose token it is, while the management API is
        // merely told, and a caller of that could end any token by calling it its own. Its
        // registration it manages by a token that comes with the command (RFC 7592 §2).
        let own = matches!(command, Command::RevokeToken { application, .. }
            | Command::ChangeRegistration { application, .. }
            | Command::RemoveRegistration { application, .. } if application == id);
        if own && !by_token {
            return Ok(());
        }
        match command.required_scope() {
            None => Err(Refusal::ActorNotLocal),
            Some(scope) if scopes.contains(scope.bit()) => Ok(()),
            Some(scope) => Err(Refusal::ActorNotPermitted { scope }),
        }
    }

    /// Whether the actor may bring these events about.
    pub(crate) fn check(
        &self,
        index: &Index,
        now: Millis,
        events: &[Event],
    ) -> Result<(), Refusal> {
        let none = ScopeBits::default();
        let scopes = match self {
            Self::Local => return Ok(()),
            Self::Registrant(_) => &none,
            Self::Application { scopes, .. } => scopes,
        };
        let mut after = index.clone();
        for event in events {
            after.apply_event(after.next_position(), now, event);
        }
        for event in events {
            // Who takes an API resource away and registers it anew would have it unjudged.
            if let Event::PolicyBindingRemoved(e) = event
                && matches!(e.target, PolicyTarget::ApiResource(_))
                && !scopes.contains(ManagementScope::PoliciesUnbind.bit())
            {
                let scope = ManagementScope::PoliciesUnbind;
                return Err(Refusal::ActorNotPermitted { scope });
            }
            // Who lets applications register themselves with grants gives those grants.
            if let Event::InitialAccessTokenCreated(e) = event
                && !e.grants.is_empty()
                && !scopes.contains(ManagementScope::GrantsWrite.bit())
            {
                let scope = ManagementScope::GrantsWrite;
                return Err(Refusal::ActorNotPermitted { scope });
            }
            for id in strengthened(index, &after, event) {
                check_application(index, &after, id, scopes)?;
            }
            if let Some(role) = handed_out(event) {
                let assigned = matches!(event, Event::ApplicationRoleAssigned(_));
                check_role(index, &after, role, assigned, scopes)?;
            }
        }
        if has_usable_administrator(index, now) && !has_usable_administrator(&after, now) {
            return Err(Refusal::LastAdministrator);
        }
        Ok(())
    }
}

/// The management scopes an application could come to use: its grant, whatever its roles, its
/// secrets or its state are now. Counting less would let someone prepare an application before
/// its authority is completed by another.
fn potential(index: &Index, id: ApplicationId) -> ScopeBits {
    let grant = index
        .management()
        .and_then(|management| index.application(id)?.grant(management.id));
    grant.map(|grant| grant.scopes).unwrap_or_default()
}

fn check_application(
    before: &Index,
    after: &Index,
    id: ApplicationId,
    mine: &ScopeBits,
) -> Result<(), Refusal> {
    if !potential(before, id).is_subset(mine) {
        return Err(Refusal::ActorOutranked { application: id });
    }
    lacking(after, &potential(after, id), mine)
}

/// The scopes of a role that is created, loosened or assigned, and those who have it.
fn check_role(
    before: &Index,
    after: &Index,
    role: RoleId,
    assigned: bool,
    mine: &ScopeBits,
) -> Result<(), Refusal> {
    let Some((role, management)) = after.role(role).zip(after.management()) else {
        return Ok(());
    };
    let old = before.role(role.id);
    // What it had before is not given by taking something else away.
    let had = old
        .filter(|_| !assigned)
        .and_then(|old| old.scopes.get(&management.id));
    let given: ScopeBits = role
        .scopes
        .get(&management.id)
        .into_iter()
        .flat_map(ScopeBits::iter)
        .filter(|bit| !had.is_some_and(|had| had.contains(*bit)))
        .collect();
    lacking(after, &given, mine)?;
    let loosened = old.is_some_and(|old| {
        role.scopes
            .iter()
            .any(|(api, bits)| !old.scopes.get(api).is_some_and(|b| bits.is_subset(b)))
    });
    if loosened {
        for holder in after
            .administrators()
            .filter(|app| app.roles.contains(&role.id))
        {
            check_application(before, after, holder.id, mine)?;
        }
    }
    Ok(())
}

fn lacking(index: &Index, given: &ScopeBits, mine: &ScopeBits) -> Result<(), Refusal> {
    if given.is_subset(mine) {
        return Ok(());
    }
    let missing: ScopeBits = given.iter().filter(|bit| !mine.contains(*bit)).collect();
    let scopes = index
        .management()
        .map(|api| api.names(&missing))
        .unwrap_or_default();
    Err(Refusal::ActorLacksAuthority { scopes })
}

/// The applications to which an event gives something, or for which it loosens something.
/// Exhaustive on purpose: a new event must say whom it strengthens.
fn strengthened(before: &Index, after: &Index, event: &Event) -> Vec<ApplicationId> {
    match event {
        Event::ApplicationCreated(e) => vec![e.id],
        Event::ApplicationRenamed(e) => vec![e.id],
        Event::ApplicationEnabled(e) => vec![e.id],
        Event::ApplicationLabelled(e) => vec![e.id],
        Event::ApplicationTokenSettingsChanged(e) => vec![e.id],
        Event::ApplicationSecretAdded(e) => vec![e.application],
        Event::ApplicationAuthenticationChanged(e) => vec![e.id],
        Event::ApplicationQuotaChanged(e) => vec![e.id],
        // It gets tokens of these: nobody hands out those of a mightier one.
        Event::ApplicationExchangeChanged(e) => {
            let subjects = e.exchange.iter().flat_map(|exchange| &exchange.subjects);
            std::iter::once(e.id).chain(subjects.copied()).collect()
        }
        Event::GrantDetailsChanged(e) => vec![e.application],
        // Whoever says which keys are an issuer's is every application that trusts it.
        Event::TrustedIssuerChanged(e) => {
            let trusts = |app: &&Arc<Application>| {
                let rules = &app.authentication().trust;
                rules.iter().any(|rule| rule.issuer == e.id)
            };
            let trusting = after.administrators().filter(trusts);
            trusting.map(|app| app.id).collect()
        }
        Event::ApplicationRegistered(e) => vec![e.id],
        Event::ApplicationRegistrationChanged(e) => vec![e.id],
        Event::ApplicationRoleAssigned(e) => vec![e.application],
        Event::GrantAdded(e) => vec![e.application],
        Event::GrantChanged(e) => {
            let grant = |index: &Index| index.application(e.application)?.grant(e.api);
            let loosened = match (grant(before), grant(after)) {
                (Some(old), Some(new)) => {
                    !new.scopes.is_subset(&old.scopes)
                        || (old.mode == GrantMode::Rbac && new.mode == GrantMode::None)
                }
                _ => true,
            };
            if loosened {
                vec![e.application]
            } else {
                Vec::new()
            }
        }
        Event::ApiResourceCreated(e) => e.guards.clone(),
        Event::ApiResourceGuardsChanged(e) => {
            let old = before
                .api(e.id)
                .map(|api| api.guards.clone())
                .unwrap_or_default();
            e.guards
                .iter()
                .copied()
                .filter(|guard| !old.contains(guard))
                .collect()
        }
        // Policies are told the names of roles. Only administrators can outrank anybody.
        Event::RoleRenamed(e) => after
            .administrators()
            .filter(|app| app.roles.contains(&e.id))
            .map(|app| app.id)
            .collect(),
        Event::PolicyBindingCreated(e) => judged(after, e.target),
        Event::PolicyBindingChanged(e) => judged(after, e.target),
        Event::PolicyBindingRemoved(e) => judged(after, e.target),
        Event::LogCreated(_)
        | Event::LogKeySet(_)
        | Event::LogRestoreAccepted(_)
        | Event::ServerStarted(_)
        | Event::SettingsChanged(_)
        | Event::PolicyUploaded(_)
        | Event::PolicyRemoved(_)
        | Event::CommandHadNoEffect(_)
        | Event::ApiResourceRenamed(_)
        | Event::ApiResourceAuthorizationChanged(_)
        | Event::ApiResourceProfileChanged(_)
        | Event::ApiResourceRemoved(_)
        | Event::ScopeAdded(_)
        | Event::ScopeDescribed(_)
        | Event::ScopeRemoved(_)
        | Event::DetailsTypePut(_)
        | Event::DetailsTypeRemoved(_)
        | Event::TrustedIssuerCreated(_)
        | Event::TrustedIssuerRemoved(_)
        | Event::InitialAccessTokenCreated(_)
        | Event::InitialAccessTokenRevoked(_)
        | Event::ApplicationRegistrationRevoked(_)
        | Event::ApplicationDisabled(_)
        | Event::ApplicationRemoved(_)
        | Event::ApplicationSecretRevoked(_)
        | Event::ApplicationSecretExpirySet(_)
        | Event::ApplicationRoleUnassigned(_)
        | Event::ApplicationTokensCut(_)
        | Event::GrantRemoved(_)
        | Event::RoleCreated(_)
        | Event::RoleScopesChanged(_)
        | Event::RoleRemoved(_)
        | Event::SigningKeyMade(_)
        | Event::SigningKeyActivated(_)
        | Event::SigningKeyRetired(_)
        | Event::SigningKeyRevoked(_)
        | Event::SigningKeyRemoved(_)
        | Event::TokenRevoked(_)
        | Event::IssuancesSealed(_) => Vec::new(),
    }
}

/// The applications that a binding is made for: those whose authority passes through it. A binding
/// that goes with its application is nobody's any more.
fn judged(after: &Index, target: PolicyTarget) -> Vec<ApplicationId> {
    match target {
        PolicyTarget::Application(id) => after
            .application(id)
            .map(|app| app.id)
            .into_iter()
            .collect(),
        PolicyTarget::ApiResource(id) if after.management().is_some_and(|api| api.id == id) => {
            after.administrators().map(|app| app.id).collect()
        }
        PolicyTarget::ApiResource(_) | PolicyTarget::Server => Vec::new(),
    }
}

/// The role whose scopes an event hands out.
fn handed_out(event: &Event) -> Option<RoleId> {
    match event {
        Event::RoleCreated(e) => Some(e.id),
        Event::RoleScopesChanged(e) => Some(e.id),
        Event::ApplicationRoleAssigned(e) => Some(e.role),
        _ => None,
    }
}

/// Whether some application can administer everything now: enabled, with every scope of the
/// management API, and with a secret or key that works. What depends on others (their keys, their
/// tokens, the certificates that a node trusts) does not count: it can be gone tomorrow.
fn has_usable_administrator(index: &Index, now: Millis) -> bool {
    let Some(management) = index.management() else {
        return false;
    };
    let all: ScopeBits = ManagementScope::ALL
        .iter()
        .map(|scope| scope.bit())
        .collect();
    index.administrators().any(|app| {
        app.enabled
            && can_authenticate(index, app, now)
            && all.is_subset(&index.granted(app, management.id))
    })
}

fn can_authenticate(index: &Index, app: &Application, now: Millis) -> bool {
    let has_keys = !app.authentication().keys.is_empty();
    app.usable_methods(index.settings(), now)
        .any(|method| match method {
            AuthenticationMethod::ClientSecretBasic | AuthenticationMethod::ClientSecretPost => {
                true
            }
            AuthenticationMethod::PrivateKeyJwt => has_keys,
            AuthenticationMethod::SelfSignedTlsClientAuth
            | AuthenticationMethod::TlsClientAuth
            | AuthenticationMethod::WorkloadIdentity => false,
        })
}
