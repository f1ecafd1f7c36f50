//! The README is true: its commands are run as they are printed, and its file map is the tree.
//!
//! - A fenced `sh` block after the line `<!-- run -->` is run by bash; it must succeed. All such
//!   blocks run one after the other in one copy of the repository, each in a shell of its own that
//!   starts at the root.
//! - After `<!-- run in background -->` it is a program that stays: the next block runs when it has
//!   printed a line with `listening on`. It is ended when all blocks have run.
//! - The commands of `sdk/policy/README.md`, the first steps of an author of policies, are run
//!   where those of the README have left the server running.
//! - `cargo run --release -- …` runs the `writ` that was built for these tests, and `writ` is on
//!   the path. `.ci/run` runs the real thing.
//! - The fenced block after `<!-- file map -->` names a path first on each line.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use writ_tests::{PATIENCE, Process, binary, outside, poll, repository};

use crate::tidy::files;

/// The ports that the README's commands name.
const PORTS: [u16; 4] = [9443, 9444, 9445, 3000];

/// What stands between a marker and its block.
#[derive(Debug, PartialEq)]
enum Mark {
    Run,
    RunInBackground,
    FileMap,
}

/// The marked fenced blocks of a Markdown text.
fn blocks(text: &str) -> Vec<(Mark, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mark = match line.trim() {
            "<!-- run -->" => Mark::Run,
            "<!-- run in background -->" => Mark::RunInBackground,
            "<!-- file map -->" => Mark::FileMap,
            _ => continue,
        };
        let fence = lines.find(|line| !line.trim().is_empty()).unwrap_or("");
        assert!(
            fence.starts_with("```"),
            "a fenced block follows {line}, not {fence:?}"
        );
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .collect();
        found.push((mark, block.join("\n")));
    }
    found
}

fn readme() -> Vec<(Mark, String)> {
    page("README.md")
}

fn page(path: &str) -> Vec<(Mark, String)> {
    blocks(&fs::read_to_string(repository().join(path)).unwrap())
}

/// Whether policies can be compiled here.
fn can_compile_policies(checks: &str) -> bool {
    match writ_policy_test::wasm::target() {
        Ok(()) => true,
        Err(error) => {
            outside::left_out(checks, &error.to_string());
            false
        }
    }
}

#[test]
fn the_commands_run_as_printed() {
    let checks = "the README's commands";
    if !outside::have(&["bash", "curl", "jq", "node", "npm"], checks) {
        return;
    }
    let taken = PORTS
        .iter()
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, **port)).is_err());
    if let Some(port) = taken {
        outside::left_out(checks, &format!("port {port} is in use"));
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    for file in files() {
        let to = copy.path().join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(repository().join(&file), to).unwrap();
    }
    let mut background = Vec::new();
    let mut run = 0;
    let mut steps = readme();
    if can_compile_policies("the first steps of an author of policies") {
        let first_steps = page("sdk/policy/README.md");
        assert!(first_steps.len() >= 6, "the way to a token that obeys");
        steps.extend(first_steps);
    }
    for (mark, block) in steps {
        match mark {
            Mark::Run => {
                let shell = shell(&block, copy.path());
                Process::run("bash", shell, Duration::from_secs(300)).expect_success(&block);
                run += 1;
            }
            Mark::RunInBackground => {
                let mut process = Process::spawn_group("bash", shell(&block, copy.path()));
                poll(&block, || {
                    let ended = process.ended();
                    assert!(
                        ended.is_none(),
                        "{block}\nended: {ended:?}\n{}",
                        process.stderr()
                    );
                    process.stdout().contains("listening on").then_some(())
                });
                background.push(process);
                run += 1;
            }
            Mark::FileMap => {}
        }
    }
    assert!(run >= 3, "the README shows how to run Writ");
    for mut process in background {
        process.terminate();
        process.wait(PATIENCE);
    }
}

/// Bash for a block.
fn shell(block: &str, directory: &Path) -> Command {
    let writ = binary();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = vec![writ.parent().unwrap().to_path_buf()];
    paths.extend(std::env::split_paths(&path));
    let built = "cargo() { if [ \"${*:1:3}\" = 'run --release --' ]; then shift 3; writ \"$@\"; \
                 else command cargo \"$@\"; fi; }";
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{built}\n{block}")])
        .current_dir(directory)
        .env("PATH", std::env::join_paths(paths).unwrap());
    bash
}

#[test]
fn the_file_map_is_the_tree() {
    let maps = readme()
        .into_iter()
        .filter(|(mark, _)| *mark == Mark::FileMap);
    let named: BTreeSet<String> = maps
        .flat_map(|(_, block)| {
            let paths = block
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            paths
                .map(|path| path.trim_end_matches('/').to_owned())
                .collect::<Vec<String>>()
        })
        .collect();
    assert!(!named.is_empty(), "the README has a file map");
    for path in &named {
        assert!(
            repository().join(path).exists(),
            "the file map names {path}, which is not there"
        );
    }
    // Every crate and every visible thing at the top must be on the map.
    for file in files() {
        let top = file.iter().next().unwrap().to_string_lossy().into_owned();
        let hidden = top.starts_with('.');
        let under_top = named.iter().any(|path| Path::new(path).starts_with(&top));
        assert!(hidden || under_top, "{top} is not on the file map");
        if file.ends_with("Cargo.toml") && file.iter().count() > 1 {
            let place = file.parent().unwrap().to_string_lossy().into_owned();
            let on_map = named
                .iter()
                .any(|path| path == &place || path.starts_with(&format!("{place}/")));
            assert!(on_map, "the crate {place} is not on the file map");
        }
    }
}
