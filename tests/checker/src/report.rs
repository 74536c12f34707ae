//! Reports: what was run, what was counted, what was found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::check::availability::Availability;
use crate::check::{Verdict, Violation};
use crate::history::{Micros, RunInfo};

/// Violations of one kind that are shown whole.
const SHOWN: usize = 3;
/// Characters of a violation's detail.
const DETAIL: usize = 1_200;

/// The report of a run, as text.
pub fn text_of(info: &RunInfo, verdict: &Verdict, history: Option<&Path>) -> String {
    let mut report = format!("seed {}: {} node(s) on {}\n", info.seed, info.nodes, info.store);
    let counts = verdict.counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>();
    let _text = writeln!(report, "  checked: {}", counts.join(", "));
    let faults = verdict.faults.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>();
    let _text = writeln!(
        report,
        "  faults: {}",
        if faults.is_empty() { "none".to_owned() } else { faults.join(", ") }
    );
    write_availability(&mut report, &verdict.availability);
    let mut kinds: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
    for violation in &verdict.violations {
        kinds.entry(violation.kind).or_default().push(violation);
    }
    for (kind, violations) in &kinds {
        let timed = violations.iter().any(|violation| violation.is_timed());
        let label = if timed { "beyond a bound of time:" } else { "VIOLATION" };
        let _text = writeln!(report, "  {label} {kind}: {}", violations.len());
        for violation in violations.iter().take(SHOWN) {
            let detail: String = violation.detail.chars().take(DETAIL).collect();
            let _text = writeln!(report, "    {detail}");
        }
    }
    if kinds.is_empty() {
        report += "  no violation\n";
    } else {
        let _text = writeln!(report, "  repeat: {}", info.command);
    }
    if let Some(history) = history {
        let _text = writeln!(report, "  check again: just check-history check {}", history.display());
    }
    report
}

fn write_availability(report: &mut String, availability: &Availability) {
    let figures = |figures: &[Micros]| {
        let of = |share| Availability::percentile(figures, share) as f64 / 1_000_000.0;
        format!("{:.2} s p50, {:.2} s p99, of {} accounts", of(0.5), of(0.99), figures.len())
    };
    if availability.kills > 0 {
        let _text = writeln!(report, "  away after kill -9: {}", figures(&availability.after_kill));
    }
    if availability.pauses > 0 {
        let _text = writeln!(report, "  away after SIGSTOP: {}", figures(&availability.after_pause));
    }
    if availability.stops > 0 {
        let (stops, refused) = (availability.stops, availability.refused_at_stop);
        let away = figures(&availability.after_stop);
        let _text =
            writeln!(report, "  after SIGTERM: {refused} answers of 503 in {stops} stops; away {away}");
    }
}
