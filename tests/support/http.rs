//! HTTP as the tests speak it: a request built in one line, an answer that is looked at and never
//! an error.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::PATIENCE;

/// A keep-alive client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
    base: String,
}

/// A request that is being put together.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    http: &'a Http,
    method: &'a str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    limit: Duration,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Http {
    /// A client of the server at `base`; `ca` is a PEM file to trust, needed for https.
    pub fn new(base: &str, ca: Option<&Path>) -> Self {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE));
        if let Some(ca) = ca {
            let pem = std::fs::read(ca)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", ca.display()));
            let root = Certificate::from_pem(&pem).expect("the server's certificate is PEM");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            config = config.tls_config(
                TlsConfig::builder()
                    .unversioned_rustls_crypto_provider(provider)
                    .root_certs(RootCerts::new_with_certs(&[root]))
                    .build(),
            );
        }
        Self {
            agent: config.build().into(),
            base: base.to_owned(),
        }
    }

    /// A request for `path` (which starts with a slash and is sent as it is).
    pub fn call<'a>(&'a self, method: &'a str, path: &str) -> Call<'a> {
        Call {
            http: self,
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            limit: PATIENCE,
        }
    }

    /// The answer to a plain GET.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    /// The answer to any request, or why there was none.
    pub fn run(&self, request: Request<Vec<u8>>) -> Result<Answer, ureq::Error> {
        let response = self.agent.run(request)?;
        let (head, mut body) = response.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.with_config().limit(64 << 20).read_to_vec()?,
        })
    }
}

impl Call<'_> {
    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With id and secret as RFC 6749 §2.3.1 wants them: each form-encoded, then Basic.
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let credentials = basic_credentials(id, secret);
        self.header("authorization", format!("Basic {credentials}"))
    }

    /// With a form as the body.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", form_encoded(name), form_encoded(value)))
            .collect();
        self.body("application/x-www-form-urlencoded", pairs.join("&"))
    }

    /// With JSON as the body.
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// With any body.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// With less patience: for a request that is one of many.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends it.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send()
            .unwrap_or_else(|error| panic!("{what}: no answer: {error}"))
    }

    /// Sends it to a server that may be gone.
    pub fn try_send(self) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{}", self.http.base, self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(self.body)?;
        let agent = &self.http.agent;
        let request = agent
            .configure_request(request)
            .timeout_global(Some(self.limit))
            .build();
        self.http.run(request)
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// A string member of the JSON body.
    ///
    /// # Panics
    /// When there is no such member.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        match &self.json()[member] {
            Value::String(text) => text.clone(),
            _ => panic!("no string {member:?} in: {self}"),
        }
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// The same, if the status is `status`.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected status: {self}");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// What a server said over plain TCP, and how it ended.
#[derive(Debug)]
pub struct Exchange {
    /// All it said.
    pub answer: String,
    /// Whether it closed the connection; if not, its time was over.
    pub closed: bool,
}

impl Exchange {
    /// The status code, if an answer of HTTP/1.1 came.
    pub fn status(&self) -> Option<u16> {
        self.answer
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
    }
}

/// Sends `bytes` over plain TCP, `pace` apart when they are in several parts, and reads until the
/// server closes, at most `limit`. For requests that no decent client sends. The server may close
/// before it has read everything: what it said by then is what counts.
pub fn exchange(address: SocketAddr, parts: &[&[u8]], pace: Duration, limit: Duration) -> Exchange {
    let deadline = Instant::now() + limit;
    let left = || {
        deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    };
    let stream = TcpStream::connect(address).expect("the server listens");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = &stream;
            for part in parts {
                if stream.write_all(part).is_err() || Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(pace);
            }
        });
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        let closed = loop {
            stream
                .set_read_timeout(Some(left()))
                .expect("a timeout can be set");
            match (&stream).read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Closed with something of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break true,
                Err(_) => break false,
            }
        };
        // Ends the sending thread, if it still sends.
        let _ = stream.shutdown(Shutdown::Both);
        Exchange {
            answer: String::from_utf8_lossy(&answer).into_owned(),
            closed,
        }
    })
}

/// The same with all bytes at once and all patience.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Exchange {
    exchange(address, &[bytes], Duration::ZERO, PATIENCE)
}

/// Id and secret as HTTP Basic carries them: each form-encoded (RFC 6749 §2.3.1), then Base64.
pub fn basic_credentials(id: &str, secret: &str) -> String {
    BASE64_STANDARD.encode(format!("{}:{}", form_encoded(id), form_encoded(secret)))
}

fn form_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
