//! Objects of JSON that stay as they were written, but for one member.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Meta's name of the text that a client gave with a send.
pub(super) const CALLBACK_DATA: &str = "biz_opaque_callback_data";

/// Members of an object, in their order, not parsed yet.
struct OrderedMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for OrderedMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;

        impl<'de> Visitor<'de> for MemberVisitor {
            type Value = OrderedMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or_default());
                while let Some(name) = map.next_key::<String>()? {
                    members.push((Cow::Owned(name), map.next_value()?));
                }
                Ok(OrderedMembers(members))
            }
        }

        deserializer.deserialize_map(MemberVisitor)
    }
}

/// Returns an object as it is written; `None` when the text is no object.
pub(super) fn read_object(json: &str) -> Option<Box<RawValue>> {
    let value = RawValue::from_string(json.to_owned()).ok()?;
    value.get().starts_with('{').then_some(value)
}

/// Returns an object with this text in a member, or without the member. Everything else stays as it is written.
pub(super) fn replace_member(json: &str, name: &str, text: Option<&str>) -> Option<Box<RawValue>> {
    let OrderedMembers(mut members) = serde_json::from_str(json).ok()?;
    let place = members.iter().position(|(known, _)| known == name);
    if place.is_none() && text.is_none() {
        return read_object(json);
    }
    members.retain(|(known, _)| known != name);
    let own = text.map(serde_json::value::to_raw_value).transpose().ok()?;
    if let Some(own) = &own {
        let place = place.unwrap_or(members.len()).min(members.len());
        members.insert(place, (Cow::Borrowed(name), own));
    }
    let mut object = String::with_capacity(json.len());
    for (name, value) in &members {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&serde_json::to_string(name).ok()?);
        object.push(':');
        object.push_str(value.get());
    }
    if object.is_empty() {
        object.push('{');
    }
    object.push('}');
    RawValue::from_string(object).ok()
}
