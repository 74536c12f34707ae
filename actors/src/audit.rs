//! Entries of the audit log: made where a change is decided, written with it.

use kabar_core::clock::Clock;
use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditOrigin, AuditTarget};
use kabar_core::ids::{AuditEntryId, OrganisationId, ulid};

/// Returns the entry of a change that happens now. `organisation` is the tenant that it concerns, `None` for the server as
/// a whole.
#[must_use]
pub fn audit_entry(
    clock: &Clock,
    origin: &AuditOrigin,
    organisation: Option<OrganisationId>,
    action: AuditAction,
    target: AuditTarget,
) -> AuditEntry {
    let id = AuditEntryId::from_bits(ulid(clock.read_now().millis(), rand::random()));
    origin.to_entry(id, organisation, action, target)
}
