//! Entries of the audit log: made where a change is decided, written with it.

use kabar_core::clock::Clock;
use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditOrigin, AuditTarget};
use kabar_core::ids::{AuditEntryId, OrganisationId, ulid};
use kabar_core::store::Store;

/// Changes that leave entries in the audit log.
pub(crate) trait AuditedChanges {
    /// Returns the clock that an entry is dated by, and the store that is written to.
    fn clock_and_store(&self) -> (&Clock, &Store);

    /// Returns a store whose writes leave an entry about a change that happens now.
    fn audited(
        &self,
        origin: &AuditOrigin,
        organisation: Option<OrganisationId>,
        action: AuditAction,
        target: AuditTarget,
    ) -> Store {
        let (clock, store) = self.clock_and_store();
        store.with_audit(&audit_entry(clock, origin, organisation, action, target))
    }
}

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
