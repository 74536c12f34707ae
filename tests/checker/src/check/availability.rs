//! Unavailability: how long an account's requests failed or stood after its node died, and refusals after a node
//! was told to stop.

use std::collections::{HashMap, HashSet};

use super::Violation;
use super::index::Index;
use crate::history::Micros;

/// Longest time, beside the lease, until an account whose node died is served again.
const BESIDE_LEASE: Micros = 1_000_000;

/// A successful request that took longer stood in the way of an account that was away.
const STOOD: Micros = 1_000_000;
/// How long after a fault its effects are looked for, beside the lease.
const AFTER: Micros = 10_000_000;

/// The figures of a run.
#[derive(Debug, Default, Clone)]
pub struct Availability {
    /// After each `kill -9`, for each account that was away: for how long, ascending.
    pub after_kill: Vec<Micros>,
    /// The same after each SIGSTOP for longer than the lease: to the others the node is dead, and cannot be proven to
    /// be, as one that is killed on the same machine can.
    pub after_pause: Vec<Micros>,
    /// The same after each SIGTERM.
    pub after_stop: Vec<Micros>,
    /// Answers of 503 while a node stopped.
    pub refused_at_stop: u64,
    /// Stops.
    pub stops: u64,
    /// Kills.
    pub kills: u64,
    /// Such pauses.
    pub pauses: u64,
}

impl Availability {
    /// The value below which this share of the figures lies.
    pub fn percentile(figures: &[Micros], share: f64) -> Micros {
        let nth = ((figures.len() as f64 * share).ceil() as usize).clamp(1, figures.len().max(1));
        figures.get(nth - 1).copied().unwrap_or_default()
    }

    /// Violations of the promised bounds: none is refused because of a stop, and an account is away for the lease and
    /// a second (99th percentile).
    pub(super) fn violations(&self, lease: Micros) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.refused_at_stop > 0 {
            let detail = format!("{} answers of 503 in {} stops", self.refused_at_stop, self.stops);
            violations.push(Violation::new("refused-at-stop", detail));
        }
        for (fault, figures) in [("kill -9", &self.after_kill), ("SIGSTOP", &self.after_pause)] {
            let away = Self::percentile(figures, 0.99);
            if away > lease + BESIDE_LEASE {
                let detail = format!("{away} µs after {fault}, of {} accounts", figures.len());
                violations.push(Violation::new("away-too-long", detail));
            }
        }
        violations
    }
}

/// Measures what clients saw at the nodes that were not hit: from the fault to the last failed or slow answer before
/// the first prompt one. Faults beside which another one ran are left out.
pub(super) fn measure(index: &Index<'_>) -> Availability {
    let mut availability = Availability::default();
    let mut requests: Vec<(&str, usize, Micros, Micros, u16)> = Vec::new();
    let polls = index.polls.iter().filter(|poll| poll.w == 0);
    requests.extend(polls.map(|poll| (poll.a.as_str(), poll.n, poll.s, poll.e, poll.st)));
    let writes = index.writes.iter().filter(|write| !write.a.is_empty());
    requests.extend(writes.map(|write| (write.a.as_str(), write.n, write.s, write.e, write.st)));
    requests.sort_unstable_by_key(|(_, _, s, _, _)| *s);
    let is_measured = |kind: &str| kind == "kill" || kind == "pause-long" || kind.starts_with("stop");
    for fault in index.faults.iter().filter(|fault| is_measured(&fault.kind)) {
        // What is seen after the next fault may be its effect.
        let next = index.faults.iter().map(|other| other.s).filter(|start| *start > fault.s).min();
        let until = (fault.s + index.run.lease + AFTER).min(next.unwrap_or(Micros::MAX));
        let alone = index
            .faults
            .iter()
            .all(|other| std::ptr::eq(*other, *fault) || other.s > fault.e || other.e < fault.s);
        let from = requests.partition_point(|(_, _, s, _, _)| *s < fault.s);
        let mut away: HashMap<&str, Micros> = HashMap::new();
        let mut back: HashSet<&str> = HashSet::new();
        let mut refused = 0;
        for (account, node, s, e, st) in requests[from..].iter().take_while(|(_, _, s, _, _)| *s < until) {
            let failed = *st == 0 || *st >= 500;
            refused += u64::from(*st == 503 && Some(*node) != fault.n);
            if Some(*node) == fault.n || *e >= until || back.contains(account) {
                continue;
            }
            if failed || e - s > STOOD {
                let last = away.entry(account).or_default();
                *last = (*last).max(e - fault.s);
            } else if *st < 400 && away.contains_key(account) {
                // Later slowness has another reason.
                back.insert(*account);
            }
        }
        let away = away.into_values().filter(|_| alone);
        if fault.kind == "kill" {
            availability.kills += 1;
            availability.after_kill.extend(away);
        } else if fault.kind == "pause-long" {
            availability.pauses += 1;
            availability.after_pause.extend(away);
        } else {
            availability.stops += 1;
            availability.refused_at_stop += if alone { refused } else { 0 };
            availability.after_stop.extend(away);
        }
    }
    availability.after_pause.sort_unstable();
    availability.after_kill.sort_unstable();
    availability.after_stop.sort_unstable();
    availability
}
