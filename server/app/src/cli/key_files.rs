//! Files of others' keys and certificates, as verbs take them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use writ::jose::{ForeignKey, KEY_SET_BYTES_MAX};
use writ_api::JwkSet;

use super::Failure;

/// The public keys of a file: a JWK Set, or one JWK. Each is checked here already, so that no
/// private key that was taken for a public one leaves this machine.
pub fn key_set(file: &Path) -> Result<JwkSet, Failure> {
    let wrong = |text: String| Failure::Failed(format!("{}: {text}", file.display()));
    let bytes = read(file)?;
    if bytes.len() > KEY_SET_BYTES_MAX {
        return Err(wrong(format!("more than {KEY_SET_BYTES_MAX} bytes")));
    }
    let value: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("neither a JWK Set nor a JWK: {error}")))?;
    let keys = match value.get("keys") {
        Some(Value::Array(keys)) => keys.clone(),
        Some(_) => return Err(wrong("keys must be a list".to_owned())),
        None => vec![Value::Object(value)],
    };
    let checked = keys.into_iter().enumerate().map(|(i, key)| {
        ForeignKey::from_jwk(&key).map_err(|fault| wrong(format!("key {i}: {fault}")))?;
        match key {
            Value::Object(members) => Ok(members),
            _ => Err(wrong(format!("key {i} is no JWK"))),
        }
    });
    Ok(JwkSet {
        keys: checked.collect::<Result<_, _>>()?,
    })
}

/// SHA-256 of the first certificate of a file in PEM, as the server takes it. Those behind it are
/// of authorities.
pub fn certificate_digest(file: &Path) -> Result<String, Failure> {
    let certificates = writ::tls::certificates(&read(file)?);
    let first = certificates.first().ok_or_else(|| {
        let file = file.display();
        Failure::Failed(format!("{file}: there is no certificate in PEM in it"))
    })?;
    let digest: [u8; 32] = Sha256::digest(first.der()).into();
    Ok(writ_core::codec::hex(&digest))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

/// What keys are called: by their `kid`, and by what they are for.
pub fn key_names(keys: &JwkSet) -> Vec<String> {
    let text = |key: &Map<String, Value>, member: &str| {
        key.get(member).and_then(Value::as_str).map(str::to_owned)
    };
    let named = keys.keys.iter().map(|key| {
        let name = text(key, "kid").unwrap_or_else(|| "(no kid)".to_owned());
        let purpose = ["kty", "crv", "alg"].map(|member| text(key, member));
        let purpose: Vec<String> = purpose.into_iter().flatten().collect();
        format!("{name}  {}", purpose.join(" "))
    });
    named.collect()
}
