//! Replicas and lists in the end: all nodes and all delta clients hold the same rows, with nothing missing.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Violation;
use super::index::Index;
use crate::history::{Digest, Row};

/// Holds replicas, lists of nodes and acknowledged webhooks against each other.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut lists: BTreeMap<(&str, &str), (usize, HashSet<Digest>)> = BTreeMap::new();
    let mut violations = Vec::new();
    for last in &index.finals {
        let rows: HashSet<Digest> = last.rows.iter().copied().collect();
        let (node, first) = lists.entry((&last.a, &last.list)).or_insert_with(|| (last.n, rows.clone()));
        if *first != rows {
            let detail = format!(
                "{} of {}: nodes {node} and {} differ in {}",
                last.list,
                last.a,
                last.n,
                difference(index, first, &rows)
            );
            violations.push(Violation::new("nodes-differ", detail));
        }
    }
    for replica in &index.replicas {
        let Some((_, list)) = lists.get(&(replica.a.as_str(), "conversations")) else { continue };
        let rows: HashSet<Digest> = replica.rows.iter().copied().collect();
        if *list != rows {
            let differing = difference(index, list, &rows);
            let detail = format!("client {} of {} differs in {differing}", replica.c, replica.a);
            violations.push(Violation::new("replica-differs", detail));
        }
    }
    violations.extend(lost_messages(index, &lists));
    violations.extend(wrong_unread(index, &lists));
    violations
}

fn difference(index: &Index<'_>, one: &HashSet<Digest>, other: &HashSet<Digest>) -> String {
    let rows: Vec<String> = one
        .symmetric_difference(other)
        .take(6)
        .filter_map(|digest| index.rows.get(digest))
        .map(|row| format!("{} as of {}", row.id, row.at))
        .collect();
    rows.join(", ")
}

type Lists<'a> = BTreeMap<(&'a str, &'a str), (usize, HashSet<Digest>)>;

/// The rows of one list of each account that it was read of.
fn rows_of_lists<'a>(
    index: &Index<'a>,
    lists: &Lists<'a>,
    name: &str,
) -> impl Iterator<Item = (&'a str, Vec<&'a Row>)> {
    lists.iter().filter(move |((_, list), _)| *list == name).map(|((account, _), (_, rows))| {
        (*account, rows.iter().filter_map(|digest| index.rows.get(digest).copied()).collect())
    })
}

/// Every message whose webhook was answered 200, and every send that was acknowledged, is there once.
fn lost_messages(index: &Index<'_>, lists: &Lists<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    let mut ids: HashSet<&str> = HashSet::new();
    let mut accounts: HashSet<&str> = HashSet::new();
    for (account, rows) in rows_of_lists(index, lists, "messages") {
        accounts.insert(account);
        for row in rows {
            ids.insert(&row.id);
            if row.f.direction.starts_with("inbound") {
                *counts.entry((account, &row.f.wamid)).or_default() += 1;
            }
        }
    }
    for item in index.inbound.iter().filter(|item| item.what == "message" && item.st == 200) {
        let is_listed = accounts.contains(item.a.as_str());
        let count = counts.get(&(item.a.as_str(), item.wamid.as_str())).copied().unwrap_or_default();
        if is_listed && count != 1 {
            violations.push(Violation::new("inbound-message-lost", format!("{count} of {item:?}")));
        }
    }
    for write in index.writes.iter().filter(|write| write.op == "send" && write.is_acknowledged()) {
        if accounts.contains(write.a.as_str()) && !ids.contains(write.id.as_str()) {
            violations.push(Violation::new("lost-write", format!("the message is not listed: {write:?}")));
        }
    }
    violations
}

/// `unread_count` is the number of unread messages, and marking as read covers earlier ones.
fn wrong_unread(index: &Index<'_>, lists: &Lists<'_>) -> Vec<Violation> {
    let mut unread: HashMap<&str, i64> = HashMap::new();
    let mut accounts: HashSet<&str> = HashSet::new();
    for (account, rows) in rows_of_lists(index, lists, "messages") {
        accounts.insert(account);
        for row in rows {
            if row.f.direction.starts_with("inbound") && row.f.status == "received" {
                *unread.entry(&row.f.conversation).or_default() += 1;
            }
        }
    }
    let mut violations = Vec::new();
    for (account, rows) in rows_of_lists(index, lists, "conversations") {
        if !accounts.contains(account) {
            continue;
        }
        for row in rows {
            let counted = unread.get(row.id.as_str()).copied().unwrap_or_default();
            if row.f.unread.is_some_and(|shown| shown != counted) {
                let detail = format!("{} shows {:?}, {counted} messages are unread", row.id, row.f.unread);
                violations.push(Violation::new("unread-count-wrong", detail));
            }
        }
    }
    violations
}
