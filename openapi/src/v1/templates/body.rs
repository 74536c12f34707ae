//! Bodies of a template, and of a look at WhatsApp's list.

use std::sync::Arc;

use kabar_core::domain::template::{Template, TemplateCounts, TemplateStatus};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::TemplateId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{FreeList, TextValue, nouns};

nouns! {
    /// `object` of a template.
    TemplateNoun = "template";
}

/// A message template of the number's WhatsApp Business Account: a text that WhatsApp approves before it may be sent.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Template", example)]
pub(crate) struct TemplateBody {
    /// `tmpl_…`.
    pub(crate) id: TextValue<TemplateId>,
    /// Always `template`.
    pub(crate) object: TextValue<TemplateNoun>,
    /// The name; there may be one of it in each language.
    pub(crate) name: TextValue<Arc<str>>,
    /// Code of the language, such as `en_US`.
    pub(crate) language: TextValue<Arc<str>>,
    /// Only an `approved` one can be sent.
    pub(crate) status: TextValue<TemplateStatus>,
    /// WhatsApp's own word for the state.
    pub(crate) provider_status: TextValue<Arc<str>>,
    /// WhatsApp's id of it; null until WhatsApp has told it.
    pub(crate) provider_id: Option<TextValue<Arc<str>>>,
    /// WhatsApp's word: `MARKETING`, `UTILITY` or `AUTHENTICATION`; null until WhatsApp has told it.
    pub(crate) category: Option<TextValue<Arc<str>>>,
    /// WhatsApp's word for the quality, such as `GREEN`; null until WhatsApp has told it.
    pub(crate) quality: Option<TextValue<Arc<str>>>,
    /// WhatsApp's word for the reason of a rejection; null in every other state.
    pub(crate) rejected_reason: Option<TextValue<Arc<str>>>,
    /// Its parts, in WhatsApp's form; null until WhatsApp has told them.
    pub(crate) components: Option<FreeList>,
    /// Names of its placeholders: those given when it was created, or else those in its texts, such as `1`.
    pub(crate) variables: Vec<TextValue<Arc<str>>>,
    /// Account clock.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub(crate) updated_at: TextValue<Timestamp>,
}

impl TemplateBody {
    /// Builds the body of a template.
    #[must_use]
    pub(crate) fn from_template(template: &Template) -> Self {
        let text = |text: &Option<Arc<str>>| text.clone().map(TextValue);
        Self {
            id: TextValue(template.id),
            object: TextValue(TemplateNoun),
            name: TextValue(template.key.name().clone()),
            language: TextValue(template.key.language().clone()),
            status: TextValue(template.status()),
            provider_status: TextValue(template.provider_status.clone()),
            provider_id: text(&template.provider_id),
            category: text(&template.category),
            quality: text(&template.quality),
            rejected_reason: text(&template.rejected_reason),
            components: template.components.clone().map(FreeList),
            variables: list_variables(template).into_iter().map(TextValue).collect(),
            created_at: TextValue(template.created_at),
            updated_at: TextValue(template.updated_at),
        }
    }
}

impl Example for TemplateBody {
    fn example() -> Self {
        Self::from_template(&crate::spec::template_rows::example_template())
    }
}

/// Lists the names of a template's placeholders.
fn list_variables(template: &Template) -> Vec<Arc<str>> {
    if let Some(given) = &template.variables {
        return serde_json::from_str::<Vec<String>>(given)
            .map(|names| names.into_iter().map(Arc::from).collect())
            .unwrap_or_default();
    }
    template.components.as_deref().map(find_placeholders).unwrap_or_default()
}

/// Longest name of a placeholder.
const PLACEHOLDER_BYTES_MAX: usize = 64;

/// Finds the names between `{{` and `}}`, in the order of their first mention.
fn find_placeholders(text: &str) -> Vec<Arc<str>> {
    let mut found: Vec<Arc<str>> = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("{{") {
        rest = from;
        let Some((name, after)) = from.split_once("}}") else { break };
        let name = name.trim();
        let usable = name.len() <= PLACEHOLDER_BYTES_MAX
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if usable {
            if !found.iter().any(|known| **known == *name) {
                found.push(name.into());
            }
            rest = after;
        }
    }
    found
}

/// Counts of a look at WhatsApp's list.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "TemplateSync", example)]
pub(crate) struct TemplateSyncBody {
    /// Templates that were not known.
    #[oai(validator(minimum(value = "0")))]
    pub(crate) created: usize,
    /// Known ones that have changed.
    #[oai(validator(minimum(value = "0")))]
    pub(crate) updated: usize,
    /// Templates in WhatsApp's list.
    #[oai(validator(minimum(value = "0")))]
    pub(crate) synced: usize,
}

impl TemplateSyncBody {
    /// Builds the body of these counts.
    #[must_use]
    pub(crate) const fn from_counts(counts: TemplateCounts) -> Self {
        Self { created: counts.created, updated: counts.updated, synced: counts.synced }
    }
}

impl Example for TemplateSyncBody {
    fn example() -> Self {
        Self { created: 1, updated: 2, synced: 14 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_once_and_in_order() {
        let names = |text: &str| find_placeholders(text).join(",");
        assert_eq!(names(r#"[{"text":"Halo {{2}}, {{1}} {{2}} {{ first_name }}"}]"#), "2,1,first_name");
        assert_eq!(names("{{}} {{a b}} {{3}} {{"), "3");
        assert_eq!(names("none"), "");
    }

    #[test]
    fn names_that_were_given_win() {
        let components = r#"[{"type":"BODY","text":"Your order {{1}} is on its way."}]"#;
        let example = crate::spec::template_rows::example_template();
        let template = Template { components: Some(components.into()), ..example };
        assert_eq!(TemplateBody::from_template(&template).variables, [TextValue("1".into())]);
        let named = Template { variables: Some(r#"["customer"]"#.into()), ..template };
        assert_eq!(TemplateBody::from_template(&named).variables, [TextValue("customer".into())]);
    }
}
