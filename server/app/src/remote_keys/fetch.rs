//! One GET to somebody else's server, safely: the name is resolved here and every address of it
//! checked before one of them is connected to, and nothing of the answer is believed or read
//! without a limit. What an answer means is not known here.

use super::address::AllowedNetworks;
use super::error::{Detail, FetchError};
use super::pool::{Pool, Size};
use super::uri::KeysUri;
use super::{Limits, Outbound, RemoteKeysError};
use crate::tls::{SYSTEM_CERTIFICATES, certificates};
use rustls::crypto::aws_lc_rs::default_provider;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error, Timeout};

/// The largest answer that is read, in bytes.
pub const ANSWER_BYTES: u64 = 256 * 1024;
/// The largest header section that is read, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// What is asked for (RFC 7517 §8.5.2, RFC 8414 §3.2).
const ACCEPT: &str = "application/jwk-set+json, application/json";

/// Finds the addresses of a host name. It may block.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The resolver of the operating system.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|host| {
        let addresses = (host, 0).to_socket_addrs()?;
        Ok(addresses.map(|address| address.ip()).collect())
    })
}

/// Asks the servers of others. A call blocks for the deadline at most.
#[derive(Debug)]
pub(super) struct Fetcher {
    agent: Agent,
}

/// An answer of status 200 in JSON, or so it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// For how long it says that it is fresh.
    pub(super) fresh_for: Option<Duration>,
}

impl Fetcher {
    pub(super) fn new(
        outbound: &Outbound,
        limits: &Limits,
        lookup: Lookup,
    ) -> Result<Self, RemoteKeysError> {
        let tls = TlsConfig::builder()
            .root_certs(roots(outbound.ca_file.as_deref())?)
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .timeout_global(Some(limits.deadline))
            .max_response_header_size(HEADER_BYTES)
            // A connection that is kept would be used again without a look at its address.
            .max_idle_connections(0)
            .user_agent(concat!("writ/", env!("CARGO_PKG_VERSION")))
            .accept(ACCEPT)
            .accept_encoding("identity")
            .build();
        let lookups = Size {
            threads: limits.threads,
            per_host: limits.per_host,
            queued: limits.queued,
            patience: limits.deadline,
        };
        let resolver = CheckedAddresses {
            lookup,
            lookups: Pool::start("writ-lookup", lookups).map_err(RemoteKeysError::NoThread)?,
            allowed: AllowedNetworks::new(outbound.allow.clone()),
        };
        let agent = Agent::with_parts(config, DefaultConnector::new(), resolver);
        Ok(Self { agent })
    }

    /// What is there.
    pub(super) fn get(&self, uri: &KeysUri) -> Result<Answer, FetchError> {
        let mut response = self.agent.get(uri.as_str()).call().map_err(translated)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirected(status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status.as_u16()));
        }
        let headers = response.headers();
        let plain = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        if !encodings.all(|value| plain(value.as_bytes())) {
            return Err(FetchError::Encoded);
        }
        if !is_json(headers) {
            return Err(FetchError::ContentType);
        }
        let fresh_for = fresh_for(headers);
        if response.body().content_length() > Some(ANSWER_BYTES) {
            return Err(FetchError::TooLarge);
        }
        let body = response.body_mut().with_config().limit(ANSWER_BYTES);
        let body = body.read_to_vec().map_err(translated)?;
        Ok(Answer { body, fresh_for })
    }
}

/// Whether an answer is declared to be what is wanted, once and by one of its two names. Hosts
/// that let strangers put up pages and pastes serve those under other types, and a page that is
/// shown for an error is refused for what it is.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.as_bytes().split(|&b| b == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    [&b"application/json"[..], b"application/jwk-set+json"]
        .iter()
        .any(|wanted| essence.eq_ignore_ascii_case(wanted))
}

/// For how long an answer is fresh (RFC 9111 §4.2): its `max-age` less its `Age`. Where there are
/// several, the least; nothing for what may not be kept.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let directives = values.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let mut fresh: Option<u64> = None;
    for directive in directives {
        let directive = String::from_utf8_lossy(directive).to_ascii_lowercase();
        let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
        let seconds = match name.trim() {
            "max-age" => number(value.trim().trim_matches('"')),
            "no-cache" | "no-store" => Some(0),
            _ => None,
        };
        fresh = seconds.map_or(fresh, |new| Some(fresh.map_or(new, |old| old.min(new))));
    }
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    let age = age.and_then(|age| number(age.trim())).unwrap_or_default();
    fresh.map(|fresh| Duration::from_secs(fresh.saturating_sub(age)))
}

/// Delta-seconds (RFC 9111 §1.2.2): what is too large for a number is very long.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::from(u32::MAX)))
}

/// Names become addresses here and nowhere else, once for a connection, which is then made to
/// these very addresses. So an answer of the DNS that changes meanwhile changes nothing.
struct CheckedAddresses {
    lookup: Lookup,
    /// A lookup cannot be interrupted. These threads are lost to it until it ends, and no others.
    lookups: Pool,
    allowed: AllowedNetworks,
}

impl Resolver for CheckedAddresses {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(443);
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.look_up(host, timeout)?,
        };
        // One that is refused among others is an attack, or a mistake that somebody must see.
        if let Some(refused) = addresses
            .iter()
            .find(|address| !self.allowed.permits(**address))
        {
            return Err(other(FetchError::AddressRefused(*refused)));
        }
        let mut checked = self.empty();
        for address in addresses {
            if checked.try_push(SocketAddr::new(address, port)).is_err() {
                break;
            }
        }
        match checked.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(checked),
        }
    }
}

impl CheckedAddresses {
    fn look_up(&self, host: &str, timeout: NextTimeout) -> Result<Vec<IpAddr>, Error> {
        let (answer, found) = sync_channel(1);
        let (lookup, name) = (Arc::clone(&self.lookup), host.to_owned());
        self.lookups
            .submit(host.to_ascii_lowercase().into(), move || {
                // An error says that nobody waits any more.
                let _ = answer.send(lookup(&name));
            });
        match found.recv_timeout(*timeout.after) {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(_)) => Err(Error::HostNotFound),
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(Timeout::Resolve)),
            // There was no room for it.
            Err(RecvTimeoutError::Disconnected) => Err(other(FetchError::Busy)),
        }
    }
}

impl fmt::Debug for CheckedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedAddresses")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

fn other(error: FetchError) -> Error {
    Error::Other(Box::new(error))
}

/// What the client's error means. Its texts can have the whole URI in them.
fn translated(error: Error) -> FetchError {
    match error {
        Error::Other(error) => match error.downcast::<FetchError>() {
            Ok(error) => *error,
            Err(_) => FetchError::Internal,
        },
        Error::HostNotFound => FetchError::Unresolved,
        Error::Timeout(_) => FetchError::TimedOut,
        Error::Rustls(error) => FetchError::Tls(Detail::of(&error)),
        Error::Io(error) => {
            let inner = error.get_ref();
            let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match tls {
                Some(tls) => FetchError::Tls(Detail::of(tls)),
                None => FetchError::Unreachable(error.kind()),
            }
        }
        Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => FetchError::TooLarge,
        Error::Protocol(error) => FetchError::Protocol(Detail::of(&error)),
        Error::ConnectionFailed => FetchError::Unreachable(io::ErrorKind::NotConnected),
        Error::Tls(text) => FetchError::Tls(Detail::of(&text)),
        _ => FetchError::Internal,
    }
}

/// The certificates that the machine trusts, and those of a file besides.
fn roots(ca_file: Option<&Path>) -> Result<RootCerts, RemoteKeysError> {
    let system = SYSTEM_CERTIFICATES
        .iter()
        .find_map(|path| std::fs::read(path).ok());
    let mut all = system.as_deref().map(certificates).unwrap_or_default();
    if let Some(path) = ca_file {
        let none = || RemoteKeysError::NoCertificate(path.to_owned());
        let pem = std::fs::read(path).map_err(|_| none())?;
        let own = certificates(&pem);
        if own.is_empty() {
            return Err(none());
        }
        all.extend(own);
    }
    match all.is_empty() {
        true => Err(RemoteKeysError::NoCertificate(
            SYSTEM_CERTIFICATES[0].into(),
        )),
        false => Ok(RootCerts::from(all)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ureq::http::HeaderValue;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn json_has_two_names() {
        for good in [
            "application/json",
            "application/jwk-set+json",
            "Application/JSON; charset=utf-8",
            "application/json ;x",
        ] {
            assert!(is_json(&headers(&header::CONTENT_TYPE, &[good])), "{good}");
        }
        for bad in [
            &[][..],
            &[""],
            &["text/html"],
            &["text/plain; application/json"],
            &["application/jsonp"],
            &["application/json", "application/json"],
        ] {
            assert!(!is_json(&headers(&header::CONTENT_TYPE, bad)), "{bad:?}");
        }
    }

    #[test]
    fn freshness_is_the_least_that_is_said() {
        let fresh = |values: &[&str], age: Option<&'static str>| {
            let mut headers = headers(&header::CACHE_CONTROL, values);
            if let Some(age) = age {
                headers.insert(header::AGE, HeaderValue::from_static(age));
            }
            fresh_for(&headers).map(|fresh| fresh.as_secs())
        };
        assert_eq!(fresh(&[], None), None);
        assert_eq!(fresh(&["public, s-maxage=9"], Some("5")), None);
        assert_eq!(fresh(&["public, max-age=300"], None), Some(300));
        assert_eq!(fresh(&["Max-Age=\"300\""], Some("100")), Some(200));
        assert_eq!(fresh(&["max-age=300"], Some("400")), Some(0));
        assert_eq!(fresh(&["max-age=300"], Some("soon")), Some(300));
        assert_eq!(fresh(&["max-age=300, max-age=60"], None), Some(60));
        assert_eq!(fresh(&["max-age=300", "no-store"], None), Some(0));
        assert_eq!(fresh(&["no-cache"], None), Some(0));
        for bad in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=+1",
            "max-age=1.5",
        ] {
            assert_eq!(fresh(&[bad], None), None, "{bad}");
        }
        let long = format!("max-age={}", "9".repeat(40));
        assert_eq!(fresh(&[&long], None), Some(u64::from(u32::MAX)));
    }
}
