//! `writ.toml`, and a value of the command line: `key=value` on the first line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use writ::config::{Config, Inputs, Source};
use writ_fuzz::temporary;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| temporary("writ.toml"));
const KEYS: [&str; 4] = [
    "http.listen",
    "issuer",
    "proxies.trusted",
    "http.request_timeout",
];

fuzz_target!(|text: &str| {
    let (first, file) = text.split_once('\n').unwrap_or(("", text));
    let said = first.split_once('=').and_then(|(key, value)| {
        let key = KEYS.iter().find(|known| **known == key)?;
        Some((*key, value.to_owned()))
    });
    let Some(config) = load(file, said.as_slice()) else {
        return;
    };
    // What it shows is a configuration, and the same.
    let shown = config.effective_toml();
    let again = load(&shown, &[]).unwrap_or_else(|| panic!("not read back:\n{shown}"));
    let values = |toml: &str| {
        let mut values: toml::Table = toml.parse().expect("it was read");
        if config.source("data_dir") == Source::Default {
            // It is where the program runs; in a file it would be beside the file.
            values.remove("data_dir");
        }
        values
    };
    assert_eq!(values(&shown), values(&again.effective_toml()));
});

fn load(file: &str, command_line: &[(&str, String)]) -> Option<Config> {
    fs::write(&*FILE, file).expect("a temporary file");
    let inputs = Inputs {
        file: Some(&FILE),
        command_line,
        ..Inputs::default()
    };
    match Config::load(&inputs) {
        Ok(config) => Some(config),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
