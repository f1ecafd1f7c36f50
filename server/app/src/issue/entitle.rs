//! What may it have? The grant index says, as of a position.

use super::exchange::{Exchange, with_subject};
use super::{AuthenticatedApplication, IssueError, Request};
use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::token::Confirmation;
use writ_core::{Ask, Binding, Binds, Entitled, Index, authorize, authorize_exchange};

/// Evidence that an authenticated application may have these scopes at most.
#[derive(Clone, Debug)]
pub struct Entitlement {
    pub(in crate::issue) application: AuthenticatedApplication,
    pub(in crate::issue) entitled: Entitled,
    pub(in crate::issue) holds: Holds,
    pub(in crate::issue) exchange: Option<Exchange>,
    /// What of its types: these and no others, which fit.
    pub(in crate::issue) details: Option<AuthorizationDetails>,
}

/// What a request proves to hold: thumbprints of what its token can be bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// A key, by a DPoP proof (RFC 9449 §6.1).
    pub jkt: Option<[u8; 32]>,
    /// A certificate, by the connection or a trusted proxy's word (RFC 8705 §3.1).
    pub certificate: Option<[u8; 32]>,
}

impl Holds {
    /// What a token could be bound to.
    #[must_use]
    pub fn binds(&self) -> Binds {
        Binds {
            dpop: self.jkt.is_some(),
            certificate: self.certificate.is_some(),
        }
    }

    /// The `cnf` of a token that is bound so.
    #[must_use]
    pub fn confirmation(&self, binding: Binding) -> Option<Confirmation> {
        match binding {
            Binding::Dpop => self.jkt.map(Confirmation::jkt),
            Binding::Mtls => self.certificate.map(Confirmation::certificate),
        }
    }
}

impl Entitlement {
    /// What it may have.
    #[must_use]
    pub fn entitled(&self) -> &Entitled {
        &self.entitled
    }
}

/// Asks the index, and the schemas of authorization details: only who was granted a type has its
/// schema applied.
///
/// # Errors
/// [`IssueError::Denied`] or [`IssueError::Details`] with the reason.
pub fn entitle(
    app: &App,
    index: &Index,
    application: AuthenticatedApplication,
    request: &Request<'_>,
    exchange: Option<Exchange>,
) -> Result<Entitlement, IssueError> {
    let holds = request.holds();
    let ask = Ask {
        binds: holds.binds(),
        ..request.ask
    };
    let id = application.id();
    let entitled = match &exchange {
        Some(exchange) => with_subject(&exchange.token, |token| {
            authorize_exchange(index, id, ask, token)
        }),
        None => authorize(index, id, ask),
    };
    let entitled = entitled.map_err(IssueError::Denied)?;
    let details = request.details.clone();
    if let Some(details) = &details {
        details.check(&entitled, &app.details_schemas)?;
    }
    Ok(Entitlement {
        application,
        entitled,
        holds,
        exchange,
        details,
    })
}
