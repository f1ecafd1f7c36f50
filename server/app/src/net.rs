//! Who is on the other end of a connection: networks, trusted proxies, and the headers that only
//! a trusted proxy may set. What listens and serves is elsewhere.

use crate::client_certificate::CHAIN_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A network in CIDR notation: `10.0.0.0/8`, `fd00::/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCidrError {
    /// Not `address/prefix` at all.
    #[error("not a network: write it as 10.0.0.0/8, fd00::/8 or a single address")]
    Malformed,
    /// Bits are set outside the prefix: the address of a host, or the wrong prefix.
    #[error("it has bits set outside its prefix: did you mean {meant}?")]
    HostBits {
        /// The network that the address lies in.
        meant: Cidr,
    },
}

impl Cidr {
    /// Whether an address lies in this network. An IPv4 address in IPv6 clothes
    /// (`::ffff:192.0.2.1`) counts as the IPv4 address it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, address) = (self.address, address.to_canonical());
        network.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == network
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits outside the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4((v4.to_bits() & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & keep))
        }
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseCidrError::Malformed)?;
        let prefix = match prefix {
            None => width(address),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 3 => {
                digits.parse().map_err(|_| ParseCidrError::Malformed)?
            }
            Some(_) => return Err(ParseCidrError::Malformed),
        };
        if prefix > width(address) || address.to_canonical() != address {
            return Err(ParseCidrError::Malformed);
        }
        let network = masked(address, prefix);
        if network != address {
            return Err(ParseCidrError::HostBits {
                meant: Self {
                    address: network,
                    prefix,
                },
            });
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Somebody who is not a trusted proxy set a header that only such a one may set, or set it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedError {
    /// `Client-Cert` (RFC 9440 §2.2) from a peer that is not in `proxies.trusted`.
    #[error("the Client-Cert header is only accepted from a trusted proxy")]
    UntrustedClientCert,
    /// More than one `Client-Cert`.
    #[error("the Client-Cert header is repeated")]
    RepeatedClientCert,
    /// Not DER as byte sequences (RFC 9440 §2.1), or too many.
    #[error("the Client-Cert header is not a certificate (RFC 9440)")]
    MalformedClientCert,
}

/// The proxies whose word about their own clients is taken (`proxies.trusted`); none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// The proxies in these networks.
    #[must_use]
    pub fn new(networks: Vec<Cidr>) -> Self {
        Self(networks)
    }

    /// Whether this peer is one of them.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }

    /// The address of the client. `forwarded_for` are the values of all `X-Forwarded-For` headers
    /// in the order they came in. They are read from the right, as each hop appended to it, and
    /// only as long as the hop that vouches for an entry is trusted; what is not an address ends
    /// the walk. So nobody outside can choose the answer.
    #[must_use]
    pub fn client_address<'a, I>(&self, peer: IpAddr, forwarded_for: I) -> IpAddr
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: DoubleEndedIterator,
    {
        let mut client = peer.to_canonical();
        let hops = forwarded_for
            .into_iter()
            .rev()
            .flat_map(|value| value.rsplit(|&b| b == b','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            match std::str::from_utf8(hop).ok().and_then(parse_hop) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }

    /// The certificates that a proxy says its client presented, the client's own first (RFC 9440
    /// §2.2, §2.3); `None` where it says of none.
    ///
    /// # Errors
    /// A header came from a peer that is not a trusted proxy, came twice, or is malformed.
    pub fn client_certificates<'a>(
        &self,
        peer: IpAddr,
        own: impl IntoIterator<Item = &'a [u8]>,
        others: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Vec<CertificateDer<'static>>>, ForwardedError> {
        let mut own = own.into_iter();
        let mut others = others.into_iter().peekable();
        let first = own.next();
        if (first.is_some() || others.peek().is_some()) && !self.trusts(peer) {
            return Err(ForwardedError::UntrustedClientCert);
        }
        if own.next().is_some() {
            return Err(ForwardedError::RepeatedClientCert);
        }
        let Some(first) = first else {
            // A chain without its beginning says nothing.
            return Ok(None);
        };
        // A list may come in several headers (RFC 9651 §3.1).
        let others = others.flat_map(|value| value.split(|&b| b == b','));
        let chain = std::iter::once(first)
            .chain(others)
            .take(CHAIN_MAX + 1)
            .map(|value| certificate(value).ok_or(ForwardedError::MalformedClientCert))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(chain))
    }
}

/// A certificate: DER as a byte sequence of structured fields (RFC 9440 §2.1, RFC 9651 §3.3.5).
fn certificate(value: &[u8]) -> Option<CertificateDer<'static>> {
    let base64 = value.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
    let der = STANDARD.decode(base64).ok()?;
    // A certificate is a SEQUENCE; what else is in it is for those who read it.
    (der.first() == Some(&0x30)).then(|| der.into())
}

/// One entry of `X-Forwarded-For`: an address, some proxies add the port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()))
        .ok()
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn rfc_9440_section_2_1_a_certificate_is_der_in_a_byte_sequence() {
        assert_eq!(certificate(b" :MAA=: ").unwrap().as_ref(), [0x30, 0]);
        for bad in ["", ":", "MAA=", ":MAA:", ":AAA=:", ":MAA=", "::"] {
            assert_eq!(certificate(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
            ("::1/128", "::1", "::2"),
        ] {
            let network: Cidr = network.parse().unwrap();
            assert!(network.contains(ip(inside)), "{network} {inside}");
            assert!(!network.contains(ip(outside)), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_hint() {
        for text in [
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "ten",
            "10.0.0/8",
        ] {
            assert_eq!(
                text.parse::<Cidr>(),
                Err(ParseCidrError::Malformed),
                "{text}"
            );
        }
        assert_eq!(
            "::ffff:10.0.0.0/104".parse::<Cidr>(),
            Err(ParseCidrError::Malformed)
        );
        let error = "10.1.2.3/8".parse::<Cidr>().unwrap_err();
        assert!(
            error.to_string().ends_with("did you mean 10.0.0.0/8?"),
            "{error}"
        );
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        let none = TrustedProxies::default();
        let one = proxies(&["10.0.0.0/8"]);
        let spoofed: [&[u8]; 1] = [b"1.1.1.1, 203.0.113.5, 10.0.0.2"];
        assert_eq!(none.client_address(ip("10.0.0.1"), spoofed), ip("10.0.0.1"));
        assert_eq!(
            one.client_address(ip("203.0.113.9"), spoofed),
            ip("203.0.113.9")
        );
        assert_eq!(
            one.client_address(ip("10.0.0.1"), spoofed),
            ip("203.0.113.5")
        );
        assert_eq!(
            one.client_address(ip("::ffff:10.0.0.1"), spoofed),
            ip("203.0.113.5")
        );
        let headers: [&[u8]; 2] = [b"1.1.1.1", b"203.0.113.5:4711 ,\t10.0.0.2"];
        assert_eq!(
            one.client_address(ip("10.0.0.1"), headers),
            ip("203.0.113.5")
        );
        let v6: [&[u8]; 1] = [b"[2001:db8::1]:443"];
        assert_eq!(one.client_address(ip("10.0.0.1"), v6), ip("2001:db8::1"));
        let junk: [&[u8]; 1] = [b"203.0.113.5, unknown, 10.0.0.2"];
        assert_eq!(one.client_address(ip("10.0.0.1"), junk), ip("10.0.0.2"));
        assert_eq!(one.client_address(ip("10.0.0.1"), []), ip("10.0.0.1"));
    }

    #[test]
    fn rfc_9440_section_3_1_a_certificate_is_believed_from_a_proxy_alone() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let (trusted, stranger) = (ip("10.0.0.1"), ip("192.0.2.1"));
        let (value, other): (&[u8], &[u8]) = (b":MAA=:", b":MAEA:, :MAEA:");
        let none: [&[u8]; 0] = [];
        let ask = |peer, own: &[&'static [u8]], others: &[&'static [u8]]| {
            proxies.client_certificates(peer, own.to_vec(), others.to_vec())
        };
        assert_eq!(ask(trusted, &none, &none), Ok(None));
        assert_eq!(ask(stranger, &none, &none), Ok(None));
        let found = ask(trusted, &[value], &[other]).unwrap().unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].as_ref(), [0x30, 0]);
        let untrusted = Err(ForwardedError::UntrustedClientCert);
        assert_eq!(ask(stranger, &[value], &none), untrusted);
        assert_eq!(ask(stranger, &none, &[other]), untrusted);
        let repeated = Err(ForwardedError::RepeatedClientCert);
        assert_eq!(ask(trusted, &[value, value], &none), repeated);
        let malformed = Err(ForwardedError::MalformedClientCert);
        assert_eq!(ask(trusted, &[b":x:"], &none), malformed);
        assert_eq!(ask(trusted, &[value], &[b":x:"]), malformed);
        assert_eq!(ask(trusted, &none, &[other]), Ok(None));
    }

    proptest! {
        #[test]
        fn no_header_moves_an_untrusted_peer(peer: [u8; 4], headers: Vec<Vec<u8>>) {
            prop_assume!(peer[0] != 10);
            let values = headers.iter().map(Vec::as_slice);
            let proxies = proxies(&["10.0.0.0/8"]);
            prop_assert_eq!(proxies.client_address(peer.into(), values), IpAddr::from(peer));
        }

        #[test]
        fn a_network_reads_back_as_shown(bits: u128, v4: bool, prefix in 0u8..=128) {
            let address = match v4 {
                true => IpAddr::V4((bits as u32).into()),
                false => IpAddr::V6(bits.into()),
            };
            let prefix = prefix.min(width(address));
            let network = Cidr { address: masked(address, prefix), prefix };
            prop_assume!(network.address.to_canonical() == network.address);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            let canonical = address.to_canonical();
            prop_assert!(network.contains(canonical) || v4 != canonical.is_ipv4());
        }
    }
}
