//! The sandbox that policies run in, and the only crate that may name wasmtime.
//!
//! A policy is a WebAssembly module that imports nothing and exports the interface of
//! `sdk/policy/wit/policy.wit`. [`Sandbox::load`] makes a [`Policy`] of one: it checks its shape
//! (`limits`), compiles it in a child process (`compiler`, `module`) or takes the code from a cache
//! (`cache`), and asks it what it is (`descriptor`). [`Policy::evaluate`] asks it about a token, in
//! a fresh instance with fuel, memory and output limits (`engine`, `evaluate`, `output`). The
//! question is passed the engine's way or in one piece (`block`). What can go wrong is a
//! [`Trouble`].
//!
//! This crate knows nothing of the server's rules, its log or its disk but for the cache's
//! directory, and nothing of the SDK but the contract.

mod block;
mod cache;
mod compiler;
mod descriptor;
mod engine;
mod evaluate;
mod limits;
mod module;
mod output;
#[cfg(feature = "testkit")]
pub mod testkit;
mod toolchain;
mod trouble;
mod types;

pub use compiler::{Compiler, CompilerLimits, compile_child};
pub use evaluate::{Evaluation, LoadError, Policy};
pub use limits::{FUEL, ModuleLimits, Rejected, check};
pub use module::EVALUATOR;
pub use output::RESERVED_CLAIMS;
pub use toolchain::{Tool, toolchain};
pub use trouble::Trouble;
pub use types::*;

use cache::Cache;
use compiler::CompileError;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Component;

/// How a sandbox works. The defaults are what production uses.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where compiled modules are kept; without it each start compiles them.
    pub cache_dir: Option<PathBuf>,
    /// Authenticates what is in the cache. Derived from the server's master key.
    pub cache_key: [u8; 32],
    /// What the cache may hold before its oldest files go.
    pub cache_bytes_max: u64,
    /// Who compiles.
    pub compiler: Compiler,
    /// What a compiling process may use.
    pub compiler_limits: CompilerLimits,
    /// What a module may look like.
    pub module_limits: ModuleLimits,
    /// Verdicts at once. Each takes address space only, until it runs.
    pub pool: u32,
    /// Fuel of one call.
    pub fuel: u64,
    /// The step of the clock that interrupts.
    pub epoch_tick: Duration,
    /// How many steps a call may see.
    pub epoch_ticks: u64,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_key: [0; 32],
            cache_bytes_max: 256 << 20,
            compiler: Compiler::InProcess,
            compiler_limits: CompilerLimits::default(),
            module_limits: ModuleLimits::default(),
            pool: 64,
            fuel: FUEL,
            epoch_tick: Duration::from_millis(10),
            epoch_ticks: 3,
        }
    }
}

impl std::fmt::Debug for SandboxConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of it.
        f.debug_struct("SandboxConfig")
            .field("cache_dir", &self.cache_dir)
            .field("compiler", &self.compiler)
            .field("compiler_limits", &self.compiler_limits)
            .field("module_limits", &self.module_limits)
            .field("pool", &self.pool)
            .field("fuel", &self.fuel)
            .finish_non_exhaustive()
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot run the engine as it is configured.
    #[error("the WebAssembly engine cannot be used: {0}")]
    Engine(String),
    /// The cache's directory cannot be used, or no thread can be started.
    #[error("the sandbox cannot be set up: {0}")]
    Io(#[from] std::io::Error),
}

/// Where policies are loaded into. Cheap to clone; one for the whole process.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) fuel: u64,
    pub(crate) epoch_ticks: u64,
    fingerprint: Arc<str>,
    cache: Option<Cache>,
    /// Held while compiling: one at a time, whatever is uploaded.
    compiling: Mutex<()>,
    compiler: Compiler,
    compiler_limits: CompilerLimits,
    module_limits: ModuleLimits,
    _ticker: engine::Ticker,
}

impl Sandbox {
    /// Reserves the pool, starts the clock and opens the cache.
    ///
    /// # Errors
    ///
    /// [`SandboxError`], each of which is about this machine.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = engine::running(config.pool)
            .map_err(|error| SandboxError::Engine(format!("{error:#}")))?;
        let fingerprint: Arc<str> = engine::fingerprint(&engine).into();
        let cache = config
            .cache_dir
            .map(|directory| {
                let bytes_max = config.cache_bytes_max;
                Cache::open(
                    &directory,
                    &config.cache_key,
                    Arc::clone(&fingerprint),
                    bytes_max,
                )
            })
            .transpose()?;
        let ticker = engine::Ticker::start(&engine, config.epoch_tick)?;
        Ok(Self(Arc::new(Shared {
            engine,
            fuel: config.fuel,
            epoch_ticks: config.epoch_ticks,
            fingerprint,
            cache,
            compiling: Mutex::new(()),
            compiler: config.compiler,
            compiler_limits: config.compiler_limits,
            module_limits: config.module_limits,
            _ticker: ticker,
        })))
    }

    /// Makes a policy of a core module. Blocks while it compiles, which can take seconds.
    ///
    /// # Errors
    ///
    /// [`LoadError::Rejected`] when the module is no policy or no good one, with every reason;
    /// [`LoadError::Unavailable`] when the server could not compile or try it.
    pub fn load(&self, module: &[u8]) -> Result<Policy, LoadError> {
        let digest: [u8; 32] = Sha256::digest(module).into();
        check(module, &self.0.module_limits)?;
        let artefact = match self.0.cached(&digest) {
            Some(artefact) => artefact,
            None => self.0.compile(module, &digest)?,
        };
        // It was compiled for this very engine: what cannot be loaded is no fault of the module.
        let component = deserialize(&self.0.engine, &artefact)
            .map_err(|error| LoadError::Unavailable(format!("cannot be loaded: {error:#}")))?;
        Policy::load(&component, module, digest, Arc::clone(&self.0))
    }

    /// How many verdicts are being made right now, for metrics.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.0
            .engine
            .pooling_allocator_metrics()
            .map_or(0, |metrics| metrics.core_instances())
    }

    /// What a verdict's record says about the engine: `wasmtime-48.0.8/0123456789abcdef/fuel-2`.
    /// Two servers with the same one make the same verdicts.
    #[must_use]
    pub fn fingerprint(&self) -> &Arc<str> {
        &self.0.fingerprint
    }
}

impl Shared {
    fn cached(&self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        self.cache.as_ref().and_then(|cache| cache.load(digest))
    }

    fn compile(&self, module: &[u8], digest: &[u8; 32]) -> Result<Vec<u8>, LoadError> {
        // The lock protects no data, so whoever panicked in it left nothing behind.
        let _one_at_a_time = self
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have had the same module compiled meanwhile.
        if let Some(artefact) = self.cached(digest) {
            return Ok(artefact);
        }
        let artefact = match &self.compiler {
            Compiler::InProcess => {
                let engine = engine::compiling()
                    .map_err(|error| LoadError::Unavailable(format!("{error:#}")))?;
                module::compile(&engine, module, &self.module_limits)?
            }
            Compiler::Child { program, args } => compiler::compile_in_child(
                program,
                args,
                module,
                &self.module_limits,
                &self.compiler_limits,
            )
            .map_err(|error| match error {
                CompileError::Rejected(rejected) => rejected.into(),
                CompileError::Process(_) => LoadError::Unavailable(error.to_string()),
            })?,
        };
        if let Some(cache) = &self.cache {
            cache.store(digest, &artefact);
        }
        Ok(artefact)
    }
}

#[expect(
    unsafe_code,
    reason = "native code cannot be checked, only authenticated: the engine has no safe call"
)]
fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what our compiler made of a checked module. They come either from the
    // pipe of the compiling process or from the cache, whose tag was verified over these very bytes
    // in memory, this module's digest and this engine's fingerprint. The engine checks by itself
    // that its version and settings are the artefact's.
    unsafe { Component::deserialize(engine, artefact) }
}
