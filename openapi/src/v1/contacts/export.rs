//! Export of a contact: everything that is kept of it, as one JSON object that is streamed.
//!
//! Invariants: a page of messages is in memory at a time. What is being erased is not exported.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use kabar_actors::AccountError;
use kabar_core::cause::cause;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::event::Event;
use kabar_core::domain::message::Message;
use kabar_core::domain::page::{ConversationQuery, MessageQuery, PageLimit};
use kabar_core::domain::wamid::wamid_key;
use kabar_core::ids::{ContactId, ConversationId, MessageId};
use kabar_core::store::{Store, StoreError};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example as _, Type};
use serde::Serialize;

use super::body::ContactBody;
use crate::http::response::OpenStream;
use crate::rest::envelope::{SingleOf, collect_responses, single_response};
use crate::rest::error::ApiError;
use crate::v1::conversations::body::ConversationBody;
use crate::v1::events::body::EventBody;
use crate::v1::messages::body::MessageBody;
use crate::v1::messages::raw::RawMessageBody;

/// Messages of one part.
const PART_MESSAGES: i64 = 50;
/// Events of one part.
const PART_EVENTS: i64 = 200;

/// A message with everything about it.
#[derive(Serialize)]
struct ExportedMessage {
    message: MessageBody,
    raw: RawMessageBody,
    events: Vec<EventBody>,
}

/// Next part of an export.
enum ExportPart {
    Head,
    Messages(Option<MessageId>),
    /// Events of the contact at this place of the list, after a number of the log.
    Events(usize, i64),
    End,
}

/// An export that is under way.
pub(super) struct ContactExport {
    store: Store,
    account: Arc<Account>,
    contact: Arc<Contact>,
    merged: Vec<Arc<Contact>>,
    conversation: Option<Arc<Conversation>>,
    part: ExportPart,
    is_first: bool,
}

impl ContactExport {
    /// Begins the export of a contact; `None` when there is none. A contact that was merged stands for the one that
    /// is left.
    pub(super) async fn begin(
        store: Store,
        account: Arc<Account>,
        id: ContactId,
    ) -> Result<Option<Self>, ApiError> {
        Self::read(store, account, id).await.map_err(|error| {
            tracing::error!(error = cause(&error), "export not begun");
            AccountError::Storage.into()
        })
    }

    async fn read(store: Store, account: Arc<Account>, id: ContactId) -> Result<Option<Self>, StoreError> {
        let number = account.number;
        let Some(mut contact) = store.find_contact(number, id).await? else { return Ok(None) };
        while let Some(into) = contact.merged_into {
            let Some(left) = store.find_contact(number, into).await? else { return Ok(None) };
            contact = left;
        }
        let ids = store.contacts_merged_into(number, contact.id).await?;
        let mut merged = store.find_contacts(number, ids.into_iter().collect()).await?;
        merged.sort_unstable_by_key(|one| one.id);
        let query = ConversationQuery { contact_id: Some(contact.id), ..ConversationQuery::default() };
        let conversation = store.page_conversations(number, &query).await?.rows.pop();
        let part = ExportPart::Head;
        Ok(Some(Self { store, account, contact, merged, conversation, part, is_first: true }))
    }

    /// Returns the next bytes; `None` at the end.
    async fn next_bytes(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = Vec::new();
        self.part = match self.part {
            ExportPart::Head => self.write_head(&mut bytes),
            ExportPart::Messages(after) => self.write_messages(&mut bytes, after).await?,
            ExportPart::Events(nth, after) => self.write_events(&mut bytes, nth, after).await?,
            ExportPart::End => return Ok(None),
        };
        Ok(Some(bytes.into()))
    }

    fn write_head(&self, bytes: &mut Vec<u8>) -> ExportPart {
        let account = &self.account;
        bytes.extend_from_slice(b"{\"data\":{\"object\":\"contact_export\",\"contact\":");
        write_json(bytes, &ContactBody::from_contact(account, &self.contact));
        bytes.extend_from_slice(b",\"merged_contacts\":");
        let merged: Vec<_> = self.merged.iter().map(|one| ContactBody::from_contact(account, one)).collect();
        write_json(bytes, &merged);
        if let Some(conversation) = self.conversation.as_deref() {
            bytes.extend_from_slice(b",\"conversation\":");
            write_json(bytes, &ConversationBody::from_conversation(account, conversation));
        }
        bytes.extend_from_slice(b",\"messages\":[");
        ExportPart::Messages(None)
    }

    async fn write_messages(
        &mut self,
        bytes: &mut Vec<u8>,
        after: Option<MessageId>,
    ) -> Result<ExportPart, StoreError> {
        let page = match self.conversation.as_ref().map(|conversation| conversation.id) {
            Some(id) => self.page_messages(id, after).await?,
            None => Vec::new(),
        };
        let last = page.last().map(|message| message.id);
        for exported in self.complete_messages(page).await? {
            self.write_element(bytes, &exported);
        }
        if last.is_some() {
            return Ok(ExportPart::Messages(last));
        }
        bytes.extend_from_slice(b"],\"events\":[");
        self.is_first = true;
        Ok(ExportPart::Events(0, 0))
    }

    async fn page_messages(
        &self,
        id: ConversationId,
        after: Option<MessageId>,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let limit = PageLimit::new(PART_MESSAGES).unwrap_or_default();
        let query = MessageQuery { conversation_id: Some(id), limit, after, ..MessageQuery::default() };
        // Messages of a conversation that is deleted meanwhile are not exported.
        if self.store.find_conversation(self.account.number, id).await?.is_none() {
            return Ok(Vec::new());
        }
        Ok(self.store.page_messages(self.account.number, &query, &BTreeSet::new()).await?.rows)
    }

    /// Adds raw items and events to messages, with a statement each.
    async fn complete_messages(&self, page: Vec<Arc<Message>>) -> Result<Vec<ExportedMessage>, StoreError> {
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let number = self.account.number;
        let keys: BTreeSet<Arc<str>> =
            page.iter().filter_map(|message| message.wamid.as_deref().map(wamid_key)).collect();
        let mut raw = HashMap::<Arc<str>, Vec<_>>::new();
        for item in self.store.find_raw_items(number, &keys).await? {
            raw.entry(item.wamid_key).or_default().push((item.role, item.body));
        }
        let ids: Vec<MessageId> = page.iter().map(|message| message.id).collect();
        let mut events = HashMap::<MessageId, Vec<EventBody>>::new();
        for event in self.store.events_of_messages(number, &ids).await? {
            if let Some(message) = event.kind.message() {
                events.entry(message.id).or_default().push(self.event_body(&event));
            }
        }
        let complete = |message: Arc<Message>| {
            let key = message.wamid.as_deref().map(wamid_key);
            ExportedMessage {
                raw: RawMessageBody::from_items(key.and_then(|key| raw.remove(&key)).unwrap_or_default()),
                events: events.remove(&message.id).unwrap_or_default(),
                message: MessageBody::from_message(&message),
            }
        };
        Ok(page.into_iter().map(complete).collect())
    }

    fn event_body(&self, event: &Event) -> EventBody {
        EventBody::from_event(&self.account, event)
    }

    async fn write_events(
        &mut self,
        bytes: &mut Vec<u8>,
        nth: usize,
        after: i64,
    ) -> Result<ExportPart, StoreError> {
        // Those of the contacts that were merged come first, as they happened.
        let ids = self.merged.iter().map(|one| one.id).chain([self.contact.id]).collect::<Vec<_>>();
        let Some(id) = ids.get(nth) else {
            bytes.extend_from_slice(b"]},\"request_id\":\"");
            return Ok(ExportPart::End);
        };
        let events = self.store.events_of_contact(self.account.number, *id, after, PART_EVENTS).await?;
        for event in &events {
            let body = self.event_body(event);
            self.write_element(bytes, &body);
        }
        Ok(match events.last() {
            Some(last) => ExportPart::Events(nth, last.sequence),
            None => ExportPart::Events(nth.saturating_add(1), 0),
        })
    }

    fn write_element<T: Serialize>(&mut self, bytes: &mut Vec<u8>, element: &T) {
        if !std::mem::replace(&mut self.is_first, false) {
            bytes.push(b',');
        }
        write_json(bytes, element);
    }
}

fn write_json<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    // Texts, numbers and lists of such, which serde always writes.
    bytes.extend(serde_json::to_vec(value).unwrap_or_default());
}

/// An export as an answer.
pub(crate) struct ContactExportResponse(Response);

impl ContactExportResponse {
    pub(super) fn from_export(export: ContactExport) -> Self {
        let parts = stream::try_unfold(export, |mut export| async move {
            match export.next_bytes().await {
                Ok(bytes) => Ok(bytes.map(|bytes| (bytes, export))),
                Err(error) => {
                    tracing::error!(error = cause(&error), "export broken off");
                    Err(std::io::Error::other(error))
                }
            }
        });
        let mut response = Response::builder().body(Body::from_bytes_stream(parts));
        response.set_data(OpenStream);
        Self(response)
    }
}

impl IntoResponse for ContactExportResponse {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for ContactExportResponse {
    fn meta() -> MetaResponses {
        collect_responses([single_response::<ExportSchema>(200, "All that is kept of the contact.")])
    }

    fn register(registry: &mut Registry) {
        SingleOf::<ExportSchema>::register(registry);
    }
}

/// Schema of the exported object.
pub(crate) struct ExportSchema;

fn array_of(items: MetaSchemaRef, description: &'static str) -> MetaSchemaRef {
    let (items, description) = (Some(Box::new(items)), Some(description));
    MetaSchemaRef::Inline(Box::new(MetaSchema { items, description, ..MetaSchema::new("array") }))
}

fn object_of(
    description: &'static str,
    properties: Vec<(&'static str, MetaSchemaRef)>,
    example: serde_json::Value,
) -> MetaSchema {
    let required = properties.iter().map(|(name, _)| *name).collect();
    MetaSchema {
        description: Some(description),
        properties,
        required,
        example: Some(example),
        ..MetaSchema::new("object")
    }
}

fn message_example() -> serde_json::Value {
    let (message, raw) = (MessageBody::example(), RawMessageBody::example());
    serde_json::json!({"message": message, "raw": raw, "events": [EventBody::example()]})
}

impl Type for ExportSchema {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "ContactExport".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        ContactBody::register(registry);
        ConversationBody::register(registry);
        MessageBody::register(registry);
        RawMessageBody::register(registry);
        EventBody::register(registry);
        registry.create_schema::<Self, _>("ExportedMessage".to_owned(), |_registry| {
            let properties = vec![
                ("message", MessageBody::schema_ref()),
                ("raw", RawMessageBody::schema_ref()),
                ("events", array_of(EventBody::schema_ref(), "Events that show it, the oldest first.")),
            ];
            object_of("A message with everything that is kept about it.", properties, message_example())
        });
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_registry| {
            let word = MetaSchema { enum_items: vec!["contact_export".into()], ..MetaSchema::new("string") };
            let message = MetaSchemaRef::Reference("ExportedMessage".to_owned());
            let properties = vec![
                ("object", MetaSchemaRef::Inline(Box::new(word))),
                ("contact", ContactBody::schema_ref()),
                (
                    "merged_contacts",
                    array_of(ContactBody::schema_ref(), "Contacts that were merged into it, the oldest first."),
                ),
                ("conversation", ConversationBody::schema_ref()),
                ("messages", array_of(message, "Newest first.")),
                (
                    "events",
                    array_of(
                        EventBody::schema_ref(),
                        "Events that show the contact or its conversation, and no message: of each contact the oldest \
                         first.",
                    ),
                ),
            ];
            let example = serde_json::json!({
                "object": "contact_export",
                "contact": ContactBody::example(),
                "merged_contacts": [],
                "conversation": ConversationBody::example(),
                "messages": [message_example()],
                "events": [],
            });
            object_of("All that is kept of a contact.", properties, example)
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}
