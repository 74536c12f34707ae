//! Sends: each acknowledged message reaches WhatsApp, and none twice but after the time to settle without an echo;
//! one `Idempotency-Key` has one effect, and a hook's effect happens once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::index::Index;
use crate::graph_stub::REFUSED_TEXT;
use crate::history::{GraphCall, Micros};

/// Time between the acknowledgement of an echo and a call that was on its way already.
const ON_ITS_WAY: Micros = 500_000;
/// Time until the outcome of a call is durable.
const OUTCOME_TIME: Micros = 5_000_000;

/// Holds calls at the Graph API against acknowledged sends.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut calls: BTreeMap<&str, Vec<&GraphCall>> = BTreeMap::new();
    for call in index.calls.iter().filter(|call| !call.id.is_empty()) {
        calls.entry(&call.id).or_default().push(call);
    }
    let mut violations = Vec::new();
    if index.quiet.is_some() {
        for write in index.writes.iter().filter(|write| write.op == "send" && write.is_acknowledged()) {
            if !calls.contains_key(write.id.as_str()) {
                violations.push(Violation::new("send-lost", format!("never at WhatsApp: {write:?}")));
            }
        }
    }
    let mut echoes: HashMap<&str, Micros> = HashMap::new();
    for item in index.inbound.iter().filter(|item| item.st == 200 && !item.id.is_empty()) {
        let first = echoes.entry(&item.id).or_insert(item.e);
        *first = (*first).min(item.e);
    }
    for (id, calls) in &calls {
        for pair in calls.windows(2) {
            violations.extend(judge(index, id, pair[0], pair[1], echoes.get(id).copied()));
        }
    }
    violations.extend(keys_with_two_effects(index));
    violations.extend(hook_effects(index));
    violations
}

fn judge(
    index: &Index<'_>,
    id: &str,
    first: &GraphCall,
    second: &GraphCall,
    echo: Option<Micros>,
) -> Option<Violation> {
    let has_settled = first.s + index.run.settle <= second.s;
    let kind = if !first.taken {
        // A refusal is final, unless its word was lost with the process or with the database's connection.
        if has_settled && index.is_disturbed(first.s, first.e + OUTCOME_TIME, 0) {
            return None;
        }
        "refused-send-repeated"
    } else if echo.is_some_and(|echo| echo + ON_ITS_WAY < second.s) {
        "sent-twice-after-echo"
    } else if !has_settled {
        "sent-twice-before-settle"
    } else {
        return None;
    };
    Some(Violation::new(kind, format!("{id}: {first:?}, then {second:?}, echo acknowledged at {echo:?}")))
}

/// All answers and all calls that carry one key tell of one message.
fn keys_with_two_effects(index: &Index<'_>) -> Vec<Violation> {
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut texts: HashMap<&str, &str> = HashMap::new();
    for write in index.writes.iter().filter(|write| write.op == "send" && !write.key.is_empty()) {
        texts.insert(&write.v, &write.key);
        if write.is_acknowledged() {
            ids.entry(&write.key).or_default().insert(&write.id);
        }
    }
    for call in &index.calls {
        if let Some(key) = texts.get(call.text.as_str()) {
            ids.entry(key).or_default().insert(&call.id);
        }
    }
    ids.into_iter()
        .filter(|(_, ids)| ids.len() > 1)
        .map(|(key, ids)| Violation::new("key-with-two-effects", format!("{key}: messages {ids:?}")))
        .collect()
}

/// The hook sends one template for each message that WhatsApp refused for its closed window, and nothing else does.
fn hook_effects(index: &Index<'_>) -> Vec<Violation> {
    let mut refused: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut templates: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for call in &index.calls {
        let to = (call.a.as_str(), call.to.as_str());
        if call.text.starts_with(REFUSED_TEXT) {
            refused.entry(to).or_default().insert(&call.id);
        } else if call.kind == "template" {
            templates.entry(to).or_default().insert(&call.id);
        }
    }
    let mut violations = Vec::new();
    let numbers: BTreeSet<_> = refused.keys().chain(templates.keys()).collect();
    for to in numbers {
        let count = |calls: &BTreeMap<_, BTreeSet<&str>>| calls.get(to).map_or(0, BTreeSet::len);
        let (refused, sent) = (count(&refused), count(&templates));
        if sent > refused || (sent < refused && index.quiet.is_some()) {
            let detail = format!("{to:?}: {refused} messages were refused, the hook sent {sent}");
            violations.push(Violation::new("hook-effect-not-once", detail));
        }
    }
    violations
}
