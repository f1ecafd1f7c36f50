//! How applications authenticate, whom they trust, and what bounds their tokens.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A server, and an application of it.
fn with_job() -> (Server, String) {
    let server = dev(&[]);
    let made = server.json(&["application", "create", "Job", "--secret-file", "job.json"]);
    let id = text(&made, "/client_id").to_owned();
    (server, id)
}

/// A key pair: its certificate, and its public key as a JWK.
fn pair() -> (rcgen::CertifiedKey<rcgen::KeyPair>, Value) {
    let pair = rcgen::generate_simple_self_signed(["job.example".to_owned()]).unwrap();
    let (x, y) = pair.signing_key.public_key_raw()[1..].split_at(32);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "2026" });
    (pair, jwk)
}

#[test]
fn how_an_application_authenticates_is_shown_changed_and_reset() {
    let (server, id) = with_job();
    let id = id.as_str();
    let authentication = |verb: &str, more: &[&str]| {
        let all = [&["application", "authentication", verb, id], more].concat();
        server.run(&all)
    };
    let set = |more: &[&str]| -> Value {
        let run = authentication("set", &[more, &["--json"]].concat()).exits(0);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let (pair, jwk) = pair();
    fs::write(server.path("one.jwk"), jwk.to_string()).unwrap();
    let keys = json!({ "keys": [jwk] });
    fs::write(server.path("set.jwks"), keys.to_string()).unwrap();
    // A chain has those of authorities behind it.
    let other = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let chain = pair.cert.pem() + &other.cert.pem();
    fs::write(server.path("job.pem"), chain).unwrap();
    let digest: [u8; 32] = Sha256::digest(pair.cert.der()).into();
    let digest = writ_core::codec::hex(&digest);

    let shown = authentication("show", &[]).exits(0).stdout;
    assert!(
        shown.contains("client_secret_basic client_secret_post"),
        "{shown}"
    );
    let value = set(&["--method", "private_key_jwt", "--jwks", "one.jwk"]);
    assert_eq!(value["methods"], json!(["private_key_jwt"]));
    assert_eq!(value["jwks"], keys);
    // What is not named stays.
    let value = set(&[
        "--method",
        "self_signed_tls_client_auth",
        "--method",
        "private_key_jwt",
        "--certificate",
        "job.pem",
        "--profile",
        "fapi2",
    ]);
    assert_eq!(value["certificates"], json!([digest]));
    assert_eq!(value["jwks"], keys);
    let value = set(&["--certificate-subject", "uri:spiffe://example.org/job"]);
    assert_eq!(
        value["certificate_subject"],
        json!({ "uri": "spiffe://example.org/job" })
    );
    assert_eq!(
        (&value["profile"], &value["jwks"]),
        (&json!("fapi2"), &keys)
    );
    // Keys are in one place.
    let value = set(&[
        "--jwks-uri",
        "https://job.example/keys",
        "--remove",
        "certificates",
    ]);
    assert_eq!(value.get("jwks"), None);
    assert_eq!(value.get("certificates"), None);
    let value = set(&[
        "--jwks",
        "set.jwks",
        "--remove",
        "certificate-subject",
        "--method",
        "private_key_jwt",
    ]);
    assert_eq!((&value["jwks"], value.get("jwks_uri")), (&keys, None));
    let shown = authentication("show", &[]).exits(0).stdout;
    assert!(
        shown.contains("2026  EC P-256") && shown.contains("fapi2"),
        "{shown}"
    );
    let shown = server.says(&["application", "show", id]);
    assert!(shown.contains("2026  EC P-256"), "{shown}");

    // A private key does not leave the machine: the server was never asked.
    let mut private = keys;
    private["keys"][0]["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I");
    fs::write(server.path("private.jwks"), private.to_string()).unwrap();
    let wrong = authentication("set", &["--jwks", "private.jwks"]);
    wrong.complains(1, "private.jwks: key 0: it has private");
    fs::write(server.path("no.pem"), "nothing").unwrap();
    for (arguments, code, of) in [
        (&[][..], 2, "nothing to change"),
        (&["--certificate", "no.pem"], 1, "no certificate"),
        (&["--certificate", "absent.pem"], 1, "absent.pem"),
        (&["--jwks", "no.pem"], 1, "neither a JWK Set nor a JWK"),
        (&["--certificate-subject", "job.example"], 2, "dns:"),
        (&["--remove", "secrets"], 2, "certificate-subject"),
        (
            &["--method", "client_secret_basic"],
            1,
            "(code profile_forbids)",
        ),
        (
            &["--method", "workload_identity"],
            1,
            "(code authentication_incomplete)",
        ),
    ] {
        authentication("set", arguments).complains(code, of);
    }
    let run = authentication("set", &["--profile", "none", "--if-match", "1"]);
    run.complains(1, "(code version_stale)");
    authentication("reset", &["--reason", "back"]).exits(0);
    let usual = authentication("show", &["--json"]).exits(0).stdout;
    let usual: Value = serde_json::from_str(&usual).unwrap();
    assert_eq!(
        usual["methods"],
        json!(["client_secret_basic", "client_secret_post"])
    );
}

#[test]
fn issuers_are_trusted_and_rules_name_them() {
    let (server, id) = with_job();
    let id = id.as_str();
    let (_, jwk) = pair();
    fs::write(server.path("keys.json"), jwk.to_string()).unwrap();
    let made = server.json(&["trusted-issuer", "create", ISSUER, "--name", "GitHub"]);
    let github = text(&made, "/id");
    assert_eq!(made["keys"], json!({ "discovery": true }));
    let spire = [
        "trusted-issuer",
        "create",
        "spiffe://example.org",
        "--name",
        "SPIRE",
        "--omits-issuer",
        "--jwks",
        "keys.json",
    ];
    let made = server.json(&spire);
    let spire_id = text(&made, "/id");
    assert_eq!(made["keys"]["jwks"]["keys"], json!([jwk]));
    let list = server.says(&["trusted-issuer", "list"]);
    assert!(
        list.contains("by discovery") && list.contains("1 registered"),
        "{list}"
    );
    let only = server.json(&["trusted-issuer", "list", "--issuer", ISSUER]);
    assert_eq!(only.as_array().unwrap().len(), 1);
    server
        .run(&spire)
        .complains(1, "(code trusted_issuer_taken)");
    let change =
        |more: &[&str]| server.run(&[&["trusted-issuer", "change", spire_id], more].concat());
    change(&[]).complains(2, "nothing to change");
    change(&["--discovery"]).complains(1, "(code value_invalid)");
    change(&["--discovery", "--jwks", "keys.json"]).complains(2, "cannot be used with");
    change(&[
        "--jwks-uri",
        "https://spire.example/keys",
        "--omits-issuer",
        "false",
    ])
    .exits(0);
    let shown = server.says(&["trusted-issuer", "show", spire_id]);
    assert!(shown.contains("at https://spire.example/keys"), "{shown}");

    let trust = |verb: &str, more: &[&str]| {
        server.run(&[&["application", "trust", verb, id], more].concat())
    };
    let main = [
        "main",
        "--issuer",
        ISSUER,
        "--audience",
        "writ",
        "--subject",
        "repo:acme/app:*",
        "--claim",
        "repository_owner=acme",
        "--claim",
        "run_attempt=\"1\"",
        "--json",
    ];
    let value: Value = serde_json::from_str(&trust("add", &main).exits(0).stdout).unwrap();
    assert_eq!(
        value["methods"],
        json!([
            "client_secret_basic",
            "client_secret_post",
            "workload_identity"
        ])
    );
    assert_eq!(
        value["trust"],
        json!([{
            "name": "main", "issuer": github, "audience": "writ", "subject": "repo:acme/app:*",
            "claims": { "repository_owner": "acme", "run_attempt": "1" }, "lifetime_seconds": 3600,
        }])
    );
    trust("add", &main).complains(1, "(code value_invalid)");
    let bad = [
        "x",
        "--issuer",
        "issuer_9",
        "--audience",
        "a",
        "--subject",
        "s",
    ];
    trust("add", &bad).complains(1, "(code trusted_issuer_unknown)");
    let twice = [&main[..], &["--claim", "run_attempt=1"]].concat();
    trust("add", &twice).complains(2, "`run_attempt` is set twice");
    let shown = server.says(&["application", "authentication", "show", id]);
    assert!(
        shown.contains("main  repo:acme/app:* for writ by issuer_0"),
        "{shown}"
    );
    server
        .run(&["trusted-issuer", "remove", github])
        .complains(1, "(code in_use)");
    trust("remove", &["other"]).complains(1, "has no trust rule other");
    let left: Value =
        serde_json::from_str(&trust("remove", &["main", "--json"]).exits(0).stdout).unwrap();
    assert_eq!(
        left["methods"],
        json!(["client_secret_basic", "client_secret_post"])
    );
    server.says(&["trusted-issuer", "remove", github]);
}

#[test]
fn quotas_exchanges_and_types_of_details_are_set_and_taken_away() {
    let (server, id) = with_job();
    let id = id.as_str();
    let quota = |verb: &str, more: &[&str]| {
        server.run(&[&["application", "quota", verb, id], more].concat())
    };
    quota("set", &[]).complains(2, "--per-minute");
    quota("show", &[]).complains(1, "(code quota_unknown)");
    quota("set", &["--per-minute", "60", "--mode", "monitor"]).exits(0);
    let shown = quota("show", &[]).exits(0).stdout;
    assert!(
        shown.contains("not limited") && shown.contains("60"),
        "{shown}"
    );
    quota("set", &["--per-day", "0"]).complains(1, "(code value_invalid)");
    let whole = server.says(&["application", "show", id]);
    assert!(whole.contains("60 a minute (monitored)"), "{whole}");
    quota("reset", &[]).exits(0);

    let exchange = |verb: &str, more: &[&str]| {
        server.run(&[&["application", "exchange", verb, id], more].concat())
    };
    exchange("set", &[]).complains(2, "SUBJECTS");
    exchange("set", &[id, "--mode", "impersonation"]).exits(0);
    let shown = exchange("show", &["--json"]).exits(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!({ "subjects": [id], "mode": "impersonation" }));
    exchange("reset", &[]).exits(0);
    exchange("show", &[]).complains(1, "(code token_exchange_unknown)");

    let pay = "https://pay.example";
    server.says(&["api-resource", "create", pay, "--name", "Pay"]);
    server.says(&["application", "authorize", id, pay]);
    fs::write(server.path("schema.json"), r#"{"type":"object"}"#).unwrap();
    let put = [
        "api-resource",
        "put-details-type",
        pay,
        "payment",
        "--schema",
    ];
    let made = server.json(&[&put[..], &["schema.json"]].concat());
    assert_eq!(
        made,
        json!({ "name": "payment", "schema": { "type": "object" } })
    );
    fs::write(server.path("list.json"), "[]").unwrap();
    server
        .run(&[&put[..], &["list.json"]].concat())
        .complains(1, "(code value_invalid)");
    server
        .run(&[&put[..], &["job.pem"]].concat())
        .complains(1, "job.pem");
    assert!(
        server
            .says(&["api-resource", "show", pay])
            .contains("payment")
    );
    let types = ["application", "details-types", id, pay];
    server.run(&types).complains(2, "TYPE");
    let granted = server.json(&[&types[..], &["payment"]].concat());
    assert_eq!(granted["authorization_details_types"], json!(["payment"]));
    let whole = server.says(&["application", "show", id]);
    assert!(whole.contains("details payment"), "{whole}");
    let none = server.json(&[&types[..], &["--none"]].concat());
    assert_eq!(none.get("authorization_details_types"), None);
    server.says(&[
        "api-resource",
        "remove-details-type",
        pay,
        "payment",
        "--cascade",
    ]);

    let bound = ["--sender-constraint", "dpop"];
    let change = ["application", "change", id];
    let changed = server.json(&[&change[..], &bound].concat());
    assert_eq!(text(&changed, "/token_settings/sender_constraint"), "dpop");
    // What is not named stays.
    let changed = server.json(&[&change[..], &["--lifetime", "60"]].concat());
    assert_eq!(text(&changed, "/token_settings/sender_constraint"), "dpop");
    assert!(
        server
            .says(&["application", "show", id])
            .contains("bound to")
    );
    let create = ["application", "create", "Bound", "--no-secret"];
    let made = server.json(&[&create[..], &["--sender-constraint", "mtls"]].concat());
    assert_eq!(text(&made, "/token_settings/sender_constraint"), "mtls");
}

#[test]
fn a_secret_is_rotated_and_the_older_one_works_until_the_overlap_is_over() {
    let (server, id) = with_job();
    let id = id.as_str();
    server.says(&[
        "api-resource",
        "create",
        "https://a.example",
        "--name",
        "A",
        "--scope",
        "a",
    ]);
    server.says(&["application", "authorize", id, "https://a.example", "a"]);
    let get = |file: &str| server.run(&["token", "get", "--credentials", file, "--scope", "a"]);
    let rotate = |file: &str, more: &[&str]| {
        let all = ["application", "rotate-secret", id, "--secret-file", file];
        server.run(&[&all[..], more].concat())
    };
    rotate("new.json", &[]).exits(0);
    assert_eq!(mode(&server.path("new.json")), 0o600);
    get("job.json").exits(0);
    get("new.json").exits(0);
    let shown = server.says(&["application", "show", id]);
    assert_eq!(shown.matches(", expires ").count(), 1, "{shown}");
    rotate("newer.json", &["--overlap", "0s", "--reason", "leaked"]).exits(0);
    get("job.json").complains(1, "(code invalid_client)");
    get("new.json").complains(1, "(code invalid_client)");
    get("newer.json").exits(0);
    rotate("x.json", &["--overlap", "soon"]).complains(2, "such as 24h");
    rotate("y.json", &["--overlap", "91d"]).complains(1, "(code value_invalid)");
}

#[test]
fn applications_register_themselves_by_a_token_that_is_shown_once() {
    fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["initial-access-token", "create", "CI"], more].concat()
    }
    let (server, job) = with_job();
    let api = ["api-resource", "create", "https://a.example", "--name", "A"];
    server.says(&api);
    let made = server.json(&create(&[
        "--lifetime",
        "7d",
        "--registrations",
        "5",
        "--method",
        "client_secret_basic",
        "--name-prefix",
        "ci-",
        "--label",
        "team=web",
        "--grant",
        "https://a.example",
    ]));
    let (id, token) = (text(&made, "/id"), text(&made, "/token"));
    assert!(token.starts_with("writ_iat_"), "{made}");
    let shown = server.says(&["initial-access-token", "show", id]);
    assert!(
        shown.contains("0 of 5") && shown.contains("team=web"),
        "{shown}"
    );
    assert!(!shown.contains(token), "{shown}");
    let list = server.says(&["initial-access-token", "list"]);
    assert!(
        list.contains(id) && list.contains("client_secret_basic"),
        "{list}"
    );
    let said = server.says(&create(&[]));
    assert!(
        said.contains("writ_iat_") && said.contains("/oauth2/register"),
        "{said}"
    );

    let revoked = server.says(&["initial-access-token", "revoke", id, "--reason", "done"]);
    assert!(revoked.contains(&format!("revoked {id}")), "{revoked}");
    let gone = server.run(&["initial-access-token", "show", id]).exits(1);
    assert!(gone.stderr.contains("initial_access_token_unknown"));
    server.run(&create(&["--lifetime", "7"])).exits(2);
    let none = server.run(&create(&["--method", "none"])).exits(1);
    assert!(none.stderr.contains("methods[0]"), "{}", none.stderr);
    // One that did not register itself has nothing to be taken away.
    let none = server
        .run(&["application", "revoke-registration", &job])
        .exits(1);
    assert!(
        none.stderr.contains("registration_unknown"),
        "{}",
        none.stderr
    );
}
