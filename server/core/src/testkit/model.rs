//! A second, naive reading of the same log: names in ordered sets, one pass over all events, no
//! bits, no sharing, no incremental maps. Where it and the index disagree, one of them is wrong.

use super::COURSES_IDENTIFIER;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

type Names = BTreeSet<String>;

/// Requests that meet the identifiers and scopes of [`super::histories`].
const ASKS: [(Option<&str>, &[&str]); 10] = [
    (None, &[]),
    (Some("courses:read"), &[]),
    (Some("courses:read a:1 b:1"), &[]),
    (Some("courses:publish none writ:roles:read"), &[]),
    (None, &[COURSES_IDENTIFIER]),
    (None, &["urn:example:a"]),
    (None, &["urn:example:b", COURSES_IDENTIFIER]),
    (
        Some("a:2 courses:write"),
        &[COURSES_IDENTIFIER, "urn:example:c"],
    ),
    (None, &[MANAGEMENT_IDENTIFIER]),
    (Some("writ:roles:read"), &[COURSES_IDENTIFIER]),
];

/// Those requests by each of the applications of the histories.
pub fn asks() -> impl Iterator<Item = (ApplicationId, Ask<'static>)> {
    (1..=6).flat_map(|id| {
        ASKS.iter().enumerate().map(move |(i, (scope, resources))| {
            let ask = Ask {
                scope: *scope,
                resources,
                details: if i % 3 == 2 { &["publish"] } else { &[] },
                binds: Binds {
                    dpop: i % 2 == 0,
                    certificate: i % 4 == 1,
                },
            };
            (ApplicationId(id), ask)
        })
    })
}

/// The index and the naive model tell the same story.
///
/// # Panics
/// When they do not.
pub fn check(index: &Index, events: &[Recorded]) {
    let model = Model::read(events);
    assert_eq!(index.settings().to_change(), model.settings);
    assert_eq!(index.application_count(), model.applications.len());
    assert_eq!(index.api_count(), model.apis.len());
    assert_eq!(index.role_count(), model.roles.len());
    let issuers = index.trusted_issuers(None);
    let issuers: BTreeMap<IssuerId, String> = issuers
        .map(|one| (one.id, one.issuer.to_string()))
        .collect();
    assert_eq!(issuers, model.issuers);
    let tokens = index.initial_access_tokens(None);
    let tokens: BTreeMap<InitialAccessTokenId, u32> = tokens
        .map(|one| (one.id, one.registrations - one.registered))
        .collect();
    let left = model.initial_access_tokens.iter();
    let left: BTreeMap<_, _> = left.map(|(id, token)| (*id, token.left)).collect();
    assert_eq!(tokens, left);
    assert_eq!(index.keys().count(), model.keys.len());
    assert_eq!(index.revoked_count(), model.revoked.len());
    assert_eq!(index.policy_count(), model.policies.len());
    assert_eq!(index.policy_binding_count(), model.bindings.len());
    for (id, expected) in &model.bindings {
        let found = index.policy_binding(*id).expect("in the model");
        assert_eq!(found.judgement, expected.judgement);
        assert_eq!(found.previous.as_deref(), expected.previous.as_ref());
        let order: Vec<_> = index.bound(found.target).iter().map(|one| one.id).collect();
        assert_eq!(order, model.bound(expected.target));
    }
    let mut revocations = BTreeMap::<ApplicationId, u32>::new();
    for (jti, (application, _)) in &model.revoked {
        assert!(index.is_revoked(*jti));
        *revocations.entry(*application).or_default() += 1;
    }
    for (application, count) in revocations {
        assert_eq!(index.revocations_of(application), count);
    }
    for (id, expected) in &model.applications {
        let app = index.application(*id).expect("in the model");
        assert_eq!(app.enabled, expected.enabled);
        assert_eq!(app.tokens_cut_at(), expected.cut_at);
        let secrets = app.secrets.iter();
        let secrets: BTreeMap<SecretId, Option<Millis>> = secrets
            .map(|secret| (secret.id, secret.expires_at))
            .collect();
        assert_eq!(secrets, expected.secrets);
        assert_eq!(app.own_authentication(), expected.authentication.as_ref());
        assert_eq!(app.quota(), expected.quota.as_ref());
        assert_eq!(app.exchange(), expected.exchange.as_ref());
        let found = app.registration();
        assert_eq!(
            found.map(|own| own.token),
            expected.registration.as_ref().map(|(token, _)| *token)
        );
        if let (Some(own), Some((_, changed))) = (found, &expected.registration) {
            let last = changed.last().map_or(0, |at| at.0 / 86_400_000);
            let same = changed.iter().filter(|at| at.0 / 86_400_000 == last);
            assert_eq!(
                own.changes,
                (last, u32::try_from(same.count()).unwrap_or(0))
            );
        }
        for api in index.apis(None) {
            let granted: BTreeSet<String> = texts(&api.names(&index.granted(app, api.id)))
                .into_iter()
                .collect();
            assert_eq!(granted, model.granted(*id, api.id));
        }
    }
    for (id, ask) in asks() {
        let found = authorize(index, id, ask).ok().map(|entitled| Answer {
            scopes: texts(&entitled.scopes),
            audience: entitled.audience.iter().map(ToString::to_string).collect(),
            lifetime_seconds: entitled.lifetime_seconds,
            algorithm: entitled.algorithm,
            typ: entitled.typ,
            dropped: entitled.dropped.iter().map(ToString::to_string).collect(),
            bindings: entitled.bindings.iter().map(|one| one.id).collect(),
            details: entitled.details.iter().map(ToString::to_string).collect(),
            binding: entitled.binding,
        });
        let expected = model.authorize(id, &ask);
        assert_eq!(found, expected, "{id} asks {ask:?}");
    }
}

fn texts(scopes: &[ScopeName]) -> Vec<String> {
    scopes.iter().map(ToString::to_string).collect()
}

#[derive(Default)]
struct Model {
    settings: SettingsChange,
    apis: BTreeMap<ApiId, Api>,
    applications: BTreeMap<ApplicationId, App>,
    roles: BTreeMap<RoleId, Names>,
    issuers: BTreeMap<IssuerId, String>,
    initial_access_tokens: BTreeMap<InitialAccessTokenId, Token>,
    revoked: BTreeMap<Jti, (ApplicationId, Millis)>,
    keys: BTreeMap<String, (Algorithm, &'static str)>,
    policies: BTreeSet<PolicyDigest>,
    bindings: BTreeMap<BindingId, Binding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Binding {
    target: PolicyTarget,
    mode: PolicyMode,
    order: u32,
    judgement: Judgement,
    previous: Option<Judgement>,
}

#[derive(Clone)]
struct Api {
    identifier: String,
    open: bool,
    profile: TokenProfile,
    guards: BTreeSet<ApplicationId>,
    scopes: Names,
    details: Names,
}

/// An initial access token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    expires_at: Millis,
    left: u32,
    labels: Labels,
    methods: Vec<AuthenticationMethod>,
    grants: BTreeMap<ApiId, Names>,
}

#[derive(Clone)]
struct App {
    enabled: bool,
    labels: Labels,
    settings: TokenSettings,
    secrets: BTreeMap<SecretId, Option<Millis>>,
    authentication: Option<Authentication>,
    quota: Option<Quota>,
    exchange: Option<TokenExchange>,
    /// By which token it registered, and when it changed that itself.
    registration: Option<(InitialAccessTokenId, Vec<Millis>)>,
    grants: BTreeMap<ApiId, (GrantMode, Names)>,
    details: BTreeMap<ApiId, Names>,
    roles: BTreeSet<RoleId>,
    cut_at: Option<Millis>,
}

/// What the model answers to a token request.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    scopes: Vec<String>,
    audience: Vec<String>,
    lifetime_seconds: u32,
    algorithm: Algorithm,
    typ: TokenType,
    dropped: Vec<String>,
    bindings: Vec<BindingId>,
    details: Vec<String>,
    binding: Option<crate::Binding>,
}

fn names(scopes: &[ScopeName]) -> Names {
    scopes.iter().map(ToString::to_string).collect()
}

impl Model {
    fn read(log: &[Recorded]) -> Self {
        let mut model = Self {
            settings: Settings::default().to_change(),
            ..Self::default()
        };
        log.iter().for_each(|recorded| model.take(recorded));
        let now = log.last().map_or(Millis(0), |last| last.at);
        model.revoked.retain(|_, (_, end)| *end > now);
        model
    }

    fn take(&mut self, recorded: &Recorded) {
        let app = |model: &mut Self, id, edit: &dyn Fn(&mut App)| {
            edit(model.applications.get_mut(&id).expect("an application"));
        };
        let api = |model: &mut Self, id, edit: &dyn Fn(&mut Api)| {
            edit(model.apis.get_mut(&id).expect("an API resource"));
        };
        match &recorded.event {
            Event::LogCreated(_)
            | Event::LogKeySet(_)
            | Event::LogRestoreAccepted(_)
            | Event::ServerStarted(_)
            | Event::CommandHadNoEffect(_)
            | Event::IssuancesSealed(_)
            | Event::ApiResourceRenamed(_)
            | Event::ScopeDescribed(_)
            | Event::ApplicationRenamed(_)
            | Event::RoleRenamed(_) => {}
            Event::SettingsChanged(e) => {
                let (old, new) = (&mut self.settings, &e.change);
                let all = serde_json::to_value(&*old).expect("settings");
                let change = serde_json::to_value(new).expect("settings");
                let mut all = all.as_object().expect("an object").clone();
                all.extend(change.as_object().expect("an object").clone());
                *old = serde_json::from_value(all.into()).expect("settings");
            }
            Event::ApiResourceCreated(e) => {
                let api = Api {
                    identifier: e.identifier.to_string(),
                    open: !e.requires_authorization,
                    profile: e.profile,
                    guards: e.guards.iter().copied().collect(),
                    scopes: e.scopes.iter().map(|s| s.name.to_string()).collect(),
                    details: Names::new(),
                };
                assert!(self.apis.insert(e.id, api).is_none());
            }
            Event::ApiResourceAuthorizationChanged(e) => {
                api(self, e.id, &|api| api.open = !e.requires_authorization);
            }
            Event::ApiResourceProfileChanged(e) => api(self, e.id, &|api| api.profile = e.profile),
            Event::ApiResourceGuardsChanged(e) => {
                api(self, e.id, &|api| {
                    api.guards = e.guards.iter().copied().collect()
                });
            }
            Event::ApiResourceRemoved(e) => {
                assert!(self.apis.remove(&e.id).is_some());
                let users = self.applications.values();
                assert!(users.into_iter().all(|app| !app.grants.contains_key(&e.id)));
            }
            Event::ScopeAdded(e) => api(self, e.api, &|api| {
                assert!(api.scopes.insert(e.scope.name.to_string()));
            }),
            Event::ScopeRemoved(e) => {
                let name = e.name.as_str();
                let granted = self
                    .applications
                    .values()
                    .flat_map(|app| app.grants.values());
                assert!(
                    granted
                        .into_iter()
                        .all(|(_, scopes)| !scopes.contains(name))
                );
                assert!(self.roles.values().all(|scopes| !scopes.contains(name)));
                api(self, e.api, &|api| assert!(api.scopes.remove(name)));
            }
            Event::ApplicationCreated(e) => {
                let app = App {
                    enabled: true,
                    labels: e.labels.clone(),
                    settings: e.token_settings.clone(),
                    secrets: BTreeMap::new(),
                    authentication: None,
                    quota: None,
                    exchange: None,
                    registration: None,
                    grants: BTreeMap::new(),
                    details: BTreeMap::new(),
                    roles: BTreeSet::new(),
                    cut_at: None,
                };
                assert!(self.applications.insert(e.id, app).is_none());
            }
            Event::ApplicationLabelled(e) => {
                app(self, e.id, &|app| app.labels = e.labels.clone());
            }
            Event::ApplicationDisabled(e) => app(self, e.id, &|app| app.enabled = false),
            Event::ApplicationEnabled(e) => app(self, e.id, &|app| app.enabled = true),
            Event::ApplicationTokenSettingsChanged(e) => {
                app(self, e.id, &|app| app.settings = e.token_settings.clone());
            }
            Event::ApplicationAuthenticationChanged(e) => {
                let trust = e.authentication.iter().flat_map(|own| &own.trust);
                for rule in trust {
                    assert!(self.issuers.contains_key(&rule.issuer));
                }
                app(self, e.id, &|app| {
                    app.authentication = e.authentication.as_deref().cloned();
                });
            }
            Event::ApplicationQuotaChanged(e) => app(self, e.id, &|app| app.quota = e.quota),
            Event::ApplicationExchangeChanged(e) => {
                app(self, e.id, &|app| app.exchange = e.exchange.clone());
            }
            Event::GrantDetailsChanged(e) => {
                let details: Names = e.details.iter().map(ToString::to_string).collect();
                assert!(details.is_subset(&self.apis[&e.api].details));
                app(self, e.application, &|app| {
                    assert!(app.grants.contains_key(&e.api));
                    app.details.insert(e.api, details.clone());
                });
            }
            Event::DetailsTypePut(e) => {
                let name = e.details_type.name.as_str();
                let others = self.apis.iter().filter(|(id, _)| **id != e.api);
                assert!(
                    others
                        .into_iter()
                        .all(|(_, api)| !api.details.contains(name))
                );
                api(self, e.api, &|api| {
                    let _ = api.details.insert(name.to_owned());
                });
            }
            Event::DetailsTypeRemoved(e) => {
                let name = e.name.as_str();
                for app in self.applications.values() {
                    assert!(
                        !app.details
                            .get(&e.api)
                            .is_some_and(|all| all.contains(name))
                    );
                }
                api(self, e.api, &|api| assert!(api.details.remove(name)));
            }
            Event::TrustedIssuerCreated(e) => {
                let issuer = e.issuer.to_string();
                assert!(self.issuers.values().all(|other| *other != issuer));
                assert!(self.issuers.insert(e.id, issuer).is_none());
            }
            Event::TrustedIssuerChanged(e) => assert!(self.issuers.contains_key(&e.id)),
            Event::TrustedIssuerRemoved(e) => {
                assert!(self.issuers.remove(&e.id).is_some());
                for app in self.applications.values() {
                    let own = app.authentication.iter();
                    let mut trust = own.flat_map(|own| &own.trust);
                    assert!(trust.all(|rule| rule.issuer != e.id));
                }
            }
            Event::InitialAccessTokenCreated(e) => {
                let grants = e.grants.iter().map(|one| (one.api, names(&one.scopes)));
                let token = Token {
                    expires_at: e.expires_at,
                    left: e.registrations,
                    labels: e.labels.clone(),
                    methods: e.bounds.methods.clone(),
                    grants: grants.collect(),
                };
                assert!(!token.grants.contains_key(&ApiId(0)));
                assert!(self.initial_access_tokens.insert(e.id, token).is_none());
            }
            Event::InitialAccessTokenRevoked(e) => {
                assert!(self.initial_access_tokens.remove(&e.id).is_some());
            }
            Event::ApplicationRegistered(e) => {
                let token = self.initial_access_tokens.get_mut(&e.token);
                let token = token.expect("an initial access token");
                assert!(recorded.at < token.expires_at);
                token.left = token.left.checked_sub(1).expect("one registration less");
                let token = token.clone();
                app(self, e.id, &|app| {
                    let own = app.authentication.as_ref().expect("a method");
                    assert!(own.methods.iter().all(|it| token.methods.contains(it)));
                    for (api, (mode, scopes)) in &app.grants {
                        assert_eq!(*mode, GrantMode::None);
                        assert!(scopes.is_subset(&token.grants[api]));
                    }
                    assert_eq!(app.labels, token.labels);
                    let before = app.registration.replace((e.token, Vec::new()));
                    assert!(before.is_none());
                });
            }
            Event::ApplicationRegistrationChanged(e) => app(self, e.id, &|app| {
                let (_, changed) = app.registration.as_mut().expect("a registration");
                changed.push(recorded.at);
            }),
            Event::ApplicationRegistrationRevoked(e) => app(self, e.id, &|app| {
                assert!(app.registration.take().is_some());
            }),
            Event::ApplicationRemoved(e) => {
                assert!(self.applications.remove(&e.id).is_some());
                assert!(self.apis.values().all(|api| !api.guards.contains(&e.id)));
            }
            Event::ApplicationSecretAdded(e) => app(self, e.application, &|app| {
                assert!(app.secrets.insert(e.secret, e.expires_at).is_none());
            }),
            Event::ApplicationSecretRevoked(e) => app(self, e.application, &|app| {
                assert!(app.secrets.remove(&e.secret).is_some());
            }),
            Event::ApplicationSecretExpirySet(e) => app(self, e.application, &|app| {
                // Never later than it was.
                let old = app.secrets.insert(e.secret, Some(e.expires_at));
                assert!(old.is_some_and(|old| old.is_none_or(|old| e.expires_at < old)));
            }),
            Event::ApplicationRoleAssigned(e) => {
                assert!(self.roles.contains_key(&e.role));
                app(self, e.application, &|app| {
                    assert!(app.roles.insert(e.role))
                });
            }
            Event::ApplicationRoleUnassigned(e) => {
                app(self, e.application, &|app| {
                    assert!(app.roles.remove(&e.role))
                });
            }
            Event::ApplicationTokensCut(e) => {
                app(self, e.application, &|app| app.cut_at = Some(recorded.at));
            }
            Event::GrantAdded(e) => app(self, e.application, &|app| {
                let grant = (e.mode, names(&e.scopes));
                assert!(app.grants.insert(e.api, grant).is_none());
            }),
            Event::GrantChanged(e) => app(self, e.application, &|app| {
                let grant = (e.mode, names(&e.scopes));
                assert!(app.grants.insert(e.api, grant).is_some());
            }),
            Event::GrantRemoved(e) => app(self, e.application, &|app| {
                assert!(app.grants.remove(&e.api).is_some());
                app.details.remove(&e.api);
            }),
            Event::RoleCreated(e) => {
                assert!(self.roles.insert(e.id, names(&e.scopes)).is_none());
            }
            Event::RoleScopesChanged(e) => {
                assert!(self.roles.insert(e.id, names(&e.scopes)).is_some());
            }
            Event::RoleRemoved(e) => {
                assert!(self.roles.remove(&e.id).is_some());
                let holders = self.applications.values();
                assert!(holders.into_iter().all(|app| !app.roles.contains(&e.id)));
            }
            Event::SigningKeyMade(e) => {
                let key = (e.algorithm, "published");
                assert!(self.keys.insert(e.kid.to_string(), key).is_none());
            }
            Event::SigningKeyActivated(e) => {
                self.keys.get_mut(e.kid.as_str()).expect("a key").1 = "active"
            }
            Event::SigningKeyRetired(e) => {
                self.keys.get_mut(e.kid.as_str()).expect("a key").1 = "retired"
            }
            Event::SigningKeyRevoked(e) => {
                self.keys.get_mut(e.kid.as_str()).expect("a key").1 = "revoked"
            }
            Event::SigningKeyRemoved(e) => {
                let (_, state) = self.keys.remove(e.kid.as_str()).expect("a key");
                assert_eq!(state, "retired");
            }
            Event::PolicyUploaded(e) => assert!(self.policies.insert(e.digest)),
            Event::PolicyRemoved(e) => {
                assert!(self.policies.remove(&e.digest));
                let used = |judgement: &Judgement| judgement.policy == e.digest;
                for binding in self.bindings.values() {
                    assert!(!used(&binding.judgement));
                    assert!(!binding.previous.as_ref().is_some_and(used));
                }
            }
            Event::PolicyBindingCreated(e) => {
                let binding = Binding {
                    target: e.target,
                    mode: e.mode,
                    order: e.order,
                    judgement: e.judgement.clone(),
                    previous: None,
                };
                assert!(self.bindings.insert(e.id, binding).is_none());
            }
            Event::PolicyBindingChanged(e) => {
                let binding = self.bindings.get_mut(&e.id).expect("a binding");
                assert_eq!(binding.target, e.target, "a binding never moves");
                (binding.mode, binding.order) = (e.mode, e.order);
                if binding.judgement != e.judgement {
                    let old = std::mem::replace(&mut binding.judgement, e.judgement.clone());
                    binding.previous = Some(old);
                }
            }
            Event::PolicyBindingRemoved(e) => {
                let gone = self.bindings.remove(&e.id).expect("a binding");
                assert_eq!(gone.target, e.target);
            }
            Event::TokenRevoked(e) => {
                self.revoked.insert(e.jti, (e.application, e.expires_at));
            }
        }
    }

    fn granted(&self, id: ApplicationId, api: ApiId) -> Names {
        let Some(app) = self.applications.get(&id) else {
            return Names::new();
        };
        let Some((mode, scopes)) = app.grants.get(&api) else {
            return Names::new();
        };
        let by_role = |name: &String| app.roles.iter().any(|id| self.roles[id].contains(name));
        let counts = |name: &&String| *mode == GrantMode::None || by_role(name);
        scopes.iter().filter(counts).cloned().collect()
    }

    /// The bindings of a target, in their order.
    fn bound(&self, target: PolicyTarget) -> Vec<BindingId> {
        let bound = self.bindings.iter().filter(|(_, one)| one.target == target);
        let mut bound: Vec<_> = bound.map(|(id, one)| (one.order, *id)).collect();
        bound.sort_unstable();
        bound.into_iter().map(|(_, id)| id).collect()
    }

    fn available(&self, id: ApplicationId, api: ApiId) -> Names {
        match &self.apis[&api] {
            open if open.open => open.scopes.clone(),
            _ => self.granted(id, api),
        }
    }

    /// The table of the design, row by row; `None` for every kind of denial.
    fn authorize(&self, id: ApplicationId, ask: &Ask<'_>) -> Option<Answer> {
        let (scope, resources) = (ask.scope, ask.resources);
        let app = self.applications.get(&id).filter(|app| app.enabled)?;
        let identified = |text: &str| self.apis.iter().find(|(_, api)| api.identifier == text);
        let mut order: Vec<ApiId> = Vec::new();
        for resource in resources {
            let (api, found) = identified(resource)?;
            if !found.open && !app.grants.contains_key(api) {
                return None;
            }
            if !order.contains(api) {
                order.push(*api);
            }
        }
        let named = order.len();
        let mut scopes = Names::new();
        let mut dropped = Vec::new();
        match scope {
            Some(text) => {
                for name in text.split(' ') {
                    name.parse::<ScopeName>().ok()?;
                    let owner = self.apis.iter().find(|(_, api)| api.scopes.contains(name));
                    let owner = owner.filter(|(api, _)| self.available(id, **api).contains(name));
                    match owner {
                        Some((api, _)) => {
                            if !order.contains(api) {
                                order.push(*api);
                            }
                            scopes.insert(name.to_owned());
                        }
                        None => dropped.push(name.to_owned()),
                    }
                }
            }
            None if named > 0 => {
                for api in &order {
                    scopes.extend(self.available(id, *api));
                }
            }
            None if self.settings.scopes_omitted == Some(OmittedScopes::All)
                && ask.details.is_empty() =>
            {
                for api in app.grants.keys().filter(|api| **api != ApiId(0)) {
                    let available = self.available(id, *api);
                    if !available.is_empty() {
                        order.push(*api);
                        scopes.extend(available);
                    }
                }
            }
            None => {}
        }
        for name in ask.details {
            let owner = self
                .apis
                .iter()
                .find(|(_, api)| api.details.contains(*name));
            let (id, api) = owner?;
            let granted = app.details.get(id).is_some_and(|all| all.contains(*name));
            if !api.open && !granted {
                return None;
            }
            if !order.contains(id) {
                order.push(*id);
            }
        }
        let reject = self.settings.scopes_unauthorized == Some(UnauthorizedScopes::Reject);
        if (reject && !dropped.is_empty()) || order.is_empty() {
            return None;
        }
        let apis: Vec<&Api> = order.iter().map(|api| &self.apis[api]).collect();
        let management = order.contains(&ApiId(0));
        let combine = self.settings.scopes_combine_apis == Some(true);
        if order.len() > 1 {
            let kind = |api: &Api| (api.profile.algorithm, api.profile.typ);
            let agree = apis.iter().all(|api| kind(api) == kind(apis[0]));
            if management || !agree || (order.len() > named && !combine) {
                return None;
            }
        }
        let strict = self.settings.security_profile == Some(SecurityProfile::Fapi2)
            || app
                .authentication
                .as_ref()
                .is_some_and(|own| own.profile == SecurityProfile::Fapi2);
        let mut demands: BTreeSet<SenderConstraint> = apis
            .iter()
            .map(|api| api.profile.sender_constraint)
            .collect();
        demands.insert(app.settings.sender_constraint);
        let demands = |one| demands.contains(&one);
        let (dpop, mtls) = (
            demands(SenderConstraint::Dpop),
            demands(SenderConstraint::Mtls),
        );
        let binding = match ask.binds {
            _ if dpop && mtls => return None,
            Binds { dpop: true, .. } if !mtls => Some(crate::Binding::Dpop),
            _ if dpop => return None,
            Binds {
                certificate: true, ..
            } if mtls || strict || demands(SenderConstraint::Any) => Some(crate::Binding::Mtls),
            _ if mtls || strict || demands(SenderConstraint::Any) => return None,
            _ => None,
        };
        let usual = self.settings.tokens_lifetime_seconds.expect("a setting");
        let of_apis = apis
            .iter()
            .map(|api| api.profile.lifetime_seconds.unwrap_or(usual));
        let lifetimes = of_apis.chain(app.settings.lifetime_seconds);
        let mut audience: Vec<String> = match app.settings.audience {
            Audience::ClientId if !management => vec![id.to_string()],
            _ => apis.iter().map(|api| api.identifier.clone()).collect(),
        };
        if !management {
            let extra = app.settings.extra_audiences.iter();
            audience.extend(extra.map(ToString::to_string));
        }
        let server = (!management).then_some(PolicyTarget::Server);
        let targets = server
            .into_iter()
            .chain(order.iter().map(|api| PolicyTarget::ApiResource(*api)))
            .chain([PolicyTarget::Application(id)]);
        Some(Answer {
            bindings: targets.flat_map(|target| self.bound(target)).collect(),
            scopes: scopes.into_iter().collect(),
            audience,
            lifetime_seconds: lifetimes.min().expect("an API resource"),
            algorithm: apis[0].profile.algorithm,
            typ: apis[0].profile.typ,
            dropped,
            details: ask.details.iter().map(ToString::to_string).collect(),
            binding,
        })
    }
}
