//! The facts about a request that policies can read, under the names that authors know
//! (`sdk/policy/src/attribute.rs`). A policy gets those that its descriptor names, of these the ones
//! that are known, and no others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::IpAddr;
use writ_core::{ApplicationId, Millis};
use writ_ledger::ForeignToken;
use writ_sandbox::{Named, Value};

macro_rules! facts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A fact about a request. Sorted by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fact {
            $($(#[$doc])* $variant,)*
        }

        impl Fact {
            /// All that this server knows.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

facts! {
    /// How the application authenticated.
    AuthMethod = "auth.method";
    /// The issuer of the foreign token that proved the application.
    AuthTokenIssuer = "auth.token.issuer";
    /// The `sub` of that token.
    AuthTokenSubject = "auth.token.subject";
    /// Who has acted for the subject of the token that is exchanged (RFC 8693 §4.1).
    ExchangeActors = "exchange.actors";
    /// The header `User-Agent`.
    HttpUserAgent = "http.user_agent";
    /// The address of the caller, by the trusted proxies' word.
    NetIp = "net.ip";
    /// The authorization details, as a JSON array (RFC 9396).
    RequestAuthorizationDetails = "request.authorization_details";
    /// The day in UTC.
    TimeDate = "time.date";
    /// The hour in UTC.
    TimeHour = "time.hour";
    /// The minute of the hour.
    TimeMinute = "time.minute";
    /// The day of the week in UTC: 1 is Monday.
    TimeWeekday = "time.weekday";
    /// SHA-256 of the caller's certificate (RFC 8705 §3.1).
    TlsClientCertSha256 = "tls.client_cert.sha256";
}

impl Fact {
    /// The facts of these names, sorted; what this server does not know is left out.
    #[must_use]
    pub fn named(names: &[String]) -> Vec<Self> {
        let known = Self::ALL.iter().copied();
        known
            .filter(|fact| names.iter().any(|name| name == fact.name()))
            .collect()
    }

    /// Whether the record of an issuance says it already, in other words.
    #[must_use]
    pub fn is_recorded_elsewhere(self) -> bool {
        match self {
            Self::AuthMethod
            | Self::AuthTokenIssuer
            | Self::AuthTokenSubject
            | Self::ExchangeActors
            | Self::RequestAuthorizationDetails
            | Self::TimeDate
            | Self::TimeHour
            | Self::TimeMinute
            | Self::TimeWeekday => true,
            Self::HttpUserAgent | Self::NetIp | Self::TlsClientCertSha256 => false,
        }
    }
}

/// What is known about a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// How the application authenticated.
    pub auth_method: Option<&'a str>,
    /// The foreign token that proved the application.
    pub auth_token: Option<&'a ForeignToken>,
    /// Who has acted for the subject of the token that is exchanged.
    pub exchange_actors: &'a [ApplicationId],
    /// The header `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The address of the caller.
    pub ip: Option<IpAddr>,
    /// SHA-256 of the certificate of the caller.
    pub client_cert: Option<[u8; 32]>,
    /// The authorization details, as JSON text.
    pub authorization_details: Option<&'a str>,
}

impl Facts<'_> {
    /// These facts as a policy gets them at a moment, sorted by name.
    #[must_use]
    pub fn attributes(&self, wanted: &[Fact], at: Millis) -> Vec<Named> {
        let known = wanted.iter().filter_map(|fact| {
            let value = self.value(*fact, at)?;
            Some(Named::new(fact.name(), value))
        });
        known.collect()
    }

    fn value(&self, fact: Fact, at: Millis) -> Option<Value> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let seconds = at.seconds();
        let int = |number: u64| i64::try_from(number).ok().map(Value::Int);
        let text = |text: &str| Value::Text(text.to_owned());
        match fact {
            Fact::AuthMethod => self.auth_method.map(text),
            Fact::AuthTokenIssuer => self.auth_token.map(|token| text(&token.issuer)),
            Fact::AuthTokenSubject => self.auth_token.map(|token| text(&token.subject)),
            Fact::ExchangeActors => {
                let actors = self.exchange_actors.iter().map(ToString::to_string);
                let actors: Vec<String> = actors.collect();
                (!actors.is_empty()).then_some(Value::Texts(actors))
            }
            Fact::HttpUserAgent => self.user_agent.map(text),
            Fact::NetIp => self.ip.map(|ip| text(&ip.to_canonical().to_string())),
            Fact::RequestAuthorizationDetails => self
                .authorization_details
                .map(|json| Value::Json(json.to_owned())),
            // RFC 3339 begins with the date.
            Fact::TimeDate => at.to_string().get(..10).map(text),
            Fact::TimeHour => int(seconds % DAY / HOUR),
            Fact::TimeMinute => int(seconds % HOUR / MINUTE),
            // 1970 began on a Thursday.
            Fact::TimeWeekday => int((seconds / DAY + 3) % 7 + 1),
            Fact::TlsClientCertSha256 => self
                .client_cert
                .map(|digest| text(&URL_SAFE_NO_PAD.encode(digest))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_sorted_by_name() {
        assert!(Fact::ALL.is_sorted_by_key(|fact| fact.name()));
    }

    #[test]
    fn facts_are_those_that_authors_are_told_of() {
        let names: Vec<&str> = Fact::ALL.iter().map(|fact| fact.name()).collect();
        let documented = include_str!("../../../../sdk/policy/src/attribute.rs");
        let mut documented: Vec<&str> = documented
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1))
            .collect();
        documented.sort_unstable();
        assert_eq!(names, documented);
    }

    #[test]
    fn each_has_its_value() {
        let token = ForeignToken {
            issuer: "https://ci.example".into(),
            subject: "repo:acme/app".into(),
            jti: None,
        };
        let facts = Facts {
            auth_method: Some("workload_identity"),
            auth_token: Some(&token),
            exchange_actors: &[ApplicationId(7)],
            user_agent: Some("job/1"),
            ip: "::ffff:192.0.2.1".parse().ok(),
            client_cert: Some([0xff; 32]),
            authorization_details: Some(r#"[{"type":"a"}]"#),
        };
        // A Tuesday.
        let at: Millis = "2026-03-03T23:59:58.999Z".parse().unwrap_or_default();
        let text = |text: &str| Value::Text(text.to_owned());
        let values: Vec<Value> = facts
            .attributes(Fact::ALL, at)
            .into_iter()
            .map(|named| named.value)
            .collect();
        assert_eq!(
            values,
            [
                text("workload_identity"),
                text("https://ci.example"),
                text("repo:acme/app"),
                Value::Texts(vec!["00000000000000000000000007".to_owned()]),
                text("job/1"),
                text("192.0.2.1"),
                Value::Json(r#"[{"type":"a"}]"#.to_owned()),
                text("2026-03-03"),
                Value::Int(23),
                Value::Int(59),
                Value::Int(2),
                text("__________________________________________8"),
            ]
        );
        let none = Facts::default().attributes(&[Fact::NetIp, Fact::TimeHour], Millis(0));
        assert_eq!(none, [Named::new("time.hour", Value::Int(0))]);
        let monday: Millis = "2026-03-02T00:00:00Z".parse().unwrap_or_default();
        assert_eq!(facts.value(Fact::TimeWeekday, monday), Some(Value::Int(1)));
        let sunday: Millis = "2026-03-08T00:00:00Z".parse().unwrap_or_default();
        assert_eq!(facts.value(Fact::TimeWeekday, sunday), Some(Value::Int(7)));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let reads = ["net.ip".to_owned(), "net.country".to_owned()];
        assert_eq!(Fact::named(&reads), [Fact::NetIp]);
    }
}
