//! `/tokens/revoke` and the token preview.

use super::applications::find;
use super::call::{AsOf, Call, optional, text};
use super::change::change as execute;
use super::failure::shortened;
use super::policies::policy_name;
use super::read::{blocking, index as read};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::authorization_details::AuthorizationDetails;
use crate::issue::facts::{Fact, Facts};
use crate::issue::panel::{self, Opinion, Question, Terms};
use crate::issue::{GrantType, IssueError, objection_code};
use crate::telemetry::TokenErrorCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use writ_api as api;
use writ_core::{
    ApplicationId, Ask, Binding, Binds, Command, Denial, Entitled, Index, Jti, ManagementScope,
    PolicyMode, ScopeName, SenderConstraint, authorize, limits,
};
use writ_ledger::{ForeignToken, PolicyRecord, Verdict};

pub(super) async fn revoke(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::RevokeToken = call.json()?;
    // Log time may be ahead of the clock; revocations are kept by log time.
    let now = app.now().max(app.index().last_at());
    let latest = now.plus_seconds(u64::from(limits::LIFETIME_MAX_SECONDS));
    let command = Command::RevokeToken {
        jti: text("jti", &asked.jti)?,
        application: text("application", &asked.application)?,
        expires_at: optional("expires_at", asked.expires_at.as_deref())?.unwrap_or(latest),
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

/// Judges and explains, as the token path would, and signs nothing.
pub(super) async fn preview(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::PreviewToken = call.json()?;
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    let resources: Vec<&str> = asked.resource.iter().map(String::as_str).collect();
    let scope = asked.scope.as_deref();
    let entitled = details(&asked.authorization_details).and_then(|details| {
        let entitled = entitle(
            &app,
            &index,
            application.id,
            scope,
            &resources,
            details.as_ref(),
        )?;
        Ok((entitled, details))
    });
    let (entitled, details) = match entitled {
        Ok(entitled) => entitled,
        Err(error) => {
            let preview = denied(&index, error.code(), error.to_string(), Vec::new());
            return Answer::json(&preview).from(&index);
        }
    };
    let facts = GivenFacts {
        details: details.clone(),
        ..GivenFacts::read(&asked.attributes)?
    };
    let opinions = hear(&app, &call, &index, &entitled, facts).await?;
    let (records, terms) = panel::conclude(&entitled, &opinions);
    // What policies say for auditors, and what shadows say at all, is not for everybody who may see
    // applications.
    let whole = call.require(ManagementScope::AuditRead).is_ok()
        || call.require(ManagementScope::PoliciesRead).is_ok();
    let verdicts: Vec<api::PolicyVerdict> = opinions
        .iter()
        .filter_map(|opinion| {
            let id = opinion.binding.id.to_string();
            let record = records.iter().find(|record| *record.binding == *id)?;
            (whole || !record.shadow).then(|| verdict(&index, opinion, record.clone(), whole))
        })
        .collect();
    let preview = match terms {
        Ok(terms) => granted(&app, &index, &entitled, details, &terms, verdicts),
        Err(objection) => {
            let error = objection_code(&objection);
            denied(&index, error, objection.to_string(), verdicts)
        }
    };
    Answer::json(&preview).from(&index)
}

fn details(objects: &[Value]) -> Result<Option<AuthorizationDetails>, IssueError> {
    if objects.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(objects).unwrap_or_default();
    Ok(Some(AuthorizationDetails::parse(&text)?))
}

/// What the application may have, whatever the token must be bound to: that is taken as proven.
fn entitle(
    app: &App,
    index: &Index,
    application: ApplicationId,
    scope: Option<&str>,
    resources: &[&str],
    details: Option<&AuthorizationDetails>,
) -> Result<Entitled, IssueError> {
    let types = details.map(AuthorizationDetails::types).unwrap_or_default();
    let with = |binds| {
        let ask = Ask {
            scope,
            resources,
            details: &types,
            binds,
        };
        authorize(index, application, ask)
    };
    let entitled = match with(Binds::default()) {
        Err(Denial::SenderUnconstrained { needed }) => with(Binds {
            dpop: needed != SenderConstraint::Mtls,
            certificate: needed == SenderConstraint::Mtls,
        }),
        settled => settled,
    };
    let entitled = entitled.map_err(IssueError::Denied)?;
    if let Some(details) = details {
        details.check(&entitled, &app.details_schemas)?;
    }
    Ok(entitled)
}

/// What the policies say, those of the past too.
async fn hear(
    app: &Arc<App>,
    call: &Call,
    index: &Index,
    entitled: &Entitled,
    facts: GivenFacts,
) -> Result<Vec<Opinion>, Failure> {
    let at = match call.as_of {
        Some(AsOf::Time(time)) => time,
        Some(AsOf::Position(_)) => index.last_at(),
        None => app.now(),
    };
    let (id, entitled) = (Jti(app.ids.next_id()), entitled.clone());
    if entitled.bindings.is_empty() {
        return Ok(Vec::new());
    }
    // So that tokens always find a sandbox, however many ask what would be.
    let turn = tokio::time::timeout(PATIENCE, app.previews.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Failure::Busy("too many previews ask policies"));
    };
    blocking(app, move |app| {
        let hearing = panel::hear(
            |judgement| match app.policies.borrow(judgement) {
                Ok(prepared) => Some(prepared),
                Err(fault) => {
                    tracing::warn!(policy = %judgement.policy, %fault, "a policy cannot be asked");
                    None
                }
            },
            &Question {
                entitled: &entitled,
                id,
                at,
                grant_type: GrantType::default().as_str(),
                facts: facts.facts(),
                issuer: app.issuer.as_str(),
            },
        );
        Ok(hearing.opinions)
    })
    .await
}

/// How long a preview waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Facts that the caller makes up.
#[derive(Debug, Default)]
struct GivenFacts {
    auth_method: Option<String>,
    auth_token: Option<ForeignToken>,
    user_agent: Option<String>,
    ip: Option<IpAddr>,
    client_cert: Option<[u8; 32]>,
    details: Option<AuthorizationDetails>,
}

impl GivenFacts {
    fn read(attributes: &Map<String, Value>) -> Result<Self, Failure> {
        let mut facts = Self::default();
        for (name, value) in attributes {
            let wrong = |expected: &str| Failure::Value {
                member: format!("attributes.{}", shortened(name)),
                expected: expected.to_owned(),
            };
            let text = value.as_str().ok_or_else(|| wrong("must be a text"))?;
            match Fact::ALL.iter().find(|fact| fact.name() == name) {
                Some(Fact::AuthMethod) => facts.auth_method = Some(text.to_owned()),
                Some(Fact::HttpUserAgent) => facts.user_agent = Some(text.to_owned()),
                Some(Fact::NetIp) => {
                    let ip = text.parse().map_err(|_| wrong("must be an IP address"))?;
                    facts.ip = Some(ip);
                }
                Some(Fact::TlsClientCertSha256) => {
                    let digest = URL_SAFE_NO_PAD.decode(text).ok();
                    let digest = digest.and_then(|digest| digest.try_into().ok());
                    let expected = "must be a SHA-256 in base64url without padding";
                    facts.client_cert = Some(digest.ok_or_else(|| wrong(expected))?);
                }
                Some(Fact::AuthTokenIssuer) => facts.token().issuer = text.into(),
                Some(Fact::AuthTokenSubject) => facts.token().subject = text.into(),
                Some(Fact::RequestAuthorizationDetails) => {
                    return Err(wrong("follows from the member authorization_details"));
                }
                Some(Fact::ExchangeActors) => return Err(wrong("cannot be previewed")),
                Some(Fact::TimeDate | Fact::TimeHour | Fact::TimeMinute | Fact::TimeWeekday) => {
                    return Err(wrong(
                        "follows from the time: leave it out, or ask as of then",
                    ));
                }
                None => return Err(wrong("is no fact that this server knows")),
            }
        }
        Ok(facts)
    }

    fn token(&mut self) -> &mut ForeignToken {
        self.auth_token.get_or_insert_with(|| ForeignToken {
            issuer: "".into(),
            subject: "".into(),
            jti: None,
        })
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            auth_method: self.auth_method.as_deref(),
            auth_token: self.auth_token.as_ref(),
            exchange_actors: &[],
            user_agent: self.user_agent.as_deref(),
            ip: self.ip,
            client_cert: self.client_cert,
            authorization_details: self.details.as_ref().map(AuthorizationDetails::json),
        }
    }
}

fn verdict(
    index: &Index,
    opinion: &Opinion,
    record: PolicyRecord,
    whole: bool,
) -> api::PolicyVerdict {
    let notes = record.notes.into_iter().filter(|_| whole);
    let mut verdict = record.verdict;
    if let (Verdict::Deny { reason, .. } | Verdict::Fault { reason, .. }, false) =
        (&mut verdict, whole)
    {
        *reason = "told to whoever has writ:policies:read or writ:audit:read".into();
    }
    let digest = opinion.binding.judgement.policy;
    api::PolicyVerdict {
        binding: opinion.binding.id.to_string(),
        policy: digest.to_string(),
        policy_name: policy_name(index, digest),
        shadow: opinion.binding.mode == PolicyMode::Shadow,
        verdict: serde_json::to_value(verdict).unwrap_or_default(),
        notes: notes
            .map(|note| api::PolicyNote {
                name: note.name.into(),
                text: note.text.into(),
            })
            .collect(),
        fuel: opinion.fuel,
        micros: opinion.micros,
    }
}

fn granted(
    app: &App,
    index: &Index,
    entitled: &Entitled,
    details: Option<AuthorizationDetails>,
    terms: &Terms,
    policies: Vec<api::PolicyVerdict>,
) -> api::TokenPreview {
    let key = index.active_key(entitled.algorithm);
    let header = json!({
        "alg": entitled.algorithm.as_str(),
        "typ": entitled.typ.as_str(),
        "kid": key.map(|key| key.kid.as_str()),
    });
    let id = entitled.application.id.to_string();
    let audience = match terms.audience.as_slice() {
        [one] => json!(**one),
        several => several.iter().map(|one| &**one).collect(),
    };
    let names: Vec<&str> = terms.scopes.iter().map(ScopeName::as_str).collect();
    let mut claims = json!({
        "iss": app.issuer.as_str(),
        "sub": id,
        "aud": audience,
        "client_id": id,
    });
    if !names.is_empty() {
        claims["scope"] = json!(names.join(" "));
    }
    if let Some(details) = details {
        claims["authorization_details"] = details.objects().into();
    }
    for (name, value) in &terms.claims {
        claims[name] = value.clone();
    }
    api::TokenPreview {
        granted: true,
        as_of: entitled.as_of.0,
        header: Some(header),
        claims: Some(claims),
        lifetime_seconds: Some(terms.lifetime_seconds),
        sender_constraint: entitled.binding.map(|binding| match binding {
            Binding::Dpop => SenderConstraint::Dpop.as_str().to_owned(),
            Binding::Mtls => SenderConstraint::Mtls.as_str().to_owned(),
        }),
        dropped: entitled.dropped.iter().map(ToString::to_string).collect(),
        error: None,
        explanation: None,
        policies,
    }
}

fn denied(
    index: &Index,
    error: TokenErrorCode,
    explanation: String,
    policies: Vec<api::PolicyVerdict>,
) -> api::TokenPreview {
    api::TokenPreview {
        granted: false,
        as_of: index.head().unwrap_or_default().0,
        header: None,
        claims: None,
        lifetime_seconds: None,
        sender_constraint: None,
        dropped: Vec::new(),
        error: Some(error.as_str().to_owned()),
        explanation: Some(explanation),
        policies,
    }
}
