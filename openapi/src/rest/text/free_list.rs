//! Wire form of a JSON array that is kept as text.

use std::borrow::Cow;
use std::sync::Arc;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::FreeObject;

/// A JSON array of objects that is kept as text and passed through untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreeList(pub(crate) Arc<str>);

impl Serialize for FreeList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As for objects: anything but JSON is damage, and one damaged row does not fail a list.
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_damaged) => serializer.collect_seq(std::iter::empty::<&str>()),
        }
    }
}

impl Type for FreeList {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "array".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            items: Some(Box::new(FreeObject::schema_ref())),
            ..MetaSchema::new("array")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for FreeList {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// poem-openapi requires it of every member of an object; request bodies are read by `body_fields`.
impl ParseFromJSON for FreeList {
    fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("lists of free objects are not read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_bytes_and_damage_is_an_empty_one() {
        let json = |text: &str| serde_json::to_string(&FreeList(text.into())).unwrap();
        assert_eq!(json(r#"[{"type":"BODY","n":1.50}]"#), r#"[{"type":"BODY","n":1.50}]"#);
        assert_eq!(json("[{"), "[]");
    }
}
