//! Look-ups and changes of an erasure.
//!
//! Invariant: rows of a contact that was deleted are absent from then on, whether they were loaded or not.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::LoadedRows;
use crate::domain::erasure::DeletedContact;
use crate::domain::message::Message;
use crate::domain::row_needs::{RowNeed, RowNotLoaded};
use crate::domain::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId};

impl LoadedRows {
    /// Records that something was erased, by its key.
    pub fn put_erased(&mut self, key: Arc<str>) {
        self.erased.put_row(key, ());
    }

    /// Records that nothing with this key was erased, unless that was put.
    pub fn put_absent_erased(&mut self, key: &Arc<str>) {
        self.erased.put_absent(key.clone());
    }

    /// Returns `true` when something with this key was erased.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn is_erased(&self, key: &Arc<str>) -> Result<bool, RowNotLoaded> {
        Ok(self.erased.find_row(key, || RowNeed::ErasedKey(key.clone()))?.is_some())
    }

    /// Adds a contact to those that were merged into another one, if these are loaded.
    pub fn put_merged(&mut self, into: ContactId, merged: ContactId) {
        if let Some(set) = self.merged.get_mut(&into) {
            set.insert(merged);
        }
    }

    /// Lists the contacts that were merged into a contact, directly or through others.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn merged_contacts(&self, id: ContactId) -> Result<BTreeSet<ContactId>, RowNotLoaded> {
        let stored = self.merged.get(&id).ok_or(RowNotLoaded(RowNeed::MergedContacts(id)))?;
        let mut all = stored.clone();
        // Those that this draft has merged are in memory.
        loop {
            let before = all.len();
            for contact in self.contacts.0.values().flatten() {
                if contact.merged_into.is_some_and(|into| into == id || all.contains(&into)) {
                    all.insert(contact.id);
                }
            }
            if all.len() == before {
                return Ok(all);
            }
        }
    }

    /// Lists the loaded messages of a conversation.
    #[must_use]
    pub fn loaded_messages(&self, id: ConversationId) -> Vec<Arc<Message>> {
        let messages = self.messages.0.values().flatten();
        messages.filter(|message| message.conversation_id == id).cloned().collect()
    }

    /// Removes a contact with its conversation and its messages.
    pub(in crate::domain) fn remove_contact(&mut self, deleted: &DeletedContact) {
        self.contacts.0.insert(deleted.contact, None);
        self.conversation_by_contact.0.insert(deleted.contact, None);
        for key in &deleted.identifiers {
            if matches!(self.contact_by_key.0.get(key), None | Some(None))
                || self.contact_by_key.0.get(key) == Some(&Some(deleted.contact))
            {
                self.contact_by_key.0.insert(key.clone(), None);
            }
        }
        let Some(conversation) = deleted.conversation else { return };
        for message in self.loaded_messages(conversation) {
            self.remove_message(&message);
            for key in message.erasure_keys() {
                self.put_erased(key);
            }
        }
        self.conversations.0.insert(conversation, None);
        self.unread.remove(&conversation);
    }

    /// Removes a message.
    pub(in crate::domain) fn remove_message(&mut self, message: &Message) {
        if let Some(unread) = self.unread.get_mut(&message.conversation_id) {
            unread.remove(&message.id);
        }
        if let Some(wamid) = &message.wamid {
            self.message_by_wamid.0.insert(wamid_key(wamid), None);
        }
        self.messages.0.insert(message.id, None);
    }
}
