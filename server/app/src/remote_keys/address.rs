//! Which addresses may be connected to on somebody's word: those of the public internet, and what
//! the configuration allows besides. Nothing is resolved here.

use crate::net::Cidr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks that may be asked although they are not public (`outbound.allow`).
#[derive(Clone, Debug, Default)]
pub struct AllowedNetworks(Vec<Cidr>);

impl AllowedNetworks {
    /// These networks, besides all that is public.
    #[must_use]
    pub fn new(networks: Vec<Cidr>) -> Self {
        Self(networks)
    }

    /// Whether a connection to an address may be made.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|network| network.contains(address))
    }
}

/// Whether an address is one of the public internet: globally reachable unicast by the IANA
/// special-purpose registries (RFC 6890), read strictly. So nobody is asked on this machine, in
/// this network, or among the services that clouds offer to their machines alone.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // This network, private, loopback (RFC 791, RFC 1918).
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..]
        // Shared by carriers (RFC 6598); link-local, with the metadata of clouds (RFC 3927).
        | [100, 64..=127, ..] | [169, 254, ..]
        // IETF protocols, documentation (RFC 5737), benchmarks (RFC 2544), relays of 6to4.
        | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _]
        | [198, 18 | 19, ..] | [192, 88, 99, _]
        // What Azure offers to its machines alone.
        | [168, 63, 129, 16]
        // Multicast, reserved, broadcast.
        | [224..=255, ..]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // IPv4-mapped (RFC 4291 §2.5.5.2) and NAT64 (RFC 6052 §2.1): what counts is inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        // IETF protocols and Teredo, documentation, 6to4, documentation again (RFC 9637).
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
            false
        }
        // Global unicast. The rest is unspecified, loopback, IPv4-compatible, unique local,
        // link-local, site-local, multicast, or not given out.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn allowed(networks: &[&str]) -> AllowedNetworks {
        AllowedNetworks::new(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn only_public_addresses_are_permitted_unasked() {
        let none = AllowedNetworks::default();
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.1.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "2001:200::1",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(none.permits(public.parse().unwrap()), "{public}");
        }
        for refused in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:1ff::1",
            "2002:a00:1::1",
            "2002:101:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!none.permits(refused.parse().unwrap()), "{refused}");
        }
    }

    #[test]
    fn what_is_allowed_is_permitted_and_nothing_beside_it() {
        let some = allowed(&["10.1.0.0/16", "fd00:1::/32", "127.0.0.1"]);
        for permitted in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "fd00:1::9",
            "127.0.0.1",
            "1.1.1.1",
        ] {
            assert!(some.permits(permitted.parse().unwrap()), "{permitted}");
        }
        for refused in [
            "10.2.0.1",
            "fd00:2::1",
            "127.0.0.2",
            "::1",
            "169.254.169.254",
        ] {
            assert!(!some.permits(refused.parse().unwrap()), "{refused}");
        }
    }

    proptest! {
        /// In whatever clothes an IPv4 address comes, it is no more public than it is.
        #[test]
        fn clothes_change_nothing(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for dressed in [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                prop_assert!(!is_public(dressed.into()) || is_public(v4.into()), "{}", dressed);
            }
            let known = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                || v4.is_unspecified();
            prop_assert!(!known || !is_public(v4.into()));
        }
    }
}
