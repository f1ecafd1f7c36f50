//! What may be asked for keys: the rules of the URIs, and nothing of how they are asked.
//!
//! The rules are stricter than RFC 3986, so that no two parsers can read different hosts in one
//! text: a test holds them against the parser of the HTTP client.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The longest URI that is taken, in bytes.
pub const URI_BYTES: usize = 1024;

/// The text is no URI that keys can be fetched from; says what one looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UriError(pub &'static str);

/// Whether a text can be a `jwks_uri` (RFC 7591 §2, RFC 8414 §2): an `https` URL with a host, any
/// port, without user and fragment, of at most [`URI_BYTES`].
///
/// # Errors
/// It cannot; the error says why.
pub fn check_keys_uri(text: &str) -> Result<(), UriError> {
    Parts::of(text).map(drop)
}

/// Whether a text can be the identifier of an issuer whose metadata can be asked for (OpenID
/// Connect Discovery 1.0 §3, RFC 8414 §2): like a `jwks_uri`, and without a query. A slash at its
/// end is a part of the identifier, and some have one.
///
/// # Errors
/// It cannot; the error says why.
pub fn check_issuer_uri(text: &str) -> Result<(), UriError> {
    let parts = Parts::of(text)?;
    match parts.path_and_query.contains('?') {
        true => Err(UriError(
            "an issuer has no query (RFC 8414 §2): write it as https://login.example.com",
        )),
        false => Ok(()),
    }
}

/// Where a JWK Set (RFC 7517 §5) of somebody else is: a text that [`check_keys_uri`] lets pass.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeysUri(Uri);

impl KeysUri {
    /// Checks a text.
    ///
    /// # Errors
    /// See [`check_keys_uri`].
    pub fn parse(text: &str) -> Result<Self, UriError> {
        check_keys_uri(text)?;
        Uri::of(text).map(Self)
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The host in lower case, an IPv6 address without its brackets: all that log lines show.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn shared(&self) -> &Uri {
        &self.0
    }
}

/// An issuer of tokens who publishes metadata: a text that [`check_issuer_uri`] lets pass.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IssuerUri(Uri);

impl IssuerUri {
    /// Checks a text.
    ///
    /// # Errors
    /// See [`check_issuer_uri`].
    pub fn parse(text: &str) -> Result<Self, UriError> {
        check_issuer_uri(text)?;
        Uri::of(text).map(Self)
    }

    /// The text as it was written: what `iss` must equal (RFC 8414 §3.3).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The host in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn shared(&self) -> &Uri {
        &self.0
    }

    /// Where its metadata may be, in the order to ask: OpenID Connect Discovery 1.0 §4, which
    /// appends, and RFC 8414 §3.1, which inserts.
    pub(super) fn metadata(&self) -> [KeysUri; 2] {
        let text = self.as_str().trim_end_matches('/');
        let after_scheme = text.strip_prefix("https://").unwrap_or(text);
        let (authority, path) = match after_scheme.find('/') {
            Some(at) => after_scheme.split_at(at),
            None => (after_scheme, ""),
        };
        let at = |text: String| {
            KeysUri(Uri {
                text: text.into(),
                host: Arc::clone(&self.0.host),
            })
        };
        [
            at(format!("{text}/.well-known/openid-configuration")),
            at(format!(
                "https://{authority}/.well-known/oauth-authorization-server{path}"
            )),
        ]
    }
}

macro_rules! shows_its_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    )*};
}

shows_its_text!(KeysUri IssuerUri);

/// A text that was checked, with the host that is in it. The host follows from the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Uri {
    pub(super) text: Arc<str>,
    pub(super) host: Arc<str>,
}

impl Uri {
    fn of(text: &str) -> Result<Self, UriError> {
        let host = Parts::of(text)?.host.to_ascii_lowercase().into();
        let text = text.into();
        Ok(Self { text, host })
    }
}

struct Parts<'a> {
    /// An IPv6 address without its brackets.
    host: &'a str,
    path_and_query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, UriError> {
        if text.len() > URI_BYTES {
            return Err(UriError("a URI has at most 1024 bytes"));
        }
        let rest = text.strip_prefix("https://").ok_or(UriError(
            "must be a URL that begins with https://, in lower case",
        ))?;
        if text.contains('#') {
            return Err(UriError("must have no fragment (#…)"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UriError("must have no user in it (…@)"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(NO_HOST)?;
                // No zone (RFC 6874): it has a meaning on one machine only.
                host.parse::<Ipv6Addr>().map_err(|_| NO_HOST)?;
                (host, port)
            }
            None => {
                let at = authority.find(':').unwrap_or(authority.len());
                let (host, port) = authority.split_at(at);
                if !is_name(host) && host.parse::<Ipv4Addr>().is_err() {
                    return Err(NO_HOST);
                }
                (host, port)
            }
        };
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return Err(UriError("the port must be a number from 1 to 65535"));
        }
        if !is_path_and_query(path_and_query) {
            return Err(UriError(
                "has characters that do not belong into a URL: write them as %XX",
            ));
        }
        Ok(Self {
            host,
            path_and_query,
        })
    }
}

const NO_HOST: UriError = UriError(
    "must name a host: a DNS name in ASCII (xn--… for others), an IPv4 address or [an IPv6 address]",
);

/// A DNS name (RFC 1123 §2.1) that no resolver can take for an address: `127.1` and `0x7f.1` are
/// addresses to many.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_port(digits: &str) -> bool {
    digits.len() <= 5
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
        && digits.parse::<u16>().is_ok()
}

/// `path-abempty [ "?" query ]` (RFC 3986 §3.3, §3.4).
fn is_path_and_query(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_hexdigit());
                hex(bytes.next()) && hex(bytes.next())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use ureq::http;

    #[test]
    fn keys_are_at_https_urls_alone() {
        for (text, host) in [
            ("https://keys.example", "keys.example"),
            (
                "https://Keys.Example:8443/jwks.json?p=a%20b",
                "keys.example",
            ),
            ("https://localhost?x", "localhost"),
            ("https://192.0.2.1/jwks", "192.0.2.1"),
            ("https://[2001:DB8::1]:1/jwks", "2001:db8::1"),
            (
                "https://xn--bcher-kva.example/@you",
                "xn--bcher-kva.example",
            ),
        ] {
            let uri = KeysUri::parse(text).unwrap();
            assert_eq!((uri.as_str(), uri.host()), (text, host));
        }
        let long = format!("https://a/{}", "x".repeat(URI_BYTES));
        for text in [
            "",
            "http://keys.example/jwks",
            "HTTPS://keys.example/jwks",
            "https:/keys.example",
            "https://",
            "https:///jwks",
            "https://:443/",
            "https://user@keys.example/",
            "https://user:secret@keys.example/",
            "https://keys.example#f",
            "https://keys.example/#f",
            "https://keys.example:/",
            "https://keys.example:0/",
            "https://keys.example:0443/",
            "https://keys.example:65536/",
            "https://keys.example:+1/",
            "https://keys.example\\@evil.example/",
            "https://keys.example./",
            "https://keys..example/",
            "https://-keys.example/",
            "https://keys_1.example/",
            "https://bücher.example/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://a.0x1/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[fe80::1%25eth0]/",
            "https://[127.0.0.1]/",
            "https://keys.example/ a",
            "https://keys.example/%zz",
            "https://keys.example/%2",
            "https://keys.example/\r\nHost: x",
            "https://keys.example/ü",
            "https://keys.example/[",
            &long,
        ] {
            assert!(KeysUri::parse(text).is_err(), "{text}");
            assert!(IssuerUri::parse(text).is_err(), "{text}");
        }
        assert!(IssuerUri::parse("https://issuer.example/?a").is_err());
    }

    #[test]
    fn metadata_is_appended_or_inserted() {
        let places = |issuer: &str| {
            let places = IssuerUri::parse(issuer).unwrap().metadata();
            places.map(|place| place.to_string())
        };
        for issuer in ["https://a.example", "https://a.example/"] {
            assert_eq!(
                places(issuer),
                [
                    "https://a.example/.well-known/openid-configuration",
                    "https://a.example/.well-known/oauth-authorization-server",
                ]
            );
        }
        assert_eq!(
            places("https://a.example:8443/tenant/1"),
            [
                "https://a.example:8443/tenant/1/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/tenant/1",
            ]
        );
    }

    proptest! {
        #[test]
        fn the_client_reads_the_same_host(
            any in "\\PC{0,40}",
            like in "[a-zA-Z0-9.:@\\[\\]\\\\/?#%_-]{1,30}",
            tail in "[/?][!-~]{0,20}",
        ) {
            for text in [
                any.clone(),
                format!("https://{any}"),
                format!("https://{like}"),
                format!("https://a.example{tail}"),
                format!("https://{like}{tail}"),
            ] {
                let Ok(uri) = KeysUri::parse(&text) else { continue };
                let theirs: http::Uri = text.parse().unwrap();
                let authority = theirs.authority().unwrap();
                prop_assert_eq!(theirs.scheme_str(), Some("https"));
                prop_assert!(!authority.as_str().contains('@'));
                let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
                prop_assert_eq!(uri.host(), host);
                let port = text["https://".len()..].split(['/', '?']).next().unwrap();
                let port = port.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
                if !authority.as_str().contains('[') {
                    prop_assert_eq!(theirs.port_u16(), port);
                }
                let path = theirs.path_and_query().map_or("", |path| path.as_str());
                prop_assert!(text.ends_with(path) || path == "/" || path.starts_with("/?"));
            }
        }
    }
}
