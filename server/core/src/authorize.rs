//! The token path's question: which scopes does this application get, for which API resources?
//! Pure and quick: it reads one version of the index and says so.

use crate::{
    Algorithm, ApiId, ApiResource, Application, ApplicationId, Audience, Binding, DetailsTypeName,
    Index, Name, OmittedScopes, PolicyBinding, PolicyMode, PolicyTarget, Position, ScopeBits,
    ScopeName, SecurityProfile, SenderConstraint, TokenType, UnauthorizedScopes, limits,
};
use std::sync::Arc;

/// What is asked for, as it came over the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The `scope` parameter (RFC 6749 §3.3): names separated by single spaces.
    pub scope: Option<&'a str>,
    /// The `resource` parameters (RFC 8707 §2), in their order.
    pub resources: &'a [&'a str],
    /// The types of the parameter `authorization_details` (RFC 9396 §2), in their order.
    pub details: &'a [&'a str],
    /// What the token can be bound to.
    pub binds: Binds,
}

/// What a request shows that a token can be bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binds {
    /// A DPoP proof (RFC 9449 §5).
    pub dpop: bool,
    /// A certificate of the client (RFC 8705 §3).
    pub certificate: bool,
}

/// The most that can be granted: what policies may shrink and never widen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    /// The application.
    pub application: Arc<Application>,
    /// Whom the token is about, where that is another application (RFC 8693).
    pub subject: Option<Arc<Application>>,
    /// The API resources the token is for: never none.
    pub apis: Vec<Arc<ApiResource>>,
    /// The scopes, sorted.
    pub scopes: Vec<ScopeName>,
    /// The types of authorization details, sorted.
    pub details: Vec<DetailsTypeName>,
    /// What the token is bound to.
    pub binding: Option<Binding>,
    /// Asked scopes that were left out (`scopes.unauthorized = "drop"`).
    pub dropped: Vec<Box<str>>,
    /// The values of `aud`.
    pub audience: Vec<Arc<str>>,
    /// The lifetime in seconds.
    pub lifetime_seconds: u32,
    /// The signature algorithm.
    pub algorithm: Algorithm,
    /// The `typ` of the header.
    pub typ: TokenType,
    /// The last event that this answer could depend on: the index it was made from.
    pub as_of: Position,
    /// The position of the last change of anything it does depend on.
    pub version: Position,
    /// The policies that judge it, in the order in which they are asked: those of the server, of
    /// each API resource, of the application. The management API's tokens are not judged by those
    /// of the server: a bad policy must not lock administrators out.
    pub bindings: Vec<Arc<PolicyBinding>>,
    /// The names of the application's roles, sorted: what policies are told.
    pub roles: Vec<Name>,
}

impl Entitled {
    /// The values of `aud` of a token that has these of the scopes. An API resource that has lost
    /// all of its scopes is not in it: a token for it would be more than was granted.
    #[must_use]
    pub fn audience_of(&self, granted: &[ScopeName]) -> Vec<Arc<str>> {
        if granted.len() == self.scopes.len() {
            return self.audience.clone();
        }
        let owned = |api: &ApiResource, scopes: &[ScopeName]| {
            scopes.iter().any(|scope| api.bit(scope.as_str()).is_some())
        };
        let left: Vec<Arc<ApiResource>> = self
            .apis
            .iter()
            .filter(|api| {
                let detailed = |one: &DetailsTypeName| api.details_type(one.as_str()).is_some();
                owned(api, granted)
                    || !owned(api, &self.scopes)
                    || self.details.iter().any(detailed)
            })
            .cloned()
            .collect();
        audience(&self.application, &left)
    }

    /// Whether it is for the management API, and so for nothing else.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.apis.iter().any(|api| api.is_management())
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The application is gone or disabled.
    #[error("the application is unknown or disabled")]
    ApplicationUnusable,
    /// A scope is not written as RFC 6749 §3.3 says, or there are too many.
    #[error(
        "the scope parameter is not a list of at most {} scope names separated by single spaces",
        limits::SCOPES_PER_REQUEST
    )]
    ScopeMalformed,
    /// Scopes are unknown or not granted.
    #[error("not granted to this application: {}", .scopes.join(" "))]
    ScopesUnauthorized {
        /// Which ones.
        scopes: Vec<Box<str>>,
    },
    /// Nothing is left, and no `resource` was named: the token would have no audience.
    #[error("no scope to grant: name the scopes, or the API resource by the parameter resource")]
    NothingToGrant,
    /// More scopes than a token may carry, though each is granted.
    #[error(
        "{count} scopes would be granted and a token carries at most {}; name those you need",
        limits::SCOPES_PER_REQUEST
    )]
    TooManyScopes {
        /// How many.
        count: usize,
    },
    /// Too many `resource` parameters.
    #[error("at most {} resource parameters", limits::RESOURCES_PER_REQUEST)]
    TooManyResources,
    /// A named API resource is unknown or not authorized: which of the two is not told.
    #[error("unknown or not authorized for this application: {resource}")]
    ResourceUnauthorized {
        /// Which one.
        resource: Box<str>,
    },
    /// Scopes of several API resources that are not all named.
    #[error("these scopes belong to several API resources; name each by the parameter resource, or ask for one at a time: {}", .identifiers.join(" "))]
    SeveralResources {
        /// Their identifiers.
        identifiers: Vec<Box<str>>,
    },
    /// The API resources want tokens that differ.
    #[error("these API resources want different kinds of token; ask for one at a time: {}", .identifiers.join(" "))]
    ProfilesDiffer {
        /// Their identifiers.
        identifiers: Vec<Box<str>>,
    },
    /// The API resources have more policies together than one token is judged by.
    #[error(
        "{count} policies would judge this token and {} are the most; name fewer API resources",
        limits::POLICIES_PER_TOKEN
    )]
    TooManyPolicies {
        /// How many.
        count: usize,
    },
    /// Types of authorization details are unknown or not granted: which of the two is not told.
    #[error("unknown or not granted types of authorization details: {}", .types.join(" "))]
    DetailsUnauthorized {
        /// Which ones.
        types: Vec<Box<str>>,
    },
    /// The token must be bound to something that the request does not show.
    #[error("the token must be bound to {}", bound_to(*.needed))]
    SenderUnconstrained {
        /// What would do.
        needed: SenderConstraint,
    },
    /// The application and the API resources want the token bound to different things.
    #[error("the application and the API resources want this token bound to different things")]
    SenderConstraintsDiffer,
    /// The token to exchange is not of an application whose tokens this one may exchange, or is not
    /// for an API that this one is.
    #[error("this application may not exchange this token")]
    ExchangeUnauthorized,
    /// The management API shares a token with nothing.
    #[error("the management API never shares a token with another API resource")]
    ManagementAlone,
}

impl Denial {
    /// The reason as a stable word, without anything of what was asked.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ApplicationUnusable => "application_unusable",
            Self::ScopeMalformed => "scope_malformed",
            Self::ScopesUnauthorized { .. } => "scopes_unauthorized",
            Self::NothingToGrant => "nothing_to_grant",
            Self::TooManyScopes { .. } => "too_many_scopes",
            Self::TooManyResources => "too_many_resources",
            Self::ResourceUnauthorized { .. } => "resource_unauthorized",
            Self::SeveralResources { .. } => "several_resources",
            Self::ProfilesDiffer { .. } => "profiles_differ",
            Self::TooManyPolicies { .. } => "too_many_policies",
            Self::DetailsUnauthorized { .. } => "details_unauthorized",
            Self::SenderUnconstrained { .. } => "sender_unconstrained",
            Self::SenderConstraintsDiffer => "sender_constraints_differ",
            Self::ExchangeUnauthorized => "exchange_unauthorized",
            Self::ManagementAlone => "management_alone",
        }
    }
}

/// Decides what an application is entitled to.
///
/// # Errors
/// A [`Denial`] when there is nothing to grant, or something must not be granted.
pub fn authorize(index: &Index, id: ApplicationId, ask: Ask<'_>) -> Result<Entitled, Denial> {
    let application = usable(index, id).ok_or(Denial::ApplicationUnusable)?;
    let settings = index.settings();

    let mut wanted = named_resources(index, application, ask.resources)?;
    let named = wanted.len();
    let mut dropped: Vec<Box<str>> = Vec::new();
    match ask.scope {
        Some(text) => {
            for name in split_scope(text)? {
                match permitted(index, application, name) {
                    Some((api, bit)) => add(index, &mut wanted, api, bit),
                    None => dropped.push(name.into()),
                }
            }
        }
        None if named > 0 => {
            for (api, scopes) in &mut wanted {
                *scopes = available(index, application, api);
            }
        }
        None if ask.details.is_empty() && settings.scopes_omitted == OmittedScopes::All => {
            for api in application
                .grants()
                .filter_map(|grant| index.api(grant.api))
            {
                let scopes = available(index, application, api);
                if !api.is_management() && !scopes.is_empty() {
                    wanted.push((Arc::clone(api), scopes));
                }
            }
        }
        None => {}
    }
    if !dropped.is_empty() && settings.scopes_unauthorized == UnauthorizedScopes::Reject {
        return Err(Denial::ScopesUnauthorized { scopes: dropped });
    }
    let details = permitted_details(index, application, ask.details, &mut wanted)?;
    if wanted.is_empty() {
        return Err(Denial::NothingToGrant);
    }
    check_together(&wanted, named, settings.scopes_combine_apis)?;

    let first = wanted[0].0.profile;
    let lifetimes = wanted
        .iter()
        .map(|(api, _)| {
            api.profile
                .lifetime_seconds
                .unwrap_or(settings.tokens_lifetime_seconds)
        })
        .chain(application.token_settings().lifetime_seconds);
    let lifetime_seconds = lifetimes.min().unwrap_or(settings.tokens_lifetime_seconds);
    let mut scopes: Vec<ScopeName> = wanted
        .iter()
        .flat_map(|(api, bits)| api.names(bits))
        .collect();
    scopes.sort_unstable();
    if scopes.len() > limits::SCOPES_PER_REQUEST {
        return Err(Denial::TooManyScopes {
            count: scopes.len(),
        });
    }
    let apis: Vec<Arc<ApiResource>> = wanted.into_iter().map(|(api, _)| api).collect();
    let binding = binding(index, application, &apis, ask.binds)?;
    let version = version(index, application, None, &apis, first.algorithm);
    let bindings = bindings(index, application, &apis)?;
    Ok(Entitled {
        bindings,
        roles: role_names(index, application),
        audience: audience(application, &apis),
        application: Arc::clone(application),
        subject: None,
        apis,
        scopes,
        details,
        binding,
        dropped,
        lifetime_seconds,
        algorithm: first.algorithm,
        typ: first.typ,
        as_of: index.head().unwrap_or_default(),
        version,
    })
}

/// A valid token that is to be exchanged (RFC 8693 §2.1).
#[derive(Clone, Copy, Debug)]
pub struct SubjectToken<'a> {
    /// Whom it is about.
    pub subject: ApplicationId,
    /// Its scopes.
    pub scopes: &'a [ScopeName],
    /// Its audience.
    pub audience: &'a [&'a str],
    /// How long it still lives, in seconds.
    pub remaining_seconds: u32,
    /// Whether it is bound to its sender.
    pub is_bound: bool,
}

/// Decides what an application is entitled to on behalf of another, whose token it presents: what
/// both may have now, of an API that the token is for no more than the token has, no longer than it
/// lives, and bound where it is bound. So nobody comes to more by it than each could have alone.
///
/// # Errors
/// A [`Denial`], as for [`authorize`].
pub fn authorize_exchange(
    index: &Index,
    id: ApplicationId,
    ask: Ask<'_>,
    token: SubjectToken<'_>,
) -> Result<Entitled, Denial> {
    let application = usable(index, id).ok_or(Denial::ApplicationUnusable)?;
    let exchange = application.exchange();
    let may = exchange.is_some_and(|exchange| exchange.subjects.contains(&token.subject));
    // It got the token by being called: whoever found one elsewhere has no business with it.
    let mut called = token
        .audience
        .iter()
        .filter_map(|aud| index.api_identified(aud));
    let subject = usable(index, token.subject);
    let (true, true, Some(subject)) = (may, called.any(|api| api.guards.contains(&id)), subject)
    else {
        return Err(Denial::ExchangeUnauthorized);
    };
    if !ask.details.is_empty() {
        // A token's details are finer than what grants say, so none could be shown to be no more.
        let types = ask.details.iter().map(|name| shown(name)).collect();
        return Err(Denial::DetailsUnauthorized { types });
    }
    let mut entitled = authorize(index, id, ask)?;
    if entitled.is_management() {
        return Err(Denial::ManagementAlone);
    }
    if token.is_bound && entitled.binding.is_none() {
        return Err(Denial::SenderUnconstrained {
            needed: SenderConstraint::Any,
        });
    }
    for api in &entitled.apis {
        if api.requires_authorization && subject.grant(api.id).is_none() {
            return Err(Denial::ResourceUnauthorized {
                resource: api.identifier.as_str().into(),
            });
        }
    }
    let within = |name: &ScopeName| {
        let (api, _) = permitted(index, subject, name.as_str())?;
        let api = index.api(api)?;
        let is_for = token.audience.contains(&api.identifier.as_str());
        (!is_for || token.scopes.contains(name)).then_some(())
    };
    let (kept, beyond): (Vec<ScopeName>, Vec<ScopeName>) = entitled
        .scopes
        .iter()
        .cloned()
        .partition(|name| within(name).is_some());
    let beyond: Vec<Box<str>> = beyond.iter().map(|name| name.as_str().into()).collect();
    let reject = index.settings().scopes_unauthorized == UnauthorizedScopes::Reject;
    if ask.scope.is_some() && reject && !beyond.is_empty() {
        return Err(Denial::ScopesUnauthorized { scopes: beyond });
    }
    if kept.is_empty() && ask.resources.is_empty() {
        return Err(Denial::NothingToGrant);
    }
    entitled.dropped.extend(beyond);
    entitled.audience = entitled.audience_of(&kept);
    entitled.scopes = kept;
    entitled.lifetime_seconds = entitled.lifetime_seconds.min(token.remaining_seconds);
    entitled.version = version(
        index,
        application,
        Some(subject),
        &entitled.apis,
        entitled.algorithm,
    );
    entitled.subject = Some(Arc::clone(subject));
    Ok(entitled)
}

fn usable(index: &Index, id: ApplicationId) -> Option<&Arc<Application>> {
    index.application(id).filter(|app| app.enabled)
}

/// The types of authorization details that an application may ask for. Their API resources join
/// those of the scopes.
fn permitted_details(
    index: &Index,
    application: &Application,
    asked: &[&str],
    wanted: &mut Wanted,
) -> Result<Vec<DetailsTypeName>, Denial> {
    let mut details: Vec<DetailsTypeName> = Vec::new();
    let mut unauthorized: Vec<Box<str>> = Vec::new();
    for name in asked {
        let granted = |api: &&Arc<ApiResource>| {
            let mut named = application.details(api.id).iter();
            !api.requires_authorization || named.any(|one| one.as_str() == *name)
        };
        let found = index.details_type(name).filter(granted);
        match found.and_then(|api| Some((api, api.details_type(name)?))) {
            Some((api, details_type)) => {
                if wanted.iter().all(|(other, _)| other.id != api.id) {
                    wanted.push((Arc::clone(api), ScopeBits::default()));
                }
                details.push(details_type.name.clone());
            }
            None => unauthorized.push(shown(name)),
        }
    }
    if !unauthorized.is_empty() {
        unauthorized.truncate(limits::DETAILS_PER_REQUEST);
        return Err(Denial::DetailsUnauthorized {
            types: unauthorized,
        });
    }
    details.sort_unstable();
    details.dedup();
    Ok(details)
}

/// What a token is bound to: to what its application, its API resources and the profile in force
/// demand, and to the key of a proof in any case, which nobody shows who does not want it.
fn binding(
    index: &Index,
    application: &Application,
    apis: &[Arc<ApiResource>],
    binds: Binds,
) -> Result<Option<Binding>, Denial> {
    let own = application.token_settings().sender_constraint;
    let strict = match application.profile(index.settings()) {
        SecurityProfile::None => SenderConstraint::None,
        SecurityProfile::Fapi2 => SenderConstraint::Any,
    };
    let demands = apis.iter().map(|api| api.profile.sender_constraint);
    let needed = demands
        .chain([own])
        .try_fold(strict, SenderConstraint::and)
        .ok_or(Denial::SenderConstraintsDiffer)?;
    match (needed, binds.dpop, binds.certificate) {
        (SenderConstraint::None | SenderConstraint::Dpop | SenderConstraint::Any, true, _) => {
            Ok(Some(Binding::Dpop))
        }
        (SenderConstraint::Mtls | SenderConstraint::Any, _, true) => Ok(Some(Binding::Mtls)),
        (SenderConstraint::None, false, _) => Ok(None),
        (needed, ..) => Err(Denial::SenderUnconstrained { needed }),
    }
}

fn bound_to(needed: SenderConstraint) -> &'static str {
    match needed {
        SenderConstraint::Dpop => "a key: send a DPoP proof (RFC 9449)",
        SenderConstraint::Mtls => "a client certificate: use mutual TLS (RFC 8705)",
        SenderConstraint::None | SenderConstraint::Any => {
            "its sender: send a DPoP proof (RFC 9449), or use mutual TLS (RFC 8705)"
        }
    }
}

/// The position of the last change of anything that an entitlement depends on; `None` when it
/// would not be given any more. A token leaves only while this is what the entitlement says.
#[must_use]
pub fn entitlement_version(index: &Index, entitled: &Entitled) -> Option<Position> {
    let application = index
        .application(entitled.application.id)
        .filter(|app| app.enabled)?;
    let apis: Option<Vec<Arc<ApiResource>>> = entitled
        .apis
        .iter()
        .map(|api| index.api(api.id).cloned())
        .collect();
    let subject = match &entitled.subject {
        Some(subject) => Some(usable(index, subject.id)?),
        None => None,
    };
    let subject = subject.map(AsRef::as_ref);
    Some(version(
        index,
        application,
        subject,
        &apis?,
        entitled.algorithm,
    ))
}

fn version(
    index: &Index,
    application: &Application,
    subject: Option<&Application>,
    apis: &[Arc<ApiResource>],
    algorithm: Algorithm,
) -> Position {
    let roles_of = |app: &Application| {
        let roles = app.roles.iter().filter_map(|role| index.role(*role));
        roles.map(|role| role.version).max()
    };
    let roles = roles_of(application);
    let subject = subject.and_then(|subject| roles_of(subject).max(Some(subject.version)));
    let key = index.active_key(algorithm).map(|key| key.version);
    let bound = targets(application, apis).filter_map(|target| index.bound_version(target));
    let parts = apis
        .iter()
        .map(|api| api.version)
        .chain(roles)
        .chain(key)
        .chain(subject);
    parts
        .chain(bound)
        .chain([application.version, index.settings().version])
        .max()
        .unwrap_or_default()
}

/// The policies that judge a token. Of too many the shadows are left out, which decide nothing.
fn bindings(
    index: &Index,
    application: &Application,
    apis: &[Arc<ApiResource>],
) -> Result<Vec<Arc<PolicyBinding>>, Denial> {
    let mut bindings: Vec<Arc<PolicyBinding>> = targets(application, apis)
        .flat_map(|target| index.bound(target).iter().cloned())
        .collect();
    let most = limits::POLICIES_PER_TOKEN;
    if bindings.len() > most {
        let obeyed = |one: &Arc<PolicyBinding>| one.mode == PolicyMode::Enforce;
        let count = bindings.iter().filter(|one| obeyed(one)).count();
        let mut room = most
            .checked_sub(count)
            .ok_or(Denial::TooManyPolicies { count })?;
        bindings.retain(|one| {
            let stays = obeyed(one) || room > 0;
            room -= usize::from(stays && !obeyed(one));
            stays
        });
    }
    Ok(bindings)
}

fn role_names(index: &Index, application: &Application) -> Vec<Name> {
    let roles = application.roles.iter().filter_map(|id| index.role(*id));
    let mut names: Vec<Name> = roles.map(|role| role.name.clone()).collect();
    names.sort_unstable();
    names
}

/// Whose policies judge a token, in their order.
fn targets(
    application: &Application,
    apis: &[Arc<ApiResource>],
) -> impl Iterator<Item = PolicyTarget> {
    let server = !apis.iter().any(|api| api.is_management());
    let apis = apis.iter().map(|api| PolicyTarget::ApiResource(api.id));
    server
        .then_some(PolicyTarget::Server)
        .into_iter()
        .chain(apis)
        .chain([PolicyTarget::Application(application.id)])
}

type Wanted = Vec<(Arc<ApiResource>, ScopeBits)>;

fn named_resources(
    index: &Index,
    application: &Application,
    resources: &[&str],
) -> Result<Wanted, Denial> {
    if resources.len() > limits::RESOURCES_PER_REQUEST {
        return Err(Denial::TooManyResources);
    }
    let mut wanted = Wanted::new();
    for resource in resources {
        let api = index
            .api_identified(resource)
            .filter(|api| !api.requires_authorization || application.grant(api.id).is_some())
            .ok_or_else(|| Denial::ResourceUnauthorized {
                resource: shown(resource),
            })?;
        if wanted.iter().all(|(other, _)| other.id != api.id) {
            wanted.push((Arc::clone(api), ScopeBits::default()));
        }
    }
    Ok(wanted)
}

/// As much of a text from outside as an answer repeats.
fn shown(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(limits::IDENTIFIER_BYTES)].into()
}

fn split_scope(text: &str) -> Result<Vec<&str>, Denial> {
    let names: Vec<&str> = text
        .split(' ')
        .take(limits::SCOPES_PER_REQUEST + 1)
        .collect();
    let well_formed = names.len() <= limits::SCOPES_PER_REQUEST
        && names.iter().all(|name| name.parse::<ScopeName>().is_ok());
    if well_formed {
        Ok(names)
    } else {
        Err(Denial::ScopeMalformed)
    }
}

/// All scopes of an API resource that an application may have.
fn available(index: &Index, application: &Application, api: &ApiResource) -> ScopeBits {
    if api.requires_authorization {
        index.granted(application, api.id)
    } else {
        api.all_scopes()
    }
}

fn permitted(index: &Index, application: &Application, name: &str) -> Option<(ApiId, u16)> {
    let (id, bit) = index.scope(name)?;
    available(index, application, index.api(id)?)
        .contains(bit)
        .then_some((id, bit))
}

fn add(index: &Index, wanted: &mut Wanted, id: ApiId, bit: u16) {
    match wanted.iter_mut().find(|(api, _)| api.id == id) {
        Some((_, scopes)) => scopes.insert(bit),
        None => {
            if let Some(api) = index.api(id) {
                wanted.push((Arc::clone(api), ScopeBits::from_iter([bit])));
            }
        }
    }
}

fn check_together(wanted: &Wanted, named: usize, combine: bool) -> Result<(), Denial> {
    if wanted.len() == 1 {
        return Ok(());
    }
    if wanted.iter().any(|(api, _)| api.is_management()) {
        return Err(Denial::ManagementAlone);
    }
    let identifiers = || {
        wanted
            .iter()
            .map(|(api, _)| api.identifier.as_str().into())
            .collect::<Vec<Box<str>>>()
    };
    if wanted.len() > named && !combine {
        return Err(Denial::SeveralResources {
            identifiers: identifiers(),
        });
    }
    let first = wanted[0].0.profile;
    let agree = wanted
        .iter()
        .all(|(api, _)| api.profile.algorithm == first.algorithm && api.profile.typ == first.typ);
    if agree {
        Ok(())
    } else {
        Err(Denial::ProfilesDiffer {
            identifiers: identifiers(),
        })
    }
}

/// The `aud` of the token. The management API's is always its own identifier and nothing else.
fn audience(application: &Application, apis: &[Arc<ApiResource>]) -> Vec<Arc<str>> {
    let identifiers = apis.iter().map(|api| api.identifier.shared());
    if apis.iter().any(|api| api.is_management()) {
        return identifiers.collect();
    }
    let settings = application.token_settings();
    let extra = settings
        .extra_audiences
        .iter()
        .map(crate::Identifier::shared);
    match settings.audience {
        Audience::Api => identifiers.chain(extra).collect(),
        Audience::ClientId => std::iter::once(application.id.to_string().into())
            .chain(extra)
            .collect(),
    }
}
