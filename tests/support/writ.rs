//! A real Writ server: the built binary, a data directory of its own, free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use crate::{Admin, Application, Http, PATIENCE, Process};

/// How a server is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// With the demo of the walkthrough.
    pub demo: bool,
    /// With TLS, as by default; else `--http`.
    pub tls: bool,
    /// Which lines are logged, if not the usual ones.
    pub log_filter: Option<&'static str>,
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

/// The `writ` program that the same build made, beside the test binary.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let writ = test
        .parent()
        .and_then(Path::parent)
        .expect("test binaries lie in target/PROFILE/deps")
        .join("writ");
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
        let mut command = Command::new(binary());
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
        if let Some(filter) = start.log_filter {
            command.env("WRIT_LOG_FILTER", filter);
        }
        let process = Process::spawn("writ", command);
        let ops = process.line("writ: ops on ");
        let base = process.line("writ: listening on ");
        let port = base
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_else(|| panic!("no port in {base:?}"));
        let ca = data.path().join("writ-data/tls/cert.pem");
        Self {
            http: Http::new(&base, start.tls.then_some(ca.as_path())),
            ops: Http::new(&ops, None),
            process,
            start,
            base,
            port,
            data,
        }
    }

    /// Its address and issuer, such as `https://localhost:40123`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A client of its public listener.
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

    /// Starts it again on the same data and port, after [`Writ::stop`] or a kill.
    pub fn restart(self) -> Self {
        Self::launch(self.start, self.data, self.port)
    }

    /// Ends it without asking and starts it again.
    pub fn kill_and_restart(mut self) -> Self {
        self.process.kill();
        self.restart()
    }
}
