//! A webhook as it came: raw bytes, and the signature over them.

use bytes::Bytes;
use kabar_core::meta::signature;
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::forward::FORWARDED;

/// Raw body of a webhook with its signature.
#[derive(Debug)]
pub(crate) struct SignedBody {
    /// The body.
    pub(crate) bytes: Bytes,
    /// The signature header, if it is a text.
    pub(crate) signature: Option<String>,
    /// Accounts that this node shall take, when another node forwarded the webhook.
    pub(crate) meant: Option<String>,
}

impl<'a> ApiExtractor<'a> for SignedBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let anything = Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))));
        let schema = MetaSchema {
            description: Some("Meta's webhook; see its documentation. Unknown fields are normal."),
            additional_properties: anything,
            ..MetaSchema::new("object")
        };
        let schema = MetaSchemaRef::Inline(Box::new(schema));
        let content = vec![MetaMediaType { content_type: "application/json", schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let signature = request.header(signature::HEADER).map(str::to_owned);
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        let meant = request.header(FORWARDED).map(str::to_owned);
        Ok(Self { bytes, signature, meant })
    }
}
