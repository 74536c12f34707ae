//! A draft of one commit: the loaded rows that commands are decided on, and the changes made so far.
//!
//! Invariants: every row that a reader sees changed carries the draft's instant as `updated_at`; a draft in
//! which a rule lacked a row never becomes a commit.

mod erasures;
mod templates;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::account::Account;
use super::contact::Contact;
use super::conversation::Conversation;
use super::effect::{EffectId, SettledEffect};
use super::erasure::DeletedContact;
use super::event::EventKind;
use super::identity::IdentifierKey;
use super::inbound::RawItem;
use super::loaded_rows::LoadedRows;
use super::message::Message;
use super::parked::ParkedItem;
use super::read_receipt::ReadReceipt;
use super::row_needs::{RowNeeds, RowNotLoaded};
use super::template::{Template, TemplateKey};
use super::time::Timestamp;
use crate::ids::{ContactId, ConversationId, IdSource, MessageId, TemplateId};

/// A draft of one commit.
pub struct Draft<'a> {
    /// The instant of the commit, by the account clock.
    pub now: Timestamp,
    /// Wall time at the commit. Compared with WhatsApp's time, and the start of persisted waits.
    pub wall_now: Timestamp,
    /// The account after the commands decided so far.
    pub account: Arc<Account>,
    facts: LoadedRows,
    ids: &'a mut dyn IdSource,
    changes: AccountChanges,
    /// Keys and digests of the items in `changes.raw`.
    kept_raw: HashSet<(Arc<str>, [u8; 16])>,
    missing: RowNeeds,
}

/// The rows and events that a commit writes.
#[derive(Debug, Clone, Default)]
pub struct AccountChanges {
    /// The account's own row, if it changed.
    pub account: Option<Arc<Account>>,
    /// New and changed contacts.
    pub contacts: BTreeMap<ContactId, Arc<Contact>>,
    /// New and changed conversations.
    pub conversations: BTreeMap<ConversationId, Arc<Conversation>>,
    /// New and changed messages.
    pub messages: BTreeMap<MessageId, Arc<Message>>,
    /// The changed ones of them as they were before the commit. A message that is missing here is written whole.
    pub earlier_messages: BTreeMap<MessageId, Arc<Message>>,
    /// Events, in order, not numbered yet.
    pub events: Vec<EventKind>,
    /// Items to keep for messages not known yet.
    pub parked: Vec<ParkedItem>,
    /// Keys of WhatsApp's ids with parked items that have been applied.
    pub unparked: Vec<Arc<str>>,
    /// Contacts that identifiers belong to from now on.
    pub identifiers: BTreeMap<IdentifierKey, ContactId>,
    /// Items as they came.
    pub raw: Vec<RawItem>,
    /// Messages that were taken back: their content goes everywhere.
    pub erased: Vec<ErasedMessage>,
    /// Conversations that became one.
    pub merges: Vec<ConversationMerge>,
    /// Messages to be reported as read. They are no rows: a commit need not write them.
    pub read_receipts: Vec<ReadReceipt>,
    /// WhatsApp is to be asked for the properties of the number. It is no row: a commit need not write it.
    pub asks_profile: bool,
    /// WhatsApp is to be asked for its list of templates. It is no row: a commit need not write it.
    pub asks_templates: bool,
    /// New and changed templates.
    pub templates: BTreeMap<TemplateId, Arc<Template>>,
    /// Templates that WhatsApp does not have any more.
    pub removed_templates: BTreeMap<TemplateId, TemplateKey>,
    /// Outcomes of effects of hooks.
    pub effects: Vec<SettledEffect>,
    /// Contacts that go, with their conversations. Their messages are erased afterwards.
    pub deleted: Vec<DeletedContact>,
    /// Messages that are no longer kept.
    pub removed: Vec<MessageId>,
    /// Keys of what was erased, so that WhatsApp's later items about it are skipped.
    pub erased_keys: Vec<Arc<str>>,
    /// Erasures that have ended: contact, and the conversation that it had.
    pub ended_erasures: Vec<(ContactId, Option<ConversationId>)>,
    /// Items that were skipped, because what they are about was erased. It is no row.
    pub skipped_erased: u64,
}

/// A message that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedMessage {
    /// Its id.
    pub id: MessageId,
    /// Key of WhatsApp's id; raw items are kept under it.
    pub wamid_key: Arc<str>,
}

/// A conversation whose messages all belong to another one from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationMerge {
    /// Conversation that loses its messages.
    pub from: ConversationId,
    /// Conversation that gets them.
    pub into: ConversationId,
    /// Contact of the latter.
    pub contact: ContactId,
}

impl AccountChanges {
    /// Returns `true` when nothing needs writing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.account.is_none()
            && self.contacts.is_empty()
            && self.conversations.is_empty()
            && self.messages.is_empty()
            && self.events.is_empty()
            && self.parked.is_empty()
            && self.unparked.is_empty()
            && self.identifiers.is_empty()
            && self.raw.is_empty()
            && self.erased.is_empty()
            && self.merges.is_empty()
            && self.effects.is_empty()
            && self.deleted.is_empty()
            && self.removed.is_empty()
            && self.erased_keys.is_empty()
            && self.ended_erasures.is_empty()
            && self.templates.is_empty()
            && self.removed_templates.is_empty()
    }
}

impl<'a> Draft<'a> {
    /// Begins a commit at this instant of the account clock. The wall clock is assumed to show the same.
    pub fn new(account: Arc<Account>, facts: LoadedRows, now: Timestamp, ids: &'a mut dyn IdSource) -> Self {
        let (changes, missing) = (AccountChanges::default(), RowNeeds::default());
        Self { now, wall_now: now, account, facts, ids, changes, kept_raw: HashSet::new(), missing }
    }

    /// Sets the wall time, which an account clock may be ahead of.
    #[must_use]
    pub const fn with_wall_time(mut self, wall_now: Timestamp) -> Self {
        self.wall_now = wall_now;
        self
    }

    /// The rows loaded so far.
    #[must_use]
    pub const fn loaded_rows(&self) -> &LoadedRows {
        &self.facts
    }

    /// Ends the draft.
    ///
    /// # Errors
    /// The [`RowNeeds`] of rules that lacked rows. Load these rows, then decide all commands again on a new
    /// draft.
    pub fn into_changes(self) -> Result<AccountChanges, Box<RowNeeds>> {
        if self.missing.is_empty() { Ok(self.changes) } else { Err(Box::new(self.missing)) }
    }

    /// Records that a rule lacked a row.
    pub(super) fn note_missing(&mut self, missing: RowNotLoaded) {
        self.missing.insert_need(missing.0);
    }

    /// Draws the id of a new contact, which has no conversation yet.
    pub(super) fn next_contact_id(&mut self) -> ContactId {
        let id = ContactId::from_bits(self.next_bits());
        self.facts.put_absent_conversation(id);
        id
    }

    /// Draws the id of a new conversation, which has no unread messages yet.
    pub(super) fn next_conversation_id(&mut self) -> ConversationId {
        let id = ConversationId::from_bits(self.next_bits());
        self.facts.put_absent_unread(id);
        id
    }

    /// 128 bits of a new id, later than every id of this account so far.
    pub fn next_bits(&mut self) -> u128 {
        self.ids.next_bits(self.now.millis())
    }

    /// Appends an event.
    pub fn emit_event(&mut self, event: EventKind) {
        self.changes.events.push(event);
    }

    /// Writes a contact, stamped with the draft's instant. Its identifiers belong to it from now on.
    pub fn write_contact(&mut self, mut contact: Contact) -> Arc<Contact> {
        contact.updated_at = self.now;
        let contact = Arc::new(contact);
        for key in contact.identity.keys() {
            if !matches!(self.facts.contact_of(&key), Ok(Some(owner)) if owner == contact.id) {
                self.changes.identifiers.insert(key, contact.id);
            }
        }
        self.facts.put_contact(contact.clone());
        self.changes.contacts.insert(contact.id, contact.clone());
        contact
    }

    /// Writes a conversation, stamped with the draft's instant.
    pub fn write_conversation(&mut self, mut conversation: Conversation) -> Arc<Conversation> {
        conversation.updated_at = self.now;
        let conversation = Arc::new(conversation);
        self.facts.put_conversation(conversation.clone());
        self.changes.conversations.insert(conversation.id, conversation.clone());
        conversation
    }

    /// Writes a message, stamped with the draft's instant.
    pub fn write_message(&mut self, mut message: Message) -> Arc<Message> {
        message.updated_at = self.now;
        self.keep_message(message)
    }

    /// Writes fields of a message that only the sender reads: attempts, and the time of the next one. Clients
    /// see no change, so `updated_at` stays.
    pub fn note_attempt(&mut self, message: Message) -> Arc<Message> {
        self.keep_message(message)
    }

    fn keep_message(&mut self, message: Message) -> Arc<Message> {
        let message = Arc::new(message);
        if !self.changes.messages.contains_key(&message.id)
            && let Ok(Some(earlier)) = self.facts.find_message(message.id)
        {
            self.changes.earlier_messages.insert(message.id, earlier.clone());
        }
        self.facts.put_message(message.clone());
        self.changes.messages.insert(message.id, message.clone());
        message
    }

    /// Writes the account's own row.
    pub fn write_account(&mut self, account: Account) -> Arc<Account> {
        self.account = Arc::new(account);
        self.changes.account = Some(self.account.clone());
        self.account.clone()
    }

    /// Parks an item for a message not known yet, unless its slot holds one that stays.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn park_item(&mut self, item: ParkedItem) -> Result<(), RowNotLoaded> {
        let (slot, waiting) = (item.slot(), self.facts.parked_mut(&item.wamid_key)?);
        if waiting.iter().any(|known| known.slot() == slot && !item.replaces(known)) {
            return Ok(());
        }
        waiting.retain(|known| known.slot() != slot);
        waiting.push(item.clone());
        self.changes.parked.retain(|known| known.wamid_key != item.wamid_key || known.slot() != slot);
        self.changes.parked.push(item);
        Ok(())
    }

    /// Takes the items parked for a message, oldest first.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn take_parked(&mut self, key: &Arc<str>) -> Result<Vec<ParkedItem>, RowNotLoaded> {
        let mut items = std::mem::take(self.facts.parked_mut(key)?);
        if !items.is_empty() {
            items.sort_by_key(ParkedItem::at);
            self.changes.parked.retain(|item| item.wamid_key != *key);
            self.changes.unparked.push(key.clone());
        }
        Ok(items)
    }

    /// Keeps an item as it came.
    pub fn keep_raw(&mut self, raw: Option<&RawItem>) {
        if let Some(raw) = raw
            && self.kept_raw.insert((raw.wamid_key.clone(), raw.digest))
        {
            self.changes.raw.push(raw.clone());
        }
    }

    /// Returns `true` for an item that repeats a value of a webhook that was told before.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn repeats_notice(&self, raw: Option<&RawItem>) -> Result<bool, RowNotLoaded> {
        raw.map_or(Ok(false), |raw| self.facts.knows_notice(&raw.wamid_key))
    }

    /// Keeps a value of a webhook that is told whole, so that it is not told again.
    pub fn keep_notice(&mut self, raw: Option<&RawItem>) {
        if let Some(raw) = raw {
            self.facts.put_notice(raw.wamid_key.clone());
        }
        self.keep_raw(raw);
    }

    /// Removes the content of a message that was taken back from everything that was kept of it.
    pub fn erase_message(&mut self, erased: ErasedMessage) {
        self.changes.raw.retain(|raw| raw.wamid_key != erased.wamid_key);
        self.kept_raw.retain(|(key, _)| *key != erased.wamid_key);
        self.changes.erased.push(erased);
    }

    /// Removes the content of a message from the events of this draft.
    pub fn forget_content(&mut self, id: MessageId) {
        for event in &mut self.changes.events {
            event.forget_content(id);
        }
    }

    /// Moves all messages of a conversation to another one.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn merge_conversations(&mut self, merge: ConversationMerge) -> Result<(), RowNotLoaded> {
        // Messages that are not changed otherwise are moved by the store, whether they are loaded or not.
        for message in self.facts.move_messages(merge.from, merge.into)? {
            let mut message = (*message).clone();
            (message.conversation_id, message.contact_id) = (merge.into, merge.contact);
            message.updated_at = self.now;
            let message = Arc::new(message);
            if let Some(changed) = self.changes.messages.get_mut(&message.id) {
                *changed = message.clone();
            }
            self.facts.put_message(message);
        }
        self.changes.merges.push(merge);
        Ok(())
    }

    /// Takes a pending effect, so that it is no longer pending; `false` when it was not.
    ///
    /// # Errors
    /// [`RowNotLoaded`].
    pub fn take_effect(&mut self, id: EffectId) -> Result<bool, RowNotLoaded> {
        self.facts.remove_effect(id)
    }

    /// Records the outcome of an effect.
    pub fn settle_effect(&mut self, settled: SettledEffect) {
        self.changes.effects.push(settled);
    }

    /// Requests that WhatsApp is asked for the properties of the number, once the commit is durable.
    pub const fn ask_profile(&mut self) {
        self.changes.asks_profile = true;
    }

    /// Requests a read receipt, sent once the commit is durable.
    pub fn tell_read(&mut self, receipt: ReadReceipt) {
        self.changes.read_receipts.push(receipt);
    }
}
