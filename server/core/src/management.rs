//! The management API: Writ's own API resource, which protects `/api/v1`.

use crate::ScopeName;

/// The identifier of the management API: the audience of administrators' tokens.
pub const MANAGEMENT_IDENTIFIER: &str = "urn:writ:management";

macro_rules! management_scopes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal: $description:literal;)*) => {
        /// A scope of the management API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ManagementScope {
            $($(#[$doc])* $variant,)*
        }

        impl ManagementScope {
            /// All of them, in the order of their bits. Only ever added to at the end.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name of the scope.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What it lets its holder do.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $description),* }
            }
        }
    };
}

management_scopes! {
    /// Reading API resources.
    ApiResourcesRead = "writ:api-resources:read": "See API resources and their scopes";
    /// Changing API resources.
    ApiResourcesWrite = "writ:api-resources:write": "Create, change and remove API resources and scopes";
    /// Reading applications.
    ApplicationsRead = "writ:applications:read": "See applications, their grants, roles and secrets' ids";
    /// Changing applications.
    ApplicationsWrite = "writ:applications:write": "Create, change, disable and remove applications";
    /// Secrets.
    SecretsWrite = "writ:secrets:write": "Add and revoke secrets of applications";
    /// Grants.
    GrantsWrite = "writ:grants:write": "Authorize applications to API resources, and assign roles";
    /// Reading roles.
    RolesRead = "writ:roles:read": "See roles";
    /// Changing roles.
    RolesWrite = "writ:roles:write": "Create, change and remove roles";
    /// Reading settings.
    SettingsRead = "writ:settings:read": "See settings";
    /// Changing settings.
    SettingsWrite = "writ:settings:write": "Change settings";
    /// Reading signing keys.
    KeysRead = "writ:keys:read": "See signing keys";
    /// Changing signing keys.
    KeysWrite = "writ:keys:write": "Make, activate, retire and revoke signing keys";
    /// Introspection of any token.
    TokensIntrospect = "writ:tokens:introspect": "Introspect every token";
    /// Revocation of any token.
    TokensRevoke = "writ:tokens:revoke": "Revoke tokens of every application";
    /// Reading the log.
    AuditRead = "writ:audit:read": "Read events and issuances";
    /// Reading policies.
    PoliciesRead = "writ:policies:read": "See policies and what they are bound to";
    /// Uploading policies.
    PoliciesUpload = "writ:policies:upload": "Upload policies, and remove unused ones";
    /// Binding policies.
    PoliciesBind = "writ:policies:bind": "Bind policies, and change or roll back bindings";
    /// Unbinding policies.
    PoliciesUnbind = "writ:policies:unbind": "Take bindings of policies away";
    /// Reading trusted issuers.
    IssuersRead = "writ:trusted-issuers:read": "See trusted issuers";
    /// Changing trusted issuers.
    IssuersWrite = "writ:trusted-issuers:write": "Create, change and remove trusted issuers";
    /// Reading initial access tokens.
    InitialAccessTokensRead = "writ:initial-access-tokens:read": "See by which tokens applications may register themselves";
    /// Making and revoking initial access tokens.
    InitialAccessTokensWrite = "writ:initial-access-tokens:write": "Let applications register themselves, and stop that";
}

impl ManagementScope {
    /// The scope's name as a [`ScopeName`].
    #[must_use]
    pub fn name(self) -> ScopeName {
        self.as_str()
            .parse()
            .expect("the names above are scope tokens; a test reads them all")
    }

    /// The scope's number in the management API.
    #[must_use]
    pub fn bit(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_scope_tokens_and_bits_follow_the_order() {
        for (i, scope) in ManagementScope::ALL.iter().enumerate() {
            assert_eq!(scope.name().as_str(), scope.as_str());
            assert_eq!(usize::from(scope.bit()), i);
        }
    }
}
