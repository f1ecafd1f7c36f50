//! `writ trusted-issuer …`: issuers whose tokens can prove applications.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ureq::http::Method;
use writ_api::{ChangeTrustedIssuer, CreateTrustedIssuer, IssuerKeys, TrustedIssuer as Entity};

use super::Failure;
use super::key_files::{key_names, key_set};
use super::output::{Details, Out, detail, details, yes};
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read};

/// Trusted issuers: those whose tokens can prove an application, where it has a trust rule for them
#[derive(Args, Debug)]
pub struct TrustedIssuer {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Trust an issuer; its tokens prove nobody until an application has a trust rule for them
    #[command(after_help = "Examples:
  writ trusted-issuer create https://token.actions.githubusercontent.com --name 'GitHub Actions'
  writ trusted-issuer create https://kubernetes.default.svc --name cluster --jwks cluster.json
  writ trusted-issuer create spiffe://example.org --name SPIRE --omits-issuer \\
    --jwks-uri https://spire.example.org/keys")]
    Create {
        /// The `iss` of its tokens, exactly
        issuer: String,
        /// Its name
        #[arg(long)]
        name: String,
        #[command(flatten)]
        keys: Keys,
        /// Its tokens may come without `iss`, as those of SPIFFE do
        #[arg(long)]
        omits_issuer: bool,
        #[command(flatten)]
        creation: Creation,
    },
    /// List all trusted issuers
    #[command(after_help = "Example:
  writ trusted-issuer list")]
    List {
        /// Only the one whose tokens have this `iss`
        #[arg(long, value_name = "URI")]
        issuer: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a trusted issuer
    #[command(after_help = "Example:
  writ trusted-issuer show issuer_2")]
    Show {
        /// Its id
        issuer: String,
        #[command(flatten)]
        read: Read,
    },
    /// Change a trusted issuer's name or where its keys come from
    #[command(after_help = "Example:
  writ trusted-issuer change issuer_2 --jwks new-keys.json --reason 'the cluster has new keys'")]
    Change {
        /// Its id
        issuer: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        keys: Keys,
        /// Whether its tokens may come without `iss`
        #[arg(long, value_name = "true|false")]
        omits_issuer: Option<bool>,
        #[command(flatten)]
        change: Change,
    },
    /// Remove a trusted issuer that no trust rule names
    #[command(after_help = "Example:
  writ trusted-issuer remove issuer_2 --reason 'the cluster is gone'")]
    Remove {
        /// Its id
        issuer: String,
        #[command(flatten)]
        change: Change,
    },
}

/// Where its keys come from.
#[derive(Args, Debug)]
#[group(skip)]
struct Keys {
    /// Its keys come from its metadata; as they do where nothing else is said at the creation
    #[arg(long, conflicts_with_all = ["jwks_uri", "jwks"])]
    discovery: bool,
    /// Its keys come from this https address
    #[arg(long, value_name = "URI", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// Its keys are those of a file: a JWK Set, or one JWK
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

impl Keys {
    fn read(self) -> Result<Option<IssuerKeys>, Failure> {
        Ok(match (self.jwks_uri, self.jwks) {
            (Some(uri), _) => Some(IssuerKeys::JwksUri(uri)),
            (None, Some(file)) => Some(IssuerKeys::Jwks(key_set(&file)?)),
            (None, None) => self.discovery.then_some(IssuerKeys::Discovery(true)),
        })
    }
}

impl TrustedIssuer {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::Create {
                issuer,
                name,
                keys,
                omits_issuer,
                creation,
            } => {
                let body = CreateTrustedIssuer {
                    issuer,
                    name,
                    keys: keys.read()?.unwrap_or(IssuerKeys::Discovery(true)),
                    omits_issuer,
                };
                let call = Call::create(&["trusted-issuers"], creation).body(&body)?;
                client.show(out, call, describe)
            }
            Verb::List { issuer, listing } => {
                let filters = [("issuer", issuer)];
                let header = &["id", "issuer", "name", "keys"];
                client.list(out, &["trusted-issuers"], &listing, &filters, header, row)
            }
            Verb::Show { issuer, read } => {
                let call = Call::get(&["trusted-issuers", &issuer], &read);
                client.show(out, call, describe)
            }
            Verb::Change {
                issuer,
                name,
                keys,
                omits_issuer,
                change,
            } => {
                let body = ChangeTrustedIssuer {
                    name,
                    keys: keys.read()?,
                    omits_issuer,
                };
                if body == ChangeTrustedIssuer::default() {
                    let text = "nothing to change: say what by an option, see --help";
                    return Err(Failure::Usage(text.to_owned()));
                }
                let path = ["trusted-issuers", &issuer];
                let call = Call::change(Method::PATCH, &path, &change).body(&body)?;
                client.show(out, call, describe)
            }
            Verb::Remove { issuer, change } => {
                let call = Call::change(Method::DELETE, &["trusted-issuers", &issuer], &change);
                client.done(out, call, &format!("removed {issuer}"))
            }
        }
    }
}

fn keys_of(keys: &IssuerKeys) -> Vec<String> {
    match keys {
        IssuerKeys::Discovery(_) => vec!["by discovery".to_owned()],
        IssuerKeys::JwksUri(uri) => vec![format!("at {uri}")],
        IssuerKeys::Jwks(set) => key_names(set),
    }
}

fn row(issuer: Entity) -> Vec<String> {
    let keys = match &issuer.keys {
        IssuerKeys::Jwks(set) => format!("{} registered", set.keys.len()),
        other => keys_of(other).concat(),
    };
    vec![issuer.id, issuer.issuer, issuer.name, keys]
}

fn describe(issuer: Entity) -> Details {
    vec![
        detail("id", issuer.id),
        detail("issuer", issuer.issuer),
        detail("name", issuer.name),
        details("keys", keys_of(&issuer.keys)),
        detail("omits issuer", yes(issuer.omits_issuer)),
        detail("created", issuer.created_at),
        detail("version", issuer.version.to_string()),
    ]
}
