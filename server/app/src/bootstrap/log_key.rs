//! The key that signs the log, and what it has signed.

use super::{BootstrapError, execute};
use crate::app::LOG_KEY;
use crate::clock::Ids;
use crate::config::{Config, Issuer};
use std::path::PathBuf;
use writ_core::{Command, CommandId};
use writ_ledger::note::{KeyKind, NoteKey, SignedCheckpoint, Vkey};
use writ_ledger::{Anchor, Checkpoints, DataDir, Fault, KeyStore, Ledger, LogId};
use zeroize::Zeroizing;

/// A checkpoint and where it was found.
pub(super) type Found = (PathBuf, SignedCheckpoint);

/// The checkpoints that there are of a data directory: its own, and the copy outside of it.
pub(super) fn checkpoints(data: &DataDir, config: &Config) -> Result<Vec<Found>, Fault> {
    let copy = config.checkpoint.copy_to.clone();
    let mut found = Vec::new();
    for path in [Checkpoints::path(data)].into_iter().chain(copy) {
        if let Some(signed) = Checkpoints::read(&path)? {
            found.push((path, signed));
        }
    }
    Ok(found)
}

pub(super) fn anchors(signed: &[Found]) -> Vec<Anchor> {
    let anchor = |(path, signed): &Found| Anchor::of(signed, path);
    signed.iter().map(anchor).collect()
}

/// The key that signs checkpoints: Ed25519, and used for nothing else.
pub(super) struct LogKey(Zeroizing<[u8; 32]>);

impl LogKey {
    /// The one in the key store, or a new one where there is none: at the first start, or after a
    /// key store from before was restored.
    pub fn open(store: &KeyStore, signed: &[Found]) -> Result<Self, BootstrapError> {
        if let Some(stored) = store.get(LOG_KEY)? {
            let seed = stored.as_slice().try_into().map_err(|_| Fault::Damaged {
                path: "keys.json".into(),
                detail: "the log's key has another length".to_owned(),
            })?;
            let key = Self(Zeroizing::new(seed));
            return signed
                .iter()
                .try_for_each(|found| key.check(found))
                .map(|()| key);
        }
        if !signed.is_empty() {
            tracing::error!(
                "the key that signed the log is not in the key store; a new one signs from here on"
            );
        }
        let seed = NoteKey::generate()?;
        store.put(LOG_KEY, &*seed)?;
        Ok(Self(seed))
    }

    fn named(&self, name: &str) -> Result<NoteKey, BootstrapError> {
        Ok(NoteKey::new(KeyKind::Log, name, &self.0)?)
    }

    /// Whoever can write the data directory can write a checkpoint, but cannot sign it.
    fn check(&self, (path, signed): &Found) -> Result<(), BootstrapError> {
        match signed.is_signed_by(self.named(&signed.checkpoint.origin)?.vkey()) {
            true => Ok(()),
            false => Err(Fault::Damaged {
                path: path.clone(),
                detail: "it is not signed by the log's key".to_owned(),
            }
            .into()),
        }
    }

    /// Names the key in the log, and has it sign what the log is.
    pub fn put_to_use(
        &self,
        data: &DataDir,
        config: &Config,
        issuer: &Issuer,
        ledger: &Ledger,
        ids: &Ids,
    ) -> Result<Checkpoints, BootstrapError> {
        let index = ledger.snapshot();
        let named = index.log_vkey().and_then(|vkey| vkey.parse::<Vkey>().ok());
        // The name stays what it is when the issuer changes: those who verify know the log by it.
        let name = match &named {
            Some(vkey) => vkey.name().to_owned(),
            None => origin(issuer, ledger.log_id()),
        };
        let key = self.named(&name)?;
        if named.as_ref() != Some(key.vkey()) {
            let vkey = key.vkey().to_string().into();
            let command = Command::SetLogKey { vkey };
            execute(ledger, "start", CommandId(ids.next_id()), command)?;
        }
        let checkpoints = Checkpoints::new(data, key, config.checkpoint.copy_to.clone());
        // INVARIANT: before `server.started`, so that the log itself says that there is one.
        checkpoints.sign(ledger)?;
        Ok(checkpoints)
    }
}

/// The name of a log, for those who verify it: a URL without its scheme (C2SP tlog-checkpoint).
fn origin(issuer: &Issuer, log: LogId) -> String {
    let place = issuer.as_str();
    let place = place.split_once("://").map_or(place, |(_, place)| place);
    let place: String = place.chars().filter(|c| *c != '+').collect();
    format!("{}/writ/{log}", place.trim_end_matches('/'))
}
