//! Policies, ready to be asked: modules from the blobs, compiled by the sandbox, with the settings
//! of their bindings. The index says which there must be; here is what it takes to ask them.
//!
//! Readers never wait: what is ready is one map that is replaced as a whole. A binding names its
//! policy and its settings by digest, and what is ready is found by these two, so that a token finds
//! exactly what its version of the index names, whatever is being replaced meanwhile.

use crate::clock::Stopwatch;
use crate::issue::facts::Fact;
use crate::keys::MasterKey;
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use writ_core::{
    Command, Index, JsonText, Judgement, PolicyDescriptor, PolicyDigest, PolicyParameter,
    PolicySettings, PolicyValue, PolicyValueKind,
};
use writ_ledger::{Blobs, DataDir, Fault};
use writ_sandbox::{
    Compiler, LoadError, Named, Policy, Sandbox, SandboxConfig, SandboxError, SettingKind, Value,
};

/// The one argument by which this program is asked to be the compiling process of another one.
pub const COMPILE_CHILD: &str = "policy-compile-child";

/// The compiler of a server: this very program, in a process of its own. Also when another one was
/// installed in its place meanwhile: the link leads to what runs.
fn compiler() -> Compiler {
    Compiler::Child {
        program: "/proc/self/exe".into(),
        args: vec![COMPILE_CHILD.into()],
    }
}

/// The sandbox of a server whose listeners have so many threads each: every thread that asks a
/// policy finds a place, and some are left for previews.
#[must_use]
pub fn sandbox(threads: usize) -> SandboxConfig {
    let listeners = 2;
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    let usual = SandboxConfig::default();
    SandboxConfig {
        pool: usual
            .pool
            .max(threads.saturating_mul(listeners).saturating_add(8)),
        compiler: compiler(),
        ..usual
    }
}

/// Why a policy cannot be used as somebody wants to.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// The module is no policy, or no good one; every reason.
    #[error("the module is refused: {}", .0.join("; "))]
    Rejected(Vec<String>),
    /// The settings do not suit it; a sentence each.
    #[error("the settings do not suit the policy: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The policy could not be tried.
    #[error("the policy cannot be tried now: {0}")]
    Unavailable(String),
    /// Its module is not there.
    #[error("the module of the policy {0} is not in the data directory")]
    NoModule(PolicyDigest),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] Fault),
}

impl From<LoadError> for PolicyFault {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Rejected(rejected) => Self::Rejected(rejected.reasons),
            LoadError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// A policy with settings, ready to be asked.
#[derive(Debug)]
pub struct Prepared {
    /// The policy.
    pub policy: Policy,
    /// Its settings, with defaults filled in.
    pub settings: Vec<Named>,
    /// The facts that it reads, of those that this server knows.
    pub reads: Vec<Fact>,
}

/// A policy and settings by their digests.
type Key = (PolicyDigest, [u8; 32]);

/// All that is ready.
#[derive(Clone, Debug, Default)]
struct Ready {
    policies: HashMap<PolicyDigest, Policy>,
    prepared: HashMap<Key, Arc<Prepared>>,
}

/// What has to stay ready.
#[derive(Debug, Default)]
struct Wanted {
    /// By the bindings of an index, the newest that was looked at.
    bound: HashSet<Key>,
    /// By those who are about to bind it.
    pinned: HashMap<Key, u32>,
}

impl Wanted {
    fn has(&self, key: &Key) -> bool {
        self.bound.contains(key) || self.pinned.contains_key(key)
    }
}

/// The policies of a server.
pub struct Policies {
    sandbox: Sandbox,
    blobs: Blobs,
    ready: ArcSwap<Ready>,
    /// Held by whoever replaces what is ready, so that none overwrites what another added.
    wanted: Mutex<Wanted>,
    /// Bound policies that could not be made ready when that was last tried.
    failed: Mutex<HashSet<PolicyDigest>>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies")
            .field("ready", &self.ready.load().prepared.len())
            .finish_non_exhaustive()
    }
}

/// A policy that stays ready with its settings as long as this is held: from before the event that
/// binds it until that is in the index, or is not.
#[derive(Debug)]
pub struct Pin {
    policies: Arc<Policies>,
    key: Key,
}

impl Pin {
    /// What a binding names to have this asked, with these settings as they were given.
    #[must_use]
    pub fn judgement(&self, settings: PolicySettings, claims: Vec<Box<str>>) -> Judgement {
        let (policy, settings_digest) = self.key;
        Judgement {
            policy,
            settings,
            settings_digest,
            claims,
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.policies.change(|wanted, ready| {
            if let Some(pins) = wanted.pinned.get_mut(&self.key) {
                *pins -= 1;
                if *pins == 0 {
                    wanted.pinned.remove(&self.key);
                }
            }
            retain(wanted, ready);
        });
    }
}

/// Why there are no policies at all.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] Fault),
    /// This machine has no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// The longest descriptor, as JSON: it is in an event.
const DESCRIPTOR_BYTES: usize = 48 * 1024;

impl Policies {
    /// Opens the modules of a data directory and makes a sandbox: as configured, but for its cache,
    /// which is in the data directory. Nothing is ready yet.
    ///
    /// # Errors
    /// When the disk cannot be used, or this machine has no sandbox.
    pub fn open(
        data: &DataDir,
        master_key: &[u8; 32],
        sandbox: SandboxConfig,
    ) -> Result<Self, PoliciesError> {
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: Some(data.path().join("policy-cache")),
            // Whoever can write the data directory and has not the master key cannot have native
            // code run.
            cache_key: MasterKey::derive(master_key, "writ policy cache 1"),
            ..sandbox
        })?;
        Ok(Self {
            sandbox,
            blobs: Blobs::open(data)?,
            ready: ArcSwap::default(),
            wanted: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    /// The engine, as records of issuances name it.
    #[must_use]
    pub fn engine(&self) -> &Arc<str> {
        self.sandbox.fingerprint()
    }

    /// How many verdicts are being made right now.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.sandbox.in_use()
    }

    /// How many pairs of a policy and settings are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.load().prepared.len()
    }

    /// Whether it is there to be asked without compiling, with whatever settings. Never blocks.
    #[must_use]
    pub fn is_loaded(&self, digest: PolicyDigest) -> bool {
        self.ready.load().policies.contains_key(&digest)
    }

    /// What a binding asks, if it is ready. Never blocks.
    #[must_use]
    pub fn get(&self, judgement: &Judgement) -> Option<Arc<Prepared>> {
        let ready = self.ready.load();
        ready.prepared.get(&key(judgement)).cloned()
    }

    /// Checks a module as uploading does. Blocks, perhaps for seconds; nothing is kept but the
    /// compiled code in the cache.
    ///
    /// # Errors
    /// [`PolicyFault::Rejected`] with every reason, or the server cannot now.
    pub fn check(&self, module: &[u8]) -> Result<(PolicyDigest, PolicyDescriptor), PolicyFault> {
        let policy = self.sandbox.load(module)?;
        let refused = |reason| PolicyFault::Rejected(vec![reason]);
        let descriptor = descriptor(policy.descriptor()).map_err(refused)?;
        let bytes = serde_json::to_vec(&descriptor).map_or(usize::MAX, |json| json.len());
        if bytes > DESCRIPTOR_BYTES {
            return Err(refused(format!(
                "its descriptor has {bytes} bytes as JSON; the limit is {DESCRIPTOR_BYTES}: \
                 shorten the documentation"
            )));
        }
        Ok((PolicyDigest(*policy.digest()), descriptor))
    }

    /// Keeps a module, durably and for ever.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, module: &[u8]) -> Result<(), PolicyFault> {
        self.blobs.put(module)?;
        Ok(())
    }

    /// Takes a module on behalf of nobody who could be refused: checks it, keeps it, and answers
    /// with the command that makes it known. Blocks, perhaps for seconds.
    ///
    /// # Errors
    /// See [`PolicyFault`].
    pub fn take(&self, module: &[u8]) -> Result<(PolicyDigest, Command), PolicyFault> {
        let (digest, descriptor) = self.check(module)?;
        self.keep(module)?;
        let command = Command::UploadPolicy {
            digest,
            bytes: module.len() as u64,
            descriptor: Box::new(descriptor),
        };
        Ok((digest, command))
    }

    /// The module of a policy.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn module(&self, digest: PolicyDigest) -> Result<Vec<u8>, PolicyFault> {
        self.blobs
            .get(&digest.0)?
            .ok_or(PolicyFault::NoModule(digest))
    }

    /// Makes a policy ready with settings that somebody gives: checks them as the policy's
    /// descriptor says, and then asks the policy itself. It stays ready while the pin is held.
    /// Blocks, perhaps for seconds.
    ///
    /// # Errors
    /// See [`PolicyFault`].
    pub fn prepare(
        self: &Arc<Self>,
        digest: PolicyDigest,
        settings: &PolicySettings,
    ) -> Result<Pin, PolicyFault> {
        let (settings_digest, prepared) = self.make(digest, settings)?;
        let key = (digest, settings_digest);
        self.change(|wanted, ready| {
            *wanted.pinned.entry(key).or_insert(0) += 1;
            ready.policies.insert(digest, prepared.policy.clone());
            ready.prepared.insert(key, Arc::new(prepared));
        });
        Ok(Pin {
            policies: Arc::clone(self),
            key,
        })
    }

    /// What a binding asks, made ready for this one use where it is not: as of the past, say.
    /// Blocks, perhaps for seconds.
    ///
    /// # Errors
    /// See [`PolicyFault`].
    pub fn borrow(&self, judgement: &Judgement) -> Result<Arc<Prepared>, PolicyFault> {
        match self.get(judgement) {
            Some(prepared) => Ok(prepared),
            None => {
                let (_, prepared) = self.make(judgement.policy, &judgement.settings)?;
                Ok(Arc::new(prepared))
            }
        }
    }

    /// Forgets what neither a binding of the newest index asks, nor could after a rollback, nor
    /// anybody is about to bind. `index` is asked for the newest one when no other can be looked at.
    /// Answers how many bindings cannot be asked. Quick.
    pub fn follow(&self, index: impl FnOnce() -> Arc<Index>) -> usize {
        let mut missing = 0;
        self.change(|wanted, ready| {
            let index = index();
            let bindings = || index.policy_bindings(None);
            wanted.bound = bindings()
                .flat_map(|one| one.judgements())
                .map(key)
                .collect();
            retain(wanted, ready);
            let ready = |key: &Key| ready.prepared.contains_key(key);
            missing = bindings()
                .filter(|binding| !ready(&key(&binding.judgement)))
                .count();
        });
        missing
    }

    /// Makes ready what the bindings of an index ask and is not: at a start, and later what failed
    /// then, those that have not failed before first. Begins no other when it has taken this long,
    /// or is told to stop. Blocks.
    pub fn catch_up(self: &Arc<Self>, index: &Index, patience: Duration, stop: impl Fn() -> bool) {
        let watch = Stopwatch::start();
        let judgements = index.policy_bindings(None).flat_map(|one| one.judgements());
        let mut missing: Vec<&Judgement> = judgements
            .filter(|judgement| self.get(judgement).is_none())
            .collect();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        missing.sort_by_key(|judgement| failed.contains(&judgement.policy));
        let mut tried = HashSet::new();
        for judgement in missing {
            let policy = judgement.policy;
            if watch.elapsed() > patience || stop() {
                return;
            }
            // Once a pass: that a module is no good is dear to find out.
            if tried.contains(&policy) {
                continue;
            }
            // It is wanted by then, so it stays although nobody holds it.
            match self.prepare(policy, &judgement.settings) {
                Ok(_) => drop(failed.remove(&policy)),
                Err(fault) => {
                    tracing::error!(%policy, %fault, "a bound policy cannot be asked");
                    if !matches!(fault, PolicyFault::Settings(_)) {
                        tried.insert(policy);
                    }
                    failed.insert(policy);
                }
            }
        }
    }

    fn make(
        &self,
        digest: PolicyDigest,
        settings: &PolicySettings,
    ) -> Result<([u8; 32], Prepared), PolicyFault> {
        make(self.load(digest)?, settings)
    }

    fn load(&self, digest: PolicyDigest) -> Result<Policy, PolicyFault> {
        if let Some(policy) = self.ready.load().policies.get(&digest) {
            return Ok(policy.clone());
        }
        Ok(self.sandbox.load(&self.module(digest)?)?)
    }

    fn change(&self, change: impl FnOnce(&mut Wanted, &mut Ready)) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = Ready::clone(&self.ready.load());
        change(&mut wanted, &mut ready);
        self.ready.store(Arc::new(ready));
    }
}

/// Makes a policy ready with settings as they were given: checks them as its descriptor says, and
/// then asks it. Answers their digest too.
pub(crate) fn make(
    policy: Policy,
    settings: &PolicySettings,
) -> Result<([u8; 32], Prepared), PolicyFault> {
    let given: Vec<Named> = settings
        .iter()
        .map(|(name, given)| Named::new(&**name, value(given)))
        .collect();
    let resolved = policy.descriptor().resolve(&given).map_err(problems)?;
    match policy.validate(&resolved) {
        Ok(answer) => answer.map_err(problems)?,
        Err(trouble) if trouble.is_servers() => {
            return Err(PolicyFault::Unavailable(trouble.to_string()));
        }
        Err(trouble) => return Err(PolicyFault::Settings(vec![trouble.to_string()])),
    }
    let settings_digest = writ_sandbox::settings_digest(&resolved);
    let prepared = Prepared {
        reads: Fact::named(&policy.descriptor().reads),
        settings: resolved,
        policy,
    };
    Ok((settings_digest, prepared))
}

fn retain(wanted: &Wanted, ready: &mut Ready) {
    ready.prepared.retain(|key, _| wanted.has(key));
    let used: HashSet<PolicyDigest> = ready.prepared.keys().map(|(policy, _)| *policy).collect();
    ready.policies.retain(|digest, _| used.contains(digest));
}

fn key(judgement: &Judgement) -> Key {
    (judgement.policy, judgement.settings_digest)
}

fn problems(problems: Vec<writ_sandbox::Problem>) -> PolicyFault {
    let said = |problem: writ_sandbox::Problem| match problem.setting.is_empty() {
        true => problem.message,
        false => format!("{}: {}", problem.setting, problem.message),
    };
    PolicyFault::Settings(problems.into_iter().map(said).collect())
}

/// The sandbox's word for a value.
#[must_use]
pub fn value(value: &PolicyValue) -> Value {
    match value {
        PolicyValue::Flag(flag) => Value::Flag(*flag),
        PolicyValue::Int(int) => Value::Int(*int),
        PolicyValue::Text(text) => Value::Text(text.to_string()),
        PolicyValue::Texts(texts) => Value::Texts(texts.iter().map(ToString::to_string).collect()),
        PolicyValue::Json(text) => Value::Json(text.json.to_string()),
    }
}

fn own_value(value: &Value) -> PolicyValue {
    match value {
        Value::Flag(flag) => PolicyValue::Flag(*flag),
        Value::Int(int) => PolicyValue::Int(*int),
        Value::Text(text) => PolicyValue::Text(text.as_str().into()),
        Value::Texts(texts) => {
            PolicyValue::Texts(texts.iter().map(|one| one.as_str().into()).collect())
        }
        Value::Json(text) => PolicyValue::Json(JsonText {
            json: text.as_str().into(),
        }),
    }
}

/// What a policy says about itself, in the words of the rules.
fn descriptor(said: &writ_sandbox::Descriptor) -> Result<PolicyDescriptor, String> {
    let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
    let parameter = |setting: &writ_sandbox::Setting| PolicyParameter {
        name: setting.name.as_str().into(),
        kind: match setting.kind {
            SettingKind::Flag => PolicyValueKind::Flag,
            SettingKind::Int => PolicyValueKind::Int,
            SettingKind::Text => PolicyValueKind::Text,
            SettingKind::Texts => PolicyValueKind::Texts,
            SettingKind::Json => PolicyValueKind::Json,
        },
        required: setting.required,
        default: setting.default.as_ref().map(own_value),
        doc: setting.doc.as_str().into(),
    };
    Ok(PolicyDescriptor {
        name: said
            .name
            .parse()
            .map_err(|error| format!("the policy's name: {error}"))?,
        version: said.version.as_str().into(),
        doc: said.doc.as_str().into(),
        settings: said.settings.iter().map(parameter).collect(),
        reads: boxed(&said.reads),
        codes: boxed(&said.codes),
        claims: boxed(&said.claims),
    })
}
