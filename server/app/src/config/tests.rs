//! Tests of the configuration.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

const FULL: &str = r#"
data_dir = "/var/lib/writ"
issuer = "https://login.example.com/t1"

[http]
listen = "0.0.0.0:443"
workers = 2
request_timeout = "500s"
max_body = "2MiB"

[tls]
cert_file = "tls/cert.pem"
key_file = "/etc/tls/key.pem"

[proxies]
trusted = ["10.0.0.0/8", "fd00::/8"]

[store]
engine = "sled"

[disk]
issuance_floor = 1073741824

[log]
format = "json"
filter = "warn"
"#;

/// A configuration file in its own directory.
struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("writ.toml"), text).unwrap();
        Self { directory }
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let path = self.directory.path().join("writ.toml");
        let environment = environment.iter().copied().collect();
        Config::load(&Inputs {
            file: Some(&path),
            environment,
            ..Inputs::default()
        })
    }
}

fn load(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment.iter().copied().collect();
    Config::load(&Inputs {
        environment,
        ..Inputs::default()
    })
}

/// The errors of a file, without the directory it lies in.
fn errors(text: &str) -> String {
    let file = File::new(text);
    let error = file.load(&[]).unwrap_err().to_string();
    error.replace(&format!("{}/", file.directory.path().display()), "")
}

#[test]
fn a_file_is_read() {
    let file = File::new(FULL);
    let config = file.load(&[]).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/writ"));
    assert_eq!(config.issuer.as_ref().unwrap().path(), "/t1");
    assert_eq!(config.http.listen, "0.0.0.0:443".parse().unwrap());
    assert_eq!(config.http.request_timeout, Duration::from_secs(500));
    assert_eq!(config.http.max_body, ByteSize(2 << 20));
    assert_eq!(
        config.tls.cert_file,
        Some(file.directory.path().join("tls/cert.pem"))
    );
    assert_eq!(config.tls.key_file, Some(PathBuf::from("/etc/tls/key.pem")));
    assert_eq!(config.proxies.trusted.len(), 2);
    assert_eq!(config.store.engine, Engine::Sled);
    assert_eq!(config.disk.issuance_floor, ByteSize(1 << 30));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.source("log.filter"), Source::File(26));
    assert_eq!(config.source("ops.listen"), Source::Default);
    assert!(config.check_serve().is_ok());
}

#[test]
fn later_sources_win() {
    let file = File::new(FULL);
    let config = file
        .load(&[
            ("WRIT_HTTP_LISTEN", "127.0.0.1:1"),
            ("WRIT_HTTP_PLAIN", "true"),
            ("WRIT_PROXIES_TRUSTED", "192.0.2.1, ::1"),
            ("WRIT_ISSUER", ""),
            ("WRIT_CONFIG", "somewhere"),
            ("WRIT_HTTP_SHUTDOWN_GRACE", "250ms"),
        ])
        .unwrap();
    assert_eq!(config.http.listen, "127.0.0.1:1".parse().unwrap());
    assert!(config.http.plain);
    assert_eq!(config.proxies.trusted.len(), 2);
    assert_eq!(config.issuer, None);
    assert_eq!(config.http.shutdown_grace, Duration::from_millis(250));
    assert_eq!(config.source("http.listen"), Source::Environment);

    let config = Config::load(&Inputs {
        defaults: &[("ops.listen", "127.0.0.1:0"), ("log.filter", "debug")],
        environment: [("WRIT_LOG_FILTER", "warn"), ("WRIT_DATA_DIR", "a")]
            .into_iter()
            .collect(),
        command_line: &[("data_dir", "b".to_owned())],
        file: None,
    })
    .unwrap();
    assert_eq!(config.ops.listen.port(), 0);
    assert_eq!(config.log.filter, "warn");
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(config.source("data_dir"), Source::CommandLine);
}

#[test]
fn unknown_names_are_errors_that_say_where_and_what_was_meant() {
    assert_eq!(
        errors(
            "issuer = \"https://a\"\n[http]\nlisten = \"[::1]:1\"\nlisen = 3\n[htp]\nplain = true\n"
        ),
        "writ.toml:4: unknown key `http.lisen`; did you mean `http.listen`?\n\
         writ.toml:6: unknown key `htp.plain`; did you mean `http.plain`?"
    );
    assert_eq!(
        errors("data-dir = \"x\"\n\"completely.different\" = 1\n[http.listen]\nport = 1\n"),
        "writ.toml:1: unknown key `data-dir`; did you mean `data_dir`?\n\
         writ.toml:2: unknown key `completely.different`; `writ config show` lists all\n\
         writ.toml:4: unknown key `http.listen.port`; did you mean `http.listen`?"
    );
    assert_eq!(
        load(&[
            ("WRIT_HTTP_LISEN", "x"),
            ("WRIT_LISTEN_ADDRESS_OF_HTTP", "x")
        ])
        .unwrap_err()
        .to_string(),
        "WRIT_HTTP_LISEN: unknown variable; did you mean `WRIT_HTTP_LISTEN`?\n\
         WRIT_LISTEN_ADDRESS_OF_HTTP: unknown variable; `writ config show` lists all"
    );
}

#[test]
fn bad_values_are_errors_that_say_what_would_do() {
    assert_eq!(
        errors(
            "[http]\nlisten = \"localhost\"\nplain = 1\nworkers = -1\nrequest_timeout = 1.5\n\
             max_body = \"1MB\"\n[store]\nengine = \"postgres\"\n[proxies]\n\
             trusted = [\"10.1.0.0/8\"]\n"
        ),
        "writ.toml:2: must be an address and a port, such as \"127.0.0.1:9443\" or \"[::]:9443\"\n\
         writ.toml:3: must be true or false\n\
         writ.toml:4: `http.workers` is of a type that no key has\n\
         writ.toml:5: `http.request_timeout` is of a type that no key has\n\
         writ.toml:6: must be a size, such as 65536, \"64KiB\", \"1MiB\" or \"2GiB\"\n\
         writ.toml:8: must be one of redb, sled\n\
         writ.toml:10: `10.1.0.0/8`: it has bits set outside its prefix: did you mean 10.0.0.0/8?"
    );
    assert!(errors("a = \n").starts_with("writ.toml:1: not TOML: "));
    assert!(errors("[http]\nworkers = 1\nworkers = 2\n").starts_with("writ.toml:3: not TOML: "));
    let missing = Path::new("/nonexistent/writ.toml");
    let error = Config::load(&Inputs {
        file: Some(missing),
        ..Inputs::default()
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/writ.toml: cannot be read"),
        "{error}"
    );
}

#[test]
fn plain_http_off_loopback_needs_a_proxy() {
    assert!(load(&[("WRIT_HTTP_PLAIN", "true")]).is_ok());
    let open = [
        ("WRIT_HTTP_PLAIN", "true"),
        ("WRIT_HTTP_LISTEN", "0.0.0.0:80"),
    ];
    let error = load(&open).unwrap_err().to_string();
    assert!(error.contains("proxies.trusted"), "{error}");
    assert!(load(&[open[0], open[1], ("WRIT_PROXIES_TRUSTED", "10.0.0.1")]).is_ok());
    assert!(load(&[open[0], ("WRIT_ADMIN_LISTEN", "0.0.0.0:81")]).is_err());
    assert!(load(&[open[0], ("WRIT_HTTP_LISTEN", "[::ffff:127.0.0.1]:80")]).is_ok());
}

#[test]
fn contradictions_are_errors() {
    for (environment, word) in [
        (&[("WRIT_TLS_CERT_FILE", "a")][..], "tls.key_file"),
        (&[("WRIT_ADMIN_LISTEN", "127.0.0.1:9443")], "http.listen"),
        (&[("WRIT_OPS_LISTEN", "127.0.0.1:9443")], "ops.listen"),
        (&[("WRIT_HTTP_REQUEST_TIMEOUT", "10ms")], "1s to 1h"),
        (&[("WRIT_HTTP_MAX_BODY", "1KiB")], "64 KiB"),
        (&[("WRIT_ISSUER", "http://localhost:1")], "https://"),
        (
            &[
                ("WRIT_TLS_CLIENT_CERTIFICATES", "true"),
                ("WRIT_HTTP_PLAIN", "true"),
            ],
            "proxies.trusted",
        ),
        (&[("WRIT_TLS_CLIENT_CRL_FILE", "a")], "tls.client_ca_file"),
    ] {
        let error = load(environment).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = load(&[]).unwrap().check_serve().unwrap_err().to_string();
    assert!(
        error.contains("issuer:") && error.contains("tls.cert_file"),
        "{error}"
    );
}

#[test]
fn an_issuer_is_a_url_that_can_be_appended_to() {
    for good in [
        "https://a",
        "http://localhost:9443",
        "https://a.example/t/1",
        "https://[::1]:1",
    ] {
        assert!(Issuer::parse(good).is_ok(), "{good}");
    }
    assert_eq!(Issuer::parse("https://a").unwrap().path(), "");
    for bad in [
        "",
        "a",
        "https://",
        "https:///x",
        "https://a/",
        "https://a?x=1",
        "https://a#x",
        "https://u@a",
        "ftp://a",
        "https://a b",
        "HTTPS://a",
        "https://a//b",
        "https://:1",
        "https://ä",
    ] {
        assert!(Issuer::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_shown_reads_back_the_same_and_hides_the_master_key() {
    let key = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=";
    let config = File::new(FULL).load(&[("WRIT_MASTER_KEY", key)]).unwrap();
    let shown = config.effective_toml();
    assert!(
        !shown.contains(key) && shown.contains("WRIT_MASTER_KEY (hidden)"),
        "{shown}"
    );
    assert!(!format!("{config:?}").contains(key));
    assert!(
        !format!(
            "{:?}",
            [("WRIT_MASTER_KEY", key)]
                .into_iter()
                .collect::<Environment>()
        )
        .contains(key)
    );
    let again = File::new(&shown).load(&[]).unwrap();
    for (name, _) in KEYS {
        assert_eq!(again.show(name), config.show(name), "{name}");
        assert!(shown.contains(name.rsplit('.').next().unwrap()), "{name}");
    }
    assert!(
        shown.contains("engine = \"sled\"  # file, line 19; "),
        "{shown}"
    );
    assert!(shown.contains("# listen is not set; "), "{shown}");
}

#[test]
fn the_master_key_comes_from_the_environment_or_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().display().to_string();
    let config = load(&[("WRIT_DATA_DIR", &data_dir)]).unwrap();
    let path = config.master_key_path().unwrap();
    assert_eq!(path, directory.path().join("master.key"));
    assert!(matches!(
        config.master_key(),
        Err(MasterKeyError::Io { .. })
    ));
    let made = MasterKey::create_file(&path, &crate::clock::SystemRandom).unwrap();
    assert_eq!(config.master_key().unwrap().expose(), made.expose());
    let text = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let config = load(&[("WRIT_DATA_DIR", &data_dir), ("WRIT_MASTER_KEY", text)]).unwrap();
    assert_eq!(config.master_key_path(), None);
    assert_eq!(config.master_key().unwrap().expose(), &[7; 32]);
    let config = load(&[("WRIT_MASTER_KEY", "")]).unwrap();
    assert!(
        config.master_key().is_err(),
        "an empty variable is not a way to another key"
    );
}

#[test]
fn no_two_keys_share_a_variable() {
    let mut names: Vec<_> = KEYS.iter().map(|(key, _)| variable(key)).collect();
    names.extend(OTHER_VARIABLES.map(str::to_owned));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
}

proptest! {
    #[test]
    fn no_file_panics(text in "[ -~\n]{0,200}", key in "[a-z_.]{1,16}", value in "[ -~]{0,20}") {
        let mut problems = Vec::new();
        let path = Path::new("writ.toml");
        Config::default().take_file(path, &text, &mut problems);
        Config::default().take_file(path, &format!("{key} = {value}"), &mut problems);
        let known = KEYS[key.len() % KEYS.len()].0;
        Config::default().take_file(path, &format!("{known} = {value}"), &mut problems);
        let raw = Raw { item: Item::Text(value), base: None };
        let _ = Config::default().set(known, &raw);
    }
}

#[test]
fn witnesses_are_a_url_and_a_key() {
    use writ_ledger::note::{KeyKind, NoteKey};
    let key = |name: &str, kind| {
        NoteKey::new(kind, name, &[5; 32])
            .unwrap()
            .vkey()
            .to_string()
    };
    let (one, two) = (
        key("w.example/1", KeyKind::Witness),
        key("w.example/2", KeyKind::Witness),
    );
    let list = format!("https://w.example/ {one}, http://localhost:9445/x  {two}");
    let config = load(&[("WRIT_CHECKPOINT_WITNESSES", &list)]).unwrap();
    let found = &config.checkpoint.witnesses;
    let urls: Vec<&str> = found.iter().map(|witness| &*witness.url).collect();
    assert_eq!(urls, ["https://w.example", "http://localhost:9445/x"]);
    assert_eq!(found[1].vkey.to_string(), two);
    let again = File::new(&config.effective_toml()).load(&[]).unwrap();
    assert_eq!(again.checkpoint.witnesses, *found);

    let log = key("log.example", KeyKind::Log);
    for (list, why) in [
        (
            "https://w.example".to_owned(),
            "must be a URL, a space and the witness's key",
        ),
        (
            format!("w.example {one}"),
            "must be a URL that begins with https://",
        ),
        (
            format!("https://u@w.example {one}"),
            "no query, fragment or user",
        ),
        (
            format!("https://w.example {log}"),
            "the key is that of a log",
        ),
        (
            "https://w.example x".to_owned(),
            "the key is not a verifier key",
        ),
        (
            format!("https://a.example {one}, https://b.example {one}"),
            "has two of the same name",
        ),
    ] {
        let error = load(&[("WRIT_CHECKPOINT_WITNESSES", &list)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    let many: Vec<String> = (0..17)
        .map(|n| {
            format!(
                "https://w.example {}",
                key(&format!("w{n}"), KeyKind::Witness)
            )
        })
        .collect();
    let error = load(&[("WRIT_CHECKPOINT_WITNESSES", &many.join(","))])
        .unwrap_err()
        .to_string();
    assert!(error.contains("must be 16 at most"), "{error}");
}
