//! The kinds of parameters of the audit log.

use std::sync::Arc;

use kabar_core::domain::audit::AuditAction;
use poem_openapi::registry::MetaSchema;

use super::{ParameterKind, id_pattern};

/// An id of any resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyId(pub(crate) Arc<str>);

impl ParameterKind for AnyId {
    const EXPECTED: &'static str =
        "an id: three or four letters, _ and 26 characters of 0-9 and A-Z without I, L, O and U";

    fn read(text: &str) -> Option<Self> {
        let is_digit = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() && !"ILOU".contains(c);
        let (prefix, rest) = text.split_once('_')?;
        let usable =
            (3..=4).contains(&prefix.len()) && prefix.bytes().all(|letter| letter.is_ascii_lowercase());
        (usable && rest.len() == 26 && rest.chars().all(is_digit)).then(|| Self(text.into()))
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(id_pattern("[a-z]{3,4}")),
            example: Some("key_01J0QF3Z5W8V9T4KXN2M6PBRHC".into()),
            ..MetaSchema::new("string")
        }
    }
}

impl ParameterKind for AuditAction {
    const EXPECTED: &'static str = "an action of the audit log, such as api_key.created";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            enum_items: Self::ALL.iter().map(|action| action.as_str().into()).collect(),
            ..MetaSchema::new("string")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_resource_have_one_form() {
        for text in [
            "key_01J0QF3Z5W8V9T4KXN2M6PBRHC",
            "opt_00000000000000000000000000",
            "tmpl_00000000000000000000000000",
        ] {
            assert!(AnyId::read(text).is_some(), "{text}");
        }
        for text in ["", "key", "key_", "KEY_01J0QF3Z5W8V9T4KXN2M6PBRHC", "key_01j0QF3Z5W8V9T4KXN2M6PBRHC"] {
            assert!(AnyId::read(text).is_none(), "{text}");
        }
    }
}
