//! Response to WhatsApp's handshake: the bare challenge.
//!
//! The text comes from an unauthenticated caller, so `nosniff` keeps browsers from reading it as HTML.

use poem::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use crate::rest::envelope;

/// Challenge of a handshake, sent back as plain text.
#[derive(Debug)]
pub(crate) struct HandshakeChallenge(pub(super) String);

impl IntoResponse for HandshakeChallenge {
    fn into_response(self) -> Response {
        let response = Response::builder().header(CONTENT_TYPE, "text/plain; charset=utf-8");
        response.header(X_CONTENT_TYPE_OPTIONS, "nosniff").body(self.0)
    }
}

impl ApiResponse for HandshakeChallenge {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let mut text = envelope::bare_response(200, "The challenge, bare.");
        text.content.push(MetaMediaType { content_type: "text/plain", schema });
        envelope::collect_responses([text])
    }

    fn register(_registry: &mut Registry) {}
}
