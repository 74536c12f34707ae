//! Items as they came, read back from the store to be read again.
//!
//! Invariant: an item goes back into the list of a webhook that it came in, as far as its message tells: a message
//! keeps its direction and its source.

use std::sync::Arc;

use super::inbound::RawRole;
use super::message::{Direction, Message, MessageKind};
use super::message_details::MessageSource;

/// List of a webhook that an item came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemList {
    /// Messages of contacts, and what changes messages.
    Messages,
    /// Statuses.
    Statuses,
    /// Messages from the business's phone.
    AppEchoes,
    /// Past messages.
    History,
    /// Messages of contacts while Meta's agent holds the conversation.
    Standby,
    /// Messages of Meta's agent.
    AgentEchoes,
    /// Events of calls.
    Calls,
    /// No list: a value whole, of this field.
    Field(Arc<str>),
}

/// Place of an item among all of its account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemPosition {
    /// Key that it is kept under.
    pub key: String,
    /// Digest of its body, hexadecimal.
    pub digest: String,
}

/// An item as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// Its place.
    pub position: ItemPosition,
    /// List of a webhook that it belongs to.
    pub list: ItemList,
    /// The item, JSON as text.
    pub body: Arc<str>,
}

/// Beginning of the keys of values that were told whole; the field follows, and a colon.
pub const NOTICE_KEY: &str = "whatsapp.";

impl ItemList {
    /// Returns the list of an item with this key and role. `message` is the message that it is kept for.
    #[must_use]
    pub fn of_item(key: &str, role: RawRole, message: Option<&Message>) -> Self {
        let field = key.strip_prefix(NOTICE_KEY).and_then(|rest| rest.split_once(':'));
        match (role, field, message) {
            (RawRole::Change, Some((field, _)), None) => Self::Field(field.into()),
            (RawRole::Status, _, _) => Self::Statuses,
            (RawRole::Change, _, Some(message)) if message.kind == MessageKind::Call => Self::Calls,
            (RawRole::Change, _, _) | (RawRole::Message, _, None) => Self::Messages,
            (RawRole::Message, _, Some(message)) => Self::of_message(message),
        }
    }

    fn of_message(message: &Message) -> Self {
        match (message.details.source, message.details.standby, message.direction) {
            (MessageSource::History, _, _) => Self::History,
            (_, true, Direction::Inbound) => Self::Standby,
            (MessageSource::Agent, _, Direction::Outbound) => Self::AgentEchoes,
            (_, _, Direction::Outbound) => Self::AppEchoes,
            (_, false, Direction::Inbound) => Self::Messages,
        }
    }
}
