//! Data directories: made once by `init`, opened by every start, mended by `recover` and `reseal`.
//! All of it blocks, and all of it needs the directory's lock, so none of it can run beside a
//! server.

mod log_key;

use crate::admin::Streams;
use crate::app::{App, ExecuteError, make_and_seal};
use crate::authorization_details::Schemas;
use crate::client_certificate::{AuthoritiesError, ClientAuthorities};
use crate::clock::{Clock, Ids, Random, SystemClock, SystemRandom};
use crate::config::{Config, Engine, Issuer};
use crate::credentials::Secret;
use crate::credentials_file::{CredentialsFile, CredentialsFileError};
use crate::dpop::Nonces;
use crate::holder_key::{HolderKey, PrivateKeyText};
use crate::issue::failures::Failures;
use crate::jose::ForeignKey;
use crate::keys::{KeyFault, KeyRing, MasterKey, MasterKeyError};
use crate::keys_of_others::KeysOfOthers;
use crate::net::TrustedProxies;
use crate::policies::{Policies, PoliciesError};
use crate::quota::{FailureBudget, Quotas};
use crate::telemetry::Metrics;
use crate::token::VerifiedTokens;
use crate::usage::{self, Usage};
use arc_swap::ArcSwap;
use log_key::{LogKey, anchors, checkpoints};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use writ_core::{
    Actor, Algorithm, ApplicationId, Authentication, AuthenticationMethod, Command, CommandId,
    Index, Millis, Name, NewSecret, NewSigningKey, SecretId, SecurityProfile, Submission,
};
use writ_ledger::archive::{self, Contents, Manifest};
use writ_ledger::merkle::Tree;
use writ_ledger::note::{Checkpoint, ParseNoteError};
use writ_ledger::{
    Anchor, Checkpoints, DataDir, EngineKind, FailureLog, Fault, IssuanceConfig, IssuanceLog,
    KeyStore, Ledger, LedgerConfig, LogId, Notes, Progress, REPLAYS_MAX, RandomIds, ReplayStore,
    Snapshots, issuance_file_number, open_engine,
};
use writ_sandbox::SandboxConfig;

/// Modules that wait for the compiler; more are told to come back.
const UPLOADS: usize = 8;
/// Previews that ask policies at a time.
const PREVIEWS: usize = 2;
/// Searches of records at a time.
const SCANS: usize = 2;
/// How long a start waits for policies to be compiled, when the cache has not got them. What is not
/// ready by then denies its tokens until it is.
const POLICIES_PATIENCE: Duration = Duration::from_secs(20);

/// The name of the first administrator where none is given.
const ADMINISTRATOR: &str = "Administrator";

/// Why a data directory cannot be made or opened. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// There is a log in it.
    #[error("{} is a data directory with a log already; `writ serve` opens it, `writ admin recover` makes a new administrator", .0.display())]
    Initialised(PathBuf),
    /// There is none in it.
    #[error("{} holds no log yet; `writ init` makes one", .0.display())]
    Uninitialised(PathBuf),
    /// The name for the administrator.
    #[error("the administrator's name: {0}")]
    Name(#[from] writ_core::ParseNameError),
    /// The authorities of client certificates.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// The issuer is needed and was not configured.
    #[error("the issuer is not known; set `issuer` in writ.toml, WRIT_ISSUER or --issuer")]
    NoIssuer,
    /// sled is configured and not built in.
    #[cfg(not(feature = "sled"))]
    #[error(
        "store.engine is sled, which this binary was built without; build it with `--features sled`, or use redb"
    )]
    NoSled,
    /// The master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// A signing key.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] Fault),
    /// The log's rules or its writer.
    #[error(transparent)]
    Command(#[from] ExecuteError),
    /// A credentials file.
    #[error(transparent)]
    Credentials(#[from] CredentialsFileError),
    /// The log is what was signed.
    #[error("the log is what its checkpoints vouch for: there is nothing to accept")]
    NothingToAccept,
    /// The name of the log.
    #[error("the key of the log: {0}")]
    LogKey(#[from] ParseNoteError),
    /// The sandbox of policies, or a policy that is built in.
    #[error("policies: {0}")]
    Policies(String),
}

impl From<PoliciesError> for BootstrapError {
    fn from(error: PoliciesError) -> Self {
        match error {
            PoliciesError::Disk(fault) => Self::Disk(fault),
            PoliciesError::Sandbox(error) => Self::Policies(error.to_string()),
        }
    }
}

/// What `init` and `recover` can be told.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The administrator's name.
    pub admin_name: Option<String>,
    /// The certificate that clients must trust, in PEM, when it is one of our own making.
    pub ca: Option<String>,
}

/// An administrator that was just made.
#[derive(Debug)]
pub struct Initialised {
    /// Its application.
    pub application: ApplicationId,
    /// Where its credentials are: `admin.json` in the data directory, mode 0600.
    pub admin_file: PathBuf,
    /// The credentials.
    pub credentials: AdminCredentials,
}

/// The credentials of an administrator.
#[derive(Debug)]
pub struct AdminCredentials {
    /// The token endpoint.
    pub token_endpoint: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
}

/// Where the administrator's credentials are.
#[must_use]
pub fn admin_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.json")
}

/// Makes a data directory: the log, signing keys, the first administrator. Run again after a
/// crash it completes what is there.
///
/// # Errors
/// See [`BootstrapError`].
pub fn init(config: &Config, options: &InitOptions) -> Result<Initialised, BootstrapError> {
    let data = DataDir::create(&config.data_dir)?;
    init_in(&data, config, options)
}

fn init_in(
    data: &DataDir,
    config: &Config,
    options: &InitOptions,
) -> Result<Initialised, BootstrapError> {
    let issuer = config.issuer.as_ref().ok_or(BootstrapError::NoIssuer)?;
    let (random, ids) = sources(Arc::new(SystemClock));
    let engine = open_engine(data, engine_kind(config)?, Some(LogId(ids.next_id())))?;
    if engine.head()? > 0 {
        return Err(BootstrapError::Initialised(data.path().to_owned()));
    }
    let log_id = engine.log_id();
    let master = master_key_or_new(config, &*random)?;
    let store = KeyStore::open(data, log_id, master, true)?;
    let clock = events_clock(Arc::new(SystemClock));
    let ledger = Ledger::open(ledger_config(engine, clock, data, Vec::new()))?;
    // Keys of an earlier try that never came into the log.
    for kid in store.list() {
        store.delete(&kid)?;
    }
    let keys: Result<Vec<NewSigningKey>, ExecuteError> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| make_and_seal(&store, algorithm))
        .collect();
    let administrator = NewAdministrator::make(&ids, &*random, options)?;
    let made = administrator.write_file(&admin_file(data.path()), issuer, options)?;
    let (application, secret) = (administrator.application, administrator.secret());
    execute(
        &ledger,
        "init",
        CommandId(ids.next_id()),
        Command::Initialize {
            log_id: log_id.to_string().into(),
            administrator: application,
            name: administrator.name,
            secret,
            keys: keys?,
        },
    )?;
    Ok(made(administrator.client_secret))
}

/// Opens a data directory that is there, with the log in it. Takes its lock.
///
/// # Errors
/// See [`BootstrapError`].
pub(crate) fn open_log(
    config: &Config,
) -> Result<(DataDir, Arc<dyn writ_ledger::Engine>), BootstrapError> {
    let data = DataDir::open(&config.data_dir)?;
    let engine = open_engine(&data, engine_kind(config)?, None)?;
    Ok((data, engine))
}

/// Opens the key store of a log that is open.
fn open_keys(
    data: &DataDir,
    engine: &dyn writ_ledger::Engine,
    master_key: &MasterKey,
) -> Result<KeyStore, Fault> {
    KeyStore::open(data, engine.log_id(), sealing(master_key), false)
}

/// Makes a new administrator in a data directory that has a log: the way back in.
///
/// # Errors
/// See [`BootstrapError`].
pub fn recover(config: &Config, options: &InitOptions) -> Result<Initialised, BootstrapError> {
    let issuer = config.issuer.as_ref().ok_or(BootstrapError::NoIssuer)?;
    let (data, engine) = open_log(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (random, ids) = sources(Arc::clone(&clock));
    let anchors = anchors(&checkpoints(&data, config)?);
    let ledger = Ledger::open(ledger_config(engine, events_clock(clock), &data, anchors))?;
    let mut administrator = NewAdministrator::make(&ids, &*random, options)?;
    if ledger.index().settings().security_profile == SecurityProfile::Fapi2 {
        administrator.key = Some(PrivateKeyText::generate()?);
    }
    // The credentials that are there may still be good: they are replaced when the new ones are.
    let (path, beside) = (admin_file(data.path()), data.join("admin.json.recovered"));
    let made = administrator.write_file(&beside, issuer, options)?;
    let (application, secret) = (administrator.application, administrator.secret());
    let mut commands = vec![Command::RecoverAdministrator {
        application,
        name: administrator.name,
        secret,
    }];
    if let Some(key) = &administrator.key {
        // The profile takes no secrets (FAPI 2.0 Security Profile §5.3.2.1).
        commands.push(Command::ChangeAuthentication {
            application,
            authentication: Some(Box::new(by_key(key)?)),
        });
        commands.push(Command::RevokeSecret {
            application,
            secret: administrator.secret_id,
        });
    }
    for command in commands {
        execute(&ledger, "recover", CommandId(ids.next_id()), command)?;
    }
    std::fs::rename(&beside, &path).map_err(|source| CredentialsFileError::Io {
        action: "rename to admin.json",
        path: beside,
        source,
    })?;
    Ok(Initialised {
        admin_file: path,
        ..made(administrator.client_secret)
    })
}

/// Makes an archive of a data directory. `heard` is told how many events of how many are done.
///
/// # Errors
/// See [`BootstrapError`].
pub fn export(
    config: &Config,
    to: &Path,
    contents: Contents,
    mut heard: impl FnMut(u64, u64),
) -> Result<Manifest, BootstrapError> {
    let (data, engine) = open_log(config)?;
    let total = engine.head()?;
    let heard = |done| heard(done, total);
    Ok(archive::export(&*engine, &data, to, contents, heard)?)
}

/// Puts the log of an archive into a data directory, which is made where there is none, and into the
/// engine that is configured. `heard` is told how many events of how many are done.
///
/// # Errors
/// See [`BootstrapError`]. After an error it can be run again.
pub fn import(
    config: &Config,
    from: &Path,
    mut heard: impl FnMut(u64, u64),
) -> Result<Manifest, BootstrapError> {
    let manifest = archive::manifest(from)?;
    let log_id = LogId::parse(&manifest.log_id);
    let data = DataDir::create(&config.data_dir)?;
    let engine = open_engine(&data, engine_kind(config)?, log_id)?;
    if Some(engine.log_id()) != log_id {
        return Err(BootstrapError::Initialised(data.path().to_owned()));
    }
    let total = manifest.events;
    Ok(archive::import(from, &data, &*engine, |done| {
        heard(done, total);
    })?)
}

/// A log that was accepted although something vouched for another one.
#[derive(Debug)]
pub struct AcceptedRestore {
    /// What had vouched for another log: where that was found, and for how many events.
    pub given_up: Vec<(PathBuf, u64)>,
    /// The log as it was accepted, with the event that says so.
    pub index: Arc<Index>,
}

/// Accepts the log of a data directory as it is, although checkpoints vouch for another one or are
/// missing: an older state was restored, and is wanted. That is an event of the log, and from then on
/// its checkpoints are of this log.
///
/// # Errors
/// [`BootstrapError::NothingToAccept`] when the log is what was signed.
pub fn accept_restore(config: &Config) -> Result<AcceptedRestore, BootstrapError> {
    let (data, engine) = open_log(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (_, ids) = sources(Arc::clone(&clock));
    let store = open_keys(&data, &*engine, &config.master_key()?)?;
    let ledger = Ledger::open(ledger_config(
        engine,
        events_clock(clock),
        &data,
        Vec::new(),
    ))?;
    let issuer = config.issuer.clone().ok_or(BootstrapError::NoIssuer)?;
    let signed = checkpoints(&data, config)?;
    let head = ledger.tree_head().0;
    let mut given_up = Vec::new();
    for (path, signed) in &signed {
        let Checkpoint { size, root, .. } = signed.checkpoint;
        if size > head || ledger.root_at(size).ok() != Some(root) {
            given_up.push((path.clone(), size, root));
        }
    }
    if signed.is_empty() && ledger.index().has_checkpoint() {
        given_up.push((Checkpoints::path(&data), 0, Tree::default().root()));
    }
    if given_up.is_empty() {
        return Err(BootstrapError::NothingToAccept);
    }
    let mut said = Vec::new();
    for (_, size, root) in &given_up {
        // The checkpoint and its copy are usually the same.
        if !said.contains(&(*size, *root)) {
            said.push((*size, *root));
            let (size, root) = (*size, *root);
            let command = Command::AcceptRestore { size, root };
            execute(&ledger, "accept-restore", CommandId(ids.next_id()), command)?;
        }
    }
    // The checkpoints that are given up may be by another key too.
    LogKey::open(&store, &[])?.put_to_use(&data, config, &issuer, &ledger, &ids)?;
    Ok(AcceptedRestore {
        given_up: given_up
            .into_iter()
            .map(|(path, size, _)| (path, size))
            .collect(),
        index: ledger.snapshot(),
    })
}

/// Seals every private key under a new master key; answers how many.
///
/// # Errors
/// See [`BootstrapError`].
pub fn reseal(config: &Config, new: &MasterKey) -> Result<usize, BootstrapError> {
    let (data, engine) = open_log(config)?;
    let store = open_keys(&data, &*engine, &config.master_key()?)?;
    store.reseal(sealing(new))?;
    Ok(store.list().len())
}

/// Whether a data directory has a log to open.
///
/// # Errors
/// When it cannot be read.
pub fn is_initialised(config: &Config) -> Result<bool, BootstrapError> {
    let data = match DataDir::open(&config.data_dir) {
        Ok(data) => data,
        Err(Fault::NotADataDirectory { .. }) => return Ok(false),
        Err(fault) => return Err(fault.into()),
    };
    match open_engine(&data, engine_kind(config)?, None) {
        Ok(engine) => Ok(engine.head()? > 0),
        Err(Fault::NotADataDirectory { .. }) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// What an [`App`] is made of besides its data directory.
#[derive(Debug)]
pub struct Surroundings {
    /// The issuer identifier.
    pub issuer: Issuer,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes secrets and ids.
    pub random: Arc<dyn Random>,
    /// How policies are run.
    pub sandbox: SandboxConfig,
}

/// Opens a data directory that has a log: replays it, parses the keys, records the start.
///
/// # Errors
/// See [`BootstrapError`].
pub fn open(config: &Config, surroundings: Surroundings) -> Result<App, BootstrapError> {
    let Surroundings {
        issuer,
        clock,
        random,
        sandbox,
    } = surroundings;
    let (data, engine) = open_log(config)?;
    let master_key = config.master_key()?;
    let key_store = open_keys(&data, &*engine, &master_key)?;
    let policies = Policies::open(&data, master_key.expose(), sandbox)?;
    let metrics = Arc::new(Metrics::new());
    let ids = Arc::new(Ids::new(Arc::clone(&clock), Arc::clone(&random)));
    let signed = checkpoints(&data, config)?;
    let log_key = LogKey::open(&key_store, &signed)?;
    let snapshot_key = MasterKey::derive(master_key.expose(), "writ snapshot 1");
    let snapshots = Arc::new(Snapshots::new(
        &data,
        &snapshot_key,
        config.disk.issuance_floor.0,
    ));
    let ledger = open_ledger(
        LedgerConfig {
            snapshots: Some(Arc::clone(&snapshots)),
            ..ledger_config(engine, log_clock(&clock, &ids), &data, anchors(&signed))
        },
        &metrics,
    )?;
    if ledger.index().log_id().is_none() {
        return Err(BootstrapError::Uninitialised(data.path().to_owned()));
    }
    if signed.is_empty() && ledger.index().has_checkpoint() {
        let path = Checkpoints::path(&data);
        return Err(Fault::NoCheckpoint { path }.into());
    }
    let checkpoints = log_key.put_to_use(&data, config, &issuer, &ledger, &ids)?;
    let issuances = open_issuances(&data, &ledger, config, &clock, &metrics)?;
    // The clock may have been set back while the server was down: ids and times go on from the
    // latest that was ever given out, or a cut "until now" could miss tokens from the future.
    if let Some(last) = issuances.last() {
        let _used_up = ids.next_at(last.millis());
    }
    let failure_log = FailureLog::open(&data, ledger.log_id())?;
    let once = ReplayStore::open(&data, ledger.log_id(), clock.now(), REPLAYS_MAX)?;
    let start = Command::StartServer {
        version: env!("CARGO_PKG_VERSION").into(),
        engine: (**policies.engine()).into(),
        issuer: Some(issuer.as_str().into()),
    };
    execute(&ledger, "start", CommandId(ids.next_id()), start)?;
    checkpoints.sign(&ledger)?;
    let fetches = metrics.remote_keys();
    let keys_of_others = KeysOfOthers::new(&config.outbound, Arc::clone(&clock), fetches);
    let app = App {
        issuer,
        ledger,
        checkpoints: Arc::new(checkpoints),
        snapshots,
        issuances,
        failures: Failures::default(),
        failure_log,
        key_store: Arc::new(key_store),
        notes: Arc::new(Notes::open(&data)?),
        policies: Arc::new(policies),
        uploads: Semaphore::new(UPLOADS),
        compiling: Semaphore::new(1),
        previews: Semaphore::new(PREVIEWS),
        metrics,
        proxies: TrustedProxies::new(config.proxies.trusted.clone()),
        client_ca: Arc::new(ClientAuthorities::open(
            config.tls.client_ca_file.as_deref(),
            config.tls.client_crl_file.as_deref(),
        )?),
        once,
        details_schemas: Schemas::default(),
        quotas: Quotas::default(),
        failure_budget: FailureBudget::default(),
        usage: Usage::restore(&data.join(usage::FILE)),
        nonces: Nonces::new(&MasterKey::derive(master_key.expose(), "writ dpop nonce 1")),
        keys_of_others,
        verified_tokens: VerifiedTokens::default(),
        clock,
        ids,
        random,
        keys: ArcSwap::from_pointee(KeyRing::empty()),
        draining: Arc::new(AtomicBool::new(false)),
        closed: AtomicBool::new(false),
        streams: Streams::default(),
        scans: Semaphore::new(SCANS),
        replays: Semaphore::new(1),
        in_flight: AtomicUsize::new(0),
        lost_seen: AtomicU64::new(0),
        refreshing: Mutex::new(()),
        data,
    };
    replace_lost_keys(&app)?;
    app.forget_stray_keys();
    app.follow_bindings();
    app.policies
        .catch_up(&app.index(), POLICIES_PATIENCE, || false);
    app.follow_bindings();
    Ok(app)
}

fn open_ledger(config: LedgerConfig, metrics: &Arc<Metrics>) -> Result<Ledger, Fault> {
    let metrics = Arc::clone(metrics);
    Ledger::open(LedgerConfig {
        on_commit: Some(Box::new(move |took| metrics.admin_commit(took))),
        ..config
    })
}

/// The time of events: never earlier than an id that was given out.
fn log_clock(clock: &Arc<dyn Clock>, ids: &Arc<Ids>) -> Arc<dyn writ_ledger::Clock> {
    let (clock, ids) = (Arc::clone(clock), Arc::clone(ids));
    Arc::new(move || Millis(clock.now().0.max(ids.newest().0)))
}

fn open_issuances(
    data: &DataDir,
    ledger: &Ledger,
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<IssuanceLog, Fault> {
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    // Numbers go on from those that the log has seals for, even when the files are gone.
    let sealed = ledger.snapshot();
    let numbers = sealed.sealed_files().filter_map(issuance_file_number);
    let records = IssuanceConfig {
        free_space_min: config.disk.issuance_floor.0,
        number_min: numbers.max().map_or(0, |highest| highest.saturating_add(1)),
        on_commit: Box::new(move |records, took| metrics.issuance_commit(records, took)),
        ..IssuanceConfig::new(Arc::new(move || clock.now()))
    };
    IssuanceLog::open(data, ledger.log_id(), records)
}

/// Parses the active keys. One whose private part is gone, as after a restore of the key store
/// alone, is replaced: its tokens end with it, but otherwise there would never be another one, nor
/// an administrator's token to make one with.
fn replace_lost_keys(app: &App) -> Result<(), BootstrapError> {
    let Err(fault) = app.refresh_keys() else {
        return Ok(());
    };
    tracing::error!(%fault, "a signing key cannot be used; those that cannot sign are replaced");
    let index = app.index();
    for key in Algorithm::ALL
        .into_iter()
        .filter_map(|algorithm| index.active_key(algorithm))
    {
        if app.can_sign(&key.kid, key.algorithm) {
            continue;
        }
        let replacement = Some(make_and_seal(&app.key_store, key.algorithm)?);
        let command = Command::RevokeSigningKey {
            kid: key.kid.clone(),
            replacement,
        };
        execute(&app.ledger, "start", app.command_id(), command)?;
    }
    Ok(app.refresh_keys()?)
}

/// To be proven by a key, and by nothing else.
fn by_key(key: &PrivateKeyText) -> Result<Authentication, KeyFault> {
    let public = serde_json::Value::Object(HolderKey::parse(key)?.public());
    let key = ForeignKey::from_jwk(&public).map_err(|_| KeyFault::Generation(key.alg))?;
    Ok(Authentication {
        methods: vec![AuthenticationMethod::PrivateKeyJwt],
        keys: vec![key.to_registered()],
        ..Authentication::default()
    })
}

/// An administrator to be.
struct NewAdministrator {
    application: ApplicationId,
    name: Name,
    secret_id: SecretId,
    client_secret: Secret,
    /// What proves it instead, where secrets are not taken.
    key: Option<PrivateKeyText>,
}

impl NewAdministrator {
    fn make(ids: &Ids, random: &dyn Random, options: &InitOptions) -> Result<Self, BootstrapError> {
        Ok(Self {
            application: ApplicationId(ids.next_id()),
            name: options
                .admin_name
                .as_deref()
                .unwrap_or(ADMINISTRATOR)
                .parse()?,
            secret_id: SecretId(ids.next_id()),
            client_secret: Secret::generate(random),
            key: None,
        })
    }

    fn secret(&self) -> NewSecret {
        let digest = self.client_secret.digest();
        NewSecret {
            id: self.secret_id,
            digest,
            expires_at: None,
        }
    }

    /// Writes the file before the command: a secret that is in force and known to nobody would
    /// help nobody, while a file whose secret is not in force yet is written again by a next try.
    fn write_file(
        &self,
        path: &Path,
        issuer: &Issuer,
        options: &InitOptions,
    ) -> Result<impl FnOnce(Secret) -> Initialised + use<>, BootstrapError> {
        let file = CredentialsFile {
            token_endpoint: format!("{}/oauth2/token", issuer.as_str()),
            client_id: self.application.to_string(),
            client_secret: match self.key {
                None => Some(self.client_secret.expose().to_owned()),
                Some(_) => None,
            },
            private_key: self.key.clone(),
            scope: None,
            ca: options.ca.clone(),
        };
        file.write(path)?;
        let admin_file = path.to_owned();
        let application = self.application;
        let CredentialsFile {
            token_endpoint,
            client_id,
            ..
        } = file;
        Ok(move |client_secret| Initialised {
            application,
            admin_file,
            credentials: AdminCredentials {
                token_endpoint,
                client_id,
                client_secret,
            },
        })
    }
}

/// Carries out a command of an operator, or of the start itself; blocks.
fn execute(
    ledger: &Ledger,
    who: &str,
    id: CommandId,
    command: Command,
) -> Result<writ_ledger::Receipt, ExecuteError> {
    let actor = if who == "start" {
        Actor::system(who)
    } else {
        Actor::operator(who)
    };
    Ok(ledger.execute(Submission::new(actor, id, command)).wait()?)
}

fn events_clock(clock: Arc<dyn Clock>) -> Arc<dyn writ_ledger::Clock> {
    Arc::new(move || clock.now())
}

fn sources(clock: Arc<dyn Clock>) -> (Arc<dyn Random>, Ids) {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let ids = Ids::new(clock, Arc::clone(&random));
    (random, ids)
}

pub(crate) fn engine_kind(config: &Config) -> Result<EngineKind, BootstrapError> {
    match config.store.engine {
        Engine::Redb => Ok(EngineKind::Redb),
        #[cfg(feature = "sled")]
        Engine::Sled => Ok(EngineKind::Sled),
        #[cfg(not(feature = "sled"))]
        Engine::Sled => Err(BootstrapError::NoSled),
    }
}

fn ledger_config(
    engine: Arc<dyn writ_ledger::Engine>,
    clock: Arc<dyn writ_ledger::Clock>,
    data: &DataDir,
    anchors: Vec<Anchor>,
) -> LedgerConfig {
    let progress = |Progress { done, total }| tracing::info!(done, total, "replaying the log");
    LedgerConfig {
        engine,
        clock,
        ids: Arc::new(RandomIds::default()),
        data: Some(data.path().to_owned()),
        anchors,
        snapshots: None,
        progress: Some(Box::new(progress)),
        on_commit: None,
    }
}

/// The master key of the configuration; made anew where it should be a file that is not there.
fn master_key_or_new(
    config: &Config,
    random: &dyn Random,
) -> Result<writ_ledger::MasterKey, BootstrapError> {
    match config.master_key_path() {
        Some(path) if !path.exists() => Ok(sealing(&MasterKey::create_file(&path, random)?)),
        _ => Ok(sealing(&config.master_key()?)),
    }
}

fn sealing(key: &MasterKey) -> writ_ledger::MasterKey {
    writ_ledger::MasterKey::new(*key.expose())
}
