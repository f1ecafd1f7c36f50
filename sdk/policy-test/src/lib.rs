//! What there is to do with a policy before it meets a server: making one ([`scaffold`]), building
//! it ([`wasm`]), and running its case files through the server's own engine ([`run_cases`]), with
//! the fuel and the limits of production.
//!
//! `writ policy` is made of this, and so are the tests of `policies/*`.

mod convert;
pub mod scaffold;
pub mod wasm;

use std::fmt;
use std::path::{Path, PathBuf};

use writ_policy::testing::{self, Answer};
use writ_policy::{Descriptor, Named, Request};
use writ_sandbox::{LoadError, Policy, Sandbox, SandboxConfig, SandboxError, Trouble};

pub use convert::{from_sandbox, to_sandbox};

/// How much a run asks for beyond the cases themselves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// No answer may use more fuel than this. The server's own limit, unless set.
    pub fuel_max: u64,
    /// Whether each case's request is also asked in many variations, for what holds for every
    /// policy.
    pub variations: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fuel_max: writ_sandbox::FUEL,
            variations: true,
        }
    }
}

/// Why cases could not be run. (That they failed is in the [`Report`].)
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// This machine has no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The module is not one that a server takes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The case files are not what they should be.
    #[error("{0}")]
    Cases(String),
    /// The machine is too busy, or its sandbox broke.
    #[error("{case}: {trouble}")]
    Trouble {
        /// Where.
        case: String,
        /// What.
        trouble: Trouble,
    },
}

/// What came of a module's cases.
#[derive(Clone, Debug)]
pub struct Report {
    /// The module's bytes.
    pub size: usize,
    /// SHA-256 of the module: the policy's name on a server.
    pub digest: [u8; 32],
    /// What the policy says about itself.
    pub descriptor: Descriptor,
    /// Each case, in the order of files and of cases within them.
    pub cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// Where it is written.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// What the policy answered.
    pub answer: Answer,
    /// The fuel of the answer: the same everywhere. Zero when the settings were refused.
    pub fuel: u64,
    /// How long it took here, the sandbox included.
    pub micros: u32,
    /// What differs from what was expected, and what should hold for every policy and does not.
    pub failures: Vec<String>,
}

/// Runs a module's cases, from a directory or one file, in a sandbox of its own.
///
/// # Errors
/// [`TestError`]: the module or the cases cannot be used.
pub fn run_cases(module: &[u8], cases: &Path) -> Result<Report, TestError> {
    run_cases_in(&sandbox()?, module, cases, Options::default())
}

/// A sandbox for tests: compiles in this process, keeps nothing. Fuel ends what runs too long, as
/// on a server; the clock behind it waits for longer, as a machine that tests may be busy.
///
/// # Errors
/// When this machine cannot have one.
pub fn sandbox() -> Result<Sandbox, SandboxError> {
    Sandbox::new(SandboxConfig {
        pool: 4,
        epoch_ticks: 500,
        ..SandboxConfig::default()
    })
}

/// The request as a server passes it to this policy: with the attributes that it reads and no
/// others, `time.*` from `at` where they are not given, everything sorted.
#[must_use]
pub fn as_served(policy: &Policy, request: &writ_sandbox::Request) -> writ_sandbox::Request {
    let descriptor = from_sandbox::descriptor(policy.descriptor());
    to_sandbox::request(&testing::as_served(
        &descriptor,
        &from_sandbox::request(request),
    ))
}

/// Runs a module's cases in this sandbox.
///
/// # Errors
/// [`TestError`]: the module or the cases cannot be used.
pub fn run_cases_in(
    sandbox: &Sandbox,
    module: &[u8],
    cases: &Path,
    options: Options,
) -> Result<Report, TestError> {
    let policy = sandbox.load(module)?;
    let descriptor = from_sandbox::descriptor(policy.descriptor());
    let mut reports = Vec::new();
    for case in testing::load(cases).map_err(TestError::Cases)? {
        let trouble = |trouble| TestError::Trouble {
            case: case.to_string(),
            trouble,
        };
        let request = testing::as_served(&descriptor, &case.request);
        let asked = ask(&policy, &request, &case.settings).map_err(trouble)?;
        let mut failures = case.compare(&request, &asked.answer);
        if options.variations && !matches!(asked.answer, Answer::Problems(_)) {
            for request in testing::variations(&request) {
                let wrong = hold(
                    &policy,
                    &descriptor,
                    &request,
                    &case.settings,
                    options.fuel_max,
                )
                .map_err(trouble)?;
                if let Some(wrong) = wrong {
                    failures.push(format!("{wrong}, for {request:?}"));
                    break;
                }
            }
        }
        reports.push(CaseReport {
            file: case.file.clone(),
            name: case.name.clone(),
            answer: asked.answer,
            fuel: asked.fuel,
            micros: asked.micros,
            failures,
        });
    }
    Ok(Report {
        size: module.len(),
        digest: *policy.digest(),
        descriptor,
        cases: reports,
    })
}

struct Asked {
    answer: Answer,
    fuel: u64,
    micros: u32,
}

/// Asks as a server does: settings are resolved, then validated, then the request is judged.
fn ask(policy: &Policy, request: &Request, settings: &[Named]) -> Result<Asked, Trouble> {
    let refused = |problems: Vec<writ_sandbox::Problem>| Asked {
        answer: Answer::Problems(problems.iter().map(from_sandbox::problem).collect()),
        fuel: 0,
        micros: 0,
    };
    let settings = match policy.descriptor().resolve(&to_sandbox::named(settings)) {
        Ok(settings) => settings,
        Err(problems) => return Ok(refused(problems)),
    };
    if let Err(problems) = policy.validate(&settings)? {
        return Ok(refused(problems));
    }
    let verdict = policy.evaluate(&to_sandbox::request(request), &settings);
    let answer = match verdict.result {
        Ok(outcome) => Answer::Outcome(from_sandbox::outcome(&outcome)),
        Err(Trouble::Fault { text }) => Answer::Fault(text),
        Err(trouble) if trouble.is_servers() => return Err(trouble),
        Err(trouble) => Answer::Fault(trouble.to_string()),
    };
    Ok(Asked {
        answer,
        fuel: verdict.fuel,
        micros: verdict.micros,
    })
}

/// What should hold for every policy and does not.
fn hold(
    policy: &Policy,
    descriptor: &Descriptor,
    request: &Request,
    settings: &[Named],
    fuel_max: u64,
) -> Result<Option<String>, Trouble> {
    let first = ask(policy, request, settings)?;
    let second = ask(policy, request, settings)?;
    if (&first.answer, first.fuel) != (&second.answer, second.fuel) {
        return Ok(Some("two answers to one question".to_owned()));
    }
    if first.fuel > fuel_max {
        return Ok(Some(format!(
            "it uses {} of fuel, above {fuel_max}",
            first.fuel
        )));
    }
    match &first.answer {
        Answer::Outcome(outcome) => Ok(testing::sound(descriptor, request, outcome).err()),
        Answer::Fault(_) | Answer::Problems(_) => Ok(None),
    }
}

impl Report {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.failures.is_empty())
    }

    /// The most fuel that a case used.
    #[must_use]
    pub fn fuel_max(&self) -> u64 {
        self.cases.iter().map(|case| case.fuel).max().unwrap_or(0)
    }

    /// The digest as people see it.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        let digits = |byte: &u8| format!("{byte:02x}");
        self.digest.iter().map(digits).collect()
    }
}

/// A table for people: each case with its fuel and time, what failed below it, a sum at the end.
impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failed = 0;
        let width = self
            .cases
            .iter()
            .map(|case| case.name.chars().count())
            .max();
        let width = width.unwrap_or(0).min(72);
        for case in &self.cases {
            let (name, fuel, micros) = (&case.name, case.fuel, case.micros);
            if case.failures.is_empty() {
                writeln!(to, "ok    {name:width$}  {fuel:>8} fuel {micros:>6} us")?;
            } else {
                failed += 1;
                writeln!(to, "FAIL  {name}  ({})", case.file.display())?;
                for failure in &case.failures {
                    writeln!(to, "      {failure}")?;
                }
            }
        }
        let (cases, size, fuel) = (self.cases.len(), self.size, self.fuel_max());
        write!(
            to,
            "{cases} cases, {failed} failed; {size} bytes, {fuel} fuel at most"
        )
    }
}
