//! The admin API as the verbs use it: a token from a file of credentials, requests with the options
//! that all changes and reads have, pages, problems. Nothing is retried: a creation carries an
//! idempotency key, so that a person can repeat it without doing it twice.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};
use writ::clock::{Clock, Random, Stopwatch, SystemClock, SystemRandom};
use writ::holder_key::HolderKey;
use writ::tls::{self, SYSTEM_CERTIFICATES};
use writ_api::Problem;
use writ_core::MANAGEMENT_IDENTIFIER;
use zeroize::Zeroizing;

use super::credentials::{self, Credentials};
use super::output::{Details, Out, clean, parse};
use super::table::Table;
use super::{Failure, note};

/// The largest answer that is read, in bytes: a page of large entities is far below.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long an answer that goes on may be silent: the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Items that are asked for at once.
const PAGE: usize = 100;
/// The header of a proof (RFC 9449 §4.1).
const DPOP: &str = "dpop";
/// What a server says that wants a nonce in it (RFC 9449 §8).
const USE_NONCE: &str = "use_dpop_nonce";
/// What an assertion of a client is called (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What stays as it is in a segment of a path. A dot does not: `..` is a name here, not a way up.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Where the server is and as whom to talk to it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
#[group(skip)]
pub struct Connection {
    /// The credentials of an administrator
    #[arg(
        long,
        global = true,
        env = "WRIT_ADMIN_FILE",
        value_name = "FILE",
        default_value = "writ-data/admin.json"
    )]
    pub admin_file: PathBuf,
    /// The URL of the admin API, where it has a listener of its own
    #[arg(long, global = true, value_name = "URL")]
    pub admin_url: Option<String>,
    /// Certificates to trust, in PEM, instead of those of the credentials or of the system
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The list of certificates of the system, where it is not in a usual place
    #[arg(long, global = true, hide = true, env = "SSL_CERT_FILE")]
    system_ca_file: Option<PathBuf>,
    /// The longest a request may take
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub timeout: u64,
}

/// What every change takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of changes")]
#[group(skip)]
pub struct Change {
    /// Why: kept beside the log, as text that can be deleted
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Change it only if this is its version still
    #[arg(long, value_name = "VERSION")]
    pub if_match: Option<String>,
    /// Makes a repeat of this very call harmless for 24 hours
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// What every creation takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of changes")]
#[group(skip)]
pub struct Creation {
    /// Why: kept beside the log, as text that can be deleted
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Makes a repeat of this very call harmless for 24 hours; made up where not given
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

impl From<Creation> for Change {
    fn from(creation: Creation) -> Self {
        Self {
            reason: creation.reason,
            if_match: None,
            idempotency_key: creation.idempotency_key,
        }
    }
}

/// What every removal takes.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Removal {
    /// Take it away from everything that uses it too
    #[arg(long)]
    pub cascade: bool,
    #[command(flatten)]
    pub change: Change,
}

/// What every read takes.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Read {
    /// As it was at a position of the log or at an RFC 3339 time
    #[arg(long, value_name = "POSITION|TIME")]
    pub as_of: Option<String>,
}

/// What every list takes.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Listing {
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub read: Read,
}

/// An administrator's connection.
pub struct Client {
    wire: Wire,
    credentials: Credentials,
    api: String,
    token: Option<Token>,
}

/// A token while it is good.
struct Token {
    text: Zeroizing<String>,
    age: Stopwatch,
    renew_after: Duration,
}

/// A request of the admin API that is being put together.
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Content>,
    repeat_by: Option<String>,
}

/// The body of a request.
struct Content {
    kind: &'static str,
    bytes: Vec<u8>,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    /// Its body; null where there is none.
    pub value: Value,
    /// The position of the change.
    pub position: Option<u64>,
    /// Whether the request made something that was not there (201).
    pub created: bool,
}

/// A successful answer, as it came.
struct Received {
    url: String,
    status: StatusCode,
    position: Option<u64>,
    text: Vec<u8>,
}

/// The answer of a token endpoint.
#[derive(Deserialize)]
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// How long it is good, in seconds.
    #[serde(default)]
    pub expires_in: u64,
}

#[derive(Deserialize)]
struct OauthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// A path of percent-encoded segments.
pub fn path(segments: &[&str]) -> String {
    let encode = |segment: &&str| format!("/{}", utf8_percent_encode(segment, SEGMENT));
    segments.iter().map(encode).collect()
}

impl Call {
    fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            repeat_by: None,
        }
    }

    /// A read.
    pub fn get(segments: &[&str], read: &Read) -> Self {
        let mut call = Self::new(Method::GET, path(segments));
        call.query
            .extend(read.as_of.clone().map(|as_of| ("as_of", as_of)));
        call
    }

    /// A question that has a body.
    pub fn ask(segments: &[&str], read: &Read) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(segments, read)
        }
    }

    /// A creation: it carries an idempotency key in any case.
    pub fn create(segments: &[&str], change: impl Into<Change>) -> Self {
        let mut change = change.into();
        change.idempotency_key.get_or_insert_with(new_key);
        Self::change(Method::POST, segments, &change)
    }

    /// Any other change.
    pub fn change(method: Method, segments: &[&str], change: &Change) -> Self {
        let mut call = Self::new(method, path(segments));
        let if_match = change.if_match.as_deref().map(|version| match version {
            "*" => version.to_owned(),
            _ => format!("\"{}\"", version.trim_matches('"')),
        });
        let headers = [
            ("writ-reason", change.reason.clone()),
            ("if-match", if_match),
            ("idempotency-key", change.idempotency_key.clone()),
        ];
        let given = headers.into_iter();
        call.headers = given
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        call.repeat_by = change.idempotency_key.clone();
        call
    }

    /// A removal.
    pub fn remove(segments: &[&str], removal: &Removal) -> Self {
        let mut call = Self::change(Method::DELETE, segments, &removal.change);
        if removal.cascade {
            call.query.push(("cascade", "true".to_owned()));
        }
        call
    }

    /// With a body.
    pub fn body(self, body: &impl serde::Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))?;
        Ok(self.content("application/json", body))
    }

    /// With a body that is no JSON.
    pub fn content(mut self, kind: &'static str, bytes: Vec<u8>) -> Self {
        self.body = Some(Content { kind, bytes });
        self
    }

    /// With a query parameter.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Only if this is its version still, unless the person named one.
    pub fn if_version(mut self, version: u64) -> Self {
        if !self.headers.iter().any(|(name, _)| *name == "if-match") {
            self.headers.push(("if-match", format!("\"{version}\"")));
        }
        self
    }
}

impl Client {
    /// A connection with the credentials that the options name. Nothing is sent yet.
    pub fn open(connection: &Connection) -> Result<Self, Failure> {
        let credentials = credentials::read(&connection.admin_file)?;
        // What was read has an issuer.
        let base = match &connection.admin_url {
            Some(url) => url.trim_end_matches('/'),
            None => credentials::issuer(&credentials).unwrap_or_default(),
        };
        let api = format!("{base}/api/v1");
        let wire = Wire::new(connection, &credentials)?;
        Ok(Self {
            wire,
            credentials,
            api,
            token: None,
        })
    }

    /// The credentials in use.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A request with what every request has, and its URL.
    fn request(&mut self, call: &Call) -> Result<(String, Builder), Failure> {
        self.renew_token()?;
        let token = self.token.as_ref().map_or("", |token| &token.text);
        let mut url = format!("{}{}", self.api, call.path);
        for (index, (name, value)) in call.query.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let value = utf8_percent_encode(value, SEGMENT);
            url.push_str(&format!("{separator}{name}={value}"));
        }
        let mut request = Request::builder().method(call.method.clone()).uri(&url);
        for (name, value) in &call.headers {
            request = request.header(*name, visible(name, value)?);
        }
        // The address that the server goes by, which that of its admin listener need not be.
        let issuer = credentials::issuer(&self.credentials).unwrap_or_default();
        let htu = format!("{issuer}/api/v1{}", call.path);
        let proof = self.wire.proof(call.method.as_str(), &htu, Some(token))?;
        let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
        if let Some(proof) = proof {
            request = request.header(DPOP, proof);
        }
        let authorization = Zeroizing::new(format!("{scheme} {token}"));
        Ok((
            url,
            request.header(header::AUTHORIZATION, authorization.as_str()),
        ))
    }

    /// Sends a request, and once more where the server wants its nonce in the proof (RFC 9449 §9).
    fn run(&mut self, call: &Call, long: bool) -> Result<(String, Response<Body>), Failure> {
        let mut again = true;
        loop {
            let (url, request) = self.request(call)?;
            let answered = match &call.body {
                None => self.wire.run(&url, request.body(()), long),
                Some(Content { kind, bytes }) => {
                    let request = request.header(header::CONTENT_TYPE, *kind);
                    self.wire.run(&url, request.body(&bytes[..]), long)
                }
            };
            let response = answered?;
            let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
            let wanted = challenges
                .iter()
                .filter_map(|value| value.to_str().ok())
                .any(|value| value.contains(USE_NONCE));
            if !(wanted && again) {
                return Ok((url, response));
            }
            again = false;
        }
    }

    /// Opens an answer that goes on until one of both sides ends it. A token for it is fetched anew,
    /// so that it goes on for as long as can be.
    pub fn follow(&mut self, call: &Call) -> Result<impl std::io::Read + use<>, Failure> {
        self.token = None;
        let (url, mut response) = self.run(call, true)?;
        if response.status().is_success() {
            return Ok(response
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader());
        }
        let text = read_body(&url, &mut response)?;
        Err(failed(&url, response.status(), &text))
    }

    /// Sends a request.
    pub fn send(&mut self, call: Call) -> Result<Answer, Failure> {
        let Received {
            url,
            status,
            position,
            text,
        } = self.receive(call)?;
        let value = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&text).map_err(|_| unexpected(&url, status.as_u16(), &text))?
        };
        Ok(Answer {
            value,
            position,
            created: status == StatusCode::CREATED,
        })
    }

    /// Sends a request whose answer is wanted byte for byte.
    pub fn bytes(&mut self, call: Call) -> Result<Vec<u8>, Failure> {
        Ok(self.receive(call)?.text)
    }

    fn receive(&mut self, call: Call) -> Result<Received, Failure> {
        let answered = self.run(&call, false);
        let (url, mut response) = answered.map_err(|failure| match (failure, call.repeat_by) {
            (Failure::Failed(text), Some(key)) => Failure::Failed(format!(
                "{text}; whether the server did it is not known: the same call with \
                 --idempotency-key {key} does it once at most"
            )),
            (failure, _) => failure,
        })?;
        let position = response.headers().get("writ-position");
        let position = position.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = read_body(&url, &mut response)?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(&url, status, &text));
        }
        Ok(Received {
            url,
            status,
            position,
            text,
        })
    }

    /// Sends a request whose answer is an entity, as a type.
    pub fn fetch<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, Failure> {
        parse(&self.send(call)?.value)
    }

    /// Sends a request and prints the entity that it answers.
    pub fn show<T: DeserializeOwned>(
        &mut self,
        out: &mut Out,
        call: Call,
        describe: impl FnOnce(T) -> Details,
    ) -> Result<(), Failure> {
        let answer = self.send(call)?;
        out.entity(&answer.value, describe)
    }

    /// Sends a change whose answer has no body to show, and prints that it happened.
    pub fn done(&mut self, out: &mut Out, call: Call, what: &str) -> Result<(), Failure> {
        let answer = self.send(call)?;
        let position = answer.position;
        let value = serde_json::json!({ "position": position });
        out.result(&value, || match position {
            Some(position) => format!("{what} at position {position}"),
            None => what.to_owned(),
        })
    }

    /// Prints all pages of a list, one after the other.
    pub fn list<T: DeserializeOwned>(
        &mut self,
        out: &mut Out,
        segments: &[&str],
        listing: &Listing,
        filters: &[(&'static str, Option<String>)],
        header: &'static [&'static str],
        row: impl Fn(T) -> Vec<String>,
    ) -> Result<(), Failure> {
        let mut table = Table::new(header);
        let mut shown = 0;
        self.pages(segments, listing, filters, |items| {
            if out.is_json() {
                for item in items {
                    let separator = if shown == 0 { "[" } else { "," };
                    out.line(format_args!("{separator}{item}"))?;
                    shown += 1;
                }
                return Ok(());
            }
            shown += items.len();
            let items = items.iter().map(|item| parse(item).map(&row));
            table.rows(out, &items.collect::<Result<Vec<_>, _>>()?)
        })?;
        match (out.is_json(), shown) {
            (true, 0) => out.line("[]"),
            (true, _) => out.line("]"),
            (false, 0) => {
                note("there are none");
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    /// All items of a list.
    pub fn collect<T: DeserializeOwned>(
        &mut self,
        segments: &[&str],
        read: &Read,
        filters: &[(&'static str, Option<String>)],
    ) -> Result<Vec<T>, Failure> {
        let listing = Listing {
            limit: None,
            read: read.clone(),
        };
        let mut all = Vec::new();
        self.pages(segments, &listing, filters, |items| {
            for item in items {
                all.push(parse(item)?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Gives all pages of a list to `each`, one after the other.
    fn pages(
        &mut self,
        segments: &[&str],
        listing: &Listing,
        filters: &[(&'static str, Option<String>)],
        mut each: impl FnMut(&[Value]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left = listing.limit.unwrap_or(usize::MAX);
        let mut after: Option<String> = None;
        while left > 0 {
            let mut call = Call::get(segments, &listing.read);
            call = call.query("limit", left.min(PAGE).to_string());
            let after_this = [("after", after.clone())];
            for (name, value) in filters.iter().chain(&after_this) {
                if let Some(value) = value {
                    call = call.query(name, value);
                }
            }
            let page: writ_api::Page<Value> = self.fetch(call)?;
            let items = page.items.get(..left).unwrap_or(&page.items);
            left -= items.len();
            each(items)?;
            if page.next.is_none() {
                break;
            }
            if page.next == after {
                let text = "the server answers the same page again and again";
                return Err(Failure::Failed(text.to_owned()));
            }
            after = page.next;
        }
        Ok(())
    }

    /// Has a token of the management API at hand: a new one before the old one expires.
    fn renew_token(&mut self) -> Result<(), Failure> {
        let good = |token: &Token| token.age.elapsed() < token.renew_after;
        if self.token.as_ref().is_some_and(good) {
            return Ok(());
        }
        self.token = None;
        let parameters = [("resource", MANAGEMENT_IDENTIFIER)];
        let bound = self.wire.key.is_some();
        let answer = self.wire.token(&self.credentials, &parameters, bound)?;
        let answer: TokenAnswer = parse(&answer)?;
        self.token = Some(Token {
            text: Zeroizing::new(answer.access_token),
            age: Stopwatch::start(),
            renew_after: Duration::from_secs(answer.expires_in / 4 * 3),
        });
        Ok(())
    }
}

/// HTTP to one server, as one client.
pub struct Wire {
    agent: Agent,
    /// What proves the client, and what its tokens are bound to.
    key: Option<HolderKey>,
    /// What the server last wanted in proofs (RFC 9449 §8).
    nonce: RefCell<Option<String>>,
}

impl Wire {
    /// A client that trusts what the options, the credentials or the system say, in this order.
    pub fn new(connection: &Connection, credentials: &Credentials) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect could carry the secret elsewhere; none of our endpoints answers one.
            .max_redirects(0)
            .user_agent(concat!("writ/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_secs(connection.timeout)))
            .timeout_connect(Some(Duration::from_secs(connection.timeout.min(10))));
        let endpoint = &credentials.token_endpoint;
        if is_local(endpoint) {
            config = config.proxy(None);
        }
        if endpoint.starts_with("https://") {
            let roots = roots(connection, credentials)?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let key = credentials.private_key.as_ref().map(HolderKey::parse);
        Ok(Self {
            agent: config.build().into(),
            key: key.transpose().map_err(|fault| Failure::of(&fault))?,
            nonce: RefCell::default(),
        })
    }

    /// A proof for a request, where there is a key (RFC 9449 §4.2).
    pub fn proof(
        &self,
        method: &str,
        htu: &str,
        access_token: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let nonce = self.nonce.borrow();
        let proof = |key: &HolderKey| {
            key.proof(
                method,
                htu,
                access_token,
                nonce.as_deref(),
                SystemClock.now(),
            )
        };
        let proof = self.key.as_ref().map(proof).transpose();
        proof.map_err(|fault| Failure::of(&fault))
    }

    /// Asks for a token with the client credentials grant (RFC 6749 §4.4); one that is bound to the
    /// key, if it should be.
    pub fn token(
        &self,
        credentials: &Credentials,
        parameters: &[(&str, &str)],
        bound: bool,
    ) -> Result<Value, Failure> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(parameters);
        let url = &credentials.token_endpoint;
        let before = self.nonce.borrow().clone();
        match self.post(url, credentials, &form, bound) {
            // Once more with the nonce, where there was a new one (RFC 9449 §8).
            Err(Failure::Refused(problem))
                if problem.code == USE_NONCE && *self.nonce.borrow() != before =>
            {
                self.post(url, credentials, &form, bound)
            }
            answer => answer,
        }
    }

    /// Posts a form to an OAuth endpoint, authenticated by the credentials.
    pub fn post_form(
        &self,
        url: &str,
        credentials: &Credentials,
        form: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        self.post(url, credentials, form, false)
    }

    fn post(
        &self,
        url: &str,
        credentials: &Credentials,
        form: &[(&str, &str)],
        with_proof: bool,
    ) -> Result<Value, Failure> {
        let mut request = Request::post(url);
        let mut form = form.to_vec();
        let assertion;
        match (&self.key, &credentials.client_secret) {
            (Some(key), _) => {
                let issuer = credentials::issuer(credentials).unwrap_or_default();
                let made = key.assertion(&credentials.client_id, issuer, SystemClock.now());
                assertion = made.map_err(|fault| Failure::of(&fault))?;
                form.extend([
                    ("client_id", credentials.client_id.as_str()),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", &assertion),
                ]);
            }
            (None, Some(secret)) => {
                let basic = basic(&credentials.client_id, secret);
                request = request.header(header::AUTHORIZATION, basic);
            }
            // A file of credentials has one of both.
            (None, None) => {}
        }
        if with_proof && let Some(proof) = self.proof("POST", url, None)? {
            request = request.header(DPOP, proof);
        }
        let pairs: Vec<_> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", form_encoded(value)))
            .collect();
        let body = Zeroizing::new(pairs.join("&"));
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.as_str());
        let mut response = self.run(url, request, false)?;
        let text = read_body(url, &mut response)?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            // The answer to a revocation has no body (RFC 7009 §2.2).
            return if text.is_empty() {
                Ok(Value::Null)
            } else {
                serde_json::from_slice(&text).map_err(|_| unexpected(url, status, &text))
            };
        }
        Err(match serde_json::from_slice::<OauthError>(&text) {
            Ok(refusal) => oauth_refused(refusal, credentials),
            Err(_) => unexpected(url, status, &text),
        })
    }

    /// Sends a request. A long one has an answer that may go on for ever, and is silent for a while
    /// at most.
    fn run<B: ureq::AsSendBody>(
        &self,
        url: &str,
        request: Result<Request<B>, ureq::http::Error>,
        long: bool,
    ) -> Result<Response<Body>, Failure> {
        let unsendable = |error| Failure::Failed(format!("cannot send to {url}: {error}"));
        let mut request = request.map_err(unsendable)?;
        if long {
            let config = self.agent.configure_request(request);
            let config = config.timeout_global(None).timeout_per_read(Some(SILENCE));
            request = config.build();
        }
        let response = self.agent.run(request);
        let response = response.map_err(|error| unreachable(url, &error))?;
        if let Some(nonce) = nonce(response.headers()) {
            self.nonce.replace(Some(nonce));
        }
        Ok(response)
    }
}

/// The nonce that a server wants in the next proof (RFC 9449 §8).
fn nonce(headers: &HeaderMap) -> Option<String> {
    let nonce = headers.get("dpop-nonce")?.to_str().ok()?;
    Some(nonce.to_owned())
}

fn read_body(url: &str, response: &mut Response<Body>) -> Result<Vec<u8>, Failure> {
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    body.read_to_vec().map_err(|error| unreachable(url, &error))
}

fn failed(url: &str, status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice(body) {
        Ok(problem) => refused(problem),
        Err(_) => unexpected(url, status.as_u16(), body),
    }
}

fn refused(problem: Problem) -> Failure {
    Failure::Refused(Box::new(problem))
}

fn oauth_refused(refusal: OauthError, credentials: &Credentials) -> Failure {
    let OauthError {
        error,
        mut error_description,
    } = refusal;
    if error == "invalid_client" {
        error_description = format!(
            "the server does not accept the credentials of {}: the secret was revoked or has \
             expired, the key was removed, the security profile takes no secrets, or the \
             application is disabled. With the server stopped, `writ admin \
             recover` makes a new administrator",
            credentials.client_id
        );
    }
    refused(Problem {
        detail: error_description,
        title: "The token endpoint refused".to_owned(),
        code: error,
        ..Problem::default()
    })
}

/// An answer that is not of Writ: a proxy's, say.
fn unexpected(url: &str, status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let start: String = clean(text.trim()).chars().take(200).collect();
    Failure::Failed(format!(
        "{url} answered {status} and nothing that Writ says: is this the address of the server? \
         {start}"
    ))
}

fn unreachable(url: &str, error: &ureq::Error) -> Failure {
    let text = error.to_string();
    let hint = match error {
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "; is the server running?"
        }
        // rustls wraps its errors into those of the socket.
        _ if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") => {
            "; name the certificate to trust by --ca-file"
        }
        ureq::Error::Timeout(_) => "; --timeout says how long to wait",
        _ => "",
    };
    Failure::Failed(format!("no answer from {url}: {text}{hint}"))
}

/// The value of a header; text beyond ASCII goes as UTF-8.
fn visible(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| Failure::Usage(format!("the value of {name} must be one line of text")))
}

/// 128 random bits.
fn new_key() -> String {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Id and secret, each form-encoded (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &str) -> String {
    let id = form_encoded(client_id);
    let secret = Zeroizing::new(form_encoded(secret));
    let pair = Zeroizing::new(format!("{id}:{}", *secret));
    format!("Basic {}", STANDARD.encode(pair.as_bytes()))
}

fn form_encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

/// Whether a URL leads to this machine by name: no proxy could help there.
fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = ["localhost", "127.0.0.1", "[::1]"].into_iter();
    let mut after = host.filter_map(|host| rest.strip_prefix(host));
    after.any(|after| after.is_empty() || after.starts_with([':', '/']))
}

fn roots(connection: &Connection, credentials: &Credentials) -> Result<RootCerts, Failure> {
    if let Some(path) = &connection.ca_file {
        return certificates_of(path);
    }
    if let Some(ca) = &credentials.ca {
        return certificates(ca.as_bytes(), "the credentials' ca");
    }
    if let Some(path) = &connection.system_ca_file {
        return certificates_of(path);
    }
    let mut bundles = SYSTEM_CERTIFICATES.iter();
    let found = bundles.find_map(|path| Some((path, std::fs::read(path).ok()?)));
    match found {
        Some((path, pem)) => certificates(&pem, path),
        None => Err(Failure::Failed(
            "this machine has no list of certificates to trust: name one by --ca-file".to_owned(),
        )),
    }
}

fn certificates_of(path: &Path) -> Result<RootCerts, Failure> {
    let pem = std::fs::read(path).map_err(|error| {
        let path = path.display();
        Failure::Failed(format!("cannot read the certificates {path}: {error}"))
    })?;
    certificates(&pem, &path.display().to_string())
}

fn certificates(pem: &[u8], origin: &str) -> Result<RootCerts, Failure> {
    let certificates = tls::certificates(pem);
    if certificates.is_empty() {
        let text = format!("{origin} holds no certificate in PEM");
        return Err(Failure::Failed(text));
    }
    Ok(RootCerts::from(certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        let identifier = "https://courses.example/api?x#y";
        assert_eq!(
            path(&["api-resources", identifier, "..", "api_7"]),
            "/api-resources/https%3A%2F%2Fcourses%2Eexample%2Fapi%3Fx%23y/%2E%2E/api_7"
        );
    }

    #[test]
    fn only_this_machine_is_local() {
        for url in [
            "http://localhost:1/a",
            "https://127.0.0.1",
            "http://[::1]:9",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://localhost.example.com/", "https://a/localhost"] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn a_creation_always_has_a_key_and_other_changes_only_a_given_one() {
        let keyed = |call: &Call| {
            let mut headers = call.headers.iter();
            headers.any(|(name, _)| *name == "idempotency-key")
        };
        assert!(keyed(&Call::create(&["roles"], Creation::default())));
        let change = Call::change(Method::PATCH, &["roles", "role_1"], &Change::default());
        assert!(!keyed(&change));
    }

    #[test]
    fn a_version_is_quoted_once() {
        for (given, sent) in [("7", "\"7\""), ("\"7\"", "\"7\""), ("*", "*")] {
            let if_match = Some(given.to_owned());
            let change = Change {
                if_match,
                ..Change::default()
            };
            let call = Call::change(Method::PATCH, &["x"], &change).if_version(9);
            assert_eq!(call.headers, [("if-match", sent.to_owned())]);
        }
    }
}
