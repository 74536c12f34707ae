//! Body of a conversation.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::identity::UserId as WhatsAppUserId;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, ConversationId, UserId};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a conversation.
    ConversationNoun = "conversation";
}

/// A conversation with one contact.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Conversation", example)]
pub(crate) struct ConversationBody {
    /// `cnv_…`.
    pub(crate) id: TextValue<ConversationId>,
    /// Always `conversation`.
    pub(crate) object: TextValue<ConversationNoun>,
    /// Status of the conversation; an inbound message reopens a resolved conversation.
    pub(crate) status: TextValue<ConversationStatus>,
    /// The contact.
    pub(crate) contact: ConversationContact,
    /// The connected number that it belongs to.
    pub(crate) whatsapp_account: WhatsAppNumber,
    /// The user that the conversation is assigned to.
    pub(crate) assignee: Option<AssigneeBody>,
    /// Inbound messages not yet marked as read.
    pub(crate) unread_count: u32,
    /// Time at which its newest message, in or out, was stored.
    pub(crate) last_message_at: Option<TextValue<Timestamp>>,
    /// Time of the contact's last message; free-form messages may be sent for 24 hours from then.
    pub(crate) last_inbound_at: Option<TextValue<Timestamp>>,
    /// The conversation that took over its messages, because both contacts are the same person.
    pub(crate) merged_into: Option<TextValue<ConversationId>>,
    /// Account clock.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub(crate) updated_at: TextValue<Timestamp>,
}

/// The contact of a conversation.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct ConversationContact {
    /// `ctc_…`.
    pub(crate) id: TextValue<ContactId>,
    /// The current number, E.164; null where WhatsApp does not name one.
    pub(crate) phone_number: Option<TextValue<Phone>>,
    /// WhatsApp's id of the user for this business.
    pub(crate) user_id: Option<TextValue<WhatsAppUserId>>,
    /// Given by the business, or else WhatsApp's profile name.
    pub(crate) name: Option<TextValue<Arc<str>>>,
}

/// A connected number.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct WhatsAppNumber {
    /// E.164.
    pub(crate) phone_number: TextValue<Phone>,
}

/// The user that a conversation is assigned to.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Assignee")]
pub(crate) struct AssigneeBody {
    /// `usr_…`.
    pub(crate) id: TextValue<UserId>,
    /// The name.
    pub(crate) name: TextValue<Arc<str>>,
    /// The email address.
    pub(crate) email: Option<TextValue<Arc<str>>>,
}

impl WhatsAppNumber {
    /// Builds the number of an account.
    #[must_use]
    pub(crate) fn from_account(account: &Account) -> Self {
        Self { phone_number: TextValue(account.phone.clone()) }
    }
}

impl ConversationBody {
    /// Builds the body of a conversation of this account.
    #[must_use]
    pub(crate) fn from_conversation(account: &Account, conversation: &Conversation) -> Self {
        Self {
            id: TextValue(conversation.id),
            object: TextValue(ConversationNoun),
            status: TextValue(conversation.status),
            contact: ConversationContact {
                id: TextValue(conversation.contact.id),
                phone_number: conversation.contact.identity.phone().cloned().map(TextValue),
                user_id: conversation.contact.identity.user_id().cloned().map(TextValue),
                name: conversation.contact.name.clone().map(TextValue),
            },
            whatsapp_account: WhatsAppNumber::from_account(account),
            assignee: conversation.assignee.as_ref().map(|user| AssigneeBody {
                id: TextValue(user.id),
                name: TextValue(user.name.clone()),
                email: user.email.clone().map(TextValue),
            }),
            unread_count: conversation.unread_count,
            last_message_at: conversation.last_message_at.map(TextValue),
            last_inbound_at: conversation.last_inbound_at.map(TextValue),
            merged_into: conversation.merged_into.map(TextValue),
            created_at: TextValue(conversation.created_at),
            updated_at: TextValue(conversation.updated_at),
        }
    }
}

impl Example for ConversationBody {
    fn example() -> Self {
        Self::from_conversation(
            &crate::spec::example_rows::example_account(),
            &crate::spec::example_rows::example_conversation(),
        )
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::contact::ContactRef;
    use kabar_core::domain::identity::{ContactKind, Identity, Party};
    use serde_json::json;

    use super::*;
    use crate::spec::example_rows;

    #[test]
    fn a_contact_without_a_number_has_its_user_id() {
        let mut identity = Identity::default();
        identity.learn_party(
            &Party::of_user_id(WhatsAppUserId::parse("ID.9").unwrap()),
            Timestamp::from_millis(1),
        );
        let contact = ContactRef {
            id: ContactId::from_bits(3),
            kind: ContactKind::Person,
            identity: identity.into(),
            name: None,
        };
        let merged_into = Some(ConversationId::from_bits(4));
        let row = Conversation { contact, merged_into, ..example_rows::example_conversation() };
        let body = ConversationBody::from_conversation(&example_rows::example_account(), &row);
        let body = serde_json::to_value(body).unwrap();
        let id = ContactId::from_bits(3).to_string();
        let contact = json!({"id": id, "phone_number": null, "user_id": "ID.9", "name": null});
        assert_eq!(body["contact"], contact);
        assert_eq!(body["merged_into"], ConversationId::from_bits(4).to_string());
    }
}
