//! The servers of a run: Writ itself, as its users run it (`writ serve` on a data directory that has
//! ten thousand applications), and the reference servers.

use crate::client::{Load, Outcome, Population, Requests, Target};
use crate::reference::{CLIENT_ID, CLIENT_SECRET, READY, SCOPE};
use crate::wire;
use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use writ::clock::{Clock, SystemClock, SystemRandom};
use writ_benches::{Credentials, World, scope};
use writ_core::{Algorithm, RecordMode};
use writ_tests::{Admin, Http, Process};

/// The numbers of policies that an application of a run is judged by.
pub const POLICIES: [usize; 3] = [0, 1, 3];
/// How a good answer of a token endpoint begins.
pub const TOKEN: &[u8] = b"{\"access_token\":\"";
/// How the answer for a token that is good begins.
pub const ACTIVE: &[u8] = b"{\"active\":true";
/// How many applications the administrator changes in turn.
const CHANGED: usize = 200;

/// A data directory to begin from, and who is in it.
#[derive(Debug)]
pub struct Template {
    directory: TempDir,
    /// The API itself: it may introspect.
    guard: Credentials,
    /// For each of [`POLICIES`] an application.
    judged: [Credentials; POLICIES.len()],
}

impl Template {
    /// Makes one with so many applications.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub fn new(applications: usize) -> Result<Self> {
        let world = World::with(applications);
        let judged = POLICIES.map(|policies| world.create_judged(policies));
        let guard = Credentials {
            id: world.client_id.clone(),
            secret: world.client_secret.clone(),
        };
        let (directory, _) = world.stop();
        let now = SystemClock.now();
        writ::tls::self_signed(&directory.path().join("tls"), now, &SystemRandom)?;
        Ok(Self {
            directory,
            guard,
            judged,
        })
    }
}

/// A `writ serve` of its own copy of the data.
#[derive(Debug)]
pub struct Writ {
    process: Process,
    directory: TempDir,
    http: Http,
    target: Target,
    guard: Credentials,
    judged: [Credentials; POLICIES.len()],
    mode: Option<RecordMode>,
    /// How long it took to start, from the call to the line that says that it listens.
    pub start: Duration,
}

/// How a server is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serving {
    /// With TLS; else plain.
    pub tls: bool,
    /// Threads that serve requests; 0 is one for each processor.
    pub workers: usize,
}

impl Writ {
    /// Starts the program on a copy of the template.
    ///
    /// # Errors
    /// The copy cannot be made, or nothing listens.
    pub fn start(program: &Path, template: &Template, serving: Serving) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        copy(template.directory.path(), directory.path())?;
        let (mut command, tls) = (Command::new(program), directory.path().join("tls"));
        command
            .args(["serve", "--issuer", "https://writ.example"])
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .env("WRIT_HTTP_WORKERS", serving.workers.to_string())
            .env("WRIT_HTTP_SHUTDOWN_DELAY", "0s");
        if serving.tls {
            command
                .env("WRIT_TLS_CERT_FILE", tls.join("cert.pem"))
                .env("WRIT_TLS_KEY_FILE", tls.join("key.pem"));
        } else {
            command.arg("--http");
        }
        let began = Instant::now();
        let process = Process::spawn("writ", command);
        let base = process.line("writ: listening on ");
        let start = began.elapsed();
        let ca = tls.join("cert.pem");
        let target = Target {
            address: address_of(&base)?,
            tls: serving.tls.then(|| trusting(&ca)).transpose()?,
        };
        Ok(Self {
            http: Http::new(&base, serving.tls.then_some(ca.as_path())),
            process,
            directory,
            target,
            guard: template.guard.clone(),
            judged: template.judged.clone(),
            mode: None,
            start,
        })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// All that it has said on standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Stops it, and waits until it has.
    pub fn stop(&mut self) {
        self.process.terminate();
        self.process.wait(Duration::from_secs(60));
    }

    /// Its administrator, with a new token.
    fn admin(&self) -> Admin {
        Admin::sign_in(&self.http, &self.data().join("admin.json"))
    }

    /// Changes how issuances are recorded, where they are not so already.
    pub fn record(&mut self, mode: RecordMode) {
        if self.mode != Some(mode) {
            let change = json!({ "issuance.record": mode });
            self.admin().patch("/settings", &change).expect(200);
            self.mode = Some(mode);
        }
    }

    /// A request for a token of two scopes, by the application that is judged by so many policies.
    pub fn token_request(&self, algorithm: Algorithm, policies: usize) -> Vec<u8> {
        let place = POLICIES.iter().position(|number| *number == policies);
        let application = place.map_or(&self.guard, |place| &self.judged[place]);
        token_request(application, &scope(algorithm))
    }

    /// The question whether a token is good.
    pub fn introspection(&self, token: &str) -> Vec<u8> {
        wire::post_form(
            "/oauth2/introspect",
            &[
                ("token", token),
                ("client_id", &self.guard.id),
                ("client_secret", &self.guard.secret),
            ],
        )
    }

    /// So many tokens.
    ///
    /// # Errors
    /// It does not answer, or not with tokens.
    pub fn tokens(&self, algorithm: Algorithm, count: usize) -> Result<Vec<String>> {
        let requests = Requests::Once(vec![self.token_request(algorithm, 0); count]);
        let mut population = Population::closed(&self.target, requests, count.min(64));
        population.keep = true;
        let outcome = finished(population.expecting(TOKEN))?;
        let token = |body: Vec<u8>| -> Result<String> {
            let body: Value = serde_json::from_slice(&body)?;
            let token = body["access_token"].as_str().context("an access token")?;
            Ok(token.to_owned())
        };
        outcome.bodies.into_iter().map(token).collect()
    }

    /// Changes that an administrator makes, each of which is one event: applications get other names.
    ///
    /// # Errors
    /// The list of applications is not one.
    pub fn changes(&self) -> Result<Requests> {
        let admin = self.admin();
        let list = admin
            .get(&format!("/applications?limit={CHANGED}"))
            .expect(200)
            .json();
        let items = list["items"].as_array().context("items")?;
        // Not of those that ask for tokens meanwhile: theirs would be decided again.
        let asking = |id: &&str| {
            self.judged
                .iter()
                .chain([&self.guard])
                .any(|it| it.id == *id)
        };
        let ids = items.iter().filter_map(|item| item["id"].as_str());
        let ids: Vec<&str> = ids.filter(|id| !asking(id)).collect();
        ensure!(!ids.is_empty(), "there are no applications to change");
        let bearer = format!("Bearer {}", admin.token());
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let named = |name: &str| {
            let body = json!({ "name": name }).to_string();
            let request = |id| {
                wire::request(
                    "PATCH",
                    &format!("/api/v1/applications/{id}"),
                    &headers,
                    &body,
                )
            };
            ids.iter().map(request).collect::<Vec<Vec<u8>>>()
        };
        Ok(Requests::Cycle(
            [named("One name"), named("Another name")].concat(),
        ))
    }
}

/// Runs a population to its end.
fn finished(population: Population) -> Result<Outcome> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let mut load = Load::connect(vec![population])?;
    ensure!(load.run(PATIENCE)? < PATIENCE, "the server is too slow");
    let outcome = load.outcomes().remove(0);
    match &outcome.first_trouble {
        Some(trouble) => bail!("the server does not do what it should: {trouble}"),
        None => Ok(outcome),
    }
}

/// A request for a token.
pub fn token_request(application: &Credentials, scope: &str) -> Vec<u8> {
    wire::post_form(
        "/oauth2/token",
        &[
            ("grant_type", "client_credentials"),
            ("client_id", &application.id),
            ("client_secret", &application.secret),
            ("scope", scope),
        ],
    )
}

/// A server that is compared with.
#[derive(Debug)]
pub struct Reference {
    process: Process,
    target: Target,
}

impl Reference {
    /// Starts this very program as a reference server: bare, or one that signs.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start(algorithm: Option<Algorithm>, workers: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("reference")
            .args(["--workers", &workers.to_string()]);
        if let Some(algorithm) = algorithm {
            command.args(["--sign", algorithm.as_str()]);
        }
        Self::spawn("reference", command, READY)
    }

    /// Starts a program that prints its address after `ready`.
    ///
    /// # Errors
    /// What it prints is no address.
    pub fn spawn(name: &str, command: Command, ready: &str) -> Result<Self> {
        let process = Process::spawn(name, command);
        let address = process.line(ready);
        let address = address
            .parse()
            .with_context(|| format!("{name} prints {address:?}, which is no address"))?;
        Ok(Self {
            process,
            target: Target { address, tls: None },
        })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it is.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// What the reference servers and the peers are asked.
pub fn reference_request(path: &str) -> Vec<u8> {
    wire::post_form(
        path,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
            ("scope", SCOPE),
        ],
    )
}

/// The port of a URL of this machine.
fn address_of(base: &str) -> Result<SocketAddr> {
    let port = base
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.with_context(|| format!("no port in {base:?}"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// TLS that trusts one certificate. Sessions are not resumed: each handshake is a whole one.
fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
