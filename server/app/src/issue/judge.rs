//! What do the policies say? Every policy that is bound to the server, to the API resources and to
//! the application is asked; a token can only become less by it.

use super::panel::{self, Objection, Question, Terms};
use super::{Entitlement, IssueError, Request};
use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::token::{Act, Confirmation};
use serde_json::{Map, Value};
use std::sync::Arc;
use writ_core::{Entitled, Jti, Millis, ScopeName};
use writ_ledger::{PolicyRecord, Verdict};

/// Evidence that every bound policy has judged: what may be signed. It can only be less than the
/// entitlement it was made from.
#[derive(Debug)]
pub struct Permit {
    entitlement: Entitlement,
    terms: Option<Terms>,
    judged: Judged,
}

/// What was asked of policies and what they said, as the record of an issuance has it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The id of the decision: the `jti` of the token, if there will be one.
    pub id: Jti,
    /// The clock: the `iat` of the token, and what policies were told.
    pub at: Millis,
    /// What each policy said.
    pub policies: Vec<PolicyRecord>,
    /// SHA-256 of what they were asked.
    pub input: Option<[u8; 32]>,
    /// What they were told that nothing else in the record says.
    pub attributes: Map<String, Value>,
    /// The engine that ran them.
    pub engine: Option<Arc<str>>,
}

/// Why policies leave no token, with what they said.
#[derive(Debug, thiserror::Error)]
#[error("{objection}")]
pub struct NotPermitted {
    /// Why.
    pub objection: Objection,
    /// What they said.
    pub judged: Judged,
}

impl NotPermitted {
    /// What did not work, for the log: codes, and nothing that a policy says.
    #[must_use]
    pub fn faults(&self) -> String {
        let faults = self
            .judged
            .policies
            .iter()
            .filter_map(|policy| match &policy.verdict {
                Verdict::Fault { code, .. } if !policy.shadow => {
                    Some(format!("{}: {code}", policy.binding))
                }
                _ => None,
            });
        faults.collect::<Vec<String>>().join(", ")
    }
}

impl Permit {
    /// What was entitled, before any policy was asked.
    pub(in crate::issue) fn entitled(&self) -> &Entitled {
        &self.entitlement.entitled
    }

    /// Who acts in the token.
    pub(in crate::issue) fn act(&self) -> Option<Act> {
        let exchange = self.entitlement.exchange.as_ref()?;
        Act::chain(&exchange.actors(self.entitlement.application.id()))
    }

    /// What the token is bound to.
    pub(in crate::issue) fn confirmation(&self) -> Option<Confirmation> {
        let binding = self.entitlement.entitled.binding?;
        self.entitlement.holds.confirmation(binding)
    }

    /// The authorization details of the token.
    pub(in crate::issue) fn details(&self) -> Option<&AuthorizationDetails> {
        self.entitlement.details.as_ref()
    }

    /// What may be in the token: never more than what was entitled.
    pub(in crate::issue) fn allowed(&self) -> Allowed<'_> {
        match &self.terms {
            Some(terms) => Allowed {
                scopes: &terms.scopes,
                audience: &terms.audience,
                lifetime_seconds: terms.lifetime_seconds,
                claims: Some(&terms.claims),
            },
            None => Allowed {
                scopes: &self.entitlement.entitled.scopes,
                audience: &self.entitlement.entitled.audience,
                lifetime_seconds: self.entitlement.entitled.lifetime_seconds,
                claims: None,
            },
        }
    }

    /// What was said.
    pub(in crate::issue) fn judged(&self) -> &Judged {
        &self.judged
    }

    pub(in crate::issue) fn into_parts(self) -> (Entitlement, Option<Vec<ScopeName>>, Judged) {
        (
            self.entitlement,
            self.terms.map(|terms| terms.scopes),
            self.judged,
        )
    }
}

/// What may be in a token.
#[derive(Debug)]
pub(in crate::issue) struct Allowed<'a> {
    pub scopes: &'a [ScopeName],
    pub audience: &'a [Arc<str>],
    pub lifetime_seconds: u32,
    /// What policies add.
    pub claims: Option<&'a Map<String, Value>>,
}

/// Judges an entitlement by the policies bound to the server, the API resources and the
/// application.
///
/// # Errors
/// [`IssueError::NotPermitted`]: a policy denies, or gave no answer that counts.
pub fn judge(
    app: &App,
    entitlement: Entitlement,
    request: &Request<'_>,
) -> Result<Permit, IssueError> {
    let (id, at) = identify(app, &entitlement);
    let mut judged = Judged {
        id,
        at,
        policies: Vec::new(),
        input: None,
        attributes: Map::new(),
        engine: None,
    };
    let entitled = &entitlement.entitled;
    if entitled.bindings.is_empty() {
        return Ok(Permit {
            entitlement,
            terms: None,
            judged,
        });
    }
    let hearing = panel::hear(
        |judgement| app.policies.get(judgement),
        &Question {
            entitled,
            id,
            at,
            grant_type: request.grant_type.as_str(),
            facts: request.facts(&entitlement.application, entitlement.exchange.as_ref()),
            issuer: app.issuer.as_str(),
        },
    );
    app.metrics.judged(&hearing.opinions);
    let (records, terms) = panel::conclude(entitled, &hearing.opinions);
    judged.policies = records;
    judged.input = Some(hearing.input);
    judged.attributes = hearing.recorded_attributes();
    judged.engine = Some(Arc::clone(app.policies.engine()));
    match terms {
        Ok(terms) => Ok(Permit {
            entitlement,
            terms: Some(terms),
            judged,
        }),
        Err(objection) => Err(IssueError::NotPermitted(Box::new(NotPermitted {
            objection,
            judged,
        }))),
    }
}

/// The id and the moment of a decision. The id is on the time line of the log, which never goes
/// back: after every event that this decision knows of, and after a cut, whose own millisecond
/// belongs to what was cut. The moment is that of the clock, or one wrong clock would spoil all
/// later tokens.
fn identify(app: &App, entitlement: &Entitlement) -> (Jti, Millis) {
    let cut = entitlement.application.application().tokens_cut_at();
    let earliest = cut.map_or(0, |cut| cut.0 + 1);
    let (now, log) = (app.now(), app.ledger.index().last_at());
    let id = app.ids.next_at(Millis(now.0.max(earliest).max(log.0)));
    (Jti(id), now)
}
