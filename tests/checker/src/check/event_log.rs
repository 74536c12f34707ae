//! The event log: gapless from 1, in order, the same at all nodes, never changed, and complete.

use std::collections::{HashMap, HashSet};

use super::Violation;
use super::index::Index;
use super::versions;
use crate::history::{LogPart, Micros};

/// Holds logs against each other and against acknowledged writes.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = changed_events(index);
    for part in index.logs.iter().filter(|part| part.st == 200 && part.count > 0) {
        if !is_gapless(part) {
            violations.push(Violation::new("gap-in-log", format!("{part:?}")));
        }
    }
    violations.extend(stale_logs(index));
    violations.extend(missing_events(index));
    violations
}

const fn is_gapless(part: &LogPart) -> bool {
    part.ordered && part.first == part.after + 1 && part.last == part.after + part.count
}

fn changed_events(index: &Index<'_>) -> Vec<Violation> {
    let mut seen: HashMap<(&str, i64), u64> = HashMap::new();
    let mut violations = Vec::new();
    for event in &index.events {
        if *seen.entry((&event.a, event.seq)).or_insert(event.d) != event.d {
            let detail = format!("event {} of {} has other bytes: {event:?}", event.seq, event.a);
            violations.push(Violation::new("event-changed", detail));
        }
    }
    violations
}

/// A log that is read to its end ends no earlier than another one did before that read began.
fn stale_logs(index: &Index<'_>) -> Vec<Violation> {
    let mut ends: HashMap<&str, Vec<(Micros, i64)>> = HashMap::new();
    for part in index.logs.iter().filter(|part| part.st == 200) {
        ends.entry(&part.a).or_default().push((part.e, part.last.max(part.seen)));
    }
    for ends in ends.values_mut() {
        ends.sort_unstable();
        let mut most = 0;
        for (_, seen) in ends.iter_mut() {
            most = most.max(*seen);
            *seen = most;
        }
    }
    let mut violations = Vec::new();
    for part in index.logs.iter().filter(|part| part.st == 200 && !part.stream && !part.more) {
        let ends = &ends[part.a.as_str()];
        let before = ends.partition_point(|(end, _)| *end < part.s);
        let known = before.checked_sub(1).map_or(0, |last| ends[last].1);
        if part.seen.max(part.after) < known {
            let detail = format!("{part:?}: event {known} was seen before");
            violations.push(Violation::new("stale-log", detail));
        }
    }
    violations
}

/// Every acknowledged change has an event, and the log that was read has every number.
fn missing_events(index: &Index<'_>) -> Vec<Violation> {
    let mut told: HashSet<(&str, i64)> = HashSet::new();
    let mut numbers: HashMap<&str, HashSet<i64>> = HashMap::new();
    for event in &index.events {
        told.insert((&event.row, event.at));
        numbers.entry(&event.a).or_default().insert(event.seq);
    }
    let mut violations = Vec::new();
    for (account, numbers) in &numbers {
        let most = numbers.iter().max().copied().unwrap_or_default();
        if most != numbers.len() as i64 {
            let missing: Vec<i64> = (1..=most).filter(|number| !numbers.contains(number)).take(5).collect();
            let detail = format!("{account}: {missing:?} of {most} were never seen");
            violations.push(Violation::new("gap-in-log", detail));
        }
    }
    let versions = versions::group(index);
    // Of the other accounts only what was delivered is known, and the last of it may be on its way.
    let read: HashSet<&str> = index.logs.iter().map(|part| part.a.as_str()).collect();
    let instants: HashSet<(&str, i64)> =
        index.events.iter().map(|event| (event.a.as_str(), event.at)).collect();
    for write in index.writes.iter().filter(|write| write.is_acknowledged() && is_change(&write.op)) {
        let Some(row) = write.r.and_then(|digest| index.rows.get(&digest)) else { continue };
        // A PATCH of what is so already changes nothing, and answers with what the last change left.
        let before = versions[row.id.as_str()].range(..row.at).next_back();
        let same = write.op == "patch_conversation"
            && (before.is_none_or(|(_, before)| {
                (&before.f.status, &before.f.text) == (&row.f.status, &row.f.text)
            }) || instants.contains(&(row.a.as_str(), row.at)));
        if read.contains(write.a.as_str()) && !same && !told.contains(&(row.id.as_str(), row.at)) {
            violations.push(Violation::new("change-without-event", format!("{write:?} at {}", row.at)));
        }
    }
    violations
}

fn is_change(op: &str) -> bool {
    ["patch_contact", "patch_conversation", "create_contact", "send"].contains(&op)
}
