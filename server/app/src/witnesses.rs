//! Asking witnesses to sign the checkpoints too (C2SP tlog-witness). Each has a thread of its own,
//! that looks once a second whether there is a newer checkpoint than it has signed: a witness that
//! is slow, gone or hostile delays no request, no checkpoint and no other witness. It is told only
//! how many events there are and their root, and what it answers is believed only with its key.

use crate::app::App;
use crate::clock::Stopwatch;
use crate::config::{Checkpoint, Witness};
use crate::telemetry::WitnessMetrics;
use crate::tls::{SYSTEM_CERTIFICATES, certificates};
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use writ_ledger::Fault;
use writ_ledger::merkle::ProofError;
use writ_ledger::note::{Signature, SignedCheckpoint};
use writ_ledger::witness::Submission;

/// How often a thread looks whether the log has grown.
const EVERY: Duration = Duration::from_secs(1);
/// The longest it waits after one failure after the other.
const EVERY_AT_MOST: Duration = Duration::from_secs(60);
/// How old the last cosignature may get although the log has not grown.
const AGAIN: Duration = Duration::from_secs(600);
/// The longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES: u64 = 16 * 1024;

/// The witnesses of a server, asked until [`Self::finish`].
#[derive(Debug)]
pub struct Witnesses {
    threads: Vec<(Sender<()>, JoinHandle<()>)>,
}

/// Why witnesses cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// There is nothing to know their servers by.
    #[error(
        "{} holds no certificate in PEM to know witnesses by: name one by checkpoint.witness_ca_file",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// The operating system gives no thread.
    #[error("cannot start a thread")]
    NoThread(#[source] std::io::Error),
}

impl Witnesses {
    /// Starts to ask those of a configuration.
    ///
    /// # Errors
    /// See [`WitnessesError`].
    pub fn start(config: &Checkpoint, app: &Arc<App>) -> Result<Self, WitnessesError> {
        let mut threads = Vec::new();
        for witness in &config.witnesses {
            let mut asking = Asking {
                agent: agent(witness, config.witness_ca_file.as_deref())?,
                metrics: app.metrics.witness(witness.vkey.name()),
                witness: witness.clone(),
                app: Arc::clone(app),
                old_size: 0,
                cosigned: None,
                trouble: None,
                failures: 0,
            };
            let (stop, stopped) = channel();
            let thread = std::thread::Builder::new().name("writ-witness".to_owned());
            let thread = thread.spawn(move || asking.until(&stopped));
            threads.push((stop, thread.map_err(WitnessesError::NoThread)?));
        }
        Ok(Self { threads })
    }

    /// Has them sign the last checkpoint, if they answer, and ends. Blocks for some seconds at most.
    pub fn finish(self) {
        for (stop, _) in &self.threads {
            // An error says that the thread has ended.
            let _ = stop.send(());
        }
        for (_, thread) in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that asks a witness has panicked");
            }
        }
    }
}

/// Why a witness has not signed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it does not answer: {0}")]
    Unreachable(String),
    #[error("it answers {0}: {1:?}")]
    Refuses(StatusCode, String),
    #[error("its answer has no valid signature by its key")]
    Unsigned,
    #[error(
        "it has seen {seen} events of this log, which has {have}: the log was cut off or an older copy restored"
    )]
    Ahead { seen: u64, have: u64 },
    #[error("it has seen another history of this log, and answers {0}: {1:?}")]
    Contradicts(StatusCode, String),
    #[error(transparent)]
    Disk(#[from] Fault),
}

impl Trouble {
    /// Whether it speaks of this log, and not of the witness.
    fn is_alarm(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Contradicts(..))
    }
}

/// One witness.
struct Asking {
    agent: Agent,
    witness: Witness,
    app: Arc<App>,
    metrics: WitnessMetrics,
    /// What it has cosigned last, as far as is known.
    old_size: u64,
    /// The size of what was cosigned and written down, and how old that is.
    cosigned: Option<(u64, Stopwatch)>,
    trouble: Option<Trouble>,
    failures: u32,
}

impl Asking {
    fn until(&mut self, stopped: &Receiver<()>) {
        loop {
            match stopped.recv_timeout(self.pause()) {
                Err(RecvTimeoutError::Timeout) => self.look(),
                // One that has not answered lately would only delay the end.
                Ok(()) if self.trouble.is_none() => return self.look(),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn pause(&self) -> Duration {
        EVERY
            .saturating_mul(1 << self.failures.min(10))
            .min(EVERY_AT_MOST)
    }

    /// Has the last checkpoint signed, unless that was done.
    fn look(&mut self) {
        let Some(signed) = self.app.checkpoints.last() else {
            return;
        };
        let size = signed.checkpoint.size;
        let done = |(done, age): &(u64, Stopwatch)| *done == size && age.elapsed() < AGAIN;
        if self.cosigned.as_ref().is_some_and(done) {
            return;
        }
        let asked = self.ask(&signed).and_then(|(cosignature, seconds)| {
            self.app.checkpoints.add(size, vec![cosignature])?;
            Ok(seconds)
        });
        let name = self.witness.vkey.name();
        match asked {
            Ok(seconds) => {
                if self.trouble.take().is_some() {
                    tracing::info!(witness = name, size, "the witness signs again");
                }
                self.failures = 0;
                self.old_size = size;
                self.cosigned = Some((size, Stopwatch::start()));
                self.metrics.cosigned(size, seconds);
            }
            Err(trouble) => {
                let before = self.trouble.as_ref().map(discriminant);
                if before != Some(discriminant(&trouble)) {
                    match trouble.is_alarm() {
                        true => {
                            tracing::error!(witness = name, size, %trouble, "the witness does not sign")
                        }
                        false => {
                            tracing::warn!(witness = name, size, %trouble, "the witness does not sign")
                        }
                    }
                }
                self.trouble = Some(trouble);
                self.failures = self.failures.saturating_add(1);
                // It may be another by the next time, or have given this log up.
                self.old_size = 0;
                self.metrics.failed();
            }
        }
    }

    /// Its signature, and the time in that. A witness that has seen another size than was thought
    /// says which, and is asked once more.
    fn ask(&mut self, signed: &SignedCheckpoint) -> Result<(Signature, u64), Trouble> {
        let have = signed.checkpoint.size;
        let mut answer = self.send(signed)?;
        if let Answer::OldSize(seen) = answer {
            if seen > have {
                return Err(Trouble::Ahead { seen, have });
            }
            self.old_size = seen;
            answer = self.send(signed)?;
        }
        match answer {
            Answer::Lines(lines) => {
                let found = signed.cosignature(&self.witness.vkey, &lines);
                let (signature, by) = found.ok_or(Trouble::Unsigned)?;
                Ok((signature, by.time.unwrap_or_default()))
            }
            Answer::OldSize(seen) => {
                let text = format!("it has seen {seen} now");
                Err(Trouble::Refuses(StatusCode::CONFLICT, text))
            }
        }
    }

    fn send(&self, signed: &SignedCheckpoint) -> Result<Answer, Trouble> {
        let (old_size, have) = (self.old_size, signed.checkpoint.size);
        let proof = self.app.ledger.consistency(old_size, have);
        let proof = proof.map_err(|error| match error {
            ProofError::Leaves(fault) => Trouble::Disk(fault),
            ProofError::OutOfRange { .. } => Trouble::Ahead {
                seen: old_size,
                have,
            },
        })?;
        let submission = Submission {
            old_size,
            proof,
            checkpoint: signed.clone(),
        };
        let unreachable = |error: ureq::Error| Trouble::Unreachable(error.to_string());
        let request = Request::post(format!("{}/add-checkpoint", self.witness.url))
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(submission.to_string())
            .map_err(|error| unreachable(error.into()))?;
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES);
        let text = body.read_to_string().map_err(unreachable)?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        match status {
            StatusCode::OK => Ok(Answer::Lines(text)),
            StatusCode::CONFLICT if kind.is_some_and(|kind| kind == SIZE) => {
                let size = text.trim_end().parse().ok();
                let size = size.ok_or_else(|| Trouble::Refuses(status, beginning(&text)))?;
                Ok(Answer::OldSize(size))
            }
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Trouble::Contradicts(status, beginning(&text)))
            }
            _ => Err(Trouble::Refuses(status, beginning(&text))),
        }
    }
}

/// What a witness says.
enum Answer {
    /// Signature lines.
    Lines(String),
    /// The size of what it has cosigned last.
    OldSize(u64),
}

/// The type of an answer that says a size.
pub(crate) const SIZE: &str = "text/x.tlog.size";

fn beginning(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

fn agent(witness: &Witness, ca_file: Option<&Path>) -> Result<Agent, WitnessesError> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("writ/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(PATIENCE));
    if witness.url.starts_with("https://") {
        let roots = roots(ca_file)?;
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().into())
}

/// The certificates of a file, or those that the system trusts.
fn roots(ca_file: Option<&Path>) -> Result<RootCerts, WitnessesError> {
    let system = SYSTEM_CERTIFICATES.iter().map(Path::new);
    let file = ca_file.or_else(|| system.clone().find(|path| path.is_file()));
    let file = file.unwrap_or(Path::new(SYSTEM_CERTIFICATES[0]));
    let none = || WitnessesError::NoCertificate(file.to_owned());
    let pem = std::fs::read(file).map_err(|_| none())?;
    let certificates = certificates(&pem);
    match certificates.is_empty() {
        true => Err(none()),
        false => Ok(RootCerts::from(certificates)),
    }
}

#[cfg(test)]
mod tests;
