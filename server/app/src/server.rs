//! A server from start to stop: listeners, TLS, signals, draining.

use crate::app::App;
use crate::bootstrap::{self, BootstrapError, InitOptions, Initialised, Surroundings};
use crate::client_certificate::ClientCertificate;
use crate::clock::{SystemClock, SystemRandom};
use crate::config::{Config, Issuer};
use crate::credentials_file::{CredentialsFile, CredentialsFileError};
use crate::demo::{self, Demo};
use crate::http::{self, Manners, PeerCertificate, Witnessing};
use crate::maintenance;
use crate::overload;
use crate::policies;
use crate::tls::{self, Certificate, Clients, TlsError};
use crate::witnesses::{Witnesses, WitnessesError};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server, ServerHandle};
use actix_web::rt::net::TcpStream as TcpConnection;
use actix_web::web::Data;
use actix_web::{HttpServer, middleware::from_fn, web};
use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use writ_ledger::Witness;

/// How often the files of certificates are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(5);
/// How often a stopping server looks whether the last request has ended.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// Most connections to a witness at a time.
const WITNESS_CONNECTIONS: usize = 256;
/// How long a stopping server waits for the last bytes to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// How a server is started.
pub struct Options {
    /// Makes the data directory where there is none: `dev`. Never for `serve`.
    pub create: bool,
    /// Makes a certificate where none is configured: `dev`.
    pub self_signed: bool,
    /// Registers the demo.
    pub demo: bool,
    /// Called once, when every listener accepts.
    pub on_ready: Box<dyn FnOnce(&Ready) + Send>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}

/// A server that accepts requests.
#[derive(Debug)]
pub struct Ready {
    /// Where: scheme, host and port.
    pub url: String,
    /// Where health and metrics are.
    pub ops: SocketAddr,
    /// The administrator, on the first start of `dev`.
    pub created: Option<Initialised>,
    /// The demo.
    pub demo: Option<Demo>,
}

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The data directory.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A credentials file.
    #[error(transparent)]
    Credentials(#[from] CredentialsFileError),
    /// The witnesses.
    #[error(transparent)]
    Witnesses(#[from] WitnessesError),
    /// The runtime.
    #[error("the server failed")]
    Runtime(#[from] io::Error),
}

/// Runs a server until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// See [`ServeError`]; the message says what to do.
pub fn run(mut config: Config, options: Options) -> Result<(), ServeError> {
    tls::install_provider();
    let public = listen(config.http.listen)?;
    let admin = config.admin.listen.map(listen).transpose()?;
    let ops = listen(config.ops.listen)?;
    let (address, ops_address) = (public.local_addr()?, ops.local_addr()?);
    let scheme = if config.http.plain { "http" } else { "https" };
    if config.issuer.is_none() {
        let issuer = Issuer::parse(&format!("{scheme}://localhost:{}", address.port()));
        config.issuer = issuer.ok();
    }
    let issuer = config.issuer.clone().ok_or(BootstrapError::NoIssuer)?;

    let created = match options.create && !bootstrap::is_initialised(&config)? {
        true => Some(bootstrap::init(&config, &InitOptions::default())?),
        false => None,
    };
    let surroundings = Surroundings {
        issuer: issuer.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        sandbox: policies::sandbox(workers(&config)),
    };
    let app = Data::new(bootstrap::open(&config, surroundings)?);
    let (certificate, ca) = certificate(&config, &app, options.self_signed)?;
    if options.create {
        // The port, and with it the issuer, may be another than at the last start.
        refresh(
            &bootstrap::admin_file(&config.data_dir),
            &issuer,
            ca.as_deref(),
        )?;
    }
    let demo = match options.demo {
        true => Some(demo::register(&app, &config.data_dir, ca.as_deref())?),
        false => None,
    };
    let ready = Ready {
        url: url(scheme, address),
        ops: ops_address,
        created,
        demo,
    };
    let listeners = Listeners { public, admin, ops };
    actix_web::rt::System::new().block_on(async move {
        serve(config, app, listeners, certificate, || {
            (options.on_ready)(&ready)
        })
        .await
    })
}

struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
    ops: TcpListener,
}

async fn serve(
    config: Config,
    app: Data<App>,
    listeners: Listeners,
    certificate: Option<Arc<Certificate>>,
    on_ready: impl FnOnce(),
) -> Result<(), ServeError> {
    let _watch = certificate
        .as_ref()
        .map(|found| found.watch(CERTIFICATE_EVERY))
        .transpose()?;
    let authorities = Arc::clone(&app.client_ca);
    let _watch_authorities = tls::watch("authorities of clients", CERTIFICATE_EVERY, move || {
        authorities.reload()
    })?;
    let with_admin = listeners.admin.is_none();
    let certificate = certificate.as_ref();
    let mut servers = vec![front(
        &config,
        &app,
        listeners.public,
        certificate,
        Surface {
            public: true,
            admin: with_admin,
        },
    )?];
    if let Some(listener) = listeners.admin {
        let surface = Surface {
            public: false,
            admin: true,
        };
        servers.push(front(&config, &app, listener, certificate, surface)?);
    }
    let ops = ops(&app, listeners.ops)?;

    let handles: Vec<ServerHandle> = servers.iter().map(Server::handle).collect();
    let ops_handle = ops.handle();
    let mut running = tokio::task::JoinSet::new();
    for server in servers.into_iter().chain([ops]) {
        running.spawn_local(server);
    }
    let maintained = app.clone();
    running.spawn_local(async move {
        let mut ticks = tokio::time::interval(maintenance::EVERY);
        loop {
            ticks.tick().await;
            maintenance::run_once(&maintained).await;
        }
    });
    let signed = app.clone().into_inner();
    running.spawn_local(async move {
        let mut ticks = tokio::time::interval(maintenance::CHECKPOINT_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            maintenance::checkpoint(&signed).await;
        }
    });
    let witnesses = Witnesses::start(&config.checkpoint, &app)?;
    // Before anybody is told: whoever knows that the server is ready may stop it.
    let stop = stop_signal()?;
    on_ready();

    tokio::select! {
        () = stop => {}
        // None of them ends by itself; a server without one of them must not go on.
        _ = running.join_next() => {
            return Err(io::Error::other("a listener or the maintenance ended by itself").into());
        }
    }
    // Balancers must hear that this node is stopping while it still answers them.
    app.drain();
    tracing::info!("stopping: not ready any more, finishing what has begun");
    tokio::time::sleep(config.http.shutdown_delay).await;
    // A connection of HTTP/2 would bring new requests for ever: those are told to go elsewhere,
    // and what has begun is waited for.
    app.close();
    let finished = async {
        while app.in_flight() > 0 {
            tokio::time::sleep(DRAIN_EVERY).await;
        }
    };
    if tokio::time::timeout(config.http.shutdown_grace, finished)
        .await
        .is_err()
    {
        tracing::warn!(requests = app.in_flight(), "not all requests ended in time");
    }
    for handle in handles {
        // Answers that are still on their way out get this much longer.
        let stopped = tokio::time::timeout(FLUSH, handle.stop(true)).await;
        if stopped.is_err() {
            handle.stop(false).await;
        }
    }
    let closing = app.clone();
    // What is queued is written before the process ends.
    let closed = tokio::task::spawn_blocking(move || {
        closing.finish();
        witnesses.finish();
    });
    if let Err(error) = closed.await {
        tracing::error!(%error, "the logs could not be closed in order");
    }
    ops_handle.stop(false).await;
    tracing::info!("stopped");
    Ok(())
}

/// How a witness is started.
pub struct WitnessOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate chain and private key, in PEM; plain HTTP where there is none.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Called once with its URL, when it accepts.
    pub on_ready: Box<dyn FnOnce(&str) + Send>,
}

impl std::fmt::Debug for WitnessOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitnessOptions")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Runs a witness until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// See [`ServeError`]; the message says what to do.
pub fn run_witness(witness: Witness, options: WitnessOptions) -> Result<(), ServeError> {
    tls::install_provider();
    let listener = listen(options.listen)?;
    let address = listener.local_addr()?;
    let certificate = match &options.certificate {
        Some((cert, key)) => Some(Certificate::open(cert, key)?),
        None => None,
    };
    let witnessing = Data::new(Witnessing {
        witness: Arc::new(witness),
        clock: Arc::new(SystemClock),
    });
    actix_web::rt::System::new().block_on(async move {
        let _watch = certificate
            .as_ref()
            .map(|found| found.watch(CERTIFICATE_EVERY))
            .transpose()?;
        let server = HttpServer::new(move || {
            actix_web::App::new()
                .app_data(witnessing.clone())
                .wrap(from_fn(http::in_time))
                .configure(http::witness)
                .default_service(web::to(http::not_found))
        })
        .workers(1)
        .max_connections(WITNESS_CONNECTIONS)
        .disable_signals();
        let (scheme, server) = match &certificate {
            Some(found) => (
                "https",
                server.listen_rustls_0_23(listener, found.server_config(Clients::Anonymous)?)?,
            ),
            None => ("http", server.listen(listener)?),
        };
        let server = server.run();
        let handle = server.handle();
        let mut running = tokio::task::JoinSet::new();
        running.spawn_local(server);
        let stop = stop_signal()?;
        (options.on_ready)(&url(scheme, address));
        tokio::select! {
            () = stop => {}
            _ = running.join_next() => {
                return Err(io::Error::other("the listener ended by itself").into());
            }
        }
        // What has begun is finished: a signature that nobody gets is not lost, for it is asked again.
        if tokio::time::timeout(FLUSH, handle.stop(true))
            .await
            .is_err()
        {
            handle.stop(false).await;
        }
        Ok(())
    })
}

/// What a listener offers.
#[derive(Clone, Copy)]
struct Surface {
    public: bool,
    admin: bool,
}

fn front(
    config: &Config,
    app: &Data<App>,
    listener: TcpListener,
    certificate: Option<&Arc<Certificate>>,
    surface: Surface,
) -> Result<Server, ServeError> {
    let app = app.clone();
    let manners = Manners {
        timeout: config.http.request_timeout,
        body_bytes_max: usize::try_from(config.http.max_body.0).unwrap_or(usize::MAX),
        strict_transport: config.tls.cert_file.is_some() && certificate.is_some(),
    };
    let issuer_path = app.issuer.path().to_owned();
    let server = HttpServer::new(move || {
        overload::watch();
        let routes = |routes: &mut web::ServiceConfig| {
            if surface.public {
                http::public(routes, &issuer_path);
            }
            if surface.admin {
                http::admin(routes, &issuer_path);
            }
        };
        actix_web::App::new()
            .app_data(app.clone())
            .app_data(manners)
            .wrap(from_fn(http::trace))
            .configure(routes)
            .default_service(web::to(http::not_found))
    })
    .on_connect(keep_certificate)
    // Or the first answer after a handshake waits for the client's acknowledgement of the session
    // tickets before it, which clients delay by 40 ms.
    .tcp_nodelay(true)
    .workers(workers(config))
    .client_request_timeout(manners.timeout)
    .shutdown_timeout(config.http.shutdown_grace.as_secs())
    .disable_signals();
    let server = match certificate {
        Some(certificate) => {
            let clients = match config.tls.client_certificates {
                true => Clients::MayShowCertificate,
                false => Clients::Anonymous,
            };
            server.listen_rustls_0_23(listener, certificate.server_config(clients)?)?
        }
        // HTTP/2 without TLS would have to be told from HTTP/1 by its first byte, for which the
        // library waits without a limit.
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

/// Keeps the certificate that a client showed for the requests of its connection.
fn keep_certificate(connection: &dyn Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpConnection>>() else {
        return;
    };
    let (_, session) = stream.get_ref();
    let Some(chain) = session.peer_certificates() else {
        return;
    };
    // The handshake has read it already.
    if let Ok(certificate) = ClientCertificate::parse(chain.to_vec()) {
        extensions.insert(PeerCertificate(Arc::new(certificate)));
    }
}

fn ops(app: &Data<App>, listener: TcpListener) -> Result<Server, ServeError> {
    let app = app.clone();
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(app.clone())
            .configure(http::ops)
            .default_service(web::to(http::not_found))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

fn workers(config: &Config) -> usize {
    match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })
}

/// How people write the address: a certificate of our own is for `localhost`.
fn url(scheme: &str, address: SocketAddr) -> String {
    let ip = address.ip().to_canonical();
    match ip.is_loopback() || ip.is_unspecified() {
        true => format!("{scheme}://localhost:{}", address.port()),
        false => format!("{scheme}://{address}"),
    }
}

/// The certificate to show, and its text where it is one that clients must be given.
fn certificate(
    config: &Config,
    app: &App,
    self_signed: bool,
) -> Result<(Option<Arc<Certificate>>, Option<String>), ServeError> {
    if config.http.plain {
        return Ok((None, None));
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) {
        return Ok((Some(Certificate::open(cert, key)?), None));
    }
    if !self_signed {
        // `Config::check_serve` has said so before, with what to do.
        return Err(io::Error::other("no certificate is configured").into());
    }
    let pair = tls::self_signed(&config.data_dir.join("tls"), app.now(), &*app.random)?;
    let ca = std::fs::read_to_string(&pair.cert)?;
    Ok((Some(Certificate::open(&pair.cert, &pair.key)?), Some(ca)))
}

/// Brings the place of the server in a credentials file up to date.
fn refresh(
    path: &std::path::Path,
    issuer: &Issuer,
    ca: Option<&str>,
) -> Result<(), CredentialsFileError> {
    let Some(file) = CredentialsFile::read(path)? else {
        return Ok(());
    };
    let token_endpoint = format!("{}/oauth2/token", issuer.as_str());
    let fresh = CredentialsFile {
        token_endpoint,
        ca: ca.map(str::to_owned),
        ..file.clone()
    };
    if fresh == file {
        Ok(())
    } else {
        fresh.write(path)
    }
}

/// From now on SIGTERM and SIGINT do not end the process: they end this wait.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests;
