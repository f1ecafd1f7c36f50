//! Addresses and networks, small: what the standard library's types would add to a module is more
//! than most policies.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::settings::FromText;

/// An IPv4 or IPv6 address. An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is
/// the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ip {
    v6: bool,
    bits: u128,
}

/// The upper 96 bits of IPv4-mapped addresses (RFC 4291 §2.5.5.2).
const MAPPED: u128 = 0xffff;

impl Ip {
    /// Reads an address; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            let bits = v6(text)?;
            if bits >> 32 == MAPPED {
                return Some(Self {
                    v6: false,
                    bits: bits & 0xffff_ffff,
                });
            }
            return Some(Self { v6: true, bits });
        }
        let bits = v4(text)?.into();
        Some(Self { v6: false, bits })
    }

    fn width(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v6 {
            Ipv6Addr::from_bits(self.bits).fmt(to)
        } else {
            // An IPv4 address has its 32 bits by construction.
            Ipv4Addr::from_bits((self.bits & 0xffff_ffff) as u32).fmt(to)
        }
    }
}

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or a single address. Bits behind the prefix are
/// refused, since they are a slip more often than not. `::/0` has no IPv4 address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: Ip,
    prefix: u32,
}

impl Network {
    /// Whether the address is in the network.
    #[must_use]
    pub fn contains(&self, ip: Ip) -> bool {
        ip.v6 == self.base.v6 && (ip.bits ^ self.base.bits) & self.mask() == 0
    }

    /// The bits that count.
    fn mask(&self) -> u128 {
        let behind = self.base.width() - self.prefix;
        u128::MAX.checked_shl(behind).unwrap_or(0)
    }
}

impl FromText for Ip {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| [text, " is not an IP address"].concat())
    }
}

impl FromText for Network {
    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || {
            let expected = " is not a network: expected an address, or one with a prefix (/24)";
            [text, expected].concat()
        };
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(decimal(prefix, 3, 128).ok_or_else(wrong)?)),
            None => (text, None),
        };
        let written_as_v6 = base.contains(':');
        let base = Ip::parse(base).ok_or_else(wrong)?;
        let prefix = match prefix {
            None => base.width(),
            // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
            Some(prefix) if written_as_v6 && !base.v6 => {
                prefix.checked_sub(96).ok_or_else(wrong)?
            }
            Some(prefix) => prefix,
        };
        if prefix > base.width() {
            return Err(wrong());
        }
        let network = Self { base, prefix };
        if base.bits & !network.mask() != 0 {
            return Err([text, " has bits behind its prefix"].concat());
        }
        Ok(network)
    }
}

/// Up to `digits` digits, without leading zeros, at most `most`.
fn decimal(text: &str, digits: usize, most: u32) -> Option<u32> {
    let leading = text.len() > 1 && text.starts_with('0');
    if text.is_empty() || text.len() > digits || leading {
        return None;
    }
    let mut number = 0;
    for byte in text.bytes() {
        number = number * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    (number <= most).then_some(number)
}

fn v4(text: &str) -> Option<u32> {
    let mut bits = 0;
    let mut parts = 0;
    for part in text.split('.') {
        bits = bits << 8 | decimal(part, 3, 255)?;
        parts += 1;
        if parts > 4 {
            return None;
        }
    }
    (parts == 4).then_some(bits)
}

/// RFC 4291 §2.2: eight groups, `::` once for one or more of zeros, the last two as IPv4 if one
/// likes.
fn v6(text: &str) -> Option<u128> {
    let (front, back) = match text.split_once("::") {
        Some((front, back)) => (front, Some(back)),
        None => (text, None),
    };
    let (front_bits, front_groups) = groups(front, back.is_none())?;
    let Some(back) = back else {
        return (front_groups == 8).then_some(front_bits);
    };
    let (back_bits, back_groups) = groups(back, true)?;
    if front_groups + back_groups > 7 {
        return None;
    }
    let front_bits = front_bits.checked_shl(16 * (8 - front_groups)).unwrap_or(0);
    Some(front_bits | back_bits)
}

/// The groups of one side of `::`, as the lower bits, and how many they are.
fn groups(text: &str, v4_at_end: bool) -> Option<(u128, u32)> {
    let mut bits = 0_u128;
    let mut count = 0;
    if text.is_empty() {
        return Some((bits, count));
    }
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        if v4_at_end && parts.peek().is_none() && part.contains('.') {
            bits = bits << 32 | u128::from(v4(part)?);
            count += 2;
        } else {
            let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if part.is_empty() || part.len() > 4 || !hex {
                return None;
            }
            bits = bits << 16 | u128::from(u16::from_str_radix(part, 16).ok()?);
            count += 1;
        }
        if count > 8 {
            return None;
        }
    }
    Some((bits, count))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::IpAddr;

    use super::*;

    /// The standard library's reading, with mapped addresses as ours.
    fn standard(text: &str) -> Option<IpAddr> {
        text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    #[test]
    fn addresses_are_read_like_the_standard_library_reads_them() {
        let pieces = [
            "",
            "0",
            "1",
            "01",
            "255",
            "256",
            "10",
            "ffff",
            "10000",
            "g",
            ":",
            "::",
            ".",
            "/",
            "%",
            " ",
            "a:b",
            "1:2:3",
            "1.2.3.4",
            "1.2",
            "0:0:0:0:0",
            "::ffff:",
            "-1",
            "+1",
            "4294967296",
        ];
        let mut state = 7_u64;
        let mut valid = 0;
        for _ in 0..200_000 {
            let mut text = String::new();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut bits = state >> 20;
            for _ in 0..1 + bits % 9 {
                bits = bits.rotate_right(5) ^ state;
                text.push_str(pieces[bits as usize % pieces.len()]);
                if bits & 0x300 == 0 {
                    text.push(':');
                }
            }
            let ours = Ip::parse(&text).map(|ip| ip.to_string());
            let theirs = standard(&text).map(|ip| ip.to_string());
            assert_eq!(ours, theirs, "{text}");
            valid += u32::from(ours.is_some());
        }
        assert!(valid > 1_000, "only {valid} texts were addresses");
    }

    #[test]
    fn a_network_contains_what_its_prefix_says() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.4/30", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.9", "192.0.2.9", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::1", "::1", "::2"),
        ] {
            let read = Network::from_text(network).unwrap();
            assert!(
                read.contains(Ip::parse(inside).unwrap()),
                "{network} {inside}"
            );
            assert!(
                !read.contains(Ip::parse(outside).unwrap()),
                "{network} {outside}"
            );
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "/8",
            "2001:db8::1/32",
            "::/129",
            "::ffff:10.0.0.0/64",
            "office",
            "",
            "10.0.0.0/8/8",
        ] {
            assert!(Network::from_text(text).is_err(), "{text}");
        }
    }
}
