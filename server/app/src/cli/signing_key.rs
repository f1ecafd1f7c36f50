//! `writ signing-key …`: the keys that sign tokens. The master key is at `writ keys`.

use clap::{Args, Subcommand};
use ureq::http::Method;
use writ_api::{CreateSigningKey, SigningKey as Entity};

use super::Failure;
use super::output::{Details, Out, detail};
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read};

/// Signing keys: made, published, activated, retired, revoked
#[derive(Args, Debug)]
pub struct SigningKey {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List all signing keys
    #[command(after_help = "Example:
  writ signing-key list")]
    List(Listing),
    /// Show a signing key with its public part
    #[command(after_help = "Example:
  writ signing-key show KID --json | jq .jwk")]
    Show {
        /// Its name in token headers
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        read: Read,
    },
    /// Make a signing key and publish it
    #[command(after_help = "Example:
  writ signing-key make ES256")]
    Make {
        /// ES256, RS256, PS256 or EdDSA
        algorithm: String,
        #[command(flatten)]
        creation: Creation,
    },
    /// Sign with a key that has been published long enough; the one before it retires
    #[command(after_help = "Example:
  writ signing-key activate KID --reason 'yearly rotation'")]
    Activate(One),
    /// Retire a published key that never signed; one that signs retires when another is activated
    #[command(after_help = "Example:
  writ signing-key retire KID")]
    Retire(One),
    /// Take a compromised key out of the JWKS at once; its tokens die with it, and one that signs
    /// is replaced in the same change
    #[command(after_help = "Example:
  writ signing-key revoke KID --reason 'found in a core dump'")]
    Revoke(One),
}

#[derive(Args, Debug)]
struct One {
    // A kid is a digest in base64url, and so may begin with a hyphen.
    /// Its name in token headers
    #[arg(allow_hyphen_values = true)]
    kid: String,
    #[command(flatten)]
    change: Change,
}

impl SigningKey {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::List(listing) => {
                let header = &["kid", "algorithm", "state", "created", "active since"];
                client.list(
                    out,
                    &["signing-keys"],
                    &listing,
                    &[],
                    header,
                    |key: Entity| {
                        let since = key.active_since.unwrap_or_else(|| "-".to_owned());
                        vec![key.kid, key.algorithm, key.state, key.created_at, since]
                    },
                )
            }
            Verb::Show { kid, read } => {
                client.show(out, Call::get(&["signing-keys", &kid], &read), describe)
            }
            Verb::Make {
                algorithm,
                creation,
            } => {
                let call = Call::create(&["signing-keys"], creation)
                    .body(&CreateSigningKey { algorithm })?;
                client.show(out, call, describe)
            }
            Verb::Activate(one) => client.show(out, one.call("activate"), describe),
            Verb::Retire(one) => client.show(out, one.call("retire"), describe),
            Verb::Revoke(one) => client.show(out, one.call("revoke"), describe),
        }
    }
}

impl One {
    fn call(&self, verb: &str) -> Call {
        let path = ["signing-keys", &self.kid, verb];
        Call::change(Method::POST, &path, &self.change)
    }
}

fn describe(key: Entity) -> Details {
    let mut lines = vec![
        detail("kid", key.kid),
        detail("algorithm", key.algorithm),
        detail("state", key.state),
        detail("created", key.created_at),
    ];
    lines.extend(key.active_since.map(|at| detail("active since", at)));
    lines.extend(key.published_until.map(|at| detail("published until", at)));
    lines.push(detail("version", key.version.to_string()));
    lines.push(detail("jwk", key.jwk.to_string()));
    lines
}
