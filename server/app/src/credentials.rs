//! Client secrets, and the tokens of dynamic client registration (RFC 7591, RFC 7592): made here,
//! shown once, and kept as a digest only.
//!
//! A secret is `writ_`, 43 base64url characters of 256 random bits, and a checksum of six base62
//! characters. The prefix and the checksum are for scanners that look for leaked secrets: they
//! find ours and nothing else. `writ_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}` matches one. An initial
//! access token begins with `writ_iat_` and a registration access token with `writ_rat_`. Guessing
//! 256 bits is hopeless, so SHA-256 is the right digest: a slow one would buy nothing and cost
//! milliseconds for each token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::Random;

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "writ_";
/// How long a client secret is, in bytes.
pub const SECRET_LEN: usize = SECRET_PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;

/// What a secret is for. Its prefix says so, to people and to scanners; nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The secret of an application.
    ClientSecret,
    /// A token by which applications register themselves.
    InitialAccessToken,
    /// A token by which an application manages its registration.
    RegistrationAccessToken,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::ClientSecret,
        Self::InitialAccessToken,
        Self::RegistrationAccessToken,
    ];

    /// What secrets of this kind begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ClientSecret => SECRET_PREFIX,
            Self::InitialAccessToken => "writ_iat_",
            Self::RegistrationAccessToken => "writ_rat_",
        }
    }
}

const RANDOM_BYTES: usize = 32;
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// A client secret in the clear. It cannot be cloned, shown by `Debug` or serialised; it is wiped
/// when dropped. [`Self::expose`] is the one way to its text.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Makes a client secret of 256 random bits.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        Self::of(Kind::ClientSecret, random)
    }

    /// Makes a secret of 256 random bits.
    #[must_use]
    pub fn of(kind: Kind, random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0u8; RANDOM_BYTES]);
        random.fill(bytes.as_mut());
        // The capacity is exact, so that no copy is left behind by growing.
        let length = kind.prefix().len() + RANDOM_CHARS + CHECKSUM_CHARS;
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(bytes.as_ref(), &mut text);
        let mut checksum = base62(crc32(text.as_bytes()));
        for digit in checksum {
            text.push(char::from(digit));
        }
        checksum.zeroize();
        Self(text)
    }

    /// The text: for the answer that shows it, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The digest of a secret somebody presents: SHA-256 of its bytes, whatever they are.
#[must_use]
pub fn digest(presented_secret: &[u8]) -> [u8; 32] {
    Sha256::digest(presented_secret).into()
}

/// Whether two digests are equal, in time that does not depend on where they differ.
#[must_use]
pub fn digests_match(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// Whether a text has the form and the checksum of a secret. This is for tools that look for
/// leaked secrets; authentication compares digests and never asks this.
#[must_use]
pub fn looks_like_secret(text: &str) -> bool {
    Kind::ALL.into_iter().any(|kind| looks_like(kind, text))
}

fn looks_like(kind: Kind, text: &str) -> bool {
    let Some((body, checksum)) = text.split_at_checked(kind.prefix().len() + RANDOM_CHARS) else {
        return false;
    };
    let Some(random) = body.strip_prefix(kind.prefix()) else {
        return false;
    };
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    random.bytes().all(base64url) && checksum.as_bytes() == base62(crc32(body.as_bytes()))
}

/// Whether a text has a secret of ours or a token in it, whole or in part: for what is about to be
/// kept and came from outside. It rather says so once too often: a secret with a letter missing is
/// nearly a secret.
#[must_use]
pub fn hides_secret(text: &str) -> bool {
    // `{"` in base64: what every JWT and JWE begins with.
    hides_own_secret(text) || text.contains("eyJ")
}

/// The same for a secret of ours alone.
#[must_use]
pub fn hides_own_secret(text: &str) -> bool {
    // Half of the random part is more than anybody should learn.
    const TOO_MUCH: usize = RANDOM_CHARS / 2;
    let base64url = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_';
    text.match_indices(SECRET_PREFIX).any(|(at, prefix)| {
        let rest = &text.as_bytes()[at + prefix.len()..];
        rest.iter().take_while(|b| base64url(b)).count() >= TOO_MUCH
    })
}

/// CRC-32 as in zip and PNG (ISO 3309), bit by bit: speed is no matter here.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// Six digits in base 62 (`0-9A-Za-z`), the most significant first: room for 35 bits.
fn base62(mut value: u32) -> [u8; CHECKSUM_CHARS] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; CHECKSUM_CHARS];
    for slot in out.iter_mut().rev() {
        *slot = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SeededRandom, SystemRandom};

    #[test]
    fn a_secret_is_recognisable_and_its_digest_is_of_the_whole_text() {
        let secret = Secret::generate(&SystemRandom);
        let text = secret.expose();
        assert_eq!(text.len(), SECRET_LEN);
        assert_eq!(text.len(), 54);
        assert!(text.starts_with("writ_"));
        assert!(looks_like_secret(text));
        assert!(digests_match(&secret.digest(), &digest(text.as_bytes())));
        assert!(!digests_match(
            &secret.digest(),
            &digest(&text.as_bytes()[..53])
        ));
        assert_ne!(Secret::generate(&SystemRandom).expose(), text);
    }

    #[test]
    fn the_form_of_a_secret_stays_as_it_is() {
        // Scanners know this form: it must not change.
        let secret = Secret::generate(&SeededRandom::new(1));
        assert_eq!(
            secret.expose(),
            "writ_eDglgipvnmLaIZDoKOTJ0lduWXfjoLNiCwkt-56Zlvo2mbcjR"
        );
    }

    #[test]
    fn one_changed_character_is_noticed() {
        let secret = Secret::generate(&SeededRandom::new(2));
        for at in 0..SECRET_LEN {
            let mut other = secret.expose().as_bytes().to_vec();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            let other = String::from_utf8(other).unwrap_or_default();
            assert!(!looks_like_secret(&other), "{at}");
        }
        for text in ["", "writ_", "writ_é", &"é".repeat(27), &"w".repeat(48)] {
            assert!(!looks_like_secret(text), "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_in_what_is_around_it_and_when_some_is_missing() {
        let secret = Secret::generate(&SeededRandom::new(3));
        let secret = secret.expose();
        for text in [
            secret,
            &secret[..40],
            &secret[..SECRET_LEN - 1],
            &format!("{secret}x"),
            &format!("courses:read,{secret}"),
            &format!("https://x.example/?s={secret}"),
            &format!("writ_{secret}"),
            "eyJhbGciOiJub25lIn0.e30.",
            "Bearer:eyJhbGciOiJub25lIn0",
        ] {
            assert!(hides_secret(text), "{text}");
        }
        for text in [
            "",
            "writ_",
            "courses:read",
            "writ_team:read",
            "urn:writ:x",
            "é_writ_é",
        ] {
            assert!(!hides_secret(text), "{text}");
        }
    }

    #[test]
    fn a_kind_is_told_by_its_prefix_and_found_by_scanners() {
        for kind in Kind::ALL {
            let secret = Secret::of(kind, &SystemRandom);
            let text = secret.expose();
            let found = Kind::ALL.into_iter().filter(|it| looks_like(*it, text));
            assert_eq!(found.collect::<Vec<_>>(), [kind]);
            assert!(text.starts_with(kind.prefix()));
            assert!(looks_like_secret(text) && hides_secret(text));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", Secret::generate(&SystemRandom)),
            "Secret(redacted)"
        );
    }

    #[test]
    fn checksums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
        assert_eq!(&base62(61), b"00000z");
    }
}
