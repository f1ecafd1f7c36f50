//! `writ audit …` from the outside: of a running server by its admin API, and of a stopped one from
//! its data directory.

use std::io::Write as _;

use super::*;

const SHIPPED: &str = "../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm";

/// Runs the program with something on its standard input.
fn fed(directory: &Path, arguments: &[&str], input: &str) -> Run {
    let mut command = program(directory, arguments);
    let command = command.stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    Run::finished(format!("{arguments:?}"), child)
}

#[test]
fn wrong_usage_of_audits_is_said() {
    writ(&["audit", "explain", "--data-dir", "d", "x"]).complains(2, "x is no jti");
    writ(&["audit", "backtest", "--since", "7d"]).complains(2, "--policy");
    writ(&[
        "audit",
        "backtest",
        "--since",
        "soon",
        "--without-scope",
        "a",
    ])
    .complains(2, "7d");
    writ(&["audit", "backtest", "--since", "7d", "--without-scope", "a"])
        .complains(2, "--data-dir");
    writ(&["audit", "backtest", "--since", "7d", "--without-grant", "a"])
        .complains(2, "APPLICATION/API");
    fed(&std::env::temp_dir(), &["audit", "explain", "-"], "x.y.z")
        .complains(2, "no access token of Writ");
}

#[test]
fn a_token_is_explained_and_a_policy_is_tried_on_what_was_recorded() {
    let server = dev(&["--demo"]);
    let token = ["token", "get", "--credentials", "writ-data/demo.json"];
    let token = server.says(&token);
    let run = fed(server.directory.path(), &["audit", "explain", "-"], &token).exits(0);
    for said in ["equal", "lifetime_cap_by_scope", "as recorded", "courses:"] {
        assert!(run.stdout.contains(said), "no {said:?} in {}", run.stdout);
    }
    let signature = token.trim().rsplit('.').next().unwrap();
    assert!(!run.stdout.contains(signature) && !run.stderr.contains(signature));
    let explain = ["audit", "explain", "-", "--json"];
    let run = fed(server.directory.path(), &explain, &token).exits(0);
    let by_server: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(text(&by_server, "/verdict"), "equal");
    let jti = text(&by_server, "/id").to_owned();
    assert_eq!(server.json(&["audit", "explain", &jti]), by_server);
    let local = ["audit", "explain", &jti, "--data-dir", "writ-data"];
    server.run(&local).complains(1, "leaving out --data-dir");
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    let unknown = ["audit", "explain", nobody];
    server.run(&unknown).complains(1, "issuance_unknown");

    let directory = server.stop();
    let run = |arguments: &[&str]| Run::of(&mut program(directory.path(), arguments));
    let explained = run(&[&local[..], &["--json"]].concat()).exits(0);
    let by_hand: Value = serde_json::from_str(&explained.stdout).unwrap();
    assert_eq!(by_hand, by_server);
    // And of an archive, which has what is needed for it.
    run(&[
        "audit",
        "export",
        "--data-dir",
        "writ-data",
        "--to",
        "archive",
    ])
    .exits(0);
    let archived = ["audit", "explain", &jti, "--archive", "archive", "--json"];
    let archived: Value = serde_json::from_str(&run(&archived).exits(0).stdout).unwrap();
    assert_eq!(archived, by_server);
    run(&["audit", "explain", nobody, "--data-dir", "writ-data"])
        .complains(1, "there is no record of");

    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED);
    let shipped = shipped.to_str().unwrap();
    let backtest = [
        "audit",
        "backtest",
        "--data-dir",
        "writ-data",
        "--since",
        "1d",
    ];
    let candidate = [
        "--policy",
        shipped,
        "--setting",
        "caps=[\"*=7\"]",
        "--out",
        "differences.jsonl",
    ];
    let tried = run(&[&backtest[..], &candidate].concat()).exits(0);
    assert!(tried.stdout.contains("shortened"), "{}", tried.stdout);
    assert!(tried.stdout.contains("a second"), "{}", tried.stdout);
    assert!(tried.stderr.contains("1 differences"), "{}", tried.stderr);
    let lines = fs::read_to_string(directory.path().join("differences.jsonl")).unwrap();
    let difference: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(text(&difference, "/id"), jti);
    assert_eq!(difference.pointer("/now/lifetime_seconds"), Some(&7.into()));
    assert_eq!(mode(&directory.path().join("differences.jsonl")), 0o600);
    run(&[&backtest[..], &candidate].concat()).complains(1, "nothing is overwritten");
    let settings = ["--policy", shipped, "--setting", "caps=7s"];
    run(&[&backtest[..], &settings].concat()).complains(1, "caps");

    let scope = text(&difference, "/recorded/scopes/0").to_owned();
    let without = ["--without-scope", &scope, "--json"];
    let tried = run(&[&backtest[..], &without].concat()).exits(0);
    let report: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!(report.pointer("/decisions/denied"), Some(&1.into()));
    let application = text(&difference, "/application");
    let lost = format!("/applications/{application}/scopes/{scope}/lost");
    assert_eq!(report.pointer(&lost), Some(&1.into()));
    // And of an archive the same.
    let archived = ["audit", "backtest", "--archive", "archive", "--since", "1d"];
    let tried = run(&[&archived[..], &without].concat()).exits(0);
    let of_archive: Value = serde_json::from_str(&tried.stdout).unwrap();
    for member in ["decisions", "applications"] {
        assert_eq!(of_archive[member], report[member]);
    }
}
