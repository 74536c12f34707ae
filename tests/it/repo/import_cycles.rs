//! Import cycles between the files of a crate: there are none, a parent module and its own descendants aside.
//!
//! Files that need each other can only be read together. A parent may use its children, and they it; but no
//! other file may close a circle through them.

use std::collections::BTreeSet;

use super::Complaints;
use super::module_graph::{FileUses, ModuleGraph};
use super::source::{Source, all};

/// The roots of our crates.
const CRATES: [&str; 5] =
    ["core/src/lib.rs", "actors/src/lib.rs", "plugins/src/lib.rs", "openapi/src/lib.rs", "src/lib.rs"];

/// Returns `true` when one file is the module that holds the other, on whatever level.
fn is_above(one: &str, other: &str) -> bool {
    let is_root = one.ends_with("/lib.rs");
    let folder = one.strip_suffix(if is_root { "lib.rs" } else { ".rs" }).unwrap_or(one);
    other.strip_prefix(folder).is_some_and(|rest| !rest.is_empty() && (is_root || rest.starts_with('/')))
}

/// The files that a file leads to, over as many imports as it takes, where `counts` lets the import count.
fn reached<'a>(uses: &'a FileUses, from: &str, counts: fn(&str, &str) -> bool) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(file) = open.pop() {
        let others = uses.get(&file).into_iter().flat_map(|others| others.keys());
        for other in others.filter(|other| counts(&file, other)) {
            if found.insert(other.as_str()) {
                open.push(other.clone());
            }
        }
    }
    found
}

/// The circles of a crate, each as its files with what ties them.
///
/// A parent that uses its child and is used by it closes no circle: the imports that lead up are left out in
/// one search, those that lead down in the other.
fn circles(uses: &FileUses) -> Complaints {
    let searches: [fn(&str, &str) -> bool; 2] =
        [|file, other| !is_above(other, file), |file, other| !is_above(file, other)];
    let mut found: BTreeSet<String> = BTreeSet::new();
    for counts in searches {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for file in uses.keys() {
            if seen.contains(file.as_str()) {
                continue;
            }
            let circle: BTreeSet<&str> = reached(uses, file, counts)
                .into_iter()
                .filter(|other| reached(uses, other, counts).contains(file.as_str()))
                .collect();
            if !circle.is_empty() {
                found.insert(described(uses, &circle, counts));
            }
            seen.extend(circle);
        }
    }
    found.into_iter().collect()
}

fn described(uses: &FileUses, circle: &BTreeSet<&str>, counts: fn(&str, &str) -> bool) -> String {
    let mut lines = vec![format!("{} files in a circle:", circle.len())];
    for (file, others) in uses.iter().filter(|(file, _)| circle.contains(file.as_str())) {
        for (other, names) in others {
            if circle.contains(other.as_str()) && counts(file, other) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lines.push(format!("  {file} -> {other}: {}", names.join(", ")));
            }
        }
    }
    lines.join("\n")
}

fn circles_below(repository: &[Source], root: &str) -> Complaints {
    circles(&ModuleGraph::read(repository, root).file_uses())
}

/// A crate of these modules, each with its text; its root declares those on the first level.
fn sample(modules: &[(&str, &str)]) -> Vec<Source> {
    let top = modules.iter().filter(|(path, _)| !path.contains('/'));
    let root = top.map(|(path, _)| format!("pub mod {path};")).collect::<Vec<_>>().join("\n");
    let files = modules.iter().map(|(path, text)| Source::new(&format!("src/{path}.rs"), text));
    files.chain([Source::new("src/lib.rs", &root)]).collect()
}

#[test]
fn circles_are_found_however_they_are_written() {
    let broken: [&[(&str, &str)]; 8] = [
        &[("a", "use crate::b::B;\npub struct A;"), ("b", "use crate::a::A;\npub struct B;")],
        &[
            ("a", "use super::b::{self, C as D};\npub fn run() {}"),
            ("b", "pub fn b() { super::a::run(); }\npub struct C;"),
        ],
        &[("a", "use crate::{b};\npub fn a() { b::b() }"), ("b", "use crate::a;\npub fn b() { a::a() }")],
        // Through a re-export of the parent, and through a third file.
        &[
            ("p", "mod a;\nmod b;\npub use self::a::A;\npub(super) use b::B;"),
            ("p/a", "use super::B;\npub struct A;"),
            ("p/b", "use crate::p::A;\npub struct B;"),
        ],
        &[
            ("a", "use crate::b::*;\npub const A: B = B;"),
            ("b", "pub struct B;\nfn b() { crate::c::c() }"),
            ("c", "pub(crate) fn c() { let _ = crate::a::A; }"),
        ],
        // A parent and its child, closed by a stranger: over the child, and over the parent.
        &[
            ("p", "mod c;\nuse self::c::C;\npub struct P;"),
            ("p/c", "use crate::x::X;\npub struct C;"),
            ("x", "use crate::p::P;\npub struct X;"),
        ],
        &[
            ("p", "pub mod c;\nuse crate::x::X;\npub struct P;"),
            ("p/c", "use super::P;\npub struct C;"),
            ("x", "use crate::p::c::C;\npub struct X;"),
        ],
        // A module inside a file.
        &[
            ("a", "pub struct A;\nmod inner { fn f() { super::super::b::b() } }"),
            ("b", "pub fn b() -> crate::a::A { crate::a::A }"),
        ],
    ];
    for modules in broken {
        let found = circles_below(&sample(modules), "src/lib.rs");
        assert_eq!(found.len(), 1, "the rule is blind to {modules:?}: {found:?}");
    }
}

#[test]
fn what_is_no_circle_is_let_pass() {
    let sound: [&[(&str, &str)]; 5] = [
        &[("a", "use crate::b::B;\npub struct A;"), ("b", "// use crate::a::A;\npub struct B;")],
        // A parent and its own child.
        &[("p", "mod c;\nuse self::c::C;\npub struct P;"), ("p/c", "use super::P;\npub struct C;")],
        // The children share their parent's items, and one uses the other.
        &[
            ("p", "mod c;\nmod d;\nuse self::c::C;\npub struct P;"),
            ("p/c", "use super::{P, d::D};\npub struct C;"),
            ("p/d", "use super::P;\npub struct D;"),
        ],
        &[
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
        ],
        // Another crate's module of the same name.
        &[("a", "use crate::b::B;\npub struct A;"), ("b", "use other::a::A;\npub struct B;")],
    ];
    for modules in sound {
        let found = circles_below(&sample(modules), "src/lib.rs");
        assert!(found.is_empty(), "the rule sees ghosts in {modules:?}: {found:?}");
    }
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let repository = all();
    let mut complaints = Complaints::new();
    for root in CRATES {
        let uses = ModuleGraph::read(&repository, root).file_uses();
        assert!(uses.len() > 10, "the files of {root} were not found");
        let found = circles(&uses);
        complaints.extend(found);
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
