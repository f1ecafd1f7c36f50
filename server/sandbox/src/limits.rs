//! Every limit of the sandbox, and the check of an uploaded module against the structural ones.
//!
//! The check happens before anything is compiled: the time and memory that a compiler takes are not
//! linear in the size of its input. A module of 287 KB with 20,000 locals took 55 s and 7.4 GB.

use serde::{Deserialize, Serialize};
use wasmparser::{Operator, Parser, Payload, TypeRef, Validator, WasmFeatures};

/// Fuel of one call, `start`-like work included. Honest policies use 3,000 to 15,000.
pub const FUEL: u64 = 1_000_000;
/// The memory of an instance: what it declares and what it grows to.
pub const MEMORY_BYTES: usize = 4 << 20;
/// The elements of an instance's table.
pub const TABLE_ELEMENTS: usize = 1_024;
/// The native stack of a call.
pub const STACK_BYTES: usize = 256 << 10;
/// What the server copies out of a policy in one call, by its own size in memory.
pub const LIFTED_BYTES: usize = 64 << 10;
/// A compiled module.
pub const ARTEFACT_BYTES: usize = 8 << 20;

/// The name of a policy.
pub const POLICY_NAME_BYTES: usize = 64;
/// The names of settings, attributes, claims, notes and codes.
pub const NAME_BYTES: usize = 128;
/// A text for people or for the audit log: reasons, descriptions, notes, faults.
pub const TEXT_BYTES: usize = 1_024;
/// The documentation of a policy or of a setting.
pub const DOC_BYTES: usize = 8_192;
/// Notes of an outcome.
pub const NOTES: usize = 32;
/// All notes of an outcome, names included: they are in the record of every issuance.
pub const NOTES_BYTES: usize = 4_096;
/// Claims of an outcome.
pub const CLAIMS: usize = 32;
/// One claim's value; it ends in every token.
pub const CLAIM_BYTES: usize = 4_096;
/// All claims of an outcome, names included.
pub const CLAIMS_BYTES: usize = 8_192;
/// How deep a JSON claim nests.
pub const JSON_DEPTH: usize = 16;
/// Entries of each list in a descriptor.
pub const DESCRIPTOR_ENTRIES: usize = 64;

/// Upper bounds on the shape of a module. Honest Rust policies have at most 35 locals, 11 KB in the
/// biggest body, 145 functions and 84 KB of code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleLimits {
    /// The module as it was uploaded.
    pub module_bytes: usize,
    /// All function bodies.
    pub code_bytes: usize,
    /// One function body.
    pub body_bytes: usize,
    /// Locals of one function, parameters not counted. Compile time is quadratic in them.
    pub locals: u32,
    /// Functions.
    pub functions: u32,
    /// Parameters or results of one type.
    pub signature: usize,
    /// Types.
    pub types: u32,
    /// All data segments.
    pub data_bytes: usize,
    /// Element segments, and elements in all of them.
    pub elements: u32,
    /// Globals.
    pub globals: u32,
    /// Exports.
    pub exports: u32,
    /// Targets of all `br_table` of one function.
    pub branch_targets: u32,
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self {
            module_bytes: 1 << 20,
            code_bytes: 512 << 10,
            body_bytes: 64 << 10,
            locals: 256,
            functions: 4_000,
            signature: 64,
            types: 1_000,
            data_bytes: 256 << 10,
            elements: 4_096,
            globals: 256,
            exports: 256,
            branch_targets: 16_384,
        }
    }
}

/// Why a module is refused, for people. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", reasons.join("; "))]
pub struct Rejected {
    /// One sentence each.
    pub reasons: Vec<String>,
}

impl Rejected {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            reasons: vec![reason.into()],
        }
        .bounded()
    }

    /// Cut to what people read: names that a module chose are in the reasons.
    pub(crate) fn bounded(mut self) -> Self {
        self.reasons.truncate(REASONS);
        for reason in &mut self.reasons {
            if let Some((end, _)) = reason.char_indices().nth(TEXT_BYTES) {
                reason.truncate(end);
            }
        }
        self
    }
}

/// The WebAssembly that policies may be made of: what rustc emits for `wasm32-unknown-unknown`.
/// No SIMD, threads, 64-bit memories, tail calls, exceptions or garbage collection: less to go
/// wrong in the compiler, and nothing that differs between machines.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::FLOATS);

/// Checks the shape of a core module, then that it is valid WebAssembly of the permitted kind.
///
/// # Errors
///
/// Everything that is too large or forbidden, in the order of the file; or that it is no module.
pub fn check(module: &[u8], limits: &ModuleLimits) -> Result<(), Rejected> {
    if module.len() > limits.module_bytes {
        return Err(Rejected::because(format!(
            "the module has {} bytes; the limit is {}",
            module.len(),
            limits.module_bytes
        )));
    }
    if !Parser::is_core_wasm(module) {
        return Err(Rejected::because(if Parser::is_component(module) {
            "this is a component; upload the core module that `cargo build --target \
             wasm32-unknown-unknown` makes"
        } else {
            "this is not a WebAssembly module"
        }));
    }
    let reasons = Survey::of(module, limits)
        .map_err(|error| Rejected::because(format!("not a valid module: {error}")))?;
    if !reasons.is_empty() {
        return Err(Rejected { reasons });
    }
    Validator::new_with_features(FEATURES)
        .validate_all(module)
        .map_err(|error| Rejected::because(format!("not a valid module: {error}")))?;
    Ok(())
}

/// Reads a module once, section by section, and keeps what is wrong with it.
struct Survey<'a> {
    limits: &'a ModuleLimits,
    reasons: Vec<String>,
    code_bytes: usize,
    data_bytes: usize,
    elements: u32,
}

/// More would not help anybody to repair a module.
const REASONS: usize = 20;

impl<'a> Survey<'a> {
    fn of(module: &[u8], limits: &'a ModuleLimits) -> wasmparser::Result<Vec<String>> {
        let mut survey = Self {
            limits,
            reasons: Vec::new(),
            code_bytes: 0,
            data_bytes: 0,
            elements: 0,
        };
        for payload in Parser::new(0).parse_all(module) {
            survey.payload(payload?)?;
            if survey.reasons.len() >= REASONS {
                break;
            }
        }
        Ok(survey.reasons)
    }

    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        let limits = self.limits;
        match payload {
            Payload::TypeSection(types) => {
                self.at_most("types", types.count(), limits.types);
                for group in types {
                    for ty in group?.into_types() {
                        if let wasmparser::CompositeInnerType::Func(ty) = ty.composite_type.inner {
                            let longest = ty.params().len().max(ty.results().len());
                            self.at_most("values in a signature", longest, limits.signature);
                        }
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.import(&import?);
                }
            }
            Payload::FunctionSection(functions) => {
                self.at_most("functions", functions.count(), limits.functions);
            }
            Payload::TableSection(tables) => {
                self.at_most("tables", tables.count(), 1);
                for table in tables {
                    self.at_most("table elements", table?.ty.initial, TABLE_ELEMENTS as u64);
                }
            }
            Payload::MemorySection(memories) => {
                self.at_most("memories", memories.count(), 1);
                for memory in memories {
                    self.memory(memory?);
                }
            }
            Payload::TagSection(_) => self.refuse("exceptions are not permitted".to_owned()),
            Payload::GlobalSection(globals) => {
                self.at_most("globals", globals.count(), limits.globals);
            }
            Payload::ExportSection(exports) => {
                self.at_most("exports", exports.count(), limits.exports);
                for export in exports {
                    // Component tooling would call it at instantiation, like a start function.
                    if export?.name == "_initialize" {
                        self.refuse("it exports `_initialize`; nothing runs before a call".into());
                    }
                }
            }
            Payload::StartSection { .. } => {
                self.refuse("it has a start function; nothing runs before a call".to_owned());
            }
            Payload::ElementSection(segments) => {
                self.at_most("element segments", segments.count(), limits.elements);
                for segment in segments {
                    self.elements = self.elements.saturating_add(match segment?.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    });
                }
                self.at_most("elements", self.elements, limits.elements);
            }
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            Payload::DataSection(segments) => {
                for segment in segments {
                    self.data_bytes += segment?.data.len();
                }
                self.at_most("bytes of data", self.data_bytes, limits.data_bytes);
            }
            // Versions, counts and custom sections have no cost of their own. Whatever wasmparser
            // may know beyond is refused by the validator, which knows what is permitted.
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: &wasmparser::Import<'_>) {
        let kind = match import.ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
            TypeRef::Table(_) => "table",
            TypeRef::Memory(_) => "memory",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) => "tag",
        };
        let hint = if import.module.starts_with("wasi") {
            ": build for wasm32-unknown-unknown, there is no WASI here"
        } else {
            ""
        };
        self.refuse(format!(
            "it imports the {kind} `{}` from `{}`; a policy imports nothing{hint}",
            brief(import.name),
            brief(import.module)
        ));
    }

    fn memory(&mut self, memory: wasmparser::MemoryType) {
        if memory.shared {
            self.refuse("its memory is shared".to_owned());
        }
        if memory.memory64 {
            self.refuse("its memory has 64-bit addresses".to_owned());
        }
        if memory.page_size_log2.is_some() {
            self.refuse("its memory has a page size of its own".to_owned());
        }
        let pages = (MEMORY_BYTES >> 16) as u64;
        self.at_most("pages of memory", memory.initial, pages);
    }

    fn body(&mut self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<()> {
        let limits = self.limits;
        let bytes = body.range().len();
        self.code_bytes += bytes;
        let before = self.reasons.len();
        self.at_most("bytes in a function", bytes, limits.body_bytes);
        let mut locals = 0u32;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0);
        }
        self.at_most("locals in a function", locals, limits.locals);
        // Said once, when it becomes so.
        if self.code_bytes > limits.code_bytes && self.code_bytes - bytes <= limits.code_bytes {
            self.at_most("bytes of code", self.code_bytes, limits.code_bytes);
        }
        if self.reasons.len() > before {
            return Ok(());
        }
        let mut targets = 0u32;
        for operator in body.get_operators_reader()? {
            if let Operator::BrTable { targets: table } = operator? {
                targets = targets.saturating_add(table.len());
            }
        }
        self.at_most(
            "branch targets in a function",
            targets,
            limits.branch_targets,
        );
        Ok(())
    }

    fn at_most<N>(&mut self, what: &str, number: N, limit: N)
    where
        N: Copy + PartialOrd + std::fmt::Display,
    {
        if number > limit {
            self.refuse(format!("too many {what}: {number}; the limit is {limit}"));
        }
    }

    fn refuse(&mut self, reason: String) {
        if self.reasons.len() < REASONS {
            self.reasons.push(reason);
        }
    }
}

/// The beginning of a text that somebody else chose, fit for a sentence.
pub(crate) fn brief(text: &str) -> String {
    text.chars()
        .take(NAME_BYTES)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
