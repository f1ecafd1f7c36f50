//! Case files are TOML: what the SDK's small reader takes, a real one takes too.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

#[test]
fn every_case_file_is_toml() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut directories = vec![root.join("sdk/policy/template/cases")];
    for policy in fs::read_dir(root.join("policies")).unwrap() {
        directories.push(policy.unwrap().path().join("cases"));
    }
    let mut files = 0;
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        let cases = writ_policy::testing::load(directory).unwrap();
        let mut names = Vec::new();
        for file in fs::read_dir(directory).unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            let table: toml::Table = text.parse().unwrap();
            files += 1;
            match table.get("case").and_then(|cases| cases.as_array()) {
                None => names.push(file.file_stem().unwrap().to_str().unwrap().to_owned()),
                Some(cases) => {
                    let name = |case: &toml::Value| case["name"].as_str().unwrap().to_owned();
                    names.extend(cases.iter().map(name));
                }
            }
        }
        let mut read: Vec<String> = cases.into_iter().map(|case| case.name).collect();
        read.sort();
        names.sort();
        assert_eq!(read, names, "{}", directory.display());
    }
    assert!(files >= 8, "only {files} files");
}

/// The example in the documentation is one.
#[test]
fn the_documented_case_file_can_be_read() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/src/testing.rs");
    let source = fs::read_to_string(source).unwrap();
    let (_, rest) = source.split_once("//! ```toml\n").unwrap();
    let (block, _) = rest.split_once("//! ```\n").unwrap();
    let lines = block
        .lines()
        .map(|line| line.trim_start_matches("//!").trim_start());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.parse::<toml::Table>().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("documented.toml"), text).unwrap();
    assert_eq!(
        writ_policy::testing::load(directory.path()).unwrap().len(),
        3
    );
}
