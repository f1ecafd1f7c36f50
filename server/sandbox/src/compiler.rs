//! Compiling in a process of its own. A compiler is a large program that strangers' input goes
//! through, so it gets a process with nothing in it: no environment, no open files but its pipes,
//! no working directory of ours, and limits on processor time and memory. It can be killed, and
//! what it leaks or crashes on is its own.
//!
//! Both ends of the pipe are here. To the child: the length of a [`Job`] in four bytes, the job as
//! JSON, the module. From the child: `+` and the artefact, or `-` and a [`Rejected`] as JSON.

use crate::limits::{self, ModuleLimits, Rejected};
use crate::{engine, module};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Who compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This process: for command lines and tests, whose modules are their user's own.
    InProcess,
    /// A child process: a program that calls [`compile_child`] when it is given these arguments.
    Child {
        /// The program, usually this one.
        program: PathBuf,
        /// What makes it call [`compile_child`].
        args: Vec<OsString>,
    },
}

/// What a compiling process may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompilerLimits {
    /// Processor time. One that runs out is killed by the kernel.
    pub cpu_seconds: u64,
    /// Address space. One that runs out aborts.
    pub memory_bytes: u64,
    /// Time on the wall, for one that waits rather than works.
    pub wall: Duration,
}

impl Default for CompilerLimits {
    fn default() -> Self {
        Self {
            cpu_seconds: 20,
            memory_bytes: 2 << 30,
            wall: Duration::from_secs(60),
        }
    }
}

/// Why there is no artefact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("the compiling process could not be used: {0}")]
    Process(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Job {
    limits: CompilerLimits,
    module: ModuleLimits,
}

const ARTEFACT: u8 = b'+';
const REJECTED: u8 = b'-';

/// Has a child compile a module. The caller sees to it that there is one at a time.
pub(crate) fn compile_in_child(
    program: &PathBuf,
    args: &[OsString],
    module: &[u8],
    module_limits: &ModuleLimits,
    limits: &CompilerLimits,
) -> Result<Vec<u8>, CompileError> {
    let job = serde_json::to_vec(&Job {
        limits: limits.clone(),
        module: module_limits.clone(),
    })
    .map_err(io::Error::from)?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = converse(&mut child, &job, module, limits.wall);
    // Whatever it said, it has nothing more to do. Reaped here, so none is left behind.
    let grace = if answer.is_ok() {
        GRACE
    } else {
        Duration::ZERO
    };
    let status = match (&answer, exited(&mut child, grace)?) {
        (Ok(_), Some(status)) => status,
        _ => {
            drop(child.kill());
            child.wait()?
        }
    };
    let answer = answer?;
    match (answer.split_first(), status.success()) {
        (Some((&ARTEFACT, artefact)), true) => Ok(artefact.to_vec()),
        (Some((&REJECTED, rejected)), true) => {
            let rejected: Rejected = serde_json::from_slice(rejected).map_err(io::Error::from)?;
            Err(rejected.bounded().into())
        }
        _ => Err(death(status, limits)),
    }
}

/// How long a child may take to exit after it closed its output.
const GRACE: Duration = Duration::from_secs(5);

/// How the child exited, if it does so in time.
fn exited(child: &mut Child, grace: Duration) -> io::Result<Option<ExitStatus>> {
    const STEP: Duration = Duration::from_millis(2);
    for _ in 0..=grace.as_millis() / STEP.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(STEP);
    }
    Ok(None)
}

/// Writes the job, reads the answer, both with one deadline.
fn converse(
    child: &mut Child,
    job: &[u8],
    module: &[u8],
    wall: Duration,
) -> Result<Vec<u8>, CompileError> {
    let (mut stdin, stdout) = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, stdout),
        _ => return Err(io::Error::other("a pipe is missing").into()),
    };
    let reader = Reader::start(stdout)?;
    let length = u32::try_from(job.len()).map_err(io::Error::other)?;
    let mut question = length.to_le_bytes().to_vec();
    question.extend_from_slice(job);
    question.extend_from_slice(module);
    std::thread::Builder::new()
        .name("sandbox-compiler-in".to_owned())
        .spawn(move || {
            // A child that dies while it is asked says why by how it died.
            drop(stdin.write_all(&question));
        })?;
    reader.answer(wall)
}

/// Reads the child's answer on a thread, so that waiting for it can end.
struct Reader {
    answer: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Reader {
    fn start(stdout: ChildStdout) -> io::Result<Self> {
        let (sender, answer) = mpsc::channel();
        std::thread::Builder::new()
            .name("sandbox-compiler".to_owned())
            .spawn(move || {
                let mut bytes = Vec::new();
                let read = stdout
                    .take(limits::ARTEFACT_BYTES as u64 + 2)
                    .read_to_end(&mut bytes);
                // Nobody listens any more when the deadline is over.
                drop(sender.send(read.map(|_| bytes)));
            })?;
        Ok(Self { answer })
    }

    fn answer(&self, wall: Duration) -> Result<Vec<u8>, CompileError> {
        let bytes = self.answer.recv_timeout(wall).map_err(|_| {
            Rejected::because(format!("compiling it takes more than {} s", wall.as_secs()))
        })??;
        if bytes.len() > limits::ARTEFACT_BYTES + 1 {
            return Err(Rejected::because(format!(
                "too many bytes when compiled; the limit is {}",
                limits::ARTEFACT_BYTES
            ))
            .into());
        }
        Ok(bytes)
    }
}

/// What the end of a child without an answer says: one that was killed, aborted or panicked did so
/// over the module; any other could not do its work.
fn death(status: ExitStatus, limits: &CompilerLimits) -> CompileError {
    const PANICKED: i32 = 101;
    let reason = match (status.signal(), status.code()) {
        (Some(signal), _) if [Signal::XCPU.as_raw(), Signal::KILL.as_raw()].contains(&signal) => {
            format!(
                "compiling it takes more than {} s of processor time",
                limits.cpu_seconds
            )
        }
        (Some(_), _) | (_, Some(PANICKED)) => format!(
            "the compiler gave up on it ({status}); it may use {} MiB of memory",
            limits.memory_bytes >> 20
        ),
        _ => return io::Error::other(format!("it answered nothing: {status}")).into(),
    };
    Rejected::because(reason).into()
}

/// What the child does: the whole of its `main`, called before it opens a file or starts a thread.
/// Gives up every right it does not need before it reads a byte of the module.
#[must_use]
pub fn compile_child() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    close_inherited()?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;

    let mut stdin = io::stdin().lock();
    let mut length = [0; 4];
    stdin.read_exact(&mut length)?;
    let mut job = vec![0; u32::from_le_bytes(length) as usize];
    stdin.read_exact(&mut job)?;
    let job: Job = serde_json::from_slice(&job)?;

    limit(Resource::Cpu, job.limits.cpu_seconds)?;
    limit(Resource::As, job.limits.memory_bytes)?;
    let engine = engine::compiling().map_err(io::Error::other)?;
    // From here on nothing can be opened.
    limit(Resource::Nofile, 0)?;

    let mut module = Vec::new();
    stdin
        .take(job.module.module_bytes as u64 + 1)
        .read_to_end(&mut module)?;
    let mut stdout = io::stdout().lock();
    match module::compile(&engine, &module, &job.module) {
        Ok(artefact) => {
            stdout.write_all(&[ARTEFACT])?;
            stdout.write_all(&artefact)?;
        }
        Err(rejected) => {
            stdout.write_all(&[REJECTED])?;
            stdout.write_all(&serde_json::to_vec(&rejected)?)?;
        }
    }
    stdout.flush()
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let value = Some(value);
    Ok(rustix::process::setrlimit(
        resource,
        Rlimit {
            current: value,
            maximum: value,
        },
    )?)
}

/// Closes what the parent had open without close-on-exec. The parent's own files have it; sockets
/// that a service manager handed to the parent have not.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|name| name.parse::<i32>().ok())
            && fd > 2
        {
            inherited.push(fd);
        }
    }
    for fd in inherited {
        // The descriptor that listed them is among them and closed by now.
        if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok() {
            close(fd);
        }
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "no safe call closes a descriptor that nothing in this process owns"
)]
fn close(fd: i32) {
    // SAFETY: `fd` is open: it was listed and still has an entry, and this is the only thread, right
    // after the start. Nothing but the standard streams is open on this process's own account, so
    // `fd` has no owner here that could use it or close it again.
    unsafe { rustix::io::close(fd) }
}
