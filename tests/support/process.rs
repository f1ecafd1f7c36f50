//! A child process: its lines as they come, its errors in a file, a deadline on everything, and its
//! end when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tempfile::TempDir;

use crate::{PATIENCE, poll};

/// A running program. Dropping it kills it, and the whole group that it leads.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: bool,
    lines: Mutex<Receiver<String>>,
    printed: Arc<Mutex<String>>,
    stderr: PathBuf,
    _scratch: TempDir,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// The same, if the program succeeded.
    ///
    /// # Panics
    /// When it did not, with all it said.
    #[track_caller]
    pub fn expect_success(self, what: &str) -> Self {
        assert!(
            self.status.success(),
            "{what}: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Process {
    /// Starts `command` with no standard input.
    pub fn spawn(name: &str, command: Command) -> Self {
        Self::spawn_in(name, command, false)
    }

    /// Starts `command` as the leader of a process group, which ends as a whole: for a shell and
    /// what it starts.
    pub fn spawn_group(name: &str, mut command: Command) -> Self {
        command.process_group(0);
        Self::spawn_in(name, command, true)
    }

    fn spawn_in(name: &str, mut command: Command, group: bool) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let stderr = scratch.path().join("stderr");
        let errors = File::create(&stderr).expect("a file in a fresh directory can be made");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let printed = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&printed);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut printed = copy.lock().expect("no holder of this lock panics");
                printed.push_str(&line);
                printed.push('\n');
                drop(printed);
                // Nobody may be listening any more; the pipe is emptied all the same.
                let _ = sender.send(line);
            }
        });
        Self {
            name: name.to_owned(),
            child,
            group,
            lines: Mutex::new(lines),
            printed,
            stderr,
            _scratch: scratch,
        }
    }

    /// Runs `command` to its end, at most `limit`.
    ///
    /// # Panics
    /// When it takes longer.
    pub fn run(name: &str, command: Command, limit: Duration) -> Finished {
        let mut process = Self::spawn(name, command);
        let status = process.wait(limit);
        process.finished(status)
    }

    /// The next line that starts with `prefix`, without the prefix; lines before it are passed
    /// over.
    ///
    /// # Panics
    /// When the program ends or [`PATIENCE`] passes first, with all it said.
    #[track_caller]
    pub fn line(&self, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let lines = self
            .lines
            .lock()
            .expect("one test asks for one line at a time");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return rest.to_owned();
                    }
                }
                Err(why) => panic!(
                    "{} printed no line {prefix:?}… ({why})\n--- stdout\n{}\n--- stderr\n{}",
                    self.name,
                    self.stdout(),
                    self.stderr()
                ),
            }
        }
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.printed
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        let bytes = std::fs::read(&self.stderr).expect("the file was made at the start");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file that holds its standard error.
    pub fn stderr_path(&self) -> &Path {
        &self.stderr
    }

    /// The number by which the kernel knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and goes on at once.
    pub fn terminate(&self) {
        self.signal(Signal::TERM)
            .expect("a child that was not waited for exists");
    }

    /// Ends it without asking (SIGKILL).
    pub fn kill(&mut self) {
        self.signal(Signal::KILL)
            .expect("a child that was not waited for can be killed");
        self.wait(PATIENCE);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When `limit` passes first, with all it said.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if Instant::now() > deadline {
                let (stdout, stderr) = (self.stdout(), self.stderr());
                let _ = self.signal(Signal::KILL);
                panic!(
                    "{} did not end in {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                    self.name
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its status, if it has ended. What is left of its group has then ended too.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.group {
            self.end_group_after_leader();
        }
        self.child.try_wait().expect("one's own child can be asked")
    }

    /// Kills what a leader that has ended left behind. It is looked at without being waited for:
    /// until then nobody else can have its number, and with it that of the group.
    fn end_group_after_leader(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let leader = Pid::from_child(&self.child);
        if let Ok(Some(_)) = waitid(WaitId::Pid(leader), options) {
            // An error says that nobody is left.
            let _ = kill_process_group(leader, Signal::KILL);
            self.group = false;
        }
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        // The reader thread may be a line behind; the pipe is empty once it hangs up.
        let lines = self
            .lines
            .lock()
            .expect("one test asks for one line at a time");
        poll("the end of the output", || match lines.try_recv() {
            Err(std::sync::mpsc::TryRecvError::Disconnected) => Some(()),
            Ok(_) | Err(std::sync::mpsc::TryRecvError::Empty) => None,
        });
        Finished {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        let pid = Pid::from_child(&self.child);
        if self.group {
            kill_process_group(pid, signal)
        } else {
            kill_process(pid, signal)
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that was waited for has no process any more: its number may be another's by now.
        // Its group was ended before that.
        if self.ended().is_some() {
            return;
        }
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
