//! The program `writ` from the outside: arguments in; output, exit code and files out. A real server
//! is started where a verb talks to one. What the server decides is tested elsewhere.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "cli/audit.rs"]
mod audit;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/log.rs"]
mod log;
#[path = "cli/policy.rs"]
mod policy;
#[path = "cli/protection.rs"]
mod protection;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use writ::clock::Stopwatch;

/// How long anything may take that takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program in a directory, with no variables of ours but those given.
fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writ"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// What a run left behind.
struct Run {
    what: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::finished(what, child.spawn().unwrap())
    }

    /// Waits for the end of a child, which is killed when it does not come.
    fn finished(what: String, child: Child) -> Self {
        let pid = Pid::from_child(&child);
        let (sender, ended) = channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = kill_process(pid, Signal::KILL);
            let said = ended.recv_timeout(PATIENCE);
            panic!("{what} did not end in {PATIENCE:?}: {said:?}");
        });
        let output = output.unwrap();
        Self {
            what,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        let Self {
            what,
            stdout,
            stderr,
            ..
        } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "{what}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }

    #[track_caller]
    fn complains(self, code: i32, of: &str) -> Self {
        let run = self.exits(code);
        let said = run.stderr.contains(of);
        assert!(said, "{}: no {of:?} in {}", run.what, run.stderr);
        assert_eq!(run.stdout, "", "{}", run.what);
        run
    }
}

/// Runs the program in a directory of its own, without a server.
fn writ(arguments: &[&str]) -> Run {
    Run::of(&mut program(&std::env::temp_dir(), arguments))
}

/// A server with its directory. Dropping it kills it.
struct Server {
    directory: TempDir,
    child: Child,
    url: String,
    printed: Vec<String>,
}

impl Server {
    fn start(directory: TempDir, arguments: &[&str]) -> Self {
        let mut command = program(directory.path(), arguments);
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody may be listening any more; the pipe is emptied all the same.
                let _ = sender.send(line);
            }
        });
        // Dropped when this panics, and the child with it.
        let mut server = Self {
            directory,
            child,
            url: String::new(),
            printed: Vec::new(),
        };
        while server.url.is_empty() {
            let line = server.next_line(&lines);
            if let Some(url) = line.strip_prefix("writ: listening on ") {
                server.url = url.to_owned();
            }
        }
        if arguments.contains(&"--demo") {
            server.next_line(&lines);
        }
        server
    }

    fn next_line(&mut self, lines: &Receiver<String>) -> String {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|why| {
            let log = fs::read_to_string(self.path("log")).unwrap();
            panic!("the server says nothing more ({why}): {log}");
        });
        self.printed.push(line.clone());
        line
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Runs a verb beside the server.
    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut program(self.directory.path(), arguments))
    }

    /// The JSON that a verb prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat()).exits(0);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{}: {error}", run.stdout))
    }

    /// What a verb prints for people.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        self.run(arguments).exits(0).stdout
    }

    /// Stops it as an operator does, and gives its directory back.
    fn stop(mut self) -> TempDir {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let watch = Stopwatch::start();
        while self.child.try_wait().unwrap().is_none() {
            assert!(watch.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dev(arguments: &[&str]) -> Server {
    let start = ["dev", "--http", "--listen", "127.0.0.1:0"];
    Server::start(tempfile::tempdir().unwrap(), &[&start, arguments].concat())
}

#[track_caller]
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The verbs that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        // A long description goes on in lines that are indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_verb_has_help_with_an_example() {
    let mut open = vec![Vec::<String>::new()];
    let mut verbs = 0;
    while let Some(path) = open.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = writ(&arguments).exits(0).stdout;
        let below = listed(&help);
        if below.is_empty() {
            verbs += 1;
            assert!(help.contains("Example"), "{path:?}");
            assert!(help.contains("--json"), "{path:?}");
            let called = format!("writ {}", path.join(" "));
            let example = help.split("Example").nth(1).unwrap();
            assert!(example.contains(&called), "{called}: {example}");
        }
        open.extend(
            below
                .into_iter()
                .map(|verb| [path.as_slice(), &[verb]].concat()),
        );
    }
    assert!(verbs > 55, "{verbs}");
}

#[test]
fn wrong_usage_and_configuration_exit_2_and_say_what_is_wrong() {
    writ(&[]).exits(2);
    writ(&["grant", "list"]).complains(2, "unrecognized subcommand 'grant'");
    writ(&["application", "destroy"]).complains(2, "unrecognized subcommand 'destroy'");
    writ(&["role", "create"]).complains(2, "<NAME>");
    writ(&["serve"]).complains(2, "issuer: is not set");
    writ(&["serve", "--config", "/nonexistent/writ.toml"]).complains(2, "cannot be read");
    writ(&["dev", "--http", "--listen", "0.0.0.0:0"]).complains(2, "proxies.trusted");
    writ(&["settings", "set", "lifetime=3"]).complains(2, "unknown field `lifetime`");
    writ(&["settings", "set", "lifetime"]).complains(2, "KEY=VALUE");
    writ(&["token", "revoke", "x.y.z"]).complains(2, "no access token of Writ");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("writ.toml");
    fs::write(&path, "[http]\nlisen = \"127.0.0.1:1\"\n").unwrap();
    let arguments = ["serve", "--config", path.to_str().unwrap()];
    writ(&arguments).complains(2, "did you mean `http.listen`?");
    let mut command = program(directory.path(), &["config", "show"]);
    Run::of(command.env("WRIT_LISTEN", "x")).complains(2, "WRIT_LISTEN: unknown variable");
}

#[test]
fn what_fails_exits_1_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Run::of(&mut program(directory.path(), arguments));
    run(&["application", "list"]).complains(1, "no file of credentials writ-data/admin.json");
    fs::write(
        directory.path().join("a.json"),
        "{\"client_secret\": \"canary\"",
    )
    .unwrap();
    let failed = run(&["role", "list", "--admin-file", "a.json"]);
    let failed = failed.complains(1, "holds no credentials");
    assert!(!failed.stderr.contains("canary"), "{}", failed.stderr);

    // Nothing listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let credentials = format!(
        r#"{{"token_endpoint":"http://127.0.0.1:{port}/oauth2/token","client_id":"a","client_secret":"b"}}"#
    );
    fs::write(directory.path().join("b.json"), credentials).unwrap();
    run(&["role", "list", "--admin-file", "b.json"]).complains(1, "is the server running?");

    let serve = [
        "serve",
        "--http",
        "--issuer",
        "http://localhost:1",
        "--data-dir",
        "d",
    ];
    run(&serve).complains(1, "writ init");
    run(&["admin", "recover", "--data-dir", "d"]).exits(1);
    assert!(
        !directory.path().join("d").exists(),
        "nothing but init and dev creates"
    );
}

#[test]
fn the_configuration_is_shown_without_secrets_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let key = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=";
    let run = |arguments: &[&str]| {
        let mut command = program(directory.path(), arguments);
        Run::of(
            command
                .env("WRIT_MASTER_KEY", key)
                .env("WRIT_HTTP_WORKERS", "3"),
        )
    };
    let shown = run(&["config", "show", "--issuer", "https://a.example"])
        .exits(0)
        .stdout;
    assert!(shown.contains("workers = 3  # environment"), "{shown}");
    assert!(
        shown.contains("issuer = \"https://a.example\"  # command line"),
        "{shown}"
    );
    assert!(
        shown.contains("(hidden)") && !shown.contains(key),
        "{shown}"
    );
    let json = run(&["config", "show", "--json"]).exits(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.pointer("/http/workers"), Some(&3.into()));
    run(&["config", "check"]).complains(2, "issuer: is not set");
    fs::write(
        directory.path().join("writ.toml"),
        "issuer = \"http://a.example\"\n[http]\nplain = true\n",
    )
    .unwrap();
    run(&["config", "check", "--config", "writ.toml"]).exits(0);
}

#[test]
fn version_and_openapi_are_printed() {
    assert!(writ(&["--version"]).exits(0).stdout.starts_with("writ "));
    let version = writ(&["version", "--json"]).exits(0).stdout;
    let version: Value = serde_json::from_str(&version).unwrap();
    assert_eq!(text(&version, "/version"), env!("CARGO_PKG_VERSION"));
    let document = writ(&["openapi"]).exits(0).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(text(&document, "/openapi").starts_with("3."));
}

#[test]
fn dev_says_it_is_ready_and_shows_no_administrator_unless_on_a_terminal() {
    let server = dev(&["--demo"]);
    let [ops, listening, curl] = server.printed.as_slice() else {
        panic!("{:?}", server.printed);
    };
    assert!(ops.starts_with("writ: ops on http://127.0.0.1:"), "{ops}");
    assert!(listening.starts_with("writ: listening on http://localhost:"));
    assert!(
        curl.starts_with("curl ") && curl.contains("/oauth2/token"),
        "{curl}"
    );
    let admin = fs::read_to_string(server.path("writ-data/admin.json")).unwrap();
    let admin: Value = serde_json::from_str(&admin).unwrap();
    let log = fs::read_to_string(server.path("log")).unwrap();
    for said in [&server.printed.join("\n"), &log] {
        assert!(!said.contains(text(&admin, "/client_secret")), "{said}");
    }
    assert_eq!(mode(&server.path("writ-data/admin.json")), 0o600);

    // The demo's file says which scopes to ask for.
    let token = server.says(&["token", "get", "--credentials", "writ-data/demo.json"]);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    let answer = server.json(&["token", "get", "--credentials", "writ-data/demo.json"]);
    assert_eq!(
        text(&answer, "/scope"),
        "courses:publish courses:read-approved"
    );
}

#[test]
fn every_remote_verb_does_its_work() {
    let server = dev(&[]);
    let says = |arguments: &[&str]| server.says(arguments);
    let json = |arguments: &[&str]| server.json(arguments);

    // API resources and scopes.
    let identifier = "https://courses.example/api";
    let api = json(&[
        "api-resource",
        "create",
        identifier,
        "--name",
        "Courses",
        "--algorithm",
        "RS256",
        "--scope",
        "courses:read=See courses",
        "--scope",
        "courses:publish",
        "--reason",
        "an API",
    ]);
    let api = text(&api, "/id");
    assert!(says(&["api-resource", "list"]).contains(identifier));
    let shown = says(&["api-resource", "show", identifier]);
    assert!(shown.contains("courses:read  See courses"), "{shown}");
    let changed = json(&["api-resource", "change", api, "--lifetime", "300"]);
    assert_eq!(
        changed.pointer("/profile/lifetime_seconds"),
        Some(&300.into())
    );
    let changed = json(&["api-resource", "change", api, "--default-lifetime"]);
    assert_eq!(changed.pointer("/profile/lifetime_seconds"), None);
    says(&[
        "api-resource",
        "add-scope",
        api,
        "courses:write",
        "--description",
        "Change courses",
    ]);
    says(&["api-resource", "remove-scope", api, "courses:write"]);
    server
        .run(&["api-resource", "create", identifier, "--name", "Again"])
        .complains(1, "(code identifier_taken)");

    // Roles.
    let role = json(&[
        "role",
        "create",
        "Publisher",
        "courses:read courses:publish",
    ]);
    let role = text(&role, "/id");
    assert!(says(&["role", "list", "--name", "Publisher"]).contains(role));
    says(&["role", "change", role, "--scopes", "courses:publish"]);
    let shown = says(&["role", "show", role]);
    assert!(!shown.contains("courses:read"), "{shown}");

    // Applications, secrets, grants.
    let made = json(&[
        "application",
        "create",
        "Job",
        "--label",
        "team=data",
        "--secret-file",
        "job.json",
    ]);
    assert_eq!(made.pointer("/client_secret"), None);
    assert_eq!(mode(&server.path("job.json")), 0o600);
    let id = text(&made, "/client_id");
    let listed = says(&["application", "list", "--label", "team=data"]);
    assert!(
        listed.starts_with("ID ") && listed.contains("team=data"),
        "{listed}"
    );
    says(&["application", "rename", id, "Nightly job"]);
    says(&["application", "label", id, "stage=prod", "--remove", "team"]);
    let extra = "https://legacy.example";
    says(&[
        "application",
        "change",
        id,
        "--lifetime",
        "120",
        "--extra-audience",
        extra,
    ]);
    says(&["application", "change", id, "--no-extra-audiences"]);
    let shown = json(&["application", "show", id]);
    assert_eq!(text(&shown, "/name"), "Nightly job");
    assert_eq!(
        shown.pointer("/labels").unwrap().to_string(),
        r#"{"stage":"prod"}"#
    );
    assert_eq!(
        shown.pointer("/token_settings/lifetime_seconds"),
        Some(&120.into())
    );
    let version = shown.pointer("/version").unwrap().to_string();
    says(&[
        "application",
        "authorize",
        id,
        identifier,
        "courses:read",
        "courses:publish",
    ]);
    server
        .run(&["application", "rename", id, "Stale", "--if-match", &version])
        .complains(1, "(code version_stale)");
    says(&["application", "change-grant", id, api, "--mode", "rbac"]);
    says(&["application", "assign-role", id, role]);
    let preview = json(&["application", "preview-token", id, "--resource", identifier]);
    assert_eq!(
        text(&preview, "/claims/scope"),
        "courses:publish",
        "{preview}"
    );
    server
        .run(&["role", "remove", role])
        .complains(1, "(code in_use)");

    // Tokens.
    let get = [
        "token",
        "get",
        "--credentials",
        "job.json",
        "--resource",
        identifier,
    ];
    let token = says(&get);
    let token = token.trim();
    assert_eq!(
        json(&["token", "introspect", token]).pointer("/active"),
        Some(&true.into())
    );
    says(&["token", "revoke", token, "--reason", "leaked"]);
    assert_eq!(
        json(&["token", "introspect", token]).pointer("/active"),
        Some(&false.into())
    );
    fs::write(server.path("token"), says(&get)).unwrap();
    let mut own = program(
        server.directory.path(),
        &["token", "revoke", "--credentials", "job.json", "-"],
    );
    let input = fs::File::open(server.path("token")).unwrap();
    Run::of(own.stdin(input)).exits(0);
    let token = fs::read_to_string(server.path("token")).unwrap();
    assert!(says(&["token", "introspect", token.trim()]).contains("active     false"));
    says(&["application", "revoke-tokens", id]);

    // Away with it.
    says(&["application", "unassign-role", id, role]);
    says(&["application", "deauthorize", id, identifier]);
    let second = json(&[
        "application",
        "add-secret",
        id,
        "--expires-at",
        "2999-01-01T00:00:00Z",
        "--idempotency-key",
        "k1",
    ]);
    assert!(text(&second, "/client_secret").starts_with("writ_"));
    server
        .run(&[
            "application",
            "add-secret",
            id,
            "--expires-at",
            "2999-01-01T00:00:00Z",
            "--idempotency-key",
            "k1",
        ])
        .complains(1, "was shown then");
    says(&[
        "application",
        "revoke-secret",
        id,
        text(&second, "/secret_id"),
    ]);
    says(&["application", "disable", id]);
    server.run(&get).complains(1, "(code invalid_client)");
    says(&["application", "enable", id]);
    says(&["application", "remove", id, "--reason", "done"]);
    says(&["role", "remove", role]);
    says(&["api-resource", "remove", api, "--cascade"]);
    let then = says(&["application", "show", id, "--as-of", &version]);
    assert!(then.contains("Nightly job"), "{then}");

    // Settings, keys, events.
    let set = says(&[
        "settings",
        "set",
        "tokens.lifetime_seconds=600",
        "scopes.omitted=all",
    ]);
    assert!(set.contains("tokens.lifetime_seconds=600\n"), "{set}");
    assert!(says(&["settings", "show"]).contains("scopes.omitted=all\n"));
    server
        .run(&["settings", "set", "scopes.omitted=some"])
        .exits(1);
    let key = json(&["signing-key", "make", "ES256"]);
    let kid = text(&key, "/kid");
    assert!(says(&["signing-key", "list"]).contains(kid));
    assert!(says(&["signing-key", "show", kid]).contains("published"));
    server
        .run(&["signing-key", "activate", kid])
        .complains(1, "(code signing_key_too_new)");
    says(&["signing-key", "retire", kid]);
    server
        .run(&["signing-key", "show", "-R0OkC4Ig6XyxVVHZGO8In2YGA"])
        .complains(1, "(code signing_key_unknown)");
    let other = json(&["signing-key", "make", "EdDSA"]);
    says(&["signing-key", "revoke", text(&other, "/kid")]);
    let entity = format!("application/{id}");
    let events = says(&["events", "list", "--entity", &entity, "--json", "--reasons"]);
    let events: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(text(&events[0], "/event/kind"), "application.created");
    assert!(
        events
            .iter()
            .any(|event| event.pointer("/reason") == Some(&"done".into()))
    );
    // Issuances: all that the first secret ever got, though the application is gone.
    let secret = text(&shown, "/secrets/0/id");
    let by_secret = ["issuance", "list", "--credential", secret];
    let got = json(&by_secret);
    let got = got.as_array().unwrap();
    assert!(got.len() >= 2, "{got:?}");
    assert!(got.iter().all(|one| text(one, "/application") == id));
    let since = ["--since", "1h", "--outcome", "granted", "--limit", "1"];
    let table = says(&[&by_secret[..], &since].concat());
    let jti = text(&got[0], "/id");
    assert!(table.starts_with("TIME ") && table.contains(jti), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    let old = [&by_secret[..], &["--until", "1h"]].concat();
    assert_eq!(json(&old), Value::Array(vec![]));
    assert_eq!(json(&["issuance", "show", jti]), got[0]);
    let details = says(&["issuance", "show", jti]);
    assert!(details.contains(secret), "{details}");
    server
        .run(&["issuance", "show", "x"])
        .complains(1, "(code issuance_unknown)");
    server
        .run(&["issuance", "list", "--since", "soon"])
        .complains(2, "how long ago");
    let some = says(&["events", "list", "--from", "2", "--limit", "3"]);
    assert_eq!(some.lines().count(), 4, "{some}");
    assert!(some.lines().nth(1).unwrap().starts_with("2 "), "{some}");
}

#[test]
fn a_list_is_fetched_page_by_page_and_a_closed_pipe_is_no_error() {
    let server = dev(&[]);
    // Through the API itself: a process for each would take longer.
    let token = server.says(&["token", "get"]);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    for number in 0..205 {
        agent
            .post(format!("{}/api/v1/roles", server.url))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .send(format!(r#"{{"name":"role {number}","scopes":[]}}"#))
            .unwrap();
    }
    let all = server.json(&["role", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 205);
    let some = server.says(&["role", "list", "--limit", "101"]);
    assert_eq!(some.lines().count(), 102);
    assert_eq!(
        server.json(&["application", "list", "--name", "nobody"]),
        Value::Array(vec![])
    );

    // Exported, page by page.
    let all = server.says(&["events", "export"]);
    let listed = server.says(&["events", "list", "--json"]);
    assert_eq!(all, listed);
    assert!(all.lines().count() > 205);
    let some = server.says(&[
        "events",
        "export",
        "--from",
        "3",
        "--to",
        "5",
        "--format",
        "cloudevents",
    ]);
    let some: Vec<Value> = some
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<_> = some.iter().map(|event| text(event, "/position")).collect();
    assert_eq!(ids, ["3", "4", "5"]);
    assert!(
        some.iter()
            .all(|event| text(event, "/source") == server.url),
        "{some:?}"
    );
    let export = ["events", "export", "--out", "events.jsonl", "--from", "2"];
    let count = server.json(&export);
    let written = fs::read_to_string(server.path("events.jsonl")).unwrap();
    let rest: String = all
        .lines()
        .skip(2)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(written, rest);
    assert_eq!(
        count.pointer("/events"),
        Some(&written.lines().count().into())
    );
    assert_eq!(
        server.says(&["events", "export", "--from", "5", "--to", "4"]),
        ""
    );

    let mut child = program(server.directory.path(), &["role", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = Run::finished("role list | true".to_owned(), child);
    assert_eq!(ended.exits(0).stderr, "");
}

#[test]
fn tls_of_our_own_making_is_trusted_by_the_credentials_and_by_nothing_else() {
    let start = ["dev", "--listen", "127.0.0.1:0"];
    let server = Server::start(tempfile::tempdir().unwrap(), &start);
    assert!(
        server.url.starts_with("https://localhost:"),
        "{}",
        server.url
    );
    assert!(
        server
            .says(&["application", "list"])
            .contains("Administrator")
    );
    // The certificates of the system do not stand in for those that the credentials name.
    let mut command = program(server.directory.path(), &["application", "list"]);
    Run::of(command.env("SSL_CERT_FILE", "/nonexistent")).exits(0);

    let other = dev(&[]);
    let restarted = Server::start(tempfile::tempdir().unwrap(), &start);
    let foreign = restarted.path("writ-data/tls/cert.pem");
    let list = [
        "application",
        "list",
        "--ca-file",
        foreign.to_str().unwrap(),
    ];
    server.run(&list).complains(1, "--ca-file");
    // Without TLS there is nothing to trust.
    other.run(&list).exits(0);
}

/// The stream goes on through a restart of the server, and no event is missed or shown twice. A
/// follower does not hold up the stop.
#[test]
fn events_are_followed_through_a_restart() {
    let server = dev(&[]);
    let admin = fs::read_to_string(server.path("writ-data/admin.json")).unwrap();
    let head = server.says(&["events", "list", "--json"]).lines().count() as u64;
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("admin.json"), admin).unwrap();
    let until = (head + 2).to_string();
    let follow = [
        "events", "follow", "--from", "1", "--limit", &until, "--json",
    ];
    let mut command = program(
        work.path(),
        &[&follow[..], &["--admin-file", "admin.json"]].concat(),
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut positions = Vec::new();
    let mut next = || {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert!(event.pointer("/event/kind").is_some(), "{line}");
        positions.push(event.pointer("/position").unwrap().as_u64().unwrap());
    };
    for _ in 1..head {
        next();
    }
    server.says(&["role", "create", "before"]);
    next();
    let url = server.url.clone();
    let watch = Stopwatch::start();
    let directory = server.stop();
    let delay = Duration::from_secs(20);
    assert!(
        watch.elapsed() < delay,
        "the stream holds up the stop: {:?}",
        watch.elapsed()
    );
    let (_, port) = url.rsplit_once(':').unwrap();
    let listen = format!("127.0.0.1:{port}");
    let server = Server::start(directory, &["dev", "--http", "--listen", &listen]);
    server.says(&["role", "create", "after"]);
    // The start, and the role.
    for _ in 0..2 {
        next();
    }
    assert_eq!(positions, (1..head + 3).collect::<Vec<_>>());
    let followed = Run::finished("events follow".to_owned(), child).exits(0);
    assert!(
        followed.stderr.contains("opened again"),
        "{}",
        followed.stderr
    );
    let table = server.says(&["events", "follow", "--from", "0", "--limit", "2"]);
    assert!(
        table.starts_with("POSITION ") && table.lines().count() == 3,
        "{table}"
    );
    let refused = ["events", "follow", "--admin-url", &format!("{url}/nowhere")];
    server.run(&refused).complains(1, "(code not_found)");
}

#[test]
fn failures_to_authenticate_are_listed() {
    let server = dev(&[]);
    let wrong =
        r#"{"token_endpoint":"@/oauth2/token","client_id":"nobody","client_secret":"c4n4ry"}"#;
    fs::write(server.path("wrong.json"), wrong.replace('@', &server.url)).unwrap();
    let get = [
        "token",
        "get",
        "--credentials",
        "wrong.json",
        "--resource",
        "a:b",
    ];
    server.run(&get).complains(1, "(code invalid_client)");
    let list = ["issuance", "failures", "--since", "1h"];
    let found = server.json(&list);
    assert_eq!(text(&found, "/0/reason"), "unknown_application");
    assert_eq!(found.pointer("/0/count"), Some(&1.into()));
    let table = server.says(&list);
    assert!(
        table.starts_with("MINUTE ") && !table.contains("c4n4ry"),
        "{table}"
    );
    let other = [&list[..], &["--reason", "wrong_secret"]].concat();
    assert_eq!(server.json(&other), Value::Array(vec![]));
}

#[test]
fn init_serve_recover_and_reseal() {
    let directory = tempfile::tempdir().unwrap();
    let config = "data_dir = \"d\"\nissuer = \"http://localhost:1\"\n[http]\nplain = true\n\
                  listen = \"127.0.0.1:0\"\nshutdown_delay = \"0s\"\n[ops]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(directory.path().join("writ.toml"), config).unwrap();
    let run = |directory: &TempDir, arguments: &[&str]| {
        Run::of(&mut program(directory.path(), arguments))
    };
    let made = run(
        &directory,
        &["init", "--config", "writ.toml", "--admin-name", "Ops"],
    )
    .exits(0);
    let admin_file = directory.path().join("d/admin.json");
    let first = fs::read_to_string(&admin_file).unwrap();
    let secret: Value = serde_json::from_str(&first).unwrap();
    assert!(!made.stdout.contains(text(&secret, "/client_secret")));
    assert_eq!(
        (
            mode(&admin_file),
            mode(&directory.path().join("d/master.key"))
        ),
        (0o600, 0o600)
    );
    run(&directory, &["init", "--config", "writ.toml"]).exits(1);

    let serve = ["serve", "--config", "writ.toml"];
    let server = Server::start(directory, &serve);
    let url = server.url.clone();
    // The issuer is not where it listens, as behind a proxy.
    let to = |server: &Server, verb: &[&str]| {
        let file = server.path("d/admin.json");
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("http://localhost:1/", &format!("{}/", server.url));
        fs::write(server.path("here.json"), text).unwrap();
        server.run(&[verb, &["--admin-file", "here.json"]].concat())
    };
    assert!(
        to(&server, &["application", "list"])
            .exits(0)
            .stdout
            .contains("Ops")
    );
    let recover = [
        "admin",
        "recover",
        "--config",
        "writ.toml",
        "--admin-name",
        "Found again",
    ];
    server
        .run(&recover)
        .complains(1, "in use by another process");
    let reseal = [
        "keys",
        "reseal",
        "--data-dir",
        "d",
        "--new-master-key-file",
        "new.key",
    ];
    server.run(&["keys", "new-master-key", "new.key"]).exits(0);
    server
        .run(&["keys", "new-master-key", "new.key"])
        .complains(1, "exists already");
    server
        .run(&reseal)
        .complains(1, "in use by another process");
    assert!(!server.path("d/master.key.new").exists());
    let directory = server.stop();

    run(&directory, &recover).exits(0);
    assert_ne!(
        fs::read_to_string(directory.path().join("d/admin.json")).unwrap(),
        first
    );
    let old_key = fs::read(directory.path().join("d/master.key")).unwrap();
    run(&directory, &reseal).exits(0);
    let new_key = fs::read(directory.path().join("new.key")).unwrap();
    let in_place = directory.path().join("d/master.key");
    assert_eq!(fs::read(&in_place).unwrap(), new_key);
    assert_eq!(mode(&in_place), 0o600);

    let server = Server::start(directory, &serve);
    assert!(
        to(&server, &["application", "list"])
            .exits(0)
            .stdout
            .contains("Found again")
    );
    assert_ne!(server.url, url);
    let directory = server.stop();

    // The old master key opens nothing any more.
    fs::write(directory.path().join("d/master.key"), old_key).unwrap();
    run(&directory, &serve).complains(1, "master key");
}
