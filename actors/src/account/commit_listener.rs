//! Port by which an account tells what its commits have appended to its log.

use std::sync::Arc;

use kabar_core::domain::event::EventTypes;

use super::entry::AccountEntry;

/// Listener to the commits of accounts. It is told once a commit is durable and published, and must not wait.
pub(crate) trait CommitListener: Send + Sync {
    /// Notes that an account has committed events of these types, the last of this number.
    fn note_events(&self, account: &Arc<AccountEntry>, sequence: i64, types: EventTypes);
}
