//! Where two records differ, place by place.

use serde_json::Value;
use writ_ledger::IssuanceRecord;

/// A place and what stands there: in the first, and in the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `policies[0].notes[1].text`
    pub path: String,
    pub first: Value,
    pub second: Value,
}

/// All places where two records differ, in the order of their members.
pub(super) fn between(first: &IssuanceRecord, second: &IssuanceRecord) -> Vec<Place> {
    let json = |record| serde_json::to_value(record).unwrap_or_default();
    let mut places = Vec::new();
    compare(&json(first), &json(second), String::new(), &mut places);
    places
}

fn compare(first: &Value, second: &Value, path: String, places: &mut Vec<Place>) {
    match (first, second) {
        (Value::Object(one), Value::Object(other)) => {
            let only = other.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(only) {
                let path = match path.is_empty() {
                    true => name.clone(),
                    false => format!("{path}.{name}"),
                };
                let at = |value: &serde_json::Map<String, Value>| {
                    value.get(name).cloned().unwrap_or_default()
                };
                compare(&at(one), &at(other), path, places);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for place in 0..one.len().max(other.len()) {
                let at = |values: &[Value]| values.get(place).cloned().unwrap_or_default();
                compare(&at(one), &at(other), format!("{path}[{place}]"), places);
            }
        }
        (first, second) if first == second => {}
        (first, second) => places.push(Place {
            path,
            first: first.clone(),
            second: second.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_place_is_named_once() {
        let first = json!({"a": 1, "b": [1, {"c": "x"}], "d": {"e": null}, "f": [1]});
        let second = json!({"a": 1, "b": [1, {"c": "y"}, 3], "d": {"e": true}, "g": 0});
        let mut places = Vec::new();
        compare(&first, &second, String::new(), &mut places);
        let found: Vec<(&str, &Value, &Value)> = places
            .iter()
            .map(|place| (place.path.as_str(), &place.first, &place.second))
            .collect();
        let (null, one) = (json!(null), json!([1]));
        assert_eq!(
            found,
            [
                ("b[1].c", &json!("x"), &json!("y")),
                ("b[2]", &null, &json!(3)),
                ("d.e", &null, &json!(true)),
                ("f", &one, &null),
                ("g", &null, &json!(0)),
            ]
        );
    }
}
