//! Roles: named sets of scopes that can be assigned to applications.

use crate::{ApiId, Millis, Name, Position, RoleId, ScopeBits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A named set of scopes, of any number of API resources. It grants nothing by itself: it says
/// which scopes of a grant in mode `rbac` an application really gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Its name, unique.
    pub name: Name,
    /// When it was created.
    pub created_at: Millis,
    /// Its scopes, by API resource; no set is empty.
    pub scopes: BTreeMap<ApiId, ScopeBits>,
    /// The position of its last change.
    pub version: Position,
}
