//! What is known of an account while commands are decided, and what they have changed so far.
//!
//! Invariant: every row that a reader sees changed carries the draft's instant as `updated_at`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::account::Account;
use super::contact::Contact;
use super::conversation::Conversation;
use super::effect::{EffectId, SettledEffect};
use super::event::EventKind;
use super::message::{Message, StatusReport};
use super::phone::Phone;
use super::time::Timestamp;
use crate::ids::{ContactId, ConversationId, IdSource, MessageId};

/// Rows that were fetched, or are resident. What is not here does not exist, if it was needed.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    contacts: HashMap<ContactId, Arc<Contact>>,
    contact_by_phone: HashMap<Phone, ContactId>,
    conversations: HashMap<ConversationId, Arc<Conversation>>,
    conversation_by_phone: HashMap<Phone, ConversationId>,
    messages: HashMap<MessageId, Arc<Message>>,
    message_by_wamid: HashMap<Arc<str>, MessageId>,
    unread: BTreeMap<ConversationId, BTreeSet<MessageId>>,
    parked: HashMap<Arc<str>, Vec<StatusReport>>,
    effects: HashSet<EffectId>,
}

impl Facts {
    /// Adds, or replaces, a contact.
    pub fn put_contact(&mut self, contact: Arc<Contact>) {
        self.contact_by_phone.insert(contact.phone.clone(), contact.id);
        self.contacts.insert(contact.id, contact);
    }

    /// Adds, or replaces, a thread.
    pub fn put_conversation(&mut self, conversation: Arc<Conversation>) {
        self.conversation_by_phone.insert(conversation.contact.phone.clone(), conversation.id);
        self.conversations.insert(conversation.id, conversation);
    }

    /// Adds, or replaces, a message.
    pub fn put_message(&mut self, message: Arc<Message>) {
        if let Some(wamid) = &message.wamid {
            self.message_by_wamid.insert(wamid.clone(), message.id);
        }
        self.messages.insert(message.id, message);
    }

    /// Adds an unread inbound message of a thread.
    pub fn put_unread(&mut self, message: Arc<Message>) {
        self.unread.entry(message.conversation_id).or_default().insert(message.id);
        self.put_message(message);
    }

    /// Adds a status that waits for its message.
    pub fn put_parked(&mut self, report: StatusReport) {
        self.parked.entry(report.wamid.clone()).or_default().push(report);
    }

    /// Adds an effect that waits to be carried out.
    pub fn put_effect(&mut self, id: EffectId) {
        self.effects.insert(id);
    }

    /// A contact by id.
    #[must_use]
    pub fn contact(&self, id: ContactId) -> Option<&Arc<Contact>> {
        self.contacts.get(&id)
    }

    /// A contact by number.
    #[must_use]
    pub fn contact_of(&self, phone: &Phone) -> Option<&Arc<Contact>> {
        self.contacts.get(self.contact_by_phone.get(phone)?)
    }

    /// A thread by id.
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> Option<&Arc<Conversation>> {
        self.conversations.get(&id)
    }

    /// The thread with a number.
    #[must_use]
    pub fn conversation_with(&self, phone: &Phone) -> Option<&Arc<Conversation>> {
        self.conversations.get(self.conversation_by_phone.get(phone)?)
    }

    /// A message by id.
    #[must_use]
    pub fn message(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.messages.get(&id)
    }

    /// A message by WhatsApp's id.
    #[must_use]
    pub fn message_of(&self, wamid: &str) -> Option<&Arc<Message>> {
        self.messages.get(self.message_by_wamid.get(wamid)?)
    }

    /// Unread inbound messages of a thread up to and including `last`, oldest first.
    #[must_use]
    pub fn unread_up_to(&self, id: ConversationId, last: MessageId) -> Vec<MessageId> {
        self.unread.get(&id).map(|ids| ids.range(..=last).copied().collect()).unwrap_or_default()
    }
}

/// One commit in the making.
pub struct Draft<'a> {
    /// The instant of the commit.
    pub now: Timestamp,
    /// The account as the commands so far leave it.
    pub account: Arc<Account>,
    facts: Facts,
    ids: &'a mut dyn IdSource,
    changes: Changes,
}

/// What a commit writes.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The account's own row, if it changed.
    pub account: Option<Arc<Account>>,
    /// New and changed contacts.
    pub contacts: BTreeMap<ContactId, Arc<Contact>>,
    /// New and changed threads.
    pub conversations: BTreeMap<ConversationId, Arc<Conversation>>,
    /// New and changed messages.
    pub messages: BTreeMap<MessageId, Arc<Message>>,
    /// Events, in order, not numbered yet.
    pub events: Vec<EventKind>,
    /// Statuses to keep for messages not known yet.
    pub parked: Vec<StatusReport>,
    /// WhatsApp's ids whose parked statuses have been applied.
    pub unparked: Vec<Arc<str>>,
    /// WhatsApp's ids of messages to be reported as read.
    pub read_receipts: Vec<Arc<str>>,
    /// What became of effects of hooks.
    pub effects: Vec<SettledEffect>,
}

impl Changes {
    /// Whether nothing needs writing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.account.is_none()
            && self.contacts.is_empty()
            && self.conversations.is_empty()
            && self.messages.is_empty()
            && self.events.is_empty()
            && self.parked.is_empty()
            && self.unparked.is_empty()
            && self.effects.is_empty()
    }
}

impl<'a> Draft<'a> {
    /// Begins a commit at this instant.
    pub fn new(account: Arc<Account>, facts: Facts, now: Timestamp, ids: &'a mut dyn IdSource) -> Self {
        Self { now, account, facts, ids, changes: Changes::default() }
    }

    /// What is known.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Ends the draft.
    #[must_use]
    pub fn finish(self) -> Changes {
        self.changes
    }

    /// 128 bits of a new id, later than every id of this account so far.
    pub fn next_bits(&mut self) -> u128 {
        self.ids.next_bits(self.now.millis())
    }

    /// Appends an event.
    pub fn emit(&mut self, event: EventKind) {
        self.changes.events.push(event);
    }

    /// Writes a contact, stamped with the draft's instant.
    pub fn write_contact(&mut self, mut contact: Contact) -> Arc<Contact> {
        contact.updated_at = self.now;
        let contact = Arc::new(contact);
        self.facts.put_contact(contact.clone());
        self.changes.contacts.insert(contact.id, contact.clone());
        contact
    }

    /// Writes a thread, stamped with the draft's instant.
    pub fn write_conversation(&mut self, mut conversation: Conversation) -> Arc<Conversation> {
        conversation.updated_at = self.now;
        let conversation = Arc::new(conversation);
        self.facts.put_conversation(conversation.clone());
        self.changes.conversations.insert(conversation.id, conversation.clone());
        conversation
    }

    /// Writes a message, stamped with the draft's instant.
    pub fn write_message(&mut self, mut message: Message) -> Arc<Message> {
        use super::status::MessageStatus::{Read, Received};
        message.updated_at = self.now;
        let message = Arc::new(message);
        match message.status {
            Received => self.facts.put_unread(message.clone()),
            Read => {
                if let Some(ids) = self.facts.unread.get_mut(&message.conversation_id) {
                    ids.remove(&message.id);
                }
                self.facts.put_message(message.clone());
            }
            super::status::MessageStatus::Pending
            | super::status::MessageStatus::Sent
            | super::status::MessageStatus::Failed
            | super::status::MessageStatus::Delivered => self.facts.put_message(message.clone()),
        }
        self.changes.messages.insert(message.id, message.clone());
        message
    }

    /// Writes what only the sender sees of a message (attempts, and when the next one may be made),
    /// which is no change to anybody else.
    pub fn note_attempt(&mut self, message: Message) -> Arc<Message> {
        let message = Arc::new(message);
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

    /// Keeps a status for a message not known yet, unless the same one waits already.
    pub fn park(&mut self, report: StatusReport) {
        let waiting = self.facts.parked.entry(report.wamid.clone()).or_default();
        if !waiting.iter().any(|known| known.status == report.status) {
            waiting.push(report.clone());
            self.changes.parked.push(report);
        }
    }

    /// Takes the statuses that wait for a message, oldest first.
    pub fn take_parked(&mut self, wamid: &Arc<str>) -> Vec<StatusReport> {
        let mut reports = self.facts.parked.remove(wamid).unwrap_or_default();
        if !reports.is_empty() {
            reports.sort_by_key(|report| report.at);
            self.changes.parked.retain(|report| report.wamid != *wamid);
            self.changes.unparked.push(wamid.clone());
        }
        reports
    }

    /// Takes an effect that waits, so that it waits no more; `false` when it does not.
    pub fn take_effect(&mut self, id: EffectId) -> bool {
        self.facts.effects.remove(&id)
    }

    /// Notes what became of an effect.
    pub fn settle_effect(&mut self, settled: SettledEffect) {
        self.changes.effects.push(settled);
    }

    /// Asks for a read receipt once the commit is durable.
    pub fn tell_read(&mut self, wamid: Arc<str>) {
        self.changes.read_receipts.push(wamid);
    }
}
