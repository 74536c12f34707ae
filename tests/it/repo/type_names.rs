//! Names of types: each is defined once in the workspace, so that a search for it finds one thing.

use std::collections::BTreeMap;

use super::Complaints;
use super::source::{Source, all, code_of};

/// Names that a trait of another crate asks for.
const FOREIGN: [&str; 15] = [
    "Arguments",
    "Data",
    "Err",
    "Error",
    "Future",
    "Item",
    "Msg",
    "Output",
    "ParamRawType",
    "ParamType",
    "RawElementValueType",
    "RawValueType",
    "State",
    "Target",
    "Value",
];
/// Endings of types that exist once in each layer.
const LAYERED: [&str; 3] = ["Body", "Error", "Row"];

/// The type that a line of code defines.
fn defined_type(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = rest.trim_start();
        rest.strip_prefix('(').and_then(|scoped| scoped.split_once(')')).map_or(rest, |(_scope, rest)| rest)
    });
    let (keyword, rest) = line.trim_start().split_once(' ')?;
    let end = rest.find(|sign: char| !(sign.is_alphanumeric() || sign == '_')).unwrap_or(rest.len());
    let name = &rest[..end];
    let is_type = matches!(keyword, "struct" | "enum" | "trait" | "type");
    (is_type && name.starts_with(char::is_uppercase)).then_some(name)
}

/// Names that stand for two types, with their places.
fn doubled(repository: &[Source]) -> Complaints {
    let ours = ["core/src", "actors/src", "plugins/src", "openapi/src", "src"];
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in repository.iter().filter(|file| file.is_rust()) {
        let is_ours = ours.iter().any(|folder| file.path.starts_with(&format!("{folder}/")));
        if !is_ours || file.path.contains("/tests") {
            continue;
        }
        let production = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code_of(production);
        for name in code.lines().filter_map(defined_type) {
            let is_free = FOREIGN.contains(&name) || LAYERED.iter().any(|ending| name.ends_with(ending));
            if !is_free {
                places.entry(name.to_owned()).or_default().push(file.path.clone());
            }
        }
    }
    let doubled = places.into_iter().filter(|(_, places)| places.len() > 1);
    doubled.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

#[test]
fn no_type_name_is_defined_twice() {
    let sources =
        |second: &str| [Source::new("src/a.rs", "pub struct Sent;"), Source::new("core/src/b.rs", second)];
    for broken in ["enum Sent {}", "pub(crate) trait Sent {}", "pub type Sent = u8;"] {
        assert_eq!(doubled(&sources(broken)).len(), 1, "the rule is blind to {broken}");
    }
    for sound in
        ["struct Kept;", "// struct Sent;", "fn sent() {}", "#[cfg(test)]\nmod tests {\nstruct Sent;\n}"]
    {
        assert!(doubled(&sources(sound)).is_empty(), "the rule sees ghosts in {sound}");
    }
    let complaints = doubled(&all());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
