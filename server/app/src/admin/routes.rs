//! Every route of the admin API, on one page: the single source of truth for the dispatcher, the
//! OpenAPI document and the tests.

use super::body::is_json;
use super::{
    Call, Outcome, access, api_resources, applications, authentication, authentication_failures,
    bounds, changes, details_types, events, explanations, grants, initial_access_tokens, issuances,
    log, openapi, policies, roles, secrets, settings, signing_keys, stream, tokens,
    trusted_issuers,
};
use crate::app::App;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use writ_api as api;
use writ_core::ManagementScope as S;

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`, and `HEAD` with it
    Get,
    /// `PATCH`: members that are absent stay as they are
    Patch,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

impl Method {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What a route does to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads the index, now or as of a position: takes `as_of` and `Writ-Min-Position`.
    Read,
    /// Reads what has no past: takes `Writ-Min-Position`.
    Live,
    /// Reads records beside the admin log, which have no positions.
    Records,
    /// Follows the log: takes `Last-Event-ID`, and answers until one of both sides ends it.
    Stream,
    /// Is a command: takes `Idempotency-Key` and `Writ-Reason`.
    Change {
        /// Takes `If-Match`: there is something already that the caller may have seen.
        conditional: bool,
    },
    /// Answers a document that is the same for everybody.
    Document,
}

/// What a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// JSON (RFC 8259).
    #[default]
    Json,
    /// A WebAssembly module.
    Wasm,
    /// Server-Sent Events (HTML Living Standard §9.2).
    EventStream,
}

impl Media {
    /// Its name (RFC 6838).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Wasm => "application/wasm",
            Self::EventStream => "text/event-stream",
        }
    }

    /// Whether a `Content-Type` says so.
    pub(super) fn is_declared_by(self, content_type: &[u8]) -> bool {
        match self {
            Self::Json => is_json(content_type),
            Self::Wasm | Self::EventStream => content_type
                .trim_ascii()
                .eq_ignore_ascii_case(self.as_str().as_bytes()),
        }
    }
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Its type in JSON Schema.
    pub schema: &'static str,
}

/// The future of a handler: it may be finished by another thread than it was begun by.
pub type Handling = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A type as JSON Schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One route.
#[derive(Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path below `/api/v1`, with parameters in braces.
    pub path: &'static str,
    /// Its name for client generators.
    pub operation: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The scope that it needs; nothing for what is public. For reads it is checked before the
    /// handler; for changes it is what `Command::required_scope` says, at the serial point.
    pub scope: Option<S>,
    /// What it does to the log.
    pub kind: Kind,
    /// The parameters of its query, but for `as_of`, which every read has.
    pub query: Vec<Parameter>,
    /// The body it takes.
    pub body: Option<SchemaOf>,
    /// Whether there must be one.
    pub needs_body: bool,
    /// What the body is that it takes, and what it answers where that is no JSON.
    pub media: Media,
    /// What it answers.
    pub answer: Option<SchemaOf>,
    /// The status of that answer.
    pub status: u16,
    /// What does it.
    pub handler: fn(Arc<App>, Call) -> Handling,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

impl Route {
    /// The names that its query may have.
    #[must_use]
    pub fn query_names(&self) -> Vec<&'static str> {
        let as_of = matches!(self.kind, Kind::Read).then_some("as_of");
        self.query
            .iter()
            .map(|parameter| parameter.name)
            .chain(as_of)
            .collect()
    }

    fn takes<T: JsonSchema>(self) -> Self {
        Self {
            body: Some(|g| g.subschema_for::<T>()),
            needs_body: true,
            ..self
        }
    }

    fn may_take<T: JsonSchema>(self) -> Self {
        Self {
            body: Some(|g| g.subschema_for::<T>()),
            needs_body: false,
            ..self
        }
    }

    fn event_stream(self) -> Self {
        Self {
            media: Media::EventStream,
            ..self
        }
    }

    /// Takes, or answers, a module.
    fn wasm(self) -> Self {
        Self {
            media: Media::Wasm,
            ..self
        }
    }

    fn takes_module(self) -> Self {
        Self {
            body: Some(module_schema),
            needs_body: true,
            ..self.wasm()
        }
    }

    fn answers<T: JsonSchema>(self) -> Self {
        Self {
            answer: Some(|g| g.subschema_for::<T>()),
            ..self
        }
    }

    fn query(self, parameters: &[Parameter]) -> Self {
        Self {
            query: [&self.query, parameters].concat(),
            ..self
        }
    }
}

/// Every route.
pub fn routes() -> &'static [Route] {
    static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(table);
    &ROUTES
}

const CASCADE: Parameter = Parameter {
    name: "cascade",
    description: "Whether what uses it is changed with it, in one change. Without it, something in \
                  use is not removed and the answer names the users.",
    schema: "boolean",
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "Most items, 1 to 200.",
    schema: "integer",
};
const AFTER: Parameter = Parameter {
    name: "after",
    description: "The `next` of the page before.",
    schema: "string",
};
const IDENTIFIER: Parameter = Parameter {
    name: "identifier",
    description: "Only the one with it.",
    schema: "string",
};
const NAME: Parameter = Parameter {
    name: "name",
    description: "Only with exactly this name.",
    schema: "string",
};
const ISSUER: Parameter = Parameter {
    name: "issuer",
    description: "Only the one whose tokens have this `iss`.",
    schema: "string",
};
const LABEL: Parameter = Parameter {
    name: "label",
    description: "Only with this label, as `key:value`.",
    schema: "string",
};
const TARGET: Parameter = Parameter {
    name: "target",
    description: "Only those of it: `server`, `api_resource/{id or identifier}` or \
                  `application/{id}`.",
    schema: "string",
};
const POLICY: Parameter = Parameter {
    name: "policy",
    description: "Only those of the policy with this digest.",
    schema: "string",
};
const FROM: Parameter = Parameter {
    name: "from",
    description: "The first position; the `next` of the page before is one.",
    schema: "integer",
};
const APPLICATION: Parameter = Parameter {
    name: "application",
    description: "Only about the application with this id.",
    schema: "string",
};
const CREDENTIAL: Parameter = Parameter {
    name: "credential",
    description: "Only those that this credential proved, by its id: a secret's, say. Which tokens \
                  did a leaked secret get? These.",
    schema: "string",
};
const GRANTED: Parameter = Parameter {
    name: "scope",
    description: "Only tokens with this scope.",
    schema: "string",
};
const OUTCOME: Parameter = Parameter {
    name: "outcome",
    description: "Only those that ended so: `granted`, `denied` or `fault`.",
    schema: "string",
};
const WHY: Parameter = Parameter {
    name: "reason",
    description: "Only for this reason, such as `unknown_application`, `wrong_secret`, \
                  `expired_secret`, `disabled_application` or `wrong_initial_access_token`.",
    schema: "string",
};
const SINCE: Parameter = Parameter {
    name: "since",
    description: "Only from this RFC 3339 time on.",
    schema: "string",
};
const UNTIL: Parameter = Parameter {
    name: "until",
    description: "Only before this RFC 3339 time.",
    schema: "string",
};
const STREAM_FROM: Parameter = Parameter {
    name: "from",
    description: "The first position; without it, and without `Last-Event-ID`, the next to come.",
    schema: "integer",
};
const ENTITY: Parameter = Parameter {
    name: "entity",
    description: "Only events about it, such as `application/01j…`, `api_resource/api_7`, \
                  `role/role_3`, `trusted_issuer/issuer_2`, `initial_access_token/iat_1`, \
                  `settings`.",
    schema: "string",
};
const CHANGED_FROM: Parameter = Parameter {
    name: "from",
    description: "The state before, as a position or an RFC 3339 time: changes after it are \
                  answered. The `next` of the page before is one. Where absent: all changes.",
    schema: "string",
};
const ACTOR: Parameter = Parameter {
    name: "actor",
    description: "Only changes by it: an application's id, `initial_access_token/{id}`, \
                  `operator/{id}` or `system/{id}`.",
    schema: "string",
};
const POSITION: Parameter = Parameter {
    name: "position",
    description: "The event's place in the log.",
    schema: "integer",
};
const OLD_SIZE: Parameter = Parameter {
    name: "old_size",
    description: "How many events the checkpoint is about.",
    schema: "integer",
};
const API_RESOURCE: Parameter = Parameter {
    name: "api_resource",
    description: "Only of this API resource: its id, or its identifier.",
    schema: "string",
};
const SCOPE: Parameter = Parameter {
    name: "scope",
    description: "Only where this scope can be got.",
    schema: "string",
};
const DAYS: Parameter = Parameter {
    name: "days",
    description: "For so many days: at least 1, at most as many as records are kept.",
    schema: "integer",
};
const REASONS: Parameter = Parameter {
    name: "reasons",
    description: "Whether the texts of reasons are given, as far as they were not deleted.",
    schema: "boolean",
};

macro_rules! handler {
    ($handler:path) => {
        |app, call| Box::pin($handler(app, call))
    };
}

/// A row of the table.
macro_rules! route {
    ($method:ident $path:literal $operation:literal $scope:expr, $kind:expr, $status:literal,
     $handler:path, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            operation: $operation,
            summary: $summary,
            scope: $scope,
            kind: $kind,
            query: Vec::new(),
            body: None,
            needs_body: false,
            media: Media::Json,
            answer: None,
            status: $status,
            handler: handler!($handler),
        }
    };
}

const READ: Kind = Kind::Read;
const RECORDS: Kind = Kind::Records;
/// A change of something.
const CHANGE: Kind = Kind::Change { conditional: true };
/// A change that makes something, or ends something that has no version.
const MAKE: Kind = Kind::Change { conditional: false };

fn api_resource_routes() -> Vec<Route> {
    let (read, write) = (Some(S::ApiResourcesRead), Some(S::ApiResourcesWrite));
    vec![
        route!(Get "/api-resources" "listApiResources" read, READ, 200, api_resources::list,
            "Lists API resources")
        .query(&[LIMIT, AFTER, IDENTIFIER])
        .answers::<api::Page<api::ApiResource>>(),
        route!(Post "/api-resources" "createApiResource" write, MAKE, 201, api_resources::create,
            "Registers an API resource")
        .takes::<api::CreateApiResource>()
        .answers::<api::ApiResource>(),
        route!(Get "/api-resources/{id}" "getApiResource" read, READ, 200, api_resources::show,
            "Shows an API resource")
        .answers::<api::ApiResource>(),
        route!(Patch "/api-resources/{id}" "changeApiResource" write, CHANGE, 200,
            api_resources::change, "Changes an API resource")
        .takes::<api::ChangeApiResource>()
        .answers::<api::ApiResource>(),
        route!(Delete "/api-resources/{id}" "removeApiResource" write, CHANGE, 204,
            api_resources::remove, "Removes an API resource")
        .query(&[CASCADE]),
        route!(Get "/api-resources/{id}/scopes/{name}" "getScope" read, READ, 200,
            api_resources::show_scope, "Shows a scope")
        .answers::<api::Scope>(),
        route!(Put "/api-resources/{id}/scopes/{name}" "putScope" write, CHANGE, 200,
            api_resources::put_scope, "Adds a scope, or changes its description")
        .may_take::<api::PutScope>()
        .answers::<api::Scope>(),
        route!(Delete "/api-resources/{id}/scopes/{name}" "removeScope" write, CHANGE, 204,
            api_resources::remove_scope, "Removes a scope")
        .query(&[CASCADE]),
        route!(Get "/api-resources/{id}/authorization-details-types/{name}" "getDetailsType" read,
            READ, 200, details_types::show, "Shows a type of authorization details")
        .answers::<api::DetailsType>(),
        route!(Put "/api-resources/{id}/authorization-details-types/{name}" "putDetailsType" write,
            CHANGE, 200, details_types::put,
            "Adds a type of authorization details (RFC 9396), or changes it: this is all of it")
        .may_take::<api::PutDetailsType>()
        .answers::<api::DetailsType>(),
        route!(Delete "/api-resources/{id}/authorization-details-types/{name}" "removeDetailsType"
            write, CHANGE, 204, details_types::remove, "Removes a type of authorization details")
        .query(&[CASCADE]),
    ]
}

fn application_routes() -> Vec<Route> {
    let (read, write) = (Some(S::ApplicationsRead), Some(S::ApplicationsWrite));
    vec![
        route!(Get "/applications" "listApplications" read, READ, 200, applications::list,
            "Lists applications")
        .query(&[LIMIT, AFTER, NAME, LABEL])
        .answers::<api::Page<api::Application>>(),
        route!(Post "/applications" "createApplication" write, MAKE, 201, applications::create,
            "Creates an application; its secrets are added by themselves")
        .takes::<api::CreateApplication>()
        .answers::<api::Application>(),
        route!(Get "/applications/{id}" "getApplication" read, READ, 200, applications::show,
            "Shows an application")
        .answers::<api::Application>(),
        route!(Patch "/applications/{id}" "changeApplication" write, CHANGE, 200,
            applications::change, "Changes, disables or enables an application")
        .takes::<api::ChangeApplication>()
        .answers::<api::Application>(),
        route!(Delete "/applications/{id}" "removeApplication" write, CHANGE, 204,
            applications::remove, "Removes an application with its secrets and grants")
        .query(&[CASCADE]),
        route!(Post "/applications/{id}/revoke-tokens" "revokeApplicationTokens"
            Some(S::TokensRevoke), CHANGE, 200, applications::cut_tokens,
            "Ends all tokens of an application that were issued until now")
        .may_take::<api::Empty>()
        .answers::<api::Application>(),
        route!(Post "/applications/{id}/token-preview" "previewToken" read, READ, 200,
            tokens::preview, "Says what token an application would get, or why none; signs nothing")
        .may_take::<api::PreviewToken>()
        .answers::<api::TokenPreview>(),
    ]
}

/// How an application proves who it is, and what bounds what it gets.
fn protection_routes() -> Vec<Route> {
    let (read, write) = (Some(S::ApplicationsRead), Some(S::ApplicationsWrite));
    let (secrets, grants) = (Some(S::SecretsWrite), Some(S::GrantsWrite));
    vec![
        route!(Get "/applications/{id}/authentication" "getAuthentication" read, READ, 200,
            authentication::show, "Shows how an application may authenticate")
        .answers::<api::Authentication>(),
        route!(Put "/applications/{id}/authentication" "putAuthentication" secrets, CHANGE, 200,
            authentication::put,
            "Changes how an application may authenticate: this is all of it")
        .takes::<api::Authentication>()
        .answers::<api::Authentication>(),
        route!(Delete "/applications/{id}/authentication" "resetAuthentication" secrets, CHANGE,
            204, authentication::reset,
            "Lets an application authenticate as usual again: by a secret, in the header or the \
             form"),
        route!(Get "/applications/{id}/quota" "getQuota" read, READ, 200, bounds::show_quota,
            "Shows how many tokens an application may get; there is nothing where it is not \
             limited")
        .answers::<api::Quota>(),
        route!(Put "/applications/{id}/quota" "putQuota" write, CHANGE, 200, bounds::put_quota,
            "Changes how many tokens an application may get: this is all of it")
        .takes::<api::Quota>()
        .answers::<api::Quota>(),
        route!(Delete "/applications/{id}/quota" "removeQuota" write, CHANGE, 204,
            bounds::remove_quota, "Lets an application have as many tokens as it asks for"),
        route!(Get "/applications/{id}/token-exchange" "getTokenExchange" read, READ, 200,
            bounds::show_exchange,
            "Shows whose tokens an application may exchange (RFC 8693); there is nothing where it \
             is nobody's")
        .answers::<api::TokenExchange>(),
        route!(Put "/applications/{id}/token-exchange" "putTokenExchange" grants, CHANGE, 200,
            bounds::put_exchange,
            "Changes whose tokens an application may exchange: this is all of it")
        .takes::<api::TokenExchange>()
        .answers::<api::TokenExchange>(),
        route!(Delete "/applications/{id}/token-exchange" "removeTokenExchange" grants, CHANGE,
            204, bounds::remove_exchange, "Lets an application exchange nobody's tokens"),
    ]
}

fn trusted_issuer_routes() -> Vec<Route> {
    let (read, write) = (Some(S::IssuersRead), Some(S::IssuersWrite));
    vec![
        route!(Get "/trusted-issuers" "listTrustedIssuers" read, READ, 200, trusted_issuers::list,
            "Lists the issuers whose tokens can prove applications")
        .query(&[LIMIT, AFTER, ISSUER])
        .answers::<api::Page<api::TrustedIssuer>>(),
        route!(Post "/trusted-issuers" "createTrustedIssuer" write, MAKE, 201,
            trusted_issuers::create,
            "Trusts an issuer; its tokens prove nobody until a trust rule of an application says so")
        .takes::<api::CreateTrustedIssuer>()
        .answers::<api::TrustedIssuer>(),
        route!(Get "/trusted-issuers/{id}" "getTrustedIssuer" read, READ, 200,
            trusted_issuers::show, "Shows a trusted issuer")
        .answers::<api::TrustedIssuer>(),
        route!(Patch "/trusted-issuers/{id}" "changeTrustedIssuer" write, CHANGE, 200,
            trusted_issuers::change, "Changes a trusted issuer")
        .takes::<api::ChangeTrustedIssuer>()
        .answers::<api::TrustedIssuer>(),
        route!(Delete "/trusted-issuers/{id}" "removeTrustedIssuer" write, CHANGE, 204,
            trusted_issuers::remove, "Removes a trusted issuer that no trust rule names"),
    ]
}

/// How applications may register themselves (RFC 7591).
fn registration_routes() -> Vec<Route> {
    let (read, write) = (
        Some(S::InitialAccessTokensRead),
        Some(S::InitialAccessTokensWrite),
    );
    vec![
        route!(Get "/initial-access-tokens" "listInitialAccessTokens" read, READ, 200,
            initial_access_tokens::list,
            "Lists the tokens by which applications register themselves")
        .query(&[LIMIT, AFTER])
        .answers::<api::Page<api::InitialAccessToken>>(),
        route!(Post "/initial-access-tokens" "createInitialAccessToken" write, MAKE, 201,
            initial_access_tokens::create,
            "Lets applications register themselves, within bounds; this answer alone shows the \
             token. With grants it needs `writ:grants:write` too")
        .takes::<api::CreateInitialAccessToken>()
        .answers::<api::NewInitialAccessToken>(),
        route!(Get "/initial-access-tokens/{id}" "getInitialAccessToken" read, READ, 200,
            initial_access_tokens::show, "Shows an initial access token, without the token itself")
        .answers::<api::InitialAccessToken>(),
        route!(Delete "/initial-access-tokens/{id}" "revokeInitialAccessToken" write, CHANGE, 204,
            initial_access_tokens::revoke,
            "Revokes an initial access token; what was registered by it stays"),
        route!(Delete "/applications/{id}/registration" "revokeRegistration"
            Some(S::SecretsWrite), CHANGE, 204, initial_access_tokens::revoke_registration,
            "Ends the registration access token of an application that registered itself"),
    ]
}

fn secret_and_grant_routes() -> Vec<Route> {
    let read = Some(S::ApplicationsRead);
    let (secrets, grants) = (Some(S::SecretsWrite), Some(S::GrantsWrite));
    vec![
        route!(Get "/applications/{id}/secrets" "listSecrets" read, READ, 200, secrets::list,
            "Lists the secrets of an application, without the secrets themselves")
        .query(&[LIMIT, AFTER])
        .answers::<api::Page<api::Secret>>(),
        route!(Post "/applications/{id}/secrets" "addSecret" secrets, CHANGE, 201, secrets::create,
            "Adds a secret to an application; this answer alone shows it")
        .may_take::<api::CreateSecret>()
        .answers::<api::NewSecret>(),
        route!(Post "/applications/{id}/rotate-secret" "rotateSecret" secrets, CHANGE, 201,
            secrets::rotate,
            "Adds a secret and lets the older ones end after an overlap, in one change; those that \
             have ended are removed. This answer alone shows the secret")
        .may_take::<api::RotateSecret>()
        .answers::<api::NewSecret>(),
        route!(Get "/applications/{id}/secrets/{secret_id}" "getSecret" read, READ, 200,
            secrets::show, "Shows when a secret was made, when it expires and when it was last used")
        .answers::<api::Secret>(),
        route!(Delete "/applications/{id}/secrets/{secret_id}" "revokeSecret" secrets, CHANGE, 204,
            secrets::remove, "Revokes a secret"),
        route!(Get "/applications/{id}/credentials" "listCredentialUses" read, Kind::Live, 200,
            secrets::uses, "Lists which credentials an application uses: secrets, keys, \
             certificates, trust rules, and when it did last")
        .query(&[LIMIT, AFTER])
        .answers::<api::Page<api::CredentialUse>>(),
        route!(Get "/applications/{id}/authorized-apis" "listGrants" read, READ, 200, grants::list,
            "Lists the API resources that an application is authorized to")
        .query(&[LIMIT, AFTER])
        .answers::<api::Page<api::Grant>>(),
        route!(Post "/applications/{id}/authorized-apis" "addGrant" grants, CHANGE, 201,
            grants::create, "Authorizes an application to an API resource")
        .takes::<api::CreateGrant>()
        .answers::<api::Grant>(),
        route!(Get "/applications/{id}/authorized-apis/{api_id}" "getGrant" read, READ, 200,
            grants::show, "Shows a grant")
        .answers::<api::Grant>(),
        route!(Patch "/applications/{id}/authorized-apis/{api_id}" "changeGrant" grants, CHANGE,
            200, grants::change, "Changes a grant")
        .takes::<api::ChangeGrant>()
        .answers::<api::Grant>(),
        route!(Delete "/applications/{id}/authorized-apis/{api_id}" "removeGrant" grants, CHANGE,
            204, grants::remove, "Removes a grant"),
        route!(Put "/applications/{id}/authorized-apis/{api_id}/authorization-details-types"
            "putGrantDetails" grants, CHANGE, 200, grants::put_details,
            "Changes the types of authorization details of a grant: these are all")
        .takes::<api::PutGrantDetails>()
        .answers::<api::Grant>(),
        route!(Put "/applications/{id}/roles/{role_id}" "assignRole" grants, CHANGE, 200,
            grants::assign_role, "Assigns a role to an application")
        .may_take::<api::Empty>()
        .answers::<api::AssignedRole>(),
        route!(Delete "/applications/{id}/roles/{role_id}" "unassignRole" grants, CHANGE, 204,
            grants::unassign_role, "Takes a role from an application"),
    ]
}

fn role_and_setting_routes() -> Vec<Route> {
    let (read, write) = (Some(S::RolesRead), Some(S::RolesWrite));
    vec![
        route!(Get "/roles" "listRoles" read, READ, 200, roles::list, "Lists roles")
            .query(&[LIMIT, AFTER, NAME])
            .answers::<api::Page<api::Role>>(),
        route!(Post "/roles" "createRole" write, MAKE, 201, roles::create, "Creates a role")
            .takes::<api::CreateRole>()
            .answers::<api::Role>(),
        route!(Get "/roles/{id}" "getRole" read, READ, 200, roles::show, "Shows a role")
            .answers::<api::Role>(),
        route!(Patch "/roles/{id}" "changeRole" write, CHANGE, 200, roles::change, "Changes a role")
            .takes::<api::ChangeRole>()
            .answers::<api::Role>(),
        route!(Delete "/roles/{id}" "removeRole" write, CHANGE, 204, roles::remove,
            "Removes a role")
        .query(&[CASCADE]),
        route!(Get "/settings" "getSettings" Some(S::SettingsRead), READ, 200, settings::show,
            "Shows the settings of the server")
        .answers::<api::Settings>(),
        route!(Patch "/settings" "changeSettings" Some(S::SettingsWrite), CHANGE, 200,
            settings::change, "Changes settings")
        .takes::<api::Settings>()
        .answers::<api::Settings>(),
    ]
}

fn key_and_log_routes() -> Vec<Route> {
    let (read, write) = (Some(S::KeysRead), Some(S::KeysWrite));
    vec![
        route!(Get "/signing-keys" "listSigningKeys" read, READ, 200, signing_keys::list,
            "Lists signing keys")
        .query(&[LIMIT, AFTER])
        .answers::<api::Page<api::SigningKey>>(),
        route!(Post "/signing-keys" "createSigningKey" write, MAKE, 201, signing_keys::create,
            "Makes a signing key and publishes it")
        .takes::<api::CreateSigningKey>()
        .answers::<api::SigningKey>(),
        route!(Get "/signing-keys/{kid}" "getSigningKey" read, READ, 200, signing_keys::show,
            "Shows a signing key")
        .answers::<api::SigningKey>(),
        route!(Post "/signing-keys/{kid}/activate" "activateSigningKey" write, CHANGE, 200,
            signing_keys::activate, "Makes a published key the one that signs")
        .may_take::<api::Empty>()
        .answers::<api::SigningKey>(),
        route!(Post "/signing-keys/{kid}/retire" "retireSigningKey" write, CHANGE, 200,
            signing_keys::retire, "Retires a published key that never signed")
        .may_take::<api::Empty>()
        .answers::<api::SigningKey>(),
        route!(Post "/signing-keys/{kid}/revoke" "revokeSigningKey" write, CHANGE, 200,
            signing_keys::revoke,
            "Revokes a compromised key at once; an active one is replaced in the same change")
        .may_take::<api::Empty>()
        .answers::<api::SigningKey>(),
        route!(Post "/tokens/revoke" "revokeToken" Some(S::TokensRevoke), MAKE, 204, tokens::revoke,
            "Revokes one token of any application")
        .takes::<api::RevokeToken>(),
        route!(Get "/events" "listEvents" Some(S::AuditRead), READ, 200, events::list,
            "Lists events as they are stored, in their order")
        .query(&[FROM, LIMIT, ENTITY, REASONS])
        .answers::<api::Page<api::Event>>(),
        route!(Get "/events/stream" "followEvents" Some(S::AuditRead), Kind::Stream, 200,
            stream::follow,
            "Sends events as they come, as Server-Sent Events: `id` is the position, `event` the \
             kind, `data` what `/events` answers. Ends with the token that it was opened by")
        .query(&[STREAM_FROM])
        .event_stream(),
        route!(Get "/log/checkpoint" "getCheckpoint" Some(S::AuditRead), Kind::Live, 200,
            log::checkpoint, "Signs what the log is now: keep the answer where nobody who can write \
            the server's disk can change it")
        .answers::<api::LogCheckpoint>(),
        route!(Get "/log/proof" "getProof" Some(S::AuditRead), Kind::Live, 200, log::proof,
            "Proves that an event is in the log")
        .query(&[POSITION])
        .answers::<api::LogProof>(),
        route!(Get "/log/consistency" "getConsistency" Some(S::AuditRead), Kind::Live, 200,
            log::consistency, "Proves that the log of now begins with the log of a checkpoint")
        .query(&[OLD_SIZE])
        .answers::<api::LogConsistency>(),
        route!(Get "/log/index" "getIndexDigest" Some(S::AuditRead), READ, 200, log::index,
            "Answers the digest of the whole grant index, for a replay to be compared with")
        .answers::<api::IndexDigest>(),
        route!(Get "/issuances" "listIssuances" Some(S::AuditRead), RECORDS, 200, issuances::list,
            "Lists token decisions about authenticated applications as they are stored, in the \
             order of their arrival. A page looks at 10,000 records at most: one that has found \
             less than `limit`, or nothing, goes on with `next` where there is one")
        .query(&[LIMIT, AFTER, APPLICATION, CREDENTIAL, OUTCOME, GRANTED, SINCE, UNTIL])
        .answers::<api::Page<api::Issuance>>(),
        route!(Get "/issuances/{jti}" "getIssuance" Some(S::AuditRead), RECORDS, 200,
            issuances::show, "Shows a token decision as it is stored, by the `jti` of its token")
        .answers::<api::Issuance>(),
        route!(Get "/authentication-failures" "listAuthenticationFailures" Some(S::AuditRead),
            RECORDS, 200, authentication_failures::list,
            "Lists how often, by the minute, clients did not prove who they are. Several rows of \
             one kind add up; a page that has found less than `limit` goes on with `next` where \
             there is one")
        .query(&[LIMIT, AFTER, APPLICATION, WHY, SINCE, UNTIL])
        .answers::<api::Page<api::AuthenticationFailures>>(),
        route!(Get "/openapi.json" "getOpenApi" None, Kind::Document, 200, openapi::show,
            "Answers this document"),
    ]
}

fn audit_routes() -> Vec<Route> {
    let audit = Some(S::AuditRead);
    vec![
        route!(Get "/issuances/{jti}/explanation" "explainIssuance" audit, READ, 200,
            explanations::show,
            "Explains a recorded token decision: makes it again and compares, bit for bit")
        .answers::<api::Explanation>(),
        route!(Get "/access" "reviewAccess" audit, READ, 200, access::list,
            "Says who can get which scopes, through what; a page that has found less than `limit` \
             goes on with `next` where there is one")
        .query(&[LIMIT, AFTER, APPLICATION, API_RESOURCE, SCOPE])
        .answers::<api::Page<api::Access>>(),
        route!(Get "/access/unused" "listUnusedAccess" audit, RECORDS, 200, access::unused,
            "Says what can be got and was not got for days, by the records of issuances")
        .query(&[DAYS, AFTER])
        .answers::<api::UnusedAccess>(),
        route!(Get "/events/changes" "listChanges" audit, READ, 200, changes::list,
            "Says what changed between two states of the log, event by event; `as_of` is the later")
        .query(&[CHANGED_FROM, LIMIT, ENTITY, ACTOR])
        .answers::<api::Changes>(),
    ]
}

fn policy_routes() -> Vec<Route> {
    let (read, upload) = (Some(S::PoliciesRead), Some(S::PoliciesUpload));
    let (bind, unbind) = (Some(S::PoliciesBind), Some(S::PoliciesUnbind));
    vec![
        route!(Get "/policies" "listPolicies" read, READ, 200, policies::list,
            "Lists policies, in the order of their upload")
        .query(&[LIMIT, AFTER, NAME])
        .answers::<api::Page<api::Policy>>(),
        route!(Post "/policies" "uploadPolicy" upload, MAKE, 201, policies::upload,
            "Uploads a policy: checks and compiles its module, and asks it what it is")
        .takes_module()
        .answers::<api::Policy>(),
        route!(Get "/policies/{digest}" "getPolicy" read, READ, 200, policies::show,
            "Shows a policy")
        .answers::<api::Policy>(),
        route!(Get "/policies/{digest}/module" "getPolicyModule" read, READ, 200, policies::module,
            "Answers the module of a policy, as it was uploaded")
        .wasm(),
        route!(Delete "/policies/{digest}" "removePolicy" upload, CHANGE, 204, policies::remove,
            "Removes a policy that no binding uses; its module is kept for audits"),
        route!(Get "/policy-bindings" "listPolicyBindings" read, READ, 200, policies::list_bindings,
            "Lists what policies are bound to")
        .query(&[LIMIT, AFTER, TARGET, POLICY])
        .answers::<api::Page<api::PolicyBinding>>(),
        route!(Post "/policy-bindings" "bindPolicy" bind, MAKE, 201, policies::bind,
            "Binds a policy: from then on it judges tokens")
        .takes::<api::CreatePolicyBinding>()
        .answers::<api::PolicyBinding>(),
        route!(Get "/policy-bindings/{id}" "getPolicyBinding" read, READ, 200,
            policies::show_binding, "Shows a binding of a policy")
        .answers::<api::PolicyBinding>(),
        route!(Patch "/policy-bindings/{id}" "changePolicyBinding" bind, CHANGE, 200,
            policies::change_binding, "Changes a binding: another policy, other settings, another mode")
        .takes::<api::ChangePolicyBinding>()
        .answers::<api::PolicyBinding>(),
        route!(Post "/policy-bindings/{id}/rollback" "rollBackPolicyBinding" bind, CHANGE, 200,
            policies::roll_back,
            "Brings back a binding's policy, settings and claims from before their last change")
        .may_take::<api::Empty>()
        .answers::<api::PolicyBinding>(),
        route!(Delete "/policy-bindings/{id}" "unbindPolicy" unbind, CHANGE, 204, policies::unbind,
            "Takes a binding away: from then on its policy judges nothing by it"),
    ]
}

/// Bytes (OpenAPI 3.1 §4.8.14.2: a body that is no JSON has no schema to speak of).
fn module_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({})
}

fn table() -> Vec<Route> {
    [
        api_resource_routes(),
        application_routes(),
        protection_routes(),
        secret_and_grant_routes(),
        trusted_issuer_routes(),
        registration_routes(),
        role_and_setting_routes(),
        key_and_log_routes(),
        audit_routes(),
        policy_routes(),
    ]
    .concat()
}
