//! Body of an event: one envelope for all types, and the data of each type.
//!
//! Invariant: [`bytes_of`] is the only way to an event's bytes, for lists, for streams and for signatures;
//! the same event has the same bytes each time. The subject has the state after the commit, in the form that
//! its own operations show.

mod event_data;
pub(crate) mod kirimdev;
mod schema;

use bytes::Bytes;
use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::event::Event;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AccountId, EventId};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use self::event_data::EventData;
use crate::rest::text::{EventTypeName, TextValue};

/// An event; `type` names the form of `data`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventBody {
    id: TextValue<EventId>,
    #[serde(rename = "type")]
    kind: TextValue<EventTypeName>,
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

impl EventBody {
    /// Builds the body of an event of this account's log.
    #[must_use]
    pub(crate) fn from_event(account: &Account, event: &Event) -> Self {
        Self {
            id: TextValue(event.id),
            kind: TextValue(EventTypeName(event.kind.type_name())),
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

/// Returns an event as JSON, on one line.
#[must_use]
pub(crate) fn bytes_of(account: &Account, event: &Event) -> Bytes {
    // Texts, numbers and lists of such, which serde always writes.
    serde_json::to_vec(&EventBody::from_event(account, event)).unwrap_or_default().into()
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
    use std::sync::Arc;

    use kabar_core::domain::event::{EventKind, EventType};
    use kabar_core::domain::inbound::FieldNotice;
    use kabar_core::domain::status::MessageStatus;
    use kabar_core::ids::ContactId;
    use poem_openapi::registry::{MetaSchemaRef, Registry};
    use poem_openapi::types::Type as _;
    use serde_json::{Value, json};

    use super::schema::schema_name;
    use super::*;
    use crate::spec::example_rows;

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
        let template = Arc::new(crate::spec::template_rows::example_template());
        let kinds = [
            EventKind::MessageReceived(message.clone()),
            EventKind::MessageCreated(message.clone()),
            EventKind::MessageSent(message.clone()),
            example_rows::example_event().kind,
            EventKind::ConversationCreated(thread.clone()),
            EventKind::ConversationAssigned(thread.clone()),
            EventKind::ConversationClosed(thread.clone()),
            EventKind::ConversationUpdated(thread.clone()),
            EventKind::ContactCreated(contact.clone()),
            EventKind::ContactUpdated(contact.clone()),
            EventKind::MessageEdited { message: message.clone(), previous_content: "before".into() },
            EventKind::MessageRevoked(message.clone()),
            EventKind::MessageStatusReported {
                message,
                status: MessageStatus::Sent,
                occurred_at: example_rows::example_event().created_at,
            },
            EventKind::ContactIdentityUpdated {
                contact: contact.clone(),
                added: contact.identity.identifiers(),
                merged: Some(contact.id),
            },
            EventKind::ConversationMerged(thread.clone()),
            EventKind::ContactDeleted(contact.id),
            EventKind::ConversationDeleted { conversation: thread.id, contact: contact.id },
            EventKind::AccountUpdated(Arc::new(example_rows::example_account())),
            EventKind::TemplateCreated(template.clone()),
            EventKind::TemplateUpdated(template.clone()),
            EventKind::TemplateDeleted { id: template.id, key: template.key.clone() },
            EventKind::WhatsAppField(FieldNotice { field: "flows".into(), value: "{}".into() }),
        ];
        assert_eq!(kinds.len(), EventType::ALL.len());
        for (kind, one) in kinds.into_iter().zip(EventType::ALL) {
            assert_eq!(kind.event_type(), *one);
            let event = told(kind);
            let word = if *one == EventType::WhatsAppField { "whatsapp.flows" } else { one.as_str() };
            assert_eq!(event["type"], word);
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
    fn an_erased_event_keeps_its_envelope_and_has_no_data() {
        use kabar_core::domain::erasure::ErasedEvent;
        for (event_type, field, word) in [
            (EventType::MessageReceived, None, "message.received"),
            (EventType::WhatsAppField, Some("flows".into()), "whatsapp.flows"),
        ] {
            let kept = told(example_rows::example_event().kind);
            let mut body = told(EventKind::Erased(ErasedEvent { event_type, field }));
            assert_eq!((&body["type"], &body["data"]), (&json!(word), &json!({})));
            body["type"] = kept["type"].clone();
            body["data"] = kept["data"].clone();
            assert_eq!(body, kept);
        }
    }

    #[test]
    fn a_field_is_told_whole_and_on_one_line() {
        let value = "{\r\n  \"event\": \"DISABLED_UPDATE\",\n  \"n\": 1.50\n}";
        let notice = FieldNotice { field: "account_update".into(), value: value.into() };
        let event = Event { kind: EventKind::WhatsAppField(notice), ..example_rows::example_event() };
        let bytes = bytes_of(&example_rows::example_account(), &event);
        assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
        assert!(std::str::from_utf8(&bytes).unwrap().contains("1.50"));
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(body["type"], "whatsapp.account_update");
        assert_eq!(
            (&body["data"]["field"], &body["data"]["value"]["event"]),
            (&json!("account_update"), &json!("DISABLED_UPDATE"))
        );
    }

    #[test]
    fn an_identity_names_what_was_added_and_what_was_merged() {
        let contact = example_rows::example_contact();
        let added = vec![kabar_core::domain::identity::Identifier::parse("user_id", "GB.1").unwrap()];
        let merged = Some(ContactId::from_bits(9));
        let body = told(EventKind::ContactIdentityUpdated { contact, added, merged });
        assert_eq!(body["data"]["added"], json!([{"type": "user_id", "value": "GB.1"}]));
        assert_eq!(body["data"]["merged_contact_id"], ContactId::from_bits(9).to_string());
        let contact = example_rows::example_contact();
        let body = told(EventKind::ContactIdentityUpdated { contact, added: vec![], merged: None });
        assert_eq!(body["data"]["merged_contact_id"], Value::Null);
    }

    #[test]
    fn an_edit_tells_the_content_before_it() {
        let message = example_rows::example_message();
        let body = told(EventKind::MessageEdited { message, previous_content: "today".into() });
        assert_eq!(body["data"]["previous_content"], "today");
        assert_eq!(body["data"]["message"]["content"], "Your order is on its way.");
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
