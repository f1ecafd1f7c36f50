//! Configuration of this node: `writ.toml`, the `WRIT_…` environment and the command line.
//!
//! Only what belongs to one node is here: listeners, TLS files, paths, the master key, proxies,
//! resource limits. Whatever can change a decision or a token is a setting, changed by a command
//! and recorded as an event. This is the only file that reads the environment.
//!
//! Every key has one name (`http.listen`), and so one variable (`WRIT_HTTP_LISTEN`). A later
//! source overrides an earlier one: defaults, file, environment, command line. A name that nobody
//! knows is an error, in the file and in the environment alike: a key that is misspelt and then
//! ignored is the worst of configurations.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use writ_ledger::note::{KeyKind, Vkey};

use crate::keys::{MasterKey, MasterKeyError};
use crate::net::{Cidr, ParseCidrError, TrustedProxies};

/// Each is a thread.
const WITNESSES_MAX: usize = 16;

/// The variable that holds the master key itself, where there is no file for it.
pub const MASTER_KEY_VARIABLE: &str = "WRIT_MASTER_KEY";

/// Variables that begin with `WRIT_` and are not keys: the master key, and the path of the
/// configuration file, which is the command line's to read.
const OTHER_VARIABLES: [&str; 3] = ["WRIT_ADMIN_FILE", "WRIT_CONFIG", MASTER_KEY_VARIABLE];

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The issuer identifier (RFC 8414 §2): in every token, and the base of every URL. All nodes
    /// of one server have the same. It is here and not a setting because clients trust it by name:
    /// it must be right before the first event, and changing it is a new server to all of them.
    pub issuer: Option<Issuer>,
    /// The public listener.
    pub http: Http,
    /// The admin API's listener.
    pub admin: Admin,
    /// The listener of health and metrics.
    pub ops: Ops,
    /// The certificate of the listeners.
    pub tls: Tls,
    /// Proxies in front.
    pub proxies: Proxies,
    /// Whom this node may ask for keys of others.
    pub outbound: Outbound,
    /// The master key.
    pub master_key: MasterKeyFile,
    /// The engine of the admin log.
    pub store: Store,
    /// Checkpoints of the admin log.
    pub checkpoint: Checkpoint,
    /// Room on the disk.
    pub disk: Disk,
    /// Logging.
    pub log: Log,
    sources: Vec<(&'static str, Source)>,
    master_key_text: Option<HiddenText>,
}

/// `http.*`
#[derive(Clone, Debug)]
pub struct Http {
    /// Where the public endpoints listen.
    pub listen: SocketAddr,
    /// Plain HTTP instead of TLS: behind a proxy, or in a test.
    pub plain: bool,
    /// Threads that serve requests; 0 is one for each core.
    pub workers: usize,
    /// The longest a request may take to arrive, and to be answered.
    pub request_timeout: Duration,
    /// The largest body of the admin API, in bytes. A form is never larger than 64 KiB.
    pub max_body: ByteSize,
    /// How long the listeners stay open after SIGTERM, when readiness has failed already.
    pub shutdown_delay: Duration,
    /// How long requests may take to finish after that.
    pub shutdown_grace: Duration,
}

/// `admin.*`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where the admin API listens, if not beside the public endpoints.
    pub listen: Option<SocketAddr>,
}

/// `ops.*`
#[derive(Clone, Debug)]
pub struct Ops {
    /// Where health and metrics listen, always in plain HTTP.
    pub listen: SocketAddr,
}

/// `tls.*`
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub cert_file: Option<PathBuf>,
    /// The private key, in PEM.
    pub key_file: Option<PathBuf>,
    /// Whether clients are asked for a certificate (RFC 8705 §2).
    pub client_certificates: bool,
    /// The authorities whose client certificates count for `tls_client_auth`, in PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Which of their certificates are revoked, in PEM.
    pub client_crl_file: Option<PathBuf>,
}

/// `proxies.*`
#[derive(Clone, Debug)]
pub struct Proxies {
    /// The networks whose `X-Forwarded-For` and `Client-Cert` are believed.
    pub trusted: Vec<Cidr>,
}

/// `outbound.*`
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Networks that keys may be fetched from besides those of the public internet.
    pub allow: Vec<Cidr>,
    /// Certificates that their servers are known by besides those that the machine trusts, in PEM.
    pub ca_file: Option<PathBuf>,
}

/// `master_key.*`
#[derive(Clone, Debug)]
pub struct MasterKeyFile {
    /// The file of the master key; `master.key` in the data directory where not given.
    pub file: Option<PathBuf>,
}

/// `store.*`
#[derive(Clone, Debug)]
pub struct Store {
    /// The engine of the admin log.
    pub engine: Engine,
}

/// `checkpoint.*`
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// A file outside of the data directory that gets each checkpoint too. A start holds the log
    /// against it, and so notices that an older copy of the whole data directory was put back.
    pub copy_to: Option<PathBuf>,
    /// Who signs each checkpoint too.
    pub witnesses: Vec<Witness>,
    /// The certificates that witnesses are known by, in PEM, instead of those of the system.
    pub witness_ca_file: Option<PathBuf>,
}

/// A witness (C2SP tlog-witness): written as its URL, a space, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The submission prefix, without a slash at its end.
    pub url: String,
    /// The key that it signs with.
    pub vkey: Vkey,
}

/// `disk.*`
#[derive(Clone, Debug)]
pub struct Disk {
    /// Free bytes below which no tokens are issued, so that there is room to revoke.
    pub issuance_floor: ByteSize,
}

/// `log.*`
#[derive(Clone, Debug)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// Which lines: directives such as `info,writ=debug`.
    pub filter: String,
}

/// All defaults.
impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            data_dir: PathBuf::from("writ-data"),
            issuer: None,
            http: Http {
                listen: SocketAddr::new(loopback, 9443),
                plain: false,
                workers: 0,
                request_timeout: Duration::from_secs(10),
                max_body: ByteSize(1024 * 1024),
                shutdown_delay: Duration::from_secs(5),
                shutdown_grace: Duration::from_secs(30),
            },
            admin: Admin { listen: None },
            ops: Ops {
                listen: SocketAddr::new(loopback, 9444),
            },
            tls: Tls {
                cert_file: None,
                key_file: None,
                client_certificates: false,
                client_ca_file: None,
                client_crl_file: None,
            },
            proxies: Proxies {
                trusted: Vec::new(),
            },
            outbound: Outbound {
                allow: Vec::new(),
                ca_file: None,
            },
            master_key: MasterKeyFile { file: None },
            store: Store {
                engine: Engine::Redb,
            },
            checkpoint: Checkpoint {
                copy_to: None,
                witnesses: Vec::new(),
                witness_ca_file: None,
            },
            disk: Disk {
                issuance_floor: ByteSize(256 * 1024 * 1024),
            },
            log: Log {
                format: LogFormat::Auto,
                filter: "info".to_owned(),
            },
            sources: Vec::new(),
            master_key_text: None,
        }
    }
}

/// All keys, each with what it is for, in the order in which they are shown: those without a
/// section first, then section by section.
macro_rules! keys {
    ($($name:literal $doc:literal => $($field:ident).+;)*) => {
        const KEYS: &[(&str, &str)] = &[$(($name, $doc),)*];

        impl Config {
            /// Sets a key. `None`: there is no such key.
            fn set(&mut self, key: &str, raw: &Raw<'_>) -> Option<Result<(), String>> {
                match key {
                    $($name => Some(Value::read(raw).map(|value| self.$($field).+ = value)),)*
                    _ => None,
                }
            }

            /// The value of a key as TOML; `None` where it is not set.
            fn show(&self, key: &str) -> Option<String> {
                match key {
                    $($name => self.$($field).+.show(),)*
                    _ => None,
                }
            }
        }
    };
}

keys! {
    "data_dir" "the data directory" => data_dir;
    "issuer" "the issuer identifier, such as https://login.example.com" => issuer;
    "http.listen" "address and port of the public endpoints" => http.listen;
    "http.plain" "plain HTTP instead of TLS; off loopback needs proxies.trusted" => http.plain;
    "http.workers" "threads that serve requests; 0: one for each core" => http.workers;
    "http.request_timeout" "longest time of a request" => http.request_timeout;
    "http.max_body" "largest body of the admin API" => http.max_body;
    "http.shutdown_delay" "time between failing readiness and closing the listeners" => http.shutdown_delay;
    "http.shutdown_grace" "time for requests to finish after SIGTERM" => http.shutdown_grace;
    "admin.listen" "a listener of its own for the admin API" => admin.listen;
    "ops.listen" "address and port of health and metrics" => ops.listen;
    "tls.cert_file" "certificate chain in PEM; read again when it changes" => tls.cert_file;
    "tls.key_file" "its private key in PEM" => tls.key_file;
    "tls.client_certificates" "whether clients are asked for a certificate; none is needed" => tls.client_certificates;
    "tls.client_ca_file" "authorities of client certificates (tls_client_auth), in PEM; read again when it changes" => tls.client_ca_file;
    "tls.client_crl_file" "their revocation lists in PEM, one of each; read again when it changes" => tls.client_crl_file;
    "proxies.trusted" "networks of the proxies whose headers are believed" => proxies.trusted;
    "outbound.allow" "networks that keys may be fetched from, besides public addresses" => outbound.allow;
    "outbound.ca_file" "certificates to know their servers by, in PEM, besides the system's" => outbound.ca_file;
    "master_key.file" "the master key; default: master.key in data_dir" => master_key.file;
    "store.engine" "engine of the admin log: redb or sled" => store.engine;
    "checkpoint.copy_to" "a file outside of data_dir that gets each checkpoint of the log too" => checkpoint.copy_to;
    "checkpoint.witnesses" "who signs each checkpoint too: [\"https://w.example w.example/w1+1f2e3d4c+BA…\"]" => checkpoint.witnesses;
    "checkpoint.witness_ca_file" "certificates to know witnesses by, in PEM; default: those of the system" => checkpoint.witness_ca_file;
    "disk.issuance_floor" "free space below which no tokens are issued" => disk.issuance_floor;
    "log.format" "auto, text or json" => log.format;
    "log.filter" "which lines, such as info,writ=debug" => log.filter;
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file, at a line.
    File(usize),
    /// A variable of the environment.
    Environment,
    /// The command line.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "file, line {line}"),
            Self::Environment => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, variable, or key.
    pub place: String,
    /// What is wrong there.
    pub text: String,
}

/// The configuration cannot be used. It holds all problems at once, so that they can be mended
/// at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { place, text }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{place}: {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The `WRIT_…` variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process.
    ///
    /// # Errors
    /// A value is not UTF-8.
    pub fn of_process() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one look at the environment")]
        let all = std::env::vars_os();
        let mut problems = Vec::new();
        let mut found = BTreeMap::new();
        for (name, value) in all {
            let Some(name) = name.to_str().filter(|name| name.starts_with("WRIT_")) else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    found.insert(name.to_owned(), value);
                }
                Err(_) => problems.push(Problem::new(name, "is not UTF-8")),
            }
        }
        if problems.is_empty() {
            Ok(Self(found))
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The variable, if it is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    /// These variables: for tests.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where a configuration comes from, from the weakest to the strongest.
#[derive(Clone, Debug, Default)]
pub struct Inputs<'a> {
    /// Defaults of the verb that differ from the usual ones, as (key, value).
    pub defaults: &'a [(&'a str, &'a str)],
    /// The configuration file.
    pub file: Option<&'a Path>,
    /// The environment.
    pub environment: Environment,
    /// What the command line says, as (key, value).
    pub command_line: &'a [(&'a str, String)],
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// A source cannot be read, a key is unknown, a value is none, or values contradict each
    /// other. All that is wrong is in the one error.
    pub fn load(inputs: &Inputs<'_>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut problems = Vec::new();
        for (key, value) in inputs.defaults {
            let raw = Raw {
                item: Item::Text((*value).to_owned()),
                base: None,
            };
            config.take(
                key,
                &raw,
                Source::Default,
                format!("default of {key}"),
                &mut problems,
            );
        }
        if let Some(path) = inputs.file {
            match std::fs::read_to_string(path) {
                Ok(text) => config.take_file(path, &text, &mut problems),
                Err(error) => {
                    let text = format!("cannot be read ({error}); give another path by --config");
                    problems.push(Problem::new(path.display(), text));
                }
            }
        }
        config.take_environment(&inputs.environment, &mut problems);
        for (key, value) in inputs.command_line {
            let raw = Raw {
                item: Item::Text(value.clone()),
                base: None,
            };
            config.take(
                key,
                &raw,
                Source::CommandLine,
                "command line".into(),
                &mut problems,
            );
        }
        // A contradiction may only be the echo of a value that was not read.
        if problems.is_empty() {
            config.check(&mut problems);
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    fn take(
        &mut self,
        key: &str,
        raw: &Raw<'_>,
        source: Source,
        place: String,
        problems: &mut Vec<Problem>,
    ) {
        match (
            self.set(key, raw),
            KEYS.iter().find(|(known, _)| *known == key),
        ) {
            (Some(Ok(())), Some((known, _))) => {
                self.sources.retain(|(other, _)| other != known);
                self.sources.push((known, source));
            }
            (Some(Err(text)), _) => problems.push(Problem::new(place, text)),
            (_, _) => {
                let known = KEYS.iter().map(|(known, _)| (*known).to_owned());
                let text = format!("unknown key `{key}`{}", hint(key, known));
                problems.push(Problem::new(place, text));
            }
        }
    }

    fn take_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let place = |at: usize| format!("{}:{}", path.display(), line(text, at));
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let text = format!("not TOML: {}", error.message());
                problems.push(Problem::new(place(at), text));
                return;
            }
        };
        let mut found = Vec::new();
        flatten("", &table, &mut found);
        found.sort_by_key(|(_, at, _)| *at);
        for (key, at, value) in found {
            let problem = match value {
                Some(item) => {
                    let raw = Raw {
                        item,
                        base: path.parent(),
                    };
                    let source = Source::File(line(text, at));
                    self.take(&key, &raw, source, place(at), problems);
                    continue;
                }
                None => format!("`{key}` is of a type that no key has"),
            };
            problems.push(Problem::new(place(at), problem));
        }
    }

    fn take_environment(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        for (variable, value) in &environment.0 {
            if variable == MASTER_KEY_VARIABLE {
                self.master_key_text = Some(HiddenText(value.clone().into()));
            }
            if OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            match KEYS
                .iter()
                .find(|(key, _)| self::variable(key) == *variable)
            {
                Some((key, _)) => {
                    let raw = Raw {
                        item: Item::Text(value.clone()),
                        base: None,
                    };
                    self.take(key, &raw, Source::Environment, variable.clone(), problems);
                }
                None => {
                    let known = KEYS.iter().map(|(key, _)| self::variable(key));
                    let known = known.chain(OTHER_VARIABLES.map(str::to_owned));
                    let text = format!("unknown variable{}", hint(variable, known));
                    problems.push(Problem::new(variable, text));
                }
            }
        }
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let mut problem = |key: &str, text: &str| problems.push(Problem::new(key, text));
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            problem("tls", "set both tls.cert_file and tls.key_file, or neither");
        }
        if self.tls.client_certificates && self.http.plain {
            problem(
                "tls.client_certificates",
                "nobody is asked for a certificate over plain HTTP: the proxy that ends TLS asks, \
                 and is named in proxies.trusted",
            );
        }
        if self.tls.client_crl_file.is_some() && self.tls.client_ca_file.is_none() {
            problem(
                "tls.client_crl_file",
                "says nothing without tls.client_ca_file, whose lists it has",
            );
        }
        let trusted = !self.proxies.trusted.is_empty();
        let exposed = [Some(self.http.listen), self.admin.listen]
            .into_iter()
            .flatten()
            .find(|address| !address.ip().to_canonical().is_loopback());
        if let (true, false, Some(address)) = (self.http.plain, trusted, exposed) {
            problem(
                "http.plain",
                &format!(
                    "plain HTTP on {address} would carry secrets and tokens in the clear: name \
                     the proxy that ends TLS in proxies.trusted, listen on a loopback address, or \
                     set http.plain = false"
                ),
            );
        }
        if self.admin.listen == Some(self.http.listen) && self.http.listen.port() != 0 {
            problem(
                "admin.listen",
                "is the same as http.listen: leave it out to share it",
            );
        }
        if self.ops.listen.port() != 0
            && [Some(self.http.listen), self.admin.listen].contains(&Some(self.ops.listen))
        {
            problem(
                "ops.listen",
                "must differ from http.listen and admin.listen",
            );
        }
        if let Some(issuer) = &self.issuer
            && issuer.is_plain()
            && !self.http.plain
        {
            problem(
                "issuer",
                "begins with http:// though http.plain is not set: use https://",
            );
        }
        let second = Duration::from_secs(1);
        let hour = Duration::from_secs(3600);
        if !(second..=hour).contains(&self.http.request_timeout) {
            problem("http.request_timeout", "must be 1s to 1h");
        }
        if self.http.shutdown_delay > hour {
            problem("http.shutdown_delay", "must be 1h at most");
        }
        if self.http.shutdown_grace > hour {
            problem("http.shutdown_grace", "must be 1h at most");
        }
        // An OAuth form is 64 KiB at most; a policy module is megabytes.
        if !(64 * 1024..=256 * 1024 * 1024).contains(&self.http.max_body.0) {
            problem("http.max_body", "must be 64 KiB to 256 MiB");
        }
        let witnesses = &self.checkpoint.witnesses;
        if witnesses.len() > WITNESSES_MAX {
            problem("checkpoint.witnesses", "must be 16 at most");
        }
        let mut names: Vec<&str> = witnesses.iter().map(|one| one.vkey.name()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            problem("checkpoint.witnesses", "has two of the same name");
        }
        if self.http.workers > 1024 {
            problem(
                "http.workers",
                "must be 1024 at most; 0 is one for each core",
            );
        }
    }

    /// What `writ serve` needs besides: an issuer, and a certificate unless it serves plain HTTP.
    ///
    /// # Errors
    /// Something of this is missing.
    pub fn check_serve(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if self.issuer.is_none() {
            problems.push(Problem::new(
                "issuer",
                "is not set: it is the URL that clients know this server by, such as \
                 https://login.example.com",
            ));
        }
        if !self.http.plain && self.tls.cert_file.is_none() {
            problems.push(Problem::new(
                "tls",
                "set tls.cert_file and tls.key_file, or http.plain = true behind a proxy that \
                 ends TLS",
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The proxies that are trusted.
    #[must_use]
    pub fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.proxies.trusted.clone())
    }

    /// Where the file of the master key is, unless the key is in the environment.
    #[must_use]
    pub fn master_key_path(&self) -> Option<PathBuf> {
        if self.master_key_text.is_some() {
            return None;
        }
        let file = self.master_key.file.clone();
        Some(file.unwrap_or_else(|| self.data_dir.join("master.key")))
    }

    /// The master key, from the environment or else from its file.
    ///
    /// # Errors
    /// There is none, it is none, or others can read it.
    pub fn master_key(&self) -> Result<MasterKey, MasterKeyError> {
        match (&self.master_key_text, self.master_key_path()) {
            (None, Some(path)) => MasterKey::from_file(&path),
            (text, _) => {
                let text = text.as_ref().map_or("", |text| text.0.as_str());
                MasterKey::from_base64(text, MASTER_KEY_VARIABLE)
            }
        }
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn source(&self, key: &str) -> Source {
        let found = self.sources.iter().find(|(known, _)| *known == key);
        found.map_or(Source::Default, |(_, source)| source.clone())
    }

    /// All keys with their values and where these came from, as a `writ.toml`. It holds no
    /// secret: the master key is only said to be there.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        let mut out = String::new();
        let mut current = "";
        for (key, doc) in KEYS {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            if section != current {
                current = section;
                let _ = write!(out, "\n[{section}]\n");
            }
            let _ = match self.show(key) {
                Some(value) => writeln!(out, "{name} = {value}  # {}; {doc}", self.source(key)),
                None => writeln!(out, "# {name} is not set; {doc}"),
            };
            if *key == "master_key.file" && self.master_key_text.is_some() {
                let _ = writeln!(out, "# the key itself is in {MASTER_KEY_VARIABLE} (hidden)");
            }
        }
        out
    }
}

impl Problem {
    fn new(place: impl fmt::Display, text: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            text: text.into(),
        }
    }
}

/// The variable of a key.
fn variable(key: &str) -> String {
    format!("WRIT_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The line of an offset, from 1.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// All leaves of a table with their dotted names and places; `None` for a value of a type that no
/// key has.
fn flatten(prefix: &str, table: &DeTable<'_>, out: &mut Vec<(String, usize, Option<Item>)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        let at = name.span().start;
        match value.get_ref() {
            // The value of a key that exists is not a section, and a section without keys is fine.
            DeValue::Table(inner) => flatten(&format!("{key}."), inner, out),
            other => out.push((key, at, item(other))),
        }
    }
}

fn item(value: &DeValue<'_>) -> Option<Item> {
    match value {
        DeValue::String(text) => Some(Item::Text(text.to_string())),
        DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .map(Item::Integer),
        DeValue::Boolean(value) => Some(Item::Boolean(*value)),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Item::List),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The known name that was probably meant.
fn hint(found: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.map(|name| (distance(found, &name), name)).min();
    match nearest {
        Some((far, name)) if far <= 2 + found.len() / 5 => format!("; did you mean `{name}`?"),
        _ => "; `writ config show` lists all".to_owned(),
    }
}

/// How many characters to insert, delete or replace to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let here = (diagonal + usize::from(x != y))
                .min(*slot + 1)
                .min(left + 1);
            diagonal = std::mem::replace(slot, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A value as it was written, of any source.
struct Raw<'a> {
    item: Item,
    /// Where the file is that it stands in: paths are relative to that.
    base: Option<&'a Path>,
}

enum Item {
    Text(String),
    Integer(u64),
    Boolean(bool),
    List(Vec<String>),
}

impl Raw<'_> {
    fn text(&self, wanted: &str) -> Result<&str, String> {
        match &self.item {
            Item::Text(text) => Ok(text),
            _ => Err(format!("must be {wanted}")),
        }
    }
}

/// What the value of a key can be.
trait Value: Sized {
    fn read(raw: &Raw<'_>) -> Result<Self, String>;

    /// As TOML; `None` where there is nothing to show.
    fn show(&self) -> Option<String>;
}

fn quoted(text: impl fmt::Display) -> Option<String> {
    Some(toml::Value::String(text.to_string()).to_string())
}

impl Value for String {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        raw.text("a text in quotes").map(str::to_owned)
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Value for bool {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        match &raw.item {
            Item::Boolean(value) => Ok(*value),
            Item::Text(text) if text == "true" => Ok(true),
            Item::Text(text) if text == "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for usize {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        match &raw.item {
            Item::Integer(value) => Self::try_from(*value).ok(),
            Item::Text(text) => text.parse().ok(),
            Item::Boolean(_) | Item::List(_) => None,
        }
        .ok_or_else(|| "must be a whole number, 0 or more".to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for PathBuf {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        match (raw.text("a path in quotes")?, raw.base) {
            ("", _) => Err("must be a path".to_owned()),
            (text, Some(base)) => Ok(base.join(text)),
            (text, None) => Ok(Self::from(text)),
        }
    }

    fn show(&self) -> Option<String> {
        quoted(self.display())
    }
}

impl Value for SocketAddr {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let wanted = "must be an address and a port, such as \"127.0.0.1:9443\" or \"[::]:9443\"";
        let text = raw
            .text("an address in quotes")
            .map_err(|_| wanted.to_owned())?;
        text.parse().map_err(|_| wanted.to_owned())
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl<T: Value> Value for Option<T> {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        // An empty variable takes back what the file says.
        match &raw.item {
            Item::Text(text) if text.is_empty() && raw.base.is_none() => Ok(None),
            _ => T::read(raw).map(Some),
        }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

/// The items of a list; in a variable they have commas between them.
fn listed<'a>(raw: &'a Raw<'_>) -> Option<Vec<&'a str>> {
    match &raw.item {
        Item::List(items) => Some(items.iter().map(String::as_str).collect()),
        Item::Text(text) => {
            let parts = text.split(',').map(str::trim);
            Some(parts.filter(|part| !part.is_empty()).collect())
        }
        Item::Integer(_) | Item::Boolean(_) => None,
    }
}

impl Value for Vec<Cidr> {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let texts = listed(raw).ok_or("must be a list of networks, such as [\"10.0.0.0/8\"]")?;
        let parse = |text: &str| {
            text.parse()
                .map_err(|error: ParseCidrError| format!("`{text}`: {error}"))
        };
        texts.into_iter().map(parse).collect()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(quoted).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl Witness {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((url, vkey)) = text.split_once(' ') else {
            return Err("must be a URL, a space and the witness's key".to_owned());
        };
        let url = url.trim_end_matches('/');
        // What makes a URL an issuer makes it a prefix of others too.
        Issuer::parse(url)?;
        let vkey: Vkey = vkey
            .trim()
            .parse()
            .map_err(|error| format!("the key is {error}"))?;
        if vkey.kind() != KeyKind::Witness {
            return Err(
                "the key is that of a log: a witness prints its own when it starts".to_owned(),
            );
        }
        let url = url.to_owned();
        Ok(Self { url, vkey })
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.vkey)
    }
}

impl Value for Vec<Witness> {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let texts = listed(raw).ok_or("must be a list of witnesses: [\"URL KEY\", …]")?;
        let parse = |text: &str| Witness::parse(text).map_err(|error| format!("`{text}`: {error}"));
        texts.into_iter().map(parse).collect()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(quoted).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// A number and what unit it is in.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

impl Value for Duration {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let read = |text| {
            let (number, unit) = number_and_unit(text)?;
            match unit {
                "ms" => Some(Self::from_millis(number)),
                "s" | "" => Some(Self::from_secs(number)),
                "m" | "min" => number.checked_mul(60).map(Self::from_secs),
                "h" => number.checked_mul(3600).map(Self::from_secs),
                _ => None,
            }
        };
        match &raw.item {
            Item::Integer(seconds) => Some(Self::from_secs(*seconds)),
            Item::Text(text) => read(text),
            Item::Boolean(_) | Item::List(_) => None,
        }
        .ok_or_else(|| "must be a time, such as \"500ms\", \"30s\" or \"5m\"".to_owned())
    }

    fn show(&self) -> Option<String> {
        match (self.as_secs(), self.subsec_millis()) {
            (seconds, 0) => quoted(format_args!("{seconds}s")),
            _ => quoted(format_args!("{}ms", self.as_millis())),
        }
    }
}

/// A number of bytes: `65536`, `"64KiB"`, `"1MiB"`, `"2GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl Value for ByteSize {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let read = |text| {
            let (number, unit) = number_and_unit(text)?;
            let shift = match unit {
                "" | "B" => 0,
                "KiB" => 10,
                "MiB" => 20,
                "GiB" => 30,
                _ => return None,
            };
            number.checked_mul(1 << shift)
        };
        match &raw.item {
            Item::Integer(bytes) => Some(*bytes),
            Item::Text(text) => read(text),
            Item::Boolean(_) | Item::List(_) => None,
        }
        .map(Self)
        .ok_or_else(|| "must be a size, such as 65536, \"64KiB\", \"1MiB\" or \"2GiB\"".to_owned())
    }

    fn show(&self) -> Option<String> {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match units.into_iter().find(|(shift, _)| whole(*shift)) {
            Some((shift, unit)) => quoted(format_args!("{}{unit}", self.0 >> shift)),
            None => Some(self.0.to_string()),
        }
    }
}

/// Values that are one of a few words.
macro_rules! words {
    ($type:ident: $($word:literal => $variant:ident),*) => {
        impl Value for $type {
            fn read(raw: &Raw<'_>) -> Result<Self, String> {
                match &raw.item {
                    $(Item::Text(text) if text == $word => Ok(Self::$variant),)*
                    _ => Err(format!("must be one of {}", [$($word),*].join(", "))),
                }
            }

            fn show(&self) -> Option<String> {
                match self { $(Self::$variant => quoted($word),)* }
            }
        }
    };
}

/// An engine of the admin log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// redb: the default.
    Redb,
    /// sled: needs the Cargo feature of this name.
    Sled,
}

words!(Engine: "redb" => Redb, "sled" => Sled);

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

words!(LogFormat: "auto" => Auto, "text" => Text, "json" => Json);

/// An issuer identifier (RFC 8414 §2): an http(s) URL with a host, no query, no fragment, no
/// slash at its end. It is compared as text, so it is kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Checks the text of an issuer identifier. `http://` is fine here; whether it may be used is
    /// for [`Config::load`] to say.
    ///
    /// # Errors
    /// The text is none; the error says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let clean = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
        match rest {
            None => Err("must be a URL that begins with https://".to_owned()),
            Some(rest) if rest.is_empty() || rest.starts_with(['/', ':']) => {
                Err("must name a host, such as https://login.example.com".to_owned())
            }
            Some(_) if text.ends_with('/') => {
                Err("must not end with a slash: paths are appended to it".to_owned())
            }
            Some(_) if text.contains(['?', '#', '@']) => {
                Err("must have no query, fragment or user (RFC 8414 §2)".to_owned())
            }
            Some(rest) if !rest.bytes().all(clean) || rest.contains("//") => {
                Err("has characters that do not belong into a URL".to_owned())
            }
            Some(_) => Ok(Self(text.to_owned())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path, without a slash at its end; often empty. Metadata lies at
    /// `/.well-known/…{path}` (RFC 8414 §3.1).
    #[must_use]
    pub fn path(&self) -> &str {
        let after_scheme = self.0.split_once("://").map_or("", |(_, rest)| rest);
        after_scheme
            .find('/')
            .and_then(|at| after_scheme.get(at..))
            .unwrap_or_default()
    }

    fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Issuer {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        Self::parse(raw.text("a URL in quotes")?)
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

/// A text that is shown by nothing.
#[derive(Clone)]
struct HiddenText(zeroize::Zeroizing<String>);

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

#[cfg(test)]
mod tests;
