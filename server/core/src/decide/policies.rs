//! The rules of policies and their bindings.

use super::{Events, api, application, at_most, user};
use crate::event::*;
use crate::{
    BindingId, Index, Judgement, Policy, PolicyBinding, PolicyDescriptor, PolicyDigest, PolicyMode,
    PolicyTarget, Refusal, User, limits,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn upload(
    index: &Index,
    digest: PolicyDigest,
    bytes: u64,
    descriptor: &PolicyDescriptor,
) -> Events {
    if index.policy(digest).is_some() {
        return Ok(Vec::new());
    }
    let what = "policies; remove some that are not bound";
    at_most(what, index.policy_count() + 1, limits::POLICIES)?;
    Ok(vec![
        PolicyUploaded {
            digest,
            bytes,
            descriptor: descriptor.clone(),
        }
        .into(),
    ])
}

/// What a rollback could bring back is used too.
pub(super) fn remove(index: &Index, digest: PolicyDigest) -> Events {
    policy(index, digest)?;
    let bindings = index.policy_bindings(None);
    let using = bindings.filter(|binding| binding.uses(digest));
    let users: Vec<User> = using.filter_map(|one| named(index, one)).collect();
    if !users.is_empty() {
        return Err(Refusal::in_use(users));
    }
    Ok(vec![PolicyRemoved { digest }.into()])
}

pub(super) fn bind(
    index: &Index,
    target: PolicyTarget,
    mode: PolicyMode,
    order: u32,
    judgement: &Judgement,
) -> Events {
    match target {
        PolicyTarget::Server => {}
        PolicyTarget::ApiResource(id) => drop(api(index, id)?),
        PolicyTarget::Application(id) => drop(application(index, id)?),
    }
    at_most(
        "policies bound to one target",
        index.bound(target).len() + 1,
        limits::BINDINGS_PER_TARGET,
    )?;
    Ok(vec![
        PolicyBindingCreated {
            id: index.next_binding(),
            target,
            mode,
            order,
            judgement: checked(index, judgement)?,
        }
        .into(),
    ])
}

pub(super) fn change(
    index: &Index,
    id: BindingId,
    mode: Option<PolicyMode>,
    order: Option<u32>,
    judgement: Option<&Judgement>,
) -> Events {
    let old = binding(index, id)?;
    let judgement = match judgement {
        Some(judgement) => checked(index, judgement)?,
        None => old.judgement.clone(),
    };
    let (mode, order) = (mode.unwrap_or(old.mode), order.unwrap_or(old.order));
    if (mode, order, &judgement) == (old.mode, old.order, &old.judgement) {
        return Ok(Vec::new());
    }
    Ok(vec![changed(old, mode, order, judgement)])
}

/// In one event, like every change of a binding: no token sees the policy of one version with the
/// settings of another.
pub(super) fn roll_back(index: &Index, id: BindingId) -> Events {
    let old = binding(index, id)?;
    match &old.previous {
        None => Err(Refusal::PolicyBindingUnchanged { id }),
        Some(previous) => Ok(vec![changed(
            old,
            old.mode,
            old.order,
            Judgement::clone(previous),
        )]),
    }
}

pub(super) fn unbind(index: &Index, id: BindingId) -> Events {
    Ok(vec![removed(binding(index, id)?)])
}

/// The bindings of something, as what uses it.
pub(super) fn users(index: &Index, target: PolicyTarget) -> Vec<User> {
    let bound = index.bound(target).iter();
    bound.filter_map(|binding| named(index, binding)).collect()
}

/// A binding by the name of its policy.
fn named(index: &Index, binding: &PolicyBinding) -> Option<User> {
    let policy = index.policy(binding.judgement.policy)?;
    let entity = Entity::PolicyBinding(binding.id);
    Some(user(entity, &policy.descriptor.name))
}

/// The bindings of something go when it goes.
pub(super) fn unbind_all(index: &Index, target: PolicyTarget) -> impl Iterator<Item = Event> {
    index.bound(target).iter().map(|binding| removed(binding))
}

/// Whoever has to recover may have been locked out by a policy: those that judge the management
/// API are still asked, and not obeyed.
pub(super) fn disarm(index: &Index, target: PolicyTarget) -> impl Iterator<Item = Event> {
    let armed = index
        .bound(target)
        .iter()
        .filter(|binding| binding.mode == PolicyMode::Enforce);
    armed.map(|old| changed(old, PolicyMode::Shadow, old.order, old.judgement.clone()))
}

fn changed(old: &PolicyBinding, mode: PolicyMode, order: u32, judgement: Judgement) -> Event {
    PolicyBindingChanged {
        id: old.id,
        target: old.target,
        mode,
        order,
        judgement,
    }
    .into()
}

fn removed(binding: &PolicyBinding) -> Event {
    PolicyBindingRemoved {
        id: binding.id,
        target: binding.target,
    }
    .into()
}

/// A judgement with its claims sorted, if its policy is known and can add them.
fn checked(index: &Index, judgement: &Judgement) -> Result<Judgement, Refusal> {
    let declared = &policy(index, judgement.policy)?.descriptor.claims;
    let claims: BTreeSet<&Box<str>> = judgement.claims.iter().collect();
    at_most(
        "claims of a policy binding",
        claims.len(),
        limits::CLAIMS_PER_BINDING,
    )?;
    if let Some(claim) = claims.iter().find(|claim| !declared.contains(claim)) {
        return Err(Refusal::ClaimUndeclared {
            claim: Box::clone(claim),
        });
    }
    Ok(Judgement {
        claims: claims.into_iter().cloned().collect(),
        ..judgement.clone()
    })
}

fn policy(index: &Index, digest: PolicyDigest) -> Result<&Arc<Policy>, Refusal> {
    index
        .policy(digest)
        .ok_or(Refusal::PolicyUnknown { digest })
}

fn binding(index: &Index, id: BindingId) -> Result<&Arc<PolicyBinding>, Refusal> {
    index
        .policy_binding(id)
        .ok_or(Refusal::PolicyBindingUnknown { id })
}
