//! `writ api-resource …`: the APIs that are protected, and their scopes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;
use writ_api::{
    ApiResource as Entity, ChangeApiResource, ChangeTokenProfile, CreateApiResource, DetailsType,
    PutDetailsType, PutScope, Scope,
};

use super::Failure;
use super::output::{Details, Out, detail, details, lifetime, yes};
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read, Removal};

/// API resources: the APIs that are protected, with their scopes
#[derive(Args, Debug)]
pub struct ApiResource {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Register an API resource
    #[command(after_help = "Example:
  writ api-resource create https://courses.example/api --name 'Course Management API' \\
    --algorithm RS256 --scope 'courses:read=See courses' --scope courses:publish")]
    Create(Box<Create>),
    /// List all API resources
    #[command(after_help = "Example:
  writ api-resource list")]
    List {
        /// Only the one with this identifier
        #[arg(long, value_name = "URI")]
        identifier: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show an API resource with its scopes
    #[command(after_help = "Examples:
  writ api-resource show api_7
  writ api-resource show https://courses.example/api --as-of 41")]
    Show {
        /// Its id or its identifier
        api: String,
        #[command(flatten)]
        read: Read,
    },
    /// Change an API resource
    #[command(after_help = "Example:
  writ api-resource change api_7 --lifetime 300 --guard APPLICATION")]
    Change(Box<ChangeIt>),
    /// Remove an API resource
    #[command(after_help = "Example:
  writ api-resource remove api_7 --cascade --reason 'switched off'")]
    Remove {
        /// Its id or its identifier
        api: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Add a scope, or change its description
    #[command(after_help = "Example:
  writ api-resource add-scope api_7 courses:write --description 'Change courses'")]
    AddScope {
        /// The id or the identifier of the API resource
        api: String,
        /// The name of the scope, unique in the server
        scope: String,
        /// What it lets its holder do
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Remove a scope
    #[command(after_help = "Example:
  writ api-resource remove-scope api_7 courses:write --cascade")]
    RemoveScope {
        /// The id or the identifier of the API resource
        api: String,
        /// The name of the scope
        scope: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Add a type of authorization details (RFC 9396), or change it: this is all of it
    #[command(after_help = "Example:
  writ api-resource put-details-type https://pay.example payment_initiation \\
    --description 'Initiate payments' --schema payment.schema.json")]
    PutDetailsType {
        /// The id or the identifier of the API resource
        api: String,
        /// The name of the type, unique in the server
        #[arg(value_name = "TYPE")]
        name: String,
        /// What it lets its holder do
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A file with the JSON Schema that each of its objects must fulfil
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
        #[command(flatten)]
        change: Change,
    },
    /// Remove a type of authorization details
    #[command(after_help = "Example:
  writ api-resource remove-details-type https://pay.example payment_initiation --cascade")]
    RemoveDetailsType {
        /// The id or the identifier of the API resource
        api: String,
        /// The name of the type
        #[arg(value_name = "TYPE")]
        name: String,
        #[command(flatten)]
        removal: Removal,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Its identifier, an absolute URI: the audience of its tokens
    identifier: String,
    /// Its name
    #[arg(long)]
    name: String,
    /// A scope, with what it lets its holder do; may be repeated
    #[arg(long = "scope", value_name = "NAME[=DESCRIPTION]")]
    scopes: Vec<String>,
    /// Applications get its scopes without a grant
    #[arg(long)]
    open: bool,
    /// An application that is this API, and so may introspect its tokens; may be repeated
    #[arg(long = "guard", value_name = "APPLICATION")]
    guards: Vec<String>,
    #[command(flatten)]
    profile: Profile,
    #[command(flatten)]
    creation: Creation,
}

#[derive(Args, Debug)]
struct ChangeIt {
    /// Its id or its identifier
    api: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// Whether applications need a grant for its scopes
    #[arg(long, value_name = "true|false")]
    requires_authorization: Option<bool>,
    /// All applications that are this API; may be repeated
    #[arg(
        long = "guard",
        value_name = "APPLICATION",
        conflicts_with = "no_guards"
    )]
    guards: Vec<String>,
    /// No application is this API
    #[arg(long)]
    no_guards: bool,
    /// Tokens live as long as the server's setting says
    #[arg(long, conflicts_with = "lifetime")]
    default_lifetime: bool,
    #[command(flatten)]
    profile: Profile,
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Debug)]
#[group(skip)]
struct Profile {
    /// How its tokens are signed: ES256, RS256, PS256 or EdDSA
    #[arg(long)]
    algorithm: Option<String>,
    /// The `typ` of its tokens: at+jwt or JWT
    #[arg(long)]
    typ: Option<String>,
    /// How long its tokens live
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u32>,
    /// What its tokens must be bound to: none, dpop (RFC 9449), mtls (RFC 8705), or any of both
    #[arg(long, value_name = "BINDING")]
    sender_constraint: Option<String>,
}

impl Profile {
    fn change(self) -> ChangeTokenProfile {
        ChangeTokenProfile {
            algorithm: self.algorithm,
            typ: self.typ,
            lifetime_seconds: self.lifetime.map(Some),
            sender_constraint: self.sender_constraint,
        }
    }
}

impl ApiResource {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::Create(create) => client.show(out, create.call()?, describe),
            Verb::List {
                identifier,
                listing,
            } => {
                let filters = [("identifier", identifier)];
                let header = &["id", "identifier", "name", "algorithm", "scopes"];
                client.list(out, &["api-resources"], &listing, &filters, header, row)
            }
            Verb::Show { api, read } => {
                client.show(out, Call::get(&["api-resources", &api], &read), describe)
            }
            Verb::Change(change) => client.show(out, change.call()?, describe),
            Verb::Remove { api, removal } => {
                let call = Call::remove(&["api-resources", &api], &removal);
                client.done(out, call, &format!("removed {api}"))
            }
            Verb::AddScope {
                api,
                scope,
                description,
                change,
            } => {
                let path = ["api-resources", &api, "scopes", &scope];
                let call =
                    Call::change(Method::PUT, &path, &change).body(&PutScope { description })?;
                client.done(out, call, &format!("{scope} is a scope of {api}"))
            }
            Verb::RemoveScope {
                api,
                scope,
                removal,
            } => {
                let call = Call::remove(&["api-resources", &api, "scopes", &scope], &removal);
                client.done(out, call, &format!("removed {scope} from {api}"))
            }
            Verb::PutDetailsType {
                api,
                name,
                description,
                schema,
                change,
            } => {
                let body = PutDetailsType {
                    description,
                    schema: schema.as_deref().map(schema_in).transpose()?,
                };
                let path = ["api-resources", &api, "authorization-details-types", &name];
                let call = Call::change(Method::PUT, &path, &change).body(&body)?;
                client.show(out, call, describe_type)
            }
            Verb::RemoveDetailsType { api, name, removal } => {
                let path = ["api-resources", &api, "authorization-details-types", &name];
                let call = Call::remove(&path, &removal);
                client.done(out, call, &format!("removed {name} from {api}"))
            }
        }
    }
}

impl Create {
    fn call(self) -> Result<Call, Failure> {
        let scopes = self.scopes.iter().map(|given| scope(given)).collect();
        Call::create(&["api-resources"], self.creation).body(&CreateApiResource {
            identifier: self.identifier,
            name: self.name,
            requires_authorization: !self.open,
            profile: self.profile.change(),
            scopes,
            guards: self.guards,
        })
    }
}

impl ChangeIt {
    fn call(self) -> Result<Call, Failure> {
        let mut profile = self.profile.change();
        if self.default_lifetime {
            profile.lifetime_seconds = Some(None);
        }
        let body = ChangeApiResource {
            name: self.name,
            requires_authorization: self.requires_authorization,
            profile,
            guards: (self.no_guards || !self.guards.is_empty()).then_some(self.guards),
        };
        if body == ChangeApiResource::default() {
            let text = "nothing to change: say what by an option, see --help";
            return Err(Failure::Usage(text.to_owned()));
        }
        Call::change(Method::PATCH, &["api-resources", &self.api], &self.change).body(&body)
    }
}

fn scope(given: &str) -> Scope {
    let (name, description) = match given.split_once('=') {
        Some((name, description)) => (name, Some(description.to_owned())),
        None => (given, None),
    };
    Scope {
        name: name.to_owned(),
        description,
    }
}

fn schema_in(file: &Path) -> Result<Value, Failure> {
    let wrong = |text: String| Failure::Failed(format!("{}: {text}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(format!("no JSON: {error}")))
}

fn describe_type(it: DetailsType) -> Details {
    let mut lines = vec![detail("name", it.name)];
    lines.extend(it.description.map(|text| detail("description", text)));
    let schema = it.schema.map(|schema| schema.to_string());
    lines.extend(schema.map(|schema| detail("schema", schema)));
    lines
}

fn row(api: Entity) -> Vec<String> {
    let scopes: Vec<_> = api.scopes.into_iter().map(|scope| scope.name).collect();
    let algorithm = api.profile.algorithm;
    vec![
        api.id,
        api.identifier,
        api.name,
        algorithm,
        scopes.join(" "),
    ]
}

fn describe(api: Entity) -> Details {
    let scopes = api.scopes.into_iter().map(|scope| match scope.description {
        Some(description) => format!("{}  {description}", scope.name),
        None => scope.name,
    });
    let types = api.authorization_details_types.into_iter();
    let types = types.map(|it| match it.description {
        Some(description) => format!("{}  {description}", it.name),
        None => it.name,
    });
    vec![
        detail("id", api.id),
        detail("identifier", api.identifier),
        detail("name", api.name),
        detail("needs a grant", yes(api.requires_authorization)),
        detail("algorithm", api.profile.algorithm),
        detail("typ", api.profile.typ),
        detail("lifetime", lifetime(api.profile.lifetime_seconds)),
        detail("bound to", api.profile.sender_constraint),
        details("scopes", scopes.collect()),
        details("details types", types.collect()),
        details("guards", api.guards),
        detail("created", api.created_at),
        detail("version", api.version.to_string()),
    ]
}
