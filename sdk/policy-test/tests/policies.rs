//! Every policy of `policies/`, and a new one, as a module in the server's own engine: they are
//! built, and their cases are run. The module that the demo binds behaves like its source.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use proptest::prelude::*;
use writ_policy_test::wasm::{self, Build};
use writ_policy_test::{Options, Report, run_cases_in, sandbox, scaffold};
use writ_sandbox::testkit::{any_named, any_request};
use writ_sandbox::{Sandbox, SandboxConfig};

/// More than the hungriest of them uses, less than a tenth of what a server gives.
const FUEL_MAX: u64 = 60_000;

/// The module that is shipped, so that `writ dev --demo` needs no toolchain.
const DEMO: &str = "lifetime_cap_by_scope";

/// How long cargo may take for a small package on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether policies can be compiled here. With `CI` set, that they cannot is a failure.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests")]
fn can_compile(left_out: &str) -> bool {
    match wasm::target() {
        Ok(()) => true,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("left out: {left_out}: {error}");
            false
        }
    }
}

fn run(module: &[u8], cases: &Path) -> Report {
    let options = Options {
        fuel_max: FUEL_MAX,
        ..Options::default()
    };
    run_cases_in(&sandbox().unwrap(), module, cases, options).unwrap()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures, with --nocapture")]
fn every_policy_does_what_its_cases_say() {
    if !can_compile("the cases of policies/ in the engine") {
        return;
    }
    let mut packages = Vec::new();
    for entry in fs::read_dir(root().join("policies")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().join("Cargo.toml").exists() {
            packages.push(entry.file_name().into_string().unwrap());
        }
    }
    packages.sort();
    assert!(packages.len() >= 6, "{packages:?}");
    let modules = Build {
        packages: packages.clone(),
        profile: "policy".to_owned(),
        target_directory: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies")),
        // Whoever runs this has built them for the host, and has all they need.
        offline: true,
        ..Build::of(root())
    }
    .run()
    .unwrap();
    assert_eq!(modules.len(), packages.len());

    for path in modules {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let directory = root().join("policies").join(name);
        let report = run(&fs::read(&path).unwrap(), &directory.join("cases"));
        println!("{name}\n{report}\n");
        assert!(report.passed(), "{name}\n{report}");
        assert_eq!(report.descriptor.name, name);
        assert!(!report.descriptor.doc.is_empty());

        // The README names every setting.
        let readme = fs::read_to_string(directory.join("README.md")).unwrap();
        for setting in &report.descriptor.settings {
            let named = readme.contains(&format!("`{}`", setting.name));
            assert!(named, "{name}'s README has no `{}`", setting.name);
            assert!(!setting.doc.is_empty(), "{name}: {}", setting.name);
        }

        if name == DEMO {
            let shipped = fs::read(directory.join(format!("{name}.wasm"))).unwrap();
            let shipped = run(&shipped, &directory.join("cases"));
            assert_eq!(
                shipped.descriptor, report.descriptor,
                "build the demo's module again"
            );
            let answers = |report: &Report| -> Vec<_> {
                let cases = report.cases.iter();
                cases
                    .map(|case| (case.name.clone(), case.answer.clone()))
                    .collect()
            };
            assert_eq!(
                answers(&shipped),
                answers(&report),
                "build the demo's module again"
            );
        }
    }
}

#[test]
fn the_demos_module_needs_no_toolchain() {
    let directory = root().join("policies").join(DEMO);
    let module = fs::read(directory.join(format!("{DEMO}.wasm"))).unwrap();
    let report = run(&module, &directory.join("cases"));
    assert!(report.passed(), "{report}");
    assert!(
        module.len() < 100_000,
        "{} bytes are in every clone",
        module.len()
    );
    // It is the same for everyone: nothing of whoever built it is in it.
    let homes = ["home", "root", "tmp"].map(|directory| format!("/{directory}/"));
    for place in homes.iter().map(String::as_str).chain([".cargo"]) {
        let place = place.as_bytes();
        assert!(!module.windows(place.len()).any(|bytes| bytes == place));
    }
}

#[test]
fn a_wrong_case_fails_and_says_how() {
    let directory = root().join("policies").join(DEMO);
    let module = fs::read(directory.join(format!("{DEMO}.wasm"))).unwrap();
    let cases = tempfile::tempdir().unwrap();
    let case = "settings.caps = [\"a=60\"]\nrequest.scopes = [\"a\"]\n\
                expect.decision = \"allow\"\nexpect.lifetime = 61\n";
    fs::write(cases.path().join("wrong.toml"), case).unwrap();
    let report = run(&module, cases.path());
    assert!(!report.passed());
    assert!(
        report
            .to_string()
            .contains("expected lifetime 61, found 60"),
        "{report}"
    );

    // Less fuel than it needs is noticed too.
    let options = Options {
        fuel_max: 100,
        ..Options::default()
    };
    fs::write(cases.path().join("wrong.toml"), case.replace("61", "60")).unwrap();
    let report = run_cases_in(&sandbox().unwrap(), &module, cases.path(), options).unwrap();
    assert!(
        report.to_string().contains("of fuel, above 100"),
        "{report}"
    );
}

#[test]
fn a_new_policy_builds_and_tests_at_once_and_offline() {
    let new = tempfile::tempdir().unwrap();
    for (path, text) in scaffold::files("night-watch").unwrap() {
        let template = !path.starts_with("sdk/");
        assert!(
            !template || !text.contains("{{"),
            "{path} has a place that nobody filled in"
        );
        let path = new.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // A cargo that has never seen a registry.
    let home = tempfile::tempdir().unwrap();
    let cargo = |arguments: &[&str]| {
        let child = Command::new("cargo")
            .current_dir(new.path())
            .args(arguments)
            .env("CARGO_HOME", home.path())
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", new.path().join("target"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, ended) = channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let output = ended
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("cargo {arguments:?} did not end in {LIMIT:?}"))
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cargo {arguments:?}\n{said}");
        assert!(!said.contains("warning"), "{said}");
    };
    cargo(&["test", "--offline"]);
    if !can_compile("a new policy as a module") {
        return;
    }
    cargo(&["build", "--offline", "--release", "--target", wasm::TARGET]);
    let module = format!("target/{}/release/night_watch.wasm", wasm::TARGET);
    let module = fs::read(new.path().join(module)).unwrap();
    let report = run(&module, &new.path().join("cases"));
    assert!(report.passed(), "{report}");
    assert_eq!(report.descriptor.name, "night-watch");
}

/// A policy that needs much memory, or panics, as its setting says.
const HUNGRY: &str = r#"//! Needs memory.
use writ_policy::prelude::*;

#[writ_policy::policy()]
fn evaluate(request: &Request, settings: &Hungry) -> Result<Outcome, Fault> {
    // Pieces of all sizes and alignments between lists that grow: none may overlap another.
    let mut pieces: Vec<(u64, Vec<u64>, Vec<u8>)> = Vec::new();
    let mut grows: Vec<u64> = Vec::new();
    for number in 0..settings.pieces as u64 {
        let size = 1 + (number * 7 % 97) as usize;
        pieces.push((number, vec![number; size], vec![number as u8; size]));
        grows.push(number);
        assert!(number != settings.panics_at as u64, "as it was told to");
    }
    // What a list gives back is not handed out again: it would not be zeros.
    let mut given_back = vec![7_u8; 500];
    given_back.truncate(1);
    given_back.shrink_to_fit();
    let zeros = vec![0_u8; 100 + settings.zeros as usize];
    if zeros.iter().step_by(97).any(|byte| *byte != 0) {
        return Err("memory that is not zero".into());
    }
    for (number, wide, narrow) in &pieces {
        let wide = wide.iter().all(|one| one == number);
        if !wide || narrow.iter().any(|one| *one != *number as u8) {
            return Err("two pieces overlap".into());
        }
    }
    if !grows.iter().copied().eq(0..settings.pieces as u64) {
        return Err("a list lost its elements".into());
    }
    allow(request).into()
}

#[derive(Settings)]
struct Hungry {
    pieces: u32,
    #[setting(default = 0)]
    zeros: u32,
    #[setting(default = -1)]
    panics_at: i64,
}
"#;

const HUNGRY_CASES: &str = r#"
[[case]]
name = "within what is there from the start"
settings.pieces = 40
expect.decision = "allow"

[[case]]
name = "memory grows, page by page"
settings.pieces = 200
expect.decision = "allow"

[[case]]
name = "and at once"
settings = { pieces = 30, zeros = 1_000_000 }
expect.decision = "allow"

[[case]]
name = "beyond its limit the policy is ended"
settings = { pieces = 1, zeros = 8_000_000 }
expect.decision = "fault"
expect.reason = "too much memory"

[[case]]
name = "a panic is a trap"
settings = { pieces = 40, panics_at = 7 }
expect.decision = "fault"
expect.reason = "trapped"
"#;

#[test]
fn memory_grows_as_needed_and_a_panic_traps() {
    if !can_compile("the guest's allocator") {
        return;
    }
    let new = tempfile::tempdir().unwrap();
    let module = built(new.path(), HUNGRY);
    let cases = new.path().join("cases");
    fs::write(cases.join("first.toml"), HUNGRY_CASES).unwrap();
    let options = Options {
        variations: false,
        ..Options::default()
    };
    let report = run_cases_in(&sandbox().unwrap(), &module, &cases, options).unwrap();
    assert!(report.passed(), "{report}");
}

/// The module of a new policy with this source.
fn built(directory: &Path, source: &str) -> Vec<u8> {
    for (path, text) in scaffold::files("new").unwrap() {
        let text = match path.as_str() {
            "src/lib.rs" => source,
            _ => &text,
        };
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let build = Build {
        target_directory: Some(directory.join("target")),
        offline: true,
        ..Build::of(directory)
    };
    fs::read(&build.run().unwrap()[0]).unwrap()
}

/// A policy that says what it was asked, as a digest.
const ECHO: &str = r#"//! Says what it was asked.
use writ_policy::prelude::*;
use writ_policy::{Named, Problem, Setting};

#[writ_policy::policy()]
fn evaluate(request: &Request, settings: &Everything) -> Result<Outcome, Fault> {
    let asked = format!("{request:?} {:?}", settings.0);
    // FNV-1a, of 64 bits.
    let digest = asked.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    allow(request)
        .note("asked", format!("{} bytes, {digest:016x}", asked.len()))
        .into()
}

struct Everything(Vec<Named>);

impl Settings for Everything {
    fn schema() -> Vec<Setting> {
        Vec::new()
    }

    fn read(values: &[Named]) -> Result<Self, Vec<Problem>> {
        Ok(Self(values.to_vec()))
    }
}
"#;

#[test]
fn a_policy_sees_the_same_however_the_server_writes_it_into_its_memory() {
    if !can_compile("what a policy sees") {
        return;
    }
    let new = tempfile::tempdir().unwrap();
    let module = built(new.path(), ECHO);
    // The same policy, which no longer says that its allocator takes nothing back.
    let mut general = module.clone();
    let says = b"\x15writ-policy-allocator";
    let said: Vec<usize> = (0..module.len())
        .filter(|at| module[*at..].starts_with(says))
        .collect();
    assert_eq!(said.len(), 1, "the section that the SDK writes");
    general[said[0] + 1] = b'W';

    // To write a whole question out takes more fuel than there is in production.
    let sandbox = Sandbox::new(SandboxConfig {
        fuel: u64::MAX / 2,
        epoch_ticks: 1_000,
        ..SandboxConfig::default()
    });
    let sandbox = sandbox.unwrap();
    let [in_one_block, piece_by_piece] =
        [&module, &general].map(|module| sandbox.load(module).unwrap());
    let seen = RefCell::new(BTreeSet::new());
    proptest!(|(request in any_request(), settings in any_named())| {
        let whole = in_one_block.evaluate(&request, &settings);
        let pieces = piece_by_piece.evaluate(&request, &settings);
        prop_assert_eq!(&whole.result, &pieces.result);
        prop_assert!(whole.fuel < pieces.fuel, "{} and {}", whole.fuel, pieces.fuel);
        let again = in_one_block.evaluate(&request, &settings);
        prop_assert_eq!((&whole.result, whole.fuel), (&again.result, again.fuel));
        let said = whole.result.unwrap().notes.remove(0).text;
        seen.borrow_mut().insert(said);
    });
    let seen = seen.into_inner().len();
    assert!(seen > 100, "{seen} answers to all of the questions");
}

#[test]
fn a_new_policy_brings_the_whole_sdk() {
    let files = scaffold::files("night-watch").unwrap();
    let mut there = Vec::new();
    let mut directories: Vec<PathBuf> = ["policy/src", "policy/wit", "policy-macros/src"]
        .map(|directory| root().join("sdk").join(directory))
        .to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
                there.push(path.to_owned());
            }
        }
    }
    for path in &there {
        assert!(
            files.iter().any(|(file, _)| file == path),
            "{path} is left out"
        );
    }
    for bad in [
        "",
        "Night",
        "9lives",
        "night watch",
        "night/watch",
        "../up",
        "-x",
        // It would be two packages of one name.
        "writ-policy",
        "writ_policy_macros",
    ] {
        assert!(scaffold::files(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_engine_and_the_sdk_mean_the_same() {
    let mut reserved = writ_policy::testing::RESERVED_CLAIMS.to_vec();
    let mut engines = writ_sandbox::RESERVED_CLAIMS.to_vec();
    reserved.sort_unstable();
    engines.sort_unstable();
    assert_eq!(reserved, engines);
}
