//! The rules of how applications authenticate, whom they trust, and what else bounds their tokens.

use super::{Events, api, application, at_most, changeable_api, grant, user};
use crate::event::*;
use crate::{
    ApiId, Application, ApplicationId, Authentication, AuthenticationMethod, DetailsType,
    DetailsTypeName, Entity, Identifier, Index, IssuerId, IssuerKeys, Name, Quota, Refusal,
    RegisteredKey, SecurityProfile, TokenExchange, TrustRule, TrustedIssuer, User, limits,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn change_authentication(
    index: &Index,
    id: ApplicationId,
    asked: Option<&Authentication>,
) -> Events {
    let app = application(index, id)?;
    // The usual has one form, as if nothing had ever been said.
    let asked = asked.filter(|asked| **asked != Authentication::default());
    if app.own_authentication() == asked {
        return Ok(Vec::new());
    }
    if let Some(asked) = asked {
        check_authentication(index, asked)?;
    }
    let authentication = asked.cloned().map(Box::new);
    Ok(vec![
        ApplicationAuthenticationChanged { id, authentication }.into(),
    ])
}

/// How an application authenticates that is made by the same command.
pub(super) fn new_authentication(index: &Index, id: ApplicationId, own: Authentication) -> Events {
    check_authentication(index, &own)?;
    let authentication = Some(Box::new(own));
    Ok(vec![
        ApplicationAuthenticationChanged { id, authentication }.into(),
    ])
}

fn check_authentication(index: &Index, asked: &Authentication) -> Result<(), Refusal> {
    if asked.methods.is_empty() || !asked.methods.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::ValueInvalid {
            what: "methods",
            expected: "at least one, each once and in order; disable the application instead",
        });
    }
    if asked.jwks_uri.is_some() && !asked.keys.is_empty() {
        return Err(Refusal::ValueInvalid {
            what: "jwks_uri",
            expected: "absent where keys are registered (RFC 7591 §2)",
        });
    }
    check_keys(&asked.keys)?;
    let certificates = "certificates of an application";
    let most = limits::CERTIFICATES_PER_APPLICATION;
    at_most(certificates, asked.certificates.len(), most)?;
    for method in &asked.methods {
        check_method(asked, *method)?;
    }
    let what = "trust rules of an application";
    at_most(what, asked.trust.len(), limits::TRUST_RULES_PER_APPLICATION)?;
    let mut names = BTreeSet::new();
    for rule in &asked.trust {
        if !names.insert(&rule.name) {
            return Err(Refusal::ValueInvalid {
                what: "the name of a trust rule",
                expected: "unique in the application",
            });
        }
        check_trust_rule(index, rule)?;
    }
    Ok(())
}

/// A method without what it is held against could never be used; better to say so now.
fn check_method(asked: &Authentication, method: AuthenticationMethod) -> Result<(), Refusal> {
    use AuthenticationMethod as M;
    if asked.profile == SecurityProfile::Fapi2 && method.uses_secret() {
        return Err(Refusal::ProfileForbids { method });
    }
    let has_keys = !asked.keys.is_empty() || asked.jwks_uri.is_some();
    let with_certificate = |key: &RegisteredKey| key.certificate.is_some();
    let (has, needs) = match method {
        M::ClientSecretBasic | M::ClientSecretPost => (true, ""),
        M::PrivateKeyJwt => (has_keys, "keys, or a jwks_uri"),
        M::TlsClientAuth => (asked.certificate_subject.is_some(), "a certificate_subject"),
        M::SelfSignedTlsClientAuth => (
            !asked.certificates.is_empty()
                || asked.jwks_uri.is_some()
                || asked.keys.iter().any(with_certificate),
            "certificates, keys with x5c, or a jwks_uri",
        ),
        M::WorkloadIdentity => (!asked.trust.is_empty(), "a trust rule"),
    };
    if has {
        Ok(())
    } else {
        Err(Refusal::AuthenticationIncomplete { method, needs })
    }
}

fn check_keys(keys: &[RegisteredKey]) -> Result<(), Refusal> {
    at_most("registered keys", keys.len(), limits::REGISTERED_KEYS)?;
    for (i, key) in keys.iter().enumerate() {
        let same = |other: &RegisteredKey| {
            other.jwk == key.jwk || (other.kid.is_some() && other.kid == key.kid)
        };
        if keys[..i].iter().any(same) {
            return Err(Refusal::ValueInvalid {
                what: "a key",
                expected: "there once, and its kid too",
            });
        }
    }
    Ok(())
}

fn check_trust_rule(index: &Index, rule: &TrustRule) -> Result<(), Refusal> {
    trusted_issuer(index, rule.issuer)?;
    let what = "claims of a trust rule";
    at_most(what, rule.claims.len(), limits::CLAIMS_PER_TRUST_RULE)?;
    if (1..=limits::TRUST_LIFETIME_MAX_SECONDS).contains(&rule.lifetime_seconds) {
        return Ok(());
    }
    Err(Refusal::ValueInvalid {
        what: "lifetime_seconds of a trust rule",
        expected: "1 to 86400 seconds",
    })
}

pub(super) fn change_quota(index: &Index, id: ApplicationId, asked: Option<&Quota>) -> Events {
    let app = application(index, id)?;
    if app.quota() == asked {
        return Ok(Vec::new());
    }
    if let Some(quota) = asked {
        let windows = [quota.per_minute, quota.per_hour, quota.per_day];
        if windows.iter().all(Option::is_none) || windows.contains(&Some(0)) {
            return Err(Refusal::ValueInvalid {
                what: "a quota",
                expected: "at least one number of tokens, and none of them 0; disable the application instead",
            });
        }
    }
    let quota = asked.copied();
    Ok(vec![ApplicationQuotaChanged { id, quota }.into()])
}

pub(super) fn change_exchange(
    index: &Index,
    id: ApplicationId,
    asked: Option<&TokenExchange>,
) -> Events {
    let app = application(index, id)?;
    let Some(asked) = asked else {
        let nothing = ApplicationExchangeChanged { id, exchange: None };
        let had = app.exchange().is_some();
        return Ok(had.then(|| nothing.into()).into_iter().collect());
    };
    let subjects: BTreeSet<ApplicationId> = asked.subjects.iter().copied().collect();
    let what = "applications whose tokens one may exchange";
    at_most(what, subjects.len(), limits::EXCHANGE_SUBJECTS)?;
    if subjects.is_empty() {
        return Err(Refusal::ValueInvalid {
            what: "subjects",
            expected: "at least one application",
        });
    }
    let old = app.exchange();
    for id in &subjects {
        // One that is gone may stay: nobody gets its id.
        if !old.is_some_and(|old| old.subjects.contains(id)) {
            application(index, *id)?;
        }
    }
    let exchange = TokenExchange {
        subjects: subjects.into_iter().collect(),
        mode: asked.mode,
    };
    if old == Some(&exchange) {
        return Ok(Vec::new());
    }
    let exchange = Some(exchange);
    Ok(vec![ApplicationExchangeChanged { id, exchange }.into()])
}

// Trusted issuers.

pub(super) fn create_issuer(
    index: &Index,
    issuer: &Identifier,
    name: &Name,
    keys: &IssuerKeys,
    omits_issuer: bool,
) -> Events {
    if let Some(found) = index.trusted_issuer_named(issuer.as_str()) {
        let (issuer, id) = (issuer.clone(), found.id);
        return Err(Refusal::TrustedIssuerTaken { issuer, id });
    }
    let count = index.trusted_issuer_count() + 1;
    at_most("trusted issuers", count, limits::TRUSTED_ISSUERS)?;
    check_issuer_keys(issuer, keys)?;
    Ok(vec![
        TrustedIssuerCreated {
            id: index.next_issuer(),
            issuer: issuer.clone(),
            name: name.clone(),
            keys: keys.clone(),
            omits_issuer,
        }
        .into(),
    ])
}

fn check_issuer_keys(issuer: &Identifier, keys: &IssuerKeys) -> Result<(), Refusal> {
    match keys {
        IssuerKeys::Discovery if !issuer.as_str().starts_with("https://") => {
            Err(Refusal::ValueInvalid {
                what: "an issuer whose keys are discovered",
                expected: "an https address; give a jwks_uri or keys for others",
            })
        }
        IssuerKeys::Keys(keys) if keys.is_empty() => Err(Refusal::ValueInvalid {
            what: "keys",
            expected: "at least one",
        }),
        IssuerKeys::Keys(keys) => check_keys(keys),
        IssuerKeys::Discovery | IssuerKeys::JwksUri(_) => Ok(()),
    }
}

pub(super) fn change_issuer(
    index: &Index,
    id: IssuerId,
    name: Option<&Name>,
    keys: Option<&IssuerKeys>,
    omits_issuer: Option<bool>,
) -> Events {
    let old = trusted_issuer(index, id)?;
    let changed = TrustedIssuerChanged {
        id,
        name: name.unwrap_or(&old.name).clone(),
        keys: keys.unwrap_or(&old.keys).clone(),
        omits_issuer: omits_issuer.unwrap_or(old.omits_issuer),
    };
    check_issuer_keys(&old.issuer, &changed.keys)?;
    let same = changed.name == old.name
        && changed.keys == old.keys
        && changed.omits_issuer == old.omits_issuer;
    Ok((!same).then(|| changed.into()).into_iter().collect())
}

pub(super) fn remove_issuer(index: &Index, id: IssuerId) -> Events {
    trusted_issuer(index, id)?;
    let trusts = |app: &&Arc<Application>| {
        let rules = &app.authentication().trust;
        rules.iter().any(|rule| rule.issuer == id)
    };
    let users: Vec<User> = index
        .applications(None)
        .filter(trusts)
        .map(|app| user(Entity::Application(app.id), &app.name))
        .collect();
    if users.is_empty() {
        Ok(vec![TrustedIssuerRemoved { id }.into()])
    } else {
        Err(Refusal::in_use(users))
    }
}

fn trusted_issuer(index: &Index, id: IssuerId) -> Result<&Arc<TrustedIssuer>, Refusal> {
    let found = index.trusted_issuer(id);
    found.ok_or(Refusal::TrustedIssuerUnknown { id })
}

// Types of authorization details.

pub(super) fn put_details_type(index: &Index, id: ApiId, asked: &DetailsType) -> Events {
    let api = changeable_api(index, id)?;
    let name = &asked.name;
    match index.details_type(name.as_str()) {
        Some(owner) if owner.id != id => {
            let (name, api) = (name.clone(), owner.id);
            return Err(Refusal::DetailsTypeTaken { name, api });
        }
        Some(_) if api.details_type(name.as_str()) == Some(asked) => return Ok(Vec::new()),
        Some(_) => {}
        None => {
            let what = "types of authorization details of an API resource";
            let count = api.details_types.len() + 1;
            at_most(what, count, limits::DETAILS_TYPES_PER_API)?;
        }
    }
    let bytes = asked.schema.as_ref().map_or(0, |text| text.json.len());
    at_most("bytes of a schema", bytes, limits::DETAILS_SCHEMA_BYTES)?;
    let details_type = asked.clone();
    Ok(vec![
        DetailsTypePut {
            api: id,
            details_type,
        }
        .into(),
    ])
}

pub(super) fn remove_details_type(
    index: &Index,
    id: ApiId,
    name: &DetailsTypeName,
    cascade: bool,
) -> Events {
    let api = changeable_api(index, id)?;
    known(api, name)?;
    let granted = |app: &&Arc<Application>| app.details(id).contains(name);
    let users: Vec<&Arc<Application>> = index.applications(None).filter(granted).collect();
    if !cascade && !users.is_empty() {
        let users = users
            .iter()
            .map(|app| user(Entity::Application(app.id), &app.name));
        return Err(Refusal::in_use(users.collect()));
    }
    let mut events: Vec<Event> = users
        .iter()
        .map(|app| {
            let others = app.details(id).iter().filter(|one| *one != name);
            GrantDetailsChanged {
                application: app.id,
                api: id,
                details: others.cloned().collect(),
            }
            .into()
        })
        .collect();
    events.push(
        DetailsTypeRemoved {
            api: id,
            name: name.clone(),
        }
        .into(),
    );
    Ok(events)
}

pub(super) fn change_grant_details(
    index: &Index,
    id: ApplicationId,
    api_id: ApiId,
    asked: &[DetailsTypeName],
) -> Events {
    grant(index, id, api_id)?;
    let old = application(index, id)?.details(api_id);
    let api = api(index, api_id)?;
    let details: BTreeSet<&DetailsTypeName> = asked.iter().collect();
    for name in &details {
        known(api, name)?;
    }
    let details: Vec<DetailsTypeName> = details.into_iter().cloned().collect();
    if old == details {
        return Ok(Vec::new());
    }
    Ok(vec![
        GrantDetailsChanged {
            application: id,
            api: api_id,
            details,
        }
        .into(),
    ])
}

fn known(api: &crate::ApiResource, name: &DetailsTypeName) -> Result<(), Refusal> {
    match api.details_type(name.as_str()) {
        Some(_) => Ok(()),
        None => Err(Refusal::DetailsTypeUnknown {
            api: api.id,
            name: name.clone(),
        }),
    }
}
