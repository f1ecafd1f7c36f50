//! A loaded policy, and a verdict: a fresh sandbox, one call, and nothing left behind.

use crate::block::{self, InOneBlock, Question};
use crate::limits::{self, Rejected};
use crate::output;
use crate::trouble::{Grew, Trouble};
use crate::types::{Descriptor, Named, Outcome, Problem, Request};
use crate::{Shared, descriptor, module};
use std::sync::Arc;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker,
    Lower, TypedFunc,
};
use wasmtime::{ResourceLimiter, Store};

/// A policy that is ready to judge. Cheap to clone; as long as one is held, its code stays.
#[derive(Clone)]
pub struct Policy(Arc<Loaded>);

struct Loaded {
    digest: [u8; 32],
    descriptor: Descriptor,
    exports: Exports,
    /// Whether it is asked in one block.
    in_one_block: bool,
    pre: InstancePre<Limiter>,
    shared: Arc<Shared>,
}

struct Exports {
    describe: ComponentExportIndex,
    validate: ComponentExportIndex,
    evaluate: ComponentExportIndex,
}

/// What came of asking a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What it answered, or why that is none.
    pub result: Result<Outcome, Trouble>,
    /// The fuel it used: the same for the same question, everywhere. All of it when it ran out.
    pub fuel: u64,
    /// How long it took, everything included.
    pub micros: u32,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("digest", &crate::cache::hex(&self.0.digest))
            .field("name", &self.0.descriptor.name)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Makes a policy of a module that was compiled and asks it what it is.
    pub(crate) fn load(
        component: &Component,
        module: &[u8],
        digest: [u8; 32],
        shared: Arc<Shared>,
    ) -> Result<Self, LoadError> {
        let exports = Exports::of(component)
            .ok_or_else(|| Rejected::because("it does not export the policy's functions"))?;
        // Nothing is ever put into this linker: there is nothing to import.
        let pre = Linker::new(&shared.engine)
            .instantiate_pre(component)
            .map_err(|error| Rejected::because(format!("cannot be linked: {error:#}")))?;
        let mut loaded = Loaded {
            digest,
            descriptor: Descriptor::default(),
            exports,
            in_one_block: block::never_frees(module),
            pre,
            shared,
        };
        loaded.descriptor = loaded.described()?;
        loaded.descriptor.check()?;
        Ok(Self(Arc::new(loaded)))
    }

    /// The SHA-256 of the module as it was uploaded: the policy's name.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// What it says about itself.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// Asks the policy whether it can work with settings that [`Descriptor::resolve`] made.
    ///
    /// # Errors
    ///
    /// [`Trouble`] when it does not answer; otherwise the inner result is its answer.
    pub fn validate(&self, settings: &[Named]) -> Result<Result<(), Vec<Problem>>, Trouble> {
        let mut sandbox = self.0.sandbox()?;
        let (answer,) = sandbox.call::<_, Validated>(&self.0.exports.validate, (settings,))?;
        Ok(answer.map_err(descriptor::readable))
    }

    /// Asks the policy about a token, with settings that [`Descriptor::resolve`] made. The outcome
    /// is checked: it grants nothing that was not asked about, and its lists are sorted.
    #[must_use]
    pub fn evaluate(&self, request: &Request, settings: &[Named]) -> Evaluation {
        let stopwatch = Stopwatch::start();
        let (result, fuel) = match self.0.sandbox() {
            Ok(mut sandbox) => {
                let (evaluate, question) = (&self.0.exports.evaluate, (request, settings));
                let answer = if self.0.in_one_block {
                    sandbox.call::<_, Evaluated>(evaluate, InOneBlock(question))
                } else {
                    sandbox.call::<_, Evaluated>(evaluate, question)
                };
                let answer =
                    answer.and_then(|(answer,)| answer.map_err(|text| Trouble::fault(&text)));
                (answer, sandbox.fuel_used())
            }
            Err(trouble) => (Err(trouble), 0),
        };
        Evaluation {
            result: result.and_then(|outcome| output::accept(outcome, request, &self.0.descriptor)),
            fuel,
            micros: stopwatch.micros(),
        }
    }
}

/// Why a policy does not load: it is not one, or this server cannot find out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The module is no policy, or no good one. It never will be.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The server could not compile it or try it. Later it may.
    #[error("the policy could not be loaded: {0}")]
    Unavailable(String),
}

impl Loaded {
    /// Asks for the descriptor twice in one sandbox and once in another.
    fn described(&self) -> Result<Descriptor, LoadError> {
        let failed = |trouble: Trouble| {
            if trouble.is_servers() {
                LoadError::Unavailable(trouble.to_string())
            } else {
                Rejected::because(format!("it cannot describe itself: {trouble}")).into()
            }
        };
        let first = self.sandbox().and_then(|mut s| {
            s.check_types(&self.exports)?;
            let once = s.call::<_, Described>(&self.exports.describe, ())?;
            let again = s.call::<_, Described>(&self.exports.describe, ())?;
            Ok((once, again))
        });
        let (once, again) = first.map_err(failed)?;
        let anew = self
            .sandbox()
            .and_then(|mut s| s.call::<_, Described>(&self.exports.describe, ()))
            .map_err(failed)?;
        if once != again || once != anew {
            return Err(
                Rejected::because("it describes itself differently when asked again").into(),
            );
        }
        Ok(once.0)
    }

    fn sandbox(&self) -> Result<Sandboxed, Trouble> {
        let mut store = Store::new(&self.shared.engine, Limiter);
        store.limiter(|limiter| limiter);
        store.set_hostcall_fuel(limits::LIFTED_BYTES);
        store.set_epoch_deadline(self.shared.epoch_ticks);
        // The engine is configured to count fuel, which is the only way this can fail.
        store
            .set_fuel(self.shared.fuel)
            .map_err(|error| Trouble::at_instantiation(&error))?;
        let instance = self
            .pre
            .instantiate(&mut store)
            .map_err(|error| Trouble::at_instantiation(&error))?;
        Ok(Sandboxed {
            store,
            instance,
            fuel: self.shared.fuel,
        })
    }
}

/// One instance in a store of its own. Dropped, its memory goes back to the pool, zeroed.
struct Sandboxed {
    store: Store<Limiter>,
    instance: Instance,
    fuel: u64,
}

/// What the functions of the interface return.
type Described = (Descriptor,);
type Validated = (Result<(), Vec<Problem>>,);
type Evaluated = (Result<Outcome, String>,);

impl Sandboxed {
    /// Holds the types of the component's functions against ours. Done once, when it is loaded:
    /// a component's types are those of all its instances, and comparing them takes a tenth of a
    /// verdict's time.
    fn check_types(&mut self, exports: &Exports) -> Result<(), Trouble> {
        let Self {
            store, instance, ..
        } = self;
        instance
            .get_typed_func::<(), Described>(&mut *store, &exports.describe)
            .map(drop)
            .and_then(|()| {
                instance
                    .get_typed_func::<(&[Named],), Validated>(&mut *store, &exports.validate)
                    .map(drop)
            })
            .and_then(|()| {
                instance
                    .get_typed_func::<Question<'_>, Evaluated>(store, &exports.evaluate)
                    .map(drop)
            })
            .map_err(|error| Trouble::at_call(&error))
    }

    /// Calls a function of the interface.
    #[expect(
        unsafe_code,
        reason = "the safe call compares the types again for each verdict"
    )]
    fn call<P, R>(&mut self, function: &ComponentExportIndex, params: P) -> Result<R, Trouble>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function = self
            .instance
            .get_func(&mut self.store, function)
            .ok_or_else(|| Trouble::output("a function is missing"))?;
        // SAFETY: `check_types` has compared these very types with the component's, before the
        // first call and before there was a `Policy`. Each of the three functions is called with
        // the types that are written there; `InOneBlock` is for the engine what `Question` is.
        let function = unsafe { TypedFunc::<P, R>::new_unchecked(function) };
        function
            .call(&mut self.store, params)
            .map_err(|error| Trouble::at_call(&error))
    }

    fn fuel_used(&self) -> u64 {
        self.fuel
            .saturating_sub(self.store.get_fuel().unwrap_or_default())
    }
}

impl Exports {
    fn of(component: &Component) -> Option<Self> {
        let evaluator = component.get_export_index(None, module::EVALUATOR)?;
        let export = |name: &str| component.get_export_index(Some(&evaluator), name);
        Some(Self {
            describe: export("describe")?,
            validate: export("validate")?,
            evaluate: export("evaluate")?,
        })
    }
}

/// Keeps an instance to the memory and table that it may have.
struct Limiter;

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        within("memory", desired, maximum, limits::MEMORY_BYTES)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        within("table", desired, maximum, limits::TABLE_ELEMENTS)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(Grew("memory")))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(Grew("table")))
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }
}

fn within(
    what: &'static str,
    desired: usize,
    maximum: Option<usize>,
    limit: usize,
) -> wasmtime::Result<bool> {
    if desired > maximum.unwrap_or(limit).min(limit) {
        return Err(Grew(what).into());
    }
    Ok(true)
}

/// Measures a verdict. Nothing is decided by it.
struct Stopwatch(std::time::Instant);

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement that is reported and decides nothing"
)]
impl Stopwatch {
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn micros(&self) -> u32 {
        u32::try_from(self.0.elapsed().as_micros()).unwrap_or(u32::MAX)
    }
}
