//! Tests of policies, natively: a builder for requests, case files, and what holds for every
//! policy.
//!
//! ```
//! # use writ_policy::prelude::*;
//! # #[writ_policy::policy()]
//! # fn evaluate(request: &Request, _: &()) -> Result<Outcome, Fault> { allow(request).into() }
//! // In a policy crate: #[test] fn cases() { .. }
//! # fn cases() {
//! writ_policy::testing::check_cases::<Policy>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
//! # }
//! # let request = writ_policy::testing::request().scopes(["a"]).build();
//! # writ_policy::testing::check_properties::<Policy>(&request, &[]).unwrap();
//! ```
//!
//! # Case files
//!
//! A file in TOML has `[settings]` and `[request]` that its cases share, and a `[[case]]` for each
//! question, which can change any of it. What `expect` does not name is not compared.
//!
//! ```toml
//! [settings]
//! networks = ["10.0.0.0/8"]
//!
//! [request]
//! scopes = ["courses:publish", "courses:read"]
//! lifetime = 900
//! at = "2026-11-23T09:30:00Z"                # or milliseconds since 1970
//! grant_type = "client_credentials"
//! apis = [{ identifier = "https://courses.example/api", labels = { tier = "1" } }]
//! attributes = { "net.ip" = "10.1.2.3" }     # those of `time.*` come from `at`
//! claims = { locale = "fr" }                 # that the token will have anyway
//!
//! [request.application]
//! id = "app"
//! name = "Nightly job"
//! labels = { env = "prod" }
//! roles = ["publisher"]
//!
//! [request.subject]                          # none, unless there is one
//! id = "alice"
//! issuer = "https://idp.example"
//! claims = { department = "physics" }
//!
//! [[case]]
//! name = "inside the network all is granted"
//! expect.decision = "allow"                  # or deny, fault (cannot judge), settings (refused)
//! expect.scopes = ["courses:publish", "courses:read"]    # what is left
//! expect.lifetime = 900                      # the seconds that are left
//! expect.claims = { tenant = "a" }           # exactly those that are added
//! expect.notes = { ip = "10.1.2.3" }         # these are among the notes
//!
//! [[case]]
//! name = "outside there is nothing"
//! request.attributes."net.ip" = "203.0.113.9"
//! expect.decision = "deny"
//! expect.code = "outside_network"
//! expect.reason = "in none of the networks"  # a part of it; for a fault, of its text
//! expect.description = "inside only"         # a part of what the application is told
//!
//! [[case]]
//! name = "a slip in a network is noticed when it is bound"
//! settings.networks = ["10.0.0.1/8"]
//! expect.decision = "settings"
//! expect.problems = ["networks"]             # the settings that something is wrong with
//! ```
//!
//! A policy gets the attributes it reads, as on a server: one that it forgot in `reads(..)` is not
//! there. A setting that a case does not give has its default.
//!
//! # What holds for every policy
//!
//! [`check_cases`] also asks each case's request in many variations (a scope, role, label or fact
//! less, other lifetimes) and demands that the answer never widens what was asked for, says only
//! what the descriptor declares, and is the same twice.

mod builder;
mod case;
mod clock;
mod toml;

use std::path::Path;

pub use builder::{RequestBuilder, request};
pub use case::{Answer, Case, Expected, load};

use crate::{Decision, Descriptor, Named, Outcome, Policy, Request, Value, attribute, guest};

/// What is left of a request: the scopes and the lifetime of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its lifetime.
    pub lifetime_seconds: u32,
}

/// What an outcome leaves of the request; `None` for a denial.
#[must_use]
pub fn granted(request: &Request, outcome: &Outcome) -> Option<Granted> {
    let Decision::Allow(grant) = &outcome.decision else {
        return None;
    };
    Some(Granted {
        scopes: grant
            .scopes
            .clone()
            .unwrap_or_else(|| request.scopes.clone()),
        lifetime_seconds: grant.lifetime_seconds.unwrap_or(request.lifetime_seconds),
    })
}

/// Runs all case files of a directory natively, and the properties on variations of each.
///
/// # Panics
/// With everything that is not as expected: this is for a test.
#[track_caller]
pub fn check_cases<P: Policy>(directory: impl AsRef<Path>) {
    let directory = directory.as_ref();
    let descriptor = P::descriptor();
    let mut failures = descriptor_problems(&descriptor);
    let cases = match load(directory) {
        Ok(cases) => cases,
        Err(problem) => panic!("{problem}"),
    };
    for case in &cases {
        let request = as_served(&descriptor, &case.request);
        let answer = match guest::validate::<P::Settings>(&case.settings) {
            Err(problems) => Answer::Problems(problems),
            Ok(()) => match guest::evaluate::<P>(&request, &case.settings) {
                Ok(outcome) => Answer::Outcome(outcome),
                Err(fault) => Answer::Fault(fault),
            },
        };
        let mut wrong = case.compare(&request, &answer);
        if !matches!(answer, Answer::Problems(_)) {
            for request in variations(&request) {
                if let Err(problem) = check_properties::<P>(&request, &case.settings) {
                    wrong.push(format!("{problem}, for {request:?}"));
                    break;
                }
            }
        }
        failures.extend(wrong.into_iter().map(|what| format!("{case}: {what}")));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Asks twice and checks what holds for every policy.
///
/// # Errors
/// What does not hold.
pub fn check_properties<P: Policy>(request: &Request, settings: &[Named]) -> Result<(), String> {
    let first = guest::evaluate::<P>(request, settings);
    if guest::evaluate::<P>(request, settings) != first {
        return Err("two answers to one question".to_owned());
    }
    match first {
        Ok(outcome) => sound(&P::descriptor(), request, &outcome),
        Err(_) => Ok(()),
    }
}

/// Claims that no policy can add, since the server sets them.
pub const RESERVED_CLAIMS: [&str; 21] = [
    "acr",
    "act",
    "active",
    "amr",
    "aud",
    "auth_time",
    "authorization_details",
    "azp",
    "client_id",
    "cnf",
    "exp",
    "iat",
    "iss",
    "jti",
    "may_act",
    "nbf",
    "scope",
    "sid",
    "sub",
    "token_type",
    "username",
];

/// What a server refuses in an outcome, whoever made it: wider than the request, or not declared by
/// the descriptor.
///
/// # Errors
/// The first thing that is wrong.
pub fn sound(descriptor: &Descriptor, request: &Request, outcome: &Outcome) -> Result<(), String> {
    let grant = match &outcome.decision {
        Decision::Deny(denial) if descriptor.codes.contains(&denial.code) => return Ok(()),
        Decision::Deny(denial) => {
            return Err(format!(
                "it denies with {:?}, which codes(..) has not",
                denial.code
            ));
        }
        Decision::Allow(grant) => grant,
    };
    for scope in grant.scopes.iter().flatten() {
        if !request.scopes.contains(scope) {
            return Err(format!("it grants {scope:?}, which nobody asked for"));
        }
    }
    if grant
        .lifetime_seconds
        .is_some_and(|seconds| seconds > request.lifetime_seconds)
    {
        return Err("it grants a longer lifetime than was asked for".to_owned());
    }
    for (at, claim) in grant.claims.iter().enumerate() {
        let name = &claim.name;
        if RESERVED_CLAIMS.contains(&name.as_str()) {
            return Err(format!("it adds the claim {name:?}, which is reserved"));
        }
        if !descriptor.claims.contains(name) {
            return Err(format!(
                "it adds the claim {name:?}, which claims(..) has not"
            ));
        }
        if grant
            .claims
            .iter()
            .take(at)
            .any(|other| other.name == *name)
        {
            return Err(format!("it adds the claim {name:?} twice"));
        }
    }
    Ok(())
}

/// What is wrong with a descriptor, whatever the policy does.
#[must_use]
pub fn descriptor_problems(descriptor: &Descriptor) -> Vec<String> {
    let mut problems = Vec::new();
    for claim in &descriptor.claims {
        if RESERVED_CLAIMS.contains(&claim.as_str()) {
            problems.push(format!("claims(..) has {claim:?}, which is reserved"));
        }
    }
    for name in &descriptor.reads {
        if !attribute::ALL.contains(&name.as_str()) {
            problems.push(format!("reads(..) has {name:?}, which no server offers"));
        }
    }
    for setting in &descriptor.settings {
        if let Some(default) = &setting.default
            && kind_of(default) != setting.kind
        {
            let name = &setting.name;
            problems.push(format!("the default of setting {name} is not of its kind"));
        }
    }
    problems
}

fn kind_of(value: &Value) -> crate::SettingKind {
    use crate::SettingKind;
    match value {
        Value::Flag(_) => SettingKind::Flag,
        Value::Int(_) => SettingKind::Int,
        Value::Text(_) => SettingKind::Text,
        Value::Texts(_) => SettingKind::Texts,
        Value::Json(_) => SettingKind::Json,
    }
}

/// The request as a server passes it to this policy: with the attributes that it reads and no
/// others, `time.*` from `at`, everything sorted.
#[must_use]
pub fn as_served(descriptor: &Descriptor, request: &Request) -> Request {
    let mut request = request.clone();
    for fact in clock::facts(request.at) {
        if !request.attributes.iter().any(|one| one.name == fact.name) {
            request.attributes.push(fact);
        }
    }
    let read = |one: &Named| descriptor.reads.contains(&one.name);
    request.attributes.retain(read);
    sort(&mut request);
    request
}

fn sort(request: &mut Request) {
    let by_name = |one: &Named, other: &Named| one.name.cmp(&other.name);
    request.attributes.sort_by(by_name);
    request.claims.sort_by(by_name);
    request.application.labels.sort_by(by_name);
    request.application.roles.sort();
    request.scopes.sort();
    request.scopes.dedup();
    request
        .apis
        .sort_by(|one, other| one.identifier.cmp(&other.identifier));
}

/// The request, and requests near to it: one scope, role, label, fact or API resource less, one
/// scope only, none at all, other lifetimes, other hours.
#[must_use]
pub fn variations(request: &Request) -> Vec<Request> {
    let mut all = vec![request.clone()];
    let mut add = |change: &dyn Fn(&mut Request)| {
        let mut one = request.clone();
        change(&mut one);
        all.push(one);
    };
    for at in 0..request.scopes.len() {
        add(&|one| drop(one.scopes.remove(at)));
        add(&|one| one.scopes = one.scopes.drain(..).skip(at).take(1).collect());
    }
    for at in 0..request.attributes.len() {
        add(&|one| drop(one.attributes.remove(at)));
    }
    for at in 0..request.application.labels.len() {
        add(&|one| drop(one.application.labels.remove(at)));
    }
    for at in 0..request.application.roles.len() {
        add(&|one| drop(one.application.roles.remove(at)));
    }
    for at in 0..request.apis.len() {
        add(&|one| drop(one.apis.remove(at)));
    }
    add(&|one| one.scopes.clear());
    add(&|one| one.scopes.push("zz:unheard-of".to_owned()));
    add(&|one| one.claims.clear());
    for seconds in [1, 59, 3_600, u32::MAX] {
        add(&|one| one.lifetime_seconds = seconds);
    }
    for hours in [1_u64, 7, 13, 24, 61] {
        add(&|one| {
            one.at += hours * 3_600_000;
            for fact in clock::facts(one.at) {
                for given in &mut one.attributes {
                    if given.name == fact.name {
                        given.value = fact.value.clone();
                    }
                }
            }
        });
    }
    all
}
