//! A few threads for what blocks, with a queue that ends. No host gets more than its share of
//! either, and what has waited too long is not begun: a slow host delays itself alone.

use crate::clock::Stopwatch;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// How large a pool is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Threads.
    pub(super) threads: usize,
    /// How many of them one host can have at a time.
    pub(super) per_host: usize,
    /// What can wait. One host can have a quarter of it.
    pub(super) queued: usize,
    /// How long something can wait.
    pub(super) patience: Duration,
}

/// Threads that do what they are given. Dropping it ends them after what they are at.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    size: Size,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: HashMap<Arc<str>, usize>,
    stopped: bool,
}

struct Job {
    host: Arc<str>,
    waits: Stopwatch,
    work: Box<dyn FnOnce() + Send>,
}

impl Pool {
    pub(super) fn start(name: &str, size: Size) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            size,
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        // Made first: when a thread cannot be started, its drop ends those that could.
        let pool = Self { shared };
        for _ in 0..size.threads {
            let shared = Arc::clone(&pool.shared);
            Builder::new()
                .name(name.to_owned())
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Has work for a host done by a thread. Where there is no room for it, or it has to wait too
    /// long, it is dropped instead: what must be told of that has it in a `Drop`.
    pub(super) fn submit(&self, host: Arc<str>, work: impl FnOnce() + Send + 'static) {
        let job = Job {
            host,
            waits: Stopwatch::start(),
            work: Box::new(work),
        };
        let mut queue = self.shared.lock();
        let ahead = queue.jobs.iter().filter(|other| other.host == job.host);
        let share = self.shared.size.queued.div_ceil(4);
        if queue.jobs.len() >= self.shared.size.queued || ahead.count() >= share {
            drop(queue);
            // Outside of the lock: its drop may do something.
            drop(job);
            return;
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.stopped = true;
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        self.shared.wake.notify_all();
        drop(jobs);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.shared.size)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(Job { host, waits, work }) = self.next() {
            if waits.elapsed() >= self.size.patience {
                drop(work);
            } else if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!(host = &*host, "fetching has panicked");
            }
            self.done(&host);
        }
    }

    /// The first job whose host has a thread left.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            let Queue { jobs, running, .. } = &mut *queue;
            let room = |job: &Job| {
                running.get(&job.host).copied().unwrap_or_default() < self.size.per_host
            };
            if let Some(job) = jobs.iter().position(room).and_then(|at| jobs.remove(at)) {
                *running.entry(Arc::clone(&job.host)).or_default() += 1;
                return Some(job);
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, host: &Arc<str>) {
        let mut queue = self.lock();
        if let Some(running) = queue.running.get_mut(host) {
            *running -= 1;
            if *running == 0 {
                queue.running.remove(host);
            }
        }
        drop(queue);
        // Another job of this host may be free to go, and this thread may take one before it.
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    fn pool(threads: usize, per_host: usize, queued: usize) -> Pool {
        let size = Size {
            threads,
            per_host,
            queued,
            patience: Duration::from_secs(600),
        };
        Pool::start("test", size).unwrap()
    }

    /// Work that says that it has begun and goes on when its gate is dropped.
    fn held(
        name: &'static str,
        said: &Sender<&'static str>,
    ) -> (Sender<()>, impl FnOnce() + use<>) {
        let (gate, open): (Sender<()>, Receiver<()>) = channel();
        let said = said.clone();
        let work = move || {
            said.send(name).unwrap();
            let _ = open.recv();
        };
        (gate, work)
    }

    struct SaysSo(Sender<&'static str>, &'static str);

    impl Drop for SaysSo {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }

    #[test]
    fn a_host_waits_for_itself_alone() {
        let pool = pool(3, 1, 100);
        let (said, heard) = channel();
        let (gate, first) = held("a1", &said);
        let (other_gate, second) = held("a2", &said);
        pool.submit("a".into(), first);
        assert_eq!(heard.recv().unwrap(), "a1");
        pool.submit("a".into(), second);
        for _ in 0..20 {
            let said = said.clone();
            pool.submit("b".into(), move || said.send("b").unwrap());
        }
        for _ in 0..20 {
            assert_eq!(heard.recv().unwrap(), "b");
        }
        assert!(heard.try_recv().is_err());
        drop(gate);
        assert_eq!(heard.recv().unwrap(), "a2");
        drop(other_gate);
    }

    #[test]
    fn what_finds_no_room_is_dropped_at_once() {
        let pool = pool(1, 1, 8);
        let (said, heard) = channel();
        let (gate, work) = held("runs", &said);
        pool.submit("a".into(), work);
        assert_eq!(heard.recv().unwrap(), "runs");
        // A quarter of the queue is for one host.
        for (host, name) in [("a", "a1"), ("a", "a2"), ("a", "a3")] {
            let note = SaysSo(said.clone(), name);
            pool.submit(host.into(), move || drop(note));
        }
        assert_eq!(heard.try_recv(), Ok("a3"));
        for host in ["b", "c", "d", "e", "f", "g", "h"] {
            let note = SaysSo(said.clone(), host);
            pool.submit(host.into(), move || drop(note));
        }
        assert_eq!(heard.try_recv(), Ok("h"));
        assert!(heard.try_recv().is_err());
        drop(gate);
        for name in ["a1", "a2", "b", "c", "d", "e", "f", "g"] {
            assert_eq!(heard.recv().unwrap(), name);
        }
    }

    #[test]
    fn what_has_waited_too_long_is_not_begun() {
        let size = Size {
            threads: 1,
            per_host: 1,
            queued: 8,
            patience: Duration::ZERO,
        };
        let pool = Pool::start("test", size).unwrap();
        let (said, heard) = channel();
        let note = SaysSo(said.clone(), "dropped");
        pool.submit("a".into(), move || {
            let _note = note;
            said.send("begun").unwrap();
        });
        assert_eq!(heard.recv().unwrap(), "dropped");
    }

    #[test]
    fn a_panic_costs_no_thread_and_an_end_leaves_nothing() {
        let pool = pool(1, 1, 8);
        let (said, heard) = channel();
        pool.submit("a".into(), || panic!("on purpose"));
        let (gate, work) = held("after", &said);
        pool.submit("a".into(), work);
        assert_eq!(heard.recv().unwrap(), "after");
        let note = SaysSo(said.clone(), "left");
        pool.submit("a".into(), move || drop(note));
        drop(pool);
        assert_eq!(heard.recv().unwrap(), "left");
        drop(gate);
    }
}
