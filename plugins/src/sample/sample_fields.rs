//! Members of a JSON object, read with their paths.

use std::sync::Arc;

use kabar_core::domain::time::{TimeBound, Timestamp};
use serde_json::Value;

use super::NotAnEvent;

/// An object, or an absent one, of which every member is absent.
pub(super) struct SampleFields<'a> {
    path: String,
    object: Option<&'a serde_json::Map<String, Value>>,
}

impl<'a> SampleFields<'a> {
    pub(super) fn read_root(json: &'a Value) -> Result<Self, NotAnEvent> {
        match json.as_object() {
            Some(object) => Ok(Self { path: String::new(), object: Some(object) }),
            None => Err(NotAnEvent { path: "event".to_owned(), wanted: "must be an object" }),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object?.get(name).filter(|value| !value.is_null())
    }

    fn wrong_member(&self, name: &str, wanted: &'static str) -> NotAnEvent {
        NotAnEvent { path: format!("{}{name}", self.path), wanted }
    }

    pub(super) fn read_object(&self, name: &str) -> Result<Self, NotAnEvent> {
        let path = format!("{}{name}.", self.path);
        match self.get(name) {
            None => Ok(Self { path, object: None }),
            Some(Value::Object(object)) => Ok(Self { path, object: Some(object) }),
            Some(_) => Err(self.wrong_member(name, "must be an object")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<Arc<str>>, NotAnEvent> {
        self.read_given(name, "must be a text", |text| Some(text.into()))
    }

    pub(super) fn read_given<T>(
        &self,
        name: &str,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, NotAnEvent> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().and_then(read).map(Some).ok_or_else(|| self.wrong_member(name, wanted))
    }

    pub(super) fn read_required<T>(
        &self,
        name: &str,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, NotAnEvent> {
        self.read_given(name, wanted, read)?.ok_or_else(|| self.wrong_member(name, wanted))
    }

    pub(super) fn read_number(&self, name: &str) -> Result<Option<i64>, NotAnEvent> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.wrong_member(name, "must be a whole number"))
    }

    pub(super) fn read_bool(&self, name: &str) -> Result<Option<bool>, NotAnEvent> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong_member(name, "must be true or false"))
    }

    pub(super) fn read_instant(&self, name: &str) -> Result<Option<Timestamp>, NotAnEvent> {
        self.read_given(name, "must be an RFC 3339 instant", |text| {
            TimeBound::parse(text).map(TimeBound::strictly_after)
        })
    }

    pub(super) fn read_json(&self, name: &str) -> Option<Arc<str>> {
        self.get(name).map(|value| value.to_string().into())
    }
}
