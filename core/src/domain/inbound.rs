//! Items of WhatsApp's webhooks, translated: messages, changes of messages, statuses, calls, and notices.

use std::sync::Arc;

use super::account::AccountProfile;
use super::identity::{GroupId, Party};
use super::message::{Direction, MessageError, MessageKind};
use super::message_details::{MessageContext, MessageSource, ReactionTo};
use super::status::MessageStatus;
use super::template::TemplateNotice;
use super::time::Timestamp;
use super::wamid::wamid_key;
use crate::ids::MessageId;

/// Role of a raw item for the message that it is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RawRole {
    /// The message itself.
    Message,
    /// A status of the message.
    Status,
    /// An edit, revocation, reaction or call event about the message; or a value that is told whole, which has a key
    /// of its own.
    Change,
}

impl RawRole {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Status => "status",
            Self::Change => "change",
        }
    }

    /// Reads the word in the store.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Message, Self::Status, Self::Change].into_iter().find(|known| known.as_str() == text)
    }
}

/// An item as WhatsApp sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawItem {
    /// Key of the message that it is kept for, see `wamid_key`; of a value that is told whole, its own key.
    pub wamid_key: Arc<str>,
    /// Role for that message.
    pub role: RawRole,
    /// The item, JSON as text.
    pub body: Arc<str>,
    /// Contact card of its person that came beside it, JSON as text.
    pub card: Option<Arc<str>>,
    /// Digest of the body: the same item twice is kept once.
    pub digest: [u8; 16],
}

/// One item of a webhook that concerns one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundItem {
    /// Its statement.
    pub fact: InboundFact,
    /// The item as it came. Of what becomes an event whole, and of news and choices in it, the value; its key
    /// is equal when WhatsApp repeats it. `None` for what only accompanies another item.
    pub raw: Option<RawItem>,
}

impl InboundItem {
    /// Keys under which an erasure remembers what the item is about: of the message, and of the value.
    #[must_use]
    pub fn erasure_keys(&self) -> Vec<Arc<str>> {
        match &self.fact {
            InboundFact::Message(message) => vec![wamid_key(&message.wamid)],
            InboundFact::Edit(edit) => vec![wamid_key(&edit.wamid)],
            InboundFact::Revoke(revoke) => vec![wamid_key(&revoke.wamid)],
            InboundFact::Status(report) => {
                let echo = report.echo.map(|id| id.to_string().into());
                std::iter::once(wamid_key(&report.wamid)).chain(echo).collect()
            }
            InboundFact::Call(call) => vec![wamid_key(&call.call_id)],
            InboundFact::Field(_) | InboundFact::Preference(_) | InboundFact::RawOnly => {
                self.raw.iter().map(|raw| raw.wamid_key.clone()).collect()
            }
            InboundFact::Person(_) | InboundFact::Account(_) | InboundFact::Template(_) => Vec::new(),
        }
    }
}

/// Statement of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundFact {
    /// A message, in either direction.
    Message(Box<InboundMessage>),
    /// A new content for a message.
    Edit(MessageEdit),
    /// A message was taken back by its author.
    Revoke(MessageRevoke),
    /// A status of an outbound message.
    Status(Box<StatusReport>),
    /// An event of a call.
    Call(Box<CallReport>),
    /// A choice about marketing messages.
    Preference(MarketingPreference),
    /// Identifiers or names of one person.
    Person(PersonNotice),
    /// A field that is not modelled, or a modelled one that clients see as well.
    Field(FieldNotice),
    /// News about the account itself.
    Account(AccountNotice),
    /// News about a template of the WhatsApp Business Account.
    Template(Box<TemplateNotice>),
    /// An item of which only the raw form is kept, such as a status with an unknown name.
    RawOnly,
}

/// Person or group that an item belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOwner {
    /// One person.
    Person(Party),
    /// A group, with the participant that wrote.
    Group(GroupId, Party),
}

impl ItemOwner {
    /// The person that wrote or was written to.
    #[must_use]
    pub const fn party(&self) -> &Party {
        match self {
            Self::Person(party) | Self::Group(_, party) => party,
        }
    }

    /// The group.
    #[must_use]
    pub const fn group_id(&self) -> Option<&GroupId> {
        match self {
            Self::Person(_) => None,
            Self::Group(id, _) => Some(id),
        }
    }
}

/// A notice that identifiers of a person have been replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityChange {
    /// The person before.
    pub before: Party,
    /// The person from now on.
    pub after: Party,
}

/// A message as WhatsApp reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// WhatsApp's id: the same id twice is the same message.
    pub wamid: Arc<str>,
    /// Contact that it belongs to: its author, or the recipient of an echo.
    pub owner: ItemOwner,
    /// From or to the contact.
    pub direction: Direction,
    /// Origin.
    pub source: MessageSource,
    /// Meta's agent holds the conversation.
    pub standby: bool,
    /// WhatsApp's time.
    pub at: Timestamp,
    /// Status that the history shows; `None` elsewhere.
    pub past_status: Option<MessageStatus>,
    /// The contract's `type`.
    pub kind: MessageKind,
    /// A message of the history whose content comes later under the same id.
    pub placeholder: bool,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text; the whole message when unsupported.
    pub payload: Arc<str>,
    /// Reference to another message.
    pub context: Option<MessageContext>,
    /// Click on an ad that led to it, JSON as text.
    pub referral: Option<Arc<str>>,
    /// The reaction, of a reaction.
    pub reaction: Option<ReactionTo>,
    /// The change, of a system message about its sender.
    pub identity_change: Option<IdentityChange>,
    /// Number of their own that the sender shared on request.
    pub shared_number: Option<Party>,
}

/// An edit of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEdit {
    /// WhatsApp's id of the edited message.
    pub wamid: Arc<str>,
    /// WhatsApp's time of the edit.
    pub at: Timestamp,
    /// The new type.
    pub kind: MessageKind,
    /// The new content.
    pub content: Arc<str>,
    /// The new type's object, JSON as text.
    pub payload: Arc<str>,
}

/// A revocation of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRevoke {
    /// WhatsApp's id of the revoked message.
    pub wamid: Arc<str>,
    /// WhatsApp's time of the revocation.
    pub at: Timestamp,
}

/// A delivery status as WhatsApp reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// WhatsApp's id of the message.
    pub wamid: Arc<str>,
    /// Our own id, where the report echoes it (`biz_opaque_callback_data`).
    pub echo: Option<MessageId>,
    /// `Sent`, `Delivered`, `Read`, `Played` or `Failed`.
    pub status: MessageStatus,
    /// WhatsApp's time.
    pub at: Timestamp,
    /// Reason for the failure; `None` unless the status is `Failed`.
    pub error: Option<MessageError>,
    /// The failure concerns the account, not this message.
    pub refuses_account: bool,
    /// Recipient, as the report and the card beside it name them; `None` for a group.
    pub recipient: Option<Party>,
    /// Price, JSON as text.
    pub pricing: Option<Arc<str>>,
}

/// An event of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// WhatsApp's id of the call.
    pub call_id: Arc<str>,
    /// The other side.
    pub party: Party,
    /// By the contact, or by the business.
    pub direction: Direction,
    /// WhatsApp's time.
    pub at: Timestamp,
    /// The call has ended.
    pub ended: bool,
    /// The call ended without having been answered.
    pub missed: bool,
    /// Rendering in one line.
    pub content: Arc<str>,
    /// The event, JSON as text.
    pub payload: Arc<str>,
}

/// A choice of a contact about marketing messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketingPreference {
    /// The contact.
    pub party: Party,
    /// Time at which they were stopped; `None` when they are accepted again.
    pub opted_out_at: Option<Timestamp>,
    /// WhatsApp's time.
    pub at: Timestamp,
}

/// Identifiers or names of one person, told outside of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonNotice {
    /// The person from now on.
    pub party: Party,
    /// The person before, where WhatsApp says that identifiers were replaced.
    pub before: Option<Party>,
    /// The name in the business's address book; `party.name` is a profile name.
    pub book_name: Option<Arc<str>>,
    /// Creates the contact when there is none.
    pub creates: bool,
    /// WhatsApp's time.
    pub at: Timestamp,
}

/// A value of a webhook that clients see as the event `whatsapp.<field>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNotice {
    /// Name of the field.
    pub field: Arc<str>,
    /// The value whole, JSON as text.
    pub value: Arc<str>,
}

/// News about the account itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountNotice {
    /// Properties that the item tells.
    pub profile: AccountProfile,
    /// Reason for which WhatsApp refuses the account from now on.
    pub refusal: Option<Arc<str>>,
    /// Properties have changed that the item does not tell: WhatsApp is asked for them.
    pub asks_profile: bool,
}
