//! Record it, and only then answer.

use super::{
    AuthenticatedApplication, Exchange, Holds, IssueError, Judged, Request, SignedToken,
    TokenAnswer,
};
use crate::app::App;
use crate::credentials::hides_secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::str::FromStr;
use writ_core::codec::hex;
use writ_core::{
    Algorithm, DetailsTypeName, Entitled, Identifier, Index, Jti, Position, RecordMode, ScopeName,
    entitlement_version,
};
use writ_ledger::{ExchangedToken, Held, IssuanceRecord, Outcome, RECORD_VERSION, Reserve};

/// Evidence that a signed token was recorded, as durably as the settings ask.
#[derive(Debug)]
pub struct RecordedToken {
    signed: SignedToken,
}

impl RecordedToken {
    /// Whether what the token rests on is still as it was when it was decided.
    #[must_use]
    pub(super) fn still_stands(&self, app: &App) -> bool {
        let (index, ring) = (app.ledger.index(), app.keys.load());
        let SignedToken {
            application,
            entitled,
            kid,
            ..
        } = &self.signed;
        let current = index.application(application.id());
        entitlement_version(&index, entitled) == Some(entitled.version)
            && current
                .is_some_and(|current| application.proof().still_stands(&index, current, app.now()))
            && ring.trusted(kid.as_str()).is_some()
    }

    /// The id of the token.
    #[cfg(test)]
    pub(super) fn jti(&self) -> Jti {
        self.signed.judged.id
    }

    /// The algorithm that it is signed with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.signed.entitled.algorithm
    }

    /// The answer. There is no other way to it.
    #[must_use]
    pub fn into_answer(self) -> TokenAnswer {
        self.signed.answer
    }

    /// Records that the token never left.
    pub(super) async fn withdraw(self, app: &App, request: &Request<'_>) -> Result<(), IssueError> {
        let reason = format!("withdrawn: {}", self.signed.judged.id);
        let outcome = Outcome::Fault {
            reason: reason.into(),
        };
        let id = Jti(app.ids.next_id());
        let as_of = self.signed.entitled.as_of;
        let record = IssuanceRecord {
            exchanged: exchanged(self.signed.exchange.as_ref()),
            ..blank(app, request, &self.signed.application, id, as_of, outcome)
        };
        let reserve = reserve(&self.signed.entitled);
        Ok(app.issuances.record(&record, mode(app), reserve).await?)
    }
}

/// Records a signed token.
///
/// # Errors
/// [`IssueError::Unrecorded`]: then there is no token.
pub async fn record(
    app: &App,
    request: &Request<'_>,
    signed: SignedToken,
) -> Result<RecordedToken, IssueError> {
    let entitled = &signed.entitled;
    let blank = blank(
        app,
        request,
        &signed.application,
        signed.judged.id,
        entitled.as_of,
        Outcome::Granted,
    );
    let record = IssuanceRecord {
        authorization_details: fitting(request),
        exchanged: exchanged(signed.exchange.as_ref()),
        granted: signed.granted().to_vec(),
        kid: Some(signed.kid.clone()),
        alg: Some(entitled.algorithm),
        binding: entitled.binding,
        exp: Some(signed.expires_at),
        ..with_judged(blank, &signed.judged)
    };
    let reserve = reserve(&signed.entitled);
    app.issuances.record(&record, mode(app), reserve).await?;
    Ok(RecordedToken { signed })
}

/// Records that an authenticated application got no token.
///
/// # Errors
/// [`IssueError::Unrecorded`].
pub(super) async fn refused(
    app: &App,
    request: &Request<'_>,
    application: &AuthenticatedApplication,
    exchange: Option<&Exchange>,
    index: &Index,
    error: &IssueError,
) -> Result<(), IssueError> {
    // Codes only: the texts repeat what was asked, and that can be a secret in the wrong place.
    let reason = error.reason().into();
    let outcome = match error {
        IssueError::Denied(_)
        | IssueError::Details(_)
        | IssueError::InvalidClient
        | IssueError::QuotaUsedUp { .. }
        | IssueError::TooManyFailures { .. }
        | IssueError::ProofReplayed
        | IssueError::ExchangeInvalid(_) => Outcome::Denied { reason },
        IssueError::NotPermitted(not) if not.objection.is_denial() => Outcome::Denied { reason },
        IssueError::NotPermitted(_)
        | IssueError::NoKey(_)
        | IssueError::Unrecorded(_)
        | IssueError::Forgetful(_)
        | IssueError::Overloaded
        | IssueError::Unsettled => Outcome::Fault { reason },
    };
    let judged = match error {
        IssueError::NotPermitted(not) => Some(&not.judged),
        _ => None,
    };
    let id = judged.map_or_else(|| Jti(app.ids.next_id()), |judged| judged.id);
    let as_of = index.head().unwrap_or_default();
    let blank = IssuanceRecord {
        exchanged: exchanged(exchange),
        ..blank(app, request, application, id, as_of, outcome)
    };
    // Policies are asked about details that fit, and nobody else is.
    let record = match judged {
        Some(judged) => IssuanceRecord {
            authorization_details: fitting(request),
            ..with_judged(blank, judged)
        },
        None => IssuanceRecord {
            details_types: asked_types(request),
            ..blank
        },
    };
    Ok(app
        .issuances
        .record(&record, index.settings().issuance_record, Reserve::Keep)
        .await?)
}

/// On a disk that is nearly full an administrator still gets a token, to make room or to revoke.
fn reserve(entitled: &Entitled) -> Reserve {
    if entitled.is_management() {
        Reserve::Use
    } else {
        Reserve::Keep
    }
}

/// How much a record's answer promises, by the settings of now.
fn mode(app: &App) -> RecordMode {
    app.ledger.index().settings().issuance_record
}

/// A record with what policies were asked and said.
fn with_judged(record: IssuanceRecord, judged: &Judged) -> IssuanceRecord {
    IssuanceRecord {
        clock: (judged.at != record.at).then_some(judged.at),
        policies: judged.policies.clone(),
        input: judged.input.map(|digest| hex(&digest).into()),
        attributes: (!judged.attributes.is_empty()).then(|| judged.attributes.clone()),
        engine: judged.engine.clone(),
        ..record
    }
}

/// What every record has.
fn blank(
    app: &App,
    request: &Request<'_>,
    application: &AuthenticatedApplication,
    id: Jti,
    as_of: Position,
    outcome: Outcome,
) -> IssuanceRecord {
    let keeps_address = app.ledger.index().settings().issuance_source_address;
    IssuanceRecord {
        v: RECORD_VERSION,
        id,
        at: id.millis(),
        clock: None,
        application: application.id(),
        grant_type: request.grant_type.recorded(),
        exchanged: None,
        credential: application.credential(),
        as_of,
        asked: request
            .ask
            .scope
            .iter()
            .flat_map(|s| s.split(' '))
            // One more than may be asked for, so that the record shows that there were too many.
            .take(LISTED + 1)
            .map(kept::<ScopeName>)
            .collect(),
        granted: Vec::new(),
        resources: request
            .ask
            .resources
            .iter()
            .take(LISTED)
            .map(|resource| kept::<Identifier>(resource))
            .collect(),
        details_types: Vec::new(),
        authorization_details: Vec::new(),
        held: held(&request.holds()),
        address: keeps_address.then(|| request.source.to_string().into()),
        traceparent: Some(request.traceparent.into()),
        policies: Vec::new(),
        input: None,
        attributes: None,
        engine: None,
        kid: None,
        alg: None,
        binding: None,
        exp: None,
        outcome,
    }
}

fn exchanged(exchange: Option<&Exchange>) -> Option<ExchangedToken> {
    exchange.map(|exchange| exchange.token.clone())
}

/// The types of the authorization details that were asked for and are not known to fit.
fn asked_types(request: &Request<'_>) -> Vec<Box<str>> {
    let names = request.ask.details.iter().take(LISTED);
    names.map(|name| kept::<DetailsTypeName>(name)).collect()
}

/// The authorization details of a request, known to fit their types.
fn fitting(request: &Request<'_>) -> Vec<Value> {
    let details = request.details.as_ref();
    details.map_or_else(Vec::new, |details| details.objects().to_vec())
}

fn held(holds: &Holds) -> Held {
    let text = |thumbprint: [u8; 32]| URL_SAFE_NO_PAD.encode(thumbprint).into();
    Held {
        jkt: holds.jkt.map(text),
        x5t_s256: holds.certificate.map(text),
    }
}

/// How many asked scopes and resources a record lists: what is more is refused anyway.
const LISTED: usize = writ_core::limits::SCOPES_PER_REQUEST;

/// What was asked is anything somebody sent. Kept is what could be the name that stands there, and
/// nothing that has a secret or a token in it, which went into the wrong parameter.
fn kept<Name: FromStr>(text: &str) -> Box<str> {
    if text.parse::<Name>().is_err() || hides_secret(text) {
        "[redacted]".into()
    } else {
        text.into()
    }
}
