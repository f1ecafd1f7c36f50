//! `writ dev --demo`: the Course Management API and the job that publishes courses, ready for the
//! first token.

use crate::app::{App, ExecuteError};
use crate::bootstrap::BootstrapError;
use crate::credentials::Secret;
use crate::credentials_file::CredentialsFile;
use crate::policies::PolicyFault;
use std::path::{Path, PathBuf};
use writ_core::{
    Actor, Algorithm, ApiId, ApplicationId, Command, GrantMode, Labels, NewScope, NewSecret,
    PolicyMode, PolicyTarget, PolicyValue, ScopeName, SecretId, Submission, TokenProfile,
    TokenSettings,
};

/// The identifier of the demo's API resource: the audience of its tokens.
pub const IDENTIFIER: &str = "https://courses.example/api";

const SCOPES: [(&str, &str); 5] = [
    ("courses:read", "Read every course"),
    ("courses:read-published", "Read published courses"),
    ("courses:read-approved", "Read approved courses"),
    ("courses:write", "Create courses"),
    ("courses:publish", "Publish approved courses"),
];

const GRANTED: [&str; 2] = ["courses:publish", "courses:read-approved"];

/// The policy that judges the demo's tokens, built beforehand: nobody needs a WebAssembly toolchain
/// to run the demo. `policies/build-demo.sh` builds it, and a test compares it with its source.
const POLICY: &[u8] =
    include_bytes!("../../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm");

/// Tokens that can publish live for five minutes.
const CAP: &str = "courses:publish=300";

/// What the job asks for, as the article writes it.
const ASKED: &str = "courses:read-approved courses:publish";

/// The demo, ready.
pub struct Demo {
    /// Where to get a token.
    pub token_endpoint: String,
    /// The job.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The scopes to ask for.
    pub scope: String,
    /// The certificate to trust.
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demo")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Registers the demo, or finds it again. Blocks; called before the server runs.
///
/// # Errors
/// When the log or the file cannot be written.
pub fn register(app: &App, data_dir: &Path, ca: Option<&str>) -> Result<Demo, BootstrapError> {
    let path = data_dir.join("demo.json");
    let index = app.index();
    let api = match index.api_identified(IDENTIFIER) {
        Some(api) => api.id,
        None => create_api(app)?,
    };
    bind_policy(app, api)?;
    let before = CredentialsFile::read(&path)?;
    let known = before
        .as_ref()
        .and_then(|file| file.client_id.parse::<ApplicationId>().ok());
    let (client_id, client_secret) =
        match (known.filter(|id| index.application(*id).is_some()), before) {
            (
                Some(id),
                Some(CredentialsFile {
                    client_secret: Some(secret),
                    ..
                }),
            ) => (id, secret),
            _ => create_job(app, api)?,
        };
    let file = CredentialsFile {
        token_endpoint: format!("{}/oauth2/token", app.issuer.as_str()),
        client_id: client_id.to_string(),
        client_secret: Some(client_secret.clone()),
        private_key: None,
        scope: Some(ASKED.to_owned()),
        ca: ca.map(str::to_owned),
    };
    file.write(&path)?;
    Ok(Demo {
        token_endpoint: file.token_endpoint,
        client_id: file.client_id,
        client_secret,
        scope: ASKED.to_owned(),
        ca: ca.map(|_| data_dir.join("tls").join("cert.pem")),
    })
}

fn create_api(app: &App) -> Result<ApiId, BootstrapError> {
    let scope = |(name, description): (&str, &str)| NewScope {
        name: name.parse().expect("the names above are scope tokens"),
        description: description.parse().ok(),
    };
    let command = Command::CreateApiResource {
        identifier: IDENTIFIER.parse()?,
        name: "Course Management API".parse()?,
        requires_authorization: true,
        // The guard of the article knows RS256.
        profile: TokenProfile {
            algorithm: Algorithm::RS256,
            ..TokenProfile::default()
        },
        guards: Vec::new(),
        scopes: SCOPES.into_iter().map(scope).collect(),
    };
    let index = execute(app, command)?.index;
    let api = index.api_identified(IDENTIFIER).map(|api| api.id);
    Ok(api.expect("the receipt's index holds what the command created"))
}

/// Binds the demo's policy, unless something was bound before: then somebody plays with it.
fn bind_policy(app: &App, api: ApiId) -> Result<(), BootstrapError> {
    let fault = |fault: PolicyFault| BootstrapError::Policies(fault.to_string());
    let target = PolicyTarget::ApiResource(api);
    if app.index().was_ever_bound(target) {
        return Ok(());
    }
    let (digest, upload) = app.policies.take(POLICY).map_err(fault)?;
    execute(app, upload)?;
    let settings = [("caps".into(), PolicyValue::Texts(vec![CAP.into()]))].into();
    let pin = app.policies.prepare(digest, &settings).map_err(fault)?;
    let judgement = pin.judgement(settings, Vec::new());
    execute(
        app,
        Command::BindPolicy {
            target,
            mode: PolicyMode::Enforce,
            order: 100,
            judgement,
        },
    )?;
    app.follow_bindings();
    Ok(())
}

fn create_job(app: &App, api: ApiId) -> Result<(ApplicationId, String), BootstrapError> {
    let application = ApplicationId(app.ids.next_id());
    execute(
        app,
        Command::CreateApplication {
            id: application,
            name: "Course publishing job".parse()?,
            labels: Labels::default(),
            token_settings: TokenSettings::default(),
        },
    )?;
    let scope = |name: &str| -> ScopeName { name.parse().expect("a scope token") };
    let scopes = GRANTED.map(scope).into();
    execute(
        app,
        Command::AddGrant {
            application,
            api,
            mode: GrantMode::None,
            scopes,
        },
    )?;
    let secret = Secret::generate(&*app.random);
    let new = NewSecret {
        id: SecretId(app.ids.next_id()),
        digest: secret.digest(),
        expires_at: None,
    };
    execute(
        app,
        Command::AddSecret {
            application,
            secret: new,
        },
    )?;
    Ok((application, secret.expose().to_owned()))
}

fn execute(app: &App, command: Command) -> Result<writ_ledger::Receipt, ExecuteError> {
    let submission = Submission::new(Actor::operator("demo"), app.command_id(), command);
    Ok(app.ledger.execute(submission).wait()?)
}
