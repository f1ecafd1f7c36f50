//! What a policy says about itself: whether it may say so, and what settings that makes of those
//! that a binding gives.

use crate::limits::{
    DESCRIPTOR_ENTRIES, DOC_BYTES, NAME_BYTES, POLICY_NAME_BYTES, Rejected, TEXT_BYTES, brief,
};
use crate::output::{self, RESERVED_CLAIMS};
use crate::types::{Descriptor, Named, Problem, Setting, SettingKind, Value};
use std::collections::BTreeSet;

impl Descriptor {
    /// Settings as the policy gets them: those of a binding with defaults filled in, sorted.
    ///
    /// # Errors
    ///
    /// A setting that the policy does not have, is given twice, is of another kind or is missing.
    pub fn resolve(&self, given: &[Named]) -> Result<Vec<Named>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for named in given {
            let problem = match self.settings.iter().find(|s| s.name == named.name) {
                None => Some("the policy has no such setting".to_owned()),
                Some(_) if !seen.insert(&named.name) => Some("it is given twice".to_owned()),
                Some(setting) => unfit(setting.kind, &named.value),
            };
            problems.extend(problem.map(|message| Problem {
                setting: brief(&named.name),
                message,
            }));
        }
        let mut settings = Vec::new();
        for setting in &self.settings {
            let value = given
                .iter()
                .find(|named| named.name == setting.name)
                .map(|named| &named.value)
                .or(setting.default.as_ref());
            match value {
                Some(value) => settings.push(Named::new(&setting.name, value.clone())),
                None if setting.required => problems.push(Problem {
                    setting: setting.name.clone(),
                    message: format!("it is missing; it takes {}", takes(setting.kind)),
                }),
                None => {}
            }
        }
        if problems.is_empty() {
            settings.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    /// Whether a policy may describe itself so.
    pub(crate) fn check(&self) -> Result<(), Rejected> {
        let mut reasons = Vec::new();
        if !word(&self.name) || self.name.len() > POLICY_NAME_BYTES {
            reasons.push(format!(
                "the policy's name must be of at most {POLICY_NAME_BYTES} lower-case letters, \
                 digits, `-`, `_` and `.`"
            ));
        }
        if !fit_name(&self.version) {
            reasons.push(
                "the policy's version is empty, too long or has control characters".to_owned(),
            );
        }
        if self.doc.len() > DOC_BYTES {
            reasons.push(format!("the documentation has more than {DOC_BYTES} bytes"));
        }
        let settings = self.settings.iter().map(|setting| &setting.name);
        names("setting", settings, &mut reasons);
        names("attribute", self.reads.iter(), &mut reasons);
        names("code", self.codes.iter(), &mut reasons);
        names("claim", self.claims.iter(), &mut reasons);
        for claim in &self.claims {
            if RESERVED_CLAIMS.contains(&claim.as_str()) {
                reasons.push(format!("the claim `{claim}` is the server's own"));
            }
        }
        for code in &self.codes {
            if !word(code) {
                reasons.push(format!(
                    "the code `{}` must be of lower-case letters, digits, `-`, `_` and `.`",
                    brief(code)
                ));
            }
        }
        for setting in &self.settings {
            check_setting(setting, &mut reasons);
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(Rejected { reasons }.bounded())
        }
    }
}

fn check_setting(setting: &Setting, reasons: &mut Vec<String>) {
    let name = brief(&setting.name);
    if setting.doc.len() > DOC_BYTES {
        reasons.push(format!(
            "the documentation of setting `{name}` has more than {DOC_BYTES} bytes"
        ));
    }
    if let Some(default) = &setting.default {
        if setting.required {
            reasons.push(format!(
                "the setting `{name}` is required and has a default: it cannot be both"
            ));
        }
        if let Some(problem) = unfit(setting.kind, default) {
            reasons.push(format!("the default of setting `{name}`: {problem}"));
        }
    }
}

/// What is wrong with a value for a setting of a kind.
fn unfit(kind: SettingKind, value: &Value) -> Option<String> {
    if value.kind() != kind {
        return Some(format!("it takes {}", takes(kind)));
    }
    match value {
        Value::Json(text) => output::check_json(text).err(),
        Value::Flag(_) | Value::Int(_) | Value::Text(_) | Value::Texts(_) => None,
    }
}

fn takes(kind: SettingKind) -> &'static str {
    match kind {
        SettingKind::Flag => "true or false",
        SettingKind::Int => "a whole number",
        SettingKind::Text => "a text",
        SettingKind::Texts => "a list of texts",
        SettingKind::Json => r#"JSON, as {"json":"…"}"#,
    }
}

fn names<'a>(
    what: &str,
    names: impl ExactSizeIterator<Item = &'a String>,
    reasons: &mut Vec<String>,
) {
    if names.len() > DESCRIPTOR_ENTRIES {
        reasons.push(format!(
            "it declares {} {what}s; the limit is {DESCRIPTOR_ENTRIES}",
            names.len()
        ));
        return;
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if !fit_name(name) {
            reasons.push(format!(
                "the name of the {what} `{}` is empty, too long or has control characters",
                brief(name)
            ));
        } else if !seen.insert(name) {
            reasons.push(format!("it declares the {what} `{name}` twice"));
        }
    }
}

/// Whether a text may be the name of something.
pub(crate) fn fit_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}

/// A name for machines.
fn word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// Problems that a policy reported itself, cut to what people read.
pub(crate) fn readable(problems: Vec<Problem>) -> Vec<Problem> {
    problems
        .into_iter()
        .take(DESCRIPTOR_ENTRIES)
        .map(|problem| Problem {
            setting: brief(&problem.setting),
            message: problem.message.chars().take(TEXT_BYTES).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn descriptor() -> Descriptor {
        let setting = |name: &str, kind, required, default| Setting {
            name: name.into(),
            kind,
            required,
            default,
            doc: String::new(),
        };
        Descriptor {
            name: "example".into(),
            version: "1".into(),
            settings: vec![
                setting("networks", SettingKind::Texts, true, None),
                setting("lifetime", SettingKind::Int, false, Some(Value::Int(900))),
                setting("strict", SettingKind::Flag, false, None),
            ],
            ..Descriptor::default()
        }
    }

    #[test]
    fn defaults_are_filled_in_and_settings_sorted() {
        let networks = Named::new("networks", Value::Texts(vec![]));
        assert_eq!(
            descriptor()
                .resolve(std::slice::from_ref(&networks))
                .unwrap(),
            [Named::new("lifetime", Value::Int(900)), networks]
        );
    }

    #[test]
    fn every_wrong_setting_is_reported() {
        let given = [
            Named::new("lifetime", Value::Text("long".into())),
            Named::new("lifetime", Value::Int(1)),
            Named::new("colour", Value::Flag(true)),
        ];
        let problems = descriptor().resolve(&given).unwrap_err();
        let settings: Vec<_> = problems.iter().map(|p| p.setting.as_str()).collect();
        assert_eq!(settings, ["lifetime", "lifetime", "colour", "networks"]);
    }

    #[test]
    fn a_descriptor_that_contradicts_itself_is_refused() {
        let mut descriptor = descriptor();
        descriptor.check().unwrap();
        descriptor.claims = vec!["tier".into(), "tier".into(), "sub".into()];
        descriptor.codes = vec!["Not Allowed".into()];
        descriptor.settings[0].default = Some(Value::Int(1));
        let reasons = descriptor.check().unwrap_err().reasons;
        assert_eq!(reasons.len(), 5, "{reasons:#?}");
    }
}
