//! `/applications/{id}/authentication`: how an application proves who it is.

use super::applications::find;
use super::call::{Call, choice, text};
use super::change::change as execute;
use super::read::index as read;
use super::{Answer, Failure, Outcome, trusted_issuers};
use crate::app::App;
use crate::client_certificate::DistinguishedName;
use crate::jose::ForeignKey;
use crate::remote_keys::KeysUri;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;
use writ_api as api;
use writ_core::codec::from_hex;
use writ_core::{
    ApplicationId, Authentication, AuthenticationMethod, CertificateDigest, CertificateSubject,
    ClaimValue, Command, HttpsUri, Index, RegisteredKey, SecurityProfile, SubjectText, TrustRule,
    limits,
};
use writ_ledger::Receipt;

/// The longest life of a token of a trusted issuer where a rule does not say: as Kubernetes makes
/// them.
const LIFETIME_SECONDS: u32 = 3_600;
/// The digest of a key's certificate (RFC 7517 §4.9).
const CERTIFICATE_MEMBER: &str = "x5t#S256";

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let application = find(&call, &index)?;
    Answer::json(&view(application.authentication()))
        .version(application.version)
        .from(&index)
}

pub(super) async fn put(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::Authentication = call.json()?;
    let application = call.application()?;
    let authentication = Some(Box::new(parse(&app.index(), &asked)?));
    let command = Command::ChangeAuthentication {
        application,
        authentication,
    };
    changed(&execute(&app, &call, command).await?, application)
}

pub(super) async fn reset(app: Arc<App>, call: Call) -> Outcome {
    let command = Command::ChangeAuthentication {
        application: call.application()?,
        authentication: None,
    };
    let receipt = execute(&app, &call, command).await?;
    Answer::empty().at(receipt.position())
}

fn changed(receipt: &Receipt, id: ApplicationId) -> Outcome {
    let application = receipt.index.application(id).ok_or(Failure::Gone)?;
    Answer::json(&view(application.authentication()))
        .version(application.version)
        .at(receipt.position())
}

fn parse(index: &Index, asked: &api::Authentication) -> Result<Authentication, Failure> {
    let profile = asked.profile.as_deref();
    let profile = profile.map(|name| choice("profile", name, &SecurityProfile::NAMED));
    let jwks_uri = asked.jwks_uri.as_deref();
    let subject = asked.certificate_subject.as_ref();
    let certificates = asked.certificates.iter().enumerate();
    let trust = asked.trust.iter().enumerate();
    Ok(Authentication {
        methods: methods(&asked.methods)?,
        keys: registered_keys("jwks", asked.jwks.as_ref())?,
        jwks_uri: jwks_uri.map(|uri| keys_uri("jwks_uri", uri)).transpose()?,
        certificate_subject: subject.map(certificate_subject).transpose()?,
        certificates: certificates.map(certificate).collect::<Result<_, _>>()?,
        trust: trust
            .map(|(i, rule)| trust_rule(index, &format!("trust[{i}]"), rule))
            .collect::<Result<_, _>>()?,
        profile: profile.transpose()?.unwrap_or_default(),
    })
}

/// Methods by their names, in order.
///
/// # Errors
/// One is none.
pub(super) fn methods(given: &[String]) -> Result<Vec<AuthenticationMethod>, Failure> {
    let names = AuthenticationMethod::ALL.map(|method| (method.as_str(), method));
    let methods = given.iter().enumerate();
    let methods = methods.map(|(i, name)| choice(&format!("methods[{i}]"), name, &names));
    let mut methods: Vec<AuthenticationMethod> = methods.collect::<Result<_, _>>()?;
    methods.sort_unstable();
    methods.dedup();
    Ok(methods)
}

/// Keys that somebody gives, each checked.
///
/// # Errors
/// Too many, or one is no public key that signatures can be verified with.
pub(crate) fn registered_keys(
    member: &str,
    given: Option<&api::JwkSet>,
) -> Result<Vec<RegisteredKey>, Failure> {
    let given = given.map_or(&[][..], |set| &set.keys);
    // What each costs to check is not spent on more than there can be.
    if given.len() > limits::REGISTERED_KEYS {
        let most = format!("at most {} keys", limits::REGISTERED_KEYS);
        return Err(wrong(format!("{member}.keys"), most));
    }
    let keys = given.iter().enumerate();
    keys.map(|(i, jwk)| registered_key(&format!("{member}.keys[{i}]"), jwk))
        .collect()
}

fn registered_key(member: &str, jwk: &Map<String, Value>) -> Result<RegisteredKey, Failure> {
    let key = ForeignKey::from_jwk(&Value::Object(jwk.clone()))
        .map_err(|fault| wrong(member.to_owned(), fault.to_string()))?;
    let mut key = key.to_registered();
    // As it is shown: who gives back what was answered gives the same.
    if let Some(given) = jwk.get(CERTIFICATE_MEMBER) {
        let digest = given.as_str().and_then(|text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            Some(CertificateDigest(bytes.try_into().ok()?))
        });
        let fits = |digest: &CertificateDigest| key.certificate.is_none_or(|own| own == *digest);
        let digest = digest.filter(fits).ok_or_else(|| {
            let expected = "SHA-256 of the key's certificate, in base64url, that of x5c if both \
                            are there";
            wrong(
                format!("{member}.{CERTIFICATE_MEMBER}"),
                expected.to_owned(),
            )
        })?;
        key.certificate = Some(digest);
    }
    Ok(key)
}

/// The address of keys, one that they can be fetched from.
///
/// # Errors
/// It is none.
pub(crate) fn keys_uri(member: &str, given: &str) -> Result<HttpsUri, Failure> {
    KeysUri::parse(given).map_err(|error| wrong(member.to_owned(), error.to_string()))?;
    text(member, given)
}

fn certificate_subject(asked: &api::CertificateSubject) -> Result<CertificateSubject, Failure> {
    let name = |kind: &str, given: &str| text(&format!("certificate_subject.{kind}"), given);
    Ok(match asked {
        api::CertificateSubject::Dn(given) => {
            // One that is none would be compared with the names of certificates in vain.
            let _: DistinguishedName = text("certificate_subject.dn", given)?;
            CertificateSubject::Dn(name("dn", given)?)
        }
        api::CertificateSubject::Dns(given) => CertificateSubject::Dns(name("dns", given)?),
        api::CertificateSubject::Uri(given) => CertificateSubject::Uri(name("uri", given)?),
        api::CertificateSubject::Ip(given) => {
            CertificateSubject::Ip(text("certificate_subject.ip", given)?)
        }
        api::CertificateSubject::Email(given) => CertificateSubject::Email(name("email", given)?),
    })
}

fn certificate((i, given): (usize, &String)) -> Result<CertificateDigest, Failure> {
    let digest = from_hex(given).map(CertificateDigest);
    digest.ok_or_else(|| {
        let expected = "SHA-256 of the certificate in DER, as 64 hexadecimal digits";
        wrong(format!("certificates[{i}]"), expected.to_owned())
    })
}

fn trust_rule(index: &Index, member: &str, asked: &api::TrustRule) -> Result<TrustRule, Failure> {
    let claim = |(name, value): (&String, &Value)| -> Result<(Box<str>, ClaimValue), Failure> {
        let member = format!("{member}.claims.{}", super::failure::shortened(name));
        let name: SubjectText = text(&member, name)?;
        Ok((name.as_str().into(), claim_value(&member, value)?))
    };
    Ok(TrustRule {
        name: text(&format!("{member}.name"), &asked.name)?,
        issuer: trusted_issuers::named(index, &asked.issuer)?,
        audience: text(&format!("{member}.audience"), &asked.audience)?,
        subject: text(&format!("{member}.subject"), &asked.subject)?,
        claims: asked.claims.iter().map(claim).collect::<Result<_, _>>()?,
        lifetime_seconds: asked.lifetime_seconds.unwrap_or(LIFETIME_SECONDS),
    })
}

fn claim_value(member: &str, given: &Value) -> Result<ClaimValue, Failure> {
    let expected = || {
        let expected = "must be a text, a whole number, true or false";
        wrong(member.to_owned(), expected.to_owned())
    };
    match given {
        Value::Bool(flag) => Ok(ClaimValue::Flag(*flag)),
        Value::Number(number) => number.as_i64().map(ClaimValue::Int).ok_or_else(expected),
        Value::String(given) => {
            let given: SubjectText = text(member, given)?;
            Ok(ClaimValue::Text(given.as_str().into()))
        }
        _ => Err(expected()),
    }
}

fn wrong(member: String, expected: String) -> Failure {
    Failure::Value { member, expected }
}

/// How an application may authenticate, as it is shown.
pub(super) fn view(own: &Authentication) -> api::Authentication {
    use api::CertificateSubject as Shown;
    let subject = own.certificate_subject.as_ref();
    let subject = subject.map(|subject| match subject {
        CertificateSubject::Dn(name) => Shown::Dn(name.to_string()),
        CertificateSubject::Dns(name) => Shown::Dns(name.to_string()),
        CertificateSubject::Uri(name) => Shown::Uri(name.to_string()),
        CertificateSubject::Ip(address) => Shown::Ip(address.to_string()),
        CertificateSubject::Email(name) => Shown::Email(name.to_string()),
    });
    api::Authentication {
        methods: own.methods.iter().map(ToString::to_string).collect(),
        jwks: (!own.keys.is_empty()).then(|| key_set(&own.keys)),
        jwks_uri: own.jwks_uri.as_ref().map(ToString::to_string),
        certificate_subject: subject,
        certificates: own.certificates.iter().map(ToString::to_string).collect(),
        trust: own.trust.iter().map(rule_view).collect(),
        profile: Some(own.profile.as_str().to_owned()),
    }
}

/// Registered keys, as JWKs again.
pub(crate) fn key_set(keys: &[RegisteredKey]) -> api::JwkSet {
    api::JwkSet {
        keys: keys.iter().map(jwk).collect(),
    }
}

fn jwk(key: &RegisteredKey) -> Map<String, Value> {
    let mut jwk = match serde_json::to_value(&key.jwk) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let certificate = key.certificate.map(|own| URL_SAFE_NO_PAD.encode(own.0));
    for (name, value) in [
        ("kid", key.kid.as_deref()),
        ("alg", key.alg.as_deref()),
        (CERTIFICATE_MEMBER, certificate.as_deref()),
    ] {
        if let Some(value) = value {
            jwk.insert(name.to_owned(), value.into());
        }
    }
    jwk
}

fn rule_view(rule: &TrustRule) -> api::TrustRule {
    let claims = rule.claims.iter().map(|(name, value)| {
        let value = match value {
            ClaimValue::Flag(flag) => (*flag).into(),
            ClaimValue::Int(number) => (*number).into(),
            ClaimValue::Text(text) => (&**text).into(),
        };
        (name.to_string(), value)
    });
    api::TrustRule {
        name: rule.name.to_string(),
        issuer: rule.issuer.to_string(),
        audience: rule.audience.to_string(),
        subject: rule.subject.to_string(),
        claims: claims.collect(),
        lifetime_seconds: Some(rule.lifetime_seconds),
    }
}
