//! `writ policy run`: one request, asked as a server asks, and what the policy decides.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use writ::issue::panel;
use writ_api::Problem;
use writ_core::codec::hex;
use writ_policy::attribute;
use writ_policy::testing::request as request_for_tests;
use writ_policy_test::{as_served, to_sandbox};
use writ_sandbox::{Decision, Evaluation, FUEL, Named, Note, Outcome, Policy, Request, Trouble};

use crate::cli::output::{Details, Out, clean, detail, details};
use crate::cli::values::assignments;
use crate::cli::{Failure, note};

use super::bindings::SettingOptions;
use super::describe::json;
use super::file;

/// Ask a policy about one request and show its decision, fuel and time
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy run --example > request.json
  writ policy run night_watch.wasm --request request.json --setting lifetime_max=60
  jq '.scopes = [\"courses:read\"]' request.json | writ policy run night_watch.wasm --request -

It is asked as the server asks: it is told those attributes that it reads, and time.* follow from
the request's `at`. A denial is a decision too, and exits with 0.")]
pub struct Run {
    /// The module
    #[arg(value_name = "FILE", required_unless_present = "example")]
    module: Option<PathBuf>,
    /// The request as JSON; - reads it from standard input
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "example",
        conflicts_with = "example"
    )]
    request: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingOptions,
    /// Print a request to start from; with FILE, with the attributes that the policy reads
    #[arg(long)]
    example: bool,
}

/// What a policy decided, in the words of a record of an issuance.
#[derive(Serialize)]
struct Decided {
    policy: String,
    policy_name: String,
    verdict: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Note>,
    fuel: u64,
    micros: u32,
}

impl Run {
    /// Asks it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let policy = match &self.module {
            Some(path) => Some(file::load(path, &file::read(path)?)?),
            None => None,
        };
        let (policy, request) = match (policy, &self.request) {
            (Some(policy), Some(request)) => (policy, request),
            (policy, _) => return out.value(&example(policy.as_ref())),
        };
        let request: Request = file::read_json(request)?;
        let settings = settings(&policy, &self.settings)?;
        let served = as_served(&policy, &request);
        note_attributes(&policy, &request, &served);
        let Evaluation {
            result,
            fuel,
            micros,
        } = policy.evaluate(&served, &settings);
        if let Err(trouble) = &result
            && trouble.is_servers()
        {
            return Err(not_asked(trouble));
        }
        if out.is_json() {
            out.value(&Decided {
                policy: hex(policy.digest()),
                policy_name: policy.descriptor().name.clone(),
                verdict: serde_json::to_value(panel::verdict(&result)).unwrap_or_default(),
                notes: result.iter().flat_map(|one| one.notes.clone()).collect(),
                fuel,
                micros,
            })?;
        } else {
            let mut lines = describe(&served, &result);
            lines.push(detail("fuel", format!("{fuel} of {FUEL}")));
            lines.push(detail("time", format!("{micros} us")));
            out.details(lines)?;
        }
        match result {
            Ok(_) => Ok(()),
            Err(trouble) => Err(Failure::Failed(format!(
                "the policy decided nothing, which a server takes for a denial: {}",
                clean(&trouble.to_string())
            ))),
        }
    }
}

/// The settings as a binding would have them, or everything that is wrong with them.
fn settings(policy: &Policy, options: &SettingOptions) -> Result<Vec<Named>, Failure> {
    let descriptor = policy.descriptor();
    let mut given = options.of_file()?.unwrap_or_default();
    options.put_over(&mut given, |name| {
        let mut settings = descriptor.settings.iter();
        let setting = settings.find(|setting| setting.name == name)?;
        Some(setting.kind.name())
    })?;
    let refused = |problems: Vec<writ_sandbox::Problem>| {
        let reason = |one: writ_sandbox::Problem| format!("{}: {}", one.setting, one.message);
        invalid(problems.into_iter().map(reason).collect())
    };
    let resolved = descriptor.resolve(&named(given)?).map_err(refused)?;
    match policy.validate(&resolved) {
        Ok(Ok(())) => Ok(resolved),
        Ok(Err(problems)) => Err(refused(problems)),
        Err(trouble) if trouble.is_servers() => Err(not_asked(&trouble)),
        Err(trouble) => Err(invalid(vec![trouble.to_string()])),
    }
}

/// The trouble is this machine's, and says nothing about the policy.
fn not_asked(trouble: &Trouble) -> Failure {
    Failure::Failed(format!(
        "the policy could not be asked: {trouble}; try again"
    ))
}

/// A server would refuse the settings, with the same code.
fn invalid(reasons: Vec<String>) -> Failure {
    Failure::Refused(Box::new(Problem {
        detail: "the settings do not suit the policy".to_owned(),
        code: "settings_invalid".to_owned(),
        reasons,
        ..Problem::default()
    }))
}

fn named(settings: Map<String, Value>) -> Result<Vec<Named>, Failure> {
    let each = settings.into_iter();
    each.map(|(name, value)| match serde_json::from_value(value) {
        Ok(value) => Ok(Named::new(name, value)),
        Err(_) => Err(invalid(vec![format!(
            "{name}: a value is true, 7, \"text\", [\"a\", \"b\"] or {{\"json\": \"…\"}}"
        )])),
    })
    .collect()
}

/// What differs between what a person wrote and what the policy is told is easily taken for a fault
/// of the policy.
fn note_attributes(policy: &Policy, request: &Request, served: &Request) {
    let has = |list: &[Named], name: &str| list.iter().any(|one| one.name == name);
    let not_told = request.attributes.iter().map(|one| one.name.as_str());
    let not_told = not_told.filter(|name| !has(&served.attributes, name));
    let unknown = policy.descriptor().reads.iter().map(String::as_str);
    let unknown = unknown.filter(|name| !has(&served.attributes, name));
    for (names, what) in [
        (
            not_told.collect::<Vec<_>>(),
            "the policy is not told what it does not read",
        ),
        (
            unknown.collect(),
            "the policy reads what the request does not say",
        ),
    ] {
        if !names.is_empty() {
            note(format_args!("{what}: {}", clean(&names.join(" "))));
        }
    }
}

fn describe(request: &Request, result: &Result<Outcome, Trouble>) -> Details {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(trouble) => {
            return vec![
                detail("decision", "fault"),
                detail("because", trouble.to_string()),
            ];
        }
    };
    let mut lines = Vec::new();
    match &outcome.decision {
        Decision::Allow(grant) => {
            let scopes = grant.scopes.as_ref().unwrap_or(&request.scopes);
            let lifetime = grant.lifetime_seconds.unwrap_or(request.lifetime_seconds);
            lines.push(detail("decision", "permit"));
            lines.push(details("scopes", scopes.clone()));
            lines.push(detail("lifetime", format!("{lifetime} s")));
            lines.push(details("claims", assignments(&by_name(&grant.claims))));
        }
        Decision::Deny(denial) => {
            lines.push(detail("decision", "deny"));
            lines.push(detail("code", &*denial.code));
            lines.push(detail("reason", &*denial.reason));
            let told = denial.description.as_deref();
            lines.push(detail("told", told.unwrap_or("-")));
        }
    }
    let notes = outcome.notes.iter();
    let notes = notes.map(|note| format!("{}: {}", note.name, note.text));
    lines.push(details("notes", notes.collect()));
    lines
}

fn by_name(named: &[Named]) -> Map<String, Value> {
    let each = named.iter();
    each.map(|one| (one.name.clone(), claim(&one.value)))
        .collect()
}

/// A claim as it stands in a token.
fn claim(value: &writ_sandbox::Value) -> Value {
    match value {
        // What is no JSON was not accepted.
        writ_sandbox::Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        other => json(other),
    }
}

/// A request to start from, with something of everything that a policy may judge by.
fn example(policy: Option<&Policy>) -> Request {
    let request = request_for_tests()
        .api("https://courses.example/api")
        .scopes(["courses:publish", "courses:read"])
        .label("env", "prod")
        .role("publisher")
        .attribute(attribute::AUTH_METHOD, "client_secret_basic")
        .attribute(attribute::HTTP_USER_AGENT, "nightly-job/1.0")
        .attribute(attribute::NET_IP, "192.0.2.1")
        .build();
    let mut request = to_sandbox::request(&request);
    // They follow from `at`, unless they are given: who changes the time need not change them too.
    let follows = |one: &Named| one.name.starts_with("time.");
    let reads = policy.map(|policy| &policy.descriptor().reads);
    request
        .attributes
        .retain(|one| !follows(one) && reads.is_none_or(|reads| reads.contains(&one.name)));
    request
}
