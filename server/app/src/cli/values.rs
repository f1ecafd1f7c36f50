//! Values as they are written on the command line, `NAME=VALUE`: the settings of policies and the
//! facts that policies judge by. VALUE is JSON, or else text, so that nobody has to quote
//! `tenant` for JSON and for the shell. And moments, as a time or as how long ago.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use writ::clock::{Clock, SystemClock};
use writ_core::Millis;

use super::Failure;

/// A name, and what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// What stands after the `=`.
    pub text: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given.split_once('=') {
            Some((name, text)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                text: text.to_owned(),
            }),
            _ => Err("write NAME=VALUE".to_owned()),
        }
    }
}

impl Assignment {
    /// The value where it is not known what kind is wanted: `true`, `7`, `["a", "b"]` and
    /// `{"json": "…"}` as they are, and text.
    pub fn value(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(value) if is_value(&value) => value,
            _ => Value::String(self.text.clone()),
        }
    }

    /// The value for a setting of a kind. Whether it is a right one is the server's to say.
    pub fn value_of_kind(&self, kind: &str) -> Result<Value, Failure> {
        match (kind, self.value()) {
            ("text", Value::String(text)) => Ok(text.into()),
            ("text", _) => Ok(self.text.clone().into()),
            ("texts", value) => self.texts(value),
            ("json", _) => self.json(),
            (_, value) => Ok(value),
        }
    }

    /// A list in JSON, or one text, of which it is plain that it is one.
    fn texts(&self, value: Value) -> Result<Value, Failure> {
        let quoted = self.text.trim_start().starts_with('"');
        // A shell that was not told otherwise takes the quotes of JSON away.
        let is_list = self.text.starts_with(['[', '{']) || self.text.contains(',');
        match value {
            Value::Array(_) => Ok(value),
            Value::String(text) if quoted || !is_list => Ok(json!([text])),
            _ if !is_list => Ok(json!([self.text])),
            _ => Err(self.wrong("takes several texts", r#"=["a", "b"]"#)),
        }
    }

    fn json(&self) -> Result<Value, Failure> {
        match serde_json::from_str::<serde::de::IgnoredAny>(&self.text) {
            Ok(_) => Ok(json!({ "json": self.text })),
            Err(_) => Err(self.wrong("takes JSON", r#"={"a": [1, 2]}"#)),
        }
    }

    fn wrong(&self, takes: &str, example: &str) -> Failure {
        let Self { name, text } = self;
        Failure::Usage(format!(
            "{name} {takes}, and `{text}` is none: write '{name}{example}', in single quotes for \
             the shell"
        ))
    }
}

/// How many seconds a whole number with one of these units is.
pub fn seconds(text: &str, units: &str) -> Option<u64> {
    let unit = text.chars().last().filter(|unit| units.contains(*unit))?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    count.checked_mul(each)
}

/// A moment: an RFC 3339 time, or how long ago, as a whole number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Millis);

impl Moment {
    fn read(text: &str, now: Millis) -> Result<Self, String> {
        let ago = || {
            let milliseconds = seconds(text, "smhdw")?.checked_mul(1_000)?;
            // Before 1970 there was nothing.
            Some(Millis(now.0.saturating_sub(milliseconds)))
        };
        match text.parse().ok().or_else(ago) {
            Some(moment) => Ok(Self(moment)),
            None => Err(
                "write an RFC 3339 time such as 2026-03-03T09:00:00Z, or how long ago such as \
                 7d, 24h, 90m, 30s"
                    .to_owned(),
            ),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, SystemClock.now())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether JSON is one of the values that policies know.
fn is_value(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.is_i64(),
        Value::Array(items) => items.iter().all(Value::is_string),
        Value::Object(members) => {
            members.len() == 1 && members.get("json").is_some_and(Value::is_string)
        }
        Value::Null => false,
    }
}

/// Values by their names, each made by `value`. A name that stands there twice is an error.
pub fn by_name(
    given: &[Assignment],
    value: impl Fn(&Assignment) -> Result<Value, Failure>,
) -> Result<Map<String, Value>, Failure> {
    let mut values = Map::new();
    for one in given {
        if values.insert(one.name.clone(), value(one)?).is_some() {
            return Err(Failure::Usage(format!("`{}` is set twice", one.name)));
        }
    }
    Ok(values)
}

/// A value for people, written as it could be given.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => match members.get("json") {
            Some(Value::String(text)) if members.len() == 1 => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// Values with their names for people.
pub fn assignments(values: &Map<String, Value>) -> Vec<String> {
    let each = values.iter();
    each.map(|(name, value)| format!("{name}={}", shown(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn given(text: &str) -> Assignment {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_is_json_or_else_text() {
        for (text, value) in [
            ("a=true", json!(true)),
            ("a=-7", json!(-7)),
            ("a=tenant", json!("tenant")),
            ("a=\"7\"", json!("7")),
            ("a=[\"x\", \"y\"]", json!(["x", "y"])),
            ("a=x=y", json!("x=y")),
            ("a=", json!("")),
            ("a=192.0.2.1", json!("192.0.2.1")),
            ("a={\"json\": \"[1]\"}", json!({ "json": "[1]" })),
            // No policy knows these values, so they are what was written.
            ("a=1.10", json!("1.10")),
            ("a=null", json!("null")),
            ("a=[1]", json!("[1]")),
        ] {
            assert_eq!(given(text).value(), value, "{text}");
        }
        for bad in ["a", "=a", ""] {
            assert!(bad.parse::<Assignment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_kind_of_a_setting_decides_what_can_be_read_in_two_ways() {
        for (kind, text, value) in [
            ("int", "cap=300", json!(300)),
            ("flag", "strict=true", json!(true)),
            ("text", "label=300", json!("300")),
            ("text", "label=true", json!("true")),
            ("text", "label=\"a b\"", json!("a b")),
            ("text", "label=[\"a\"]", json!("[\"a\"]")),
            ("texts", "caps=[\"a=60\"]", json!(["a=60"])),
            ("texts", "caps=[]", json!([])),
            ("texts", "caps=a=60", json!(["a=60"])),
            ("texts", "caps=7", json!(["7"])),
            ("texts", "caps=\"a, b\"", json!(["a, b"])),
            ("json", "rules={\"a\": 1}", json!({ "json": "{\"a\": 1}" })),
            ("json", "rules=7", json!({ "json": "7" })),
            // What is wrong with these is said by the server.
            ("int", "cap=soon", json!("soon")),
            ("unheard-of", "cap=7", json!(7)),
        ] {
            let found = given(text).value_of_kind(kind).unwrap();
            assert_eq!(found, value, "{kind} {text}");
        }
        for (kind, text) in [
            ("texts", "caps=a,b"),
            // The quotes of ["a"] were for the shell.
            ("texts", "caps=[a]"),
            ("texts", "caps=[1]"),
            ("json", "rules={a: 1}"),
        ] {
            let refused = given(text).value_of_kind(kind);
            assert!(matches!(refused, Err(Failure::Usage(_))), "{kind} {text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = Millis(1_772_528_400_000);
        let read = |text| Moment::read(text, now).map(|moment| moment.to_string());
        for (text, moment) in [
            ("2026-03-03T10:00:00+01:00", "2026-03-03T09:00:00.000Z"),
            ("0s", "2026-03-03T09:00:00.000Z"),
            ("90m", "2026-03-03T07:30:00.000Z"),
            ("24h", "2026-03-02T09:00:00.000Z"),
            ("7d", "2026-02-24T09:00:00.000Z"),
            ("2w", "2026-02-17T09:00:00.000Z"),
            ("99999w", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(read(text).unwrap(), moment, "{text}");
        }
        for bad in [
            "",
            "7",
            "d",
            "-1d",
            "1.5h",
            "7D",
            "7 d",
            "2026-03-03",
            "1\u{e9}",
            "99999999999999999999s",
            "9999999999999999w",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_given_once_and_values_are_shown_as_they_are_given() {
        let all = ["a=1", "b=x", "c=[\"y\"]"].map(given);
        let values = by_name(&all, |one| Ok(one.value())).unwrap();
        assert_eq!(assignments(&values), ["a=1", "b=x", "c=[\"y\"]"]);
        assert_eq!(shown(&json!({ "json": "{\"a\":1}" })), "{\"a\":1}");
        let twice = ["a=1", "a=2"].map(given);
        let refused = by_name(&twice, |one| Ok(one.value()));
        assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("`a`")));
    }
}
