//! What would be otherwise, and the index as it would be.

use crate::policies::{PolicyFault, Prepared, make};
use std::sync::Arc;
use writ_core::{
    Actor, ApiId, ApplicationId, BindingId, CommandId, Event, EventId, GrantRemoved, Index,
    Judgement, Name, PolicyBinding, PolicyBindingChanged, PolicyBindingCreated,
    PolicyBindingRemoved, PolicyDigest, PolicyMode, PolicySettings, PolicyTarget, Recorded,
    ScopeName, ScopeRemoved,
};
use writ_ledger::Fault;
use writ_sandbox::Policy;

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The candidate is no policy, or its settings do not suit it.
    #[error("the candidate: {0}")]
    Policy(#[from] PolicyFault),
    /// What it is to be bound to.
    #[error("{0} is no target: write server, api_resource/API or application/APPLICATION")]
    Target(String),
    /// The name of the candidate.
    #[error("the candidate's name: {0}")]
    Name(#[from] writ_core::ParseNameError),
    /// The log or the records cannot be read.
    #[error(transparent)]
    Disk(#[from] Fault),
    /// A record cannot be understood.
    #[error("the record {0} cannot be read: {1}")]
    Record(writ_core::Jti, serde_json::Error),
    /// Whoever was told of the differences wants no more.
    #[error("the differences cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

/// Something that would be otherwise.
#[derive(Clone, Debug)]
pub enum Change {
    /// A policy judges.
    Policy(Box<Candidate>),
    /// A grant is not there.
    WithoutGrant(GrantReference),
    /// A scope is not there.
    WithoutScope(ScopeName),
}

/// A grant, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantReference {
    /// Whose.
    pub application: ApplicationId,
    /// The API resource: its id or its identifier.
    pub api: String,
}

impl std::str::FromStr for GrantReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.split_once('/');
        let (application, api) = split.ok_or("write APPLICATION/API")?;
        Ok(Self {
            application: application
                .parse()
                .map_err(|_| format!("{application} is no id of an application"))?,
            api: api.to_owned(),
        })
    }
}

/// A policy that would judge: bound to a target and obeyed. It takes the place of what is bound there
/// of policies with its name; where there is nothing of that name, it judges besides.
#[derive(Clone)]
pub struct Candidate {
    target: Target,
    name: Name,
    judgement: Judgement,
    prepared: Arc<Prepared>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What a candidate is bound to. Identifiers are looked up in each version of the index.
#[derive(Clone, Debug)]
enum Target {
    Known(PolicyTarget),
    Identified(String),
}

/// The binding of a candidate that takes no other's place. Bindings are numbered from 0.
const BESIDE: BindingId = BindingId(u32::MAX - 1);
/// The order of a binding where nobody says another.
const ORDER: u32 = 100;

impl Candidate {
    /// Makes a candidate of a policy ([`Modules::load`](crate::audit::Modules::load)). It may add the
    /// claims that it declares.
    ///
    /// # Errors
    /// See [`BacktestError`].
    pub fn new(
        policy: Policy,
        settings: PolicySettings,
        target: &str,
    ) -> Result<Self, BacktestError> {
        let target = match (target.parse(), target.strip_prefix("api_resource/")) {
            (Ok(known), _) => Target::Known(known),
            (Err(_), Some(identifier)) if identifier.contains(':') => {
                Target::Identified(identifier.to_owned())
            }
            (Err(_), _) => return Err(BacktestError::Target(target.to_owned())),
        };
        let name = policy.descriptor().name.parse()?;
        let claims = policy.descriptor().claims.iter();
        let claims = claims.map(|claim| claim.as_str().into()).collect();
        let digest = PolicyDigest(*policy.digest());
        let (settings_digest, prepared) = make(policy, &settings)?;
        let judgement = Judgement {
            policy: digest,
            settings,
            settings_digest,
            claims,
        };
        Ok(Self {
            target,
            name,
            judgement,
            prepared: Arc::new(prepared),
        })
    }

    /// Whether a binding is its.
    pub(super) fn is(&self, binding: &PolicyBinding) -> bool {
        binding.judgement == self.judgement && binding.mode == PolicyMode::Enforce
    }

    /// The candidate, ready to be asked.
    pub(super) fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }

    fn target(&self, index: &Index) -> Option<PolicyTarget> {
        match &self.target {
            Target::Identified(identifier) => {
                let api = index.api_identified(identifier)?;
                Some(PolicyTarget::ApiResource(api.id))
            }
            Target::Known(PolicyTarget::Server) => Some(PolicyTarget::Server),
            Target::Known(known @ PolicyTarget::ApiResource(id)) => index.api(*id).map(|_| *known),
            Target::Known(known @ PolicyTarget::Application(id)) => {
                index.application(*id).map(|_| *known)
            }
        }
    }

    /// What would have bound it.
    fn events(&self, index: &Index) -> Vec<Event> {
        let Some(target) = self.target(index) else {
            return Vec::new();
        };
        let bound = index.bound(target).iter();
        let mut replaced = bound.filter(|binding| {
            let policy = index.policy(binding.judgement.policy);
            policy.is_some_and(|policy| policy.descriptor.name == self.name)
        });
        let judgement = self.judgement.clone();
        let mode = PolicyMode::Enforce;
        let first: Event = match replaced.next() {
            Some(binding) => PolicyBindingChanged {
                id: binding.id,
                target,
                mode,
                order: binding.order,
                judgement,
            }
            .into(),
            None => PolicyBindingCreated {
                id: BESIDE,
                target,
                mode,
                order: ORDER,
                judgement,
            }
            .into(),
        };
        let others = replaced.map(|binding| {
            let id = binding.id;
            PolicyBindingRemoved { id, target }.into()
        });
        std::iter::once(first).chain(others).collect()
    }
}

impl Change {
    /// What would have made it, had it been made on an index.
    fn events(&self, index: &Index) -> Vec<Event> {
        match self {
            Self::Policy(candidate) => candidate.events(index),
            Self::WithoutGrant(GrantReference { application, api }) => {
                let held = index.application(*application);
                let granted = api_of(index, api)
                    .filter(|api| held.is_some_and(|held| held.grant(*api).is_some()));
                let application = *application;
                let removed = granted.map(|api| GrantRemoved { application, api }.into());
                removed.into_iter().collect()
            }
            Self::WithoutScope(name) => {
                let scope = index.scope(name.as_str());
                let name = name.clone();
                let removed = scope.map(|(api, _)| ScopeRemoved { api, name }.into());
                removed.into_iter().collect()
            }
        }
    }

    /// Whether it is about the management API, whose tokens are left out otherwise.
    pub(super) fn is_about_management(&self, index: &Index) -> bool {
        let management = |id: ApiId| index.api(id).is_some_and(|api| api.is_management());
        match self {
            Self::Policy(candidate) => match candidate.target(index) {
                Some(PolicyTarget::ApiResource(id)) => management(id),
                Some(PolicyTarget::Server | PolicyTarget::Application(_)) | None => false,
            },
            Self::WithoutGrant(GrantReference { api, .. }) => {
                api_of(index, api).is_some_and(management)
            }
            Self::WithoutScope(name) => index
                .scope(name.as_str())
                .is_some_and(|(api, _)| management(api)),
        }
    }
}

fn api_of(index: &Index, text: &str) -> Option<ApiId> {
    let identified = index.api_identified(text).map(|api| api.id);
    identified.or_else(|| text.parse().ok())
}

/// An index as it would be with changes.
pub(super) fn changed(index: &Index, changes: &[Change]) -> Index {
    let mut changed = index.clone();
    for change in changes {
        for event in change.events(&changed) {
            changed.apply(&Recorded {
                position: changed.next_position(),
                id: EventId(0),
                at: changed.last_at(),
                actor: Actor::operator("backtest"),
                command: CommandId(0),
                sequence: 0,
                of: 1,
                idempotency: None,
                reason: None,
                correlation: None,
                cause: None,
                event,
            });
        }
    }
    changed
}
