//! The rules of Writ, and nothing else: no I/O, no clock, no randomness, no async, no unsafe.
//!
//! Two pure functions carry the domain. [`consider`] says what a command means for an [`Index`]:
//! events, or a [`Refusal`]. [`Index::apply`] takes one recorded event and cannot fail. The token
//! path asks a third, [`authorize`]: which scopes an application gets, as of which position.
//!
//! Where to go next: `command.rs` (what can be asked), `event.rs` (what can have happened),
//! `decide.rs` (the rules), `authority.rs` (who may do what to whom), `index.rs` (the projection),
//! `authorize.rs` (the token path), `codec.rs` (events as stored bytes).

mod actor;
mod api_resource;
mod application;
mod authentication;
mod authority;
mod authorize;
pub mod codec;
mod command;
mod decide;
mod details;
mod event;
mod id;
mod index;
mod key;
pub mod limits;
mod management;
mod name;
mod policy;
mod refusal;
mod registration;
mod role;
mod scope;
mod settings;
#[cfg(feature = "testkit")]
pub mod testkit;
mod time;
mod trust;

pub use actor::Actor;
pub use api_resource::{ApiResource, ProfileChange, Scope, TokenProfile, TokenType};
pub use application::{
    Application, Audience, Binding, ExchangeMode, Grant, GrantMode, Quota, QuotaMode, Secret,
    SecretMatch, SenderConstraint, TokenExchange, TokenSettings,
};
pub use authentication::{
    Authentication, AuthenticationMethod, CertificateDigest, CertificateSubject, ClaimValue,
    HttpsUri, RegisteredKey, SecurityProfile, SubjectPattern, SubjectText, TrustRule,
};
pub use authorize::{
    Ask, Binds, Denial, Entitled, SubjectToken, authorize, authorize_exchange, entitlement_version,
};
pub use command::{Command, NewScope, NewSecret, NewSigningKey};
pub use decide::{Decision, Facts, Submission, consider};
pub use details::{DetailsType, DetailsTypeName};
pub use event::*;
pub use id::{
    ApiId, ApplicationId, BindingId, CommandId, EventId, InitialAccessTokenId, IssuerId, Jti,
    ParseIdError, RoleId, SecretId,
};
pub use index::{Index, Repeatable, RestoreError, Restoring, SNAPSHOT_FORMAT, SnapshotLine};
pub use key::{Algorithm, KeyState, Kid, PublicJwk, SigningKey};
pub use management::{MANAGEMENT_IDENTIFIER, ManagementScope};
pub use name::{Description, Identifier, Labels, Name, ParseNameError};
pub use policy::{
    JsonText, Judgement, Policy, PolicyBinding, PolicyDescriptor, PolicyDigest, PolicyMode,
    PolicyParameter, PolicySettings, PolicyTarget, PolicyValue, PolicyValueKind,
};
pub use refusal::{Refusal, User};
pub use registration::{
    BoundGrant, ClientMetadata, CredentialDigest, InitialAccessToken, NewRegistration,
    Registration, RegistrationBounds,
};
pub use role::Role;
pub use scope::{ParseScopeError, ScopeBits, ScopeName};
pub use settings::{OmittedScopes, RecordMode, Settings, SettingsChange, UnauthorizedScopes};
pub use time::{Millis, ParseMillisError, Position};
pub use trust::{IssuerKeys, TrustedIssuer};

/// The version of the rules in this crate: it changes when the same commands can give other
/// events, or the same log another index. Recorded by every `server.started`.
pub const RULES_VERSION: u32 = 5;
