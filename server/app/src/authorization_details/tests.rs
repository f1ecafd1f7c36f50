//! What is read of the parameter, and what schemas may cost.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn parse(value: &Value) -> Result<AuthorizationDetails, DetailsFault> {
    AuthorizationDetails::parse(&value.to_string())
}

fn fault(text: &str) -> DetailsFault {
    AuthorizationDetails::parse(text).unwrap_err()
}

#[test]
fn rfc_9396_section_2_objects_are_read_and_kept_as_they_came() {
    let text = r#"[{"type":"b","locations":["https://x"],"z":{"b":1,"a":[1.5,null,"é"]}},
        {"type":"a","actions":[],"identifier":"x"},{"type":"b"}]"#;
    let details = AuthorizationDetails::parse(text).unwrap();
    assert_eq!(details.types(), ["b", "a", "b"]);
    let plain: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(details.objects(), plain);
    assert_eq!(
        AuthorizationDetails::of_record(&plain),
        Some(details.clone())
    );
    assert_eq!(AuthorizationDetails::of_record(&[]), None);
    assert!(details.json().contains(r#""z":{"a":[1.5,null,"é"],"b":1}"#));
    assert!(!format!("{details:?}").contains("https"));
}

#[test]
fn what_is_not_an_array_of_objects_is_refused() {
    for text in [
        "",
        "{}",
        r#"{"type":"a"}"#,
        "null",
        r#"["a"]"#,
        r#"[{"type":"a"}] x"#,
        r#"[{"type":"a","type":"a"}]"#,
        r#"[{"type":"a","b":{"c":1,"c":1}}]"#,
        r#"[{"type":"a","n":1e999}]"#,
    ] {
        assert_eq!(fault(text), DetailsFault::Malformed, "{text}");
    }
    assert_eq!(fault("[]"), DetailsFault::Count);
}

#[test]
fn rfc_9396_section_2_2_well_known_members_have_their_kinds() {
    let wrong = |member| DetailsFault::Member { object: 1, member };
    let member = |name: &str, value: Value| {
        let mut object = json!({"type": "a"});
        object[name] = value;
        parse(&json!([{"type": "a"}, object])).unwrap_err()
    };
    assert_eq!(member("type", json!(1)), wrong("type"));
    assert_eq!(member("type", json!(null)), wrong("type"));
    assert_eq!(member("identifier", json!(["x"])), wrong("identifier"));
    for name in LISTS {
        for value in [
            json!("x"),
            json!([1]),
            json!([["x"]]),
            json!({}),
            json!(null),
        ] {
            assert_eq!(member(name, value), wrong(name), "{name}");
        }
        let text = wrong(name).to_string();
        assert!(text.contains("must be an array of strings"), "{text}");
    }
    assert_eq!(fault(r#"[{"actions":[]}]"#).to_string(), {
        "authorization_details[0].type must be a string"
    });
}

#[test]
fn limits_are_exact() {
    let objects = |count: usize| Value::from(vec![json!({"type": "a"}); count]);
    assert!(parse(&objects(16)).is_ok());
    assert_eq!(parse(&objects(17)), Err(DetailsFault::Count));

    let long = |bytes: usize| {
        let frame = r#"[{"type":"a","x":""}]"#.len();
        json!([{"type": "a", "x": "x".repeat(bytes - frame)}])
    };
    assert!(parse(&long(DETAILS_BYTES_MAX)).is_ok());
    assert_eq!(
        parse(&long(DETAILS_BYTES_MAX + 1)),
        Err(DetailsFault::TooLong)
    );

    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        AuthorizationDetails::parse(&format!(r#"[{{"type":"a","x":{open}{close}}}]"#))
    };
    assert!(nested(DETAILS_DEPTH_MAX - 2).is_ok());
    assert_eq!(nested(DETAILS_DEPTH_MAX - 1), Err(DetailsFault::Malformed));
    assert_eq!(nested(5_000), Err(DetailsFault::Malformed));

    // The object, its type and the array are values too.
    let many = |values: usize| parse(&json!([{"type": "a", "x": vec![1; values - 3]}]));
    assert!(many(DETAILS_VALUES_MAX).is_ok());
    assert_eq!(
        many(DETAILS_VALUES_MAX + 1),
        Err(DetailsFault::TooManyValues)
    );
}

#[test]
fn numbers_are_kept_or_refused() {
    for number in ["0", "-1", "123.5", "0.01", "1e2", "18446744073709551615"] {
        assert!(AuthorizationDetails::parse(&format!(r#"[{{"type":"a","n":{number}}}]"#)).is_ok());
    }
    // Short to write and long to show.
    let grows = format!(r#"[{{"type":"a","n":[{}1]}}]"#, "1e15,".repeat(1_000));
    assert_eq!(fault(&grows), DetailsFault::TooLong);
}

#[test]
fn a_credential_in_the_wrong_place_is_refused() {
    let secret = crate::credentials::Secret::generate(&crate::clock::SeededRandom::new(1));
    for value in [secret.expose(), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."] {
        let found = parse(&json!([{"type": "a", "x": {"y": [value]}}]));
        assert_eq!(found, Err(DetailsFault::Secret));
        let found = parse(&json!([{"type": "a", value: 1}]));
        assert_eq!(found, Err(DetailsFault::Secret));
    }
    assert!(parse(&json!([{"type": "a", "identifier": "6JeyJx"}])).is_ok());
}

/// A number is the same after any number of readings, and so is a text: the digest of what policies
/// were asked must come again.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_read_is_read_again_alike(value in values()) {
        let Ok(details) = parse(&json!([{"type": "a", "x": value}])) else {
            return Ok(());
        };
        let stored = serde_json::to_string(details.objects()).unwrap();
        let read: Vec<Value> = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(AuthorizationDetails::of_record(&read), Some(details.clone()));
        prop_assert_eq!(AuthorizationDetails::parse(details.json()), Ok(details));
    }

    #[test]
    fn nothing_panics(text in "[\\[\\]{}\",:a-etyp0-9.\\\\ -]{0,60}") {
        let _ = AuthorizationDetails::parse(&text);
        let _ = Schema::compile(&text);
    }
}

fn compiles(schema: &Value) -> Result<Schema, SchemaFault> {
    Schema::compile(&schema.to_string())
}

fn refusal(schema: &Value) -> SchemaFault {
    compiles(schema).unwrap_err()
}

#[test]
fn a_schema_says_what_fits_and_where_it_does_not() {
    let schema = compiles(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["type", "amount"],
        "properties": {
            "type": true,
            "amount": {"$ref": "#/$defs/amount"},
            "creditorAccount": {"properties": {"iban": {"pattern": "^[A-Z]{2}\\d{2}[A-Z\\d]{1,30}$"}}},
        },
        "unevaluatedProperties": false,
        "$defs": {"amount": {"type": "number", "multipleOf": 0.01, "exclusiveMinimum": 0}},
    }))
    .unwrap();
    let check = |value: Value| schema.check(&value);
    assert_eq!(check(json!({"type": "p", "amount": 4.35})), Ok(()));
    assert_eq!(
        check(
            json!({"type": "p", "amount": 1, "creditorAccount": {"iban": "DE02100100109307118603"}})
        ),
        Ok(())
    );
    for (value, place) in [
        (json!({"type": "p"}), "required"),
        (json!({"type": "p", "amount": 4.351}), "multipleOf"),
        (json!({"type": "p", "amount": 0}), "exclusiveMinimum"),
        (
            json!({"type": "p", "amount": 1, "more": "canary"}),
            "unevaluatedProperties",
        ),
        // Digits are those of ECMA-262, and the end is that of the text.
        (
            json!({"type": "p", "amount": 1, "creditorAccount": {"iban": "DE٠٢1"}}),
            "pattern",
        ),
        (
            json!({"type": "p", "amount": 1, "creditorAccount": {"iban": "DE021\n"}}),
            "pattern",
        ),
    ] {
        let found = check(value).unwrap_err();
        assert!(found.starts_with("#/") && found.ends_with(place), "{found}");
        assert!(!found.contains("canary"));
    }
    assert!(compiles(&json!(false)).unwrap().check(&json!({})).is_err());
}

#[test]
fn what_is_no_schema_is_refused() {
    for schema in [
        json!({"type": "nonsense"}),
        json!([]),
        json!("x"),
        json!({"pattern": "("}),
    ] {
        let refusal = refusal(&schema);
        assert!(matches!(refusal, SchemaFault::Invalid(_)), "{refusal:?}");
    }
    // Look-around has no linear-time engine.
    let found = refusal(&json!({"pattern": "^(?=a)b"}));
    assert!(matches!(found, SchemaFault::Invalid(_)), "{found:?}");
    let other = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
    assert_eq!(refusal(&other), SchemaFault::Dialect);
    let twice = r#"{"type":"object","type":"object"}"#;
    assert_eq!(Schema::compile(twice).err(), Some(SchemaFault::Malformed));
    let long = format!("{{\"$comment\":\"{}\"}}", "x".repeat(32 * 1024));
    assert_eq!(Schema::compile(&long).err(), Some(SchemaFault::TooLong));
}

#[test]
fn references_stay_in_the_document_and_never_go_in_circles() {
    for reference in [
        json!("https://example.com/x"),
        json!("file:///etc/passwd"),
        json!("x.json#/a"),
        json!("#/$defs/nothing"),
        json!("#name"),
        json!("#/$defs/a/enum"),
        json!(7),
    ] {
        let schema = json!({"$defs": {"a": {"enum": [1]}}, "not": {"$ref": reference}});
        assert_eq!(refusal(&schema), SchemaFault::Reference, "{schema}");
    }
    let escaped = json!({"$defs": {"a/b c": {"type": "string"}}, "$ref": "#/$defs/a~1b%20c"});
    let escaped = compiles(&escaped).unwrap();
    assert!(escaped.check(&json!("x")).is_ok() && escaped.check(&json!(1)).is_err());
    for schema in [
        json!({"$ref": "#"}),
        json!({"properties": {"child": {"$ref": "#"}}}),
        json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
    ] {
        assert_eq!(refusal(&schema), SchemaFault::Circle, "{schema}");
    }
    for keyword in [
        "$id",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$vocabulary",
    ] {
        let found = refusal(&json!({"properties": {"x": {keyword: "#x"}}}));
        assert_eq!(found, SchemaFault::Keyword(keyword), "{keyword}");
        // As the name of a property it is one.
        assert!(compiles(&json!({"properties": {keyword: {"type": "string"}}})).is_ok());
    }
}

/// Each level refers twice to the one below: 2^n evaluations for n lines.
#[test]
fn what_a_schema_costs_is_bounded() {
    let laughs = |levels: usize| {
        let mut defs = Map::new();
        defs.insert("a0".into(), json!({"minProperties": 1}));
        for level in 1..=levels {
            let below = json!({"$ref": format!("#/$defs/a{}", level - 1)});
            defs.insert(format!("a{level}"), json!({"allOf": [below, below]}));
        }
        json!({"$defs": defs, "$ref": format!("#/$defs/a{levels}")})
    };
    assert!(compiles(&laughs(6)).is_ok());
    assert_eq!(refusal(&laughs(30)), SchemaFault::Costly);
    let chain = |links: usize| {
        let mut defs = Map::new();
        defs.insert("a0".into(), json!({}));
        for link in 1..=links {
            let below = json!({"$ref": format!("#/$defs/a{}", link - 1)});
            defs.insert(format!("a{link}"), below);
        }
        json!({ "$defs": defs })
    };
    assert!(compiles(&chain(20)).is_ok());
    assert_eq!(refusal(&chain(500)), SchemaFault::Costly);
    assert_eq!(
        refusal(&json!({"enum": vec![1; 5_000]})),
        SchemaFault::Costly
    );
    assert_eq!(
        refusal(&json!({"allOf": vec![json!({"pattern": "a"}); 40]})),
        SchemaFault::Costly
    );
    let large = refusal(&json!({"pattern": "((a{100}){100}){100}"}));
    assert!(matches!(large, SchemaFault::Invalid(_)), "{large:?}");
    let deep = format!("{}{{}}{}", r#"{"not":"#.repeat(40), "}".repeat(40));
    assert_eq!(Schema::compile(&deep).err(), Some(SchemaFault::Malformed));
}

/// The dearest that a request may have of the dearest that a schema may say, with a pattern that
/// would take a backtracking engine for ever.
#[test]
fn evaluating_is_quick_whatever_is_asked() {
    let text = "a".repeat(15 * 1024);
    let patterns = vec![json!({"pattern": "^(a|a)*(a|aa)*(\\w{1,40})*!$"}); 20];
    let schema = compiles(&json!({"properties": {"x": {"anyOf": patterns}}})).unwrap();
    let before = crate::clock::Stopwatch::start();
    assert!(schema.check(&json!({"x": text})).is_err());
    let flat: Vec<Value> = (0..1_000).map(Value::from).collect();
    let numbers: Vec<Value> = (1_000..1_000 + 3_900).map(Value::from).collect();
    let schema = compiles(&json!({"properties": {"x": {"items": {"not": {"enum": numbers}}}}}));
    assert!(schema.unwrap().check(&json!({"x": flat})).is_ok());
    // Far more than it takes, and far less than for ever.
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
}

#[test]
fn compiled_schemas_are_kept_up_to_a_bound() {
    let schemas = Schemas::default();
    let first = schemas.of("{}").unwrap();
    assert!(Arc::ptr_eq(&first, &schemas.of("{}").unwrap()));
    for number in 0..1_000 {
        schemas.of(&format!(r#"{{"const":{number}}}"#)).unwrap();
        assert!(schemas.len() <= 128);
    }
    assert!(schemas.of("nonsense").is_err());
}
