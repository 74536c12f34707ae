//! Compares the operations of two OpenAPI documents: paths, parameters, bodies, answers and who may call.
//!
//! Invariant: a path is the same under other names of its parameters. What the server calls (`x-webhooks`) is
//! compared like what clients call, with the sides exchanged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::schemas::{Direction, DocumentComparison, members_of, missing, resolve};

/// Gives every change from `old` to `new` that can break a client, one line each.
pub(super) fn breaking_changes(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = DocumentComparison::new(old, new);
    for (section, direction) in [("paths", Direction::ToServer), ("x-webhooks", Direction::ToClient)] {
        let new_operations = operations(&new[section]);
        for (key, old_operation) in operations(&old[section]) {
            let place = &old_operation.name;
            match new_operations.get(&key) {
                None => comparison.report(place, "is removed"),
                Some(new_operation) => {
                    let both = OperationPair {
                        place,
                        documents: [old, new],
                        operations: [old_operation.body, new_operation.body],
                        direction,
                    };
                    both.compare(&mut comparison);
                }
            }
        }
    }
    comparison.into_breaks()
}

/// An operation of a document, with its method and path as its name.
struct NamedOperation<'a> {
    name: String,
    body: &'a Value,
}

/// The operations of a section, by method and path without the names of parameters.
fn operations(section: &Value) -> BTreeMap<String, NamedOperation<'_>> {
    const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let all = members_of(section).flat_map(|(path, item)| members_of(item).map(move |one| (path, one)));
    let called = all.filter(|(_, (method, _))| METHODS.contains(&method.as_str()));
    called
        .map(|(path, (method, body))| {
            let name = format!("{} {path}", method.to_uppercase());
            let parts = name.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            (parts.collect::<Vec<_>>().join("/"), NamedOperation { name, body })
        })
        .collect()
}

/// One operation in both documents.
struct OperationPair<'a> {
    place: &'a str,
    documents: [&'a Value; 2],
    operations: [&'a Value; 2],
    /// The direction of its parameters and its body.
    direction: Direction,
}

impl OperationPair<'_> {
    fn compare(&self, comparison: &mut DocumentComparison<'_>) {
        let [old, new] = self.operations;
        // Generated clients name their methods after it.
        if !old["operationId"].is_null() && old["operationId"] != new["operationId"] {
            let what = format!("operationId was {}, is {}", old["operationId"], new["operationId"]);
            comparison.report(self.place, &what);
        }
        for alternative in missing(&old["security"], &new["security"]) {
            comparison.report(self.place, &format!("{alternative} no longer opens it"));
        }
        self.compare_parameters(comparison);
        self.compare_request_bodies(comparison);
        // Of an answer to a webhook only the status is read.
        if self.direction == Direction::ToServer {
            self.compare_responses(comparison);
        }
    }

    fn compare_parameters(&self, comparison: &mut DocumentComparison<'_>) {
        let [old, new] = [0, 1].map(|side| parameters(self.documents[side], self.operations[side]));
        for ((place_of, name), old_parameter) in &old {
            let place = format!("{}, {place_of} parameter {name}", self.place);
            match new.get(&(*place_of, *name)) {
                // A path's parameter goes by its position.
                None if *place_of == "path" => {}
                None => comparison.report(&place, "is removed"),
                Some(new_parameter) => {
                    let (from, to) = self.direction.order(old_parameter, new_parameter);
                    if to["required"] == true && from["required"] != true {
                        comparison
                            .report(&place, if self.is_sent() { "must be given" } else { "may be missing" });
                    }
                    let (old, new) = (&old_parameter["schema"], &new_parameter["schema"]);
                    comparison.compare_schemas(&place, old, new, self.direction);
                }
            }
        }
        let added = new.iter().filter(|(key, _)| !old.contains_key(*key) && key.0 != "path");
        for ((place_of, name), _) in
            added.filter(|(_, parameter)| self.is_sent() && parameter["required"] == true)
        {
            comparison.report(&format!("{}, {place_of} parameter {name}", self.place), "must be given");
        }
    }

    /// `true` for what the client sends.
    fn is_sent(&self) -> bool {
        self.direction == Direction::ToServer
    }

    fn compare_request_bodies(&self, comparison: &mut DocumentComparison<'_>) {
        let [old, new] =
            [0, 1].map(|side| resolve(self.documents[side], &self.operations[side]["requestBody"]));
        let place = format!("{}, body", self.place);
        let (from, to) = self.direction.order(old, new);
        if to["required"] == true && from["required"] != true {
            comparison.report(&place, if self.is_sent() { "must be given" } else { "may be missing" });
        }
        compare_contents(comparison, &place, old, new, self.direction);
    }

    fn compare_responses(&self, comparison: &mut DocumentComparison<'_>) {
        let [old, new] = [0, 1].map(|side| &self.operations[side]["responses"]);
        for (status, old_response) in members_of(old) {
            let place = format!("{}, {status}", self.place);
            let Some(new_response) = new.get(status) else {
                // An error that no longer happens breaks nothing.
                if status.starts_with(['2', '3']) {
                    comparison.report(&place, "is removed");
                }
                continue;
            };
            let old_response = resolve(self.documents[0], old_response);
            let new_response = resolve(self.documents[1], new_response);
            self.compare_headers(comparison, &place, old_response, new_response);
            compare_contents(comparison, &place, old_response, new_response, Direction::ToClient);
        }
    }

    fn compare_headers(
        &self,
        comparison: &mut DocumentComparison<'_>,
        place: &str,
        old: &Value,
        new: &Value,
    ) {
        for (name, old_header) in members_of(&old["headers"]) {
            let place = format!("{place}, header {name}");
            let Some(new_header) = new["headers"].get(name) else {
                comparison.report(&place, "is removed");
                continue;
            };
            let old_header = resolve(self.documents[0], old_header);
            let new_header = resolve(self.documents[1], new_header);
            if old_header["required"] == true && new_header["required"] != true {
                comparison.report(&place, "may be missing");
            }
            let (old, new) = (&old_header["schema"], &new_header["schema"]);
            comparison.compare_schemas(&place, old, new, Direction::ToClient);
        }
    }
}

/// An operation's parameters by their place and name.
fn parameters<'a>(document: &'a Value, operation: &'a Value) -> BTreeMap<(&'a str, &'a str), &'a Value> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    let resolved = all.map(|parameter| resolve(document, parameter));
    resolved
        .map(|one| ((one["in"].as_str().unwrap_or_default(), one["name"].as_str().unwrap_or_default()), one))
        .collect()
}

/// Compares the bodies of two requests or answers by their media types.
fn compare_contents(
    comparison: &mut DocumentComparison<'_>,
    place: &str,
    old: &Value,
    new: &Value,
    direction: Direction,
) {
    for (media_type, old_body) in members_of(&old["content"]) {
        match new["content"].get(media_type) {
            None => comparison.report(place, &format!("{media_type} is removed")),
            Some(new_body) => {
                comparison.compare_schemas(place, &old_body["schema"], &new_body["schema"], direction);
            }
        }
    }
}
