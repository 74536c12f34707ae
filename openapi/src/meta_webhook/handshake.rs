//! The bare challenge that WhatsApp's handshake wants repeated.
//!
//! It is a stranger's text, so a browser is told not to take it for anything but text.

use poem::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use crate::rest::envelope;

/// See the module.
#[derive(Debug)]
pub struct HandshakeChallenge(pub(super) String);

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
