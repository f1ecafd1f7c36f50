//! Headers of requests. The first byte says which.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use writ::client_certificate::{CHAIN_MAX, ClientCertificate};
use writ::form::{TokenScheme, parse_basic_authorization, parse_bearer, parse_token};
use writ::net::{Cidr, ForwardedError, TrustedProxies};
use writ::telemetry::TraceContext;
use writ_fuzz::reads_back;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fuzz_target!(|data: &[u8]| {
    let Some((which, value)) = data.split_first() else {
        return;
    };
    match which {
        b'b' => basic(value),
        b't' => token(value),
        b'f' => forwarded_for(value),
        b'p' => traceparent(value),
        b'c' => client_certificate(value),
        _ => {
            if let Ok(text) = std::str::from_utf8(value) {
                reads_back::<Cidr>(text);
            }
        }
    }
});

fn basic(value: &[u8]) {
    let Ok(found) = parse_basic_authorization(value) else {
        return;
    };
    assert!(!found.client_id.is_empty());
    let escaped = |text: &str| {
        text.bytes()
            .map(|b| format!("%{b:02x}"))
            .collect::<String>()
    };
    let pair = format!(
        "{}:{}",
        escaped(&found.client_id),
        escaped(&found.presented_secret)
    );
    let again = format!("bAsIc {}", STANDARD.encode(pair));
    let again = parse_basic_authorization(again.as_bytes()).expect("made as RFC 6749 says");
    assert_eq!(again.client_id, found.client_id);
    assert_eq!(again.presented_secret, found.presented_secret);
}

fn token(value: &[u8]) {
    let found = parse_token(value);
    if let Ok(bearer) = parse_bearer(value) {
        assert_eq!(found, Ok((TokenScheme::Bearer, bearer)));
    }
    let Ok((scheme, token)) = found else {
        return;
    };
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    let again = match scheme {
        TokenScheme::Bearer => format!("Bearer {token}"),
        TokenScheme::Dpop => format!("DPoP {token}"),
    };
    assert_eq!(parse_token(again.as_bytes()), Ok((scheme, token)));
}

fn proxies() -> TrustedProxies {
    let networks = ["10.0.0.0/8", "fd00::/8"];
    TrustedProxies::new(
        networks
            .map(|network| network.parse().expect("a network"))
            .to_vec(),
    )
}

fn lines(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b'\n')
}

fn forwarded_for(value: &[u8]) {
    let nobody = TrustedProxies::default();
    assert_eq!(nobody.client_address(PROXY, lines(value)), PROXY);
    let proxies = proxies();
    assert_eq!(proxies.client_address(STRANGER, lines(value)), STRANGER);
    let found = proxies.client_address(PROXY, lines(value));
    // What an attacker writes to the left of what the proxy saw changes nothing.
    let seen = [value, b", 192.0.2.7, 10.0.0.2"].concat();
    let client: IpAddr = "192.0.2.7".parse().expect("an address");
    assert_eq!(proxies.client_address(PROXY, lines(&seen)), client);
    assert_eq!(found, found.to_canonical());
}

fn traceparent(value: &[u8]) {
    if let Some(context) = TraceContext::parse(value) {
        let shown = context.to_string();
        let again = TraceContext::parse(shown.as_bytes()).expect("as it is sent on");
        assert_eq!(again.to_string(), shown);
    }
}

fn client_certificate(value: &[u8]) {
    let proxies = proxies();
    let own = || lines(value).take(1);
    let others = || lines(value).skip(1);
    let untrusted = Err(ForwardedError::UntrustedClientCert);
    assert_eq!(
        proxies.client_certificates(STRANGER, own(), others()),
        untrusted
    );
    let Ok(Some(chain)) = proxies.client_certificates(PROXY, own(), others()) else {
        return;
    };
    assert!((1..=CHAIN_MAX + 1).contains(&chain.len()));
    let shown: Vec<String> = chain
        .iter()
        .map(|der| format!(":{}:", STANDARD.encode(der)))
        .collect();
    let (first, rest) = shown.split_first().expect("one at least");
    let rest = rest.join(", ");
    let rest = (!rest.is_empty()).then_some(rest.as_bytes());
    let again = proxies.client_certificates(PROXY, [first.as_bytes()], rest);
    assert_eq!(again.as_ref(), Ok(&Some(chain.clone())));
    let _ = ClientCertificate::parse(chain);
}
