//! The rows that rules look at: one [`Need`] is one key, [`Needs`] are the keys to load for a batch of commands.
//!
//! Invariant: what a command is known to need ahead is only a hint that saves a round. A rule that looks at a
//! key outside of it names that key as a [`Need`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::command::{Command, Deed, Order};
use super::message::{Inbound, SendOutcome};
use super::phone::Phone;
use crate::ids::{ContactId, ConversationId, MessageId, RunId};

/// A key that a rule looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A message by id.
    Message(MessageId),
    /// A message by WhatsApp's id.
    MessageOfWamid(Arc<str>),
    /// The statuses parked for a message of this id of WhatsApp's.
    ParkedStatuses(Arc<str>),
    /// A contact by id.
    Contact(ContactId),
    /// A contact by number.
    ContactOfPhone(Phone),
    /// A conversation by id.
    Conversation(ConversationId),
    /// A conversation by its contact's number.
    ConversationOfPhone(Phone),
    /// The unread inbound messages of a conversation.
    UnreadMessages(ConversationId),
    /// The pending effects of a run of a hook.
    PendingEffects(RunId),
}

/// A rule looked at a key whose rows were not loaded, so it cannot decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row that decides the command was not loaded")]
pub struct NotLoaded(pub Need);

/// Keys to load before a batch of commands is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Messages by WhatsApp's id.
    pub wamids: BTreeSet<Arc<str>>,
    /// Statuses parked for messages of these ids of WhatsApp's.
    pub parked: BTreeSet<Arc<str>>,
    /// Messages by id.
    pub messages: BTreeSet<MessageId>,
    /// Contacts by number, without their conversations.
    pub contact_phones: BTreeSet<Phone>,
    /// Contacts by number, with their conversations.
    pub phones: BTreeSet<Phone>,
    /// Contacts by id, with their conversations.
    pub contacts: BTreeSet<ContactId>,
    /// Conversations by id.
    pub conversations: BTreeSet<ConversationId>,
    /// Conversations whose unread messages are needed.
    pub unread: BTreeSet<ConversationId>,
    /// Runs of hooks whose pending effects are needed.
    pub runs: BTreeSet<RunId>,
}

impl Needs {
    /// Returns whether nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a key that a rule looked up.
    pub fn insert(&mut self, need: Need) {
        match need {
            Need::Message(id) => {
                self.messages.insert(id);
            }
            Need::MessageOfWamid(wamid) => {
                self.wamids.insert(wamid);
            }
            Need::ParkedStatuses(wamid) => {
                self.parked.insert(wamid);
            }
            Need::Contact(id) => {
                self.contacts.insert(id);
            }
            Need::ContactOfPhone(phone) => {
                self.contact_phones.insert(phone);
            }
            Need::Conversation(id) => {
                self.conversations.insert(id);
            }
            Need::ConversationOfPhone(phone) => {
                self.phones.insert(phone);
            }
            Need::UnreadMessages(id) => {
                self.unread.insert(id);
                // A command that reads them changes the conversation too: loaded now, it saves a round.
                self.conversations.insert(id);
            }
            Need::PendingEffects(run) => {
                self.runs.insert(run);
            }
        }
    }

    /// Adds the keys that this command is known to need before it is decided.
    pub fn add(&mut self, command: &Command) {
        match command {
            Command::Ingest(items) => items.iter().for_each(|item| self.add_inbound(item)),
            Command::Send(outgoing) => {
                self.phones.insert(outgoing.to.clone());
            }
            Command::MarkRead { wamid } => {
                self.wamids.insert(wamid.clone());
            }
            Command::PatchConversation(patch) => {
                self.conversations.insert(patch.id);
            }
            Command::CreateContact(contact) => {
                self.contact_phones.insert(contact.phone.clone());
            }
            Command::PatchContact { id, .. } => {
                self.contacts.insert(*id);
            }
            Command::BeginSends { seen, .. } => self.messages.extend(seen.iter().map(|one| one.id)),
            Command::RecordSends(ended) => {
                for (id, outcome) in ended {
                    self.messages.insert(*id);
                    if let SendOutcome::Accepted { wamid } = outcome {
                        self.parked.insert(wamid.clone());
                    }
                }
            }
            Command::CarryOut(orders) => orders.iter().for_each(|order| self.add_order(order)),
            Command::Configure(_) => {}
        }
    }

    fn add_order(&mut self, order: &Order) {
        self.runs.insert(order.id.run);
        match &order.deed {
            Ok(Deed::Send(outgoing)) => {
                self.phones.insert(outgoing.to.clone());
            }
            Ok(Deed::MarkRead(wamid)) => {
                self.wamids.insert(wamid.clone());
            }
            Ok(Deed::Patch(patch)) => {
                self.conversations.insert(patch.id);
            }
            Err(_) => {}
        }
    }

    fn add_inbound(&mut self, item: &Inbound) {
        match item {
            Inbound::Message(message) => {
                self.wamids.insert(message.wamid.clone());
                self.phones.insert(message.from.clone());
            }
            Inbound::Status(report) => {
                self.wamids.insert(report.wamid.clone());
                self.parked.insert(report.wamid.clone());
                self.messages.extend(report.echo);
            }
        }
    }
}
