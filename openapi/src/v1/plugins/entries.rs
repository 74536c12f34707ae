//! `config` and `secrets` in bodies: objects of texts, bounded in number and size.

use std::sync::Arc;

use kabar_core::domain::plugin::{ENTRIES_BYTES_MAX, ENTRIES_MAX, ENTRY_KEY_CHARS, PluginEntries};
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};

/// Reads the object `key`; `None` where a member is null.
pub(super) fn read_entries(
    fields: &BodyFields<'_>,
    key: &str,
) -> Result<Option<PluginEntries<Option<Arc<str>>>>, FieldError> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let expected = format!(
        "an object of at most {ENTRIES_MAX} texts and {ENTRIES_BYTES_MAX} bytes, with keys of letters, digits, \
         dots, dashes and underscores"
    );
    let members = value.as_object().filter(|members| members.len() <= ENTRIES_MAX);
    let members = members.ok_or_else(|| fields.invalid(key, &expected))?;
    let mut bytes = 0_usize;
    let mut read = PluginEntries::new();
    for (name, value) in members {
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = ENTRY_KEY_CHARS.contains(&name.len()) && name.chars().all(sign);
        let text = match value {
            Value::String(text) => Some(text.as_str()),
            Value::Null => None,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(fields.invalid(key, &expected));
            }
        };
        bytes += name.len() + text.map_or(0, str::len);
        if !named || bytes > ENTRIES_BYTES_MAX {
            return Err(fields.invalid(key, &expected));
        }
        read.insert(name.as_str().into(), text.map(Arc::from));
    }
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_texts_within_bounds() {
        let of =
            |value: Value| read_entries(&BodyFields::of_body(&json!({"config": value})).unwrap(), "config");
        let found = of(json!({"A.b-c_1": "x", "gone": null})).unwrap().unwrap();
        assert_eq!((found.len(), found.get("gone")), (2, Some(&None)));
        assert!(of(Value::Null).unwrap().is_none());
        let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("k{n}"), json!(""))).collect();
        for wrong in [
            json!([]),
            json!({"a": 1}),
            json!({"": "x"}),
            json!({"a b": "x"}),
            json!({"a": "x".repeat(32 * 1024)}),
            many.into(),
        ] {
            assert!(of(wrong).is_err());
        }
    }
}
