//! What a token is asked for with: the grant types of the token endpoint.

/// A grant type (RFC 6749 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantType {
    /// An application asks for itself (RFC 6749 §4.4).
    #[default]
    ClientCredentials,
    /// The same, proved by a foreign token in place of a client authentication (RFC 7523 §2.1).
    JwtBearer,
    /// An application asks on behalf of another, whose token it got (RFC 8693).
    TokenExchange,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::ClientCredentials,
        Self::JwtBearer,
        Self::TokenExchange,
    ];

    /// Its name: what the request says, and what policies are told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// As the record of an issuance has it: nothing for the usual.
    #[must_use]
    pub fn recorded(self) -> Option<Box<str>> {
        (self != Self::default()).then(|| self.as_str().into())
    }

    /// From the record of an issuance.
    #[must_use]
    pub fn of_record(recorded: Option<&str>) -> Self {
        recorded.and_then(Self::of).unwrap_or_default()
    }
}
