//! A message in one line: the `content` of a message that WhatsApp delivers.
//!
//! | type | content |
//! |---|---|
//! | text, button, system | its text |
//! | image, video, audio, document, sticker | the caption; else the file's name; else `[image]` |
//! | location | `📍 name, address`; else `📍 latitude, longitude` |
//! | contacts | `👤 name, name` |
//! | interactive | the title of the button or row; a form's text, else `[form]`; else its kind in brackets |
//! | reaction | the emoji; `[reaction removed]` when it was taken back |
//! | order | `🛒 2 items`, and the text that came with it |
//! | unsupported | `[unsupported]` |
//!
//! Invariant: at most [`CONTENT_CHARS_MAX`] characters; the payload keeps the whole. Only text that a person
//! wrote (text, caption) may have line breaks.

use serde_json::Value;

use crate::domain::message::MessageKind;

/// WhatsApp's own limit of a text message.
pub(super) const CONTENT_CHARS_MAX: usize = 4096;

/// Returns the content of a message with this object; `None` when the object lacks a member that its type
/// requires.
pub(super) fn render_content(kind: MessageKind, object: &Value) -> Option<String> {
    let rendered = match kind {
        MessageKind::Text | MessageKind::System => text_at(object, "/body")?.to_owned(),
        MessageKind::Button => text_at(object, "/text").or_else(|| text_at(object, "/payload"))?.to_owned(),
        MessageKind::Image
        | MessageKind::Video
        | MessageKind::Audio
        | MessageKind::Document
        | MessageKind::Sticker => render_media(kind, object)?,
        MessageKind::Location => render_location(object)?,
        MessageKind::Contacts => render_contacts(object)?,
        MessageKind::Interactive => render_interactive(object)?,
        MessageKind::Reaction => render_reaction(object)?,
        MessageKind::Order => render_order(object)?,
        // WhatsApp does not deliver templates: if it did, the message would be kept as unsupported. A welcome
        // request has no object, and a call is no message at WhatsApp: both are read elsewhere.
        MessageKind::Template | MessageKind::RequestWelcome | MessageKind::Call => return None,
        MessageKind::Unsupported => "[unsupported]".to_owned(),
    };
    Some(bound_text(&rendered, CONTENT_CHARS_MAX))
}

fn text_at<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

fn filled_text_at<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    text_at(object, pointer).filter(|text| !text.trim().is_empty())
}

fn render_media(kind: MessageKind, object: &Value) -> Option<String> {
    let members = object.as_object()?;
    if members.is_empty() {
        return None;
    }
    let told = filled_text_at(object, "/caption")
        .map(str::to_owned)
        .or_else(|| filled_text_at(object, "/filename").map(one_line));
    Some(told.unwrap_or_else(|| format!("[{}]", kind.as_str())))
}

fn render_location(object: &Value) -> Option<String> {
    let (latitude, longitude) = (object.get("latitude")?.as_f64()?, object.get("longitude")?.as_f64()?);
    let named: Vec<&str> =
        ["/name", "/address"].iter().filter_map(|pointer| filled_text_at(object, pointer)).collect();
    let place =
        if named.is_empty() { format!("{latitude}, {longitude}") } else { one_line(&named.join(", ")) };
    Some(format!("📍 {place}"))
}

fn render_contacts(object: &Value) -> Option<String> {
    let names: Vec<&str> = object
        .as_array()?
        .iter()
        .filter_map(|card| {
            filled_text_at(card, "/name/formatted_name").or_else(|| filled_text_at(card, "/name/first_name"))
        })
        .collect();
    Some(if names.is_empty() { "👤".to_owned() } else { one_line(&format!("👤 {}", names.join(", "))) })
}

fn render_interactive(object: &Value) -> Option<String> {
    let title =
        filled_text_at(object, "/button_reply/title").or_else(|| filled_text_at(object, "/list_reply/title"));
    if let Some(title) = title {
        return Some(one_line(title));
    }
    if object.get("nfm_reply").is_some_and(Value::is_object) {
        return Some(filled_text_at(object, "/nfm_reply/body").map_or_else(|| "[form]".to_owned(), one_line));
    }
    Some(format!("[{}]", one_line(filled_text_at(object, "/type")?)))
}

fn render_reaction(object: &Value) -> Option<String> {
    text_at(object, "/message_id")?;
    Some(filled_text_at(object, "/emoji").map_or_else(|| "[reaction removed]".to_owned(), one_line))
}

fn render_order(object: &Value) -> Option<String> {
    let count = object.get("product_items")?.as_array()?.len();
    let items = if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
    Some(match filled_text_at(object, "/text") {
        Some(text) => format!("🛒 {items}: {}", one_line(text)),
        None => format!("🛒 {items}"),
    })
}

/// Replaces line breaks and other control characters by blanks.
pub(super) fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns the first `chars_max` characters.
pub(super) fn bound_text(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_type_has_its_rendering() {
        use MessageKind::{
            Audio, Button, Contacts, Document, Image, Interactive, Location, Order, Reaction, System, Text,
        };
        for (kind, object, content) in [
            (Text, json!({"body": "two\nlines"}), "two\nlines"),
            (Text, json!({"body": ""}), ""),
            (Button, json!({"payload": "yes-1", "text": "Yes"}), "Yes"),
            (System, json!({"body": "changed number"}), "changed number"),
            (Image, json!({"id": "1"}), "[image]"),
            (Image, json!({"id": "1", "caption": "my cat"}), "my cat"),
            (Audio, json!({"id": "1", "voice": true}), "[audio]"),
            (Document, json!({"id": "1", "filename": "menu.pdf"}), "menu.pdf"),
            (Location, json!({"latitude": -7.25, "longitude": 112.75}), "📍 -7.25, 112.75"),
            (
                Location,
                json!({"latitude": 1, "longitude": 2, "name": "Pier", "address": "Dock\n4"}),
                "📍 Pier, Dock 4",
            ),
            (
                Contacts,
                json!([{"name": {"formatted_name": "Ann"}}, {"name": {"first_name": "Bo"}}]),
                "👤 Ann, Bo",
            ),
            (Contacts, json!([]), "👤"),
            (Interactive, json!({"type": "button_reply", "button_reply": {"id": "a", "title": "Go"}}), "Go"),
            (Interactive, json!({"type": "list_reply", "list_reply": {"id": "a", "title": "Row"}}), "Row"),
            (Interactive, json!({"type": "nfm_reply", "nfm_reply": {"body": "Sent"}}), "Sent"),
            (Interactive, json!({"type": "nfm_reply", "nfm_reply": {}}), "[form]"),
            (Reaction, json!({"message_id": "wamid.A", "emoji": "👍"}), "👍"),
            (Reaction, json!({"message_id": "wamid.A"}), "[reaction removed]"),
            (Order, json!({"product_items": [1]}), "🛒 1 item"),
            (Order, json!({"product_items": [1, 2], "text": "soon"}), "🛒 2 items: soon"),
        ] {
            assert_eq!(render_content(kind, &object).as_deref(), Some(content), "{object}");
        }
    }

    #[test]
    fn an_object_without_its_substance_has_none() {
        for kind in MessageKind::ALL.iter().filter(|kind| **kind != MessageKind::Unsupported) {
            for object in [json!(null), json!({}), json!("x"), json!({"body": 1, "latitude": "1"})] {
                // A media object is whatever its id says, so any member will do.
                let is_media = render_media(*kind, &object).is_some();
                assert!(is_media || render_content(*kind, &object).is_none(), "{kind:?} {object}");
            }
        }
    }

    #[test]
    fn content_is_bounded_in_characters() {
        let long = json!({"body": "é".repeat(5000)});
        assert_eq!(render_content(MessageKind::Text, &long).unwrap().chars().count(), CONTENT_CHARS_MAX);
    }
}
