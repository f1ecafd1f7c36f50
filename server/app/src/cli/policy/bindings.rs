//! Bindings: which policies a server asks about which tokens, with what settings.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value};
use ureq::http::Method;
use writ_api::{ChangePolicyBinding, CreatePolicyBinding, Policy, PolicyBinding};

use crate::cli::output::{Out, clean, parse};
use crate::cli::remote::{Call, Change, Client, Connection, Creation, Listing, Read};
use crate::cli::table::Table;
use crate::cli::values::{Assignment, assignments, by_name};
use crate::cli::{Failure, note};

use super::describe::{self, short};
use super::file;
use super::reference::{BindingReference, Reference};

const HEADER: &[&str] = &[
    "id", "target", "mode", "order", "policy", "digest", "settings",
];

/// Bind a policy to the tokens that it is to judge, from the next one on
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("bound").required(true).args(["server", "api", "application"])),
    after_help = "Examples:
  writ policy bind night-watch --api https://courses.example/api
  writ policy bind lifetime_cap_by_scope --server --setting 'caps=[\"courses:publish=300\"]'
  writ policy bind claims_from_labels@0.1.0 --application APPLICATION --claim tenant --shadow

A setting's value is JSON, or else text: cap=300, label=tenant, strict=true. `writ policy inspect
POLICY` shows which settings there are. With --shadow the policy is asked and its answers are
recorded, and nothing comes of them: a way to try it on real requests."
)]
pub struct Bind {
    /// Its digest, 8 or more digits that the digest begins with, NAME (the newest upload) or
    /// NAME@VERSION
    #[arg(value_name = "POLICY")]
    policy: Reference,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    settings: SettingOptions,
    /// A claim that it may add to tokens; may be repeated. None, unless given
    #[arg(long = "claim", value_name = "NAME")]
    claims: Vec<String>,
    /// Ask it and record what it says, and do not obey it
    #[arg(long)]
    shadow: bool,
    /// The smaller is asked first among those of a target; 100 unless given
    #[arg(long, value_name = "NUMBER")]
    order: Option<u32>,
    #[command(flatten)]
    creation: Creation,
    #[command(flatten)]
    connection: Connection,
}

/// List bindings: which policies judge which tokens
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy bindings
  writ policy bindings --api https://courses.example/api
  writ policy bindings --policy night-watch --as-of 2026-03-03T09:00:00Z")]
pub struct Bindings {
    #[command(flatten)]
    target: Target,
    /// Only those that use this policy; a name stands for all of its versions
    #[arg(long, value_name = "POLICY")]
    policy: Option<Reference>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

/// Show a binding with its settings, and what a rollback would bring back
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy binding binding_7
  writ policy binding night-watch --as-of 41")]
pub struct Show {
    /// Its id, or a policy that is bound once
    #[arg(value_name = "BINDING|POLICY")]
    binding: BindingReference,
    #[command(flatten)]
    read: Read,
    #[command(flatten)]
    connection: Connection,
}

/// Change a binding: another version of the policy, settings, claims, mode; all at once
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy rebind night-watch --policy night-watch@0.2.0
  writ policy rebind binding_7 --setting lifetime_max=60 --unset restricted
  writ policy rebind binding_7 --enforce --reason 'a week in shadow without surprises'

Every token is judged by the old binding or by the new one, never by a mixture. Settings that are
not named stay as they are, but for --settings, which replaces them all. `writ policy rollback`
brings back what was before.")]
pub struct Rebind {
    /// Its id, or a policy that is bound once
    #[arg(value_name = "BINDING|POLICY")]
    binding: BindingReference,
    /// Another policy, or another version of it: a digest, NAME (the newest upload) or NAME@VERSION
    #[arg(long, value_name = "POLICY")]
    policy: Option<Reference>,
    #[command(flatten)]
    settings: SettingOptions,
    /// A setting to take away, so that its default holds; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// All claims that it may add to tokens; may be repeated
    #[arg(long = "claim", value_name = "NAME", conflicts_with = "no_claims")]
    claims: Vec<String>,
    /// It may add no claims
    #[arg(long)]
    no_claims: bool,
    /// Obey it
    #[arg(long, conflicts_with = "shadow")]
    enforce: bool,
    /// Ask it and record what it says, and do not obey it
    #[arg(long)]
    shadow: bool,
    /// The smaller is asked first among those of a target
    #[arg(long, value_name = "NUMBER")]
    order: Option<u32>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    connection: Connection,
}

/// Take a binding away: the policy judges those tokens no longer
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy unbind night-watch
  writ policy unbind binding_7 --reason 'INC-42'")]
pub struct Unbind {
    #[command(flatten)]
    one: One,
}

/// Bring back a binding's policy, settings and claims from before their last change
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  writ policy rollback night-watch
  writ policy rollback binding_7 --reason 'INC-42'")]
pub struct Rollback {
    #[command(flatten)]
    one: One,
}

#[derive(Args, Debug)]
#[group(skip)]
struct One {
    /// Its id, or a policy that is bound once
    #[arg(value_name = "BINDING|POLICY")]
    binding: BindingReference,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    connection: Connection,
}

/// What is judged.
#[derive(Args, Debug)]
#[group(id = "target", multiple = false)]
struct Target {
    /// The tokens for all API resources but the management API
    #[arg(long)]
    server: bool,
    /// The tokens for an API resource, by its id or its identifier
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// The tokens of an application, by its id
    #[arg(long, value_name = "APPLICATION")]
    application: Option<String>,
}

/// What a policy is to work with.
#[derive(Args, Debug, Default)]
#[group(skip)]
pub struct SettingOptions {
    /// A setting; may be repeated. VALUE is JSON, or else text
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    given: Vec<Assignment>,
    /// A file with settings: a JSON object, as the admin API has it; - reads it from standard input
    #[arg(long = "settings", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl SettingOptions {
    fn is_empty(&self) -> bool {
        self.given.is_empty() && self.file.is_none()
    }

    /// The settings of the file, if one was named.
    pub fn of_file(&self) -> Result<Option<Map<String, Value>>, Failure> {
        self.file.as_deref().map(file::read_json).transpose()
    }

    /// Puts those that were given one by one over others. `kind` says of what kind a setting is,
    /// where there is such a setting.
    pub fn put_over<'k>(
        &self,
        settings: &mut Map<String, Value>,
        kind: impl Fn(&str) -> Option<&'k str>,
    ) -> Result<(), Failure> {
        settings.extend(by_name(&self.given, |given| match kind(&given.name) {
            Some(kind) => given.value_of_kind(kind),
            // That there is no such setting is said by whoever knows all of them.
            None => Ok(given.value()),
        })?);
        Ok(())
    }
}

impl Target {
    /// As the admin API names it.
    fn name(self) -> Option<String> {
        let api = self.api.map(|api| format!("api_resource/{api}"));
        let application = self.application.map(|id| format!("application/{id}"));
        api.or(application)
            .or_else(|| self.server.then(|| "server".to_owned()))
    }
}

impl Bind {
    /// Binds it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut settings = self.settings.of_file()?.unwrap_or_default();
        let mut client = Client::open(&self.connection)?;
        let policy = self.policy.newest(&mut client, &Read::default())?;
        self.settings
            .put_over(&mut settings, |name| kind(&policy, name))?;
        let body = CreatePolicyBinding {
            policy: policy.digest.clone(),
            target: self.target.name().unwrap_or_default(),
            settings,
            claims: self.claims,
            mode: self.shadow.then(|| "shadow".to_owned()),
            order: self.order,
        };
        let call = Call::create(&["policy-bindings"], self.creation).body(&body)?;
        let bound = client.send(call)?.value;
        out.entity(&bound, describe::binding)?;
        note_claims(&policy, &parse(&bound)?);
        Ok(())
    }
}

/// The kind of a policy's setting, if it has it.
fn kind<'p>(policy: &'p Policy, name: &str) -> Option<&'p str> {
    let mut settings = policy.settings.iter();
    let setting = settings.find(|setting| setting.name == name)?;
    Some(&setting.kind)
}

/// A policy whose claims nobody permitted works, and adds nothing: easily taken for a fault.
fn note_claims(policy: &Policy, binding: &PolicyBinding) {
    if policy.claims.is_empty() || !binding.judgement.claims.is_empty() {
        return;
    }
    let options = policy
        .claims
        .iter()
        .map(|claim| format!(" --claim {claim}"));
    let options: String = options.collect();
    note(format_args!(
        "{} can add claims to tokens and this binding permits none. To permit them: writ policy \
         rebind {}{}",
        clean(&policy.name),
        clean(&binding.id),
        clean(&options)
    ));
}

impl Bindings {
    /// Lists them.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let path = ["policy-bindings"];
        let mut filters = vec![("target", self.target.name())];
        let policy = match self.policy {
            None => return client.list(out, &path, &self.listing, &filters, HEADER, row),
            Some(Reference::Digest(digest)) => {
                filters.push(("policy", Some(digest)));
                return client.list(out, &path, &self.listing, &filters, HEADER, row);
            }
            Some(policy) => policy,
        };
        // What else a policy is called by is no filter of the server.
        let read = &self.listing.read;
        let all = client.collect(&path, read, &filters)?;
        let mut users = policy.users(all, &mut client, read)?;
        users.truncate(self.listing.limit.unwrap_or(usize::MAX));
        if out.is_json() {
            return out.value(&users);
        }
        if users.is_empty() {
            note("there are none");
        }
        let rows: Vec<_> = users.into_iter().map(row).collect();
        Table::new(HEADER).rows(out, &rows)
    }
}

fn row(binding: PolicyBinding) -> Vec<String> {
    let judgement = binding.judgement;
    vec![
        binding.id,
        binding.target,
        binding.mode,
        binding.order.to_string(),
        judgement.policy_name,
        short(&judgement.policy),
        assignments(&judgement.settings).join(" "),
    ]
}

impl Show {
    /// Shows it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        let id = self.binding.id(&mut client, &self.read)?;
        let call = Call::get(&["policy-bindings", &id], &self.read);
        client.show(out, call, describe::binding)
    }
}

impl Rebind {
    /// Changes it.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        if !self.changes_settings() && !self.changes_the_rest() {
            let text = "nothing to change: say what by an option, see --help";
            return Err(Failure::Usage(text.to_owned()));
        }
        let of_file = self.settings.of_file()?;
        let mut client = Client::open(&self.connection)?;
        let now = self.binding.find(&mut client, &Read::default())?;
        let policy = self.policy_after(&now, &mut client)?;
        let path = ["policy-bindings", &now.id];
        let mut call = Call::change(Method::PATCH, &path, &self.change);
        let mut settings = None;
        if self.changes_settings() {
            // Settings are changed as a whole. Where some of them stay, the version guards against
            // somebody who changes them at the same time.
            if of_file.is_none() {
                call = call.if_version(now.version);
            }
            let mut new = of_file.unwrap_or_else(|| now.judgement.settings.clone());
            for name in &self.unset {
                if new.remove(name).is_none() {
                    let text = format!("{} has no setting {} to unset", now.id, name);
                    return Err(Failure::Failed(clean(&text).into_owned()));
                }
            }
            let kind = |name: &str| policy.as_ref().and_then(|policy| kind(policy, name));
            self.settings.put_over(&mut new, kind)?;
            settings = Some(new);
        }
        let body = ChangePolicyBinding {
            policy: self
                .policy
                .and(policy.as_ref().map(|policy| policy.digest.clone())),
            settings,
            claims: (self.no_claims || !self.claims.is_empty()).then_some(self.claims),
            mode: mode(self.enforce, self.shadow),
            order: self.order,
        };
        let changed = client.send(call.body(&body)?)?.value;
        out.entity(&changed, describe::binding)?;
        match policy {
            Some(policy) if !self.no_claims => note_claims(&policy, &parse(&changed)?),
            _ => {}
        }
        Ok(())
    }

    /// The policy that is bound afterwards, where there is something to learn from it.
    fn policy_after(
        &self,
        now: &PolicyBinding,
        client: &mut Client,
    ) -> Result<Option<Policy>, Failure> {
        let policy = match &self.policy {
            Some(policy) => policy.clone(),
            None if self.settings.given.is_empty() => return Ok(None),
            None => Reference::Digest(now.judgement.policy.clone()),
        };
        policy.newest(client, &Read::default()).map(Some)
    }

    fn changes_settings(&self) -> bool {
        !self.settings.is_empty() || !self.unset.is_empty()
    }

    fn changes_the_rest(&self) -> bool {
        self.policy.is_some()
            || self.no_claims
            || !self.claims.is_empty()
            || self.enforce
            || self.shadow
            || self.order.is_some()
    }
}

fn mode(enforce: bool, shadow: bool) -> Option<String> {
    let enforce = enforce.then_some("enforce");
    enforce.or(shadow.then_some("shadow")).map(str::to_owned)
}

impl Unbind {
    /// Takes it away.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let (mut client, id) = self.one.open()?;
        let call = Call::change(Method::DELETE, &["policy-bindings", &id], &self.one.change);
        client.done(out, call, &format!("unbound {id}"))
    }
}

impl Rollback {
    /// Brings back what was before.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let (mut client, id) = self.one.open()?;
        let path = ["policy-bindings", &id, "rollback"];
        let call = Call::change(Method::POST, &path, &self.one.change);
        client.show(out, call, describe::binding)
    }
}

impl One {
    fn open(&self) -> Result<(Client, String), Failure> {
        let mut client = Client::open(&self.connection)?;
        let id = self.binding.id(&mut client, &Read::default())?;
        Ok((client, id))
    }
}
