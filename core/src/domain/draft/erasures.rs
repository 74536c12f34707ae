//! Changes of a draft that delete: contacts with everything about them, and messages.
//!
//! Invariant: nothing that the draft has written of a deleted contact is left in it, so that no row is written and
//! deleted by one commit.

use std::sync::Arc;

use super::Draft;
use crate::domain::contact::Contact;
use crate::domain::erasure::DeletedContact;
use crate::domain::inbound::InboundItem;
use crate::domain::message::Message;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId};

impl Draft<'_> {
    /// Returns `true` for an item about something that was erased.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn is_erased(&mut self, item: &InboundItem) -> Result<bool, RowNotLoaded> {
        // Every key is asked for, so that all that lack are loaded in one round.
        let answers = item.erasure_keys().into_iter().map(|key| self.facts.is_erased(&key));
        let mut erased = Ok(false);
        for answer in answers.collect::<Vec<_>>() {
            erased = match (erased, answer) {
                (Ok(true), _) | (_, Ok(true)) => return Ok(true),
                (Err(missing), Err(other)) => {
                    self.note_missing(missing);
                    Err(other)
                }
                (Err(missing), Ok(false)) | (Ok(false), Err(missing)) => Err(missing),
                (Ok(false), Ok(false)) => Ok(false),
            };
        }
        erased
    }

    /// Counts an item that is skipped.
    pub const fn skip_erased(&mut self) {
        self.changes.skipped_erased = self.changes.skipped_erased.saturating_add(1);
    }

    /// Deletes a contact and its conversation. Events of this draft that show them lose their data.
    pub fn delete_contact(&mut self, contact: &Contact, conversation: Option<ConversationId>) {
        let deleted = DeletedContact::from_contact(contact, conversation);
        let loaded = conversation.map(|id| self.facts.loaded_messages(id)).unwrap_or_default();
        let keys: Vec<Arc<str>> = loaded.iter().flat_map(|message| message.erasure_keys()).collect();
        let changes = &mut self.changes;
        changes.contacts.remove(&contact.id);
        changes.identifiers.retain(|_, owner| *owner != contact.id);
        if let Some(conversation) = conversation {
            changes.conversations.remove(&conversation);
            changes.messages.retain(|_, message| message.conversation_id != conversation);
            changes.merges.retain(|merge| merge.into != conversation);
        }
        changes.raw.retain(|item| !keys.contains(&item.wamid_key));
        changes.parked.retain(|item| !keys.contains(&item.wamid_key));
        self.kept_raw.retain(|(key, _)| !keys.contains(key));
        for event in &mut changes.events {
            if event.contact_id() == contact.id {
                event.erase_data();
            }
        }
        changes.erased_keys.extend(keys);
        self.facts.remove_contact(&deleted);
        changes.deleted.push(deleted);
    }

    /// Removes a message that is no longer kept.
    pub fn remove_message(&mut self, message: &Message) {
        self.facts.remove_message(message);
        self.changes.messages.remove(&message.id);
        self.changes.removed.push(message.id);
    }

    /// Records that nothing is left of a contact that was deleted.
    pub fn end_erasure(&mut self, contact: ContactId, conversation: Option<ConversationId>) {
        self.changes.ended_erasures.push((contact, conversation));
    }
}

impl Message {
    /// Keys under which an erasure remembers the message: WhatsApp's, or this server's of one that WhatsApp has not
    /// named yet.
    #[must_use]
    pub fn erasure_keys(&self) -> Vec<Arc<str>> {
        vec![self.wamid.as_deref().map_or_else(|| self.id.to_string().into(), wamid_key)]
    }
}
