//! Entity tags: the same tag of the same request never stands for different bytes.

use std::collections::HashMap;

use super::Violation;
use super::index::Index;
use crate::history::Digest;

/// Holds tags against bodies.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut seen: HashMap<(&str, &str, &str), Digest> = HashMap::new();
    let mut violations = Vec::new();
    for poll in index.polls.iter().filter(|poll| poll.st == 200 && !poll.tag.is_empty()) {
        let Some(body) = poll.b else { continue };
        let first = *seen.entry((&poll.a, &poll.q, &poll.tag)).or_insert(body);
        if first != body {
            let detail = format!("{poll:?}: the tag stood for body {first} before");
            violations.push(Violation::new("tag-of-two-bodies", detail));
        }
    }
    violations
}
