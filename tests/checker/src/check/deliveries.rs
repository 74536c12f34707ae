//! Webhook deliveries: each event of the log at least once, in order per contact, with the same ids and bytes each
//! time; what is replayed comes again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::index::Index;
use crate::history::{Delivery, Micros};

/// How far the time of a signature may be from the receiver's: seconds on the way, and the resolution.
const CLOCK_SECONDS: i64 = 6;
/// The subscription that gets every event.
pub const FOLLOWED: &str = "all";
/// How long after a clock was set back to right a node may take to follow.
const FOLLOW: Micros = 10_000_000;

/// Holds requests at the receiver against the log.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_subscription: BTreeMap<(&str, &str), Vec<&Delivery>> = BTreeMap::new();
    for delivery in &index.deliveries {
        by_subscription.entry((&delivery.sub, &delivery.a)).or_default().push(delivery);
        if !delivery.signed {
            violations.push(Violation::new("signature-wrong", format!("{delivery:?}")));
        }
        violations.extend(wrong_time(index, delivery));
    }
    for deliveries in by_subscription.values() {
        violations.extend(other_ids(deliveries));
        violations.extend(out_of_order(deliveries));
    }
    violations.extend(missing(index, &by_subscription));
    violations.extend(lost_replays(index));
    violations
}

fn wrong_time(index: &Index<'_>, delivery: &Delivery) -> Option<Violation> {
    let clock = index.faults.iter().any(|fault| {
        let late = ["clock", "pause"].iter().any(|kind| fault.kind.starts_with(kind));
        (late || fault.kind.ends_with("-receiver")) && fault.s <= delivery.s && delivery.s <= fault.e + FOLLOW
    });
    let now = (index.run.wall_ms + delivery.s as i64 / 1000) / 1000;
    let off = (now - delivery.t).abs();
    // A request that a held link brings late is as old as the hold.
    if clock || off <= CLOCK_SECONDS || index.is_disturbed(delivery.s, delivery.s, FOLLOW) {
        return None;
    }
    Some(Violation::new("signature-time-wrong", format!("{off} s off: {delivery:?}")))
}

fn other_ids(deliveries: &[&Delivery]) -> Vec<Violation> {
    let mut seen: HashMap<i64, &Delivery> = HashMap::new();
    let mut violations = Vec::new();
    for delivery in deliveries {
        let first = seen.entry(delivery.seq).or_insert(delivery);
        if (&first.event, &first.delivery, first.d) != (&delivery.event, &delivery.delivery, delivery.d) {
            violations.push(Violation::new("delivery-changed", format!("{first:?}, then {delivery:?}")));
        }
    }
    violations
}

/// The first request of an event comes after every earlier event of its contact was taken.
fn out_of_order(deliveries: &[&Delivery]) -> Vec<Violation> {
    let mut newest: HashMap<&str, &Delivery> = HashMap::new();
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    let mut violations = Vec::new();
    for delivery in deliveries {
        if !seen.insert(delivery.seq) {
            continue;
        }
        let before = newest.entry(&delivery.contact).or_insert(delivery);
        if before.seq > delivery.seq {
            let detail = format!("{delivery:?} came after {before:?}");
            violations.push(Violation::new("delivery-out-of-order", detail));
        } else {
            *before = delivery;
        }
    }
    violations
}

fn missing(index: &Index<'_>, deliveries: &BTreeMap<(&str, &str), Vec<&Delivery>>) -> Vec<Violation> {
    if index.quiet.is_none() {
        return Vec::new();
    }
    let mut logs: HashMap<&str, BTreeSet<i64>> = HashMap::new();
    for event in &index.events {
        logs.entry(&event.a).or_default().insert(event.seq);
    }
    let mut violations = Vec::new();
    // Another one is paused, and may get what came before that was known everywhere.
    for ((sub, account), deliveries) in deliveries.iter().filter(|((sub, _), _)| *sub == FOLLOWED) {
        let told: BTreeSet<i64> = deliveries.iter().map(|delivery| delivery.seq).collect();
        let first = told.first().copied().unwrap_or_default();
        let due = logs.get(account).map(|log| log.range(first..).copied().collect::<Vec<_>>());
        let missing: Vec<i64> =
            due.unwrap_or_default().into_iter().filter(|seq| !told.contains(seq)).collect();
        if !missing.is_empty() {
            let (count, some) = (missing.len(), &missing[..missing.len().min(5)]);
            let detail = format!("{count} events of {account} never came to {sub}: {some:?}");
            violations.push(Violation::new("event-not-delivered", detail));
        }
    }
    violations
}

/// A replay that was acknowledged brings the delivery again after it was asked for.
fn lost_replays(index: &Index<'_>) -> Vec<Violation> {
    let mut last: HashMap<&str, Micros> = HashMap::new();
    for delivery in &index.deliveries {
        let latest = last.entry(&delivery.delivery).or_insert(delivery.s);
        *latest = (*latest).max(delivery.s);
    }
    let replays = index.writes.iter().filter(|write| write.op == "replay" && write.is_acknowledged());
    replays
        .filter(|write| last.get(write.on.as_str()).is_none_or(|latest| *latest < write.s))
        .map(|write| Violation::new("replay-without-delivery", format!("{write:?}")))
        .collect()
}
