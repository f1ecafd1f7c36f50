//! What the other tests rely on: nothing that a test starts outlives it.

use std::process::Command;

use writ_tests::{Process, poll};

/// Whether a process runs; one that ended and was not waited for does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// A shell that starts a program and, if told so, ends before it.
fn group(and_then: &str) -> (Process, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("sleep 1000 & echo \"pid $!\"; {and_then}")]);
    let process = Process::spawn_group("sh", shell);
    let pid = process.line("pid ");
    assert!(runs(&pid), "{pid}");
    (process, pid)
}

#[test]
fn a_group_ends_as_a_whole_though_its_leader_went_first() {
    let (mut process, pid) = group("exit 3");
    let status = poll("the end of the leader", || process.ended());
    assert_eq!(status.code(), Some(3));
    poll("the end of the rest", || (!runs(&pid)).then_some(()));

    // Nobody looked before it was dropped.
    let (process, pid) = group("exit 0");
    drop(process);
    poll("the end of the rest", || (!runs(&pid)).then_some(()));

    let (process, pid) = group("wait");
    drop(process);
    poll("the end of the rest", || (!runs(&pid)).then_some(()));
}
