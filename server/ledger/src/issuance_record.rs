//! One token decision about an authenticated application, as it is recorded for ever.
//!
//! A record is one JSON object, written once and hashed as written. It never has a token, a secret
//! or an assertion: there is no field for one. Members may be added later, optional ones; a change
//! of meaning is a new `v`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use writ_core::{Algorithm, ApplicationId, Binding, Jti, Kid, Millis, Position, ScopeName};

/// The version of the record.
pub const RECORD_VERSION: u8 = 1;

/// What was decided, on what grounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuanceRecord {
    /// [`RECORD_VERSION`].
    pub v: u8,
    /// The decision's id: the `jti` of the token, if there is one.
    pub id: Jti,
    /// When it was decided, on the time line of the log.
    pub at: Millis,
    /// The clock at that moment, where it was another: what the policies were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Millis>,
    /// About whom.
    pub application: ApplicationId,
    /// The grant type, where it was not `client_credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<Box<str>>,
    /// How the application proved who it is.
    pub credential: Credential,
    /// The token that was exchanged, without itself (RFC 8693).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<ExchangedToken>,
    /// The last event that the decision rests on.
    pub as_of: Position,
    /// The scopes that were asked for, as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Box<str>>,
    /// The scopes in the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<ScopeName>,
    /// The API resources that were asked for (RFC 8707), as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Box<str>>,
    /// The types of authorization details that were asked for (RFC 9396), as they came: where it was
    /// not found out that the details fit them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details_types: Vec<Box<str>>,
    /// The authorization details that were asked for and fit their types: what policies were told, and
    /// what is in the token if there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<serde_json::Value>,
    /// What the request proved to hold, so that its token could be bound to it.
    #[serde(default, skip_serializing_if = "Held::is_empty")]
    pub held: Held,
    /// Where the request came from, when the settings allow keeping it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Box<str>>,
    /// The W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Box<str>>,
    /// What each policy said, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyRecord>,
    /// SHA-256 of the request that the policies were asked about, in hexadecimal: with all
    /// attributes that any of them reads; each saw those that it reads itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<str>>,
    /// The attributes of that request which nothing else here says: those the policies read, but
    /// for `time.*`, `auth.method` and `request.authorization_details`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
    /// The fingerprint of the engine that ran the policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Arc<str>>,
    /// The key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
    /// Its algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
    /// Which of what was held the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// When the token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Millis>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a request proved to hold, by thumbprints in base64url.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// A key, by a DPoP proof: its SHA-256 thumbprint (RFC 9449 §6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<Box<str>>,
    /// A certificate: its SHA-256 thumbprint (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256", default, skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<Box<str>>,
}

impl Held {
    /// Whether it held nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jkt.is_none() && self.x5t_s256.is_none()
    }
}

/// What an application proved itself with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The client authentication method: `client_secret_basic`, `private_key_jwt` …
    pub method: Box<str>,
    /// Which one: a secret's id, the thumbprint of a key or a certificate, a trust rule.
    pub id: Box<str>,
    /// The foreign token that proved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ForeignToken>,
}

/// A foreign token that proved an application, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignToken {
    /// The issuer that was trusted.
    pub issuer: Box<str>,
    /// Its `sub`.
    pub subject: Box<str>,
    /// Its `jti`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Box<str>>,
}

/// A token of this server that was exchanged for another (RFC 8693 §2.1), without itself: what the
/// decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangedToken {
    /// Its id.
    pub jti: Jti,
    /// Whom it is about.
    pub subject: ApplicationId,
    /// Its audience.
    pub audience: Vec<Box<str>>,
    /// Its scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ScopeName>,
    /// How long it still lived, in seconds.
    pub remaining_seconds: u32,
    /// Whether it is bound to its sender.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bound: bool,
    /// Who acts for its subject, the one who acted last first (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<ApplicationId>,
}

/// How a decision ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is a token.
    Granted,
    /// The rules or a policy said no.
    Denied {
        /// Why, for auditors.
        reason: Box<str>,
    },
    /// Something did not work; there is no token.
    Fault {
        /// What.
        reason: Box<str>,
    },
}

/// What one policy said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The binding that brought it in.
    pub binding: Box<str>,
    /// SHA-256 of the module, in hexadecimal.
    pub policy: Box<str>,
    /// SHA-256 of the binding's settings, in hexadecimal.
    pub settings: Box<str>,
    /// Evaluated and recorded, but not obeyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Its answer.
    pub verdict: Verdict,
    /// What it had to say, for auditors, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<PolicyNote>,
    /// The fuel it burnt.
    pub fuel: u64,
}

/// Something that a policy had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNote {
    /// What it is about.
    pub name: Box<str>,
    /// What it says.
    pub text: Box<str>,
}

/// The answer of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It permits, perhaps less than was asked.
    Permit {
        /// The scopes it leaves, when not all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<Vec<ScopeName>>,
        /// The longest lifetime it allows, in seconds, when it says one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifetime: Option<u32>,
        /// The claims it adds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims: Option<serde_json::Map<String, serde_json::Value>>,
    },
    /// It denies.
    Deny {
        /// One of the codes that its descriptor lists.
        code: Box<str>,
        /// Why, for auditors.
        reason: Box<str>,
        /// What the application is told, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Box<str>>,
    },
    /// It did not answer, or answered nonsense. Counts as a denial.
    Fault {
        /// What kind of trouble.
        code: Box<str>,
        /// What happened.
        reason: Box<str>,
    },
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The format is for ever: what was once written must be read, and written so again.
    #[test]
    fn golden_records_stay_as_they_are() {
        for text in [
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000001","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","credential":{"method":"client_secret_basic","id":"00000000000000000000000009"},"as_of":41,"asked":["courses:publish"],"granted":["courses:publish"],"resources":["https://courses.example/api"],"address":"192.0.2.7","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","kid":"k1","alg":"ES256","exp":"2025-11-25T09:15:00.000Z","outcome":"granted"}"#,
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000002","at":"2025-11-25T09:00:00.003Z","clock":"2025-11-25T08:00:00.000Z","application":"00000000000000000000000007","credential":{"method":"private_key_jwt","id":"key-1"},"as_of":0,"policies":[{"binding":"b1","policy":"aa","settings":"bb","verdict":{"permit":{"scopes":["a"],"lifetime":60,"claims":{"tier":"gold"}}},"notes":[{"name":"n","text":"t"}],"fuel":7},{"binding":"b2","policy":"aa","settings":"bb","shadow":true,"verdict":{"deny":{"code":"hours","reason":"weekend","description":"not now"}},"fuel":0},{"binding":"b3","policy":"aa","settings":"bb","verdict":{"fault":{"code":"out_of_fuel","reason":"out of fuel"}},"fuel":9}],"input":"cc","attributes":{"hour":9},"engine":"e1","outcome":{"denied":{"reason":"policy_denied"}}}"#,
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000004","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","credential":{"method":"workload_identity","id":"ci","token":{"issuer":"https://ci.example","subject":"repo:acme/app","jti":"1"}},"exchanged":{"jti":"019ab9e5-7c43-7000-8000-000000000009","subject":"00000000000000000000000008","audience":["https://courses.example/api"],"scopes":["courses:read"],"remaining_seconds":60,"bound":true,"actors":["00000000000000000000000009"]},"as_of":41,"held":{"jkt":"AA","x5t#S256":"BB"},"binding":"dpop","outcome":"granted"}"#,
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000005","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","credential":{"method":"private_key_jwt","id":"key-1"},"as_of":41,"authorization_details":[{"actions":["initiate"],"instructedAmount":{"amount":"123.50","currency":"EUR"},"type":"payment_initiation"}],"outcome":"granted"}"#,
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000006","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","credential":{"method":"private_key_jwt","id":"key-1"},"as_of":41,"details_types":["payment_initiation","[redacted]"],"outcome":{"denied":{"reason":"details_unauthorized"}}}"#,
            r#"{"v":1,"id":"019ab9e5-7c43-7000-8000-000000000003","at":"2025-11-25T09:00:00.003Z","application":"00000000000000000000000007","credential":{"method":"client_secret_post","id":"x"},"as_of":0,"outcome":{"fault":{"reason":"no key"}}}"#,
        ] {
            let record: IssuanceRecord = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
        }
    }
}
