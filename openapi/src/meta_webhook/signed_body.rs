//! A webhook as it came: raw bytes, and the signature over them.

use bytes::Bytes;
use kabar_core::meta::signature::ClaimedSignature;
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::access::UnverifiedWebhook;
use crate::http::sender::MeantAccounts;

/// Raw body of a webhook with its signature.
#[derive(Debug)]
pub(crate) struct SignedBody {
    /// The body.
    pub(crate) bytes: Bytes,
    /// The signature that the header claims, and the memory that the body holds.
    pub(crate) webhook: UnverifiedWebhook,
    /// Accounts that this node shall take, when another node forwarded the webhook.
    pub(crate) meant: Option<String>,
}

impl<'a> ApiExtractor<'a> for SignedBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        Some(describe_body())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let webhook = <UnverifiedWebhook as FromRequest>::from_request(request, body).await?;
        let bytes = <Bytes as FromRequest>::from_request(request, body).await?;
        let meant = request.data::<MeantAccounts>().map(|meant| meant.0.clone());
        Ok(Self { bytes, webhook, meant })
    }
}

/// Body of a webhook that may be taken in, with the signature that vouches for it at other nodes.
#[derive(Debug)]
pub(super) struct VerifiedBody {
    pub(super) bytes: Bytes,
    pub(super) signature: ClaimedSignature,
    /// Accounts that this node shall take, when another node forwarded the webhook.
    pub(super) meant: Option<String>,
}

/// Raw body of a webhook that the operator has read again, without a signature.
#[derive(Debug)]
pub(crate) struct ReplayedBody(pub(crate) Bytes);

impl<'a> ApiExtractor<'a> for ReplayedBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        Some(describe_body())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        Ok(Self(<Bytes as FromRequest>::from_request(request, body).await?))
    }
}

fn describe_body() -> MetaRequest {
    let anything = Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))));
    let schema = MetaSchema {
        description: Some("Meta's webhook; see its documentation. Unknown fields are normal."),
        additional_properties: anything,
        ..MetaSchema::new("object")
    };
    let schema = MetaSchemaRef::Inline(Box::new(schema));
    let content = vec![MetaMediaType { content_type: "application/json", schema }];
    MetaRequest { description: None, content, required: true }
}
