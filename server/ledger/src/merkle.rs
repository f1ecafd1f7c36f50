//! The Merkle tree of RFC 6962 §2.1: its root leaf by leaf, proofs of it, and their verification.
//!
//! [`Tree`] has the right edge only: a root costs log₂ n hashes. [`LogTree`] keeps besides the root
//! of each full subtree of [`TILE`] leaves, 32 bytes for 256 events; with the leaves of at most a
//! few such subtrees, which it asks its caller for, it proves anything about any size it ever had.

use sha2::{Digest, Sha256};
use std::ops::Range;

/// A hash in the tree.
pub type Hash = [u8; 32];

/// How many leaves the subtrees have whose roots are kept, as the tiles of C2SP tlog-tiles.
pub const TILE: u64 = 256;

/// The hash of a leaf (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The hash of an inner node (RFC 6962 §2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

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
        self.push_hash(leaf_hash(leaf));
    }

    /// Adds a leaf with this [`leaf_hash`].
    pub fn push_hash(&mut self, mut hash: Hash) {
        let mut size = self.size;
        while size & 1 == 1 {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
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
        root_of(self.edge.iter())
    }
}

/// The root over full subtrees, largest first. That of no tree is the hash of nothing.
fn root_of<'a>(subtrees: impl DoubleEndedIterator<Item = &'a Hash>) -> Hash {
    let mut edge = subtrees.rev();
    match edge.next() {
        None => Sha256::digest([]).into(),
        Some(last) => edge.fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// A tree that can prove things.
#[derive(Clone, Debug, Default)]
pub struct LogTree {
    /// The roots of the full tiles.
    tiles: Vec<Hash>,
    /// The tree whose leaves these are.
    full: Tree,
    /// The tree of the leaves since the last full tile.
    partial: Tree,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError<E> {
    /// The tree never had that size, or has no such leaf.
    #[error("the log has {size} events")]
    OutOfRange {
        /// Its size.
        size: u64,
    },
    /// The leaves cannot be had.
    #[error(transparent)]
    Leaves(#[from] E),
}

impl LogTree {
    /// Adds a leaf with this [`leaf_hash`].
    pub fn push_hash(&mut self, hash: Hash) {
        self.partial.push_hash(hash);
        if self.partial.size() == TILE {
            let root = std::mem::take(&mut self.partial).root();
            self.tiles.push(root);
            self.full.push_hash(root);
        }
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.full.size() * TILE + self.partial.size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of(self.full.edge.iter().chain(&self.partial.edge))
    }

    /// The root it had at a size. `leaves` answers the hashes of a range of leaves, at most
    /// [`TILE`] of them.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn root_at<E>(
        &self,
        size: u64,
        leaves: impl FnMut(Range<u64>) -> Result<Vec<Hash>, E>,
    ) -> Result<Hash, ProofError<E>> {
        self.check(size)?;
        let mut prover = Prover { tree: self, leaves };
        Ok(prover.root(0..size)?)
    }

    /// The audit path of a leaf in the tree of a size (RFC 6962 §2.1.1).
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn inclusion<E>(
        &self,
        leaf: u64,
        size: u64,
        leaves: impl FnMut(Range<u64>) -> Result<Vec<Hash>, E>,
    ) -> Result<Vec<Hash>, ProofError<E>> {
        self.check(size)?;
        if leaf >= size {
            return Err(ProofError::OutOfRange { size });
        }
        let mut prover = Prover { tree: self, leaves };
        let mut path = Vec::new();
        let mut range = 0..size;
        while range.end - range.start > 1 {
            let middle = split(&range);
            let (near, far) = match leaf < middle {
                true => (range.start..middle, middle..range.end),
                false => (middle..range.end, range.start..middle),
            };
            path.push(prover.root(far)?);
            range = near;
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree of size `old` is the beginning of the tree of size `new`
    /// (RFC 6962 §2.1.2). Empty when they are the same, or the old one is.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn consistency<E>(
        &self,
        old: u64,
        new: u64,
        leaves: impl FnMut(Range<u64>) -> Result<Vec<Hash>, E>,
    ) -> Result<Vec<Hash>, ProofError<E>> {
        self.check(new)?;
        if old > new {
            return Err(ProofError::OutOfRange { size: new });
        }
        let mut proof = Vec::new();
        if old == 0 || old == new {
            return Ok(proof);
        }
        let mut prover = Prover { tree: self, leaves };
        let mut range = 0..new;
        // As long as the old tree ends in the right part, its left part is whole in both.
        while range.end != old {
            let middle = split(&range);
            if old <= middle {
                proof.push(prover.root(middle..range.end)?);
                range.end = middle;
            } else {
                proof.push(prover.root(range.start..middle)?);
                range.start = middle;
            }
        }
        if range.start != 0 {
            proof.push(prover.root(range)?);
        }
        proof.reverse();
        Ok(proof)
    }

    fn check<E>(&self, size: u64) -> Result<(), ProofError<E>> {
        match size <= self.size() {
            true => Ok(()),
            false => Err(ProofError::OutOfRange { size: self.size() }),
        }
    }
}

/// Where the tree over a range of more than one leaf is split: at the largest power of two that is
/// smaller than its length.
fn split(range: &Range<u64>) -> u64 {
    let length = range.end - range.start;
    range.start + length.next_power_of_two() / 2
}

struct Prover<'a, F> {
    tree: &'a LogTree,
    leaves: F,
}

impl<E, F: FnMut(Range<u64>) -> Result<Vec<Hash>, E>> Prover<'_, F> {
    /// The root over a range that splitting the whole led to: up to [`TILE`] leaves of it lie in
    /// one tile, and more begin where a tile does.
    fn root(&mut self, range: Range<u64>) -> Result<Hash, E> {
        let length = range.end - range.start;
        if length > TILE {
            let middle = split(&range);
            let left = self.root(range.start..middle)?;
            let right = self.root(middle..range.end)?;
            return Ok(node_hash(&left, &right));
        }
        if length == TILE {
            let tile = usize::try_from(range.start / TILE).unwrap_or(usize::MAX);
            if let Some(root) = self.tree.tiles.get(tile) {
                return Ok(*root);
            }
        }
        let mut tree = Tree::default();
        for hash in (self.leaves)(range)? {
            tree.push_hash(hash);
        }
        Ok(tree.root())
    }
}

/// Whether a leaf is in the tree with this size and root (RFC 9162 §2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, root: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(other, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether a tree is the beginning of another (RFC 9162 §2.1.4.2).
#[must_use]
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return proof.is_empty() && *old_root == Tree::default().root();
    }
    let mut hashes = proof.iter();
    let first = match old_size.is_power_of_two() {
        true => Some(old_root),
        false => hashes.next(),
    };
    let Some(first) = first else {
        return false;
    };
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for other in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(other, &old_hash);
            new_hash = node_hash(other, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::convert::Infallible;
    use writ_core::codec::hex;

    /// The definition of RFC 6962 §2.1, word for word.
    fn reference(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&reference(&leaves[..split]), &reference(&leaves[split..]))
            }
        }
    }

    /// The definition of PATH (RFC 6962 §2.1.1), word for word.
    fn reference_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (near, far) = match m < k {
            true => (reference_path(m, &leaves[..k]), &leaves[k..]),
            false => (reference_path(m - k, &leaves[k..]), &leaves[..k]),
        };
        [near, vec![reference(far)]].concat()
    }

    /// The definition of SUBPROOF (RFC 6962 §2.1.2), word for word.
    fn reference_proof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole {
                Vec::new()
            } else {
                vec![reference(leaves)]
            };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (near, far) = match m <= k {
            true => (reference_proof(m, &leaves[..k], whole), &leaves[k..]),
            false => (reference_proof(m - k, &leaves[k..], false), &leaves[..k]),
        };
        [near, vec![reference(far)]].concat()
    }

    fn leaves(count: u16) -> Vec<Vec<u8>> {
        (0..count).map(|n| n.to_be_bytes().to_vec()).collect()
    }

    fn log_tree(leaves: &[Vec<u8>]) -> LogTree {
        let mut tree = LogTree::default();
        leaves
            .iter()
            .for_each(|leaf| tree.push_hash(leaf_hash(leaf)));
        tree
    }

    fn hashes(leaves: &[Vec<u8>]) -> impl FnMut(Range<u64>) -> Result<Vec<Hash>, Infallible> {
        |range| {
            assert!(range.end - range.start <= TILE);
            assert_eq!(range.start / TILE, (range.end - 1) / TILE, "{range:?}");
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            Ok(leaves[range].iter().map(|leaf| leaf_hash(leaf)).collect())
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

    #[test]
    fn proofs_equal_the_definition_and_verify() {
        let all = leaves(1100);
        let tree = log_tree(&all);
        for size in [
            1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 769, 1100_usize,
        ] {
            let some = &all[..size];
            let root = tree.root_at(size as u64, hashes(&all)).unwrap();
            assert_eq!(root, reference(some));
            for leaf in [0, 1, size / 2, size - 1]
                .into_iter()
                .filter(|at| *at < size)
            {
                let (at, of) = (leaf as u64, size as u64);
                let path = tree.inclusion(at, of, hashes(&all)).unwrap();
                assert_eq!(path, reference_path(leaf, some), "{leaf} of {size}");
                let hash = leaf_hash(&all[leaf]);
                assert!(verify_inclusion(&hash, at, of, &root, &path));
            }
            for old in [0, 1, 2, 100, 255, 256, 257, 512, size - 1, size]
                .into_iter()
                .filter(|old| *old <= size)
            {
                let (from, to) = (old as u64, size as u64);
                let proof = tree.consistency(from, to, hashes(&all)).unwrap();
                if old > 0 {
                    assert_eq!(proof, reference_proof(old, some, true), "{old} to {size}");
                }
                let old_root = reference(&all[..old]);
                assert!(verify_consistency((from, &old_root), (to, &root), &proof));
            }
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let all = leaves(3);
        let tree = log_tree(&all);
        let out = |error| matches!(error, ProofError::OutOfRange { .. });
        assert!(tree.inclusion(3, 3, hashes(&all)).is_err_and(out));
        assert!(tree.inclusion(0, 4, hashes(&all)).is_err_and(out));
        assert!(tree.inclusion(0, 0, hashes(&all)).is_err_and(out));
        assert!(tree.consistency(3, 2, hashes(&all)).is_err_and(out));
        assert!(tree.consistency(1, 4, hashes(&all)).is_err_and(out));
        assert!(tree.root_at(4, hashes(&all)).is_err_and(out));
    }

    proptest::proptest! {
        /// Anything that is changed in what is verified makes it false.
        #[test]
        fn a_doctored_proof_fails(size in 2u16..600, a in 0u16..600, b: u16, bit in 0usize..256, which: u16) {
            let all = leaves(size);
            let tree = log_tree(&all);
            let (index, old, to) = (u64::from(a % size), u64::from(b % (size - 1)) + 1, u64::from(size));
            let root = tree.root();
            let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);

            let mut path = tree.inclusion(index, to, hashes(&all)).unwrap();
            let leaf = leaf_hash(&all[usize::from(a % size)]);
            proptest::prop_assert!(verify_inclusion(&leaf, index, to, &root, &path));
            proptest::prop_assert!(!verify_inclusion(&leaf, (index + 1) % to, to, &root, &path));
            proptest::prop_assert!(!verify_inclusion(&leaf, to, to, &root, &path));
            let at = usize::from(which) % path.len();
            flip(&mut path[at]);
            proptest::prop_assert!(!verify_inclusion(&leaf, index, to, &root, &path));
            flip(&mut path[at]);
            path.push(root);
            proptest::prop_assert!(!verify_inclusion(&leaf, index, to, &root, &path));

            let mut proof = tree.consistency(old, to, hashes(&all)).unwrap();
            let mut old_root = reference(&all[..usize::try_from(old).unwrap()]);
            proptest::prop_assert!(verify_consistency((old, &old_root), (to, &root), &proof));
            let at = usize::from(which) % proof.len();
            flip(&mut proof[at]);
            proptest::prop_assert!(!verify_consistency((old, &old_root), (to, &root), &proof));
            flip(&mut proof[at]);
            flip(&mut old_root);
            proptest::prop_assert!(!verify_consistency((old, &old_root), (to, &root), &proof));
            flip(&mut old_root);
            proof.pop();
            proptest::prop_assert!(!verify_consistency((old, &old_root), (to, &root), &proof));
        }

        /// Whatever is handed in is answered, and small mistakes in arithmetic do not panic.
        #[test]
        fn anything_is_verified(index: u64, size: u64, old: u64, path in proptest::collection::vec(proptest::prelude::any::<Hash>(), 0..70)) {
            let hash = [7; 32];
            proptest::prop_assert!(!verify_inclusion(&hash, index, size, &hash, &path) || (size == 1 && path.is_empty()));
            let _ = verify_consistency((old, &hash), (size, &hash), &path);
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
