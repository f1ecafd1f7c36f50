//! The walkthrough's scenario with all its parts real: the Express API behind express-jwt and
//! jwks-rsa, the bash job with curl and jq, Writ as it starts by default (TLS, demo). And every way
//! in which the API or Writ must refuse.

use std::process::Command;

use serde_json::{Value, json};
use writ_tests::{
    Admin, Application, Finished, Http, PATIENCE, Process, Start, Writ, binary, outside, poll,
    repository,
};

const AUDIENCE: &str = "https://courses.example/api";
const APPROVED: &str = "/api/courses?status=approved";

/// The Course Management API as a process.
struct CoursesApi {
    _process: Process,
    base: String,
    http: Http,
}

impl CoursesApi {
    fn start(writ: &Writ, package: &std::path::Path) -> Self {
        let mut node = Command::new("node");
        node.arg("server.js")
            .current_dir(package)
            .env("ISSUER", writ.base())
            .env("PORT", "0")
            .env("NODE_EXTRA_CA_CERTS", writ.data("tls/cert.pem"));
        // A group: `node` may be a wrapper.
        let process = Process::spawn_group("courses-api", node);
        let base = process.line("courses-api: listening on ");
        Self {
            _process: process,
            http: Http::new(&base, None),
            base,
        }
    }

    /// Status and error code of a request with this token.
    fn asks(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let mut call = self.http.call(method, path);
        if let Some(token) = token {
            call = call.bearer(token);
        }
        if method != "GET" {
            call = call.json(&json!({ "status": "published" }));
        }
        let answer = call.send();
        let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
        (answer.status, error)
    }

    fn courses(&self, status: &str, token: &str) -> Vec<String> {
        let path = format!("/api/courses?status={status}");
        let answer = self
            .http
            .call("GET", &path)
            .bearer(token)
            .send()
            .expect(200);
        let Value::Array(courses) = answer.json() else {
            panic!("a list of courses: {answer}")
        };
        courses
            .iter()
            .map(|course| course["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Runs the scheduled job, as cron would.
fn publish_courses(writ: &Writ, api: &CoursesApi) -> Finished {
    let mut job = Command::new("bash");
    job.arg(repository().join("tests/scenario/publish-courses.sh"))
        .arg(writ.data("demo.json"))
        .env("COURSES_API", &api.base);
    Process::run("publish-courses.sh", job, PATIENCE)
}

fn api_id(admin: &Admin, identifier: &str) -> String {
    let path = format!(
        "/api-resources/{}",
        identifier.replace('/', "%2F").replace(':', "%3A")
    );
    admin.get(&path).expect(200).text("id")
}

#[test]
fn a_scheduled_job_publishes_courses() {
    let checks = "the courses scenario (express-jwt, jwks-rsa, curl, jq)";
    if !outside::have(&["bash", "curl", "jq"], checks) {
        return;
    }
    let source = repository().join("tests/scenario/courses-api");
    let Some(package) = outside::node_package(&source, checks) else {
        return;
    };
    let writ = Writ::with(Start {
        demo: true,
        tls: true,
        ..Start::default()
    });
    let admin = writ.admin();
    let courses = CoursesApi::start(&writ, &package);
    let courses_api = api_id(&admin, AUDIENCE);

    // The portal's staff, of whom the walkthrough only speaks.
    let staff = admin.register_application("Course management portal");
    admin.grant(
        &staff,
        &courses_api,
        &[
            "courses:write",
            "courses:read",
            "courses:read-approved",
            "courses:read-published",
        ],
    );
    let staff_token = staff.access_token(&[("resource", AUDIENCE)]);

    the_printed_curl_line_gets_a_token(&writ);
    both_versions_of_http_are_spoken(&writ);
    the_command_line_needs_only_the_credentials(&writ);
    due_courses_are_published(&writ, &courses, &staff_token);
    the_api_refuses(&admin, &courses, &writ.demo_application(), &staff_token);
    an_expired_token_is_refused(&admin, &courses, &courses_api, &staff);
    a_disabled_application_gets_no_further_token(&writ, &admin, &courses);
}

fn the_printed_curl_line_gets_a_token(writ: &Writ) {
    let rest = writ.line("curl ");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("curl {rest}")]);
    let printed = Process::run("the printed curl line", shell, PATIENCE).expect_success("curl");
    let answer: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert!(answer["access_token"].is_string(), "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
}

fn both_versions_of_http_are_spoken(writ: &Writ) {
    for (option, spoken) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut curl = Command::new("curl");
        curl.args([option, "--silent", "--show-error", "--fail"])
            .args(["--output", "/dev/null", "--write-out", "%{http_version}"])
            .arg("--cacert")
            .arg(writ.data("tls/cert.pem"))
            .arg(format!("{}/oauth2/jwks", writ.base()));
        let answered = Process::run("curl", curl, PATIENCE).expect_success("curl");
        assert_eq!(answered.stdout.trim(), spoken);
    }
}

/// Also where the environment names a bundle of certificates that lacks the server's own.
fn the_command_line_needs_only_the_credentials(writ: &Writ) {
    let elsewhere = tempfile::tempdir().unwrap();
    let bundle = elsewhere.path().join("bundle.pem");
    std::fs::write(&bundle, "").unwrap();
    let mut list = Command::new(binary());
    list.args(["application", "list", "--admin-file"])
        .arg(writ.data("admin.json"))
        .env("SSL_CERT_FILE", bundle);
    let listed = Process::run("writ application list", list, PATIENCE);
    let listed = listed.expect_success("writ application list");
    assert!(
        listed.stdout.contains("Course publishing job"),
        "{listed:?}"
    );
}

fn due_courses_are_published(writ: &Writ, api: &CoursesApi, staff: &str) {
    let course =
        json!({ "name": "Logic", "details": "From axiom to proof", "started_date": "2040-01-01" });
    let created = api
        .http
        .call("POST", "/api/courses")
        .bearer(staff)
        .json(&course)
        .send()
        .expect(201);
    assert_eq!(created.text("status"), "pending");
    assert_eq!(api.courses("approved", staff), ["Compilers", "Databases"]);

    let job = publish_courses(writ, api).expect_success("publish-courses.sh");
    assert!(job.stdout.contains("published: Compilers"), "{job:?}");
    assert!(job.stdout.contains("not yet: Databases"), "{job:?}");
    assert_eq!(api.courses("published", staff), ["Compilers"]);
    assert_eq!(api.courses("approved", staff), ["Databases"]);
    assert_eq!(api.courses("pending", staff), ["Networks", "Logic"]);

    // The next day finds nothing due and nothing wrong.
    let again = publish_courses(writ, api).expect_success("publish-courses.sh");
    assert!(!again.stdout.contains("published:"), "{again:?}");
}

fn the_api_refuses(admin: &Admin, api: &CoursesApi, job: &Application, staff: &str) {
    let no_token = api.asks("GET", APPROVED, None);
    assert_eq!(no_token, (401, "token_required".to_owned()));

    let mut forged = staff.to_owned();
    let flipped = if forged.pop() == Some('A') { 'B' } else { 'A' };
    // The last character of a 2048-bit signature carries two bits only; its neighbour carries six.
    forged.pop();
    forged.extend([flipped, 'A']);
    let forged = api.asks("GET", APPROVED, Some(&forged));
    assert_eq!(forged, (401, "invalid_token".to_owned()));

    // Same key, same algorithm, same issuer: only the audience is another.
    let other = "https://library.example/api";
    let rs256 = json!({ "algorithm": "RS256" });
    let library = admin.register_api(other, &rs256, &["books:read"]);
    let reader = admin.register_application("Library reader");
    admin.grant(&reader, &library, &["books:read"]);
    let token = reader.access_token(&[("scope", "books:read")]);
    let wrong_audience = api.asks("GET", APPROVED, Some(&token));
    assert_eq!(wrong_audience, (401, "invalid_token".to_owned()));

    // The job may publish; a token for which it asked less may not.
    let less = job.access_token(&[("scope", "courses:read-approved")]);
    assert_eq!(api.asks("GET", APPROVED, Some(&less)).0, 200);
    let missing_scope = api.asks("PATCH", "/api/courses/2", Some(&less));
    assert_eq!(missing_scope, (403, "insufficient_scope".to_owned()));
    let not_granted = job.token(&[("scope", "courses:write")]).expect(400);
    assert_eq!(not_granted.text("error"), "invalid_scope");
}

fn an_expired_token_is_refused(
    admin: &Admin,
    api: &CoursesApi,
    courses_api: &str,
    staff: &Application,
) {
    let path = format!("/api-resources/{courses_api}");
    let brief = json!({ "profile": { "lifetime_seconds": 2 } });
    admin.patch(&path, &brief).expect(200);
    let answer = staff
        .token(&[("scope", "courses:read-approved")])
        .expect(200);
    assert_eq!(answer.json()["expires_in"], 2);
    let token = answer.text("access_token");
    assert_eq!(api.asks("GET", APPROVED, Some(&token)).0, 200);
    let refused = poll("the API refuses the expired token", || {
        let (status, error) = api.asks("GET", APPROVED, Some(&token));
        (status != 200).then_some((status, error))
    });
    assert_eq!(refused, (401, "invalid_token".to_owned()));
    let usual = json!({ "profile": { "lifetime_seconds": null } });
    admin.patch(&path, &usual).expect(200);
}

fn a_disabled_application_gets_no_further_token(writ: &Writ, admin: &Admin, api: &CoursesApi) {
    let path = format!("/applications/{}", writ.demo_application().id);
    admin.patch(&path, &json!({ "enabled": false })).expect(200);
    let job = publish_courses(writ, api);
    assert_eq!(job.status.code(), Some(1), "{job:?}");
    assert!(
        job.stderr.contains("token request: 401 invalid_client"),
        "{job:?}"
    );
    admin.patch(&path, &json!({ "enabled": true })).expect(200);
    publish_courses(writ, api).expect_success("publish-courses.sh");
}
