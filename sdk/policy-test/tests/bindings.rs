//! The contract is what it is said to be: `sdk/policy/src/bindings.rs` is what wit-bindgen makes of
//! `sdk/policy/wit/policy.wit` today, and that file is one that the released ones lead up to.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, UnresolvedPackageGroup};
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_component::semver_check;

const HEADER: &str = "\
//! The contract as Rust: made from `wit/policy.wit` by wit-bindgen, and never edited. A test of
//! `writ-policy-test` makes it again and says how to replace it.

";

fn generated() -> String {
    let mut resolve = Resolve::default();
    let package = UnresolvedPackageGroup::parse("policy.wit", writ_policy::WIT).unwrap();
    let package = resolve.push_group(package).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut bindings = wit_bindgen_rust::Opts {
        format: true,
        runtime_path: Some("crate::rt".to_owned()),
        pub_export_macro: true,
        generate_all: true,
        default_bindings_module: Some("writ_policy::bindings".to_owned()),
        export_macro_name: Some("export_policy".to_owned()),
        additional_derive_attributes: vec!["PartialEq".to_owned(), "Eq".to_owned()],
        ..Default::default()
    }
    .build();
    let mut files = Files::default();
    bindings.generate(&mut resolve, world, &mut files).unwrap();
    let (_, text) = files.iter().next().unwrap();
    [HEADER, std::str::from_utf8(text).unwrap()].concat()
}

#[test]
fn the_bindings_are_those_of_the_contract() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/src/bindings.rs");
    let generated = generated();
    if fs::read_to_string(&source).unwrap() == generated {
        return;
    }
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bindings.rs");
    fs::write(&new, generated).unwrap();
    panic!(
        "the contract or wit-bindgen has changed: cp {} {}",
        new.display(),
        source.display()
    );
}

/// Whether a server that speaks `new` can ask a policy that was built for `old`, or why not. The
/// versions of the two are not looked at.
fn compatible(old: &str, new: &str) -> Result<(), String> {
    let (mut resolve, mut worlds) = (Resolve::default(), Vec::new());
    for (number, wit) in [old, new].into_iter().enumerate() {
        // Two packages of one name must have different versions to be held side by side.
        let header = wit
            .lines()
            .find(|line| line.starts_with("package "))
            .unwrap();
        let wit = wit.replace(header, &format!("package writ:policy@{number}.0.0;"));
        let package = resolve.push_source("policy.wit", &wit).unwrap();
        worlds.push(resolve.select_world(&[package], Some("policy")).unwrap());
    }
    semver_check(resolve, worlds[0], worlds[1]).map_err(|error| format!("{error:#}"))
}

/// `released/X.Y.Z.wit` are the contracts that policies out there were built for: from 1.0.0 on
/// each is kept for ever. A change that breaks them needs another interface beside it.
#[test]
fn the_contract_keeps_every_promise_that_was_released() {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("released");
    let mut checked = 0;
    for entry in fs::read_dir(&released).into_iter().flatten() {
        let path = entry.unwrap().path();
        let old = fs::read_to_string(&path).unwrap();
        if let Err(error) = compatible(&old, writ_policy::WIT) {
            panic!("{} is broken: {error}", path.display());
        }
        checked += 1;
    }
    let version = writ_policy::WIT
        .lines()
        .find_map(|line| line.strip_prefix("package writ:policy@"))
        .unwrap();
    let experimental = version.starts_with("0.");
    assert!(
        experimental || checked > 0,
        "what is released is kept in {}",
        released.display()
    );
}

/// The check can fail: what wasm tooling says of changes that somebody might make.
#[test]
fn a_contract_that_breaks_policies_is_noticed() {
    let wit = writ_policy::WIT;
    let changed = |from: &str, to: &str| {
        assert!(wit.contains(from), "the contract has no {from:?}");
        wit.replacen(from, to, 1)
    };
    assert_eq!(compatible(wit, wit), Ok(()));
    let unused = changed(
        "record outcome {",
        "record unused { text: string }\n  record outcome {",
    );
    assert_eq!(compatible(wit, &unused), Ok(()), "a type that nobody uses");
    for broken in [
        // A new field, also where only policies write it.
        changed(
            "lifetime-seconds: u32,",
            "lifetime-seconds: u32, more: string,",
        ),
        changed("reason: string,", "reason: string, more: string,"),
        // A new case.
        changed("json(string),", "json(string), bytes(list<u8>),"),
        // Another type.
        changed("at: u64,", "at: s64,"),
        // A function that policies out there do not have, and one with another result.
        changed(
            "validate: func(",
            "explain: func() -> string;\n  validate: func(",
        ),
        changed("-> result<outcome, string>;", "-> outcome;"),
    ] {
        assert!(compatible(wit, &broken).is_err(), "{broken}");
    }
}
