//! A load on real servers: what a token costs in processor time of the server, beside a bare handler and
//! a bare handler that signs, which run in the same minute; latencies, memory, starts; what happens under
//! more load than can be served, and in ten minutes of it. `README.md` of the benches says how to read it.

mod client;
mod fixture;
mod histogram;
mod machine;
mod overload;
mod peer;
mod plan;
mod plot;
mod reference;
mod report;
mod run;
mod soak;
mod wire;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use fixture::Template;
use report::Report;
use run::{Effort, Servers};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use writ_core::Algorithm;

#[derive(Parser, Debug)]
#[command(
    name = "load",
    about = "Measure a real Writ server under load, beside what the hardware allows",
    args_conflicts_with_subcommands = true,
    after_help = "Examples (cargo run --release -p writ-benches --bin load -- …):
  load                                     every row of the goals, in five minutes
  load --quick                             the first figures, in a minute
  load --only token/EdDSA --rounds 5       some rows, with what they are compared with
  load --only token/ES256/p1 --connections 1,16,64,256
  load --matrix --json matrix.json         everything with everything: hours
  load --plot cost.svg                     also a picture
  load overload --times 2                  more than it can serve: what is shed, what is served
  load overload --flood                    one application floods: what do others notice?
  load soak --seconds 600                  ten minutes of full load, and then an audit
  load cold-start --applications 10000"
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    table: Table,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// More than the server can serve, at a given rate; or one application that floods it
    Overload(overload::Overload),
    /// Full load for long: memory, errors, and whether every token that was answered is in the log
    Soak(soak::Soak),
    /// How long a start takes
    ColdStart(Cold),
    /// A server to compare with, until it is killed: started by the others
    #[command(hide = true)]
    Reference(ReferenceServer),
}

/// What every measurement of Writ is told.
#[derive(Args, Debug)]
struct World {
    /// The program to measure [default: built now, with the profile of this program]
    #[arg(long, value_name = "FILE")]
    writ: Option<PathBuf>,
    /// How many applications there are
    #[arg(long, value_name = "NUMBER", default_value_t = writ_benches::APPLICATIONS)]
    applications: usize,
    /// Threads of each server; 0: one for each processor
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    workers: usize,
    /// Write the results as JSON to a file; - is the standard output, in place of the text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Table {
    #[command(flatten)]
    world: World,
    /// The first figures, in a minute
    #[arg(long)]
    quick: bool,
    /// Algorithm × policies × record × transport × connections: hours, unless --only chooses
    #[arg(long, conflicts_with = "quick")]
    matrix: bool,
    /// Only rows with this in their name, and what they are compared with; may be given again
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// At these numbers of connections
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    connections: Vec<usize>,
    /// How long each slice is measured [default: 2; with --quick 1]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How many slices each row gets [default: 3; with --quick 1]
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// Run a slice again if others had more of the machine than this, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    others_max: f64,
    /// Draw the costs against the floor into a file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Without the comparison with oidc-provider
    #[arg(long)]
    no_peer: bool,
    /// Print the names of the rows, and do nothing
    #[arg(long)]
    list: bool,
}

#[derive(Args, Debug)]
struct Cold {
    #[command(flatten)]
    world: World,
    /// How often
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    times: usize,
}

#[derive(Args, Debug)]
struct ReferenceServer {
    /// Sign, with this algorithm
    #[arg(long, value_name = "ALGORITHM")]
    sign: Option<String>,
    /// Threads; 0: one for each processor
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    machine::allow_many_files();
    let done = match cli.verb {
        None => cli.table.run(),
        Some(Verb::Overload(overload)) => overload.run(),
        Some(Verb::Soak(soak)) => soak.run(),
        Some(Verb::ColdStart(cold)) => cold.run(),
        Some(Verb::Reference(server)) => server.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("load: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something while the work goes on.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl World {
    /// The program to measure, built if need be.
    fn program(&self) -> Result<PathBuf> {
        if let Some(given) = &self.writ {
            ensure!(given.is_file(), "{} is no file", given.display());
            return Ok(given.clone());
        }
        let me = std::env::current_exe()?;
        let beside = me.with_file_name("writ");
        // `cargo run` says which cargo it is: so what is measured is what the sources are now.
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "writ", "--manifest-path"]);
            build.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            progress("building writ …");
            let status = build.stdout(Stdio::null()).status()?;
            ensure!(
                status.success(),
                "writ cannot be built: cargo says why above"
            );
        }
        ensure!(
            beside.is_file(),
            "{} is missing: run this by `cargo run`, which builds it, or name one by --writ",
            beside.display()
        );
        Ok(beside)
    }

    fn workers(&self) -> usize {
        match self.workers {
            0 => machine::processors(),
            workers => workers,
        }
    }

    fn template(&self) -> Result<Template> {
        progress(&format!(
            "making a log of {} applications …",
            self.applications
        ));
        Template::new(self.applications)
    }

    /// Prints the results, and writes them as JSON where that is wanted.
    fn publish(&self, value: &impl Serialize, text: &str) -> Result<()> {
        let mut out = std::io::stdout();
        match &self.json {
            Some(path) if path.as_os_str() == "-" => {
                writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
                return Ok(());
            }
            Some(path) => {
                let json = serde_json::to_string_pretty(value)?;
                std::fs::write(path, json).with_context(|| path.display().to_string())?;
            }
            None => {}
        }
        writeln!(out, "{}", text.trim_end())?;
        Ok(())
    }
}

impl Table {
    fn run(&self) -> Result<()> {
        let plan = match (self.quick, self.matrix) {
            (true, _) => plan::quick(),
            (_, true) => plan::matrix(),
            _ => plan::usual(),
        };
        let mut sets = plan::select(plan, &self.only, &self.connections);
        ensure!(
            !sets.is_empty(),
            "no row is called so: --list shows their names"
        );
        if self.list {
            return list(&sets);
        }
        let wants_peer = |set: &plan::Set| set.subjects.iter().any(|one| is_peer(*one));
        let peer = match !self.no_peer && sets.iter().any(wants_peer) {
            true => peer::install(),
            false => None,
        };
        if peer.is_none() {
            for set in &mut sets {
                set.subjects.retain(|subject| !is_peer(*subject));
            }
        }
        let effort = self.effort()?;
        let program = self.world.program()?;
        let template = self.world.template()?;
        let mut servers = Servers::new(program, template, self.world.workers(), peer);
        let cold = match self.only.is_empty() {
            true => Some(servers.cold_start(self.world.applications, 5)?),
            false => None,
        };
        let rows = servers.run(&sets, effort)?;
        let mut report = Report::new(rows, effort.slice.as_secs_f64(), effort.rounds);
        report.cold_start = cold;
        if let Some(path) = &self.plot {
            let title = format!("{}; {}", report.machine, report.commit);
            std::fs::write(path, plot::svg(&report.rows, &title))
                .with_context(|| path.display().to_string())?;
        }
        self.world.publish(&report, &report.text())
    }

    fn effort(&self) -> Result<Effort> {
        let (seconds, rounds) = if self.quick { (1.0, 1) } else { (2.0, 3) };
        let seconds = self.seconds.unwrap_or(seconds);
        let rounds = self.rounds.unwrap_or(rounds);
        ensure!(
            seconds.is_finite() && seconds > 0.0 && seconds < 3_600.0 && rounds > 0,
            "a slice takes up to an hour, and there is one at least"
        );
        Ok(Effort {
            slice: Duration::from_secs_f64(seconds),
            rounds,
            others_max: self.others_max / 100.0,
        })
    }
}

fn is_peer(subject: plan::Subject) -> bool {
    matches!(subject, plan::Subject::Peer(_))
}

fn list(sets: &[plan::Set]) -> Result<()> {
    let mut out = std::io::stdout();
    for set in sets {
        for subject in &set.subjects {
            writeln!(out, "{}", plan::row(*subject, set.connections))?;
        }
    }
    Ok(())
}

impl Cold {
    fn run(&self) -> Result<()> {
        let (program, template) = (self.world.program()?, self.world.template()?);
        let servers = Servers::new(program, template, self.world.workers(), None);
        let cold = servers.cold_start(self.world.applications, self.times)?;
        let text = format!(
            "{} applications: {:.0} ms until it listens, {:.0} ms of processor time, {:.1} MB",
            cold.applications,
            cold.milliseconds,
            cold.server_ms,
            report::megabytes(cold.memory)
        );
        self.world.publish(&cold, &text)
    }
}

impl ReferenceServer {
    fn run(&self) -> Result<()> {
        let algorithm = self.sign.as_deref().map(algorithm).transpose()?;
        let workers = match self.workers {
            0 => machine::processors(),
            workers => workers,
        };
        reference::serve(algorithm, workers)
    }
}

/// An algorithm by its name.
fn algorithm(name: &str) -> Result<Algorithm> {
    let known = Algorithm::ALL;
    match known.into_iter().find(|one| one.as_str() == name) {
        Some(algorithm) => Ok(algorithm),
        None => {
            let names = known.map(Algorithm::as_str).join(", ");
            bail!("{name} is none of {names}")
        }
    }
}
