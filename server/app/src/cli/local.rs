//! The verbs that work at the machine itself: the server, its data directory, its master key, its
//! configuration. What they do is in [`writ::bootstrap`] and [`writ::server`]; here is what they
//! are told and what they print.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use writ::bootstrap::{self, InitOptions, Initialised};
use writ::clock::SystemRandom;
use writ::config::{Config, Environment, Inputs, Issuer};
use writ::demo::Demo;
use writ::keys::MasterKey;
use writ::server::{self, Options, Ready};
use writ::telemetry;

use super::credentials::{Credentials, issuer};
use super::output::Out;
use super::{Failure, note};

/// The configuration of a node, and what the command line says besides.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Configuration")]
#[group(skip)]
pub struct Node {
    /// The configuration file
    #[arg(long, env = "WRIT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The URL that clients know the server by
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

/// Where a server listens.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Configuration")]
#[group(skip)]
struct Listen {
    /// Address and port of the public endpoints; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address and port of health and metrics
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// Plain HTTP, for a proxy in front or a test
    #[arg(long)]
    http: bool,
}

/// Run a server to try things with: a data directory, keys, a certificate and an administrator are
/// made at the first start
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ dev --demo
  writ dev --http --listen 127.0.0.1:0 --data-dir /tmp/writ

Every key of the configuration can be set by a variable too: http.workers is WRIT_HTTP_WORKERS.")]
pub struct Dev {
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    listen: Listen,
    /// Register an API and an application, and print a `curl` line that gets a token
    #[arg(long)]
    demo: bool,
}

/// Make a data directory with keys and the first administrator
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ init --config writ.toml
  writ init --data-dir /var/lib/writ --issuer https://login.example.com --admin-name Ops

The administrator's credentials are written to admin.json in the data directory, mode 0600.")]
pub struct Init {
    #[command(flatten)]
    node: Node,
    /// The name of the first administrator
    #[arg(long, value_name = "NAME")]
    admin_name: Option<String>,
}

/// Run the server on a data directory that `writ init` made
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ serve --config writ.toml
  WRIT_HTTP_LISTEN=0.0.0.0:443 writ serve --config /etc/writ/writ.toml")]
pub struct Serve {
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    listen: Listen,
}

#[derive(Subcommand, Debug)]
pub enum Admin {
    /// Make a new administrator: the way back in when all credentials are lost
    #[command(after_help = "Example:
  writ admin recover --data-dir /var/lib/writ

The server must be stopped. The credentials are written to admin.json in the data directory in
place of the ones there, mode 0600. The recovery is an event in the log.")]
    Recover {
        #[command(flatten)]
        node: Node,
        /// The name of the new administrator
        #[arg(long, value_name = "NAME")]
        admin_name: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
pub enum Keys {
    /// Seal the private keys under a new master key
    #[command(after_help = "Example:
  writ keys new-master-key new.key
  writ keys reseal --data-dir /var/lib/writ --new-master-key-file new.key

The server must be stopped. The new key takes the place of master.key in the data directory, unless
the configuration says that the master key is elsewhere.")]
    Reseal {
        #[command(flatten)]
        node: Node,
        /// The new master key, as `writ keys new-master-key` makes it
        #[arg(long, value_name = "FILE")]
        new_master_key_file: PathBuf,
    },
    /// Make a master key in a new file of mode 0600
    #[command(after_help = "Example:
  writ keys new-master-key new.key")]
    NewMasterKey {
        /// The file to make
        file: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub enum ConfigVerb {
    /// Print the configuration in force and where each value comes from, without secrets
    #[command(after_help = "Examples:
  writ config show --config writ.toml
  writ config show > writ.toml            a file with all keys to begin with")]
    Show {
        #[command(flatten)]
        node: Node,
    },
    /// Say whether `writ serve` would take the configuration
    #[command(after_help = "Example:
  writ config check --config writ.toml")]
    Check {
        #[command(flatten)]
        node: Node,
    },
}

/// Print the OpenAPI document of the admin API
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ openapi > openapi.json")]
pub struct Openapi {}

/// Print the version
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ version --json")]
pub struct Version {}

impl Node {
    /// Whether a data directory of this machine is meant, and not a server.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some() || self.data_dir.is_some()
    }

    fn load(&self, listen: &Listen, defaults: &[(&str, &str)]) -> Result<Config, Failure> {
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|path| path.display().to_string());
        let said = [
            ("data_dir", data_dir),
            ("issuer", self.issuer.clone()),
            ("http.listen", listen.listen.clone()),
            ("ops.listen", listen.ops_listen.clone()),
            ("http.plain", listen.http.then(|| "true".to_owned())),
        ];
        let said: Vec<_> = said
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        Ok(Config::load(&Inputs {
            defaults,
            file: self.config.as_deref(),
            environment: Environment::of_process()?,
            command_line: &said,
        })?)
    }

    /// The data directory that the command line names, if it does.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The configuration of a verb that works on the data directory.
    pub fn load_offline(&self) -> Result<Config, Failure> {
        self.load(&Listen::default(), &[])
    }
}

impl Dev {
    /// Runs the server until it is told to stop.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        // Two servers for a try should not be in each other's way.
        let defaults = [("ops.listen", "127.0.0.1:0"), ("http.shutdown_delay", "0s")];
        let config = self.node.load(&self.listen, &defaults)?;
        start_logging(&config)?;
        let json = out.is_json();
        let data_dir = config.data_dir.clone();
        let options = Options {
            create: true,
            self_signed: true,
            demo: self.demo,
            on_ready: Box::new(move |ready| announce(ready, &data_dir, json)),
        };
        server::run(config, options).map_err(|error| Failure::of(&error))
    }
}

impl Serve {
    /// Runs the server until it is told to stop.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let config = self.node.load(&self.listen, &[])?;
        config.check_serve()?;
        start_logging(&config)?;
        let json = out.is_json();
        let data_dir = config.data_dir.clone();
        let options = Options {
            create: false,
            self_signed: false,
            demo: false,
            on_ready: Box::new(move |ready| announce(ready, &data_dir, json)),
        };
        server::run(config, options).map_err(|error| Failure::of(&error))
    }
}

fn start_logging(config: &Config) -> Result<(), Failure> {
    telemetry::init(config.log.format, &config.log.filter).map_err(|error| Failure::of(&error))
}

/// Says that the server is ready: what scripts wait for.
fn announce(ready: &Ready, data_dir: &Path, json: bool) {
    let mut out = io::stdout();
    let demo = ready.demo.as_ref();
    let text = if json {
        let value = json!({
            "url": ready.url,
            "ops": format!("http://{}", ready.ops),
            "curl": demo.map(curl),
        });
        format!("{value}\n")
    } else {
        let demo = demo.map(|demo| format!("{}\n", curl(demo)));
        format!(
            "writ: ops on http://{}\nwrit: listening on {}\n{}",
            ready.ops,
            ready.url,
            demo.unwrap_or_default()
        )
    };
    // Nobody may be reading, which is no reason to stop serving.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Some(made) = &ready.created {
        tracing::info!(
            data_dir = %data_dir.display(),
            admin_file = %made.admin_file.display(),
            "made a data directory; the administrator's credentials are in its admin.json"
        );
        // A terminal is read by the person who started it; anything else may keep what it gets.
        if out.is_terminal() && !json {
            let shown = format!(
                "administrator  client_id      {}\n               client_secret  {}\n",
                made.credentials.client_id,
                made.credentials.client_secret.expose()
            );
            let _ = out.write_all(shown.as_bytes());
        }
    }
}

/// A line for a shell that gets a token for the demo's application.
fn curl(demo: &Demo) -> String {
    let ca = demo
        .ca
        .as_ref()
        .map(|path| format!("--cacert {} ", quoted(&path.display().to_string())));
    let user = quoted(&format!("{}:{}", demo.client_id, demo.client_secret));
    let scope = quoted(&format!("scope={}", demo.scope));
    format!(
        "curl -sS {}-u {user} -d grant_type=client_credentials --data-urlencode {scope} {}",
        ca.unwrap_or_default(),
        quoted(&demo.token_endpoint)
    )
}

/// A word for a shell.
pub fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

impl Init {
    /// Makes the data directory.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut config = self.node.load_offline()?;
        know_issuer(&mut config)?;
        let options = InitOptions {
            admin_name: self.admin_name,
            ca: None,
        };
        let made = bootstrap::init(&config, &options).map_err(|error| Failure::of(&error))?;
        say_made(out, &config, &made, "made the data directory")
    }
}

impl Admin {
    /// Makes a new administrator.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let Self::Recover { node, admin_name } = self;
        let mut config = node.load_offline()?;
        know_issuer(&mut config)?;
        let options = InitOptions {
            admin_name,
            ca: ca(&config)?,
        };
        let made = bootstrap::recover(&config, &options).map_err(|error| Failure::of(&error))?;
        say_made(out, &config, &made, "made a new administrator in")
    }
}

fn say_made(out: &mut Out, config: &Config, made: &Initialised, what: &str) -> Result<(), Failure> {
    let data_dir = config.data_dir.display().to_string();
    let admin_file = made.admin_file.display().to_string();
    let client_id = &made.credentials.client_id;
    let value = json!({ "data_dir": data_dir, "client_id": client_id, "admin_file": admin_file });
    out.result(&value, || {
        format!("{what} {data_dir}\nthe credentials of the administrator {client_id} are in {admin_file}")
    })
}

/// The issuer stands in the administrator's credentials as the address of the token endpoint. A
/// configuration that does not say it is completed by what the credentials said before, or by
/// this machine: it can be corrected in the file, and an operator who is locked out has other
/// worries.
pub(super) fn know_issuer(config: &mut Config) -> Result<(), Failure> {
    if config.issuer.is_some() {
        return Ok(());
    }
    let before = Credentials::read(&bootstrap::admin_file(&config.data_dir));
    let before = before.ok().flatten();
    let known = before
        .as_ref()
        .and_then(issuer)
        .and_then(|text| Issuer::parse(text).ok());
    if known.is_some() {
        config.issuer = known;
        return Ok(());
    }
    let scheme = if config.http.plain { "http" } else { "https" };
    let guess = format!("{scheme}://localhost:{}", config.http.listen.port());
    note(format_args!(
        "no issuer is configured, so the credentials will say {guess}: give --issuer, or correct \
         token_endpoint in admin.json"
    ));
    config.issuer = Some(Issuer::parse(&guess).map_err(Failure::Usage)?);
    Ok(())
}

/// The certificate that `writ dev` made for itself, if it did: others trust it only by name.
fn ca(config: &Config) -> Result<Option<String>, Failure> {
    let path = config.data_dir.join("tls/cert.pem");
    if config.tls.cert_file.is_some() || config.http.plain {
        return Ok(None);
    }
    match fs::read_to_string(&path) {
        Ok(pem) => Ok(Some(pem)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = path.display();
            Err(Failure::Failed(format!("cannot read {path}: {error}")))
        }
    }
}

impl Keys {
    /// Makes a master key, or changes to it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::NewMasterKey { file } => {
                MasterKey::create_file(&file, &SystemRandom)
                    .map_err(|error| Failure::of(&error))?;
                let file = file.display().to_string();
                let text = format!("made {file}: keep a copy where backups of the data are not");
                out.result(&json!({ "file": file }), || text)
            }
            Self::Reseal {
                node,
                new_master_key_file,
            } => reseal(out, &node, &new_master_key_file),
        }
    }
}

fn reseal(out: &mut Out, node: &Node, new_file: &Path) -> Result<(), Failure> {
    let config = node.load_offline()?;
    let new = MasterKey::from_file(new_file).map_err(|error| Failure::of(&error))?;
    let ours = config.data_dir.join("master.key");
    let ours = config
        .master_key_path()
        .filter(|path| config.master_key.file.is_none() && *path == ours);
    // The new key lies beside the old one before anything is sealed by it, so that a crash in
    // between leaves a data directory with the key it needs.
    let staged = ours
        .as_deref()
        .map(|path| stage(path, new_file))
        .transpose()?;
    let sealed = bootstrap::reseal(&config, &new).map_err(|error| Failure::of(&error));
    let count = match (sealed, &staged) {
        (Ok(count), _) => count,
        (Err(failure), staged) => {
            // What was staged is a copy, and the old key is in force.
            staged
                .iter()
                .for_each(|staged| drop(fs::remove_file(staged)));
            return Err(failure);
        }
    };
    if let (Some(path), Some(staged)) = (&ours, &staged) {
        let put = fs::rename(staged, path).and_then(|()| sync_parent(path));
        put.map_err(|error| {
            Failure::Failed(format!(
                "{count} keys are sealed under the new master key, but it cannot take the place of \
                 {}: {error}; put it there before the next start: cp {} {}",
                path.display(),
                new_file.display(),
                path.display()
            ))
        })?;
    } else {
        note(
            "Now let master_key.file or WRIT_MASTER_KEY say the new master key: the old one opens \
             nothing any more.",
        );
    }
    let value = json!({ "keys": count, "master_key_in_place": ours.is_some() });
    out.result(&value, || match &ours {
        Some(path) => format!(
            "sealed {count} keys anew; {} is the new master key",
            path.display()
        ),
        None => format!("sealed {count} keys anew"),
    })
}

/// Copies the new master key beside the old one.
fn stage(path: &Path, new_file: &Path) -> Result<PathBuf, Failure> {
    let staged = path.with_extension("key.new");
    let copy = || {
        let text = zeroize::Zeroizing::new(fs::read(new_file)?);
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&staged)?;
        file.write_all(&text)?;
        file.sync_all()?;
        sync_parent(&staged)
    };
    copy().map_err(|error: io::Error| {
        let path = staged.display();
        Failure::Failed(format!("cannot write {path}: {error}; nothing was changed"))
    })?;
    Ok(staged)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl ConfigVerb {
    /// Shows or checks the configuration.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Show { node } => {
                let shown = node.load_offline()?.effective_toml();
                if !out.is_json() {
                    return out.line(shown.trim_end());
                }
                let value: toml::Table = toml::from_str(&shown)
                    .map_err(|error| Failure::Failed(format!("cannot show it as JSON: {error}")))?;
                out.value(&value)
            }
            Self::Check { node } => {
                node.load_offline()?.check_serve()?;
                out.result(&json!({ "ok": true }), || {
                    "the configuration is fine".to_owned()
                })
            }
        }
    }
}

impl Openapi {
    /// Prints it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        out.value(&writ::admin::document())
    }
}

impl Version {
    /// Prints it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        out.result(&json!({ "version": version }), || format!("writ {version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_survives_a_shell() {
        let demo = Demo {
            token_endpoint: "https://localhost:9443/oauth2/token".to_owned(),
            client_id: "01j".to_owned(),
            client_secret: "writ_s".to_owned(),
            scope: "courses:publish courses:read".to_owned(),
            ca: Some(PathBuf::from("/tmp/it's/cert.pem")),
        };
        assert_eq!(
            curl(&demo),
            r"curl -sS --cacert '/tmp/it'\''s/cert.pem' -u 01j:writ_s -d grant_type=client_credentials --data-urlencode 'scope=courses:publish courses:read' https://localhost:9443/oauth2/token"
        );
    }
}
