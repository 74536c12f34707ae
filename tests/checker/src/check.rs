//! The checks: pure functions from a history to violations.
//!
//! Invariants: a check flags only what the contract forbids, whatever the order in which entries were written. An
//! operation without an answer may have happened or not. Instants are compared on the checker's clock alone.

pub mod availability;
pub mod deliveries;
pub mod directory;
pub mod entity_tags;
pub mod event_log;
pub mod index;
pub mod promptness;
pub mod real_time;
pub mod replicas;
pub mod sends;
pub mod statuses;
pub mod versions;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::history::Entry;
use index::Index;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its kind, e.g. `stale-read`.
    pub kind: &'static str,
    /// The operations involved.
    pub detail: String,
}

impl Violation {
    /// A violation of this kind.
    pub fn new(kind: &'static str, detail: String) -> Self {
        Self { kind, detail }
    }

    /// Whether it is one of [`TIMED`].
    pub fn is_timed(&self) -> bool {
        TIMED.contains(&self.kind)
    }
}

/// Kinds that compare a span with a bound, which a busy machine exceeds without a fault of kabar. They are always
/// reported, and fail a run only when that was asked for.
pub const TIMED: [&str; 7] = [
    "away-too-long",
    "hang",
    "held-poll-not-woken",
    "late-send",
    "refused-at-stop",
    "refused-without-cause",
    "signature-time-wrong",
];

/// What a check has looked at, by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// The outcome of all checks.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What was looked at.
    pub counts: Counts,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Unavailability of accounts after faults.
    pub availability: availability::Availability,
}

/// Holds a history against the model.
pub fn check_history(entries: &[Entry]) -> Verdict {
    let index = Index::build(entries);
    let mut verdict = Verdict { counts: index.counts(), ..Verdict::default() };
    let checks: [fn(&Index<'_>) -> Vec<Violation>; 10] = [
        versions::check,
        real_time::check,
        entity_tags::check,
        replicas::check,
        event_log::check,
        statuses::check,
        sends::check,
        deliveries::check,
        directory::check,
        promptness::check,
    ];
    for check in checks {
        verdict.violations.extend(check(&index));
    }
    for fault in &index.faults {
        *verdict.faults.entry(fault.kind.clone()).or_default() += 1;
    }
    verdict.counts.insert("polls behind another view", real_time::behind_other_views(&index));
    verdict.availability = availability::measure(&index);
    verdict.violations.extend(verdict.availability.violations(index.run.lease));
    verdict
}
