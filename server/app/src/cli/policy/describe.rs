//! How policies, bindings and verdicts look to people.

use serde::Serialize;
use serde_json::Value;
use writ_api::{Policy, PolicyBinding, PolicyJudgement, PolicySetting, PolicyVerdict};
use writ_core::codec::hex;
use writ_sandbox as sandbox;

use crate::cli::output::{Details, detail, details};
use crate::cli::values::{assignments, shown};

/// Hexadecimal digits of a digest that tell the policies of a server apart.
const SHORT: usize = 16;

/// What a policy says about itself, and the digest that is its name.
#[derive(Debug, Serialize)]
pub struct About {
    /// SHA-256 of the module.
    pub digest: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    doc: String,
    settings: Vec<PolicySetting>,
    /// The facts that it judges by.
    pub reads: Vec<String>,
    codes: Vec<String>,
    claims: Vec<String>,
    /// The size of the module.
    pub bytes: u64,
}

impl From<Policy> for About {
    fn from(policy: Policy) -> Self {
        Self {
            digest: policy.digest,
            name: policy.name,
            version: policy.version,
            doc: policy.doc,
            settings: policy.settings,
            reads: policy.reads,
            codes: policy.codes,
            claims: policy.claims,
            bytes: policy.bytes,
        }
    }
}

impl About {
    /// A module that was loaded.
    pub fn module(module: &[u8], policy: &sandbox::Policy) -> Self {
        let descriptor = policy.descriptor().clone();
        let setting = |setting: sandbox::Setting| PolicySetting {
            name: setting.name,
            kind: setting.kind.name().to_owned(),
            required: setting.required,
            default: setting.default.as_ref().map(json),
            doc: setting.doc,
        };
        Self {
            digest: hex(policy.digest()),
            name: descriptor.name,
            version: descriptor.version,
            doc: descriptor.doc,
            settings: descriptor.settings.into_iter().map(setting).collect(),
            reads: descriptor.reads,
            codes: descriptor.codes,
            claims: descriptor.claims,
            bytes: module.len() as u64,
        }
    }

    /// All of it.
    pub fn describe(self) -> Details {
        let settings = self.settings.iter().flat_map(setting);
        vec![
            detail("name", self.name),
            detail("version", self.version),
            details("doc", lines(&self.doc)),
            details("settings", settings.collect()),
            details("reads", self.reads),
            details("codes", self.codes),
            details("claims", self.claims),
            detail("digest", self.digest),
            detail("bytes", self.bytes.to_string()),
        ]
    }
}

/// A setting, with what it means below it.
fn setting(setting: &PolicySetting) -> Vec<String> {
    let default = match (&setting.default, setting.required) {
        (Some(default), _) => format!(", default {}", shown(default)),
        (None, true) => ", required".to_owned(),
        (None, false) => String::new(),
    };
    let first = format!("{}  {}{default}", setting.name, setting.kind);
    let doc = lines(&setting.doc).into_iter();
    std::iter::once(first)
        .chain(doc.map(|line| format!("    {line}")))
        .collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A value of a policy as the admin API has it.
pub fn json(value: &sandbox::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The beginning of a digest: enough for a person, and for every verb that takes a policy.
pub fn short(digest: &str) -> String {
    digest.get(..SHORT).unwrap_or(digest).to_owned()
}

/// A policy that a server keeps.
pub fn policy(policy: Policy) -> Details {
    let (at, position) = (policy.uploaded_at.clone(), policy.position);
    let mut lines = About::from(policy).describe();
    lines.push(detail("uploaded", at));
    lines.push(detail("position", position.to_string()));
    lines
}

/// A binding.
pub fn binding(binding: PolicyBinding) -> Details {
    let mut lines = vec![
        detail("id", binding.id),
        detail("target", binding.target),
        detail("mode", binding.mode),
        detail("order", binding.order.to_string()),
    ];
    let judgement = binding.judgement;
    lines.push(detail("policy", judged_by(&judgement)));
    lines.push(details("settings", assignments(&judgement.settings)));
    lines.push(detail("settings digest", judgement.settings_digest));
    lines.push(details("claims", judgement.claims));
    let previous = binding.previous.map(|previous| {
        let mut lines = vec![judged_by(&previous)];
        lines.extend(assignments(&previous.settings));
        let claims = previous.claims.iter();
        lines.extend(claims.map(|claim| format!("claim {claim}")));
        lines
    });
    lines.push(details("rollback to", previous.unwrap_or_default()));
    lines.push(detail("created", binding.created_at));
    lines.push(detail("version", binding.version.to_string()));
    lines
}

fn judged_by(judgement: &PolicyJudgement) -> String {
    format!("{}  {}", judgement.policy_name, judgement.policy)
}

/// What a policy said in a preview, in one line, and its notes below.
pub fn verdict(verdict: &PolicyVerdict) -> Vec<String> {
    let shadow = if verdict.shadow {
        " (shadow, not obeyed)"
    } else {
        ""
    };
    let mut lines = vec![format!(
        "{} {}{shadow}: {}  {} fuel, {} us",
        verdict.binding,
        verdict.policy_name,
        answer(&verdict.verdict),
        verdict.fuel,
        verdict.micros
    )];
    let notes = verdict.notes.iter();
    lines.extend(notes.map(|note| format!("    note {}: {}", note.name, note.text)));
    lines
}

/// `{"deny": {"code": "outside", "reason": "…"}}` as `deny, code outside, reason …`.
pub fn answer(verdict: &Value) -> String {
    let Some((name, said)) = verdict
        .as_object()
        .and_then(|verdict| verdict.iter().next())
    else {
        return shown(verdict);
    };
    let said = said.as_object().into_iter().flatten();
    let said = said.map(|(name, value)| format!(", {name} {}", words(value)));
    format!("{name}{}", said.collect::<String>())
}

fn words(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            items.join(" ")
        }
        Value::Object(members) => assignments(members).join(" "),
        other => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts_are_told_whatever_is_in_them() {
        for (verdict, told) in [
            (json!({ "permit": {} }), "permit"),
            (
                json!({ "permit": { "scopes": ["a", "b"], "lifetime": 60, "claims": { "tier": "gold" } } }),
                "permit, claims tier=gold, lifetime 60, scopes a b",
            ),
            (
                json!({ "deny": { "code": "outside", "reason": "in none of the networks" } }),
                "deny, code outside, reason in none of the networks",
            ),
            (json!("permit"), "permit"),
        ] {
            let mut told: Vec<_> = told.split(", ").collect();
            let found = answer(&verdict);
            let mut found: Vec<_> = found.split(", ").collect();
            // The order of members is the server's.
            told.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, told);
        }
    }
}
