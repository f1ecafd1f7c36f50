//! JSON Schemas of types of authorization details (JSON Schema 2020-12). Who registers an API
//! resource writes them and anybody who was granted the type can have them applied, so what one costs
//! is bounded before it is used: references stay in the document and never go in circles, patterns
//! are matched in linear time, and a schema with everything that it refers to put in place has a
//! largest size. It is then evaluated that often for each value of a request, and no more often.

use crate::jose::json;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use writ_core::limits;

/// Deepest nesting of a schema as it is written.
const TEXT_DEPTH_MAX: usize = 32;
/// Deepest nesting of schemas, with references followed: what a stack is needed for.
const SCHEMA_DEPTH_MAX: usize = 64;
/// Largest schema, in values, with what it refers to put in place.
const SCHEMA_COST_MAX: usize = 4_096;
/// What a pattern counts for among the values of a schema.
const PATTERN_COST: usize = 128;
/// Largest pattern when compiled, and the memory that matching it may take besides, in bytes.
const PATTERN_BYTES: usize = 128 * 1024;
/// Most compiled schemas that are kept.
const KEPT: usize = 128;
/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that name a schema, or have another one looked for by a name.
const REFUSED: [&str; 7] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];
/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is an array of schemas.
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const NAMED: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Why a text is no schema that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// Too long.
    #[error("a schema has at most {} bytes", limits::DETAILS_SCHEMA_BYTES)]
    TooLong,
    /// No JSON, or a member twice, or nested too deeply.
    #[error("it must be JSON with each member once, nested at most {TEXT_DEPTH_MAX} deep")]
    Malformed,
    /// Another dialect.
    #[error("$schema, if it is there, must be {DIALECT}")]
    Dialect,
    /// A keyword that is not taken.
    #[error("the keyword {0} is not taken; refer by $ref to a place in this schema")]
    Keyword(&'static str),
    /// A reference that leaves the document, or leads nowhere.
    #[error("$ref must be # and a JSON pointer to a schema in this document (RFC 6901)")]
    Reference,
    /// References in a circle.
    #[error("its references go in a circle")]
    Circle,
    /// Too large.
    #[error(
        "with what it refers to put in place it has more than {SCHEMA_COST_MAX} values (a pattern \
         counts for {PATTERN_COST}), or more than {SCHEMA_DEPTH_MAX} levels"
    )]
    Costly,
    /// Against its meta-schema, or with a pattern that cannot be used.
    #[error("it is no JSON Schema 2020-12: {0}")]
    Invalid(String),
}

/// A schema, ready to be applied.
#[derive(Debug)]
pub struct Schema(Validator);

impl Schema {
    /// Compiles a schema. Nothing is fetched and no file is read. `format` and `content…` are
    /// annotations, as the standard has it: they say nothing about what fits.
    ///
    /// # Errors
    /// See [`SchemaFault`].
    pub fn compile(text: &str) -> Result<Self, SchemaFault> {
        if text.len() > limits::DETAILS_SCHEMA_BYTES {
            return Err(SchemaFault::TooLong);
        }
        let schema = json::value(text.as_bytes(), TEXT_DEPTH_MAX).ok_or(SchemaFault::Malformed)?;
        if schema.get("$schema").is_some_and(|it| it != DIALECT) {
            return Err(SchemaFault::Dialect);
        }
        Sizing::of(&schema).size(&schema, 0)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let built = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .offline()
            .build(&schema);
        built
            .map(Self)
            .map_err(|error| SchemaFault::Invalid(shortened(error.to_string())))
    }

    /// Whether a value fits.
    ///
    /// # Errors
    /// The place in the schema that it does not fit, as a JSON pointer.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let checked = self.0.validate(value);
        checked.map_err(|error| shortened(format!("#{}", error.schema_path())))
    }
}

/// As much of a text as an error has room for.
fn shortened(mut text: String) -> String {
    const BYTES: usize = 300;
    text.truncate(text.floor_char_boundary(BYTES));
    text
}

/// What a schema is with everything that it refers to put in place.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// In values.
    cost: usize,
    /// In schemas that are in each other.
    depth: usize,
}

/// Looks at each schema of a document once.
struct Sizing<'s> {
    root: &'s Value,
    /// What is known, by the place in memory; nothing while it is being looked at.
    known: HashMap<*const Value, Option<Size>>,
}

impl<'s> Sizing<'s> {
    fn of(root: &'s Value) -> Self {
        Self {
            root,
            known: HashMap::new(),
        }
    }

    /// The size of a schema that is so deep in others.
    fn size(&mut self, schema: &'s Value, above: usize) -> Result<Size, SchemaFault> {
        let place: *const Value = schema;
        let size = match self.known.get(&place) {
            Some(Some(size)) => *size,
            Some(None) => return Err(SchemaFault::Circle),
            None if above > SCHEMA_DEPTH_MAX => return Err(SchemaFault::Costly),
            None => {
                self.known.insert(place, None);
                let size = match schema {
                    Value::Object(members) => self.size_of(members, above)?,
                    // What is no schema is for the meta-schema to refuse.
                    _ => Size { cost: 1, depth: 0 },
                };
                self.known.insert(place, Some(size));
                size
            }
        };
        match above + size.depth > SCHEMA_DEPTH_MAX {
            true => Err(SchemaFault::Costly),
            false => Ok(size),
        }
    }

    fn size_of(
        &mut self,
        members: &'s Map<String, Value>,
        above: usize,
    ) -> Result<Size, SchemaFault> {
        let mut whole = Size { cost: 1, depth: 0 };
        for (name, value) in members {
            let name = name.as_str();
            if let Some(refused) = REFUSED.iter().find(|refused| **refused == name) {
                return Err(SchemaFault::Keyword(refused));
            }
            if name == "pattern" {
                whole.cost += PATTERN_COST;
            }
            if name == "patternProperties" {
                let patterns = value.as_object().map_or(0, Map::len);
                whole.cost += PATTERN_COST * patterns;
            }
            let inner: Vec<&'s Value> = match value {
                _ if name == "$ref" => vec![self.referred(value)?],
                Value::Object(schemas) if NAMED.contains(&name) => schemas.values().collect(),
                Value::Array(schemas) if SEVERAL.contains(&name) => schemas.iter().collect(),
                schema if ONE.contains(&name) => vec![schema],
                other => {
                    whole.cost += super::count(other);
                    Vec::new()
                }
            };
            for schema in inner {
                let size = self.size(schema, above + 1)?;
                whole.cost += size.cost;
                whole.depth = whole.depth.max(size.depth + 1);
            }
            if whole.cost > SCHEMA_COST_MAX {
                return Err(SchemaFault::Costly);
            }
        }
        Ok(whole)
    }

    fn referred(&self, reference: &Value) -> Result<&'s Value, SchemaFault> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let pointer = pointer.ok_or(SchemaFault::Reference)?;
        let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8();
        let decoded = decoded.map_err(|_| SchemaFault::Reference)?;
        let found = self.root.pointer(&decoded).ok_or(SchemaFault::Reference)?;
        match found {
            Value::Object(_) | Value::Bool(_) => Ok(found),
            _ => Err(SchemaFault::Reference),
        }
    }
}

/// Compiled schemas, by their texts. There is a bound: when it is reached, they are forgotten and
/// those that are used are compiled again.
#[derive(Debug, Default)]
pub struct Schemas(RwLock<HashMap<Box<str>, Arc<Schema>>>);

impl Schemas {
    /// The schema of a text.
    ///
    /// # Errors
    /// See [`Schema::compile`].
    pub fn of(&self, text: &str) -> Result<Arc<Schema>, SchemaFault> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known.get(text) {
            return Ok(Arc::clone(schema));
        }
        drop(known);
        let schema = Arc::new(Schema::compile(text)?);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(text.into(), Arc::clone(&schema));
        Ok(schema)
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
