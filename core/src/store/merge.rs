//! Merges of conversations: the statement that moves all messages of one to another.
//!
//! Invariant: a message that the same commit writes is not moved by the statement, because its row says already
//! where it belongs, and no row may be written twice.

use serde::Serialize;

use super::AccountCommit;
use super::dialect::{BulkStatement, ColumnKind};
use crate::domain::draft::ConversationMerge;

/// Moves the messages of all conversations of an array.
pub(super) const MOVE: BulkStatement = BulkStatement {
    text: "\
UPDATE messages SET conversation_id = r.into_id, contact_id = r.contact_id, updated_at = r.at \
FROM {rows} WHERE r.written IS NULL AND messages.account = r.account \
AND messages.conversation_id = r.from_id \
AND (messages.account, messages.id) NOT IN \
    (SELECT r.account, r.written FROM {rows} WHERE r.written IS NOT NULL)",
    columns: &[
        ("account", ColumnKind::Int),
        ("from_id", ColumnKind::Text),
        ("into_id", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
        ("at", ColumnKind::Int),
        ("written", ColumnKind::Text),
    ],
};

/// A merge, or a message that the same commit writes.
#[derive(Debug, Default, Serialize)]
pub(super) struct MergeRow {
    account: i64,
    from_id: Option<String>,
    into_id: Option<String>,
    contact_id: Option<String>,
    at: Option<i64>,
    written: Option<String>,
}

impl MergeRow {
    /// Creates the rows of a commit.
    pub(super) fn from_commit(commit: &AccountCommit) -> Vec<Self> {
        let account = commit.account_number;
        let merges = end_of_chains(&commit.changes.merges);
        if merges.is_empty() {
            return Vec::new();
        }
        let moved = merges.into_iter().map(|merge| Self {
            account,
            from_id: Some(merge.from.to_string()),
            into_id: Some(merge.into.to_string()),
            contact_id: Some(merge.contact.to_string()),
            at: Some(commit.at.millis()),
            written: None,
        });
        let written = commit.changes.messages.keys();
        let written = written.map(|id| Self { account, written: Some(id.to_string()), ..Self::default() });
        moved.chain(written).collect()
    }
}

/// Returns the merges, each with the conversation that has the messages after all of them.
fn end_of_chains(merges: &[ConversationMerge]) -> Vec<ConversationMerge> {
    let mut ends: Vec<ConversationMerge> = Vec::with_capacity(merges.len());
    for merge in merges {
        for known in ends.iter_mut().filter(|known| known.into == merge.from) {
            (known.into, known.contact) = (merge.into, merge.contact);
        }
        ends.push(*merge);
    }
    ends
}
