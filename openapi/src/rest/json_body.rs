//! A JSON request body with a documented schema; the handler reads its fields itself.
//!
//! Invariant: a handler gets one whole JSON value, sent as JSON. poem-openapi's own `Json` would report bad
//! fields in its own words and without the contract's codes, so this one only borrows the schema of `T`. It
//! does not check the value, nor bound its size: the gateway has done that.

use std::marker::PhantomData;

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::body_fields::FieldError;
use crate::rest::error::ApiError;

/// A JSON body, documented as `T`.
#[derive(Debug, Clone)]
pub(crate) struct JsonBody<T> {
    /// The value, as the client sent it.
    pub(crate) value: Value,
    documented: PhantomData<fn() -> T>,
}

impl<T> JsonBody<T> {
    /// Wraps a value.
    #[must_use]
    pub(crate) const fn new(value: Value) -> Self {
        Self { value, documented: PhantomData }
    }
}

/// Returns `true` for `application/json` and the `+json` types, whatever parameters follow.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

impl<T: Type> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        is_json(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ParsePayload for JsonBody<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        if bytes.is_empty() {
            return Err(ApiError::from(FieldError::invalid_body("send a JSON object as the body")).into());
        }
        if !request.content_type().is_some_and(is_json) {
            return Err(ApiError::unsupported_media_type("application/json").into());
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self::new(value)),
            Err(error) => Err(ApiError::from(FieldError::invalid_body(&parse_error_text(&error))).into()),
        }
    }
}

/// Describes the position of a syntax error, without repeating the text.
fn parse_error_text(error: &serde_json::Error) -> String {
    format!("the body is not valid JSON: see line {}, column {}", error.line(), error.column())
}

impl<'a, T: Type> ApiExtractor<'a> for JsonBody<T> {
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
    fn json_is_told_by_its_content_type() {
        for yes in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/merge-patch+json",
        ] {
            assert!(is_json(yes), "{yes}");
        }
        for no in ["", "text/json", "application/jsonp", "application/x-www-form-urlencoded", "json"] {
            assert!(!is_json(no), "{no}");
        }
    }
}
