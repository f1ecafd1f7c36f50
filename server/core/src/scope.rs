//! Scopes: their names (RFC 6749 §3.3) and compact sets of one API resource's scopes.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a scope, a `scope-token` of RFC 6749 §3.3: printable ASCII but space, `"` and `\`.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ScopeName(Arc<str>);

/// The text is not a scope name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a scope name: 1 to {} printable ASCII characters without space, quote or backslash (RFC 6749 §3.3)",
    crate::limits::SCOPE_NAME_BYTES
)]
pub struct ParseScopeError;

impl ScopeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ScopeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScopeName {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        let fits = (1..=crate::limits::SCOPE_NAME_BYTES).contains(&text.len());
        let clean = text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if fits && clean {
            Ok(Self(text.into()))
        } else {
            Err(ParseScopeError)
        }
    }
}

impl<'de> Deserialize<'de> for ScopeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::codec::from_text(deserializer)
    }
}

/// A set of scopes of one API resource, as bits: each scope has a number there that is never used
/// again. The first 64 need no allocation, which is what keeps a million applications small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeBits {
    low: u64,
    /// Words after the first.
    // INVARIANT: never empty, and the last word is never zero, so that equal sets compare equal.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes in a million grants instead of 24"
    )]
    high: Option<Box<Vec<u64>>>,
}

impl ScopeBits {
    /// Adds one scope by its number.
    pub fn insert(&mut self, bit: u16) {
        match usize::from(bit) / 64 {
            0 => self.low |= 1 << bit,
            word => {
                let high = self.high.get_or_insert_default();
                if high.len() < word {
                    high.resize(word, 0);
                }
                high[word - 1] |= 1 << (bit % 64);
            }
        }
    }

    /// Takes one scope out by its number.
    pub fn remove(&mut self, bit: u16) {
        match usize::from(bit) / 64 {
            0 => self.low &= !(1 << bit),
            word => {
                if let Some(slot) = self.high.as_mut().and_then(|high| high.get_mut(word - 1)) {
                    *slot &= !(1 << (bit % 64));
                }
                self.trim();
            }
        }
    }

    /// Whether the scope with this number is in the set.
    #[must_use]
    pub fn contains(&self, bit: u16) -> bool {
        self.word(usize::from(bit) / 64) >> (bit % 64) & 1 == 1
    }

    /// Whether the set has no scope.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_none()
    }

    /// Whether every scope here is in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        (0..self.word_count()).all(|i| self.word(i) & !other.word(i) == 0)
    }

    /// The scopes in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// The scopes in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// The numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.word_count()).flat_map(move |i| {
            let word = self.word(i);
            (0..64u16)
                .filter(move |b| word >> b & 1 == 1)
                .map(move |b| i as u16 * 64 + b)
        })
    }

    /// The set with these words of bits, the first of which is alone.
    pub(crate) fn from_words(low: u64, high: &[u64]) -> Self {
        Self {
            low,
            high: (!high.is_empty()).then(|| Box::new(high.to_vec())),
        }
    }

    /// The first 64 numbers as bits, and the rest as words of bits.
    pub(crate) fn words(&self) -> (u64, &[u64]) {
        (self.low, self.high.as_ref().map_or(&[], |high| high))
    }

    fn word_count(&self) -> usize {
        1 + self.high.as_ref().map_or(0, |high| high.len())
    }

    fn word(&self, i: usize) -> u64 {
        match i {
            0 => self.low,
            _ => self
                .high
                .as_ref()
                .and_then(|high| high.get(i - 1))
                .copied()
                .unwrap_or(0),
        }
    }

    fn combine(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let words = self.word_count().max(other.word_count());
        let low = op(self.low, other.low);
        if words == 1 {
            return Self { low, high: None };
        }
        let high: Vec<u64> = (1..words)
            .map(|i| op(self.word(i), other.word(i)))
            .collect();
        let mut set = Self {
            low,
            high: Some(Box::new(high)),
        };
        set.trim();
        set
    }

    fn trim(&mut self) {
        if let Some(high) = &mut self.high {
            while high.last() == Some(&0) {
                high.pop();
            }
            if high.is_empty() {
                self.high = None;
            }
        }
    }
}

impl Serialize for ScopeBits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ScopeBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u16>::deserialize(deserializer).map(Self::from_iter)
    }
}

impl FromIterator<u16> for ScopeBits {
    fn from_iter<I: IntoIterator<Item = u16>>(bits: I) -> Self {
        let mut set = Self::default();
        bits.into_iter().for_each(|bit| set.insert(bit));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_set;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(set: &BTreeSet<u16>) -> ScopeBits {
        set.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn bits_behave_as_a_set(a in btree_set(0u16..300, 0..20), b in btree_set(0u16..300, 0..20)) {
            prop_assert_eq!(&bits(&a).iter().collect::<BTreeSet<_>>(), &a);
            prop_assert_eq!(bits(&a).union(&bits(&b)), bits(&(&a | &b)));
            prop_assert_eq!(bits(&a).intersection(&bits(&b)), bits(&(&a & &b)));
            prop_assert_eq!(bits(&a).is_subset(&bits(&b)), a.is_subset(&b));
            prop_assert_eq!(bits(&a).is_empty(), a.is_empty());
            let mut rest = bits(&a);
            b.iter().for_each(|&bit| rest.remove(bit));
            prop_assert_eq!(rest, bits(&(&a - &b)));
            prop_assert!(a.iter().all(|&bit| bits(&a).contains(bit)));
        }

        #[test]
        fn names_are_scope_tokens(text in "\\PC{0,8}") {
            let ours = text.parse::<ScopeName>().is_ok();
            let rfc = !text.is_empty()
                && text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\');
            prop_assert_eq!(ours, rfc);
        }
    }

    #[test]
    fn a_set_of_low_scopes_is_16_bytes() {
        assert_eq!(size_of::<ScopeBits>(), 16);
    }
}
