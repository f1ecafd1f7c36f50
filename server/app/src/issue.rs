//! The token path. Read [`issue`] aloud and you have the product: who is it, what may it have,
//! what do the policies say, sign it, record it, and only then answer.
//!
//! Each step takes the evidence of the step before by value, and only that step makes it. So a
//! token that was not judged cannot be signed, and one that was not recorded cannot be answered.
//! Both are compile errors:
//!
//! ```no_run
//! # async fn f(app: &writ::app::App, request: &writ::issue::Request<'_>, e: writ::issue::Entitlement) -> Result<String, writ::issue::IssueError> {
//! use writ::issue::{judge, record, sign};
//! let permit = judge(app, e, request)?;
//! let signed = sign(app, permit)?;
//! let recorded = record(app, request, signed).await?;
//! Ok(recorded.into_answer().access_token().to_owned())
//! # }
//! ```
//! An unjudged entitlement is no [`Permit`]:
//! ```compile_fail,E0308
//! # async fn f(app: &writ::app::App, request: &writ::issue::Request<'_>, e: writ::issue::Entitlement) -> Result<String, writ::issue::IssueError> {
//! use writ::issue::{judge, record, sign};
//! let signed = sign(app, e)?;
//! let recorded = record(app, request, signed).await?;
//! Ok(recorded.into_answer().access_token().to_owned())
//! # }
//! ```
//! A signed token that was not recorded has no answer in it:
//! ```compile_fail,E0599
//! # async fn f(app: &writ::app::App, request: &writ::issue::Request<'_>, e: writ::issue::Entitlement) -> Result<String, writ::issue::IssueError> {
//! use writ::issue::{judge, record, sign};
//! let permit = judge(app, e, request)?;
//! let signed = sign(app, permit)?;
//! Ok(signed.into_answer().access_token().to_owned())
//! # }
//! ```
//! Nobody else makes a permit, a recorded token or an answer; each can be named and taken apart
//! where it may be, so that it is not for another reason that these do not compile:
//! ```
//! # use writ::issue::{Entitlement, Judged, Permit, RecordedToken, SignedToken, TokenAnswer};
//! fn names(_: Entitlement, Permit { .. }: Permit, RecordedToken { .. }: RecordedToken) {}
//! fn parts(TokenAnswer { .. }: &TokenAnswer, answer: &TokenAnswer) -> String {
//!     answer.access_token().to_owned()
//! }
//! ```
//! ```compile_fail,E0451
//! # use writ::issue::{Entitlement, Judged, Permit};
//! fn unjudged(entitlement: Entitlement, judged: Judged) -> Permit {
//!     Permit { entitlement, terms: None, judged }
//! }
//! ```
//! ```compile_fail,E0451
//! # use writ::issue::{RecordedToken, SignedToken};
//! fn unrecorded(signed: SignedToken) -> RecordedToken {
//!     RecordedToken { signed }
//! }
//! ```
//! ```compile_fail,E0451
//! # use writ::issue::TokenAnswer;
//! fn made_up(access_token: String, scope: String) -> TokenAnswer {
//!     TokenAnswer { access_token, expires_in_seconds: 60, scope }
//! }
//! ```
//! ```compile_fail,E0616
//! # use writ::issue::SignedToken;
//! fn unrecorded(signed: SignedToken) -> writ::issue::TokenAnswer {
//!     signed.answer
//! }
//! ```

mod authenticate;
mod entitle;
mod error;
pub(crate) mod exchange;
pub mod facts;
pub mod failures;
mod grant;
mod judge;
pub mod panel;
mod record;
mod reserve;
mod sign;
#[cfg(test)]
pub(crate) mod tests;

pub use authenticate::{
    AuthenticatedApplication, Caller, PresentedCredentials, Spent, authenticate,
};
pub(crate) use authenticate::{FailureReason, registration_failed};
pub use entitle::{Entitlement, Holds, entitle};
pub use error::{IssueError, is_by_rules, objection_code};
pub use exchange::{Exchange, PresentedExchange};
pub use grant::GrantType;
pub use judge::{Judged, NotPermitted, Permit, judge};
pub use panel::Objection;
pub use record::{RecordedToken, record};
pub use sign::{SignedToken, TokenAnswer, sign};

use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::client_certificate::ClientCertificate;
use crate::dpop::DpopProof;
use crate::quota::Reservation;
use facts::Facts;
use std::net::IpAddr;
use std::sync::Arc;
use writ_core::Ask;

/// What came over the wire, parsed and not believed.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is asked for a token with.
    pub grant_type: GrantType,
    /// What is exchanged, where that is the grant.
    pub exchange: Option<PresentedExchange<'a>>,
    /// How the application says who it is.
    pub credentials: PresentedCredentials<'a>,
    /// What it asks for.
    pub ask: Ask<'a>,
    /// The authorization details it asks for; their types are in `ask`.
    pub details: Option<AuthorizationDetails>,
    /// Where it calls from, by the trusted proxies' word.
    pub source: IpAddr,
    /// The header `User-Agent`, as far as it is text.
    pub user_agent: Option<&'a str>,
    /// The certificate of the connection.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The DPoP proof, which fits this request (RFC 9449 §5).
    pub proof: Option<DpopProof>,
    /// The W3C trace context of the request.
    pub traceparent: &'a str,
}

impl Request<'_> {
    /// What policies can be told of it.
    fn facts<'f>(
        &'f self,
        application: &'f AuthenticatedApplication,
        exchange: Option<&'f Exchange>,
    ) -> Facts<'f> {
        Facts {
            auth_method: Some(application.method().as_str()),
            auth_token: application.foreign_token(),
            exchange_actors: exchange.map_or(&[], |exchange| &exchange.token.actors),
            user_agent: self.user_agent,
            ip: Some(self.source),
            client_cert: self.certificate.as_ref().map(|it| *it.sha256()),
            authorization_details: self.details.as_ref().map(AuthorizationDetails::json),
        }
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            credentials: &self.credentials,
            certificate: self.certificate.as_deref(),
            source: self.source,
        }
    }

    /// What it proves to hold.
    #[must_use]
    pub fn holds(&self) -> Holds {
        Holds {
            jkt: self.proof.as_ref().map(|proof| proof.jkt),
            certificate: self.certificate.as_ref().map(|it| *it.sha256()),
        }
    }
}

/// How often the path runs when what it was decided by changes under it: once, and twice more.
const ATTEMPTS: usize = 3;

/// Gets a token for an application, or says why there is none. The decision is recorded either
/// way once the application is known.
///
/// # Errors
/// See [`IssueError`]; the top variant says whose fault it is.
pub async fn issue(app: &App, request: &Request<'_>) -> Result<TokenAnswer, IssueError> {
    let mut spent = Spent::default();
    let answer = attempts(app, request, &mut spent).await;
    // Whatever came of it: nobody hears it before what was presented is spent for good.
    spent.durable().await?;
    answer
}

async fn attempts(
    app: &App,
    request: &Request<'_>,
    spent: &mut Spent,
) -> Result<TokenAnswer, IssueError> {
    // One token counts, however often the path runs for it.
    let mut reservation = None;
    for attempt in 1..=ATTEMPTS {
        let index = app.index();
        let application = authenticate(app, &index, request.caller()).await?;
        if attempt == 1 {
            spend(app, &index, &application, request, spent).await?;
            application.used(app);
        }
        let exchange = match exchange(app, &application, request) {
            Ok(exchange) => exchange,
            Err(error) => {
                record::refused(app, request, &application, None, &index, &error).await?;
                return Err(error);
            }
        };
        let decided = decide(
            app,
            &index,
            &application,
            request,
            exchange.clone(),
            &mut reservation,
        );
        let recorded = match decided {
            Ok(signed) => record(app, request, signed).await?,
            // What was bound when this began is not any more, and was forgotten: not a trouble.
            Err(error)
                if attempt < ATTEMPTS
                    && error.is_policy_unavailable()
                    && app.ledger.index().next_position() != index.next_position() =>
            {
                continue;
            }
            Err(error) => {
                let exchange = exchange.as_ref();
                record::refused(app, request, &application, exchange, &index, &error).await?;
                return Err(error);
            }
        };
        spent.durable().await?;
        // INVARIANT: this check comes after the record and right before the answer. Whoever was
        // told that a revocation is in force must not see a token leave afterwards.
        if recorded.still_stands(app) {
            app.metrics.token_issued(recorded.algorithm());
            if let Some(reservation) = reservation {
                reservation.keep();
            }
            return Ok(recorded.into_answer());
        }
        recorded.withdraw(app, request).await?;
    }
    Err(IssueError::Unsettled)
}

/// Spends what counts once. It is written while the decision is made and recorded.
async fn spend(
    app: &App,
    index: &writ_core::Index,
    application: &AuthenticatedApplication,
    request: &Request<'_>,
    spent: &mut Spent,
) -> Result<(), IssueError> {
    spent.assertion(app, index, application, request.caller())?;
    let Some(proof) = &request.proof else {
        return Ok(());
    };
    match spent.proof(app, proof) {
        Err(error) => {
            record::refused(app, request, application, None, index, &error).await?;
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// Validates what is to be exchanged.
fn exchange(
    app: &App,
    application: &AuthenticatedApplication,
    request: &Request<'_>,
) -> Result<Option<Exchange>, IssueError> {
    let presented = request.exchange;
    presented
        .map(|presented| Exchange::check(app, application.application(), presented))
        .transpose()
}

fn decide<'a>(
    app: &'a App,
    index: &writ_core::Index,
    application: &AuthenticatedApplication,
    request: &Request<'_>,
    exchange: Option<Exchange>,
    reservation: &mut Option<Reservation<'a>>,
) -> Result<SignedToken, IssueError> {
    let entitlement = entitle(app, index, application.clone(), request, exchange)?;
    // Before policies are asked, which is what costs; a denial of theirs gives it back.
    if reservation.is_none() {
        *reservation = reserve::reserve(app, application)?;
    }
    let permit = judge(app, entitlement, request)?;
    sign(app, permit)
}
