//! The query of a URL: names that the route knows, each at most once.

use super::Failure;
use super::failure::shortened;
use super::path::decode;

/// A parsed query.
#[derive(Debug, Default)]
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Parses a query of which these names are known.
    ///
    /// # Errors
    /// An unknown or repeated name, a malformed escape, or something that is not UTF-8.
    pub fn parse(raw: &str, known: &[&'static str]) -> Result<Self, Failure> {
        let malformed = |detail| Failure::malformed("query_malformed", detail);
        let mut parameters: Vec<(&'static str, String)> = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |raw: &str| {
                decode(raw.as_bytes(), true).map_err(|fault| malformed(fault.said("the query")))
            };
            let (name, value) = (text(name)?, text(value)?);
            let Some(known) = known.iter().find(|known| **known == name) else {
                let name = shortened(&name);
                let takes = match known {
                    [] => "none here".to_owned(),
                    _ => known.join(", "),
                };
                return Err(malformed(format!(
                    "there is no query parameter {name}; there is {takes}"
                )));
            };
            if parameters.iter().any(|(name, _)| name == known) {
                return Err(malformed(format!(
                    "the query parameter {known} is repeated"
                )));
            }
            parameters.push((known, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A number as it is written: digits and nothing else.
pub fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["limit", "after", "name"];

    #[test]
    fn a_usual_query_is_read() {
        let query = Query::parse("limit=5&name=a+b%20c%C3%A9&", KNOWN).unwrap();
        assert_eq!(query.get("limit"), Some("5"));
        assert_eq!(query.get("name"), Some("a b cé"));
        assert_eq!(query.get("after"), None);
        assert_eq!(Query::parse("after", KNOWN).unwrap().get("after"), Some(""));
    }

    #[test]
    fn another_query_is_refused() {
        for raw in [
            "x=1",
            "limit=1&limit=2",
            "limit=1&l%69mit=2",
            "name=%",
            "name=%ff",
            "=1",
        ] {
            let failure = Query::parse(raw, KNOWN).unwrap_err();
            assert!(matches!(failure, Failure::Malformed { .. }), "{raw}");
        }
        let failure = Query::parse("x=1", &[]).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "there is no query parameter x; there is none here"
        );
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "18446744073709551616",
            "0x1",
            "١",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(raw in "(limit|name|=|&|%|\\PC){0,20}") {
            match Query::parse(&raw, KNOWN) {
                Ok(_) | Err(Failure::Malformed { .. }) => {}
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
