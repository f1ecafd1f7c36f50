//! Policies for audits: modules from the blobs, compiled without any cache on the disk, since an audit
//! writes nothing, and kept ready in memory.

use crate::policies::{PolicyFault, Prepared, make};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use writ_core::{Judgement, PolicyDigest, PolicySettings};
use writ_ledger::Blobs;
use writ_sandbox::{Policy, Sandbox, SandboxConfig, SandboxError};

/// How many pairs of a policy and settings are kept ready before all are forgotten.
const KEPT: usize = 4_096;

/// A policy that can be asked, or why it cannot.
pub type Askable = Result<Arc<Prepared>, Arc<str>>;

/// Policies as bindings name them, present and past.
pub struct Modules {
    sandbox: Sandbox,
    blobs: Blobs,
    ready: Mutex<Ready>,
}

#[derive(Default)]
struct Ready {
    policies: HashMap<PolicyDigest, Policy>,
    prepared: HashMap<(PolicyDigest, [u8; 32]), Askable>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modules")
            .field("blobs", &self.blobs)
            .finish_non_exhaustive()
    }
}

impl Modules {
    /// Policies from these blobs, run as configured but without a cache.
    ///
    /// # Errors
    /// This machine has no sandbox.
    pub fn new(blobs: Blobs, sandbox: SandboxConfig) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: None,
            ..sandbox
        })?;
        Ok(Self {
            sandbox,
            blobs,
            ready: Mutex::default(),
        })
    }

    /// The engine, as records of issuances name it.
    #[must_use]
    pub fn engine(&self) -> &str {
        self.sandbox.fingerprint()
    }

    /// Loads a module that is no blob, such as a candidate.
    ///
    /// # Errors
    /// See [`PolicyFault`].
    pub fn load(&self, module: &[u8]) -> Result<Policy, PolicyFault> {
        Ok(self.sandbox.load(module)?)
    }

    /// What a binding asks. Blocks, perhaps for seconds, when it is asked for the first time.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn get(&self, judgement: &Judgement) -> Askable {
        let key = (judgement.policy, judgement.settings_digest);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = ready.prepared.get(&key) {
            return found.clone();
        }
        let made = self.make(&mut ready, judgement);
        let made = made.map_err(|fault| Arc::from(fault.to_string()));
        if ready.prepared.len() >= KEPT {
            *ready = Ready::default();
        }
        ready.prepared.insert(key, made.clone());
        made
    }

    fn make(&self, ready: &mut Ready, judgement: &Judgement) -> Result<Arc<Prepared>, PolicyFault> {
        let digest = judgement.policy;
        let policy = match ready.policies.get(&digest) {
            Some(policy) => policy.clone(),
            None => {
                let module = self.blobs.get(&digest.0)?;
                let module = module.ok_or(PolicyFault::NoModule(digest))?;
                let policy = self.sandbox.load(&module)?;
                ready.policies.insert(digest, policy.clone());
                policy
            }
        };
        prepared(policy, &judgement.settings, &judgement.settings_digest)
    }
}

/// A policy with settings, which must be those of the digest.
pub(super) fn prepared(
    policy: Policy,
    settings: &PolicySettings,
    digest: &[u8; 32],
) -> Result<Arc<Prepared>, PolicyFault> {
    let (found, prepared) = make(policy, settings)?;
    if found != *digest {
        let wrong = "they do not have the digest that the binding says";
        return Err(PolicyFault::Settings(vec![wrong.to_owned()]));
    }
    Ok(Arc::new(prepared))
}
