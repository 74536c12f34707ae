//! Rows of an account that rules look at while commands are decided.
//!
//! Invariant: a key is not loaded, absent, or present. A look-up of a key that is not loaded is an error that
//! names the key, so no rule can take "not loaded" for "absent". Absence is recorded for keys that were loaded,
//! never concluded from silence.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::contact::Contact;
use super::conversation::Conversation;
use super::effect::EffectId;
use super::message::{Message, StatusReport};
use super::phone::Phone;
use super::row_needs::{RowNeed, RowNeeds, RowNotLoaded};
use super::status::MessageStatus;
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
    contact_by_phone: LoadedKeys<Phone, ContactId>,
    conversations: LoadedKeys<ConversationId, Arc<Conversation>>,
    conversation_by_phone: LoadedKeys<Phone, ConversationId>,
    messages: LoadedKeys<MessageId, Arc<Message>>,
    message_by_wamid: LoadedKeys<Arc<str>, MessageId>,
    /// Whole sets: a conversation without an entry is not loaded.
    unread: HashMap<ConversationId, BTreeSet<MessageId>>,
    /// Whole lists: an id of WhatsApp's without an entry is not loaded.
    parked: HashMap<Arc<str>, Vec<StatusReport>>,
    /// Whole sets: a run without an entry is not loaded.
    effects: HashMap<RunId, BTreeSet<u32>>,
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
        for phone in needs.contact_phones.union(&needs.phones) {
            facts.contact_by_phone.put_absent(phone.clone());
        }
        needs.phones.iter().for_each(|phone| facts.put_absent_conversation(phone));
        needs.conversations.iter().for_each(|id| facts.conversations.put_absent(*id));
        needs.unread.iter().for_each(|id| facts.put_absent_unread(*id));
        needs.parked.iter().for_each(|wamid| facts.put_absent_parked(wamid));
        facts.effects.extend(needs.runs.iter().map(|run| (*run, BTreeSet::new())));
        facts
    }

    /// Adds the rows that `other` has and `self` lacks.
    pub fn merge_rows(&mut self, other: Self) {
        self.contacts.merge_keys(other.contacts);
        self.contact_by_phone.merge_keys(other.contact_by_phone);
        self.conversations.merge_keys(other.conversations);
        self.conversation_by_phone.merge_keys(other.conversation_by_phone);
        self.messages.merge_keys(other.messages);
        self.message_by_wamid.merge_keys(other.message_by_wamid);
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
        self.contact_by_phone.put_row(contact.phone.clone(), contact.id);
        self.contacts.put_row(contact.id, contact);
    }

    /// Adds, or replaces, a conversation.
    pub fn put_conversation(&mut self, conversation: Arc<Conversation>) {
        self.conversation_by_phone.put_row(conversation.contact.phone.clone(), conversation.id);
        self.conversations.put_row(conversation.id, conversation);
    }

    /// Records that a number has no conversation, unless one was put.
    pub fn put_absent_conversation(&mut self, phone: &Phone) {
        self.conversation_by_phone.put_absent(phone.clone());
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
            self.message_by_wamid.put_row(wamid.clone(), message.id);
        }
        self.messages.put_row(message.id, message);
    }

    /// Records that a conversation has no unread messages, unless some were put.
    pub fn put_absent_unread(&mut self, id: ConversationId) {
        self.unread.entry(id).or_default();
    }

    /// Records that no statuses are parked for a message, unless some were put.
    pub fn put_absent_parked(&mut self, wamid: &Arc<str>) {
        self.parked.entry(wamid.clone()).or_default();
    }

    /// Adds a parked status to the list of its message, if that list is loaded.
    pub fn put_parked(&mut self, report: StatusReport) {
        if let Some(reports) = self.parked.get_mut(&report.wamid) {
            reports.push(report);
        }
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

    /// Finds a contact by number.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn contact_of(&self, phone: &Phone) -> Result<Option<&Arc<Contact>>, RowNotLoaded> {
        let id = self.contact_by_phone.find_row(phone, || RowNeed::ContactOfPhone(phone.clone()))?;
        id.map_or(Ok(None), |id| self.find_contact(*id))
    }

    /// Finds a conversation by id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_conversation(&self, id: ConversationId) -> Result<Option<&Arc<Conversation>>, RowNotLoaded> {
        self.conversations.find_row(&id, || RowNeed::Conversation(id))
    }

    /// Finds a conversation by its contact's number.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn conversation_with(&self, phone: &Phone) -> Result<Option<&Arc<Conversation>>, RowNotLoaded> {
        let id =
            self.conversation_by_phone.find_row(phone, || RowNeed::ConversationOfPhone(phone.clone()))?;
        id.map_or(Ok(None), |id| self.find_conversation(*id))
    }

    /// Finds a message by id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn find_message(&self, id: MessageId) -> Result<Option<&Arc<Message>>, RowNotLoaded> {
        self.messages.find_row(&id, || RowNeed::Message(id))
    }

    /// Finds a message by WhatsApp's id.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn message_of(&self, wamid: &Arc<str>) -> Result<Option<&Arc<Message>>, RowNotLoaded> {
        let id = self.message_by_wamid.find_row(wamid, || RowNeed::MessageOfWamid(wamid.clone()))?;
        id.map_or(Ok(None), |id| self.find_message(*id))
    }

    /// Lists the unread inbound messages of a conversation up to and including `last`, oldest first.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn unread_up_to(&self, id: ConversationId, last: MessageId) -> Result<Vec<MessageId>, RowNotLoaded> {
        let unread = self.unread.get(&id).ok_or(RowNotLoaded(RowNeed::UnreadMessages(id)))?;
        Ok(unread.range(..=last).copied().collect())
    }

    /// The statuses parked for a message, to be changed.
    pub(super) fn parked_mut(&mut self, wamid: &Arc<str>) -> Result<&mut Vec<StatusReport>, RowNotLoaded> {
        self.parked.get_mut(wamid).ok_or_else(|| RowNotLoaded(RowNeed::ParkedStatuses(wamid.clone())))
    }

    /// Removes a pending effect; `false` when it is not pending.
    pub(super) fn remove_effect(&mut self, id: EffectId) -> Result<bool, RowNotLoaded> {
        let pending = self.effects.get_mut(&id.run).ok_or(RowNotLoaded(RowNeed::PendingEffects(id.run)))?;
        Ok(pending.remove(&id.ordinal))
    }
}
