//! Compares two schemas: the values of the one that the other does not allow, and members that are gone.
//!
//! Invariant: a keyword is compared by what it allows. What a request may hold must not become less, what an
//! answer may hold must not become more. Prose, examples and names of schemas do not count.
//! Keywords that the document does not use (`not`, `patternProperties`) are not compared.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// The side that writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// The client writes it: the new schema must allow all that the old one allowed.
    ToServer,
    /// The server writes it: the old schema must allow all that the new one allows.
    ToClient,
}

impl Direction {
    /// The schema whose values must be allowed, and the one that must allow them.
    pub(super) const fn order<'a>(self, old: &'a Value, new: &'a Value) -> (&'a Value, &'a Value) {
        match self {
            Self::ToServer => (old, new),
            Self::ToClient => (new, old),
        }
    }
}

/// Collects the differences of two documents that break clients.
pub(super) struct DocumentComparison<'a> {
    old: &'a Value,
    new: &'a Value,
    /// Pairs of named schemas that were compared. It ends recursion, and names a break of a shared schema once.
    compared: HashSet<(String, String, Direction)>,
    breaks: Vec<String>,
}

impl<'a> DocumentComparison<'a> {
    pub(super) fn new(old: &'a Value, new: &'a Value) -> Self {
        Self { old, new, compared: HashSet::new(), breaks: Vec::new() }
    }

    /// Gives what was found, each once.
    pub(super) fn into_breaks(mut self) -> Vec<String> {
        self.breaks.sort();
        self.breaks.dedup();
        self.breaks
    }

    /// Records a break.
    pub(super) fn report(&mut self, place: &str, what: &str) {
        self.breaks.push(format!("{place}: {what}"));
    }

    /// Compares two schemas, each of its own document.
    pub(super) fn compare_schemas(&mut self, place: &str, old: &Value, new: &Value, direction: Direction) {
        if let (Some(old), Some(new)) = (reference_of(old), reference_of(new))
            && !self.compared.insert((old.to_owned(), new.to_owned(), direction))
        {
            return;
        }
        let (old, new) = (flatten(self.old, old), flatten(self.new, new));
        let (from, to) = direction.order(&old, &new);
        self.compare_keywords(place, from, to, direction);
        self.compare_members(place, &old, &new, direction);
        for keyword in ["oneOf", "anyOf"] {
            self.compare_variants(place, keyword, [&old, &new], direction);
        }
        if !old["items"].is_null() && !new["items"].is_null() {
            self.compare_schemas(&format!("{place}[]"), &old["items"], &new["items"], direction);
        }
        let (old_more, new_more) = (&old["additionalProperties"], &new["additionalProperties"]);
        if old_more.is_object() && new_more.is_object() {
            self.compare_schemas(&format!("{place}.*"), old_more, new_more, direction);
        }
    }

    /// Reports each keyword by which `to` forbids a value that `from` allows.
    fn compare_keywords(&mut self, place: &str, from: &Value, to: &Value, direction: Direction) {
        const LOWER_BOUNDS: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];
        const UPPER_BOUNDS: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
        let mut narrowed = Vec::new();
        let mut check = |keyword: &'static str, is_allowed: fn(&Value, &Value) -> bool| {
            if !is_allowed(&from[keyword], &to[keyword]) {
                narrowed.push(keyword);
            }
        };
        check("type", |from, to| to.is_null() || from == to || (from == "integer" && to == "number"));
        check("format", |from, to| to.is_null() || from == to || (from == "int32" && to == "int64"));
        check("pattern", |from, to| to.is_null() || from == to);
        check("nullable", |from, to| *from != Value::Bool(true) || *to == Value::Bool(true));
        for bound in LOWER_BOUNDS {
            check(bound, |from, to| to.is_null() || (!from.is_null() && from.as_f64() >= to.as_f64()));
        }
        for bound in UPPER_BOUNDS {
            check(bound, |from, to| to.is_null() || (!from.is_null() && from.as_f64() <= to.as_f64()));
        }
        check("enum", |from, to| to.is_null() || (!from.is_null() && missing(from, to).is_empty()));
        if direction == Direction::ToServer {
            check("default", |from, to| from == to);
            // Clients ignore members that they do not know.
            check("additionalProperties", |from, to| *to != Value::Bool(false) || from == to);
        }
        for keyword in narrowed {
            let (old, new) = match direction {
                Direction::ToServer => (&from[keyword], &to[keyword]),
                Direction::ToClient => (&to[keyword], &from[keyword]),
            };
            let shown = |value: &Value| if value.is_null() { "absent".into() } else { value.to_string() };
            self.report(place, &format!("{keyword} was {}, is {}", shown(old), shown(new)));
        }
    }

    /// Reports members and words that are gone, and members that must be given or may be missing from now on.
    fn compare_members(&mut self, place: &str, old: &Value, new: &Value, direction: Direction) {
        for words in ["enum", "x-extensible-enum"] {
            // An answer's `enum` may become shorter by its type, but some client waits for the word.
            let gone = if new[words].is_null() { Vec::new() } else { missing(&old[words], &new[words]) };
            for word in gone.into_iter().filter(|_| words != "enum" || direction == Direction::ToClient) {
                self.report(place, &format!("{word} is no longer among the {words}"));
            }
        }
        let (old_members, new_members) = (&old["properties"], &new["properties"]);
        let (from, to) = direction.order(old, new);
        for member in missing(&to["required"], &from["required"]) {
            let member = member.as_str().unwrap_or_default();
            let what = match direction {
                Direction::ToServer => "must be given",
                // It is reported as removed.
                Direction::ToClient if new_members[member].is_null() => continue,
                Direction::ToClient => "may be missing",
            };
            self.report(&format!("{place}.{member}"), what);
        }
        for (member, old_member) in members_of(old_members) {
            let place = format!("{place}.{member}");
            match new_members.get(member) {
                None => self.report(&place, "is removed"),
                Some(new_member) => self.compare_schemas(&place, old_member, new_member, direction),
            }
        }
    }

    fn compare_variants(
        &mut self,
        place: &str,
        keyword: &str,
        [old, new]: [&Value; 2],
        direction: Direction,
    ) {
        let (old, new) = (&old[keyword], &new[keyword]);
        let (from, to) = direction.order(old, new);
        if from.is_null() && !to.is_null() {
            self.report(place, &format!("{keyword} was {}, is {}", named(old), named(new)));
        }
        let (Some(old), Some(new)) = (old.as_array(), new.as_array()) else { return };
        for (position, old_variant) in old.iter().enumerate() {
            let name = variant_name(position, old_variant);
            let mut new = new.iter().enumerate();
            match new.find(|(position, variant)| variant_name(*position, variant) == name) {
                None => self.report(place, &format!("{name} is no longer among the {keyword}")),
                Some((_, variant)) => self.compare_schemas(place, old_variant, variant, direction),
            }
        }
        if direction == Direction::ToServer {
            return;
        }
        let old: HashSet<String> =
            old.iter().enumerate().map(|(position, variant)| variant_name(position, variant)).collect();
        let new = new.iter().enumerate().map(|(position, variant)| variant_name(position, variant));
        for name in new.filter(|name| !old.contains(name)) {
            self.report(place, &format!("{name} is new among the {keyword}"));
        }
    }
}

/// The values of the first list that the second one lacks.
pub(super) fn missing<'a>(first: &'a Value, second: &Value) -> Vec<&'a Value> {
    let second = second.as_array();
    let lacks = |value: &&Value| !second.is_some_and(|second| second.contains(value));
    first.as_array().into_iter().flatten().filter(lacks).collect()
}

/// The members of an object; none of anything else.
pub(super) fn members_of(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Follows a reference into its document.
pub(super) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let found = document.pointer(reference.trim_start_matches('#'));
    resolve(document, found.unwrap_or_else(|| panic!("{reference} leads nowhere")))
}

/// The schema's name: that of its reference, also of one in an `allOf` beside `nullable` or prose.
fn reference_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().or_else(|| match schema["allOf"].as_array()?.as_slice() {
        [only] => only["$ref"].as_str(),
        _ => None,
    })
}

/// The schema with its references and the parts of its `allOf` laid into one.
fn flatten(document: &Value, schema: &Value) -> Value {
    let schema = resolve(document, schema);
    let mut flat = Map::new();
    let parts = schema["allOf"].as_array().into_iter().flatten().map(|part| flatten(document, part));
    for part in parts.chain([schema.clone()]) {
        for (keyword, value) in members_of(&part) {
            match (flat.get_mut(keyword), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more.clone()),
                (Some(Value::Array(known)), Value::Array(more)) if keyword == "required" => {
                    known.extend(more.iter().cloned());
                }
                _ => drop(flat.insert(keyword.clone(), value.clone())),
            }
        }
    }
    Value::Object(flat)
}

fn variant_name(position: usize, variant: &Value) -> String {
    reference_of(variant).map_or_else(|| format!("variant {position}"), last_part)
}

fn last_part(reference: &str) -> String {
    reference.rsplit('/').next().unwrap_or_default().to_owned()
}

fn named(variants: &Value) -> String {
    let names = variants.as_array().into_iter().flatten().enumerate();
    let names: Vec<String> = names.map(|(position, variant)| variant_name(position, variant)).collect();
    if names.is_empty() { "absent".into() } else { names.join(" or ") }
}
