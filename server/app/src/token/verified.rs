//! Tokens whose signature was verified once: whoever asks about the same text again costs a hash
//! instead of a signature. All that can change is looked at each time all the same.
//!
//! A table of fixed size, by the SHA-256 of the token: what falls on a taken place takes it over,
//! so nothing is ever searched for or swept, readers wait for nobody, and a full table is as quick as
//! an empty one. Only what is good gets in: rubbish cannot fill it. The tokens themselves are not in
//! it, what they say is.

use super::ValidatedToken;
use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Places: with usual tokens a full table takes some 30 MB.
const PLACES: usize = 1 << 15;
/// Longer tokens are verified each time, in bytes: they would take more room than they are worth.
const TOKEN_BYTES_MAX: usize = 2048;

/// Where a token belongs in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a token; none of one that is too long to be kept.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        (token.len() <= TOKEN_BYTES_MAX).then(|| Self(Sha256::digest(token).into()))
    }

    fn place(self) -> usize {
        let [a, b, ..] = self.0;
        usize::from(u16::from_be_bytes([a, b])) % PLACES
    }
}

struct Kept {
    fingerprint: Fingerprint,
    token: Arc<ValidatedToken>,
}

/// The table.
pub struct VerifiedTokens(Box<[ArcSwapOption<Kept>]>);

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedTokens")
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }
}

impl VerifiedTokens {
    /// A token that was verified before. Whether it is still valid is another question.
    #[must_use]
    pub fn get(&self, fingerprint: Fingerprint) -> Option<Arc<ValidatedToken>> {
        let kept = self.0.get(fingerprint.place())?.load();
        let kept = kept.as_ref()?;
        // Where it falls says nothing of whether it is the same.
        (kept.fingerprint == fingerprint).then(|| Arc::clone(&kept.token))
    }

    /// Keeps one whose signature was verified just now.
    pub fn put(&self, fingerprint: Fingerprint, token: &Arc<ValidatedToken>) {
        if let Some(place) = self.0.get(fingerprint.place()) {
            place.store(Some(Arc::new(Kept {
                fingerprint,
                token: Arc::clone(token),
            })));
        }
    }
}
