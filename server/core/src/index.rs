//! The grant index: what the log adds up to. Every map is persistent, so that a clone is O(1) and
//! a reader keeps exactly the version it took while the writer builds the next.
//!
//! `apply` cannot fail and holds no rules: whatever it could object to was `decide`'s job.

mod names;
mod snapshot;

pub use snapshot::{RestoreError, Restoring, SNAPSHOT_FORMAT, SnapshotLine};

use crate::event::*;
use crate::{
    Algorithm, ApiId, ApiResource, Application, ApplicationId, BindingId, CredentialDigest,
    DetailsTypeName, Grant, GrantMode, Identifier, InitialAccessToken, InitialAccessTokenId,
    IssuerId, Jti, KeyState, Kid, Millis, Name, Policy, PolicyBinding, PolicyDigest, PolicyTarget,
    Position, Registration, Role, RoleId, ScopeBits, ScopeName, Secret, Settings, SigningKey,
    TrustedIssuer, limits,
};
use imbl::{OrdMap, OrdSet};
use names::Names;
use serde::{Deserialize, Serialize};
use std::ops;
use std::sync::Arc;

/// The projection of the log up to a position. Two indexes of one log at one position are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    log_id: Option<Arc<str>>,
    /// Who signs checkpoints, and whether a server has started since: then there is a checkpoint.
    log_key: Option<(Arc<str>, bool)>,
    issuer: Option<Arc<str>>,
    next: u64,
    last_at: Millis,
    settings: Arc<Settings>,
    apis: OrdMap<ApiId, Arc<ApiResource>>,
    identifiers: Names<Identifier, ApiId>,
    scopes: Names<ScopeName, (ApiId, u16)>,
    /// The API resource of each type of authorization details.
    details_types: OrdMap<DetailsTypeName, ApiId>,
    management: Option<ApiId>,
    apis_made: u32,
    roles: OrdMap<RoleId, Arc<Role>>,
    role_names: OrdMap<Name, RoleId>,
    roles_made: u32,
    issuers: OrdMap<IssuerId, Arc<TrustedIssuer>>,
    issuer_identifiers: OrdMap<Identifier, IssuerId>,
    issuers_made: u32,
    initial_access_tokens: OrdMap<InitialAccessTokenId, Arc<InitialAccessToken>>,
    initial_access_tokens_made: u32,
    applications: OrdMap<ApplicationId, Arc<Application>>,
    /// Applications with a grant to the management API.
    administrators: OrdSet<ApplicationId>,
    /// How many applications have each extra audience.
    extra_audiences: OrdMap<Identifier, u32>,
    keys: OrdMap<Kid, Arc<SigningKey>>,
    /// The active key of each algorithm, in the order of [`Algorithm::ALL`].
    active_keys: [Option<Arc<SigningKey>>; 4],
    revoked: OrdMap<Jti, (ApplicationId, Millis)>,
    revoked_by_expiry: OrdSet<(Millis, Jti)>,
    revocations: OrdMap<ApplicationId, u32>,
    repeatables: OrdMap<[u8; 32], Repeatable>,
    repeatables_by_time: OrdSet<(Millis, [u8; 32])>,
    /// Names and roots of the sealed issuance files that the log vouches for. A directory that was
    /// lost and begun anew may give a name twice, so one name can have several roots.
    sealed: OrdSet<(Box<str>, [u8; 32])>,
    policies: OrdMap<PolicyDigest, Arc<Policy>>,
    bindings: OrdMap<BindingId, Arc<PolicyBinding>>,
    bindings_made: u32,
    /// The bindings of each target that ever had one, as the token path wants them.
    bound: OrdMap<PolicyTarget, Arc<Bound>>,
}

/// The bindings of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bound {
    /// In the order in which they are asked.
    bindings: Vec<Arc<PolicyBinding>>,
    /// The position of the last change of any of them, also of one that is gone.
    version: Position,
}

/// A command that came with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeatable {
    /// SHA-256 of what was asked.
    #[serde(with = "crate::codec::hex32")]
    pub body: [u8; 32],
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// What it was about.
    pub subject: Entity,
}

impl Index {
    /// How many events are in it: the position of the next one.
    #[must_use]
    pub fn next_position(&self) -> Position {
        Position(self.next)
    }

    /// The position of the last event in it, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        self.next.checked_sub(1).map(Position)
    }

    /// The time of the last event in it.
    #[must_use]
    pub fn last_at(&self) -> Millis {
        self.last_at
    }

    /// The name of the log, once it has begun.
    #[must_use]
    pub fn log_id(&self) -> Option<&Arc<str>> {
        self.log_id.as_ref()
    }

    /// The verifier key of the log's checkpoints (C2SP signed-note), once there is one.
    #[must_use]
    pub fn log_vkey(&self) -> Option<&str> {
        self.log_key.as_ref().map(|(vkey, _)| &**vkey)
    }

    /// Whether a server has started since there is a key for checkpoints. It signs one before it
    /// records its start, so a data directory without any has lost it.
    #[must_use]
    pub fn has_checkpoint(&self) -> bool {
        self.log_key.as_ref().is_some_and(|(_, started)| *started)
    }

    /// The issuer identifier that the last start named: what policies were told. `None` before the
    /// first start that said it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An API resource by id.
    #[must_use]
    pub fn api(&self, id: ApiId) -> Option<&Arc<ApiResource>> {
        self.apis.get(&id)
    }

    /// An API resource by its identifier.
    #[must_use]
    pub fn api_identified(&self, identifier: &str) -> Option<&Arc<ApiResource>> {
        self.apis.get(self.identifiers.get(identifier)?)
    }

    /// The management API, once the log has begun.
    #[must_use]
    pub fn management(&self) -> Option<&Arc<ApiResource>> {
        self.apis.get(&self.management?)
    }

    /// API resources after an id, in the order of creation.
    pub fn apis(&self, after: Option<ApiId>) -> impl Iterator<Item = &Arc<ApiResource>> {
        self.apis
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// The API resource and number of a scope.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<(ApiId, u16)> {
        self.scopes.get(name).copied()
    }

    /// The API resource of a type of authorization details.
    #[must_use]
    pub fn details_type(&self, name: &str) -> Option<&Arc<ApiResource>> {
        self.apis.get(self.details_types.get(name)?)
    }

    /// The names of all types of authorization details, sorted.
    pub fn details_types(&self) -> impl Iterator<Item = &DetailsTypeName> {
        self.details_types.keys()
    }

    /// A trusted issuer.
    #[must_use]
    pub fn trusted_issuer(&self, id: IssuerId) -> Option<&Arc<TrustedIssuer>> {
        self.issuers.get(&id)
    }

    /// A trusted issuer by the `iss` of its tokens.
    #[must_use]
    pub fn trusted_issuer_named(&self, issuer: &str) -> Option<&Arc<TrustedIssuer>> {
        self.issuers.get(self.issuer_identifiers.get(issuer)?)
    }

    /// Trusted issuers after an id, in the order of creation.
    pub fn trusted_issuers(
        &self,
        after: Option<IssuerId>,
    ) -> impl Iterator<Item = &Arc<TrustedIssuer>> {
        self.issuers
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// How many trusted issuers there are.
    #[must_use]
    pub fn trusted_issuer_count(&self) -> usize {
        self.issuers.len()
    }

    /// An initial access token that is not revoked.
    #[must_use]
    pub fn initial_access_token(
        &self,
        id: InitialAccessTokenId,
    ) -> Option<&Arc<InitialAccessToken>> {
        self.initial_access_tokens.get(&id)
    }

    /// Initial access tokens after an id, in the order of creation.
    pub fn initial_access_tokens(
        &self,
        after: Option<InitialAccessTokenId>,
    ) -> impl Iterator<Item = &Arc<InitialAccessToken>> {
        self.initial_access_tokens
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// The initial access token with this digest. Every one is compared, each in constant time.
    #[must_use]
    pub fn match_initial_access_token(
        &self,
        presented: &CredentialDigest,
    ) -> Option<&Arc<InitialAccessToken>> {
        let mut found = None;
        for token in self.initial_access_tokens.values() {
            if token.digest.matches(presented) {
                found = Some(token);
            }
        }
        found
    }

    /// Whether applications can register themselves now: some initial access token is in force.
    #[must_use]
    pub fn takes_registrations(&self, now: Millis) -> bool {
        let mut tokens = self.initial_access_tokens.values();
        tokens.any(|token| token.is_in_force(now))
    }

    /// An application.
    #[must_use]
    pub fn application(&self, id: ApplicationId) -> Option<&Arc<Application>> {
        self.applications.get(&id)
    }

    /// Applications after an id, in the order of their ids.
    pub fn applications(
        &self,
        after: Option<ApplicationId>,
    ) -> impl Iterator<Item = &Arc<Application>> {
        self.applications
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// How many applications there are.
    #[must_use]
    pub fn application_count(&self) -> usize {
        self.applications.len()
    }

    /// How many API resources there are.
    #[must_use]
    pub fn api_count(&self) -> usize {
        self.apis.len()
    }

    /// How many roles there are.
    #[must_use]
    pub fn role_count(&self) -> usize {
        self.roles.len()
    }

    /// Applications with a grant to the management API.
    pub fn administrators(&self) -> impl Iterator<Item = &Arc<Application>> {
        self.administrators
            .iter()
            .filter_map(|id| self.applications.get(id))
    }

    /// A role.
    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&Arc<Role>> {
        self.roles.get(&id)
    }

    /// A role by its name.
    #[must_use]
    pub fn role_named(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(self.role_names.get(name)?)
    }

    /// Roles after an id, in the order of creation.
    pub fn roles(&self, after: Option<RoleId>) -> impl Iterator<Item = &Arc<Role>> {
        self.roles
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// A role's scopes by name, sorted.
    #[must_use]
    pub fn role_scopes(&self, role: &Role) -> Vec<ScopeName> {
        let mut names: Vec<ScopeName> = role
            .scopes
            .iter()
            .filter_map(|(api, bits)| Some(self.api(*api)?.names(bits)))
            .flatten()
            .collect();
        names.sort_unstable();
        names
    }

    /// A signing key.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        self.keys.get(kid)
    }

    /// Signing keys, sorted by kid.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys.values()
    }

    /// The key that signs with an algorithm.
    #[must_use]
    pub fn active_key(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.active_keys[algorithm as usize].as_ref()
    }

    /// Whether a token was revoked by its `jti`.
    #[must_use]
    pub fn is_revoked(&self, jti: Jti) -> bool {
        self.revoked.contains_key(&jti)
    }

    /// Until when the revocation of a token is remembered.
    pub(crate) fn revoked_until(&self, jti: Jti) -> Option<Millis> {
        self.revoked.get(&jti).map(|(_, end)| *end)
    }

    /// How many token revocations are in force.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.revoked.len()
    }

    /// How many token revocations of an application are in force.
    #[must_use]
    pub fn revocations_of(&self, application: ApplicationId) -> u32 {
        self.revocations.get(&application).copied().unwrap_or(0)
    }

    /// Whether some application has this extra audience.
    #[must_use]
    pub fn is_extra_audience(&self, audience: &str) -> bool {
        self.extra_audiences.contains_key(audience)
    }

    /// Whether the log has the seal of this very issuance file: the name and the Merkle root.
    #[must_use]
    pub fn is_sealed(&self, file: &str, root: &[u8; 32]) -> bool {
        self.sealed.contains(&(Box::from(file), *root))
    }

    /// Names of the issuance files whose seals the log has, sorted; a name comes once for each root
    /// that was entered under it.
    pub fn sealed_files(&self) -> impl Iterator<Item = &str> {
        self.sealed.iter().map(|(file, _)| &**file)
    }

    /// A policy that can be bound.
    #[must_use]
    pub fn policy(&self, digest: PolicyDigest) -> Option<&Arc<Policy>> {
        self.policies.get(&digest)
    }

    /// The policies that can be bound, sorted by digest.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// How many policies can be bound.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// A binding of a policy.
    #[must_use]
    pub fn policy_binding(&self, id: BindingId) -> Option<&Arc<PolicyBinding>> {
        self.bindings.get(&id)
    }

    /// Bindings of policies after an id, in the order of creation.
    pub fn policy_bindings(
        &self,
        after: Option<BindingId>,
    ) -> impl Iterator<Item = &Arc<PolicyBinding>> {
        self.bindings
            .range((
                after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
                ops::Bound::Unbounded,
            ))
            .map(|(_, v)| v)
    }

    /// How many bindings of policies there are.
    #[must_use]
    pub fn policy_binding_count(&self) -> usize {
        self.bindings.len()
    }

    /// The bindings of a target, in the order in which they are asked.
    #[must_use]
    pub fn bound(&self, target: PolicyTarget) -> &[Arc<PolicyBinding>] {
        self.bound
            .get(&target)
            .map_or(&[], |bound| bound.bindings.as_slice())
    }

    /// Whether a target has, or ever had, something bound to it.
    #[must_use]
    pub fn was_ever_bound(&self, target: PolicyTarget) -> bool {
        self.bound.contains_key(&target)
    }

    /// The position of the last change of the bindings of a target.
    pub(crate) fn bound_version(&self, target: PolicyTarget) -> Option<Position> {
        self.bound.get(&target).map(|bound| bound.version)
    }

    /// What a command with this hashed idempotency key was.
    #[must_use]
    pub fn repeatable(&self, key: &[u8; 32], now: Millis) -> Option<&Repeatable> {
        let found = self.repeatables.get(key)?;
        // Between two events log time stands still; the clock may already be past the day.
        let forgotten = now
            .0
            .checked_sub(limits::IDEMPOTENCY_MS)
            .is_some_and(|end| {
                let passed = self.repeatables_by_time.range(..=(Millis(end), [0xff; 32]));
                passed.into_iter().any(|(_, old)| old == key)
            });
        (!forgotten).then_some(found)
    }

    /// The scopes of an API resource that an application gets by its grant and roles, now.
    #[must_use]
    pub fn granted(&self, application: &Application, api: ApiId) -> ScopeBits {
        let Some(grant) = application.grant(api) else {
            return ScopeBits::default();
        };
        match grant.mode {
            GrantMode::None => grant.scopes,
            GrantMode::Rbac => {
                let mut by_roles = ScopeBits::default();
                for role in application.roles.iter().filter_map(|id| self.roles.get(id)) {
                    if let Some(bits) = role.scopes.get(&api) {
                        by_roles = by_roles.union(bits);
                    }
                }
                grant.scopes.intersection(&by_roles)
            }
        }
    }

    /// The position of the last change of an entity: its ETag.
    #[must_use]
    pub fn version_of(&self, entity: &Entity) -> Option<Position> {
        match entity {
            Entity::ApiResource(id) => self.api(*id).map(|api| api.version),
            Entity::Application(id) | Entity::Secret(id, _) => {
                self.application(*id).map(|application| application.version)
            }
            Entity::Policy(digest) => self.policy(*digest).map(|policy| policy.version),
            Entity::PolicyBinding(id) => self.policy_binding(*id).map(|binding| binding.version),
            Entity::Role(id) => self.role(*id).map(|role| role.version),
            Entity::Settings => Some(self.settings.version),
            Entity::SigningKey(kid) => self.key(kid.as_str()).map(|key| key.version),
            Entity::TrustedIssuer(id) => self.trusted_issuer(*id).map(|issuer| issuer.version),
            Entity::InitialAccessToken(id) => {
                self.initial_access_token(*id).map(|token| token.version)
            }
            Entity::Server | Entity::Token(_) => None,
        }
    }

    /// Takes one recorded event.
    // INVARIANT: depends on nothing but the index and the event.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.apply_event(recorded.position, recorded.at, &recorded.event);
        if let (Some(idempotency), 0) = (recorded.idempotency, recorded.sequence) {
            let subject = recorded.event.entities().swap_remove(0);
            let last = Position(recorded.position.0 + u64::from(recorded.of.max(1)) - 1);
            let entry = Repeatable {
                body: idempotency.body,
                first: recorded.position,
                last,
                subject,
            };
            self.repeatables.insert(idempotency.key, entry);
            self.repeatables_by_time
                .insert((recorded.at, idempotency.key));
        }
    }

    /// Takes one event at a place and time; the part of `apply` that `decide` uses to look ahead.
    pub(crate) fn apply_event(&mut self, position: Position, at: Millis, event: &Event) {
        self.next = position.0 + 1;
        self.last_at = at;
        self.forget(at);
        match event {
            Event::LogCreated(e) => self.log_id = Some(e.log_id.clone().into()),
            Event::LogKeySet(e) => self.log_key = Some((e.vkey.clone().into(), false)),
            Event::ServerStarted(e) => {
                self.issuer = e.issuer.clone().map(Into::into);
                if let Some((_, started)) = &mut self.log_key {
                    *started = true;
                }
            }
            Event::LogRestoreAccepted(_) | Event::CommandHadNoEffect(_) => {}
            Event::IssuancesSealed(e) => drop(self.sealed.insert((e.file.clone(), e.root))),
            Event::SettingsChanged(e) => {
                Arc::make_mut(&mut self.settings).apply(&e.change, position)
            }

            Event::ApiResourceCreated(e) => self.create_api(e, position, at),
            Event::ApiResourceRenamed(e) => {
                self.edit_api(e.id, position, |api| api.name = e.name.clone());
            }
            Event::ApiResourceAuthorizationChanged(e) => {
                self.edit_api(e.id, position, |api| {
                    api.requires_authorization = e.requires_authorization
                });
            }
            Event::ApiResourceProfileChanged(e) => {
                self.edit_api(e.id, position, |api| api.profile = e.profile);
            }
            Event::ApiResourceGuardsChanged(e) => {
                self.edit_api(e.id, position, |api| api.guards.clone_from(&e.guards));
            }
            Event::ApiResourceRemoved(e) => self.remove_api(e.id),
            Event::ScopeAdded(e) => {
                if let Some(api) = self.apis.get(&e.api) {
                    let bit = u16::try_from(api.slots.len()).unwrap_or(u16::MAX);
                    self.scopes.insert(e.scope.name.clone(), (e.api, bit));
                }
                self.edit_api(e.api, position, |api| api.slots.push(Some(e.scope.clone())));
            }
            Event::ScopeDescribed(e) => self.edit_api(e.api, position, |api| {
                for scope in api
                    .slots
                    .iter_mut()
                    .flatten()
                    .filter(|scope| scope.name == e.name)
                {
                    scope.description.clone_from(&e.description);
                }
            }),
            Event::ScopeRemoved(e) => {
                self.scopes.remove(e.name.as_str());
                self.edit_api(e.api, position, |api| {
                    for slot in &mut api.slots {
                        if slot.as_ref().is_some_and(|scope| scope.name == e.name) {
                            *slot = None;
                        }
                    }
                });
            }

            Event::ApplicationCreated(e) => self.create_application(e, position, at),
            Event::ApplicationRenamed(e) => {
                self.edit_application(e.id, position, |app| app.name = e.name.clone());
            }
            Event::ApplicationDisabled(e) => {
                self.edit_application(e.id, position, |app| app.enabled = false);
            }
            Event::ApplicationEnabled(e) => {
                self.edit_application(e.id, position, |app| app.enabled = true);
            }
            Event::ApplicationLabelled(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.labels = e.labels.clone());
                });
            }
            Event::ApplicationTokenSettingsChanged(e) => {
                self.forget_extra_audiences(e.id);
                self.note_extra_audiences(&e.token_settings.extra_audiences);
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.token_settings = e.token_settings.clone());
                });
            }
            Event::ApplicationAuthenticationChanged(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.authentication = e.authentication.clone());
                });
            }
            Event::ApplicationQuotaChanged(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.quota = e.quota);
                });
            }
            Event::ApplicationExchangeChanged(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.exchange = e.exchange.clone());
                });
            }
            Event::ApplicationRemoved(e) => {
                self.forget_extra_audiences(e.id);
                self.administrators.remove(&e.id);
                self.applications.remove(&e.id);
                self.bound.remove(&PolicyTarget::Application(e.id));
            }
            Event::ApplicationSecretAdded(e) => {
                self.edit_application(e.application, position, |app| {
                    let secret = Secret {
                        id: e.secret,
                        digest: e.digest,
                        created_at: at,
                        expires_at: e.expires_at,
                    };
                    app.secrets = app.secrets.iter().cloned().chain([secret]).collect();
                })
            }
            Event::ApplicationSecretRevoked(e) => {
                self.edit_application(e.application, position, |app| {
                    app.secrets = app
                        .secrets
                        .iter()
                        .filter(|s| s.id != e.secret)
                        .cloned()
                        .collect();
                })
            }
            Event::ApplicationSecretExpirySet(e) => {
                self.edit_application(e.application, position, |app| {
                    for secret in app.secrets.iter_mut().filter(|s| s.id == e.secret) {
                        secret.expires_at = Some(e.expires_at);
                    }
                });
            }
            Event::ApplicationRoleAssigned(e) => {
                self.edit_application(e.application, position, |app| {
                    let mut roles: Vec<RoleId> =
                        app.roles.iter().copied().chain([e.role]).collect();
                    roles.sort_unstable();
                    roles.dedup();
                    app.roles = roles.into();
                })
            }
            Event::ApplicationRoleUnassigned(e) => {
                self.edit_application(e.application, position, |app| {
                    app.roles = app
                        .roles
                        .iter()
                        .copied()
                        .filter(|role| *role != e.role)
                        .collect();
                })
            }
            Event::ApplicationTokensCut(e) => {
                self.edit_application(e.application, position, |app| {
                    app.edit_extras(|extras| extras.tokens_cut_at = Some(at));
                });
            }

            Event::GrantAdded(e) => {
                self.put_grant(e.application, e.api, e.mode, &e.scopes, position);
                if self.management == Some(e.api) {
                    self.administrators.insert(e.application);
                }
            }
            Event::GrantChanged(e) => {
                self.put_grant(e.application, e.api, e.mode, &e.scopes, position)
            }
            Event::GrantDetailsChanged(e) => {
                self.edit_application(e.application, position, |app| {
                    app.set_details(e.api, &e.details);
                });
            }
            Event::GrantRemoved(e) => {
                if self.management == Some(e.api) {
                    self.administrators.remove(&e.application);
                }
                self.edit_application(e.application, position, |app| app.remove_grant(e.api));
            }

            Event::DetailsTypePut(e) => {
                self.details_types
                    .insert(e.details_type.name.clone(), e.api);
                self.edit_api(e.api, position, |api| {
                    api.details_types
                        .retain(|one| one.name != e.details_type.name);
                    api.details_types.push(e.details_type.clone());
                    api.details_types
                        .sort_unstable_by(|a, b| a.name.cmp(&b.name));
                });
            }
            Event::DetailsTypeRemoved(e) => {
                self.details_types.remove(&e.name);
                self.edit_api(e.api, position, |api| {
                    api.details_types.retain(|one| one.name != e.name);
                });
            }

            Event::TrustedIssuerCreated(e) => {
                self.issuers_made = self.issuers_made.max(e.id.0 + 1);
                self.issuer_identifiers.insert(e.issuer.clone(), e.id);
                let issuer = TrustedIssuer {
                    id: e.id,
                    issuer: e.issuer.clone(),
                    name: e.name.clone(),
                    keys: e.keys.clone(),
                    omits_issuer: e.omits_issuer,
                    created_at: at,
                    version: position,
                };
                self.issuers.insert(e.id, Arc::new(issuer));
            }
            Event::TrustedIssuerChanged(e) => {
                if let Some(issuer) = self.issuers.get_mut(&e.id).map(Arc::make_mut) {
                    issuer.name = e.name.clone();
                    issuer.keys = e.keys.clone();
                    issuer.omits_issuer = e.omits_issuer;
                    issuer.version = position;
                }
            }
            Event::TrustedIssuerRemoved(e) => {
                if let Some(issuer) = self.issuers.remove(&e.id) {
                    self.issuer_identifiers.remove(&issuer.issuer);
                }
            }

            Event::InitialAccessTokenCreated(e) => {
                self.create_initial_access_token(e, position, at)
            }
            Event::InitialAccessTokenRevoked(e) => {
                self.initial_access_tokens.remove(&e.id);
            }
            Event::ApplicationRegistered(e) => {
                if let Some(token) = self.initial_access_tokens.get_mut(&e.token) {
                    let token = Arc::make_mut(token);
                    token.registered += 1;
                    token.version = position;
                }
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| {
                        extras.registration = Some(Box::new(Registration {
                            token: e.token,
                            digest: e.digest,
                            bounds: e.bounds.clone(),
                            changes: (0, 0),
                        }));
                    });
                });
            }
            Event::ApplicationRegistrationChanged(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| {
                        if let Some(registration) = &mut extras.registration {
                            let today = at.day();
                            let changes = &mut registration.changes;
                            *changes = match changes.0 == today {
                                true => (today, changes.1.saturating_add(1)),
                                false => (today, 1),
                            };
                        }
                    });
                });
            }
            Event::ApplicationRegistrationRevoked(e) => {
                self.edit_application(e.id, position, |app| {
                    app.edit_extras(|extras| extras.registration = None);
                });
            }

            Event::RoleCreated(e) => {
                self.roles_made = self.roles_made.max(e.id.0 + 1);
                self.role_names.insert(e.name.clone(), e.id);
                let role = Role {
                    id: e.id,
                    name: e.name.clone(),
                    created_at: at,
                    scopes: self.scopes_by_api(&e.scopes),
                    version: position,
                };
                self.roles.insert(e.id, Arc::new(role));
            }
            Event::RoleRenamed(e) => {
                if let Some(role) = self.roles.get_mut(&e.id).map(Arc::make_mut) {
                    self.role_names.remove(&role.name);
                    self.role_names.insert(e.name.clone(), e.id);
                    role.name = e.name.clone();
                    role.version = position;
                }
            }
            Event::RoleScopesChanged(e) => {
                let scopes = self.scopes_by_api(&e.scopes);
                if let Some(role) = self.roles.get_mut(&e.id).map(Arc::make_mut) {
                    role.scopes = scopes;
                    role.version = position;
                }
            }
            Event::RoleRemoved(e) => {
                if let Some(role) = self.roles.remove(&e.id) {
                    self.role_names.remove(&role.name);
                }
            }

            Event::SigningKeyMade(e) => {
                let key = SigningKey {
                    kid: e.kid.clone(),
                    algorithm: e.algorithm,
                    jwk: e.jwk.clone(),
                    made_at: at,
                    state: KeyState::Published,
                    version: position,
                };
                self.keys.insert(e.kid.clone(), Arc::new(key));
            }
            Event::SigningKeyActivated(e) => {
                self.move_key(&e.kid, KeyState::Active { since: at }, position);
            }
            Event::SigningKeyRetired(e) => {
                self.move_key(&e.kid, KeyState::Retired { until: e.until }, position);
            }
            Event::SigningKeyRevoked(e) => self.move_key(&e.kid, KeyState::Revoked, position),
            Event::SigningKeyRemoved(e) => {
                self.keys.remove(&e.kid);
            }

            Event::PolicyUploaded(e) => {
                let policy = Policy {
                    digest: e.digest,
                    bytes: e.bytes,
                    descriptor: e.descriptor.clone(),
                    uploaded_at: at,
                    version: position,
                };
                self.policies.insert(e.digest, Arc::new(policy));
            }
            Event::PolicyRemoved(e) => drop(self.policies.remove(&e.digest)),
            Event::PolicyBindingCreated(e) => {
                self.bindings_made = self.bindings_made.max(e.id.0 + 1);
                self.put_binding(PolicyBinding {
                    id: e.id,
                    target: e.target,
                    mode: e.mode,
                    order: e.order,
                    judgement: e.judgement.clone(),
                    previous: None,
                    created_at: at,
                    version: position,
                });
            }
            Event::PolicyBindingChanged(e) => {
                if let Some(old) = self.bindings.get(&e.id).cloned() {
                    self.put_binding(PolicyBinding {
                        mode: e.mode,
                        order: e.order,
                        previous: match old.judgement == e.judgement {
                            true => old.previous.clone(),
                            false => Some(Box::new(old.judgement.clone())),
                        },
                        judgement: e.judgement.clone(),
                        version: position,
                        ..PolicyBinding::clone(&old)
                    });
                }
            }
            Event::PolicyBindingRemoved(e) => {
                self.bindings.remove(&e.id);
                self.rebound(e.target, e.id, None, position);
            }

            Event::TokenRevoked(e) => {
                let before = self.revoked.insert(e.jti, (e.application, e.expires_at));
                if let Some((application, end)) = before {
                    self.revoked_by_expiry.remove(&(end, e.jti));
                    self.count_revocation_down(application);
                }
                self.revoked_by_expiry.insert((e.expires_at, e.jti));
                *self.revocations.entry(e.application).or_insert(0) += 1;
            }
        }
    }

    fn create_api(&mut self, e: &ApiResourceCreated, position: Position, at: Millis) {
        self.apis_made = self.apis_made.max(e.id.0 + 1);
        let api = ApiResource {
            id: e.id,
            identifier: e.identifier.clone(),
            name: e.name.clone(),
            created_at: at,
            requires_authorization: e.requires_authorization,
            profile: e.profile,
            guards: e.guards.clone(),
            slots: e.scopes.iter().cloned().map(Some).collect(),
            details_types: Vec::new(),
            version: position,
        };
        self.restore_api(Arc::new(api));
    }

    /// Puts an API resource in, with what is found by it.
    fn restore_api(&mut self, api: Arc<ApiResource>) {
        self.identifiers.insert(api.identifier.clone(), api.id);
        for (bit, scope) in (0u16..).zip(&api.slots) {
            if let Some(scope) = scope {
                self.scopes.insert(scope.name.clone(), (api.id, bit));
            }
        }
        for details_type in &api.details_types {
            self.details_types.insert(details_type.name.clone(), api.id);
        }
        if api.is_management() {
            self.management = Some(api.id);
        }
        self.apis.insert(api.id, api);
    }

    fn remove_api(&mut self, id: ApiId) {
        if let Some(api) = self.apis.remove(&id) {
            self.identifiers.remove(api.identifier.as_str());
            self.bound.remove(&PolicyTarget::ApiResource(id));
            for details_type in &api.details_types {
                self.details_types.remove(&details_type.name);
            }
            for (_, scope) in api.scopes() {
                self.scopes.remove(scope.name.as_str());
            }
        }
    }

    fn edit_api(&mut self, id: ApiId, position: Position, edit: impl FnOnce(&mut ApiResource)) {
        if let Some(api) = self.apis.get_mut(&id).map(Arc::make_mut) {
            edit(api);
            api.version = position;
        }
    }

    fn create_initial_access_token(
        &mut self,
        e: &InitialAccessTokenCreated,
        position: Position,
        at: Millis,
    ) {
        let made = &mut self.initial_access_tokens_made;
        *made = (*made).max(e.id.0 + 1);
        // By number: a scope that goes and comes again under its name is another one.
        let grants = e.grants.iter().map(|grant| {
            let scopes = self.scopes_by_api(&grant.scopes).remove(&grant.api);
            (grant.api, scopes.unwrap_or_default())
        });
        let token = InitialAccessToken {
            id: e.id,
            name: e.name.clone(),
            digest: e.digest,
            expires_at: e.expires_at,
            registrations: e.registrations,
            registered: 0,
            bounds: e.bounds.clone(),
            labels: e.labels.clone(),
            grants: grants.collect(),
            created_at: at,
            version: position,
        };
        self.initial_access_tokens.insert(e.id, Arc::new(token));
    }

    fn create_application(&mut self, e: &ApplicationCreated, position: Position, at: Millis) {
        self.note_extra_audiences(&e.token_settings.extra_audiences);
        let mut application = Application::new(e.id, e.name.clone(), at, position);
        application.edit_extras(|extras| {
            extras.labels = e.labels.clone();
            extras.token_settings = e.token_settings.clone();
        });
        self.applications.insert(e.id, Arc::new(application));
    }

    fn edit_application(
        &mut self,
        id: ApplicationId,
        position: Position,
        edit: impl FnOnce(&mut Application),
    ) {
        if let Some(application) = self.applications.get_mut(&id).map(Arc::make_mut) {
            edit(application);
            application.version = position;
        }
    }

    fn put_grant(
        &mut self,
        application: ApplicationId,
        api: ApiId,
        mode: GrantMode,
        scopes: &[ScopeName],
        position: Position,
    ) {
        let bits = scopes.iter().filter_map(|name| self.scope(name.as_str()));
        let scopes = bits
            .filter(|(of, _)| *of == api)
            .map(|(_, bit)| bit)
            .collect();
        let grant = Grant { api, mode, scopes };
        self.edit_application(application, position, |app| app.put_grant(&grant));
    }

    /// Scopes by API resource and number.
    pub(crate) fn scopes_by_api(
        &self,
        names: &[ScopeName],
    ) -> std::collections::BTreeMap<ApiId, ScopeBits> {
        let mut by_api = std::collections::BTreeMap::<ApiId, ScopeBits>::new();
        for (api, bit) in names.iter().filter_map(|name| self.scope(name.as_str())) {
            by_api.entry(api).or_default().insert(bit);
        }
        by_api
    }

    pub(crate) fn next_api(&self) -> ApiId {
        ApiId(self.apis_made)
    }

    pub(crate) fn next_role(&self) -> RoleId {
        RoleId(self.roles_made)
    }

    pub(crate) fn next_initial_access_token(&self) -> InitialAccessTokenId {
        InitialAccessTokenId(self.initial_access_tokens_made)
    }

    pub(crate) fn next_issuer(&self) -> IssuerId {
        IssuerId(self.issuers_made)
    }

    pub(crate) fn next_binding(&self) -> BindingId {
        BindingId(self.bindings_made)
    }

    fn put_binding(&mut self, binding: PolicyBinding) {
        let binding = Arc::new(binding);
        self.bindings.insert(binding.id, Arc::clone(&binding));
        let (target, id, position) = (binding.target, binding.id, binding.version);
        self.rebound(target, id, Some(binding), position);
    }

    /// Replaces one binding of a target, or takes it away.
    fn rebound(
        &mut self,
        target: PolicyTarget,
        id: BindingId,
        new: Option<Arc<PolicyBinding>>,
        position: Position,
    ) {
        let bound = Arc::make_mut(self.bound.entry(target).or_default());
        bound.bindings.retain(|binding| binding.id != id);
        bound.bindings.extend(new);
        bound
            .bindings
            .sort_unstable_by_key(|binding| (binding.order, binding.id));
        bound.version = position;
    }

    fn move_key(&mut self, kid: &Kid, state: KeyState, position: Position) {
        let Some(key) = self.keys.get_mut(kid) else {
            return;
        };
        let changed = Arc::make_mut(key);
        changed.state = state;
        changed.version = position;
        let slot = &mut self.active_keys[key.algorithm as usize];
        match state {
            KeyState::Active { .. } => *slot = Some(Arc::clone(key)),
            _ if slot.as_ref().is_some_and(|active| active.kid == *kid) => *slot = None,
            _ => {}
        }
    }

    fn note_extra_audiences(&mut self, audiences: &[Identifier]) {
        for audience in audiences {
            *self.extra_audiences.entry(audience.clone()).or_insert(0) += 1;
        }
    }

    fn forget_extra_audiences(&mut self, id: ApplicationId) {
        let Some(application) = self.applications.get(&id).cloned() else {
            return;
        };
        for audience in &application.token_settings().extra_audiences {
            match self.extra_audiences.get_mut(audience) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.extra_audiences.remove(audience)),
            }
        }
    }

    fn count_revocation_down(&mut self, application: ApplicationId) {
        match self.revocations.get_mut(&application) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.revocations.remove(&application)),
        }
    }

    /// Forgets what log time has passed: revocations of expired tokens, old idempotency keys.
    fn forget(&mut self, at: Millis) {
        while let Some(&(expiry, jti)) = self.revoked_by_expiry.get_min() {
            if expiry > at {
                break;
            }
            self.revoked_by_expiry.remove(&(expiry, jti));
            if let Some((application, _)) = self.revoked.remove(&jti) {
                self.count_revocation_down(application);
            }
        }
        while let Some(&(made, key)) = self.repeatables_by_time.get_min() {
            if made.0.saturating_add(limits::IDEMPOTENCY_MS) > at.0 {
                break;
            }
            self.repeatables_by_time.remove(&(made, key));
            self.repeatables.remove(&key);
        }
    }
}
