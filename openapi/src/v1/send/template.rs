//! A template: a text that WhatsApp approved beforehand, filled in with parameters.
//!
//! The account knows the templates that WhatsApp has told; WhatsApp alone knows if another one exists, and how many
//! parameters it takes: its refusals arrive as the message's error.

use kabar_core::domain::template::TemplateKey;
use serde_json::{Value, json};

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, payload};

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=512;
/// Longest code. The longest one in use has 5 (`pt_BR`); the limit leaves room for codes of BCP 47.
const LANGUAGE_CHARS: std::ops::RangeInclusive<usize> = 1..=35;
const TYPE_CHARS: std::ops::RangeInclusive<usize> = 1..=64;
/// Most components: a header, a body, ten buttons or carousel cards, and a reserve.
const COMPONENTS: std::ops::RangeInclusive<usize> = 0..=32;
const PARAMETERS: std::ops::RangeInclusive<usize> = 0..=1024;

pub(super) fn render_template(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let template = fields.object("template")?;
    let name = template.text("name", &NAME_CHARS)?;
    let code = read_language(&template)?;
    for component in template.optional_objects("components", &COMPONENTS)? {
        component.text("type", &TYPE_CHARS)?;
        for parameter in component.optional_objects("parameters", &PARAMETERS)? {
            parameter.text("type", &TYPE_CHARS)?;
        }
    }
    let mut payload = payload::build_payload(fields.required("template")?);
    if let Some(slot) = payload.get_mut("language").filter(|slot| slot.is_string()) {
        *slot = json!({ "code": code });
    }
    let key = TemplateKey::parse(name, code);
    Ok(RenderedContent { template: key, ..RenderedContent::new(format!("[template] {name}"), payload) })
}

fn read_language<'a>(template: &BodyFields<'a>) -> Result<&'a str, FieldError> {
    match template.required("language")? {
        Value::String(_) => template.text("language", &LANGUAGE_CHARS),
        Value::Object(_) => template.object("language")?.text("code", &LANGUAGE_CHARS),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(template.invalid("language", "an object with a code, such as {\"code\":\"en_US\"}"))
        }
    }
}
