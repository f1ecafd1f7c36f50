//! `http.request_timeout`: who sends half a request, or one that never ends, is told so or hung up
//! on, and nobody else notices.

use std::time::Duration;

use writ_tests::{Exchange, Start, Writ, exchange};

/// The configured limit is a second; this is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(20);

/// Answered 408 (RFC 9110 §15.5.9) or not at all, and closed.
#[track_caller]
fn assert_given_up(what: &str, said: &Exchange) {
    assert!(said.closed, "{what}: still open: {said:?}");
    let quiet = said.answer.is_empty();
    assert!(quiet || said.status() == Some(408), "{what}: {said:?}");
}

#[test]
fn half_a_request_does_not_hold_a_connection() {
    let writ = Writ::with(Start::default().with("WRIT_HTTP_REQUEST_TIMEOUT", "1s"));
    let send = |parts: &[&[u8]], pace| exchange(writ.address(), parts, pace, LIMIT);
    let drip = Duration::from_millis(100);
    let head = b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n";
    let more = b"content-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\n";
    let letters: Vec<&[u8]> = std::iter::repeat_n(&b"x"[..], 500).collect();

    assert_given_up("nothing at all", &send(&[], Duration::ZERO));
    assert_given_up("half a head", &send(&[head], Duration::ZERO));
    let dripped = [&[&head[..]], letters.as_slice()].concat();
    assert_given_up("a head letter by letter", &send(&dripped, drip));

    let half = send(&[head, more, b"grant_type=client_cred"], Duration::ZERO);
    assert_given_up("half a body", &half);
    assert_eq!(half.status(), Some(408), "{half:?}");
    assert!(half.answer.contains("\"code\":\"timeout\""), "{half:?}");
    let dripped = [&[&head[..], more], letters.as_slice()].concat();
    let slow = send(&dripped, drip);
    assert_given_up("a body letter by letter", &slow);
    assert_eq!(slow.status(), Some(408), "{slow:?}");

    // A chunk that does not come, to the admin API, after the credentials were found good.
    let admin = writ.admin();
    let head = format!(
        "POST /api/v1/applications HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"na",
        admin.token()
    );
    let events = admin.head();
    let chunk = send(&[head.as_bytes()], Duration::ZERO);
    assert_given_up("half a chunk", &chunk);
    assert_eq!(chunk.status(), Some(408), "{chunk:?}");
    assert_eq!(admin.head(), events);

    // Answered at once, and the chunk still does not come.
    let head = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let hasty = send(&[head, b"5\r\ngra"], Duration::ZERO);
    assert!(hasty.closed, "{hasty:?}");
    assert_eq!(hasty.status(), Some(404), "{hasty:?}");
    // Nor do chunks without an end keep it open.
    let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
    let mut parts = vec![&head[..]];
    parts.extend(std::iter::repeat_n(chunk.as_slice(), 500));
    let flood = send(&parts, Duration::from_millis(20));
    assert!(flood.closed, "{flood:?}");

    writ.ops().get("/healthz").expect(200);
    writ.ops().get("/readyz").expect(200);
    admin.register_application("Still served");
}

/// A body in chunks that comes to its end is as good as any, also for the next request on the
/// connection.
#[test]
fn a_whole_body_in_chunks_keeps_the_connection() {
    let writ = Writ::start();
    let admin = writ.admin();
    let head = |last: &str| {
        format!(
            "POST /api/v1/roles HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n{last}\r\n",
            admin.token()
        )
    };
    let (first, second) = (head(""), head("connection: close\r\n"));
    let parts: [&[u8]; 5] = [
        first.as_bytes(),
        b"8\r\n{\"name\":\r\n",
        b"8\r\n\"first\"}\r\n0\r\n\r\n",
        second.as_bytes(),
        b"11\r\n{\"name\":\"second\"}\r\n0\r\n\r\n",
    ];
    let said = exchange(writ.address(), &parts, Duration::from_millis(20), LIMIT);
    assert!(said.closed, "{said:?}");
    assert_eq!(
        said.answer.matches("HTTP/1.1 201 Created").count(),
        2,
        "{said:?}"
    );
}

/// Many that hold on do not keep others out.
#[test]
fn many_slow_connections_keep_nobody_out() {
    let writ = Writ::with(Start::default().with("WRIT_HTTP_REQUEST_TIMEOUT", "5s"));
    let admin = writ.admin();
    std::thread::scope(|scope| {
        let slow: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let head = b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\nconte";
                    exchange(writ.address(), &[head], Duration::ZERO, LIMIT)
                })
            })
            .collect();
        for number in 0..10 {
            admin.register_application(&format!("Meanwhile {number}"));
        }
        for slow in slow {
            assert_given_up("half a head", &slow.join().unwrap());
        }
    });
}
