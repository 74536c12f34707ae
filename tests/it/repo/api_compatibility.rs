//! Holds the API's document against that of the last release: no change may break a client of it.
//!
//! Invariants: each rule is first tried on documents that break it. Without a tag there is no release, and
//! nothing is compared; a repository that git cannot read fails.
//! A break that is meant stands in `openapi/accepted_breaks.txt`, one line each: the tag, then the break as it
//! is reported. Lines of earlier tags stay as a record.
//!
//! The comparison is written here because no maintained tool can be installed from crates.io, `PyPI`, npm or Debian:
//! oasdiff is a Go module that needs a newer Go than Debian's, npm's openapi-changes downloads its program
//! from elsewhere, Optic is archived, and npm's openapi-diff does not finish on this document.

mod operations;
mod schemas;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use operations::breaking_changes;

const DOCUMENT: &str = "openapi/openapi.json";
const ACCEPTED_BREAKS: &str = "openapi/accepted_breaks.txt";

#[test]
fn the_api_breaks_no_client_of_the_last_release() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(tag) = last_release(root) else {
        println!("{DOCUMENT}: there is no release (no tag v…) to compare with");
        return;
    };
    let old = parse(&git(root, &["show", &format!("{tag}:{DOCUMENT}")]));
    let new = parse(&std::fs::read_to_string(root.join(DOCUMENT)).unwrap());
    let accepted = match std::fs::read_to_string(root.join(ACCEPTED_BREAKS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.unwrap(),
    };
    let wrong = unaccepted_breaks(&tag, &breaking_changes(&old, &new), &accepted);
    let advice =
        format!("If a break is meant, add its line to {ACCEPTED_BREAKS} and say so in CHANGELOG.md.");
    assert!(wrong.is_empty(), "\n{}\n\n{advice}\n", wrong.join("\n"));
    println!("{DOCUMENT}: breaks no client of {tag}");
}

/// The breaks that are not accepted, and the accepted ones of this tag that are none, as lines of the file.
fn unaccepted_breaks(tag: &str, breaks: &[String], accepted: &str) -> Vec<String> {
    let found: Vec<String> = breaks.iter().map(|one| format!("{tag} {one}")).collect();
    let accepted: Vec<&str> = accepted.lines().filter(|line| line.starts_with(&format!("{tag} "))).collect();
    let new = found.iter().filter(|one| !accepted.contains(&one.as_str())).cloned();
    let stale = accepted.iter().filter(|line| !found.iter().any(|one| one == *line));
    new.chain(stale.map(|line| format!("accepted, but does not happen: {line}"))).collect()
}

/// The newest tag of a version that this commit contains.
fn last_release(root: &Path) -> Option<String> {
    // Sources without a repository, as in a container's build.
    if !root.join(".git").exists() {
        return None;
    }
    let tags = git(root, &["tag", "--list", "v[0-9]*", "--merged", "HEAD", "--sort=-creatordate"]);
    tags.lines().next().map(str::to_owned)
}

/// Output of git in a repository that may belong to another user, as in CI's container.
fn git(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    let output = command.args(["-c", "safe.directory=*", "-C"]).arg(root).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn parse(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

/// A document with every kind of thing that is compared.
fn sample() -> Value {
    json!({
        "paths": {"/v1/cats/{id}": {"post": {
            "operationId": "feedCat",
            "security": [{"apiKey": []}],
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "pattern": "^cat_"}},
                {"name": "limit", "in": "query", "required": false,
                    "schema": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 100, "default": 25}},
            ],
            "requestBody": {"required": false, "content": {"application/json": {"schema": {
                "type": "object",
                "required": ["food"],
                "properties": {
                    "food": {"$ref": "#/components/schemas/Food"},
                    "grams": {"type": "number", "nullable": true},
                    "notes": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 9}},
                    "more": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            }}}},
            "responses": {
                "200": {
                    "headers": {"ETag": {"required": true, "schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Cat"}}},
                },
                "404": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
            },
        }}},
        "x-webhooks": {"meal": {"post": {
            "parameters": [{"name": "X-Id", "in": "header", "required": true, "schema": {"type": "string"}}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {
                "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Error"}],
            }}}},
        }}},
        "components": {"schemas": {
            "Food": {"type": "string", "enum": ["fish", "milk"]},
            "Cat": {"type": "object", "required": ["name", "mood"], "properties": {
                "name": {"type": "string"},
                "mood": {"type": "string", "enum": ["calm", "wild"]},
                "age": {"type": "integer"},
                "mother": {"allOf": [{"$ref": "#/components/schemas/Cat"}], "nullable": true},
            }},
            "Error": {"type": "object", "properties": {
                "code": {"type": "string", "x-extensible-enum": ["not_found", "conflict"]},
            }},
        }},
    })
}

const OPERATION: &str = "/paths/~1v1~1cats~1{id}/post";
const BODY: &str = "/paths/~1v1~1cats~1{id}/post/requestBody/content/application~1json/schema";
const CAT: &str = "/components/schemas/Cat";
const WEBHOOK: &str = "/x-webhooks/meal/post";

/// The sample with the value at a place replaced; `null` removes it.
fn changed(base: &str, place: &str, value: &Value) -> Value {
    let mut document = sample();
    let place = format!("{base}{place}");
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{place} is not in the sample"));
    match (parent, value) {
        (Value::Object(members), Value::Null) => drop(members.remove(key).unwrap()),
        (Value::Object(members), _) => drop(members.insert(key.replace("~1", "/"), value.clone())),
        (Value::Array(values), Value::Null) => drop(values.remove(key.parse().unwrap())),
        (Value::Array(values), _) if key == "-" => values.push(value.clone()),
        (parent, _) => panic!("{place}: {parent} has no members"),
    }
    document
}

#[test]
fn a_change_that_breaks_clients_is_found() {
    let cases: &[(&str, &str, Value, &str)] = &[
        ("", "/paths/~1v1~1cats~1{id}", json!({}), "POST /v1/cats/{id}: is removed"),
        (OPERATION, "/operationId", json!("feed"), "operationId was"),
        (OPERATION, "/security", json!([{"operatorToken": []}]), "no longer opens it"),
        (OPERATION, "/parameters/1", Value::Null, "query parameter limit: is removed"),
        (OPERATION, "/parameters/1/required", json!(true), "query parameter limit: must be given"),
        (OPERATION, "/parameters/1/schema/minimum", json!(2), "minimum was 1, is 2"),
        (OPERATION, "/parameters/1/schema/maximum", json!(50), "maximum was 100, is 50"),
        (OPERATION, "/parameters/1/schema/default", json!(50), "default was 25, is 50"),
        (OPERATION, "/parameters/0/schema/pattern", json!("^c_"), "path parameter id: pattern was"),
        (
            OPERATION,
            "/parameters/-",
            json!({"name": "day", "in": "query", "required": true, "schema": {"type": "string"}}),
            "query parameter day: must be given",
        ),
        (OPERATION, "/requestBody/required", json!(true), "body: must be given"),
        (OPERATION, "/requestBody/content", json!({}), "body: application/json is removed"),
        (BODY, "/required", json!(["food", "grams"]), "body.grams: must be given"),
        (BODY, "/properties/grams", Value::Null, "body.grams: is removed"),
        (BODY, "/properties/grams/type", json!("integer"), "body.grams: type was"),
        (BODY, "/properties/grams/nullable", json!(false), "body.grams: nullable was"),
        (BODY, "/properties/notes/maxItems", json!(4), "body.notes: maxItems was"),
        (BODY, "/properties/notes/minItems", json!(1), "body.notes: minItems was absent, is 1"),
        (BODY, "/properties/notes/items/maxLength", json!(8), "body.notes[]: maxLength was"),
        (BODY, "/properties/more/additionalProperties", json!(false), "body.more: additionalProperties was"),
        (BODY, "/properties/more/additionalProperties/type", json!("integer"), "body.more.*: type was"),
        ("/components/schemas/Food", "/enum", json!(["fish"]), "body.food: enum was"),
        ("/components/schemas/Food", "/format", json!("food"), "body.food: format was"),
        (OPERATION, "/responses", json!({}), "POST /v1/cats/{id}, 200: is removed"),
        (OPERATION, "/responses/200/headers", json!({}), "200, header ETag: is removed"),
        (OPERATION, "/responses/200/headers/ETag/required", json!(false), "header ETag: may be missing"),
        (OPERATION, "/responses/200/content", json!({}), "200: application/json is removed"),
        (CAT, "/properties/age", Value::Null, "200.age: is removed"),
        (CAT, "/properties/age/type", json!("number"), "200.age: type was"),
        (CAT, "/properties/age/nullable", json!(true), "200.age: nullable was absent, is true"),
        (CAT, "/properties/mood/enum", json!(["calm"]), "\"wild\" is no longer among the enum"),
        (CAT, "/properties/mood/enum", json!(["calm", "wild", "shy"]), "200.mood: enum was"),
        (CAT, "/properties/mood/enum", Value::Null, "200.mood: enum was"),
        (CAT, "/required", json!(["name"]), "200.mood: may be missing"),
        ("/components/schemas/Error", "/properties/code/x-extensible-enum", json!(["conflict"]), "not_found"),
        ("", "/x-webhooks/meal", json!({}), "POST meal: is removed"),
        (WEBHOOK, "/parameters", json!([]), "header parameter X-Id: is removed"),
        (WEBHOOK, "/parameters/0/required", json!(false), "header parameter X-Id: may be missing"),
        (WEBHOOK, "/requestBody/required", json!(false), "POST meal, body: may be missing"),
        (
            WEBHOOK,
            "/requestBody/content/application~1json/schema/oneOf/-",
            json!({"$ref": "#/components/schemas/Food"}),
            "POST meal, body: Food is new among the oneOf",
        ),
        (WEBHOOK, "/requestBody/content/application~1json/schema/oneOf/0", Value::Null, "Cat is no longer"),
    ];
    for (base, place, value, expected) in cases {
        let breaks = breaking_changes(&sample(), &changed(base, place, value));
        assert!(breaks.iter().any(|one| one.contains(expected)), "{place} = {value}: {breaks:?}");
    }
}

#[test]
fn a_change_that_breaks_no_client_is_let_through() {
    let cases: &[(&str, &str, Value)] = &[
        ("", "/paths/~1v1~1dogs", json!({"get": {"operationId": "listDogs", "responses": {}}})),
        (OPERATION, "/description", json!("Feeds a cat.")),
        (OPERATION, "/security", json!([{"apiKey": []}, {"operatorToken": []}])),
        (OPERATION, "/parameters/-", json!({"name": "day", "in": "query", "schema": {"type": "string"}})),
        (OPERATION, "/parameters/1/schema/minimum", json!(0)),
        (OPERATION, "/parameters/1/schema/maximum", Value::Null),
        (OPERATION, "/parameters/1/schema/format", json!("int64")),
        (OPERATION, "/parameters/0/schema/pattern", Value::Null),
        (OPERATION, "/responses/404", Value::Null),
        (OPERATION, "/responses/409", json!({})),
        (OPERATION, "/responses/200/headers/Age", json!({"schema": {"type": "string"}})),
        (BODY, "/required", json!([])),
        (BODY, "/properties/spoon", json!({"type": "string"})),
        (BODY, "/properties/notes/items/maxLength", json!(10)),
        ("/components/schemas/Food", "/enum", json!(["fish", "milk", "meat"])),
        (CAT, "/properties/colour", json!({"type": "string"})),
        (CAT, "/properties/age/minimum", json!(0)),
        (CAT, "/required", json!(["name", "mood", "age"])),
        (CAT, "/properties/mother", json!({"$ref": "#/components/schemas/Cat"})),
        (
            "/components/schemas/Error",
            "/properties/code/x-extensible-enum",
            json!(["not_found", "conflict", "gone"]),
        ),
        (WEBHOOK, "/parameters/-", json!({"name": "X-Try", "in": "header", "required": true})),
    ];
    assert_eq!(breaking_changes(&sample(), &sample()), Vec::<String>::new());
    for (base, place, value) in cases {
        let breaks = breaking_changes(&sample(), &changed(base, place, value));
        assert!(breaks.is_empty(), "{place} = {value}: {breaks:?}");
    }
    // Other names of parameters and of schemas are the same document to clients.
    let mut renamed = sample();
    let paths = renamed["paths"].as_object_mut().unwrap();
    let item = paths.remove("/v1/cats/{id}").unwrap();
    paths.insert("/v1/cats/{cat_id}".into(), item);
    assert_eq!(breaking_changes(&sample(), &renamed), Vec::<String>::new());
}

#[test]
fn an_accepted_break_is_accepted_for_its_release_alone() {
    let breaks = ["GET /a: is removed".to_owned()];
    assert_eq!(unaccepted_breaks("v1", &breaks, ""), ["v1 GET /a: is removed"]);
    assert_eq!(unaccepted_breaks("v1", &breaks, "v1 GET /a: is removed\n"), Vec::<String>::new());
    assert_eq!(unaccepted_breaks("v2", &breaks, "v1 GET /a: is removed\n"), ["v2 GET /a: is removed"]);
    let stale = unaccepted_breaks("v1", &[], "# Meant.\nv1 GET /a: is removed\nv0 GET /b: is removed\n");
    assert_eq!(stale, ["accepted, but does not happen: v1 GET /a: is removed"]);
}

#[test]
fn the_document_breaks_nothing_of_itself() {
    let document = parse(include_str!("../../../openapi/openapi.json"));
    assert_eq!(breaking_changes(&document, &document), Vec::<String>::new());
    // Every operation counts: without any of them, each is missed.
    let mut empty = document.clone();
    empty["paths"] = json!({});
    empty["x-webhooks"] = json!({});
    assert!(breaking_changes(&document, &empty).len() > 50);
}
