//! Values and lists of named ones: making them, and reading them with the fault that a missing one
//! is.

use crate::net::Ip;
use crate::{Application, Fault, Named, Problem, Request, Value};

/// Reads facts, labels and claims: any list of [`Named`]. A name that is not there is a [`Fault`],
/// which denies; to judge without it, use [`find`](Lookup::find).
///
/// ```
/// use writ_policy::prelude::*;
/// # fn evaluate(request: &Request) -> Result<(), Fault> {
/// let ip = request.attributes.ip("net.ip")?;
/// let hour = request.attributes.int("time.hour")?;
/// let agent = request.attributes.find("http.user_agent").and_then(Value::as_text);
/// # Ok(()) }
/// # let request = writ_policy::testing::request().attribute("net.ip", "::1").build();
/// # evaluate(&request).unwrap();
/// ```
pub trait Lookup {
    /// The value of this name, if there is one.
    fn find(&self, name: &str) -> Option<&Value>;

    /// A flag.
    ///
    /// # Errors
    /// When it is not there or not a flag.
    fn flag(&self, name: &str) -> Result<bool, Fault> {
        typed(self.find(name), name, "a flag", Value::as_flag)
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is not there or not a number.
    fn int(&self, name: &str) -> Result<i64, Fault> {
        typed(self.find(name), name, "a whole number", Value::as_int)
    }

    /// A text.
    ///
    /// # Errors
    /// When it is not there or not a text.
    fn text(&self, name: &str) -> Result<&str, Fault> {
        typed(self.find(name), name, "a text", Value::as_text)
    }

    /// Several texts.
    ///
    /// # Errors
    /// When they are not there or something else.
    fn texts(&self, name: &str) -> Result<&[String], Fault> {
        typed(self.find(name), name, "a list of texts", Value::as_texts)
    }

    /// An address, such as the attribute `net.ip`.
    ///
    /// # Errors
    /// When it is not there or not an IPv4 or IPv6 address.
    fn ip(&self, name: &str) -> Result<Ip, Fault> {
        let parse = |value| Value::as_text(value).and_then(Ip::parse);
        typed(self.find(name), name, "an IP address", parse)
    }
}

fn typed<'v, T>(
    value: Option<&'v Value>,
    name: &str,
    kind: &str,
    read: impl FnOnce(&'v Value) -> Option<T>,
) -> Result<T, Fault> {
    match value {
        None => Err(Fault::new([name, " is not known"].concat())),
        Some(value) => read(value).ok_or_else(|| Fault::new([name, " is not ", kind].concat())),
    }
}

impl Lookup for [Named] {
    /// Not a binary search: the lists are short, and a test may build one out of order.
    fn find(&self, name: &str) -> Option<&Value> {
        let found = self.iter().find(|named| named.name == name)?;
        Some(&found.value)
    }
}

impl Lookup for Vec<Named> {
    fn find(&self, name: &str) -> Option<&Value> {
        self.as_slice().find(name)
    }
}

impl Value {
    /// The flag, if it is one.
    #[must_use]
    pub fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Int(_) | Self::Text(_) | Self::Texts(_) | Self::Json(_) => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Flag(_) | Self::Text(_) | Self::Texts(_) | Self::Json(_) => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Int(_) | Self::Texts(_) | Self::Json(_) => None,
        }
    }

    /// The texts, if it is several.
    #[must_use]
    pub fn as_texts(&self) -> Option<&[String]> {
        match self {
            Self::Texts(texts) => Some(texts),
            Self::Flag(_) | Self::Int(_) | Self::Text(_) | Self::Json(_) => None,
        }
    }

    /// The JSON text, if it is that.
    #[must_use]
    pub fn as_json(&self) -> Option<&str> {
        match self {
            Self::Json(json) => Some(json),
            Self::Flag(_) | Self::Int(_) | Self::Text(_) | Self::Texts(_) => None,
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Self {
        Self::Int(int.into())
    }
}

impl From<u32> for Value {
    fn from(int: u32) -> Self {
        Self::Int(int.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<&[String]> for Value {
    fn from(texts: &[String]) -> Self {
        Self::Texts(texts.to_vec())
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        Self::Texts(texts.map(str::to_owned).to_vec())
    }
}

impl Named {
    /// A value with a name.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Problem {
    /// What is wrong with the setting of this name.
    pub fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            message: message.into(),
        }
    }
}

impl Application {
    /// The label of this name, if the application has it.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.find(name).and_then(Value::as_text)
    }

    /// Whether the application has this role.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role == name)
    }
}

impl Request {
    /// Whether this scope is among those that can be granted.
    #[must_use]
    pub fn has_scope(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope == name)
    }
}
