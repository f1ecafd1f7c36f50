//! Keys instead of secrets: they are made here, sign the verbs in, and are what tokens are bound to.

use super::*;
use serde_json::json;

/// The claims of a token.
fn claims(token: &str) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.trim().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The administrator of a server.
fn administrator(server: &Server) -> String {
    let file = fs::read(server.path("writ-data/admin.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    text(&file, "/client_id").to_owned()
}

#[test]
fn an_administrator_goes_on_by_a_key_where_secrets_are_not_taken() {
    let server = dev(&[]);
    let id = administrator(&server);
    let id = id.as_str();
    let made = server.json(&["application", "add-key", id, "--key-file", "key.json"]);
    let file = fs::read_to_string(server.path("key.json")).unwrap();
    let mode = fs::metadata(server.path("key.json")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o600);
    assert!(file.contains(text(&made, "/kid")) && !file.contains("client_secret"));
    let shown = server.json(&["application", "authentication", "show", id]);
    let keys = json!(shown["jwks"]["keys"]);
    assert_eq!(keys[0]["kid"], made["kid"]);
    assert!(keys[0].get("d").is_none(), "{keys}");
    // A file that is there is not written over, and no key is registered for nothing.
    let again = ["application", "add-key", id, "--key-file", "key.json"];
    server
        .run(&again)
        .complains(1, "cannot make the secret file");
    let same = server.json(&["application", "authentication", "show", id]);
    assert_eq!(same, shown);

    // Secrets are taken no more, and proofs must have a nonce.
    let strict = "security.profile=fapi2";
    server.json(&["settings", "set", strict, "dpop.require_nonce=true"]);
    let list = ["application", "list"];
    server.run(&list).complains(1, "takes no secrets");
    let by_key = |arguments: &[&str]| {
        let all = [arguments, &["--admin-file", "key.json"]].concat();
        server.run(&all)
    };
    assert!(by_key(&list).exits(0).stdout.contains(id));
    let create = ["application", "create", "Job", "--key-file", "job.json"];
    by_key(&create).exits(0);
    let used = by_key(&["application", "credentials", id]).exits(0).stdout;
    assert!(used.contains(text(&made, "/kid")), "{used}");

    // A token for other programs, and a proof for one request with it.
    let get = ["token", "get"];
    by_key(&get).complains(1, "");
    let token = by_key(&[&get[..], &["--dpop"]].concat()).exits(0).stdout;
    let bound = claims(&token);
    assert_eq!(bound["sub"], id);
    let jkt = text(&bound, "/cnf/jkt");
    let url = "https://api.example/x";
    let proof = by_key(&["token", "proof", "GET", url, token.trim(), "--nonce", "n"]);
    let proof = claims(&proof.exits(0).stdout);
    assert_eq!((&proof["htm"], &proof["htu"]), (&json!("GET"), &json!(url)));
    assert_eq!(proof["nonce"], "n");
    assert!(proof["ath"].is_string() && !jkt.is_empty());
    let without = ["token", "get", "--dpop"];
    server.run(&without).complains(1, "has no private_key");

    // The way back in when the key is lost.
    let directory = server.stop();
    let recover = ["admin", "recover", "--data-dir", "writ-data"];
    Run::of(&mut program(directory.path(), &recover)).exits(0);
    let start = ["dev", "--http", "--listen", "127.0.0.1:0"];
    let server = Server::start(directory, &start);
    let found = server.says(&list);
    assert!(found.contains(id), "{found}");
}

#[test]
fn with_only_a_key_no_secret_proves_an_application() {
    let server = dev(&[]);
    let made = server.json(&[
        "application",
        "create",
        "Job",
        "--secret-file",
        "secret.json",
    ]);
    let id = text(&made, "/client_id");
    let add = [
        "application",
        "add-key",
        id,
        "--key-file",
        "key.json",
        "--only",
    ];
    server.says(&add);
    let introspect =
        |file: &str| server.run(&["token", "introspect", "a.b.c", "--credentials", file]);
    introspect("secret.json").complains(1, "does not accept the credentials");
    assert!(introspect("key.json").exits(0).stdout.contains("false"));
    let uri = [
        "--method",
        "private_key_jwt",
        "--jwks-uri",
        "https://job.example/keys",
    ];
    server.says(&[&["application", "authentication", "set", id], &uri[..]].concat());
    let add = ["application", "add-key", id, "--key-file", "other.json"];
    server.run(&add).complains(1, "https://job.example/keys");
    assert!(!server.path("other.json").exists());
}
