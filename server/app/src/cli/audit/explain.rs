//! `writ audit explain`: why a token decision came out as it did.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use writ::audit::{Evidence, Surroundings, explain, withdrawn_by};
use writ::config::Config;
use writ::policies::sandbox;
use writ_api::{ExplainedPolicy, ExplainedTerms, Explanation, ExplanationVerdict};
use writ_core::Jti;
use writ_sandbox::SandboxConfig;

use crate::cli::local::Node;
use crate::cli::output::{Details, Out, detail, details, parse};
use crate::cli::policy::answer;
use crate::cli::remote::{Call, Client, Connection, Read};
use crate::cli::values::assignments;
use crate::cli::{Failure, note, token};

/// Explain a token decision: make it again from the log, and compare
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ audit explain 01890a5d-ac96-774b-bcce-b302099a8057
  writ audit explain - < token.txt
  writ audit explain --data-dir /var/lib/writ 01890a5d-ac96-774b-bcce-b302099a8057 --json

Without --data-dir or --archive the server is asked. With it the data directory is read, and the server must be
stopped. A token is read for its jti alone: its signature is not looked at, and it goes nowhere.
Exit code 0 when all came out as it is recorded, 1 when it did not.")]
pub struct Explain {
    /// The id of the decision, which is the jti of its token; or - to read a token from standard
    /// input
    #[arg(value_name = "JTI")]
    decision: String,
    /// Read an archive that has the records of issuances
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["data_dir", "config"])]
    archive: Option<PathBuf>,
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    /// Explains it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let jti = match self.decision.as_str() {
            "-" => token::jti_of(&token::given("-")?)?,
            jti => jti.to_owned(),
        };
        let explanation = match self.archive.is_some() || self.node.data_dir().is_some() {
            true => local(&self.node, self.archive.as_deref(), &jti)?,
            false => {
                let call = Call::get(&["issuances", &jti, "explanation"], &Read::default());
                Client::open(&self.connection)?.send(call)?.value
            }
        };
        let verdict = parse::<Explanation>(&explanation)?.verdict;
        out.entity(&explanation, describe)?;
        match verdict {
            ExplanationVerdict::Equal => Ok(()),
            ExplanationVerdict::Differs => Err(Failure::Failed(
                "the decision made again is not the one that is recorded".to_owned(),
            )),
            ExplanationVerdict::NotRebuilt => Err(Failure::Failed(
                "the decision cannot be made again as it was: see the remarks".to_owned(),
            )),
        }
    }
}

/// The evidence in an archive, or else in a data directory, and where it is.
pub fn evidence(
    config: &Config,
    archive: Option<&Path>,
    sandbox: SandboxConfig,
) -> Result<(Evidence, PathBuf), Failure> {
    let (evidence, place) = match archive {
        Some(archive) => (Evidence::archive(archive, sandbox), archive),
        None => (Evidence::open(config, sandbox), &*config.data_dir),
    };
    let evidence = evidence.map_err(|error| Failure::of(&error))?;
    Ok((evidence, place.to_owned()))
}

fn local(node: &Node, archive: Option<&Path>, jti: &str) -> Result<Value, Failure> {
    let id: Jti = jti
        .parse()
        .map_err(|_| Failure::Usage(format!("{jti} is no jti, which is a UUID")))?;
    let config = node.load_offline()?;
    let (evidence, place) = evidence(&config, archive, sandbox(1))?;
    let issuances = evidence.issuances();
    let found = issuances.find(id).map_err(|error| Failure::of(&error))?;
    let record = found.ok_or_else(|| {
        Failure::Failed(format!(
            "there is no record of {id} in {}: it is older than the records that are kept, was \
             never recorded, or another server decided it",
            place.display()
        ))
    })?;
    let withdrawn_by = withdrawn_by(id, |from, visit| issuances.scan(from, visit));
    let index = evidence.walk().index_at(record.as_of);
    note("The policies are compiled anew, which takes some seconds for each.");
    let explanation = explain(
        &record,
        &*index.map_err(|error| Failure::of(&error))?,
        &Surroundings {
            modules: &|judgement| evidence.modules().get(judgement),
            engine: evidence.modules().engine(),
            issuer: config.issuer.as_ref().map(|issuer| issuer.as_str()),
            withdrawn_by: withdrawn_by.map_err(|error| Failure::of(&error))?,
        },
    );
    serde_json::to_value(explanation)
        .map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))
}

fn describe(explained: Explanation) -> Details {
    let verdict = match explained.verdict {
        ExplanationVerdict::Equal => "equal: made again it comes out the same, bit for bit",
        ExplanationVerdict::Differs => "differs: made again it comes out otherwise",
        ExplanationVerdict::NotRebuilt => "not rebuilt: not all that was decided on can be had",
    };
    let reason = explained.reason.map(|reason| format!(": {reason}"));
    let application = explained.application;
    let name = application.name.as_deref().unwrap_or("unknown then");
    let credential = explained.credential;
    let made = match &credential.created_at {
        Some(at) => format!(", made {at}"),
        None => ", which the application did not have".to_owned(),
    };
    let mut lines = vec![detail("decision", explained.id), detail("verdict", verdict)];
    let differences = explained.differences.iter().flat_map(|difference| {
        let place = format!(
            "{}: recorded {}, now {}",
            difference.path, difference.recorded, difference.now
        );
        let reason = difference.reason.as_ref();
        [Some(place), reason.map(|reason| format!("    {reason}"))]
    });
    several(&mut lines, "differences", differences.flatten());
    several(&mut lines, "remarks", explained.remarks.into_iter());
    lines.extend([
        detail(
            "outcome",
            format!("{}{}", explained.outcome, reason.unwrap_or_default()),
        ),
        detail("decided at", at(&explained.at, &explained.clock)),
        detail(
            "rests on",
            format!(
                "the log up to {}, of {}",
                explained.as_of, explained.as_of_time
            ),
        ),
        detail("application", format!("{} {name}", application.id)),
        detail(
            "credential",
            format!("{} {}{made}", credential.method, credential.id),
        ),
        details("roles then", explained.roles),
    ]);
    let grants = explained.grants.iter().map(|grant| {
        let scopes = grant.scopes.join(" ");
        format!("{} ({}): {scopes}", grant.identifier, grant.mode)
    });
    lines.push(details("grants then", grants.collect()));
    let asked = match explained.asked {
        Some(asked) => asked.join(" "),
        None => "no scope named".to_owned(),
    };
    lines.push(detail("asked", asked));
    several(&mut lines, "for", explained.resources.into_iter());
    if let Some(denial) = explained.denial {
        lines.push(detail("not entitled", denial));
    }
    if let Some(entitled) = &explained.entitled {
        lines.push(details("entitled", terms(entitled)));
    }
    if let Some(question) = explained.question {
        let digest = match question.digest_recorded {
            Some(recorded) if recorded == question.digest_now => format!("{recorded}, as recorded"),
            recorded => format!(
                "{}, recorded is {}",
                question.digest_now,
                recorded.as_deref().unwrap_or("none")
            ),
        };
        lines.push(detail("question", digest));
        let facts = question
            .question
            .get("attributes")
            .and_then(Value::as_array);
        let facts = facts.into_iter().flatten().map(|fact| {
            let name = fact["name"].as_str().unwrap_or_default();
            format!("{name} = {}", fact["value"])
        });
        several(&mut lines, "facts", facts);
    }
    let policies = explained.policies.iter().flat_map(policy);
    several(&mut lines, "policies", policies);
    if let Some(left) = &explained.terms {
        lines.push(details("left", terms(left)));
    }
    if !explained.granted.is_empty() || explained.expires_at.is_some() {
        lines.push(details("granted", explained.granted));
    }
    if let Some(at) = explained.expires_at {
        lines.push(detail("expires", at));
    }
    if let Some(key) = explained.key {
        let key = format!("{} ({}, {} then)", key.kid, key.algorithm, key.state);
        lines.push(detail("signed by", key));
    }
    if let Some(engine) = explained.engine {
        let recorded = engine.recorded.unwrap_or_else(|| "none".to_owned());
        let same = if recorded == engine.now {
            "the same"
        } else {
            &engine.now
        };
        lines.push(detail("engine", format!("{recorded}; now {same}")));
    }
    lines
}

/// A line for each, if there is any.
fn several(lines: &mut Details, label: &'static str, values: impl Iterator<Item = String>) {
    let values: Vec<String> = values.collect();
    if !values.is_empty() {
        lines.push((label, values));
    }
}

fn at(decided: &str, clock: &str) -> String {
    match decided == clock {
        true => decided.to_owned(),
        false => format!("{decided}; the clock said {clock}"),
    }
}

fn terms(terms: &ExplainedTerms) -> Vec<String> {
    let mut lines = vec![
        format!("scopes {}", terms.scopes.join(" ")),
        format!("for {}", terms.audience.join(" ")),
        format!("for {} s", terms.lifetime_seconds),
    ];
    if !terms.claims.is_empty() {
        lines.push(format!("with {}", assignments(&terms.claims).join(" ")));
    }
    lines
}

fn policy(policy: &ExplainedPolicy) -> Vec<String> {
    let shadow = if policy.shadow {
        " (shadow, not obeyed)"
    } else {
        ""
    };
    let judgement = &policy.judgement;
    let mut lines = vec![format!(
        "{} {} on {}{shadow}: {}",
        policy.binding,
        judgement.policy_name,
        policy.target,
        if policy.equal { "equal" } else { "differs" },
    )];
    if !judgement.settings.is_empty() {
        let settings = assignments(&judgement.settings).join(" ");
        lines.push(format!("    settings {settings}"));
    }
    let said = |when: &str, answered: &Value| {
        let notes = answered["notes"].as_array().into_iter().flatten();
        let notes = notes.map(|note| {
            let text = |member: &str| note[member].as_str().unwrap_or_default().to_owned();
            format!("    note {}: {}", text("name"), text("text"))
        });
        let fuel = &answered["fuel"];
        let answer = format!("    {when} {}  {fuel} fuel", answer(&answered["verdict"]));
        std::iter::once(answer)
            .chain(notes)
            .collect::<Vec<String>>()
    };
    let recorded = policy.recorded.as_ref();
    lines.extend(
        recorded
            .map(|then| said("recorded:", then))
            .unwrap_or_default(),
    );
    if !policy.equal {
        let now = policy.now.as_ref();
        lines.extend(now.map(|now| said("now:", now)).unwrap_or_default());
    }
    let not_asked = policy.not_asked.iter();
    lines.extend(not_asked.map(|why| format!("    not asked: {why}")));
    lines
}
