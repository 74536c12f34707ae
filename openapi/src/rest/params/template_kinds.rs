//! The kinds of parameters of templates.

use std::sync::Arc;

use kabar_core::domain::template::{TemplateKey, TemplateStatus};
use poem_openapi::registry::MetaSchema;

use super::ParameterKind;

/// A state of templates, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateStatusFilter(pub(crate) Option<TemplateStatus>);

/// The word for templates in every state.
const ALL: &str = "all";

impl ParameterKind for TemplateStatusFilter {
    const EXPECTED: &'static str = "approved, pending, rejected, paused, disabled or all";
    const ECHOED: bool = true;

    fn read(text: &str) -> Option<Self> {
        if text == ALL {
            Some(Self(None))
        } else {
            TemplateStatus::parse(text).map(|status| Self(Some(status)))
        }
    }

    fn schema() -> MetaSchema {
        let words = TemplateStatus::ALL.iter().map(|status| status.as_str()).chain([ALL]);
        MetaSchema {
            enum_items: words.map(Into::into).collect(),
            default: Some(ALL.into()),
            ..MetaSchema::new("string")
        }
    }
}

/// Name of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateName(pub(crate) Arc<str>);

impl ParameterKind for TemplateName {
    const EXPECTED: &'static str = "a name of 1 to 512 bytes without slashes, such as order_shipped";
    const SEGMENT: &'static str = "name";

    fn read(text: &str) -> Option<Self> {
        TemplateKey::is_name(text).then(|| Self(text.into()))
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(TemplateKey::NAME_BYTES_MAX),
            example: Some("order_shipped".into()),
            ..MetaSchema::new("string")
        }
    }
}

/// Code of a template's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LanguageCode(pub(crate) Arc<str>);

impl ParameterKind for LanguageCode {
    const EXPECTED: &'static str = "the code of a language, such as en_US";

    fn read(text: &str) -> Option<Self> {
        TemplateKey::is_language(text).then(|| Self(text.into()))
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(TemplateKey::LANGUAGE_BYTES_MAX),
            example: Some("en_US".into()),
            ..MetaSchema::new("string")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words_in_lower_case() {
        for word in TemplateStatusFilter::schema().enum_items {
            assert!(TemplateStatusFilter::read(word.as_str().unwrap()).is_some(), "{word}");
        }
        assert_eq!(TemplateStatusFilter::read("all"), Some(TemplateStatusFilter(None)));
        for wrong in ["", "APPROVED", "in_appeal"] {
            assert_eq!(TemplateStatusFilter::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_and_languages_are_bounded() {
        assert!(TemplateName::read(&"x".repeat(512)).is_some() && TemplateName::read("a/b").is_none());
        assert!(LanguageCode::read("en_US").is_some() && LanguageCode::read("x\n").is_none());
        assert!(TemplateName::read("").is_none() && LanguageCode::read(&"x".repeat(36)).is_none());
    }
}
