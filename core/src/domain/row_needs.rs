//! Keys of the rows that rules read: one [`RowNeed`] is one key, [`RowNeeds`] are the keys to load for a
//! batch of commands.
//!
//! Invariant: the known needs of a command are only a hint that saves a round. A rule that reads a key
//! outside of them names that key as a [`RowNeed`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::address::Address;
use super::command::{AccountCommand, EffectAction, EffectCommand};
use super::identity::{IdentifierKey, Party};
use super::inbound::{InboundFact, InboundItem, InboundMessage, ItemOwner};
use super::message::{OutgoingMessage, SendOutcome};
use super::template::TemplateKey;
use super::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId, MessageId, RunId};

/// A key that a rule looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNeed {
    /// A message by id.
    Message(MessageId),
    /// A message by the key of WhatsApp's id.
    MessageOfWamid(Arc<str>),
    /// The items parked for a message with this key of WhatsApp's id.
    ParkedItems(Arc<str>),
    /// A value of a webhook that was told whole, by the key of its raw item.
    Notice(Arc<str>),
    /// A contact by id, with its conversation.
    Contact(ContactId),
    /// A contact by identifier, with its conversation.
    Identifier(IdentifierKey),
    /// A conversation by id.
    Conversation(ConversationId),
    /// The unread inbound messages of a conversation.
    UnreadMessages(ConversationId),
    /// The pending effects of a run of a hook.
    PendingEffects(RunId),
    /// The fact that something was erased, by one of its keys; see `InboundItem::erasure_keys`.
    ErasedKey(Arc<str>),
    /// The contacts that were merged into a contact, directly or through others.
    MergedContacts(ContactId),
    /// A template by name and language.
    Template(TemplateKey),
}

/// A rule looked up a key that was not loaded, so it cannot decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row that decides the command was not loaded")]
pub struct RowNotLoaded(pub RowNeed);

/// Keys to load before a batch of commands is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowNeeds {
    /// Messages by the keys of WhatsApp's ids.
    pub wamids: BTreeSet<Arc<str>>,
    /// Items parked for messages with these keys of WhatsApp's ids.
    pub parked: BTreeSet<Arc<str>>,
    /// Values of webhooks that were told whole, by the keys of their raw items.
    pub notices: BTreeSet<Arc<str>>,
    /// Messages by id.
    pub messages: BTreeSet<MessageId>,
    /// Contacts by identifier, with their conversations.
    pub identifiers: BTreeSet<IdentifierKey>,
    /// Contacts by id, with their conversations.
    pub contacts: BTreeSet<ContactId>,
    /// Conversations by id.
    pub conversations: BTreeSet<ConversationId>,
    /// Conversations with unread messages to load.
    pub unread: BTreeSet<ConversationId>,
    /// Runs of hooks with pending effects to load.
    pub runs: BTreeSet<RunId>,
    /// Keys of what may have been erased.
    pub erased: BTreeSet<Arc<str>>,
    /// Contacts of which the merged ones are needed.
    pub merged: BTreeSet<ContactId>,
    /// Templates by name and language.
    pub templates: BTreeSet<TemplateKey>,
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
            RowNeed::ParkedItems(wamid) => {
                self.parked.insert(wamid);
            }
            RowNeed::Notice(key) => {
                self.notices.insert(key);
            }
            RowNeed::Contact(id) => {
                self.contacts.insert(id);
            }
            RowNeed::Identifier(key) => {
                self.identifiers.insert(key);
            }
            RowNeed::Conversation(id) => {
                self.conversations.insert(id);
            }
            RowNeed::UnreadMessages(id) => {
                self.unread.insert(id);
                // A command that reads them changes the conversation too: loaded now, it saves a round.
                self.conversations.insert(id);
            }
            RowNeed::PendingEffects(run) => {
                self.runs.insert(run);
            }
            RowNeed::ErasedKey(key) => {
                self.erased.insert(key);
            }
            RowNeed::MergedContacts(id) => {
                self.merged.insert(id);
            }
            RowNeed::Template(key) => {
                self.templates.insert(key);
            }
        }
    }

    /// Adds the keys that this command is known to need before it is decided.
    pub fn add_needs(&mut self, command: &AccountCommand) {
        match command {
            AccountCommand::Ingest(items) => items.iter().for_each(|item| self.add_inbound(item)),
            AccountCommand::Send(outgoing) => self.add_outgoing(outgoing),
            AccountCommand::MarkRead(mark) => {
                self.wamids.insert(wamid_key(&mark.wamid));
            }
            AccountCommand::PatchConversation(patch) => {
                self.conversations.insert(patch.id);
            }
            AccountCommand::CreateContact(contact) => {
                self.identifiers.extend(contact.identifier.to_party().keys());
            }
            AccountCommand::PatchContact { id, .. } => {
                self.contacts.insert(*id);
            }
            AccountCommand::DeleteContact(id) => {
                self.contacts.insert(*id);
                self.merged.insert(*id);
            }
            AccountCommand::RemoveMessages(ids) => self.messages.extend(ids),
            AccountCommand::BeginSends { seen, .. } => self.messages.extend(seen.iter().map(|one| one.id)),
            AccountCommand::RecordSends(ended) => {
                for (id, outcome) in ended {
                    self.messages.insert(*id);
                    if let SendOutcome::Accepted { wamid, recipient, .. } = outcome {
                        self.parked.extend(wamid.as_deref().map(wamid_key));
                        self.add_party(recipient);
                    }
                }
            }
            AccountCommand::RecordTemplates(told) => {
                self.templates.extend(told.iter().map(|one| one.key.clone()));
            }
            AccountCommand::RemoveTemplates { keys, .. } => self.templates.extend(keys.iter().cloned()),
            AccountCommand::AddTemplate(told) => {
                self.templates.insert(told.key.clone());
            }
            AccountCommand::CarryOut(orders) => orders.iter().for_each(|order| self.add_order(order)),
            AccountCommand::EndErasure { .. }
            | AccountCommand::RecordProbe(_)
            | AccountCommand::Configure(_) => {}
        }
    }

    fn add_order(&mut self, order: &EffectCommand) {
        self.runs.insert(order.id.run);
        match &order.deed {
            Ok(EffectAction::Send(outgoing)) => self.add_outgoing(outgoing),
            Ok(EffectAction::MarkRead(mark)) => {
                self.wamids.insert(wamid_key(&mark.wamid));
            }
            Ok(EffectAction::Patch(patch)) => {
                self.conversations.insert(patch.id);
            }
            Err(_) => {}
        }
    }

    fn add_outgoing(&mut self, outgoing: &OutgoingMessage) {
        self.identifiers.extend(match &outgoing.to {
            Address::Phone(phone) => Some(IdentifierKey::Number(phone.clone())),
            Address::User(id) => Some(IdentifierKey::of_user_id(id.clone())),
            Address::Group(id) => Some(IdentifierKey::Group(id.clone())),
            Address::Unknown => None,
        });
        self.templates.extend(outgoing.template.clone());
        self.wamids.extend(outgoing.reaction.iter().map(|reaction| wamid_key(&reaction.wamid)));
    }

    fn add_party(&mut self, party: &Party) {
        self.identifiers.extend(party.keys());
    }

    /// Adds the keys of a message and of the items that wait for it.
    fn add_wamid(&mut self, wamid: &str) {
        let key = wamid_key(wamid);
        self.parked.insert(key.clone());
        self.wamids.insert(key);
    }

    fn add_inbound(&mut self, item: &InboundItem) {
        self.erased.extend(item.erasure_keys());
        match &item.fact {
            InboundFact::Message(message) => self.add_message(message),
            InboundFact::Edit(edit) => self.add_wamid(&edit.wamid),
            InboundFact::Revoke(revoke) => self.add_wamid(&revoke.wamid),
            InboundFact::Status(report) => {
                self.add_wamid(&report.wamid);
                self.messages.extend(report.echo);
                report.recipient.iter().for_each(|party| self.add_party(party));
            }
            InboundFact::Call(call) => {
                self.wamids.insert(wamid_key(&call.call_id));
                self.add_party(&call.party);
            }
            InboundFact::Preference(preference) => self.add_party(&preference.party),
            InboundFact::Person(notice) => {
                self.add_party(&notice.party);
                notice.before.iter().for_each(|party| self.add_party(party));
            }
            InboundFact::Field(_) | InboundFact::Account(_) => {
                self.notices.extend(item.raw.iter().map(|raw| raw.wamid_key.clone()));
            }
            InboundFact::Template(notice) => {
                self.templates.insert(notice.told.key.clone());
                self.notices.extend(item.raw.iter().map(|raw| raw.wamid_key.clone()));
            }
            InboundFact::RawOnly => {}
        }
    }

    fn add_message(&mut self, message: &InboundMessage) {
        self.add_wamid(&message.wamid);
        if let ItemOwner::Group(id, _) = &message.owner {
            self.identifiers.insert(IdentifierKey::Group(id.clone()));
        }
        self.add_party(message.owner.party());
        if let Some(change) = &message.identity_change {
            self.add_party(&change.before);
            self.add_party(&change.after);
        }
        message.shared_number.iter().for_each(|party| self.add_party(party));
        let quoted = message.context.as_ref().and_then(|context| context.message_id.as_ref());
        self.wamids.extend(quoted.map(|wamid| wamid_key(wamid)));
        if let Some(reaction) = &message.reaction {
            self.add_wamid(&reaction.wamid);
        }
    }
}
