//! How a policy answers: `allow(request)` and `deny(code)`, and what can be added to them.

use crate::{Decision, Denial, Fault, Grant, Named, Note, Outcome, Request, Value};

/// Grants what the request asks for; the methods take from it. Ends with `.into()`.
///
/// ```
/// use writ_policy::prelude::*;
/// # let request = writ_policy::testing::request().scopes(["a:read", "admin:all"]).build();
/// let outcome: Outcome = allow(&request)
///     .retain_scopes(|scope| !scope.starts_with("admin:"))
///     .at_most(300)
///     .note("why", "no admin scopes by night")
///     .into();
/// # let granted = writ_policy::testing::granted(&request, &outcome).unwrap();
/// # assert_eq!((granted.scopes, granted.lifetime_seconds), (vec!["a:read".to_owned()], 300));
/// ```
#[must_use]
pub fn allow(request: &Request) -> Allow<'_> {
    Allow {
        request,
        scopes: None,
        lifetime_seconds: None,
        claims: Vec::new(),
        notes: Vec::new(),
    }
}

/// Refuses the token. The code is one of those in `codes(..)` of the policy; metrics and the audit
/// log have it, and the application is told `access_denied`. Ends with `.into()`.
///
/// ```
/// use writ_policy::prelude::*;
/// let outcome: Outcome = deny("outside_network")
///     .reason("203.0.113.9 is in none of the networks")
///     .description("tokens are given out inside the office only")
///     .into();
/// # assert!(matches!(outcome.decision, Decision::Deny(_)));
/// ```
#[must_use]
pub fn deny(code: impl Into<String>) -> Deny {
    Deny {
        denial: Denial {
            code: code.into(),
            reason: String::new(),
            description: None,
        },
        notes: Vec::new(),
    }
}

/// What [`allow`] builds. Whatever is called, it only gets smaller than the request.
#[derive(Clone, Debug)]
pub struct Allow<'r> {
    request: &'r Request,
    scopes: Option<Vec<String>>,
    lifetime_seconds: Option<u32>,
    claims: Vec<Named>,
    notes: Vec<Note>,
}

impl Allow<'_> {
    /// Keeps the scopes for which `keep` says so. When none is left the server denies the token; a
    /// policy can do it with a better reason.
    #[must_use]
    pub fn retain_scopes(mut self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut scopes = match self.scopes {
            Some(scopes) => scopes,
            None => self.request.scopes.clone(),
        };
        scopes.retain(|scope| keep(scope));
        self.scopes = Some(scopes);
        self
    }

    /// Keeps those scopes that are in `scopes` too.
    #[must_use]
    pub fn only_scopes<S: AsRef<str>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        let only: Vec<S> = scopes.into_iter().collect();
        self.retain_scopes(|scope| only.iter().any(|one| one.as_ref() == scope))
    }

    /// The token lives this many seconds at most. Below one counts as one: to give no token, deny.
    #[must_use]
    pub fn at_most(mut self, seconds: impl Into<i64>) -> Self {
        let before = self
            .lifetime_seconds
            .unwrap_or(self.request.lifetime_seconds);
        let seconds = u32::try_from(seconds.into().max(1)).unwrap_or(u32::MAX);
        if seconds < before {
            self.lifetime_seconds = Some(seconds);
        }
        self
    }

    /// Adds a claim, one of those in `claims(..)` of the policy; the last value of a name counts.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.claims.binary_search_by(|claim| claim.name.cmp(&name)) {
            Ok(at) => {
                if let Some(claim) = self.claims.get_mut(at) {
                    claim.value = value;
                }
            }
            Err(at) => self.claims.insert(at, Named { name, value }),
        }
        self
    }

    /// Keeps a text with the issuance, in the audit log: what a policy has instead of a log of its
    /// own.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        self.notes.push(Note { name, text });
        self
    }

    /// The scopes that are granted so far.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        self.scopes.as_deref().unwrap_or(&self.request.scopes)
    }
}

/// What [`deny`] builds.
#[derive(Clone, Debug)]
pub struct Deny {
    denial: Denial,
    notes: Vec<Note>,
}

impl Deny {
    /// Why, for the audit log: name what was found. The application does not see it.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.denial.reason = reason.into();
        self
    }

    /// What the application is told.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.denial.description = Some(description.into());
        self
    }

    /// Keeps a text with the denial, in the audit log.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        self.notes.push(Note { name, text });
        self
    }
}

impl From<Allow<'_>> for Outcome {
    fn from(allow: Allow<'_>) -> Self {
        Self {
            decision: Decision::Allow(Grant {
                scopes: allow.scopes,
                lifetime_seconds: allow.lifetime_seconds,
                claims: allow.claims,
            }),
            notes: allow.notes,
        }
    }
}

impl From<Deny> for Outcome {
    fn from(deny: Deny) -> Self {
        Self {
            decision: Decision::Deny(deny.denial),
            notes: deny.notes,
        }
    }
}

impl From<Allow<'_>> for Result<Outcome, Fault> {
    fn from(allow: Allow<'_>) -> Self {
        Ok(allow.into())
    }
}

impl From<Deny> for Result<Outcome, Fault> {
    fn from(deny: Deny) -> Self {
        Ok(deny.into())
    }
}
