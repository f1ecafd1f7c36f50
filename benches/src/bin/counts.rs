//! How many instructions does each stage of a request take? Callgrind counts them, so a busy machine
//! gives the same answer, and two commits can be compared. This program is its own subject: it starts
//! itself under valgrind and reads what that wrote.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use writ_benches::World;
use writ_benches::stages::{self, Meter};
use writ_sandbox::SandboxConfig;

/// How often each stage runs before it is counted: caches fill, lazy parts are made.
const WARM: usize = 8;
/// Applications in the index: making ten thousand under valgrind takes minutes, and a lookup among them
/// only some steps more.
const APPLICATIONS: usize = 200;
/// Places for policies: valgrind has not enough address space for the usual number.
const POOL: u32 = 4;

#[derive(Parser, Debug)]
#[command(
    name = "counts",
    about = "Count the instructions of each stage of a request, by valgrind's callgrind",
    after_help = "Examples (cargo run --release -p writ-benches --bin counts -- …):
  counts --json before.json         at one commit
  counts --against before.json      at another: what has changed
  counts --only sign --times 1000"
)]
struct Cli {
    /// How often each stage runs while it is counted
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    times: usize,
    /// Only stages with this in their name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write the counts to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with the counts in a file
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Run the stages, as valgrind is asked to: writes their names to a file
    #[arg(long, hide = true, value_name = "FILE")]
    subject: Option<PathBuf>,
}

/// Instructions of one run of each stage, on the thread that runs it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    times: usize,
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.subject {
        Some(names) => cli.be_counted(names),
        None => cli.count(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "counts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What callgrind looks for: counting begins when it is entered, and what was counted is written when it
/// is left.
#[inline(never)]
fn writ_counted_stage(run: &mut dyn FnMut()) {
    run();
    black_box(());
}

/// Runs stages to be counted.
struct Counted<'a> {
    times: usize,
    only: Option<&'a str>,
    names: Vec<String>,
}

impl Meter for Counted<'_> {
    fn stage<I, O>(
        &mut self,
        name: &str,
        mut set_up: impl FnMut() -> I,
        mut run: impl FnMut(I) -> O,
    ) {
        if self.only.is_some_and(|part| !name.contains(part)) {
            return;
        }
        for _ in 0..WARM {
            black_box(run(set_up()));
        }
        let mut inputs: Vec<I> = (0..self.times).map(|_| set_up()).collect();
        // What comes out is dropped afterwards, as criterion has it.
        let mut outputs: Vec<O> = Vec::with_capacity(self.times);
        writ_counted_stage(&mut || {
            for input in inputs.drain(..) {
                outputs.push(run(black_box(input)));
            }
        });
        black_box(outputs);
        self.names.push(name.to_owned());
    }
}

impl Cli {
    fn be_counted(&self, names: &Path) -> Result<()> {
        let mut counted = Counted {
            times: self.times,
            only: self.only.as_deref(),
            names: Vec::new(),
        };
        let sandbox = SandboxConfig {
            pool: POOL,
            ..SandboxConfig::default()
        };
        let world = World::in_sandbox(APPLICATIONS, sandbox);
        stages::measure(&world, &mut counted);
        fs::write(names, serde_json::to_vec(&counted.names)?)?;
        Ok(())
    }

    fn count(&self) -> Result<()> {
        ensure!(self.times > 0, "each stage runs once at least");
        let before = self.against.as_deref().map(read).transpose()?;
        let counts = self.under_valgrind()?;
        if let Some(path) = &self.json {
            fs::write(path, serde_json::to_string_pretty(&counts)?)
                .with_context(|| path.display().to_string())?;
        }
        let mut out = std::io::stdout();
        write!(out, "{}", text(&counts, before.as_ref()))?;
        Ok(())
    }

    fn under_valgrind(&self) -> Result<Counts> {
        let directory = tempfile::tempdir()?;
        let (names, out) = (
            directory.path().join("names"),
            directory.path().join("callgrind"),
        );
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--quiet"])
            // A star at the end would want something behind the name.
            .args(["--toggle-collect=*writ_counted_stage"])
            .args(["--dump-after=*writ_counted_stage"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .arg("--subject")
            .arg(&names)
            .args(["--times", &self.times.to_string()]);
        if let Some(only) = &self.only {
            valgrind.args(["--only", only]);
        }
        let output = valgrind
            .output()
            .context("valgrind cannot be run (Debian: valgrind)")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let names: Vec<String> = serde_json::from_slice(&fs::read(&names)?)?;
        ensure!(!names.is_empty(), "no stage is called so");
        let mut counts = Counts {
            times: self.times,
            ..Counts::default()
        };
        for (number, name) in names.into_iter().enumerate() {
            let dump = directory.path().join(format!("callgrind.{}", number + 1));
            let dump = fs::read_to_string(&dump).with_context(|| dump.display().to_string())?;
            let total =
                total(&dump).with_context(|| format!("{name}: callgrind wrote no total"))?;
            counts
                .instructions
                .insert(name, total / u64::try_from(self.times)?);
        }
        Ok(counts)
    }
}

/// The instructions that a dump of callgrind is about.
fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn read(path: &Path) -> Result<Counts> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

fn text(counts: &Counts, before: Option<&Counts>) -> String {
    let mut out = format!("{:<32} {:>12}", "stage", "instructions");
    if before.is_some() {
        out.push_str(&format!(" {:>12} {:>8}", "before", "change"));
    }
    out.push('\n');
    for (name, now) in &counts.instructions {
        out.push_str(&format!("{name:<32} {now:>12}"));
        if let Some(before) = before.and_then(|before| before.instructions.get(name)) {
            let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
            out.push_str(&format!(" {before:>12} {change:>+7.2}%"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_dump_is_read() {
        let dump = "version: 1\nevents: Ir\nsummary: 5\n\nfn=(1) x\n1 5\n\ntotals: 12345\n";
        assert_eq!(total(dump), Some(12_345));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn a_change_is_shown_in_percent() {
        let counts = |value| Counts {
            times: 1,
            instructions: [("sign/ES256".to_owned(), value)].into(),
        };
        let text = text(&counts(101), Some(&counts(100)));
        assert!(
            text.ends_with("          101          100   +1.00%\n"),
            "{text}"
        );
    }
}
