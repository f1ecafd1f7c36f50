//! `writ application …`: machine clients, their secrets, grants and roles.

mod authentication;
mod bounds;
mod key;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;
use writ_api::{
    Application as Entity, ChangeApplication, ChangeGrant, CreateApplication, CreateGrant,
    CreateSecret, Grant, NewSecret, PreviewToken, PutGrantDetails, RotateSecret, TokenPreview,
    TokenSettings,
};

use super::credentials::{Credentials, SecretFile, of_application};
use super::output::{Details, Out, clean, detail, details, lifetime, parse, yes};
use super::policy::verdict;
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read, Removal};
use super::role::words;
use super::values::{Assignment, by_name, seconds};
use super::{Failure, note};

/// Applications: machine clients, their secrets, grants and roles
#[derive(Args, Debug)]
pub struct Application {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Create an application with a secret, which is shown now and never again
    #[command(after_help = "Examples:
  writ application create 'Course publishing job' --secret-file job.json
  writ application create 'Nightly job' --key-file job.json
  writ application create reporter --label team=data --lifetime 300 --no-secret")]
    Create(Box<Create>),
    /// List all applications
    #[command(after_help = "Example:
  writ application list --label team=data --limit 20")]
    List {
        /// Only those with exactly this name
        #[arg(long)]
        name: Option<String>,
        /// Only those with this label
        #[arg(long, value_name = "KEY=VALUE")]
        label: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show an application with its secrets' ids, grants and roles
    #[command(after_help = "Example:
  writ application show APPLICATION --as-of 2026-03-03T09:00:00Z")]
    Show {
        /// Its id, which is its client_id
        application: String,
        #[command(flatten)]
        read: Read,
    },
    /// Change an application's name or what its tokens look like
    #[command(after_help = "Example:
  writ application change APPLICATION --lifetime 120 --extra-audience https://legacy.example")]
    Change(Box<ChangeIt>),
    /// Give an application another name
    #[command(after_help = "Example:
  writ application rename APPLICATION 'Nightly publishing job'")]
    Rename {
        /// Its id
        application: String,
        /// The new name
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Let an application authenticate again
    #[command(after_help = "Example:
  writ application enable APPLICATION")]
    Enable(One),
    /// Let an application authenticate no longer; its tokens become inactive
    #[command(after_help = "Example:
  writ application disable APPLICATION --reason 'INC-42'")]
    Disable(One),
    /// Remove an application
    #[command(after_help = "Example:
  writ application remove APPLICATION --reason 'replaced'")]
    Remove {
        /// Its id
        application: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Set and remove labels; the others stay
    #[command(after_help = "Example:
  writ application label APPLICATION team=data stage=prod --remove owner")]
    Label {
        /// Its id
        application: String,
        /// Labels with their values. They are permanent in the log: no personal data
        #[arg(value_name = "KEY=VALUE", required_unless_present = "remove")]
        labels: Vec<String>,
        /// A label to remove; may be repeated
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Authorize an application to an API resource
    #[command(after_help = "Example:
  writ application authorize APPLICATION https://courses.example/api \\
    courses:read-approved courses:publish")]
    Authorize {
        /// The id of the application
        application: String,
        /// The id or the identifier of the API resource
        api: String,
        /// The scopes it may have
        scopes: Vec<String>,
        /// none: it gets these scopes. rbac: those that its roles have too
        #[arg(long)]
        mode: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Change the scopes or the mode of a grant
    #[command(after_help = "Example:
  writ application change-grant APPLICATION api_7 --scopes 'courses:read courses:write'")]
    ChangeGrant {
        /// The id of the application
        application: String,
        /// The id or the identifier of the API resource
        api: String,
        /// All scopes it may have, separated by spaces
        #[arg(long)]
        scopes: Option<String>,
        /// none or rbac
        #[arg(long)]
        mode: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Take a grant away
    #[command(after_help = "Example:
  writ application deauthorize APPLICATION api_7")]
    Deauthorize {
        /// The id of the application
        application: String,
        /// The id or the identifier of the API resource
        api: String,
        #[command(flatten)]
        change: Change,
    },
    /// Add a secret, which is shown now and never again; the others stay good
    #[command(after_help = "Example:
  writ application add-secret APPLICATION --expires-at 2027-01-01T00:00:00Z --secret-file job.json")]
    AddSecret {
        /// The id of the application
        application: String,
        #[command(flatten)]
        secret: SecretOptions,
        #[command(flatten)]
        change: Change,
    },
    /// Add a secret, which is shown now and never again, and let the older ones end
    #[command(after_help = "Examples:
  writ application rotate-secret APPLICATION --secret-file job.new.json
  writ application rotate-secret APPLICATION --overlap 7d --reason 'yearly'")]
    RotateSecret {
        /// The id of the application
        application: String,
        /// How long the older secrets go on working: a whole number with s, m, h, d or w
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
        overlap: u32,
        #[command(flatten)]
        secret: SecretOptions,
        #[command(flatten)]
        change: Change,
    },
    /// Revoke a secret
    #[command(after_help = "Example:
  writ application revoke-secret APPLICATION SECRET --reason 'found in a repository'")]
    RevokeSecret {
        /// The id of the application
        application: String,
        /// The id of the secret, as `application show` shows it
        secret: String,
        #[command(flatten)]
        change: Change,
    },
    /// Make a key that proves an application: it stays on this machine, the server gets its public
    /// part
    #[command(after_help = "Examples:
  writ application add-key APPLICATION --key-file job.json
  writ application add-key ADMINISTRATOR --key-file admin.json --only

Verbs that are given such a file prove themselves by it, and their tokens of the admin API are bound
to it (RFC 9449). Secrets and other keys go on working, except with --only. A key is taken away with
`writ application authentication set APPLICATION --jwks FILE`, which names those that stay.")]
    AddKey(key::AddKey),
    /// List which of its credentials an application uses, and when it did last
    #[command(after_help = "Example:
  writ application credentials APPLICATION")]
    Credentials {
        /// The id of the application
        application: String,
        /// At most so many
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// End the registration access token of an application that registered itself (RFC 7592)
    #[command(after_help = "Example:
  writ application revoke-registration APPLICATION --reason 'found in a log file'")]
    RevokeRegistration(One),
    /// Say which types of authorization details a grant has (RFC 9396): these are all
    #[command(after_help = "Examples:
  writ application details-types APPLICATION https://pay.example payment_initiation
  writ application details-types APPLICATION https://pay.example --none")]
    DetailsTypes {
        /// The id of the application
        application: String,
        /// The id or the identifier of the API resource
        api: String,
        /// The types that it may ask for
        #[arg(value_name = "TYPE", required_unless_present = "none")]
        types: Vec<String>,
        /// No types at all
        #[arg(long, conflicts_with = "types")]
        none: bool,
        #[command(flatten)]
        change: Change,
    },
    /// How an application proves who it is: by a secret, a key, a certificate, tokens of others
    #[command(subcommand)]
    Authentication(authentication::Authentication),
    /// Rules by which tokens of trusted issuers prove an application
    #[command(subcommand)]
    Trust(authentication::Trust),
    /// How many tokens an application may get
    #[command(subcommand)]
    Quota(bounds::Quota),
    /// Whose tokens an application may exchange for its own use
    #[command(subcommand)]
    Exchange(bounds::Exchange),
    /// Give an application a role
    #[command(after_help = "Example:
  writ application assign-role APPLICATION role_3")]
    AssignRole(RoleOf),
    /// Take a role away from an application
    #[command(after_help = "Example:
  writ application unassign-role APPLICATION role_3")]
    UnassignRole(RoleOf),
    /// Revoke all tokens that an application has got until now
    #[command(after_help = "Example:
  writ application revoke-tokens APPLICATION --reason 'INC-42'")]
    RevokeTokens(One),
    /// Show what token an application would get, and why; nothing is signed
    #[command(after_help = "Example:
  writ application preview-token APPLICATION --scope courses:publish --attribute net.ip=192.0.2.1")]
    PreviewToken {
        /// The id of the application
        application: String,
        /// The scopes to ask for, separated by spaces
        #[arg(long)]
        scope: Option<String>,
        /// The identifier of an API resource to ask for; may be repeated
        #[arg(long = "resource", value_name = "IDENTIFIER")]
        resources: Vec<String>,
        /// The authorization details to ask for: a JSON array of objects with a `type`
        #[arg(long, value_name = "JSON")]
        authorization_details: Option<String>,
        /// A fact about the request, for the policies that read it; may be repeated. What follows
        /// from the time is always there
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<Assignment>,
        #[command(flatten)]
        read: Read,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Its name
    name: String,
    /// A label; may be repeated. Labels are permanent in the log: no personal data
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// What `aud` names in its tokens: api or client_id
    #[arg(long)]
    audience: Option<String>,
    /// A further audience of its tokens; may be repeated
    #[arg(long = "extra-audience", value_name = "URI")]
    extra_audiences: Vec<String>,
    /// How long its tokens live, if shorter than those of the API resource
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u32>,
    /// What its tokens must be bound to: none, dpop (RFC 9449), mtls (RFC 8705), or any of both
    #[arg(long, value_name = "BINDING")]
    sender_constraint: Option<String>,
    /// Make no secret
    #[arg(long, conflicts_with_all = ["secret_file", "expires_at"])]
    no_secret: bool,
    /// Make a key on this machine instead of a secret, and write credentials with it into this new
    /// file of mode 0600
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret_file", "expires_at", "no_secret"])]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    secret: SecretOptions,
    #[command(flatten)]
    creation: Creation,
}

#[derive(Args, Debug)]
#[group(skip)]
struct SecretOptions {
    /// Write credentials like admin.json into this new file, with mode 0600, and show nothing
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// When the secret stops working, as RFC 3339
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

#[derive(Args, Debug)]
struct ChangeIt {
    /// Its id
    application: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// What `aud` names in its tokens: api or client_id
    #[arg(long)]
    audience: Option<String>,
    /// All further audiences of its tokens; may be repeated
    #[arg(
        long = "extra-audience",
        value_name = "URI",
        conflicts_with = "no_extra_audiences"
    )]
    extra_audiences: Vec<String>,
    /// No further audiences
    #[arg(long)]
    no_extra_audiences: bool,
    /// How long its tokens live, if shorter than those of the API resource
    #[arg(long, value_name = "SECONDS", conflicts_with = "default_lifetime")]
    lifetime: Option<u32>,
    /// Its tokens live as long as the API resource says
    #[arg(long)]
    default_lifetime: bool,
    /// What its tokens must be bound to: none, dpop (RFC 9449), mtls (RFC 8705), or any of both
    #[arg(long, value_name = "BINDING")]
    sender_constraint: Option<String>,
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Debug)]
struct One {
    /// Its id
    application: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Debug)]
struct RoleOf {
    /// The id of the application
    application: String,
    /// The id of the role
    role: String,
    #[command(flatten)]
    change: Change,
}

impl Application {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let client = &mut Client::open(&self.connection)?;
        match self.verb {
            Verb::Create(create) => create.run(out, client),
            Verb::List {
                name,
                label,
                listing,
            } => {
                let label = label.as_deref().map(key_value).transpose()?;
                let label = label.map(|(key, value)| format!("{key}:{value}"));
                let filters = [("name", name), ("label", label)];
                let header = &["id", "name", "enabled", "authorized apis", "labels"];
                client.list(out, &["applications"], &listing, &filters, header, row)
            }
            Verb::Show { application, read } => {
                let call = Call::get(&["applications", &application], &read);
                client.show(out, call, describe)
            }
            Verb::Change(change) => change.run(out, client),
            Verb::Rename {
                application,
                name,
                change,
            } => {
                let name = Some(name);
                let body = ChangeApplication {
                    name,
                    ..ChangeApplication::default()
                };
                patch(out, client, &application, &change, &body, None)
            }
            Verb::Enable(one) => one.enable(out, client, true),
            Verb::Disable(one) => one.enable(out, client, false),
            Verb::Remove {
                application,
                removal,
            } => {
                let call = Call::remove(&["applications", &application], &removal);
                client.done(out, call, &format!("removed {application}"))
            }
            Verb::Label {
                application,
                labels,
                remove,
                change,
            } => label(out, client, &application, &labels, &remove, &change),
            Verb::Authorize {
                application,
                api,
                scopes,
                mode,
                change,
            } => {
                let scopes = words(&scopes);
                let path = ["applications", &application, "authorized-apis"];
                let call = Call::create(&path, change).body(&CreateGrant { api, scopes, mode })?;
                client.show(out, call, describe_grant)
            }
            Verb::ChangeGrant {
                application,
                api,
                scopes,
                mode,
                change,
            } => {
                if scopes.is_none() && mode.is_none() {
                    let text = "nothing to change: give --scopes or --mode";
                    return Err(Failure::Usage(text.to_owned()));
                }
                let scopes = scopes.map(|scopes| words(&[scopes]));
                let path = ["applications", &application, "authorized-apis", &api];
                let call = Call::change(Method::PATCH, &path, &change)
                    .body(&ChangeGrant { scopes, mode })?;
                client.show(out, call, describe_grant)
            }
            Verb::Deauthorize {
                application,
                api,
                change,
            } => {
                let path = ["applications", &application, "authorized-apis", &api];
                let call = Call::change(Method::DELETE, &path, &change);
                let what = format!("{application} is no longer authorized to {api}");
                client.done(out, call, &what)
            }
            Verb::AddSecret {
                application,
                secret,
                change,
            } => {
                let file = secret.file()?;
                let made = add_secret(client, &application, &secret, change)?;
                made.hand_over(out, client, file, None)
            }
            Verb::RevokeRegistration(one) => {
                let path = ["applications", &one.application, "registration"];
                let call = Call::change(Method::DELETE, &path, &one.change);
                let what = format!("{} no longer changes its registration", one.application);
                client.done(out, call, &what)
            }
            Verb::RotateSecret {
                application,
                overlap,
                secret,
                change,
            } => {
                let file = secret.file()?;
                let path = ["applications", &application, "rotate-secret"];
                let body = RotateSecret {
                    overlap_seconds: Some(overlap),
                    expires_at: secret.expires_at,
                };
                let made = client.fetch(Call::create(&path, change).body(&body)?);
                made.map(Made)?.hand_over(out, client, file, None)
            }
            Verb::RevokeSecret {
                application,
                secret,
                change,
            } => {
                let path = ["applications", &application, "secrets", &secret];
                let call = Call::change(Method::DELETE, &path, &change);
                client.done(out, call, &format!("revoked {secret}"))
            }
            Verb::AddKey(add) => add.run(out, client),
            Verb::Credentials { application, limit } => key::uses(out, client, &application, limit),
            Verb::DetailsTypes {
                application,
                api,
                types,
                none: _,
                change,
            } => {
                let path = [
                    "applications",
                    &application,
                    "authorized-apis",
                    &api,
                    "authorization-details-types",
                ];
                let body = PutGrantDetails {
                    authorization_details_types: types,
                };
                let call = Call::change(Method::PUT, &path, &change).body(&body)?;
                client.show(out, call, describe_grant)
            }
            Verb::Authentication(verb) => verb.run(out, client),
            Verb::Trust(verb) => verb.run(out, client),
            Verb::Quota(verb) => verb.run(out, client),
            Verb::Exchange(verb) => verb.run(out, client),
            Verb::AssignRole(of) => {
                let call = Call::change(Method::PUT, &of.path(), &of.change);
                client.done(out, call, &format!("{} has {}", of.application, of.role))
            }
            Verb::UnassignRole(of) => {
                let call = Call::change(Method::DELETE, &of.path(), &of.change);
                let what = format!("{} no longer has {}", of.application, of.role);
                client.done(out, call, &what)
            }
            Verb::RevokeTokens(one) => {
                let path = ["applications", &one.application, "revoke-tokens"];
                let call = Call::change(Method::POST, &path, &one.change).body(&json!({}))?;
                let what = format!("revoked all tokens of {} until now", one.application);
                client.done(out, call, &what)
            }
            Verb::PreviewToken {
                application,
                scope,
                resources,
                authorization_details,
                attributes,
                read,
            } => {
                let resource = resources;
                let authorization_details = match authorization_details {
                    Some(text) => serde_json::from_str(&text).map_err(|error| {
                        Failure::Usage(format!(
                            "--authorization-details is not a JSON array of objects: {error}"
                        ))
                    })?,
                    None => Vec::new(),
                };
                let attributes = by_name(&attributes, |given| Ok(given.value()))?;
                let path = ["applications", &application, "token-preview"];
                let call = Call::ask(&path, &read).body(&PreviewToken {
                    scope,
                    resource,
                    authorization_details,
                    attributes,
                })?;
                client.show(out, call, describe_preview)
            }
        }
    }
}

impl Create {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let file = self.secret.file()?;
        let mut labels = Vec::new();
        for label in &self.labels {
            labels.push(key_value(label)?);
        }
        let token_settings = TokenSettings {
            audience: self.audience,
            extra_audiences: self.extra_audiences,
            lifetime_seconds: self.lifetime,
            sender_constraint: self.sender_constraint,
        };
        let body = CreateApplication {
            name: self.name,
            labels: labels.into_iter().collect(),
            token_settings,
        };
        let call = Call::create(&["applications"], self.creation.clone()).body(&body)?;
        let created = client.send(call)?.value;
        let application: Entity = parse(&created)?;
        if let Some(file) = self.key_file {
            let change = Change {
                reason: self.creation.reason,
                ..Change::default()
            };
            let id = &application.id;
            let made = key::add(client, id, &file, true, &change);
            let kid = made.inspect_err(|_| {
                note(format_args!(
                    "the application {id} was created and has no key yet: `writ application \
                     add-key {id}` makes one"
                ));
            })?;
            let value = json!({
                "client_id": id, "kid": kid, "key_file": file, "application": created,
            });
            return out.result(&value, || {
                format!(
                    "created {id}; its key {kid} is in {} and nowhere else",
                    file.display()
                )
            });
        }
        if self.no_secret {
            return out.entity(&created, describe);
        }
        // The key that a person gives is for the whole call, which is two requests.
        let key = self.creation.idempotency_key;
        let creation = Creation {
            idempotency_key: key.map(|key| format!("{key}/secret")),
            reason: self.creation.reason,
        };
        let made = add_secret(client, &application.id, &self.secret, creation);
        let made = made.inspect_err(|_| {
            let id = &application.id;
            note(format_args!(
                "the application {id} was created and has no secret yet: \
                 `writ application add-secret {id}` makes one"
            ));
        })?;
        made.hand_over(out, client, file, Some(created))
    }
}

impl SecretOptions {
    fn file(&self) -> Result<Option<SecretFile>, Failure> {
        let path = self.secret_file.as_deref();
        path.map(SecretFile::create).transpose()
    }
}

/// A secret that the server just made.
struct Made(NewSecret);

fn add_secret(
    client: &mut Client,
    application: &str,
    options: &SecretOptions,
    change: impl Into<Change>,
) -> Result<Made, Failure> {
    let expires_at = options.expires_at.clone();
    let path = ["applications", application, "secrets"];
    let call = Call::create(&path, change).body(&CreateSecret { expires_at })?;
    client.fetch(call).map(Made)
}

impl Made {
    /// Shows the secret, or puts it into its file. `created` is the application, where it was made
    /// by the same call.
    fn hand_over(
        self,
        out: &mut Out,
        client: &Client,
        file: Option<SecretFile>,
        created: Option<Value>,
    ) -> Result<(), Failure> {
        let NewSecret {
            id,
            application,
            secret,
            expires_at,
            ..
        } = self.0;
        let Some(secret) = secret else {
            return Err(Failure::Failed(format!(
                "this repeats an earlier call, and the secret {id} was shown then: add another \
                 with `writ application add-secret {application}` and revoke that one"
            )));
        };
        let stored = match file {
            Some(mut file) => {
                file.fill(&Credentials {
                    client_secret: Some(secret.clone()),
                    ..of_application(client.credentials(), &application)
                })?;
                Some(file.path().display().to_string())
            }
            None => None,
        };
        if out.is_json() {
            let mut value = json!({ "client_id": application, "secret_id": id });
            if let Some(expires_at) = expires_at {
                value["expires_at"] = expires_at.into();
            }
            match stored {
                Some(path) => value["secret_file"] = path.into(),
                None => value["client_secret"] = secret.into(),
            }
            if let Some(created) = created {
                value["application"] = created;
            }
            return out.value(&value);
        }
        out.line(format_args!("client_id      {}", clean(&application)))?;
        match stored {
            Some(path) => out.line(format_args!("credentials    {path}")),
            None => {
                out.line(format_args!("client_secret  {}", clean(&secret)))?;
                note("Store the secret now: it is never shown again.");
                Ok(())
            }
        }
    }
}

impl ChangeIt {
    fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let settings = self.audience.is_some()
            || self.no_extra_audiences
            || !self.extra_audiences.is_empty()
            || self.lifetime.is_some()
            || self.default_lifetime
            || self.sender_constraint.is_some();
        if !settings && self.name.is_none() {
            let text = "nothing to change: say what by an option, see --help";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut body = ChangeApplication {
            name: self.name,
            ..ChangeApplication::default()
        };
        let mut version = None;
        if settings {
            // Token settings are changed as a whole, so the others are read first; the version
            // guards against somebody who changes them at the same time.
            let now = current(client, &self.application)?;
            let mut settings = now.token_settings;
            version = Some(now.version);
            settings.audience = self.audience.or(settings.audience);
            if self.no_extra_audiences || !self.extra_audiences.is_empty() {
                settings.extra_audiences = self.extra_audiences;
            }
            if self.default_lifetime || self.lifetime.is_some() {
                settings.lifetime_seconds = self.lifetime;
            }
            let constraint = self.sender_constraint;
            settings.sender_constraint = constraint.or(settings.sender_constraint);
            body.token_settings = Some(settings);
        }
        patch(out, client, &self.application, &self.change, &body, version)
    }
}

impl One {
    fn enable(self, out: &mut Out, client: &mut Client, enabled: bool) -> Result<(), Failure> {
        let body = ChangeApplication {
            enabled: Some(enabled),
            ..ChangeApplication::default()
        };
        patch(out, client, &self.application, &self.change, &body, None)
    }
}

impl RoleOf {
    fn path(&self) -> [&str; 4] {
        ["applications", &self.application, "roles", &self.role]
    }
}

fn label(
    out: &mut Out,
    client: &mut Client,
    application: &str,
    set: &[String],
    remove: &[String],
    change: &Change,
) -> Result<(), Failure> {
    let mut new = Vec::new();
    for label in set {
        new.push(key_value(label)?);
    }
    let now = current(client, application)?;
    let mut labels = now.labels;
    for key in remove {
        if labels.remove(key).is_none() {
            let text = format!("{application} has no label {key}");
            return Err(Failure::Failed(text));
        }
    }
    labels.extend(new);
    let body = ChangeApplication {
        labels: Some(labels),
        ..ChangeApplication::default()
    };
    patch(out, client, application, change, &body, Some(now.version))
}

fn current(client: &mut Client, application: &str) -> Result<Entity, Failure> {
    client.fetch(Call::get(&["applications", application], &Read::default()))
}

fn patch(
    out: &mut Out,
    client: &mut Client,
    application: &str,
    change: &Change,
    body: &ChangeApplication,
    version: Option<u64>,
) -> Result<(), Failure> {
    let path = ["applications", application];
    let mut call = Call::change(Method::PATCH, &path, change).body(body)?;
    if let Some(version) = version {
        call = call.if_version(version);
    }
    client.show(out, call, describe)
}

fn key_value(given: &str) -> Result<(String, String), Failure> {
    match given.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::Usage(format!(
            "`{given}` is no label: write KEY=VALUE"
        ))),
    }
}

fn overlap(given: &str) -> Result<u32, String> {
    let seconds = seconds(given, "smhdw").and_then(|seconds| seconds.try_into().ok());
    seconds.ok_or_else(|| "write a whole number with s, m, h, d or w, such as 24h".to_owned())
}

fn labels_of(application: &Entity) -> Vec<String> {
    let labels = application.labels.iter();
    labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

fn row(application: Entity) -> Vec<String> {
    let labels = labels_of(&application).join(" ");
    let apis = application.authorized_apis.into_iter();
    let apis: Vec<_> = apis.map(|grant| grant.identifier).collect();
    let enabled = yes(application.enabled);
    vec![
        application.id,
        application.name,
        enabled,
        apis.join(" "),
        labels,
    ]
}

fn describe(application: Entity) -> Details {
    let labels = labels_of(&application);
    let secrets = application.secrets.into_iter().map(|secret| {
        let expires = secret.expires_at.map(|at| format!(", expires {at}"));
        let created = secret.created_at;
        format!(
            "{}  created {created}{}",
            secret.id,
            expires.unwrap_or_default()
        )
    });
    let apis = application.authorized_apis.into_iter().map(|grant| {
        let mode = if grant.mode == "rbac" { " (rbac)" } else { "" };
        let types = grant.authorization_details_types;
        let types = (!types.is_empty()).then(|| format!("  details {}", types.join(" ")));
        format!(
            "{} {}{mode}  {}{}",
            grant.api,
            grant.identifier,
            grant.scopes.join(" "),
            types.unwrap_or_default()
        )
    });
    let roles = application.roles.into_iter();
    let roles = roles.map(|role| role.id);
    let settings = application.token_settings;
    let audience = settings.audience.unwrap_or_else(|| "api".to_owned());
    let constraint = settings.sender_constraint;
    let constraint = constraint.unwrap_or_else(|| "none".to_owned());
    let mut lines = vec![
        detail("id", application.id),
        detail("name", application.name),
        detail("enabled", yes(application.enabled)),
        details("labels", labels),
        detail("audience", audience),
        details("extra audiences", settings.extra_audiences),
        detail("lifetime", lifetime(settings.lifetime_seconds)),
        detail("bound to", constraint),
    ];
    lines.extend(authentication::describe(application.authentication));
    let registration = application.registration.as_ref();
    lines.extend(registration.map(|own| {
        detail(
            "registered by",
            format!("itself, by {}", own.initial_access_token),
        )
    }));
    lines.push(details("secrets", secrets.collect()));
    lines.push(details("authorized apis", apis.collect()));
    lines.push(details("roles", roles.collect()));
    let quota = application.quota.as_ref().map(bounds::quota_line);
    lines.extend(quota.map(|quota| detail("quota", quota)));
    let exchange = application.token_exchange;
    lines.extend(exchange.map(|exchange| details("exchanges tokens of", exchange.subjects)));
    lines.extend(
        application
            .tokens_cut_at
            .map(|at| detail("tokens cut at", at)),
    );
    lines.push(detail("created", application.created_at));
    lines.push(detail("version", application.version.to_string()));
    lines
}

fn describe_grant(grant: Grant) -> Details {
    vec![
        detail("api", grant.api),
        detail("identifier", grant.identifier),
        detail("mode", grant.mode),
        details("scopes", grant.scopes),
        details("details types", grant.authorization_details_types),
    ]
}

fn describe_preview(preview: TokenPreview) -> Details {
    let mut lines = vec![
        detail("granted", yes(preview.granted)),
        detail("as of", preview.as_of.to_string()),
    ];
    lines.extend(
        preview
            .header
            .map(|header| detail("header", header.to_string())),
    );
    lines.extend(
        preview
            .claims
            .map(|claims| detail("claims", claims.to_string())),
    );
    let seconds = preview.lifetime_seconds;
    lines.extend(seconds.map(|seconds| detail("lifetime", format!("{seconds} s"))));
    lines.extend(preview.sender_constraint.map(|how| detail("bound by", how)));
    if !preview.dropped.is_empty() {
        lines.push(details("dropped", preview.dropped));
    }
    lines.extend(preview.error.map(|error| detail("error", error)));
    lines.extend(preview.explanation.map(|why| detail("because", why)));
    if !preview.policies.is_empty() {
        let verdicts = preview.policies.iter().flat_map(verdict);
        lines.push(details("policies", verdicts.collect()));
    }
    lines
}
