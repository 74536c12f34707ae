//! Renders rows to bytes, once per query and change; a cache hit copies them.
//!
//! Invariant: a page's cursor continues below its last row, in the order and under the filters of the query.
//! serde writes straight into the buffer; poem-openapi's JSON is not used here.

use std::sync::Arc;

use std::sync::OnceLock;

use bytes::Bytes;
use kabar_actors::{QueryResult, ReadQuery, RenderRows, RenderedPage};
use kabar_core::cursor::CursorKey;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::etag;
use kabar_core::domain::event::Event;
use kabar_core::domain::log::EventPage;
use kabar_core::domain::message::Message;
use kabar_core::domain::page::{ConversationOrder, PagePosition, RowPage};
use kabar_core::domain::template::Template;
use kabar_core::ports::EventForm;
use serde::Serialize;

use crate::rest::envelope::OpenEnvelope;
use crate::v1::contacts::body::ContactBody;
use crate::v1::conversations::body::ConversationBody;
use crate::v1::events::body::kirimdev::kirimdev_bytes_of;
use crate::v1::events::body::{EventBody, bytes_of};
use crate::v1::events::{LAST_SEQUENCE, frames_of};
use crate::v1::messages::body::MessageBody;
use crate::v1::templates::body::TemplateBody;

/// Renders responses as the contract shows them.
#[derive(Debug, Clone)]
pub struct ResponseRenderer {
    cursor_key: CursorKey,
}

impl ResponseRenderer {
    /// Creates a renderer with the key that signs cursors.
    #[must_use]
    pub const fn new(cursor_key: CursorKey) -> Self {
        Self { cursor_key }
    }

    fn render_list<T: Serialize, R>(
        &self,
        page: &RowPage<R>,
        scope: impl FnOnce() -> String,
        place: impl FnOnce(&R) -> PagePosition,
        body: impl Fn(&R) -> T,
    ) -> OpenEnvelope {
        let last = page.rows.last().filter(|_| page.has_more);
        let cursor = last.map(|row| self.cursor_key.sign_cursor(&scope(), place(row)));
        let rows: Vec<T> = page.rows.iter().map(body).collect();
        written_envelope(OpenEnvelope::from_rows(&rows, cursor.as_deref()))
    }
}

impl ResponseRenderer {
    /// Renders a part of the log: frames for a stream, else a list.
    fn render_log(&self, account: &Account, question: &ReadQuery, page: &EventPage) -> OpenEnvelope {
        if matches!(question, ReadQuery::EventFrames(_)) {
            return OpenEnvelope::from_head(frames_of(account, &page.events, bytes_of));
        }
        let place = PagePosition { key: page.last_sequence, id: 0 };
        let cursor = page.has_more.then(|| self.cursor_key.sign_cursor(&scope_of(question, account), place));
        let rows: Vec<EventBody> =
            page.events.iter().map(|event| EventBody::from_event(account, event)).collect();
        let last = (LAST_SEQUENCE, page.last_sequence);
        written_envelope(OpenEnvelope::list_with(&rows, cursor.as_deref(), Some(last)))
    }
}

/// Unwraps an envelope. Bodies are texts, numbers and lists of such, which serde always writes.
fn written_envelope<E>(envelope: Result<OpenEnvelope, E>) -> OpenEnvelope {
    envelope.unwrap_or_else(|_logged| {
        OpenEnvelope::from_head(Bytes::from_static(b"{\"data\":null,\"request_id\":\""))
    })
}

/// Returns the order of a query's rows.
const fn order_of(question: &ReadQuery) -> ConversationOrder {
    match question {
        ReadQuery::Conversations(query) => query.order(),
        ReadQuery::Conversation(_)
        | ReadQuery::Messages(_)
        | ReadQuery::Message(_)
        | ReadQuery::Contacts(_)
        | ReadQuery::Contact(_)
        | ReadQuery::Templates(_)
        | ReadQuery::Template(_)
        | ReadQuery::Events(_)
        | ReadQuery::EventFrames(_) => ConversationOrder::Recency,
    }
}

fn key_of(order: ConversationOrder, row: &Conversation) -> i64 {
    match order {
        ConversationOrder::Recency => row.recency_key(),
        ConversationOrder::Updated => row.updated_at.millis(),
    }
}

/// Returns the position in a list that is ordered by id alone.
const fn place_of_id(id: u128) -> PagePosition {
    PagePosition { key: 0, id }
}

impl RenderRows for ResponseRenderer {
    fn render(&self, account: &Account, question: &ReadQuery, answer: &QueryResult) -> RenderedPage {
        let scope = || scope_of(question, account);
        let (etag, envelope) = match answer {
            QueryResult::Conversations(page) => {
                let order = order_of(question);
                let place =
                    |row: &Arc<Conversation>| PagePosition { key: key_of(order, row), id: row.id.bits() };
                let body = |row: &Arc<Conversation>| ConversationBody::from_conversation(account, row);
                (etag::of_page(page), self.render_list(page, scope, place, body))
            }
            QueryResult::Messages(page) => {
                let body = |row: &Arc<Message>| MessageBody::from_message(row);
                (etag::of_page(page), self.render_list(page, scope, |row| place_of_id(row.id.bits()), body))
            }
            QueryResult::Contacts(page) => {
                let body = |row: &Arc<Contact>| ContactBody::from_contact(account, row);
                (etag::of_page(page), self.render_list(page, scope, |row| place_of_id(row.id.bits()), body))
            }
            QueryResult::Templates(page) => {
                let body = |row: &Arc<Template>| TemplateBody::from_template(row);
                (etag::of_page(page), self.render_list(page, scope, |row| place_of_id(row.id.bits()), body))
            }
            QueryResult::Template(row) => (
                etag::of_row(row),
                written_envelope(OpenEnvelope::from_value(&TemplateBody::from_template(row))),
            ),
            QueryResult::Events(page) => (etag::of_events(page), self.render_log(account, question, page)),
            QueryResult::Conversation(row) => (
                etag::of_row(row),
                written_envelope(OpenEnvelope::from_value(&ConversationBody::from_conversation(
                    account, row,
                ))),
            ),
            QueryResult::Message(row) => (
                etag::of_message(row),
                written_envelope(OpenEnvelope::from_value(&MessageBody::from_message(row))),
            ),
            QueryResult::Contact(row) => (
                etag::of_row(row),
                written_envelope(OpenEnvelope::from_value(&ContactBody::from_contact(account, row))),
            ),
        };
        RenderedPage {
            etag: etag.into(),
            head: envelope.head().clone(),
            rows: answer.count_rows(),
            reach: answer.log_reach(),
            compressed: OnceLock::new(),
        }
    }

    fn event(&self, account: &Account, event: &Event) -> Bytes {
        bytes_of(account, event)
    }
}

impl EventForm for ResponseRenderer {
    fn bytes(&self, account: &Account, event: &Event) -> Bytes {
        bytes_of(account, event)
    }

    fn kirimdev_bytes(&self, account: &Account, event: &Event) -> Bytes {
        kirimdev_bytes_of(account, event)
    }
}

/// Returns the scope that a cursor of this query's list is signed for.
fn scope_of(question: &ReadQuery, account: &Account) -> String {
    match question {
        ReadQuery::Conversations(query) => query.scope(account.id),
        ReadQuery::Messages(query) => query.scope(account.id),
        ReadQuery::Contacts(query) => query.scope(account.id),
        ReadQuery::Templates(query) => query.scope(account.id),
        ReadQuery::Events(query) => query.scope(account.id),
        ReadQuery::Conversation(_)
        | ReadQuery::Message(_)
        | ReadQuery::Contact(_)
        | ReadQuery::Template(_)
        | ReadQuery::EventFrames(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example_rows;
    use kabar_core::domain::log::EventQuery;
    use kabar_core::domain::page::{ContactQuery, ConversationQuery, MessageQuery};
    use poem_openapi::registry::Registry;
    use poem_openapi::types::{Example, ToJSON, Type};
    use serde_json::Value;

    fn renderer() -> ResponseRenderer {
        ResponseRenderer::new(CursorKey::new([7; 32]))
    }

    fn render(question: &ReadQuery, answer: &QueryResult) -> (String, Value) {
        let rendered = renderer().render(&example_rows::example_account(), question, answer);
        let body = OpenEnvelope::from_head(rendered.head).close(b"req_1");
        let etag = String::from_utf8(rendered.etag.to_vec()).unwrap();
        (etag, serde_json::from_slice(&body).unwrap())
    }

    /// Keys in their order, of the rendered object and of its schema.
    fn check_keys<T: Type + ToJSON + Serialize + Example>(name: &str) {
        let mut registry = Registry::new();
        T::register(&mut registry);
        let schema: Vec<_> = registry.schemas[name].properties.iter().map(|(key, _)| *key).collect();
        let Value::Object(rendered) = serde_json::to_value(T::example()).unwrap() else { panic!() };
        assert_eq!(rendered.keys().collect::<Vec<_>>(), schema, "{name}");
        assert_eq!(T::example().to_json(), Some(Value::Object(rendered)), "{name}");
    }

    #[test]
    fn what_is_rendered_has_the_keys_of_its_schema() {
        check_keys::<ConversationBody>("Conversation");
        check_keys::<MessageBody>("Message");
        check_keys::<ContactBody>("Contact");
        check_keys::<TemplateBody>("Template");
    }

    #[test]
    fn single_things_are_enveloped() {
        let thread = Arc::new(example_rows::example_conversation());
        let (etag, body) = render(&ReadQuery::Conversation(thread.id), &QueryResult::Conversation(thread));
        assert_eq!(etag, "W/\"2026-06-19T11:00:00.000Z:2\"");
        assert_eq!(body["data"]["whatsapp_account"]["phone_number"], "+447700900100");
        assert_eq!(body["request_id"], "req_1");
        let message = Arc::new(example_rows::example_message());
        let (etag, body) = render(&ReadQuery::Message(message.id), &QueryResult::Message(message));
        assert_eq!(etag, "W/\"delivered:-:2026-06-19T11:00:02.150Z\"");
        assert_eq!(body["data"]["sent_at"], "2026-06-19T11:00:01.000Z");
        assert_eq!(body["data"]["read_at"], Value::Null);
        assert_eq!(body["data"]["payload"]["body"], "Your order is on its way.");
        let contact = Arc::new(example_rows::example_contact());
        let (_, body) = render(&ReadQuery::Contact(contact.id), &QueryResult::Contact(contact));
        assert_eq!(body["data"]["metadata"]["customer_number"], "K-1042");
    }

    #[test]
    fn a_part_of_the_log_says_how_far_it_reaches_and_holds_the_events_own_bytes() {
        let (account, event) = (example_rows::example_account(), example_rows::example_event());
        let types = [event.kind.event_type()].into_iter().collect();
        let query = EventQuery { after: 7, types, limit: kabar_core::domain::page::PageLimit::default() };
        let page = EventPage { events: vec![event.clone()], last_sequence: 2000, has_more: true };
        let rendered =
            renderer().render(&account, &ReadQuery::Events(query), &QueryResult::Events(page.clone()));
        assert_eq!(rendered.etag, "W/\"2000:1:1\"");
        let own = renderer().event(&account, &event);
        assert!(rendered.head.windows(own.len()).any(|part| part == own));
        let body: Value =
            serde_json::from_slice(&OpenEnvelope::from_head(rendered.head.clone()).close(b"req_1")).unwrap();
        assert_eq!((&body["last_sequence"], &body["has_more"]), (&2000.into(), &true.into()));
        let cursor = body["next_cursor"].as_str().unwrap();
        let place = CursorKey::new([7; 32]).verify_cursor(&query.scope(account.id), cursor).unwrap();
        assert_eq!(place.key, 2000);
        let frames = renderer().render(&account, &ReadQuery::EventFrames(query), &QueryResult::Events(page));
        assert!(
            frames.head.starts_with(b"id: 1042\n") && frames.head.windows(own.len()).any(|part| part == own)
        );
    }

    #[test]
    fn cursors_continue_below_the_last_row_of_their_list() {
        let account = example_rows::example_account();
        let thread = Arc::new(example_rows::example_conversation());
        for updated_since in [None, Some(kabar_core::domain::time::Timestamp::EPOCH)] {
            let query = ConversationQuery { updated_since, ..ConversationQuery::default() };
            let scope = query.scope(account.id);
            let question = ReadQuery::Conversations(query);
            let page = RowPage { rows: vec![thread.clone()], has_more: true };
            let (_, body) = render(&question, &QueryResult::Conversations(page));
            let cursor = body["next_cursor"].as_str().unwrap();
            let place = CursorKey::new([7; 32]).verify_cursor(&scope, cursor).unwrap();
            assert_eq!(place, PagePosition { key: thread.updated_at.millis(), id: thread.id.bits() });
            assert_eq!(body["has_more"], true);
        }
        let (etag, body) = render(
            &ReadQuery::Messages(MessageQuery::default()),
            &QueryResult::Messages(RowPage { rows: vec![], has_more: false }),
        );
        assert!(etag.starts_with("W/\"-:0:0:0:"), "{etag}");
        assert_eq!((&body["data"], &body["next_cursor"]), (&Value::Array(vec![]), &Value::Null));
        let page = RowPage { rows: vec![Arc::new(example_rows::example_contact())], has_more: true };
        let (_, body) = render(&ReadQuery::Contacts(ContactQuery::default()), &QueryResult::Contacts(page));
        let scope = ContactQuery::default().scope(account.id);
        let cursor = body["next_cursor"].as_str().unwrap();
        let place = CursorKey::new([7; 32]).verify_cursor(&scope, cursor).unwrap();
        assert_eq!(place.id, example_rows::example_contact().id.bits());
    }
}
