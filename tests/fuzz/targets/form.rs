//! The body of a token request: a content type on the first line, then the form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use writ::form::{FORM_BYTES_MAX, FORM_PARAMETERS_MAX, Form};

const FORM: &[u8] = b"application/x-www-form-urlencoded";

fuzz_target!(|data: &[u8]| {
    let line = data.iter().position(|&byte| byte == b'\n');
    let (content_type, body) = data.split_at(line.unwrap_or(0));
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    // What another content type hides is no form, and with the right one it may be.
    if let Ok(form) = Form::parse(Some(content_type), body) {
        assert_eq!(Form::parse(Some(FORM), body), Ok(form));
    }
    let Ok(form) = Form::parse(Some(FORM), body) else {
        return;
    };
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for name in form.names() {
        let nth = seen.entry(name).or_default();
        let value = form.all(name).nth(*nth).expect("as many values as names");
        assert!(!name.is_empty() && !value.is_empty());
        assert!(
            *nth == 0 || matches!(name, "audience" | "resource"),
            "{name} is repeated"
        );
        *nth += 1;
        pairs.push(format!("{}={}", escaped(name), escaped(value)));
    }
    assert!(pairs.len() <= FORM_PARAMETERS_MAX);
    let again = pairs.join("&");
    if again.len() <= FORM_BYTES_MAX {
        assert_eq!(Form::parse(Some(FORM), again.as_bytes()), Ok(form));
    }
});

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
