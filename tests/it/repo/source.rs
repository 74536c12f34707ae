//! Reads the repository as text: which files there are, and what of them is code.
//!
//! Invariant: [`code_of`] keeps every line's number, so a rule can say where. It parses only as
//! much Rust as is needed to tell code from comments and literals; it is not a compiler.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file of the repository.
pub(super) struct Source {
    /// From the repository's root, with `/`.
    pub(super) path: String,
    /// The whole text.
    pub(super) text: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The file's name without its ending.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    pub(super) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|ending| ending == "rs")
    }

    /// Whether the file is the module `room`, or below it; `core/src/store` is `core/src/store.rs`
    /// and all of `core/src/store/`.
    pub(super) fn is_in(&self, room: &str) -> bool {
        self.path.strip_prefix(room).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }
}

/// Every text file that the repository keeps.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // `.git` is a folder in a clone, and a file in a further worktree.
            if matches!(name.as_str(), "target" | "data" | ".git" | "node_modules") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The text with comments and the insides of literals blanked out, line for line.
pub(super) fn code_of(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < signs.len() {
        let end = match (signs[at], signs.get(at + 1)) {
            ('/', Some('/')) => position(&signs, at, |rest| rest[0] == '\n').unwrap_or(signs.len()),
            ('/', Some('*')) => comment_end(&signs, at),
            ('"', _) => literal_end(&signs, at + 1, '"'),
            ('r', Some('"' | '#')) if !follows_name(&signs, at) => raw_end(&signs, at),
            ('\'', Some('\\')) => literal_end(&signs, at + 1, '\''),
            ('\'', Some(_)) if signs.get(at + 2) == Some(&'\'') => at + 3,
            _ => {
                out.push(signs[at]);
                at += 1;
                continue;
            }
        };
        out.extend(signs[at..end].iter().map(|sign| if *sign == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// The crate names at the heads of paths (`sqlx` of `sqlx::query` and of `use sqlx;`), and for
/// `crate` the room below it (`crate::store`), each with its line.
pub(super) fn heads_of(code: &str) -> Vec<(usize, String)> {
    let mut heads = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let trimmed = line.trim_start().trim_start_matches("pub ");
        let used =
            trimmed.strip_prefix("use ").map(|rest| rest.split([';', ' ', ':']).next().unwrap_or_default());
        heads.extend(used.map(|name| (number + 1, name.to_owned())));
        for (at, _) in line.match_indices("::") {
            let start = line[..at].rfind(|sign: char| !is_name(sign)).map_or(0, |before| before + 1);
            let head = &line[start..at];
            if head.is_empty() || line[..start].ends_with("::") {
                continue;
            }
            if head == "crate" {
                let rooms = rooms_of(&line[at + 2..]);
                heads.extend(rooms.into_iter().map(|room| (number + 1, format!("crate::{room}"))));
            } else {
                heads.push((number + 1, head.to_owned()));
            }
        }
    }
    heads
}

/// `store` of `store::X;`, and `ids`, `store` of `{ids::Y, store};`.
fn rooms_of(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|sign| is_name(*sign)).collect::<String>();
    match rest.strip_prefix('{') {
        Some(inner) => inner.split([',', '}']).map(name).filter(|room| !room.is_empty()).collect(),
        None => vec![name(rest)],
    }
}

fn is_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

fn follows_name(signs: &[char], at: usize) -> bool {
    at > 0 && is_name(signs[at - 1]) && signs[at - 1] != 'b'
}

fn position(signs: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..signs.len()).find(|at| found(&signs[*at..]))
}

fn comment_end(signs: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < signs.len() {
        match (signs[at], signs.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    signs.len()
}

fn literal_end(signs: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < signs.len() && signs[at] != quote {
        at += if signs[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(signs.len())
}

fn raw_end(signs: &[char], from: usize) -> usize {
    let marks = signs[from + 1..].iter().take_while(|sign| **sign == '#').count();
    if signs.get(from + 1 + marks) != Some(&'"') {
        // A raw identifier, `r#type`.
        return from + 1;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take(marks).filter(|s| **s == '#').count() == marks
    };
    position(signs, from + 2 + marks, closes).map_or(signs.len(), |at| at + 1 + marks)
}

#[test]
fn code_is_told_from_comments_and_literals() {
    let text =
        "a(\"x // \\\" y\"); // b\n/* c /* d */ e */ f('\"', '\\'', r#\"g\"h\"#, &'static str);\nr#type";
    let code = code_of(text);
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a(", ");", "f(", ",", ",", ",", "&'static", "str);", "#type"]);
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn heads_are_the_first_names_of_paths() {
    let code = "use sqlx;\npub use poem::{web::Json};\nlet x = std::fs::read(crate::store::Row);\n\
        use crate::{ids::A, meta};\n<tokio::Sender as A>::b()";
    let heads: Vec<String> = heads_of(code).into_iter().map(|(_, head)| head).collect();
    for wanted in ["sqlx", "poem", "std", "crate::store", "crate::ids", "crate::meta", "tokio"] {
        assert!(heads.iter().any(|head| head == wanted), "{wanted} in {heads:?}");
    }
    assert!(!heads.iter().any(|head| head == "fs"), "{heads:?}");
}
