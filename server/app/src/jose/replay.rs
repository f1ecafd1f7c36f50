//! What must be remembered of a token so that it is taken once.

use sha2::{Digest, Sha256};
use writ_core::Millis;

/// A token that is taken once, as a store remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replay {
    /// SHA-256 over what kind of token it is, whose, and its `jti`: of one size however long those
    /// are, and nothing can be read from it.
    pub key: [u8; 32],
    /// From then on it is refused for its age, and can be forgotten.
    pub until: Millis,
}

impl Replay {
    pub(crate) fn new(kind: &str, owner: &[u8], jti: &str, until: Millis) -> Self {
        // Each part is led by its length: no two different triples are one text.
        let mut hash = Sha256::new();
        for part in [kind.as_bytes(), owner, jti.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let key = hash.finalize().into();
        Self { key, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_makes_another_key_and_none_runs_into_the_next() {
        let key = |kind, owner: &str, jti| Replay::new(kind, owner.as_bytes(), jti, Millis(0)).key;
        let keys = [
            key("a", "b", "c"),
            key("x", "b", "c"),
            key("a", "x", "c"),
            key("a", "b", "x"),
            key("ab", "", "c"),
            key("a", "bc", ""),
            key("", "ab", "c"),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(one), "{i}");
        }
        assert_eq!(keys[0], key("a", "b", "c"));
    }
}
