//! Settings: from the list of named values that a binding has to the struct that a policy reads.
//!
//! `#[derive(Settings)]` writes the implementation of [`Settings`]; the types that its fields can
//! have implement [`SettingValue`], and those that are texts to the administrator [`FromText`].

use crate::value::Lookup as _;
use crate::{Named, Problem, Setting, SettingKind, Value};

/// A policy's parameters. Derive it; `()` is for a policy without any.
pub trait Settings: Sized {
    /// What there is to set.
    fn schema() -> Vec<Setting>;

    /// Reads a binding's values; absent ones have their default.
    ///
    /// # Errors
    /// Everything that is wrong, each with the setting's name.
    fn read(values: &[Named]) -> Result<Self, Vec<Problem>>;
}

impl Settings for () {
    fn schema() -> Vec<Setting> {
        Vec::new()
    }

    fn read(_: &[Named]) -> Result<Self, Vec<Problem>> {
        Ok(())
    }
}

/// A type that a setting can have: `bool`, `i64`, `u32`, a [`FromText`] such as `String` or
/// [`Network`](crate::net::Network), a `Vec` of such, [`Json`], or an `Option` of any of these.
pub trait SettingValue: Sized {
    /// What the administrator gives.
    const KIND: SettingKind;

    /// Whether it may be left out, without a default.
    const OPTIONAL: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, for the administrator: `must be above 0`.
    fn from_value(value: &Value) -> Result<Self, String>;

    /// What it is when left out, without a default.
    fn absent() -> Option<Self> {
        None
    }
}

/// A type that is written as a text: an address, a pattern, an own one.
///
/// ```
/// use writ_policy::settings::FromText;
///
/// struct Percent(u8);
///
/// impl FromText for Percent {
///     fn from_text(text: &str) -> Result<Self, String> {
///         match text.trim_end_matches('%').parse() {
///             Ok(number) if number <= 100 => Ok(Self(number)),
///             _ => Err(format!("{text} is not a percentage")),
///         }
///     }
/// }
/// # assert_eq!(Percent::from_text("7%").unwrap().0, 7);
/// ```
pub trait FromText: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, for the administrator.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl SettingValue for bool {
    const KIND: SettingKind = SettingKind::Flag;

    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_flag().ok_or_else(|| expected("true or false"))
    }
}

impl SettingValue for i64 {
    const KIND: SettingKind = SettingKind::Int;

    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_int().ok_or_else(|| expected("a whole number"))
    }
}

impl SettingValue for u32 {
    const KIND: SettingKind = SettingKind::Int;

    fn from_value(value: &Value) -> Result<Self, String> {
        let int = value.as_int().and_then(|int| Self::try_from(int).ok());
        int.ok_or_else(|| expected("a whole number from 0 to 4294967295"))
    }
}

impl<T: FromText> SettingValue for T {
    const KIND: SettingKind = SettingKind::Text;

    fn from_value(value: &Value) -> Result<Self, String> {
        Self::from_text(value.as_text().ok_or_else(|| expected("a text"))?)
    }
}

impl<T: FromText> SettingValue for Vec<T> {
    const KIND: SettingKind = SettingKind::Texts;

    fn from_value(value: &Value) -> Result<Self, String> {
        let texts = value
            .as_texts()
            .ok_or_else(|| expected("a list of texts"))?;
        texts.iter().map(|text| T::from_text(text)).collect()
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    const KIND: SettingKind = T::KIND;
    const OPTIONAL: bool = true;

    fn from_value(value: &Value) -> Result<Self, String> {
        T::from_value(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// JSON text, for what has more structure than a list. The server has checked that it is JSON;
/// bring a parser of your choice to read it, and mind what it adds to the module (`serde_json`: 90
/// KB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

impl SettingValue for Json {
    const KIND: SettingKind = SettingKind::Json;

    fn from_value(value: &Value) -> Result<Self, String> {
        let json = value.as_json().ok_or_else(|| expected("JSON"))?;
        Ok(Self(json.to_owned()))
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self::Json(json.0)
    }
}

fn expected(what: &str) -> String {
    ["must be ", what].concat()
}

/// For the derive: what there is to say about a setting.
#[doc(hidden)]
#[must_use]
pub fn schema<T: SettingValue>(name: &str, default: Option<Value>, doc: &str) -> Setting {
    Setting {
        name: name.to_owned(),
        kind: T::KIND,
        required: default.is_none() && !T::OPTIONAL,
        default: default.map(of_kind::<T>),
        doc: doc.to_owned(),
    }
}

/// For the derive: reads a setting, or says what is wrong with it.
#[doc(hidden)]
pub fn read<T: SettingValue>(
    values: &[Named],
    name: &str,
    default: impl FnOnce() -> Option<Value>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let read = match values.find(name) {
        Some(value) => T::from_value(value),
        None => match default() {
            Some(value) => T::from_value(&of_kind::<T>(value)),
            None => T::absent().ok_or_else(|| "is required".to_owned()),
        },
    };
    match read {
        Ok(value) => Some(value),
        Err(message) => {
            problems.push(Problem::new(name, message));
            None
        }
    }
}

/// A default for a JSON setting is written as a text.
fn of_kind<T: SettingValue>(value: Value) -> Value {
    match value {
        Value::Text(text) if T::KIND == SettingKind::Json => Value::Json(text),
        other => other,
    }
}
