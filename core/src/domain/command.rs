//! Commands that an account carries out, and its replies.

use std::sync::Arc;

use super::account::{Account, AccountPatch, AccountProfile};
pub use super::command_refusal::CommandRefusal;
use super::contact::{Contact, ContactPatch, NewContact};
use super::conversation::{Conversation, ConversationStatus};
use super::due_time::DueTime;
use super::effect::{EffectId, EffectRefusal};
use super::inbound::InboundItem;
use super::message::{Message, OutgoingMessage, SendOutcome, WaitingMessage};
use super::monotonic::MonotonicInstant;
use super::organisation::User;
use super::read_receipt::ReadReceipt;
use super::template::{Template, TemplateCounts, TemplateKey, ToldTemplate};
use super::time::Timestamp;
use crate::ids::{ContactId, ConversationId, MessageId};

/// One command to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    /// Take in one webhook's items, in their order.
    Ingest(Vec<InboundItem>),
    /// Accept a message for sending.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its conversation, as read.
    MarkRead(ReadReceipt),
    /// Change a conversation's status or assignee.
    PatchConversation(ConversationPatch),
    /// Create a contact.
    CreateContact(NewContact),
    /// Change a contact.
    PatchContact {
        /// Id of the contact.
        id: ContactId,
        /// Changes to apply.
        patch: ContactPatch,
    },
    /// Delete a contact with its conversation; everything about both is erased afterwards.
    DeleteContact(ContactId),
    /// Remove messages that are no longer kept, but for those that wait to be sent.
    RemoveMessages(Vec<MessageId>),
    /// Record that nothing is left of a contact that was deleted.
    EndErasure {
        /// The contact.
        contact: ContactId,
        /// The conversation that it had.
        conversation: Option<ConversationId>,
    },
    /// Record, before the calls are made, that these messages are about to be sent: those that still wait as
    /// the sender saw them. Until `settle_by` no sender sends them again, unless their call is recorded to
    /// have ended.
    BeginSends {
        /// Pending messages that are due, as the sender saw them. Only the sender knows which messages are
        /// due, because that is measured in its process's time.
        seen: Vec<WaitingMessage>,
        /// Time until which an unknown outcome may wait for WhatsApp's echo.
        settle_by: DueTime,
        /// Instant of the account load that the sender's view rests on. After a later load, messages that the
        /// sender saw as due may have to settle again.
        loaded_at: MonotonicInstant,
    },
    /// Record the outcomes of calls to WhatsApp, each for one message.
    RecordSends(Vec<(MessageId, SendOutcome)>),
    /// Carry out effects that hooks requested: those that still wait, in order.
    CarryOut(Vec<EffectCommand>),
    /// Record the answer to a look at the account's own number: its properties, or `None` when WhatsApp still
    /// refuses the account.
    RecordProbe(Option<AccountProfile>),
    /// Record a part of WhatsApp's list of templates.
    RecordTemplates(Vec<ToldTemplate>),
    /// Remove templates that WhatsApp's list does not have, unless they have changed since it was asked for.
    RemoveTemplates {
        /// Their names.
        keys: Vec<TemplateKey>,
        /// Wall time before the list was asked for.
        listed_at: Timestamp,
    },
    /// Record a template that WhatsApp has taken.
    AddTemplate(Box<ToldTemplate>),
    /// Change the account itself.
    Configure(AccountPatch),
}

/// An effect that a hook requested, as the account must carry it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectCommand {
    /// Id of the effect.
    pub id: EffectId,
    /// Action to carry out, or the reason for which it is refused already.
    pub deed: Result<EffectAction, EffectRefusal>,
}

/// Action of an [`EffectCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectAction {
    /// Send a message.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its conversation, as read.
    MarkRead(ReadReceipt),
    /// Change a conversation.
    Patch(ConversationPatch),
}

/// Changes of a conversation; `None` leaves a field alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationPatch {
    /// Id of the conversation.
    pub id: ConversationId,
    /// New status.
    pub status: Option<ConversationStatus>,
    /// New assignee, or `Some(None)` to remove the current one.
    pub assignee: Option<Option<Arc<User>>>,
}

/// Result of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// All items of a webhook are durable.
    Ingested,
    /// The messages that may be sent now: those that still wait and are due.
    Sends(Vec<Arc<Message>>),
    /// The outcomes of calls or effects, or a removal, are durable.
    Recorded,
    /// The message after the command.
    Message(Arc<Message>),
    /// The conversation after the command.
    Conversation(Arc<Conversation>),
    /// The contact after the command.
    Contact(Arc<Contact>),
    /// The template after the command.
    Template(Arc<Template>),
    /// Counts of the templates that a part of WhatsApp's list taught.
    Templates(TemplateCounts),
    /// The account after the command.
    Account(Arc<Account>),
}
