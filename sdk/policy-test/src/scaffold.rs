//! A new policy crate, ready to build and test without this repository and without a network: it
//! brings the SDK's sources along.

/// A file of a new crate: its path within it, and what is in it.
pub type File = (String, String);

/// That name cannot be one of a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a policy's name begins with a letter a-z, goes on with a-z, 0-9, - or _, has 64 characters \
     at most, and is none of the SDK's own"
)]
pub struct BadName;

macro_rules! template {
    ($($path:literal from $source:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../policy/template/", $source)))),*]
    };
}

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$((concat!("sdk/", $path), include_str!(concat!("../../", $path)))),*]
    };
}

/// What is the author's to change. `{{name}}` and `{{crate}}` are filled in.
const TEMPLATE: &[(&str, &str)] = template![
    ".cargo/config.toml" from "config.toml",
    ".gitignore" from "gitignore",
    "Cargo.toml" from "Cargo.toml.in",
    "README.md" from "README.md",
    "cases/first.toml" from "cases/first.toml",
    "sdk/policy-macros/Cargo.toml" from "sdk-policy-macros.toml",
    "sdk/policy/Cargo.toml" from "sdk-policy.toml",
    "src/lib.rs" from "src/lib.rs",
];

/// The SDK, as it is. A test compares the list with the directories.
const SDK: &[(&str, &str)] = sources![
    "policy-macros/src/lib.rs",
    "policy-macros/src/policy.rs",
    "policy-macros/src/settings.rs",
    "policy-macros/src/tokens.rs",
    "policy/src/attribute.rs",
    "policy/src/bindings.rs",
    "policy/src/fault.rs",
    "policy/src/guest.rs",
    "policy/src/lib.rs",
    "policy/src/net.rs",
    "policy/src/outcome.rs",
    "policy/src/rt.rs",
    "policy/src/scope.rs",
    "policy/src/settings.rs",
    "policy/src/testing.rs",
    "policy/src/testing/builder.rs",
    "policy/src/testing/case.rs",
    "policy/src/testing/clock.rs",
    "policy/src/testing/toml.rs",
    "policy/src/value.rs",
    "policy/wit/policy.wit",
];

/// The files of a new policy crate of this name, sorted by path.
///
/// # Errors
/// [`BadName`], when cargo or a server would not take it.
pub fn files(name: &str) -> Result<Vec<File>, BadName> {
    let word =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || name.len() > 64 || !name.bytes().all(word) {
        return Err(BadName);
    }
    let library = name.replace('-', "_");
    if ["writ_policy", "writ_policy_macros"].contains(&&*library) {
        return Err(BadName);
    }
    let mut files: Vec<File> = Vec::new();
    for (path, text) in TEMPLATE {
        let text = text
            .replace("{{name}}", name)
            .replace("{{crate}}", &library);
        files.push(((*path).to_owned(), text));
    }
    for (path, text) in SDK {
        files.push(((*path).to_owned(), (*text).to_owned()));
    }
    files.sort();
    Ok(files)
}
