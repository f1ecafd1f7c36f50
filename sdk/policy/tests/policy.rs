//! What the macros make of a policy, and that the test helpers notice what is wrong with one.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use writ_policy::prelude::*;
use writ_policy::testing::{check_properties, request};
use writ_policy::{Policy as _, Setting, SettingKind, guest};

mod good {
    use super::*;

    /// Lets through.
    ///
    /// All of it.
    #[writ_policy::policy(
        reads("net.ip"),
        codes("b", "a", "b"),
        claims("tenant"),
        name = "good-one"
    )]
    pub(super) fn judge(request: &Request, settings: &Everything) -> Result<Outcome, Fault> {
        if settings.flag {
            return deny("a").reason("by setting").note("n", "t").into();
        }
        allow(request)
            .claim("tenant", "x")
            .claim("tenant", "y")
            .into()
    }
}

#[derive(Settings, Debug)]
#[settings(check = positive)]
struct Everything {
    #[setting(default = false, doc = "whether to deny")]
    flag: bool,
    /// A number.
    #[setting(default = -7)]
    int: i64,
    /// A name
    /// on two lines.
    #[setting(required)]
    text: String,
    #[setting(default = ["10.0.0.0/8", "::1"], name = "nets")]
    networks: Vec<Network>,
    #[setting(default = "{}")]
    json: Json,
    maybe: Option<Vec<String>>,
    #[setting(default = "a\"b\\c\u{e9}\n")]
    r#type: String,
}

fn positive(settings: &Everything) -> Result<(), Problem> {
    if settings.int < 100 {
        Ok(())
    } else {
        Err(Problem::new("int", "must be below 100"))
    }
}

#[test]
fn a_descriptor_says_what_the_source_says() {
    let descriptor = good::Policy::descriptor();
    assert_eq!(descriptor.name, "good-one");
    assert_eq!(descriptor.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(descriptor.doc, "Lets through.\n\nAll of it.");
    assert_eq!(descriptor.reads, ["net.ip"]);
    assert_eq!(descriptor.codes, ["a", "b"]);
    assert_eq!(descriptor.claims, ["tenant"]);
    let setting = |name: &str| -> Setting {
        let mut settings = descriptor.settings.iter();
        settings.find(|one| one.name == name).unwrap().clone()
    };
    assert_eq!(setting("flag").doc, "whether to deny");
    assert_eq!(setting("int").default, Some(Value::Int(-7)));
    assert_eq!(setting("text").doc, "A name\non two lines.");
    assert!(setting("text").required && !setting("maybe").required);
    assert_eq!(setting("nets").kind, SettingKind::Texts);
    assert_eq!(setting("json").default, Some(Value::Json("{}".into())));
    assert_eq!(setting("maybe").kind, SettingKind::Texts);
    assert_eq!(
        setting("type").default,
        Some(Value::Text("a\"b\\cé\n".into()))
    );
    assert_eq!(
        writ_policy::testing::descriptor_problems(&descriptor),
        [""; 0]
    );
}

#[test]
fn settings_are_read_or_all_that_is_wrong_is_said() {
    let read = Everything::read(&[Named::new("text", "t")]).unwrap();
    assert_eq!((read.flag, read.int, read.text.as_str()), (false, -7, "t"));
    assert_eq!((read.networks.len(), read.json.0.as_str()), (2, "{}"));
    assert_eq!((read.maybe, read.r#type.len()), (None, 8));

    let problems = |given: &[Named]| -> Vec<String> {
        let problems = guest::validate::<Everything>(given).unwrap_err();
        let each = problems.into_iter();
        each.map(|one| format!("{}: {}", one.setting, one.message))
            .collect()
    };
    assert_eq!(
        problems(&[
            Named::new("flag", 1),
            Named::new("nets", ["10.0.0.1/8"]),
            Named::new("networks", ["10.0.0.0/8"]),
        ]),
        [
            "flag: must be true or false",
            "text: is required",
            "nets: 10.0.0.1/8 has bits behind its prefix",
            "networks: this policy has no such setting",
        ]
    );
    let checked = [Named::new("int", 100), Named::new("text", "t")];
    assert_eq!(problems(&checked), ["int: must be below 100"]);
    let fault = guest::evaluate::<good::Policy>(&request().build(), &checked).unwrap_err();
    assert_eq!(fault, "setting int: must be below 100");
}

#[test]
fn the_last_value_of_a_claim_counts() {
    let outcome = guest::evaluate::<good::Policy>(&request().build(), &[Named::new("text", "t")]);
    let Decision::Allow(grant) = outcome.unwrap().decision else {
        panic!("it allows");
    };
    assert_eq!(grant.claims, [Named::new("tenant", "y")]);
}

/// Policies that make an outcome by hand, and a wrong one.
macro_rules! wrong {
    ($name:ident, $grant:expr) => {
        mod $name {
            use super::*;
            use writ_policy::{Grant, Outcome};

            #[writ_policy::policy(claims("tenant"))]
            pub(super) fn evaluate(request: &Request, _: &()) -> Result<Outcome, Fault> {
                let grant: fn(&Request) -> Grant = $grant;
                let decision = Decision::Allow(grant(request));
                let notes = Vec::new();
                Ok(Outcome { decision, notes })
            }
        }
    };
}

fn grant() -> writ_policy::Grant {
    writ_policy::Grant {
        scopes: None,
        lifetime_seconds: None,
        claims: Vec::new(),
    }
}

wrong!(wider, |_| Grant {
    scopes: Some(vec!["admin".into()]),
    ..grant()
});
wrong!(longer, |request| Grant {
    lifetime_seconds: Some(request.lifetime_seconds + 1),
    ..grant()
});
wrong!(reserved, |_| Grant {
    claims: vec![Named::new("sub", "root")],
    ..grant()
});
wrong!(undeclared, |_| Grant {
    claims: vec![Named::new("role", "root")],
    ..grant()
});
wrong!(twice, |_| Grant {
    claims: vec![Named::new("tenant", "a"), Named::new("tenant", "b")],
    ..grant()
});

mod undeclared_code {
    use super::*;

    #[writ_policy::policy(codes("this"))]
    pub(super) fn evaluate(_: &Request, _: &()) -> Result<Outcome, Fault> {
        deny("that").into()
    }
}

mod fickle {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CALLS: AtomicU32 = AtomicU32::new(1);

    #[writ_policy::policy()]
    pub(super) fn evaluate(request: &Request, _: &()) -> Result<Outcome, Fault> {
        allow(request)
            .at_most(CALLS.fetch_add(1, Ordering::Relaxed))
            .into()
    }
}

#[test]
fn what_no_policy_may_do_is_noticed() {
    let request = request().scopes(["a"]).build();
    let wrong = |found: Result<(), String>, expected: &str| {
        let found = found.unwrap_err();
        assert!(found.contains(expected), "{found}");
    };
    wrong(
        check_properties::<wider::Policy>(&request, &[]),
        "\"admin\"",
    );
    wrong(check_properties::<longer::Policy>(&request, &[]), "longer");
    wrong(
        check_properties::<reserved::Policy>(&request, &[]),
        "reserved",
    );
    wrong(
        check_properties::<undeclared::Policy>(&request, &[]),
        "claims(..) has not",
    );
    wrong(check_properties::<twice::Policy>(&request, &[]), "twice");
    wrong(
        check_properties::<undeclared_code::Policy>(&request, &[]),
        "codes(..) has not",
    );
    wrong(
        check_properties::<fickle::Policy>(&request, &[]),
        "two answers",
    );
    check_properties::<good::Policy>(&request, &[Named::new("text", "t")]).unwrap();
}

/// What `check_cases` says of this file.
fn complaint(case: &str) -> String {
    let directory = std::env::temp_dir().join(format!("writ-case-{}", std::process::id()));
    let name: String = case.bytes().map(|byte| format!("{byte:02x}")).collect();
    let directory = directory.join(&name[name.len().saturating_sub(60)..]);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("case.toml"), case).unwrap();
    let check = || writ_policy::testing::check_cases::<good::Policy>(&directory);
    let panic = std::panic::catch_unwind(check);
    fs::remove_dir_all(&directory).unwrap();
    match panic {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    }
}

#[test]
fn a_case_that_is_not_met_is_a_complaint_that_says_what() {
    let shared = "settings.text = \"t\"\nrequest.scopes = [\"a\", \"b\"]\n";
    for (expect, said) in [
        (
            "expect = { decision = \"allow\", scopes = [\"b\", \"a\"] }",
            "",
        ),
        (
            "expect = { decision = \"allow\", claims = { tenant = \"y\" } }",
            "",
        ),
        (
            "expect = { decision = \"allow\", claims = {} }",
            "expected claims []",
        ),
        (
            "expect = { decision = \"allow\", scopes = [\"a\"] }",
            "expected scopes [\"a\"]",
        ),
        (
            "expect = { decision = \"allow\", lifetime = 1 }",
            "expected lifetime 1, found 900",
        ),
        (
            "expect = { decision = \"deny\" }",
            "expected deny, but it was allow",
        ),
        (
            "settings.flag = true\nexpect = { decision = \"deny\", notes = { n = \"t\" } }",
            "",
        ),
        (
            "settings.flag = true\nexpect = { decision = \"deny\", notes = { n = \"x\" } }",
            "the note",
        ),
        (
            "settings.flag = true\nexpect = { decision = \"deny\", code = \"b\" }",
            "expected code \"b\"",
        ),
        (
            "settings.flag = true\nexpect = { decision = \"deny\", reason = \"no\" }",
            "a reason with",
        ),
        (
            "settings.flag = 1\nexpect = { decision = \"settings\", problems = [\"flag\"] }",
            "",
        ),
        (
            "settings.flag = 1\nexpect = { decision = \"settings\", problems = [] }",
            "problems with []",
        ),
        ("", "expect is missing"),
        (
            "expect = { decision = \"maybe\" }",
            "allow, deny, fault or settings",
        ),
        (
            "expect = { decision = \"allow\", code = \"a\" }",
            "does not have",
        ),
        (
            "expect = { decision = \"allow\", scope = [] }",
            "nobody knows what scope is",
        ),
        (
            "request.scope = \"a\"\nexpect.decision = \"allow\"",
            "nobody knows what scope is",
        ),
        (
            "expect.decision = allow",
            "line 3: expected a value, found \"allow\"",
        ),
        (
            "settings.text = \"u\"\nexpect.decision = \"allow\"",
            "line 3: text is given twice",
        ),
        (
            "request.lifetime = 1.5\nexpect.decision = \"allow\"",
            "expected a value, found \"1.5\"",
        ),
        (
            "request.at = \"today\"\nexpect.decision = \"allow\"",
            "not a time like",
        ),
    ] {
        let found = complaint(&[shared, expect].concat());
        if said.is_empty() {
            assert_eq!(found, "", "{expect}");
        } else {
            assert!(found.contains(said), "{expect}: {found}");
        }
    }
}
