//! Modules and JSON in files: read, built where a directory is named, and loaded as a server would.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use writ_api::Problem;
use writ_policy_test::sandbox;
use writ_policy_test::wasm::{self, BuildError};
use writ_sandbox::{LoadError, Policy};

use crate::cli::Failure;

/// Far more than any module that a server takes, and any request, in bytes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Builds the crate in a directory, as it would be released.
pub fn build(directory: &Path, offline: bool) -> Result<Vec<PathBuf>, Failure> {
    let build = wasm::Build {
        offline,
        ..wasm::Build::of(directory)
    };
    build.run().map_err(|error| match error {
        // cargo has said on standard error what is wrong, and where.
        BuildError::Compiler => Failure::Failed(format!(
            "cargo cannot build a policy in {}",
            directory.display()
        )),
        error => Failure::of(&error),
    })
}

/// The module that is meant: a file, or what the crate in a directory makes.
pub fn module(given: &Path) -> Result<PathBuf, Failure> {
    if !given.is_dir() {
        return Ok(given.to_owned());
    }
    let mut modules = build(given, false)?;
    match modules.pop() {
        Some(module) if modules.is_empty() => Ok(module),
        last => {
            modules.extend(last);
            let names = modules.iter().map(|path| format!("\n  {}", path.display()));
            Err(Failure::Failed(format!(
                "{} makes several modules; name one of them:{}",
                given.display(),
                names.collect::<String>()
            )))
        }
    }
}

/// Reads a module.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_from(&path.display().to_string(), File::open(path))
}

/// Reads JSON; `-` is standard input.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let (name, text) = if path == Path::new("-") {
        let name = "standard input".to_owned();
        let text = read_from(&name, Ok(io::stdin().lock()))?;
        (name, text)
    } else {
        (path.display().to_string(), read(path)?)
    };
    serde_json::from_slice(&text)
        .map_err(|error| Failure::Failed(format!("{name} is not what it should be: {error}")))
}

fn read_from(name: &str, from: io::Result<impl io::Read>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.and_then(|from| from.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 <= BYTES_MAX => Ok(bytes),
        Ok(_) => Err(Failure::Failed(format!(
            "{name} has more than {BYTES_MAX} bytes: this is something else"
        ))),
        Err(error) => Err(Failure::Failed(format!("cannot read {name}: {error}"))),
    }
}

/// Loads a module as a server does when it is pushed.
///
/// The outer error is this machine's trouble; the inner one is every reason to refuse the module.
pub fn try_load(module: &[u8]) -> Result<Result<Policy, Vec<String>>, Failure> {
    let sandbox = sandbox().map_err(|error| Failure::of(&error))?;
    match sandbox.load(module) {
        Ok(policy) => Ok(Ok(policy)),
        Err(LoadError::Rejected(rejected)) => Ok(Err(rejected.reasons)),
        Err(error @ LoadError::Unavailable(_)) => Err(Failure::of(&error)),
    }
}

/// Loads a module that must be good.
pub fn load(path: &Path, module: &[u8]) -> Result<Policy, Failure> {
    try_load(module)?.map_err(|reasons| refused(path, reasons))
}

/// A server would refuse the module, with the same words and the same code.
pub fn refused(path: &Path, reasons: Vec<String>) -> Failure {
    Failure::Refused(Box::new(Problem {
        detail: format!("{} is no policy that a server takes", path.display()),
        code: "policy_rejected".to_owned(),
        reasons,
        ..Problem::default()
    }))
}
