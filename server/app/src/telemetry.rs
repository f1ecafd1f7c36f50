//! What Writ says about itself: log lines, trace context and metrics.
//!
//! No line and no metric ever carries a secret, a token or an assertion, and no metric has a
//! label for an application: there may be a million of them.

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use writ_core::{Algorithm, PolicyMode, Position, QuotaMode};
use writ_sandbox::Decision;

use crate::clock::Random;
use crate::config::LogFormat;
use crate::issue::panel::Opinion;
use crate::remote_keys;

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is malformed.
    #[error("log.filter: {0}; write it as `info` or `info,writ=debug`")]
    Filter(String),
    /// Something else has set up logging in this process.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up logging for the process, on standard error: text for a terminal, one JSON object a
/// line for anything else, unless `format` says which.
///
/// # Errors
/// The filter is malformed, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let subscriber = subscriber(json, terminal, filter, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

/// What writes the lines: for tests that read them, with `tracing::subscriber::with_default`.
///
/// # Errors
/// The filter is malformed.
pub fn subscriber<W>(
    json: bool,
    colours: bool,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LogError::Filter(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(if json {
        let builder = builder.json().flatten_event(true).with_current_span(true);
        let builder = builder.map_event_format(|lines| Lines { lines, json });
        Box::new(builder.finish())
    } else {
        let builder = builder.with_ansi(colours).map_event_format(|lines| Lines {
            lines: lines.with_ansi(colours),
            json,
        });
        Box::new(builder.finish())
    })
}

tokio::task_local! {
    /// The request that this task works for.
    static REQUEST: Option<RequestId>;
}

/// Does what a request asks: each line that is logged meanwhile has its id, whatever the filter.
///
/// This is no span of `tracing`. Such a span would have to be made for every request whose lines
/// might pass the filter (0.5 µs and a lock of a registry, beside the 30 µs of a token), while
/// hardly any request logs a line. This is a thread-local that is set while the task runs, and is
/// asked when there is a line.
pub fn of_request<F: Future>(id: RequestId, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(Some(id), work)
}

/// What a request hands to another task belongs to it too.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(current_request(), work)
}

/// The same for what it hands to a thread where blocking is allowed.
pub fn carried_blocking<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let request = current_request();
    move || REQUEST.sync_scope(request, work)
}

fn current_request() -> Option<RequestId> {
    REQUEST.try_with(|request| *request).ok().flatten()
}

/// The form of a line, with the id of the request that it is about.
struct Lines<F> {
    lines: F,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = current_request() else {
            return self.lines.format_event(context, writer, event);
        };
        let mut line = String::new();
        let into = Writer::new(&mut line);
        self.lines.format_event(context, into, event)?;
        let line = line.trim_end_matches('\n');
        match line.strip_suffix('}') {
            Some(open) if self.json => writeln!(writer, r#"{open},"request.id":"{id}"}}"#),
            _ => writeln!(writer, "{line} request.id={id}"),
        }
    }
}

/// Which trace a request belongs to (W3C Trace Context, level 1): it stands in every log line, in
/// the answer, and in the events a request causes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

/// The flag "the caller may have recorded this".
const SAMPLED: u8 = 1;

impl TraceContext {
    /// The context of a request: a new span in the trace that its `traceparent` names, or a new
    /// trace where there is no such header, or more than one, or a malformed one (§4.2, §4.3).
    #[must_use]
    pub fn of_request<'a>(
        traceparents: impl IntoIterator<Item = &'a [u8]>,
        random: &dyn Random,
    ) -> Self {
        let mut headers = traceparents.into_iter();
        let parent = match (headers.next(), headers.next()) {
            (Some(header), None) => Self::parse(header),
            _ => None,
        };
        let number = || {
            let mut bytes = [0; 8];
            random.fill_public(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        // Neither id may be all zero (§3.2.2.3, §3.2.2.4).
        let span_id = number().max(1);
        match parent {
            Some(parent) => Self { span_id, ..parent },
            None => {
                let high = number().max(1);
                Self {
                    trace_id: u128::from(high) << 64 | u128::from(number()),
                    span_id,
                    flags: SAMPLED,
                }
            }
        }
    }

    /// Parses a `traceparent` (§3.2): `00-{trace}-{span}-{flags}` in lower-case hexadecimal. A
    /// later version is read as far as this one goes.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (fixed, rest) = header.split_at_checked(55)?;
        let version = hex(fixed.get(..2)?)?;
        let later_may_go_on = version != 0 && rest.first() == Some(&b'-');
        if version == 0xff || !(rest.is_empty() || later_may_go_on) {
            return None;
        }
        for at in [2, 35, 52] {
            if fixed.get(at) != Some(&b'-') {
                return None;
            }
        }
        let trace_id = hex(fixed.get(3..35)?)?;
        let span_id = u64::try_from(hex(fixed.get(36..52)?)?).ok()?;
        let flags = u8::try_from(hex(fixed.get(53..)?)?).ok()?;
        // All other flags are not for us to pass on (§3.2.2.5).
        let context = Self {
            trace_id,
            span_id,
            flags: flags & SAMPLED,
        };
        (trace_id != 0 && span_id != 0).then_some(context)
    }

    /// The id of the trace, as 32 hexadecimal digits: the request id that log lines, answers and
    /// events show.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        RequestId(self.trace_id)
    }
}

/// The context as a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a request: that of its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lower-case hexadecimal digits and nothing else.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

/// An enum whose every variant is a value of one label.
macro_rules! label {
    (
        $(#[$doc:meta])* $name:ident, $label:literal:
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            const LABEL: &str = $label;

            /// The value as metrics show it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

label! {
    /// Why a token request got none, by its code on the wire (RFC 6749 §5.2, RFC 8707 §2).
    TokenErrorCode, "error":
    /// A policy said no.
    AccessDenied = "access_denied",
    /// Authorization details that there are not, or not for this application.
    InvalidAuthorizationDetails = "invalid_authorization_details",
    /// The application did not prove who it is.
    InvalidClient = "invalid_client",
    /// A DPoP proof is missing, or no good.
    InvalidDpopProof = "invalid_dpop_proof",
    /// The grant presented is no good.
    InvalidGrant = "invalid_grant",
    /// The request is malformed.
    InvalidRequest = "invalid_request",
    /// A scope that there is not, or not for this application.
    InvalidScope = "invalid_scope",
    /// A resource that there is not, or not for this application.
    InvalidTarget = "invalid_target",
    /// The server's trouble.
    ServerError = "server_error",
    /// The server's trouble, soon over.
    TemporarilyUnavailable = "temporarily_unavailable",
    /// Not for this application.
    UnauthorizedClient = "unauthorized_client",
    /// A grant type that Writ does not know.
    UnsupportedGrantType = "unsupported_grant_type",
    /// A DPoP proof must have the nonce that comes with this answer.
    UseDpopNonce = "use_dpop_nonce",
}

label! {
    /// What became of an administrator's command.
    CommandOutcome, "outcome":
    /// It is durable.
    Accepted = "accepted",
    /// The rules said no.
    Refused = "refused",
    /// The same idempotency key had been accepted before.
    Repeated = "repeated",
    /// The server's trouble.
    Failed = "failed",
}

label! {
    /// A class of endpoints.
    Endpoint, "endpoint":
    /// The admin API.
    Admin = "admin",
    /// `/oauth2/introspect`.
    Introspect = "introspect",
    /// `/oauth2/jwks`.
    Jwks = "jwks",
    /// The metadata documents.
    Metadata = "metadata",
    /// Whatever there is not.
    Other = "other",
    /// `/oauth2/register`, and what is below it.
    Register = "register",
    /// `/oauth2/revoke`.
    Revoke = "revoke",
    /// `/oauth2/token`.
    Token = "token",
}

label! {
    /// What the index holds.
    Entity, "entity":
    /// API resources.
    ApiResources = "api_resources",
    /// Applications.
    Applications = "applications",
    /// Policies.
    Policies = "policies",
    /// Bindings of policies.
    PolicyBindings = "policy_bindings",
    /// Live revocations of single tokens.
    RevokedTokens = "revoked_tokens",
    /// Roles.
    Roles = "roles",
    /// Signing keys.
    SigningKeys = "signing_keys",
}

label! {
    /// What a policy said about a token.
    PolicyAnswer, "verdict":
    /// There may be one, perhaps a smaller one.
    Permit = "permit",
    /// There is none.
    Deny = "deny",
    /// Nothing that counts, which denies.
    Fault = "fault",
    /// It could not be asked: the server's trouble.
    Unavailable = "unavailable",
}

impl PolicyAnswer {
    fn of(opinion: &Opinion) -> Self {
        match &opinion.answer {
            Ok(outcome) => match outcome.decision {
                Decision::Allow(_) => Self::Permit,
                Decision::Deny(_) => Self::Deny,
            },
            Err(trouble) if trouble.is_servers() => Self::Unavailable,
            Err(_) => Self::Fault,
        }
    }
}

type Labels = [(&'static str, &'static str); 1];
type WitnessLabels = [(&'static str, String); 1];

/// All metrics. Each series is there from the start, so that a rate has a beginning; the handles
/// are looked up once, so that counting takes no lock.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tokens_issued: Vec<Counter>,
    token_errors: Vec<Counter>,
    admin_commands: Vec<Counter>,
    quotas_used_up: Vec<Counter>,
    authentications_refused: Counter,
    requests_shed: Counter,
    superseded_secrets: Gauge,
    policy_verdicts: Vec<Counter>,
    policy_shadow_verdicts: Vec<Counter>,
    policy_seconds: Histogram,
    policies_unavailable: Gauge,
    sandboxes_in_use: Gauge,
    request_seconds: Vec<Histogram>,
    index_entities: Vec<Gauge>,
    log_head: Gauge,
    issuance_waiting: Gauge,
    issuance_records: Counter,
    issuance_lost: Counter,
    issuance_commit_seconds: Histogram,
    admin_commit_seconds: Histogram,
    writer_healthy: Gauge,
    issuance_healthy: Gauge,
    witness_size: Family<WitnessLabels, Gauge>,
    witness_at: Family<WitnessLabels, Gauge>,
    witness_failures: Family<WitnessLabels, Counter>,
    remote_keys: remote_keys::Counters,
}

/// What is counted of one witness.
#[derive(Clone, Debug)]
pub struct WitnessMetrics {
    size: Gauge,
    at: Gauge,
    failures: Counter,
}

impl WitnessMetrics {
    /// It has signed a checkpoint of so many events, at a time in seconds since 1970.
    pub fn cosigned(&self, size: u64, seconds: u64) {
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.at.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// It was asked in vain.
    pub fn failed(&self) {
        self.failures.inc();
    }
}

/// 3 µs to 30 ms, in steps of about three.
const VERDICT_SECONDS: [f64; 9] = [
    0.000_003, 0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03,
];

/// 100 µs to 10 s, in steps of about three.
const SECONDS: [f64; 11] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0,
];

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// All metrics, at zero; both health gauges at 1.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("writ");
        let version: Labels = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version that runs", Info::new(version));
        let algorithms = Algorithm::ALL.map(|algorithm| ("algorithm", algorithm.as_str()));
        let tokens_issued = counters(
            &mut registry,
            "tokens_issued",
            "Tokens signed and recorded",
            algorithms,
        );
        let errors = TokenErrorCode::ALL
            .iter()
            .map(|e| (TokenErrorCode::LABEL, e.as_str()));
        let token_errors = counters(
            &mut registry,
            "token_errors",
            "Token requests refused, by error",
            errors,
        );
        let outcomes = CommandOutcome::ALL
            .iter()
            .map(|o| (CommandOutcome::LABEL, o.as_str()));
        let admin_commands = counters(
            &mut registry,
            "admin_commands",
            "Commands of administrators",
            outcomes,
        );

        let quotas_used_up = counters(
            &mut registry,
            "quotas_used_up",
            "Token requests over a quota, by what happens then",
            [("mode", "enforce"), ("mode", "monitor")],
        );

        let verdicts = || {
            let answers = PolicyAnswer::ALL.iter();
            answers.map(|answer| (PolicyAnswer::LABEL, answer.as_str()))
        };
        let policy_verdicts = counters(
            &mut registry,
            "policy_verdicts",
            "Verdicts of policies that are enforced",
            verdicts(),
        );
        let policy_shadow_verdicts = counters(
            &mut registry,
            "policy_shadow_verdicts",
            "Verdicts of policies in shadow, which are not obeyed",
            verdicts(),
        );
        let policy_seconds = Histogram::new(VERDICT_SECONDS);
        registry.register(
            "policy_verdict_duration_seconds",
            "Time of a verdict, its sandbox included",
            policy_seconds.clone(),
        );

        let requests: Family<Labels, Histogram> = Family::new_with_constructor(histogram);
        let name = "request_duration_seconds";
        registry.register(name, "Time from request to answer", requests.clone());
        let request_seconds = Endpoint::ALL
            .iter()
            .map(|e| requests.get_or_create_owned(&[(Endpoint::LABEL, e.as_str())]))
            .collect();
        let entities: Family<Labels, Gauge> = Family::default();
        registry.register(
            "index_entities",
            "Entities in the grant index",
            entities.clone(),
        );
        let index_entities = Entity::ALL
            .iter()
            .map(|e| entities.get_or_create_owned(&[(Entity::LABEL, e.as_str())]))
            .collect();

        let mut gauge = |name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let log_head = gauge("log_head_position", "Position of the newest event");
        let policies_unavailable = gauge(
            "policies_unavailable",
            "Bindings whose policy cannot be asked; those that are enforced refuse their tokens",
        );
        let superseded_secrets = gauge(
            "superseded_secrets_in_use",
            "Secrets used within a day though a younger one was there to take their place",
        );
        let sandboxes_in_use = gauge("policy_sandboxes_in_use", "Verdicts being made");
        let issuance_waiting = gauge("issuance_waiting", "Records waiting for their commit");
        let writer_healthy = gauge("writer_healthy", "1 while the admin log takes commands");
        let issuance_healthy = gauge("issuance_healthy", "1 while tokens can be recorded");
        writer_healthy.set(1);
        issuance_healthy.set(1);
        let mut counter = |name: &str, help: &str| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let issuance_records = counter("issuance_records", "Issuance records made durable");
        let issuance_lost = counter("issuance_records_lost", "Records lost in buffered mode");
        let authentications_refused = counter(
            "authentications_refused",
            "Client authentications that were not looked at after too many failures",
        );
        let requests_shed = counter(
            "requests_shed",
            "Requests answered by 503, since the server had more to do than it could, or was stopping",
        );
        let mut timer = |name: &str, help: &str| {
            let histogram = histogram();
            registry.register(name, help, histogram.clone());
            histogram
        };
        let issuance_commit_seconds = timer(
            "issuance_commit_duration_seconds",
            "Time of a commit of the issuance log",
        );
        let admin_commit_seconds = timer(
            "admin_commit_duration_seconds",
            "Time of a commit of the admin log",
        );
        let witness_size = Family::<WitnessLabels, Gauge>::default();
        registry.register(
            "witness_cosigned_size",
            "Events in the last checkpoint that a witness has signed",
            witness_size.clone(),
        );
        let witness_at = Family::<WitnessLabels, Gauge>::default();
        registry.register(
            "witness_cosigned_timestamp_seconds",
            "When a witness has signed last, in seconds since 1970",
            witness_at.clone(),
        );
        let witness_failures = Family::<WitnessLabels, Counter>::default();
        registry.register(
            "witness_failures",
            "Times that a witness was asked and has not signed",
            witness_failures.clone(),
        );
        let remote_keys = remote_keys::Counters::new();
        remote_keys.register(&mut registry);
        Self {
            registry,
            tokens_issued,
            token_errors,
            admin_commands,
            quotas_used_up,
            authentications_refused,
            requests_shed,
            superseded_secrets,
            policy_verdicts,
            policy_shadow_verdicts,
            policy_seconds,
            policies_unavailable,
            sandboxes_in_use,
            request_seconds,
            index_entities,
            log_head,
            issuance_waiting,
            issuance_records,
            issuance_lost,
            issuance_commit_seconds,
            admin_commit_seconds,
            writer_healthy,
            issuance_healthy,
            witness_size,
            witness_at,
            witness_failures,
            remote_keys,
        }
    }

    /// Those of fetching keys of others: what is counted in them is here.
    #[must_use]
    pub fn remote_keys(&self) -> remote_keys::Counters {
        self.remote_keys.clone()
    }

    /// Those of a witness, by the name of its key.
    #[must_use]
    pub fn witness(&self, name: &str) -> WitnessMetrics {
        let labels = [("witness", name.to_owned())];
        WitnessMetrics {
            size: self.witness_size.get_or_create_owned(&labels),
            at: self.witness_at.get_or_create_owned(&labels),
            failures: self.witness_failures.get_or_create_owned(&labels),
        }
    }

    /// A token was signed and recorded.
    pub fn token_issued(&self, algorithm: Algorithm) {
        let at = Algorithm::ALL.iter().position(|known| *known == algorithm);
        if let Some(counter) = at.and_then(|at| self.tokens_issued.get(at)) {
            counter.inc();
        }
    }

    /// A token request was refused.
    pub fn token_refused(&self, code: TokenErrorCode) {
        if let Some(counter) = self.token_errors.get(code as usize) {
            counter.inc();
        }
    }

    /// A token was asked for that is over the quota of its application.
    pub fn quota_used_up(&self, mode: QuotaMode) {
        let at = match mode {
            QuotaMode::Enforce => 0,
            QuotaMode::Monitor => 1,
        };
        if let Some(counter) = self.quotas_used_up.get(at) {
            counter.inc();
        }
    }

    /// A request was told to come again later, since there is too much to do.
    pub fn shed(&self) {
        self.requests_shed.inc();
    }

    /// An authentication was not looked at.
    pub fn authentication_refused(&self) {
        self.authentications_refused.inc();
    }

    /// How many secrets are in use though they are superseded.
    pub fn superseded_secrets(&self, secrets: usize) {
        let secrets = i64::try_from(secrets).unwrap_or(i64::MAX);
        self.superseded_secrets.set(secrets);
    }

    /// A command was decided, or failed.
    pub fn command(&self, outcome: CommandOutcome) {
        if let Some(counter) = self.admin_commands.get(outcome as usize) {
            counter.inc();
        }
    }

    /// Policies were asked about a token.
    pub fn judged(&self, opinions: &[Opinion]) {
        for opinion in opinions {
            let counters = match opinion.binding.mode {
                PolicyMode::Enforce => &self.policy_verdicts,
                PolicyMode::Shadow => &self.policy_shadow_verdicts,
            };
            if let Some(counter) = counters.get(PolicyAnswer::of(opinion) as usize) {
                counter.inc();
            }
            self.policy_seconds.observe(f64::from(opinion.micros) / 1e6);
        }
    }

    /// How many bindings cannot be asked.
    pub fn policies_unavailable(&self, bindings: usize) {
        let bindings = i64::try_from(bindings).unwrap_or(i64::MAX);
        self.policies_unavailable.set(bindings);
    }

    /// How many bindings could not be asked when they were last counted.
    #[must_use]
    pub fn unavailable_policies(&self) -> i64 {
        self.policies_unavailable.get()
    }

    /// How many verdicts are being made.
    pub fn sandboxes_in_use(&self, sandboxes: u64) {
        let sandboxes = i64::try_from(sandboxes).unwrap_or(i64::MAX);
        self.sandboxes_in_use.set(sandboxes);
    }

    /// A request was answered.
    pub fn answered(&self, endpoint: Endpoint, took: Duration) {
        if let Some(histogram) = self.request_seconds.get(endpoint as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// How many of something the index holds.
    pub fn index_size(&self, entity: Entity, count: usize) {
        if let Some(gauge) = self.index_entities.get(entity as usize) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The position of the newest event.
    pub fn log_head(&self, head: Position) {
        self.log_head.set(i64::try_from(head.0).unwrap_or(i64::MAX));
    }

    /// A commit of the admin log.
    pub fn admin_commit(&self, took: Duration) {
        self.admin_commit_seconds.observe(took.as_secs_f64());
    }

    /// How many issuance records wait for their commit.
    pub fn issuance_waiting(&self, records: usize) {
        self.issuance_waiting
            .set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// A commit of the issuance log, of so many records.
    pub fn issuance_commit(&self, records: usize, took: Duration) {
        self.issuance_records.inc_by(records as u64);
        self.issuance_commit_seconds.observe(took.as_secs_f64());
    }

    /// Records that buffered mode lost.
    pub fn issuance_lost(&self, records: usize) {
        self.issuance_lost.inc_by(records as u64);
    }

    /// Whether the admin log takes commands.
    pub fn writer_healthy(&self, healthy: bool) {
        self.writer_healthy.set(healthy.into());
    }

    /// Whether tokens can be recorded.
    pub fn issuance_healthy(&self, healthy: bool) {
        self.issuance_healthy.set(healthy.into());
    }

    /// The content type of [`Self::encode`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("a String takes any text");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    labels: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Vec<Counter> {
    let family: Family<Labels, Counter> = Family::default();
    registry.register(name, help, family.clone());
    labels
        .into_iter()
        .map(|label| family.get_or_create_owned(&[label]))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::{SeededRandom, SystemRandom};
    use proptest::prelude::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_request_joins_the_trace_of_its_caller() {
        let random = SeededRandom::new(1);
        let context = TraceContext::of_request([PARENT.as_bytes()], &random);
        assert_eq!(
            context.request_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        let shown = context.to_string();
        assert!(
            shown.starts_with(&PARENT[..36]) && shown.ends_with("-01"),
            "{shown}"
        );
        assert_ne!(shown, PARENT, "a span of its own");

        for headers in [vec![], vec![PARENT, PARENT], vec!["nonsense"]] {
            let fresh = TraceContext::of_request(headers.iter().map(|h| h.as_bytes()), &random);
            assert_ne!(fresh.request_id(), context.request_id());
            assert_eq!(
                TraceContext::parse(fresh.to_string().as_bytes()),
                Some(fresh)
            );
        }
    }

    #[test]
    fn only_a_right_traceparent_is_read() {
        let parse = |text: &str| TraceContext::parse(text.as_bytes());
        assert!(parse(PARENT).is_some());
        let later = PARENT.replacen("00", "cc", 1);
        assert!(parse(&later).is_some());
        assert!(parse(&format!("{later}-more")).is_some());
        assert!(parse(&format!("{later}more")).is_none());
        assert!(parse(&format!("{PARENT}-more")).is_none());
        for bad in [
            "",
            "00",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replacen('-', "_", 1),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &PARENT.replace("4bf9", "4bg9"),
            &PARENT.replace("-01", "-0g"),
            &PARENT.replace("-01", "é"),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_traceparent_panics_and_what_is_read_is_right(
            header: Vec<u8>,
            like in "[0-9a-fA-F-]{50,60}",
        ) {
            let _ = TraceContext::parse(&header);
            for text in [like.clone(), format!("00-{}-{}-01", &like[..32], &like[32..48])] {
                if let Some(context) = TraceContext::parse(text.as_bytes()) {
                    // The version and all flags but one may differ.
                    prop_assert_eq!(&text[2..53], &context.to_string()[2..53]);
                }
            }
        }

        #[test]
        fn a_context_reads_back(trace_id in 1u128.., span_id in 1u64.., flags in 0u8..2) {
            let context = TraceContext { trace_id, span_id, flags };
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
        }
    }

    #[test]
    fn every_series_is_there_from_the_start_and_counts() {
        let metrics = Metrics::new();
        let before = metrics.encode();
        for series in [
            "writ_tokens_issued_total{algorithm=\"EdDSA\"} 0",
            "writ_token_errors_total{error=\"invalid_scope\"} 0",
            "writ_admin_commands_total{outcome=\"refused\"} 0",
            "writ_request_duration_seconds_count{endpoint=\"token\"} 0",
            "writ_index_entities{entity=\"roles\"} 0",
            "writ_writer_healthy 1",
            "writ_build_info{version=",
        ] {
            assert!(before.contains(series), "{series}\n{before}");
        }
        metrics.token_issued(Algorithm::EdDSA);
        metrics.token_refused(TokenErrorCode::InvalidScope);
        metrics.command(CommandOutcome::Refused);
        metrics.answered(Endpoint::Token, Duration::from_millis(2));
        metrics.index_size(Entity::Roles, 5);
        metrics.log_head(Position(41));
        metrics.issuance_commit(3, Duration::from_millis(1));
        metrics.admin_commit(Duration::from_millis(1));
        metrics.issuance_waiting(7);
        metrics.issuance_lost(1);
        metrics.writer_healthy(false);
        metrics.issuance_healthy(false);
        let witness = metrics.witness("witness.example/w1");
        witness.cosigned(7, 1_764_000_000);
        witness.failed();
        let after = metrics.encode();
        for series in [
            "writ_tokens_issued_total{algorithm=\"EdDSA\"} 1",
            "writ_tokens_issued_total{algorithm=\"ES256\"} 0",
            "writ_token_errors_total{error=\"invalid_scope\"} 1",
            "writ_admin_commands_total{outcome=\"refused\"} 1",
            "writ_request_duration_seconds_bucket{le=\"0.003\",endpoint=\"token\"} 1",
            "writ_request_duration_seconds_bucket{le=\"0.001\",endpoint=\"token\"} 0",
            "writ_index_entities{entity=\"roles\"} 5",
            "writ_log_head_position 41",
            "writ_issuance_records_total 3",
            "writ_issuance_records_lost_total 1",
            "writ_issuance_commit_duration_seconds_count 1",
            "writ_admin_commit_duration_seconds_count 1",
            "writ_issuance_waiting 7",
            "writ_writer_healthy 0",
            "writ_issuance_healthy 0",
            "writ_witness_cosigned_size{witness=\"witness.example/w1\"} 7",
            "writ_witness_cosigned_timestamp_seconds{witness=\"witness.example/w1\"} 1764000000",
            "writ_witness_failures_total{witness=\"witness.example/w1\"} 1",
        ] {
            assert!(after.contains(series), "{series}\n{after}");
        }
        assert!(after.ends_with("# EOF\n"));
    }

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(json: bool, filter: &str) -> String {
        let lines = Written::default();
        let writer = lines.clone();
        let subscriber = subscriber(json, false, filter, move || writer.clone()).unwrap();
        let _default = tracing::subscriber::set_default(subscriber);
        tracing::info!("before");
        let context = TraceContext::of_request([PARENT.as_bytes()], &SystemRandom);
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(of_request(context.request_id(), async {
            tracing::info!(position = 41, "granted");
            tracing::debug!("detail");
            tracing::error!("a brace }}");
            tokio::spawn(carried(async { tracing::info!("in another task") }))
                .await
                .unwrap();
            carried_blocking(|| tracing::info!("where blocking is allowed"))();
            tokio::spawn(async { tracing::info!("not handed over") })
                .await
                .unwrap();
        }));
        tracing::info!("after");
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_json_or_text_and_name_the_request() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let expected = [
            ("before", false),
            ("granted", true),
            ("a brace }", true),
            ("in another task", true),
            ("where blocking is allowed", true),
            ("not handed over", false),
            ("after", false),
        ];
        let found: Vec<serde_json::Value> = lines(true, "info")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (line, (message, named)) in found.iter().zip(expected) {
            assert_eq!(line["message"], message);
            assert_eq!(line["request.id"] == ID, named, "{line}");
        }
        assert_eq!(found[1]["position"], 41);

        let text = lines(false, "info");
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        for (line, (message, named)) in text.lines().zip(expected) {
            assert!(line.contains(message), "{line}");
            assert_eq!(
                line.ends_with(&format!(" request.id={ID}")),
                named,
                "{line}"
            );
        }
        assert!(text.contains("granted position=41 request.id="), "{text}");
        assert!(lines(false, "debug").contains("detail"));
        assert!(!text.contains('\u{1b}'));
        assert_eq!(lines(false, "off"), "");
        let refused = subscriber(false, false, "writ=loud", io::sink)
            .err()
            .unwrap();
        assert!(refused.to_string().starts_with("log.filter: "), "{refused}");
    }
}
