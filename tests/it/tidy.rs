//! Style that matters is a test: what a reader relies on holds for every file in the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use writ_tests::repository;

/// Directories that are not the project's own text.
const NOT_OURS: [&str; 5] = [".git", "node_modules", "target", "venv", "writ-data"];

/// Every file of the repository, as a path relative to its root.
pub(crate) fn files() -> Vec<PathBuf> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if NOT_OURS.iter().any(|other| name == *other) {
                continue;
            }
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
        }
    }
    let mut found = Vec::new();
    walk(&repository(), &repository(), &mut found);
    found.sort();
    found
}

fn rust_files() -> impl Iterator<Item = (PathBuf, String)> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files().into_iter().filter(rust).map(|path| {
        let text = fs::read_to_string(repository().join(&path)).unwrap();
        (path, text)
    })
}

#[test]
fn every_source_file_says_what_lives_in_it() {
    for (path, text) in rust_files() {
        // What trybuild compiles is read by a compiler and then by a person; the header is its
        // first line all the same.
        assert!(
            text.starts_with("//! "),
            "{} begins with no //! header",
            path.display()
        );
    }
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    // Put together here, or this file would find itself.
    let marks = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["#[ig", "nore"],
        ["TO", "DO"],
        ["FIX", "ME"],
    ];
    for (path, text) in rust_files() {
        for mark in marks.map(|halves| halves.concat()) {
            assert!(!text.contains(&mark), "{} has {mark}", path.display());
        }
    }
}

/// DESIGN §2: who may know whom. Only the named crates may be named in a crate's manifest and
/// sources.
#[test]
fn only_the_crates_that_may_know_a_library_name_it() {
    let only = [
        (
            "actix",
            &[
                "server/app/src/http",
                "server/app/src/server.rs",
                "server/app/src/testing.rs",
            ][..],
        ),
        ("wasmtime", &["server/sandbox"]),
        ("redb", &["server/ledger"]),
        ("sled", &["server/ledger"]),
    ];
    for (path, text) in rust_files() {
        // Tests and benches may know anything.
        let part = |name: &str| path.components().any(|part| part.as_os_str() == name);
        if part("tests") || part("benches") {
            continue;
        }
        for (library, places) in &only {
            let used = text.lines().map(str::trim_start).any(|line| {
                let used = line.starts_with(&format!("use {library}"));
                used || line.contains(&format!("{library}::"))
            });
            let may = places
                .iter()
                .any(|place| path.starts_with(place) || path.to_string_lossy().starts_with(place));
            assert!(!used || may, "{} names {library}", path.display());
        }
    }
    let core = fs::read_to_string(repository().join("server/core/Cargo.toml")).unwrap();
    let (_, dependencies) = core.split_once("[dependencies]").unwrap();
    for impure in [
        "tokio", "actix", "redb", "rand", "uuid", "ureq", "rustix", "writ-",
    ] {
        let dependencies = dependencies.split("\n[").next().unwrap();
        let named = dependencies.lines().any(|line| line.starts_with(impure));
        assert!(!named, "writ-core is pure: it may not depend on {impure}");
    }
}

#[test]
fn no_lock_file_names_a_registry_host() {
    for path in files() {
        if path.ends_with("package-lock.json") {
            let text = fs::read_to_string(repository().join(&path)).unwrap();
            assert!(
                !text.contains("\"resolved\""),
                "{} names hosts",
                path.display()
            );
        }
    }
}

/// The name and the version of each package in a lock file.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(repository().join(path)).unwrap();
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().to_owned()
    };
    let blocks = text.split("[[package]]").skip(1);
    blocks
        .map(|block| (value(block, "name = "), value(block, "version = ")))
        .collect()
}

#[test]
fn fuzzed_is_what_is_shipped() {
    let (ours, fuzzed) = (locked("Cargo.lock"), locked("tests/fuzz/Cargo.lock"));
    let only_there = ["\"libfuzzer-sys\"", "\"writ-fuzz\""];
    let others: Vec<_> = fuzzed
        .difference(&ours)
        .filter(|(name, _)| !only_there.contains(&name.as_str()))
        .collect();
    assert!(
        fuzzed.len() > 100 && others.is_empty(),
        "tests/fuzz/README.md says how to follow Cargo.lock: {others:?}"
    );
}

#[test]
fn every_fuzz_target_is_listed_and_has_seeds() {
    let fuzz = repository().join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(fuzz.join("README.md")).unwrap();
    let targets = fs::read_dir(fuzz.join("targets")).unwrap();
    for target in targets.map(|entry| entry.unwrap().path()) {
        let name = target.file_stem().unwrap().to_str().unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
        let seeds = fs::read_dir(fuzz.join("seeds").join(name)).unwrap();
        assert!(seeds.count() > 0, "{name}");
    }
}
