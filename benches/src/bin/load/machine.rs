//! What the kernel says of processes and of the machine.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

/// Processor time that a process has used on all its threads, those that have ended too, since it
/// began: exact, not in ticks.
///
/// # Errors
/// It is gone.
pub fn cpu_time(process: u32) -> Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(process)?);
    let time = clock_getcpuclockid(pid).and_then(ClockId::now);
    let time = time.with_context(|| format!("process {process} is gone"))?;
    Ok(Duration::from(time))
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// What is resident now.
    pub now: u64,
    /// The most that ever was.
    pub most: u64,
}

/// The resident memory of a process.
///
/// # Errors
/// It is gone.
pub fn memory(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let value = |name| kilobytes(&text, name).with_context(|| format!("{path}: no {name}"));
    Ok(Memory {
        now: value("VmRSS:")?,
        most: value("VmHWM:")?,
    })
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(number * 1024)
}

/// As many open files as this program and those that it starts may have at most, instead of the usual
/// 1,024: each connection is one.
pub fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it is refused, some run has too few connections, and says so.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// How many processors there are.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Name of the processor, kernel and number of processors.
pub fn description() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    format!(
        "{} × {}, Linux {}",
        processors(),
        model.as_deref().unwrap_or("an unknown processor"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// Clock ticks a second, in which `/proc/stat` counts: what Linux tells programs on every platform.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time that anybody used, or that another machine took, since the machine began.
///
/// # Errors
/// There is no `/proc/stat`.
fn busy() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let ticks = busy_ticks(&text).context("/proc/stat has no line of all processors")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// user, nice, system, irq, softirq and steal; not idle and iowait, and not guest, which is in user.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let values: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|value| value.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = values[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// A moment: what a server, this program and all others had used by then.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    server: Duration,
    client: Duration,
    busy: Duration,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// How long it was.
    pub elapsed: Duration,
    /// Processor time of the server.
    pub server: Duration,
    /// Processor time of this program.
    pub client: Duration,
    /// The share of the machine that others had, 0 to 1.
    pub others: f64,
}

impl Moment {
    /// Now.
    ///
    /// # Errors
    /// The server is gone.
    pub fn now(server: u32) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: cpu_time(server)?,
            client: cpu_time(std::process::id())?,
            busy: busy()?,
        })
    }

    /// What was used since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Used {
        let elapsed = self.at - earlier.at;
        let server = self.server.saturating_sub(earlier.server);
        let client = self.client.saturating_sub(earlier.client);
        let others = (self.busy.saturating_sub(earlier.busy)).saturating_sub(server + client);
        let all = elapsed.as_secs_f64() * processors() as f64;
        Used {
            elapsed,
            server,
            client,
            others: others.as_secs_f64() / all.max(f64::MIN_POSITIVE),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn processor_time_is_that_of_all_threads() {
        let me = std::process::id();
        let before = cpu_time(me).unwrap();
        let busy = || {
            let mut sum = 0_u64;
            for number in 0..2_000_000_u64 {
                sum = std::hint::black_box(sum ^ number);
            }
        };
        let alone = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(busy);
            scope.spawn(busy);
        });
        let used = cpu_time(me).unwrap().checked_sub(before).unwrap();
        assert!(used > Duration::ZERO && used < alone.elapsed() * 64);
        assert!(memory(me).unwrap().now > 100_000);
        assert!(memory(me).unwrap().most >= memory(me).unwrap().now / 2);
    }

    #[test]
    fn who_is_gone_is_an_error() {
        // No process has a number above 2 to the power of 22 (proc(5), pid_max).
        let nobody = (1 << 22) + 1;
        assert!(cpu_time(nobody).is_err() && memory(nobody).is_err());
    }

    #[test]
    fn the_machine_is_busy_with_all_but_waiting() {
        let stat = "cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 1 2 4 8 16 32 64 128 256 512\n";
        assert_eq!(busy_ticks(stat), Some(1 + 2 + 4 + 32 + 64 + 128));
        assert_eq!(busy_ticks("cpu0 1 2 3\n"), None);
        assert!(busy().is_ok());
    }

    #[test]
    fn what_others_used_is_a_share_of_the_machine() {
        let at = Instant::now();
        let second = Duration::from_secs(1);
        let before = Moment {
            at,
            server: second,
            client: second,
            busy: second * 10,
        };
        let all = second * u32::try_from(processors()).unwrap();
        let after = Moment {
            at: at + second * 2,
            server: second + second / 10,
            client: second + second / 10,
            busy: second * 10 + second / 5 + all,
        };
        let used = after.since(&before);
        assert_eq!((used.server, used.client), (second / 10, second / 10));
        assert!((used.others - 0.5).abs() < 1e-9, "{used:?}");
    }
}
