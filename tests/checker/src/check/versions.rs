//! Row versions: one `updated_at` of a row is one state of it, pages are whole, and no rename is undone.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Violation;
use super::index::Index;
use crate::history::{Row, Write};

/// Versions of each row, by `updated_at`.
pub(super) type Versions<'a> = HashMap<&'a str, BTreeMap<i64, &'a Row>>;

/// Groups row versions by row. Of two states of one instant the one that a GET showed counts: two changes of one row
/// in one commit have one instant, and the answer to the first one shows the state between them.
pub(super) fn group<'a>(index: &Index<'a>) -> Versions<'a> {
    let mut versions: Versions<'a> = HashMap::new();
    for row in shown(index).chain(index.rows.values().copied()) {
        versions.entry(&row.id).or_default().entry(row.at).or_insert(row);
    }
    versions
}

/// The rows that GETs showed, some of them several times.
fn shown<'a>(index: &Index<'a>) -> impl Iterator<Item = &'a Row> {
    let rows = index.bodies.values().flat_map(|body| body.rows.iter());
    rows.filter_map(|digest| index.rows.get(digest).copied())
}

/// Holds rows and pages against each other.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = two_states(index);
    let versions = group(index);
    violations.extend(torn_pages(index, &versions));
    violations.extend(undone_renames(index, &versions));
    violations
}

fn two_states(index: &Index<'_>) -> Vec<Violation> {
    let mut seen: HashMap<(&str, i64), &Row> = HashMap::new();
    let mut violations = Vec::new();
    for row in shown(index) {
        let other = seen.entry((&row.id, row.at)).or_insert(row);
        if other.d != row.d {
            let (id, at) = (&row.id, row.at);
            let detail = format!("{id} at {at} is both {:?} and {:?}", other.f, row.f);
            violations.push(Violation::new("two-states-of-one-version", detail));
        }
    }
    violations
}

/// A page shows one commit: beside a row of instant M no other row may show a version that an instant up to M
/// had replaced.
fn torn_pages(index: &Index<'_>, versions: &Versions<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for body in index.bodies.values() {
        let Some(newest) = index.rows_of(body.d).map(|row| row.at).max() else { continue };
        for row in index.rows_of(body.d) {
            let known = versions.get(row.id.as_str());
            if let Some((at, _)) =
                known.and_then(|known| known.range(row.at + 1..).next()).filter(|(at, _)| **at <= newest)
            {
                let (id, shown) = (&row.id, row.at);
                let detail =
                    format!("a page as of {newest} shows {id} as of {shown}, which {at} had replaced");
                violations.push(Violation::new("torn-page", detail));
                break;
            }
        }
    }
    violations
}

/// Between two acknowledged renames a contact has the name of the first, or one of a rename without an answer.
fn undone_renames(index: &Index<'_>, versions: &Versions<'_>) -> Vec<Violation> {
    let mut renames: HashMap<&str, BTreeMap<i64, Vec<&Write>>> = HashMap::new();
    let mut unknown: HashSet<(&str, &str)> = HashSet::new();
    let mut violations = Vec::new();
    for write in index.writes.iter().filter(|write| write.op == "patch_contact") {
        match write.r.and_then(|digest| index.rows.get(&digest)) {
            Some(row) if write.is_acknowledged() => {
                if row.f.name != write.v {
                    let detail = format!("answered with {:?}: {write:?}", row.f.name);
                    violations.push(Violation::new("write-without-effect", detail));
                }
                renames.entry(&write.on).or_default().entry(row.at).or_default().push(write);
            }
            _ if write.is_unknown() => _ = unknown.insert((&write.on, &write.v)),
            _ => {}
        }
    }
    for (contact, renames) in &renames {
        let Some(versions) = versions.get(contact) else { continue };
        for (at, row) in versions {
            let Some((_, last)) = renames.range(..=at).next_back() else { continue };
            let is_last = last.iter().any(|write| row.f.name == write.v);
            if !is_last && !unknown.contains(&(*contact, row.f.name.as_str())) {
                let detail = format!("{contact} as of {at} has the name {:?} after {last:?}", row.f.name);
                violations.push(Violation::new("lost-write", detail));
            }
        }
    }
    violations
}
