//! Answers the needs of a batch from memory; the rest is read by SQL.
//!
//! Invariant: a need is answered completely or stays. A loaded conversation, for example, answers for the
//! identifiers of its contact, but not for the contact's own row, which a rule then finds not loaded.

use std::collections::HashMap;
use std::sync::Arc;

use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::draft::ConversationMerge;
use kabar_core::domain::identity::IdentifierKey;
use kabar_core::domain::loaded_rows::LoadedRows;
use kabar_core::domain::message::Message;
use kabar_core::domain::row_needs::RowNeeds;
use kabar_core::domain::template::{Template, TemplateKey};
use kabar_core::domain::time::Timestamp;
use kabar_core::domain::wamid::wamid_key;
use kabar_core::ids::{ConversationId, MessageId};

use crate::view::Conversations;

/// Recently changed messages of one generation: statuses of a message come soon after it.
const RECENT_MESSAGES_MAX: usize = 1024;
/// Templates that sends and webhooks named last: an account sends few of its templates most of the time.
const KNOWN_TEMPLATES_MAX: usize = 256;

/// Indices of the writer; readers do not share them.
#[derive(Debug, Default)]
pub(super) struct AccountIndex {
    by_identifier: HashMap<IdentifierKey, ConversationId>,
    young: RecentRows,
    /// The generation before. It is dropped when the young one is full.
    old: RecentRows,
    /// Templates as the last commits left them; `None` for one that is known to be absent.
    templates: HashMap<TemplateKey, Option<Arc<Template>>>,
}

/// Messages as the last commits left them. Missing ones are read from the store.
#[derive(Debug, Default)]
struct RecentRows {
    messages: HashMap<MessageId, Arc<Message>>,
    by_wamid: HashMap<Arc<str>, MessageId>,
}

impl AccountIndex {
    pub(super) fn index_conversation(&mut self, conversation: &Conversation) {
        for key in conversation.contact.identity.keys() {
            self.by_identifier.insert(key, conversation.id);
        }
    }

    pub(super) fn forget_conversation(&mut self, conversation: &Conversation) {
        for key in conversation.contact.identity.keys() {
            if self.by_identifier.get(&key) == Some(&conversation.id) {
                self.by_identifier.remove(&key);
            }
        }
    }

    /// Moves the messages of a conversation to the one that it was merged into.
    pub(super) fn move_messages(&mut self, merge: ConversationMerge, at: Timestamp) {
        for message in self.young.messages.values_mut().chain(self.old.messages.values_mut()) {
            if message.conversation_id == merge.from {
                let mut moved = (**message).clone();
                (moved.conversation_id, moved.contact_id) = (merge.into, merge.contact);
                moved.updated_at = at;
                *message = Arc::new(moved);
            }
        }
    }

    /// Keeps a message as the last commit left it.
    pub(super) fn put_message(&mut self, message: &Arc<Message>) {
        if self.young.messages.len() >= RECENT_MESSAGES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(wamid) = &message.wamid {
            self.young.by_wamid.insert(wamid_key(wamid), message.id);
        }
        self.young.messages.insert(message.id, message.clone());
    }

    /// Forgets the messages of a conversation that was deleted.
    pub(super) fn forget_messages(&mut self, id: ConversationId) {
        for rows in [&mut self.young, &mut self.old] {
            rows.messages.retain(|_, message| message.conversation_id != id);
            rows.by_wamid.retain(|_, message| rows.messages.contains_key(message));
        }
    }

    /// Forgets a message that was removed.
    pub(super) fn forget_message(&mut self, id: MessageId) {
        for rows in [&mut self.young, &mut self.old] {
            let wamid = rows.messages.remove(&id).and_then(|message| message.wamid.clone());
            if let Some(wamid) = wamid {
                rows.by_wamid.remove(&wamid_key(&wamid));
            }
        }
    }

    /// Keeps a template as the last commit left it; `None` for one that was removed.
    pub(super) fn put_template(&mut self, key: &TemplateKey, template: Option<&Arc<Template>>) {
        if self.templates.len() >= KNOWN_TEMPLATES_MAX && !self.templates.contains_key(key) {
            self.templates.clear();
        }
        self.templates.insert(key.clone(), template.cloned());
    }

    /// Keeps the templates that were read from the store.
    pub(super) fn note_templates(&mut self, loaded: &LoadedRows) {
        for (key, template) in loaded.loaded_templates() {
            self.put_template(key, template);
        }
    }

    /// Finds a message of the last two generations, as it was put last.
    fn recent_message(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.young.messages.get(&id).or_else(|| self.old.messages.get(&id))
    }

    /// Finds a message of the last two generations by the key of WhatsApp's id.
    fn message_of(&self, wamid: &str) -> Option<&Arc<Message>> {
        self.recent_message(*self.young.by_wamid.get(wamid).or_else(|| self.old.by_wamid.get(wamid))?)
    }

    /// Moves the rows that memory has from `needs` to `rows`.
    pub(super) fn answer_known(
        &self,
        conversations: &Conversations,
        needs: &mut RowNeeds,
        rows: &mut LoadedRows,
    ) {
        needs
            .conversations
            .retain(|id| is_unanswered(conversations.get(*id), |row| rows.put_conversation(row)));
        needs.identifiers.retain(|key| {
            let conversation = self.by_identifier.get(key).and_then(|id| conversations.get(*id));
            // An identifier that has moved to a contact without a conversation in memory is looked up.
            let current = conversation.filter(|row| row.contact.identity.has_key(key));
            is_unanswered(current, |row| rows.put_conversation(row))
        });
        needs.templates.retain(|key| match self.templates.get(key) {
            Some(Some(template)) => {
                rows.put_template(template.clone());
                false
            }
            Some(None) => {
                rows.put_absent_template(key);
                false
            }
            None => true,
        });
        // A message that is known was not erased.
        needs.erased.retain(|key| is_unanswered(self.message_of(key), |_| rows.put_absent_erased(key)));
        // Items that were parked for a message were applied when it got its wamid, so a message known under
        // that id has none.
        needs.parked.retain(|wamid| is_unanswered(self.message_of(wamid), |_| rows.put_absent_parked(wamid)));
        needs.wamids.retain(|wamid| is_unanswered(self.message_of(wamid), |row| rows.put_message(row)));
        needs.messages.retain(|id| is_unanswered(self.recent_message(*id), |row| rows.put_message(row)));
    }
}

/// Puts a row that memory has. Returns `true` when memory has none, so that the need stays.
fn is_unanswered<T>(row: Option<&Arc<T>>, put: impl FnOnce(Arc<T>)) -> bool {
    row.cloned().map(put).is_none()
}
