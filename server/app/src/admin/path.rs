//! Paths: segments, percent-escapes, templates. Segments are cut before they are decoded, so that
//! an identifier with slashes in it, escaped, is one segment.

use super::Failure;

/// The decoded segments of a raw path that begins with a slash.
///
/// # Errors
/// A malformed escape, something that is not UTF-8, or a segment that walks (`.`, `..`).
pub fn segments(path: &str) -> Result<Vec<String>, Failure> {
    let Some(path) = path.strip_prefix('/') else {
        return Err(Failure::NoRoute);
    };
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, Failure> {
    let malformed = |detail| Failure::malformed("path_malformed", detail);
    let text = decode(raw.as_bytes(), false).map_err(|fault| malformed(fault.said("the path")))?;
    if matches!(text.as_str(), "." | "..") {
        return Err(malformed(
            "the path has a segment . or .., which is not followed".to_owned(),
        ));
    }
    Ok(text)
}

/// The parameters of a path, if it is of this template: `/applications/{id}`.
pub fn fit(template: &'static str, segments: &[String]) -> Option<Vec<(&'static str, String)>> {
    let parts = template.strip_prefix('/')?.split('/');
    if parts.clone().count() != segments.len() {
        return None;
    }
    let mut parameters = Vec::new();
    for (part, segment) in parts.zip(segments) {
        match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            Some(name) if !segment.is_empty() => parameters.push((name, segment.clone())),
            None if part == segment => {}
            _ => return None,
        }
    }
    Some(parameters)
}

/// The names of the parameters of a template.
pub fn names(template: &'static str) -> impl Iterator<Item = &'static str> {
    template
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Why a piece of a URL does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeFault {
    /// A `%` without two hexadecimal digits.
    Escape,
    /// The bytes are not UTF-8.
    Utf8,
}

impl DecodeFault {
    /// For people.
    pub fn said(self, place: &str) -> String {
        match self {
            Self::Escape => format!("{place} has a % that two hexadecimal digits do not follow"),
            Self::Utf8 => format!("{place} is not UTF-8"),
        }
    }
}

/// Undoes percent-escapes, strictly; with `plus`, a plus is a space, as in forms and queries.
pub fn decode(raw: &[u8], plus: bool) -> Result<String, DecodeFault> {
    let digit = |byte: Option<&u8>| {
        byte.and_then(|byte| char::from(*byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(DecodeFault::Escape)
    };
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next())? << 4) | digit(rest.next())?,
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| DecodeFault::Utf8)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escaped_identifier_is_one_segment() {
        let path = "/api-resources/https%3A%2F%2Fcourses.example%2Fapi/scopes/a:b";
        let found = segments(path).unwrap();
        assert_eq!(
            found,
            [
                "api-resources",
                "https://courses.example/api",
                "scopes",
                "a:b"
            ]
        );
        let parameters = fit("/api-resources/{id}/scopes/{name}", &found).unwrap();
        assert_eq!(
            parameters[0],
            ("id", "https://courses.example/api".to_owned())
        );
        assert_eq!(parameters[1], ("name", "a:b".to_owned()));
        assert_eq!(fit("/api-resources/{id}", &found), None);
        assert_eq!(
            fit(
                "/api-resources/{id}",
                &["api-resources".into(), String::new()]
            ),
            None
        );
        assert_eq!(
            names("/api-resources/{id}/scopes/{name}").collect::<Vec<_>>(),
            ["id", "name"]
        );
    }

    #[test]
    fn what_walks_or_is_malformed_is_refused() {
        for path in [
            "/..",
            "/a/../b",
            "/a/%2e%2E/b",
            "/.",
            "/a/%2e",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
        ] {
            assert!(
                matches!(segments(path), Err(Failure::Malformed { .. })),
                "{path}"
            );
        }
        assert!(matches!(segments("a"), Err(Failure::NoRoute)));
        // Inside a segment dots and slashes are text: there is nothing called that.
        assert_eq!(segments("/..%2f..%2fetc").unwrap(), ["../../etc"]);
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "(/|%|2e|\\PC){0,20}") {
            match segments(&path) {
                Ok(found) => prop_assert!(found.iter().all(|s| s != "." && s != "..")),
                Err(Failure::Malformed { .. } | Failure::NoRoute) => {}
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn a_segment_reads_back_as_written(text in "\\PC{1,20}") {
            prop_assume!(text != "." && text != "..");
            use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
            let path = format!("/{}", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            prop_assert_eq!(segments(&path).unwrap(), [text]);
        }
    }
}
