//! All keys of one moment, ready for use: what signs, what verifies, what the JWKS says.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use writ_core::{Algorithm, KeyState, Kid, Millis, PublicJwk, SigningKey};
use zeroize::Zeroizing;

use super::jwk::foreign;
use super::{Jwks, KeyFault, Signer, decoding_key};

/// A key whose tokens are valid.
pub struct TrustedKey {
    /// What it signs with. One kid, one algorithm: a token's header has no say in it.
    pub algorithm: Algorithm,
    /// What `jsonwebtoken` verifies with.
    pub decoding: DecodingKey,
    jwk: PublicJwk,
}

impl TrustedKey {
    /// The algorithm by the name that `jsonwebtoken` has for it.
    #[must_use]
    pub fn foreign_algorithm(&self) -> jsonwebtoken::Algorithm {
        foreign(self.algorithm)
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// An immutable set of keys. Build another when the keys in the index change, or when
/// [`Self::stale_at`] has come, and swap it in.
#[derive(Debug)]
pub struct KeyRing {
    signers: [Option<Arc<Signer>>; Algorithm::ALL.len()],
    kid_to_trusted: HashMap<Kid, Arc<TrustedKey>>,
    jwks: Jwks,
    stale_at: Option<Millis>,
}

impl KeyRing {
    /// The ring without keys.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            signers: Default::default(),
            kid_to_trusted: HashMap::new(),
            jwks: Jwks::render([]),
            stale_at: None,
        }
    }

    /// Builds the ring of a moment: for the start, where a key that cannot be used is a reason not
    /// to start. `load` gets the private key of a kid, as PKCS#8 DER; it is asked for active keys
    /// only, and only for those that `previous` does not hold already.
    ///
    /// # Errors
    /// A key is not usable, a private key cannot be loaded, or it belongs to another public key.
    pub fn build<'a, E>(
        keys: impl IntoIterator<Item = &'a SigningKey>,
        now: Millis,
        previous: &Self,
        load: impl FnMut(&Kid) -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Self, KeyFault>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (ring, faults) = Self::salvage(keys, now, previous, load);
        faults.into_iter().next().map_or(Ok(ring), Err)
    }

    /// As [`Self::build`], and leaves out what cannot be used: for a server that runs. A key that
    /// was revoked must be gone at once, whatever is the matter with its successor; so the ring is
    /// always to be swapped in, and the faults are to be reported.
    pub fn salvage<'a, E>(
        keys: impl IntoIterator<Item = &'a SigningKey>,
        now: Millis,
        previous: &Self,
        mut load: impl FnMut(&Kid) -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> (Self, Vec<KeyFault>)
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut ring = Self::empty();
        let mut faults = Vec::new();
        let mut published: Vec<&SigningKey> = Vec::new();
        let mut active: [Option<(Millis, &SigningKey)>; Algorithm::ALL.len()] = Default::default();
        for key in keys {
            match key.state {
                KeyState::Revoked => continue,
                KeyState::Retired { until } if until <= now => continue,
                KeyState::Retired { until } => {
                    ring.stale_at = Some(ring.stale_at.map_or(until, |at| at.min(until)));
                }
                KeyState::Published | KeyState::Active { .. } => {}
            }
            match previous.trusted_or_new(key) {
                Ok(trusted) => ring.kid_to_trusted.insert(key.kid.clone(), trusted),
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            published.push(key);
            if let KeyState::Active { since } = key.state {
                let slot = &mut active[place(key.algorithm)];
                // One at most is active by the rules of the log; the youngest wins in any case.
                if slot.is_none_or(|(other, _)| other < since) {
                    *slot = Some((since, key));
                }
            }
        }
        for (_, key) in active.into_iter().flatten() {
            let signer = match previous.signer(key.algorithm) {
                Some(signer) if *signer.kid() == key.kid => Ok(Arc::clone(signer)),
                _ => load_signer(key, &mut load).map(Arc::new),
            };
            match signer {
                Ok(signer) => ring.signers[place(key.algorithm)] = Some(signer),
                Err(fault) => faults.push(fault),
            }
        }
        // An order that does not depend on the index: equal keys make an equal set.
        published.sort_by(|a, b| (a.made_at, &a.kid).cmp(&(b.made_at, &b.kid)));
        ring.jwks = Jwks::render(
            published
                .iter()
                .map(|key| (&key.kid, key.algorithm, &key.jwk)),
        );
        (ring, faults)
    }

    fn trusted_or_new(&self, key: &SigningKey) -> Result<Arc<TrustedKey>, KeyFault> {
        match self.kid_to_trusted.get(&key.kid) {
            Some(known) if known.algorithm == key.algorithm && known.jwk == key.jwk => {
                Ok(Arc::clone(known))
            }
            _ => Ok(Arc::new(TrustedKey {
                algorithm: key.algorithm,
                decoding: decoding_key(&key.kid, key.algorithm, &key.jwk)?,
                jwk: key.jwk.clone(),
            })),
        }
    }

    /// The key that signs tokens of an algorithm now, if there is one.
    #[must_use]
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Arc<Signer>> {
        self.signers[place(algorithm)].as_ref()
    }

    /// The algorithms that can sign now.
    pub fn signing_algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| self.signer(*algorithm).is_some())
    }

    /// The key of this name, if tokens signed by it are valid. A revoked key, and a retired one
    /// whose last token has expired, is not there.
    #[must_use]
    pub fn trusted(&self, kid: &str) -> Option<&Arc<TrustedKey>> {
        self.kid_to_trusted.get(kid)
    }

    /// The set that is published.
    #[must_use]
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// When the first retired key leaves the JWKS: the ring must be built again then.
    #[must_use]
    pub fn stale_at(&self) -> Option<Millis> {
        self.stale_at
    }
}

/// The place of an algorithm among the signers.
fn place(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::ES256 => 0,
        Algorithm::RS256 => 1,
        Algorithm::PS256 => 2,
        Algorithm::EdDSA => 3,
    }
}

fn load_signer<E>(
    key: &SigningKey,
    load: &mut impl FnMut(&Kid) -> Result<Zeroizing<Vec<u8>>, E>,
) -> Result<Signer, KeyFault>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let pkcs8 = load(&key.kid).map_err(|error| KeyFault::Load {
        kid: key.kid.clone(),
        source: error.into(),
    })?;
    let signer = Signer::from_pkcs8(key.kid.clone(), key.algorithm, &pkcs8)?;
    // A token that nobody can verify is worse than no token.
    if signer.public_jwk().as_ref() == Some(&key.jwk) {
        Ok(signer)
    } else {
        Err(KeyFault::Mismatch(key.kid.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::keys::{GeneratedKey, generate};
    use writ_core::Position;

    fn entry(made: &GeneratedKey, made_at: u64, state: KeyState) -> SigningKey {
        SigningKey {
            kid: made.kid.clone(),
            algorithm: made.algorithm,
            jwk: made.public_jwk.clone(),
            made_at: Millis(made_at),
            state,
            version: Position(0),
        }
    }

    fn kids(ring: &KeyRing) -> Vec<String> {
        let set: serde_json::Value = serde_json::from_slice(&ring.jwks().body).unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn each_state_has_its_place() {
        let made: Vec<_> = (0..4)
            .map(|_| generate(Algorithm::EdDSA).unwrap())
            .collect();
        let since = Millis(10);
        let keys = [
            entry(&made[0], 4, KeyState::Published),
            entry(&made[1], 3, KeyState::Active { since }),
            entry(
                &made[2],
                2,
                KeyState::Retired {
                    until: Millis(1_000),
                },
            ),
            entry(&made[3], 1, KeyState::Revoked),
        ];
        let mut loaded = Vec::new();
        let mut load = |kid: &Kid| {
            loaded.push(kid.clone());
            let found = made.iter().find(|made| made.kid == *kid);
            found.map(|made| made.pkcs8.clone()).ok_or("not stored")
        };
        let ring = KeyRing::build(&keys, Millis(999), &KeyRing::empty(), &mut load).unwrap();
        assert_eq!(ring.signer(Algorithm::EdDSA).unwrap().kid(), &made[1].kid);
        assert!(ring.signer(Algorithm::ES256).is_none());
        assert_eq!(
            ring.signing_algorithms().collect::<Vec<_>>(),
            [Algorithm::EdDSA]
        );
        let by_age = [&made[2].kid, &made[1].kid, &made[0].kid].map(ToString::to_string);
        assert_eq!(kids(&ring), by_age);
        assert!(ring.trusted(made[3].kid.as_str()).is_none(), "revoked");
        assert_eq!(ring.stale_at(), Some(Millis(1_000)));

        let later = KeyRing::build(&keys, Millis(1_000), &ring, &mut load).unwrap();
        assert_eq!(kids(&later), by_age[1..]);
        assert!(
            later.trusted(made[2].kid.as_str()).is_none(),
            "its last token has expired"
        );
        assert_ne!(later.jwks().etag, ring.jwks().etag);
        assert_eq!(later.stale_at(), None);
        assert_eq!(
            loaded,
            [made[1].kid.clone()],
            "loaded once, never the others"
        );

        let reversed: Vec<_> = keys.iter().rev().cloned().collect();
        let again = KeyRing::build(&reversed, Millis(999), &later, |_| Err("not asked")).unwrap();
        assert_eq!(again.jwks(), ring.jwks());
    }

    #[test]
    fn the_set_says_what_a_validator_needs() {
        for algorithm in Algorithm::ALL {
            let made = generate(algorithm).unwrap();
            let set = Jwks::render([(&made.kid, algorithm, &made.public_jwk)]);
            let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&set.body).unwrap();
            let jwk = set.find(made.kid.as_str()).unwrap();
            assert!(jwk.is_supported());
            assert_eq!(
                jwk.common.key_algorithm.unwrap().to_string(),
                algorithm.as_str()
            );
            assert!(DecodingKey::from_jwk(jwk).is_ok());
            let text = String::from_utf8_lossy(
                &Jwks::render([(&made.kid, algorithm, &made.public_jwk)]).body,
            )
            .into_owned();
            assert!(
                text.contains(r#""use":"sig""#) && !text.contains(r#""d""#),
                "{text}"
            );
        }
        assert_eq!(&*KeyRing::empty().jwks().body, br#"{"keys":[]}"#);
    }

    #[test]
    fn a_missing_or_foreign_private_key_is_found_at_once() {
        let [made, other] = [0, 1].map(|_| generate(Algorithm::ES256).unwrap());
        let keys = [entry(&made, 0, KeyState::Active { since: Millis(0) })];
        let build = |result: Result<Zeroizing<Vec<u8>>, &'static str>| {
            KeyRing::build(&keys, Millis(1), &KeyRing::empty(), |_| result.clone())
        };
        assert!(matches!(build(Err("gone")), Err(KeyFault::Load { .. })));
        assert!(matches!(build(Ok(other.pkcs8)), Err(KeyFault::Mismatch(_))));
        assert!(matches!(
            build(Ok(vec![1].into())),
            Err(KeyFault::Private { .. })
        ));
        assert!(build(Ok(made.pkcs8)).is_ok());
    }

    #[test]
    fn a_revoked_key_is_gone_even_if_its_successor_cannot_sign() {
        let [old, next, other] = [0, 1, 2].map(|_| generate(Algorithm::ES256).unwrap());
        let since = Millis(0);
        let before = [entry(&old, 0, KeyState::Active { since })];
        let ring = KeyRing::build(&before, Millis(1), &KeyRing::empty(), |_| {
            Ok::<_, &'static str>(old.pkcs8.clone())
        });
        let ring = ring.unwrap();
        let mut broken = entry(&other, 0, KeyState::Published);
        broken.jwk = PublicJwk::OKP {
            crv: "Ed25519".into(),
            x: "AA".into(),
        };
        let after = [
            entry(&old, 0, KeyState::Revoked),
            entry(&next, 0, KeyState::Active { since }),
            broken,
        ];
        let (ring, faults) = KeyRing::salvage(&after, Millis(2), &ring, |_| Err("gone"));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(ring.trusted(old.kid.as_str()).is_none());
        assert!(ring.signer(Algorithm::ES256).is_none());
        assert_eq!(kids(&ring), [next.kid.to_string()]);
    }
}
