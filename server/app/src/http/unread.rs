//! A body that nobody read to its end, and the connection that it came on.
//!
//! A connection of HTTP/1.1 can go on only when the body of its last request is read. actix closes
//! it where a length was announced. Of a body in chunks that the handler has let go it reads on,
//! without a limit of time or size, to use the connection again: whoever sends half a chunk and
//! then nothing would keep the connection for ever. It closes such a connection too when the body
//! is still held as the answer leaves, so that is done here.

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_core::Stream;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The body of a request, held until its answer has left.
#[derive(Clone)]
pub struct Held(Rc<RefCell<Payload>>);

impl Held {
    /// Takes hold of a body in chunks; others are as they were.
    pub fn take(request: &mut ServiceRequest) -> Option<Self> {
        if !request.headers().contains_key(TRANSFER_ENCODING) {
            return None;
        }
        let held = Self(Rc::new(RefCell::new(request.take_payload())));
        let payload = Box::pin(held.clone());
        request.set_payload(Payload::Stream { payload });
        Some(held)
    }

    /// An answer's body that holds the request's as long as it is sent.
    pub fn until_sent(self, body: impl MessageBody + 'static) -> BoxBody {
        BoxBody::new(Sent {
            body: BoxBody::new(body),
            _held: self,
        })
    }
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

struct Sent {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for Sent {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
