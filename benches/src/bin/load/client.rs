//! The load: one thread, as cheap as it can be, since it shares the processors with the server that is
//! measured. Requests are bytes made beforehand, sockets do not block, and the kernel says which of them
//! have something (epoll).

use crate::histogram::Histogram;
use crate::wire::Head;
use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may take to be made, on this very machine.
const CONNECTING: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER_MAX: usize = 4 << 20;
/// How much is read at a time.
const READ: usize = 64 * 1024;

/// A server, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// With TLS, as `localhost`; else plain.
    pub tls: Option<Arc<ClientConfig>>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Requests {
    /// One request, again and again.
    Same(Vec<u8>),
    /// One after the other, and again from the first.
    Cycle(Vec<Vec<u8>>),
    /// One after the other, and no more when all were sent.
    Once(Vec<Vec<u8>>),
}

/// When a request is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When the one before it is answered: as fast as the server goes.
    Closed,
    /// So many a second, whatever the server does. How long an answer took counts from when its request
    /// was due, not from when a connection was free for it.
    Rate(f64),
}

/// Clients that do the same.
#[derive(Clone, Debug)]
pub struct Population {
    /// Whom they ask.
    pub target: Target,
    /// What they ask.
    pub requests: Requests,
    /// When they ask.
    pub pace: Pace,
    /// How many connections they have.
    pub connections: usize,
    /// Whether each request has a new connection.
    pub reconnect: bool,
    /// What the body of a good answer begins with: 200 alone may say "inactive".
    pub begins: &'static [u8],
    /// Whether the bodies of good answers are kept.
    pub keep: bool,
}

impl Population {
    /// Clients that keep their connections, and ask as fast as they are answered.
    pub fn closed(target: &Target, requests: Requests, connections: usize) -> Self {
        Self {
            target: target.clone(),
            requests,
            pace: Pace::Closed,
            connections,
            reconnect: false,
            begins: b"",
            keep: false,
        }
    }

    /// The same, whose good answers begin so.
    #[must_use]
    pub fn expecting(self, begins: &'static [u8]) -> Self {
        Self { begins, ..self }
    }

    /// How many requests a second are due; nothing where each waits for the answer before it.
    pub fn rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Closed => None,
            Pace::Rate(rate) => Some(rate),
        }
    }

    /// The same at a rate.
    #[must_use]
    pub fn at_rate(self, per_second: f64) -> Self {
        Self {
            pace: Pace::Rate(per_second),
            ..self
        }
    }
}

/// What became of the requests of a population.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How long good answers took.
    pub latency: Histogram,
    /// Answers of 503.
    pub shed: u64,
    /// Those of them that say when to come again.
    pub shed_with_retry_after: u64,
    /// Answers that are neither good nor 503.
    pub wrong: u64,
    /// Connections that ended in the middle of a request, or could not be made.
    pub broken: u64,
    /// Connections that were made.
    pub connected: u64,
    /// The first answer that was not good, or broken connection, for people: a wrong one before a 503.
    pub first_trouble: Option<String>,
    /// The first 503.
    first_shed: Option<String>,
    /// Bytes of the last good answer's body.
    pub answer_bytes: usize,
    /// The bodies of good answers, if they are kept.
    pub bodies: Vec<Vec<u8>>,
}

impl Outcome {
    /// How many good answers there were.
    pub fn good(&self) -> u64 {
        self.latency.len()
    }

    /// How many requests did not get what they asked for.
    pub fn bad(&self) -> u64 {
        self.shed + self.wrong + self.broken
    }

    fn trouble(&mut self, what: impl FnOnce() -> String) {
        self.first_trouble.get_or_insert_with(what);
    }
}

/// One connection.
struct Connection {
    stream: TcpStream,
    session: Option<ClientConnection>,
    /// What of the request is not sent yet, where the kernel had no room for all of it.
    unsent: Vec<u8>,
    received: Vec<u8>,
    /// When the request was due.
    since: Instant,
    busy: bool,
}

/// A population at work.
struct Crowd {
    population: Population,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// How many requests were taken of what is to be sent.
    taken: usize,
    /// When the first of them was sent.
    began: Option<Instant>,
    outcome: Outcome,
}

/// Populations at work.
pub struct Load {
    epoll: OwnedFd,
    crowds: Vec<Crowd>,
    scratch: Vec<u8>,
    events: Vec<epoll::Event>,
}

/// Which connection an event is of.
fn data(crowd: usize, connection: usize) -> epoll::EventData {
    epoll::EventData::new_u64((crowd as u64) << 32 | connection as u64)
}

fn place(data: epoll::EventData) -> (usize, usize) {
    let number = data.u64();
    ((number >> 32) as usize, (number & 0xffff_ffff) as usize)
}

impl Load {
    /// Makes all connections. Nothing is sent before [`Self::run`].
    ///
    /// # Errors
    /// A server does not listen.
    pub fn connect(populations: Vec<Population>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut load = Self {
            epoll,
            crowds: Vec::new(),
            scratch: vec![0; READ],
            events: Vec::with_capacity(256),
        };
        for population in populations {
            let number = load.crowds.len();
            let mut crowd = Crowd {
                connections: Vec::new(),
                idle: (0..population.connections).rev().collect(),
                taken: 0,
                began: None,
                outcome: Outcome::default(),
                population,
            };
            for place in 0..crowd.population.connections {
                let connection = Connection::open(&crowd.population.target)?;
                let flags = epoll::EventFlags::IN;
                epoll::add(&load.epoll, &connection.stream, data(number, place), flags)?;
                crowd.connections.push(connection);
            }
            load.crowds.push(crowd);
        }
        Ok(load)
    }

    /// Goes on for so long, or until there is nothing more to send and all is answered. Requests stay
    /// under way at the end. Answers how long it was.
    ///
    /// # Errors
    /// The kernel refuses, or a server does not listen any more.
    pub fn run(&mut self, time: Duration) -> Result<Duration> {
        let start = Instant::now();
        let end = start + time;
        for crowd in &mut self.crowds {
            crowd.began.get_or_insert(start);
        }
        loop {
            let now = Instant::now();
            if now >= end || self.crowds.iter().all(Crowd::is_finished) {
                return Ok(now - start);
            }
            let mut wake = end;
            for number in 0..self.crowds.len() {
                self.send_due(number, now)?;
                if let Some(due) = self.crowds[number].next_due() {
                    wake = wake.min(due);
                }
            }
            self.wait(wake)?;
            let events = std::mem::take(&mut self.events);
            for event in &events {
                let (crowd, connection) = place(event.data);
                self.serve(crowd, connection, event.flags)?;
            }
            self.events = events;
        }
    }

    /// Forgets what came of requests until now.
    pub fn reset(&mut self) {
        for crowd in &mut self.crowds {
            crowd.outcome = Outcome::default();
        }
    }

    /// What came of each population's requests since the last time.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        let outcomes = self.crowds.iter_mut().map(|crowd| {
            let mut outcome = std::mem::take(&mut crowd.outcome);
            outcome.first_trouble = outcome.first_trouble.or(outcome.first_shed.take());
            outcome
        });
        outcomes.collect()
    }

    fn wait(&mut self, wake: Instant) -> Result<()> {
        let left = wake.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs())?,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what a population should have sent by now, as far as it has connections for it.
    fn send_due(&mut self, number: usize, now: Instant) -> Result<()> {
        let crowd = &mut self.crowds[number];
        while !crowd.idle.is_empty() {
            let since = match crowd.next_due() {
                Some(due) if due <= now => match crowd.population.pace {
                    Pace::Closed => now,
                    Pace::Rate(_) => due,
                },
                Some(_) | None => break,
            };
            let Some(place) = crowd.idle.pop() else {
                break;
            };
            crowd.begin_request(&self.epoll, number, place, since)?;
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, place: usize, flags: epoll::EventFlags) -> Result<()> {
        let crowd = &mut self.crowds[number];
        if flags.contains(epoll::EventFlags::OUT) {
            let sent = crowd.connections[place].flush();
            crowd.settle(&self.epoll, number, place, sent)?;
        }
        let beyond = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(beyond) {
            crowd.receive(&self.epoll, number, place, &mut self.scratch)?;
        }
        Ok(())
    }
}

impl Crowd {
    /// When the next request is due for which there is a connection.
    fn next_due(&self) -> Option<Instant> {
        if self.idle.is_empty() || self.is_exhausted() {
            return None;
        }
        let began = self.began?;
        Some(match self.population.pace {
            Pace::Closed => began,
            Pace::Rate(rate) => began + Duration::from_secs_f64(self.taken as f64 / rate),
        })
    }

    fn is_exhausted(&self) -> bool {
        matches!(&self.population.requests, Requests::Once(all) if self.taken >= all.len())
    }

    fn is_finished(&self) -> bool {
        self.is_exhausted() && self.idle.len() == self.connections.len()
    }

    fn begin_request(
        &mut self,
        epoll: &OwnedFd,
        number: usize,
        place: usize,
        since: Instant,
    ) -> Result<()> {
        let request = match &self.population.requests {
            Requests::Same(request) => request,
            Requests::Cycle(all) => &all[self.taken % all.len()],
            Requests::Once(all) => &all[self.taken],
        };
        self.taken += 1;
        let connection = &mut self.connections[place];
        connection.since = since;
        connection.busy = true;
        let sent = connection.send(request);
        self.settle(epoll, number, place, sent)
    }

    /// Has the kernel say when there is room for the rest of a request; or makes a new connection, where
    /// this one broke.
    fn settle(
        &mut self,
        epoll: &OwnedFd,
        number: usize,
        place: usize,
        sent: std::io::Result<Sent>,
    ) -> Result<()> {
        let flags = match sent {
            Ok(Sent::All) => return Ok(()),
            Ok(Sent::AllNow) => epoll::EventFlags::IN,
            Ok(Sent::Part) => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            Err(error) => return self.broke(epoll, number, place, &error.to_string()),
        };
        let stream = &self.connections[place].stream;
        epoll::modify(epoll, stream, data(number, place), flags)?;
        Ok(())
    }

    fn receive(
        &mut self,
        epoll: &OwnedFd,
        number: usize,
        place: usize,
        scratch: &mut [u8],
    ) -> Result<()> {
        let connection = &mut self.connections[place];
        let ended = match connection.receive(scratch) {
            Ok(ended) => ended,
            Err(error) => return self.broke(epoll, number, place, &error.to_string()),
        };
        if connection.wants_write() {
            let sent = connection.flush();
            return self.settle(epoll, number, place, sent);
        }
        let whole = match Head::read(&connection.received) {
            Ok(head) => head.filter(|head| connection.received.len() >= head.len + head.body),
            Err(error) => return self.broke(epoll, number, place, &error.to_string()),
        };
        match whole {
            Some(head) if connection.busy => {
                self.answered(place, head);
                if head.close || ended || self.population.reconnect {
                    self.reopen(epoll, number, place)?;
                }
                self.idle.push(place);
                if let Pace::Closed = self.population.pace {
                    return self.next(epoll, number);
                }
                Ok(())
            }
            Some(_) => self.broke(epoll, number, place, "an answer that nobody asked for"),
            None if ended && connection.busy => {
                self.broke(epoll, number, place, "closed before the answer")
            }
            // An idle connection that the server closes, as it may.
            None if ended => self.reopen(epoll, number, place),
            None if connection.received.len() > ANSWER_MAX => {
                bail!("an answer is larger than {ANSWER_MAX} bytes")
            }
            None => Ok(()),
        }
    }

    /// The next request of a population that does not wait.
    fn next(&mut self, epoll: &OwnedFd, number: usize) -> Result<()> {
        if self.is_exhausted() {
            return Ok(());
        }
        match self.idle.pop() {
            Some(place) => self.begin_request(epoll, number, place, Instant::now()),
            None => Ok(()),
        }
    }

    fn answered(&mut self, place: usize, head: Head) {
        let connection = &mut self.connections[place];
        let elapsed = connection.since.elapsed();
        connection.busy = false;
        let body = &connection.received[head.len..head.len + head.body];
        let outcome = &mut self.outcome;
        match head.status {
            200 | 201 if body.starts_with(self.population.begins) => {
                outcome.latency.record(elapsed);
                outcome.answer_bytes = body.len();
                if self.population.keep {
                    outcome.bodies.push(body.to_vec());
                }
            }
            503 => {
                outcome.shed += 1;
                outcome.shed_with_retry_after += u64::from(head.retry_after);
                outcome.first_shed.get_or_insert_with(|| told(503, body));
            }
            status => {
                outcome.wrong += 1;
                outcome.trouble(|| told(status, body));
            }
        }
        connection.received.drain(..head.len + head.body);
    }

    /// A connection broke in the middle of something: its request is lost.
    fn broke(&mut self, epoll: &OwnedFd, number: usize, place: usize, why: &str) -> Result<()> {
        self.outcome.broken += 1;
        self.outcome.trouble(|| why.to_owned());
        let was_busy = self.connections[place].busy;
        self.reopen(epoll, number, place)?;
        if was_busy {
            self.idle.push(place);
        }
        Ok(())
    }

    fn reopen(&mut self, epoll: &OwnedFd, number: usize, place: usize) -> Result<()> {
        let old = &self.connections[place].stream;
        epoll::delete(epoll, old)?;
        // The port is free at once: else a run that reconnects has no more after some seconds.
        let _ = sockopt::set_socket_linger(old, Some(Duration::ZERO));
        let mut new = Connection::open(&self.population.target)?;
        new.busy = false;
        self.outcome.connected += 1;
        epoll::add(
            epoll,
            &new.stream,
            data(number, place),
            epoll::EventFlags::IN,
        )?;
        self.connections[place] = new;
        Ok(())
    }
}

/// An answer for people, not all of it.
fn told(status: u16, body: &[u8]) -> String {
    let begin = &body[..body.len().min(400)];
    format!("{status} {}", String::from_utf8_lossy(begin))
}

/// How much of a request was sent.
enum Sent {
    /// All, at once, as nearly always.
    All,
    /// All, and the last part of it now.
    AllNow,
    /// The kernel takes no more for now.
    Part,
}

impl Connection {
    fn open(target: &Target) -> Result<Self> {
        let address = target.address;
        let stream = TcpStream::connect_timeout(&address, CONNECTING)
            .with_context(|| format!("nobody accepts at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let session = match &target.tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                Some(ClientConnection::new(Arc::clone(config), name)?)
            }
        };
        Ok(Self {
            stream,
            session,
            unsent: Vec::new(),
            received: Vec::new(),
            since: Instant::now(),
            busy: false,
        })
    }

    fn send(&mut self, request: &[u8]) -> std::io::Result<Sent> {
        if let Some(session) = &mut self.session {
            session.writer().write_all(request)?;
            return Ok(match self.flush()? {
                Sent::Part => Sent::Part,
                Sent::All | Sent::AllNow => Sent::All,
            });
        }
        let sent = match self.stream.write(request) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent == request.len() {
            return Ok(Sent::All);
        }
        self.unsent.extend_from_slice(&request[sent..]);
        Ok(Sent::Part)
    }

    /// Sends what is left.
    fn flush(&mut self) -> std::io::Result<Sent> {
        if let Some(session) = &mut self.session {
            while session.wants_write() {
                match session.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Part),
                    Err(error) => return Err(error),
                }
            }
            return Ok(Sent::AllNow);
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Part),
                Err(error) => return Err(error),
            }
        }
        Ok(Sent::AllNow)
    }

    /// Reads what is there; says whether the server has closed.
    fn receive(&mut self, scratch: &mut [u8]) -> std::io::Result<bool> {
        let Some(session) = &mut self.session else {
            return match self.stream.read(scratch) {
                Ok(0) => Ok(true),
                Ok(count) => {
                    self.received.extend_from_slice(&scratch[..count]);
                    Ok(false)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        };
        let mut ended = match session.read_tls(&mut self.stream) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let state = session
            .process_new_packets()
            .map_err(std::io::Error::other)?;
        ended |= state.peer_has_closed();
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let most = left.min(scratch.len());
            let count = session.reader().read(&mut scratch[..most])?;
            self.received.extend_from_slice(&scratch[..count]);
            left -= count;
        }
        Ok(ended)
    }

    /// Whether the handshake has something to say in between.
    fn wants_write(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.wants_write())
    }
}

#[cfg(test)]
mod tests;
