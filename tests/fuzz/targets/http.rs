//! A request to a whole server in process: method and target on the first line, then headers, an
//! empty line, the body. What stands in braces is put in first, so that credentials can be right:
//! see `World::fill`. Nothing that can be asked here changes the server but a revocation.

#![no_main]

use actix_web::body::{BodySize, BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::from_fn;
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::{self, Data};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use writ::app::App;
use writ::bootstrap::{self, InitOptions, Surroundings};
use writ::clock::{Clock, ManualClock, SeededRandom, SystemClock};
use writ::config::{ByteSize, Config, Issuer};
use writ::credentials::Secret;
use writ::http::{self, Manners};
use writ::jose::{ForeignKey, ForeignKeys};
use writ_core::{
    Actor, ApplicationId, Authentication, AuthenticationMethod, Command, ExchangeMode, GrantMode,
    IssuerId, IssuerKeys, Labels, MANAGEMENT_IDENTIFIER, ManagementScope, NewScope, NewSecret,
    RecordMode, RegisteredKey, SecretId, SettingsChange, Submission, TokenExchange, TokenProfile,
    TokenSettings, TrustRule,
};
use writ_fuzz::{Key, temporary};
use writ_sandbox::SandboxConfig;

const ISSUER: &str = "https://writ.example";
const ENDPOINT: &str = "https://writ.example/oauth2/token";
const CI: &str = "https://ci.example";
const API: &str = "https://courses.example/api";

type Answer = Pin<Box<dyn Future<Output = ServiceResponse<BoxBody>>>>;

/// A server, with an application of each kind.
struct World {
    system: SystemRunner,
    app: Data<App>,
    serve: Box<dyn Fn(TestRequest) -> Answer>,
    key: Key,
    /// One with a secret, and that.
    job: (ApplicationId, String),
    /// One with a key.
    signer: ApplicationId,
    /// One that a trusted issuer vouches for.
    workload: ApplicationId,
    /// A token of it for an API, another one when that was revoked.
    token: RefCell<String>,
    /// A token of the management API that may only read.
    reader: String,
}

thread_local! {
    /// Never dropped: the fuzzer ends the process when it is done.
    static WORLD: &'static World = Box::leak(Box::new(World::new()));
}

fuzz_target!(|data: &[u8]| WORLD.with(|world| {
    let (request, credentials) = world.fill(data);
    let Some((request, path)) = parse(&request) else {
        return;
    };
    let head = world.app.index().next_position();
    let (status, body) = world.send(request);
    assert_ne!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{}",
        String::from_utf8_lossy(&body)
    );
    if path == "/oauth2/token" && !credentials {
        assert!(!status.is_success(), "a token for nobody");
    }
    if !credentials && path.starts_with("/api/v1") {
        let public = status.is_client_error() || path == "/api/v1/openapi.json";
        assert!(public, "{path} answers {status} to nobody");
    }
    if path.starts_with("/api/v1") {
        assert_eq!(
            world.app.index().next_position(),
            head,
            "changed by who may only read"
        );
    }
}));

/// A request from a trusted proxy, as far as HTTP/1 would have brought it here.
fn parse(data: &[u8]) -> Option<(TestRequest, String)> {
    let blank = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = data.split_at(blank.unwrap_or(data.len()));
    let mut lines = head.split(|&byte| byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let uri: Uri = target.parse().ok()?;
    let path = uri.path().to_owned();
    let peer = SocketAddr::from(([10, 0, 0, 1], 443));
    let mut request = TestRequest::with_uri(target)
        .method(Method::from_bytes(method.as_bytes()).ok()?)
        .peer_addr(peer);
    for line in lines.take(64) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).ok()?;
        // It would wait for what never comes.
        if name != "writ-min-position" {
            let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
            request = request.append_header((name, value));
        }
    }
    let body = body.get(2..).unwrap_or_default().to_vec();
    Some((request.set_payload(body), path))
}

impl World {
    fn new() -> Self {
        let data_dir = temporary("data");
        let _ = fs::remove_dir_all(&data_dir);
        let mut config = Config::default();
        config.data_dir = data_dir;
        config.issuer = Issuer::parse(ISSUER).ok();
        config.disk.issuance_floor = ByteSize(0);
        config.proxies.trusted = vec!["10.0.0.0/8".parse().expect("a network")];
        bootstrap::init(&config, &InitOptions::default()).expect("a data directory");
        let now = SystemClock.now().plus_seconds(1);
        let surroundings = Surroundings {
            issuer: config.issuer.clone().expect("it is set"),
            clock: Arc::new(ManualClock::new(now)),
            random: Arc::new(SeededRandom::new(7)),
            sandbox: SandboxConfig::default(),
        };
        let app = bootstrap::open(&config, surroundings).expect("the data directory opens");
        let app = Data::new(app);
        let system = System::new();
        let serve = system.block_on(service(app.clone()));
        let key = Key::new(7);
        let mut world = Self {
            job: (ApplicationId(app.ids.next_id()), String::new()),
            signer: ApplicationId(app.ids.next_id()),
            workload: ApplicationId(app.ids.next_id()),
            system,
            app,
            serve,
            key,
            token: RefCell::default(),
            reader: String::new(),
        };
        world.populate();
        world
    }

    fn execute(&self, command: Command) {
        let submission = Submission::new(Actor::operator("fuzz"), self.app.command_id(), command);
        let receipt = self.system.block_on(self.app.execute(submission));
        receipt.expect("the command is accepted");
    }

    fn populate(&mut self) {
        // As many tokens as the processor can make, not as the disk can.
        self.execute(Command::ChangeSettings {
            change: SettingsChange {
                issuance_record: Some(RecordMode::Buffered),
                ..SettingsChange::default()
            },
        });
        let scopes = ["courses:read", "courses:write"].map(|name| NewScope {
            name: name.parse().expect("a scope"),
            description: None,
        });
        self.execute(Command::CreateApiResource {
            identifier: API.parse().expect("an identifier"),
            name: "Courses".parse().expect("a name"),
            requires_authorization: true,
            profile: TokenProfile::default(),
            guards: Vec::new(),
            scopes: scopes.into(),
        });
        let key = ForeignKeys::parse(self.key.jwks().as_bytes()).expect("a key");
        let key: Vec<RegisteredKey> = key.keys().iter().map(ForeignKey::to_registered).collect();
        self.execute(Command::CreateTrustedIssuer {
            issuer: CI.parse().expect("an identifier"),
            name: "CI".parse().expect("a name"),
            keys: IssuerKeys::Keys(key.clone()),
            omits_issuer: false,
        });
        let by = |method| Authentication {
            methods: vec![method],
            ..Authentication::default()
        };
        let by_key = Authentication {
            keys: key,
            ..by(AuthenticationMethod::PrivateKeyJwt)
        };
        let by_trust = Authentication {
            trust: vec![TrustRule {
                name: "deploy".parse().expect("a name"),
                issuer: IssuerId(0),
                audience: ISSUER.parse().expect("an audience"),
                subject: "repo:acme/app:*".parse().expect("a pattern"),
                claims: [].into(),
                lifetime_seconds: 3600,
            }],
            ..by(AuthenticationMethod::WorkloadIdentity)
        };
        self.application(self.job.0, None, "courses:");
        self.application(self.signer, Some(by_key), "courses:");
        self.application(self.workload, Some(by_trust), "courses:");
        let exchange = TokenExchange {
            subjects: vec![self.job.0],
            mode: ExchangeMode::Delegation,
        };
        self.execute(Command::ChangeExchange {
            application: self.signer,
            exchange: Some(exchange),
        });
        self.job.1 = self.secret(self.job.0);
        let reader = ApplicationId(self.app.ids.next_id());
        self.application(reader, None, ":read");
        let secret = self.secret(reader);
        self.reader = self.token(reader, &secret, MANAGEMENT_IDENTIFIER);
    }

    /// An application with the scopes of this kind: of the API, or those that may read.
    fn application(&self, id: ApplicationId, by: Option<Authentication>, kind: &str) {
        self.execute(Command::CreateApplication {
            id,
            name: "A job".parse().expect("a name"),
            labels: Labels::default(),
            token_settings: TokenSettings::default(),
        });
        if let Some(authentication) = by {
            self.execute(Command::ChangeAuthentication {
                application: id,
                authentication: Some(Box::new(authentication)),
            });
        }
        let (identifier, scopes) = match kind {
            ":read" => {
                let all = ManagementScope::ALL.iter().map(|scope| scope.as_str());
                let reading = all
                    .filter(|name| name.ends_with(":read"))
                    .collect::<Vec<_>>();
                (MANAGEMENT_IDENTIFIER, reading)
            }
            _ => (API, vec!["courses:read", "courses:write"]),
        };
        let index = self.app.index();
        let scopes = scopes.iter().map(|name| name.parse().expect("a scope"));
        self.execute(Command::AddGrant {
            application: id,
            api: index.api_identified(identifier).expect("it is there").id,
            mode: GrantMode::None,
            scopes: scopes.collect(),
        });
    }

    fn secret(&self, application: ApplicationId) -> String {
        let secret = Secret::generate(&*self.app.random);
        let new = NewSecret {
            id: SecretId(self.app.ids.next_id()),
            digest: secret.digest(),
            expires_at: None,
        };
        self.execute(Command::AddSecret {
            application,
            secret: new,
        });
        secret.expose().to_owned()
    }

    fn token(&self, id: ApplicationId, secret: &str, resource: &str) -> String {
        let basic = STANDARD.encode(format!("{id}:{secret}"));
        let request = TestRequest::post()
            .uri("/oauth2/token")
            .insert_header(("authorization", format!("Basic {basic}")))
            .insert_header(("content-type", "application/x-www-form-urlencoded"))
            .set_payload(format!("grant_type=client_credentials&resource={resource}"));
        let (status, body) = self.send(request);
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    fn live_token(&self) -> String {
        let mut token = self.token.borrow_mut();
        if self.app.validate_token(&token).is_err() {
            *token = self.token(self.job.0, &self.job.1, API);
        }
        token.clone()
    }

    fn send(&self, request: TestRequest) -> (StatusCode, Vec<u8>) {
        self.system.block_on(async {
            let answer = (self.serve)(request).await;
            let status = answer.status();
            let body = answer.into_body();
            // A stream of events has no end.
            let body = match body.size() {
                BodySize::Stream => Vec::new(),
                _ => to_bytes(body).await.map(Vec::from).unwrap_or_default(),
            };
            (status, body)
        })
    }

    /// Puts in what a text in braces stands for, and says whether any of it proves anything.
    fn fill(&self, data: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(data.len() + 1024);
        let (mut rest, mut credentials, mut left) = (data, false, 8);
        while let Some((&byte, after)) = rest.split_first() {
            let known = (byte == b'{' && left > 0)
                .then(|| self.known(after))
                .flatten();
            match known {
                Some((name, value, proves)) => {
                    out.extend_from_slice(value.as_bytes());
                    rest = &after[name.len() + 1..];
                    credentials |= proves;
                    left -= 1;
                }
                None => {
                    out.push(byte);
                    rest = after;
                }
            }
        }
        (out, credentials)
    }

    fn known(&self, rest: &[u8]) -> Option<(&'static str, String, bool)> {
        let names = [
            "job",
            "secret",
            "basic",
            "signer",
            "assertion",
            "proof",
            "workload",
            "svid",
            "token",
            "admin",
        ];
        let is =
            |name: &&str| rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&b'}');
        let name = names.into_iter().find(is)?;
        let jti = self.app.ids.next_id();
        let now = self.app.now().seconds();
        let exp = now + 60;
        let (value, proves) = match name {
            "job" => (self.job.0.to_string(), false),
            "signer" => (self.signer.to_string(), false),
            "workload" => (self.workload.to_string(), false),
            "secret" => (self.job.1.clone(), true),
            "basic" => {
                let pair = format!("{}:{}", self.job.0, self.job.1);
                (format!("Basic {}", STANDARD.encode(pair)), true)
            }
            "assertion" => {
                let id = self.signer;
                let claims = format!(
                    r#"{{"iss":"{id}","sub":"{id}","aud":"{ISSUER}","exp":{exp},"jti":"{jti}"}}"#
                );
                (
                    self.key.sign(br#"{"alg":"EdDSA"}"#, claims.as_bytes()),
                    true,
                )
            }
            "svid" => {
                let claims = format!(
                    r#"{{"iss":"{CI}","sub":"repo:acme/app:x","aud":"{ISSUER}","exp":{exp},"iat":{now}}}"#
                );
                (
                    self.key.sign(br#"{"alg":"EdDSA"}"#, claims.as_bytes()),
                    true,
                )
            }
            "proof" => {
                let x = self.key.x();
                let header = format!(
                    r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#
                );
                let claims =
                    format!(r#"{{"htm":"POST","htu":"{ENDPOINT}","iat":{now},"jti":"{jti}"}}"#);
                (self.key.sign(header.as_bytes(), claims.as_bytes()), false)
            }
            "token" => (self.live_token(), true),
            _ => (self.reader.clone(), true),
        };
        Some((name, value, proves))
    }
}

/// The routes that `server.rs` serves.
async fn service(app: Data<App>) -> Box<dyn Fn(TestRequest) -> Answer> {
    let service = init_service(
        actix_web::App::new()
            .app_data(app)
            .app_data(Manners::default())
            .wrap(from_fn(http::trace))
            .configure(|routes| http::public(routes, ""))
            .configure(|routes| http::admin(routes, ""))
            .configure(http::ops)
            .default_service(web::to(http::not_found)),
    )
    .await;
    let service = Rc::new(service);
    Box::new(move |request| {
        let service = Rc::clone(&service);
        Box::pin(async move {
            let request = request.to_request();
            match service.call(request).await {
                Ok(answer) => answer.map_body(|_, body| BoxBody::new(body)),
                Err(error) => {
                    let request = TestRequest::default().to_http_request();
                    ServiceResponse::new(request, error.error_response())
                }
            }
        })
    })
}
