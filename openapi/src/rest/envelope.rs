//! The two shapes of every JSON response: one object, or a page of objects.
//!
//! Invariant: a body is written up to the place of its request id and stays open there. The gateway completes
//! it with the id of the `X-Request-Id` header, so a page is rendered once and sent many times. Errors have
//! their own shape: see `error`.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use serde::Serialize;

use crate::rest::error::ApiError;

/// A JSON body up to and including `"request_id":"`; the id and `"}` follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenEnvelope(Bytes);

const OPENING: &[u8] = b",\"request_id\":\"";
pub(crate) const CLOSING: &[u8] = b"\"}";

impl OpenEnvelope {
    /// Wraps a body that ends before its request id.
    #[must_use]
    pub(crate) const fn from_head(head: Bytes) -> Self {
        Self(head)
    }

    /// Builds `{"data":…,"request_id":"`.
    ///
    /// # Errors
    /// `internal_error` when the value cannot be written as JSON.
    pub(crate) fn from_value<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        let mut head = b"{\"data\":".to_vec();
        write_json(&mut head, value)?;
        head.extend_from_slice(OPENING);
        Ok(Self(head.into()))
    }

    /// Builds `{"data":[…],"has_more":…,"next_cursor":…,"request_id":"`; `has_more` is true exactly when
    /// there is a cursor.
    ///
    /// # Errors
    /// `internal_error` when a row cannot be written as JSON.
    pub(crate) fn from_rows<T: Serialize>(rows: &[T], next_cursor: Option<&str>) -> Result<Self, ApiError> {
        Self::list_with::<T, ()>(rows, next_cursor, None)
    }

    /// Builds the same with one more member after the cursor.
    ///
    /// # Errors
    /// As [`OpenEnvelope::from_rows`].
    pub(crate) fn list_with<T: Serialize, M: Serialize>(
        rows: &[T],
        next_cursor: Option<&str>,
        more: Option<(&str, M)>,
    ) -> Result<Self, ApiError> {
        let mut head = Vec::with_capacity(rows.len().saturating_mul(640).saturating_add(128));
        head.extend_from_slice(b"{\"data\":");
        write_json(&mut head, &rows)?;
        head.extend_from_slice(b",\"has_more\":");
        write_json(&mut head, &next_cursor.is_some())?;
        head.extend_from_slice(b",\"next_cursor\":");
        write_json(&mut head, &next_cursor)?;
        if let Some((name, value)) = more {
            head.push(b',');
            write_json(&mut head, &name)?;
            head.push(b':');
            write_json(&mut head, &value)?;
        }
        head.extend_from_slice(OPENING);
        Ok(Self(head.into()))
    }

    /// Returns the open body.
    #[must_use]
    pub(crate) const fn head(&self) -> &Bytes {
        &self.0
    }

    /// Returns the whole body.
    #[must_use]
    pub(crate) fn close(&self, request_id: &[u8]) -> Bytes {
        let length = self.0.len().saturating_add(request_id.len()).saturating_add(CLOSING.len());
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(&self.0);
        body.extend_from_slice(request_id);
        body.extend_from_slice(CLOSING);
        body.into()
    }
}

/// Writes a value. Types of this crate always serialise; if one fails, the gateway must not send half of it.
fn write_json<T: Serialize>(head: &mut Vec<u8>, value: &T) -> Result<(), ApiError> {
    serde_json::to_writer(head, value).map_err(|error| {
        tracing::error!(%error, "answer not serialised");
        ApiError::internal_error()
    })
}

/// Builds a response with an open body, which the gateway completes.
pub(crate) fn open_response(status: StatusCode, envelope: Result<OpenEnvelope, ApiError>) -> Response {
    match envelope {
        Ok(envelope) => {
            let mut response = Response::builder().status(status).finish();
            response.set_data(envelope);
            response
        }
        Err(error) => error.into_response(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.code().status()).finish();
        response.set_data(self);
        response
    }
}

/// 200 with one object.
#[derive(Debug)]
pub(crate) struct DataResponse<T>(pub(crate) T);

/// 200 with one object, whose free members keep the bytes that they have in the store.
#[derive(Debug)]
pub(crate) struct VerbatimResponse<T>(pub(crate) T);

/// 201 with the created object.
#[derive(Debug)]
pub(crate) struct CreatedResponse<T>(pub(crate) T);

/// 200 with a page.
#[derive(Debug)]
pub(crate) struct PageResponse<T> {
    /// The rows.
    pub(crate) rows: Vec<T>,
    /// The next page's cursor; `None` on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// 204 without a body.
#[derive(Debug)]
pub(crate) struct NoContentResponse;

impl<T: ToJSON> IntoResponse for DataResponse<T> {
    fn into_response(self) -> Response {
        open_response(StatusCode::OK, OpenEnvelope::from_value(&self.0.to_json()))
    }
}

impl<T: Serialize + Send> IntoResponse for VerbatimResponse<T> {
    fn into_response(self) -> Response {
        open_response(StatusCode::OK, OpenEnvelope::from_value(&self.0))
    }
}

impl<T: ToJSON> IntoResponse for CreatedResponse<T> {
    fn into_response(self) -> Response {
        open_response(StatusCode::CREATED, OpenEnvelope::from_value(&self.0.to_json()))
    }
}

impl<T: ToJSON> IntoResponse for PageResponse<T> {
    fn into_response(self) -> Response {
        let rows: Vec<_> = self.rows.iter().map(ToJSON::to_json).collect();
        open_response(StatusCode::OK, OpenEnvelope::from_rows(&rows, self.next_cursor.as_deref()))
    }
}

impl IntoResponse for NoContentResponse {
    fn into_response(self) -> Response {
        Response::builder().status(StatusCode::NO_CONTENT).finish()
    }
}

impl<T: Type> ApiResponse for DataResponse<T> {
    fn meta() -> MetaResponses {
        collect_responses([single_response::<T>(200, "OK.")])
    }
    fn register(registry: &mut Registry) {
        SingleOf::<T>::register(registry);
    }
}

impl<T: Type> ApiResponse for VerbatimResponse<T> {
    fn meta() -> MetaResponses {
        DataResponse::<T>::meta()
    }
    fn register(registry: &mut Registry) {
        DataResponse::<T>::register(registry);
    }
}

impl<T: Type> ApiResponse for CreatedResponse<T> {
    fn meta() -> MetaResponses {
        collect_responses([single_response::<T>(201, "Made.")])
    }
    fn register(registry: &mut Registry) {
        SingleOf::<T>::register(registry);
    }
}

impl<T: Type> ApiResponse for PageResponse<T> {
    fn meta() -> MetaResponses {
        collect_responses([page_response::<T>(200, "One page.")])
    }
    fn register(registry: &mut Registry) {
        PageOf::<T>::register(registry);
    }
}

impl ApiResponse for NoContentResponse {
    fn meta() -> MetaResponses {
        collect_responses([bare_response(204, "Done; there is no body.")])
    }
    fn register(_registry: &mut Registry) {}
}

/// Collects the documented responses of one operation.
pub(crate) fn collect_responses(responses: impl IntoIterator<Item = MetaResponse>) -> MetaResponses {
    MetaResponses { responses: responses.into_iter().collect() }
}

/// Documents a response with one `T`.
pub(crate) fn single_response<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    json(status, description, SingleOf::<T>::schema_reference())
}

/// Documents a response with a page of `T`.
pub(crate) fn page_response<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    json(status, description, PageOf::<T>::schema_reference())
}

/// Documents a response without a body.
pub(crate) fn bare_response(status: u16, description: &'static str) -> MetaResponse {
    let (content, headers) = (Vec::new(), Vec::new());
    MetaResponse { description, status: Some(status), status_range: None, content, headers }
}

fn json(status: u16, description: &'static str, schema: MetaSchemaRef) -> MetaResponse {
    let content = vec![MetaMediaType { content_type: "application/json", schema }];
    MetaResponse { content, ..bare_response(status, description) }
}

/// The schema `TEnvelope`.
pub(crate) struct SingleOf<T>(PhantomData<fn() -> T>);
/// The schema `TPage`.
pub(crate) struct PageOf<T>(PhantomData<fn() -> T>);

impl<T: Type> SingleOf<T> {
    fn name() -> String {
        format!("{}Envelope", T::name())
    }

    fn schema_reference() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name())
    }

    pub(crate) fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name(), |registry| {
            T::register(registry);
            envelope_schema(vec![("data", T::schema_ref())])
        });
    }
}

impl<T: Type> PageOf<T> {
    fn name() -> String {
        format!("{}Page", T::name())
    }

    fn schema_reference() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name())
    }

    pub(crate) fn register(registry: &mut Registry) {
        Self::register_with(registry, Vec::new());
    }

    /// Registers the schema with further members after the cursor.
    pub(crate) fn register_with(registry: &mut Registry, more: Vec<(&'static str, MetaSchema)>) {
        registry.create_schema::<Self, _>(Self::name(), |registry| {
            T::register(registry);
            let rows = MetaSchema { items: Some(Box::new(T::schema_ref())), ..MetaSchema::new("array") };
            let cursor = MetaSchema {
                description: Some("Give it as `cursor` for the next page; null on the last one."),
                nullable: true,
                ..MetaSchema::new("string")
            };
            let follows = MetaSchema {
                description: Some("`true` when more rows follow this page."),
                ..MetaSchema::new("boolean")
            };
            let mut members = vec![
                ("data", inline_schema(rows)),
                ("has_more", inline_schema(follows)),
                ("next_cursor", inline_schema(cursor)),
            ];
            members.extend(more.into_iter().map(|(name, schema)| (name, inline_schema(schema))));
            envelope_schema(members)
        });
    }
}

fn inline_schema(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

fn envelope_schema(mut properties: Vec<(&'static str, MetaSchemaRef)>) -> MetaSchema {
    let id = MetaSchema {
        description: Some("Id of the request, as in the header `X-Request-Id`."),
        example: Some(EXAMPLE_REQUEST_ID.into()),
        ..MetaSchema::new("string")
    };
    properties.push(("request_id", inline_schema(id)));
    let required = properties.iter().map(|(name, _)| *name).collect();
    MetaSchema { properties, required, ..MetaSchema::new("object") }
}

/// Request id in the examples.
pub(crate) const EXAMPLE_REQUEST_ID: &str = "req_01J0QF3Z5W8V9T4KXN2M6PBRHC";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(open: &OpenEnvelope) -> String {
        String::from_utf8(open.close(b"req_1").to_vec()).unwrap()
    }

    #[test]
    fn envelopes_are_exactly_the_contracts() {
        let single = OpenEnvelope::from_value(&"x").unwrap();
        assert_eq!(text(&single), r#"{"data":"x","request_id":"req_1"}"#);
        let last = OpenEnvelope::from_rows(&[1, 2], None).unwrap();
        let expected = r#"{"data":[1,2],"has_more":false,"next_cursor":null,"request_id":"req_1"}"#;
        assert_eq!(text(&last), expected);
        let reaching = OpenEnvelope::list_with(&[1], None, Some(("last_sequence", 7))).unwrap();
        let expected =
            r#"{"data":[1],"has_more":false,"next_cursor":null,"last_sequence":7,"request_id":"req_1"}"#;
        assert_eq!(text(&reaching), expected);
        let more = OpenEnvelope::from_rows(&[1], Some("abc")).unwrap();
        let expected = r#"{"data":[1],"has_more":true,"next_cursor":"abc","request_id":"req_1"}"#;
        assert_eq!(text(&more), expected);
    }
}
