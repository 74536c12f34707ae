//! The row of an event, and the snapshot of its subject.
//!
//! Invariant: `message_id` is set for exactly the events that show a message, and their snapshot is that
//! message's row.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::TABLE;
use crate::domain::contact::Contact;
use crate::domain::conversation::Conversation;
use crate::domain::erasure::ErasedEvent;
use crate::domain::event::{Event, EventKind, EventType};
use crate::domain::identity::Identifier;
use crate::domain::inbound::FieldNotice;
use crate::domain::message::Message;
use crate::domain::status::MessageStatus;
use crate::domain::template::{Template, TemplateKey};
use crate::ids::{ContactId, ConversationId, EventId, TemplateId};
use crate::store::StoreError;
use crate::store::contact::ContactRow;
use crate::store::conversation::{AssigneeCache, ConversationRow};
use crate::store::engine::EngineRow;
use crate::store::message::MessageRow;
use crate::store::profile_row::AccountSnapshot;
use crate::store::row::{RowPlace, RowText, instant_millis};
use crate::store::template::TemplateRow;

/// The subject's row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "most events show a message")]
enum SubjectRow<'a> {
    Message(MessageRow<'a>),
    Conversation(ConversationRow<'a>),
    Contact(ContactRow<'a>),
    Identity(IdentitySnapshot<'a>),
    Account(AccountSnapshot<'a>),
    Field(FieldSnapshot<'a>),
    Deleted(DeletedSnapshot),
    Template(TemplateRow<'a>),
    DeletedTemplate(DeletedTemplateSnapshot<'a>),
}

/// A contact with new identifiers.
#[derive(Debug, Serialize, Deserialize)]
struct IdentitySnapshot<'a> {
    contact: ContactRow<'a>,
    /// Type and value.
    added: Vec<(RowText<'a>, RowText<'a>)>,
    merged: Option<String>,
}

/// A value of a webhook; an event that was erased has none.
#[derive(Debug, Serialize, Deserialize)]
struct FieldSnapshot<'a> {
    field: RowText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<RowText<'a>>,
}

/// Ids of what was deleted; an event that was erased has none.
#[derive(Debug, Default, Serialize, Deserialize)]
struct DeletedSnapshot {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversation: Option<String>,
}

impl DeletedSnapshot {
    fn from_ids(contact: ContactId, conversation: Option<ConversationId>) -> Self {
        Self { contact: Some(contact.to_string()), conversation: conversation.map(|id| id.to_string()) }
    }
}

/// A template that was deleted.
#[derive(Debug, Serialize, Deserialize)]
struct DeletedTemplateSnapshot<'a> {
    template: String,
    name: RowText<'a>,
    language: RowText<'a>,
}

impl<'a> DeletedTemplateSnapshot<'a> {
    fn from_key(id: TemplateId, key: &'a TemplateKey) -> Self {
        Self {
            template: id.to_string(),
            name: RowText::Borrowed(key.name()),
            language: RowText::Borrowed(key.language()),
        }
    }
}

/// Snapshot of an event that was erased, but for one of a field.
const ERASED: &str = "{}";

/// A row of `events`.
#[derive(Debug, Serialize)]
pub(in crate::store) struct EventRow<'a> {
    account: i64,
    sequence: i64,
    id: String,
    kind: &'static str,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<i64>,
    snapshot: SubjectRow<'a>,
}

impl<'a> EventRow<'a> {
    /// Creates the row of an event of this account.
    pub(in crate::store) fn from_event(account: i64, event: &'a Event) -> Self {
        let blank = |snapshot| Self::with_snapshot(account, event, snapshot);
        let of_message = |message| Self::of_message(account, event, message);
        match &event.kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageCreated(message)
            | EventKind::MessageSent(message)
            | EventKind::MessageRevoked(message) => of_message((message, None)),
            EventKind::MessageEdited { message, previous_content } => {
                of_message((message, Some(&**previous_content)))
            }
            EventKind::MessageStatus { message, previous, occurred_at } => Self {
                previous_status: Some(previous.as_str()),
                occurred_at: instant_millis(Some(*occurred_at)),
                ..of_message((message, None))
            },
            EventKind::MessageStatusReported { message, status, occurred_at } => Self {
                previous_status: Some(status.as_str()),
                occurred_at: instant_millis(Some(*occurred_at)),
                ..of_message((message, None))
            },
            EventKind::ConversationCreated(conversation)
            | EventKind::ConversationAssigned(conversation)
            | EventKind::ConversationClosed(conversation)
            | EventKind::ConversationUpdated(conversation)
            | EventKind::ConversationMerged(conversation) => Self {
                conversation_id: Some(conversation.id.to_string()),
                ..blank(SubjectRow::Conversation(ConversationRow::from_conversation(account, conversation)))
            },
            EventKind::ContactCreated(contact) | EventKind::ContactUpdated(contact) => {
                blank(SubjectRow::Contact(ContactRow::from_contact(account, contact)))
            }
            EventKind::ContactIdentityUpdated { contact, added, merged } => {
                let added = added.iter().map(Identifier::type_and_value);
                blank(SubjectRow::Identity(IdentitySnapshot {
                    contact: ContactRow::from_contact(account, contact),
                    added: added.map(|(kind, value)| (kind.into(), value.into())).collect(),
                    merged: merged.map(|id| id.to_string()),
                }))
            }
            EventKind::AccountUpdated(updated) => {
                blank(SubjectRow::Account(AccountSnapshot::from_account(updated)))
            }
            EventKind::WhatsAppField(notice) => blank(SubjectRow::Field(FieldSnapshot {
                field: RowText::Borrowed(&notice.field),
                value: Some(RowText::Borrowed(&notice.value)),
            })),
            EventKind::ContactDeleted(contact) => {
                blank(SubjectRow::Deleted(DeletedSnapshot::from_ids(*contact, None)))
            }
            EventKind::ConversationDeleted { conversation, contact } => {
                blank(SubjectRow::Deleted(DeletedSnapshot::from_ids(*contact, Some(*conversation))))
            }
            EventKind::TemplateCreated(template) | EventKind::TemplateUpdated(template) => {
                blank(SubjectRow::Template(TemplateRow::from_template(account, template)))
            }
            EventKind::TemplateDeleted { id, key } => {
                blank(SubjectRow::DeletedTemplate(DeletedTemplateSnapshot::from_key(*id, key)))
            }
            EventKind::Erased(ErasedEvent { field: Some(field), .. }) => {
                blank(SubjectRow::Field(FieldSnapshot { field: RowText::Borrowed(field), value: None }))
            }
            EventKind::Erased(ErasedEvent { field: None, .. }) => {
                blank(SubjectRow::Deleted(DeletedSnapshot::default()))
            }
        }
    }

    fn with_snapshot(account: i64, event: &Event, snapshot: SubjectRow<'a>) -> Self {
        let contact_id = event.kind.contact_id();
        Self {
            account,
            sequence: event.sequence,
            id: event.id.to_string(),
            kind: event.kind.as_str(),
            created_at: event.created_at.millis(),
            message_id: None,
            conversation_id: None,
            contact_id: (contact_id != ContactId::NONE).then(|| contact_id.to_string()),
            previous_status: None,
            occurred_at: None,
            snapshot,
        }
    }

    fn of_message(account: i64, event: &Event, (message, previous): (&'a Message, Option<&'a str>)) -> Self {
        let row = MessageRow::of_event(account, message, previous);
        Self {
            message_id: Some(message.id.to_string()),
            conversation_id: Some(message.conversation_id.to_string()),
            ..Self::with_snapshot(account, event, SubjectRow::Message(row))
        }
    }
}

fn read_subject<T: DeserializeOwned>(at: RowPlace<'_>, snapshot: &str) -> Result<T, StoreError> {
    at.check_value("snapshot", serde_json::from_str(snapshot).ok())
}

fn read_message(at: RowPlace<'_>, snapshot: &str) -> Result<Message, StoreError> {
    read_subject::<MessageRow<'static>>(at, snapshot)?.into_message()
}

fn read_edit(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let mut row = read_subject::<MessageRow<'static>>(at, snapshot)?;
    let previous_content = at.check_value("snapshot", row.take_previous())?;
    Ok(EventKind::MessageEdited { message: row.into_message()?, previous_content })
}

fn read_conversation(at: RowPlace<'_>, snapshot: &str) -> Result<Conversation, StoreError> {
    read_subject::<ConversationRow<'static>>(at, snapshot)?.into_conversation(&mut AssigneeCache::default())
}

fn read_contact(at: RowPlace<'_>, snapshot: &str) -> Result<Contact, StoreError> {
    read_subject::<ContactRow<'static>>(at, snapshot)?.into_contact()
}

fn read_identity(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let row = read_subject::<IdentitySnapshot<'static>>(at, snapshot)?;
    let identifier = |(kind, value): (RowText<'_>, RowText<'_>)| {
        at.check_value("snapshot", Identifier::parse(&kind, &value))
    };
    let merged = |id: String| at.check_value("snapshot", ContactId::parse(&id).ok());
    Ok(EventKind::ContactIdentityUpdated {
        contact: row.contact.into_contact()?,
        added: row.added.into_iter().map(identifier).collect::<Result<_, _>>()?,
        merged: row.merged.map(merged).transpose()?,
    })
}

fn read_account(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let row = read_subject::<AccountSnapshot<'static>>(at, snapshot)?;
    Ok(EventKind::AccountUpdated(Arc::new(row.into_account(at)?)))
}

fn read_field(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let row = read_subject::<FieldSnapshot<'static>>(at, snapshot)?;
    let field = row.field.into();
    Ok(match row.value {
        Some(value) => EventKind::WhatsAppField(FieldNotice { field, value: value.into() }),
        None => EventKind::Erased(ErasedEvent { event_type: EventType::WhatsAppField, field: Some(field) }),
    })
}

fn read_deleted(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let row = read_subject::<DeletedSnapshot>(at, snapshot)?;
    let contact = row.contact.and_then(|id| ContactId::parse(&id).ok());
    let contact = at.check_value("snapshot", contact)?;
    Ok(match row.conversation {
        None => EventKind::ContactDeleted(contact),
        Some(id) => EventKind::ConversationDeleted {
            conversation: at.check_value("snapshot", ConversationId::parse(&id).ok())?,
            contact,
        },
    })
}

fn read_template(at: RowPlace<'_>, snapshot: &str) -> Result<Arc<Template>, StoreError> {
    Ok(Arc::new(read_subject::<TemplateRow<'static>>(at, snapshot)?.into_template()?))
}

fn read_deleted_template(at: RowPlace<'_>, snapshot: &str) -> Result<EventKind, StoreError> {
    let row = read_subject::<DeletedTemplateSnapshot<'static>>(at, snapshot)?;
    Ok(EventKind::TemplateDeleted {
        id: at.check_value("snapshot", TemplateId::parse(&row.template).ok())?,
        key: at.check_value("snapshot", TemplateKey::parse(&row.name, &row.language))?,
    })
}

/// Reads the columns of every read of the log.
pub(super) fn read_event(row: &EngineRow) -> Result<Event, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let (sequence, kind) = (fields.take_int()?, fields.take_text()?);
    let created_at = at.check_time("created_at", fields.take_int()?)?;
    let previous = fields.opt_text()?;
    let occurred_at = at.opt_time("occurred_at", fields.opt_int()?)?;
    let snapshot = fields.take_text()?;
    if snapshot == ERASED {
        let event_type = at.check_value("kind", EventType::parse(&kind))?;
        let kind = EventKind::Erased(ErasedEvent { event_type, field: None });
        return Ok(Event { id: at.check_value("id", EventId::parse(&id).ok())?, sequence, created_at, kind });
    }
    let kind = match kind.as_str() {
        "message.received" => EventKind::MessageReceived(read_message(at, &snapshot)?),
        "message.created" => EventKind::MessageCreated(read_message(at, &snapshot)?),
        "message.sent" => EventKind::MessageSent(read_message(at, &snapshot)?),
        "message.status" => EventKind::MessageStatus {
            message: read_message(at, &snapshot)?,
            previous: at
                .check_value("previous_status", previous.as_deref().and_then(MessageStatus::parse))?,
            occurred_at: at.check_value("occurred_at", occurred_at)?,
        },
        "message.status_reported" => EventKind::MessageStatusReported {
            message: read_message(at, &snapshot)?,
            status: at
                .check_value("previous_status", previous.as_deref().and_then(MessageStatus::parse_sighted))?,
            occurred_at: at.check_value("occurred_at", occurred_at)?,
        },
        "message.edited" => read_edit(at, &snapshot)?,
        "message.revoked" => EventKind::MessageRevoked(read_message(at, &snapshot)?),
        "conversation.created" => EventKind::ConversationCreated(read_conversation(at, &snapshot)?),
        "conversation.assigned" => EventKind::ConversationAssigned(read_conversation(at, &snapshot)?),
        "conversation.closed" => EventKind::ConversationClosed(read_conversation(at, &snapshot)?),
        "conversation.updated" => EventKind::ConversationUpdated(read_conversation(at, &snapshot)?),
        "conversation.merged" => EventKind::ConversationMerged(read_conversation(at, &snapshot)?),
        "contact.created" => EventKind::ContactCreated(read_contact(at, &snapshot)?),
        "contact.updated" => EventKind::ContactUpdated(read_contact(at, &snapshot)?),
        "contact.identity_updated" => read_identity(at, &snapshot)?,
        "account.updated" => read_account(at, &snapshot)?,
        "whatsapp.*" => read_field(at, &snapshot)?,
        "template.created" => EventKind::TemplateCreated(read_template(at, &snapshot)?),
        "template.updated" => EventKind::TemplateUpdated(read_template(at, &snapshot)?),
        "template.deleted" => read_deleted_template(at, &snapshot)?,
        "contact.deleted" | "conversation.deleted" => read_deleted(at, &snapshot)?,
        _ => return Err(at.corrupt_column("kind")),
    };
    Ok(Event { id: at.check_value("id", EventId::parse(&id).ok())?, sequence, created_at, kind })
}
