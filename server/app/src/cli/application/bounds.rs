//! `writ application quota …` and `writ application exchange …`: how many tokens an application may
//! get, and for whose.

use clap::{Args, Subcommand};
use ureq::http::Method;
use writ_api::{Quota as Amount, TokenExchange};

use super::super::Failure;
use super::super::output::{Details, Out, detail, details};
use super::super::remote::{Call, Change, Client, Read};

/// Verbs of `writ application quota`.
#[derive(Subcommand, Debug)]
pub enum Quota {
    /// Limit how many tokens an application may get: what is not named is not limited
    #[command(after_help = "Examples:
  writ application quota set APPLICATION --per-minute 60 --per-day 10000
  writ application quota set APPLICATION --per-hour 500 --mode monitor")]
    Set(SetQuota),
    /// Show how many tokens an application may get
    #[command(after_help = "Example:
  writ application quota show APPLICATION")]
    Show {
        /// The id of the application
        application: String,
        #[command(flatten)]
        read: Read,
    },
    /// Let an application have as many tokens as it asks for
    #[command(after_help = "Example:
  writ application quota reset APPLICATION")]
    Reset {
        /// The id of the application
        application: String,
        #[command(flatten)]
        change: Change,
    },
}

/// A quota.
#[derive(Args, Debug)]
pub struct SetQuota {
    /// The id of the application
    application: String,
    #[command(flatten)]
    windows: Windows,
    /// enforce: no more tokens until there is room. monitor: it is counted and said
    #[arg(long)]
    mode: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// How many tokens in which time.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Windows {
    /// Tokens a minute
    #[arg(long, value_name = "TOKENS")]
    per_minute: Option<u32>,
    /// Tokens an hour
    #[arg(long, value_name = "TOKENS")]
    per_hour: Option<u32>,
    /// Tokens a day
    #[arg(long, value_name = "TOKENS")]
    per_day: Option<u32>,
}

/// Verbs of `writ application exchange`.
#[derive(Subcommand, Debug)]
pub enum Exchange {
    /// Say whose tokens an application may exchange for its own use (RFC 8693): these are all
    #[command(after_help = "Example:
  writ application exchange set GATEWAY FRONTEND BACKEND --mode delegation")]
    Set {
        /// The id of the application that exchanges
        application: String,
        /// The ids of the applications whose tokens it may exchange
        #[arg(required = true)]
        subjects: Vec<String>,
        /// delegation: the new token says who acts. impersonation: it does not
        #[arg(long)]
        mode: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Show whose tokens an application may exchange
    #[command(after_help = "Example:
  writ application exchange show GATEWAY")]
    Show {
        /// The id of the application
        application: String,
        #[command(flatten)]
        read: Read,
    },
    /// Let an application exchange nobody's tokens
    #[command(after_help = "Example:
  writ application exchange reset GATEWAY")]
    Reset {
        /// The id of the application
        application: String,
        #[command(flatten)]
        change: Change,
    },
}

impl Quota {
    /// Runs the verb.
    pub fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        match self {
            Self::Set(set) => {
                let body = Amount {
                    per_minute: set.windows.per_minute,
                    per_hour: set.windows.per_hour,
                    per_day: set.windows.per_day,
                    mode: set.mode,
                };
                let path = ["applications", &set.application, "quota"];
                let call = Call::change(Method::PUT, &path, &set.change).body(&body)?;
                client.show(out, call, describe_quota)
            }
            Self::Show { application, read } => {
                let path = ["applications", &application, "quota"];
                client.show(out, Call::get(&path, &read), describe_quota)
            }
            Self::Reset {
                application,
                change,
            } => {
                let path = ["applications", &application, "quota"];
                let call = Call::change(Method::DELETE, &path, &change);
                client.done(out, call, &format!("{application} has no quota"))
            }
        }
    }
}

impl Exchange {
    /// Runs the verb.
    pub fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        match self {
            Self::Set {
                application,
                subjects,
                mode,
                change,
            } => {
                let path = ["applications", &application, "token-exchange"];
                let body = TokenExchange { subjects, mode };
                let call = Call::change(Method::PUT, &path, &change).body(&body)?;
                client.show(out, call, describe_exchange)
            }
            Self::Show { application, read } => {
                let path = ["applications", &application, "token-exchange"];
                client.show(out, Call::get(&path, &read), describe_exchange)
            }
            Self::Reset {
                application,
                change,
            } => {
                let path = ["applications", &application, "token-exchange"];
                let call = Call::change(Method::DELETE, &path, &change);
                client.done(out, call, &format!("{application} exchanges no tokens"))
            }
        }
    }
}

/// A quota in a line.
pub fn quota_line(quota: &Amount) -> String {
    let windows = [
        (quota.per_minute, "a minute"),
        (quota.per_hour, "an hour"),
        (quota.per_day, "a day"),
    ];
    let said = windows.into_iter();
    let said = said.filter_map(|(tokens, window)| Some(format!("{} {window}", tokens?)));
    let said: Vec<String> = said.collect();
    match quota.mode.as_deref() {
        Some("monitor") => format!("{} (monitored)", said.join(", ")),
        _ => said.join(", "),
    }
}

fn describe_quota(quota: Amount) -> Details {
    let tokens = |tokens: Option<u32>| {
        tokens.map_or_else(|| "not limited".to_owned(), |tokens| tokens.to_string())
    };
    vec![
        detail("per minute", tokens(quota.per_minute)),
        detail("per hour", tokens(quota.per_hour)),
        detail("per day", tokens(quota.per_day)),
        detail("mode", quota.mode.unwrap_or_default()),
    ]
}

fn describe_exchange(exchange: TokenExchange) -> Details {
    vec![
        details("subjects", exchange.subjects),
        detail("mode", exchange.mode.unwrap_or_default()),
    ]
}
