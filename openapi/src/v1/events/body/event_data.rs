//! Data of each type of event: the subject as the commit left it, in the form that its own operations show.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::event::EventKind;
use kabar_core::domain::inbound::FieldNotice;
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::template::TemplateKey;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, ConversationId, TemplateId};
use poem_openapi::Object;
use serde::Serialize;

use crate::rest::text::{FreeObject, SightedStatus, TextValue};
use crate::v1::accounts::body::AccountBody;
use crate::v1::contacts::body::{ContactBody, ContactNoun, IdentifierBody};
use crate::v1::conversations::body::{ConversationBody, ConversationNoun};
use crate::v1::messages::body::MessageBody;
use crate::v1::templates::body::{TemplateBody, TemplateNoun};

/// Data of an event.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum EventData {
    Message(Box<MessageData>),
    Status(Box<MessageStatusData>),
    Reported(Box<StatusReportedData>),
    Conversation(Box<ConversationData>),
    Contact(Box<ContactData>),
    Edit(Box<MessageEditedData>),
    Identity(Box<ContactIdentityData>),
    Account(Box<AccountData>),
    Field(FieldData),
    ContactDeleted(ContactDeletedData),
    ConversationDeleted(ConversationDeletedData),
    Template(Box<TemplateData>),
    TemplateDeleted(TemplateDeletedData),
    Erased(NoData),
}

/// Data of an event of which it was erased: an empty object.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NoData {}

/// A contact that was deleted.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "DeletedContact")]
pub(crate) struct DeletedContactBody {
    /// `ctc_…`.
    pub(crate) id: TextValue<ContactId>,
    /// Always `contact`.
    pub(crate) object: TextValue<ContactNoun>,
    /// Always true.
    pub(crate) deleted: bool,
}

/// A conversation that was deleted.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "DeletedConversation")]
pub(crate) struct DeletedConversationBody {
    /// `cnv_…`.
    pub(crate) id: TextValue<ConversationId>,
    /// Always `conversation`.
    pub(crate) object: TextValue<ConversationNoun>,
    /// Always true.
    pub(crate) deleted: bool,
    /// Its contact, which was deleted with it.
    pub(crate) contact_id: TextValue<ContactId>,
}

/// A template that WhatsApp does not have any more.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "DeletedTemplate")]
pub(crate) struct DeletedTemplateBody {
    /// `tmpl_…`.
    pub(crate) id: TextValue<TemplateId>,
    /// Always `template`.
    pub(crate) object: TextValue<TemplateNoun>,
    /// Always true.
    pub(crate) deleted: bool,
    /// Its name.
    pub(crate) name: TextValue<Arc<str>>,
    /// Code of its language.
    pub(crate) language: TextValue<Arc<str>>,
}

/// Data of `template.created` and `template.updated`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "TemplateEventData")]
pub(crate) struct TemplateData {
    /// The template right after the event.
    pub(crate) template: TemplateBody,
}

/// Data of `template.deleted`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "TemplateDeletedEventData")]
pub(crate) struct TemplateDeletedData {
    /// The template that is gone.
    pub(crate) template: DeletedTemplateBody,
}

/// Data of `contact.deleted`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ContactDeletedEventData")]
pub(crate) struct ContactDeletedData {
    /// The contact that was deleted.
    pub(crate) contact: DeletedContactBody,
}

/// Data of `conversation.deleted`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ConversationDeletedEventData")]
pub(crate) struct ConversationDeletedData {
    /// The conversation that was deleted.
    pub(crate) conversation: DeletedConversationBody,
}

/// Data of `message.received`, `message.created`, `message.sent` and `message.revoked`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "MessageEventData")]
pub(crate) struct MessageData {
    /// The message right after the event.
    pub(crate) message: MessageBody,
}

/// Data of `message.status`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "MessageStatusEventData")]
pub(crate) struct MessageStatusData {
    /// The message right after the event.
    pub(crate) message: MessageBody,
    /// Status before the event.
    pub(crate) previous_status: TextValue<MessageStatus>,
    /// Status after the event.
    pub(crate) status: TextValue<MessageStatus>,
    /// Time of the change, by WhatsApp's own time where WhatsApp reported it.
    pub(crate) occurred_at: TextValue<Timestamp>,
}

/// Data of `message.status_reported`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "MessageStatusReportedEventData")]
pub(crate) struct StatusReportedData {
    /// The message right after the event.
    pub(crate) message: MessageBody,
    /// Status that WhatsApp reported.
    pub(crate) status: TextValue<SightedStatus>,
    /// WhatsApp's own time.
    pub(crate) occurred_at: TextValue<Timestamp>,
}

/// Data of the events of conversations.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ConversationEventData")]
pub(crate) struct ConversationData {
    /// The conversation right after the event.
    pub(crate) conversation: ConversationBody,
}

/// Data of the events of contacts.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ContactEventData")]
pub(crate) struct ContactData {
    /// The contact right after the event.
    pub(crate) contact: ContactBody,
}

/// Data of `message.edited`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "MessageEditedEventData")]
pub(crate) struct MessageEditedData {
    /// The message right after the event.
    pub(crate) message: MessageBody,
    /// Its content before the event.
    pub(crate) previous_content: TextValue<Arc<str>>,
}

/// Data of `contact.identity_updated`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ContactIdentityEventData")]
pub(crate) struct ContactIdentityData {
    /// The contact right after the event.
    pub(crate) contact: ContactBody,
    /// Identifiers that it did not have before.
    pub(crate) added: Vec<IdentifierBody>,
    /// The contact that was merged into it.
    pub(crate) merged_contact_id: Option<TextValue<ContactId>>,
}

/// Data of `account.updated`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "AccountEventData")]
pub(crate) struct AccountData {
    /// The account right after the event.
    pub(crate) account: AccountBody,
}

/// Data of `whatsapp.<field>`.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "WhatsAppFieldEventData")]
pub(crate) struct FieldData {
    /// The field of WhatsApp's webhook.
    pub(crate) field: TextValue<Arc<str>>,
    /// Its value, as WhatsApp sent it.
    pub(crate) value: FreeObject,
}

impl FieldData {
    fn from_notice(notice: &FieldNotice) -> Self {
        Self { field: TextValue(notice.field.clone()), value: FreeObject(notice.value.clone()) }
    }
}

impl ContactDeletedData {
    fn from_id(id: ContactId) -> Self {
        Self {
            contact: DeletedContactBody { id: TextValue(id), object: TextValue(ContactNoun), deleted: true },
        }
    }
}

impl ConversationDeletedData {
    fn from_ids(conversation: ConversationId, contact: ContactId) -> Self {
        let conversation = DeletedConversationBody {
            id: TextValue(conversation),
            object: TextValue(ConversationNoun),
            deleted: true,
            contact_id: TextValue(contact),
        };
        Self { conversation }
    }
}

impl TemplateDeletedData {
    fn from_key(id: TemplateId, key: &TemplateKey) -> Self {
        let template = DeletedTemplateBody {
            id: TextValue(id),
            object: TextValue(TemplateNoun),
            deleted: true,
            name: TextValue(key.name().clone()),
            language: TextValue(key.language().clone()),
        };
        Self { template }
    }
}

impl EventData {
    pub(super) fn from_kind(account: &Account, kind: &EventKind) -> Self {
        match kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageCreated(message)
            | EventKind::MessageSent(message)
            | EventKind::MessageRevoked(message) => {
                Self::Message(Box::new(MessageData { message: MessageBody::from_message(message) }))
            }
            EventKind::MessageStatus { message, previous, occurred_at } => {
                Self::Status(Box::new(MessageStatusData {
                    message: MessageBody::from_message(message),
                    previous_status: TextValue(*previous),
                    status: TextValue(message.status),
                    occurred_at: TextValue(*occurred_at),
                }))
            }
            EventKind::MessageStatusReported { message, status, occurred_at } => {
                Self::Reported(Box::new(StatusReportedData {
                    message: MessageBody::from_message(message),
                    status: TextValue(SightedStatus(*status)),
                    occurred_at: TextValue(*occurred_at),
                }))
            }
            EventKind::ConversationCreated(conversation)
            | EventKind::ConversationAssigned(conversation)
            | EventKind::ConversationClosed(conversation)
            | EventKind::ConversationUpdated(conversation)
            | EventKind::ConversationMerged(conversation) => {
                let conversation = ConversationBody::from_conversation(account, conversation);
                Self::Conversation(Box::new(ConversationData { conversation }))
            }
            EventKind::ContactCreated(contact) | EventKind::ContactUpdated(contact) => {
                Self::Contact(Box::new(ContactData { contact: ContactBody::from_contact(account, contact) }))
            }
            EventKind::MessageEdited { message, previous_content } => {
                Self::Edit(Box::new(MessageEditedData {
                    message: MessageBody::from_message(message),
                    previous_content: TextValue(previous_content.clone()),
                }))
            }
            EventKind::ContactIdentityUpdated { contact, added, merged } => {
                Self::Identity(Box::new(ContactIdentityData {
                    contact: ContactBody::from_contact(account, contact),
                    added: added.iter().map(IdentifierBody::from_identifier).collect(),
                    merged_contact_id: merged.map(TextValue),
                }))
            }
            EventKind::AccountUpdated(account) => {
                Self::Account(Box::new(AccountData { account: AccountBody::from_account(account) }))
            }
            EventKind::WhatsAppField(notice) => Self::Field(FieldData::from_notice(notice)),
            EventKind::ContactDeleted(id) => Self::ContactDeleted(ContactDeletedData::from_id(*id)),
            EventKind::ConversationDeleted { conversation, contact } => {
                Self::ConversationDeleted(ConversationDeletedData::from_ids(*conversation, *contact))
            }
            EventKind::TemplateCreated(template) | EventKind::TemplateUpdated(template) => {
                Self::Template(Box::new(TemplateData { template: TemplateBody::from_template(template) }))
            }
            EventKind::TemplateDeleted { id, key } => {
                Self::TemplateDeleted(TemplateDeletedData::from_key(*id, key))
            }
            EventKind::Erased(_) => Self::Erased(NoData {}),
        }
    }
}
