//! The sandbox against policies that mean harm. Those are in `hostile/*.wat`, each with a sentence
//! that says what it does; what an honest policy has besides is in `policy.wat`. No WebAssembly
//! toolchain is needed.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use writ_sandbox::testkit::{honest, hostile, hostile_directory, module};
use writ_sandbox::{
    Api, Application, Compiler, CompilerLimits, Decision, Grant, LoadError, ModuleLimits, Named,
    Outcome, Policy, Request, Sandbox, SandboxConfig, Subject, Trouble, Value,
};

mod support {
    use super::*;

    /// Production's settings, but for a clock that a loaded machine does not run into.
    pub(super) fn config() -> SandboxConfig {
        SandboxConfig {
            pool: 16,
            epoch_ticks: 1_000,
            ..SandboxConfig::default()
        }
    }

    pub(super) fn sandbox() -> &'static Sandbox {
        static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
        SANDBOX.get_or_init(|| Sandbox::new(config()).unwrap())
    }

    pub(super) fn child() -> Compiler {
        Compiler::Child {
            program: env!("CARGO_BIN_EXE_writ-sandbox-compiler").into(),
            args: Vec::new(),
        }
    }

    /// One that cannot compile: whatever loads came from the cache.
    pub(super) fn no_compiler() -> Compiler {
        Compiler::Child {
            program: "/nowhere".into(),
            args: Vec::new(),
        }
    }

    pub(super) fn request() -> Request {
        let text = |name: &str, value: &str| Named::new(name, Value::Text(value.into()));
        Request {
            id: "0123456789abcdefghjkmnpqrs".into(),
            at: 1_795_471_200_000,
            grant_type: "client_credentials".into(),
            application: Application {
                id: "application".into(),
                name: "Course publishing job".into(),
                labels: vec![text("env", "prod"), text("team", "courses")],
                roles: vec!["publisher".into()],
            },
            subject: Some(Subject {
                id: "someone".into(),
                issuer: "https://issuer.example".into(),
                claims: vec![text("department", "arts")],
            }),
            apis: vec![Api {
                id: "api_1".into(),
                identifier: "https://courses.example/api".into(),
                labels: vec![],
            }],
            scopes: ["approve", "publish", "read", "write"]
                .map(|scope| format!("courses:{scope}"))
                .to_vec(),
            lifetime_seconds: 900,
            attributes: vec![
                text("auth.method", "client_secret_basic"),
                text("net.ip", "192.0.2.1"),
                Named::new("time.hour", Value::Int(9)),
            ],
            claims: vec![],
        }
    }

    pub(super) fn settings() -> Vec<Named> {
        vec![Named::new(
            "networks",
            Value::Texts(vec!["192.0.2.0/24".into(), "198.51.100.0/24".into()]),
        )]
    }

    pub(super) fn ask(policy: &Policy) -> Result<Outcome, Trouble> {
        policy.evaluate(&request(), &settings()).result
    }

    /// A module that says that its allocator takes nothing back, so that it is asked in one block.
    pub(super) fn in_one_block(mut module: Vec<u8>) -> Vec<u8> {
        const SECTION: &[u8] = b"\x00\x1a\x15writ-policy-allocatorbump";
        module.extend_from_slice(SECTION);
        module
    }

    /// What `policy.wat` answers to `request`.
    pub(super) fn honest_outcome() -> Outcome {
        Outcome {
            decision: Decision::Allow(Grant {
                scopes: Some(request().scopes),
                lifetime_seconds: Some(300),
                claims: vec![Named::new("tier", Value::Text("gold".into()))],
            }),
            notes: vec![],
        }
    }

    pub(super) fn reasons(error: LoadError) -> String {
        match error {
            LoadError::Rejected(rejected) => rejected.reasons.join("\n"),
            LoadError::Unavailable(reason) => panic!("unavailable: {reason}"),
        }
    }
}

use support::*;

#[test]
fn an_honest_policy_judges() {
    let policy = sandbox().load(&honest()).unwrap();
    assert_eq!(policy.descriptor().name, "example");
    assert_eq!(policy.descriptor().version, "1.0.0");
    assert_eq!(policy.descriptor().codes, ["outside"]);
    assert_eq!(policy.descriptor().claims, ["tier"]);
    assert_eq!(policy.validate(&settings()), Ok(Ok(())));
    let evaluation = policy.evaluate(&request(), &settings());
    assert_eq!(evaluation.result, Ok(honest_outcome()));
    assert!((100..10_000).contains(&evaluation.fuel), "{evaluation:?}");
}

#[test]
fn a_policy_that_is_asked_in_one_block_answers_the_same_for_less() {
    let piece_by_piece = sandbox().load(&honest()).unwrap();
    let in_one_block = sandbox().load(&in_one_block(honest())).unwrap();
    assert_eq!(in_one_block.validate(&settings()), Ok(Ok(())));
    let pieces = piece_by_piece.evaluate(&request(), &settings());
    let whole = in_one_block.evaluate(&request(), &settings());
    assert_eq!(whole.result, pieces.result);
    assert!(whole.fuel * 2 < pieces.fuel, "{whole:?} {pieces:?}");
}

/// What becomes of a hostile module.
enum End {
    /// It is not loaded, for this reason.
    Refused(&'static str),
    /// It is loaded; its verdict is this trouble (`Trouble::code`), said with these words.
    Trouble(&'static str, &'static str),
    /// It is loaded and harmless.
    Harmless,
}

const HOSTILE: &[(&str, End)] = {
    use End::{Harmless, Refused, Trouble};
    &[
        ("amplification", Trouble("output", "too much data")),
        ("bad_discriminant", Trouble("output", "discriminant")),
        ("block_out_of_bounds", Trouble("output", "end of memory")),
        ("block_over_itself", Trouble("overstepped", "`pqrs`")),
        ("block_unaligned", Trouble("output", "aligned")),
        ("canary_read", Harmless),
        ("canary_write", Harmless),
        ("claim_twice", Trouble("output", "`tier` twice")),
        ("data_out_of_bounds", Refused("out of bounds")),
        ("describe_changes", Refused("differently")),
        ("describe_traps", Refused("cannot describe itself")),
        ("divide_by_zero", Trouble("trapped", "divide by zero")),
        ("fault", Trouble("fault", "outside")),
        ("fill_for_ever", Trouble("out_of_fuel", "")),
        ("grow_memory", Trouble("grew", "memory")),
        ("grow_memory_at_once", Trouble("grew", "memory")),
        ("grow_table", Trouble("grew", "table")),
        ("import_function", Refused("function `log` from `env`")),
        ("import_memory", Refused("memory `memory` from `env`")),
        ("import_wasi", Refused("there is no WASI here")),
        ("initialize", Refused("_initialize")),
        ("json_1_mb", Trouble("output", "too much data")),
        ("json_deep", Trouble("output", "deeper than 16")),
        ("json_in_text", Trouble("output", "deeper than 16")),
        ("length_1_gib", Trouble("output", "out of bounds")),
        ("loop", Trouble("out_of_fuel", "")),
        ("loop_in_describe", Refused("used up its fuel")),
        ("memory_4_gib", Refused("65536; the limit is 64")),
        ("memory_64_bit", Refused("64-bit addresses")),
        ("memory_64_mib", Refused("1024; the limit is 64")),
        ("memory_shared", Refused("shared")),
        ("not_utf8", Trouble("output", "utf-8")),
        ("notes_10000", Trouble("output", "")),
        ("realloc_out_of_bounds", Trouble("output", "")),
        ("realloc_overlaps", Trouble("output", "out of bounds")),
        ("recursion", Trouble("stack_overflow", "`deeper`")),
        ("reserved_claim", Trouble("overstepped", "`sub`")),
        ("result_out_of_bounds", Trouble("output", "")),
        ("result_unaligned", Trouble("output", "aligned")),
        ("simd", Refused("SIMD")),
        ("start", Refused("start function")),
        ("store_out_of_bounds", Trouble("trapped", "out of bounds")),
        ("table_10_million", Refused("10000000; the limit is 1024")),
        ("tables_8", Refused("8; the limit is 1")),
        ("undeclared_claim", Trouble("overstepped", "`gold`")),
        ("undeclared_code", Trouble("output", "`gold`")),
        ("unreachable", Trouble("trapped", "`panics`")),
        ("validate_traps", Harmless),
        ("widens_lifetime", Trouble("overstepped", "4294967295 s")),
        ("widens_scopes", Trouble("overstepped", "`admin`")),
    ]
};

#[test]
fn each_hostile_policy_comes_to_its_end_and_nobody_else_notices() {
    let listed: BTreeSet<_> = HOSTILE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<_> = fs::read_dir(hostile_directory())
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(listed, there, "the table and the directory");

    let honest = sandbox().load(&honest()).unwrap();
    for (name, end) in HOSTILE {
        comes_to(name, &hostile(name), end);
        assert_eq!(ask(&honest), Ok(honest_outcome()), "after {name}");
        // The same when it is asked in one block. That it offers one place twice does not matter
        // then: each pointer is written after what it points to.
        let in_one_block = in_one_block(hostile(name));
        match *name {
            "realloc_overlaps" => comes_to(name, &in_one_block, &End::Harmless),
            _ => comes_to(name, &in_one_block, end),
        }
        assert_eq!(ask(&honest), Ok(honest_outcome()), "after {name}");
    }
}

fn comes_to(name: &str, module: &[u8], end: &End) {
    match (sandbox().load(module), end) {
        (Err(error), End::Refused(reason)) => {
            let reasons = reasons(error);
            assert!(reasons.contains(reason), "{name}: {reasons}");
        }
        (Ok(policy), End::Trouble(code, words)) => {
            let trouble = ask(&policy).expect_err(name);
            assert_eq!(trouble.code(), *code, "{name}: {trouble}");
            assert!(trouble.to_string().contains(words), "{name}: {trouble}");
            assert!(!trouble.is_servers(), "{name}: {trouble}");
            assert_eq!(ask(&policy), Err(trouble), "{name}: the same again");
        }
        (Ok(policy), End::Harmless) => {
            ask(&policy).unwrap();
        }
        (Ok(_), End::Refused(_)) => panic!("{name} was loaded"),
        (Err(error), _) => panic!("{name} was refused: {error}"),
    }
}

#[test]
fn validate_that_panics_is_a_trouble() {
    let policy = sandbox().load(&hostile("validate_traps")).unwrap();
    let trouble = policy.validate(&[]).unwrap_err();
    assert_eq!(trouble.code(), "trapped");
}

#[test]
fn what_is_not_a_policy_is_refused() {
    let component = wat::parse_str("(component)").unwrap();
    let empty = wat::parse_str("(module)").unwrap();
    let mut cut = honest();
    cut.truncate(cut.len() - 10);
    for (module, reason) in [
        (&b"not wasm"[..], "not a WebAssembly module"),
        (&[], "not a WebAssembly module"),
        (&component, "this is a component"),
        (&empty, "evaluator"),
        (&cut, "not a valid module"),
    ] {
        let reasons = reasons(sandbox().load(module).unwrap_err());
        assert!(reasons.contains(reason), "{reasons}");
    }
}

mod compile_bombs {
    use super::*;

    /// One function whose locals are all alive across as many branches: quadratic to compile.
    fn locals(functions: usize, locals: usize, ifs: usize) -> Vec<u8> {
        let mut text = String::new();
        for function in 0..functions {
            text.push_str(&format!("(func $bomb{function} (param i32) (result i32)"));
            text.push_str(&format!("(local {})", "i32 ".repeat(locals)));
            for local in 1..=locals {
                text.push_str(&format!(
                    "(local.set {local} (i32.add (local.get 0) (i32.const {local})))"
                ));
            }
            for at in 0..ifs {
                let local = at % locals + 1;
                text.push_str(&format!(
                    "(if (local.get 0) (then (local.set {local} (local.get 0))))"
                ));
            }
            text.push_str("(local.get 0)");
            for local in 1..=locals {
                text.push_str(&format!("(i32.add (local.get {local}))"));
            }
            text.push(')');
        }
        module(&text)
    }

    fn refused(module: &[u8], reason: &str) {
        // Not `load`: nothing of a compiler is behind this call.
        let rejected = writ_sandbox::check(module, &ModuleLimits::default()).unwrap_err();
        assert!(rejected.to_string().contains(reason), "{rejected}");
    }

    #[test]
    fn are_refused_before_they_are_compiled() {
        refused(&locals(1, 10_000, 2_000), "too many locals");
        refused(&locals(2, 1_000, 1_000), "too many locals");
        refused(&locals(1, 200, 9_000), "too many bytes in a function");
        refused(&locals(16, 200, 4_000), "too many bytes of code");
        refused(&module(&"(func)".repeat(20_000)), "too many functions");
        let data = "x".repeat(300 << 10);
        refused(
            &module(&format!(
                "(memory $memory 20) (data (i32.const 65536) \"{data}\")"
            )),
            "too many bytes of data",
        );
        refused(
            &module(&format!(
                "(table $t 1 funcref) (elem func {})",
                "$evaluate ".repeat(5_000)
            )),
            "too many elements",
        );
        refused(&vec![0; 2 << 20], "the limit is 1048576");
        let parameters = "i32 ".repeat(100);
        refused(
            &module(&format!("(type (func (param {parameters})))")),
            "values in a signature",
        );
        let targets = "0 ".repeat(20_000);
        refused(
            &module(&format!(
                "(func (param i32) (block (br_table {targets} (local.get 0))))"
            )),
            "branch targets",
        );
    }

    fn unlimited(compiler_limits: CompilerLimits) -> Sandbox {
        let huge = u32::MAX as usize;
        Sandbox::new(SandboxConfig {
            compiler: child(),
            compiler_limits,
            module_limits: ModuleLimits {
                module_bytes: huge,
                code_bytes: huge,
                body_bytes: huge,
                locals: u32::MAX,
                ..ModuleLimits::default()
            },
            ..config()
        })
        .unwrap()
    }

    #[test]
    fn that_get_through_are_stopped_by_the_childs_limits() {
        let bomb = locals(1, 8_000, 8_000);
        for (limits, reason) in [
            (
                CompilerLimits {
                    cpu_seconds: 1,
                    ..CompilerLimits::default()
                },
                "more than 1 s of processor time",
            ),
            (
                CompilerLimits {
                    memory_bytes: 160 << 20,
                    ..CompilerLimits::default()
                },
                "160 MiB of memory",
            ),
            (
                CompilerLimits {
                    wall: Duration::from_millis(300),
                    ..CompilerLimits::default()
                },
                "compiling it takes more than",
            ),
        ] {
            let sandbox = unlimited(limits);
            let reasons = reasons(sandbox.load(&bomb).unwrap_err());
            assert!(reasons.contains(reason), "{reasons}");
        }
    }
}

mod child {
    use super::*;

    #[test]
    fn compiles_what_this_process_would() {
        let config = SandboxConfig {
            compiler: child(),
            ..config()
        };
        let sandbox = Sandbox::new(config).unwrap();
        assert_eq!(sandbox.fingerprint(), super::sandbox().fingerprint());
        let policy = sandbox.load(&honest()).unwrap();
        let here = super::sandbox().load(&honest()).unwrap();
        let (a, b) = (
            policy.evaluate(&request(), &settings()),
            here.evaluate(&request(), &settings()),
        );
        assert_eq!((&a.result, a.fuel), (&b.result, b.fuel));
        let reasons = reasons(
            sandbox
                .load(&module("(export \"x\" (func 99))"))
                .unwrap_err(),
        );
        assert!(reasons.contains("not a valid module"), "{reasons}");
    }

    #[test]
    fn gets_no_environment() {
        let directory = tempfile::tempdir().unwrap();
        let seen = directory.path().join("seen");
        let script = format!("{{ env; pwd; }} > {}", seen.display());
        let sandbox = Sandbox::new(SandboxConfig {
            compiler: Compiler::Child {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), script.into()],
            },
            ..config()
        })
        .unwrap();
        let error = sandbox.load(&honest()).unwrap_err();
        assert!(matches!(error, LoadError::Unavailable(_)), "{error}");
        // The shell sets what it needs itself.
        let seen = fs::read_to_string(seen).unwrap();
        for line in seen.lines() {
            let own = ["PWD=/", "OLDPWD", "SHLVL=", "_=", "/"];
            assert!(own.iter().any(|own| line.starts_with(own)), "{seen}");
        }
    }

    #[test]
    fn closes_what_it_inherits() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        // As a service manager's sockets are: inherited by every child.
        rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_writ-sandbox-compiler"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        drop(writer);
        let (sender, closed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut nothing = Vec::new();
            sender.send(reader.read_to_end(&mut nothing)).unwrap();
        });
        // The child still waits for its job, and yet nobody holds the pipe any more.
        let closed = closed.recv_timeout(Duration::from_secs(20));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(closed.unwrap().unwrap(), 0);
    }

    #[test]
    fn that_cannot_be_started_is_the_servers_trouble() {
        let sandbox = Sandbox::new(SandboxConfig {
            compiler: no_compiler(),
            ..config()
        })
        .unwrap();
        let error = sandbox.load(&honest()).unwrap_err();
        assert!(matches!(error, LoadError::Unavailable(_)), "{error}");
    }
}

mod cache {
    use super::*;

    fn with(directory: &Path, compiler: Compiler, key: u8) -> Sandbox {
        Sandbox::new(SandboxConfig {
            cache_dir: Some(directory.to_owned()),
            cache_key: [key; 32],
            compiler,
            ..config()
        })
        .unwrap()
    }

    fn only_file(directory: &Path) -> PathBuf {
        let mut files = fs::read_dir(directory).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        file
    }

    #[test]
    fn makes_compiling_again_unnecessary_and_outcomes_equal() {
        let directory = tempfile::tempdir().unwrap();
        let verdicts = |compiler| {
            let sandbox = with(directory.path(), compiler, 1);
            [honest(), in_one_block(honest())].map(|module| {
                let policy = sandbox.load(&module).unwrap();
                let verdict = policy.evaluate(&request(), &settings());
                (verdict.fuel, verdict.result.unwrap().canonical_bytes())
            })
        };
        let compiled = verdicts(Compiler::InProcess);
        assert_eq!(compiled, verdicts(no_compiler()));
    }

    #[test]
    fn is_not_believed_when_it_does_not_verify() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        with(path, Compiler::InProcess, 1).load(&honest()).unwrap();
        let file = only_file(path);
        let good = fs::read(&file).unwrap();

        let believed = |key| with(path, no_compiler(), key).load(&honest()).is_ok();
        assert!(believed(1));
        assert!(!believed(2), "under another server's key");
        for at in [0, 31, 32, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, bad).unwrap();
            assert!(!believed(1), "byte {at}");
        }
        for bad in [&good[..good.len() - 1], &good[..16], &[]] {
            fs::write(&file, bad).unwrap();
            assert!(!believed(1), "{} bytes", bad.len());
        }
        // Another module's artefact, with its own valid tag.
        fs::remove_file(&file).unwrap();
        let other = hostile("unreachable");
        with(path, Compiler::InProcess, 1).load(&other).unwrap();
        fs::rename(only_file(path), &file).unwrap();
        assert!(!believed(1), "another module's artefact");

        with(path, Compiler::InProcess, 1).load(&honest()).unwrap();
        assert!(believed(1), "compiled again and kept");
    }

    #[test]
    fn forgets_the_oldest_beyond_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: Some(directory.path().to_owned()),
            cache_bytes_max: 1,
            ..config()
        })
        .unwrap();
        for name in ["unreachable", "divide_by_zero"] {
            sandbox.load(&hostile(name)).unwrap();
            only_file(directory.path());
        }
    }

    #[test]
    fn keeps_what_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let with = |cache_bytes_max| {
            Sandbox::new(SandboxConfig {
                cache_dir: Some(directory.path().to_owned()),
                cache_bytes_max,
                ..config()
            })
            .unwrap()
        };
        let roomy = with(1 << 30);
        roomy.load(&honest()).unwrap();
        let used = only_file(directory.path());
        roomy.load(&hostile("unreachable")).unwrap();
        // All are as old, until one is used again.
        for entry in fs::read_dir(directory.path()).unwrap() {
            let file = fs::File::open(entry.unwrap().path()).unwrap();
            let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1);
            file.set_modified(long_ago).unwrap();
        }
        roomy.load(&honest()).unwrap();
        let room_for_two = fs::metadata(&used).unwrap().len() * 5 / 2;
        with(room_for_two).load(&hostile("divide_by_zero")).unwrap();
        assert!(used.exists(), "what was loaded last went first");
    }
}

#[test]
fn the_same_question_has_the_same_answer_and_fuel() {
    let modules = [
        honest(),
        in_one_block(honest()),
        hostile("unreachable"),
        in_one_block(hostile("unreachable")),
    ];
    for module in modules {
        let policy = sandbox().load(&module).unwrap();
        let verdict = || {
            let verdict = policy.evaluate(&request(), &settings());
            (
                verdict.result.map(|outcome| outcome.canonical_bytes()),
                verdict.fuel,
            )
        };
        let first = verdict();
        for _ in 0..1_000 {
            assert_eq!(verdict(), first);
        }
    }
}

#[test]
fn nothing_is_left_for_the_next_verdict() {
    // One slot, so that each instance gets the memory of the one before.
    let sandbox = Sandbox::new(SandboxConfig {
        pool: 1,
        ..config()
    })
    .unwrap();
    let writes = sandbox.load(&hostile("canary_write")).unwrap();
    let reads = sandbox.load(&hostile("canary_read")).unwrap();
    for _ in 0..50 {
        ask(&writes).unwrap();
        ask(&reads).unwrap();
        ask(&reads).unwrap();
    }
}

/// Uploads without end take neither places nor disk: each module is a policy of its own, loaded and
/// dropped.
#[test]
fn many_modules_leave_nothing_behind() {
    const MODULES: usize = 400;
    let directory = tempfile::tempdir().unwrap();
    let (cache_bytes_max, pool) = (512 << 10, 2);
    let sandbox = Sandbox::new(SandboxConfig {
        cache_dir: Some(directory.path().to_owned()),
        cache_bytes_max,
        pool,
        ..config()
    })
    .unwrap();
    let load = |number: usize| {
        let module = module(&format!("(func (result i32) (i32.const {number}))"));
        assert_eq!(ask(&sandbox.load(&module).unwrap()), Ok(honest_outcome()));
    };
    (0..MODULES / 4).for_each(load);
    let before = resident_bytes();
    (MODULES / 4..MODULES).for_each(load);
    let after = resident_bytes();
    assert_eq!(sandbox.in_use(), 0);
    let kept: u64 = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!((1..=cache_bytes_max).contains(&kept), "{kept} bytes");
    // Other tests compile meanwhile.
    assert!(after < before + (200 << 20), "{before} -> {after}");
}

#[test]
fn memory_comes_back_after_many_verdicts() {
    let sandbox = Sandbox::new(SandboxConfig {
        pool: 4,
        ..config()
    })
    .unwrap();
    let policies: Vec<_> = [
        "canary_write",
        "amplification",
        "unreachable",
        "grow_memory",
    ]
    .iter()
    .map(|name| sandbox.load(&hostile(name)).unwrap())
    .collect();
    let round = || {
        for policy in &policies {
            drop(ask(policy));
        }
    };
    (0..20).for_each(|_| round());
    let before = resident_bytes();
    (0..500).for_each(|_| round());
    assert_eq!(sandbox.in_use(), 0);
    // Other tests compile meanwhile; a leak of one instance's pages each time would be 2 GB.
    let after = resident_bytes();
    assert!(after < before + (300 << 20), "{before} -> {after}");
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Says that a thread has ended, even by a panic, so that nobody waits for it for ever.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_full_pool_and_the_clock_are_the_servers_trouble() {
    let sandbox = Sandbox::new(SandboxConfig {
        pool: 1,
        fuel: u64::MAX / 2,
        epoch_tick: Duration::from_millis(10),
        epoch_ticks: 30,
        ..SandboxConfig::default()
    })
    .unwrap();
    let looping = sandbox.load(&hostile("loop")).unwrap();
    let honest = sandbox.load(&honest()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = Ended(&done);
            // Both threads want the one slot; this one may have to ask more than once.
            let trouble = loop {
                match ask(&looping).unwrap_err() {
                    Trouble::PoolExhausted => std::thread::yield_now(),
                    trouble => break trouble,
                }
            };
            assert_eq!(trouble, Trouble::Interrupted);
            assert!(trouble.is_servers());
        });
        let mut refused = 0;
        while !done.load(Ordering::Acquire) {
            match ask(&honest) {
                Ok(outcome) => assert_eq!(outcome, honest_outcome()),
                Err(trouble) => {
                    assert_eq!(trouble, Trouble::PoolExhausted);
                    assert!(trouble.is_servers());
                    refused += 1;
                }
            }
            std::thread::yield_now();
        }
        assert!(refused > 0);
    });
    assert_eq!(ask(&honest), Ok(honest_outcome()), "it is free again");
    assert_eq!(sandbox.in_use(), 0);
}

#[test]
fn verdicts_go_on_while_modules_are_loaded() {
    let sandbox = Sandbox::new(SandboxConfig {
        compiler: child(),
        ..config()
    })
    .unwrap();
    let honest = sandbox.load(&honest()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = Ended(&done);
            for name in ["unreachable", "loop", "start", "describe_changes", "fault"] {
                drop(sandbox.load(&hostile(name)));
            }
        });
        let mut verdicts = 0u32;
        while !done.load(Ordering::Acquire) {
            assert_eq!(ask(&honest), Ok(honest_outcome()));
            verdicts += 1;
        }
        assert!(verdicts > 10, "{verdicts}");
    });
}
