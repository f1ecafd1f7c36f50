//! `POST /add-checkpoint` of a witness (C2SP tlog-witness v1.0.0). Anybody may ask: what counts is the
//! log's signature, and nothing else in the request is believed.

use super::unread::Held;
use crate::clock::Clock;
use crate::witnesses::SIZE;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{Error, HttpResponse};
use std::sync::Arc;
use std::time::Duration;
use writ_ledger::witness::{AddError, Refused, SUBMISSION_BYTES, Submission, Witness};

/// The longest that a request may take, in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A witness and its clock.
#[derive(Clone, Debug)]
pub struct Witnessing {
    /// Who signs.
    pub witness: Arc<Witness>,
    /// Tells when.
    pub clock: Arc<dyn Clock>,
}

/// The one route.
pub fn witness(config: &mut ServiceConfig) {
    let route = web::post().to(add_checkpoint);
    config.service(super::post("/add-checkpoint", route));
}

/// Ends a request that takes too long.
///
/// # Errors
/// What the service itself returns.
pub async fn in_time<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let held = Held::take(&mut request);
    let response = match tokio::time::timeout(TIMEOUT, next.call(request)).await {
        Ok(response) => response?,
        Err(_) => {
            let answer = text(StatusCode::REQUEST_TIMEOUT, "the request took too long");
            let answer = match held {
                None => answer,
                Some(held) => answer.map_body(|_, body| held.until_sent(body)),
            };
            return Err(InternalError::from_response("timeout", answer).into());
        }
    };
    Ok(match held {
        None => response.map_into_left_body(),
        Some(held) => response
            .map_body(|_, body| held.until_sent(body))
            .map_into_right_body(),
    })
}

async fn add_checkpoint(payload: Payload, witnessing: Data<Witnessing>) -> HttpResponse {
    let body = match payload.to_bytes_limited(SUBMISSION_BYTES).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body could not be read"),
        Err(_) => return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
    };
    let submission = std::str::from_utf8(&body).ok().map(str::parse);
    let submission: Submission = match submission {
        Some(Ok(submission)) => submission,
        Some(Err(error)) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
        None => return text(StatusCode::BAD_REQUEST, "the body is not text"),
    };
    let Witnessing { witness, clock } = (**witnessing).clone();
    let add = move || witness.add(&submission, clock.now().seconds());
    match tokio::task::spawn_blocking(add).await {
        Ok(Ok(cosignature)) => text(StatusCode::OK, &cosignature.to_string()),
        Ok(Err(AddError::Refused(refused))) => refusal(&refused),
        Ok(Err(AddError::Disk(fault))) => {
            tracing::error!(%fault, "a checkpoint could not be remembered, and is not signed");
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "this witness signs nothing now",
            )
        }
        Err(error) => {
            tracing::error!(%error, "a checkpoint was not handled");
            text(StatusCode::INTERNAL_SERVER_ERROR, "this witness failed")
        }
    }
}

fn refusal(refused: &Refused) -> HttpResponse {
    let status = match refused {
        Refused::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refused::NotSigned => StatusCode::FORBIDDEN,
        Refused::OldSizeTooLarge => StatusCode::BAD_REQUEST,
        Refused::OtherTree { .. } => StatusCode::CONFLICT,
        Refused::Inconsistent { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::Stale { size } => {
            let body = format!("{size}\n");
            return HttpResponse::Conflict().content_type(SIZE).body(body);
        }
    };
    text(status, &refused.to_string())
}

fn text(status: StatusCode, line: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .body(format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::ManualClock;
    use actix_web::App;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use writ_core::Millis;
    use writ_ledger::merkle::Tree;
    use writ_ledger::note::{KeyKind, NoteKey, SignedCheckpoint};

    fn key(name: &str) -> NoteKey {
        NoteKey::new(KeyKind::Log, name, &[1; 32]).unwrap()
    }

    /// A log of so many entries, of one of two histories.
    fn checkpoint(size: u64, history: u8) -> SignedCheckpoint {
        let mut tree = Tree::default();
        (0..size).for_each(|n| tree.push(&[history, u8::try_from(n).unwrap()]));
        SignedCheckpoint::sign(&key("log.example/writ"), size, tree.root())
    }

    /// Every status of the specification, over HTTP.
    #[actix_web::test]
    async fn every_answer_has_its_status() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("w");
        Witness::create(&path, "witness.example/w1").unwrap();
        let logs = vec![key("log.example/writ").vkey().clone()];
        let witness = Arc::new(Witness::open(&path, logs).unwrap());
        let vkey = witness.vkey().clone();
        let clock = Arc::new(ManualClock::new(Millis(1_764_000_000_000)));
        let app = App::new()
            .app_data(Data::new(Witnessing { witness, clock }))
            .wrap(from_fn(in_time))
            .configure(super::witness);
        let app = init_service(app).await;
        let post = async |body: String| {
            let request = TestRequest::post().uri("/add-checkpoint").set_payload(body);
            let response = call_service(&app, request.to_request()).await;
            let status = response.status().as_u16();
            let kind = response.headers().get("content-type").unwrap();
            let kind = kind.to_str().unwrap().to_owned();
            let body = read_body(response).await;
            (status, kind, String::from_utf8(body.to_vec()).unwrap())
        };
        let submit = async |old: u64, signed: &SignedCheckpoint| {
            let proof = Vec::new();
            let checkpoint = signed.clone();
            let old_size = old;
            let submission = Submission {
                old_size,
                proof,
                checkpoint,
            };
            post(submission.to_string()).await
        };
        let two = checkpoint(2, 0);
        let (status, _, lines) = submit(0, &two).await;
        assert_eq!(status, 200, "{lines}");
        let (_, by) = two.cosignature(&vkey, &lines).unwrap();
        assert_eq!(by.time, Some(1_764_000_000));
        assert!(lines.starts_with("\u{2014} witness.example/w1 ") && lines.ends_with('\n'));
        assert_eq!(submit(2, &two).await.0, 200);

        let stale = submit(0, &checkpoint(3, 0)).await;
        assert_eq!(stale, (409, SIZE.to_owned(), "2\n".to_owned()));
        let other = submit(2, &checkpoint(2, 1)).await;
        assert_eq!((other.0, &*other.1), (409, "text/plain; charset=utf-8"));
        assert_eq!(submit(2, &checkpoint(3, 0)).await.0, 422);
        assert_eq!(submit(3, &two).await.0, 400);
        let stranger = SignedCheckpoint::sign(&key("stranger.example/log"), 2, [0; 32]);
        assert_eq!(submit(0, &stranger).await.0, 404);
        let forged = NoteKey::new(KeyKind::Log, "log.example/writ", &[2; 32]).unwrap();
        let forged = SignedCheckpoint::sign(&forged, 2, [0; 32]);
        assert_eq!(submit(0, &forged).await.0, 403);
        assert_eq!(post("old 0\n".to_owned()).await.0, 400);
        assert_eq!(post("x".repeat(SUBMISSION_BYTES + 1)).await.0, 413);
        let get = TestRequest::get().uri("/add-checkpoint").to_request();
        assert_eq!(call_service(&app, get).await.status().as_u16(), 405);
    }
}
