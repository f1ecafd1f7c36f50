//! What a verb prints: text for people, or JSON for programs. Whatever came from outside is
//! cleaned before it reaches a terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Failure;

/// The lines of an entity for people: a label and its values, one a line.
pub type Details = Vec<(&'static str, Vec<String>)>;

/// Standard output, in one of two languages.
pub struct Out {
    json: bool,
    to: Box<dyn Write>,
}

impl Out {
    /// Standard output.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            to: Box::new(io::stdout()),
        }
    }

    /// Whether a program reads.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A line as it is.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.to, "{text}")?;
        Ok(self.to.flush()?)
    }

    /// A value as indented JSON.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))?;
        self.line(text)
    }

    /// A value as JSON, or a line that says it to people.
    pub fn result(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            self.value(value)
        } else {
            self.line(text())
        }
    }

    /// An entity that the server answered.
    pub fn entity<T: DeserializeOwned>(
        &mut self,
        value: &Value,
        describe: impl FnOnce(T) -> Details,
    ) -> Result<(), Failure> {
        if self.json {
            return self.value(value);
        }
        self.details(describe(parse(value)?))
    }

    /// The lines of an entity.
    pub fn details(&mut self, details: Details) -> Result<(), Failure> {
        let width = details.iter().map(|(label, _)| label.len()).max();
        let width = width.unwrap_or_default() + 2;
        for (label, values) in details {
            let mut label = label;
            for value in values {
                self.line(format_args!("{label:width$}{}", clean(&value)))?;
                label = "";
            }
        }
        Ok(())
    }
}

/// What the server answered, as a type of the admin API.
pub fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        Failure::Failed(format!(
            "the answer is none that this version of writ understands ({error}); use the \
             version of the server, or --json"
        ))
    })
}

/// A text without what a terminal would obey: control characters, and those that turn the
/// direction of writing.
pub fn clean(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(obeyed) {
        Cow::Owned(text.replace(obeyed, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// One line of details.
pub fn detail(label: &'static str, value: impl Into<String>) -> (&'static str, Vec<String>) {
    (label, vec![value.into()])
}

/// The lines of a list, or one that says there is nothing in it.
pub fn details(label: &'static str, values: Vec<String>) -> (&'static str, Vec<String>) {
    if values.is_empty() {
        detail(label, "-")
    } else {
        (label, values)
    }
}

/// `yes` or `no`.
pub fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// A lifetime, which is the server's setting where the entity has none.
pub fn lifetime(seconds: Option<u32>) -> String {
    seconds.map_or_else(|| "as set".to_owned(), |seconds| format!("{seconds} s"))
}
