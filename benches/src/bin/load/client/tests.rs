//! The client of the load program, against answers that are whole, cut off and wrong.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use std::net::TcpListener;
use std::thread;

/// A server that answers the n-th request of each connection with the n-th of these, and closes the
/// connection after the last.
fn server(answers: &'static [&'static str]) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                for answer in answers {
                    let (mut seen, mut byte) = (Vec::new(), [0]);
                    while !seen.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        seen.push(byte[0]);
                    }
                    // In two parts, as it may happen.
                    let (one, other) = answer.split_at(answer.len() / 2);
                    for part in [one, other] {
                        if stream.write_all(part.as_bytes()).is_err() {
                            return;
                        }
                        thread::yield_now();
                    }
                }
            });
        }
    });
    Target { address, tls: None }
}

fn get(path: &str) -> Vec<u8> {
    crate::wire::request("GET", path, &[], "")
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
const SHED: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n";
const WRONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad";

/// Long enough for what ends by itself.
const ENOUGH: Duration = Duration::from_secs(60);

#[test]
fn what_is_sent_once_is_answered_once_and_the_run_ends() {
    let target = server(&[GOOD; 100]);
    let requests = Requests::Once(vec![get("/"); 50]);
    let mut population = Population::closed(&target, requests, 4).expecting(b"good");
    population.keep = true;
    let mut load = Load::connect(vec![population]).unwrap();
    assert!(load.run(ENOUGH).unwrap() < ENOUGH);
    let outcome = load.outcomes().remove(0);
    assert_eq!((outcome.good(), outcome.answer_bytes), (50, 4));
    assert_eq!(outcome.bodies, vec![b"good".to_vec(); 50]);
    assert_eq!((outcome.shed, outcome.wrong, outcome.broken), (0, 0, 0));
    assert_eq!(load.outcomes()[0].good(), 0, "they are counted once");
}

#[test]
fn each_answer_is_told_by_what_it_is() {
    let target = server(&[GOOD, SHED, WRONG, GOOD]);
    let requests = Requests::Once(vec![get("/"); 4]);
    let population = Population::closed(&target, requests, 1).expecting(b"good");
    let mut load = Load::connect(vec![population]).unwrap();
    load.run(ENOUGH).unwrap();
    let outcome = load.outcomes().remove(0);
    assert_eq!(outcome.good(), 2);
    assert_eq!((outcome.shed, outcome.shed_with_retry_after), (1, 1));
    assert_eq!((outcome.wrong, outcome.broken), (1, 0));
    assert_eq!(outcome.first_trouble.as_deref(), Some("200 bad"));
}

#[test]
fn a_connection_that_breaks_is_counted_and_made_again() {
    let target = server(&[GOOD, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ngood"]);
    let requests = Requests::Once(vec![get("/"); 6]);
    let mut load = Load::connect(vec![Population::closed(&target, requests, 1)]).unwrap();
    load.run(ENOUGH).unwrap();
    let outcome = load.outcomes().remove(0);
    assert_eq!((outcome.good(), outcome.broken), (3, 3));
    assert_eq!(outcome.connected, 3);
}

#[test]
fn a_new_connection_for_each_request_is_one() {
    let target = server(&[GOOD, GOOD]);
    let requests = Requests::Once(vec![get("/"); 5]);
    let mut population = Population::closed(&target, requests, 2);
    population.reconnect = true;
    let mut load = Load::connect(vec![population]).unwrap();
    load.run(ENOUGH).unwrap();
    let outcome = load.outcomes().remove(0);
    assert_eq!((outcome.good(), outcome.connected), (5, 5));
}

#[test]
fn a_rate_is_kept_and_waiting_for_a_connection_counts() {
    let target = server(&[GOOD; 10_000]);
    let requests = Requests::Cycle(vec![get("/a"), get("/b")]);
    let population = Population::closed(&target, requests, 2).at_rate(500.0);
    let mut load = Load::connect(vec![population]).unwrap();
    let took = load.run(Duration::from_millis(400)).unwrap();
    let due = (took.as_secs_f64() * 500.0) as u64 + 1;
    let sent = load.crowds[0].taken as u64;
    assert!(sent <= due, "{sent} of {due}");
    assert!(load.outcomes()[0].good() <= sent);

    // A server that never answers: what is due waits for a connection.
    let mute = server(&[""]);
    let population = Population::closed(&mute, Requests::Same(get("/")), 2).at_rate(1_000.0);
    let mut load = Load::connect(vec![population]).unwrap();
    load.run(Duration::from_millis(50)).unwrap();
    assert!(load.crowds[0].taken >= 2);
}
