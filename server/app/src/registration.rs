//! Client metadata (RFC 7591 §2): what an application says about itself when it registers, and
//! what it is answered. No HTTP here: `http/register.rs` has that, and the rules are in
//! `writ_core`.
//!
//! What this server does not understand is ignored, as RFC 7591 §2 says, and so are `contacts`
//! (the log keeps no e-mail addresses), `software_id` and `software_version` (labels are what
//! administrators say, and policies judge by them).

use crate::admin::{Failure, key_set, keys_uri, parse_json, registered_keys};
use crate::client_certificate::DistinguishedName;
use crate::issue::GrantType;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::str::FromStr;
use writ_api::JwkSet;
use writ_core::{
    Application, AuthenticationMethod, CertificateSubject, ClientMetadata, Index, ScopeName,
    SenderConstraint,
};
use zeroize::Zeroizing;

/// Why client metadata is not taken: the error codes of RFC 7591 §3.2.2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// Nobody is sent anywhere: there is no authorization endpoint.
    #[error("redirect_uris must be absent: this server redirects nobody")]
    RedirectUri,
    /// A software statement. RFC 7591 §3.1.1 lets a server that knows none ignore it; but its
    /// values have precedence over those beside it, so the client would be registered as
    /// something else than it was vouched for.
    #[error("this server approves no software statements; leave software_statement out")]
    SoftwareStatement,
    /// Any other member.
    #[error("{0}")]
    Metadata(String),
}

/// What an application says about itself, as far as this server keeps it.
pub struct Asked {
    /// The metadata.
    pub metadata: ClientMetadata,
    /// The scopes it asks for.
    pub scopes: Option<Vec<ScopeName>>,
    /// The id that it believes to have (RFC 7592 §2.2).
    pub client_id: Option<String>,
    /// The secret that it believes to have (RFC 7592 §2.2).
    pub client_secret: Option<Zeroizing<String>>,
    /// A member that only this server says (RFC 7592 §2.2).
    pub ours: Option<&'static str>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// The members as they come. `null` is as good as absent (RFC 7592 §2.2).
#[derive(Deserialize)]
struct Given {
    client_name: Option<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    redirect_uris: Option<Vec<String>>,
    scope: Option<String>,
    jwks: Option<JwkSet>,
    jwks_uri: Option<String>,
    tls_client_auth_subject_dn: Option<String>,
    tls_client_auth_san_dns: Option<String>,
    tls_client_auth_san_uri: Option<String>,
    tls_client_auth_san_ip: Option<String>,
    tls_client_auth_san_email: Option<String>,
    tls_client_certificate_bound_access_tokens: Option<bool>,
    dpop_bound_access_tokens: Option<bool>,
    software_statement: Option<IgnoredAny>,
    client_id: Option<String>,
    client_secret: Option<String>,
    registration_access_token: Option<IgnoredAny>,
    registration_client_uri: Option<IgnoredAny>,
    client_secret_expires_at: Option<IgnoredAny>,
    client_id_issued_at: Option<IgnoredAny>,
}

/// Reads client metadata.
///
/// # Errors
/// It is no JSON object, or says what this server cannot do.
pub fn read(body: &[u8]) -> Result<Asked, MetadataFault> {
    let mut given: Given = parse_json(body)?;
    if given.software_statement.is_some() {
        return Err(MetadataFault::SoftwareStatement);
    }
    if given
        .redirect_uris
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        return Err(MetadataFault::RedirectUri);
    }
    check_flow(&given)?;
    let ours = [
        (
            "registration_access_token",
            &given.registration_access_token,
        ),
        ("registration_client_uri", &given.registration_client_uri),
        ("client_secret_expires_at", &given.client_secret_expires_at),
        ("client_id_issued_at", &given.client_id_issued_at),
    ];
    let ours = ours.into_iter().find(|(_, given)| given.is_some());
    let ours = ours.map(|(name, _)| name);
    Ok(Asked {
        scopes: given.scope.take().map(|text| scopes(&text)).transpose()?,
        client_id: given.client_id.take(),
        client_secret: given.client_secret.take().map(Zeroizing::new),
        metadata: metadata(&given)?,
        ours,
    })
}

/// What flows it wants: there are those without a person, and no others.
fn check_flow(given: &Given) -> Result<(), MetadataFault> {
    if given
        .response_types
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        return Err(said(
            "response_types must be empty: there is no authorization endpoint",
        ));
    }
    let Some(types) = given.grant_types.as_ref().filter(|it| !it.is_empty()) else {
        return Ok(());
    };
    let usual = GrantType::default().as_str();
    let known = types.iter().all(|name| GrantType::of(name).is_some());
    match known && types.iter().any(|name| name == usual) {
        true => Ok(()),
        false => Err(said(
            "grant_types must have client_credentials, and others of grant_types_supported only",
        )),
    }
}

fn metadata(given: &Given) -> Result<ClientMetadata, MetadataFault> {
    if given.jwks.is_some() && given.jwks_uri.is_some() {
        return Err(said(
            "jwks and jwks_uri must not be there both (RFC 7591 section 2)",
        ));
    }
    let uri = given.jwks_uri.as_deref();
    let uri = uri.map(|uri| keys_uri("jwks_uri", uri)).transpose();
    Ok(ClientMetadata {
        name: optional("client_name", given.client_name.as_deref())?,
        method: method(given.token_endpoint_auth_method.as_deref())?,
        keys: registered_keys("jwks", given.jwks.as_ref())?,
        jwks_uri: uri?,
        certificate_subject: certificate_subject(given)?,
        sender_constraint: sender_constraint(given)?,
    })
}

/// Where it does not say, it is a secret in the header (RFC 7591 §2).
fn method(given: Option<&str>) -> Result<AuthenticationMethod, MetadataFault> {
    let Some(name) = given else {
        return Ok(AuthenticationMethod::ClientSecretBasic);
    };
    let mut all = AuthenticationMethod::ALL.into_iter();
    let found = all.find(|method| method.as_str() == name);
    found.ok_or_else(|| {
        said("token_endpoint_auth_method must be one of token_endpoint_auth_methods_supported")
    })
}

/// At most one member, for `tls_client_auth` (RFC 8705 §2.1.2).
fn certificate_subject(given: &Given) -> Result<Option<CertificateSubject>, MetadataFault> {
    let name = given.tls_client_auth_subject_dn.as_deref();
    // One that is none would be compared with the names of certificates in vain.
    let _: Option<DistinguishedName> = optional("tls_client_auth_subject_dn", name)?;
    let dn = optional("tls_client_auth_subject_dn", name)?;
    let dns = optional(
        "tls_client_auth_san_dns",
        given.tls_client_auth_san_dns.as_deref(),
    )?;
    let uri = optional(
        "tls_client_auth_san_uri",
        given.tls_client_auth_san_uri.as_deref(),
    )?;
    let ip = optional(
        "tls_client_auth_san_ip",
        given.tls_client_auth_san_ip.as_deref(),
    )?;
    let email = optional(
        "tls_client_auth_san_email",
        given.tls_client_auth_san_email.as_deref(),
    )?;
    let all = [
        dn.map(CertificateSubject::Dn),
        dns.map(CertificateSubject::Dns),
        uri.map(CertificateSubject::Uri),
        ip.map(CertificateSubject::Ip),
        email.map(CertificateSubject::Email),
    ];
    let mut all = all.into_iter().flatten();
    let (first, second) = (all.next(), all.next());
    match second {
        None => Ok(first),
        Some(_) => Err(said(
            "at most one of the tls_client_auth members can be there (RFC 8705)",
        )),
    }
}

fn sender_constraint(given: &Given) -> Result<SenderConstraint, MetadataFault> {
    let by_key = given.dpop_bound_access_tokens.unwrap_or_default();
    let by_certificate = given.tls_client_certificate_bound_access_tokens;
    match (by_key, by_certificate.unwrap_or_default()) {
        (false, false) => Ok(SenderConstraint::None),
        (true, false) => Ok(SenderConstraint::Dpop),
        (false, true) => Ok(SenderConstraint::Mtls),
        (true, true) => Err(said(
            "a token is bound to a key or to a certificate: of dpop_bound_access_tokens and \
             tls_client_certificate_bound_access_tokens at most one can be true",
        )),
    }
}

/// A space-separated list (RFC 6749 §3.3).
fn scopes(text: &str) -> Result<Vec<ScopeName>, MetadataFault> {
    let names = text.split(' ').filter(|name| !name.is_empty());
    let names = names.map(|name| name.parse().map_err(|error| about("scope", error)));
    names.collect()
}

fn optional<T>(member: &str, given: Option<&str>) -> Result<Option<T>, MetadataFault>
where
    T: FromStr<Err: Display>,
{
    let parse = |text: &str| text.parse().map_err(|error: T::Err| about(member, error));
    given.map(parse).transpose()
}

fn about(member: &str, error: impl Display) -> MetadataFault {
    MetadataFault::Metadata(format!("{member}: {error}"))
}

fn said(text: &str) -> MetadataFault {
    MetadataFault::Metadata(text.to_owned())
}

impl From<Failure> for MetadataFault {
    fn from(failure: Failure) -> Self {
        Self::Metadata(failure.to_string())
    }
}

/// What goes with an answer and is nowhere kept in the clear.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The registration access token: just made, or as it was presented.
    pub registration_access_token: &'a str,
    /// A secret that was just made. One of before is known as a digest only, so it is not said
    /// again.
    pub client_secret: Option<&'a str>,
}

/// What an application is told about itself (RFC 7591 §3.2.1, RFC 7592 §3): everything that is
/// registered, also where that is not what it asked for.
#[must_use]
pub fn answer(issuer: &str, index: &Index, app: &Application, shown: Shown<'_>) -> Value {
    let id = app.id.to_string();
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| said.insert(name.to_owned(), value);
    say("client_id", id.as_str().into());
    say("client_id_issued_at", app.created_at.seconds().into());
    if let Some(secret) = shown.client_secret {
        let ends = app.secrets.iter().filter_map(|it| it.expires_at).min();
        say("client_secret", secret.into());
        // 0 is never.
        say(
            "client_secret_expires_at",
            ends.map_or(0, |at| at.seconds()).into(),
        );
    }
    let token = shown.registration_access_token;
    say("registration_access_token", token.into());
    let uri = format!("{issuer}/oauth2/register/{id}");
    say("registration_client_uri", uri.into());
    say("client_name", app.name.as_str().into());
    say("grant_types", grant_types(app).into());
    say("response_types", json!([]));
    let own = app.authentication();
    let trust = AuthenticationMethod::WorkloadIdentity;
    let method = own.methods.iter().find(|method| **method != trust);
    if let Some(method) = method {
        say("token_endpoint_auth_method", method.as_str().into());
    }
    if !own.keys.is_empty() {
        say(
            "jwks",
            serde_json::to_value(key_set(&own.keys)).unwrap_or_default(),
        );
    }
    if let Some(uri) = &own.jwks_uri {
        say("jwks_uri", uri.as_str().into());
    }
    if let Some(subject) = &own.certificate_subject {
        let (name, value) = subject_member(subject);
        say(name, value.into());
    }
    match app.token_settings().sender_constraint {
        SenderConstraint::Dpop => drop(say("dpop_bound_access_tokens", true.into())),
        SenderConstraint::Mtls => {
            say("tls_client_certificate_bound_access_tokens", true.into());
        }
        SenderConstraint::Any | SenderConstraint::None => {}
    }
    let scope = scope(index, app);
    if !scope.is_empty() {
        say("scope", scope.into());
    }
    Value::Object(said)
}

fn subject_member(subject: &CertificateSubject) -> (&'static str, String) {
    match subject {
        CertificateSubject::Dn(name) => ("tls_client_auth_subject_dn", name.to_string()),
        CertificateSubject::Dns(name) => ("tls_client_auth_san_dns", name.to_string()),
        CertificateSubject::Uri(name) => ("tls_client_auth_san_uri", name.to_string()),
        CertificateSubject::Ip(address) => ("tls_client_auth_san_ip", address.to_string()),
        CertificateSubject::Email(name) => ("tls_client_auth_san_email", name.to_string()),
    }
}

/// What it can ask tokens with. The others come with what administrators say of it.
fn grant_types(app: &Application) -> Vec<&'static str> {
    let trust = AuthenticationMethod::WorkloadIdentity;
    let trusts = app.authentication().methods.contains(&trust);
    let exchanges = app.exchange().is_some();
    let all = [
        (GrantType::ClientCredentials, true),
        (GrantType::JwtBearer, trusts),
        (GrantType::TokenExchange, exchanges),
    ];
    let usable = all.into_iter().filter(|(_, usable)| *usable);
    usable.map(|(kind, _)| kind.as_str()).collect()
}

/// The scopes that it can get, sorted.
fn scope(index: &Index, app: &Application) -> String {
    let apis = app.grants().filter_map(|grant| index.api(grant.api));
    let names = apis.flat_map(|api| api.names(&index.granted(app, api.id)));
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort_unstable();
    names.join(" ")
}

#[cfg(test)]
pub(crate) mod tests;
