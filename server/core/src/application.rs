//! Applications, as held in the index: with their secrets, grants and roles.

use crate::authentication::is_default;
use crate::{
    ApiId, ApplicationId, Authentication, AuthenticationMethod, DetailsTypeName, Identifier,
    Labels, Millis, Name, Position, Registration, RoleId, ScopeBits, SecretId, SecurityProfile,
    Settings,
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
    /// How it may authenticate, where that is not the usual.
    pub authentication: Option<Box<Authentication>>,
    /// How many tokens it may get.
    pub quota: Option<Box<Quota>>,
    /// Whose tokens it may exchange.
    pub exchange: Option<Box<TokenExchange>>,
    /// That it registered itself, and can change that by its registration access token.
    pub registration: Option<Box<Registration>>,
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
    /// The types of authorization details that it may ask for, sorted; nothing where there are
    /// none.
    pub details: Option<Box<Vec<DetailsTypeName>>>,
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
    /// What its tokens must be bound to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sender_constraint: SenderConstraint,
}

/// What a token must be bound to, so that nobody can use it who only got hold of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SenderConstraint {
    /// Nothing. A DPoP proof that comes all the same binds it.
    #[default]
    None,
    /// A key that proofs show (RFC 9449).
    Dpop,
    /// The certificate of the connection (RFC 8705 §3).
    Mtls,
    /// One of both.
    Any,
}

impl SenderConstraint {
    /// All of them, with their names.
    pub const NAMED: [(&str, Self); 4] = [
        ("none", Self::None),
        ("dpop", Self::Dpop),
        ("mtls", Self::Mtls),
        ("any", Self::Any),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMED[self as usize].0
    }

    /// What fulfils both, or nothing if nothing does: a token is bound to one thing only.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => Some(one),
            (Self::Any, one) | (one, Self::Any) => Some(one),
            (one, two) => (one == two).then_some(one),
        }
    }
}

/// What a token is bound to: the members of `cnf` (RFC 7800 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// A key that proofs show: `jkt` (RFC 9449 §6.1).
    Dpop,
    /// A certificate: `x5t#S256` (RFC 8705 §3.1).
    Mtls,
}

/// How many tokens an application may get. What is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Tokens a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Tokens an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
    /// Tokens a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// What happens when it is used up.
    #[serde(default)]
    pub mode: QuotaMode,
}

/// What happens when a quota is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaMode {
    /// No more tokens until there is room.
    #[default]
    Enforce,
    /// It is counted and said.
    Monitor,
}

/// Whose tokens an application may exchange for its own use (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenExchange {
    /// The applications whose tokens it may exchange, sorted. Some may be gone.
    pub subjects: Vec<ApplicationId>,
    /// What the new token says.
    #[serde(default)]
    pub mode: ExchangeMode,
}

/// What an exchanged token says about who uses it (RFC 8693 §1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeMode {
    /// The subject, and in `act` who acts for it.
    #[default]
    Delegation,
    /// The subject alone; `client_id` still is who asked.
    Impersonation,
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

    /// How it may authenticate.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        self.authentication
            .as_deref()
            .unwrap_or_else(|| Authentication::usual())
    }

    /// How strict it is with this application: as its own profile says, and the server's.
    #[must_use]
    pub fn profile(&self, settings: &Settings) -> SecurityProfile {
        let own = self.authentication.as_ref().map(|own| own.profile);
        match (own.unwrap_or_default(), settings.security_profile) {
            (SecurityProfile::None, SecurityProfile::None) => SecurityProfile::None,
            _ => SecurityProfile::Fapi2,
        }
    }

    /// Whether it may authenticate by a method.
    #[must_use]
    pub fn may_use(&self, method: AuthenticationMethod, settings: &Settings) -> bool {
        let strict = self.profile(settings) == SecurityProfile::Fapi2;
        self.authentication().methods.contains(&method) && !(strict && method.uses_secret())
    }

    /// The methods by which it could authenticate now, if whoever asks holds what they need.
    pub fn usable_methods(
        &self,
        settings: &Settings,
        now: Millis,
    ) -> impl Iterator<Item = AuthenticationMethod> {
        let has_secret = self.secrets.iter().any(|secret| secret.is_valid(now));
        let strict = self.profile(settings) == SecurityProfile::Fapi2;
        let methods = self.authentication().methods.iter().copied();
        methods.filter(move |method| !method.uses_secret() || (has_secret && !strict))
    }

    /// The secret that is there to take the place of another one: of those that were made later and
    /// work, the first.
    #[must_use]
    pub fn successor(&self, secret: &Secret, now: Millis) -> Option<&Secret> {
        let age = |secret: &Secret| (secret.created_at, secret.id);
        let later = self.secrets.iter().filter(|one| age(one) > age(secret));
        later
            .filter(|one| one.is_valid(now))
            .min_by_key(|one| age(one))
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
