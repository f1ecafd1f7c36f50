//! For tests of this crate and of others: policies as WebAssembly text, without any toolchain. What
//! an honest policy has is in `tests/policy.wat`; those that mean harm are in `tests/hostile`. And
//! anything that a policy can be asked.

use crate::{Api, Application, Named, Request, Subject, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// A policy module: what a test defines, and `policy.wat` for all that it does not.
///
/// # Panics
/// When the text is no WebAssembly.
#[must_use]
#[track_caller]
pub fn module(test: &str) -> Vec<u8> {
    let mut text = format!("(module {test}\n");
    for block in include_str!("../tests/policy.wat").split("\n\n") {
        let definition = block.lines().find(|line| !line.starts_with(";;"));
        let name = definition.and_then(|line| {
            let mut words = line.split_whitespace();
            let (kind, name) = (words.next()?, words.next()?);
            name.starts_with('$').then(|| format!("{kind} {name} "))
        });
        if !name.is_some_and(|name| test.contains(&name)) {
            text.push_str(block);
            text.push('\n');
        }
    }
    text.push(')');
    match wat::parse_str(text) {
        Ok(module) => module,
        Err(error) => panic!("{error}"),
    }
}

/// A policy that grants everything, for at most 300 s and with the claim `tier` = `gold`.
#[must_use]
pub fn honest() -> Vec<u8> {
    module("")
}

/// Where the policies are that mean harm, each with a sentence that says what it does.
#[must_use]
pub fn hostile_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// One of them.
///
/// # Panics
/// When there is none of this name.
#[must_use]
#[track_caller]
pub fn hostile(name: &str) -> Vec<u8> {
    let path = hostile_directory().join(name).with_extension("wat");
    match std::fs::read_to_string(&path) {
        Ok(text) => module(&text),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn any_texts() -> impl Strategy<Value = Vec<String>> {
    vec(any::<String>(), 0..5)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Flag),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(Value::Text),
        any_texts().prop_map(Value::Texts),
        any::<String>().prop_map(Value::Json),
    ]
}

/// Anything that can stand where settings, labels, attributes and claims do; in no order.
pub fn any_named() -> impl Strategy<Value = Vec<Named>> {
    let one = (any::<String>(), any_value()).prop_map(|(name, value)| Named { name, value });
    vec(one, 0..5)
}

prop_compose! {
    fn any_application()(
        id: String,
        name: String,
        labels in any_named(),
        roles in any_texts(),
    ) -> Application {
        Application { id, name, labels, roles }
    }
}

prop_compose! {
    fn any_subject()(id: String, issuer: String, claims in any_named()) -> Subject {
        Subject { id, issuer, claims }
    }
}

prop_compose! {
    fn any_api()(id: String, identifier: String, labels in any_named()) -> Api {
        Api { id, identifier, labels }
    }
}

prop_compose! {
    /// Any request, whether a server would make it or not.
    pub fn any_request()(
        (id, at, grant_type) in any::<(String, u64, String)>(),
        application in any_application(),
        subject in proptest::option::of(any_subject()),
        apis in vec(any_api(), 0..4),
        scopes in any_texts(),
        lifetime_seconds: u32,
        (attributes, claims) in (any_named(), any_named()),
    ) -> Request {
        Request {
            id,
            at,
            grant_type,
            application,
            subject,
            apis,
            scopes,
            lifetime_seconds,
            attributes,
            claims,
        }
    }
}
