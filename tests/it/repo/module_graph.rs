//! The modules of a crate and the names that each takes from another, read from the sources as text.
//!
//! Invariants: a name counts for the file that defines it, however many `use` and `pub use` lie between. Code
//! under `#[cfg(test)]` is left out. A name that cannot be resolved inside the crate belongs to another crate.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use super::source::{Source, code_of};

/// A path of names, as `["crate", "store", "Store"]`.
type NamePath = Vec<String>;

/// Meaning of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// A module, by its path below the crate.
    Module(String),
    /// An item, and the module that defines it.
    Item(String, String),
}

/// One module of a crate: a file, or a block inside a file.
#[derive(Debug, Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    /// Names that a `use` brings in, with the paths that they stand for.
    imports: BTreeMap<String, NamePath>,
    globs: Vec<NamePath>,
    /// Paths in code.
    paths: Vec<NamePath>,
    /// Files of child modules that are still to be read.
    children: Vec<String>,
}

/// The modules of one crate, by their paths below it (`store::row`; the root is empty).
#[derive(Debug, Default)]
pub(super) struct ModuleGraph {
    modules: BTreeMap<String, Module>,
}

/// The names that one file takes from another: `uses[file][other]`.
pub(super) type FileUses = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

impl ModuleGraph {
    /// Reads the crate whose root is this file.
    pub(super) fn read(repository: &[Source], root: &str) -> Self {
        let sources: BTreeMap<&str, &str> =
            repository.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let mut graph = Self::default();
        let mut open = vec![(String::new(), root.to_owned(), folder)];
        while let Some((path, file, folder)) = open.pop() {
            let Some(text) = sources.get(file.as_str()) else { continue };
            let mut reader =
                ModuleReader { tokens: tokens_of(&code_of(text)), at: 0, file, modules: Vec::new() };
            reader.read_module(path.clone());
            for (inner, module) in reader.modules {
                for child in &module.children {
                    let below = inner.strip_prefix(path.as_str()).unwrap_or_default().replace("::", "/");
                    let below = format!("{folder}/{}", below.trim_matches('/'));
                    let place = format!("{}/{child}", below.trim_end_matches('/'));
                    open.push((joined(&inner, child), format!("{place}.rs"), place));
                }
                graph.modules.insert(inner, module);
            }
        }
        graph
    }

    /// The names that each file takes from the others of its crate.
    pub(super) fn file_uses(&self) -> FileUses {
        let mut uses = FileUses::new();
        for (path, module) in &self.modules {
            let named = module.imports.values().chain(&module.paths);
            let items = named.filter_map(|names| match self.resolve(path, names, 0)? {
                Target::Item(definer, name) => Some((definer, name)),
                Target::Module(_) => None,
            });
            let globs = module.globs.iter().filter_map(|names| match self.resolve(path, names, 0)? {
                Target::Module(target) => Some((target, "*".to_owned())),
                Target::Item(definer, name) => Some((definer, name)),
            });
            for (definer, name) in items.chain(globs) {
                let other = &self.modules[&definer].file;
                if *other != module.file {
                    let files = uses.entry(module.file.clone()).or_default();
                    files.entry(other.clone()).or_default().insert(name);
                }
            }
        }
        uses
    }

    /// Follows a path from a module. `None`: it leads to another crate.
    fn resolve(&self, from: &str, names: &[String], depth: u8) -> Option<Target> {
        // Two modules may import from each other with `*`.
        if depth > 24 {
            return None;
        }
        let mut target = Target::Module(from.to_owned());
        for (position, name) in names.iter().enumerate() {
            let Target::Module(module) = &target else { return Some(target) };
            target = match (position, name.as_str()) {
                (0, "crate") => Target::Module(String::new()),
                (_, "self") => target.clone(),
                (_, "super") => Target::Module(parent_of(module).to_owned()),
                _ => self.lookup(module, name, depth)?,
            };
        }
        Some(target)
    }

    /// Meaning of a name in a module.
    fn lookup(&self, module: &str, name: &str, depth: u8) -> Option<Target> {
        let known = self.modules.get(module)?;
        let child = joined(module, name);
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        if known.items.contains(name) {
            return Some(Target::Item(module.to_owned(), name.to_owned()));
        }
        if let Some(names) = known.imports.get(name) {
            // `use serde;` in a module without a child of that name is another crate.
            let is_foreign = names.len() == 1 && names[0] == name;
            return if is_foreign { None } else { self.resolve(module, names, depth + 1) };
        }
        known.globs.iter().find_map(|names| match self.resolve(module, names, depth + 1)? {
            Target::Module(target) if target != module => self.lookup(&target, name, depth + 1),
            Target::Module(_) | Target::Item(..) => None,
        })
    }
}

/// Reads one file's modules from its tokens.
struct ModuleReader {
    tokens: Vec<String>,
    at: usize,
    file: String,
    modules: Vec<(String, Module)>,
}

impl ModuleReader {
    fn read_module(&mut self, path: String) {
        let mut module = Module { file: self.file.clone(), ..Module::default() };
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.token(0) {
                "#" if self.is_test_attribute() => self.skip_item(),
                "use" => {
                    self.at += 1;
                    self.read_use(&mut module, &[]);
                }
                "mod" if self.token(2) == "{" => {
                    let child = joined(&path, self.token(1));
                    self.at += 3;
                    self.read_module(child);
                }
                "mod" if self.token(2) == ";" => {
                    module.children.push(self.token(1).to_owned());
                    self.at += 3;
                }
                "{" => (depth, self.at) = (depth + 1, self.at + 1),
                "}" if depth == 0 => {
                    self.at += 1;
                    break;
                }
                "}" => (depth, self.at) = (depth - 1, self.at + 1),
                keyword if depth == 0 && is_definition(keyword) => self.read_definition(&mut module),
                token if is_name(token) => self.read_path(&mut module),
                _ => self.at += 1,
            }
        }
        self.modules.push((path, module));
    }

    fn token(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn is_test_attribute(&self) -> bool {
        ["#", "[", "cfg", "(", "test", ")", "]"].iter().enumerate().all(|(n, token)| self.token(n) == *token)
    }

    /// Skips an attribute and the item below it.
    fn skip_item(&mut self) {
        let mut depth = 0;
        self.at += 7;
        while self.at < self.tokens.len() {
            let token = self.token(0).to_owned();
            self.at += 1;
            match token.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth < 0 {
                // The last field of a struct has no end of its own.
                self.at -= 1;
                return;
            }
            if depth == 0 && matches!(token.as_str(), ";" | "}" | ",") {
                return;
            }
        }
    }

    /// Reads the rest of a `use`, or of a group in one.
    fn read_use(&mut self, module: &mut Module, prefix: &[String]) {
        let mut names = prefix.to_vec();
        while self.at < self.tokens.len() {
            let token = self.token(0).to_owned();
            self.at += 1;
            match token.as_str() {
                "{" => {
                    self.read_use(module, &names);
                    names.clear();
                }
                "*" => module.globs.push(std::mem::take(&mut names)),
                "as" => {
                    let name = self.token(0).to_owned();
                    module.imports.insert(name, std::mem::take(&mut names));
                    self.at += 1;
                }
                "," | "}" | ";" => {
                    add_import(module, std::mem::take(&mut names), prefix.len());
                    if token != "," {
                        return;
                    }
                    names = prefix.to_vec();
                }
                name if is_name(name) => names.push(token),
                _ => {}
            }
        }
    }

    /// Notes the name behind `struct`, `fn` and their like.
    fn read_definition(&mut self, module: &mut Module) {
        let ahead = if self.token(1) == "!" { 2 } else { 1 };
        let name = self.token(ahead).to_owned();
        // `const fn` and `type` in a pattern name nothing by themselves.
        if is_name(&name) && !is_definition(&name) {
            module.items.insert(name);
            self.at += ahead;
        }
        self.at += 1;
    }

    fn read_path(&mut self, module: &mut Module) {
        let is_member = self.at > 0 && matches!(self.tokens[self.at - 1].as_str(), "." | "::");
        let mut names = vec![self.token(0).to_owned()];
        self.at += 1;
        while self.token(0) == "::" && is_name(self.token(1)) {
            names.push(self.token(1).to_owned());
            self.at += 2;
        }
        if names.len() > 1 && !is_member {
            module.paths.push(names);
        }
    }
}

fn add_import(module: &mut Module, mut names: NamePath, prefix: usize) {
    if names.last().is_some_and(|name| name == "self") && names.len() > 1 {
        names.pop();
    } else if names.len() <= prefix {
        return;
    }
    if let Some(name) = names.last().cloned() {
        module.imports.insert(name, names);
    }
}

fn joined(path: &str, name: &str) -> String {
    once(path).filter(|path| !path.is_empty()).chain(once(name)).collect::<Vec<_>>().join("::")
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn is_definition(keyword: &str) -> bool {
    const KEYWORDS: [&str; 9] =
        ["const", "enum", "fn", "macro_rules", "static", "struct", "trait", "type", "union"];
    KEYWORDS.contains(&keyword)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// Names, `::`, and single signs.
fn tokens_of(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut signs = code.chars().peekable();
    while let Some(sign) = signs.next() {
        let mut token = String::from(sign);
        if sign.is_alphanumeric() || sign == '_' {
            while let Some(next) = signs.next_if(|next| next.is_alphanumeric() || *next == '_') {
                token.push(next);
            }
        } else if sign == ':' && signs.next_if_eq(&':').is_some() {
            token.push(':');
        }
        if !sign.is_whitespace() {
            tokens.push(token);
        }
    }
    tokens
}
