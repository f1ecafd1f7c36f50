//! What is found by a name that a request brings: scopes and API resources. A token asks for some of
//! them, and a map of texts would follow a pointer for each comparison on the way to one. So a hash of
//! the name stands before it, and texts are compared where the hashes are equal: once, as a rule.

use equivalent::Comparable;
use imbl::OrdMap;
use std::borrow::Borrow;
use std::cmp::Ordering;

/// Values by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names<K: Ord, V>(OrdMap<Hashed<K>, V>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed<K> {
    hash: u64,
    name: K,
}

/// A name that is looked for.
struct Wanted<'a> {
    hash: u64,
    name: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(name: &'a str) -> Self {
        let hash = hash(name);
        Self { hash, name }
    }
}

impl<K: Borrow<str>> equivalent::Equivalent<Hashed<K>> for Wanted<'_> {
    fn equivalent(&self, key: &Hashed<K>) -> bool {
        self.compare(key).is_eq()
    }
}

impl<K: Borrow<str>> Comparable<Hashed<K>> for Wanted<'_> {
    fn compare(&self, key: &Hashed<K>) -> Ordering {
        let hashes = self.hash.cmp(&key.hash);
        hashes.then_with(|| self.name.cmp(key.name.borrow()))
    }
}

/// The same for the same text, in every process. Names are given by administrators: those that would
/// be made to have one hash are compared as texts, as all were before.
fn hash(name: &str) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let begin = FACTOR ^ name.len() as u64;
    name.as_bytes().chunks(8).fold(begin, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    })
}

impl<K: Ord, V> Default for Names<K, V> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<K: Ord + Clone + Borrow<str>, V: Clone> Names<K, V> {
    /// What has a name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.0.get(&Wanted::new(name))
    }

    /// Gives something a name, and takes it from what had it.
    pub(super) fn insert(&mut self, name: K, value: V) {
        let hash = hash(name.borrow());
        self.0.insert(Hashed { hash, name }, value);
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(&Wanted::new(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScopeName;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn names_behave_as_a_map(steps in prop::collection::vec(("[a-c]{1,3}|[a-z:]{1,30}", any::<Option<u8>>()), 0..80)) {
            let (mut names, mut map) = (Names::default(), BTreeMap::new());
            for (name, value) in steps {
                let parsed: ScopeName = name.parse().expect("a name");
                match value {
                    Some(value) => {
                        names.insert(parsed, value);
                        map.insert(name.clone(), value);
                    }
                    None => {
                        names.remove(&name);
                        map.remove(&name);
                    }
                }
                for known in map.keys().chain([&name]) {
                    prop_assert_eq!(names.get(known), map.get(known));
                }
            }
        }
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let key = |name: &'static str| Hashed { hash: 7, name };
        let names = OrdMap::from_iter([(key("a"), 1), (key("b"), 2)]);
        for (name, value) in [("a", Some(&1)), ("b", Some(&2)), ("c", None)] {
            assert_eq!(names.get(&Wanted { hash: 7, name }), value);
        }
        assert_ne!(hash("courses:read"), hash("courses:reae"));
        assert_ne!(hash("a"), hash("a\0"), "a zero is no end of a name");
    }
}
