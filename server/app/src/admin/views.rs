//! Any entity as the admin API shows it, for those who compare two states of one.

use super::{
    api_resources, applications, initial_access_tokens, policies, roles, settings, signing_keys,
    trusted_issuers,
};
use serde::Serialize;
use serde_json::Value;
use writ_core::{Entity, Index};

/// An entity as the admin API shows it; nothing where it is not there, and for what has no past
/// state to show: the server itself and single tokens. A secret is shown with its application.
pub(crate) fn entity_view(index: &Index, entity: &Entity) -> Option<Value> {
    match entity {
        Entity::ApiResource(id) => index.api(*id).map(|api| json(api_resources::view(api))),
        Entity::Application(id) | Entity::Secret(id, _) => {
            let application = index.application(*id)?;
            Some(json(applications::view(index, application)))
        }
        Entity::Policy(digest) => index.policy(*digest).map(|it| json(policies::view(it))),
        Entity::PolicyBinding(id) => {
            let binding = index.policy_binding(*id)?;
            Some(json(policies::binding_view(index, binding)))
        }
        Entity::Role(id) => index.role(*id).map(|role| json(roles::view(index, role))),
        // They are there from the first event on.
        Entity::Settings => index.head().map(|_| json(settings::view(index.settings()))),
        Entity::SigningKey(kid) => index
            .key(kid.as_str())
            .map(|key| json(signing_keys::view(key))),
        Entity::TrustedIssuer(id) => {
            let issuer = index.trusted_issuer(*id)?;
            Some(json(trusted_issuers::view(issuer)))
        }
        Entity::InitialAccessToken(id) => {
            let token = index.initial_access_token(*id)?;
            Some(json(initial_access_tokens::view(index, token)))
        }
        Entity::Server | Entity::Token(_) => None,
    }
}

fn json(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("answers are structs with text keys")
}
