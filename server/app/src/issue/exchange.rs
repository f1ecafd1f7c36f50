//! A token that is exchanged for another (RFC 8693): one of this server, which an API got by being
//! called, and gives in return for one by which it calls the next.

use super::IssueError;
use crate::app::App;
use crate::token::ValidatedToken;
use writ_core::{ApplicationId, ExchangeMode, SubjectToken};
use writ_ledger::ExchangedToken;

/// The type of what is exchanged and what is given (RFC 8693 §3).
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The same, by its form.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Most that acted one for another: longer chains are no chains of services.
const ACTORS_MAX: usize = 8;

/// What is presented for an exchange; nothing of it is known to be good.
#[derive(Clone, Copy)]
pub struct PresentedExchange<'a> {
    /// The token of whom the new one is to be about.
    pub subject_token: &'a str,
    /// A token of who is going to act: of the application itself, if there is one.
    pub actor_token: Option<&'a str>,
}

impl std::fmt::Debug for PresentedExchange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedExchange").finish_non_exhaustive()
    }
}

/// Evidence that the tokens of an exchange are valid now.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(in crate::issue) token: ExchangedToken,
    pub(in crate::issue) mode: ExchangeMode,
}

impl Exchange {
    /// Validates what is presented by an application.
    ///
    /// # Errors
    /// [`IssueError::ExchangeInvalid`]: RFC 8693 §2.2.2.
    pub fn check(
        app: &App,
        by: &writ_core::Application,
        presented: PresentedExchange<'_>,
    ) -> Result<Self, IssueError> {
        let invalid = |what| IssueError::ExchangeInvalid(what);
        let subject = app
            .validate_token(presented.subject_token)
            .map_err(|_| invalid("the subject_token is not valid"))?;
        if let Some(token) = presented.actor_token {
            let actor = app.validate_token(token).ok();
            let own = |token: &ValidatedToken| {
                token.application == by.id && token.subject() == Some(by.id)
            };
            if !actor.as_deref().is_some_and(own) {
                return Err(invalid(
                    "the actor_token is not valid, or not of this application",
                ));
            }
        }
        let actors = subject.claims.actors();
        let about = subject.subject();
        let (Some(about), Some(actors)) = (about, actors.filter(|all| all.len() < ACTORS_MAX))
        else {
            return Err(invalid(
                "too many have acted one for another in the subject_token",
            ));
        };
        let mode = by.exchange().map(|exchange| exchange.mode);
        let mode = mode.unwrap_or_default();
        if mode == ExchangeMode::Impersonation && presented.actor_token.is_some() {
            return Err(invalid(
                "this application exchanges without an actor; leave actor_token out",
            ));
        }
        let left = subject.claims.exp.saturating_sub(app.now().seconds());
        let token = ExchangedToken {
            jti: subject.claims.jti,
            subject: about,
            audience: subject.claims.aud.iter().map(Into::into).collect(),
            scopes: subject.scopes.clone(),
            remaining_seconds: u32::try_from(left).unwrap_or(u32::MAX),
            bound: subject.claims.cnf.is_some(),
            actors,
        };
        Ok(Self { token, mode })
    }

    /// Who acts in the new token, the last one first; nobody where it impersonates.
    pub(in crate::issue) fn actors(&self, by: ApplicationId) -> Vec<ApplicationId> {
        match self.mode {
            ExchangeMode::Impersonation => self.token.actors.clone(),
            ExchangeMode::Delegation => {
                let before = self.token.actors.iter().copied();
                std::iter::once(by).chain(before).collect()
            }
        }
    }
}

/// As the rules take it.
pub(crate) fn with_subject<T>(
    token: &ExchangedToken,
    ask: impl FnOnce(SubjectToken<'_>) -> T,
) -> T {
    let audience: Vec<&str> = token.audience.iter().map(AsRef::as_ref).collect();
    ask(SubjectToken {
        subject: token.subject,
        scopes: &token.scopes,
        audience: &audience,
        remaining_seconds: token.remaining_seconds,
        is_bound: token.bound,
    })
}
