//! Rows of an account that rules look at while commands are decided.
//!
//! Invariant: a key is not loaded, absent, or present. A look-up of a key that is not loaded is an error that
//! names the key, so no rule can take "not loaded" for "absent". Absence is recorded for keys that were loaded,
//! never concluded from silence.

mod erasures;
mod templates;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::contact::{Contact, ContactRef};
use super::conversation::Conversation;
use super::effect::EffectId;
use super::identity::IdentifierKey;
use super::message::Message;
use super::parked::ParkedItem;
use super::row_needs::{RowNeed, RowNeeds, RowNotLoaded};
use super::status::MessageStatus;
use super::template::{Template, TemplateKey};
use super::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId, MessageId, RunId};

/// Values by key. A key without an entry is not loaded; an entry without a value is absent.
#[derive(Debug, Clone)]
struct LoadedKeys<K, V>(HashMap<K, Option<V>>);

impl<K, V> Default for LoadedKeys<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V> LoadedKeys<K, V> {
    fn put_row(&mut self, key: K, value: V) {
        self.0.insert(key, Some(value));
    }

    /// Records absence, unless the key is present.
    fn put_absent(&mut self, key: K) {
        self.0.entry(key).or_insert(None);
    }

    fn find_row<Q: Eq + Hash + ?Sized>(
        &self,
        key: &Q,
        need: impl FnOnce() -> RowNeed,
    ) -> Result<Option<&V>, RowNotLoaded>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(Option::as_ref).ok_or_else(|| RowNotLoaded(need()))
    }

    /// Takes over entries that are missing here.
    fn merge_keys(&mut self, other: Self) {
        for (key, value) in other.0 {
            let known = self.0.entry(key).or_default();
            if known.is_none() {
                *known = value;
            }
        }
    }
}

/// Rows that were loaded, and keys that are known to have none.
#[derive(Debug, Clone, Default)]
pub struct LoadedRows {
    contacts: LoadedKeys<ContactId, Arc<Contact>>,
    contact_by_key: LoadedKeys<IdentifierKey, ContactId>,
    conversations: LoadedKeys<ConversationId, Arc<Conversation>>,
    conversation_by_contact: LoadedKeys<ContactId, ConversationId>,
    messages: LoadedKeys<MessageId, Arc<Message>>,
    /// By the key of WhatsApp's id.
    message_by_wamid: LoadedKeys<Arc<str>, MessageId>,
    /// Whole sets: a conversation without an entry is not loaded.
    unread: HashMap<ConversationId, BTreeSet<MessageId>>,
    /// Whole lists, by the key of WhatsApp's id: a key without an entry is not loaded.
    parked: HashMap<Arc<str>, Vec<ParkedItem>>,
    /// Values of webhooks that were told whole, by the keys of their raw items.
    notices: LoadedKeys<Arc<str>, ()>,
    /// Whole sets: a run without an entry is not loaded.
    effects: HashMap<RunId, BTreeSet<u32>>,
    /// What was erased, by its keys.
    erased: LoadedKeys<Arc<str>, ()>,
    /// Whole sets, by the contact that others were merged into: one without an entry is not loaded.
    merged: HashMap<ContactId, BTreeSet<ContactId>>,
    templates: LoadedKeys<TemplateKey, Arc<Template>>,
}

impl LoadedRows {
    /// Creates rows in which every needed key is absent. The loader looks for all of these keys and puts the
    /// rows that it finds.
    #[must_use]
    pub fn all_absent(needs: &RowNeeds) -> Self {
        let mut facts = Self::default();
        needs.wamids.iter().for_each(|wamid| facts.message_by_wamid.put_absent(wamid.clone()));
        needs.messages.iter().for_each(|id| facts.messages.put_absent(*id));
        needs.contacts.iter().for_each(|id| facts.contacts.put_absent(*id));
        needs.identifiers.iter().for_each(|key| facts.contact_by_key.put_absent(key.clone()));
        needs.conversations.iter().for_each(|id| facts.conversations.put_absent(*id));
        needs.unread.iter().for_each(|id| facts.put_absent_unread(*id));
        needs.parked.iter().for_each(|wamid| facts.put_absent_parked(wamid));
        needs.notices.iter().for_each(|key| facts.notices.put_absent(key.clone()));
        facts.effects.extend(needs.runs.iter().map(|run| (*run, BTreeSet::new())));
        needs.erased.iter().for_each(|key| facts.put_absent_erased(key));
        needs.templates.iter().for_each(|key| facts.put_absent_template(key));
        facts.merged.extend(needs.merged.iter().map(|id| (*id, BTreeSet::new())));
        facts
    }

    /// Adds the rows that `other` has and `self` lacks.
    pub fn merge_rows(&mut self, other: Self) {
        self.contacts.merge_keys(other.contacts);
        self.contact_by_key.merge_keys(other.contact_by_key);
        self.conversations.merge_keys(other.conversations);
        self.conversation_by_contact.merge_keys(other.conversation_by_contact);
        self.messages.merge_keys(other.messages);
        self.message_by_wamid.merge_keys(other.message_by_wamid);
        self.notices.merge_keys(other.notices);
        self.erased.merge_keys(other.erased);
        self.templates.merge_keys(other.templates);
        for (key, set) in other.merged {
            self.merged.entry(key).or_insert(set);
        }
        for (key, ids) in other.unread {
            self.unread.entry(key).or_insert(ids);
        }
        for (key, list) in other.parked {
            self.parked.entry(key).or_insert(list);
        }
        for (key, set) in other.effects {
            self.effects.entry(key).or_insert(set);
        }
    }

    /// Adds, or replaces, a contact.
    pub fn put_contact(&mut self, contact: Arc<Contact>) {
        for key in contact.identity.keys() {
            self.contact_by_key.put_row(key, contact.id);
        }
        self.contacts.put_row(contact.id, contact);
    }

    /// Adds, or replaces, a conversation.
    pub fn put_conversation(&mut self, conversation: Arc<Conversation>) {
        for key in conversation.contact.identity.keys() {
            self.contact_by_key.put_row(key, conversation.contact.id);
        }
        self.conversation_by_contact.put_row(conversation.contact.id, conversation.id);
        self.conversations.put_row(conversation.id, conversation);
    }

    /// Records that a contact has no conversation, unless one was put.
    pub fn put_absent_conversation(&mut self, id: ContactId) {
        self.conversation_by_contact.put_absent(id);
    }

    /// Adds, or replaces, a message. Keeps the unread messages of its conversation, if these are loaded.
    pub fn put_message(&mut self, message: Arc<Message>) {
        if let Some(unread) = self.unread.get_mut(&message.conversation_id) {
            if message.status == MessageStatus::Received {
                unread.insert(message.id);
            } else {
                unread.remove(&message.id);
            }
        }
        if let Some(wamid) = &message.wamid {
            self.message_by_wamid.put_row(wamid_key(wamid), message.id);
        }
        self.messages.put_row(message.id, message);
    }

    /// Records that a conversation has no unread messages, unless some were put.
    pub fn put_absent_unread(&mut self, id: ConversationId) {
        self.unread.entry(id).or_default();
    }

    /// Records that no items are parked for a message, unless some were put.
    pub fn put_absent_parked(&mut self, key: &Arc<str>) {
        self.parked.entry(key.clone()).or_default();
    }

    /// Adds a parked item to the list of its message, if that list is loaded.
    pub fn put_parked(&mut self, item: ParkedItem) {
        if let Some(items) = self.parked.get_mut(&item.wamid_key) {
            items.push(item);
        }
    }

    /// Records that a value of a webhook was told, by the key of its raw item.
    pub fn put_notice(&mut self, key: Arc<str>) {
        self.notices.put_row(key, ());
    }

    /// Adds a pending effect to the set of its run, if that set is loaded.
    pub fn put_effect(&mut self, id: EffectId) {
        if let Some(ordinals) = self.effects.get_mut(&id.run) {
            ordinals.insert(id.ordinal);
        }
    }

    /// Finds a contact by id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_contact(&self, id: ContactId) -> Result<Option<&Arc<Contact>>, RowNotLoaded> {
        self.contacts.find_row(&id, || RowNeed::Contact(id))
    }

    /// Finds the contact that an identifier belongs to.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn contact_of(&self, key: &IdentifierKey) -> Result<Option<ContactId>, RowNotLoaded> {
        Ok(self.contact_by_key.find_row(key, || RowNeed::Identifier(key.clone()))?.copied())
    }

    /// Finds the fields of a contact that a conversation shows: of its conversation, or else of its own row.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn contact_ref(&self, id: ContactId) -> Result<Option<ContactRef>, RowNotLoaded> {
        if let Ok(Some(conversation)) = self.conversation_of(id) {
            return Ok(Some(conversation.contact.clone()));
        }
        Ok(self.find_contact(id)?.map(|contact| ContactRef::from(&**contact)))
    }

    /// Finds a conversation by id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_conversation(&self, id: ConversationId) -> Result<Option<&Arc<Conversation>>, RowNotLoaded> {
        self.conversations.find_row(&id, || RowNeed::Conversation(id))
    }

    /// Finds a contact's conversation.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn conversation_of(&self, id: ContactId) -> Result<Option<&Arc<Conversation>>, RowNotLoaded> {
        let found = self.conversation_by_contact.find_row(&id, || RowNeed::Contact(id))?;
        found.map_or(Ok(None), |id| self.find_conversation(*id))
    }

    /// Finds a message by id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_message(&self, id: MessageId) -> Result<Option<&Arc<Message>>, RowNotLoaded> {
        self.messages.find_row(&id, || RowNeed::Message(id))
    }

    /// Finds a message by any form of WhatsApp's id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn message_of(&self, wamid: &str) -> Result<Option<&Arc<Message>>, RowNotLoaded> {
        let key = wamid_key(wamid);
        let id = self.message_by_wamid.find_row(&key, || RowNeed::MessageOfWamid(key.clone()))?;
        id.map_or(Ok(None), |id| self.find_message(*id))
    }

    /// Returns `true` when a value of a webhook was told before, by the key of its raw item.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn knows_notice(&self, key: &Arc<str>) -> Result<bool, RowNotLoaded> {
        Ok(self.notices.find_row(key, || RowNeed::Notice(key.clone()))?.is_some())
    }

    /// Lists the unread inbound messages of a conversation up to and including `last`, oldest first.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn unread_up_to(&self, id: ConversationId, last: MessageId) -> Result<Vec<MessageId>, RowNotLoaded> {
        let unread = self.unread.get(&id).ok_or(RowNotLoaded(RowNeed::UnreadMessages(id)))?;
        Ok(unread.range(..=last).copied().collect())
    }

    /// The items parked for a message, to be changed.
    pub(super) fn parked_mut(&mut self, key: &Arc<str>) -> Result<&mut Vec<ParkedItem>, RowNotLoaded> {
        self.parked.get_mut(key).ok_or_else(|| RowNotLoaded(RowNeed::ParkedItems(key.clone())))
    }

    /// Moves the loaded messages of a conversation to the one that it is merged into, and returns them as they
    /// were.
    ///
    /// # Errors
    /// [`RowNotLoaded`] when the unread messages of one of the two are loaded and those of the other are not.
    pub(super) fn move_messages(
        &mut self,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<Vec<Arc<Message>>, RowNotLoaded> {
        match (self.unread.contains_key(&from), self.unread.contains_key(&into)) {
            (true, false) => return Err(RowNotLoaded(RowNeed::UnreadMessages(into))),
            (false, true) => return Err(RowNotLoaded(RowNeed::UnreadMessages(from))),
            (true, true) => {
                let moved = self.unread.insert(from, BTreeSet::new()).unwrap_or_default();
                self.unread.entry(into).or_default().extend(moved);
            }
            (false, false) => {}
        }
        let loaded = self.messages.0.values().flatten();
        Ok(loaded.filter(|message| message.conversation_id == from).cloned().collect())
    }

    /// Removes a pending effect; `false` when it is not pending.
    pub(super) fn remove_effect(&mut self, id: EffectId) -> Result<bool, RowNotLoaded> {
        let pending = self.effects.get_mut(&id.run).ok_or(RowNotLoaded(RowNeed::PendingEffects(id.run)))?;
        Ok(pending.remove(&id.ordinal))
    }
}
