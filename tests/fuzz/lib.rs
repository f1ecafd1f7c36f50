//! What the targets share: texts that read back as they were shown, and a key to sign with.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::str::FromStr;
use writ_core::Millis;

/// The time in all targets that need one.
pub const NOW: Millis = Millis(1_800_000_000_000);

/// Asserts that what is read from a text reads back as the same from what it is shown as.
pub fn reads_back<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let read: T = text.parse().ok()?;
    let shown = read.to_string();
    match shown.parse() {
        Ok(again) => assert_eq!(read, again, "shown as {shown:?}"),
        Err(_) => panic!("{read:?} is shown as {shown:?}, which does not read back"),
    }
    Some(read)
}

/// The same of what has one spelling only.
pub fn has_one_spelling<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let read: T = reads_back(text)?;
    assert_eq!(read.to_string(), text);
    Some(read)
}

/// A file of this process alone, in the directory for temporary files.
pub fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("writ-fuzz-{}-{name}", std::process::id()))
}

/// A key that signs whatever a target wants. Nothing that was read may be signed by it unless the
/// target signed it.
pub struct Key {
    pair: Ed25519KeyPair,
    /// The key itself, in PKCS#8 (RFC 8410 §7).
    pub pkcs8: Vec<u8>,
}

impl Key {
    /// The key of a number.
    pub fn new(number: u8) -> Self {
        let seed = [number; 32];
        let mut pkcs8 =
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        pkcs8.extend_from_slice(&seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a key");
        Self { pair, pkcs8 }
    }

    /// Its public part, in base64url: the `x` of a JWK (RFC 8037 §2).
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    /// A JWK Set of it alone, without a name.
    pub fn jwks(&self) -> String {
        let x = self.x();
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#)
    }

    /// A JWS in the compact form (RFC 7515 §7.1), whatever its parts are.
    pub fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let header = URL_SAFE_NO_PAD.encode(header);
        let claims = URL_SAFE_NO_PAD.encode(claims);
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}
