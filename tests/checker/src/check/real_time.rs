//! Real-time order: an answer to a request that began after a state was acknowledged shows that state, or a newer
//! one; the same ten seconds after the state was seen in any other answer.
//!
//! For each body the instant is computed after which it may not be seen any more: when a newer version of one of
//! its rows, or a row that it lacks, was first acknowledged or seen. Each poll is then one comparison. A 304
//! stands for the body of its tag and is held to the same.

use std::collections::{BTreeSet, HashMap};

use super::Violation;
use super::index::Index;
use crate::history::{Digest, Micros, Poll};

/// When versions were first acknowledged or seen: by row, each version with its instant, both ascending.
type Frontiers<'a> = HashMap<&'a str, Vec<(i64, Micros)>>;
/// Rows by account and prefix of their ids, each with the instant at which it was first known.
type Known<'a> = HashMap<(&'a str, &'a str), Vec<(&'a str, Micros)>>;

/// A held poll is answered at once when something changes; this is what "at once" may take.
const WAKE: Micros = 3_000_000;

/// A commit that is not acknowledged yet shows in one view before it shows in another; within this time it shows
/// in all of them. Longer than any pause of a node, which can fall between the two.
const EVERYWHERE: Micros = 10_000_000;

/// Holds polls against what was acknowledged or seen before them.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    check_within(index, EVERYWHERE)
}

/// How many polls showed an older state than another answer had shown before, acknowledged or not.
pub(super) fn behind_other_views(index: &Index<'_>) -> u64 {
    let behind = check_within(index, 0);
    behind.iter().filter(|violation| ["stale-read", "false-304"].contains(&violation.kind)).count() as u64
}

fn check_within(index: &Index<'_>, everywhere: Micros) -> Vec<Violation> {
    let frontiers = frontiers(index, everywhere);
    let known = known_rows(index, &frontiers);
    let mut limits: HashMap<(Digest, Shape), Option<FreshnessBound>> = HashMap::new();
    let mut violations = Vec::new();
    for poll in &index.polls {
        let Some(body) = poll.b else { continue };
        let shape = shape_of(&poll.q);
        let limit = limits.entry((body, shape));
        let limit = limit.or_insert_with(|| limit_of(index, &frontiers, &known, body, shape));
        violations.extend(limit.as_ref().and_then(|limit| judge(index, poll, limit)));
        if poll.since > 0 {
            violations.extend(skipped(index, &frontiers, &known, poll));
        }
    }
    violations
}

fn judge(index: &Index<'_>, poll: &Poll, limit: &FreshnessBound) -> Option<Violation> {
    if poll.s > limit.until {
        let kind = if poll.st == 304 { "false-304" } else { "stale-read" };
        return Some(Violation::new(kind, format!("{poll:?}: {} since {}", limit.why, limit.until)));
    }
    let late = poll.w > 0 && poll.e > limit.until + WAKE;
    if late && !index.is_disturbed(limit.until, poll.e, index.run.lease + WAKE) {
        let detail = format!("{poll:?}: {} since {}", limit.why, limit.until);
        return Some(Violation::new("held-poll-not-woken", detail));
    }
    None
}

/// What the rows of a list say about rows that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// Every row of the account, unless there is more.
    Whole,
    /// The newest by id: every row with a greater id than the last.
    NewestById,
    /// Nothing.
    Part,
}

fn shape_of(query: &str) -> Shape {
    match query.split_once('?') {
        Some(("conversations" | "contacts", "limit=100")) => Shape::Whole,
        Some(("messages" | "contacts", rest)) if !rest.contains('&') => Shape::NewestById,
        _ => Shape::Part,
    }
}

/// The instant until which a body may be seen, and why no longer.
#[derive(Debug, Clone)]
struct FreshnessBound {
    until: Micros,
    why: String,
}

fn limit_of(
    index: &Index<'_>,
    frontiers: &Frontiers<'_>,
    known: &Known<'_>,
    digest: Digest,
    shape: Shape,
) -> Option<FreshnessBound> {
    let body = index.bodies.get(&digest)?;
    let there: BTreeSet<&str> = index.rows_of(digest).map(|row| row.id.as_str()).collect();
    let replaced = index.rows_of(digest).filter_map(|row| {
        let (at, until) = first_after(frontiers.get(row.id.as_str())?, row.at)?;
        let why = format!("{} was known as of {at} and is shown as of {}", row.id, row.at);
        Some(FreshnessBound { until: *until, why })
    });
    let least = there.first().copied()?;
    let rows = known.get(&(body.a.as_str(), prefix(least))).map_or(&[][..], Vec::as_slice);
    let missing = rows.iter().find(|(id, _)| match shape {
        Shape::Whole => !body.more && !there.contains(id),
        Shape::NewestById => !there.contains(id) && (!body.more || *id > least),
        Shape::Part => false,
    });
    let missing =
        missing.map(|(id, until)| FreshnessBound { until: *until, why: format!("{id} is missing") });
    replaced.chain(missing).min_by_key(|limit| limit.until)
}

/// The first version after an instant, with when it was first known.
fn first_after(versions: &[(i64, Micros)], instant: i64) -> Option<&(i64, Micros)> {
    versions.get(versions.partition_point(|(at, _)| *at <= instant))
}

/// A delta page that is the last one has every row that changed after its instant.
fn skipped(index: &Index<'_>, frontiers: &Frontiers<'_>, known: &Known<'_>, poll: &Poll) -> Vec<Violation> {
    let Some(body) = poll.b.and_then(|digest| index.bodies.get(&digest)) else { return Vec::new() };
    if body.more || poll.q.contains("cursor=") {
        return Vec::new();
    }
    let there: BTreeSet<&str> = index.rows_of(body.d).map(|row| row.id.as_str()).collect();
    let rows = known.get(&(poll.a.as_str(), "cnv")).map_or(&[][..], Vec::as_slice);
    let due = rows.iter().filter(|(id, _)| {
        let known = frontiers.get(id).map_or(&[][..], Vec::as_slice);
        first_after(known, poll.since).is_some_and(|(_, seen)| *seen < poll.s) && !there.contains(id)
    });
    due.map(|(id, _)| Violation::new("delta-skips-row", format!("{poll:?} lacks {id}"))).collect()
}

fn prefix(id: &str) -> &str {
    id.split('_').next().unwrap_or_default()
}

fn known_rows<'a>(index: &Index<'a>, frontiers: &Frontiers<'a>) -> Known<'a> {
    let mut known: Known<'a> = HashMap::new();
    for row in index.rows.values() {
        let Some((_, first)) = frontiers.get(row.id.as_str()).and_then(|versions| versions.first()) else {
            continue;
        };
        known.entry((&row.a, prefix(&row.id))).or_default().push((&row.id, *first));
    }
    for rows in known.values_mut() {
        rows.sort_unstable_by_key(|(id, first)| (*first, *id));
        rows.dedup();
    }
    known
}

fn frontiers<'a>(index: &Index<'a>, everywhere: Micros) -> Frontiers<'a> {
    // The first instant at which each body was answered whole; a 304 tells nothing new.
    let mut bodies: HashMap<Digest, Micros> = HashMap::new();
    for poll in index.polls.iter().filter(|poll| poll.st == 200) {
        let Some(body) = poll.b else { continue };
        let first = bodies.entry(body).or_insert(poll.e);
        *first = (*first).min(poll.e);
    }
    let mut seen: Vec<(&'a str, i64, Micros)> = Vec::new();
    for (body, end) in bodies {
        seen.extend(index.rows_of(body).map(|row| (row.id.as_str(), row.at, end + everywhere)));
    }
    let conversations = conversations(index);
    for write in index.writes.iter().filter(|write| write.is_acknowledged()) {
        let Some(row) = write.r.and_then(|digest| index.rows.get(&digest)) else { continue };
        seen.push((row.id.as_str(), row.at, write.e));
        // A rename and a message change the conversation in the same commit.
        let conversation = match write.op.as_str() {
            "patch_contact" => {
                let known = conversations.get(row.id.as_str());
                known.filter(|(_, first)| *first <= row.at).map(|(conversation, _)| *conversation)
            }
            "send" => Some(row.f.conversation.as_str()),
            _ => None,
        };
        seen.extend(conversation.map(|conversation| (conversation, row.at, write.e)));
    }
    seen.sort_unstable_by_key(|(_, _, end)| *end);
    let mut frontiers: Frontiers<'a> = HashMap::new();
    for (id, at, end) in seen {
        let known = frontiers.entry(id).or_default();
        if known.last().is_none_or(|(last, _)| *last < at) {
            known.push((at, end));
        }
    }
    frontiers
}

/// Conversations by contact, each with its first version: a rename may come before the first message.
fn conversations<'a>(index: &Index<'a>) -> HashMap<&'a str, (&'a str, i64)> {
    let mut conversations: HashMap<&'a str, (&'a str, i64)> = HashMap::new();
    for row in index.rows.values().filter(|row| row.id.starts_with("cnv_")) {
        let (_, first) = conversations.entry(&row.f.contact).or_insert((&row.id, row.at));
        *first = (*first).min(row.at);
    }
    conversations
}
