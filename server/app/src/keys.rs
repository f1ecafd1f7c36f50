//! Signing keys with their private parts: making them, signing with them, publishing them.
//!
//! The log knows public parts only ([`writ_core::SigningKey`]); the key store of the ledger holds
//! the private parts, sealed under the [`MasterKey`]. This module turns both into a [`KeyRing`]:
//! what the token path signs with, what introspection verifies with, what the JWKS says.
//!
//! Private keys are made by the `rsa` and `ed25519-dalek` crates and by AWS-LC, and used by AWS-LC
//! alone: it signs RS256 seven times faster, and the `rsa` crate had a timing leak
//! (RUSTSEC-2023-0071) that must never be on the request path.

mod generate;
mod jwk;
mod jwks;
mod master;
mod ring;
mod signer;

pub use generate::{GeneratedKey, generate};
pub use jwk::{decoding_key, thumbprint, thumbprint_bytes};
pub use jwks::Jwks;
pub use master::{MasterKey, MasterKeyError};
pub use ring::{KeyRing, TrustedKey};
pub use signer::Signer;

use writ_core::{Algorithm, Kid};

/// What is wrong with a key. No text here holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// A key could not be made.
    #[error("cannot make a key for {0}")]
    Generation(Algorithm),
    /// The private key of an active key is not to be had: every token for this algorithm would
    /// be refused, so this is found at start and not at the first request.
    #[error("the private key of {kid} cannot be loaded from the key store")]
    Load {
        /// The key.
        kid: Kid,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The private key does not belong to the public one in the log.
    #[error("the private key stored for {0} belongs to another public key")]
    Mismatch(Kid),
    /// The bytes are not a private key for this algorithm, or one that is too weak.
    #[error("the private key of {kid} is not a usable {algorithm} key in PKCS#8")]
    Private {
        /// The key.
        kid: Kid,
        /// What it should sign with.
        algorithm: Algorithm,
    },
    /// The members of the public JWK are not a key for this algorithm.
    #[error("the public key of {kid} is not a usable {algorithm} key")]
    Public {
        /// The key.
        kid: Kid,
        /// What it should verify.
        algorithm: Algorithm,
    },
}

/// A signature could not be made: the server's trouble, never the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign with key {0}")]
pub struct SignFault(pub Kid);
