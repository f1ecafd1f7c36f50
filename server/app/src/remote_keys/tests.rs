//! Fetching from real servers on this machine, which are whoever the test's own resolver says. What
//! is decided when is tested in `entry.rs`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod site;

use super::*;
use crate::clock::{ManualClock, Stopwatch};
use site::{Certificate, Gate, Site, ca_file, keys, ok, write};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use writ_core::Millis;

/// How the tests read a set of keys: as the names in it, a hundred at most.
type Kids = BTreeSet<String>;

fn parse(document: &[u8]) -> Result<Kids, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        kid: String,
    }
    let set: Set = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    match set.keys.len() {
        0..=100 => Ok(set.keys.into_iter().map(|key| key.kid).collect()),
        count => Err(format!("{count} keys are too many")),
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Every name is this machine, and this machine may be asked.
struct Asker {
    keys: Arc<RemoteKeys<Kids>>,
    counters: Counters,
    clock: Arc<ManualClock>,
    runtime: Runtime,
}

impl Asker {
    fn new() -> Self {
        // Long enough for any machine: what is about deadlines sets its own.
        Self::within(Duration::from_secs(60))
    }

    fn within(deadline: Duration) -> Self {
        let limits = Limits {
            deadline,
            ..Limits::default()
        };
        Self::with(limits, &["127.0.0.1"], |_| Ok(vec![LOCALHOST]))
    }

    fn with(
        limits: Limits,
        allow: &[&str],
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let outbound = Outbound {
            allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
            ca_file: Some(ca_file()),
        };
        let clock = Arc::new(ManualClock::new(Millis(1_764_000_000_000)));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let format = Format {
            parse,
            has_kid: |kids: &Kids, kid| kids.contains(kid),
        };
        let (lookup, counters) = (Arc::new(lookup), Counters::new());
        let keys = RemoteKeys::new(&outbound, limits, shared, lookup, &format, counters.clone());
        Self {
            keys: Arc::new(keys.unwrap()),
            counters,
            clock,
            runtime: Builder::new_current_thread().build().unwrap(),
        }
    }

    fn ask(&self, uri: &str, kid: Option<&str>) -> Result<Vec<String>, FetchError> {
        let source = KeysSource::JwksUri(KeysUri::parse(uri).unwrap());
        self.ask_source(&source, kid)
    }

    fn ask_source(
        &self,
        source: &KeysSource,
        kid: Option<&str>,
    ) -> Result<Vec<String>, FetchError> {
        let kids = self.runtime.block_on(self.keys.keys(source, kid))?;
        Ok(kids.iter().cloned().collect())
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn counted(&self) -> (u64, u64) {
        let failed = FetchError::CODES.map(|code| self.counters.failed(code));
        (self.counters.fetched(), failed.iter().sum())
    }
}

fn uri(site: &Site, host: &str) -> String {
    format!("https://{host}:{}/jwks?of=me", site.port)
}

/// What a site's answer comes to.
fn asked(answer: impl Into<String>) -> Result<Vec<String>, FetchError> {
    let answer = answer.into();
    let site = Site::new(&["keys.example"], move |_, out| write(out, &answer));
    let asker = Asker::new();
    let result = asker.ask(&uri(&site, "keys.example"), None);
    assert_eq!(site.requests(), 1);
    result
}

#[test]
fn keys_are_fetched_over_tls() {
    assert_eq!(asked(ok("", &keys(&["a", "b"]))).unwrap(), ["a", "b"]);
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json; charset=utf-8\r\n\
        transfer-encoding: chunked\r\n\r\nb\r\n{\"keys\":[]}\r\n0\r\n\r\n";
    assert!(asked(chunked).unwrap().is_empty());
    let until_the_end = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
        content-encoding: identity\r\n\r\n{\"keys\":[]}";
    assert!(asked(until_the_end).unwrap().is_empty());
}

#[test]
fn nothing_but_an_answer_of_json_is_taken() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = format!(
            "HTTP/1.1 {status} x\r\nlocation: https://keys.example/\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(asked(elsewhere), Err(FetchError::Redirected(status)));
    }
    for status in [201, 204, 401, 404, 500, 503] {
        let answer = ok("", &keys(&["a"])).replace("200 OK", &format!("{status} x"));
        assert_eq!(asked(answer), Err(FetchError::Status(status)), "{status}");
    }
    let page = ok("", "<html>").replace("application/json", "text/html");
    assert_eq!(asked(page), Err(FetchError::ContentType));
    let squeezed = ok("content-encoding: gzip\r\n", "x");
    assert_eq!(asked(squeezed), Err(FetchError::Encoded));
    for body in [
        "",
        "null",
        "{\"keys\":",
        "{\"keys\":[{}]}",
        &keys(&["a"; 101]),
    ] {
        let error = asked(ok("", body)).unwrap_err();
        assert_eq!(error.code(), "unusable", "{body}: {error}");
    }
    let garbage = asked("SSH-2.0-x\r\n\r\n").unwrap_err();
    assert_eq!(garbage.code(), "protocol", "{garbage}");
    let cut_off = ok("", &keys(&["a"])).replace("}]}", "");
    let error = asked(cut_off).unwrap_err();
    assert_eq!(error.code(), "unreachable", "{error}");
}

#[test]
fn no_more_is_read_than_the_limits() {
    let limit = usize::try_from(ANSWER_BYTES).unwrap();
    let padded = |bytes| format!("{{\"keys\":[]}}{}", " ".repeat(bytes - 11));
    assert!(asked(ok("", &padded(limit))).unwrap().is_empty());
    assert_eq!(asked(ok("", &padded(limit + 1))), Err(FetchError::TooLarge));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    // One byte too many that was not announced, and one that was and never comes.
    let body = padded(limit + 1);
    let unannounced = format!("{head}\r\n{body}");
    assert_eq!(asked(unannounced), Err(FetchError::TooLarge));
    let announced = format!("{head}content-length: {}\r\n\r\n", body.len());
    assert_eq!(asked(announced), Err(FetchError::TooLarge));
    let endless = [
        // A body, announced or not, and the same in chunks: written until nobody reads it.
        (format!("{head}\r\n"), "a".repeat(1000)),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\n"),
            format!("3e8\r\n{}\r\n", "a".repeat(1000)),
        ),
        // Headers, many or one.
        (head.to_owned(), "x-header: value\r\n".repeat(10)),
        (format!("{head}x-header: "), "a".repeat(1000)),
    ];
    for (begin, more) in endless {
        let what = begin.clone();
        let site = Site::new(&["keys.example"], move |_, out| {
            write(out, &begin);
            while out.write_all(more.as_bytes()).is_ok() {}
        });
        let error = Asker::new().ask(&uri(&site, "keys.example"), None);
        let code = error.as_ref().map_err(FetchError::code);
        assert!(
            matches!(code, Err("too_large" | "protocol")),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn a_server_proves_its_name() {
    let code = |site: &Site, host: &str| {
        let asker = Asker::new();
        let error = asker.ask(&uri(site, host), None).unwrap_err();
        assert_eq!(asker.counters.failed(error.code()), 1);
        assert_eq!(site.requests(), 0, "nothing was said before");
        (error.code(), error.to_string())
    };
    let good = |_: &str, out: &mut dyn Write| write(out, &ok("", &keys(&["a"])));
    let site = Site::new(&["keys.example", "127.0.0.1"], good);
    let (tls, text) = code(&site, "other.example");
    assert_eq!(tls, "tls", "{text}");
    assert!(
        text.contains("NotValidForName") || text.contains("not valid for"),
        "{text}"
    );
    let expired = Site::with(Certificate::Expired, &["keys.example"], good);
    let (tls, text) = code(&expired, "keys.example");
    assert!(tls == "tls" && text.contains("xpired"), "{text}");
    let nobodys = Site::with(Certificate::SelfSigned, &["keys.example"], good);
    assert_eq!(code(&nobodys, "keys.example").0, "tls");
    let plain = Site::plain(ok("", &keys(&["a"])));
    let (tls, text) = code(&plain, "keys.example");
    assert!(matches!(tls, "tls" | "unreachable"), "{tls} {text}");
    // An address can be a name too.
    let by_address = Asker::new().ask(&uri(&site, "127.0.0.1"), None);
    assert_eq!(by_address.unwrap(), ["a"]);
}

#[test]
fn nobody_is_asked_who_is_not_public_or_allowed() {
    let site = Site::new(&["keys.example", "127.0.0.1"], |_, out| {
        write(out, &ok("", &keys(&["a"])));
    });
    // TEST-NET would be refused as well: this is a public address, and is never connected to.
    let public = IpAddr::from([1, 1, 1, 1]);
    let private = IpAddr::from([10, 0, 0, 1]);
    let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    for (addresses, allow, refused) in [
        (vec![LOCALHOST], &[][..], LOCALHOST),
        (vec![mapped], &[], mapped),
        (vec![public, LOCALHOST], &[], LOCALHOST),
        (vec![LOCALHOST, public], &[], LOCALHOST),
        (vec![LOCALHOST, private], &["127.0.0.1"], private),
        (
            [vec![public; 40], vec![private]].concat(),
            &["127.0.0.1"],
            private,
        ),
    ] {
        let asker = Asker::with(Limits::default(), allow, move |_| Ok(addresses.clone()));
        let error = asker.ask(&uri(&site, "keys.example"), None).unwrap_err();
        assert_eq!(error, FetchError::AddressRefused(refused));
    }
    // An address in the URI passes the same check, and no resolver.
    let none = Asker::with(Limits::default(), &[], |name| panic!("{name} is looked up"));
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let error = none.ask(&uri(&site, host), None).unwrap_err();
        assert_eq!(error.code(), "address_refused", "{host}");
    }
    // A name without any address.
    let nowhere = Asker::with(Limits::default(), &[], |_| Ok(vec![]));
    let error = nowhere.ask(&uri(&site, "keys.example"), None);
    assert_eq!(error, Err(FetchError::Unresolved));
    let unknown = Asker::with(Limits::default(), &[], |_| {
        Err(io::ErrorKind::NotFound.into())
    });
    let error = unknown.ask(&uri(&site, "keys.example"), None);
    assert_eq!(error, Err(FetchError::Unresolved));
    assert_eq!(site.connections(), 0);
}

#[test]
fn a_name_is_resolved_once_and_the_address_pinned() {
    let site = Site::new(&["keys.example"], |_, out| {
        write(out, &ok("", &keys(&["a"])))
    });
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lookups);
    // It rebinds: a second answer is another.
    let asker = Asker::with(Limits::default(), &["127.0.0.1"], move |name| {
        assert_eq!(name, "keys.example");
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![LOCALHOST]),
            _ => Ok(vec![IpAddr::from([169, 254, 169, 254])]),
        }
    });
    let place = uri(&site, "keys.example");
    assert_eq!(asker.ask(&place, None).unwrap(), ["a"]);
    assert_eq!((lookups.load(Ordering::SeqCst), site.connections()), (1, 1));
    // The next connection is made to what was checked for it.
    asker.pass(600);
    assert_eq!(asker.ask(&place, Some("a")).unwrap(), ["a"], "stale");
    assert_eq!(asker.counters.failed("address_refused"), 1);
    assert_eq!((lookups.load(Ordering::SeqCst), site.connections()), (2, 1));
}

#[test]
fn whoever_is_slow_meets_the_deadline() {
    let gate = Gate::default();
    let held = gate.clone();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    // Bytes come again and again, so that no single read takes long.
    let slow = Site::new(&["slow.example"], move |path, out| {
        let (begin, more) = match path {
            "/nothing" => (String::new(), ""),
            "/headers" => (format!("{head}x-header: "), "x"),
            _ => (format!("{head}content-length: 100000\r\n\r\n"), " "),
        };
        write(out, &begin);
        while !held.wait_for(Duration::from_millis(20)) {
            write(out, more);
        }
    });
    let deadline = Duration::from_millis(200);
    for path in ["nothing", "headers", "body"] {
        let asker = Asker::within(deadline);
        let time = Stopwatch::start();
        let place = format!("https://slow.example:{}/{path}", slow.port);
        let error = asker.ask(&place, None);
        assert_eq!(error, Err(FetchError::TimedOut), "{path}");
        let took = time.elapsed();
        assert!(
            took >= deadline && took < Duration::from_secs(20),
            "{took:?}"
        );
    }
    assert_eq!(slow.requests(), 3);
    // One who accepts and says nothing, not even TLS.
    let held = gate.clone();
    let silent = Site::silent(move || held.wait());
    let asker = Asker::within(deadline);
    let error = asker.ask(&uri(&silent, "slow.example"), None);
    assert_eq!(error, Err(FetchError::TimedOut));
    gate.open();
}

#[test]
fn a_resolver_that_hangs_delays_its_host_alone() {
    let gate = Gate::default();
    let held = gate.clone();
    let limits = Limits {
        deadline: Duration::from_secs(2),
        threads: 2,
        per_host: 1,
        ..Limits::default()
    };
    let asker = Asker::with(limits, &["127.0.0.1"], move |name| {
        if name == "stuck.example" {
            held.wait();
        }
        Ok(vec![LOCALHOST])
    });
    let fast = Site::new(&["fast.example"], |_, out| {
        write(out, &ok("", &keys(&["a"])))
    });
    let stuck = uri(&fast, "stuck.example");
    assert_eq!(asker.ask(&stuck, None), Err(FetchError::TimedOut));
    // One thread is lost to it, and one only, whoever asks for it again.
    asker.pass(10);
    assert_eq!(asker.ask(&stuck, None), Err(FetchError::TimedOut));
    assert_eq!(asker.ask(&uri(&fast, "fast.example"), None).unwrap(), ["a"]);
    assert_eq!(fast.connections(), 1);
    gate.open();
}

#[test]
fn a_slow_host_delays_itself_alone() {
    let gate = Gate::default();
    let held = gate.clone();
    let (said, heard) = channel();
    let slow = Site::new(&["slow.example"], move |path, out| {
        said.send(path.to_owned()).unwrap();
        held.wait();
        write(out, &ok("", &keys(&["slow"])));
    });
    let fast = Site::new(&["fast.example"], |_, out| {
        write(out, &ok("", &keys(&["fast"])))
    });
    let limits = Limits {
        deadline: Duration::from_secs(600),
        threads: 2,
        per_host: 1,
        ..Limits::default()
    };
    let asker = Asker::with(limits, &["127.0.0.1"], |_| Ok(vec![LOCALHOST]));
    asker.runtime.block_on(async {
        let mut slows = JoinSet::new();
        for place in ["1", "2", "3"] {
            let place = format!("https://slow.example:{}/{place}", slow.port);
            let source = KeysSource::JwksUri(KeysUri::parse(&place).unwrap());
            let keys = Arc::clone(&asker.keys);
            slows.spawn(async move { keys.keys(&source, None).await });
        }
        tokio::task::yield_now().await;
        let first = tokio::task::spawn_blocking(move || (heard.recv().unwrap(), heard));
        let (first, heard) = first.await.unwrap();
        assert!(["/1", "/2", "/3"].contains(&&*first));
        for place in 0..20 {
            let place = format!("https://fast.example:{}/{place}", fast.port);
            let source = KeysSource::JwksUri(KeysUri::parse(&place).unwrap());
            assert!(
                asker
                    .keys
                    .keys(&source, None)
                    .await
                    .unwrap()
                    .contains("fast")
            );
        }
        assert!(heard.try_recv().is_err(), "one of them at a time");
        gate.open();
        while let Some(slow) = slows.join_next().await {
            assert!(slow.unwrap().unwrap().contains("slow"));
        }
    });
}

#[test]
fn many_who_ask_at_once_are_one_request() {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::new(&["keys.example"], move |_, out| {
        held.wait();
        write(out, &ok("", &keys(&["a"])));
    });
    let asker = Asker::within(Duration::from_secs(600));
    let source = KeysSource::JwksUri(KeysUri::parse(&uri(&site, "keys.example")).unwrap());
    asker.runtime.block_on(async {
        let mut callers = JoinSet::new();
        let mut call = |kid| {
            let (keys, source) = (Arc::clone(&asker.keys), source.clone());
            callers.spawn(async move { keys.keys(&source, Some(kid)).await })
        };
        let first = call("a");
        for caller in 0..100 {
            call(["a", "b"][caller % 2]);
        }
        // Every caller runs as far as it can before the gate is opened: a turn runs one at least.
        for _ in 0..=100 {
            tokio::task::yield_now().await;
        }
        // The one who began it gives up, which takes nothing from the others.
        first.abort();
        gate.open();
        let mut answers = 0;
        while let Some(answer) = callers.join_next().await {
            if let Ok(answer) = answer {
                assert_eq!(*answer.unwrap(), Kids::from(["a".to_owned()]));
                answers += 1;
            }
        }
        assert_eq!(answers, 100);
    });
    assert_eq!((site.requests(), asker.counted()), (1, (1, 0)));
}

#[test]
fn an_unknown_kid_fetches_once_in_a_cool_down() {
    let published = Arc::new(Mutex::new(vec!["old"]));
    let now = Arc::clone(&published);
    let site = Site::new(&["keys.example"], move |_, out| {
        write(out, &ok("", &keys(&now.lock().unwrap())));
    });
    let asker = Asker::new();
    let place = uri(&site, "keys.example");
    let ask = |kid| asker.ask(&place, Some(kid)).unwrap();
    assert_eq!(ask("old"), ["old"]);
    assert_eq!(ask("old"), ["old"]);
    assert_eq!(site.requests(), 1);
    // They rotate: the first assertion with the new key finds it.
    *published.lock().unwrap() = vec!["new", "old"];
    assert_eq!(ask("new"), ["new", "old"]);
    assert_eq!(site.requests(), 2);
    // Whoever makes names up has nothing fetched for 30 seconds.
    for made_up in ["x", "y", "z"] {
        assert_eq!(ask(made_up), ["new", "old"]);
    }
    asker.pass(29);
    assert_eq!(ask("x"), ["new", "old"]);
    assert_eq!(site.requests(), 2);
    asker.pass(1);
    assert_eq!(ask("x"), ["new", "old"]);
    assert_eq!(ask("y"), ["new", "old"]);
    assert_eq!(site.requests(), 3);
    // The first fetch for a made-up name is the only one: it is not repeated for being in vain.
    let other = format!("{place}&other");
    assert_eq!(asker.ask(&other, Some("x")).unwrap(), ["new", "old"]);
    assert_eq!(site.requests(), 4);
    // A set without a key takes it back when it is fetched.
    *published.lock().unwrap() = vec![];
    asker.pass(600);
    assert!(ask("old").is_empty());
    assert_eq!(asker.counted(), (5, 0));
}

#[test]
fn an_outage_is_survived_by_known_kids() {
    let up = Arc::new(Mutex::new(true));
    let now = Arc::clone(&up);
    let site = Site::new(&["keys.example"], move |_, out| {
        let answer = match *now.lock().unwrap() {
            true => ok("cache-control: max-age=100\r\n", &keys(&["a"])),
            false => "HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        write(out, &answer);
    });
    let asker = Asker::new();
    let place = uri(&site, "keys.example");
    assert_eq!(asker.ask(&place, None).unwrap(), ["a"]);
    *up.lock().unwrap() = false;
    asker.pass(100);
    let down = Err(FetchError::Status(503));
    assert_eq!(asker.ask(&place, Some("a")).unwrap(), ["a"]);
    assert_eq!(asker.ask(&place, Some("a")).unwrap(), ["a"]);
    assert_eq!(asker.ask(&place, Some("b")), down);
    assert_eq!(asker.counters.served_stale(), 2);
    assert_eq!(site.requests(), 2, "it is left alone for 10 seconds");
    asker.pass(10);
    assert_eq!(asker.ask(&place, Some("b")), down);
    assert_eq!(site.requests(), 3);
    asker.pass(86_400);
    assert_eq!(asker.ask(&place, Some("a")), down);
    *up.lock().unwrap() = true;
    assert_eq!(asker.ask(&place, Some("a")), down, "not yet");
    asker.pass(300);
    assert_eq!(asker.ask(&place, Some("a")).unwrap(), ["a"]);
    assert_eq!(asker.counted(), (2, 3));
    assert_eq!(asker.counters.failed("status"), 3);
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let port = Arc::new(AtomicUsize::new(0));
    let at = Arc::clone(&port);
    let site = Site::new(&["issuer.example"], move |path, out| {
        let base = format!("https://issuer.example:{}", at.load(Ordering::SeqCst));
        let metadata = |issuer: &str, jwks: &str| {
            let jwks_uri = jwks.replace("BASE", &base);
            let issuer = format!("{base}{issuer}");
            let metadata = serde_json::json!({ "issuer": issuer, "jwks_uri": jwks_uri, "x": [1] });
            ok("cache-control: max-age=86400\r\n", &metadata.to_string())
        };
        let answer = match path {
            "/.well-known/openid-configuration" => metadata("", "BASE/keys"),
            "/.well-known/oauth-authorization-server/tenant" => metadata("/tenant", "BASE/keys"),
            "/slash/.well-known/openid-configuration" => metadata("/slash/", "BASE/keys"),
            "/other/.well-known/openid-configuration" => metadata("", "BASE/keys"),
            "/http/.well-known/openid-configuration" => metadata("/http", "http://a.example/"),
            "/empty/.well-known/openid-configuration" => ok("", "{}"),
            "/down/.well-known/openid-configuration" => {
                "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            "/keys" => ok("cache-control: max-age=86400\r\n", &keys(&["a"])),
            _ => "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        write(out, &answer);
    });
    port.store(site.port.into(), Ordering::SeqCst);
    let asker = Asker::new();
    let ask = |path: &str| {
        let issuer = format!("https://issuer.example:{}{path}", site.port);
        let source = KeysSource::Issuer(IssuerUri::parse(&issuer).unwrap());
        asker.ask_source(&source, Some("a"))
    };
    assert_eq!(ask("").unwrap(), ["a"]);
    assert_eq!(ask("").unwrap(), ["a"]);
    assert_eq!(site.requests(), 2, "both are remembered");
    assert_eq!(ask("/tenant").unwrap(), ["a"]);
    assert_eq!(site.requests(), 4, "asked in two places, keys known");
    assert_eq!(ask("/slash/").unwrap(), ["a"]);
    // To the letter.
    assert_eq!(ask("/slash"), Err(FetchError::OtherIssuer));
    assert_eq!(ask("/"), Err(FetchError::OtherIssuer));
    assert_eq!(ask("/other"), Err(FetchError::OtherIssuer));
    assert_eq!(ask("/http").unwrap_err().code(), "unusable");
    assert_eq!(ask("/empty").unwrap_err().code(), "unusable");
    assert_eq!(ask("/nothing"), Err(FetchError::Status(404)));
    let before = site.requests();
    assert_eq!(ask("/down"), Err(FetchError::Status(500)));
    assert_eq!(site.requests(), before + 1, "an error is not asked around");
    // Metadata is fetched each hour, whatever it says.
    let before = site.requests();
    asker.pass(3600);
    assert_eq!(ask("").unwrap(), ["a"]);
    assert_eq!(site.requests(), before + 1);
}

#[test]
fn a_server_that_trusts_nobody_says_so() {
    let with = |ca_file: PathBuf| {
        let outbound = Outbound {
            allow: vec![],
            ca_file: Some(ca_file),
        };
        let format = Format {
            parse,
            has_kid: |kids: &Kids, kid| kids.contains(kid),
        };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        RemoteKeys::new(
            &outbound,
            Limits::default(),
            clock,
            system_lookup(),
            &format,
            Counters::new(),
        )
    };
    assert!(with(ca_file()).is_ok());
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for bad in [empty, directory.path().join("missing.pem")] {
        let error = with(bad.clone()).unwrap_err().to_string();
        assert!(error.contains(&*bad.to_string_lossy()), "{error}");
    }
    assert!(
        system_lookup()("localhost")
            .unwrap()
            .iter()
            .all(IpAddr::is_loopback)
    );
}
