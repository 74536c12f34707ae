//! Keys of the rows that rules read: one [`RowNeed`] is one key, [`RowNeeds`] are the keys to load for a
//! batch of commands.
//!
//! Invariant: the known needs of a command are only a hint that saves a round. A rule that reads a key
//! outside of them names that key as a [`RowNeed`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::command::{AccountCommand, EffectAction, EffectCommand};
use super::message::{InboundItem, SendOutcome};
use super::phone::Phone;
use crate::ids::{ContactId, ConversationId, MessageId, RunId};

/// A key that a rule looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNeed {
    /// A message by id.
    Message(MessageId),
    /// A message by WhatsApp's id.
    MessageOfWamid(Arc<str>),
    /// The statuses parked for a message with this id of WhatsApp's.
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

/// A rule looked up a key that was not loaded, so it cannot decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row that decides the command was not loaded")]
pub struct RowNotLoaded(pub RowNeed);

/// Keys to load before a batch of commands is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowNeeds {
    /// Messages by WhatsApp's id.
    pub wamids: BTreeSet<Arc<str>>,
    /// Statuses parked for messages with these ids of WhatsApp's.
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
    /// Conversations with unread messages to load.
    pub unread: BTreeSet<ConversationId>,
    /// Runs of hooks with pending effects to load.
    pub runs: BTreeSet<RunId>,
}

impl RowNeeds {
    /// Returns `true` when nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a key that a rule looked up.
    pub fn insert_need(&mut self, need: RowNeed) {
        match need {
            RowNeed::Message(id) => {
                self.messages.insert(id);
            }
            RowNeed::MessageOfWamid(wamid) => {
                self.wamids.insert(wamid);
            }
            RowNeed::ParkedStatuses(wamid) => {
                self.parked.insert(wamid);
            }
            RowNeed::Contact(id) => {
                self.contacts.insert(id);
            }
            RowNeed::ContactOfPhone(phone) => {
                self.contact_phones.insert(phone);
            }
            RowNeed::Conversation(id) => {
                self.conversations.insert(id);
            }
            RowNeed::ConversationOfPhone(phone) => {
                self.phones.insert(phone);
            }
            RowNeed::UnreadMessages(id) => {
                self.unread.insert(id);
                // A command that reads them changes the conversation too: loaded now, it saves a round.
                self.conversations.insert(id);
            }
            RowNeed::PendingEffects(run) => {
                self.runs.insert(run);
            }
        }
    }

    /// Adds the keys that this command is known to need before it is decided.
    pub fn add_needs(&mut self, command: &AccountCommand) {
        match command {
            AccountCommand::Ingest(items) => items.iter().for_each(|item| self.add_inbound(item)),
            AccountCommand::Send(outgoing) => {
                self.phones.insert(outgoing.to.clone());
            }
            AccountCommand::MarkRead { wamid } => {
                self.wamids.insert(wamid.clone());
            }
            AccountCommand::PatchConversation(patch) => {
                self.conversations.insert(patch.id);
            }
            AccountCommand::CreateContact(contact) => {
                self.contact_phones.insert(contact.phone.clone());
            }
            AccountCommand::PatchContact { id, .. } => {
                self.contacts.insert(*id);
            }
            AccountCommand::BeginSends { seen, .. } => self.messages.extend(seen.iter().map(|one| one.id)),
            AccountCommand::RecordSends(ended) => {
                for (id, outcome) in ended {
                    self.messages.insert(*id);
                    if let SendOutcome::Accepted { wamid } = outcome {
                        self.parked.insert(wamid.clone());
                    }
                }
            }
            AccountCommand::CarryOut(orders) => orders.iter().for_each(|order| self.add_order(order)),
            AccountCommand::Configure(_) => {}
        }
    }

    fn add_order(&mut self, order: &EffectCommand) {
        self.runs.insert(order.id.run);
        match &order.deed {
            Ok(EffectAction::Send(outgoing)) => {
                self.phones.insert(outgoing.to.clone());
            }
            Ok(EffectAction::MarkRead(wamid)) => {
                self.wamids.insert(wamid.clone());
            }
            Ok(EffectAction::Patch(patch)) => {
                self.conversations.insert(patch.id);
            }
            Err(_) => {}
        }
    }

    fn add_inbound(&mut self, item: &InboundItem) {
        match item {
            InboundItem::Message(message) => {
                self.wamids.insert(message.wamid.clone());
                self.phones.insert(message.from.clone());
            }
            InboundItem::Status(report) => {
                self.wamids.insert(report.wamid.clone());
                self.parked.insert(report.wamid.clone());
                self.messages.extend(report.echo);
            }
        }
    }
}
