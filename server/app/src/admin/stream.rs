//! `/events/stream`: events as they come, as Server-Sent Events (HTML Living Standard §9.2). A
//! client that lost its connection says the last position that it has seen, and goes on after it.
//!
//! A stream lives longer than what let it in, so that is asked again before anything is sent: the
//! token may have expired, or its application may not read the log any more. A stream holds up
//! nothing: it ends when the server is about to stop.

use super::call::{Call, Caller};
use super::events::{Stored, stored};
use super::open::ask_again;
use super::query::number;
use super::read::blocking;
use super::routes::Media;
use super::{Answer, Failure, Outcome};
use crate::app::App;
use crate::telemetry::carried;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use writ_core::{ManagementScope, Position};

/// Most streams at a time.
const STREAMS: usize = 32;
/// How long a stream says nothing at most, and how long it goes without asking whether it may still.
const KEEP_ALIVE: Duration = match cfg!(test) {
    true => Duration::from_millis(20),
    false => Duration::from_secs(15),
};
/// How long a client may leave unread what was sent.
const UNREAD: Duration = Duration::from_secs(60);
/// Most events that are sent at once.
const BATCH: usize = 256;

/// The streams of this node.
#[derive(Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(STREAMS)),
            stop: watch::Sender::new(false),
        }
    }
}

impl Streams {
    /// How many more there can be.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Ends all of them, and those to come.
    pub(crate) fn end(&self) {
        self.stop.send_replace(true);
    }
}

/// A body that comes in pieces.
#[derive(Debug)]
pub struct Pieces(mpsc::Receiver<Vec<u8>>);

impl Pieces {
    /// The next piece; nothing at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.0.poll_recv(context)
    }
}

pub(super) async fn follow(app: Arc<App>, call: Call) -> Outcome {
    let next = begin(&app, &call)?;
    let caller = call
        .caller
        .ok_or(Failure::Unauthenticated { presented: false })?;
    let place = Arc::clone(&app.streams.places).try_acquire_owned();
    let place = place.map_err(|_| Failure::Busy("too many streams of events are open"))?;
    let (to, pieces) = mpsc::channel(1);
    let stream = Stream {
        app,
        caller,
        next,
        to,
        _place: place,
    };
    tokio::spawn(carried(stream.run()));
    Ok(Answer {
        stream: Some(Pieces(pieces)),
        media: Media::EventStream,
        ..Answer::empty()
    })
}

/// The first position to send: after the last that was seen, or the one that is asked for, or the
/// next to come. A browser that reconnects sends the same query again, so the header counts first.
fn begin(app: &App, call: &Call) -> Result<Position, Failure> {
    if let Some(seen) = call.headers.last_event_id {
        return Ok(Position(seen.0.saturating_add(1)));
    }
    let Some(text) = call.query("from") else {
        return Ok(app.index().next_position());
    };
    let detail = "the query parameter from must be a position";
    let from = number(text).map(Position);
    from.ok_or_else(|| Failure::malformed("query_malformed", detail))
}

struct Stream {
    app: Arc<App>,
    caller: Caller,
    next: Position,
    to: mpsc::Sender<Vec<u8>>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn run(mut self) {
        let mut stop = self.app.streams.stop.subscribe();
        let to = self.to.clone();
        tokio::select! {
            // The server is about to stop.
            _ = stop.wait_for(|stop| *stop) => {}
            // The client is gone.
            () = to.closed() => {}
            () = self.send_all() => {}
        }
    }

    async fn send_all(&mut self) {
        let mut piece = hello(self.next);
        loop {
            // Right before it is sent, so that a change that takes the permission away is not shown
            // to whom it was taken from.
            if !self.may_read() || !matches!(timeout(UNREAD, self.to.send(piece)).await, Ok(Ok(())))
            {
                return;
            }
            piece = match timeout(KEEP_ALIVE, self.app.ledger.wait_for(self.next)).await {
                Err(_) => b": nothing new\n\n".to_vec(),
                Ok(Ok(())) => match self.read().await {
                    Ok(piece) => piece,
                    Err(error) => {
                        tracing::error!(%error, "a stream of events ends: the log could not be read");
                        return;
                    }
                },
                // The server is stopping.
                Ok(Err(_)) => return,
            };
        }
    }

    fn may_read(&self) -> bool {
        ask_again(&self.app, &self.caller)
            .is_some_and(|caller| caller.scopes.contains(ManagementScope::AuditRead.bit()))
    }

    /// The next events that are there, as messages.
    async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let from = self.next;
        let read = move |app: &App| -> Result<(String, Position), Failure> {
            let (mut text, mut next) = (String::new(), from);
            for (position, bytes) in app.ledger.read_events(from, BATCH)? {
                text.push_str(&message(&stored(position, &bytes)?));
                next = Position(position.0 + 1);
            }
            Ok((text, next))
        };
        let (text, next) = blocking(&self.app, read).await?;
        self.next = next;
        Ok(text.into_bytes())
    }
}

/// How a stream begins: says where it is, for a connection that is lost before the first event, and
/// when to come again.
fn hello(next: Position) -> Vec<u8> {
    let seen = next.0.checked_sub(1);
    let id = seen.map_or_else(String::new, |seen| format!("id: {seen}\n"));
    format!("{id}retry: 2000\n\n").into_bytes()
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// One event as a message.
fn message(event: &Stored) -> String {
    let kind = serde_json::from_str::<Kind<'_>>(event.event.get());
    let kind = kind.map_or(Cow::Borrowed("message"), |found| found.kind);
    let data = serde_json::to_string(event).unwrap_or_default();
    let mut text = format!("id: {}\nevent: {kind}\n", event.position);
    // Stored JSON has no line breaks. Between the parts of JSON they would mean nothing.
    for line in data.split(['\r', '\n']) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_message_has_position_kind_and_the_stored_bytes() {
        let bytes = br#"{"v":1,"kind":"role.created","data":{"name":"a\nb"}}"#;
        let event = stored(Position(17), bytes).unwrap();
        assert_eq!(
            message(&event),
            "id: 17\nevent: role.created\ndata: {\"position\":17,\"event\":{\"v\":1,\
             \"kind\":\"role.created\",\"data\":{\"name\":\"a\\nb\"}}}\n\n"
        );
        let spread = stored(Position(0), b"{\"kind\":\r\n\"x\"}").unwrap();
        assert_eq!(
            message(&spread),
            "id: 0\nevent: x\ndata: {\"position\":0,\"event\":{\"kind\":\ndata: \n\
             data: \"x\"}}\n\n"
        );
    }

    #[test]
    fn a_stream_says_where_it_begins() {
        assert_eq!(hello(Position(0)), b"retry: 2000\n\n");
        assert_eq!(hello(Position(8)), b"id: 7\nretry: 2000\n\n");
    }
}
