//! Reads the phone number ids that a webhook names, and nothing else of it.
//!
//! Invariants: pure. No tree of the body is built, so the work before a signature is verified is bounded by the
//! body's length. An unreadable piece affects no other.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::raw_members::{self, RawMembers};
use crate::domain::account::PhoneNumberId;

/// Returns every phone number id that the body names, each once. A body that is not a JSON object names none.
#[must_use]
pub fn read_named_numbers(body: &[u8]) -> BTreeSet<PhoneNumberId> {
    let text = raw_members::replace_unstorable(body);
    let Some(envelope) = raw_members::read_members(&text) else { return BTreeSet::new() };
    let entries = elements_of(&envelope, "entry").into_iter();
    let entries = entries.filter_map(|entry| raw_members::read_members(entry.get()));
    entries.flat_map(|entry| elements_of(&entry, "changes")).filter_map(read_number).collect()
}

fn elements_of<'a>(members: &RawMembers<'a>, name: &str) -> Vec<&'a RawValue> {
    members.get(name).and_then(|list| raw_members::read_elements(list.get())).unwrap_or_default()
}

/// Returns `value.metadata.phone_number_id` of a change.
fn read_number(change: &RawValue) -> Option<PhoneNumberId> {
    let change = raw_members::read_members(change.get())?;
    let value = raw_members::read_members(change.get("value")?.get())?;
    let metadata = raw_members::read_members(value.get("metadata")?.get())?;
    PhoneNumberId::parse(&raw_members::read_string(&metadata, "phone_number_id")?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Vec<String> {
        read_named_numbers(body).iter().map(|number| number.as_str().to_owned()).collect()
    }

    #[test]
    fn every_readable_change_names_its_number() {
        let mixed = include_bytes!("../../../tests/fixtures/meta/mixed.json");
        assert_eq!(read(mixed), ["100200300400501", "100200300400502", "100200300400503"]);
        let change = |number: &str| format!(r#"{{"value":{{"metadata":{{"phone_number_id":{number}}}}}}}"#);
        let (first, other) = (change(r#""100200300400501""#), change("1"));
        let body = format!(r#"{{"entry":[7,{{"changes":[{other},null,{first}]}},{{"changes":{{}}}}]}}"#);
        assert_eq!(read(body.as_bytes()), ["100200300400501"]);
        for nothing in ["", "[]", "{}", r#"{"entry":{}}"#, r#"{"entry":[{"changes":[{"value":1}]}]}"#] {
            assert!(read(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_named_numbers(&body).len() <= body.len());
        }
    }
}
