//! What owners and operators write: registers with unique values, and keys that are revoked.

use std::collections::HashMap;

use super::Violation;
use super::index::Index;
use crate::history::{Micros, Write};

/// A revoked key fails everywhere within this time.
const REVOKED: Micros = 1_000_000;

/// Holds reads of registers and uses of revoked keys against what was acknowledged.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = overwritten(index);
    let revoked: HashMap<&str, Micros> = index
        .writes
        .iter()
        .filter(|write| write.op == "revoke_key" && write.is_acknowledged())
        .map(|write| (write.on.as_str(), write.e))
        .collect();
    for key_use in index.key_uses.iter().filter(|key_use| key_use.st == 200) {
        let Some(end) = revoked.get(key_use.key.as_str()) else { continue };
        if key_use.s > end + REVOKED {
            let later = key_use.s - end;
            let detail = format!("accepted {later} µs after the revocation: {key_use:?}");
            violations.push(Violation::new("revoked-key-accepted", detail));
        }
    }
    violations
}

/// A register never shows a value that another acknowledged write had replaced before the read began: the write of
/// the value ended before the other one began, and that one ended before the read.
fn overwritten(index: &Index<'_>) -> Vec<Violation> {
    let mut writes: HashMap<&str, Vec<&Write>> = HashMap::new();
    for write in index.writes.iter().filter(|write| write.op == "patch_subscription") {
        writes.entry(&write.on).or_default().push(write);
    }
    let mut violations = Vec::new();
    for read in &index.registers {
        let Some(writes) = writes.get(read.on.as_str()) else { continue };
        let source = writes.iter().find(|write| write.v == read.v);
        // The value from before the first write counts as written at the beginning.
        let source_end = match source {
            Some(write) if write.is_unknown() => continue,
            Some(write) => write.e,
            None => 0,
        };
        let newer = writes.iter().find(|write| {
            write.is_acknowledged() && write.s > source_end && write.e < read.s && write.v != read.v
        });
        if let Some(newer) = newer {
            let detail = format!("{read:?} after {newer:?} was acknowledged");
            violations.push(Violation::new("patch-undone", detail));
        }
    }
    violations
}
