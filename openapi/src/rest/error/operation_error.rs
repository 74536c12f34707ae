//! Documented errors of an operation: it lists its codes, and no others.
//!
//! `OperationError<S>` is an [`ApiError`] with a type that tells the document which codes an operation can
//! return. The codes travel to the polishing pass (`spec`) as an enumeration in place of the schema; the pass
//! replaces it by the one error schema, a description and an example. The pass also adds the errors that the
//! gateway returns for every operation behind it (401, 403, 429, 500).

use std::marker::PhantomData;

use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};

use super::{ApiError, ErrorCode};

/// Marks the stand-in schema that carries an operation's codes to the polishing pass.
pub(crate) const CODES_TITLE: &str = "x-kabar-codes";

/// Codes that an operation can return beyond those of the gateway.
pub(crate) trait DocumentedErrors: Send + Sync + 'static {
    /// The codes, in any order.
    const CODES: &'static [ErrorCode];
}

/// Makes a list of codes: `code_list! { /// Why. ReadOne = [InvalidFieldValue, ResourceNotFound]; }`
macro_rules! code_list {
    ($($(#[$doc:meta])* $name:ident = [$($code:ident),* $(,)?];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl $crate::rest::error::DocumentedErrors for $name {
            const CODES: &'static [$crate::rest::error::ErrorCode] = &[$($crate::rest::error::ErrorCode::$code,)*];
        }
    )*};
}
pub(crate) use code_list;

/// An error of an operation that lists its codes in `S`.
#[derive(Debug)]
pub(crate) struct OperationError<S>(pub(crate) ApiError, PhantomData<fn() -> S>);

impl<S, E: Into<ApiError>> From<E> for OperationError<S> {
    fn from(error: E) -> Self {
        Self(error.into(), PhantomData)
    }
}

impl<S> From<OperationError<S>> for poem::Error {
    fn from(fails: OperationError<S>) -> Self {
        fails.0.into()
    }
}

impl<S: DocumentedErrors> ApiResponse for OperationError<S> {
    fn meta() -> MetaResponses {
        let mut statuses: Vec<u16> = S::CODES.iter().map(|code| code.status().as_u16()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        MetaResponses { responses: statuses.into_iter().map(response::<S>).collect() }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}

fn response<S: DocumentedErrors>(status: u16) -> MetaResponse {
    let codes = S::CODES.iter().filter(|code| code.status().as_u16() == status);
    let mut schema = MetaSchema::new("string");
    schema.title = Some(CODES_TITLE.to_owned());
    // Named, so that the error schema counts as used.
    schema.all_of = vec![ErrorBody::schema_ref()];
    schema.enum_items = codes.map(|code| code.as_str().into()).collect();
    let schema = MetaSchemaRef::Inline(Box::new(schema));
    MetaResponse {
        description: "",
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: "application/json", schema }],
        headers: Vec::new(),
    }
}

/// Body of every response that is neither a success nor a redirection.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Error")]
pub(crate) struct ErrorBody {
    /// The error.
    pub(crate) error: ErrorDetail,
}

/// Details of an error.
#[derive(Debug, Clone, Object)]
pub(crate) struct ErrorDetail {
    /// The family of the code; permanent.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// Code of the error, for programs; permanent.
    pub(crate) code: String,
    /// Cause and remedy, for people; may change.
    pub(crate) message: String,
    /// Path of the field, parameter or header at fault; only present when there is one.
    pub(crate) param: Option<String>,
    /// WhatsApp's own number of the error; only present where WhatsApp gave one.
    pub(crate) provider_code: Option<i64>,
    /// Id of the request, as in the header `X-Request-Id`.
    pub(crate) request_id: String,
}
