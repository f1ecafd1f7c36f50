//! Applications, as held in the index: with their secrets, grants and roles.

use crate::authentication::is_default;
use crate::{
    ApiId, ApplicationId, Authentication, AuthenticationMethod, DetailsTypeName, Identifier,
    Labels, Millis, Name, Position, Registration, RoleId, ScopeBits, SecretId, SecurityProfile,
    Settings,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use subtle::ConstantTimeEq;

/// A machine client: a service, job, device or command-line tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Its id, which is its `client_id`.
    pub id: ApplicationId,
    /// Its name.
    pub name: Name,
    /// When it was created.
    pub created_at: Millis,
    /// Whether it may authenticate; its tokens are inactive while it may not.
    pub enabled: bool,
    /// Its secrets that are not revoked, in the order of creation. Some may have expired.
    #[serde(default, skip_serializing_if = "<[Secret]>::is_empty")]
    pub secrets: Box<[Secret]>,
    /// Its grants, sorted by API resource.
    #[serde(default, skip_serializing_if = "<[StoredGrant]>::is_empty")]
    grants: Box<[StoredGrant]>,
    /// Its roles, sorted.
    #[serde(default, skip_serializing_if = "<[RoleId]>::is_empty")]
    pub roles: Box<[RoleId]>,
    /// The position of its last change.
    pub version: Position,
    /// What few applications have: absent where it would say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extras: Option<Box<Extras>>,
}

/// What few applications have. A million that have none of it must not pay for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extras {
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What its tokens look like.
    #[serde(default, skip_serializing_if = "is_default")]
    pub token_settings: TokenSettings,
    /// How it may authenticate, where that is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Box<Authentication>>,
    /// How many tokens it may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Whose tokens it may exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<TokenExchange>,
    /// That it registered itself, and can change that by its registration access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Box<Registration>>,
    /// Tokens with a `jti` of this moment or earlier are inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_cut_at: Option<Millis>,
    /// The types of authorization details that grants are for, sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<ApiId, Vec<DetailsTypeName>>,
    /// The scopes of grants from number 64 on, as words of bits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    wide: BTreeMap<ApiId, Box<[u64]>>,
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

/// A grant as it is kept: 16 bytes, five million times. What does not fit is in [`Extras`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, GrantMode, u64)", into = "(u32, GrantMode, u64)")]
struct StoredGrant {
    api: ApiId,
    mode: GrantMode,
    /// The scopes below number 64, as bits.
    low: u64,
}

impl From<(u32, GrantMode, u64)> for StoredGrant {
    fn from((api, mode, low): (u32, GrantMode, u64)) -> Self {
        Self {
            api: ApiId(api),
            mode,
            low,
        }
    }
}

impl From<StoredGrant> for (u32, GrantMode, u64) {
    fn from(grant: StoredGrant) -> Self {
        (grant.api.0, grant.mode, grant.low)
    }
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
    /// One without secrets, grants and roles.
    #[must_use]
    pub(crate) fn new(
        id: ApplicationId,
        name: Name,
        created_at: Millis,
        version: Position,
    ) -> Self {
        Self {
            id,
            name,
            created_at,
            enabled: true,
            secrets: Box::default(),
            grants: Box::default(),
            roles: Box::default(),
            version,
            extras: None,
        }
    }

    /// The grant to an API resource.
    #[must_use]
    pub fn grant(&self, api: ApiId) -> Option<Grant> {
        let found = self.grants.binary_search_by_key(&api, |grant| grant.api);
        found.ok().map(|i| self.stored(&self.grants[i]))
    }

    /// Its grants, sorted by API resource.
    pub fn grants(&self) -> impl ExactSizeIterator<Item = Grant> + '_ {
        self.grants.iter().map(|grant| self.stored(grant))
    }

    fn stored(&self, grant: &StoredGrant) -> Grant {
        let wide = self.extras().wide.get(&grant.api);
        Grant {
            api: grant.api,
            mode: grant.mode,
            scopes: ScopeBits::from_words(grant.low, wide.map_or(&[], |words| words)),
        }
    }

    /// Adds a grant, or replaces the one to its API resource. Types of authorization details stay.
    pub(crate) fn put_grant(&mut self, grant: &Grant) {
        let (low, wide) = grant.scopes.words();
        let stored = StoredGrant {
            api: grant.api,
            mode: grant.mode,
            low,
        };
        let others = self.grants.iter().filter(|one| one.api != grant.api);
        let mut grants = Vec::with_capacity(self.grants.len() + 1);
        grants.extend(others.copied());
        let at = grants.partition_point(|one| one.api < grant.api);
        grants.insert(at, stored);
        self.grants = grants.into();
        if !wide.is_empty() || self.extras().wide.contains_key(&grant.api) {
            self.edit_extras(|extras| match wide.is_empty() {
                true => drop(extras.wide.remove(&grant.api)),
                false => drop(extras.wide.insert(grant.api, wide.into())),
            });
        }
    }

    /// Takes a grant away.
    pub(crate) fn remove_grant(&mut self, api: ApiId) {
        let others = self.grants.iter().filter(|grant| grant.api != api);
        self.grants = others.copied().collect();
        self.edit_extras(|extras| {
            extras.wide.remove(&api);
            extras.details.remove(&api);
        });
    }

    /// The types of authorization details that it may ask for at an API resource, sorted.
    #[must_use]
    pub fn details(&self, api: ApiId) -> &[DetailsTypeName] {
        self.extras().details.get(&api).map_or(&[], Vec::as_slice)
    }

    /// Sets the types of authorization details of a grant.
    pub(crate) fn set_details(&mut self, api: ApiId, details: &[DetailsTypeName]) {
        if self.grant(api).is_some() {
            self.edit_extras(|extras| match details.is_empty() {
                true => drop(extras.details.remove(&api)),
                false => drop(extras.details.insert(api, details.to_vec())),
            });
        }
    }

    /// What few applications have; as if it was there.
    #[must_use]
    pub fn extras(&self) -> &Extras {
        static NONE: LazyLock<Extras> = LazyLock::new(Extras::default);
        self.extras.as_deref().unwrap_or(&NONE)
    }

    /// Changes what few applications have.
    // INVARIANT: nothing is kept of what says nothing, so that equal applications compare equal.
    pub(crate) fn edit_extras(&mut self, edit: impl FnOnce(&mut Extras)) {
        let mut extras = self.extras.take().unwrap_or_default();
        edit(&mut extras);
        self.extras = (*extras != Extras::default()).then_some(extras);
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.extras().labels
    }

    /// What its tokens look like.
    #[must_use]
    pub fn token_settings(&self) -> &TokenSettings {
        &self.extras().token_settings
    }

    /// How many tokens it may get.
    #[must_use]
    pub fn quota(&self) -> Option<&Quota> {
        self.extras().quota.as_ref()
    }

    /// Whose tokens it may exchange.
    #[must_use]
    pub fn exchange(&self) -> Option<&TokenExchange> {
        self.extras().exchange.as_ref()
    }

    /// That it registered itself, if it did.
    #[must_use]
    pub fn registration(&self) -> Option<&Registration> {
        self.extras().registration.as_deref()
    }

    /// Tokens with a `jti` of this moment or earlier are inactive.
    #[must_use]
    pub fn tokens_cut_at(&self) -> Option<Millis> {
        self.extras().tokens_cut_at
    }

    /// How it may authenticate, where that is not the usual.
    #[must_use]
    pub fn own_authentication(&self) -> Option<&Authentication> {
        self.extras().authentication.as_deref()
    }

    /// How it may authenticate.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        self.own_authentication()
            .unwrap_or_else(|| Authentication::usual())
    }

    /// How strict it is with this application: as its own profile says, and the server's.
    #[must_use]
    pub fn profile(&self, settings: &Settings) -> SecurityProfile {
        let own = self.own_authentication().map(|own| own.profile);
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
        self.tokens_cut_at().is_some_and(|cut| made_at <= cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a million applications of one secret and five grants take in the index rests on these.
    #[test]
    fn an_application_is_small() {
        assert_eq!(size_of::<Application>(), 112);
        assert_eq!(size_of::<StoredGrant>(), 16);
        assert_eq!(size_of::<Secret>(), 72);
        assert_eq!(
            size_of::<(ApplicationId, std::sync::Arc<Application>)>(),
            24
        );
    }

    #[test]
    fn what_does_not_fit_into_a_small_grant_is_kept_beside_it() {
        let id = |n: u128| ApplicationId(n);
        let mut app = Application::new(
            id(1),
            "Job".parse().expect("a name"),
            Millis(1),
            Position(2),
        );
        let empty = app.clone();
        let grant = |api, bits: &[u16]| Grant {
            api: ApiId(api),
            mode: GrantMode::Rbac,
            scopes: bits.iter().copied().collect(),
        };
        let (wide, narrow) = (grant(7, &[0, 63, 64, 511]), grant(3, &[1]));
        app.put_grant(&wide);
        app.put_grant(&narrow);
        app.set_details(ApiId(7), &["payment".parse().expect("a type")]);
        assert_eq!(app.grants().collect::<Vec<_>>(), [narrow.clone(), wide]);
        assert_eq!(app.details(ApiId(7)).len(), 1);
        // One that is put again keeps its types, and has the new scopes alone.
        app.put_grant(&grant(7, &[5]));
        assert_eq!(app.grant(ApiId(7)), Some(grant(7, &[5])));
        assert_eq!(app.details(ApiId(7)).len(), 1);
        app.remove_grant(ApiId(7));
        assert_eq!(app.grant(ApiId(7)), None);
        assert!(app.details(ApiId(7)).is_empty());
        // Types of what is not granted are of no one.
        app.set_details(ApiId(7), &["payment".parse().expect("a type")]);
        app.remove_grant(ApiId(3));
        assert_eq!(app, empty);
    }
}
