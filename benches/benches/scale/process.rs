//! What the kernel knows of this process and its threads.

use rustix::time::{ClockId, clock_gettime};

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// The time on the wall, in nanoseconds since some moment.
pub fn wall() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Processor time of this process, in nanoseconds.
pub fn process_cpu() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

/// Processor time of this thread, in nanoseconds.
pub fn thread_cpu() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn status(file: &str, member: &str) -> u64 {
    let text = std::fs::read_to_string(file).expect("Linux says it");
    let line = text.lines().find_map(|line| line.strip_prefix(member));
    let value = line.and_then(|line| line.split_whitespace().find(|word| *word != ":"));
    value
        .and_then(|value| value.parse().ok())
        .expect("a number")
}

/// Memory of this process in bytes: now, and the most there was.
pub fn memory() -> (u64, u64) {
    let kilobytes = |member| status("/proc/self/status", member) * 1024;
    (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
}

/// How often this thread waited for something.
pub fn waits() -> u64 {
    status("/proc/thread-self/status", "voluntary_ctxt_switches:")
}
