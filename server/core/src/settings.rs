//! Server-wide settings: whatever can change a decision or a token and belongs to no entity.
//! They are changed by commands and recorded as events; `writ.toml` holds only what belongs to a
//! node.

use crate::{Position, SecurityProfile, limits};
use serde::{Deserialize, Serialize};

/// What happens to an asked scope that is unknown or not granted (RFC 6749 §3.3 leaves it open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnauthorizedScopes {
    /// The request is refused with `invalid_scope`, naming them.
    #[default]
    Reject,
    /// They are left out; the answer's `scope` says what was granted.
    Drop,
}

/// What a request gets that names neither `scope` nor `resource`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OmittedScopes {
    /// Nothing: `invalid_scope`.
    #[default]
    None,
    /// All granted scopes, those of the management API never.
    All,
}

/// How the record of an issuance relates to the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordMode {
    /// The answer leaves after the record is durable.
    #[default]
    Durable,
    /// The answer does not wait; a crash can lose the last records, which a metric counts.
    Buffered,
    /// Nothing is recorded.
    Off,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $key:literal;)*) => {
        /// The settings in force.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* #[serde(rename = $key)] pub $name: $type,)*
            /// The position of the last change.
            pub version: Position,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default,)* version: Position(0) }
            }
        }

        /// A change of settings: those present change, the others stay. It is also the form of
        /// all settings, with every member present.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct SettingsChange {
            $($(#[$doc])*
            #[serde(rename = $key, default, skip_serializing_if = "Option::is_none")]
            pub $name: Option<$type>,)*
        }

        impl Settings {
            /// Applies a change that was accepted at a position.
            pub(crate) fn apply(&mut self, change: &SettingsChange, at: Position) {
                $(if let Some(value) = &change.$name { self.$name = value.clone(); })*
                self.version = at;
            }

            /// All settings, as a change that would bring them about.
            #[must_use]
            pub fn to_change(&self) -> SettingsChange {
                SettingsChange { $($name: Some(self.$name.clone()),)* }
            }
        }

        impl SettingsChange {
            /// The part of this change that differs from the settings in force.
            #[must_use]
            pub(crate) fn against(&self, settings: &Settings) -> Self {
                Self { $($name: self.$name.clone().filter(|value| *value != settings.$name),)* }
            }
        }
    };
}

settings! {
    /// `scopes.unauthorized`: `reject` or `drop`.
    scopes_unauthorized: UnauthorizedScopes = UnauthorizedScopes::Reject, "scopes.unauthorized";
    /// `scopes.omitted`: `none` or `all`.
    scopes_omitted: OmittedScopes = OmittedScopes::None, "scopes.omitted";
    /// `scopes.combine_apis`: whether one token may carry scopes of several API resources that
    /// the request does not name by `resource` (RFC 8707).
    scopes_combine_apis: bool = false, "scopes.combine_apis";
    /// `tokens.lifetime_seconds`: the lifetime where neither API resource nor application says.
    tokens_lifetime_seconds: u32 = 900, "tokens.lifetime_seconds";
    /// `issuance.record`: `durable`, `buffered` or `off`.
    issuance_record: RecordMode = RecordMode::Durable, "issuance.record";
    /// `issuance.source_address`: whether a record holds the caller's address.
    issuance_source_address: bool = false, "issuance.source_address";
    /// `issuance.retention_days`: records older than this are deleted, a file at a time.
    issuance_retention_days: u32 = 400, "issuance.retention_days";
    /// `issuance.retention_bytes`: the oldest files are deleted when all together are larger.
    issuance_retention_bytes: u64 = 64 * 1024 * 1024 * 1024, "issuance.retention_bytes";
    /// `keys.rotate_after_days`: the age at which an active signing key is replaced; 0 is never.
    keys_rotate_after_days: u32 = 90, "keys.rotate_after_days";
    /// `keys.publish_ahead_seconds`: how long a key is published before it signs.
    keys_publish_ahead_seconds: u32 = 3600, "keys.publish_ahead_seconds";
    /// `jwks.max_age_seconds`: `Cache-Control: max-age` of the JWKS.
    jwks_max_age_seconds: u32 = 300, "jwks.max_age_seconds";
    /// `security.profile`: `none`, or `fapi2` for every application.
    security_profile: SecurityProfile = SecurityProfile::None, "security.profile";
    /// `dpop.require_nonce`: whether a DPoP proof must have a nonce of this server (RFC 9449 §8).
    dpop_require_nonce: bool = false, "dpop.require_nonce";
}

impl SettingsChange {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Settings {
    /// What is wrong with these settings, as (setting, what would be right).
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let lifetimes = limits::LIFETIME_MIN_SECONDS..=limits::LIFETIME_MAX_SECONDS;
        if !lifetimes.contains(&self.tokens_lifetime_seconds) {
            return Some(("tokens.lifetime_seconds", "1 to 86400 seconds"));
        }
        if !(1..=86_400).contains(&self.jwks_max_age_seconds) {
            return Some(("jwks.max_age_seconds", "1 to 86400 seconds"));
        }
        // A validator that fetched the JWKS just before a key was published must have fetched it
        // again before that key signs.
        if self.keys_publish_ahead_seconds < self.jwks_max_age_seconds
            || self.keys_publish_ahead_seconds > 30 * 86_400
        {
            return Some((
                "keys.publish_ahead_seconds",
                "jwks.max_age_seconds to 30 days",
            ));
        }
        if self.keys_rotate_after_days > 3_650 {
            return Some(("keys.rotate_after_days", "0 (never) to 3650 days"));
        }
        if !(1..=36_500).contains(&self.issuance_retention_days) {
            return Some(("issuance.retention_days", "1 to 36500 days"));
        }
        if self.issuance_retention_bytes < 64 * 1024 * 1024 {
            return Some(("issuance.retention_bytes", "at least 67108864 (64 MiB)"));
        }
        None
    }
}
