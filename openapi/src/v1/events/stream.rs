//! Wire format of a stream of the log: server-sent events (WHATWG HTML, 9.2).
//!
//! Invariants: an event's `data` is one line, the event's own bytes; every event has its number as `id`, and
//! a keep-alive frame has the number up to which nothing was left out. The account decides when to send.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use kabar_actors::{EventStream, StreamFrame};
use kabar_core::domain::account::Account;
use kabar_core::domain::event::Event;
use kabar_core::domain::page::PageLimit;
use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use poem::{Body, FromRequest, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{Example, Type as _};
use poem_openapi::{ApiResponse, Object};

use super::body::bytes_of;
use crate::http::response::StreamedBody;
use crate::rest::envelope::{bare_response, collect_responses};
use crate::rest::error::ApiError;
use crate::rest::params::{ParameterKind as _, SequenceNumber};
use crate::rest::text::{EventTypeName, TextValue};

pub(crate) const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Header that turns off response buffering in nginx, and in proxies that follow its convention.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// First bytes of a stream: a client reconnects after this many milliseconds.
const OPENING: &[u8] = b"retry: 2000\n\n";
/// Events that a stream holds at a time.
const BATCH: i64 = 50;

/// Returns the events of one part of a stream.
pub(super) fn stream_batch() -> PageLimit {
    PageLimit::new(BATCH).unwrap_or_default()
}

/// Position that a reconnecting client sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastEventId(pub(super) Option<SequenceNumber>);

impl<'a> FromRequest<'a> for LastEventId {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        let mut lines = request.headers().get_all(LAST_EVENT_ID).into_iter();
        // An `EventSource` that has seen no id sends none, or an empty one.
        let Some(line) = lines.next().filter(|line| !line.is_empty()) else { return Ok(Self(None)) };
        let read = line.to_str().ok().and_then(SequenceNumber::read).filter(|_| lines.next().is_none());
        match read {
            Some(sequence) => Ok(Self(Some(sequence))),
            None => Err(ApiError::invalid_field(LAST_EVENT_ID, SequenceNumber::EXPECTED).into()),
        }
    }
}

/// Renders a part of the log as a stream sends it.
pub(crate) fn frames_of(
    account: &Account,
    events: &[Event],
    bytes_of: impl Fn(&Account, &Event) -> Bytes,
) -> Bytes {
    let mut frames = Vec::with_capacity(events.len().saturating_mul(1024));
    for event in events {
        let head = format!("id: {}\nevent: {}\ndata: ", event.sequence, event.kind.type_name());
        frames.extend_from_slice(head.as_bytes());
        frames.extend_from_slice(&bytes_of(account, event));
        frames.extend_from_slice(b"\n\n");
    }
    frames.into()
}

/// Renders a comment that keeps the connection alive, with the position for a later reconnect. Without data
/// it is no event.
fn keep_alive_frame(last_sequence: i64) -> Bytes {
    format!(": nothing new\nid: {last_sequence}\n\n").into()
}

/// One event of a stream, as its lines are read.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(super) struct StreamedEvent {
    /// The event's number in the log: send it as `Last-Event-ID` when you reconnect.
    #[oai(validator(pattern = "^[0-9]+$"))]
    id: String,
    /// The event's type.
    event: TextValue<EventTypeName>,
    /// The event as JSON, in one line.
    data: String,
}

impl Example for StreamedEvent {
    fn example() -> Self {
        let event = crate::spec::example_rows::example_event();
        let data = bytes_of(&crate::spec::example_rows::example_account(), &event);
        Self {
            id: event.sequence.to_string(),
            event: TextValue(EventTypeName(event.kind.type_name())),
            data: String::from_utf8_lossy(&data).into_owned(),
        }
    }
}

/// An open stream as an answer.
pub(crate) struct StreamedEvents(Response);

impl StreamedEvents {
    pub(super) fn from_stream(events: EventStream) -> Self {
        let frames = stream::unfold(events, |mut events| async move {
            let frame = match events.next().await? {
                StreamFrame::Events(page) => page.head.clone(),
                StreamFrame::Silence(last_sequence) => keep_alive_frame(last_sequence),
            };
            Some((frame, events))
        });
        let opening = stream::once(std::future::ready(Bytes::from_static(OPENING)));
        let body = Body::from_bytes_stream(opening.chain(frames).map(Ok::<_, std::io::Error>));
        let mut response = Response::builder().body(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
        response.set_data(StreamedBody);
        Self(response)
    }
}

impl IntoResponse for StreamedEvents {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for StreamedEvents {
    fn meta() -> MetaResponses {
        let text = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        collect_responses([MetaResponse {
            // OpenAPI 3.0 has no word for "one of many": tools take the schema for that of each event.
            content: vec![MetaMediaType { content_type: EVENT_STREAM, schema: StreamedEvent::schema_ref() }],
            headers: vec![
                text("Cache-Control", "Always `no-cache`."),
                text("X-Accel-Buffering", "Always `no`: proxies hand on what comes as it comes."),
            ],
            ..bare_response(200, "Events as they come, without end.")
        }])
    }

    fn register(registry: &mut Registry) {
        StreamedEvent::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example_rows;

    async fn read(lines: &[&str]) -> Option<Option<i64>> {
        let mut builder = Request::builder();
        for line in lines {
            builder = builder.header(LAST_EVENT_ID, *line);
        }
        let (request, mut body) = builder.finish().split();
        let read = LastEventId::from_request(&request, &mut body).await;
        read.ok().map(|id| id.0.map(SequenceNumber::number))
    }

    #[tokio::test]
    async fn positions_are_numbers_or_absent() {
        assert_eq!(read(&[]).await, Some(None));
        assert_eq!(read(&[""]).await, Some(None));
        assert_eq!(read(&["0"]).await, Some(Some(0)));
        assert_eq!(read(&["9223372036854775807"]).await, Some(Some(i64::MAX)));
        for lines in [&["-1"][..], &["x"], &["1", "2"], &["9223372036854775808"], &["+1"], &["1.0"]] {
            assert_eq!(read(lines).await, None, "{lines:?}");
        }
    }

    #[test]
    fn frames_are_what_the_standard_wants() {
        let (account, event) = (example_rows::example_account(), example_rows::example_event());
        let frames = frames_of(&account, std::slice::from_ref(&event), bytes_of);
        let text = std::str::from_utf8(&frames).unwrap();
        let data = text.strip_prefix("id: 1042\nevent: message.status\ndata: ").unwrap();
        assert_eq!(data.strip_suffix("\n\n").unwrap().as_bytes(), bytes_of(&account, &event));
        assert_eq!(keep_alive_frame(7), ": nothing new\nid: 7\n\n");
        assert_eq!(stream_batch().rows(), 50);
    }
}
