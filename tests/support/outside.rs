//! Other people's programs: whether Node.js, Python, Go and HAProxy are here, and their packages installed
//! under `target/`, at the versions that are committed; those of Go are Debian's. Where a tool is
//! missing its checks are left out, aloud; under `CI=true` that fails.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::Process;

/// How long an installation from a registry may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// The oldest Node.js that the packages in use support.
const NODE_OLDEST: (u32, u32) = (20, 19);

/// Where Debian puts the sources of Go packages.
const GO_PATH: &str = "/usr/share/gocode";

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Says that `checks` were left out and why.
///
/// # Panics
/// With `CI=true`.
pub fn left_out(checks: &str, why: &str) {
    let message = format!("LEFT OUT: {checks}: {why}");
    assert!(!ci(), "{message} (CI=true allows no omission)");
    // Past the test runner, which shows what it captured of failing tests only.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Whether nothing may be left out.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Whether all of `programs` can be run; if not, `checks` are left out.
pub fn have(programs: &[&str], checks: &str) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| version(program).is_none())
        .collect();
    if !missing.is_empty() {
        left_out(checks, &format!("not found: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Where HAProxy is, or nothing when `checks` are left out for want of it.
pub fn haproxy(checks: &str) -> Option<PathBuf> {
    // Where Debian has it is not on everybody's path.
    let places = ["haproxy", "/usr/sbin/haproxy"];
    let found = places.iter().find(|place| printed(place, "-v").is_some());
    if found.is_none() {
        left_out(checks, "not found: haproxy (Debian: haproxy)");
    }
    found.map(PathBuf::from)
}

/// Installs the Node.js package in `source` (as its lock file says) beside a copy of its files;
/// answers where that is, or nothing when `checks` are left out for want of Node.js.
pub fn node_package(source: &Path, checks: &str) -> Option<PathBuf> {
    if !have(&["node", "npm"], checks) {
        return None;
    }
    let found = version("node")?;
    let mut numbers = found.trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= NODE_OLDEST => {}
        _ => {
            let (major, minor) = NODE_OLDEST;
            left_out(
                checks,
                &format!("Node.js {found} is older than {major}.{minor}"),
            );
            return None;
        }
    }
    Some(installed(source, "package-lock.json", &found, |at| {
        let mut npm = Command::new("npm");
        npm.arg("ci").current_dir(at);
        Process::run("npm ci", npm, INSTALL_LIMIT).expect_success("npm ci");
    }))
}

/// Installs the requirements in `source` in a virtual environment beside a copy of its files;
/// answers where that is (`venv/bin/python` in it), or nothing when `checks` are left out for want
/// of Python.
pub fn python_package(source: &Path, checks: &str) -> Option<PathBuf> {
    if !have(&["python3"], checks) {
        return None;
    }
    let mut ensurepip = Command::new("python3");
    ensurepip.args(["-c", "import venv, ensurepip"]);
    if !Process::run("python3", ensurepip, INSTALL_LIMIT)
        .status
        .success()
    {
        left_out(checks, "python3 has no venv (Debian: python3-venv)");
        return None;
    }
    let found = version("python3")?;
    Some(installed(source, "requirements.txt", &found, |at| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "venv"]).current_dir(at);
        Process::run("python3 -m venv", venv, INSTALL_LIMIT).expect_success("python3 -m venv");
        let mut pip = Command::new(at.join("venv/bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
        ])
        .args(["--requirement", "requirements.txt"])
        .current_dir(at);
        Process::run("pip install", pip, INSTALL_LIMIT).expect_success("pip install");
    }))
}

/// Compiles the one Go program in `source`, which may use the packages of Debian's
/// `golang-golang-x-mod-dev`; answers where it is, or nothing when `checks` are left out for want of
/// Go or of these.
pub fn go_program(source: &Path, checks: &str) -> Option<PathBuf> {
    let Some(found) = printed("go", "version") else {
        left_out(checks, "not found: go (Debian: golang-go)");
        return None;
    };
    if !Path::new(GO_PATH)
        .join("src/golang.org/x/mod/sumdb")
        .is_dir()
    {
        left_out(checks, "Debian's golang-golang-x-mod-dev is not installed");
        return None;
    }
    let place = installed(source, "main.go", &found, |at| {
        let mut go = Command::new("go");
        go.args(["build", "-o", "verify", "main.go"])
            .current_dir(at)
            .env("GO111MODULE", "off")
            .env("GOPATH", GO_PATH)
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOCACHE", at.with_file_name("go-cache"));
        Process::run("go build", go, INSTALL_LIMIT).expect_success("go build");
    });
    Some(place.join("verify"))
}

/// The version that `PROGRAM --version` prints, if it can be run.
fn version(program: &str) -> Option<String> {
    printed(program, "--version")
}

/// What a program prints when it is asked so, if it can be run.
fn printed(program: &str, question: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(question)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// A directory under `target/` with the files of `source`, in which `install` has run once for this
/// lock file and this version of the tool. Made aside and renamed, so that one that is there is
/// whole.
fn installed(source: &Path, lock: &str, tool: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let _one_at_a_time = INSTALLING.lock();
    let mut hasher = DefaultHasher::new();
    (
        std::fs::read(source.join(lock)).expect("lock files are committed"),
        tool,
    )
        .hash(&mut hasher);
    let name = source.file_name().expect("a package has a name");
    let parent = crate::built().join("outside");
    let place = parent.join(format!("{}-{:016x}", name.display(), hasher.finish()));
    if !place.is_dir() {
        std::fs::create_dir_all(&parent).expect("target/ can be written");
        let aside = tempfile::tempdir_in(&parent).expect("target/ can be written");
        copy_files(source, aside.path());
        install(aside.path());
        let aside = aside.keep();
        if std::fs::rename(&aside, &place).is_err() {
            // Another run of the tests was quicker.
            let _ = std::fs::remove_dir_all(&aside);
        }
    }
    copy_files(source, &place);
    place
}

/// Copies the files directly in `source`; directories (an installation of one's own, say) stay
/// behind.
fn copy_files(source: &Path, to: &Path) {
    let entries = std::fs::read_dir(source).expect("the sources are there");
    for entry in entries.map(|entry| entry.expect("a directory can be read")) {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
        }
    }
}
