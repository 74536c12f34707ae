//! The needs of a batch that memory answers; the rest is read by SQL.
//!
//! Invariant: a need is answered whole or stays. A resident conversation, say, answers for the conversation of a
//! number and says nothing of the contact's own row, which a rule then finds not loaded.

use std::collections::HashMap;
use std::sync::Arc;

use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::loaded_rows::LoadedRows;
use kabar_core::domain::message::Message;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::row_needs::RowNeeds;
use kabar_core::ids::{ConversationId, MessageId};

use crate::view::Conversations;

/// Recently changed messages of one generation: statuses of a message come soon after it.
const RECENT_MESSAGES_MAX: usize = 1024;

/// The writer's own indices, not shared with readers.
#[derive(Debug, Default)]
pub(super) struct AccountIndex {
    by_phone: HashMap<Phone, ConversationId>,
    young: RecentRows,
    /// The generation before, which goes when the young one is full.
    old: RecentRows,
}

/// Messages as the last commits left them. What is missing is fetched.
#[derive(Debug, Default)]
struct RecentRows {
    messages: HashMap<MessageId, Arc<Message>>,
    by_wamid: HashMap<Arc<str>, MessageId>,
}

impl AccountIndex {
    pub(super) fn put_thread(&mut self, thread: &Conversation) {
        self.by_phone.insert(thread.contact.phone.clone(), thread.id);
    }

    pub(super) fn drop_thread(&mut self, thread: &Conversation) {
        self.by_phone.remove(&thread.contact.phone);
    }

    /// Keeps a message as the last commit left it.
    pub(super) fn put_message(&mut self, message: &Arc<Message>) {
        if self.young.messages.len() >= RECENT_MESSAGES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(wamid) = &message.wamid {
            self.young.by_wamid.insert(wamid.clone(), message.id);
        }
        self.young.messages.insert(message.id, message.clone());
    }

    /// A message that was put not long ago, as it was put last.
    fn recent_message(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.young.messages.get(&id).or_else(|| self.old.messages.get(&id))
    }

    fn message_of(&self, wamid: &str) -> Option<&Arc<Message>> {
        self.recent_message(*self.young.by_wamid.get(wamid).or_else(|| self.old.by_wamid.get(wamid))?)
    }

    /// Moves what memory knows from `needs` to `facts`.
    pub(super) fn answer_known(&self, threads: &Conversations, needs: &mut RowNeeds, facts: &mut LoadedRows) {
        needs.conversations.retain(|id| is_unanswered(threads.get(*id), |row| facts.put_conversation(row)));
        needs.phones.retain(|phone| {
            let thread = self.by_phone.get(phone).and_then(|id| threads.get(*id));
            is_unanswered(thread, |row| facts.put_conversation(row))
        });
        // Statuses that waited for a message were applied when it got WhatsApp's id, so a message
        // known under that id has none.
        needs
            .parked
            .retain(|wamid| is_unanswered(self.message_of(wamid), |_| facts.put_absent_parked(wamid)));
        needs.wamids.retain(|wamid| is_unanswered(self.message_of(wamid), |row| facts.put_message(row)));
        needs.messages.retain(|id| is_unanswered(self.recent_message(*id), |row| facts.put_message(row)));
    }
}

/// Puts a row that memory has; `true` when it has none, so that the need stays.
fn is_unanswered<T>(row: Option<&Arc<T>>, put: impl FnOnce(Arc<T>)) -> bool {
    row.cloned().map(put).is_none()
}
