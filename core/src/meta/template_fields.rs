//! Statements of Meta's about templates: in webhooks, and in its list.
//!
//! Invariant: a text that names no template is no statement. Words are bounded, and components are kept as Meta wrote them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fields::read_word;
use crate::domain::inbound::InboundFact;
use crate::domain::template::{TemplateKey, TemplateNotice, ToldTemplate};

/// Bytes of the components of one template, at most: ten cards of a carousel have less than half.
const COMPONENT_BYTES_MAX: usize = 256 * 1024;

/// Reads news of a template; `None` for a field that has none.
pub(super) fn read_template_notice(field: &str, value: &Value) -> Option<InboundFact> {
    let key = TemplateKey::parse(
        value.get("message_template_name")?.as_str()?,
        value.get("message_template_language")?.as_str()?,
    )?;
    let mut told = ToldTemplate::of_key(key);
    told.provider_id = read_word(value.get("message_template_id"));
    let mut notice = TemplateNotice { told, is_deleted: false, is_partial: false };
    let told = &mut notice.told;
    match field {
        "message_template_status_update" => {
            let word = read_word(value.get("event"))?;
            notice.is_deleted = &*word == "DELETED";
            told.provider_status = Some(word);
            told.rejected_reason = read_reason(value.get("reason"));
            told.category = read_word(value.get("message_template_category"));
        }
        "message_template_quality_update" => told.quality = Some(read_word(value.get("new_quality_score"))?),
        "template_category_update" => told.category = Some(read_word(value.get("new_category"))?),
        "message_template_components_update" => {
            // It has neither media headers nor examples: the list does.
            notice.is_partial = true;
            told.components = Some(read_changed_components(value).to_string().into());
        }
        _ => return None,
    }
    Some(InboundFact::Template(Box::new(notice)))
}

/// Reads the reason of a rejection; Meta writes `NONE` for none.
fn read_reason(value: Option<&Value>) -> Option<Arc<str>> {
    read_word(value).filter(|reason| &**reason != "NONE")
}

/// Builds components of the texts that a webhook tells.
fn read_changed_components(value: &Value) -> Value {
    let text_of = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut components = Vec::new();
    if let Some(text) = text_of("message_template_title") {
        components.push(json!({"type": "HEADER", "format": "TEXT", "text": text}));
    }
    if let Some(text) = text_of("message_template_element") {
        components.push(json!({"type": "BODY", "text": text}));
    }
    if let Some(text) = text_of("message_template_footer") {
        components.push(json!({"type": "FOOTER", "text": text}));
    }
    let buttons = value.get("message_template_buttons").and_then(Value::as_array);
    let buttons: Vec<Value> = buttons.into_iter().flatten().filter_map(read_button).collect();
    if !buttons.is_empty() {
        components.push(json!({"type": "BUTTONS", "buttons": buttons}));
    }
    Value::Array(components)
}

/// Reads a button: its members without the prefix that webhooks give them.
fn read_button(button: &Value) -> Option<Value> {
    let members = button.as_object()?.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix("message_template_button_")?.to_owned(), value.clone()))
    });
    Some(Value::Object(members.collect::<Map<String, Value>>()))
}

/// Reads an element of Meta's list; `None` for one that has no usable name.
pub(super) fn read_listed_template(element: &Value) -> Option<ToldTemplate> {
    let key = TemplateKey::parse(element.get("name")?.as_str()?, element.get("language")?.as_str()?)?;
    let components = element.get("components").filter(|components| components.is_array());
    let components = components.map(Value::to_string).filter(|text| text.len() <= COMPONENT_BYTES_MAX);
    Some(ToldTemplate {
        provider_id: read_word(element.get("id")),
        provider_status: read_word(element.get("status")),
        category: read_word(element.get("category")),
        quality: read_word(element.pointer("/quality_score/score")),
        rejected_reason: read_reason(element.get("rejected_reason")),
        components: components.map(Arc::from),
        variables: None,
        ..ToldTemplate::of_key(key)
    })
}

/// Returns `true` for an element of Meta's list that WhatsApp has deleted.
pub(super) fn is_deleted(element: &Value) -> bool {
    element.get("status").and_then(Value::as_str) == Some("DELETED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(field: &str, more: &Value) -> Option<TemplateNotice> {
        let mut value = json!({"message_template_id": 5_550_001, "message_template_name": "promo",
            "message_template_language": "id"});
        for (name, member) in more.as_object().unwrap() {
            value[name] = member.clone();
        }
        let InboundFact::Template(notice) = read_template_notice(field, &value)? else {
            panic!("no template")
        };
        Some(*notice)
    }

    #[test]
    fn a_status_is_told_with_its_reason() {
        let field = "message_template_status_update";
        let told = notice(field, &json!({"event": "REJECTED", "reason": "INVALID_FORMAT"})).unwrap();
        assert_eq!(told.told.key.to_string(), "promo/id");
        assert_eq!(told.told.provider_id.as_deref(), Some("5550001"));
        assert_eq!(told.told.provider_status.as_deref(), Some("REJECTED"));
        assert_eq!(told.told.rejected_reason.as_deref(), Some("INVALID_FORMAT"));
        assert!(!told.is_deleted && !told.is_partial);
        let told = notice(field, &json!({"event": "APPROVED", "reason": "NONE"})).unwrap();
        assert_eq!(told.told.rejected_reason, None);
        assert!(notice(field, &json!({"event": "DELETED"})).unwrap().is_deleted);
    }

    #[test]
    fn quality_category_and_components_are_told() {
        let told = notice("message_template_quality_update", &json!({"new_quality_score": "RED"})).unwrap();
        assert_eq!((told.told.quality.as_deref(), told.told.provider_status), (Some("RED"), None));
        let told = notice("template_category_update", &json!({"new_category": "MARKETING"})).unwrap();
        assert_eq!(told.told.category.as_deref(), Some("MARKETING"));
        let more = json!({"message_template_title": "T", "message_template_element": "Halo {{1}}",
            "message_template_buttons": [{"message_template_button_type": "URL", "message_template_button_text": "Go"}]});
        let told = notice("message_template_components_update", &more).unwrap();
        let components: Value = serde_json::from_str(&told.told.components.unwrap()).unwrap();
        assert_eq!(components[1], json!({"type": "BODY", "text": "Halo {{1}}"}));
        assert_eq!(components[2], json!({"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go"}]}));
        assert!(told.is_partial);
    }

    #[test]
    fn what_names_no_template_or_tells_nothing_is_no_news() {
        let none = [
            ("message_template_status_update", json!({"message_template_name": ""})),
            ("message_template_status_update", json!({"event": null})),
            ("message_template_quality_update", json!({})),
            ("template_correct_category_detection", json!({"new_category": "MARKETING"})),
            ("flows", json!({})),
        ];
        for (field, more) in none {
            assert_eq!(notice(field, &more), None, "{field}");
        }
    }

    #[test]
    fn an_element_of_the_list_tells_everything() {
        let element = json!({"id": "7", "name": "promo", "language": "id", "status": "PAUSED",
            "category": "MARKETING", "quality_score": {"score": "RED"}, "rejected_reason": "NONE",
            "components": [{"type": "BODY", "text": "Halo"}]});
        let told = read_listed_template(&element).unwrap();
        assert_eq!(told.components.as_deref(), Some(r#"[{"type":"BODY","text":"Halo"}]"#));
        assert_eq!((told.quality.as_deref(), told.rejected_reason), (Some("RED"), None));
        assert_eq!(told.provider_status.as_deref(), Some("PAUSED"));
        assert!(read_listed_template(&json!({"name": "promo"})).is_none());
        assert!(is_deleted(&json!({"status": "DELETED"})) && !is_deleted(&element));
    }
}
