//! Reads the accounts that a webhook names, and nothing else of it.
//!
//! Invariants: pure. No tree of the body is built, so the work before a signature is verified is bounded by the
//! body's length. An unreadable piece affects no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::raw_members::{self, RawMembers};
use super::translate::{ItemTarget, find_number, read_id, read_object};

/// Returns the targets that the body names, each once: of a change its number, or else its WhatsApp Business
/// Account. A body that is not a JSON object names none.
#[must_use]
pub fn read_named_targets(body: &[u8]) -> BTreeSet<ItemTarget> {
    let text = raw_members::replace_unstorable(body);
    let Some(envelope) = raw_members::read_members(&text) else { return BTreeSet::new() };
    let mut targets = BTreeSet::new();
    for entry in elements_of(&envelope, "entry") {
        let Some(entry) = raw_members::read_members(entry.get()) else { continue };
        let id = read_id(entry.get("id").copied());
        let changes = elements_of(&entry, "changes");
        targets.extend(changes.into_iter().filter_map(|change| read_target(change, id.as_ref())));
    }
    targets
}

fn elements_of<'a>(members: &RawMembers<'a>, name: &str) -> Vec<&'a RawValue> {
    members.get(name).and_then(|list| raw_members::read_elements(list.get())).unwrap_or_default()
}

fn read_target(change: &RawValue, entry_id: Option<&Arc<str>>) -> Option<ItemTarget> {
    let change = raw_members::read_members(change.get())?;
    let value = raw_members::read_members(change.get("value")?.get())?;
    if let Some(number) = find_number(&value).ok()? {
        return Some(number);
    }
    let info = read_object(value.get("waba_info").copied());
    let named = info.and_then(|info| read_id(info.get("waba_id").copied()));
    named.or_else(|| entry_id.cloned()).map(ItemTarget::Waba)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Vec<String> {
        let name = |target| match target {
            ItemTarget::Number(id) => id.as_str().to_owned(),
            ItemTarget::Phone(phone) => phone.as_str().to_owned(),
            ItemTarget::Waba(id) => format!("waba {id}"),
        };
        let mut names: Vec<_> = read_named_targets(body).into_iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn every_readable_change_names_its_number() {
        let mixed = include_bytes!("../../../tests/fixtures/meta/mixed.json");
        let numbers = ["100200300400501", "100200300400502", "100200300400503"];
        let named = read(mixed);
        assert!(numbers.iter().all(|number| named.iter().any(|name| name == number)), "{named:?}");
        let change = |number: &str| format!(r#"{{"value":{{"metadata":{{"phone_number_id":{number}}}}}}}"#);
        let (first, other) = (change(r#""100200300400501""#), change("1"));
        let body = format!(r#"{{"entry":[7,{{"changes":[{other},null,{first}]}},{{"changes":{{}}}}]}}"#);
        assert_eq!(read(body.as_bytes()), ["100200300400501"]);
        for nothing in ["", "[]", "{}", r#"{"entry":{}}"#, r#"{"entry":[{"changes":[{"value":1}]}]}"#] {
            assert!(read(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_change_of_no_number_names_its_business_account() {
        for (value, target) in [
            (r#"{"event":"APPROVED"}"#, "waba 55"),
            (r#"{"event":"PARTNER_REMOVED","waba_info":{"waba_id":"66"}}"#, "waba 66"),
            (r#"{"display_phone_number":"447700900123"}"#, "+447700900123"),
            (r#"{"recipient":{"phone_number_id":"100200300"}}"#, "100200300"),
        ] {
            let body = format!(r#"{{"entry":[{{"id":"55","changes":[{{"field":"f","value":{value}}}]}}]}}"#);
            assert_eq!(read(body.as_bytes()), [target], "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_named_targets(&body).len() <= body.len());
        }
    }
}
