//! The public keys of somebody else: a JWK Set (RFC 7517 §5).

use super::json;
use super::key::{ForeignKey, ForeignKeyFault};
use super::{ForeignAlgorithm, JoseFault};
use serde_json::{Map, Value};
use writ_core::RegisteredKey;

/// Largest JWK Set that is read, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 64 * 1024;
/// Most keys of a JWK Set, those included that are of no use here.
pub const KEY_SET_KEYS_MAX: usize = 100;
/// Most keys that one signature is tried with: each costs up to a millisecond.
pub const KEYS_TRIED_MAX: usize = 4;

/// Why a text is no JWK Set that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// More than [`KEY_SET_BYTES_MAX`].
    #[error("larger than 64 KiB")]
    Oversized,
    /// More than [`KEY_SET_KEYS_MAX`].
    #[error("more than 100 keys")]
    TooMany,
    /// Not a JSON object with a list of `keys`, or with a member that is there twice.
    #[error("not a JWK Set: a JSON object with a list called keys, no member twice")]
    Malformed,
    /// One of its keys is none that can be used, or is one that nobody should see.
    #[error("key {at}: {fault}")]
    Key {
        /// Its place in the list, from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        fault: ForeignKeyFault,
    },
}

/// Public keys of one somebody.
#[derive(Clone, Debug, Default)]
pub struct ForeignKeys {
    keys: Vec<ForeignKey>,
    skipped: usize,
}

impl ForeignKeys {
    /// Reads a JWK Set that somebody else publishes. Keys that are of no use here or malformed are
    /// skipped (RFC 7517 §5), so that none may be left: one bad key among good ones must not keep
    /// everybody out. A private key refuses them all: whoever published it has lost them.
    ///
    /// # Errors
    /// It is over a limit or malformed, or a key in it is private or symmetric.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetFault> {
        let set = set_object(bytes)?;
        let mut found = Self::default();
        for (at, jwk) in key_list(&set)?.iter().enumerate() {
            match ForeignKey::from_jwk(jwk) {
                Ok(key) => found.keys.push(key),
                Err(fault @ ForeignKeyFault::Private) => {
                    return Err(KeySetFault::Key { at, fault });
                }
                Err(_) => found.skipped += 1,
            }
        }
        Ok(found)
    }

    /// Reads a JWK Set whose every key is to be used: who registers it learns what is wrong.
    ///
    /// # Errors
    /// It is over a limit or malformed, or a key in it is none that can be used.
    pub fn parse_strict(bytes: &[u8]) -> Result<Self, KeySetFault> {
        Self::strict(&set_object(bytes)?)
    }

    /// The same of JSON that is parsed already, from a body that has its own limit of bytes.
    ///
    /// # Errors
    /// It has too many keys or is no set, or a key in it is none that can be used.
    pub fn from_jwks_value(set: &Value) -> Result<Self, KeySetFault> {
        Self::strict(set.as_object().ok_or(KeySetFault::Malformed)?)
    }

    fn strict(set: &Map<String, Value>) -> Result<Self, KeySetFault> {
        let parse =
            |(at, jwk)| ForeignKey::from_jwk(jwk).map_err(|fault| KeySetFault::Key { at, fault });
        let keys = key_list(set)?.iter().enumerate().map(parse);
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self { keys, skipped: 0 })
    }

    /// Reads keys that were registered.
    ///
    /// # Errors
    /// One of them is none.
    pub fn from_registered(keys: &[RegisteredKey]) -> Result<Self, KeySetFault> {
        let parse = |(at, key)| {
            ForeignKey::from_registered(key).map_err(|fault| KeySetFault::Key { at, fault })
        };
        let keys = keys
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, skipped: 0 })
    }

    /// The keys, in their order.
    #[must_use]
    pub fn keys(&self) -> &[ForeignKey] {
        &self.keys
    }

    /// How many keys were of no use here.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether one of them goes by this name: if not, a newer set may have it.
    #[must_use]
    pub fn has_kid(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.is_named(kid))
    }

    /// The keys that may have signed what names this key, or none.
    ///
    /// # Errors
    /// There are none: [`JoseFault::KeyUnfit`] where that name is known, for other algorithms,
    /// [`JoseFault::KeyUnknown`] otherwise.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: ForeignAlgorithm,
    ) -> Result<Vec<&ForeignKey>, JoseFault> {
        let named = |key: &&ForeignKey| kid.is_none_or(|kid| key.is_named(kid));
        let keys = self.keys.iter().filter(named);
        let fit: Vec<_> = keys.filter(|key| key.fits(algorithm)).collect();
        match kid {
            _ if !fit.is_empty() => Ok(fit),
            Some(kid) if self.has_kid(kid) => Err(JoseFault::KeyUnfit),
            _ => Err(JoseFault::KeyUnknown),
        }
    }
}

fn set_object(bytes: &[u8]) -> Result<Map<String, Value>, KeySetFault> {
    if bytes.len() > KEY_SET_BYTES_MAX {
        return Err(KeySetFault::Oversized);
    }
    json::object(bytes).ok_or(KeySetFault::Malformed)
}

fn key_list(set: &Map<String, Value>) -> Result<&[Value], KeySetFault> {
    let list = set.get("keys").and_then(Value::as_array);
    let list = list.ok_or(KeySetFault::Malformed)?;
    if list.len() > KEY_SET_KEYS_MAX {
        return Err(KeySetFault::TooMany);
    }
    Ok(list)
}
