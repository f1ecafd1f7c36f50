//! What an event changed: in words, and as what the admin API showed before and after it. Pure: it
//! looks at the index before the event and at the one after it.

use crate::admin::entity_view;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use writ_api as api;
use writ_core::codec::hex;
use writ_core::*;

/// What an event changed, without the text of its reason, which is not in the log.
#[must_use]
pub fn change(before: &Index, recorded: &Recorded, after: &Index) -> api::Change {
    let states = States { before, after };
    let entity = match recorded.event.entities().swap_remove(0) {
        Entity::Secret(application, _) => Entity::Application(application),
        other => other,
    };
    let (old, new) = (entity_view(before, &entity), entity_view(after, &entity));
    let effect = match (&old, &new) {
        (None, Some(_)) => "created",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "changed",
        (None, None) => "recorded",
    };
    api::Change {
        position: recorded.position.0,
        time: recorded.at.to_string(),
        kind: recorded.event.kind().to_owned(),
        actor: states.actor(&recorded.actor),
        reason: None,
        entity: states.entity(&entity),
        effect: effect.to_owned(),
        summary: states.words(&recorded.event),
        before: old,
        after: new,
    }
}

/// The states before and after an event.
#[derive(Clone, Copy)]
struct States<'a> {
    before: &'a Index,
    after: &'a Index,
}

impl States<'_> {
    fn actor(self, actor: &Actor) -> api::ChangeActor {
        let (kind, id, name) = match actor {
            Actor::Application { id, .. } => {
                let known = self.before.application(*id);
                let known = known.or_else(|| self.after.application(*id));
                let name = known.map(|application| application.name.to_string());
                ("application", id.to_string(), name)
            }
            Actor::InitialAccessToken { id } => {
                let known = self.before.initial_access_token(*id);
                let name = known.map(|token| token.name.to_string());
                ("initial_access_token", id.to_string(), name)
            }
            Actor::Operator { id } => ("operator", id.to_string(), None),
            Actor::System { id } => ("system", id.to_string(), None),
        };
        api::ChangeActor {
            kind: kind.to_owned(),
            id,
            name,
        }
    }

    fn entity(self, entity: &Entity) -> api::ChangedEntity {
        let text = entity.to_string();
        let (kind, id) = text.split_once('/').unwrap_or((&text, ""));
        api::ChangedEntity {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name(self.after, entity).or_else(|| name(self.before, entity)),
        }
    }

    /// What an entity was called before the event, or after it when it was not there yet; its id
    /// where it never had a name.
    fn called(self, entity: &Entity) -> String {
        name(self.before, entity)
            .or_else(|| name(self.after, entity))
            .unwrap_or_else(|| {
                let text = entity.to_string();
                text.split_once('/')
                    .map_or(text.clone(), |(_, id)| id.to_owned())
            })
    }

    fn api(self, id: ApiId) -> String {
        let called = self.called(&Entity::ApiResource(id));
        format!("API resource {called}")
    }

    fn application(self, id: ApplicationId) -> String {
        let called = self.called(&Entity::Application(id));
        format!("application {called}")
    }

    fn role(self, id: RoleId) -> String {
        format!("role {}", self.called(&Entity::Role(id)))
    }

    fn policy(self, digest: PolicyDigest) -> String {
        self.called(&Entity::Policy(digest))
    }

    fn target(self, target: PolicyTarget) -> String {
        match target {
            PolicyTarget::Server => "the server".to_owned(),
            PolicyTarget::ApiResource(id) => self.api(id),
            PolicyTarget::Application(id) => self.application(id),
        }
    }

    fn grant(self, application: ApplicationId, api: ApiId) -> String {
        let identifier = self.called(&Entity::ApiResource(api));
        format!("grant of {} to {identifier}", self.application(application))
    }

    fn guards(self, guards: &[ApplicationId]) -> Vec<String> {
        let called = |id: &ApplicationId| self.called(&Entity::Application(*id));
        guards.iter().map(called).collect()
    }

    /// What happened. Exhaustive on purpose: a new kind of event must say how it reads.
    fn words(self, event: &Event) -> String {
        match event {
            Event::LogCreated(e) => format!("the log {} begins", e.log_id),
            Event::LogKeySet(e) => match self.before.log_vkey() {
                None => format!("checkpoints are signed by {}", e.vkey),
                Some(old) => format!("the key of checkpoints: {old} → {}", e.vkey),
            },
            Event::LogRestoreAccepted(e) => format!(
                "an older state of the log was accepted in place of one of {} events with the root {}",
                e.size,
                hex(&e.root)
            ),
            Event::ServerStarted(e) => self.started(e),
            Event::SettingsChanged(_) => self.settings(),
            Event::CommandHadNoEffect(e) => {
                let text = e.subject.to_string();
                format!("a command about {text} changed nothing")
            }

            Event::ApiResourceCreated(e) => self.api_created(e),
            Event::ApiResourceRenamed(e) => {
                let old = self.before.api(e.id).map(|api| api.name.clone());
                format!("{}: name {}", self.api(e.id), moved(old, &e.name))
            }
            Event::ApiResourceAuthorizationChanged(e) => {
                let old = !e.requires_authorization;
                let words = |needs| if needs { "need a grant" } else { "are open" };
                let (old, new) = (words(old), words(e.requires_authorization));
                format!("{}: its scopes {old} → {new}", self.api(e.id))
            }
            Event::ApiResourceProfileChanged(e) => {
                let old = self.before.api(e.id).map(|api| api.profile);
                let parts = profile(old.unwrap_or_default(), e.profile);
                about(&self.api(e.id), &parts)
            }
            Event::ApiResourceGuardsChanged(e) => {
                let old = self.before.api(e.id).map(|api| self.guards(&api.guards));
                let changed = set_change(old.unwrap_or_default(), self.guards(&e.guards));
                format!("{}: guards {changed}", self.api(e.id))
            }
            Event::ApiResourceRemoved(e) => format!("{} removed", self.api(e.id)),
            Event::ScopeAdded(e) => {
                format!("{}: scope {} added", self.api(e.api), e.scope.name)
            }
            Event::ScopeDescribed(e) => {
                let api = self.before.api(e.api);
                let old = api.and_then(|api| api.scope(api.bit(e.name.as_str())?));
                let old = old.and_then(|scope| scope.description.clone());
                let (old, new) = (quoted(old.as_ref()), quoted(e.description.as_ref()));
                let (api, changed) = (self.api(e.api), shift(old, new));
                format!("{api}: scope {}: description {changed}", e.name)
            }
            Event::ScopeRemoved(e) => format!("{}: scope {} removed", self.api(e.api), e.name),

            Event::ApplicationCreated(e) => application_created(e),
            Event::ApplicationRenamed(e) => {
                let old = self.before.application(e.id).map(|it| it.name.clone());
                format!("{}: name {}", self.application(e.id), moved(old, &e.name))
            }
            Event::ApplicationDisabled(e) => format!("{} disabled", self.application(e.id)),
            Event::ApplicationEnabled(e) => format!("{} enabled", self.application(e.id)),
            Event::ApplicationLabelled(e) => {
                let old = self.before.application(e.id).map(|it| pairs(it.labels()));
                let changed = set_change(old.unwrap_or_default(), pairs(&e.labels));
                format!("{}: labels {changed}", self.application(e.id))
            }
            Event::ApplicationTokenSettingsChanged(e) => {
                let old = self.before.application(e.id);
                let old = old.map(|it| it.token_settings().clone());
                let parts = token_settings(&old.unwrap_or_default(), &e.token_settings);
                about(&self.application(e.id), &parts)
            }
            Event::ApplicationAuthenticationChanged(e) => self.authentication(e),
            Event::ApplicationQuotaChanged(e) => {
                let old = self.before.application(e.id);
                let old = old.and_then(|it| it.quota().copied());
                let changed = shift(old.map(quota), e.quota.map(quota));
                format!("{}: quota {changed}", self.application(e.id))
            }
            Event::ApplicationExchangeChanged(e) => {
                let old = self.before.application(e.id);
                let old = old.and_then(|it| it.exchange());
                let called = |exchange: &TokenExchange| self.guards(&exchange.subjects);
                let changed = set_change(
                    old.map(called).unwrap_or_default(),
                    e.exchange.as_ref().map(called).unwrap_or_default(),
                );
                let mut parts = vec![format!("may exchange tokens of {changed}")];
                let mode = |exchange: &TokenExchange| match exchange.mode {
                    ExchangeMode::Delegation => "delegation",
                    ExchangeMode::Impersonation => "impersonation",
                };
                let (old, new) = (old.map(mode), e.exchange.as_ref().map(mode));
                if old != new {
                    parts.push(format!("by {}", shift(old, new)));
                }
                about(&self.application(e.id), &parts)
            }
            Event::ApplicationRemoved(e) => format!("{} removed", self.application(e.id)),
            Event::ApplicationSecretAdded(e) => {
                let end = e.expires_at.map(|at| format!(", which expires at {at}"));
                format!(
                    "{}: secret {} added{}",
                    self.application(e.application),
                    e.secret,
                    end.unwrap_or_default()
                )
            }
            Event::ApplicationSecretRevoked(e) => format!(
                "{}: secret {} revoked",
                self.application(e.application),
                e.secret
            ),
            Event::ApplicationSecretExpirySet(e) => format!(
                "{}: secret {} expires at {}",
                self.application(e.application),
                e.secret,
                e.expires_at
            ),
            Event::ApplicationRoleAssigned(e) => format!(
                "{}: {} assigned",
                self.application(e.application),
                self.role(e.role)
            ),
            Event::ApplicationRoleUnassigned(e) => format!(
                "{}: {} taken away",
                self.application(e.application),
                self.role(e.role)
            ),
            Event::ApplicationTokensCut(e) => {
                let application = self.application(e.application);
                format!("{application}: all tokens issued until then revoked")
            }

            Event::GrantAdded(e) => {
                let scopes = set_change(Vec::new(), texts(&e.scopes));
                let grant = self.grant(e.application, e.api);
                let mode = mode(e.mode);
                format!("{grant} added: mode {mode}, scopes {scopes}")
            }
            Event::GrantChanged(e) => self.grant_changed(e),
            Event::GrantDetailsChanged(e) => {
                let known = self.before.application(e.application);
                let old = known.map(|it| texts(it.details(e.api))).unwrap_or_default();
                let changed = set_change(old, texts(&e.details));
                let grant = self.grant(e.application, e.api);
                format!("{grant}: types of authorization details {changed}")
            }
            Event::GrantRemoved(e) => {
                let scopes = set_change(self.granted(e.application, e.api), Vec::new());
                let grant = self.grant(e.application, e.api);
                format!("{grant} removed: scopes {scopes}")
            }

            Event::DetailsTypePut(e) => {
                let name = e.details_type.name.as_str();
                let old = self.before.api(e.api);
                let verb = match old.and_then(|api| api.details_type(name)) {
                    Some(_) => "changed",
                    None => "added",
                };
                let api = self.api(e.api);
                format!("{api}: type of authorization details {name} {verb}")
            }
            Event::DetailsTypeRemoved(e) => {
                let api = self.api(e.api);
                format!("{api}: type of authorization details {} removed", e.name)
            }

            Event::TrustedIssuerCreated(e) => format!(
                "trusted issuer {} created: name {}, keys {}",
                e.issuer,
                e.name,
                issuer_keys(&e.keys)
            ),
            Event::TrustedIssuerChanged(e) => self.issuer_changed(e),
            Event::TrustedIssuerRemoved(e) => {
                format!("trusted issuer {} removed", self.issuer(e.id))
            }

            Event::InitialAccessTokenCreated(e) => self.token_created(e),
            Event::InitialAccessTokenRevoked(e) => {
                let token = self.called(&Entity::InitialAccessToken(e.id));
                format!("initial access token {token} revoked")
            }
            Event::ApplicationRegistered(e) => {
                let token = self.called(&Entity::InitialAccessToken(e.token));
                let application = self.application(e.id);
                format!("{application} registered itself by initial access token {token}")
            }
            Event::ApplicationRegistrationChanged(e) => {
                format!("{} changed its registration itself", self.application(e.id))
            }
            Event::ApplicationRegistrationRevoked(e) => format!(
                "{} can no longer change its registration itself",
                self.application(e.id)
            ),

            Event::RoleCreated(e) => {
                let scopes = set_change(Vec::new(), texts(&e.scopes));
                format!("role {} created: scopes {scopes}", e.name)
            }
            Event::RoleRenamed(e) => {
                let old = self.before.role(e.id).map(|role| role.name.clone());
                format!("{}: name {}", self.role(e.id), moved(old, &e.name))
            }
            Event::RoleScopesChanged(e) => {
                let old = self.before.role(e.id);
                let old = old.map(|role| texts(&self.before.role_scopes(role)));
                let changed = set_change(old.unwrap_or_default(), texts(&e.scopes));
                format!("{}: scopes {changed}", self.role(e.id))
            }
            Event::RoleRemoved(e) => format!("{} removed", self.role(e.id)),

            Event::SigningKeyMade(e) => {
                format!(
                    "signing key {} made for {} and published",
                    e.kid, e.algorithm
                )
            }
            Event::SigningKeyActivated(e) => format!("signing key {} signs from now on", e.kid),
            Event::SigningKeyRetired(e) => format!(
                "signing key {} retired; it stays in the JWKS until {}",
                e.kid, e.until
            ),
            Event::SigningKeyRevoked(e) => {
                format!(
                    "signing key {} revoked, and every token signed by it",
                    e.kid
                )
            }
            Event::SigningKeyRemoved(e) => format!("signing key {} left the JWKS", e.kid),

            Event::TokenRevoked(e) => format!(
                "token {} of {} revoked; it would have expired at {} at the latest",
                e.jti,
                self.application(e.application),
                e.expires_at
            ),
            Event::PolicyUploaded(e) => {
                format!(
                    "policy {} uploaded ({} bytes)",
                    self.policy(e.digest),
                    e.bytes
                )
            }
            Event::PolicyRemoved(e) => format!("policy {} removed", self.policy(e.digest)),
            Event::PolicyBindingCreated(e) => self.bound(e),
            Event::PolicyBindingChanged(e) => self.rebound(e),
            Event::PolicyBindingRemoved(e) => {
                let asked = self.before.policy_binding(e.id);
                let asked =
                    asked.map(|it| format!(": policy {}", self.policy(it.judgement.policy)));
                format!(
                    "policy binding {} of {} removed{}",
                    e.id,
                    self.target(e.target),
                    asked.unwrap_or_default()
                )
            }

            Event::IssuancesSealed(e) => format!(
                "{} issuance records of {} to {} sealed in {}",
                e.records,
                e.first.millis(),
                e.last.millis(),
                e.file
            ),
        }
    }

    fn token_created(self, e: &InitialAccessTokenCreated) -> String {
        let mut parts = vec![
            format!("{} registrations until {}", e.registrations, e.expires_at),
            format!(
                "methods {}",
                set_change(Vec::new(), texts(&e.bounds.methods))
            ),
        ];
        let prefix = e.bounds.name_prefix.as_ref();
        parts.extend(prefix.map(|prefix| format!("names {prefix}…")));
        let labels = pairs(&e.labels);
        if !labels.is_empty() {
            parts.push(format!("labels {}", set_change(Vec::new(), labels)));
        }
        parts.extend(e.grants.iter().map(|grant| {
            let scopes = set_change(Vec::new(), texts(&grant.scopes));
            format!("{} scopes {scopes}", self.api(grant.api))
        }));
        format!(
            "initial access token {} created: {}",
            e.name,
            parts.join(", ")
        )
    }

    fn issuer(self, id: IssuerId) -> String {
        self.called(&Entity::TrustedIssuer(id))
    }

    fn issuer_changed(self, e: &TrustedIssuerChanged) -> String {
        let issuer = format!("trusted issuer {}", self.issuer(e.id));
        let Some(old) = self.before.trusted_issuer(e.id) else {
            return about(&issuer, &[]);
        };
        let mut parts = Vec::new();
        if old.name != e.name {
            parts.push(format!("name {} → {}", old.name, e.name));
        }
        if old.keys != e.keys {
            let (old, new) = (issuer_keys(&old.keys), issuer_keys(&e.keys));
            parts.push(format!("keys {old} → {new}"));
        }
        if old.omits_issuer != e.omits_issuer {
            let words = |omits| {
                if omits {
                    "may lack iss"
                } else {
                    "must have iss"
                }
            };
            let (old, new) = (words(old.omits_issuer), words(e.omits_issuer));
            parts.push(format!("its tokens {old} → {new}"));
        }
        about(&issuer, &parts)
    }

    fn authentication(self, e: &ApplicationAuthenticationChanged) -> String {
        let usual = Authentication::default();
        let old = self.before.application(e.id);
        let old = old.map_or(&usual, |it| it.authentication());
        let new = e.authentication.as_deref().unwrap_or(&usual);
        let mut parts = Vec::new();
        let mut compare = |what: &str, had: Vec<String>, has: Vec<String>| {
            if had != has {
                parts.push(format!("{what} {}", set_change(had, has)));
            }
        };
        let methods = |own: &Authentication| texts(&own.methods);
        compare("methods", methods(old), methods(new));
        compare("keys", keys(&old.keys), keys(&new.keys));
        compare(
            "certificates",
            texts(&old.certificates),
            texts(&new.certificates),
        );
        let trust = |own: &Authentication| {
            let rules = own.trust.iter();
            let said = rules.map(|rule| {
                let issuer = self.issuer(rule.issuer);
                format!("{} ({} of {issuer})", rule.name, rule.subject)
            });
            said.collect::<Vec<String>>()
        };
        let same_rules = old.trust == new.trust;
        compare("trust", trust(old), trust(new));
        if !same_rules && trust(old) == trust(new) {
            parts.push("conditions of trust rules changed".to_owned());
        }
        if old.jwks_uri != new.jwks_uri {
            let changed = shift(old.jwks_uri.as_ref(), new.jwks_uri.as_ref());
            parts.push(format!("jwks_uri {changed}"));
        }
        if old.certificate_subject != new.certificate_subject {
            let words = |subject: &Option<CertificateSubject>| subject.as_ref().map(subject_words);
            let changed = shift(
                words(&old.certificate_subject),
                words(&new.certificate_subject),
            );
            parts.push(format!("certificate subject {changed}"));
        }
        if old.profile != new.profile {
            let (old, new) = (old.profile.as_str(), new.profile.as_str());
            parts.push(format!("security profile {old} → {new}"));
        }
        about(
            &format!("{}: authentication", self.application(e.id)),
            &parts,
        )
    }

    fn started(self, e: &ServerStarted) -> String {
        let mut words = format!("the server started: version {}", e.version);
        let (old, new) = (self.before.issuer(), self.after.issuer());
        if old != new {
            words += &format!(", issuer {}", shift(old, new));
        }
        words
    }

    fn settings(self) -> String {
        let members = |index: &Index| members(&index.settings().to_change());
        let (old, new) = (members(self.before), members(self.after));
        let changed = new
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(*value))
            .map(|(key, value)| {
                let old = old.get(key).map_or_else(|| "-".to_owned(), plain);
                format!("setting {key} {old} → {}", plain(value))
            });
        let changed: Vec<String> = changed.collect();
        match changed.is_empty() {
            true => "settings unchanged".to_owned(),
            false => changed.join(", "),
        }
    }

    fn api_created(self, e: &ApiResourceCreated) -> String {
        let names: Vec<String> = e
            .scopes
            .iter()
            .map(|scope| scope.name.to_string())
            .collect();
        let mut parts = vec![format!("name {}", e.name)];
        parts.push(format!("scopes {}", set_change(Vec::new(), names)));
        if !e.requires_authorization {
            parts.push("its scopes are open".to_owned());
        }
        parts.extend(profile(TokenProfile::default(), e.profile));
        if !e.guards.is_empty() {
            let guards = set_change(Vec::new(), self.guards(&e.guards));
            parts.push(format!("guards {guards}"));
        }
        format!(
            "API resource {} registered: {}",
            e.identifier,
            parts.join(", ")
        )
    }

    fn granted(self, application: ApplicationId, api: ApiId) -> Vec<String> {
        let known = self.before.application(application);
        let grant = known.and_then(|application| application.grant(api));
        let (Some(grant), Some(api)) = (grant, self.before.api(api)) else {
            return Vec::new();
        };
        texts(&api.names(&grant.scopes))
    }

    fn grant_changed(self, e: &GrantChanged) -> String {
        let known = self.before.application(e.application);
        let old = known.and_then(|application| application.grant(e.api));
        let mut parts = Vec::new();
        if let Some(old) = old.filter(|old| old.mode != e.mode) {
            parts.push(format!("mode {} → {}", mode(old.mode), mode(e.mode)));
        }
        let (had, has) = (self.granted(e.application, e.api), texts(&e.scopes));
        if had.iter().collect::<BTreeSet<_>>() != has.iter().collect() {
            parts.push(format!("scopes {}", set_change(had, has)));
        }
        about(&self.grant(e.application, e.api), &parts)
    }

    fn bound(self, e: &PolicyBindingCreated) -> String {
        let mut parts = vec![format!("mode {}", policy_mode(e.mode))];
        parts.push(format!("order {}", e.order));
        parts.extend(settings_change(
            &PolicySettings::new(),
            &e.judgement.settings,
        ));
        if !e.judgement.claims.is_empty() {
            let claims = set_change(Vec::new(), texts(&e.judgement.claims));
            parts.push(format!("claims {claims}"));
        }
        format!(
            "policy binding {}: policy {} bound to {}: {}",
            e.id,
            self.policy(e.judgement.policy),
            self.target(e.target),
            parts.join(", ")
        )
    }

    fn rebound(self, e: &PolicyBindingChanged) -> String {
        let binding = format!("policy binding {}", e.id);
        let Some(old) = self.before.policy_binding(e.id) else {
            return about(&binding, &[]);
        };
        let mut parts = Vec::new();
        if old.judgement.policy != e.judgement.policy {
            let (old, new) = (old.judgement.policy, e.judgement.policy);
            parts.push(format!(
                "policy {} → {}",
                self.policy(old),
                self.policy(new)
            ));
        }
        parts.extend(settings_change(
            &old.judgement.settings,
            &e.judgement.settings,
        ));
        let (had, has) = (texts(&old.judgement.claims), texts(&e.judgement.claims));
        if had != has {
            parts.push(format!("claims {}", set_change(had, has)));
        }
        if old.mode != e.mode {
            let (old, new) = (policy_mode(old.mode), policy_mode(e.mode));
            parts.push(format!("mode {old} → {new}"));
        }
        if old.order != e.order {
            parts.push(format!("order {} → {}", old.order, e.order));
        }
        about(&binding, &parts)
    }
}

/// What an entity is called in a state of the log.
fn name(index: &Index, entity: &Entity) -> Option<String> {
    match entity {
        Entity::ApiResource(id) => index.api(*id).map(|api| api.identifier.to_string()),
        Entity::Application(id) | Entity::Secret(id, _) => {
            index.application(*id).map(|it| it.name.to_string())
        }
        Entity::Policy(digest) => index.policy(*digest).map(|policy| {
            let said = &policy.descriptor;
            format!("{}@{}", said.name, said.version)
        }),
        Entity::PolicyBinding(id) => {
            let binding = index.policy_binding(*id)?;
            name(index, &Entity::Policy(binding.judgement.policy))
        }
        Entity::Role(id) => index.role(*id).map(|role| role.name.to_string()),
        Entity::SigningKey(kid) => index.key(kid.as_str()).map(|key| key.algorithm.to_string()),
        Entity::TrustedIssuer(id) => index.trusted_issuer(*id).map(|it| it.issuer.to_string()),
        Entity::InitialAccessToken(id) => {
            let token = index.initial_access_token(*id)?;
            Some(token.name.to_string())
        }
        Entity::Server | Entity::Settings | Entity::Token(_) => None,
    }
}

/// Keys by their names, or by the beginning of what they are.
fn keys(keys: &[RegisteredKey]) -> Vec<String> {
    let called = |key: &RegisteredKey| match (&key.kid, &key.jwk) {
        (Some(kid), _) => kid.to_string(),
        (None, PublicJwk::EC { x, .. } | PublicJwk::OKP { x, .. }) => format!("{x:.12}…"),
        (None, PublicJwk::RSA { n, .. }) => format!("{n:.12}…"),
    };
    keys.iter().map(called).collect()
}

fn issuer_keys(of: &IssuerKeys) -> String {
    match of {
        IssuerKeys::Discovery => "by discovery".to_owned(),
        IssuerKeys::JwksUri(uri) => format!("at {uri}"),
        IssuerKeys::Keys(given) => keys(given).join(" "),
    }
}

fn subject_words(subject: &CertificateSubject) -> String {
    match subject {
        CertificateSubject::Dn(name) => format!("DN {name}"),
        CertificateSubject::Dns(name) => format!("DNS {name}"),
        CertificateSubject::Uri(name) => format!("URI {name}"),
        CertificateSubject::Ip(address) => format!("IP {address}"),
        CertificateSubject::Email(name) => format!("e-mail {name}"),
    }
}

fn quota(quota: Quota) -> String {
    let windows = [
        (quota.per_minute, "a minute"),
        (quota.per_hour, "an hour"),
        (quota.per_day, "a day"),
    ];
    let said = windows.iter().filter_map(|(tokens, window)| {
        let tokens = tokens.as_ref()?;
        Some(format!("{tokens} {window}"))
    });
    let said: Vec<String> = said.collect();
    let monitored = match quota.mode {
        QuotaMode::Enforce => "",
        QuotaMode::Monitor => " (monitored)",
    };
    format!("{}{monitored}", said.join(", "))
}

fn application_created(e: &ApplicationCreated) -> String {
    let mut parts = Vec::new();
    let labels = pairs(&e.labels);
    if !labels.is_empty() {
        parts.push(format!("labels {}", set_change(Vec::new(), labels)));
    }
    parts.extend(token_settings(&TokenSettings::default(), &e.token_settings));
    match parts.is_empty() {
        true => format!("application {} created", e.name),
        false => format!("application {} created: {}", e.name, parts.join(", ")),
    }
}

/// What changed of something.
fn about(what: &str, parts: &[String]) -> String {
    match parts {
        [] => format!("{what} unchanged"),
        parts => format!("{what}: {}", parts.join(", ")),
    }
}

/// What came to a set and what left it: `+ a, - b`; `none` where it was empty and still is.
fn set_change(old: Vec<String>, new: Vec<String>) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (old.into_iter().collect(), new.into_iter().collect());
    let came = new.difference(&old).map(|it| format!("+ {it}"));
    let left = old.difference(&new).map(|it| format!("- {it}"));
    let all: Vec<String> = came.chain(left).collect();
    match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    }
}

/// What changed in a token profile.
fn profile(old: TokenProfile, new: TokenProfile) -> Vec<String> {
    let mut parts = Vec::new();
    if old.algorithm != new.algorithm {
        parts.push(format!("algorithm {} → {}", old.algorithm, new.algorithm));
    }
    if old.typ != new.typ {
        parts.push(format!("typ {} → {}", old.typ.as_str(), new.typ.as_str()));
    }
    parts.extend(lifetime(old.lifetime_seconds, new.lifetime_seconds));
    parts.extend(constraint(old.sender_constraint, new.sender_constraint));
    parts
}

/// What changed in an application's token settings.
fn token_settings(old: &TokenSettings, new: &TokenSettings) -> Vec<String> {
    let audience = |audience| match audience {
        Audience::Api => "api",
        Audience::ClientId => "client_id",
    };
    let mut parts = Vec::new();
    if old.audience != new.audience {
        let (old, new) = (audience(old.audience), audience(new.audience));
        parts.push(format!("audience {old} → {new}"));
    }
    let (had, has) = (texts(&old.extra_audiences), texts(&new.extra_audiences));
    if had != has {
        parts.push(format!("extra audiences {}", set_change(had, has)));
    }
    parts.extend(lifetime(old.lifetime_seconds, new.lifetime_seconds));
    parts.extend(constraint(old.sender_constraint, new.sender_constraint));
    parts
}

fn constraint(old: SenderConstraint, new: SenderConstraint) -> Option<String> {
    let (before, after) = (old.as_str(), new.as_str());
    (old != new).then(|| format!("sender constraint {before} → {after}"))
}

fn lifetime(old: Option<u32>, new: Option<u32>) -> Option<String> {
    let words = |seconds: Option<u32>| {
        seconds.map_or_else(|| "as set".to_owned(), |seconds| format!("{seconds} s"))
    };
    (old != new).then(|| format!("lifetime {} → {}", words(old), words(new)))
}

/// What changed in a policy's settings, by name.
fn settings_change(old: &PolicySettings, new: &PolicySettings) -> Vec<String> {
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).map(|name| &**name).collect();
    let shown = |settings: &PolicySettings, name: &str| {
        let value = settings.get(name).map(json);
        value.map_or_else(|| "default".to_owned(), |value| plain(&value))
    };
    let changed = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    let parts = changed.map(|name| (name, shown(old, name), shown(new, name)));
    parts
        .map(|(name, old, new)| format!("settings {name}: {old} → {new}"))
        .collect()
}

fn mode(mode: GrantMode) -> &'static str {
    match mode {
        GrantMode::None => "none",
        GrantMode::Rbac => "rbac",
    }
}

fn policy_mode(mode: PolicyMode) -> &'static str {
    match mode {
        PolicyMode::Enforce => "enforce",
        PolicyMode::Shadow => "shadow",
    }
}

fn pairs(labels: &Labels) -> Vec<String> {
    let pairs: &BTreeMap<_, _> = labels.pairs();
    pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

fn texts(items: &[impl Display]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn moved(old: Option<impl Display>, new: impl Display) -> String {
    shift(old, Some(new))
}

fn shift(old: Option<impl Display>, new: Option<impl Display>) -> String {
    let text = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
    let (old, new) = (old.map(|it| it.to_string()), new.map(|it| it.to_string()));
    format!("{} → {}", text(old), text(new))
}

fn quoted(text: Option<&impl Display>) -> Option<String> {
    text.map(|text| format!("“{text}”"))
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn members(value: &impl Serialize) -> Map<String, Value> {
    match json(value) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A value for people: a text without its quotes.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
