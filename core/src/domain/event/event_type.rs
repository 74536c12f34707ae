//! Types of events: the contract's words, and sets of them.
//!
//! Invariant: a set is a few bits. There is room for 32 types.

use crate::domain::word_enum::word_enum;

word_enum! {
    /// The contract's `type` of an event.
    EventType {
        MessageReceived = "message.received",
        MessageCreated = "message.created",
        MessageSent = "message.sent",
        MessageStatus = "message.status",
        ConversationCreated = "conversation.created",
        ConversationAssigned = "conversation.assigned",
        ConversationClosed = "conversation.closed",
        ConversationUpdated = "conversation.updated",
        ContactCreated = "contact.created",
        ContactUpdated = "contact.updated",
        MessageEdited = "message.edited",
        MessageRevoked = "message.revoked",
        MessageStatusReported = "message.status_reported",
        ContactIdentityUpdated = "contact.identity_updated",
        ConversationMerged = "conversation.merged",
        ContactDeleted = "contact.deleted",
        ConversationDeleted = "conversation.deleted",
        AccountUpdated = "account.updated",
        TemplateCreated = "template.created",
        TemplateUpdated = "template.updated",
        TemplateDeleted = "template.deleted",
        WhatsAppField = "whatsapp.*",
    }
}

/// A set of event types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EventTypes(u32);

impl EventTypes {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Every type.
    #[must_use]
    pub fn all_types() -> Self {
        EventType::ALL.iter().copied().collect()
    }

    fn type_bit(one: EventType) -> u32 {
        let place = EventType::ALL.iter().position(|known| *known == one);
        place
            .and_then(|place| u32::try_from(place).ok())
            .and_then(|place| 1_u32.checked_shl(place))
            .unwrap_or(0)
    }

    /// Returns `true` when the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns `true` when this type is in the set.
    #[must_use]
    pub fn contains_type(self, one: EventType) -> bool {
        self.0 & Self::type_bit(one) != 0
    }

    /// Returns `true` when the two sets have a type in common.
    #[must_use]
    pub const fn intersects_with(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Each type of the set, in the contract's order.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.iter().copied().filter(move |one| self.contains_type(*one))
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |bits, one| bits | Self::type_bit(one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart_by_word_and_by_bit() {
        for (place, one) in EventType::ALL.iter().enumerate() {
            assert_eq!(EventType::parse(one.as_str()), Some(*one));
            let alone: EventTypes = [*one].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*one]);
            let others: EventTypes =
                EventType::ALL.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, one)| *one).collect();
            assert!(
                !others.contains_type(*one)
                    && !others.intersects_with(alone)
                    && EventTypes::all_types().intersects_with(alone)
            );
        }
        assert!(EventTypes::NONE.is_empty() && EventType::parse("message").is_none());
    }
}
