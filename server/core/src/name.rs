//! Texts that people choose: names, descriptions, identifiers, labels. They are parsed at the
//! door, kept in events for ever and shown as they are, so control characters never get in.

use crate::limits;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The text does not fit where it was given; the message says what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseNameError(pub(crate) &'static str);

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            #[must_use]
            pub fn shared(&self) -> std::sync::Arc<str> {
                std::sync::Arc::clone(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> Result<(), $crate::ParseNameError> = $check;
                check(text).map(|()| Self(text.into()))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::codec::from_text(deserializer)
            }
        }
    };
}
pub(crate) use text_type;

/// Characters that could make a listing lie: controls, line separators, and the marks that change
/// the direction of writing.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

text_type!(
    /// A name for people. Permanent once recorded.
    Name,
    |text| {
        let fits = (1..=limits::NAME_CHARS).contains(&text.chars().count());
        if !fits || text.trim() != text || text.chars().any(is_hostile) {
            return Err(ParseNameError(
                "a name has 1 to 120 characters, none of them a control character, \
                 and neither begins nor ends with space",
            ));
        }
        Ok(())
    }
);

text_type!(
    /// A sentence for people. Permanent once recorded.
    Description,
    |text| {
        if text.chars().count() > limits::DESCRIPTION_CHARS || text.chars().any(is_hostile) {
            return Err(ParseNameError(
                "a description has at most 500 characters, none of them a control character",
            ));
        }
        Ok(())
    }
);

text_type!(
    /// The identifier of an API resource, and an audience: an absolute URI without a fragment
    /// (RFC 8707 §2).
    Identifier,
    |text| {
        let fault = ParseNameError(
            "an identifier is an absolute URI of at most 255 ASCII characters, without fragment, \
             such as https://courses.example/api or urn:example:courses",
        );
        let (scheme, rest) = text.split_once(':').ok_or(fault)?;
        let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let rest_ok = !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
        if scheme_ok && rest_ok && text.len() <= limits::IDENTIFIER_BYTES {
            Ok(())
        } else {
            Err(fault)
        }
    }
);

/// The labels of an application: string key/value pairs, sorted by key. Permanent once recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<Box<str>, Box<str>>);

impl Labels {
    /// Checks and takes over key/value pairs.
    ///
    /// # Errors
    /// When there are more than 32, or a key or value does not fit.
    pub fn new(pairs: BTreeMap<Box<str>, Box<str>>) -> Result<Self, ParseNameError> {
        if pairs.len() > limits::LABELS_PER_APPLICATION {
            return Err(ParseNameError("an application has at most 32 labels"));
        }
        for (key, value) in &pairs {
            let key_ok = (1..=limits::LABEL_KEY_BYTES).contains(&key.len())
                && key
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/'));
            if !key_ok {
                return Err(ParseNameError(
                    "a label key has 1 to 63 of the characters a-z 0-9 . _ - /",
                ));
            }
            if value.len() > limits::LABEL_VALUE_BYTES || value.chars().any(is_hostile) {
                return Err(ParseNameError(
                    "a label value has at most 255 bytes, none of them a control character",
                ));
            }
        }
        Ok(Self(pairs))
    }

    /// The pairs, sorted by key.
    #[must_use]
    pub fn pairs(&self) -> &BTreeMap<Box<str>, Box<str>> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = BTreeMap::deserialize(deserializer)?;
        Self::new(pairs).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;
    use std::str::FromStr;

    #[test]
    fn identifiers_are_absolute_uris() {
        for text in [
            "https://courses.example/api",
            "urn:writ:management",
            "api:x",
        ] {
            assert!(text.parse::<Identifier>().is_ok(), "{text}");
        }
        for text in [
            "",
            "courses",
            "/api",
            ":x",
            "1a:x",
            "https:",
            "https://a/#f",
            "a:b c",
            "a:\u{e9}",
        ] {
            assert!(text.parse::<Identifier>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_could_lie_are_refused() {
        for text in [
            "",
            " x",
            "x ",
            "a\nb",
            "a\u{0}b",
            "evil\u{202e}txt",
            &"x".repeat(121),
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        assert!(
            "Kurs-Verwaltung \u{2013} Ver\u{f6}ffentlichung"
                .parse::<Name>()
                .is_ok()
        );
    }

    #[test]
    fn label_keys_are_plain() {
        let labels = |k: &str, v: &str| Labels::new([(k.into(), v.into())].into());
        assert!(labels("env", "prod").is_ok());
        assert!(labels("example.com/team-a_1", "").is_ok());
        assert!(labels("Env", "prod").is_err());
        assert!(labels("", "prod").is_err());
        assert!(labels("env", "a\nb").is_err());
    }

    use proptest::prelude::*;

    /// What is read is written as it was, also as JSON.
    fn reads_back<T>(text: &str) -> Result<(), TestCaseError>
    where
        T: FromStr + fmt::Display + PartialEq + fmt::Debug + Serialize + for<'de> Deserialize<'de>,
    {
        let json = serde_json::to_string(text).expect("a text is JSON");
        let read = serde_json::from_str::<T>(&json).ok();
        prop_assert_eq!(read.is_some(), text.parse::<T>().is_ok(), "{:?}", text);
        if let Some(read) = read {
            prop_assert_eq!(read.to_string(), text);
            prop_assert_eq!(serde_json::to_string(&read).ok(), Some(json));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_reads_back_or_is_refused(
            any: String,
            long in "[a-z é\u{202e}]{0,300}",
            uri in "[a-zA-Z0-9+.-]{0,4}:?[!-~é ]{0,300}",
        ) {
            for text in [&any, &long, &uri] {
                reads_back::<Name>(text)?;
                reads_back::<Description>(text)?;
                reads_back::<Identifier>(text)?;
                if let Ok(name) = text.parse::<Name>() {
                    let name = name.as_str();
                    prop_assert!((1..=limits::NAME_CHARS).contains(&name.chars().count()));
                    prop_assert_eq!(name.trim(), name);
                    prop_assert!(!name.chars().any(is_hostile));
                }
                if let Ok(identifier) = text.parse::<Identifier>() {
                    let identifier = identifier.as_str();
                    prop_assert!(identifier.len() <= limits::IDENTIFIER_BYTES);
                    prop_assert!(identifier.bytes().all(|b| b.is_ascii_graphic()));
                    prop_assert!(identifier.contains(':') && !identifier.contains('#'));
                }
            }
        }

        #[test]
        fn what_fits_is_taken(
            name in "[a-zA-Z0-9é–]([a-zA-Z0-9é –]{0,118}[a-zA-Z0-9é])?",
            description in "[ -~é]{0,500}",
            identifier in "[a-z][a-z0-9+.-]{0,9}:[a-zA-Z0-9/?=&._~:@!$*+,;%()-]{1,200}",
            key in "[a-z0-9._/-]{1,63}",
            value in "[ -~]{0,255}",
        ) {
            prop_assert!(name.parse::<Name>().is_ok(), "{:?}", name);
            prop_assert!(description.parse::<Description>().is_ok(), "{:?}", description);
            prop_assert!(identifier.parse::<Identifier>().is_ok(), "{:?}", identifier);
            let labels = Labels::new([(key.as_str().into(), value.as_str().into())].into());
            prop_assert!(labels.is_ok(), "{:?}={:?}", key, value);
        }

        #[test]
        fn labels_read_back_or_are_refused(
            pairs in prop::collection::btree_map(".{0,70}|[a-z]{1,70}", ".{0,300}", 0..40),
        ) {
            let json = serde_json::to_string(&pairs).expect("texts are JSON");
            let read = serde_json::from_str::<Labels>(&json).ok();
            let pairs: BTreeMap<Box<str>, Box<str>> =
                pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
            prop_assert_eq!(read.is_some(), Labels::new(pairs.clone()).is_ok());
            if let Some(read) = read {
                prop_assert_eq!(read.pairs(), &pairs);
                prop_assert!(pairs.len() <= limits::LABELS_PER_APPLICATION);
                prop_assert_eq!(serde_json::to_string(&read).ok(), Some(json));
            }
        }
    }
}
