//! Body that creates a template.

use std::collections::HashSet;

use kabar_core::domain::template::{NewTemplate, TemplateKey, ToldTemplate};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde_json::{Value, json};

use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::text::FreeObject;

const TYPE_CHARS: std::ops::RangeInclusive<usize> = 1..=64;
/// A header, a body, a footer, buttons, and a reserve for further kinds.
const COMPONENTS: std::ops::RangeInclusive<usize> = 1..=16;
/// Far more placeholders than a text of 1 024 characters has.
const VARIABLES: std::ops::RangeInclusive<usize> = 0..=256;
const VARIABLE_CHARS: std::ops::RangeInclusive<usize> = 1..=64;
/// Seconds for which WhatsApp may try to deliver a message of a template; -1 is WhatsApp's word for its own default.
const TTL_SECONDS: std::ops::RangeInclusive<i64> = -1..=2_592_000;

/// Category of a template.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "UPPERCASE")]
pub(crate) enum TemplateCategory {
    /// Offers and news.
    Marketing,
    /// What a customer has asked for, such as the state of an order.
    Utility,
    /// One-time codes.
    Authentication,
}

/// A template to create.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateTemplate {
    /// Lower-case letters, digits and underscores.
    #[oai(validator(min_length = 1, max_length = 512, pattern = "^[a-z0-9_]+$"))]
    pub(crate) name: String,
    /// WhatsApp may put it into another one.
    pub(crate) category: TemplateCategory,
    /// Code of the language, such as `id` or `en_US`.
    #[oai(validator(min_length = 2, max_length = 35, pattern = "^[A-Za-z0-9_-]+$"))]
    pub(crate) language: String,
    /// Its parts, in WhatsApp's form: exactly one `BODY`, and a `HEADER`, a `FOOTER` and `BUTTONS` as needed. The example of
    /// a media header is a handle of WhatsApp's (`example.header_handle`).
    #[oai(validator(min_items = 1, max_items = 16))]
    pub(crate) components: Vec<FreeObject>,
    /// Names of the placeholders, for people; WhatsApp does not get them.
    #[oai(validator(max_items = 256))]
    pub(crate) variables: Option<Vec<String>>,
    /// `POSITIONAL` for `{{1}}`, `NAMED` for `{{first_name}}`.
    #[oai(validator(max_length = 16))]
    pub(crate) parameter_format: Option<String>,
    /// Seconds for which WhatsApp may try to deliver a message of it.
    #[oai(rename = "messageSendTtlSeconds", validator(minimum(value = "-1"), maximum(value = "2592000")))]
    pub(crate) message_send_ttl_seconds: Option<i64>,
}

impl Example for CreateTemplate {
    fn example() -> Self {
        let body = r#"{"type":"BODY","text":"Your order is on its way."}"#;
        Self {
            name: "order_shipped".to_owned(),
            category: TemplateCategory::Utility,
            language: "en_US".to_owned(),
            components: vec![FreeObject(body.into())],
            variables: None,
            parameter_format: None,
            message_send_ttl_seconds: None,
        }
    }
}

/// Reads a new template.
pub(super) fn read_new(body: &Value) -> Result<NewTemplate, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.word("name", "1 to 512 lower-case letters, digits and underscores", |text| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        ((1..=512).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
    })?;
    let category = fields.word("category", "MARKETING, UTILITY or AUTHENTICATION", |text| {
        matches!(text, "MARKETING" | "UTILITY" | "AUTHENTICATION").then(|| text.to_owned())
    })?;
    let language = fields.word("language", "the code of a language, such as id or en_US", |text| {
        let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        ((2..=35).contains(&text.len()) && text.bytes().all(is_code)).then(|| text.to_owned())
    })?;
    check_components(&fields)?;
    let components = fields.required("components")?;
    let variables = read_variables(&fields)?;
    let format = fields.optional_word("parameter_format", "POSITIONAL or NAMED", |text| {
        matches!(text, "POSITIONAL" | "NAMED").then(|| text.to_owned())
    })?;
    let ttl = fields.optional_integer("messageSendTtlSeconds", &TTL_SECONDS)?;
    let key = TemplateKey::parse(&name, &language).ok_or_else(|| fields.invalid("name", "a name"))?;
    let mut submission =
        json!({"name": name, "category": category, "language": language, "components": components});
    if let Some(members) = submission.as_object_mut() {
        members.extend(format.map(|format| ("parameter_format".to_owned(), format.into())));
        members.extend(ttl.map(|ttl| ("message_send_ttl_seconds".to_owned(), ttl.into())));
    }
    let told = ToldTemplate {
        category: Some(category.into()),
        components: Some(components.to_string().into()),
        variables: variables.map(|names| names.to_string().into()),
        ..ToldTemplate::of_key(key)
    };
    Ok(NewTemplate { told, submission: submission.to_string().into() })
}

/// Checks the parts as far as the contract does; WhatsApp checks the rest.
fn check_components(fields: &BodyFields<'_>) -> Result<(), FieldError> {
    let mut seen = HashSet::new();
    for component in fields.objects("components", &COMPONENTS)? {
        let kind = component.text("type", &TYPE_CHARS)?.to_ascii_uppercase();
        let is_single = matches!(kind.as_str(), "HEADER" | "BODY" | "FOOTER" | "BUTTONS");
        if is_single && !seen.insert(kind) {
            return Err(component.refused("type", "a template has one component of this type at most"));
        }
        if let Some(example) = component.optional_object("example")? {
            refuse_urls(&example)?;
        }
    }
    if seen.contains("BODY") {
        return Ok(());
    }
    Err(fields.refused("components", "a template has exactly one component of type BODY"))
}

/// Refuses examples of media that would have to be fetched and uploaded first.
fn refuse_urls(example: &BodyFields<'_>) -> Result<(), FieldError> {
    const WHY: &str = "upload the file to WhatsApp, and give the handle that it answers";
    if example.get("header_url").is_some() {
        return Err(example.refused("header_url", WHY));
    }
    let handles = example.get("header_handle").and_then(Value::as_array).into_iter().flatten();
    let is_url = |handle: &Value| handle.as_str().is_some_and(|text| text.starts_with("https://"));
    if handles.into_iter().any(is_url) {
        return Err(example.refused("header_handle", WHY));
    }
    Ok(())
}

fn read_variables(fields: &BodyFields<'_>) -> Result<Option<Value>, FieldError> {
    if fields.get("variables").is_none() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for (path, value) in fields.array("variables", &VARIABLES)? {
        let name = value.as_str().filter(|name| VARIABLE_CHARS.contains(&name.chars().count()));
        names.push(name.ok_or_else(|| FieldError::invalid_value(path, "a text of 1 to 64 characters"))?);
    }
    Ok(Some(json!(names)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::body_fields::FieldErrorKind;

    fn base() -> Value {
        json!({"name": "promo_desember", "category": "MARKETING", "language": "id",
            "components": [{"type": "BODY", "text": "Halo {{1}}", "example": {"body_text": [["Budi"]]}}]})
    }

    #[test]
    fn a_template_is_submitted_as_it_was_given() {
        let mut body = base();
        body["variables"] = json!(["customer"]);
        body["messageSendTtlSeconds"] = json!(60);
        let new = read_new(&body).unwrap();
        assert_eq!(new.told.key.to_string(), "promo_desember/id");
        assert_eq!(new.told.variables.as_deref(), Some(r#"["customer"]"#));
        let submission: Value = serde_json::from_str(&new.submission).unwrap();
        assert_eq!(submission["components"], body["components"]);
        assert_eq!(submission["message_send_ttl_seconds"], 60);
        assert!(submission.get("variables").is_none() && submission.get("parameter_format").is_none());
    }

    #[test]
    fn an_error_names_the_field() {
        let header = json!({"type": "HEADER", "format": "IMAGE"});
        let with_example = |example: Value| {
            let mut header = header.clone();
            header["example"] = example;
            json!([base()["components"][0], header])
        };
        for (field, value, param) in [
            ("name", json!("Promo"), "name"),
            ("name", json!(""), "name"),
            ("category", json!("marketing"), "category"),
            ("language", json!("i"), "language"),
            ("language", json!("i/d"), "language"),
            ("components", json!([]), "components"),
            ("components", json!([{"text": "x"}]), "components[0].type"),
            ("components", json!([header]), "components"),
            ("components", json!([base()["components"][0], base()["components"][0]]), "components[1].type"),
            (
                "components",
                with_example(json!({"header_url": ["https://example.com/a.png"]})),
                "components[1].example.header_url",
            ),
            (
                "components",
                with_example(json!({"header_handle": ["https://example.com/a.png"]})),
                "components[1].example.header_handle",
            ),
            ("variables", json!(["a", 7]), "variables[1]"),
            ("parameter_format", json!("named"), "parameter_format"),
            ("messageSendTtlSeconds", json!(-2), "messageSendTtlSeconds"),
        ] {
            let mut body = base();
            body[field] = value;
            assert_eq!(read_new(&body).unwrap_err().param, param, "{body}");
        }
        for field in ["name", "category", "language", "components"] {
            let mut body = base();
            body.as_object_mut().unwrap().remove(field);
            assert_eq!(read_new(&body).unwrap_err().code, FieldErrorKind::MissingRequiredField, "{field}");
        }
        assert!(
            read_new(&json!({"components": with_example(json!({"header_handle": ["4:abc"]})),
            "name": "a", "category": "UTILITY", "language": "id"}))
            .is_ok()
        );
    }
}
