//! Reads the accounts that a webhook names, and nothing else of it.
//!
//! Invariants: pure. No tree of the body is built and nothing is kept but the names, so the work before a signature is
//! verified is bounded by the body's length, and its memory by `TARGETS_MAX`. An unreadable piece affects no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::raw_members::{pick_members, replace_unstorable, visit_elements};
use super::translate::{ItemTarget, find_number, read_id};

/// Targets that are read of one body, at most; further ones are left out.
const TARGETS_MAX: usize = 256;

/// Members of a change's value that may name its account.
const NAMING: [&str; 5] = ["metadata", "recipient", "phone_number", "display_phone_number", "waba_info"];

/// Target that a change names.
enum NamedTarget {
    /// The change names it itself.
    Own(ItemTarget),
    /// The change leaves it to its entry.
    OfEntry,
    /// None that can be read.
    Unreadable,
}

/// Returns the targets that the body names, each once: of a change its number, or else its WhatsApp Business
/// Account. A body that is not a JSON object names none.
#[must_use]
pub fn read_named_targets(body: &[u8]) -> BTreeSet<ItemTarget> {
    let text = replace_unstorable(body);
    let mut targets = BTreeSet::new();
    let [Some(entries)] = pick_members(&text, &["entry"]) else { return targets };
    visit_elements(entries.get(), |entry| {
        read_entry(entry, &mut targets);
        targets.len() < TARGETS_MAX
    });
    targets
}

fn read_entry(entry: &RawValue, targets: &mut BTreeSet<ItemTarget>) {
    let [id, changes] = pick_members(entry.get(), &["id", "changes"]);
    let Some(changes) = changes else { return };
    visit_elements(changes.get(), |change| {
        match read_target(change) {
            NamedTarget::Own(target) => {
                targets.insert(target);
            }
            NamedTarget::OfEntry => targets.extend(read_id(id).map(ItemTarget::Waba)),
            NamedTarget::Unreadable => {}
        }
        targets.len() < TARGETS_MAX
    });
}

fn read_target(change: &RawValue) -> NamedTarget {
    let [Some(value)] = pick_members(change.get(), &["value"]) else { return NamedTarget::Unreadable };
    if !value.get().starts_with('{') {
        return NamedTarget::Unreadable;
    }
    let picked = pick_members(value.get(), &NAMING);
    let member =
        |name: &str| NAMING.iter().zip(picked).find_map(|(known, raw)| raw.filter(|_| *known == name));
    match find_number(member) {
        Ok(Some(number)) => NamedTarget::Own(number),
        Ok(None) => match member("waba_info").and_then(read_waba_id) {
            Some(id) => NamedTarget::Own(ItemTarget::Waba(id)),
            None => NamedTarget::OfEntry,
        },
        Err(_skipped) => NamedTarget::Unreadable,
    }
}

fn read_waba_id(info: &RawValue) -> Option<Arc<str>> {
    let [id] = pick_members(info.get(), &["waba_id"]);
    read_id(id)
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

    #[test]
    fn the_names_that_are_kept_are_bounded() {
        let change = |nth: usize| format!(r#"{{"value":{{"metadata":{{"phone_number_id":"{nth}"}}}}}}"#);
        let changes: Vec<String> = (0..2 * TARGETS_MAX).map(|nth| change(100_000_000 + nth)).collect();
        let body = format!(r#"{{"entry":[{{"id":"55","changes":[{}]}}]}}"#, changes.join(","));
        assert_eq!(read(body.as_bytes()).len(), TARGETS_MAX);
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_named_targets(&body).len() <= body.len());
        }
    }
}
