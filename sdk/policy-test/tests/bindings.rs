//! `sdk/policy/src/bindings.rs` is what wit-bindgen makes of `sdk/policy/wit/policy.wit` today.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, UnresolvedPackageGroup};
use wit_bindgen_core::{Files, WorldGenerator as _};

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
