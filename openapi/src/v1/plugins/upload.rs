//! An uploaded component: raw bytes, within a limit of their own, which the gateway enforces.

use bytes::Bytes;
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::rest::body_fields::FieldError;
use crate::rest::error::ApiError;

const WASM: &str = "application/wasm";
/// Media type in the document: most generators know no other type for bytes.
const BYTES: &str = "application/octet-stream";

/// Bytes of an uploaded component.
#[derive(Debug, Clone)]
pub(super) struct UploadedComponent(pub(super) Bytes);

fn is_wasm(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(WASM) || essence.eq_ignore_ascii_case(BYTES)
}

impl Payload for UploadedComponent {
    const CONTENT_TYPE: &'static str = BYTES;

    fn check_content_type(content_type: &str) -> bool {
        is_wasm(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = MetaSchema {
            description: Some(
                "A WebAssembly component of the world `kabar:hooks/status-hook`; `application/wasm` is taken, too.",
            ),
            format: Some("binary"),
            ..MetaSchema::new("string")
        };
        MetaSchemaRef::Inline(Box::new(schema))
    }
}

impl ParsePayload for UploadedComponent {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        if bytes.is_empty() {
            return Err(
                ApiError::from(FieldError::invalid_body("send a WebAssembly component as the body")).into()
            );
        }
        if !request.content_type().is_some_and(is_wasm) {
            return Err(ApiError::unsupported_media_type(WASM).into());
        }
        Ok(Self(bytes))
    }
}

impl<'a> ApiExtractor<'a> for UploadedComponent {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() };
        Some(MetaRequest { description: None, content: vec![content], required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_have_two_media_types() {
        assert!(is_wasm("Application/WASM; x=y") && is_wasm(BYTES) && !is_wasm("application/json"));
    }
}
