//! Applications, as held in the index: with their secrets, grants and roles.

use crate::{
    ApiId, ApplicationId, Identifier, Labels, Millis, Name, Position, RoleId, ScopeBits, SecretId,
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// A machine client: a service, job, device or command-line tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its id, which is its `client_id`.
    pub id: ApplicationId,
    /// Its name.
    pub name: Name,
    /// When it was created.
    pub created_at: Millis,
    /// Whether it may authenticate; its tokens are inactive while it may not.
    pub enabled: bool,
    /// Its labels.
    pub labels: Labels,
    /// What its tokens look like.
    pub token_settings: Option<Box<TokenSettings>>,
    /// Its secrets that are not revoked, in the order of creation. Some may have expired.
    pub secrets: Box<[Secret]>,
    /// Its grants, sorted by API resource.
    pub grants: Box<[Grant]>,
    /// Its roles, sorted.
    pub roles: Box<[RoleId]>,
    /// Tokens with a `jti` of this moment or earlier are inactive.
    pub tokens_cut_at: Option<Millis>,
    /// The position of its last change.
    pub version: Position,
}

/// A client secret: 256 random bits made by the server, of which only the digest is known. No
/// slow hash: it would protect guessable secrets, and this is none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// SHA-256 of the secret.
    #[serde(with = "crate::codec::hex32")]
    pub digest: [u8; 32],
    /// When it was made.
    pub created_at: Millis,
    /// When it stops working.
    pub expires_at: Option<Millis>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .field("digest", &"[redacted]")
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

impl Secret {
    /// Whether it still works.
    #[must_use]
    pub fn is_valid(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is known of a secret that somebody presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMatch<'a> {
    /// It is one of the application's, and works.
    Valid(&'a Secret),
    /// It was one.
    Expired,
    /// It is none, or none any more.
    None,
}

impl<'a> SecretMatch<'a> {
    /// The secret that works.
    #[must_use]
    pub fn valid(self) -> Option<&'a Secret> {
        match self {
            Self::Valid(secret) => Some(secret),
            Self::Expired | Self::None => None,
        }
    }
}

/// The authorization of an application to an API resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The API resource.
    pub api: ApiId,
    /// How its scopes are used.
    pub mode: GrantMode,
    /// The scopes it may have, by their numbers in the API resource.
    pub scopes: ScopeBits,
}

/// How a grant's scopes are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantMode {
    /// The application gets the grant's scopes.
    #[default]
    None,
    /// It gets those of them that its roles have too.
    Rbac,
}

/// What the tokens of an application look like, where it differs from the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// What `aud` names.
    #[serde(default)]
    pub audience: Audience,
    /// Further audiences, in every token of the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_audiences: Vec<Identifier>,
    /// A shorter lifetime than the API resource's, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
}

/// What the `aud` of a token names (RFC 7519 §4.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The API resources whose scopes were granted (RFC 9068 §3).
    #[default]
    Api,
    /// The application itself, as WSO2 Identity Server does.
    ClientId,
}

impl Application {
    /// The grant to an API resource.
    #[must_use]
    pub fn grant(&self, api: ApiId) -> Option<&Grant> {
        self.grants
            .binary_search_by_key(&api, |grant| grant.api)
            .ok()
            .map(|i| &self.grants[i])
    }

    /// Looks for the secret with this digest. Every secret is compared, each in constant time, so
    /// the time taken tells nothing about them.
    #[must_use]
    pub fn match_secret(&self, digest: &[u8; 32], now: Millis) -> SecretMatch<'_> {
        let mut found = SecretMatch::None;
        for secret in &self.secrets {
            if bool::from(secret.digest.ct_eq(digest)) {
                found = match found {
                    _ if secret.is_valid(now) => SecretMatch::Valid(secret),
                    SecretMatch::Valid(_) => found,
                    SecretMatch::Expired | SecretMatch::None => SecretMatch::Expired,
                };
            }
        }
        found
    }

    /// Whether a token made at this moment (that of its `jti`) has been cut off.
    #[must_use]
    pub fn has_cut(&self, made_at: Millis) -> bool {
        self.tokens_cut_at.is_some_and(|cut| made_at <= cut)
    }
}
