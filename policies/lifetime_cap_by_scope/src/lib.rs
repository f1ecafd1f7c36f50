//! Shortens tokens that can do much: each scope has a longest lifetime, and the shortest among a
//! token's scopes counts.

use writ_policy::prelude::*;

/// Caps a token's lifetime by its scopes.
#[writ_policy::policy()]
pub fn evaluate(request: &Request, settings: &Caps) -> Result<Outcome, Fault> {
    let caps = settings.caps.iter();
    let shortest = caps
        .filter(|cap| request.scopes.iter().any(|scope| cap.scope.matches(scope)))
        .min_by_key(|cap| cap.seconds);
    match (shortest, settings.otherwise) {
        (Some(cap), _) => allow(request).at_most(cap.seconds).note("cap", &cap.text),
        (None, Some(seconds)) => allow(request).at_most(seconds),
        (None, None) => allow(request),
    }
    .into()
}

/// How long for what.
#[derive(Settings)]
pub struct Caps {
    /// A scope and the seconds that a token with it lives at most: `courses:publish=300`,
    /// `admin:*=60`.
    caps: Vec<Cap>,
    /// How many seconds a token lives at most that has none of these scopes.
    otherwise: Option<u32>,
}

struct Cap {
    text: String,
    scope: ScopePattern,
    seconds: u32,
}

impl FromText for Cap {
    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || [text, " is not a cap like `courses:publish=300`"].concat();
        // A scope can have `=` in it (RFC 6749 §3.3).
        let (scope, seconds) = text.rsplit_once('=').ok_or_else(wrong)?;
        match seconds.trim().parse() {
            Ok(seconds) if seconds > 0 => Ok(Self {
                text: text.to_owned(),
                scope: ScopePattern::from_text(scope.trim())?,
                seconds,
            }),
            _ => Err(wrong()),
        }
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
