//! The Merkle tree of RFC 6962 §2.1, built leaf by leaf: only the right edge is in memory.

use sha2::{Digest, Sha256};

/// A hash in the tree.
pub type Hash = [u8; 32];

/// The root over the leaves pushed so far.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// The roots of the full subtrees, largest first: one for each bit of `size`.
    edge: Vec<Hash>,
}

impl Tree {
    /// Adds a leaf with these bytes.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash: Hash = Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into();
        let mut size = self.size;
        while size & 1 == 1 {
            if let Some(left) = self.edge.pop() {
                hash = node(&left, &hash);
            }
            size >>= 1;
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root. That of an empty tree is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut edge = self.edge.iter().rev();
        match edge.next() {
            None => Sha256::digest([]).into(),
            Some(last) => edge.fold(*last, |right, left| node(left, &right)),
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_core::codec::hex;

    /// The definition of RFC 6962 §2.1, word for word.
    fn reference(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => Sha256::new()
                .chain_update([0])
                .chain_update(leaf)
                .finalize()
                .into(),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node(&reference(&leaves[..split]), &reference(&leaves[split..]))
            }
        }
    }

    #[test]
    fn equals_the_definition() {
        let leaves: Vec<Vec<u8>> = (0..70u8).map(|n| vec![n; usize::from(n)]).collect();
        let mut tree = Tree::default();
        for n in 0..leaves.len() {
            assert_eq!(tree.root(), reference(&leaves[..n]), "{n} leaves");
            assert_eq!(tree.size(), n as u64);
            tree.push(&leaves[n]);
        }
    }

    /// Known answers of the Certificate Transparency implementations.
    #[test]
    fn equals_known_roots() {
        let mut tree = Tree::default();
        assert_eq!(
            hex(&tree.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        tree.push(b"");
        assert_eq!(
            hex(&tree.root()),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        for leaf in [&[0x00][..], &[0x10], &[0x20, 0x21], &[0x30, 0x31]] {
            tree.push(leaf);
        }
        tree.push(&[0x40, 0x41, 0x42, 0x43]);
        tree.push(&[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57]);
        tree.push(&(0x60..=0x6f).collect::<Vec<u8>>());
        assert_eq!(
            hex(&tree.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }
}
