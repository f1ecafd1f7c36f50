//! The command line from end to end: `init`, `serve`, the verbs of the admin API, and what an
//! operator does at the machine with the server stopped.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use writ_tests::{Application, Finished, Http, PATIENCE, Process, binary};

/// A directory with a `writ.toml` for `serve`, and `data` for its data.
struct Node {
    directory: TempDir,
    base: String,
}

impl Node {
    fn new() -> Self {
        // Free now; the issuer must be known before the server is.
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        let base = format!("http://localhost:{port}");
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "data_dir = \"data\"\nissuer = \"{base}\"\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\nplain = true\n\
             [ops]\nlisten = \"127.0.0.1:0\"\n"
        );
        std::fs::write(directory.path().join("writ.toml"), config).unwrap();
        Self { directory, base }
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.directory.path().join(file)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("WRIT_ADMIN_FILE", self.path("data/admin.json"));
        command
    }

    fn writ(&self, arguments: &[&str]) -> Finished {
        let name = format!("writ {}", arguments.join(" "));
        Process::run(&name, self.command(arguments), PATIENCE)
    }

    /// What a verb prints with `--json`.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [&["--json"], arguments].concat();
        let finished = self.writ(&arguments).expect_success(&arguments.join(" "));
        serde_json::from_str(&finished.stdout).unwrap()
    }

    fn serve(&self) -> Process {
        let process = Process::spawn(
            "writ serve",
            self.command(&["serve", "--config", "writ.toml"]),
        );
        assert_eq!(process.line("writ: listening on "), self.base);
        process
    }

    fn http(&self) -> Http {
        Http::new(&self.base, None)
    }
}

fn stop(mut server: Process) {
    server.terminate();
    assert_eq!(server.wait(PATIENCE).code(), Some(0), "{}", server.stderr());
}

#[track_caller]
fn assert_refused(finished: &Finished, word: &str) {
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains(word), "{finished:?}");
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_operator_runs_a_node_by_the_command_line() {
    let node = Node::new();
    initialise(&node);
    let server = node.serve();
    let job = register_and_authorize(&node);
    refusals_say_why(&node, &job);
    stop(server);
    the_master_key_is_changed(&node);
    an_administrator_is_recovered(&node, &job);
}

fn initialise(node: &Node) {
    let init = ["init", "--config", "writ.toml"];
    node.writ(&init).expect_success("writ init");
    assert_eq!(mode(&node.path("data/admin.json")), 0o600);
    assert_eq!(mode(&node.path("data/master.key")), 0o600);
    let admin = std::fs::read_to_string(node.path("data/admin.json")).unwrap();
    let admin: Value = serde_json::from_str(&admin).unwrap();
    assert_eq!(
        admin["token_endpoint"],
        format!("{}/oauth2/token", node.base)
    );
    let again = node.writ(&init);
    assert_eq!(again.status.code(), Some(1), "{again:?}");

    let shown = node.writ(&["config", "show", "--config", "writ.toml"]);
    let shown = shown.expect_success("writ config show").stdout;
    assert!(shown.contains(&node.base), "{shown}");
    node.writ(&["config", "check", "--config", "writ.toml"])
        .expect_success("writ config check");
}

fn register_and_authorize(node: &Node) -> Application {
    let api = "https://cli.example/api";
    let scope = "cli:use=Use it";
    let arguments = [
        "api-resource",
        "create",
        api,
        "--name",
        "CLI",
        "--scope",
        scope,
    ];
    let created = node.json(&arguments);
    assert_eq!(created["identifier"], api);
    node.writ(&["application", "create", "Job", "--secret-file", "job.json"])
        .expect_success("writ application create");
    assert_eq!(mode(&node.path("job.json")), 0o600);
    let job = Application::from_file(&node.http(), &node.path("job.json"));
    let refused = job.token(&[("scope", "cli:use")]).expect(400);
    assert_eq!(refused.text("error"), "invalid_scope");
    node.writ(&["application", "authorize", &job.id, api, "cli:use"])
        .expect_success("writ application authorize");
    job.access_token(&[("scope", "cli:use")]);

    let listed = node.json(&["application", "list"]);
    assert!(listed.to_string().contains(&job.id), "{listed}");
    let as_text = node.writ(&["application", "list"]);
    assert!(
        as_text
            .expect_success("writ application list")
            .stdout
            .contains("Job")
    );
    let preview = [
        "application",
        "preview-token",
        &job.id,
        "--scope",
        "cli:use",
    ];
    assert_eq!(node.json(&preview)["granted"], true);

    let why = ["--reason", "a test of the command line"];
    let disable = ["application", "disable", &job.id];
    node.writ(&[&disable[..], &why].concat())
        .expect_success("writ application disable");
    job.token(&[("scope", "cli:use")]).expect(401);
    node.writ(&["application", "enable", &job.id])
        .expect_success("writ application enable");
    job
}

fn refusals_say_why(node: &Node, job: &Application) {
    let unknown = "0".repeat(26);
    assert_refused(
        &node.writ(&["application", "show", &unknown]),
        "application_unknown",
    );
    let remove = ["api-resource", "remove", "https://cli.example/api"];
    let used = node.writ(&remove);
    assert_refused(&used, "in_use");
    assert!(used.stderr.contains("Job"), "{used:?}");
    job.access_token(&[("scope", "cli:use")]);
    let usage = node.writ(&["application", "no-such-verb"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    let running = node.writ(&["admin", "recover", "--config", "writ.toml"]);
    assert_eq!(running.status.code(), Some(1), "{running:?}");
}

fn the_master_key_is_changed(node: &Node) {
    let before = std::fs::read(node.path("data/master.key")).unwrap();
    node.writ(&["keys", "new-master-key", "new.key"])
        .expect_success("writ keys new-master-key");
    let reseal = [
        "keys",
        "reseal",
        "--config",
        "writ.toml",
        "--new-master-key-file",
        "new.key",
    ];
    node.writ(&reseal).expect_success("writ keys reseal");
    assert_ne!(std::fs::read(node.path("data/master.key")).unwrap(), before);
    assert_eq!(mode(&node.path("data/master.key")), 0o600);
}

fn an_administrator_is_recovered(node: &Node, job: &Application) {
    let before = std::fs::read(node.path("data/admin.json")).unwrap();
    let recover = [
        "admin",
        "recover",
        "--config",
        "writ.toml",
        "--admin-name",
        "Rescuer",
    ];
    node.writ(&recover).expect_success("writ admin recover");
    assert_ne!(std::fs::read(node.path("data/admin.json")).unwrap(), before);
    let server = node.serve();
    // Keys sealed anew sign, what was there is there, and who is in now may remove it.
    job.access_token(&[("scope", "cli:use")]);
    let listed = node.json(&["application", "list"]);
    assert!(listed.to_string().contains("Rescuer"), "{listed}");
    let remove = [
        "api-resource",
        "remove",
        "https://cli.example/api",
        "--cascade",
    ];
    node.writ(&remove)
        .expect_success("writ api-resource remove --cascade");
    job.token(&[("scope", "cli:use")]).expect(400);
    stop(server);
}
