//! The command line: all nouns and verbs on one page, and how a run ends. Each noun has a file in
//! `cli`; this one knows none of their rules. Results go to standard output and nothing else does;
//! errors and hints go to standard error.

mod access;
mod api_resource;
mod application;
mod audit;
mod cloud_event;
mod credentials;
mod events;
mod initial_access_token;
mod issuance;
mod key_files;
mod local;
mod log;
mod messages;
mod output;
mod policy;
mod progress;
mod remote;
mod role;
mod settings;
mod signing_key;
mod table;
mod token;
mod trusted_issuer;
mod values;
mod witness;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use writ::config::ConfigError;
use writ_api::Problem;

use output::{Out, clean};

/// An event-sourced OAuth 2.0 authorization server for machines.
#[derive(Parser, Debug)]
#[command(
    name = "writ",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  writ dev --demo                         a server to try things with
  writ init --config writ.toml            a new data directory
  writ serve --config writ.toml           the server
  writ application list                   what is registered, by the admin API
  writ policy new night-watch             code that judges tokens

Verbs of the admin API need no more than the file admin.json that the first start made.
Exit codes: 0 done, 1 failed or refused, 2 wrong usage or configuration."
)]
struct Cli {
    /// Print results as JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand, Debug)]
#[command(disable_help_subcommand = true)]
enum Noun {
    Dev(local::Dev),
    Init(local::Init),
    Serve(local::Serve),
    /// Administrators, at the machine itself and with the server stopped
    #[command(subcommand)]
    Admin(local::Admin),
    /// The master key, at the machine itself and with the server stopped
    #[command(subcommand)]
    Keys(local::Keys),
    /// The configuration of this node
    #[command(subcommand)]
    Config(local::ConfigVerb),
    Openapi(local::Openapi),
    Version(local::Version),
    ApiResource(api_resource::ApiResource),
    Application(application::Application),
    Role(role::Role),
    TrustedIssuer(trusted_issuer::TrustedIssuer),
    InitialAccessToken(initial_access_token::InitialAccessToken),
    Settings(settings::Settings),
    SigningKey(signing_key::SigningKey),
    Token(token::Token),
    /// Policies: code that judges tokens; made, tested, pushed to the server and bound
    #[command(subcommand)]
    Policy(policy::Policy),
    Events(events::Events),
    Issuance(issuance::Issuance),
    /// Access reviews: who can get what, and what of it nobody uses
    Access(access::Access),
    /// The log itself, at the machine and with the server stopped
    #[command(subcommand)]
    Log(log::Log),
    /// Audits: verify the log, prove what is in it, explain why a token was issued or not
    #[command(subcommand)]
    Audit(audit::Audit),
    /// A witness: a second party that signs the checkpoints of logs that only grow
    #[command(subcommand)]
    Witness(witness::Witness),
}

/// Runs what the arguments say.
///
/// # Errors
/// It could not be done; [`Failure::report`] says so.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let cli = Cli::try_parse_from(arguments).map_err(Failure::Arguments)?;
    let out = &mut Out::new(cli.json);
    match cli.noun {
        Noun::Dev(verb) => verb.run(out),
        Noun::Init(verb) => verb.run(out),
        Noun::Serve(verb) => verb.run(out),
        Noun::Admin(verb) => verb.run(out),
        Noun::Keys(verb) => verb.run(out),
        Noun::Config(verb) => verb.run(out),
        Noun::Openapi(verb) => verb.run(out),
        Noun::Version(verb) => verb.run(out),
        Noun::ApiResource(noun) => noun.run(out),
        Noun::Application(noun) => noun.run(out),
        Noun::Role(noun) => noun.run(out),
        Noun::TrustedIssuer(noun) => noun.run(out),
        Noun::InitialAccessToken(noun) => noun.run(out),
        Noun::Settings(noun) => noun.run(out),
        Noun::SigningKey(noun) => noun.run(out),
        Noun::Token(noun) => noun.run(out),
        Noun::Policy(verb) => verb.run(out),
        Noun::Events(noun) => noun.run(out),
        Noun::Issuance(noun) => noun.run(out),
        Noun::Access(noun) => noun.run(out),
        Noun::Log(verb) => verb.run(out),
        Noun::Audit(verb) => verb.run(out),
        Noun::Witness(verb) => verb.run(out),
    }
}

/// Why a verb did not do what it was told.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are none, or `--help` was among them.
    Arguments(clap::Error),
    /// The configuration cannot be used.
    Config(ConfigError),
    /// Something failed; the text says what to do.
    Failed(String),
    /// Nobody reads standard output any more: `writ … | head`.
    Pipe,
    /// The server refused.
    Refused(Box<Problem>),
    /// The values of arguments do not make sense together.
    Usage(String),
}

impl Failure {
    /// An error of the library with all that lies under it.
    pub fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            // Some errors show their source themselves.
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        Self::Failed(text)
    }

    /// Says on standard error what is wrong, and answers the exit code.
    pub fn report(self) -> ExitCode {
        let code = match &self {
            // Exit code 0 is that of `--help`, which clap prints on standard output.
            Self::Arguments(error) => {
                let printed = error.print().is_ok();
                return match error.exit_code() {
                    0 if printed => ExitCode::SUCCESS,
                    0 => ExitCode::FAILURE,
                    _ => ExitCode::from(2),
                };
            }
            Self::Pipe => return ExitCode::SUCCESS,
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Refused(_) => ExitCode::FAILURE,
        };
        note(format_args!("error: {self}"));
        code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => error.fmt(f),
            Self::Config(error) => write!(f, "the configuration cannot be used\n{error}"),
            Self::Failed(text) | Self::Usage(text) => f.write_str(text),
            Self::Pipe => f.write_str("nobody reads standard output"),
            Self::Refused(problem) => {
                let said = if problem.detail.is_empty() {
                    &problem.title
                } else {
                    &problem.detail
                };
                write!(f, "{} (code {})", clean(said), clean(&problem.code))?;
                for reason in &problem.reasons {
                    write!(f, "\n  {}", clean(reason))?;
                }
                for user in &problem.users {
                    write!(f, "\n  {}  {}", clean(&user.entity), clean(&user.name))?;
                }
                Ok(())
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for Failure {
    /// An error of standard output: no other error of this type may come this way.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

/// Says something to the person at the terminal, on standard error.
fn note(text: impl fmt::Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// Verbs that show what is, by their path, each with whether it can show what was.
    fn shows(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
        const SHOWING: [&str; 6] = [
            "bindings",
            "history",
            "list",
            "preview-token",
            "review",
            "show",
        ];
        for below in command.get_subcommands() {
            let path = format!("{path} {}", below.get_name());
            if SHOWING.contains(&below.get_name()) {
                let mut arguments = below.get_arguments();
                let as_of = arguments.any(|argument| argument.get_long() == Some("as-of"));
                found.push((path.clone(), as_of));
            }
            shows(below, &path, found);
        }
    }

    #[test]
    fn every_verb_that_shows_what_is_can_show_what_was() {
        // A file of this node, records that have no positions, and a witness's own last word.
        let without_past = [
            "config show",
            "issuance list",
            "issuance show",
            "witness show",
        ];
        let mut found = Vec::new();
        shows(&Cli::command(), "", &mut found);
        for (path, as_of) in &found {
            let path = path.trim_start();
            assert_eq!(*as_of, !without_past.contains(&path), "{path}");
        }
        assert!(found.len() > 15, "{found:?}");
    }

    #[test]
    fn a_problem_is_shown_with_its_code_and_users_and_without_control_characters() {
        let user = writ_api::User {
            entity: "role/role_1".into(),
            name: "a\u{1b}[2Jb".into(),
        };
        let problem = Problem {
            detail: "the scope courses:read is in use".into(),
            code: "in_use".into(),
            users: vec![user],
            ..Problem::default()
        };
        assert_eq!(
            Failure::Refused(Box::new(problem)).to_string(),
            "the scope courses:read is in use (code in_use)\n  role/role_1  a\u{fffd}[2Jb"
        );
    }

    #[test]
    fn every_reason_of_a_problem_is_a_line() {
        let reasons = ["it imports `a\nb`", "it has a start function"].map(str::to_owned);
        let problem = Problem {
            detail: "the module is refused".to_owned(),
            code: "policy_rejected".into(),
            reasons: reasons.to_vec(),
            ..Problem::default()
        };
        assert_eq!(
            Failure::Refused(Box::new(problem)).to_string(),
            "the module is refused (code policy_rejected)\n  it imports `a\u{fffd}b`\n  it has \
             a start function"
        );
    }
}
