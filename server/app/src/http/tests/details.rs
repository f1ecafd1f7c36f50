//! Authorization details over HTTP (RFC 9396), by the sections that say how it must be.

use super::*;
use crate::audit::{Surroundings, explain};
use writ_core::{
    DetailsType, DetailsTypeName, JsonText, MANAGEMENT_IDENTIFIER as MANAGEMENT, PolicyMode,
    PolicyTarget,
};
use writ_ledger::{IssuanceRecord, Outcome};
use writ_sandbox::testkit::module;

const PAYMENT: &str = "payment_initiation";
const ACCOUNT: &str = "account_information";

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "instructedAmount"],
        "properties": {
            "type": true,
            "actions": {"items": {"enum": ["initiate", "status", "cancel"]}},
            "locations": true,
            "instructedAmount": {
                "type": "object",
                "required": ["amount", "currency"],
                "properties": {
                    "amount": {"type": "string", "pattern": "^\\d{1,9}\\.\\d{2}$"},
                    "currency": {"enum": ["EUR", "USD"]},
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}

fn payment() -> Value {
    json!({
        "type": PAYMENT,
        "actions": ["initiate"],
        "locations": [COURSES],
        "instructedAmount": {"currency": "EUR", "amount": "123.50"},
    })
}

/// A type with a schema and one without at one API resource, both granted.
async fn world() -> (TestServer, ApiId, Job) {
    let (server, api, job) = super::world().await;
    put(&server, api, PAYMENT, Some(schema().to_string())).await;
    put(&server, api, ACCOUNT, None).await;
    grant(&server, &job, api, &[ACCOUNT, PAYMENT]).await;
    (server, api, job)
}

async fn put(server: &TestServer, api: ApiId, name: &str, schema: Option<String>) {
    let details_type = DetailsType {
        name: name.parse().unwrap(),
        description: None,
        schema: schema.map(|json| JsonText { json: json.into() }),
    };
    server
        .execute(Command::PutDetailsType { api, details_type })
        .await;
}

async fn grant(server: &TestServer, job: &Job, api: ApiId, names: &[&str]) {
    let details: Vec<DetailsTypeName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let application = job.id();
    server
        .execute(Command::ChangeGrantDetails {
            application,
            api,
            details,
        })
        .await;
}

async fn asked(server: &TestServer, job: &Job, details: &Value) -> Answer {
    let details = details.to_string();
    server
        .token(job, &[("authorization_details", &details)])
        .await
}

fn last(server: &TestServer) -> IssuanceRecord {
    let last = server.app.issuances.last().unwrap();
    server.app.issuances.find(last).unwrap().unwrap()
}

/// The verdict of an explanation of a record.
fn explained(server: &TestServer, record: &IssuanceRecord) -> writ_api::Explanation {
    let app = &server.app;
    let index = app.index();
    explain(
        record,
        &index,
        &Surroundings {
            modules: &|judgement| {
                app.policies
                    .borrow(judgement)
                    .map_err(|e| e.to_string().into())
            },
            engine: app.policies.engine(),
            issuer: None,
            withdrawn_by: None,
        },
    )
}

#[actix_web::test]
async fn rfc_9396_sections_7_and_9_1_what_is_granted_is_in_the_answer_and_in_the_token() {
    let (server, api, job) = world().await;
    let details = json!([payment(), {"type": ACCOUNT, "identifier": "1"}]);
    let answer = asked(&server, &job, &details).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
    let body = answer.json();
    assert_eq!(body["authorization_details"], details);
    let token = body["access_token"].as_str().unwrap();
    let claims = claims(token);
    assert_eq!(claims["authorization_details"], details);
    assert_eq!(claims["aud"], COURSES);
    assert_eq!(claims["scope"], Value::Null);
    let record = last(&server);
    assert_eq!(json!(record.authorization_details), details);
    assert_eq!(record.details_types, []);
    let explanation = explained(&server, &record);
    assert_eq!(
        explanation.verdict,
        writ_api::ExplanationVerdict::Equal,
        "{explanation:#?}"
    );

    // RFC 9396 §9.2: a guard is told by introspection.
    let guard = server.application(api, &[]).await;
    guards(&server, api, &guard).await;
    let told = server
        .post(
            "/oauth2/introspect",
            &[
                ("client_id", &guard.client_id),
                ("client_secret", &guard.client_secret),
                ("token", token),
            ],
        )
        .await;
    assert_eq!(told.json()["authorization_details"], details);

    // Nobody who asks for none is told of any.
    let plain = server.token(&job, &[("scope", "courses:read")]).await;
    assert!(!String::from_utf8(plain.body).unwrap().contains("details"));
}

#[actix_web::test]
async fn rfc_9396_section_3_details_and_scopes_are_asked_for_together() {
    let (server, _, job) = world().await;
    let details = json!([payment()]).to_string();
    let more = [
        ("authorization_details", details.as_str()),
        ("scope", "courses:read"),
    ];
    let answer = server.token(&job, &more).await.json();
    assert_eq!(answer["scope"], "courses:read");
    assert_eq!(answer["authorization_details"], json!([payment()]));
    // What is wrong with one of the two leaves no token at all.
    let more = [
        ("authorization_details", details.as_str()),
        ("scope", "courses:write"),
    ];
    refused(&server.token(&job, &more).await, 400, "invalid_scope");
    assert_eq!(last(&server).authorization_details, [] as [Value; 0]);
    assert_eq!(&*last(&server).details_types[0], PAYMENT);
}

#[actix_web::test]
async fn rfc_9396_section_5_unknown_and_ungranted_types_are_refused_alike() {
    let (server, api, job) = world().await;
    let unknown = asked(&server, &job, &json!([payment(), {"type": "nobody_knows"}])).await;
    let unknown = refused(&unknown, 400, "invalid_authorization_details");
    let record = last(&server);
    assert_eq!(
        record.details_types,
        [PAYMENT.into(), "nobody_knows".into()]
    );
    let explanation = explained(&server, &record);
    assert_eq!(explanation.verdict, writ_api::ExplanationVerdict::Equal);

    grant(&server, &job, api, &[ACCOUNT]).await;
    let ungranted = asked(&server, &job, &json!([payment()])).await;
    let ungranted = refused(&ungranted, 400, "invalid_authorization_details");
    assert_eq!(
        unknown.replace("nobody_knows", "X"),
        ungranted.replace(PAYMENT, "X")
    );
    // A type that could be none is not kept.
    let answer = asked(&server, &job, &json!([{"type": "caf\u{e9} canary"}])).await;
    refused(&answer, 400, "invalid_authorization_details");
    assert_eq!(last(&server).details_types, ["[redacted]".into()]);
}

#[actix_web::test]
async fn rfc_9396_section_5_objects_that_do_not_fit_their_type_are_refused() {
    let (server, _, job) = world().await;
    let changed = |change: fn(&mut Value)| {
        let mut object = payment();
        change(&mut object);
        json!([object])
    };
    for (details, place) in [
        // "contains an object of known type but containing unknown fields"
        (
            changed(|it| it["more"] = json!("canary")),
            "additionalProperties",
        ),
        // "contains fields of the wrong type for the authorization details type"
        (
            changed(|it| it["instructedAmount"] = json!("canary")),
            "instructedAmount/type",
        ),
        // "contains fields with invalid values for the authorization details type"
        (
            changed(|it| it["instructedAmount"]["amount"] = json!("12.3canary")),
            "pattern",
        ),
        (changed(|it| it["actions"] = json!(["canary"])), "enum"),
        // "is missing required fields for the authorization details type"
        (
            changed(|it| drop(it.as_object_mut().unwrap().remove("instructedAmount"))),
            "required",
        ),
    ] {
        let answer = asked(&server, &job, &details).await;
        let description = refused(&answer, 400, "invalid_authorization_details");
        assert!(
            description.contains("authorization_details[0]"),
            "{description}"
        );
        assert!(description.contains(place), "{description}");
        assert!(!description.contains("canary"), "{description}");
        let record = last(&server);
        let reason = "details_invalid".into();
        assert_eq!(record.outcome, Outcome::Denied { reason });
        assert!(!serde_json::to_string(&record).unwrap().contains("canary"));
        // It rests on what is not kept: nothing is made of it.
        let explanation = explained(&server, &record);
        assert_eq!(explanation.verdict, writ_api::ExplanationVerdict::Equal);
    }
}

#[actix_web::test]
async fn rfc_9396_section_2_the_parameter_is_an_array_of_objects() {
    let (server, _, job) = world().await;
    let before = server.app.issuances.last();
    for details in ["x", "{}", "[]", "[1]", r#"[{"a":1}]"#, r#"[{"type":1}]"#] {
        let more = [("authorization_details", details)];
        refused(
            &server.token(&job, &more).await,
            400,
            "invalid_authorization_details",
        );
    }
    assert_eq!(server.app.issuances.last(), before);
    // RFC 6749 §3.2: without a value it was not sent.
    let more = [("authorization_details", ""), ("scope", "courses:read")];
    assert_eq!(server.token(&job, &more).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn rfc_9396_section_2_2_locations_are_api_resources_of_the_token() {
    let (server, _, job) = world().await;
    let grades = server
        .api(GRADES, &["grades:read"], TokenProfile::default())
        .await;
    let located = |at: &str| {
        let mut object = payment();
        object["locations"] = json!([COURSES, at]);
        json!([object])
    };
    for elsewhere in [GRADES, "https://nobody.example", MANAGEMENT] {
        let answer = asked(&server, &job, &located(elsewhere)).await;
        let description = refused(&answer, 400, "invalid_authorization_details");
        assert!(description.contains("locations"), "{description}");
    }
    // With both in the token it may name both.
    let mode = GrantMode::None;
    let scopes = vec!["grades:read".parse().unwrap()];
    let application = job.id();
    server
        .execute(Command::AddGrant {
            application,
            api: grades,
            mode,
            scopes,
        })
        .await;
    let details = located(GRADES).to_string();
    let more = [
        ("authorization_details", details.as_str()),
        ("resource", GRADES),
        ("resource", COURSES),
    ];
    let token = server.access_token(&job, &more).await;
    assert_eq!(claims(&token)["aud"], json!([GRADES, COURSES]));
}

/// Reads the details, and faults unless it is told of exactly one fact.
const READS_DETAILS: &str = r#"
(data $descriptor (i32.const 2048)
  "\00\04\00\00\07\00\00\00" "\08\04\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
  "\00\00\00\00\00\00\00\00" "\70\0c\00\00\01\00\00\00" "\80\08\00\00\01\00\00\00"
  "\88\08\00\00\01\00\00\00")
(data $reads (i32.const 3184) "\80\0c\00\00\1d\00\00\00" "\00\00\00\00\00\00\00\00"
  "request.authorization_details")
(func $evaluate (param $request i32) (result i32)
  (if (i32.ne (i32.load (i32.add (local.get $request) (i32.const 108))) (i32.const 1))
    (then (unreachable)))
  (i32.const 2304))
"#;

#[actix_web::test]
async fn rfc_9396_section_4_policies_judge_by_the_details() {
    let (server, api, job) = world().await;
    let target = PolicyTarget::ApiResource(api);
    let policy = module(READS_DETAILS);
    server.bind(target, PolicyMode::Enforce, &policy, &[]).await;
    let answer = asked(&server, &job, &json!([payment()])).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json());
    let record = last(&server);
    assert_eq!(record.attributes, None, "it is recorded once");
    let explanation = explained(&server, &record);
    assert_eq!(
        explanation.verdict,
        writ_api::ExplanationVerdict::Equal,
        "{explanation:#?}"
    );
    let question = explanation.question.unwrap().question;
    assert_eq!(
        question["attributes"][0]["name"],
        "request.authorization_details"
    );
    // A record that says other details was changed: policies were asked about those of then.
    let mut other = record.clone();
    other.authorization_details[0]["instructedAmount"]["amount"] = json!("999.00");
    let explanation = explained(&server, &other);
    assert_eq!(explanation.verdict, writ_api::ExplanationVerdict::Differs);
    assert_eq!(explanation.differences[0].path, "input");

    // Without details there is no such fact, and this policy faults.
    let plain = server.token(&job, &[("scope", "courses:read")]).await;
    refused(&plain, 400, "access_denied");
}

#[actix_web::test]
async fn a_schema_that_cannot_be_used_denies() {
    let (server, api, job) = world().await;
    let outside = json!({"$ref": "https://example.com/schema"}).to_string();
    put(&server, api, PAYMENT, Some(outside)).await;
    let answer = asked(&server, &job, &json!([payment()])).await;
    refused(&answer, 400, "invalid_authorization_details");
    // A schema that is mended counts at once.
    put(&server, api, PAYMENT, Some("true".to_owned())).await;
    let answer = asked(&server, &job, &json!([{"type": PAYMENT, "x": 1}])).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[actix_web::test]
async fn the_largest_token_there_can_be_is_valid() {
    let (server, _, job) = world().await;
    let frame = json!([{"type": ACCOUNT, "x": ""}]).to_string().len();
    let large = json!([{"type": ACCOUNT, "x": "x".repeat(16 * 1024 - frame)}]);
    let answer = asked(&server, &job, &large).await.json();
    let token = answer["access_token"].as_str().unwrap();
    let valid = server.app.validate_token(token).unwrap();
    assert_eq!(
        valid
            .claims
            .authorization_details
            .as_ref()
            .map(|it| json!(it)),
        Some(large)
    );
}
