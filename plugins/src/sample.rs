//! Sample events for trials of a hook: a default one of each type, and one that is read in the form of the API.
//!
//! A sample may omit members: they get the values of the default event.

mod default_events;
mod sample_details;
mod sample_fields;

use std::sync::Arc;

use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::contact::{Contact, ContactRef};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::identity::ContactKind;
use kabar_core::domain::inbound::FieldNotice;
use kabar_core::domain::message::{Direction, Message, MessageError, MessageKind};
use kabar_core::domain::organisation::User;
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::ids::{AccountId, ContactId, ConversationId, EventId, MessageId, UserId};
use serde_json::Value;

pub use default_events::event;
use sample_fields::SampleFields;

/// An event, and the account that owns its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleEvent {
    /// The account, with the id, the phone number id and the sandbox flag of the sample.
    pub account: Arc<Account>,
    /// The event.
    pub event: Arc<Event>,
}

/// Reason that a JSON value is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {wanted}")]
pub struct NotAnEvent {
    /// The member at fault, as a dotted path.
    pub path: String,
    /// The value that it must have.
    pub wanted: &'static str,
}

/// Reads an event in the form of the API (`GET …/events`, a webhook's body).
///
/// # Errors
/// The first member that cannot be read.
pub fn read(json: &Value) -> Result<SampleEvent, NotAnEvent> {
    let fields = SampleFields::read_root(json)?;
    let wanted = "one of the event types, e.g. message.status";
    let kind = fields.read_required("type", wanted, parse_type)?;
    let made = event(kind);
    let account = fields.read_object("account")?;
    let read_account = Account {
        id: account.read_given("id", "wba_…", |text| AccountId::parse(text).ok())?.unwrap_or(made.account.id),
        phone_number_id: account
            .read_given("phone_number_id", "6 to 20 digits", PhoneNumberId::parse)?
            .unwrap_or_else(|| made.account.phone_number_id.clone()),
        sandbox: !fields.read_bool("livemode")?.unwrap_or(!made.account.sandbox),
        ..Account::clone(&made.account)
    };
    let read_event = Event {
        id: fields.read_given("id", "evt_…", |text| EventId::parse(text).ok())?.unwrap_or(made.event.id),
        sequence: fields.read_number("sequence")?.unwrap_or(made.event.sequence),
        created_at: fields.read_instant("created_at")?.unwrap_or(made.event.created_at),
        kind: read_change(&fields.read_object("data")?, &made.event.kind)?,
    };
    Ok(SampleEvent { account: Arc::new(read_account), event: Arc::new(read_event) })
}

/// Reads a type; every field of WhatsApp's is of one type.
fn parse_type(text: &str) -> Option<EventType> {
    EventType::parse(text).or_else(|| text.starts_with("whatsapp.").then_some(EventType::WhatsAppField))
}

fn read_change(data: &SampleFields<'_>, made: &EventKind) -> Result<EventKind, NotAnEvent> {
    Ok(match made {
        EventKind::MessageReceived(base) => EventKind::MessageReceived(read_message(data, base)?),
        EventKind::MessageCreated(base) => EventKind::MessageCreated(read_message(data, base)?),
        EventKind::MessageSent(base) => EventKind::MessageSent(read_message(data, base)?),
        EventKind::MessageStatus { message: base, previous, occurred_at } => {
            let message = read_message(data, base)?;
            let occurred_at = data.read_instant("occurred_at")?.unwrap_or(*occurred_at);
            let previous =
                data.read_given("previous_status", STATUS, MessageStatus::parse)?.unwrap_or(*previous);
            EventKind::MessageStatus { message, previous, occurred_at }
        }
        EventKind::ConversationCreated(base) => {
            EventKind::ConversationCreated(read_conversation(data, base)?)
        }
        EventKind::ConversationAssigned(base) => {
            EventKind::ConversationAssigned(read_conversation(data, base)?)
        }
        EventKind::ConversationClosed(base) => EventKind::ConversationClosed(read_conversation(data, base)?),
        EventKind::ConversationUpdated(base) => {
            EventKind::ConversationUpdated(read_conversation(data, base)?)
        }
        EventKind::ContactCreated(base) => EventKind::ContactCreated(read_contact(data, base)?),
        EventKind::ContactUpdated(base) => EventKind::ContactUpdated(read_contact(data, base)?),
        EventKind::MessageEdited { message: base, previous_content } => EventKind::MessageEdited {
            message: read_message(data, base)?,
            previous_content: data.text("previous_content")?.unwrap_or_else(|| previous_content.clone()),
        },
        EventKind::MessageRevoked(base) => EventKind::MessageRevoked(read_message(data, base)?),
        EventKind::MessageStatusReported { message: base, status, occurred_at } => {
            let message = read_message(data, base)?;
            let occurred_at = data.read_instant("occurred_at")?.unwrap_or(*occurred_at);
            let status = data.read_given("status", SIGHTED, MessageStatus::parse_sighted)?.unwrap_or(*status);
            EventKind::MessageStatusReported { message, status, occurred_at }
        }
        EventKind::ContactIdentityUpdated { contact: base, added, merged } => {
            EventKind::ContactIdentityUpdated {
                contact: read_contact(data, base)?,
                added: added.clone(),
                merged: data
                    .read_given("merged_contact_id", "ctc_…", |text| ContactId::parse(text).ok())?
                    .or(*merged),
            }
        }
        EventKind::ConversationMerged(base) => EventKind::ConversationMerged(read_conversation(data, base)?),
        EventKind::AccountUpdated(base) => EventKind::AccountUpdated(base.clone()),
        EventKind::WhatsAppField(base) => EventKind::WhatsAppField(FieldNotice {
            field: data.text("field")?.unwrap_or_else(|| base.field.clone()),
            value: data.read_json("value").unwrap_or_else(|| base.value.clone()),
        }),
        // A hook gets the data of these as JSON.
        EventKind::ContactDeleted(_)
        | EventKind::ConversationDeleted { .. }
        | EventKind::TemplateCreated(_)
        | EventKind::TemplateUpdated(_)
        | EventKind::TemplateDeleted { .. }
        | EventKind::Erased(_) => made.clone(),
    })
}

const KIND: &str = "person or group";
const STATUS: &str = "received, pending, sent, delivered, read or failed";
const SIGHTED: &str = "received, pending, sent, delivered, read, played or failed";

fn read_message(data: &SampleFields<'_>, base: &Message) -> Result<Message, NotAnEvent> {
    let own = data.read_object("message")?;
    let details = sample_details::read_details(&own, &base.details)?;
    Ok(Message {
        id: own.read_given("id", "msg_…", |text| MessageId::parse(text).ok())?.unwrap_or(base.id),
        direction: own
            .read_given("direction", "inbound or outbound", Direction::parse)?
            .unwrap_or(base.direction),
        status: own.read_given("status", STATUS, MessageStatus::parse)?.unwrap_or(base.status),
        kind: own.read_given("type", "a type of message", MessageKind::parse)?.unwrap_or(base.kind),
        conversation_id: own
            .read_given("conversation_id", "cnv_…", |text| ConversationId::parse(text).ok())?
            .unwrap_or(base.conversation_id),
        contact_id: own
            .read_given("contact_id", "ctc_…", |text| ContactId::parse(text).ok())?
            .unwrap_or(base.contact_id),
        from: sample_details::read_address(&own, "from", &details)?.unwrap_or_else(|| base.from.clone()),
        to: sample_details::read_address(&own, "to", &details)?.unwrap_or_else(|| base.to.clone()),
        wamid: own.text("message_id")?.or_else(|| base.wamid.clone()),
        content: own.text("content")?.unwrap_or_else(|| base.content.clone()),
        payload: own.read_json("payload").unwrap_or_else(|| base.payload.clone()),
        context: sample_details::read_context(&own)?.or_else(|| base.context.clone()),
        details,
        error: read_failure(&own)?,
        history: StatusHistory::default(),
        attempts: base.attempts,
        next_attempt_at: None,
        created_at: own.read_instant("created_at")?.unwrap_or(base.created_at),
        updated_at: own.read_instant("updated_at")?.unwrap_or(base.updated_at),
    })
}

fn read_failure(message: &SampleFields<'_>) -> Result<Option<MessageError>, NotAnEvent> {
    let own = message.read_object("error")?;
    let Some(code) = own.text("code")? else { return Ok(None) };
    let text = own.text("message")?.unwrap_or_else(|| code.clone());
    Ok(Some(MessageError { code, message: text, provider_code: own.read_number("provider_code")? }))
}

fn read_conversation(data: &SampleFields<'_>, base: &Conversation) -> Result<Conversation, NotAnEvent> {
    let own = data.read_object("conversation")?;
    let with = own.read_object("contact")?;
    let contact = ContactRef {
        id: with.read_given("id", "ctc_…", |text| ContactId::parse(text).ok())?.unwrap_or(base.contact.id),
        kind: with.read_given("kind", KIND, ContactKind::parse)?.unwrap_or(base.contact.kind),
        identity: sample_details::read_identity(&with, &base.contact.identity)?,
        name: with.text("name")?.or_else(|| base.contact.name.clone()),
    };
    let user = own.read_object("assignee")?;
    let assignee = match user.read_given("id", "usr_…", |text| UserId::parse(text).ok())? {
        Some(id) => Some(Arc::new(User {
            id,
            name: user.text("name")?.unwrap_or_else(|| "Somebody".into()),
            email: user.text("email")?,
            ..default_events::sample_user()
        })),
        None => base.assignee.clone(),
    };
    Ok(Conversation {
        id: own.read_given("id", "cnv_…", |text| ConversationId::parse(text).ok())?.unwrap_or(base.id),
        status: own
            .read_given("status", "open, pending or resolved", ConversationStatus::parse)?
            .unwrap_or(base.status),
        contact,
        assignee,
        unread_count: own
            .read_number("unread_count")?
            .map_or(base.unread_count, |count| u32::try_from(count).unwrap_or_default()),
        last_message_at: own.read_instant("last_message_at")?.or(base.last_message_at),
        last_inbound_at: own.read_instant("last_inbound_at")?.or(base.last_inbound_at),
        number_named_at: base.number_named_at,
        merged_into: base.merged_into,
        created_at: own.read_instant("created_at")?.unwrap_or(base.created_at),
        updated_at: own.read_instant("updated_at")?.unwrap_or(base.updated_at),
    })
}

fn read_contact(data: &SampleFields<'_>, base: &Contact) -> Result<Contact, NotAnEvent> {
    let own = data.read_object("contact")?;
    Ok(Contact {
        id: own.read_given("id", "ctc_…", |text| ContactId::parse(text).ok())?.unwrap_or(base.id),
        kind: own.read_given("kind", KIND, ContactKind::parse)?.unwrap_or(base.kind),
        identity: sample_details::read_identity(&own, &base.identity)?,
        name_origin: base.name_origin,
        name: own.text("name")?.or_else(|| base.name.clone()),
        email: own.text("email")?.or_else(|| base.email.clone()),
        metadata: own.read_json("metadata").unwrap_or_else(|| base.metadata.clone()),
        marketing_opted_out_at: own.read_instant("marketing_opted_out_at")?.or(base.marketing_opted_out_at),
        merged_into: base.merged_into,
        created_at: own.read_instant("created_at")?.unwrap_or(base.created_at),
        updated_at: own.read_instant("updated_at")?.unwrap_or(base.updated_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_may_leave_out_all_but_its_type() {
        for kind in EventType::ALL {
            let read = read(&json!({"type": kind.as_str()})).unwrap();
            assert_eq!(read.event.kind.event_type(), *kind);
            assert_eq!((read.event.id, read.account.id), (event(*kind).event.id, event(*kind).account.id));
        }
    }

    #[test]
    fn what_a_sample_says_goes() {
        let sample = read(&json!({
            "id": "evt_01JY3ZK8E3V5W1Q2R3S4T5V6W7", "type": "message.status", "livemode": false, "sequence": 9,
            "created_at": "2026-06-19T11:00:00.000Z", "account": {"phone_number_id": "123456"},
            "data": {"previous_status": "sent", "status": "failed", "message": {
                "status": "failed", "to": "+14155550100", "payload": {"body": "hi"},
                "error": {"code": "outside_24h_window", "message": "too late", "provider_code": 131_047},
            }},
        }));
        let SampleEvent { account, event } = sample.unwrap();
        assert_eq!((event.sequence, account.sandbox, account.phone_number_id.as_str()), (9, true, "123456"));
        let EventKind::MessageStatus { message, previous, .. } = &event.kind else { panic!() };
        assert_eq!((*previous, message.status), (MessageStatus::Sent, MessageStatus::Failed));
        assert_eq!(message.error.as_ref().unwrap().provider_code, Some(131_047));
        assert_eq!(message.payload.as_ref(), r#"{"body":"hi"}"#);
    }

    #[test]
    fn a_sample_may_name_a_person_without_a_number() {
        let contact = json!({"user_id": "ID.7", "username": "rina.w"});
        let sample = read(&json!({"type": "contact.created", "data": {"contact": contact}})).unwrap();
        let EventKind::ContactCreated(contact) = &sample.event.kind else { panic!() };
        assert_eq!(ContactRef::from(contact).address().as_str(), "ID.7");
        let message = json!({"from": "Y2FwaV9ncm91cA", "group_id": "Y2FwaV9ncm91cA", "standby": true});
        let sample = read(&json!({"type": "message.received", "data": {"message": message}})).unwrap();
        let EventKind::MessageReceived(message) = &sample.event.kind else { panic!() };
        assert_eq!((message.from.as_str(), message.details.standby), ("Y2FwaV9ncm91cA", true));
    }

    #[test]
    fn a_sample_may_be_of_any_field() {
        let data = json!({"field": "account_update", "value": {"event": "DISABLED_UPDATE"}});
        let sample = read(&json!({"type": "whatsapp.account_update", "data": data})).unwrap();
        assert_eq!(sample.event.kind.type_name(), "whatsapp.account_update");
        let EventKind::WhatsAppField(notice) = &sample.event.kind else { panic!() };
        assert_eq!(notice.value.as_ref(), r#"{"event":"DISABLED_UPDATE"}"#);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let path = |json: Value| read(&json).unwrap_err().path;
        assert_eq!(path(json!([])), "event");
        assert_eq!(path(json!({})), "type");
        assert_eq!(path(json!({"type": "message.lost"})), "type");
        assert_eq!(path(json!({"type": "message.sent", "data": 1})), "data");
        let message = |message: Value| path(json!({"type": "message.sent", "data": {"message": message}}));
        assert_eq!(message(json!({"to": "x"})), "data.message.to");
        assert_eq!(message(json!({"created_at": "yesterday"})), "data.message.created_at");
    }
}
