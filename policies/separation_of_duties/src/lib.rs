//! Keeps scopes apart that nobody should hold together: who writes does not approve. A token with a
//! risky combination is stepped down: the second half is left out, and the application can ask for
//! it in another token.
//!
//! This makes the two uses visible, each with a token of its own; an application with both grants
//! still has both. Whom to give which is for the grants to say.

use writ_policy::prelude::*;

/// Leaves out the second of two scopes that must not be in one token.
#[writ_policy::policy(codes("conflicting_scopes"))]
pub fn evaluate(request: &Request, settings: &Duties) -> Result<Outcome, Fault> {
    let mut conflict: Option<&Conflict> = None;
    let granted = allow(request).retain_scopes(|scope| {
        // Against all that was asked for, so the order of the rules does not matter.
        let against = |rule: &&Conflict| {
            let keeps = |other: &String| other != scope && rule.first.matches(other);
            rule.second.matches(scope)
                && !rule.first.matches(scope)
                && request.scopes.iter().any(keeps)
        };
        let found = settings.conflicts.iter().find(against);
        conflict = conflict.or(found);
        found.is_none()
    });
    let Some(conflict) = conflict else {
        return granted.into();
    };
    let excepted = settings.excepted_role.as_ref();
    if excepted.is_some_and(|role| request.application.has_role(role)) {
        return allow(request)
            .at_most(settings.excepted_lifetime)
            .note("excepted", &conflict.text)
            .into();
    }
    if settings.strict || granted.scopes().is_empty() {
        return deny("conflicting_scopes")
            .reason(["asked for both: ", &conflict.text].concat())
            .description("ask for these scopes in separate tokens")
            .into();
    }
    granted.note("conflict", &conflict.text).into()
}

/// What excludes what.
#[derive(Settings)]
pub struct Duties {
    /// Rules such as `courses:write excludes courses:publish`: of both, the second is left out.
    conflicts: Vec<Conflict>,
    /// Whether asking for both denies the token.
    #[setting(default = false)]
    strict: bool,
    /// A role that may have both, in a token that lives `excepted_lifetime` seconds.
    excepted_role: Option<String>,
    /// How many seconds such a token lives at most.
    #[setting(default = 60)]
    excepted_lifetime: u32,
}

struct Conflict {
    text: String,
    first: ScopePattern,
    second: ScopePattern,
}

impl FromText for Conflict {
    fn from_text(text: &str) -> Result<Self, String> {
        let Some((first, second)) = text.split_once(" excludes ") else {
            let expected = " is not a rule like `courses:write excludes courses:publish`";
            return Err([text, expected].concat());
        };
        Ok(Self {
            text: text.to_owned(),
            first: ScopePattern::from_text(first.trim())?,
            second: ScopePattern::from_text(second.trim())?,
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
