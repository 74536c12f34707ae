//! Response to a poll of the log: a list with the sequence number up to which it reaches.

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, MetaSchema, Registry};

use super::body::EventBody;
use crate::rest::envelope;
use crate::rest::envelope::PageOf;
use crate::rest::poll::documented;

/// Key of the sequence number up to which a response reaches.
pub(crate) const LAST_SEQUENCE: &str = "last_sequence";

/// A part of the log.
pub(crate) struct PolledEvents(Response);

impl From<Response> for PolledEvents {
    fn from(response: Response) -> Self {
        Self(response)
    }
}

impl IntoResponse for PolledEvents {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for PolledEvents {
    fn meta() -> MetaResponses {
        envelope::collect_responses(documented(envelope::page_response::<EventBody>(200, "One page.")))
    }

    fn register(registry: &mut Registry) {
        let last = MetaSchema {
            description: Some(
                "Number of the last event that was looked at, whether it is among these or not: `after` of the \
                 next request.",
            ),
            format: Some("int64"),
            minimum: Some(0.0),
            example: Some(crate::spec::example_rows::example_event().sequence.into()),
            ..MetaSchema::new("integer")
        };
        PageOf::<EventBody>::register_with(registry, vec![(LAST_SEQUENCE, last)]);
    }
}
