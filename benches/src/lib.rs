//! What the benches share: a whole server in process on a temporary data directory, with one API
//! resource for each signing algorithm and one application that is granted all of them among ten
//! thousand others.

pub mod log;
pub mod population;
pub mod stages;

use actix_web::web::Data;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tempfile::TempDir;
use writ::app::App;
use writ::bootstrap::{self, InitOptions, Surroundings};
use writ::clock::{SystemClock, SystemRandom};
use writ::config::{ByteSize, Config, Issuer};
use writ::credentials::Secret;
use writ::issue::{GrantType, PresentedCredentials, Request};
use writ_core::{
    Actor, Algorithm, ApplicationId, Ask, AuthenticationMethod, Command, GrantMode, Labels,
    NewScope, NewSecret, PolicyMode, PolicyTarget, PolicyValue, RecordMode, ScopeName, SecretId,
    SettingsChange, Submission, TokenProfile, TokenSettings,
};
use writ_sandbox::SandboxConfig;

/// The module that the demo binds.
pub const POLICY: &[u8] =
    include_bytes!("../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm");

/// How many applications the index holds beside the one that asks.
pub const APPLICATIONS: usize = 10_000;

/// How many applications are created at a time: the writer's queue is bounded.
const BATCH: usize = 1_000;

/// An application and its secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The `client_id`.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// A server and an application that asks it for tokens.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub app: Data<App>,
    /// The `client_id`.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    config: Config,
    directory: TempDir,
}

impl World {
    /// Makes one with [`APPLICATIONS`].
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn new() -> Self {
        Self::with(APPLICATIONS)
    }

    /// Makes one with so many applications beside the one that asks.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn with(applications: usize) -> Self {
        Self::in_sandbox(applications, SandboxConfig::default())
    }

    /// The same with policies that run otherwise than usual.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn in_sandbox(applications: usize, sandbox: SandboxConfig) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut config = Config::default();
        config.data_dir = directory.path().join("data");
        config.issuer = Issuer::parse("https://writ.example").ok();
        config.disk.issuance_floor = ByteSize(0);
        bootstrap::init(&config, &InitOptions::default()).expect("a new data directory");
        let surroundings = Surroundings {
            issuer: config.issuer.clone().expect("set above"),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            sandbox,
        };
        let app = Data::new(bootstrap::open(&config, surroundings).expect("it opens"));
        let secret = Secret::generate(&SystemRandom);
        let id = create(&app, &secret);
        for algorithm in Algorithm::ALL {
            create_api(&app, id, algorithm);
        }
        for begun in (0..applications).step_by(BATCH) {
            let queued: Vec<_> = (begun..applications.min(begun + BATCH))
                .map(|_| {
                    app.ledger
                        .execute(submission(&app, new_application(&app).1))
                })
                .collect();
            for pending in queued {
                pending.wait().expect("accepted");
            }
        }
        let (client_id, client_secret) = (id.to_string(), secret.expose().to_owned());
        Self {
            app,
            client_id,
            client_secret,
            config,
            directory,
        }
    }

    /// Validates a token as at first sight: the server itself knows it from the second time on.
    ///
    /// # Panics
    /// When it is not valid.
    pub fn validate_at_first_sight(&self, token: &str) {
        let (ring, issuer) = (self.app.ring(), self.app.issuer.as_str());
        let token = writ::token::decode(token, &ring, issuer).expect("a token of ours");
        self.app.revalidate_token(&token).expect("a valid one");
    }

    /// Stops the server: its data directory is there as long as the first part is held.
    ///
    /// # Panics
    /// When somebody else still holds the server.
    #[must_use]
    pub fn stop(self) -> (TempDir, Config) {
        let app = Arc::try_unwrap(self.app.into_inner()).expect("nobody else holds it");
        app.ledger.close();
        app.issuances.close();
        (self.directory, self.config)
    }

    /// Creates another application.
    ///
    /// # Panics
    /// When the log cannot be written.
    pub fn create_application(&self) {
        execute(&self.app, new_application(&self.app).1);
    }

    /// A request for the two scopes of the API resource that wants an algorithm.
    #[must_use]
    pub fn request<'a>(&'a self, resources: &'a [&'a str], scope: &'a str) -> Request<'a> {
        Request {
            credentials: PresentedCredentials::Secret {
                client_id: &self.client_id,
                presented_secret: &self.client_secret,
                method: AuthenticationMethod::ClientSecretPost,
            },
            ask: Ask {
                scope: Some(scope),
                resources,
                ..Ask::default()
            },
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: Some("bench/1"),
            grant_type: GrantType::default(),
            exchange: None,
            certificate: None,
            proof: None,
            details: None,
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
    }

    /// Binds the demo's policy to all that judges the tokens of the application, one after the
    /// other, until so many are bound.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn bind(&self, policies: usize) {
        let bound = self.app.index().policy_binding_count();
        let application = self.client_id.parse().expect("an id");
        for number in bound..policies {
            let target = match number % 2 {
                0 => PolicyTarget::Server,
                _ => PolicyTarget::Application(application),
            };
            bind(&self.app, target, number);
        }
    }

    /// Creates an application that has the same grants as the first one, and binds the demo's policy
    /// so many times to it: each with settings of its own.
    ///
    /// # Panics
    /// When the log cannot be written.
    #[must_use]
    pub fn create_judged(&self, policies: usize) -> Credentials {
        let secret = Secret::generate(&SystemRandom);
        let id = create(&self.app, &secret);
        for algorithm in Algorithm::ALL {
            grant(&self.app, id, algorithm);
        }
        for number in 0..policies {
            bind(&self.app, PolicyTarget::Application(id), number);
        }
        Credentials {
            id: id.to_string(),
            secret: secret.expose().to_owned(),
        }
    }

    /// Changes how issuances are recorded.
    ///
    /// # Panics
    /// When the log cannot be written.
    pub fn record(&self, mode: RecordMode) {
        let change = SettingsChange {
            issuance_record: Some(mode),
            ..SettingsChange::default()
        };
        execute(&self.app, Command::ChangeSettings { change });
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The API resource that wants an algorithm.
#[must_use]
pub fn identifier(algorithm: Algorithm) -> String {
    format!("https://{algorithm}.example/api")
}

/// Two scopes of that API resource, as asked.
#[must_use]
pub fn scope(algorithm: Algorithm) -> String {
    format!("{algorithm}:publish {algorithm}:read")
}

fn new_application(app: &App) -> (ApplicationId, Command) {
    let id = ApplicationId(app.ids.next_id());
    let name = "A job".parse().expect("a name");
    let (labels, token_settings) = (Labels::default(), TokenSettings::default());
    (
        id,
        Command::CreateApplication {
            id,
            name,
            labels,
            token_settings,
        },
    )
}

fn create(app: &App, secret: &Secret) -> ApplicationId {
    let (id, command) = new_application(app);
    execute(app, command);
    let new = NewSecret {
        id: SecretId(app.ids.next_id()),
        digest: secret.digest(),
        expires_at: None,
    };
    execute(
        app,
        Command::AddSecret {
            application: id,
            secret: new,
        },
    );
    id
}

fn create_api(app: &App, application: ApplicationId, algorithm: Algorithm) {
    let scopes = scopes(algorithm).into_iter();
    let scopes = scopes.map(|name| NewScope {
        name,
        description: None,
    });
    execute(
        app,
        Command::CreateApiResource {
            identifier: identifier(algorithm).parse().expect("an identifier"),
            name: "An API".parse().expect("a name"),
            requires_authorization: true,
            profile: TokenProfile {
                algorithm,
                ..TokenProfile::default()
            },
            guards: vec![application],
            scopes: scopes.collect(),
        },
    );
    grant(app, application, algorithm);
}

fn scopes(algorithm: Algorithm) -> Vec<ScopeName> {
    let what = ["publish", "read", "write", "review"];
    let names = what.map(|what| format!("{algorithm}:{what}").parse().expect("a scope"));
    names.into()
}

/// Grants all scopes of the API resource that wants an algorithm.
fn grant(app: &App, application: ApplicationId, algorithm: Algorithm) {
    let index = app.index();
    let api = index.api_identified(&identifier(algorithm));
    execute(
        app,
        Command::AddGrant {
            application,
            api: api.expect("made before").id,
            mode: GrantMode::None,
            scopes: scopes(algorithm).into_iter().collect(),
        },
    );
}

fn bind(app: &App, target: PolicyTarget, number: usize) {
    let (digest, upload) = app.policies.take(POLICY).expect("a policy");
    execute(app, upload);
    let caps = format!("*={}", 300 + number);
    let settings = [("caps".into(), PolicyValue::Texts(vec![caps.into()]))].into();
    let pin = app.policies.prepare(digest, &settings).expect("ready");
    execute(
        app,
        Command::BindPolicy {
            target,
            mode: PolicyMode::Enforce,
            order: 100,
            judgement: pin.judgement(settings, Vec::new()),
        },
    );
    // As the server does after each such event.
    app.policies.follow(|| app.index());
}

fn submission(app: &App, command: Command) -> Submission {
    Submission::new(Actor::operator("bench"), app.command_id(), command)
}

fn execute(app: &App, command: Command) -> writ_ledger::Receipt {
    app.ledger
        .execute(submission(app, command))
        .wait()
        .expect("accepted")
}
