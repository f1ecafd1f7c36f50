//! From an uploaded core module to native code: check, make it a component of our world, compile.
//! Runs in the compiling process (`compiler`), never on what was not checked first.

use crate::limits::{self, ModuleLimits, Rejected};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wit_component::{ComponentEncoder, StringEncoding};

/// The contract, from its one definition.
pub(crate) const WIT: &str = include_str!("../../../sdk/policy/wit/policy.wit");

/// The world of it that a policy is.
const WORLD: &str = "policy";

/// The exported interface of the contract's version that this server speaks.
pub const EVALUATOR: &str = "writ:policy/evaluator@1.0.0";

/// Native code for a module, loadable by [`crate::engine::running`].
pub(crate) fn compile(
    engine: &Engine,
    module: &[u8],
    limits: &ModuleLimits,
) -> Result<Vec<u8>, Rejected> {
    limits::check(module, limits)?;
    let component = componentize(module)
        .map_err(|error| Rejected::because(format!("not a policy: {error:#}")))?;
    let artefact = engine
        .precompile_component(&component)
        .map_err(|error| Rejected::because(format!("cannot be compiled: {error:#}")))?;
    if artefact.len() > limits::ARTEFACT_BYTES {
        return Err(Rejected::because(format!(
            "too many bytes when compiled: {}; the limit is {}",
            artefact.len(),
            limits::ARTEFACT_BYTES
        )));
    }
    Ok(artefact)
}

/// Wraps a core module as a component that exports our evaluator and imports nothing.
///
/// What the module itself says its world is gets dropped: the server decides the world and that
/// strings are UTF-8, so no other transcoder of the engine is ever used.
fn componentize(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("policy.wit", WIT)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    let mut module = essential(module)?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}

/// The module without custom sections, save the names of functions: a trap shows those.
fn essential(module: &[u8]) -> wasmparser::Result<Vec<u8>> {
    const HEADER: usize = 8;
    let mut kept = module.get(..HEADER).unwrap_or_default().to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(custom) = &payload
            && custom.name() != "name"
        {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            kept.push(id);
            append_leb128(&mut kept, range.len());
            kept.extend_from_slice(module.get(range).unwrap_or_default());
        }
    }
    Ok(kept)
}

fn append_leb128(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_the_contracts() {
        let version = EVALUATOR.split_once('@').map(|(_, version)| version);
        let package = WIT
            .lines()
            .find_map(|line| line.strip_prefix("package writ:policy@"));
        assert_eq!(
            version,
            package.map(|version| version.trim_end_matches(';'))
        );
    }
}
