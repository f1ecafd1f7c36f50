//! The engine: what WebAssembly is compiled to, what it may use, what it costs, and the clock that
//! interrupts it. Every setting that decides an outcome is set here by name, so that a new default
//! of the engine changes nothing.

use crate::limits;
use sha2::{Digest as _, Sha256};
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;
use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, Inlining, InstanceAllocationStrategy, OperatorCost, OptLevel,
    PoolingAllocationConfig, RegallocAlgorithm, Strategy, VariableOperatorCost,
};

/// The engine's version, for the fingerprint. A test holds it to `Cargo.lock`.
const WASMTIME: &str = "48.0.8";

/// The version of what fuel a verdict costs: of [`fuel_costs`], and of how the question is passed
/// (`block`), which is work of the policy's allocator. A change of any cost is a new version, since
/// an outcome that ran out of fuel under one may complete under another.
const FUEL_COSTS_VERSION: u32 = 2;

/// What memory an instance's slot has in the address space; nothing of it is used until touched.
/// 4 GiB and a guard make bounds checks unnecessary.
const RESERVATION_BYTES: u64 = 4 << 30;
const GUARD_BYTES: u64 = 32 << 20;

/// What of a slot's memory stays mapped from one instance to the next. It is zeroed, which is
/// cheaper than giving it back and faulting it in again.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;

/// Frames of a backtrace: only the innermost named function is shown.
const BACKTRACE_FRAMES: usize = 4;

/// The engine that compiles. It has no pool: that would reserve more address space than the
/// compiling process may have.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// The engine that runs, with room for `pool` instances at once.
pub(crate) fn running(pool: u32) -> wasmtime::Result<Engine> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(pool)));
    Engine::new(&config)
}

/// What a verdict's record says about the engine: its version, a hash of everything that decides
/// what code it makes, and the version of the fuel costs.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Stable(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    for limit in [
        limits::MEMORY_BYTES,
        limits::TABLE_ELEMENTS,
        limits::STACK_BYTES,
        limits::LIFTED_BYTES,
    ] {
        limit.hash(&mut hasher);
    }
    limits::FUEL.hash(&mut hasher);
    let digest = hasher.0.finalize();
    let short = digest.iter().take(8).fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    });
    format!("wasmtime-{WASMTIME}/{short}/fuel-{FUEL_COSTS_VERSION}")
}

/// A `Hasher` that gives the same answer in every process, unlike the standard library's.
struct Stable(Sha256);

impl Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        .compiler_inlining(Inlining::No)
        // Floats stay, since Rust's libraries use them; NaNs have one bit pattern.
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(fuel_costs())
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_BYTES)
        .memory_reservation(RESERVATION_BYTES)
        .memory_guard_size(GUARD_BYTES)
        .guard_before_linear_memory(true)
        .memory_may_move(false)
        .memory_init_cow(true)
        .table_lazy_init(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .generate_address_map(true)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(limits::FEATURES, true)
        .wasm_features(WasmFeatures::COMPONENT_MODEL, true);
    config
}

fn pooling(pool: u32) -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(pool)
        .total_core_instances(pool)
        .total_memories(pool)
        .total_tables(pool)
        .max_core_instances_per_component(1)
        .max_memories_per_component(1)
        .max_tables_per_component(1)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .max_memory_size(limits::MEMORY_BYTES)
        .table_elements(limits::TABLE_ELEMENTS)
        .max_component_instance_size(64 << 10)
        .max_core_instance_size(256 << 10)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(limits::TABLE_ELEMENTS * size_of::<usize>())
        // Resets only the pages that were touched, where the kernel can say which (Linux 6.7).
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(pool);
    pooling
}

/// What each operator costs: 1, or nothing where it makes no code. Work whose amount is decided at
/// run time costs by the byte, page or element.
///
/// Written out by rule rather than taken from the engine, whose own table has changed between
/// versions. The engine has one field for each of some 600 operators, so the rule is applied to the
/// table's serialized form.
fn fuel_costs() -> OperatorCost {
    const FREE: [&str; 8] = [
        "Nop",
        "Drop",
        "Block",
        "Loop",
        "Unreachable",
        "Return",
        "Else",
        "End",
    ];
    let variable = VariableOperatorCost {
        memory_copy_per_byte: 1,
        memory_fill_per_byte: 1,
        memory_init_per_byte: 1,
        // A page is a system call and page faults on both ways.
        memory_grow_per_page: 64,
        table_copy_per_element: 1,
        table_fill_per_element: 1,
        table_init_per_element: 1,
        table_grow_per_element: 1,
        // These operators are not permitted.
        array_copy_per_element: 1,
        array_fill_per_element: 1,
        array_new_data_per_element: 1,
        array_init_data_per_element: 1,
        array_new_elem_per_element: 1,
        array_init_elem_per_element: 1,
        array_new_default_per_element: 1,
        array_new_per_element: 1,
    };
    let mut table = serde_json::to_value(OperatorCost::new()).expect("a struct of numbers");
    for (operator, cost) in table.as_object_mut().expect("it is a struct") {
        if cost.is_u64() {
            *cost = u8::from(!FREE.contains(&operator.as_str())).into();
        }
    }
    let mut table: OperatorCost = serde_json::from_value(table).expect("it came from one");
    table.variable = variable;
    table
}

/// The thread that moves the engine's clock. Fuel decides how long a policy may run; this is the
/// backstop for what fuel does not count. It ends when this is dropped.
pub(crate) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, every: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.weak();
        let thread = std::thread::Builder::new()
            .name("sandbox-epoch".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there would be nothing to do about it.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"")));
    }

    #[test]
    fn both_engines_make_the_same_code() {
        let (compiling, running) = (compiling().unwrap(), running(1).unwrap());
        assert_eq!(fingerprint(&compiling), fingerprint(&running));
    }

    #[test]
    fn costs_are_one_or_nothing() {
        let table = fuel_costs();
        assert_eq!((table.I32Add, table.Call, table.MemoryGrow), (1, 1, 1));
        assert_eq!((table.Nop, table.Block, table.End), (0, 0, 0));
    }
}
