//! Statuses of messages: they move up the ladder only, and none that was acknowledged is lost.

use std::collections::HashMap;

use super::Violation;
use super::index::Index;
use super::versions::group;

/// Holds the versions of messages against the ladder, and against WhatsApp's acknowledged reports.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut last: HashMap<&str, u8> = HashMap::new();
    for (id, versions) in group(index) {
        if !id.starts_with("msg_") {
            continue;
        }
        let mut before = (0, "");
        for row in versions.values() {
            let rank = rank(&row.f.status);
            if rank < before.0 {
                let detail = format!("{id} went from {} to {} at {}", before.1, row.f.status, row.at);
                violations.push(Violation::new("status-reversed", detail));
            }
            before = (rank, &row.f.status);
        }
        last.insert(id, before.0);
    }
    // Only what was looked at when all was quiet can show a loss.
    let listed = index.finals.iter().filter(|last| last.list == "messages").flat_map(|last| &last.rows);
    let finals: HashMap<&str, u8> = listed
        .filter_map(|digest| index.rows.get(digest))
        .map(|row| (row.id.as_str(), rank(&row.f.status)))
        .collect();
    for item in index.inbound.iter().filter(|item| item.st == 200 && item.what != "message") {
        let Some(shown) = finals.get(item.id.as_str()) else { continue };
        if *shown < rank(&item.what) {
            violations.push(Violation::new("status-lost", format!("{item:?}")));
        }
    }
    violations
}

/// The place on the ladder; `failed` yields to `delivered` and `read`.
fn rank(status: &str) -> u8 {
    match status {
        "sent" => 1,
        "failed" => 2,
        "delivered" => 3,
        "read" => 4,
        _ => 0,
    }
}
