//! What the benches share: a whole server in process on a temporary data directory, with one API
//! resource for each signing algorithm and one application that is granted all of them among ten
//! thousand others.

pub mod log;
pub mod population;

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
    NewScope, NewSecret, PolicyMode, PolicyTarget, PolicyValue, RecordMode, SecretId,
    SettingsChange, Submission, TokenProfile, TokenSettings,
};
use writ_sandbox::SandboxConfig;

/// The module that the demo binds.
pub const POLICY: &[u8] =
    include_bytes!("../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm");

/// How many applications the index holds beside the one that asks.
pub const APPLICATIONS: usize = 10_000;

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
    /// Makes one.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn new() -> Self {
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
            sandbox: SandboxConfig::default(),
        };
        let app = Data::new(bootstrap::open(&config, surroundings).expect("it opens"));
        let secret = Secret::generate(&SystemRandom);
        let id = create(&app, &secret);
        for algorithm in Algorithm::ALL {
            create_api(&app, id, algorithm);
        }
        // In batches: the writer's queue is bounded.
        for _ in 0..APPLICATIONS / 1_000 {
            let queued: Vec<_> = (0..1_000)
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
        let app = &self.app;
        let index = app.index();
        let bound = index.policy_binding_count();
        let (digest, upload) = app.policies.take(POLICY).expect("a policy");
        execute(app, upload);
        let application = self.client_id.parse().expect("an id");
        for number in bound..policies {
            let caps = format!("*={}", 300 + number);
            let settings = [("caps".into(), PolicyValue::Texts(vec![caps.into()]))].into();
            let pin = app.policies.prepare(digest, &settings).expect("ready");
            let target = match number % 2 {
                0 => PolicyTarget::Server,
                _ => PolicyTarget::Application(application),
            };
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
    let scopes: Vec<NewScope> = ["publish", "read", "write", "review"]
        .map(|what| format!("{algorithm}:{what}").parse().expect("a scope"))
        .map(|name| NewScope {
            name,
            description: None,
        })
        .into();
    let granted = scopes.iter().map(|scope| scope.name.clone()).collect();
    let identifier = identifier(algorithm);
    let index = execute(
        app,
        Command::CreateApiResource {
            identifier: identifier.parse().expect("an identifier"),
            name: "An API".parse().expect("a name"),
            requires_authorization: true,
            profile: TokenProfile {
                algorithm,
                ..TokenProfile::default()
            },
            guards: vec![application],
            scopes,
        },
    )
    .index;
    let api = index.api_identified(&identifier).expect("just made").id;
    execute(
        app,
        Command::AddGrant {
            application,
            api,
            mode: GrantMode::None,
            scopes: granted,
        },
    );
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
