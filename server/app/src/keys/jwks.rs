//! The JSON Web Key Set that the world verifies our tokens with (RFC 7517 §5).

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};
use writ_core::{Algorithm, Kid, PublicJwk};

use super::jwk::base64url;

/// The rendered set, with its entity tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwks {
    /// The JSON text.
    pub body: Box<[u8]>,
    /// A strong entity tag with its quotes (RFC 9110 §8.8.3): equal sets have equal tags, on
    /// every node and after every restart.
    pub etag: Box<str>,
}

#[derive(Serialize)]
struct Set<'a> {
    keys: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    kid: &'a Kid,
    alg: Algorithm,
    #[serde(rename = "use")]
    purpose: &'static str,
    #[serde(flatten)]
    jwk: &'a PublicJwk,
}

impl Jwks {
    /// Renders public keys, in the order given.
    #[must_use]
    pub fn render<'a>(keys: impl IntoIterator<Item = (&'a Kid, Algorithm, &'a PublicJwk)>) -> Self {
        let member = |(kid, alg, jwk)| Member {
            kid,
            alg,
            purpose: "sig",
            jwk,
        };
        let set = Set {
            keys: keys.into_iter().map(member).collect(),
        };
        let body = serde_json::to_vec(&set).expect("strings alone always make JSON");
        let etag = format!("\"{}\"", base64url(&Sha256::digest(&body)[..18]));
        Self {
            body: body.into(),
            etag: etag.into(),
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.body))
    }
}
