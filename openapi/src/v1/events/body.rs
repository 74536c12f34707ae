//! Body of an event: one envelope for all types, and the data of each type.
//!
//! Invariant: [`bytes_of`] is the only way to an event's bytes, for lists, for streams and for signatures;
//! the same event has the same bytes each time. The subject has the state after the commit, in the form that
//! its own operations show.

use std::borrow::Cow;

use bytes::Bytes;
use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AccountId, EventId};
use poem_openapi::Object;
use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, Type};
use serde::Serialize;

use crate::rest::text::TextValue;
use crate::v1::contacts::body::ContactBody;
use crate::v1::conversations::body::ConversationBody;
use crate::v1::messages::body::MessageBody;

/// An event; `type` names the form of `data`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventBody {
    id: TextValue<EventId>,
    #[serde(rename = "type")]
    kind: TextValue<EventType>,
    created_at: TextValue<Timestamp>,
    livemode: bool,
    sequence: i64,
    account: EventAccount,
    data: EventData,
}

/// The account with the event's log.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct EventAccount {
    /// `wba_…`.
    pub(crate) id: TextValue<AccountId>,
    /// WhatsApp's id of the number.
    pub(crate) phone_number_id: TextValue<PhoneNumberId>,
}

/// Data of an event.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum EventData {
    Message(Box<MessageData>),
    Status(Box<MessageStatusData>),
    Conversation(Box<ConversationData>),
    Contact(Box<ContactData>),
}

/// Data of `message.received`, `message.created` and `message.sent`.
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

impl EventBody {
    /// Builds the body of an event of this account's log.
    #[must_use]
    pub(crate) fn from_event(account: &Account, event: &Event) -> Self {
        Self {
            id: TextValue(event.id),
            kind: TextValue(event.kind.event_type()),
            created_at: TextValue(event.created_at),
            livemode: !account.sandbox,
            sequence: event.sequence,
            account: EventAccount {
                id: TextValue(account.id),
                phone_number_id: TextValue(account.phone_number_id.clone()),
            },
            data: EventData::from_kind(account, &event.kind),
        }
    }
}

impl EventData {
    fn from_kind(account: &Account, kind: &EventKind) -> Self {
        match kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageCreated(message)
            | EventKind::MessageSent(message) => {
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
            EventKind::ConversationCreated(conversation)
            | EventKind::ConversationAssigned(conversation)
            | EventKind::ConversationClosed(conversation)
            | EventKind::ConversationUpdated(conversation) => {
                let conversation = ConversationBody::from_conversation(account, conversation);
                Self::Conversation(Box::new(ConversationData { conversation }))
            }
            EventKind::ContactCreated(contact) | EventKind::ContactUpdated(contact) => {
                Self::Contact(Box::new(ContactData { contact: ContactBody::from_contact(account, contact) }))
            }
        }
    }
}

/// Returns an event as JSON, on one line.
#[must_use]
pub(crate) fn bytes_of(account: &Account, event: &Event) -> Bytes {
    // Texts, numbers and lists of such, which serde always writes.
    serde_json::to_vec(&EventBody::from_event(account, event)).unwrap_or_default().into()
}

/// Returns the schema name of one type: `message.status` is `MessageStatusEvent`.
fn schema_name(one: EventType) -> String {
    let words = one.as_str().split('.').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_uppercase() + rest
    });
    words.chain(["Event".to_owned()]).collect()
}

/// Returns the occasion of an event of a type.
const fn describe_occasion(one: EventType) -> &'static str {
    match one {
        EventType::MessageReceived => "A contact's message was stored.",
        EventType::MessageCreated => "A message was accepted for sending.",
        EventType::MessageSent => "WhatsApp took a message.",
        EventType::MessageStatus => "A message's status moved.",
        EventType::ConversationCreated => "A conversation began.",
        EventType::ConversationAssigned => "A conversation's assignee changed.",
        EventType::ConversationClosed => "A conversation's status became `resolved`.",
        EventType::ConversationUpdated => {
            "Something else of a conversation changed: its status, its contact's name, what is unread. Not told \
             for each message."
        }
        EventType::ContactCreated => "A contact began.",
        EventType::ContactUpdated => "A contact changed.",
    }
}

fn data_schema(one: EventType, registry: &mut Registry) -> MetaSchemaRef {
    fn register_schema<T: Type>(registry: &mut Registry) -> MetaSchemaRef {
        T::register(registry);
        T::schema_ref()
    }
    match one {
        EventType::MessageReceived | EventType::MessageCreated | EventType::MessageSent => {
            register_schema::<MessageData>(registry)
        }
        EventType::MessageStatus => register_schema::<MessageStatusData>(registry),
        EventType::ConversationCreated
        | EventType::ConversationAssigned
        | EventType::ConversationClosed
        | EventType::ConversationUpdated => register_schema::<ConversationData>(registry),
        EventType::ContactCreated | EventType::ContactUpdated => register_schema::<ContactData>(registry),
    }
}

fn describe_schema(schema: MetaSchemaRef, description: &'static str) -> MetaSchemaRef {
    match schema {
        MetaSchemaRef::Inline(inline) => {
            MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), ..*inline }))
        }
        reference @ MetaSchemaRef::Reference(_) => reference,
    }
}

fn schema_of(one: EventType, registry: &mut Registry) -> MetaSchema {
    EventAccount::register(registry);
    let inline = |schema: MetaSchema| MetaSchemaRef::Inline(Box::new(schema));
    let word = MetaSchema { enum_items: vec![one.as_str().into()], ..MetaSchema::new("string") };
    let livemode = MetaSchema {
        description: Some("False in an organization made for trying out."),
        ..MetaSchema::new("boolean")
    };
    let sequence = MetaSchema {
        description: Some("Its number in the account's log, from 1, without gaps."),
        format: Some("int64"),
        minimum: Some(1.0),
        ..MetaSchema::new("integer")
    };
    let properties = vec![
        (
            "id",
            describe_schema(
                TextValue::<EventId>::schema_ref(),
                "`evt_…`; the same wherever the event is told.",
            ),
        ),
        ("type", inline(word)),
        ("created_at", describe_schema(TextValue::<Timestamp>::schema_ref(), "Account clock.")),
        ("livemode", inline(livemode)),
        ("sequence", inline(sequence)),
        ("account", EventAccount::schema_ref()),
        ("data", data_schema(one, registry)),
    ];
    let required = properties.iter().map(|(name, _)| *name).collect();
    MetaSchema {
        description: Some(describe_occasion(one)),
        properties,
        required,
        ..MetaSchema::new("object")
    }
}

impl Type for EventBody {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Event".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            let mut one_of = Vec::new();
            let mut mapping = Vec::new();
            for one in EventType::ALL {
                let name = schema_name(*one);
                registry.create_schema::<Self, _>(name.clone(), |registry| schema_of(*one, registry));
                mapping.push((one.as_str().to_owned(), format!("#/components/schemas/{name}")));
                one_of.push(MetaSchemaRef::Reference(name));
            }
            MetaSchema {
                description: Some("An event of an account's log; `type` names the form of `data`."),
                one_of,
                discriminator: Some(MetaDiscriminatorObject { property_name: "type", mapping }),
                example: serde_json::to_value(Self::example()).ok(),
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl Example for EventBody {
    fn example() -> Self {
        Self::from_event(
            &crate::spec::example_rows::example_account(),
            &crate::spec::example_rows::example_event(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example_rows;
    use serde_json::{Value, json};

    fn told(kind: EventKind) -> Value {
        let event = Event { kind, ..example_rows::example_event() };
        serde_json::from_slice(&bytes_of(&example_rows::example_account(), &event)).unwrap()
    }

    #[test]
    fn the_envelope_is_the_contracts() {
        let event = told(example_rows::example_event().kind);
        let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["id", "type", "created_at", "livemode", "sequence", "account", "data"]);
        assert_eq!(
            event["account"],
            json!({"id": example_rows::example_account().id.to_string(), "phone_number_id": "106540352242922"})
        );
        assert_eq!((&event["livemode"], &event["sequence"]), (&json!(true), &json!(1042)));
        let keys: Vec<&str> = event["data"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "previous_status", "status", "occurred_at"]);
        let sandbox = Account { sandbox: true, ..example_rows::example_account() };
        let bytes = bytes_of(&sandbox, &example_rows::example_event());
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["livemode"], false);
    }

    #[test]
    fn every_type_has_the_keys_of_its_schema() {
        let mut registry = Registry::new();
        EventBody::register(&mut registry);
        let (message, thread, contact) = (
            example_rows::example_message(),
            example_rows::example_conversation(),
            example_rows::example_contact(),
        );
        let kinds = [
            EventKind::MessageReceived(message.clone()),
            EventKind::MessageCreated(message.clone()),
            EventKind::MessageSent(message),
            example_rows::example_event().kind,
            EventKind::ConversationCreated(thread.clone()),
            EventKind::ConversationAssigned(thread.clone()),
            EventKind::ConversationClosed(thread.clone()),
            EventKind::ConversationUpdated(thread),
            EventKind::ContactCreated(contact.clone()),
            EventKind::ContactUpdated(contact),
        ];
        for (kind, one) in kinds.into_iter().zip(EventType::ALL) {
            assert_eq!(kind.event_type(), *one);
            let event = told(kind);
            assert_eq!(event["type"], one.as_str());
            let schema = &registry.schemas[&schema_name(*one)];
            let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, schema.properties.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            let (_, data) = schema.properties.last().unwrap();
            let MetaSchemaRef::Reference(name) = data else { panic!("{data:?} has no name") };
            let known: Vec<_> = registry.schemas[name].properties.iter().map(|(key, _)| *key).collect();
            let keys: Vec<&str> = event["data"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, known, "{name}");
        }
    }

    #[test]
    fn an_event_is_one_line() {
        let message = kabar_core::domain::message::Message {
            content: "a\nb\r\u{2028}".into(),
            ..example_rows::example_message()
        };
        let event = Event { kind: EventKind::MessageReceived(message), ..example_rows::example_event() };
        let bytes = bytes_of(&example_rows::example_account(), &event);
        assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
    }
}
