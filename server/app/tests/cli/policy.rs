//! `writ policy …`. What needs no server is run as it is, with the module that the repository ships
//! and with hostile ones, so that no WebAssembly toolchain is needed but in one test. What talks to
//! a server talks to a stub that answers from a list and remembers what it was asked: here is what
//! the verbs send and say. What a server makes of it is in `tests/`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;
use writ::policies::COMPILE_CHILD;
use writ_sandbox::testkit::{hostile, module};
use writ_sandbox::{Compiler, LoadError, Sandbox, SandboxConfig};

use super::*;

const SHIPPED: &str = "lifetime_cap_by_scope";

/// The directory of the shipped policy.
fn shipped() -> PathBuf {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    policies.join(SHIPPED)
}

/// A directory of its own with the shipped module as `cap.wasm` and its cases in `cases`.
fn workplace() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let wasm = shipped().join(format!("{SHIPPED}.wasm"));
    fs::copy(wasm, directory.path().join("cap.wasm")).unwrap();
    fs::create_dir(directory.path().join("cases")).unwrap();
    let cases = shipped().join("cases/caps.toml");
    fs::copy(cases, directory.path().join("cases/caps.toml")).unwrap();
    directory
}

/// Runs `writ policy …` in a directory.
fn policy(directory: &TempDir, arguments: &[&str]) -> Run {
    let arguments = [&["policy"], arguments].concat();
    Run::of(&mut program(directory.path(), &arguments))
}

#[track_caller]
fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{}: {error}", run.stdout))
}

#[test]
fn wrong_usage_exits_2_and_says_what_is_wrong() {
    for (arguments, said) in [
        (&["bind", "night-watch"][..], "--server"),
        (
            &["bind", "night-watch", "--server", "--api", "a"],
            "cannot be used with",
        ),
        (&["bind", "Night Watch", "--server"], "NAME@VERSION"),
        (
            &["bind", "a", "--server", "--setting", "cap"],
            "write NAME=VALUE",
        ),
        (&["remove", "night-watch"], "night-watch@VERSION"),
        (&["unbind", "Binding 7"], "an id like binding_7"),
        (&["rebind", "binding_7"], "nothing to change"),
        (
            &["rebind", "binding_7", "--enforce", "--shadow"],
            "cannot be used with",
        ),
        (
            &["rebind", "binding_7", "--claim", "a", "--no-claims"],
            "cannot be used with",
        ),
        (&["run", "cap.wasm"], "--request"),
        (
            &["run", "--example", "--request", "r.json"],
            "cannot be used with",
        ),
        (&["test", "--fuel", "0"], "1..=1000000"),
        (&["test", "--fuel", "1000001"], "1..=1000000"),
        (&["new", "Night Watch"], "begins with a letter"),
        (&["new", "writ-policy"], "the SDK's own"),
        (
            &["inspect", "a.wasm", "--as-of", "3"],
            "policies of the server",
        ),
        (&["bindings", "--policy", "A"], "NAME@VERSION"),
    ] {
        policy(&workplace(), arguments).complains(2, said);
    }
}

#[test]
fn a_new_policy_is_a_crate_and_nothing_is_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let made = policy(&place, &["new", "night-watch"]).exits(0);
    assert_eq!(made.stdout, "made the policy night-watch in night-watch\n");
    assert!(made.stderr.contains("cd night-watch\n"), "{}", made.stderr);
    let file =
        |path: &str| fs::read_to_string(place.path().join("night-watch").join(path)).unwrap();
    assert!(file("Cargo.toml").contains("name = \"night-watch\""));
    assert!(file("cases/first.toml").contains("[[case]]"));
    assert!(file("sdk/policy/wit/policy.wit").contains("package writ:policy@"));

    fs::write(place.path().join("night-watch/src/lib.rs"), "mine").unwrap();
    policy(&place, &["new", "night-watch"]).complains(1, "nothing was written");
    assert_eq!(file("src/lib.rs"), "mine");
    fs::write(place.path().join("file"), "").unwrap();
    policy(&place, &["new", "other", "--path", "file"]).complains(1, "cannot use the directory");

    // An empty directory is as good as none, and a name with a space is quoted in what to do next.
    fs::create_dir(place.path().join("my policies")).unwrap();
    let arguments = ["new", "other", "--path", "my policies", "--json"];
    let made = policy(&place, &arguments).exits(0);
    assert!(
        made.stderr.contains("cd 'my policies'\n"),
        "{}",
        made.stderr
    );
    let made = json_of(&made);
    assert_eq!(text(&made, "/name"), "other");
    for path in made.pointer("/files").unwrap().as_array().unwrap() {
        let path = place
            .path()
            .join("my policies")
            .join(path.as_str().unwrap());
        assert!(path.is_file(), "{}", path.display());
    }
}

#[test]
fn a_good_module_is_checked_and_inspected() {
    let place = workplace();
    let said = policy(&place, &["check", "cap.wasm"]).exits(0).stdout;
    assert!(said.contains("name     lifetime_cap_by_scope\n"), "{said}");
    let checked = json_of(&policy(&place, &["check", "cap.wasm", "--json"]).exits(0));
    assert_eq!(checked.pointer("/accepted"), Some(&true.into()));
    let bytes = fs::read(place.path().join("cap.wasm")).unwrap();
    assert_eq!(checked.pointer("/bytes"), Some(&bytes.len().into()));
    assert_eq!(text(&checked, "/digest").len(), 64);

    let said = policy(&place, &["inspect", "cap.wasm"]).exits(0).stdout;
    for line in [
        "settings   caps  texts, required\n",
        "           otherwise  int\n",
        "reads      -\n",
        "contract   writ:policy/evaluator@1.0.0\n",
        "imports    none\n",
        "           rustc 1.",
        "toolchain  writ-policy 0.1.0\n",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    let inspected = json_of(&policy(&place, &["inspect", "./cap.wasm", "--json"]).exits(0));
    assert_eq!(inspected.pointer("/digest"), checked.pointer("/digest"));
    assert_eq!(text(&inspected, "/settings/0/kind"), "texts");
    assert_eq!(inspected.pointer("/imports"), Some(&json!([])));
    assert_eq!(text(&inspected, "/toolchain/0/role"), "sdk");
}

#[test]
fn a_module_that_a_server_would_refuse_is_refused_with_every_reason() {
    let place = workplace();
    let two = "(import \"env\" \"a\" (func)) (import \"env\" \"b\\1b[2J\" (func))";
    for (name, module, reason) in [
        (
            "import_wasi",
            hostile("import_wasi"),
            "there is no WASI here",
        ),
        ("start", hostile("start"), "start function"),
        ("memory_64_mib", hostile("memory_64_mib"), "the limit is 64"),
        ("simd", hostile("simd"), "SIMD"),
        (
            "describe_traps",
            hostile("describe_traps"),
            "cannot describe itself",
        ),
        (
            "describe_changes",
            hostile("describe_changes"),
            "differently",
        ),
        (
            "loop_in_describe",
            hostile("loop_in_describe"),
            "used up its fuel",
        ),
        ("text", b"(module)".to_vec(), "not a WebAssembly module"),
        ("nothing", b"\0asm\x01\0\0\0".to_vec(), "not a policy"),
        ("two", module(two), "imports the function `a`"),
    ] {
        let file = format!("{name}.wasm");
        fs::write(place.path().join(&file), module).unwrap();
        let refused = policy(&place, &["check", &file]).complains(1, reason);
        assert!(
            refused.stderr.starts_with(&format!(
                "error: {file} is no policy that a server takes (code policy_rejected)\n  "
            )),
            "{}",
            refused.stderr
        );
        for verb in [&["inspect", &file][..], &["test", &file]] {
            policy(&place, verb).complains(1, reason);
        }
    }
    // A program that asks gets the reasons on standard output too.
    let refused = policy(&place, &["check", "two.wasm", "--json"]).exits(1);
    let said = json_of(&refused);
    assert_eq!(said.pointer("/accepted"), Some(&false.into()));
    assert_eq!(
        said.pointer("/reasons").unwrap().as_array().unwrap().len(),
        2
    );
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    assert!(!refused.stderr.contains('\x1b'), "{:?}", refused.stderr);
    policy(&place, &["check", "none.wasm"]).complains(1, "cannot read none.wasm");
}

#[test]
fn cases_are_run_and_a_failure_is_exit_code_1() {
    let place = workplace();
    let run = |arguments: &[&str]| policy(&place, &[&["test", "cap.wasm"], arguments].concat());
    let report = run(&[]).exits(0).stdout;
    assert!(report.contains("ok    the shortest counts"), "{report}");
    assert!(report.contains("8 cases, 0 failed"), "{report}");
    let report = json_of(&run(&["--json"]).exits(0));
    assert_eq!(report.pointer("/passed"), Some(&true.into()));
    assert_eq!(
        report.pointer("/cases").unwrap().as_array().unwrap().len(),
        8
    );
    let fuel = report.pointer("/fuel_max").unwrap().as_u64().unwrap();

    // Less fuel than it takes.
    let starved = run(&["--fuel", &(fuel / 2).to_string()]).exits(1);
    assert!(
        starved.stdout.contains("of fuel, above"),
        "{}",
        starved.stdout
    );
    assert!(
        starved.stderr.contains("cases failed"),
        "{}",
        starved.stderr
    );

    let wrong = "settings.caps = [\"a=60\"]\nrequest.scopes = [\"a\"]\n\
                 expect.decision = \"allow\"\nexpect.lifetime = 61\n";
    fs::write(place.path().join("wrong.toml"), wrong).unwrap();
    let failed = run(&["--cases", "wrong.toml"]).exits(1);
    assert!(failed.stdout.contains("FAIL  wrong"), "{}", failed.stdout);
    assert!(failed.stdout.contains("expected lifetime 61, found 60"));
    assert_eq!(failed.stderr, "error: 1 of 1 cases failed\n");
    let failed = json_of(&run(&["--cases", "wrong.toml", "--json"]).exits(1));
    assert_eq!(failed.pointer("/cases/0/passed"), Some(&false.into()));

    run(&["--cases", "nowhere"]).complains(1, "--cases says where");
    fs::write(place.path().join("wrong.toml"), "expect = 1\n").unwrap();
    run(&["--cases", "wrong.toml"]).complains(1, "expect is a table");
}

#[test]
fn one_request_is_asked_as_a_server_asks() {
    let place = workplace();
    let example = policy(&place, &["run", "--example"]).exits(0).stdout;
    fs::write(place.path().join("r.json"), &example).unwrap();
    let asked = ["run", "cap.wasm", "--request", "r.json"];
    let run = |arguments: &[&str]| policy(&place, &[&asked, arguments].concat());

    let said = run(&["--setting", "caps=courses:publish=60"]).exits(0);
    for line in [
        "decision  permit\n",
        "lifetime  60 s\n",
        "notes     cap: courses:publish=60\n",
    ] {
        assert!(said.stdout.contains(line), "no {line:?} in {}", said.stdout);
    }
    assert!(
        said.stderr.contains("does not read: auth.method"),
        "{}",
        said.stderr
    );
    let settings = r#"{"caps": ["admin:*=1"], "otherwise": 30}"#;
    fs::write(place.path().join("s.json"), settings).unwrap();
    let said = json_of(&run(&["--settings", "s.json", "--json"]).exits(0));
    assert_eq!(
        said.pointer("/verdict"),
        Some(&json!({ "permit": { "lifetime": 30 } }))
    );
    assert_eq!(text(&said, "/policy_name"), SHIPPED);
    // One by one over those of the file.
    let said = json_of(
        &run(&[
            "--settings",
            "s.json",
            "--setting",
            "otherwise=31",
            "--json",
        ])
        .exits(0),
    );
    assert_eq!(said.pointer("/verdict/permit/lifetime"), Some(&31.into()));

    let mut piped = program(
        place.path(),
        &[
            "policy",
            "run",
            "cap.wasm",
            "--request",
            "-",
            "--setting",
            "caps=a=1",
            "--json",
        ],
    );
    piped.stdin(fs::File::open(place.path().join("r.json")).unwrap());
    let said = json_of(&Run::of(&mut piped).exits(0));
    assert_eq!(said.pointer("/verdict"), Some(&json!({ "permit": {} })));

    // The settings are refused as on a server: by what the policy declares, and by the policy.
    run(&[]).complains(1, "caps: it is missing");
    run(&["--setting", "caps=a=0"]).complains(1, "(code settings_invalid)\n  caps: ");
    run(&["--setting", "caps=a=1", "--setting", "x=1"]).complains(1, "x: the policy has no such");
    run(&["--setting", "caps=a=1", "--setting", "otherwise=soon"]).complains(1, "a whole number");
    run(&["--setting", "caps=a=1,b=2"]).complains(2, "single quotes");
    run(&["--setting", "caps=a=1", "--setting", "caps=a=2"]).complains(2, "`caps` is set twice");
    fs::write(place.path().join("s.json"), r#"{"caps": [1.5]}"#).unwrap();
    run(&["--settings", "s.json"]).complains(1, "caps: a value is");
    fs::write(place.path().join("r.json"), r#"{"id": "x", "colour": 1}"#).unwrap();
    run(&[]).complains(1, "r.json is not what it should be: unknown field `colour`");
}

#[test]
fn a_denial_is_a_decision_and_trouble_is_none() {
    let place = workplace();
    let example = policy(&place, &["run", "--example"]).exits(0).stdout;
    fs::write(place.path().join("r.json"), example).unwrap();
    let run = |text: &str, json: bool| {
        fs::write(place.path().join("p.wasm"), text_or_hostile(text)).unwrap();
        let asked = ["run", "p.wasm", "--request", "r.json"];
        policy(
            &place,
            &[&asked[..], if json { &["--json"] } else { &[] }].concat(),
        )
    };
    // An outcome as it lies in memory: a denial at 2308, then its code and its reason, which are
    // the texts that `policy.wat` has for its code and its claim.
    let denies = "(func $evaluate (param $request i32) (result i32)
        (i32.store8 (i32.const 2308) (i32.const 1))
        (i64.store align=4 (i32.const 2312) (i64.load align=4 (i32.const 2176)))
        (i64.store align=4 (i32.const 2320) (i64.load align=4 (i32.const 2184)))
        (i32.const 2304))";
    let denied = run(denies, false).exits(0).stdout;
    assert!(
        denied.contains("decision  deny\ncode      outside\nreason    tier\n"),
        "{denied}"
    );
    let denied = json_of(&run(denies, true).exits(0));
    let deny = json!({ "deny": { "code": "outside", "reason": "tier" } });
    assert_eq!(denied.pointer("/verdict"), Some(&deny));

    for (name, code, said) in [
        ("loop", "out_of_fuel", "used up its fuel"),
        ("unreachable", "trapped", "trapped"),
        ("fault", "fault", "the policy failed"),
        ("widens_scopes", "overstepped", "`admin`"),
    ] {
        let trouble = run(name, true).exits(1);
        assert!(trouble.stderr.contains(said), "{name}: {}", trouble.stderr);
        assert_eq!(text(&json_of(&trouble), "/verdict/fault/code"), code);
        assert!(
            run(name, false)
                .exits(1)
                .stdout
                .contains("decision  fault\n")
        );
    }
}

fn text_or_hostile(text: &str) -> Vec<u8> {
    if text.contains('(') {
        module(text)
    } else {
        hostile(text)
    }
}

#[test]
fn the_compiling_child_compiles_and_nobody_meets_it_by_chance() {
    let module = fs::read(shipped().join(format!("{SHIPPED}.wasm"))).unwrap();
    let sandbox = Sandbox::new(SandboxConfig {
        compiler: Compiler::Child {
            program: env!("CARGO_BIN_EXE_writ").into(),
            args: vec![COMPILE_CHILD.into()],
        },
        pool: 1,
        ..SandboxConfig::default()
    })
    .unwrap();
    assert_eq!(sandbox.load(&module).unwrap().descriptor().name, SHIPPED);
    assert!(sandbox.load(&hostile("json_deep")).is_ok());
    assert!(matches!(
        sandbox.load(b"\0asm\x01\0\0\0"),
        Err(LoadError::Rejected(_))
    ));

    let help = writ(&["--help"]).exits(0).stdout;
    assert!(!help.contains(COMPILE_CHILD), "{help}");
    writ(&[COMPILE_CHILD, "x"]).complains(2, "unrecognized subcommand");
    writ(&["--json", COMPILE_CHILD]).complains(2, "unrecognized subcommand");
}

/// What cargo and rustup need of the environment, if policies can be compiled here at all. With
/// `CI` set, that they cannot is a failure.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests")]
fn toolchain() -> Option<Vec<(&'static str, std::ffi::OsString)>> {
    let variables = [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ];
    let there = |name| Some((name, std::env::var_os(name)?));
    match writ_policy_test::wasm::target() {
        Ok(()) => Some(variables.into_iter().filter_map(there).collect()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("left out: a new policy, built: {error}");
            None
        }
    }
}

#[test]
fn a_new_policy_is_built_tested_and_asked() {
    let Some(variables) = toolchain() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let run = |directory: &str, arguments: &[&str]| {
        let arguments = [&["policy"], arguments].concat();
        let mut command = program(&place.path().join(directory), &arguments);
        Run::of(command.envs(variables.iter().map(|(name, value)| (name, value))))
    };
    run("", &["new", "night-watch"]).exits(0);
    let built = run("night-watch", &["build", "--offline"]).exits(0).stdout;
    let file = "target/wasm32-unknown-unknown/release/night_watch.wasm";
    assert!(built.contains(&format!("module   {file}\n")), "{built}");
    let file = format!("night-watch/{file}");
    let built = json_of(&run("", &["build", "night-watch", "--json"]).exits(0));
    assert_eq!(text(&built, "/0/path"), file);
    assert_eq!(text(&built, "/0/name"), "night-watch");

    let tested = run("night-watch", &["test"]).exits(0).stdout;
    assert!(tested.contains("4 cases, 0 failed"), "{tested}");
    assert!(tested.contains(text(&built, "/0/digest")), "{tested}");
    run("", &["test", "night-watch"]).exits(0);
    run("", &["test", &file, "--cases", "night-watch/cases"]).exits(0);

    // A fact that nobody knows is no error, and worth a word.
    let source = place.path().join("night-watch/src/lib.rs");
    let slip = fs::read_to_string(&source).unwrap();
    let slip = slip.replace("policy(codes", "policy(reads(\"net.ipp\"), codes");
    fs::write(&source, slip).unwrap();
    let said = run("", &["build", "night-watch"]).exits(0).stderr;
    assert!(
        said.contains("no server of this version knows: net.ipp"),
        "{said}"
    );

    // What does not compile is said by the compiler, and what makes no policy by us.
    fs::write(&source, "//! Broken.\nfn x() -> u8 { \"\" }\n").unwrap();
    let broken = run("", &["build", "night-watch"]).exits(1).stderr;
    assert!(broken.contains("mismatched types"), "{broken}");
    assert!(broken.contains("error: cargo cannot build a policy in night-watch\n"));
    fs::write(&source, "//! Nothing.\n").unwrap();
    run("", &["test", "night-watch"]).exits(1);
    let nothing = run("", &["build", "night-watch", "--json"]).exits(1);
    assert_eq!(
        json_of(&nothing).pointer("/0/accepted"),
        Some(&false.into())
    );
    assert!(
        nothing.stderr.contains("(code policy_rejected)"),
        "{}",
        nothing.stderr
    );
}

/// A request that the stub got.
#[derive(Clone, Debug)]
struct Asked {
    /// Method and path with its query.
    line: String,
    /// Headers by their names in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Asked {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(
            self.headers.get("content-type").unwrap(),
            "application/json"
        );
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server that answers what it is told to, beside its administrator's credentials.
struct Stub {
    directory: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    /// `GET /policies` and the like, each with its status and its answer.
    fn start(answers: &[(&str, u16, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let token = json!({ "access_token": "t", "expires_in": 900 });
        let mut table: BTreeMap<String, (u16, Value)> = answers
            .iter()
            .map(|(line, status, answer)| {
                let (method, path) = line.split_once(' ').unwrap();
                (format!("{method} /api/v1{path}"), (*status, answer.clone()))
            })
            .collect();
        table.insert("POST /oauth2/token".to_owned(), (200, token));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        // It ends with the process: a test that fails must not wait for it.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &table, &log);
            }
        });
        let directory = workplace();
        fs::create_dir(directory.path().join("writ-data")).unwrap();
        let credentials = json!({
            "token_endpoint": format!("http://127.0.0.1:{port}/oauth2/token"),
            "client_id": "admin",
            "client_secret": "secret",
        });
        let file = directory.path().join("writ-data/admin.json");
        fs::write(file, credentials.to_string()).unwrap();
        Self { directory, asked }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        policy(&self.directory, arguments)
    }

    /// What it was asked since the last time, without the tokens.
    fn asked(&self) -> Vec<Asked> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let is_token = |asked: &Asked| asked.line.starts_with("POST /oauth2/token");
        asked.into_iter().filter(|asked| !is_token(asked)).collect()
    }

    /// The last request since the last time.
    #[track_caller]
    fn last(&self) -> Asked {
        self.asked().pop().unwrap()
    }
}

fn answer(stream: TcpStream, table: &BTreeMap<String, (u16, Value)>, log: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let Some((first, headers)) = lines.split_first() else {
        return;
    };
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = headers
        .iter()
        .map(|header| header.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let route = line.split('?').next().unwrap();
    let unknown = (
        404,
        json!({ "title": "Not Found", "status": 404, "detail": route, "code": "stub" }),
    );
    let (status, answer) = table.get(route).unwrap_or(&unknown);
    let text = if answer.is_null() {
        String::new()
    } else {
        answer.to_string()
    };
    let answer = format!(
        "HTTP/1.1 {status} Stub\r\nwrit-position: 41\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    log.lock().unwrap().push(Asked {
        line,
        headers,
        body,
    });
    reader.into_inner().write_all(answer.as_bytes()).unwrap();
}

fn digest(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A policy as the server has it.
fn upload(digit: char, name: &str, version: &str, position: u64) -> Value {
    let setting = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "required": false, "doc": "" });
    json!({
        "digest": digest(digit),
        "name": name,
        "version": version,
        "doc": "Watches.\nAt night.",
        "settings": [
            setting("cap", "int"),
            setting("label", "text"),
            setting("restricted", "texts"),
            setting("rules", "json"),
            setting("strict", "flag"),
        ],
        "reads": ["net.ip"],
        "codes": ["late"],
        "claims": ["tenant"],
        "bytes": 7,
        "uploaded_at": "2026-03-03T09:00:00.000Z",
        "position": position,
    })
}

fn binding(number: u64, digit: char, name: &str) -> Value {
    json!({
        "id": format!("binding_{number}"),
        "target": "api_resource/api_1",
        "mode": "enforce",
        "order": 100,
        "policy": digest(digit),
        "policy_name": name,
        "settings": { "cap": 300, "label": "x" },
        "settings_digest": "5d",
        "claims": [],
        "created_at": "2026-03-03T09:00:00.000Z",
        "version": 40,
    })
}

fn page(items: &[Value]) -> Value {
    json!({ "items": items })
}

/// Two versions of `watch`, of which the older is listed last, and another policy.
fn uploads() -> Value {
    page(&[
        upload('c', "other", "1.0.0", 9),
        upload('b', "watch", "0.2.0", 20),
        upload('a', "watch", "0.1.0", 10),
    ])
}

#[test]
fn a_module_is_pushed_as_it_is() {
    let new = upload('a', "watch", "0.1.0", 10);
    let stub = Stub::start(&[("POST /policies", 201, new.clone())]);
    let pushed = stub.run(&["push", "cap.wasm", "--reason", "why"]).exits(0);
    assert!(
        pushed
            .stdout
            .contains(&format!("digest   {}\n", digest('a'))),
        "{}",
        pushed.stdout
    );
    assert!(
        pushed
            .stderr
            .contains("writ policy bind aaaaaaaaaaaaaaaa --api"),
        "{}",
        pushed.stderr
    );
    assert!(!pushed.stderr.contains("already"), "{}", pushed.stderr);
    let sent = stub.last();
    assert_eq!(sent.line, "POST /api/v1/policies");
    let header = |name: &str| sent.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/wasm"));
    assert_eq!(header("writ-reason"), Some("why"));
    assert_eq!(header("authorization"), Some("Bearer t"));
    assert!(header("idempotency-key").is_some());
    let module = fs::read(stub.directory.path().join("cap.wasm")).unwrap();
    assert!(sent.body == module, "{} bytes", sent.body.len());

    let stub = Stub::start(&[("POST /policies", 200, new)]);
    let pushed = stub.run(&["push", "cap.wasm", "--json"]).exits(0);
    assert_eq!(text(&json_of(&pushed), "/version"), "0.1.0");
    assert!(
        pushed.stderr.contains("there already, uploaded at 2026"),
        "{}",
        pushed.stderr
    );

    let problem = json!({
        "title": "Unprocessable", "status": 422, "code": "policy_rejected",
        "detail": "the module is not taken", "reasons": ["one\u{1b}", "two"],
    });
    let stub = Stub::start(&[("POST /policies", 422, problem)]);
    let refused = stub.run(&["push", "cap.wasm"]);
    let all = "error: the module is not taken (code policy_rejected)\n  one\u{fffd}\n  two\n";
    refused.complains(1, all);
    stub.run(&["push", "none.wasm"])
        .complains(1, "cannot read none.wasm");
}

#[test]
fn policies_are_listed_shown_and_removed_by_what_people_call_them() {
    let one = format!("GET /policies/{}", digest('b'));
    let gone = format!("DELETE /policies/{}", digest('b'));
    let used = format!("DELETE /policies/{}", digest('a'));
    let in_use = json!({
        "title": "Conflict", "status": 409, "code": "in_use", "detail": "the policy is in use",
        "users": [{ "entity": "policy_binding/binding_7", "name": "api_resource/api_1" }],
    });
    let stub = Stub::start(&[
        ("GET /policies", 200, uploads()),
        (&one, 200, upload('b', "watch", "0.2.0", 20)),
        (&gone, 204, Value::Null),
        (&used, 409, in_use),
    ]);
    let listed = stub.run(&["list", "--name", "watch"]).exits(0).stdout;
    assert!(listed.starts_with("NAME   VERSION  DIGEST "), "{listed}");
    assert!(
        listed.contains("watch  0.2.0    bbbbbbbbbbbbbbbb  7"),
        "{listed}"
    );
    assert!(stub.last().line.contains("name=watch"));

    // The newest of a name is the one that was uploaded last, not the one that is listed last.
    for called in [
        "watch",
        "watch@0.2.0",
        "bbbbbbbb",
        "BBBBBBBBB",
        &digest('b'),
    ] {
        let shown = stub.run(&["inspect", called]).exits(0).stdout;
        assert!(shown.contains("version   0.2.0\n"), "{called}: {shown}");
        assert!(
            shown.contains("doc       Watches.\n          At night.\n"),
            "{shown}"
        );
        assert_eq!(
            stub.last().line,
            format!("GET /api/v1/policies/{}", digest('b'))
        );
    }
    let shown = stub
        .run(&["inspect", "watch", "--as-of", "30", "--json"])
        .exits(0);
    assert_eq!(json_of(&shown), upload('b', "watch", "0.2.0", 20));
    assert!(
        stub.asked()
            .iter()
            .all(|asked| asked.line.contains("as_of=30"))
    );
    stub.run(&["inspect", "watch@3"])
        .complains(1, "there is no policy watch@3");
    stub.run(&["inspect", "dddddddd"])
        .complains(1, "there is no policy dddddddd");

    stub.asked();
    let said = stub
        .run(&["remove", "watch@0.2.0", "--if-match", "20"])
        .exits(0)
        .stdout;
    assert_eq!(said, format!("removed {} at position 41\n", digest('b')));
    let sent = stub.last();
    assert_eq!(
        sent.line,
        format!("DELETE /api/v1/policies/{}", digest('b'))
    );
    assert_eq!(sent.headers.get("if-match").unwrap(), "\"20\"");
    let used = stub.run(&["remove", "aaaaaaaa"]);
    used.complains(
        1,
        "(code in_use)\n  policy_binding/binding_7  api_resource/api_1",
    );
}

#[test]
fn what_can_be_several_policies_is_refused_with_their_digests() {
    let twice = page(&[
        upload('a', "watch", "0.1.0", 10),
        upload('b', "watch", "0.1.0", 20),
        // Named like the beginning of a digest.
        upload('c', "aaaaaaaaa", "1", 30),
    ]);
    let stub = Stub::start(&[("GET /policies", 200, twice)]);
    let both = stub.run(&["remove", "watch@0.1.0"]);
    let both = both.complains(1, "can be several policies");
    assert!(both.stderr.contains(&digest('a')) && both.stderr.contains(&digest('b')));
    for verb in [
        &["remove", "aaaaaaaaa"][..],
        &["bind", "aaaaaaaaa", "--server"],
    ] {
        stub.run(verb).complains(1, &digest('c'));
    }
    assert!(
        stub.asked()
            .iter()
            .all(|asked| asked.line.starts_with("GET "))
    );
}

#[test]
fn a_policy_is_bound_with_settings_of_the_kinds_that_it_has() {
    let stub = Stub::start(&[
        ("GET /policies", 200, uploads()),
        ("POST /policy-bindings", 201, binding(7, 'b', "watch")),
    ]);
    let file = stub.directory.path().join("s.json");
    fs::write(&file, r#"{"cap": 1, "unheard-of": [1]}"#).unwrap();
    let bound = stub.run(&[
        "bind",
        "watch",
        "--api",
        "https://courses.example/api",
        "--settings",
        "s.json",
        "--setting",
        "cap=300",
        "--setting",
        "label=300",
        "--setting",
        "restricted=courses:publish",
        "--setting",
        "rules=[1, 2]",
        "--setting",
        "strict=true",
        "--setting",
        "other=x",
        "--claim",
        "tenant",
        "--shadow",
        "--order",
        "5",
        "--reason",
        "why",
        "--idempotency-key",
        "k",
    ]);
    let bound = bound.exits(0);
    assert!(
        bound.stdout.contains("id               binding_7\n"),
        "{}",
        bound.stdout
    );
    assert!(
        bound
            .stdout
            .contains("settings         cap=300\n                 label=x\n")
    );
    let sent = stub.last();
    assert_eq!(sent.headers.get("idempotency-key").unwrap(), "k");
    assert_eq!(
        sent.json(),
        json!({
            "policy": digest('b'),
            "target": "api_resource/https://courses.example/api",
            "settings": {
                "cap": 300, "label": "300", "restricted": ["courses:publish"],
                "rules": { "json": "[1, 2]" }, "strict": true, "other": "x", "unheard-of": [1],
            },
            "claims": ["tenant"], "mode": "shadow", "order": 5,
        })
    );
    // The stub's binding permits no claim, whatever was asked for.
    let hint =
        "this binding permits none. To permit them: writ policy rebind binding_7 --claim tenant";
    assert!(bound.stderr.contains(hint), "{}", bound.stderr);

    for (target, named) in [
        (&["--server"][..], "server"),
        (&["--application", "app"], "application/app"),
    ] {
        stub.run(&[&["bind", "watch"], target].concat()).exits(0);
        assert_eq!(
            stub.last().json(),
            json!({ "policy": digest('b'), "target": named })
        );
    }
    stub.run(&["bind", "watch", "--server", "--setting", "restricted=a,b"])
        .complains(2, "restricted takes several texts");
    stub.run(&["bind", "watch", "--server", "--settings", "none.json"])
        .complains(1, "cannot read none.json");
    fs::write(&file, "[]").unwrap();
    stub.run(&["bind", "watch", "--server", "--settings", "s.json"])
        .complains(1, "s.json is not what it should be");

    let problem = json!({
        "title": "Unprocessable", "status": 422, "code": "settings_invalid",
        "detail": "the settings do not suit the policy", "reasons": ["cap: it is missing"],
    });
    let stub = Stub::start(&[
        ("GET /policies", 200, uploads()),
        ("POST /policy-bindings", 422, problem),
    ]);
    stub.run(&["bind", "watch", "--server"])
        .complains(1, "(code settings_invalid)\n  cap: it is missing\n");
}

#[test]
fn bindings_are_listed_by_target_and_by_policy() {
    let all = page(&[
        binding(1, 'a', "watch"),
        binding(2, 'b', "watch"),
        binding(3, 'c', "other"),
    ]);
    let stub = Stub::start(&[
        ("GET /policies", 200, uploads()),
        ("GET /policy-bindings", 200, all),
    ]);
    let listed = stub
        .run(&["bindings", "--api", "https://a.example"])
        .exits(0)
        .stdout;
    assert!(listed.starts_with("ID         TARGET "), "{listed}");
    assert!(
        listed.contains("binding_3  api_resource/api_1  enforce  100    other   cccccccccccccccc")
    );
    assert!(listed.contains("cap=300 label=x"), "{listed}");
    let line = stub.last().line;
    assert!(
        line.contains("target=api_resource%2Fhttps%3A%2F%2Fa%2Eexample"),
        "{line}"
    );

    let ids = |arguments: &[&str]| {
        let run = stub
            .run(&[&["bindings", "--json"], arguments].concat())
            .exits(0);
        let listed = json_of(&run);
        let ids = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(one, "/id").to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--policy", "watch"]), ["binding_1", "binding_2"]);
    assert_eq!(ids(&["--policy", "watch", "--limit", "1"]), ["binding_1"]);
    assert_eq!(ids(&["--policy", "watch@0.2.0"]), ["binding_2"]);
    assert_eq!(ids(&["--policy", "cccccccc"]), ["binding_3"]);
    stub.asked();
    stub.run(&["bindings", "--server", "--policy", &digest('a')])
        .exits(0);
    let line = stub.last().line;
    assert!(line.contains("target=server&policy=aaaa"), "{line}");
    let none = stub.run(&["bindings", "--policy", "dddddddd"]).exits(0);
    assert_eq!((&*none.stdout, &*none.stderr), ("", "there are none\n"));
}

#[test]
fn a_binding_is_changed_as_a_whole_and_its_other_settings_stay() {
    let mut seven = binding(7, 'a', "watch");
    seven["previous"] = json!({
        "policy": digest('c'), "policy_name": "other", "settings": { "cap": 1 },
        "settings_digest": "5e", "claims": ["tenant"],
    });
    let show = format!("GET /policies/{}", digest('a'));
    let stub = Stub::start(&[
        ("GET /policies", 200, uploads()),
        (&show, 200, upload('a', "watch", "0.1.0", 10)),
        ("GET /policy-bindings", 200, page(&[seven.clone()])),
        ("GET /policy-bindings/binding_7", 200, seven.clone()),
        ("PATCH /policy-bindings/binding_7", 200, seven.clone()),
        (
            "POST /policy-bindings/binding_7/rollback",
            200,
            seven.clone(),
        ),
        ("DELETE /policy-bindings/binding_7", 204, Value::Null),
    ]);
    for called in ["binding_7", "watch", "watch@0.1.0", "aaaaaaaa"] {
        let shown = stub.run(&["binding", called]).exits(0).stdout;
        let previous = format!("rollback to      other  {}\n", digest('c'));
        assert!(shown.contains(&previous), "{shown}");
    }

    let rebind = |arguments: &[&str]| {
        stub.asked();
        let run = stub.run(&[&["rebind"], arguments].concat()).exits(0);
        let sent = stub.last();
        assert_eq!(sent.line, "PATCH /api/v1/policy-bindings/binding_7");
        (run, sent)
    };
    let (run, sent) = rebind(&["watch", "--setting", "label=7", "--unset", "cap"]);
    assert_eq!(sent.json(), json!({ "settings": { "label": "7" } }));
    // Others that stay were read, so nobody may have changed them meanwhile.
    assert_eq!(sent.headers.get("if-match").unwrap(), "\"40\"");
    assert!(run.stderr.contains("permits none"), "{}", run.stderr);
    let (_, sent) = rebind(&["binding_7", "--setting", "cap=7", "--if-match", "39"]);
    assert_eq!(
        sent.json(),
        json!({ "settings": { "cap": 7, "label": "x" } })
    );
    assert_eq!(sent.headers.get("if-match").unwrap(), "\"39\"");

    let file = stub.directory.path().join("s.json");
    fs::write(file, r#"{"strict": true}"#).unwrap();
    let (_, sent) = rebind(&["watch", "--settings", "s.json", "--setting", "cap=7"]);
    assert_eq!(
        sent.json(),
        json!({ "settings": { "strict": true, "cap": 7 } })
    );
    assert_eq!(sent.headers.get("if-match"), None);

    let (_, sent) = rebind(&[
        "watch",
        "--policy",
        "watch",
        "--no-claims",
        "--shadow",
        "--order",
        "1",
    ]);
    let body = json!({ "policy": digest('b'), "claims": [], "mode": "shadow", "order": 1 });
    assert_eq!(sent.json(), body);
    let (_, sent) = rebind(&[
        "binding_7",
        "--enforce",
        "--claim",
        "tenant",
        "--reason",
        "why",
    ]);
    assert_eq!(
        sent.json(),
        json!({ "mode": "enforce", "claims": ["tenant"] })
    );
    assert_eq!(sent.headers.get("writ-reason").unwrap(), "why");
    stub.run(&["rebind", "watch", "--unset", "strict"])
        .complains(1, "binding_7 has no setting strict to unset");

    let said = stub.run(&["rollback", "watch"]).exits(0).stdout;
    assert!(said.contains("binding_7"), "{said}");
    let sent = stub.last();
    assert_eq!(sent.line, "POST /api/v1/policy-bindings/binding_7/rollback");
    assert!(sent.body.is_empty());
    let said = stub.run(&["unbind", "binding_7", "--json"]).exits(0);
    assert_eq!(json_of(&said), json!({ "position": 41 }));
    assert_eq!(stub.asked().len(), 1, "an id needs no looking up");
    stub.run(&["unbind", "watch"]).exits(0);
    stub.run(&["unbind", "other"])
        .complains(1, "nothing is bound to the policy other");
}

#[test]
fn a_policy_that_is_bound_twice_does_not_say_which_binding_is_meant() {
    let both = page(&[binding(7, 'a', "watch"), binding(8, 'b', "watch")]);
    let stub = Stub::start(&[("GET /policy-bindings", 200, both)]);
    for verb in [
        &["unbind", "watch"][..],
        &["rollback", "watch"],
        &["rebind", "watch", "--shadow"],
    ] {
        let refused = stub.run(verb).complains(1, "bound more than once");
        let lines = "\n  binding_7  api_resource/api_1  aaaaaaaaaaaaaaaa\n  binding_8  ";
        assert!(refused.stderr.contains(lines), "{}", refused.stderr);
    }
    assert!(
        stub.asked()
            .iter()
            .all(|asked| asked.line.starts_with("GET "))
    );
}

#[test]
fn a_preview_tells_facts_and_shows_what_each_policy_said() {
    let preview = json!({
        "granted": true, "as_of": 41, "lifetime_seconds": 60,
        "policies": [
            {
                "binding": "binding_7", "policy": digest('a'), "policy_name": "watch",
                "verdict": { "permit": { "lifetime": 60 } },
                "notes": [{ "name": "cap", "text": "a=60\u{1b}" }], "fuel": 7000, "micros": 40,
            },
            {
                "binding": "binding_8", "policy": digest('b'), "policy_name": "other",
                "shadow": true, "verdict": { "deny": { "code": "late", "reason": "at night" } },
                "fuel": 9, "micros": 1,
            },
        ],
    });
    let stub = Stub::start(&[("POST /applications/app/token-preview", 200, preview)]);
    let arguments = [
        "application",
        "preview-token",
        "app",
        "--attribute",
        "net.ip=192.0.2.1",
        "--attribute",
        "time.hour=23",
    ];
    let said = Run::of(&mut program(stub.directory.path(), &arguments))
        .exits(0)
        .stdout;
    for line in [
        "lifetime  60 s\n",
        "policies  binding_7 watch: permit, lifetime 60  7000 fuel, 40 us\n",
        "              note cap: a=60\u{fffd}\n",
        "          binding_8 other (shadow, not obeyed): deny, code late, reason at night  9 fuel, 1 us\n",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    let attributes = json!({ "net.ip": "192.0.2.1", "time.hour": 23 });
    assert_eq!(stub.last().json(), json!({ "attributes": attributes }));
}
