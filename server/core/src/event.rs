//! What can have happened. Every kind of event is on this page, once: its name on the wire, its
//! version, its fields. A golden file for each (kind, version) is kept for ever; a change of
//! meaning is a new kind, never an edit.

use crate::{
    Actor, Algorithm, ApiId, ApplicationId, Authentication, BindingId, BoundGrant, CommandId,
    CredentialDigest, Description, DetailsType, DetailsTypeName, EventId, GrantMode, Identifier,
    InitialAccessTokenId, IssuerId, IssuerKeys, Jti, Judgement, Kid, Labels, Millis, Name,
    PolicyDescriptor, PolicyDigest, PolicyMode, PolicyTarget, Position, PublicJwk, Quota,
    RegistrationBounds, RoleId, Scope, ScopeName, SecretId, SettingsChange, TokenExchange,
    TokenProfile, TokenSettings,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// An event with everything that is recorded about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log. Not in the stored bytes: the place says it.
    pub position: Position,
    /// Its id.
    pub id: EventId,
    /// When it was decided; never before the event before it.
    pub at: Millis,
    /// Who caused it.
    pub actor: Actor,
    /// The command that it is part of.
    pub command: CommandId,
    /// Its number among the events of that command, from 0.
    pub sequence: u32,
    /// How many events that command has.
    pub of: u32,
    /// The idempotency key of the command, hashed.
    pub idempotency: Option<Idempotency>,
    /// Salted hash of the reason that was given; the text is in a store that can forget.
    pub reason: Option<[u8; 32]>,
    /// The request, as a W3C trace id.
    pub correlation: Option<Box<str>>,
    /// What led to the command, where that was not the actor alone.
    pub cause: Option<Box<str>>,
    /// What happened.
    pub event: Event,
}

/// An idempotency key, hashed with the actor it belongs to, and the digest of the request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// SHA-256 of the key and the actor.
    #[serde(with = "crate::codec::hex32")]
    pub key: [u8; 32],
    /// SHA-256 of what was asked: method, path and body.
    #[serde(with = "crate::codec::hex32")]
    pub body: [u8; 32],
}

/// What an event is about: the key of the entity index, and the subject of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// An API resource.
    ApiResource(ApiId),
    /// An application.
    Application(ApplicationId),
    /// A policy.
    Policy(PolicyDigest),
    /// A binding of a policy.
    PolicyBinding(BindingId),
    /// A role.
    Role(RoleId),
    /// A secret of an application.
    Secret(ApplicationId, SecretId),
    /// The server as a whole.
    Server,
    /// The settings.
    Settings,
    /// A signing key.
    SigningKey(Kid),
    /// A token.
    Token(Jti),
    /// A trusted issuer.
    TrustedIssuer(IssuerId),
    /// An initial access token.
    InitialAccessToken(InitialAccessTokenId),
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiResource(id) => write!(f, "api_resource/{id}"),
            Self::Application(id) => write!(f, "application/{id}"),
            Self::Policy(digest) => write!(f, "policy/{digest}"),
            Self::PolicyBinding(id) => write!(f, "policy_binding/{id}"),
            Self::Role(id) => write!(f, "role/{id}"),
            Self::Secret(application, id) => write!(f, "secret/{application}/{id}"),
            Self::Server => f.write_str("server"),
            Self::Settings => f.write_str("settings"),
            Self::SigningKey(kid) => write!(f, "signing_key/{kid}"),
            Self::Token(jti) => write!(f, "token/{jti}"),
            Self::TrustedIssuer(id) => write!(f, "trusted_issuer/{id}"),
            Self::InitialAccessToken(id) => write!(f, "initial_access_token/{id}"),
        }
    }
}

impl std::str::FromStr for Entity {
    type Err = crate::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, id)) = text.split_once('/') else {
            return match text {
                "server" => Ok(Self::Server),
                "settings" => Ok(Self::Settings),
                _ => Err(crate::ParseIdError),
            };
        };
        match kind {
            "api_resource" => id.parse().map(Self::ApiResource),
            "application" => id.parse().map(Self::Application),
            "policy" => id.parse().map(Self::Policy),
            "policy_binding" => id.parse().map(Self::PolicyBinding),
            "role" => id.parse().map(Self::Role),
            "secret" => {
                let (application, id) = id.split_once('/').ok_or(crate::ParseIdError)?;
                Ok(Self::Secret(application.parse()?, id.parse()?))
            }
            "signing_key" => id.parse().map(Self::SigningKey),
            "token" => id.parse().map(Self::Token),
            "trusted_issuer" => id.parse().map(Self::TrustedIssuer),
            "initial_access_token" => id.parse().map(Self::InitialAccessToken),
            _ => Err(crate::ParseIdError),
        }
    }
}

impl Serialize for Entity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::codec::from_text(deserializer)
    }
}

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $kind:literal, $version:literal, about $entities:expr;
        { $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* }
    )*) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $variant($variant),)*
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            #[expect(missing_docs, reason = "a field is what its name and type say in DESIGN's words")]
            pub struct $variant { $( $(#[$field_doc])* pub $field: $type, )* }

            impl From<$variant> for Event {
                fn from(event: $variant) -> Self {
                    Self::$variant(event)
                }
            }
        )*

        impl Event {
            /// Every kind with its version.
            pub const KINDS: &[(&str, u16)] = &[$(($kind, $version)),*];

            /// The kind, as stored.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// The version of the kind.
            #[must_use]
            pub fn kind_version(&self) -> u16 {
                match self { $(Self::$variant(_) => $version,)* }
            }

            /// What it is about; the first is its subject.
            #[must_use]
            pub fn entities(&self) -> Vec<Entity> {
                match self { $(Self::$variant(event) => {
                    let about: fn(&$variant) -> Vec<Entity> = $entities;
                    about(event)
                })* }
            }

            pub(crate) fn data(&self) -> serde_json::Result<Box<RawValue>> {
                match self { $(Self::$variant(event) => serde_json::value::to_raw_value(event),)* }
            }

            /// Reads an event's data where it stands; an error for a kind or version that this code
            /// does not know.
            pub(crate) fn read<'de, D: serde::Deserializer<'de>>(
                kind: &str,
                version: u16,
                data: D,
            ) -> Result<Self, D::Error> {
                match (kind, version) {
                    $(($kind, $version) => <$variant>::deserialize(data).map(Self::from),)*
                    _ => Err(serde::de::Error::custom("a kind that is not known")),
                }
            }

            /// Reads an event's data; `None` for a kind or version that this code does not know.
            pub(crate) fn from_data(
                kind: &str,
                version: u16,
                data: &RawValue,
            ) -> Option<serde_json::Result<Self>> {
                match (kind, version) {
                    $(($kind, $version) => {
                        Some(serde_json::from_str::<$variant>(data.get()).map(Self::from))
                    })*
                    _ => None,
                }
            }
        }
    };
}

fn about_binding(id: BindingId, target: PolicyTarget, policy: Option<PolicyDigest>) -> Vec<Entity> {
    let policy = policy.map(Entity::Policy);
    [Entity::PolicyBinding(id), target.entity()]
        .into_iter()
        .chain(policy)
        .collect()
}

events! {
    /// The log begins. An auditor can start from here alone.
    LogCreated = "log.created", 1, about |_| vec![Entity::Server];
    { log_id: Box<str>, format: u16, }
    /// From here on checkpoints of the log are signed by this key: a verifier key in the form of
    /// C2SP signed-note, `<name>+<key id>+<key>`.
    LogKeySet = "log.key_set", 1, about |_| vec![Entity::Server];
    { vkey: Box<str>, }
    /// An operator wants the log as it is although a checkpoint vouched for another one, of so many
    /// events with that root: an older state was restored.
    LogRestoreAccepted = "log.restore_accepted", 1, about |_| vec![Entity::Server];
    {
        size: u64,
        /// RFC 6962 root over the events that were vouched for.
        #[serde(with = "crate::codec::hex32")]
        root: [u8; 32],
    }
    /// A server opened the log.
    ServerStarted = "server.started", 1, about |_| vec![Entity::Server];
    {
        version: Box<str>, rules_version: u32, engine: Box<str>,
        /// The issuer identifier (RFC 8414 §2) from then on. Logs of older versions do not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<Box<str>>,
    }
    /// Settings changed.
    SettingsChanged = "settings.changed", 1, about |_| vec![Entity::Settings];
    { change: SettingsChange, }
    /// A command with an idempotency key was accepted and changed nothing.
    CommandHadNoEffect = "command.had_no_effect", 1, about |e| vec![e.subject.clone()];
    { subject: Entity, }

    /// An API resource was registered.
    ApiResourceCreated = "api_resource.created", 1, about |e| {
        let guards = e.guards.iter().copied().map(Entity::Application);
        std::iter::once(Entity::ApiResource(e.id)).chain(guards).collect()
    };
    {
        id: ApiId, identifier: Identifier, name: Name, requires_authorization: bool,
        profile: TokenProfile, guards: Vec<ApplicationId>, scopes: Vec<Scope>,
    }
    /// An API resource was renamed.
    ApiResourceRenamed = "api_resource.renamed", 1, about |e| vec![Entity::ApiResource(e.id)];
    { id: ApiId, name: Name, }
    /// Whether an API resource's scopes need a grant changed.
    ApiResourceAuthorizationChanged = "api_resource.authorization_changed", 1, about |e| vec![Entity::ApiResource(e.id)];
    { id: ApiId, requires_authorization: bool, }
    /// What tokens for an API resource look like changed.
    ApiResourceProfileChanged = "api_resource.profile_changed", 1, about |e| vec![Entity::ApiResource(e.id)];
    { id: ApiId, profile: TokenProfile, }
    /// The guards of an API resource changed: these are all.
    ApiResourceGuardsChanged = "api_resource.guards_changed", 1, about |e| {
        let guards = e.guards.iter().copied().map(Entity::Application);
        std::iter::once(Entity::ApiResource(e.id)).chain(guards).collect()
    };
    { id: ApiId, guards: Vec<ApplicationId>, }
    /// An API resource was removed. Nothing used it any more.
    ApiResourceRemoved = "api_resource.removed", 1, about |e| vec![Entity::ApiResource(e.id)];
    { id: ApiId, }
    /// A scope was added to an API resource.
    ScopeAdded = "scope.added", 1, about |e| vec![Entity::ApiResource(e.api)];
    { api: ApiId, scope: Scope, }
    /// The description of a scope changed.
    ScopeDescribed = "scope.described", 1, about |e| vec![Entity::ApiResource(e.api)];
    { api: ApiId, name: ScopeName, description: Option<Description>, }
    /// A scope was removed. Nothing used it any more.
    ScopeRemoved = "scope.removed", 1, about |e| vec![Entity::ApiResource(e.api)];
    { api: ApiId, name: ScopeName, }

    /// A type of authorization details was added to an API resource, or changed: this is all of it.
    DetailsTypePut = "details_type.put", 1, about |e| vec![Entity::ApiResource(e.api)];
    { api: ApiId, details_type: DetailsType, }
    /// A type of authorization details was removed. No grant had it any more.
    DetailsTypeRemoved = "details_type.removed", 1, about |e| vec![Entity::ApiResource(e.api)];
    { api: ApiId, name: DetailsTypeName, }

    /// An application was created.
    ApplicationCreated = "application.created", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, name: Name, labels: Labels, token_settings: TokenSettings, }
    /// An application was renamed.
    ApplicationRenamed = "application.renamed", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, name: Name, }
    /// An application may no longer authenticate, and its tokens are inactive.
    ApplicationDisabled = "application.disabled", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, }
    /// An application may authenticate again.
    ApplicationEnabled = "application.enabled", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, }
    /// The labels of an application changed: these are all.
    ApplicationLabelled = "application.labelled", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, labels: Labels, }
    /// What the tokens of an application look like changed.
    ApplicationTokenSettingsChanged = "application.token_settings_changed", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, token_settings: TokenSettings, }
    /// How an application may authenticate changed: this is all of it. Nothing is back to the usual.
    ApplicationAuthenticationChanged = "application.authentication_changed", 1, about |e| {
        let issuers = e.authentication.iter().flat_map(|own| &own.trust);
        let mut about = vec![Entity::Application(e.id)];
        for issuer in issuers.map(|rule| Entity::TrustedIssuer(rule.issuer)) {
            if !about.contains(&issuer) {
                about.push(issuer);
            }
        }
        about
    };
    { id: ApplicationId, authentication: Option<Box<Authentication>>, }
    /// How many tokens an application may get changed: this is all of it.
    ApplicationQuotaChanged = "application.quota_changed", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, quota: Option<Quota>, }
    /// Whose tokens an application may exchange changed: this is all of it.
    ApplicationExchangeChanged = "application.exchange_changed", 1, about |e| {
        let subjects = e.exchange.iter().flat_map(|exchange| &exchange.subjects);
        let subjects = subjects.copied().filter(|id| *id != e.id).map(Entity::Application);
        std::iter::once(Entity::Application(e.id)).chain(subjects).collect()
    };
    { id: ApplicationId, exchange: Option<TokenExchange>, }
    /// An application was removed, with its secrets, grants and roles.
    ApplicationRemoved = "application.removed", 1, about |e| vec![Entity::Application(e.id)];
    { id: ApplicationId, }
    /// A secret was added to an application.
    ApplicationSecretAdded = "application.secret_added", 1, about |e| {
        vec![Entity::Secret(e.application, e.secret), Entity::Application(e.application)]
    };
    {
        application: ApplicationId, secret: SecretId,
        /// SHA-256 of the secret.
        #[serde(with = "crate::codec::hex32")]
        digest: [u8; 32],
        expires_at: Option<Millis>,
    }
    /// A secret of an application was revoked.
    ApplicationSecretRevoked = "application.secret_revoked", 1, about |e| {
        vec![Entity::Secret(e.application, e.secret), Entity::Application(e.application)]
    };
    { application: ApplicationId, secret: SecretId, }
    /// A secret of an application stops working then: sooner than it would have.
    ApplicationSecretExpirySet = "application.secret_expiry_set", 1, about |e| {
        vec![Entity::Secret(e.application, e.secret), Entity::Application(e.application)]
    };
    { application: ApplicationId, secret: SecretId, expires_at: Millis, }
    /// A role was assigned to an application.
    ApplicationRoleAssigned = "application.role_assigned", 1, about |e| {
        vec![Entity::Application(e.application), Entity::Role(e.role)]
    };
    { application: ApplicationId, role: RoleId, }
    /// A role was taken from an application.
    ApplicationRoleUnassigned = "application.role_unassigned", 1, about |e| {
        vec![Entity::Application(e.application), Entity::Role(e.role)]
    };
    { application: ApplicationId, role: RoleId, }
    /// All tokens of an application that were issued until now are inactive.
    ApplicationTokensCut = "application.tokens_cut", 1, about |e| vec![Entity::Application(e.application)];
    { application: ApplicationId, }

    /// An application was authorized to an API resource.
    GrantAdded = "grant.added", 1, about |e| {
        vec![Entity::Application(e.application), Entity::ApiResource(e.api)]
    };
    { application: ApplicationId, api: ApiId, mode: GrantMode, scopes: Vec<ScopeName>, }
    /// A grant changed: this is all of it.
    GrantChanged = "grant.changed", 1, about |e| {
        vec![Entity::Application(e.application), Entity::ApiResource(e.api)]
    };
    { application: ApplicationId, api: ApiId, mode: GrantMode, scopes: Vec<ScopeName>, }
    /// The types of authorization details of a grant changed: these are all.
    GrantDetailsChanged = "grant.details_changed", 1, about |e| {
        vec![Entity::Application(e.application), Entity::ApiResource(e.api)]
    };
    { application: ApplicationId, api: ApiId, details: Vec<DetailsTypeName>, }
    /// A grant was removed.
    GrantRemoved = "grant.removed", 1, about |e| {
        vec![Entity::Application(e.application), Entity::ApiResource(e.api)]
    };
    { application: ApplicationId, api: ApiId, }

    /// A trusted issuer was created.
    TrustedIssuerCreated = "trusted_issuer.created", 1, about |e| vec![Entity::TrustedIssuer(e.id)];
    { id: IssuerId, issuer: Identifier, name: Name, keys: IssuerKeys, omits_issuer: bool, }
    /// A trusted issuer changed: this is all that can change of it.
    TrustedIssuerChanged = "trusted_issuer.changed", 1, about |e| vec![Entity::TrustedIssuer(e.id)];
    { id: IssuerId, name: Name, keys: IssuerKeys, omits_issuer: bool, }
    /// A trusted issuer was removed. No trust rule named it any more.
    TrustedIssuerRemoved = "trusted_issuer.removed", 1, about |e| vec![Entity::TrustedIssuer(e.id)];
    { id: IssuerId, }

    /// An initial access token was created: applications register themselves by it.
    InitialAccessTokenCreated = "initial_access_token.created", 1, about |e| {
        let apis = e.grants.iter().map(|grant| Entity::ApiResource(grant.api));
        std::iter::once(Entity::InitialAccessToken(e.id)).chain(apis).collect()
    };
    {
        id: InitialAccessTokenId, name: Name,
        /// SHA-256 of the token.
        digest: CredentialDigest,
        expires_at: Millis, registrations: u32, bounds: RegistrationBounds,
        /// The labels that an application gets by it.
        #[serde(default, skip_serializing_if = "Labels::is_empty")]
        labels: Labels,
        /// The grants that an application gets by it at most.
        grants: Vec<BoundGrant>,
    }
    /// An initial access token was revoked. What was registered by it stays.
    InitialAccessTokenRevoked = "initial_access_token.revoked", 1, about |e| {
        vec![Entity::InitialAccessToken(e.id)]
    };
    { id: InitialAccessTokenId, }
    /// An application has registered itself; the events before this one say what it is.
    ApplicationRegistered = "application.registered", 1, about |e| {
        vec![Entity::Application(e.id), Entity::InitialAccessToken(e.token)]
    };
    {
        id: ApplicationId, token: InitialAccessTokenId,
        /// SHA-256 of its registration access token.
        digest: CredentialDigest,
        bounds: RegistrationBounds,
    }
    /// An application has changed its registration; the events before this one say how.
    ApplicationRegistrationChanged = "application.registration_changed", 1, about |e| {
        vec![Entity::Application(e.id)]
    };
    { id: ApplicationId, }
    /// An application can no longer manage its registration: its registration access token is dead.
    ApplicationRegistrationRevoked = "application.registration_revoked", 1, about |e| {
        vec![Entity::Application(e.id)]
    };
    { id: ApplicationId, }

    /// A role was created.
    RoleCreated = "role.created", 1, about |e| vec![Entity::Role(e.id)];
    { id: RoleId, name: Name, scopes: Vec<ScopeName>, }
    /// A role was renamed.
    RoleRenamed = "role.renamed", 1, about |e| vec![Entity::Role(e.id)];
    { id: RoleId, name: Name, }
    /// The scopes of a role changed: these are all.
    RoleScopesChanged = "role.scopes_changed", 1, about |e| vec![Entity::Role(e.id)];
    { id: RoleId, scopes: Vec<ScopeName>, }
    /// A role was removed. No application had it any more.
    RoleRemoved = "role.removed", 1, about |e| vec![Entity::Role(e.id)];
    { id: RoleId, }

    /// A signing key was made and published.
    SigningKeyMade = "signing_key.made", 1, about |e| vec![Entity::SigningKey(e.kid.clone())];
    { kid: Kid, algorithm: Algorithm, jwk: PublicJwk, }
    /// A signing key became the one that signs.
    SigningKeyActivated = "signing_key.activated", 1, about |e| vec![Entity::SigningKey(e.kid.clone())];
    { kid: Kid, }
    /// A signing key does not sign any more; it stays in the JWKS until then.
    SigningKeyRetired = "signing_key.retired", 1, about |e| vec![Entity::SigningKey(e.kid.clone())];
    { kid: Kid, until: Millis, }
    /// A signing key was compromised; every token signed by it is inactive.
    SigningKeyRevoked = "signing_key.revoked", 1, about |e| vec![Entity::SigningKey(e.kid.clone())];
    { kid: Kid, }
    /// A retired signing key left the JWKS.
    SigningKeyRemoved = "signing_key.removed", 1, about |e| vec![Entity::SigningKey(e.kid.clone())];
    { kid: Kid, }

    /// A token was revoked. Forgotten when log time passes `expires_at`.
    TokenRevoked = "token.revoked", 1, about |e| {
        vec![Entity::Token(e.jti), Entity::Application(e.application)]
    };
    { jti: Jti, application: ApplicationId, expires_at: Millis, }
    /// A policy was uploaded. Its module is kept by its digest, for ever.
    PolicyUploaded = "policy.uploaded", 1, about |e| vec![Entity::Policy(e.digest)];
    { digest: PolicyDigest, bytes: u64, descriptor: PolicyDescriptor, }
    /// A policy can no longer be bound. Nothing used it any more.
    PolicyRemoved = "policy.removed", 1, about |e| vec![Entity::Policy(e.digest)];
    { digest: PolicyDigest, }
    /// A policy was bound.
    PolicyBindingCreated = "policy_binding.created", 1, about |e| {
        about_binding(e.id, e.target, Some(e.judgement.policy))
    };
    { id: BindingId, target: PolicyTarget, mode: PolicyMode, order: u32, judgement: Judgement, }
    /// A binding changed: this is all of it.
    PolicyBindingChanged = "policy_binding.changed", 1, about |e| {
        about_binding(e.id, e.target, Some(e.judgement.policy))
    };
    { id: BindingId, target: PolicyTarget, mode: PolicyMode, order: u32, judgement: Judgement, }
    /// A binding was taken away.
    PolicyBindingRemoved = "policy_binding.removed", 1, about |e| {
        about_binding(e.id, e.target, None)
    };
    { id: BindingId, target: PolicyTarget, }

    /// A file of issuance records was sealed.
    IssuancesSealed = "issuances.sealed", 1, about |_| vec![Entity::Server];
    {
        file: Box<str>, first: Jti, last: Jti, records: u64,
        /// RFC 6962 root over the records.
        #[serde(with = "crate::codec::hex32")]
        root: [u8; 32],
    }
}
