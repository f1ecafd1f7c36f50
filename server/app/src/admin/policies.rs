//! `/policies` and `/policy-bindings`: what judges tokens, and where.

use super::call::{Call, choice, text};
use super::change::{self, change as execute, expecting, made};
use super::failure::shortened;
use super::page::{after, limit, page};
use super::read::{blocking, index as read};
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::policies::{Pin, PolicyFault};
use serde_json::{Map, Value};
use std::sync::Arc;
use writ_api as api;
use writ_core::{
    BindingId, Command, Entity, Index, Judgement, ManagementScope, Policy, PolicyBinding,
    PolicyDigest, PolicyMode, PolicyParameter, PolicySettings, PolicyTarget, PolicyValue,
    PolicyValueKind,
};
use writ_ledger::Receipt;

const MODES: [(&str, PolicyMode); 2] = [
    ("enforce", PolicyMode::Enforce),
    ("shadow", PolicyMode::Shadow),
];

/// The place of a binding where none is given: there is room before it and behind it.
const ORDER: u32 = 100;

pub(super) async fn list(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let after: Option<u64> = after(&call)?;
    let mut policies: Vec<&Arc<Policy>> = index.policies().collect();
    policies.sort_unstable_by_key(|policy| policy.version);
    let rest = policies
        .into_iter()
        .filter(|policy| after.is_none_or(|after| policy.version.0 > after));
    let named = |policy: &&Arc<Policy>| {
        let name = call.query("name");
        name.is_none_or(|name| policy.descriptor.name.as_str() == name)
    };
    let found = page(
        rest,
        limit(&call)?,
        named,
        |policy| policy.version.to_string(),
        |policy| view(policy),
    );
    Answer::json(&found).from(&index)
}

/// Checks and compiles a module, stores it, and makes it known, in this order: what is known is
/// there. What will be refused is not stored.
pub(super) async fn upload(app: Arc<App>, call: Call) -> Outcome {
    call.require(ManagementScope::PoliciesUpload)?;
    if let Some(earlier) = change::earlier(&app, &call)? {
        return match made(&earlier) {
            Some(Entity::Policy(digest)) => uploaded(&call, &earlier, digest, 201),
            _ => Err(Failure::Gone),
        };
    }
    let Ok(_place) = app.uploads.try_acquire() else {
        return Err(Failure::Busy("too many policies are being uploaded"));
    };
    // What is left of a nearly full disk is for revocations.
    if app.issuances.has_space().is_err() {
        return Err(Failure::Busy("the disk is nearly full"));
    }
    let module: Arc<[u8]> = call.body.as_slice().into();
    let (digest, descriptor) = {
        let turn = app.compiling.acquire().await;
        let _turn = turn.map_err(|_| Failure::Internal)?;
        let module = Arc::clone(&module);
        blocking(&app, move |app| Ok(app.policies.check(&module)?)).await?
    };
    let new = app.index().policy(digest).is_none();
    let command = Command::UploadPolicy {
        digest,
        bytes: module.len() as u64,
        descriptor: Box::new(descriptor),
    };
    if new {
        change::rehearse(&app, &call, &command)?;
        blocking(&app, move |app| Ok(app.policies.keep(&module)?)).await?;
    }
    let receipt = execute(&app, &call, command).await?;
    uploaded(&call, &receipt, digest, if new { 201 } else { 200 })
}

fn uploaded(call: &Call, receipt: &Receipt, digest: PolicyDigest, status: u16) -> Outcome {
    let policy = receipt.index.policy(digest).ok_or(Failure::Gone)?;
    let answer = Answer::json(&view(policy))
        .version(policy.version)
        .location(call.location(&format!("/policies/{digest}")));
    Answer { status, ..answer }.at(receipt.position())
}

pub(super) async fn show(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let policy = find(&call, &index)?;
    Answer::json(&view(policy))
        .version(policy.version)
        .from(&index)
}

pub(super) async fn module(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let (digest, version) = {
        let policy = find(&call, &index)?;
        (policy.digest, policy.version)
    };
    let module = blocking(&app, move |app| Ok(app.policies.module(digest)?)).await?;
    Answer::wasm(module).version(version).from(&index)
}

pub(super) async fn remove(app: Arc<App>, call: Call) -> Outcome {
    let digest = digest(&call)?;
    let receipt = execute(&app, &call, Command::RemovePolicy { digest }).await?;
    Answer::empty().at(receipt.position())
}

pub(super) async fn list_bindings(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let wanted = call.query("target");
    let wanted = wanted.map(|text| target(&index, text)).transpose()?;
    let policy: Option<PolicyDigest> = match call.query("policy") {
        None => None,
        Some(given) => Some(given.parse().map_err(|_| {
            Failure::malformed(
                "query_malformed",
                "the query parameter policy must be a digest",
            )
        })?),
    };
    let found = page(
        index.policy_bindings(after(&call)?),
        limit(&call)?,
        |binding| {
            wanted.is_none_or(|target| target == binding.target)
                && policy.is_none_or(|policy| policy == binding.judgement.policy)
        },
        |binding| binding.id.to_string(),
        |binding| binding_view(&index, binding),
    );
    Answer::json(&found).from(&index)
}

pub(super) async fn bind(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::CreatePolicyBinding = call.json()?;
    call.require(ManagementScope::PoliciesBind)?;
    if let Some(earlier) = change::earlier(&app, &call)? {
        return bound(&call, &earlier);
    }
    let target = target(&app.index(), &asked.target)?;
    let mode = mode(asked.mode.as_deref())?.unwrap_or_default();
    let wanted = Wanted {
        policy: text("policy", &asked.policy)?,
        settings: settings(&asked.settings)?,
        claims: claims(&asked.claims),
    };
    let ready = prepare(&app, wanted).await?;
    let command = Command::BindPolicy {
        target,
        mode,
        order: asked.order.unwrap_or(ORDER),
        judgement: ready.judgement.clone(),
    };
    bound(&call, &execute(&app, &call, command).await?)
}

pub(super) async fn show_binding(app: Arc<App>, call: Call) -> Outcome {
    let index = read(&app, &call).await?;
    let binding = find_binding(&call, &index)?;
    Answer::json(&binding_view(&index, binding))
        .version(binding.version)
        .from(&index)
}

pub(super) async fn change_binding(app: Arc<App>, call: Call) -> Outcome {
    let asked: api::ChangePolicyBinding = call.json()?;
    call.require(ManagementScope::PoliciesBind)?;
    let id = binding_id(&call)?;
    if let Some(earlier) = change::earlier(&app, &call)? {
        return changed(&earlier, id);
    }
    let index = app.index();
    let old = find_binding(&call, &index)?;
    let mode = mode(asked.mode.as_deref())?;
    let ready = match changed_judgement(&old.judgement, &asked)? {
        Some(wanted) => Some(prepare(&app, wanted).await?),
        None => None,
    };
    // Policy and settings were checked together: they must not meet others by then.
    let version = ready.is_some().then_some(old.version);
    let command = Command::ChangePolicyBinding {
        id,
        mode,
        order: asked.order,
        judgement: ready.as_ref().map(|ready| ready.judgement.clone()),
    };
    changed(&expecting(&app, &call, command, version).await?, id)
}

/// What a binding is to ask, if that changes.
fn changed_judgement(
    old: &Judgement,
    asked: &api::ChangePolicyBinding,
) -> Result<Option<Wanted>, Failure> {
    if asked.policy.is_none() && asked.settings.is_none() && asked.claims.is_none() {
        return Ok(None);
    }
    let mut wanted = Wanted::from(old);
    if let Some(given) = &asked.policy {
        wanted.policy = text("policy", given)?;
    }
    if let Some(given) = &asked.settings {
        wanted.settings = settings(given)?;
    }
    if let Some(given) = &asked.claims {
        wanted.claims = claims(given);
    }
    Ok(Some(wanted))
}

pub(super) async fn roll_back(app: Arc<App>, call: Call) -> Outcome {
    let api::Empty {} = call.json()?;
    call.require(ManagementScope::PoliciesBind)?;
    let id = binding_id(&call)?;
    if let Some(earlier) = change::earlier(&app, &call)? {
        return changed(&earlier, id);
    }
    // What could come back is ready as a rule; if it is not, that must be known before.
    let index = app.index();
    let old = find_binding(&call, &index)?;
    let _ready = match old.previous.as_deref() {
        Some(previous) => Some(prepare(&app, previous.into()).await?),
        None => None,
    };
    let command = Command::RollBackPolicyBinding { id };
    changed(
        &expecting(&app, &call, command, Some(old.version)).await?,
        id,
    )
}

pub(super) async fn unbind(app: Arc<App>, call: Call) -> Outcome {
    let id = binding_id(&call)?;
    let receipt = execute(&app, &call, Command::UnbindPolicy { id }).await?;
    Answer::empty().at(receipt.position())
}

/// What a binding is to ask.
struct Wanted {
    policy: PolicyDigest,
    settings: PolicySettings,
    claims: Vec<Box<str>>,
}

impl From<&Judgement> for Wanted {
    fn from(judgement: &Judgement) -> Self {
        Self {
            policy: judgement.policy,
            settings: judgement.settings.clone(),
            claims: judgement.claims.clone(),
        }
    }
}

/// A judgement that was checked, and is ready as long as this is held: until the command that names
/// it was carried out, or was not.
struct ReadyJudgement {
    judgement: Judgement,
    _pin: Pin,
}

/// Checks settings with their policy, and makes both ready.
async fn prepare(app: &Arc<App>, wanted: Wanted) -> Result<ReadyJudgement, Failure> {
    let Wanted {
        policy,
        settings,
        claims,
    } = wanted;
    if app.index().policy(policy).is_none() {
        return Err(Failure::UnknownInBody {
            code: "policy_unknown",
            member: "policy",
            what: "policy",
            id: policy.to_string(),
        });
    }
    let given = settings.clone();
    // Uploads of others do not hold up a rollback.
    let _turn = match app.policies.is_loaded(policy) {
        true => None,
        false => {
            let turn = app.compiling.acquire().await;
            Some(turn.map_err(|_| Failure::Internal)?)
        }
    };
    let pin = blocking(app, move |app| Ok(app.policies.prepare(policy, &given)?)).await?;
    Ok(ReadyJudgement {
        judgement: pin.judgement(settings, claims),
        _pin: pin,
    })
}

fn mode(given: Option<&str>) -> Result<Option<PolicyMode>, Failure> {
    given.map(|mode| choice("mode", mode, &MODES)).transpose()
}

fn claims(given: &[String]) -> Vec<Box<str>> {
    given.iter().map(|claim| claim.as_str().into()).collect()
}

fn bound(call: &Call, receipt: &Receipt) -> Outcome {
    let id = match made(receipt) {
        Some(Entity::PolicyBinding(id)) => id,
        _ => return Err(Failure::Gone),
    };
    let mut answer = changed(receipt, id)?;
    answer.location = Some(call.location(&format!("/policy-bindings/{id}")));
    Ok(answer)
}

fn changed(receipt: &Receipt, id: BindingId) -> Outcome {
    let binding = receipt.index.policy_binding(id).ok_or(Failure::Gone)?;
    Answer::json(&binding_view(&receipt.index, binding))
        .version(binding.version)
        .at(receipt.position())
}

fn digest(call: &Call) -> Result<PolicyDigest, Failure> {
    call.id("digest", "policy_unknown", "policy")
}

fn binding_id(call: &Call) -> Result<BindingId, Failure> {
    call.id("id", "policy_binding_unknown", "policy binding")
}

fn find<'i>(call: &Call, index: &'i Index) -> Result<&'i Arc<Policy>, Failure> {
    index
        .policy(digest(call)?)
        .ok_or_else(|| Failure::unknown("policy_unknown", "policy", call.param("digest")))
}

fn find_binding<'i>(call: &Call, index: &'i Index) -> Result<&'i Arc<PolicyBinding>, Failure> {
    index.policy_binding(binding_id(call)?).ok_or_else(|| {
        Failure::unknown("policy_binding_unknown", "policy binding", call.param("id"))
    })
}

/// `server`, `application/{id}`, or `api_resource/` with an id or an identifier.
fn target(index: &Index, given: &str) -> Result<PolicyTarget, Failure> {
    let identified = given
        .strip_prefix("api_resource/")
        .and_then(|identifier| index.api_identified(identifier));
    if let Some(api) = identified {
        return Ok(PolicyTarget::ApiResource(api.id));
    }
    if let (Err(_), Some(("api_resource", id))) =
        (given.parse::<PolicyTarget>(), given.split_once('/'))
    {
        return Err(Failure::UnknownInBody {
            code: "api_resource_unknown",
            member: "target",
            what: "API resource",
            id: shortened(id),
        });
    }
    given.parse().map_err(|_| Failure::Value {
        member: "target".to_owned(),
        expected: format!(
            "must be server, api_resource/{{id or identifier}} or application/{{id}}, not {}",
            shortened(given)
        ),
    })
}

/// Settings from JSON: each value in one of the forms of [`PolicyValue`].
fn settings(given: &Map<String, Value>) -> Result<PolicySettings, Failure> {
    let read = |(name, value): (&String, &Value)| {
        let value: PolicyValue =
            serde_json::from_value(value.clone()).map_err(|_| Failure::Value {
                member: format!("settings.{}", shortened(name)),
                expected: "must be true or false, a whole number, a text, a list of texts, or \
                           {\"json\": \"…\"} for anything else"
                    .to_owned(),
            })?;
        Ok((name.as_str().into(), value))
    };
    given.iter().map(read).collect()
}

impl From<PolicyFault> for Failure {
    fn from(fault: PolicyFault) -> Self {
        match fault {
            PolicyFault::Rejected(reasons) => Self::Policy {
                code: "policy_rejected",
                what: "the module is not taken",
                reasons,
            },
            PolicyFault::Settings(reasons) => Self::Policy {
                code: "settings_invalid",
                what: "the settings do not suit the policy",
                reasons,
            },
            PolicyFault::Unavailable(_) | PolicyFault::NoModule(_) => Self::NoVerdict(fault),
            PolicyFault::Disk(fault) => Self::Unreadable(fault),
        }
    }
}

fn strings(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

pub(super) fn view(policy: &Policy) -> api::Policy {
    let said = &policy.descriptor;
    api::Policy {
        digest: policy.digest.to_string(),
        name: said.name.to_string(),
        version: said.version.to_string(),
        doc: said.doc.to_string(),
        settings: said.settings.iter().map(parameter).collect(),
        reads: strings(&said.reads),
        codes: strings(&said.codes),
        claims: strings(&said.claims),
        bytes: policy.bytes,
        uploaded_at: policy.uploaded_at.to_string(),
        position: policy.version.0,
    }
}

fn parameter(parameter: &PolicyParameter) -> api::PolicySetting {
    let kind = match parameter.kind {
        PolicyValueKind::Flag => "flag",
        PolicyValueKind::Int => "int",
        PolicyValueKind::Text => "text",
        PolicyValueKind::Texts => "texts",
        PolicyValueKind::Json => "json",
    };
    api::PolicySetting {
        name: parameter.name.to_string(),
        kind: kind.to_owned(),
        required: parameter.required,
        default: parameter.default.as_ref().map(json),
        doc: parameter.doc.to_string(),
    }
}

pub(super) fn binding_view(index: &Index, binding: &PolicyBinding) -> api::PolicyBinding {
    let mode = MODES.iter().find(|(_, mode)| *mode == binding.mode);
    let judgement = |judgement: &Judgement| judgement_view(index, judgement);
    api::PolicyBinding {
        id: binding.id.to_string(),
        target: binding.target.to_string(),
        mode: mode.map_or("", |(name, _)| name).to_owned(),
        order: binding.order,
        judgement: judgement(&binding.judgement),
        previous: binding.previous.as_deref().map(judgement),
        created_at: binding.created_at.to_string(),
        version: binding.version.0,
    }
}

pub(crate) fn judgement_view(index: &Index, judgement: &Judgement) -> api::PolicyJudgement {
    let settings = judgement.settings.iter();
    api::PolicyJudgement {
        policy: judgement.policy.to_string(),
        policy_name: policy_name(index, judgement.policy),
        settings: settings
            .map(|(name, value)| (name.to_string(), json(value)))
            .collect(),
        settings_digest: writ_core::codec::hex(&judgement.settings_digest),
        claims: strings(&judgement.claims),
    }
}

/// The name of a policy that a binding names: it is known as long as the binding is.
pub(super) fn policy_name(index: &Index, digest: PolicyDigest) -> String {
    index
        .policy(digest)
        .map_or_else(String::new, |policy| policy.descriptor.name.to_string())
}
