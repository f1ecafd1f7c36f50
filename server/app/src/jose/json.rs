//! JSON from outside, read so that it has one meaning: a member that is there twice is refused,
//! because two parsers may take two different ones of them (RFC 8725 §2.4, RFC 7515 §4).

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The deepest nesting that is read. Claims of Kubernetes have 3 levels, a JWK Set with
/// certificates has 4.
const DEPTH_MAX: usize = 16;

/// Reads the whole of a text as one JSON object without duplicate members at any level.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match value(bytes, DEPTH_MAX) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Reads the whole of a text as one JSON value without duplicate members at any level, with at most
/// so many levels of lists and objects.
pub(crate) fn value(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth }.deserialize(&mut deserializer);
    deserializer.end().ok()?;
    value.ok()
}

/// Reads a value that may have so many levels more.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(seed)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(seed)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_member_that_is_there_twice_is_refused_at_every_level() {
        assert!(object(br#"{"a":1,"b":{"a":[{"c":1.5}]}}"#).is_some());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[1,{"a":[{"c":1,"c":1}]}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{}{}",
            "{} x",
            "{\"a\":1e999}",
            "{'a':1}",
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(object(b" { } ").unwrap(), Map::new());
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |levels: usize| {
            let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
            format!("{open}1{close}")
        };
        assert!(object(nested(DEPTH_MAX).as_bytes()).is_some());
        assert_eq!(object(nested(DEPTH_MAX + 1).as_bytes()), None);
        assert_eq!(object(nested(100_000).as_bytes()), None);
        let list = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(object(list.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_it_reads_is_what_serde_json_reads(text in "[{}\\[\\],:\"a0-9.eE+\\- ntf\\\\u]{0,40}") {
            if let Some(read) = object(text.as_bytes()) {
                let plain: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Value::Object(read), plain);
            }
        }

        #[test]
        fn every_plain_object_is_read(members in prop::collection::btree_map(".*", any::<i64>(), 0..6)) {
            let value = json!({ "x": [members, null, true, "t"] });
            let read = object(value.to_string().as_bytes()).map(Value::Object);
            prop_assert_eq!(read, Some(value));
        }
    }
}
