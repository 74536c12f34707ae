//! Schema of an event: a union with one envelope per type, told apart by `type`.

use std::borrow::Cow;

use kabar_core::domain::event::EventType;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::EventId;
use kabar_core::metrics::WEBHOOK_FIELDS;
use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, Type};

use super::event_data::{
    AccountData, ContactData, ContactDeletedData, ContactIdentityData, ConversationData,
    ConversationDeletedData, FieldData, MessageData, MessageEditedData, MessageStatusData,
    StatusReportedData, TemplateData, TemplateDeletedData,
};
use super::{EventAccount, EventBody};
use crate::rest::text::TextValue;

/// Returns the schema name of one type: `message.status` is `MessageStatusEvent`.
pub(super) fn schema_name(one: EventType) -> String {
    if one == EventType::WhatsAppField {
        return "WhatsAppFieldEvent".to_owned();
    }
    let words = one.as_str().split(['.', '_']).map(|word| {
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
        EventType::MessageEdited => "A message's author replaced its content.",
        EventType::MessageRevoked => "A message's author took it back; it has no content from then on.",
        EventType::MessageStatusReported => {
            "WhatsApp reported a status for the first time, and the message's own status did not move."
        }
        EventType::ContactIdentityUpdated => {
            "WhatsApp told a new identifier of a contact, or that two contacts are the same person."
        }
        EventType::ConversationMerged => {
            "A conversation took over the messages of another one, because both contacts are the same person."
        }
        EventType::ContactDeleted => {
            "A contact was deleted, with its conversation, its messages and everything that shows them."
        }
        EventType::ConversationDeleted => "A conversation was deleted with its contact.",
        EventType::AccountUpdated => {
            "Something of the account changed: its status, or what Meta tells of it."
        }
        EventType::TemplateCreated => "A template became known: it was created here or at WhatsApp.",
        EventType::TemplateUpdated => {
            "Something of a template changed: its state, category, quality or components."
        }
        EventType::TemplateDeleted => "WhatsApp does not have a template any more.",
        EventType::WhatsAppField => {
            "WhatsApp told something that is shown as it is. Subscriptions and filters name all of these events \
             by `whatsapp.*`."
        }
    }
}

fn data_schema(one: EventType, registry: &mut Registry) -> MetaSchemaRef {
    fn register_schema<T: Type>(registry: &mut Registry) -> MetaSchemaRef {
        T::register(registry);
        T::schema_ref()
    }
    match one {
        EventType::MessageReceived
        | EventType::MessageCreated
        | EventType::MessageSent
        | EventType::MessageRevoked => register_schema::<MessageData>(registry),
        EventType::MessageStatus => register_schema::<MessageStatusData>(registry),
        EventType::MessageStatusReported => register_schema::<StatusReportedData>(registry),
        EventType::ConversationCreated
        | EventType::ConversationAssigned
        | EventType::ConversationClosed
        | EventType::ConversationUpdated
        | EventType::ConversationMerged => register_schema::<ConversationData>(registry),
        EventType::ContactCreated | EventType::ContactUpdated => register_schema::<ContactData>(registry),
        EventType::MessageEdited => register_schema::<MessageEditedData>(registry),
        EventType::ContactIdentityUpdated => register_schema::<ContactIdentityData>(registry),
        EventType::AccountUpdated => register_schema::<AccountData>(registry),
        EventType::WhatsAppField => register_schema::<FieldData>(registry),
        EventType::TemplateCreated | EventType::TemplateUpdated => register_schema::<TemplateData>(registry),
        EventType::TemplateDeleted => register_schema::<TemplateDeletedData>(registry),
        EventType::ContactDeleted => register_schema::<ContactDeletedData>(registry),
        EventType::ConversationDeleted => register_schema::<ConversationDeletedData>(registry),
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
    let word = if one == EventType::WhatsAppField {
        MetaSchema {
            description: Some("`whatsapp.` and the name of the field."),
            pattern: Some("^whatsapp\\.[a-z0-9_]{1,64}$".to_owned()),
            example: Some("whatsapp.account_update".into()),
            ..MetaSchema::new("string")
        }
    } else {
        MetaSchema { enum_items: vec![one.as_str().into()], ..MetaSchema::new("string") }
    };
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
                let place = format!("#/components/schemas/{name}");
                if *one == EventType::WhatsAppField {
                    let fields = WEBHOOK_FIELDS.map(|field| (format!("whatsapp.{field}"), place.clone()));
                    mapping.extend(fields);
                } else {
                    mapping.push((one.as_str().to_owned(), place));
                }
                one_of.push(MetaSchemaRef::Reference(name));
            }
            MetaSchema {
                description: Some(
                    "An event of an account's log; `type` names the form of `data`. Of an event about a contact that \
                     was deleted, or a message that is no longer kept, `data` is an empty object.",
                ),
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
