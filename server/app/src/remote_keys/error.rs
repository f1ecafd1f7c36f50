//! Why keys could not be had, with a code for metrics and records. Texts are for the operator:
//! what an application is told is for the token path to say.

use std::fmt;
use std::io;
use std::net::IpAddr;

/// The longest text of somebody else's that an error repeats, in characters.
const DETAIL_CHARS: usize = 200;

/// Why the keys of somebody else could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Its name has no address.
    #[error("its host name cannot be resolved")]
    Unresolved,
    /// One of its addresses is not public and not allowed.
    #[error("its host has the address {0}, which is not public: outbound.allow does not name it")]
    AddressRefused(IpAddr),
    /// There is no connection to be had, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    /// It is not who it says it is, or speaks no TLS.
    #[error("it does not prove its name by TLS: {0}")]
    Tls(Detail),
    /// It is too slow.
    #[error("it does not answer in time")]
    TimedOut,
    /// It points elsewhere, which is not followed.
    #[error("it answers {0}, and redirects are not followed: name the place that it points to")]
    Redirected(u16),
    /// It answers with another status than 200.
    #[error("it answers {0}")]
    Status(u16),
    /// What it says is no HTTP.
    #[error("its answer is not HTTP/1.1: {0}")]
    Protocol(Detail),
    /// Its answer is not declared as JSON.
    #[error("its answer is neither application/json nor application/jwk-set+json")]
    ContentType,
    /// Its answer is compressed although that was not asked for.
    #[error("its answer has a Content-Encoding")]
    Encoded,
    /// Its answer is longer than what is read.
    #[error("its answer is too large")]
    TooLarge,
    /// What it answers is not what was expected.
    #[error("its answer cannot be used: {0}")]
    Unusable(Detail),
    /// Its metadata is that of another issuer (RFC 8414 §3.3).
    #[error("its metadata names another issuer")]
    OtherIssuer,
    /// So much is being fetched already that this was not begun.
    #[error("too much is being fetched at this moment")]
    Busy,
    /// A fault of this server.
    #[error("fetching has failed within this server")]
    Internal,
}

impl FetchError {
    /// All codes, for series of metrics that begin at zero.
    pub const CODES: [&str; 15] = [
        "unresolved",
        "address_refused",
        "unreachable",
        "tls",
        "timed_out",
        "redirected",
        "status",
        "protocol",
        "content_type",
        "encoded",
        "too_large",
        "unusable",
        "other_issuer",
        "busy",
        "internal",
    ];

    /// The reason as metrics and records show it. It has nothing of the URI in it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::AddressRefused(_) => "address_refused",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::TimedOut => "timed_out",
            Self::Redirected(_) => "redirected",
            Self::Status(_) => "status",
            Self::Protocol(_) => "protocol",
            Self::ContentType => "content_type",
            Self::Encoded => "encoded",
            Self::TooLarge => "too_large",
            Self::Unusable(_) => "unusable",
            Self::OtherIssuer => "other_issuer",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }

    /// Whether nobody was asked, so that it says nothing about the one to be asked.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

/// What somebody else's text or another library said, short and in one line: it may have come
/// from an attacker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Box<str>);

impl Detail {
    pub(super) fn of(text: &dyn fmt::Display) -> Self {
        let visible = |c: char| match c {
            ' '..='~' => c,
            _ => '?',
        };
        let text = text.to_string();
        Self(text.chars().take(DETAIL_CHARS).map(visible).collect())
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_of_the_list() {
        let detail = || Detail::of(&"x");
        let all = [
            FetchError::Unresolved,
            FetchError::AddressRefused(IpAddr::from([10, 0, 0, 1])),
            FetchError::Unreachable(io::ErrorKind::ConnectionRefused),
            FetchError::Tls(detail()),
            FetchError::TimedOut,
            FetchError::Redirected(301),
            FetchError::Status(404),
            FetchError::Protocol(detail()),
            FetchError::ContentType,
            FetchError::Encoded,
            FetchError::TooLarge,
            FetchError::Unusable(detail()),
            FetchError::OtherIssuer,
            FetchError::Busy,
            FetchError::Internal,
        ];
        assert_eq!(all.map(|error| error.code()), FetchError::CODES);
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let detail = Detail::of(&format!("a\r\nb\u{202e}{}", "c".repeat(500)));
        assert!(detail.to_string().starts_with("a??b?c"));
        assert_eq!(detail.to_string().len(), DETAIL_CHARS);
    }
}
