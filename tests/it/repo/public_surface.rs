//! The public surface of the `openapi` crate: a few items that the binary needs, all named in one file.

use super::source::{all, code_of};

/// Most items that the crate exports.
const EXPORTS_MAX: usize = 15;

/// Names that a crate's root exports by `pub use`; a public item or module of its own is an error.
fn list_exports(root: &str) -> Result<Vec<String>, String> {
    let code = code_of(root);
    let mut exports = Vec::new();
    for statement in code.split_inclusive([';', '}']) {
        let Some((_, public)) = statement.split_once("pub ") else { continue };
        let Some(names) = public.strip_prefix("use ") else {
            return Err(format!("not a `pub use`: {}", public.trim()));
        };
        let tail = names.rsplit_once("::").map_or(names, |(_, tail)| tail);
        let listed = tail.trim_matches(|letter: char| "{};".contains(letter) || letter.is_whitespace());
        if listed == "*" {
            return Err(format!("everything of {names}"));
        }
        exports.extend(listed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
    Ok(exports)
}

#[test]
fn openapi_exports_only_what_others_use() {
    assert_eq!(
        list_exports("mod a;\npub use a::{B, C};\npub use d::e;"),
        Ok(vec!["B".into(), "C".into(), "e".into()])
    );
    for broken in ["pub mod a;", "pub use a::*;", "pub fn a() {}", "pub struct A;"] {
        assert!(list_exports(broken).is_err(), "the rule is blind to {broken}");
    }
    let sources = all();
    let root = sources.iter().find(|file| file.path == "openapi/src/lib.rs").expect("the crate is there");
    // With private modules, rustc's `unreachable_pub` finds every other item that is public without need.
    let exports = list_exports(&root.text).unwrap();
    assert!((1..=EXPORTS_MAX).contains(&exports.len()), "{exports:?}");
    for name in &exports {
        let used = |file: &&super::source::Source| {
            let code = code_of(&file.text);
            !file.path.starts_with("openapi/")
                && code.contains("kabar_openapi")
                && code.contains(name.as_str())
        };
        assert!(sources.iter().any(|file| used(&file)), "{name} is exported, and not used by another crate");
    }
}
