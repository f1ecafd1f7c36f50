//! The facts that a server offers, by name. A policy gets those that it names in `reads(..)`, and
//! of these the ones that are known: without a client certificate there is no
//! `tls.client_cert.sha256`.
//!
//! A later server offers more, as more names. The kind of a name never changes.

/// The address of the caller: IPv4 or IPv6 as text. Behind a trusted proxy, the address that the
/// proxy saw.
pub const NET_IP: &str = "net.ip";
/// The header `User-Agent`, as text: the first 256 characters of what the caller wrote there. Not
/// known when it is not there once, is not visible ASCII, or has a secret or a token in it.
pub const HTTP_USER_AGENT: &str = "http.user_agent";
/// SHA-256 of the caller's certificate (RFC 8705), as base64url text without padding.
pub const TLS_CLIENT_CERT_SHA256: &str = "tls.client_cert.sha256";
/// How the application authenticated, as text: `client_secret_basic`, `client_secret_post`,
/// `private_key_jwt`, ..
pub const AUTH_METHOD: &str = "auth.method";
/// The issuer of the foreign token that proved the application (`workload_identity`), as text.
pub const AUTH_TOKEN_ISSUER: &str = "auth.token.issuer";
/// The `sub` of that token, as text: a service account of Kubernetes, a repository and branch, a
/// SPIFFE ID.
pub const AUTH_TOKEN_SUBJECT: &str = "auth.token.subject";
/// Who has acted for the subject of the token that is exchanged (RFC 8693 §4.1), as texts: ids of
/// applications, the one who acted last first. Not known when nobody has, or nothing is exchanged.
pub const EXCHANGE_ACTORS: &str = "exchange.actors";
/// The authorization details that the token will have (RFC 9396), as JSON text: an array of objects,
/// each of which fits the schema of its `type`. Not known when none were asked for.
pub const REQUEST_AUTHORIZATION_DETAILS: &str = "request.authorization_details";
/// The hour in UTC, 0 to 23. All of `time.*` is derived from `request.at`.
pub const TIME_HOUR: &str = "time.hour";
/// The minute of the hour, 0 to 59.
pub const TIME_MINUTE: &str = "time.minute";
/// The day of the week in UTC: 1 is Monday, 7 is Sunday.
pub const TIME_WEEKDAY: &str = "time.weekday";
/// The day in UTC, as text: `2026-11-23`.
pub const TIME_DATE: &str = "time.date";

/// All of them.
pub const ALL: [&str; 12] = [
    AUTH_METHOD,
    AUTH_TOKEN_ISSUER,
    AUTH_TOKEN_SUBJECT,
    EXCHANGE_ACTORS,
    HTTP_USER_AGENT,
    NET_IP,
    REQUEST_AUTHORIZATION_DETAILS,
    TIME_DATE,
    TIME_HOUR,
    TIME_MINUTE,
    TIME_WEEKDAY,
    TLS_CLIENT_CERT_SHA256,
];
