//! What an account may be asked to do, and what it answers.

use std::sync::Arc;

use super::account::{Account, AccountPatch};
use super::contact::{Contact, ContactPatch, NewContact};
use super::conversation::{Conversation, ConversationStatus};
use super::due_time::DueTime;
use super::effect::{EffectId, EffectRefusal};
use super::message::{InboundItem, Message, OutgoingMessage, SendOutcome, WaitingMessage};
use super::monotonic::MonotonicInstant;
use super::organisation::User;
use crate::ids::{ContactId, ConversationId, MessageId};

/// One thing that an account is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    /// Take in one webhook's items, in their order.
    Ingest(Vec<InboundItem>),
    /// Accept a message for sending.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its thread, as read.
    MarkRead {
        /// WhatsApp's id of the message.
        wamid: Arc<str>,
    },
    /// Change a thread's status or assignee.
    PatchConversation(ConversationPatch),
    /// Make a contact.
    CreateContact(NewContact),
    /// Change a contact.
    PatchContact {
        /// Which one.
        id: ContactId,
        /// How.
        patch: ContactPatch,
    },
    /// Record, before the calls are made, that these messages are about to be sent: those that still wait
    /// as the sender saw them. Until `settle_by` nobody sends them again, unless their call is recorded to
    /// have ended.
    BeginSends {
        /// Pending messages that are due, as the sender saw them. It alone knows what is due: that is
        /// measured in its process's time.
        seen: Vec<WaitingMessage>,
        /// How long an unknown outcome may wait for WhatsApp's echo.
        settle_by: DueTime,
        /// Which loading of the account the sender's picture rests on: after a later one what it saw
        /// as due may have to settle anew.
        loaded_at: MonotonicInstant,
    },
    /// Record how calls to WhatsApp ended, each for one message.
    RecordSends(Vec<(MessageId, SendOutcome)>),
    /// Carry out what hooks asked for: those of it that wait still, in order.
    CarryOut(Vec<EffectCommand>),
    /// Change the account itself.
    Configure(AccountPatch),
}

/// An effect that a hook asked for, as the account must carry it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectCommand {
    /// Which.
    pub id: EffectId,
    /// What, or why it is refused already.
    pub deed: Result<EffectAction, EffectRefusal>,
}

/// See [`EffectCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectAction {
    /// Send a message.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its thread, as read.
    MarkRead(Arc<str>),
    /// Change a thread.
    Patch(ConversationPatch),
}

/// Changes of a thread; `None` leaves a field alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationPatch {
    /// Which thread.
    pub id: ConversationId,
    /// New status.
    pub status: Option<ConversationStatus>,
    /// New assignee, or `Some(None)` to take the old one off.
    pub assignee: Option<Option<Arc<User>>>,
}

/// What a command brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// Everything of a webhook is durable.
    Ingested,
    /// The messages that may be sent now: those that still wait and are due.
    Sends(Vec<Arc<Message>>),
    /// How the calls ended, or what became of effects, is durable.
    Recorded,
    /// The message as it now is.
    Message(Arc<Message>),
    /// The thread as it now is.
    Conversation(Arc<Conversation>),
    /// The contact as it now is.
    Contact(Arc<Contact>),
    /// The account as it now is.
    Account(Arc<Account>),
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefusal {
    /// The contact has not written within 24 hours.
    #[error("the contact has not written within the last 24 hours")]
    OutsideWindow,
    /// The account cannot send.
    #[error("the account is {}", .0.as_str())]
    AccountNotConnected(super::account::AccountStatus),
    /// No such thread in this account.
    #[error("no such conversation")]
    NoConversation,
    /// No such message in this account.
    #[error("no such message")]
    NoMessage,
    /// No such contact in this account.
    #[error("no such contact")]
    NoContact,
    /// The number is a contact already.
    #[error("the number is a contact already")]
    ContactExists(ContactId),
}
