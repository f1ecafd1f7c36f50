//! What can be asked. Commands are imperative; ids and key material in them were made by whoever
//! asks, since nothing here may invent anything.

use crate::{
    Algorithm, ApiId, ApplicationId, Authentication, BindingId, BoundGrant, ClientMetadata,
    CredentialDigest, Description, DetailsType, DetailsTypeName, GrantMode, Identifier,
    InitialAccessTokenId, IssuerId, IssuerKeys, Jti, Judgement, Kid, Labels, ManagementScope,
    Millis, Name, NewRegistration, PolicyDescriptor, PolicyDigest, PolicyMode, PolicyTarget,
    ProfileChange, PublicJwk, Quota, RegistrationBounds, RoleId, ScopeName, SecretId,
    SettingsChange, TokenExchange, TokenProfile, TokenSettings,
};

/// What an administrator, an operator or Writ itself asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of the events of the same names"
)]
pub enum Command {
    /// The first command of a log: the management API, signing keys, the first administrator.
    Initialize {
        log_id: Box<str>,
        administrator: ApplicationId,
        name: Name,
        secret: NewSecret,
        keys: Vec<NewSigningKey>,
    },
    /// Makes a new administrator, with the server stopped: the way back in.
    RecoverAdministrator {
        application: ApplicationId,
        name: Name,
        secret: NewSecret,
    },
    /// Names the key that signs checkpoints of the log from now on.
    SetLogKey { vkey: Box<str> },
    /// Accepts the log as it is although a checkpoint vouched for another one.
    AcceptRestore { size: u64, root: [u8; 32] },
    /// A server opened the log.
    StartServer {
        version: Box<str>,
        engine: Box<str>,
        issuer: Option<Box<str>>,
    },
    /// Changes settings.
    ChangeSettings { change: SettingsChange },

    /// Registers an API resource.
    CreateApiResource {
        identifier: Identifier,
        name: Name,
        requires_authorization: bool,
        profile: TokenProfile,
        guards: Vec<ApplicationId>,
        scopes: Vec<NewScope>,
    },
    /// Changes an API resource; what is absent stays.
    ChangeApiResource {
        id: ApiId,
        name: Option<Name>,
        requires_authorization: Option<bool>,
        profile: ProfileChange,
        guards: Option<Vec<ApplicationId>>,
    },
    /// Removes an API resource; with `cascade` its grants and its scopes in roles too.
    RemoveApiResource { id: ApiId, cascade: bool },
    /// Adds a scope, or changes its description.
    PutScope { api: ApiId, scope: NewScope },
    /// Removes a scope; with `cascade` from grants and roles too.
    RemoveScope {
        api: ApiId,
        name: ScopeName,
        cascade: bool,
    },

    /// Adds a type of authorization details, or changes it.
    PutDetailsType {
        api: ApiId,
        details_type: DetailsType,
    },
    /// Removes a type of authorization details; with `cascade` from grants too.
    RemoveDetailsType {
        api: ApiId,
        name: DetailsTypeName,
        cascade: bool,
    },

    /// Creates an application.
    CreateApplication {
        id: ApplicationId,
        name: Name,
        labels: Labels,
        token_settings: TokenSettings,
    },
    /// Changes an application; what is absent stays.
    ChangeApplication {
        id: ApplicationId,
        name: Option<Name>,
        enabled: Option<bool>,
        labels: Option<Labels>,
        token_settings: Option<TokenSettings>,
    },
    /// Removes an application with its secrets and grants; with `cascade` as a guard too.
    RemoveApplication { id: ApplicationId, cascade: bool },
    /// Adds a secret to an application.
    AddSecret {
        application: ApplicationId,
        secret: NewSecret,
    },
    /// Revokes a secret.
    RevokeSecret {
        application: ApplicationId,
        secret: SecretId,
    },
    /// Adds a secret to an application, lets the older ones work for the overlap at most, and
    /// revokes those that have expired: they only take room.
    RotateSecret {
        application: ApplicationId,
        secret: NewSecret,
        overlap_seconds: u32,
    },
    /// Changes how an application may authenticate; nothing is back to the usual.
    ChangeAuthentication {
        application: ApplicationId,
        authentication: Option<Box<Authentication>>,
    },
    /// Changes how many tokens an application may get.
    ChangeQuota {
        application: ApplicationId,
        quota: Option<Quota>,
    },
    /// Changes whose tokens an application may exchange.
    ChangeExchange {
        application: ApplicationId,
        exchange: Option<TokenExchange>,
    },
    /// Authorizes an application to an API resource.
    AddGrant {
        application: ApplicationId,
        api: ApiId,
        mode: GrantMode,
        scopes: Vec<ScopeName>,
    },
    /// Changes a grant; what is absent stays.
    ChangeGrant {
        application: ApplicationId,
        api: ApiId,
        mode: Option<GrantMode>,
        scopes: Option<Vec<ScopeName>>,
    },
    /// Changes the types of authorization details of a grant: these are all.
    ChangeGrantDetails {
        application: ApplicationId,
        api: ApiId,
        details: Vec<DetailsTypeName>,
    },
    /// Removes a grant.
    RemoveGrant {
        application: ApplicationId,
        api: ApiId,
    },
    /// Assigns a role to an application.
    AssignRole {
        application: ApplicationId,
        role: RoleId,
    },
    /// Takes a role from an application.
    UnassignRole {
        application: ApplicationId,
        role: RoleId,
    },

    /// Trusts an issuer of tokens.
    CreateTrustedIssuer {
        issuer: Identifier,
        name: Name,
        keys: IssuerKeys,
        omits_issuer: bool,
    },
    /// Changes a trusted issuer; what is absent stays.
    ChangeTrustedIssuer {
        id: IssuerId,
        name: Option<Name>,
        keys: Option<IssuerKeys>,
        omits_issuer: Option<bool>,
    },
    /// Removes a trusted issuer that no trust rule names.
    RemoveTrustedIssuer { id: IssuerId },

    /// Lets applications register themselves, within bounds.
    CreateInitialAccessToken {
        name: Name,
        digest: CredentialDigest,
        expires_at: Millis,
        registrations: u32,
        bounds: RegistrationBounds,
        labels: Labels,
        grants: Vec<BoundGrant>,
    },
    /// Revokes an initial access token.
    RevokeInitialAccessToken { id: InitialAccessTokenId },
    /// Registers an application, as whoever holds the initial access token asks; the secret counts
    /// where its method uses one.
    RegisterApplication {
        token: InitialAccessTokenId,
        registration: Box<NewRegistration>,
        secret: NewSecret,
    },
    /// Changes an application as it asks itself, by its registration access token; the secret
    /// counts where its method uses one and it has none.
    ChangeRegistration {
        application: ApplicationId,
        presented: CredentialDigest,
        metadata: Box<ClientMetadata>,
        secret: NewSecret,
    },
    /// Removes an application as it asks itself, by its registration access token.
    RemoveRegistration {
        application: ApplicationId,
        presented: CredentialDigest,
    },
    /// Ends the registration access token of an application.
    RevokeRegistration { application: ApplicationId },

    /// Creates a role.
    CreateRole { name: Name, scopes: Vec<ScopeName> },
    /// Changes a role; what is absent stays.
    ChangeRole {
        id: RoleId,
        name: Option<Name>,
        scopes: Option<Vec<ScopeName>>,
    },
    /// Removes a role; with `cascade` from its applications too.
    RemoveRole { id: RoleId, cascade: bool },

    /// Publishes a new signing key.
    MakeSigningKey { key: NewSigningKey },
    /// Makes a published key the one that signs; the one before retires.
    ActivateSigningKey { kid: Kid },
    /// Retires a key that is published and not wanted.
    RetireSigningKey { kid: Kid },
    /// Revokes a compromised key at once; an active one is replaced in the same change.
    RevokeSigningKey {
        kid: Kid,
        replacement: Option<NewSigningKey>,
    },
    /// Takes retired keys out of the JWKS whose last tokens have expired.
    RemoveExpiredSigningKeys,

    /// Revokes one token.
    RevokeToken {
        jti: Jti,
        application: ApplicationId,
        expires_at: Millis,
    },
    /// Ends all tokens of an application that were issued until now.
    CutTokens { application: ApplicationId },
    /// Makes a policy known that was checked, and whose module is stored.
    UploadPolicy {
        digest: PolicyDigest,
        bytes: u64,
        descriptor: Box<PolicyDescriptor>,
    },
    /// Makes an unused policy unknown.
    RemovePolicy { digest: PolicyDigest },
    /// Binds a policy, with settings that it was asked about.
    BindPolicy {
        target: PolicyTarget,
        mode: PolicyMode,
        order: u32,
        judgement: Judgement,
    },
    /// Changes a binding; what is absent stays.
    ChangePolicyBinding {
        id: BindingId,
        mode: Option<PolicyMode>,
        order: Option<u32>,
        judgement: Option<Judgement>,
    },
    /// Brings back a binding's policy, settings and claims from before their last change.
    RollBackPolicyBinding { id: BindingId },
    /// Takes a binding away.
    UnbindPolicy { id: BindingId },

    /// Enters a sealed issuance file into the log.
    SealIssuances {
        file: Box<str>,
        first: Jti,
        last: Jti,
        records: u64,
        root: [u8; 32],
    },
}

/// A secret that was just made; only its digest comes here.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// Its id.
    pub id: SecretId,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// When it stops working.
    pub expires_at: Option<Millis>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSecret({})", self.id)
    }
}

/// A scope to add or change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewScope {
    /// Its name.
    pub name: ScopeName,
    /// What it lets its holder do.
    pub description: Option<Description>,
}

/// A signing key that was just made and whose private part is in the key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSigningKey {
    /// Its name.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its public part.
    pub jwk: PublicJwk,
}

impl Command {
    /// The scope of the management API that an application needs for this, or nothing for what
    /// only an operator or Writ itself may ask.
    #[must_use]
    pub fn required_scope(&self) -> Option<ManagementScope> {
        use ManagementScope as S;
        match self {
            Self::Initialize { .. }
            | Self::RecoverAdministrator { .. }
            | Self::SetLogKey { .. }
            | Self::AcceptRestore { .. }
            | Self::StartServer { .. }
            | Self::RemoveExpiredSigningKeys
            | Self::SealIssuances { .. }
            // Not by a scope: by the tokens that are for this alone.
            | Self::RegisterApplication { .. }
            | Self::ChangeRegistration { .. }
            | Self::RemoveRegistration { .. } => None,
            Self::ChangeSettings { .. } => Some(S::SettingsWrite),
            Self::CreateApiResource { .. }
            | Self::ChangeApiResource { .. }
            | Self::RemoveApiResource { .. }
            | Self::PutScope { .. }
            | Self::RemoveScope { .. }
            | Self::PutDetailsType { .. }
            | Self::RemoveDetailsType { .. } => Some(S::ApiResourcesWrite),
            Self::CreateApplication { .. }
            | Self::ChangeApplication { .. }
            | Self::ChangeQuota { .. }
            | Self::RemoveApplication { .. } => Some(S::ApplicationsWrite),
            Self::AddSecret { .. }
            | Self::RevokeSecret { .. }
            | Self::RotateSecret { .. }
            | Self::RevokeRegistration { .. }
            | Self::ChangeAuthentication { .. } => Some(S::SecretsWrite),
            Self::CreateTrustedIssuer { .. }
            | Self::ChangeTrustedIssuer { .. }
            | Self::RemoveTrustedIssuer { .. } => Some(S::IssuersWrite),
            Self::CreateInitialAccessToken { .. } | Self::RevokeInitialAccessToken { .. } => {
                Some(S::InitialAccessTokensWrite)
            }
            Self::AddGrant { .. }
            | Self::ChangeGrant { .. }
            | Self::ChangeGrantDetails { .. }
            | Self::RemoveGrant { .. }
            | Self::ChangeExchange { .. }
            | Self::AssignRole { .. }
            | Self::UnassignRole { .. } => Some(S::GrantsWrite),
            Self::CreateRole { .. } | Self::ChangeRole { .. } | Self::RemoveRole { .. } => {
                Some(S::RolesWrite)
            }
            Self::MakeSigningKey { .. }
            | Self::ActivateSigningKey { .. }
            | Self::RetireSigningKey { .. }
            | Self::RevokeSigningKey { .. } => Some(S::KeysWrite),
            Self::RevokeToken { .. } | Self::CutTokens { .. } => Some(S::TokensRevoke),
            Self::UploadPolicy { .. } | Self::RemovePolicy { .. } => Some(S::PoliciesUpload),
            Self::BindPolicy { .. }
            | Self::ChangePolicyBinding { .. }
            | Self::RollBackPolicyBinding { .. } => Some(S::PoliciesBind),
            Self::UnbindPolicy { .. } => Some(S::PoliciesUnbind),
        }
    }
}
