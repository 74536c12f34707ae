//! The one exception to the ban on unsafe code, kept as small as it was granted.
//!
//! A crate cannot take over the workspace's lints and except one. So `plugins/Cargo.toml` repeats the
//! table, and here it is compared.

use super::source::{Source, all, code_of};

/// The lints of a manifest's table, without comments and blank lines.
fn table<'a>(manifest: &'a str, heading: &str) -> Vec<&'a str> {
    let section = manifest.split(&format!("\n[{heading}]\n")).nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn manifest(path: &str) -> String {
    let found = all().into_iter().find(|file| file.path == path);
    found.unwrap_or_else(|| panic!("{path} is not there")).text
}

/// Lines in which unsafe code stands, or is let through.
fn unsafe_lines(file: &Source) -> usize {
    let code = code_of(&file.text);
    code.lines().filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count()
}

#[test]
fn the_plugins_lints_are_the_workspaces_but_for_one() {
    let (root, plugins) = (manifest("Cargo.toml"), manifest("plugins/Cargo.toml"));
    assert_eq!(table(&root, "workspace.lints.clippy"), table(&plugins, "lints.clippy"));
    let rust: Vec<String> = table(&root, "workspace.lints.rust")
        .into_iter()
        .map(|line| line.replace("unsafe_code = \"forbid\"", "unsafe_code = \"deny\""))
        .collect();
    assert_eq!(rust, table(&plugins, "lints.rust"));
    assert!(rust.contains(&"unsafe_code = \"deny\"".to_owned()) && rust.len() > 1);
}

#[test]
fn only_compiled_components_are_trusted() {
    let blind = Source::new("a.rs", "fn a() {\n    unsafe { b() }\n}");
    assert_eq!(unsafe_lines(&blind), 1, "the rule is blind");
    let found: Vec<(String, usize)> = all()
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file.path.clone(), unsafe_lines(file)))
        .filter(|(_, lines)| *lines > 0)
        .collect();
    assert_eq!(found, [("plugins/src/component/version.rs".to_owned(), 1)]);
}
