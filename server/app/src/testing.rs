//! A whole server in process, for tests: a real data directory, a clock that is moved by hand, and
//! the very routes that `server.rs` serves. Tests speak HTTP to it as actors.

use crate::app::App;
use crate::bootstrap::{self, InitOptions, Surroundings};
use crate::clock::{Clock, ManualClock, SeededRandom, SystemClock};
use crate::config::{Config, Issuer};
use crate::credentials::Secret;
use crate::credentials_file::CredentialsFile;
use crate::http::{self, Manners};
use crate::policies::Pin;
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::{self, Data};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;
use writ_core::{
    Actor, ApiId, ApplicationId, BindingId, Command, Event, GrantMode, Identifier, Judgement,
    Labels, NewScope, NewSecret, PolicyMode, PolicySettings, PolicyTarget, SecretId, Submission,
    TokenProfile, TokenSettings,
};
use writ_sandbox::SandboxConfig;

/// The issuer of test servers.
pub(crate) const ISSUER: &str = "https://writ.example";

/// A server.
pub(crate) struct TestServer {
    pub app: Data<App>,
    pub clock: Arc<ManualClock>,
    /// The administrator's credentials.
    pub admin: Job,
    config: Config,
    sandbox: SandboxConfig,
    _directory: TempDir,
}

/// An application that knows its secret.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub client_id: String,
    pub client_secret: String,
}

impl Job {
    /// Its id.
    pub(crate) fn id(&self) -> ApplicationId {
        self.client_id.parse().expect("it was made by the server")
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, `null` where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Four signing keys take a second to make: one directory is made, each test gets a copy.
static TEMPLATE: LazyLock<TempDir> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a temporary directory");
    let config = config_in(&directory.path().join("data"));
    blocking(|| bootstrap::init(&config, &InitOptions::default()).expect("a new data directory"));
    directory
});

/// What blocks needs a thread of its own: a test runs on that of a runtime.
pub(crate) fn blocking<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).expect("it does not panic")
}

fn close(app: Data<App>) {
    blocking(|| app.finish());
    drop(Arc::try_unwrap(app.into_inner()).expect("nobody else holds the server"));
}

fn config_in(data_dir: &Path) -> Config {
    let mut config = Config::default();
    config.data_dir = data_dir.to_owned();
    config.issuer = Issuer::parse(ISSUER).ok();
    config.disk.issuance_floor = crate::config::ByteSize(0);
    config
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}

impl TestServer {
    /// A fresh one, with an administrator and nothing else.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let data_dir = directory.path().join("data");
        copy(&TEMPLATE.path().join("data"), &data_dir).expect("a copy of the data directory");
        Self::start(directory, config_in(&data_dir))
    }

    /// One whose log is kept by sled.
    #[cfg(feature = "sled")]
    pub(crate) fn on_sled() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut config = config_in(&directory.path().join("data"));
        config.store.engine = crate::config::Engine::Sled;
        blocking(|| bootstrap::init(&config, &InitOptions::default())).expect("a new directory");
        Self::start(directory, config)
    }

    fn start(directory: TempDir, config: Config) -> Self {
        let now = SystemClock.now();
        let clock = Arc::new(ManualClock::new(now.plus_seconds(1)));
        let sandbox = SandboxConfig::default();
        let app = Data::new(Self::open(&config, &clock, &sandbox));
        let admin = CredentialsFile::read(&bootstrap::admin_file(&config.data_dir))
            .expect("a readable file")
            .expect("init wrote it");
        let admin = Job {
            client_id: admin.client_id,
            client_secret: admin.client_secret.unwrap_or_default(),
        };
        Self {
            app,
            clock,
            admin,
            config,
            sandbox,
            _directory: directory,
        }
    }

    fn open(config: &Config, clock: &Arc<ManualClock>, sandbox: &SandboxConfig) -> App {
        let surroundings = Surroundings {
            issuer: config.issuer.clone().expect("set above"),
            clock: Arc::<ManualClock>::clone(clock),
            random: Arc::new(SeededRandom::new(clock.now().0)),
            sandbox: sandbox.clone(),
        };
        blocking(|| bootstrap::open(config, surroundings)).expect("the data directory opens")
    }

    /// Stops it and starts it again on the same data.
    pub(crate) fn restart(self) -> Self {
        self.restart_with(|_| {})
    }

    /// Stops it and starts it again with policies run otherwise.
    pub(crate) fn restart_in(self, sandbox: SandboxConfig) -> Self {
        self.sandboxed(sandbox).restart()
    }

    /// Policies are run otherwise from the next start on.
    pub(crate) fn sandboxed(mut self, sandbox: SandboxConfig) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Stops it: the data directory is there as long as the first part is held.
    pub(crate) fn stop(self) -> (TempDir, Config) {
        let Self {
            app,
            config,
            _directory,
            ..
        } = self;
        close(app);
        (_directory, config)
    }

    /// Stops it and starts it again with another configuration.
    pub(crate) fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self {
            app,
            clock,
            admin,
            mut config,
            sandbox,
            _directory,
        } = self;
        change(&mut config);
        close(app);
        let app = Data::new(Self::open(&config, &clock, &sandbox));
        Self {
            app,
            clock,
            admin,
            config,
            sandbox,
            _directory,
        }
    }

    /// Sends a request through the routes of the server; the body may come in pieces.
    pub(crate) async fn begin(&self, request: TestRequest) -> ServiceResponse<BoxBody> {
        let service = init_service(
            actix_web::App::new()
                .app_data(self.app.clone())
                .app_data(Manners::default())
                .wrap(from_fn(http::trace))
                .configure(|routes| http::public(routes, ""))
                .configure(|routes| http::admin(routes, ""))
                .configure(http::ops)
                .default_service(web::to(http::not_found)),
        )
        .await;
        let response = call_service(&service, request.to_request()).await;
        response.map_body(|_, body| BoxBody::new(body))
    }

    /// Sends a request through the routes of the server.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let response = self.begin(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body())
            .await
            .map(|bytes| bytes.to_vec());
        Answer {
            status,
            headers,
            body: body.unwrap_or_default(),
        }
    }

    /// Posts a form.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(TestRequest::post().uri(path).set_form(form))
            .await
    }

    /// Asks for a token with `client_secret_post`.
    pub(crate) async fn token(&self, who: &Job, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", who.client_id.as_str()),
            ("client_secret", who.client_secret.as_str()),
        ];
        form.extend_from_slice(more);
        self.post("/oauth2/token", &form).await
    }

    /// Gets a token, which must be granted.
    pub(crate) async fn access_token(&self, who: &Job, more: &[(&str, &str)]) -> String {
        let answer = self.token(who, more).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
        answer.json()["access_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A token of the management API.
    pub(crate) async fn admin_token(&self, who: &Job) -> String {
        self.access_token(who, &[("resource", writ_core::MANAGEMENT_IDENTIFIER)])
            .await
    }

    /// The record of a token.
    pub(crate) async fn issuance(&self, jti: &str) -> Value {
        let token = self.admin_token(&self.admin).await;
        let path = format!("/issuances/{jti}");
        let answer = self.call(&token, Method::GET, &path, &[], None).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
        answer.json()
    }

    /// Calls the admin API.
    pub(crate) async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = TestRequest::default()
            .method(method)
            .uri(&format!("/api/v1{path}"))
            .insert_header(("authorization", format!("Bearer {token}")));
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a header name");
            request = request.insert_header((name, HeaderValue::from_str(value).expect("a value")));
        }
        if let Some(body) = body {
            request = request.set_json(body);
        }
        self.send(request).await
    }

    /// Uploads a module by the admin API.
    pub(crate) async fn upload(&self, token: &str, module: Vec<u8>) -> Answer {
        let request = TestRequest::post()
            .uri("/api/v1/policies")
            .insert_header(("authorization", format!("Bearer {token}")))
            .insert_header(("content-type", "application/wasm"));
        self.send(request.set_payload(module)).await
    }

    /// Uploads and binds a policy without HTTP, with these claims permitted.
    pub(crate) async fn bind(
        &self,
        target: PolicyTarget,
        mode: PolicyMode,
        module: &[u8],
        claims: &[&str],
    ) -> BindingId {
        let (judgement, _pin) = self.judgement(module, claims).await;
        let bind = Command::BindPolicy {
            target,
            mode,
            order: 100,
            judgement,
        };
        let receipt = self.execute(bind).await;
        match receipt.events.first().map(|first| &first.event) {
            Some(Event::PolicyBindingCreated(event)) => event.id,
            other => panic!("bound nothing: {other:?}"),
        }
    }

    /// Uploads a policy and makes it ready, as long as the pin is held.
    pub(crate) async fn judgement(&self, module: &[u8], claims: &[&str]) -> (Judgement, Pin) {
        let policies = &self.app.policies;
        let (policy, upload) = blocking(|| policies.take(module)).expect("a policy");
        self.execute(upload).await;
        let settings = PolicySettings::new();
        let pin = blocking(|| policies.prepare(policy, &settings)).expect("ready");
        let claims = claims.iter().map(|claim| (*claim).into()).collect();
        (pin.judgement(settings, claims), pin)
    }

    /// Carries out a command as an operator, without HTTP.
    pub(crate) async fn execute(&self, command: Command) -> writ_ledger::Receipt {
        let id = self.app.command_id();
        let submission = Submission::new(Actor::operator("test"), id, command);
        self.app
            .execute(submission)
            .await
            .expect("the command is accepted")
    }

    /// Registers an API resource.
    pub(crate) async fn api(
        &self,
        identifier: &str,
        scopes: &[&str],
        profile: TokenProfile,
    ) -> ApiId {
        let scopes = scopes.iter().map(|name| NewScope {
            name: name.parse().expect("a scope"),
            description: None,
        });
        let identifier: Identifier = identifier.parse().expect("an identifier");
        let command = Command::CreateApiResource {
            identifier: identifier.clone(),
            name: "An API".parse().expect("a name"),
            requires_authorization: true,
            profile,
            guards: Vec::new(),
            scopes: scopes.collect(),
        };
        let index = self.execute(command).await.index;
        index
            .api_identified(identifier.as_str())
            .expect("just made")
            .id
    }

    /// Creates an application with a secret and a grant.
    pub(crate) async fn application(&self, api: ApiId, scopes: &[&str]) -> Job {
        let id = ApplicationId(self.app.ids.next_id());
        self.execute(Command::CreateApplication {
            id,
            name: "A job".parse().expect("a name"),
            labels: Labels::default(),
            token_settings: TokenSettings::default(),
        })
        .await;
        let secret = Secret::generate(&*self.app.random);
        let new = NewSecret {
            id: SecretId(self.app.ids.next_id()),
            digest: secret.digest(),
            expires_at: None,
        };
        self.execute(Command::AddSecret {
            application: id,
            secret: new,
        })
        .await;
        let scopes = scopes
            .iter()
            .map(|name| name.parse().expect("a scope"))
            .collect();
        let mode = GrantMode::None;
        self.execute(Command::AddGrant {
            application: id,
            api,
            mode,
            scopes,
        })
        .await;
        Job {
            client_id: id.to_string(),
            client_secret: secret.expose().to_owned(),
        }
    }

    /// Where its data is.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// How many events the log has: what must not change when something is refused.
    pub(crate) fn head(&self) -> u64 {
        self.app.index().next_position().0
    }
}
