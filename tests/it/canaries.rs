//! Secrets, tokens and assertions leave no trace: canaries go through every path, right and wrong
//! ones, and then logs, output, answers, the event export and every file of the data directory are
//! searched for them.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use writ_tests::{Answer, Application, Start, Writ, basic_credentials};

/// Files that are made to hold a secret: credentials for a person, and keys.
const MADE_FOR_SECRETS: [&str; 4] = ["admin.json", "demo.json", "master.key", "key.pem"];

/// As much as a person who looks for a fault would log. (Below `debug` some libraries print what
/// they read from the wire, and that is what asking for it means.)
const FILTER: &str = "debug,writ=trace,writ_core=trace,writ_ledger=trace";

/// Something that must not be found.
struct Canary {
    name: String,
    bytes: Vec<u8>,
    /// The directory of the data directory, if there is one, where it is meant to be.
    home: Option<&'static str>,
}

#[derive(Default)]
struct Canaries(Vec<Canary>);

impl Canaries {
    fn plant(&mut self, name: &str, text: &str) {
        self.plant_at_home(name, text, None);
    }

    fn plant_at_home(&mut self, name: &str, text: &str, home: Option<&'static str>) {
        self.0.push(Canary {
            name: name.to_owned(),
            bytes: text.as_bytes().to_vec(),
            home,
        });
    }

    /// A token counts as found when its signature is: header and claims are no secret in
    /// themselves.
    fn plant_token(&mut self, name: &str, token: &str) {
        let signature = token.rsplit('.').next().unwrap();
        assert!(signature.len() > 40, "a token has a signature");
        self.plant(name, signature);
    }

    /// What is no text.
    fn plant_bytes(&mut self, name: &str, bytes: &[u8]) {
        assert!(bytes.len() >= 16, "{name} is too short to be looked for");
        self.0.push(Canary {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            home: None,
        });
    }

    /// A secret, as it is and as HTTP Basic carries it.
    fn plant_secret(&mut self, name: &str, id: &str, secret: &str) {
        self.plant(name, secret);
        self.plant(&format!("{name}, encoded"), &basic_credentials(id, secret));
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        self.assert_absent_at(place, None, bytes);
    }

    #[track_caller]
    fn assert_absent_at(&self, place: &str, home: Option<&str>, bytes: &[u8]) {
        for canary in &self.0 {
            let mut windows = bytes.windows(canary.bytes.len());
            let found = windows.any(|window| window == canary.bytes);
            let at_home = canary.home.is_some() && canary.home == home;
            assert!(!found || at_home, "{} was found in {place}", canary.name);
        }
    }
}

#[test]
fn no_secret_token_or_assertion_is_ever_logged_or_recorded() {
    let start = Start {
        demo: true,
        ..Start::default()
    };
    let mut writ = Writ::with(start.with("WRIT_LOG_FILTER", FILTER));
    let mut canaries = Canaries::default();
    let mut answers = Vec::new();
    plant_what_the_start_made(&writ, &mut canaries);
    plant_with_clients(&writ, &mut canaries, &mut answers);
    plant_with_administrators(&writ, &mut canaries, &mut answers);

    let events = writ.admin().events();
    let export: Vec<String> = events.iter().map(ToString::to_string).collect();
    canaries.assert_absent("the event export", export.join("\n").as_bytes());
    let metrics = writ.ops().get("/metrics").expect(200);
    canaries.assert_absent("the metrics", &metrics.body);
    for answer in answers {
        canaries.assert_absent(&format!("an answer with {}", answer.status), &answer.body);
    }
    // All is flushed when the process has ended.
    writ.stop();
    let said = writ.said();
    assert!(
        said.contains("TRACE") || said.contains("DEBUG"),
        "the log is verbose"
    );
    canaries.assert_absent("the output and the log", without_curl(&said).as_bytes());
    let data = writ.data("");
    let mut searched = 0;
    for file in files(&data) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !MADE_FOR_SECRETS.contains(&name.as_str()) {
            let within = file.strip_prefix(&data).unwrap();
            let home = within.iter().next().and_then(|first| first.to_str());
            canaries.assert_absent_at(&name, home, &std::fs::read(&file).unwrap());
            searched += 1;
        }
    }
    assert!(searched > 1, "there are files to search");
}

/// What the first start makes: the secrets of the administrator and of the demo, and the key under
/// which private keys are sealed. The demo is used once.
fn plant_what_the_start_made(writ: &Writ, canaries: &mut Canaries) {
    let admin = Application::from_file(writ.http(), &writ.data("admin.json"));
    canaries.plant_secret("the first administrator's secret", &admin.id, &admin.secret);
    let demo = writ.demo_application();
    canaries.plant_secret("the demo's secret", &demo.id, &demo.secret);
    let token = demo.access_token(&[("scope", "courses:publish")]);
    canaries.plant_token("the demo's token", &token);
    let master = std::fs::read_to_string(writ.data("master.key")).unwrap();
    let master = master.trim();
    canaries.plant("the master key, as its file has it", master);
    canaries.plant_bytes("the master key", &BASE64_STANDARD.decode(master).unwrap());
}

/// The line that `--demo` is asked for is made to hold a secret.
fn without_curl(said: &str) -> String {
    let others = said.lines().filter(|line| !line.starts_with("curl "));
    others.collect::<Vec<&str>>().join("\n")
}

/// Right and wrong credentials in every place where a client may put them.
fn plant_with_clients(writ: &Writ, canaries: &mut Canaries, answers: &mut Vec<Answer>) {
    let http = writ.http();
    let admin = writ.admin();
    let api = admin.register_api("https://canary.example", &json!({}), &["canary:sing"]);
    let application = admin.register_application("Canary");
    admin.grant(&application, &api, &["canary:sing"]);
    canaries.plant_secret("a right secret", &application.id, &application.secret);
    let grant = ("grant_type", "client_credentials");
    let scope = ("scope", "canary:sing");
    let id = application.id.as_str();

    let token = application.access_token(&[scope]);
    canaries.plant_token("an issued token", &token);
    let right = [
        grant,
        scope,
        ("client_id", id),
        ("client_secret", application.secret.as_str()),
    ];
    let posted = http
        .call("POST", "/oauth2/token")
        .form(&right)
        .send()
        .expect(200);
    canaries.plant_token("a token got by post", &posted.text("access_token"));

    let mut number = 0;
    let mut wrong = |canaries: &mut Canaries, name: &str| {
        number += 1;
        let canary = format!("c4n4ry{number:02}Sings0f{number:02}Secrets");
        canaries.plant(name, &canary);
        canary
    };
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let call = || http.call("POST", path);
        let secret = wrong(canaries, "a wrong secret in basic");
        canaries.plant_secret("a wrong secret in basic", id, &secret);
        answers.push(
            call()
                .basic(id, &secret)
                .form(&[grant, scope, ("token", "x")])
                .send(),
        );
        let secret = wrong(canaries, "a wrong secret by post");
        let form = [
            grant,
            scope,
            ("token", "x"),
            ("client_id", id),
            ("client_secret", secret.as_str()),
        ];
        answers.push(call().form(&form).send());
        let secret = wrong(canaries, "a secret of an unknown application");
        answers.push(call().basic("nobody", &secret).form(&[grant, scope]).send());
        let secret = wrong(canaries, "a secret in place of an id");
        answers.push(call().basic(&secret, "x").form(&[grant, scope]).send());
        let secret = wrong(canaries, "a secret in the query");
        let query = format!("{path}?client_id={id}&client_secret={secret}");
        answers.push(http.call("POST", &query).form(&[grant, scope]).send());
        let secret = wrong(canaries, "a secret in a malformed header");
        answers.push(
            call()
                .header("authorization", format!("Basic {secret}!"))
                .form(&[grant])
                .send(),
        );
        let assertion = wrong(canaries, "an assertion");
        let form = [
            grant,
            scope,
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.as_str()),
        ];
        answers.push(call().form(&form).send());
        let assertion = wrong(canaries, "an assertion as grant");
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        answers.push(call().basic(id, &application.secret).form(&form).send());
        let secret = wrong(canaries, "a secret in a body of the wrong kind");
        let body = json!({ "client_id": id, "client_secret": secret });
        answers.push(call().json(&body).send());
        let value = wrong(canaries, "a secret as a parameter that is given twice");
        let body =
            format!("grant_type=client_credentials&client_secret={value}&client_secret={value}");
        answers.push(
            call()
                .body("application/x-www-form-urlencoded", body)
                .send(),
        );
        let value = wrong(canaries, "a token in the query");
        answers.push(
            http.call("POST", &format!("{path}?token={value}"))
                .form(&[grant])
                .send(),
        );
        let value = wrong(canaries, "a token in the body");
        answers.push(
            call()
                .basic(id, &application.secret)
                .form(&[("token", &value)])
                .send(),
        );
        let value = wrong(canaries, "a bearer token");
        answers.push(call().bearer(&value).form(&[grant]).send());
        answers.push(
            call()
                .basic(id, &application.secret)
                .form(&[("token", &token)])
                .send(),
        );
    }
    // A secret, or most of one, where a scope or a resource should stand: the decision is recorded,
    // and what was asked with it.
    let misplaced = admin.add_secret(id);
    canaries.plant("a secret as scope and as resource", &misplaced);
    let half = &misplaced[..misplaced.len() - 7];
    canaries.plant("most of a secret", half);
    let spoilt = wrong(canaries, "a secret that could be no name");
    let assertion = format!("eyJhbGciOiJub25lIn0.{}", wrong(canaries, "an assertion"));
    for value in [
        misplaced.clone(),
        half.to_owned(),
        format!("canary:sing,{misplaced}"),
        format!("https://canary.example/{misplaced}"),
        format!("\"{spoilt}\""),
        format!("\u{e9}{spoilt}"),
        assertion,
    ] {
        for parameter in ["scope", "resource"] {
            // These answers say what was not granted, to who asked.
            application.token(&[(parameter, &value)]);
            application.token(&[scope, (parameter, &value)]);
            application.token(&[("scope", &format!("canary:sing {value}"))]);
        }
    }
    application.token(&[("resource", &spoilt)]);
    let value = wrong(canaries, "a secret as the grant type");
    answers.push(
        http.call("POST", "/oauth2/token")
            .basic(id, &application.secret)
            .form(&[("grant_type", &value)])
            .send(),
    );
}

/// What administrators send and get.
fn plant_with_administrators(writ: &Writ, canaries: &mut Canaries, answers: &mut Vec<Answer>) {
    let http = writ.http();
    let admin = writ.admin();
    canaries.plant_token("the administrator's token", admin.token());
    let application = admin.register_application("Administered");
    canaries.plant_secret("a second secret", &application.id, &application.secret);
    let call = |path: &str| http.call("GET", &format!("/api/v1{path}"));

    let bearer =
        "c4n4ryBearerOfTheAdmin.c4n4ryPayload00000000.c4n4rySignature000000000000000000000000000";
    canaries.plant("a wrong bearer token", bearer);
    canaries.plant(
        "the signature of a wrong bearer token",
        bearer.rsplit('.').next().unwrap(),
    );
    answers.push(call("/applications").bearer(bearer).send());
    let query = "c4n4ryAccessTokenInTheQuery";
    canaries.plant("an access token in the query", query);
    answers.push(call(&format!("/applications?access_token={query}")).send());
    answers.push(
        call(&format!("/applications?access_token={query}"))
            .bearer(admin.token())
            .send(),
    );
    answers.push(
        call(&format!("/applications/{}", application.id))
            .bearer(admin.token())
            .send(),
    );
    answers.push(admin.get(&format!("/applications/{}/secrets", application.id)));
    answers.push(admin.get("/applications"));

    // Free text is kept where it can be deleted, never in the log.
    let reason = "c4n4ryReasonOfAPerson";
    canaries.plant_at_home("a reason", reason, Some("notes"));
    let path = format!("/applications/{}", application.id);
    admin
        .call("PATCH", &path)
        .header("writ-reason", reason)
        .json(&json!({ "name": "Administered, for a reason" }))
        .send()
        .expect(200);
    let key = "c4n4ryIdempotencyKey";
    canaries.plant("an idempotency key", key);
    admin
        .call("PATCH", &path)
        .header("idempotency-key", key)
        .json(&json!({ "name": "Administered once" }))
        .send()
        .expect(200);
    let body = "c4n4ryInAMalformedBody";
    canaries.plant("a malformed body", body);
    answers.push(
        admin
            .call("POST", "/applications")
            .body("application/json", format!("{{\"secret\": \"{body}\""))
            .send(),
    );
    let member = "c4n4ryValueOfAnUnknownMember";
    canaries.plant("the value of an unknown member", member);
    answers.push(admin.post(
        "/applications",
        &json!({ "name": "a", "client_secret": member }),
    ));
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
