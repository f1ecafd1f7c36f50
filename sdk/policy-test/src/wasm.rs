//! From a policy's source to its module: the compiler's target, found or fetched, and `cargo
//! build`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What policies are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How long `rustup` may take to fetch the target. It takes some seconds on a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// How long cargo may take for policies: minutes, when all their dependencies are built too.
const BUILD_LIMIT: Duration = Duration::from_secs(1_200);

/// How often a program that has a time limit is looked at.
const STEP: Duration = Duration::from_millis(50);

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The compiler cannot compile for WebAssembly, and could not be taught.
    #[error(
        "the target {TARGET} is not installed, and `rustup target add {TARGET}` {0}; install it \
         with rustup, or bring a Rust toolchain that has it"
    )]
    Target(String),
    /// A program could not be run at all.
    #[error("{program} cannot be run: {error}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        error: std::io::Error,
    },
    /// The compiler was not content; it has said why on its standard error.
    #[error("cargo build failed")]
    Compiler,
    /// The compiler did not come to an end, and was ended.
    #[error("cargo build took longer than {0} s")]
    Slow(u64),
    /// Nothing that was built is a module.
    #[error("no cdylib was built: Cargo.toml needs crate-type = [\"cdylib\", \"rlib\"]")]
    NoModule,
}

/// Makes sure that there is the target, fetching it if `rustup` is there. What `rustup` has to say
/// goes to this process's standard error.
///
/// # Errors
/// When there is none, with what was tried.
pub fn target() -> Result<(), BuildError> {
    if installed()? {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    match within(&mut rustup, FETCH_LIMIT) {
        Ok(Some(true)) if installed()? => Ok(()),
        Ok(Some(_)) => Err(BuildError::Target("failed".to_owned())),
        Ok(None) => {
            let seconds = FETCH_LIMIT.as_secs();
            Err(BuildError::Target(format!("took longer than {seconds} s")))
        }
        Err(error) => Err(BuildError::Target(format!("cannot be run: {error}"))),
    }
}

/// Whether the compiler has the target's standard library.
fn installed() -> Result<bool, BuildError> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| BuildError::Program {
            program: "rustc".to_owned(),
            error,
        })?;
    let directory = String::from_utf8_lossy(&output.stdout);
    let directory = Path::new(directory.trim());
    let Ok(mut files) = directory.read_dir() else {
        return Ok(false);
    };
    let standard = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    Ok(files.any(|file| file.is_ok_and(|file| file.file_name().to_str().is_some_and(standard))))
}

/// Runs a program; whether it succeeded, or `None` when it was ended for taking too long.
fn within(command: &mut Command, limit: Duration) -> std::io::Result<Option<bool>> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    ended(child, limit)
}

/// The same for a program that runs.
fn ended(mut child: Child, limit: Duration) -> std::io::Result<Option<bool>> {
    // Counted, not measured: nothing here needs to know the time.
    for _ in 0..limit.as_millis() / STEP.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        std::thread::sleep(STEP);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// What to build, and how.
#[derive(Clone, Debug)]
pub struct Build {
    /// The directory of the package, or of its workspace.
    pub directory: PathBuf,
    /// Packages of the workspace; the one in the directory, when there are none here.
    pub packages: Vec<String>,
    /// `release`, or another profile of the workspace.
    pub profile: String,
    /// Where to put what is built; cargo's own choice, unless given.
    pub target_directory: Option<PathBuf>,
    /// Whether nothing may be asked of the network: neither by cargo nor by `rustup`.
    pub offline: bool,
}

impl Build {
    /// The package in this directory, as it would be released.
    pub fn of(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            packages: Vec::new(),
            profile: "release".to_owned(),
            target_directory: None,
            offline: false,
        }
    }

    /// Builds. What the compiler has to say goes to this process's standard error.
    ///
    /// # Errors
    /// [`BuildError`]: there is no target, the source does not compile, or it makes no module.
    pub fn run(&self) -> Result<Vec<PathBuf>, BuildError> {
        if !self.offline {
            target()?;
        } else if !installed()? {
            return Err(BuildError::Target("would ask the network".to_owned()));
        }
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&self.directory)
            .args(["build", "--message-format", "json-render-diagnostics"])
            .args(["--target", TARGET, "--profile", &self.profile])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for package in &self.packages {
            cargo.args(["--package", package]);
        }
        if let Some(directory) = &self.target_directory {
            cargo.arg("--target-dir").arg(directory);
        }
        if self.offline {
            cargo.arg("--offline");
        }
        let failed = |error| BuildError::Program {
            program: "cargo".to_owned(),
            error,
        };
        let mut child = cargo.spawn().map_err(failed)?;
        let stdout = child.stdout.take();
        // Read beside: a full pipe would hold cargo up, and reading has no time limit.
        let reader = std::thread::spawn(move || {
            let mut messages = String::new();
            match stdout {
                Some(mut stdout) => stdout.read_to_string(&mut messages).map(|_| messages),
                None => Ok(messages),
            }
        });
        match ended(child, BUILD_LIMIT).map_err(failed)? {
            Some(true) => {}
            Some(false) => return Err(BuildError::Compiler),
            None => return Err(BuildError::Slow(BUILD_LIMIT.as_secs())),
        }
        let messages = reader.join().unwrap_or_else(|_| Ok(String::new()));
        let messages = messages.map_err(failed)?;
        let mut modules: Vec<PathBuf> = messages.lines().flat_map(modules_of).collect();
        modules.sort();
        if modules.is_empty() {
            return Err(BuildError::NoModule);
        }
        Ok(modules)
    }
}

/// The modules in one of cargo's messages (`compiler-artifact` has `filenames`).
fn modules_of(message: &str) -> Vec<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
    let files = message.get("filenames").and_then(|files| files.as_array());
    let files = files.into_iter().flatten().filter_map(|file| file.as_str());
    let modules = files.filter(|file| file.ends_with(".wasm"));
    modules.map(PathBuf::from).collect()
}
