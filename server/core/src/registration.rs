//! Dynamic client registration (RFC 7591, RFC 7592): the tokens by which applications register
//! themselves, what each of them bounds, and what an application keeps of its registration.

use crate::{
    ApiId, ApplicationId, AuthenticationMethod, CertificateSubject, HttpsUri, InitialAccessTokenId,
    Labels, Millis, Name, Position, RegisteredKey, ScopeBits, ScopeName, SenderConstraint,
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// SHA-256 of a credential of 256 random bits, which is all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialDigest(#[serde(with = "crate::codec::hex32")] pub [u8; 32]);

impl CredentialDigest {
    /// Whether both are of one credential, in time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for CredentialDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A token by which applications register themselves (RFC 7591 §1.2), as held in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialAccessToken {
    /// Its id.
    pub id: InitialAccessTokenId,
    /// Its name.
    pub name: Name,
    /// SHA-256 of the token.
    pub digest: CredentialDigest,
    /// When it stops working.
    pub expires_at: Millis,
    /// How many applications it may register in all.
    pub registrations: u32,
    /// How many it has registered, whatever became of them.
    pub registered: u32,
    /// What it may register.
    pub bounds: RegistrationBounds,
    /// The labels that an application gets by it. It never chooses any: policies judge by labels.
    pub labels: Labels,
    /// The grants that an application gets by it at most. Some API resources may be gone.
    pub grants: Box<[(ApiId, ScopeBits)]>,
    /// When it was created.
    pub created_at: Millis,
    /// The position of its last change.
    pub version: Position,
}

impl InitialAccessToken {
    /// Whether it can register an application now.
    #[must_use]
    pub fn is_in_force(&self, now: Millis) -> bool {
        now < self.expires_at && self.registered < self.registrations
    }
}

/// What applications may be that register themselves by a token. It is kept with each of them, so
/// that it holds for changes too, also when the token is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBounds {
    /// The authentication methods that they may choose from, sorted; never none.
    pub methods: Vec<AuthenticationMethod>,
    /// What their names must begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<Name>,
}

/// A grant in the bounds of an initial access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundGrant {
    /// The API resource.
    pub api: ApiId,
    /// The scopes.
    pub scopes: Vec<ScopeName>,
}

/// What an application that registered itself keeps of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The token by which it registered. It may be gone.
    pub token: InitialAccessTokenId,
    /// SHA-256 of its registration access token (RFC 7592 §1.2).
    pub digest: CredentialDigest,
    /// What it may be.
    pub bounds: RegistrationBounds,
    /// The day (UTC, counted from 1970) of its last change by itself, and how many that day had.
    pub changes: (u64, u32),
}

/// What an application says about itself: the client metadata of RFC 7591 §2 that this server
/// keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMetadata {
    /// `client_name`.
    pub name: Option<Name>,
    /// `token_endpoint_auth_method`.
    pub method: AuthenticationMethod,
    /// `jwks`.
    pub keys: Vec<RegisteredKey>,
    /// `jwks_uri`.
    pub jwks_uri: Option<HttpsUri>,
    /// One of the `tls_client_auth_*` members (RFC 8705 §2.1.2).
    pub certificate_subject: Option<CertificateSubject>,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.4) or `dpop_bound_access_tokens`
    /// (RFC 9449 §5.2).
    pub sender_constraint: SenderConstraint,
}

/// An application that registers itself; ids and credentials were made by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRegistration {
    /// The id of the application.
    pub application: ApplicationId,
    /// SHA-256 of its registration access token.
    pub digest: CredentialDigest,
    /// What it says about itself.
    pub metadata: ClientMetadata,
    /// The scopes that it asks for; all that it can have where absent.
    pub scopes: Option<Vec<ScopeName>>,
}
