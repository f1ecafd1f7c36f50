//! Witnesses that answer whatever comes to somebody's mind. Real ones are in `tests/it/witness.rs`.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::TestServer;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use writ_core::Command;
use writ_ledger::Checkpoints;
use writ_ledger::note::{KeyKind, NoteKey};

fn key(name: &str, seed: u8) -> NoteKey {
    NoteKey::new(KeyKind::Witness, name, &[seed; 32]).unwrap()
}

/// Reads one request, and answers its body.
fn read(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// A witness at a URL that gives these answers, each on a connection of its own; what it was asked.
fn answering(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let answer = |answer: &String| {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = read(&stream);
            // The client may have heard enough.
            let _ = stream.write_all(answer.as_bytes());
            asked
        };
        answers.iter().map(answer).collect()
    });
    (url, asked)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn asking(server: &TestServer, url: &str) -> Asking {
    let witness = Witness {
        url: url.to_owned(),
        vkey: key("witness.example/w1", 5).vkey().clone(),
    };
    Asking {
        agent: agent(&witness, None).unwrap(),
        metrics: server.app.metrics.witness("witness.example/w1"),
        witness,
        app: server.app.clone().into_inner(),
        old_size: 0,
        cosigned: None,
        trouble: None,
        failures: 0,
    }
}

/// What is wrong when a witness answers so.
fn trouble(server: &TestServer, answers: Vec<String>) -> String {
    let count = answers.len();
    let (url, asked) = answering(answers);
    let mut asking = asking(server, &url);
    asking.look();
    assert_eq!(asked.join().unwrap().len(), count);
    assert_eq!((asking.failures, asking.old_size), (1, 0));
    assert!(asking.cosigned.is_none());
    asking.trouble.unwrap().to_string()
}

#[test]
fn only_the_witness_s_own_signature_counts() {
    let server = TestServer::new();
    let signed = server.app.checkpoints.last().unwrap();
    let text = &signed.note.text;
    let right = key("witness.example/w1", 5);
    let lines = |body: String| vec![answer("200 OK", "text/plain", &format!("{body}\n"))];
    for line in [
        key("witness.example/w1", 6).sign(text, 7).to_string(),
        key("witness.example/w2", 5).sign(text, 7).to_string(),
        right.sign(&text.replace("\n", "\n1"), 7).to_string(),
        right.sign(text, 7).to_string().replace("w1 ", "w1  "),
        signed.to_string(),
        String::new(),
    ] {
        let said = trouble(&server, lines(line));
        assert_eq!(said, "its answer has no valid signature by its key");
    }
    // Nothing of it was written down.
    let kept = Checkpoints::read(&server.data_dir().join("checkpoint"))
        .unwrap()
        .unwrap();
    assert_eq!(kept.note.signatures.len(), 1);

    // Among those of others it is found.
    let other = key("witness.example/w2", 5).sign(text, 8);
    let (url, asked) = answering(lines(format!("{other}\nwhatever\n{}", right.sign(text, 7))));
    let mut asking = asking(&server, &url);
    asking.look();
    assert!(asking.trouble.is_none(), "{:?}", asking.trouble);
    assert_eq!(asked.join().unwrap(), [format!("old 0\n\n{signed}")]);
    let kept = Checkpoints::read(&server.data_dir().join("checkpoint"))
        .unwrap()
        .unwrap();
    assert_eq!(kept.note.signatures.len(), 2);
    assert_eq!(kept.note.verify(right.vkey()).unwrap().time, Some(7));
    // It is not asked again until there is more.
    asking.look();
    assert!(asking.trouble.is_none());
}

#[test]
fn a_witness_that_is_mad_or_hostile_is_no_more_than_trouble() {
    let server = TestServer::new();
    let have = server.app.checkpoints.last().unwrap().checkpoint.size;
    let size = |size: &str| answer("409 Conflict", SIZE, size);
    let text = |status: &str, body: &str| vec![answer(status, "text/plain", body)];
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned() + &"x".repeat(1 << 20);
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (answers, why) in [
        (
            vec![size("99999\n")],
            format!("it has seen 99999 events of this log, which has {have}"),
        ),
        (
            vec![size("1\n"), size("2\n")],
            "it has seen 2 now".to_owned(),
        ),
        (
            vec![size("-1\n")],
            "it answers 409 Conflict: \"-1\"".to_owned(),
        ),
        (
            text("409 Conflict", "another tree"),
            "it has seen another history".to_owned(),
        ),
        (
            text("422 Unprocessable Entity", ""),
            "it has seen another history".to_owned(),
        ),
        (
            text("404 Not Found", "\u{1b}[2J"),
            r#"it answers 404 Not Found: "\u{1b}[2J""#.to_owned(),
        ),
        (text("500 x", &"x".repeat(999)), "x".repeat(200)),
        (vec![redirect.to_owned()], "it answers 302 Found".to_owned()),
        (vec![endless], "it does not answer: ".to_owned()),
        (
            vec!["SSH-2.0-x\r\n".to_owned()],
            "it does not answer: ".to_owned(),
        ),
        (vec![String::new()], "it does not answer: ".to_owned()),
    ] {
        let said = trouble(&server, answers);
        assert!(said.contains(&why), "{said:?} and not {why:?}");
        assert!(said.len() < 400, "{said}");
    }
}

#[actix_web::test]
async fn what_the_witness_has_seen_is_asked_for_and_gone_on_from() {
    let server = TestServer::new();
    let old = server.app.checkpoints.last().unwrap();
    for name in ["one", "two", "three"] {
        let name = name.parse().unwrap();
        let scopes = Vec::new();
        server.execute(Command::CreateRole { name, scopes }).await;
    }
    server.app.checkpoint();
    let new = server.app.checkpoints.last().unwrap();
    let witness = key("witness.example/w1", 5);
    let (url, asked) = answering(vec![
        answer("409 Conflict", SIZE, &format!("{}\n", old.checkpoint.size)),
        answer(
            "200 OK",
            "text/plain",
            &witness.sign(&new.note.text, 9).to_string(),
        ),
    ]);
    let mut asking = asking(&server, &url);
    asking.look();
    assert!(asking.trouble.is_none(), "{:?}", asking.trouble);
    let asked = asked.join().unwrap();
    assert_eq!(asked[0], format!("old 0\n\n{new}"));
    let submission: Submission = asked[1].parse().unwrap();
    assert_eq!(submission.old_size, old.checkpoint.size);
    let trusted = [server.app.checkpoints.vkey().clone()];
    let decided = writ_ledger::witness::decide(&trusted, Some(&old.checkpoint), &submission);
    assert_eq!(decided, Ok(()));
    assert_eq!(asking.old_size, new.checkpoint.size);
    let metrics = server.app.metrics.encode();
    let at = "writ_witness_cosigned_timestamp_seconds{witness=\"witness.example/w1\"} 9";
    assert!(metrics.contains(at), "{metrics}");
}
