//! Erasure: contacts that are deleted with everything about them, and what is left of an event.
//!
//! A deletion takes contact and conversation out of sight in its own commit. The messages, and everything that
//! shows them, are removed afterwards in small steps; until then every reader takes them for removed.

use std::sync::Arc;

use super::contact::Contact;
use super::event::EventType;
use super::identity::{Identifier, IdentifierKey};
use crate::ids::{ContactId, ConversationId};

/// What is left of an event: its type. It has no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedEvent {
    /// Type of the event.
    pub event_type: EventType,
    /// WhatsApp's name of the field, of an event that showed one.
    pub field: Option<Arc<str>>,
}

/// A contact that a commit deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedContact {
    /// Its id.
    pub contact: ContactId,
    /// Its conversation, if it has one.
    pub conversation: Option<ConversationId>,
    /// Keys under which it is found.
    pub identifiers: Vec<IdentifierKey>,
    /// Texts that name it in values of WhatsApp's webhooks: numbers with and without `+`, user ids, username.
    pub marks: Vec<Arc<str>>,
}

impl DeletedContact {
    /// Describes the deletion of a contact.
    #[must_use]
    pub fn from_contact(contact: &Contact, conversation: Option<ConversationId>) -> Self {
        Self {
            contact: contact.id,
            conversation,
            identifiers: contact.identity.keys(),
            marks: list_marks(contact),
        }
    }
}

fn list_marks(contact: &Contact) -> Vec<Arc<str>> {
    let mut marks: Vec<Arc<str>> = Vec::new();
    for identifier in contact.identity.identifiers() {
        let (_, value) = identifier.type_and_value();
        let digits = value.trim_start_matches('+').to_owned();
        if matches!(identifier, Identifier::PhoneNumber(_) | Identifier::WaId(_)) {
            marks.push(format!("+{digits}").into());
        }
        marks.push(digits.into());
    }
    marks.extend(contact.identity.username.as_ref().map(|name| name.text.clone()));
    marks
}
