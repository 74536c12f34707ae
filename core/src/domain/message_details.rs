//! Details of a message that most messages lack: origin, context, reactions, prices, marks.

use std::sync::Arc;

use super::identity::{GroupId, Party, UserId};
use super::phone::Phone;
use super::time::Timestamp;

/// Origin of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MessageSource {
    /// Sent by a contact.
    #[default]
    Inbound,
    /// Sent by a client of the REST API.
    Api,
    /// Sent by the business from its phone.
    App,
    /// Sent by an agent of Meta's that holds the conversation.
    Agent,
    /// Sent by a hook.
    Hook,
    /// From before the number was connected.
    History,
}

impl MessageSource {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Inbound, Self::Api, Self::App, Self::Agent, Self::Hook, Self::History];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Api => "api",
            Self::App => "app",
            Self::Agent => "agent",
            Self::Hook => "hook",
            Self::History => "history",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// Reference of a message to another, to a product, or to where it was forwarded from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    /// WhatsApp's id of the message that this one answers, in the form that is stored here.
    pub message_id: Option<Arc<str>>,
    /// Author of that message, as WhatsApp names it.
    pub from: Option<Arc<str>>,
    /// The message was forwarded.
    pub forwarded: bool,
    /// The message was forwarded many times.
    pub frequently_forwarded: bool,
    /// Product that the message asks about, JSON as text.
    pub referred_product: Option<Arc<str>>,
}

impl MessageContext {
    /// The context of an answer to a message.
    #[must_use]
    pub fn of_answer(wamid: Arc<str>) -> Self {
        Self { message_id: Some(wamid), ..Self::default() }
    }
}

/// Participant of a group that wrote a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSender {
    /// Number, where WhatsApp names it.
    pub phone: Option<Phone>,
    /// User id, where WhatsApp names it.
    pub user_id: Option<UserId>,
    /// Profile name.
    pub name: Option<Arc<str>>,
}

impl From<&Party> for GroupSender {
    fn from(party: &Party) -> Self {
        let phone = party.phone.clone().or_else(|| party.wa_id.clone());
        let user_id = party.user_id.clone().or_else(|| party.parent_user_id.clone());
        Self { phone, user_id, name: party.name.clone() }
    }
}

/// Side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReactionSide {
    /// The contact.
    Contact,
    /// The business.
    Business,
}

impl ReactionSide {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Business => "business",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Contact, Self::Business].into_iter().find(|known| known.as_str() == text)
    }
}

/// A reaction that a message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageReaction {
    /// The emoji; `None` where it was taken back, which clients do not see. It is kept, so that a late item does
    /// not bring an older emoji back.
    pub emoji: Option<Arc<str>>,
    /// Side that reacted; of a group, any participant is the contact.
    pub from: ReactionSide,
    /// Participant of a group that reacted.
    pub participant: Option<Arc<str>>,
    /// WhatsApp's time, or the account clock for the business's own.
    pub at: Timestamp,
}

/// Details of a message that most messages lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageDetails {
    /// Origin.
    pub source: MessageSource,
    /// Meta's agent held the conversation.
    pub standby: bool,
    /// Click on an ad that led to the message, JSON as text.
    pub referral: Option<Arc<str>>,
    /// Newest price that WhatsApp reported, JSON as text.
    pub pricing: Option<Arc<str>>,
    /// WhatsApp's time of the status that had the price.
    pub pricing_at: Option<Timestamp>,
    /// A call that was not answered.
    pub missed_call: bool,
    /// A message of the history whose content has not come yet.
    pub placeholder: bool,
    /// Group in which it was written.
    pub group_id: Option<GroupId>,
    /// Participant that wrote it.
    pub sender: Option<GroupSender>,
    /// Text of the client's that comes back with the message.
    pub callback_data: Option<Arc<str>>,
    /// User id that the client addressed; WhatsApp gets it in place of a number.
    pub addressed_user: Option<UserId>,
    /// WhatsApp's time of the newest edit.
    pub edited_at: Option<Timestamp>,
    /// WhatsApp's time at which its author took it back.
    pub revoked_at: Option<Timestamp>,
    /// Reactions, oldest first.
    pub reactions: Vec<MessageReaction>,
    /// Reason for which WhatsApp holds it back.
    pub hold_reason: Option<Arc<str>>,
}

impl MessageDetails {
    /// Details of a message with this origin.
    #[must_use]
    pub fn of_source(source: MessageSource) -> Self {
        Self { source, ..Self::default() }
    }
}

/// A reaction to another message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionTo {
    /// WhatsApp's id of the message that has the reaction.
    pub wamid: Arc<str>,
    /// The emoji; `None` takes the reaction back.
    pub emoji: Option<Arc<str>>,
}
