//! `writ witness …`: a second party that signs the checkpoints of logs.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use writ::config::{Config, Environment, Inputs};
use writ::server::{self, WitnessOptions};
use writ::telemetry;
use writ_core::Millis;
use writ_core::codec::hex;
use writ_ledger::note::Vkey;
use writ_ledger::witness::{self, Known, Witness as Signer, WitnessError};

use super::Failure;
use super::output::{Out, clean};
use super::progress::grouped;

#[derive(Subcommand, Debug)]
pub enum Witness {
    Init(Init),
    Run(Run),
    Show(Show),
    Forget(Forget),
}

/// Where a witness keeps what it has signed.
#[derive(Args, Debug)]
#[group(skip)]
struct Directory {
    /// The directory of the witness: its key, and what it has signed
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
}

/// Make a witness: a directory with a key of its own
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ witness init --dir /var/lib/writ-witness --name witness.example.com/w1

It prints the key that others verify its signatures with. A witness belongs on another machine than
the log, under somebody else's control.")]
pub struct Init {
    #[command(flatten)]
    directory: Directory,
    /// The name of its key: a URL without its scheme, which need not lead anywhere
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Run a witness: sign the checkpoints of logs that only grow
///
/// It speaks the protocol tlog-witness of C2SP, so logs other than Writ's can use it too. It learns how
/// many entries a log has and their root, and nothing of what is in it.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ witness run --dir /var/lib/writ-witness --listen 0.0.0.0:9445 \\
    --tls-cert cert.pem --tls-key key.pem --log login.example.com/writ/…+1f2e3d4c+AQ…

The log's key is what `writ audit checkpoint --key` shows; a server is told of its witnesses by the key
checkpoint.witnesses of its configuration. Keep the directory: a witness that has lost its memory,
or got an older one back, signs a log that was rewritten.")]
pub struct Run {
    #[command(flatten)]
    directory: Directory,
    /// Address and port; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9445")]
    listen: SocketAddr,
    /// The key of a log to look after; may be repeated
    #[arg(long, value_name = "KEY", required = true)]
    log: Vec<Vkey>,
    /// Certificate chain in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Show the key of a witness, and what it has signed last of each log
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ witness show --dir /var/lib/writ-witness
  writ witness show --dir /var/lib/writ-witness --log login.example.com/writ/… > seen
  writ audit verify --data-dir copy --checkpoint seen --witness KEY

With --log it prints the checkpoint itself, which any later log must begin with. The witness may be
running.")]
pub struct Show {
    #[command(flatten)]
    directory: Directory,
    /// The name of a log: print the checkpoint that was signed last
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
}

/// Give up what was signed of a log, so that another history of it is signed from now on
#[derive(Args, Debug)]
#[command(after_help = "Example:
  writ witness forget --dir /var/lib/writ-witness --log login.example.com/writ/…

For a log whose operator has restored an older state, has said why (`writ log accept-restore`), and
is believed. The witness must be stopped. What is given up is kept aside in its directory.")]
pub struct Forget {
    #[command(flatten)]
    directory: Directory,
    /// The name of the log
    #[arg(long, value_name = "NAME")]
    log: String,
}

impl Witness {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Init(verb) => verb.run(out),
            Self::Run(verb) => verb.run(out),
            Self::Show(verb) => verb.run(out),
            Self::Forget(verb) => verb.run(out),
        }
    }
}

fn failed(error: &WitnessError) -> Failure {
    Failure::of(error)
}

impl Init {
    fn run(self, out: &mut Out) -> Result<(), Failure> {
        let vkey =
            Signer::create(&self.directory.dir, &self.name).map_err(|error| failed(&error))?;
        let vkey = vkey.to_string();
        out.result(&json!({ "vkey": vkey }), || vkey.clone())
    }
}

impl Run {
    fn run(self, out: &mut Out) -> Result<(), Failure> {
        // The log of this process is configured as that of a server is.
        let config = Config::load(&Inputs {
            environment: Environment::of_process()?,
            ..Inputs::default()
        })?;
        let certificate = self.tls_cert.zip(self.tls_key);
        if certificate.is_none() && !self.listen.ip().to_canonical().is_loopback() {
            let listen = self.listen;
            return Err(Failure::Usage(format!(
                "plain HTTP on {listen}: give --tls-cert and --tls-key, or listen on a loopback \
                 address behind a proxy that ends TLS"
            )));
        }
        telemetry::init(config.log.format, &config.log.filter)
            .map_err(|error| Failure::of(&error))?;
        let signer = Signer::open(&self.directory.dir, self.log).map_err(|error| failed(&error))?;
        let (vkey, json) = (signer.vkey().to_string(), out.is_json());
        let options = WitnessOptions {
            listen: self.listen,
            certificate,
            on_ready: Box::new(move |url| announce(url, &vkey, json)),
        };
        server::run_witness(signer, options).map_err(|error| Failure::of(&error))
    }
}

/// Says that the witness is ready: what scripts wait for.
fn announce(url: &str, vkey: &str, json: bool) {
    let text = match json {
        true => format!("{}\n", json!({ "url": url, "vkey": vkey })),
        false => format!("writ: the witness {vkey}\nwrit: listening on {url}\n"),
    };
    let mut out = io::stdout();
    // Nobody may be reading, which is no reason to stop.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Show {
    fn run(self, out: &mut Out) -> Result<(), Failure> {
        let dir = &self.directory.dir;
        let known = witness::show(dir, self.log.as_deref()).map_err(|error| failed(&error))?;
        if let (Some(_), [known]) = (&self.log, &*known) {
            let text = known.cosigned.to_string();
            return out.result(&value(known), || text.trim_end().to_owned());
        }
        let vkey = witness::vkey(dir)
            .map_err(|error| failed(&error))?
            .to_string();
        if out.is_json() {
            let logs: Vec<Value> = known.iter().map(value).collect();
            return out.value(&json!({ "vkey": vkey, "logs": logs }));
        }
        out.line(format_args!("key  {vkey}"))?;
        known.iter().try_for_each(|known| out.line(line(known)))
    }
}

impl Forget {
    fn run(self, out: &mut Out) -> Result<(), Failure> {
        let dir: &Path = &self.directory.dir;
        let given_up = witness::forget(dir, &self.log).map_err(|error| failed(&error))?;
        out.result(&value(&given_up), || {
            format!("given up: {}", line(&given_up))
        })
    }
}

fn value(known: &Known) -> Value {
    let checkpoint = &known.cosigned.checkpoint;
    json!({
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": hex(&checkpoint.root),
        "at": Millis(known.seconds * 1000),
        "checkpoint": known.cosigned.to_string(),
        "conflict": known.conflict.as_ref().map(ToString::to_string),
    })
}

fn line(known: &Known) -> String {
    let checkpoint = &known.cosigned.checkpoint;
    let conflict = match known.conflict {
        Some(_) => "; IT HAS SIGNED ANOTHER TREE of this size, see the file .conflict in logs",
        None => "",
    };
    format!(
        "log  {}: {} entries at {}{conflict}",
        clean(&checkpoint.origin),
        grouped(checkpoint.size),
        Millis(known.seconds * 1000)
    )
}
