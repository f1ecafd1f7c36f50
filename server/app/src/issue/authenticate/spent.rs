//! What counts once is spent: the `jti` of an assertion and of a DPoP proof.

use super::{AuthenticatedApplication, AuthenticationFailure, Caller, FailureReason, count};
use crate::app::App;
use crate::dpop::DpopProof;
use crate::issue::IssueError;
use crate::quota::Origin;
use writ_core::Index;
use writ_ledger::{Remembering, ReplayError};

/// What a request has spent. Await [`Self::durable`] before anything of it leaves the server.
#[derive(Debug, Default)]
#[must_use = "what is not durable can be presented again after a crash"]
pub struct Spent {
    waiting: Vec<Remembering>,
}

impl Spent {
    /// Spends the assertion that an application proved itself by, if it did.
    ///
    /// # Errors
    /// It was presented before, or cannot be remembered.
    pub fn assertion(
        &mut self,
        app: &App,
        index: &Index,
        application: &AuthenticatedApplication,
        caller: Caller<'_>,
    ) -> Result<(), IssueError> {
        let Some(replay) = application.replay() else {
            return Ok(());
        };
        let now = app.now();
        match app.once.remember(&replay.key, replay.until, now) {
            Ok(waiting) => {
                self.waiting.push(waiting);
                Ok(())
            }
            Err(ReplayError::Replayed | ReplayError::Expired) => {
                let reason = FailureReason::ReplayedAssertion;
                let failure = AuthenticationFailure::of(application.application(), reason);
                count(app, index, &failure, caller.source, now);
                let key = Origin::new(caller.source, Some(application.id()));
                app.failure_budget.failed(key, now);
                Err(IssueError::InvalidClient)
            }
            Err(error) => Err(IssueError::Forgetful(error)),
        }
    }

    /// Spends a DPoP proof (RFC 9449 §11.1).
    ///
    /// # Errors
    /// It was presented before, or cannot be remembered.
    pub fn proof(&mut self, app: &App, proof: &DpopProof) -> Result<(), IssueError> {
        let replay = proof.replay();
        match app.once.remember(&replay.key, replay.until, app.now()) {
            Ok(waiting) => {
                self.waiting.push(waiting);
                Ok(())
            }
            Err(ReplayError::Replayed | ReplayError::Expired) => Err(IssueError::ProofReplayed),
            Err(error) => Err(IssueError::Forgetful(error)),
        }
    }

    /// Waits until all of it is durable.
    ///
    /// # Errors
    /// [`IssueError::Forgetful`]: then nothing may leave.
    pub async fn durable(&mut self) -> Result<(), IssueError> {
        for waiting in self.waiting.drain(..) {
            waiting.await.map_err(IssueError::Forgetful)?;
        }
        Ok(())
    }
}
