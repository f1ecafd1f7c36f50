//! A real Writ server: the built binary, a data directory of its own, free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use crate::{Admin, Application, Http, PATIENCE, Process};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// With the demo of the walkthrough.
    pub demo: bool,
    /// With TLS, as by default; else `--http`.
    pub tls: bool,
    /// The path of its issuer, such as `/t1`. It is known with the port, so this is for a server
    /// that has one: for [`Writ::restart_as`].
    pub path: &'static str,
    /// Keys of the configuration, by the names of their variables, such as `WRIT_LOG_FILTER`.
    pub variables: Vec<(&'static str, String)>,
    /// Runs `writ` by this script of a shell, which has it in `"$@"`.
    pub shell: Option<String>,
}

impl Start {
    /// With a key of the configuration, by the name of its variable.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }
}

/// A running `writ dev`. Dropping it kills the process and removes its data directory.
#[derive(Debug)]
pub struct Writ {
    process: Process,
    start: Start,
    base: String,
    port: u16,
    ops: Http,
    http: Http,
    data: TempDir,
}

/// Where the build put the programs it made: `target/PROFILE`, in which this one lies too, or below
/// it in `deps`, as test binaries do. Not by cargo's tag: it tags only a target directory that it
/// has made itself.
pub(crate) fn built() -> PathBuf {
    let program = std::env::current_exe().expect("a process knows its program");
    let directory = program.parent().expect("a program is in a directory");
    match directory.parent() {
        Some(profile) if directory.ends_with("deps") => profile.to_owned(),
        _ => directory.to_owned(),
    }
}

/// The `writ` program that the same build made.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let writ = built().join("writ");
    assert!(
        writ.is_file(),
        "{} is missing: run `cargo test --workspace`, which builds it",
        writ.display()
    );
    writ
}

impl Writ {
    /// Plain HTTP, nothing registered but the administrator.
    pub fn start() -> Self {
        Self::with(Start::default())
    }

    /// A fresh server, started as told.
    pub fn with(start: Start) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        Self::launch(start, data, 0)
    }

    fn launch(start: Start, data: TempDir, port: u16) -> Self {
        let mut command = match &start.shell {
            None => Command::new(binary()),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", script, "sh"]).arg(binary());
                shell
            }
        };
        command
            .arg("dev")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--data-dir")
            .arg(data.path().join("writ-data"));
        if !start.tls {
            command.arg("--http");
        }
        if start.demo {
            command.arg("--demo");
        }
        if !start.path.is_empty() {
            let scheme = if start.tls { "https" } else { "http" };
            let issuer = format!("{scheme}://localhost:{port}{}", start.path);
            command.args(["--issuer", &issuer]);
        }
        for (name, value) in &start.variables {
            command.env(name, value);
        }
        let process = Process::spawn("writ", command);
        let ops = process.line("writ: ops on ");
        let base = process.line("writ: listening on ");
        let port = base
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_else(|| panic!("no port in {base:?}"));
        let given = start
            .variables
            .iter()
            .find(|(name, _)| *name == "WRIT_TLS_CERT_FILE");
        let ca = match given {
            Some((_, file)) => PathBuf::from(file),
            None => data.path().join("writ-data/tls/cert.pem"),
        };
        let issuer = format!("{base}{}", start.path);
        Self {
            http: Http::new(&issuer, start.tls.then_some(ca.as_path())),
            ops: Http::new(&ops, None),
            process,
            start,
            base,
            port,
            data,
        }
    }

    /// Its address, such as `https://localhost:40123`: the issuer, if that has no path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A client of its public listener, at the issuer.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// A client of its listener for operators.
    pub fn ops(&self) -> &Http {
        &self.ops
    }

    /// Its data directory, or a file in it.
    pub fn data(&self, file: &str) -> PathBuf {
        self.data.path().join("writ-data").join(file)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The next line it prints that starts with `prefix`, without the prefix.
    pub fn line(&self, prefix: &str) -> String {
        self.process.line(prefix)
    }

    /// All it has printed and logged so far.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.process.stdout(), self.process.stderr())
    }

    /// Its first administrator, signed in.
    pub fn admin(&self) -> Admin {
        Admin::sign_in(&self.http, &self.data("admin.json"))
    }

    /// The demo's job.
    pub fn demo_application(&self) -> Application {
        Application::from_file(&self.http, &self.data("demo.json"))
    }

    /// Stops it by SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        self.process.wait(PATIENCE)
    }

    /// Starts it again on the same data and port, after [`Writ::stop`] or a kill; stops it first, if
    /// it runs.
    pub fn restart(self) -> Self {
        let start = self.start.clone();
        self.restart_as(start)
    }

    /// The same, started otherwise.
    pub fn restart_as(mut self, start: Start) -> Self {
        if self.process.ended().is_none() {
            self.stop();
        }
        Self::launch(start, self.data, self.port)
    }

    /// Ends it without asking and starts it again.
    pub fn kill_and_restart(mut self) -> Self {
        self.process.kill();
        self.restart()
    }
}
