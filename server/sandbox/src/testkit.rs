//! For tests of this crate and of others: policies as WebAssembly text, without any toolchain. What
//! an honest policy has is in `tests/policy.wat`; those that mean harm are in `tests/hostile`.

use std::path::{Path, PathBuf};

/// A policy module: what a test defines, and `policy.wat` for all that it does not.
///
/// # Panics
/// When the text is no WebAssembly.
#[must_use]
#[track_caller]
pub fn module(test: &str) -> Vec<u8> {
    let mut text = format!("(module {test}\n");
    for block in include_str!("../tests/policy.wat").split("\n\n") {
        let definition = block.lines().find(|line| !line.starts_with(";;"));
        let name = definition.and_then(|line| {
            let mut words = line.split_whitespace();
            let (kind, name) = (words.next()?, words.next()?);
            name.starts_with('$').then(|| format!("{kind} {name} "))
        });
        if !name.is_some_and(|name| test.contains(&name)) {
            text.push_str(block);
            text.push('\n');
        }
    }
    text.push(')');
    match wat::parse_str(text) {
        Ok(module) => module,
        Err(error) => panic!("{error}"),
    }
}

/// A policy that grants everything, for at most 300 s and with the claim `tier` = `gold`.
#[must_use]
pub fn honest() -> Vec<u8> {
    module("")
}

/// Where the policies are that mean harm, each with a sentence that says what it does.
#[must_use]
pub fn hostile_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// One of them.
///
/// # Panics
/// When there is none of this name.
#[must_use]
#[track_caller]
pub fn hostile(name: &str) -> Vec<u8> {
    let path = hostile_directory().join(name).with_extension("wat");
    match std::fs::read_to_string(&path) {
        Ok(text) => module(&text),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
