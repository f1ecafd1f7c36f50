//! API resources and their scopes, as held in the index.

use crate::{
    Algorithm, ApiId, ApplicationId, Description, DetailsType, Identifier, MANAGEMENT_IDENTIFIER,
    Name, SenderConstraint, authentication::is_default,
};
use crate::{Millis, Position, ScopeBits, ScopeName};
use serde::{Deserialize, Serialize};

/// An API that is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiResource {
    /// Its id.
    pub id: ApiId,
    /// Its audience URI.
    pub identifier: Identifier,
    /// Its name.
    pub name: Name,
    /// When it was created.
    pub created_at: Millis,
    /// Whether an application needs a grant for its scopes.
    pub requires_authorization: bool,
    /// What tokens for it look like.
    pub profile: TokenProfile,
    /// The applications that are this API: they may introspect its tokens. Sorted.
    pub guards: Vec<ApplicationId>,
    /// Its scopes by number; a number whose scope was removed stays empty for ever.
    pub slots: Vec<Option<Scope>>,
    /// Its types of authorization details, sorted by name.
    pub details_types: Vec<DetailsType>,
    /// The position of its last change.
    pub version: Position,
}

/// A permission of one API resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Its name, unique in the server.
    pub name: ScopeName,
    /// What it lets its holder do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
}

/// What tokens for an API resource look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenProfile {
    /// The signature algorithm.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The `typ` of the header.
    #[serde(default)]
    pub typ: TokenType,
    /// The lifetime in seconds; the server's setting where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// What its tokens must be bound to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sender_constraint: SenderConstraint,
}

/// A change of a [`TokenProfile`]: those present change, the others stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The signature algorithm.
    pub algorithm: Option<Algorithm>,
    /// The `typ` of the header.
    pub typ: Option<TokenType>,
    /// The lifetime in seconds, or back to the server's setting.
    pub lifetime_seconds: Option<Option<u32>>,
    /// What tokens must be bound to.
    pub sender_constraint: Option<SenderConstraint>,
}

impl TokenProfile {
    /// This profile with a change.
    #[must_use]
    pub fn with(self, change: ProfileChange) -> Self {
        Self {
            algorithm: change.algorithm.unwrap_or(self.algorithm),
            typ: change.typ.unwrap_or(self.typ),
            lifetime_seconds: change.lifetime_seconds.unwrap_or(self.lifetime_seconds),
            sender_constraint: change.sender_constraint.unwrap_or(self.sender_constraint),
        }
    }
}

/// The `typ` of an access token's header (RFC 7515 §4.1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenType {
    /// RFC 9068 §2.1: the default.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// For resource servers that refuse what they do not know.
    #[serde(rename = "JWT")]
    Jwt,
}

impl TokenType {
    /// The text in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
        }
    }
}

impl ApiResource {
    /// Whether this is the management API.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.identifier.as_str() == MANAGEMENT_IDENTIFIER
    }

    /// The scopes that exist, by number.
    pub fn scopes(&self) -> impl Iterator<Item = (u16, &Scope)> {
        (0u16..)
            .zip(&self.slots)
            .filter_map(|(bit, slot)| Some((bit, slot.as_ref()?)))
    }

    /// The scope with this number.
    #[must_use]
    pub fn scope(&self, bit: u16) -> Option<&Scope> {
        self.slots.get(usize::from(bit))?.as_ref()
    }

    /// The number of a scope.
    #[must_use]
    pub fn bit(&self, name: &str) -> Option<u16> {
        self.scopes()
            .find(|(_, scope)| scope.name.as_str() == name)
            .map(|(bit, _)| bit)
    }

    /// A type of authorization details.
    #[must_use]
    pub fn details_type(&self, name: &str) -> Option<&DetailsType> {
        self.details_types
            .iter()
            .find(|one| one.name.as_str() == name)
    }

    /// All scopes, as a set.
    #[must_use]
    pub fn all_scopes(&self) -> ScopeBits {
        self.scopes().map(|(bit, _)| bit).collect()
    }

    /// The names of a set of scopes, sorted.
    #[must_use]
    pub fn names(&self, bits: &ScopeBits) -> Vec<ScopeName> {
        let mut names: Vec<ScopeName> = bits
            .iter()
            .filter_map(|bit| Some(self.scope(bit)?.name.clone()))
            .collect();
        names.sort_unstable();
        names
    }
}
