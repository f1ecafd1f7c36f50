//! What authors do with their policies at their own machines: no server is asked. What it is done
//! with is in [`writ_policy_test`]; modules are compiled in this process, as they are one's own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use writ_policy::attribute;
use writ_policy_test::{CaseReport, Options, Report, TestError, run_cases_in, sandbox, scaffold};
use writ_sandbox::{FUEL, LoadError};

use crate::cli::local::quoted;
use crate::cli::output::{Details, Out, clean, detail};
use crate::cli::{Failure, note};

use super::describe::About;
use super::file;

/// Make a new policy: a crate that builds and tests as it is, with the SDK in it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy new night-watch
  writ policy new night-watch --path policies/night-watch")]
pub struct New {
    /// Its name: a-z, 0-9, - and _
    name: String,
    /// The directory to make; NAME unless given
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,
}

/// Build the module of a policy, and check it as the server would
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy build
  writ policy build night-watch --offline --json

The compiler's WebAssembly target is fetched by rustup if it is not there yet.")]
pub struct Build {
    /// The directory of the crate
    #[arg(
        value_name = "DIRECTORY",
        default_value = ".",
        hide_default_value = true
    )]
    directory: PathBuf,
    /// Ask nothing of the network
    #[arg(long)]
    offline: bool,
}

/// Check a module as the server does when it is pushed: limits, imports, contract, description
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ policy check target/wasm32-unknown-unknown/release/night_watch.wasm")]
pub struct Check {
    /// The module
    #[arg(value_name = "FILE")]
    module: PathBuf,
}

/// Run a policy's case files through the server's engine, with the limits of production
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy test                        builds the crate in this directory first
  writ policy test night_watch.wasm --cases night-watch/cases --fuel 50000

Each case's request is also asked in many variations, for what holds for every policy: it never
widens what was asked for, and answers the same when asked again. The times are those of this
machine; fuel is the same everywhere.")]
pub struct Test {
    /// The module, or the directory of a crate to build; the current directory unless given
    #[arg(
        value_name = "FILE|DIRECTORY",
        default_value = ".",
        hide_default_value = true
    )]
    module: PathBuf,
    /// The case files: a directory or one file; `cases` unless given
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,
    /// No answer may use more fuel
    #[arg(long, default_value_t = FUEL, value_parser = clap::value_parser!(u64).range(1..=FUEL))]
    fuel: u64,
}

impl New {
    /// Makes it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let name = self.name;
        let files = scaffold::files(&name).map_err(|error| {
            Failure::Usage(format!("`{}` cannot be its name: {error}", clean(&name)))
        })?;
        let directory = self.path.unwrap_or_else(|| name.clone().into());
        make_empty(&directory)?;
        for (path, text) in &files {
            let path = directory.join(path);
            write_new(&path, text).map_err(|error| {
                Failure::Failed(format!("cannot write {}: {error}", path.display()))
            })?;
        }
        let directory = directory.display().to_string();
        let made = json!({
            "name": name,
            "directory": directory,
            "files": files.iter().map(|(path, _)| path).collect::<Vec<_>>(),
        });
        out.result(&made, || {
            format!("made the policy {name} in {}", clean(&directory))
        })?;
        note(format_args!(
            "Its rules are in src/lib.rs, and what must come of them in cases/. Now:\n  \
             cd {}\n  \
             cargo test             runs the cases natively\n  \
             writ policy test       runs them in the server's engine\n  \
             writ policy build      makes the module that `writ policy push` takes",
            clean(&quoted(&directory))
        ));
        Ok(())
    }
}

/// Makes a directory, or takes an empty one.
fn make_empty(directory: &Path) -> Result<(), Failure> {
    let unusable = |error| {
        Failure::Failed(format!(
            "cannot use the directory {}: {error}",
            directory.display()
        ))
    };
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::Failed(format!(
                "{} is there already and not empty: nothing was written. Name another directory \
                 by --path",
                directory.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory).map_err(unusable)
        }
        Err(error) => Err(unusable(error)),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// What came of checking a module.
#[derive(Serialize)]
struct Checked {
    path: PathBuf,
    accepted: bool,
    #[serde(flatten)]
    about: Option<Summary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// What tells one module from another.
#[derive(Serialize)]
struct Summary {
    name: String,
    version: String,
    digest: String,
    bytes: u64,
}

impl Checked {
    fn of(path: &Path) -> Result<Self, Failure> {
        let module = file::read(path)?;
        let loaded = file::try_load(&module)?;
        let path = shortened(path);
        Ok(match loaded {
            Ok(policy) => {
                let about = About::module(&module, &policy);
                note_unknown_facts(&about);
                let summary = Summary {
                    name: about.name,
                    version: about.version,
                    digest: about.digest,
                    bytes: about.bytes,
                };
                Self {
                    path,
                    accepted: true,
                    about: Some(summary),
                    reasons: Vec::new(),
                }
            }
            Err(reasons) => Self {
                path,
                accepted: false,
                about: None,
                reasons,
            },
        })
    }

    fn describe(&self) -> Details {
        let mut lines = vec![detail("module", self.path.display().to_string())];
        if let Some(about) = &self.about {
            lines.push(detail("name", &*about.name));
            lines.push(detail("version", &*about.version));
            lines.push(detail("digest", &*about.digest));
            lines.push(detail("bytes", about.bytes.to_string()));
        }
        lines
    }

    fn into_result(self) -> Result<(), Failure> {
        if self.accepted {
            Ok(())
        } else {
            Err(file::refused(&self.path, self.reasons))
        }
    }
}

/// A slip in `reads(..)` is no error, since a later server may know that fact; this one has no use
/// for it.
fn note_unknown_facts(about: &About) {
    let known = |name: &str| attribute::ALL.contains(&name);
    let unknown = about.reads.iter().map(String::as_str);
    let unknown: Vec<_> = unknown.filter(|name| !known(name)).collect();
    if !unknown.is_empty() {
        note(format_args!(
            "{} reads what no server of this version knows: {}",
            clean(&about.name),
            clean(&unknown.join(" "))
        ));
    }
}

/// A path as people write it, where it is below the current directory.
fn shortened(path: &Path) -> PathBuf {
    let below = std::env::current_dir().ok();
    let below = below.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}

impl Build {
    /// Builds it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let paths = file::build(&self.directory, self.offline)?;
        let checked: Vec<_> = paths
            .iter()
            .map(|path| Checked::of(path))
            .collect::<Result<_, _>>()?;
        if out.is_json() {
            out.value(&checked)?;
        } else {
            for one in checked.iter().filter(|one| one.accepted) {
                out.details(one.describe())?;
            }
        }
        let refused = checked.into_iter().map(Checked::into_result);
        let mut refused: Vec<_> = refused.filter_map(Result::err).collect();
        let last = refused.pop();
        for other in refused {
            note(format_args!("error: {other}"));
        }
        last.map_or(Ok(()), Err)
    }
}

impl Check {
    /// Checks it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let checked = Checked::of(&self.module)?;
        if out.is_json() {
            out.value(&checked)?;
        } else if checked.accepted {
            out.details(checked.describe())?;
        }
        checked.into_result()
    }
}

impl Test {
    /// Runs the cases.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let cases = match &self.cases {
            Some(cases) => cases.clone(),
            None if self.module.is_dir() => self.module.join("cases"),
            None => "cases".into(),
        };
        let path = file::module(&self.module)?;
        let module = file::read(&path)?;
        let sandbox = sandbox().map_err(|error| Failure::of(&error))?;
        let options = Options {
            fuel_max: self.fuel,
            ..Options::default()
        };
        let report =
            run_cases_in(&sandbox, &module, &cases, options).map_err(|error| match error {
                TestError::Load(LoadError::Rejected(rejected)) => {
                    file::refused(&shortened(&path), rejected.reasons)
                }
                TestError::Cases(text) => Failure::Failed(format!(
                    "{}; --cases says where the case files are",
                    clean(&text)
                )),
                error => Failure::of(&error),
            })?;
        if out.is_json() {
            out.value(&as_json(&report))?;
        } else {
            let policy = &report.descriptor;
            let (name, version) = (clean(&policy.name), clean(&policy.version));
            out.line(format_args!("{name} {version}  {}", report.digest_hex()))?;
            for line in report.to_string().lines() {
                out.line(clean(line))?;
            }
        }
        if report.passed() {
            return Ok(());
        }
        let failed = report.cases.iter().filter(|case| !case.failures.is_empty());
        let (failed, all) = (failed.count(), report.cases.len());
        Err(Failure::Failed(format!("{failed} of {all} cases failed")))
    }
}

fn as_json(report: &Report) -> Value {
    let case = |case: &CaseReport| {
        json!({
            "file": case.file,
            "name": case.name,
            "passed": case.failures.is_empty(),
            "failures": case.failures,
            "fuel": case.fuel,
            "micros": case.micros,
        })
    };
    json!({
        "name": report.descriptor.name,
        "version": report.descriptor.version,
        "digest": report.digest_hex(),
        "bytes": report.size,
        "passed": report.passed(),
        "fuel_max": report.fuel_max(),
        "cases": report.cases.iter().map(case).collect::<Vec<_>>(),
    })
}
