//! Mutations of JSON that leave it JSON.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt as _, seq::IndexedRandom as _};
use serde_json::{Map, Value};

use super::NUMBERS;

/// Places that are tried as the start of a document.
const STARTS_MAX: usize = 8;
/// Depth of arrays that are put into one another.
const DEPTHS: [usize; 3] = [2, 100, 126];
/// Texts that parsers and databases trip over.
const TEXTS: [&str; 14] = [
    "",
    " ",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "👩\u{200d}👩\u{200d}👧",
    "\u{10ffff}",
    "e\u{301}",
    "%00",
    "../../x",
    "'; --",
    "{{1}}",
    "1970-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
];

/// Changes one value of the first JSON document in the input. Returns `None` if there is none.
pub(super) fn mutate_json(rng: &mut StdRng, input: &[u8], other: &[u8], words: &[&str]) -> Option<Vec<u8>> {
    let (mut document, place) = find_document(input)?;
    let wanted = rng.random_range(0..count_values(&document));
    let graft = rng.random_bool(0.2).then(|| find_document(other)).flatten().map(|(other, _)| {
        let taken = rng.random_range(0..count_values(&other));
        find_value(&other, taken, &mut 0).cloned().unwrap_or(Value::Null)
    });
    let value = find_value_mut(&mut document, wanted, &mut 0)?;
    match graft {
        Some(graft) => *value = graft,
        None => mutate_value(rng, value, words),
    }
    let mutated = serde_json::to_vec(&document).ok()?;
    Some([input.get(..place.start)?, &mutated, input.get(place.end..)?].concat())
}

/// Finds the first array or object, wherever it begins: after a head, or before a line.
fn find_document(input: &[u8]) -> Option<(Value, Range<usize>)> {
    let starts = input.iter().enumerate().filter(|(_, byte)| matches!(byte, b'{' | b'['));
    starts.take(STARTS_MAX).find_map(|(start, _)| {
        let mut values = serde_json::Deserializer::from_slice(&input[start..]).into_iter();
        let document = values.next()?.ok()?;
        Some((document, start..start + values.byte_offset()))
    })
}

fn mutate_value(rng: &mut StdRng, value: &mut Value, words: &[&str]) {
    match (rng.random_range(0..6_u8), &mut *value) {
        (0..=2, Value::Object(members)) => mutate_members(rng, members, words),
        (0..=2, Value::Array(elements)) => mutate_elements(rng, elements),
        (0..=1, Value::String(text)) => mutate_text(rng, text, words),
        _ => *value = other_value(rng, words),
    }
}

fn mutate_members(rng: &mut StdRng, members: &mut Map<String, Value>, words: &[&str]) {
    let names: Vec<String> = members.keys().cloned().collect();
    let name = names.choose(rng).cloned().unwrap_or_default();
    match rng.random_range(0..3_u8) {
        0 => {
            members.shift_remove(&name);
        }
        1 => {
            let value = other_value(rng, words);
            members.insert(words.choose(rng).map_or_else(String::new, |word| (*word).to_owned()), value);
        }
        _ => {
            let taken = members.shift_remove(&name).unwrap_or(Value::Null);
            members.insert(name + "_", taken);
        }
    }
}

fn mutate_elements(rng: &mut StdRng, elements: &mut Vec<Value>) {
    if elements.is_empty() {
        elements.push(Value::Null);
        return;
    }
    let at = rng.random_range(0..elements.len());
    match rng.random_range(0..3_u8) {
        0 => {
            elements.remove(at);
        }
        1 => {
            let times = rng.random_range(1..20);
            let copied = elements[at].clone();
            elements.extend(std::iter::repeat_n(copied, times));
        }
        _ => elements.reverse(),
    }
}

fn mutate_text(rng: &mut StdRng, text: &mut String, words: &[&str]) {
    let known = if rng.random_bool(0.5) { words } else { &TEXTS };
    let part = known.choose(rng).copied().unwrap_or_default();
    match rng.random_range(0..4_u8) {
        0 => text.push_str(part),
        1 => text.insert_str(0, part),
        2 => *text = text.chars().rev().collect(),
        _ => {
            let times = rng.random_range(2..200);
            *text = text.chars().take(20).collect::<String>().repeat(times);
        }
    }
}

fn other_value(rng: &mut StdRng, words: &[&str]) -> Value {
    match rng.random_range(0..9_u8) {
        0 => Value::Null,
        1 => Value::Bool(rng.random()),
        2 => Value::Array(Vec::new()),
        3 => Value::Object(Map::new()),
        4 => TEXTS.choose(rng).copied().into(),
        5 => {
            let depth = DEPTHS.choose(rng).copied().unwrap_or(2);
            (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
        }
        6 => NUMBERS.choose(rng).copied().into(),
        7 => NUMBERS.choose(rng).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null),
        _ => words.choose(rng).copied().into(),
    }
}

fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count_values).sum(),
        Value::Object(members) => members.values().map(count_values).sum(),
        _ => 0,
    }
}

/// Returns the value with this number, counted from the root.
fn find_value<'v>(value: &'v Value, wanted: usize, passed: &mut usize) -> Option<&'v Value> {
    if *passed == wanted {
        return Some(value);
    }
    *passed += 1;
    match value {
        Value::Array(elements) => elements.iter().find_map(|element| find_value(element, wanted, passed)),
        Value::Object(members) => members.values().find_map(|member| find_value(member, wanted, passed)),
        _ => None,
    }
}

fn find_value_mut<'v>(value: &'v mut Value, wanted: usize, passed: &mut usize) -> Option<&'v mut Value> {
    if *passed == wanted {
        return Some(value);
    }
    *passed += 1;
    match value {
        Value::Array(elements) => {
            elements.iter_mut().find_map(|element| find_value_mut(element, wanted, passed))
        }
        Value::Object(members) => {
            members.values_mut().find_map(|member| find_value_mut(member, wanted, passed))
        }
        _ => None,
    }
}
