//! `writ initial-access-token …`: the tokens by which applications register themselves (RFC 7591).

use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;
use writ::clock::{Clock, SystemClock};
use writ_api::{
    BoundGrant, CreateInitialAccessToken, InitialAccessToken as Entity, NewInitialAccessToken,
};

use super::output::{Details, Out, detail, details, parse};
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read};
use super::values::{Assignment, seconds};
use super::{Failure, note};

/// Initial access tokens: by them applications register themselves, within bounds
#[derive(Args, Debug)]
pub struct InitialAccessToken {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Let applications register themselves by a token, which is shown now and never again
    #[command(after_help = "Examples:
  writ initial-access-token create 'CI of the web team'
  writ initial-access-token create fleet --lifetime 7d --registrations 50 --name-prefix fleet- \\
    --method private_key_jwt --method tls_client_auth --label team=data \\
    --grant 'https://courses.example/api courses:read-approved'

Without --grant an application gets no scopes, and an administrator grants them afterwards.")]
    Create(Box<Create>),
    /// List all initial access tokens
    #[command(after_help = "Example:
  writ initial-access-token list")]
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show an initial access token, without the token itself
    #[command(after_help = "Example:
  writ initial-access-token show iat_2")]
    Show {
        /// Its id
        token: String,
        #[command(flatten)]
        read: Read,
    },
    /// Revoke an initial access token; what was registered by it stays
    #[command(after_help = "Example:
  writ initial-access-token revoke iat_2 --reason 'the fleet is complete'")]
    Revoke {
        /// Its id
        token: String,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Its name
    name: String,
    /// How long it lives: a whole number with s, m, h, d or w; a day where not given
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    lifetime: Option<u64>,
    /// How many applications it may register in all; one where not given
    #[arg(long, value_name = "NUMBER")]
    registrations: Option<u32>,
    /// An authentication method that they may choose; may be repeated. `private_key_jwt` where
    /// there is none
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// What their names must begin with
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,
    /// A label that they get; may be repeated. Permanent in the log: no personal data
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Assignment>,
    /// An API resource and the scopes of it that they get at most, separated by spaces; may be
    /// repeated
    #[arg(long = "grant", value_name = "API SCOPE…", value_parser = bound_grant)]
    grants: Vec<BoundGrant>,
    #[command(flatten)]
    creation: Creation,
}

impl InitialAccessToken {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::Create(create) => create.run(out, &mut client),
            Verb::List { listing } => {
                let header = &["id", "name", "registered", "expires", "methods"];
                let path = ["initial-access-tokens"];
                client.list(out, &path, &listing, &[], header, row)
            }
            Verb::Show { token, read } => {
                let call = Call::get(&["initial-access-tokens", &token], &read);
                client.show(out, call, describe)
            }
            Verb::Revoke { token, change } => {
                let path = ["initial-access-tokens", &token];
                let call = Call::change(Method::DELETE, &path, &change);
                client.done(out, call, &format!("revoked {token}"))
            }
        }
    }
}

impl Create {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let ends = |seconds| SystemClock.now().plus_seconds(seconds).to_string();
        let labels = self.labels.into_iter();
        let body = CreateInitialAccessToken {
            name: self.name,
            expires_at: self.lifetime.map(ends),
            registrations: self.registrations,
            methods: self.methods,
            name_prefix: self.name_prefix,
            labels: labels.map(|label| (label.name, label.text)).collect(),
            grants: self.grants,
        };
        let call = Call::create(&["initial-access-tokens"], self.creation).body(&body)?;
        let value: Value = client.send(call)?.value;
        let made: NewInitialAccessToken = parse(&value)?;
        if made.token.is_none() {
            return Err(Failure::Failed(format!(
                "this repeats an earlier call, and the token {} was shown then: create another \
                 and revoke that one",
                made.id
            )));
        }
        out.entity(&value, handed_over)?;
        note("Store the token now: it is never shown again.");
        Ok(())
    }
}

fn lifetime(given: &str) -> Result<u64, String> {
    let wrong = || "write a whole number with s, m, h, d or w, such as 7d".to_owned();
    seconds(given, "smhdw").ok_or_else(wrong)
}

fn bound_grant(given: &str) -> Result<BoundGrant, String> {
    let mut words = given.split_whitespace().map(str::to_owned);
    let api = words.next();
    Ok(BoundGrant {
        api: api.ok_or_else(|| "write an API resource, and scopes behind it".to_owned())?,
        scopes: words.collect(),
    })
}

fn handed_over(made: NewInitialAccessToken) -> Details {
    vec![
        detail("id", made.id),
        detail("token", made.token.unwrap_or_default()),
        detail("register at", made.registration_endpoint),
        detail("registrations", made.registrations.to_string()),
        detail("expires", made.expires_at),
    ]
}

fn row(token: Entity) -> Vec<String> {
    let registered = format!("{} of {}", token.registered, token.registrations);
    let methods = token.methods.join(" ");
    vec![token.id, token.name, registered, token.expires_at, methods]
}

fn describe(token: Entity) -> Details {
    let labels = token.labels.iter();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    let grants = token.grants.iter();
    let grants = grants.map(|grant| format!("{} {}", grant.api, grant.scopes.join(" ")));
    vec![
        detail("id", token.id),
        detail("name", token.name),
        detail(
            "registered",
            format!("{} of {}", token.registered, token.registrations),
        ),
        detail("expires", token.expires_at),
        details("methods", token.methods),
        detail("name prefix", token.name_prefix.unwrap_or_default()),
        details("labels", labels.collect()),
        details("grants", grants.collect()),
        detail("created", token.created_at),
        detail("version", token.version.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_an_api_resource_and_its_scopes() {
        let grant = |api: &str, scopes: &[&str]| BoundGrant {
            api: api.to_owned(),
            scopes: scopes.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(
            bound_grant("https://a.example/x=1  a:b c:d"),
            Ok(grant("https://a.example/x=1", &["a:b", "c:d"]))
        );
        assert_eq!(bound_grant("api_7"), Ok(grant("api_7", &[])));
        assert!(bound_grant(" ").is_err());
        assert_eq!(lifetime("7d"), Ok(604_800));
        assert!(lifetime("7").is_err());
    }
}
