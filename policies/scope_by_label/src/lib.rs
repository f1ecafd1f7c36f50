//! Gives scopes by the application's labels: a scope with a rule is given to applications with that
//! label only.

use writ_policy::prelude::*;

/// Gives a scope that a rule names to applications with the rule's label only.
#[writ_policy::policy(codes("label_missing"))]
pub fn evaluate(request: &Request, settings: &Rules) -> Result<Outcome, Fault> {
    let mut unmet: Option<&Rule> = None;
    let granted = allow(request).retain_scopes(|scope| {
        // Every rule for the scope has to be met.
        let mut rules = settings
            .rules
            .iter()
            .filter(|rule| rule.scope.matches(scope));
        match rules.find(|rule| !rule.is_met(request)) {
            Some(rule) => {
                unmet = Some(rule);
                false
            }
            None => true,
        }
    });
    match unmet {
        None => granted.into(),
        Some(rule) if settings.strict || granted.scopes().is_empty() => deny("label_missing")
            .reason(["rule not met: ", &rule.text].concat())
            .description("the application may not have all of these scopes")
            .into(),
        Some(rule) => granted.note("rule", &rule.text).into(),
    }
}

/// What needs which label.
#[derive(Settings)]
pub struct Rules {
    /// Rules such as `courses:publish needs env=prod` or `admin:* needs team=ops|security`.
    rules: Vec<Rule>,
    /// Whether a rule that is not met denies the token, instead of leaving the scope out.
    #[setting(default = false)]
    strict: bool,
}

struct Rule {
    text: String,
    scope: ScopePattern,
    label: String,
    values: Vec<String>,
}

impl Rule {
    fn is_met(&self, request: &Request) -> bool {
        match request.application.label(&self.label) {
            Some(value) => self.values.iter().any(|one| one == value),
            None => false,
        }
    }
}

impl FromText for Rule {
    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || [text, " is not a rule like `courses:publish needs env=prod`"].concat();
        let (scope, label) = text.split_once(" needs ").ok_or_else(wrong)?;
        let (label, values) = label.trim().split_once('=').ok_or_else(wrong)?;
        let values: Vec<String> = values.split('|').map(str::to_owned).collect();
        if label.is_empty() || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            scope: ScopePattern::from_text(scope.trim())?,
            label: label.to_owned(),
            values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn cases() {
        let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
        writ_policy::testing::check_cases::<Policy>(cases);
    }
}
