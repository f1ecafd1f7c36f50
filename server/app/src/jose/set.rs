//! The public keys of somebody else: a JWK Set (RFC 7517 §5).

use super::json;
use super::key::{ForeignKey, ForeignKeyFault};
use super::{ForeignAlgorithm, JoseFault};
use serde_json::Value;
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
    /// One of its keys is none, or is one that nobody should see.
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
    /// Reads a JWK Set. Keys of a kind, size or purpose that is of no use here are skipped (RFC
    /// 7517 §5), so that none may be left.
    ///
    /// # Errors
    /// It is over a limit or malformed, or a key in it is malformed or private.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetFault> {
        if bytes.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetFault::Oversized);
        }
        let set = json::object(bytes).ok_or(KeySetFault::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array);
        let list = list.ok_or(KeySetFault::Malformed)?;
        if list.len() > KEY_SET_KEYS_MAX {
            return Err(KeySetFault::TooMany);
        }
        let mut found = Self::default();
        for (at, jwk) in list.iter().enumerate() {
            match ForeignKey::from_jwk(jwk) {
                Ok(key) => found.keys.push(key),
                Err(fault) if fault.is_skipped() => found.skipped += 1,
                Err(fault) => return Err(KeySetFault::Key { at, fault }),
            }
        }
        Ok(found)
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

    /// The keys that may have signed what names this key, or none; never more than
    /// [`KEYS_TRIED_MAX`].
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
        let fit = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(algorithm));
        let fit: Vec<_> = fit.take(KEYS_TRIED_MAX).collect();
        match kid {
            _ if !fit.is_empty() => Ok(fit),
            Some(kid) if self.has_kid(kid) => Err(JoseFault::KeyUnfit),
            _ => Err(JoseFault::KeyUnknown),
        }
    }
}
