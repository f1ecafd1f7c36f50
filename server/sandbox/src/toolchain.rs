//! What a module says about who made it. For people: nothing is decided by it, and anybody can write
//! anything there.

use crate::limits::brief;
use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};

/// More than compilers write.
const TOOLS: usize = 32;

/// A program or a language that a module says it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// `language`, `processed-by` or `sdk`.
    pub role: String,
    /// Its name: `rustc`.
    pub name: String,
    /// Its version; languages may have none.
    pub version: String,
}

/// The section in which the SDK says its version.
const SDK: &str = "writ-policy-sdk";

/// What a module says in `producers` and in the SDK's section; nothing where there is none that can
/// be read.
#[must_use]
pub fn toolchain(module: &[u8]) -> Vec<Tool> {
    let mut tools = Vec::new();
    for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        if section.name() == SDK {
            let version = String::from_utf8_lossy(section.data());
            tools.push(Tool::new("sdk", "writ-policy", &version));
        } else if let KnownCustom::Producers(fields) = section.as_known() {
            for field in fields.into_iter().map_while(Result::ok) {
                let values = field.values.into_iter().map_while(Result::ok);
                let tool = values.map(|value| Tool::new(field.name, value.name, value.version));
                tools.extend(tool.take(TOOLS));
            }
        }
        tools.truncate(TOOLS);
    }
    tools
}

impl Tool {
    fn new(role: &str, name: &str, version: &str) -> Self {
        Self {
            role: brief(role),
            name: brief(name),
            version: brief(version),
        }
    }
}
