//! Addresses of requests, compared as RFC 9449 §4.3 says.

/// Whether two addresses are one, without their query and fragment (RFC 9449 §4.3, item 9), after
/// the normalisation of RFC 3986 §6.2.2 and §6.2.3: case of scheme, host and percent-encodings,
/// the default port, an empty path. Segments `.` and `..` are compared as they are: clients send
/// none, and what is not equal is refused.
pub(super) fn same(said: &str, is: &str) -> bool {
    match (Address::parse(said), Address::parse(is)) {
        (Some(said), Some(is)) => said == is,
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Address {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" if secure => 443,
            "" => 80,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            _ => return None,
        };
        if host.is_empty() || authority.contains('@') {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let path = decoded(path)?;
        Some(Self {
            secure,
            host,
            port,
            path,
        })
    }
}

/// A path in which unreserved characters stand for themselves and other percent-encodings are in
/// capitals (RFC 3986 §6.2.2.1, §6.2.2.2).
fn decoded(path: &str) -> Option<String> {
    let mut pieces = path.split('%');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc9449_4_3_addresses_that_are_one() {
        for (said, is) in [
            ("https://writ.example/token", "https://writ.example/token"),
            ("HTTPS://Writ.EXAMPLE/token", "https://writ.example/token"),
            (
                "https://writ.example:443/token",
                "https://writ.example/token",
            ),
            ("https://writ.example:/token", "https://writ.example/token"),
            ("http://writ.example:80/token", "http://writ.example/token"),
            (
                "https://writ.example/token?a=b",
                "https://writ.example/token",
            ),
            ("https://writ.example/token#f", "https://writ.example/token"),
            (
                "https://writ.example/token?",
                "https://writ.example/token?x",
            ),
            ("https://writ.example", "https://writ.example/"),
            ("https://writ.example?x", "https://writ.example/"),
            (
                "https://writ.example/%74o%6Ben",
                "https://writ.example/token",
            ),
            ("https://writ.example/a%2fb", "https://writ.example/a%2Fb"),
            ("https://[::1]:8443/token", "https://[::1]:8443/token"),
            ("https://[::1]/token", "https://[::1]:443/token"),
        ] {
            assert!(same(said, is) && same(is, said), "{said}");
        }
    }

    #[test]
    fn rfc9449_4_3_addresses_that_are_not() {
        for said in [
            "",
            "/token",
            "writ.example/token",
            "http://writ.example/token",
            "ftp://writ.example/token",
            "https://writ.example/",
            "https://writ.example/token/",
            "https://writ.example/Token",
            "https://writ.example//token",
            "https://writ.example/x/../token",
            "https://writ.example/token%2F",
            "https://writ.example/token%00",
            "https://writ.example/token%",
            "https://writ.example/token%zz",
            "https://writ.example/token%+1",
            "https://writ.example:8443/token",
            "https://writ.example:65979/token",
            "https://writ.example:+443/token",
            "https://writ.example.evil.example/token",
            "https://evil.example/token",
            "https://user@writ.example/token",
            "https://writ.example@evil.example/token",
            "https://evil.example#@writ.example/token",
            "https://evil.example\\@writ.example/token",
            "https://writ.example\\token",
            " https://writ.example/token",
            "https://writ.example/token ",
            "https://writ.example/to\tken",
            "https://wrıt.example/token",
            "https:///token",
            "https://:443/token",
        ] {
            assert!(!same(said, "https://writ.example/token"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn comparing_never_panics_and_what_is_read_is_itself(text in "(https?://)?[a-z:\\[\\]@.%?#/0-9é-]{0,30}") {
            prop_assert_eq!(same(&text, &text), Address::parse(&text).is_some());
        }
    }
}
