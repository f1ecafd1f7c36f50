//! How a server ends and how it refuses to begin: SIGTERM loses nothing, and a wrong start is exit
//! code 2 or 1 with a text that names the cause.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use writ_tests::{Application, Finished, Http, PATIENCE, Process, Start, Writ, binary, poll};

/// A token request whose head the server has read and whose body it is waiting for.
struct InFlight {
    stream: BufReader<TcpStream>,
    body: String,
}

impl InFlight {
    /// Sends the head and waits for `100 Continue` (RFC 9110 §10.1.1), which says that the server
    /// has it.
    fn begin(writ: &Writ, body: String) -> Self {
        let mut stream = TcpStream::connect(writ.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = [
            "POST /oauth2/token HTTP/1.1",
            "host: localhost",
            "connection: close",
            "content-type: application/x-www-form-urlencoded",
            "expect: 100-continue",
            &format!("content-length: {}", body.len()),
            "\r\n",
        ];
        let head = head.join("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 100"), "{line}");
        Self { stream, body }
    }

    /// Sends the body and reads until the server closes.
    fn complete(mut self) -> String {
        self.stream
            .get_mut()
            .write_all(self.body.as_bytes())
            .unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Tells threads to stop, when it is dropped at the latest: a test that failed would wait for them
/// for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn sigterm_answers_what_is_in_flight_and_loses_nothing() {
    let mut writ = Writ::start();
    let admin = writ.admin();
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    let application = admin.register_application("In flight");
    admin.grant(&application, &api, &["a:use"]);
    writ.ops().get("/healthz").expect(200);
    writ.ops().get("/readyz").expect(200);
    let form = format!(
        "grant_type=client_credentials&scope=a%3Ause&client_id={}&client_secret={}",
        application.id, application.secret
    );
    let waiting: Vec<InFlight> = (0..4)
        .map(|_| InFlight::begin(&writ, form.clone()))
        .collect();

    let (stopping, given_up) = (AtomicBool::new(false), AtomicBool::new(false));
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let _stop = Stop(&given_up);
        let busy: Vec<_> = (0..4)
            .map(|thread| {
                let (admin, stopping, given_up) = (admin.clone(), &stopping, &given_up);
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        if given_up.load(Ordering::SeqCst) {
                            break;
                        }
                        let body = json!({ "name": format!("Busy {thread} {number}") });
                        match admin.call("POST", "/applications").json(&body).try_send() {
                            Ok(answer) if answer.status == 201 => {
                                acknowledged.push(answer.text("id"));
                            }
                            refused => {
                                let stopping = stopping.load(Ordering::SeqCst);
                                assert!(stopping, "refused before the end: {refused:?}");
                                break;
                            }
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        poll("changes are being made", || {
            (admin.head() > 20).then_some(())
        });
        stopping.store(true, Ordering::SeqCst);
        writ.process().terminate();
        // Nobody is sent here any more, while those who are here are served.
        poll("readiness fails", || {
            let readiness = writ.ops().call("GET", "/readyz").try_send();
            readiness
                .is_ok_and(|answer| answer.status == 503)
                .then_some(())
        });
        for request in waiting {
            let answer = request.complete();
            assert!(answer.contains("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("access_token"), "{answer}");
        }
        busy.into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let status = writ.process().wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", writ.said());

    let writ = writ.restart();
    let admin = writ.admin();
    assert!(!acknowledged.is_empty());
    for id in acknowledged {
        admin.get(&format!("/applications/{id}")).expect(200);
    }
}

/// Balancers hear that this node is going while it still serves whom they send.
#[test]
fn readiness_fails_before_anything_else_does() {
    let mut writ = Writ::with(Start::default().with("WRIT_HTTP_SHUTDOWN_DELAY", "3s"));
    let admin = writ.admin();
    let api = admin.register_api("https://api.example", &json!({}), &["a:use"]);
    let application = admin.register_application("Late");
    admin.grant(&application, &api, &["a:use"]);
    writ.ops().get("/readyz").expect(200);
    writ.process().terminate();
    let stopping = poll("readiness fails", || {
        let readiness = writ.ops().get("/readyz");
        (readiness.status != 200).then_some(readiness)
    });
    assert_eq!(stopping.status, 503, "{stopping}");
    assert_eq!(stopping.body, b"stopping\n");
    // On a connection of its own, as a balancer that has not heard yet makes one.
    let late = Application::new(
        &Http::new(writ.base(), None),
        &application.id,
        &application.secret,
    );
    late.access_token(&[("scope", "a:use")]);
    admin.register_application("Later still");
    writ.ops().get("/healthz").expect(200);
    let status = writ.process().wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", writ.said());
}

/// Whoever reads that the server is ready may stop it at once.
#[test]
fn a_signal_right_after_readiness_is_heeded() {
    for _ in 0..5 {
        let mut writ = Writ::start();
        let status = writ.stop();
        assert_eq!(status.code(), Some(0), "{status}: {}", writ.said());
    }
}

fn writ(arguments: &[&str], directory: &Path) -> Finished {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory);
    Process::run("writ", command, PATIENCE)
}

#[track_caller]
fn assert_refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "{word:?} is not in: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_wrong_start_is_refused_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let config = here.join("writ.toml");

    let plain = ["dev", "--http", "--listen", "0.0.0.0:0"];
    assert_refused(&writ(&plain, here), 2, &["proxies.trusted"]);
    assert!(
        !here.join("writ-data").exists(),
        "a refused start made a data directory"
    );

    assert_refused(
        &writ(&["dev", "--no-such-flag"], here),
        2,
        &["--no-such-flag"],
    );
    assert_refused(
        &writ(&["serve", "--config", "nowhere.toml"], here),
        2,
        &["nowhere.toml"],
    );

    std::fs::write(
        &config,
        "issuer = \"https://login.example\"\n[http]\nlisten_on = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let unknown = writ(&["serve", "--config", "writ.toml"], here);
    assert_refused(&unknown, 2, &["http.listen_on", "writ.toml"]);

    std::fs::write(
        &config,
        "data_dir = \"empty\"\nissuer = \"https://login.example\"\nops.listen = \"127.0.0.1:0\"\n\
         [http]\nplain = true\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    std::fs::create_dir(here.join("empty")).unwrap();
    let empty = writ(&["serve", "--config", "writ.toml"], here);
    assert!(!empty.status.success());
    assert!(empty.stderr.contains("writ init"), "{}", empty.stderr);
    let made = std::fs::read_dir(here.join("empty")).unwrap().count();
    assert_eq!(made, 0, "serve never creates");
}

#[test]
fn one_data_directory_has_one_server() {
    let first = Writ::start();
    let directory = tempfile::tempdir().unwrap();
    let data = first.data("");
    let arguments = [
        "dev",
        "--http",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let second = writ(&arguments, directory.path());
    assert!(!second.status.success(), "{second:?}");
    first.ops().get("/readyz").expect(200);
}
