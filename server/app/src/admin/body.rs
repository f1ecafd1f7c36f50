//! JSON bodies: strict, and errors that say where.

use super::Failure;
use super::failure::shortened;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Reads a JSON object.
///
/// # Errors
/// With line and column: not JSON, a member twice, an unknown member, another type than expected.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    if let Err(error) = std::str::from_utf8(body) {
        let at = error.valid_up_to();
        return Err(malformed(format!(
            "the body is not UTF-8 from byte {at} on"
        )));
    }
    serde_json::from_slice::<Unambiguous>(body).map_err(|error| said(&error))?;
    // An array would fill the members of a struct in their order, which nobody means.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(invalid("the body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| said(&error))
}

/// Whether a `Content-Type` says JSON, in UTF-8.
pub fn is_json(content_type: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(content_type) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let foreign = !value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        !(name.eq_ignore_ascii_case("charset") && foreign)
    })
}

fn said(error: &serde_json::Error) -> Failure {
    let detail = format!("the body: {}", shortened(&error.to_string()));
    // The place stands at the end of a text that may have been shortened.
    let detail = match detail.ends_with('…') {
        true => format!(
            "{detail} at line {} column {}",
            error.line(),
            error.column()
        ),
        false => detail,
    };
    match error.classify() {
        serde_json::error::Category::Data => invalid(detail),
        _ => malformed(detail),
    }
}

fn malformed(detail: String) -> Failure {
    Failure::Malformed {
        code: "body_malformed",
        detail,
    }
}

fn invalid(detail: String) -> Failure {
    Failure::Malformed {
        code: "body_invalid",
        detail,
    }
}

/// JSON in which no object has a member twice: two readers could take different ones.
struct Unambiguous;

impl<'de> serde::Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format!(
                    "the member `{name}` is there twice"
                )));
            }
            seen.insert(name);
            members.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use writ_api::{CreateApiResource, CreateApplication, CreateRole};

    fn fault<T: DeserializeOwned>(body: &str) -> (&'static str, String) {
        match parse::<T>(body.as_bytes()) {
            Err(Failure::Malformed { code, detail }) => (code, detail),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{body} was read"),
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        let (code, detail) = fault::<CreateRole>("{\"name\": \"a\",\n \"scope\": []}");
        assert_eq!(code, "body_invalid");
        assert!(
            detail.contains("`scope`") && detail.contains("`scopes`"),
            "{detail}"
        );
        assert!(detail.contains("line 2 column 8"), "{detail}");
        let (code, detail) = fault::<CreateRole>("{\"name\": \"a\",");
        assert_eq!(code, "body_malformed");
        assert!(detail.contains("line 1 column 13"), "{detail}");
        let (_, detail) = fault::<CreateRole>("{\"name\": 7}");
        assert!(detail.contains("expected a string"), "{detail}");
        assert_eq!(fault::<CreateRole>("").0, "body_malformed");
        assert_eq!(fault::<CreateRole>("[\"a\", []]").0, "body_invalid");
        assert_eq!(fault::<CreateRole>("null").0, "body_invalid");
        let long = format!("{{\"{}\": 1}}", "x".repeat(100_000));
        let (_, detail) = fault::<CreateRole>(&long);
        assert!(
            detail.len() < 1_000 && detail.contains("line 1"),
            "{detail}"
        );
    }

    #[test]
    fn a_member_is_there_once_at_every_depth() {
        for body in [
            r#"{"name": "a", "name": "b"}"#,
            r#"{"name": "a", "n\u0061me": "b"}"#,
            r#"{"name": "a", "labels": {"env": "x", "env": "y"}}"#,
        ] {
            let (code, detail) = fault::<CreateApplication>(body);
            assert_eq!(code, "body_invalid");
            assert!(detail.contains("is there twice"), "{detail}");
        }
    }

    #[test]
    fn depth_and_encoding_have_limits() {
        let deep = format!(
            "{{\"name\": {}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(fault::<CreateRole>(&deep).0, "body_malformed");
        let failure = parse::<CreateRole>(b"{\"name\": \"\xff\"}").unwrap_err();
        assert!(failure.to_string().contains("byte 10"), "{failure}");
    }

    #[test]
    fn json_is_declared() {
        for good in [
            "application/json",
            "Application/JSON; charset=\"UTF-8\"",
            "application/json;",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/json; charset=latin1",
            "application/jsonp",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(failure) = parse::<CreateApiResource>(&body) {
                let refused = matches!(failure, Failure::Malformed { .. });
                prop_assert!(refused);
            }
        }

        #[test]
        fn any_json_like_body_is_read_or_refused(
            body in "(\\{|\\}|\\[|\\]|,|:|\"name\"|\"scopes\"|null|1e9|-|\"\\\\u|\"\\PC\"| ){0,30}"
        ) {
            if let Err(failure) = parse::<CreateApiResource>(body.as_bytes()) {
                let refused = matches!(failure, Failure::Malformed { .. });
                prop_assert!(refused);
            }
        }
    }
}
