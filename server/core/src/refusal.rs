//! Why not. A refusal states a fact with the ids it is about; its code is stable, and the text is
//! for the person who asked.

use crate::{
    Algorithm, ApiId, ApplicationId, AuthenticationMethod, BindingId, DetailsTypeName, Entity,
    Identifier, InitialAccessTokenId, IssuerId, Jti, Kid, ManagementScope, Millis, Name,
    PolicyDigest, Position, RoleId, ScopeName, SecretId, limits,
};
use std::fmt;

/// Why a command was not accepted. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "each variant's message says what its fields are"
)]
pub enum Refusal {
    #[error(
        "the application {application} is no longer able to act: it is disabled, removed, or its token was revoked"
    )]
    ActorUnusable { application: ApplicationId },
    #[error("this needs the scope {scope} of the management API")]
    ActorNotPermitted { scope: ManagementScope },
    #[error("only the server itself or an operator at the machine can do this")]
    ActorNotLocal,
    #[error(
        "the application {application} holds management authority that you do not; ask one of its peers"
    )]
    ActorOutranked { application: ApplicationId },
    #[error(
        "this would give out management authority that you do not have: {}",
        Listed(scopes)
    )]
    ActorLacksAuthority { scopes: Vec<ScopeName> },
    #[error("this would leave no usable administrator; make another first")]
    LastAdministrator,

    #[error("it has changed since: its last change is at position {current}")]
    VersionStale { current: Position },
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,

    #[error("there is no API resource {id}")]
    ApiResourceUnknown { id: ApiId },
    #[error("the identifier {identifier} is that of the API resource {id}")]
    ApiResourceIdentifierTaken { identifier: Identifier, id: ApiId },
    #[error("the management API cannot be changed")]
    ManagementApiFixed,
    #[error("there is no scope {name} in {api}")]
    ScopeUnknown { api: ApiId, name: ScopeName },
    #[error("there is no scope {name}")]
    ScopeNowhere { name: ScopeName },
    #[error("the scope {name} belongs to {api} already; scope names are unique in a server")]
    ScopeTaken { name: ScopeName, api: ApiId },
    #[error("the scope {name} is named twice")]
    ScopeRepeated { name: ScopeName },

    #[error("there is no application {id}")]
    ApplicationUnknown { id: ApplicationId },
    #[error("the application id {id} is taken")]
    ApplicationIdTaken { id: ApplicationId },
    #[error(
        "the audience {audience} would let this application's tokens pass for tokens of something else: it is a registered identifier or an application's id"
    )]
    AudienceTaken { audience: Identifier },
    #[error(
        "the identifier {identifier} is an extra audience of an application; remove it there first"
    )]
    IdentifierIsExtraAudience { identifier: Identifier },
    #[error("there is no secret {secret} of {application}")]
    SecretUnknown {
        application: ApplicationId,
        secret: SecretId,
    },
    #[error("the secret id {secret} is taken")]
    SecretIdTaken { secret: SecretId },
    #[error("{application} is not authorized to {api}")]
    GrantUnknown {
        application: ApplicationId,
        api: ApiId,
    },
    #[error("{application} is authorized to {api} already; change that grant instead")]
    GrantExists {
        application: ApplicationId,
        api: ApiId,
    },
    #[error("the method {method} needs {needs}")]
    AuthenticationIncomplete {
        method: AuthenticationMethod,
        needs: &'static str,
    },
    #[error("the profile fapi2 does not allow {method}: no shared secrets")]
    ProfileForbids { method: AuthenticationMethod },
    #[error("there is no trusted issuer {id}")]
    TrustedIssuerUnknown { id: IssuerId },
    #[error("the issuer {issuer} is trusted already as {id}")]
    TrustedIssuerTaken { issuer: Identifier, id: IssuerId },
    #[error("there is no type of authorization details {name} in {api}")]
    DetailsTypeUnknown { api: ApiId, name: DetailsTypeName },
    #[error(
        "the type of authorization details {name} belongs to {api} already; types are unique in a server"
    )]
    DetailsTypeTaken { name: DetailsTypeName, api: ApiId },
    #[error("there is no initial access token {id}")]
    InitialAccessTokenUnknown { id: InitialAccessTokenId },
    #[error("the initial access token {id} is no longer in force: {why}")]
    InitialAccessTokenSpent {
        id: InitialAccessTokenId,
        why: &'static str,
    },
    #[error("{what} must be {allowed}: so says the initial access token of this registration")]
    RegistrationOutOfBounds {
        what: &'static str,
        allowed: Box<str>,
    },
    #[error("{application} has no registration access token, or not the one presented")]
    RegistrationUnknown { application: ApplicationId },
    #[error("{application} has changed its registration {max} times today; try again tomorrow")]
    RegistrationChangesSpent {
        application: ApplicationId,
        max: u32,
    },
    #[error("there is no role {id}")]
    RoleUnknown { id: RoleId },
    #[error("the name {name} is that of {id}")]
    RoleNameTaken { name: Name, id: RoleId },

    #[error("there is no policy {digest}; upload its module first")]
    PolicyUnknown { digest: PolicyDigest },
    #[error("there is no policy binding {id}")]
    PolicyBindingUnknown { id: BindingId },
    #[error("{id} has nothing to go back to: its policy and settings have not changed yet")]
    PolicyBindingUnchanged { id: BindingId },
    #[error("the policy does not add the claim {claim}; its descriptor lists those it can add")]
    ClaimUndeclared { claim: Box<str> },

    #[error("there is no signing key {kid}")]
    SigningKeyUnknown { kid: Kid },
    #[error("the kid {kid} was used before")]
    SigningKeyKidTaken { kid: Kid },
    #[error("the signing key {kid} cannot do this: it is {state}")]
    SigningKeyState { kid: Kid, state: &'static str },
    #[error(
        "the signing key {kid} was published too recently; validators will know it from {usable_at}"
    )]
    SigningKeyTooNew { kid: Kid, usable_at: Millis },
    #[error("the signing key {kid} is the active {algorithm} key; activate another first")]
    SigningKeyInUse { kid: Kid, algorithm: Algorithm },
    #[error("there is no active signing key for {algorithm}")]
    SigningKeyMissing { algorithm: Algorithm },
    #[error("the token {jti} has expired")]
    TokenExpired { jti: Jti },

    #[error("it is still used by {}; remove that first, or ask for a cascade where there is one", NamedUsers(users, *total))]
    InUse { users: Vec<User>, total: usize },
    #[error("{what}: at most {max}")]
    LimitReached { what: &'static str, max: usize },
    #[error("{what} must be {expected}")]
    ValueInvalid {
        what: &'static str,
        expected: &'static str,
    },
    #[error("the log has begun already")]
    AlreadyInitialized,
    #[error("the log has not begun; run `writ init`")]
    NotInitialized,
}

/// Something that uses what was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What it is.
    pub entity: Entity,
    /// Its name.
    pub name: Name,
}

struct Listed<'a>(&'a [ScopeName]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            write!(f, "{}{scope}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

struct NamedUsers<'a>(&'a [User], usize);

impl fmt::Display for NamedUsers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, user) in self.0.iter().enumerate() {
            write!(
                f,
                "{}{} ({})",
                if i == 0 { "" } else { ", " },
                user.entity,
                user.name
            )?;
        }
        match self.1.saturating_sub(self.0.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for ManagementScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    /// The stable code of a problem's `code` member.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ActorUnusable { .. } => "actor_unusable",
            Self::ActorNotPermitted { .. } => "scope_missing",
            Self::ActorNotLocal => "actor_not_local",
            Self::ActorOutranked { .. } => "actor_outranked",
            Self::ActorLacksAuthority { .. } => "authority_missing",
            Self::LastAdministrator => "last_administrator",
            Self::VersionStale { .. } => "version_stale",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::ApiResourceUnknown { .. } => "api_resource_unknown",
            Self::ApiResourceIdentifierTaken { .. } => "identifier_taken",
            Self::ManagementApiFixed => "management_api_fixed",
            Self::ScopeUnknown { .. } | Self::ScopeNowhere { .. } => "scope_unknown",
            Self::ScopeTaken { .. } => "scope_taken",
            Self::ScopeRepeated { .. } => "scope_repeated",
            Self::ApplicationUnknown { .. } => "application_unknown",
            Self::ApplicationIdTaken { .. } => "application_id_taken",
            Self::AudienceTaken { .. } => "audience_taken",
            Self::IdentifierIsExtraAudience { .. } => "identifier_is_extra_audience",
            Self::SecretUnknown { .. } => "secret_unknown",
            Self::SecretIdTaken { .. } => "secret_id_taken",
            Self::GrantUnknown { .. } => "grant_unknown",
            Self::GrantExists { .. } => "grant_exists",
            Self::AuthenticationIncomplete { .. } => "authentication_incomplete",
            Self::ProfileForbids { .. } => "profile_forbids",
            Self::TrustedIssuerUnknown { .. } => "trusted_issuer_unknown",
            Self::TrustedIssuerTaken { .. } => "trusted_issuer_taken",
            Self::DetailsTypeUnknown { .. } => "details_type_unknown",
            Self::DetailsTypeTaken { .. } => "details_type_taken",
            Self::InitialAccessTokenUnknown { .. } => "initial_access_token_unknown",
            Self::InitialAccessTokenSpent { .. } => "initial_access_token_spent",
            Self::RegistrationOutOfBounds { .. } => "registration_out_of_bounds",
            Self::RegistrationUnknown { .. } => "registration_unknown",
            Self::RegistrationChangesSpent { .. } => "registration_changes_spent",
            Self::RoleUnknown { .. } => "role_unknown",
            Self::RoleNameTaken { .. } => "role_name_taken",
            Self::PolicyUnknown { .. } => "policy_unknown",
            Self::PolicyBindingUnknown { .. } => "policy_binding_unknown",
            Self::PolicyBindingUnchanged { .. } => "policy_binding_unchanged",
            Self::ClaimUndeclared { .. } => "claim_undeclared",
            Self::SigningKeyUnknown { .. } => "signing_key_unknown",
            Self::SigningKeyKidTaken { .. } => "signing_key_kid_taken",
            Self::SigningKeyState { .. } => "signing_key_state",
            Self::SigningKeyTooNew { .. } => "signing_key_too_new",
            Self::SigningKeyInUse { .. } => "signing_key_in_use",
            Self::SigningKeyMissing { .. } => "signing_key_missing",
            Self::TokenExpired { .. } => "token_expired",
            Self::InUse { .. } => "in_use",
            Self::LimitReached { .. } => "limit_reached",
            Self::ValueInvalid { .. } => "value_invalid",
            Self::AlreadyInitialized => "already_initialized",
            Self::NotInitialized => "not_initialized",
        }
    }

    /// A list of users cut to what a refusal names.
    pub(crate) fn in_use(mut users: Vec<User>) -> Self {
        let total = users.len();
        users.truncate(limits::USERS_NAMED);
        Self::InUse { users, total }
    }
}
