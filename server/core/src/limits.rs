//! Every limit of the domain, with its reason. What is over a limit is refused, never cut short.

/// Longest scope name, in bytes: a token with 100 of them still fits into a header.
pub const SCOPE_NAME_BYTES: usize = 128;
/// Longest name of anything, in characters.
pub const NAME_CHARS: usize = 120;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS: usize = 500;
/// Longest identifier of an API resource, in bytes.
pub const IDENTIFIER_BYTES: usize = 255;
/// Most scopes that one API resource can have had in its life: each takes a bit in each grant.
pub const SCOPES_PER_API: usize = 512;
/// Most API resources: they are scanned by administration, never by the token path.
pub const API_RESOURCES: usize = 100_000;
/// Most roles.
pub const ROLES: usize = 100_000;
/// Most grants of one application.
pub const GRANTS_PER_APPLICATION: usize = 256;
/// Most secrets of one application that are not revoked: two overlap in a rotation, the rest is
/// room for fleets that rotate slowly. Each costs the token path one comparison.
pub const SECRETS_PER_APPLICATION: usize = 16;
/// Longest time for which the older secrets go on working after a rotation, in seconds: 90 days.
pub const SECRET_OVERLAP_MAX_SECONDS: u32 = 90 * 86_400;
/// Most roles of one application.
pub const ROLES_PER_APPLICATION: usize = 64;
/// Most labels of one application.
pub const LABELS_PER_APPLICATION: usize = 32;
/// Longest label key, in bytes.
pub const LABEL_KEY_BYTES: usize = 63;
/// Longest label value, in bytes.
pub const LABEL_VALUE_BYTES: usize = 255;
/// Most extra audiences of one application.
pub const EXTRA_AUDIENCES: usize = 16;
/// Most guards of one API resource.
pub const GUARDS_PER_API: usize = 64;
/// Most scopes that one token request may name (RFC 6749 §3.3 sets none).
pub const SCOPES_PER_REQUEST: usize = 100;
/// Most API resources that one token request may name (RFC 8707 §2).
pub const RESOURCES_PER_REQUEST: usize = 16;
/// Shortest lifetime of a token, in seconds.
pub const LIFETIME_MIN_SECONDS: u32 = 1;
/// Longest lifetime of a token, in seconds: a local validator hears of a revocation only at `exp`.
pub const LIFETIME_MAX_SECONDS: u32 = 86_400;
/// How long after its last use for signing a key stays in the JWKS, in seconds: the longest
/// lifetime, and a minute for clocks that differ.
pub const KEY_AFTERLIFE_SECONDS: u64 = LIFETIME_MAX_SECONDS as u64 + 60;
/// Most signing keys that are not revoked: the JWKS is fetched by everyone.
pub const SIGNING_KEYS: usize = 32;
/// Most policies that can be bound: each that is takes memory for its native code. Those that are
/// removed make room, and their modules are kept all the same.
pub const POLICIES: usize = 1_000;
/// Most bindings of one target: each costs every token some microseconds.
pub const BINDINGS_PER_TARGET: usize = 16;
/// Most policies that judge one token: their verdicts are all in its record.
pub const POLICIES_PER_TOKEN: usize = 64;
/// Most public keys that are registered with one application or trusted issuer: two overlap in a
/// rotation, and fleets may have one each.
pub const REGISTERED_KEYS: usize = 16;
/// Most certificates that are registered with one application.
pub const CERTIFICATES_PER_APPLICATION: usize = 16;
/// Most trust rules of one application: each is tried with a token that is presented.
pub const TRUST_RULES_PER_APPLICATION: usize = 32;
/// Most claims that one trust rule demands.
pub const CLAIMS_PER_TRUST_RULE: usize = 16;
/// Most trusted issuers.
pub const TRUSTED_ISSUERS: usize = 1_000;
/// Longest lifetime of a foreign token that proves an application, in seconds. Those of Kubernetes
/// live for an hour, those of GitHub Actions for some minutes.
pub const TRUST_LIFETIME_MAX_SECONDS: u32 = 86_400;
/// Most applications whose tokens one application may exchange.
pub const EXCHANGE_SUBJECTS: usize = 64;
/// Most types of authorization details of one API resource, and of one grant.
pub const DETAILS_TYPES_PER_API: usize = 64;
/// Longest JSON Schema of a type of authorization details, in bytes.
pub const DETAILS_SCHEMA_BYTES: usize = 32 * 1024;
/// Most objects of authorization details in one request (RFC 9396 §2 sets none).
pub const DETAILS_PER_REQUEST: usize = 16;
/// Most initial access tokens that are not revoked: each is compared with one that is presented.
pub const INITIAL_ACCESS_TOKENS: usize = 1_000;
/// Most applications that one initial access token registers.
pub const REGISTRATIONS_PER_TOKEN: u32 = 10_000;
/// Longest life of an initial access token, in seconds: a year.
pub const INITIAL_ACCESS_TOKEN_SECONDS: u64 = 366 * 86_400;
/// Longest prefix of the names of applications that register themselves, in characters: there is
/// room for an id behind it.
pub const NAME_PREFIX_CHARS: usize = 64;
/// Most grants that an application gets by registering itself.
pub const GRANTS_PER_REGISTRATION: usize = 64;
/// Most changes of its registration that an application makes in one day (UTC): each is in the log
/// for ever, and more than one an hour is no rotation of keys.
pub const REGISTRATION_CHANGES_PER_DAY: u32 = 24;
/// Most claims that one binding permits.
pub const CLAIMS_PER_BINDING: usize = 64;
/// Most events of one command: they are one atomic append.
pub const EVENTS_PER_COMMAND: usize = 1_000;
/// Largest stored event, in bytes.
pub const EVENT_BYTES: usize = 60 * 1024;
/// The part of it that is left for what surrounds an event's data: actor, ids, hashes, causes.
pub const ENVELOPE_BYTES: usize = 4 * 1024;
/// How long an idempotency key is remembered, in milliseconds of log time.
pub const IDEMPOTENCY_MS: u64 = 24 * 3600 * 1000;
/// Most live token revocations of one application; past it, cut all its tokens instead.
pub const REVOCATIONS_PER_APPLICATION: u32 = 10_000;
/// Most users that a refusal names.
pub const USERS_NAMED: usize = 20;
