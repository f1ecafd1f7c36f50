//! The index as lines of JSON, and back: what a start can read instead of replaying. It is a cache.
//! The log stays the only truth, and what is read here is believed only by those who know who wrote
//! it; so nothing is kept readable for ever, and every change of what a line holds is a new
//! [`SNAPSHOT_FORMAT`].

use super::{Bound, Index, Repeatable};
use crate::{
    ApiResource, Application, ApplicationId, Identifier, Jti, KeyState, Kid, Millis, Policy,
    PolicyBinding, PolicyTarget, Position, Role, Settings, SigningKey, TrustedIssuer, codec,
};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The form of the lines, and what [`Index::apply`] makes of a log. Raise it whenever an index of
/// the same log would be another one, or would be written differently.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// One line: what the index holds once, or one of its entities. What follows from others, as who
/// has a name, is made again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotLine {
    /// What there is once. The first line, and no other.
    Head(Box<Head>),
    /// An API resource.
    Api(Arc<ApiResource>),
    /// A role.
    Role(Arc<Role>),
    /// A trusted issuer.
    Issuer(Arc<TrustedIssuer>),
    /// An application. Those of the management API's grants are found by that API resource.
    Application(Arc<Application>),
    /// A signing key.
    Key(Arc<SigningKey>),
    /// A token that was revoked.
    Revoked(Jti, ApplicationId, Millis),
    /// A command that came with this idempotency key.
    Repeatable(Key, Box<Repeatable>),
    /// When a command with this idempotency key was.
    RepeatableAt(Millis, Key),
    /// A sealed issuance file and its root.
    Sealed(Box<str>, Key),
    /// A policy.
    Policy(Arc<Policy>),
    /// A binding of a policy.
    Binding(Arc<PolicyBinding>),
    /// The last change of the bindings of a target.
    Bound(PolicyTarget, Position),
}

/// 32 bytes, as hexadecimal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(#[serde(with = "codec::hex32")] [u8; 32]);

/// What an index holds once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    log_id: Option<Arc<str>>,
    log_key: Option<(Arc<str>, bool)>,
    issuer: Option<Arc<str>>,
    next: u64,
    last_at: Millis,
    settings: Arc<Settings>,
    apis_made: u32,
    roles_made: u32,
    issuers_made: u32,
    bindings_made: u32,
    active_keys: [Option<Kid>; 4],
}

/// Lines that are not those of an index. The snapshot is of no use then, and nothing else is wrong.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A line is not readable.
    #[error("line {line}: {source}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// Why not.
        source: serde_json::Error,
    },
    /// The lines do not begin with the head, or have another.
    #[error("the head is not the first line, or not the only one")]
    Head,
    /// The head names a key that there is not.
    #[error("a key that signs is missing")]
    Key,
}

impl Index {
    /// The index as lines, in the order in which they are read again.
    pub fn snapshot_lines(&self) -> impl Iterator<Item = SnapshotLine> + '_ {
        use SnapshotLine as Line;
        let head = Head {
            log_id: self.log_id.clone(),
            log_key: self.log_key.clone(),
            issuer: self.issuer.clone(),
            next: self.next,
            last_at: self.last_at,
            settings: Arc::clone(&self.settings),
            apis_made: self.apis_made,
            roles_made: self.roles_made,
            issuers_made: self.issuers_made,
            bindings_made: self.bindings_made,
            active_keys: self
                .active_keys
                .each_ref()
                .map(|key| key.as_ref().map(|key| key.kid.clone())),
        };
        let revoked = self.revoked.iter();
        let repeatables = self.repeatables.iter();
        let bound = self.bound.iter();
        std::iter::once(Line::Head(Box::new(head)))
            .chain(self.apis.values().cloned().map(Line::Api))
            .chain(self.roles.values().cloned().map(Line::Role))
            .chain(self.issuers.values().cloned().map(Line::Issuer))
            .chain(self.keys.values().cloned().map(Line::Key))
            .chain(self.policies.values().cloned().map(Line::Policy))
            .chain(self.bindings.values().cloned().map(Line::Binding))
            .chain(bound.map(|(target, bound)| Line::Bound(*target, bound.version)))
            .chain(
                self.sealed
                    .iter()
                    .map(|(file, root)| Line::Sealed(file.clone(), Key(*root))),
            )
            .chain(revoked.map(|(jti, (by, end))| Line::Revoked(*jti, *by, *end)))
            .chain(repeatables.map(|(key, it)| Line::Repeatable(Key(*key), Box::new(it.clone()))))
            .chain(
                self.repeatables_by_time
                    .iter()
                    .map(|(at, key)| Line::RepeatableAt(*at, Key(*key))),
            )
            .chain(self.applications.values().cloned().map(Line::Application))
    }
}

/// Makes an index of its lines, one after the other.
#[derive(Debug, Default)]
pub struct Restoring {
    index: Index,
    active_keys: Option<[Option<Kid>; 4]>,
    applications: Vec<Arc<Application>>,
    lines: u64,
}

impl Restoring {
    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn line(&mut self, line: &[u8]) -> Result<(), RestoreError> {
        self.lines += 1;
        let read = std::str::from_utf8(line).map_err(serde::de::Error::custom);
        let read = read.and_then(serde_json::from_str::<SnapshotLine>);
        let line = read.map_err(|source| RestoreError::Line {
            line: self.lines,
            source,
        })?;
        if matches!(line, SnapshotLine::Head(_)) != (self.lines == 1) {
            return Err(RestoreError::Head);
        }
        self.take(line);
        Ok(())
    }

    fn take(&mut self, line: SnapshotLine) {
        let index = &mut self.index;
        match line {
            SnapshotLine::Head(head) => {
                index.log_id = head.log_id;
                index.log_key = head.log_key;
                index.issuer = head.issuer;
                index.next = head.next;
                index.last_at = head.last_at;
                index.settings = head.settings;
                index.apis_made = head.apis_made;
                index.roles_made = head.roles_made;
                index.issuers_made = head.issuers_made;
                index.bindings_made = head.bindings_made;
                self.active_keys = Some(head.active_keys);
            }
            SnapshotLine::Api(api) => index.restore_api(api),
            SnapshotLine::Role(role) => {
                index.role_names.insert(role.name.clone(), role.id);
                index.roles.insert(role.id, role);
            }
            SnapshotLine::Issuer(issuer) => {
                let identifier: Identifier = issuer.issuer.clone();
                index.issuer_identifiers.insert(identifier, issuer.id);
                index.issuers.insert(issuer.id, issuer);
            }
            SnapshotLine::Application(application) => self.applications.push(application),
            SnapshotLine::Key(key) => drop(index.keys.insert(key.kid.clone(), key)),
            SnapshotLine::Revoked(jti, application, end) => {
                index.revoked.insert(jti, (application, end));
                index.revoked_by_expiry.insert((end, jti));
                *index.revocations.entry(application).or_insert(0) += 1;
            }
            SnapshotLine::Repeatable(Key(key), repeatable) => {
                index.repeatables.insert(key, *repeatable);
            }
            SnapshotLine::RepeatableAt(at, Key(key)) => {
                index.repeatables_by_time.insert((at, key));
            }
            SnapshotLine::Sealed(file, Key(root)) => drop(index.sealed.insert((file, root))),
            SnapshotLine::Policy(policy) => drop(index.policies.insert(policy.digest, policy)),
            SnapshotLine::Binding(binding) => {
                let binding = PolicyBinding::clone(&binding);
                index.put_binding(binding);
            }
            SnapshotLine::Bound(target, version) => {
                let bound = index.bound.entry(target).or_default();
                *bound = Arc::new(Bound {
                    version,
                    ..Bound::clone(bound)
                });
            }
        }
    }

    /// The index, once every line was taken.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn finish(self) -> Result<Index, RestoreError> {
        let Self {
            mut index,
            active_keys,
            applications,
            ..
        } = self;
        for kid in active_keys.ok_or(RestoreError::Head)?.into_iter().flatten() {
            let key = index.keys.get(&kid).ok_or(RestoreError::Key)?;
            let active = matches!(key.state, KeyState::Active { .. });
            let slot = &mut index.active_keys[key.algorithm as usize];
            *slot = active.then(|| Arc::clone(key));
        }
        for application in &applications {
            index.note_extra_audiences(&application.token_settings().extra_audiences);
            let grants = |api| application.grant(api).is_some();
            if index.management.is_some_and(grants) {
                index.administrators.insert(application.id);
            }
        }
        index.applications = filled(&applications);
        Ok(index)
    }
}

/// A map whose nodes are full. One that is filled in the order of its keys splits each node in
/// halves and never comes back to the first: so every second is put in first, and then the others
/// into the room that is left.
fn filled(applications: &[Arc<Application>]) -> OrdMap<ApplicationId, Arc<Application>> {
    let mut map = OrdMap::new();
    for first in [0, 1] {
        for application in applications.iter().skip(first).step_by(2) {
            map.insert(application.id, Arc::clone(application));
        }
    }
    map
}
