//! Patterns for scopes, as settings have them.

use crate::settings::FromText;

/// A scope, or the beginning of several: `courses:publish`, `admin:*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePattern {
    text: String,
    /// Whether `text` is only the beginning.
    prefix: bool,
}

impl ScopePattern {
    /// Whether this scope is meant.
    #[must_use]
    pub fn matches(&self, scope: &str) -> bool {
        if self.prefix {
            scope.starts_with(&self.text)
        } else {
            scope == self.text
        }
    }
}

impl FromText for ScopePattern {
    fn from_text(text: &str) -> Result<Self, String> {
        let (beginning, prefix) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let odd = |byte: u8| byte <= b' ' || byte >= 127 || b"*\"\\".contains(&byte);
        if text.is_empty() || beginning.bytes().any(odd) {
            let expected = " is not a scope, or the beginning of one followed by *";
            return Err([text, expected].concat());
        }
        Ok(Self {
            text: beginning.to_owned(),
            prefix,
        })
    }
}
