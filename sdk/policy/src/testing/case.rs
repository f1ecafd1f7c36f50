//! Case files: reading them, and comparing an answer with what a case expects. See the module above
//! for their form.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::toml::{Table, Toml, json, parse};
use super::{clock, granted, request, sort};
use crate::{Api, Decision, Named, Outcome, Problem, Request, Subject, Value};

/// A question, and what the answer must be.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it is written.
    pub file: PathBuf,
    /// Its name within the file.
    pub name: String,
    /// What is asked. Its attributes are all that the case gives; [`as_served`](super::as_served)
    /// leaves those that the policy reads.
    pub request: Request,
    /// The binding's settings.
    pub settings: Vec<Named>,
    /// What must come out.
    pub expected: Expected,
}

/// What a case expects. `None` is not compared.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// `allow`, `deny`, `fault` or `settings`.
    pub decision: String,
    /// What is left of the scopes.
    pub scopes: Option<Vec<String>>,
    /// What is left of the lifetime, in seconds.
    pub lifetime: Option<i64>,
    /// Exactly the claims that are added.
    pub claims: Option<Vec<Named>>,
    /// Notes that are among those kept.
    pub notes: Option<Vec<Named>>,
    /// The denial's code.
    pub code: Option<String>,
    /// A part of the denial's reason, or of the fault.
    pub reason: Option<String>,
    /// A part of the denial's description.
    pub description: Option<String>,
    /// The settings that something is wrong with.
    pub problems: Option<Vec<String>>,
}

/// What a policy answered, however it was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It judged.
    Outcome(Outcome),
    /// It could not judge.
    Fault(String),
    /// It does not accept the settings.
    Problems(Vec<Problem>),
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.file.display(), self.name)
    }
}

/// Reads all `*.toml` of a directory, in the order of their names; or the one file.
///
/// # Errors
/// What is wrong, with file and line; also when there are no cases at all.
pub fn load(path: &Path) -> Result<Vec<Case>, String> {
    let trouble = |path: &Path, what: String| format!("{}: {what}", path.display());
    let mut files = Vec::new();
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| trouble(path, error.to_string()))?;
        for entry in entries {
            let file = entry.map_err(|error| trouble(path, error.to_string()))?;
            files.push(file.path());
        }
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "toml")
        });
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let mut cases = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| trouble(file, error.to_string()))?;
        let read = read(file, &text).map_err(|what| trouble(file, what))?;
        cases.extend(read);
    }
    if cases.is_empty() {
        return Err(trouble(path, "there are no cases".to_owned()));
    }
    Ok(cases)
}

/// The cases of one file.
fn read(file: &Path, text: &str) -> Result<Vec<Case>, String> {
    let mut shared = parse(text)?;
    let cases = match shared.remove("case") {
        Some(Toml::List(cases)) => cases,
        Some(_) => return Err("case is a list of tables: [[case]]".to_owned()),
        None => {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let name = Toml::Text(stem.into_owned());
            vec![Toml::Table(Table::from([("name".to_owned(), name)]))]
        }
    };
    let mut read = Vec::new();
    for (number, case) in cases.into_iter().enumerate() {
        let mut merged = Toml::Table(shared.clone());
        merge(&mut merged, case);
        let Toml::Table(mut table) = merged else {
            return Err("case is a list of tables: [[case]]".to_owned());
        };
        let name = text_of(&mut table, "name")?;
        let name = name.unwrap_or_else(|| format!("case {}", number + 1));
        let case = one(file, name.clone(), table);
        read.push(case.map_err(|what| format!("{name}: {what}"))?);
    }
    Ok(read)
}

/// Tables go into each other; anything else replaces what was there.
fn merge(into: &mut Toml, from: Toml) {
    match (into, from) {
        (Toml::Table(into), Toml::Table(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(old) => merge(old, value),
                    None => drop(into.insert(name, value)),
                }
            }
        }
        (into, from) => *into = from,
    }
}

fn one(file: &Path, name: String, mut table: Table) -> Result<Case, String> {
    // For people; it is not compared with anything.
    text_of(&mut table, "doc")?;
    let settings = named(&mut table, "settings")?.unwrap_or_default();
    let request = read_request(table_of(&mut table, "request")?.unwrap_or_default())?;
    let Some(expect) = table_of(&mut table, "expect")? else {
        return Err("expect is missing".to_owned());
    };
    let expected = read_expected(expect)?;
    nothing_else(&table)?;
    Ok(Case {
        file: file.to_owned(),
        name,
        request,
        settings,
        expected,
    })
}

fn read_request(mut table: Table) -> Result<Request, String> {
    let mut request = request().build();
    request.attributes.clear();
    let table = &mut table;
    if let Some(id) = text_of(table, "id")? {
        request.id = id;
    }
    match table.remove("at") {
        None => {}
        Some(Toml::Int(at)) => request.at = u64::try_from(at).map_err(|_| "at is negative")?,
        Some(Toml::Text(at)) => {
            let expected = "at is not a time like 2026-11-23T09:30:00Z";
            request.at = clock::parse(&at).ok_or(expected)?;
        }
        Some(_) => return Err("at is a text or a number".to_owned()),
    }
    if let Some(grant_type) = text_of(table, "grant_type")? {
        request.grant_type = grant_type;
    }
    if let Some(mut application) = table_of(table, "application")? {
        let read = &mut request.application;
        if let Some(id) = text_of(&mut application, "id")? {
            read.id = id;
        }
        if let Some(name) = text_of(&mut application, "name")? {
            read.name = name;
        }
        read.labels = named(&mut application, "labels")?.unwrap_or_default();
        read.roles = texts(&mut application, "roles")?.unwrap_or_default();
        nothing_else(&application)?;
    }
    if let Some(mut subject) = table_of(table, "subject")? {
        request.subject = Some(Subject {
            id: text_of(&mut subject, "id")?.unwrap_or_default(),
            issuer: text_of(&mut subject, "issuer")?.unwrap_or_default(),
            claims: named(&mut subject, "claims")?.unwrap_or_default(),
        });
        nothing_else(&subject)?;
    }
    match table.remove("apis") {
        None => {}
        Some(Toml::List(apis)) => {
            for (number, api) in apis.into_iter().enumerate() {
                let Toml::Table(mut api) = api else {
                    return Err("apis is a list of tables".to_owned());
                };
                let id = text_of(&mut api, "id")?;
                request.apis.push(Api {
                    id: id.unwrap_or_else(|| format!("api_{}", number + 1)),
                    identifier: text_of(&mut api, "identifier")?
                        .ok_or("an API has an identifier")?,
                    labels: named(&mut api, "labels")?.unwrap_or_default(),
                });
                nothing_else(&api)?;
            }
        }
        Some(_) => return Err("apis is a list of tables".to_owned()),
    }
    request.scopes = texts(table, "scopes")?.unwrap_or_default();
    if let Some(seconds) = int_of(table, "lifetime")? {
        let out_of_range = "lifetime is a number of seconds";
        request.lifetime_seconds = u32::try_from(seconds).map_err(|_| out_of_range)?;
    }
    request.attributes = named(table, "attributes")?.unwrap_or_default();
    request.claims = named(table, "claims")?.unwrap_or_default();
    nothing_else(table)?;
    sort(&mut request);
    Ok(request)
}

fn read_expected(mut table: Table) -> Result<Expected, String> {
    let table = &mut table;
    let expected = Expected {
        decision: text_of(table, "decision")?.ok_or("expect.decision is missing")?,
        scopes: texts(table, "scopes")?,
        lifetime: int_of(table, "lifetime")?,
        claims: named(table, "claims")?,
        notes: named(table, "notes")?,
        code: text_of(table, "code")?,
        reason: text_of(table, "reason")?,
        description: text_of(table, "description")?,
        problems: texts(table, "problems")?,
    };
    nothing_else(table)?;
    let on_allow = expected.scopes.is_some() || expected.lifetime.is_some();
    let on_allow = on_allow || expected.claims.is_some();
    let on_deny = expected.code.is_some() || expected.description.is_some();
    let fits = match expected.decision.as_str() {
        "allow" => !on_deny && expected.reason.is_none() && expected.problems.is_none(),
        "deny" => !on_allow && expected.problems.is_none(),
        "fault" => !on_allow && !on_deny && expected.problems.is_none(),
        "settings" => !on_allow && !on_deny && expected.reason.is_none(),
        _ => return Err("expect.decision is allow, deny, fault or settings".to_owned()),
    };
    if fits {
        Ok(expected)
    } else {
        let decision = &expected.decision;
        Err(format!(
            "expect has something that {decision:?} does not have"
        ))
    }
}

impl Case {
    /// What differs from what the case expects: nothing, if all is well. The request is the one
    /// that the policy was asked.
    #[must_use]
    pub fn compare(&self, request: &Request, answer: &Answer) -> Vec<String> {
        let expected = &self.expected;
        let mut wrong = Vec::new();
        let decision = match answer {
            Answer::Outcome(outcome) => match outcome.decision {
                Decision::Allow(_) => "allow",
                Decision::Deny(_) => "deny",
            },
            Answer::Fault(_) => "fault",
            Answer::Problems(_) => "settings",
        };
        if decision != expected.decision {
            let expected = &expected.decision;
            return vec![format!(
                "expected {expected}, but it was {decision}: {answer:?}"
            )];
        }
        let part = |wrong: &mut Vec<_>, what: &str, expected: &Option<String>, found: &str| {
            if let Some(expected) = expected
                && !found.contains(expected.as_str())
            {
                wrong.push(format!(
                    "expected {what} with {expected:?}, found {found:?}"
                ));
            }
        };
        match answer {
            Answer::Outcome(outcome) => {
                if let Some(granted) = granted(request, outcome) {
                    let found = granted.scopes;
                    let mut sorted = expected.scopes.clone();
                    if let Some(scopes) = &mut sorted {
                        scopes.sort();
                    }
                    differs(&mut wrong, "scopes", sorted.as_ref(), &found);
                    let found = i64::from(granted.lifetime_seconds);
                    differs(&mut wrong, "lifetime", expected.lifetime.as_ref(), &found);
                }
                match &outcome.decision {
                    Decision::Allow(grant) => {
                        differs(
                            &mut wrong,
                            "claims",
                            expected.claims.as_ref(),
                            &grant.claims,
                        );
                    }
                    Decision::Deny(denial) => {
                        differs(&mut wrong, "code", expected.code.as_ref(), &denial.code);
                        part(&mut wrong, "a reason", &expected.reason, &denial.reason);
                        let found = denial.description.as_deref().unwrap_or_default();
                        part(&mut wrong, "a description", &expected.description, found);
                    }
                }
                for note in expected.notes.iter().flatten() {
                    let same = |kept: &&crate::Note| {
                        kept.name == note.name && Some(kept.text.as_str()) == note.value.as_text()
                    };
                    if outcome.notes.iter().find(same).is_none() {
                        let found = &outcome.notes;
                        wrong.push(format!("expected the note {note:?} among {found:?}"));
                    }
                }
            }
            Answer::Fault(fault) => part(&mut wrong, "a fault", &expected.reason, fault),
            Answer::Problems(problems) => {
                let mut found: Vec<_> = problems.iter().map(|one| one.setting.clone()).collect();
                found.sort();
                let mut sorted = expected.problems.clone();
                if let Some(settings) = &mut sorted {
                    settings.sort();
                }
                differs(&mut wrong, "problems with", sorted.as_ref(), &found);
            }
        }
        wrong
    }
}

fn differs<T: PartialEq + fmt::Debug>(
    wrong: &mut Vec<String>,
    what: &str,
    expected: Option<&T>,
    found: &T,
) {
    if let Some(expected) = expected
        && expected != found
    {
        wrong.push(format!("expected {what} {expected:?}, found {found:?}"));
    }
}

fn text_of(table: &mut Table, name: &str) -> Result<Option<String>, String> {
    match table.remove(name) {
        None => Ok(None),
        Some(Toml::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is a text")),
    }
}

fn int_of(table: &mut Table, name: &str) -> Result<Option<i64>, String> {
    match table.remove(name) {
        None => Ok(None),
        Some(Toml::Int(int)) => Ok(Some(int)),
        Some(_) => Err(format!("{name} is a whole number")),
    }
}

fn table_of(table: &mut Table, name: &str) -> Result<Option<Table>, String> {
    match table.remove(name) {
        None => Ok(None),
        Some(Toml::Table(inner)) => Ok(Some(inner)),
        Some(_) => Err(format!("{name} is a table")),
    }
}

fn texts(table: &mut Table, name: &str) -> Result<Option<Vec<String>>, String> {
    match table.remove(name).map(value) {
        None => Ok(None),
        Some(Value::Texts(texts)) => Ok(Some(texts)),
        Some(_) => Err(format!("{name} is a list of texts")),
    }
}

/// A table as a list of named values, sorted.
fn named(table: &mut Table, name: &str) -> Result<Option<Vec<Named>>, String> {
    let table = table_of(table, name)?;
    Ok(table.map(|table| {
        let each = table.into_iter();
        each.map(|(name, toml)| Named::new(name, value(toml)))
            .collect()
    }))
}

/// Nested things are JSON; a list of texts is what it is.
fn value(toml: Toml) -> Value {
    match toml {
        Toml::Flag(flag) => Value::Flag(flag),
        Toml::Int(int) => Value::Int(int),
        Toml::Text(text) => Value::Text(text),
        Toml::List(list) => {
            let text = |one: &Toml| match one {
                Toml::Text(text) => Some(text.clone()),
                _ => None,
            };
            match list.iter().map(text).collect() {
                Some(texts) => Value::Texts(texts),
                None => Value::Json(json(&Toml::List(list))),
            }
        }
        Toml::Table(table) => Value::Json(json(&Toml::Table(table))),
    }
}

fn nothing_else(table: &Table) -> Result<(), String> {
    match table.keys().next() {
        Some(name) => Err(format!("nobody knows what {name} is")),
        None => Ok(()),
    }
}
