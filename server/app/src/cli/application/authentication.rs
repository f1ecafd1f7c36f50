//! `writ application authentication …` and `writ application trust …`: how an application proves
//! who it is. It is one value on the server, so each change reads it first; the version guards
//! against somebody who changes it at the same time.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use ureq::http::Method;
use writ_api::{Application as Entity, Authentication as Value, CertificateSubject, TrustRule};

use super::super::Failure;
use super::super::key_files::{certificate_digest, key_names, key_set};
use super::super::output::{Details, Out, detail, details};
use super::super::remote::{Call, Change, Client, Read};
use super::super::values::{Assignment, by_name};
use super::current;

/// The method that trust rules are for.
const BY_TRUST: &str = "workload_identity";

/// Verbs of `writ application authentication`.
#[derive(Subcommand, Debug)]
pub enum Authentication {
    /// Show how an application may authenticate
    #[command(after_help = "Example:
  writ application authentication show APPLICATION")]
    Show {
        /// The id of the application
        application: String,
        #[command(flatten)]
        read: Read,
    },
    /// Change how an application may authenticate; what is not named stays
    #[command(after_help = "Examples:
  writ application authentication set APPLICATION --method private_key_jwt --jwks public.json
  writ application authentication set APPLICATION --method tls_client_auth \\
    --certificate-subject dns:job.example.com
  writ application authentication set APPLICATION --method self_signed_tls_client_auth \\
    --certificate job.pem --profile fapi2")]
    Set(Box<Set>),
    /// Let an application authenticate as usual again: by a secret, in the header or the form
    #[command(after_help = "Example:
  writ application authentication reset APPLICATION --reason 'back from the trial'")]
    Reset {
        /// The id of the application
        application: String,
        #[command(flatten)]
        change: Change,
    },
}

/// What to change.
#[derive(Args, Debug)]
pub struct Set {
    /// The id of the application
    application: String,
    /// All methods, one each time: client_secret_basic, client_secret_post, private_key_jwt,
    /// tls_client_auth, self_signed_tls_client_auth or workload_identity
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// A file with its public keys: a JWK Set, or one JWK
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// The https address where its public keys are
    #[arg(long, value_name = "URI")]
    jwks_uri: Option<String>,
    /// What its certificates name: dn:…, dns:…, uri:…, ip:… or email:…
    #[arg(long, value_name = "KIND:NAME")]
    certificate_subject: Option<Subject>,
    /// All its certificates, in PEM, one file each time; the first one in a file counts
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// How strict it is with it: none or fapi2
    #[arg(long)]
    profile: Option<String>,
    /// What to take away; may be repeated
    #[arg(long = "remove", value_name = "PART")]
    removed: Vec<Part>,
    #[command(flatten)]
    change: Change,
}

/// A part of it that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The registered keys
    Jwks,
    /// The address of keys
    JwksUri,
    /// What certificates name
    CertificateSubject,
    /// The registered certificates
    Certificates,
}

/// What a certificate names, as it is written here.
#[derive(Clone, Debug)]
struct Subject(CertificateSubject);

impl FromStr for Subject {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let (kind, name) = given.split_once(':').unwrap_or_default();
        let name = name.to_owned();
        Ok(Self(match kind {
            "dn" => CertificateSubject::Dn(name),
            "dns" => CertificateSubject::Dns(name),
            "uri" => CertificateSubject::Uri(name),
            "ip" => CertificateSubject::Ip(name),
            "email" => CertificateSubject::Email(name),
            _ => return Err("write dn:…, dns:…, uri:…, ip:… or email:…".to_owned()),
        }))
    }
}

/// Verbs of `writ application trust`.
#[derive(Subcommand, Debug)]
pub enum Trust {
    /// Let tokens of a trusted issuer prove an application: no secret anywhere
    #[command(after_help = "Examples:
  writ application trust add APPLICATION main-branch \\
    --issuer https://token.actions.githubusercontent.com --audience https://writ.example \\
    --subject 'repo:acme/app:ref:refs/heads/main' --claim repository_owner=acme
  writ application trust add APPLICATION cluster --issuer issuer_2 --audience writ \\
    --subject 'system:serviceaccount:jobs:*' --lifetime 3600")]
    Add(Box<Add>),
    /// Take a trust rule away
    #[command(after_help = "Example:
  writ application trust remove APPLICATION main-branch")]
    Remove {
        /// The id of the application
        application: String,
        /// The name of the rule, as `application authentication show` shows it
        rule: String,
        #[command(flatten)]
        change: Change,
    },
}

/// A new trust rule.
#[derive(Args, Debug)]
pub struct Add {
    /// The id of the application
    application: String,
    /// The name of the rule, unique in the application: uses are recorded by it
    rule: String,
    /// The trusted issuer: its id, or the `iss` of its tokens
    #[arg(long)]
    issuer: String,
    /// The audience that the tokens must be for, exactly
    #[arg(long)]
    audience: String,
    /// What their `sub` must be; a * at the end stands for the rest of the last segment
    #[arg(long, value_name = "PATTERN")]
    subject: String,
    /// A further claim that they must have; may be repeated. VALUE is JSON, or else text: write
    /// '\"7\"' for the text 7
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<Assignment>,
    /// The longest lifetime that they may have; an hour where not given
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u32>,
    #[command(flatten)]
    change: Change,
}

impl Authentication {
    /// Runs the verb.
    pub fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        match self {
            Self::Show { application, read } => {
                client.show(out, Call::get(&path(&application), &read), describe)
            }
            Self::Set(set) => set.run(out, client),
            Self::Reset {
                application,
                change,
            } => {
                let call = Call::change(Method::DELETE, &path(&application), &change);
                client.done(out, call, &format!("{application} authenticates as usual"))
            }
        }
    }
}

impl Set {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let nothing = self.methods.is_empty()
            && self.jwks.is_none()
            && self.jwks_uri.is_none()
            && self.certificate_subject.is_none()
            && self.certificates.is_empty()
            && self.profile.is_none()
            && self.removed.is_empty();
        if nothing {
            let text = "nothing to change: say what by an option, see --help";
            return Err(Failure::Usage(text.to_owned()));
        }
        // Files are read before anything is asked.
        let keys = self.jwks.as_deref().map(key_set).transpose()?;
        let files = self.certificates.iter();
        let certificates = files.map(|file| certificate_digest(file));
        let certificates: Vec<String> = certificates.collect::<Result<_, _>>()?;
        let now = current(client, &self.application)?;
        let mut value = now.authentication.clone();
        for part in self.removed {
            match part {
                Part::Jwks => value.jwks = None,
                Part::JwksUri => value.jwks_uri = None,
                Part::CertificateSubject => value.certificate_subject = None,
                Part::Certificates => value.certificates.clear(),
            }
        }
        if !self.methods.is_empty() {
            value.methods = self.methods;
        }
        // Keys are in one place (RFC 7591 §2).
        if let Some(keys) = keys {
            (value.jwks, value.jwks_uri) = (Some(keys), None);
        }
        if let Some(uri) = self.jwks_uri {
            (value.jwks, value.jwks_uri) = (None, Some(uri));
        }
        if let Some(Subject(subject)) = self.certificate_subject {
            value.certificate_subject = Some(subject);
        }
        if !certificates.is_empty() {
            value.certificates = certificates;
        }
        value.profile = self.profile.or(value.profile);
        put(out, client, &now, &value, &self.change)
    }
}

impl Trust {
    /// Runs the verb.
    pub fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(out, client),
            Self::Remove {
                application,
                rule,
                change,
            } => {
                let now = current(client, &application)?;
                let mut value = now.authentication.clone();
                value.trust.retain(|known| known.name != rule);
                if value.trust.len() == now.authentication.trust.len() {
                    let text = format!("{application} has no trust rule {rule}");
                    return Err(Failure::Failed(text));
                }
                // A method that nothing can fulfil any more goes with the last rule.
                if value.trust.is_empty() {
                    value.methods.retain(|method| method != BY_TRUST);
                }
                put(out, client, &now, &value, &change)
            }
        }
    }
}

impl Add {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let claims = by_name(&self.claims, |given| Ok(given.value()))?;
        let now = current(client, &self.application)?;
        let mut value = now.authentication.clone();
        value.trust.push(TrustRule {
            name: self.rule,
            issuer: self.issuer,
            audience: self.audience,
            subject: self.subject,
            claims: claims.into_iter().collect(),
            lifetime_seconds: self.lifetime,
        });
        if !value.methods.iter().any(|method| method == BY_TRUST) {
            value.methods.push(BY_TRUST.to_owned());
        }
        put(out, client, &now, &value, &self.change)
    }
}

fn path(application: &str) -> [&str; 3] {
    ["applications", application, "authentication"]
}

fn put(
    out: &mut Out,
    client: &mut Client,
    now: &Entity,
    value: &Value,
    change: &Change,
) -> Result<(), Failure> {
    let call = Call::change(Method::PUT, &path(&now.id), change).body(value)?;
    client.show(out, call.if_version(now.version), describe)
}

/// How an application may authenticate, for people.
pub fn describe(value: Value) -> Details {
    let mut lines = vec![detail("methods", value.methods.join(" "))];
    if let Some(keys) = &value.jwks {
        lines.push(details("keys", key_names(keys)));
    }
    lines.extend(value.jwks_uri.map(|uri| detail("keys at", uri)));
    lines.extend(value.certificate_subject.map(|subject| {
        let (kind, name) = match subject {
            CertificateSubject::Dn(name) => ("dn", name),
            CertificateSubject::Dns(name) => ("dns", name),
            CertificateSubject::Uri(name) => ("uri", name),
            CertificateSubject::Ip(name) => ("ip", name),
            CertificateSubject::Email(name) => ("email", name),
        };
        detail("certificate subject", format!("{kind}:{name}"))
    }));
    if !value.certificates.is_empty() {
        lines.push(details("certificates", value.certificates));
    }
    if !value.trust.is_empty() {
        let rules = value.trust.iter().map(rule_line);
        lines.push(details("trust", rules.collect()));
    }
    lines.extend(value.profile.map(|profile| detail("profile", profile)));
    lines
}

fn rule_line(rule: &TrustRule) -> String {
    let claims = rule.claims.iter();
    let claims: String = claims
        .map(|(name, value)| format!("  {name}={value}"))
        .collect();
    let lifetime = rule.lifetime_seconds;
    let lifetime = lifetime.map(|seconds| format!("  at most {seconds} s"));
    format!(
        "{}  {} for {} by {}{claims}{}",
        rule.name,
        rule.subject,
        rule.audience,
        rule.issuer,
        lifetime.unwrap_or_default()
    )
}
