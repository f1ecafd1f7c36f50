//! Identifiers. Each is parsed once at the door and trusted afterwards; each has exactly one
//! spelling, so that two spellings can never name one thing.

use std::fmt;
use std::str::FromStr;

/// The text is not an identifier of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this kind")]
pub struct ParseIdError;

/// Crockford's alphabet in lower case: no i, l, o, u, so nothing is misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const TEXT_LEN: usize = 26;

fn write_base32(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; TEXT_LEN];
    for (i, slot) in text.iter_mut().enumerate() {
        let shift = 5 * (TEXT_LEN - 1 - i);
        *slot = ALPHABET[((value >> shift) & 31) as usize];
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn parse_base32(text: &str) -> Result<u128, ParseIdError> {
    let bytes = text.as_bytes();
    if bytes.len() != TEXT_LEN || bytes[0] > b'7' {
        return Err(ParseIdError);
    }
    bytes.iter().try_fold(0u128, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'h' => byte - b'a' + 10,
            b'j' | b'k' => byte - b'j' + 18,
            b'm' | b'n' => byte - b'm' + 20,
            b'p'..=b't' => byte - b'p' + 22,
            b'v'..=b'z' => byte - b'v' + 27,
            _ => return Err(ParseIdError),
        };
        Ok((value << 5) | u128::from(digit))
    })
}

/// The form of a value in JSON is its text.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::codec::from_text(deserializer)
            }
        }
    };
}

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        // Aligned as a word: as keys of a million applications they would take a third more.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(Rust, packed(8))]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_base32(text).map(Self)
            }
        }

        text_serde!($name);
    };
}

wide_id!(
    /// An application. It is the `client_id` on the OAuth wire (RFC 6749 §2.2).
    ApplicationId
);
wide_id!(
    /// A client secret of an application: names the secret, is not the secret.
    SecretId
);
wide_id!(
    /// One command: its events carry it, so that they can be read as one change.
    CommandId
);
wide_id!(
    /// One event: a UUIDv7.
    EventId
);

/// The `jti` of a token (RFC 7519 §4.1.7): a UUIDv7, in the usual hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct Jti(pub u128);

impl Jti {
    /// The moment in the identifier (RFC 9562 §5.7).
    #[must_use]
    pub fn millis(self) -> crate::Millis {
        crate::Millis((self.0 >> 80) as u64)
    }
}

impl fmt::Display for Jti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            v >> 96,
            (v >> 80) & 0xffff,
            (v >> 64) & 0xffff,
            (v >> 48) & 0xffff,
            v & 0xffff_ffff_ffff
        )
    }
}

impl FromStr for Jti {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ParseIdError);
        }
        let mut value = 0u128;
        for (i, &byte) in bytes.iter().enumerate() {
            let digit = match byte {
                b'-' if matches!(i, 8 | 13 | 18 | 23) => continue,
                _ if matches!(i, 8 | 13 | 18 | 23) => return Err(ParseIdError),
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return Err(ParseIdError),
            };
            value = (value << 4) | u128::from(digit);
        }
        Ok(Self(value))
    }
}

text_serde!(Jti);
pub(crate) use text_serde;

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.strip_prefix($prefix).ok_or(ParseIdError)?;
                // One spelling only: no sign, no leading zero.
                match digits.as_bytes() {
                    [b'0'] | [b'1'..=b'9', ..] => digits.parse().map(Self).map_err(|_| ParseIdError),
                    _ => Err(ParseIdError),
                }
            }
        }

        text_serde!($name);
    };
}

numbered_id!(
    /// An API resource: numbered by `decide` in the order of creation, never reused.
    ApiId,
    "api_"
);
numbered_id!(
    /// A role: numbered by `decide` in the order of creation, never reused.
    RoleId,
    "role_"
);
numbered_id!(
    /// A binding of a policy: numbered by `decide` in the order of creation, never reused.
    BindingId,
    "binding_"
);
numbered_id!(
    /// A trusted issuer: numbered by `decide` in the order of creation, never reused.
    IssuerId,
    "issuer_"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_has_one_spelling(value: u128, number: u32, text in "[ -~]{0,40}") {
            prop_assert_eq!(ApplicationId(value).to_string().parse(), Ok(ApplicationId(value)));
            prop_assert_eq!(Jti(value).to_string().parse(), Ok(Jti(value)));
            prop_assert_eq!(ApiId(number).to_string().parse(), Ok(ApiId(number)));
            if let Ok(id) = text.parse::<ApplicationId>() { prop_assert_eq!(id.to_string(), text.clone()); }
            if let Ok(id) = text.parse::<RoleId>() { prop_assert_eq!(id.to_string(), text); }
        }

        #[test]
        fn almost_an_id_is_none(value: u128, at in 0usize..26, byte in any::<char>()) {
            let mut text: Vec<char> = ApplicationId(value).to_string().chars().collect();
            text[at] = byte;
            let text: String = text.into_iter().collect();
            if let Ok(id) = text.parse::<ApplicationId>() { prop_assert_eq!(id.to_string(), text); }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "api_",
            "api_01",
            "api_+1",
            "api_-1",
            "api_4294967296",
            "API_1",
        ] {
            assert_eq!(text.parse::<ApiId>(), Err(ParseIdError), "{text}");
        }
        let upper = ApplicationId(u128::MAX).to_string().to_uppercase();
        assert_eq!(upper.parse::<ApplicationId>(), Err(ParseIdError));
        assert_eq!(
            "8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ApplicationId>(),
            Err(ParseIdError)
        );
    }
}
